"""Bitshuffle, alone or with LZ4 or Zstandard in blocks, by the library in hdf5plugin."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial

from nexus_xr.hdf5.filters.codec import Codec, Decode, DecodeError, DecodePart, Options, check_room, whole
from nexus_xr.hdf5.filters.compiled import UnshuffleBlocks, behind_blocks, unshuffle_blocks
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.runtime.libraries import Address, Function, Signature, Size, address_of_function, function

from .lz4 import read_header

# Which of its options says how many bytes an element has.
_WIDTH = 2
# Bitshuffle's own numbers for what it compresses with, and the functions that take it apart.
_LZ4 = 2
_FUNCTIONS = {_LZ4: "bshuf_decompress_lz4", 3: "bshuf_decompress_zstd"}
_SIGNATURE = Signature(ctypes.c_int64, (Address, Address, Size, Size, Size))
# What takes a block of LZ4 apart, for the compiled module, which undoes the shuffling twice as fast as the library.
_DECOMPRESS = ("bshuf", "LZ4_decompress_safe")

# Source, its size, target, its size, bytes of a block: the sizes before blocks are known to be right.
_Undo = Callable[[int, int, int, int, int], None]


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    width = options[_WIDTH] if len(options) > _WIDTH else 0
    own_block = options[3] if len(options) > 3 else 0
    if len(options) > 4 and options[4]:
        return whole(_part_decoder(options, chunk_bytes))
    call = function("bshuf", "bshuf_bitunshuffle", _SIGNATURE, chunk_bytes)
    if call is None or not width:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        check_room(size, capacity)
        if size % width:
            raise DecodeError(f"it has {size} bytes, which are no whole elements of {width}")
        _check(call(source, target, size // width, width, own_block))
        return target, size

    return decode


def _part_decoder(options: Options, chunk_bytes: int) -> DecodePart | None:
    width = options[_WIDTH] if len(options) > _WIDTH else 0
    undo = _undoing(options[4] if len(options) > 4 else 0, width, chunk_bytes) if width else None
    if undo is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int, begin: int, end: int) -> int:
        total, block_bytes = read_header(source, size)
        check_room(total, capacity)
        block = block_bytes // width
        if total % width or not block or block % 8:
            raise DecodeError(f"its header says {total} bytes in blocks of {block_bytes} for elements of {width}")
        step = block * width
        first = min(begin, total) // step
        begin, end = first * step, min(-(-end // step) * step, total)
        start = behind_blocks(source, size, 12, first)
        # To the last block, also where less is wanted: the library trusts their sizes, and so does who reads a part.
        in_whole, rest = divmod(total, step)
        in_eights = rest // (8 * width)
        behind = behind_blocks(source, size, start, in_whole - first + (in_eights > 0))
        if behind + rest - in_eights * 8 * width > size:
            raise DecodeError("one of its blocks goes beyond its end")
        undo(source + start, size - start, target + begin, end - begin, step)
        return total

    return decode


def _undoing(compressor: int, width: int, chunk_bytes: int) -> _Undo | None:
    """What undoes blocks of elements of a width: the compiled module where it can, else the library."""
    decompress = address_of_function(*_DECOMPRESS) if compressor == _LZ4 else None
    if decompress is not None and unshuffle_blocks is not None:
        return partial(_undo_compiled, unshuffle_blocks, decompress, width)
    name = _FUNCTIONS.get(compressor)
    call = name and function("bshuf", name, _SIGNATURE, chunk_bytes)
    return partial(_undo_by_library, call, width) if call else None


def _undo_compiled(
    unshuffle: UnshuffleBlocks, decompress: int, width: int, source: int, size: int, target: int, length: int, step: int
) -> None:
    if not unshuffle(decompress, source, size, target, length, width, step):
        raise DecodeError("it is no valid LZ4 data")


def _undo_by_library(call: Function, width: int, source: int, size: int, target: int, length: int, step: int) -> None:
    _check(call(source, target, length // width, width, step // width))


def _check(status: int) -> None:
    if status < 0:
        raise DecodeError(f"bitshuffle gives status {status}")


BITSHUFFLE = Codec(
    number=32008,
    name="bitshuffle",
    plugin="Bitshuffle",
    own_options=3,
    decode=_decoder,
    decode_part=_part_decoder,
    encode=plugin_encoder("bshuf"),
    batch=lambda options: (_DECOMPRESS,) if options[4:5] == (_LZ4,) and options[_WIDTH] else (),
    width_at=_WIDTH,
)
