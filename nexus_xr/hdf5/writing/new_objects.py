"""What groups, datasets and files are made with: in order, without times, and with names that are Unicode."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from h5py import h5g, h5p, h5t

from nexus_xr.hdf5.library.datatypes import encoded
from nexus_xr.hdf5.objects.text import encode

# What keeps an order has a header of the second version, in which attributes of any size have a place.
IN_ORDER = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED


def new_properties(kind: Any) -> Any:
    """Properties of a new object, which keeps the order of its attributes, and no times, as h5py's have none.

    When many attributes move into a heap is left as it is: readers fail over headers that say so (pyfive, jsfive).

    Parameters
    ----------
    kind
        What is made, as h5py's `h5p` has it.
    """
    properties = h5p.create(kind)
    properties.set_attr_creation_order(IN_ORDER)
    properties.set_obj_track_times(False)
    return properties


def properties_of_members(kind: Any) -> Any:
    """The same of a group or a file, which keeps the order of its members too."""
    properties = new_properties(kind)
    properties.set_link_creation_order(IN_ORDER)
    return properties


def link_properties() -> Any:
    """Properties of a link, whose name is Unicode."""
    properties = h5p.create(h5p.LINK_CREATE)
    properties.set_char_encoding(h5t.CSET_UTF8)
    return properties


def create_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Make a group."""
    made = h5g.create(parent.id, encode(name), link_properties(), properties_of_members(h5p.GROUP_CREATE))
    return h5py.Group(made)


# The largest message in a header of the first version: a multiple of eight, in two bytes. libhdf5 itself goes on until
# it has 65535, and then notes none.
_MESSAGE_BYTES = 65528


def fits_old_header(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bool:
    """Whether a header of the first version has room for an attribute, with its name, its type and its shape.

    Examples
    --------
    >>> fits_old_header("x", np.dtype("u1"), (65472,)), fits_old_header("x", np.dtype("u1"), (65473,))
    (True, False)
    """
    kind = h5t.py_create(dtype, logical=True)
    parts = (len(name.encode()) + 1, len(encoded(kind)), 8 + 16 * len(shape))
    return bool(8 + sum(-(-part // 8) * 8 for part in parts) + stored_bytes(dtype, shape) <= _MESSAGE_BYTES)


def stored_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """How many bytes an attribute has in its header, besides what its elements of varying length have in a heap.

    Examples
    --------
    >>> stored_bytes(np.dtype("f8"), (3,)), stored_bytes(h5py.string_dtype(), (3,))
    (24, 48)
    """
    return math.prod(shape) * _stored_size(h5t.py_create(dtype, logical=True))


# Of an element of varying length: a count, an address and an index, for which memory has one pointer or two.
_VARYING_BYTES = 4 + 8 + 4


def _stored_size(kind: h5t.TypeID) -> int:
    if isinstance(kind, h5t.TypeVlenID) or (isinstance(kind, h5t.TypeStringID) and kind.is_variable_str()):
        return _VARYING_BYTES
    size = int(kind.get_size())
    if isinstance(kind, h5t.TypeArrayID):
        return int(math.prod(kind.get_array_dims())) * _stored_size(kind.get_super())
    if isinstance(kind, h5t.TypeCompoundID):
        members = [kind.get_member_type(number) for number in range(kind.get_nmembers())]
        return size + sum(_stored_size(member) - int(member.get_size()) for member in members)
    return size
