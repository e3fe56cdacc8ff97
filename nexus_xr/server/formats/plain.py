"""Values as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.objects.values import is_empty

# Objects of ours, such as links, are written as `plain` has them, and not as what they are made of.
_OWN_FORMS = orjson.OPT_PASSTHROUGH_DATACLASS
# The integers that orjson writes.
_LEAST_INTEGER, _MOST_INTEGER = -(2**63), 2**64 - 1


def to_json(content: Any) -> bytes:
    """JSON of nested dictionaries, lists, arrays and values: what is no number is null, complex numbers are pairs.

    Examples
    --------
    >>> from nexus_xr.hdf5.objects.links import Link
    >>> to_json({"a": np.array([1.5, np.nan]), "b": 1 + 2j, "c": np.array([1, 2**64 - 1], ">u8"), "d": Link("/entry")})
    b'{"a":[1.5,null],"b":[1.0,2.0],"c":[1,18446744073709551615],"d":"/entry"}'
    """
    content = _with_told_times(content)
    try:
        return orjson.dumps(content, default=plain, option=orjson.OPT_SERIALIZE_NUMPY | _OWN_FORMS)
    except TypeError:  # of what orjson knows, not all can it write: other byte orders, larger integers
        return orjson.dumps(_listed(content), default=plain, option=_OWN_FORMS)


def told_times(values: Any) -> Any:
    """Dates of any array as ISO 8601 has them, and lengths of time in their unit; None where there is none.

    Examples
    --------
    >>> told_times(np.array(["2020-01-01T12:00:00.123456789", "NaT"], "M8[ns]"))
    ['2020-01-01T12:00:00.123456789', None]
    >>> told_times(np.timedelta64(90, "s"))
    90
    """
    times = np.asarray(values)
    told = np.asarray(np.datetime_as_string(times)) if times.dtype.kind == "M" else times.astype(np.int64)
    return np.where(np.isnat(times), np.array(None), told.astype(object)).tolist()


def is_times(value: Any) -> bool:
    """Whether a value of NumPy is dates or lengths of time."""
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "mM"


def _with_told_times(content: Any) -> Any:
    """The same with times told here: orjson cuts them to microseconds, and makes dates of what is none."""
    if isinstance(content, Mapping):
        return {name: _with_told_times(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_with_told_times(value) for value in content]
    return told_times(content) if is_times(content) else content


def plain(value: Any) -> Any:
    """A value that orjson has no form for, in one that it has.

    Examples
    --------
    >>> from nexus_xr.hdf5.objects.links import Link
    >>> plain(1 + 2j), plain(np.longdouble(0.5)), plain(Link("/entry"))
    ([1.0, 2.0], 0.5, '/entry')

    Opaque values are text, alone as in lists:

    >>> to_json(np.void(b"abc")), to_json(np.array([b"abc"], "V3"))
    (b'"abc"', b'["abc"]')
    """
    if isinstance(value, np.ndarray):
        return _list(value)
    if isinstance(value, np.void):
        return list(value.item()) if value.dtype.names else decode(value.tobytes())
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
    """The same without arrays, and with larger integers as text."""
    if isinstance(content, Mapping):
        return {name: _listed(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_listed(value) for value in content]
    if isinstance(content, np.ndarray):
        return _listed(_list(content))
    if isinstance(content, int) and not _LEAST_INTEGER <= content <= _MOST_INTEGER:
        return str(content)
    return content
