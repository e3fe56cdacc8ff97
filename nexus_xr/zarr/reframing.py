"""Stored chunks of HDF5 as frames of Blosc 1: other headers around the same compressed bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from nexus_xr.hdf5.filters.codec import BYTE, DecodeError, address_of
from nexus_xr.hdf5.filters.codecs.bitshuffle import BITSHUFFLE
from nexus_xr.hdf5.filters.codecs.blosc import BLOSC
from nexus_xr.hdf5.filters.codecs.deflate import DEFLATE
from nexus_xr.hdf5.filters.codecs.lz4 import LZ4
from nexus_xr.hdf5.filters.codecs.shuffle import SHUFFLE
from nexus_xr.hdf5.filters.codecs.zstd import ZSTD
from nexus_xr.hdf5.filters.compiled import block_sizes
from nexus_xr.hdf5.filters.registry import decoder
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.memory import empty

from .frames import (
    HEADER_BYTES,
    MOST_FRAME_BYTES,
    Bytes,
    Encoded,
    Format,
    FrameBlocks,
    Integers,
    Shuffle,
    frame,
    is_frame,
    stored_frame,
)

# With which LZ4's and bitshuffle's chunks begin: bytes of the whole, bytes of a block.
_HEADER = struct.Struct(">QI")
# Bitshuffle's own numbers for what it compresses with.
_FORMATS = {2: Format.LZ4, 3: Format.ZSTD}


class _NoFrameError(Exception):
    """What is stored can't be put into a frame as it is, or is damaged."""


def reframed(stored: Bytes, filters: Sequence[Filter], chunk_bytes: int, around: Bytes | None = None) -> Encoded | None:
    """The frame of Blosc that decodes to the same as a stored chunk, None where it has to be encoded anew.

    Parameters
    ----------
    stored
        The stored bytes.
    filters
        The filters that they went through, in the order of writing.
    chunk_bytes
        Bytes of the decoded chunk.
    around
        Memory at whose end the stored bytes are, and which may be overwritten; None where there is none.
    """
    ids = tuple(step.id for step in filters)
    try:
        if ids == (BITSHUFFLE.number,):
            return _bitshuffled(stored, filters[0], chunk_bytes, around)
        if ids == (BLOSC.number,):
            return stored.data if is_frame(stored, stored.nbytes, chunk_bytes) else None
        if not ids:
            return _unfiltered(stored, chunk_bytes)
        return _shuffled(stored, filters, chunk_bytes)
    except (_NoFrameError, DecodeError, struct.error):
        return None


def _unfiltered(stored: Bytes, chunk_bytes: int) -> Encoded | None:
    is_whole = stored.nbytes == chunk_bytes <= MOST_FRAME_BYTES - HEADER_BYTES
    return stored_frame(stored) if is_whole else None


def _shuffled(stored: Bytes, filters: Sequence[Filter], chunk_bytes: int) -> Encoded | None:
    """Of shuffle, a compressor, or both."""
    width = 1
    if filters[0].id == SHUFFLE.number:
        width, filters = max(filters[0].options[:1], default=1), filters[1:]
    compressor = _COMPRESSORS.get(filters[0].id if filters else None) if len(filters) < 2 else None
    if compressor is None:
        return None
    blocks = compressor.blocks(stored, chunk_bytes)
    if width > 1 and len(blocks.sizes) > 1:  # HDF5 shuffles a chunk as a whole, Blosc each block
        return None
    return frame(blocks, max(width, 1), Shuffle.BYTES if width > 1 else Shuffle.NONE, compressor.format)


def _in_lz4(stored: Bytes, chunk_bytes: int) -> FrameBlocks:
    """Blocks of LZ4, of which those that are no smaller are stored as they are, as Blosc has it."""
    block = _read_block_length(stored, chunk_bytes)
    lengths = np.array([min(block, chunk_bytes - at) for at in range(0, chunk_bytes, block)])
    sizes = _read_sizes(stored, len(lengths))
    return FrameBlocks((_behind_header(stored, sizes),), sizes, lengths, sizes == lengths)


class _Compressor(NamedTuple):
    """What a filter compresses with, and the blocks in which it does."""

    format: Format
    blocks: Callable[[Bytes, int], FrameBlocks]


_COMPRESSORS: dict[int | None, _Compressor] = {
    None: _Compressor(Format.LZ4, partial(FrameBlocks.one, is_stored=True)),
    DEFLATE.number: _Compressor(Format.ZLIB, FrameBlocks.one),
    ZSTD.number: _Compressor(Format.ZSTD, FrameBlocks.one),
    LZ4.number: _Compressor(Format.LZ4, _in_lz4),
}


def _bitshuffled(stored: Bytes, filter_: Filter, chunk_bytes: int, around: Bytes | None) -> Encoded | None:
    """Blocks of bitshuffle, each shuffled and compressed by itself, as Blosc has it."""
    _, _, width, _, compressor, *_ = (*filter_.options, 0, 0, 0, 0, 0)
    block = _read_block_length(stored, chunk_bytes)
    if compressor not in _FORMATS or not width or block % (8 * width) or chunk_bytes % width:
        return None
    whole, rest = divmod(chunk_bytes, block)
    is_odd = bool(rest // width % 8)
    lengths = np.full(whole + (rest > 0), block)
    lengths[whole:] = rest
    sizes = _read_sizes(stored, len(lengths) - is_odd)
    body = _behind_header(stored, sizes)
    behind = _HEADER.size + body.nbytes
    if around is not None:
        around = around[: around.nbytes - stored.nbytes + behind]
    blocks = FrameBlocks((body,), sizes, lengths, np.zeros(len(lengths), bool), around)
    if is_odd:
        blocks = _with_rest(blocks, _decoded_rest(stored[behind:], filter_, block, rest))
    return frame(blocks, width, Shuffle.BITS, _FORMATS[compressor])


def _with_rest(blocks: FrameBlocks, rest: Bytes) -> FrameBlocks:
    """The blocks, and a last one that isn't compressed."""
    last = FrameBlocks.one(rest, rest.nbytes, is_stored=True)
    stored = np.append(blocks.stored[:-1], last.stored)
    return FrameBlocks((*blocks.pieces, *last.pieces), np.append(blocks.sizes, last.sizes), blocks.lengths, stored)


def _decoded_rest(stored: Bytes, filter_: Filter, block: int, length: int) -> Bytes:
    """The elements of a last block that are no multiple of 8, which Blosc neither shuffles nor has compressed."""
    chunk = np.concatenate([np.frombuffer(_HEADER.pack(length, block), BYTE), stored])
    decoded = empty((length,), BYTE)
    decode = decoder(filter_.id, filter_.options, length)
    if decode is None:
        raise _NoFrameError
    decode(address_of(chunk), chunk.nbytes, address_of(decoded), length)
    return decoded


def _read_block_length(stored: Bytes, chunk_bytes: int) -> int:
    """Bytes of a block, which may be longer than the whole."""
    total, block = _HEADER.unpack_from(stored.data)
    if total != chunk_bytes or not block or not total:
        raise _NoFrameError
    return int(block)


def _read_sizes(stored: Bytes, count: int) -> Integers:
    """The sizes of the blocks behind the header, each of which stands before its block."""
    sizes = block_sizes(address_of(stored), stored.nbytes, _HEADER.size, count)
    if sizes is None:
        raise _NoFrameError
    return np.frombuffer(sizes, np.int64)


def _behind_header(stored: Bytes, sizes: Integers) -> Bytes:
    """The blocks with what stands before each."""
    return stored[_HEADER.size : _HEADER.size + int((sizes + 4).sum())]
