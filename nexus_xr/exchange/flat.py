"""xarray's objects in a form that any format holds, and from that form back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.indexes import PandasIndex, PandasMultiIndex

from nexus_xr.arrays.accepted import WHY_LENGTHS_UNKNOWN, accepted, has_unknown_lengths
from nexus_xr.arrays.announced import as_announced
from nexus_xr.arrays.edges import bounds_beside
from nexus_xr.arrays.edges_index import EdgesIndex
from nexus_xr.arrays.quantified import without_quantities
from nexus_xr.arrays.stale_bounds import stale_bounds, tell_of_stale_bounds, without_stale_bounds
from nexus_xr.arrays.uncertainties import doubtful, errors_by_owner, without_uncertainties
from nexus_xr.arrays.uncertainties import mark as mark_errors
from nexus_xr.errors import NexusError
from nexus_xr.nexus.rules.attributes import units_of_time
from nexus_xr.nexus.rules.content import free_name
from nexus_xr.opening.arrays import selection_of
from nexus_xr.opening.dataset import index_of, is_looked_up

from .attributes import Keep, flat_attributes, nested_attributes
from .dates import may_be_far_apart
from .large_arrays import LargeArrays, RestoredArrays
from .names import OWN, quoted, unquoted
from .parts import split_variable, whole_variables

# An attribute of what is flat: what it was, and the variables that it had, in their order.
MARK = OWN + "flat"
# What becomes of large arrays of metadata.
WRITE, LEAVE = "write", "leave"
_KEPT_ENCODING = ("source", "nexus_path", "preferred_chunks")

Travelling = xr.DataArray | xr.Dataset | xr.DataTree
Flat = xr.Dataset | xr.DataTree


def flat(obj: Travelling, large_arrays: str = WRITE) -> Flat:
    """An object whose attributes are numbers and text by their paths, and whose arrays are of types all formats have.

    Parameters
    ----------
    obj
        What was opened, or made of it. A DataArray becomes a Dataset.
    large_arrays
        What becomes of arrays of metadata that stay in their file: ``write``, they are variables; ``leave``, an
        attribute says where they are.

    Raises
    ------
    NexusError
        Something has no form in other formats.
    """
    if large_arrays not in (WRITE, LEAVE):
        raise NexusError(f'large_arrays={large_arrays!r}: expected "write" or "leave"')
    obj = without_quantities(obj)
    if isinstance(obj, xr.DataTree):
        tree = of_nodes(obj, quoted, partial(_flat, large_arrays=large_arrays))
        tree.attrs[MARK] = json.dumps({**json.loads(tree.attrs[MARK]), "nodes": [node.path for node in tree.subtree]})
        return tree
    if isinstance(obj, xr.DataArray):
        name = free_name("data" if obj.name is None else str(obj.name), set(map(str, (*obj.coords, *obj.dims))))
        dataset = xr.Dataset({name: obj.variable}, coords=obj.coords)
        return _flat(dataset, large_arrays, {"array": name, "name": obj.name})
    return _flat(obj, large_arrays, {})


def of_nodes(
    tree: xr.DataTree,
    rename: Callable[[str], str],
    make: Callable[[xr.Dataset], xr.Dataset],
    nodes: Iterable[xr.DataTree] | None = None,
) -> xr.DataTree:
    """A tree of what is made of the nodes of another one, under other names and in the order that is given."""
    datasets = {
        "/" + "/".join(map(rename, filter(None, node.path.split("/")))): make(node.to_dataset(inherit=False))
        for node in nodes or tree.subtree
    }
    made = xr.DataTree.from_dict(datasets, name=tree.name)
    made.set_close(tree._close)
    return made


def _flat(dataset: xr.Dataset, large_arrays: str, of_array: Mapping[str, Any] = MappingProxyType({})) -> xr.Dataset:
    dataset = _with_right_bounds(without_uncertainties(dataset))
    if of_array:
        dataset = dataset.set_coords([name for name in dataset.data_vars if name != of_array["array"]])
    kept = LargeArrays(dataset, large_arrays == WRITE)
    variables = {_text(name): _flat_variable(name, variable, kept) for name, variable in dataset.variables.items()}
    attributes = flat_attributes(dataset.attrs, kept)
    if several := [name for name, index in dataset.xindexes.items() if isinstance(index, PandasMultiIndex)]:
        raise NexusError(f"{several[0]}: has an index of several levels, which no format holds; use reset_index")
    coordinates = [name for name in variables if name in dataset.coords]
    indexes = [name for name in coordinates if name in dataset.xindexes and variables[name].dims == (quoted(name),)]
    edges, bounds = _edges(dataset, variables)
    errors = _errors(dataset, of_array)
    for owner, name in errors.items():
        mark_errors(variables[owner], variables[name], name)
    mark = {
        "version": 1,
        "variables": list(variables),
        "coordinates": coordinates,
        "indexes": indexes,
        "edges": edges,
        "errors": errors,
        **of_array,
    }
    listed = [name for name in coordinates if " " not in name]  # CF lists coordinates with spaces between them
    data = {name: variable for name, variable in variables.items() if name not in listed} | kept.variables | bounds
    taken = {quoted(name) for name in (*variables, *kept.variables, *bounds)}
    made = xr.Dataset(
        _split(data, taken),
        coords=xr.Coordinates(_split({name: variables[name] for name in listed}, taken), indexes={}),
        attrs={**attributes, MARK: json.dumps(mark)},
    )
    made.set_close(dataset._close)
    return made


def _with_right_bounds(dataset: xr.Dataset) -> xr.Dataset:
    """The same without stale bounds, which no coordinate names then."""
    stale = stale_bounds(dataset)
    if not stale:
        return dataset
    tell_of_stale_bounds("a Dataset is converted", stale)
    left = without_stale_bounds(dataset, stale).copy(deep=False)
    for name in stale:
        left[name].attrs = {key: value for key, value in left[name].attrs.items() if key != "bounds"}
    left.set_close(dataset._close)
    return left


def _edges(dataset: xr.Dataset, variables: Mapping[str, xr.Variable]) -> tuple[dict[str, str], dict[str, xr.Variable]]:
    """The variables with the bounds of the bins that indexes know, and those of them that aren't there yet."""
    edges: dict[str, str] = {}
    added: dict[str, xr.Variable] = {}
    for name, index in dataset.xindexes.items():
        if isinstance(index, EdgesIndex):
            beside = bounds_beside(dataset, name)
            edges[_text(name)] = beside or free_name(f"{name}_bounds", {*variables, *added})
            if beside is None:
                dims = (*variables[_text(name)].dims, free_name("bnds", set(map(str, dataset.dims))))
                added[edges[_text(name)]] = xr.Variable(dims, index.bounds)
    return edges, added


def _errors(dataset: xr.Dataset, of_array: Mapping[str, Any]) -> dict[str, str]:
    """The variables that hold the uncertainties of others, by these."""
    tree = dataset.variables[of_array["array"]].attrs if of_array else dataset.attrs
    doubts = doubtful(dataset, tree)
    pairs = errors_by_owner(dataset).items()
    return {_text(owner): _text(name) for owner, name in pairs if owner not in doubts}


def _text(name: Hashable) -> str:
    if not isinstance(name, str):
        raise NexusError(f"{name!r}: the name is no text; rename it")
    return name


def _split(variables: Mapping[str, xr.Variable], taken: set[str]) -> dict[str, xr.Variable]:
    split: dict[str, xr.Variable] = {}
    for name, variable in variables.items():
        split |= split_variable(quoted(name), variable, taken | split.keys())
    taken.update(split)
    return split


def _flat_variable(name: Hashable, variable: xr.Variable, keep: Keep) -> xr.Variable:
    """A variable with flat attributes, and of its encoding with what every format may have."""
    try:
        if has_unknown_lengths(variable):
            raise NexusError(WHY_LENGTHS_UNKNOWN)
        return _flattened(_as_announced(accepted(variable), str(name)), keep)
    except ValueError as error:
        raise NexusError(f"{name}: {error}") from None


def _as_announced(variable: xr.Variable, name: str) -> xr.Variable:
    """The same with blocks of dask that are what dask takes them for, which those that are read from a file are."""
    data = variable._data
    if not hasattr(data, "dask") or selection_of(variable) is not None:
        return variable
    return variable._replace(data=as_announced(data, name))


def _flattened(variable: xr.Variable, keep: Keep) -> xr.Variable:
    dims = [quoted(_text(dim)) for dim in variable.dims]
    encoding = {key: variable.encoding[key] for key in _KEPT_ENCODING if key in variable.encoding}
    if variable.encoding.get("original_shape") == variable.shape and "chunksizes" in variable.encoding:
        encoding["chunksizes"] = variable.encoding["chunksizes"]
    if variable.encoding.get("hdf5_filters"):
        encoding |= {"zlib": True, "shuffle": True}
    if variable.dtype.kind == "M" and _have_own_units(variable):
        encoding["units"] = units_of_time(variable.dtype)
    attributes = flat_attributes(variable.attrs, keep, is_of_time=variable.dtype.kind in "mM")
    return xr.Variable(dims, variable._data, attributes, encoding)


def _have_own_units(dates: xr.Variable) -> bool:
    """Whether xarray is told units: of bounds, which it then writes in the same, and of dates from which it finds none.

    Those of dask it writes in these anyway.
    """
    return not hasattr(dates._data, "dask") and ("bounds" in dates.attrs or may_be_far_apart(dates))


def unflat(obj: xr.Dataset | xr.DataTree) -> Travelling:
    """What an object was before it became flat: a DataArray, a Dataset or a DataTree.

    Parameters
    ----------
    obj
        What `flat` made, as it is or read back from a file by xarray. Variables that were added or left out meanwhile
        stay so.

    Raises
    ------
    NexusError
        It isn't flat, or a variable was made another by the options that it was opened with.

    Examples
    --------
    >>> counts = xr.Dataset({"counts": ("x", [1, 2])}, attrs={"detector": {"distance": {"value": 0.2}}})
    >>> flat(counts).attrs["detector.distance.value"]
    0.2
    >>> unflat(flat(counts)).identical(counts)
    True
    """
    if isinstance(obj, xr.DataTree):
        order = json.loads(obj.attrs.get(MARK, "{}")).get("nodes", [])
        in_order = sorted(obj.subtree, key=lambda node: order.index(node.path) if node.path in order else len(order))
        return of_nodes(obj, unquoted, _whole, in_order)
    if not isinstance(obj, xr.Dataset):
        raise NexusError(f"{type(obj).__name__}: expected a Dataset or a DataTree, as flat() makes them")
    whole: xr.DataArray | xr.Dataset = _whole(obj)
    return whole


def read_from(path: str | os.PathLike[str], made: Flat) -> Flat:
    """What a file has, whose variables say so, as those that xarray opens do, and those that were computed don't."""
    for node in made.subtree if isinstance(made, xr.DataTree) else [made]:
        for variable in node.variables.values():
            variable.encoding["source"] = os.fspath(path)
    return made


def _whole(dataset: xr.Dataset) -> Any:
    if MARK not in dataset.attrs:
        raise NexusError("expected what flat() made, and found a Dataset that isn't flat; use it as it is")
    mark = json.loads(dataset.attrs[MARK])
    found = {str(name): _unquoted_dims(variable) for name, variable in dataset.variables.items()}
    variables = {unquoted(name): variable for name, variable in whole_variables(found).items()}
    restored = RestoredArrays(variables)
    attrs = nested_attributes({name: value for name, value in dataset.attrs.items() if name != MARK}, restored)
    for variable in variables.values():
        variable.attrs = nested_attributes(variable.attrs, restored)
    named = {name: bounds for name, bounds in mark["edges"].items() if bounds in variables}
    edges = {name: np.asarray(variables[bounds].values) for name, bounds in named.items()}
    for bounds in set(named.values()) - set(mark["variables"]):
        del variables[bounds]
    known = [name for name in mark["variables"] if name in variables]
    added = [name for name in variables if name not in known and name not in restored.names]
    all_variables = {name: variables[name] for name in (*known, *added)}
    for owner, errors in mark.get("errors", {}).items():
        if all(name in variables and variables[name].encoding for name in (owner, errors)):  # nobody computed them
            mark_errors(variables[owner], variables[errors], errors)
    made = _dataset_of(all_variables, mark["coordinates"], mark["indexes"], edges)
    made.attrs = attrs
    whole = made if "array" not in mark else made[mark["array"]].rename(mark["name"])
    whole.set_close(dataset._close)
    return whole


def _dataset_of(
    variables: Mapping[str, xr.Variable],
    coordinates: Collection[str],
    indexed: Collection[str],
    edges: Mapping[str, NDArray[Any]],
) -> xr.Dataset:
    spans = {name: variable for name, variable in variables.items() if name in coordinates}
    indexes = {name: _index_of(name, np.asarray(spans[name].values)) for name in indexed if name in spans}
    for name in indexes.keys() & edges.keys():
        indexes[name] = EdgesIndex.around(indexes[name], edges[name])
    for name, index in indexes.items():
        spans |= index.create_variables({name: spans[name]})
    data = {name: variable for name, variable in variables.items() if name not in coordinates}
    return xr.Dataset(data, coords=xr.Coordinates(spans, indexes=indexes))


def _index_of(name: str, values: NDArray[Any]) -> PandasIndex:
    """The index that a coordinate had, which xarray makes also where what is opened gets none."""
    return index_of(name, values) if is_looked_up(values.dtype) else PandasIndex(values, name, coord_dtype=values.dtype)


def _unquoted_dims(variable: xr.Variable) -> xr.Variable:
    return variable.to_base_variable()._replace(dims=[unquoted(str(dim)) for dim in variable.dims])
