"""Version 1 B-trees, with which files find chunks unless they are of the latest format.

A whole level of the tree is one array.
Source: the HDF5 file format specification, section III.A.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.file_bytes import FileBytes

from .chunk_records import ChunkRecords, no_chunks

_OF_CHUNKS = 1
# The entries that a node of the usual size has room for.
_USUAL_ENTRIES = 64


def read_chunk_btree(file: FileBytes, root: int, chunk_shape: tuple[int, ...]) -> ChunkRecords:
    """The chunks of a dataset as its B-tree has them.

    Parameters
    ----------
    file
        The bytes of the file.
    root
        Address of the root node.
    chunk_shape
        Shape of a chunk.

    Raises
    ------
    FormatError
        The tree is not as such a tree can be.
    """
    level, entries = _read_level(file, [root], len(chunk_shape))
    read = 1
    while level and len(entries):
        read += len(entries)
        if read * _head_type(file).itemsize > file.size:
            raise FormatError("the tree has more nodes than the file has room for")
        below, entries = _read_level(file, entries["child"].tolist(), len(chunk_shape))
        if below != level - 1:
            raise FormatError(f"a node of the tree is of level {below} and not of {level - 1}")
        level = below
    return _records(entries, chunk_shape) if len(entries) else no_chunks(len(chunk_shape))


def _records(entries: NDArray[Any], chunk_shape: tuple[int, ...]) -> ChunkRecords:
    origins = entries["origin"]
    _check_order(origins)
    coordinates, within = np.divmod(origins[:, :-1], chunk_shape)
    if within.any():
        raise FormatError("the tree has chunks that are not on their grid")
    return ChunkRecords(
        coordinates, entries["child"].astype(np.int64), entries["size"].astype(np.int64), entries["mask"].copy()
    )


def _check_order(origins: NDArray[np.int64]) -> None:
    """Whether the chunks' origins rise, as those of one element of the datatype each."""
    if origins[:, -1].any() or (origins < 0).any():
        raise FormatError("the tree has chunks that start within an element")
    alike = np.ones(len(origins) - 1, bool)  # in all dimensions so far
    for along in origins[:, :-1].T:
        before, after = along[:-1], along[1:]
        if (alike & (after < before)).any():
            break
        alike &= after == before
    if alike.any():
        raise FormatError("the tree is not in order")


class _Level(NamedTuple):
    number: int
    entries: NDArray[Any]


def _read_level(file: FileBytes, addresses: Sequence[int], rank: int) -> _Level:
    """The nodes of one level, their entries one behind the other."""
    head, entry = _head_type(file), _entry_type(file, rank)
    usual = head.itemsize + _USUAL_ENTRIES * entry.itemsize
    nodes = list(file.read_each(addresses, [usual] * len(addresses)))
    heads = _read_heads(nodes, head)
    ends = head.itemsize + heads["entries"].astype(np.int64) * entry.itemsize
    if ends.sum() > file.size:
        raise FormatError("the nodes of the tree are larger than the file")
    larger = np.flatnonzero(ends > usual).tolist()  # a file may have been made with such
    again = file.read_each([addresses[number] for number in larger], ends[larger].tolist())
    for number, node in zip(larger, again, strict=True):
        nodes[number] = node
    # What is behind the end of a node is room for further entries.
    content = b"".join([node[head.itemsize : end] for node, end in zip(nodes, ends.tolist(), strict=True)])
    if len(content) != heads["entries"].sum() * entry.itemsize:
        raise FormatError("a node of the tree is beyond the end of the file")
    return _Level(int(heads["level"][0]), np.frombuffer(content, entry))


def _read_heads(nodes: Sequence[bytes], head: np.dtype[Any]) -> NDArray[Any]:
    content = b"".join([node[: head.itemsize] for node in nodes])
    if len(content) != len(nodes) * head.itemsize:
        raise FormatError("a node of the tree is beyond the end of the file")
    heads = np.frombuffer(content, head)
    if np.any(heads["signature"] != b"TREE") or np.any(heads["type"] != _OF_CHUNKS):
        raise FormatError("a node of the tree isn't one")
    if np.any(heads["level"] != heads["level"][0]):
        raise FormatError("nodes of the tree are of different levels")
    return heads


def _head_type(file: FileBytes) -> np.dtype[Any]:
    siblings = ("siblings", f"<u{file.offset_size}", 2)
    return np.dtype([("signature", "S4"), ("type", "u1"), ("level", "u1"), ("entries", "<u2"), siblings])


def _entry_type(file: FileBytes, rank: int) -> np.dtype[Any]:
    """A key, which tells of a chunk or of the first below a node, and the address of that."""
    child = ("child", f"<u{file.offset_size}")
    return np.dtype([("size", "<u4"), ("mask", "<u4"), ("origin", "<i8", (rank + 1,)), child])
