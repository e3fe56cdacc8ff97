"""The links of a group.

Source: the HDF5 file format specification, sections IV.A.2.c (link info), IV.A.2.g (links), IV.A.2.r (symbol table).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from nexus_xr.hdf5.format import btree2, compiled
from nexus_xr.hdf5.format.faults import FormatError, NoGroupError, UnsupportedError
from nexus_xr.hdf5.format.fields import Fields, layout
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.heaps.fractal_heap import open_heap
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import ObjectHeader, first_of

from .stored_link import EXTERNAL, HARD, SOFT, StoredLink, as_link
from .symbol_table import group_links

_WHAT = "a link"
_BY_NAME = 5
_HASH_BYTES = 4
_ORDER_TRACKED = 1
_ORDER, _KIND, _CHARACTER_SET, _KNOWN_FLAGS = 0x04, 0x08, 0x10, 0x1F


def is_group(header: ObjectHeader) -> bool:
    """Whether an object is a group."""
    return MessageType.SYMBOL_TABLE in header or MessageType.LINK_INFO in header


class Links(NamedTuple):
    """The links of a group by their names, and what is wrong with one that can't be read."""

    by_name: Mapping[bytes, StoredLink]
    damage: FormatError | None

    def get(self, name: bytes) -> StoredLink | None:
        """The link of a name, None where there is none.

        Raises
        ------
        FormatError
            It may be one of those that can't be read.
        """
        link = self.by_name.get(name)
        if link is None and self.damage is not None:
            raise self.damage
        return link


def read_links(file: FileBytes, header: ObjectHeader) -> Links:
    """The links of a group, in the order in which they were made where it is tracked, and by name elsewhere.

    Parameters
    ----------
    file
        The bytes of the file.
    header
        What is said about the group.

    Raises
    ------
    NoGroupError
        It isn't a group.
    FormatError
        None of them can be read.
    UnsupportedError
        Only libhdf5 reads them.
    """
    info = first_of(header, MessageType.LINK_INFO)
    stored = list(stored_links(file, header))
    links = [link for link in stored if isinstance(link, StoredLink)]
    if info is not None:
        links.sort(key=attrgetter("order" if _tracks_order(info) else "name"))
    by_name = {link.name: compiled.untracked(link) for link in links}
    if len(by_name) == len(stored):
        return Links(by_name, None)
    return _with_damage(stored, links)


def _with_damage(stored: Iterable[StoredLink | FormatError], links: Sequence[StoredLink]) -> Links:
    """Links of which some can't be read; of several with one name nobody knows which is meant, and none is there."""
    damage = next((each for each in stored if isinstance(each, FormatError)), None)
    counts = Counter(link.name for link in links)
    by_name = {link.name: link for link in links if counts[link.name] == 1}
    if len(by_name) < len(links):
        damage = damage or FormatError("two links have the same name")
    return Links(by_name, damage)


def stored_links(file: FileBytes, header: ObjectHeader) -> Iterator[StoredLink | FormatError]:
    """The links of a group in the order in which they are stored; in the place of what is damaged, what is wrong."""
    info, table = first_of(header, MessageType.LINK_INFO), first_of(header, MessageType.SYMBOL_TABLE)
    if info is not None:
        links = _new_links(file, header, info)
    elif table is not None:
        links = _old_links(file, table)
    else:
        raise NoGroupError("an object that should be a group isn't one")
    try:
        yield from links
    except FormatError as error:
        yield error


def external_target(target: bytes) -> tuple[bytes, bytes]:
    r"""The file and the path in it that an external link leads to.

    Raises
    ------
    FormatError
        It is of a version of which nothing is known, or has no end.

    Examples
    --------
    >>> external_target(b"\0raw.h5\0/entry/data\0")
    (b'raw.h5', b'/entry/data')
    """
    fields = Fields(target, "an external link")
    fields.expect(bytes(1))  # version and flags
    return fields.text(), fields.text()


def parse_link(content: bytes, offset_size: int) -> StoredLink:
    """The link that a message describes.

    Raises
    ------
    FormatError
        The message ends before the link does, or is of a version of which nothing is known.
    """
    found = compiled.link(content, offset_size)
    return _parse_in_python(content, offset_size) if found is None else as_link(found)


def _parse_in_python(content: bytes, offset_size: int) -> StoredLink:
    fields = Fields(content, _WHAT)
    fields.expect(b"\x01")
    flags = fields.number(1)
    kind = fields.number(1) if flags & _KIND else HARD
    order = int.from_bytes(fields.take(8), "little", signed=True) if flags & _ORDER else 0
    character_set = fields.number(1) if flags & _CHARACTER_SET else 0
    name = fields.take(fields.number(1 << (flags & 3))).partition(b"\0")[0]
    if flags & ~_KNOWN_FLAGS or character_set > 1 or SOFT < kind < EXTERNAL or not name:
        raise FormatError(f"{_WHAT} is of a kind of which nothing is known, or has no name")
    if kind == HARD:
        return StoredLink(name, kind, fields.number(offset_size), order=order)
    return StoredLink(name, kind, None, fields.take(fields.number(2)), order)


def _old_links(file: FileBytes, table: bytes) -> Iterator[StoredLink | FormatError]:
    places = layout("AA", file.offset_size, file.length_size)
    if len(table) < places.size:
        raise FormatError("a group ends too early")
    btree, heap = places.unpack_from(table)
    return group_links(file, btree, heap)


def _tracks_order(info: bytes) -> bool:
    return bool(info[1:2] and info[1] & _ORDER_TRACKED)


def _new_links(file: FileBytes, header: ObjectHeader, content: bytes) -> Iterator[StoredLink | FormatError]:
    """Links that are messages, few of them in the group's own header, many in a heap."""
    info = Fields(content, "a group")
    info.expect(bytes(1))
    info.take(9 if _tracks_order(content) else 1)  # flags, and the highest number in the order
    heap_address, index = info.number(file.offset_size), info.number(file.offset_size)
    messages: Iterable[bytes | FormatError] = (content for _, content in header.get(MessageType.LINK, []))
    if heap_address != file.undefined:
        found = compiled.links_in_heap(file.kept, heap_address, index)
        if found is not None:
            yield from map(as_link, found)
            return
        messages = _from_heap(file, heap_address, index)
    for message in messages:
        try:
            yield message if isinstance(message, FormatError) else parse_link(message, file.offset_size)
        except FormatError as error:
            yield error


def _from_heap(file: FileBytes, address: int, index: int) -> Iterator[bytes | FormatError]:
    heap, room = open_heap(file, address), file.size
    for record in btree2.each_record(file, index, _BY_NAME):
        try:
            message = heap.get(record[_HASH_BYTES:])
        except FormatError as error:
            yield error
            continue
        room -= len(message)
        if room < 0:
            raise UnsupportedError("links that are more than the file, well compressed or within one another")
        yield message
