"""Attributes as NeXus means them: names, lists of names, and indices, whatever type a writer chose for them."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

import numpy as np

# Units of NumPy's dates and lengths of time, in the words of CF.
UNITS_OF_TIME = {
    "W": "weeks",
    "D": "days",
    "h": "hours",
    "m": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}


def text(value: Any) -> str | None:
    """An attribute that is one piece of text, None where it is anything else.

    Examples
    --------
    >>> text("NXdata"), text(np.array(["NXdata"], dtype=object)), text(1)
    ('NXdata', 'NXdata', None)
    """
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return value.strip() if isinstance(value, str) else None


def names(value: Any, known: Container[str] = ()) -> tuple[str, ...]:
    """The names that an attribute lists: an array of strings, or one string with `:` or `,` between the names.

    A string that is itself a known name is taken as it is. Brackets around a list, quotes, and the semicolons or spaces
    that some writers put between names are understood. "." stands for no name, and so does nothing between two names.

    Examples
    --------
    >>> names("polar_angle:time_of_flight"), names("[y, x, .]"), names("a,b", known=["a,b"])
    (('polar_angle', 'time_of_flight'), ('y', 'x', '.'), ('a,b',))
    """
    if isinstance(value, np.ndarray | list | tuple):
        parts = [part for part in np.ravel(np.asarray(value, dtype=object)) if isinstance(part, str)]
        if len(parts) == 1:
            return names(parts[0], known)
    elif isinstance(value, str):
        parts = [value] if value in known else _split(value.strip(), known)
    else:
        return ()
    listed = tuple(part if part in known else part.strip(" \t\r\n'\"") or "." for part in parts)
    return listed if any(part != "." for part in listed) or len(listed) > 1 else ()


def _split(joined: str, known: Container[str]) -> list[str]:
    if joined in known:
        return [joined]
    if joined[:1] + joined[-1:] in ("[]", "()"):
        joined = joined[1:-1].replace("][", ":")
    parts = re.split("[:,]", joined)
    if len(parts) == 1:
        by_other_signs = re.split("[; ]+", joined)
        if all(part in known or part == "." for part in by_other_signs):
            return by_other_signs
    return parts


def integers(value: Any) -> tuple[int, ...] | None:
    """The integers of an attribute: a number, an array of them, or text like ``"0,1"``; None where it is neither.

    Examples
    --------
    >>> integers(1), integers(np.array([0, 2])), integers("0,1"), integers("T")
    ((1,), (0, 2), (0, 1), None)
    """
    if value is None:
        return None
    if isinstance(value, str):
        parts = re.split("[:, ]+", value.strip().strip("[]()"))
        return tuple(map(int, parts)) if all(re.fullmatch("[+-]?[0-9]{1,18}", part) for part in parts) else None
    array = np.asarray(value)
    if array.dtype.kind == "O":
        return integers(",".join(map(str, array.flat))) if array.size else None
    if array.dtype.kind in "US":
        return integers(",".join(map(str, array.flat)))
    if array.dtype.kind not in "iuf" or not array.size or not np.all(np.isfinite(array) & (array == np.floor(array))):
        return None
    return tuple(int(number) for number in array.flat)


def nx_class(attributes: Mapping[str, Any]) -> str | None:
    """The NX_class of a group, None where it has none."""
    return text(attributes.get("NX_class"))


def units_of_time(dtype: np.dtype[Any]) -> str | None:
    """The units of the integers that dates or lengths of time are, in the words of CF; None where it has none.

    Examples
    --------
    >>> units_of_time(np.dtype("M8[s]")), units_of_time(np.dtype("m8[ns]")), units_of_time(np.dtype("M8[Y]"))
    ('seconds since 1970-01-01T00:00:00', 'nanoseconds', None)
    """
    unit = UNITS_OF_TIME.get(np.datetime_data(dtype)[0])
    return f"{unit} since 1970-01-01T00:00:00" if unit is not None and dtype.kind == "M" else unit


def with_units(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a field, with ``units`` where the writer called them ``unit``, which stays as well.

    Examples
    --------
    >>> with_units({"unit": "mm"}), with_units({"unit": "mm", "units": "m"})
    ({'unit': 'mm', 'units': 'mm'}, {'unit': 'mm', 'units': 'm'})
    """
    unit = text(attributes.get("unit"))
    return dict(attributes) if unit is None else {**attributes, "units": attributes.get("units", unit)}
