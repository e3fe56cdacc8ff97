"""A group of data told as version 3 of the data rules, for those who know no others.

Source: the NeXus manual, "Rules for Storing Data Items": version 3 of finding the plottable data, with ``@signal``,
``@axes`` and ``@auxiliary_signals`` of the group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nexus_xr.nexus.rules.attributes import names, nx_class
from nexus_xr.nexus.rules.content import Field, GroupContent
from nexus_xr.nexus.rules.nxdata import NXdata
from nexus_xr.nexus.rules.variables import Role, Variable

# What says in older ways which fields are what.
_OLDER = ("signal", "axes", "auxiliary_signals")


def as_version_3(data: NXdata, content: GroupContent) -> dict[str, Any]:
    """The attributes of a group with which readers that know version 3 alone plot what the rules found.

    A dimension has the first of its axes that is one-dimensional and made of numbers; "." is one without. Points that
    are scattered in a plane keep both axes of their dimension, by which such readers know them.

    Parameters
    ----------
    data
        What the rules found.
    content
        What they found it in.

    Returns
    -------
    dict
        All attributes of the group; where nothing can be plotted, those of a plain group.
    """
    kept = {name: value for name, value in content.attributes.items() if name not in _OLDER}
    if data.signal is None or not _can_be_plotted(content.fields[data.signal]):
        # In NXdata, whatever it says, such readers look for fields that say to be the signal.
        is_data = nx_class(kept) == "NXdata"
        return {name: value for name, value in kept.items() if not (is_data and name == "NX_class")}
    signal, *others = data.variables
    shape = content.fields[signal.field].shape
    alike = {name for name, field in content.fields.items() if field.shape == shape and field.is_numeric}
    auxiliary = [other.field for other in others if other.role is Role.AUXILIARY and other.field in alike]
    told = {
        "signal": signal.field,
        "axes": _scattered(data, content) or [_axis(data, content, dim) for dim in signal.dims],
    }
    return {**kept, "NX_class": "NXdata", **told, **({"auxiliary_signals": auxiliary} if auxiliary else {})}


def _can_be_plotted(field: Field) -> bool:
    """Whether there are numbers along one dimension or more."""
    return field.is_numeric and field.ndim > 0 and 0 not in field.shape


def _scattered(data: NXdata, content: GroupContent) -> list[str]:
    """The two axes of numbers that a group lists for the one dimension of its signal; none where it doesn't."""
    signal = data.variables[0]
    listed = names(content.attributes.get("axes"), content.fields)
    if len(signal.dims) != 1 or len(set(listed)) != 2:
        return []
    shape = content.fields[signal.field].shape
    along = {axis.field for axis in _axes(data, signal.dims[0]) if content.fields[axis.field].is_numeric}
    return list(listed) if all(name in along and content.fields[name].shape == shape for name in listed) else []


def _axis(data: NXdata, content: GroupContent, dim: str) -> str:
    return next((axis.field for axis in _axes(data, dim) if content.fields[axis.field].is_numeric), ".")


def _axes(data: NXdata, dim: str) -> Iterator[Variable]:
    return (variable for variable in data.variables if variable.role is Role.AXIS and variable.dims == (dim,))
