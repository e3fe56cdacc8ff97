"""Arrays of a file, and what is computed of one as it is read: scaled, of another type, or the centres of bins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.selection import Indexer, expand


@dataclass(frozen=True, eq=False)
class ScaledArray:
    """(values + offset) * factor, computed on what is read.

    Source: the reserved suffixes ``_scaling_factor`` and ``_offset`` of the NeXus manual.
    """

    raw: LazyArray
    factor: float
    offset: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raw.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.result_type(self.raw.dtype, np.float64)

    def __getitem__(self, key: Any) -> Any:
        return self.scaled(np.asarray(self.raw[key]))

    @contextmanager
    def reading(self) -> Iterator[Callable[[Sequence[Indexer]], NDArray[Any]]]:
        """As `LazyArray.reading`, scaled."""
        with self.raw.reading() as read:
            yield lambda indexers: self.scaled(read(indexers))

    def scaled(self, raw: NDArray[Any]) -> NDArray[Any]:
        """Values of the file, scaled."""
        # Integers of 64 bits don't fit into a float before the offset is taken off.
        wide = np.longdouble if raw.dtype.kind in "iu" and raw.dtype.itemsize == 8 else self.dtype
        with np.errstate(invalid="ignore", over="ignore"):
            scaled: NDArray[Any] = (raw.astype(wide) + self.offset) * self.factor
            return scaled.astype(self.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class DerivedArray:
    """What a function makes of a small array, all of which is read."""

    source: LazyArray | ScaledArray | TypedArray
    function: Callable[[NDArray[Any]], NDArray[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: Any) -> Any:
        values = self.function(np.asarray(self.source[...])).astype(self.dtype, copy=False)
        for dimension, indexer in reversed(list(enumerate(expand(key, values.ndim)))):
            values = values[(slice(None),) * dimension + (indexer,)]
        return values


@dataclass(frozen=True, eq=False)
class TypedArray:
    """Integers of the file as the dates or lengths of time that they stand for, or text as NumPy has it."""

    raw: LazyArray
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.raw.shape

    def __getitem__(self, key: Any) -> Any:
        values = np.asarray(self.raw[key])
        return values.astype(self.dtype) if self.dtype.kind == "U" else values.view(self.dtype)


Stored = LazyArray | ScaledArray | DerivedArray | TypedArray


def stored_array(opened: Stored) -> LazyArray:
    """The array of the file that something was opened from."""
    if isinstance(opened, LazyArray):
        return opened
    return stored_array(opened.source) if isinstance(opened, DerivedArray) else opened.raw
