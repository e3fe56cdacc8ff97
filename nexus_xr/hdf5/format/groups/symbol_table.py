"""Links of groups as old versions of HDF5 store them: by name, in nodes to which a version 1 B-tree leads.

Source: the HDF5 file format specification, sections III.A.1 (B-trees), III.B and III.C (symbol tables).
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator

from nexus_xr.hdf5.format import compiled
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import layout
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.heaps.local_heap import name_at, read_local_heap

from .stored_link import HARD, SOFT, StoredLink, as_link

_WHAT = "a symbol table"
_TREE = "a B-tree of a group"
_OF_GROUPS = 0
_SOFT_LINK, _MOST_KIND = 2, 2
# Most nodes are within so many bytes, and read at once.
_USUAL_BYTES = 512
_NODE_HEAD = struct.Struct("<4sBxH")
# As libhdf5 has it, and other than specified, where the name is takes as many bytes as a length. Behind the address are
# the kind and, behind what is reserved, the first four of the 16 bytes that depend on the kind.
_ENTRY = "ZAI4xI12x"
# Signature, kind and level, how many children there are, and what is left and right of the node.
_TREE_HEAD = "6sHAA"
# A name that is not behind those below, and where these are.
_TREE_ENTRY = "ZA"


def group_links(file: FileBytes, btree: int, heap: int) -> Iterator[StoredLink | FormatError]:
    """The links of a group, in the order of the tree, which is by name; in the place of what is damaged, what is wrong.

    Parameters
    ----------
    file
        The bytes of the file.
    btree, heap
        Addresses of the B-tree, and of the local heap that has the names.

    Raises
    ------
    FormatError
        No more links can be read.
    """
    whole = compiled.links(file.kept, btree, heap)
    if whole is not None:
        yield from map(as_link, whole)
        return
    segment = read_local_heap(file, heap)
    room = len(segment)
    for node in _symbol_nodes(file, btree, file.read(btree, 6)[5], set()):
        content = node if isinstance(node, FormatError) else _content(file, node)
        if isinstance(content, FormatError):
            yield content
            continue
        found = compiled.entries(content, segment, room, file.length_size, file.offset_size)
        if found is not None:
            links, room = found
            yield from map(as_link, links)
        else:
            room = yield from _within(room, _links(file, content, segment))


def _symbol_nodes(file: FileBytes, address: int, level: int, seen: set[int]) -> Iterator[int | FormatError]:
    """Addresses of the nodes below a node of the tree that have the links."""
    try:
        children = _children(file, address, level)
    except FormatError as error:
        yield error
        return
    for child in children:
        if child in seen:
            yield FormatError(f"{_TREE} has a node twice")
            continue
        seen.add(child)
        if level:
            yield from _symbol_nodes(file, child, level - 1, seen)
        else:
            yield child


def _children(file: FileBytes, address: int, level: int) -> list[int]:
    head, entry = (layout(fields, file.offset_size, file.length_size) for fields in (_TREE_HEAD, _TREE_ENTRY))
    start = file.read_up_to(address, _USUAL_BYTES)
    signature, count, _left, _right = head.unpack(file.read_behind(start, address, 0, head.size))
    if signature != b"TREE" + bytes((_OF_GROUPS, level)):
        raise FormatError(f"{_TREE} isn't one")
    children = file.read_behind(start, address, head.size, count * entry.size)
    return [child for _, child in entry.iter_unpack(children)]


def _content(file: FileBytes, address: int) -> bytes | FormatError:
    """The entries of a node, or what is wrong with it."""
    try:
        start = file.read_up_to(address, _USUAL_BYTES)
        signature, version, count = _NODE_HEAD.unpack(file.read_behind(start, address, 0, _NODE_HEAD.size))
        if signature != b"SNOD" or version != 1:
            raise FormatError(f"a node of {_WHAT} isn't one")
        size = count * layout(_ENTRY, file.offset_size, file.length_size).size
        return file.read_behind(start, address, _NODE_HEAD.size, size)
    except FormatError as error:
        return error


def _within(room: int, links: Iterable[StoredLink | FormatError]) -> Generator[StoredLink | FormatError, None, int]:
    """The links of a node while there is room for their names; returns how much is left."""
    for link in links:
        if isinstance(link, StoredLink):
            room -= len(link.name) + 1 + len(link.target)
        if room < 0:
            raise FormatError(f"{_WHAT} has names within each other")
        yield link
    return room


def _links(file: FileBytes, content: bytes, segment: bytes) -> Iterator[StoredLink | FormatError]:
    """The links of entries; in the place of one that is damaged, what is wrong."""
    for name, header, kind, target in layout(_ENTRY, file.offset_size, file.length_size).iter_unpack(content):
        try:
            yield _link(segment, name, header, kind, target)
        except FormatError as error:
            yield error


def _link(segment: bytes, name: int, header: int, kind: int, target: int) -> StoredLink:
    if kind > _MOST_KIND:
        raise FormatError(f"{_WHAT} has an entry of kind {kind}")
    if kind != _SOFT_LINK:
        return StoredLink(name_at(segment, name), HARD, header)
    return StoredLink(name_at(segment, name), SOFT, None, name_at(segment, target))
