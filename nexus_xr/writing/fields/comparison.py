"""Whether values that are to be written are those that a file has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.text import decode_array
from nexus_xr.hdf5.reading.array import same_element

from .blockwise import blocks

_MAY_BE_NONE = set("biufcmM")  # what NumPy tells NaN and NaT of


@dataclass(frozen=True)
class Difference:
    """An element that isn't what the file has at its place."""

    place: tuple[int, ...]
    here: Any
    there: Any

    def __str__(self) -> str:
        at = f" at [{', '.join(map(str, self.place))}]" if self.place else ""
        return f"{self.here}{at}, and in the file {self.there}"


def first_difference(values: Any, stored: Any, are_texts: bool) -> Difference | None:
    """The first of some values that isn't what is stored, None where all are; NaN is NaN, and NaT is NaT.

    Parameters
    ----------
    values, stored
        Two arrays of one shape, of which parts are read where they aren't in memory.
    are_texts
        Whether they are text, which may be bytes.

    Examples
    --------
    >>> print(first_difference(np.array([0, np.nan, 3]), np.array([0, np.nan, 2]), False))
    3.0 at [2], and in the file 2.0
    """
    for region in blocks(stored, None):
        part = tuple(slice(*each) for each in region)
        here, there = (np.asarray(each[part]) for each in (values, stored))
        if are_texts:
            here, there = decode_array(here), decode_array(there)
        same = _same(here, there)
        if not same.all():
            found = tuple(map(int, np.unravel_index(int(np.argmin(same)), same.shape)))
            first = tuple(begin for begin, _ in region)
            return Difference(tuple(map(sum, zip(first, found, strict=True))), here[found], there[found])
    return None


def _same(some: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
    """Which elements are the same, those of records where all their members are."""
    if some.dtype.names and some.dtype.names == others.dtype.names:
        alike = np.ones(some.shape, np.bool_)
        for name in some.dtype.names:
            member = _same(some[name], others[name])
            alike &= member.all(axis=tuple(range(some.ndim, member.ndim)))
        return alike
    if some.dtype.hasobject and some.shape == others.shape:
        return np.fromiter(map(same_element, some.flat, others.flat), np.bool_, some.size).reshape(some.shape)
    same: NDArray[np.bool_] = np.broadcast_to(np.asarray(some == others, np.bool_), some.shape)
    if {some.dtype.kind, others.dtype.kind} <= _MAY_BE_NONE:
        same = same | (np.isnan(some) & np.isnan(others))
    return same
