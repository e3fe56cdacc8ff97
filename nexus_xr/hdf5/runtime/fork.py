"""What a forked process does anew: locks may have been held, and threads, handles and pipes are the parent's."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable
from functools import partial
from types import MethodType

Renew = Callable[[], object]

_renewals: list[Callable[[], Renew | None]] = []


def after_fork(renew: Renew) -> Renew:
    """Have a function called in each process that this one forks, a method for as long as its object lives.

    Parameters
    ----------
    renew
        Makes new what can't be used in another process.
    """
    _renewals.append(_while_it_lives(renew) if inspect.ismethod(renew) else lambda: renew)
    return renew


def _while_it_lives(method: MethodType) -> Callable[[], Renew | None]:
    """What gives a method as long as its object lives, and is forgotten then.

    Other than `weakref.WeakMethod`, it is silent where the interpreter ends.
    """
    function, forget = method.__func__, _renewals.remove

    def found() -> Renew | None:
        living = owner()
        return None if living is None else partial(function, living)

    owner = weakref.ref(method.__self__, lambda _: forget(found))
    return found


def _renew_all() -> None:
    for found in _renewals:
        renew = found()
        if renew is not None:
            renew()


if hasattr(os, "register_at_fork"):  # elsewhere no process forks
    os.register_at_fork(after_in_child=_renew_all)
