"""Arrays that aren't NumPy's nor dask's, as those that a field holds: quantities, pandas' arrays, cftime's dates."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

# From there on, not all integers are floats.
_EXACT = 2**53


def accepted(variable: xr.Variable) -> xr.Variable:
    """The same values as NumPy or dask has them.

    A quantity's units become the attribute ``units``; where pandas' integers and booleans are missing, they are floats
    with NaN; dates of other calendars are numbers with ``units`` and ``calendar``, as CF has them.

    Raises
    ------
    ValueError
        There are values that an array has no place for.
    """
    data: Any = variable._data
    if is_quantity(data):
        return xr.Variable(
            variable.dims, data.magnitude, {**variable.attrs, "units": units_of(data)}, variable.encoding
        )
    if isinstance(variable.dtype, np.dtype):
        return _encoded(variable) if _has_dates_of_cftime(variable) else variable
    return variable._replace(data=_of_pandas(getattr(data, "array", data)))


def is_quantity(value: Any) -> bool:
    """Whether a value has units of its own, as those of pint have."""
    return hasattr(value, "magnitude") and hasattr(value, "units")


def units_of(quantity: Any) -> str:
    """The units of a quantity, as ``m/s``."""
    return f"{quantity.units:~C}"


def _has_dates_of_cftime(variable: xr.Variable) -> bool:
    if variable.dtype.kind != "O" or hasattr(variable._data, "dask") or not variable._in_memory or not variable.size:
        return False
    return type(variable.values.flat[0]).__module__.partition(".")[0] == "cftime"


def _encoded(variable: xr.Variable) -> xr.Variable:
    return xr.coders.CFDatetimeCoder().encode(variable.to_base_variable())


def _of_pandas(array: Any) -> NDArray[Any]:
    missing = np.asarray(array.isna())
    stored: np.dtype[Any] | None = getattr(array.dtype, "numpy_dtype", None)
    if not missing.any():
        return np.asarray(array.to_numpy(dtype=stored) if stored is not None else array)
    if stored is None or stored.kind not in "biuf":
        raise ValueError("it has missing values, for which HDF5 has no place; fill them")
    if stored.kind in "iu" and (np.abs(np.asarray(array[~missing], np.float64)) >= _EXACT).any():
        raise ValueError("it has missing values beside integers that no float holds; fill them")
    return np.asarray(array.to_numpy(dtype=np.float64, na_value=np.nan))
