"""Reductions in the cache: what NumPy makes of the values, however these are stored, selected, masked and cut."""

from __future__ import annotations

import io
import math
import pickle
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import dask
import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nexus_xr
from nexus_xr import NexusError, NexusFileError
from nexus_xr.hdf5.reading.engine import few_chunks
from nexus_xr.hdf5.reading.reductions import compiled, views
from nexus_xr.hdf5.runtime.memory import Recent

from .arrays import truths
from .opened import open_nexus
from .thresholds import moved, thresholds

DTYPES = ["?", "u1", "<u2", ">u2", "<u4", "<u8", "i1", "<i2", "<i4", ">i8", "<f2", "<f4", ">f4", "<f8", "<c8", "<c16"]
STORED: list[dict[str, Any]] = [
    {},
    {"chunks": True},
    {"chunks": True, "compression": "gzip"},
    {"chunks": True, "shuffle": True, "compression": "lzf", "fletcher32": True},
    {"chunks": True, **hdf5plugin.Bitshuffle()},
]


def values_of(dtype: np.dtype[Any], shape: tuple[int, ...], seed: int, has_nan: bool) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    if dtype.kind in "fc":
        values = (random.integers(-50, 50, shape) / 4).astype(dtype)
        if has_nan and values.size:
            values.reshape(-1)[seed % values.size] = np.nan
        return values
    if dtype.kind == "b":
        return truths(random, shape, 0.5)
    return np.frombuffer(random.bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)


@st.composite
def stored(draw: st.DrawFn) -> tuple[NDArray[Any], dict[str, Any], int]:
    """Values, how they are stored, and how many rows of chunks along the first dimension are."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    options = dict(draw(st.sampled_from(STORED)))
    written = shape[0]
    if options.get("chunks"):
        options["chunks"] = tuple(draw(st.integers(1, size)) for size in shape)
        if dtype.kind != "c":  # of which HDF5 has no fill values
            options["fillvalue"] = draw(st.sampled_from([0, 1]))
        written = draw(st.integers(0, shape[0]))
    values = values_of(dtype, shape, draw(st.integers(0, 1000)), draw(st.booleans()))
    return values, options, written


def write(path: Path, values: NDArray[Any], options: dict[str, Any], written: int) -> NDArray[Any]:
    """Write the first rows of values; gives what the file then has."""
    with h5py.File(path, "w") as file:
        file["entry"] = h5py.SoftLink("/")
        dataset = file.create_dataset("data/counts", values.shape, values.dtype, **options)
        dataset[:written] = values[:written]
        file["data"].attrs.update(NX_class="NXdata", signal="counts")
        found: NDArray[Any] = dataset[...]
        return found


def selections(size: int) -> st.SearchStrategy[Any]:
    whole = slice(None)
    steps = st.sampled_from([1, 2, 3, -1, -2])
    slices = st.builds(slice, st.none() | st.integers(0, size), st.none() | st.integers(0, size), steps)
    return st.sampled_from([whole, whole]) | slices | st.lists(st.integers(0, size - 1), min_size=1, max_size=6)


def opened(path: Path, **options: Any) -> xr.DataArray:
    found: xr.DataArray = xr.open_dataset(path, engine="nexus", **options).counts
    return found


def expected(values: NDArray[Any], op: str, axes: tuple[int, ...], where: Any, above: Any) -> Any:
    """What NumPy makes of it, of floats in double precision."""
    options: dict[str, Any] = {} if where is None else {"where": where}
    with np.errstate(all="ignore"):
        if op == "count":
            kept = values > above if where is None else (values > above) & where
            return np.count_nonzero(kept, axis=axes)
        if op in ("min", "max"):
            neutral = {"min": np.inf, "max": -np.inf}[op]
            if values.dtype.kind == "b":
                neutral = op == "min"
            elif values.dtype.kind in "iu":
                limits = np.iinfo(values.dtype)
                neutral = limits.max if op == "min" else limits.min
            return getattr(np, op)(values, axis=axes, initial=neutral, **options)
        if values.dtype.kind in "fc":
            exact = values.astype(np.result_type(values.dtype, np.float64))
            return getattr(np, op)(exact, axis=axes, **options).astype(values.dtype)
        return getattr(np, op)(values, axis=axes, **options)


def assert_as_numpy(found: NDArray[Any], wanted: Any, values: NDArray[Any], op: str) -> None:
    wanted = np.asarray(wanted)
    assert found.dtype == wanted.dtype.newbyteorder("=")
    assert found.shape == wanted.shape
    is_exact = op in ("count", "min", "max") or (op == "sum" and values.dtype.kind in "biu")
    if is_exact or (op == "mean" and values.dtype.kind in "biu" and values.dtype.itemsize <= 4):
        np.testing.assert_array_equal(found, wanted)
        return
    # One unit in the last place of the result, or of what cancels out.
    largest = float(np.max(np.abs(np.where(np.isnan(values), 0, values)), initial=0)) if values.size else 0.0
    precision = float(np.finfo(found.dtype).eps)
    scale = largest * max(1, values.size if op == "sum" else 1)
    np.testing.assert_allclose(found, wanted, rtol=4 * precision, atol=4 * np.finfo(np.float64).eps * scale)


OPERATIONS = ["sum", "mean", "min", "max", "std", "count"]


@settings(max_examples=300)
@given(data=st.data(), of=stored(), op=st.sampled_from(OPERATIONS))
def test_it_is_what_numpy_makes_of_the_values(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, of: Any, op: str
) -> None:
    path = tmp_path_factory.mktemp("reduced") / "f.nxs"
    values = write(path, *of)
    key = tuple(data.draw(selections(size)) for size in values.shape)
    for axis, part in reversed(list(enumerate(key))):
        values = values[(slice(None),) * axis + (part,)]
    axes = tuple(axis for axis in range(values.ndim) if data.draw(st.booleans()))
    above = data.draw(st.sampled_from([0, 3, 100])) if op == "count" else None
    where = data.draw(masks(values.shape))
    with moved(data.draw(thresholds())), pytest.MonkeyPatch.context() as patch:
        if data.draw(st.booleans()):
            patch.setattr(compiled, "add", lambda *_: False)  # as where there was no compiler
        array = opened(path, num_threads=data.draw(st.sampled_from([1, 3])))[key]
        dims = [array.dims[axis] for axis in axes]

        def found() -> NDArray[Any]:
            return np.asarray(nexus_xr.reduce(array, op, dims, where=where, above=above))

        if values.dtype.kind == "c" and op not in ("sum", "mean", "count"):
            with pytest.raises(NexusError, match="real part"):
                found()
            return
        is_empty = not np.all(np.broadcast_to(True if where is None else where, values.shape).sum(axis=axes))
        if is_empty and op in ("min", "max"):
            with pytest.raises(NexusError, match="least nor a greatest"):
                found()
            return
        assert_as_numpy(found(), expected(values, op, axes, where, above), values, op)


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """Booleans that NumPy broadcasts to a shape, or none."""
    if draw(st.booleans()):
        return None
    lengths = [size if draw(st.booleans()) else 1 for size in shape]
    share = draw(st.sampled_from([0.98, 0.5, 0.01]))
    return truths(np.random.default_rng(draw(st.integers(0, 99))), lengths, share)


@settings(max_examples=60)
@given(data=st.data(), of=stored(), op=st.sampled_from(OPERATIONS))
def test_dask_gives_the_same_as_without(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, of: Any, op: str
) -> None:
    path = tmp_path_factory.mktemp("reduced") / "f.nxs"
    values = write(path, *of)
    if values.dtype.kind == "c":
        values = write(path, values.real, {}, len(values))
    dims = [f"dim_{axis}" for axis in range(values.ndim) if data.draw(st.booleans())]
    above = 1 if op == "count" else None
    with pytest.MonkeyPatch.context() as patch, moved(data.draw(thresholds())):
        patch.setattr(nexus_xr.reductions, "_PIECE_BYTES", data.draw(st.sampled_from([1, 100, 1 << 20])))
        patch.setattr(nexus_xr.reductions, "_MERGED_AT_ONCE", data.draw(st.sampled_from([2, 3])))
        lazy = nexus_xr.reduce(opened(path, chunks={}), op, dims, above=above)
        now = nexus_xr.reduce(opened(path), op, dims, above=above)
    assert lazy.chunks is not None or not lazy.ndim
    assert lazy.dtype == now.dtype
    with dask.config.set(scheduler=data.draw(st.sampled_from(["threads", "synchronous"]))):
        np.testing.assert_allclose(lazy.compute(), now, rtol=1e-6)


COUNTS = np.random.default_rng(3).poisson(10, (12, 16, 20)).astype("u2")
DIMS = ("dim_0", "dim_1", "dim_2")


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """Frames in two chunks each, with axes, units and a factor to scale one of them by."""
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="counts", axes=["frame", ".", "x"])
        data.create_dataset("counts", data=COUNTS, chunks=(1, 8, 20), compression="gzip").attrs["units"] = "counts"
        data["frame"], data["x"] = np.arange(12.0), np.arange(20.0)
        data.create_dataset("scaled", data=COUNTS, chunks=(5, 8, 7))
        data["scaled_scaling_factor"], data["scaled_offset"] = 0.5, 3
    return path


def test_the_result_has_the_coordinates_and_attributes_that_are_left(stack: Path) -> None:
    counts = open_nexus(stack).counts
    by_frame = nexus_xr.reduce(counts, "sum", ["dim_1", "x"])
    assert by_frame.dims == ("frame",)
    assert list(by_frame.coords) == ["frame"]
    assert by_frame.name == "counts"
    assert by_frame.attrs == counts.attrs
    assert "units" not in nexus_xr.reduce(counts, "count", above=3).attrs
    xr.testing.assert_equal(by_frame, counts.sum(["dim_1", "x"]))
    xr.testing.assert_equal(counts.nexus.reduce("max", "frame"), counts.max("frame"))
    assert nexus_xr.reduce(counts, "mean").item() == COUNTS.mean()


@pytest.mark.parametrize("chunks", [None, {}])
@pytest.mark.parametrize("is_loaded", [False, True])
@pytest.mark.parametrize("op", ["sum", np.median])
def test_the_dimensions_that_are_left_keep_their_edges(tmp_path: Path, chunks: Any, is_loaded: bool, op: Any) -> None:
    with h5py.File(tmp_path / "bins.nxs", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="v", axes=["f", "x"])
        data.create_dataset("v", data=np.arange(12.0).reshape(3, 4), chunks=(1, 4))
        data["f"], data["x"] = np.arange(3.0), [0.0, 1.0, 3.0, 10.0, 20.0]
    array = open_nexus(tmp_path / "bins.nxs", chunks=chunks).v
    reduced = nexus_xr.reduce(array.load() if is_loaded else array, op, ["f"])
    assert reduced.nexus.edges("x").tolist() == [0.0, 1.0, 3.0, 10.0, 20.0]
    assert list(reduced.coords) == ["x"]
    assert list(array.nexus.reduce(op, ["x"]).coords) == ["f"]


def test_scaled_values_are_reduced_scaled(stack: Path) -> None:
    scaled = open_nexus(stack).scaled
    for op in ("sum", "mean", "std", "max"):
        np.testing.assert_allclose(
            nexus_xr.reduce(scaled, op, "frame"), getattr((COUNTS + 3.0) * 0.5, op)(axis=0), rtol=1e-14
        )


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_function_is_given_each_frame(stack: Path, chunks: Any) -> None:
    counts = open_nexus(stack, chunks=chunks).counts
    found = nexus_xr.reduce(counts, np.median, ["dim_1", "x"])
    np.testing.assert_array_equal(found, np.median(COUNTS, axis=(1, 2)))
    turned = nexus_xr.reduce(counts, lambda frame: frame[3, 1], ["x", "frame"])
    np.testing.assert_array_equal(turned, COUNTS[1, :, 3])
    assert found.dims == ("frame",)


def test_a_function_of_a_selection(stack: Path) -> None:
    counts = open_nexus(stack).counts[::-2, 3:15, [4, 1, 9]]
    found = nexus_xr.reduce(counts, lambda frame: float(frame[0, 2]), ["dim_1", "x"])
    np.testing.assert_array_equal(found, COUNTS[::-2, 3, 9])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"op": "median"}, "op='median': expected 'sum'"),
        ({"op": "count"}, "a threshold is needed for 'count'"),
        ({"op": "sum", "above": 3}, "a threshold is needed for 'count'"),
        ({"op": "sum", "dims": "y"}, "dims='y': expected dimensions of 'counts'"),
        ({"op": "sum", "dims": ["x", "x"]}, "each once"),
        ({"op": "sum", "where": np.ones((16, 20))}, "expected booleans"),
        ({"op": "sum", "where": np.ones((20, 16), bool)}, "expected booleans"),
        ({"op": "sum", "where": xr.DataArray(np.ones(3, bool), dims="z")}, "its dimensions are"),
        ({"op": np.sum}, "name their dimensions"),
        ({"op": np.sum, "dims": "x", "where": np.ones(20, bool)}, "mask|leave out"),
        ({"op": lambda frame: "text", "dims": "x"}, "is no number"),
    ],
)
def test_what_makes_no_sense_is_an_error(stack: Path, options: dict[str, Any], match: str) -> None:
    with pytest.raises(NexusError, match=match):
        nexus_xr.reduce(open_nexus(stack).counts, **options)


def test_what_is_no_array_of_a_file_is_an_error(stack: Path) -> None:
    counts = open_nexus(stack).counts
    chunked = open_nexus(stack, chunks={}).counts
    for array in (chunked + 1, chunked[:3], counts.transpose("x", ...)):
        with pytest.raises(NexusError, match=r"isn't what it was opened as.* transposed, .*transpose the result"):
            nexus_xr.reduce(array, "sum")
    with pytest.raises(TypeError, match=r"expected an xarray\.DataArray"):
        nexus_xr.reduce(COUNTS, "sum")  # type: ignore[arg-type]


def test_what_is_in_memory_is_reduced_there(stack: Path) -> None:
    counts = open_nexus(stack).counts
    masked = np.zeros((16, 20), bool)
    np.asarray(counts)  # from where on xarray keeps it
    for array in (counts, counts * 1, counts[2:, ::3]):
        values = array.values.copy()
        np.testing.assert_allclose(nexus_xr.reduce(array, "std", "frame"), values.std(axis=0), rtol=1e-14)
        assert nexus_xr.reduce(array, "sum", where=masked[: array.shape[1]]).item() == 0
        np.testing.assert_array_equal(array.values, values)
    assert nexus_xr.reduce(counts.x, "max").item() == 19


@pytest.mark.parametrize("chunks", [None, {}])
def test_arrays_of_no_dimensions_and_of_no_values(tmp_path: Path, chunks: Any) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["empty"], file["none"] = np.zeros((0, 3), "u2"), np.zeros((0, 0), "u2")
        file["one"], file["image"] = np.uint16(7), COUNTS[0]
    empty, none, one, image = (
        open_nexus(tmp_path / "f.nxs", dataset_path=name, chunks=chunks)[name]
        for name in ("empty", "none", "one", "image")
    )
    assert nexus_xr.reduce(empty, "sum").compute().item() == 0
    assert nexus_xr.reduce(empty, "sum", empty.dims[1]).compute().shape == (0,)
    assert np.isnan(nexus_xr.reduce(empty, "mean").compute().item())
    assert nexus_xr.reduce(none, "min", none.dims[1]).compute().shape == (0,)
    with pytest.raises(NexusError, match="least nor a greatest"):
        nexus_xr.reduce(empty, "min").compute()
    for op in ("sum", "max", "mean"):
        assert nexus_xr.reduce(one, op).compute().item() == 7
    assert nexus_xr.reduce(image, np.median, image.dims).compute().item() == np.median(COUNTS[0])


def test_text_is_an_error(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["entry/words"] = ["a", "b"]
    [words] = nexus_xr.open_signals(tmp_path / "f.nxs")
    with pytest.raises(NexusError, match="numbers alone can be reduced"):
        nexus_xr.reduce(words, "max")


@pytest.mark.parametrize("by_name", [True, False])
def test_masks_go_by_the_names_of_dimensions(stack: Path, by_name: bool) -> None:
    counts = open_nexus(stack).counts
    kept = np.random.default_rng(1).random((20, 12)) > 0.4
    mask: Any = xr.DataArray(kept, dims=("x", "frame")) if by_name else kept.T[:, None]
    found = nexus_xr.reduce(counts, "mean", ["x", "frame"], where=mask)
    np.testing.assert_allclose(found, COUNTS.mean(axis=(0, 2), where=kept.T[:, None]), rtol=1e-15)


@pytest.fixture
def labelled(tmp_path: Path) -> xr.DataArray:
    with h5py.File(tmp_path / "l.nxs", "w") as file:
        file["entry/data/s"], file["entry/data/omega"] = np.arange(12).reshape(6, 2), np.arange(6.0)
        file["entry/data"].attrs.update(NX_class="NXdata", signal="s", axes=["omega", "."])
    array = open_nexus(tmp_path / "l.nxs").s
    assert isinstance(array, xr.DataArray)
    return array


def test_masks_go_by_labels(labelled: xr.DataArray) -> None:
    """As `xarray.DataArray.where` takes them."""
    kept = labelled.omega >= 4
    for array, mask in (
        (labelled, kept.sortby("omega", ascending=False)),
        (labelled[::-1], kept),
        (labelled[3:], kept),  # which has more labels
        (labelled, kept.chunk(2)[::-1]),
        (labelled, kept.drop_vars("omega")),
    ):
        assert array.nexus.reduce("sum", where=mask).item() == array.where(mask).sum().compute().item() == 38


def test_masks_without_labels_of_the_array_are_errors(labelled: xr.DataArray) -> None:
    kept = labelled.omega >= 4
    apart = kept.assign_coords(omega=kept.omega + 100)
    for mask, lacking in ((apart, 6), (kept[3:], 3), (kept[5:], 5)):
        with pytest.raises(NexusError, match=f"lacks {lacking} of the 6 labels that 's' has along 'omega'.*fill_value"):
            labelled.nexus.reduce("sum", where=mask)
        left_out = mask.reindex_like(labelled, fill_value=False)
        assert labelled.nexus.reduce("sum", where=left_out).item() == labelled.where(mask).sum().item()


def test_masks_whose_labels_tell_nothing_are_errors(labelled: xr.DataArray) -> None:
    turned_back = labelled.assign_coords(omega=[0, 1, 2, 2, 1, 0])
    kept = turned_back.omega >= 1
    assert turned_back.nexus.reduce("count", above=-1, where=kept).item() == 8
    with pytest.raises(NexusError, match=r"labels don't go with those of 's'.*duplicate"):
        turned_back.nexus.reduce("sum", where=kept[::-1][1:])


def test_a_mask_without_labels_is_as_long_as_the_array(labelled: xr.DataArray) -> None:
    kept = (labelled.omega >= 4).drop_vars("omega")
    for length in (1, 5):
        with pytest.raises(
            NexusError, match=rf"expected booleans that go with 's' .*, found bool of shape \({length},\)"
        ):
            labelled.nexus.reduce("sum", where=kept[:length])
    for labels in ({}, {"dim_1": [0, 1]}):
        one = xr.DataArray(np.ones((1, 2), bool), dims=("omega", "dim_1"), coords=labels)
        with pytest.raises(NexusError, match=r"found bool of shape \(1, 2\); leave out .*squeeze\(\['omega'\]\)"):
            labelled.nexus.reduce("sum", where=one)
        assert labelled.nexus.reduce("sum", where=one.squeeze(["omega"])).item() == labelled.sum().item()


def test_a_mask_that_does_not_fit_is_told_as_it_is(labelled: xr.DataArray) -> None:
    with pytest.raises(NexusError, match=r"of \{'omega': 6, 'dim_1': 2\}, found bool of shape \(6,\).*dims=\.\.\."):
        labelled.nexus.reduce("sum", "omega", where=np.ones(6, bool))


def test_a_damaged_chunk_is_an_error_that_names_it(stack: Path) -> None:
    with h5py.File(stack) as file:
        at = file["entry/data/counts"].id.get_chunk_info(5).byte_offset
    with open(stack, "r+b") as stream:
        stream.seek(at)
        stream.write(bytes(10))
    with pytest.raises(NexusFileError, match=r"scan.nxs:/entry/data/counts.*chunk \(2, 1, 0\)"):
        nexus_xr.reduce(open_nexus(stack).counts, "sum")


def test_virtual_datasets_and_segments_are_reduced_as_their_sources(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((24, 16, 20), "u2")
    for number in (1, 2):
        with h5py.File(tmp_path / f"part_{number}.h5", "w") as file:
            file.create_dataset("values", data=COUNTS + number, chunks=(1, 16, 20))
        layout[12 * (number - 1) : 12 * number] = h5py.VirtualSource(f"part_{number}.h5", "values", COUNTS.shape)
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="data_000001")
        for number in (1, 2):
            data[f"data_{number:06}"] = h5py.ExternalLink(f"part_{number}.h5", "/values")
        file.create_virtual_dataset("entry/virtual", layout)
    joined = np.concatenate([COUNTS + 1, COUNTS + 2])
    for array in nexus_xr.open_signals(tmp_path / "master.nxs"):
        for dims in (None, DIMS[0], DIMS[1:]):
            axes = (
                None if dims is None else tuple(DIMS.index(dim) for dim in ([dims] if isinstance(dims, str) else dims))
            )
            named = None if axes is None else [array.dims[axis] for axis in axes]
            np.testing.assert_array_equal(nexus_xr.reduce(array, "sum", named), joined.sum(axis=axes))


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_is_in_one_source_is_reduced_with_masks_and_can_be_changed(tmp_path: Path, is_whole: bool) -> None:
    layout = h5py.VirtualLayout((12, 16, 20), "u2")
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file.create_dataset("values", data=COUNTS, chunks=(1, 16, 20))
    source = h5py.VirtualSource("part.h5", "values", COUNTS.shape)
    layout[:] = source if is_whole else source[:12]
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file.create_virtual_dataset("values", layout)
    kept = np.eye(16, 20, dtype=bool)
    each: dict[str, int] | None
    for each in (None, {}):
        values = xr.open_dataset(tmp_path / "master.nxs", engine="nexus", chunks=each)["values"]
        found = nexus_xr.reduce(values, "sum", values.dims[1:], where=kept)
        np.testing.assert_array_equal(found.compute(), COUNTS.sum(axis=(1, 2), where=kept))
    for part in (values[0].compute(), values.compute()):
        part[0] = 7
        assert (part[0] == 7).all()


@pytest.mark.parametrize("most", [None, 1, 2000])
def test_what_is_not_local_is_reduced_in_blocks_of_any_size(stack: Path, most: int | None) -> None:
    with moved({"reading.reductions.views.REMOTE_BLOCK_BYTES": most}):
        counts = xr.open_dataset(io.BytesIO(stack.read_bytes()), engine="nexus").counts
        np.testing.assert_array_equal(nexus_xr.reduce(counts, "sum", "frame"), COUNTS.sum(axis=0))


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("op", ["sum", "mean", "min", "max", "std"])
def test_booleans_are_true_whatever_their_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, op: str, is_compiled: bool
) -> None:
    """As others than h5py write them, in a chunk and as what stands for values that aren't stored."""
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((4,))
        properties.set_fill_value(np.array(254, "u1").view(bool))
        space = h5s.create_simple((8,))
        made = h5d.create(file.create_group("data").id, b"counts", h5t.py_create(np.dtype(bool)), space, properties)
        made.write_direct_chunk((0,), bytes([0, 1, 2, 255]))
        file["data"].attrs.update(NX_class="NXdata", signal="counts")
    if not is_compiled:
        monkeypatch.setattr(compiled, "add", lambda *_: False)
    with h5py.File(tmp_path / "f.nxs") as file:
        values = file["data/counts"][...]
    counts, where = opened(tmp_path / "f.nxs"), np.array([1, 2, 0, 255, 0, 255, 128, 0], "u1").view(bool)
    np.testing.assert_array_equal(counts.values.view("u1"), values.view("u1"))
    for mask in (None, where):
        options = {} if mask is None else {"where": mask}
        initial = {"min": {"initial": True}, "max": {"initial": False}}.get(op, {})
        found, wanted = nexus_xr.reduce(counts, op, where=mask).item(), getattr(np, op)(values, **initial, **options)
        assert found == pytest.approx(wanted, rel=1e-14)


def test_what_is_not_stored_is_not_made(tmp_path: Path) -> None:
    """More values than could be made in the time, let alone held."""
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        shape, chunks = (64, 1 << 17, 1 << 17), (1, 1 << 14, 1 << 14)
        values = file.create_dataset("data/counts", shape, "u2", chunks=chunks, fillvalue=3, compression="gzip")
        values[1, :100, :100] = 5
        file["data"].attrs.update(NX_class="NXdata", signal="counts")
    counts = opened(tmp_path / "f.nxs")
    size = counts.size
    assert nexus_xr.reduce(counts, "sum").item() == 3 * size + 2 * 100 * 100
    assert nexus_xr.reduce(counts, "max", DIMS[1:]).values.tolist() == [3, 5, *[3] * 62]
    assert nexus_xr.reduce(counts, "count", above=4).item() == 10_000


def test_chunks_of_which_a_part_is_reduced_are_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.arange(6 * 40 * 40, dtype="u2").reshape(6, 40, 40)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("counts", data=counts, chunks=(1, 40, 40), compression="gzip")
    recent = Recent(1 << 20)
    monkeypatch.setattr(few_chunks, "_recent", recent)
    with xr.open_dataset(tmp_path / "f.h5", engine="nexus") as dataset:
        window = dataset.counts[:, 5:30, 5:30]
        assert window.nexus.reduce("sum") == counts[:, 5:30, 5:30].sum()
        assert not recent._arrays
        np.testing.assert_array_equal(window[2], counts[2, 5:30, 5:30])  # whose reader may come back
        assert recent._arrays


def test_memory_stays_flat(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        values = np.zeros((64, 512, 512), "u2")
        file.create_dataset("data/counts", data=values, chunks=(1, 512, 512), compression="gzip")
        file["data"].attrs.update(NX_class="NXdata", signal="counts")
    counts = opened(tmp_path / "f.nxs", num_threads=2)
    nexus_xr.reduce(counts[:2], "sum")
    tracemalloc.start()
    try:
        nexus_xr.reduce(counts, "sum")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < values.nbytes / 2


@pytest.mark.parametrize("operation", ["sum", "std"])
def test_a_line_in_one_chunk_takes_the_memory_of_its_values(tmp_path: Path, operation: str) -> None:
    values = np.arange(1 << 20, dtype="f4")
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file.create_dataset("data/counts", data=values, chunks=values.shape, compression="gzip")
        file["data"].attrs.update(NX_class="NXdata", signal="counts")
    counts = opened(tmp_path / "f.nxs", num_threads=1)
    nexus_xr.reduce(counts[:2], operation)
    tracemalloc.start()
    try:
        nexus_xr.reduce(counts, operation)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2 * values.nbytes


@given(st.slices(60), st.integers(1, 20))
def test_blocks_end_where_chunks_do(selected: slice, block: int) -> None:
    positions = range(*selected.indices(60))
    borders = views._borders(slice(positions.start, positions.stop, positions.step), block)
    numbers = [at // block for at in positions]
    changes = [at for at in range(1, len(numbers)) if numbers[at] != numbers[at - 1]]
    assert borders == ([0, *changes, len(numbers)] if numbers else [0])


@pytest.mark.parametrize("chunks", [(3, 2), (1, 2), None])
def test_deviations_beyond_all_numbers_are_infinite(tmp_path: Path, chunks: tuple[int, int] | None) -> None:
    values = np.array([[1.7976931348623157e308, 1.0], [-1.0, 2.0], [3.0, 3.0]])
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file.create_dataset("data/counts", data=values, chunks=chunks)
        file["data"].attrs.update(NX_class="NXdata", signal="counts")
    with moved({"reading.reductions.views.LOCAL_BLOCK_BYTES": 1}):
        counts = opened(tmp_path / "f.nxs")
        found = nexus_xr.reduce(counts, "std", counts.dims[0]).values
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(found, values.std(axis=0))


def test_sums_of_floats_are_the_same_each_time(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        values = np.random.default_rng(0).normal(size=(300, 64))
        file.create_dataset("data/counts", data=values, chunks=(1, 64))
        file["data"].attrs.update(NX_class="NXdata", signal="counts")
    with moved({"reading.reductions.views.LOCAL_BLOCK_BYTES": 1}):
        counts = opened(tmp_path / "f.nxs", num_threads=4)
        found = {nexus_xr.reduce(counts, "sum").item() for _ in range(20)}
    assert len(found) == 1


def test_several_threads_reduce_at_once_and_workers_do_from_a_pickle(stack: Path) -> None:
    counts = pickle.loads(pickle.dumps(open_nexus(stack).counts))
    found: list[int] = []
    workers = [threading.Thread(target=lambda: found.append(counts.nexus.reduce("sum").item())) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [int(COUNTS.sum())] * 4
    lazy = nexus_xr.reduce(open_nexus(stack, chunks={}).counts, "sum", "frame")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)).compute(), COUNTS.sum(axis=0))
