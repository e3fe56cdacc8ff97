"""Finding out where the chunks of a dataset are, all at once or only those that are new."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nexus_xr.hdf5.format.chunk_indexes.chunk_records import ChunkRecords
from nexus_xr.hdf5.format.chunk_indexes.chunked_dataset import ChunkedDataset, read_chunks
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.file_bytes import FileBytes

from .chunk_index import ChunkIndex, Integers, steps_of


@dataclass(frozen=True)
class EarlierIndex:
    """What was known of a dataset when it was smaller, in a file of which nothing that is written moves."""

    index: ChunkIndex
    shape: tuple[int, ...]


def build_index(
    file: FileBytes,
    dataset: ChunkedDataset,
    grid: tuple[int, ...],
    chunks: tuple[int, ...],
    earlier: EarlierIndex | None = None,
) -> ChunkIndex:
    """Find out where the chunks are, all at once, or only those that are new.

    New are all behind those that were known, and from the first on that was missing or reached beyond the end: when
    it is filled up, it may be moved.

    Parameters
    ----------
    file
        The bytes of the file.
    dataset
        The dataset, as the file describes it.
    grid
        How many chunks there are along each dimension, those of an array datatype among them.
    chunks
        Shape of a chunk.
    earlier
        What was known of it before.

    Raises
    ------
    FormatError
        The index contradicts itself.
    UnsupportedError
        Only libhdf5 finds the chunks.
    """
    try:
        if earlier is not None and _is_longer(earlier, dataset):
            return _extended(earlier, dataset, file, grid, chunks)
        return _compact(grid, *_in_order(read_chunks(file, dataset), grid, file.base))
    except FormatError as error:
        raise FormatError(f"the chunk index is damaged: {error}") from error


def _in_order(records: ChunkRecords, grid: tuple[int, ...], base: int) -> tuple[Integers, Integers, Integers, Integers]:
    """Number, offset, size and mask of the chunks that lie on the grid, each once, in rising order."""
    rank = records.coordinates.shape[1]  # the dimensions of an array datatype are not the dataset's own
    inside = np.all(records.coordinates < grid[:rank], axis=1)  # others are of a dataset that was larger, or is by now
    numbers = records.coordinates @ steps_of(grid)[:rank]
    columns = (numbers, records.addresses + base, records.sizes, records.masks)
    if not inside.all():
        columns = tuple(column[inside] for column in columns)  # type: ignore[assignment]
    if np.any(columns[0][1:] <= columns[0][:-1]):
        order = np.argsort(columns[0], kind="stable")
        columns = tuple(column[order] for column in columns)  # type: ignore[assignment]
        if np.any(columns[0][1:] == columns[0][:-1]):
            raise FormatError("it has a chunk twice")
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


def _is_longer(earlier: EarlierIndex, dataset: ChunkedDataset) -> bool:
    """Whether the dataset is what it was, or longer, and what is new in it is found without the rest."""
    now, before = dataset.shape, earlier.shape[: len(dataset.shape)]
    is_alike = not dataset.growing_dimension and now[1:] == before[1:] and now[0] >= before[0]
    return is_alike and dataset.is_in_array


def _extended(
    earlier: EarlierIndex, dataset: ChunkedDataset, file: FileBytes, grid: tuple[int, ...], chunks: tuple[int, ...]
) -> ChunkIndex:
    """What was known of a dataset that grows along its first dimension, and what is new."""
    index, in_row = earlier.index, math.prod(grid[1:])
    stored = len(index.offsets)
    if index.numbers is not None and len(gaps := np.flatnonzero(index.numbers != np.arange(stored))):
        stored = int(gaps[0])
    first = min(earlier.shape[0] // chunks[0], stored // max(in_row, 1))
    new = _in_order(read_chunks(file, dataset, first), grid, file.base)
    same = first * in_row
    masks = np.zeros(same, np.uint32) if index.masks is None else index.masks
    kept = (np.arange(same), index.offsets, index.sizes, masks)
    return _compact(grid, *(np.concatenate([old[:same], added]) for old, added in zip(kept, new, strict=True)))
