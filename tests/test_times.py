"""Times become dates on request, whatever way the file tells them in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError

from .files import Field, nxdata, nxentry

Write = Callable[..., Path]


def scan(write: Write, time: Any, **attributes: Any) -> Path:
    fields = {"n": np.arange(4.0), "time": Field(time, attributes) if attributes else time}
    return write({"entry": nxentry({"data": nxdata(fields, signal="n", axes=["time"])})})


def dates(*moments: str) -> np.ndarray[Any, Any]:
    return np.array(moments, "M8[ns]")


SECONDS = dates("2020-01-01T00:00:00", "2020-01-01T00:00:01", "2020-01-01T00:00:02", "2020-01-01T00:00:04")
NUMBERS = np.array([0, 1, 2, 4])


@pytest.mark.parametrize(
    ("time", "attributes", "expected"),
    [
        (NUMBERS, {"units": "seconds since 2020-01-01"}, SECONDS),
        (NUMBERS.astype("f4"), {"units": "s since 2020-01-01T00:00:00"}, SECONDS),
        (NUMBERS * 1000.0, {"units": "ms", "start": "2020-01-01T00:00:00"}, SECONDS),
        (NUMBERS, {"units": "second", "start": "2020-01-01T01:00:00+01:00"}, SECONDS),
        (NUMBERS.astype(">u2"), {"units": "s", "start": "2020-01-01 00:00:00Z"}, SECONDS),
        (NUMBERS * 0.25, {"units": "s", "start": "2020-01-01"}, SECONDS[0] + NUMBERS * np.timedelta64(250, "ms")),
        (NUMBERS, {"units": "days since 2020-01-01"}, dates("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-05")),
        ([f"2020-01-01T00:00:0{number}" for number in NUMBERS], {}, SECONDS),
        ([f"2020-01-01T02:00:0{number}+02:00" for number in NUMBERS], {}, SECONDS),
        ([f"2020-01-01 00:00:0{number}.0Z" for number in NUMBERS], {}, SECONDS),
    ],
)
def test_times_are_dates_on_request(time: Any, attributes: dict[str, Any], expected: Any, write: Write) -> None:
    path = scan(write, time, **attributes, long_name="when")
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    np.testing.assert_array_equal(opened.time.values, expected)
    assert opened.time.attrs == {"long_name": "when"}
    assert opened.n.sel(time=expected[1]).item() == 1
    assert opened.n.resample(time="1D").sum().sum().item() == 6
    plain = xr.open_dataset(path, engine="nexus")
    assert plain.time.dtype.kind not in "mM"
    assert plain.time.attrs == {**attributes, "long_name": "when"}


@pytest.mark.parametrize(
    ("time", "attributes"),
    [
        (NUMBERS, {"units": "s"}),
        (NUMBERS, {"start": "2020-01-01"}),
        (NUMBERS, {"units": "m", "start": "2020-01-01"}),
        (NUMBERS, {"units": "seconds since yesterday"}),
        (NUMBERS, {"units": "seconds since 2020-13-01"}),
        (np.array([1e300] * 4), {"units": "seconds since 2020-01-01"}),
        (["2020-01-01", "2020-01-02", "2020-01-03", "later"], {}),
        (["2020-01-01T00:00:00Z", "2020-01-02T00:00:00", "2020-01-03", "2020-01-04"], {}),
        (["2020-01-01", "2020-02-31", "2020-01-03", "2020-01-04"], {}),
        (["1", "2", "3", "4"], {}),
    ],
)
def test_what_is_no_date_stays_as_it_is(time: Any, attributes: dict[str, Any], write: Write) -> None:
    path = scan(write, time, **attributes)
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert opened.identical(xr.open_dataset(path, engine="nexus"))


def test_every_way_of_opening_makes_dates(write: Write) -> None:
    path = scan(write, NUMBERS, units="seconds since 2020-01-01")
    tree = xr.open_datatree(path, engine="nexus", decode_times=True)
    np.testing.assert_array_equal(tree["entry/data/time"], SECONDS)
    [signal] = nexus_xr.open_signals(path, nxdata_only=True, decode_times=True)
    np.testing.assert_array_equal(signal.time, SECONDS)
    np.testing.assert_array_equal(signal.nexus.refresh().time, SECONDS)


def test_data_of_times_stays_lazy(write: Write) -> None:
    fields = {"when": Field(NUMBERS, {"units": "seconds since 2020-01-01"}, chunks=(2,)), "text": ["2020-01-01"] * 4}
    path = write({"entry": nxentry({"data": nxdata(fields, signal="when", auxiliary_signals=["text"])})})
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert not opened.when.variable._in_memory
    assert opened.text.dtype.kind == "O"  # data is what it is
    np.testing.assert_array_equal(opened.when, SECONDS)
    chunked = xr.open_dataset(path, engine="nexus", decode_times=True, chunks={"dim_0": 4})
    np.testing.assert_array_equal(chunked.when.max(), SECONDS[-1])


@pytest.mark.parametrize(
    ("time", "attributes"),
    [
        (NUMBERS, {"units": "seconds since 2020-01-01"}),
        (NUMBERS, {"units": "s", "start": "2020-01-01T00:00:00"}),
        ([f"2020-01-01T00:00:0{number}" for number in NUMBERS], {}),
    ],
)
def test_dates_are_written_back(time: Any, attributes: dict[str, Any], write: Write, tmp_path: Path) -> None:
    path = scan(write, time, **attributes)
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    opened.nexus.to_nexus(tmp_path / "entry.nxs")
    back = xr.open_dataset(tmp_path / "entry.nxs", engine="nexus")
    np.testing.assert_array_equal(back.time, SECONDS)
    opened.nexus.to_nexus(tmp_path / "inplace.nxs", layout="inplace")
    with h5py.File(path) as before, h5py.File(tmp_path / "inplace.nxs") as after:
        np.testing.assert_array_equal(after["entry/data/time"][()], before["entry/data/time"][()])
        assert dict(after["entry/data/time"].attrs) == dict(before["entry/data/time"].attrs)
    later = opened.assign_coords(time=opened.time + np.timedelta64(1, "D"))
    with pytest.raises(NexusError, match="decode_times=False to change them"):
        later.nexus.to_nexus(tmp_path / "later.nxs", layout="inplace")
