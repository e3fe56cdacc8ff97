"""A datatype: what the bytes of an element are, and as what they are presented.

Source: the HDF5 file format specification, section IV.A.2.d. Which NumPy dtype stands for a datatype is what h5py has
for it, and so are the metadata by which it tells text, enumerations and references from other dtypes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np

from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError

# What a pointer, a sequence and references take in memory, for which libhdf5 lays compounds out anew.
_POINTER_BYTES, _SEQUENCE_BYTES, _OBJECT_BYTES, _REGION_BYTES = 8, 16, 8, 12
_OFFSET_SIZES = (2, 4, 8)
# Numbers as `struct` has them.
_LETTERS = {
    "i1": "b",
    "i2": "h",
    "i4": "i",
    "i8": "q",
    "u1": "B",
    "u2": "H",
    "u4": "I",
    "u8": "Q",
    "f4": "f",
    "f8": "d",
}
# Beside an address, what is in the file's heap is found by an index, and texts and sequences have a length.
_LENGTH_BYTES, _INDEX_BYTES = 4, 4


class Conversion(Enum):
    """What makes values of the stored elements."""

    NONE = auto()
    TERMINATED_TEXT = auto()
    SPACED_TEXT = auto()
    PARTIAL_INTEGER = auto()
    OTHER_FLOAT = auto()
    BOOLEAN = auto()
    COMPLEX = auto()
    COMPOUND = auto()
    ARRAY = auto()
    VARYING_TEXT = auto()
    SEQUENCE = auto()
    OBJECT_REFERENCE = auto()
    REGION_REFERENCE = auto()


_OF_THE_HEAP = {Conversion.VARYING_TEXT, Conversion.SEQUENCE, Conversion.REGION_REFERENCE}
_REFERENCES = {Conversion.OBJECT_REFERENCE, Conversion.REGION_REFERENCE}


class Member(NamedTuple):
    """A part of a compound, and where in it the part is."""

    name: str
    offset: int
    datatype: Datatype


@dataclass(frozen=True)
class Datatype:
    """A datatype.

    Parameters
    ----------
    size
        Bytes of an element in the file.
    stored
        The dtype of what is in the file.
    dtype
        The dtype of the values, as h5py has it.
    conversion
        What leads from the one to the other.
    base
        The datatype of the elements of an array or a sequence.
    parts
        The parts of a compound.
    memory_size
        Bytes of an element that libhdf5 has in memory.
    bits
        Where in an element its bits are: offset and precision of an integer, or the parts of a floating-point number.
    """

    size: int
    stored: np.dtype[Any]
    dtype: np.dtype[Any]
    conversion: Conversion = Conversion.NONE
    base: Datatype | None = None
    parts: tuple[Member, ...] = ()
    memory_size: int = 0
    bits: tuple[int, ...] = ()

    @cached_property
    def element(self) -> np.dtype[Any]:
        """The dtype of the elements of an array, or the dtype itself."""
        return _innermost(self.dtype)

    @cached_property
    def inner_shape(self) -> tuple[int, ...]:
        """The dimensions that an array adds behind those of a dataspace."""
        shape, dtype = self.dtype.shape, self.dtype.base
        while dtype.subdtype is not None:
            shape, dtype = shape + dtype.shape, dtype.base
        return shape

    @cached_property
    def number(self) -> struct.Struct | None:
        """What unpacks an element that is a number of Python; None of others."""
        order, kind = self.stored.str[0], self.stored.str[1:]
        if self.conversion is not Conversion.NONE or kind not in _LETTERS:
            return None
        return struct.Struct(order.replace("|", "=") + _LETTERS[kind])

    @property
    def innermost(self) -> Datatype:
        """The datatype of the elements of an array that have to be converted, or the datatype itself."""
        return self.base.innermost if self.conversion is Conversion.ARRAY and self.base is not None else self

    @cached_property
    def is_text(self) -> bool:
        """Whether values are text, of fixed or of varying length."""
        return self.element.kind == "S" or self.innermost.conversion is Conversion.VARYING_TEXT

    @cached_property
    def has_references(self) -> bool:
        """Whether there are references to objects or regions among the values, or within them."""
        return self._has(_REFERENCES)

    @cached_property
    def has_vlen(self) -> bool:
        """Whether values, or parts of them, are in the file's heap."""
        return self._has(_OF_THE_HEAP)

    @cached_property
    def has_varying_regions(self) -> bool:
        """Whether there are references to regions within elements of varying length."""
        if self.conversion is Conversion.SEQUENCE and self._has({Conversion.REGION_REFERENCE}):
            return True
        return any(each.has_varying_regions for each in self._within)

    @property
    def _within(self) -> list[Datatype]:
        return [part.datatype for part in self.parts] + ([self.base] if self.base else [])

    def _has(self, conversions: set[Conversion]) -> bool:
        return self.conversion in conversions or any(each._has(conversions) for each in self._within)


def _innermost(dtype: np.dtype[Any]) -> np.dtype[Any]:
    while dtype.subdtype is not None:
        dtype = dtype.base
    return dtype


def numpy_dtype(described: Any, metadata: dict[str, Any] | None = None) -> np.dtype[Any]:
    """The dtype that NumPy has for a description.

    Raises
    ------
    UnsupportedError
        It has none.
    """
    try:
        dtype: np.dtype[Any] = np.dtype(described, metadata=metadata) if metadata else np.dtype(described)
    except (ValueError, TypeError, OverflowError) as error:
        raise UnsupportedError("datatypes that NumPy has no dtype for") from error
    return dtype


def plain(size: int, dtype: np.dtype[Any]) -> Datatype:
    """A datatype whose stored bytes are its values."""
    return Datatype(size, dtype, dtype, memory_size=size)


def partial_integer(size: int, dtype: np.dtype[Any], bits: tuple[int, int]) -> Datatype:
    """Integers that don't take all bits of their bytes."""
    stored = np.dtype(f"u{size}").newbyteorder(dtype.byteorder)
    return Datatype(size, stored, dtype, Conversion.PARTIAL_INTEGER, memory_size=size, bits=bits)


def other_float(size: int, stored: np.dtype[Any], dtype: np.dtype[Any], bits: tuple[int, ...]) -> Datatype:
    """Floating-point numbers that are presented as others, which are as exact."""
    return Datatype(size, stored, dtype, Conversion.OTHER_FLOAT, memory_size=dtype.itemsize, bits=bits)


def boolean(base: Datatype) -> Datatype:
    """Integers that are 0 or 1, and stand for false and true."""
    dtype = np.dtype(bool)
    if base.size == dtype.itemsize:
        return plain(base.size, dtype)
    return Datatype(base.size, base.dtype, dtype, Conversion.BOOLEAN, memory_size=dtype.itemsize)


def fixed_text(size: int, encoding: str, conversion: Conversion) -> Datatype:
    """Text of so many bytes."""
    dtype = numpy_dtype(f"S{size}", {"h5py_encoding": encoding})
    return Datatype(size, dtype, dtype, conversion, memory_size=size)


def varying_text(size: int, python_type: type) -> Datatype:
    """Text in the file's heap."""
    dtype = numpy_dtype("O", {"vlen": python_type})
    return Datatype(size, _in_heap(size), dtype, Conversion.VARYING_TEXT, memory_size=_POINTER_BYTES)


def sequence(size: int, base: Datatype) -> Datatype:
    """Elements in the file's heap, of varying number."""
    dtype = numpy_dtype("O", {"vlen": base.dtype})
    return Datatype(size, _in_heap(size), dtype, Conversion.SEQUENCE, base, memory_size=_SEQUENCE_BYTES)


def _in_heap(size: int) -> np.dtype[Any]:
    address = _address_bytes(size - _LENGTH_BYTES - _INDEX_BYTES)
    return np.dtype([("length", "<u4"), ("address", address), ("index", "<u4")])


def _address_bytes(size: int) -> str:
    if size not in _OFFSET_SIZES:
        raise FormatError(f"a datatype has addresses of {size} bytes")
    return f"<u{size}"


def object_reference(size: int) -> Datatype:
    """The address of an object."""
    from h5py import Reference

    dtype = numpy_dtype("O", {"ref": Reference})
    stored = np.dtype(_address_bytes(size))
    return Datatype(size, stored, dtype, Conversion.OBJECT_REFERENCE, memory_size=_OBJECT_BYTES)


def region_reference(size: int) -> Datatype:
    """A dataset's address and a selection, in the file's heap."""
    from h5py import RegionReference

    dtype = numpy_dtype("O", {"ref": RegionReference})
    stored = np.dtype([("address", _address_bytes(size - _INDEX_BYTES)), ("index", "<u4")])
    return Datatype(size, stored, dtype, Conversion.REGION_REFERENCE, memory_size=_REGION_BYTES)


def array(size: int, base: Datatype, shape: tuple[int, ...]) -> Datatype:
    """As many elements as a shape has.

    Raises
    ------
    FormatError
        They don't take as many bytes as they are said to.
    """
    count = prod(shape)
    if not count or count * base.size != size:
        raise FormatError(f"a datatype has {size} bytes for an array of shape {shape}")
    dtype, stored = numpy_dtype((base.dtype, shape)), numpy_dtype((base.stored, shape))
    conversion = Conversion.NONE if base.conversion is Conversion.NONE else Conversion.ARRAY
    return Datatype(size, stored, dtype, conversion, base, memory_size=count * base.memory_size)
