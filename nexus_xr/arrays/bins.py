"""Bins as numbers: n + 1 edges, n pairs of a lower and an upper bound, n middles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def bounds_of(edges: NDArray[Any]) -> NDArray[Any]:
    """Lower and upper bound of each bin along the last dimension, as CF has them.

    Examples
    --------
    >>> bounds_of(np.array([0.0, 1.0, 3.0]))
    array([[0., 1.],
           [1., 3.]])
    """
    return np.stack([edges[..., :-1], edges[..., 1:]], axis=-1)


def middles_of(bounds: NDArray[Any]) -> NDArray[Any]:
    """Middles of bins, of which the last dimension has the two bounds.

    Examples
    --------
    >>> middles_of(np.array([[0, 1], [4, 8]], dtype="u1"))
    array([0.5, 6. ])
    """
    if bounds.dtype.kind not in "fcmM":
        bounds = bounds.astype(np.float64)
    if bounds.dtype.kind in "mM":
        return _middles_of_times(bounds)
    with np.errstate(invalid="ignore"):  # bins without an end have no middle
        middles: NDArray[Any] = bounds[..., 0] + (bounds[..., 1] - bounds[..., 0]) / 2
    return middles


def _middles_of_times(bounds: NDArray[Any]) -> NDArray[Any]:
    """Of whole numbers, half of each: what lies between two times may be more than their unit counts."""
    native = bounds.astype(bounds.dtype.newbyteorder("="))
    lower, upper = native[..., 0].view(np.int64), native[..., 1].view(np.int64)
    middles = (lower >> 1) + (upper >> 1) + ((lower & 1) + (upper & 1)) // 2
    return np.where(np.isnat(native).any(axis=-1), np.array("NaT", native.dtype), middles.view(native.dtype))


def centres_of(edges: NDArray[Any]) -> NDArray[Any]:
    """Middles of bins between edges, along the last dimension.

    Examples
    --------
    >>> centres_of(np.array([0, 1, 3], dtype="u1"))
    array([0.5, 2. ])
    """
    return middles_of(bounds_of(edges))


def edges_of(bounds: NDArray[Any]) -> NDArray[Any] | None:
    """The edges of which bounds are made; None where bins aren't each the next one's neighbour.

    Examples
    --------
    >>> edges_of(np.array([[0.0, 1.0], [1.0, 3.0]]))
    array([0., 1., 3.])
    >>> edges_of(np.array([[0.0, 1.0], [2.0, 3.0]])) is None
    True
    """
    if (
        bounds.dtype.kind not in "iufmM"
        or not bounds.shape[-2]
        or not same_bits(bounds[..., 1:, 0], bounds[..., :-1, 1])
    ):
        return None
    return np.concatenate([bounds[..., 0], bounds[..., -1:, 1]], axis=-1)


def edges_either_way(bounds: NDArray[Any]) -> NDArray[Any] | None:
    """The edges of which bounds are made, also of bins in reverse order; None where they leave gaps or overlap.

    Examples
    --------
    >>> edges_either_way(np.array([[1.0, 3.0], [0.0, 1.0]]))
    array([3., 1., 0.])
    """
    edges = edges_of(bounds)
    return edges_of(np.flip(bounds, axis=-1)) if edges is None else edges


def are_middles(values: NDArray[Any], bounds: NDArray[Any]) -> bool:
    """Whether values are the middles of bins as their own type holds these; of times, within one tick.

    Examples
    --------
    >>> bounds = np.array([[0.1, 0.3], [0.3, 0.7]])
    >>> are_middles(np.array([0.2, 0.5], "f4"), bounds), are_middles(np.array([0.3, 0.5]), bounds)
    (True, False)
    """
    middles = middles_of(bounds)
    are_times = middles.dtype.kind in "mM"
    if values.dtype.kind not in (middles.dtype.kind if are_times else "iuf"):
        return False
    with np.errstate(invalid="ignore", over="ignore"):  # what the type doesn't hold equals no value
        middles = middles.astype(values.dtype)
    if not are_times:
        return np.array_equal(middles, values, equal_nan=values.dtype.kind == "f")
    are_none = np.isnat(values)
    ticks = (middles - values)[~are_none].astype(np.int64)
    return np.array_equal(np.isnat(middles), are_none) and bool((np.abs(ticks) <= 1).all())


def same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether numbers are of one type, in whichever byte order, and equal, those that are none included."""
    of_one_type = a.dtype.newbyteorder("=") == b.dtype.newbyteorder("=")
    return of_one_type and np.array_equal(a, b, equal_nan=a.dtype.kind in "fmM")
