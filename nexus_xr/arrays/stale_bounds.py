"""CF bounds that an operation has left beside values of a coordinate whose bins they no longer are."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import warn_once

from .bins import are_middles
from .edges import bounds_beside, bounds_in, made_of_edges


def stale_bounds(dataset: xr.Dataset) -> dict[Hashable, str]:
    """The coordinates that name bounds which aren't those of their bins any more, with the names of these.

    Bounds that an index knows are right. Those that were made of edges are while the values are their middles, and
    while they aren't means of those that there were. Of others nothing speaks against them.
    """
    beside = ((name, bounds_beside(dataset, name)) for name in dataset.variables)
    return {name: bounds for name, bounds in beside if bounds is not None and _is_stale(dataset, name, bounds)}


def without_stale_bounds(dataset: xr.Dataset, stale: Mapping[Hashable, str]) -> xr.Dataset:
    """The same without stale bounds, but for those that are another coordinate's, too, and right there."""
    right = {bounds_beside(dataset, name) for name in dataset.variables if name not in stale}
    return dataset.drop_vars({*stale.values()} - right)


def tell_of_stale_bounds(done: str, stale: Mapping[Hashable, str]) -> None:
    """Warn of stale bounds that are left out where something is done."""
    diagnostics = Diagnostics()
    for name, bounds in stale.items():
        message = (
            f"an operation has left {bounds!r} beside other values; left it out (see assign_edges, or bounds_to_edges "
            "where it is right)"
        )
        diagnostics.add(Code.BOUNDS_MISSING, str(name), message)
    warn_once(f"{done}, but not all with edges", diagnostics)


def _is_stale(dataset: xr.Dataset, name: Hashable, beside: str) -> bool:
    centres, bounds = dataset.variables[name], dataset.variables[beside]
    made = made_of_edges(bounds)
    if made is None or bounds_in(dataset.xindexes.get(name)) is not None:
        return False
    pairs = np.asarray(bounds.values)
    if not are_middles(np.asarray(centres.values), pairs):
        return True
    return centres.ndim == 1 and made.indexed is not None and _are_means(pairs, made.indexed)


def _are_means(pairs: NDArray[Any], indexed: NDArray[Any]) -> bool:
    """Whether these lie within the bins that there were, and are none of them, as means of neighbours.

    Beside some of them, or farther out, there may be bins of other files, to which these were joined.
    """
    either_way = np.concatenate([indexed, np.flip(indexed, axis=-1)]).astype(pairs.dtype)
    mine, known = ({row.tobytes() for row in each} for each in (pairs, either_way))
    if not mine or not mine.isdisjoint(known):
        return False
    lowest, highest = (end.reduce(indexed, axis=None) for end in (np.fmin, np.fmax))
    return not ((pairs < lowest) | (pairs > highest)).any()
