"""A local file as this process sees it: that it is still the one which was opened, its handle, and its bytes."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from stat import S_ISREG
from typing import TYPE_CHECKING, cast

from nexus_xr.errors import NexusFileError, NexusFileNotFoundError, NexusReachError, SystemFaultError

from .changes import changes, is_changed_elsewhere
from .h5py_handles import handles, is_written_here, open_local
from .identity import Identity, Snapshot, changed, unsettled
from .naming.reach import Reach, check_no_pipe, close
from .reference import FileReference
from .remote.urls import local_path
from .source import GrowingSource, LocalSource, Source
from .superblock import birth_of, is_being_written
from .unreadable import unopened

if TYPE_CHECKING:
    import h5py


def path_of_what_is_there(where: str | os.PathLike[str]) -> str:
    """The path of a local file or folder, of whatever format, which the system lets be seen.

    Raises
    ------
    NexusFileError
        It isn't there, or not to be seen.
    """
    name = os.fspath(where)
    path = local_path(name)
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        raise unopened(name, os.path.abspath(path), error) from error
    return path


class LocalFile:
    """A local file, which is opened by its name again and again, and may be another one each time.

    Parameters
    ----------
    reference
        The file.
    reach
        Which files may be read.
    """

    def __init__(self, reference: FileReference, reach: Reach) -> None:
        self._reference = reference
        self._reach = reach
        self._path = reference.path
        self._identity = cast(Identity | None, reference.identity)
        self._snapshot = reference.snapshot
        self._open: list[tuple[tuple[int, int], int]] = []  # by which threads, and their descriptors

    @property
    def reference(self) -> FileReference:
        """What it is known by now."""
        return replace(self._reference, identity=self._identity, snapshot=self._snapshot)

    @property
    def snapshot(self) -> Snapshot | None:
        """Which state of it was opened, where another process was writing to it."""
        return self._snapshot

    @property
    def is_written_here(self) -> bool:
        """Whether this process has it open for writing, so that only libhdf5 knows what is in it."""
        return not changes.holds(self._path) and is_written_here(self._path)

    @property
    def is_special(self) -> bool:
        """Whether there is something else than a regular file."""
        try:
            return not S_ISREG(self._reach.stat(self._path).st_mode)
        except (OSError, ValueError):  # for those to tell who read from it
            return False

    @property
    def is_as_found(self) -> bool:
        """Whether it is in the state in which it was first read from, if it was."""
        try:
            return self._identity is None or self._identity == changes.state_of(self._look_up)[1]
        except NexusFileError:
            return False

    @property
    def is_unsettled(self) -> bool:
        """Whether it was read from, and isn't in that state any more, or was between two states perhaps."""
        return self.is_read_from and (not self.is_as_found or is_changed_elsewhere(self._path))

    @property
    def is_read_from(self) -> bool:
        """Whether it is known in which state it was first read from."""
        return self._identity is not None

    def check(self) -> None:
        """Raise an error where it isn't the file any more that was opened."""
        self._check(*changes.state_of(self._look_up))

    def _look_up(self) -> os.stat_result:
        with self._explained():
            found = self._reach.stat(self._path)
        check_no_pipe(found.st_mode, self._reference.name)
        return found

    def _check(self, stat: os.stat_result, now: Identity) -> None:
        """Remember which file was opened, and refuse to read from another under the same name."""
        if self._identity is None:
            self._identity = now
        elif self._snapshot is not None:  # growth is what a single writer and its readers agreed on
            if stat.st_ino != self._snapshot.inode:
                raise changed(self._reference.name, self._snapshot, now)
        elif now != self._identity:
            if not self.is_written_here:
                raise changed(self._reference.name, self._identity, now)
            self._identity = now  # to open it may have had libhdf5 write out what this process has written to it

    def take_handle(self, is_beside_writers: bool) -> h5py.File:
        """The open handle of the file, to be given back.

        Parameters
        ----------
        is_beside_writers
            Whether it is opened as a reader's beside its writer.
        """
        found = self._look_up()
        key = (self._path, found.st_dev, found.st_ino, is_beside_writers, self._reach)
        handle = handles.take(key, lambda: open_local(self._path, is_beside_writers, self._reach))
        if handle.swmr_mode and self._snapshot is None:
            with self._explained(), open(self._reach.open(self._path), "rb") as stream:
                self._snapshot = Snapshot.of(os.fstat(stream.fileno()), birth_of(stream))
        return handle

    @contextmanager
    def source(self) -> Iterator[Source]:
        """The bytes of the file, for the length of a ``with`` block.

        A thread that has it open reads on in that, as a file that another has replaced is whole as long as it is open.
        """
        with self._explained():
            descriptor = self._descriptor()
        held, look = (_this_thread(), descriptor), partial(os.fstat, descriptor)
        self._open.append(held)
        try:
            with self._explained():
                stat, now = changes.state_of(look)
                is_growing, birth = self._growth(descriptor)
            if is_growing and self._snapshot is None:
                self._snapshot = Snapshot.of(stat, birth)
            self._check(stat, now)
            if self._snapshot is not None and not self._snapshot.may_become(stat, birth, is_growing):
                raise changed(self._reference.name, self._snapshot, Identity.of(stat))
            try:
                if is_growing:
                    yield GrowingSource(self._reference.name, descriptor, (stat.st_dev, stat.st_ino, birth))
                else:
                    key = (stat.st_dev, stat.st_ino, *now)
                    yield LocalSource(self._reference.name, descriptor, stat.st_size, key)
            except NexusFileError as error:
                self._check_open(look)  # which is then the better reason
                is_of_others = isinstance(error, NexusReachError | NexusFileNotFoundError | SystemFaultError)
                if not is_of_others and is_changed_elsewhere(self._path):
                    raise unsettled(self._reference.name) from error
                raise
            self._check_open(look)
        finally:
            self._open.remove(held)
            close(descriptor)

    def _growth(self, descriptor: int) -> tuple[bool, int | None]:
        """Whether an open file is being written, and when it was made, where that is to be known."""
        if self._snapshot is None and self._identity is not None:
            return False, None
        stream = io.FileIO(descriptor, closefd=False)
        is_growing = is_being_written(stream)
        return is_growing, birth_of(stream) if is_growing or self._snapshot is not None else None

    def _check_open(self, look: Callable[[], os.stat_result]) -> None:
        with self._explained():
            found, now = changes.state_of(look)
        self._check(found, now)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Have what the system says of the file become an error that names it."""
        try:
            yield
        except NexusFileError:
            raise
        except (OSError, ValueError) as error:
            raise unopened(self._reference.name, self._path, error) from error

    def _descriptor(self) -> int:
        own = _this_thread()
        held = next((descriptor for thread, descriptor in reversed(self._open) if thread == own), None)
        return self._reach.open(self._path) if held is None else os.dup(held)


def _this_thread() -> tuple[int, int]:
    """What tells a thread from all others, those of a forked process among them, which may have their numbers."""
    return os.getpid(), threading.get_ident()
