"""Values as HDF5 holds them, in types that it has, and why others can't be stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.datatypes import has_references, varying_element
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.text import as_h5py_takes_it, encode, is_text, is_unicode
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.nexus.tree.metadata import StoredArray

from .exact_lists import are_held, duration, exact_list, exact_numbers
from .quantities import is_quantity
from .ways_out import (
    NO_TYPE_OF_NUMBER,
    UnstorableError,
    has_labels,
    is_number,
    why_unstorable,
    why_unstorable_elements,
)

_MOST_DIMENSIONS = 32
_TEXT = h5py.string_dtype()


def why_too_many(dimensions: int) -> str | None:
    """Why an array of so many dimensions can't be stored, None where it can.

    Source: the HDF5 library's H5S_MAX_RANK.
    """
    too_many = dimensions > _MOST_DIMENSIONS
    return f"it has {dimensions} dimensions, and arrays in HDF5 at most {_MOST_DIMENSIONS}" if too_many else None


def storable(value: Any) -> Any:
    """A value as HDF5 holds it: an array, `h5py.Empty`, or what gives an array later.

    Raises
    ------
    UnstorableError
        HDF5 has no way to hold it.

    Examples
    --------
    >>> storable([1, 2]), storable(1.5)
    (array([1, 2]), array(1.5))
    """
    if isinstance(value, LazyArray) and has_references(value.raw_dtype):
        value = value[...]  # as copies of them would lead nowhere
    if isinstance(value, h5py.Empty):
        return h5py.Empty(_without_objects(value.dtype))
    if _comes_later(value):
        if not isinstance(value, StoredArray) and value.dtype.kind == "V" and _has_text_or_dates(value.dtype):
            raise UnstorableError("it has records with text or dates, which dask has yet to compute; compute it")
        return value
    if value is None:
        return h5py.Empty("f4")
    if isinstance(value, str) and "\0" in value:  # of which NumPy's text cuts those at the end
        raise UnstorableError("it is text with a zero in it, which would end there")
    if isinstance(value, bytes) and not _is_text(value):
        return np.asarray(np.void(value))
    if isinstance(value, date):
        return np.asarray(value.isoformat(), dtype=_TEXT)
    if is_quantity(value):
        raise UnstorableError("it is a quantity, of whose units there is no attribute here; make it a number")
    if np.ma.is_masked(value):
        raise UnstorableError("it has masked elements, for which HDF5 has no place; fill them")
    if has_labels(value):
        raise UnstorableError(why_unstorable(value))
    return _storable_plain(_plain(value))


def _plain(value: Any) -> Any:
    """A value as one of those that NumPy makes arrays of which hold it as it is."""
    if isinstance(value, list | tuple):
        return exact_list(value)
    if isinstance(value, timedelta):
        return duration(value)
    if isinstance(value, str):
        return str.__str__(value)  # where str() of an enumeration's member is its name
    return bytes(value) if isinstance(value, bytes) else value


def _storable_plain(value: Any) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except TypeError as error:  # which xarray's Datasets raise
        raise UnstorableError(f"a value of type {type(value).__name__} can't be stored in HDF5 ({error})") from None
    except (ValueError, OverflowError) as error:
        if (ragged := _ragged(value)) is not None:
            return ragged
        raise UnstorableError(f"its parts are of several lengths ({error})") from None
    if (reason := why_too_many(array.ndim)) is not None:
        raise UnstorableError(reason)
    try:
        return _storable_array(array)
    except UnicodeEncodeError as error:
        raise UnstorableError(f"it is text that is no Unicode ({error.reason})") from None


def _is_text(value: bytes) -> bool:
    """Whether text is what bytes are stored as, from which just they come back."""
    try:
        return "\0" not in value.decode()
    except UnicodeDecodeError:
        return False


def _comes_later(value: Any) -> bool:
    return isinstance(value, StoredArray) or (hasattr(value, "dask") and hasattr(value, "dtype"))


def _ragged(value: Any) -> NDArray[Any] | None:
    """Lists of numbers, or of bytes, of several lengths as elements of varying length; None where they are others."""
    elements = list(value.flat if isinstance(value, np.ndarray) else value) if _is_list(value) else []
    if not elements or not all(map(_is_list, elements)):
        return None
    try:
        parts = [_part(each) for each in elements]
    except ValueError:
        return None
    kinds = {part.dtype.kind for part in parts if part.size}
    if any(part.ndim != 1 for part in parts) or not (kinds <= set("biuf") or kinds == {"S"}):
        return None
    filled = [part for part in parts if part.size]
    element = np.result_type(*filled) if kinds else parts[0].dtype
    if kinds != {"S"} and filled and not are_held(filled, element):
        raise UnstorableError(NO_TYPE_OF_NUMBER)
    ragged = np.fromiter((part.astype(element) for part in parts), dtype=h5py.vlen_dtype(element))
    return ragged.reshape(np.shape(value)) if isinstance(value, np.ndarray) else ragged


def _part(value: Any) -> NDArray[Any]:
    """One of several lists as an array, of floats only where they hold each of its elements."""
    part = np.asarray(value)
    return np.asarray(exact_list(value)) if part.dtype.kind == "f" and isinstance(value, list | tuple) else part


def _holds(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether elements are still of the type that was noted of them when they were read."""
    inner = varying_element(dtype)
    if inner is None:
        return not dtype.hasobject or (is_text(dtype) and all(isinstance(each, str | bytes) for each in array.flat))
    return all(
        isinstance(each, np.ndarray) and each.ndim == 1 and each.dtype == inner and _holds(each, inner)
        for each in array.flat
    )


def is_ragged(values: Any) -> bool:
    """Whether the elements of an array are arrays of numbers."""
    return isinstance(h5py.check_vlen_dtype(values.dtype), np.dtype)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _storable_array(array: NDArray[Any]) -> NDArray[Any]:
    kind = array.dtype.kind
    inner = varying_element(array.dtype)
    if inner is not None and inner.subdtype is not None:
        raise UnstorableError(
            "its elements are lists of arrays, which h5py doesn't write; leave it out by skip_metadata_key, or keep it "
            'as it is in its file by layout="inplace"'
        )
    if inner is not None and _holds(array, array.dtype):
        return array
    if kind == "O" and all(map(_is_reference, array.flat)):
        return _as_text_array(map(_path_of, array.flat)).reshape(array.shape)
    if kind == "O" and (ragged := _ragged(array)) is not None:
        return ragged
    if kind == "M":
        array = array.astype(str)
        kind = "U"
    if kind == "m" and np.datetime_data(array.dtype)[0] != "generic":
        return array.astype(h5py.opaque_dtype(array.dtype))
    if kind in "biufcS":
        return array if array.dtype.itemsize else array.astype("S1")
    if kind == "U" and array.ndim:
        encoded = np.strings.encode(array, "utf-8", "surrogateescape") if array.size else np.empty(array.shape, "S1")
        length = max(1, array.dtype.itemsize // 4, encoded.dtype.itemsize)
        return encoded.astype(h5py.string_dtype("utf-8", length))
    if kind == "U" or (array.size and all(isinstance(each, str | bytes) for each in array.flat)):
        if any(b"\0" in (each if isinstance(each, bytes) else encode(each)) for each in array.flat):
            raise UnstorableError("it is text with a zero in it, which would end there")
        return _as_text_array(array.astype(object).flat).reshape(array.shape)
    if kind == "T":
        return array.astype(object).astype(_TEXT)
    if kind == "V":
        return _storable_records(array) if _has_text_or_dates(array.dtype) else array
    if kind == "O" and array.ndim:
        return _storable_array(_numbers_of(array))
    if array.shape == ():
        raise UnstorableError(why_unstorable(array.item()))
    raise UnstorableError(f"an array of {array.dtype} can't be stored in HDF5")


def _numbers_of(array: NDArray[Any]) -> NDArray[Any]:
    """Numbers that are objects of Python in a type that holds each of them as it is."""
    numbers = exact_numbers(list(array.flat)) if all(map(is_number, array.flat)) else None
    if numbers is None:
        raise UnstorableError(why_unstorable_elements("an array of object", np.ndenumerate(array)))
    return numbers.reshape(array.shape)


def _has_text_or_dates(dtype: np.dtype[Any]) -> bool:
    """Whether records have elements that HDF5 stores otherwise than NumPy does: text, dates, lengths of time."""
    if dtype.names is None:
        return dtype.base.kind in "OUMm"
    return any(_has_text_or_dates(dtype[name]) for name in dtype.names)


def _storable_records(array: NDArray[Any]) -> NDArray[Any]:
    parts = {name: _storable_array(array[name]) for name in array.dtype.names or ()}
    dtype = np.dtype([(name, part.dtype, part.shape[array.ndim :]) for name, part in parts.items()])
    stored = np.empty(array.shape, dtype)
    for name, part in parts.items():
        stored[name] = part
    return stored


def _is_reference(value: Any) -> bool:
    """Whether a value is a reference, which may be a null one, or a list of them."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and all(map(_is_reference, value.flat))
    return value is None or isinstance(value, Link)


def _path_of(reference: Any) -> str:
    """Where a reference leads; of a list of them, all paths."""
    if isinstance(reference, np.ndarray):
        return ", ".join(map(_path_of, reference.flat))
    return "" if reference is None else str(reference)


def _as_text_array(texts: Iterable[str | bytes]) -> NDArray[Any]:
    return np.fromiter((each if isinstance(each, bytes) else as_h5py_takes_it(_plain(each)) for each in texts), _TEXT)


def raw_dtype(values: Any) -> np.dtype[Any]:
    """The dtype in the file of values that HDF5 can hold."""
    dtype: np.dtype[Any] = values.dtype
    return _TEXT if dtype.kind in "UT" else _without_objects(dtype)


def _without_objects(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same with text of varying length in place of objects of which h5py knows nothing, also in records."""
    if dtype.subdtype is not None:
        element, shape = dtype.subdtype
        return np.dtype((_without_objects(element), shape))
    if dtype.names is not None and dtype.hasobject:
        return np.dtype([(name, _without_objects(dtype[name])) for name in dtype.names])
    is_known = h5py.check_vlen_dtype(dtype) is not None or h5py.check_ref_dtype(dtype) is not None
    return _TEXT if dtype.kind == "O" and not is_known else dtype


def as_attribute(value: Any) -> Any:
    """A value as h5py takes it for an attribute."""
    if isinstance(value, str | list) and not _are_unicode(value):
        value = storable(value)
    is_one_text = isinstance(value, np.ndarray) and value.dtype == _TEXT and value.ndim == 0
    return value.item() if is_one_text else value


def _are_unicode(value: Any) -> bool:
    return all(is_unicode(each) for each in np.ravel(value) if isinstance(each, str))
