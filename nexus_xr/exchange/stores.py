"""Writing netCDF and Zarr by xarray, of the flat form."""

from __future__ import annotations

import os
from typing import Any, TypeVar

import xarray as xr

from nexus_xr.hdf5.io.naming.url_path import is_url
from nexus_xr.hdf5.writing.replacing import replacing
from nexus_xr.opening.arrays import chunked

from .flat import WRITE, Flat, Travelling, flat, of_nodes

_Flat = TypeVar("_Flat", xr.Dataset, xr.DataTree, Flat)
# What is larger is written block by block.
_WHOLE_BYTES = 16 << 20


def to_netcdf(obj: Travelling, path: str | os.PathLike[str], large_arrays: str = WRITE, **options: Any) -> Any:
    """Write a netCDF file of the flat form; a file takes its place only when it is complete.

    Parameters
    ----------
    obj
        A DataArray, a Dataset or a DataTree.
    path
        The file.
    large_arrays
        As for `flat`.
    **options
        Those of xarray's method of this name.
    """
    made = streamed(flat(obj, large_arrays))
    if options.get("mode", "w") != "w" or not options.get("compute", True) or is_url(os.fspath(path)):
        return made.to_netcdf(path, **options)
    with replacing(path) as temporary:
        try:
            return made.to_netcdf(temporary, **options)
        except RuntimeError as error:  # as netCDF4 raises where the system lets nothing be written
            raise OSError(str(error)) from error


def to_zarr(obj: Travelling, store: Any, large_arrays: str = WRITE, **options: Any) -> Any:
    """Write a Zarr group of the flat form.

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
    return streamed(flat(obj, large_arrays)).to_zarr(store, **options)


def streamed(made: _Flat) -> _Flat:
    """The same with large arrays that stay in a file as dask's, as xarray reads others at once."""
    if isinstance(made, xr.DataTree):
        return of_nodes(made, str, _streamed)
    return _streamed(made)


def _streamed(dataset: xr.Dataset) -> xr.Dataset:
    large = {name: chunked(variable, {}) for name, variable in dataset.variables.items() if _is_large(variable)}
    return dataset.assign(large) if large else dataset


def _is_large(variable: xr.Variable) -> bool:
    is_lazy = not variable._in_memory and not hasattr(variable._data, "dask")
    return is_lazy and variable.dtype.kind != "O" and variable.nbytes > _WHOLE_BYTES
