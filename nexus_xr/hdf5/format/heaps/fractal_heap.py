"""Fractal heaps, in which links, attributes and shared messages are where there are many.

The objects that a heap manages are in one space of addresses of its own, cut into blocks whose sizes double from row to
row; a block of that space is either stored, or a table of smaller blocks.
Source: the HDF5 file format specification, section III.G.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

from nexus_xr.hdf5.format.btree2 import records
from nexus_xr.hdf5.format.checksum import CHECKSUM_BYTES, checked, lookup3
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields, layout
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.messages.filter_pipeline import FilterStep, parse_filter_pipeline

from .heap_filters import unfiltered

_WHAT = "a fractal heap"
_MANAGED, _HUGE, _TINY = range(3)
_HUGE_RECORDS, _FILTERED_HUGE_RECORDS = 1, 2
_CHECKSUMMED_BLOCKS = 2
_MASK_BYTES = 4
_MOST_SPACE_BITS = 64
# Identifiers up to this length have the length of a tiny object in half a byte.
_SHORT_ID_BYTES = 18
# Signature and version, bytes of an identifier and of what is said about filters, flags, bytes of the largest managed
# object, the next number of an object that is stored by itself, and their index; how much there is of what, and where
# there is room; the width of a table, bytes of the first blocks and of the largest that are stored as they are, bits of
# an address in the heap, rows at the beginning, where the root is, and its rows.
_HEADER = "5sHHBIZAZA8ZHZZHHAH"
# Bytes and filter mask of a root that is stored as it is and went through filters.
_FILTERED = "ZI"


class HeapHeader(NamedTuple):
    """What a heap is like.

    Attributes
    ----------
    huge_index
        The B-tree of objects that are stored by themselves.
    width
        How many blocks a row has.
    first_size, most_direct_size
        Bytes of the blocks in the first row, and of the largest that are stored as they are.
    space_bits
        Bits of an address in the heap's own space.
    root, root_rows
        The root block, and how many rows it has; none where it is stored as it is.
    root_stored
        Bytes and filter mask of a root block that is stored as it is and went through filters.
    """

    address: int
    id_length: int
    has_checksums: bool
    most_managed_size: int
    huge_index: int
    width: int
    first_size: int
    most_direct_size: int
    space_bits: int
    root: int
    root_rows: int
    root_stored: tuple[int, int]
    filters: tuple[FilterStep, ...]

    @property
    def space_bytes(self) -> int:
        """Bytes of an address in the heap's own space."""
        return (self.space_bits + 7) // 8

    @property
    def direct_rows(self) -> int:
        """How many rows of a table are of blocks that are stored as they are."""
        return _log2(self.most_direct_size) - _log2(self.first_size) + 2

    def rows_within(self, size: int) -> int:
        """How many rows the table of a block has."""
        return _log2(size) - _log2(self.first_size * self.width) + 1

    def row_size(self, row: int) -> int:
        """Bytes of each block in a row."""
        return self.first_size << max(row - 1, 0)

    def cell(self, offset: int) -> tuple[int, int, int]:
        """The row and the column of a table in which an address is, and where that block begins."""
        row = (offset // (self.first_size * self.width)).bit_length()
        size = self.row_size(row)
        row_begin = size * self.width if row else 0
        column = (offset - row_begin) // size
        return row, column, row_begin + column * size


class _Extent(NamedTuple):
    """Where bytes are in the file, and how many there were before they went through filters."""

    address: int
    stored_size: int
    mask: int
    size: int


class FractalHeap:
    """The objects of a heap, by their identifiers; each block is read once and kept.

    Parameters
    ----------
    file
        The bytes of the file.
    header
        What the heap is like.
    """

    def __init__(self, file: FileBytes, header: HeapHeader) -> None:
        self._file = file
        self._header = header
        # By where they begin in the heap's own space, so that none can be within itself.
        self._blocks: dict[int, bytes] = {}
        self._tables: dict[int, list[_Extent]] = {}
        self._huge: dict[int, _Extent] | None = None
        # Blocks are beside each other in the file, and together not more than it.
        self._room = file.size

    def get(self, heap_id: bytes) -> bytes:
        """An object.

        Raises
        ------
        FormatError
            There is none of this identifier, or the heap is damaged.
        UnsupportedError
            It went through a filter that isn't known here.
        """
        if len(heap_id) != self._header.id_length:
            raise FormatError(f"{_WHAT} has no identifiers of {len(heap_id)} bytes")
        # The two bits above the kind are a version, which is 0.
        kind = heap_id[0] >> 4
        if kind == _MANAGED:
            return self._managed(heap_id)
        if kind == _HUGE:
            return self._read(self._huge_extent(Fields(heap_id, _WHAT, 1)))
        if kind == _TINY:
            return _tiny(heap_id)
        raise FormatError(f"{_WHAT} has no objects of kind {kind}")

    def _managed(self, heap_id: bytes) -> bytes:
        offset_end, length_end = self._managed_ends
        if len(heap_id) < length_end:
            raise FormatError(f"{_WHAT} ends too early")
        offset, length = _number(heap_id[1:offset_end]), _number(heap_id[offset_end:length_end])
        begin, block = self._block_around(offset)
        at = offset - begin
        if at < self._head_bytes or at + length > len(block):
            raise FormatError(f"{_WHAT} has an object that isn't within a block")
        return block[at : at + length]

    @cached_property
    def _managed_ends(self) -> tuple[int, int]:
        """Where address and length of a managed object end in its identifier."""
        header = self._header
        length_bytes = min((_log2(header.most_direct_size) + 7) // 8, _log2(header.most_managed_size) // 8 + 1)
        offset_end = 1 + header.space_bytes
        return offset_end, offset_end + length_bytes

    def _block_around(self, offset: int) -> tuple[int, bytes]:
        """Where the block begins that an address is in, and its bytes."""
        header = self._header
        if not header.root_rows:
            root = self._blocks.get(0)
            return 0, root or self._block(_Extent(header.root, *header.root_stored, header.first_size), 0)
        address, rows, begin = header.root, header.root_rows, 0
        while True:
            row, column, within = header.cell(offset - begin)
            if row >= rows:
                raise FormatError(f"{_WHAT} has an object beyond its end")
            entry = self._table(address, rows, begin)[row * header.width + column]
            begin += within
            if row < header.direct_rows:
                return begin, self._block(entry, begin)
            address, rows = entry.address, header.rows_within(entry.size)

    def _block(self, extent: _Extent, begin: int) -> bytes:
        block = self._blocks.get(begin)
        if block is None:
            if extent.stored_size > self._room:
                raise FormatError(f"{_WHAT} has blocks within each other")
            block = self._read(extent)
            head = self._head(b"FHDB", begin)
            if not block.startswith(head):
                raise FormatError(f"{_WHAT} has a block that isn't one of it")
            if self._header.has_checksums:
                _check_block(block, len(head))
            if self._blocks.setdefault(begin, block) is block:
                self._room -= extent.stored_size
        return block

    def _table(self, address: int, rows: int, begin: int) -> list[_Extent]:
        """The blocks that a block consists of."""
        table = self._tables.get(begin)
        if table is None:
            header, head = self._header, self._head(b"FHIB", begin)
            direct, widths = min(rows, header.direct_rows) * header.width, self._direct_widths()
            indirect = rows * header.width - direct
            size = len(head) + direct * sum(widths) + indirect * self._file.offset_size
            fields = Fields(checked(self._file.read(address, size + CHECKSUM_BYTES), _WHAT), _WHAT)
            fields.expect(head)
            table = [self._entry(fields, number // header.width) for number in range(direct + indirect)]
            self._tables[begin] = table
        return table

    def _entry(self, fields: Fields, row: int) -> _Extent:
        header = self._header
        size = header.row_size(row)
        address = fields.number(self._file.offset_size)
        if row < header.direct_rows and header.filters:
            return _Extent(address, fields.number(self._file.length_size), fields.number(_MASK_BYTES), size)
        return _Extent(address, size, 0, size)

    def _direct_widths(self) -> tuple[int, ...]:
        file = self._file
        return (file.offset_size, file.length_size, _MASK_BYTES) if self._header.filters else (file.offset_size,)

    def _head(self, signature: bytes, begin: int) -> bytes:
        """What a block of this heap starts with."""
        header = self._header
        own = header.address.to_bytes(self._file.offset_size, "little")
        return signature + b"\0" + own + begin.to_bytes(header.space_bytes, "little")

    @cached_property
    def _head_bytes(self) -> int:
        checksum = CHECKSUM_BYTES if self._header.has_checksums else 0
        return 5 + self._file.offset_size + self._header.space_bytes + checksum

    def _read(self, extent: _Extent) -> bytes:
        content = self._file.read(extent.address, extent.stored_size)
        filters = self._header.filters
        return unfiltered(content, filters, extent.mask, extent.size) if filters else content

    def _huge_extent(self, fields: Fields) -> _Extent:
        """Where an object is that is stored by itself, as its identifier or an index tells."""
        file, filters = self._file, self._header.filters
        direct_bytes = file.offset_size + file.length_size + (_MASK_BYTES + file.length_size if filters else 0)
        if self._header.id_length - 1 >= direct_bytes:
            return self._extent(fields)
        number = fields.number(min(self._header.id_length - 1, 8))
        if self._huge is None:
            self._huge = self._read_huge_index()
        if number not in self._huge:
            raise FormatError(f"{_WHAT} has no object {number} that is stored by itself")
        return self._huge[number]

    def _read_huge_index(self) -> dict[int, _Extent]:
        kind = _FILTERED_HUGE_RECORDS if self._header.filters else _HUGE_RECORDS
        every = [Fields(record, _WHAT) for record in records(self._file, self._header.huge_index, kind)]
        extents = [self._extent(fields) for fields in every]
        return {fields.number(self._file.length_size): found for fields, found in zip(every, extents, strict=True)}

    def _extent(self, fields: Fields) -> _Extent:
        address, stored_size = fields.number(self._file.offset_size), fields.number(self._file.length_size)
        if not self._header.filters:
            return _Extent(address, stored_size, 0, stored_size)
        return _Extent(address, stored_size, fields.number(_MASK_BYTES), fields.number(self._file.length_size))


def open_heap(file: FileBytes, address: int) -> FractalHeap:
    """The heap at an address.

    Raises
    ------
    FormatError
        There is none, or it is damaged.
    """
    return FractalHeap(file, _read_header(file, address))


def _read_header(file: FileBytes, address: int) -> HeapHeader:
    head, end = (layout(fields, file.offset_size, file.length_size) for fields in (_HEADER, _FILTERED))
    filters_bytes = _number(file.read(address, 9)[7:])
    size = head.size + (end.size + filters_bytes if filters_bytes else 0)
    content = checked(file.read(address, size + CHECKSUM_BYTES), _WHAT)
    fields = head.unpack_from(content)
    signature, id_length, _, flags, most_managed, _, huge_index = fields[:7]
    width, first, most_direct, space_bits, _, root, rows = fields[-7:]
    if signature != b"FRHP\0":
        raise FormatError(f"{_WHAT} isn't one")
    stored = end.unpack_from(content, head.size) if filters_bytes else (first, 0)
    filters = parse_filter_pipeline(content[head.size + end.size :]) if filters_bytes else ()
    _check_sizes(id_length, most_managed, width, first, most_direct, space_bits)
    has_checksums = bool(flags & _CHECKSUMMED_BLOCKS)
    return HeapHeader(
        address, id_length, has_checksums, most_managed, huge_index, width, first, most_direct, space_bits,
        root, rows, stored, filters,
    )  # fmt: skip


def _check_sizes(id_length: int, most_managed: int, width: int, first: int, most_direct: int, space_bits: int) -> None:
    powers = (width, first, most_direct)
    if any(size < 1 or size & size - 1 for size in powers) or first > most_direct:
        raise FormatError(f"{_WHAT} has blocks of sizes that can't be")
    if id_length < 1 or most_managed < 1 or space_bits > _MOST_SPACE_BITS:
        raise FormatError(f"{_WHAT} has sizes that can't be")


def _check_block(block: bytes, position: int) -> None:
    """Compare the checksum of a block, which is of the block with zeros in its place."""
    end = position + CHECKSUM_BYTES
    if lookup3(block[:position] + bytes(CHECKSUM_BYTES) + block[end:]) != int.from_bytes(block[position:end], "little"):
        raise FormatError(f"a block of {_WHAT} has a wrong checksum")


def _tiny(heap_id: bytes) -> bytes:
    """An object that is in its own identifier."""
    fields = Fields(heap_id, _WHAT)
    length = fields.number(1) & 0x0F
    if len(heap_id) > _SHORT_ID_BYTES:
        length = length << 8 | fields.number(1)
    return fields.take(length + 1)


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")


def _log2(power: int) -> int:
    return power.bit_length() - 1
