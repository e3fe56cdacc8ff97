"""Reading what is of one chunk or of few whole ones, without the plan that others need."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.codec import address_of
from nexus_xr.hdf5.filters.pipeline import Workspace
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.reading.layouts.chunk_index import ChunkLocation, ContiguousRun
from nexus_xr.hdf5.reading.layouts.layout import StoredLayout
from nexus_xr.hdf5.reading.selection import Indexer
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.memory import Recent, kept_chunks, result

from .chunk import BadChunkError, ChunkError, ChunkReader, borrowed, bytes_of, span

# Stretches without filters are read at once up to so many bytes.
RUN_BYTES = 4 << 20
# So many chunks are found one by one as fast as all at once.
FEW_CHUNKS = 8
# Decoded chunks, for one who reads little pieces of a chunk one after the other: no more than a core's cache holds,
# as memory beyond it costs more than what it saves.
_RECENT_BYTES = 2 << 20
_recent = Recent(_RECENT_BYTES)


def few_whole_chunks(
    layout: StoredLayout, source: Source, indexers: Sequence[Indexer], target: NDArray[Any]
) -> list[threads.Task] | None:
    """Whole chunks, so few that a plan costs more than it saves; None for any others."""
    grid: list[range] = []
    for indexer, chunk in zip(indexers, layout.chunks, strict=True):
        if isinstance(indexer, np.ndarray):
            return None
        part = indexer if isinstance(indexer, slice) else slice(indexer, indexer + 1, 1)
        if part.step != 1 or part.start % chunk or part.stop % chunk:
            return None
        grid.append(range(part.start // chunk, part.stop // chunk))
    lies_together = target[tuple(slice(0, chunk) for chunk in layout.chunks)].flags.c_contiguous
    if not layout.filters or not lies_together or math.prod(map(len, grid)) > FEW_CHUNKS:
        return None
    reader = ChunkReader(layout, source)
    tasks: list[threads.Task] = []
    for coordinate in itertools.product(*grid):
        begins = [(at - part.start) * chunk for at, part, chunk in zip(coordinate, grid, layout.chunks, strict=True)]
        location = layout.index.find(coordinate)
        if location is None:
            ends = map(operator.add, begins, layout.chunks)
            target[tuple(map(slice, begins, ends))] = layout.fill
            continue
        address = address_of(target) + sum(map(operator.mul, begins, target.strides))
        tasks.append(partial(_read_to, reader, coordinate, location, address))
    return tasks


def _read_to(reader: ChunkReader, coordinate: tuple[int, ...], location: ChunkLocation, address: int) -> None:
    try:
        reader.check(coordinate, location.offset, location.size)
        with borrowed() as space:
            reader.read_to(space, *location, address)
    except BadChunkError as error:
        raise ChunkError(coordinate, location.offset, str(error)) from None


def read_run(layout: StoredLayout, source: Source, indexers: Sequence[Indexer]) -> NDArray[Any] | None:
    """A few values of a contiguous layout that lie one behind the other; None for any others."""
    if not isinstance(layout.index, ContiguousRun) or not all(map(_is_evenly_spaced, indexers)):
        return None
    begin, end = span(indexers, layout.shape)
    shape = tuple(part.stop - part.start for part in indexers if isinstance(part, slice))
    width = layout.carrier.itemsize
    if end - begin != math.prod(shape) or (end - begin) * width > RUN_BYTES:
        return None
    values = result(shape, layout.carrier)
    offset, size = layout.index.offset + begin * width, (end - begin) * width
    reader = ChunkReader(layout, source)
    try:
        reader.check_extent(offset, size)
        reader.fill(bytes_of(values).data, offset)
    except BadChunkError as error:
        first = (part if isinstance(part, int) else part.start for part in indexers)  # type: ignore[union-attr]
        piece = [at // length for at, length in zip(first, layout.chunks, strict=True)]
        raise ChunkError(piece, offset, str(error)) from None
    return values


def _is_evenly_spaced(indexer: Indexer) -> bool:
    return isinstance(indexer, int) or (
        isinstance(indexer, slice) and indexer.step == 1 and indexer.start < indexer.stop
    )


def read_within_chunk(
    layout: StoredLayout, source: Source, indexers: Sequence[Indexer], comes_back: bool
) -> NDArray[Any] | None:
    """A selection of evenly spaced elements of one chunk, without the plan that several need; None for any other.

    Of one who comes back to it, the decoded chunk is remembered for a while.
    """
    coordinate: list[int] = []
    parts: list[int | slice] = []
    shape: list[int] = []
    whole = True
    for indexer, size, chunk in zip(indexers, layout.shape, layout.chunks, strict=True):
        if isinstance(indexer, int):
            at, part = divmod(indexer, chunk)
            parts.append(part)
            whole = whole and chunk == 1
        elif isinstance(indexer, slice) and indexer.step == 1 and indexer.start < indexer.stop:
            at, first = divmod(indexer.start, chunk)
            count = indexer.stop - indexer.start
            if first + count > chunk:
                return None
            parts.append(slice(first, first + count))
            shape.append(count)
            whole = whole and count == (chunk if layout.padded else min(chunk, size - at * chunk))
        else:
            return None
        coordinate.append(at)
    values = result(tuple(shape), layout.carrier)
    location = layout.index.find(coordinate)
    if location is None:
        values[...] = layout.fill
        return values
    reader = ChunkReader(layout, source)
    try:
        reader.check(coordinate, location.offset, location.size)
        with borrowed() as space:
            if whole:
                reader.read_whole(space, *location, bytes_of(values))
            else:
                values[...] = _part_of_chunk(reader, space, coordinate, location, tuple(parts), comes_back)
    except BadChunkError as error:
        raise ChunkError(coordinate, location.offset, str(error)) from None
    return values


def _part_of_chunk(
    reader: ChunkReader,
    space: Workspace,
    coordinate: Sequence[int],
    location: ChunkLocation,
    part: tuple[int | slice, ...],
    comes_back: bool,
) -> NDArray[Any]:
    layout, pipeline = reader.layout, reader.layout.pipeline
    if not layout.filters or not comes_back or kept_chunks() is not None:
        return reader.read_part(space, coordinate, *location, part, comes_back=comes_back)
    begin, end = reader.span(part)
    key = (layout, *coordinate)
    # Who comes back to a chunk is likely to do so again.
    if pipeline.decodes_parts(end - begin) and not _recent.was_wanted(key):
        return reader.read_part(space, coordinate, *location, part)
    whole: NDArray[Any] = _recent.get(key, pipeline.chunk_bytes, partial(reader.read_all, space, coordinate, *location))
    return whole[part]
