"""Shuffle: the first bytes of all elements, then the second ones, and so on."""

from __future__ import annotations

import ctypes
from ctypes import c_int

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
    bytes_at,
    check_room,
)
from nexus_xr.hdf5.format.messages.filter_pipeline import NAMES
from nexus_xr.hdf5.runtime.libraries import Address, Signature, function
from nexus_xr.hdf5.runtime.memory import empty


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    width = options[0] if options else 1
    if width <= 1:
        return lambda source, size, target, capacity: (source, size)
    call = function(
        "blosc2",
        "blosc2_unshuffle",
        Signature(c_int, (c_int, c_int, Address, Address)),
        chunk_bytes,
    )
    if call is None or width > 255:
        return _numpy_unshuffle(width)

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        check_room(size, capacity)
        whole = size - size % width
        call(width, whole, source, target)
        if whole != size:
            ctypes.memmove(target + whole, source + whole, size - whole)
        return target, size

    return decode


def _numpy_unshuffle(width: int) -> Decode:

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        check_room(size, capacity)
        count = size // width
        planes = np.frombuffer(bytes_at(source, size), np.uint8)
        result = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(target))
        result[: count * width].reshape(count, width)[...] = planes[: count * width].reshape(width, count).T
        result[count * width :] = planes[count * width :]
        return target, size

    return decode


def _encoder(options: Options, chunk_bytes: int) -> Encode | None:
    width = options[0] if options else 1
    if width <= 1:
        return lambda source: source
    call = function("blosc2", "blosc2_shuffle", Signature(c_int, (c_int, c_int, Address, Address)), chunk_bytes)

    def encode(source: Bytes) -> Bytes:
        whole = source.nbytes - source.nbytes % width
        target = empty((source.nbytes,), BYTE)
        if call is None or width > 255:
            target[:whole].reshape(width, -1)[...] = source[:whole].reshape(-1, width).T
        else:
            call(width, whole, address_of(source), address_of(target))
        target[whole:] = source[whole:]
        return target

    return encode


def _batch(options: Options) -> tuple[LibraryFunction, ...]:
    width = options[0] if options else 0
    return (("blosc2", "blosc2_unshuffle"),) if 1 < width < 256 else ()


SHUFFLE = Codec(
    number=2,
    name=NAMES[2],
    decode=_decoder,
    encode=_encoder,
    most_encoded=lambda size: size,
    batch=_batch,
    ask=lambda properties, options: properties.set_shuffle(),
)
