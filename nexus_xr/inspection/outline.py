"""All that a file holds, as a tree of small descriptions: `nexus_xr.outline`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nexus_xr.errors import NexusPathError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors
from nexus_xr.nexus.rules.attributes import nx_class, text
from nexus_xr.nexus.tree.find import absolute, explain_path
from nexus_xr.nexus.tree.scan import DEEPEST
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Opening, examine_with

_MOST_VALUE_BYTES = 1024


@dataclass(frozen=True)
class OutlineNode:
    """A group, a dataset or a link.

    Parameters
    ----------
    name, path
        What it is called, and where it is.
    kind
        ``group``, ``dataset``, or ``link`` for one that isn't followed: it leads nowhere, or to a group around it.
    target
        Where a soft or external link leads, None of a member that no link leads to.
    nx_class
        Of a group, its NX_class.
    shape, dtype
        Of a dataset, its shape and the type of its elements; ``text`` for text.
    value
        Of a dataset, its one element, where that is short.
    units
        Of a dataset, what its attribute says.
    members
        Of a group, what it holds.
    """

    name: str
    path: str
    kind: str
    target: str | None = None
    nx_class: str | None = None
    shape: tuple[int, ...] | None = None
    dtype: str | None = None
    value: str | int | float | bool | None = None
    units: str | None = None
    members: tuple[OutlineNode, ...] = ()


def outline(
    path: Any, group: str = "/", *, depth: int | None = None, storage_options: Mapping[str, Any] | None = None
) -> OutlineNode:
    """Tell what a file holds: its groups and datasets, with short values, and where links lead.

    Parameters
    ----------
    path
        Path, URL or open binary file.
    group
        Path of the group, or dataset, to begin at.
    depth
        How many levels below it are told; None for all.
    storage_options
        Options for the fsspec file system of a URL.

    Raises
    ------
    NexusError
        The file isn't HDF5, or there is no such group.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/title"] = "a scan"
    ...     file["entry"].attrs["NX_class"] = "NXentry"
    >>> entry = outline("scan.nxs").members[0]
    >>> entry.name, entry.nx_class, entry.members[0].value
    ('entry', 'NXentry', 'a scan')
    """
    options = Options(storage_options=storage_options)
    return examine_with(lambda opening: _outline(opening, absolute(group), depth), options.file(path), options)[0]


def _outline(opening: Opening, path: str, depth: int | None) -> OutlineNode:
    found = opening.root.find(path)
    if found is None:
        why = explain_path(opening.root, path)
        raise NexusPathError(f"{opening.file.name}: no {path!r}: {why}; name a group or a dataset that is there")
    return _node(path, found, None, DEEPEST if depth is None else depth, {})


def _node(
    path: str, found: Group | Dataset | Link, target: str | None, depth: int, above: Mapping[Address, str]
) -> OutlineNode:
    name = path.rpartition("/")[2]
    if isinstance(found, Link):
        return OutlineNode(name, path, "link", str(found))
    if isinstance(found, Dataset):
        dtype = "text" if is_text(found.raw_dtype) else str(found.raw_dtype)
        units = text(found.read_attributes().get("units")) or None
        return OutlineNode(name, path, "dataset", target, None, found.shape, dtype, _value(found), units)
    kind = nx_class(found.read_attributes())
    if found.address in above:
        return OutlineNode(name, path, "link", target or above[found.address], kind)
    members = _members(path, found, depth - 1, {**above, found.address: path}) if depth > 0 else ()
    return OutlineNode(name, path, "group", target, kind, members=tuple(members))


def _members(path: str, group: Group, depth: int, above: Mapping[Address, str]) -> Iterator[OutlineNode]:
    for name, member, is_linked in group.members():
        target = str(group.link_to(name)) if is_linked and not isinstance(member, Link) else None
        yield _node(path_of_member(path, name), member, target, depth, above)


def _value(dataset: Dataset) -> str | int | float | bool | None:
    if dataset.size != 1 or dataset.nbytes > _MOST_VALUE_BYTES or dataset.is_virtual or dataset.why_no_array:
        return None
    value: Any = None
    with Hdf5Errors(lambda _: None):
        value = read_whole(dataset)
        value = value.item() if isinstance(value, np.ndarray | np.generic) else value
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float) and len(str(value)) <= _MOST_VALUE_BYTES else None
