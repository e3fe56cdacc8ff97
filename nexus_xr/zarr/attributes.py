"""Attributes as JSON, and those by which xarray makes of an array what the file means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.objects.node import Node
from nexus_xr.hdf5.objects.values import is_empty
from nexus_xr.opening.fields.stored import ScaledArray

from .data_types import named_number

# By which whoever follows the CF conventions changes values.
_CF_CODING = frozenset({"scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned", "dtype"})
_UNITS = {
    "D": "days",
    "h": "hours",
    "m": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
}
_NOT_A_TIME = int(np.iinfo(np.int64).min)


def documents(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON has them; numbers that it has not, by their names.

    Examples
    --------
    >>> documents({"units": "mm", "offsets": np.array([0.5, np.nan])})
    {'units': 'mm', 'offsets': [0.5, 'NaN']}
    """
    return {name: document(value) for name, value in attributes.items()}


def document(value: Any) -> Any:
    """One value as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        return document(value.tolist())
    if isinstance(value, list | tuple):
        return [document(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, float):
        return named_number(value)
    if isinstance(value, complex):
        return [named_number(value.real), named_number(value.imag)]
    if value is None or is_empty(value):
        return None
    return value if isinstance(value, bool | int | str) else str(value)


def without_opaque(attributes: Mapping[str, Any], node: Node) -> dict[str, Any]:
    """The attributes of an object without opaque ones, which are reported; as text they would be other values."""
    opaque = [name for name, value in attributes.items() if _is_opaque(value)]
    for name in opaque:
        node.report(Code.NO_ZARR_TYPE, f"attribute {name!r} is opaque, which JSON has not; it is left out")
    return {name: value for name, value in attributes.items() if name not in opaque}


def _is_opaque(value: Any) -> bool:
    return isinstance(value, bytes) or (isinstance(value, np.ndarray | np.void) and _has_opaque(value.dtype))


def _has_opaque(dtype: np.dtype[Any]) -> bool:
    if dtype.names is not None:
        return any(_has_opaque(dtype[name]) for name in dtype.names)
    return dtype.base.kind == "V"


def scaling(array: ScaledArray, attributes: Mapping[str, Any]) -> dict[str, float] | None:
    """The attributes by which xarray scales raw values to the same numbers, None where there are none.

    Source: "Packed Data" of the CF conventions, which have raw values multiplied before the offset is added.
    """
    raw = array.raw.raw_dtype
    is_exact = raw.kind in "iuf" and raw.itemsize <= (4 if raw.kind in "iu" else 8)
    factor, offset = float(array.factor), float(array.offset)
    is_finite = bool(np.isfinite([factor, offset]).all())
    if not is_exact or not is_finite or _CF_CODING & attributes.keys() or (offset and factor != 1):
        return None
    return {"add_offset": offset} if offset else {"scale_factor": factor}


def time_units(dtype: np.dtype[Any]) -> dict[str, Any] | None:
    """The attributes by which xarray takes integers for dates, or lengths of time; None where there are none.

    Examples
    --------
    >>> time_units(np.dtype("m8[ms]"))
    {'units': 'milliseconds', 'dtype': 'timedelta64[ms]'}
    """
    name, count = np.datetime_data(dtype)
    if name not in _UNITS or count != 1:
        return None
    if dtype.kind == "m":
        return {"units": _UNITS[name], "dtype": f"timedelta64[{name}]"}
    since = f"{_UNITS[name]} since 1970-01-01"
    return {"units": since, "calendar": "proleptic_gregorian", "_FillValue": _NOT_A_TIME}


def coordinates(names: Iterable[str]) -> dict[str, str]:
    """The attribute of a group by which xarray takes arrays for coordinates; of names with blanks it can't be told."""
    told = [name for name in names if not any(map(str.isspace, name))]
    return {"coordinates": " ".join(told)} if told else {}
