"""The compiled module of reductions makes of values what NumPy makes of them, and leaves to it what is unusual."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.reductions import compiled
from nexus_xr.hdf5.reading.reductions.masks import Mask
from nexus_xr.hdf5.reading.reductions.one_pass import add_in_one_pass, lengths_of

from .arrays import truths

pytest.importorskip("nexus_xr.hdf5.reading.reductions._reduce", reason="there was no compiler")

SMALL = ["?", "u1", "i1", "u2", "i2"]
LARGE = ["u4", "i4", "u8", "i8", "f4", "f8"]
# Lengths on both sides of those of lanes, leaves, strips, and of parts that are added in 16 or 32 bits.
LENGTHS = [1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 1023, 1024, 1025, (1 << 15) - 1, 1 << 15, (1 << 15) + 1]
MOST_VALUES = 1 << 17


def values_of(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int, largest: int) -> NDArray[Any]:
    """Values up to a largest one, or all that there are, and the ends of the dtype where that is 0."""
    random = np.random.default_rng(seed)
    if dtype.kind == "f":
        return random.normal(largest, 10, shape).astype(dtype)
    if dtype.kind == "b":
        return truths(random, shape, 0.5)
    limits = np.iinfo(dtype)
    if not largest:
        return random.choice(np.array([limits.min, limits.max, limits.max - 1], dtype), shape)
    high = min(largest, int(limits.max))
    return random.integers(max(-high, int(limits.min)), high, shape, dtype, endpoint=True)


@st.composite
def blocks(draw: st.DrawFn, dtypes: list[str]) -> tuple[NDArray[Any], tuple[int, ...], NDArray[np.bool_] | None]:
    """Values, axes along which they are reduced, and a mask of the last dimensions or none."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape: tuple[int, ...] = ()
    for _ in range(draw(st.integers(1, 4))):
        most = MOST_VALUES // math.prod(shape)
        shape = (*shape, draw(st.sampled_from([length for length in LENGTHS if length <= most])))
    # Those of MOST_SQUARED, of which squares are added in 32 bits, and ends of the dtypes.
    largest = draw(st.sampled_from([0, 3, 1023, 1024, 60000]))
    values = values_of(dtype, shape, draw(st.integers(0, 99)), largest)
    axes = tuple(axis for axis in range(len(shape)) if draw(st.booleans()))
    assume(lengths_of(shape, axes) is not None)
    masked = next((axis for axis in range(len(shape)) if set(range(axis, len(shape))) <= set(axes)), None)
    if masked is None or math.prod(shape[masked:]) == 1 or draw(st.booleans()):
        return values, axes, None
    random, share = np.random.default_rng(draw(st.integers(0, 9))), draw(st.sampled_from([0.9, 0.1, 0]))
    kept = truths(random, (1,) * masked + shape[masked:], share)
    return values, axes, kept if lengths_of(shape, axes, kept.shape) else None


def added(operation: str, block: Any, known: tuple[NDArray[Any], ...], limit: Any = None) -> tuple[NDArray[Any], ...]:
    """What is known in the end; nothing is left to NumPy."""
    values, axes, kept = block
    assert add_in_one_pass(operation, values, axes, None if kept is None else Mask(kept), known, limit)
    return known


def shape_of_result(block: Any) -> tuple[int, ...]:
    values, axes, _ = block
    return tuple(size for axis, size in enumerate(values.shape) if axis not in axes)


def where(block: Any) -> dict[str, Any]:
    return {"axis": block[1]} if block[2] is None else {"axis": block[1], "where": block[2]}


@settings(max_examples=150, deadline=None)
@given(blocks([*SMALL, *LARGE]), st.sampled_from([0, 5]))
def test_sums(block: Any, before: int) -> None:
    values = block[0]
    shape = shape_of_result(block)
    if values.dtype.kind == "f":
        (found,) = added("sum", block, (np.full(shape, before, "f8"),))
        exact = np.add.reduce(values, dtype="f8", **where(block)) + before
        np.testing.assert_allclose(found, exact, rtol=1e-12, atol=1e-9)
        return
    for width in (4, 8):
        dtype = np.dtype(f"{'i' if values.dtype.kind == 'i' else 'u'}{width}")
        (found,) = added("sum", block, (np.full(shape, before, dtype),))
        np.testing.assert_array_equal(found, np.add.reduce(values, dtype=dtype, **where(block)) + dtype.type(before))


@settings(max_examples=150, deadline=None)
@given(blocks(SMALL), st.sampled_from([4, 8]))
def test_moments_of_small_integers(block: Any, width: int) -> None:
    values = block[0]
    dtype = np.dtype(f"{'i' if values.dtype.kind == 'i' else 'u'}{width}")
    shape = shape_of_result(block)
    total, squares = added("moments", block, (np.zeros(shape, dtype), np.ones(shape, "u8")))
    wide = values.astype("i8")
    np.testing.assert_array_equal(total, np.add.reduce(values, dtype=dtype, **where(block)))
    np.testing.assert_array_equal(squares, np.add.reduce(wide * wide, dtype="u8", **where(block)) + np.uint64(1))


@settings(max_examples=150, deadline=None)
@given(blocks([*SMALL[1:], *LARGE[:4]]), st.sampled_from(["least", "greatest"]))
def test_extremes_of_integers(block: Any, operation: str) -> None:
    values = block[0]
    limits = np.iinfo(values.dtype)
    ufunc, neutral = (np.minimum, limits.max) if operation == "least" else (np.maximum, limits.min)
    (found,) = added(operation, block, (np.full(shape_of_result(block), neutral, values.dtype),))
    np.testing.assert_array_equal(found, ufunc.reduce(values, initial=neutral, **where(block)))


@settings(max_examples=150, deadline=None)
@given(blocks([*SMALL[1:], *LARGE]), st.sampled_from([0, 2, 100, 127]), st.sampled_from(["i4", "i8"]))
def test_counts(block: Any, limit: int, known: str) -> None:
    values = block[0]
    (found,) = added("count", block, (np.ones(shape_of_result(block), known),), np.array(limit, values.dtype))
    np.testing.assert_array_equal(found, np.add.reduce(values > limit, dtype="i8", **where(block)) + 1)


@settings(max_examples=150, deadline=None)
@given(blocks(LARGE))
def test_spreads(block: Any) -> None:
    values, axes, kept = block
    shape = shape_of_result(block)
    mean, spread = added("spread", block, (np.zeros(shape), np.zeros(shape)))
    if kept is not None and not kept.any():
        assert not mean.any()
        assert not spread.any()
        return
    exact = values.astype("f8")
    largest = float(np.max(np.abs(exact)))  # which rounding goes by, however near to zero a mean is
    options: dict[str, Any] = {} if kept is None else {"where": kept}
    np.testing.assert_allclose(
        mean, np.mean(exact, axis=axes, **options), rtol=1e-12, atol=1e-15 * largest * values.size
    )
    counts = np.count_nonzero(np.broadcast_to(True if kept is None else kept, values.shape), axis=axes)
    wanted = np.var(exact, axis=axes, **options) * counts
    np.testing.assert_allclose(spread, wanted, rtol=1e-9, atol=1e-15 * largest**2 * values.size)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_what_does_not_count_is_left_out_whatever_it_is(value: float, dtype: str) -> None:
    values = np.ones((2, 300), dtype)
    values[:, 7] = value
    kept = np.ones((1, 300), bool)
    kept[0, 7] = False
    assert added("sum", (values, (0, 1), kept), (np.zeros(()),))[0] == 598
    assert [part.item() for part in added("spread", (values, (0, 1), kept), (np.zeros(()), np.zeros(())))] == [1, 0]
    if np.isnan(value):
        assert np.isnan(added("sum", (values, (0, 1), None), (np.zeros(()),))[0])


@pytest.mark.parametrize("byte", [1, 2, 128, 254, 255])
@pytest.mark.parametrize("dtype", [*SMALL, *LARGE])
def test_any_byte_but_zero_is_true(dtype: str, byte: int) -> None:
    kept = np.full((1, 300), byte, "u1").view(bool)
    kept[0, 7:9] = False
    values = np.ones((2, 300), dtype)
    known: tuple[NDArray[Any], ...] = (np.zeros((), "f8" if dtype[0] == "f" else "i8" if dtype[0] == "i" else "u8"),)
    assert added("sum", (values, (0, 1), kept), known)[0] == 596
    if dtype in SMALL:
        assert added("moments", (values, (0, 1), kept), (known[0], np.zeros((), "u8")))[1] == 596
    else:
        assert [part.item() for part in added("spread", (values, (0, 1), kept), (np.zeros(()), np.zeros(())))] == [1, 0]
    if dtype != "?":
        assert added("count", (values, (0, 1), kept), (np.zeros((), "i8"),), np.zeros((), dtype))[0] == 596


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_values_that_are_true_are_one(axes: tuple[int, ...]) -> None:
    values = np.array([[0, 1, 2], [0, 254, 255]], "u1").view(bool)
    shape = shape_of_result((values, axes, None))
    wanted = np.add.reduce(values, axis=axes)
    for operation, known in (
        ("sum", (np.zeros(shape, "i8"),)),
        ("moments", (np.zeros(shape, "i8"), np.zeros(shape, "u8"))),
    ):
        for found in added(operation, (values, axes, None), known):
            np.testing.assert_array_equal(found, wanted)
    (found,) = added("greatest", (values, axes, None), (np.zeros(shape, bool),))
    np.testing.assert_array_equal(found.view("u1"), np.maximum.reduce(values, axis=axes).astype("u1"))


@given(st.lists(st.integers(1, 5), max_size=6), st.sets(st.integers(0, 5)))
def test_lengths_are_those_of_runs_of_dimensions(shape: list[int], chosen: set[int]) -> None:
    axes = tuple(axis for axis in range(len(shape)) if axis in chosen)
    found = lengths_of(tuple(shape), axes)
    values = np.arange(math.prod(shape)).reshape(shape)
    if found is None:
        kinds = [axis in axes for axis, size in enumerate(shape) if size > 1]
        assert 1 + sum(a != b for a, b in itertools.pairwise(kinds)) > (4 if kinds[0] else 3)
    else:
        np.testing.assert_array_equal(values.reshape(found).sum(axis=(0, 2)).ravel(), values.sum(axis=axes).ravel())


def test_what_is_unusual_is_left_to_numpy() -> None:
    values, total = np.ones((4, 6), "u2"), np.zeros((), "u8")
    usual = ("sum", values, (0, 1), None, (total,))
    assert add_in_one_pass(*usual)
    for unusual in (values.astype(">u2"), values[:, ::2], values.astype("f2"), values.astype("c8")):
        assert not add_in_one_pass("sum", unusual, (0, 1), None, (total,))
    unaligned = np.frombuffer(bytearray(values.nbytes + 1), "u1")[1:].view("u2").reshape(values.shape)
    assert not add_in_one_pass("sum", unaligned, (0, 1), None, (total,))
    rows = Mask(np.ones((4, 1), bool))
    assert not add_in_one_pass("sum", values, (0, 1), rows, (total,))
    assert not add_in_one_pass("sum", values, (0,), None, (np.zeros((3, 2), "u8")[:, 0],))
    assert total == 24


@pytest.mark.parametrize(
    ("position", "other"),
    [
        (0, "product"),
        (1, "c"),
        (2, (1, 1, 23, 1)),
        (2, (1, 1, 25, 1)),
        (2, (1, 0, 24, 1)),
        (2, (-1, -1, 24, 1)),
        (2, (1 << 32, 1 << 32, 24, 1)),
        (2, (1, 3, 8, 1)),
        (4, np.zeros(1, "u2")),
        (5, np.zeros(1, "u8")),
        (6, np.ones(23, bool)),
        (7, np.ones(1, "u2")),
    ],
)
def test_lengths_that_do_not_fit_are_refused(position: int, other: Any) -> None:
    right: list[Any] = ["sum", "u", (1, 1, 24, 1), np.ones(24, "u2"), np.zeros(1, "u8"), None, np.ones(24, bool), None]
    assert compiled.add(*right)
    right[position] = other
    assert not compiled.add(*right)


def test_counts_need_a_limit_of_the_values_size() -> None:
    right = ["count", "u", (1, 1, 24, 1), np.ones(24, "u2"), np.zeros(1, "u8"), None, None, np.zeros((), "u2")]
    assert compiled.add(*right)
    assert not compiled.add(*right[:7], None)
    assert not compiled.add(*right[:7], np.zeros((), "u4"))
