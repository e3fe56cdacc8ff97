"""Chunk indexes of the latest file format that are arrays, taken from the bytes of the file from any chunk on.

Datasets that can grow along one dimension have an extensible array, those that can't grow a fixed one. An element of
either is where a chunk is, so that the chunks that were added can be looked up without the others.
Source: the HDF5 file format specification, sections VII.C (fixed array index) and VII.D (extensible array index).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.runtime.compat import metadata_checksum

from .btree1 import CHUNKED, LAYOUT, UNDEFINED, messages

_FIXED, _EXTENSIBLE = 3, 4
_CHECKSUM_BYTES = 4
# Signature, version and what the elements are of, and in blocks the address of the array's header.
_HEAD_BYTES, _BLOCK_HEAD_BYTES = 6, 14


class Elements(NamedTuple):
    """Where some chunks are, in the order of the array; `offsets` is `UNDEFINED` where there is none."""

    offsets: NDArray[np.uint64]
    sizes: NDArray[np.int64] | None
    masks: NDArray[np.uint32] | None


class NoArrayError(ValueError):
    """There is no array, or not one that can be trusted; libhdf5 is to say what there is."""


def read_elements(source: Source, header: int, base: int, first: int, stop: int) -> Elements:
    """The elements of a dataset's chunk array from the first up to another.

    Parameters
    ----------
    source
        The bytes of the file.
    header
        Address of the dataset's object header.
    base
        Where addresses count from: the size of the user block.
    first, stop
        Numbers of the elements.

    Raises
    ------
    NoArrayError
        The index is of another kind, or its checksums are wrong, be it as it is being written.
    """
    kind, address = _find_array(source, base, header)
    blocks = _Blocks(source, base)
    array = _FixedArray(blocks, address) if kind == _FIXED else _ExtensibleArray(blocks, address)
    parts = [np.frombuffer(part, np.uint8) for part in array.parts(first, stop)]
    width = array.width
    raw = np.concatenate(parts) if parts else np.zeros(0, np.uint8)
    if len(raw) != (stop - first) * width:
        raise NoArrayError("the chunk array has other elements than were asked for")
    rows = raw.reshape(-1, width)
    offsets = rows[:, :8].copy().view("<u8")[:, 0]
    if not array.is_filtered:
        return Elements(offsets, None, None)
    sizes = np.zeros((len(rows), 8), np.uint8)
    sizes[:, : width - 12] = rows[:, 8:-4]
    return Elements(offsets, sizes.view("<i8")[:, 0], rows[:, -4:].copy().view("<u4")[:, 0])


def _find_array(source: Source, base: int, header: int) -> tuple[int, int]:
    """Kind and address of the array, from the layout message of a dataset's object header."""
    for message, content in messages(source, base, header):
        if message == LAYOUT and content[:1] in (b"\x04", b"\x05") and content[1] == CHUNKED:
            rank, width = content[3], content[4]
            at = 5 + rank * width
            parameters = {_FIXED: 1, _EXTENSIBLE: 5}.get(content[at] if at < len(content) else 0)
            address = content[at + 1 + (parameters or 0) :][:8]
            if parameters is None or len(address) < 8:
                break
            return content[at], int.from_bytes(address, "little")
    raise NoArrayError("the chunk index is no array")


class _Blocks:
    """The parts of an array: read, and checked."""

    def __init__(self, source: Source, base: int) -> None:
        self._source = source
        self._base = base
        self._checksum = metadata_checksum()
        if self._checksum is None:
            raise NoArrayError("nothing checks the chunk array")

    def read(self, address: int, size: int, signature: bytes = b"") -> bytes:
        """A part of so many bytes, behind which stands its checksum."""
        if address == UNDEFINED or address + self._base + size > self._source.size:
            raise NoArrayError("the chunk array is beyond the end of the file")
        content = bytearray(size + _CHECKSUM_BYTES)
        found = self._source.read_into(memoryview(content), address + self._base)
        part, stored = bytes(content[:size]), int.from_bytes(content[size:], "little")
        if found < len(content) or not part.startswith(signature) or self._checksum(part, size, 0) != stored:  # type: ignore[misc]
            raise NoArrayError("a part of the chunk array has a wrong checksum")
        return part


def _overlap(first: int, stop: int, begin: int, length: int) -> tuple[int, int]:
    """The part of a block of elements that is asked for, counted from its begin."""
    return max(first - begin, 0), min(stop - begin, length)


def _missing(count: int, width: int) -> bytes:
    """Elements of chunks that aren't stored."""
    return b"\xff" * (count * width)


class _FixedArray:
    """An array with one block of elements, which is divided in pages where it is large."""

    def __init__(self, blocks: _Blocks, address: int) -> None:
        head = blocks.read(address, 24, b"FAHD")
        self.is_filtered, self.width, page_bits = bool(head[5]), head[6], head[7]
        self._count, self._block = struct.unpack_from("<QQ", head, 8)
        self._page = 1 << page_bits
        self._blocks = blocks

    def parts(self, first: int, stop: int) -> Iterator[bytes]:
        stop = min(stop, self._count)
        if self._block == UNDEFINED:
            yield _missing(max(stop - first, 0), self.width)
        elif self._count <= self._page:
            content = self._blocks.read(self._block, _BLOCK_HEAD_BYTES + self._count * self.width, b"FADB")
            yield content[_BLOCK_HEAD_BYTES + first * self.width : _BLOCK_HEAD_BYTES + stop * self.width]
        else:
            pages = -(-self._count // self._page)
            size = _BLOCK_HEAD_BYTES + -(-pages // 8)
            present = self._blocks.read(self._block, size, b"FADB")[_BLOCK_HEAD_BYTES:]
            begin = self._block + size + _CHECKSUM_BYTES
            yield from _pages(self._blocks, begin, self._page, self._count, self.width, present, 0, first, stop)


def _pages(
    blocks: _Blocks,
    address: int,
    page: int,
    count: int,
    width: int,
    present: bytes,
    flag: int,
    first: int,
    stop: int,
) -> Iterator[bytes]:
    """Elements of a block that is divided in pages; a flag for each page tells whether it was written."""
    for number in range(first // page, -(-stop // page)):
        length = min(page, count - number * page)
        begin, end = _overlap(first, stop, number * page, length)
        at, bit = divmod(flag + number, 8)
        if at >= len(present) or not present[at] & 0x80 >> bit:
            yield _missing(end - begin, width)
        else:
            content = blocks.read(address + number * (page * width + _CHECKSUM_BYTES), length * width)
            yield content[begin * width : end * width]


class _ExtensibleArray:
    """An array whose blocks get larger as it grows: an index block tells of them, of later ones by super blocks."""

    def __init__(self, blocks: _Blocks, address: int) -> None:
        head = blocks.read(address, 68, b"EAHD")
        self.is_filtered, self.width, count_bits, self._in_index, least, pointers, page_bits = (
            bool(head[5]),
            *head[6:12],
        )
        (index,) = struct.unpack_from("<Q", head, 60)
        if not least or not pointers:
            raise NoArrayError("the chunk array has blocks of no elements")
        self._blocks = blocks
        self._least, self._page = least, 1 << page_bits
        # Blocks tell the number of their first element in as many bytes as it takes.
        self._block_head = _BLOCK_HEAD_BYTES + -(-count_bits // 8)
        self._direct_levels = 2 * (pointers.bit_length() - 1)
        levels = 1 + count_bits - (least.bit_length() - 1)
        self._index_elements, self._direct, self._super = b"", [], []
        if index != UNDEFINED:
            direct, later = 2 * (pointers - 1), max(levels - self._direct_levels, 0)
            size = self._in_index * self.width
            content = blocks.read(index, _BLOCK_HEAD_BYTES + size + 8 * (direct + later), b"EAIB")
            self._index_elements = content[_BLOCK_HEAD_BYTES : _BLOCK_HEAD_BYTES + size]
            addresses = struct.unpack_from(f"<{direct + later}Q", content, _BLOCK_HEAD_BYTES + size)
            self._direct, self._super = list(addresses[:direct]), list(addresses[direct:])
        self._levels = levels

    def parts(self, first: int, stop: int) -> Iterator[bytes]:
        if not self._index_elements and not self._direct:
            yield _missing(stop - first, self.width)
            return
        if first < self._in_index:
            yield self._index_elements[first * self.width : min(stop, self._in_index) * self.width]
        begin, before = self._in_index, 0
        for level in range(self._levels):
            count, length = 1 << level // 2, self._least << (level + 1) // 2
            if begin < stop and first < begin + count * length:
                yield from self._of_level(level, begin, before, count, length, first, stop)
            begin, before = begin + count * length, before + count

    def _of_level(
        self, level: int, begin: int, before: int, count: int, length: int, first: int, stop: int
    ) -> Iterator[bytes]:
        """Elements of the blocks of one size."""
        pages = length // self._page if length > self._page else 0
        addresses: Sequence[int] = self._direct[before : before + count]
        present = b""
        if pages and level < self._direct_levels:
            raise NoArrayError("the chunk array has pages that nothing tells of")
        if level >= self._direct_levels:
            address = self._super[level - self._direct_levels]
            if address == UNDEFINED:
                begin_in, end = _overlap(first, stop, begin, count * length)
                yield _missing(end - begin_in, self.width)
                return
            flags = count * -(-pages // 8)
            content = self._blocks.read(address, self._block_head + flags + 8 * count, b"EASB")
            present = content[self._block_head : self._block_head + flags]
            addresses = struct.unpack_from(f"<{count}Q", content, self._block_head + flags)
        for number, address in enumerate(addresses):
            at, end = _overlap(first, stop, begin + number * length, length)
            if at >= end:
                continue
            if address == UNDEFINED:
                yield _missing(end - at, self.width)
            elif pages:
                start = address + self._block_head + _CHECKSUM_BYTES
                self._blocks.read(address, self._block_head, b"EADB")
                yield from _pages(self._blocks, start, self._page, length, self.width, present, number * pages, at, end)
            else:
                content = self._blocks.read(address, self._block_head + length * self.width, b"EADB")
                yield content[self._block_head + at * self.width : self._block_head + end * self.width]
