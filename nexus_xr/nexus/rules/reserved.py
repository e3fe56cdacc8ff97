"""Attributes that are written beside NeXus's own, so that what NeXus has no words for comes back as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.text import is_text

from .attributes import names, text
from .content import Field, GroupContent

# On a field: names of its dimensions, where the attributes of NXdata don't tell them. As xarray writes it to Zarr.
DIMENSIONS = "_ARRAY_DIMENSIONS"
# On an NXdata group: fields that are coordinates, where `@axes` and `@AXISNAME_indices` don't tell it. As CF has it.
COORDINATES = "coordinates"
# On a field: NumPy's dtype of the dates or lengths of time that integers stand for, or of text.
DTYPE = "numpy_dtype"


def recorded_dims(field: Field) -> tuple[str, ...] | None:
    """The names that a field gives its dimensions, None where it gives none."""
    value = field.attributes.get(DIMENSIONS)
    listed = tuple(map(str, np.ravel(np.asarray(value, dtype=object)))) if value is not None else ()
    return listed if len(listed) == field.ndim > 0 and len(set(listed)) == len(listed) else None


def recorded_coordinates(content: GroupContent) -> tuple[str, ...]:
    """The fields that a group names as coordinates."""
    return tuple(name for name in names(content.attributes.get(COORDINATES)) if name in content.fields)


def recorded_dtype(attributes: Mapping[str, Any], stored: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype of what a field stands for, None where that is just what is stored.

    Examples
    --------
    >>> recorded_dtype({"numpy_dtype": "datetime64[ns]"}, np.dtype("i8"))
    dtype('<M8[ns]')
    """
    try:
        dtype = np.dtype(text(attributes.get(DTYPE)) or stored)
    except TypeError:
        return None
    is_time = dtype.kind in "mM" and stored == np.dtype(np.int64)
    return dtype if is_time or (dtype.kind == "U" and is_text(stored)) else None


def without_marks(attributes: Mapping[str, Any], stored: np.dtype[Any]) -> dict[str, Any]:
    """The attributes of a field that are not there only to be understood here."""
    hidden = {DIMENSIONS}
    dtype = recorded_dtype(attributes, stored)
    if dtype is not None:
        hidden |= {DTYPE} if dtype.kind == "U" else {DTYPE, "units"}
    return {name: value for name, value in attributes.items() if name not in hidden}
