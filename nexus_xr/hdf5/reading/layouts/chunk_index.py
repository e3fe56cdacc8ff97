"""Where the chunks of a dataset are in its file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]
_ALL_FILTERS = 0xFFFFFFFF


class ChunkLocation(NamedTuple):
    """Where a chunk is."""

    offset: int
    size: int
    mask: int


class ChunkLocations(NamedTuple):
    """Where some chunks are: one element a chunk."""

    offset: Integers
    size: Integers
    mask: Integers
    present: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ChunkIndex:
    """Offset, size and filter mask of each chunk that is stored, at most 24 bytes a chunk.

    Parameters
    ----------
    grid
        How many chunks there are along each dimension.
    numbers
        Number of each stored chunk in the order of the grid, rising; None where all are stored.
    offsets, sizes
        First byte of each stored chunk in the file, and how many there are.
    masks
        Filter mask of each: bit i is set where filter i was left out; None where none was.
    partial
        Chunks of the grid's far edges that are stored without filters: one flag a dimension.
    """

    grid: tuple[int, ...]
    numbers: Integers | None
    offsets: Integers
    sizes: Integers
    masks: Integers | None
    partial: tuple[bool, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.numbers, self.offsets, self.sizes, self.masks) if part is not None)

    def find(self, coordinate: Sequence[int]) -> ChunkLocation | None:
        """Where one chunk is; None where it isn't stored."""
        number = 0
        for part, count in zip(coordinate, self.grid, strict=True):
            number = number * count + part
        if self.numbers is not None:
            wanted, number = number, int(np.searchsorted(self.numbers, number))
            if number == len(self.numbers) or self.numbers[number] != wanted:
                return None
        mask = 0 if self.masks is None else int(self.masks[number])
        if self.partial and any(map(self._is_edge, coordinate, self.grid, self.partial)):
            mask = _ALL_FILTERS
        return ChunkLocation(int(self.offsets[number]), int(self.sizes[number]), mask)

    @staticmethod
    def _is_edge(part: Any, count: int, flag: bool) -> Any:
        return (part == count - 1) & flag

    def locate(self, coordinates: Sequence[Integers]) -> ChunkLocations:
        """Locations of the outer product of chunk coordinates, in the order of the product."""
        numbers = _outer_sum([part * step for part, step in zip(coordinates, steps_of(self.grid), strict=True)])
        found = self.among(numbers)
        if not any(self.partial):
            return found
        at_edge = _outer_sum(list(map(self._is_edge, coordinates, self.grid, self.partial))) > 0
        return found._replace(mask=np.where(at_edge, np.uint32(_ALL_FILTERS), found.mask))

    def among(self, wanted: Integers) -> ChunkLocations:
        """Locations of chunks by their numbers, of which none is at an edge where filters are left out."""
        if self.numbers is None:
            at, present = wanted, np.ones(len(wanted), bool)
        elif not len(self.numbers):
            none = np.zeros(len(wanted), np.int64)
            return ChunkLocations(none, none, none, none.astype(bool))
        else:
            at = np.minimum(np.searchsorted(self.numbers, wanted), len(self.numbers) - 1)
            present = self.numbers[at] == wanted
        mask = np.zeros(len(at), np.uint32) if self.masks is None else self.masks[at]
        return ChunkLocations(self.offsets[at].astype(np.int64), self.sizes[at].astype(np.int64), mask, present)


@dataclass(frozen=True)
class ContiguousRun:
    """The values of a contiguous layout, one behind the other, in pieces that are treated as chunks are.

    Parameters
    ----------
    offset
        First byte.
    shape
        Shape of the whole, with the bytes of an element as the last dimension.
    piece
        Shape of a piece, likewise: 1 in the leading dimensions and everything in the trailing ones.
    """

    offset: int
    shape: tuple[int, ...]
    piece: tuple[int, ...]

    nbytes = 0

    def find(self, coordinate: Sequence[int]) -> ChunkLocation:
        """Where one piece is."""
        offset, size = 0, self.shape[-1]
        for part, length, total in zip(coordinate, self.piece, self.shape, strict=False):
            offset = offset * total + part * length
            size *= min(length, total - part * length)
        return ChunkLocation(self.offset + offset * self.shape[-1], size, 0)

    def locate(self, coordinates: Sequence[Integers]) -> ChunkLocations:
        """Locations of the outer product of the pieces' coordinates, in the order of the product."""
        bytes_in = steps_of(self.shape)
        origins = [part * length * step for part, length, step in zip(coordinates, self.piece, bytes_in, strict=False)]
        lengths = [
            np.minimum(length, total - part * length)
            for part, length, total in zip(coordinates, self.piece, self.shape, strict=False)
        ]
        size = np.ones((1,) * len(lengths), np.int64) * self.shape[-1]
        for dimension, part in enumerate(lengths):
            size = size * part.reshape([-1 if other == dimension else 1 for other in range(len(lengths))])
        offset = self.offset + _outer_sum(origins)
        return ChunkLocations(offset, size.ravel(), np.zeros(len(offset), np.uint32), np.ones(len(offset), bool))


def steps_of(shape: tuple[int, ...]) -> list[int]:
    """How far apart neighbours along each dimension are, in elements of the last one."""
    return [math.prod(shape[dimension + 1 :]) for dimension in range(len(shape))]


def _outer_sum(parts: Sequence[Any]) -> Integers:
    total = np.zeros((1,) * len(parts), np.int64)
    for dimension, part in enumerate(parts):
        total = total + np.asarray(part).reshape([-1 if other == dimension else 1 for other in range(len(parts))])
    return total.ravel()
