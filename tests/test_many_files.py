"""Many files are opened together: by a pattern or a list, their trees combined, with few descriptors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
import xarray as xr
from dask.distributed import Client, LocalCluster

import nexus_xr
from nexus_xr import NexusFileError, NexusPathError, common_attrs
from nexus_xr.opening.files import natural_order

from .corpus import corpus_files
from .files import Field, Write, nxdata, nxentry, scan_file


def numbered(number: int) -> dict[str, Any]:
    """A scan whose counts and one motor tell its number."""
    motors = {"@NX_class": "NXcollection", "x": Field(float(number), {"units": "mm"}), "y": Field(5.0, {"units": "mm"})}
    counts = Field(np.arange(12).reshape(3, 4) + number, {"units": "counts"}, chunks=(1, 4), compression="gzip")
    mask = np.arange(12).reshape(3, 4)
    data = nxdata({"counts": counts, "x": np.arange(4.0)}, signal="counts", axes=[".", "x"])
    return {"entry": nxentry({"data": data, "motors": motors, "mask": mask, "large": np.zeros(20_000)})}


@pytest.fixture
def scans(write: Write) -> list[Path]:
    """Files whose names sort otherwise than their numbers."""
    return [write(numbered(number), name=f"scan_{number}.nxs") for number in (8, 9, 10, 11)]


@pytest.fixture
def cluster_client() -> Any:
    """The client of a cluster of two processes."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


# --- open_mfdataset --------------------------------------------------------------------------------------------


def open_many(paths: Any, **options: Any) -> xr.Dataset:
    combining = {"combine": "nested", "concat_dim": "scan"} | options
    return xr.open_mfdataset(paths, engine="nexus", **combining)


@pytest.mark.parametrize("parallel", [False, True])
def test_a_pattern_opens_along_a_new_dimension(parallel: bool, scans: list[Path]) -> None:
    opened = open_many("scan_*.nxs", parallel=parallel)
    in_order = sorted(scans, key=str)  # as xarray sorts what a pattern matches
    numbers = [int(path.stem.removeprefix("scan_")) for path in in_order]
    np.testing.assert_array_equal(opened.counts[:, 0, 0], numbers)
    assert opened.counts.chunks == ((1,) * 4, (3,), (4,))


def test_a_new_coordinate_can_tell_the_file(scans: list[Path]) -> None:
    named = open_many(scans, preprocess=lambda each: each.assign_coords(file=each.encoding["source"]))
    assert named.file.values.tolist() == list(map(str, scans))


def test_coordinates_tell_the_order(write: Write) -> None:
    for name, start in (("b", 0.0), ("a", 3.0)):
        data = nxdata({"n": np.arange(3) + start, "x": np.arange(3) + start}, signal="n", axes="x")
        write({"entry": nxentry({"data": data})}, name=f"{name}.nxs")
    joined = xr.open_mfdataset("*.nxs", engine="nexus", combine="by_coords")
    np.testing.assert_array_equal(joined.n, np.arange(6.0))


@pytest.mark.parametrize("parallel", [False, True])
def test_workers_of_a_cluster_open_and_read_files(
    parallel: bool, scans: list[Path], write: Write, cluster_client: Client
) -> None:
    opened = open_many(scans, parallel=parallel)
    expected = sum(h5py.File(path)["entry/data/counts"][...].sum() for path in scans)
    assert int(opened.counts.sum()) == expected
    assert opened.attrs["motors"]["x"]["value"] == 8.0
    broken = write(scan_file(), name="broken.nxs")
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(NexusFileError, match=r"broken\.nxs: the HDF5 file is truncated"):
        open_many([*scans, broken], parallel=parallel)


AGREEING = ["override", "drop_conflicts", "no_conflicts", "identical"]


@pytest.mark.parametrize("combine_attrs", [*AGREEING, common_attrs], ids=[*AGREEING, "common_attrs"])
def test_equal_trees_are_kept_however_they_are_combined(combine_attrs: Any, write: Write) -> None:
    paths = [write(numbered(1), name=f"{name}.nxs") for name in "abc"]
    opened = open_many(paths, combine_attrs=combine_attrs)
    alone = xr.open_dataset(paths[0], engine="nexus")
    assert opened.attrs == alone.attrs
    assert opened.counts.attrs == {"units": "counts"}


def test_trees_that_differ_are_combined_as_xarray_says(scans: list[Path]) -> None:
    assert open_many(scans, combine_attrs="drop").attrs == {}
    assert open_many(scans, combine_attrs="override").attrs["motors"]["x"]["value"] == 8.0
    dropped = open_many(scans, combine_attrs="drop_conflicts").attrs
    assert "motors" not in dropped
    assert dropped["mask"]["value"].shape == (3, 4)
    for strict in ("identical", "no_conflicts"):
        with pytest.raises(xr.MergeError, match="attrs"):
            open_many(scans, combine_attrs=strict)


def test_what_trees_have_in_common_is_kept_field_by_field(scans: list[Path]) -> None:
    attrs = open_many(scans, combine_attrs=common_attrs).attrs
    assert attrs["motors"].keys() == {"attrs", "y"}
    assert repr(attrs["motors"]) == "<NXcollection: y>"
    assert attrs["mask"]["value"].tolist() == np.arange(12).reshape(3, 4).tolist()
    assert isinstance(attrs["large"]["value"], nexus_xr.LazyArray)


def test_common_attributes_of_dictionaries() -> None:
    one = {"a": {"value": [1, 2], "attrs": {"units": "m", "t": 1}}, "g": {"attrs": {"NX_class": "NXlog"}, "v": 1}}
    assert common_attrs([]) == {}
    assert common_attrs([one]) == one
    assert common_attrs([one, {"g": {"v": 1}}]) == {"g": {"v": 1}}
    assert common_attrs([one, {"a": {"value": [1, 2], "attrs": {"units": "m", "t": 2}}}]) == {
        "a": {"value": [1, 2], "attrs": {"units": "m"}}
    }
    assert common_attrs([one, {"a": {"value": [1, 3], "attrs": {"units": "m"}}, "g": 1}]) == {}
    assert common_attrs([{"x": np.nan, "y": np.zeros(2)}, {"x": np.nan, "y": np.zeros(3)}])["x"] is np.nan


@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_trees_of_real_files_combine_with_themselves() -> None:
    combined = 0
    for path in corpus_files():
        try:
            trees = [nexus_xr.read_metadata(path) for _ in range(2)]
        except nexus_xr.NexusError:
            continue
        both = [xr.Dataset(attrs=tree) for tree in trees]
        for combine_attrs in ("no_conflicts", "drop_conflicts", common_attrs):
            assert xr.merge(both, combine_attrs=combine_attrs).attrs == trees[0], path
        combined += 1
    assert combined


# --- open_signals ----------------------------------------------------------------------------------------------


def first_counts(signals: list[xr.DataArray]) -> list[int]:
    return [int(signal[0, 0]) for signal in signals if signal.name == "counts"]


def test_signals_of_a_pattern_come_in_natural_order(scans: list[Path]) -> None:
    signals = nexus_xr.open_signals("scan_*.nxs", nxdata_only=True)
    assert first_counts(signals) == [8, 9, 10, 11]
    assert [Path(signal.encoding["source"]).name for signal in signals] == [path.name for path in scans]
    assert first_counts(nexus_xr.open_signals(Path("scan_1?.nxs"), nxdata_only=True)) == [10, 11]


def test_signals_of_a_list_come_in_its_order(scans: list[Path]) -> None:
    a, b, c, _ = scans
    signals = nexus_xr.open_signals([c, str(a), b.read_bytes()], chunks={}, nxdata_only=True)
    assert first_counts(signals) == [10, 8, 9]
    assert first_counts(nexus_xr.open_signals(iter((c, a)), nxdata_only=True)) == [10, 8]


def test_folders_below_are_searched(write: Write, tmp_path: Path) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    write(numbered(3), name="runs/a/scan.nxs")
    assert first_counts(nexus_xr.open_signals("runs/**/*.nxs", nxdata_only=True)) == [3]


def test_a_name_with_wildcards_in_it_is_a_name(write: Write) -> None:
    write(numbered(1), name="scan_[1].nxs")
    write(numbered(2), name="scan_1.nxs")
    assert first_counts(nexus_xr.open_signals("scan_[1].nxs", nxdata_only=True)) == [1]


def test_urls_with_wildcards(scans: list[Path]) -> None:
    for path in scans:
        fsspec.filesystem("memory").pipe(f"/many/{path.name}", path.read_bytes())
    signals = nexus_xr.open_signals("memory://many/scan_*.nxs", nxdata_only=True)
    assert first_counts(signals) == [8, 9, 10, 11]
    with pytest.raises(NexusFileError, match=r"memory://many/nothing_\*.nxs: no file matches"):
        nexus_xr.open_signals("memory://many/nothing_*.nxs")
    with pytest.raises(NexusFileError, match="no wildcards; name the files in a list"):
        nexus_xr.open_signals("simplecache::memory://many/scan_*.nxs")
    with pytest.raises(NexusFileError, match=r"nosuch://scan_\*.nxs: .* can't be listed"):
        nexus_xr.open_signals("nosuch://scan_*.nxs")


def test_numbers_in_names_are_sorted_by_value() -> None:
    names = ["b1", "a10b2", "a10b10", "a9", "a010", "7", ""]
    assert sorted(names, key=natural_order) == ["", "7", "a9", "a010", "a10b2", "a10b10", "b1"]


def test_nothing_to_open_is_an_error() -> None:
    with pytest.raises(FileNotFoundError, match=r"run_\*\.nxs: no file matches this pattern"):
        nexus_xr.open_signals("run_*.nxs")
    with pytest.raises(NexusFileError, match="the list of files to open is empty"):
        nexus_xr.open_signals([])
    with pytest.raises(OSError, match="no files"):
        open_many("run_*.nxs")


@pytest.mark.parametrize("opening", [nexus_xr.open_signals, open_many], ids=["open_signals", "open_mfdataset"])
def test_one_broken_file_is_an_error_that_names_it(opening: Any, scans: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "scan_12.nxs"
    with pytest.raises(FileNotFoundError, match=r"scan_12\.nxs: no such file"):
        opening([*scans, broken])
    broken.write_bytes(b"no HDF5")
    with pytest.raises(NexusFileError, match=r"scan_12\.nxs: this is not an HDF5 file"):
        opening([*scans, broken])
    with h5py.File(broken, "w") as file:
        file["other"] = [1, 2]
    with pytest.raises(NexusPathError, match=r"scan_12\.nxs: no '/entry/data'"):
        opening([*scans, broken], dataset_path="/entry/data")


# --- a thousand ------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_a_thousand_files_need_few_descriptors(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write({"entry": nxentry({"data": nxdata({"n": [0, 0]}, signal="n")})}, name="scan_0.nxs").read_bytes()
    for number in range(1, 1000):
        Path(f"scan_{number}.nxs").write_bytes(first)
    most = 0
    close = os.close

    def counting_close(descriptor: int) -> None:
        nonlocal most
        most = max(most, descriptors())
        close(descriptor)

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    monkeypatch.setattr(os, "close", counting_close)
    before = descriptors()
    opened = open_many("scan_*.nxs")
    signals = nexus_xr.open_signals("scan_1*.nxs", nxdata_only=True)
    assert opened.n.shape == (1000, 2)
    assert len(signals) == 111
    assert descriptors() <= before + 1
    assert int(opened.n[:300].sum()) == 0
    assert descriptors() <= before + 1
    # One is open while it is described; dask's threads may read a few more at a time.
    assert before < most <= before + 4 * (os.cpu_count() or 1) + 4
