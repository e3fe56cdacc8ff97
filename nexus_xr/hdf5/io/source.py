"""Where bytes come from: a local file, a stream, raw data files beside an HDF5 file, or memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from nexus_xr.errors import NexusError, NexusFileError, SystemFaultError, is_of_system

from .naming.reach import Reach, close
from .naming.url_path import said_of, words_of
from .superblock import size_of
from .unreadable import unopened

Extents = tuple[Sequence[int], Sequence[int]]


class Source(Protocol):
    """Bytes that can be read at any offset, by several threads at once."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    @property
    def key(self) -> Hashable:
        """What tells it from other sources, and from itself once it changed."""

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill the view from an offset on; gives how many bytes there were, fewer only at the end."""

    @property
    def plans_ahead(self) -> bool:
        """Whether each read waits for the network unless it is expected."""

    def expecting(self, extents: Callable[[], Extents]) -> AbstractContextManager[Source]:
        """The same bytes, for the length of a ``with`` block in which it is known what is read.

        Parameters
        ----------
        extents
            Tells offsets and sizes of what is going to be read, each of them once and by itself or with its neighbours.
        """


class Immediate:
    """A source that gains nothing from knowing what is going to be read."""

    plans_ahead = False

    def expecting(self, extents: Callable[[], Extents]) -> AbstractContextManager[Source]:
        return nullcontext(cast(Source, self))


_position = threading.Lock()


def _read_at(descriptor: int, view: memoryview, offset: int) -> int:
    """Read from an open file; gives how many bytes, which may be fewer than there is room for."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], offset)
    with _position:  # which all threads share where the system can't read from another
        os.lseek(descriptor, offset, os.SEEK_SET)
        found = os.read(descriptor, len(view))
    view[: len(found)] = found
    return len(found)


@dataclass(frozen=True)
class LocalSource(Immediate):
    """An open local file.

    Raises
    ------
    SystemFaultError
        The system fails to read what is there.
    """

    name: str
    descriptor: int
    size: int
    key: Hashable = None

    def read_into(self, view: memoryview, offset: int) -> int:
        done = 0
        try:
            while done < len(view):
                # The system reads at most 2 GiB at once.
                count = _read_at(self.descriptor, view[done : done + (1 << 30)], offset + done)
                if not count:
                    break
                done += count
        except OSError as error:
            if is_of_system(error):
                raise unread(self.name, error) from error
            raise
        return done


@dataclass(frozen=True)
class GrowingSource(Immediate):
    """An open local file to which another process is writing; raises as a `LocalSource` does."""

    name: str
    descriptor: int
    key: Hashable = None

    @property
    def size(self) -> int:
        try:
            return os.fstat(self.descriptor).st_size
        except OSError as error:
            raise unread(self.name, error) from error

    def read_into(self, view: memoryview, offset: int) -> int:
        return LocalSource(self.name, self.descriptor, 0).read_into(view, offset)


def unread(name: str, error: OSError) -> SystemFaultError:
    """The error for a local file that the system fails to read."""
    return SystemFaultError(f"{name}: can't be read ({error}); try again, or look at what it lies on")


class FileObjectError(NexusFileError):
    """A file object raised an error, be it of whatever type."""


@contextmanager
def stream_explained(name: str) -> Iterator[None]:
    """Have what a file object raises meanwhile become an error that names it."""
    try:
        yield
    except NexusError:
        raise
    except Exception as error:
        said = said_of(name, error if isinstance(error, OSError | ValueError) else words_of(error))
        raise FileObjectError(
            f"{name}: the file object can't be read ({said}); it has to stay open, and be able to seek"
        ) from error


class StreamSource(Immediate):
    """A file object that can seek, read by one thread at a time.

    Raises
    ------
    FileObjectError
        The object raises an error.
    """

    def __init__(self, name: str, stream: BinaryIO, lock: AbstractContextManager[object], key: Hashable) -> None:
        self.key = key
        self._name = name
        self._stream = stream
        self._lock = lock
        with lock, stream_explained(name):
            self.size = size_of(stream)

    def read_into(self, view: memoryview, offset: int) -> int:
        done = 0
        with self._lock, stream_explained(self._name):
            self._stream.seek(offset)
            while done < len(view):
                count = self._read_some(view[done:])
                if not count:
                    break
                done += count
        return done

    def _read_some(self, view: memoryview) -> int:
        readinto = getattr(self._stream, "readinto", None)
        if readinto is not None:
            return cast(int, readinto(view)) or 0
        data = self._stream.read(len(view))
        view[: len(data)] = data
        return len(data)


@dataclass(frozen=True)
class BytesSource(Immediate):
    """Bytes in memory."""

    data: bytes
    key: Hashable = None

    @property
    def size(self) -> int:
        return len(self.data)

    def read_into(self, view: memoryview, offset: int) -> int:
        found = self.data[offset : offset + len(view)]
        view[: len(found)] = found
        return len(found)


@dataclass(frozen=True)
class RawExtent:
    """An extent of a raw data file that holds values of a dataset; what is behind the file's end reads as zeros."""

    path: str
    offset: int
    size: int


class RawFilesSource(Immediate):
    """Raw data files, one behind the other, each open from when it is first read from.

    Source: "External File List" of the HDF5 user guide.

    Parameters
    ----------
    extents
        Where in which files the bytes are.
    reach
        Which of the files may be read.
    stack
        Has them open until it is closed.
    check
        Is given the path and the state of each that is opened, and of one again that ends early; raises where that is
        another than it was.

    Attributes
    ----------
    short
        How many bytes each file has behind whose end something was read, by its path.
    """

    key: Hashable = None

    def __init__(
        self,
        extents: Sequence[RawExtent],
        reach: Reach,
        stack: ExitStack,
        check: Callable[[str, os.stat_result], None] | None = None,
    ) -> None:
        self._extents = extents
        self._check = check
        self._reach = reach
        self._stack = stack
        self._files: dict[str, int] = {}
        self._opening = threading.Lock()
        self.short: dict[str, int] = {}
        self.size = sum(extent.size for extent in extents)

    def read_into(self, view: memoryview, offset: int) -> int:
        begin, done = 0, 0
        for extent in self._extents:
            within = offset + done - begin
            if 0 <= within < extent.size and done < len(view):
                part = view[done : done + extent.size - within]
                descriptor = self._opened(extent.path)
                found = LocalSource(extent.path, descriptor, extent.size).read_into(part, extent.offset + within)
                if found < len(part):
                    part[found:] = bytes(len(part) - found)
                    self.short[extent.path] = self._checked(extent.path, descriptor).st_size
                done += len(part)
            begin += extent.size
        return done

    def _opened(self, path: str) -> int:
        with self._opening:
            if path not in self._files:
                descriptor = self._open(path)
                self._stack.callback(close, descriptor)
                self._checked(path, descriptor)
                self._files[path] = descriptor
            return self._files[path]

    def _checked(self, path: str, descriptor: int) -> os.stat_result:
        try:
            found = os.fstat(descriptor)
        except OSError as error:
            raise unread(path, error) from error
        if self._check is not None:
            self._check(path, found)
        return found

    def _open(self, path: str) -> int:
        try:
            return self._reach.open(path)
        except OSError as error:
            if is_of_system(error):
                raise unopened(path, os.path.abspath(path), error) from error
            raise
