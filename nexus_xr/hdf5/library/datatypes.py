"""Datatypes as libhdf5 tells them: as what their elements are read, and which can't be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5t

from nexus_xr.hdf5.objects.datatypes import has_references, split_array_type
from nexus_xr.hdf5.objects.text import is_text

# What stands for a text of variable length: a count, and an address and index in the file's heap.
_HEAP_REFERENCE_BYTES = 16
# Few datatypes make up a file, and building a NumPy dtype takes longer than reading a number.
_MOST_TYPES = 512


class MemoryType(NamedTuple):
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


# What libhdf5 puts before a datatype that it encodes: of which kind of message it is, and a version.
_BEFORE_ENCODED = b"\x03\0"
# Versions of datatypes in files, of which the next are those of HDF5 1.12 and 2.0.
_LAST_COMMON = 3
_REFERENCES = {reference.encode(): reference for reference in (h5t.STD_REF_OBJ, h5t.STD_REF_DSETREG)}


def encoded(type_id: h5t.TypeID) -> bytes:
    """A datatype as files have it."""
    content: bytes = type_id.encode()
    return content.removeprefix(_BEFORE_ENCODED)


def decoded(content: bytes) -> h5t.TypeID:
    """The datatype that libhdf5 has for what is in a file."""
    return _with_known_references(h5t.decode(_BEFORE_ENCODED + content))


def _with_known_references(type_id: h5t.TypeID) -> h5t.TypeID:
    """The same datatype: of references within what is of varying length, libhdf5 forgets on decoding which they are."""
    if isinstance(type_id, h5t.TypeReferenceID):
        return _REFERENCES.get(type_id.encode(), type_id)
    return _with_parts(type_id, _with_known_references)


def _with_parts(type_id: h5t.TypeID, changed: Callable[[h5t.TypeID], h5t.TypeID]) -> h5t.TypeID:
    """A datatype made anew, with other ones for those that it is made of; itself where it is made of none."""
    if isinstance(type_id, h5t.TypeVlenID):
        return h5t.vlen_create(changed(type_id.get_super()))
    if isinstance(type_id, h5t.TypeArrayID):
        return h5t.array_create(changed(type_id.get_super()), type_id.get_array_dims())
    if not isinstance(type_id, h5t.TypeCompoundID):
        return type_id
    compound = h5t.create(h5t.COMPOUND, type_id.get_size())
    for number in range(type_id.get_nmembers()):
        member = changed(type_id.get_member_type(number))
        compound.insert(type_id.get_member_name(number), type_id.get_member_offset(number), member)
    return compound


def older(type_id: h5t.TypeID) -> h5t.TypeID:
    """The same datatype as libraries before HDF5 1.12 read it, where they can; itself where it is so.

    Libhdf5 writes datatypes that are made of others in the latest version that a file allows, and copies them so.
    """
    if _version(type_id) <= _LAST_COMMON:
        return type_id
    made = _made_anew(type_id)
    return made if _version(made) < _version(type_id) and made == type_id else type_id


def is_newer(type_id: h5t.TypeID) -> bool:
    """Whether a datatype is in a version that libraries before HDF5 1.12 don't read, though nothing needs it."""
    return older(type_id) is not type_id


def _version(type_id: h5t.TypeID) -> int:
    return encoded(type_id)[0] >> 4


def _made_anew(type_id: h5t.TypeID) -> h5t.TypeID:
    if not isinstance(type_id, h5t.TypeEnumID):
        return _with_parts(type_id, _made_anew)
    made = h5t.enum_create(type_id.get_super())
    for number in range(type_id.get_nmembers()):
        made.enum_insert(type_id.get_member_name(number), type_id.get_member_value(number))
    return made


def numpy_type(item: h5d.DatasetID) -> np.dtype[Any] | None:
    """The dtype of a dataset, None where NumPy has none for it, as for times of HDF5."""
    try:
        dtype: np.dtype[Any] = item.dtype
    except (TypeError, ValueError):
        return None
    return dtype


_types: dict[bytes, MemoryType] = {}


def known_type(type_id: h5t.TypeID) -> MemoryType:
    """The datatype of that description, which is made once."""
    encoded = type_id.encode()
    known = _types.get(encoded)
    if known is None:
        dtype = type_id.dtype
        if _ends_the_process(dtype):
            raise TypeError("region references of varying number, with which libhdf5 would end the process")
        element, inner_shape = split_array_type(dtype)
        known = MemoryType(
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
