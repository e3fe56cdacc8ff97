"""References, which h5grove says nothing of but that they are there."""

from __future__ import annotations

from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.datatypes import has_references, is_reference, split_array_type, varying_element
from nexus_xr.hdf5.objects.text import marks


def with_references(value: Any, dtype: np.dtype[Any]) -> Any:
    """A value of a stored dtype in which each reference is the text that h5py shows it as."""
    return _told(value, dtype) if has_references(dtype) else value


def _told(value: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(value, list | np.ndarray):
        return [_told(each, dtype) for each in value]
    element = _innermost(dtype)
    if is_reference(element):
        return _words(marks(element)["ref"], is_null=value is None)
    if element.names is not None:
        return [_told(value[name], element[name]) for name in element.names]
    return value


def _words(kind: type, is_null: bool) -> str:
    """What h5py says of a reference; null ones are told from those to what no path leads to by nothing here."""
    import h5py

    return str(kind()) if is_null else f"<HDF5 {'region' if kind is h5py.RegionReference else 'object'} reference>"


def _innermost(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of the elements of arrays and of what is of varying length."""
    element, _ = split_array_type(dtype)
    inner = varying_element(element)
    return element if inner is None else _innermost(inner)
