"""Arrays that aren't NumPy's nor dask's, as those that files hold: quantities, pandas' arrays, cftime's dates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from .units import as_numbers

WHY_LENGTHS_UNKNOWN = "has blocks of unknown lengths; have them computed: array.data.compute_chunk_sizes()"
# From there on, not all integers are floats.
_EXACT = 2**53


def accepted(variable: xr.Variable) -> xr.Variable:
    """The same values as NumPy or dask has them, in types that all of NumPy's functions know.

    A quantity's units become the attribute ``units``; where pandas' integers and booleans are missing, they are floats
    with NaN; dates of other calendars are numbers with ``units`` and ``calendar``, as CF has them.

    Raises
    ------
    ValueError
        There are values that an array has no place for, or it is an array of another kind.
    """
    variable = as_numbers(variable)
    data: Any = variable._data
    if not isinstance(variable.dtype, np.dtype):
        return variable._replace(data=_of_pandas(getattr(data, "array", data)))
    if variable.dtype.kind == "T":
        return variable.astype(object)
    _check_kind(data)
    if not has_dates_of_cftime(variable):
        return variable
    _check_dates(variable.values)
    return _encoded(variable)


def has_unknown_lengths(variable: xr.Variable) -> bool:
    """Whether dask doesn't know before it computes them how long the blocks of an array are."""
    return any(math.isnan(size) for size in variable.shape)


def _check_kind(data: Any) -> None:
    if hasattr(data, "dask"):
        if not isinstance(getattr(data, "_meta", np.empty(0)), np.ndarray):
            raise ValueError(f"blocks of {type(data._meta).__name__} can't be stored; make them dense arrays")
    elif not isinstance(data, np.ndarray | indexing.ExplicitlyIndexed):
        raise ValueError(f"{type(data).__name__} can't be stored; make it a NumPy array")


def has_dates_of_cftime(variable: xr.Variable) -> bool:
    """Whether values that are in memory are dates of cftime, which are objects of Python."""
    if variable.dtype.kind != "O" or hasattr(variable._data, "dask") or not variable._in_memory or not variable.size:
        return False
    first = next((each for each in variable.values.flat if pd.isna(each) is not True), None)
    return _is_of_cftime(first)


def _is_of_cftime(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "cftime"


def _check_dates(values: NDArray[Any]) -> None:
    """Raise an error where dates of cftime are missing, of several calendars, or beside other objects."""
    if any(pd.isna(each) is True for each in values.flat):
        raise ValueError("it has missing dates of cftime, for which there is no place; fill them, or leave them out")
    if not all(map(_is_of_cftime, values.flat)):
        raise ValueError("it has other values beside dates of cftime; make all of them dates of one calendar")
    if len(calendars := sorted({each.calendar for each in values.flat})) > 1:
        raise ValueError(
            f"it has dates of the calendars {', '.join(calendars)}; bring them to one, by convert_calendar"
        )


def _encoded(variable: xr.Variable) -> xr.Variable:
    return xr.coders.CFDatetimeCoder().encode(variable.to_base_variable())


def _of_pandas(array: Any) -> NDArray[Any]:
    if getattr(array.dtype, "tz", None) is not None:
        raise ValueError("its dates have a time zone, for which there is no place; make them UTC: tz_convert(None)")
    missing = np.asarray(array.isna())
    stored: np.dtype[Any] | None = getattr(array.dtype, "numpy_dtype", None)
    if not missing.any():
        return np.asarray(array.to_numpy(dtype=stored) if stored is not None else array)
    if stored is None or stored.kind not in "biuf":
        raise ValueError("it has missing values, for which there is no place; fill them")
    if stored.kind in "iu" and (np.abs(np.asarray(array[~missing], np.float64)) >= _EXACT).any():
        raise ValueError("it has missing values beside integers that no float holds; fill them")
    return np.asarray(array.to_numpy(dtype=np.float64, na_value=np.nan))
