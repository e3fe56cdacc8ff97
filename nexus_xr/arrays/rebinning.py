"""Neighbouring bins added up, with the edges of what becomes of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from nexus_xr.errors import NexusError

from .bins import bounds_of
from .edges import assign_bins, bounds_beside, edges_along
from .edges_index import EdgesIndex

AnyObject = Any  # a DataArray or a Dataset, and the same comes back


def rebin(obj: AnyObject, numbers: Mapping[Any, int]) -> AnyObject:
    """Add up so many neighbouring bins along dimensions."""
    unfit = {dim: number for dim, number in numbers.items() if number < 1 or obj.sizes.get(dim, 1) % max(number, 1)}
    if unfit or not numbers.keys() <= set(obj.dims):
        raise NexusError(f"rebin {dict(numbers)}: {dict(obj.sizes)} bins can't be added up so many at a time")
    bins = {name: index.bounds for name, index in obj.xindexes.items() if isinstance(index, EdgesIndex)}
    for dim in bins.keys() & numbers.keys():
        bins[dim] = bounds_of(edges_along(obj, dim)[:: numbers[dim]])
    return assign_bins(_summed(obj, numbers, bins), bins)


def _summed(obj: AnyObject, numbers: Mapping[Any, int], bins: Mapping[Hashable, np.ndarray[Any, Any]]) -> AnyObject:
    if isinstance(obj, xr.Dataset):
        obj = obj.drop_vars([bounds for name in bins if (bounds := bounds_beside(obj, name)) is not None])
    return obj.coarsen(numbers).sum()
