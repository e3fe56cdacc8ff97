"""Files as xarray opens them."""

from __future__ import annotations

from typing import Any

import xarray as xr

import nexus_xr


def open_nexus(path: Any, **options: Any) -> xr.Dataset:
    """What a file shows first."""
    return xr.open_dataset(path, engine="nexus", **options)


def only_signal(path: Any, **options: Any) -> xr.DataArray:
    """The signal of a file that has one group of data."""
    [signal] = nexus_xr.open_signals(path, nxdata_only=True, **options)
    return signal
