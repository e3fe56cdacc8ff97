"""Edges of bins in the forms in which xarray's users have them: as an index, as CF bounds, as intervals of pandas."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from xarray.indexes import PandasIndex

from nexus_xr.errors import NexusError
from nexus_xr.nexus.output.quantities import is_quantity
from nexus_xr.nexus.rules.content import free_name

from .bins import are_middles, bounds_of, edges_either_way, edges_of, middles_of, same_bits
from .edges_index import EdgesIndex, centres_alone
from .units import in_units_of

AnyObject = Any  # a DataArray or a Dataset, and the same comes back
_BOUNDS_DIM, _EDGES_DIM = "bnds", "edges"
# In the encoding of bounds, which selections keep.
_MADE = "made_of_edges"
# Kinds of types that middles have.
_OF_MIDDLES = "fmM"


@dataclass(frozen=True, eq=False)
class MadeOfEdges:
    """That bounds, and the values beside them, which are the middles, were made of edges.

    Parameters
    ----------
    indexed
        The bounds of all bins that there were along a dimension; None where they weren't read.
    """

    indexed: NDArray[Any] | None = None


def mark_as_made(bounds: xr.Variable, indexed: NDArray[Any] | None = None) -> None:
    """Note that bounds were made of edges."""
    bounds.encoding[_MADE] = MadeOfEdges(indexed)


def forget_made(bounds: xr.Variable) -> None:
    """Take from bounds the note that they were made of edges."""
    bounds.encoding.pop(_MADE, None)


def made_of_edges(bounds: xr.Variable) -> MadeOfEdges | None:
    """How bounds were made of edges, None where they weren't, or were computed since."""
    found = bounds.encoding.get(_MADE)
    return found if isinstance(found, MadeOfEdges) else None


def bounds_in(index: Any) -> NDArray[Any] | None:
    """Lower and upper bounds of the bins that an index is of, of shape (n, 2); None where it is of none."""
    if isinstance(index, EdgesIndex):
        return index.bounds
    intervals = _intervals(index.index) if isinstance(index, PandasIndex) else None
    return None if intervals is None else np.stack([np.asarray(intervals.left), np.asarray(intervals.right)], axis=-1)


def _intervals(index: Any) -> Any:
    """The intervals that an index of pandas is of, as `groupby_bins` and `pandas.cut` make them; None for others."""
    if isinstance(index, pd.CategoricalIndex):
        index = index.astype(index.categories.dtype)
    if isinstance(index, pd.IntervalIndex):
        return index
    are_intervals = index.dtype == object and pd.api.types.infer_dtype(index) == "interval"
    return pd.IntervalIndex(index) if are_intervals else None


def edges_along(obj: AnyObject, name: Hashable) -> NDArray[Any]:
    """The n + 1 edges of the bins of a coordinate.

    Raises
    ------
    NexusError
        It has no bins, or these aren't each the next one's neighbour.
    """
    bounds = bounds_in(obj.xindexes.get(name))
    if bounds is None:
        known = [each for each, index in obj.xindexes.items() if bounds_in(index) is not None]
        raise NexusError(f"{name!r} has no edges of bins in its index; there are those of {known}; see assign_edges")
    return edges_between(name, bounds, f"xindexes[{name!r}].bounds")


def edges_between(name: Hashable, bounds: NDArray[Any], bounds_are: str) -> NDArray[Any]:
    """The n + 1 edges of the bins of a coordinate that have these bounds, which an error calls as is told.

    Raises
    ------
    NexusError
        There are none, or they aren't each the next one's neighbour.
    """
    if not len(bounds):
        raise NexusError(f"{name!r} has no bins here, as nothing is selected, and so no edges")
    edges = edges_either_way(bounds)
    if edges is None:
        raise NexusError(f"the bins of {name!r} leave gaps or overlap; {bounds_are} has each one's two")
    return edges


# Kinds of types that have middles.
_OF_EDGES = "iufmM"


def assign_edges(obj: AnyObject, edges: Mapping[Any, ArrayLike]) -> AnyObject:
    """The same with edges of bins along dimensions, of which the coordinates have the middles."""
    bins, units = {}, {}
    for dim, given in edges.items():
        shape = np.shape(given)
        if shape != (obj.sizes.get(dim, 0) + 1,):
            raise NexusError(f"edges of {dim!r} of shape {shape}: expected one more than in {dict(obj.sizes)}")
        attributes = obj.coords[dim].attrs if dim in obj.coords else {}
        numbers = in_units_of(attributes, _as_variable(given), f"edges of {dim!r}")
        if (dtype := numbers.dtype).kind not in _OF_EDGES:
            raise NexusError(f"edges of {dim!r} of type {dtype}: expected numbers, dates or times")
        bins[dim] = bounds_of(numbers.values)
        units[dim] = {key: numbers.attrs[key] for key in numbers.attrs.keys() & {"units"} - attributes.keys()}
    obj = assign_bins(obj, bins)
    for dim, said in units.items():
        obj.coords[dim].attrs.update(said)
    return obj


def _as_variable(edges: ArrayLike) -> xr.Variable:
    if isinstance(edges, xr.DataArray | xr.Variable):
        return edges.variable if isinstance(edges, xr.DataArray) else edges
    return xr.Variable(_EDGES_DIM, edges if is_quantity(edges) else np.asarray(edges))


def assign_bins(obj: AnyObject, bins: Mapping[Any, NDArray[Any]]) -> AnyObject:
    """The same with bins along dimensions, each of a lower and an upper bound."""
    for dim, given in bins.items():
        bounds = xr.Variable((dim, _BOUNDS_DIM), given).values  # of dates in units that xarray has
        if isinstance(obj, xr.Dataset) and dim in obj.coords and (beside := bounds_beside(obj, dim)) is not None:
            obj = obj.drop_vars(beside)
        attributes = {**obj.coords[dim].attrs} if dim in obj.coords else {}
        attributes.pop("bounds", None)
        obj = obj.assign_coords({dim: (dim, middles_of(bounds), attributes)}).drop_indexes(dim)
        obj = obj.set_xindex([dim], EdgesIndex, edges=bounds)
    return obj


def edges_to_bounds(dataset: xr.Dataset) -> xr.Dataset:
    """Every index of bins as CF bounds: the coordinate has the middles, and names a variable of shape (n, 2)."""
    dataset = with_bounds_last(dataset)
    for name, index in dataset.xindexes.items():
        bounds = bounds_in(index)
        if bounds is not None:
            centres = centres_alone(index) if isinstance(index, EdgesIndex) else PandasIndex(middles_of(bounds), name)
            dataset = _with_bounds(dataset, name, centres, bounds)
    return dataset


def with_bounds_last(dataset: xr.Dataset) -> xr.Dataset:
    """The same with the two bounds of each bin side by side, wherever their dimension was transposed to."""
    ordered = {}
    for coordinate in dataset.variables.values():
        bounds = dataset.variables.get(named := bounds_named(coordinate))
        if bounds is None or bounds.dims[:-1] == coordinate.dims:
            continue
        if set(coordinate.dims) < set(bounds.dims) and bounds.ndim == coordinate.ndim + 1:
            ordered[named] = bounds.transpose(*coordinate.dims, ...)
    are_coordinates = {name: each for name, each in ordered.items() if name in dataset.coords}
    others = {name: each for name, each in ordered.items() if name not in are_coordinates}
    return dataset.assign_coords(are_coordinates).assign(others) if ordered else dataset


def _with_bounds(dataset: xr.Dataset, name: Hashable, centres: PandasIndex, bounds: NDArray[Any]) -> xr.Dataset:
    own = bounds_beside(dataset, name)
    named = own or free_name(f"{name}_bounds", dataset.variables)
    made = centres.create_variables({name: dataset.variables[name]})
    made[name].attrs = {**made[name].attrs, "bounds": named}
    if own is None:
        beside = xr.Variable((*made[name].dims, free_name(_BOUNDS_DIM, dataset.variables)), bounds)
    else:
        beside = dataset.variables[own].copy(deep=False)
        forget_made(beside)
    if same_bits(middles_of(bounds), np.asarray(made[name].values)):
        mark_as_made(beside)
    if own in dataset.data_vars:
        dataset = dataset.assign({named: beside})
    else:
        made[named] = beside
    return dataset.drop_indexes(name).assign_coords(xr.Coordinates(made, {name: centres}))


def bounds_beside(dataset: xr.Dataset, name: Hashable) -> str | None:
    """Name of the CF bounds of a coordinate, None where it names none that are there and fit."""
    coordinate = dataset.variables[name]
    named = bounds_named(coordinate)
    bounds = dataset.variables.get(named)
    fits = bounds is not None and bounds.dims[:-1] == coordinate.dims and bounds.shape == (*coordinate.shape, 2)
    return named if fits else None


def bounds_named(coordinate: xr.Variable) -> str | None:
    """What a coordinate says that its CF bounds are called."""
    name = coordinate.attrs.get("bounds", coordinate.encoding.get("bounds"))
    return name if isinstance(name, str) else None


def edges_told(dataset: xr.Dataset, name: Any) -> tuple[Any, NDArray[Any]] | None:
    """Name of a coordinate's bounds, and the edges that they came from; None where they don't follow from edges."""
    variable = dataset.variables[name]
    bounds = bounds_beside(dataset, name) if variable.ndim else None
    if bounds is None:
        return None
    beside, centres = dataset.variables[bounds], np.asarray(variable.values)
    pairs = np.asarray(beside.values)
    if made_of_edges(beside) is not None and centres.dtype.kind in _OF_MIDDLES:
        edges, has_middles = edges_either_way(pairs), are_middles(centres, pairs)
    else:  # whose own order and middles nothing but themselves would tell
        edges = edges_of(pairs)
        has_middles = edges is not None and same_bits(middles_of(pairs), centres)
    return None if edges is None or not has_middles else (bounds, edges)


def why_no_edges(dataset: xr.Dataset, name: Any) -> str:
    """Why the bounds beside a coordinate aren't told as edges."""
    centres = dataset.variables[name]
    pairs = np.asarray(dataset.variables[bounds_named(centres)].values)
    if edges_either_way(pairs) is None:
        return "its bins leave gaps or overlap"
    if not are_middles(np.asarray(centres.values), pairs):
        return "its values aren't the middles of its bins"
    return "its values or bounds have another type or order than edges would give them"


def bounds_to_edges(dataset: xr.Dataset) -> xr.Dataset:
    """Every coordinate that names its dimension and has CF bounds with an index of these; the bounds stay beside it.

    Raises
    ------
    NexusError
        Bounds are in other units than their coordinate.
    """
    for name in list(dataset.coords):
        bounds = bounds_beside(dataset, name)
        if bounds is not None and dataset.variables[name].dims == (name,):
            given = dataset.variables[bounds]
            edges = in_units_of(dataset.variables[name].attrs, given, f"bounds {bounds!r} of {name!r}").values
            dataset = dataset.drop_indexes(name, errors="ignore").set_xindex([name], EdgesIndex, edges=edges)
    return dataset


def edges_to_intervals(array: xr.DataArray) -> xr.DataArray:
    """Bins that lie side by side as intervals, of which xarray's plots draw the edges."""
    for name, index in array.xindexes.items():
        edges = edges_of(index.bounds) if isinstance(index, EdgesIndex) else None
        if edges is not None and (edges[1:] > edges[:-1]).all():
            intervals = pd.IntervalIndex.from_breaks(edges)
            array = array.assign_coords({name: (name, intervals, array.coords[name].attrs)})
    return array
