"""What is written to netCDF, Zarr, JSON and CSV comes back as the identical object."""

from __future__ import annotations

import asyncio
import csv
import errno
import json
import os
import pickle
import re
import socket
import stat
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unicodedata import is_normalized

import dask.array as da
import fsspec
import h5py
import numpy as np
import pandas as pd
import pint
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

import nexus_xr
from nexus_xr import Link, NexusError
from nexus_xr.exchange.attributes import flat_attributes, nested_attributes
from nexus_xr.exchange.names import joined, quoted, split, unquoted
from nexus_xr.exchange.values import as_attribute, of_attribute
from nexus_xr.exchange.zarr_folder import zarr_folder
from nexus_xr.hdf5.writing.replacing import replacing
from nexus_xr.nexus.tree.metadata import MetadataField, MetadataGroup, same_tree

from .corpus import CORPUS, corpus_files
from .files import Field, Write, nxdata, nxentry, scan_file
from .processes import run

each_engine = pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])

Way = Callable[[Any, Path], Any]


def through_netcdf(engine: Any) -> Way:
    def way(obj: Any, path: Path) -> Any:
        obj.nexus.to_netcdf(path, engine=engine)
        is_tree = isinstance(obj, xr.DataTree)
        return nexus_xr.unflat(
            xr.open_datatree(path, engine=engine) if is_tree else xr.open_dataset(path, engine=engine)
        )

    return way


def through_zarr(obj: Any, path: Path) -> Any:
    obj.nexus.to_zarr(path)
    is_tree = isinstance(obj, xr.DataTree)
    return nexus_xr.unflat(xr.open_datatree(path, engine="zarr") if is_tree else xr.open_dataset(path, engine="zarr"))


def through_json(obj: Any, path: Path) -> Any:
    obj.nexus.to_json(path)
    json.loads(path.read_text(), parse_constant=pytest.fail)  # as the standard has it
    return nexus_xr.read_json(path)


def through_csv(obj: Any, path: Path) -> Any:
    obj.nexus.to_csv(path)
    return nexus_xr.read_csv(path)


WAYS: dict[str, Way] = {
    "h5netcdf": through_netcdf("h5netcdf"),
    "netcdf4": through_netcdf("netcdf4"),
    "zarr": through_zarr,
    "json": through_json,
    "csv": through_csv,
}
each_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
each_way_of_trees = pytest.mark.parametrize("way", [way for way in WAYS.values() if way is not through_csv])


def assert_same(got: Any, expected: Any) -> None:
    xr.testing.assert_identical(got, expected)
    for variable, other in zip(variables_of(got), variables_of(expected), strict=True):
        assert variable.dims == other.dims
        # Once it was read, xarray has one text as one of its width.
        assert variable.dtype == other.dtype or not variable.ndim


def variables_of(obj: Any) -> list[xr.Variable]:
    if isinstance(obj, xr.DataArray):
        return [obj.variable, *(coordinate.variable for coordinate in obj.coords.values())]
    nodes = obj.subtree if isinstance(obj, xr.DataTree) else [obj]
    return [variable for node in nodes for variable in node.variables.values()]


# --- files --------------------------------------------------------------------------------------------------------


@each_way
def test_what_was_opened_comes_back(way: Way, write: Write, tmp_path: Path) -> None:
    dataset = xr.open_dataset(write(scan_file()), engine="nexus")
    assert_same(way(dataset, tmp_path / "out"), dataset)


@each_way
def test_a_signal_comes_back_as_a_signal(way: Way, write: Write, tmp_path: Path) -> None:
    [signal, *_] = nexus_xr.open_signals(write(scan_file()))
    assert_same(way(signal, tmp_path / "out"), signal)


@each_way
def test_edges_of_bins_come_back_in_their_indexes(way: Way, write: Write, tmp_path: Path) -> None:
    data = nxdata({"counts": np.arange(3.0), "tof": np.array([0.0, 1.0, 4.0, 9.0])}, signal="counts", axes="tof")
    opened = xr.open_dataset(write({"entry": nxentry({"data": data})}), engine="nexus")
    made = xr.DataArray([3, 5, 2], dims="x", name="a").nexus.assign_edges(x=[0, 1, 5, 6])
    gaps = opened.counts.isel(tof=[0, 2])
    for number, (obj, name) in enumerate([(opened, "tof"), (opened.counts, "tof"), (made, "x"), (gaps, "tof")]):
        got = way(obj, tmp_path / f"{number}")
        assert_same(got, obj)
        np.testing.assert_array_equal(got.xindexes[name].bounds, obj.xindexes[name].bounds)


@each_way
def test_bounds_that_an_operation_has_left_behind_stay_behind(way: Way, write: Write, tmp_path: Path) -> None:
    data = nxdata({"counts": np.arange(3.0), "tof": np.array([0.0, 1.0, 4.0, 9.0])}, signal="counts", axes="tof")
    opened = xr.open_dataset(write({"entry": nxentry({"data": data})}), engine="nexus")
    shifted = opened.assign_coords(tof=(opened.tof + 1).assign_attrs(opened.tof.attrs))
    with pytest.warns(nexus_xr.NexusWarning, match="tof: an operation has left 'tof_bounds' beside other values"):
        got = way(shifted, tmp_path / "shifted")
    assert shifted.tof.attrs["bounds"] == "tof_bounds"
    expected = shifted.drop_vars("tof_bounds").copy()
    expected.tof.attrs = {key: value for key, value in expected.tof.attrs.items() if key != "bounds"}
    assert_same(got, expected)
    right = shifted.assign_coords(tof_bounds=opened.tof_bounds + 1)
    assert_same(way(right, tmp_path / "right"), right)


@each_way_of_trees
def test_a_tree_comes_back(way: Way, write: Write, tmp_path: Path) -> None:
    file = scan_file()
    file["#2 of:2"] = nxentry({"data": nxdata({"n": np.arange(3)}, signal="n"), "v": 1.5})
    tree = xr.open_datatree(write(file), engine="nexus")
    assert_same(way(tree, tmp_path / "out"), tree)


@each_way_of_trees
@pytest.mark.parametrize("kind", ["NX_class", "canSAS_class"])
def test_a_tree_whose_metadata_has_its_data_under_other_names_goes_on_to_nexus(
    kind: str, way: Way, write: Write, tmp_path: Path
) -> None:
    fields = {"I": Field(np.arange(3.0), {"uncertainties": "Idev"}), "Idev": np.ones(3), "Q": [0.1, 0.2, 0.3]}
    data = {f"@{kind}": "SASdata", "@signal": "I", "@I_axes": "Q", "@Q_indices": 0, "empty": h5py.Empty("f4"), **fields}
    tree = xr.open_datatree(write({"entry": {f"@{kind}": "SASentry", "data": data, "run": "1"}}), engine="nexus")
    assert "I_errors" in tree["entry/data"]
    assert "Idev" in tree["entry"].attrs["data"]
    way(tree, tmp_path / "out").nexus.to_nexus(tmp_path / "back.nxs")
    assert_same(xr.open_datatree(tmp_path / "back.nxs", engine="nexus"), tree)


ARRAYS = {
    "complex": np.array([1 + 2j, complex(np.nan, -0.0)], "c8"),
    "big-endian": np.array([1.5, np.nan], ">f4"),
    "big-endian complex": np.array([1 + 2j, 3 - 4j], ">c16"),
    "half": np.array([1.5, np.inf], "f2"),
    "big-endian half": np.array([1.5, np.inf], ">f2"),
    "bool": np.array([True, False]),
    "large": np.array([2**64 - 1, 0], "u8"),
    "negative": np.array([-(2**63), 2**63 - 1]),
    "text": np.array(["a", "bé,\r\"\n'"]),
    "wide text": np.array(["a", ""], "U7"),
    "objects of text": np.array(["a", "bé"], object),
    "objects": np.array(["a", None], object),
    "compound": np.array([(1, [2.5, 3.5], 1j), (4, [5.5, 6.5], 2j)], "i2,(2,)f4,c8"),
    "compound of compound": np.array([((1, 2.5),), ((3, 4.5),)], [("in", [("a", "i4"), ("b", ">f8")])]),
    "padded": np.zeros(2, np.dtype("i1,f8", align=True)),
    "opaque": np.array([b"ab\0", b"\0\1\2"], "V3"),
    "dates": np.array(["2020-01-01T12:00:00", "NaT"], "M8[s]"),
    "finer dates": np.array(["2020-01-01T12:00:00.123456789", "1950-01-01"], "M8[ns]"),
    "lengths of time": np.array([1, -5], "m8[ms]"),
}


@each_way
@pytest.mark.parametrize("values", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("role", ["signal", "coordinate", "in memory of dask"])
def test_arrays_of_every_type_come_back(values: Any, role: str, way: Way, tmp_path: Path) -> None:
    data: Any = xr.Variable("x", values, {"units": "m"})
    if role == "in memory of dask":
        data = data.chunk({"x": 1})
    variables = {"signal": ("x", [1.0, 2.0]), "other": data}
    dataset = xr.Dataset(variables)
    if role == "coordinate":
        dataset = dataset.set_coords("other")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Consolidated metadata")  # of xarray's making
        assert_same(way(dataset, tmp_path / "out"), dataset.compute())


@each_way
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.array([1, None], dtype="Int64"), np.array([1, np.nan])),
        (pd.array(["a", "b"], dtype="string"), np.array(["a", "b"], object)),
        (np.array(["a", "b"], "T"), np.array(["a", "b"], object)),
        (da.from_array(np.array(["a", "b"], "T"), chunks=1), np.array(["a", "b"], object)),
        (np.array(["a", np.nan], np.dtypes.StringDType(na_object=np.nan)), np.array(["a", np.nan], object)),
    ],
    ids=["numbers", "text", "text of NumPy", "text of dask", "missing text"],
)
def test_arrays_of_other_libraries_come_back_as_those_of_numpy(
    values: Any, expected: np.ndarray[Any, Any], way: Way, tmp_path: Path
) -> None:
    dataset = xr.Dataset({"n": ("x", values), "y": ("x", values)}).set_coords("y")
    plain = xr.Dataset({"n": ("x", expected), "y": ("x", expected)}).set_coords("y")
    assert_same(way(dataset, tmp_path / "out"), plain)


@each_way
def test_quantities_and_dates_of_other_calendars_come_back_as_numbers_with_units(way: Way, tmp_path: Path) -> None:
    dates = xr.date_range("2000-02-28", periods=2, calendar="noleap", use_cftime=True)
    speed = pint.get_application_registry().Quantity([1.0, 2.0], "m/s")
    back = way(xr.Dataset({"speed": ("time", speed)}, {"time": dates}), tmp_path / "out")
    assert (back.speed.values.tolist(), back.speed.attrs) == ([1.0, 2.0], {"units": "m/s"})
    assert xr.decode_cf(back).time.values.tolist() == list(dates)


@each_way
@pytest.mark.filterwarnings("ignore:The data type:zarr.errors.UnstableSpecificationWarning")
def test_bytes_come_back(way: Way, tmp_path: Path) -> None:
    dataset = xr.Dataset({"n": ("x", [b"a,", b"\xff\n", b""]), "m": ("x", np.array([(1, b"ab")] * 3, "i4,S2"))})
    assert_same(way(dataset, tmp_path / "out"), dataset)


@each_way
@pytest.mark.parametrize("point", [0xDCB5, 0xD800], ids=["of a byte", "of nothing"])
def test_surrogates_come_back_in_metadata_and_names_and_are_refused_in_data(
    point: int, way: Way, tmp_path: Path
) -> None:
    text = f"{chr(point)}m"
    told = {text: 1, "text": text, "sample": {"value": text, "attrs": {text: text}}}
    dataset = xr.Dataset({f"n{text}": (text, [1.0, 2.0], told)}, {text: [0, 1]}, told)
    assert_same(way(dataset, tmp_path / "out"), dataset)
    with pytest.raises(NexusError, match="t: there is text that is no Unicode"):
        way(xr.Dataset({"t": ("x", np.array([text, "b"]))}), tmp_path / "never")


@each_way
def test_elements_of_several_lengths_come_back(way: Way, tmp_path: Path) -> None:
    values = np.fromiter([np.arange(2, dtype="u2"), np.arange(0.0)], object)
    back = way(xr.DataArray(values, name="n"), tmp_path / "out")
    assert same_tree(back.values, values)


@each_way
def test_shapes_and_names_of_all_kinds_come_back(way: Way, tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {
            "z/signal": (("y", "a dim"), np.arange(6.0).reshape(2, 3)),
            "#": ((), 1.5),
            "z.signal": (("other", "y"), np.zeros((2, 2), "c8")),
            "nexus:x": ("x", []),
            "back\\slash": ("\\", [1.0, 2.0]),
        },
        coords={
            "a dim": [1, 2, 3],
            "\\": [5, 6],
            "with space": ("y", ["a", "b"]),
            "scalar": "text",
            "two": (("a dim", "y"), np.ones((3, 2))),
            "x_bounds": (("a dim", "bnds"), np.zeros((3, 2))),
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Consolidated metadata")  # of xarray's making
        back = way(dataset, tmp_path / "out")
    assert_same(back, dataset)
    assert list(back.variables) == [*(list(dataset.data_vars)), *dataset.coords]


@each_way
@pytest.mark.filterwarnings("ignore:Duplicate dimension names")
def test_a_dimension_of_two_axes_comes_back(way: Way, tmp_path: Path) -> None:
    matrix = (("x", "x"), np.eye(2))
    for number, variables in enumerate([{"m": matrix, "n": ("x", [1, 2])}, {"n": ("x", [1, 2]), "m": matrix}]):
        dataset = xr.Dataset(variables, {"x": [3, 4]})
        assert_same(way(dataset, tmp_path / f"{number}"), dataset)


@each_way
def test_parts_get_names_that_are_free(way: Way, tmp_path: Path) -> None:
    deep = np.zeros(2, [("b", [("c", "i4")])])
    shallow = np.ones(2, [("c", "i4")])
    data = {"z": ("x", [1j, 2j]), "z.real_": ("x", [3, 4]), "a": ("x", deep)}
    dataset = xr.Dataset(data, {"z.real": ("x", [1, 2]), "a.b": ("x", shallow)})
    assert_same(way(dataset, tmp_path / "out"), dataset)


@each_way
@pytest.mark.parametrize("shape", [(), (0,), (2, 0)])
def test_a_signal_without_values_comes_back(shape: tuple[int, ...], way: Way, tmp_path: Path) -> None:
    dims = ("a", "b")[: len(shape)]
    array = xr.DataArray(np.zeros(shape, "f4"), {"c": (dims[:1], np.arange(2)[: shape[0]])} if shape else {}, dims, "n")
    assert_same(way(array, tmp_path / "out"), array)


@each_way
def test_an_array_without_a_name_that_is_called_as_its_axis_comes_back(way: Way, tmp_path: Path) -> None:
    for name in (None, "x", "data"):
        array = xr.DataArray([1.0, 2.0], {"x": [3, 4]}, name=name)
        assert_same(way(array, tmp_path / f"out-{name}"), array)


@each_way
@pytest.mark.parametrize("shape", [(2,), (2, 3), (3, 2)])
def test_an_array_that_is_called_as_a_dimension_without_an_axis_comes_back(
    shape: tuple[int, ...], way: Way, tmp_path: Path
) -> None:
    array = xr.DataArray(np.arange(float(np.prod(shape))).reshape(shape), dims=["n", "x"][: len(shape)], name="n")
    assert_same(way(array, tmp_path / "out"), array)


ATTRIBUTES: dict[str, Any] = {
    "units": "seconds since 2020-01-01",
    "_FillValue": 1.0,
    "missing_value": 2.0,
    "scale_factor": 3.0,
    "add_offset": 4.0,
    "coordinates": "a b",
    "dtype": "bool",
    "calendar": "none",
    "DIMENSION_LIST": "x",
    "_Unsigned": "true",
    "a/b.c@d%2E": 1,
    " ": "space",
}


@each_way
def test_attributes_that_would_mean_something_change_no_value(way: Way, tmp_path: Path) -> None:
    dataset = xr.Dataset({"n": ("x", [1.0, 2.0], ATTRIBUTES)}, {"x": ("x", [1, 2], ATTRIBUTES)}, ATTRIBUTES)
    assert_same(way(dataset, tmp_path / "out"), dataset)
    length = xr.Dataset({"n": ("x", [1.0, 2.0], {"units": "seconds"})})
    assert_same(way(length, tmp_path / "length"), length)


@each_way
def test_names_that_unicode_composes_come_back(way: Way, tmp_path: Path) -> None:
    angstrom = "A\u030a"
    dataset = xr.Dataset({f"in {angstrom}": (angstrom, [1.0, 2.0])}, {angstrom: [1, 2]}, {angstrom: {angstrom: "m"}})
    assert_same(way(dataset, tmp_path / "out"), dataset)


@each_way
@pytest.mark.parametrize(
    "dates", [["1700-01-01", "2020-01-01T00:00:00.123456789"], ["1700-01-01", "NaT", "2020-01-01T00:00:00.123456789"]]
)
@pytest.mark.parametrize("kind", ["in memory", "of dask", "in one block", "lazy"])
def test_dates_that_are_centuries_apart_come_back(way: Way, dates: list[str], kind: str, tmp_path: Path) -> None:
    dataset = xr.Dataset({"t": ("x", np.array(dates, "M8[ns]"))})
    dataset.nexus.to_nexus(tmp_path / "in.nxs")
    with xr.open_dataset(tmp_path / "in.nxs", engine="nexus", decode_times=True) as opened:
        chunked = {"of dask": dataset.chunk(x=1), "in one block": dataset.chunk()}
        written = {"in memory": dataset, **chunked, "lazy": opened}[kind]
        assert_same(way(written, tmp_path / "out"), written.compute())


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
@pytest.mark.parametrize("name", ["d", "t"], ids=["variable", "coordinate of a dimension"])
def test_dates_of_dask_are_read_when_they_are_written(name: str, engine: str, tmp_path: Path) -> None:
    read: list[Any] = []
    dates = da.from_array(np.array(["1700-01-01", "NaT"], "M8[ns]"), chunks=1)
    noted = dates.map_blocks(lambda block: read.append(block) or block, dtype=dates.dtype, meta=dates._meta)  # type: ignore[func-returns-value]
    dataset = xr.Dataset({"c": ("t", [1, 2])}, coords=xr.Coordinates({name: ("t", noted)}, indexes={}))
    write = dataset.nexus.to_netcdf(tmp_path / "out.nc", engine=engine, compute=False)
    assert not read
    write.compute()
    stored = xr.open_dataset(tmp_path / "out.nc", engine=engine, decode_cf=False)[name]
    assert stored.attrs["units"] == "nanoseconds since 1970-01-01T00:00:00"
    assert stored.attrs["_FillValue"] == stored[1] == np.iinfo(np.int64).min


@pytest.mark.parametrize(("count", "is_far"), [(2**62 - 1, False), (2**62, True)])
@pytest.mark.parametrize("sign", [1, -1])
def test_dates_are_counted_where_nanoseconds_may_not_reach_from_one_to_the_other(
    sign: int, count: int, is_far: bool, tmp_path: Path
) -> None:
    dataset = xr.Dataset({"t": ("x", np.array([sign * count, 0], "M8[ns]"))})
    assert_same(through_zarr(dataset, tmp_path / "out"), dataset)
    stored = xr.open_dataset(tmp_path / "out", engine="zarr", decode_times=False)
    assert (stored.t.attrs["units"] == "nanoseconds since 1970-01-01T00:00:00") is is_far


@each_way
@pytest.mark.parametrize("date", [pd.Timestamp.min, pd.Timestamp.max])
def test_the_first_and_the_last_date_come_back(way: Way, date: pd.Timestamp, tmp_path: Path) -> None:
    dataset = xr.Dataset({"t": ("x", np.array([date.to_datetime64(), "2020-01-01"], "M8[ns]"))})
    assert_same(way(dataset, tmp_path / "out"), dataset)


@pytest.mark.parametrize("years", [("2020", "2150"), ("2150", "2020"), ("1800", "2020"), ("1800", "2150")])
@pytest.mark.parametrize("kind", ["in memory", "of dask"])
def test_dates_are_added_in_the_units_that_a_store_has(years: tuple[str, str], kind: str, tmp_path: Path) -> None:
    dates = [np.array([f"{year}-01-01", f"{year}-01-02"], "M8[ns]") for year in years]
    first, second = (xr.Dataset({"d": ("x", each), "c": ("x", [1, 2])}) for each in dates)
    if kind == "of dask":
        second = second.chunk()
    first.nexus.to_zarr(tmp_path / "out")
    second.nexus.to_zarr(tmp_path / "out", append_dim="x")
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "out").d, np.concatenate(dates))
    second.nexus.to_zarr(tmp_path / "out", region={"x": slice(0, 2)})
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "out").d, np.concatenate([dates[1], dates[1]]))
    first.nexus.to_zarr(tmp_path / "again")
    second.nexus.to_zarr(tmp_path / "again", mode="a")
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "again").d, dates[1])


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.5.0", reason="NumPy wraps around")
def test_dates_that_can_not_be_added_at_once_are_an_error(tmp_path: Path) -> None:
    dates = np.array(["1700-01-01", "2200-01-01"], "M8[ns]")
    xr.Dataset({"d": ("x", dates[:1])}).nexus.to_zarr(tmp_path / "out")
    with pytest.raises(NexusError, match=f"{tmp_path / 'out'}: can't be written: there are dates further apart"):
        xr.Dataset({"d": ("x", dates)}).nexus.to_zarr(tmp_path / "out", append_dim="x")
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "out").d, dates[:1])
    xr.Dataset({"d": ("x", dates[1:])}).nexus.to_zarr(tmp_path / "out", append_dim="x")
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "out").d, dates)


@pytest.mark.parametrize("way", ["netcdf", "zarr"])
@pytest.mark.parametrize("is_tree", [False, True])
def test_dates_are_in_the_units_that_are_told(way: str, is_tree: bool, tmp_path: Path) -> None:
    dataset = xr.Dataset({"t": ("x", np.array(["2020-01-01", "2150-01-01"], "M8[ns]"))})
    obj: Any = xr.DataTree(dataset) if is_tree else dataset
    encoding = {"t": {"units": "days since 1900-01-01", "dtype": "i4"}}
    write = getattr(obj.nexus, f"to_{way}")
    write(tmp_path / "out", encoding={"/": encoding} if is_tree else encoding)
    with xr.open_dataset(tmp_path / "out", engine="zarr" if way == "zarr" else "h5netcdf") as back:
        assert (back.t.encoding["units"], back.t.encoding["dtype"]) == ("days since 1900-01-01", "i4")
        np.testing.assert_array_equal(back.t, dataset.t)


@pytest.mark.parametrize("way", ["netcdf", "zarr"])
@pytest.mark.parametrize("is_tree", [False, True])
@pytest.mark.parametrize("kind", ["of dask", "lazy", "far apart"])
@pytest.mark.parametrize("told", [{"dtype": "i4"}, {"dtype": "f8"}, {"dtype": "u8"}, {"scale_factor": 2.0}])
def test_counts_of_nanoseconds_in_a_type_that_has_no_room_for_them_are_refused(
    told: dict[str, Any], kind: str, is_tree: bool, way: str, tmp_path: Path
) -> None:
    dataset = xr.Dataset({"t": ("x", np.array(["2020-01-01", "2020-01-02T00:00:00.000000001"], "M8[ns]"))})
    dataset.nexus.to_nexus(tmp_path / "in.nxs")
    far = xr.Dataset({"t": ("x", np.array(["1700-01-01", "2200-01-01"], "M8[ns]"))})
    with xr.open_dataset(tmp_path / "in.nxs", engine="nexus", decode_times=True) as opened:
        written = {"of dask": dataset.chunk(), "lazy": opened, "far apart": far}[kind]
        obj: Any = xr.DataTree(written) if is_tree else written
        encoding = {"t": told}
        with pytest.raises(NexusError, match=r"t: nothing was written, .* without units.*give units with it"):
            getattr(obj.nexus, f"to_{way}")(tmp_path / "out", encoding={"/": encoding} if is_tree else encoding)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("dtype", ["i8", ">i8", np.int64])
def test_counts_of_nanoseconds_are_written_in_the_type_that_holds_them(dtype: Any, tmp_path: Path) -> None:
    dataset = xr.Dataset({"t": ("x", np.array(["2020-01-01", "2020-01-02T00:00:00.000000001"], "M8[ns]"))})
    dataset.chunk().nexus.to_zarr(tmp_path / "out", encoding={"t": {"dtype": dtype}})
    np.testing.assert_array_equal(xr.open_zarr(tmp_path / "out").t, dataset.t)


@pytest.mark.parametrize("way", ["h5netcdf", "netcdf4", "zarr"])
@pytest.mark.filterwarnings("ignore:Unable to decode time axis")
def test_dates_before_the_gregorian_calendar_come_back_as_the_error_says(way: str, tmp_path: Path) -> None:
    dataset = xr.Dataset({"t": ("x", np.array(["1500-01-01", "NaT", "9999-12-31T23:59:59.999999"], "M8[us]"))})
    with pytest.raises(NexusError, match=r'decode_times=xr.coders.CFDatetimeCoder\(time_unit="us"\)$'):
        WAYS[way](dataset, tmp_path / "out")
    coder = xr.coders.CFDatetimeCoder(time_unit="us")
    assert_same(nexus_xr.unflat(xr.open_dataset(tmp_path / "out", engine=way, decode_times=coder)), dataset)


METADATA: dict[str, Any] = {
    "title": MetadataField(value="a scan", attrs={"lang": "en"}),
    "bare": 1.5,
    "group": MetadataGroup(value=MetadataField(value=1), attrs={"NX_class": "NXnote"}),
    "empty": MetadataGroup(),
    "attrs": {"NX_class": "NXentry", "numbers": np.array([1, 2], "u2")},
    "values": {
        "nan": np.nan,
        "inf": -np.inf,
        "true": True,
        "none": None,
        "large": 2**80,
        "json": '{"a": 1}',
        "zero": "a\0b",
        "no text": "\udcb5",
        "empty text": "",
        "bytes": b"\0\xff",
        "complex": complex(np.nan, 1),
        "link": Link("/entry/x", "other.h5"),
        "null": h5py.Empty("f4"),
        "single": np.float32(0.1),
        "list": [1, [2.5, "x"], {"a": np.arange(2)}],
        "ragged": [[1], [2, 3]],
        "tuple": (1, (2,)),
        "record": np.array((1, 2.5), "i4,f8")[()],
        "floats": np.array([[1, np.nan], [np.inf, -np.inf]], "f4"),
        "objects": np.array(["a", None, np.arange(3)], object),
        "nothing": np.empty((0, 3), "U4"),
        "scalar array": np.array(5, ">i2"),
        "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
    },
}


@each_way
def test_text_of_numpy_comes_back_in_metadata(way: Way, tmp_path: Path) -> None:
    back = way(xr.Dataset({"n": ("x", [1.0])}, attrs={"a": np.array(["b", "c\0"], "T")}), tmp_path / "out")
    assert back.attrs["a"].tolist() == ["b", "c\0"]


@each_way
def test_metadata_of_every_type_comes_back(way: Way, tmp_path: Path) -> None:
    dataset = xr.Dataset({"n": ("x", [1.0])}, attrs=METADATA)
    back = way(dataset, tmp_path / "out")
    assert_same(back, dataset)
    assert isinstance(back.attrs["title"], MetadataField)
    assert type(back.attrs["values"]["true"]) is bool


def test_flat_attributes_are_numbers_and_text_under_their_paths(write: Write) -> None:
    flat = xr.open_dataset(write(scan_file()), engine="nexus").nexus.flat()
    assert flat.attrs["instrument.detector.distance.value"] == 1.5
    assert flat.attrs["instrument.detector.distance.attrs.units"] == "m"
    assert flat.attrs["instrument.detector.attrs.NX_class"] == "NXdetector"
    assert flat.counts.attrs["units"] == "counts"
    for variable in (flat, *flat.variables.values()):
        assert all(type(value) in (int, float, str) for value in variable.attrs.values())


# --- any names and values -----------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4)


@given(names=st.lists(NAMES, min_size=1, max_size=3))
def test_any_path_can_be_joined_and_split(names: list[str]) -> None:
    path = joined(names)
    assert split(path) == names
    assert is_normalized("NFC", path)
    assert "/" not in path
    assert path[0] == "_" or path[0].isalnum() or path.startswith("nexus:")


@given(name=NAMES)
def test_any_name_can_be_quoted(name: str) -> None:
    assert unquoted(quoted(name)) == name
    assert is_normalized("NFC", quoted(name))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()


def has_no_titles(dtype: np.dtype[Any]) -> bool:
    return dtype.names is None or list(dtype.fields or ()) == list(dtype.names)


DTYPES = arrays.scalar_dtypes() | arrays.array_dtypes(arrays.scalar_dtypes(), allow_subarrays=True).filter(
    has_no_titles
)
VALUES = st.recursive(
    SCALARS | arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=2)),
    lambda inner: st.lists(inner, max_size=2) | st.tuples(inner) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


@given(value=VALUES)
def test_any_value_has_a_form(value: Any) -> None:
    stored = as_attribute(value)
    assert type(stored) in (int, float, str)
    back = of_attribute(stored)
    assert type(back) is type(value)
    assert same_tree(back, value)


@given(tree=st.dictionaries(NAMES, VALUES, max_size=3))
def test_any_attributes_come_back(tree: dict[str, Any]) -> None:
    assert same_tree(nested_attributes(flat_attributes(tree)), tree)


NUMBERS = list(map(np.dtype, "?bhilBHILefdFD"))
SHAPES = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)


@given(values=arrays.arrays(st.sampled_from(NUMBERS), SHAPES), way=st.sampled_from(["json", "csv"]))
def test_any_numbers_come_back_from_text(
    values: np.ndarray[Any, Any], way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    array = xr.DataArray(values, name="n")
    back = WAYS[way](array, tmp_path_factory.mktemp("text") / "out")
    np.testing.assert_array_equal(back.values, values)
    assert back.dtype == values.dtype


# --- large arrays of the metadata --------------------------------------------------------------------------------


def with_large_arrays(write: Write) -> Path:
    counts = np.arange(40_000, dtype="u4")
    text = Field(np.array(["a", "é"] * 9000, object), dtype=h5py.string_dtype())
    entry = nxentry({"data": nxdata({"counts": counts}, signal="counts"), "mask": np.arange(20_000.0), "names": text})
    path = write({"entry": entry})
    with h5py.File(path, "a") as file:
        file["entry/again"] = h5py.SoftLink("/entry/data/counts")
    return path


@pytest.mark.parametrize("way", ["h5netcdf", "netcdf4", "zarr"])
def test_large_arrays_of_the_metadata_travel_as_variables(way: str, write: Write, tmp_path: Path) -> None:
    path = with_large_arrays(write)
    dataset = xr.open_dataset(path, engine="nexus")
    expected = dataset.copy().load()
    expected.attrs = {**dataset.attrs, "mask": {"value": np.arange(20_000.0)}}
    expected.attrs |= {
        "names": {"value": np.array(["a", "é"] * 9000, object)},
        "again": {"value": expected.counts.values},
    }
    back = WAYS[way](dataset, tmp_path / "out")
    path.unlink()
    assert_same(back, expected)
    mask = back.attrs["mask"]["value"]
    assert (mask.shape, mask[5:7].tolist()) == ((20_000,), [5.0, 6.0])
    assert_same(WAYS[way](back, tmp_path / "again"), expected)
    back.nexus.to_nexus(tmp_path / "back.nxs")
    with h5py.File(tmp_path / "back.nxs") as file:
        np.testing.assert_array_equal(file["entry1/auxiliary/original_metadata/mask"], np.arange(20_000.0))


def test_what_the_metadata_has_of_the_data_is_written_once(write: Write) -> None:
    flat = xr.open_dataset(with_large_arrays(write), engine="nexus").nexus.flat()
    assert set(flat.variables) == {"counts", "mask.value", "names.value"}


@pytest.mark.parametrize("way", ["json", "csv"])
def test_large_arrays_stay_in_their_file_where_text_is_written(way: str, write: Write, tmp_path: Path) -> None:
    dataset = xr.open_dataset(with_large_arrays(write), engine="nexus")
    back = WAYS[way](dataset, tmp_path / "out")
    assert_same(back, dataset)
    assert isinstance(back.attrs["mask"]["value"], nexus_xr.LazyArray)
    assert (tmp_path / "out").stat().st_size < 2**20


def test_a_stack_is_written_block_by_block_as_it_was_chunked(write: Write, tmp_path: Path) -> None:
    frames = Field(
        np.arange(16 * 2**20, dtype="u2").reshape(16, 1024, 1024), chunks=(1, 1024, 1024), compression="gzip"
    )
    path = write({"entry": nxentry({"data": nxdata({"frames": frames}, signal="frames")})})
    dataset = xr.open_dataset(path, engine="nexus")
    dataset.nexus.to_netcdf(tmp_path / "out.nc", engine="h5netcdf")
    assert not dataset.frames.variable._in_memory
    with h5py.File(tmp_path / "out.nc") as file:
        assert file["frames"].chunks == (1, 1024, 1024)
        assert file["frames"].compression == "gzip"
        np.testing.assert_array_equal(file["frames"][7], frames.value[7])


# --- faults -------------------------------------------------------------------------------------------------------


NUMBERS = da.arange(10, chunks=3)
CHOSEN = NUMBERS[NUMBERS > 4]


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (xr.Dataset(attrs={"a": {"b": object()}}), "a/b: a value of type object"),
        (xr.Dataset(attrs={"a": {"b": np.ma.masked_equal([1, 2], 1)}}), "a/b: it has masked elements"),
        (xr.Dataset(attrs={"a": {1: 2}}), "a: the name 1 is no text"),
        (xr.Dataset({1: ("x", [1])}), "1: the name is no text"),
        (
            xr.Dataset(coords=xr.Coordinates.from_pandas_multiindex(pd.MultiIndex.from_product([[1], [2]]), "x")),
            "use reset_index",
        ),
        (xr.Dataset({"n": ("x", [1], {"a": object()})}), "n: a: a value of type object"),
        (xr.Dataset({"n": ("x", np.array([object()]))}), "n: a value of type object"),
        (xr.Dataset(coords={"x": pd.date_range("2024", periods=2, tz="UTC")}), "x: its dates have a time zone"),
        (xr.Dataset({"n": ("x", CHOSEN)}), r"n: has blocks of unknown lengths.*compute_chunk_sizes\(\)"),
    ],
    ids=[
        "value",
        "masked",
        "attribute",
        "name",
        "index",
        "value of a variable",
        "object",
        "time zone",
        "unknown length",
    ],
)
def test_what_has_no_form_is_refused_by_its_name(obj: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "out.nc").write_text("as it was")
    with pytest.raises(NexusError, match=message):
        obj.nexus.to_netcdf(tmp_path / "out.nc")
    assert (tmp_path / "out.nc").read_text() == "as it was"


def test_sparse_arrays_are_refused(tmp_path: Path) -> None:
    values = pytest.importorskip("sparse").COO.from_numpy(np.eye(2))
    with pytest.raises(NexusError, match="n: COO can't be stored; make it a NumPy array"):
        xr.Dataset({"n": (("y", "x"), values)}).nexus.to_json(tmp_path / "never")


@pytest.mark.parametrize("year", ["-0001", "10000"])
def test_dates_of_years_that_are_never_written_are_refused(year: str, tmp_path: Path) -> None:
    dataset = xr.Dataset({"t/1": ("x", np.array(["2020-01-01", "NaT", f"{year}-01-01"], "M8[s]"))})
    for write in (dataset.nexus.to_netcdf, dataset.nexus.to_zarr):
        with pytest.raises(NexusError, match="t/1: nothing was written, as there are dates beyond"):
            write(tmp_path / "out")
    assert not list(tmp_path.iterdir())
    dataset.nexus.to_json(tmp_path / "out")
    assert_same(nexus_xr.read_json(tmp_path / "out"), dataset)


CUT = xr.Dataset({"#t": ("x", ["a\0b", "c"])}, {"y": ("x", ["d", "e"])})
CUT_SHORT = {
    "signal": CUT,
    "coordinate": CUT.set_coords("#t"),
    "of dask": CUT.chunk(),
    "field": xr.Dataset({"#t": ("x", np.array([("a\0b",), ("c",)], [("f", "U3")]))}),
    "in a tree": xr.DataTree.from_dict({"/a": CUT}),
}


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_text_of_a_table_in_chunks_has_chunks_of_its_own(write: Write, engine: Any, tmp_path: Path) -> None:
    table = np.array([(number, f"n{number}") for number in range(6)], [("n", "i4"), ("text", "S6")])
    path = write({})
    with h5py.File(path, "a") as file:
        file.create_dataset("table", data=table, chunks=(3,))
    with xr.open_datatree(path, engine="nexus") as opened:
        opened.nexus.to_netcdf(tmp_path / "out.nc", engine=engine)
        with xr.open_datatree(tmp_path / "out.nc", engine=engine) as back:
            made = nexus_xr.unflat(back)
            assert isinstance(made, xr.DataTree)
            assert made.identical(opened)


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
@pytest.mark.parametrize("obj", CUT_SHORT.values(), ids=CUT_SHORT)
def test_text_that_netcdf_would_cut_is_refused(obj: Any, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "out.nc").write_text("as it was")
    with pytest.raises(NexusError, match=r"^#t(\.f)?: there is text with a zero in it"):
        obj.nexus.to_netcdf(tmp_path / "out.nc", engine=engine)
    assert (tmp_path / "out.nc").read_text() == "as it was"
    assert [each.name for each in tmp_path.iterdir()] == ["out.nc"]


LONG = "a" * 300
TOO_LONG = {
    "path": xr.Dataset(attrs={"a": {"b" * 200: {"c" * 100: 1}}}),
    "attribute": xr.Dataset({"n": ((), 1, {LONG: 1})}),
    "variable": xr.Dataset({LONG: 1}),
    "dimension": xr.Dataset({"n": (LONG, [1])}),
    "node": xr.DataTree.from_dict({f"/entry/{LONG}": xr.Dataset({"n": 1})}),
}


@pytest.mark.parametrize("kind", TOO_LONG)
@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_names_that_are_too_long_are_refused_before_anything_is_written(suffix: str, kind: str, tmp_path: Path) -> None:
    write = getattr(TOO_LONG[kind].nexus, {"nc": "to_netcdf", "zarr": "to_zarr"}[suffix])
    if suffix == "zarr" and kind in ("path", "attribute", "dimension"):  # which are no folders there
        write(tmp_path / "out")
        return
    with pytest.raises(NexusError, match=r"^a+(/b+/c+)?: nothing was written, as this name has \d+ bytes"):
        write(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_is_not_flat_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NexusError, match="isn't flat"):
        nexus_xr.unflat(xr.Dataset())
    with pytest.raises(NexusError, match="expected a Dataset"):
        nexus_xr.unflat(xr.DataArray([1]))  # type: ignore[arg-type]
    with pytest.raises(NexusError, match="large_arrays"):
        xr.Dataset().nexus.flat("read")
    with pytest.raises(NexusError, match="no table"):
        xr.DataTree().nexus.to_csv(tmp_path / "out.csv")
    (tmp_path / "text").write_text("counts,x\n")
    (tmp_path / "json").write_text("{}")
    for read, name in ((nexus_xr.read_json, "text"), (nexus_xr.read_json, "json"), (nexus_xr.read_csv, "text")):
        with pytest.raises(NexusError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("length", [csv.field_size_limit(), csv.field_size_limit() + 1])
@pytest.mark.parametrize("letter", ["x", '"', ",", "\n"], ids=repr)
def test_texts_of_tables_are_of_any_length(length: int, letter: str, tmp_path: Path) -> None:
    texts = np.array([letter * length, "b"], object)
    array = xr.DataArray([1, 2], {"t": ("x", texts)}, dims="x", name="counts")
    limit = csv.field_size_limit()
    assert through_csv(array, tmp_path / "out.csv").identical(array)
    assert csv.field_size_limit() == limit


@given(texts=st.lists(st.lists(st.text('",\r\na #\0\u2028'), min_size=2, max_size=2), min_size=1, max_size=4))
def test_any_texts_come_back_from_tables(texts: list[list[str]], tmp_path_factory: pytest.TempPathFactory) -> None:
    array = xr.DataArray(np.array(texts, object), dims=("x", "y"), name="counts")
    assert through_csv(array, tmp_path_factory.mktemp("csv") / "out.csv").identical(array)


@pytest.mark.parametrize(("row", "message"), [('0,"a', "missing at the end"), ('0,"a"b', "behind a text"), ('"', "")])
def test_rows_that_nobody_wrote_are_refused(row: str, message: str, tmp_path: Path) -> None:
    xr.DataArray(np.array(["b"], object), dims="x", name="counts").nexus.to_csv(tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_text()
    assert "\n0,b\n" in written
    (tmp_path / "out.csv").write_text(written.replace("\n0,b\n", f"\n{row}\n"))
    with pytest.raises(NexusError, match=f"out.csv: expected what to_csv wrote .*{message}"):
        nexus_xr.read_csv(tmp_path / "out.csv")


def test_what_xarray_decoded_otherwise_is_refused(tmp_path: Path) -> None:
    dates = xr.Dataset({"t": ("x", np.array(["2020-01-01"], "M8[s]"))})
    dates.nexus.to_netcdf(tmp_path / "out.nc", engine="h5netcdf")
    with pytest.raises(NexusError, match="decode_times=True"):
        nexus_xr.unflat(xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf", decode_times=False))
    numbers = xr.Dataset({"t": ("x", [1.0])}).nexus.flat()
    with pytest.raises(NexusError, match="decode_timedelta=False"):
        nexus_xr.unflat(numbers.assign(t=("x", np.array([1], "m8[s]"))))


def test_parts_that_are_missing_are_named() -> None:
    flat = xr.Dataset({"z": ("x", [1j])}).nexus.flat()
    with pytest.raises(NexusError, match="z: its parts imag are missing"):
        nexus_xr.unflat(flat.drop_vars("z.imag"))


def test_only_coordinates_of_their_own_dimension_are_indexed_again() -> None:
    dataset = xr.Dataset(coords={"a": ("x", [1, 2]), "x": [3, 4], "y": [5]}).set_xindex("a").drop_indexes("y")
    assert set(nexus_xr.unflat(dataset.nexus.flat()).xindexes) == {"x"}


@each_way
@pytest.mark.filterwarnings("ignore:The data type:zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize(
    "values",
    [[1j, 2j], np.array([1j, 2j], "c8"), [b"a", b"b"], np.array([(1, 2), (3, 4)], "i2,i2")],
    ids=["complex", "single", "bytes", "compound"],
)
def test_what_only_xarray_looks_up_comes_back_with_its_index(values: Any, way: Way, tmp_path: Path) -> None:
    array = xr.DataArray([1.0, 2.0], {"x": values}, name="n")
    back = way(array, tmp_path / "out")
    assert_same(back, array)
    assert back.sel(x=array.x[1]) == 2


def test_variables_may_be_added_and_left_out_meanwhile() -> None:
    flat = xr.Dataset({"a": ("x", [1]), "b": ("x", [2])}).nexus.flat()
    changed = nexus_xr.unflat(flat.drop_vars("a").assign(c=("x", [3])))
    assert isinstance(changed, xr.Dataset)
    assert list(changed) == ["b", "c"]


def test_a_file_can_be_replaced_by_what_was_read_from_it(tmp_path: Path) -> None:
    path = tmp_path / "out.nc"
    xr.Dataset({"a": ("x", np.arange(5))}).nexus.to_netcdf(path, engine="h5netcdf")
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        nexus_xr.unflat(opened).nexus.to_netcdf(path, engine="h5netcdf")
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        assert opened.a.values.tolist() == [0, 1, 2, 3, 4]
    assert [each.name for each in tmp_path.iterdir()] == ["out.nc"]


@each_engine
@pytest.mark.parametrize("chunks", [None, {}])
def test_what_is_written_later_is_there_when_it_is_complete(
    engine: Any, chunks: Any, write: Write, tmp_path: Path
) -> None:
    dataset = xr.open_dataset(counts_file(write), engine="nexus", chunks=chunks)
    path = tmp_path / "later.nc"
    later = dataset.nexus.to_netcdf(path, engine=engine, compute=False)
    assert not list(tmp_path.glob("later*"))
    later.compute()
    assert_same(nexus_xr.unflat(xr.open_dataset(path, engine=engine)), dataset)


@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_store_that_is_written_later_is_where_it_was_asked_for(
    mode: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = xr.Dataset({"a": ("x", np.arange(1, 6))}, {"x": np.arange(5)})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    later = numbers.chunk(x=2).nexus.to_zarr("later.zarr", mode=mode, compute=False)
    monkeypatch.chdir(tmp_path / "elsewhere")
    later.compute()
    assert not list(Path().iterdir())
    assert_same(nexus_xr.unflat(xr.open_zarr(tmp_path / "later.zarr")), numbers)


def test_a_folder_is_called_what_it_was_given_as_in_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = xr.Dataset({"a": ("x", np.arange(5))})
    monkeypatch.chdir(tmp_path)
    numbers.nexus.to_zarr("out.zarr", group="a")
    with pytest.raises(nexus_xr.NexusError, match=r"^out\.zarr: is there already"):
        numbers.nexus.to_zarr("out.zarr", group="a")
    with pytest.raises(nexus_xr.NexusError, match=r"^none\.zarr: can't be written"):
        numbers.nexus.to_zarr("none.zarr", mode="r+")
    with pytest.raises(nexus_xr.NexusError, match=r"^new\.zarr: is a path, and storage_options are for URLs"):
        numbers.nexus.to_zarr("new.zarr", storage_options={"anon": True})


@pytest.mark.parametrize("protocol", ["file", "local"])
def test_a_url_of_a_file_of_this_machine_is_that_file(protocol: str, tmp_path: Path) -> None:
    numbers = xr.Dataset({"a": ("x", np.arange(5))}, {"x": np.arange(5)})
    where = f"{protocol}://{tmp_path}/out"
    numbers.nexus.to_json(f"{where}.json")
    numbers.nexus.to_csv(f"{where}.csv")
    numbers.nexus.to_zarr(f"{where}.zarr")
    numbers.nexus.to_netcdf(f"{where}.nc")
    numbers.nexus.to_netcdf(f"{where}.nc", mode="a", group="more")
    numbers.nexus.to_netcdf(f"{where}-later.nc", compute=False).compute()
    assert_same(nexus_xr.read_json(f"{where}.json"), numbers)
    assert_same(nexus_xr.read_csv(f"{where}.csv"), numbers)
    assert_same(nexus_xr.unflat(xr.open_zarr(tmp_path / "out.zarr")), numbers)
    assert_same(nexus_xr.unflat(xr.open_dataset(tmp_path / "out.nc", group="more")), numbers)
    assert_same(nexus_xr.unflat(xr.open_dataset(tmp_path / "out-later.nc")), numbers)
    with pytest.raises(NexusError, match=f"^{where}.json/below: can't be written, as there is no such folder"):
        numbers.nexus.to_json(f"{where}.json/below")


@each_engine
def test_what_is_added_to_a_file_is_added_to_a_copy_of_it(engine: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.nc"
    numbers = xr.Dataset({"a": ("x", np.arange(5))})
    numbers.nexus.to_netcdf(path, engine=engine, mode="a")
    before = path.read_bytes()
    no_group = xr.Dataset({"b": ("x", da.from_array(np.array(["a\0b"], object), chunks=1))})
    with pytest.raises(NexusError, match="text with a zero"):
        no_group.nexus.to_netcdf(path, engine=engine, mode="a", group="more")
    assert path.read_bytes() == before
    (numbers + 1).nexus.to_netcdf(path, engine=engine, mode="a", group="more")
    with xr.open_datatree(path, engine=engine) as opened:
        assert (opened.a.values + 1 == opened["more"].a.values).all()
    assert [each.name for each in tmp_path.iterdir()] == ["out.nc"]


ZARR_FAILURES: list[tuple[str, dict[str, Any], str]] = [
    ("gone/out.zarr", {}, "can't be written, as there is no such folder"),
    ("there.zarr", {}, "is there already; choose another place"),
    ("there.zarr", {"group": "a"}, "is there already; choose another place"),
    ("file.txt/out.zarr", {}, "can't be written"),
    ("file.txt", {"mode": "a"}, "can't be written|is there already"),
]


@pytest.mark.parametrize(("name", "options", "reason"), ZARR_FAILURES)
def test_a_store_that_can_not_be_written_is_named(
    name: str, options: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    counts = xr.Dataset({"n": ("x", [1, 2])})
    counts.nexus.to_zarr(tmp_path / "there.zarr")
    counts.nexus.to_zarr(tmp_path / "there.zarr", group="a", mode="a")
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(NexusError, match=rf"{name}: ({reason})"):
        counts.nexus.to_zarr(tmp_path / name, **options)
    assert sorted(os.listdir(tmp_path)) == ["file.txt", "there.zarr"]
    assert_same(nexus_xr.unflat(xr.open_zarr(tmp_path / "there.zarr")), counts)


@pytest.mark.parametrize("mode", [None, "w", "w-"])
def test_a_store_takes_its_place_when_it_is_complete(mode: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    counts = xr.Dataset({"n": ("x", np.arange(4))})
    if mode == "w":
        counts.nexus.to_zarr(path)

    def fail(block: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    broken = xr.Dataset({"n": ("x", da.arange(4, chunks=2).map_blocks(fail, dtype="i8"))})
    with pytest.raises(nexus_xr.NexusFileError, match=r"out\.zarr: can't be written \(No space left on device\)"):
        broken.nexus.to_zarr(path, mode=mode)
    assert os.listdir(tmp_path) == (["out.zarr"] if mode == "w" else [])
    (counts + 1).nexus.to_zarr(path, mode=mode)
    assert_same(nexus_xr.unflat(xr.open_zarr(path)), counts + 1)
    assert os.listdir(tmp_path) == ["out.zarr"]


@pytest.mark.parametrize("way", ["set", "set_if_not_exists"])
def test_a_folder_of_zarr_is_given_up_once_what_is_under_way_is_written(way: str, tmp_path: Path) -> None:
    value = default_buffer_prototype().buffer.from_bytes(b"1")

    def write(store: LocalStore, key: str) -> None:
        asyncio.run(getattr(store, way)(key, value))

    with zarr_folder(tmp_path / "out.zarr") as store:
        write(store, "before")
        write(pickle.loads(pickle.dumps(store)), "elsewhere")
    with pytest.raises(nexus_xr.NexusFileError, match=r"out\.zarr: has been given up"):
        write(store, "after")
    assert sorted(os.listdir(tmp_path / "out.zarr")) == ["before", "elsewhere"]


@each_engine
def test_netcdf_goes_to_a_url_as_a_whole(engine: Any, tmp_path: Path) -> None:
    counts = xr.DataArray([1, 2, 3], dims="x", name="counts")
    counts.nexus.to_netcdf("memory://exchange/out.nc", engine=engine)
    fsspec.filesystem("memory").get_file("/exchange/out.nc", tmp_path / "out.nc")
    assert_same(nexus_xr.unflat(xr.open_dataset(tmp_path / "out.nc")), counts)
    with pytest.raises(NexusError, match=r'memory://exchange/out\.nc: mode="a"'):
        counts.nexus.to_netcdf("memory://exchange/out.nc", engine=engine, mode="a")
    with pytest.raises(nexus_xr.NexusFileError, match=r"nothing://exchange/out\.nc: can't be written"):
        counts.nexus.to_netcdf("nothing://exchange/out.nc", engine=engine)


TO_A_FULL_DISK = """
import resource, sys
import h5py, numpy as np, xarray as xr
import nexus_xr

limit, what, engine = int(sys.argv[1]), sys.argv[2], sys.argv[3]
texts = {f"t{n}": ("x", np.array(["abc" * (50 * n + 1)] * 200, object)) for n in range(12)}
numbers = xr.Dataset({"v": (("y", "z"), np.random.default_rng(0).random((400, 500)))}, attrs={"a": "long " * 5000})
made = {"texts": xr.Dataset(texts), "numbers": numbers, "dask": numbers.chunk(y=50)}[what]
for _ in range(2):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        made.nexus.to_netcdf("full.nc", engine=engine)
    except nexus_xr.NexusFileError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert not h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
made.nexus.to_netcdf("full.nc", engine=engine)
assert nexus_xr.unflat(xr.open_dataset("full.nc", engine=engine)).identical(made.compute())
"""


@pytest.mark.parametrize("what", ["texts", "numbers", "dask"])
@pytest.mark.parametrize("limit", [0, 3_000, 20_000, 1_500_000])
def test_after_a_disk_was_full_netcdf_is_written(
    what: str, limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(TO_A_FULL_DISK, limit, what, "h5netcdf") == 2 * "full.nc: can't be written (File too large)\n"
    assert [each.name for each in tmp_path.iterdir()] == ["full.nc"]


FULL_FOR_NETCDF = (
    TO_A_FULL_DISK.partition("for _ in range(2)")[0]
    + """
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    made.nexus.to_netcdf("full.nc", engine=engine)
except nexus_xr.NexusFileError as error:
    print(error)
"""
)


@pytest.mark.parametrize(
    ("limit", "reason"),
    [(0, "netCDF's library can't make it"), (1_000, r"NetCDF: .+"), (1_000_000, "NetCDF: HDF error")],
)
def test_where_netcdf_does_not_say_why_it_is_said_how_much_is_free(
    limit: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("netCDF4")
    monkeypatch.chdir(tmp_path)
    said = run(FULL_FOR_NETCDF, limit, "numbers", "netcdf4")
    assert re.fullmatch(rf"full\.nc: can't be written \({reason}; \d{{5,}} bytes are free there\)\n", said)
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys, warnings
import dask.array as da, numpy as np, xarray as xr
import nexus_xr

way, path = sys.argv[1:]
warnings.simplefilter("ignore")
kill = da.from_array(np.arange(4.0), chunks=2).map_blocks(lambda block: os._exit(0), dtype="f8", meta=np.empty(0))
xr.Dataset({"a": ("x", np.arange(4)), "b": ("x", kill)}).nexus.__getattribute__("to_" + way)(path)
"""


@pytest.mark.parametrize(("way", "name"), [("netcdf", "out.nc"), ("zarr", "out.zarr"), ("csv", "out.csv")])
def test_what_was_killed_is_removed_by_the_next_that_writes_there(way: str, name: str, tmp_path: Path) -> None:
    run(KILLED, way, tmp_path / name)
    assert len(left := sorted(os.listdir(tmp_path))) == 2
    fresh = xr.Dataset({"a": ("x", np.arange(4))})
    write = getattr(fresh.nexus, f"to_{way}")
    write(tmp_path / "other")
    assert sorted(os.listdir(tmp_path)) == [*left, "other"]
    write(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["other", name]


def test_what_another_is_writing_stays_beside_what_is_written(tmp_path: Path) -> None:
    with replacing(tmp_path / "out.nc") as first:
        Path(first).write_text("first")
        with replacing(tmp_path / "out.nc") as second:
            Path(second).write_text("second")
        assert (tmp_path / "out.nc").read_text() == "second"
    assert (tmp_path / "out.nc").read_text() == "first"
    assert os.listdir(tmp_path) == ["out.nc"]


def test_a_store_that_was_being_replaced_comes_back_where_that_was_killed(tmp_path: Path) -> None:
    counts = xr.Dataset({"n": ("x", [1, 2])})
    counts.nexus.to_zarr(tmp_path / "out.zarr")
    (tmp_path / "out.zarr").rename(tmp_path / ".out.zarr.0123abcd.old")
    (tmp_path / ".out.zarr.0123abcd.part").mkdir()
    (tmp_path / ".out.zarr.0123abcd.lock").write_text(f"process 1 on {socket.gethostname()}")
    with pytest.raises(NexusError, match="is there already"):
        counts.nexus.to_zarr(tmp_path / "out.zarr")
    assert os.listdir(tmp_path) == ["out.zarr"]
    assert_same(nexus_xr.unflat(xr.open_zarr(tmp_path / "out.zarr")), counts)


def test_what_is_lazy_is_pickled(write: Write, tmp_path: Path) -> None:
    dataset = xr.open_dataset(
        write({"entry": nxentry({"data": nxdata({"z": np.array([1j, 2j])}, signal="z")})}), engine="nexus"
    )
    flat = dataset.nexus.flat()
    assert not flat["z.real"].variable._in_memory
    assert_same(nexus_xr.unflat(pickle.loads(pickle.dumps(flat))), dataset)


# --- real files ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
@pytest.mark.parametrize("way", ["h5netcdf", "zarr"])
@pytest.mark.parametrize("path", corpus_files() or [CORPUS / "absent"], ids=lambda path: str(path.relative_to(CORPUS)))
def test_real_files_come_back(path: Path, way: str, tmp_path: Path) -> None:
    tree = xr.open_datatree(path, engine="nexus")
    if sum(node.nbytes for node in tree.subtree) < 2**26:
        assert_same(WAYS[way](tree, tmp_path / "out"), tree)


# --- uncertainties ---------------------------------------------------------------------------------------------


def counts_file(write: Write) -> Path:
    fields = {"n": np.array([4.0, 9.0]), "n_errors": np.array([2.0, 3.0]), "x": np.arange(3.0)}
    return write({"entry": nxentry({"title": "counts", "data": nxdata(fields, signal="n", axes=["x"])})})


@each_way
@pytest.mark.parametrize("kind", ["joined", "lazy", "pair", "signal"])
def test_uncertainties_go_out_and_come_back_as_such(kind: str, way: Way, write: Write, tmp_path: Path) -> None:
    path = counts_file(write)
    obj: Any = xr.open_dataset(path, engine="nexus", chunks={} if kind == "lazy" else None)
    pair = obj
    if kind == "signal":
        [obj] = nexus_xr.open_signals(path, nxdata_only=True, uncertainties="joined")
        pair = obj.nexus.without_uncertainties()
    elif kind != "pair":
        obj = obj.nexus.with_uncertainties()
    back = way(obj, tmp_path / "out")
    assert back.identical(pair)
    again = back.nexus.with_uncertainties()
    n = again if kind == "signal" else again.n
    np.testing.assert_array_equal(n.nexus.errors, [2, 3])


@pytest.mark.parametrize("where", ["before", "after"])
def test_what_was_computed_comes_back_as_no_uncertainty(where: str, write: Write, tmp_path: Path) -> None:
    obj = xr.open_dataset(counts_file(write), engine="nexus")
    (obj**2 if where == "before" else obj).nexus.to_netcdf(tmp_path / "out.nc")
    stored = xr.open_dataset(tmp_path / "out.nc", engine="h5netcdf")
    back = nexus_xr.unflat((stored**2).assign_attrs(stored.attrs) if where == "after" else stored)
    with pytest.raises(NexusError, match="computed without propagation"):
        back.nexus.with_uncertainties()


@pytest.mark.parametrize("name", ["to_netcdf", "to_json", "to_csv"])
def test_a_place_that_can_not_be_written_to_is_named(tmp_path: Path, name: str) -> None:
    write = getattr(xr.Dataset({"n": ("x", [1, 2])}).nexus, name)
    with pytest.raises(nexus_xr.NexusFileNotFoundError, match=r"gone/it: can't be written, as there is no such folder"):
        write(tmp_path / "gone" / "it")
    (tmp_path / "it").mkdir()
    with pytest.raises(nexus_xr.NexusFileError, match="it: is a directory"):
        write(tmp_path / "it")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(nexus_xr.NexusFileError, match="pipe: is a device, a pipe or a socket"):
        write(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    os.unlink(tmp_path / "pipe")
    assert [each.name for each in tmp_path.iterdir()] == ["it"]


@pytest.mark.parametrize("read", [nexus_xr.read_json, nexus_xr.read_csv, nexus_xr.repack, nexus_xr.consolidate])
@pytest.mark.parametrize("path", [None, 3, ["f.nxs"]])
def test_what_is_no_path_is_a_type_error(read: Callable[[Any], Any], path: Any) -> None:
    with pytest.raises(TypeError, match=r"path|PathLike"):
        read(path)


@pytest.mark.parametrize("read", [nexus_xr.read_json, nexus_xr.read_csv])
def test_a_file_that_can_not_be_opened_is_named(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(nexus_xr.NexusFileNotFoundError, match="gone: no such file; check the path"):
        read(tmp_path / "gone")
    with pytest.raises(nexus_xr.NexusFileError, match="can't be opened"):
        read(tmp_path)


FOREIGN = ['{"nodes": 5}', '{"data_vars": {"n": 1}, "coords": {}, "attrs": {}}', "[]", "# 5", '# {"a": {}}']


@pytest.mark.parametrize("content", FOREIGN)
def test_what_was_not_written_here_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "it").write_text(content)
    for read in (nexus_xr.read_json, nexus_xr.read_csv):
        with pytest.raises(NexusError, match=r"it: (expected|isn't JSON)"):
            read(tmp_path / "it")


@pytest.mark.parametrize("stored", [np.array(["a", "b"], "S3"), np.array(["a", "b"], h5py.string_dtype())])
@pytest.mark.parametrize("kind", ["nc", "zarr"])
def test_text_stays_text_in_what_xarray_itself_writes(stored: Any, kind: str, write: Write, tmp_path: Path) -> None:
    path = write({"data": nxdata({"n": [1.0, 2.0], "labels": stored}, signal="n", axes="labels")})
    opened = xr.open_dataset(path, engine="nexus").drop_attrs()
    if kind == "nc":
        opened.to_netcdf(tmp_path / "f.nc")
        copy = xr.load_dataset(tmp_path / "f.nc")
    else:
        opened.to_zarr(tmp_path / "f.zarr")
        copy = xr.load_dataset(tmp_path / "f.zarr")
    assert copy.labels.values.tolist() == ["a", "b"]


@pytest.mark.parametrize("write", ["to_netcdf", "to_zarr", "to_json"])
@pytest.mark.parametrize("change", [lambda block: block + 0.5, lambda block: np.ma.masked_equal(block, 1)])
def test_blocks_that_are_not_what_dask_says_go_to_no_other_format(write: str, change: Any, tmp_path: Path) -> None:
    values = da.arange(4, chunks=2).map_blocks(change, dtype="i8", meta=np.empty(0, "i8"))
    with pytest.raises(NexusError, match=r"^n: what dask gives for \[(0:2|2:4)\] (is of float64|has masked elements)"):
        getattr(xr.DataArray(values, dims="x", name="n").nexus, write)(tmp_path / "never")
    assert not list(tmp_path.iterdir())
