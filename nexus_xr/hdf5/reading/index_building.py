"""Finding out where the chunks of a dataset are, all at once or only those that are new."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from h5py import h5d, h5f, h5i, h5s

from nexus_xr.hdf5.format.btree1 import UNDEFINED, ChunkRecords, DamagedIndexError, read_btree
from nexus_xr.hdf5.format.chunk_array import NoArrayError, read_elements
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.objects.addresses import address_of
from nexus_xr.hdf5.objects.properties import properties_of
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors

from .chunk_index import ChunkIndex, Integers, steps_of

# Chunk records are Python objects for a moment; so many at once take little memory and no time to speak of.
_BATCH = 1 << 16
# A dataset that may become much larger than it is has an array with room for that.
_MOST_ELEMENTS = 1 << 24


@dataclass(frozen=True)
class EarlierIndex:
    """What was known of a dataset when it was smaller, in a file of which nothing that is written moves."""

    index: ChunkIndex
    shape: tuple[int, ...]


def build_index(
    dataset: h5d.DatasetID,
    source: Source,
    grid: tuple[int, ...],
    chunks: tuple[int, ...],
    earlier: EarlierIndex | None = None,
) -> ChunkIndex:
    """Find out where the chunks are, all at once, or only those that are new.

    New are all behind those that were known, and from the first on that was missing or reached beyond the end: when
    it is filled up, it may be moved.

    Parameters
    ----------
    dataset
        An open chunked dataset.
    source
        The bytes of the file that it is in.
    grid
        How many chunks there are along each of its dimensions.
    chunks
        Shape of a chunk.
    earlier
        What was known of it before.

    Raises
    ------
    DamagedIndexError
        The index contradicts itself.
    NoArrayError
        Only libhdf5 finds the chunks.
    """
    extended = None if earlier is None else _extended(earlier, dataset, source, grid, chunks)
    if extended is not None:
        return extended
    records = _from_bytes(dataset, source, grid, chunks) or _from_libhdf5(dataset)
    return _compact(grid, *_in_order(records, grid, chunks))


def _in_order(
    records: ChunkRecords, grid: tuple[int, ...], chunks: tuple[int, ...]
) -> tuple[Integers, Integers, Integers, Integers]:
    """Number, offset, size and mask of the chunks that lie on the grid, each once, in rising order."""
    rank = records.origins.shape[1]  # the dimensions of an array datatype are not the dataset's own
    if np.any(records.origins % chunks[:rank]):
        raise DamagedIndexError("the chunk index has chunks that are not on its grid")
    coordinates = records.origins // chunks[:rank]
    inside = np.all(coordinates < grid[:rank], axis=1)  # others are of a dataset that was larger, or is by now
    columns = (coordinates @ steps_of(grid)[:rank], records.offsets, records.sizes, records.masks)
    if not inside.all():
        columns = tuple(column[inside] for column in columns)  # type: ignore[assignment]
    if np.any(columns[0][1:] <= columns[0][:-1]):
        order = np.argsort(columns[0], kind="stable")
        columns = tuple(column[order] for column in columns)  # type: ignore[assignment]
        if np.any(columns[0][1:] == columns[0][:-1]):
            raise DamagedIndexError("the chunk index has a chunk twice")
    return columns


def _compact(
    grid: tuple[int, ...], numbers: Integers, offsets: Integers, sizes: Integers, masks: Integers
) -> ChunkIndex:
    """The index of chunks in rising order, without what goes without saying."""
    small = not len(sizes) or sizes.max() <= 0xFFFFFFFF
    return ChunkIndex(
        grid,
        None if len(numbers) == math.prod(grid) else numbers,
        offsets,
        sizes.astype(np.uint32) if small else sizes,
        masks.astype(np.uint32) if masks.any() else None,
    )


def _extended(
    earlier: EarlierIndex, dataset: h5d.DatasetID, source: Source, grid: tuple[int, ...], chunks: tuple[int, ...]
) -> ChunkIndex | None:
    """What was known of a dataset that grows along its first dimension, and what is new; None for any other."""
    shape, index = dataset.shape, earlier.index
    if _growing_dimension(dataset) or shape[1:] != earlier.shape[1 : len(shape)] or shape[0] < earlier.shape[0]:
        return None
    in_row = math.prod(grid[1:])
    stored = len(index.offsets)
    if index.numbers is not None and len(gaps := np.flatnonzero(index.numbers != np.arange(stored))):
        stored = int(gaps[0])
    first = min(earlier.shape[0] // chunks[0], stored // max(in_row, 1))
    records = _from_array(dataset, source, grid, chunks, first)
    if records is None:
        return None
    same = first * in_row
    masks = np.zeros(same, np.uint32) if index.masks is None else index.masks
    kept = (np.arange(same), index.offsets, index.sizes, masks)
    new = _in_order(records, grid, chunks)
    return _compact(grid, *(np.concatenate([old[:same], added]) for old, added in zip(kept, new, strict=True)))


def _growing_dimension(dataset: h5d.DatasetID) -> int:
    """The dimension that has no end, the first where there is none."""
    ends = dataset.get_space().get_simple_extent_dims(True)
    return ends.index(h5s.UNLIMITED) if h5s.UNLIMITED in ends else 0


def _from_bytes(
    dataset: h5d.DatasetID, source: Source, grid: tuple[int, ...], chunks: tuple[int, ...]
) -> ChunkRecords | None:
    file = h5i.get_file_id(dataset)
    if file.get_intent() & h5f.ACC_RDWR:
        return None  # this process has it open for writing, and may not have written all of it
    user_block = file.get_create_plist().get_userblock()
    _, header = address_of(dataset)
    tree = read_btree(source, header, user_block, len(dataset.shape))
    return _from_array(dataset, source, grid, chunks, 0) if tree is None else tree


def _from_array(
    dataset: h5d.DatasetID, source: Source, grid: tuple[int, ...], chunks: tuple[int, ...], first: int
) -> ChunkRecords | None:
    """Chunks from a position along the growing dimension on, None where the index is no array in their order."""
    growing, rank = _growing_dimension(dataset), len(dataset.shape)
    ends = dataset.get_space().get_simple_extent_dims(True)
    others = [dimension for dimension in range(rank) if dimension != growing]
    # There is an element for each chunk that the dataset may have, the growing dimension being the slowest.
    lengths = (grid[growing], *(-(-ends[dimension] // chunks[dimension]) for dimension in others))
    if math.prod(lengths) > max(_MOST_ELEMENTS, math.prod(grid)):
        return None
    user_block = h5i.get_file_id(dataset).get_create_plist().get_userblock()
    in_row = math.prod(lengths[1:])
    try:
        elements = read_elements(source, address_of(dataset)[1], user_block, first * in_row, lengths[0] * in_row)
    except NoArrayError:
        return None
    stored = np.flatnonzero(elements.offsets != UNDEFINED)
    coordinates = np.empty((len(stored), rank), np.int64)
    for dimension, part in zip((growing, *others), np.unravel_index(stored + first * in_row, lengths), strict=True):
        coordinates[:, dimension] = part
    size = math.prod(properties_of(dataset).get_chunk()) * dataset.get_type().get_size()
    return ChunkRecords(
        coordinates * chunks[:rank],
        elements.offsets[stored].astype(np.int64) + user_block,
        np.full(len(stored), size) if elements.sizes is None else elements.sizes[stored],
        np.zeros(len(stored), np.uint32) if elements.masks is None else elements.masks[stored],
    )


def _from_libhdf5(dataset: h5d.DatasetID) -> ChunkRecords:
    if _growing_dimension(dataset) and dataset.get_space().get_simple_extent_dims(True).count(h5s.UNLIMITED) == 1:
        # chunk_iter counts as if the growing dimension were the first, and gives chunks that aren't there.
        raise NoArrayError("the chunk index is in an order that libhdf5 doesn't tell")
    records = _Records(len(dataset.shape))
    with Hdf5Errors(lambda error: DamagedIndexError(f"the chunk index is damaged: {error}")):
        dataset.chunk_iter(records.add)
        return records.columns()


class _Records:
    """Collects chunk records in columns."""

    def __init__(self, rank: int) -> None:
        self._batch: list[Any] = []
        none = np.zeros(0, np.int64)
        self._columns = [ChunkRecords(np.zeros((0, rank), np.int64), none, none, none.astype(np.uint32))]

    def add(self, record: Any) -> None:
        self._batch.append(record)
        if len(self._batch) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        origins, masks, offsets, sizes = zip(*self._batch, strict=True)
        self._columns.append(
            ChunkRecords(
                np.array(origins, np.int64),
                np.array(offsets, np.int64),
                np.array(sizes, np.int64),
                np.array(masks, np.uint32),
            )
        )
        self._batch.clear()

    def columns(self) -> ChunkRecords:
        if self._batch:
            self._flush()
        return ChunkRecords(*map(np.concatenate, zip(*self._columns, strict=True)))
