"""Elements of a source as those of the virtual dataset that it is part of, which may be of another type of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.text import marks


def is_alike(own: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """Whether elements of a source are those of a virtual dataset as they are."""
    return own == other and marks(own).get("enum") == marks(other).get("enum")


def may_become(own: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """Whether `converted` makes elements of a virtual dataset of those of a source, as libhdf5 does it.

    Fractions it makes integers of by rules of its own, and of the short floats it has its own, too.

    Examples
    --------
    >>> may_become(np.dtype("u2"), np.dtype(">u4")), may_become(np.dtype("u2"), np.dtype("f4"))
    (True, False)
    """
    if is_alike(own, other):
        return True
    if marks(own) or marks(other) or own.kind not in "iuf" or other.kind not in "iuf":
        return False
    is_float = own.kind == "f" and own.itemsize in (4, 8) and other.itemsize <= 8
    return is_float or own.kind != "f" != other.kind


def converted(values: NDArray[Any], own: np.dtype[Any], other: np.dtype[Any]) -> NDArray[Any]:
    """Elements of a source in the type of the virtual dataset; integers beyond it are the nearest that it has.

    Where only the order of bytes and the sign differ, libhdf5 swaps the bytes, and heeds no sign.

    Parameters
    ----------
    values
        The elements of the source.
    own, other
        The types of the virtual dataset and of the source, of which one `may_become` the other.

    Examples
    --------
    >>> converted(np.array([-1, 70_000]), np.dtype("u2"), np.dtype("i8"))
    array([    0, 65535], dtype=uint16)
    """
    if own == other:
        return values
    is_swapped = own.itemsize == other.itemsize and own.isnative != other.isnative
    if own.kind in "iu" and not is_swapped and not np.can_cast(other, own, "safe"):
        limits, present = np.iinfo(own), np.iinfo(other)
        values = values.clip(max(limits.min, present.min), min(limits.max, present.max))
    with np.errstate(over="ignore"):
        return values.astype(own)
