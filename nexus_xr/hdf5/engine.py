"""Reading a selection: raw chunks decoded by all cores straight into the result.

libhdf5 decodes one chunk at a time behind a lock for the whole process. Here it is only asked where the chunks are.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NexusFileError
from . import threads
from .codecs import DecodeError
from .index import Integers
from .memory import empty
from .pipeline import Pipeline, Workspace
from .placement import Placement
from .plan import AxisPlan, plan_selection
from .selection import Indexer
from .source import Source

# What a thread takes at once: enough to make up for taking it, little enough to stay in a core's cache.
BATCH_BYTES = 1 << 20
# Bytes between two chunks that are read and thrown away rather than read around.
_GAP_BYTES = 16 * 1024
# What a thread keeps between reads of each kind of memory.
_ROOM_BYTES = 8 << 20

_workspace = Workspace()


class ChunkError(NexusFileError):
    """A chunk can't be read: where it is in the grid of chunks, and why."""

    def __init__(self, coordinate: tuple[int, ...], offset: int, reason: str) -> None:
        super().__init__(f"chunk {coordinate} at byte {offset}: {reason}")


def read(
    placement: Placement, source: Source, indexers: Sequence[Indexer], num_threads: int | None = None
) -> NDArray[Any]:
    """Read the outer product of one indexer a dimension; each chunk that is touched is decoded once.

    Parameters
    ----------
    placement
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
        Elements of the placement's carrier dtype, without the dimensions that an integer selected.
    """
    plan = plan_selection(indexers, placement.shape, placement.chunks, placement.padded)
    values = empty(plan.shape, placement.carrier)
    if values.size:
        target = values[tuple(slice(None, None, -1 if d in plan.backwards else 1) for d in range(values.ndim))]
        reading = _Reading(placement, source, values, target, plan.axes)
        threads.run(reading.tasks(), num_threads)
    return values.reshape([length for d, length in enumerate(plan.shape) if d not in plan.dropped])


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
        return _Chunks(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


class _Reading:
    """One read: what is fixed while its chunks are decoded."""

    def __init__(
        self,
        placement: Placement,
        source: Source,
        values: NDArray[Any],
        target: NDArray[Any],
        axes: tuple[AxisPlan, ...],
    ) -> None:
        self._placement = placement
        self._source = source
        self._memory = values.reshape(-1).view(np.uint8).data
        self._base = _address(values)
        self._target = target
        self._axes = axes
        self._counts = tuple(len(axis.coordinates) for axis in axes)
        self._pipeline: Pipeline = placement.pipeline

    def tasks(self) -> list[threads.Task]:
        """All that there is to do; what isn't stored is filled at once."""
        chunks = self._touched()
        if chunks is None:
            return []
        straight = self._goes_straight(chunks)
        tasks: list[threads.Task] = [partial(self._copy, *run) for run in self._straight_runs(chunks.pick(straight))]
        # The last piece of a contiguous layout may be shorter than the others.
        whole = chunks.whole if self._placement.padded else chunks.whole & (chunks.size == self._pipeline.chunk_bytes)
        for kind, work in ((whole, self._decode_whole), (~whole, self._decode_parts)):
            some = chunks.pick(kind & ~straight)
            tasks += [partial(work, some.pick(batch)) for batch in self._batches(len(some))]
        return tasks

    def _touched(self) -> _Chunks | None:
        axes = self._axes
        places = self._placement.index.locate([axis.coordinates for axis in axes])
        steps = self._target.strides
        starts = [axis.start * step for axis, step in zip(axes, steps, strict=True)]
        chunks = _Chunks(
            np.arange(len(places.offset)),
            places.offset,
            places.size,
            places.mask,
            _address(self._target) + _outer(np.add, starts),
            _outer(np.logical_and, [axis.whole for axis in axes]),
        )
        if not places.present.all():
            self._target[...] = self._placement.fill
            chunks = chunks.pick(places.present)
        if not len(chunks):
            return None
        if np.any(chunks.offset[1:] < chunks.offset[:-1]):
            chunks = chunks.pick(np.argsort(chunks.offset, kind="stable"))
        self._check_places(chunks)
        return chunks

    def _check_places(self, chunks: _Chunks) -> None:
        beyond = (chunks.offset < 0) | (chunks.size < 0) | (chunks.offset + chunks.size > self._source.size)
        too_large = chunks.size > self._pipeline.largest_stored
        for wrong in np.flatnonzero(beyond | too_large)[:1]:
            size = int(chunks.size[wrong])
            raise self._fault(
                chunks,
                int(wrong),
                f"its {size} bytes go beyond the end of the file, which has {self._source.size}; the file is truncated"
                if beyond[wrong]
                else f"it is said to have {size} bytes stored for {self._pipeline.chunk_bytes}; the file is damaged",
            )

    def _fault(self, chunks: _Chunks, which: int, reason: str) -> ChunkError:
        at = np.unravel_index(int(chunks.position[which]), self._counts)
        coordinate = tuple(int(axis.coordinates[i]) for axis, i in zip(self._axes, at, strict=True))
        return ChunkError(coordinate, int(chunks.offset[which]), reason)

    def _goes_straight(self, chunks: _Chunks) -> NDArray[np.bool_]:
        """Chunks whose stored bytes are just what a stretch of the result is to hold."""
        if self._placement.filters or not chunks.whole.any() or not self._lies_together():
            return np.zeros(len(chunks), bool)
        return chunks.whole

    def _lies_together(self) -> bool:
        """Whether a whole chunk's elements lie in the result as they do in the chunk."""
        window = self._target[tuple(slice(0, length) for length in self._placement.chunks)]
        return bool(window.flags.c_contiguous)

    def _straight_runs(self, chunks: _Chunks) -> Iterator[tuple[_Chunks, int, int]]:
        """Chunks that follow each other in the file as in the result, up to a few batches of them."""
        if not len(chunks):
            return
        ends = np.cumsum(chunks.size)
        apart = (
            (chunks.offset[1:] != chunks.offset[:-1] + chunks.size[:-1])
            | (chunks.address[1:] != chunks.address[:-1] + chunks.size[:-1])
            | (ends[1:] // (2 * BATCH_BYTES) != ends[:-1] // (2 * BATCH_BYTES))
        )
        if self._placement.padded:
            for wrong in np.flatnonzero(chunks.size != self._pipeline.chunk_bytes)[:1]:
                size = int(chunks.size[wrong])
                reason = f"{size} bytes are stored, and a chunk has {self._pipeline.chunk_bytes}; the file is damaged"
                raise self._fault(chunks, int(wrong), reason)
        borders = [0, *(np.flatnonzero(apart) + 1).tolist(), len(chunks)]
        for begin, end in itertools.pairwise(borders):
            first = int(ends[begin] - chunks.size[begin])
            position = int(chunks.address[begin]) - self._base
            yield chunks.pick(slice(begin, begin + 1)), position, int(ends[end - 1]) - first

    def _copy(self, first: _Chunks, position: int, size: int) -> None:
        offset = int(first.offset[0])
        found = self._source.read_into(self._memory[position : position + size], offset)
        if found < size:
            raise self._fault(first, 0, f"only {found} of {size} bytes could be read; the file is truncated")

    def _batches(self, count: int) -> Iterator[slice]:
        length = max(1, BATCH_BYTES // self._pipeline.chunk_bytes)
        for begin in range(0, count, length):
            yield slice(begin, min(begin + length, count))

    def _decode_whole(self, chunks: _Chunks) -> None:
        """Decode chunks of which everything is asked for."""
        if self._lies_together():
            self._decode(chunks, chunks.address.tolist())
            return
        decoded = self._decoded(chunks)
        starts = np.unravel_index(chunks.position, self._counts)
        windows = np.lib.stride_tricks.sliding_window_view(self._target, self._placement.chunks, writeable=True)
        windows[tuple(axis.start[i] for axis, i in zip(self._axes, starts, strict=True))] = decoded

    def _decode_parts(self, chunks: _Chunks) -> None:
        """Decode chunks of which a part is asked for."""
        decoded = self._decoded(chunks)
        for which, at in enumerate(zip(*np.unravel_index(chunks.position, self._counts), strict=True)):
            parts = [axis.part(i) for axis, i in zip(self._axes, at, strict=True)]
            taken, goal = _outer_key([part for part, _ in parts]), _outer_key([part for _, part in parts])
            self._target[goal] = decoded[which][taken]

    def _decoded(self, chunks: _Chunks) -> NDArray[Any]:
        """The decoded chunks, in this thread's memory."""
        size = self._pipeline.chunk_bytes
        room = _workspace.decoded
        begin = room.of(size * len(chunks))
        self._decode(chunks, list(range(begin, begin + size * len(chunks), size)))
        shape = (len(chunks), *self._placement.chunks)
        return room.array[: size * len(chunks)].view(self._placement.carrier).reshape(shape)

    def _decode(self, chunks: _Chunks, targets: list[int]) -> None:
        space = _workspace
        decode = self._pipeline.decode if self._placement.padded else _move
        which = 0
        try:
            sources = self._fetch(chunks, space)
            rows = zip(sources, chunks.size.tolist(), chunks.mask.tolist(), targets, strict=True)
            for which, (source, size, mask, target) in enumerate(rows):  # noqa: B007  named in the error
                decode(space, source, size, mask, target)
        except DecodeError as error:
            raise self._fault(chunks, which, f"{error}; the file is damaged") from None
        finally:
            space.shrink(_ROOM_BYTES)

    def _fetch(self, chunks: _Chunks, space: Workspace) -> list[int]:
        """Read the stored bytes of chunks, near ones at once; gives the address of each."""
        ends = np.maximum.accumulate(chunks.offset + chunks.size)
        borders = [0, *(np.flatnonzero(chunks.offset[1:] > ends[:-1] + _GAP_BYTES) + 1).tolist(), len(chunks)]
        spans = [
            (begin, end, int(chunks.offset[begin]), int(ends[end - 1])) for begin, end in itertools.pairwise(borders)
        ]
        address = space.raw.of(sum(end - begin for _, _, begin, end in spans))
        view = space.raw.array.data
        sources: list[int] = []
        position = 0
        for begin, end, offset, stop in spans:
            found = self._source.read_into(view[position : position + stop - offset], offset)
            if found < stop - offset:
                short = int(np.argmax(chunks.offset[begin:end] + chunks.size[begin:end] > offset + found)) + begin
                reason = f"only {found} of {stop - offset} bytes could be read; the file is truncated"
                raise self._fault(chunks, short, reason)
            sources += (chunks.offset[begin:end] + (address + position - offset)).tolist()
            position += stop - offset
        return sources


def _move(space: Workspace, source: int, size: int, mask: int, target: int) -> None:
    ctypes.memmove(target, source, size)


def _address(values: NDArray[Any]) -> int:
    return int(values.__array_interface__["data"][0])


def _outer(operation: Any, parts: list[Any]) -> Any:
    """One element for each of the product of the parts, in its order."""
    total = parts[0]
    for part in parts[1:]:
        total = operation.outer(total, part).ravel()
    return total


def _outer_key(parts: list[Any]) -> tuple[Any, ...]:
    """Slices and positions as NumPy takes the outer product of them."""
    if all(isinstance(part, slice) for part in parts):
        return tuple(parts)
    as_positions = [np.arange(part.start, part.stop, part.step) if isinstance(part, slice) else part for part in parts]
    return np.ix_(*as_positions)
