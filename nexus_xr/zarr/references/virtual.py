"""References as VirtualiZarr has them, which combines and stores them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import warn_once
from nexus_xr.hdf5.io.naming.url_path import is_url
from nexus_xr.zarr.arrays import ZarrArray
from nexus_xr.zarr.metadata import array_document
from nexus_xr.zarr.view import ZarrView

from .byte_ranges import ByteRange, ByteRanges
from .kerchunk import HEADING, found_ranges

if TYPE_CHECKING:
    from virtualizarr.manifests import ManifestArray

_URLS = np.dtypes.StringDType()


def virtual_dataset(view: ZarrView, group: str, opened: xr.Dataset, most_loaded: int) -> xr.Dataset:
    """A dataset of which the arrays that can be referred to are references.

    Parameters
    ----------
    view
        The file.
    group
        Path of a group of it.
    opened
        The group, its variables as they are stored.
    most_loaded
        Bytes of an array whose values may be read, where they can't be referred to.
    """
    diagnostics = Diagnostics()
    named = {name: f"{group}/{name}".lstrip("/") for name in opened.variables}
    found = found_ranges(view, named.values(), most_loaded, diagnostics)
    variables = {}
    for name, path in named.items():
        stored, ranges = opened.variables[name], found.get(path)
        if ranges is not None and all(isinstance(where, ByteRange) for where in ranges.values()):
            data = _manifest_array(view.hierarchy.arrays[path], ranges)
            variables[name] = xr.Variable(stored.dims, data, stored.attrs)
        elif ranges is not None and stored.nbytes <= most_loaded:
            variables[name] = stored.load()
        elif ranges is not None:
            diagnostics.add(Code.NO_REFERENCE, f"/{path}", "not all of its chunks can be referred to")
    warn_once(f"{view.file.name}: {HEADING}", diagnostics)
    coords = {name: variable for name, variable in variables.items() if name in opened.coords}
    data_vars = {name: variable for name, variable in variables.items() if name not in coords}
    return xr.Dataset(data_vars, xr.Coordinates(coords, indexes={}), opened.attrs)


def _manifest_array(array: ZarrArray, ranges: ByteRanges) -> ManifestArray:
    from virtualizarr.manifests import ChunkManifest, ManifestArray
    from zarr.core.metadata.v3 import ArrayV3Metadata

    paths, offsets, lengths = np.empty(array.grid, _URLS), np.zeros(array.grid, "u8"), np.zeros(array.grid, "u8")
    for coordinate, where in ranges.items():
        url, offset, length = cast(ByteRange, where)
        paths[coordinate], offsets[coordinate], lengths[coordinate] = _with_protocol(url), offset, length
    manifest = ChunkManifest.from_arrays(paths=paths, offsets=offsets, lengths=lengths)
    document: dict[str, Any] = {**array_document(array), "attributes": {}}
    document.pop("dimension_names", None)
    return ManifestArray(metadata=ArrayV3Metadata.from_dict(document), chunkmanifest=manifest)


def _with_protocol(url: str) -> str:
    """A path or URL as VirtualiZarr's own parsers have it: no character of a path is quoted.

    VirtualiZarr itself quotes paths without a protocol, and finds nothing under what that makes of them.
    """
    return url if is_url(url) else f"file://{url}"
