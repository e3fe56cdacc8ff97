"""Neighbouring bins added up, with the edges of what becomes of them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, listed, warn_once
from nexus_xr.nexus.rules.content import free_name
from nexus_xr.nexus.rules.variables import Role

from .accepted import has_dates_of_cftime
from .bins import bounds_of, middles_of
from .edges import assign_bins, bounds_beside, edges_along, edges_between, mark_as_made, with_bounds_last
from .edges_index import EdgesIndex
from .stale_bounds import stale_bounds, tell_of_stale_bounds, without_stale_bounds
from .uncertainties import (
    errors_among,
    errors_as_data,
    errors_by_owner,
    errors_in,
    is_uncertain,
    joined,
    refuse_other_units,
    values_in,
)

AnyObject = Any  # a DataArray or a Dataset, and the same comes back
# Kinds of types that can be added up, and of those that have a mean.
_ADDED, _AVERAGED = "biufcm", "biufcmM"
# What an encoding says of values and their number, and isn't true of those that become of them.
_OF_VALUES = {"dtype", "_FillValue", "missing_value", "scale_factor", "add_offset"}
_OF_SHAPE = {"chunksizes", "chunks", "preferred_chunks", "original_shape", "default_slice"}


def rebin(obj: AnyObject, numbers: Mapping[Any, int]) -> AnyObject:
    """Put so many neighbouring bins together along dimensions."""
    unfit = {dim: number for dim, number in numbers.items() if number < 1 or obj.sizes.get(dim, 1) % max(number, 1)}
    if unfit or not numbers.keys() <= set(obj.dims):
        raise NexusError(f"rebin {dict(numbers)}: {dict(obj.sizes)} bins can't be added up so many at a time")
    if isinstance(obj, xr.Dataset):
        return _rebinned(_without_others(obj, numbers), numbers)
    name = obj.name if obj.name is not None and obj.name not in obj.coords else free_name("data", set(obj.coords))
    dataset = _rebinned(errors_as_data(xr.Dataset({name: obj.variable}, obj.coords)), numbers)
    return dataset.set_coords([each for each in dataset.data_vars if each != name])[name].rename(obj.name)


def _rebinned(dataset: xr.Dataset, numbers: Mapping[Any, int]) -> xr.Dataset:
    dataset = with_bounds_last(dataset)
    stale = {
        name: bounds
        for name, bounds in stale_bounds(dataset).items()
        if numbers.keys() & set(dataset.variables[name].dims)
    }
    tell_of_stale_bounds("bins are put together", stale)
    dataset = without_stale_bounds(dataset, stale)
    indexed = {name: index.bounds for name, index in dataset.xindexes.items() if isinstance(index, EdgesIndex)}
    for dim in indexed.keys() & numbers.keys():
        indexed[dim] = bounds_of(edges_along(dataset, dim)[:: numbers[dim]])
    beside = {
        name: each
        for name in dataset.variables
        if name not in stale and (each := bounds_beside(dataset, name)) is not None
    }
    alone = {
        name: _joined_bounds(name, bounds, dataset.variables[bounds], numbers)
        for name, bounds in beside.items()
        if name not in indexed and numbers.keys() & set(dataset.variables[name].dims)
    }
    left = dataset.drop_vars({beside[name] for name in {*alone, *indexed} & beside.keys()})
    rebinned: xr.Dataset = assign_bins(_added(left, numbers), indexed)
    for name, bounds in alone.items():
        rebinned = _with_bounds(rebinned, name, beside[name], bounds)
    are_coordinates = {beside[name] for name in alone if beside[name] in dataset.coords}
    return rebinned.set_coords(are_coordinates)


def _joined_bounds(name: Hashable, named: str, bounds: xr.Variable, numbers: Mapping[Any, int]) -> xr.Variable:
    """From the lowest lower to the highest upper one of those that are put together."""
    if bounds.ndim == 2:
        edges_between(name, bounds.values, repr(named))
    lower, upper = (xr.DataArray(bounds[..., side]) for side in (0, 1))
    windows = {dim: number for dim, number in numbers.items() if dim in lower.dims}
    if bool((lower > upper).all()):  # of bins in reverse order
        parts = [lower.coarsen(windows).max(), upper.coarsen(windows).min()]
    else:
        parts = [lower.coarsen(windows).min(), upper.coarsen(windows).max()]
    both: xr.Variable = xr.Variable.concat([each.variable for each in parts], bounds.dims[-1])
    return both.transpose(*bounds.dims)


def _with_bounds(dataset: xr.Dataset, name: Hashable, beside: Hashable, bounds: xr.Variable) -> xr.Dataset:
    """The same with bounds, and the middles between them in the coordinate."""
    attributes = dataset.variables[name].attrs
    middles = xr.Variable(bounds.dims[:-1], middles_of(bounds.data), attributes)
    mark_as_made(bounds)
    return dataset.assign({beside: bounds}).assign_coords({name: middles})


def _added(dataset: xr.Dataset, numbers: Mapping[Any, int]) -> xr.Dataset:
    """Sums, with their uncertainties, of numbers; whether any is true of booleans; means of coordinates.

    A bin is NaN where all that is put together is.
    """
    along = {name for name, each in dataset.variables.items() if numbers.keys() & set(each.dims)}
    _check_types(dataset, along, numbers)
    flags = {name for name in along if dataset.variables[name].dtype.kind == "b"}
    pairs = {
        owner: errors
        for owner, errors in errors_by_owner(dataset).items()
        if owner in along - flags and not is_uncertain(dataset.variables[owner])
    }
    refuse_other_units(dataset.variables, pairs)
    propagating = dataset.assign({each: joined(*(dataset.variables[n] for n in (each, pairs[each]))) for each in pairs})
    propagating = propagating.drop_vars(pairs.values())
    windows = propagating.coarsen(numbers, coord_func=_ways(propagating, flags))
    added = windows.sum()
    added = added.assign(_with_gaps(propagating, added, along, numbers))
    if found := [name for name in propagating.data_vars if name in flags]:
        added = added.assign(propagating[found].coarsen(numbers).max().data_vars)
    for name in along & added.variables.keys():
        added[name].encoding = _encoding_of(dataset.variables[name])
    apart: dict[Hashable, xr.Variable] = {}
    for owner, errors in pairs.items():
        apart[owner] = _like(dataset.variables[owner], values_in(added[owner]))
        apart[errors] = _like(dataset.variables[errors], errors_in(added[owner]))
    return added.assign(apart)


def _with_gaps(
    dataset: xr.Dataset, added: xr.Dataset, along: Collection[Hashable], numbers: Mapping[Any, int]
) -> dict[Hashable, xr.DataArray]:
    """The sums of what may be missing, NaN where all that is put together is."""
    names = [name for name, each in dataset.data_vars.items() if name in along and each.dtype.kind in "fc"]
    if not names:
        return {}
    found = dataset[names].drop_vars(list(dataset.coords)).notnull().coarsen(numbers).max()
    return {name: added[name].where(found[name]) for name in names}


def _without_others(dataset: xr.Dataset, numbers: Mapping[Any, int]) -> xr.Dataset:
    """The same without what a file has beside its signals, as widths of bins, of which no rule says what it is."""
    others = [
        name
        for name, each in dataset.data_vars.items()
        if each.encoding.get("nexus_role") == Role.OTHER.value
        and each.dtype.kind != "b"
        and numbers.keys() & set(each.dims)
    ]
    if len(others) == len(dataset.data_vars):  # asked for by themselves
        return dataset
    told = Diagnostics()
    for name in others:
        message = (
            "is no signal of its file, so that it may be nothing to add up; left it out (rebin it by itself where it "
            f"is, ds[{name!r}].nexus.rebin(...))"
        )
        told.add(Code.NOT_ADDED, str(name), message)
    warn_once("bins are put together, but not all that is along them", told)
    return dataset.drop_vars(others)


def _ways(dataset: xr.Dataset, flags: Collection[Hashable]) -> dict[Hashable, Any]:
    """What becomes of each coordinate."""
    errors = set(errors_among(dataset.coords.variables).values())
    numeric = {name for name in errors if dataset.variables[name].dtype.kind in "iuf"}
    return {name: "max" if name in flags else _errors_of_mean if name in numeric else "mean" for name in dataset.coords}


def _errors_of_mean(errors: Any, axis: Any) -> Any:
    """The uncertainties of means of those values that are there."""
    is_there = ~np.isnan(errors)
    with np.errstate(invalid="ignore"):
        return np.sqrt(np.where(is_there, np.square(errors, dtype=float), 0).sum(axis)) / is_there.sum(axis)


def _like(before: xr.Variable, now: xr.Variable) -> xr.Variable:
    """With the attributes, and the marks of where it came from and what it belongs to."""
    return xr.Variable(now.dims, now.data, before.attrs, _encoding_of(before))


def _encoding_of(before: xr.Variable) -> dict[Any, Any]:
    return {key: value for key, value in before.encoding.items() if key not in _OF_VALUES | _OF_SHAPE}


def _check_types(dataset: xr.Dataset, along: set[Hashable], numbers: Mapping[Any, int]) -> None:
    unfit = [name for name in dataset.variables if name in along and not _can_be_put_together(dataset, name)]
    if unfit:
        raise NexusError(
            f"rebin {dict(numbers)}: values that are no numbers can't be put together; leave them out by "
            f"drop_vars({unfit}):\n" + listed(f"{name}: {dataset.variables[name].dtype}" for name in unfit)
        )


def _can_be_put_together(dataset: xr.Dataset, name: Hashable) -> bool:
    variable = dataset.variables[name]
    if name in dataset.coords:
        return variable.dtype.kind in _AVERAGED or has_dates_of_cftime(variable)
    return variable.dtype.kind in _ADDED
