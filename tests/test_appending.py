"""Stacks that grow: dimensions without an end, what is appended along them, and who writes while others read."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5f
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusError, NexusFileError, to_nexus
from nexus_xr.hdf5.io import h5py_handles
from nexus_xr.hdf5.io.changes import changes
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.h5py_handles import handles
from nexus_xr.hdf5.io.locks import lock_file
from nexus_xr.hdf5.writing import changed_file
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.writable_file import close_file, kept_file, open_file
from nexus_xr.nexus.rules.content import read_content
from nexus_xr.opening import select
from nexus_xr.writing.fields import variables

from .appended import FRAMES, assert_same, bins, named, stack
from .opened import open_nexus
from .processes import run
from .test_detector_segments import write_master
from .waiting import PATIENCE_SECONDS, wait_until

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
    assert_same(open_nexus(tmp_path / "f.nxs"), stack())


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


@pytest.mark.parametrize(
    ("chunks", "found"), [({"frame": 2}, (2, 1)), ({"x": 3}, (2, 3)), ((2, 3), (2, 3)), ({}, (16384, 1))]
)
def test_a_stack_of_frames_of_no_pixels_has_chunks(tmp_path: Path, chunks: Any, found: Any) -> None:
    empty = xr.DataArray(np.zeros((2, 0), "f4"), dims=("frame", "x"), name="counts")
    to_nexus(empty, tmp_path / "f.nxs", unlimited_dims="frame", chunks=chunks)
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/counts/counts"].chunks == found
    to_nexus(empty, tmp_path / "f.nxs", append_dim="frame")
    assert open_nexus(tmp_path / "f.nxs").counts.shape == (4, 0)
    to_nexus(empty, tmp_path / "f.nxs", chunks=chunks if isinstance(chunks, dict) else None)
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/counts/counts"].chunks == (None if chunks != {"x": 3} else (2, 3))


def test_an_array_of_a_file_gets_dimensions_without_an_end(tmp_path: Path) -> None:
    to_nexus(stack(), tmp_path / "f.nxs", chunks={"frame": 2}, compression="lzf")
    to_nexus(open_nexus(tmp_path / "f.nxs"), tmp_path / "g.nxs", unlimited_dims="frame")
    with h5py.File(tmp_path / "g.nxs") as file:
        counts = file["entry1/counts/counts"]
        assert (counts.maxshape, counts.chunks, counts.compression) == ((None, 6, 8), (2, 6, 8), "lzf")
    assert open_nexus(tmp_path / "g.nxs").identical(open_nexus(tmp_path / "f.nxs"))


def test_edges_of_bins_have_no_end_either(tmp_path: Path) -> None:
    counts = xr.DataArray([1, 2, 3], dims="tof", name="counts").nexus.assign_edges(tof=[0.0, 1.0, 2.0, 4.0])
    to_nexus(counts, tmp_path / "f.nxs", unlimited_dims="tof")
    with h5py.File(tmp_path / "f.nxs") as file:
        tof = file["entry1/counts/tof"]
        assert (tof.shape, tof.maxshape) == ((4,), (None,))
    assert open_nexus(tmp_path / "f.nxs").counts.nexus.edges("tof").tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("form", ["memory", "dask", "file"])
def test_each_variable_may_be_stored_in_its_own_way(tmp_path: Path, form: str) -> None:
    dataset = stack()
    if form == "dask":
        dataset = dataset.chunk({"frame": 5})
    elif form == "file":
        to_nexus(dataset, tmp_path / "source.nxs", chunks=(1, 6, 8))
        dataset = open_nexus(tmp_path / "source.nxs")
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
    found = open_nexus(tmp_path / "f.nxs")
    np.testing.assert_array_equal(found.counts, FRAMES)
    np.testing.assert_array_equal(found.counts_errors, np.sqrt(FRAMES).astype("f4"))


def test_a_large_array_of_a_file_is_converted_block_by_block(tmp_path: Path) -> None:
    values = np.arange(40 * 100 * 100, dtype="i4").reshape(40, 100, 100)
    to_nexus(xr.DataArray(values, dims=("n", "y", "x"), name="counts"), tmp_path / "f.nxs")
    source = open_nexus(tmp_path / "f.nxs").counts
    to_nexus(source, tmp_path / "g.nxs", encoding={"counts": {"dtype": "i8"}})
    assert not source.variable._in_memory
    assert open_nexus(tmp_path / "g.nxs").counts.dtype == "i8"
    np.testing.assert_array_equal(open_nexus(tmp_path / "g.nxs").counts, values)
    with pytest.raises(NexusError, match="there are values that int16 doesn't hold"):
        to_nexus(source, tmp_path / "h.nxs", encoding={"counts": {"dtype": "i2"}})
    assert not (tmp_path / "h.nxs").exists()


@pytest.mark.parametrize("is_lazy", [False, True])
def test_numbers_are_stored_as_a_type_that_holds_them(tmp_path: Path, is_lazy: bool) -> None:
    def write(values: Any, dtype: str) -> None:
        array = xr.DataArray(values, dims="x", name="n")
        to_nexus(array.chunk() if is_lazy else array, tmp_path / "f.nxs", encoding={"n": {"dtype": dtype}})

    for values, dtype in (([0, 65535], "u2"), ([1.5, np.inf, np.nan], "f2")):
        write(values, dtype)
        assert open_nexus(tmp_path / "f.nxs").n.dtype == dtype
        np.testing.assert_array_equal(open_nexus(tmp_path / "f.nxs").n, values)
    for values, dtype in (([-1, 0], "u2"), ([1e6, 1.0], "f2"), ([2**20], "f2")):
        with pytest.raises(NexusError, match=r"there are values that .* doesn't hold"):
            write(values, dtype)


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
            open_nexus(tmp_path / "f.nxs"), tmp_path / "g.nxs", layout="inplace", unlimited_dims="x", encoding={"x": {}}
        )
    assert nexus_xr.list_datasets(tmp_path / "f.nxs")[0] == ["/entry1/counts"]


# --- appending -------------------------------------------------------------------------------------------------


def grown(path: Path, count: int = 5, **options: Any) -> Path:
    """A file of the first frames."""
    to_nexus(stack(count), path, unlimited_dims="frame", **options)
    return path


def in_form(dataset: xr.Dataset, form: str, path: Path) -> xr.Dataset:
    """A Dataset in memory, of dask or of a file."""
    if form == "dask":
        return dataset.chunk({"frame": 2, "y": 4})
    if form == "file":
        to_nexus(dataset, path, mode="w")
        return open_nexus(path)
    return dataset


@pytest.mark.parametrize("compression", [None, "gzip", "zstd", "szip"])
@pytest.mark.parametrize("form", ["memory", "dask", "file"])
@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_a_stack_grows(
    tmp_path: Path, form: str, chunk: int, compression: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variables, "SMALL_BYTES", 0)  # what is of a file is read block by block
    path = grown(tmp_path / "f.nxs", chunks={"frame": chunk, "y": 4}, encoding={"counts": {"compression": compression}})
    more = in_form(stack(7, 5), form, tmp_path / "more.nxs")
    to_nexus(more, path, append_dim="frame")
    assert_same(open_nexus(path), stack())
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry1/counts/counts"], FRAMES)
        assert file["entry1/counts/counts"].chunks == (chunk, 4, 8)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    chunk=st.integers(1, 6),
    tile=st.integers(1, 4),
    compression=st.sampled_from([None, "lzf", "gzip"]),
    order=st.permutations(["frame", "y", "x"]),
    seed=st.integers(0, 3),
)
def test_any_blocks_make_the_stack_that_they_are_of(
    tmp_path: Path, sizes: list[int], chunk: int, tile: int, compression: Any, order: list[str], seed: int
) -> None:
    random = np.random.default_rng(seed)
    blocks = [
        xr.Dataset(
            {"n": (order, random.integers(0, 3, [{"frame": size, "y": 4, "x": 3}[dim] for dim in order], "i4"))},
            coords={
                "frame": ("frame", random.random(size)),
                "when": ("frame", random.integers(0, 9, size).view("m8[s]")),
            },
        )
        for size in sizes
    ]
    path = tmp_path / "f.nxs"
    options: Any = {"chunks": {"frame": chunk, "y": tile}, "compression": compression}
    to_nexus(blocks[0], path, unlimited_dims="frame", **options)
    for number, block in enumerate(blocks[1:]):
        given = block.transpose("y", "frame", "x") if number % 2 else block
        to_nexus(given.chunk({"frame": 2}) if number % 3 else given, path, append_dim="frame")
    expected = xr.concat(blocks, "frame")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry1/n/n"], expected.n)
        np.testing.assert_array_equal(file["entry1/n/frame"], expected.frame)
    found = open_nexus(path)
    if found.sizes["frame"]:
        assert_same(found, expected)


def test_a_stack_begins_without_a_frame(tmp_path: Path) -> None:
    empty = stack(0)
    to_nexus(empty.drop_vars("label"), tmp_path / "f.nxs", unlimited_dims="frame")
    for start in range(0, 12, 4):
        to_nexus(stack(4, start).drop_vars("label"), tmp_path / "f.nxs", append_dim="frame", mode="a")
    assert_same(open_nexus(tmp_path / "f.nxs"), stack().drop_vars("label"))


def test_what_is_appended_may_be_computed_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = grown(Path("f.nxs"))
    before = path.read_bytes()
    job = to_nexus(stack(7, 5).chunk({"frame": 2}), path, append_dim="frame", compute=False)
    assert path.read_bytes() == before
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    job.compute()
    assert_same(open_nexus(tmp_path / "f.nxs"), stack())


def test_a_block_of_dask_is_computed_once(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 4})
    computed = []

    def compute(block: Any, block_info: Any) -> Any:
        computed.append(block_info[0]["chunk-location"])
        return block

    more = stack(7, 5)
    blocks = da.from_array(more.counts.values, chunks=(7, 6, 8)).map_blocks(
        compute, dtype="u2", meta=np.empty((0, 0, 0))
    )
    to_nexus(more.assign(counts=more.counts.copy(data=blocks)), path, append_dim="frame")
    assert computed == [(0, 0, 0)]
    assert_same(open_nexus(path), stack())


def test_bins_continue_where_those_of_the_file_end(tmp_path: Path) -> None:
    to_nexus(bins(0, 1, 2), tmp_path / "f.nxs", unlimited_dims="tof")
    to_nexus(bins(2, 4, 8, 16), tmp_path / "f.nxs", append_dim="tof")
    assert open_nexus(tmp_path / "f.nxs").counts.nexus.edges("tof").tolist() == [0, 1, 2, 4, 8, 16]
    for more, said in (
        (bins(17, 18), r"tof: nothing was written, as the bins begin at \[17.*those of the file end at \[16"),
        (xr.DataArray([1.0], {"tof": [20]}, name="counts"), "as the file has edges of bins, not middles"),
    ):
        with pytest.raises(NexusError, match=said):
            to_nexus(more, tmp_path / "f.nxs", append_dim="tof")
    to_nexus(xr.DataArray([1.0], {"tof": [20]}, name="counts"), tmp_path / "g.nxs", unlimited_dims="tof")
    with pytest.raises(NexusError, match="as the file has values, not edges of bins"):
        to_nexus(bins(20, 21), tmp_path / "g.nxs", append_dim="tof")


def test_types_that_hold_all_values_are_taken(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs")
    more = stack(7, 5)
    more = more.assign(monitor=more.monitor.astype("i4"), counts=more.counts.astype("u1"))
    more = more.assign_coords(
        when=more.when.astype("M8[s]"), label=("frame", [*list("abcdef"), "a longer one than all"])
    )
    to_nexus(more, path, append_dim="frame")
    found = open_nexus(path)
    assert (found.monitor.dtype, found.counts.dtype, found.when.dtype) == ("f8", "u2", "M8[ms]")
    assert_same(found.drop_vars("label"), stack().drop_vars("label"))
    assert found.label.values.tolist() == [*stack(5).label.values, *more.label.values]


def test_text_of_a_fixed_length_grows_as_far_as_it_fits(tmp_path: Path) -> None:
    to_nexus(named(b"iron", b"lead"), tmp_path / "f.nxs", unlimited_dims="x")
    to_nexus(named(b"tin"), tmp_path / "f.nxs", append_dim="x")
    assert open_nexus(tmp_path / "f.nxs").name.values.tolist() == ["iron", "lead", "tin"]
    before = (tmp_path / "f.nxs").read_bytes()
    with pytest.raises(NexusError, match=r"name: nothing was written, as there is text that .* doesn't hold"):
        to_nexus(named(b"copper"), tmp_path / "f.nxs", append_dim="x")
    assert (tmp_path / "f.nxs").read_bytes() == before


@pytest.mark.parametrize("first", [np.array(["on", "ünk"], object), np.array(["on", "ünk"])], ids=["objects", "str"])
def test_objects_of_dask_grow_where_they_are_text(tmp_path: Path, first: Any) -> None:
    def labelled(labels: Any) -> xr.Dataset:
        return xr.Dataset({"n": ("x", np.ones(len(labels)))}, {"label": ("x", labels)})

    path = tmp_path / "f.nxs"
    to_nexus(labelled(first), path, unlimited_dims="x")
    more = np.array(["off", "", "läänger"], object)
    to_nexus(labelled(more).chunk(x=2), path, append_dim="x")
    to_nexus(open_nexus(path, chunks={}).load(), tmp_path / "g.nxs", unlimited_dims="x")
    to_nexus(open_nexus(path, chunks={}), tmp_path / "g.nxs", append_dim="x")
    assert open_nexus(path).label.values.tolist() == [*first, *more]
    assert open_nexus(tmp_path / "g.nxs").label.values.tolist() == [*first, *more] * 2
    before = path.read_bytes()
    other = [np.array(["a", 1], object), np.array([[1], [2, 3]], object), np.array(["a", "b\0c"], object)]
    for labels, said in zip(other, ["can't be stored", "it is no text", "with a zero"], strict=True):
        with pytest.raises(NexusError, match=f"label: nothing was written, as .*{said}"):
            to_nexus(labelled(labels).chunk(x=1), path, append_dim="x")
    assert path.read_bytes() == before


def test_files_of_others_grow(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w", libver="latest", userblock_size=512) as file:
        file.attrs["default"] = "entry"
        data = file.create_group("entry/data")
        file["entry"].attrs.update(NX_class="NXentry", default="data")
        data.attrs.update(NX_class="NXdata", signal="counts", axes=["time", "."])
        counts = file.create_group("entry/detector").create_dataset(
            "data", data=FRAMES[:3, 0], maxshape=(None, 8), chunks=(2, 8), compression="gzip"
        )
        data["counts"] = h5py.SoftLink("/entry/detector/data")
        data.create_dataset("time", data=[0.0, 1.0, 2.0], maxshape=(None,), chunks=(64,))
        assert counts.shape == (3, 8)
    more = open_nexus(tmp_path / "f.nxs").isel(time=[0, 0]).load().assign(counts=(("time", "dim_1"), FRAMES[3:5, 0]))
    to_nexus(more.assign_coords(time=[3.0, 4.0]), tmp_path / "f.nxs", append_dim="time")
    found = open_nexus(tmp_path / "f.nxs")
    np.testing.assert_array_equal(found.counts, FRAMES[:5, 0])
    assert found.time.values.tolist() == [0, 1, 2, 3, 4]


def test_what_stays_in_another_file_is_appended_in_the_order_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variables, "SMALL_BYTES", 0)
    to_nexus(stack(7, 5), tmp_path / "more.nxs")
    path = grown(tmp_path / "f.nxs", chunks={"frame": 2})
    more = open_nexus(tmp_path / "more.nxs").transpose("x", "y", "frame")
    to_nexus(more, path, append_dim="frame")
    assert not more.counts.variable._in_memory
    assert_same(open_nexus(path), stack())


def test_what_was_opened_before_is_refreshed(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 2})
    before = open_nexus(path)
    to_nexus(stack(7, 5), path, append_dim="frame")
    with pytest.raises(NexusFileError, match="open it again"):
        before.counts.load()
    assert_same(before.nexus.refresh(), stack())


def test_segments_of_a_detector_are_not_continued(tmp_path: Path) -> None:
    write_master(tmp_path, {1: 3, 2: 3})
    more = open_nexus(tmp_path / "scan_master.h5").load()
    with pytest.raises(NexusError, match="/entry/data/data: several datasets are one variable"):
        to_nexus(more, tmp_path / "scan_master.h5", append_dim="dim_0")


def test_chunks_that_were_never_stored_are(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 3})
    with h5py.File(path, "r+") as file:
        stored = file["entry1/counts/counts"]
        attributes = dict(stored.attrs)
        del file["entry1/counts/counts"]
        sparse = file["entry1/counts"].create_dataset(
            "counts", (5, 6, 8), "u2", maxshape=(None, 6, 8), chunks=(3, 6, 8)
        )
        sparse.attrs.update(attributes)
    to_nexus(stack(7, 5), path, append_dim="frame")
    np.testing.assert_array_equal(open_nexus(path).counts, np.concatenate([0 * FRAMES[:5], FRAMES[5:]]))


def test_a_file_that_can_not_be_closed_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = grown(tmp_path / "f.nxs")

    def closed(file: h5py.File) -> None:
        file.close()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(changed_file, "close_file", closed)
    with pytest.raises(NexusFileError, match=r"all was added, but may not be on the disk .*error"):
        to_nexus(stack(7, 5), path, append_dim="frame")


def test_a_system_that_makes_no_room_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    path = grown(tmp_path / "f.nxs")
    monkeypatch.setattr("os.posix_fallocate", unsupported)
    to_nexus(stack(7, 5), path, append_dim="frame")
    assert_same(open_nexus(path), stack())


@pytest.mark.parametrize("append", [True, False], ids=["append_dim", "netcdf"])
def test_what_the_disk_has_no_blocks_of_gets_none(tmp_path: Path, append: bool) -> None:
    path = grown(tmp_path / "f.nxs")
    with h5py.File(path, "a") as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((64 << 20,))
        h5py.h5d.create(file.id, b"unwritten", h5py.h5t.NATIVE_UINT8, space, properties)
    assert os.stat(path).st_blocks * 512 < 32 << 20  # or this file system has no holes
    if append:
        to_nexus(stack(7, 5), path, append_dim="frame")
        assert_same(open_nexus(path), stack())
    else:
        with kept_file(open_file(path, "r+"), path) as file:
            file["more"] = np.arange(1000)
    assert os.stat(path).st_blocks * 512 < 32 << 20


Change = Callable[[xr.Dataset], Any]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda ds: ds.to_dataarray(), "no NXdata group has"),
        (lambda ds: ds.assign(other=ds.counts), "no NXdata group has"),
        (lambda ds: ds.drop_vars("monitor"), "'monitor' of the file would stay shorter along 'frame'"),
        (lambda ds: ds.drop_vars(["label", "when"]), r"'(when|label)', '(when|label)' of the file would stay shorter"),
        (lambda ds: ds.assign_coords(x=ds.x + 1), "/x: .* it hasn't the values of 'x', which spans no 'frame'"),
        (lambda ds: ds.assign_coords(height=2.0), "/height: .* it hasn't the values of 'height'"),
        (lambda ds: ds.assign(mask=~ds["mask"]), "/mask: .* it hasn't the values of 'mask'"),
        (lambda ds: ds.isel(x=slice(3)), r"/counts: .* shape is \(5, 6, 8\), which \(7, 6, 3\) doesn't fit"),
        (lambda ds: ds.assign(monitor=ds.counts), r"/monitor: .* it has dimensions \('frame',\), not \('frame', 'y'"),
        (
            lambda ds: ds.assign(counts=ds.counts.astype("i8")),
            "/counts: .* uint16, of which it is, doesn't hold all of int64",
        ),
        (lambda ds: ds.assign(monitor=ds.label), "/monitor: .* doesn't hold all of"),
        (lambda ds: ds.assign_coords(label=ds.monitor), "/label: .* doesn't hold all of float64"),
        (
            lambda ds: ds.assign_coords(when=ds.when.astype("M8[ns]")),
            r"/when: .* datetime64\[ms\], of which it is, doesn't hold",
        ),
        (lambda ds: ds.assign_coords(when=("frame", np.arange(7))), "/when: .* doesn't hold all of int64"),
        (lambda ds: ds.assign(monitor=ds.monitor.astype("m8[s]")), "/monitor: .* doesn't hold all of timedelta64"),
        (
            lambda ds: ds.assign_coords(frame=ds.frame.assign_attrs(units="ms")),
            "/frame: .* its units are 's', not 'ms'",
        ),
        (lambda ds: ds.rename(frame="scan"), "append_dim='frame': no variable to write has this dimension; .* 'scan'"),
        (lambda ds: [ds], "expected a DataArray or a Dataset, found list"),
        (lambda ds: xr.DataTree(ds), "expected a DataArray or a Dataset, found DataTree"),
        (lambda ds: ds.assign(counts=ds.counts.astype(object)), "/counts: .*"),
    ],
)
@pytest.mark.parametrize("compute", [True, False])
def test_what_does_not_continue_the_file_is_refused(tmp_path: Path, change: Change, said: str, compute: bool) -> None:
    path = grown(tmp_path / "f.nxs")
    before = path.read_bytes()
    with pytest.raises(NexusError, match=said):
        to_nexus(change(stack(7, 5)), path, append_dim="frame", compute=compute)
    assert path.read_bytes() == before


def test_what_cannot_grow_is_named(tmp_path: Path) -> None:
    to_nexus(stack(5), tmp_path / "f.nxs")
    with pytest.raises(NexusError) as caught:
        to_nexus(stack(7, 5), tmp_path / "f.nxs", append_dim="frame")
    assert "can't grow along 'frame'" in str(caught.value)
    assert "/entry1/counts/counts has the shape (5, 6, 8) for good" in str(caught.value)
    assert 'unlimited_dims="frame"' in str(caught.value)


def test_what_lies_elsewhere_does_not_grow(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs")
    with h5py.File(path, "r+") as file, h5py.File(tmp_path / "g.nxs", "w") as other:
        file.copy("entry1/counts/monitor", other, "monitor")
        del file["entry1/counts/monitor"]
        file["entry1/counts/monitor"] = h5py.ExternalLink("g.nxs", "monitor")
    with pytest.raises(NexusError, match=r"/monitor lies in another file, .*g.nxs"):
        to_nexus(stack(7, 5), path, append_dim="frame")
    layout = h5py.VirtualLayout((5,), "f8", maxshape=(None,))
    layout[:] = h5py.VirtualSource(tmp_path / "g.nxs", "monitor", (5,))
    with h5py.File(path, "r+") as file:
        del file["entry1/counts/monitor"]
        made = file["entry1/counts"].create_virtual_dataset("monitor", layout)
        made.attrs["_ARRAY_DIMENSIONS"] = ["frame"]
    with pytest.raises(NexusError, match="/monitor is made of other datasets"):
        to_nexus(stack(7, 5), path, append_dim="frame")


def test_fields_of_several_lengths_are_not_continued(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs")
    with h5py.File(path, "r+") as file:
        file["entry1/counts/monitor"].attrs["_ARRAY_DIMENSIONS"] = ["frame"]
        file["entry1/counts/monitor"].resize(6, 0)
    with pytest.raises(NexusError, match=r"lengths of fields differ:\n.*'monitor' of shape \(6,\)"):
        to_nexus(stack(7, 5), path, append_dim="frame")


def test_a_file_that_only_some_fields_of_have_grown_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs")
    with h5py.File(path, "r+") as file:  # as a process leaves it that is killed in the last moments
        for name in ("counts", "counts_errors"):
            file["entry1/counts"][name].resize(12, 0)
    with pytest.raises(NexusError, match=r"is damaged; write it anew:\n(.*\n)*.*/frame of shape \(5,\)"):
        to_nexus(stack(7, 5), path, append_dim="frame")


def test_what_is_scaled_in_the_file_is_not_continued(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs")
    with h5py.File(path, "r+") as file:
        file["entry1/counts/counts_scaling_factor"] = 2.0
    with pytest.raises(NexusError, match="/counts: nothing was written, as it is scaled in the file"):
        to_nexus(stack(7, 5), path, append_dim="frame")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "w"}, 'append_dim continues .* takes no mode="w"'),
        ({"compression": "gzip", "chunks": (1, 2, 3)}, "takes no compression, chunks"),
        ({"unlimited_dims": "frame", "encoding": {"x": {}}}, "takes no unlimited_dims, encoding"),
        ({"region": {"frame": slice(0, 1)}}, "takes no append_dim"),
        ({"layout": "inplace"}, "takes no layout"),
        ({"entry": "entry2"}, "entry='entry2' has no"),
    ],
)
def test_what_does_not_go_with_appending_is_refused(tmp_path: Path, options: Any, said: str) -> None:
    path = grown(tmp_path / "f.nxs")
    with pytest.raises(NexusError, match=said):
        to_nexus(stack(7, 5), path, append_dim="frame", **options)
    assert_same(open_nexus(path), stack(5))


def test_only_files_here_are_continued(tmp_path: Path) -> None:
    with pytest.raises(NexusFileError, match=r"f\.nxs"):
        to_nexus(stack(), tmp_path / "f.nxs", append_dim="frame")
    with pytest.raises(NexusError, match="a file is sent there as a whole, which append_dim doesn't go with"):
        to_nexus(stack(), "memory://f.nxs", append_dim="frame")
    path = grown(tmp_path / "f.nxs")
    with (
        h5py.File(path, "r+"),
        pytest.raises(NexusFileError, match="is open for writing in this process; close it first"),
    ):
        to_nexus(stack(7, 5), path, append_dim="frame")
    with (
        h5py.File(path),
        pytest.raises(NexusFileError, match="can't be written, as this process has it open for reading"),
    ):
        to_nexus(stack(7, 5), path, append_dim="frame")
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(NexusError, match="only dask's own threads in this process"),
    ):
        to_nexus(stack(7, 5).chunk({"frame": 1}), path, append_dim="frame")
    assert_same(open_nexus(path), stack(5))


def test_a_list_of_free_space_is_not_kept_up(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs")
    with h5py.File(path) as file, h5py.File(tmp_path / "g.nxs", "w", fs_strategy="fsm", fs_persist=True) as other:
        file.copy("entry1", other)
    with pytest.raises(NexusFileError, match="keeps a list of its free space"):
        to_nexus(stack(7, 5), tmp_path / "g.nxs", append_dim="frame")
    assert open_nexus(tmp_path / "g.nxs").counts.shape == (5, 6, 8)


def test_several_threads_append_one_after_the_other(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", 0)
    blocks = [stack(3, start).drop_vars("label") for start in range(0, 12, 3)]
    to_nexus(stack(0).drop_vars("label"), path, unlimited_dims="frame", chunks={"frame": 2})
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda block: to_nexus(block, path, append_dim="frame"), blocks))
    assert_same(open_nexus(path).sortby("frame"), stack().drop_vars("label"))


# --- others read meanwhile -----------------------------------------------------------------------------------------


def test_a_file_is_read_as_it_was_while_it_is_appended_to(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 2})
    before = open_nexus(path)
    seen: list[tuple[xr.Dataset, xr.Dataset, int]] = []

    def look(block: Any) -> Any:
        seen.append((open_nexus(path).load(), before.copy().load(), len(h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE))))
        return block

    more = stack(7, 5)
    blocks = da.from_array(more.counts.data, chunks=(1, -1, -1)).map_blocks(look, dtype="u2", meta=np.empty(0, "u2"))
    to_nexus(more.assign(counts=more.counts.copy(data=blocks)), path, append_dim="frame")
    assert len(seen) == 7
    for found, known, count in seen:
        assert_same(found, stack(5))
        assert_same(known, stack(5))
        assert count == 1  # that of who appends
    assert_same(open_nexus(path), stack())
    with pytest.raises(nexus_xr.NexusFileChangedError, match=r"f\.nxs: the file changed since it was opened"):
        before.counts.load()


def test_who_reads_waits_for_the_end_of_appending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, waits = grown(tmp_path / "f.nxs"), threading.Event()
    wait = changes._told.wait

    def noted(seconds: float) -> bool:
        waits.set()
        return wait(seconds)

    def closed(file: h5py.File) -> None:
        opened.append(pool.submit(lambda: open_nexus(path).load()))
        wait_until(waits.is_set)
        close_file(file)

    monkeypatch.setattr(changes._told, "wait", noted)
    monkeypatch.setattr(changed_file, "close_file", closed)
    opened: list[concurrent.futures.Future[xr.Dataset]] = []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        to_nexus(stack(7, 5), path, append_dim="frame")
        assert_same(opened[0].result(), stack())


def test_who_reads_need_not_wait_where_appending_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = grown(tmp_path / "f.nxs")
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(NexusFileError, match="No space left"):
        to_nexus(stack(7, 5), path, append_dim="frame")
    assert_same(open_nexus(path), stack(5))


@pytest.mark.parametrize("is_fast", [False, True])
def test_a_file_that_was_appended_to_has_a_date_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 20})
    before, date = open_nexus(path), path.stat().st_mtime_ns + (10**13 if is_fast else 0)
    os.utime(path, ns=(date, date))
    again = open_nexus(path)

    def closed(file: h5py.File) -> None:
        close_file(file)
        os.utime(path, ns=(date, date))  # as of a clock that stood still

    monkeypatch.setattr(changed_file, "close_file", closed)
    to_nexus(stack(7, 5), path, append_dim="frame")
    assert path.stat().st_mtime_ns > date
    for opened in (before, again):
        with pytest.raises(nexus_xr.NexusFileChangedError):
            opened.counts.load()


@pytest.mark.parametrize("is_shared", [False, True])
def test_appending_waits_for_what_is_read_through_libhdf5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_shared: bool
) -> None:
    path, waits = grown(tmp_path / "f.nxs"), threading.Event()
    outlast = handles.outlast

    def noted(name: str) -> bool:
        waits.set()
        return outlast(name)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        with contextlib.ExitStack() as reading:
            with h5py.File(path, "r+") if is_shared else contextlib.nullcontext():
                reading.enter_context(File(path).opened())
            monkeypatch.setattr(h5py_handles, "_MOST_SECONDS", 0.0)
            said = "is open for writing in this process" if is_shared else "this process has it open for reading"
            with pytest.raises(NexusFileError, match=said):
                to_nexus(stack(7, 5), path, append_dim="frame")
            monkeypatch.undo()
            monkeypatch.setattr(handles, "outlast", noted)
            appended = pool.submit(to_nexus, stack(7, 5), path, append_dim="frame")
            wait_until(waits.is_set)
        appended.result()
    assert_same(open_nexus(path), stack())


@contextlib.contextmanager
def changed_elsewhere(path: Path) -> Iterator[Callable[[], None]]:
    """Another process is at work on a file, until what this gives is called."""
    beside = Path(lock_file(os.path.realpath(path), "lock"))
    with open(beside, "w") as stream:
        stream.write("process 1 on another")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield beside.unlink


def half_grown(path: Path) -> bytes:
    """Make a file of one whose signal has grown, and its axes haven't; gives what it is when all is written."""
    to_nexus(stack(7, 5), grown(path), append_dim="frame")
    whole = path.read_bytes()
    with h5py.File(path, "r+") as file:
        for name in ("frame", "monitor", "when", "label"):
            file["entry1/counts"][name].resize(5, 0)
    return whole


@pytest.mark.parametrize(
    "opened",
    [
        open_nexus,
        lambda path: nexus_xr.open_signals(path)[0],
        lambda path: xr.open_datatree(path, engine="nexus")["entry1/counts"],
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_file_that_another_process_is_at_work_on_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[[Path], Any]
) -> None:
    path = tmp_path / "f.nxs"
    whole = half_grown(path)
    with pytest.raises(nexus_xr.NexusWarning, match=r"'frame' of shape .5,. doesn't fit"):
        opened(path)
    with changed_elsewhere(path) as is_done:

        def sleep(seconds: float) -> None:
            path.write_bytes(whole)
            is_done()

        monkeypatch.setattr("time.sleep", sleep)
        found = opened(path)
    assert found.coords["frame"].shape == (12,)


def test_a_file_that_never_agrees_opens_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    half_grown(tmp_path / "f.nxs")
    with (
        changed_elsewhere(tmp_path / "f.nxs"),
        pytest.warns(nexus_xr.NexusWarning, match=r"'frame' of shape .5,. doesn't fit"),
    ):
        open_nexus(tmp_path / "f.nxs")
    assert tuple(pauses) == select._PAUSES


@pytest.mark.parametrize("times", [1, len(select._PAUSES), len(select._PAUSES) + 1])
def test_a_file_that_changes_while_it_is_opened_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    path, left = grown(tmp_path / "f.nxs"), [*range(times)]

    def changing(*args: Any) -> Any:
        if left:
            os.utime(path, ns=(0, left.pop()))
        return read_content(*args)

    monkeypatch.setattr("nexus_xr.opening.select.read_content", changing)
    monkeypatch.setattr("time.sleep", lambda _: None)
    if times <= len(select._PAUSES):
        assert_same(open_nexus(path), stack(5))
    else:
        with pytest.raises(nexus_xr.NexusFileChangedError):
            open_nexus(path)
    assert not left


def test_values_that_another_process_writes_over_are_not_damaged(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 6}, compression="gzip")
    with h5py.File(path) as file:
        at = file["entry1/counts/counts"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"nothing of zlib")
    found = open_nexus(path)
    with (
        changed_elsewhere(path),
        pytest.raises(nexus_xr.NexusFileChangedError, match=r"f\.nxs: another process is changing the file; open it"),
    ):
        found.counts.load()
    with pytest.raises(NexusFileError, match="zlib") as caught:
        found.counts.load()
    assert not isinstance(caught.value, nexus_xr.NexusFileChangedError)


# --- what fails leaves the file as it was --------------------------------------------------------------------------


def failing(block: Any) -> Any:
    raise RuntimeError("no more")


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("fails", ["dask", "whole", "part", "disk"])
def test_a_file_is_as_it_was_where_appending_fails(
    tmp_path: Path, fails: str, libver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = grown(tmp_path / "first.nxs", chunks={"frame": 3}, compression="gzip")
    path = tmp_path / "f.nxs"
    with h5py.File(first) as file, h5py.File(path, "w", libver=libver) as other:
        file.copy("entry1", other)
    before, more = path.read_bytes(), stack(7, 5)
    error: type[Exception] = NexusFileError
    written: list[Any] = []
    write = WrittenDataset.write

    def counting(dataset: WrittenDataset, region: Any, values: Any) -> None:
        written.append(region)
        write(dataset, region, values)
        if len(written) == {"whole": 2, "part": 5}.get(fails):
            raise NexusFileError("can't be written (No space left on device)")

    monkeypatch.setattr(WrittenDataset, "write", counting)
    if fails == "dask":
        blocks = da.concatenate(
            [more.counts.data[:5], da.from_array(more.counts.data[5:]).map_blocks(failing, dtype="u2")]
        )
        more = more.assign(counts=more.counts.copy(data=blocks))
        error = RuntimeError
    elif fails == "disk":
        monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(error, match="no more" if fails == "dask" else "can't be written .No space left on device"):
        to_nexus(more, path, append_dim="frame")
    assert written
    assert path.read_bytes() == before
    monkeypatch.undo()
    to_nexus(stack(7, 5), path, append_dim="frame")
    found = open_nexus(path)
    np.testing.assert_array_equal(found.counts, FRAMES)


def test_what_the_system_can_not_bring_to_the_disk_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = grown(tmp_path / "f.nxs")
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NexusFileError, match=r"f\.nxs: can't be written .No space left on device"):
        to_nexus(stack(7, 5), path, append_dim="frame")
    assert path.read_bytes() == before


def test_what_is_not_written_at_first_is_written_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, flush = grown(tmp_path / "f.nxs"), h5py.File.flush
    failed: list[h5py.File] = []

    def flushed(file: h5py.File) -> None:
        if not failed:
            failed.append(file)
            full()
        flush(file)

    monkeypatch.setattr(h5py.File, "flush", flushed)
    to_nexus(stack(7, 5), path, append_dim="frame")
    assert failed
    assert_same(open_nexus(path), stack())


@pytest.mark.parametrize(("at", "count"), [("sync_file", 5), ("_complete", 12)])
def test_an_interrupt_comes_before_all_is_added_or_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, count: int
) -> None:
    path = grown(tmp_path / "f.nxs")
    before, work = path.read_bytes(), getattr(changed_file, at)

    def interrupted(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGINT)
        work(*arguments)

    monkeypatch.setattr(changed_file, at, interrupted)
    with pytest.raises(KeyboardInterrupt) as error:
        to_nexus(stack(7, 5), path, append_dim="frame")
    monkeypatch.undo()
    assert (path.read_bytes() == before) == (count == 5)
    notes = getattr(error.value, "__notes__", [])
    assert notes == ([] if count == 5 else [f"{path}: all was added before the interrupt"])
    assert_same(open_nexus(path), stack(count))
    if count == 5:
        to_nexus(stack(7, 5), path, append_dim="frame")
        assert_same(open_nexus(path), stack())


NO_MORE_WRITES = """
import resource, sys, warnings
import nexus_xr, xarray as xr
from nexus_xr.hdf5.io.locks import is_open_for_writing
from nexus_xr.hdf5.writing import changed_file

warnings.simplefilter("error")
path, sync = sys.argv[1], changed_file.sync_file
more = xr.open_dataset(path, engine="nexus").load()

def synced(*arguments):
    sync(*arguments)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

changed_file.sync_file = synced
for _ in range(2):
    try:
        more.nexus.to_nexus(path, append_dim="frame")
    except nexus_xr.NexusFileError as error:
        print(error)
    print(is_open_for_writing(path))
"""


def test_nobody_waits_for_a_file_that_could_not_be_written_to_the_end(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 5})
    said = run(NO_MORE_WRITES, path).splitlines()
    assert said[0].startswith(f"{path}: can't be written, and may be damaged (File too large): ")
    assert said[2].startswith(f"{path}: this process can't write it any more, ")
    assert (said[1], said[3]) == ("False", "False")


KILLED = """
import sys
import xarray as xr
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.writable_file import kept_file, open_file

dataset = xr.open_dataset(sys.argv[1], engine="nexus").load()
write = WrittenDataset.write

def waiting(target, region, values):
    write(target, region, values)
    print("written", flush=True)
    sys.stdin.readline()

WrittenDataset.write = waiting
dataset.nexus.to_nexus(sys.argv[1], append_dim="frame")
"""


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_is_as_it_was_where_who_appends_is_killed(tmp_path: Path, libver: Any) -> None:
    first = grown(tmp_path / "first.nxs", chunks={"frame": 5})
    path = tmp_path / "f.nxs"
    with h5py.File(first) as file, h5py.File(path, "w", libver=libver) as other:
        file.copy("entry1", other)
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline() == "written\n"
            with h5py.File(path, locking=False) as file:  # others may read it meanwhile
                assert file["entry1/counts/counts"].shape == (5, 6, 8)
            print(file=process.stdin, flush=True)
        process.kill()
    assert_same(open_nexus(path), stack(5))
    to_nexus(stack(7, 5), path, append_dim="frame")
    assert_same(open_nexus(path), stack())


TOO_LARGE = """
import os, resource, subprocess, sys
import h5py, numpy as np, xarray as xr, nexus_xr

path, more, may_be_lifted = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
values = np.random.default_rng(0).random((40, 256))
stack = xr.Dataset({"i": (("t", "x"), values)})
nexus_xr.to_nexus(stack, path, unlimited_dims="t", compression="gzip", chunks={"t": 4})
with open(path, "rb") as stream:
    before = stream.read()
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
limited = len(before) + more, limits[1] if may_be_lifted else len(before) + more
resource.setrlimit(resource.RLIMIT_FSIZE, limited)
try:
    nexus_xr.to_nexus(stack, path, append_dim="t")
except nexus_xr.NexusFileError as error:
    print(error)
assert resource.getrlimit(resource.RLIMIT_FSIZE) == limited
with open(path, "rb") as stream:
    assert stream.read() == before
assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == (not may_be_lifted)
subprocess.run([sys.executable, "-c", "import sys, h5py; h5py.File(sys.argv[1])", path], check=True)
if may_be_lifted:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    added = stack
else:
    added = stack[{"t": slice(1)}]
with h5py.File(path) as file:
    np.testing.assert_array_equal(file["entry1/i/i"], values)
nexus_xr.to_nexus(added, path, append_dim="t")
with h5py.File(path) as file:
    np.testing.assert_array_equal(file["entry1/i/i"], np.concatenate([values, added.i]))
"""


@pytest.mark.parametrize(("more", "may_be_lifted"), [(0, True), (3_000, True), (70_000, True), (70_000, False)])
def test_after_a_file_may_not_grow_further_it_can_be_appended_to(
    tmp_path: Path, more: int, may_be_lifted: bool
) -> None:
    command = [sys.executable, "-c", TOO_LARGE, str(tmp_path / "f.nxs"), str(more), str(may_be_lifted)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'f.nxs'}:/entry1/i/i: can't be written (File too large)\n"


# --- one entry in the place of another -----------------------------------------------------------------------------


def test_a_chunk_that_can_not_be_read_is_named_where_more_would_be_in_it(tmp_path: Path) -> None:
    path = grown(tmp_path / "f.nxs", chunks={"frame": 3})

    def unreadable(*_: Any) -> None:
        raise OSError("Can't read unprocessed chunk data (addr overflow, addr = 15263, size = 16, eoa = 15248)")

    with changed_file.changing(str(path)) as changed:
        dataset = SimpleNamespace(name="/entry1/counts", id=SimpleNamespace(get_chunk_info_by_coord=unreadable))
        with pytest.raises(NexusFileError, match=r"f\.nxs:/entry1/counts: .* chunk at \(3,\), .*addr overflow"):
            changed.remember_chunk(dataset, (3,))


def test_what_can_not_be_written_back_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = grown(tmp_path / "f.nxs")

    def failed(block: Any) -> Any:
        monkeypatch.setattr(changed_file.ChangedFile, "restore", full)
        raise ZeroDivisionError

    more = stack(7, 5).chunk({"frame": 7})
    more["counts"] = more.counts.copy(data=more.counts.data.map_blocks(failed, dtype="u2"))
    with pytest.raises(NexusFileError, match=r"f\.nxs: .* may be damaged, as .* back .No space left on device"):
        to_nexus(more, path, append_dim="frame")


def test_an_entry_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    to_nexus([stack(3), stack(4), stack(5)], path)
    with h5py.File(path, "r+") as file:
        file.attrs.update(default="entry3", operator="somebody")
        before = dict(file.attrs)
    read = open_nexus(path, dataset_path="/entry2/counts", drop_variables="counts_errors")
    to_nexus(read.assign(counts=read.counts + np.uint16(1)), path, mode="r+", entry="entry2")
    with h5py.File(path) as file:
        assert list(file) == ["entry1", "entry2", "entry3"]
        assert dict(file.attrs) == before
        np.testing.assert_array_equal(file["entry2/counts/counts"], FRAMES[:4] + 1)
        np.testing.assert_array_equal(file["entry3/counts/counts"], FRAMES[:5])
    to_nexus(stack(1), path, mode="r+", entry="entry1", use_default=True)
    assert open_nexus(path).sizes["frame"] == 1
    with h5py.File(path) as file:
        assert (list(file), file.attrs["default"]) == (["entry1", "entry2", "entry3"], "entry1")


@pytest.mark.parametrize("is_gone", [False, True])
def test_an_entry_is_replaced_beside_others_that_are_added(tmp_path: Path, is_gone: bool) -> None:
    path = tmp_path / "f.nxs"
    to_nexus([stack(3), stack(4)], path)
    options: Any = {"mode": "r+", "entry": "entry1", "use_default": is_gone}
    job = to_nexus(stack(2).chunk({"frame": 1}), path, compute=False, **options)
    to_nexus(stack(5), path, mode="a")
    if is_gone:
        with h5py.File(path, "r+") as file:
            del file["entry1"]
    job.compute()
    with h5py.File(path) as file:
        names = ["entry1", "entry2", "entry3"]
        assert list(file) == ([*names[1:], "entry1"] if is_gone else names)
        assert [len(file[f"{name}/counts/counts"]) for name in names] == [2, 4, 5]
        assert file.attrs.get("default") == ("entry1" if is_gone else None)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "r+"}, 'mode="r\\+" replaces one entry; say which one by entry'),
        ({"mode": "r+", "entry": "entry7"}, r"there is no entry 'entry7', only \['entry1'\]"),
        ({"mode": "a", "entry": "entry1"}, "has an entry 'entry1' already; .* mode=\"r\\+\" puts another in its place"),
        ({"mode": "r"}, 'expected "w" .* or "r\\+"'),
        ({"mode": "r+", "entry": "entry1", "layout": "inplace"}, "takes no entry, mode="),
    ],
)
def test_an_entry_that_is_not_there_is_not_replaced(tmp_path: Path, options: Any, said: str) -> None:
    to_nexus(stack(), tmp_path / "f.nxs")
    before = (tmp_path / "f.nxs").read_bytes()
    with pytest.raises(NexusError, match=said):
        to_nexus(stack(2), tmp_path / "f.nxs", **options)
    assert (tmp_path / "f.nxs").read_bytes() == before
    with pytest.raises(NexusError, match=r"there is no entry 'entry1', only \[\]"):
        to_nexus(stack(2), tmp_path / "g.nxs", mode="r+", entry="entry1")
    assert [each.name for each in tmp_path.iterdir()] == ["f.nxs"]


def test_nothing_is_appended_to_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nxs")
    for way in ({"append_dim": "frame"}, {"region": {"frame": slice(0, 3)}}):
        with pytest.raises(NexusFileError, match=r"pipe\.nxs: is a pipe or a socket, and no file"):
            stack(3).nexus.to_nexus(tmp_path / "pipe.nxs", **way)
    assert os.listdir(tmp_path) == ["pipe.nxs"]
