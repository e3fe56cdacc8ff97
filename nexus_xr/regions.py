"""Writing a part of arrays that a file has already."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from .errors import NexusError, NexusFileError
from .hdf5.file import File
from .hdf5.locking import alone
from .hdf5.target import Region, Target
from .hdf5.writable import closing_file, open_file
from .nexus.content import Field
from .nexus.find import absolute
from .nexus.marks import recorded_dtype
from .opening import Opening, Options, describe_with
from .scheduling import computes_elsewhere

# libhdf5 opens no file for writing that the same process has open for reading.
_opening = threading.Lock()


@dataclass(frozen=True)
class _Part:
    """Values for a region of a dataset."""

    path: str
    region: Region
    values: Any


def write_region(
    obj: xr.DataArray | xr.Dataset,
    path: str | os.PathLike[str],
    region: Mapping[Any, slice],
    num_threads: int | None = None,
) -> None:
    """Write each variable that has one of the region's dimensions into that region of the variable in the file.

    The file is changed where it is. Several threads may write regions at once, whether or not these are whole chunks.

    Parameters
    ----------
    obj
        The values, as long as the region in its dimensions and as the file's in all others.
    path
        A file that has variables of these names.
    region
        A slice for each dimension of which only a part is written.
    num_threads
        Most threads that encode.

    Raises
    ------
    NexusError
        The file has no such variables, or the region doesn't fit; nothing has been written then.
    """
    dataset = obj.to_dataset(name=obj.name or "data") if isinstance(obj, xr.DataArray) else obj
    wanted = {str(name): each for name, each in dataset.variables.items() if set(each.dims) & region.keys()}
    if not wanted:
        raise NexusError(f"{os.fspath(path)}: no variable to write has a dimension of region={dict(region)!r}")
    if computes_elsewhere() and any(hasattr(each._data, "dask") for each in wanted.values()):
        raise NexusError(
            f"{os.fspath(path)}: nothing was written: this process alone writes regions, and dask computes in others; "
            'write in threads: with dask.config.set(scheduler="threads"): ...'
        )
    with _opening, alone(os.path.realpath(path)):  # not while it is copied or replaced
        parts = _parts(wanted, os.fspath(path), region)
        try:
            file = open_file(path, "r+")
        except OSError as error:
            raise NexusFileError(f"{os.fspath(path)}: can't be written ({error})") from error
    with closing_file(file, path):
        for part in parts:
            target = Target(file[part.path], num_threads, is_new=False)
            if hasattr(part.values, "dask"):
                import dask.array as da

                where = tuple(slice(*each) for each in part.region)
                da.store([part.values], [target], regions=[where], lock=False)  # type: ignore[list-item]
            else:
                target.write(part.region, np.asarray(part.values, target.dtype))


def _parts(wanted: Mapping[str, xr.Variable], path: str, region: Mapping[Any, slice]) -> list[_Part]:
    return describe_with(partial(_find_parts, wanted, region), File(path), Options())


def _find_parts(wanted: Mapping[str, xr.Variable], region: Mapping[Any, slice], opening: Opening) -> list[_Part]:
    for found in opening.several():
        if not found.is_nxdata:
            continue
        described = opening.describe(found)
        known = {each.name: each for each in described.data.variables}
        if wanted.keys() <= known.keys():
            group, content = described.group, described.content
            return [
                _part(
                    name,
                    variable,
                    absolute(group.member_path(known[name].field)),
                    dict(zip(known[name].dims, content.fields[known[name].field].shape, strict=True)),
                    content.fields[known[name].field],
                    region,
                )
                for name, variable in wanted.items()
            ]
    names = ", ".join(map(repr, wanted))
    raise NexusError(f"{opening.file.name}: no NXdata group has {names}; write the whole first, then its regions")


def _part(
    name: str,
    variable: xr.Variable,
    path: str,
    sizes: Mapping[str, int],
    field: Field,
    region: Mapping[Any, slice],
) -> _Part:
    if set(map(str, variable.dims)) != set(sizes):
        raise NexusError(f"{path}: {name!r} has dimensions {variable.dims}, and in the file {tuple(sizes)}")
    stored = recorded_dtype(field.attributes, field.dtype) or field.dtype
    if not np.can_cast(variable.dtype, stored, "same_kind"):
        raise NexusError(f"{path}: {name!r} of {variable.dtype} doesn't fit into {stored}; convert it with astype")
    places = tuple(_extent(name, dim, size, region) for dim, size in sizes.items())
    ordered = variable.transpose(*sizes)
    found = tuple(last - first for first, last in places)
    if ordered.shape != found:
        raise NexusError(f"{path}: {name!r} has the shape {ordered.shape}, and its region {found}")
    values = ordered.data.astype(stored)
    return _Part(path, places, values.view(field.dtype) if stored.kind in "mM" else values)


def _extent(name: str, dim: str, size: int, region: Mapping[Any, slice]) -> tuple[int, int]:
    part = region.get(dim, slice(None))
    if not isinstance(part, slice) or part.step not in (None, 1):
        raise NexusError(f"region: {dim!r} of {name!r}: expected a slice without a step, found {part!r}")
    first, last, _ = part.indices(size)
    if (part.stop is not None and part.stop > size) or last < first:
        raise NexusError(f"region: {dim!r} of {name!r} has {size} elements, and {part!r} goes beyond")
    return first, last
