"""Uncertainties are propagated to first order, and nothing else is called uncertainties."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import nexus_xr
from nexus_xr.arrays import propagation
from nexus_xr.arrays.propagation import DERIVATIVES, propagated
from nexus_xr.arrays.uncertain import ExactArray, UncertainArray
from nexus_xr.diagnostics import Code
from nexus_xr.writing import storing
from nexus_xr.writing.changes import region

from .files import scan_file, write_tree


@pytest.fixture(autouse=True, scope="module")
def _without_accelerators() -> Iterator[None]:
    with xr.set_options(use_flox=False, use_numbagg=False, use_bottleneck=False):
        yield


STEP = 1e-6
SHAPE = (3, 4)


def numbers(lowest: float = 0.25, highest: float = 0.75, shape: Any = SHAPE) -> st.SearchStrategy[NDArray[Any]]:
    return hnp.arrays(np.float64, shape, elements=st.floats(lowest, highest, width=32))


def uncertain(shape: Any = SHAPE) -> st.SearchStrategy[UncertainArray]:
    return st.builds(UncertainArray, numbers(shape=shape), numbers(0, 0.5, shape))


def assert_propagated(got: Any, function: Callable[..., Any], *operands: Any) -> None:
    """The values are those of the function, and the variances the sum over all elements of numerical derivatives."""
    assert isinstance(got, UncertainArray)
    values = [np.asarray(each) for each in operands]
    expected = function(*values)
    np.testing.assert_array_equal(got.values, expected)
    variances = np.zeros(np.shape(expected))
    for place, operand in enumerate(operands):
        for at in np.ndindex(np.shape(operand)) if isinstance(operand, UncertainArray) else ():
            moved = [[each.copy() for each in values] for _ in range(2)]
            moved[0][place][at] += STEP
            moved[1][place][at] -= STEP
            derivative = (function(*moved[0]) - function(*moved[1])) / (2 * STEP)
            variances += derivative**2 * operand.variances[at]
    np.testing.assert_allclose(got.variances, variances, rtol=1e-4, atol=1e-9)


ONE = [ufunc for ufunc in DERIVATIVES if ufunc.nin == 1]
TWO = [ufunc for ufunc in DERIVATIVES if ufunc.nin == 2]


@pytest.mark.parametrize("ufunc", ONE, ids=lambda ufunc: ufunc.__name__)
@settings(max_examples=10)
@given(uncertain())
def test_a_function_of_one_operand(ufunc: np.ufunc, operand: UncertainArray) -> None:
    assert_propagated(ufunc(operand), ufunc, operand)


@pytest.mark.parametrize("ufunc", TWO, ids=lambda ufunc: ufunc.__name__)
@settings(max_examples=10)
@given(st.data())
def test_a_function_of_two_operands_of_which_some_are_exact(ufunc: np.ufunc, data: st.DataObject) -> None:
    shapes = data.draw(st.sampled_from([(SHAPE, SHAPE), (SHAPE, (4,)), ((3, 1), (4,)), (SHAPE, ()), ((), SHAPE)]))
    first, second = (data.draw(uncertain(shape)) for shape in shapes)
    exact = data.draw(st.sampled_from(["first", "second", "neither"]))
    operands = (first.values if exact == "first" else first, second.values if exact == "second" else second)
    assert_propagated(ufunc(*operands), ufunc, *operands)


@settings(max_examples=10)
@given(uncertain(), st.sampled_from([2, 0.5, -1, 3, 1.5, 0, 1]))
def test_a_power_is_what_numpy_makes_of_it(operand: UncertainArray, exponent: float) -> None:
    assert_propagated(operand**exponent, lambda values: values**exponent, operand)


@pytest.mark.parametrize("exponent", [0, 0.0, np.zeros(2)])
def test_what_is_one_whatever_its_base_is_has_no_uncertainty(exponent: Any) -> None:
    power = UncertainArray(np.array([0.0, 2.0]), np.array([1.0, 1.0])) ** exponent
    assert power.values.tolist() == [1, 1]
    assert power.variances.tolist() == [0, 0]


def test_more_values_than_are_propagated_at_a_time() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 300, 301)) + 1
    product = UncertainArray(a, a / 9).T[:, ::-1] * UncertainArray(b, b / 7).T
    np.testing.assert_array_equal(product.values, a.T[:, ::-1] * b.T)
    np.testing.assert_allclose(product.variances, (b**2 * a[::-1] / 9 + a[::-1] ** 2 * b / 7).T)


# --- in one pass -----------------------------------------------------------------------------------------------

PASSES = ["square", "sqrt", "multiply", "divide"]


def _unaligned(array: NDArray[Any]) -> NDArray[Any]:
    copy: NDArray[Any] = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


LAYOUTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "in order": lambda array: array,
    "in another order": np.asfortranarray,
    "backwards": lambda array: array[..., ::-1],
    "with gaps": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "broadcast": lambda array: np.broadcast_to(array[:1], array.shape),
    "unaligned": _unaligned,
    "of others' order of bytes": lambda array: array.astype(array.dtype.newbyteorder()),
}


@st.composite
def any_arrays(draw: st.DrawFn, number: int) -> list[NDArray[Any]]:
    """Of one type and shape, with whatever a float can be, laid out in any way."""
    width = draw(st.sampled_from([32, 64]))
    shape = draw(hnp.array_shapes(max_dims=3, min_side=0, max_side=5))
    elements = st.floats(width=width) | st.sampled_from([0.0, -0.0, np.inf, np.nan])  # type: ignore[arg-type]
    arrays = [draw(hnp.arrays(f"f{width // 8}", shape, elements=elements)) for _ in range(number)]
    return [LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](array) for array in arrays]


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=50)
@given(st.data())
@np.errstate(all="ignore")
def test_one_pass_gives_what_numpy_gives_step_by_step(name: str, data: st.DataObject) -> None:
    pytest.importorskip("nexus_xr.arrays._propagate", reason="there was no compiler")
    ufunc: np.ufunc = getattr(np, name)
    arrays = data.draw(any_arrays(2 * ufunc.nin))
    operands, variances = arrays[: ufunc.nin], arrays[ufunc.nin :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propagation, "IN_ONE_PASS", {})
        expected = propagated(ufunc, operands, variances)
    got, plain = propagated(ufunc, operands, variances), ufunc(*operands)
    assert (got.values.dtype, got.variances.dtype) == (plain.dtype, expected.variances.dtype)
    is_number = ~np.isnan(plain)
    np.testing.assert_array_equal(got.values, plain)
    np.testing.assert_array_equal(np.signbit(got.values)[is_number], np.signbit(plain)[is_number])
    kind = np.finfo(plain.dtype)
    np.testing.assert_allclose(got.variances, expected.variances, rtol=4 * kind.eps, atol=kind.tiny)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("name", PASSES)
@pytest.mark.parametrize(
    "wrong",
    [
        [np.ones(4)] * 3,
        [np.ones(4)] * 7,
        [np.ones(4)] * 2 + [np.ones(5)] * 2,
        [np.ones(4)] * 3 + [np.ones(8, "f4")],
        [np.ones(4, "i8")] * 4,
        [np.ones(4, "f4").astype(">f4")] * 4,
        [np.ones(8)[::2]] * 4,
        [np.ones(4)] * 3 + [_read_only(np.ones(4))],
        [np.ones(4)] * 3 + [None],
    ],
    ids=["too few", "too many", "sizes", "types", "integers", "order of bytes", "gaps", "read-only", "none"],
)
def test_a_pass_over_arrays_that_dont_fit_is_refused(name: str, wrong: list[Any]) -> None:
    module = pytest.importorskip("nexus_xr.arrays._propagate", reason="there was no compiler")
    more = [wrong[0]] * (2 * getattr(np, name).nin - 2)
    with pytest.raises((TypeError, ValueError, BufferError)):
        getattr(module, name)(*more, *wrong)


@pytest.mark.parametrize("dtype", ["u2", "i8", "f4", ">f8", "?"])
@pytest.mark.parametrize("other", [2, 2.5, np.float32(2.5), np.uint16(3), np.array([1, 2], "i4")])
@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.divide, np.subtract], ids=lambda ufunc: ufunc.__name__)
def test_values_have_the_types_that_numpy_gives_them(ufunc: np.ufunc, other: Any, dtype: str) -> None:
    values = np.array([300, 7]).astype(dtype)
    if dtype == "?" and ufunc is np.subtract and isinstance(other, int):
        other = 2.0
    expected = ufunc(values, other)
    got = ufunc(UncertainArray(values, np.array([300.0, 7])), other)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got.values, expected)
    assert np.isfinite(got.variances).all()


# --- through xarray and dask -----------------------------------------------------------------------------------


def array_of(values: UncertainArray, lazy: bool) -> xr.DataArray:
    coordinates = {"y": [0, 0, 1], "x": [0.5, 1.5, 2.5, 3.5]}
    array = xr.DataArray(values.values, coordinates, ("y", "x"), "n", {"units": "counts"})
    joined: xr.DataArray = (array.chunk(y=1, x=3) if lazy else array).nexus.with_uncertainties(values.errors)
    return joined


WEIGHTS = np.array([1.0, 2.0, 3.0])
MASK = np.array([True, True, False, True])


def _masked(array: xr.DataArray) -> xr.DataArray:
    return array.where(xr.DataArray(MASK, dims="x"))


REDUCTIONS: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], Callable[[Any], Any]]] = {
    "sum": (lambda array: array.sum("y"), lambda values: values.sum(0)),
    "sum of all": (lambda array: array.sum(), np.sum),
    "mean": (lambda array: array.mean("x"), lambda values: values.mean(1)),
    "mean of all": (lambda array: array.mean(skipna=False), np.mean),
    "mean of those there are": (lambda array: _masked(array).mean("x"), lambda values: values[:, MASK].mean(1)),
    "sum of those there are": (lambda array: _masked(array).sum("x"), lambda values: values[:, MASK].sum(1)),
    "cumsum": (lambda array: array.cumsum("x"), lambda values: values.cumsum(1)),
    "coarsen sum": (lambda array: array.coarsen(x=2).sum(), lambda values: values.reshape(3, 2, 2).sum(2)),
    "coarsen mean": (lambda array: array.coarsen(x=2).mean(), lambda values: values.reshape(3, 2, 2).mean(2)),
    "rebin": (lambda array: array.nexus.rebin(x=2), lambda values: values.reshape(3, 2, 2).sum(2)),
    "groupby": (
        lambda array: array.groupby("y").mean(),
        lambda values: np.stack([values[:2].mean(0), values[2]]),
    ),
    "groupby_bins": (
        lambda array: array.groupby_bins("x", [0, 2, 4]).sum(),
        lambda values: values.reshape(3, 2, 2).sum(2),
    ),
    "weighted mean": (
        lambda array: array.weighted(xr.DataArray(WEIGHTS, dims="y")).mean("y"),
        lambda values: WEIGHTS @ values / 6,
    ),
    "weighted sum": (
        lambda array: array.weighted(xr.DataArray(WEIGHTS, dims="y")).sum("y"),
        lambda values: WEIGHTS @ values,
    ),
    "dot": (lambda array: xr.dot(array, xr.DataArray(WEIGHTS, dims="y")), lambda values: WEIGHTS @ values),
    "rolling": (lambda array: array.rolling(x=2).mean()[:, 1:], lambda values: (values[:, 1:] + values[:, :-1]) / 2),
    "diff": (lambda array: array.diff("x"), lambda values: np.diff(values)),
    "expression": (
        lambda array: 2 * array**2 + 1 - np.log(array),
        lambda values: 2 * values**2 + 1 - np.log(values),
    ),
}


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
@pytest.mark.parametrize("name", [name for name in REDUCTIONS if name != "expression"])
@settings(max_examples=10)
@given(uncertain())
def test_what_xarray_sums_up_has_the_uncertainty_of_the_sum(name: str, lazy: bool, values: UncertainArray) -> None:
    of_array, of_values = REDUCTIONS[name]
    result = of_array(array_of(values, lazy))
    assert (result.chunks is not None) == lazy
    got: UncertainArray = result.compute().data
    expected = of_values(values.values)
    np.testing.assert_allclose(got.values, expected, rtol=1e-13)
    assert_propagated(UncertainArray(expected, got.variances), of_values, values)


@pytest.mark.parametrize("dims", ["a", "b", "c", ("a", "c"), ("b", "c"), ...])
@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("broadcast", "unaligned")])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_sums_have_the_bits_of_those_without_uncertainties(dtype: str, layout: str, dims: Any) -> None:
    values = np.random.default_rng(0).normal(size=(20, 30, 50)).astype(dtype)
    values[::7, ::3, ::5] = np.nan
    plain = xr.DataArray(LAYOUTS[layout](values), dims=("a", "b", "c"))
    joined = plain.nexus.with_uncertainties(np.abs(plain))
    for each, other in ((plain, joined), (plain.transpose("c", "a", "b"), joined.transpose("c", "a", "b"))):
        assert other.sum(dims).nexus.values.values.tobytes() == each.sum(dims).values.tobytes()
        np.testing.assert_allclose(other.sum(dims).nexus.variances, np.square(each).sum(dims), rtol=1e-5)


@pytest.mark.parametrize("array", [np.ones(SHAPE), np.ones(SHAPE).T, np.ones(SHAPE, "f4")[::-1, ::2]])
def test_zeros_like_others_are_their_own(array: NDArray[Any]) -> None:
    zeros: Any = np.zeros_like(UncertainArray(array, array))
    expected = np.zeros_like(array)
    for part in (zeros.values, zeros.variances):
        assert (part.dtype, part.strides) == (expected.dtype, expected.strides)
        np.testing.assert_array_equal(part, 0)
    zeros[0] = UncertainArray(array[0], array[0])
    np.testing.assert_array_equal(zeros.values.sum(), array[0].sum())
    whole: Any = np.zeros_like(UncertainArray(array, array), dtype=int)
    assert (whole.dtype, whole.variances.dtype) == (int, array.dtype)


def test_zeros_that_are_only_read_take_no_memory() -> None:
    values = np.ones(2**23)
    large = UncertainArray(values, values)
    before = _resident_bytes()
    zeros: Any = np.zeros_like(large)
    assert zeros.sum().values == 0
    assert _resident_bytes() - before < values.nbytes / 4


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


COUNTS = np.arange(1, 13, dtype="u4").reshape(SHAPE)
OF_COUNTS: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    **{name: of_array for name, (of_array, _) in REDUCTIONS.items()},
    "max": lambda array: array.max("x"),
    "min of all": lambda array: array.min(),
    "concat with exact ones": lambda array: xr.concat([array, _exact(array.nexus.values)], "run"),
}


def _exact(array: xr.DataArray) -> xr.DataArray:
    joined: xr.DataArray = array.nexus.with_uncertainties(xr.zeros_like(array))
    return joined


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
@pytest.mark.parametrize("name", OF_COUNTS)
def test_whole_numbers_have_the_uncertainties_that_the_same_floats_have(name: str, lazy: bool) -> None:
    whole, floating = (
        OF_COUNTS[name](array_of(UncertainArray(COUNTS.astype(dtype), COUNTS.astype(float)), lazy)).nexus
        for dtype in ("u4", "f8")
    )
    assert whole.errors.dtype == float
    np.testing.assert_allclose(whole.values, floating.values, rtol=1e-13)
    np.testing.assert_allclose(whole.errors, floating.errors, rtol=1e-13)


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
def test_where_the_largest_is_has_no_uncertainty(lazy: bool) -> None:
    array = array_of(UncertainArray(COUNTS, COUNTS.astype(float)), lazy)
    assert array.argmax("x").values.tolist() == [3, 3, 3]
    assert array.idxmax("x").values.tolist() == [3.5, 3.5, 3.5]


MOVES: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "isel": lambda array: array.isel(x=[3, 0], y=slice(2)),
    "sel": lambda array: array.sel(x=slice(1, 3)),
    "where": lambda array: array.where(array.x > 1, drop=True),
    "transpose": lambda array: array.T,
    "sortby": lambda array: array.sortby("x", ascending=False),
    "concat": lambda array: xr.concat([array, array[:1]], "y"),
    "stack": lambda array: array.stack(z=("x", "y")),
    "roll": lambda array: array.roll(x=1),
    "shift": lambda array: array.shift(x=1, fill_value=0),
    "expand_dims": lambda array: array.expand_dims("scan"),
    "broadcast": lambda array: xr.broadcast(array, xr.DataArray([1, 2], dims="k"))[0],
    "reindex": lambda array: array.reindex(x=[2.5, 0.5, 9.0], fill_value=0),
    "fillna": lambda array: array.where(array.x > 1).fillna(0),
    "chunk": lambda array: array.chunk(x=2),
    "compute": lambda array: array.compute(),
    "deepcopy": copy.deepcopy,
    "pointwise": lambda array: array.isel(x=xr.DataArray([3, 0], dims="p"), y=xr.DataArray([1, 2], dims="p")),
    "pad with edges": lambda array: array.pad(x=(2, 1), mode="edge"),
    "pad by reflection": lambda array: array.pad(x=2, y=1, mode="reflect"),
    "real": lambda array: array.real,
    "pickle": lambda array: pickle.loads(pickle.dumps(array)),
    "rename": lambda array: array.rename(x="q"),
    "Dataset": lambda array: array.to_dataset().isel(x=[1])["n"],
}


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
@pytest.mark.parametrize("move", MOVES)
@settings(max_examples=10)
@given(uncertain())
def test_variances_move_with_their_values(move: str, lazy: bool, values: UncertainArray) -> None:
    moved = MOVES[move](array_of(values, lazy)).compute()
    for part in ("values", "variances"):
        plain = xr.DataArray(getattr(values, part), {"y": [0, 0, 1], "x": [0.5, 1.5, 2.5, 3.5]}, ("y", "x"), "n")
        np.testing.assert_allclose(getattr(moved.nexus, part), MOVES[move](plain), rtol=1e-14)


def test_flox_which_knows_no_uncertainties_is_refused() -> None:
    pytest.importorskip("flox")
    array = array_of(UncertainArray(np.ones(SHAPE), np.ones(SHAPE)), lazy=True)
    for reduction in ("sum", "mean", "max", "count", "first"):
        with (
            xr.set_options(use_flox=True),
            pytest.raises(nexus_xr.NexusError, match=r"xr\.set_options\(use_flox=False\)"),
        ):
            getattr(array.groupby("y"), reduction)()
    in_memory: xr.DataArray = array.compute().groupby("y").sum()
    assert array.groupby("y").sum().compute().identical(in_memory)


def test_arrays_with_uncertainties_arent_made_of_values_alone() -> None:
    with pytest.raises(nexus_xr.NexusError, match=r"values alone.*use_flox=False"):
        UncertainArray([], dtype=float)


@pytest.mark.parametrize("name", ["sum", "mean"])
def test_numbagg_which_knows_no_uncertainties_is_refused(name: str) -> None:
    pytest.importorskip("numbagg")
    rolling = array_of(UncertainArray(COUNTS * 1.0, COUNTS * 2.0), lazy=False).rolling(x=2)
    with (
        xr.set_options(use_numbagg=True),
        pytest.raises(nexus_xr.NexusError, match=r"move_.* with axis .*xr\.set_options\(use_numbagg=False\)"),
    ):
        getattr(rolling, name)()
    assert isinstance(getattr(rolling, name)().data, UncertainArray)


REFUSED: dict[str, Callable[[xr.DataArray], Any]] = {
    "std": lambda array: array.std(),
    "median": lambda array: array.median(),
    "prod": lambda array: array.prod(),
    "round": lambda array: array.round(),
    "differentiate": lambda array: array.differentiate("x"),
    "floor": lambda array: np.floor(array),
    "arctan2": lambda array: np.arctan2(array, array),
    "accumulate": lambda array: np.multiply.accumulate(array.data),
    "pad with a ramp": lambda array: array.pad(x=1, mode="linear_ramp"),
    "pad with the median": lambda array: array.pad(x=1, mode="median"),
    "odd reflection": lambda array: array.pad(x=1, mode="reflect", reflect_type="odd"),
    "corr": lambda array: xr.corr(array, array),
    "add with where": lambda array: np.add(array.data, 1, where=np.ones(SHAPE, bool)),
}


@pytest.mark.parametrize("name", ["median", "prod", "cov", "isin"])
def test_what_dask_cant_propagate_is_refused_in_the_same_words(name: str) -> None:
    array = array_of(UncertainArray(np.ones(SHAPE), np.ones(SHAPE)), lazy=True)
    with pytest.raises(nexus_xr.NexusError, match="can't be propagated through"):
        (xr.cov(array, array) if name == "cov" else getattr(array, name)("x" if name != "isin" else [1])).compute()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cant_be_propagated_is_refused(name: str) -> None:
    array = array_of(UncertainArray(np.ones(SHAPE), np.ones(SHAPE)), lazy=False)
    with pytest.raises(nexus_xr.NexusError, match="can't be propagated through"):
        REFUSED[name](array)


PADS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"mode": "mean"}, {"x": (1, 2)}),
    ({"mode": "mean"}, {"x": (1, 2), "y": (0, 1)}),
    ({"mode": "mean", "stat_length": 2}, {"x": (1, 2), "y": 1}),
    ({"mode": "mean", "stat_length": {"x": (1, 3), "y": (9, 2)}}, {"x": (1, 2), "y": 1}),
    ({"mode": "maximum"}, {"x": 1, "y": 1}),
    ({"mode": "minimum", "stat_length": 2}, {"x": 1}),
    ({"constant_values": 5}, {"x": (1, 2), "y": 1}),
    ({"constant_values": {"x": (1, 2)}}, {"x": 1}),
]


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
@pytest.mark.parametrize(("options", "widths"), PADS)
@settings(max_examples=5)
@given(uncertain())
def test_padded_ends_have_the_uncertainties_of_what_they_are(
    options: dict[str, Any], widths: dict[str, Any], lazy: bool, values: UncertainArray
) -> None:
    def padded(array: NDArray[Any]) -> NDArray[Any]:
        plain: NDArray[Any] = xr.DataArray(array, dims=("y", "x")).pad(widths, **options).values
        return plain

    got: UncertainArray = array_of(values, lazy).drop_vars(["x", "y"]).pad(widths, **options).compute().data
    expected = padded(values.values)
    np.testing.assert_allclose(got.values, expected, rtol=1e-13)
    if "imum" in options.get("mode", ""):  # of equal values, derivatives say nothing
        values = UncertainArray(values.values + np.arange(values.size).reshape(SHAPE), values.variances)
        got = array_of(values, lazy).drop_vars(["x", "y"]).pad(widths, **options).compute().data
        expected = padded(values.values)
    assert_propagated(UncertainArray(expected, got.variances), padded, values)


def test_padded_whole_numbers_are_rounded_as_without_uncertainties() -> None:
    whole = UncertainArray(np.array([1, 2, 4]), np.array([1.0, 2.0, 4.0]))
    padded: Any = np.pad(whole, 1, "mean")
    assert padded.values.tolist() == np.pad(whole.values, 1, "mean").tolist()
    np.testing.assert_allclose(padded.variances, [7 / 9, 1, 2, 4, 7 / 9])


VALUES_ALONE: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "interp": lambda array: array.interp(x=[1, 2]),
    "interp_like": lambda array: array.interp_like(array.assign_coords(x=array.x + 0.25)),
    "interpolate_na": lambda array: _in_one_block(array).where(array.x != 1.5).interpolate_na("x"),
    "apply_ufunc": lambda array: xr.apply_ufunc(_doubled, array, dask="parallelized", output_dtypes=[float]),
    "vectorize": lambda array: xr.apply_ufunc(
        np.sum,
        array,
        input_core_dims=[["x"]],
        vectorize=True,
        dask="parallelized",
        dask_gufunc_kwargs={"allow_rechunk": True},
        output_dtypes=[float],
    ),
}


def _in_one_block(array: xr.DataArray) -> xr.DataArray:
    return array if array.chunks is None else array.chunk(-1)


def _doubled(values: Any) -> Any:
    return np.asarray(values) * 2


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
@pytest.mark.parametrize("name", VALUES_ALONE)
def test_what_takes_the_values_alone_has_no_uncertainties(name: str, lazy: bool, tmp_path: Path) -> None:
    array = array_of(UncertainArray(np.ones(SHAPE), np.ones(SHAPE)), lazy).drop_vars("y")
    result, plain = (VALUES_ALONE[name](each) for each in (array, array.nexus.values))
    np.testing.assert_array_equal(result, plain)
    with pytest.raises(nexus_xr.NexusError, match="'n' has blocks without uncertainties" if lazy else "there are none"):
        result.nexus.errors.compute()
    with pytest.raises(nexus_xr.NexusError, match=r"nexus\.values" if lazy else "there are none"):
        result.nexus.variances.compute()
    if lazy:
        with pytest.raises(nexus_xr.NexusError, match=r"nexus\.values"):
            result.nexus.to_nexus(tmp_path / "f.nxs")
        assert not (tmp_path / "f.nxs").exists()
        result = result.nexus.values
    result.nexus.to_nexus(tmp_path / "f.nxs")
    written = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert list(written.data_vars) == ["n"]
    np.testing.assert_array_equal(written.n, plain)


SINCE: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    **{name: of_array for name, (of_array, _) in REDUCTIONS.items()},
    **{name: move for name, move in MOVES.items() if name != "pickle"},
    "pad": lambda array: array.pad(x=2).chunk(x=-1),
    "shift": lambda array: array.shift(x=1).chunk(x=-1),
    "rolling with few": lambda array: array.rolling(x=3, center=True, min_periods=1).sum(),
    "cumulative": lambda array: array.cumulative("x").sum(),
    "another block's place": lambda array: array.where(array.x > 1, xr.zeros_like(array)),
}


@pytest.mark.parametrize("name", SINCE)
def test_values_alone_stay_so(name: str) -> None:
    array = array_of(UncertainArray(np.ones(SHAPE), np.ones(SHAPE)), lazy=True)
    with pytest.raises(nexus_xr.NexusError, match=r"no uncertainties|without uncertainties"):
        SINCE[name](VALUES_ALONE["apply_ufunc"](array)).nexus.errors.compute()
    assert (SINCE[name](array).nexus.errors.fillna(0) > 0).any()


def test_constants_beside_blocks_are_what_these_are() -> None:
    values = UncertainArray(np.ones(2), np.ones(2))
    ends: Any = np.asarray([0.0, np.nan], like=values)  # type: ignore[call-overload]
    assert ends.variances.tolist() == pytest.approx([0, np.nan], nan_ok=True)
    assert isinstance(np.concatenate([ends[:1], np.ones(2)]), np.ndarray)
    np.testing.assert_array_equal(np.concatenate([ends[:1], values]).variances, [0, 1, 1])  # type: ignore[attr-defined]
    assert isinstance(np.where([True, False], 2 * ends, np.ones(2)), np.ndarray)
    assert isinstance(np.where([True, False], ends, values), UncertainArray)
    written = ends.copy()
    written[0] = UncertainArray(1.0, 4.0)
    assert np.concatenate([written, np.ones(2)]).variances[0] == 4  # type: ignore[attr-defined]
    assert isinstance(np.ones_like(values, shape=(3,)), np.ndarray)
    assert isinstance(np.empty_like(values, shape=(3,)), UncertainArray)


@pytest.mark.parametrize("dim", ["y", "run"])
def test_exact_values_beside_uncertain_ones(dim: str) -> None:
    lazy = array_of(UncertainArray(np.ones(SHAPE), np.ones(SHAPE)), lazy=True)
    mixed = xr.concat([lazy, lazy.nexus.values], dim)
    np.testing.assert_array_equal(mixed.nexus.values, np.ones(mixed.shape))
    with pytest.raises(nexus_xr.NexusError, match="joined with zeros before"):
        mixed.nexus.errors.compute()
    in_memory = lazy.compute()
    expected = xr.concat([in_memory, in_memory.nexus.values], dim).nexus.errors
    np.testing.assert_array_equal(xr.concat([lazy, _exact(lazy.nexus.values)], dim).nexus.errors, expected)
    assert expected.sum() == expected.size / 2


@given(uncertain(), uncertain((4,)))
@settings(max_examples=5)
def test_dask_takes_arrays_in_memory_on_either_side(first: UncertainArray, second: UncertainArray) -> None:
    lazy, frame = array_of(first, lazy=True), xr.DataArray(second, dims="x")
    assert_propagated((lazy - frame).compute().data, np.subtract, first, second)
    assert_propagated((frame / lazy).transpose("y", "x").compute().data, lambda a, b: b / a, first, second)


def test_picking_a_value_picks_its_variance() -> None:
    values = UncertainArray(np.array([[1.0, 3.0], [np.nan, 2.0]]), np.array([[0.1, 0.3], [np.nan, 0.2]]))
    array = xr.DataArray(values, dims=("y", "x"))
    assert array.max().data.variances == 0.3
    np.testing.assert_array_equal(array.min("y").data.variances, [0.1, 0.2])
    assert array.argmax("x").values.tolist() == [1, 1]


def test_arrays_differ_by_their_variances() -> None:
    one, other = (xr.DataArray(UncertainArray([1.0], [each]), dims="x") for each in (0.1, 0.2))
    assert one.identical(one.copy())
    assert not one.equals(other)
    assert (one == 1).all()


@pytest.mark.parametrize("lazy", [False, True])
def test_plain_arrays_differ_from_those_with_uncertainties(lazy: bool) -> None:
    plain = xr.DataArray([1.0, 2.0], dims="x", name="n")
    joined, exact = (plain.nexus.with_uncertainties([each, each]) for each in (0.5, 0.0))
    for one, other in ((plain, joined), (plain[0], joined[0])):
        one, other = (one.chunk(), other.chunk()) if lazy else (one, other)
        assert not one.equals(other)
        assert not other.equals(one)
    assert plain.equals(exact)
    assert ((joined == 1) == [True, False]).all()
    assert ((joined != np.float64(1)) == [False, True]).all()
    with pytest.raises(xr.MergeError):
        xr.merge([plain, joined], compat="no_conflicts", join="outer")


@pytest.mark.parametrize("lazy", [False, True])
def test_a_number_in_an_array_is_compared_by_values(lazy: bool) -> None:
    plain = xr.DataArray([[1.0, 2.0, 2.0], [0.0, 1.0, 2.0]], dims=("y", "x"), name="n")
    joined = plain.nexus.with_uncertainties([[0.1, 0.2, 0.3], [0.1, 0.1, 0.4]])
    one = joined.chunk(x=2) if lazy else joined
    for highest in (plain.max(), xr.DataArray(2.0), xr.DataArray([2.0], dims="x")[0], one.max()):
        assert ((one == highest) == (plain == 2)).all()
        assert ((highest != one) == (plain != 2)).all()
    assert not (one == plain).any()


@pytest.mark.parametrize("lazy", [False, True])
def test_unknown_uncertainties_are_equal_to_each_other_alone(lazy: bool) -> None:
    plain = xr.DataArray([1.0, 2.0, np.nan], dims="x", name="n")
    joined, other = (plain.nexus.with_uncertainties([0.5, each, np.nan]) for each in (np.nan, 0.0))
    one = joined.chunk(x=2) if lazy else joined
    assert one.identical(joined.copy(deep=True))
    assert not one.equals(other)
    assert not one.equals(plain)
    assert ((one == joined) == [True, True, False]).all()
    assert ((one != other) == [False, True, True]).all()
    merged = xr.merge([one, joined.copy(deep=True)], compat="no_conflicts", join="outer")
    assert merged.n.identical(joined)


@pytest.mark.parametrize("values", [np.ones(2, complex), np.array(["a", "b"]), np.ones(3)])
def test_uncertainties_are_of_as_many_real_numbers(values: NDArray[Any]) -> None:
    with pytest.raises(nexus_xr.NexusError, match=r"real numbers|shape"):
        UncertainArray(values, np.ones(2))


def test_without_its_uncertainties_it_is_a_plain_array() -> None:
    array = array_of(UncertainArray(np.ones(SHAPE), np.full(SHAPE, 4.0)), lazy=True)
    plain = array.nexus.without_uncertainties()
    assert isinstance(plain.compute().data, np.ndarray)
    assert (plain.n_errors == 2).all()
    assert plain.n_errors.chunks is not None
    assert plain.nexus.with_uncertainties().compute().identical(array.compute())
    np.testing.assert_array_equal(array.compute().values, np.ones(SHAPE))


# --- files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tree(tmp_path / "scan.nxs", scan_file())
    return tmp_path / "scan.nxs"


def test_a_signal_has_its_uncertainties_as_a_coordinate(path: Path) -> None:
    signal = nexus_xr.open_signals(path, nxdata_only=True)[0]
    np.testing.assert_array_equal(signal.counts_errors, np.sqrt(signal.values))
    np.testing.assert_array_equal(signal.nexus.variances, np.sqrt(signal.values) ** 2)


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_signal_joined_with_its_uncertainties(chunks: Any, path: Path) -> None:
    signal = nexus_xr.open_signals(path, nxdata_only=True, uncertainties="joined", chunks=chunks)[0]
    assert "counts_errors" not in signal.coords
    assert (signal.chunks is None) == (chunks is None)
    np.testing.assert_allclose((signal * 2).nexus.errors, 2 * np.sqrt(np.arange(12).reshape(3, 4)), rtol=1e-6)
    with pytest.raises(nexus_xr.NexusError, match='expected "coordinate" or "joined"'):
        nexus_xr.open_signals(path, uncertainties="none")


def errors_written(obj: Any, path: Path) -> Any:
    obj.nexus.to_nexus(path)
    with h5py.File(path) as file:
        [group] = (each for each in file["entry1"].values() if each.attrs.get("NX_class") == "NXdata")
        return group["counts_errors"][()] if "counts_errors" in group else None


def test_propagated_uncertainties_are_written(path: Path, tmp_path: Path) -> None:
    opened = xr.open_dataset(path, engine="nexus", chunks={})[["counts", "counts_errors"]].nexus.with_uncertainties()
    expected = np.sqrt(2 * np.arange(12).reshape(3, 4))
    np.testing.assert_allclose(errors_written(opened - opened, tmp_path / "a.nxs"), expected)
    np.testing.assert_allclose(errors_written((opened - opened).counts, tmp_path / "b.nxs"), expected)
    again = xr.open_dataset(tmp_path / "a.nxs", engine="nexus").nexus.with_uncertainties()
    np.testing.assert_allclose(again.counts.nexus.errors, expected)


TRUE: dict[str, Callable[[xr.Dataset], Any]] = {
    "as opened": lambda dataset: dataset,
    "a part": lambda dataset: dataset.isel(x=[0, 2], y=slice(2)),
    "loaded": lambda dataset: dataset.load().transpose(),
    "a signal": lambda dataset: dataset.set_coords("counts_errors").counts,
    "assigned to opened values": lambda dataset: dataset.assign(counts_errors=dataset.counts * 0.1),
    "assigned to computed values": lambda dataset: (dataset * 2).nexus.assign_errors(counts=dataset.counts * 0.1),
    "of one's own": lambda dataset: xr.Dataset(
        {"counts": dataset.counts * 2, "counts_errors": dataset.counts * 0.1}
    ).drop_attrs(),
}


@pytest.mark.parametrize("name", TRUE)
@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_uncertainties_that_are_some_are_written(name: str, path: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(path, engine="nexus")
    assert errors_written(TRUE[name](dataset), tmp_path / "b.nxs") is not None


FALSE: dict[str, Callable[[xr.Dataset], Any]] = {
    "a difference of Datasets": lambda dataset: dataset - dataset,
    "a sum": lambda dataset: dataset.sum("x"),
    "of values that were computed since": lambda dataset: dataset.assign(counts=dataset.counts * 2),
    "a signal that was computed with": lambda dataset: dataset.set_coords("counts_errors").counts * 2,
    "a signal that was made coarser": lambda dataset: dataset.set_coords("counts_errors").counts.coarsen(x=2).sum(),
}


@pytest.mark.parametrize("name", FALSE)
def test_what_is_no_uncertainty_is_not_written_as_one(name: str, path: Path, tmp_path: Path) -> None:
    with xr.set_options(keep_attrs=True):
        computed = FALSE[name](xr.open_dataset(path, engine="nexus"))
    with pytest.warns(nexus_xr.NexusWarning, match="assign_errors") as told:
        assert errors_written(computed, tmp_path / "b.nxs") is None
    assert [each.code for each in told[0].message.diagnostics] == [Code.ERRORS_DOUBTFUL]  # type: ignore[union-attr]
    with pytest.raises(nexus_xr.NexusError, match="assign_errors"):
        computed.nexus.with_uncertainties()


@pytest.fixture
def of_both(tmp_path: Path) -> Path:
    """A signal and an axis that both have uncertainties."""
    coordinates = {"x": ("x", [1.0, 2.0, 3.0]), "x_errors": ("x", [0.1, 0.2, 0.3])}
    dataset = xr.Dataset({"s": ("x", [4.0, 5.0, 6.0]), "s_errors": ("x", [0.4, 0.5, 0.6])}, coordinates)
    dataset.nexus.to_nexus(tmp_path / "both.nxs")
    return tmp_path / "both.nxs"


def roles_written(obj: Any, path: Path, **options: Any) -> dict[Any, str]:
    nexus_xr.to_nexus(obj, path, **options)
    dataset = xr.open_dataset(path, engine="nexus")
    return {name: each.encoding["nexus_role"] for name, each in dataset.variables.items()}


RENAMED: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "a signal": (lambda path: nexus_xr.open_signals(path, nxdata_only=True)[0].rename("q"), "q", "x"),
    "a variable": (lambda path: xr.open_dataset(path, engine="nexus").rename(s="q"), "q", "x"),
    "uncertainties first": (
        lambda path: xr.open_dataset(path, engine="nexus")[["s_errors", "s"]].rename(s="q"),
        "q",
        "x",
    ),
    "with its uncertainties": (
        lambda path: xr.open_dataset(path, engine="nexus").rename(s="q", s_errors="q_errors"),
        "q",
        "x",
    ),
    "an axis": (lambda path: xr.open_dataset(path, engine="nexus").isel(x=[0, 2]).rename(x="z"), "s", "z"),
    "both": (lambda path: xr.open_dataset(path, engine="nexus", chunks={}).rename(s="q", x="z"), "q", "z"),
    "a node": (
        lambda path: xr.DataTree(xr.open_dataset(path, engine="nexus").rename(s="q", x="z")),
        "q",
        "z",
    ),
    "assigned": (
        lambda path: (xr.open_dataset(path, engine="nexus") * 2).nexus.assign_errors(s=[1.0, 2.0, 3.0]).rename(s="q"),
        "q",
        "x",
    ),
}


@pytest.mark.parametrize("name", RENAMED)
@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_uncertainties_go_along_with_what_is_renamed(name: str, of_both: Path, tmp_path: Path) -> None:
    rename, signal, axis = RENAMED[name]
    renamed = rename(of_both)
    assert roles_written(renamed, tmp_path / "b.nxs") == {
        signal: "signal",
        f"{signal}_errors": "errors",
        axis: "axis",
        f"{axis}_errors": "errors of an axis",
    }
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus").nexus.with_uncertainties()
    if not isinstance(renamed, xr.DataTree):
        joined = renamed.nexus.with_uncertainties()
        joined = joined if isinstance(joined, xr.DataArray) else joined[signal]
        assert again[signal].nexus.errors.equals(joined.nexus.errors.drop_vars("x_errors").assign_coords(again.coords))


def test_uncertainties_under_a_name_of_their_own_keep_it(of_both: Path, tmp_path: Path) -> None:
    opened = xr.open_dataset(of_both, engine="nexus")
    assert "sigma" in roles_written(opened.rename(s_errors="sigma"), tmp_path / "b.nxs")
    taken = opened.rename(s="q").assign(q_errors=opened.s)
    assert roles_written(taken, tmp_path / "c.nxs")["s_errors"] == "other data"
    alone = opened.drop_vars("s")
    assert roles_written(alone, tmp_path / "d.nxs")["s_errors"] == "signal"


def test_in_place_what_is_renamed_stands_beside_the_old_with_its_uncertainties(of_both: Path, tmp_path: Path) -> None:
    renamed = xr.open_dataset(of_both, engine="nexus").rename(s="q")
    roles = roles_written(renamed, tmp_path / "b.nxs", layout="inplace")
    assert roles == {
        "s": "signal",
        "s_errors": "errors",
        "q": "auxiliary signal",
        "q_errors": "errors",
        "x": "axis",
        "x_errors": "errors of an axis",
    }


def test_a_region_of_what_is_renamed_has_its_uncertainties(of_both: Path, tmp_path: Path) -> None:
    renamed = xr.open_dataset(of_both, engine="nexus").rename(s="q")
    renamed.nexus.to_nexus(tmp_path / "b.nxs")
    renamed[["q", "s_errors"]].drop_vars(["x", "x_errors"]).isel(x=[2]).nexus.to_nexus(
        tmp_path / "b.nxs", region={"x": slice(0, 1)}
    )
    assert xr.open_dataset(tmp_path / "b.nxs", engine="nexus").q_errors.values.tolist() == [0.6, 0.5, 0.6]


@pytest.fixture
def two(tmp_path: Path) -> xr.Dataset:
    """Two variables with uncertainties, as opened."""
    parts = {"a": [1.0, 2.0], "a_errors": [0.1, 0.2], "b": [3.0, 4.0], "b_errors": [0.3, 0.4]}
    xr.Dataset({name: ("x", values) for name, values in parts.items()}).nexus.to_nexus(tmp_path / "two.nxs")
    return xr.open_dataset(tmp_path / "two.nxs", engine="nexus")


MOVED: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], dict[str, list[float]]]] = {
    "swapped": (lambda two: two.rename(a="b", b="a"), {"a": [0.3, 0.4], "b": [0.1, 0.2]}),
    "swapped with theirs": (
        lambda two: two.rename(a="b", b="a", a_errors="b_errors", b_errors="a_errors"),
        {"a": [0.3, 0.4], "b": [0.1, 0.2]},
    ),
    "reused": (lambda two: two.rename(a="c").assign(a=two.b + 1), {"b": [0.3, 0.4], "c": [0.1, 0.2]}),
    "merged": (
        lambda two: xr.merge([two[["a", "a_errors"]].rename(a="c"), two[["b", "b_errors"]].rename(b="a")]),
        {"c": [0.1, 0.2], "a": [0.3, 0.4]},
    ),
    "copied": (lambda two: two.assign(c=two.a), {"a": [0.1, 0.2], "b": [0.3, 0.4]}),
}


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_uncertainties_stay_with_what_they_were_opened_with(name: str, two: xr.Dataset, tmp_path: Path) -> None:
    move, expected = MOVED[name]
    moved = move(two)
    moved.nexus.to_nexus(tmp_path / "b.nxs")
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    errors = {str(each): values.values.tolist() for each, values in again.items() if str(each).endswith("_errors")}
    found = {each.removesuffix("_errors"): values for each, values in errors.items()}
    assert found == expected
    joined = moved.nexus.with_uncertainties()
    for owner, values in expected.items():
        assert joined[owner].nexus.errors.values.tolist() == values


LEFT: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "the signal is computed anew": lambda two: two.assign(c=two.a * 2).drop_vars("a"),
    "the uncertainties are what it is about": lambda two: two[["a_errors"]].assign(rel=two.a_errors / two.a),
    "beside a model": lambda two: two[["a_errors"]].assign(model=("x", [1, 1])),
    "its name is another's": lambda two: two.drop_vars("a").rename(b="a"),
    "its new name is taken": lambda two: two.rename(a="c").assign(c_errors=two.b * 1),
}


@pytest.mark.parametrize("name", LEFT)
def test_nothing_is_left_out_of_what_nobody_computed_from(name: str, two: xr.Dataset, tmp_path: Path) -> None:
    left = LEFT[name](two)
    left.nexus.to_nexus(tmp_path / "b.nxs")
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    assert {each: values.values.tolist() for each, values in again.variables.items()} == {
        each: values.values.tolist() for each, values in left.variables.items()
    }


def test_differences_of_signals_keep_the_uncertainties_of_both_as_coordinates(two: xr.Dataset, tmp_path: Path) -> None:
    a, b = (two.set_coords(f"{name}_errors")[name] for name in "ab")
    difference = (a - b).rename("c")
    difference.nexus.to_nexus(tmp_path / "b.nxs")
    assert {"a_errors", "b_errors"} < set(xr.open_dataset(tmp_path / "b.nxs", engine="nexus").variables)


def test_in_place_what_is_no_uncertainty_is_refused(path: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(path, engine="nexus")
    with pytest.raises(nexus_xr.NexusError, match="assign_errors"):
        dataset.assign(counts=dataset.counts * 2).nexus.to_nexus(tmp_path / "b.nxs", layout="inplace")


def test_a_region_is_written_with_its_uncertainties(path: Path, tmp_path: Path) -> None:
    [signal, *_] = nexus_xr.open_signals(path, nxdata_only=True, uncertainties="joined")
    (signal * 1.0).rename("counts").nexus.to_nexus(tmp_path / "b.nxs")
    (signal[:1] * 3.0).nexus.to_nexus(tmp_path / "b.nxs", region={"y": slice(1, 2)})
    with h5py.File(tmp_path / "b.nxs") as file:
        np.testing.assert_allclose(file["entry1/counts/counts_errors"][1], 3 * np.sqrt(np.arange(4)))


UNANNOUNCED: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "map_blocks": lambda array: array.map_blocks(lambda block: block * 2),
    "map_blocks of a Dataset": lambda array: array.to_dataset().map_blocks(lambda block: block * 2)["counts"],
    "a mean of it": lambda array: array.map_blocks(lambda block: block * 2).mean("x"),
    "what persists of it": lambda array: array.map_blocks(lambda block: block * 2).persist(),
    "the last of groups": lambda array: array.groupby("group").last(),
}


@pytest.mark.parametrize("name", UNANNOUNCED)
def test_uncertainties_that_dask_does_not_know_of_are_not_lost(name: str, tmp_path: Path) -> None:
    plain = xr.DataArray(np.arange(1, 13.0).reshape(4, 3), dims=("y", "x"), name="counts")
    joined = plain.nexus.with_uncertainties(plain / 10).chunk(y=2, x=3).assign_coords(group=("y", [0, 0, 1, 1]))
    lazy = UNANNOUNCED[name](joined).rename("counts")
    assert isinstance(lazy.data._meta, np.ndarray)
    with pytest.raises(nexus_xr.NexusError, match=r"counts: has uncertainties of which dask .* compute it"):
        lazy.nexus.to_nexus(tmp_path / "a.nxs")
    with pytest.raises(nexus_xr.NexusError, match="counts: has uncertainties of which dask doesn't"):
        lazy.nexus.to_netcdf(tmp_path / "a.nc")
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_allclose(errors_written(lazy.compute(), tmp_path / "b.nxs"), lazy.compute().nexus.errors)
    assert lazy.compute().nexus.errors.shape == lazy.shape


@pytest.mark.parametrize("encoding", [{"chunksizes": (8, 6)}, {"chunksizes": (2, 6)}, {"dtype": "f4"}])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_uncertainties_of_blocks_that_are_put_together_or_cast_are_not_lost(
    is_mixed: bool, encoding: dict[str, Any], tmp_path: Path
) -> None:
    plain = xr.DataArray(np.arange(1, 49.0).reshape(8, 6), dims=("y", "x"), name="counts")
    lazy = plain.nexus.with_uncertainties(plain / 10).chunk(y=3).map_blocks(lambda block: block * 2)
    written = xr.concat([plain.chunk(y=3), lazy], "y") if is_mixed else lazy
    written.encoding = encoding
    with pytest.raises(nexus_xr.NexusError, match="counts: has uncertainties of which dask doesn't know"):
        written.rename("counts").nexus.to_nexus(tmp_path / "a.nxs")
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_looked_at_without_a_layer_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[Any] = []

    def noting(source: Any, *arguments: Any, write: Any = storing.storing) -> Any:
        stored.append(source)
        return write(source, *arguments)

    for module in (storing, region):
        monkeypatch.setattr(module, "storing", noting)
    data = da.ones((4, 3), chunks=(1, 3))
    array = xr.DataArray(data, dims=("y", "x"), name="counts")
    array.nexus.to_nexus(tmp_path / "a.nxs", compression=None)
    array.nexus.to_nexus(tmp_path / "a.nxs", region={"y": slice(0, 4)})
    assert stored[-1].name == data.name
    array.encoding = {"chunksizes": (1, 3)}
    array.nexus.to_nexus(tmp_path / "b.nxs")
    assert stored[-1].name == data.name


def test_a_region_has_no_values_whose_uncertainties_dask_does_not_know_of(tmp_path: Path) -> None:
    plain = xr.DataArray(np.arange(1, 13.0).reshape(4, 3), dims=("y", "x"), name="counts")
    joined = plain.nexus.with_uncertainties(plain / 10)
    joined.nexus.to_nexus(tmp_path / "a.nxs")
    before = (tmp_path / "a.nxs").read_bytes()
    part = joined[2:].chunk(y=1).map_blocks(lambda block: block * 2)
    with (
        pytest.warns(nexus_xr.NexusWarning, match="counts_errors"),
        pytest.raises(nexus_xr.NexusError, match=r"a\.nxs:/entry1/counts/counts: has uncertainties of which"),
    ):
        part.nexus.to_nexus(tmp_path / "a.nxs", region={"y": slice(2, 4)})
    assert (tmp_path / "a.nxs").read_bytes() == before


def test_a_region_tells_once_of_uncertainties_that_may_be_written_next(of_both: Path) -> None:
    region = {"x": slice(1, 2)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", nexus_xr.NexusWarning)
        job = xr.DataArray([7.0], dims="x", name="s").nexus.to_nexus(of_both, region=region, compute=False)
    said = "unless you write them next, as a variable 's_errors' into the same region"
    with pytest.warns(nexus_xr.NexusWarning, match=said) as told:
        job.compute(scheduler="sync")
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", nexus_xr.NexusWarning)
        xr.DataArray([0.7], dims="x", name="s_errors").nexus.to_nexus(of_both, region=region)
    opened = xr.open_dataset(of_both, engine="nexus")
    assert (opened.s[1], opened.s_errors[1]) == (7.0, 0.7)


def test_a_region_tells_of_uncertainties_that_it_leaves_as_they_are(of_both: Path) -> None:
    opened = xr.open_dataset(of_both, engine="nexus").load()
    region = {"x": slice(1, 2)}
    with pytest.warns(nexus_xr.NexusWarning, match="/s_errors: 's' gets other values, .* assign_errors") as told:
        xr.DataArray([7.0], dims="x", name="s").nexus.to_nexus(of_both, region=region)
    assert [each.code for each in told[0].message.diagnostics] == [Code.ERRORS_DOUBTFUL]  # type: ignore[union-attr]
    assert xr.open_dataset(of_both, engine="nexus").s.values.tolist() == [4, 7, 6]
    with warnings.catch_warnings():
        warnings.simplefilter("error", nexus_xr.NexusWarning)
        opened.isel(x=[1]).nexus.to_nexus(of_both, region=region)
        opened.isel(x=[1]).drop_vars("x_errors").nexus.to_nexus(of_both, region=region)
        opened[["s", "s_errors"]].drop_vars(["x", "x_errors"]).isel(x=[1]).nexus.to_nexus(of_both, region=region)
        xr.DataArray([7.0], dims="x", name="s").nexus.with_uncertainties([0.7]).nexus.to_nexus(of_both, region=region)
    assert xr.open_dataset(of_both, engine="nexus").s_errors.values.tolist() == [0.4, 0.7, 0.6]


def test_exact_blocks_among_others_are_values(tmp_path: Path) -> None:
    exact = xr.DataArray(da.ones(4, chunks=2), dims="x", name="counts")
    data = exact.data.map_blocks(lambda block: ExactArray(block, np.zeros_like(block)), meta=np.empty(0))
    blocks = exact.copy(data=data)
    blocks.nexus.to_nexus(tmp_path / "a.nxs")
    assert list(xr.open_dataset(tmp_path / "a.nxs", engine="nexus").data_vars) == ["counts"]


def test_uncertainties_taken_apart_again_are_written(path: Path, tmp_path: Path) -> None:
    joined = nexus_xr.open_signals(path, nxdata_only=True, uncertainties="joined")[0]
    apart = joined.nexus.without_uncertainties()
    assert apart.counts_errors.attrs == joined.nexus.errors.attrs == {"units": "counts"}
    assert joined.nexus.variances.attrs == {}
    np.testing.assert_allclose(errors_written(apart, tmp_path / "b.nxs"), np.sqrt(joined.values))


def test_a_coordinate_of_uncertainties_is_written_as_these_and_no_axis(path: Path, tmp_path: Path) -> None:
    signal = nexus_xr.open_signals(path, nxdata_only=True)[0]
    signal.nexus.to_nexus(tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        assert {name for name in file["entry1/counts"].attrs if name.endswith("_indices")} == {"x_indices", "y_indices"}
    assert "counts_errors" in xr.open_dataset(tmp_path / "b.nxs", engine="nexus").data_vars
    assert nexus_xr.open_signals(tmp_path / "b.nxs", nxdata_only=True)[0].equals(signal)


@pytest.mark.parametrize("dims", [(), ("x",), ("y", "x"), ("z",)])
def test_a_coordinate_called_as_uncertainties_stays_one(dims: tuple[str, ...], tmp_path: Path) -> None:
    sizes = {"y": 2, "x": 3, "z": 4}
    values = np.ones([sizes[dim] for dim in dims])
    counts = np.ones((2, 3)) if set(dims) <= {"y", "x"} else np.ones((2, 3, 4))
    dataset = xr.Dataset(
        {"counts": (("y", "x", "z")[: counts.ndim], counts), "spot": (dims, values)},
        coords={"spot_errors": (dims, values / 2)},
    )
    nexus_xr.to_nexus(dataset, tmp_path / "f.nxs")
    back = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert back.identical(dataset)
    assert (back.spot.nexus.errors == 0.5).all()


def test_joined_values_are_stored_as_they_were(tmp_path: Path) -> None:
    plain = xr.DataArray(np.arange(64.0).reshape(8, 8), dims=("y", "x"), name="counts")
    plain.nexus.assign_errors(np.sqrt(plain)).nexus.to_nexus(tmp_path / "a.nxs", chunks=(2, 8), compression="lzf")
    [joined] = nexus_xr.open_signals(tmp_path / "a.nxs", nxdata_only=True, uncertainties="joined")
    joined.nexus.to_nexus(tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        stored = file["entry1/counts/counts"]
        assert (stored.chunks, stored.compression) == ((2, 8), "lzf")
    with pytest.raises(nexus_xr.NexusError, match="made in memory"):
        joined.nexus.refresh()


def test_without_uncertainties_there_is_nothing_to_join(path: Path) -> None:
    with pytest.raises(nexus_xr.NexusError, match="there are none"):
        xr.open_dataset(path, engine="nexus").i0.nexus.with_uncertainties()


def test_uncertainties_belong_to_values_by_their_labels() -> None:
    values = xr.DataArray([4.0, 9.0, 16.0], dims="x", name="s").nexus.assign_edges(x=[0.0, 1.0, 2.0, 5.0])
    centres = xr.DataArray([2.0, 3.0, 4.0], {"x": values.x.values}, "x")
    for each in (centres, centres[::-1], np.sqrt(values)[::-1], [2.0, 3.0, 4.0], centres.drop_vars("x")):
        assert values.nexus.with_uncertainties(each).nexus.errors.values.tolist() == [2, 3, 4]
        assert values.nexus.assign_errors(each).s_errors.values.tolist() == [2, 3, 4]
        assert values.to_dataset().nexus.assign_errors(s=each).s_errors.values.tolist() == [2, 3, 4]


OTHER_LABELS: dict[str, tuple[Any, str]] = {
    "others": (xr.DataArray([1.0, 2.0], {"x": [0.5, 7.0]}, "x"), "1.5 isn't among them"),
    "several times": (xr.DataArray([1.0, 2.0], {"x": [0.5, 0.5]}, "x"), "several times"),
    "other edges": (xr.DataArray([1.0, 2.0], dims="x").nexus.assign_edges(x=[-0.5, 1.5, 1.5]), "not equal"),
}


@pytest.mark.parametrize("name", OTHER_LABELS)
def test_uncertainties_with_other_labels_are_refused(name: str) -> None:
    labelled, words = OTHER_LABELS[name]
    values = xr.DataArray([4.0, 9.0], dims="x", name="s").nexus.assign_edges(x=[0.0, 1.0, 2.0])
    with pytest.raises(nexus_xr.NexusError, match=words):
        values.nexus.with_uncertainties(labelled)


def test_uncertainties_that_are_assigned_take_the_place_of_those_that_were_joined(tmp_path: Path) -> None:
    joined = xr.DataArray([4.0, 9.0], dims="x", name="s").nexus.with_uncertainties([2.0, 3.0])
    assert joined.nexus.assign_errors([7.0, 8.0]).nexus.errors.values.tolist() == [7, 8]
    for each in (joined.nexus.assign_errors([7.0, 8.0]), joined.to_dataset().nexus.assign_errors(s=[7.0, 8.0])):
        each.nexus.to_nexus(tmp_path / "a.nxs")
        back = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
        assert (back.s.values.tolist(), back.s_errors.values.tolist()) == ([4, 9], [7, 8])


def test_two_uncertainties_of_one_variable_are_refused(tmp_path: Path) -> None:
    joined = xr.DataArray([4.0, 9.0], dims="x", name="s").nexus.with_uncertainties([2.0, 3.0])
    both = xr.Dataset({"s": joined, "s_errors": ("x", [7.0, 8.0])})
    writing: list[Callable[[], Any]] = [
        lambda: both.nexus.to_nexus(tmp_path / "a.nxs"),
        lambda: both.nexus.to_netcdf(tmp_path / "a.nc"),
        lambda: both.nexus.to_json(tmp_path / "a.json"),
        lambda: both.set_coords("s_errors").s.nexus.to_nexus(tmp_path / "a.nxs"),
        both.nexus.with_uncertainties,
    ]
    for write in writing:
        with pytest.raises(nexus_xr.NexusError, match=r"'s' has uncertainties with its values, and .* 's_errors'"):
            write()
    assert not list(tmp_path.iterdir())


RUNS: dict[str, Callable[[Any], Any]] = {
    "arrays that are loaded": lambda runs: xr.concat([run.load() for run in runs], "run"),
    "arrays as opened": lambda runs: xr.concat(runs, "run", coords="minimal", compat="override"),
    "one of them": lambda runs: runs[0].expand_dims(run=2),
    "at the end": lambda runs: runs[0].expand_dims(run=2, axis=2),
    "under another name": lambda runs: runs[0].expand_dims(run=2).rename("q"),
    "a Dataset": lambda runs: (
        runs[0]
        .to_dataset()
        .reset_coords("counts_errors")
        .assign(counts=runs[0].drop_vars("counts_errors").expand_dims(run=2))
    ),
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_uncertainties_that_all_have_in_common_are_those_of_each(
    name: str, lazy: bool, path: Path, tmp_path: Path
) -> None:
    signals = [nexus_xr.open_signals(path, nxdata_only=True, chunks={} if lazy else None)[0] for _ in range(2)]
    expected = signals[0].counts_errors.values
    runs = RUNS[name](signals)
    own = "counts" if isinstance(runs, xr.Dataset) else runs.name
    joined = runs.nexus.with_uncertainties()
    joined = joined[own] if isinstance(joined, xr.Dataset) else joined
    assert joined.dims == (runs[own].dims if isinstance(runs, xr.Dataset) else runs.dims)
    runs.nexus.to_nexus(tmp_path / "b.nxs")
    back = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    assert back[f"{own}_errors"].encoding["nexus_role"] == "errors"
    for errors in (joined.nexus.errors, back[f"{own}_errors"]):
        for at in range(2):
            np.testing.assert_array_equal(errors.isel(run=at).transpose("y", "x"), expected)


def test_uncertainties_that_all_have_in_common_are_rebinned_as_those_of_each(path: Path) -> None:
    [signal] = nexus_xr.open_signals(path, nxdata_only=True)
    summed = signal.expand_dims(run=2).nexus.rebin(run=2)
    np.testing.assert_allclose(summed.nexus.errors.isel(run=0), signal.counts_errors * np.sqrt(2))


def test_uncertainties_of_fewer_dimensions_beside_computed_values_are_left_out(path: Path, tmp_path: Path) -> None:
    [signal] = nexus_xr.open_signals(path, nxdata_only=True)
    with pytest.warns(nexus_xr.NexusWarning, match="computed without propagation"):
        assert errors_written((signal * xr.DataArray([1, 2], dims="run")).rename("counts"), tmp_path / "b.nxs") is None


@pytest.mark.parametrize("lazy", [False, True])
def test_negative_uncertainties_are_told(lazy: bool, tmp_path: Path) -> None:
    xr.Dataset({"s": ("x", [4.0, 9.0]), "s_errors": ("x", [2.0, -3.0])}).nexus.to_nexus(tmp_path / "a.nxs")
    opened = xr.open_dataset(tmp_path / "a.nxs", engine="nexus", chunks={} if lazy else None)
    with pytest.warns(nexus_xr.NexusWarning, match="without their sign") as told:
        errors = opened.nexus.with_uncertainties().s.nexus.errors.values
    assert errors.tolist() == [2, 3]
    [diagnostic] = told[0].message.diagnostics  # type: ignore[union-attr]
    assert (diagnostic.code, diagnostic.path) == (Code.ERRORS_NEGATIVE, "/entry1/s/s_errors")
    with warnings.catch_warnings(action="error"):
        abs(opened[["s_errors"]]).assign(s=opened.s).nexus.assign_errors(s=[2.0, 0.0]).nexus.with_uncertainties()


def test_lazily_joined_blocks_are_computed_once_needed() -> None:
    def fail(block: NDArray[Any]) -> NDArray[Any]:
        raise AssertionError("computed")

    values = xr.DataArray(da.ones((4, 4), chunks=2).map_blocks(fail, dtype=float), dims=("y", "x"), name="n")
    joined = values.nexus.with_uncertainties(xr.ones_like(values))
    assert (joined * 2).mean("x").chunks == ((2, 2),)


# --- fits ------------------------------------------------------------------------------------------------------


def line(x: NDArray[Any], slope: float, offset: float) -> NDArray[Any]:
    return slope * x + offset


def on_lines(lazy: bool = False) -> xr.DataArray:
    """Two lines with some scatter that is as large as the uncertainties."""
    x = np.arange(20.0)
    errors = np.random.default_rng(0).uniform(0.5, 2, (2, x.size))
    values = np.stack([line(x, 2, 1), line(x, -1, 3)]) + np.random.default_rng(1).normal(0, errors)
    array = xr.DataArray(values, {"x": ("x", x, {"units": "mm"}), "y": [5, 6]}, ("y", "x"), "n").chunk(x=7)
    joined: xr.DataArray = (array if lazy else array.compute()).nexus.with_uncertainties(errors)
    return joined


@pytest.mark.parametrize("lazy", [False, True])
def test_a_fit_weighs_values_by_their_uncertainties(lazy: bool) -> None:
    joined = on_lines(lazy)
    fitted = joined.nexus.curvefit("x", line, {"slope": 1.5})
    assert list(fitted) == ["slope", "offset"]
    assert (fitted.slope.chunks is not None) == lazy
    assert fitted.slope.attrs == {}
    for y in joined.y:
        of_y = joined.sel(y=y)
        x, values, errors = of_y.x.values, of_y.nexus.values.values, of_y.nexus.errors.values
        found, covariances = np.polyfit(x, values, 1, w=1 / errors, cov="unscaled")
        np.testing.assert_allclose([each.sel(y=y).nexus.values for each in fitted.values()], found, rtol=1e-6)
        np.testing.assert_allclose(
            [each.sel(y=y).nexus.variances for each in fitted.values()], np.diag(covariances), rtol=1e-6
        )
    crossing = -fitted.offset / fitted.slope
    assert crossing.nexus.errors.shape == (2,)


def test_a_fit_leaves_out_what_is_missing_and_finds_nothing_in_too_little() -> None:
    joined = on_lines()
    gaps = joined.where(joined.x % 2 == 0)
    fitted, of_rest = (each.nexus.curvefit("x", line) for each in (gaps, joined[:, ::2]))
    np.testing.assert_array_equal(fitted.nexus.values.slope, of_rest.nexus.values.slope)
    nothing = joined.where(joined.x < 1).nexus.curvefit("x", line)
    assert nothing.nexus.values.isnull().all().slope
    assert nothing.nexus.errors.isnull().all().slope
    hasty = joined.nexus.curvefit("x", lambda x, a, b: np.exp(-a * x) * b, maxfev=1)  # an option of scipy's
    assert hasty.nexus.values.isnull().all().a


def test_what_cant_be_fitted_is_refused() -> None:
    joined = on_lines()
    for dim, start, message in (("x", {"steep": 1}, "no parameter 'steep'"), ("z", {}, "'z' is no coordinate")):
        with pytest.raises(nexus_xr.NexusError, match=message):
            joined.nexus.curvefit(dim, line, start)
    with pytest.raises(nexus_xr.NexusError, match="0 or missing can't be weighed"):
        joined.nexus.values.nexus.with_uncertainties(np.zeros(joined.shape)).nexus.curvefit("x", line)
    with pytest.raises(nexus_xr.NexusError, match="no uncertainties"):
        joined.nexus.values.nexus.curvefit("x", line)


def test_the_values_and_the_uncertainties_of_a_dataset() -> None:
    joined = on_lines()
    dataset = xr.Dataset({"n": joined, "plain": joined.nexus.values})
    np.testing.assert_array_equal(dataset.nexus.values.n, joined.nexus.values)
    np.testing.assert_array_equal(dataset.nexus.values.plain, joined.nexus.values)
    assert dataset.nexus.errors.identical(joined.nexus.errors.to_dataset())


@pytest.mark.parametrize("dtype", ["i4", "f8"])
@pytest.mark.parametrize("dim", ["y", "x"])
def test_positions_of_uncertainties_are_none_of_positions(dtype: str, dim: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="n", axes=["y", "x"])
        data["n"], data["n_errors"] = np.arange(6, dtype=dtype).reshape(2, 3), np.ones((2, 3))
        data["y"], data["x"], data["x_errors"] = [1.0, 2.0], [10.0, 20.0, 30.0], [0.1, 0.1, 0.1]
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").load()
    with pytest.warns(nexus_xr.NexusWarning, match="n_errors: it or 'n' was computed without propagation"):
        opened.idxmax(dim).nexus.to_nexus(tmp_path / "g.nxs")
    assert "n_errors" not in xr.open_dataset(tmp_path / "g.nxs", engine="nexus")
    with warnings.catch_warnings(action="error"):
        opened.assign(n_errors=opened.n_errors + 1).nexus.to_nexus(tmp_path / "h.nxs")
    assert xr.open_dataset(tmp_path / "h.nxs", engine="nexus").n_errors.values.tolist() == [[2.0] * 3] * 2


# --- in units of their own -----------------------------------------------------------------------------------------


def lengths_with_errors(path: Path, units: str | None) -> Path:
    """Lengths in m, whose uncertainties say these units."""
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="length", axes=["x"])
        data["length"], data["length_errors"] = [4.0, 9.0], [2.0, 3.0]
        data["x"] = [0.0, 1.0]
        data["length"].attrs["units"] = "m"
        if units is not None:
            data["length_errors"].attrs["units"] = units
    return path


@pytest.mark.parametrize("units", ["mm", "%", "m^2"])
def test_uncertainties_in_other_units_are_not_joined(units: str, tmp_path: Path) -> None:
    opened = xr.open_dataset(lengths_with_errors(tmp_path / "a.nxs", units), engine="nexus")
    [signal] = nexus_xr.open_signals(tmp_path / "a.nxs", nxdata_only=True)
    for join in (
        opened.nexus.with_uncertainties,
        signal.nexus.with_uncertainties,
        lambda: signal.nexus.errors,
        lambda: opened.nexus.rebin(x=2),
        lambda: signal.nexus.rebin(x=2),
    ):
        with pytest.raises(
            nexus_xr.NexusError, match=rf"'length_errors' is in '{re.escape(units)}', and 'length' in 'm'"
        ):
            join()
    opened["length_errors"].attrs["units"] = "m"
    assert opened.nexus.rebin(x=2).length_errors.attrs["units"] == "m"
    assert opened.nexus.with_uncertainties().length.nexus.errors.values.tolist() == [2, 3]


@pytest.mark.parametrize("units", ["m", "", None])
def test_uncertainties_in_the_units_of_their_values_or_none_are_joined(units: str | None, tmp_path: Path) -> None:
    path = lengths_with_errors(tmp_path / "a.nxs", units)
    opened = xr.open_dataset(path, engine="nexus")
    [signal] = nexus_xr.open_signals(path, nxdata_only=True, uncertainties="joined")
    for joined in (opened.nexus.with_uncertainties().length, signal):
        assert joined.nexus.errors.values.tolist() == [2, 3]
        assert joined.nexus.errors.attrs["units"] == "m"


def test_signals_whose_uncertainties_are_in_other_units_are_opened_beside_them(tmp_path: Path) -> None:
    path = lengths_with_errors(tmp_path / "a.nxs", "%")
    with pytest.warns(nexus_xr.NexusWarning, match="'length_errors' is in '%', and 'length' in 'm'") as told:
        [signal] = nexus_xr.open_signals(path, nxdata_only=True, uncertainties="joined")
    [diagnostic] = told[0].message.diagnostics  # type: ignore[union-attr]
    assert (diagnostic.code, diagnostic.path) == (Code.ERRORS_OTHER_UNITS, "/entry/data/length_errors")
    assert (signal.values.tolist(), signal.length_errors.values.tolist()) == ([4, 9], [2, 3])
    assert signal.length_errors.attrs["units"] == "%"


def test_uncertainties_that_are_given_in_other_units_are_refused() -> None:
    lengths = xr.DataArray([4.0, 9.0], dims="x", name="length", attrs={"units": "m"})
    errors = xr.DataArray([2.0, 3.0], dims="x", attrs={"units": "mm"})
    for give in (lengths.nexus.with_uncertainties, lengths.nexus.assign_errors):
        with pytest.raises(
            nexus_xr.NexusError, match="uncertainties for 'length' are in 'mm', not in 'm'; convert them"
        ):
            give(errors)
    for fitting in (errors.assign_attrs(units="m"), errors.drop_attrs()):
        assert lengths.nexus.with_uncertainties(fitting).nexus.errors.values.tolist() == [2, 3]
    assert lengths.drop_attrs().nexus.with_uncertainties(errors).nexus.errors.values.tolist() == [2, 3]
