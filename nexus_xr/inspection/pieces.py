"""The pieces in which all values of a dataset are read once, to see whether they can be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.engine.chunk import BadChunkError, ChunkError, ChunkReader, borrowed
from nexus_xr.hdf5.reading.layouts.chunk_index import ChunkIndex
from nexus_xr.hdf5.reading.layouts.known_layouts import layout_of
from nexus_xr.hdf5.reading.layouts.layout import Layout, Libhdf5Layout, StoredLayout
from nexus_xr.hdf5.reading.virtual_datasets.sources import SourceName
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout
from nexus_xr.opening.chunks import TARGET_BLOCK_BYTES, block_shape


@dataclass(frozen=True)
class BadPiece:
    """A chunk, or another piece, that can't be read.

    Parameters
    ----------
    chunk
        Where it is in the grid of chunks; None for what has none.
    offset
        Where it is in the file; None where that isn't known.
    reason
        Why.
    """

    chunk: tuple[int, ...] | None
    offset: int | None
    reason: str


@dataclass(frozen=True)
class Pieces:
    """The pieces of one dataset.

    Parameters
    ----------
    count
        How many there are.
    nbytes
        Bytes of the values of one.
    verify
        Reads one, by its number; raises an error where that can't be read.
    """

    count: int
    nbytes: int
    verify: Callable[[int], None]


def pieces_of(array: LazyArray, stack: ExitStack) -> Pieces:
    """The pieces of an array: its stored chunks where there are some, and else blocks of its values.

    Parameters
    ----------
    array
        The array.
    stack
        Has the file open for as long as the pieces are in use.
    """
    source = stack.enter_context(array.file.source())
    layout = None if array.layout is not None else layout_of(array.file, array.path, source, array.address)
    if isinstance(layout, StoredLayout) and layout.conversion is None:
        return _stored(layout, stack.enter_context(layout.source(source)))
    return _blocks(array, layout)


def failure_of(error: Exception) -> BadPiece:
    """What an error says of a piece."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ChunkError):
        cause = cause.__cause__
    if isinstance(cause, ChunkError):
        return BadPiece(cause.coordinate, cause.offset, cause.reason)
    words = str(error) if isinstance(error, NexusError) else f"{type(error).__name__}: {error}"
    return BadPiece(None, None, words)


# --- as they are stored ----------------------------------------------------------------------------------------


def _stored(layout: StoredLayout, source: Source) -> Pieces:
    grid = tuple(-(-size // chunk) for size, chunk in zip(layout.shape, layout.chunks, strict=True))
    index = layout.index
    numbers = index.numbers if isinstance(index, ChunkIndex) else None
    count = len(index.offsets) if isinstance(index, ChunkIndex) else math.prod(grid)
    nbytes = math.prod(layout.chunks) * layout.carrier.itemsize
    reader = ChunkReader(layout, source)

    def verify(number: int) -> None:
        at = number if numbers is None else int(numbers[number])
        _verify_stored(reader, tuple(map(int, np.unravel_index(at, grid))) if grid else ())

    return Pieces(count, nbytes, verify)


def _verify_stored(reader: ChunkReader, coordinate: tuple[int, ...]) -> None:
    location = reader.layout.index.find(coordinate)
    if location is None:
        return
    offset, size, mask = location
    try:
        with borrowed() as space:
            reader.check(coordinate, offset, size)
            if reader.layout.filters:
                reader.read_all(space, coordinate, offset, size, mask)
            else:
                space.raw.of(size)
                reader.fill(space.raw.array.data[:size], offset)
    except BadChunkError as error:
        raise ChunkError(coordinate, offset, str(error)) from None


# --- in blocks -------------------------------------------------------------------------------------------------


def _blocks(array: LazyArray, layout: Layout | None) -> Pieces:
    """Blocks of values: of what is in other datasets or only libhdf5 reads, and of text that has to be put together."""
    if isinstance(layout, Libhdf5Layout) and layout.missing is not None:
        return Pieces(min(1, array.size), array.nbytes, partial(_refuse, layout.missing))
    if isinstance(layout, VirtualLayout) and _has_no_source(array, layout):
        return Pieces(0, 0, array.__getitem__)
    chunks = layout.chunks if isinstance(layout, Libhdf5Layout | StoredLayout) else None
    itemsize = max(array.raw_dtype.itemsize, 1)
    is_chunked = chunks is not None and len(chunks) == len(array.shape)
    block = chunks if is_chunked else block_shape(array.shape, itemsize, None, TARGET_BLOCK_BYTES)
    assert block is not None
    grid = tuple(-(-size // length) for size, length in zip(array.shape, block, strict=True))
    return Pieces(math.prod(grid), math.prod(block) * itemsize, partial(_verify_block, array, block, grid))


def _has_no_source(array: LazyArray, virtual: VirtualLayout) -> bool:
    """Whether there is nothing to be read of a virtual dataset, as all that it is made of is missing."""
    missing = set(array.found_sources.missing if array.found_sources is not None else ())
    return all(
        SourceName(mapping.file) in missing or SourceName(mapping.file, mapping.path) in missing
        for mapping in virtual.mappings
    )


def _refuse(reason: str, _: int) -> None:
    raise NexusError(reason)


def _verify_block(array: LazyArray, block: Sequence[int], grid: tuple[int, ...], number: int) -> None:
    coordinate = tuple(map(int, np.unravel_index(number, grid))) if grid else ()
    array[tuple(slice(at * length, (at + 1) * length) for at, length in zip(coordinate, block, strict=True))]
