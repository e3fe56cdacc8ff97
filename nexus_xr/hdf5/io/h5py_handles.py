"""The open handles of local files: one a file, however many read from it at once.

Libhdf5 shares what is open of a file among all handles of the file in a process, but lets text and other elements of
variable length be read through the handle that opened them first. Where that one is closed before the others, reading
through these ends the process.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.runtime.fork import after_fork
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

from .naming.reach import Reach
from .unreadable import explain_local, explain_stream

if TYPE_CHECKING:
    import h5py
    from h5py import h5f

# What the first attempt's error speaks of, and the ways to open that can then help: where this process has the file
# open with locking, that same way; where another process is writing, as one of its readers (SWMR). Tried on a damaged
# file, the latter may never return.
_OTHER_WAYS: tuple[tuple[str, tuple[dict[str, Any], ...]], ...] = (
    ("lock", ({}, {"locking": True}, {"locking": "best-effort"})),
    ("open for write", ({"locking": False, "swmr": True}, {"swmr": True})),
)
# Readings through libhdf5, for whose end who writes waits, take a fraction of that.
_MOST_SECONDS = 60.0


@dataclass
class _Open:
    handle: h5py.File
    users: int


class Handles:
    """Handles that are open, by what tells their files apart."""

    def __init__(self) -> None:
        self._start_anew()
        after_fork(self._start_anew)

    def _start_anew(self) -> None:
        self._lock = threading.Condition(threading.Lock())
        self._open: dict[Hashable, _Open] = {}

    def take(self, key: Hashable, open_file: Callable[[], h5py.File]) -> h5py.File:
        """The handle of that key, for one more user.

        Parameters
        ----------
        key
            What tells the file, and the way in which it is opened, from others.
        open_file
            Opens it where it isn't open.
        """
        with self._lock:
            known = self._open.get(key)
            if known is None or not known.handle:
                known = self._open[key] = _Open(open_file(), 0)
            known.users += 1
            return known.handle

    def give_back(self, handle: h5py.File) -> None:
        """Close a handle that was taken, once the last of its users has given it back."""
        with self._lock:
            for key, known in self._open.items():
                if known.handle is handle:
                    known.users -= 1
                    if not known.users:
                        del self._open[key]
                        handle.close()
                        self._lock.notify_all()
                    return
        handle.close()

    def outlast(self, path: str) -> bool:
        """Wait until a file isn't open any more for those who only read from it by handles that they give back soon.

        Parameters
        ----------
        path
            Its path.

        Returns
        -------
        bool
            Whether nobody in this process has it open: neither anybody else, for whom nobody waits, nor these, after
            `_MOST_SECONDS`.
        """
        with self._lock:
            self._lock.wait_for(lambda: not self._are_all_of(_handles_of(path)), _MOST_SECONDS)
            return not _handles_of(path)

    def _are_all_of(self, numbers: set[int]) -> bool:
        return bool(numbers) and numbers <= {known.handle.id.id for known in self._open.values() if known.handle}


handles = Handles()


def open_local(path: str, is_beside_writers: bool, reach: Reach) -> h5py.File:
    """Open a local file to be read.

    Parameters
    ----------
    path
        Its path.
    is_beside_writers
        Whether to try first as a reader beside its writer (SWMR).
    reach
        Which files may be read.
    """
    import h5py

    if not reach.is_everywhere:
        return _open_alone(path, reach)
    if is_beside_writers:
        with suppress(AnyHdf5Error):
            return h5py.File(path, "r", locking=False, swmr=True)
    # Without locking: a reader has nothing to protect, must not hinder a writer, and file systems of facilities are
    # often read-only or can't lock.
    try:
        return h5py.File(path, "r", locking=False)
    except AnyHdf5Error as error:
        for mentioned, ways in _OTHER_WAYS:
            for options in ways if mentioned in str(error) else ():
                with suppress(AnyHdf5Error):
                    return h5py.File(path, "r", **options)
        raise NexusFileError(explain_local(path, error)) from error


def _open_alone(path: str, reach: Reach) -> h5py.File:
    """Open a local file such as libhdf5, which follows names by itself, opens no other through it.

    Of what is read through a file object it takes every file for that one.
    """
    import h5py

    stream = io.FileIO(reach.open(path))
    try:
        return h5py.File(stream, "r")
    except AnyHdf5Error as error:
        raise NexusFileError(explain_stream(path, stream, error)) from error


def is_written_here(path: str) -> bool:
    """Whether this process has a local file open for writing, so that only libhdf5 knows what is in it."""
    if "h5py" not in sys.modules:  # who hasn't it has nothing open
        return False
    from h5py import h5f

    if not h5f.get_obj_count(h5f.OBJ_ALL, h5f.OBJ_FILE):
        return False
    return any(_writes_to(path, file) for file in h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE))


def _handles_of(path: str) -> set[int]:
    """What libhdf5 calls the handles of a local file that are open in this process."""
    from h5py import h5f

    return {file.id for file in h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE) if _is_of(path, file)}


def _writes_to(path: str, file: h5f.FileID) -> bool:
    from h5py import h5f

    with suppress(AnyHdf5Error):  # closed meanwhile
        return bool(file.get_intent() & h5f.ACC_RDWR) and _is_of(path, file)
    return False


def _is_of(path: str, file: h5f.FileID) -> bool:
    with suppress(AnyHdf5Error):  # closed meanwhile, or no file of the operating system
        return os.path.samestat(os.fstat(file.get_vfd_handle()), os.stat(path))
    return False
