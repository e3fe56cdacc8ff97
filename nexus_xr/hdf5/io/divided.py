"""Whether a file is a part of one that libhdf5 divided among several files, which it reads only together.

Source: the HDF5 file format specification, sections II.B "File Driver Info" and IV.A.2 "The Driver Info Message".
"""

from __future__ import annotations

import os
from typing import NamedTuple

from .superblock import HDF5_SIGNATURE, Seekable, superblock_offset


class _Place(NamedTuple):
    """Where superblocks of a version say how long addresses are, and where something is said of the driver."""

    address_size: int
    first_address: int
    number: int


_PLACES = {0: _Place(13, 24, 3), 1: _Place(13, 28, 3), 2: _Place(9, 12, 1), 3: _Place(9, 12, 1)}
_SUPERBLOCK_BYTES = 64
# Of what is said there: a block of the driver's own, or the object header of what is said of the whole file.
_SAID_BYTES = 512
_FAMILY, _MULTI = b"NCSAfami", b"NCSAmult"
_SIZE_BYTES = 8


def why_divided(stream: Seekable) -> str | None:
    """What a file is a part of, and what to do about it; None where it is a whole one."""
    said = _said_of_driver(stream)
    before, _, behind = said.partition(_FAMILY)
    if behind:
        is_message = before.startswith(b"OHDR")  # which has the length of what follows in between
        start = 2 if is_message else 0
        size = int.from_bytes(behind[start : start + _SIZE_BYTES], "little")
        return (
            'this is the first of the files among which the driver "family" of HDF5 divided one; make one of them with '
            "`h5repart -family_to_sec2 NAME%d.h5 one.h5`, with %d for the number in their names, or open them by "
            f'h5py.File("NAME%d.h5", driver="family", memb_size={size})'
        )
    if _MULTI in said:
        return (
            'this is one of the files among which the driver "split" (or "multi") of HDF5 divided one; make one of '
            "them with `h5repack NAME one.h5`, with NAME for what their names have in common, or open them by "
            'h5py.File("NAME", driver="split", meta_ext="-m.h5", raw_ext="-r.h5")'
        )
    return None


def _said_of_driver(stream: Seekable) -> bytes:
    """The bytes among which the driver's name is, where a file has one."""
    base = superblock_offset(stream)
    superblock = b"" if base is None else _read(stream, base, _SUPERBLOCK_BYTES)
    place = _PLACES.get(superblock[len(HDF5_SIGNATURE)]) if len(superblock) == _SUPERBLOCK_BYTES else None
    if base is None or place is None:
        return b""
    size = superblock[place.address_size]
    start = place.first_address + place.number * size
    return _read(stream, base + int.from_bytes(superblock[start : start + size], "little"), _SAID_BYTES)


def _read(stream: Seekable, offset: int, size: int) -> bytes:
    if offset >= stream.seek(0, os.SEEK_END):
        return b""
    stream.seek(offset)
    return stream.read(size) or b""
