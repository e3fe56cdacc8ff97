"""Writing netCDF and Zarr by xarray, of the flat form."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.arrays.schedule import computes_elsewhere
from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.extras import require
from nexus_xr.hdf5.io.naming.url_path import is_url
from nexus_xr.hdf5.io.remote.urls import local_path
from nexus_xr.hdf5.writing.delivery import delivering, is_elsewhere
from nexus_xr.hdf5.writing.replacing import replacing, replacing_folder, stands_there, unwritten
from nexus_xr.hdf5.writing.store_folder import refuse_others
from nexus_xr.hdf5.writing.writable_file import kept_file, open_file, why_unwritten
from nexus_xr.opening.arrays import chunked

from .computed import computed
from .dates import counted, may_be_far_apart
from .flat import WRITE, Flat, Travelling, flat, of_nodes
from .names import split, unquoted
from .origins import refuse_origin
from .parts import TEXT

_Flat = TypeVar("_Flat", xr.Dataset, xr.DataTree, Flat)
# What is larger is written block by block.
_WHOLE_BYTES = 16 << 20
# Bytes of a name: in netCDF's library, behind which a zero comes in HDF5, and in folders.
_MOST_BYTES = 255
# Dates of other years xarray can't write.
_FIRST, _END = np.datetime64("0000-01-01"), np.datetime64("10000-01-01")


def to_netcdf(obj: Travelling, path: str | os.PathLike[str], large_arrays: str = WRITE, **options: Any) -> Any:
    """Write a netCDF file of the flat form; a file takes its place only when it is complete.

    Parameters
    ----------
    obj
        A DataArray, a Dataset or a DataTree.
    path
        The file. To a URL that fsspec knows it goes as a whole when it is complete.
    large_arrays
        As for `flat`.
    **options
        Those of xarray's method of this name. With ``compute=False`` nothing is there until what comes back is
        computed; with ``mode="a"`` a copy of what is there is added to.
    """
    if options.get("engine") is None:
        require("netcdf")
    made = _of_each(_counted(streamed(flat(obj, large_arrays)), options), _checked)
    _refuse_other_years(made)
    if (engine := _engine(options)) == "netcdf4":
        _refuse_long({**_names(made), **_names_in_variables(made)}, "netCDF", 'write it with engine="h5netcdf"')
    path = local_path(os.fspath(path))
    if is_elsewhere(path) and options.get("mode") == "a":
        raise NexusError(f'{path}: mode="a": nothing is added to what isn\'t a file of this machine')
    if options.get("mode") != "a":
        refuse_origin(obj, path)
    if options.pop("compute", True):
        return _write_netcdf(made, path, {**options, "engine": engine})
    import dask

    where = path if is_elsewhere(path) else os.path.abspath(path)
    return dask.delayed(partial(_write_netcdf, made, where, {**options, "engine": engine}), pure=False)()


def _engine(options: Mapping[str, Any]) -> str | None:
    """The engine that xarray takes, None where there is none."""
    if options.get("engine") is not None:
        return str(options["engine"])
    is_classic = (options.get("format") or "NETCDF4").upper() != "NETCDF4"
    modules = {"netcdf4": "netCDF4", "h5netcdf": "h5netcdf", "scipy": "scipy"}
    order = [each for each in xr.get_options()["netcdf_engine_order"] if each != "h5netcdf" or not is_classic]
    return next((each for each in order if find_spec(modules[each]) is not None), None)


def _write_netcdf(made: Flat, path: str, options: Mapping[str, Any]) -> None:
    if is_elsewhere(path):
        with delivering(path, "w", None) as temporary:
            _write_file(made, temporary, path, options)
        return
    with replacing(path) as temporary:
        if options.get("mode") == "a" and os.path.exists(path):
            shutil.copy(path, temporary)
        _write_file(made, temporary, path, options)


def _write_file(made: Flat, temporary: str, path: str, options: Mapping[str, Any]) -> None:
    with _told_of_far_dates(path):
        _write_with_library(made, temporary, path, options)


def _write_with_library(made: Flat, temporary: str, path: str, options: Mapping[str, Any]) -> None:
    try:
        if options["engine"] != "h5netcdf" or computes_elsewhere():  # where each process opens the file by itself
            made.to_netcdf(temporary, **options)
            return
        # Opened and closed by h5netcdf, libhdf5 would end the process where the disk is full.
        with kept_file(open_file(temporary, "r+" if os.path.exists(temporary) else "w-"), path) as file:
            made.to_netcdf(file, **options)  # which it takes
    except NexusError:
        raise
    except (OSError, RuntimeError) as error:
        said = _why_of_library(error, temporary) if options["engine"] == "netcdf4" else why_unwritten(error)
        raise NexusFileError(f"{path}: can't be written ({said})") from error


def _why_of_library(error: OSError | RuntimeError, temporary: str) -> str:
    """What is known where netCDF's own library can't write: it keeps to itself what the system has said.

    Of a new file, in a folder that has just been made, it says that to make one was denied, whatever was the matter.
    """
    said = "netCDF's library can't make it" if isinstance(error, PermissionError) else why_unwritten(error)
    free = shutil.disk_usage(os.path.dirname(temporary)).free
    return f"{said}; {free} bytes are free there"


def to_zarr(obj: Travelling, store: Any, large_arrays: str = WRITE, **options: Any) -> Any:
    """Write a Zarr group of the flat form; a new folder takes its place only when it is complete.

    Parameters
    ----------
    obj
        A DataArray, a Dataset or a DataTree.
    store
        Where, as xarray's method of this name takes it.
    large_arrays
        As for `flat`.
    **options
        Those of xarray's method of this name.
    """
    require("zarr")
    from .zarr_folder import folder_store, zarr_folder

    made = streamed(flat(obj, large_arrays))
    if not _adds(options):  # into arrays of other units
        made = _counted(made, options)
    _refuse_other_years(made)
    name = str(store)
    if isinstance(store, str | os.PathLike):
        store = name = local_path(os.fspath(store))
        if not is_url(name):
            if options.pop("storage_options", None):
                raise NexusError(f"{name}: is a path, and storage_options are for URLs; leave them out")
            refuse_origin(obj, name)
            _refuse_long(_names(made), "a folder", "write another format")
            if _is_whole(options):
                is_new = options.get("mode") != "w"
                with (
                    _told_of_far_dates(name),
                    replacing_folder(name, is_new) as folder,
                    zarr_folder(folder) as own,
                ):
                    made.to_zarr(own, **{**options, "mode": "w"})
                return None
            if options.get("mode") == "w":  # by which zarr makes the folder empty
                refuse_others(os.path.join(name, (options.get("group") or "").strip("/")))
            store = folder_store(name)
    try:
        with _told_of_far_dates(name):
            return made.to_zarr(store, **options)
    except FileExistsError as error:  # by which zarr names the place within the store
        raise stands_there(name) from error
    except OSError as error:
        raise unwritten(name, error) from error


def _is_whole(options: Mapping[str, Any]) -> bool:
    """Whether nothing of a store stays, and all that is new is written at once."""
    return not _adds(options) and options.get("compute", True) and options.get("group") is None


def _adds(options: Mapping[str, Any]) -> bool:
    """Whether values may go into arrays of a store that are there."""
    is_part = any(options.get(name) is not None for name in ("append_dim", "region"))
    return is_part or options.get("mode") not in (None, "w", "w-")


@contextmanager
def _told_of_far_dates(path: str) -> Iterator[None]:
    """Have it said what to do where NumPy, from 2.5 on, doesn't subtract dates as xarray wants it to."""
    try:
        yield
    except OverflowError as error:
        if "datetime64" not in str(error):
            raise
        raise NexusError(
            f"{path}: can't be written: there are dates further apart than their unit counts ({error}); leave their "
            'units out of the encoding, add them in parts, or make them coarser with astype("datetime64[us]")'
        ) from error


def _of_each(made: _Flat, make: Callable[[xr.Dataset], xr.Dataset]) -> _Flat:
    """What is made of a Dataset, or of each node of a tree."""
    if isinstance(made, xr.DataTree):
        return of_nodes(made, str, make)
    return make(made)


def _checked(dataset: xr.Dataset) -> xr.Dataset:
    """The same, with text of which netCDF's libraries would write less looked for wherever it is read."""
    texts = {name: variable for name, variable in dataset.variables.items() if variable.dtype.kind == "O"}
    return dataset.assign({name: _checked_text(str(name), variable) for name, variable in texts.items()})


def _checked_text(name: str, text: xr.Variable) -> xr.Variable:
    checked = computed(partial(_refuse_zeros, unquoted(name)), [text], text.sizes, TEXT)
    return checked._replace(attrs=text.attrs, encoding=text.encoding)


def _refuse_zeros(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if any("\0" in text for text in values.flat):
        raise NexusError(
            f"{name}: there is text with a zero in it, at which it would end in netCDF; write another format"
        )
    return values


def _refuse_other_years(made: Flat) -> None:
    for dataset in _datasets(made):
        for name, variable in dataset.variables.items():
            # Nanoseconds have none of these years, nor count as far as to them.
            if variable.dtype.kind == "M" and variable._in_memory and variable.dtype != "M8[ns]":
                dates, first, end = variable.values, _FIRST.astype(variable.dtype), _END.astype(variable.dtype)
                if ((dates < first) | (dates >= end)).any():
                    raise NexusError(
                        f"{unquoted(str(name))}: nothing was written, as there are dates beyond the years 0 to 9999; "
                        "make them numbers, or write JSON"
                    )


def _refuse_long(names: Mapping[str, str], where: str, otherwise: str) -> None:
    """Raise an error where one of the names as they are written, each with the original one, is too long."""
    for written, name in names.items():
        if (size := len(written.encode())) > _MOST_BYTES:
            raise NexusError(
                f"{name}: nothing was written, as this name has {size} bytes in {where}, where {_MOST_BYTES} are the "
                f"most; rename it, or {otherwise}"
            )


def _names(made: Flat) -> dict[str, str]:
    """The names of nodes and variables, and what they were."""
    nodes = [str(node.name) for node in made.subtree if node.name] if isinstance(made, xr.DataTree) else []
    variables = [str(name) for dataset in _datasets(made) for name in dataset.variables]
    return {name: unquoted(name) for name in (*nodes, *variables)}


def _names_in_variables(made: Flat) -> dict[str, str]:
    """The names of dimensions, and those of attributes, which are paths, as NeXus has them."""
    names: dict[str, str] = {}
    for dataset in _datasets(made):
        names |= {str(dim): unquoted(str(dim)) for dim in dataset.dims}
        for attributes in (dataset.attrs, *(variable.attrs for variable in dataset.variables.values())):
            names |= {path: "/".join(split(path)) for path in attributes}
    return names


def _datasets(made: Flat) -> Iterable[xr.Dataset]:
    return _by_path(made).values()


def _by_path(made: Flat) -> dict[str, xr.Dataset]:
    if isinstance(made, xr.Dataset):
        return {"/": made}
    return {node.path: node.to_dataset(inherit=False) for node in made.subtree}


def streamed(made: _Flat) -> _Flat:
    """The same as xarray can write it: large arrays that stay in a file as dask's, as xarray reads others at once."""
    return _of_each(made, _streamed)


def _streamed(dataset: xr.Dataset) -> xr.Dataset:
    large = {name: chunked(variable, {}) for name, variable in dataset.variables.items() if _is_large(variable)}
    return _with(dataset, large) if large else dataset


def _with(dataset: xr.Dataset, variables: Mapping[Hashable, xr.Variable]) -> xr.Dataset:
    """The same with other variables in the place of some, none of which is read to be an index."""
    coordinates = {name: variable for name, variable in variables.items() if name in dataset.coords}
    data = {name: variable for name, variable in variables.items() if name not in coordinates}
    return dataset.assign_coords(xr.Coordinates(coordinates, indexes={})).assign(data)


def _counted(made: _Flat, options: Mapping[str, Any]) -> _Flat:
    """The same with dates counted that may be too far apart for xarray, unless the options say in which units."""
    encoding = options.get("encoding") or {}
    by_node = encoding if isinstance(made, xr.DataTree) else {"/": encoding}
    each = [item for node in by_node.values() for item in node.items()]
    told = {name for name, of_variable in each if {"units", "calendar"} & of_variable.keys()}
    _refuse_other_types(made, told, by_node)
    return _of_each(made, partial(_with_counts, told=told))


def _with_counts(dataset: xr.Dataset, told: Collection[Hashable]) -> xr.Dataset:
    far = {name: counted(each) for name, each in _far_apart(dataset, told).items()}
    return _with(dataset, far) if far else dataset


def _far_apart(dataset: xr.Dataset, told: Collection[Hashable]) -> dict[Hashable, xr.Variable]:
    dates = {name: each for name, each in dataset.variables.items() if each.dtype == "M8[ns]" and name not in told}
    return {name: each for name, each in dates.items() if may_be_far_apart(each)}


def _refuse_other_types(made: Flat, told: Collection[Hashable], by_node: Mapping[str, Mapping[Any, Any]]) -> None:
    """Raise an error where nanoseconds since 1970, as dates are counted, are to be of a type that doesn't hold them."""
    nodes = _by_path(made)
    for path, encoding in by_node.items():
        for name in _far_apart(nodes[path], told) if path in nodes else ():
            if (found := _loses_counts(encoding.get(name) or {})) is not None:
                raise NexusError(
                    f"{unquoted(str(name))}: nothing was written, as its encoding has {found} without units, and dates "
                    "that are far apart, or not in memory, are counted in nanoseconds then, which int64 alone holds; "
                    'give units with it, as "units": "seconds since 1970-01-01", or leave it out'
                )


def _loses_counts(encoding: Mapping[str, Any]) -> str | None:
    """What of an encoding asks for another type than that of the counts."""
    packing = next((key for key in ("scale_factor", "add_offset") if encoding.get(key) is not None), None)
    dtype: np.dtype[Any] = np.dtype(encoding.get("dtype") or np.int64)
    return packing if dtype.newbyteorder("=") == np.int64 else f"dtype={dtype.name!r}"


def _is_large(variable: xr.Variable) -> bool:
    is_lazy = not variable._in_memory and not hasattr(variable._data, "dask")
    return is_lazy and variable.dtype.kind != "O" and variable.nbytes > _WHOLE_BYTES
