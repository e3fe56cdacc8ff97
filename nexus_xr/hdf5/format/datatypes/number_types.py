"""The dtypes of integers and of floating-point numbers, which a datatype describes bit by bit.

Source: the HDF5 file format specification, section IV.A.2.d, classes 0 (fixed-point), 1 (floating-point) and 4 (bit
field); IEEE 754.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from nexus_xr.hdf5.format.faults import NoDtypeError, UnsupportedError

_INTEGER_SIZES = (1, 2, 4, 8)
_BIG_ENDIAN, _SIGNED, _VAX_ENDIAN = 0x01, 0x08, 0x40
# Offset and precision in bits, places and sizes in bits of exponent and mantissa, bias of the exponent.
_FLOAT = struct.Struct("<HHBBBBI")
FLOAT_BYTES = _FLOAT.size
_NORMALIZATION, _FIRST_BIT_IMPLIED, _FIRST_BIT_STORED = 0x30, 0x20, 0x00
# Of each number of bytes: the place of the sign, how the mantissa begins, and what else describes the number.
_FLOATS = {
    2: (15, _FIRST_BIT_IMPLIED, (0, 16, 10, 5, 0, 10, 15)),
    4: (31, _FIRST_BIT_IMPLIED, (0, 32, 23, 8, 0, 23, 127)),
    8: (63, _FIRST_BIT_IMPLIED, (0, 64, 52, 11, 0, 52, 1023)),
}
# What other numbers are presented as: the first that is as exact and as large, as h5py has it.
_OTHER_FLOATS = tuple(map(np.dtype, ("f2", "f4", "f8")))
# What a long double is depends on the machine; those of the other machines have to be converted.
_EXTENDED_MANTISSA = 63
if np.finfo(np.longdouble).nmant == _EXTENDED_MANTISSA:
    _FLOATS[np.dtype(np.longdouble).itemsize] = (79, _FIRST_BIT_STORED, (0, 80, 64, 15, 0, 64, 16383))


def integer(size: int, flags: int, *, is_signed: bool) -> np.dtype[Any]:
    """The dtype of integers.

    Raises
    ------
    NoDtypeError
        They are of a size that NumPy doesn't have.
    """
    if size not in _INTEGER_SIZES:
        raise NoDtypeError(f"NumPy has no integers of {size} bytes")
    return np.dtype(f"{_order(flags)}{'i' if is_signed else 'u'}{size}")


def is_signed(flags: int) -> bool:
    """Whether the integers of a datatype with such flags have a sign."""
    return bool(flags & _SIGNED)


def floating_point(size: int, flags: int, properties: bytes) -> np.dtype[Any] | None:
    """The dtype of floating-point numbers as IEEE 754 and this machine have them; None of others."""
    sign, normalization = flags >> 8 & 0xFF, flags & _NORMALIZATION
    if flags & _VAX_ENDIAN or _FLOATS.get(size) != (sign, normalization, _FLOAT.unpack(properties)):
        return None
    return np.dtype(f"{_order(flags)}f{size}")


class FloatBits(NamedTuple):
    """Where the parts of a floating-point number are that isn't as IEEE 754 has it, in bits, and its bias."""

    sign: int
    exponent: int
    exponent_size: int
    mantissa: int
    mantissa_size: int
    bias: int

    def fits(self, dtype: np.dtype[Any]) -> bool:
        """Whether numbers of a dtype are as exact and as large."""
        known = np.finfo(dtype)
        largest, smallest = 2**self.exponent_size - self.bias - 1, 1 - self.bias
        return self.mantissa_size <= known.nmant and largest <= known.maxexp and smallest >= known.minexp


def other_float(size: int, flags: int, properties: bytes) -> tuple[np.dtype[Any], np.dtype[Any], FloatBits]:
    """The dtypes of what is stored, and of the values, of floating-point numbers that NumPy doesn't have.

    Raises
    ------
    UnsupportedError
        Only libhdf5 makes values of them.
    """
    _, _, exponent, exponent_size, mantissa, mantissa_size, bias = _FLOAT.unpack(properties)
    bits = FloatBits(flags >> 8 & 0xFF, exponent, exponent_size, mantissa, mantissa_size, bias)
    fitting = [each for each in _OTHER_FLOATS if each.itemsize >= size and bits.fits(each)]
    is_usual = not flags & _VAX_ENDIAN and flags & _NORMALIZATION == _FIRST_BIT_IMPLIED and exponent_size
    if size not in _INTEGER_SIZES or not is_usual or not fitting:
        raise UnsupportedError("floating-point numbers that NumPy doesn't have")
    order = _order(flags)
    return np.dtype(f"{order}u{size}"), np.dtype(f"{order}{fitting[0].str[1:]}"), bits


def _order(flags: int) -> str:
    return ">" if flags & _BIG_ENDIAN else "<"
