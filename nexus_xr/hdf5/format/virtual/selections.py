"""Selections of elements, of which virtual datasets are made.

Source: the HDF5 file format specification, section VIII.A (the dataspace selection); what has no end, as libhdf5 writes
it: the largest number that there is room for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields

_WHAT = "a selection"
_NOTHING, _POINTS, _HYPERSLABS, _WHOLE = range(4)
_IS_REGULAR = 0x01
_MOST_DIMENSIONS = 32


class SelectionKind(Enum):
    """What is selected; others are points, and blocks that aren't evenly spaced."""

    NOTHING = auto()
    WHOLE = auto()
    REGULAR = auto()
    OTHER = auto()


class Slab(NamedTuple):
    """Blocks along one dimension, whose beginnings are equally far apart.

    Attributes
    ----------
    start
        Where the first begins.
    stride
        How far the beginnings are apart.
    number, block
        How many there are, and how long each is; one of them may be None, for as many or as much as fits.
    """

    start: int
    stride: int
    number: int | None
    block: int | None

    @property
    def is_endless(self) -> bool:
        """Whether it has no end."""
        return self.number is None or self.block is None

    def count_below(self, size: int) -> int:
        """How many positions fit into a dimension."""
        within = max(0, size - self.start)
        if self.block is None:
            return within
        blocks, rest = divmod(within, self.stride)
        if self.number is not None and blocks >= self.number:
            return self.number * self.block
        return blocks * self.block + min(rest, self.block)

    def end_of(self, count: int) -> int:
        """How long a dimension is that ends with the last of so many positions.

        Examples
        --------
        >>> every_third = Slab(1, 3, None, 1)
        >>> every_third.count_below(8), every_third.end_of(3), every_third.end_of(0)
        (3, 8, 0)
        """
        if not count:
            return 0
        if self.block is None:
            return self.start + count
        blocks, rest = divmod(count - 1, self.block)
        return self.start + blocks * self.stride + rest + 1


class DataspaceSelection(NamedTuple):
    """What is selected, and where it is regular, how along each dimension."""

    kind: SelectionKind
    slabs: tuple[Slab, ...] = ()

    @property
    def is_endless(self) -> bool:
        """Whether there is a dimension along which it has no end."""
        return any(slab.is_endless for slab in self.slabs)

    @property
    def endless(self) -> tuple[int, Slab]:
        """The dimension along which it has no end, and what is selected there; for one that has such a dimension."""
        return next((dimension, slab) for dimension, slab in enumerate(self.slabs) if slab.is_endless)


NOTHING, WHOLE, OTHER = map(DataspaceSelection, (SelectionKind.NOTHING, SelectionKind.WHOLE, SelectionKind.OTHER))


def read_selection(fields: Fields) -> DataspaceSelection:
    """The selection that the next fields describe.

    Parameters
    ----------
    fields
        Of the structure that it is in, from which it is taken.

    Raises
    ------
    FormatError
        There is none, or the structure ends before it does.
    """
    kind, version = fields.number(4), fields.number(4)
    read = _READERS.get((kind, version))
    if read is None:
        raise FormatError(f"{_WHAT} is of kind {kind} and version {version}, of which nothing is known")
    return read(fields)


def _nothing(fields: Fields) -> DataspaceSelection:
    fields.take(8)
    return NOTHING


def _whole(fields: Fields) -> DataspaceSelection:
    fields.take(8)
    return WHOLE


def _points_1(fields: Fields) -> DataspaceSelection:
    fields.take(8)  # reserved, and how long it is
    return _points(fields, 4)


def _points_2(fields: Fields) -> DataspaceSelection:
    return _points(fields, _size(fields))


def _points(fields: Fields, size: int) -> DataspaceSelection:
    rank, count = _rank(fields), fields.number(size)
    fields.take(rank * count * size)
    return OTHER if count else NOTHING


def _hyperslabs_1(fields: Fields) -> DataspaceSelection:
    fields.take(8)  # reserved, and how long it is
    return _blocks(fields, 4)


def _hyperslabs_2(fields: Fields) -> DataspaceSelection:
    if not fields.number(1) & _IS_REGULAR:
        raise FormatError(f"{_WHAT} of version 2 isn't regular")
    fields.take(4)  # how long it is
    return _regular(fields, 8)


def _hyperslabs_3(fields: Fields) -> DataspaceSelection:
    is_regular = fields.number(1) & _IS_REGULAR
    size = _size(fields)
    return _regular(fields, size) if is_regular else _blocks(fields, size)


def _size(fields: Fields) -> int:
    size = fields.number(1)
    if size not in (2, 4, 8):
        raise FormatError(f"{_WHAT} has numbers of {size} bytes")
    return size


def _rank(fields: Fields) -> int:
    rank = fields.number(4)
    if not 0 < rank <= _MOST_DIMENSIONS:
        raise FormatError(f"{_WHAT} has {rank} dimensions")
    return rank


def _numbers(fields: Fields, count: int, size: int) -> NDArray[np.unsignedinteger[Any]]:
    return np.frombuffer(fields.take(count * size), f"<u{size}")


def _regular(fields: Fields, size: int) -> DataspaceSelection:
    rank = _rank(fields)
    numbers = _numbers(fields, 4 * rank, size).reshape(rank, 4)
    slabs = tuple(_slab(*along, endless=(1 << 8 * size) - 1) for along in numbers.tolist())
    if sum(slab.is_endless for slab in slabs) > 1:
        raise FormatError(f"{_WHAT} has no end along several dimensions")
    return (
        NOTHING
        if any(0 in (slab.number, slab.block) for slab in slabs)
        else DataspaceSelection(SelectionKind.REGULAR, slabs)
    )


def _slab(start: int, stride: int, number: int, block: int, *, endless: int) -> Slab:
    if (stride < block and number > 1) or not stride or block == number == endless:
        raise FormatError(f"{_WHAT} has blocks within each other")
    return Slab(start, stride, None if number == endless else number, None if block == endless else block)


def _blocks(fields: Fields, size: int) -> DataspaceSelection:
    """Blocks by their first and last elements."""
    rank, count = _rank(fields), fields.number(size)
    corners = _numbers(fields, 2 * rank * count, size)
    if not count:
        return NOTHING
    slabs = _one_block(corners.tolist(), rank) if count == 1 else _grid(corners.reshape(count, 2, rank))
    return OTHER if slabs is None else DataspaceSelection(SelectionKind.REGULAR, slabs)


def _one_block(corners: list[int], rank: int) -> tuple[Slab, ...]:
    """As most selections of old files are."""
    slabs = tuple(
        Slab(first, last - first + 1, 1, last - first + 1)
        for first, last in zip(corners[:rank], corners[rank:], strict=True)
    )
    if any(slab.stride < 1 for slab in slabs):
        raise FormatError(f"{_WHAT} has a block that ends before it begins")
    return slabs


def _grid(corners: NDArray[np.unsignedinteger[Any]]) -> tuple[Slab, ...] | None:
    """The blocks dimension by dimension, None where they are no grid of equal ones."""
    first, last = corners[:, 0], corners[:, 1]
    if np.any(last < first):
        raise FormatError(f"{_WHAT} has blocks that end before they begin")
    lengths = last - first + 1
    begins = [np.unique(along).tolist() for along in first.T]
    # Of as many different ones as there are in a grid, none is missing.
    if prod(map(len, begins)) != len(first) or len(np.unique(first, axis=0)) != len(first):
        return None
    if np.any(lengths != lengths[0]):
        return None
    slabs = [_spaced(along, block) for along, block in zip(begins, lengths[0].tolist(), strict=True)]
    found = tuple(slab for slab in slabs if slab is not None)
    return found if len(found) == len(slabs) else None


def _spaced(begins: Sequence[int], block: int) -> Slab | None:
    """Blocks that begin where they are said to, None where they aren't evenly spaced or one is within another."""
    stride = begins[1] - begins[0] if len(begins) > 1 else block
    is_even = list(begins) == list(range(begins[0], begins[-1] + 1, stride))
    return Slab(begins[0], stride, len(begins), block) if is_even and stride >= block else None


_READERS: dict[tuple[int, int], Callable[[Fields], DataspaceSelection]] = {
    (_NOTHING, 1): _nothing,
    (_POINTS, 1): _points_1,
    (_POINTS, 2): _points_2,
    (_HYPERSLABS, 1): _hyperslabs_1,
    (_HYPERSLABS, 2): _hyperslabs_2,
    (_HYPERSLABS, 3): _hyperslabs_3,
    (_WHOLE, 1): _whole,
}
