"""What a forked process does anew: locks may have been held, and threads, handles and pipes are the parent's."""

from __future__ import annotations

import inspect
import os
import weakref
from collections.abc import Callable

Renew = Callable[[], object]

_renewals: list[Callable[[], Renew | None]] = []


def after_fork(renew: Renew) -> Renew:
    """Have a function called in each process that this one forks, a method for as long as its object lives.

    Parameters
    ----------
    renew
        Makes new what can't be used in another process.
    """
    is_method = inspect.ismethod(renew)
    _renewals.append(weakref.WeakMethod(renew, _renewals.remove) if is_method else lambda: renew)
    return renew


def _renew_all() -> None:
    for found in _renewals:
        renew = found()
        if renew is not None:
            renew()


if hasattr(os, "register_at_fork"):  # elsewhere no process forks
    os.register_at_fork(after_in_child=_renew_all)
