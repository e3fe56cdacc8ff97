"""Datasets with a tree in their attrs work with what people use beside xarray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pint_xarray
import pytest
import xarray as xr
from cf_xarray.helpers import bounds_to_vertices
from dask.base import tokenize
from dask.distributed import Client, LocalCluster

import nexus_xr
from nexus_xr.opening.guess import is_nexus

from .files import Field, Write, nxdata, nxentry, scan_file
from .opened import open_nexus
from .processes import run

mpl.use("Agg")


def histogram(write: Write) -> Path:
    edges = Field(np.array([0.0, 1.0, 3.0, 7.0]), {"units": "us"})
    return write({"entry": nxentry({"data": nxdata({"n": np.arange(3), "t": edges}, signal="n", axes="t")})})


def many_fields(write: Write, nested: bool) -> Path:
    fields = {f"motor_{number:04}": Field(float(number), {"units": "mm"}) for number in range(5000)}
    tree = {"instrument": {"@NX_class": "NXinstrument", **fields}} if nested else fields
    return write({"entry": nxentry({"data": nxdata({"n": np.arange(3)}, signal="n"), **tree})})


@pytest.mark.parametrize("nested", [True, False], ids=["in a group", "in the entry itself"])
def test_text_repr_of_very_many_fields_is_short(nested: bool, write: Write) -> None:
    dataset = open_nexus(many_fields(write, nested))
    assert len(repr(dataset)) < 3000
    assert len(repr(dataset).splitlines()) < 40


def test_html_repr_of_very_many_fields_is_short(write: Write) -> None:
    dataset = open_nexus(many_fields(write, nested=True))
    assert "motor_0000" in dataset._repr_html_()
    assert len(dataset._repr_html_()) < 30_000


def test_reprs_of_the_tree(write: Write) -> None:
    long_text = "word " * 1000
    entry = nxentry(
        {"a": Field(1.5, {"units": "mm"}), "b": np.zeros((5, 6)), "c": long_text, "d": {"@NX_class": "NXnote"}}
    )
    tree = nexus_xr.read_metadata(write({"entry": entry}))
    assert repr(tree["entry"]) == "<NXentry: a, b, c, d>"
    assert [repr(tree["entry"][name]) for name in "abd"] == ["<1.5 mm>", "<float64 (5, 6)>", "<NXnote>"]
    assert len(repr(tree["entry"]["c"])) < 100


def test_plotting_labels_axes_with_units(write: Write) -> None:
    dataset = open_nexus(write(scan_file()))
    mesh = dataset.counts.plot()
    assert mesh.axes.get_xlabel() == "x [um]"
    assert mesh.axes.get_ylabel() == "y [mm]"
    assert mesh.colorbar.ax.get_ylabel() == "Counts [counts]"
    dataset.plot.scatter(x="counts", y="i0")


def test_to_dataframe(write: Write) -> None:
    frame = open_nexus(write(scan_file())).to_dataframe()
    assert frame.index.names == ["y", "x"]
    assert frame.counts.tolist() == list(range(12))


def test_bounds_of_cf_xarray(write: Write) -> None:
    dataset = open_nexus(histogram(write))
    assert dataset.cf.bounds == {"t": ["t_bounds"]}
    edges = bounds_to_vertices(dataset.cf.get_bounds("t"), "bnds")
    np.testing.assert_array_equal(edges, [0.0, 1.0, 3.0, 7.0])


def test_quantify_of_pint_xarray(write: Write) -> None:
    assert pint_xarray.__version__
    quantified = open_nexus(write(scan_file()), drop_variables=["title"]).pint.quantify()
    assert str(quantified.counts.pint.units) == "count"
    assert str(quantified.x.pint.units) == "micrometer"


@pytest.mark.parametrize("as_array", [False, True])
def test_bins_in_other_units_of_pint_are_centres(as_array: bool, write: Write, tmp_path: Path) -> None:
    opened = open_nexus(histogram(write))
    units = pint_xarray.unit_registry
    quantified = (opened.n if as_array else opened).pint.quantify()
    converted = quantified.pint.to({"t": units.Unit("ms")}).pint.dequantify(format="~C")
    np.testing.assert_allclose(converted.t, [0.0005, 0.002, 0.005])
    assert not isinstance(converted.xindexes["t"], nexus_xr.EdgesIndex)
    with pytest.warns(nexus_xr.NexusWarning, match="/t: what was computed has no edges"):
        converted.nexus.to_nexus(tmp_path / "b.nxs")
    back = open_nexus(tmp_path / "b.nxs")
    assert (back.t.attrs, list(back.variables)) == ({"units": "ms"}, ["n", "t"])


def test_open_mfdataset_along_a_new_dimension(write: Write) -> None:
    paths = [write(scan_file(), name=f"scan_{number}.nxs") for number in range(3)]
    combined = xr.open_mfdataset(paths, engine="nexus", combine="nested", concat_dim="scan")
    assert combined.counts.shape == (3, 3, 4)
    assert combined.attrs["instrument"]["detector"]["distance"]["value"] == 1.5


@pytest.mark.parametrize("combine_attrs", ["override", "identical", "no_conflicts", "drop_conflicts"])
def test_merge_of_datasets_with_trees(combine_attrs: Any, write: Write) -> None:
    path = write(scan_file())
    merged = xr.merge([open_nexus(path)[["counts"]], open_nexus(path)[["i0"]]], combine_attrs=combine_attrs)
    assert set(merged.data_vars) == {"counts", "i0"}
    assert merged.attrs["instrument"]["detector"]["distance"]["value"] == 1.5


def test_equality_looks_into_the_tree(write: Write) -> None:
    one = open_nexus(write(scan_file(), name="one.nxs"))
    again = open_nexus(write(scan_file(), name="again.nxs"))
    assert one.identical(again)
    changed = scan_file()
    changed["entry"]["instrument"]["detector"]["mask"][1, 1] = 1
    assert not one.identical(open_nexus(write(changed, name="changed.nxs")))
    assert one.equals(open_nexus(tmp := write(changed, name="changed2.nxs")))
    assert tmp.exists()


def test_equality_of_large_arrays_is_of_their_values(write: Write) -> None:
    large = np.arange(50_000.0)
    large[7] = np.nan
    trees = [nexus_xr.read_metadata(write({"entry": {"a": large}}, name=f"{number}.nxs")) for number in range(2)]
    assert trees[0] == trees[1]
    other = nexus_xr.read_metadata(write({"entry": {"a": large[::-1]}}, name="other.nxs"))
    assert trees[0] != other
    assert trees[0]["entry"]["a"]["value"] == large


def test_tokens_tell_files_apart_and_stay_the_same(write: Write) -> None:
    path = write(scan_file())
    assert tokenize(open_nexus(path, chunks={})) == tokenize(open_nexus(path, chunks={}))
    other = write(scan_file(), name="other.nxs")
    assert open_nexus(path, chunks={}).counts.data.name != open_nexus(other, chunks={}).counts.data.name


@pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")
def test_a_cluster_of_processes_computes(write: Write) -> None:
    stored = Field(np.arange(6400).reshape(64, 10, 10), chunks=(1, 10, 10))
    path = write({"entry": nxentry({"data": nxdata({"n": stored}, signal="n")})})
    dataset = open_nexus(path, chunks={"dim_0": 16})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster):
        assert int(dataset.n.sum().compute()) == np.arange(6400).sum()


# --- without an engine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["scan.nxs", "scan.h5", "scan.hdf5", "scan.NX5", "scan.nx", "scan.nexus", "scan.dat"])
def test_nexus_files_open_without_naming_the_engine(name: str, write: Write) -> None:
    path = write(scan_file(), name=name)
    for source in (path, str(path)):
        assert "counts" in xr.open_dataset(source)
    assert "entry" in xr.open_datatree(path).children


def test_nexus_behind_a_user_block_opens_without_naming_the_engine(write: Write) -> None:
    path = write(scan_file(), name="scan.h5", userblock_size=8192)
    assert "counts" in xr.open_dataset(path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(nexus_xr.NexusFileError, match="truncated"):
        open_nexus(path)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
@pytest.mark.parametrize("name", ["grid.nc", "grid.h5"])
def test_netcdf_files_are_left_to_others(engine: Any, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    xr.Dataset({"t": ("x", [1.0, 2.0])}, attrs={"NX_class": "NXroot"}).to_netcdf(path, engine=engine)
    assert not is_nexus(path)
    assert "t" in xr.open_dataset(path)


def test_netcdf_engines_still_open_what_they_are_told_to(write: Write) -> None:
    path = write(scan_file(), name="scan.h5")
    assert "counts" not in xr.open_dataset(path, engine="h5netcdf", phony_dims="sort")


def test_plain_hdf5_and_other_files_are_left_to_others(write: Write, tmp_path: Path) -> None:
    assert not is_nexus(write({"a": [1, 2]}, name="plain.h5"))
    text = tmp_path / "notes.txt"
    text.write_text("no data")
    assert not is_nexus(text)
    assert not is_nexus(tmp_path / "gone.h5")
    assert not is_nexus("https://example.org/data.h5")


GUESSING = """
import sys
import warnings
import xarray as xr
from xarray.backends import H5netcdfBackendEntrypoint, NetCDF4BackendEntrypoint
from xarray.backends.plugins import guess_engine
engines = (NetCDF4BackendEntrypoint, H5netcdfBackendEntrypoint)
before = [engine.guess_can_open for engine in engines]
warnings.filterwarnings("ignore", message=".* fails while guessing")  # so do engines of other packages
missing = sys.argv[2].split()
if missing:
    import importlib.util
    find_spec = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name in missing else find_spec(name, *rest)
import nexus_xr
print([engine.guess_can_open is whole for engine, whole in zip(engines, before)])
xr.backends.list_engines()
print([engine.guess_can_open is whole for engine, whole in zip(engines, before)])
print(guess_engine(sys.argv[1]), xr.open_dataset(sys.argv[1], engine="nexus").sizes["x"])
"""
UNCHANGED = "[True, True]\n"


@pytest.mark.parametrize(
    ("switch", "missing", "expected"),
    [
        ("", "", "[False, False]\nnexus 4\n"),
        ("1", "", "[False, False]\nnexus 4\n"),
        ("0", "", "[True, True]\nnetcdf4 4\n"),
        ("", "netCDF4", "[True, False]\nnexus 4\n"),
        ("", "netCDF4 h5netcdf", "[True, True]\nnexus 4\n"),
        ("0", "netCDF4 h5netcdf", "[True, True]\nnexus 4\n"),
    ],
)
def test_netcdf_engines_change_where_they_are_in_the_way_and_that_is_not_switched_off(
    switch: str, missing: str, expected: str, write: Write
) -> None:
    path = write({"entry": nxentry({"data": nxdata({"n": np.zeros(4), "x": np.arange(4)}, signal="n", axes="x")})})
    assert run(GUESSING, path, missing, environment={"NEXUS_XR_GUESS": switch}) == UNCHANGED + expected


def test_guessing_leaves_a_file_object_where_it_was(write: Write) -> None:
    with write(scan_file()).open("rb") as stream:
        assert is_nexus(stream)
        assert stream.tell() == 0
        assert "counts" in xr.open_dataset(stream)


def test_a_reduced_dataset_can_be_saved_as_netcdf_and_zarr_like(write: Write, tmp_path: Path) -> None:
    dataset = open_nexus(write(scan_file()), chunks={})
    reduced = dataset.mean("y").assign_attrs({})
    reduced.attrs = {}
    reduced.to_netcdf(tmp_path / "mean.nc", engine="h5netcdf")
    xr.testing.assert_allclose(xr.open_dataset(tmp_path / "mean.nc", engine="h5netcdf"), reduced)
