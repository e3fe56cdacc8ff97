"""From xarray's variables to fields that are to be written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.indexes import PandasMultiIndex

from nexus_xr.arrays.accepted import WHY_LENGTHS_UNKNOWN, accepted, has_unknown_lengths
from nexus_xr.arrays.announced import as_announced
from nexus_xr.arrays.edges import bounds_in, bounds_named, edges_to_bounds, edges_told, why_no_edges
from nexus_xr.arrays.stale_bounds import stale_bounds, without_stale_bounds
from nexus_xr.arrays.uncertainties import WHY_DOUBTFUL, doubtful, without_uncertainties
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusError, warn_once
from nexus_xr.hdf5.objects.datatypes import has_references
from nexus_xr.hdf5.objects.text import is_unicode
from nexus_xr.hdf5.writing.copying import Copied
from nexus_xr.hdf5.writing.creation import SMALL_BYTES, default_chunks
from nexus_xr.nexus.output.entry import DataField, coordinates_group, data_group
from nexus_xr.nexus.output.nodes import FieldNode, GroupNode, attributes_of, why_no_name
from nexus_xr.nexus.output.storable import is_ragged, raw_dtype, storable, why_too_many
from nexus_xr.nexus.rules.attributes import units_of_time
from nexus_xr.nexus.rules.errors import owner_of_errors
from nexus_xr.nexus.rules.reserved import ADDED, DIMENSIONS, DTYPE, OFFSET, SCALING_FACTOR, owner_of
from nexus_xr.nexus.rules.variables import Role
from nexus_xr.opening.arrays import file_array

from .blockwise import LazyVariable
from .casting import cast, may_become
from .storage import Storing, comes_from_file

# What a variable was in the file that it comes from, where it comes from one, by which others are shown with it.
_PLOTTED = (None, Role.SIGNAL.value, Role.AUXILIARY.value)
# By which an encoding asks for numbers from which the values are computed.
_PACKING = {"scale_factor", "add_offset"}


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
    beside = _beside_data(dataset)
    own = {str(name): variable.dims for name, variable in dataset.data_vars.variables.items()}
    if (found := next((name for name in own if name not in beside), None)) is not None:
        return found
    bounds = {named for variable in dataset.variables.values() if (named := bounds_named(variable)) is not None}
    edges = (edges_told(dataset, name) for name in dataset.coords) if bounds else ()
    parts = {found[0] for found in edges if found is not None}
    return next((name for name in own if name not in parts and owner_of_errors(name, own) is None), None)


def _beside_data(dataset: xr.Dataset) -> set[str]:
    """The variables that belong to others: coordinates, uncertainties and bounds."""
    spans = {str(name): variable.dims for name, variable in dataset.variables.items()}
    bounds = {named for variable in dataset.variables.values() if (named := bounds_named(variable)) is not None}
    errors = {name for name in spans if owner_of_errors(name, spans) is not None}
    return {*map(str, dataset.coords), *bounds, *errors}


def _how_stored(dataset: xr.Dataset, storing: Storing) -> dict[str, Storing]:
    """How each variable is to be stored: the data as it is said, and what belongs to them so that it stays exact."""
    beside = _beside_data(dataset)
    data = dataset.data_vars.variables.items()
    spanned = next((set(each.dims) for name, each in data if str(name) not in beside), set())
    found = {}
    for name, variable in dataset.variables.items():
        is_aside = name in dataset.coords or set(variable.dims) < spanned
        own = storing.of(str(name), variable.dims)
        own = own.aside(variable, storing.own_of(name)) if is_aside else own
        found[str(name)] = own.exact(storing.own_of(name)) if is_aside or str(name) in beside else own
    return found


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
    how_stored = _how_stored(dataset, storing)
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
        node = field_of(variable, attributes, where, how_stored[str(name)].as_encoded(variable), diagnostics)
        if node is not None:
            shown_at = _shown_at(dataset.variables[name])
            is_plotted = dataset.variables[name].encoding.get("nexus_role") in _PLOTTED
            fields[str(name)] = DataField(node, tuple(map(str, dims)), name in dataset.coords, shown_at, is_plotted)
    return fields


def group_of(dataset: xr.Dataset, fields: Mapping[str, DataField], path: str, diagnostics: Diagnostics) -> GroupNode:
    """The group of the fields of a Dataset; of coordinates alone where there is no data, and empty without any."""
    signal = signal_of(dataset)
    if signal is not None and signal in fields:
        return data_group(signal, fields)
    for name, each in fields.items():
        if each.node.values.shape != dataset.variables[name].shape:
            message = "bins without data that they are those of can't be written"
            diagnostics.add(Code.BINS_APART, f"{path}/{name}", message)
    return coordinates_group(fields) if fields else GroupNode()


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
    """The coordinates whose bins edges would tell: those along data, whose lengths show that they are edges."""
    spanned = {dim for variable in dataset.data_vars.variables.values() for dim in variable.dims}
    return [name for name, each in dataset.coords.variables.items() if not spanned or spanned.issuperset(each.dims)]


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
    if _PACKING & variable.encoding.keys() and (source is not None or not comes_from_file(variable)):
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
            values = storable(source) if has_links else _values_of(variable, where)
            values = _stored_as(values, storing.dtype, kind, where)
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


def _values_of(variable: xr.Variable, where: str) -> Any:
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
    if hasattr(data, "dask"):
        data = as_announced(data, where)
        if variable.dtype.kind == "M" and np.datetime_data(variable.dtype)[0] in _LONG_UNITS:
            data = data.astype("M8[s]")
        variable = variable.copy(data=data)
    units = units_of_time(variable.dtype)
    if "units" in attributes or units is None:
        unit = np.datetime_data(variable.dtype)[0]
        message = f"dates or times can't have an attribute 'units' of their own, nor the unit {unit!r}"
        diagnostics.add(Code.TIME_HAS_UNITS, where, message)
        return variable, {}
    data = variable._data if hasattr(variable._data, "dask") else np.asarray(variable.values)
    native = variable.dtype.newbyteorder("=")
    counts = data.map_blocks(_counts, native, dtype=np.int64) if hasattr(data, "dask") else _counts(data, native)
    return xr.Variable(variable.dims, counts, encoding=variable.encoding), {"units": units, DTYPE: native.name}


def _counts(times: NDArray[Any], native: np.dtype[Any]) -> NDArray[Any]:
    return times.astype(native).view(np.int64)
