"""Files of one format made of files of another: `nexus_xr.convert`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import xarray as xr

from .errors import NexusError, NexusFileNotFoundError
from .exchange.csv_file import read_csv, to_csv
from .exchange.flat import MARK, Travelling, unflat
from .exchange.json_file import read_json, to_json
from .exchange.stores import streamed, to_netcdf
from .exchange.stores import to_zarr as to_flat_zarr
from .hdf5.io.naming.url_path import is_url
from .opening.options import Options
from .opening.session import open_one
from .writing.defaults import KEEP
from .writing.to_nexus import to_nexus

NEXUS, ZARR, NETCDF, CSV, JSON = "NeXus", "Zarr", "netCDF", "CSV", "JSON"
_FORMATS = {
    **dict.fromkeys((".nxs", ".nx", ".nexus", ".nx5", ".h5", ".hdf5", ".hdf", ".cxi", ".nxspe"), NEXUS),
    **dict.fromkeys((".nc", ".nc4", ".cdf"), NETCDF),
    ".zarr": ZARR,
    ".csv": CSV,
    ".json": JSON,
}
# Which engine of xarray opens what isn't NeXus, and isn't a table.
_ENGINES = {ZARR: "zarr", NETCDF: None}

_WRITERS: Mapping[str, Callable[..., Any]] = {NETCDF: to_netcdf, CSV: to_csv, JSON: to_json, ZARR: to_flat_zarr}
# What is larger is written block by block.
_SMALL_BYTES = 16 << 20


def format_of(name: str | os.PathLike[str]) -> str:
    """The format of a file, by its name.

    Raises
    ------
    NexusError
        The name tells none.

    Examples
    --------
    >>> format_of("scan.nxs"), format_of("s3://bucket/scan.zarr/")
    ('NeXus', 'Zarr')
    """
    extension = PurePath(os.fspath(name).rstrip("/")).suffix.lower()
    if extension not in _FORMATS:
        raise NexusError(f"{os.fspath(name)}: what format this is isn't told by its name; there are: {_known()}")
    return _FORMATS[extension]


def _known() -> str:
    return ", ".join(f"{extension} ({format_})" for extension, format_ in _FORMATS.items())


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    dataset_path: str | None = None,
    overwrite: bool = False,
    compression: Any = KEEP,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Convert a NeXus file to Zarr, netCDF, CSV or JSON, or any of these to NeXus; names tell the formats.

    To Zarr the whole file is copied as `to_zarr` does it, without decoding. To netCDF and JSON goes the tree of all
    NXdata groups with the metadata, to CSV the default plot; or just the group that is named. What this package wrote
    comes back as it was; of other Zarr stores and netCDF files, each group with data variables becomes an entry. A
    target appears when it is complete.

    Parameters
    ----------
    source
        Path or URL.
    target
        Path, or a URL where xarray, or `to_nexus`, can write to it.
    dataset_path
        Path of the one group, or dataset, to convert; of a NeXus file.
    overwrite
        Whether a target that is there is replaced.
    compression
        Of a NeXus file that is written, as for `to_nexus`.
    storage_options
        Options for the fsspec file system of a source's URL.

    Raises
    ------
    NexusError
        A format isn't known, or can't be made of the other; the source can't be read, or the target is there.

    Examples
    --------
    >>> import nexus_xr
    >>> nexus_xr.to_nexus(xr.DataArray([1, 2, 3], dims="x", name="counts"), "scan.nxs")
    >>> convert("scan.nxs", "scan.nc")
    >>> convert("scan.nc", "again.nxs")
    >>> xr.open_dataset("again.nxs", engine="nexus").counts.values
    array([1, 2, 3])
    """
    source, target = os.fspath(source), os.fspath(target)
    ways = format_of(source), format_of(target)
    if (ways[0] == NEXUS) == (ways[1] == NEXUS):
        raise NexusError(f"{source}: {ways[0]} is converted to NeXus, or from it, and not to {ways[1]}")
    if not is_url(source) and not os.path.exists(source):
        raise NexusFileNotFoundError(f"{source}: there is no such file")
    if not is_url(target) and os.path.lexists(target) and not overwrite:
        raise NexusError(f"{target}: is there already; choose another name, or replace it with overwrite=True")
    if ways[0] == NEXUS:
        _from_nexus(source, target, ways[1], dataset_path, overwrite, storage_options)
    else:
        if dataset_path is not None:
            raise NexusError(f"dataset_path={dataset_path!r}: {source} is {ways[0]}, of which all is converted")
        _to_nexus(source, target, ways[0], compression, storage_options)


# --- from NeXus --------------------------------------------------------------------------------------------------


def _from_nexus(
    source: str,
    target: str,
    format_: str,
    dataset_path: str | None,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
) -> None:
    if format_ == ZARR and dataset_path is None:
        from .zarr.copying import to_zarr

        to_zarr(source, target, mode="w" if overwrite else "w-", storage_options=storage_options)
        return
    write = _WRITERS[format_]
    opened: Travelling
    if dataset_path is not None or format_ == CSV:
        options = Options(dataset_path=dataset_path, use_default=True, storage_options=storage_options)
        opened = open_one(options.file(source), options)
    else:
        opened = xr.open_datatree(source, engine="nexus", storage_options=storage_options)
    with opened:
        write(opened, target, **({"mode": "w" if overwrite else "w-"} if format_ == ZARR else {}))


# --- to NeXus ----------------------------------------------------------------------------------------------------


def _to_nexus(
    source: str, target: str, format_: str, compression: Any, storage_options: Mapping[str, Any] | None
) -> None:
    if format_ in (CSV, JSON):
        read = read_csv if format_ == CSV else read_json
        to_nexus(read(source), target, compression=compression)
        return
    options: dict[str, Any] = {"engine": _ENGINES[format_]}
    if storage_options:
        options["backend_kwargs"] = {"storage_options": dict(storage_options)}
    try:
        groups = xr.open_groups(source, **options)
    except (OSError, ValueError, KeyError, TypeError) as error:  # xarray and what it opens with raise any of them
        raise NexusError(f"{source}: can't be opened as {format_} ({error})") from error
    # Not by xarray's chunks, which give arrays of one name in several groups one name among dask's, and so one value.
    in_blocks = {path: streamed(group) for path, group in groups.items()}
    try:
        to_nexus(_made_of(in_blocks, source), target, compression=compression)
    finally:
        for group in groups.values():
            group.close()


def _made_of(groups: Mapping[str, xr.Dataset], source: str) -> Any:
    """What a file was before it became flat; of other files, each group with data."""
    root = groups["/"]
    if MARK in root.attrs:
        is_tree = "nodes" in json.loads(root.attrs[MARK])
        return unflat(xr.DataTree.from_dict(dict(groups)) if is_tree else root)
    # How they are packed there is no matter of what is written, which has the values.
    groups = {path: group.drop_encoding() for path, group in groups.items()}
    plotted = [path for path, group in groups.items() if group.attrs.get("NX_class") == "NXdata" and group.data_vars]
    if plotted:
        return [_entry_of(groups, path, plotted) for path in plotted]
    with_data = [_small_in_memory(group) for group in groups.values() if group.data_vars]
    if not with_data:
        raise NexusError(f"{source}: holds no data variables; there is nothing to convert")
    return with_data


def _entry_of(groups: Mapping[str, xr.Dataset], path: str, plotted: Sequence[str]) -> xr.Dataset:
    """A group of data with the metadata around it."""
    return _small_in_memory(groups[path].drop_attrs(deep=False)).assign_attrs(_tree(groups, path, plotted))


def _small_in_memory(group: xr.Dataset) -> xr.Dataset:
    """The same with small variables read, so that only large ones are written block by block."""
    small = {name: each.compute() for name, each in group.variables.items() if each.nbytes <= _SMALL_BYTES}
    return group.assign(small) if small else group


def _tree(groups: Mapping[str, xr.Dataset], path: str, plotted: Sequence[str]) -> dict[str, Any]:
    """The metadata around a group of data: all other groups of the same entry, as `to_nexus` takes them."""
    entry = "/" + path.split("/")[1]
    tree: dict[str, Any] = {}
    for other, group in groups.items():
        if other not in plotted and (other == entry or other.startswith(entry + "/")):
            inner = tree
            for name in other.removeprefix(entry).split("/")[1:]:
                inner = inner.setdefault(name, {})
            inner |= {str(name): _field(variable) for name, variable in group.variables.items()}
            inner["attrs"] = dict(group.attrs)
    return tree


def _field(variable: xr.Variable) -> dict[str, Any]:
    return {"value": variable.values[()], "attrs": dict(variable.attrs)}
