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
from nexus_xr.arrays.edges_index import EdgesIndex
from nexus_xr.arrays.uncertainties import errors_among, mark, with_uncertainties
from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.storage import Filter, Storage
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.reading.virtual_datasets.found_sources import report_missing
from nexus_xr.hdf5.reading.virtual_datasets.source_storage import SourceStorage, source_storage
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout
from nexus_xr.hdf5.reading.virtual_datasets.virtual_mapping import read_mappings
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.rules.attributes import with_units
from nexus_xr.nexus.rules.content import GroupContent, free_name
from nexus_xr.nexus.rules.nxdata import NXdata
from nexus_xr.nexus.rules.reserved import recorded_dtype, without_marks
from nexus_xr.nexus.rules.scaling import Scaling
from nexus_xr.nexus.rules.variables import Role, Variable

from .arrays import Chunks, DerivedArray, FileArray, ScaledArray, Stored, TypedArray, chunked
from .chunks import chunking
from .times import dates_of

# An index is held in memory; a longer axis stays in the file, and its dimension has no index.
INDEX_BYTES = 32 * 2**20
_COORDINATES = (Role.AXIS, Role.AXIS_ERRORS)


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

    def array(self, name: str, chunks: Chunks, joins_errors: bool) -> xr.DataArray:
        """One of the data, with its uncertainties and those coordinates that span none but its dimensions."""
        errors = errors_among({**self.data, **self.coordinates}).get(name)
        wanted = [name] if errors is None or errors not in self.data else [name, errors]
        dataset = replace(self, data={each: chunked(self.data[each], chunks) for each in wanted}).dataset()
        joined = with_uncertainties(dataset) if errors and joins_errors else dataset.set_coords(wanted[1:])
        return joined[name]


def with_dates(variables: Variables) -> Variables:
    """The same with dates for times, where they can be that."""
    data, coordinates = (
        {
            name: each if (dates := dates_of(each, kind is variables.coordinates)) is None else dates
            for name, each in kind.items()
        }
        for kind in (variables.data, variables.coordinates)
    )
    indexes = dict(variables.indexes)
    for name in indexes:
        if coordinates[name] is not variables.coordinates[name]:
            indexes[name] = index_of(name, np.asarray(coordinates[name].values))
            coordinates |= indexes[name].create_variables({name: coordinates[name]})
    return Variables(data, coordinates, indexes)


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
    assembler = Assembler(content, group, file, mask_and_scale, described.bounds_dim)
    sources = {variable.name: assembler.source(variable) for variable in wanted}
    indexes, without_index = _read_indexes(wanted, sources, assembler, indexes_edges)
    dims = _other_dimensions(described, without_index, group) if without_index else {}
    data: dict[str, xr.Variable] = {}
    coordinates: dict[str, xr.Variable] = {}
    for variable in wanted:
        renamed = replace(variable, dims=tuple(dims.get(dim, dim) for dim in variable.dims)) if dims else variable
        is_coordinate = variable.role in _COORDINATES or variable.name in indexes
        target = coordinates if is_coordinate else data
        target |= assembler.build(renamed, sources[variable.name])
    for name, index in indexes.items():
        coordinates |= index.create_variables({name: coordinates[name]})
    for owner, errors in errors_among(data).items():
        mark(data[owner], data[errors], errors)
    if described.signal in data and described.default_slice is not None:
        shown = zip(data[described.signal].dims, described.default_slice, strict=True)
        data[described.signal].encoding["default_slice"] = {dim: at for dim, at in shown if at is not None}
    return Variables(data, coordinates, indexes)


class Assembler:
    """Makes variables of the fields of one group."""

    def __init__(self, content: GroupContent, group: Group, file: File, mask_and_scale: bool, bounds_dim: str) -> None:
        self.content = content
        self.group = group
        self.file = file
        self.mask_and_scale = mask_and_scale
        self.bounds_dim = bounds_dim
        self._fields: dict[str, Dataset] = {}
        self._arrays: dict[str, LazyArray] = {}

    def field(self, name: str) -> Dataset:
        if name not in self._fields:
            segments = self.content.fields[name].segments  # alike, so that the first speaks for them all
            member = self.group.get(segments[0] if segments else name)
            assert isinstance(member, Dataset), f"{self.group.member_path(name)} was a field when it was described"
            self._fields[name] = member
        return self._fields[name]

    def array(self, name: str) -> LazyArray:
        """The values of a field as they are stored, of the file in which they are."""
        if name not in self._arrays:
            members = map(self.group.get, self.content.fields[name].segments)
            segments = [member for member in members if isinstance(member, Dataset)]
            path = self.group.member_path(name)
            self._arrays[name] = LazyArray.joined(segments, self.file, path) if segments else self._single(name)
        return self._arrays[name]

    def _single(self, name: str) -> LazyArray:
        array, shape = LazyArray.of(self.field(name), self.file), self.content.fields[name].shape
        # The rules may have left off what a writer hasn't added to all fields yet.
        return array if array.shape == shape else replace(array, shape=shape)

    def source(self, variable: Variable) -> Stored:
        """The values of a variable's field, scaled where they are to be; of bin edges, the centres."""
        dataset = self.field(variable.field)
        raw = self.array(variable.field)
        array: LazyArray | ScaledArray = raw
        recorded = recorded_dtype(self.content.fields[variable.field].attributes, dataset.raw_dtype)
        if recorded is not None and variable.bounds is None:
            return TypedArray(raw, recorded)
        if variable.scaling is not None and self.mask_and_scale:
            factor, offset = self.scaling(variable.scaling)
            if (factor, offset) != (1, 0):
                array = ScaledArray(raw, factor, offset)
        if variable.bounds is None:
            return array
        dtype = array.dtype if array.dtype.kind in "fc" else np.dtype(np.float64)
        return DerivedArray(array, centres_of, (*raw.shape[:-1], raw.shape[-1] - 1), dtype)

    def scaling(self, scaling: Scaling) -> tuple[float, float]:
        factor = 1.0 if scaling.factor is None else self._number(scaling.factor, 1.0)
        offset = 0.0 if scaling.offset is None else self._number(scaling.offset, 0.0)
        return factor, offset

    def _number(self, name: str, otherwise: float) -> float:
        try:
            number: int | float = read_whole(self.field(name))
            if not isinstance(number, int | float):
                raise TypeError(f"it is {number!r} and no real number")
            return number
        except AnyHdf5Error as error:
            message = f"can't be read ({error}); nothing is scaled by it"
            self.group.diagnostics.add(Code.SCALING_UNREADABLE, self.group.member_path(name), message)
            return otherwise

    def bounds_of(self, source: DerivedArray) -> DerivedArray:
        """The bounds of the bins whose centres these are."""
        return DerivedArray(source.source, bounds_of, (*source.shape, 2), source.source.dtype)

    def attributes(self, name: str) -> dict[str, Any]:
        """The attributes of a field as its variable has them."""
        return without_marks(with_units(self.content.fields[name].attributes), self.field(name).raw_dtype)

    def build(self, variable: Variable, source: Stored) -> dict[str, xr.Variable]:
        """The variable, and its bounds where it is one of bins."""
        dataset = self.field(variable.field)
        attributes = self.attributes(variable.field)
        raw = self.array(variable.field)
        storage = storage_of(dataset, raw)
        nexus_path = self.group.member_path(variable.field)
        encoding = _encoding(raw, nexus_path, source, storage.filters)
        if variable.bounds is None:
            if raw.shape:
                encoding |= chunking(raw, attributes, storage, variable.dims)
            return {variable.name: _lazy_variable(variable.dims, source, attributes, encoding)}
        assert isinstance(source, DerivedArray)
        both = self.bounds_of(source)
        return {
            variable.name: _lazy_variable(variable.dims, source, {**attributes, "bounds": variable.bounds}, encoding),
            variable.bounds: _lazy_variable((*variable.dims, self.bounds_dim), both, {}, encoding),
        }


def storage_of(dataset: Dataset, raw: LazyArray) -> Storage | SourceStorage:
    """How the values are stored in their file: of a virtual dataset and of segments, how its sources are."""
    file = raw.file
    if raw.layout is not None:
        return source_storage(raw.layout, file)
    if not dataset.is_virtual:
        return dataset.storage
    report_missing(dataset, raw.found_sources, file)
    is_known = dataset.shape == dataset.extent
    mappings = read_mappings(dataset.virtual_mappings, dataset.extent) if is_known else None
    if mappings is None:
        return dataset.storage
    return source_storage(VirtualLayout(dataset.shape, dataset.raw_dtype, np.zeros(()), mappings), file)


def _encoding(raw: LazyArray, path: str, source: Stored, filters: tuple[Filter, ...]) -> dict[str, Any]:
    """Where a variable comes from and how it is stored, under the names that xarray and its writers know."""
    encoding: dict[str, Any] = {
        "source": raw.file.name,
        "source_path": raw.path,
        "nexus_path": path,
        "original_shape": raw.shape,
    }
    dtype = raw.raw_dtype
    if is_text(dtype):
        encoding["dtype"] = str if dtype.kind == "O" else dtype
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
    variables: Iterable[Variable], sources: Mapping[str, Stored], assembler: Assembler, indexes_edges: bool
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
            indexes[variable.name] = _index_with_edges(variable.name, source, indexes_edges)
        except Exception as error:  # reading may fail in nearly any way, by what is broken
            without.append(variable.name)
            message = f"axis {variable.field!r} gives its dimension no index ({error})"
            assembler.group.report(Code.AXIS_WITHOUT_INDEX, message)
    return indexes, without


def _index_with_edges(name: str, source: Stored, indexes_edges: bool) -> PandasIndex:
    if not indexes_edges or not isinstance(source, DerivedArray):
        return index_of(name, np.asarray(source[...]))
    edges = np.asarray(source.source[...])
    return EdgesIndex.around(index_of(name, centres_of(edges).astype(source.dtype, copy=False)), bounds_of(edges))


def index_of(name: str, values: np.ndarray[Any, Any]) -> PandasIndex:
    """The index of a coordinate, which keeps its dtype; a TypeError where its values can't be looked up."""
    dtype = values.dtype
    has_unit_of_pandas = dtype.kind in "mM" and np.datetime_data(dtype)[0] in ("s", "ms", "us", "ns")
    if dtype.kind not in "biufUO" and not has_unit_of_pandas:
        raise TypeError(f"values of type {dtype} can't be looked up")
    # pandas looks up in native byte order and not in half precision; the coordinate keeps the file's dtype.
    native = np.dtype(np.float32) if (dtype.kind, dtype.itemsize) == ("f", 2) else dtype.newbyteorder("=")
    return PandasIndex(values.astype(native, copy=False), name, coord_dtype=dtype)


def _other_dimensions(described: NXdata, axes: Iterable[str], group: Group) -> dict[str, str]:
    """Names for the dimensions that can't bear the name of their axis, as for dimensions without one."""
    members = {name for name, _, _ in group.members()}
    dims = list(dict.fromkeys(dim for variable in described.variables for dim in variable.dims))
    return {axis: free_name(f"dim_{dims.index(axis)}", members) for axis in axes}
