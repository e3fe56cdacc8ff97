"""From xarray's variables to fields that are to be written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.indexes import PandasMultiIndex

from nexus_xr.arrays.accepted import WHY_LENGTHS_UNKNOWN, accepted, has_unknown_lengths
from nexus_xr.arrays.edges import bounds_in, bounds_named, edges_to_bounds, edges_told, why_no_edges
from nexus_xr.arrays.stale_bounds import stale_bounds, without_stale_bounds
from nexus_xr.arrays.uncertainties import WHY_DOUBTFUL, doubtful, without_uncertainties
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, listed, warn_once
from nexus_xr.hdf5.objects.datatypes import has_references
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.objects.text import is_unicode
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.chunk_writer import Region, WrittenDataset
from nexus_xr.hdf5.writing.copying import Copied
from nexus_xr.hdf5.writing.creation import (
    SMALL_BYTES,
    Compression,
    default_chunks,
    filters_named,
    filters_of_source,
    fitting_chunks,
    growing_chunks,
)
from nexus_xr.nexus.output.entry import DataField
from nexus_xr.nexus.output.nodes import FieldNode, attributes_of, why_no_name
from nexus_xr.nexus.output.storable import is_ragged, raw_dtype, storable, why_too_many
from nexus_xr.nexus.rules.attributes import units_of_time
from nexus_xr.nexus.rules.errors import owner_of_errors
from nexus_xr.nexus.rules.reserved import ADDED, DIMENSIONS, DTYPE, OFFSET, SCALING_FACTOR, owner_of
from nexus_xr.nexus.rules.variables import Role
from nexus_xr.opening.arrays import file_array
from nexus_xr.opening.chunks import block_shape
from nexus_xr.signatures import check_types
from nexus_xr.writing.defaults import KEEP

from .casting import cast, may_become


@dataclass(frozen=True)
class Storing:
    """How arrays are to be stored: what the user asks for."""

    compression: Compression
    compression_opts: Any = None
    shuffle: bool | None = None
    chunks: Sequence[int] | Mapping[Any, int] | None = None
    #: Of one variable: the type of what is stored, where it is another than that of the values.
    dtype: Any = None
    #: Of one variable: which of its dimensions have no end.
    growing: tuple[bool, ...] = ()
    unlimited_dims: Collection[str] = ()
    encoding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_types(self)
        for name in self.encoding:
            self.of(name, ())
        try:
            np.dtype(self.dtype)
        except TypeError as error:
            raise NexusError(f"dtype={self.dtype!r}: {error}") from None
        if self.compression == KEEP:
            if self.compression_opts is not None or self.shuffle is not None:
                raise NexusError("compression_opts and shuffle need compression to be named")
        else:
            filters_named(self.compression, self.compression_opts, self.shuffle)
        lengths = self.chunks.values() if isinstance(self.chunks, Mapping) else self.chunks
        if lengths is not None and (
            isinstance(lengths, str)
            or not isinstance(lengths, Iterable)
            or not all(isinstance(each, int | np.integer) and each > 0 for each in lengths)
        ):
            raise NexusError(
                f"chunks={self.chunks!r}: expected a length of 1 or more for each dimension, or by dimension"
            )

    def of(self, name: Any, dims: Sequence[Any]) -> Storing:
        """How one variable is to be stored: as its own encoding says, and else as all are."""
        given = self.encoding.get(name, {})
        if not isinstance(given, Mapping) or not given.keys() <= _ENCODING.keys():
            raise NexusError(
                f"encoding of {name!r}: {given!r}: expected a dictionary with any of {', '.join(_ENCODING)}"
            )
        own = {_ENCODING[key]: value for key, value in given.items()}
        if "compression" in own:  # whose options are its own
            own = {"compression_opts": None, "shuffle": None, **own}
        growing = tuple(dim in self.unlimited_dims for dim in dims)
        try:
            return replace(self, **own, growing=growing if any(growing) else (), encoding={})
        except NexusError as error:
            raise NexusError(f"encoding of {name!r}: {error}") from None

    def as_encoded(self, variable: xr.Variable) -> Storing:
        """How a variable is to be stored in the type that its encoding asks for, where nothing else is asked for.

        The encoding of what was opened from a NeXus file tells of that file, and asks for nothing.
        """
        asked = None if _comes_from_file(variable) else variable.encoding.get("dtype")
        if asked is None or self.dtype is not None or not {np.dtype(asked).kind, variable.dtype.kind} <= set("iuf"):
            return self
        return replace(self, dtype=asked)

    def check(self, datasets: Sequence[xr.Dataset]) -> None:
        """Find chunks, dimensions and encodings that are meant for other arrays than these.

        Raises
        ------
        NexusError
            Chunks name a dimension that there isn't, or are for another number of them than any array has; a variable
            or a dimension isn't there.
        """
        arrays = {str(name): array.dims for dataset in datasets for name, array in dataset.data_vars.items()}
        if not arrays:
            return
        _check_chunks(self.chunks, arrays)
        variables = {str(name): array.dims for dataset in datasets for name, array in dataset.variables.items()}
        dims = {dim for dims in variables.values() for dim in dims}
        for name in self.encoding:
            if name not in variables:
                raise NexusError(f"encoding: there is no variable {name!r}; there are {', '.join(variables)}")
            _check_chunks(self.of(name, ()).chunks if self.encoding[name] else None, {name: variables[name]})
        if unknown := [dim for dim in self.unlimited_dims if dim not in dims]:
            there_are = ", ".join(map(repr, sorted(map(str, dims))))
            raise NexusError(f"unlimited_dims: no variable has a dimension {unknown[0]!r}; there are {there_are}")

    @property
    def keeps_source(self) -> bool:
        return self.compression == KEEP and self.chunks is None and self.dtype is None and not self.growing

    def filters(self, variable: xr.Variable) -> tuple[Filter, ...]:
        """The filters of a variable: those asked for, else those of its source, else gzip."""
        if self.compression != KEEP:
            return filters_named(self.compression, self.compression_opts, self.shuffle)
        encoding = variable.encoding
        if "hdf5_filters" in encoding:
            own = filters_of_source([Filter(**step) for step in encoding["hdf5_filters"]])
            return filters_named("gzip") if own is None else own
        return () if _comes_from_file(variable) else filters_named("gzip")

    def chunk_shape(self, variable: xr.Variable) -> tuple[int, ...] | None:
        """The chunks of a variable: those asked for, else those of its source, else whole frames."""
        if isinstance(self.chunks, Mapping):
            if any(dim in self.chunks for dim in variable.dims):
                asked = [int(self.chunks.get(dim, size)) for dim, size in self._sizes(variable)]
                return self._within(asked, variable)
        elif self.chunks is not None and len(self.chunks) == variable.ndim:
            return self._within(list(map(int, self.chunks)), variable)
        own = variable.encoding.get("chunksizes")
        if own and (fitting := fitting_chunks(own, variable.shape)):
            return fitting
        if self.growing:
            return growing_chunks(variable.shape, variable.dtype.itemsize, self.growing)
        is_contiguous = _comes_from_file(variable) and self.compression == KEEP
        return None if is_contiguous else default_chunks(variable.shape, variable.dtype.itemsize)

    def _within(self, asked: Sequence[int], variable: xr.Variable) -> tuple[int, ...] | None:
        """Chunks that are no longer than the array, but along dimensions that grow."""
        growing = self.growing or (False,) * variable.ndim
        lengths = zip(asked, variable.shape, growing, strict=True)
        chunks = [chunk if grows or not size else min(chunk, size) for chunk, size, grows in lengths]
        return fitting_chunks(chunks, variable.shape)

    def _sizes(self, variable: xr.Variable) -> Iterator[tuple[Any, int]]:
        """Lengths of dimensions; one that grows has an element, if only in a while."""
        for (dim, size), grows in zip(variable.sizes.items(), self.growing or (False,) * variable.ndim, strict=True):
            yield dim, max(size, int(grows))


# What the encoding of a variable may say, also by the names that xarray has for it.
_ENCODING = {
    "chunks": "chunks",
    "chunksizes": "chunks",
    "compression": "compression",
    "compression_opts": "compression_opts",
    "shuffle": "shuffle",
    "dtype": "dtype",
}


def _check_chunks(chunks: Sequence[int] | Mapping[Any, int] | None, arrays: Mapping[str, tuple[Any, ...]]) -> None:
    if chunks is None:
        return
    if isinstance(chunks, Mapping):
        fits = chunks.keys() <= {dim for dims in arrays.values() for dim in dims}
    else:
        fits = any(len(dims) == len(chunks) for dims in arrays.values())
    if not fits:
        raise NexusError(
            f"chunks={chunks!r}: the arrays to write have other dimensions:\n"
            + listed(f"{name}: {dims}" for name, dims in arrays.items())
        )


# What a variable was in the file that it comes from, where it comes from one, by which others are shown with it.
_PLOTTED = (None, Role.SIGNAL.value, Role.AUXILIARY.value)
# By which an encoding asks for numbers from which the values are computed.
_PACKING = {"scale_factor", "add_offset"}


def _comes_from_file(variable: xr.Variable) -> bool:
    return "nexus_path" in variable.encoding


@dataclass(frozen=True, eq=False)
class LazyVariable:
    """The values of a variable that are neither in memory nor dask's, block by block."""

    variable: xr.Variable
    #: The type that they become, where it is another.
    stored: np.dtype[Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.variable.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.variable.dtype)
        return self.stored or dtype

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = cast(np.asarray(self.variable[key].values), self.dtype)
        return values


def with_true_errors(dataset: xr.Dataset, tree: Mapping[Any, Any], path: str) -> xr.Dataset:
    """A Dataset with those uncertainties that are its variables', which are variables of their own."""
    dataset = without_uncertainties(dataset)
    doubts = doubtful(dataset, tree)
    told = Diagnostics()
    for owner, name in doubts.items():
        told.add(Code.ERRORS_DOUBTFUL, f"{path}/{name}", f"{WHY_DOUBTFUL.format(owner)}; left it out")
    warn_once(f"{path} is written, but not all its uncertainties", told)
    return dataset.drop_vars(doubts.values())


def signal_of(dataset: xr.Dataset) -> str | None:
    """The data variable that is plotted: the first that is neither the uncertainties nor the bounds of a variable.

    Where there is no such one it is the first that isn't made part of another; None where there is none either.

    Raises
    ------
    NexusError
        A variable has a name that is no text.
    """
    if odd := [name for name in dataset.variables if not isinstance(name, str)]:
        raise NexusError(f"{odd[0]!r}: the name of a variable is no text; rename it")
    spans = {str(name): variable.dims for name, variable in dataset.variables.items()}
    own = {str(name): spans[str(name)] for name in dataset.data_vars}
    bounds = {named for variable in dataset.variables.values() if (named := bounds_named(variable)) is not None}
    plain = (name for name in own if name not in bounds and owner_of_errors(name, spans) is None)
    if (found := next(plain, None)) is not None:
        return found
    edges = (edges_told(dataset, name) for name in dataset.variables) if bounds else ()
    parts = {found[0] for found in edges if found is not None}
    return next((name for name in own if name not in parts and owner_of_errors(name, own) is None), None)


def fields_of(dataset: xr.Dataset, path: str, storing: Storing, diagnostics: Diagnostics) -> dict[str, DataField]:
    """The fields of a Dataset: each variable, with the edges of bins put together again from their bounds."""
    fields: dict[str, DataField] = {}
    indexed = {name for name, index in dataset.xindexes.items() if bounds_in(index) is not None}
    stale = stale_bounds(dataset)
    dataset = edges_to_bounds(without_stale_bounds(dataset, stale))
    edges = {name: found for name in _may_have_edges(dataset) if (found := edges_told(dataset, name))}
    lost = stale.keys() | {name for name in dataset.coords if _names_absent_bounds(dataset, name)}
    _tell_of_bins(path, {name: _why_apart(dataset, name) for name in indexed - edges.keys()}, lost)
    dropped = {bounds for bounds, _ in edges.values()}
    for name, variable in dataset.variables.items():
        where = f"{path}/{name}"
        if name in dropped:
            continue
        if (reason := why_no_name(name) or _why_no_dimensions(variable.dims)) is not None:
            diagnostics.add(Code.NAME_INVALID, where, reason)
            continue
        if (owner := _scaled_by(name, variable, dataset)) is not None:
            message = f"NeXus scales {owner!r} by a field of that name; rename it"
            diagnostics.add(Code.NAME_SCALES, where, message)
            continue
        if isinstance(dataset.xindexes.get(name), PandasMultiIndex):
            diagnostics.add(Code.INDEX_OF_LEVELS, where, "has an index of several levels; use reset_index")
            continue
        try:
            variable = accepted(variable)
        except ValueError as error:
            diagnostics.add(Code.VALUE_UNSTORABLE, where, str(error))
            continue
        attributes = dict(variable.attrs)
        if name in edges or name in lost:
            attributes.pop("bounds", None)
        if name in edges:
            variable = xr.Variable((*variable.dims[:-1], f"{name}_edges"), edges[name][1])
        dims = dataset.variables[name].dims
        node = field_of(variable, attributes, where, storing.of(str(name), dims).as_encoded(variable), diagnostics)
        if node is not None:
            shown_at = _shown_at(dataset.variables[name])
            is_plotted = dataset.variables[name].encoding.get("nexus_role") in _PLOTTED
            fields[str(name)] = DataField(node, tuple(map(str, dims)), name in dataset.coords, shown_at, is_plotted)
    return fields


def _shown_at(variable: xr.Variable) -> dict[str, int]:
    """Where a plot shows it first, by its dimensions; nowhere where other positions were selected since."""
    told = variable.encoding.get("default_slice", {})
    is_whole = sorted(variable.encoding.get("original_shape", variable.shape)) == sorted(variable.shape)
    fits = all(dim in variable.dims and -variable.sizes[dim] <= at < variable.sizes[dim] for dim, at in told.items())
    return {str(dim): int(at) for dim, at in told.items()} if is_whole and fits else {}


def _why_no_dimensions(dims: Iterable[Any]) -> str | None:
    """Why names of dimensions, which are stored as text, can't be, None where they can."""
    odd = next((name for name in map(str, dims) if "\0" in name or not is_unicode(name)), None)
    return None if odd is None else f"its dimension {odd!r} has a name that can't be stored; rename it"


def _may_have_edges(dataset: xr.Dataset) -> Iterable[Any]:
    """The variables whose bins edges would tell: those along data, by whose lengths it is seen that they are edges."""
    spanned = {dim for variable in dataset.data_vars.values() for dim in variable.dims}
    return [name for name, each in dataset.variables.items() if not spanned or spanned.issuperset(each.dims)]


def _names_absent_bounds(dataset: xr.Dataset, name: Any) -> bool:
    named = bounds_named(dataset.variables[name])
    return named is not None and named not in dataset.variables


def _why_apart(dataset: xr.Dataset, name: Any) -> str:
    if name not in _may_have_edges(dataset):
        return "no data spans its bins"
    return why_no_edges(dataset, name)


def _tell_of_bins(path: str, apart: Mapping[Any, str], lost: Iterable[Any]) -> None:
    """Warn of edges that can't be written as such."""
    diagnostics = Diagnostics()
    for name, why in sorted(apart.items(), key=str):
        diagnostics.add(Code.BINS_APART, f"{path}/{name}", f"{why}; wrote the two bounds of each")
    for name in sorted(lost, key=str):
        message = (
            "what was computed has no edges of its bins any more; wrote its values alone (see assign_edges, or "
            "bounds_to_edges where bounds beside it are right)"
        )
        diagnostics.add(Code.BOUNDS_MISSING, f"{path}/{name}", message)
    warn_once(f"{path} is written, but not all bins as edges", diagnostics)


def _scaled_by(name: Any, variable: xr.Variable, dataset: xr.Dataset) -> str | None:
    """The variable that would be scaled by another's value when both are fields of a group."""
    owners = (owner_of(str(name), suffix, dataset.variables) for suffix in (SCALING_FACTOR, OFFSET))
    return next((owner for owner in owners if owner is not None), None) if variable.size == 1 else None


def field_of(
    variable: xr.Variable, attributes: Mapping[str, Any], where: str, storing: Storing, diagnostics: Diagnostics
) -> FieldNode | None:
    """The field of a variable; None where it can't be stored, which the diagnostics then say."""
    if has_unknown_lengths(variable):
        diagnostics.add(Code.LENGTH_UNKNOWN, where, WHY_LENGTHS_UNKNOWN)
        return None
    if (reason := why_too_many(variable.ndim)) is not None:
        diagnostics.add(Code.VALUE_UNSTORABLE, where, reason)
        return None
    stored = attributes_of(attributes, where, diagnostics)
    reserved = {ADDED, DIMENSIONS, DTYPE} & stored.keys()
    if reserved:
        message = f"attribute {reserved.pop()!r} has a meaning of its own here; rename it"
        diagnostics.add(Code.ATTRIBUTE_RESERVED, where, message)
    source = file_array(variable)
    if _PACKING & variable.encoding.keys() and (source is not None or not _comes_from_file(variable)):
        message = (
            "its encoding asks for packed values, which are not written; have it written as it is: drop_encoding()"
        )
        diagnostics.add(Code.VALUE_UNSTORABLE, where, message)
        return None
    kind = variable.dtype.kind
    has_links = source is not None and has_references(source.raw_dtype)  # whose copies would lead nowhere
    copied = source if storing.keeps_source and not has_links else None
    values: Any
    if kind in "mM":
        variable, time = _as_integers(variable, stored, where, diagnostics)
        stored = {**stored, **time}
    elif kind == "U" and copied is None:
        stored = {**stored, DTYPE: variable.dtype.str}
    chunks = storing.chunk_shape(variable)
    if copied is not None:
        values = Copied(copied)
        chunks = chunks or default_chunks(copied.shape, copied.dtype.itemsize)
    else:
        try:
            values = _stored_as(storable(source) if has_links else _values_of(variable), storing.dtype, kind, where)
        except ValueError as error:
            diagnostics.add(Code.VALUE_UNSTORABLE, where, str(error))
            return None
    filters = storing.filters(variable)
    if raw_dtype(values).hasobject or not chunks:  # of text only where it lies would be filtered
        filters = ()
    return FieldNode(values, stored, chunks, filters, storing.growing)


def _stored_as(values: Any, wanted: Any, kind: str, where: str) -> Any:
    """Numbers in the type that is asked for, as they come."""
    if wanted is None:
        return values
    dtype: np.dtype[Any] = np.dtype(wanted)
    if kind not in "biufc" or not may_become(values.dtype, dtype):
        raise ValueError(f"{values.dtype} is not to be stored as {dtype}; convert it with astype, or drop_encoding()")
    if isinstance(values, LazyVariable):
        return LazyVariable(values.variable, dtype)
    return cast(values, dtype, where)


def _values_of(variable: xr.Variable) -> Any:
    """The values of a variable: an array where they are in memory or few, else what gives them later."""
    data: Any = variable._data
    kind = variable.dtype.kind
    if hasattr(data, "dask"):
        return storable(data)
    if variable._in_memory or variable.nbytes <= SMALL_BYTES or variable.dtype.hasobject:
        values = storable(variable.values.astype(object) if kind == "U" else np.asarray(variable.values))
        if is_ragged(values):
            raise ValueError("its elements are of several lengths, which make no array; pad them")
        return values
    return LazyVariable(variable)


# Of dates that xarray has as seconds where they are in memory.
_LONG_UNITS = ("Y", "M", "W")


def _as_integers(
    variable: xr.Variable, attributes: Mapping[str, Any], where: str, diagnostics: Diagnostics
) -> tuple[xr.Variable, dict[str, Any]]:
    """Dates and lengths of time as integers, and the attributes that tell what they stand for."""
    data: Any = variable._data
    if hasattr(data, "dask") and variable.dtype.kind == "M" and np.datetime_data(variable.dtype)[0] in _LONG_UNITS:
        variable = variable.copy(data=data.astype("M8[s]"))
    units = units_of_time(variable.dtype)
    if "units" in attributes or units is None:
        unit = np.datetime_data(variable.dtype)[0]
        message = f"dates or times can't have an attribute 'units' of their own, nor the unit {unit!r}"
        diagnostics.add(Code.TIME_HAS_UNITS, where, message)
        return variable, {}
    data = variable._data if hasattr(variable._data, "dask") else np.asarray(variable.values)
    native = variable.dtype.newbyteorder("=")
    integers = xr.Variable(variable.dims, data.astype(native).view(np.int64), encoding=variable.encoding)
    return integers, {"units": units, DTYPE: native.name}


def fill(target: WrittenDataset, values: Any, begin: Sequence[int] | None = None) -> None:
    """Write all values into a dataset, from some element on; those that aren't in memory block by block."""
    begin = begin or (0,) * len(values.shape)
    if isinstance(values, np.ndarray):
        target.write(tuple((at, at + size) for at, size in zip(begin, values.shape, strict=True)), values)
        return
    for region in blocks(values, target.chunks):
        there = tuple((at + first, at + last) for at, (first, last) in zip(begin, region, strict=True))
        target.write(there, np.asarray(values[tuple(slice(*each) for each in region)]))


def blocks(values: LazyArray | LazyVariable, chunks: tuple[int, ...] | None) -> Iterable[Region]:
    """Regions that cover an array, of whole chunks and of as much as is worth a read."""
    block = block_shape(values.shape, max(values.dtype.itemsize, 1), chunks)
    ranges = (range(0, size, length) for size, length in zip(values.shape, block, strict=True))
    for corner in product(*ranges):
        yield tuple((at, min(at + length, size)) for at, length, size in zip(corner, block, values.shape, strict=True))
