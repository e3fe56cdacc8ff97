"""Datatypes as messages describe them, one within the other.

Source: the HDF5 file format specification, section IV.A.2.d (the datatype message); version 5 and complex numbers,
which it hasn't, as HDF5 2.0 writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from nexus_xr.hdf5.format.faults import FormatError, NoDtypeError, UnsupportedError
from nexus_xr.hdf5.format.fields import Fields

from . import stored_type
from .compound_type import complex_of, compound
from .number_types import FLOAT_BYTES, floating_point, integer, is_signed, other_float
from .stored_type import Conversion, Datatype, Member, plain

__all__ = ["Conversion", "Datatype", "Member", "parse_datatype"]

_WHAT = "a datatype"
_MOST_TYPES = 4096
_MOST_LEVELS, _MOST_DIMENSIONS, _OLD_DIMENSIONS = 32, 32, 4
_LAST_VERSION = 5
# From version 3 on, nothing is padded.
_PACKED = 3
_PAD = 8
_TERMINATED, _NULL_PADDED, _SPACE_PADDED = 0, 1, 2
_TEXT_CONVERSIONS = {
    _TERMINATED: Conversion.TERMINATED_TEXT,
    _NULL_PADDED: Conversion.NONE,
    _SPACE_PADDED: Conversion.SPACED_TEXT,
}
_ENCODINGS = {0: "ascii", 1: "utf-8"}
_SEQUENCE, _TEXT = 0, 1
_OBJECT, _REGION = 0, 1
_BOOLEAN = {"FALSE": 0, "TRUE": 1}
# Of a part of a unit of time, as NumPy never writes it: of one by zero it ends the process.
_OF_NO_DTYPE = b"/"
# What h5py writes in the tag of opaque elements that are of a NumPy dtype.
_NUMPY_TAG = re.compile(rb"NUMPY:([<>=|]?[biufcmM]\d{0,2}(?:\[\w{0,20}\])?)\Z")


class _Head(NamedTuple):
    """What each datatype begins with."""

    version: int
    flags: int
    size: int


@lru_cache(_MOST_TYPES)
def parse_datatype(content: bytes) -> Datatype:
    """The datatype that a message describes.

    Raises
    ------
    FormatError
        It contradicts itself, or the message ends before it does.
    UnsupportedError
        NumPy has no dtype for it, or it is of a class that only libhdf5 is asked about.

    Examples
    --------
    >>> parse_datatype(bytes.fromhex("100900000200000000001000")).dtype
    dtype('>i2')
    """
    return _datatype(Fields(content, _WHAT), 0)


def _datatype(fields: Fields, level: int) -> Datatype:
    if level > _MOST_LEVELS:
        # Libhdf5 follows them, for many seconds in files that are made to keep it busy.
        raise FormatError(f"{_WHAT} is within more than {_MOST_LEVELS} others")
    first = fields.number(1)
    head = _Head(first >> 4, fields.number(3), fields.number(4))
    if not 1 <= head.version <= _LAST_VERSION:
        raise FormatError(f"{_WHAT} has version {head.version}")
    if not head.size:
        raise FormatError(f"{_WHAT} has elements of no bytes")
    parse = _CLASSES.get(first & 15)
    if parse is None:
        raise FormatError(f"{_WHAT} is of class {first & 15}")
    return parse(head, fields, level)


def _integer(head: _Head, fields: Fields, level: int) -> Datatype:
    offset, precision = fields.number(2), fields.number(2)
    dtype = integer(head.size, head.flags, is_signed=is_signed(head.flags))
    if (offset, precision) == (0, 8 * head.size):
        return plain(head.size, dtype)
    if not 0 < precision <= 8 * head.size - offset:
        raise FormatError(f"{_WHAT} has integers of {precision} bits from bit {offset} on in {head.size} bytes")
    return stored_type.partial_integer(head.size, dtype, (offset, precision))


def _bit_field(head: _Head, fields: Fields, level: int) -> Datatype:
    offset, precision = fields.number(2), fields.number(2)
    if (offset, precision) != (0, 8 * head.size):
        raise UnsupportedError("bit fields that don't take all bits of their bytes")
    return plain(head.size, integer(head.size, head.flags, is_signed=False))


def _float(head: _Head, fields: Fields, level: int) -> Datatype:
    properties = fields.take(FLOAT_BYTES)
    dtype = floating_point(head.size, head.flags, properties)
    if dtype is not None:
        return plain(head.size, dtype)
    return stored_type.other_float(head.size, *other_float(head.size, head.flags, properties))


def _time(head: _Head, fields: Fields, level: int) -> Datatype:
    raise NoDtypeError("NumPy has no such times")


def _text(head: _Head, fields: Fields, level: int) -> Datatype:
    conversion = _TEXT_CONVERSIONS.get(head.flags & 15)
    if conversion is None:
        raise FormatError(f"{_WHAT} has text with padding {head.flags & 15}")
    return stored_type.fixed_text(head.size, _encoding(head.flags >> 4 & 15), conversion)


def _encoding(number: int) -> str:
    if number not in _ENCODINGS:
        raise FormatError(f"{_WHAT} has text in encoding {number}")
    return _ENCODINGS[number]


def _opaque(head: _Head, fields: Fields, level: int) -> Datatype:
    tag = fields.take(head.flags & 0xFF).partition(b"\0")[0]
    if not tag.startswith(b"NUMPY:"):
        return plain(head.size, stored_type.numpy_dtype(f"V{head.size}"))
    if _OF_NO_DTYPE in tag:
        raise FormatError(f"{_WHAT} has the tag {tag!r}, which is that of no dtype")
    described = _NUMPY_TAG.match(tag)
    if not described:
        raise UnsupportedError("opaque elements of a dtype of any kind")
    dtype = stored_type.numpy_dtype(described[1].decode(), {"h5py_opaque": True})
    if dtype.itemsize != head.size:
        raise UnsupportedError("opaque elements of another size than their dtype")
    return plain(head.size, dtype)


def _compound(head: _Head, fields: Fields, level: int) -> Datatype:
    return compound(head.size, [_part(head, fields, level) for _ in range(head.flags & 0xFFFF)])


def _part(head: _Head, fields: Fields, level: int) -> Member:
    name = _decoded(_name(head.version, fields))
    offset = fields.number((head.size.bit_length() + 7) // 8 if head.version >= _PACKED else 4)
    shape = _old_dimensions(fields) if head.version == 1 else ()
    datatype = _datatype(fields, level + 1)
    if shape:
        datatype = _array_of(datatype, shape)
    return Member(name, offset, datatype)


def _name(version: int, fields: Fields) -> bytes:
    begin = fields.position
    name = fields.text()
    if version < _PACKED:
        fields.take(-(fields.position - begin) % _PAD)
    return name


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise UnsupportedError("compounds with names that aren't in UTF-8") from error


def _old_dimensions(fields: Fields) -> tuple[int, ...]:
    """Of an array that version 1 has as a part of a compound, and only there."""
    rank = fields.number(1)
    if rank > _OLD_DIMENSIONS:
        raise FormatError(f"{_WHAT} has an array of {rank} dimensions")
    fields.take(3 + 4 + 4)
    return tuple(fields.number(4) for _ in range(_OLD_DIMENSIONS))[:rank]


def _array_of(base: Datatype, shape: tuple[int, ...]) -> Datatype:
    size = base.size
    for length in shape:
        size *= length
    return stored_type.array(size, base, shape)


def _reference(head: _Head, fields: Fields, level: int) -> Datatype:
    make = {_OBJECT: stored_type.object_reference, _REGION: stored_type.region_reference}.get(head.flags & 15)
    if make is None:
        raise NoDtypeError("h5py has no values for references of HDF5 1.12")
    reference = make(head.size)
    # In files with small addresses, libhdf5 writes what it has in memory, as far as there is room for it.
    if reference.memory_size != head.size:
        raise UnsupportedError("references that aren't stored as they should be")
    return reference


def _enumeration(head: _Head, fields: Fields, level: int) -> Datatype:
    base = _datatype(fields, level + 1)
    if base.conversion is not Conversion.NONE:
        raise UnsupportedError("enumerations of integers that don't take all bits of their bytes")
    if base.dtype.kind not in "iu":
        raise FormatError(f"{_WHAT} has an enumeration of what isn't integers")
    if base.size != head.size:
        raise FormatError(f"{_WHAT} has an enumeration of {head.size} bytes in {base.size}")
    names = [_enumerated(_name(head.version, fields)) for _ in range(head.flags & 0xFFFF)]
    values = np.frombuffer(fields.take(len(names) * base.size), base.dtype)
    members = dict(zip(names, values.astype(np.int64).tolist(), strict=True))
    if members == _BOOLEAN:
        return stored_type.boolean(base)
    return plain(head.size, stored_type.numpy_dtype(base.dtype, {"enum": members}))


def _enumerated(name: bytes) -> str | bytes:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name


def _varying(head: _Head, fields: Fields, level: int) -> Datatype:
    base = _datatype(fields, level + 1)
    kind = head.flags & 15
    if kind == _SEQUENCE:
        return stored_type.sequence(head.size, base)
    if kind == _TEXT:
        return stored_type.varying_text(head.size, str if _encoding(head.flags >> 8 & 15) == "utf-8" else bytes)
    raise FormatError(f"{_WHAT} is of varying length, but neither text nor a sequence")


def _array(head: _Head, fields: Fields, level: int) -> Datatype:
    rank = fields.number(1)
    if not 0 < rank <= _MOST_DIMENSIONS:
        raise FormatError(f"{_WHAT} has an array of {rank} dimensions")
    is_packed = head.version >= _PACKED
    fields.take(0 if is_packed else 3)
    shape = tuple(fields.number(4) for _ in range(rank))
    fields.take(0 if is_packed else 4 * rank)
    return stored_type.array(head.size, _datatype(fields, level + 1), shape)


def _complex(head: _Head, fields: Fields, level: int) -> Datatype:
    base = _datatype(fields, level + 1)
    if base.conversion is not Conversion.NONE:
        raise UnsupportedError("complex numbers of parts that NumPy doesn't have")
    if base.dtype.kind != "f" or 2 * base.size != head.size:
        raise FormatError(f"{_WHAT} has complex numbers of {head.size} bytes in parts of {base.size}")
    dtype = complex_of(base.dtype)
    if dtype is None:
        raise UnsupportedError("complex numbers that NumPy doesn't have")
    return plain(head.size, dtype)


# By the numbers of the classes.
_CLASSES: dict[int, Callable[[_Head, Fields, int], Datatype]] = {
    0: _integer,
    1: _float,
    2: _time,
    3: _text,
    4: _bit_field,
    5: _opaque,
    6: _compound,
    7: _reference,
    8: _enumeration,
    9: _varying,
    10: _array,
    11: _complex,
}
