"""Datatypes as h5grove describes them: by libhdf5's classes and numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
from h5py import h5t

from nexus_xr.hdf5.library.datatypes import decoded


@lru_cache(1024)
def type_metadata(encoded: bytes) -> dict[str, Any]:
    """What a datatype is.

    Parameters
    ----------
    encoded
        The datatype as files have it.
    """
    return _described(decoded(encoded))


def text_metadata() -> dict[str, Any]:
    """What text of any length is."""
    return dtype_metadata(h5py.string_dtype())


def dtype_metadata(dtype: np.dtype[Any]) -> dict[str, Any]:
    """What the datatype is that h5py makes of a dtype."""
    return _described(h5t.py_create(dtype, logical=True))


def _described(type_id: h5t.TypeID) -> dict[str, Any]:
    common = {"class": type_id.get_class(), "dtype": _text_of(type_id.dtype), "size": type_id.get_size()}
    more = next((more for kind, more in _MORE if isinstance(type_id, kind)), None)
    return common if more is None else {**common, **more(type_id)}


def _text_of(dtype: np.dtype[Any]) -> Any:
    if dtype.names is None:
        return dtype.str
    return {name: _text_of(dtype[name]) for name in dtype.names}


def _integer(type_id: Any) -> dict[str, Any]:
    return {"order": type_id.get_order(), "sign": type_id.get_sign()}


def _ordered(type_id: Any) -> dict[str, Any]:
    return {"order": type_id.get_order()}


def _string(type_id: Any) -> dict[str, Any]:
    return {"cset": type_id.get_cset(), "strpad": type_id.get_strpad(), "vlen": bool(type_id.is_variable_str())}


def _opaque(type_id: Any) -> dict[str, Any]:
    return {"tag": type_id.get_tag()}


def _compound(type_id: Any) -> dict[str, Any]:
    numbers = range(type_id.get_nmembers())
    return {
        "members": [
            {"name": type_id.get_member_name(number).decode(), **_described(type_id.get_member_type(number))}
            for number in numbers
        ]
    }


def _enumeration(type_id: Any) -> dict[str, Any]:
    numbers = range(type_id.get_nmembers())
    members = {type_id.get_member_name(number).decode(): type_id.get_member_value(number) for number in numbers}
    return {"members": members, "base": _described(type_id.get_super())}


def _sequence(type_id: Any) -> dict[str, Any]:
    return {"base": _described(type_id.get_super())}


def _array(type_id: Any) -> dict[str, Any]:
    return {"dims": type_id.get_array_dims(), "base": _described(type_id.get_super())}


_MORE: tuple[tuple[type, Callable[[Any], dict[str, Any]]], ...] = (
    (h5t.TypeIntegerID, _integer),
    (h5t.TypeFloatID, _ordered),
    (h5t.TypeStringID, _string),
    (h5t.TypeBitfieldID, _ordered),
    (h5t.TypeOpaqueID, _opaque),
    (h5t.TypeCompoundID, _compound),
    (h5t.TypeEnumID, _enumeration),
    (h5t.TypeVlenID, _sequence),
    (h5t.TypeArrayID, _array),
)
