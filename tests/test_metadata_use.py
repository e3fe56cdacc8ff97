"""Metadata is looked at by path, found, and made coordinates."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError, NexusPathError, NexusWarning
from nexus_xr.metadata import table
from nexus_xr.nexus.tree.metadata import MetadataField, MetadataGroup, same_tree

from .files import Field, Write, nxdata, nxentry, scan_file, write_tree


@pytest.fixture
def scan(write: Write) -> xr.Dataset:
    return xr.open_dataset(write(scan_file()), engine="nexus")


# --- by path ------------------------------------------------------------------------------------------------------


def test_what_is_at_a_path_is_what_attrs_has_there(scan: xr.Dataset) -> None:
    metadata = scan.nexus.metadata
    assert metadata["instrument/detector/distance"] is scan.attrs["instrument"]["detector"]["distance"]
    assert metadata["/instrument/detector/"] is scan.attrs["instrument"]["detector"]
    assert metadata["instrument/detector/attrs/NX_class"] == "NXdetector"
    assert "instrument/detector" in metadata
    assert "instrument/nothing" not in metadata
    assert list(metadata) == ["instrument/detector/distance", "instrument/detector/mask", "title", "data/title"]
    assert len(metadata) == 4


def test_groups_are_indexed_by_paths(scan: xr.Dataset) -> None:
    instrument = scan.attrs["instrument"]
    assert instrument["detector/distance"]["value"] == 1.5
    for path in ("detector/nothing", "nothing", "detector/distance/value/more"):
        with pytest.raises(KeyError, match=path):
            instrument[path]
    assert "detector/distance" in instrument._ipython_key_completions_()


@pytest.mark.parametrize(
    "use",
    [
        lambda opened: opened,
        lambda opened: opened.isel(x=slice(2)),
        lambda opened: opened.copy(deep=True),
        lambda opened: opened.chunk(),
        lambda opened: opened.compute(),
        lambda opened: opened.sum(),
        lambda opened: opened[["counts"]].rename(counts="intensity"),
        lambda opened: pickle.loads(pickle.dumps(opened)),
    ],
)
def test_attrs_take_paths(use: Callable[[xr.Dataset], xr.Dataset], scan: xr.Dataset) -> None:
    used = use(scan)
    assert used.attrs["instrument/detector/distance"] == {"value": 1.5, "attrs": {"units": "m"}}
    assert used.attrs == dict(scan.attrs)
    with pytest.raises(KeyError, match="instrument/detector/nothing"):
        used.attrs["instrument/detector/nothing"]


def test_attrs_of_signals_and_nodes_take_paths(write: Write) -> None:
    path = write(scan_file())
    signal = nexus_xr.open_signals(path)[0]
    node = xr.open_datatree(path, engine="nexus")["entry"]
    for attrs in (signal.attrs, node.attrs, node.dataset.attrs):
        assert isinstance(attrs, MetadataGroup)
        assert attrs["instrument/detector/distance"]["value"] == 1.5
        assert "instrument/detector/distance" in attrs._ipython_key_completions_()


@pytest.mark.parametrize("dtype", [">f8", ">c16", ">i4", np.dtype([("a", ">f4"), ("b", "<u2")])], ids=str)
@pytest.mark.parametrize("length", [3, 10_000])
def test_metadata_are_the_same_in_whatever_order_of_bytes(dtype: Any, length: int, write: Write) -> None:
    values = np.zeros(length, dtype)
    path = write({"entry": nxentry({"data": nxdata({"i": [1, 2]}, signal="i"), "v": values})})
    opened = xr.open_dataset(path, engine="nexus")
    native = np.zeros(length, values.dtype.newbyteorder("="))
    other = np.zeros(length, np.dtype([("a", "f8"), ("b", "u2")]) if native.dtype.names else "f2")
    same, others = (opened.assign_attrs(v={**opened.attrs["v"], "value": each}) for each in (native, other))
    assert opened.identical(same)
    assert same.identical(opened)
    assert pickle.loads(pickle.dumps(opened)).identical(opened)
    assert not opened.identical(others)


def test_text_is_not_the_same_as_arrays_of_arrays() -> None:
    ragged = np.empty(2, object)
    ragged[:] = [np.arange(3), np.arange(2)]
    text = np.array(["a", "b"])
    assert not same_tree(text, ragged)
    assert not same_tree(ragged, text)
    assert same_tree(text, text.astype(object))


def test_a_copy_of_a_group_is_one_of_its_own() -> None:
    group = MetadataGroup(x=1)
    copied = copy.copy(group)
    copied["y"] = 2
    assert type(copied) is MetadataGroup
    assert (group, copied) == ({"x": 1}, {"x": 1, "y": 2})


def test_what_is_added_to_attrs_is_of_this_object_alone(scan: xr.Dataset) -> None:
    copied = scan.copy()
    copied.attrs["note"] = "mine"
    assert copied.attrs["note"] == "mine"
    assert "note" not in scan.attrs


def test_a_path_that_is_not_there_names_those_that_are_alike(scan: xr.Dataset) -> None:
    with pytest.raises(NexusPathError, match=r"which has instrument/detector/distance$"):
        scan.nexus.metadata["detector/distance"]
    with pytest.raises(NexusPathError, match=r"which has title$"):
        scan.nexus.metadata["titel"]
    with pytest.raises(NexusPathError, match="'nothing' is not in the metadata, which has instrument/detector/dist"):
        scan.nexus.metadata["nothing"]
    with pytest.raises(NexusPathError, match=r"'nothing' is not in the metadata, which has no fields$"):
        xr.Dataset().nexus.metadata["nothing"]


@pytest.mark.parametrize(("compared", "named"), [(2, "field_b"), (1, "field_a, field_b")])
def test_of_very_many_paths_the_first_are_compared(compared: int, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_COMPARED", compared)
    dataset = xr.Dataset(attrs={"field_a": 1, "field_b": 2})
    monkeypatch.setattr(table, "get_close_matches", lambda _, paths: [path for path in paths if path == "field_b"])
    with pytest.raises(NexusPathError, match=rf"which has {named}$"):
        dataset.nexus.metadata["feild_b"]


def test_the_table_has_path_value_units_and_type(scan: xr.Dataset) -> None:
    table = scan.nexus.metadata.to_pandas()
    assert list(table.columns) == ["path", "value", "units", "type"]
    assert table.iloc[0].tolist() == ["instrument/detector/distance", 1.5, "m", "float"]
    assert table["type"].tolist() == ["float", "uint8 (3, 4)", "str", "str"]
    assert table["value"][1].shape == (3, 4)
    assert repr(scan.nexus.metadata).splitlines()[0].split() == ["instrument/detector/distance", "1.5", "m", "float"]


def test_fields_are_found_by_a_part_of_their_path(scan: xr.Dataset) -> None:
    assert list(scan.nexus.find("DETECTOR")) == ["instrument/detector/distance", "instrument/detector/mask"]
    assert list(scan.nexus.find("dist")) == ["instrument/detector/distance"]
    assert scan.nexus.find("dist")["instrument/detector/attrs/NX_class"] == "NXdetector"
    assert list(scan.nexus.find("nothing")) == []
    assert list(xr.Dataset().nexus.metadata) == []


def test_trees_and_signals_have_metadata_too(write: Write) -> None:
    path = write(scan_file())
    tree = xr.open_datatree(path, engine="nexus")
    assert tree.nexus.metadata["entry/instrument/detector/distance"]["value"] == 1.5
    assert "entry/data/title" in tree.nexus.metadata
    [signal] = nexus_xr.open_signals(path, nxdata_only=True)
    assert signal.nexus.metadata["instrument/detector/distance"]["value"] == 1.5
    assert signal.nexus.metadata["units"] == "counts"


# --- in a notebook ------------------------------------------------------------------------------------------------


class Balanced(HTMLParser):
    """Fails where an element isn't closed in its turn; keeps the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    assert not parser.open
    return parser


def test_a_notebook_shows_a_tree_that_unfolds(scan: xr.Dataset) -> None:
    scan.attrs["<b>"] = "<script>"
    html = scan.nexus.metadata._repr_html_()
    assert "<details><summary><b>detector</b> NXdetector</summary>" in html
    assert "<b>distance</b> 1.5 m" in html
    assert "<script>" not in html
    assert "<script>" in parsed(html).text
    assert parsed(scan.attrs["instrument"]._repr_html_()).text.startswith("detector NXdetector")


@pytest.mark.parametrize(("groups", "fields"), [(1, 5000), (500, 10), (5000, 1)])
def test_a_tree_of_thousands_of_fields_stays_small(groups: int, fields: int) -> None:
    field = MetadataField(value=1.5, attrs={"units": "mm"})
    inner = MetadataGroup({f"motor_{number}": field for number in range(fields)}, attrs={"NX_class": "NXpositioner"})
    tree = MetadataGroup({f"group_{number}": inner for number in range(groups)})
    html = tree._repr_html_()
    assert len(html) < 200_000
    assert " more" in parsed(html).text


# --- as coordinates -----------------------------------------------------------------------------------------------


def test_a_field_becomes_a_coordinate_with_its_attributes(scan: xr.Dataset) -> None:
    promoted = scan.nexus.promote("instrument/detector/distance", name="title")
    assert promoted.distance.item() == 1.5
    assert promoted.distance.attrs == {"units": "m"}
    assert promoted["name"].item() == "a scan"
    assert "distance" not in scan.coords
    signal = scan.counts.assign_attrs(scan.attrs).nexus.promote("instrument/detector/distance")
    assert signal.distance.item() == 1.5


def test_an_array_becomes_a_coordinate_of_the_dimensions_that_are_given(write: Write) -> None:
    file = scan_file()
    file["entry"]["large"] = np.arange(20_000.0)
    scan = xr.open_dataset(write(file), engine="nexus")
    promoted = scan.nexus.promote("instrument/detector/mask", dims=("y", "x"))
    assert promoted.mask.dims == ("y", "x")
    with pytest.raises(NexusError, match=r"detector/mask: is of shape \(3, 4\); name a dimension for each"):
        scan.nexus.promote("instrument/detector/mask", dims="x")
    length = scan.sizes["x"]
    with pytest.raises(NexusError, match=rf"is of shape \(3, 4\), and 'x' has the length {length}; give other dims"):
        scan.nexus.promote("instrument/detector/mask", dims=("x", "y"))
    large = scan.nexus.promote("large", dims="point").large
    assert not large.variable._in_memory
    np.testing.assert_array_equal(large, np.arange(20_000.0))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("instrument/detector/nothing", "is not in the metadata"),
        ("instrument/detector", "is a group, and no value; name a field in it, of distance, mask"),
        ("counts", "there is 'counts' already"),
        ("x", "there is 'x' already"),
    ],
)
def test_what_can_not_be_promoted_says_why(path: str, message: str, scan: xr.Dataset) -> None:
    with pytest.raises(NexusError, match=message):
        scan.nexus.promote(path)


def series(write: Write, kelvins: list[float]) -> list[Path]:
    """A file for each temperature."""
    paths = []
    for number, kelvin in enumerate(kelvins, 8):
        data = nxdata({"n": np.arange(3) * number, "x": [1, 2, 3]}, signal="n", axes=["x"])
        sample = {"@NX_class": "NXsample", "temperature": Field(kelvin, {"units": "K"}), "name": "iron"}
        paths.append(write({"entry": nxentry({"data": data, "sample": sample})}, name=f"scan_{number}.nxs"))
    return paths


def test_temperature_is_the_axis_of_many_files(write: Write) -> None:
    pattern = series(write, [4.2, 77.0, 300.0])[0].with_name("scan_*.nxs")
    scans = nexus_xr.open_mfdataset(str(pattern), promote="sample/temperature", concat_dim="temperature")
    assert scans.n.dims == ("temperature", "x")
    assert scans.temperature.values.tolist() == [4.2, 77.0, 300.0]  # scan_8, scan_9, scan_10
    assert scans.temperature.attrs == {"units": "K"}
    assert scans.n.sel(temperature=77.0).values.tolist() == [0, 9, 18]
    assert scans.n.chunks is not None
    assert scans.attrs["sample"]["name"]["value"] == "iron"


@pytest.mark.parametrize("way", ["promote", "preprocess"])
def test_which_of_many_files_has_no_such_field_is_told(way: str, write: Write) -> None:
    paths = series(write, [4.2, 77.0, 300.0])
    with h5py.File(paths[1], "r+") as file:
        file.move("entry/sample/temperature", "entry/sample/temperature_old")
    message = rf"{paths[1].name}: 'sample/temperature' is not in the metadata, which has sample/temperature_old"
    path = "sample/temperature"
    given: dict[str, Any] = {"promote": path} if way == "promote" else {"preprocess": nexus_xr.promoting(path)}
    with pytest.raises(NexusPathError, match=message):
        nexus_xr.open_mfdataset(paths, concat_dim="t", **given)


def test_an_array_of_many_files_is_promoted_as_its_error_says(write: Write) -> None:
    paths = series(write, [4.2, 77.0])
    for path in paths:
        with h5py.File(path, "r+") as file:
            file["entry/sample/pos"] = [1.0, 2.0]
    message = rf"{paths[0].name}: sample/pos: is of shape \(2,\).*promoting\('sample/pos', dims=...\).* preprocess"
    with pytest.raises(NexusError, match=message):
        nexus_xr.open_mfdataset(paths, promote="sample/pos", concat_dim="t")
    preprocess = nexus_xr.promoting("sample/pos", dims="p")
    assert nexus_xr.open_mfdataset(paths, concat_dim="t", preprocess=preprocess).pos.dims == ("p",)


def test_coordinates_have_the_dimension_of_the_files_also_where_all_are_the_same(write: Write) -> None:
    paths = series(write, [4.2, 4.2])
    promote = {"T": "sample/temperature", "sample_name": "sample/name"}
    scans = nexus_xr.open_mfdataset(paths, promote=promote, concat_dim="scan", preprocess=lambda ds: ds.isel(x=[0, 1]))
    assert (scans.T.dims, scans.sample_name.dims) == (("scan",), ("scan",))
    assert scans.T.values.tolist() == [4.2, 4.2]
    assert scans.n.sizes == {"scan": 2, "x": 2}


def test_files_whose_axes_differ_are_an_error_unless_they_are_to_be_joined(write: Write) -> None:
    paths = series(write, [4.2, 77.0])
    with h5py.File(paths[1], "r+") as file:
        file["entry/data/x"][0] = 0
    isnt = rf"{paths[1].name}: the axis 'x' isn't that of .*{paths[0].name}: "
    said = rf"{isnt}it is 0 at \[0\], not 1, and up to 1 apart; bring"
    with pytest.raises(NexusError, match=said):
        nexus_xr.open_mfdataset(paths, concat_dim="scan")
    with pytest.raises(NexusError, match=f"{isnt}it has 2 elements, not 3"):
        nexus_xr.open_mfdataset(
            paths, concat_dim="scan", preprocess=lambda ds: ds.isel(x=slice(2 if ds.x[0] == 0 else 3)), parallel=True
        )
    joined = nexus_xr.open_mfdataset(paths, concat_dim="scan", join="outer")
    assert joined.sizes == {"scan": 2, "x": 4}


@pytest.mark.parametrize("join", ["exact", "outer"])
@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ((7, 6, 7), r"7 long in \S*0\.nxs, 6 long in \S*1\.nxs, and has"),
        ((4, 5, 6), r"4 long in \S*0\.nxs, 5 long in \S*1\.nxs, 6 long in \S*2\.nxs, and has"),
        ((4, 5, 6, 7), r".* 6 long in \S*2\.nxs, and of 1 more lengths, and has"),
    ],
)
def test_lengths_that_differ_where_no_axis_joins_them_are_told_with_files(
    lengths: tuple[int, ...], said: str, join: str, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.nxs" for number in range(len(lengths))]
    for path, length in zip(paths, lengths, strict=True):
        write_tree(path, {"entry": nxentry({"data": nxdata({"n": np.ones((length, 3))}, signal="n")})})
    short = min(lengths)
    advice = re.escape(f"preprocess, as by ds.isel({{'dim_0': slice({short})}})")
    with pytest.raises(NexusError, match=rf"the dimension 'dim_0' is {said} no axis .*{advice}"):
        nexus_xr.open_mfdataset(paths, concat_dim="scan", join=join)
    scans = nexus_xr.open_mfdataset(
        paths, concat_dim="scan", preprocess=lambda ds: ds.isel({"dim_0": slice(short)}), join=join
    )
    assert dict(scans.sizes) == {"scan": len(lengths), "dim_0": short, "dim_1": 3}
    assert nexus_xr.open_mfdataset(paths, concat_dim="dim_0", join=join).sizes["dim_0"] == sum(lengths)


def test_lengths_along_the_dimension_of_the_files_are_not_what_differs(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.nxs" for number in range(2)]
    for number, path in enumerate(paths):
        stack = np.ones((3 + number, 4 + number))
        write_tree(path, {"entry": nxentry({"data": nxdata({"n": stack}, signal="n")})})
    with pytest.raises(NexusError, match="the dimension 'dim_1' is 4 long in"):
        nexus_xr.open_mfdataset(paths, concat_dim="dim_0")


def test_what_promotes_is_a_preprocess_that_can_be_pickled(write: Write) -> None:
    preprocess = pickle.loads(pickle.dumps(nexus_xr.promoting(T="sample/temperature")))
    scans = xr.open_mfdataset(
        series(write, [4.2, 77.0]),
        engine="nexus",
        preprocess=preprocess,
        combine="nested",
        concat_dim="scan",
        combine_attrs=nexus_xr.common_attrs,
    )
    assert scans.T.values.tolist() == [4.2, 77.0]


LOG = {"units": "s", "start": "2024-05-01T10:00:00+02:00"}


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"start": "2024-05-01T11:00:00+02:00"},
            r"start '.*10:00:00\+02:00' in .*f_0\.nxs, '.*11:00:00\+02:00' in .*f_1",
        ),
        ({"scaling_factor": 0.1}, r"scaling_factor '1\.0' in .*f_0\.nxs, '0\.1' in .*f_1"),
        ({"scaling_factor": np.float32(1)}, None),
        ({"scaling_factor": 0.1, "units": "m"}, "units"),
        ({"note": "another"}, None),
    ],
)
def test_times_since_other_moments_are_refused(tmp_path: Path, other: dict[str, Any], said: str | None) -> None:
    for number, attributes in enumerate([LOG, {**LOG, **other}]):
        time = ("time", np.arange(3.0), attributes)
        log = xr.Dataset({"v": ("time", np.arange(3.0))}, coords={"time": time})
        log.nexus.to_nexus(tmp_path / f"f_{number}.nxs")
    with nullcontext() if said is None else pytest.raises(NexusError, match=f"'time' has the {said}"):
        nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", concat_dim="run")
    dates: dict[str, Any] = {"concat_dim": "run", "decode_times": True, "join": "outer"}
    if "start" in other:
        assert nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", **dates).sizes == {"run": 2, "time": 6}


def test_of_many_moments_some_are_told(tmp_path: Path) -> None:
    for number in range(5):
        time = ("time", np.arange(3.0), {**LOG, "start": f"2024-05-0{number + 1}"})
        xr.Dataset({"v": ("time", np.arange(3.0))}, {"time": time}).nexus.to_nexus(tmp_path / f"f_{number}.nxs")
    said = r"start '2024-05-01' in .*f_0\.nxs, .*f_2\.nxs, and 2 more; open them with decode_times=True"
    with pytest.raises(NexusError, match=said):
        nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", concat_dim="run")


@pytest.mark.parametrize("scheduler", [None, "processes"])
@pytest.mark.parametrize("silent", [0, 2])
@pytest.mark.parametrize(
    ("left_out", "said"), [(("units",), ["units"]), (("start",), ["start"]), (("units", "start"), ["units", "start"])]
)
def test_what_one_file_does_not_say_is_as_the_others_say(
    tmp_path: Path, left_out: tuple[str, ...], said: list[str], silent: int, scheduler: str | None
) -> None:
    for number in range(3):
        told = {name: value for name, value in LOG.items() if number != silent or name not in left_out}
        units = {"units": "K"} if number != silent or "units" not in left_out else {}
        log = xr.DataArray(np.arange(2.0), {"time": ("time", np.arange(2.0), told)}, "time", "v", units)
        log.nexus.assign_edges(time=[-0.5, 0.5, 1.5]).nexus.to_nexus(tmp_path / f"f_{number}.nxs")
    match = rf"f_{silent}\.nxs doesn't say"
    with dask.config.set(scheduler=scheduler), pytest.warns(NexusWarning, match=match) as caught:
        opened = nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", concat_dim="run", parallel=scheduler is not None)
    assert {**opened.time.attrs, "bounds": None} == {**LOG, "bounds": None}
    assert opened.v.attrs == {"units": "K"}
    assert opened.v.nexus.edges("time").tolist() == [-0.5, 0.5, 1.5]
    [warning] = [each.message for each in caught if isinstance(each.message, NexusWarning)]
    found = [(each.code, each.path.rpartition("/")[2]) for each in warning.diagnostics]
    of_signal = [("meaning-untold", "v")] if "units" in left_out else []
    assert sorted(found) == sorted([*of_signal, *(("meaning-untold", "time") for _ in said)])


def test_what_no_file_says_is_not_missed_in_any(tmp_path: Path) -> None:
    for number, name in enumerate(["v", "w"]):
        units = {"units": "K"} if name == "w" else {}
        xr.DataArray([1.0], dims="x", name=name, attrs=units).nexus.to_nexus(tmp_path / f"f_{number}.nxs")
    opened = nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", concat_dim="run", data_vars="all", join="outer")
    assert opened.v.attrs == {}
    assert opened.w.attrs == {"units": "K"}


def test_times_of_a_file_without_units_count_as_the_others(tmp_path: Path) -> None:
    for number, told in enumerate([LOG, {"start": "2023-01-01"}]):
        log = xr.DataArray(np.arange(2.0), {"time": ("time", np.arange(2.0), told)}, "time", "v")
        log.nexus.to_nexus(tmp_path / f"f_{number}.nxs")
    with pytest.raises(NexusError, match=r"'time' has the start '.*' in .*f_0\.nxs, '2023-01-01' in .*f_1\.nxs"):
        nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", concat_dim="run")


@pytest.mark.parametrize("scheduler", [None, "threads", "processes"])
@pytest.mark.parametrize("where", ["signal", "field"])
def test_files_with_other_units_are_refused_unless_they_are_converted(
    tmp_path: Path, where: str, scheduler: str | None
) -> None:
    for number, (value, unit) in enumerate([(1.0, "K"), (4.0, "mK")]):
        units = {"signal": "K", "field": "K", where: unit}
        signal = xr.DataArray([1.0, 2.0], dims="x", name="v", attrs={"units": units["signal"]})
        tree = {"T": {"value": value, "attrs": {"units": units["field"]}}}
        signal.to_dataset().assign_attrs(tree).nexus.to_nexus(tmp_path / f"f_{number}.nxs")
    name = "v" if where == "signal" else "T"
    options: dict[str, Any] = {"promote": "T", "concat_dim": "T", "parallel": scheduler is not None}

    def in_kelvin(dataset: xr.Dataset) -> xr.Dataset:
        variable = dataset[name]
        is_fine = variable.attrs["units"] == "mK"
        return dataset.assign({name: (variable * 1e-3).assign_attrs(units="K")}) if is_fine else dataset

    with dask.config.set({} if scheduler is None else {"scheduler": scheduler}):
        with pytest.raises(NexusError, match=rf"'{name}' has the units 'K' in .*f_0\.nxs, 'mK' in .*f_1\.nxs; convert"):
            nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", **options)
        opened = nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", preprocess=in_kelvin, **options)
        assert opened[name].attrs["units"] == "K"
        assert opened.attrs == {}
        opened = nexus_xr.open_mfdataset(tmp_path / "f_*.nxs", combine_attrs="drop", **options)
        assert opened["T"].values.tolist() == [1.0, 4.0]


def test_attributes_are_those_of_the_files(write: Write) -> None:
    paths = series(write, [4.2, 77.0])
    alone = [nexus_xr.promoting("sample/temperature")(xr.open_dataset(path, engine="nexus")) for path in paths]
    options: dict[str, Any] = {"promote": "sample/temperature", "concat_dim": "scan"}
    assert nexus_xr.open_mfdataset(paths, **options).attrs == nexus_xr.common_attrs([each.attrs for each in alone])
    assert nexus_xr.open_mfdataset(paths[:1], **options).attrs == alone[0].attrs
    of_second: dict[str, Any] = {"attrs_file": str(paths[1])}
    for chosen in (of_second, of_second | {"combine_attrs": "drop"}):
        assert nexus_xr.open_mfdataset(list(map(str, paths)), **options, **chosen).attrs == alone[1].attrs
    same = series(write, [4.2, 4.2])
    for combine_attrs in ("override", "no_conflicts", "drop_conflicts", "identical"):
        assert nexus_xr.open_mfdataset(same, **options, combine_attrs=combine_attrs).attrs == alone[0].attrs
    assert nexus_xr.open_mfdataset(same, **options, combine_attrs="drop").attrs == {}
