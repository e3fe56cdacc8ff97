"""A dataset in other chunks and with other filters: with the type that it has, and the bytes of its elements."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import h5py

from nexus_xr.hdf5.reading.block_shapes import grouped
from nexus_xr.hdf5.reading.stored_elements import stored_elements

from .chunk_writer import IsUnwritten, Region, WrittenDataset
from .copying import OfDataset

# How much is decoded and encoded at once.
_BLOCK_BYTES = 16 << 20


class StoredAnew(OfDataset):
    """All elements of a dataset of a file, to be stored otherwise; none of them has parts that are elsewhere in it."""

    def write_into(self, made: h5py.Dataset, num_threads: int | None, where: str) -> None:
        """Write them into a dataset that was created like theirs; chunks that nobody has written there aren't stored.

        Parameters
        ----------
        made
            The new dataset, without values.
        num_threads
            Most threads that decode and encode.
        where
            What the new dataset is called in errors.

        Raises
        ------
        NexusFileError
            They can't be read, or not be written.
        """
        target = WrittenDataset(made, num_threads, where, is_new=True, as_stored=True)
        block = grouped(made.chunks or (1,) * made.ndim, made.shape, made.id.get_type().get_size(), _BLOCK_BYTES)
        with self.array.opened() as source:
            regions = list(_written_regions(source, made.shape, block))
            is_unwritten = _unwritten(source, made)
        with stored_elements(self.array, num_threads) as elements:
            for region in regions:
                target.write(region, elements(region), is_unwritten)


def _unwritten(source: h5py.Dataset, made: h5py.Dataset) -> IsUnwritten | None:
    """What tells of a chunk of a new dataset that no chunk is stored of the other where it is; None where all are."""
    if source.chunks is None or made.chunks is None:
        return None
    chunks = made.chunks
    written = _touched(source, made.shape, chunks)
    return lambda corner: tuple(at // length for at, length in zip(corner, chunks, strict=True)) not in written


def _written_regions(source: h5py.Dataset, shape: tuple[int, ...], block: tuple[int, ...]) -> Iterator[Region]:
    """The blocks of an array in which something is stored."""
    if source.chunks is None:
        is_stored = source.external or source.id.get_storage_size()
        blocks = itertools.product(*(range(-(-size // length)) for size, length in zip(shape, block, strict=True)))
        found = list(blocks) if is_stored else []
    else:
        found = sorted(_touched(source, shape, block))
    for place in found:
        corner = tuple(at * length for at, length in zip(place, block, strict=True))
        yield tuple(
            (first, min(first + length, size)) for first, length, size in zip(corner, block, shape, strict=True)
        )


def _touched(source: h5py.Dataset, shape: tuple[int, ...], block: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Which blocks the chunks that are stored have a part in, by their places in the grid of blocks."""
    corners: list[tuple[int, ...]] = []
    source.id.chunk_iter(lambda info: corners.append(info.chunk_offset))
    touched: set[tuple[int, ...]] = set()
    for corner in corners:
        along = zip(corner, source.chunks, shape, block, strict=True)
        touched.update(
            itertools.product(
                *(range(at // length, -(-min(at + chunk, size) // length)) for at, chunk, size, length in along)
            )
        )
    return touched
