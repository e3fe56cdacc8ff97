"""What a file is about, as fits on a screen: `nexus_xr.describe`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from nexus_xr.diagnostics import Diagnostic
from nexus_xr.errors import NexusPathError, SystemFaultError
from nexus_xr.hdf5.filters.words import in_words
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.paths import parent_of
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts.chunk_index import ChunkIndex
from nexus_xr.hdf5.reading.layouts.known_layouts import layout_of
from nexus_xr.hdf5.reading.layouts.layout import StoredLayout
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, Hdf5Errors
from nexus_xr.nexus.rules.attributes import nx_class, text
from nexus_xr.nexus.rules.variables import Role, Variable
from nexus_xr.nexus.tree.find import default_data, entry_of
from nexus_xr.nexus.tree.scan import Found
from nexus_xr.opening.fields.group_fields import GroupFields, storage_of
from nexus_xr.opening.fields.stored import DerivedArray, Stored
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Described, Opening, examine_with

# What of an entry is told, and the field that says it; behind a slash, the field of a group of that class.
_FACTS = (
    ("title", "title"),
    ("definition", "definition"),
    ("start", "start_time"),
    ("end", "end_time"),
    ("experiment", "experiment_identifier"),
    ("instrument", "NXinstrument/name"),
    ("sample", "NXsample/name"),
    ("user", "NXuser/name"),
    ("program", "program_name"),
)
# Where `to_nexus`, and HyperSpy, keep what the entry said that an array was opened from.
_KEPT = "auxiliary/original_metadata"
_MOST_TEXT_BYTES = 4096
# An axis that is longer is told by its first and last value.
_MOST_READ_BYTES = 1 << 20

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class ArrayDescription:
    """An array of the data: a signal, its uncertainties, an axis.

    Parameters
    ----------
    name
        Name of the variable that it is opened as.
    path
        Path of the field in the file.
    role
        What it is to the signal.
    dims, shape
        Names and lengths of its dimensions.
    dtype
        Type of an element, by NumPy's name; ``text`` for text.
    units, long_name
        What its attributes say; None where they don't.
    first, last
        Of an axis, the first and the last value, or the least and the greatest where it doesn't rise or fall; NaN and
        infinity as text. None of others, and where they can't be read.
    layout
        ``compact``, ``contiguous``, ``chunked``, ``virtual`` or ``segments``; ``unknown`` where that can't be told.
    chunks
        Shape of a chunk, of a virtual dataset that of its sources; None where it has none.
    filters
        The filters that chunks went through, in words.
    nbytes
        Bytes of all values.
    stored_bytes
        Bytes that are stored of them in the file; None where that is in others, or not known.
    """

    name: str
    path: str
    role: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    units: str | None
    long_name: str | None
    first: Scalar
    last: Scalar
    layout: str
    chunks: tuple[int, ...] | None
    filters: tuple[str, ...]
    nbytes: int
    stored_bytes: int | None


@dataclass(frozen=True)
class DataDescription:
    """What would be opened as one Dataset.

    Parameters
    ----------
    path
        Path of the group, or of the dataset.
    arrays
        Its arrays, the signal first where there is one.
    """

    path: str
    arrays: tuple[ArrayDescription, ...]


@dataclass(frozen=True)
class OtherData:
    """Data that a file holds beside the default plot.

    Parameters
    ----------
    path
        Path of the group, or of a dataset that is in none.
    is_group
        Whether it is a group.
    signal
        Name of a group's signal, None where it has none.
    shape
        Shape of that, or of the dataset; None where there is none.
    """

    path: str
    is_group: bool
    signal: str | None
    shape: tuple[int, ...] | None


@dataclass(frozen=True)
class FileDescription:
    """What a file is about.

    Parameters
    ----------
    file
        Path or URL.
    nbytes
        Its size; None where that isn't told.
    entry
        Path of the entry that holds the default plot.
    facts
        What the entry says of itself, by name: its title, when it began, the instrument, the sample.
    default
        The default plot, None where there is none.
    others
        All other data.
    diagnostics
        What could not be honoured.
    """

    file: str
    nbytes: int | None
    entry: str
    facts: Mapping[str, str]
    default: DataDescription | None
    others: tuple[OtherData, ...]
    diagnostics: tuple[Diagnostic, ...]


def describe(path: Any, *, storage_options: Mapping[str, Any] | None = None) -> FileDescription:
    """Tell what a file is about: its entry, its default plot with axes and storage, and what could not be honoured.

    Nothing of a signal is read, and no warning issued. The description is a frozen dataclass of such.

    Parameters
    ----------
    path
        Path, URL or open binary file.
    storage_options
        Options for the fsspec file system of a URL.

    Raises
    ------
    NexusError
        The file isn't HDF5, or isn't there.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/title"] = "a scan"
    ...     file["entry/data/counts"] = [1, 2, 3]
    ...     file["entry/data/x"] = [0.0, 0.5, 1.0]
    ...     file["entry/data"].attrs.update(NX_class="NXdata", signal="counts", axes="x")
    >>> described = describe("scan.nxs")
    >>> described.facts, described.default.path
    ({'title': 'a scan'}, '/entry/data')
    >>> [(array.name, array.shape, array.first, array.last) for array in described.default.arrays]
    [('counts', (3,), None, None), ('x', (3,), 0.0, 1.0)]
    """
    options = Options(use_default=True, storage_options=storage_options)
    file = options.file(path)
    (nbytes, entry, facts, default, others), diagnostics = examine_with(_describe, file, options)
    return FileDescription(file.name, nbytes, entry, facts, default, others, tuple(diagnostics))


def _describe(opening: Opening) -> tuple[Any, ...]:
    default = _default(opening)
    entry = _entry(opening, default)
    described = None if default is None else _data(opening, opening.describe(default))
    return _size(opening), entry.path, dict(_facts(entry)), described, tuple(_others(opening, default))


def _size(opening: Opening) -> int | None:
    with opening.file.source() as source:
        return source.size


def _default(opening: Opening) -> Found | None:
    """What `xarray.open_dataset` would open."""
    with suppress(NexusPathError):
        return opening.one()
    return None


def _entry(opening: Opening, default: Found | None) -> Group:
    """The entry of the default plot; without one, the only or first entry, or the root."""
    group = default_data(opening.root) if default is None else opening.content_of(default)[0]
    if group is not None:
        return entry_of(opening.root, group)
    groups = [member for _, member, _ in opening.root.members() if isinstance(member, Group)]
    return next((each for each in groups if nx_class(each.read_attributes()) == "NXentry"), opening.root)


def _facts(entry: Group) -> Iterator[tuple[str, str]]:
    kept = entry.find(_KEPT)
    places = [entry, kept] if isinstance(kept, Group) else [entry]
    for name, where in _FACTS:
        kind, _, field = where.rpartition("/")
        groups = (group for place in places for group in (_of_class(place, kind) if kind else [place]))
        found = ", ".join(dict.fromkeys(filter(None, (_text(group, field) for group in groups))))
        if found:
            yield name, found


def _of_class(entry: Group, kind: str) -> Iterator[Group]:
    for _, member, _ in entry.members():
        if isinstance(member, Group) and nx_class(member.read_attributes()) == kind:
            yield member


def _text(group: Group, name: str) -> str | None:
    """What a field of one piece of text, or a number, says; None where there is none, or it can't be read."""
    member = group.get(name)
    if not isinstance(member, Dataset) or member.size != 1 or member.nbytes > _MOST_TEXT_BYTES:
        return None
    with Hdf5Errors(lambda _: None):
        value = read_whole(member)
        return " ".join(str(value.item() if isinstance(value, np.ndarray) else value).split())
    return None


def _others(opening: Opening, default: Found | None) -> Iterator[OtherData]:
    """Groups of data, and datasets that are in none."""
    groups = {found.path for found in opening.found if found.is_group}
    if default is not None:
        groups.add(default.path)
    for found in opening.found:
        if found.is_group and found != default:
            described = opening.describe(found)
            signal = described.data.signal
            shape = None if signal is None else described.content.fields[signal].shape
            yield OtherData(found.path, True, signal, shape)
        elif parent_of(found.path) not in groups and found != default:
            member = opening.root.find(found.path)
            yield OtherData(found.path, False, None, member.shape if isinstance(member, Dataset) else None)


# --- arrays ----------------------------------------------------------------------------------------------------


def _data(opening: Opening, described: Described) -> DataDescription:
    if described.found.is_group:
        opening.diagnostics.extend(described.data.diagnostics)
    fields = GroupFields(described.content, described.group, opening.file, mask_and_scale=True)
    arrays = (_array(fields, variable) for variable in described.data.variables)
    return DataDescription(described.found.path, tuple(arrays))


def _array(fields: GroupFields, variable: Variable) -> ArrayDescription:
    dataset, raw = fields.field(variable.field), fields.array(variable.field)
    storage = storage_of(dataset, raw)
    source = fields.source(variable)
    attributes = fields.attributes(variable)
    first, last = _range(source) if variable.role is Role.AXIS else (None, None)
    return ArrayDescription(
        name=variable.name,
        path=fields.group.member_path(variable.field),
        role=variable.role.value,
        dims=variable.dims,
        shape=source.shape,
        dtype="text" if is_text(raw.raw_dtype) else str(source.dtype),
        units=text(attributes.get("units")) or None,
        long_name=text(attributes.get("long_name")) or None,
        first=first,
        last=last,
        layout="segments" if raw.layout is not None else dataset.storage.layout,
        chunks=storage.chunks,
        filters=tuple(map(in_words, storage.filters)),
        nbytes=raw.nbytes,
        stored_bytes=_stored_bytes(raw),
    )


def _range(source: Stored) -> tuple[Scalar, Scalar]:
    """The values that an axis goes from and to."""
    if not math.prod(source.shape):
        return None, None
    array = source.source if isinstance(source, DerivedArray) else source  # of bins, their outermost edges
    is_short = math.prod(array.shape) * array.dtype.itemsize <= _MOST_READ_BYTES
    try:
        if not is_short:
            return tuple(_scalar(array[(at,) * len(array.shape)]) for at in (0, -1))  # type: ignore[return-value]
        values = np.asarray(array[...]).reshape(-1)
    except SystemFaultError:
        raise
    except AnyHdf5Error:
        return None, None
    return _ends(values)


def _ends(values: np.ndarray[Any, Any]) -> tuple[Scalar, Scalar]:
    if values.dtype.kind in "biuf":
        known = values[~np.isnan(values)]
        steps = np.diff(known.astype(np.float64))
        if np.any(steps > 0) and np.any(steps < 0):
            return _scalar(known.min()), _scalar(known.max())
    return _scalar(values[0]), _scalar(values[-1])


def _scalar(value: Any) -> Scalar:
    """A value as JSON has it."""
    value = value.item() if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biufS" else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str | int) else str(value)


def _stored_bytes(array: LazyArray) -> int | None:
    """What is stored of an array in its file, None where it isn't in one piece, or not known."""
    if array.layout is not None:
        return None
    try:
        with array.file.source() as source:
            layout = layout_of(array.file, array.path, source, array.address)
    except SystemFaultError:
        raise
    except AnyHdf5Error:
        return None
    if not isinstance(layout, StoredLayout):
        return None
    if isinstance(layout.index, ChunkIndex):
        return int(layout.index.sizes.sum(dtype=np.int64))
    return 0 if layout.index.offset < 0 else array.nbytes
