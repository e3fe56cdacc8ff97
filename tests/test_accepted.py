"""What other libraries make of arrays and metadata can be written, with its units, calendars and missing values."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import io
import re
import uuid
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pandas as pd
import pint
import pint_xarray  # which gives xarray's objects the accessor
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError, NexusFileError
from nexus_xr.nexus.tree.metadata import MetadataField, same_tree

assert pint_xarray
units = pint.get_application_registry()


def written(obj: Any, path: Path) -> xr.Dataset:
    obj.nexus.to_nexus(path / "out.nxs")
    return xr.open_dataset(path / "out.nxs", engine="nexus")


def of_values(values: Any) -> xr.Dataset:
    return xr.Dataset({"n": ("x", values)})


def of_metadata(value: Any) -> xr.Dataset:
    return xr.Dataset({"n": ("x", [1.0])}, attrs={"sample": {"value_of": value}})


@pytest.mark.parametrize("chunks", [None, 1])
def test_quantities_are_written_with_their_units(chunks: int | None, tmp_path: Path) -> None:
    x = ("x", [0.0, 1.0], {"units": "m"})
    plain = xr.DataArray([1.0, 2.0], {"x": x}, name="n", attrs={"units": "m/s", "long_name": "speed"})
    quantity = (plain if chunks is None else plain.chunk(chunks)).pint.quantify()
    back = written(quantity, tmp_path)
    assert back.n.attrs == {"units": "m/s", "long_name": "speed"}
    assert back.x.attrs == {"units": "m"}
    assert (back.n.values.tolist(), back.x.values.tolist()) == ([1.0, 2.0], [0.0, 1.0])


@pytest.mark.parametrize("chunks", [None, 1])
def test_quantities_with_uncertainties_keep_both(chunks: int | None, tmp_path: Path) -> None:
    plain = xr.DataArray([1.0, 2.0], dims="x", name="n", attrs={"units": "m"})
    joined = plain.nexus.with_uncertainties([0.1, 0.2])
    quantity = (joined if chunks is None else joined.chunk(chunks)).pint.quantify()
    assert quantity.nexus.values.pint.dequantify(format="~C").equals(plain)
    assert quantity.nexus.errors.pint.dequantify(format="~C").attrs == {"units": "m"}
    assert quantity.nexus.variances.pint.dequantify(format="~C").attrs == {"units": "m**2"}
    back = written(quantity * units.Quantity(2, "s"), tmp_path)
    assert (back.n.attrs, back.n_errors.attrs) == ({"units": "m*s"}, {"units": "m*s"})
    np.testing.assert_array_equal(back.n, [2, 4])
    np.testing.assert_allclose(back.n_errors, [0.2, 0.4])
    assert back.nexus.with_uncertainties().n.nexus.errors.attrs == {"units": "m*s"}


def test_a_quantity_among_the_metadata_keeps_its_units(tmp_path: Path) -> None:
    back = written(of_metadata(units.Quantity(1.5, "mm")), tmp_path)
    assert back.attrs["sample"]["value_of"] == MetadataField(value=1.5, attrs={"units": "mm"})
    array = xr.DataArray([1.0], dims="x", name="n", attrs={"gap": units.Quantity(1.5, "mm")})
    with pytest.raises(NexusError, match="attribute 'gap': it is a quantity"):
        array.nexus.to_nexus(tmp_path / "never.nxs")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.array([1, 2], dtype="Int16"), np.array([1, 2], "i2")),
        (pd.array([2**64 - 1], dtype="UInt64"), np.array([2**64 - 1], "u8")),
        (pd.array([1, None, -3], dtype="Int64"), np.array([1, np.nan, -3])),
        (pd.array([True, False], dtype="boolean"), np.array([True, False])),
        (pd.array([True, None], dtype="boolean"), np.array([1, np.nan])),
        (pd.array([1.5, None], dtype="Float64"), np.array([1.5, np.nan])),
        (pd.Categorical(["b", "a", "b"]), np.array(["b", "a", "b"], object)),
        (pd.array(["b", "a"], dtype="string"), np.array(["b", "a"], object)),
    ],
    ids=str,
)
def test_arrays_of_pandas_are_written(values: Any, expected: np.ndarray[Any, Any], tmp_path: Path) -> None:
    back = written(of_values(values), tmp_path).n
    np.testing.assert_array_equal(back.values, expected)
    assert back.dtype == expected.dtype


@pytest.mark.parametrize("values", [pd.array([2**53 + 1, None], dtype="Int64"), pd.array(["a", None], dtype="string")])
def test_missing_values_that_have_no_place_are_refused(values: Any, tmp_path: Path) -> None:
    with pytest.raises(NexusError, match="n/n: it has missing values"):
        of_values(values).nexus.to_nexus(tmp_path / "never.nxs")


def test_dates_with_a_time_zone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NexusError, match=r"n/n: its dates have a time zone.*tz_convert\(None\)"):
        of_values(pd.date_range("2024", periods=2, tz="UTC")).nexus.to_nexus(tmp_path / "never.nxs")


def test_text_of_numpy_is_stored_like_other_text(tmp_path: Path) -> None:
    assert written(of_values(np.array(["a", "bé"], "T")), tmp_path).n.values.tolist() == ["a", "bé"]
    with pytest.raises(NexusError, match="n/n: it is text with a zero in it"):
        of_values(np.array(["a\0b"], "T")).nexus.to_nexus(tmp_path / "never.nxs")


def test_text_with_a_zero_that_dask_computes_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    texts = of_values(np.array(["a", "b\0c"], object)).chunk(1)
    with pytest.raises(NexusError, match="/entry1/n/n: there is text with a zero in it"):
        texts.nexus.to_nexus(tmp_path / "never.nxs")
    assert not list(tmp_path.iterdir())


def test_records_with_text_and_dates_are_stored_as_text_of_fixed_length(tmp_path: Path) -> None:
    inner = np.dtype([("unit", "U2", (2,)), ("value", "f8")])
    records = np.zeros(2, [("label", "U3"), ("begin", "M8[s]"), ("inner", inner)])
    records["label"], records["inner"]["unit"] = ["a", "ö"], [["mm", ""], ["s", "eV"]]
    records["begin"] = np.datetime64("2024-05-01T12:00:00")
    found = written(of_values(records), tmp_path).n.values
    assert [each.decode() for each in found["label"]] == ["a", "ö"]
    assert found["begin"].tolist() == [b"2024-05-01T12:00:00"] * 2
    assert found["inner"]["unit"].astype(str).tolist() == [["mm", ""], ["s", "eV"]]


def test_records_with_text_that_dask_has_yet_to_compute_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NexusError, match=r"n/n: it has records with text or dates.* compute it"):
        of_values(np.zeros(2, [("label", "U3"), ("value", "f8")])).chunk(1).nexus.to_nexus(tmp_path / "never.nxs")


def test_dates_of_other_calendars_are_numbers_that_say_so(tmp_path: Path) -> None:
    dates = xr.date_range("2000-02-28", periods=3, calendar="noleap", use_cftime=True)
    back = written(xr.Dataset({"n": ("time", [1.0, 2.0, 3.0])}, {"time": dates}), tmp_path)
    assert back.time.values.tolist() == [0, 1, 2]
    assert back.time.attrs["calendar"] == "noleap"
    assert xr.decode_cf(back).time.values.tolist() == list(dates)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC), "2020-01-01T12:00:00+00:00"),
        (dt.date(2020, 1, 1), "2020-01-01"),
        (pd.Timestamp("2020-01-01 12:00"), "2020-01-01T12:00:00"),
        (np.datetime64("2020-01-01T12:00:00.5"), "2020-01-01T12:00:00.500"),
        (np.array(["2020-01-01", "2020-01-02"], "M8[D]"), np.array(["2020-01-01", "2020-01-02"])),
        (None, h5py.Empty("f4")),
    ],
    ids=str,
)
def test_dates_and_none_among_the_metadata(value: Any, expected: Any, tmp_path: Path) -> None:
    found = written(of_metadata(value), tmp_path).attrs["sample"]["value_of"]
    assert np.array_equal(found, expected) if isinstance(expected, np.ndarray) else found == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[1], [2, 3], []], [np.array([1]), np.array([2, 3]), np.array([], int)]),
        ([[1.5, 2.5], [3]], [np.array([1.5, 2.5]), np.array([3.0])]),
        ((np.array([1], "u1"), np.array([2, 3], "u1")), [np.array([1], "u1"), np.array([2, 3], "u1")]),
    ],
)
def test_lists_of_several_lengths_among_the_metadata(value: Any, expected: Any, tmp_path: Path) -> None:
    found = written(of_metadata(value), tmp_path).attrs["sample"]["value_of"]
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
    array = xr.DataArray([1.0], dims="x", name="n", attrs={"lists": value})
    for one, other in zip(written(array, tmp_path).n.attrs["lists"], expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


class Mode(str, enum.Enum):  # noqa: UP042, as str() of StrEnum is its value
    """Text whose `str()` is another one."""

    ON = "continuous"


class Raw(bytes, enum.Enum):
    """Bytes that are members of an enumeration."""

    A = b"abc"


class Level(enum.IntEnum):
    """Integers, whose `str()` is theirs."""

    LOW = 3


class Colour(enum.Enum):
    """Members that are no values themselves."""

    RED = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Mode.ON, "continuous"),
        (Raw.A, "abc"),
        (Level.LOW, 3),
        ([Mode.ON, "a"], np.array(["continuous", "a"])),
        ([Level.LOW, 4], np.array([3, 4])),
    ],
    ids=str,
)
def test_members_of_enumerations_that_are_values_are_written_as_these(
    value: Any, expected: Any, tmp_path: Path
) -> None:
    assert_metadata(value, expected, tmp_path)


def assert_metadata(value: Any, expected: Any, path: Path) -> None:
    """Assert what comes back of a value among the metadata, under "value", and of an attribute, written twice."""
    attrs = {"k": value, "g": {"bare": value, "field": {"value": value, "attrs": {"about": value}}}}
    array = xr.DataArray([1.0, 2.0], dims="x", name="n", attrs=attrs)
    for _ in range(2):
        dataset = written(array, path)
        array, tree = dataset.n, dataset.attrs["g"]
        found = [array.attrs["k"], tree["bare"], tree["field"]["value"], tree["field"]["attrs"]["about"]]
        for each in found:
            assert same_tree(each, expected), each
        array = array.assign_attrs(g=tree)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([2**64 - 1, 1], np.array([2**64 - 1, 1], "u8")),
        ([[2**63], [0]], np.array([[2**63], [0]], "u8")),
        ([2**63 - 1, -1], np.array([2**63 - 1, -1])),
        ([2**53, 0.5], np.array([2.0**53, 0.5])),
        ([np.float32(0.1), 2], np.array([np.float32(0.1), 2.0], "f8")),
        ([True, 2], np.array([1, 2])),
        ([1, 2j], np.array([1, 2j])),
        ([np.nan, 1], np.array([np.nan, 1])),
        ([b"a", "é"], np.array(["a", "é"])),
        ([[dt.date(2020, 1, 1)], [np.datetime64("2021-01-01")]], np.array([["2020-01-01"], ["2021-01-01"]])),
        ([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * 2, np.array(["2020-01-01T00:00:00+00:00"] * 2)),
        ([dt.timedelta(seconds=1), dt.timedelta(days=1)], np.array([10**6, 86400 * 10**6], "m8[us]")),
        (np.array([1, 2.5, True], object), np.array([1, 2.5, 1])),
        (np.array([[True], [False]], object), np.array([[True], [False]])),
    ],
    ids=str,
)
def test_lists_become_arrays_that_hold_each_element(value: Any, expected: Any, tmp_path: Path) -> None:
    assert_metadata(value, expected, tmp_path)


@pytest.mark.parametrize(
    "value",
    [
        np.timedelta64(3, "s"),
        np.timedelta64(3, "ns"),
        np.timedelta64(2, "Y"),
        np.timedelta64("NaT", "s"),
        dt.timedelta(days=-2, microseconds=3),
        pd.Timedelta(1, "ns"),
    ],
    ids=str,
)
def test_lengths_of_time_are_written_again(value: Any, tmp_path: Path) -> None:
    assert_metadata(value, value.to_timedelta64() if isinstance(value, pd.Timedelta) else value, tmp_path)


LONGEST = dt.timedelta(microseconds=2**63 - 1)


def test_lengths_of_time_that_microseconds_dont_count_are_refused(tmp_path: Path) -> None:
    assert_metadata(LONGEST, np.timedelta64(2**63 - 1, "us"), tmp_path)
    with pytest.raises(NexusError, match="length of time of 106751991 days, too many to count in microseconds"):
        of_metadata(LONGEST + dt.timedelta(microseconds=1)).nexus.to_nexus(tmp_path / "never.nxs")


NO_TYPE = "of its numbers, no type holds each as it is; make them floats, or text"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array(["a", None], object), "an array of object can't be stored in HDF5 with what is at [1], None of"),
        ([2**64, 1], NO_TYPE),
        (np.array([2**70, 1], object), NO_TYPE),
        (["a\0"], "text with a zero in it"),
        ([Colour.RED], "<Colour.RED: 1> of type Colour; take its value"),
        (Colour.RED, "a value of type Colour can't be stored in HDF5; take its value"),
        (Path("a"), "can't be stored in HDF5; make it text by str()"),
        ([Path("a")], "of type PosixPath; make it text by str()"),
        ({1, 2}, "a value of type set can't be stored in HDF5; make it a list by sorted()"),
        (uuid.UUID(int=5), "a value of type UUID can't be stored in HDF5; make it text by str()"),
        (decimal.Decimal("1.1"), "a value of type Decimal can't be stored in HDF5; make it a number by float()"),
        (2**70, "a value of type int can't be stored in HDF5; make it a number of 64 bits, or text"),
        (pd.NA, "a value of type NAType can't be stored in HDF5; fill in what is missing"),
        (xr.DataArray(1.0), "a value of type DataArray can't be stored in HDF5 with its labels; write it as data of"),
        ([xr.DataArray([1.0])], "a value of type DataArray can't be stored in HDF5 with its labels"),
        (xr.Dataset({"a": 1}), "a value of type Dataset can't be stored in HDF5 with its labels"),
        (xr.Variable("x", [1]), "a value of type Variable can't be stored in HDF5 with its labels"),
        (pd.Series([1, 2]), "a value of type Series can't be stored in HDF5 with its labels"),
        (pd.DataFrame({"a": [1]}), "a value of type DataFrame can't be stored in HDF5 with its labels; write it as"),
    ],
    ids=str,
)
def test_what_would_change_is_refused_with_what_to_do(value: Any, said: str, tmp_path: Path) -> None:
    coordinate = xr.DataArray([1.0], {"x": ("x", [1], {"k": value})}, "x", "n")
    for obj, place in (
        (of_metadata(value), "original_metadata/sample/value_of"),
        (of_metadata({"value": value}), "original_metadata/sample/value_of(/value)?"),
        (coordinate, "n/x: attribute 'k'"),
    ):
        with pytest.raises(NexusError, match=f"{place}: .*{re.escape(said)}"):
            obj.nexus.to_nexus(tmp_path / "never.nxs")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pd.DataFrame({"n": ["x", None]}).to_xarray().n.values, "; fill in what is missing"),
        (np.array(["a", 1], object), "with 'a' of type str at [0], and 1 of type int at [1]"),
        (np.array([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], object), "; make it datetime64, in UTC where it has"),
        (pd.period_range("2024-01", periods=2, freq="M"), "; make it datetime64 by to_timestamp()"),
        (np.array([True, None], object), "at [1], None of type NoneType; fill in what is missing"),
    ],
    ids=str,
)
def test_elements_that_can_not_be_stored_are_named_with_what_to_do(values: Any, said: str, tmp_path: Path) -> None:
    for dataset in (of_values(values), xr.Dataset({"m": ("x", np.zeros(len(values)))}, {"n": ("x", values)})):
        with pytest.raises(NexusError, match="/n: an array of object can't be stored in HDF5.*" + re.escape(said)):
            dataset.nexus.to_nexus(tmp_path / "never.nxs")


def test_numbers_that_are_objects_are_written_as_numbers(tmp_path: Path) -> None:
    for values in ([1, 2], [1.5, np.nan], [True, False]):
        back = written(of_values(np.array(values, object)), tmp_path).n
        np.testing.assert_array_equal(back.values, np.array(values), strict=True)


def test_units_beside_a_quantity_are_its_own(tmp_path: Path) -> None:
    quantity = units.Quantity([1.0], "mm")
    for said in ("mm", "millimeter"):
        assert written(of_values(quantity).assign(n=("x", quantity, {"units": said})), tmp_path).n.attrs == {
            "units": "mm"
        }
        tree = written(of_metadata({"value": quantity[0], "attrs": {"units": said}}), tmp_path).attrs
        assert tree["sample"]["value_of"] == MetadataField(value=1.0, attrs={"units": "mm"})
    for obj in (
        xr.Dataset({"n": ("x", quantity, {"units": "m"})}),
        of_metadata({"value": quantity, "attrs": {"units": "m"}}),
    ):
        with pytest.raises(NexusError, match="a quantity in mm, with 'm' as its units beside it; leave one of the two"):
            obj.nexus.to_nexus(tmp_path / "never.nxs")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([None, None], "a list can't be stored in HDF5 with what is at [0], None of type NoneType; fill in what"),
        ([["a"], [None]], "with what is at [1][0], None of type NoneType; fill in what is missing"),
        (["a", np.nan], "with nan at [1] among text; fill in what is missing"),
        ([1, "a", True], "with 1 of type int at [0], and 'a' of type str at [1]; make all of them text, or all of"),
        ([2**63, -1], NO_TYPE),
        ([2**53 + 1, 0.5], NO_TYPE),
        ([np.array([2**63], "u8"), np.array([-1])], NO_TYPE),
        ([[2**63], [1, -1]], NO_TYPE),
        ([b"a", b"\xff"], r"bytes that are no text, b'\xff'; make them numbers, as by np.frombuffer"),
        ([dt.date(2020, 1, 1), "a"], "at [0], datetime.date(2020, 1, 1) of type date; make it datetime64, in UTC"),
        ([units.Quantity(1, "mm")], "it is a list of quantities; make it one quantity, or numbers"),
        ([[], ["a"]], "several lengths"),
        ([[1], [[2]]], "several lengths"),
        ([1, [2]], "several lengths"),
        ([[1], ["a", "b"]], "several lengths"),
    ],
    ids=str,
)
def test_lists_that_no_array_holds_are_groups_among_metadata_and_no_attributes(
    value: Any, said: str, tmp_path: Path
) -> None:
    coordinate = xr.DataArray([1.0], {"x": ("x", [1], {"k": value})}, "x", "n")
    with pytest.raises(NexusError, match=f"n/x: attribute 'k': .*{re.escape(said)}"):
        coordinate.nexus.to_nexus(tmp_path / "f.nxs")
    assert not list(tmp_path.iterdir())
    of_metadata(value).nexus.to_nexus(tmp_path / "f.nxs")
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").attrs["sample"]["value_of"]
    assert isinstance(found, list)
    assert len(found) == len(value)


@pytest.mark.parametrize(
    "obj", [xr.Dataset({"a/b": ("x", [1.0])}), of_metadata({"a/b": 1}), xr.Dataset({"n": ("x", [1.0])}, {"a/b": 1})]
)
def test_names_with_a_slash_are_refused(obj: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(NexusError, match="'a/b' is no name in HDF5; rename it"):
        obj.nexus.to_nexus(tmp_path / "never.nxs")


# --- targets ------------------------------------------------------------------------------------------------------


def test_a_file_is_written_into_a_stream() -> None:
    stream = io.BytesIO()
    of_values([1.0, 2.0]).chunk().nexus.to_nexus(stream)
    assert xr.open_dataset(io.BytesIO(stream.getvalue()), engine="nexus").n.values.tolist() == [1.0, 2.0]


def test_a_file_is_sent_to_a_url_or_left_alone() -> None:
    system = fsspec.filesystem("memory")
    url = "memory://accepted/out.nxs"
    of_values([1.0]).nexus.to_nexus(url)
    sent = system.cat_file("/accepted/out.nxs")
    assert xr.open_dataset(io.BytesIO(sent), engine="nexus").n.values.tolist() == [1.0]
    with pytest.raises(NexusFileError, match="is there already"):
        of_values([2.0]).nexus.to_nexus(url, mode="x")
    with pytest.raises(NexusError, match="can't be stored"):
        of_values(np.array([object()])).nexus.to_nexus(url)
    assert system.cat_file("/accepted/out.nxs") == sent
    with pytest.raises(NexusFileError, match="nowhere://x: can't be written"):
        of_values([1.0]).nexus.to_nexus("nowhere://x")


def test_what_a_file_system_raises_of_its_own_is_an_error_that_names_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("its own kind")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "put_file", fail)
    with pytest.raises(NexusFileError, match=r"memory://own.nxs: can't be written \(RuntimeError: its own kind\)"):
        of_values([1.0]).nexus.to_nexus("memory://own.nxs")


def test_a_file_is_sent_to_s3() -> None:
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        options = {"key": "k", "secret": "s", "client_kwargs": {"endpoint_url": endpoint}}
        fsspec.filesystem("s3", **options).mkdir("written")
        of_values(np.arange(10.0)).nexus.to_nexus("s3://written/out.nxs", storage_options=options)
        back = xr.open_dataset("s3://written/out.nxs", engine="nexus", storage_options=options)
        np.testing.assert_array_equal(back.n, np.arange(10.0))
        with pytest.raises(NexusFileError, match=r"s3://nothing/out\.nxs: can't be written"):
            of_values([1.0]).nexus.to_nexus("s3://nothing/out.nxs", storage_options=options)
    finally:
        server.stop()


@pytest.mark.parametrize("option", [{"mode": "a"}, {"compute": False}, {"region": {"x": slice(0, 1)}}], ids=str)
def test_what_needs_a_file_of_this_machine_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(NexusError, match="BytesIO: a file is sent there as a whole"):
        of_values([1.0]).nexus.to_nexus(io.BytesIO(), **option)


def test_a_url_of_a_local_file_is_that_file(tmp_path: Path) -> None:
    of_values([1.0]).nexus.to_nexus((tmp_path / "out.nxs").as_uri(), mode="x")
    assert xr.open_dataset(tmp_path / "out.nxs", engine="nexus").n.item() == 1.0


NOLEAP, OTHER = (
    xr.date_range("2000-01-01", periods=1, calendar=name, use_cftime=True)[0] for name in ("noleap", "360_day")
)


@pytest.mark.parametrize("write", ["to_nexus", "to_netcdf", "to_json"])
@pytest.mark.parametrize(
    ("dates", "why"),
    [
        ([NOLEAP, np.nan], "it has missing dates of cftime"),
        ([None, NOLEAP], "it has missing dates of cftime"),
        ([NOLEAP, "2000"], "it has other values beside dates of cftime"),
        ([NOLEAP, OTHER], "it has dates of the calendars 360_day, noleap; bring them to one"),
    ],
)
def test_dates_of_cftime_that_have_no_numbers_are_refused(
    dates: list[Any], why: str, write: str, tmp_path: Path
) -> None:
    with pytest.raises(NexusError, match=f"n: {why}"):
        getattr(of_values(np.array(dates, object)).nexus, write)(tmp_path / "never.nxs")
    assert not list(tmp_path.iterdir())


def test_arrays_of_other_libraries_go_into_a_region(tmp_path: Path) -> None:
    written(of_values(np.array(["a", "b"], "T")), tmp_path)
    for values in (np.array(["long", "é"], "T"), pd.array(["c", "d"], dtype="string")):
        of_values(values).nexus.to_nexus(tmp_path / "out.nxs", region={"x": slice(0, 2)})
        assert xr.open_dataset(tmp_path / "out.nxs", engine="nexus").n.values.tolist() == list(values)


# --- quantities of pint-xarray in the accessor ---------------------------------------------------------------------


def histogram_of_lengths(path: Path) -> xr.Dataset:
    """Lengths in m along times in us, with uncertainties, opened from a file."""
    tof = xr.Variable("tof", [5.0, 15.0, 30.0, 70.0], {"units": "us"})
    lengths = xr.DataArray([4.0, 9.0, 16.0, 25.0], {"tof": tof}, name="n", attrs={"units": "m"})
    lengths = lengths.nexus.assign_edges(tof=[0.0, 10.0, 20.0, 40.0, 100.0])
    lengths.nexus.with_uncertainties(np.sqrt(lengths)).nexus.to_nexus(path)
    return xr.open_dataset(path, engine="nexus").load()


def quantified(obj: Any, **to: Any) -> Any:
    return obj.pint.quantify().pint.to({name: units.Unit(unit) for name, unit in to.items()})


@pytest.mark.parametrize("as_array", [False, True])
def test_what_is_quantified_is_rebinned_with_its_units_and_edges(as_array: bool, tmp_path: Path) -> None:
    opened = histogram_of_lengths(tmp_path / "a.nxs")
    plain = opened.n if as_array else opened
    assert plain.pint.quantify().nexus.edges("tof").tolist() == [0, 10, 20, 40, 100]
    expected, rebinned = plain.nexus.rebin(tof=2), plain.pint.quantify().nexus.rebin(tof=2)
    np.testing.assert_array_equal(rebinned.tof, expected.tof)
    np.testing.assert_array_equal(rebinned.nexus.edges("tof"), [0, 20, 100])
    of_lengths = rebinned if as_array else rebinned.n
    assert (of_lengths.values.tolist(), of_lengths.attrs["units"], rebinned.tof.attrs["units"]) == ([13, 41], "m", "µs")


@pytest.mark.parametrize("chunks", [None, 2])
def test_what_is_quantified_is_joined_in_its_units(chunks: int | None, tmp_path: Path) -> None:
    opened = histogram_of_lengths(tmp_path / "a.nxs")
    in_mm = quantified(opened if chunks is None else opened.chunk(tof=chunks), n="mm", n_errors="mm")
    joined = in_mm.nexus.with_uncertainties().n
    assert joined.attrs["units"] == joined.nexus.errors.attrs["units"] == "mm"
    np.testing.assert_array_equal(joined.nexus.errors, [2000, 3000, 4000, 5000])
    assert isinstance(joined.xindexes["tof"], type(opened.xindexes["tof"]))


@pytest.mark.parametrize("as_array", [False, True])
def test_what_is_quantified_is_written_with_its_edges(as_array: bool, tmp_path: Path) -> None:
    opened = histogram_of_lengths(tmp_path / "a.nxs")
    quantity = opened.n.pint.quantify() if as_array else opened.pint.quantify()
    back = written(quantity, tmp_path)
    assert back.nexus.edges("tof").tolist() == opened.nexus.edges("tof").tolist()
    quantity.nexus.to_json(tmp_path / "a.json")
    quantity.nexus.to_netcdf(tmp_path / "a.nc")
    for each in (nexus_xr.read_json(tmp_path / "a.json"), nexus_xr.unflat(xr.open_dataset(tmp_path / "a.nc"))):
        assert each.nexus.edges("tof").tolist() == opened.nexus.edges("tof").tolist()
        assert each.tof.attrs["units"] == "µs"
    pytest.importorskip("matplotlib").use("Agg")
    quantity.nexus.plot()


def test_a_tree_of_quantities_is_written_with_its_edges(tmp_path: Path) -> None:
    opened = histogram_of_lengths(tmp_path / "a.nxs")
    tree = xr.DataTree.from_dict({"/scan": quantified(opened, n="mm", n_errors="mm")})
    tree.nexus.to_nexus(tmp_path / "out.nxs")
    back = xr.open_datatree(tmp_path / "out.nxs", engine="nexus")["scan"].to_dataset()
    assert (back.n.attrs["units"], back.n.values.tolist()) == ("mm", [4000, 9000, 16000, 25000])
    assert back.nexus.edges("tof").tolist() == opened.nexus.edges("tof").tolist()


def test_a_region_along_an_axis_of_quantities_is_written(tmp_path: Path) -> None:
    plain = xr.DataArray(
        np.zeros(4), {"t": ("t", [0.0, 1.0, 2.0, 3.0], {"units": "s"})}, name="n", attrs={"units": "m"}
    )
    plain.nexus.to_nexus(tmp_path / "a.nxs")
    (plain[:2] + 1).assign_attrs(plain.attrs).pint.quantify().nexus.to_nexus(
        tmp_path / "a.nxs", region={"t": slice(0, 2)}
    )
    assert xr.open_dataset(tmp_path / "a.nxs", engine="nexus").n.values.tolist() == [1, 1, 0, 0]


def test_a_writer_takes_blocks_of_quantities(tmp_path: Path) -> None:
    block = xr.DataArray([1.0], {"t": ("t", [0.0], {"units": "s"})}, name="n", attrs={"units": "m"})
    with nexus_xr.NexusWriter(tmp_path / "a.nxs", block) as writer:
        writer.append(block.assign_coords(t=block.t + 1).assign_attrs(block.attrs).pint.quantify())
    assert xr.open_dataset(tmp_path / "a.nxs", engine="nexus").n.values.tolist() == [1, 1]


@pytest.mark.parametrize("as_array", [False, True])
@pytest.mark.parametrize("chunks", [None, 1])
def test_quantities_are_written_in_place_with_their_units(chunks: int | None, as_array: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    x = ("x", [0.0, 1.0], {"units": "s"})
    xr.DataArray([1.0, 2.0], {"x": x}, name="n", attrs={"units": "m"}).nexus.to_nexus(path)
    opened = xr.open_dataset(path, engine="nexus").load()
    quantity = quantified(opened if chunks is None else opened.chunk(x=chunks), n="mm", x="ms")
    (quantity.n if as_array else quantity).nexus.to_nexus(path, layout="inplace")
    back = xr.open_dataset(path, engine="nexus").load()
    assert (back.n.attrs["units"], back.n.values.tolist()) == ("mm", [1000, 2000])
    assert (back.x.attrs["units"], back.x.values.tolist()) == ("ms", [0, 1000])


def test_joined_quantities_are_written_in_place_with_their_units(tmp_path: Path) -> None:
    opened = histogram_of_lengths(tmp_path / "a.nxs")
    quantified(opened.nexus.with_uncertainties(), n="mm").nexus.to_nexus(tmp_path / "a.nxs", layout="inplace")
    back = xr.open_dataset(tmp_path / "a.nxs", engine="nexus").load()
    assert back.n.attrs["units"] == back.n_errors.attrs["units"] == "mm"
    np.testing.assert_allclose(back.n_errors, [2000, 3000, 4000, 5000])


@pytest.mark.parametrize("length", [units.Quantity(5000.0, "mm"), units.Quantity(5.0, "mm")])
def test_quantities_among_the_metadata_are_written_in_place_with_their_units(length: Any, tmp_path: Path) -> None:
    of_metadata({"value": 5.0, "attrs": {"units": "m"}}).nexus.to_nexus(tmp_path / "a.nxs")
    opened = xr.open_dataset(tmp_path / "a.nxs", engine="nexus").load()
    opened.attrs["sample"]["value_of"] = length
    opened.nexus.to_nexus(tmp_path / "a.nxs", layout="inplace")
    back = xr.open_dataset(tmp_path / "a.nxs", engine="nexus").attrs["sample"]["value_of"]
    assert (float(back["value"]), back["attrs"]["units"]) == (length.magnitude, "mm")


def test_quantities_whose_attributes_say_other_units_are_refused_in_place(tmp_path: Path) -> None:
    opened = histogram_of_lengths(tmp_path / "a.nxs")
    before = (tmp_path / "a.nxs").read_bytes()
    quantity = quantified(opened, n="mm")
    untrue = quantity.assign(n=quantity.n.assign_attrs(units="m"))
    with pytest.raises(NexusError, match="n: it is a quantity in mm, with 'm' as its units beside it"):
        untrue.nexus.to_nexus(tmp_path / "a.nxs", layout="inplace")
    assert (tmp_path / "a.nxs").read_bytes() == before


# --- quantities and units of others ----------------------------------------------------------------------------------


def test_uncertainties_that_are_quantities_are_converted_to_the_units_of_their_values() -> None:
    lengths = xr.DataArray([4.0, 9.0], dims="x", name="n", attrs={"units": "m"})
    quantity = units.Quantity(np.array([2000.0, 3000.0]), "mm")
    for given in (quantity, xr.DataArray(quantity, dims="x"), units.Quantity(np.array([2.0, 3.0]), "meter")):
        for joined in (
            lengths.nexus.with_uncertainties(given),
            lengths.pint.quantify().nexus.with_uncertainties(given),
            lengths.nexus.assign_errors(given).nexus.with_uncertainties(),
        ):
            assert joined.nexus.errors.values.tolist() == [2, 3]
            assert joined.nexus.errors.attrs["units"] == "m"


@pytest.mark.parametrize(("own", "other"), [("m", "s"), ("counts per m", "count"), ("degC", "kelvin")])
def test_uncertainties_that_are_quantities_of_other_kinds_are_refused(own: str, other: str) -> None:
    values = xr.DataArray([4.0, 9.0], dims="x", name="n", attrs={"units": own})
    with pytest.raises(NexusError, match=f"uncertainties for 'n' are in '.*', not in '{own}'"):
        values.nexus.with_uncertainties(units.Quantity(np.array([2.0, 3.0]), other))


def test_edges_that_are_quantities_are_converted_to_the_units_of_their_coordinate() -> None:
    counts = xr.DataArray([1, 2], {"t": ("t", [0.5, 1.5], {"units": "us"})}, name="n")
    for given in (units.Quantity([0, 1000, 2000], "ns"), xr.DataArray(units.Quantity([0, 1, 2], "us"), dims="edge")):
        edged = counts.nexus.assign_edges(t=given)
        assert (edged.nexus.edges("t").tolist(), edged.t.attrs) == ([0, 1, 2], {"units": "us"})
    warm = xr.DataArray([1], {"t": ("t", [20.0], {"units": "degC"})}, name="n")
    np.testing.assert_allclose(warm.nexus.assign_edges(t=units.Quantity([283.15, 303.15], "K")).t, [20])
    assert counts.drop_vars("t").nexus.assign_edges(t=units.Quantity([0, 1, 2], "ns")).t.attrs == {"units": "ns"}
    with pytest.raises(NexusError, match="edges of 't' are in 'm', not in 'us'"):
        counts.nexus.assign_edges(t=units.Quantity([0, 1, 2], "m"))


@pytest.mark.parametrize("as_array", [False, True])
def test_uncertainties_left_behind_in_units_that_they_dont_say_are_told_in_these(
    as_array: bool, tmp_path: Path
) -> None:
    lengths = xr.DataArray([4.0, 9.0], dims="x", name="n", attrs={"units": "meter"})
    lengths.nexus.with_uncertainties([2.0, 3.0]).nexus.to_nexus(tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs", "r+") as file:
        del file["entry1/n/n_errors"].attrs["units"]
    dataset, signals = xr.open_dataset(tmp_path / "a.nxs", engine="nexus"), nexus_xr.open_signals(tmp_path / "a.nxs")
    opened: Any = (signals[0] if as_array else dataset).load()
    same = opened.pint.quantify().nexus.with_uncertainties()
    assert (same if as_array else same.n).nexus.errors.values.tolist() == [2, 3]
    in_mm = quantified(opened, n="mm")
    with pytest.raises(NexusError, match="'n_errors' is in 'meter', and 'n' in 'mm'"):
        in_mm.nexus.with_uncertainties()
    in_mm.nexus.to_nexus(tmp_path / "out.nxs")
    back = xr.open_dataset(tmp_path / "out.nxs", engine="nexus")
    assert (back.n.attrs["units"], back.n_errors.attrs["units"]) == ("mm", "meter")
    assert (back.n.values.tolist(), back.n_errors.values.tolist()) == ([4000, 9000], [2, 3])
