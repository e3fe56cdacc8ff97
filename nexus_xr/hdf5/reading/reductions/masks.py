"""Which values of a block count."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.layouts.layout import carrier_of

# So few are put aside one by one.
_FEW = 1 / 32
_WIDEST_BITS = 8
_MOST_KNOWN = 64


class Mask:
    """Which values of a block count, with a length of 1 in dimensions where that is the same for all."""

    def __init__(self, kept: NDArray[np.bool_]) -> None:
        self.kept = kept

    @cached_property
    def _left_out(self) -> int:
        """How many don't count."""
        return int(self.kept.size - np.count_nonzero(self.kept))

    @cached_property
    def _few_others(self) -> tuple[Any, ...] | None:
        """Where those are that don't count, if they are few."""
        if self._left_out > _FEW * self.kept.size:
            return None
        found = zip(np.nonzero(~self.kept), self.kept.shape, strict=True)
        return tuple(at if size > 1 else slice(None) for at, size in found)

    def put(self, values: NDArray[Any], neutral: Any) -> None:
        """Put a value that changes nothing in place of those that don't count."""
        if not self._left_out:
            return
        if self._few_others is not None:
            values[self._few_others] = neutral
        elif not neutral and values.itemsize <= _WIDEST_BITS:
            bits = values.view(carrier_of(values.dtype))  # as NaN times 0 isn't zero
            np.multiply(bits, self.kept, out=bits)
        else:
            np.copyto(values, neutral, casting="unsafe", where=~self.kept)


class Masks:
    """The masks of blocks, of which there are only a few different ones where one is for each frame of a stack.

    Parameters
    ----------
    kept
        Which values of an array count, with a length of 1 in dimensions where that is the same for all; None for all.
    """

    def __init__(self, kept: NDArray[np.bool_] | None) -> None:
        self._kept = kept
        self._known: dict[tuple[Any, ...], Mask] = {}

    def of(self, region: tuple[slice, ...]) -> Mask | None:
        """The mask of a part of the array, None where all counts."""
        if self._kept is None:
            return None
        sizes = zip(region, self._kept.shape, strict=True)
        part = tuple(each if size > 1 else slice(0, 1) for each, size in sizes)
        key = tuple((each.start, each.stop) for each in part)
        found = self._known.get(key)
        if found is None:
            found = Mask(self._kept[part])
            if len(self._known) < _MOST_KNOWN:
                self._known[key] = found
        return found


def counts_of(shape: tuple[int, ...], axes: tuple[int, ...], mask: Mask | None) -> Any:
    """How many values of a block count, for each part of what it is reduced to, or for all parts alike.

    Parameters
    ----------
    shape
        Shape of the block.
    axes
        Along which it is reduced.
    mask
        Which count; None for all.
    """
    if mask is None:
        return math.prod(shape[axis] for axis in axes)
    alike = math.prod(shape[axis] for axis in axes if mask.kept.shape[axis] == 1)
    remaining = [size for axis, size in enumerate(shape) if axis not in axes]
    return np.broadcast_to(np.count_nonzero(mask.kept, axis=axes) * alike, remaining)
