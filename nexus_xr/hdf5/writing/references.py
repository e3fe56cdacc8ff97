"""References of what was copied: they say where in a file something is, and it is elsewhere in another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import h5py
import numpy as np
from h5py import h5a, h5i, h5r, h5s, h5t
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.objects.dimension_scales import DIMENSION_LIST, REFERENCE_LIST
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

from .atomic_file import failing

_DIMENSION_LIST, _REFERENCE_LIST = DIMENSION_LIST.encode(), REFERENCE_LIST.encode()
AnyObject: TypeAlias = h5py.Group | h5py.Dataset | h5py.Datatype
# Gives what an object that is referred to has become, None where it is gone.
Successor: TypeAlias = Callable[[Any], Any]


class ReferringCopies:
    """Copies of objects that refer to others, which may not be there yet.

    Parameters
    ----------
    successor
        Gives the object that has taken the place of one.
    """

    def __init__(self, successor: Successor) -> None:
        self._successor = successor
        self._noted: list[tuple[AnyObject, AnyObject]] = []

    def note(self, source: AnyObject, made: AnyObject) -> None:
        """Note the copy of an object if that refers to others. It has the same attributes and is as large."""
        if _refers_to_others(source):
            self._noted.append((source, made))

    def redirect(self, name: str, failure: str, target: str | None = None) -> None:
        """Have the copies refer to what the objects have become that the originals refer to.

        References to what is gone, and such as are damaged, refer to nothing then.

        Parameters
        ----------
        name
            What the file is called in an error.
        failure
            What is said where libhdf5 can't read or write an object.
        target
            The file that the copies are in if that is another, which is named where there is no room.
        """
        for source, made in self._noted:
            with failing(name, decode(made.name), failure, target):
                _redirect(source, made, self._successor)


def refuse_unknown(dataset: h5py.Dataset, name: str) -> None:
    """Raise an error where values are references, or have some, that can't be led to anything.

    Parameters
    ----------
    dataset
        A dataset that is to be copied.
    name
        What it is called in the error.

    Raises
    ------
    NexusError
        There are references of a kind that h5py doesn't read, as HDF5 has them since version 1.12.
    """
    if _is_unknown(dataset.id.get_type()):
        raise NexusError(f"{name}: has references as HDF5 has them since 1.12, which h5py doesn't read; use h5repack")


def _redirect(source: AnyObject, made: AnyObject, successor: Successor) -> None:
    def led(reference: Any) -> Any:
        return _led(reference, source.id, successor)

    for name in _referring_attributes(source):
        read, written = h5a.open(source.id, name), h5a.open(made.id, name)
        values = np.empty(read.shape, read.dtype)
        read.read(values)
        values = _each(values, led)
        if name == _DIMENSION_LIST and h5py.check_vlen_dtype(values.dtype) is not None:
            for index in np.ndindex(values.shape):  # libhdf5 reads no scale that is nothing
                values[index] = values[index][values[index].astype(bool)]
        if name == _REFERENCE_LIST and values.dtype.names is not None and not all(pair[0] for pair in values.ravel()):
            _shorten(made, name, written, values)
        else:
            written.write(values)
    if isinstance(source, h5py.Dataset) and _refers(source.id.get_type()) and source.size:
        values = np.empty(source.shape, source.dtype)
        source.id.read(h5s.ALL, h5s.ALL, values)
        made.id.write(h5s.ALL, h5s.ALL, _each(values, led))


def _shorten(scale: AnyObject, name: bytes, attribute: h5a.AttrID, values: NDArray[Any]) -> None:
    """Leave out of the list of where a scale is attached what is gone, as libhdf5 reads that no more otherwise."""
    kept = np.array([pair for pair in values.ravel() if pair[0]], values.dtype)
    kind = attribute.get_type()
    h5a.delete(scale.id, name)
    if len(kept):
        h5a.create(scale.id, name, kind, h5s.create_simple(kept.shape)).write(kept)


def _refers_to_others(item: AnyObject) -> bool:
    """Whether there are references among the values or the attributes of an object."""
    is_dataset = isinstance(item, h5py.Dataset)
    return (is_dataset and _refers(item.id.get_type())) or any(True for _ in _referring_attributes(item))


def _referring_attributes(item: AnyObject) -> Iterator[bytes]:
    names: list[bytes] = []
    h5a.iterate(item.id, names.append)
    for name in names:
        attribute = h5a.open(item.id, name)
        if attribute.get_space().get_simple_extent_type() != h5s.NULL and _refers(attribute.get_type()):
            yield name


def _is_unknown(kind: h5t.TypeID) -> bool:
    """Whether elements have references of a kind that h5py doesn't read."""
    if not kind.detect_class(h5t.REFERENCE):
        return False
    try:
        return not _has_references(kind.dtype)
    except TypeError:
        return True


def _refers(kind: h5t.TypeID) -> bool:
    """Whether elements are references, or consist of them, of the kinds that h5py reads."""
    return bool(kind.detect_class(h5t.REFERENCE)) and not _is_unknown(kind)


def _has_references(dtype: np.dtype[Any]) -> bool:
    if dtype.names is not None:
        return any(_has_references(dtype[name]) for name in dtype.names)
    inner = h5py.check_vlen_dtype(dtype)
    if isinstance(inner, np.dtype):
        return _has_references(inner)
    return h5py.check_ref_dtype(dtype) is not None


def _each(values: NDArray[Any], led: Callable[[Any], Any]) -> NDArray[Any]:
    """The same values with each reference led to where it belongs."""
    dtype = values.dtype
    if dtype.names is not None:
        for name in dtype.names:
            if _has_references(dtype[name]):
                values[name] = _each(values[name], led)
    elif isinstance(h5py.check_vlen_dtype(dtype), np.dtype):
        for index in np.ndindex(values.shape):
            values[index] = _each(values[index], led)
    else:
        for index in np.ndindex(values.shape):
            values[index] = led(values[index])
    return values


def _led(reference: h5r.Reference, source: h5i.ObjectID, successor: Successor) -> h5r.Reference:
    is_region = isinstance(reference, h5r.RegionReference)
    nothing: h5r.Reference = h5r.RegionReference() if is_region else h5r.Reference()
    if not reference:
        return nothing
    try:
        place = successor(h5r.dereference(reference, source))
        if place is None:
            return nothing
        if not is_region:
            return h5r.create(place, b".", h5r.OBJECT)
        return h5r.create(place, b".", h5r.DATASET_REGION, h5r.get_region(reference, source))
    except AnyHdf5Error:  # damaged
        return nothing
