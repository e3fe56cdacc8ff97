"""The attributes of an object that libhdf5 has open."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5i, h5s
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.objects.node import AttributeType, Node
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.objects.values import to_python
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

from .datatypes import MemoryType, encoded, known_type
from .references import name_references


def read_attributes(node: Node, opened: h5i.ObjectID) -> dict[str, Any]:
    """All attributes that can be read, of the others it is reported why not.

    Parameters
    ----------
    node
        Whose attributes they are.
    opened
        The same object as libhdf5 has it open.
    """
    attributes = {}
    for raw_name in _names(node, opened):
        name = decode(raw_name)
        with node.reporting(Code.ATTRIBUTE_UNREADABLE, f"attribute {name!r} can't be read"):
            attributes[name] = _read_attribute(h5a.open(opened, raw_name))
    return attributes


def read_attribute_types(node: Node, opened: h5i.ObjectID) -> dict[str, AttributeType]:
    """What the attributes that can be read are.

    Parameters
    ----------
    node
        Whose attributes they are.
    opened
        The same object as libhdf5 has it open.
    """
    types = {}
    for raw_name in _names(node, opened):
        with suppress(AnyHdf5Error):
            attribute = h5a.open(opened, raw_name)
            type_id = attribute.get_type()
            shape, dtype = attribute.get_space().shape, known_type(type_id).dtype
            types[decode(raw_name)] = AttributeType(shape, dtype, encoded(type_id))
    return types


def _names(node: Node, opened: h5i.ObjectID) -> Iterable[bytes]:
    names: list[bytes] = []
    with node.reporting(Code.ATTRIBUTES_UNLISTED, "not all of its attributes can be listed"):
        h5a.iterate(opened, names.append)
    return node.distinct(names)


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
    return presented(values, known, attribute)


def _has_one_element(attribute: h5a.AttrID, known: MemoryType) -> bool:
    """Whether an attribute is as large as one item of its type; asking for its dataspace takes twenty times as long."""
    try:
        return bool(attribute.get_storage_size() == known.stored_size)
    except RuntimeError:  # no elements
        return False


def presented(values: NDArray[Any], known: MemoryType, location: h5i.ObjectID) -> Any:
    """Values that were read, with references named as the open file has it, and text decoded."""
    if known.has_references:
        return to_python(name_references(values, known.element, location), False)
    return to_python(values, known.is_text)
