"""LZ4, by the library in hdf5plugin: a header of 12 bytes, then blocks with their size before each."""

from __future__ import annotations

import ctypes
import struct

from nexus_xr.hdf5.filters.codec import TOO_LARGE, Codec, Decode, DecodeError, Options, bytes_at, check_room
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.runtime.libraries import Address, Signature, function

# Of a block, which the library counts in 32 bits.
_MOST_BYTES = 2**31 - 1
_uint64_be = struct.Struct(">Q").unpack
_uint32_be = struct.Struct(">I").unpack


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    call = function(
        "lz4",
        "LZ4_decompress_safe",
        Signature(ctypes.c_int, (Address, Address, ctypes.c_int, ctypes.c_int)),
        chunk_bytes,
    )
    if call is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        total, block = read_header(source, size)
        check_room(total, capacity)
        position, made = 12, 0
        while made < total:
            length = min(block, total - made)
            stored = _block_size(source, size, position)
            position += 4
            if stored == length:
                ctypes.memmove(target + made, source + position, length)
            elif max(stored, length) > _MOST_BYTES:
                raise DecodeError(TOO_LARGE)
            elif call(source + position, target + made, stored, length) != length:
                raise DecodeError("it is no valid LZ4 data")
            position += stored
            made += length
        return target, total

    return decode


def read_header(source: int, size: int) -> tuple[int, int]:
    """Bytes of the whole and of a block, with which LZ4's and bitshuffle's chunks begin."""
    if size < 12:
        raise DecodeError("it is too short to have a header")
    (total,) = _uint64_be(bytes_at(source, 8))
    (block,) = _uint32_be(bytes_at(source + 8, 4))
    if not block:
        raise DecodeError("its header says that blocks are empty")
    return total, block


def _block_size(source: int, size: int, position: int) -> int:
    """Stored bytes of the block that begins at a position, all of them within the chunk."""
    stored = _uint32_be(bytes_at(source + position, 4))[0] if position + 4 <= size else size
    if position + 4 + stored > size:
        raise DecodeError(f"a block at byte {position} goes beyond its end")
    return stored


LZ4 = Codec(
    number=32004,
    name="lz4",
    plugin="LZ4",
    decode=_decoder,
    encode=plugin_encoder("lz4"),
    batch=lambda options: (("lz4", "LZ4_decompress_safe"),),
)
