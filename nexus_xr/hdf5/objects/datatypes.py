"""Datatypes: as what their elements are read, and which are presented otherwise or can't be read."""

from __future__ import annotations

from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5t

from .text import is_text, text_dtype

# What stands for a text of variable length: a count, and an address and index in the file's heap.
_HEAP_REFERENCE_BYTES = 16
# Few datatypes make up a file, and building a NumPy dtype takes longer than reading a number.
_MOST_TYPES = 512


class Datatype(NamedTuple):
    """A datatype as it is read into memory.

    What an element takes in the file is None where that depends on the file.
    """

    dtype: np.dtype[Any]
    element: np.dtype[Any]
    inner_shape: tuple[int, ...]
    memory: h5t.TypeID
    is_text: bool
    has_references: bool
    stored_size: int | None


_types: dict[bytes, Datatype] = {}


def known_type(type_id: h5t.TypeID) -> Datatype:
    """The datatype of that description, which is made once."""
    encoded = type_id.encode()
    known = _types.get(encoded)
    if known is None:
        dtype = type_id.dtype
        if _ends_the_process(dtype):
            raise TypeError("region references of varying number, with which libhdf5 would end the process")
        element, inner_shape = split_array_type(dtype)
        known = Datatype(
            dtype,
            element,
            inner_shape,
            h5t.py_create(dtype),
            is_text(element),
            has_references(element),
            _stored_size(type_id, element),
        )
        if len(_types) >= _MOST_TYPES:
            _types.clear()
        _types[encoded] = known
    return known


def _stored_size(type_id: h5t.TypeID, element: np.dtype[Any]) -> int | None:
    """What an element takes in the file, or less than that: never as much as two or more of them take."""
    if has_references(element):
        return None
    is_varying_text = isinstance(type_id, h5t.TypeStringID) and type_id.is_variable_str()
    return _HEAP_REFERENCE_BYTES if is_varying_text else int(type_id.get_size())


def split_array_type(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The element of an array datatype and the dimensions that it adds behind a dataset's own, as NumPy has them.

    Examples
    --------
    >>> split_array_type(np.dtype(("i4", (3,))))
    (dtype('int32'), (3,))
    """
    shape: tuple[int, ...] = ()
    while dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    return dtype, shape


def has_references(dtype: np.dtype[Any]) -> bool:
    """Whether there are object or region references among the elements of a dtype, or among their parts."""
    if h5py.check_ref_dtype(dtype) is not None:
        return True
    inner = h5py.check_vlen_dtype(dtype)
    if isinstance(inner, np.dtype):
        return has_references(inner)
    if dtype.names is not None:
        return any(has_references(dtype[name]) for name in dtype.names)
    return dtype.subdtype is not None and has_references(dtype.base)


def _ends_the_process(dtype: np.dtype[Any], varies: bool = False) -> bool:
    """Whether libhdf5 crashes on reading a dtype: on region references within elements of varying length."""
    inner = h5py.check_vlen_dtype(dtype)
    if isinstance(inner, np.dtype):
        return _ends_the_process(inner, True)
    if dtype.names is not None:
        return any(_ends_the_process(dtype[name], varies) for name in dtype.names)
    if dtype.subdtype is not None:
        return _ends_the_process(dtype.base, varies)
    return varies and h5py.check_ref_dtype(dtype) is h5py.RegionReference


def presented_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that values of a stored dtype have once they are read: text decoded, references named."""
    if is_text(dtype):
        return text_dtype(dtype)
    if not has_references(dtype):
        return dtype
    if dtype.names is None:
        return np.dtype(object)
    return np.dtype([(name, object if has_references(dtype[name]) else dtype[name]) for name in dtype.names])
