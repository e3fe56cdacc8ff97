"""Opening again what was opened, to see what has been written since."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import xarray as xr

from nexus_xr.errors import NexusError

from .arrays import chunked
from .datatree import open_groups, tree_of
from .session import Opened, did_grow_of, open_one
from .signals import signals_of

_ADVICE = "keep what was opened, refresh that, and select or compute anew"


def refresh_array(array: xr.DataArray) -> xr.DataArray:
    """A DataArray with what has been written since it was opened."""
    variables = {str(array.name): array.variable, **_coordinates(array)}
    origin = _origin(variables)
    if origin.way == "signals":
        options = replace(origin.options, dataset_path=origin.path, dataset_key=None, use_default=False, chunks=None)
        (fresh,) = signals_of(origin.file.anew(), replace(options, nxdata_only=False), did_grow_of(variables.values()))
        dataset = fresh.to_dataset(name=array.name)
    else:
        dataset = _dataset(origin, did_grow_of(variables.values()))
    return _alike(dataset, variables, origin)[array.name]


def refresh_dataset(dataset: xr.Dataset) -> xr.Dataset:
    """A Dataset with what has been written since it was opened."""
    variables = _variables(dataset)
    origin = _origin_of_empty(dataset) or _origin(variables)
    fresh = _dataset(origin, did_grow_of(variables.values()))
    return _alike(fresh, variables or _variables(fresh), origin)


def refresh_tree(tree: xr.DataTree) -> xr.DataTree:
    """A DataTree with what has been written since it was opened."""
    datasets = {node.path: node.to_dataset(inherit=False) for node in tree.root.subtree}
    empty = {path: origin for path, dataset in datasets.items() if (origin := _origin_of_empty(dataset)) is not None}
    variables = {f"{path}/{name}": each for path, found in datasets.items() for name, each in found.variables.items()}
    origin = _origin(variables) if variables or not empty else next(iter(empty.values()))
    if origin.way != "tree":
        raise NexusError(f"the tree was made of what was opened as {origin}; {_ADVICE}")
    nodes = open_groups(origin.file.anew(), origin.options, did_grow_of(variables.values()))
    if gone := datasets.keys() - nodes.keys():
        raise _gone(gone, origin)
    alike = {
        path: _alike(nodes[path], _variables(nodes[path] if path in empty else dataset), origin)
        for path, dataset in datasets.items()
    }
    refreshed = tree_of(nodes | alike)
    return next(node for node in refreshed.subtree if node.path == tree.path)


def _variables(dataset: xr.Dataset) -> dict[str, xr.Variable]:
    return {str(name): variable for name, variable in dataset.variables.items()}


def _coordinates(array: xr.DataArray) -> dict[str, xr.Variable]:
    return {str(name): coordinate for name, coordinate in array.coords.variables.items()}


def _origin_of_empty(dataset: xr.Dataset) -> Opened | None:
    """How a Dataset was opened that had no variables then, and has none now; None of any other."""
    origin = dataset.encoding.get("opened")
    return origin if isinstance(origin, Opened) and not dataset.variables else None


def _origin(variables: Mapping[str, xr.Variable]) -> Opened:
    """How all the variables were opened, together and unchanged since; an error otherwise."""
    first: Opened | None = None
    for name, variable in variables.items():
        origin = variable.encoding.get("opened")
        if not isinstance(origin, Opened):
            raise NexusError(f"{name}: can't be refreshed, as it was computed or made in memory; {_ADVICE}")
        if origin.sizes != tuple(variable.sizes.items()):
            raise NexusError(
                f"{name}: can't be refreshed, as it is of shape {variable.shape}, a part of what was opened or made "
                f"of it, which was {dict(origin.sizes)}; {_ADVICE}"
            )
        if first is not None and origin.file is not first.file and origin.file.given_name != first.file.given_name:
            raise NexusError(f"{name}: can't be refreshed, as it is of {origin} and others of {first}; {_ADVICE}")
        first = first or origin
    if first is None:
        raise NexusError(f"there is no variable to refresh; {_ADVICE}")
    return first


def _dataset(origin: Opened, did_grow: frozenset[str]) -> xr.Dataset:
    """The Dataset that a variable was opened with."""
    if origin.way == "tree":
        nodes = open_groups(origin.file.anew(), origin.options, did_grow)
        return next((node for node in nodes.values() if node.encoding["nexus_path"] == origin.path), xr.Dataset())
    return open_one(origin.file.anew(), origin.options, did_grow)


def _alike(fresh: xr.Dataset, before: Mapping[str, xr.Variable], origin: Opened) -> xr.Dataset:
    """The variables that there were before, lazily indexed or in dask chunks as they were."""
    if gone := before.keys() - fresh.variables.keys():
        raise _gone(gone, origin)
    fresh = fresh.drop_vars([name for name in fresh.variables if name not in before])
    as_before = {
        name: _chunked_as(variable, before[str(name)])
        for name, variable in fresh.variables.items()
        if name not in fresh.indexes
    }
    return fresh.assign(
        {name: variable for name, variable in as_before.items() if name in fresh.data_vars}
    ).assign_coords({name: variable for name, variable in as_before.items() if name in fresh.coords})


def _chunked_as(fresh: xr.Variable, before: xr.Variable) -> xr.Variable:
    if before.chunks is None:
        return chunked(fresh, None)
    preferred = before.encoding.get("preferred_chunks", {})
    longest: dict[Any, int] = {dim: max(lengths) for dim, lengths in zip(before.dims, before.chunks, strict=True)}
    kept = {dim: length for dim, length in longest.items() if length not in (0, preferred.get(dim))}  # 0 tells nothing
    return chunked(fresh, kept)


def _gone(names: Iterable[str], origin: Opened) -> NexusError:
    return NexusError(f"{origin.file.name}: {', '.join(sorted(names))} can't be found any more; open the file again")
