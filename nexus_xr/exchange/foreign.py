"""Groups of netCDF files and Zarr stores that aren't in this package's flat form, as what `to_nexus` takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, warn_once
from nexus_xr.hdf5.objects.paths import parents_of, path_of_member
from nexus_xr.nexus.rules.reserved import ANCILLARY, COORDINATES

from .foreign_attributes import storable_attributes, storable_tree

# What is larger is written block by block.
_SMALL_BYTES = 16 << 20
_PACKED = {"scale_factor", "add_offset"}
_MASKED = {"_FillValue", "missing_value"}
# Attributes that are true only of the group of data itself.
_OF_DATA = {"NX_class", "signal", "axes", "auxiliary_signals", ANCILLARY, COORDINATES, "default"}


@dataclass(frozen=True)
class ForeignGroups:
    """What a file holds, as xarray opens it.

    Parameters
    ----------
    name
        The file.
    decoded
        Its groups by path, from the root on.
    stored
        The same with numbers as they are stored.
    others
        By group, the arrays that xarray doesn't open with its variables, as fields of metadata.
    """

    name: str
    decoded: Mapping[str, xr.Dataset]
    stored: Mapping[str, xr.Dataset]
    others: Mapping[str, Mapping[str, Any]]

    @property
    def plotted(self) -> list[str]:
        """The groups of data of a copy of a NeXus file, the default plot first; none of other files."""
        found = [path for path, group in self.decoded.items() if _is_of_data(group) and group.data_vars]
        default = self.default
        return sorted(found, key=lambda path: path != default)

    @property
    def default(self) -> str | None:
        """The group that ``@default`` leads to, as far as there are groups of these names."""
        path, group = "/", self.decoded["/"]
        while isinstance(name := group.attrs.get("default"), str):
            path = path_of_member(path, name)
            if (found := self.decoded.get(path)) is None:
                return None
            group = found
            if _is_of_data(group):
                return path
        return None

    def datasets(self) -> list[xr.Dataset]:
        """A Dataset for each group with data, with its metadata as attributes.

        What there is no place for is told by a warning.

        Raises
        ------
        NexusError
            There is none.
        """
        told = Diagnostics()
        found = self._with_storable_attributes(told)
        plotted = found.plotted
        if plotted:
            made = [found._of_copy(path, plotted, told) for path in plotted]
            found._tell_of_rest(plotted, told)
        else:
            made = [found._of_others(path, told) for path, group in found.decoded.items() if group.data_vars]
        if not made:
            raise NexusError(f"{self.name}: holds no data variables; there is nothing to convert")
        warn_once(f"{self.name} is converted, but not as all that it is", told)
        return made

    def _with_storable_attributes(self, told: Diagnostics) -> ForeignGroups:
        """The same with attributes of arrays as HDF5 has them."""
        others = {
            path: {
                name: {**field, "attrs": storable_attributes(field["attrs"], path_of_member(path, name), told)}
                for name, field in fields.items()
            }
            for path, fields in self.others.items()
        }
        decoded = {path: _with_attributes(group, path, told) for path, group in self.decoded.items()}
        stored = {path: _with_attributes(group, path, told) for path, group in self.stored.items()}
        return replace(self, decoded=decoded, stored=stored, others=others)

    def _of_copy(self, path: str, plotted: list[str], told: Diagnostics) -> xr.Dataset:
        """A group of data of a copy of a NeXus file, with all that is in its entry."""
        group, stored = self.decoded[path], self.stored[path]
        raw = {
            name: stored.variables[name]
            for name, variable in group.variables.items()
            if variable.dtype.kind not in "mM" and not _PACKED & stored.variables[name].attrs.keys()
        }
        return _small_in_memory(_with(group, raw).drop_attrs(deep=False)).assign_attrs(self._tree(path, plotted, told))

    def _of_others(self, path: str, told: Diagnostics) -> xr.Dataset:
        """A group with what it inherits: coordinates of its dimensions, and attributes."""
        group, stored, raw = self.decoded[path], self.stored[path], {}
        for name in group.variables:
            variable = stored.variables[name]
            is_long = variable.dtype.kind in "iu" and variable.dtype.itemsize == 8
            if is_long and variable.attrs.keys() & _MASKED and not variable.attrs.keys() & _PACKED:
                raw[name] = variable
                message = "keeps its integers, not all of which floats hold, and the one for what is missing"
                told.add(Code.VALUE_STAYS_MASKED, path_of_member(path, str(name)), message)
        attributes = dict(group.attrs)
        coordinates: dict[Any, xr.Variable] = {}
        for above in parents_of(path):
            attributes = {**self.decoded[above].attrs, **attributes}
            for name, coordinate in self.decoded[above].coords.variables.items():
                fits = all(group.sizes.get(dim) == size for dim, size in coordinate.sizes.items())
                if fits and name not in group.variables and name not in coordinates:
                    coordinates[name] = coordinate
        if path != "/":
            attributes.setdefault("group", path)
        attributes = storable_tree(attributes, path, told)
        return _small_in_memory(_with(group, raw).assign_coords(coordinates)).assign_attrs(attributes)

    def _tree(self, path: str, plotted: list[str], told: Diagnostics) -> dict[str, Any]:
        """The metadata around a group of data: all else of the same entry, as `to_nexus` takes it."""
        entry = _entry_of(path)
        tree: dict[str, Any] = {}
        for other, group in self.decoded.items():
            if other != entry and not other.startswith(f"{entry}/"):
                continue
            members = dict(self.others.get(other, {}))
            attributes = storable_attributes(group.attrs, other, told)
            if other in plotted:
                own = {name: value for name, value in attributes.items() if name not in _OF_DATA}
                attributes = {name: value for name, value in own.items() if not name.endswith("_indices")}
                if not members and not attributes:
                    continue
            else:
                members |= {str(name): field_of(variable) for name, variable in group.variables.items()}
            inner = tree
            for name in other.removeprefix(entry).split("/")[1:]:
                inner = inner.setdefault(name, {})
            inner |= members
            inner["attrs"] = attributes
        return tree

    def _tell_of_rest(self, plotted: list[str], told: Diagnostics) -> None:
        """Tell of arrays that are in no entry with data."""
        entries = {_entry_of(path) for path in plotted}
        for path, group in self.decoded.items():
            if path != "/" and _entry_of(path) in entries:
                continue
            for name in (*group.variables, *self.others.get(path, ())):
                message = "is in no entry with data, for which there is no place; it is left out"
                told.add(Code.VALUE_OF_NO_ENTRY, path_of_member(path, name), message)


def _is_of_data(group: xr.Dataset) -> bool:
    return group.attrs.get("NX_class") == "NXdata" or group.attrs.get("canSAS_class") == "SASdata"


def _entry_of(path: str) -> str:
    return "/" + path.split("/")[1]


def _with_attributes(group: xr.Dataset, path: str, told: Diagnostics) -> xr.Dataset:
    """A group whose arrays have attributes as HDF5 has them."""
    made = group.copy(deep=False)
    for name, variable in made.variables.items():
        variable.attrs = storable_attributes(variable.attrs, path_of_member(path, str(name)), told)
    return made


def _with(group: xr.Dataset, variables: Mapping[Any, xr.Variable]) -> xr.Dataset:
    """A group with some variables as they are stored; how they are packed there is no matter of what is written."""
    coordinates = {name: each for name, each in variables.items() if name in group.coords}
    data = {name: each for name, each in variables.items() if name not in coordinates}
    return group.assign_coords(coordinates).assign(data).drop_encoding()


def _small_in_memory(group: xr.Dataset) -> xr.Dataset:
    """The same with small variables read, so that only large ones are written block by block."""
    small = {name: each.compute() for name, each in group.variables.items() if each.nbytes <= _SMALL_BYTES}
    return group.assign(small) if small else group


def field_of(variable: xr.Variable) -> dict[str, Any]:
    """A variable as a field of metadata, whose values stay dask's where they are."""
    data = variable.data if variable.chunks is not None else np.asarray(variable.values)[()]
    return {"value": data, "attrs": dict(variable.attrs)}
