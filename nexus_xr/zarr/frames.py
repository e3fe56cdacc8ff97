"""Frames of Blosc 1 around blocks that are compressed already.

Source: README_CHUNK_FORMAT of c-blosc 1.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.codec import BYTE
from nexus_xr.hdf5.runtime.memory import result

# The longest block and the longest frame that c-blosc takes apart.
MOST_BLOCK_BYTES = (2**31 - 1 - 255 * 4) // 3
MOST_FRAME_BYTES = 2**31 - 1
MOST_WIDTH = 255

HEADER_BYTES = 16
_HEADER = struct.Struct("<BBBBIII")
_VERSION, _VERSION_OF_COMPRESSOR = 2, 1
_IS_STORED, _IS_NEVER_SPLIT, _IS_EXTENDED = 0x02, 0x10, 0x08
Bytes = NDArray[np.uint8]
Integers = NDArray[np.int64]
# A chunk as a reader of Zarr has it.
Encoded = bytes | memoryview

# Before a block, for its size.
_ROOM = np.zeros(4, BYTE)


class Shuffle(IntEnum):
    """What was done to a block's bytes before they were compressed, as it stands among a frame's flags."""

    NONE = 0x00
    BYTES = 0x01
    BITS = 0x04


class Format(IntEnum):
    """What the blocks of a frame were compressed with."""

    BLOSCLZ = 0
    LZ4 = 1
    ZLIB = 3
    ZSTD = 4


@dataclass(frozen=True, eq=False)
class FrameBlocks:
    """The blocks of a frame, all as long as the first but for a shorter last one.

    Parameters
    ----------
    pieces
        Their bytes, shuffled and compressed, or only shuffled: one behind the other, each behind any four bytes.
    sizes
        How many bytes each has.
    lengths
        How many each has once it is decompressed.
    stored
        Whether each isn't compressed.
    around
        Memory at whose end the only piece is, and which may be overwritten; None where there is none.
    """

    pieces: Sequence[Bytes]
    sizes: Integers
    lengths: Integers
    stored: NDArray[np.bool_]
    around: Bytes | None = None

    @classmethod
    def one(cls, data: Bytes, length: int, *, is_stored: bool = False) -> FrameBlocks:
        """A single block."""
        return cls((_ROOM, data), np.array([data.nbytes]), np.array([length]), np.array([is_stored]))

    @property
    def fit(self) -> bool:
        """Whether each reads as what it is: one as long as its values is taken for one that isn't compressed."""
        is_in_bounds = int(self.lengths[0]) <= MOST_BLOCK_BYTES
        return is_in_bounds and np.array_equal(self.sizes == self.lengths, self.stored)


def frame(blocks: FrameBlocks, width: int, shuffle: Shuffle, format_: Format) -> Encoded | None:
    """A frame around blocks, None where there can't be one.

    Parameters
    ----------
    blocks
        The blocks.
    width
        Bytes of the elements that are shuffled.
    shuffle, format_
        How all blocks were made.

    Examples
    --------
    >>> import zlib
    >>> data = np.frombuffer(zlib.compress(bytes(100)), np.uint8)
    >>> data.nbytes, len(frame(FrameBlocks.one(data, 100), 1, Shuffle.NONE, Format.ZLIB))
    (12, 36)
    """
    begin = HEADER_BYTES + 4 * len(blocks.sizes)
    ends = begin + np.cumsum(blocks.sizes + 4)
    size = int(ends[-1])
    if not blocks.fit or not 1 <= width <= MOST_WIDTH or size > MOST_FRAME_BYTES:
        return None
    flags = shuffle | _IS_NEVER_SPLIT | format_ << 5
    made = _memory_of(blocks, begin, size)
    made[:HEADER_BYTES] = _header(flags, width, int(blocks.lengths.sum()), int(blocks.lengths[0]), size)
    starts = ends - blocks.sizes - 4
    made[HEADER_BYTES:begin] = _bytes_of(starts)
    made[starts[:, None] + np.arange(4)] = _bytes_of(blocks.sizes).reshape(-1, 4)
    return made.data


def _memory_of(blocks: FrameBlocks, begin: int, size: int) -> Bytes:
    """Memory of so many bytes, with the pieces in it from where the blocks begin: where they are, if there is room."""
    if blocks.around is not None and blocks.around.nbytes >= size:
        return blocks.around[blocks.around.nbytes - size :]
    made = result((size,), BYTE)
    np.concatenate(blocks.pieces, out=made[begin:])
    return made


def _bytes_of(numbers: Integers) -> Bytes:
    return numbers.astype("<u4").view(BYTE)


def stored_frame(data: Bytes) -> Encoded:
    """A frame around bytes that are neither shuffled nor compressed."""
    header = _header(_IS_STORED, 1, data.nbytes, max(data.nbytes, 1), HEADER_BYTES + data.nbytes)
    return np.concatenate((header, data)).data


def _header(flags: int, width: int, length: int, block_length: int, size: int) -> Bytes:
    packed = _HEADER.pack(_VERSION, _VERSION_OF_COMPRESSOR, flags, width, length, block_length, size)
    return np.frombuffer(packed, BYTE)


def is_frame(begin: Bytes, size: int, length: int) -> bool:
    """Whether bytes are a frame that every reader of Blosc 1 knows.

    Parameters
    ----------
    begin
        The first of the bytes, or all of them.
    size
        How many there are.
    length
        How many they have to decode to.
    """
    if begin.nbytes < HEADER_BYTES:
        return False
    version, _, flags, _, own_length, _, own_size = _HEADER.unpack_from(begin.data)
    is_known = flags >> 5 in list(Format) and not flags & _IS_EXTENDED
    return version == _VERSION and is_known and (own_length, own_size) == (length, size)
