"""What lies beside a target while it is written, and what of it writers have left that were killed.

All of it has a token in its name. Who may complete it holds the lock of that token, its claim.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from nexus_xr.hdf5.io.locks import Lock, holder_of, is_of_this_host, is_open_for_writing

from .target_path import beside

_CLAIM = "lock"
# What becomes the target, what is newer than that, what it replaces, and the claim.
_KINDS = ("part", "newer", "old", _CLAIM)
# How long what another host's writer left is untouched before its lock is believed, which may not be seen here.
_SECONDS_UNTOUCHED = 24 * 3600.0


def claim_of(path: str, token: str) -> str:
    """The lock that is held as long as somebody may complete what has a token."""
    return beside(path, token, _CLAIM)


def remove_abandoned(
    path: str, remove: Callable[[str], None], elsewhere: Callable[[str], Iterable[str]] = lambda _: ()
) -> None:
    """Remove what writers to a target have left that were killed; while others are kept from beginning.

    Parameters
    ----------
    path
        The target.
    remove
        Removes what has a token.
    elsewhere
        What else has a token, by its paths.
    """
    for token in _tokens(path):
        if _is_abandoned(path, token, elsewhere(token)):
            with suppress(OSError):  # somebody claims it
                claim = Lock(claim_of(path, token))
                try:
                    if claim.is_sure:
                        remove(token)
                finally:
                    claim.close()


def _tokens(path: str) -> set[str]:
    folder, ours = os.path.split(beside(path, "", ""))
    name = re.compile(re.escape(ours[:-1]) + rf"([0-9a-f]{{8}})\.(?:{'|'.join(_KINDS)})")
    with suppress(PermissionError):
        return {found[1] for each in os.listdir(folder) if (found := name.fullmatch(each))}
    return set()


def _is_abandoned(path: str, token: str, elsewhere: Iterable[str]) -> bool:
    """Whether nobody will complete what has a token."""
    claim = claim_of(path, token)
    made = [*(beside(path, token, kind) for kind in _KINDS if kind != _CLAIM), *elsewhere]
    holder, has_begun = holder_of(claim), any(map(os.path.lexists, made))
    # Who was killed before it said who it is has made nothing else.
    is_known = is_of_this_host(holder) or (holder == "" and not has_begun)
    if not is_known and time.time() - max(_touched([claim, *made]), default=0.0) <= _SECONDS_UNTOUCHED:
        return False
    # To ask locks it for a moment, in which who claims it couldn't open it.
    return not is_open_for_writing(claim) and not is_open_for_writing(beside(path, token, "part"))


def _touched(paths: Iterable[str]) -> Iterator[float]:
    """When files were changed, and folders with all that is in them."""
    for path in paths:
        with suppress(OSError):
            yield os.stat(path).st_mtime
        for folder, folders, files in os.walk(path):
            yield from _touched(os.path.join(folder, name) for name in (*folders, *files))
            folders.clear()
