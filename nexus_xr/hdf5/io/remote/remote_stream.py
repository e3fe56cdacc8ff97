"""A remote file as a stream for libhdf5."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nexus_xr.errors import anew

from .remote_file import RemoteFile


class RemoteStream(io.RawIOBase):
    """A remote file as libhdf5 reads it.

    libhdf5 makes of an error what it likes, so the first one is kept.
    """

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self.failure: BaseException | None = None
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            with _without_collector():
                count = self._file.read_into(view, self._position)
        except BaseException as error:
            self.failure = self.failure or anew(error)
            raise
        self._position += count
        return count


@contextmanager
def _without_collector() -> Iterator[None]:
    # This thread has h5py's lock and waits for the one that fetches. If garbage were collected there, and objects of
    # h5py among it, that one would wait for the lock.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
