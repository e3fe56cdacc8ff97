"""Files of one format made of files of another: `nexus_xr.convert`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import PurePath
from typing import Any

import xarray as xr

from .errors import NexusError
from .exchange.csv_file import read_csv, to_csv
from .exchange.flat import MARK, Travelling, unflat
from .exchange.foreign import ForeignGroups, field_of
from .exchange.json_file import read_json, to_json
from .exchange.stores import streamed, to_netcdf
from .exchange.stores import to_zarr as to_flat_zarr
from .extras import require
from .hdf5.format.superblock import has_superblock
from .hdf5.io.local import path_of_what_is_there
from .hdf5.io.naming.url_path import is_url, shown
from .hdf5.io.remote.urls import local_path
from .hdf5.io.writers import refuse_growing
from .hdf5.writing.replacing import refuse_source
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

_LOCAL = (CSV, JSON)
# Which extra brings what they are read and written by.
_EXTRAS = {ZARR: "zarr", NETCDF: "netcdf"}

_WRITERS: Mapping[str, Callable[..., Any]] = {NETCDF: to_netcdf, CSV: to_csv, JSON: to_json, ZARR: to_flat_zarr}


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
    told = _told_by_name(os.fspath(name))
    if told is None:
        raise NexusError(f"{os.fspath(name)}: what format this is isn't told by its name; there are: {_known()}")
    return told


def format_of_source(name: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> str:
    """The format of a file that is there: by its name, or as NeXus where that tells none and it is HDF5.

    Parameters
    ----------
    name
        Path or URL.
    storage_options
        Options for the fsspec file system of a URL.

    Raises
    ------
    NexusError
        Neither tells one, or there is no such file.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("cells.h5ad", "w") as file:
    ...     file["X"] = [[1, 2], [3, 4]]
    >>> format_of_source("cells.h5ad")
    'NeXus'
    """
    path = os.fspath(name)
    told = _told_by_name(path)
    if told is not None:
        return told
    if is_url(path) or os.path.isfile(path) or not os.path.exists(path):  # which the file then says
        file = Options(storage_options=storage_options).file(path)
        with closing(file), file.source() as source:
            if has_superblock(source):
                return NEXUS
    raise NexusError(
        f"{path}: what format this is isn't told by its name, and it isn't HDF5; there are names of: {_known()}"
    )


def _told_by_name(name: str) -> str | None:
    return _FORMATS.get(PurePath(name.rstrip("/")).suffix.lower())


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

    A source whose name tells none is taken for NeXus if it is HDF5, as files of AnnData, NWB, MATLAB and HyperSpy are.
    To Zarr the whole file is copied as `to_zarr` does it, without decoding. To netCDF and JSON goes the tree of all
    NXdata groups with the metadata, to CSV the default plot; or just the group that is named. What went to netCDF, CSV
    or JSON comes back as it was. Of a Zarr copy of a NeXus file, each NXdata group becomes an entry with the metadata
    of the one that it was in, the default plot first. Of other Zarr stores and netCDF files, each group with data
    variables becomes one, with the coordinates and attributes that it inherits. A warning lists what there is no place
    for. A target appears when it is complete.

    Parameters
    ----------
    source
        Path; of NeXus and Zarr also a URL.
    target
        Path; for NeXus, Zarr and netCDF also a URL.
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
    if not isinstance(source, str | os.PathLike):
        raise NexusError(f"expected a path or a URL, whose name tells the format, found {type(source).__name__}")
    source, target = (local_path(os.fsdecode(each)) for each in (source, target))
    ways = format_of_source(source, storage_options), format_of(target)
    for format_ in {*ways} & {*_EXTRAS}:
        require(_EXTRAS[format_])
    if ways == (NEXUS, NEXUS):
        raise NexusError(f"{shown(source)}: is NeXus already, as is to be {shown(target)}; write it anew with repack")
    if (ways[0] == NEXUS) == (ways[1] == NEXUS):
        raise NexusError(f"{shown(source)}: {ways[0]} is converted to NeXus, or from it, and not to {ways[1]}")
    if not is_url(source):
        path_of_what_is_there(source)
    elif ways[0] in _LOCAL:
        raise NexusError(f"{shown(source)}: {ways[0]} is read from files of this machine; fetch it, and convert that")
    if not is_url(target) and os.path.lexists(target) and not overwrite:
        raise NexusError(f"{shown(target)}: is there already; choose another name, or replace it with overwrite=True")
    if not is_url(target):
        refuse_source(target, source)
        refuse_growing(target)
    if is_url(target) and ways[1] in _LOCAL:
        raise NexusError(f"{shown(target)}: {ways[1]} goes into files of this machine; convert to one, and send that")
    if ways[0] == NEXUS and compression != KEEP:
        raise NexusError(
            f"compression={compression!r}: is for a NeXus file that is written, and {shown(target)} is {ways[1]}"
        )
    if ways[0] == NEXUS:
        _from_nexus(source, target, ways[1], dataset_path, overwrite, storage_options)
    else:
        if dataset_path is not None:
            raise NexusError(f"dataset_path={dataset_path!r}: {shown(source)} is {ways[0]}, of which all is converted")
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
    with ExitStack() as stack, _explained(f"{source}: can't be opened or read as {format_}"):
        groups = _groups(source, stack, options)
        root = groups["/"]
        if MARK in root.attrs:
            is_tree = "nodes" in json.loads(root.attrs[MARK])
            made: Any = unflat(xr.DataTree.from_dict(dict(groups)) if is_tree else root)
            to_nexus(made, target, compression=compression)
            return
        stored = _groups(source, stack, {**options, "mask_and_scale": False})
        others = _others(source, groups, stack, options) if format_ == ZARR else {}
        found = ForeignGroups(source, groups, stored, others)
        is_default = found.default in found.plotted
        to_nexus(found.datasets(), target, compression=compression, use_default=is_default)


@contextmanager
def _explained(failure: str) -> Iterator[None]:
    """Have what xarray and what it reads with raise named after the file."""
    try:
        yield
    except NexusError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:  # as they raise any of them
        raise NexusError(f"{failure} ({error})") from error


def _groups(source: str, stack: ExitStack, options: Mapping[str, Any]) -> dict[str, xr.Dataset]:
    """All groups of a file, open until the stack is closed."""
    groups = xr.open_groups(_store_of(source, options), **options)
    for group in groups.values():
        stack.callback(group.close)
    # Not by xarray's chunks, which give arrays of one name in several groups one name among dask's, and so one value.
    return {path: streamed(group) for path, group in groups.items()}


def _store_of(source: str, options: Mapping[str, Any]) -> Any:
    """What xarray opens."""
    if options["engine"] != _ENGINES[ZARR] or is_url(source):
        return source
    from .exchange.zarr_folder import folder_store

    return folder_store(source, is_read=True)


def _others(
    source: str, groups: Mapping[str, xr.Dataset], stack: ExitStack, options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The arrays of a Zarr store that its consolidated metadata leaves out, as they don't fit with the others."""
    import zarr

    store = _store_of(source, options)
    others: dict[str, dict[str, Any]] = {}
    given = options.get("backend_kwargs", {})
    for path, group in groups.items():
        everything = zarr.open_group(store, path=path.strip("/"), mode="r", use_consolidated=False, **given)
        names = set(everything.array_keys())
        for name in sorted(names - group.variables.keys()):
            told: dict[str, Any] = {"group": path, "consolidated": False, "decode_cf": False}
            opened = xr.open_dataset(store, drop_variables=[*names - {name}], **options, **told)
            stack.callback(opened.close)
            others.setdefault(path, {})[name] = field_of(streamed(opened).variables[name])
    return others
