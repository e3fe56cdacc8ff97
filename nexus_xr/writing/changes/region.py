"""Writing a part of arrays that a file has already."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import h5py
import numpy as np
import xarray as xr

from nexus_xr.arrays.accepted import accepted
from nexus_xr.arrays.bins import middles_of, same_bits
from nexus_xr.arrays.edges import bounds_named, edges_to_bounds
from nexus_xr.arrays.schedule import refuse_elsewhere
from nexus_xr.arrays.uncertainties import called_after_owners
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, NexusFileChangedError, NexusFileError, some, warn_once
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.h5py_handles import is_written_here
from nexus_xr.hdf5.io.locks import alone, wait_until_closed
from nexus_xr.hdf5.io.writers import refuse_growing
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.writing.atomic_file import failing
from nexus_xr.hdf5.writing.chunk_writer import Region, WrittenDataset
from nexus_xr.hdf5.writing.writable_file import closing_file, is_without_room, open_present
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.content import Field
from nexus_xr.nexus.rules.errors import owner_of_errors
from nexus_xr.nexus.rules.reserved import recorded_dtype, without_marks
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Described, Opening, describe_with
from nexus_xr.opening.session import assemble
from nexus_xr.opening.times import other_meaning
from nexus_xr.writing.fields.blockwise import LazyVariable
from nexus_xr.writing.fields.casting import cast, may_become
from nexus_xr.writing.fields.comparison import first_difference
from nexus_xr.writing.fields.variables import with_true_errors
from nexus_xr.writing.storing import storing

from .growth import names_in, refuse_others, text_of
from .targets import group_with, known

# libhdf5 opens no file for writing that the same process has open for reading.
_opening = threading.Lock()


@dataclass(frozen=True)
class _Part:
    """Values for a region of a dataset."""

    path: str
    region: Region
    values: Any


@dataclass(frozen=True)
class _Plan:
    """What goes where, and the uncertainties of it that stay as they are."""

    parts: list[_Part]
    errors_left: Diagnostics


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
        The values, as long as the region in its dimensions and as the file's in all others. Variables that have none of
        the region's dimensions have to be the same as there, rounded as they would be written; scalar coordinates that
        it hasn't are left out.
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
        The file has no such variables, or several of them, or others than are to be the same, or the region doesn't
        fit; nothing has been written then.
    NexusFileError
        There is no room for all of it; chunks that were written before have the new values, all others the old ones.
    """
    wanted = _wanted(obj, os.fspath(path), region)
    resolved = os.path.realpath(path)
    with _opening, alone(resolved):  # not while it is copied or replaced
        refuse_growing(resolved)
        if not is_written_here(resolved):  # by another thread, at a region of its own
            wait_until_closed(resolved)
        plan = _planned(wanted, os.fspath(path), region, entry)
        warn_once(f"{os.fspath(path)} is written, but not all its uncertainties", plan.errors_left)
        file = open_present(path)
    with closing_file(file, path), _told_of_the_rest():
        targets = [_target(file, part.path, num_threads) for part in plan.parts]
        for part, target in zip(plan.parts, targets, strict=True):
            if hasattr(part.values, "dask"):
                import dask

                dask.compute(storing(part.values, target, [first for first, _ in part.region]))
            else:
                target.write(part.region, np.asarray(part.values, target.dtype))


@contextmanager
def _told_of_the_rest() -> Iterator[None]:
    """Have it said what becomes of a region of which there is no room for a part."""
    try:
        yield
    except NexusFileError as error:
        if isinstance(error.__cause__, OSError | RuntimeError) and is_without_room(error.__cause__):
            raise NexusFileError(
                f"{error}; what of the region was written before has its new values, and all else those that it had: "
                "make room, and write it once more"
            ) from error.__cause__
        raise


def _target(file: h5py.File, path: str, num_threads: int | None) -> WrittenDataset:
    with failing(file.filename, path, "can't be written to"):
        return WrittenDataset(file[path], num_threads, is_new=False)


def check_region(
    obj: xr.DataArray | xr.Dataset, path: str | os.PathLike[str], region: Mapping[Any, slice], entry: str | None = None
) -> None:
    """Raise the error that `write_region` would raise before it writes."""
    with _opening:
        _planned(_wanted(obj, os.fspath(path), region), os.fspath(path), region, entry)


def _wanted(obj: xr.DataArray | xr.Dataset, path: str, region: Mapping[Any, slice]) -> xr.Dataset:
    """The variables of which a part is to be written, and those that are to be the same in the file."""
    dataset = obj.to_dataset(name=obj.name or "data") if isinstance(obj, xr.DataArray) else obj
    dataset = edges_to_bounds(with_true_errors(called_after_owners(dataset), obj.attrs, path))
    there_are = f"there are {', '.join(map(repr, dataset.dims))}"
    if not isinstance(region, Mapping):
        raise NexusError(
            f"region={region!r}: expected a slice for each dimension of which a part is given; {there_are}"
        )
    unknown = [repr(dim) for dim in region if dim not in dataset.dims]
    if unknown or not region:
        raise NexusError(f"{path}: region: no variable to write has a dimension {', '.join(unknown)}; {there_are}")
    refuse_elsewhere(path, (each._data for each in dataset.variables.values()))
    return dataset


def _planned(dataset: xr.Dataset, path: str, region: Mapping[Any, slice], entry: str | None) -> _Plan:
    while True:
        file = File(path)
        try:
            return describe_with(partial(_plan, dataset, region, entry), file, Options())
        except NexusError as error:
            try:
                file.check()
            except NexusFileChangedError:
                continue  # another thread has closed it meanwhile, with a region of its own
            raise error


def _plan(dataset: xr.Dataset, region: Mapping[Any, slice], entry: str | None, opening: Opening) -> _Plan:
    scalars = {str(name) for name, coordinate in dataset.coords.variables.items() if not coordinate.dims}
    names = [name for name in names_in(dataset) if name not in scalars]
    there = _Stored(opening, group_with(names, entry, opening, if_any=scalars))
    dataset = there.with_names_of_bounds(dataset)
    parts = []
    for name in map(str, dataset.variables):
        # Bounds are told by what they belong to, and numbers beside all, as selections leave them, tell nothing there.
        if name not in there.variables:
            continue
        try:
            variable = accepted(dataset.variables[name])
        except ValueError as error:
            raise NexusError(f"{there.where(name)}: {error}") from None
        there.check(name, variable, dataset.variables)
        if not set(variable.dims) & region.keys():
            there.check_same(name, variable, dataset.variables, region)
        elif there.variables[name].bounds is not None:
            there.check_edges(name, dataset.variables, region)
        else:
            parts.append(there.part(name, variable, region))
    return _Plan(parts, there.errors_left(dataset, region))


class _Stored:
    """What a group of the file has."""

    def __init__(self, opening: Opening, described: Described) -> None:
        self.variables = known(described)
        self._opening = opening
        self._described = described
        self._fields = described.content.fields

    def where(self, name: str) -> str:
        """What a variable is called in errors."""
        return f"{self._opening.file.name}:{self._path(name)}"

    def _path(self, name: str) -> str:
        return absolute(self._described.group.member_path(self.variables[name].field))

    def _opened(self, name: str) -> xr.Variable:
        """A variable as it opens, with nothing else read."""
        kept = {name, *(owner.name for owner in self.variables.values() if owner.bounds == name)}
        options = replace(self._opening.options, drop_variables=sorted(self.variables.keys() - kept))
        return assemble(replace(self._opening, options=options), self._described).variables[name]

    def with_names_of_bounds(self, dataset: xr.Dataset) -> xr.Dataset:
        """The same with the names that the file has for CF bounds that are fields of their own."""
        renamed: dict[Any, str] = {}
        for name in self.variables.keys() & dataset.variables.keys():
            made, own = bounds_named(dataset.variables[name]), text(self._attributes(name).get("bounds"))
            if made not in dataset.variables or made in self.variables or own not in self.variables:
                continue
            dims = dict(zip(dataset.variables[made].dims[-1:], self.variables[own].dims[-1:], strict=False))
            renamed |= {old: new for old, new in {made: own, **dims}.items() if old != new}
        taken = {*dataset.variables, *dataset.dims} & set(renamed.values())
        return dataset if taken else dataset.rename(renamed)

    def _attributes(self, name: str) -> dict[str, Any]:
        field = self._fields[self.variables[name].field]
        return without_marks(field.attributes, field.dtype)

    def check(self, name: str, variable: xr.Variable, others: Mapping[Any, xr.Variable]) -> None:
        """Raise unless a variable means the same as in the file, and has edges of bins only where it has them there."""
        where, stored = self.where(name), self.variables[name]
        named = bounds_named(variable)
        if named in others and named not in self.variables and stored.bounds is None:
            raise NexusError(f"{where}: {name!r} has edges of bins, and in the file values; leave the edges out")
        if (other := other_meaning(variable.attrs, self._attributes(name))) is not None:
            raise NexusError(
                f"{where}: the {other.attribute} of {name!r} {other.verb} {other.own!r}, and in the file "
                f"{other.there!r}; convert it"
            )

    def _in_order(self, name: str, variable: xr.Variable) -> xr.Variable:
        """A variable with its dimensions as they are in the file; others are an error."""
        dims = self.variables[name].dims
        if set(map(str, variable.dims)) != set(dims):
            raise NexusError(f"{self.where(name)}: {name!r} has dimensions {variable.dims}, and in the file {dims}")
        return variable.transpose(*dims)

    def check_same(
        self, name: str, variable: xr.Variable, others: Mapping[Any, xr.Variable], region: Mapping[Any, slice]
    ) -> None:
        """Raise unless a variable that has none of the region's dimensions has the values of the file."""
        where, dims = self.where(name), " or ".join(map(repr, region))
        if self.variables[name].bounds is not None and (bounds := others.get(bounds_named(variable))) is not None:
            self.check_edges(name, others, region)
            if same_bits(middles_of(bounds.values), variable.values):  # which those of rounded edges may differ from
                return
        there = self._opened(name)
        here = self._in_order(name, variable)
        if here.shape != there.shape:
            raise NexusError(
                f"{where}: {name!r} has the shape {here.shape}, and in the file {there.shape}, where the region, of "
                f"{dims}, leaves it as it is; leave it out with drop_vars"
            )
        are_texts = there.dtype.kind in "OSU"
        if are_texts != (here.dtype.kind in "OSU") or (here.dtype.kind in "mM") != (there.dtype.kind in "mM"):
            raise NexusError(
                f"{where}: {name!r} is of {here.dtype}, and in the file of {there.dtype}; convert it with astype, or "
                "leave it out with drop_vars"
            )
        rounded = LazyVariable(here, _as_precise(here.dtype, there.dtype))
        try:
            difference = first_difference(rounded, LazyVariable(there), are_texts)
        except NexusError as error:
            raise NexusError(f"{where}: {error}") from None
        refuse_others(where, name, dims, difference)

    def check_edges(self, name: str, others: Mapping[Any, xr.Variable], region: Mapping[Any, slice]) -> None:
        """Raise unless the bins are those of the file, as those beside a region share its outermost edges."""
        where, own = self.where(name), self.variables[name]
        bounds = others.get(bounds_named(others[name]) or "")
        if bounds is None or own.bounds is None:
            raise NexusError(
                f"{where}: {name!r} has edges of bins in the file, and none here; leave it out with drop_vars"
            )
        stored = self._opened(own.bounds)
        *dims, _ = stored.dims
        there = stored.isel({dim: region[dim] for dim in dims if dim in region}).values
        here = bounds.transpose(*dims, ...).values
        with np.errstate(over="ignore"):
            here = here.astype(_as_precise(here.dtype, there.dtype))
        if not np.array_equal(here, there, equal_nan=here.dtype.kind in "fc"):
            raise NexusError(
                f"{where}: the edges of {name!r} are others than in the file, where the bins beside it have them, too; "
                "leave it out with drop_vars"
            )

    def errors_left(self, dataset: xr.Dataset, region: Mapping[Any, slice]) -> Diagnostics:
        """Tell of uncertainties of data that stay as they are beside other values."""
        told = Diagnostics()
        written = {name for name, each in dataset.data_vars.variables.items() if set(each.dims) & region.keys()}
        for owner, name in self._errors().items():
            if owner in written and name not in dataset.variables:
                message = (
                    f"{owner!r} gets other values, beside which these are left as they are unless you write them next, "
                    f"as a variable {name!r} into the same region; or write both at once, the uncertainties given by "
                    "assign_errors, or joined with the values by with_uncertainties"
                )
                told.add(Code.ERRORS_DOUBTFUL, self._path(name), message)
        return told

    def _errors(self) -> dict[str, str]:
        """The variables that are the uncertainties of others, by these."""
        spans = {name: each.dims for name, each in self.variables.items()}
        owners = {name: owner_of_errors(name, spans) for name in self.variables}
        return {owner: name for name, owner in owners.items() if owner is not None}

    def part(self, name: str, variable: xr.Variable, region: Mapping[Any, slice]) -> _Part:
        """Values of a variable as they are stored, and where they go."""
        where, variable_there = self.where(name), self.variables[name]
        field = self._fields[variable_there.field]
        if field.segments:
            raise NexusError(
                f"{where}: {name!r} is made of several datasets, {some(field.segments)}; write into those, with h5py"
            )
        if variable_there.scaling is not None:
            raise NexusError(f"{where}: {name!r} is scaled in the file; write stored numbers with h5py")
        sizes = dict(zip(variable_there.dims, field.shape, strict=True))
        places, values = _placed(name, self._in_order(name, variable), where, sizes, field, region)
        return _Part(self._path(name), places, values)


def _as_precise(own: np.dtype[Any], there: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which values are compared: that of the file, where floats would be rounded to it when written.

    Examples
    --------
    >>> _as_precise(np.dtype("f8"), np.dtype("f4")), _as_precise(np.dtype("f8"), np.dtype("i4"))
    (dtype('float32'), dtype('float64'))
    """
    return there if own.kind in "fc" and own.kind == there.kind else own


def _placed(
    name: str,
    variable: xr.Variable,
    where: str,
    sizes: Mapping[str, int],
    field: Field,
    region: Mapping[Any, slice],
) -> tuple[Region, Any]:
    """Where the values of a variable go, and the values as they are stored there."""
    stored = recorded_dtype(field.attributes, field.dtype) or field.dtype
    is_of_text = is_text(field.dtype) and field.dtype.hasobject
    if not may_become(variable.dtype, stored) or (is_of_text and variable.dtype.kind not in "OSU"):
        are_alike = (variable.dtype.kind in "mM") == (stored.kind in "mM")
        way_out = "convert it with astype" if are_alike else "give times as decode_times=False opens those of the file"
        raise NexusError(f"{where}: {name!r} of {variable.dtype} doesn't fit into {stored}; {way_out}")
    places = tuple(_extent(f"{where}: {dim!r} of {name!r}", dim, size, region) for dim, size in sizes.items())
    found = tuple(last - first for first, last in places)
    if variable.shape != found:
        raise NexusError(f"{where}: {name!r} has the shape {variable.shape}, and its region {found}")
    data = variable.data
    try:
        values = data if data.dtype == stored and stored.kind in "biufc" else cast(data, stored, where)
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
