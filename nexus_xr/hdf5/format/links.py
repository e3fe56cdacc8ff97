"""The links of a group.

Source: the HDF5 file format specification, sections IV.A.2.c (link info), IV.A.2.g (links), IV.A.2.r (symbol table).
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from . import btree2
from .faults import FormatError, UnsupportedError
from .fields import Fields
from .file_bytes import FileBytes
from .fractal_heap import open_heap
from .messages import Kind
from .object_header import ObjectHeader
from .symbol_table import read_group_btree

HARD, SOFT, EXTERNAL = 0, 1, 64
_WHAT = "a link"
_BY_NAME = 5
_HASH_BYTES = 4
_ORDER_TRACKED = 1
_ORDER, _KIND, _CHARACTER_SET, _KNOWN_FLAGS = 0x04, 0x08, 0x10, 0x1F


class StoredLink(NamedTuple):
    """A link as it is stored.

    Attributes
    ----------
    name
        What it is called in its group.
    kind
        `HARD`, `SOFT`, `EXTERNAL`, or a number beyond that programs define.
    address
        The object header that a hard link leads to.
    target
        The path that a soft link leads to, or what is stored of others.
    order
        Tells in which order links were made, where that is tracked.
    """

    name: bytes
    kind: int
    address: int | None = None
    target: bytes = b""
    order: int = 0


def read_links(file: FileBytes, header: ObjectHeader) -> list[StoredLink]:
    """The links of a group, in the order in which they were made where it is tracked, and by name elsewhere.

    Parameters
    ----------
    file
        The bytes of the file.
    header
        What is said about the group.

    Raises
    ------
    FormatError
        It isn't a group, or is damaged.
    """
    info, table = header.first(Kind.LINK_INFO), header.first(Kind.SYMBOL_TABLE)
    if info is not None:
        return _read_new(file, header, Fields(info.content, "a group"))
    if table is None:
        raise FormatError("an object that should be a group isn't one")
    fields = Fields(table.content, "a group")
    entries = read_group_btree(file, fields.number(file.offset_size), fields.number(file.offset_size))
    return [
        StoredLink(name, HARD, address) if target is None else StoredLink(name, SOFT, None, target)
        for name, address, target in entries
    ]


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
    fields = Fields(content, _WHAT)
    fields.expect(b"\x01")
    flags = fields.number(1)
    kind = fields.number(1) if flags & _KIND else HARD
    order = int.from_bytes(fields.take(8), "little", signed=True) if flags & _ORDER else 0
    character_set = fields.number(1) if flags & _CHARACTER_SET else 0
    name = fields.take(fields.number(1 << (flags & 3)))
    if flags & ~_KNOWN_FLAGS or character_set > 1 or SOFT < kind < EXTERNAL or not name:
        raise FormatError(f"{_WHAT} is of a kind of which nothing is known, or has no name")
    if kind == HARD:
        return StoredLink(name, kind, fields.number(offset_size), order=order)
    return StoredLink(name, kind, None, fields.take(fields.number(2)), order)


def _read_new(file: FileBytes, header: ObjectHeader, info: Fields) -> list[StoredLink]:
    """Links that are messages, few of them in the group's own header, many in a heap."""
    info.expect(bytes(1))
    tracks_order = info.number(1) & _ORDER_TRACKED
    info.take(8 if tracks_order else 0)
    heap_address, index = info.number(file.offset_size), info.number(file.offset_size)
    if heap_address == file.undefined:
        messages = [message.content for message in header.all(Kind.LINK)]
    else:
        messages = list(_from_heap(file, heap_address, index))
    links = [parse_link(message, file.offset_size) for message in messages]
    return sorted(links, key=attrgetter("order" if tracks_order else "name"))


def _from_heap(file: FileBytes, address: int, index: int) -> Iterator[bytes]:
    heap, room = open_heap(file, address), file.size
    for record in btree2.records(file, index, _BY_NAME):
        message = heap.get(record[_HASH_BYTES:])
        room -= len(message)
        if room < 0:
            raise UnsupportedError("links that are more than the file, well compressed or within one another")
        yield message
