"""Writing dask arrays by threads of this process: block by block, or in passes where blocks would be too large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from nexus_xr.arrays.uncertainties import refuse_unknown
from nexus_xr.hdf5.reading.block_shapes import covering, grouped
from nexus_xr.hdf5.writing.chunk_writer import Region, WrittenDataset

from .distributed import aligned, aligned_blocks

# Chunks that lie across the blocks of dask need many of these at once, of which no more than this is put together.
MOST_TOGETHER_BYTES = 512 * 2**20


class OfBlocks(WrittenDataset):
    """A dataset into which dask stores blocks; those that have uncertainties, of which it doesn't know, are an error.

    They are looked at where they are written, as one more layer of the graph takes longer than to write small blocks.
    """

    def __setitem__(self, key: tuple[slice, ...], values: Any) -> None:
        refuse_unknown(self.where, values)
        super().__setitem__(key, values)


def stores(
    sources: Sequence[Any], targets: Sequence[OfBlocks], begins: Sequence[Sequence[int]] | None = None
) -> list[Any]:
    """What writes dask arrays into datasets, from some elements on: `Delayed` that are to be computed together.

    Blocks of a source that split chunks are put together first. Where that would take too much memory, a part of the
    array is written after another, for each of which the blocks that it lies in are computed, or read, again.

    Parameters
    ----------
    sources
        The arrays.
    targets
        The dataset for each.
    begins
        Where the first element of each goes, by default to the beginning.
    """
    import dask.array as da

    begins = begins or [(0,) * source.ndim for source in sources]
    at_once: list[tuple[Any, OfBlocks, Sequence[int]]] = []
    delayed = []
    for source, target, begin in zip(sources, targets, begins, strict=True):
        if _together_bytes(source, target) <= MOST_TOGETHER_BYTES:
            at_once.append((aligned(source, target.chunks), target, begin))
        else:
            delayed.append(_in_passes(source, target, begin))
    if at_once:
        values, where, first = zip(*at_once, strict=True)
        regions = [_slices(_whole(each.shape), begin) for each, begin in zip(values, first, strict=True)]
        delayed.append(da.store(list(values), list(where), regions=regions, lock=False, compute=False))
    return delayed


def _together_bytes(source: Any, target: WrittenDataset) -> int:
    """Bytes of the largest block that is put together, none of which is where chunks are split by no block."""
    blocks = aligned_blocks(source, target.chunks)
    return 0 if blocks is None else math.prod(blocks) * int(source.dtype.itemsize)


def _in_passes(source: Any, target: OfBlocks, begin: Sequence[int]) -> Any:
    import dask

    # Within a partial, as dask would compute an array that is an argument, and all parts of it together.
    return dask.delayed(partial(_write_in_passes, source, target, begin), pure=False)()


def _write_in_passes(source: Any, target: OfBlocks, begin: Sequence[int]) -> None:
    import dask.array as da

    chunks = target.chunks or (1,) * source.ndim
    for part in covering(source.shape, grouped(chunks, source.shape, source.dtype.itemsize, MOST_TOGETHER_BYTES)):
        whole = source[_slices(part, (0,) * source.ndim)].rechunk(-1)
        da.store([whole], [target], regions=[_slices(part, begin)], lock=False)  # type: ignore[list-item]


def _whole(shape: Sequence[int]) -> Region:
    return tuple((0, size) for size in shape)


def _slices(region: Region, begin: Sequence[int]) -> tuple[slice, ...]:
    """A region from an element on."""
    return tuple(slice(at + first, at + last) for (first, last), at in zip(region, begin, strict=True))
