"""Values of which only a sum, a mean, a least or a largest one along some dimensions is asked for."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from numpy.typing import NDArray

from nexus_xr.hdf5.reading.reductions.absence import constant_of
from nexus_xr.hdf5.reading.reductions.operations import OPERATIONS
from nexus_xr.hdf5.reading.reductions.reduction import Reduction
from nexus_xr.hdf5.reading.reductions.views import view_of
from nexus_xr.hdf5.reading.selection import normalize
from nexus_xr.server.failures import Failure

from .selection import Selection
from .served_array import ServedArray

REDUCTIONS = tuple(OPERATIONS)


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
    values = array.stored
    axes = axes or tuple(range(len(selection.shape)))
    made = OPERATIONS[operation](values.dtype, math.prod(selection.shape[axis] for axis in axes))
    indexers = tuple(map(normalize, selection.key, values.shape))
    along = {selection.kept[axis] for axis in axes}
    view = view_of(values, indexers, array.chunks, (), values.file.is_local, along, made.blocks_together)
    work = Reduction(view, made, axes, None, partial(constant_of, values), values.file.policy.num_threads)
    return work.result(view.whole)


def _check(array: ServedArray, selection: Selection, axes: tuple[int, ...]) -> None:
    if any(axis >= len(selection.shape) for axis in axes) or len(set(axes)) < len(axes):
        listed, count = ",".join(map(str, axes)), len(selection.shape)
        raise Failure(422, f"axes={listed}: what is selected has {count} dimensions, counted from 0; name each once")
    if array.values.dtype.kind not in "biuf":
        raise Failure(422, f"values of {array.values.dtype} can't be reduced; leave reduce out")
    if 0 in selection.shape:
        raise Failure(422, "nothing is selected that could be reduced; select one value at least")
