"""Values that nobody has written, which are known without being made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts.chunk_index import ChunkIndex
from nexus_xr.hdf5.reading.layouts.known_layouts import layout_of
from nexus_xr.hdf5.reading.layouts.layout import StoredLayout
from nexus_xr.hdf5.reading.selection import Indexer

# Gives the one value that all elements of a selection have as none of them is stored; None where some are.
ConstantOf = Callable[[Sequence[Indexer]], Any]


def constant_of(array: LazyArray) -> ConstantOf | None:
    """What tells of selections of an array that nothing of them is stored; None where that can't be.

    Parameters
    ----------
    array
        The array, of numbers.
    """
    if array.layout is not None or array.file.is_written_here:
        return None
    with array.file.source() as source:
        layout = layout_of(array.file, array.path, source, array.address)
    if not isinstance(layout, StoredLayout) or layout.conversion is not None or layout.shape != array.shape:
        return None
    if not isinstance(layout.index, ChunkIndex) or layout.index.numbers is None:
        return None
    value = layout.fill.view(array.raw_dtype)[()]
    return partial(_constant, layout.index, layout.chunks, value)


def _constant(index: ChunkIndex, chunks: Sequence[int], value: Any, indexers: Sequence[Indexer]) -> Any:
    touched = [_touched(indexer, chunk) for indexer, chunk in zip(indexers, chunks, strict=True)]
    return None if index.locate(touched).present.any() else value


def _touched(indexer: Indexer, chunk: int) -> Any:
    """The chunks that are touched along a dimension."""
    if isinstance(indexer, slice):
        indexer = np.arange(indexer.start, indexer.stop, indexer.step)
    return np.unique(np.atleast_1d(indexer) // chunk)
