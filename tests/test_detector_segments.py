"""Detector masters without a virtual dataset: stacks in segments, as one signal."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import nexus_xr
from benchmarks.serving import RangeServer
from nexus_xr import NexusError, NexusFileError, NexusWarning

from .files import Field, nxdata, nxentry, write_tree
from .stacks import counts

pytestmark = pytest.mark.usefixtures("only_engine")

FRAME = (6, 8)


def write_master(
    folder: Path, lengths: dict[int, int], fields: dict[str, Any] | None = None, **attributes: Any
) -> NDArray[np.uint16]:
    """A master as the file writer of a detector leaves it; gives all values in the order of the numbers."""
    (folder / "parts").mkdir(exist_ok=True)
    values = []
    links: dict[str, Any] = {}
    for number, length in lengths.items():
        values.append(counts((length, *FRAME), number))
        with h5py.File(folder / f"parts/scan_data_{number:06}.h5", "w") as file:
            segment = file.create_dataset("entry/data/data", data=values[-1], chunks=(1, *FRAME), compression="gzip")
            segment.attrs.update(image_nr_low=number * 100, units="counts")
        links[f"data_{number:06}"] = h5py.ExternalLink(f"parts/scan_data_{number:06}.h5", "/entry/data/data")
    group = nxdata({**dict(reversed(links.items())), **(fields or {})}, **attributes)
    detector = {"@NX_class": "NXdetector", "count_time": Field(0.1, {"units": "s"})}
    entry = nxentry({"data": group, "instrument": {"@NX_class": "NXinstrument", "detector": detector}})
    write_tree(folder / "scan_master.h5", {"entry": entry})
    return np.concatenate(values)


def test_no_region_of_several_segments_is_written(tmp_path: Path) -> None:
    write_master(tmp_path, {1: 2, 2: 2})
    path = tmp_path / "scan_master.h5"
    frame = xr.open_dataset(path, engine="nexus").isel(dim_0=slice(0, 1)).load()
    with pytest.raises(NexusError, match="'data' is made of several datasets, data_000001, data_000002; write into"):
        frame.nexus.to_nexus(path, region={"dim_0": slice(0, 1)})


def test_the_segments_are_one_signal_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    lengths = dict.fromkeys(range(1, 13), 3) | {13: 2}
    expected = write_master(tmp_path, lengths)
    dataset = xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus", chunks={})
    assert list(dataset.variables) == ["data"]
    np.testing.assert_array_equal(dataset.data.values, expected)
    np.testing.assert_array_equal(dataset.data[::-5, 2, [5, 1]].values, expected[::-5, 2][:, [5, 1]])
    assert dataset.data.attrs == {"units": "counts"}  # and none that only one segment has
    assert dataset.data.encoding["nexus_path"] == "/entry/data/data"
    assert dataset.data.encoding["chunksizes"] == (1, *FRAME)
    assert dataset.attrs["instrument"]["detector"]["count_time"]["value"] == 0.1
    assert set(dataset.attrs["data"]) == {"attrs"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("attributes", [{"signal": "data_000001"}, {"signal": "data"}, {"axes": ["omega", ".", "."]}])
def test_a_group_that_names_the_first_segment_or_the_stem_or_axes(tmp_path: Path, attributes: dict[str, Any]) -> None:
    expected = write_master(tmp_path, {1: 4, 2: 3}, {"omega": np.arange(7) * 0.5}, **attributes)
    undeclared = pytest.warns(NexusWarning, match="has no axis.*: omega")
    with nullcontext() if "axes" in attributes else undeclared:
        dataset = xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus")
    np.testing.assert_array_equal(dataset.data.values, expected)
    if "axes" in attributes:
        assert dataset.data.dims[0] == "omega"
        assert dataset.sel(omega=3.0).data.values.tolist() == expected[6].tolist()


def test_every_way_of_opening_agrees(tmp_path: Path) -> None:
    expected = write_master(tmp_path, {1: 2, 2: 2})
    path = tmp_path / "scan_master.h5"
    [signal] = nexus_xr.open_signals(path, chunks={})
    assert (signal.name, signal.shape) == ("data", expected.shape)
    tree = xr.open_datatree(path, engine="nexus")
    assert list(tree["entry/data"].dataset.variables) == ["data"]
    assert not tree["entry/data"].attrs.keys() - {"attrs"}
    groups, datasets = nexus_xr.list_datasets(path)
    assert (groups, sorted(datasets)) == (["/entry/data"], ["/entry/data/data_000001", "/entry/data/data_000002"])
    segment = xr.open_dataset(path, engine="nexus", dataset_path="/entry/data/data_000002")
    np.testing.assert_array_equal(segment["data_000002"].values, expected[2:])


@pytest.mark.parametrize(
    "way", ["{server}", "simplecache::{server}", "simplecache::file://{folder}", "file://{folder}"]
)
def test_the_segments_behind_a_url_with_a_port_or_an_absolute_path(way: str, tmp_path: Path) -> None:
    (tmp_path / "in a folder").mkdir()
    expected = write_master(tmp_path / "in a folder", {1: 2, 2: 3})
    options = {"simplecache": {"cache_storage": str(tmp_path / "cache")}} if "simplecache" in way else None
    with RangeServer(tmp_path).running() as server:
        folder = way.format(server=server.url, folder=tmp_path)
        name = "in%20a%20folder" if "server" in way else "in a folder"
        url = f"{folder}/{name}/scan_master.h5"
        dataset = xr.open_dataset(url, engine="nexus", chunks={}, storage_options=options)
        np.testing.assert_array_equal(dataset.data.values, expected)
        np.testing.assert_array_equal(nexus_xr.reduce(dataset.data, "sum", "dim_0").values, expected.sum(0))
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).data.values, expected)


def test_segments_in_the_file_itself(tmp_path: Path) -> None:
    segments = {f"frames_{number:03}": counts((2, *FRAME), number) for number in (998, 999, 1000)}
    write_tree(tmp_path / "scan.nxs", {"entry": nxentry({"data": nxdata(segments)})})
    dataset = xr.open_dataset(tmp_path / "scan.nxs", engine="nexus")
    np.testing.assert_array_equal(dataset.frames.values, np.concatenate(list(segments.values())))


def test_missing_segments_and_numbers_are_left_out_with_one_warning_or_are_an_error(tmp_path: Path) -> None:
    expected = write_master(tmp_path, {1: 2, 2: 2, 5: 2, 6: 2})
    (tmp_path / "parts/scan_data_000002.h5").unlink()
    with pytest.warns(
        NexusWarning, match=r"(?s)left out: data_000002 .*is not there.*data_000003 to data_000004"
    ) as caught:
        dataset = xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus")
    assert len(caught) == 1
    np.testing.assert_array_equal(dataset.data.values, np.delete(expected, [2, 3], axis=0))
    with pytest.raises(NexusError, match=r"scan_data_000002.h5"):
        xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus", missing="raise")


@pytest.mark.parametrize(("last", "told"), [(3, "data_002$"), (4, "data_002 to data_003$")])
def test_numbers_that_are_left_out_are_told_as_the_names_that_they_would_be(
    last: int, told: str, write: Callable[..., Path]
) -> None:
    stack = np.zeros((2, 3, 4))
    path = write({"entry": nxentry({"data": nxdata({"data_001": stack, f"data_00{last}": stack})})})
    with pytest.warns(NexusWarning, match=f"left out: {told}"):
        xr.open_dataset(path, engine="nexus")


def test_a_segment_that_goes_missing_later(tmp_path: Path) -> None:
    write_master(tmp_path, {1: 2, 2: 2})
    path = tmp_path / "scan_master.h5"
    lenient, strict = (xr.open_dataset(path, engine="nexus", missing=missing) for missing in ("fill", "raise"))
    (tmp_path / "parts/scan_data_000002.h5").unlink()
    np.testing.assert_array_equal(lenient.data[:2].values, strict.data[:2].values)
    for opened in (lenient, strict):
        with pytest.raises(NexusError, match=r"scan_data_000002.h5: there is no such file"):
            opened.data.load()


def test_other_groups_stay_as_they_are(tmp_path: Path) -> None:
    stack = np.ones((2, *FRAME), "u2")
    groups = {
        "with_signal": nxdata({"data": stack, "data_001": stack[:1], "data_002": stack[:1]}, signal="data"),
        "auxiliary": nxdata({"a_001": stack, "a_002": stack}, signal="a_001", auxiliary_signals=["a_002"]),
        "curves": nxdata({"x_001": [1, 2], "x_002": [3, 4]}),
        "short": nxdata({"a_1": stack, "a_2": stack}, signal="a_1"),
    }
    write_tree(tmp_path / "scan.nxs", {"entry": nxentry(groups)})
    with pytest.warns(NexusWarning, match="x_001, x_002"):
        tree = xr.open_datatree(tmp_path / "scan.nxs", engine="nexus")
    signals = {name: set(tree["entry"][name].data_vars) for name in groups}
    assert signals["with_signal"] == {"data"}
    assert signals["auxiliary"] == {"a_001", "a_002"}
    assert signals["curves"] == {"x_001", "x_002"}
    assert "a_1" in signals["short"]


@pytest.mark.parametrize(("shape", "dtype"), [((3, 3), "u2"), (FRAME, "u4"), (FRAME, "i2")])
def test_segments_that_are_not_alike_are_left_out_or_an_error(tmp_path: Path, shape: Any, dtype: str) -> None:
    expected = write_master(tmp_path, {1: 2, 2: 2}, {"data_000003": np.ones((2, *shape), dtype)})
    has = f"data_000003 (has images of shape {shape} and type {np.dtype(dtype).str}, where data_000001 has "
    told = re.escape(f"left out: {has}shape {FRAME} and type <u2)")
    with pytest.warns(NexusWarning, match=told):
        dataset = xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus")
    np.testing.assert_array_equal(dataset.data.values, expected)
    for opened in (xr.open_dataset, xr.open_datatree):
        with pytest.raises(NexusFileError, match=told):
            opened(tmp_path / "scan_master.h5", engine="nexus", missing="raise")


def test_numbers_that_are_left_out_are_an_error_where_nothing_may_be_missing(tmp_path: Path) -> None:
    write_master(tmp_path, {1: 2, 3: 2})
    with pytest.raises(NexusFileError, match="left out: data_000002"):
        xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus", missing="raise")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("dtypes", "joined"),
    [
        (("<u2", ">u2"), "=u2"),
        ((">u2", "<u2"), "=u2"),
        ((">f4", "<f4"), "=f4"),
        ((">u2", ">u2"), ">u2"),  # as the file has it
    ],
)
def test_segments_of_another_order_of_bytes_are_joined(tmp_path: Path, dtypes: tuple[str, str], joined: str) -> None:
    parts = [counts((2, *FRAME), number).astype(dtype) for number, dtype in enumerate(dtypes)]
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        group = file.create_group("entry/data")
        group.attrs["NX_class"] = "NXdata"
        for number, part in enumerate(parts, 1):
            group.create_dataset(f"data_{number:06}", data=part, chunks=(1, *FRAME))
    dataset = xr.open_dataset(tmp_path / "scan.nxs", engine="nexus", missing="raise")
    assert dataset.data.dtype == np.dtype(joined)
    np.testing.assert_array_equal(dataset.data.values, np.concatenate(parts))
    np.testing.assert_array_equal(nexus_xr.reduce(dataset.data, "sum", "dim_0"), np.concatenate(parts).sum(0))
    store = nexus_xr.zarr_store(tmp_path / "scan.nxs", codecs="native")
    np.testing.assert_array_equal(xr.open_zarr(store, group="entry/data").data, np.concatenate(parts))


@pytest.mark.parametrize("dtypes", [("<f2", ">f2"), ("<c8", ">c8")])
def test_segments_of_bytes_in_an_order_that_is_not_turned_are_left_out(tmp_path: Path, dtypes: tuple[str, str]) -> None:
    segments = {f"data_00{number}": np.ones((2, *FRAME), dtype) for number, dtype in enumerate(dtypes)}
    write_tree(tmp_path / "scan.nxs", {"entry": nxentry({"data": nxdata(segments)})})
    with pytest.warns(NexusWarning, match="left out: data_001"):
        dataset = xr.open_dataset(tmp_path / "scan.nxs", engine="nexus")
    np.testing.assert_array_equal(dataset.data.values, segments["data_000"])


def test_many_segments_pickle_small_and_are_few_at_once_open(tmp_path: Path) -> None:
    expected = write_master(tmp_path, dict.fromkeys(range(1, 201), 1))
    dataset = xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus")
    assert len(pickle.dumps(dataset.data)) < 200 * 250
    before = len(os.listdir("/proc/self/fd"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).data.values, expected)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_what_was_joined_is_written_as_one(tmp_path: Path) -> None:
    expected = write_master(tmp_path, {1: 2, 2: 3})
    xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus").nexus.to_nexus(tmp_path / "one.nxs")
    with h5py.File(tmp_path / "one.nxs") as file:
        np.testing.assert_array_equal(file["entry1/data/data"][()], expected)
        assert file["entry1/data/data"].chunks == (1, *FRAME)


def test_a_master_needs_no_class_for_its_group_of_segments(tmp_path: Path) -> None:
    expected = write_master(tmp_path, {1: 3, 2: 3})
    with h5py.File(tmp_path / "scan_master.h5", "r+") as file:
        del file["entry/data"].attrs["NX_class"]
        file["entry/flat"] = np.ones(FRAME)
    np.testing.assert_array_equal(xr.open_dataset(tmp_path / "scan_master.h5", engine="nexus").data, expected)
    signals = nexus_xr.open_signals(tmp_path / "scan_master.h5")
    assert [signal.shape for signal in signals] == [expected.shape, FRAME]
    assert nexus_xr.list_datasets(tmp_path / "scan_master.h5")[0] == ["/entry/data"]


@pytest.mark.parametrize(("digits", "is_joined"), [(18, True), (19, False), (5000, False)])
def test_numbers_of_segments_have_18_digits_at_most(tmp_path: Path, digits: int, is_joined: bool) -> None:
    segments = {f"data_{number:0{digits}}": counts((2, *FRAME), number) for number in (1, 2)}
    write_tree(tmp_path / "scan.h5", {"entry": nxentry({"data": nxdata(segments, signal=next(iter(segments)))})})
    opened = xr.open_dataset(tmp_path / "scan.h5", engine="nexus")
    assert list(opened.data_vars) == (["data"] if is_joined else list(segments))
