"""Values of which only a sum, a mean, a least or a largest one along some dimensions is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from nexus_xr.opening.arrays import FileArray
from nexus_xr.reductions import reduce
from nexus_xr.server.failures import Failure

from .selection import Selection
from .served_array import ServedArray

REDUCTIONS = ("sum", "mean", "min", "max", "std")


def reduced(array: ServedArray, selection: Selection, operation: str, axes: tuple[int, ...]) -> NDArray[Any]:
    """What comes of an operation along some dimensions of what is asked for.

    Parameters
    ----------
    array, selection
        What is asked for.
    operation
        One of `REDUCTIONS`.
    axes
        Dimensions of what is asked for; all where there are none.

    Raises
    ------
    Failure
        There are no such dimensions, or no values, or these are no numbers.
    """
    _check(array, selection, axes)
    dims = [f"dim_{number}" for number in range(len(array.values.shape))]
    opened = xr.DataArray(xr.Variable(dims, indexing.LazilyIndexedArray(FileArray(array.values))))
    selected = opened[selection.key]
    return np.asarray(reduce(selected, operation, [selected.dims[axis] for axis in axes] or None))


def _check(array: ServedArray, selection: Selection, axes: tuple[int, ...]) -> None:
    if any(axis >= len(selection.shape) for axis in axes) or len(set(axes)) < len(axes):
        raise Failure(422, f"axes={axes}: what is selected has dimensions 0 to {len(selection.shape) - 1}, each once")
    if array.values.dtype.kind not in "biuf":
        raise Failure(422, f"values of {array.values.dtype} can't be reduced; leave reduce out")
    if 0 in selection.shape:
        raise Failure(422, "nothing is selected that could be reduced; select one value at least")
