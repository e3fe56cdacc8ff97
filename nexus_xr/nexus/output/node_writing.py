"""Writing the nodes of a tree into an open file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import h5py
import numpy as np

from nexus_xr.errors import WithinFileError
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.writing.copying import Copied, copy_dataset
from nexus_xr.hdf5.writing.creation import create_dataset, put
from nexus_xr.hdf5.writing.new_objects import create_group, fits_old_header
from nexus_xr.hdf5.writing.part_files import Joined, create_joined

from .nodes import FieldNode, GroupNode
from .storable import as_attribute, raw_dtype
from .ways_out import UnstorableError


def too_large_for_old(attributes: Mapping[str, Any]) -> list[str]:
    """Names of attributes that have no place in a header of HDF5's first version, as others' objects may have.

    Examples
    --------
    >>> too_large_for_old({"small": np.zeros(8000), "large": np.zeros(9000), "text": "a" * 70_000})
    ['large']
    """
    arrays = {name: value for name, value in attributes.items() if isinstance(value, np.ndarray)}
    return [name for name, value in arrays.items() if not fits_old_header(name, raw_dtype(value), value.shape)]


class PendingWrite(NamedTuple):
    """A dataset that was made, and its values, which are still to be computed and written."""

    dataset: h5py.Dataset
    values: Any


def write_members(group: h5py.Group, node: GroupNode) -> list[PendingWrite]:
    """Write a tree into an open group.

    Returns
    -------
    list of PendingWrite
        What is left to write, of datasets whose values come later.
    """
    pending: list[PendingWrite] = []
    write_attributes(group, node.attributes)
    for name, member in node.members.items():
        if isinstance(member, Link):
            group[name] = h5py.ExternalLink(member.file, member.path) if member.file else h5py.SoftLink(member.path)
        elif isinstance(member, GroupNode):
            pending += write_members(create_group(group, name), member)
        else:
            pending += _write_field(group, name, member)
    return pending


def _write_field(group: h5py.Group, name: str, node: FieldNode) -> list[PendingWrite]:
    values = node.values
    if isinstance(values, h5py.Empty):
        dataset = group.create_dataset(name, data=values, track_order=True)
    elif isinstance(values, Joined):
        write_attributes(create_joined(group, name, values), node.attributes)
        return []
    elif isinstance(values, Copied) and copy_dataset(
        values.array, group, name, in_new_header=bool(too_large_for_old(node.attributes))
    ):
        write_attributes(group[name], node.attributes)
        return []
    else:
        values = values.array if isinstance(values, Copied) else values
        dataset = create_dataset(group, name, values.shape, raw_dtype(values), node.chunks, node.filters, node.growing)
    write_attributes(dataset, node.attributes)
    if isinstance(values, np.ndarray) and not node.chunks:
        if values.size:
            put(dataset, [0] * values.ndim, values)
        return []
    is_done = isinstance(values, h5py.Empty) or not math.prod(values.shape)
    return [] if is_done else [PendingWrite(dataset, values)]


def write_attributes(item: h5py.Group | h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    """Give an open object attributes, in place of those of the same names."""
    for name, value in attributes.items():
        try:
            item.attrs[name] = as_attribute(value)
        except UnstorableError as error:
            raise WithinFileError(f"{item.name}: attribute {name!r}: {error}") from None
