"""Values of metadata as what an attribute of any format holds: a number, text, or JSON text.

JSON text is an object, so that it begins with a brace; its one key says what kind of value it stands for.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.text import is_unicode
from nexus_xr.hdf5.objects.values import empty, is_empty
from nexus_xr.hdf5.reading.array import LazyArray

from .arrays import array_of_json, array_to_json, dtype_of_json, dtype_to_json

_INT64 = np.iinfo(np.int64)


@dataclass(frozen=True)
class VariableName:
    """A value that stands for the array of a variable."""

    name: str


def as_attribute(value: Any) -> Any:
    """A value as a number or as text.

    Raises
    ------
    NexusError
        It is of a type that there is no form for.

    Examples
    --------
    >>> as_attribute(1.5), as_attribute("mm"), as_attribute(np.arange(3, dtype="u2"))
    (1.5, 'mm', '{"array": {"dtype": "<u2", "values": [0, 1, 2]}}')
    """
    if _is_plain(value):
        return value
    made = to_json(value)
    return json.dumps(made if isinstance(made, dict) else {"value": made})


def of_attribute(stored: Any) -> Any:
    """The value that an attribute holds.

    Examples
    --------
    >>> of_attribute('{"array": {"dtype": "<u2", "values": [0, 1, 2]}}')
    array([0, 1, 2], dtype=uint16)
    """
    if isinstance(stored, np.generic | np.ndarray) and stored.size == 1:
        stored = stored.item()  # as netCDF gives a number
    return of_json(json.loads(stored)) if isinstance(stored, str) and stored.startswith("{") else stored


def _is_plain(value: Any) -> bool:
    if type(value) is str:
        return not value.startswith("{") and "\0" not in value and is_unicode(value)
    if type(value) is int:
        return bool(_INT64.min <= value <= _INT64.max)
    return type(value) is float and math.isfinite(value)


def to_json(value: Any) -> Any:
    """A value as JSON has it; what it hasn't is an object with one key, the kind of value."""
    if value is None or type(value) in (bool, int, str) or (type(value) is float and math.isfinite(value)):
        return value
    if type(value) is list:
        return [to_json(each) for each in value]
    if np.ma.is_masked(value):
        raise NexusError("it has masked elements, for which other formats have no place; fill them")
    for name, kind in _KINDS.items():
        if kind.is_one(value):
            return {name: kind.encode(value)}
    raise NexusError(f"a value of type {type(value).__name__} has no form in other formats; make it a number or text")


def of_json(made: Any) -> Any:
    """The value that JSON stands for."""
    if isinstance(made, list):
        return [of_json(each) for each in made]
    if not isinstance(made, dict):
        return made
    [(name, inner)] = made.items()
    return of_json(inner) if name == "value" else _KINDS[name].decode(inner)


class _Kind(NamedTuple):
    """A kind of value that JSON hasn't."""

    is_one: Callable[[Any], bool]
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


def _is_a(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


def _array(values: NDArray[Any]) -> dict[str, Any]:
    is_text_of_numpy = values.dtype.kind == "T"  # a type that has no name of which NumPy makes it again
    return array_to_json(values.astype(object) if is_text_of_numpy else values, to_json)


def _of_array(made: Mapping[str, Any]) -> NDArray[Any]:
    return array_of_json(made, of_json)


def _stored(array: LazyArray) -> dict[str, Any]:
    """Where an array lies that stays in its file."""
    dtype = "text" if array.raw_dtype.hasobject else dtype_to_json(array.raw_dtype)
    return {"file": array.file.given_name, "path": array.path, "shape": array.shape, "dtype": dtype}


def _of_stored(made: Mapping[str, Any]) -> LazyArray:
    text = np.dtype(object, metadata={"vlen": str})
    dtype = text if made["dtype"] == "text" else dtype_of_json(made["dtype"])
    return LazyArray(File(made["file"]), made["path"], tuple(made["shape"]), dtype)


_KINDS: Mapping[str, _Kind] = {
    "float": _Kind(_is_a(float), repr, float),
    "complex": _Kind(_is_a(complex), lambda value: [repr(value.real), repr(value.imag)], lambda made: _complex(*made)),
    "tuple": _Kind(_is_a(tuple), lambda value: [to_json(each) for each in value], lambda made: tuple(of_json(made))),
    "bytes": _Kind(_is_a(bytes), lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "datetime": _Kind(_is_a(datetime), datetime.isoformat, datetime.fromisoformat),
    "group": _Kind(
        _is_a(Mapping),
        lambda value: {str(name): to_json(each) for name, each in value.items()},
        lambda made: {name: of_json(each) for name, each in made.items()},
    ),
    "link": _Kind(_is_a(Link), lambda link: [link.path, link.file, link.trouble], lambda made: Link(*made)),
    "empty": _Kind(is_empty, lambda value: dtype_to_json(value.dtype), lambda made: empty(dtype_of_json(made))),
    "stored": _Kind(_is_a(LazyArray), _stored, _of_stored),
    "variable": _Kind(_is_a(VariableName), lambda value: value.name, VariableName),
    "array": _Kind(_is_a(np.ndarray), _array, _of_array),
    "scalar": _Kind(_is_a(np.generic), lambda value: _array(np.asarray(value)), lambda made: _of_array(made)[()]),
}


def _complex(real: str, imaginary: str) -> complex:
    return complex(float(real), float(imaginary))
