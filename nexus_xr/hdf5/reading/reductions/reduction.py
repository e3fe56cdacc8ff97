"""Reducing an array: each thread reads a block into its cache, reduces it there, and reads the next."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.cpus import thread_count

from .absence import ConstantOf
from .masks import Mask, Masks, counts_of
from .operations import Addends, Operation, State
from .views import ArrayView, Grid, Read, Region, shape_of, within, without

# Tasks for each thread, so that all are done at about the same time; and most blocks of one.
_TASKS_OF_THREAD = 4
_MOST_BLOCKS = 64
# What NumPy takes for a part of the result.
Place = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Reduction:
    """A view that is reduced along some of its dimensions.

    It is small but for its mask, and can be pickled.

    Parameters
    ----------
    view
        What is reduced.
    operation
        To what.
    axes
        Along which dimensions.
    mask
        Which values count, with a length of 1 in dimensions where that is the same for all; None for all of them.
    absence
        Finds out what tells of values that aren't stored; None where nothing does.
    num_threads
        Most threads to use; None for as many as there are CPUs for this process.
    """

    view: ArrayView
    operation: Operation
    axes: tuple[int, ...]
    mask: NDArray[np.bool_] | None = None
    absence: Callable[[], ConstantOf | None] | None = None
    num_threads: int | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the result."""
        return self.operation.finish(self.operation.start((1,)), 1).dtype

    def result(self, region: Region) -> NDArray[Any]:
        """The values of a part of the view, which begins and ends where blocks do, without the dimensions reduced."""
        return self.finish(self.state(region), region)

    def finish(self, state: State, region: Region) -> NDArray[Any]:
        """The result of what is known of all values of a part."""
        counts = counts_of(shape_of(region), self.axes, Masks(self.mask).of(region))
        return np.asarray(self.operation.finish(state, counts))

    def merged(self, states: Sequence[State]) -> State:
        """What is known of the values of several parts that have the same place in the result."""
        first, *others = states
        known = tuple(part.copy() for part in first)
        for other in others:
            self.operation.merge(known, other)
        return known

    def state(self, region: Region) -> State:
        """What is known of the values of a part of the view, which begins and ends where blocks do."""
        grid = self.view.grid(region, self.axes)
        most = (self.num_threads or thread_count()) * _TASKS_OF_THREAD
        length = min(_MOST_BLOCKS, -(-len(grid) // most)) or 1
        work = _Pass(self, grid, region, length)
        runs = range(0, len(grid), length)
        threads.run([partial(work.add_run, number) for number in range(len(runs))], self.num_threads)
        if self.leaves_out_places:
            self._leave_out(work.known.state, Masks(self.mask).of(region))
        return work.known.state

    @property
    def leaves_out_places(self) -> bool:
        """Whether of each part of the result all values count, or none: then that is seen to at the end."""
        return self.mask is not None and all(self.mask.shape[axis] == 1 for axis in self.axes)

    def _leave_out(self, state: State, mask: Mask | None) -> None:
        """Forget the values of those parts of the result of which none count."""
        if mask is not None:
            left_out = ~mask.kept.squeeze(self.axes)
            for part, nothing in zip(state, self.operation.start(()), strict=True):
                np.copyto(part, nothing, where=left_out)


class _Pass:
    """A pass through a part of a view, in runs of blocks."""

    def __init__(self, reduction: Reduction, grid: Grid, region: Region, length: int) -> None:
        self._view = reduction.view
        self._operation = reduction.operation
        self._axes = reduction.axes
        self._masks = Masks(None if reduction.leaves_out_places else reduction.mask)
        self._constant_of = None if reduction.absence is None else reduction.absence()
        self._grid = grid
        self._goal = without(self._axes, region)
        self._length = length
        # Of each part of the result, a run adds so many values at most.
        self._most = length * math.prod(max(grid.lengths(axis), default=0) for axis in self._axes)
        self.known = _Known(self._operation, self._operation.start(shape_of(self._goal)))

    def add_run(self, number: int) -> None:
        """Add a run of blocks to what is known."""
        begin = number * self._length
        blocks = map(self._grid.block, range(begin, min(begin + self._length, len(self._grid))))
        with self._view.array.reading() as read:
            found = list(self._states(blocks, read))
        self.known.take(number, found)

    def _states(self, blocks: Iterator[Region], read: Read) -> Iterator[tuple[Place, State]]:
        """What is known of blocks, for each part of the result that they belong to."""
        place: Region | None = None
        for block in blocks:
            if without(self._axes, block) != place:
                place = without(self._axes, block)
                state = self._operation.start(shape_of(place), self._most)
                yield within(place, self._goal), state
            self._add(state, block, read)

    def _add(self, state: State, block: Region, read: Read) -> None:
        mask = self._masks.of(block)
        constant = None if self._constant_of is None else self._constant_of(self._view.indexers_of(block))
        if constant is not None:
            self._operation.add_constant(state, constant, counts_of(shape_of(block), self._axes, mask))
        else:
            self._operation.add(state, Addends(self._view.read(block, read), self._axes, mask))


class _Known:
    """What is known of all values, to which threads add what they know of some: in order, so that sums are the same."""

    def __init__(self, operation: Operation, state: State) -> None:
        self.state = state
        self._operation = operation
        self._lock = threading.Lock()
        self._waiting: dict[int, list[tuple[Place, State]]] = {}
        self._next = 0

    def take(self, number: int, found: list[tuple[Place, State]]) -> None:
        """Add what is known of a run of blocks."""
        with self._lock:
            self._waiting[number] = found
            while self._next in self._waiting:
                for place, state in self._waiting.pop(self._next):
                    self._operation.merge(tuple(part[place] for part in self.state), state)
                self._next += 1
