"""Arrays of a file, and what is computed of one as it is read: scaled, of another type, or the centres of bins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
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


@dataclass(frozen=True, eq=False)
class MultipliedArray:
    """Numbers times a fraction, computed on what is read."""

    source: Stored
    factor: Fraction

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return multiplied(np.empty(0, self.source.dtype), self.factor).dtype

    def __getitem__(self, key: Any) -> Any:
        return multiplied(np.asarray(self.source[key]), self.factor)


def multiplied(values: NDArray[Any], factor: Fraction) -> NDArray[Any]:
    """Integers times a fraction as integers, the nearest where they are between two; others as floats of 64 bits.

    What is larger than integers of 64 bits becomes the largest of these.

    Examples
    --------
    >>> multiplied(np.array([1, 2**60 + 1]), Fraction(5)), multiplied(np.array([0.5]), Fraction(5, 2))
    (array([                  5, 5764607523034234885]), array([1.25]))
    """
    if values.dtype.kind == "f":
        wide = values.astype(np.longdouble) * factor.numerator / factor.denominator
        return np.asarray(wide).astype(np.float64)
    limits, twice = np.iinfo(np.int64), 2 * factor.denominator
    largest = max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
    is_small = largest * 2 * factor.numerator + twice <= limits.max
    exact = (values.astype(np.int64 if is_small else object) * (2 * factor.numerator) + factor.denominator) // twice
    return np.asarray(np.clip(exact, limits.min, limits.max)).astype(np.int64)


Stored = LazyArray | ScaledArray | DerivedArray | TypedArray | MultipliedArray


def stored_array(opened: Stored) -> LazyArray:
    """The array of the file that something was opened from."""
    if isinstance(opened, LazyArray):
        return opened
    return stored_array(opened.source) if isinstance(opened, DerivedArray | MultipliedArray) else opened.raw
