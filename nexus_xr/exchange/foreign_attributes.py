"""Attributes of other formats, which nest as JSON does, as those that HDF5 has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.text import is_unicode
from nexus_xr.nexus.output.nodes import why_no_name
from nexus_xr.nexus.output.storable import storable

# What Zarr calls the numbers that JSON has not, which Python's `float` takes as well.
# Source: "Fill value" of the Zarr core specification, version 3.
_NAMES_OF_NUMBERS = frozenset({"NaN", "Infinity", "-Infinity"})


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
    >>> storable_attributes({"limits": [0.5, "Infinity"]}, "/x", told)["limits"]
    array([0.5, inf])
    >>> print(*told)
    /x: attribute 'odd' has a form that HDF5 can't hold; it is JSON text now
    """
    return {name: _storable(name, value, path, told) for name, value in attributes.items()}


def storable_tree(tree: Mapping[Any, Any], path: str, told: Diagnostics) -> dict[Any, Any]:
    """The same of metadata, in which dictionaries are groups."""
    return {
        name: storable_tree(value, path_of_member(path, name), told)
        if isinstance(value, Mapping) and not any(map(why_no_name, value))
        else _storable(name, value, path, told)
        for name, value in tree.items()
    }


def _storable(name: Any, value: Any, path: str, told: Diagnostics) -> Any:
    if not isinstance(value, Mapping | list | tuple | str | int | float):
        return value
    try:
        made = _restored(value)
        storable(made)
    except ValueError:
        message = f"attribute {name!r} has a form that HDF5 can't hold; it is JSON text now"
        told.add(Code.VALUE_AS_TEXT, path, message)
        return json.dumps(value, default=str)
    return made


def _restored(value: Any) -> Any:
    """What JSON has as objects as compounds, and numbers among which there are names of some as numbers.

    Raises
    ------
    ValueError
        It is a list of what no array holds.
    """
    compound = _compound(value)
    if compound is not None:
        return compound[()]
    if not isinstance(value, list | tuple) or not value:
        return value
    parts = np.array(value, dtype=object)
    if any(isinstance(each, list | tuple) for each in parts.flat):  # of several lengths
        return value
    if _is_all_text(parts):
        if any("\0" in each for each in parts.flat):
            raise ValueError("there is text with a zero in it")
        return value
    numbers = _numbers(parts)
    if numbers is None:
        raise ValueError("not all of it is numbers")
    return numbers


def _compound(value: Any) -> NDArray[Any] | None:
    """A dictionary, or a list of alike ones, as compounds; None for anything else, or where a part has no type."""
    records = np.array(value, dtype=object)
    if not records.size or not all(isinstance(each, Mapping) for each in records.flat):
        return None
    first, *others = records.flat
    if not first or not all(map(_is_member, first)) or any(each.keys() != first.keys() for each in others):
        return None
    members = {name: _member([each[name] for each in records.flat]) for name in first}
    made = {name: member for name, member in members.items() if member is not None}
    if len(made) < len(members):
        return None
    compound = np.empty(records.size, [(name, member.dtype, member.shape[1:]) for name, member in made.items()])
    for name, member in made.items():
        compound[name] = member
    return compound.reshape(records.shape)


def _is_member(name: str) -> bool:
    return bool(name) and "\0" not in name and is_unicode(name)


def _member(values: list[Any]) -> NDArray[Any] | None:
    """One member of all records: other compounds, numbers, or text that isn't all names of numbers."""
    compound = _compound(values)
    if compound is not None:
        return compound
    parts = np.array(values, dtype=object)
    numbers = _numbers(parts)
    return parts if numbers is None and parts.size and _is_all_text(parts) else numbers


def _is_all_text(parts: NDArray[Any]) -> bool:
    return all(isinstance(each, str) for each in parts.flat)


def _numbers(parts: NDArray[Any]) -> NDArray[Any] | None:
    """Numbers, or names of some, in the type that holds them all; None where there are others, or there is none."""
    numbers = [float(each) if _is_name_of_number(each) else each for each in parts.flat]
    of_kind = [sum(isinstance(each, kind) for each in numbers) for kind in (bool, int | float)]
    if of_kind not in ([len(numbers)] * 2, [0, len(numbers)]):  # as a truth is an integer, too
        return None
    array = np.array(numbers)
    is_held = array.dtype.kind in "biuf" and all(
        one == other or one != one for one, other in zip(array.tolist(), numbers, strict=True)
    )
    return array.reshape(parts.shape) if array.size and is_held else None


def _is_name_of_number(value: Any) -> bool:
    return isinstance(value, str) and value in _NAMES_OF_NUMBERS
