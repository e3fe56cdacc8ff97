"""What values are reduced to: what is known of some of them, of others besides, and what comes of it in the end.

What is known is a tuple of arrays of the result's shape, to which blocks of values are added one by one. Sums of
integers are exact or wrap around as NumPy's do; of floats they are kept in double precision and rounded at the end.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.runtime.memory import empty

from .masks import Mask, counts_of
from .one_pass import add_in_one_pass

Array = NDArray[Any]
State = tuple[Array, ...]
# Integers of so many bytes have squares whose sums over a block are exact in 64 bits.
_EXACT_SQUARES = 2
# And of so many of them in all.
_MOST_EXACT = 1 << 32
# So many elements of what is known are joined at once.
_STRIP = 1 << 13


class Addends(NamedTuple):
    """Values that are added at once.

    Parameters
    ----------
    values
        With all dimensions; they may be overwritten.
    axes
        Along which they are reduced.
    kept
        Which of them count; None for all.
    """

    values: Array
    axes: tuple[int, ...]
    kept: Mask | None

    @property
    def counts(self) -> Any:
        """How many of them count, for each part of the result, or for all of them alike."""
        return counts_of(self.values.shape, self.axes, self.kept)

    def add_to(self, operation: str, known: State, neutral: Any = None, limit: Array | None = None) -> bool:
        """Add them in one pass as `add_in_one_pass` does, with a value that changes nothing where it needs one."""
        if add_in_one_pass(operation, self.values, self.axes, self.kept, known, limit):
            return True
        if self.kept is None or neutral is None:
            return False
        return add_in_one_pass(operation, self.neutral(neutral), self.axes, None, known, limit)

    def neutral(self, value: Any) -> Array:
        """The values, and this one in place of those that don't count."""
        if self.kept is not None:
            self.kept.put(self.values, value)
        return self.values


class Operation(ABC):
    """A way to reduce values of one dtype."""

    # What is known of an image is larger than a frame, and goes through memory for each block: of so many at once.
    blocks_together: ClassVar[int] = 1

    @abstractmethod
    def start(self, shape: tuple[int, ...], most: int | None = None) -> State:
        """What is known of no values at all.

        Parameters
        ----------
        shape
            Shape of the result.
        most
            How many values at most are going to be added, of each part of it; None where that isn't known.
        """

    @abstractmethod
    def add(self, state: State, addends: Addends) -> None:
        """Have values in what is known."""

    @abstractmethod
    def add_constant(self, state: State, value: Any, counts: Any) -> None:
        """Have so many values that are all the same in what is known."""

    @abstractmethod
    def merge(self, state: State, other: State) -> None:
        """Have in what is known what is known of other values."""

    @abstractmethod
    def finish(self, state: State, counts: Any) -> Array:
        """The result, of so many values."""


def _combine(ufunc: np.ufunc, total: Array, values: Array, axes: tuple[int, ...]) -> None:
    """Reduce values, and have the result in what there is."""
    if all(values.shape[axis] == 1 for axis in axes):
        ufunc(total, values.reshape(total.shape), out=total, casting="unsafe")
    else:
        ufunc(total, ufunc.reduce(values, axis=axes, dtype=total.dtype), out=total)


def _filled(shape: tuple[int, ...], value: Any, dtype: np.dtype[Any]) -> Array:
    """An array of one value, in memory that is used again."""
    array = empty(shape, dtype)
    array[...] = value
    return array


def _add_up(state: State, other: State) -> None:
    for known, more in zip(state, other, strict=True):
        if not add_in_one_pass("sum", more[np.newaxis], (0,), None, (known,)):
            np.add(known, more, out=known)


def _fits_half(dtype: np.dtype[Any], most: int | None) -> bool:
    """Whether 32 bits hold the sum of so many integers."""
    return most is not None and dtype.kind in "iu" and _largest(dtype) * most < 1 << 31


def _times(value: Any, counts: Any, dtype: np.dtype[Any]) -> Any:
    """A value so often, also where it is infinite and none."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(counts, np.asarray(value, dtype) * np.asarray(counts).astype(dtype), dtype.type(0))


@dataclass(frozen=True)
class Sum(Operation):
    """The sum.

    Parameters
    ----------
    values
        Of what.
    dtype
        In which it is kept.
    result
        What it is given as.
    """

    values: np.dtype[Any]
    dtype: np.dtype[Any]
    result: np.dtype[Any]

    @classmethod
    def of(cls, dtype: np.dtype[Any], count: int) -> Sum:
        """The sum of so many values as NumPy gives it."""
        result = np.add.reduce(np.zeros(1, dtype)).dtype
        return cls(dtype, result if dtype.kind in "biu" else np.result_type(dtype, np.float64), result)

    def start(self, shape: tuple[int, ...], most: int | None = None) -> State:
        is_half = self.dtype.kind in "iu" and _fits_half(self.values, most)
        return (_filled(shape, 0, np.dtype(f"{self.dtype.kind}4") if is_half else self.dtype),)

    def add(self, state: State, addends: Addends) -> None:
        is_alike = (self.values.kind in "biu") == (self.dtype.kind in "iu")
        if not (is_alike and addends.add_to("sum", state, neutral=0)):
            _combine(np.add, state[0], addends.neutral(0), addends.axes)

    def add_constant(self, state: State, value: Any, counts: Any) -> None:
        np.add(state[0], _times(value, counts, self.dtype), out=state[0])

    def merge(self, state: State, other: State) -> None:
        _add_up(state, other)

    def finish(self, state: State, counts: Any) -> Array:
        return state[0].astype(self.result, copy=False)


@dataclass(frozen=True)
class Mean(Sum):
    """The mean: of integers that of their exact sum where 64 bits hold it."""

    @classmethod
    def of(cls, dtype: np.dtype[Any], count: int) -> Mean:
        result = np.dtype(np.float64) if dtype.kind in "biu" else dtype.newbyteorder("=")
        total = Sum.of(dtype, count).dtype
        is_exact = dtype.kind in "biu" and _largest(dtype) * count < 1 << 63
        return cls(dtype, total if is_exact else np.result_type(result, np.float64), result)

    def finish(self, state: State, counts: Any) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.true_divide(state[0], counts)).astype(self.result)


def _largest(dtype: np.dtype[Any]) -> int:
    if dtype.kind == "b":
        return 1
    limits = np.iinfo(dtype)
    return max(int(limits.max), -int(limits.min))


@dataclass(frozen=True)
class Extreme(Operation):
    """The least or the greatest value, or NaN where one is.

    Parameters
    ----------
    ufunc
        Gives the one of two.
    neutral
        What no value is beyond.
    """

    ufunc: np.ufunc
    neutral: Any

    @classmethod
    def least(cls, dtype: np.dtype[Any], count: int) -> Extreme:
        return cls(np.minimum, _ends(dtype)[1])

    @classmethod
    def greatest(cls, dtype: np.dtype[Any], count: int) -> Extreme:
        return cls(np.maximum, _ends(dtype)[0])

    def start(self, shape: tuple[int, ...], most: int | None = None) -> State:
        return (_filled(shape, self.neutral, self.neutral.dtype),)

    def add(self, state: State, addends: Addends) -> None:
        if not addends.add_to("least" if self.ufunc is np.minimum else "greatest", state, neutral=self.neutral):
            _combine(self.ufunc, state[0], addends.neutral(self.neutral), addends.axes)

    def add_constant(self, state: State, value: Any, counts: Any) -> None:
        self.ufunc(state[0], value, out=state[0], where=np.broadcast_to(np.asarray(counts) > 0, state[0].shape))

    def merge(self, state: State, other: State) -> None:
        self.ufunc(state[0], other[0], out=state[0])

    def finish(self, state: State, counts: Any) -> Array:
        if np.size(state[0]) and not np.all(counts):
            raise NexusError("nothing has neither a least nor a greatest value; choose what counts (where) otherwise")
        return state[0]


def _ends(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """What no value of a dtype is below, and above."""
    if dtype.kind == "b":
        return np.False_, np.True_
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    if dtype.kind not in "iu":
        raise NexusError(f"values of type {dtype} have neither a least nor a greatest; take their real part")
    limits = np.iinfo(dtype)
    return dtype.type(limits.min), dtype.type(limits.max)


@dataclass(frozen=True)
class CountAbove(Operation):
    """How many values are above a threshold."""

    threshold: Any

    def start(self, shape: tuple[int, ...], most: int | None = None) -> State:
        is_half = most is not None and most < 1 << 31
        return (_filled(shape, 0, np.dtype(np.int32 if is_half else np.int64)),)

    def add(self, state: State, addends: Addends) -> None:
        limit = _same_limit(self.threshold, addends.values.dtype)
        if limit is not None and addends.add_to("count", state, neutral=limit, limit=limit):
            return
        above = addends._replace(values=addends.values > self.threshold).neutral(False)
        if len(addends.axes) == above.ndim:
            np.add(state[0], np.count_nonzero(above), out=state[0])
        else:
            _combine(np.add, state[0], above, addends.axes)

    def add_constant(self, state: State, value: Any, counts: Any) -> None:
        if value > self.threshold:
            np.add(state[0], counts, out=state[0])

    def merge(self, state: State, other: State) -> None:
        _add_up(state, other)

    def finish(self, state: State, counts: Any) -> Array:
        return state[0].astype(np.int64, copy=False)


def _same_limit(threshold: Any, dtype: np.dtype[Any]) -> Array | None:
    """The threshold among the values of a dtype that as many are above; None where that isn't plain."""
    if dtype.kind in "iu" and isinstance(threshold, int | float | np.integer | np.floating) and np.isfinite(threshold):
        limits = np.iinfo(dtype)
        whole = math.floor(threshold)
        return np.array(whole, dtype) if limits.min <= whole <= limits.max else None
    is_same = type(threshold) in (int, float) or getattr(threshold, "dtype", None) == dtype
    return np.array(threshold, dtype) if dtype.kind == "f" and is_same and np.ndim(threshold) == 0 else None


@dataclass(frozen=True)
class ExactDeviation(Operation):
    """The standard deviation of small integers, of a whole population: kept as their sum and that of their squares.

    Parameters
    ----------
    total
        The sum.
    """

    total: Sum

    blocks_together = 4

    def start(self, shape: tuple[int, ...], most: int | None = None) -> State:
        return *self.total.start(shape, most), _filled(shape, 0, np.dtype(np.uint64))

    def add(self, state: State, addends: Addends) -> None:
        if not addends.add_to("moments", state, neutral=0):
            values = addends.neutral(0)
            _combine(np.add, state[0], values, addends.axes)
            _combine(np.add, state[1], np.multiply(values, values, dtype=np.uint32, casting="unsafe"), addends.axes)

    def add_constant(self, state: State, value: Any, counts: Any) -> None:
        self.total.add_constant(state, value, counts)
        np.add(state[1], np.uint64(int(value) ** 2) * np.asarray(counts, np.uint64), out=state[1])

    def merge(self, state: State, other: State) -> None:
        _add_up(state, other)

    def finish(self, state: State, counts: Any) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(exact_spread(state, counts)[1] / counts))


def exact_spread(state: State, counts: Any) -> tuple[Array, Array]:
    """Mean, and sum of squares around it, of so many integers whose sum and that of whose squares are known."""
    total, squares = (part.astype(np.int64) for part in state)
    counts = np.maximum(counts, 1)
    with np.errstate(over="ignore"):  # what is left is small
        whole, rest = np.divmod(total, counts)
        return total / counts, (squares - whole * (total + rest)) - rest * (rest / counts)


@dataclass(frozen=True)
class Deviation(Operation):
    """The standard deviation of a whole population, kept as count, mean and sum of squares around that.

    Source: T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", 1979.
    """

    result: np.dtype[Any]

    blocks_together = 4

    @classmethod
    def of(cls, dtype: np.dtype[Any], count: int) -> Deviation | ExactDeviation:
        """That of so many values."""
        if dtype.kind == "c":
            raise NexusError(f"a standard deviation of values of type {dtype} is none of this; take their real part")
        if dtype.kind in "biu" and dtype.itemsize <= _EXACT_SQUARES and count <= _MOST_EXACT:
            return ExactDeviation(Sum.of(dtype, count))
        return cls(dtype.newbyteorder("=") if dtype.kind == "f" else np.dtype(np.float64))

    def start(self, shape: tuple[int, ...], most: int | None = None) -> State:
        return tuple(_filled(shape, 0, np.dtype(np.float64)) for _ in range(3))

    def add(self, state: State, addends: Addends) -> None:
        self.merge(state, (np.asarray(addends.counts, np.float64), *self._spread(addends, state[0].shape)))

    def _spread(self, addends: Addends, shape: tuple[int, ...]) -> State:
        dtype = addends.values.dtype
        if dtype.kind in "biu" and dtype.itemsize <= _EXACT_SQUARES:
            exact = ExactDeviation(Sum.of(dtype, addends.values.size))
            found = exact.start(shape)
            exact.add(found, addends)
            return exact_spread(found, addends.counts)
        known = tuple(_filled(shape, 0, np.dtype(np.float64)) for _ in range(2))
        return known if addends.add_to("spread", known) else _spread(addends)

    def add_constant(self, state: State, value: Any, counts: Any) -> None:
        self.merge(state, (np.asarray(counts, np.float64), np.asarray(value, np.float64), np.zeros(())))

    def merge(self, state: State, other: State) -> None:
        for known, more in _strips(state, other):
            _join(known, more)

    def finish(self, state: State, counts: Any) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.sqrt(state[2] / counts)).astype(self.result)


def _strips(state: State, other: State) -> Iterator[tuple[State, State]]:
    """Both in parts that a core's cache holds, where they can be taken apart."""
    size = state[0].size
    if size <= _STRIP or not all(part.flags.c_contiguous for part in (*state, *other)):
        yield state, other
        return
    known, more = ([part.reshape(-1) for part in parts] for parts in (state, other))
    for begin in range(0, size, _STRIP):
        strip = slice(begin, begin + _STRIP)
        yield tuple(part[strip] for part in known), tuple(part[strip] if part.size > 1 else part for part in more)


def _join(known: State, more: State) -> None:
    """Have in what is known of some values what is known of others: count, mean and sum of squares around that."""
    count, mean, spread = known
    its_count, its_mean, its_spread = more
    both = count + its_count
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = np.where(its_count, its_mean - mean, 0.0)
        share = np.where(both, its_count / both, 0.0)
        spread += np.where(its_count, its_spread, 0.0) + np.where(count * its_count, apart**2 * count * share, 0.0)
        mean += apart * share
    count += its_count


def _spread(addends: Addends) -> tuple[Array, Array]:
    """Mean, and sum of squares around it, in two passes."""
    values, counts = addends.neutral(0).astype(np.float64), np.maximum(addends.counts, 1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.add.reduce(values, axis=addends.axes, keepdims=True) / _with_axes(counts, addends.axes, values.ndim)
        apart = addends._replace(values=values - mean).neutral(0)
        return mean.reshape(_kept_shape(values.shape, addends.axes)), np.add.reduce(apart * apart, axis=addends.axes)


def _with_axes(counts: Any, axes: tuple[int, ...], ndim: int) -> Any:
    return counts if np.ndim(counts) == 0 else np.expand_dims(counts, axes)


def _kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for axis, size in enumerate(shape) if axis not in axes)


# By name, what makes the operation for values of a dtype, so many of which come together.
OPERATIONS: dict[str, Callable[[np.dtype[Any], int], Operation]] = {
    "sum": Sum.of,
    "mean": Mean.of,
    "min": Extreme.least,
    "max": Extreme.greatest,
    "std": Deviation.of,
}
