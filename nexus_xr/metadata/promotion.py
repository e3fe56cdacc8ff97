"""Fields of the metadata as coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr
from xarray.core import indexing

from nexus_xr.errors import NexusError, NexusPathError, some
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.nexus.tree.metadata import is_field
from nexus_xr.opening.arrays import FileArray
from nexus_xr.signatures import checks

from .table import table_of

Promoted = TypeVar("Promoted", xr.DataArray, xr.Dataset)
Dims = str | Sequence[str] | None


@dataclass(frozen=True)
class Promotion:
    """Makes coordinates of fields of the metadata of any object that it is called with, as xarray's `preprocess`.

    Parameters
    ----------
    paths
        Paths of the fields by the names of the coordinates.
    dims
        The dimensions of fields of two or more elements.
    """

    paths: tuple[tuple[str, str], ...]
    dims: Dims = None

    def __call__(self, obj: Promoted) -> Promoted:
        return obj.assign_coords({name: self._coordinate(obj, name, path) for name, path in self.paths})

    def _coordinate(self, obj: xr.DataArray | xr.Dataset, name: str, path: str) -> xr.Variable:
        if name in obj.coords or name in obj.dims or name in getattr(obj, "data_vars", ()):
            where = _where(obj, path)
            raise NexusError(f"{where}: there is {name!r} already; promote it by another name, as in name={path!r}")
        try:
            field = table_of(obj)[path]
        except NexusPathError as error:
            raise NexusPathError(f"{_where(obj)}{error}") from None
        value, attributes = (field["value"], field.get("attrs", {})) if is_field(field) else (field, {})
        if isinstance(value, Mapping):
            fields = [each for each in value if each != "attrs"]
            raise NexusError(f"{_where(obj, path)}: is a group, and no value; name a field in it, of {some(fields)}")
        if isinstance(value, LazyArray):
            value = indexing.LazilyIndexedArray(FileArray(value))
        dims = self._dims_of(np.shape(value), path, obj)
        return xr.Variable(dims, value, attributes)

    def _dims_of(self, shape: tuple[int, ...], path: str, obj: xr.DataArray | xr.Dataset) -> tuple[str, ...]:
        dims = () if not shape or self.dims is None else (self.dims,) if isinstance(self.dims, str) else (*self.dims,)
        if len(dims) != len(shape):
            raise NexusError(
                f"{_where(obj, path)}: is of shape {shape}; name a dimension for each length by dims, as "
                f"nexus_xr.promoting({path!r}, dims=...) takes them, also for preprocess; there are {dict(obj.sizes)}"
            )
        if unlike := [dim for dim, length in zip(dims, shape, strict=True) if obj.sizes.get(dim, length) != length]:
            raise NexusError(
                f"{_where(obj, path)}: is of shape {shape}, and {unlike[0]!r} has the length {obj.sizes[unlike[0]]}; "
                f"give other dims, of which there are {dict(obj.sizes)}"
            )
        return dims


def _where(obj: xr.DataArray | xr.Dataset, path: str = "") -> str:
    """The file that an object was opened from, where it says so, and a path in its metadata."""
    source = obj.encoding.get("source")
    return f"{shown(str(source))}: {path}" if source else path


@checks()
def promoting(*paths: str, dims: Dims = None, **names: str) -> Promotion:
    """What makes coordinates of fields of the metadata, for the argument `preprocess` of `xarray.open_mfdataset`.

    Parameters
    ----------
    *paths
        Paths of fields, as ``"sample/temperature"``; the coordinate has the name of the field.
    dims
        The dimensions of fields of two or more elements.
    **names
        Paths of fields, by the names that the coordinates get.

    Raises
    ------
    NexusError
        When it is called: a path isn't there, is a group, or the name is taken.

    Examples
    --------
    >>> scan = xr.Dataset(attrs={"sample": {"temperature": {"value": 4.2, "attrs": {"units": "K"}}}})
    >>> promoting("sample/temperature")(scan).temperature
    <xarray.DataArray 'temperature' ()> Size: 8B
    array(4.2)
    Coordinates:
        temperature  float64 8B 4.2
    Attributes:
        units:    K
    """
    return Promotion((*((path.rstrip("/").rpartition("/")[2], path) for path in paths), *names.items()), dims)
