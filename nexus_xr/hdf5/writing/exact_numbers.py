"""Numbers, dates and lengths of time in another type, of which each is still the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def in_type(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Numbers in another type, None where that doesn't hold each of them as it is.

    Complex numbers are in complex types alone, and others are in none of these.

    Examples
    --------
    >>> in_type(np.array([1, 255], "i8"), np.dtype("u1")), in_type(np.array([-1], "i4"), np.dtype("u4"))
    (array([  1, 255], dtype=uint8), None)
    """
    if (values.dtype.kind == "c") != (dtype.kind == "c"):
        return None
    with np.errstate(all="ignore"):
        made = values.astype(dtype, copy=False)
        return made if are_same(values, made) else None


def times_in(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    """Dates or lengths of time in another unit, None where that doesn't hold each of them as it is.

    Examples
    --------
    >>> times_in(np.array(["2024", "NaT"], "M8[Y]"), np.dtype("M8[D]"))
    array(['2024-01-01',        'NaT'], dtype='datetime64[D]')
    >>> times_in(np.array([1500], "m8[ms]"), np.dtype("m8[s]")), times_in(np.array([300], "m8[W]"), np.dtype("m8[as]"))
    (None, None)
    """
    try:
        made = values.astype(dtype, copy=False)
        is_same = np.array_equal(made.astype(values.dtype).view(np.int64), values.view(np.int64))
    except OverflowError:  # from NumPy 2.5 on
        return None
    return made if is_same else None


def are_same(values: NDArray[Any], made: NDArray[Any]) -> bool:
    """Whether numbers that were converted to another type are the same numbers there.

    Examples
    --------
    >>> many = np.array([2**53 + 1])
    >>> are_same(many, many.astype("f8")), are_same(np.array([1.5]), np.array([1]))
    (False, False)
    """
    if values.dtype.kind in "iu" and made.dtype.kind in "fc":
        return _are_whole(made.real, values)
    if values.dtype.kind == "f" and made.dtype.kind in "iu":
        return _are_whole(values, made)
    return np.array_equal(made, values, equal_nan=made.dtype.kind in "fc" and values.dtype.kind in "fc")


def _are_whole(numbers: NDArray[Any], integers: NDArray[Any]) -> bool:
    """Whether floats are just those integers; rounded up, they may be beyond what integers can be."""
    limits, wide = np.iinfo(integers.dtype), numbers.astype(np.promote_types(numbers.dtype, np.float64))
    are_within = (wide >= float(limits.min)) & (wide < float(limits.max) + 1)
    return bool(are_within.all()) and np.array_equal(wide.astype(integers.dtype), integers) and not (wide % 1).any()
