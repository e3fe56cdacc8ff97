"""Blosc, by the library in hdf5plugin."""

from __future__ import annotations

import ctypes
from ctypes import c_int

from nexus_xr.hdf5.filters.codec import Codec, Decode, DecodeError, DecodePart, Options, bytes_at, check_room, whole
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.runtime.libraries import Address, Signature, Size, function
from nexus_xr.hdf5.runtime.threads import OfThread

# Memory for a size that the library gives back.
_sizes = OfThread(Size)


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    return whole(_part_decoder(options, chunk_bytes))


def _part_decoder(options: Options, chunk_bytes: int) -> DecodePart | None:
    validate = function("blosc", "blosc_cbuffer_validate", Signature(c_int, (Address, Size, Address)), 0)
    call = function("blosc", "blosc_decompress_ctx", Signature(c_int, (Address, Address, Size, c_int)), chunk_bytes)
    call_part = function("blosc", "blosc_getitem", Signature(c_int, (Address, c_int, c_int, Address)), chunk_bytes)
    if validate is None or call is None or call_part is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int, begin: int, end: int) -> int:
        size_of_all = _sizes.own
        if size < 16 or validate(source, size, ctypes.addressof(size_of_all)) < 0:
            raise DecodeError("it has no valid Blosc header")
        total = size_of_all.value
        check_room(total, capacity)
        width = bytes_at(source + 3, 1)[0]  # of an element, by the header
        first, count = (begin // width, -(-end // width) - begin // width) if width else (0, 0)
        is_part = 0 < count * width < total and (first + count) * width <= total
        if is_part:
            produced = call_part(source, first, count, target + first * width)
        else:
            produced = call(source, target, capacity, 1)
        if produced != (count * width if is_part else total):
            raise DecodeError(f"Blosc gives status {produced}")
        return int(total)

    return decode


BLOSC = Codec(
    number=32001,
    name="blosc",
    plugin="Blosc",
    decode=_decoder,
    decode_part=_part_decoder,
    encode=plugin_encoder("blosc"),
)
