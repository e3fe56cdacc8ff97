"""Variances of what elementwise functions give, to first order, of operands that don't depend on each other.

The variance of f(x, y) is (df/dx)**2 * var(x) + (df/dy)**2 * var(y).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusError

from .compiled import IN_ONE_PASS, TYPES


class Uncertain(NamedTuple):
    """Values and their variances."""

    values: NDArray[Any]
    variances: NDArray[Any]


class Exact(Uncertain):
    """Values made to stand beside uncertain ones, whose variances are zero."""

    __slots__ = ()


def is_uncertain(array: Any) -> bool:
    """Whether an array has variances."""
    return hasattr(array, "variances")


def values_of(array: Any) -> NDArray[Any]:
    """The values of an array that may have variances."""
    return np.asarray(array.values if is_uncertain(array) else array)


def variances_of(array: Any) -> NDArray[Any]:
    """The variances of an array; those of exact values are zero, and of what isn't there there are none."""
    if is_uncertain(array):
        variances: NDArray[Any] = array.variances
        return variances
    exact = np.asarray(array)
    return np.where(np.isnan(exact), np.nan, 0).astype(np.result_type(np.float32, exact.dtype))


def with_variances(values: NDArray[Any], variances: NDArray[Any]) -> Uncertain | NDArray[Any]:
    """Values with their variances; what isn't numbers has none."""
    return Uncertain(values, variances) if values.dtype.kind in "iuf" else values


def refused(name: str) -> NexusError:
    """The error for what can't be propagated."""
    return NexusError(
        f"uncertainties can't be propagated through {name}; take .nexus.values, and treat the uncertainties yourself"
    )


# So many values at a time stay in a core's cache from one step of a formula to the next.
_TOGETHER = 1 << 14
# Where a formula has one step alone, or takes all of them at once, memory is read the better, the more is at a time.
_TOGETHER_AT_ONCE = 1 << 16
_LN_2, _LN_10 = float(np.log(2)), float(np.log(10))
_DEGREE = float(np.deg2rad(1))


def _slope_of_power(x: Any, y: Any, _: Any) -> Any:
    """The derivative of a power by its base: 0 for an exponent of 0, at a base of 0 as well."""
    return y * x ** (y - (y != 0))


# The derivative by one operand, of all operands and the result; 1 where it is 1 or -1, whose sign doesn't matter.
Derivative = Callable[..., Any] | int

DERIVATIVES: dict[np.ufunc, tuple[Derivative, ...]] = {
    np.add: (1, 1),
    np.subtract: (1, 1),
    np.multiply: (lambda x, y, f: y, lambda x, y, f: x),
    np.divide: (1, lambda x, y, f: f),
    np.power: (_slope_of_power, lambda x, y, f: f * np.log(x)),
    np.float_power: (_slope_of_power, lambda x, y, f: f * np.log(x)),
    np.negative: (1,),
    np.positive: (1,),
    np.absolute: (1,),
    np.fabs: (1,),
    np.reciprocal: (lambda x, f: f * f,),
    np.square: (lambda x, f: 2 * x,),
    np.sqrt: (lambda x, f: 0.5 / f,),
    np.exp: (lambda x, f: f,),
    np.expm1: (lambda x, f: f + 1,),
    np.log: (lambda x, f: 1 / x,),
    np.log1p: (lambda x, f: 1 / (x + 1),),
    np.log2: (lambda x, f: 1 / (x * _LN_2),),
    np.log10: (lambda x, f: 1 / (x * _LN_10),),
    np.deg2rad: (lambda x, f: _DEGREE,),
    np.rad2deg: (lambda x, f: 1 / _DEGREE,),
    np.sin: (lambda x, f: np.cos(x),),
    np.cos: (lambda x, f: np.sin(x),),
    np.tan: (lambda x, f: 1 + f * f,),
    np.arcsin: (lambda x, f: 1 / np.sqrt(1 - x * x),),
    np.arccos: (lambda x, f: 1 / np.sqrt(1 - x * x),),
    np.arctan: (lambda x, f: 1 / (1 + x * x),),
}

# What all derivatives of a function are divided by, where they have that in common.
DIVISORS: dict[np.ufunc, Callable[..., Any]] = {np.divide: lambda x, y, f: y}


def propagated(ufunc: np.ufunc, values: Sequence[Any], variances: Sequence[NDArray[Any] | None]) -> Uncertain:
    """What one of the functions above gives, as NumPy gives it, and its variance; operands without one are exact.

    Examples
    --------
    >>> propagated(np.multiply, (2.0, np.array([3.0])), (None, np.array([0.5])))
    Uncertain(values=array([6.]), variances=array([2.]))
    """
    of_variance = np.result_type(np.float32, *(each.dtype for each in variances if each is not None))
    *of_values, of_result = ufunc.resolve_dtypes((*map(_kind_of, values), None))
    numbers = [None if np.ndim(each) else dtype.type(each) for dtype, each in zip(of_values, values, strict=True)]
    arrays = [(each, dtype) for each, dtype, number in zip(values, of_values, numbers, strict=True) if number is None]
    known = [(each, of_variance) for each in variances if each is not None]
    given, made = [*arrays, *known], [of_result, of_variance]
    fill = _one_pass(ufunc, given, made)
    if fill is not None:
        return _filled(fill, given, made)
    derivatives = DERIVATIVES[ufunc]
    is_one_step = not any(map(callable, derivatives)) and len({np.shape(each) for each, _ in arrays}) == 1
    together = _TOGETHER_AT_ONCE if is_one_step else _TOGETHER
    spare = np.empty(together, of_variance)
    with _pieces(given, made, together) as pieces, np.errstate(all="ignore"):
        for *parts, result, variance in pieces:
            rest = iter(parts)
            operands = [next(rest) if number is None else number for number in numbers]
            own = [None if each is None else next(rest) for each in variances]
            ufunc(*operands, out=result)
            arguments = [each.astype(of_variance, copy=False) for each in (*operands, result)]
            room = spare[: variance.size]
            _sum_terms(derivatives, own, arguments, variance, room)
            if ufunc in DIVISORS:
                variance /= np.square(DIVISORS[ufunc](*arguments), out=room)
        return Uncertain(*pieces.operands[-2:])


def _one_pass(
    ufunc: np.ufunc, given: Sequence[tuple[Any, np.dtype[Any]]], made: Sequence[np.dtype[Any]]
) -> Callable[..., None] | None:
    """What does it in one pass: for uncertain arrays alone, all of one of its types."""
    types = {*made, *(dtype for _, dtype in given)}
    return IN_ONE_PASS.get(ufunc) if len(given) == 2 * ufunc.nin and len(types) == 1 and types <= TYPES else None


def _filled(
    fill: Callable[..., None], given: Sequence[tuple[Any, np.dtype[Any]]], made: Sequence[np.dtype[Any]]
) -> Uncertain:
    """What it fills, piece by piece."""
    with _pieces(given, made, _TOGETHER_AT_ONCE, "contig", "aligned") as pieces:
        for parts in pieces:
            fill(*parts)
        return Uncertain(*pieces.operands[-2:])


def _pieces(
    given: Sequence[tuple[Any, np.dtype[Any]]], made: Sequence[np.dtype[Any]], together: int, *laid_out: str
) -> np.nditer:
    """Arrays of these types, broadcast, piece by piece with those that are to be made of them."""
    pieces: np.nditer = np.nditer(  # type: ignore[call-overload]
        [*(array for array, _ in given), *[None] * len(made)],
        ["external_loop", "buffered", "zerosize_ok"],
        [*[["readonly", *laid_out]] * len(given), *[["writeonly", "allocate", *laid_out]] * len(made)],
        op_dtypes=[*(dtype for _, dtype in given), *made],
        casting="same_kind",
        buffersize=together,
    )
    return pieces


def _kind_of(value: Any) -> Any:
    """What NumPy goes by to choose types: that of an array, or that a number is Python's."""
    return type(value) if type(value) in (int, float) else np.asarray(value).dtype


def _sum_terms(
    derivatives: Sequence[Derivative],
    own: Sequence[NDArray[Any] | None],
    arguments: Sequence[NDArray[Any]],
    variance: NDArray[Any],
    spare: NDArray[Any],
) -> None:
    """The operands' own variances times the squares of derivatives, added up in place."""
    terms: list[NDArray[Any]] = []
    for derivative, each in zip(derivatives, own, strict=True):
        if each is None:
            continue
        if callable(derivative):
            slope, term = derivative(*arguments), spare if terms else variance
            np.multiply(each, slope, out=term)
            term *= slope
            terms.append(term)
        else:
            terms.append(each)
    if len(terms) > 1:
        np.add(terms[0], terms[1], out=variance)
    elif terms[0] is not variance:
        variance[...] = terms[0]
