"""Whether a file is a part of one that libhdf5 divided among several files, which it reads only together.

Source: the HDF5 file format specification, sections II.B "File Driver Info" and IV.A.2 "The Driver Info Message".
"""

from __future__ import annotations

from typing import NamedTuple

from .superblock import HDF5_SIGNATURE, Seekable, size_of, superblock_offset


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
_DRIVER_MESSAGE = 0x14
# Of object headers: that they have times, or numbers of attributes, or that messages have an order.
_HAS_TIMES, _HAS_PHASES, _HAS_ORDER = 0x20, 0x10, 0x04


class _Driver(NamedTuple):
    """By which libhdf5 has written a file, and what that notes of itself."""

    name: bytes
    information: bytes


def why_divided(stream: Seekable) -> str | None:
    """What a file is a part of, and what to do about it; None where it is a whole one."""
    said = _said_of_driver(stream)
    driver = _driver_of_header(said) if said.startswith(b"OHDR") else _driver_of_block(said)
    if driver.name == _FAMILY:
        size = int.from_bytes(driver.information[:_SIZE_BYTES], "little")
        return (
            'this is the first of the files among which the driver "family" of HDF5 divided one; make one of them with '
            "`h5repart -family_to_sec2 NAME%d.h5 one.h5`, with %d for the number in their names, or open them by "
            f'h5py.File("NAME%d.h5", driver="family", memb_size={size})'
        )
    if driver.name == _MULTI:
        return (
            'this is one of the files among which the driver "split" (or "multi") of HDF5 divided one; make one of '
            "them with `h5repack NAME one.h5`, with NAME for what their names have in common, or open them by "
            'h5py.File("NAME", driver="split", meta_ext="-m.h5", raw_ext="-r.h5")'
        )
    return None


def _driver_of_block(block: bytes) -> _Driver:
    return _Driver(block[8:16], block[16:]) if block[:1] == b"\0" else _Driver(b"", b"")


def _driver_of_header(header: bytes) -> _Driver:
    """The driver that a message in an object header of version 2 names."""
    flags = header[5] if len(header) > 5 else 0
    start = 6 + (16 if flags & _HAS_TIMES else 0) + (4 if flags & _HAS_PHASES else 0)
    width = 1 << (flags & 3)
    end = start + width + int.from_bytes(header[start : start + width], "little")
    start += width
    prefix = 6 if flags & _HAS_ORDER else 4
    while start + prefix <= min(end, len(header)):
        kind, size = header[start], int.from_bytes(header[start + 1 : start + 3], "little")
        start += prefix
        if kind == _DRIVER_MESSAGE:
            return _Driver(header[start + 1 : start + 9], header[start + 11 : start + size])
        start += size
    return _Driver(b"", b"")


def _said_of_driver(stream: Seekable) -> bytes:
    """The block, or the object header, in which the driver is named, where a file has one."""
    base = superblock_offset(stream)
    superblock = b"" if base is None else _read(stream, base, _SUPERBLOCK_BYTES)
    place = _PLACES.get(superblock[len(HDF5_SIGNATURE)]) if len(superblock) == _SUPERBLOCK_BYTES else None
    if base is None or place is None:
        return b""
    size = superblock[place.address_size]
    start = place.first_address + place.number * size
    return _read(stream, base + int.from_bytes(superblock[start : start + size], "little"), _SAID_BYTES)


def _read(stream: Seekable, offset: int, size: int) -> bytes:
    if offset >= size_of(stream):
        return b""
    stream.seek(offset)
    return stream.read(size) or b""
