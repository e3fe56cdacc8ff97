"""Stored chunks of HDF5 as frames of Blosc 1: other headers around the same compressed bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial
from typing import NamedTuple

import numpy as np

from nexus_xr.hdf5.filters.codec import BYTE, Bytes, DecodeError, address_of
from nexus_xr.hdf5.filters.codecs.bitshuffle import BITSHUFFLE
from nexus_xr.hdf5.filters.codecs.blosc import BLOSC
from nexus_xr.hdf5.filters.codecs.deflate import DEFLATE
from nexus_xr.hdf5.filters.codecs.lz4 import LZ4
from nexus_xr.hdf5.filters.codecs.shuffle import SHUFFLE
from nexus_xr.hdf5.filters.codecs.zstd import ZSTD
from nexus_xr.hdf5.filters.registry import decoder
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.memory import Roomy

from .frames import (
    HEADER_BYTES,
    MOST_FRAME_BYTES,
    Encoded,
    Format,
    FrameBlocks,
    NoFrameError,
    Shuffle,
    frame,
    frame_head,
    is_frame,
    stored_frame,
)

# With which LZ4's and bitshuffle's chunks begin: bytes of the whole, bytes of a block.
_HEADER = struct.Struct(">QI")
# Bitshuffle's own numbers for what it compresses with.
_FORMATS = {2: Format.LZ4, 3: Format.ZSTD}


def reframed(stored: Roomy, filters: Sequence[Filter], chunk_bytes: int) -> Encoded | None:
    """The frame of Blosc that decodes to the same as a stored chunk, None where it has to be encoded anew.

    Parameters
    ----------
    stored
        The stored bytes, which may be overwritten.
    filters
        The filters that they went through, in the order of writing.
    chunk_bytes
        Bytes of the decoded chunk.
    """
    ids = tuple(step.id for step in filters)
    try:
        if ids == (BITSHUFFLE.number,):
            return _bitshuffled(stored, filters[0], chunk_bytes)
        if ids == (BLOSC.number,):
            return stored.data.data if is_frame(stored.data, stored.size, chunk_bytes) else None
        if not ids:
            return _unfiltered(stored, chunk_bytes)
        return _shuffled(stored, filters, chunk_bytes)
    except (NoFrameError, DecodeError, struct.error):
        return None


def _unfiltered(stored: Roomy, chunk_bytes: int) -> Encoded | None:
    is_whole = stored.size == chunk_bytes <= MOST_FRAME_BYTES - HEADER_BYTES
    return stored_frame(stored) if is_whole else None


def _shuffled(stored: Roomy, filters: Sequence[Filter], chunk_bytes: int) -> Encoded | None:
    """Of shuffle, a compressor, or both."""
    width, filters = _unshuffled(filters)
    compressor = _COMPRESSORS.get(filters[0].id if filters else None) if len(filters) < 2 else None
    if compressor is None:
        return None
    blocks = compressor.blocks(stored, chunk_bytes)
    if width > 1 and blocks.block < chunk_bytes:  # HDF5 shuffles a chunk as a whole, Blosc each block
        return None
    return frame(blocks, width, _shuffle(width), compressor.format)


class Framing(IntEnum):
    """What the compiled module is to make of stored bytes."""

    AS_IT_IS = 0
    FRAME = 1
    ONE_BLOCK = 2
    BLOCKS = 3
    MAYBE_PLAIN_BLOCKS = 4


class Recipe(NamedTuple):
    """How the compiled module makes frames of stored chunks as `reframed` does.

    Parameters
    ----------
    kind
        What is to be made of the stored bytes.
    head
        What a frame begins with.
    unit
        Bytes of which a block has a whole number.
    """

    kind: Framing
    head: bytes = bytes(HEADER_BYTES)
    unit: int = 1


def recipe(filters: Sequence[Filter], chunk_bytes: int) -> Recipe | None:
    """How frames are made of what went through some filters, None where the compiled module has no way."""
    ids = tuple(step.id for step in filters)
    if ids == (BLOSC.number,):
        return Recipe(Framing.FRAME)
    try:
        if ids == (BITSHUFFLE.number,):
            return _bitshuffle_recipe(filters[0], chunk_bytes)
        if ids == (LZ4.number,):
            head = frame_head(1, Shuffle.NONE, Format.LZ4, chunk_bytes, chunk_bytes)
            return Recipe(Framing.MAYBE_PLAIN_BLOCKS, head)
        return _one_block_recipe(filters, chunk_bytes)
    except NoFrameError:
        return None


def _bitshuffle_recipe(filter_: Filter, chunk_bytes: int) -> Recipe | None:
    _, _, width, _, compressor, *_ = (*filter_.options, 0, 0, 0, 0, 0)
    if compressor not in _FORMATS or not width or chunk_bytes % (8 * width):
        return None
    head = frame_head(width, Shuffle.BITS, _FORMATS[compressor], chunk_bytes, chunk_bytes)
    return Recipe(Framing.BLOCKS, head, 8 * width)


def _one_block_recipe(filters: Sequence[Filter], chunk_bytes: int) -> Recipe | None:
    width, kept = _unshuffled(filters)
    compressor = _COMPRESSORS.get(kept[0].id) if len(kept) == 1 else None
    if compressor is None or compressor.blocks != FrameBlocks.one:
        return None
    return Recipe(Framing.ONE_BLOCK, frame_head(width, _shuffle(width), compressor.format, chunk_bytes, chunk_bytes))


def _unshuffled(filters: Sequence[Filter]) -> tuple[int, Sequence[Filter]]:
    """Bytes of the elements that are shuffled, 1 where none are, and the other filters."""
    if filters and filters[0].id == SHUFFLE.number:
        return max([*filters[0].options[:1], 1]), filters[1:]
    return 1, filters


def _shuffle(width: int) -> Shuffle:
    return Shuffle.BYTES if width > 1 else Shuffle.NONE


def _in_lz4(stored: Roomy, chunk_bytes: int) -> FrameBlocks:
    """Blocks of LZ4, of which those that are no smaller are stored as they are, as Blosc has it."""
    block = _read_block_length(stored, chunk_bytes)
    return FrameBlocks.many(_behind_header(stored), chunk_bytes, block, may_be_plain=True)


class _Compressor(NamedTuple):
    """What a filter compresses with, and the blocks in which it does."""

    format: Format
    blocks: Callable[[Roomy, int], FrameBlocks]


_COMPRESSORS: dict[int | None, _Compressor] = {
    None: _Compressor(Format.LZ4, partial(FrameBlocks.one, is_plain=True)),
    DEFLATE.number: _Compressor(Format.ZLIB, FrameBlocks.one),
    ZSTD.number: _Compressor(Format.ZSTD, FrameBlocks.one),
    LZ4.number: _Compressor(Format.LZ4, _in_lz4),
}


def _bitshuffled(stored: Roomy, filter_: Filter, chunk_bytes: int) -> Encoded | None:
    """Blocks of bitshuffle, each shuffled and compressed by itself, as Blosc has it."""
    _, _, width, _, compressor, *_ = (*filter_.options, 0, 0, 0, 0, 0)
    block = _read_block_length(stored, chunk_bytes)
    if compressor not in _FORMATS or not width or block % (8 * width) or chunk_bytes % width:
        return None
    rest = chunk_bytes % block
    body = _behind_header(stored)
    if rest // width % 8:
        blocks = FrameBlocks.many(body, chunk_bytes - rest, block, more=1)
        blocks = blocks.before(_decoded_rest(body.data[blocks.body.size :], filter_, block, rest))
    else:
        blocks = FrameBlocks.many(body, chunk_bytes, block)
    return frame(blocks, width, Shuffle.BITS, _FORMATS[compressor])


def _decoded_rest(stored: Bytes, filter_: Filter, block: int, length: int) -> bytes:
    """The elements of a last block that are no multiple of 8, which Blosc neither shuffles nor has compressed."""
    chunk = np.concatenate([np.frombuffer(_HEADER.pack(length, block), BYTE), stored])
    decoded = np.empty(length, BYTE)
    decode = decoder(filter_.id, filter_.options, length)
    if decode is None:
        raise NoFrameError
    decode(address_of(chunk), chunk.nbytes, address_of(decoded), length)
    return decoded.tobytes()


def _read_block_length(stored: Roomy, chunk_bytes: int) -> int:
    """Bytes of a block, which may be longer than the whole."""
    total, block = _HEADER.unpack_from(stored.data.data)
    if total != chunk_bytes or not block or not total:
        raise NoFrameError
    return int(block)


def _behind_header(stored: Roomy) -> Roomy:
    return stored.part(_HEADER.size, stored.size)
