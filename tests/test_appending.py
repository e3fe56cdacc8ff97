"""Stacks that grow: dimensions without an end, what is appended along them, and who writes while others read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError, to_nexus

FRAMES = np.random.default_rng(7).poisson(3, (12, 6, 8)).astype("u2")


def stack(count: int = 12, start: int = 0, dims: tuple[str, ...] = ("frame", "y", "x")) -> xr.Dataset:
    """Frames with all that may go along with them."""
    frames = slice(start, start + count)
    at = np.arange(start, start + count)
    dataset = xr.Dataset(
        {
            "counts": (("frame", "y", "x"), FRAMES[frames], {"units": "counts"}),
            "counts_errors": (("frame", "y", "x"), np.sqrt(FRAMES[frames])),
            "monitor": (("frame",), 10.0 * at),
            "mask": (("y", "x"), FRAMES[0] > 4),
        },
        coords={
            "frame": ("frame", 0.5 * at, {"units": "s"}),
            "when": ("frame", np.array("2024-01-01", "M8[ms]") + at.astype("m8[h]")),
            "label": ("frame", [f"frame {number}" for number in at]),
            "x": ("x", np.arange(8.0), {"units": "mm"}),
            "height": 1.5,
        },
        attrs={"sample": {"name": "iron"}},
    )
    return dataset.transpose(*dims)


def opened(path: Path, **options: Any) -> xr.Dataset:
    return xr.open_dataset(path, engine="nexus", **options)


def assert_same(found: xr.Dataset, expected: xr.Dataset) -> None:
    """Whether all is the same but the metadata, of which no test here is."""
    xr.testing.assert_identical(found.assign_attrs(expected.attrs), expected)


# --- how single variables are stored ---------------------------------------------------------------------------


@pytest.mark.parametrize("unlimited", ["frame", ["frame"]])
def test_dimensions_may_have_no_end(tmp_path: Path, unlimited: Any) -> None:
    to_nexus(stack(), tmp_path / "f.nxs", unlimited_dims=unlimited)
    with h5py.File(tmp_path / "f.nxs") as file:
        data = file["entry1/counts"]
        assert data["counts"].maxshape == data["counts_errors"].maxshape == (None, 6, 8)
        assert data["monitor"].maxshape == data["frame"].maxshape == data["label"].maxshape == (None,)
        assert data["mask"].maxshape == (6, 8)
        assert data["mask"].chunks is None
        assert data["counts"].chunks == (12 * (64 * 1024 // (12 * 48 * 2)), 6, 8)
    assert_same(opened(tmp_path / "f.nxs"), stack())


@pytest.mark.parametrize(
    ("shape", "chunks", "found"),
    [
        ((0, 300, 400), None, (1, 300, 400)),
        ((0, 30, 40), None, (27, 30, 40)),
        ((0, 30, 40), {"y": 10}, (1, 10, 40)),
        ((0, 30, 40), (5, 30, 40), (5, 30, 40)),
        ((30, 0, 0), None, (30, 1092, 1)),
    ],
)
def test_a_stack_of_no_frames_has_chunks(tmp_path: Path, shape: Any, chunks: Any, found: Any) -> None:
    empty = xr.DataArray(np.zeros(shape, "u2"), dims=("frame", "y", "x"), name="counts")
    growing = [str(dim) for dim, size in empty.sizes.items() if not size]
    to_nexus(empty, tmp_path / "f.nxs", unlimited_dims=growing, chunks=chunks)
    with h5py.File(tmp_path / "f.nxs") as file:
        counts = file["entry1/counts/counts"]
        assert (counts.shape, counts.chunks) == (shape, found)
        assert [length is None for length in counts.maxshape] == [size == 0 for size in shape]


def test_an_array_of_a_file_gets_dimensions_without_an_end(tmp_path: Path) -> None:
    to_nexus(stack(), tmp_path / "f.nxs", chunks={"frame": 2}, compression="lzf")
    to_nexus(opened(tmp_path / "f.nxs"), tmp_path / "g.nxs", unlimited_dims="frame")
    with h5py.File(tmp_path / "g.nxs") as file:
        counts = file["entry1/counts/counts"]
        assert (counts.maxshape, counts.chunks, counts.compression) == ((None, 6, 8), (2, 6, 8), "lzf")
    assert opened(tmp_path / "g.nxs").identical(opened(tmp_path / "f.nxs"))


def test_edges_of_bins_have_no_end_either(tmp_path: Path) -> None:
    counts = xr.DataArray([1, 2, 3], dims="tof", name="counts").nexus.assign_edges(tof=[0.0, 1.0, 2.0, 4.0])
    to_nexus(counts, tmp_path / "f.nxs", unlimited_dims="tof")
    with h5py.File(tmp_path / "f.nxs") as file:
        tof = file["entry1/counts/tof"]
        assert (tof.shape, tof.maxshape) == ((4,), (None,))
    assert opened(tmp_path / "f.nxs").counts.nexus.edges("tof").tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("form", ["memory", "dask", "file"])
def test_each_variable_may_be_stored_in_its_own_way(tmp_path: Path, form: str) -> None:
    dataset = stack()
    if form == "dask":
        dataset = dataset.chunk({"frame": 5})
    elif form == "file":
        to_nexus(dataset, tmp_path / "source.nxs", chunks=(1, 6, 8))
        dataset = opened(tmp_path / "source.nxs")
    encoding = {
        "counts": {"chunksizes": (4, 3, 8), "compression": "lzf", "dtype": "u4"},
        "counts_errors": {"chunks": {"frame": 3}, "compression": None, "dtype": "f4"},
        "x": {"dtype": "f4"},
    }
    to_nexus(dataset, tmp_path / "f.nxs", compression="gzip", compression_opts=2, encoding=encoding)
    with h5py.File(tmp_path / "f.nxs") as file:
        data = file["entry1/counts"]
        counts, errors = data["counts"], data["counts_errors"]
        assert (counts.chunks, counts.compression, counts.shuffle, counts.dtype) == ((4, 3, 8), "lzf", True, "u4")
        assert (errors.chunks, errors.compression, errors.shuffle, errors.dtype) == ((3, 6, 8), None, False, "f4")
        assert data["x"].dtype == "f4"
    found = opened(tmp_path / "f.nxs")
    np.testing.assert_array_equal(found.counts, FRAMES)
    np.testing.assert_array_equal(found.counts_errors, np.sqrt(FRAMES).astype("f4"))


def test_a_large_array_of_a_file_is_converted_block_by_block(tmp_path: Path) -> None:
    values = np.arange(40 * 100 * 100, dtype="i4").reshape(40, 100, 100)
    to_nexus(xr.DataArray(values, dims=("n", "y", "x"), name="counts"), tmp_path / "f.nxs")
    source = opened(tmp_path / "f.nxs").counts
    to_nexus(source, tmp_path / "g.nxs", encoding={"counts": {"dtype": "i8"}})
    assert not source.variable._in_memory
    assert opened(tmp_path / "g.nxs").counts.dtype == "i8"
    np.testing.assert_array_equal(opened(tmp_path / "g.nxs").counts, values)
    with pytest.raises(NexusError, match="there are values that int16 doesn't hold"):
        to_nexus(source, tmp_path / "h.nxs", encoding={"counts": {"dtype": "i2"}})
    assert not (tmp_path / "h.nxs").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"unlimited_dims": "time"}, "unlimited_dims: no variable has a dimension 'time'; there are 'frame', 'x', 'y'"),
        ({"encoding": {"frames": {}}}, "encoding: there is no variable 'frames'; there are counts, "),
        ({"encoding": {"counts": {"zlib": True}}}, "encoding of 'counts': .*expected .* any of chunks, chunksizes, "),
        ({"encoding": {"counts": "gzip"}}, "encoding of 'counts': 'gzip': expected a dictionary"),
        ({"encoding": {"counts": {"compression": "zip"}}}, "encoding of 'counts': compression='zip': expected one of"),
        ({"encoding": {"counts": {"chunks": (1, 6)}}}, r"chunks=\(1, 6\): the arrays to write have other dimensions"),
        ({"encoding": {"counts": {"chunks": {"z": 1}}}}, "the arrays to write have other dimensions"),
        ({"encoding": {"counts": {"dtype": "number"}}}, "encoding of 'counts': dtype='number': "),
        ({"encoding": {"frame": {"dtype": "i4"}}}, "frame: float64 is not to be stored as int32; convert it"),
        ({"encoding": {"label": {"dtype": "S5"}}}, "label: .* is not to be stored as"),
        ({"encoding": {"when": {"dtype": "i4"}}}, "when: .* is not to be stored as int32"),
        ({"encoding": {"counts": {"dtype": "u1"}}}, None),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_refused(tmp_path: Path, options: Any, said: str | None) -> None:
    if said is None:
        to_nexus(stack(), tmp_path / "f.nxs", **options)
        large = stack().assign(counts=stack().counts + np.uint16(1000))
        with pytest.raises(NexusError, match="there are values that uint8 doesn't hold"):
            to_nexus(large, tmp_path / "g.nxs", **options)
    else:
        with pytest.raises(NexusError, match=said):
            to_nexus(stack(), tmp_path / "g.nxs", **options)
    assert not (tmp_path / "g.nxs").exists()


def test_encodings_and_dimensions_are_of_types(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="encoding=3: expected a mapping"):
        to_nexus(stack(), tmp_path / "f.nxs", encoding=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unlimited_dims=3: expected a string or a list"):
        to_nexus(stack(), tmp_path / "f.nxs", unlimited_dims=3)  # type: ignore[arg-type]
    to_nexus(stack(), tmp_path / "f.nxs")
    with pytest.raises(NexusError, match="takes no unlimited_dims, encoding; leave that out"):
        to_nexus(
            opened(tmp_path / "f.nxs"), tmp_path / "g.nxs", layout="inplace", unlimited_dims="x", encoding={"x": {}}
        )
    assert nexus_xr.list_datasets(tmp_path / "f.nxs")[0] == ["/entry1/counts"]
