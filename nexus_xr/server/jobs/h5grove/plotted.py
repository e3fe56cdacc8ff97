"""Groups of data told as version 3 of the data rules, which is what H5Web plots; all else as it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.nexus.classes.table import OFFERED, class_of
from nexus_xr.nexus.output.version3 import as_version_3
from nexus_xr.nexus.rules.attributes import nx_class
from nexus_xr.nexus.tree.find import absolute, default_data
from nexus_xr.nexus.tree.scan import Found
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


def joined_names(opening: Opening, group: Group) -> list[str]:
    """The names of those fields of a group that are stored in several datasets."""
    described = _described(opening, group)
    return [] if described is None else [name for name, field in described.content.fields.items() if field.segments]


def joined_at(opening: Opening, path: str) -> tuple[LazyArray, Dataset] | None:
    """The values of a field that is stored in several datasets, and the first of these; None of any other path."""
    above, _, name = absolute(path).rpartition("/")
    group = opening.root.find(above or "/")
    if not isinstance(group, Group) or group.get(name) is not None or name not in joined_names(opening, group):
        return None
    described = opening.describe(Found(group.path, True))
    members = map(group.get, described.content.fields[name].segments)
    segments = [member for member in members if isinstance(member, Dataset)]
    return LazyArray.joined(segments, opening.file, absolute(path)), segments[0]


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
