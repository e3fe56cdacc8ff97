"""Why values can't be stored, and what whoever has them can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

_SHOWN = 40
# What to do about values of types that HDF5 hasn't, by the names of these and of those that they are derived from.
_WAYS = {
    "NoneType": "fill in what is missing",
    "NAType": "fill in what is missing",
    "date": "make it datetime64, in UTC where it has a time zone, or text by isoformat()",
    "time": "make it text by isoformat()",
    "timedelta": "make it timedelta64",
    "_Period": "make it datetime64 by to_timestamp()",
    "Interval": "make it numbers, those of its ends",
    "PurePath": "make it text by str()",
    "UUID": "make it text by str()",
    "Decimal": "make it a number by float(), or text by str()",
    "Fraction": "make it a number by float(), or text by str()",
    "Enum": "take its value",
    "int": "make it a number of 64 bits, or text",
    "set": "make it a list by sorted()",
    "frozenset": "make it a list by sorted()",
    "Mapping": "have it stand among the metadata by itself, where dictionaries and lists of them are groups",
    "dict": "have it stand among the metadata by itself, where dictionaries and lists of them are groups",
}
_OTHERWISE = "make it a number, text, or an array of these"
NO_TYPE_OF_NUMBER = "of its numbers, no type holds each as it is; make them floats, or text"

# Of Python and of NumPy, of which lengths of time are integers, too.
_NUMBERS = (bool, int, float, complex, np.number, np.bool_)

Placed = tuple[tuple[int, ...], Any]


class UnstorableError(ValueError):
    """A value that HDF5 has no way to hold."""


def has_labels(value: Any) -> bool:
    """Whether a value is one of xarray or pandas with more than an array has: coordinates, an index, attributes."""
    return hasattr(value, "isel") or hasattr(value, "iloc")


def why_unstorable(value: Any) -> str:
    """Why a value of a type that HDF5 hasn't can't be stored, and what to do.

    Examples
    --------
    >>> why_unstorable({1, 2})
    "a value of type set can't be stored in HDF5; make it a list by sorted()"
    """
    if has_labels(value):
        return (
            f"a value of type {type(value).__name__} can't be stored in HDF5 with its labels; write it as data of its "
            "own, or keep its bare values, as by .values"
        )
    return f"a value of type {type(value).__name__} can't be stored in HDF5; {_way_out(value)}"


def why_unstorable_elements(what: str, elements: Iterable[Placed]) -> str:
    """Why elements can't be stored, which of them is the first that can't, and what to do.

    Parameters
    ----------
    what
        What has them.
    elements
        Each with the place where it is.

    Examples
    --------
    >>> why_unstorable_elements("a list", [((0,), "a"), ((1,), None)])
    "a list can't be stored in HDF5 with what is at [1], None of type NoneType; fill in what is missing"
    >>> why_unstorable_elements("a list", [((0,), "a"), ((1,), 2)]).partition("; ")[0]
    "a list can't be stored in HDF5 with 'a' of type str at [0], and 2 of type int at [1]"
    """
    placed = list(elements)
    kinds = [_kind(each) for _, each in placed]
    if "" in kinds:
        place, value = placed[kinds.index("")]
        way = why_unstorable(value).partition("; ")[2]
        return f"{what} can't be stored in HDF5 with what is at {_at(place)}, {_of_type(value)}; {way}"
    missing = next((at for at, (_, each) in enumerate(placed) if kinds[at] == "numbers" and each != each), None)
    if missing is not None and "text" in kinds:
        place, value = placed[missing]
        return f"{what} can't be stored in HDF5 with {value!r} at {_at(place)} among text; {_WAYS['NoneType']}"
    other = next((at for at, kind in enumerate(kinds) if kind != kinds[0]), None)
    if other is None:
        return NO_TYPE_OF_NUMBER
    both = ", and ".join(f"{_of_type(each)} at {_at(place)}" for place, each in (placed[0], placed[other]))
    return f"{what} can't be stored in HDF5 with {both}; make all of them text, or all of them numbers"


def _kind(value: Any) -> str:
    """What a value is that an array in HDF5 may have among others alike; nothing where it is none."""
    if isinstance(value, str | bytes):
        return "text"
    return "numbers" if is_number(value) else ""


def is_number(value: Any) -> bool:
    """Whether a value is a number or a truth of Python or NumPy."""
    return isinstance(value, _NUMBERS) and not isinstance(value, np.timedelta64)


def _way_out(value: Any) -> str:
    names = (kind.__name__ for kind in type(value).__mro__)
    return next((_WAYS[name] for name in names if name in _WAYS), _OTHERWISE)


def _of_type(value: Any) -> str:
    shown = repr(value)
    return f"{shown if len(shown) <= _SHOWN else shown[:_SHOWN] + '...'} of type {type(value).__name__}"


def _at(place: tuple[int, ...]) -> str:
    return "".join(f"[{number}]" for number in place)
