"""Groups of an open file, and what their links lead to."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.format.descriptions import SingleValue

from .dataset import Dataset
from .links import HARD, LINKS_OF_HDF5, Link
from .node import Address, Node
from .text import decode, decode_name

_T = TypeVar("_T")
# What isn't taken for a name in a path. Only damage makes a member of that name, or of one with a slash.
_NO_NAMES = (b"", b".")
# Of each opening; an object that is open takes a few KiB in libhdf5.
_MOST_REMEMBERED = 1024


@dataclass(slots=True)
class Budget:
    """How many more objects all groups of an opening remember."""

    left: int


class Group(Node):
    """A group of an open file, which remembers its members while there is a budget for it."""

    __slots__ = ("_above_members", "_address", "_budget", "_links", "_members")

    def __init__(self, path: str, diagnostics: Diagnostics, address: Address, budget: Budget | None = None) -> None:
        super().__init__(path, diagnostics)
        self._above_members = f"{path.rstrip('/')}/"
        self._address = address
        self._budget = budget or Budget(_MOST_REMEMBERED)
        self._links: dict[bytes, int] | None = None
        self._members: dict[bytes, Group | Dataset | Link | None] = {}

    @property
    def address(self) -> Address:
        return self._address

    @abstractmethod
    def _list(self) -> dict[bytes, int]:
        """The names of its members as they are stored, and the kinds of their links."""

    @abstractmethod
    def _kind_of(self, raw_name: bytes) -> int | None:
        """The kind of the link of that name, None where there is none."""

    @abstractmethod
    def _target(self, raw_name: bytes, kind: int) -> Link:
        """The soft or external link of that name; raises an error where its target can't be read."""

    @abstractmethod
    def open_link(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | None:
        """What a link of one of HDF5's kinds leads to; what can't be opened is reported, and None."""

    def members(self, *, follows: bool = True) -> Iterator[tuple[str, Group | Dataset | Link, bool]]:
        """Each member's name, the object, and whether a soft or external link leads to it, in h5py's order.

        A link that leads nowhere is a `Link`; what can't be opened, user-defined links, and named datatypes, are left
        out with a report.

        Parameters
        ----------
        follows
            Whether what soft and external links lead to is among them.
        """
        return self._each(self._member, follows)

    def contents(self) -> Iterator[tuple[str, Group | Dataset | Link | SingleValue, bool]]:
        """As `members`, but in the place of small datasets what is in them, where no link has to be followed."""
        return self._each(self._content, follows=True)

    def _content(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | SingleValue | None:
        return self._member(raw_name, kind)

    def _each(self, of: Callable[[bytes, int], _T | None], follows: bool) -> Iterator[tuple[str, _T, bool]]:
        links = self._list() if self._links is None else self._links
        if len(links) <= self._budget.left:
            self._links = links
        for raw_name in self.distinct(list(links)):
            kind = links[raw_name]
            if kind != HARD and not follows:
                continue
            if raw_name in _NO_NAMES or b"/" in raw_name or b"\0" in raw_name:
                self.report(Code.MEMBER_UNREADABLE, f"no path leads to its member {decode(raw_name)!r}; it is left out")
                continue
            member = of(raw_name, kind)
            if member is not None:
                yield decode_name(raw_name), member, kind != HARD

    def remember(self) -> None:
        """Remember the members from now on, as they are asked for again, whatever other groups remember."""
        self._budget = Budget(_MOST_REMEMBERED)

    def member_path(self, name: str) -> str:
        """Path of a member of that name."""
        return self._above_members + name

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
        member = None
        if kind in LINKS_OF_HDF5:
            member = self.open_link(raw_name, kind)
        else:
            self._report_unknown(raw_name, kind)
        if self._budget.left:
            self._budget.left -= 1
            self._members[raw_name] = member
        return member

    def _report_unknown(self, raw_name: bytes, kind: int) -> None:
        message = f"is a link of a kind that only its writer follows ({kind}), and is left out"
        self.diagnostics.add(Code.LINK_KIND_UNKNOWN, self.member_path(decode(raw_name)), message)

    def find(self, path: str) -> Group | Dataset | Link | None:
        """What lies at a path below this group, None where there is nothing; the root finds absolute paths.

        Of a path through a link that may not be followed, it is that link.
        """
        found: Group | Dataset | Link | None = self
        for name in path.split("/"):
            if not isinstance(found, Group):
                return found if isinstance(found, Link) and found.is_refused else None
            found = found.get(name) if name not in ("", ".") else found
        return found

    def find_stored(self, path: bytes) -> Group | Dataset | Link | None:
        """What lies at a path that is as it is stored, None where no names are just these bytes."""
        found: Group | Dataset | Link | None = self
        for raw_name in (name for name in path.split(b"/") if name not in (b"", b".")):
            kind = found._kind_of(raw_name) if isinstance(found, Group) else None
            found = found._member(raw_name, kind) if isinstance(found, Group) and kind is not None else None
        return found

    def _look_up(self, name: str) -> tuple[bytes, int] | None:
        """A member's name as it is stored, and the kind of its link; None where there is none."""
        # Text that isn't UTF-8 in the file was decoded as Latin-1.
        for encoding in ("utf-8", "latin-1"):
            raw_name = name.encode(encoding, "ignore")
            if raw_name and b"\0" not in raw_name and decode(raw_name) == name:
                with self.reporting(Code.MEMBER_UNREADABLE, f"its member {name!r} can't be looked up"):
                    kind = self._kind_of(raw_name)
                    if kind is not None:
                        return raw_name, kind
        return None

    def _dangling(self, raw_name: bytes, kind: int) -> Link | None:
        """The soft or external link of that name; one whose target can't be read is reported, and None."""
        path = self.member_path(decode(raw_name))
        with self.reporting(Code.LINK_UNREADABLE, "is a link whose target can't be read", path):
            return self._target(raw_name, kind)
        return None

    def link_to(self, name: str) -> Link:
        """The soft or external link of that name, not followed."""
        found = self._look_up(name)
        link = self._dangling(*found) if found is not None and found[1] in LINKS_OF_HDF5 else None
        if link is None:
            raise KeyError(name)
        return link
