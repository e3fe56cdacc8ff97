"""What other libraries make of arrays and metadata can be written, with its units, calendars and missing values."""

from __future__ import annotations

import datetime as dt
import io
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

from nexus_xr import NexusError, NexusFileError
from nexus_xr.nexus.tree.metadata import MetadataField

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


@pytest.mark.parametrize("value", [[[], ["a"]], [[1], [[2]]], [1, [2]], [[1], ["a", "b"]]], ids=str)
def test_other_lists_of_several_lengths_are_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(NexusError, match="several lengths"):
        of_metadata(value).nexus.to_nexus(tmp_path / "never.nxs")


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
