"""Finding out where the chunks of a dataset are, all at once or only those that are new."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from h5py import h5d, h5f, h5i, h5s

from nexus_xr.hdf5.format.chunk_index import ChunkedDataset, read_chunks
from nexus_xr.hdf5.format.chunk_records import ChunkRecords
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.layout import Chunked, parse_layout
from nexus_xr.hdf5.format.messages import Kind
from nexus_xr.hdf5.format.object_header import read_object_header
from nexus_xr.hdf5.format.superblock import file_bytes, read_superblock
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.library.addresses import address_of
from nexus_xr.hdf5.library.properties import properties_of

from .chunk_index import ChunkIndex, Integers, steps_of

# How often what another process is writing is read again, until its parts go together.
_MOST_ATTEMPTS = 100


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
    FormatError
        The index contradicts itself.
    UnsupportedError
        Only libhdf5 finds the chunks.
    """
    intent = h5i.get_file_id(dataset).get_intent()
    if intent & h5f.ACC_RDWR:
        raise UnsupportedError("this process has the file open for writing, and may not have written all of it")
    for _ in range(_MOST_ATTEMPTS - 1 if intent & h5f.ACC_SWMR_READ else 0):
        with suppress(FormatError):
            return _build(dataset, source, grid, chunks, earlier)
    try:
        return _build(dataset, source, grid, chunks, earlier)
    except FormatError as error:
        raise FormatError(f"the chunk index is damaged: {error}") from error


def _build(
    dataset: h5d.DatasetID,
    source: Source,
    grid: tuple[int, ...],
    chunks: tuple[int, ...],
    earlier: EarlierIndex | None,
) -> ChunkIndex:
    file = file_bytes(source, read_superblock(source))
    described = _describe(dataset, file)
    if earlier is not None and _is_longer(earlier, described):
        return _extended(earlier, described, file, grid, chunks)
    return _compact(grid, *_in_order(read_chunks(file, described), grid, file.base))


def _describe(dataset: h5d.DatasetID, file: FileBytes) -> ChunkedDataset:
    """What it takes to read its chunk index."""
    message = read_object_header(file, address_of(dataset)[1]).first(Kind.LAYOUT)
    layout = None if message is None else parse_layout(message.content, file.offset_size, file.length_size)
    if not isinstance(layout, Chunked):
        raise FormatError("the dataset isn't said to be in chunks")
    ends = dataset.get_space().get_simple_extent_dims(True)
    maximum = tuple(None if end == h5s.UNLIMITED else end for end in ends)
    return ChunkedDataset(dataset.shape, maximum, layout, properties_of(dataset).get_nfilters() > 0)


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
