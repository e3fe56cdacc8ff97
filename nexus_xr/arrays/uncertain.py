"""Values with the variances of their uncertainties, as one array."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike, NDArray

from nexus_xr.errors import NexusError

from .propagation import DERIVATIVES, Exact, Uncertain, propagated, refused, values_of, variances_of, with_variances
from .uncertain_functions import FUNCTIONS

# Called as the class of an array of NumPy, which flox does to group blocks of dask; its own loops know values alone.
_WHY_NOT_ALONE = (
    "an array with uncertainties isn't made of values alone; if it is flox that does so in groupby, have xarray group "
    "without it: xr.set_options(use_flox=False)"
)
_OF_VALUES = frozenset(
    {np.isnan, np.isfinite, np.isinf, np.signbit, np.sign, np.less, np.less_equal, np.greater, np.greater_equal}
)
# What NumPy makes of the operator ** with some exponents.
_FAST_POWERS = {2: np.square, 0.5: np.sqrt, -1: np.reciprocal}


class UncertainArray(NDArrayOperatorsMixin):
    """Values and their variances, which functions of NumPy propagate to first order.

    Operands count as independent of each other: the variance of ``x - x`` is twice that of ``x``. What can't be
    propagated is an error. xarray and dask take it as they take an array of NumPy; `numpy.asarray` gives the values.

    Parameters
    ----------
    values
        Real numbers, of any shape.
    variances
        The squares of their standard uncertainties, of the same shape, in the square of the values' unit.

    Raises
    ------
    NexusError
        They aren't real numbers of one shape, or the variances are missing.

    Examples
    --------
    >>> counts = UncertainArray(np.array([100.0, 400.0]), np.array([100.0, 400.0]))
    >>> counts / 2
    UncertainArray([ 50., 200.] ± [ 5., 10.])
    >>> counts.sum()
    UncertainArray(500. ± 22.36067977)
    """

    __slots__ = ("values", "variances")
    __array_priority__ = 100  # above arrays of NumPy, below those of dask

    def __init__(self, values: ArrayLike, variances: ArrayLike | None = None, **options: Any) -> None:
        if variances is None or options:
            raise NexusError(_WHY_NOT_ALONE)
        self.values = np.asarray(values)
        self.variances = np.asarray(variances)
        if self.values.dtype.kind not in "biuf" or self.variances.dtype.kind != "f":
            raise NexusError(
                f"values of {self.values.dtype} with variances of {self.variances.dtype}: expected real numbers"
            )
        if self.values.shape != self.variances.shape:
            raise NexusError(f"values of shape {self.values.shape} with variances of shape {self.variances.shape}")

    @property
    def errors(self) -> NDArray[Any]:
        """Standard uncertainties, in the unit of the values."""
        errors: NDArray[Any] = np.sqrt(self.variances)
        return errors

    # --- as an array -------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def ndim(self) -> int:
        return self.values.ndim

    @property
    def size(self) -> int:
        return self.values.size

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.variances.nbytes

    @property
    def itemsize(self) -> int:
        return self.values.itemsize + self.variances.itemsize

    @property
    def real(self) -> UncertainArray:
        return self

    @property
    def imag(self) -> NDArray[Any]:
        return np.zeros_like(self.values)

    @property
    def T(self) -> UncertainArray:  # noqa: N802
        return self.transpose()

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> UncertainArray:
        return type(self)(self.values[key], self.variances[key])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.values[key] = values_of(value)
        self.variances[key] = variances_of(value)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype, copy=copy)

    def __repr__(self) -> str:
        values, errors = (np.array2string(each, threshold=20, separator=", ") for each in (self.values, self.errors))
        return f"UncertainArray({values} ± {errors})"

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.values, self.variances)

    def astype(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """Values of another type; of one that isn't numbers, without uncertainties."""
        return _made(with_variances(self.values.astype(dtype, *args, **options), self.variances), type(self))

    def copy(self, order: Any = "C") -> UncertainArray:
        """Values and variances of its own."""
        return type(self)(np.copy(self.values), np.copy(self.variances))

    def reshape(self, *shape: Any, **options: Any) -> UncertainArray:
        """The same in another shape."""
        return type(self)(self.values.reshape(*shape, **options), self.variances.reshape(*shape, **options))

    def ravel(self, *args: Any, **options: Any) -> UncertainArray:
        """The same in one dimension, as functions of dask take it before those of NumPy."""
        return type(self)(self.values.ravel(*args, **options), self.variances.ravel(*args, **options))

    def transpose(self, *axes: Any) -> UncertainArray:
        """The same with its dimensions in another order."""
        return type(self)(self.values.transpose(*axes), self.variances.transpose(*axes))

    def conj(self) -> NoReturn:
        """What xarray asks of an array for a covariance, which can't be propagated."""
        raise refused("conjugate")

    def sum(self, axis: Any = None, **options: Any) -> UncertainArray:
        """Sum along axes."""
        summed: UncertainArray = np.sum(self, axis=axis, **options)
        return summed

    def mean(self, axis: Any = None, **options: Any) -> UncertainArray:
        """Mean along axes."""
        mean: UncertainArray = np.mean(self, axis=axis, **options)
        return mean

    # --- NumPy's protocols -------------------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        lazy = next((each for each in inputs if hasattr(each, "dask")), None)
        if lazy is not None:
            return _through_dask(lazy, ufunc, method, *inputs, **options)
        if not all(_is_known(each) for each in inputs):
            return NotImplemented
        if method == "reduce" and ufunc is np.add:
            return np.sum(*inputs, **options)
        [target] = options.pop("out", (None,))
        if isinstance(target, UncertainArray):
            target[...] = getattr(ufunc, method)(*inputs, **options)
            return target
        if method != "__call__" or options or target is not None:
            raise refused(_called(ufunc, method, options))
        if ufunc in (np.equal, np.not_equal):
            return _compared(ufunc, *inputs)
        if ufunc in _OF_VALUES:
            return ufunc(*map(values_of, inputs))
        if ufunc is np.power and self.dtype.kind == "f" and type(inputs[1]) in (int, float):
            ufunc, inputs = _FAST_POWERS.get(inputs[1], ufunc), inputs[: 1 if inputs[1] in _FAST_POWERS else 2]
        if ufunc not in DERIVATIVES:
            raise refused(ufunc.__name__)
        variances = [each.variances if isinstance(each, UncertainArray) else None for each in inputs]
        return _made(propagated(ufunc, [_plain(each) for each in inputs], variances), _kind_of(map(type, inputs)))

    def __array_function__(
        self, function: Callable[..., Any], types: Sequence[type], args: Any, options: Mapping[str, Any]
    ) -> Any:
        if not all(issubclass(each, UncertainArray | np.ndarray) for each in types):
            return NotImplemented
        if function not in FUNCTIONS:
            raise refused(function.__name__)
        return _made(FUNCTIONS[function](*args, **options), _kind_of(types))


class ExactArray(UncertainArray):
    """Values without uncertainties that were made to stand beside such with; beside plain ones, they are plain."""

    __slots__ = ()

    @property
    def is_exact(self) -> bool:
        """Whether it still is: uncertain values may have been written into it."""
        return not (self.variances > 0).any()


def _kind_of(types: Iterable[type]) -> type[UncertainArray]:
    """What is made of arrays of such types: exact, if all of them are."""
    return UncertainArray if UncertainArray in types else ExactArray


def _made(result: Any, kind: type[UncertainArray]) -> Any:
    if not isinstance(result, Uncertain):
        return result
    return (ExactArray if isinstance(result, Exact) else kind)(*result)


def _through_dask(lazy: Any, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """What dask makes of it, which takes arrays of classes that it doesn't know for somebody else's."""
    import dask.array as da

    da.register_chunk_type(UncertainArray)
    return lazy.__array_ufunc__(ufunc, method, *inputs, **options)


def _called(ufunc: np.ufunc, method: str, options: Mapping[str, Any]) -> str:
    name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
    called = f"{name} with {', '.join(sorted(options))}" if options else name
    is_numpys = getattr(np, ufunc.__name__, None) is ufunc
    return called if is_numpys else f"{called} (if it is numbagg's, NumPy may do: xr.set_options(use_numbagg=False))"


def _is_known(operand: Any) -> bool:
    return isinstance(operand, UncertainArray | np.ndarray | np.generic | int | float)


def _plain(operand: Any) -> Any:
    return operand.values if isinstance(operand, UncertainArray) else operand


def _compared(ufunc: np.ufunc, one: Any, other: Any) -> Any:
    """Arrays are equal where their uncertainties are, too, of which plain arrays have none, and single numbers any.

    By that xarray sees that a plain array isn't the same as one with uncertainties. Unknown uncertainties, which are
    NaN, are equal to each other, as xarray takes missing values for equal.
    """
    compared = ufunc(values_of(one), values_of(other))
    if not all(isinstance(each, UncertainArray | np.ndarray) for each in (one, other)):
        return compared
    if one.size != other.size and 1 in (one.size, other.size):  # a number of xarray's, which has dimensions by now
        return compared
    mine, others = (variances_of(each) if isinstance(each, UncertainArray) else 0 for each in (one, other))
    are_same = (mine == others) | (np.isnan(mine) & np.isnan(others))
    return compared & are_same if ufunc is np.equal else compared | ~are_same
