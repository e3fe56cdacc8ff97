"""The layout of a written file: an entry for each signal, with its NXdata group and what else is known of it.

Sources: the NeXus manual's chapters "Rules for Storing Data Items" and the base classes NXroot, NXentry and NXdata;
for `auxiliary`, what HyperSpy reads back.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import h5py
import numpy as np

from nexus_xr.hdf5.objects.dimension_scales import DIMENSION_LABELS
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.nexus.rules.content import free_name
from nexus_xr.nexus.rules.errors import owner_of_errors
from nexus_xr.nexus.rules.reserved import (
    ADDED,
    ANCILLARY,
    COORDINATES,
    DIMENSIONS,
    EDGES,
    ERRORS,
    INDICES,
    METADATA_GROUP,
)

from .claims import true_of_coordinates, true_of_data
from .hyperspy_metadata import COLLECTIONS, METADATA, ROOT_ATTRIBUTES, TITLE, as_collection
from .nodes import FieldNode, GroupNode, Node
from .storable import raw_dtype


@dataclass(frozen=True)
class DataField:
    """A field of an NXdata group that is to be written.

    Parameters
    ----------
    node
        The field.
    dims
        Names of its dimensions.
    is_coordinate
        Whether it is a coordinate and no data.
    shown_at
        The position along some of its dimensions at which a plot shows it first.
    is_plotted
        Whether data may be shown with the signal, where it is of its shape.
    """

    node: FieldNode
    dims: tuple[str, ...]
    is_coordinate: bool = False
    shown_at: Mapping[str, int] = field(default_factory=dict)
    is_plotted: bool = True

    @property
    def interpretation(self) -> Any:
        return self.node.attributes.get("interpretation")

    @property
    def is_text(self) -> bool:
        """Whether it is one of text; not of one that is there already, whose node has no values."""
        return self.node.values is not None and is_text(raw_dtype(self.node.values))


def data_group(signal: str, fields: Mapping[str, DataField]) -> GroupNode:
    """The NXdata group of some fields, which keep of their attributes what is true in it.

    Parameters
    ----------
    signal
        Name of the field to plot.
    fields
        All fields, by name; those of uncertainties are called ``FIELD_errors``.
    """
    fields = _with_true_attributes(signal, fields)
    dims = fields[signal].dims
    attributes: dict[str, Any] = {"NX_class": "NXdata", "signal": signal}
    spans = {name: (each.is_coordinate, each.dims) for name, each in fields.items()}
    placed = {name: each for name, each in fields.items() if owner_of_errors(name, spans) is None}
    others = {name: each for name, each in placed.items() if name != signal and not each.is_coordinate}
    auxiliary = dict.fromkeys(name for name, each in others.items() if _is_auxiliary(each, fields[signal]))
    if auxiliary:
        attributes["auxiliary_signals"] = [*auxiliary]
    if ancillary := [name for name in others if name not in auxiliary]:
        attributes[ANCILLARY] = ancillary
    if dims:
        attributes["axes"] = [dim if _is_axis(dim, fields) else "." for dim in dims]
    unplaced = []
    for name, each in placed.items():
        if each.is_coordinate:
            if (indices := _indices(name, signal, fields)) is None:
                unplaced.append(name)
            else:
                attributes[name + INDICES] = indices[0] if len(indices) == 1 else indices
    if unplaced:
        attributes[COORDINATES] = unplaced
    if fields[signal].interpretation is not None:
        attributes["interpretation"] = fields[signal].interpretation
    if shown_at := fields[signal].shown_at:
        attributes["default_slice"] = [str(shown_at.get(dim, ".")) for dim in dims]
    named = {name: _with_dimensions(name, each, signal, fields) for name, each in placed.items()}
    return GroupNode({name: named.get(name, each.node) for name, each in fields.items()}, attributes)


def _is_auxiliary(field: DataField, signal: DataField) -> bool:
    """Whether data is an auxiliary signal, which has the shape of the signal, and numbers."""
    values, others = field.node.values, signal.node.values
    is_alike = field.dims == signal.dims and (values is None or others is None or values.shape == others.shape)
    return field.is_plotted and is_alike and (values is None or raw_dtype(values).kind in "biufc")


def coordinates_group(fields: Mapping[str, DataField]) -> GroupNode:
    """The group of coordinates without data."""
    members = {
        name: replace(each.node, attributes={**each.node.attributes, DIMENSIONS: list(each.dims)})
        if each.dims
        else each.node
        for name, each in fields.items()
    }
    return GroupNode(members, {"NX_class": "NXdata", COORDINATES: list(fields)})


def _with_true_attributes(signal: str, fields: Mapping[str, DataField]) -> dict[str, DataField]:
    coordinates = {name: (each.node.attributes, each.dims) for name, each in fields.items() if each.is_coordinate}
    spans = {name: dims for name, (_, dims) in coordinates.items()}
    of_coordinates = true_of_coordinates(coordinates, fields[signal].dims, fields)
    true = {
        name: of_coordinates[name]
        if each.is_coordinate
        else true_of_data(each.node.attributes, each.dims, name == signal, spans, fields)
        for name, each in fields.items()
    }
    return {name: replace(each, node=replace(each.node, attributes=true[name])) for name, each in fields.items()}


def _is_axis(dim: str, fields: Mapping[str, DataField]) -> bool:
    """Whether a dimension is told by a field of its name: one of numbers, as HyperSpy opens no file with others."""
    field = fields.get(dim)
    return field is not None and field.is_coordinate and field.dims == (dim,) and not field.is_text


def _unnamed(place: int, fields: Mapping[str, DataField]) -> str:
    """What a dimension is called of which nothing is told."""
    return free_name(f"dim_{place}", fields)


def _indices(name: str, signal: str, fields: Mapping[str, DataField]) -> list[int] | None:
    """What ``@AXISNAME_indices`` of a coordinate is; None where that doesn't tell all of it.

    Of one that is called as uncertainties it doesn't tell that it isn't these.
    """
    dims, field = fields[signal].dims, fields[name]
    spanned = [_without_edges(dim, field, fields[signal]) for dim in field.dims]
    along = [dim for dim, own in zip(spanned, field.dims, strict=True) if dim != own]
    is_axis = bool(spanned) and set(spanned) <= set(dims) and len(set(spanned)) == len(spanned)
    is_told = not along or along != spanned[-1:]  # edges along the last alone would become bounds
    concerned = {each: fields[each].dims for each in (name, name.removesuffix(ERRORS)) if each in fields}
    is_other = owner_of_errors(name, concerned) is None
    return [dims.index(dim) for dim in spanned] if is_axis and is_told and is_other else None


def _without_edges(dim: str, field: DataField, signal: DataField) -> str:
    """The dimension of the signal between whose bins the edges are that a field has along one of its own."""
    inner = dim.removesuffix(EDGES)
    if dim in signal.dims or inner not in signal.dims:
        return dim
    values, spanned = field.node.values, signal.node.values
    if values is None or spanned is None:  # both are there already
        return inner
    count, length = values.shape[field.dims.index(dim)], spanned.shape[signal.dims.index(inner)]
    return inner if count - 1 == length > 0 and raw_dtype(values).kind in "biufc" else dim


def _with_dimensions(name: str, field: DataField, signal: str, fields: Mapping[str, DataField]) -> FieldNode:
    """The field with the names of its dimensions, where they couldn't be told without."""
    dims = fields[signal].dims
    if name != signal and (labels := _labels(name, signal, fields)):
        return replace(
            field.node, attributes={**field.node.attributes, DIMENSION_LABELS: labels, ADDED: [DIMENSION_LABELS]}
        )
    if name == signal:
        is_told = all(_is_axis(dim, fields) or dim == _unnamed(place, fields) for place, dim in enumerate(dims))
    elif field.is_coordinate:
        is_told = _indices(name, signal, fields) is not None
    else:
        is_told = field.dims == dims
    if is_told or not field.dims:
        return field.node
    return replace(field.node, attributes={**field.node.attributes, DIMENSIONS: list(field.dims)})


def _labels(name: str, signal: str, fields: Mapping[str, DataField]) -> list[str]:
    """HDF5's labels of the dimensions of a coordinate, where one of them has no axis: scippnexus asks for them."""
    dims = fields[signal].dims
    indices = (_indices(name, signal, fields) or []) if fields[name].is_coordinate else []
    labels = [dims[at] if _is_axis(dims[at], fields) else f"dim_{at}" for at in indices]
    return labels if any(not _is_axis(dims[at], fields) for at in indices) else []


def entry_group(name: str, data: GroupNode, metadata: Mapping[str, GroupNode]) -> GroupNode:
    """An entry with one NXdata group.

    Parameters
    ----------
    name
        Name of the group of data.
    data
        The group of data.
    metadata
        What else is stored, by the names of `METADATA`.
    """
    collections = {key: as_collection(metadata[key]) for key in METADATA if key in metadata}
    name = free_name(name, (COLLECTIONS,))
    members: dict[str, Node] = {name: data}
    title = metadata[METADATA[0]].members.get(TITLE) if METADATA[0] in metadata else None
    if name != TITLE and isinstance(title, FieldNode) and _is_one_text(title):
        members[TITLE] = title  # where readers of NeXus look for it
    if any(tree.members or tree.attributes for tree in metadata.values()):
        members[COLLECTIONS] = GroupNode(collections, {"NX_class": "NXcollection"})
    return GroupNode(members, {"NX_class": "NXentry", "default": name, METADATA_GROUP: COLLECTIONS})


def _is_one_text(field: FieldNode) -> bool:
    values = field.values
    return isinstance(values, np.ndarray) and values.size == 1 and is_text(values.dtype)


def root_attributes(creator_version: str, file_name: str, time: str, default: str | None) -> dict[str, Any]:
    """Attributes of the root of a new file (NXroot)."""
    attributes = {
        "NX_class": "NXroot",
        "file_name": file_name,
        "file_time": time,
        "creator": "nexus_xr",
        "creator_version": creator_version,
        "HDF5_Version": h5py.version.hdf5_version,
        "h5py_version": h5py.version.version,
        **ROOT_ATTRIBUTES,
    }
    return attributes if default is None else {**attributes, "default": default}


def valid_name(title: str) -> str:
    """A name for a group or field made of a title: a slash becomes an underscore.

    Examples
    --------
    >>> valid_name("counts/s"), valid_name("")
    ('counts_s', 'data')
    """
    name = title.replace("/", "_").replace("\0", "_").strip()
    return name if name.strip(".") else "data"


def names_of_entries(taken: Container[str]) -> Iterator[str]:
    """Those of ``entry1``, ``entry2``, ... that aren't taken, one after the other.

    Examples
    --------
    >>> names = names_of_entries({"entry1", "entry3"})
    >>> next(names), next(names)
    ('entry2', 'entry4')
    """
    return (name for number in count(1) if (name := f"entry{number}") not in taken)
