"""References, which h5grove says nothing of but that they are there."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.datatypes import has_references, is_reference
from nexus_xr.hdf5.objects.text import marks


def with_references(value: Any, encoded: bytes) -> Any:
    """A value in which each reference is the text that h5py shows it as."""
    from nexus_xr.hdf5.library.datatypes import decoded

    dtype = decoded(encoded).dtype
    return _told(value, dtype) if has_references(dtype) else value


def _told(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, list):
        return [_told(each, dtype) for each in value]
    if isinstance(value, np.ndarray):
        return [_told(each, dtype) for each in value]
    if is_reference(dtype):
        import h5py

        is_region = marks(dtype)["ref"] is h5py.RegionReference
        return f"<HDF5 {'region' if is_region else 'object'} reference>"
    if dtype.names is not None:
        return [_told(value[name], dtype[name]) for name in dtype.names]
    return value
