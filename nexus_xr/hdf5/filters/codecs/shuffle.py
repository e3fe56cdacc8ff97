"""Shuffle: the first bytes of all elements, then the second ones, and so on."""

from __future__ import annotations

import ctypes

import numpy as np

from nexus_xr.hdf5.filters.codec import (
    BYTE,
    Bytes,
    Codec,
    Decode,
    Encode,
    LibraryFunction,
    Options,
    address_of,
    check_room,
)
from nexus_xr.hdf5.format.messages.filter_pipeline import NAMES
from nexus_xr.hdf5.runtime.libraries import Address, Function, Signature, function
from nexus_xr.hdf5.runtime.memory import empty

# The library refuses longer ones, and wider elements: NumPy does these.
_MOST_BYTES = 2**31 - 1
_WIDEST = 255


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    width = options[0] if options else 1
    if width <= 1:
        return lambda source, size, target, capacity: (source, size)
    call = _of_library("blosc2_unshuffle", width, chunk_bytes)

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        check_room(size, capacity)
        whole = size - size % width
        if not _is_done(call, width, whole, source, target):
            _unshuffle(_array_at(source, whole).reshape(width, -1), _array_at(target, whole).reshape(-1, width))
        if whole != size:
            ctypes.memmove(target + whole, source + whole, size - whole)
        return target, size

    return decode


def _encoder(options: Options, chunk_bytes: int) -> Encode | None:
    width = options[0] if options else 1
    if width <= 1:
        return lambda source: source
    call = _of_library("blosc2_shuffle", width, chunk_bytes)

    def encode(source: Bytes) -> Bytes:
        whole = source.nbytes - source.nbytes % width
        target = empty((source.nbytes,), BYTE)
        if not _is_done(call, width, whole, address_of(source), address_of(target)):
            target[:whole].reshape(width, -1)[...] = source[:whole].reshape(-1, width).T
        target[whole:] = source[whole:]
        return target

    return encode


def _of_library(name: str, width: int, chunk_bytes: int) -> Function | None:
    """A function of the library, None where there is none for elements of such a width."""
    signature = Signature(ctypes.c_int, (ctypes.c_int, ctypes.c_int, Address, Address))
    return function("blosc2", name, signature, chunk_bytes) if width <= _WIDEST else None


def _is_done(call: Function | None, width: int, size: int, source: int, target: int) -> bool:
    """Whether the library did it."""
    return call is not None and size <= _MOST_BYTES and call(width, size, source, target) >= 0


def _unshuffle(planes: Bytes, elements: Bytes) -> None:
    """The same by NumPy, whose loops are fast along what is long."""
    if len(planes) > len(elements):
        elements[...] = planes.T
        return
    for at, plane in enumerate(planes):
        elements[:, at] = plane


def _array_at(address: int, size: int) -> Bytes:
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def _batch(options: Options) -> tuple[LibraryFunction, ...]:
    width = options[0] if options else 0
    return (("blosc2", "blosc2_unshuffle"),) if 1 < width <= _WIDEST else ()


SHUFFLE = Codec(
    number=2,
    name=NAMES[2],
    decode=_decoder,
    encode=_encoder,
    most_encoded=lambda size: size,
    batch=_batch,
    ask=lambda properties, options: properties.set_shuffle(),
)
