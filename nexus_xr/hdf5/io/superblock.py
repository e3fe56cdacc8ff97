"""The first bytes of an HDF5 file: whether it is one, and whether it is being written.

Source: the HDF5 file format specification, section II.A.
"""

from __future__ import annotations

import os
from typing import Protocol

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class Seekable(Protocol):
    """A stream of bytes that can be read at any position."""

    def seek(self, offset: int, whence: int = ..., /) -> int: ...

    def read(self, size: int = ..., /) -> bytes | None: ...


def has_hdf5_signature(stream: Seekable) -> bool:
    """Whether the signature is where it may be: at the start, or behind a user block of 512, 1024, ... bytes."""
    end = stream.seek(0, os.SEEK_END)
    offset = 0
    while offset < end:
        stream.seek(offset)
        if stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
            return True
        offset = 2 * offset or 512
    return False


def is_being_written(stream: Seekable) -> bool:
    """Whether another process has a file open as well, to add to it (SWMR)."""
    offset = 0
    while stream.seek(offset) == offset and len(start := stream.read(12) or b"") == 12:
        if start.startswith(HDF5_SIGNATURE):
            return start[8] >= 3 and bool(start[11] & 4)
        offset = 2 * offset or 512
    return False
