"""Writing dask arrays by threads of this process: block by block, or in passes where blocks would be too large."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from nexus_xr.arrays.announced import announced, as_announced, places_of, region_at
from nexus_xr.hdf5.reading.block_shapes import covering, grouped
from nexus_xr.hdf5.writing.chunk_writer import IsUnwritten, Region, WrittenDataset, everywhere

from .distributed import aligned, aligned_blocks, is_laid_out

# Chunks that lie across the blocks of dask need many of these at once, of which no more than this is put together.
# Where dask does that, the blocks and what is made of them are in memory both.
MOST_TOGETHER_BYTES = 512 * 2**20


class _Together:
    """Where blocks are put together that are to be written at once, none of which is kept beside it.

    Parameters
    ----------
    region
        What they are of a dataset.
    target
        The dataset.
    """

    def __init__(self, region: Region, target: WrittenDataset) -> None:
        self.where = target.where
        self._values = np.empty(tuple(last - first for first, last in region), target.dtype)
        self._region = region
        self._target = target
        self._is_unwritten: IsUnwritten | None = None

    def write(self, region: Region, values: NDArray[Any], is_unwritten: IsUnwritten | None) -> None:
        """Take in the values of a block, of which all tell alike what nobody has written."""
        self._target.check(region, values)
        self._is_unwritten = is_unwritten
        within = zip(region, self._region, strict=True)
        self._values[tuple(slice(begin - first, end - first) for (begin, end), (first, _) in within)] = values

    def write_all(self) -> None:
        """Write all of them."""
        self._target.write(self._region, self._values, self._is_unwritten)


def stores(
    sources: Sequence[Any], targets: Sequence[WrittenDataset], begins: Sequence[Sequence[int]] | None = None
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
    begins = begins or [(0,) * source.ndim for source in sources]
    delayed = []
    for source, target, begin in zip(sources, targets, begins, strict=True):
        if 2 * _together_bytes(source, target) <= MOST_TOGETHER_BYTES:
            delayed.append(storing(aligned(source, target.chunks, target.where), target, begin))
        else:
            delayed.append(_in_passes(source, target, begin))
    return delayed


def storing(source: Any, target: WrittenDataset | _Together, begin: Sequence[int]) -> Any:
    """What writes a dask array into a dataset block by block, from some element on, once it is computed.

    Blocks are looked at where they are written, as one more layer of the graph takes longer than to write small ones.
    `da.store` leaves out those that are empty, or None, whatever belongs there.
    """
    unwritten = everywhere if is_laid_out(source) else None
    own = {"begin": tuple(begin), "announced_as": source.dtype, "is_unwritten": unwritten}
    name = f"write-{uuid4().hex}"  # not by what is in the target, which dask would go through
    return source.map_blocks(_store, target, places_of(source), **own, meta=source._meta, name=name)


def _store(
    block: Any,
    target: WrittenDataset | _Together,
    place: Sequence[slice],
    begin: Sequence[int],
    announced_as: np.dtype[Any],
    is_unwritten: IsUnwritten | None,
) -> None:
    region = region_at(place, begin)
    target.write(region, announced(block, region, announced_as, target.where), is_unwritten)


def _together_bytes(source: Any, target: WrittenDataset) -> int:
    """Bytes of the largest block that is put together, none of which is where chunks are split by no block."""
    blocks = aligned_blocks(source, target.chunks)
    return 0 if blocks is None else math.prod(blocks) * int(source.dtype.itemsize)


def _in_passes(source: Any, target: WrittenDataset, begin: Sequence[int]) -> Any:
    import dask

    # Within a partial, as dask would compute an array that is an argument, and all parts of it together.
    return dask.delayed(partial(_write_in_passes, as_announced(source, target.where), target, begin), pure=False)()


def _write_in_passes(source: Any, target: WrittenDataset, begin: Sequence[int]) -> None:
    import dask

    chunks = target.chunks or (1,) * source.ndim
    for part in covering(source.shape, grouped(chunks, source.shape, source.dtype.itemsize, MOST_TOGETHER_BYTES)):
        region = tuple((at + first, at + last) for (first, last), at in zip(part, begin, strict=True))
        together = _Together(region, target)
        whole = source[tuple(slice(*each) for each in part)]
        dask.compute(storing(whole, together, [first for first, _ in region]))
        together.write_all()
