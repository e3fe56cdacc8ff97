"""The attributes of an object, from the messages of its header or from its heap of attributes.

Source: the HDF5 file format specification, sections IV.A.2.m (the attribute message), IV.A.2.v (the attribute info
message) and III.A.2 (version 2 B-trees, record type 8).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from . import compiled
from .array_type import ArrayType, parse_array_type
from .btree2 import each_record
from .faults import FormatError, UnsupportedError
from .fields import Fields
from .file_bytes import FileBytes
from .heaps.fractal_heap import open_heap
from .heaps.global_heap import GlobalHeap
from .messages.message_types import MessageType
from .object_header import ObjectHeader, first_of
from .shared_messages import SHARED, SharedTable, committed_at, resolve

_WHAT = "an attribute"
# Version, flags, and the sizes of name, datatype and dataspace.
_SIZES = struct.Struct("<BBHHH")
_TYPE_IS_SHARED, _SPACE_IS_SHARED = 0x01, 0x02
# Where names begin, by versions, of which the last says in which encoding they are; only the first pads what follows.
_NAMES_AT = {1: 8, 2: 8, 3: 9}
_PADDING_1 = 7
_ORDER_TRACKED = 0x01
_MOST_HEADS = 4096
_NAME_RECORDS = 8
# Heap identifier and flags; what follows is the order of creation and a hash of the name.
_RECORD = struct.Struct("<8sB8x")


class Attribute(NamedTuple):
    """An attribute.

    Attributes
    ----------
    name, type, data
        What it is.
    encoded_type
        Its datatype as the file has it.
    named_type
        The address of the named datatype that it is of; None where it is of one of its own.
    """

    name: bytes
    type: ArrayType
    data: bytes
    encoded_type: bytes
    named_type: int | None


class BrokenAttribute(NamedTuple):
    """What is in the place of an attribute, and can't be read."""

    name: bytes | None
    error: FormatError | UnsupportedError


AnyAttribute: TypeAlias = Attribute | BrokenAttribute
# A single text or number; or what else an attribute is, and its data.
Value: TypeAlias = str | int | float | tuple[ArrayType, bytes]


def read_attributes(file: FileBytes, header: ObjectHeader, shared: SharedTable) -> list[AnyAttribute]:
    """The attributes of an object by name, as libhdf5 lists them, and last those of which there is no name.

    Parameters
    ----------
    file
        The file that the object is in.
    header
        What is said about the object.
    shared
        The messages of the file that are in heaps.
    """
    messages, info = header.get(MessageType.ATTRIBUTE, []), first_of(header, MessageType.ATTRIBUTE_INFO)
    many = [] if info is None else list(_in_heap(file, info, shared))
    return sorted([*(_parse(file, flags, content, shared) for flags, content in messages), *many], key=_by_name)


def usual_attributes(file: FileBytes, header: ObjectHeader, heap: GlobalHeap) -> dict[str, Value] | None:
    """The attributes of an object by name, None where they aren't as they mostly are, or weren't seen before.

    Parameters
    ----------
    file
        The file that the object is in.
    header
        What is said about the object.
    heap
        The file's heap.
    """
    if MessageType.ATTRIBUTE_INFO in header and not _is_without_heap(file, header):
        return None
    return compiled.attributes(header.get(MessageType.ATTRIBUTE, []), known_heads(file.length_size), heap.collections)


def _is_without_heap(file: FileBytes, header: ObjectHeader) -> bool:
    try:
        return _places(header[MessageType.ATTRIBUTE_INFO][0][1], file.offset_size)[0] == file.undefined
    except FormatError:
        return False


def _by_name(attribute: AnyAttribute) -> tuple[bool, bytes]:
    return attribute.name is None, attribute.name or b""


def _in_heap(file: FileBytes, info: bytes, shared: SharedTable) -> Iterator[AnyAttribute]:
    """Attributes that have a heap of their own, as there are many of them or large ones."""
    try:
        yield from _listed(file, info, shared)
    except FormatError as error:  # in the place of those that are behind it
        yield BrokenAttribute(None, error)


def _listed(file: FileBytes, info: bytes, shared: SharedTable) -> Iterator[AnyAttribute]:
    heap_address, names_address = _places(info, file.offset_size)
    if heap_address == file.undefined:
        return
    heap = open_heap(file, heap_address)
    for record in each_record(file, names_address, _NAME_RECORDS):
        try:
            heap_id, flags = _id_and_flags(record)
            content = shared.get(MessageType.ATTRIBUTE, heap_id) if flags & SHARED else heap.get(heap_id)
        except (FormatError, UnsupportedError) as error:
            yield BrokenAttribute(None, error)
        else:
            yield _parse(file, 0, content, shared)


def _id_and_flags(record: bytes) -> tuple[bytes, int]:
    if len(record) != _RECORD.size:
        raise FormatError(f"{_WHAT} has a record of {len(record)} bytes")
    heap_id, flags = _RECORD.unpack(record)
    return heap_id, flags


@lru_cache(_MOST_HEADS)
def _places(info: bytes, offset_size: int) -> tuple[int, int]:
    """Where attributes are, and where the records of their names are."""
    fields = Fields(info, "what is said about attributes")
    fields.expect(b"\0")
    if fields.number(1) & _ORDER_TRACKED:
        fields.take(2)
    return fields.number(offset_size), fields.number(offset_size)


def _parse(file: FileBytes, flags: int, content: bytes, shared: SharedTable) -> AnyAttribute:
    try:
        if flags & SHARED:
            content = resolve(file, MessageType.ATTRIBUTE, flags, content, shared)
        pieces = _pieces(content)
        if pieces.flags & (_TYPE_IS_SHARED | _SPACE_IS_SHARED):
            head = _head(file, pieces, shared)
        else:
            head = _own_head(pieces, content[: pieces.data_at], file.length_size)
        return _of(head, content[pieces.data_at :])
    except (FormatError, UnsupportedError) as error:
        return BrokenAttribute(_name_of(content), error)


def _of(head: _Head, stored: bytes) -> Attribute:
    """The attribute that has so much before its data, and its data with what may be behind."""
    size = head.type.size
    if len(stored) < size:
        raise FormatError(f"{_WHAT} of {size} bytes has {len(stored)}")
    return Attribute(head.name, head.type, stored[:size], head.encoded_type, head.named_type)


def _name_of(content: bytes) -> bytes | None:
    with suppress(FormatError):
        return _pieces(content).name
    return None


class _Head(NamedTuple):
    """What is said about an attribute before its data."""

    name: bytes
    type: ArrayType
    encoded_type: bytes
    named_type: int | None = None


# Name as text, type, and bytes of the data; no name where that isn't ASCII.
_KnownHead: TypeAlias = tuple[str | None, ArrayType, int]


def _sizes(content: bytes) -> tuple[int, int, int, int, int]:
    if len(content) < _SIZES.size:
        raise FormatError(f"{_WHAT} ends too early")
    sizes: tuple[int, int, int, int, int] = _SIZES.unpack_from(content)
    if sizes[0] not in _NAMES_AT:
        raise FormatError(f"{_WHAT} has version {sizes[0]}")
    return sizes


class _Pieces(NamedTuple):
    """The bytes of which the head of an attribute consists, and where its data begins behind them."""

    flags: int
    name: bytes
    datatype: bytes
    dataspace: bytes
    data_at: int


def _pieces(content: bytes) -> _Pieces:
    version, flags, name_size, type_size, space_size = _sizes(content)
    padding = _PADDING_1 if version == 1 else 0
    name_at = _NAMES_AT[version]
    type_at = name_at + (name_size + padding & ~padding)
    space_at = type_at + (type_size + padding & ~padding)
    if space_at + space_size > len(content):
        raise FormatError(f"{_WHAT} ends too early")
    return _Pieces(
        0 if version == 1 else flags,
        _name(content[name_at : name_at + name_size]),
        content[type_at : type_at + type_size],
        content[space_at : space_at + space_size],
        space_at + (space_size + padding & ~padding),
    )


def _name(stored: bytes) -> bytes:
    """A name, of which the last byte is its end, whatever it is."""
    if not stored:
        raise FormatError(f"{_WHAT} has no name")
    return stored[:-1].partition(b"\0")[0]


@lru_cache
def known_heads(length_size: int) -> dict[bytes, _KnownHead]:
    """The heads of attributes that say all themselves, by their bytes: the attributes of all files have few."""
    return {}


def _own_head(pieces: _Pieces, content: bytes, length_size: int) -> _Head:
    """The head of an attribute that says all itself, which is known from then on."""
    array_type = parse_array_type(pieces.datatype, pieces.dataspace, length_size)
    if array_type.size < 1 << 16:  # more is in no message, and may be a number that the compiled module can't take
        known = known_heads(length_size)
        if len(known) >= _MOST_HEADS:
            known.clear()
        name = pieces.name.decode() if pieces.name.isascii() else None
        known[content] = name, array_type, array_type.size
    return _Head(pieces.name, array_type, pieces.datatype)


def _head(file: FileBytes, pieces: _Pieces, shared: SharedTable) -> _Head:
    type_content, space_content, named_type = pieces.datatype, pieces.dataspace, None
    if pieces.flags & _TYPE_IS_SHARED:
        named_type = committed_at(file, type_content)
        type_content = resolve(file, MessageType.DATATYPE, SHARED, type_content, shared)
    if pieces.flags & _SPACE_IS_SHARED:
        space_content = resolve(file, MessageType.DATASPACE, SHARED, space_content, shared)
    return _Head(pieces.name, parse_array_type(type_content, space_content, file.length_size), type_content, named_type)
