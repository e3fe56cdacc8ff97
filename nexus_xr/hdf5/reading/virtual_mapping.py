"""What virtual datasets are made of: which part of which source stands where.

Sources: the chapter "Virtual Datasets" of the HDF5 user guide, and its functions `H5Pset_virtual` and
`H5Pset_virtual_prefix`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from h5py import h5d, h5s
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.properties import properties_of
from nexus_xr.hdf5.objects.text import decode

from .selection import Indexer, length

Integers = NDArray[np.integer[Any]]
Positions = slice | NDArray[np.intp]

_UNLIMITED = 2**64 - 1
_ENDLESS = 2**62
OWN_FILE = "."


class Hyperslab(NamedTuple):
    """Positions along one dimension: blocks of neighbours that are equally far apart.

    Parameters
    ----------
    start
        The first position.
    stride
        How far the beginnings of blocks are apart.
    block
        How long a block is. Neighbours are blocks of one, with a stride of one, so that they are a range.
    length
        How many positions there are; None for as many as fit.
    """

    start: int
    stride: int = 1
    block: int = 1
    length: int | None = None

    def position(self, number: int) -> int:
        """Where the one of a number is."""
        return self.start + number // self.block * self.stride + number % self.block

    def positions(self, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where those of some numbers are."""
        return self.start + numbers // self.block * self.stride + numbers % self.block

    def count_below(self, size: int) -> int:
        """How many positions fit into a dimension."""
        if size <= self.start:
            return 0
        blocks, rest = divmod(size - self.start, self.stride)
        fitting = blocks * self.block + min(rest, self.block)
        return fitting if self.length is None else min(fitting, self.length)

    def take(self, numbers: Positions) -> Positions:
        """Positions of some numbers, as a slice where they are one."""
        if isinstance(numbers, np.ndarray):
            return self.positions(numbers)
        if self.block > 1:
            return self.positions(np.arange(numbers.start, numbers.stop, numbers.step))
        first, last = (self.start + self.stride * number for number in (numbers.start, numbers.stop - 1))
        return slice(first, last + 1, self.stride * numbers.step)

    def intersect(self, selection: Positions, limit: int) -> tuple[Positions, Positions] | None:
        """What a selection and the first positions have in common, by number in both; None where that is nothing.

        Parameters
        ----------
        selection
            Positions, which rise or are an array.
        limit
            How many of the hyperslab's positions count.
        """
        if isinstance(selection, slice) and self.block == 1:
            return self._intersect_evenly(range(selection.start, selection.stop, selection.step), limit)
        if isinstance(selection, slice):
            selection = np.arange(selection.start, selection.stop, selection.step)
        blocks, within = np.divmod(selection - self.start, self.stride)
        numbers = blocks * self.block + within
        common = np.flatnonzero((blocks >= 0) & (within < self.block) & (numbers < limit))
        return (common, numbers[common]) if len(common) else None

    def _intersect_evenly(self, positions: range, limit: int) -> tuple[slice, slice] | None:
        """Common positions of two that are evenly spaced: again so, in both (the Chinese remainder theorem)."""
        common = math.gcd(positions.step, self.stride)
        apart, rest = divmod(self.start - positions.start, common)
        if rest:
            return None
        step, own_step = self.stride // common, positions.step // common
        first = apart * pow(own_step, -1, step) % step if step > 1 else 0
        if (before := self.start - positions.start - first * positions.step) > 0:
            first += -(-before // (step * positions.step)) * step
        number = (positions.start + first * positions.step - self.start) // self.stride
        count = min(-(-(len(positions) - first) // step), -(-(limit - number) // own_step))
        if count < 1:
            return None
        return _evenly(first, step, count), _evenly(number, own_step, count)


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
        pairs = _pair(self.target, origin)
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


def _evenly(first: int, step: int, count: int) -> slice:
    return slice(first, first + (count - 1) * step + 1, step)


# --- reading the description --------------------------------------------------------------------------------------


def read_mappings(dataset: h5d.DatasetID) -> tuple[Mapping, ...] | None:
    """The mappings of an open virtual dataset; None where one can't be told dimension by dimension.

    That is so of nothing, of points, of unions of hyperslabs, and where the elements are laid out in another shape.
    Beside other mappings it is so of one with a name for each block, as the first file that is missing ends these.
    """
    properties = properties_of(dataset)
    is_alone = properties.get_virtual_count() == 1
    mappings: list[Mapping] = []
    known: dict[Any, Any] = {}  # most mappings have most of their parts in common
    for number in range(properties.get_virtual_count()):
        try:
            target = _hyperslabs(properties.get_virtual_vspace(number))
            source = properties.get_virtual_srcspace(number)
        except RuntimeError:  # it is of nothing
            return None
        is_whole = source.get_select_type() == h5s.SEL_ALL  # the file then doesn't say what shape that is
        origin = None if is_whole else _hyperslabs(source)
        if target is None or (origin is None and not is_whole):
            return None
        file, path = map(_as_text, (properties.get_virtual_filename(number), properties.get_virtual_dsetname(number)))
        if not is_alone and "%b" in (file + path).replace("%%", ""):
            return None
        for each in _each_block(file, path, target, origin, dataset.shape):
            pairs = _pair(each[2], each[3])
            if pairs is None:
                return None
            mappings.append(Mapping(*(known.setdefault(part, part) for part in (*each, pairs, is_whole))))
    return tuple(mappings)


def _as_text(name: str | bytes) -> str:
    return decode(name) if isinstance(name, bytes) else name


def _hyperslabs(space: h5s.SpaceID) -> tuple[Hyperslab, ...] | None:
    if space.get_select_type() == h5s.SEL_ALL:
        return tuple(Hyperslab(0, length=size) for size in space.shape)
    if space.get_select_type() != h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    return tuple(itertools.starmap(_hyperslab, zip(*space.get_regular_hyperslab(), strict=True)))


def _hyperslab(start: int, stride: int, count: int, block: int) -> Hyperslab:
    if block == _UNLIMITED:
        return Hyperslab(start)
    if count == _UNLIMITED:
        return Hyperslab(start, stride, block)
    return (
        Hyperslab(start, length=count * block)
        if count == 1 or stride == block
        else Hyperslab(start, stride, block, count * block)
    )


def _pair(target: Sequence[Hyperslab], origin: Sequence[Hyperslab]) -> tuple[int | None, ...] | None:
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


def _each_block(
    file: str, path: str, target: tuple[Hyperslab, ...], origin: tuple[Hyperslab, ...] | None, shape: tuple[int, ...]
) -> Iterator[tuple[str, str, tuple[Hyperslab, ...], tuple[Hyperslab, ...]]]:
    """The mapping itself, or one a block where the names have the number of a block in them."""
    unlimited = [dimension for dimension, hyperslab in enumerate(target) if hyperslab.length is None]
    if not unlimited or (origin is not None and any(hyperslab.length is None for hyperslab in origin)):
        target = tuple(map(_joined, target))
        yield _named(file), _named(path), target, _beginning(target) if origin is None else tuple(map(_joined, origin))
        return
    (dimension,) = unlimited
    start, stride, block, _ = target[dimension]
    for number, at in enumerate(range(start, shape[dimension], stride)):
        part = (*target[:dimension], Hyperslab(at, length=block), *target[dimension + 1 :])
        yield _named(file, number), _named(path, number), part, _beginning(part) if origin is None else origin


def _joined(hyperslab: Hyperslab) -> Hyperslab:
    """Blocks without gaps as the neighbours that they are."""
    return Hyperslab(hyperslab.start, length=hyperslab.length) if hyperslab.stride == hyperslab.block else hyperslab


def _beginning(target: Sequence[Hyperslab]) -> tuple[Hyperslab, ...]:
    """A source that is as large as what it stands for."""
    return tuple(Hyperslab(0, length=hyperslab.length) for hyperslab in target)


def _named(name: str, number: int | None = None) -> str:
    """A name with its ``%b`` and ``%%`` replaced."""
    return re.sub("%(.)", lambda found: "%" if found[1] == "%" else str(number), name) if "%" in name else name


# --- the sources -------------------------------------------------------------------------------------------------


def is_own_file(name: str) -> bool:
    """Whether a mapping's file is that of the virtual dataset."""
    return name == OWN_FILE


def grows(dataset: h5d.DatasetID) -> bool:
    """Whether the shape of an open virtual dataset is that of its sources."""
    properties = properties_of(dataset)
    for number in range(properties.get_virtual_count()):
        with suppress(RuntimeError):  # it is of nothing
            if any(hyperslab.length is None for hyperslab in _hyperslabs(properties.get_virtual_vspace(number)) or ()):
                return True
    return False


def source_names(dataset: h5d.DatasetID) -> list[tuple[str, str]]:
    """File and path of each source of an open virtual dataset, but not where there is a name for each block."""
    properties = properties_of(dataset)
    found: dict[tuple[str, str], None] = {}
    for number in range(properties.get_virtual_count()):
        file, path = map(_as_text, (properties.get_virtual_filename(number), properties.get_virtual_dsetname(number)))
        if "%b" not in (file + path).replace("%%", ""):
            found[_named(file), _named(path)] = None
    return list(found)
