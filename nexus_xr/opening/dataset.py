"""From a description of data to an xarray Dataset whose values stay in the file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing
from xarray.indexes import PandasIndex

from nexus_xr.arrays.bins import bounds_of, centres_of
from nexus_xr.arrays.edges import mark_as_made
from nexus_xr.arrays.edges_index import EdgesIndex, centres_alone
from nexus_xr.arrays.uncertainties import errors_among, mark, why_not_in_units, with_uncertainties
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusFileChangedError, SystemFaultError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.nexus.rules.content import GroupContent, free_name
from nexus_xr.nexus.rules.nxdata import NXdata
from nexus_xr.nexus.rules.variables import Variable

from .arrays import Chunks, FileArray, chunked
from .chunks import chunking
from .fields.group_fields import GroupFields, storage_of
from .fields.stored import DerivedArray, ScaledArray, Stored, TypedArray

# An index is held in memory; a longer axis stays in the file, and its dimension has no index.
INDEX_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Variables:
    """What a Dataset, or a DataArray, is made of.

    Parameters
    ----------
    data, coordinates
        The variables by name.
    indexes
        The indexes of coordinates, by their names.
    """

    data: Mapping[str, xr.Variable] = field(default_factory=dict)
    coordinates: Mapping[str, xr.Variable] = field(default_factory=dict)
    indexes: Mapping[str, PandasIndex] = field(default_factory=dict)

    def each(self) -> Iterator[xr.Variable]:
        """All variables."""
        yield from self.data.values()
        yield from self.coordinates.values()

    def dataset(self) -> xr.Dataset:
        """All of it."""
        # A Dataset that is given data aligns them, which takes several times as long, and there is nothing to align.
        each = xr.Coordinates({**self.data, **self.coordinates}, indexes=self.indexes)
        return each.to_dataset().reset_coords(list(self.data))

    def array(self, name: str, chunks: Chunks, joins_errors: bool, diagnostics: Diagnostics) -> xr.DataArray:
        """One of the data, with its uncertainties and those coordinates that span none but its dimensions."""
        variables = {**self.data, **self.coordinates}
        errors = errors_among(variables).get(name)
        wanted = [name] if errors is None or errors not in self.data else [name, errors]
        dataset = replace(self, data={each: chunked(self.data[each], chunks) for each in wanted}).dataset()
        if errors is None or not joins_errors:
            return dataset.set_coords(wanted[1:])[name]
        if (reason := why_not_in_units(variables, name, errors)) is not None:
            path = str(variables[errors].encoding["nexus_path"])
            diagnostics.add(Code.ERRORS_OTHER_UNITS, path, f"isn't joined with its values: {reason}")
            return dataset.set_coords(wanted[1:])[name]
        return with_uncertainties(dataset)[name]


def variables_of(
    described: NXdata,
    content: GroupContent,
    group: Group,
    file: File,
    mask_and_scale: bool = True,
    drop_variables: Collection[str] = (),
    indexes_edges: bool = True,
) -> Variables:
    """Build the variables of a described group; only index coordinates are read.

    Parameters
    ----------
    described
        What the data rules found.
    content
        What they found it in.
    group
        The open group.
    file
        The file, which the arrays keep to read from later.
    mask_and_scale
        Whether ``FIELD_scaling_factor`` and ``FIELD_offset`` are applied.
    drop_variables
        Names of variables to leave out.
    indexes_edges
        Whether the index of an axis of bin edges knows these.
    """
    wanted = [variable for variable in described.variables if variable.name not in drop_variables]
    fields = GroupFields(content, group, file, mask_and_scale)
    sources = {variable.name: fields.source(variable) for variable in wanted}
    indexes, without_index = _read_indexes(wanted, sources, fields)
    dims = _other_dimensions(described, without_index, group) if without_index else {}
    data: dict[str, xr.Variable] = {}
    coordinates: dict[str, xr.Variable] = {}
    for variable in wanted:
        renamed = replace(variable, dims=tuple(dims.get(dim, dim) for dim in variable.dims)) if dims else variable
        is_coordinate = variable.role.is_coordinate or variable.name in indexes
        target = coordinates if is_coordinate else data
        target |= _built(fields, renamed, sources[variable.name], described.bounds_dim)
    for name, index in indexes.items():
        coordinates |= index.create_variables({name: coordinates[name]})
        if isinstance(index, EdgesIndex):
            mark_as_made(coordinates[coordinates[name].attrs["bounds"]], index.bounds)
    if not indexes_edges:
        indexes = {name: centres_alone(index) for name, index in indexes.items()}
    for each in (data, coordinates):
        for owner, errors in errors_among(each).items():
            mark(each[owner], each[errors], errors)
    if described.signal in data and described.default_slice is not None:
        shown = zip(data[described.signal].dims, described.default_slice, strict=True)
        data[described.signal].encoding["default_slice"] = {dim: at for dim, at in shown if at is not None}
    return Variables(data, coordinates, indexes)


def _built(fields: GroupFields, variable: Variable, source: Stored, bounds_dim: str) -> dict[str, xr.Variable]:
    """The variable, and its bounds where it is one of bins."""
    dataset = fields.field(variable.field)
    attributes = fields.attributes(variable)
    raw = fields.array(variable.field)
    storage = storage_of(dataset, raw)
    nexus_path = fields.group.member_path(variable.field)
    encoding = {**_encoding(raw, nexus_path, source, storage.filters), "nexus_role": variable.role.value}
    if variable.bounds is None:
        if raw.shape:
            encoding |= chunking(raw, attributes, storage, variable.dims)
        return {variable.name: _lazy_variable(variable.dims, source, attributes, encoding)}
    assert isinstance(source, DerivedArray)
    bounds = _lazy_variable((*variable.dims, bounds_dim), fields.bounds_of(source), {}, encoding)
    mark_as_made(bounds)
    return {
        variable.name: _lazy_variable(variable.dims, source, {**attributes, "bounds": variable.bounds}, encoding),
        variable.bounds: bounds,
    }


def _encoding(raw: LazyArray, path: str, source: Stored, filters: tuple[Filter, ...]) -> dict[str, Any]:
    """Where a variable comes from and how it is stored, under the names that xarray and its writers know."""
    encoding: dict[str, Any] = {
        "source": raw.file.given_name,
        "source_path": raw.path,
        "nexus_path": path,
        "original_shape": raw.shape,
    }
    dtype = raw.raw_dtype
    if is_text(dtype):
        encoding["dtype"] = str  # of bytes of fixed width, xarray's own writers would make bytes again
    elif dtype.kind in "iufc" and not isinstance(source, TypedArray):
        encoding["dtype"] = np.dtype(dtype.str)
    if isinstance(source, ScaledArray):
        encoding |= {"scale_factor": source.factor, "add_offset": float(source.offset) * float(source.factor)}
    if filters:
        encoding["hdf5_filters"] = tuple(asdict(step) for step in filters)
    return encoding


def _lazy_variable(
    dims: tuple[str, ...], source: Stored, attributes: Mapping[str, Any], encoding: Mapping[str, Any]
) -> xr.Variable:
    return xr.Variable(dims, indexing.LazilyIndexedArray(FileArray(source)), attributes, dict(encoding))


def _read_indexes(
    variables: Iterable[Variable], sources: Mapping[str, Stored], fields: GroupFields
) -> tuple[dict[str, PandasIndex], list[str]]:
    """An index for each variable that names its dimension, and the names of those that can't have one."""
    indexes: dict[str, PandasIndex] = {}
    without: list[str] = []
    for variable in variables:
        if variable.dims != (variable.name,):
            continue
        source = sources[variable.name]
        try:
            if source.shape[0] * source.dtype.itemsize > INDEX_BYTES:
                raise MemoryError(f"it is too long for an index in memory: {source.shape[0]} values")
            indexes[variable.name] = _index_with_edges(variable.name, source)
        except (NexusFileChangedError, SystemFaultError):  # as it has one once it is opened again
            raise
        except Exception as error:  # reading may fail in nearly any way, by what is broken
            without.append(variable.name)
            message = f"axis {variable.field!r} gives its dimension no index ({error})"
            fields.group.report(Code.AXIS_WITHOUT_INDEX, message)
    return indexes, without


def _index_with_edges(name: str, source: Stored) -> PandasIndex:
    if not isinstance(source, DerivedArray):
        return index_of(name, np.asarray(source[...]))
    edges = np.asarray(source.source[...])
    return EdgesIndex.around(index_of(name, centres_of(edges).astype(source.dtype, copy=False)), bounds_of(edges))


def is_looked_up(dtype: np.dtype[Any]) -> bool:
    """Whether a coordinate of this dtype has an index."""
    has_unit_of_pandas = dtype.kind in "mM" and np.datetime_data(dtype)[0] in ("s", "ms", "us", "ns")
    return dtype.kind in "biufUO" or has_unit_of_pandas


def index_of(name: str, values: np.ndarray[Any, Any]) -> PandasIndex:
    """The index of a coordinate, which keeps its dtype; a TypeError where its values can't be looked up."""
    dtype = values.dtype
    if not is_looked_up(dtype):
        raise TypeError(f"values of type {dtype} can't be looked up")
    # pandas looks up in native byte order and not in half precision; the coordinate keeps the file's dtype.
    native = np.dtype(np.float32) if (dtype.kind, dtype.itemsize) == ("f", 2) else dtype.newbyteorder("=")
    return PandasIndex(values.astype(native, copy=False), name, coord_dtype=dtype)


def _other_dimensions(described: NXdata, axes: Iterable[str], group: Group) -> dict[str, str]:
    """Names for the dimensions that can't bear the name of their axis, as for dimensions without one."""
    members = {name for name, _, _ in group.members()}
    dims = list(dict.fromkeys(dim for variable in described.variables for dim in variable.dims))
    return {axis: free_name(f"dim_{dims.index(axis)}", members) for axis in axes}
