"""Files beside the HDF5 file in which a dataset's elements are.

Source: the HDF5 file format specification, section IV.A.2.h (the external data files message).
"""

from __future__ import annotations

from typing import NamedTuple

from .faults import FormatError
from .fields import Fields
from .file_bytes import FileBytes
from .heaps.local_heap import name_at, read_local_heap

_WHAT = "a list of external files"
_VERSION = b"\1"


class ExternalSlot(NamedTuple):
    """Some bytes of a file; of no known number, where the size is None."""

    name: bytes
    offset: int
    size: int | None


def read_external_files(file: FileBytes, content: bytes) -> tuple[ExternalSlot, ...]:
    """The pieces of files that a message lists, and that make up a dataset one after the other.

    Parameters
    ----------
    file
        The file that the message is in, and the names too.
    content
        The bytes of the message.

    Raises
    ------
    FormatError
        There is no such list, or it is longer than the message.
    """
    fields = Fields(content, _WHAT)
    fields.expect(_VERSION)
    fields.take(3)
    allocated, used = fields.number(2), fields.number(2)
    if used > allocated:
        raise FormatError(f"{_WHAT} has {used} files in room for {allocated}")
    names = read_local_heap(file, fields.number(file.offset_size))
    return tuple(_slot(fields, names, file.length_size) for _ in range(used))


def _slot(fields: Fields, names: bytes, length_size: int) -> ExternalSlot:
    name_offset, offset = fields.number(length_size), fields.number(length_size)
    return ExternalSlot(name_at(names, name_offset), offset, fields.optional(length_size))
