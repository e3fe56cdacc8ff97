"""The first bytes of an HDF5 file: whether it is one, and whether it is being written.

Source: the HDF5 file format specification, section II.A.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Protocol

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Flags of a superblock: somebody has the file open to write it, and others may read it meanwhile.
WRITING, SWMR = 1, 4
# Takes these flags away. Where a writer was killed, the superblock says that the file ends where it did at first, and
# h5clear cuts it there, unless it is told in the same call that it ends where it does.
CLEARS_FLAGS = "h5clear --status --increment=0"
_FIRST_WITH_FLAGS = 3  # the version, which is the first byte behind the signature
# Of versions 2 and 3, with addresses of 8 bytes, up to the address of the root; and a flag of an object header.
_SUPERBLOCK_BYTES, _STORES_TIMES = 44, 0x20
_ADDRESS_BYTES, _ADDRESSES_AT = 8, (12, 20, 28, 36)
_FLAGS_AT = len(HDF5_SIGNATURE) + 3  # behind the version and two sizes


class Seekable(Protocol):
    """A stream of bytes that can be read at any position."""

    def seek(self, offset: int, whence: int = ..., /) -> object: ...

    def tell(self) -> int: ...

    def read(self, size: int = ..., /) -> bytes | None: ...


def size_of(stream: Seekable) -> int:
    """How many bytes there are, which `seek` doesn't tell for every stream."""
    stream.seek(0, os.SEEK_END)
    return stream.tell()


def has_hdf5_signature(stream: Seekable) -> bool:
    """Whether the signature is where it may be."""
    return superblock_offset(stream) is not None


def superblock_offset(stream: Seekable) -> int | None:
    """Where the signature is: at the start, or behind a user block of 512, 1024, ... bytes; None where it isn't."""
    for offset in possible_offsets(size_of(stream)):
        stream.seek(offset)
        if stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE:
            return offset
    return None


def possible_offsets(size: int) -> Iterator[int]:
    """Where a superblock may be in so many bytes.

    Examples
    --------
    >>> list(possible_offsets(2049))
    [0, 512, 1024, 2048]
    """
    offset = 0
    while offset < size:
        yield offset
        offset = 2 * offset or 512


def is_being_written(stream: Seekable) -> bool:
    """Whether another process has a file open as well, to add to it (SWMR)."""
    return bool(flags_in(stream) & SWMR)


def flags_in(stream: Seekable) -> int:
    """What the superblock of a file says of those who have it open; nothing where there is none."""
    offset = superblock_offset(stream)
    if offset is None:
        return 0
    stream.seek(offset)
    start = stream.read(_FLAGS_AT + 1) or b""
    return flags_of(start) if len(start) > _FLAGS_AT else 0


def birth_of(stream: Seekable) -> int | None:
    """When the root group was made, in seconds; None where that isn't said, or the file is of a format before 1.8.

    Source: section IV.A.1.b of the specification (version 2 object headers).
    """
    offset = superblock_offset(stream)
    if offset is None:
        return None
    start = _bytes_at(stream, offset, _SUPERBLOCK_BYTES)
    is_known = len(start) == _SUPERBLOCK_BYTES and start[len(HDF5_SIGNATURE)] in (2, 3)
    if not is_known or start[len(HDF5_SIGNATURE) + 1] != _ADDRESS_BYTES:
        return None
    base, _, _, root = (int.from_bytes(start[at : at + _ADDRESS_BYTES], "little") for at in _ADDRESSES_AT)
    if base + root > size_of(stream):
        return None
    header = _bytes_at(stream, base + root, 22)
    has_times = header[:5] == b"OHDR\2" and len(header) == 22 and bool(header[5] & _STORES_TIMES)
    return int.from_bytes(header[18:], "little") if has_times else None


def _bytes_at(stream: Seekable, offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size) or b""


def flags_of(start: bytes) -> int:
    """What a superblock says of those who have the file open; those before version 3 say nothing."""
    return start[_FLAGS_AT] if start[len(HDF5_SIGNATURE)] >= _FIRST_WITH_FLAGS else 0
