"""A process that reads chunks through libhdf5 for another: run as a script, it needs none of this package.

Requests come on the standard input, each a pickle behind its length: what is read, which is (path of the file, path of
the dataset, one (start, stop) a dimension), and what that may take, which is (seconds of a processor, bytes beside what
the process has by then); or None to close the file. Answers go to the standard output: a status byte and a length, then
the values or the text of an error. In place of the path of a file there may be (a number, its size): its bytes are then
asked for, by answers of a status of their own, and come behind their length.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO

# Nobody asked for so long: the process ends, and another is started when one is needed again.
IDLE_SECONDS = 60
IDLE_STATUS = 75
REQUEST = struct.Struct("<Q")
ANSWER = struct.Struct("<BQ")
VALUES, ERROR, BYTES_WANTED = 0, 1, 2
# Where the bytes are that are wanted of a file, and how many.
EXTENT = struct.Struct("<QQ")


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some compression libraries print
    requests = os.fdopen(os.dup(0), "rb", buffering=0)  # what is buffered, `select` wouldn't see
    reader = _Reader(_Asker(requests, answers))
    while select.select([requests], [], [], IDLE_SECONDS)[0]:
        message = _read_message(requests)
        if message is None:
            return
        asked = pickle.loads(message)
        if asked is None:
            reader.close()
        else:
            _answer(answers, reader, *asked)
    sys.exit(IDLE_STATUS)


def _read_message(stream: io.FileIO) -> bytes | None:
    head = _read_exactly(stream, REQUEST.size)
    return _read_exactly(stream, *REQUEST.unpack(head)) if head else None


def _read_exactly(stream: io.FileIO, size: int) -> bytes:
    content = b""
    while len(content) < size and (part := stream.read(size - len(content))):
        content += part
    return content


def _answer(answers: BinaryIO, reader: _Reader, what: Any, limits: tuple[float, int]) -> None:
    status, content = VALUES, memoryview(b"")
    try:
        with limited(*limits):
            content = reader.read(*what)
    except Exception as error:
        status, content = ERROR, memoryview(str(error).encode(errors="replace"))
    _send(answers, status, content)


def _send(answers: BinaryIO, status: int, content: memoryview) -> None:
    answers.write(ANSWER.pack(status, content.nbytes))
    answers.write(content)
    answers.flush()


@contextmanager
def limited(seconds: float, memory: int) -> Iterator[None]:
    """Have the process end that takes longer, and get no more memory, where the system counts that."""
    with _limited_memory(memory):
        _set_alarm(seconds)
        try:
            yield
        finally:
            _set_alarm(0)


@contextmanager
def _limited_memory(memory: int) -> Iterator[None]:
    with ExitStack() as stack:
        with suppress(ImportError, OSError, ValueError):  # a system that counts otherwise, or allows less already
            import resource

            with open("/proc/self/statm") as sizes:
                now = int(sizes.read().split()[0]) * resource.getpagesize()
            before = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (now + memory, before[1]))
            stack.callback(resource.setrlimit, resource.RLIMIT_AS, before)
        yield


def _set_alarm(seconds: float) -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # whose signal ends a process


class _Asker:
    """Asks for the bytes of a file that has no path here, while a request is answered."""

    def __init__(self, requests: io.FileIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes, none where they can't be had."""
        _send(self._answers, BYTES_WANTED, memoryview(EXTENT.pack(offset, size)))
        return _read_message(self._requests) or b""


class _Stream(io.RawIOBase):
    """A file whose bytes are asked for; as long as it is in use."""

    def __init__(self, asker: _Asker, size: int) -> None:
        super().__init__()
        self.is_in_use = True
        self._asker = asker
        self._size = size
        self._position = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._asker.read(self._position, len(view)) if self.is_in_use else b""
        view[: len(found)] = found
        self._position += len(found)
        return len(found)


class _Reader:
    """Keeps the file of the last request open."""

    def __init__(self, asker: _Asker) -> None:
        import h5py
        import hdf5plugin  # noqa: F401  registers its filters

        self._h5py = h5py
        self._asker = asker
        self._known: Any = None
        self._file: Any = None
        self._stream: _Stream | None = None

    def read(self, file: Any, name: str, region: list[tuple[int, int]]) -> memoryview:
        if file != self._known:
            self.close()
            self._file, self._known = self._open(file), file
        dataset = self._h5py.Dataset(self._find(name))
        values = dataset[tuple(slice(*part) for part in region[: dataset.ndim])]
        return memoryview(values.reshape(-1).view("u1"))

    def _open(self, file: Any) -> Any:
        if isinstance(file, str):
            with suppress(OSError):
                return self._h5py.File(file, "r", locking=False)
            return self._h5py.File(file, "r", locking=False, swmr=True)  # another process is writing it
        self._stream = _Stream(self._asker, file[1])
        return self._h5py.File(self._stream, "r")

    def _find(self, path: str) -> Any:
        found = self._h5py.h5o.open(self._file.id, b"/")
        for name in filter(None, path.split("/")):
            found = self._member(found, name)
        return found

    def _member(self, group: Any, name: str) -> Any:
        try:
            return self._h5py.h5o.open(group, name.encode())
        except KeyError:  # what isn't UTF-8 in the file was taken for Latin-1
            return self._h5py.h5o.open(group, name.encode("latin-1"))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.is_in_use = False
        if self._file is not None:
            self._file.close()
        self._file = self._known = self._stream = None


if __name__ == "__main__":
    main()
