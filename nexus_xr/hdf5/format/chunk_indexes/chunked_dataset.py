"""Where the chunks of a dataset are, by whichever index it has.

Source: the HDF5 file format specification, sections IV.A.2.i (the data layout message) and VII (types of indexes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.btree2 import records
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.messages.layout import Chunked, IndexKind

from .array_parts import Array, Elements
from .btree1 import read_chunk_btree
from .chunk_records import ChunkAddresses, ChunkRecords, no_chunks, parse_locations
from .extensible_array import read_extensible_array
from .fixed_array import read_fixed_array

# Types of version 2 B-trees.
_UNFILTERED, _FILTERED = 10, 11
_COORDINATE_BYTES = 8
# More than any file has.
_MOST_BYTES = 1 << 62


class ChunkedDataset(NamedTuple):
    """What it takes to read the chunk index of a dataset.

    Parameters
    ----------
    shape
        Its shape.
    maximum
        How large it may become along each dimension; None without end.
    layout
        Its layout.
    is_filtered
        Whether its chunks go through filters.
    """

    shape: tuple[int, ...]
    maximum: tuple[int | None, ...]
    layout: Chunked
    is_filtered: bool

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk without filters."""
        return math.prod(self.layout.chunk_shape) * self.layout.element_size

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each dimension."""
        return _chunks_in(self.shape, self.layout.chunk_shape)

    @property
    def growing_dimension(self) -> int:
        """The first dimension that has no end, or the first of all."""
        return self.maximum.index(None) if None in self.maximum else 0


def read_chunks(file: FileBytes, dataset: ChunkedDataset) -> ChunkRecords:
    """The chunks that are stored, also those of a dataset that was larger, or is by now.

    Parameters
    ----------
    file
        The bytes of the file.
    dataset
        The dataset.

    Raises
    ------
    FormatError
        The index contradicts itself or the file.
    UnsupportedError
        It is of a kind that isn't known.
    """
    rank = len(dataset.shape)
    chunk_shape = dataset.layout.shape_for(rank)
    if rank != len(dataset.maximum) or dataset.chunk_bytes > _MOST_BYTES:
        raise FormatError(f"{rank} dimensions can't have chunks of shape {chunk_shape}")
    address, kind = dataset.layout.index_address, dataset.layout.index_kind
    if address is None or not math.prod(dataset.shape):
        return no_chunks(rank)
    return _READERS[kind](file, dataset, address)


_Reader = Callable[[FileBytes, ChunkedDataset, int], ChunkRecords]


def _from_btree1(file: FileBytes, dataset: ChunkedDataset, root: int) -> ChunkRecords:
    return read_chunk_btree(file, root, dataset.layout.chunk_shape)


def _single(file: FileBytes, dataset: ChunkedDataset, address: int) -> ChunkRecords:
    coordinates, addresses = np.zeros((1, len(dataset.shape)), np.int64), np.array([address], np.uint64).view(np.int64)
    if not dataset.layout.parameters:
        return _records(dataset, coordinates, ChunkAddresses(addresses, None, None))
    size, mask = dataset.layout.parameters
    sizes, masks = np.array([size], np.uint64).view(np.int64), np.array([mask], np.uint32)
    return _records(dataset, coordinates, ChunkAddresses(addresses, sizes, masks))


def _implicit(file: FileBytes, dataset: ChunkedDataset, address: int) -> ChunkRecords:
    """Chunks one behind the other, with room for those that the dataset may come to have."""
    room = _chunks_in(_ends(dataset), dataset.layout.chunk_shape)
    if math.prod(room) * dataset.chunk_bytes > file.size - address:
        raise FormatError("the chunks are beyond the end of the file")
    if any(count > most for count, most in zip(dataset.grid, room, strict=True)):
        raise FormatError("the dataset is larger than it may become")
    coordinates = np.indices(dataset.grid).reshape(len(room), -1).T
    numbers = np.asarray(np.ravel_multi_index(tuple(coordinates.T), room))
    return _records(dataset, coordinates, ChunkAddresses(address + numbers * dataset.chunk_bytes, None, None))


def _from_array(file: FileBytes, dataset: ChunkedDataset, address: int) -> ChunkRecords:
    """Elements are in the order of chunks that a dataset as large as it may get has, the growing dimension slowest."""
    growing = dataset.growing_dimension
    order = [growing, *(dimension for dimension in range(len(dataset.shape)) if dimension != growing)]
    room = _chunks_in(_ends(dataset), dataset.layout.chunk_shape)
    lengths = [room[dimension] for dimension in order[1:]]
    row = math.prod(lengths)
    array = Array(file, address, dataset.is_filtered, dataset.grid[growing] * row)
    found = _ARRAYS[dataset.layout.index_kind](array)
    coordinates = np.empty((len(found.numbers), len(order)), np.int64)
    for dimension, part in zip(order, _unravelled(found.numbers, lengths), strict=True):
        coordinates[:, dimension] = part
    return _records(dataset, coordinates, found.locations)


def _unravelled(numbers: NDArray[np.int64], lengths: Sequence[int]) -> list[NDArray[np.int64]]:
    """What numbers are along a dimension of any length, and behind it along others."""
    parts: list[NDArray[np.int64]] = []
    for length in reversed(lengths):
        numbers, part = np.divmod(numbers, min(length, _MOST_BYTES))  # which is more than any of the numbers
        parts.append(part)
    return [numbers, *reversed(parts)]


def _from_btree2(file: FileBytes, dataset: ChunkedDataset, address: int) -> ChunkRecords:
    found = records(file, address, _FILTERED if dataset.is_filtered else _UNFILTERED)
    if not found:
        return no_chunks(len(dataset.shape))
    rows = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), -1)
    behind = rows.shape[1] - _COORDINATE_BYTES * len(dataset.shape)
    locations = parse_locations(rows[:, : max(behind, 0)], file.offset_size, dataset.is_filtered)
    coordinates = np.ascontiguousarray(rows[:, behind:]).view("<i8")
    if np.any(coordinates < 0):
        raise FormatError("there are chunks in front of the first")
    return _records(dataset, coordinates, locations)


def _records(dataset: ChunkedDataset, coordinates: NDArray[np.int64], locations: ChunkAddresses) -> ChunkRecords:
    return ChunkRecords.of(coordinates, locations, dataset.chunk_bytes)


def _ends(dataset: ChunkedDataset) -> tuple[int, ...]:
    """How large the dataset may become, where it grows without end as large as it is."""
    return tuple(
        size if maximum is None else maximum for size, maximum in zip(dataset.shape, dataset.maximum, strict=True)
    )


def _chunks_in(shape: tuple[int, ...], chunk_shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-(-size // chunk) for size, chunk in zip(shape, chunk_shape, strict=True))


_ARRAYS: dict[int, Callable[[Array], Elements]] = {
    IndexKind.FIXED_ARRAY: read_fixed_array,
    IndexKind.EXTENSIBLE_ARRAY: read_extensible_array,
}
_READERS: dict[int, _Reader] = {
    IndexKind.BTREE_1: _from_btree1,
    IndexKind.SINGLE: _single,
    IndexKind.IMPLICIT: _implicit,
    IndexKind.FIXED_ARRAY: _from_array,
    IndexKind.EXTENSIBLE_ARRAY: _from_array,
    IndexKind.BTREE_2: _from_btree2,
}
