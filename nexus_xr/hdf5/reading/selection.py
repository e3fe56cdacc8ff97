"""Selections of an array, and reading one from a dataset.

A selection is one slice or one array of indices a dimension, each applied on its own ("outer" indexing).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

Indexer = int | slice | NDArray[np.intp]


def expand(key: Any, ndim: int) -> tuple[Any, ...]:
    """One indexer a dimension, from what stands between square brackets.

    Examples
    --------
    >>> expand((0, ...), 3)
    (0, slice(None, None, None), slice(None, None, None))
    """
    key = key if isinstance(key, tuple) else (key,)
    given = [indexer for indexer in key if indexer is not Ellipsis]
    if len(given) > ndim or len(key) - len(given) > 1:
        raise IndexError(f"too many indices: the array has {ndim} dimensions, {len(key)} were indexed")
    missing = (slice(None),) * (ndim - len(given))
    position = next((i for i, indexer in enumerate(key) if indexer is Ellipsis), len(key))
    return (*key[:position], *missing, *key[position + 1 :])


def normalize(indexer: Any, size: int) -> Indexer:
    """An indexer with its bounds resolved: an int or array in range, or a slice with explicit bounds."""
    if isinstance(indexer, slice):
        return slice(*indexer.indices(size))
    if type(indexer) is int and -size <= indexer < size:
        return indexer % size
    array = np.asarray(indexer)
    if array.dtype == bool:
        if array.shape != (size,):
            raise IndexError(f"boolean mask of shape {array.shape} for a dimension of {size}")
        return np.flatnonzero(array)
    if array.size and array.dtype.kind not in "iu":
        raise IndexError(f"indices must be integers, slices or boolean masks, found {indexer!r}")
    array = array.astype(np.intp)
    if array.ndim > 1:
        raise IndexError("an index array must have one dimension")
    if array.size and (array.min() < -size or array.max() >= size):
        raise IndexError(f"index out of range for a dimension of {size}")
    array = np.where(array < 0, array + size, array)
    return array if array.ndim else int(array)


def _ascending(indexer: slice | NDArray[np.intp] | int) -> tuple[slice | NDArray[np.intp], Any]:
    """The positions in rising order without repeats, and the key that takes them back to the asked-for order."""
    if isinstance(indexer, int):
        return slice(indexer, indexer + 1, 1), 0
    if isinstance(indexer, slice):
        positions = range(indexer.start, indexer.stop, indexer.step)
        if indexer.step > 0 or not positions:
            return indexer if positions else slice(0, 0, 1), slice(None)
        return slice(positions[-1], positions[0] + 1, -indexer.step), slice(None, None, -1)
    unique, inverse = np.unique(indexer, return_inverse=True)
    if len(unique) == len(indexer) and np.array_equal(inverse, np.arange(len(indexer))):
        return unique, slice(None)
    return unique, inverse


def _slices_covering(indexer: slice | NDArray[np.intp]) -> list[tuple[slice, slice]]:
    """Slices that cover rising positions: each where to read, and where it goes."""
    if isinstance(indexer, slice):
        return [(indexer, slice(0, len(range(indexer.start, indexer.stop, indexer.step))))]
    if not len(indexer):
        return []
    breaks = np.flatnonzero(np.diff(indexer) != 1) + 1
    starts = np.concatenate(([0], breaks))
    stops = np.concatenate((breaks, [len(indexer)]))
    return [
        (slice(int(indexer[a]), int(indexer[b - 1]) + 1, 1), slice(int(a), int(b)))
        for a, b in zip(starts, stops, strict=True)
    ]


def length(indexer: Indexer) -> int:
    """How many positions a normalized indexer selects."""
    if isinstance(indexer, int):
        return 1
    return len(range(indexer.start, indexer.stop, indexer.step)) if isinstance(indexer, slice) else len(indexer)


def _blocks(indexers: Sequence[slice | NDArray[np.intp]]) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    for pairs in itertools.product(*map(_slices_covering, indexers)):
        yield tuple(source for source, _ in pairs), tuple(target for _, target in pairs)


def read_selection(dataset: h5py.Dataset, indexers: Sequence[Indexer]) -> NDArray[Any]:
    """Read the outer product of one indexer a dimension with libhdf5; only what is selected is read.

    Parameters
    ----------
    dataset
        Open dataset with a simple dataspace. The dimensions of an array datatype come behind the dataset's own.
    indexers
        One a dimension, normalized.

    Returns
    -------
    numpy.ndarray
        As ``dataset[()][numpy.ix_(...)]`` would give, with dimensions that were indexed by an integer dropped.
    """
    ordered = [_ascending(indexer) for indexer in indexers[: dataset.ndim]]
    values = _read_rising(dataset, [positions for positions, _ in ordered])
    restoring = [restore for _, restore in ordered] + [_as_key(indexer) for indexer in indexers[dataset.ndim :]]
    for dimension, restore in reversed(list(enumerate(restoring))):
        if not (isinstance(restore, slice) and restore == slice(None)):
            # With an ellipsis an array is left, and no bare element, where no dimension is.
            values = values[(*(slice(None),) * dimension, restore, ...)]
    return values


def _read_rising(dataset: h5py.Dataset, positions: list[slice | NDArray[np.intp]]) -> NDArray[Any]:
    if not positions:
        return np.asarray(dataset[...])
    blocks = list(_blocks(positions))
    if len(blocks) == 1:
        return np.asarray(dataset[blocks[0][0]])
    values: NDArray[Any] = np.empty([length(rising) for rising in positions], dtype=dataset.dtype)
    for source, target in blocks:
        values[target] = dataset[source]
    return values


def _as_key(indexer: slice | NDArray[np.intp] | int) -> Any:
    """A normalized indexer as NumPy takes it: a negative stop is no position from the end."""
    if isinstance(indexer, slice) and indexer.step < 0:
        positions = range(indexer.start, indexer.stop, indexer.step)
        return np.asarray(positions, dtype=np.intp)
    return indexer


def outer_key(parts: list[Any]) -> tuple[Any, ...]:
    """Slices and positions as NumPy takes the outer product of them."""
    if all(isinstance(part, slice) for part in parts):
        return tuple(parts)
    as_positions = [np.arange(part.start, part.stop, part.step) if isinstance(part, slice) else part for part in parts]
    return np.ix_(*as_positions)
