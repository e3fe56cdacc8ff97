"""What virtual datasets are made of: which part of which source stands where."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.hyperslab import Hyperslab, Positions
from nexus_xr.hdf5.reading.selection import Indexer, length

Integers = NDArray[np.integer[Any]]
_ENDLESS = 2**62
OWN_FILE = "."


@dataclass(frozen=True)
class Mapping:
    """A part of a source that stands in a part of a virtual dataset.

    Parameters
    ----------
    file
        Name of the source's file as it is stored; "." for the virtual dataset's own.
    path
        Path of the source.
    target
        Where it stands, one a dimension.
    origin
        What stands there, one a dimension of the source.
    pairs
        The dimension of the source for each of the virtual dataset, None where it is a single position.
    is_whole
        Whether all of the source stands there, whatever its shape; `origin` is then what it should be.
    """

    file: str
    path: str
    target: tuple[Hyperslab, ...]
    origin: tuple[Hyperslab, ...]
    pairs: tuple[int | None, ...]
    is_whole: bool = False

    def is_held_by(self, shape: Sequence[int]) -> bool:
        """Whether a source of this shape has all that is mapped."""
        sizes = zip(self.origin, shape, strict=True)
        return all(
            hyperslab.length is not None and hyperslab.count_below(size) == hyperslab.length
            for hyperslab, size in sizes
        )

    def fitted(self, shape: tuple[int, ...]) -> Mapping | None:
        """The mapping of a source of this shape; None where its elements lie otherwise than those of the target."""
        if not self.is_whole:
            return self if len(shape) == len(self.origin) else None
        if len(shape) == len(self.origin):
            sizes = zip(shape, self.origin, strict=True)
            return self if all(each.length is None or size <= each.length for size, each in sizes) else None
        origin = tuple(Hyperslab(0, length=size) for size in shape)
        pairs = pair_dimensions(self.target, origin)
        return None if pairs is None else replace(self, origin=origin, pairs=pairs)


@dataclass(frozen=True, eq=False)
class VirtualLayout:
    """A virtual dataset; of mappings onto the same elements, the later one counts.

    Parameters
    ----------
    shape
        Shape of the dataset.
    dtype
        Dtype of an element in the file.
    fill
        What elements have that nothing is mapped to.
    mappings
        Which part of which source stands where, in order.
    grows
        Whether its shape is that of its sources, and so may change while its file doesn't.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: NDArray[Any]
    mappings: tuple[Mapping, ...]
    grows: bool = False

    def borders(self, dimension: int) -> list[int]:
        """Where sources begin along a dimension that they follow each other in."""
        hyperslabs = {mapping.target[dimension] for mapping in self.mappings}
        if any((hyperslab.stride, hyperslab.block) != (1, 1) for hyperslab in hyperslabs):
            return []
        return sorted({hyperslab.start for hyperslab in hyperslabs if 0 < hyperslab.start < self.shape[dimension]})

    @property
    def nbytes(self) -> int:
        """Memory that it takes, about."""
        return 512 * len(self.mappings)

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in ("shape", "dtype", "fill", "mappings", "grows")}

    @cached_property
    def _bounds(self) -> tuple[Integers, Integers]:
        """First and last position of each mapping, one row a dimension."""
        count = (len(self.mappings), len(self.shape))
        first, last = np.empty(count, np.int64), np.empty(count, np.int64)
        for row, mapping in enumerate(self.mappings):
            for dimension, (hyperslab, size) in enumerate(zip(mapping.target, self.shape, strict=True)):
                first[row, dimension] = hyperslab.start
                number = hyperslab.count_below(size) - 1
                last[row, dimension] = hyperslab.start - 1 if number < 0 else hyperslab.position(number)
        return first, last

    @cached_property
    def rounds(self) -> Integers:
        """A number for each mapping, such as those of the same number have no element in common.

        Where two have one, the later mapping has the higher number.
        """
        first, last = self._bounds
        if any(map(_are_apart, first.T, last.T)):
            return np.zeros(len(first), np.int64)
        stride = np.array([[s.stride if s.block == 1 else 1 for s in m.target] for m in self.mappings], np.int64)
        stride = stride.reshape(first.shape)
        rounds = np.zeros(len(first), np.int64)
        for row in range(1, len(first)):
            common = (first[:row] <= last[row]) & (first[row] <= last[:row])
            common &= (first[:row] - first[row]) % np.gcd(stride[:row], stride[row]) == 0
            touched = rounds[:row][common.all(axis=1)]
            rounds[row] = touched.max() + 1 if len(touched) else 0
        return rounds

    def touched(self, indexers: Sequence[Positions]) -> Integers:
        """Numbers of the mappings that a selection may touch, in order; the indexers rise or are arrays."""
        first, last = self._bounds
        within = np.ones(len(first), bool)
        for dimension, indexer in enumerate(indexers):
            low, high = _extremes(indexer)
            within &= (first[:, dimension] <= high) & (last[:, dimension] >= low)
        return np.flatnonzero(within)


def _are_apart(first: Integers, last: Integers) -> bool:
    order = np.argsort(first)
    return bool(np.all(first[order][1:] > last[order][:-1]))


def _extremes(indexer: Positions) -> tuple[int, int]:
    if isinstance(indexer, slice):
        return indexer.start, indexer.stop - 1
    return (int(indexer.min()), int(indexer.max())) if len(indexer) else (0, -1)


class Intersection(NamedTuple):
    """What a selection of a virtual dataset takes of a source.

    Parameters
    ----------
    goal
        Where it goes in the result, one a dimension.
    indexers
        What is read of the source, one a dimension; integers where the virtual dataset doesn't have it.
    """

    goal: tuple[Positions, ...]
    indexers: tuple[Indexer, ...]

    @property
    def size(self) -> int:
        """How many elements of the result it fills."""
        return math.prod(map(length, self.goal))


def intersect(
    mapping: Mapping, source_shape: Sequence[int] | None, indexers: Sequence[Positions]
) -> Intersection | None:
    """What of a source a selection touches, None where that is nothing.

    Parameters
    ----------
    mapping
        Where the source stands in the virtual dataset.
    source_shape
        The source's shape, beyond which nothing is mapped; None where that isn't known.
    indexers
        The selection: one a dimension, normalized, slices in rising order.

    Examples
    --------
    >>> second = Mapping("b.h5", "data", (Hyperslab(10, length=10),), (Hyperslab(0, length=10),), (0,))
    >>> intersect(second, (10,), [slice(5, 15, 1)])
    Intersection(goal=(slice(5, 10, 1),), indexers=(slice(0, 5, 1),))
    """
    goal: list[Positions] = []
    wanted: list[Indexer] = [hyperslab.start for hyperslab in mapping.origin]
    sizes = source_shape or (_ENDLESS,) * len(mapping.origin)
    if any(hyperslab.start >= size for hyperslab, size in zip(mapping.origin, sizes, strict=True)):
        return None
    for indexer, hyperslab, dimension in zip(indexers, mapping.target, mapping.pairs, strict=True):
        limit = 1 if dimension is None else mapping.origin[dimension].count_below(sizes[dimension])
        common = hyperslab.intersect(indexer, limit if hyperslab.length is None else min(limit, hyperslab.length))
        if common is None:
            return None
        goal.append(common[0])
        if dimension is not None:
            wanted[dimension] = mapping.origin[dimension].take(common[1])
    return Intersection(tuple(goal), tuple(wanted))


def is_short(mapping: Mapping, source_shape: tuple[int, ...], shape: Sequence[int]) -> bool:
    """Whether a source of this shape has less than what a virtual dataset of that shape is said to have of it."""
    fitted = mapping.fitted(source_shape)
    if fitted is None or (fitted is mapping and mapping.is_held_by(source_shape)) or 0 in shape:
        return False
    everything = [slice(0, size, 1) for size in shape]
    mapped, there = intersect(mapping, None, everything), intersect(fitted, source_shape, everything)
    return mapped is not None and (there is None or there.size < mapped.size)


def pair_dimensions(target: Sequence[Hyperslab], origin: Sequence[Hyperslab]) -> tuple[int | None, ...] | None:
    """The source's dimension for each of the target's; single positions have none.

    Elements are mapped in C order, which is so dimension by dimension if the others are equally long in turn.
    """
    longer = [dimension for dimension, hyperslab in enumerate(origin) if hyperslab.length != 1]
    others = iter(longer)
    pairs = tuple(next(others, -1) if hyperslab.length != 1 else None for hyperslab in target)
    if [hyperslab.length for hyperslab in target if hyperslab.length != 1] != [
        origin[dimension].length for dimension in longer
    ]:
        return None
    return pairs


def is_own_file(name: str) -> bool:
    """Whether a mapping's file is that of the virtual dataset."""
    return name == OWN_FILE
