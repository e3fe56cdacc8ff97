"""Regular choices of positions along a dimension, and what they have in common with a selection."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Positions = slice | NDArray[np.intp]


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


def _evenly(first: int, step: int, count: int) -> slice:
    return slice(first, first + (count - 1) * step + 1, step)
