"""Fixed arrays: where the chunks of a dataset are that can't grow without end.

Source: the HDF5 file format specification, section VII.C.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from nexus_xr.hdf5.format.faults import FormatError

from .array_parts import MOST_ELEMENTS, Array, ArrayPart, Elements, Pages, elements, flags, read_part, read_runs


def read_fixed_array(array: Array) -> Elements:
    """The wanted elements that are of stored chunks.

    Raises
    ------
    FormatError
        It is no such array.
    """
    header = _read_header(array)
    parts = _parts(array, header) if array.is_address(header.block) else ()
    return elements(array, header.width, read_runs(array, header.width, list(parts)))


class _Header(NamedTuple):
    width: int
    page: int
    length: int
    block: int


def _read_header(array: Array) -> _Header:
    file = array.file
    content = read_part(file, ArrayPart(array.header, array.prefix(b"FAHD"), 2 + file.length_size + file.offset_size))
    width, page_bits = content[:2]
    length = int.from_bytes(content[2 : 2 + file.length_size], "little")
    if not width or length > MOST_ELEMENTS:
        raise FormatError(f"the array has {length} elements of {width} bytes")
    return _Header(width, 1 << page_bits, length, int.from_bytes(content[2 + file.length_size :], "little"))


def _parts(array: Array, header: _Header) -> Iterator[ArrayPart]:
    """The one block of elements, or the pages of it where they are many."""
    prefix = array.block_prefix(b"FADB")
    if header.length <= header.page:
        yield ArrayPart(header.block, prefix, header.length * header.width, 0, header.length)
        return
    count = -(-header.length // header.page)
    start = ArrayPart(header.block, prefix, -(-count // 8))
    written = flags(read_part(array.file, start))[:count]
    yield from Pages(header.block + start.nbytes, 0, header.length, header.page).parts(array, header.width, written)
