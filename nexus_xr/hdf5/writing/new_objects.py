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


def properties_of(kind: Any) -> Any:
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
    properties = properties_of(kind)
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
    # Of elements of varying length a file has a count, an address and an index, for which h5py has a pointer.
    size = max(kind.get_size(), 2 * dtype.itemsize if dtype.hasobject else 0)
    parts = (len(name.encode()) + 1, len(encoded(kind)), 8 + 16 * len(shape))
    return bool(8 + sum(-(-part // 8) * 8 for part in parts) + math.prod(shape) * size <= _MESSAGE_BYTES)
