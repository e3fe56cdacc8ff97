"""References to objects, as links to what they refer to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5i
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.datatypes import has_references
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.text import decode

from .addresses import object_names


def name_references(values: NDArray[Any], dtype: np.dtype[Any], location: h5i.ObjectID) -> NDArray[Any]:
    """References as a `Link` to what they refer to, for which the open file is needed; None for null references."""
    linked = [_named(value, dtype, location) for value in values.flat]
    if dtype.names is None:
        return _objects(linked).reshape(values.shape)
    parts = [(name, object if has_references(dtype[name]) else dtype[name]) for name in dtype.names]
    return np.array(linked, dtype=parts).reshape(values.shape)


def _named(value: Any, dtype: np.dtype[Any], location: h5i.ObjectID) -> Any:
    if h5py.check_ref_dtype(dtype) is not None:
        name = object_names.of_target(value, location) if value else None
        return Link(decode(name)) if name else None
    if dtype.names is not None:
        return tuple(_named(value[name], dtype[name], location) for name in dtype.names)
    if not has_references(dtype):
        return value
    inner = h5py.check_vlen_dtype(dtype) or dtype.base
    return _objects([_named(each, inner, location) for each in np.ravel(value)])


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array
