"""LZF, by the library in h5py."""

from __future__ import annotations

import ctypes

from nexus_xr.hdf5.filters.codec import BYTE, TOO_LARGE, Bytes, Codec, Decode, DecodeError, Encode, Options, address_of
from nexus_xr.hdf5.runtime.libraries import Address, Signature, function
from nexus_xr.hdf5.runtime.memory import empty

# Longer chunks are stored as they are: the library counts their bytes in 32 bits, in other programs too.
_MOST_BYTES = 2**32 - 1


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    call = function(
        "h5py",
        "lzf_decompress",
        Signature(ctypes.c_uint, (Address, ctypes.c_uint, Address, ctypes.c_uint)),
        chunk_bytes,
    )
    if call is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        if max(size, capacity) > _MOST_BYTES:
            raise DecodeError(TOO_LARGE)
        produced = call(source, size, target, capacity)
        if not produced:
            raise DecodeError("it is no valid LZF data, or too long")
        return target, produced

    return decode


def _encoder(options: Options, chunk_bytes: int) -> Encode | None:
    call = function(
        "h5py",
        "lzf_compress",
        Signature(ctypes.c_uint, (Address, ctypes.c_uint, Address, ctypes.c_uint)),
        chunk_bytes,
    )
    if call is None:
        return None

    def encode(source: Bytes) -> Bytes | None:
        if source.nbytes > _MOST_BYTES:
            return None
        target = empty((source.nbytes,), BYTE)
        made = call(address_of(source), source.nbytes, address_of(target), target.nbytes)
        return target[:made] if made else None

    return encode


LZF = Codec(
    number=32000,
    name="lzf",
    helped_by_shuffle=True,
    decode=_decoder,
    encode=_encoder,
    batch=lambda options: (("h5py", "lzf_decompress"),),
)
