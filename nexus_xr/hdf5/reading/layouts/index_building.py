"""Finding out where the chunks of a dataset are, all at once."""

from __future__ import annotations

import math

import numpy as np

from nexus_xr.hdf5.format.chunk_indexes.chunk_records import ChunkRecords
from nexus_xr.hdf5.format.chunk_indexes.chunked_dataset import ChunkedDataset, read_chunks
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.file_bytes import FileBytes

from .chunk_index import ChunkIndex, Integers, steps_of


def build_index(file: FileBytes, dataset: ChunkedDataset, grid: tuple[int, ...]) -> ChunkIndex:
    """Find out where the chunks are, of a dataset that grows once for each state of its file.

    What was known of an earlier state is no help: a chunk that somebody writes to again, as one of several points is
    with each of these, may be stored anew elsewhere.

    Parameters
    ----------
    file
        The bytes of the file.
    dataset
        The dataset, as the file describes it.
    grid
        How many chunks there are along each dimension, those of an array datatype among them.

    Raises
    ------
    FormatError
        The index contradicts itself.
    UnsupportedError
        Only libhdf5 finds the chunks.
    """
    try:
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
