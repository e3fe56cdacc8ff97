"""Zstandard, by the library in hdf5plugin."""

from __future__ import annotations

import ctypes

from nexus_xr.hdf5.filters.codec import Codec, Decode, DecodeError, Options
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.runtime.libraries import Address, Allocated, Signature, Size, function
from nexus_xr.hdf5.runtime.threads import OfThread


class _State:
    """State of the library that no two threads may share."""

    def __init__(self) -> None:
        self.context: Allocated | None = None


_states = OfThread(_State)


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    call = function(
        "zstd", "ZSTD_decompressDCtx", Signature(Size, (Address, Address, Size, Address, Size)), chunk_bytes
    )
    allocate = function("zstd", "ZSTD_createDCtx", Signature(Address, ()), 0)
    free = function("zstd", "ZSTD_freeDCtx", Signature(Size, (Address,)), 0)
    failed = function("zstd", "ZSTD_isError", Signature(ctypes.c_uint, (Size,)), 0)
    reason = function("zstd", "ZSTD_getErrorName", Signature(ctypes.c_char_p, (Size,)), 0)
    if call is None or allocate is None or free is None or failed is None or reason is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        state = _states.own
        if state.context is None:
            state.context = Allocated(allocate(), free)
        produced = call(state.context.address, target, capacity, source, size)
        if failed(produced):
            raise DecodeError(f"Zstandard: {reason(produced).decode()}")
        return target, produced

    return decode


ZSTD = Codec(
    number=32015,
    name="zstd",
    plugin="Zstd",
    helped_by_shuffle=True,
    decode=_decoder,
    encode=plugin_encoder("zstd"),
    batch=lambda options: (("zstd", "ZSTD_decompressDCtx"), ("zstd", "ZSTD_createDCtx"), ("zstd", "ZSTD_freeDCtx")),
)
