"""Quantities, as pint-xarray makes them, as numbers with an attribute ``units``, which is what all else here knows."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import xarray as xr
from xarray.indexes import Index

from nexus_xr.errors import NexusError
from nexus_xr.nexus.output.quantities import is_quantity
from nexus_xr.nexus.rules.content import free_name

from .uncertainties import errors_among, units_when_marked
from .units import as_numbers, is_in

AnyObject = Any  # a DataArray, a Dataset or a DataTree, and the same comes back


def without_quantities(obj: AnyObject) -> AnyObject:
    """The same with numbers for quantities, and with the indexes of numbers that their indexes are made of.

    Raises
    ------
    NexusError
        An attribute says other units than its quantity has.
    """
    if isinstance(obj, xr.Dataset):
        return _of_dataset(obj) if _has_quantities(obj) else obj
    if isinstance(obj, xr.DataTree):
        return _of_tree(obj)
    if not isinstance(obj, xr.DataArray):
        return obj
    name = obj.name if obj.name is not None and obj.name not in obj.coords else free_name("data", set(obj.coords))
    dataset = xr.Dataset({name: obj.variable}, obj.coords)
    if not _has_quantities(dataset):
        return obj
    array = _of_dataset(dataset)[name].rename(obj.name)
    array.set_close(obj._close)
    return array


def _has_quantities(dataset: xr.Dataset) -> bool:
    return any(is_quantity(variable._data) for variable in dataset.variables.values())


def _of_tree(tree: xr.DataTree) -> xr.DataTree:
    if not any(_has_quantities(node.dataset) for node in tree.subtree):
        return tree
    nodes = {node.path: without_quantities(node.to_dataset(inherit=False)) for node in tree.root.subtree}
    made = xr.DataTree.from_dict(nodes, name=tree.root.name)
    made.set_close(tree.root._close)
    found = made if tree.is_root else made[tree.path]
    assert isinstance(found, xr.DataTree)
    return found


def _of_dataset(dataset: xr.Dataset) -> xr.Dataset:
    variables = {name: _named_numbers(name, each) for name, each in dataset.variables.items()} | _left_behind(dataset)
    indexes: dict[Hashable, Index] = {}
    for index, of_index in dataset.xindexes.group_by_index():
        within = _within(index)
        indexes |= dict.fromkeys(of_index, within)
        if within is not index:
            variables |= within.create_variables({name: variables[name] for name in of_index})
    coordinates = {name: each for name, each in variables.items() if name in dataset.coords}
    data = {name: each for name, each in variables.items() if name not in coordinates}
    made = xr.Dataset(data, xr.Coordinates(coordinates, indexes), dataset.attrs)
    made.encoding = dataset.encoding
    made.set_close(dataset._close)
    return made


def _left_behind(dataset: xr.Dataset) -> dict[Hashable, xr.Variable]:
    """Uncertainties that say no units, and were in those of their values before these were converted; they say them."""
    left = {}
    for owner, name in errors_among(dataset.variables).items():
        values, errors = dataset.variables[owner]._data, dataset.variables[name]
        units = units_when_marked(errors)
        says_none = not is_quantity(errors._data) and errors.attrs.get("units") is None
        if is_quantity(values) and says_none and units is not None and not is_in(values, units):
            left[name] = errors.copy(deep=False)
            left[name].attrs["units"] = units
    return left


def _named_numbers(name: Hashable, variable: xr.Variable) -> xr.Variable:
    try:
        return as_numbers(variable)
    except ValueError as error:
        raise NexusError(f"{name}: {error}") from None


def _within(index: Index) -> Index:
    """The index that one of quantities is made of, as a `PintIndex` of pint-xarray; any other as it is."""
    within = getattr(index, "index", None)
    return within if hasattr(index, "units") and isinstance(within, Index) else index
