"""Groups of data told as version 3 of the data rules, which is what H5Web plots; all else as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.nexus.classes.table import OFFERED, class_of
from nexus_xr.nexus.output.version3 import as_version_3
from nexus_xr.nexus.rules.attributes import nx_class
from nexus_xr.nexus.tree.find import absolute, default_data
from nexus_xr.nexus.tree.scan import Found
from nexus_xr.opening.fields.group_fields import GroupFields
from nexus_xr.opening.fields.stored import ScaledArray
from nexus_xr.opening.select import Described, Opening

STORED, PLOTTED = FORMS = ("stored", "plotted")
# Attributes that say what is plotted.
_TOLD = ("NX_class", "signal", "axes", "auxiliary_signals")


def told_attributes(opening: Opening, group: Group, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a group as it is plotted: those that are stored, with what the data rules found.

    Parameters
    ----------
    opening
        The open file.
    group
        The group.
    stored
        Its attributes, or something of each of them.
    """
    if group.path == "/" or nx_class(group.read_attributes()) == "NXentry":
        default = default_data(opening.root, group)
        return {**stored, **({} if default is None else {"default": default.path})}
    described = _described(opening, group)
    if described is None:
        return dict(stored)
    told = as_version_3(described.data, described.content)
    kept = {name: value for name, value in stored.items() if name not in _TOLD or name in told}
    return {**kept, **{name: told[name] for name in _TOLD if name in told}}


@dataclass(frozen=True)
class PlottedField:
    """A field that isn't plotted as it is stored: scaled, or stored in several datasets, or both.

    Parameters
    ----------
    values
        Its values as they are plotted.
    dataset
        The dataset, or the first of several.
    """

    values: LazyArray | ScaledArray
    dataset: Dataset


def plotted_fields(opening: Opening, group: Group) -> dict[str, PlottedField]:
    """Those fields of a group, by name, that aren't plotted as they are stored."""
    described = _described(opening, group)
    if described is None:
        return {}
    fields = GroupFields(described.content, described.group, opening.file, mask_and_scale=True)
    scaled = [each for each in described.data.variables if each.scaling is not None]
    # Edges of bins are plotted as such, and not their centres.
    sources = {each.field: fields.source(replace(each, bounds=None)) for each in scaled}
    plotted: dict[str, LazyArray | ScaledArray] = {
        name: fields.array(name) for name, field in described.content.fields.items() if field.segments
    }
    plotted |= {name: source for name, source in sources.items() if isinstance(source, ScaledArray)}
    return {name: PlottedField(values, fields.field(name)) for name, values in plotted.items()}


def plotted_at(opening: Opening, path: str) -> PlottedField | None:
    """The field at a path; None where what is there is plotted as it is stored."""
    above, _, name = absolute(path).rpartition("/")
    group = opening.root.find(above or "/")
    return plotted_fields(opening, group).get(name) if isinstance(group, Group) else None


def is_title(dataset: Dataset) -> bool:
    """Whether a dataset is a title, of which there is one whatever its shape."""
    return is_title_path(dataset.path) and dataset.extent == (1,)


def is_title_path(path: str) -> bool:
    """Whether a path is that of a title."""
    return path.endswith("/title")


def _described(opening: Opening, group: Group) -> Described | None:
    """The data of a group, None where it is of a class that is never data, or has no signal."""
    attributes = group.read_attributes()
    kind = class_of(attributes)
    if not kind.holds_data and (kind not in OFFERED or nx_class(attributes) not in (None, kind.name)):
        return None
    described = opening.describe(Found(group.path, True))
    return described if kind.holds_data or described.data.signal is not None else None
