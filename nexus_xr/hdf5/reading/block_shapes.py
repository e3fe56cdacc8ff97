"""Blocks in which an array is read: whole chunks, grouped until they are worth the trouble."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence


def grouped(unit: Sequence[int], shape: Sequence[int], itemsize: int, target: int) -> tuple[int, ...]:
    """Shape of blocks of whole units, grown from the fastest dimension to the slowest.

    No block splits a unit, and the blocks of a dimension are about equally long.

    Parameters
    ----------
    unit
        Shape of a unit.
    shape
        Shape of the array.
    itemsize
        Bytes of an element.
    target
        Bytes that a block should not exceed, unless a single unit does.

    Examples
    --------
    >>> grouped((1, 1024, 1024), (1000, 1024, 1024), 2, 16 << 20)
    (8, 1024, 1024)
    """
    block = list(unit)
    for dimension in reversed(range(len(shape))):
        in_units = -(-shape[dimension] // unit[dimension]) or 1
        fitting = target // max(1, itemsize * math.prod(block))
        if fitting < in_units:
            if fitting > 1:
                pieces = -(-in_units // fitting)
                block[dimension] *= -(-in_units // pieces)
            break
        block[dimension] = max(1, min(in_units * unit[dimension], shape[dimension]))
    return tuple(block)


def covering(shape: Sequence[int], block: Sequence[int]) -> Iterator[tuple[tuple[int, int], ...]]:
    """Where blocks of one shape that cover an array begin and end along each dimension; the last are shorter.

    Examples
    --------
    >>> list(covering((3, 2), (2, 2)))
    [((0, 2), (0, 2)), ((2, 3), (0, 2))]
    """
    for corner in itertools.product(*(range(0, size, length) for size, length in zip(shape, block, strict=True))):
        yield tuple((at, min(at + length, size)) for at, length, size in zip(corner, block, shape, strict=True))


def nearest_part(length: int, whole: int) -> int:
    """The length nearest to a given one that a whole consists of without a rest.

    Examples
    --------
    >>> nearest_part(8, 1000), nearest_part(8, 1001), nearest_part(900, 1009)
    (8, 7, 1009)
    """
    small = [part for part in range(1, math.isqrt(whole) + 1) if not whole % part]
    parts = (*small, *(whole // part for part in small))
    return min(parts, key=lambda part: max(part / length, length / part), default=length)
