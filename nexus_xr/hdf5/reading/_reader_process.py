"""A process that reads chunks through libhdf5 for another: run as a script, it needs none of this package.

Requests come on the standard input, each a pickle behind its length: (path of the file, path of the dataset, one
(start, stop) a dimension), or None to close the file. Answers go to the standard output: a status byte and a length,
then the values or the text of an error.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import struct
import sys
from typing import Any, BinaryIO

# Nobody asked for so long: the process ends, and another is started when one is needed again.
IDLE_SECONDS = 60
IDLE_STATUS = 75
REQUEST = struct.Struct("<Q")
ANSWER = struct.Struct("<BQ")


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some compression libraries print
    requests = os.fdopen(os.dup(0), "rb", buffering=0)  # what is buffered, `select` wouldn't see
    reader = _Reader()
    while select.select([requests], [], [], IDLE_SECONDS)[0]:
        head = _read_exactly(requests, REQUEST.size)
        if not head:
            return
        asked = pickle.loads(_read_exactly(requests, *REQUEST.unpack(head)))
        if asked is None:
            reader.close()
        else:
            _answer(answers, reader, asked)
    sys.exit(IDLE_STATUS)


def _read_exactly(stream: io.FileIO, size: int) -> bytes:
    content = b""
    while len(content) < size and (part := stream.read(size - len(content))):
        content += part
    return content


def _answer(answers: BinaryIO, reader: _Reader, asked: Any) -> None:
    status, content = 0, memoryview(b"")
    try:
        content = reader.read(*asked)
    except Exception as error:
        status, content = 1, memoryview(str(error).encode(errors="replace"))
    answers.write(ANSWER.pack(status, content.nbytes))
    answers.write(content)
    answers.flush()


class _Reader:
    """Keeps the file of the last request open."""

    def __init__(self) -> None:
        import h5py
        import hdf5plugin  # noqa: F401  registers its filters

        self._open = h5py.File
        self._path: str | None = None
        self._file: Any = None

    def read(self, path: str, name: str, region: list[tuple[int, int]]) -> memoryview:
        if path != self._path:
            self.close()
            self._file, self._path = self._open(path, "r", locking=False), path
        values = self._file[name][tuple(slice(*part) for part in region)]
        return memoryview(values.reshape(-1).view("u1"))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._path = None


if __name__ == "__main__":
    main()
