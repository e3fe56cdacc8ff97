"""Where a dataset's elements are: in the message itself, in one piece, in chunks, or in other datasets.

Source: the HDF5 file format specification, section IV.A.2.i (the data layout message); version 5, which it hasn't, as
HDF5 2.0 writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Final, NamedTuple, TypeAlias

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields

_WHAT = "a layout"
_COMPACT, _CONTIGUOUS, _CHUNKED, _VIRTUAL = 0, 1, 2, 3
# Version 3 with addresses and lengths of 8 bytes.
_CONTIGUOUS_3, _UNDEFINED = struct.Struct("<BBQQ"), (1 << 64) - 1
# A chunk has the size of an element as a last dimension.
_MOST_DIMENSIONS = 33
_MOST_SHORT_BYTES, _LAST_SHORT = (1 << 32) - 1, 4
_PARTIAL_UNFILTERED, _SINGLE_FILTERED = 0x01, 0x02
_INDEX_BYTES = 4


class IndexKind:
    """What it is that says where chunks are."""

    BTREE_1: Final = 0
    SINGLE: Final = 1
    IMPLICIT: Final = 2
    FIXED_ARRAY: Final = 3
    EXTENSIBLE_ARRAY: Final = 4
    BTREE_2: Final = 5


class Compact(NamedTuple):
    """All bytes, in the message itself."""

    data: bytes

    def values(self, size: int) -> bytes:
        """The bytes of all elements, which are as many; a FormatError where there are fewer."""
        _check_size(len(self.data), size)
        return self.data[:size]


class Contiguous(NamedTuple):
    """One piece; old messages don't say how large it is. Without an address where there is nothing yet."""

    address: int | None
    size: int | None

    def check(self, size: int) -> None:
        """Raise a FormatError where it is said to be smaller than all elements are."""
        if self.size is not None:
            _check_size(self.size, size)


def _check_size(found: int, size: int) -> None:
    if found < size:
        raise FormatError(f"there are {found} of its {size} bytes")


# A named tuple's own way takes three times as long.
as_contiguous: Callable[[tuple[int | None, int | None]], Contiguous] = partial(tuple.__new__, Contiguous)


class Chunked(NamedTuple):
    """Chunks.

    Attributes
    ----------
    chunk_shape
        How many elements a chunk has along each dimension.
    element_size
        Bytes of an element.
    index_kind
        What says where chunks are.
    index_address
        Where that is, or the only chunk; None where there is nothing yet.
    parameters
        What else is said about the index; size and filter mask of the only chunk, where it is filtered.
    leaves_partial_unfiltered
        Whether chunks that reach over an edge of the dataset went through no filter.
    version
        That of the message, on which it depends how the index has the sizes of chunks.
    """

    chunk_shape: tuple[int, ...]
    element_size: int
    index_kind: int
    index_address: int | None
    parameters: tuple[int, ...] = ()
    leaves_partial_unfiltered: bool = False
    version: int = 3

    @property
    def needs_hdf5_2(self) -> bool:
        """Whether no library before HDF5 2.0 reads it; that writes so what others would read, too."""
        return self.version > _LAST_SHORT

    def shape_for(self, rank: int) -> tuple[int, ...]:
        """The shape of a chunk of a dataset with so many dimensions.

        Raises
        ------
        FormatError
            Chunks of this layout have more, or fewer.
        """
        if len(self.chunk_shape) != rank:
            raise FormatError(f"{rank} dimensions can't have chunks of shape {self.chunk_shape}")
        return self.chunk_shape


class Virtual(NamedTuple):
    """Parts of other datasets, a list of which is in the file's heap; without an address where there are none."""

    address: int | None
    heap_index: int


LayoutMessage: TypeAlias = Compact | Contiguous | Chunked | Virtual

# Bytes of what is said about each kind of index.
_PARAMETERS: dict[int, tuple[int, ...]] = {
    IndexKind.SINGLE: (),
    IndexKind.IMPLICIT: (),
    IndexKind.FIXED_ARRAY: (1,),
    IndexKind.EXTENSIBLE_ARRAY: (1, 1, 1, 1, 1),
    IndexKind.BTREE_2: (4, 1, 1),
}


def parse_layout(content: bytes, offset_size: int = 8, length_size: int = 8) -> LayoutMessage:
    """The layout that a message describes.

    Parameters
    ----------
    content
        The bytes of the message.
    offset_size, length_size
        Bytes of an address, and of a length, in the file.

    Raises
    ------
    FormatError
        It is none, or the message ends before it does.

    Examples
    --------
    >>> parse_layout(bytes((3, 0, 2, 0, 65, 66)))
    Compact(data=b'AB')
    """
    if offset_size == length_size == 8 and len(content) >= _CONTIGUOUS_3.size:  # as nearly all are
        version, kind, place, size = _CONTIGUOUS_3.unpack_from(content)
        if version == 3 and kind == _CONTIGUOUS:
            return as_contiguous((None if place == _UNDEFINED else place, size))
    fields = Fields(content, _WHAT)
    version = fields.number(1)
    if version in (1, 2):
        return _versions_1_and_2(fields, offset_size)
    if version not in (3, 4, 5):
        raise FormatError(f"{_WHAT} has version {version}")
    kind = fields.number(1)
    if kind == _COMPACT:
        return Compact(fields.take(fields.number(2)))
    if kind == _CONTIGUOUS:
        return Contiguous(fields.optional(offset_size), fields.number(length_size))
    if kind == _CHUNKED and version == 3:
        return _chunks_of_a_btree(fields, offset_size)
    if kind == _CHUNKED:
        return _chunks_of_any_index(fields, version, offset_size, length_size)
    if kind == _VIRTUAL and version > 3:
        return Virtual(fields.optional(offset_size), fields.number(_INDEX_BYTES))
    raise FormatError(f"{_WHAT} is of class {kind}")


def _versions_1_and_2(fields: Fields, offset_size: int) -> LayoutMessage:
    rank, kind = fields.number(1), fields.number(1)
    fields.take(5)
    if kind == _COMPACT:
        fields.take(4 * rank)
        return Compact(fields.take(fields.number(4)))
    address = fields.optional(offset_size)
    if kind == _CONTIGUOUS:
        return Contiguous(address, None)
    if kind == _CHUNKED:
        return Chunked(*_short_chunk(fields, rank, 4), IndexKind.BTREE_1, address)
    raise FormatError(f"{_WHAT} is of class {kind}")


def _chunks_of_a_btree(fields: Fields, offset_size: int) -> Chunked:
    rank, address = fields.number(1), fields.optional(offset_size)
    return Chunked(*_short_chunk(fields, rank, 4), IndexKind.BTREE_1, address)


def _chunks_of_any_index(fields: Fields, version: int, offset_size: int, length_size: int) -> Chunked:
    flags, rank, size_bytes = fields.number(1), fields.number(1), fields.number(1)
    if not 1 <= size_bytes <= 8:
        raise FormatError(f"{_WHAT} has lengths of {size_bytes} bytes")
    shape, element_size = (_chunk if version > _LAST_SHORT else _short_chunk)(fields, rank, size_bytes)
    kind = fields.number(1)
    if kind not in _PARAMETERS:
        raise FormatError(f"{_WHAT} has a chunk index of kind {kind}")
    is_filtered_single = kind == IndexKind.SINGLE and bool(flags & _SINGLE_FILTERED)
    sizes = (length_size, 4) if is_filtered_single else _PARAMETERS[kind]
    parameters = tuple(fields.number(size) for size in sizes)
    leaves_partial = bool(flags & _PARTIAL_UNFILTERED)
    return Chunked(shape, element_size, kind, fields.optional(offset_size), parameters, leaves_partial, version)


def _chunk(fields: Fields, rank: int, size_bytes: int) -> tuple[tuple[int, ...], int]:
    """The shape of a chunk, and the size of its elements."""
    if not 1 < rank <= _MOST_DIMENSIONS:
        raise FormatError(f"{_WHAT} has chunks of {rank} dimensions")
    *shape, element_size = (fields.number(size_bytes) for _ in range(rank))
    if not element_size or not all(shape):
        raise FormatError(f"{_WHAT} has chunks without elements")
    return tuple(shape), element_size


def _short_chunk(fields: Fields, rank: int, size_bytes: int) -> tuple[tuple[int, ...], int]:
    """The same, of chunks that are no longer than those of the first versions."""
    shape, element_size = _chunk(fields, rank, size_bytes)
    if prod(shape) * element_size > _MOST_SHORT_BYTES:
        raise FormatError(f"{_WHAT} has chunks of 4 GiB or more")
    return shape, element_size
