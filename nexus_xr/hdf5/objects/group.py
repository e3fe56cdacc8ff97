"""Groups of an open file, and what their links lead to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import h5py
from h5py import h5, h5d, h5f, h5g, h5i, h5l, h5p

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.linked_files import FOR_LINKS, find_file, linked_handle
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, Hdf5Errors, reason_of

from .access import FILE_IS_THERE, NEEDS_READER, is_special_file, open_object
from .addresses import address_of
from .dataset import Dataset
from .links import LINKS_OF_HDF5, Link
from .location import is_in_stream
from .node import Node
from .text import decode

# Of each opening; an object that is open takes a few KiB in libhdf5.
_MOST_REMEMBERED = 1024


@dataclass(slots=True)
class _Budget:
    """How many more objects all groups of an opening remember."""

    left: int


class Group(Node):
    """A group of an open file, which remembers its members while there is a budget for it."""

    __slots__ = ("_budget", "_links", "_members", "address")

    def __init__(
        self, object_id: h5g.GroupID, path: str, diagnostics: Diagnostics, budget: _Budget | None = None
    ) -> None:
        super().__init__(object_id, path, diagnostics)
        self.address = address_of(object_id)
        self._budget = budget or _Budget(_MOST_REMEMBERED)
        self._links: dict[bytes, int] | None = None
        self._members: dict[bytes, Group | Dataset | Link | None] = {}

    def members(self) -> Iterator[tuple[str, Group | Dataset | Link, bool]]:
        """Each member's name, the object, and whether a soft or external link leads to it, in h5py's order.

        A link that leads nowhere is a `Link`; what can't be opened, user-defined links, and named datatypes, are left
        out with a report.
        """
        links = self._list() if self._links is None else self._links
        if len(links) <= self._budget.left:
            self._links = links
        for raw_name in self._distinct(list(links)):
            kind = links[raw_name]
            member = self._member(raw_name, kind)
            if member is not None:
                yield decode(raw_name), member, kind != h5l.TYPE_HARD

    def _list(self) -> dict[bytes, int]:
        """The names of its members as they are stored, and the kinds of their links."""
        links: list[tuple[bytes, int]] = []
        with self._reporting(Code.MEMBERS_UNLISTED, "its members can't be listed"):
            self.id.links.iterate(lambda name, info: links.append((name, info.type)), info=True, idx_type=self._index)
        return dict(links)

    @property
    def _index(self) -> int:
        """What the members are listed by: in the order in which they were made, where that is known."""
        in_order = False
        with self._reporting(Code.MEMBERS_UNORDERED, "the order of its members can't be told"):
            in_order = bool(self.id.get_create_plist().get_link_creation_order() & h5p.CRT_ORDER_TRACKED)
        return int(h5.INDEX_CRT_ORDER if in_order else h5.INDEX_NAME)

    def member_path(self, name: str) -> str:
        """Path of a member of that name."""
        return f"{self.path.rstrip('/')}/{name}"

    def get(self, name: str) -> Group | Dataset | Link | None:
        """The member of that name, None where there is none."""
        raw_name = name.encode("utf-8", "ignore")
        if raw_name in self._members and decode(raw_name) == name:
            return self._members[raw_name]
        found = self._look_up(name)
        return None if found is None else self._member(*found)

    def _member(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | None:
        """A member as it was when it was first asked for, if it is remembered."""
        if raw_name in self._members:
            return self._members[raw_name]
        member = self._open(raw_name, kind)
        if self._budget.left:
            self._budget.left -= 1
            self._members[raw_name] = member
        return member

    def find(self, path: str) -> Group | Dataset | Link | None:
        """What lies at a path below this group, None where there is nothing; the root finds absolute paths."""
        found: Group | Dataset | Link | None = self
        for name in path.split("/"):
            if not isinstance(found, Group):
                return None
            found = found.get(name) if name not in ("", ".") else found
        return found

    def _look_up(self, name: str) -> tuple[bytes, int] | None:
        """A member's name as it is stored, and the kind of its link; None where there is none."""
        # Text that isn't UTF-8 in the file was decoded as Latin-1.
        for encoding in ("utf-8", "latin-1"):
            raw_name = name.encode(encoding, "ignore")
            if raw_name and b"\0" not in raw_name and decode(raw_name) == name:
                with self._reporting(Code.MEMBER_UNREADABLE, f"its member {name!r} can't be looked up"):
                    if self.id.links.exists(raw_name):
                        return raw_name, self.id.links.get_info(raw_name).type
        return None

    def _open(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | None:
        path = self.member_path(decode(raw_name))
        if kind not in LINKS_OF_HDF5:
            self.diagnostics.add(
                Code.LINK_KIND_UNKNOWN,
                path,
                f"is a link of a kind that only its writer follows ({kind}), and is left out",
            )
            return None
        link = None
        if kind == h5l.TYPE_EXTERNAL:
            link = self._dangling(raw_name, kind)
            if link is None or is_in_stream(self.id) or is_special_file(self.id, link.file):
                return link
        try:
            opened = _open_in_other_file(self.id, link) if link is not None else None
            return self._wrap(opened or open_object(self.id, raw_name), path)
        except AnyHdf5Error as error:
            if NEEDS_READER in str(error):
                self.diagnostics.add(Code.BEING_WRITTEN, path, f"can't be opened ({reason_of(error)})")
                return None
            if kind == h5l.TYPE_HARD:
                self.diagnostics.add(Code.OBJECT_UNREADABLE, path, f"can't be opened ({reason_of(error)})")
                return None
            link, reason = self._dangling(raw_name, kind), reason_of(error)
            is_there = any(words in reason for words in FILE_IS_THERE)
            return replace(link, trouble=f"can't be opened ({reason})") if link is not None and is_there else link

    def _wrap(self, opened: h5i.ObjectID, path: str) -> Group | Dataset | None:
        if isinstance(opened, h5d.DatasetID):
            try:
                return Dataset(opened, path, self.diagnostics)
            except TypeError as error:
                self.diagnostics.add(Code.DATATYPE_UNREADABLE, path, f"its datatype can't be read ({reason_of(error)})")
            return None
        if isinstance(opened, h5g.GroupID):
            return Group(opened, path, self.diagnostics, self._budget)
        self.diagnostics.add(Code.NAMED_DATATYPE, path, "is a named datatype, and is left out")
        return None

    def _dangling(self, raw_name: bytes, kind: int) -> Link | None:
        """The soft or external link of that name; one whose target can't be read is reported, and None."""
        target: Any = None
        path = self.member_path(decode(raw_name))
        with self._reporting(Code.LINK_UNREADABLE, "is a link whose target can't be read", path):
            target = self.id.links.get_val(raw_name)
        if target is None:
            return None
        if kind == h5l.TYPE_EXTERNAL:
            return Link(decode(target[1]), decode(target[0]))
        return Link(decode(target))

    def link_to(self, name: str) -> Link:
        """The soft or external link of that name, not followed."""
        found = self._look_up(name)
        link = self._dangling(*found) if found is not None and found[1] in LINKS_OF_HDF5 else None
        if link is None:
            raise KeyError(name)
        return link


def _open_in_other_file(location: h5i.ObjectID, link: Link) -> h5i.ObjectID | None:
    """What an external link leads to, by the one handle that its file has here; None where only libhdf5 may open it."""
    path = find_file(link.file or "", decode(h5f.get_name(location)), FOR_LINKS)
    if path is not None:
        with (
            suppress(AnyHdf5Error),
            linked_handle(os.path.abspath(path)) as handle,
        ):  # libhdf5 says better what is wrong
            found = None if handle is None else root_of(handle, Diagnostics()).find(link.path)
            return found.id if isinstance(found, Group | Dataset) else None
    return None


def root_of(file: h5py.File, diagnostics: Diagnostics) -> Group:
    """The root group; `diagnostics` is given each thing that can't be read."""

    def unreadable(error: Exception) -> NexusFileError:
        return NexusFileError(f"{file.filename}: the root group can't be read ({error}); the file is damaged")

    with Hdf5Errors(unreadable):
        return Group(h5g.open(file.id, b"/"), "/", diagnostics)


def same_object(a: Group | Dataset, b: Group | Dataset) -> bool:
    """Whether two paths lead to one object."""
    return address_of(a.id) == address_of(b.id)
