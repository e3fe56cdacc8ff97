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

from nexus_xr.hdf5.objects.nodes import properties_of
from nexus_xr.hdf5.objects.text import decode

from .selection import Indexer, length

Integers = NDArray[np.integer[Any]]
Positions = slice | NDArray[np.intp]

_UNLIMITED = 2**64 - 1
_ENDLESS = 2**62
OWN_FILE = "."


class Slab(NamedTuple):
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
    target: tuple[Slab, ...]
    origin: tuple[Slab, ...]
    pairs: tuple[int | None, ...]
    is_whole: bool = False

    def is_held_by(self, shape: Sequence[int]) -> bool:
        """Whether a source of this shape has all that is mapped."""
        sizes = zip(self.origin, shape, strict=True)
        return all(slab.length is not None and slab.count_below(size) == slab.length for slab, size in sizes)

    def fitted(self, shape: tuple[int, ...]) -> Mapping | None:
        """The mapping of a source of this shape; None where its elements lie otherwise than those of the target."""
        if not self.is_whole:
            return self if len(shape) == len(self.origin) else None
        if len(shape) == len(self.origin):
            sizes = zip(shape, self.origin, strict=True)
            return self if all(slab.length is None or size <= slab.length for size, slab in sizes) else None
        origin = tuple(Slab(0, length=size) for size in shape)
        pairs = _pair(self.target, origin)
        return None if pairs is None else replace(self, origin=origin, pairs=pairs)


@dataclass(frozen=True, eq=False)
class Virtual:
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
        slabs = {mapping.target[dimension] for mapping in self.mappings}
        if any((slab.stride, slab.block) != (1, 1) for slab in slabs):
            return []
        return sorted({slab.start for slab in slabs if 0 < slab.start < self.shape[dimension]})

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
            for dimension, (slab, size) in enumerate(zip(mapping.target, self.shape, strict=True)):
                first[row, dimension] = slab.start
                number = slab.count_below(size) - 1
                last[row, dimension] = slab.start - 1 if number < 0 else slab.position(number)
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


class Cut(NamedTuple):
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


def cut(mapping: Mapping, source_shape: Sequence[int] | None, indexers: Sequence[Positions]) -> Cut | None:
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
    >>> second = Mapping("b.h5", "data", (Slab(10, length=10),), (Slab(0, length=10),), (0,))
    >>> cut(second, (10,), [slice(5, 15, 1)])
    Cut(goal=(slice(5, 10, 1),), indexers=(slice(0, 5, 1),))
    """
    goal: list[Positions] = []
    wanted: list[Indexer] = [slab.start for slab in mapping.origin]
    sizes = source_shape or (_ENDLESS,) * len(mapping.origin)
    if any(slab.start >= size for slab, size in zip(mapping.origin, sizes, strict=True)):
        return None
    for indexer, slab, dimension in zip(indexers, mapping.target, mapping.pairs, strict=True):
        limit = 1 if dimension is None else mapping.origin[dimension].count_below(sizes[dimension])
        met = _meet(indexer, slab, limit if slab.length is None else min(limit, slab.length))
        if met is None:
            return None
        goal.append(met[0])
        if dimension is not None:
            wanted[dimension] = mapping.origin[dimension].take(met[1])
    return Cut(tuple(goal), tuple(wanted))


def _meet(indexer: Positions, slab: Slab, limit: int) -> tuple[Positions, Positions] | None:
    """What a selection and the first of a slab have in common: its place in the selection, and numbers in the slab."""
    if isinstance(indexer, slice) and slab.block == 1:
        return _meet_evenly(range(indexer.start, indexer.stop, indexer.step), slab, limit)
    positions = np.arange(indexer.start, indexer.stop, indexer.step) if isinstance(indexer, slice) else indexer
    blocks, within = np.divmod(positions - slab.start, slab.stride)
    numbers = blocks * slab.block + within
    common = np.flatnonzero((blocks >= 0) & (within < slab.block) & (numbers < limit))
    return (common, numbers[common]) if len(common) else None


def _meet_evenly(positions: range, slab: Slab, limit: int) -> tuple[slice, slice] | None:
    """Common positions of two that are evenly spaced: again so, in both (the Chinese remainder theorem)."""
    common = math.gcd(positions.step, slab.stride)
    apart, rest = divmod(slab.start - positions.start, common)
    if rest:
        return None
    step, step_in_slab = slab.stride // common, positions.step // common
    first = apart * pow(step_in_slab, -1, step) % step if step > 1 else 0
    if (before := slab.start - positions.start - first * positions.step) > 0:
        first += -(-before // (step * positions.step)) * step
    number = (positions.start + first * positions.step - slab.start) // slab.stride
    count = min(-(-(len(positions) - first) // step), -(-(limit - number) // step_in_slab))
    if count < 1:
        return None
    return _evenly(first, step, count), _evenly(number, step_in_slab, count)


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
            target = _slabs(properties.get_virtual_vspace(number))
            source = properties.get_virtual_srcspace(number)
        except RuntimeError:  # it is of nothing
            return None
        is_whole = source.get_select_type() == h5s.SEL_ALL  # the file then doesn't say what shape that is
        origin = None if is_whole else _slabs(source)
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


def _slabs(space: h5s.SpaceID) -> tuple[Slab, ...] | None:
    if space.get_select_type() == h5s.SEL_ALL:
        return tuple(Slab(0, length=size) for size in space.shape)
    if space.get_select_type() != h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    return tuple(itertools.starmap(_slab, zip(*space.get_regular_hyperslab(), strict=True)))


def _slab(start: int, stride: int, count: int, block: int) -> Slab:
    if block == _UNLIMITED:
        return Slab(start)
    if count == _UNLIMITED:
        return Slab(start, stride, block)
    return (
        Slab(start, length=count * block)
        if count == 1 or stride == block
        else Slab(start, stride, block, count * block)
    )


def _pair(target: Sequence[Slab], origin: Sequence[Slab]) -> tuple[int | None, ...] | None:
    """The source's dimension for each of the target's; single positions have none.

    Elements are mapped in C order, which is so dimension by dimension if the others are equally long in turn.
    """
    longer = [dimension for dimension, slab in enumerate(origin) if slab.length != 1]
    others = iter(longer)
    pairs = tuple(next(others, -1) if slab.length != 1 else None for slab in target)
    if [slab.length for slab in target if slab.length != 1] != [origin[dimension].length for dimension in longer]:
        return None
    return pairs


def _each_block(
    file: str, path: str, target: tuple[Slab, ...], origin: tuple[Slab, ...] | None, shape: tuple[int, ...]
) -> Iterator[tuple[str, str, tuple[Slab, ...], tuple[Slab, ...]]]:
    """The mapping itself, or one a block where the names have the number of a block in them."""
    unlimited = [dimension for dimension, slab in enumerate(target) if slab.length is None]
    if not unlimited or (origin is not None and any(slab.length is None for slab in origin)):
        target = tuple(map(_joined, target))
        yield _named(file), _named(path), target, _beginning(target) if origin is None else tuple(map(_joined, origin))
        return
    (dimension,) = unlimited
    start, stride, block, _ = target[dimension]
    for number, at in enumerate(range(start, shape[dimension], stride)):
        part = (*target[:dimension], Slab(at, length=block), *target[dimension + 1 :])
        yield _named(file, number), _named(path, number), part, _beginning(part) if origin is None else origin


def _joined(slab: Slab) -> Slab:
    """Blocks without gaps as the neighbours that they are."""
    return Slab(slab.start, length=slab.length) if slab.stride == slab.block else slab


def _beginning(target: Sequence[Slab]) -> tuple[Slab, ...]:
    """A source that is as large as what it stands for."""
    return tuple(Slab(0, length=slab.length) for slab in target)


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
            if any(slab.length is None for slab in _slabs(properties.get_virtual_vspace(number)) or ()):
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
