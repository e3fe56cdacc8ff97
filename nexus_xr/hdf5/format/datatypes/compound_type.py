"""Compounds: where their parts are in the file and in memory, and which of them are complex numbers.

Source: the HDF5 file format specification, section IV.A.2.d, class 6. In memory, parts are where libhdf5 has them, and
h5py with it: pointers take fewer bytes there than what they stand for takes in the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError

from .stored_type import Conversion, Datatype, Member, numpy_dtype, plain


def compound(size: int, parts: Sequence[Member]) -> Datatype:
    """Parts of other datatypes, or a complex number of two numbers, r and i.

    Raises
    ------
    FormatError
        The parts aren't apart, or don't find room.
    UnsupportedError
        Only h5py knows where the parts are in memory.
    """
    _check_room(size, parts)
    if any(part.datatype.innermost.conversion is Conversion.OTHER_FLOAT for part in parts):
        raise UnsupportedError("compounds of floating-point numbers that NumPy doesn't have")
    stored = numpy_dtype(_layout(size, parts, [part.datatype.stored for part in parts]))
    complex_dtype = _complex_dtype(parts)
    if complex_dtype is not None:
        is_packed = size == complex_dtype.itemsize and not parts[0].offset
        if is_packed:
            return plain(size, complex_dtype)
        return Datatype(size, stored, complex_dtype, Conversion.COMPLEX, None, tuple(parts), size)
    if all(part.datatype.conversion is Conversion.NONE for part in parts):
        return Datatype(size, stored, stored, Conversion.NONE, None, tuple(parts), size)
    memory_size, placed = _placed_in_memory(size, parts)
    dtype = numpy_dtype(_layout(memory_size, placed, [part.datatype.dtype for part in placed]))
    return Datatype(size, stored, dtype, Conversion.COMPOUND, None, tuple(parts), memory_size)


def _check_room(size: int, parts: Sequence[Member]) -> None:
    end = 0
    for part in sorted(parts, key=lambda part: part.offset):
        if part.offset < end:
            raise FormatError("a datatype has parts that overlap")
        end = part.offset + part.datatype.size
    if not parts or end > size:
        raise FormatError(f"a datatype has {len(parts)} parts that end at byte {end} of {size}")


def _layout(size: int, parts: Sequence[Member], formats: list[np.dtype[Any]]) -> dict[str, Any]:
    names, offsets = [part.name for part in parts], [part.offset for part in parts]
    return {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}


def _placed_in_memory(size: int, parts: Sequence[Member]) -> tuple[int, list[Member]]:
    """How large a compound is in memory, and where its parts are: in the order of their places."""
    shift = 0
    placed = []
    for part in sorted(parts, key=lambda part: part.offset):
        placed.append(part._replace(offset=part.offset + shift))
        shift += part.datatype.memory_size - part.datatype.size
    return size + shift, placed


def _complex_dtype(parts: Sequence[Member]) -> np.dtype[Any] | None:
    if [part.name for part in parts] != ["r", "i"]:
        return None
    real, imaginary = (part.datatype.dtype for part in parts)
    is_exact = all(part.datatype.conversion is Conversion.NONE for part in parts)
    return complex_of(real) if is_exact and real == imaginary and real.kind == "f" else None


def complex_of(part: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype of complex numbers whose two parts are of a dtype, if there is one."""
    if part.itemsize not in (4, 8, np.dtype(np.longdouble).itemsize):
        return None
    return np.dtype(f"{part.byteorder}c{2 * part.itemsize}")
