"""The global heap, in which values of variable length are.

Source: the HDF5 file format specification, section III.E.
"""

from __future__ import annotations

import struct

from nexus_xr.hdf5.format import compiled
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields
from nexus_xr.hdf5.format.file_bytes import FileBytes

_WHAT = "a collection of the global heap"
# Signature and version, and what is reserved behind them.
_HEAD, _RESERVED_BYTES = b"GCOL\x01", 3
# Of an object its index, behind how often it is referred to and what is reserved its size, and what aligns the rest.
_OBJECT = {2: struct.Struct("<H6xH6x"), 4: struct.Struct("<H6xI4x"), 8: struct.Struct("<H6xQ")}
_ALIGNMENT = 8
_MOST_KEPT_BYTES = 16 << 20


class _Collections(dict[int, dict[int, bytes]]):
    """The objects of collections by their indexes, by the addresses of the collections, which are read when asked for.

    What was read is kept within bounds, and let go together when it is more.

    Parameters
    ----------
    file
        The bytes of the file.
    """

    __slots__ = ("_file", "_kept_bytes")

    def __init__(self, file: FileBytes) -> None:
        super().__init__()
        self._file = file
        self._kept_bytes = 0

    def __missing__(self, address: int) -> dict[int, bytes]:
        content = _read_collection(self._file, address)
        if self._kept_bytes + len(content) > _MOST_KEPT_BYTES:
            self.clear()
            self._kept_bytes = 0
        self._kept_bytes += len(content)
        return self.setdefault(address, _split(content, self._file.length_size))


class GlobalHeap:
    """The objects of all collections.

    Parameters
    ----------
    file
        The bytes of the file.

    Attributes
    ----------
    collections
        The objects by their indexes, by the collections' addresses.
    """

    def __init__(self, file: FileBytes) -> None:
        self.file = file
        self.collections = _Collections(file)

    def get(self, address: int, index: int) -> bytes:
        """An object of the collection at an address.

        Raises
        ------
        FormatError
            There is none, or the collection is damaged.
        """
        collection = self.collections[address]
        if index not in collection:
            raise FormatError(f"{_WHAT} has no object {index}")
        return collection[index]

    def text(self, element: bytes) -> str | None:
        """The text of varying length that an element stands for, None where that isn't as easily found.

        Raises
        ------
        FormatError
            Its collection is damaged.
        """
        return compiled.text(element, self.collections)


def _read_collection(file: FileBytes, address: int) -> bytes:
    """The objects of a collection, one behind the other."""
    head_bytes = len(_HEAD) + _RESERVED_BYTES + file.length_size
    fields = Fields(file.read(address, head_bytes), _WHAT)
    fields.expect(_HEAD)
    fields.take(_RESERVED_BYTES)
    size = fields.number(file.length_size)
    if size < head_bytes:
        raise FormatError(f"{_WHAT} has a size of {size} bytes")
    return file.read(address, size)[head_bytes + -head_bytes % _ALIGNMENT :]


def _split(content: bytes, length_size: int) -> dict[int, bytes]:
    """The objects by their indexes."""
    found = compiled.heap_objects(content, length_size)
    return _split_in_python(content, length_size) if found is None else found


def _split_in_python(content: bytes, length_size: int) -> dict[int, bytes]:
    """The objects by their indexes; what has the index 0 is free space, whose size is that of its head, too."""
    found: dict[int, bytes] = {}
    head, end, position = _OBJECT[length_size], len(content), 0
    while position + head.size <= end:
        index, size = head.unpack_from(content, position)
        begin = position + head.size
        position = begin + size + -size % _ALIGNMENT if index else position + size
        if position < begin:
            raise FormatError(f"{_WHAT} has free space without an end")
        if position > end:
            raise FormatError(f"{_WHAT} has an object that is longer than what it is in")
        if index:
            found[index] = content[begin : begin + size]
    return found
