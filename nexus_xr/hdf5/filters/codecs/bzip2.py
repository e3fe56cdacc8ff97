"""Bzip2, by the library in hdf5plugin."""

from __future__ import annotations

import ctypes
from ctypes import c_int

from nexus_xr.hdf5.filters.codec import Codec, Decode, DecodeError, Options
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.runtime.libraries import Address, Signature, function


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    call = function(
        "bzip2",
        "BZ2_bzBuffToBuffDecompress",
        Signature(c_int, (Address, Address, Address, ctypes.c_uint, c_int, c_int)),
        chunk_bytes,
    )
    if call is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        produced = ctypes.c_uint(min(capacity, 0xFFFFFFFF))
        status = call(target, ctypes.addressof(produced), source, size, 0, 0)
        if status:
            raise DecodeError(f"bzip2 gives status {status}")
        return target, produced.value

    return decode


BZIP2 = Codec(number=307, name="bzip2", plugin="BZip2", decode=_decoder, encode=plugin_encoder("bzip2"))
