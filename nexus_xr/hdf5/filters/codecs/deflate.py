"""Deflate (gzip), decoded and encoded by libdeflate."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_int

import numpy as np

from nexus_xr.hdf5.filters.codec import (
    BYTE,
    Bytes,
    Codec,
    Decode,
    DecodeError,
    Encode,
    EncodeError,
    Options,
    address_of,
    bytes_at,
)
from nexus_xr.hdf5.format.messages.filter_pipeline import NAMES
from nexus_xr.hdf5.runtime.libraries import Address, Allocated, Signature, Size, function
from nexus_xr.hdf5.runtime.memory import empty
from nexus_xr.hdf5.runtime.threads import OfThread


class _Decompressor:
    """State of libdeflate that no two threads may share, and memory for a size that it gives back."""

    def __init__(self) -> None:
        self.size = Size()
        self.size_at = ctypes.addressof(self.size)
        self.decompressor: Allocated | None = None


_decompressors = OfThread(_Decompressor)
# By level.
_compressors: OfThread[dict[int, Allocated]] = OfThread(dict)

# Libdeflate's levels that make files at most 3 % larger than zlib's at each level, and mostly smaller: of bytes that
# were shuffled, and of others.
_EFFORT_SHUFFLED = (0, 1, 1, 1, 1, 1, 2, 4, 6, 8)
_EFFORT = (0, 2, 2, 3, 3, 4, 4, 6, 7, 8)


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    call = function(
        "deflate",
        "libdeflate_zlib_decompress",
        Signature(c_int, (Address, Address, Size, Address, Size, Address)),
        chunk_bytes,
    )
    allocate = function("deflate", "libdeflate_alloc_decompressor", Signature(Address, ()), 0)
    free = function("deflate", "libdeflate_free_decompressor", Signature(None, (Address,)), 0)
    if call is None or allocate is None or free is None:
        return _decode_with_zlib
    reasons = {1: "it is no valid zlib stream, or its checksum is wrong", 2: "it ends early", 3: "it is too long"}

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        state = _decompressors.own
        if state.decompressor is None:
            state.decompressor = Allocated(allocate(), free)
        status = call(state.decompressor.address, source, size, target, capacity, state.size_at)
        if status:
            raise DecodeError(reasons.get(status, f"libdeflate gives status {status}"))
        return target, state.size.value

    return decode


def _decode_with_zlib(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
    import zlib

    stream = zlib.decompressobj()
    try:
        decoded = stream.decompress(bytes_at(source, size), capacity + 1)
    except zlib.error as error:
        raise DecodeError(str(error)) from None
    if not stream.eof:
        raise DecodeError("it ends early" if len(decoded) <= capacity else "it is too long")
    ctypes.memmove(target, decoded, len(decoded))
    return target, len(decoded)


def _encoder(options: Options, efforts: Sequence[int], chunk_bytes: int) -> Encode | None:
    level = min(options[0], 9) if options else 6
    effort = efforts[level]
    allocate = function("deflate", "libdeflate_alloc_compressor", Signature(Address, (c_int,)), 0)
    free = function("deflate", "libdeflate_free_compressor", Signature(None, (Address,)), 0)
    bound = function("deflate", "libdeflate_zlib_compress_bound", Signature(Size, (Address, Size)), 0)
    call = function(
        "deflate", "libdeflate_zlib_compress", Signature(Size, (Address, Address, Size, Address, Size)), chunk_bytes
    )
    if allocate is None or free is None or bound is None or call is None:
        return _encode_with_zlib(level)

    def encode(source: Bytes) -> Bytes:
        compressors = _compressors.own
        if effort not in compressors:
            compressors[effort] = Allocated(allocate(effort), free)
        target = empty((bound(None, source.nbytes),), BYTE)
        made = call(compressors[effort].address, address_of(source), source.nbytes, address_of(target), target.nbytes)
        if not made:
            raise EncodeError("libdeflate made nothing of it")
        return target[:made]

    return encode


def _encode_with_zlib(level: int) -> Encode:
    import zlib

    return lambda source: np.frombuffer(zlib.compress(source.tobytes(), level), BYTE)


DEFLATE = Codec(
    number=1,
    name=NAMES[1],
    helped_by_shuffle=True,
    decode=_decoder,
    encode=lambda options, chunk_bytes: _encoder(options, _EFFORT, chunk_bytes),
    encode_shuffled=lambda options, chunk_bytes: _encoder(options, _EFFORT_SHUFFLED, chunk_bytes),
    batch=lambda options: (
        ("deflate", "libdeflate_zlib_decompress"),
        ("deflate", "libdeflate_alloc_decompressor"),
        ("deflate", "libdeflate_free_decompressor"),
    ),
    ask=lambda properties, options: properties.set_deflate(*options[:1]),
)
