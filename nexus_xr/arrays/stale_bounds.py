"""CF bounds that an operation has left beside values of a coordinate whose bins they no longer are."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.nexus.tree.metadata import MetadataGroup

from .bins import edges_of, middles_of
from .edges import MadeOfEdges, bounds_beside, bounds_in, made_of_edges

_NUMBERS = "iuf"


def without_stale_bounds(dataset: xr.Dataset) -> xr.Dataset:
    """The same without bounds that aren't those of the coordinate that names them, which still does.

    Bounds that an index knows are right. Those that were made of edges are while the values are their middles, and
    while they are what stood beside an index. Of others, all that is known is that values lie within them; and of
    those that were computed in what was opened, that bins of a file that lie side by side still do.
    """
    beside = {name: bounds_beside(dataset, name) for name in dataset.variables}
    return dataset.drop_vars({bounds for name, bounds in beside.items() if bounds and _is_stale(dataset, name, bounds)})


def _is_stale(dataset: xr.Dataset, name: Hashable, beside: str) -> bool:
    values, bounds = dataset.variables[name], dataset.variables[beside]
    if bounds_in(dataset.xindexes.get(name)) is not None or not _are_comparable(values, bounds):
        return False
    made = made_of_edges(bounds)
    centres, pairs = np.asarray(values.values), np.asarray(bounds.values)
    if made is None or values.dtype.kind not in _NUMBERS:
        was_computed = made is None and "nexus_path" not in bounds.encoding and _was_opened(dataset)
        return _are_outside(centres, pairs) or (was_computed and values.ndim == 1 and not _are_side_by_side(pairs))
    if not np.array_equal(middles_of(pairs).astype(centres.dtype), centres, equal_nan=centres.dtype.kind == "f"):
        return True
    return values.ndim == 1 and _are_others(pairs, made)


def _are_comparable(values: xr.Variable, bounds: xr.Variable) -> bool:
    kinds = {values.dtype.kind, bounds.dtype.kind}
    return kinds <= set(_NUMBERS) or (len(kinds) == 1 and kinds <= set("mM"))


def _was_opened(dataset: xr.Dataset) -> bool:
    return any(isinstance(value, MetadataGroup) for value in dataset.attrs.values())


def _are_outside(centres: NDArray[Any], pairs: NDArray[Any]) -> bool:
    """Whether a value lies outside of its bin, the ends of which are rounded as it is."""
    if centres.dtype.kind == "f":
        pairs = pairs.astype(centres.dtype)
    return bool(((centres < pairs.min(axis=-1)) | (centres > pairs.max(axis=-1))).any())


def _are_side_by_side(pairs: NDArray[Any]) -> bool:
    return edges_of(pairs) is not None or edges_of(np.flip(pairs, axis=-1)) is not None


def _are_others(pairs: NDArray[Any], made: MadeOfEdges) -> bool:
    """Whether there are bins among these that the index beside them hadn't, as means of neighbours are."""
    if made.indexed is None:
        return False
    mine, known = (set(map(tuple, each.tolist())) for each in (pairs, made.indexed))
    return not mine <= known
