"""A function of one's own of each frame of a stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.runtime import threads

from .views import ArrayView, Grid, Region, shape_of, within, without

Frame = NDArray[Any]


@dataclass(frozen=True, eq=False)
class FrameFunction:
    """A function of the frames of a view.

    Parameters
    ----------
    view
        The stack, whose blocks have whole frames.
    function
        Gives a number of a frame, which is in memory for that long.
    axes
        The dimensions of a frame, in the order in which the function is given them.
    num_threads
        Most threads to use; None for as many as there are CPUs for this process.
    """

    view: ArrayView
    function: Callable[[Frame], Any]
    axes: tuple[int, ...]
    num_threads: int | None = None

    dtype = np.dtype(np.float64)

    def result(self, region: Region) -> NDArray[np.float64]:
        """The numbers of the frames of a part of the view, which begins and ends where blocks do."""
        results = np.empty(shape_of(without(self.axes, region)))
        grid = self.view.grid(region, self.axes)
        work = partial(self._do, grid, without(self.axes, region), results)
        threads.run([partial(work, number) for number in range(len(grid))], self.num_threads)
        return results

    def _do(self, grid: Grid, region: Region, results: NDArray[np.float64], number: int) -> None:
        block = grid.block(number)
        goal = results[within(without(self.axes, block), region)]
        with self.view.array.reading() as read:
            frames = self.view.read(block, read).transpose(grid.order)
        for at in np.ndindex(goal.shape):
            goal[at] = self._number(frames[at])

    def _number(self, frame: Frame) -> float:
        found = self.function(frame)
        try:
            return float(found)
        except (TypeError, ValueError) as error:
            raise NexusError(f"{self.function!r} gives {found!r} for a frame, which is no number") from error
