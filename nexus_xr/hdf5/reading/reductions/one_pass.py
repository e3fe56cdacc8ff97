"""Values of the usual kinds added to what is known in a single pass, without arrays in between."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import compiled
from .masks import Mask

Lengths = tuple[int, int, int, int]
# Whether values are reduced along them: a repetition, places, rows, and places again.
_ARE_REDUCED = (True, False, True, False)


def add_in_one_pass(
    operation: str,
    values: NDArray[Any],
    axes: tuple[int, ...],
    kept: Mask | None,
    known: tuple[NDArray[Any], ...],
    limit: NDArray[Any] | None = None,
) -> bool:
    """Add values to what is known of others; gives whether there is a way for them, and does nothing otherwise.

    Parameters
    ----------
    operation
        What is known: "sum", "moments" (the sum, and that of the squares, of small integers), "least", "greatest" (of
        integers), "count" (of those above a limit), "spread" (mean and sum of squares around it; of nothing yet).
    values
        What is added.
    axes
        Along which it is reduced.
    kept
        Which of it counts; None for all.
    known
        What is known, for each part of the result.
    limit
        For "count", an array of the dtype of the values, and without dimensions.
    """
    kept_shape = None if kept is None else kept.kept.shape
    lengths = lengths_of(values.shape, axes, kept_shape)
    is_plain = values.dtype.isnative and all(each.flags.carray for each in (values, *known))
    if lengths is None or not is_plain:
        return False
    mask = None if kept is None else np.ascontiguousarray(kept.kept)
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)  # 1 where one is true, which any byte of a file but 0 is
    return compiled.add(operation, values.dtype.kind, lengths, values, known[0], *(known[1:] or (None,)), mask, limit)


@functools.lru_cache(64)  # blocks are alike but for those at the edges
def lengths_of(
    shape: tuple[int, ...], axes: tuple[int, ...], kept_shape: tuple[int, ...] | None = None
) -> Lengths | None:
    """How often the places come again, their lengths, and those of the rows between; None where that isn't all.

    Parameters
    ----------
    shape
        Shape of the values.
    axes
        Along which they are reduced.
    kept_shape
        Shape of a mask of the rows alone, which has a length of 1 in dimensions where it is the same for all.

    Examples
    --------
    >>> lengths_of((8, 512, 1024), (0,)), lengths_of((8, 512, 1024), (1, 2))
    ((1, 1, 8, 524288), (1, 8, 524288, 1))
    >>> lengths_of((8, 512, 1024), (0, 1, 2), (1, 512, 1024)), lengths_of((8, 512, 1024), (0,), (8, 1, 1))
    ((8, 1, 524288, 1), None)
    """
    lengths = [1, 1, 1, 1]
    slot, before = len(lengths), None
    for axis in reversed([axis for axis, size in enumerate(shape) if size != 1]):
        is_masked = kept_shape is not None and kept_shape[axis] != 1
        alike = (axis in axes, is_masked)
        if alike != before:
            slot = next((each for each in reversed(range(slot)) if _ARE_REDUCED[each] == alike[0]), -1)
        if slot < 0 or (is_masked and (slot != 2 or lengths[3] != 1)):
            return None
        lengths[slot] *= shape[axis]
        before = alike
    is_right = kept_shape is None or (math.prod(kept_shape), 1) == (lengths[2], lengths[3])
    return (lengths[0], lengths[1], lengths[2], lengths[3]) if is_right else None
