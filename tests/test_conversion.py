"""Files made of others: converted to other formats and back, and written anew."""

from __future__ import annotations

import itertools
import json
import os
import struct
import uuid
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5f, h5l, h5o, h5p, h5s, h5t, h5z

import nexus_xr
from benchmarks.serving import RangeServer
from nexus_xr import extras
from nexus_xr.exchange import foreign, stores
from nexus_xr.hdf5.reading.layouts.library_layouts import Peculiarities
from nexus_xr.hdf5.writing import copying, stored_anew
from nexus_xr.inspection.outline import OutlineNode
from nexus_xr.writing.copies import repack

from .arrays import assert_same_bits
from .kinds import kinds_that_numpy_has_no_word_for, stored_bytes
from .older_libraries import assert_older_libraries_read
from .processes import run
from .shell import invoke, refused

VALUES = np.arange(20 * 60 * 50, dtype="u2").reshape(20, 60, 50)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry")
        entry.attrs.create("NX_class", np.bytes_(b"NXentry"))  # without room for a zero behind it
        entry["title"] = "a scan"
        entry["sample/temperature"] = 4.2
        entry["sample/temperature"].attrs["units"] = "K"
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="counts", axes=["angle", ".", "x"])
        data.create_dataset("counts", data=VALUES, chunks=(1, 60, 50), maxshape=(None, 60, 50), compression="gzip")
        data["counts"].attrs["units"] = "counts"
        data["angle"], data["x"] = np.linspace(0, 9, 20), np.arange(51.0)
        sums = entry.create_group("sums")
        sums.attrs.update(NX_class="NXdata", signal="total")
        sums["total"] = VALUES.sum((1, 2))
    return path


# --- convert -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f.zarr", "f.nc", "f.csv", "f.json"])
def test_what_is_converted_comes_back(scan: Path, tmp_path: Path, name: str) -> None:
    for source, target in ((scan, tmp_path / name), (tmp_path / name, tmp_path / "back.nxs")):
        result = invoke("convert", source, target)
        assert (result.exit_code, result.stdout) == (0, f"{target} is there\n"), result.output
    before = xr.open_dataset(scan, engine="nexus")
    [signal] = (
        each for each in nexus_xr.open_signals(tmp_path / "back.nxs", nxdata_only=True) if each.name == "counts"
    )
    np.testing.assert_array_equal(signal.values, VALUES)
    assert signal.dims == before.counts.dims
    np.testing.assert_array_equal(signal.angle, before.angle)
    np.testing.assert_array_equal(signal.x, before.x)
    assert signal.attrs["units"] == "counts"
    assert "temperature  4.2  K" in invoke("tree", tmp_path / "back.nxs").stdout
    assert nexus_xr.describe(tmp_path / "back.nxs").facts.get("title") == "a scan"
    if name == "f.zarr":
        with h5py.File(tmp_path / "back.nxs") as file:
            assert "entry1/counts/counts" in file
            assert "entry2/total/total" in file


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_a_file_with_opaque_attributes_comes_back_without_them(scan: Path, tmp_path: Path) -> None:
    with h5py.File(scan, "a") as file:
        file["entry"].attrs["raw"] = np.void(b"\0\xff")
    nexus_xr.convert(scan, tmp_path / "f.zarr")
    nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "back.nxs")
    assert nexus_xr.describe(tmp_path / "back.nxs").facts.get("title") == "a scan"


TEXT = h5py.string_dtype()
OF_ODD_TYPES = {
    "a large table with text": np.array([(number, "a") for number in range(8000)], [("n", "i4"), ("text", TEXT)]),
    "empty text": h5py.Empty(TEXT),
    "an empty table with text": h5py.Empty(np.dtype([("n", "i4"), ("texts", TEXT, (2,))])),
}


@pytest.mark.parametrize("kind", OF_ODD_TYPES)
@pytest.mark.parametrize("suffix", ["nc", "json"])
def test_text_in_tables_and_of_no_elements_comes_back(tmp_path: Path, suffix: str, kind: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"], file["odd"] = [1.0, 2.0], OF_ODD_TYPES[kind]
    nexus_xr.convert(tmp_path / "f.h5", tmp_path / f"g.{suffix}")
    nexus_xr.convert(tmp_path / f"g.{suffix}", tmp_path / "back.nxs")
    trees = [xr.open_datatree(tmp_path / name, engine="nexus") for name in ("f.h5", "back.nxs")]
    xr.testing.assert_identical(*trees)


def test_the_names_of_fields_that_matlab_notes_can_be_written(tmp_path: Path) -> None:
    names = np.empty(2, object)
    names[:] = [np.array(list(name), "S1") for name in ("x", "width")]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["s/x"] = [1.0, 2.0]
        file["s"].attrs.create("MATLAB_fields", names, dtype=h5py.vlen_dtype(np.dtype("S1")), shape=(2,))
    xr.open_datatree(tmp_path / "f.h5", engine="nexus").nexus.to_nexus(tmp_path / "g.nxs")
    with h5py.File(tmp_path / "g.nxs") as file:
        assert [b"".join(each) for each in file["s"].attrs["MATLAB_fields"]] == [b"x", b"width"]


@pytest.mark.parametrize("suffix", ["nxs", "nc", "csv", "json", "zarr"])
def test_colons_in_a_name_make_no_url(scan: Path, tmp_path: Path, suffix: str) -> None:
    nexus_xr.repack(scan, tmp_path / "a::b.nxs")
    if suffix != "nxs":
        nexus_xr.convert(tmp_path / "a::b.nxs", tmp_path / f"c::d.{suffix}")
        nexus_xr.convert(tmp_path / f"c::d.{suffix}", tmp_path / "e::f.nxs")
        one, other = tmp_path / f"c::d.{suffix}", tmp_path / "e::f.nxs"
        nexus_xr.convert(tmp_path / "a::b.nxs", one, dataset_path="/entry/data", overwrite=True)
        nexus_xr.convert(one, other, overwrite=True)
    else:
        nexus_xr.to_nexus(xr.open_dataset(tmp_path / "a::b.nxs", engine="nexus"), tmp_path / "e::f.nxs")
    assert xr.open_dataset(str(tmp_path / "e::f.nxs"), engine="nexus").counts.shape == VALUES.shape
    assert len(list(tmp_path.iterdir())) == (3 if suffix == "nxs" else 4)


def test_one_group_is_converted_where_it_is_named(scan: Path, tmp_path: Path) -> None:
    for name in ("f.zarr", "f.nc", "f.csv"):
        assert invoke("convert", scan, tmp_path / name, "--path", "/entry/sums").exit_code == 0
    assert nexus_xr.unflat(xr.open_zarr(tmp_path / "f.zarr")).total.shape == (20,)
    assert nexus_xr.unflat(xr.open_dataset(tmp_path / "f.nc")).total.shape == (20,)
    assert nexus_xr.read_csv(tmp_path / "f.csv").total.shape == (20,)


@pytest.mark.parametrize("name", ["f.zarr", "f.nc"])
def test_what_others_wrote_becomes_nexus(tmp_path: Path, name: str) -> None:
    first = xr.Dataset({"a": ("x", [1, 2])}, {"x": [0.5, 1.5]})
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), "/first": first, "/second": xr.Dataset({"b": ("y", [1.0] * 3)})})
    tree.to_zarr(tmp_path / name) if name == "f.zarr" else tree.to_netcdf(tmp_path / name)
    nexus_xr.convert(tmp_path / name, tmp_path / "f.nxs", compression="gzip")
    a, b = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    assert (a.name, a.x.values.tolist(), b.name, b.shape) == ("a", [0.5, 1.5], "b", (3,))


@pytest.mark.parametrize("name", ["f.zarr", "f.nc"])
def test_groups_inherit_coordinates_and_attributes(tmp_path: Path, name: str) -> None:
    root = xr.Dataset(coords={"x": [10.0, 20.0], "z": ("z", [1, 2, 3])}, attrs={"title": "T", "run": 1})
    below = xr.Dataset({"b": ("x", [1.0, 2.0])}, attrs={"run": 2})
    tree = xr.DataTree.from_dict({"/": root, "/g/h": below})
    tree.to_zarr(tmp_path / name) if name == "f.zarr" else tree.to_netcdf(tmp_path / name)
    nexus_xr.convert(tmp_path / name, tmp_path / "f.nxs")
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert (found.x.values.tolist(), [*found.coords]) == ([10.0, 20.0], ["x"])
    assert {key: found.attrs[key] for key in ("title", "run", "group")} == {"title": "T", "run": 2, "group": "/g/h"}


@pytest.mark.parametrize("name", ["f.zarr", "f.nc"])
@pytest.mark.parametrize("writer", ["own", "another"])
@pytest.mark.parametrize("years", [("1800", "1820"), ("2020", "2200"), ("1700", "2200")])
def test_dates_far_from_today_come_back(years: tuple[str, str], writer: str, name: str, tmp_path: Path) -> None:
    dates = np.array([f"{year}-01-01" for year in years], "M8[ns]")
    scan = xr.Dataset({"c": ("t", [1.0, 2.0])}, {"t": dates})
    if writer == "own":
        (scan.nexus.to_zarr if name == "f.zarr" else scan.nexus.to_netcdf)(tmp_path / name)
    else:
        scan = scan.assign_coords(t=("t", dates.astype("M8[s]")))
        scan.to_zarr(tmp_path / name) if name == "f.zarr" else scan.to_netcdf(tmp_path / name)
    nexus_xr.convert(tmp_path / name, tmp_path / "f.nxs")
    with xr.open_dataset(tmp_path / "f.nxs", engine="nexus", decode_times=True) as back:
        np.testing.assert_array_equal(back.t, dates)
        if writer == "another":  # read without being asked for dates, they are dates, as any that were converted
            assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").t.dtype.kind == "M"


@pytest.mark.parametrize("name", ["f.zarr", "f.nc"])
def test_long_integers_with_a_fill_value_stay_exact(tmp_path: Path, name: str) -> None:
    values = np.array([2**53 + 1, -1])
    dataset = xr.Dataset({"long": ("x", values), "short": ("x", values.astype("i4"))})
    encoding = {each: {"_FillValue": -1} for each in ("long", "short")}
    (dataset.to_zarr if name == "f.zarr" else dataset.to_netcdf)(tmp_path / name, encoding=encoding)
    with pytest.warns(nexus_xr.NexusWarning, match=f"{name} is converted.*\n.*/long: keeps its integers"):
        nexus_xr.convert(tmp_path / name, tmp_path / "f.nxs")
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert (found.long.dtype, found.long.values.tolist()) == (np.int64, values.tolist())
    assert found.long.attrs["_FillValue"] == -1
    np.testing.assert_array_equal(found.short, [1, np.nan])


def test_a_zarr_copy_comes_back_with_all_that_its_entries_have(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update(NX_class="NXentry", default="b")
        for number, name in enumerate("ab"):
            data = entry.create_group(name)
            data.attrs.update(NX_class="NXdata", signal="counts", axes=["x"], x_indices=0, title=f"of {name}")
            data["counts"], data["x"] = np.array([number, 2, -1], "i2"), [0.0, 1.0, 2.0]
            data["counts"].attrs["_FillValue"] = np.int16(-1)
            data["temperature"], data["spectrum"] = 4.2, np.arange(5.0)
            data["temperature"].attrs["units"] = "K"
        file["entry/instrument/name"] = "D11"
        file["entry/instrument"].attrs["NX_class"] = "NXinstrument"
        file["calibration/points"] = np.arange(5.0)
    nexus_xr.convert(tmp_path / "f.nxs", tmp_path / "f.zarr")
    with pytest.warns(nexus_xr.NexusWarning, match="/calibration/points: is in no entry with data"):
        nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    found = xr.open_dataset(tmp_path / "g.nxs", engine="nexus")
    assert (found.counts.dtype, found.counts.values.tolist()) == (np.int16, [1, 2, -1])
    assert found.x.values.tolist() == [0, 1, 2]
    assert found.attrs["instrument"]["name"]["value"] == "D11"
    for name in "ab":
        left = found.attrs[name]
        assert left["temperature"] == {"value": 4.2, "attrs": {"units": "K"}}
        assert left["spectrum"]["value"].tolist() == [0, 1, 2, 3, 4]
        assert left["attrs"] == {"title": f"of {name}"}


@pytest.mark.parametrize("is_nexus", [True, False])
def test_compound_attributes_come_back_from_zarr(tmp_path: Path, is_nexus: bool) -> None:
    text = h5py.string_dtype()
    powers = np.array([("m", [1, 2]), ("µm", [-1, 0])], [("name", text), ("numbers", "i4", (2,))])
    unit = np.array((2, 0.5, powers[0]), [("version", "i4"), ("multiplier", "f4"), ("power", powers.dtype)])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        data = file.create_group("entry/data")
        data["counts"], data["x"] = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
        if is_nexus:
            data.attrs.update(NX_class="NXdata", signal="counts", axes=["x"])
        for name in ("counts", "x"):
            data[name].attrs.update(unit=unit, powers=powers)
    nexus_xr.convert(tmp_path / "f.h5", tmp_path / "f.zarr")
    with warnings.catch_warnings(action="error"):
        nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    with h5py.File(tmp_path / "g.nxs") as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, item: found.append(item) if "unit" in item.attrs else None)
        assert len(found) == 2
        for item in found:
            assert item.attrs["unit"].dtype.names == unit.dtype.names
            assert item.attrs["unit"].tolist()[:2] == (2, 0.5)
            assert item.attrs["unit"]["power"]["numbers"].tolist() == [1, 2]
            assert [name.decode() for name in item.attrs["powers"]["name"]] == ["m", "µm"]
            assert item.attrs["powers"]["numbers"].tolist() == [[1, 2], [-1, 0]]


def test_numbers_that_json_has_not_come_back_from_zarr(tmp_path: Path) -> None:
    pair = np.dtype([("i", "i8"), ("f", "f8")])
    attributes = {
        "one": np.array((1, np.nan), pair),
        "several": np.array([(1, np.inf), (2, 1.0)], pair),
        "grid": np.array([[(1, -np.inf), (2, np.nan)]], pair),
        "numbers": np.array([[0.0, np.nan], [np.inf, -np.inf]]),
    }
    words = {"word": "NaN", "words": ["NaN", "Infinity"], "units": np.array([("NaN",), ("m",)], [("name", object)])}
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["counts"] = [1.0, 2.0, 3.0]
        file["counts"].attrs.update(attributes)
        file["counts"].attrs.update({name: value for name, value in words.items() if name != "units"})
        file["counts"].attrs.create("units", words["units"], dtype=np.dtype([("name", h5py.string_dtype())]))
    nexus_xr.convert(tmp_path / "f.h5", tmp_path / "f.zarr")
    with warnings.catch_warnings(action="error"):
        nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    found = xr.open_dataset(tmp_path / "g.nxs", engine="nexus").counts.attrs
    for name, value in attributes.items():
        assert (found[name].dtype, found[name].tobytes()) == (value.dtype, value.tobytes())
    assert (found["word"], found["words"].tolist()) == (words["word"], words["words"])
    assert [name for (name,) in found["units"].tolist()] == [b"NaN", b"m"]


def test_alike_objects_of_zarr_are_compounds_of_the_type_that_holds_all_numbers(tmp_path: Path) -> None:
    given = [{"a": 1, "b": "m"}, {"b": "NaN", "a": 2.5}]
    xr.Dataset({"v": ("x", [1, 2, 3], {"given": given})}).to_zarr(tmp_path / "f.zarr")
    with warnings.catch_warnings(action="error", category=nexus_xr.NexusWarning):
        nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    found = xr.open_dataset(tmp_path / "g.nxs", engine="nexus").v.attrs["given"]
    assert (found["a"].tolist(), found["b"].tolist()) == ([1, 2.5], [b"m", b"NaN"])


@pytest.mark.parametrize(
    "nested",
    [
        [2, 1.0, [1]],
        [{"a": 1}, {"b": 2}],
        [{"a": 1}, {"a": "text"}],
        {"a": [1, [2]]},
        {"a": []},
        {"": 1},
        {"a": {"b": None}},
        {"a": [1, "2"]},
        {},
        {"a": "x\0y"},
        {"a\0b": 1},
        {"a": "\ud800"},
        {"a": 1 << 70},
        {"a": [1 << 62, 0.5, (1 << 62) + 1]},
        {"a": [True, 2]},
        [{"a": True}, {"a": 2}],
        [{"a": 0.5}, {"a": (1 << 53) + 1}],
        [1, "2"],
        [None],
        ["x\0y", "z"],
        "x\0y",
        "\ud800",
        1 << 70,
    ],
)
def test_attributes_that_hdf5_has_no_form_for_become_text(tmp_path: Path, nested: Any) -> None:
    variable = xr.Variable("x", [1, 2, 3], {"nested": nested, "plain": [1, 2], "words": ["a", "bc"]})
    odd = {"a\0b": {"c": nested}}
    attributes = {"scales": [nested, None], "tree": {"deep": {"odd": [[nested, None]]}, "plain": 1}, "odd": odd}
    xr.Dataset({"v": variable}, attrs=attributes).to_zarr(tmp_path / "f.zarr")
    with pytest.warns(nexus_xr.NexusWarning, match=r"/v: attribute 'nested' has a form .*; it is JSON text now"):
        nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    found = xr.open_dataset(tmp_path / "g.nxs", engine="nexus")
    assert json.loads(found.v.attrs["nested"]) == nested
    assert found.v.attrs["plain"].tolist() == [1, 2]
    assert found.v.attrs["words"].tolist() == ["a", "bc"]
    assert json.loads(found.attrs["scales"]) == [nested, None]
    assert json.loads(found.attrs["tree"]["deep"]["odd"]) == [[nested, None]]
    assert found.attrs["tree"]["plain"] == 1
    assert json.loads(found.attrs["odd"]) == odd


@pytest.mark.parametrize("nested", ["x\0y", "\ud800", 1 << 70])
def test_members_of_groups_that_hdf5_has_no_form_for_become_text(tmp_path: Path, nested: Any) -> None:
    attributes = {"own": nested, "tree": {"deep": nested}}
    xr.Dataset({"v": ("x", [1, 2, 3])}, attrs=attributes).to_zarr(tmp_path / "f.zarr")
    with pytest.warns(nexus_xr.NexusWarning, match=r"/tree: attribute 'deep' has a form .*; it is JSON text now"):
        nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    found = xr.open_dataset(tmp_path / "g.nxs", engine="nexus")
    assert json.loads(found.attrs["own"]) == json.loads(found.attrs["tree"]["deep"]) == nested


def test_options_that_are_for_nothing_are_refused(scan: Path, tmp_path: Path) -> None:
    result = invoke("convert", scan, tmp_path / "f.nc", "-c", "gzip")
    assert (result.exit_code, "is for a NeXus file that is written" in result.stderr) == (1, True)
    (tmp_path / "there.nxs").touch()
    result = invoke("repack", scan, tmp_path / "there.nxs")
    assert "replace it with --overwrite" in result.stderr
    assert invoke("repack", scan, tmp_path / "there.nxs", "--overwrite").exit_code == 0


def test_groups_of_cansas_are_data_and_large_fields_beside_stay_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["sasentry/title"] = "a scan"
        file["sasentry"].attrs["canSAS_class"] = "SASentry"
        file["sasentry/raw/frames"] = VALUES
        data = file.create_group("sasentry/sasdata")
        data.attrs.update(canSAS_class="SASdata", signal="I", I_axes="Q", Q_indices=0)
        data["I"], data["Q"] = [3.0, 2.0, 1.0], [0.1, 0.2, 0.3]
    nexus_xr.convert(tmp_path / "f.h5", tmp_path / "f.zarr")
    monkeypatch.setattr(stores, "_WHOLE_BYTES", VALUES.nbytes - 1)
    seen: list[dict[str, Any]] = []
    field_of = foreign.field_of

    def noted(variable: xr.Variable) -> dict[str, Any]:
        seen.append(field_of(variable))
        return seen[-1]

    monkeypatch.setattr(foreign, "field_of", noted)
    nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    assert any(hasattr(field["value"], "dask") for field in seen)
    found = xr.open_dataset(tmp_path / "g.nxs", engine="nexus")
    assert (found.I.values.tolist(), found.attrs["title"]["value"]) == ([3, 2, 1], "a scan")
    np.testing.assert_array_equal(found.attrs["raw"]["frames"]["value"], VALUES)


def test_a_damaged_zarr_store_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        data = file.create_dataset("entry/data/n", data=np.arange(1000), chunks=(500,), compression="gzip")
        data.parent.attrs.update(NX_class="NXdata", signal="n")
        data.id.write_direct_chunk((0,), b"damaged")
    nexus_xr.convert(tmp_path / "f.nxs", tmp_path / "f.zarr")
    with pytest.raises(nexus_xr.NexusError, match=r"f\.zarr: can't be opened or read as Zarr"):
        nexus_xr.convert(tmp_path / "f.zarr", tmp_path / "g.nxs")
    assert not (tmp_path / "g.nxs").exists()


@pytest.mark.parametrize("whole_bytes", [0, 1 << 20])
@pytest.mark.parametrize("name", ["scan.nc", "scan.zarr"])
def test_arrays_of_one_name_in_several_groups_stay_apart(
    tmp_path: Path, name: str, whole_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_WHOLE_BYTES", whole_bytes)
    nodes = {f"/{group}": xr.Dataset({"n": ("x", [number] * 4)}) for number, group in enumerate("abc")}
    tree = xr.DataTree.from_dict(nodes)
    write = tree.nexus.to_netcdf if name.endswith(".nc") else tree.nexus.to_zarr
    write(tmp_path / name)
    nexus_xr.convert(tmp_path / name, tmp_path / "again.nxs")
    assert xr.open_datatree(tmp_path / "again.nxs", engine="nexus").identical(tree)


@pytest.mark.parametrize("name", ["f.zarr", "f.nc"])
def test_packed_values_are_written_as_what_they_stand_for(tmp_path: Path, name: str) -> None:
    dataset = xr.Dataset({"a": ("x", [0.5, np.nan, 1.5]), "b": ("x", [1.0, np.nan, 3.0])})
    encoding = {"a": {"dtype": "int16", "scale_factor": 0.5, "_FillValue": -1}, "b": {"dtype": "i4", "_FillValue": -1}}
    write = dataset.to_zarr if name == "f.zarr" else dataset.to_netcdf
    write(tmp_path / name, encoding=encoding)
    nexus_xr.convert(tmp_path / name, tmp_path / "f.nxs")
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").equals(dataset)


def test_a_target_that_is_there_stays_unless_it_is_to_be_replaced(scan: Path, tmp_path: Path) -> None:
    for name in ("f.zarr", "f.nc", "f.csv", "f.json"):
        target = tmp_path / name
        assert invoke("convert", scan, target).exit_code == 0
        assert "is there already" in refused("convert", scan, target)
        assert invoke("convert", scan, target, "--overwrite").exit_code == 0
    assert invoke("convert", scan, tmp_path / "f.zarr", "--path", "/entry/sums", "--overwrite").exit_code == 0


@pytest.mark.parametrize("name", ["f.zarr", "f.nc", "f.csv", "f.json", "f.png"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_source_is_not_replaced_by_what_is_made_of_it(scan: Path, name: str, link: Callable[..., None]) -> None:
    target, content = scan.with_name(name), scan.read_bytes()
    link(target, scan)
    command = "plot" if name == "f.png" else "convert"
    assert "f." in (said := refused(command, scan, target, "--overwrite")), said
    with xr.open_dataset(scan, engine="nexus") as opened:
        writers = {".zarr": opened.nexus.to_zarr, ".nc": opened.nexus.to_netcdf, ".csv": opened.nexus.to_csv}
        write = writers.get(target.suffix, opened.nexus.to_json)
        computed = opened.counts * 2
        drawn = partial(nexus_xr.plot, computed, overwrite=True)
        others = (opened.counts.nexus.to_json, computed.nexus.to_json, xr.DataTree(opened).nexus.to_json)
        for each in (write, *others, *([drawn] if command == "plot" else [])):
            with pytest.raises(nexus_xr.NexusError, match="is the file that it would be made of"):
                each(target)
    assert scan.read_bytes() == content
    assert {path.name for path in scan.parent.iterdir()} == {"scan.nxs", name}


def test_a_source_of_another_format_is_not_replaced_either(scan: Path) -> None:
    source, target = scan.with_name("f.json"), scan.with_name("latest.nxs")
    nexus_xr.convert(scan, source)
    target.symlink_to(source)
    assert "latest.nxs: is the file that it would be made of" in refused("convert", source, target, "--overwrite")
    assert source.read_text().startswith("{")


def test_a_folder_that_is_replaced_holds_nothing_but_a_zarr_store(scan: Path) -> None:
    folder = scan.with_name("f.zarr")
    folder.mkdir()
    nexus_xr.convert(scan, folder, overwrite=True)  # there was nothing in it
    (folder / "entry" / "notes.txt").write_text("of last night")
    with pytest.raises(nexus_xr.NexusError, match=r"it holds entry/notes\.txt, which is of no Zarr store"):
        nexus_xr.to_zarr(scan, folder, mode="w")
    with xr.open_dataset(scan, engine="nexus", chunks={}) as opened:
        for options in ({}, {"compute": False}, {"group": "entry"}):
            with pytest.raises(nexus_xr.NexusError, match=r"notes\.txt, which is of no Zarr store"):
                opened.nexus.to_zarr(folder, mode="w", **options)
    (folder / "entry" / "notes.txt").unlink()
    nexus_xr.to_zarr(scan, folder, mode="w")
    scan.rename(folder / "0")  # as a chunk may be called
    assert "holds the file that it would be made of" in refused("convert", folder / "0", folder, "--overwrite")
    assert (folder / "0").exists()
    numbers = scan.with_name("1")
    numbers.mkdir()
    (numbers / "0").write_text("no chunk, as there is no store")
    with pytest.raises(nexus_xr.NexusError, match="it holds 0, which is of no Zarr store"):
        nexus_xr.to_zarr(folder / "0", numbers, mode="w")


def test_stores_of_other_forms_are_replaced(scan: Path) -> None:
    folder = scan.with_name("f.zarr")
    for options in ({"zarr_format": 2}, {"zarr_format": 3}):
        xr.Dataset({"a": 1, "b": ("x", [1, 2])}).chunk().to_zarr(folder, mode="w", **options)  # type: ignore[call-overload]
        nexus_xr.to_zarr(scan, folder, mode="w")
    nexus_xr.to_zarr(scan, folder, mode="w", shards=1 << 20)
    nexus_xr.to_zarr(scan, folder, mode="w")


@pytest.mark.parametrize("name", ["zarr.json", ".zarray", "entry/c/0/1", "entry/0.1"])
def test_a_store_that_a_killed_writer_of_zarr_left_is_replaced(scan: Path, name: str) -> None:
    folder = scan.with_name("f.zarr")
    nexus_xr.to_zarr(scan, folder)
    left = (folder / name).with_suffix(f".{uuid.uuid4().hex}.partial")
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"")
    nexus_xr.to_zarr(scan, folder, mode="w")
    assert not left.exists()


def test_a_link_to_a_store_stays_where_that_is_replaced(scan: Path) -> None:
    folder, link = scan.with_name("f.zarr"), scan.with_name("latest.zarr")
    folder.mkdir()
    link.symlink_to(folder)
    nexus_xr.convert(scan, link, overwrite=True)
    assert link.is_symlink()
    assert (folder / "zarr.json").exists()
    assert {path.name for path in scan.parent.iterdir()} == {"scan.nxs", "f.zarr", "latest.zarr"}


@pytest.mark.parametrize("letter", ["x", "\N{LATIN SMALL LETTER A WITH DIAERESIS}"])
@pytest.mark.parametrize("suffix", [".zarr", ".nc", ".csv", ".json", ".png", ".nxs"])
def test_names_as_long_as_the_system_lets_them_be_are_written(scan: Path, suffix: str, letter: str) -> None:
    def write(target: Path) -> None:
        writers: dict[str, Callable[..., Any]] = {".png": nexus_xr.plot, ".nxs": nexus_xr.repack}
        writers.get(suffix, nexus_xr.convert)(scan, target)

    size, most = len(letter.encode()), os.pathconf(scan.parent, "PC_NAME_MAX") - len(suffix)
    target = scan.with_name("o" * (most % size) + letter * (most // size) + suffix)
    write(target)
    assert {*scan.parent.iterdir()} == {scan, target}
    with pytest.raises(nexus_xr.NexusFileError, match=r"can't be written .*; choose a shorter name"):
        write(target.with_name("o" + target.name))
    assert {*scan.parent.iterdir()} == {scan, target}


def test_a_file_that_somebody_adds_to_is_not_replaced_by_another(scan: Path) -> None:
    live = scan.with_name("live.nxs")
    nexus_xr.convert(scan, scan.with_name("f.json"))
    with h5py.File(live, "w", libver="latest") as file:
        file["counts"] = 1
        file.swmr_mode = True
        content = live.read_bytes()  # as another host shows it, whose locks nobody sees here
    live.write_bytes(content)
    for arguments in (("repack", scan), ("convert", scan.with_name("f.json"))):
        assert "another process is writing it" in refused(*arguments, live, "--overwrite")
    assert live.read_bytes() == content


@pytest.mark.parametrize("userblock_size", [0, 512, 1024])
@pytest.mark.parametrize("name", ["cells.h5ad", "scan.MAT", "scan", "run.0001"])
def test_a_source_of_an_unknown_name_is_hdf5_where_its_bytes_are(
    tmp_path: Path, name: str, userblock_size: int
) -> None:
    with h5py.File(tmp_path / name, "w", userblock_size=userblock_size) as file:
        file["entry/counts"] = [1, 2, 3]
    assert invoke("convert", tmp_path / name, tmp_path / "f.zarr").exit_code == 0
    assert xr.open_zarr(tmp_path / "f.zarr", group="entry").counts.values.tolist() == [1, 2, 3]


def test_a_source_of_an_unknown_name_behind_a_url_is_looked_at(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "cells.h5ad", "w") as file:
        file["entry/counts"] = [1, 2, 3]
    (tmp_path / "cells.txt").write_text("cells")
    with RangeServer(tmp_path).running() as server:
        nexus_xr.convert(f"{server.url}/cells.h5ad", tmp_path / "f.zarr")
        with pytest.raises(nexus_xr.NexusError, match="isn't told by its name, and it isn't HDF5"):
            nexus_xr.convert(f"{server.url}/cells.txt", tmp_path / "g.zarr")
    assert xr.open_zarr(tmp_path / "f.zarr", group="entry").counts.values.tolist() == [1, 2, 3]


def test_names_that_tell_a_format_decide(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nc", "w") as file:
        file["x"] = [1, 2, 3]
    with pytest.raises(nexus_xr.NexusError, match="netCDF is converted to NeXus"):
        nexus_xr.convert(tmp_path / "f.nc", tmp_path / "f.zarr")
    with pytest.raises(nexus_xr.NexusError, match="what format this is isn't told by its name; there are"):
        nexus_xr.convert(tmp_path / "f.nc", tmp_path / "f.h5ad")


def test_what_can_not_be_converted_is_refused(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "text.nc").write_text("no netCDF")
    (tmp_path / "text.h5ad").write_text("no HDF5")
    (tmp_path / "folder").mkdir()
    xr.Dataset().to_netcdf(tmp_path / "empty.nc")
    for source, target, words in (
        ("text.h5ad", "f.zarr", "isn't told by its name, and it isn't HDF5"),
        ("folder", "f.zarr", "isn't told by its name, and it isn't HDF5"),
        ("gone.h5ad", "f.zarr", "no such file"),
        (scan, "f.xyz", "what format this is isn't told by its name"),
        (scan, "f.h5", "scan.nxs: is NeXus already, as is to be f.h5; write it anew with repack"),
        ("http://nowhere.org/f.csv", "f.nxs", "f.csv: CSV is read from files of this machine; fetch it"),
        ("http://nowhere.org/f.json", "f.nxs", "f.json: JSON is read from files of this machine; fetch it"),
        ("f.nc", "f.zarr", "netCDF is converted to NeXus"),
        ("gone.nxs", "f.nc", "no such file; check the path"),
        ("text.nc", "f.nxs", "can't be opened or read as netCDF"),
        ("empty.nc", "f.nxs", "holds no data variables"),
    ):
        result = invoke("convert", source, target)
        assert (result.exit_code, words in result.stderr) == (1, True), result.stderr
    with pytest.raises(nexus_xr.NexusError, match="of which all is converted"):
        nexus_xr.convert("empty.nc", "f.nxs", dataset_path="/a")
    assert not (tmp_path / "f.nxs").exists()


def test_what_has_no_name_or_no_place_is_refused(scan: Path) -> None:
    with pytest.raises(nexus_xr.NexusError, match=r"^expected a path or a URL, whose name tells .*, found bytes$"):
        nexus_xr.convert(scan.read_bytes(), "f.nc")  # type: ignore[arg-type]
    for name in ("f.json", "f.csv"):
        with pytest.raises(nexus_xr.NexusError, match=f"memory://{name}: .* goes into files of this machine; convert"):
            nexus_xr.convert(scan, f"memory://{name}")
    with pytest.raises(nexus_xr.NexusFileError, match=r"memory://f.json: is a URL, and this goes into a file of this"):
        xr.Dataset().nexus.to_json("memory://f.json")


def test_an_extra_that_is_missing_is_named(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    assert "takes zarr; the extra `zarr` brings it: pip install '.[zarr]'" in invoke("convert", scan, "f.zarr").stderr
    assert "takes h5netcdf; the extra `netcdf` brings it" in invoke("convert", scan, "f.nc").stderr
    assert "the extra `server` brings it" in invoke("serve", ".").stderr


@pytest.mark.parametrize("there", ["h5netcdf", "netCDF4", "scipy"])
def test_netcdf_takes_any_package_by_which_xarray_has_it(there: str, tmp_path: Path) -> None:
    packages = {"h5netcdf", "netCDF4", "scipy"}
    xr.Dataset({"a": ("x", [1.0, 2.0])}).to_netcdf(tmp_path / "f.nc", format="NETCDF3_64BIT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extras, "find_spec", lambda name: None if name in packages - {there} else object())
        nexus_xr.convert(tmp_path / "f.nc", tmp_path / "f.nxs")
        xr.open_dataset(tmp_path / "f.nxs", engine="nexus").nexus.to_netcdf(tmp_path / "g.nc")
        patch.setattr(extras, "find_spec", lambda name: None if name in packages else object())
        with pytest.raises(nexus_xr.NexusExtraError, match="takes h5netcdf"):
            nexus_xr.convert(tmp_path / "f.nc", tmp_path / "h.nxs")
        with pytest.raises(nexus_xr.NexusExtraError, match="takes h5netcdf"):
            xr.Dataset().nexus.to_netcdf(tmp_path / "h.nc")


# What takes which package, and the extra that brings it.
NEEDING = {
    "nexus_xr.zarr_store": ("zarr", "zarr"),
    "nexus_xr.to_zarr": ("zarr", "zarr"),
    "nexus_xr.convert('scan.nxs', 'scan.zarr')": ("zarr", "zarr"),
    "counts.nexus.to_zarr('scan.zarr')": ("zarr", "zarr"),
    "nexus_xr.plot('scan.nxs', 'scan.png')": ("matplotlib", "plot"),
    "counts.nexus.plot()": ("matplotlib", "plot"),
    "nexus_xr.view": ("starlette", "server"),
    "importlib.import_module('nexus_xr.server')": ("uvicorn", "server"),
    "counts.nexus.curvefit('x', lambda x, a: a * x)": ("scipy", "fit"),
    "counts.nexus.to_netcdf('scan.nc')": ("h5netcdf", "netcdf"),
    "nexus_xr.convert('scan.nxs', 'scan.nc')": ("h5netcdf", "netcdf"),
}


@pytest.mark.parametrize(("use", "package", "extra"), [(use, *needed) for use, needed in NEEDING.items()])
def test_what_needs_an_extra_names_it(use: str, package: str, extra: str, tmp_path: Path) -> None:
    gone = [package, *({"h5netcdf": ["netCDF4", "scipy"]}.get(package, []))]
    run(
        f"import importlib, os, sys\nos.chdir(sys.argv[1])\nsys.modules.update(dict.fromkeys({gone}))\n"
        "import xarray as xr, nexus_xr\n"
        "counts = xr.DataArray([1.0, 2.0], {'x': [1, 2]}, 'x', 'counts').nexus.assign_errors([0.1, 0.1])\n"
        "counts.nexus.to_nexus('scan.nxs')\n"
        f"try:\n    {use}\nexcept ModuleNotFoundError as error:\n    caught = error\n"
        "assert isinstance(caught, nexus_xr.NexusExtraError), repr(caught)\n"
        f"assert {package!r} in str(caught) and \"pip install '.[{extra}]'\" in str(caught), caught\n",
        tmp_path,
    )
    assert [each.name for each in tmp_path.iterdir()] == ["scan.nxs"]


# --- repack --------------------------------------------------------------------------------------------------------


def outline_of(path: Path) -> OutlineNode:
    return nexus_xr.outline(path)


def filters_in(path: Path) -> tuple[str, ...]:
    default = nexus_xr.describe(path).default
    assert default is not None
    return default.arrays[0].filters


def test_a_file_is_compressed_anew_with_all_that_it_holds(scan: Path, tmp_path: Path) -> None:
    with h5py.File(scan, "a") as file:
        file["entry/same"] = file["entry/data/counts"]
        file["entry/soft"] = h5py.SoftLink("/entry/title")
        file["entry/gone"] = h5py.ExternalLink("gone.h5", "/x")
        file["entry/plain"] = np.zeros((100, 1000))
        file["entry/filled"] = file.create_dataset(None, (100, 1000), "f4", chunks=(10, 1000), fillvalue=7)
    target = tmp_path / "new.nxs"
    result = invoke("repack", scan, target, "-c", "zstd")
    assert result.exit_code == 0, result.output
    assert outline_of(target) == outline_of(scan)
    assert filters_in(target) == ("shuffle", "zstd")
    with h5py.File(target) as new, h5py.File(scan) as old:
        assert new["entry/same"] == new["entry/data/counts"]
        np.testing.assert_array_equal(new["entry/data/counts"][...], VALUES)
        assert (new["entry/data/counts"].maxshape, new["entry/filled"].fillvalue) == ((None, 60, 50), 7)
        assert new["entry"].attrs.get_id("NX_class").dtype == old["entry"].attrs.get_id("NX_class").dtype
        assert new["entry/plain"].chunks
        assert new["entry"].attrs["NX_class"] == b"NXentry"
    assert target.stat().st_size < scan.stat().st_size
    assert f"was {scan.stat().st_size / 1024:.3g} KiB" in result.stdout


def test_datasets_of_a_named_datatype_are_of_an_equal_one(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["number"], file["text"] = np.dtype("i4"), h5py.string_dtype()
        file.create_dataset("n", data=[1, 2, 3], dtype=file["number"])
        file.create_dataset("words", (3,), dtype=file["text"], fillvalue="none")
    nexus_xr.repack(tmp_path / "f.h5", tmp_path / "g.h5")
    with h5py.File(tmp_path / "g.h5") as file:
        assert file["n"].id.get_type().equal(file["number"].id)
        assert file["words"].id.get_type().equal(file["text"].id)
        assert (file["n"][...].tolist(), file["words"].asstr()[...].tolist()) == ([1, 2, 3], ["none"] * 3)


@pytest.mark.parametrize("compression", ["keep", "gzip"])
@pytest.mark.parametrize("count", [3, 30])  # in the header, and in a heap
def test_attributes_stay_in_the_order_in_which_they_were_made(tmp_path: Path, compression: str, count: int) -> None:
    names = [f"{at * 7 % count}" for at in range(count, 0, -1)]
    with h5py.File(tmp_path / "f.h5", "w", track_order=True) as file:
        values = np.arange(30_000)
        made = file.create_group("group", track_order=True), file.create_dataset("large", data=values, track_order=True)
        for item in (file, *made):
            for name in names:
                item.attrs[name] = 1
        unordered = file.create_group("unordered", track_order=False)
        unordered.attrs.update(z=1, a=2)
    nexus_xr.repack(tmp_path / "f.h5", tmp_path / "g.h5", compression=compression)
    with h5py.File(tmp_path / "g.h5") as file:
        for item in (file, file["group"], file["large"]):
            assert list(item.attrs) == names
        assert dict(file["unordered"].attrs) == {"z": 1, "a": 2}


def write_in_latest_format(path: Path) -> None:
    """A file of the latest version of the format, with what that has another version for, and what it hasn't."""
    record = np.dtype([("a", "u2"), ("flag", bool), ("three", "f4", (3,))])
    with h5py.File(path, "w", libver="latest") as file:
        counts = np.arange(40, dtype="u2").reshape(5, 8)
        file.create_dataset("grows", data=counts, maxshape=(None, 8), chunks=(2, 8), compression="gzip", fillvalue=3)
        file.create_dataset(
            "both", data=counts, maxshape=(None, None), chunks=(2, 3), compression="lzf", fletcher32=True
        )
        file.create_dataset("offset", data=counts, chunks=(2, 8), scaleoffset=0)
        file.create_dataset("one", data=counts, chunks=(5, 8), compression="gzip")
        file.create_dataset("plain", data=counts, chunks=(2, 8))
        file.create_dataset("flags", data=[True, False], chunks=(1,), compression="gzip")
        file.create_dataset("words", data=["a", "bc", "d"], chunks=(2,), compression="gzip")
        file.create_dataset("records", data=np.ones(3, record), chunks=(2,), compression="gzip")
        file.create_dataset("in one piece", data=np.ones(3, record))
        kinds = h5py.enum_dtype({"low": -(2**63), "high": 2**63 - 1}, "i8")
        file.create_dataset("kinds", data=np.array([2**63 - 1, -(2**63)]), dtype=kinds)
        file["named"] = record
        file.create_dataset("of named", (3,), file["named"])
        file.create_dataset("ragged", (3,), h5py.vlen_dtype("i4"), chunks=(2,), compression="gzip")[0] = [1, 2]
        file.create_dataset("leads", (2,), h5py.ref_dtype, chunks=(1,), compression="gzip")[0] = file["one"].ref
        for item in (file, file["grows"], file["named"], file["leads"]):
            item.attrs["flag"], item.attrs["record"] = True, np.zeros(2, record)
        layout = h5py.VirtualLayout((5, 8), "u2")
        layout[...] = h5py.VirtualSource(".", "grows", (5, 8))
        file.create_virtual_dataset("virtual", layout)


def stored_alike(item: h5py.HLObject) -> tuple[Any, ...]:
    """What a copy of an object has as well."""
    if isinstance(item, h5py.Datatype):
        return item.dtype, repr(dict(item.attrs))
    chunks = [item.id.read_direct_chunk(item.id.get_chunk_info(0).chunk_offset)] if item.chunks else []
    is_as_stored = not (item.dtype.hasobject and item.chunks)
    attributes, values = (
        repr(dict(item.attrs)),
        "" if item.dtype.kind == "O" and item.name == "/leads" else repr(item[()]),
    )
    return item.dtype, item.shape, item.maxshape, item._filters, attributes, values, chunks if is_as_stored else []


@pytest.mark.parametrize("compression", ["keep", "zstd"])
def test_older_libraries_read_what_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    monkeypatch.setattr(repack, "SMALL_BYTES", 0)
    write_in_latest_format(tmp_path / "f.h5")
    nexus_xr.repack(tmp_path / "f.h5", tmp_path / "g.h5", compression=compression)
    assert_older_libraries_read(tmp_path / "g.h5")
    with h5py.File(tmp_path / "f.h5") as old, h5py.File(tmp_path / "g.h5") as new:
        assert list(new) == list(old)
        assert repr(dict(new.attrs)) == repr(dict(old.attrs))
        assert new[new["leads"][0]] == new["one"]
        for name in old if compression == "keep" else ():
            assert stored_alike(new[name]) == stored_alike(old[name])


@pytest.mark.parametrize("open_it", [xr.open_dataset, xr.open_datatree])
def test_older_libraries_read_copies_of_what_is_in_the_latest_format(tmp_path: Path, open_it: Any) -> None:
    write_in_latest_format(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5", "a", libver="latest") as file:
        file.attrs["default"] = "entry"
        file.create_group("entry").attrs.update(NX_class="NXentry", default="data")
        file.create_group("entry/data").attrs.update(NX_class="NXdata", signal="both")
        for name in ("both", "flags"):
            file[f"entry/data/{name}"] = file[name]
        for name in ("virtual", "leads", "named", "of named"):
            del file[name]
    opened = open_it(tmp_path / "f.h5", engine="nexus")
    opened.nexus.to_nexus(tmp_path / "g.nxs")
    assert_older_libraries_read(tmp_path / "g.nxs")
    assert open_it(tmp_path / "g.nxs", engine="nexus").identical(opened)


def test_what_needs_the_newest_library_is_copied(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        record = np.dtype([("to", h5py.ref_dtype), ("x", "i4")])
        made = file.create_dataset("records", (2,), record, chunks=(1,), compression="gzip")
        made[...] = np.array([(made.ref, 1), (made.ref, 2)], record)
    nexus_xr.repack(tmp_path / "f.h5", tmp_path / "g.h5")
    with h5py.File(tmp_path / "g.h5") as file:
        assert file["records"]["x"].tolist() == [1, 2]


def test_a_file_is_packed_in_its_own_place(scan: Path) -> None:
    with h5py.File(scan, "a") as file:
        file["rubbish"] = np.random.default_rng(0).random(100_000)
        file["last"] = np.zeros(10_000)
    with h5py.File(scan, "a") as file:
        del file["rubbish"]
    before, outline = scan.stat().st_size, outline_of(scan)
    seen: list[tuple[int, int]] = []
    nexus_xr.repack(scan, progress=lambda done, total: seen.append((done, total)))
    assert scan.stat().st_size < before - 700_000
    assert outline_of(scan) == outline
    assert seen[-1][0] == seen[-1][1] > VALUES.nbytes
    assert filters_in(scan) == ("gzip 4",)
    assert invoke("repack", scan, "-c", "none").exit_code == 0
    assert filters_in(scan) == ()


def test_chunks_are_chosen_anew_where_that_is_asked_for(scan: Path) -> None:
    assert invoke("repack", scan, "--rechunk").exit_code == 0
    default = nexus_xr.describe(scan).default
    assert default is not None
    assert (default.arrays[0].chunks, default.arrays[0].filters) == ((20, 60, 50), ("gzip 4",))
    np.testing.assert_array_equal(xr.open_dataset(scan, engine="nexus").counts, VALUES)


def test_what_may_grow_keeps_its_chunks_where_it_is_small(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("n", data=[1, 2, 3], chunks=(2,), maxshape=(None,), compression="gzip")
    nexus_xr.repack(tmp_path / "f.h5", chunks="auto", compression="lzf")
    with h5py.File(tmp_path / "f.h5") as file:
        assert (file["n"].chunks, file["n"].maxshape, file["n"][()].tolist()) == ((2,), (None,), [1, 2, 3])


@pytest.mark.parametrize("target", [None, "new.mat"])
@pytest.mark.parametrize("size", [512, 4096])
def test_what_is_before_all_that_is_of_hdf5_stays(tmp_path: Path, target: str | None, size: int) -> None:
    header = b"MATLAB 7.3 MAT-file".ljust(size, b".")
    with h5py.File(tmp_path / "m.mat", "w", userblock_size=size) as file:
        file["x"] = VALUES
    with open(tmp_path / "m.mat", "r+b") as stream:
        stream.write(header)
    nexus_xr.repack(tmp_path / "m.mat", None if target is None else tmp_path / target, compression="lzf")
    made = tmp_path / (target or "m.mat")
    assert made.read_bytes()[:size] == header
    with h5py.File(made) as file:
        assert (file.userblock_size, file["x"].compression) == (size, "lzf")
        np.testing.assert_array_equal(file["x"], VALUES)


def test_what_would_not_be_right_in_a_new_file_is_refused(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "there.nxs").write_text("")
    with h5py.File(scan, "a") as file:
        file["link"] = h5py.ExternalLink("gone.h5", "/x")
    for target, words in (("other/new.nxs", "consolidate the file before"), ("there.nxs", "is there already")):
        result = invoke("repack", scan, target)
        assert (result.exit_code, words in result.stderr) == (1, True), result.stderr
    with pytest.raises(nexus_xr.NexusError, match='expected "keep" or "auto"'):
        nexus_xr.repack(scan, chunks="frames")
    assert invoke("repack", tmp_path / "gone.nxs").exit_code == 1


@pytest.mark.parametrize("is_within", [False, True])
def test_references_that_h5py_does_not_read_are_refused(is_within: bool, tmp_path: Path) -> None:
    """References to objects as HDF5 has them since version 1.12."""
    kind = h5t.decode(b"\x03\x00" + bytes([0x47, 0x12, 0, 0]) + (64).to_bytes(4, "little"))
    if is_within:
        reference, kind = kind, h5t.create(h5t.COMPOUND, 72)
        kind.insert(b"n", 0, h5t.STD_I64LE)
        kind.insert(b"to", 8, reference)
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        h5d.create(file.id, b"references", kind, h5s.create_simple((1,)))
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["entry"] = h5py.ExternalLink("f.h5", "/references")
    before = [(tmp_path / name).read_bytes() for name in ("f.h5", "master.h5")]
    for work, name in ((nexus_xr.repack, "f.h5"), (nexus_xr.consolidate, "master.h5")):
        with pytest.raises(
            nexus_xr.NexusError, match=r"/f\.h5:/references: has references as HDF5 has them since 1\.12"
        ):
            work(tmp_path / name)
    assert [(tmp_path / name).read_bytes() for name in ("f.h5", "master.h5")] == before


def test_references_lead_to_the_same_objects_in_a_new_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["gone"] = np.arange(1000)
        file["entry/data"] = np.arange(12).reshape(3, 4)
        file["entry/type"] = np.dtype("f4")
        there, lost = file["entry"].ref, file["gone"].ref
        file.attrs["root"] = file["/"].ref
        file["entry"].attrs["to"] = file["entry/data"].ref
        file["entry/type"].attrs["to"] = file["entry/type"].ref
        file["references"] = np.array([[there, lost, h5py.Reference()]], h5py.ref_dtype)
        file["regions"] = np.array([file["entry/data"].regionref[1:, 2:], h5py.RegionReference()], h5py.regionref_dtype)
        pairs = [("n", "i4"), ("to", h5py.ref_dtype), ("within", [("to", h5py.ref_dtype)])]
        file["pairs"] = np.array([(1, there, (file["entry/data"].ref,))], pairs)
        several = file.create_dataset("several", (2,), h5py.vlen_dtype(h5py.ref_dtype))
        several[0] = np.array([there, h5py.Reference(), there], h5py.ref_dtype)
        del file["gone"]
        for name in ("references", "pairs"):
            file[name].attrs["same"] = file[name].ref
    nexus_xr.repack(tmp_path / "f.h5")
    with h5py.File(tmp_path / "f.h5") as file:

        def led(reference: h5py.Reference) -> str | None:
            return file[reference].name if reference else None

        assert [led(file[path].attrs["to"]) for path in ("entry", "entry/type")] == ["/entry/data", "/entry/type"]
        assert led(file.attrs["root"]) == "/"
        assert [led(each) for each in file["references"][0]] == ["/entry", None, None]
        region, none = file["regions"][...]
        assert (file[region][region].tolist(), bool(none)) == ([[6, 7], [10, 11]], False)
        assert [(pair[0], led(pair[1]), led(pair[2][0])) for pair in file["pairs"]] == [(1, "/entry", "/entry/data")]
        assert [[led(each) for each in several] for several in file["several"]] == [["/entry", None, "/entry"], []]
        assert [led(file[path].attrs["same"]) for path in ("references", "pairs")] == ["/references", "/pairs"]


def test_netcdf_is_written_anew_with_its_dimensions(tmp_path: Path) -> None:
    expected = xr.Dataset({"t": (("y", "x"), np.arange(12.0).reshape(3, 4))}, {"y": [1, 2, 3], "x": [1.0, 2, 3, 4]})
    path = tmp_path / "f.nc"
    expected.to_netcdf(path, engine="netcdf4")
    nexus_xr.repack(path, compression="gzip")
    for engine in ("netcdf4", "h5netcdf"):
        with xr.open_dataset(path, engine=engine) as opened:
            xr.testing.assert_identical(opened.load(), expected)
    with h5py.File(path) as file:
        assert [scales[0].name for scales in file["t"].dims] == ["/y", "/x"]


def test_names_may_begin_with_the_users_folder(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(scan.parent))
    for suffix in (".json", ".csv", ".zarr", ".nc"):
        nexus_xr.convert("~/scan.nxs", f"~/it{suffix}")
        nexus_xr.convert(f"~/it{suffix}", f"~/from{suffix}.nxs")
        with pytest.raises(nexus_xr.NexusError, match="is there already"):
            nexus_xr.convert("~/scan.nxs", f"~/it{suffix}")
    nexus_xr.read_json("~/it.json")
    nexus_xr.read_csv("~/it.csv")
    with h5py.File(scan, "a"), pytest.raises(nexus_xr.NexusFileError, match="open for writing in this process"):
        nexus_xr.repack("~/scan.nxs", "~/scan.nxs", overwrite=True)
    nexus_xr.repack("~/scan.nxs", "~/scan.nxs", overwrite=True)
    with pytest.raises(nexus_xr.NexusError, match=r"memory://it/f\.nxs: only a file of this machine"):
        nexus_xr.repack(scan, "memory://it/f.nxs")


def test_a_source_that_may_not_be_seen_is_no_missing_one(scan: Path) -> None:
    path = scan / "scan.nxs"  # below what is no folder
    with pytest.raises(nexus_xr.NexusFileError, match=r"can't be opened .*Not a directory"):
        nexus_xr.convert(path, scan.parent / "f.json")


@pytest.mark.parametrize("target", ["gone/new.nxs", "scan.nxs/new.nxs"])
def test_a_target_that_cant_be_written_is_told_at_once(scan: Path, target: str) -> None:
    words = f"{scan.parent / target}: can't be written"
    with pytest.raises(nexus_xr.NexusFileError, match=words) as caught:
        nexus_xr.repack(scan, scan.parent / target)
    assert caught.value.__cause__ is not caught.value
    assert list(scan.parent.iterdir()) == [scan]


@pytest.mark.parametrize("compression", ["keep", "zstd"])
def test_a_target_for_which_there_is_no_room_is_named(scan: Path, compression: str) -> None:
    resource = pytest.importorskip("resource")  # not on Windows
    target, limits = scan.with_name("new.nxs"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limits[1]))  # as a full disk
    try:
        with pytest.raises(nexus_xr.NexusFileError, match=r"new\.nxs:/entry/\S+: can't be written .File") as it:
            nexus_xr.repack(scan, target, compression=compression)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "scan.nxs" not in str(it.value)
    assert list(scan.parent.iterdir()) == [scan]


def test_a_damaged_file_is_not_written_anew(scan: Path) -> None:
    with h5py.File(scan, "a") as file:
        file["entry/data/counts"].id.write_direct_chunk((3, 0, 0), b"damaged")
    before = scan.read_bytes()
    with pytest.raises(nexus_xr.NexusFileError, match=r"chunk \(3, 0, 0\)"):
        nexus_xr.repack(scan, compression=hdf5plugin.LZ4())
    assert scan.read_bytes() == before
    assert list(scan.parent.glob("*.part")) == []


def _damaged(path: Path, found: bytes, instead: bytes) -> bytes:
    """The content of a file of which the last such bytes are others from now on."""
    before, _, behind = path.read_bytes().rpartition(found)
    path.write_bytes(before + instead + behind)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("found", "instead", "where"),
    [
        (b"units\0\0\0", b"units\0\0\0\xff", "/entry/sample/temperature"),  # the datatype of an attribute
        (b"SNOD", b"SNOX", "/entry/sums"),
        (b"GCOL", b"GCOX", "/entry/sample/temperature"),  # where text of varying length is
    ],
)
def test_an_object_that_cant_be_written_anew_is_named(tmp_path: Path, found: bytes, instead: bytes, where: str) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["entry/sample/temperature"] = 4.2
        file["entry/sample/temperature"].attrs["units"] = "K"
        file["entry/sums/total"] = 1
    content = _damaged(path, found + instead[len(found) :].replace(b"\xff", b"\x19"), instead)
    with pytest.raises(nexus_xr.NexusFileError, match=rf"scan\.nxs:{where}: can't be written anew"):
        nexus_xr.repack(path)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (content, [path])


@pytest.mark.parametrize("damage", ["GCOX", "size of free space"])
@pytest.mark.parametrize("kept", [["type", "values"], ["type"], ["values"], ["other"]])
def test_text_of_named_datatypes_that_cant_be_read_is_named(tmp_path: Path, damage: str, kept: list[str]) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["type"] = np.dtype("f8")
        file["type"].attrs["note"] = "some text"
        file.create_dataset("values", data=[1.0], dtype=file["type"])
        file["other"] = 1
        file["other"].attrs.create("of_that_type", 1.0, dtype=file["type"])
        for name in {"type", "values", "other"}.difference(kept):
            del file[name]
    if damage == "GCOX":
        _damaged(path, b"GCOL", b"GCOX")
    else:
        room = path.read_bytes().rpartition(b"some text")[2][7 + 8 :][:8]  # behind what aligns it
        _damaged(path, bytes(8) + room, bytes(16))
    with pytest.raises(nexus_xr.NexusFileError, match=rf"scan\.nxs:/{kept[0]}: can't .*attribute 'note' can't be read"):
        nexus_xr.repack(path)


def _types_without_dtype() -> dict[str, h5t.TypeID]:
    quadruple = h5t.IEEE_F64LE.copy()
    quadruple.set_size(16)
    quadruple.set_precision(128)
    quadruple.set_fields(127, 112, 15, 0, 112)
    quadruple.set_ebias(16383)
    records = h5t.create(h5t.COMPOUND, 8)
    records.insert(b"t", 0, h5t.UNIX_D32LE)
    records.insert(b"n", 4, h5t.STD_I32LE)
    return {"time": h5t.UNIX_D32LE, "time64": h5t.UNIX_D64LE, "quadruple": quadruple, "records": records}


@pytest.mark.parametrize("name", _types_without_dtype())
@pytest.mark.parametrize("chunks", [None, (2,)])
def test_what_numpy_has_no_type_for_is_written_anew(tmp_path: Path, name: str, chunks: tuple[int, ...] | None) -> None:
    kind = _types_without_dtype()[name]
    content = np.arange(3 * kind.get_size(), dtype="u1").view(f"V{kind.get_size()}")
    properties = h5p.create(h5p.DATASET_CREATE)
    if chunks:
        properties.set_chunk(chunks)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        h5d.create(file.id, b"x", kind, h5s.create_simple((3,)), properties).write(h5s.ALL, h5s.ALL, content, kind)
        file["y"] = VALUES
    seen: list[tuple[int, int]] = []
    options: Any = {"compression": "gzip", "chunks": "auto", "progress": lambda *done: seen.append(done)}
    nexus_xr.repack(tmp_path / "f.h5", tmp_path / "g.h5", **options)
    assert seen[-1][0] == seen[-1][1] == VALUES.nbytes + content.nbytes
    with h5py.File(tmp_path / "g.h5") as file:
        dataset = h5d.open(file.id, b"x")
        found = np.empty(3, content.dtype)
        dataset.read(h5s.ALL, h5s.ALL, found, kind)
        assert (dataset.get_type(), found.tobytes()) == (kind, content.tobytes())


# What repack leaves as it is stored.
_LEFT_BY_REPACK = {"padded", "ended", "array"}


def _compress_anew(source: Path, target: Path, way: str, **options: Any) -> None:
    if way == "repack":
        nexus_xr.repack(source, target, **options)
    else:
        xr.open_datatree(source, engine="nexus").nexus.to_nexus(target, layout="inplace", **options)


@pytest.mark.parametrize("at_once", [1 << 24, 50_000])
@pytest.mark.parametrize("way", ["repack", "inplace"])
@pytest.mark.parametrize("name", kinds_that_numpy_has_no_word_for())
@pytest.mark.parametrize(
    "options", [{}, {"compression": "gzip"}, {"scaleoffset": 0}], ids=["none", "gzip", "libhdf5's"]
)
def test_types_stay_where_arrays_are_compressed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any, name: str, way: str, at_once: int
) -> None:
    monkeypatch.setattr(stored_anew, "_BLOCK_BYTES", at_once)
    kind = kinds_that_numpy_has_no_word_for()[name]
    if "scaleoffset" in options and name != "number":
        pytest.skip("is for numbers")
    rows = 180_000 // kind.get_size()
    content = np.random.default_rng(0).integers(0, 128, (rows, kind.get_size()), "u1")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        template = file.create_dataset("template", (1,), "i2", chunks=(1,) if options else None, **options)
        properties = template.id.get_create_plist()
        if options:
            properties.set_chunk((1000,))
        made = h5d.create(file.id, b"x", kind, h5s.create_simple((rows,)), properties)
        made.write(h5s.ALL, h5s.ALL, content.view(f"V{kind.get_size()}")[:, 0], kind)
        made = stored_bytes(made)
    _compress_anew(tmp_path / "f.h5", tmp_path / "g.h5", way, compression="lzf")
    with h5py.File(tmp_path / "g.h5") as file:
        dataset = file["x"]
        assert dataset.id.get_type() == kind
        assert dataset.shape == (rows,)
        assert stored_bytes(dataset.id) == made
        is_left = way == "repack" and (name in _LEFT_BY_REPACK or "scaleoffset" in options)
        assert dataset.compression == (options.get("compression") if is_left else "lzf")


@pytest.mark.parametrize("way", ["repack", "inplace"])
def test_elements_that_only_libhdf5_encodes_are_written_by_it(tmp_path: Path, way: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = VALUES.astype(">u2")
    _compress_anew(tmp_path / "f.h5", tmp_path / "g.h5", way, compression="szip")
    with h5py.File(tmp_path / "g.h5") as file:
        assert (file["x"].compression, file["x"].dtype) == ("szip", np.dtype(">u2"))
        np.testing.assert_array_equal(file["x"], VALUES)


@pytest.mark.parametrize("fill", [0, 7])
@pytest.mark.parametrize("way", ["repack", "inplace"])
def test_what_nobody_has_written_is_not_written_where_arrays_are_compressed_anew(
    tmp_path: Path, way: str, fill: int
) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((4, 1000))
        properties.set_fill_value(np.array(fill, "i4"))
        space = h5s.create_simple((40_000_000, 1000), (h5s.UNLIMITED, 1000))
        dataset = h5py.Dataset(h5d.create(file.id, b"x", h5t.STD_I32LE, space, properties))
        dataset[6:9, 5:] = 3
        dataset[-4:] = fill
    _compress_anew(tmp_path / "f.h5", tmp_path / "g.h5", way, compression="gzip")
    with h5py.File(tmp_path / "g.h5") as file:
        dataset = file["x"]
        assert (dataset.compression, dataset.maxshape, dataset.fillvalue) == ("gzip", (None, 1000), fill)
        assert dataset.id.get_num_chunks() == 3
        assert dataset[4:12, 4].tolist() == [fill] * 8
        assert dataset[4:12, 5].tolist() == [fill] * 2 + [3] * 3 + [fill] * 3
        assert dataset[-4:, 999].tolist() == [fill] * 4


def test_zeros_are_written_where_it_is_not_known_what_reads_as_zero(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("x", (40_000,), "i4", chunks=(10_000,))[:20_000] = 0
    content = (tmp_path / "f.h5").read_bytes()
    defined = content.index(b"\x02\x03\x02\x01" + bytes(4)) + 3  # in the message of the fill value
    (tmp_path / "f.h5").write_bytes(content[:defined] + b"\0" + content[defined + 1 :])
    _compress_anew(tmp_path / "f.h5", tmp_path / "g.h5", "inplace", compression="gzip")
    with h5py.File(tmp_path / "g.h5") as file:
        assert file["x"].id.get_create_plist().fill_value_defined() == h5d.FILL_VALUE_UNDEFINED
        assert (file["x"].compression, file["x"][:20_000].any()) == ("gzip", False)
        assert file["x"].id.get_num_chunks() >= 2


_empty = np.empty


def _of_used_memory(*args: Any, **options: Any) -> Any:
    """An array in memory of which something was made before."""
    made = _empty(*args, **options)
    if made.ndim and made.size and not made.dtype.hasobject:
        made.view(np.uint8)[...] = 0x77
    return made


@pytest.mark.parametrize("chunks", [None, (1000,)])
def test_what_nobody_has_written_and_nothing_fills_in_is_zeros_where_it_is_compressed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunks: tuple[int, ...] | None
) -> None:
    """Also in chunks that only libhdf5 decodes, which leaves what was in memory before."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_fill_time(h5d.FILL_TIME_NEVER)
    if chunks is not None:
        properties.set_chunk(chunks)
        properties.set_szip(h5z.SZIP_NN_OPTION_MASK, 8)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        made = h5d.create(file.id, b"x", h5t.NATIVE_INT64, h5s.create_simple((20_000,)), dcpl=properties)
        if chunks is not None:
            h5py.Dataset(made)[:1000] = 1
    monkeypatch.setattr(np, "empty", _of_used_memory)
    nexus_xr.repack(tmp_path / "f.h5", tmp_path / "g.h5", compression="gzip")
    monkeypatch.undo()
    with h5py.File(tmp_path / "g.h5") as file:
        assert not file["x"][1000:].any()


@pytest.mark.parametrize("way", ["repack", "inplace"])
def test_lengths_that_arrays_may_grow_to_stay_where_they_are_compressed_anew(tmp_path: Path, way: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("x", data=np.arange(40_000), chunks=(10_000,), maxshape=(50_000,))
    _compress_anew(tmp_path / "f.h5", tmp_path / "g.h5", way, compression="gzip")
    with h5py.File(tmp_path / "g.h5") as file:
        assert (file["x"].compression, file["x"].maxshape) == ("gzip", (50_000,))
        np.testing.assert_array_equal(file["x"], np.arange(40_000))


# --- consolidate ---------------------------------------------------------------------------------------------------


def test_a_file_becomes_one(scan: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file["entry"] = h5py.ExternalLink("scan.nxs", "/entry")
    assert invoke("consolidate", tmp_path / "master.nxs").exit_code == 0
    scan.unlink()
    assert nexus_xr.describe(tmp_path / "master.nxs").facts["title"] == "a scan"
    with h5py.File(tmp_path / "master.nxs") as file:
        assert file["entry"].attrs["NX_class"] == b"NXentry"
    assert invoke("consolidate", tmp_path / "gone.nxs").exit_code == 1


def test_a_file_with_a_link_that_leads_nowhere_is_not_said_to_be_one(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file["entry/gone"] = h5py.ExternalLink("gone.h5", "/x")
    result = invoke("consolidate", tmp_path / "master.nxs")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "/entry/gone: links to gone.h5:/x, which is not there; it stays a link" in result.stderr


def test_an_attribute_that_cant_be_brought_into_one_file_is_named(scan: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file["entry"] = h5py.ExternalLink("scan.nxs", "/entry/sample")
    _damaged(scan, b"GCOL", b"GCOX")
    with pytest.raises(nexus_xr.NexusFileError, match=r"master\.nxs:/entry/temperature: .*attribute 'units' can't be"):
        nexus_xr.consolidate(tmp_path / "master.nxs")


def test_an_object_that_cant_be_brought_into_one_file_is_named(scan: Path, tmp_path: Path) -> None:
    master = tmp_path / "master.nxs"
    with h5py.File(master, "w") as file:
        file["entry"] = h5py.ExternalLink("scan.nxs", "/entry")
        file["own/value"] = 1
    before = master.read_bytes()
    _damaged(scan, b"SNOD", b"SNOX")
    with pytest.raises(nexus_xr.NexusFileError, match=r"master\.nxs:/entry/sums: can't be made one file"):
        nexus_xr.consolidate(master)
    assert (master.read_bytes(), sorted(tmp_path.iterdir())) == (before, [master, scan])
    content = _damaged(master, b"SNOD", b"SNOX")
    with pytest.raises(nexus_xr.NexusFileError, match=r"master\.nxs:/own: can't be made one file"):
        nexus_xr.consolidate(master)
    assert master.read_bytes() == content


def _links_of(group: h5py.Group) -> dict[bytes, tuple[int, Any]]:
    """What leads to what, as it is stored; of hard links, the kind alone."""
    found: dict[bytes, tuple[int, Any]] = {}
    links, names = group.id.links, list[bytes]()
    links.iterate(names.append)
    for name in names:
        kind = links.get_info(name).type
        found[name] = kind, None if kind == h5l.TYPE_HARD else links.get_val(name)
    return found


@pytest.mark.parametrize("compression", ["keep", "gzip"])
def test_names_that_are_not_utf8_stay_as_they_are(tmp_path: Path, compression: str) -> None:
    source, target = tmp_path / "f.h5", tmp_path / "g.h5"
    values = np.arange(30_000)
    with h5py.File(source, "w") as file:
        group = file.create_group(b"gr\xb0")
        group[b"v\xb0"], group["v"] = values, values
        group.attrs["a"] = 1
        file["same"] = group
        file.id.links.create_soft(b"soft\xb0", b"/gr\xb0/v")
        file.id.links.create_external(b"external", "\xb0.h5".encode("latin-1"), b"/x\xb0")
        links = _links_of(file), _links_of(group)
    nexus_xr.repack(source, target, compression=compression)
    with h5py.File(target) as file:
        group = file[b"gr\xb0"]
        assert (_links_of(file), _links_of(group)) == links
        assert group.attrs["a"] == 1
        for name in (b"v\xb0", "v"):
            np.testing.assert_array_equal(group[name], values)
            assert group[name].compression == (None if compression == "keep" else compression)
        assert file["same"] == group


def test_text_with_a_fill_value_is_written_anew_while_h5py_has_it_open(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for name, shape in {"a": (2,), "b": (2,), "e": ()}.items():
            file.create_dataset(name, shape, h5py.string_dtype(), data=np.full(shape, "v", object), fillvalue="x")
    read = """
import sys, warnings, h5py, nexus_xr, xarray as xr
source, copy, target = sys.argv[1:]
warnings.simplefilter("ignore")
file = h5py.File(source)
held = [file[name] for name in file]
xr.open_datatree(source, engine="nexus").nexus.to_nexus(copy)  # which reads what is held through another handle
nexus_xr.repack(source, target)
"""
    run(read, tmp_path / "f.h5", tmp_path / "copy.nxs", tmp_path / "g.h5")
    with h5py.File(tmp_path / "g.h5") as file:
        for name in "abe":
            assert (file[name].asstr()[...].astype(object) == "v").all()
            assert file[name].fillvalue == b"x"


def take_filter_name(path: Path, name: str) -> None:
    """Have the filter of a dataset of a header of version 1 be told of without its name, in a message without room."""
    with h5py.File(path) as file:
        header = h5o.get_info(file[name].id).addr
    content = bytearray(path.read_bytes())
    at = content.index(b"deflate\0", header)
    begin = at - 16  # of the message, before which its size is
    (size,) = struct.unpack_from("<H", content, begin - 6)
    content[at - 6 : at - 4] = bytes(2)
    content[at : begin + size] = content[at + 8 : begin + size] + bytes(8)  # the end is a message of nothing
    struct.pack_into("<H", content, begin - 6, size - 8)
    content[header + 2] += 1
    path.write_bytes(content)


@pytest.fixture
def unnamed(tmp_path: Path) -> Path:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        values = np.arange(60, dtype="u2").reshape(6, 10)
        made = file.create_dataset("counts", data=values, chunks=(2, 10), maxshape=(None, 10), compression="gzip")
        made.attrs["units"] = "K"
    take_filter_name(path, "counts")
    return path


def assert_counts_are_there(path: Path, name: str) -> None:
    with h5py.File(path) as file:
        counts = file[name]
        assert counts[...].tolist() == np.arange(60).reshape(6, 10).tolist()
        assert (counts.chunks, counts.maxshape, counts.compression) == ((2, 10), (None, 10), "gzip")
        assert counts.attrs["units"] == "K"
        assert counts.id.get_create_plist().get_filter(0)[3] == b"deflate"
    report = nexus_xr.check(path)
    assert (report.faults, report.unread) == ((), ())


@pytest.mark.parametrize("target", [None, "g.h5"])
@pytest.mark.parametrize("compression", ["keep", "zstd"])
def test_filters_without_a_name_are_written_anew_with_theirs(
    tmp_path: Path, unnamed: Path, target: str | None, compression: str
) -> None:
    nexus_xr.repack(unnamed, target and tmp_path / target, compression=compression)
    assert_counts_are_there(tmp_path / (target or "f.h5"), "counts")


def test_filters_without_a_name_are_copied_with_theirs(tmp_path: Path, unnamed: Path) -> None:
    xr.open_dataset(unnamed, engine="nexus").nexus.to_nexus(tmp_path / "g.nxs")
    with h5py.File(tmp_path / "g.nxs") as file:
        assert file["entry1/counts/counts"].maxshape == (None, 10)
    assert_counts_are_there(tmp_path / "g.nxs", "entry1/counts/counts")


def test_filters_without_a_name_are_consolidated_with_theirs(tmp_path: Path, unnamed: Path) -> None:
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["counts"] = h5py.ExternalLink("f.h5", "/counts")
    nexus_xr.consolidate(tmp_path / "g.h5")
    assert_counts_are_there(tmp_path / "g.h5", "counts")


def test_a_filter_without_a_name_that_nobody_knows_is_copied_as_it_is(tmp_path: Path, unnamed: Path) -> None:
    content = unnamed.read_bytes()
    step = content.index(bytes((1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0))) + 8
    unnamed.write_bytes(content[:step] + struct.pack("<H", 399) + content[step + 2 :])
    nexus_xr.repack(unnamed, tmp_path / "g.h5")
    with h5py.File(unnamed) as old, h5py.File(tmp_path / "g.h5") as new:
        assert new["counts"].id.get_create_plist().get_filter(0)[0] == 399
        for corner in ((0, 0), (2, 0), (4, 0)):
            assert new["counts"].id.read_direct_chunk(corner) == old["counts"].id.read_direct_chunk(corner)


@pytest.fixture
def lossy(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        values = np.linspace(0, 1, 1000)
        file.create_dataset("counts", data=values, chunks=(100,), **hdf5plugin.Zfp(precision=8, reversible=False))
    return tmp_path / "f.h5"


def test_what_else_is_open_in_the_process_is_copied_as_it_is_stored(tmp_path: Path, lossy: Path) -> None:
    """Of a chunk that it has decoded, libhdf5 copies what it encodes anew, for which ZFP takes memory of others."""
    with h5py.File(lossy) as file:
        opened = file["counts"]
        before = opened[...]
        nexus_xr.repack(lossy, tmp_path / "g.h5")
        with h5py.File(tmp_path / "g.h5") as made:
            for corner in range(0, 1000, 100):
                assert made["counts"].id.read_direct_chunk((corner,)) == opened.id.read_direct_chunk((corner,))
            assert_same_bits(made["counts"][...], before)


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip"}])
def test_references_are_copied_alike_where_something_else_has_them_open(
    tmp_path: Path, filters: dict[str, Any]
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        kind = np.dtype([("of", h5py.ref_dtype), ("n", "f8")])
        file.create_dataset("parts", (4,), kind, chunks=(2,), **filters)[1] = (file.ref, 2.0)
    for path in ("alone.h5", "beside.h5"):
        with h5py.File(tmp_path / "f.h5") as file:
            opened = file["parts"] if path == "beside.h5" else None
            nexus_xr.repack(tmp_path / "f.h5", tmp_path / path)
        del opened
        with h5py.File(tmp_path / path) as made:
            assert made["parts"]["n"].tolist() == [0.0, 2.0, 0.0, 0.0]
            assert made[made["parts"]["of"][1]] == made


def test_what_can_only_be_copied_where_nothing_else_has_it_open_is_an_error(
    tmp_path: Path, lossy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = itertools.count(1)
    monkeypatch.setattr(copying, "filters_of", lambda properties: next(numbers))  # as of a filter of another version
    with h5py.File(lossy) as file:
        opened = file["counts"]
        with pytest.raises(nexus_xr.NexusError, match=r"f\.h5:/counts: has a filter .* close it where this process"):
            nexus_xr.repack(lossy, tmp_path / "g.h5")
        assert opened.shape == (1000,)
    assert not (tmp_path / "g.h5").exists()
    nexus_xr.repack(lossy, tmp_path / "g.h5")


@pytest.mark.parametrize("target", [None, "g.h5"])
def test_a_copy_that_cannot_be_read_does_not_take_the_place_of_the_file(
    tmp_path: Path, unnamed: Path, monkeypatch: pytest.MonkeyPatch, target: str | None
) -> None:
    monkeypatch.setattr(copying, "peculiarities_of", lambda dataset, source: Peculiarities())  # for a broken header
    before = unnamed.read_bytes()
    with pytest.raises(nexus_xr.NexusFileError, match=r"f\.h5:/counts: can't be written anew, as libhdf5"):
        nexus_xr.repack(unnamed, target and tmp_path / target)
    assert unnamed.read_bytes() == before
    assert os.listdir(tmp_path) == ["f.h5"]


def test_a_dataset_without_a_fill_value_is_copied_as_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "f.h5", tmp_path / "g.h5"
    with h5py.File(source, "w") as file:
        file["x"] = [1, 2, 3]
    content = source.read_bytes()
    defined = content.index(b"\x02\x02\x02\x01" + bytes(4)) + 3  # in the message of the fill value
    source.write_bytes(content[:defined] + b"\0" + content[defined + 1 :])
    with h5py.File(source) as file:
        assert file["x"].id.get_create_plist().fill_value_defined() == h5d.FILL_VALUE_UNDEFINED
    nexus_xr.repack(source, target, compression="gzip")
    with h5py.File(target) as file:
        assert file["x"][...].tolist() == [1, 2, 3]


def test_a_named_type_is_brought_by_the_bytes_of_its_name(tmp_path: Path) -> None:
    source, target = tmp_path / "f.h5", tmp_path / "g.h5"
    properties = h5p.create(h5p.FILE_CREATE)
    properties.set_sizes(4, 4)  # between which libhdf5 doesn't copy rightly
    with h5py.File(h5f.create(bytes(source), h5f.ACC_TRUNC, properties)) as file:
        file[b"type\xb0"] = np.dtype("f4")
        file[b"type\xb0"].attrs["a"] = 1
    nexus_xr.repack(source, target)
    with h5py.File(target) as file:
        assert file[b"type\xb0"].dtype == np.dtype("f4")
        assert file[b"type\xb0"].attrs["a"] == 1
