"""Attributes as JSON, and those by which xarray makes of an array what the file means."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.objects.node import Node
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.objects.values import is_empty
from nexus_xr.nexus.rules.attributes import UNITS_OF_TIME
from nexus_xr.opening.fields.stored import ScaledArray

from .data_types import named_number

# By which whoever follows the CF conventions changes values.
_FILL_VALUE = "_FillValue"
_CF_CODING = frozenset({"scale_factor", "add_offset", _FILL_VALUE, "missing_value", "_Unsigned", "dtype"})
# Over which xarray fails where they are of another type than it expects.
_DECODED = frozenset({_FILL_VALUE, "scale_factor", "add_offset", "coordinates"})
_UNITS = {unit: words for unit, words in UNITS_OF_TIME.items() if unit != "W"}  # weeks, which xarray doesn't know
_NOT_A_TIME = int(np.iinfo(np.int64).min)


def documents(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as JSON has them; numbers that it has not, by their names.

    Examples
    --------
    >>> documents({"units": "mm", "offsets": np.array([0.5, np.nan])})
    {'units': 'mm', 'offsets': [0.5, 'NaN']}
    >>> documents({"unit": np.array((2, b"m"), [("scale", "i4"), ("name", "S1")])})
    {'unit': {'scale': 2, 'name': 'm'}}
    """
    return {name: document(value) for name, value in attributes.items()}


def document(value: Any) -> Any:
    """One value as JSON has it."""
    if isinstance(value, np.ndarray | np.void) and value.dtype.names is not None:
        if isinstance(value, np.ndarray) and value.ndim:
            return [document(each) for each in value]
        return {name: document(value[name]) for name in value.dtype.names}
    if isinstance(value, np.ndarray | np.generic):
        numbers = _of_python(value)
        return numbers.tolist() if _has_only_json(numbers) else document(numbers.tolist())
    if isinstance(value, list | tuple):
        return [document(each) for each in value]
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, float):
        return named_number(value)
    if isinstance(value, complex):
        return [named_number(value.real), named_number(value.imag)]
    if value is None or is_empty(value):
        return None
    return value if isinstance(value, bool | int | str) else str(value)


def array_documents(attributes: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[dict[str, Any], list[str]]:
    """The attributes of an array as xarray takes them, and the names of those that it fails over and are left out.

    Parameters
    ----------
    attributes
        The attributes as they are in the file.
    dtype
        The type of the array's elements; objects for text.

    Examples
    --------
    >>> array_documents({"_FillValue": -1.0, "scale_factor": "0.1"}, np.dtype("f4"))
    ({'_FillValue': 'AAAAAAAA8L8='}, ['scale_factor'])
    """
    decoded = {name: attributes[name] for name in attributes if name in _DECODED}
    made = {name: _coding_document(name, value, dtype) for name, value in decoded.items()}
    failing = [name for name, value in made.items() if value is None]
    told = documents(attributes) | made
    return {name: value for name, value in told.items() if name not in failing}, failing


def _has_only_json(value: np.ndarray[Any, Any] | np.generic) -> bool:
    """Whether all elements are numbers that JSON has, of which there may be too many to look at each by itself."""
    return value.dtype.kind in "biuf" and bool(np.isfinite(value).all())


def _of_python(value: np.ndarray[Any, Any] | np.generic) -> np.ndarray[Any, Any] | np.generic:
    """The same in double precision where it has more, for which neither Python nor JSON has numbers."""
    doubles = {"g": "f8", "G": "c16"}.get(value.dtype.char)
    with np.errstate(over="ignore"):
        return value if doubles is None else value.astype(doubles)


def _coding_document(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """An attribute by which xarray decodes an array, None where it couldn't."""
    if name == "coordinates":
        return value if isinstance(value, str) else None
    if np.size(value) != 1 or np.asarray(value).dtype.kind not in "biufc":
        return None
    number = np.asarray(value).reshape(())[()]
    if name == _FILL_VALUE:
        return _fill_document(number, dtype)
    is_usable = number.dtype.kind != "c" and np.isfinite(number) and dtype.kind in "iufc"
    return document(number) if is_usable else None


def _fill_document(number: Any, dtype: np.dtype[Any]) -> Any:
    """A number as xarray takes it for an element: a float in base64, of which no bit is lost. None for another type."""
    if dtype.kind == "c":
        return [_in_base64(float(number.real)), _in_base64(float(number.imag))]
    if number.dtype.kind == "c":
        return None
    if dtype.kind == "f":
        return _in_base64(float(number))
    if dtype.kind in "iu":
        return int(number) if np.isfinite(number) and number == np.trunc(number) else None
    return bool(number) if dtype.kind == "b" else None


def _in_base64(number: float) -> str:
    return base64.standard_b64encode(struct.pack("<d", number)).decode()


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
    return {"units": since, "calendar": "proleptic_gregorian", _FILL_VALUE: _NOT_A_TIME}


def coordinates(names: Iterable[str]) -> dict[str, str]:
    """The attribute of a group by which xarray takes arrays for coordinates; of names with blanks it can't be told."""
    told = [name for name in names if not any(map(str.isspace, name))]
    return {"coordinates": " ".join(told)} if told else {}
