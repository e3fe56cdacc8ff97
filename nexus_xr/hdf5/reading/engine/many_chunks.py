"""Reading several chunks: in the order of the file, in batches, decoded by all cores straight into the result."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.codec import address_of
from nexus_xr.hdf5.filters.pipeline import Workspace
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.reading.layouts.chunk_index import Integers
from nexus_xr.hdf5.reading.layouts.layout import StoredLayout
from nexus_xr.hdf5.reading.selection import outer_key
from nexus_xr.hdf5.runtime import threads

from . import few_chunks
from .chunk import BadChunkError, ChunkError, ChunkReader, borrowed, bytes_of, span
from .plan import AxisPlan, Part

# What a thread takes at once: enough to make up for taking it, little enough to stay in a core's cache.
BATCH_BYTES = 1 << 20
# Bytes between two chunks that are read and thrown away rather than read around.
_GAP_BYTES = 16 * 1024
# Where in the file something begins that is to be done, and what that is.
_Step = tuple[int, threads.Task]


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

    def extremes(self) -> dict[int, None]:
        """Each once: the first, the one that ends last, the largest and the smallest; mostly one of a single chunk."""
        if len(self) == 1:
            return {0: None}
        return dict.fromkeys([0, *(int(np.argmax(ends)) for ends in (self.offset + self.size, self.size, -self.size))])


class Reading:
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
            address_of(self._target) + _outer(np.add, starts),
            _outer(np.logical_and, [axis.whole for axis in axes]),
        )
        if not locations.present.all():
            self._target[...] = self._layout.fill
            chunks = chunks.pick(locations.present)
        if np.any(chunks.offset[1:] < chunks.offset[:-1]):
            chunks = chunks.pick(np.argsort(chunks.offset, kind="stable"))
        if len(chunks):
            # The extremes tell whether all is well with all of them.
            for which in chunks.extremes():
                self._check(chunks, which)
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
            | (ends[1:] // few_chunks.RUN_BYTES != ends[:-1] // few_chunks.RUN_BYTES)
        )
        first = np.concatenate(([0], np.flatnonzero(apart) + 1))
        last = np.concatenate((first[1:], [len(chunks)])) - 1
        begin = chunks.address[first] - address_of(self._bytes)
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
