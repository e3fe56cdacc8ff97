"""Reading a selection: raw chunks decoded by all cores straight into the result.

libhdf5 decodes one chunk at a time behind a lock for the whole process. Here it is only asked where the chunks are.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.pipeline import Workspace
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.memory import Recent, empty

from .chunk import BadChunkError, ChunkError, ChunkReader, address_of_values, borrowed, bytes_of, span
from .chunk_index import ChunkLocation, ContiguousRun, Integers
from .layouts import StoredLayout
from .plan import AxisPlan, Part, plan_selection
from .selection import Indexer, length

# What a thread takes at once: enough to make up for taking it, little enough to stay in a core's cache.
BATCH_BYTES = 1 << 20
# Stretches without filters are read at once up to so many bytes.
_RUN_BYTES = 4 << 20
# Bytes between two chunks that are read and thrown away rather than read around.
_GAP_BYTES = 16 * 1024
# So many chunks are found one by one as fast as all at once.
_FEW_CHUNKS = 8
# Decoded chunks, for one who reads little pieces of a chunk one after the other: no more than a core's cache holds,
# as memory beyond it costs more than what it saves.
_RECENT_BYTES = 2 << 20

_recent = Recent(_RECENT_BYTES)

# Where in the file something begins that is to be done, and what that is.
_Step = tuple[int, threads.Task]


def read(
    layout: StoredLayout, source: Source, indexers: Sequence[Indexer], num_threads: int | None = None
) -> NDArray[Any]:
    """Read the outer product of one indexer a dimension; each chunk that is touched is decoded once.

    Parameters
    ----------
    layout
        Where the values are.
    source
        The bytes of the file.
    indexers
        One a dimension, normalized.
    num_threads
        Most threads to use; None for as many as there are CPUs for this process.

    Returns
    -------
    numpy.ndarray
        Elements of the layout's carrier dtype, without the dimensions that an integer selected.

    Raises
    ------
    ChunkError
        A chunk isn't in the file as the index says, or its bytes are not what its filters make.
    """
    for shortcut in (_read_run, _read_within_chunk):
        values = shortcut(layout, source, indexers)
        if values is not None:
            return values
    values = empty(tuple(map(length, indexers)), layout.carrier)  # first, as it may be more than there is
    tasks = _few_whole_chunks(layout, source, indexers, values) if not source.plans_ahead else None
    if tasks is not None:
        threads.run(tasks, num_threads)
        return values.reshape([length(indexer) for indexer in indexers if not isinstance(indexer, int)])
    plan = plan_selection(indexers, layout.shape, layout.chunks, layout.padded)
    if values.size:
        target = values[tuple(slice(None, None, -1 if d in plan.backwards else 1) for d in range(values.ndim))]
        _Reading(layout, source, values, target, plan.axes).run(num_threads)
    return values.reshape([length for d, length in enumerate(plan.shape) if d not in plan.dropped])


def tasks_into(
    layout: StoredLayout,
    source: Source,
    indexers: Sequence[Indexer],
    values: NDArray[Any],
    target: NDArray[Any],
) -> list[threads.Task]:
    """What there is to do to read a selection into a part of a larger result; it raises as `read` does.

    Parameters
    ----------
    layout, source
        Where the values are, and the bytes of the file.
    indexers
        One a dimension, normalized; slices rise.
    values
        The whole result, which lies together in memory.
    target
        A view of the part of it that is filled, with all dimensions of the layout.
    """
    tasks = _few_whole_chunks(layout, source, indexers, target)
    if tasks is None:
        plan = plan_selection(indexers, layout.shape, layout.chunks, layout.padded)
        tasks = _Reading(layout, source, values, target, plan.axes).tasks()
    return tasks


def _few_whole_chunks(
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
    if not layout.filters or not lies_together or math.prod(map(len, grid)) > _FEW_CHUNKS:
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
        address = address_of_values(target) + sum(map(operator.mul, begins, target.strides))
        tasks.append(partial(_read_to, reader, coordinate, location, address))
    return tasks


def _read_to(reader: ChunkReader, coordinate: tuple[int, ...], location: ChunkLocation, address: int) -> None:
    try:
        reader.check(coordinate, location.offset, location.size)
        with borrowed() as space:
            reader.read_to(space, *location, address)
    except BadChunkError as error:
        raise ChunkError(coordinate, location.offset, str(error)) from None


def _read_run(layout: StoredLayout, source: Source, indexers: Sequence[Indexer]) -> NDArray[Any] | None:
    """A few values of a contiguous layout that lie one behind the other; None for any others."""
    if not isinstance(layout.index, ContiguousRun) or not all(map(_is_evenly_spaced, indexers)):
        return None
    begin, end = span(indexers, layout.shape)
    shape = tuple(part.stop - part.start for part in indexers if isinstance(part, slice))
    width = layout.carrier.itemsize
    if end - begin != math.prod(shape) or (end - begin) * width > _RUN_BYTES:
        return None
    values = empty(shape, layout.carrier)
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


def _read_within_chunk(layout: StoredLayout, source: Source, indexers: Sequence[Indexer]) -> NDArray[Any] | None:
    """A selection of evenly spaced elements of one chunk, without the plan that several need; None for any other."""
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
    values = empty(tuple(shape), layout.carrier)
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
                values[...] = _part_of_chunk(reader, space, coordinate, location, tuple(parts))
    except BadChunkError as error:
        raise ChunkError(coordinate, location.offset, str(error)) from None
    return values


def _part_of_chunk(
    reader: ChunkReader,
    space: Workspace,
    coordinate: Sequence[int],
    location: ChunkLocation,
    part: tuple[int | slice, ...],
) -> NDArray[Any]:
    layout, pipeline = reader.layout, reader.layout.pipeline
    if not layout.filters:
        return reader.read_part(space, coordinate, *location, part)
    begin, end = reader.span(part)
    key = (layout, *coordinate)
    # Who comes back to a chunk is likely to do so again.
    if pipeline.decodes_parts(end - begin) and not _recent.was_wanted(key):
        return reader.read_part(space, coordinate, *location, part)
    whole: NDArray[Any] = _recent.get(key, pipeline.chunk_bytes, partial(reader.read_all, space, coordinate, *location))
    return whole[part]


@dataclass(frozen=True, eq=False)
class _Chunks:
    """Touched chunks in the order of the file.

    `address` is where a whole chunk's first element goes; `position` finds the chunk in the product of the axes.
    """

    position: Integers
    offset: Integers
    size: Integers
    mask: Integers
    address: Integers
    whole: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.position)

    def pick(self, which: Any) -> _Chunks:
        return _Chunks(
            self.position[which],
            self.offset[which],
            self.size[which],
            self.mask[which],
            self.address[which],
            self.whole[which],
        )


class _Reading:
    """One read of several chunks: what is fixed meanwhile, and the tasks that it is made of."""

    def __init__(
        self,
        layout: StoredLayout,
        source: Source,
        values: NDArray[Any],
        target: NDArray[Any],
        axes: tuple[AxisPlan, ...],
    ) -> None:
        self._layout = layout
        self._reader = ChunkReader(layout, source)
        self._bytes = bytes_of(values)
        self._target = target
        self._axes = axes
        self._counts = tuple(len(axis.coordinates) for axis in axes)
        self._chunk_bytes = layout.pipeline.chunk_bytes
        # Whether a whole chunk's elements lie in the result as they do in the chunk.
        self._lies_together = target[tuple(slice(0, length) for length in layout.chunks)].flags.c_contiguous

    def run(self, num_threads: int | None) -> None:
        """Read all that is stored; what isn't is filled at once."""
        chunks = self._touched()
        with self._reader.source.expecting(partial(self._extents, chunks)) as source:
            self._reader = ChunkReader(self._layout, source)
            threads.run(self._tasks(chunks), num_threads)

    def tasks(self) -> list[threads.Task]:
        """What there is to do, of a local file; what isn't stored is filled at once."""
        return self._tasks(self._touched())

    def _tasks(self, chunks: _Chunks) -> list[threads.Task]:
        """In the order of the file, in which a remote one is fetched."""
        return [task for _, task in sorted(self._steps(chunks), key=itemgetter(0))]

    def _steps(self, chunks: _Chunks) -> Iterator[_Step]:
        whole = chunks.whole
        if self._lies_together and not self._layout.filters:
            yield from self._copies(chunks.pick(whole))
        elif self._lies_together and self._chunk_bytes > BATCH_BYTES // 2:
            yield from self._singly(chunks.pick(whole))
        else:
            if not self._layout.padded:  # the last piece may be shorter than the others
                whole = whole & (chunks.size == self._chunk_bytes)
            decode = self._decode_in_place if self._lies_together else self._decode_and_spread
            yield from self._batches(chunks.pick(whole), decode)
        yield from self._batches(chunks.pick(~whole), self._take_parts)

    def _extents(self, chunks: _Chunks) -> tuple[list[int], list[int]]:
        """Offsets and sizes of the bytes that are going to be read."""
        offsets, sizes = chunks.offset.tolist(), chunks.size.tolist()
        if not self._layout.filters:
            width = self._layout.carrier.itemsize
            in_part = np.flatnonzero(~chunks.whole)
            for which, parts in zip(in_part.tolist(), self._parts(chunks.pick(in_part)), strict=True):
                begin, end = span([taken for taken, _ in parts], self._layout.chunks)
                offsets[which], sizes[which] = offsets[which] + begin * width, (end - begin) * width
        return offsets, sizes

    def _touched(self) -> _Chunks:
        axes = self._axes
        locations = self._layout.index.locate([axis.coordinates for axis in axes])
        starts = [axis.start * step for axis, step in zip(axes, self._target.strides, strict=True)]
        chunks = _Chunks(
            np.arange(len(locations.offset)),
            locations.offset,
            locations.size,
            locations.mask,
            address_of_values(self._target) + _outer(np.add, starts),
            _outer(np.logical_and, [axis.whole for axis in axes]),
        )
        if not locations.present.all():
            self._target[...] = self._layout.fill
            chunks = chunks.pick(locations.present)
        if np.any(chunks.offset[1:] < chunks.offset[:-1]):
            chunks = chunks.pick(np.argsort(chunks.offset, kind="stable"))
        if len(chunks):
            # The extremes tell whether all is well with all of them.
            self._check(chunks, 0)
            for ends in (chunks.offset + chunks.size, chunks.size, -chunks.size):
                self._check(chunks, int(np.argmax(ends)))
            if self._layout.padded and not self._layout.filters:
                # How short a chunk may be depends on where it lies.
                for which in np.flatnonzero(chunks.size != self._chunk_bytes).tolist():
                    self._check(chunks, which)
        return chunks

    def _check(self, chunks: _Chunks, which: int) -> None:
        coordinate = self._coordinates(chunks.position[which : which + 1])[0]
        try:
            self._reader.check(coordinate, int(chunks.offset[which]), int(chunks.size[which]))
        except BadChunkError as error:
            raise self._error(chunks.position[which], chunks.offset[which], error) from None

    def _error(self, position: int, offset: int, error: BadChunkError) -> ChunkError:
        return ChunkError(self._coordinates(np.array([position]))[0], int(offset), str(error))

    def _coordinates(self, positions: Integers) -> Integers:
        """Where chunks lie in the grid: one row a chunk."""
        at = np.unravel_index(positions, self._counts)
        return np.stack([axis.coordinates[i] for axis, i in zip(self._axes, at, strict=True)], axis=1)

    def _batches(self, chunks: _Chunks, work: Any) -> Iterator[_Step]:
        length = max(1, BATCH_BYTES // self._chunk_bytes)
        for begin in range(0, len(chunks), length):
            yield int(chunks.offset[begin]), partial(work, chunks.pick(slice(begin, begin + length)))

    def _singly(self, chunks: _Chunks) -> Iterator[_Step]:
        """Large chunks one by one, as plain numbers: a thread holds Python's lock for a moment between two of them."""
        columns = (chunks.position, chunks.offset, chunks.size, chunks.mask, chunks.address)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            yield row[1], partial(self._decode_one, *row)

    def _decode_one(self, position: int, offset: int, size: int, mask: int, target: int) -> None:
        try:
            with borrowed() as space:
                self._reader.read_to(space, offset, size, mask, target)
        except BadChunkError as error:
            raise self._error(position, offset, error) from None

    def _copies(self, chunks: _Chunks) -> Iterator[_Step]:
        """Chunks that follow each other in the file as in the result are read at once, up to a few batches of them."""
        if not len(chunks):
            return
        ends = np.cumsum(chunks.size)
        apart = (
            (chunks.offset[1:] != chunks.offset[:-1] + chunks.size[:-1])
            | (chunks.address[1:] != chunks.address[:-1] + chunks.size[:-1])
            | (ends[1:] // _RUN_BYTES != ends[:-1] // _RUN_BYTES)
        )
        first = np.concatenate(([0], np.flatnonzero(apart) + 1))
        last = np.concatenate((first[1:], [len(chunks)])) - 1
        begin = chunks.address[first] - address_of_values(self._bytes)
        end = begin + ends[last] - ends[first] + chunks.size[first]
        columns = (chunks.position[first], chunks.offset[first], begin, end)
        for row in zip(*(column.tolist() for column in columns), strict=True):
            yield row[1], partial(self._copy, *row)

    def _copy(self, position: int, offset: int, begin: int, end: int) -> None:
        """Read chunks without filters straight into a part of the result's bytes."""
        try:
            self._reader.fill(self._bytes.data[begin:end], offset)
        except BadChunkError as error:
            raise self._error(position, offset, error) from None

    def _decode_in_place(self, chunks: _Chunks) -> None:
        """Decode chunks of which everything is asked for straight into the result."""
        with borrowed() as space:
            self._decode(space, chunks, chunks.address)

    def _decode_and_spread(self, chunks: _Chunks) -> None:
        """Decode chunks of which everything is asked for, and spread their elements in the result."""
        size = self._chunk_bytes
        # A window for each position that a chunk could have in the result.
        shape = self._layout.chunks
        windows = np.lib.stride_tricks.sliding_window_view(self._target, shape, writeable=True)
        at = np.unravel_index(chunks.position, self._counts)
        goal = tuple(axis.start[i] for axis, i in zip(self._axes, at, strict=True))
        with borrowed() as space:
            begin = space.decoded.of(size * len(chunks))
            self._decode(space, chunks, begin + size * np.arange(len(chunks)))
            decoded = space.decoded.array[: size * len(chunks)].view(self._layout.carrier)
            windows[goal] = decoded.reshape(len(chunks), *shape)

    def _take_parts(self, chunks: _Chunks) -> None:
        """Read chunks of which a part is asked for."""
        coordinates = self._coordinates(chunks.position)
        locations = zip(coordinates, chunks.offset.tolist(), chunks.size.tolist(), chunks.mask.tolist(), strict=True)
        with borrowed() as space:
            for location, parts in zip(locations, self._parts(chunks), strict=True):
                taken, goal = outer_key([part for part, _ in parts]), outer_key([part for _, part in parts])
                try:
                    self._target[goal] = self._reader.read_part(space, *location, taken)
                except BadChunkError as error:
                    coordinate, offset = location[:2]
                    raise ChunkError(coordinate, offset, str(error)) from None

    def _parts(self, chunks: _Chunks) -> Iterator[list[tuple[Part, Part]]]:
        """What is taken of each chunk along each dimension, and where it goes in the result."""
        for numbers in zip(*np.unravel_index(chunks.position, self._counts), strict=True):
            yield [axis.part(number) for axis, number in zip(self._axes, numbers, strict=True)]

    def _decode(self, space: Workspace, chunks: _Chunks, targets: Integers) -> None:
        decode = partial(self._reader.decode, space) if self._layout.padded else _move
        done = 0
        try:
            sources = self._fetch(space, chunks)
            decode_batch = self._layout.pipeline.decode_batch
            if decode_batch is not None and len(chunks) > 1 and not chunks.mask.any():
                done = decode_batch(np.stack([sources, chunks.size, targets], axis=1))
            # Without such a decoder all chunks, and with one the first that it couldn't decode, to learn why.
            rest = (column[done:].tolist() for column in (sources, chunks.size, chunks.mask, targets))
            for row in zip(*rest, strict=True):
                decode(*row)
                done += 1
        except BadChunkError as error:
            raise self._error(chunks.position[done], chunks.offset[done], error) from None

    def _fetch(self, space: Workspace, chunks: _Chunks) -> Integers:
        """Read the stored bytes of chunks, near ones at once; gives the address of each."""
        raw = space.raw
        ends = np.maximum.accumulate(chunks.offset + chunks.size)
        borders = [0, *(np.flatnonzero(chunks.offset[1:] > ends[:-1] + _GAP_BYTES) + 1).tolist(), len(chunks)]
        spans = list(itertools.pairwise(borders))
        address = raw.of(sum(int(ends[end - 1] - chunks.offset[begin]) for begin, end in spans))
        sources = np.empty(len(chunks), np.int64)
        position = 0
        for begin, end in spans:
            offset = int(chunks.offset[begin])
            length = int(ends[end - 1]) - offset
            try:
                self._reader.fill(raw.array.data[position : position + length], offset)
            except BadChunkError as error:
                raise self._error(chunks.position[begin], offset, error) from None
            sources[begin:end] = chunks.offset[begin:end] + (address + position - offset)
            position += length
        return sources


def _move(source: int, size: int, mask: int, target: int) -> None:
    ctypes.memmove(target, source, size)


def _outer(operation: Any, parts: list[Any]) -> Any:
    """One element for each of the product of the parts, in its order."""
    total = parts[0]
    for part in parts[1:]:
        total = operation.outer(total, part).ravel()
    return total


def outer_key(parts: list[Any]) -> tuple[Any, ...]:
    """Slices and positions as NumPy takes the outer product of them."""
    if all(isinstance(part, slice) for part in parts):
        return tuple(parts)
    as_positions = [np.arange(part.start, part.stop, part.step) if isinstance(part, slice) else part for part in parts]
    return np.ix_(*as_positions)
