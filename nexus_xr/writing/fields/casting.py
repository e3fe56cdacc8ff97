"""Numbers in the type that they are stored in."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.arrays.uncertainties import refuse_unknown
from nexus_xr.errors import NexusError
from nexus_xr.hdf5.writing.exact_numbers import are_same, times_in


def may_become(own: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """Whether values of one type can be stored as another, which may not hold each of them.

    Examples
    --------
    >>> may_become(np.dtype("i8"), np.dtype("u2")), may_become(np.dtype("f8"), np.dtype("u2"))
    (True, False)
    """
    if (own.kind in "mM") != (wanted.kind in "mM"):  # as numbers have no unit
        return False
    return own.kind + wanted.kind in ("iu", "ui") or bool(np.can_cast(own, wanted, "same_kind"))


def cast(values: Any, dtype: np.dtype[Any], where: str = "") -> Any:
    """Values in another type, those of dask block by block.

    Parameters
    ----------
    values
        An array of NumPy or dask.
    dtype
        The type.
    where
        What dask's values are called in errors while they are computed.

    Raises
    ------
    NexusError
        There are integers, dates, durations or texts that it doesn't hold as they are, or finite numbers that are
        infinite in it.

    Examples
    --------
    >>> cast(np.array([1, 255]), np.dtype("u1"))
    array([  1, 255], dtype=uint8)
    >>> cast(np.array([2**24 + 1]), np.dtype("f4"))
    Traceback (most recent call last):
    ...
    nexus_xr.errors.NexusError: there are values that float32 doesn't hold; convert them with astype
    """
    if hasattr(values, "dask"):
        return values.map_blocks(_cast_block, dtype, where, dtype=dtype)
    return _cast(values, dtype)


def _cast_block(values: Any, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    refuse_unknown(where, values)
    try:
        return _cast(np.asanyarray(values), dtype)
    except (NexusError, TypeError) as error:
        raise NexusError(f"{where}: {error}") from error


def _cast(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if values.dtype != dtype and not may_become(values.dtype, dtype):  # a block of another type than dask says
        raise NexusError(f"values of {values.dtype} don't fit into {dtype}; convert them with astype")
    if values.dtype == dtype:
        return values
    if (made := _exactly(values, dtype)) is None:
        advice = "store them anew in a longer one" if dtype.kind in "SU" else "convert them with astype"
        raise NexusError(f"there are values that {dtype} doesn't hold; {advice}")
    return made


def _exactly(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any] | None:
    if dtype.kind in "mM":
        return times_in(values, dtype)
    with np.errstate(over="ignore"):
        made = values.astype(dtype, copy=False)
    return made if _are_held(values, made) else None


def _are_held(values: NDArray[Any], made: NDArray[Any]) -> bool:
    if made.dtype.kind in "SU":
        return np.array_equal(made, values)
    if values.dtype.kind in "biu":
        return are_same(values, made)
    return made.dtype.kind not in "fc" or np.array_equal(np.isfinite(made), np.isfinite(values))
