"""JSON of the flat form, in the layout of xarray's `to_dict`, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.remote.urls import local_path
from nexus_xr.hdf5.io.unreadable import unopened
from nexus_xr.hdf5.writing.replacing import replacing

from .arrays import array_of_json, array_to_json
from .flat import LEAVE, Flat, Travelling, flat, read_from, unflat
from .origins import refuse_origin
from .parts import TEXT

_NODES = "nodes"


def to_json(obj: Travelling, path: str | os.PathLike[str], large_arrays: str = LEAVE) -> None:
    """Write a JSON file of the flat form; it takes its place only when it is complete.

    Parameters
    ----------
    obj
        A DataArray, a Dataset or a DataTree.
    path
        The file.
    large_arrays
        As for `flat`.
    """
    refuse_origin(obj, path)
    made = flat(obj, large_arrays)
    if isinstance(made, xr.DataTree):
        nodes = {node.path: _dictionary(node.to_dataset(inherit=False)) for node in made.subtree}
        content: dict[str, Any] = {"name": made.name, _NODES: nodes}
    else:
        content = _dictionary(made)
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1, allow_nan=False)


def read_json(path: str | os.PathLike[str]) -> xr.DataArray | xr.Dataset | xr.DataTree:
    """What `to_json` wrote.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    NexusError
        It isn't such a file.
    NexusFileError
        It can't be opened.

    Examples
    --------
    >>> counts = xr.DataArray([1.0, float("nan")], dims="x", name="counts", attrs={"units": "1/s"})
    >>> to_json(counts, "counts.json")
    >>> read_json("counts.json").identical(counts)
    True
    """
    with opened(path) as stream:
        try:
            content = json.load(stream)
        except ValueError as error:
            raise NexusError(f"{os.fspath(path)}: isn't JSON ({error})") from None
    if not isinstance(content, dict) or not ({_NODES, "data_vars"} & content.keys()):
        raise NexusError(f"{os.fspath(path)}: expected what to_json wrote; it has neither {_NODES} nor data_vars")
    try:
        return unflat(read_from(path, _made_of(content)))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise NexusError(f"{os.fspath(path)}: expected what to_json wrote ({error})") from error


def opened(path: str | os.PathLike[str]) -> TextIO:
    """A file of text, to be read."""
    try:
        # A number would be a file of the caller's.
        return open(local_path(os.fspath(path)), encoding="utf-8", newline="")
    except OSError as error:
        raise unopened(os.fspath(path), os.path.abspath(path), error) from error


def _made_of(content: Mapping[str, Any]) -> Flat:
    if _NODES not in content:
        return _dataset(content)
    nodes = {name: _dataset(node) for name, node in content[_NODES].items()}
    return xr.DataTree.from_dict(nodes, name=content["name"])


def _dictionary(dataset: xr.Dataset) -> dict[str, Any]:
    groups = {"coords": dataset.coords.variables, "data_vars": dataset.data_vars.variables}
    variables = {
        kind: {name: variable_to_json(variable) for name, variable in group.items()} for kind, group in groups.items()
    }
    return {"attrs": dataset.attrs, "dims": dict(dataset.sizes), **variables}


def _dataset(content: Mapping[str, Any]) -> xr.Dataset:
    coordinates, data = (
        {name: variable_of_json(each) for name, each in content[kind].items()} for kind in ("coords", "data_vars")
    )
    return xr.Dataset(data, xr.Coordinates(coordinates, indexes={}), content["attrs"])


def variable_to_json(variable: xr.Variable) -> dict[str, Any]:
    """A variable of the flat form."""
    return {"dims": variable.dims, "attrs": variable.attrs, **_data(np.asarray(variable.values))}


def _data(values: NDArray[Any]) -> dict[str, Any]:
    if values.dtype.hasobject:
        return {"dtype": "text", "shape": values.shape, "data": values.tolist()}
    made = array_to_json(values, str)
    return {("data" if key == "values" else key): each for key, each in made.items()}


def variable_of_json(made: Mapping[str, Any]) -> xr.Variable:
    """The variable that JSON stands for."""
    if made["dtype"] == "text":
        values = np.array(made["data"], TEXT).reshape(made["shape"])
    else:
        values = array_of_json({("values" if key == "data" else key): each for key, each in made.items()}, str)
    return xr.Variable(made["dims"], values, made["attrs"])
