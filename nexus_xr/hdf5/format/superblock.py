"""Where everything in a file begins.

Source: the HDF5 file format specification, section II.A.
"""

from __future__ import annotations

from typing import NamedTuple

from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.io.superblock import HDF5_SIGNATURE, SWMR, WRITING, flags_of, possible_offsets

from .checksum import CHECKSUM_BYTES, checked
from .faults import FormatError, UnsupportedError
from .fields import Fields

_WHAT = "the superblock"
# The longest there is: version 1, with addresses of eight bytes.
_MOST_BYTES = 100


class Superblock(NamedTuple):
    """Where everything in a file begins; addresses count from the base, `None` is none.

    Attributes
    ----------
    base
        Where the superblock itself is: behind the user block.
    offset_size, length_size
        Bytes of an address, and of a length.
    end_of_file
        How many bytes the file has, the user block among them.
    root
        The object header of the root group.
    extension
        The object header of what is to be said about the whole file.
    """

    version: int
    base: int
    offset_size: int
    length_size: int
    end_of_file: int
    root: int
    extension: int | None
    driver_info: int | None
    flags: int

    @property
    def is_open_for_writing(self) -> bool:
        """Whether somebody writes the file, or did and never closed it."""
        return bool(self.flags & WRITING)

    @property
    def is_swmr(self) -> bool:
        """Whether the file may be read while somebody writes it."""
        return bool(self.flags & SWMR)


def read_superblock(source: Source) -> Superblock:
    """The superblock of a file.

    Raises
    ------
    FormatError
        There is none, it is damaged, or the file has fewer bytes than it says.
    UnsupportedError
        Addresses or lengths are of more than eight bytes.
    """
    base, content = _find(source)
    fields = Fields(content, _WHAT, len(HDF5_SIGNATURE))
    version = fields.number(1)
    if version > 3:
        raise FormatError(f"{_WHAT} is of a version {version}, of which nothing is known")
    superblock = _old(fields, version, base) if version < 2 else _new(fields, version, base)
    # While a file is being written, its end is what was there when it was opened.
    if superblock.end_of_file > source.size and not superblock.is_swmr:
        raise FormatError(f"the file is truncated: of {superblock.end_of_file} bytes there are {source.size}")
    return superblock


def has_superblock(source: Source) -> bool:
    """Whether bytes are those of an HDF5 file, damaged or not."""
    try:
        _find(source)
    except FormatError:
        return False
    return True


def _find(source: Source) -> tuple[int, bytes]:
    for offset in possible_offsets(source.size):
        content = bytearray(min(_MOST_BYTES, source.size - offset))
        source.read_into(memoryview(content), offset)
        if content.startswith(HDF5_SIGNATURE):
            return offset, bytes(content)
    raise FormatError("there is no superblock: this is no HDF5 file")


def _old(fields: Fields, version: int, base: int) -> Superblock:
    """Versions 0 and 1, whose root group is an entry of a symbol table."""
    fields.expect(bytes(3))  # versions of the free space and the root group, and what is reserved
    fields.expect(bytes(1))  # version of shared messages
    offset_size, length_size = _sizes(fields)
    fields.take(1 + 4 + 4)  # reserved, the least entries of groups' nodes, flags without a meaning
    if version == 1:
        fields.take(4)
    stored_base, _free_space, end = (fields.number(offset_size) for _ in range(3))
    driver_info = fields.optional(offset_size)
    fields.take(length_size)  # the name of the root group, which has none
    root = fields.number(offset_size)
    return Superblock(version, base, offset_size, length_size, end - stored_base + base, root, None, driver_info, 0)


def _new(fields: Fields, version: int, base: int) -> Superblock:
    """Versions 2 and 3, which have a checksum."""
    offset_size, length_size = _sizes(fields)
    fields.take(1)  # flags
    stored_base, extension = fields.number(offset_size), fields.optional(offset_size)
    end, root = fields.number(offset_size), fields.number(offset_size)
    checked(fields.content[: fields.position + CHECKSUM_BYTES], _WHAT)
    flags = flags_of(fields.content)
    return Superblock(version, base, offset_size, length_size, end - stored_base + base, root, extension, None, flags)


def _sizes(fields: Fields) -> tuple[int, int]:
    sizes = fields.number(1), fields.number(1)
    if not {2, 4, 8, 16, 32}.issuperset(sizes):
        raise FormatError(f"{_WHAT} has addresses and lengths of {sizes[0]} and {sizes[1]} bytes")
    if max(sizes) > 8:
        raise UnsupportedError("addresses or lengths of more than eight bytes")
    return sizes
