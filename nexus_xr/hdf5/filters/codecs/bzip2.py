"""Bzip2, by the library in hdf5plugin."""

from __future__ import annotations

import ctypes

from nexus_xr.hdf5.filters.codec import TOO_LARGE, Codec, Decode, DecodeError, Options
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.runtime.libraries import Address, Signature, function

# The library counts bytes in 32 bits.
_MOST_BYTES = 2**32 - 1


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    call = function(
        "bzip2",
        "BZ2_bzBuffToBuffDecompress",
        Signature(ctypes.c_int, (Address, Address, Address, ctypes.c_uint, ctypes.c_int, ctypes.c_int)),
        chunk_bytes,
    )
    if call is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        if size > _MOST_BYTES:
            raise DecodeError(TOO_LARGE)
        produced = ctypes.c_uint(min(capacity, _MOST_BYTES))
        status = call(target, ctypes.addressof(produced), source, size, 0, 0)
        if status:
            raise DecodeError(f"bzip2 gives status {status}")
        return target, produced.value

    return decode


BZIP2 = Codec(number=307, name="bzip2", plugin="BZip2", decode=_decoder, encode=plugin_encoder("bzip2", _MOST_BYTES))
