"""Files that are changed where they are, at once at the end, while others read them.

Until the end their bytes stand as they were, for this process as for any other. What happens at the end takes several
steps, between which the bytes say nothing whole.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

from nexus_xr.hdf5.runtime.fork import after_fork

from .identity import Identity
from .locks import MOST_SECONDS, holder_of, is_open_for_writing, lock_file, this_process

_Place = tuple[int, int]


class Changes:
    """The files that this process is changing, and the states that they were in before."""

    def __init__(self) -> None:
        self._start_anew()
        after_fork(self._start_anew)

    def _start_anew(self) -> None:
        self._told = threading.Condition()
        self._before: dict[_Place, Identity] = {}
        self._standing: set[_Place] = set()

    @contextmanager
    def at_once(self, path: str) -> Iterator[Callable[[], AbstractContextManager[None]]]:
        """Have others of this process wait with reading a file, for a ``with`` block.

        It gives what lets them read, for a block within that one in which nothing that they read is written over. At
        the end the file has a date that none of its states had before: the clock by which systems date what is
        written stands still for some milliseconds.

        Parameters
        ----------
        path
            A local file, which nobody else changes meanwhile.
        """
        found = os.stat(path)
        place = _place_of(found)
        with self._told:
            self._before[place] = Identity.of(found)
        try:
            yield partial(self._let_read, place)
        finally:
            _date_anew(path)
            with self._told:
                self._before.pop(place, None)
                self._told.notify_all()

    @contextmanager
    def _let_read(self, place: _Place) -> Iterator[None]:
        with self._told:
            self._standing.add(place)
            self._told.notify_all()
        try:
            yield
        finally:
            with self._told:
                self._standing.discard(place)

    def holds(self, path: str) -> bool:
        """Whether this process is changing the file at a path."""
        with suppress(OSError, ValueError):
            return bool(self._before) and _place_of(os.stat(path)) in self._before
        return False

    def state_of(self, look: Callable[[], os.stat_result]) -> tuple[os.stat_result, Identity]:
        """What the system says of a file, and the state in which its bytes are read; waits until they can be.

        Parameters
        ----------
        look
            Asks the system.
        """
        end = time.monotonic() + MOST_SECONDS
        while True:
            found = look()
            if not self._before:
                return found, Identity.of(found)
            place = _place_of(found)
            with self._told:
                before = self._before.get(place)
                if before is None or time.monotonic() > end:
                    return found, Identity.of(found)
                if place in self._standing:
                    return found, before
                self._told.wait(end - time.monotonic())


changes = Changes()


def _place_of(found: os.stat_result) -> _Place:
    return found.st_dev, found.st_ino


def _date_anew(path: str) -> None:
    with suppress(OSError):  # of a file of somebody else's
        found = os.stat(path)
        os.utime(path, ns=(found.st_atime_ns, max(time.time_ns(), found.st_mtime_ns + 1)))


def is_changed_elsewhere(path: str) -> bool:
    """Whether another process is at work on a file, such that it may be between two states.

    Parameters
    ----------
    path
        A local path.
    """
    beside = lock_file(os.path.realpath(path), "lock")
    holder = holder_of(beside)
    return holder is not None and holder != this_process() and is_open_for_writing(beside)
