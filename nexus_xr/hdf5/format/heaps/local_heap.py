"""Local heaps, in which the names of a group's links are, or those of raw data files.

Source: the HDF5 file format specification, section III.D.
"""

from __future__ import annotations

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields, layout
from nexus_xr.hdf5.format.file_bytes import FileBytes

_WHAT = "a local heap"
# What is in most heaps lies behind their heads, and is read at once with these.
_USUAL_BYTES = 512
# Signature and version, bytes of the heap, where there is room in it, and where it is.
_HEAD, _SIGNATURE = "5s3xZZA", b"HEAP\0"


def read_local_heap(file: FileBytes, address: int) -> bytes:
    """What is in a heap.

    Raises
    ------
    FormatError
        There is no heap at this address, or it is longer than the file.
    """
    head = layout(_HEAD, file.offset_size, file.length_size)
    start = file.read_up_to(address, _USUAL_BYTES)
    signature, size, _room, begin = head.unpack(file.read_behind(start, address, 0, head.size))
    if signature != _SIGNATURE:
        raise FormatError(f"{_WHAT} isn't one")
    return file.read_behind(start, address, begin - address, size)


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
