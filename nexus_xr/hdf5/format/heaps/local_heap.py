"""Local heaps, in which the names of a group's links are, or those of raw data files.

Source: the HDF5 file format specification, section III.D.
"""

from __future__ import annotations

from nexus_xr.hdf5.format.fields import Fields
from nexus_xr.hdf5.format.file_bytes import FileBytes

_WHAT = "a local heap"


def read_local_heap(file: FileBytes, address: int) -> bytes:
    """What is in a heap.

    Raises
    ------
    FormatError
        There is no heap at this address, or it is longer than the file.
    """
    fields = Fields(file.read(address, 8 + 2 * file.length_size + file.offset_size), _WHAT)
    fields.expect(b"HEAP\0")
    fields.take(3)
    size, _free = fields.number(file.length_size), fields.number(file.length_size)
    return file.read(fields.number(file.offset_size), size)


def name_at(segment: bytes, offset: int) -> bytes:
    """The text in a heap from an offset on.

    Raises
    ------
    FormatError
        It begins or ends outside the heap.

    Examples
    --------
    >>> name_at(bytes(8) + b"entry" + bytes(3), 8)
    b'entry'
    """
    return Fields(segment, _WHAT, offset).text()
