"""Values of elements from their stored bytes.

Source: the HDF5 file format specification, section IV.A.2.d (what a datatype says about stored bytes) and section III.E
(the global heap, where what is of varying length is). The values are those that h5py has of them, but for references:
these are addresses of objects, and for others to name.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise, repeat
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .datatypes.number_types import FloatBits
from .datatypes.stored_type import Conversion, Datatype
from .faults import FormatError
from .heaps.global_heap import GlobalHeap

# Length, address and index of a text of varying length, by the bytes that they take.
_PLACES = {place.size: place for place in map(struct.Struct, ("<IHI", "<III", "<IQI"))}
_LONGEST_EMPTY = 1 << 58
# Texts one behind the other that are in one collection are found together, from so many in each on.
_LEAST_OF_COLLECTION = 8


def is_too_long(shape: tuple[int, ...]) -> bool:
    """Whether there are no elements, and yet NumPy has no array of that shape, as its other dimensions are too long.

    Examples
    --------
    >>> is_too_long((0, 10**12)), is_too_long((0, 1 << 62))
    (False, True)
    """
    return 0 in shape and prod(filter(None, shape)) >= _LONGEST_EMPTY


def decode_values(raw: bytes, datatype: Datatype, shape: tuple[int, ...], heap: GlobalHeap) -> NDArray[Any]:
    """The values of elements.

    Parameters
    ----------
    raw
        The bytes of all elements.
    datatype
        What they are bytes of.
    shape
        In which dimensions the elements are; those of an array datatype come behind them.
    heap
        Where elements of varying length are.

    Raises
    ------
    FormatError
        There are more or fewer bytes, what is in the heap isn't as long as the elements say, or no array has that
        shape.
    """
    count = prod(shape)
    if is_too_long(shape + datatype.inner_shape):
        raise FormatError(f"no array has the shape {shape}")
    if count * datatype.size != len(raw):
        raise FormatError(f"{count} elements of {datatype.size} bytes aren't {len(raw)} bytes")
    return _decoded(raw, datatype, count, _Heap(heap)).reshape(shape + datatype.inner_shape)


def decode_one(raw: bytes, datatype: Datatype, heap: GlobalHeap) -> Any:
    """The value of one element that is no array: bytes of text, or what NumPy has as a Python object.

    Raises
    ------
    FormatError
        There are more or fewer bytes, or what is in the heap isn't as long as the element says.
    """
    # Nearly all values of a tree are such, for which there is a shorter way than by an array.
    if len(raw) == datatype.size:
        if datatype.number is not None:
            return datatype.number.unpack(raw)[0]
        if datatype.conversion is Conversion.VARYING_TEXT:
            return _text(heap, *_PLACES[datatype.size].unpack(raw))
        if datatype.conversion is Conversion.NONE and datatype.stored.names is None:
            return only_element(np.ndarray((), datatype.stored, raw))
    return only_element(decode_values(raw, datatype, (), heap))


def only_element(values: NDArray[Any]) -> Any:
    """The one element of an array as Python has it, or as NumPy has it: compounds, dates and lengths of time.

    Python has no times of nanoseconds or of years, nor one that is missing.

    Examples
    --------
    >>> only_element(np.array([1.5])), only_element(np.array([3], "m8[ns]"))
    (1.5, np.timedelta64(3,'ns'))
    """
    is_python = values.dtype.names is None and values.dtype.kind not in "mM"
    return values.item() if is_python else values.reshape(())[()]


def _text(heap: GlobalHeap, length: int, address: int, index: int) -> bytes:
    """A text up to its end, which some have as a null, and others only in their length."""
    if not address or not length:
        return b""
    found = heap.get(address, index)
    if len(found) < length:
        raise FormatError(f"an element of {length} bytes has {len(found)} in the heap")
    return found[:length].partition(b"\0")[0]


class _Heap:
    """What is taken from the heap for some values, which isn't more than there is in the file."""

    __slots__ = ("_heap", "_left")

    def __init__(self, heap: GlobalHeap) -> None:
        self._heap = heap
        self._left = heap.file.size

    def get(self, address: int, index: int, size: int) -> bytes:
        """So many bytes; none at the null address."""
        if not address or not size:
            return b""
        found = self._heap.get(address, index)
        if len(found) < size:
            raise FormatError(f"an element of {size} bytes has {len(found)} in the heap")
        self._left -= size
        if self._left < 0:
            raise FormatError("elements of varying length are longer than the file")
        return found[:size]

    def texts(self, elements: NDArray[Any]) -> list[bytes]:
        """The texts that elements stand for, up to their ends: what `get` gives of each, for very many."""
        sizes, addresses, indexes = (elements[name].tolist() for name in ("length", "address", "index"))
        begins = [0, *(np.flatnonzero(np.diff(elements["address"])) + 1).tolist()]
        texts: list[bytes] = []
        if len(begins) * _LEAST_OF_COLLECTION < len(elements):
            for begin, end in pairwise([*begins, len(elements)]):
                texts += self._whole_texts(sizes[begin:end], addresses[begin], indexes[begin:end])
        if len(texts) == len(elements):
            return texts
        return self._texts_by_place(list(zip(sizes, addresses, indexes, strict=True)))

    def _whole_texts(self, sizes: list[int], address: int, indexes: list[int]) -> list[bytes]:
        """Texts of one collection; none unless each is the whole of an object, or empty."""
        collection = self._heap.collections[address] if address and any(sizes) else {}
        texts = list(map(collection.get, indexes, repeat(b"")))
        is_whole = list(map(len, texts)) == sizes and max(map(bytes.find, texts, repeat(b"\0"))) < 0
        return texts if is_whole else []

    def _texts_by_place(self, places: list[tuple[int, int, int]]) -> list[bytes]:
        """Texts by their sizes, addresses and indexes."""
        # Elements that nobody has written, and those that are asked for again, are in one place.
        found = {place: self.get(place[1], place[2], place[0]).partition(b"\0")[0] for place in dict.fromkeys(places)}
        return [found[place] for place in places]


def _decoded(raw: bytes, datatype: Datatype, count: int, heap: _Heap) -> NDArray[Any]:
    stored: NDArray[Any] = np.ndarray((count,), datatype.stored, raw)
    return stored.copy() if datatype.conversion is Conversion.NONE else _converted(stored, datatype, heap)


def _converted(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """The values of stored elements, be they in whatever dimensions."""
    convert = _CONVERSIONS.get(datatype.conversion)
    return stored if convert is None else convert(stored, datatype, heap)


def _terminated(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """Text without what is behind its end."""
    letters = _letters(stored)
    letters[np.logical_or.accumulate(letters == 0, axis=-1)] = 0
    return letters.view(datatype.dtype)[..., 0]


def _spaced(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """Text without the spaces that it ends with."""
    letters = _letters(stored)
    is_padding = np.logical_and.accumulate(letters[..., ::-1] == ord(" "), axis=-1)[..., ::-1]
    letters[is_padding] = 0
    return letters.view(datatype.dtype)[..., 0]


def _letters(stored: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of texts of fixed length, along a further dimension."""
    return np.array(stored[..., None], order="C").view(np.uint8)


def _partial_integer(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """Integers of some of the bits, with a sign where the highest of these is one."""
    offset, precision = datatype.bits
    width = 8 * datatype.size
    raised: NDArray[Any] = stored.astype(stored.dtype.newbyteorder("=")) << (width - offset - precision)
    signed: NDArray[Any] = raised.view(datatype.dtype.newbyteorder("="))
    values: NDArray[Any] = (signed >> (width - precision)).astype(datatype.dtype)
    return values


def _other_float(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """Numbers of sign, exponent and mantissa, which 64 bits have room for."""
    bits = FloatBits(*datatype.bits)
    raw = stored.astype(np.uint64)
    exponent = _bits(raw, bits.exponent, bits.exponent_size).astype(np.int64)
    mantissa = _bits(raw, bits.mantissa, bits.mantissa_size).astype(np.float64)
    first_bit = np.where(exponent == 0, 0.0, 2.0**bits.mantissa_size)
    scale = np.maximum(exponent, 1) - bits.bias - bits.mantissa_size
    with np.errstate(over="ignore"):  # of those that are special
        values = np.ldexp(mantissa + first_bit, scale)
    is_special = exponent == 2**bits.exponent_size - 1
    values[is_special] = np.where(mantissa[is_special] == 0, np.inf, np.nan)
    signed: NDArray[Any] = np.copysign(values, np.where(_bits(raw, bits.sign, 1), -1.0, 1.0))
    return _with_plain_nans(signed.astype(datatype.dtype))


def _with_plain_nans(values: NDArray[Any]) -> NDArray[Any]:
    """Each NaN with all bits set but its sign, as libhdf5 makes them."""
    bits = values.view(values.dtype.str.replace("f", "u"))
    bits[np.isnan(values)] |= bits.dtype.type((1 << np.finfo(values.dtype).nmant) - 1)
    return values


def _bits(raw: NDArray[np.uint64], begin: int, count: int) -> NDArray[np.uint64]:
    return raw >> np.uint64(begin) & np.uint64((1 << count) - 1)


def _boolean(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    return stored.astype(bool)


def _complex(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    values = np.empty(stored.shape, datatype.dtype)
    values.real, values.imag = stored["r"], stored["i"]
    return values


def _compound(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    values = np.zeros(stored.shape, datatype.dtype)
    for part in datatype.parts:
        values[part.name] = _converted(stored[part.name], part.datatype, heap)
    return values


def _array(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """The elements of an array, which NumPy has in further dimensions already."""
    assert datatype.base is not None
    return _converted(stored, datatype.base, heap)


def _varying_text(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """Text up to its end, which some have as a null, and others only in their length."""
    texts = np.empty(stored.size, datatype.dtype)
    texts[:] = heap.texts(stored.ravel())
    return texts.reshape(stored.shape)


def _sequences(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    base = datatype.base
    assert base is not None
    places = ((length if address else 0, address, index) for length, address, index in stored.ravel().tolist())
    found = (
        _decoded(heap.get(address, index, length * base.size), base, length, heap) for length, address, index in places
    )
    return _objects(found, stored.shape, datatype)


def _object_references(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    return _objects(stored.ravel().tolist(), stored.shape, datatype)


def _region_references(stored: NDArray[Any], datatype: Datatype, heap: _Heap) -> NDArray[Any]:
    """The addresses of datasets, with which what the heap has of regions begins; 0 where it has nothing."""
    size = stored.dtype["address"].itemsize
    found = (_address_in_heap(heap, address, index, size) for address, index in stored.ravel().tolist())
    return _objects(found, stored.shape, datatype)


def _address_in_heap(heap: _Heap, address: int, index: int, size: int) -> int:
    with suppress(FormatError):  # which leaves other references alone
        return int.from_bytes(heap.get(address, index, size), "little")
    return 0


def _objects(values: Iterable[Any], shape: tuple[int, ...], datatype: Datatype) -> NDArray[Any]:
    array = np.empty(shape, datatype.dtype)
    # One after the other, as NumPy would make one array of values that are arrays.
    flat = array.reshape(-1)
    for index, value in enumerate(values):
        flat[index] = value
    return array


_CONVERSIONS: dict[Conversion, Callable[[NDArray[Any], Datatype, _Heap], NDArray[Any]]] = {
    Conversion.TERMINATED_TEXT: _terminated,
    Conversion.SPACED_TEXT: _spaced,
    Conversion.PARTIAL_INTEGER: _partial_integer,
    Conversion.OTHER_FLOAT: _other_float,
    Conversion.BOOLEAN: _boolean,
    Conversion.COMPLEX: _complex,
    Conversion.COMPOUND: _compound,
    Conversion.ARRAY: _array,
    Conversion.VARYING_TEXT: _varying_text,
    Conversion.SEQUENCE: _sequences,
    Conversion.OBJECT_REFERENCE: _object_references,
    Conversion.REGION_REFERENCE: _region_references,
}
