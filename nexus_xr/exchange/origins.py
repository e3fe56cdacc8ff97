"""The NeXus files that xarray's objects were opened from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from nexus_xr.hdf5.writing.replacing import refuse_source


def refuse_origin(obj: xr.DataArray | xr.Dataset | xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Raise an error where a file of another format, which holds less, would replace what an object was opened from.

    Parameters
    ----------
    obj
        What is written.
    path
        A path or a URL.
    """
    for origin in {each["source"] for each in _encodings(obj) if {"source", "nexus_path"} <= each.keys()}:
        refuse_source(path, origin)


def _encodings(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> Iterator[Mapping[Any, Any]]:
    yield obj.encoding
    if isinstance(obj, xr.DataTree):
        for node in obj.subtree:
            yield from _encodings(node.to_dataset(inherit=False))
    else:
        # What is computed has no encoding, and its coordinates have theirs.
        variables = obj.variables if isinstance(obj, xr.Dataset) else obj.coords.variables
        yield from (variable.encoding for variable in variables.values())
