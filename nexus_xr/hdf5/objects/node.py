"""What groups and datasets of an open file have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5i, h5s
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors, reason_of

from .datatypes import Datatype, known_type
from .references import name_references
from .text import decode, decode_array


class Node:
    """What groups and datasets have in common."""

    __slots__ = ("_attributes", "diagnostics", "id", "path")

    def __init__(self, object_id: Any, path: str, diagnostics: Diagnostics) -> None:
        self.id = object_id
        self.path = path
        self.diagnostics = diagnostics
        self._attributes: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def report(self, code: Code, message: str) -> None:
        """Say what is the matter with it."""
        self.diagnostics.add(code, self.path, message)

    def _reporting(self, code: Code, message: str, path: str | None = None) -> Hdf5Errors:
        """Have what h5py raises reported, of the object itself or of one below it."""
        return Hdf5Errors(
            lambda error: self.diagnostics.add(code, path or self.path, f"{message} ({reason_of(error)})")
        )

    def read_attributes(self) -> dict[str, Any]:
        """All attributes; one that can't be read is reported and left out. They are the caller's to change."""
        if self._attributes is None:
            self._attributes = self._read_attributes()
        return {name: _own(value) for name, value in self._attributes.items()}

    def _read_attributes(self) -> dict[str, Any]:
        names: list[bytes] = []
        with self._reporting(Code.ATTRIBUTES_UNLISTED, "its attributes can't be listed"):
            h5a.iterate(self.id, names.append)
        attributes = {}
        for raw_name in self._distinct(names):
            name = decode(raw_name)
            with self._reporting(Code.ATTRIBUTE_UNREADABLE, f"attribute {name!r} can't be read"):
                attributes[name] = _read_attribute(h5a.open(self.id, raw_name))
        return attributes

    def _distinct(self, raw_names: Sequence[bytes]) -> Iterator[bytes]:
        """Names that differ as text; of two that don't, only the one in UTF-8 can be asked for."""
        known = set(raw_names)
        for raw_name in raw_names:
            name = decode(raw_name)
            if raw_name != name.encode() and name.encode() in known:
                self.report(Code.NAME_CLASH, f"two names read {name!r}; the one that is {raw_name!r} is left out")
            else:
                yield raw_name


def _own(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray | np.void) else value


def _read_attribute(attribute: h5a.AttrID) -> Any:
    type_id = attribute.get_type()
    known = known_type(type_id)
    if not known.inner_shape and _has_one_element(attribute, known):
        values = np.empty((), known.element)
    else:
        if attribute.get_space().get_simple_extent_type() == h5s.NULL:
            return h5py.Empty(known.dtype)
        values = np.empty(attribute.shape, known.dtype)
    attribute.read(values, mtype=known.memory)
    return to_python(values, known, attribute)


def _has_one_element(attribute: h5a.AttrID, known: Datatype) -> bool:
    """Whether an attribute is as large as one item of its type; asking for its dataspace takes twenty times as long."""
    try:
        return bool(attribute.get_storage_size() == known.stored_size)
    except RuntimeError:  # no elements
        return False


def to_python(values: NDArray[Any], known: Datatype, location: h5i.ObjectID) -> Any:
    """A Python scalar or `str` where there is one element, and else an array, with text decoded."""
    if known.has_references:
        values = name_references(values, known.element, location)
    elif known.is_text and values.size != 1:
        return decode_array(values)
    if values.size != 1:
        return values
    element: Any = values.item() if values.dtype.names is None else values.reshape(())[()]
    return decode(element) if known.is_text else element
