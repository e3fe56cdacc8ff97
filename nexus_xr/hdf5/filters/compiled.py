"""The compiled module, which is optional: where it could not be built, plain Python stands in its place, or nothing."""

from __future__ import annotations

import ctypes
import struct
from array import array
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


def python_block_sizes(source: int, size: int, position: int, count: int, /) -> bytes | None:
    """The sizes of so many blocks with their size before them, as int64; None where one goes beyond the end."""
    stored_at, raw = struct.Struct(">I").unpack_from, (ctypes.c_char * size).from_address(source)
    sizes = array("q")
    try:
        for _ in range(count):
            sizes.append(stored_at(raw, position)[0])
            position += 4 + sizes[-1]
    except struct.error:
        return None
    return sizes.tobytes() if position <= size else None


# By its name, as a module that may not be there can't be told from a typing error by those who check imports.
_batch: Any = None
with suppress(ImportError):
    _batch = import_module("nexus_xr.hdf5.filters._batch")

behind_blocks: Callable[[int, int, int, int], int] = _batch.behind_blocks if _batch else python_behind_blocks
block_sizes: Callable[[int, int, int, int], bytes | None] = getattr(_batch, "block_sizes", python_block_sizes)
# Steps and addresses as bytes, bytes of a decoded chunk -> how many chunks were decoded before the first that can't be.
decode_all: Callable[[bytes, bytes, int], int] | None = _batch.decode if _batch else None
# Address of the function that takes a block apart, source, its size, target, its size, bytes of an element, of a block
# -> whether all blocks could be undone.
UnshuffleBlocks = Callable[[int, int, int, int, int, int, int], bool]
unshuffle_blocks: UnshuffleBlocks | None = getattr(_batch, "unshuffle_blocks", None)
