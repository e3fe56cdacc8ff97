"""Where a path leads in a file that is to be changed, and putting another dataset where one was."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import h5py
import numpy as np
from h5py import h5, h5a, h5l, h5o, h5p, h5s

from nexus_xr.hdf5.library.addresses import address_of
from nexus_xr.hdf5.library.datatypes import is_newer, older
from nexus_xr.hdf5.objects.links import LINKS_OF_HDF5
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.text import as_text, decode, encode

from .new_objects import link_properties

_MOST_LINKS = 100
_TEMPORARY = "nexus_xr is writing"


@dataclass(frozen=True)
class LinkTarget:
    """What a path leads to in a file, soft links on the way followed.

    Parameters
    ----------
    file
        The open file.
    parent
        Path of the group that it is in, which need not be there.
    name
        Name in that group; empty for the root.
    leaves_by
        The link on the way, behind which it lies in another file or where only another program finds it; None where
        there is none.
    is_external
        Whether an external link stands there itself.
    is_link
        Whether any link stands there that leads nowhere in this file.
    """

    file: h5py.File
    parent: str
    name: str
    leaves_by: str | None = None
    is_external: bool = False
    is_link: bool = False

    def group(self) -> h5py.Group:
        """The group that it is in, made where it isn't there."""
        return self.file.require_group(self.parent)

    def present(self) -> h5py.Group | h5py.Dataset | None:
        """What stands there, None where nothing does."""
        path = path_of_member(self.parent, self.name)
        return None if self.is_external or path not in self.file else self.file[path]


def link_target(file: h5py.File, path: str) -> LinkTarget:
    """Where a path leads in a file.

    Examples
    --------
    >>> with h5py.File("a.nxs", "w") as file:
    ...     file["entry/detector/counts"] = [1, 2]
    ...     file["entry/data"] = h5py.SoftLink("/entry/detector")
    ...     link_target(file, "/entry/data/counts").parent
    '/entry/detector'
    """
    reached: list[str] = []
    waiting = deque(part for part in path.split("/") if part not in ("", "."))
    followed = 0
    while waiting:
        name = waiting.popleft()
        at = "/" + "/".join(reached)
        link = _link(file, at, name)
        if isinstance(link, h5py.ExternalLink):
            if waiting:
                return LinkTarget(
                    file, at, name, leaves_by=f"{path_of_member(at, name)} -> {link.filename}:{link.path}"
                )
            return LinkTarget(file, at, name, is_external=True, is_link=True)
        if isinstance(link, UserDefinedLink):
            here = path_of_member(at, name)
            return LinkTarget(file, at, name, leaves_by=f"{here}, which is of a kind that only its writer follows")
        if isinstance(link, h5py.SoftLink) and followed < _MOST_LINKS:
            target = [part for part in link.path.split("/") if part not in ("", ".")]
            if not waiting and path_of_member(at, name) not in file:
                return LinkTarget(file, at, name, is_link=True)  # the link leads nowhere, and gives way
            followed += 1
            waiting.extendleft(reversed(target))
            if link.path.startswith("/"):
                reached.clear()
            continue
        reached.append(name)
    if not reached:
        return LinkTarget(file, "/", "")
    return LinkTarget(file, "/" + "/".join(reached[:-1]), reached[-1])


class UserDefinedLink:
    """A link of a kind that the program defines which wrote it."""


AnyLink: TypeAlias = h5py.HardLink | h5py.SoftLink | h5py.ExternalLink | UserDefinedLink


def _link(file: h5py.File, path: str, name: str) -> AnyLink | None:
    holder = file.get(path)
    is_there = isinstance(holder, h5py.Group) and holder.id.links.exists(name.encode())
    return link_of(holder, name) if is_there else None


def link_of(group: h5py.Group, name: str) -> AnyLink:
    """The link of a name that a group has."""
    kind = group.id.links.get_info(encode(name)).type
    if kind == h5l.TYPE_HARD:
        return h5py.HardLink()
    if kind not in LINKS_OF_HDF5:
        return UserDefinedLink()
    target = group.id.links.get_val(encode(name))
    if kind == h5l.TYPE_SOFT:
        return h5py.SoftLink(as_text(target))
    file, path = target
    return h5py.ExternalLink(os.fsdecode(file), as_text(path))


def put_link(group: h5py.Group, name: str, link: h5py.SoftLink | h5py.ExternalLink) -> None:
    """Make a link of that name, which h5py does for names and targets that are Unicode."""
    if isinstance(link, h5py.SoftLink):
        group.id.links.create_soft(encode(name), encode(link.path), lcpl=link_properties())
    else:
        file = os.fsencode(link.filename)
        group.id.links.create_external(encode(name), file, encode(link.path), lcpl=link_properties())


def other_names(file: h5py.File, dataset: h5py.Dataset) -> list[tuple[str, str]]:
    """Every hard link of a file to a dataset: the path of its group, and its name there."""
    wanted = address_of(dataset.id)
    found: list[tuple[str, str]] = []
    waiting = ["/"]
    visited = {address_of(file["/"].id)}
    while waiting:
        path = waiting.pop()
        group = file[path]
        links: list[tuple[bytes, int]] = []
        group.id.links.iterate(lambda name, info, links=links: links.append((name, info.type)), info=True)
        for raw_name, kind in links:
            if kind != h5l.TYPE_HARD:
                continue
            name = decode(raw_name)
            address = address_of(h5o.open(group.id, raw_name))
            if address == wanted:
                found.append((path, name))
            elif address not in visited and isinstance(group.get(name), h5py.Group):
                visited.add(address)
                waiting.append(path_of_member(path, name))
    return found


def copy_attributes(source: h5py.Group | h5py.Dataset, target: h5py.Group | h5py.Dataset) -> None:
    """Give an object all attributes of another, as they are stored there, and in their order where that is known."""
    for name in _attribute_names(source):
        attribute = h5a.open(source.id, name)
        stored = attribute.get_type()
        made = h5a.create(target.id, name, older(stored), attribute.get_space())
        if attribute.get_space().get_simple_extent_type() != h5s.NULL:
            values = np.empty(attribute.shape, attribute.dtype)
            # Of the type in the file, as text that fills it would lose its last character by being converted to it.
            kind = None if attribute.dtype.hasobject else stored
            attribute.read(values, kind)
            made.write(values, kind)


def has_new_attributes(item: h5py.HLObject) -> bool:
    """Whether an object has an attribute that libraries before HDF5 1.12 don't read, though nothing needs it."""
    return any(is_newer(h5a.open(item.id, name).get_type()) for name in _attribute_names(item))


def _attribute_names(item: h5py.Group | h5py.Dataset | h5py.Datatype) -> list[bytes]:
    """The names of attributes in the order in which they were made, by their names where none was kept."""
    order = item.id.get_create_plist().get_attr_creation_order()
    names: list[bytes] = []
    h5a.iterate(
        item.id, names.append, index_type=h5.INDEX_CRT_ORDER if order & h5p.CRT_ORDER_TRACKED else h5.INDEX_NAME
    )
    return names


def restore_order(group: h5py.Group, names: Sequence[str]) -> None:
    """Have members in the order of these names, where the order in which they came is kept."""
    if group.id.get_create_plist().get_link_creation_order():
        for name in names:
            group.move(name, _TEMPORARY)
            group.move(_TEMPORARY, name)
