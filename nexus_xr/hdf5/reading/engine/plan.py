"""Which chunks a selection touches, and what of each goes where."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.selection import Indexer

Integers = NDArray[np.integer[Any]]
Part = slice | Integers


@dataclass(frozen=True, eq=False)
class AxisPlan:
    """What a selection takes along one dimension, chunk by chunk.

    Parameters
    ----------
    coordinates
        The chunks that are touched, each once.
    first, step, count
        What is taken of each: the first element within the chunk, how far they are apart, how many.
    start
        Where these go in the result, one behind the other.
    whole
        Whether that is all there is of the chunk, in order.
    picks
        Positions within the chunk and in the result where they follow no such rule, None otherwise.
    """

    coordinates: Integers
    first: Integers
    step: int
    count: Integers
    start: Integers
    whole: NDArray[np.bool_]
    picks: tuple[tuple[Integers, Integers] | None, ...] | None = None

    def part(self, number: int) -> tuple[Part, Part]:
        """What is taken of a chunk, and where it goes in the result."""
        if self.picks is not None and (picked := self.picks[number]) is not None:
            return picked
        first, count, start = int(self.first[number]), int(self.count[number]), int(self.start[number])
        return slice(first, first + (count - 1) * self.step + 1, self.step), slice(start, start + count)


@dataclass(frozen=True, eq=False)
class SelectionPlan:
    """A selection, dimension by dimension.

    Parameters
    ----------
    axes
        What is taken along each dimension.
    shape
        Shape of the result with all dimensions.
    backwards
        Dimensions along which the result is filled from its end.
    dropped
        Dimensions that an integer selected, which the result doesn't have in the end.
    """

    axes: tuple[AxisPlan, ...]
    shape: tuple[int, ...]
    backwards: tuple[int, ...]
    dropped: tuple[int, ...]


def plan_selection(
    indexers: Sequence[Indexer], shape: tuple[int, ...], chunks: tuple[int, ...], padded: bool
) -> SelectionPlan:
    """Plan the reading of a selection.

    Parameters
    ----------
    indexers
        One a dimension, normalized.
    shape
        Shape of what is selected from.
    chunks
        Shape of a chunk.
    padded
        Whether chunks at the far edges are stored as large as the others.
    """
    axes: list[AxisPlan] = []
    lengths: list[int] = []
    backwards: list[int] = []
    dropped: list[int] = []
    for dimension, (indexer, size, chunk) in enumerate(zip(indexers, shape, chunks, strict=True)):
        if isinstance(indexer, int):
            dropped.append(dimension)
            indexer = slice(indexer, indexer + 1, 1)
        elif isinstance(indexer, np.ndarray):
            indexer = _as_slice(indexer)
        if isinstance(indexer, slice):
            positions = range(indexer.start, indexer.stop, indexer.step)
            if indexer.step < 0:
                positions = positions[::-1]
                backwards.append(dimension)
            plan = _plan_few_steps if len(positions) <= _FEW * chunk else _plan_steps
            axes.append(plan(positions, size, chunk, padded))
            lengths.append(len(positions))
        else:
            axes.append(_plan_picks(indexer, size, chunk, padded))
            lengths.append(len(indexer))
    return SelectionPlan(tuple(axes), tuple(lengths), tuple(backwards), tuple(dropped))


def _as_slice(positions: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Positions that rise evenly as the slice that they are."""
    if not len(positions):
        return slice(0, 0, 1)
    steps = np.diff(positions)
    step = int(steps[0]) if len(steps) else 1
    if step < 1 or np.any(steps != step):
        return positions
    return slice(int(positions[0]), int(positions[-1]) + 1, step)


def _plan_steps(positions: range, size: int, chunk: int, padded: bool) -> AxisPlan:
    if not positions:
        none = np.zeros(0, np.int64)
        return AxisPlan(none, none, 1, none, none, none.astype(bool))
    begin, step, length = positions.start, positions.step, len(positions)
    if step <= chunk:
        coordinates = np.arange(begin // chunk, positions[-1] // chunk + 1)
    else:  # not every chunk in between is touched
        coordinates = np.unique(np.arange(begin, positions[-1] + 1, step) // chunk)
    edges = coordinates * chunk
    start = np.maximum(-((begin - edges) // step), 0)
    stop = np.minimum(-((begin - edges - chunk) // step), length)
    count = stop - start
    first = begin + start * step - edges
    held = chunk if padded else np.minimum(chunk, size - edges)
    whole = (first == 0) & (count == held) if step == 1 or chunk == 1 else np.zeros(len(coordinates), bool)
    return AxisPlan(coordinates, first, step, count, start, whole)


# Reads block by block ask for the same again and again.
_FEW = 64
_plan_few_steps = functools.lru_cache(256)(_plan_steps)


def _plan_picks(positions: NDArray[np.intp], size: int, chunk: int, padded: bool) -> AxisPlan:
    order = np.argsort(positions // chunk, kind="stable")
    coordinates, begins = np.unique((positions // chunk)[order], return_index=True)
    groups = np.split(order, begins[1:])
    picks: list[tuple[Integers, Integers] | None] = []
    for coordinate, group in zip(coordinates, groups, strict=True):
        picks.append((positions[group] - coordinate * chunk, group) if len(group) > 1 else None)
    start = np.array([group[0] for group in groups])
    count = np.array([len(group) for group in groups])
    first = positions[start] - coordinates * chunk
    held = chunk if padded else np.minimum(chunk, size - coordinates * chunk)
    return AxisPlan(coordinates, first, 1, count, start, (count == 1) & (held == 1), tuple(picks))
