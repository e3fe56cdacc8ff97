"""What groups, datasets and files are made with: in order, without times, and with names that are Unicode."""

from __future__ import annotations

from typing import Any

import h5py
from h5py import h5g, h5p, h5t

_IN_ORDER = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED


def properties_of(kind: Any) -> Any:
    """Properties of a new object, which keeps the order of its attributes, and no times, as h5py's have none.

    When many attributes move into a heap is left as it is: readers fail over headers that say so (pyfive, jsfive).

    Parameters
    ----------
    kind
        What is made, as h5py's `h5p` has it.
    """
    properties = h5p.create(kind)
    properties.set_attr_creation_order(_IN_ORDER)
    properties.set_obj_track_times(False)
    return properties


def properties_of_members(kind: Any) -> Any:
    """The same of a group or a file, which keeps the order of its members too."""
    properties = properties_of(kind)
    properties.set_link_creation_order(_IN_ORDER)
    return properties


def link_properties() -> Any:
    """Properties of a link, whose name is Unicode."""
    properties = h5p.create(h5p.LINK_CREATE)
    properties.set_char_encoding(h5t.CSET_UTF8)
    return properties


def create_group(parent: h5py.Group, name: str) -> h5py.Group:
    """Make a group."""
    made = h5g.create(parent.id, name.encode(), link_properties(), properties_of_members(h5p.GROUP_CREATE))
    return h5py.Group(made)
