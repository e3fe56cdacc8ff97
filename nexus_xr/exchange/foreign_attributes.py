"""Attributes of other formats, which nest as JSON does, as those that HDF5 has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.nexus.output.nodes import storable


def storable_attributes(attributes: Mapping[Any, Any], path: str, told: Diagnostics) -> dict[Any, Any]:
    """Attributes with compounds for dictionaries, which the Zarr view makes of them, and JSON text for other nesting.

    Parameters
    ----------
    attributes
        Values by name.
    path
        What they are of.
    told
        Is given what becomes text.

    Examples
    --------
    >>> made = storable_attributes({"unit": {"scale": 2, "name": "m"}, "odd": [1, [2]]}, "/x", told := Diagnostics())
    >>> made["unit"].item(), made["odd"]
    ((2, 'm'), '[1, [2]]')
    >>> print(*told)
    /x: attribute 'odd' has a form that HDF5 can't hold; it is JSON text now
    """
    return {name: _storable(name, value, path, told) for name, value in attributes.items()}


def storable_tree(tree: Mapping[Any, Any], path: str, told: Diagnostics) -> dict[Any, Any]:
    """The same of metadata, in which dictionaries are groups."""
    return {
        name: storable_tree(value, f"{path.rstrip('/')}/{name}", told)
        if isinstance(value, Mapping)
        else _storable(name, value, path, told)
        for name, value in tree.items()
    }


def _storable(name: Any, value: Any, path: str, told: Diagnostics) -> Any:
    if not isinstance(value, Mapping | list | tuple):
        return value
    compound = _compound(value)
    if compound is not None:
        return compound[()]
    try:
        storable(value)
    except ValueError:
        message = f"attribute {name!r} has a form that HDF5 can't hold; it is JSON text now"
        told.add(Code.VALUE_AS_TEXT, path, message)
        return json.dumps(value, default=str)
    return value


def _compound(value: Any) -> NDArray[Any] | None:
    """A dictionary, or a list of alike ones, as compounds; None for anything else, or where a part has no type."""
    if isinstance(value, Mapping):
        return _record(value)
    if not isinstance(value, list) or not value or not all(isinstance(each, Mapping) for each in value):
        return None
    records = [record for each in value if (record := _record(each)) is not None]
    is_alike = len(records) == len(value) and len({record.dtype for record in records}) == 1
    return np.array(records, records[0].dtype) if is_alike else None


def _record(value: Mapping[Any, Any]) -> NDArray[Any] | None:
    """A dictionary as a compound, None where a part has no type, or a name that none can have."""
    parts = {name: part for name, each in value.items() if (part := _part(each)) is not None}
    if not parts or len(parts) < len(value) or not all(name and "\0" not in name for name in parts):
        return None
    record = np.empty((), [(name, part.dtype, part.shape) for name, part in parts.items()])
    for name, part in parts.items():
        record[name] = part
    return record


def _part(value: Any) -> NDArray[Any] | None:
    """A part of a compound: a number, text, another compound, or an array of these."""
    compound = _compound(value)
    if compound is not None or isinstance(value, Mapping):
        return compound
    try:
        array = np.asarray(value)
    except ValueError:
        return None
    if array.dtype.kind == "U":
        return array.astype(object) if _is_all_text(value) else None
    return array if array.size and array.dtype.kind in "biuf" else None


def _is_all_text(value: Any) -> bool:
    return all(map(_is_all_text, value)) if isinstance(value, list) else isinstance(value, str)
