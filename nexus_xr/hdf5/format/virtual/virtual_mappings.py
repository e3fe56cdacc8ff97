"""What virtual datasets are made of: parts of others, a list of which is in the global heap.

Source: the HDF5 file format specification, section III.F (the global heap block for virtual datasets); version 1, which
it hasn't, as HDF5 2.0 writes it: a name that an earlier mapping has is said by the number of that.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nexus_xr.hdf5.format.checksum import checked
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields
from nexus_xr.hdf5.format.heaps.global_heap import GlobalHeap
from nexus_xr.hdf5.format.messages.layout import Virtual

from .selections import DataspaceSelection, read_selection

_WHAT = "a list of virtual mappings"
OWN_FILE = b"."
# Virtual datasets of virtual datasets; deeper than any real ones, and far from the end of Python's stack.
DEEPEST = 16
_MOST_VERSION = 1
_FILE_IS_SHARED, _PATH_IS_SHARED, _IN_OWN_FILE, _KNOWN_FLAGS = 0x01, 0x02, 0x04, 0x07
# No names, or flags instead of one, and two selections of nothing.
_LEAST_BYTES = 2 + 2 * 15


class VirtualMapping(NamedTuple):
    """A part of a dataset that stands in a part of a virtual one.

    Attributes
    ----------
    file, path
        The file and the path of the dataset, as they are stored.
    source, target
        What is taken of it, and where that stands.
    """

    file: bytes
    path: bytes
    source: DataspaceSelection
    target: DataspaceSelection

    @property
    def names_blocks(self) -> bool:
        """Whether its names have the number of a block in them."""
        return b"%b" in (self.file + self.path).replace(b"%%", b"")

    def names(self, block: int | None = None) -> tuple[bytes, bytes]:
        """File and path of the dataset, or of that which a block of this number is.

        Examples
        --------
        >>> from nexus_xr.hdf5.format.virtual.selections import WHOLE
        >>> VirtualMapping(b"100%%_%b.h5", b"data", WHOLE, WHOLE).names(3)
        (b'100%_3.h5', b'data')
        """
        number = b"%b" if block is None else str(block).encode()
        return _named(self.file, number), _named(self.path, number)

    @property
    def files(self) -> bytes | None:
        """The name of its file, with a null byte for the number of a block; None where that isn't in the name."""
        name = _named(self.file, b"\0")
        return name if b"\0" in name else None


def _named(name: bytes, number: bytes) -> bytes:
    return re.sub(b"%([%b])", lambda found: b"%" if found[1] == b"%" else number, name) if b"%" in name else name


def read_virtual_mappings(layout: Virtual, heap: GlobalHeap, rank: int) -> tuple[VirtualMapping, ...]:
    """The mappings of a virtual dataset.

    Parameters
    ----------
    layout
        Where they are.
    heap
        The heap of the file.
    rank
        How many dimensions the dataset has.

    Raises
    ------
    FormatError
        The list is damaged, or has mappings of another number of dimensions.
    """
    if layout.address is None:
        return ()
    fields = Fields(checked(heap.get(layout.address, layout.heap_index), _WHAT), _WHAT)
    version, count = fields.number(1), fields.number(heap.file.length_size)
    if version > _MOST_VERSION:
        raise FormatError(f"{_WHAT} has version {version}")
    if count * _LEAST_BYTES > len(fields.content):
        raise FormatError(f"{_WHAT} has not room for {count}")
    found: list[VirtualMapping] = []
    for _ in range(count):
        names = _shared_names(fields, found, heap.file.length_size) if version else (fields.text(), fields.text())
        mapping = VirtualMapping(*names, read_selection(fields), read_selection(fields))
        if mapping.target.slabs and len(mapping.target.slabs) != rank:
            raise FormatError(f"{_WHAT} of {rank} dimensions has one of {len(mapping.target.slabs)}")
        found.append(mapping)
    return tuple(found)


def _shared_names(fields: Fields, earlier: list[VirtualMapping], length_size: int) -> tuple[bytes, bytes]:
    """File and path of the next mapping, which earlier ones may have as well."""
    flags = fields.number(1)
    if flags & ~_KNOWN_FLAGS:
        raise FormatError(f"{_WHAT} has flags of which nothing is known")
    if flags & _IN_OWN_FILE:
        file = OWN_FILE
    else:
        file = _earlier(fields, earlier, length_size).file if flags & _FILE_IS_SHARED else fields.text()
    return file, _earlier(fields, earlier, length_size).path if flags & _PATH_IS_SHARED else fields.text()


def _earlier(fields: Fields, earlier: list[VirtualMapping], length_size: int) -> VirtualMapping:
    number = fields.number(length_size)
    if number >= len(earlier):
        raise FormatError(f"{_WHAT} has a name of mapping {number}, which isn't before it")
    return earlier[number]
