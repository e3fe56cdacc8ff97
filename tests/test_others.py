"""What is written opens in the programs that users of NeXus have, and what HyperSpy writes opens here."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import to_nexus
from nexus_xr.writing import distributed as parts

from .waiting import PATIENCE_SECONDS

FRAMES = np.random.default_rng(1).poisson(30, (6, 40, 50)).astype("u2")


def scan(**attributes: Any) -> xr.DataArray:
    return xr.DataArray(
        FRAMES,
        dims=("scan", "y", "x"),
        name="counts",
        coords={
            "scan": ("scan", np.arange(6) * 0.5 + 1, {"units": "s"}),
            "y": ("y", np.arange(40) * 0.1 - 2, {"units": "um"}),
            "x": ("x", np.arange(50) * 0.2, {"units": "um"}),
            "temperature": ("scan", np.arange(6.0) * 3, {"units": "K"}),
            "label": ("scan", list("abcdef")),
        },
        attrs={"units": "counts", "interpretation": "image", **attributes},
    )


METADATA = {
    "sample": {"name": {"value": "Ni"}, "thickness": {"value": 1.5, "attrs": {"units": "mm"}}},
    "hyperspy_metadata": {"General": {"title": {"value": "a_title"}}},
    "learning_results": {"loadings": {"value": np.ones((6, 2))}, "factors": {"value": np.ones((2000, 2))}},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with one signal and its metadata."""
    path = tmp_path_factory.mktemp("others") / "scan.nxs"
    to_nexus(scan(**METADATA), path)
    return path


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that joins what other processes wrote."""
    path = tmp_path_factory.mktemp("parts") / "scan.nxs"
    with pytest.MonkeyPatch.context() as patch, dask.config.set(scheduler="processes", num_workers=2):
        patch.setattr(parts, "MOST_GATHERED_BYTES", 1000)
        patch.setattr(parts, "LEAST_PART_BYTES", 1)
        to_nexus(scan(**METADATA).chunk({"scan": 2}), path, chunks={"scan": 1})
    assert len(list(path.parent.glob("scan_parts/*/part_*.h5"))) == 3
    return path


# --- HyperSpy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lazy", [False, True])
def test_hyperspy_loads_data_axes_and_metadata(hyperspy: Any, written: Path, lazy: bool) -> None:
    signal = hyperspy.load(str(written), lazy=lazy, nxdata_only=True)
    assert signal._signal_dimension == 2
    np.testing.assert_array_equal(np.asarray(signal.data), FRAMES)
    axes = {axis.name: axis for axis in signal.axes_manager._axes}
    assert [axis.name for axis in signal.axes_manager._axes] == ["scan", "y", "x"]
    for name, scale, offset, units in (("scan", 0.5, 1, "s"), ("y", 0.1, -2, "um"), ("x", 0.2, 0, "um")):
        assert (axes[name].units, axes[name].offset) == (units, offset)
        assert axes[name].scale == pytest.approx(scale)
    assert signal.original_metadata.sample.name == "Ni"
    assert signal.original_metadata.sample.thickness.value == 1.5
    assert signal.original_metadata.sample.thickness.attrs.units == "mm"
    np.testing.assert_array_equal(signal.learning_results.loadings, np.ones((6, 2)))


@pytest.mark.parametrize("lazy", [False, True])
def test_hyperspy_loads_what_a_cluster_wrote(hyperspy: Any, in_parts: Path, lazy: bool) -> None:
    signal = hyperspy.load(str(in_parts), lazy=lazy, nxdata_only=True)
    np.testing.assert_array_equal(np.asarray(signal.data), FRAMES)
    assert [axis.name for axis in signal.axes_manager._axes] == ["scan", "y", "x"]
    assert signal.original_metadata.sample.name == "Ni"


def test_hyperspy_loads_everything_too(hyperspy: Any, written: Path) -> None:
    assert any(signal.data.shape == FRAMES.shape for signal in hyperspy.load(str(written)))


def test_hyperspy_loads_several_and_the_default(hyperspy: Any, tmp_path: Path) -> None:
    to_nexus([scan(), scan()[0].rename("first")], tmp_path / "f.nxs", use_default=True)
    several = hyperspy.load(str(tmp_path / "f.nxs"), nxdata_only=True)
    assert [signal.data.shape for signal in several] == [(6, 40, 50), (40, 50)]
    assert hyperspy.load(str(tmp_path / "f.nxs"), use_default=True).data.shape == (6, 40, 50)


def test_what_hyperspy_writes_opens_with_nothing_lost(hyperspy: Any, tmp_path: Path) -> None:
    spectra = hyperspy.signals.Signal1D(np.random.default_rng(0).random((5, 6, 30)))
    spectra.metadata.General.title = "spectra"
    spectra.original_metadata.add_dictionary({"stage": {"x": 1.5, "names": ["a", "b"]}})
    energy = spectra.axes_manager[-1]
    energy.name, energy.units, energy.scale, energy.offset = "Energy", "eV", 0.5, 100.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spectra.decomposition(print_info=False)
        images = hyperspy.signals.Signal2D(FRAMES).as_lazy()
        images.metadata.General.title = "images"
        from rsciio.nexus import file_writer

        file_writer(str(tmp_path / "f.nxs"), [each._to_dictionary() for each in (spectra, images)])
    first, second = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    np.testing.assert_array_equal(first, spectra.data)
    np.testing.assert_array_equal(first.Energy, energy.axis)
    assert (first.Energy.attrs["units"], first.dims[-1]) == ("eV", "Energy")
    assert first.attrs["stage"]["x"]["value"] == 1.5
    assert first.attrs["hyperspy_metadata"]["General"]["title"]["value"] == "spectra"
    loadings = np.asarray(first.attrs["learning_results"]["loadings"]["value"])
    np.testing.assert_array_equal(loadings, spectra.learning_results.loadings)
    np.testing.assert_array_equal(second, FRAMES)


def test_axes_without_a_scale_go_to_hyperspy_and_back(hyperspy: Any, tmp_path: Path) -> None:
    positions = np.arange(8.0) ** 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spectrum = hyperspy.signals.Signal1D(
            np.arange(8.0),
            axes=[{"_type": "DataAxis", "axis": positions, "name": "q", "units": "1/nm", "navigate": False}],
        )
        from rsciio.nexus import file_writer

        # HyperSpy's own `save` refuses them for this format, which its writer knows.
        file_writer(str(tmp_path / "theirs.nxs"), spectrum._to_dictionary())
        [theirs] = nexus_xr.open_signals(tmp_path / "theirs.nxs", nxdata_only=True)
        np.testing.assert_array_equal(theirs.q, positions)
        theirs.nexus.to_nexus(tmp_path / "ours.nxs")
        loaded = hyperspy.load(str(tmp_path / "ours.nxs"), nxdata_only=True)
    np.testing.assert_array_equal(loaded.data, np.arange(8.0))
    assert nexus_xr.open_signals(tmp_path / "ours.nxs", nxdata_only=True)[0].identical(theirs)


def test_axes_of_hyperspy_may_have_a_slash_in_their_names(hyperspy: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spectra = hyperspy.signals.Signal1D(np.arange(24.0).reshape(4, 6))
        energy = spectra.axes_manager[1]
        energy.name, energy.scale, energy.offset, energy.units = "E (eV/ch)", 0.5, 100, "eV"
        spectra.save(str(tmp_path / "theirs.nxs"))
        [theirs] = nexus_xr.open_signals(tmp_path / "theirs.nxs", nxdata_only=True)
        np.testing.assert_array_equal(theirs["E (eV_ch)"], 100 + 0.5 * np.arange(6))
        theirs.nexus.to_nexus(tmp_path / "ours.nxs")
        energy = hyperspy.load(str(tmp_path / "ours.nxs"), nxdata_only=True).axes_manager[1]
    assert (energy.name, energy.scale, energy.offset, energy.units) == ("E (eV_ch)", 0.5, 100, "eV")


# --- other readers ---------------------------------------------------------------------------------------------


def test_nexusformat_finds_the_plottable_data(written: Path) -> None:
    nexus = pytest.importorskip("nexusformat.nexus")
    data = nexus.nxload(str(written)).plottable_data
    assert data.nxpath == "/entry1/a_title"
    np.testing.assert_array_equal(data.nxsignal.nxvalue, FRAMES)
    assert [axis.nxname for axis in data.nxaxes] == ["scan", "y", "x"]


@pytest.mark.parametrize("title", ["A scan", {"value": "A scan"}, {"value": "A scan", "attrs": {"short": "s"}}])
def test_the_title_of_the_metadata_is_that_of_the_entry(title: Any, tmp_path: Path) -> None:
    nexus = pytest.importorskip("nexusformat.nexus")
    dataset = xr.Dataset({"n": ("x", np.arange(3.0))}, attrs={"title": title, "run": 1})
    to_nexus(dataset, tmp_path / "f.nxs")
    assert nexus.nxload(str(tmp_path / "f.nxs")).plottable_data.nxtitle == "A scan"
    back = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert back.identical(dataset)
    back.attrs["title"] = "Another"
    to_nexus(back, tmp_path / "g.nxs", layout="inplace")
    assert nexus.nxload(str(tmp_path / "g.nxs")).plottable_data.nxtitle == "Another"
    assert xr.open_dataset(tmp_path / "g.nxs", engine="nexus").attrs["run"] == 1


@pytest.mark.parametrize("title", [1.5, ["a", "b"], None, {"deeper": "a"}])
def test_what_is_no_title_stays_in_the_metadata(title: Any, tmp_path: Path) -> None:
    array = xr.DataArray([1, 2], dims="x", name="n", attrs={"sample": {"name": "Ni"}, "title": {"value": title}})
    to_nexus(array, tmp_path / "f.nxs")
    to_nexus(array.rename("title"), tmp_path / "g.nxs")
    with h5py.File(tmp_path / "f.nxs") as file, h5py.File(tmp_path / "g.nxs") as other:
        assert set(file["entry1"]) == {"n", "auxiliary"}
        assert other["entry1/title"].attrs["NX_class"] == "NXdata"


def test_silx_finds_the_plottable_data(written: Path) -> None:
    silx = pytest.importorskip("silx.io")
    nxdata = pytest.importorskip("silx.io.nxdata")
    with silx.open(str(written)) as file:
        data = nxdata.get_default(file)
        assert data.is_valid
        assert not data.issues
        np.testing.assert_array_equal(data.signal, FRAMES)
        assert data.axes_names == ["scan (s)", "y (um)", "x (um)"]
        assert data.interpretation == "image"


def test_silx_shows_what_a_cluster_wrote(in_parts: Path) -> None:
    silx = pytest.importorskip("silx.io")
    nxdata = pytest.importorskip("silx.io.nxdata")
    with silx.open(str(in_parts)) as file:
        data = nxdata.get_default(file)
        assert data.is_valid
        np.testing.assert_array_equal(data.signal, FRAMES)


def test_scippnexus_loads_it(written: Path) -> None:
    scippnexus = pytest.importorskip("scippnexus")
    with scippnexus.File(written, "r") as file:
        loaded = file["entry1/a_title"][...]
    assert loaded.dims == ("scan", "y", "x")
    assert str(loaded.coords["x"].unit) == "µm"
    signal = loaded["counts"] if "counts" in getattr(loaded, "keys", lambda: ())() else loaded
    np.testing.assert_array_equal(signal.values, FRAMES)


@pytest.fixture(scope="module")
def with_more_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with data that spans fewer dimensions than the signal."""
    path = tmp_path_factory.mktemp("more") / "scan.nxs"
    to_nexus(xr.Dataset({"counts": scan(), "monitor": ("scan", np.arange(6.0))}), path)
    return path


def test_data_of_another_shape_leaves_the_signal_to_silx(with_more_data: Path) -> None:
    silx = pytest.importorskip("silx.io")
    nxdata = pytest.importorskip("silx.io.nxdata")
    with silx.open(str(with_more_data)) as file:
        data = nxdata.get_default(file)
        assert data.is_valid
        np.testing.assert_array_equal(data.signal, FRAMES)


@pytest.mark.parametrize(
    ("coordinate", "dims"),
    [
        ((("y", "x"), np.ones((3, 4))), ("y", "dim_1")),
        (("x", np.ones(4)), ("dim_1",)),
        (("y", list("abc")), ("y",)),
        (("x", list("abcd")), ("dim_1",)),
    ],
)
def test_scippnexus_loads_coordinates_of_dimensions_without_axes(
    tmp_path: Path, coordinate: tuple[Any, ...], dims: tuple[str, ...]
) -> None:
    scippnexus = pytest.importorskip("scippnexus")
    array = xr.DataArray(np.ones((3, 4)), dims=("y", "x"), coords={"y": [1.0, 2, 3], "k": coordinate}, name="n")
    to_nexus(array, tmp_path / "f.nxs")
    with scippnexus.File(tmp_path / "f.nxs", "r") as file:
        loaded = file["entry1/n"][...]
    assert (loaded.dims, loaded.coords["k"].dims) == (("y", "dim_1"), dims)
    with h5py.File(tmp_path / "f.nxs") as file:
        assert [dim.label for dim in file["entry1/n/k"].dims] in ([*dims], [""])
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").n.identical(array)
    to_nexus(xr.open_dataset(tmp_path / "f.nxs", engine="nexus"), tmp_path / "g.nxs")
    assert xr.open_dataset(tmp_path / "g.nxs", engine="nexus").n.identical(array)


def test_labels_of_dimensions_stay_beside_those_for_scippnexus(tmp_path: Path) -> None:
    labelled = ("x", np.ones(4), {"DIMENSION_LABELS": ["wavelength"]})
    array = xr.DataArray(np.ones(4), dims="x", coords={"k": labelled}, name="n")
    to_nexus(array, tmp_path / "f.nxs")
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").k.attrs == {"DIMENSION_LABELS": "wavelength"}


def test_data_of_another_shape_leaves_the_signal_to_scippnexus(with_more_data: Path) -> None:
    scippnexus = pytest.importorskip("scippnexus")
    with scippnexus.File(with_more_data, "r") as file:
        loaded = file["entry1/counts"][...]
    np.testing.assert_array_equal(loaded.values, FRAMES)
    assert loaded.coords["monitor"].dims == ("scan",)


def test_h5grove_serves_what_h5web_asks_for(written: Path) -> None:
    content = pytest.importorskip("h5grove.content")
    with h5py.File(written) as file:
        root = content.create_content(file, "/").metadata()
        assert [child["name"] for child in root["children"]] == ["entry1"]
        data = content.create_content(file, "/entry1/a_title/counts")
        assert data.metadata()["shape"] == FRAMES.shape
        np.testing.assert_array_equal(data.data("2,:,:"), FRAMES[2])
        assert content.create_content(file, "/entry1/a_title").attributes()["signal"] == "counts"


@pytest.mark.parametrize("module", ["netCDF4", "h5netcdf"])
def test_readers_of_netcdf_see_the_groups(module: str, written: Path) -> None:
    library = pytest.importorskip(module)
    with (library.Dataset if module == "netCDF4" else library.File)(written, "r") as file:
        assert set(file["entry1"].groups) == {"a_title", "auxiliary"}


# --- validators ------------------------------------------------------------------------------------------------


def validated(module: str, function: str, path: Path) -> str:
    """What a validator prints of a file, called as its command is."""
    pytest.importorskip(module.partition(".")[0])
    command = [sys.executable, "-c", f"from {module} import {function}; {function}()", "validate", str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout + ran.stderr


def findings(report: str) -> list[str]:
    return [line for line in report.splitlines() if line.startswith("/") and (" WARN " in line or " ERROR " in line)]


def test_punx_finds_nothing_wrong(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    report = validated("punx.main", "main", tmp_path / "f.nxs")
    assert "NeXus definitions version" in report
    assert findings(report) == []


def test_punx_says_nothing_of_metadata_but_that_it_is_in_a_collection(written: Path) -> None:
    report = validated("punx.main", "main", written)
    assert all("NXcollection contains non-NeXus content" in finding for finding in findings(report))
    assert "NeXus definitions version" in report


def test_pynx_finds_no_error(written: Path) -> None:
    report = validated("pynxtools.cli", "pynx", written)
    # It validates entries that name an application definition, and an entry of any data meets none.
    assert report.strip() == f"WARNING: Could not find any valid entry in file {written}"
