"""The open handles of local files: one a file, however many read from it at once.

Libhdf5 shares what is open of a file among all handles of the file in a process, but lets text and other elements of
variable length be read through the handle that opened them first. Where that one is closed before the others, reading
through these ends the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import h5py

from nexus_xr.hdf5.runtime.fork import after_fork


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
        self._lock = threading.Lock()
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
                    return
        handle.close()


handles = Handles()
