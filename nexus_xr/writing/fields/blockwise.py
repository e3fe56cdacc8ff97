"""Values that are written block by block, as they needn't fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.block_shapes import covering
from nexus_xr.hdf5.reading.stored_chunks import is_unwritten
from nexus_xr.hdf5.writing.chunk_writer import IsUnwritten, Region, WrittenDataset
from nexus_xr.opening.arrays import selection_of
from nexus_xr.opening.chunks import block_shape

from .casting import cast


@dataclass(frozen=True, eq=False)
class LazyVariable:
    """The values of a variable that are neither in memory nor dask's, block by block."""

    variable: xr.Variable
    #: The type that they become, where it is another.
    stored: np.dtype[Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.variable.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = np.dtype(self.variable.dtype)
        return self.stored or dtype

    def __getitem__(self, key: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = cast(np.asarray(self.variable[key].values), self.dtype)
        return values


def fill(target: WrittenDataset, values: Any, begin: Sequence[int] | None = None) -> None:
    """Write all values into a dataset, from some element on; those that aren't in memory block by block."""
    begin = begin or (0,) * len(values.shape)
    if isinstance(values, np.ndarray):
        target.write(tuple((at, at + size) for at, size in zip(begin, values.shape, strict=True)), values)
        return
    unwritten = None if target.chunks is None or any(begin) else _unwritten(values, target.chunks)
    for region in blocks(values, target.chunks):
        there = tuple((at + first, at + last) for at, (first, last) in zip(begin, region, strict=True))
        target.write(there, np.asarray(values[tuple(slice(*each) for each in region)]), unwritten)


def _unwritten(values: LazyArray | LazyVariable, chunks: tuple[int, ...]) -> IsUnwritten | None:
    """What tells of a chunk that nobody has written it in the file that the values are from; None where they aren't."""
    if isinstance(values, LazyArray):
        return lambda corner: is_unwritten(values, chunks, corner)
    array, key = selection_of(values.variable) or (None, ())
    if not isinstance(array, LazyArray):
        return None
    if not all(isinstance(part, slice) and (part.step or 1) == 1 for part in key):
        return None
    firsts = [part.indices(size)[0] for part, size in zip(key, array.shape, strict=True)]
    return lambda corner: is_unwritten(array, chunks, tuple(map(sum, zip(firsts, corner, strict=True))))


def blocks(values: LazyArray | LazyVariable, chunks: tuple[int, ...] | None) -> Iterable[Region]:
    """Regions that cover an array, of whole chunks and of as much as is worth a read."""
    return covering(values.shape, block_shape(values.shape, max(values.dtype.itemsize, 1), chunks))
