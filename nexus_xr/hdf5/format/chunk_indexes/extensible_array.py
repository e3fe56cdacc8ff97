"""Extensible arrays: where the chunks of a dataset are that grows along one dimension.

Blocks of elements are of levels, and get larger from every other level to the next, as blocks get more from the levels
between. Those of the first levels are known to the index block, those of any later one to its super block.
Source: the HDF5 file format specification, section VII.D.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.file_bytes import FileBytes

from .array_parts import (
    Array,
    ArrayPart,
    ElementRun,
    Elements,
    Pages,
    elements,
    flags,
    read_part,
    read_parts,
    read_runs,
)

# More elements than any file has room for.
_MOST_BITS = 60


def read_extensible_array(array: Array) -> Elements:
    """The wanted elements that are of stored chunks.

    Raises
    ------
    FormatError
        It is no such array.
    """
    header = _read_header(array)
    return elements(array, header.width, _runs(array, header) if array.is_address(header.index_block) else ())


class _Header(NamedTuple):
    """How an array is divided.

    Parameters
    ----------
    width
        Bytes of an element.
    count_bits
        Bits of the number of an element.
    in_index
        Elements in the index block.
    least
        Elements of the smallest block.
    pointers
        Blocks of the lowest level that super blocks know.
    page_bits
        Bits of the number of an element in a page.
    index_block
        Address of the index block.
    """

    width: int
    count_bits: int
    in_index: int
    least: int
    pointers: int
    page_bits: int
    index_block: int

    @property
    def direct_levels(self) -> int:
        """Levels of which the index block knows the blocks."""
        return 2 * (self.pointers.bit_length() - 1)

    @property
    def number_bytes(self) -> int:
        """Bytes of the number of the first element, which blocks tell."""
        return -(-self.count_bits // 8)

    def levels(self) -> list[_Level]:
        """All levels that the array may come to have."""
        found: list[_Level] = []
        number = self.in_index
        for level in range(1 + self.count_bits - (self.least.bit_length() - 1)):
            blocks, length = 1 << level // 2, self.least << (level + 1) // 2
            pages = length >> self.page_bits if length > 1 << self.page_bits else 0
            found.append(_Level(number, blocks, length, pages))
            number += blocks * length
        return found


class _Level(NamedTuple):
    """Blocks of one size: number of their first element, how many, elements and pages of each (0 of one piece)."""

    number: int
    blocks: int
    length: int
    pages: int

    @property
    def flag_bytes(self) -> int:
        """Bytes of the flags that tell which pages of the blocks were written."""
        return self.blocks * -(-self.pages // 8)

    def super_bytes(self, file: FileBytes) -> int:
        """Bytes of the flags, and of the addresses of the blocks."""
        return self.flag_bytes + self.blocks * file.offset_size


def _read_header(array: Array) -> _Header:
    file = array.file
    content = read_part(
        file, ArrayPart(array.header, array.prefix(b"EAHD"), 6 + 6 * file.length_size + file.offset_size)
    )
    width, count_bits, in_index, least, pointers, page_bits = content[:6]
    index_block = int.from_bytes(content[-file.offset_size :], "little")
    header = _Header(width, count_bits, in_index, least, pointers, page_bits, index_block)
    powers_of_two = all(number and not number & number - 1 for number in (header.least, header.pointers))
    is_known = powers_of_two and bool(header.width) and header.count_bits <= _MOST_BITS
    if not is_known or header.least << header.direct_levels // 2 > 1 << header.page_bits:
        raise FormatError("the array is divided as none can be")
    return header


def _runs(array: Array, header: _Header) -> Iterator[ElementRun]:
    """All elements that are wanted, and some around them."""
    levels, file = header.levels(), array.file
    direct, above = levels[: header.direct_levels], levels[header.direct_levels :]
    in_index, blocks = header.in_index * header.width, sum(level.blocks for level in direct)
    size = in_index + (blocks + len(above)) * file.offset_size
    index = read_part(file, ArrayPart(header.index_block, array.block_prefix(b"EAIB"), size))
    addresses = _addresses(array, index[in_index:])
    parts: list[ArrayPart] = []
    for level in direct:
        parts += _blocks_of(array, header, level, addresses[: level.blocks], flags(b""))
        addresses = addresses[level.blocks :]
    parts += _behind_super_blocks(array, header, above, addresses)
    yield ElementRun(0, index[:in_index])
    yield from read_runs(array, header.width, parts)


def _behind_super_blocks(
    array: Array, header: _Header, levels: Sequence[_Level], addresses: Sequence[int]
) -> Iterator[ArrayPart]:
    """The parts of levels of which super blocks know the blocks."""
    known = [
        (level, ArrayPart(address, array.block_prefix(b"EASB"), header.number_bytes + level.super_bytes(array.file)))
        for level, address in zip(levels, addresses, strict=True)
        if array.is_address(address) and array.wants(level.number)
    ]
    contents = read_parts(array.file, [part for _, part in known])
    for (level, _), content in zip(known, contents, strict=True):
        at = header.number_bytes + level.flag_bytes
        present = flags(content[header.number_bytes : at])
        yield from _blocks_of(array, header, level, _addresses(array, content[at:]), present)


def _blocks_of(
    array: Array, header: _Header, level: _Level, addresses: Sequence[int], present: NDArray[np.bool_]
) -> Iterator[ArrayPart]:
    """The parts of a level that have elements which are wanted."""
    prefix, width = array.block_prefix(b"EADB"), header.width
    for at, address in enumerate(addresses):
        number = level.number + at * level.length
        if not (array.is_address(address) and array.wants(number)):
            continue
        if not level.pages:
            yield ArrayPart(address, prefix, header.number_bytes + level.length * width, number, level.length)
            continue
        start = ArrayPart(address, prefix, header.number_bytes)
        yield start
        written = present[at * level.pages : (at + 1) * level.pages]
        whole = Pages(address + start.nbytes, number, level.length, 1 << header.page_bits)
        yield from whole.parts(array, width, written)


def _addresses(array: Array, content: bytes) -> list[int]:
    width = array.file.offset_size
    return [int.from_bytes(content[at : at + width], "little") for at in range(0, len(content), width)]
