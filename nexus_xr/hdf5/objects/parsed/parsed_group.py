"""Groups that are described from the bytes of their file, and what their links lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import NexusReachError, SystemFaultError
from nexus_xr.hdf5.format.attributes import Value
from nexus_xr.hdf5.format.descriptions import GroupDescription, SingleValue
from nexus_xr.hdf5.format.faults import FormatError, NoDtypeError, UnsupportedError
from nexus_xr.hdf5.format.groups.links import Links, is_group
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import ObjectHeader, read_object_header
from nexus_xr.hdf5.io.unreadable import BeingWrittenError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Budget, Group
from nexus_xr.hdf5.objects.links import HARD, Link
from nexus_xr.hdf5.objects.text import decode_name

from .parsed_dataset import ParsedDataset
from .parsed_file import ParsedFile, Place, root_place
from .parsed_links import NotFollowedError, follow, target_of
from .parsed_object import ParsedDatatype, ParsedObject

_T = TypeVar("_T")


class ParsedGroup(ParsedObject, Group):
    """A group that is described from the bytes of its file."""

    __slots__ = ("_known_attributes", "_known_header", "_place", "_walked")

    def __init__(
        self,
        place: Place,
        known: ObjectHeader | GroupDescription,
        path: str,
        diagnostics: Diagnostics,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(path, diagnostics, (place.file.number, place.address), budget)
        self._place = place
        self._known_header = None if isinstance(known, GroupDescription) else known
        self._known_attributes = known.attributes if isinstance(known, GroupDescription) else None
        self._walked: list[Links] | None = None

    @property
    def _header(self) -> ObjectHeader:
        if self._known_header is None:
            self._known_header = read_object_header(self._place.file.bytes, self._place.address)
        return self._known_header

    def _usual_attributes(self) -> dict[str, Value] | None:
        return super()._usual_attributes() if self._known_attributes is None else self._known_attributes

    def _each(self, of: Callable[[bytes, int], _T | None], follows: bool) -> Iterator[tuple[str, _T, bool]]:
        # Its links are read once for all members, whatever groups are met below that the file keeps the links of.
        self._walked = []
        try:
            yield from super()._each(of, follows)
        finally:
            self._walked = None

    def _content(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | SingleValue | None:
        address = self._links_here.by_name[raw_name].address
        found = None if address is None else self._place.file.single_value(address)
        return self._member(raw_name, kind) if found is None else found

    def _list(self) -> dict[bytes, int]:
        links = self._links_here
        if links.damage is not None:
            self.report(Code.MEMBERS_UNLISTED, f"not all of its members can be listed ({links.damage})")
        return {name: link.kind for name, link in links.by_name.items()}

    @property
    def _links_here(self) -> Links:
        if self._walked:
            return self._walked[0]
        links = self._place.file.links(self._place.address)
        if self._walked is not None:
            self._walked.append(links)
        return links

    def _kind_of(self, raw_name: bytes) -> int | None:
        link = self._links_here.get(raw_name)
        return None if link is None else link.kind

    def _target(self, raw_name: bytes, kind: int) -> Link:
        return target_of(self._links_here.by_name[raw_name])

    def open_link(self, raw_name: bytes, kind: int) -> Group | Dataset | Link | None:
        path = self.member_path(decode_name(raw_name))
        place = None
        try:
            link = self._links_here.by_name[raw_name]
            if link.address is not None:
                place = self._place.child(link.name, link.address)
            else:
                place = follow(self._place, link)
            if place is None:
                return self._dangling(raw_name, kind)
            return object_at(place, path, self.diagnostics, self._budget)
        except SystemFaultError as error:
            raise SystemFaultError(f"{self._place.file.file.name}:{path}: can't be opened ({error})") from error
        except NexusReachError:
            dangling = self._dangling(raw_name, kind)
            return None if dangling is None else dangling.refused()
        except (BeingWrittenError, NotFollowedError) as error:
            return self._not_followed(raw_name, kind, str(error))
        except NoDtypeError as error:
            self.diagnostics.add(Code.DATATYPE_UNREADABLE, path, f"its datatype can't be read ({error})")
            return None
        except FormatError as error:  # of which libhdf5 makes no sense either: it may crash, or wait without end
            if kind != HARD:
                return self._not_followed(raw_name, kind, str(error))
            self.diagnostics.add(Code.OBJECT_UNREADABLE, path, f"can't be opened ({error})")
            return None
        except UnsupportedError as error:
            if place is not None and place.file is not self._place.file and not place.file.file.is_local:
                return self._not_followed(raw_name, kind, str(error))  # libhdf5 takes it for this file
            return self._leave(raw_name, kind, path, str(error))  # which says what is the matter with it

    def _not_followed(self, raw_name: bytes, kind: int, reason: str) -> Link | None:
        link = self._dangling(raw_name, kind)
        return None if link is None else replace(link, trouble=f"can't be opened ({reason})")

    def _leave(self, raw_name: bytes, kind: int, path: str, reason: str) -> Group | Dataset | Link | None:
        """What libhdf5 has for a link."""
        self._place.file.file.leave_to_libhdf5(path, reason)
        group = self._place.file.way_out(self._place.path, self.path, self.diagnostics, self._budget)
        return group.open_link(raw_name, kind) if isinstance(group, Group) else None


def object_at(place: Place, path: str, diagnostics: Diagnostics, budget: Budget) -> Group | Dataset | None:
    """The group or dataset at a place; a named datatype is reported, and None.

    Raises
    ------
    FormatError
        There is none, or what is said about it is damaged.
    UnsupportedError
        Only libhdf5 knows it.
    """
    try:
        return _object_at(place, path, diagnostics, budget)
    except FormatError as error:
        return place.file.again(partial(_object_at, place, path, diagnostics, budget), error)


def _object_at(place: Place, path: str, diagnostics: Diagnostics, budget: Budget) -> Group | Dataset | None:
    usual = place.file.usual_dataset(place.address)
    if usual is not None:
        return ParsedDataset(place, usual, path, diagnostics)
    group = place.file.usual_group(place.address)
    if group is not None:
        return ParsedGroup(place, group, path, diagnostics, budget)
    header = read_object_header(place.file.bytes, place.address)
    if is_group(header):
        return _group_at(place, header, path, diagnostics, budget)
    if MessageType.DATATYPE not in header:
        raise FormatError("an object is neither a group nor a dataset nor a datatype")
    if MessageType.DATASPACE in header:
        return ParsedDataset(place, place.file.dataset(header), path, diagnostics)
    ParsedDatatype(place, header, path, diagnostics).report_left_out()
    return None


def _group_at(
    place: Place, header: ObjectHeader, path: str, diagnostics: Diagnostics, budget: Budget | None = None
) -> ParsedGroup:
    place.file.links(place.address, header)  # which may be known to libhdf5 alone
    return ParsedGroup(place, header, path, diagnostics, budget)


def parsed_root(file: ParsedFile, diagnostics: Diagnostics) -> ParsedGroup:
    """The root group; `diagnostics` is given each thing that can't be read.

    Raises
    ------
    FormatError
        It is damaged.
    UnsupportedError
        Only libhdf5 knows it.
    """
    try:
        return _root_of(file, diagnostics)
    except FormatError as error:
        return file.again(partial(_root_of, file, diagnostics), error)


def _root_of(file: ParsedFile, diagnostics: Diagnostics) -> ParsedGroup:
    place = root_place(file)
    return _group_at(place, read_object_header(file.bytes, place.address), "/", diagnostics)
