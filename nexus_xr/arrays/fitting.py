"""Functions fitted to values, each of which weighs as its uncertainty says."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.extras import require

from .uncertainties import errors_in, joined, values_in

_PARAMETER = "parameter"


def curvefit(
    array: xr.DataArray, dim: Any, function: Callable[..., Any], start: Mapping[str, float], options: Mapping[str, Any]
) -> xr.Dataset:
    """The parameters of a function that is fitted along a dimension to values with uncertainties."""
    names = [*inspect.signature(function).parameters][1:]
    if unknown := sorted(start.keys() - set(names)):
        raise NexusError(f"{function.__name__} has no parameter {unknown[0]!r}, but {names}")
    if dim not in array.coords or array.coords[dim].dims != (dim,):
        raise NexusError(f"{dim!r} is no coordinate along a dimension of its name; there are {[*array.coords]}")
    values, errors = (array.copy(data=part(array).data) for part in (values_in, errors_in))
    fitted = xr.apply_ufunc(
        partial(_fit, function, [start.get(name, 1.0) for name in names], options),
        array.coords[dim].astype(float),
        values,
        errors,
        input_core_dims=[[dim]] * 3,
        output_core_dims=[[_PARAMETER]] * 2,
        vectorize=True,
        dask="parallelized",
        output_dtypes=[float] * 2,
        dask_gufunc_kwargs={"output_sizes": {_PARAMETER: len(names)}, "allow_rechunk": True},
        keep_attrs=True,
    )
    each = {name: [part.isel({_PARAMETER: place}) for part in fitted] for place, name in enumerate(names)}
    pairs = {name: (one.coords, joined(one.variable, other.variable)) for name, (one, other) in each.items()}
    return xr.Dataset({name: xr.DataArray(pair.data, coords, pair.dims) for name, (coords, pair) in pairs.items()})


def _fit(
    function: Callable[..., Any],
    start: list[float],
    options: Mapping[str, Any],
    x: NDArray[Any],
    values: NDArray[Any],
    errors: NDArray[Any],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Parameters and their uncertainties, NaN where there are none to be found."""
    require("fit")
    from scipy.optimize import curve_fit

    none = np.full(len(start), np.nan)
    known = ~np.isnan(values)
    if not (errors[known] > 0).all():
        raise NexusError(
            "values whose uncertainties are 0 or missing can't be weighed against others; "
            "leave them out, as by array.where(array.nexus.errors > 0)"
        )
    if np.count_nonzero(known) < len(start):
        return none, none
    try:
        found, covariances = curve_fit(
            function, x[known], values[known], start, errors[known], absolute_sigma=True, **options
        )
    except RuntimeError:  # which is what scipy calls it
        return none, none
    return found, np.sqrt(np.diagonal(covariances))
