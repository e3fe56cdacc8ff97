"""Writing a part of arrays that a file has already."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import h5py
import numpy as np
import xarray as xr

from nexus_xr.arrays.edges import bounds_named, edges_to_bounds
from nexus_xr.arrays.schedule import refuse_elsewhere
from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.locks import alone
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.writing.atomic_file import failing
from nexus_xr.hdf5.writing.chunk_writer import Region, WrittenDataset
from nexus_xr.hdf5.writing.writable_file import closing_file, open_file
from nexus_xr.nexus.rules.content import Field
from nexus_xr.nexus.rules.reserved import recorded_dtype, without_marks
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Opening, describe_with
from nexus_xr.opening.session import assemble
from nexus_xr.writing.fields.casting import cast, may_become
from nexus_xr.writing.fields.variables import with_true_errors

from .growth import text_of
from .targets import group_with, known

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
    entry: str | None = None,
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
    entry
        Name of the entry, or path of the group, that has the variables; None where only one has them.
    num_threads
        Most threads that encode.

    Raises
    ------
    NexusError
        The file has no such variables, or several of them, or the region doesn't fit; nothing has been written then.
    """
    wanted = _wanted(obj, os.fspath(path), region)
    with _opening, alone(os.path.realpath(path)):  # not while it is copied or replaced
        parts = _parts(wanted, os.fspath(path), region, entry)
        try:
            file = open_file(path, "r+")
        except OSError as error:
            raise NexusFileError(f"{os.fspath(path)}: can't be written ({error})") from error
    with closing_file(file, path):
        targets = [_target(file, part.path, num_threads) for part in parts]
        for part, target in zip(parts, targets, strict=True):
            if hasattr(part.values, "dask"):
                import dask.array as da

                where = tuple(slice(*each) for each in part.region)
                da.store([part.values], [target], regions=[where], lock=False)  # type: ignore[list-item]
            else:
                target.write(part.region, np.asarray(part.values, target.dtype))


def _target(file: h5py.File, path: str, num_threads: int | None) -> WrittenDataset:
    with failing(file.filename, path, "can't be written to"):
        return WrittenDataset(file[path], num_threads, is_new=False)


def check_region(
    obj: xr.DataArray | xr.Dataset, path: str | os.PathLike[str], region: Mapping[Any, slice], entry: str | None = None
) -> None:
    """Raise the error that `write_region` would raise before it writes."""
    with _opening:
        _parts(_wanted(obj, os.fspath(path), region), os.fspath(path), region, entry)


def _wanted(obj: xr.DataArray | xr.Dataset, path: str, region: Mapping[Any, slice]) -> Mapping[str, xr.Variable]:
    """The variables of which a part is to be written."""
    dataset = obj.to_dataset(name=obj.name or "data") if isinstance(obj, xr.DataArray) else obj
    dataset = edges_to_bounds(with_true_errors(dataset, obj.attrs, path))
    there_are = f"there are {', '.join(map(repr, dataset.dims))}"
    if not isinstance(region, Mapping):
        raise NexusError(
            f"region={region!r}: expected a slice for each dimension of which a part is given; {there_are}"
        )
    wanted = {str(name): each for name, each in dataset.variables.items() if set(each.dims) & region.keys()}
    unknown = [repr(dim) for dim in region if dim not in dataset.dims]
    if unknown or not wanted:
        raise NexusError(f"{path}: region: no variable to write has a dimension {', '.join(unknown)}; {there_are}")
    refuse_elsewhere(path, (each._data for each in wanted.values()))
    return wanted


def _parts(wanted: Mapping[str, xr.Variable], path: str, region: Mapping[Any, slice], entry: str | None) -> list[_Part]:
    return describe_with(partial(_find_parts, wanted, region, entry), File(path), Options())


def _find_parts(
    wanted: Mapping[str, xr.Variable], region: Mapping[Any, slice], entry: str | None, opening: Opening
) -> list[_Part]:
    bounds = {bounds_named(variable) for variable in wanted.values()}
    chosen = group_with([name for name in wanted if name not in bounds], entry, opening)
    stored = known(chosen)
    parts = []
    for name, variable in wanted.items():
        if name in bounds and name not in stored:
            continue
        field = chosen.content.fields[stored[name].field]
        path = absolute(chosen.group.member_path(stored[name].field))
        where = f"{opening.file.name}:{path}"
        named = bounds_named(variable)
        if stored[name].bounds is not None:
            whole = assemble(opening, chosen).variables[stored[name].bounds]
            _check_edges(name, wanted.get(named or ""), where, whole, region)
            continue
        if named in wanted and named not in stored:
            raise NexusError(f"{where}: {name!r} has edges of bins, and in the file values; leave the edges out")
        if stored[name].scaling is not None:
            raise NexusError(f"{where}: {name!r} is scaled in the file; write stored numbers with h5py")
        units, own = without_marks(field.attributes, field.dtype).get("units"), variable.attrs.get("units")
        if units is not None and own is not None and str(units) != str(own):
            raise NexusError(
                f"{where}: the units of {name!r} are {str(own)!r}, and in the file {str(units)!r}; convert it"
            )
        sizes = dict(zip(stored[name].dims, field.shape, strict=True))
        places, values = _placed(name, variable, where, sizes, field, region)
        parts.append(_Part(path, places, values))
    return parts


def _check_edges(
    name: str, bounds: xr.Variable | None, where: str, stored: xr.Variable, region: Mapping[Any, slice]
) -> None:
    """Raise unless the bins are those of the file, as those beside a region share its outermost edges."""
    if bounds is None:
        raise NexusError(f"{where}: {name!r} has edges of bins in the file, and none here; leave it out with drop_vars")
    *dims, _ = stored.dims
    there = stored.isel({dim: region[dim] for dim in dims if dim in region}).values
    here = bounds.transpose(*dims, ...).values
    if not np.array_equal(here, there, equal_nan=here.dtype.kind in "fc"):
        raise NexusError(
            f"{where}: the edges of {name!r} are others than in the file, where the bins beside it have them, too; "
            "leave it out with drop_vars"
        )


def _placed(
    name: str,
    variable: xr.Variable,
    where: str,
    sizes: Mapping[str, int],
    field: Field,
    region: Mapping[Any, slice],
) -> tuple[Region, Any]:
    """Where the values of a variable go, and the values as they are stored there."""
    if set(map(str, variable.dims)) != set(sizes):
        raise NexusError(f"{where}: {name!r} has dimensions {variable.dims}, and in the file {tuple(sizes)}")
    stored = recorded_dtype(field.attributes, field.dtype) or field.dtype
    is_of_text = is_text(field.dtype) and field.dtype.hasobject
    if not may_become(variable.dtype, stored) or (is_of_text and variable.dtype.kind not in "OSU"):
        raise NexusError(f"{where}: {name!r} of {variable.dtype} doesn't fit into {stored}; convert it with astype")
    places = tuple(_extent(f"{where}: {dim!r} of {name!r}", dim, size, region) for dim, size in sizes.items())
    ordered = variable.transpose(*sizes)
    found = tuple(last - first for first, last in places)
    if ordered.shape != found:
        raise NexusError(f"{where}: {name!r} has the shape {ordered.shape}, and its region {found}")
    try:
        values = cast(ordered.data, stored, where)
    except NexusError as error:
        raise NexusError(f"{where}: {error}") from None
    if is_of_text and not hasattr(values, "dask"):
        values = text_of(np.asarray(values), where)
    return places, values.view(field.dtype) if stored.kind in "mM" else values


def _extent(what: str, dim: str, size: int, region: Mapping[Any, slice]) -> tuple[int, int]:
    part = region.get(dim, slice(None))
    is_slice = isinstance(part, slice) and part.step in (None, 1)
    if not is_slice or not all(each is None or hasattr(each, "__index__") for each in (part.start, part.stop)):
        raise NexusError(f"{what}: expected a slice of whole numbers without a step, found {part!r}")
    first, last, _ = part.indices(size)
    if (part.stop is not None and part.stop > size) or last < first:
        raise NexusError(f"{what} has {size} elements, and {part!r} goes beyond")
    return first, last
