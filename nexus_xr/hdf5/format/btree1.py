"""Chunk indexes of the usual kind, version 1 B-trees, taken from the bytes of the file.

Libhdf5 hands out one chunk record at a time as a Python object; here a whole level of the tree is one array.
Source: the HDF5 file format specification, sections III.A.1 (B-trees) and IV.A (object headers).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.io.source import Source

UNDEFINED = 0xFFFFFFFFFFFFFFFF
LAYOUT, _CONTINUATION = 0x08, 0x10
CHUNKED = 2
# A node's header, and the entries that one of the usual size has room for.
_HEADER = struct.Struct("<4sBBHQQ")
_USUAL_ENTRIES = 64
_MOST_MESSAGES = 1 << 16


class DamagedIndexError(ValueError):
    """The chunk index contradicts itself."""


class ChunkRecords(NamedTuple):
    """One element for each stored chunk, in the order of the tree."""

    origins: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    masks: NDArray[np.uint32]


def read_btree(source: Source, header: int, base: int, rank: int) -> ChunkRecords | None:
    """The chunks of a dataset as its B-tree has them, None where its index is of another kind.

    Parameters
    ----------
    source
        The bytes of the file.
    header
        Address of the dataset's object header.
    base
        Where addresses count from: the size of the user block.
    rank
        How many dimensions the dataset has.

    Raises
    ------
    DamagedIndexError
        The tree is not as such a tree can be.
    """
    root = _find_root(source, base, header, rank)
    if root is None:
        return None
    if root != UNDEFINED and root + base >= source.size:
        raise DamagedIndexError("the chunk index is beyond the end of the file")
    addresses = np.array([] if root == UNDEFINED else [root], np.int64)
    level: int | None = None
    read = 0
    while level != 0 and len(addresses):
        read += len(addresses)
        if read * _HEADER.size > source.size:
            raise DamagedIndexError("the chunk index has more nodes than the file has room for")
        nodes = _read_nodes(source, addresses + base, rank)
        if level is not None and nodes.level != level - 1:
            raise DamagedIndexError(f"a node of the chunk index is of level {nodes.level} and not of {level - 1}")
        level, addresses = nodes.level, nodes.children
    if not len(addresses):
        none = np.zeros(0, np.int64)
        return ChunkRecords(np.zeros((0, rank), np.int64), none, none, none.astype(np.uint32))
    _check_order(nodes.origins)
    return ChunkRecords(nodes.origins[:, :-1], nodes.children + base, nodes.sizes, nodes.masks)


def _check_order(origins: NDArray[np.int64]) -> None:
    """Whether the chunks' origins rise, as those of one element of the datatype each."""
    if np.any(origins[:, -1]) or np.any(origins < 0):
        raise DamagedIndexError("the chunk index has chunks that start within an element")
    differing = origins[1:] != origins[:-1]
    first = differing.argmax(axis=1)
    rows = np.arange(len(first))
    if not np.all(origins[1:][rows, first] > origins[:-1][rows, first]):
        raise DamagedIndexError("the chunk index is not in order")


class _Nodes(NamedTuple):
    level: int
    children: NDArray[np.int64]
    origins: NDArray[np.int64]
    sizes: NDArray[np.int64]
    masks: NDArray[np.uint32]


def _read_nodes(source: Source, offsets: NDArray[np.int64], rank: int) -> _Nodes:
    """All nodes of one level, their entries one behind the other."""
    entry = np.dtype([("size", "<u4"), ("mask", "<u4"), ("origin", "<i8", (rank + 1,)), ("child", "<i8")])
    most = _USUAL_ENTRIES
    rows, heads = _read_rows(source, offsets, most * entry.itemsize)
    if heads["entries"].max() > most:  # a file may have been made with larger nodes
        most = int(heads["entries"].max())
        if len(offsets) * most * entry.itemsize > source.size:
            raise DamagedIndexError("the nodes of the chunk index are larger than the file")
        rows, heads = _read_rows(source, offsets, most * entry.itemsize)
    if np.any(heads["signature"] != b"TREE") or np.any(heads["type"] != 1):
        raise DamagedIndexError("a node of the chunk index isn't one")
    if np.any(heads["level"] != heads["level"][0]):
        raise DamagedIndexError("nodes of the chunk index are of different levels")
    entries = rows[:, _HEADER.size :].view(entry)[np.arange(most) < heads["entries"][:, None]]
    return _Nodes(
        int(heads["level"][0]),
        entries["child"].copy(),
        entries["origin"].copy(),
        entries["size"].astype(np.int64),
        entries["mask"].copy(),
    )


def _read_rows(
    source: Source, offsets: NDArray[np.int64], entries_bytes: int
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    head = np.dtype([("signature", "S4"), ("type", "u1"), ("level", "u1"), ("entries", "<u2"), ("siblings", "<u8", 2)])
    rows = np.zeros((len(offsets), _HEADER.size + entries_bytes), np.uint8)
    if np.any(offsets < 0) or np.any(offsets >= source.size):
        raise DamagedIndexError("a node of the chunk index is beyond the end of the file")
    with source.expecting(lambda: (offsets.tolist(), [rows.shape[1]] * len(offsets))) as ready:
        for offset, row in zip(offsets.tolist(), rows, strict=True):
            # The last node may end with the file, before the room for all its entries does.
            if ready.read_into(row.data, offset) < _HEADER.size:
                raise DamagedIndexError("a node of the chunk index is beyond the end of the file")
    return rows, rows[:, : _HEADER.size].copy().view(head)[:, 0]


def _find_root(source: Source, base: int, header: int, rank: int) -> int | None:
    """Address of the B-tree's root, from the layout message of a dataset's object header."""
    for kind, content in messages(source, base, header):
        if kind == LAYOUT:
            # Version 3, chunked, with one dimension more for the bytes of an element.
            if content[:3] != bytes((3, CHUNKED, rank + 1)) or len(content) < 11:
                return None
            return int.from_bytes(content[3:11], "little")
    return None


def messages(source: Source, base: int, header: int) -> Iterator[tuple[int, bytes]]:
    """Type and content of the messages of an object header, of version 1 or 2."""
    start = _read(source, base + header, 64)
    if start[:4] == b"OHDR":
        yield from _messages_of_version_2(source, base, header, start)
    elif start[:1] == b"\x01":
        yield from _messages_of_version_1(source, base, header, start)


def _messages_of_version_1(source: Source, base: int, header: int, start: bytes) -> Iterator[tuple[int, bytes]]:
    blocks = [(header + 16, int.from_bytes(start[8:12], "little"))]
    for block in _bounded(blocks):
        content, position = _read(source, base + block[0], block[1]), 0
        while position + 8 <= len(content):
            kind, size = struct.unpack_from("<HH", content, position)
            message = content[position + 8 : position + 8 + size]
            if kind == _CONTINUATION and size >= 16:
                blocks.append(struct.unpack_from("<QQ", message))
            yield kind, message
            position += 8 + size


def _messages_of_version_2(source: Source, base: int, header: int, start: bytes) -> Iterator[tuple[int, bytes]]:
    flags = start[5]
    before = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    prefix = 6 if flags & 0x04 else 4
    blocks = [(header + before + width, int.from_bytes(start[before : before + width], "little"))]
    for number, block in enumerate(_bounded(blocks)):
        content = _read(source, base + block[0], block[1])
        # Blocks behind the first begin with a signature, and end with a checksum.
        position, end = (0, len(content)) if number == 0 else (4, len(content) - 4)
        while position + prefix <= end:
            kind, size = struct.unpack_from("<BH", content, position)
            message = content[position + prefix : position + prefix + size]
            if kind == _CONTINUATION and size >= 16:
                blocks.append(struct.unpack_from("<QQ", message))
            yield kind, message
            position += prefix + size


def _bounded(blocks: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Blocks, those that are found meanwhile among them, but not for ever."""
    for number, block in enumerate(blocks):
        if number < _MOST_MESSAGES:
            yield block


def _read(source: Source, offset: int, size: int) -> bytes:
    if offset < 0 or size > source.size:
        return b""
    content = bytearray(size)
    return bytes(content[: source.read_into(memoryview(content), offset)])
