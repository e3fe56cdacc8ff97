"""The compiled module, which is optional: where it could not be built, plain Python stands in its place, or nothing."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any


def python_behind_blocks(source: int, size: int, position: int, count: int, /) -> int:
    """Follow so many blocks with their sizes before them; gives where they end, `size` + 1 if that is beyond it."""
    stored_at, raw = struct.Struct(">I").unpack_from, (ctypes.c_char * size).from_address(source)
    try:
        for _ in range(count):
            position += 4 + stored_at(raw, position)[0]
    except struct.error:
        return size + 1
    return min(position, size + 1)


def python_frame_blocks(
    source: int, size: int, starts: int, count: int, begin: int, block: int, last: int, may_be_plain: bool, /
) -> int:
    """Have so many blocks be those of a frame of Blosc, as `frame_blocks` has them."""
    stored_at, put = struct.Struct(">I").unpack_from, struct.Struct("<I").pack_into
    raw, table = (ctypes.c_char * size).from_address(source), (ctypes.c_char * (4 * count)).from_address(starts)
    position = 0
    for number in range(count):
        if position > size - 4:
            return -1
        (stored,), length = stored_at(raw, position), block if number < count - 1 else last
        if stored > size - position - 4 or (stored == length and not may_be_plain):
            return -1
        put(table, 4 * number, begin + position)
        put(raw, position, stored)
        position += 4 + stored
    return position


# By its name, as a module that may not be there can't be told from a typing error by those who check imports.
_batch: Any = None
with suppress(ImportError):
    _batch = import_module("nexus_xr.hdf5.filters._batch")

behind_blocks: Callable[[int, int, int, int], int] = _batch.behind_blocks if _batch else python_behind_blocks
# Addresses and sizes -> where the blocks end, or -1; `_batch.c` tells what is what.
frame_blocks: Callable[[int, int, int, int, int, int, int, bool], int] = getattr(
    _batch, "frame_blocks", python_frame_blocks
)
# As `_batch.c` tells -> how many chunks were copied before the first that can't be; None where there is no such system.
copy_all: Callable[[int, bytes, int, int, int, bytes, int, int, int, bytes], int] | None = getattr(_batch, "copy", None)
# Steps and addresses as bytes, bytes of a decoded chunk -> how many chunks were decoded before the first that can't be.
decode_all: Callable[[bytes, bytes, int], int] | None = _batch.decode if _batch else None
# Address of the function that takes a block apart, source, its size, target, its size, bytes of an element, of a block
# -> whether all blocks could be undone.
UnshuffleBlocks = Callable[[int, int, int, int, int, int, int], bool]
unshuffle_blocks: UnshuffleBlocks | None = getattr(_batch, "unshuffle_blocks", None)
