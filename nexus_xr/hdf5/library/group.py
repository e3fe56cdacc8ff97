"""Groups as libhdf5 has them open, and what their links lead to."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import Any

import h5py
from h5py import h5, h5d, h5f, h5g, h5i, h5p

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.naming.linked_files import FOR_LINKS, find_file, is_special_file, linked_handle
from nexus_xr.hdf5.io.naming.reach import EVERYWHERE
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Budget, Group
from nexus_xr.hdf5.objects.links import EXTERNAL, HARD, Link
from nexus_xr.hdf5.objects.node import AttributeType
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, Hdf5Errors, reason_of

from .access import FILE_IS_THERE, NEEDS_READER, open_object
from .addresses import file_numbers
from .attributes import read_attribute_types, read_attributes
from .dataset import LibraryDataset
from .location import is_in_stream


class LibraryGroup(Group):
    """A group as libhdf5 has it open."""

    __slots__ = ("id",)

    def __init__(
        self, object_id: h5g.GroupID, path: str, diagnostics: Diagnostics, budget: Budget | None = None
    ) -> None:
        super().__init__(path, diagnostics, file_numbers.address_of(object_id), budget)
        self.id = object_id

    def _read_attributes(self) -> dict[str, Any]:
        return read_attributes(self, self.id)

    def attribute_types(self) -> dict[str, AttributeType]:
        return read_attribute_types(self, self.id)

    def _list(self) -> dict[bytes, int]:
        links: list[tuple[bytes, int]] = []
        with self.reporting(Code.MEMBERS_UNLISTED, "not all of its members can be listed"):
            self.id.links.iterate(lambda name, info: links.append((name, info.type)), info=True, idx_type=self._index)
        return dict(links)

    @property
    def _index(self) -> int:
        """What the members are listed by: in the order in which they were made, where that is known."""
        in_order = False
        with self.reporting(Code.MEMBERS_UNORDERED, "the order of its members can't be told"):
            in_order = bool(self.id.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED)
        return int(h5.INDEX_CRT_ORDER if in_order else h5.INDEX_NAME)

    def _kind_of(self, raw_name: bytes) -> int | None:
        return self.id.links.get_info(raw_name).type if self.id.links.exists(raw_name) else None

    def _target(self, raw_name: bytes, kind: int) -> Link:
        target: Any = self.id.links.get_val(raw_name)
        return Link(decode(target[1]), decode(target[0])) if kind == EXTERNAL else Link(decode(target))

    def open_link(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | None:
        path = self.member_path(decode(raw_name))
        link = None
        if kind == EXTERNAL:
            link = self._dangling(raw_name, kind)
            if link is None or is_in_stream(self.id) or is_special_file(link.file or "", decode(h5f.get_name(self.id))):
                return link
        try:
            opened = None if link is None else _open_in_other_file(self.id, link, self.id.links.get_val(raw_name)[1])
            return wrapped(opened or open_object(self.id, raw_name), path, self.diagnostics, self._budget)
        except AnyHdf5Error as error:
            if NEEDS_READER in str(error):
                self.diagnostics.add(Code.BEING_WRITTEN, path, f"can't be opened ({reason_of(error)})")
                return None
            if kind == HARD:
                self.diagnostics.add(Code.OBJECT_UNREADABLE, path, f"can't be opened ({reason_of(error)})")
                return None
            link, reason = self._dangling(raw_name, kind), reason_of(error)
            is_there = any(words in reason for words in FILE_IS_THERE)
            return replace(link, trouble=f"can't be opened ({reason})") if link is not None and is_there else link


def wrapped(opened: h5i.ObjectID, path: str, diagnostics: Diagnostics, budget: Budget) -> Group | Dataset | None:
    """An object that libhdf5 has opened; a named datatype, and what has a datatype that can't be read, is reported."""
    if isinstance(opened, h5d.DatasetID):
        try:
            return LibraryDataset(opened, path, diagnostics)
        except (TypeError, ValueError) as error:  # as of floats that are longer than NumPy's
            diagnostics.add(Code.DATATYPE_UNREADABLE, path, f"its datatype can't be read ({reason_of(error)})")
        return None
    if isinstance(opened, h5g.GroupID):
        return LibraryGroup(opened, path, diagnostics, budget)
    diagnostics.add(Code.NAMED_DATATYPE, path, "is a named datatype, and is left out")
    return None


def _open_in_other_file(location: h5i.ObjectID, link: Link, target: bytes) -> h5i.ObjectID | None:
    """What an external link leads to, by the one handle that its file has here; None where only libhdf5 may open it.

    A file whose reach ends somewhere is read through a stream, of which no link is followed.
    """
    path = find_file(link.file or "", decode(h5f.get_name(location)), EVERYWHERE, FOR_LINKS)
    if path is not None:
        with (
            suppress(AnyHdf5Error),
            linked_handle(os.path.abspath(path)) as handle,
        ):  # libhdf5 says better what is wrong
            found = None if handle is None else root_of(handle, Diagnostics()).find_stored(target)
            return found.id if isinstance(found, LibraryGroup | LibraryDataset) else None
    return None


def root_of(file: h5py.File, diagnostics: Diagnostics, name: str | None = None) -> LibraryGroup:
    """The root group; `diagnostics` is given each thing that can't be read.

    Messages call the file by the name that is given, as one that is read through a stream has none in libhdf5.
    """

    def unreadable(error: Exception) -> NexusFileError:
        return NexusFileError(f"{name or file.filename}: the root group can't be read ({error}); the file is damaged")

    with Hdf5Errors(unreadable):
        return LibraryGroup(h5g.open(file.id, b"/"), "/", diagnostics)
