"""A group of data told as version 3 of the data rules, for those who know no others.

Source: the NeXus manual, "Rules for Storing Data Items": version 3 of finding the plottable data, with ``@signal``,
``@axes`` and ``@auxiliary_signals`` of the group.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nexus_xr.nexus.rules.content import GroupContent
from nexus_xr.nexus.rules.nxdata import NXdata
from nexus_xr.nexus.rules.variables import Role, Variable

# What says in older ways which fields are what.
_OLDER = ("signal", "axes", "auxiliary_signals")


def as_version_3(data: NXdata, content: GroupContent) -> dict[str, Any]:
    """The attributes of a group with which readers that know version 3 alone plot what the rules found.

    A dimension has the first of its axes that is one-dimensional and made of numbers; "." is one without.

    Parameters
    ----------
    data
        What the rules found.
    content
        What they found it in.

    Returns
    -------
    dict
        All attributes of the group; without a signal of two or more elements, no more of them than say nothing of one.
    """
    kept = {name: value for name, value in content.attributes.items() if name not in _OLDER}
    if data.signal is None or not content.fields[data.signal].shape:
        return kept
    signal, *others = data.variables
    shape = content.fields[signal.field].shape
    auxiliary = [
        other.field for other in others if other.role is Role.AUXILIARY and content.fields[other.field].shape == shape
    ]
    told = {"signal": signal.field, "axes": [_axis(data, content, dim) for dim in signal.dims]}
    return {**kept, "NX_class": "NXdata", **told, **({"auxiliary_signals": auxiliary} if auxiliary else {})}


def _axis(data: NXdata, content: GroupContent, dim: str) -> str:
    return next((axis.field for axis in _axes(data, dim) if content.fields[axis.field].is_numeric), ".")


def _axes(data: NXdata, dim: str) -> Iterator[Variable]:
    return (variable for variable in data.variables if variable.role is Role.AXIS and variable.dims == (dim,))
