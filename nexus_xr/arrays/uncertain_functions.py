"""NumPy's functions of arrays with uncertainties: those that move values, that add them up, and that ask about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .propagation import Exact, Uncertain, is_uncertain, refused, values_of, variances_of, with_variances


def _moving(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that puts values elsewhere, and variances with them."""

    def moved(array: Any, *args: Any, **options: Any) -> Uncertain:
        return Uncertain(function(array.values, *args, **options), function(array.variances, *args, **options))

    return moved


def _joining(function: Callable[..., Any]) -> Callable[..., Any]:
    """One that puts arrays together."""

    def joined(arrays: Any, *args: Any, **options: Any) -> Any:
        arrays = list(arrays)
        values, variances = ([part(each) for each in arrays] for part in (values_of, variances_of))
        if _are_plain(arrays):
            return function(values, *args, **options)
        options.pop("dtype", None)
        return Uncertain(function(values, *args, **options), function(variances, *args, **options))

    return joined


def _are_plain(arrays: list[Any]) -> bool:
    """Whether plain arrays are among them, beside none but exact ones.

    So dask puts the ends that it pads an array with to blocks that turned out to have values alone.
    """
    plain = [each for each in arrays if not is_uncertain(each) and np.ndim(each) > 0]
    exact = [each for each in arrays if getattr(each, "is_exact", False)]
    return bool(plain) and len(plain) + len(exact) == len(arrays)


def _asking(function: Callable[..., Any]) -> Callable[..., Any]:
    """One whose answer is about the values."""

    def asked(*args: Any, **options: Any) -> Any:
        return function(*(values_of(each) if is_uncertain(each) else each for each in args), **options)

    return asked


def _adding(function: Callable[..., Any]) -> Callable[..., Any]:
    """One that adds values up, and so their variances."""

    def added(array: Any, axis: Any = None, dtype: Any = None, out: None = None, **options: Any) -> Any:
        values = function(array.values, axis=axis, dtype=dtype, **options)
        return Uncertain(values, function(array.variances, axis=axis, **options))

    return added


def _mean(array: Any, axis: Any = None, dtype: Any = None, out: None = None, **options: Any) -> Any:
    values = np.mean(array.values, axis=axis, dtype=dtype, **options)
    number = array.size / max(np.size(values), 1)
    return Uncertain(values, np.mean(array.variances, axis=axis, **options) / number)


def _nanmean(array: Any, axis: Any = None, dtype: Any = None, out: None = None, **options: Any) -> Any:
    counted = ~np.isnan(array.values)
    number = np.sum(counted, axis=axis, dtype=array.variances.dtype, **options)
    summed = np.sum(array.variances, axis=axis, where=counted, **options)
    with np.errstate(invalid="ignore", divide="ignore"):
        variances = summed / number**2
    return Uncertain(np.nanmean(array.values, axis=axis, dtype=dtype, **options), variances)


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    """One that picks a value, and so its variance; of equal ones the largest."""

    def picked(array: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Uncertain:
        values = function(array.values, axis=axis, keepdims=True)
        variances = np.where(array.values == values, array.variances, 0)
        picked = function(array.values, axis=axis, keepdims=keepdims)
        return Uncertain(picked, np.max(variances, axis=axis, keepdims=keepdims))

    return picked


def _where(condition: Any, *choices: Any) -> Any:
    if len(choices) != 2 or _are_plain(list(choices)):
        return np.where(values_of(condition), *map(values_of, choices))
    return Uncertain(*(np.where(values_of(condition), *map(part, choices)) for part in (values_of, variances_of)))


def _pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Uncertain:
    """Ends of exact constants, of values from elsewhere, or of what is found in values."""
    if mode in _FOUND:
        return _padded_with(_FOUND[mode], array, pad_width, mode, options.get("stat_length"))
    if mode == "constant":
        constants = options.get("constant_values", 0)
        values = np.pad(array.values, pad_width, constant_values=values_of(constants))
        return Uncertain(values, np.pad(array.variances, pad_width, constant_values=variances_of(constants)))
    if mode not in _PADDED_FROM_ELSEWHERE or options.get("reflect_type", "even") != "even":
        raise refused(f"pad with {mode}")
    return Uncertain(*(np.pad(part, pad_width, mode, **options) for part in (array.values, array.variances)))


_PADDED_FROM_ELSEWHERE = ("edge", "reflect", "symmetric", "wrap")
_FOUND: dict[str, Callable[..., Any]] = {"mean": np.mean, "maximum": np.max, "minimum": np.min}


def _padded_with(function: Callable[..., Any], array: Any, pad_width: Any, mode: Any, number: Any) -> Uncertain:
    """One axis after the other, as NumPy does it, so that corners are found in ends."""
    padded = array
    pairs = zip(_pairs(pad_width, array.ndim), _pairs(number, array.ndim), strict=True)
    for axis, ((before, after), (first, last)) in enumerate(pairs):
        inner = np.moveaxis(padded, axis, 0)
        found = (function(part, axis=0, keepdims=True) for part in (inner[:first], inner[::-1][:last]))
        ends = [np.repeat(end, width, axis=0) for end, width in zip(found, (before, after), strict=True)]
        padded = np.moveaxis(np.concatenate([ends[0], inner, ends[1]]), 0, axis)
    options: Any = {} if number is None else {"stat_length": number}
    return Uncertain(np.pad(array.values, pad_width, mode, **options), padded.variances)


def _pairs(given: Any, ndim: int) -> list[list[Any]]:
    """For each axis, what is given for its beginning and its end."""
    pairs: list[list[Any]] = np.broadcast_to(given, (ndim, 2)).tolist()
    return pairs


def _einsum(subscripts: str, *operands: Any, **options: Any) -> Uncertain:
    """Sums of products: each uncertain factor's variance times the squares of the others, summed in the same way."""
    values = [values_of(each) for each in operands]
    variances = 0
    for place, each in enumerate(operands):
        if is_uncertain(each):
            squares = [
                each.variances if at == place else np.square(np.asarray(value, float))
                for at, value in enumerate(values)
            ]
            variances = variances + np.einsum(subscripts, *squares)
    return Uncertain(np.einsum(subscripts, *values, **options), np.asarray(variances, float))


def _like(function: Callable[..., Any]) -> Callable[..., Any]:
    """One that makes exact values in the shape of others.

    In another shape they are a plain array: so dask makes constants to go with blocks, which may have values alone.
    """

    def made(array: Any, *args: Any, **options: Any) -> Any:
        values = function(values_of(array), *args, **options)
        if "shape" in options and function is not np.empty_like:  # which is filled
            return values
        return with_variances(values, _zeros_like(values, variances_of(array).dtype))

    return made


def _zeros_like(array: NDArray[Any], dtype: Any = None, *args: Any, **options: Any) -> NDArray[Any]:
    """Zeros laid out as others: where these lie in order, in memory that is zero from the first, and is only read."""
    if args or options or not array.flags.c_contiguous:
        return np.zeros_like(array, dtype, *args, **options)
    return np.zeros(array.shape, array.dtype if dtype is None else dtype)


def _converting(function: Callable[..., Any]) -> Callable[..., Any]:
    """One that makes an array of what is given, to go with arrays with uncertainties."""

    def converted(array: Any, *args: Any, **options: Any) -> Any:
        values = function(values_of(array), *args, **options)
        made = with_variances(values, np.array(variances_of(array)).reshape(values.shape))
        return made if is_uncertain(array) or not isinstance(made, Uncertain) else Exact(*made)

    return converted


_MOVING = (
    np.broadcast_to,
    np.copy,
    np.expand_dims,
    np.flip,
    np.lib.stride_tricks.sliding_window_view,
    np.moveaxis,
    np.ravel,
    np.real,
    np.repeat,
    np.reshape,
    np.roll,
    np.squeeze,
    np.swapaxes,
    np.take,
    np.tile,
    np.transpose,
)
_ASKING = (
    np.argmax,
    np.argmin,
    np.array_repr,
    np.can_cast,
    np.imag,
    np.isclose,
    np.iscomplexobj,
    np.isrealobj,
    np.may_share_memory,
    np.nanargmax,
    np.nanargmin,
    np.ndim,
    np.result_type,
    np.shape,
    np.size,
)

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    **{function: _moving(function) for function in _MOVING},
    **{function: _asking(function) for function in _ASKING},
    **{function: _joining(function) for function in (np.concatenate, np.stack)},
    **{function: _adding(function) for function in (np.sum, np.nansum, np.cumsum, np.nancumsum)},
    **{function: _converting(function) for function in (np.array, np.asarray, np.asanyarray)},
    **{function: _like(function) for function in (np.ones_like, np.empty_like, np.full_like)},
    np.zeros_like: _like(_zeros_like),
    **{function: _extreme(function) for function in (np.max, np.min, np.nanmax, np.nanmin)},
    np.mean: _mean,
    np.nanmean: _nanmean,
    np.pad: _pad,
    np.where: _where,
    np.einsum: _einsum,
}
