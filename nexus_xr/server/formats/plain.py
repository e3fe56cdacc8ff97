"""Values as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.objects.values import is_empty

_MOST_BITS = 63


def to_json(content: Any) -> bytes:
    """JSON of nested dictionaries, lists, arrays and values: what is no number is null, complex numbers are pairs.

    Examples
    --------
    >>> to_json({"a": np.array([1.5, np.nan]), "b": 1 + 2j, "c": np.array([1, 2], ">u2")})
    b'{"a":[1.5,null],"b":[1.0,2.0],"c":[1,2]}'
    """
    try:
        return orjson.dumps(content, default=plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError:  # of what orjson knows, not all can it write: other byte orders, large integers
        return orjson.dumps(_listed(content), default=plain)


def plain(value: Any) -> Any:
    """A value that orjson has no form for, in one that it has.

    Examples
    --------
    >>> from nexus_xr.hdf5.objects.links import Link
    >>> plain(1 + 2j), plain(np.longdouble(0.5)), plain(Link("/entry"))
    ([1.0, 2.0], 0.5, '/entry')
    """
    if isinstance(value, np.ndarray):
        return _list(value)
    if isinstance(value, np.void):
        return list(value.item()) if value.dtype.names else value.tobytes().hex()
    if isinstance(value, complex | np.complexfloating):
        return [float(value.real), float(value.imag)]
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, bytes):
        return decode(value)
    return None if is_empty(value) else str(value)


def _list(values: np.ndarray[Any, Any]) -> Any:
    """Nested lists, of long floating-point numbers as far as Python has them."""
    is_long = values.dtype.kind == "f" and values.dtype.itemsize > 8
    return (values.astype(np.float64) if is_long else values).tolist()


def _listed(content: Any) -> Any:
    """The same without arrays, and with integers that JSON's readers don't know as text."""
    if isinstance(content, Mapping):
        return {name: _listed(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_listed(value) for value in content]
    if isinstance(content, np.ndarray):
        return _listed(_list(content))
    if isinstance(content, int) and content.bit_length() > _MOST_BITS:
        return str(content)
    return content
