"""Frames of Blosc 1 around blocks that are compressed already.

Source: README_CHUNK_FORMAT of c-blosc 1.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from nexus_xr.hdf5.filters.codec import BYTE, Bytes, address_of
from nexus_xr.hdf5.filters.compiled import frame_blocks
from nexus_xr.hdf5.runtime.memory import Roomy

# The longest block and the longest frame that c-blosc takes apart.
MOST_BLOCK_BYTES = (2**31 - 1 - 255 * 4) // 3
MOST_FRAME_BYTES = 2**31 - 1
MOST_WIDTH = 255

HEADER_BYTES = 16
_HEADER = struct.Struct("<BBBBIII")
_VERSION, _VERSION_OF_COMPRESSOR = 2, 1
_IS_STORED, _IS_NEVER_SPLIT, _IS_EXTENDED = 0x02, 0x10, 0x08

# A chunk as a reader of Zarr has it.
Encoded = bytes | memoryview


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


class NoFrameError(Exception):
    """What is stored can't be put into a frame as it is, or is damaged."""


class FrameBlocks(NamedTuple):
    """The blocks of a frame, each of which stands behind its size.

    Parameters
    ----------
    body
        Their bytes, shuffled and compressed, or only shuffled.
    starts
        Where each begins in the frame, in 4 bytes.
    block
        How many bytes each of them, but a shorter last one, has once it is decompressed.
    length
        How many all have.
    """

    body: Roomy
    starts: bytes
    block: int
    length: int

    @classmethod
    def one(cls, data: Roomy, length: int, *, is_plain: bool = False) -> FrameBlocks:
        """A single block, which may be one that isn't compressed."""
        if (data.size == length) != is_plain:  # by which readers tell whether it is
            raise NoFrameError
        return cls(data.behind(_number(data.size)), _number(HEADER_BYTES + 4), length, length)

    @classmethod
    def many(cls, body: Roomy, length: int, block: int, *, may_be_plain: bool = False, more: int = 0) -> FrameBlocks:
        """Blocks behind their sizes, which have the highest byte first.

        Parameters
        ----------
        body
            Their bytes, which are changed, and what else may follow.
        length
            How many bytes they have once they are decompressed.
        block
            How many each of them has but a shorter last one.
        may_be_plain
            Whether one that is as long as its values isn't compressed.
        more
            How many blocks are going to be put behind these.
        """
        count = -(-length // block)
        if 4 * count > body.size:
            raise NoFrameError
        starts, begin = np.empty(4 * count, BYTE), HEADER_BYTES + 4 * (count + more)
        places = address_of(body.data), body.size, address_of(starts)
        size = frame_blocks(*places, count, begin, block, length - (count - 1) * block, may_be_plain)
        if size < 0:
            raise NoFrameError
        return cls(body.part(0, size), starts.tobytes(), block, length)

    def before(self, plain: bytes) -> FrameBlocks:
        """These, and a last one that isn't compressed."""
        start = HEADER_BYTES + len(self.starts) + 4 + self.body.size
        body = self.body.before(_number(len(plain)) + plain)
        return self._replace(body=body, starts=self.starts + _number(start), length=self.length + len(plain))


def frame(blocks: FrameBlocks, width: int, shuffle: Shuffle, format_: Format) -> Encoded:
    """A frame around blocks.

    Parameters
    ----------
    blocks
        The blocks.
    width
        Bytes of the elements that are shuffled.
    shuffle, format_
        How all blocks were made.

    Raises
    ------
    NoFrameError
        There can't be one.

    Examples
    --------
    >>> import zlib
    >>> data = np.frombuffer(zlib.compress(bytes(100)), np.uint8)
    >>> data.nbytes, len(frame(FrameBlocks.one(Roomy(data, 0, 12), 100), 1, Shuffle.NONE, Format.ZLIB))
    (12, 36)
    """
    size = HEADER_BYTES + len(blocks.starts) + blocks.body.size
    head = frame_head(width, shuffle, format_, blocks.length, min(blocks.block, blocks.length), size)
    return blocks.body.behind(head + blocks.starts).data.data


def frame_head(width: int, shuffle: Shuffle, format_: Format, length: int, block: int, size: int = 0) -> bytes:
    """What a frame begins with: of elements of so many bytes, of a length, in blocks of some bytes, of a size."""
    if not 1 <= width <= MOST_WIDTH or block > MOST_BLOCK_BYTES or size > MOST_FRAME_BYTES:
        raise NoFrameError
    return _header(shuffle | _IS_NEVER_SPLIT | format_ << 5, width, length, block, size)


class OwnParts(NamedTuple):
    """Which bytes of a frame aren't among those that it was made of.

    Parameters
    ----------
    head
        How many at its begin.
    words
        Where the size of each block stands, in 4 bytes.
    tail
        How many at its end may be others.
    """

    head: int
    words: list[int]
    tail: int


def own_parts(frame: Bytes) -> OwnParts:
    """Which bytes of a frame that was made here aren't among those that it was made of.

    Examples
    --------
    >>> made = frame(FrameBlocks.one(Roomy(np.zeros(12, np.uint8), 0, 12), 100), 1, Shuffle.NONE, Format.ZLIB)
    >>> own_parts(np.frombuffer(made, np.uint8))
    OwnParts(head=20, words=[20], tail=0)
    """
    _, _, flags, _, length, block, size = _HEADER.unpack_from(frame.data)
    if flags & _IS_STORED:
        return OwnParts(HEADER_BYTES, [], 0)
    begin = HEADER_BYTES + 4 * -(-length // block)
    words = frame[HEADER_BYTES:begin].view("<u4").tolist()
    last = size - words[-1] - 4
    is_plain = last == (length % block or block)
    return OwnParts(begin, words, last if is_plain else 0)


def stored_frame(data: Roomy) -> Encoded:
    """A frame around bytes that are neither shuffled nor compressed."""
    return data.behind(_header(_IS_STORED, 1, data.size, max(data.size, 1), HEADER_BYTES + data.size)).data.data


def _header(flags: int, width: int, length: int, block_length: int, size: int) -> bytes:
    return _HEADER.pack(_VERSION, _VERSION_OF_COMPRESSOR, flags, width, length, block_length, size)


def _number(value: int) -> bytes:
    return value.to_bytes(4, "little")


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
