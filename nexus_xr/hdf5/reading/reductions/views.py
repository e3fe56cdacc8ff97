"""What is reduced: a selection of an array in a file, in blocks that split none of its chunks where that can be."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Container, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.block_shapes import grouped
from nexus_xr.hdf5.reading.selection import Indexer, length
from nexus_xr.hdf5.runtime.memory import MOST_KEPT

_ALL = slice(None)
# Gives the values of one normalized indexer a dimension; they may be overwritten.
Read = Callable[[Sequence[Indexer]], NDArray[Any]]
# Begin and end of a block along each dimension.
Region = tuple[slice, ...]
# As much as a core's own cache holds beside what is decoded; of a file behind a network, what hides the way there.
LOCAL_BLOCK_BYTES = 2 << 20
REMOTE_BLOCK_BYTES = 64 << 20
# Of so few values for each part of the result, blocks are read together where that pays.
FEW_VALUES = 4


def without(axes: tuple[int, ...], region: Region) -> Region:
    """Where a part of an array is in what it is reduced to along some dimensions."""
    return tuple(each for axis, each in enumerate(region) if axis not in axes)


def shape_of(region: Region) -> tuple[int, ...]:
    return tuple(each.stop - each.start for each in region)


def within(region: Region, other: Region) -> tuple[Any, ...]:
    """A region in an array of another, which NumPy gives as a view, also of no dimensions."""
    starts = [each.start for each in other]
    return (*(slice(each.start - at, each.stop - at) for each, at in zip(region, starts, strict=True)), ...)


class Readable(Protocol):
    """What values are read from."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def reading(self) -> AbstractContextManager[Read]:
        """What gives the values of one selection after the other, for the length of a ``with`` block."""


@dataclass(frozen=True)
class Grid:
    """Blocks by number.

    Parameters
    ----------
    borders
        Where blocks begin along each dimension, and where the last one ends.
    order
        The dimensions, that along which the next block lies last.
    """

    borders: Sequence[Sequence[int]]
    order: tuple[int, ...]

    @property
    def _counts(self) -> list[int]:
        return [len(self.borders[axis]) - 1 for axis in self.order]

    def __len__(self) -> int:
        return math.prod(self._counts)

    def lengths(self, axis: int) -> list[int]:
        """How long blocks are along a dimension."""
        return [end - begin for begin, end in itertools.pairwise(self.borders[axis])]

    def block(self, number: int) -> Region:
        """Where a block is."""
        at = [0] * len(self.order)
        for axis in reversed(self.order):
            number, at[axis] = divmod(number, len(self.borders[axis]) - 1)
        return tuple(slice(borders[i], borders[i + 1]) for borders, i in zip(self.borders, at, strict=True))


@dataclass(frozen=True, eq=False)
class ArrayView:
    """A selection of an array.

    Parameters
    ----------
    array
        What it is a selection of.
    indexers
        One a dimension of the array, normalized.
    chunks
        Shape of a chunk of the array; of one that has none, of what is best read at once.
    block
        Shape of the blocks of whole chunks in which it is read.
    is_chunked
        Whether there are chunks.
    """

    array: Readable
    indexers: tuple[Indexer, ...]
    chunks: tuple[int, ...]
    block: tuple[int, ...]
    is_chunked: bool

    @property
    def _kept(self) -> list[tuple[slice | NDArray[np.intp], int]]:
        """What is selected along each dimension that there still is, and how long a block is along it."""
        pairs = zip(self.indexers, self.block, strict=True)
        return [(indexer, block) for indexer, block in pairs if not isinstance(indexer, int)]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(length(indexer) for indexer, _ in self._kept)

    @property
    def whole(self) -> Region:
        """All of it."""
        return tuple(slice(0, size) for size in self.shape)

    @property
    def borders(self) -> list[list[int]]:
        """Where blocks begin along each dimension, and where the last one ends."""
        return [_borders(indexer, block) for indexer, block in self._kept]

    def grid(self, region: Region, last: tuple[int, ...]) -> Grid:
        """The blocks of a part that begins and ends where blocks do.

        Parameters
        ----------
        region
            The part.
        last
            Dimensions along which the next block lies, before it does along others.
        """
        parts = zip(self.borders, region, strict=True)
        within = [[at for at in every if part.start <= at <= part.stop] for every, part in parts]
        return Grid(within, (*(axis for axis in range(len(region)) if axis not in last), *last))

    def indexers_of(self, region: Region) -> tuple[Indexer, ...]:
        """What of the array a part of the selection is."""
        parts = iter(region)
        return tuple(each if isinstance(each, int) else _part(each, next(parts)) for each in self.indexers)

    def read(self, region: Region, read: Read) -> NDArray[Any]:
        """The values of a part of the selection.

        Parameters
        ----------
        region
            The part.
        read
            What `reading` of the array gives.
        """
        asked = self.indexers_of(region)
        wider = list(map(_widened, asked, self.chunks, self.array.shape))
        keys = [key for key, _ in wider]
        if self.is_chunked and not all(map(_is_of_whole_chunks, keys, self.chunks, self.array.shape)):
            return read(asked)  # which is copied from chunks in any case
        values = read(keys)
        if all(part is _ALL for _, part in wider):
            return values
        return values[tuple(part for key, part in wider if not isinstance(key, int))]


def _borders(indexer: slice | NDArray[np.intp], block: int) -> list[int]:
    count = length(indexer)
    if isinstance(indexer, np.ndarray):
        return [*range(0, count, block), count] if count else [0]
    if not count:
        return [0]
    begin, step = indexer.start, abs(indexer.step)
    if step >= block:
        return [*range(count + 1)]
    last = begin + (count - 1) * indexer.step
    if indexer.step > 0:
        inner = [-((begin - edge) // step) for edge in range((begin // block + 1) * block, last + 1, block)]
    else:
        inner = [(begin - edge) // step + 1 for edge in range(begin // block * block, last, -block)]
    return [0, *inner, count]


def _part(indexer: slice | NDArray[np.intp], part: slice) -> Indexer:
    if isinstance(indexer, np.ndarray):
        return indexer[part]
    positions = range(indexer.start, indexer.stop, indexer.step)[part]
    return slice(positions.start, positions.stop, positions.step)


def _widened(indexer: Indexer, chunk: int, size: int) -> tuple[Indexer, slice]:
    """What is read in place of a selection, and what is taken of that: nearly whole chunks are read as whole ones.

    They are decoded to where they stay, and not copied from there.
    """
    if isinstance(indexer, slice):
        return _widened_slice(indexer.start, indexer.stop, indexer.step, chunk, size)
    return indexer, _ALL


@functools.lru_cache(256)  # blocks side by side are alike in all dimensions but one
def _widened_slice(start: int, stop: int, step: int, chunk: int, size: int) -> tuple[slice, slice]:
    if positions := range(start, stop, step):
        first, last = min(positions[0], positions[-1]), max(positions[0], positions[-1])
        begin, end = first // chunk * chunk, min((last // chunk + 1) * chunk, size)
        if len(positions) < end - begin and 4 * len(positions) >= 3 * (end - begin):  # so that they are neighbours
            inner = slice(first - begin, last + 1 - begin)
            return slice(begin, end, 1), inner if step > 0 else _backwards(inner)
    return slice(start, stop, step), _ALL


def _is_of_whole_chunks(indexer: Indexer, chunk: int, size: int) -> bool:
    if chunk == 1 or not isinstance(indexer, slice):
        return chunk == 1
    return indexer.step == 1 and not indexer.start % chunk and (not indexer.stop % chunk or indexer.stop == size)


def _backwards(part: slice) -> slice:
    return slice(part.stop - 1, part.start - 1 if part.start else None, -1)


def view_of(
    array: Readable,
    indexers: tuple[Indexer, ...],
    chunks: tuple[int, ...] | None,
    whole: Container[int],
    is_local: bool,
    reduced: Container[int] = (),
    together: int = 1,
) -> ArrayView:
    """The view of a selection, in blocks that are worth the trouble.

    Parameters
    ----------
    array
        What it is a selection of.
    indexers
        One a dimension of the array, normalized.
    chunks
        Shape of a chunk, None where there are none.
    whole
        Dimensions of the array that blocks have all of.
    is_local
        Whether its file is one of this machine.
    reduced
        Dimensions of the array along which it is reduced.
    together
        So many blocks are read at once where each has only few values for each part of the result.
    """
    sizes = enumerate(zip(chunks or (1,) * len(array.shape), array.shape, strict=True))
    unit = tuple(max(1, size if at in whole else min(chunk, size)) for at, (chunk, size) in sizes)
    in_blocks_of = functools.partial(grouped, unit, array.shape, array.dtype.itemsize)
    block = in_blocks_of(LOCAL_BLOCK_BYTES if is_local else REMOTE_BLOCK_BYTES)
    if is_local and math.prod(length for at, length in enumerate(block) if at in reduced) < FEW_VALUES:
        # At most what is used again by the next.
        block = in_blocks_of(min(together * math.prod(block) * array.dtype.itemsize, MOST_KEPT))
    return ArrayView(array, indexers, unit if chunks else block, block, chunks is not None)
