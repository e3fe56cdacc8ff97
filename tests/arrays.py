"""Datasets as this package reads them beside the values that h5py has, and everything that selects a part of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.objects.datatypes import split_array_type
from nexus_xr.hdf5.reading.array import LazyArray


def lazy(path: Path, name: str = "data", num_threads: int | None = None) -> LazyArray:
    """A dataset as this package reads it."""
    with h5py.File(path) as file:
        dataset = file[name]
        element, inner = split_array_type(dataset.dtype)
        return LazyArray(File(path, policy=ReadingPolicy(num_threads)), f"/{name}", (*dataset.shape, *inner), element)


def h5py_values(path: Path, name: str = "data") -> NDArray[Any]:
    """All values of a dataset as h5py reads them."""
    with h5py.File(path) as file:
        values: NDArray[Any] = np.asarray(file[name][()], split_array_type(file[name].dtype)[0])
        return values


def assert_same_bits(got: Any, expected: NDArray[Any]) -> None:
    """Compare values of which some may be not a number, or negative zeros."""
    assert np.shape(got) == expected.shape
    assert np.asarray(got).tobytes() == np.asarray(expected[()]).tobytes()  # a scalar in native byte order


def native(values: Any) -> NDArray[Any]:
    """Values in the byte order of this machine."""
    array = np.asarray(values)
    return array.astype(array.dtype.newbyteorder("="))


def take(values: NDArray[Any], key: tuple[Any, ...]) -> NDArray[Any]:
    """What NumPy selects with one indexer after the other."""
    for dimension, indexer in reversed(list(enumerate(key))):
        values = values[(*(slice(None),) * dimension, indexer, ...)]
    return values


def indexers(size: int) -> st.SearchStrategy[Any]:
    """Whatever selects of a dimension of that size: slices, numbers, arrays of these and masks."""
    bounds = st.none() | st.integers(-size - 1, size + 1)
    return indexers_within(size) | st.builds(slice, bounds, bounds, st.sampled_from([None, 1, 2, 3, -1, -2]))


def indexers_within(size: int) -> st.SearchStrategy[Any]:
    """Those without slices that begin or end beyond the dimension, some of which xarray and dask take for others."""
    arrays = hnp.arrays(np.int64, st.integers(0, 2 * size), elements=st.integers(-size, size - 1))
    return st.one_of(st.slices(size), st.integers(-size, size - 1), arrays, hnp.arrays(bool, size))


def truths(random: np.random.Generator, shape: Sequence[int], share: float) -> NDArray[np.bool_]:
    """Booleans, such a share of them true, stored as any bytes, as they may be in a file."""
    found: NDArray[np.bool_] = (
        np.where(random.random(shape) < share, random.integers(1, 256, shape), 0).astype("u1").view(bool)
    )
    return found
