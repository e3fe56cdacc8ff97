"""Version 2 B-trees: records in order.

Source: the HDF5 file format specification, section III.A.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .checksum import CHECKSUM_BYTES, checked
from .faults import FormatError
from .fields import Fields, layout
from .file_bytes import FileBytes

_WHAT = "a version 2 B-tree"
# Signature, version and type, before the records.
_NODE_HEAD_BYTES = 6
_NODE_OVERHEAD = _NODE_HEAD_BYTES + CHECKSUM_BYTES
_MOST_COUNT_BYTES = 8
# Signature and version, type, bytes of a node and of a record, depth, when nodes are split and merged, where the root
# is, how many records are in it, and in all.
_HEADER = "5sBIHH2xAHZ"


class BTree2Header(NamedTuple):
    """What such a tree is like; `depth` 0 is a root without children, `root` may be undefined in an empty tree."""

    type: int
    node_size: int
    record_size: int
    depth: int
    root: int
    root_records: int
    all_records: int


class _Level(NamedTuple):
    """How nodes so high above the leaves are: how many records fit, and bytes of what is said about a child."""

    most_records: int
    count_size: int
    total_size: int


def read_btree2_header(file: FileBytes, address: int) -> BTree2Header:
    """The header of a tree."""
    head = layout(_HEADER, file.offset_size, file.length_size)
    content = checked(file.read(address, head.size + CHECKSUM_BYTES), _WHAT)
    signature, kind, node_size, record_size, depth, root, in_root, in_all = head.unpack(content)
    if signature != b"BTHD\0":
        raise FormatError(f"{_WHAT} isn't one")
    if not record_size:
        raise FormatError(f"{_WHAT} has records of no bytes")
    return BTree2Header(kind, node_size, record_size, depth, root, in_root, in_all)


def records(file: FileBytes, address: int, expected_type: int) -> list[bytes]:
    """The records of a tree, in order.

    Raises
    ------
    FormatError
        There is no such tree, or it is damaged.
    """
    return list(each_record(file, address, expected_type))


def each_record(file: FileBytes, address: int, expected_type: int) -> Iterator[bytes]:
    """The records of a tree one after the other, in order; of a damaged tree those before the damage.

    Parameters
    ----------
    file
        The bytes of the file.
    address
        Where the tree's header is.
    expected_type
        What the records are about.

    Raises
    ------
    FormatError
        There is no such tree, or it is damaged.
    """
    header = read_btree2_header(file, address)
    if header.type != expected_type:
        raise FormatError(f"{_WHAT} is of type {header.type} and not {expected_type}")
    count = 0
    if header.all_records:
        for record in _Walk(file, header).below(header.root, header.root_records, header.depth):
            yield record
            count += 1
    if count != header.all_records:
        raise FormatError(f"{_WHAT} has {count} records and not {header.all_records}")


class _Walk:
    def __init__(self, file: FileBytes, header: BTree2Header) -> None:
        self._file = file
        self._header = header
        self._levels = _levels(header, file.offset_size)
        self._seen: set[int] = set()

    def below(self, address: int, count: int, level: int) -> Iterator[bytes]:
        """The records of a node and of all nodes below it."""
        size = self._header.record_size
        fields = self._node(address, count, level)
        own = fields.records(count, size)
        if not level:
            yield from own
            return
        widths = self._file.offset_size, self._levels[level].count_size, self._levels[level].total_size
        children = [tuple(fields.number(width) for width in widths) for _ in range(count + 1)]
        for number, (child, child_count, _total) in enumerate(children):
            yield from self.below(child, child_count, level - 1)
            yield from own[number : number + 1]

    def _node(self, address: int, count: int, level: int) -> Fields:
        """A node that was not seen before, from its records on."""
        kind = self._levels[level]
        if address in self._seen or count > kind.most_records:
            raise FormatError(f"{_WHAT} has a node twice, or more records in one than fit")
        self._seen.add(address)
        child_size = self._file.offset_size + kind.count_size + kind.total_size
        size = _NODE_OVERHEAD + count * self._header.record_size + (child_size * (count + 1) if level else 0)
        fields = Fields(checked(self._file.read(address, size), _WHAT), _WHAT)
        fields.expect((b"BTIN" if level else b"BTLF") + bytes((0, self._header.type)))
        return fields


def _levels(header: BTree2Header, offset_size: int) -> list[_Level]:
    """From the leaves up to the root."""
    room = header.node_size - _NODE_OVERHEAD
    most = room // header.record_size
    levels, count_size, below = [_Level(most, 0, 0)], _count_bytes(most), most
    for height in range(1, header.depth + 1):
        total_size = _count_bytes(below) if height > 1 else 0
        child_size = offset_size + count_size + total_size
        most = (room - child_size) // (header.record_size + child_size)
        below = (most + 1) * below + most
        if most < 1 or total_size > _MOST_COUNT_BYTES:
            raise FormatError(f"{_WHAT} has nodes too small for its depth")
        levels.append(_Level(most, count_size, total_size))
    return levels


def _count_bytes(most: int) -> int:
    """How many bytes a count has that may be so large."""
    return max(1, (most.bit_length() + 7) // 8)
