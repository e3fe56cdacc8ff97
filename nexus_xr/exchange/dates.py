"""Dates that xarray might find no units for, which it does by subtracting neighbours, and their counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.nexus.rules.attributes import units_of_time

from .computed import computed

# Dates between these differ by fewer nanoseconds than 64 bits hold: 146 years before and after 1970.
_EARLY, _LATE = np.datetime64(-(2**62), "ns"), np.datetime64(2**62, "ns")


def may_be_far_apart(dates: xr.Variable) -> bool:
    """Whether dates may lie further apart than nanoseconds count; of those that aren't in memory nobody knows."""
    if not dates._in_memory:
        return True
    values, dtype = dates.values, dates.dtype
    return bool(((values <= _EARLY.astype(dtype)) | (values >= _LATE.astype(dtype))).any())


def counted(dates: xr.Variable) -> xr.Variable:
    """Dates in nanoseconds as CF counts them; as lazy as they are."""
    counts = computed(_counts, [dates], dates.sizes, np.dtype(np.int64))
    encoding = {name: value for name, value in dates.encoding.items() if name != "units"}
    if not dates._in_memory or np.isnat(dates.values).any():
        encoding["_FillValue"] = np.iinfo(np.int64).min
    attributes = {**dates.attrs, "units": units_of_time(dates.dtype), "calendar": "proleptic_gregorian"}
    return xr.Variable(dates.dims, counts._data, attributes, encoding)


def _counts(dates: NDArray[Any]) -> NDArray[Any]:
    return dates.astype(np.int64)
