"""Attributes in which HDF5's dimension scales, and netCDF-4 with them, keep which datasets belong to which dimensions.

They hold where they stand in their file, and nowhere else: a copy that has them is read wrong, or not at all.

Sources: the HDF5 Dimension Scale Specification, and the netCDF-4 format in the specification of netCDF's file formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SCALE = "DIMENSION_SCALE"
_OF_SCALES = {"CLASS", "NAME"}
# With an element for each dimension of a dataset.
DIMENSION_LIST = "DIMENSION_LIST"
DIMENSION_LABELS = "DIMENSION_LABELS"
# With an element for each dimension that a scale is attached to.
REFERENCE_LIST = "REFERENCE_LIST"
# What libraries for dimension scales look for.
SCALE_ATTRIBUTES = {*_OF_SCALES, DIMENSION_LIST, DIMENSION_LABELS, REFERENCE_LIST}
_ALWAYS = {DIMENSION_LIST, REFERENCE_LIST, "_NCProperties", "_Netcdf4Coordinates", "_Netcdf4Dimid", "_nc3_strict"}


def without_scales(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of an object that stay true when it stands elsewhere.

    Examples
    --------
    >>> without_scales({"CLASS": "DIMENSION_SCALE", "NAME": "x", "units": "mm"}), without_scales({"CLASS": "IMAGE"})
    ({'units': 'mm'}, {'CLASS': 'IMAGE'})
    """
    kind = attributes.get("CLASS")  # which other conventions have as well, as those for images and tables
    dropped = _ALWAYS | _OF_SCALES if isinstance(kind, str) and kind == _SCALE else _ALWAYS
    return {name: value for name, value in attributes.items() if name not in dropped}
