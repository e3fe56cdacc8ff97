"""Times become dates on request, whatever way the file tells them in."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusError, NexusWarning
from nexus_xr.opening.times import clock_attributes, dates_of

from .files import Field, Write, nxdata, nxentry


def scan(write: Write, time: Any, **attributes: Any) -> Path:
    fields = {"n": np.arange(4.0), "time": Field(time, attributes) if attributes else time}
    return write({"entry": nxentry({"data": nxdata(fields, signal="n", axes=["time"])})})


def dates(*moments: str) -> np.ndarray[Any, Any]:
    return np.array(moments, "M8[ns]")


SECONDS = dates("2020-01-01T00:00:00", "2020-01-01T00:00:01", "2020-01-01T00:00:02", "2020-01-01T00:00:04")
NUMBERS = np.array([0, 1, 2, 4])
NUMBERS_OF_EDGES = np.array([0, 100, 200, 230, 260]) * 365


@pytest.mark.parametrize(
    ("time", "attributes", "expected"),
    [
        (NUMBERS, {"units": "seconds since 2020-01-01"}, SECONDS),
        (NUMBERS.astype("f4"), {"units": "s since 2020-01-01T00:00:00"}, SECONDS),
        (NUMBERS * 1000.0, {"units": "ms", "start": "2020-01-01T00:00:00"}, SECONDS),
        (NUMBERS * 1000, {"units": "s", "start": "2020-01-01T00:00:00", "scaling_factor": 0.001}, SECONDS),
        (NUMBERS, {"units": "ms", "start": "2020-01-01", "scaling_factor": np.array([1000.0], "f4")}, SECONDS),
        (NUMBERS, {"units": "s", "start": "2020-01-01", "scaling_factor": 1}, SECONDS),
        (NUMBERS, {"units": "second", "start": "2020-01-01T01:00:00+01:00"}, SECONDS),
        (NUMBERS.astype(">u2"), {"units": "s", "start": "2020-01-01 00:00:00Z"}, SECONDS),
        (NUMBERS * 0.25, {"units": "s", "start": "2020-01-01"}, SECONDS[0] + NUMBERS * np.timedelta64(250, "ms")),
        (NUMBERS, {"units": "days since 2020-01-01"}, dates("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-05")),
        ([f"2020-01-01T00:00:0{number}" for number in NUMBERS], {}, SECONDS),
        ([f"2020-01-01T02:00:0{number}+02:00" for number in NUMBERS], {}, SECONDS),
        ([f"2020-01-01 00:00:0{number}.0Z" for number in NUMBERS], {}, SECONDS),
        ([f"2020-01-01T00:00:0{number},0" for number in NUMBERS], {}, SECONDS),
        ([f"20200101T00000{number}" for number in NUMBERS], {}, SECONDS),
        ([f"20200101T02000{number}.0+0200" for number in NUMBERS], {}, SECONDS),
        ([f"2020-01-01T0{number}" for number in NUMBERS], {}, SECONDS[0] + NUMBERS * np.timedelta64(1, "h")),
        (NUMBERS, {"units": "s", "start": "20200101T00"}, SECONDS),
        (NUMBERS, {"units": "s", "start": "2020-01-01 05:30:00 +0530"}, SECONDS),
        (NUMBERS, {"units": "s since 2020-01-01 05:30:00 +05:30"}, SECONDS),
        ([f"2020-01-01 02:00:0{number} +0200" for number in NUMBERS], {}, SECONDS),
        (NUMBERS * 10, {"units": "100ms", "start": "2020-01-01"}, SECONDS),
        (NUMBERS * 10, {"units": "0.1 s", "start": "2020-01-01"}, SECONDS),
        (NUMBERS, {"units": "10ms", "start": "2020-01-01", "scaling_factor": 100}, SECONDS),
        (NUMBERS * 10**8, {"units": "10ns since 2020-01-01"}, SECONDS),
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


TICKS = np.array([0, 1, 2**53 + 1])


@pytest.mark.parametrize(
    ("time", "units", "factor", "nanoseconds"),
    [
        (NUMBERS, "ms", 10.0, NUMBERS * 10**7),
        (NUMBERS, "s", 0.5, NUMBERS * 5 * 10**8),
        (NUMBERS, "s", float(np.float32(0.001)), NUMBERS * 10**6),
        (NUMBERS, "s", 1.000001, NUMBERS * 1000001000),
        (NUMBERS * 0.25, "s", 2, NUMBERS * 5 * 10**8),
        (NUMBERS.astype("u1"), "us", np.float32(0.1), NUMBERS * 100),
        (TICKS, "ns", 10, TICKS * 10),
        (TICKS.astype("u8"), "ns", 12.5, np.array([0, 13, 25 * (2**53 + 1) // 2 + 1])),
        (TICKS, "ns", 0.5, np.array([0, 1, 2**52 + 1])),
    ],
)
@pytest.mark.parametrize("is_coordinate", [True, False])
def test_ticks_of_a_clock_are_so_many_times_their_unit(
    time: Any, units: str, factor: Any, nanoseconds: Any, is_coordinate: bool, write: Write
) -> None:
    stored = Field(time, {"units": units, "start": "2020-01-01T00:00:00", "scaling_factor": factor})
    data = nxdata({"time": stored, "n": np.arange(len(time))}, signal="n" if is_coordinate else "time")
    path = write({"entry": nxentry({"data": {**data, "@axes": "time" if is_coordinate else "."}})})
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert ("time" in opened.coords) == is_coordinate
    assert opened.time.attrs == {}
    np.testing.assert_array_equal(opened.time[1].values, SECONDS[0] + nanoseconds[1].astype("m8[ns]"))
    np.testing.assert_array_equal(opened.time.values, SECONDS[0] + nanoseconds.astype("m8[ns]"))


def test_pulses_are_dates_by_their_offset(write: Write) -> None:
    events = {
        "@NX_class": "NXevent_data",
        "event_id": np.arange(6),
        "event_time_zero": Field(NUMBERS, {"units": "s", "offset": "2020-01-01T01:00:00+01:00"}),
    }
    path = write({"entry": nxentry({"events": events})})
    opened = xr.open_dataset(path, engine="nexus", dataset_path="/entry/events", decode_times=True)
    np.testing.assert_array_equal(opened.event_time_zero, SECONDS)
    assert opened.event_time_zero.attrs == {}
    plain = xr.open_dataset(path, engine="nexus", dataset_path="/entry/events")
    assert plain.event_time_zero.attrs.keys() == {"units", "offset"}


@pytest.mark.parametrize(
    ("clock", "own", "expected"),
    [
        ({"units": "s", "start": "2020-01-01"}, {}, {"units": "s"}),
        ({"units": "ms since 2020-01-01"}, {}, {"units": "ms"}),
        (
            {"units": "s", "start": "2020-01-01", "scaling_factor": 0.1},
            {"long_name": "jitter"},
            {"long_name": "jitter", "units": "s", "scaling_factor": 0.1},
        ),
        ({"units": "s", "start": "2020-01-01"}, {"units": "ms"}, {"units": "ms"}),
        ({"units": "s"}, {}, {}),
    ],
)
def test_uncertainties_of_dates_say_what_they_count(
    clock: dict[str, Any], own: dict[str, Any], expected: dict[str, Any], write: Write
) -> None:
    fields = {"n": np.arange(4.0), "time": Field(NUMBERS, clock), "time_errors": Field(np.full(4, 0.5), own)}
    path = write({"entry": nxentry({"data": nxdata(fields, signal="n", axes=["time"])})})
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert opened.time_errors.attrs == expected
    assert opened.time_errors.values.tolist() == [0.5] * 4
    assert xr.open_dataset(path, engine="nexus").time_errors.attrs == own


@pytest.mark.parametrize(
    ("time", "attributes", "said"),
    [
        (NUMBERS, {"units": "s"}, None),
        (NUMBERS, {"start": "2020-01-01"}, "units '' are none of time"),
        (NUMBERS, {"units": "m", "start": "2020-01-01"}, "units 'm' are none of time"),
        (NUMBERS, {"units": "0 s", "start": "2020-01-01"}, "units '0 s' are none of time"),
        (NUMBERS, {"units": "seconds since yesterday"}, "units 'yesterday' tells no moment"),
        (NUMBERS, {"units": "seconds since 2020-13-01"}, "there is no date for all of them in 'seconds' since"),
        (NUMBERS, {"units": "seconds since 2020-1-32"}, "there is no date"),
        (NUMBERS, {"units": "seconds since 01/02/2003"}, "tells no moment"),
        (NUMBERS, {"units": "seconds since 2020-01-01 00:00:00 CET"}, "tells no moment"),
        (NUMBERS, {"units": "metres since the beginning"}, None),
        (NUMBERS, {"units": "s", "start": "2020-1-1"}, "start '2020-1-1' tells no moment as ISO 8601 does"),
        (NUMBERS, {"units": "s", "start": "2016-12-31T23:59:60Z"}, "there is no date"),
        (np.array([1e300] * 4), {"units": "seconds since 2020-01-01"}, "there is no date"),
        (np.array([0, 1, 2, 2**63], "u8"), {"units": "ns", "start": "1970-01-01"}, "there is no date"),
        (["2020-01-01", "2020-01-02", "2020-01-03", "later"], {}, None),
        (["2020-01-01T00:00:00Z", "2020-01-02T00:00:00", "2020-01-03", "2020-01-04"], {}, None),
        (["2020-01-01", "2020-02-31", "2020-01-03", "2020-01-04"], {}, None),
        (["1", "2", "3", "4"], {}, None),
        (["20200101", "20200102", "20200103", "20200104"], {}, None),
        (NUMBERS, {"units": "s", "start": "2020-01-01", "scaling_factor": 0.0}, "scaling_factor .* above zero"),
        (NUMBERS, {"units": "s", "start": "2020-01-01", "scaling_factor": -1.0}, "scaling_factor .* above zero"),
        (NUMBERS, {"units": "s", "start": 1577836800}, "start 1577836800 is no text that tells a moment"),
        (NUMBERS, {"units": "m", "start": 1577836800}, None),
        (NUMBERS, {"units": "s", "start": ""}, None),
        (NUMBERS, {"units": "s", "offset": "1.5"}, None),
        (NUMBERS, {"units": "s", "offset": 1.5}, None),
        (NUMBERS + 2**62, {"units": "s", "start": "2020-01-01", "scaling_factor": 10}, "there is no date"),
        (NUMBERS, {"units": "s", "start": "2020-01-01", "scaling_factor": "0.001"}, "scaling_factor .*0.001"),
        (NUMBERS, {"units": "s", "start": "2020-01-01", "scaling_factor": [1.0, 1.0]}, "scaling_factor"),
        (NUMBERS, {"units": "ticks", "start": "2020-01-01", "scaling_factor": 1.0}, "units 'ticks' are none of time"),
    ],
)
def test_what_is_no_date_stays_as_it_is_which_is_told_of_times(
    time: Any, attributes: dict[str, Any], said: str | None, write: Write
) -> None:
    path = scan(write, time, **attributes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    told = [each.message for each in caught if isinstance(each.message, NexusWarning)]
    assert [(each.code, each.path) for each in (told[0].diagnostics if told else ())] == (
        [] if said is None else [("times-not-decoded", "/entry/data/time")]
    )
    assert said is None or re.search(f"stays numbers: .*{said}", str(told[0]))
    assert opened.identical(xr.open_dataset(path, engine="nexus"))


@pytest.mark.parametrize(
    ("units", "factor"),
    [
        ("1e999999999s", None),
        ("1e-999999999 s", None),
        ("1e300s", None),
        ("1e-5000 s", None),
        ("1e99 days", None),
        ("1e-99 ns", None),
        ("1" * 5000 + "s", None),
        ("0." + "1" * 5000 + " s", None),
        ("\u0663 s", None),
        ("1000000000000000000000s", None),
        ("1000000000000 Gs", None),
        ("1e21 s", None),
        ("0.9e-30 ns", None),
        ("s", 1e21),
        ("ns", 9e-31),
        ("ns", 5e-324),
        ("ns", np.longdouble("1e4000")),
        ("ns", np.inf),
        ("ns", np.nan),
        ("ns", "1e999999999"),
    ],
)
@pytest.mark.parametrize("since", ["start", "units"])
def test_units_that_no_clock_counts_in_are_told_of(units: str, factor: Any, since: str, write: Write) -> None:
    told = {"units": units, "start": "2020-01-01"} if since == "start" else {"units": f"{units} since 2020-01-01"}
    path = scan(write, NUMBERS, **told, **({} if factor is None else {"scaling_factor": factor}))
    said = "stays numbers: (units .* are none of time|scaling_factor .* that a clock of)"
    with pytest.warns(NexusWarning, match=said):
        opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    np.testing.assert_array_equal(opened.time, NUMBERS)
    assert nexus_xr.open_mfdataset([path], concat_dim="run").sizes["run"] == 1


@pytest.mark.parametrize(
    ("units", "factor", "nanoseconds"),
    [
        ("9.9e20 s", 1e-20, 99 * 10**8),
        ("1.1e-30 ns", 1e30, 1),
        ("s", 1e-9, 1),
        ("1" + "0" * 17 + ".000000000000000000 ns", 1, 10**17),
        ("0.000000000000000001s", 1e18, 10**9),
        ("1e20 ns", 1e-20, 1),
    ],
)
def test_units_within_the_bounds_of_clocks_count(units: str, factor: Any, nanoseconds: int, write: Write) -> None:
    path = scan(write, NUMBERS, units=units, start="2020-01-01", scaling_factor=factor)
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    np.testing.assert_array_equal(opened.time.values, SECONDS[0] + NUMBERS * np.timedelta64(nanoseconds, "ns"))


@given(
    number=st.from_regex(r"[0-9\u0663]{0,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{0,12})?", fullmatch=True),
    unit=st.sampled_from(["ns", "s", "days", " min"]),
    factor=st.floats() | st.integers(0, 2**64 - 1) | st.text(),
    moment=st.from_regex(r"[0-9]{1,5}-[0-9]{1,3}-[0-9]{1,3}([T ][0-9:.]{0,30}( ?[Z+-][0-9:]{0,6})?)?", fullmatch=True),
    since=st.sampled_from(["start", "offset", "units"]),
)
@pytest.mark.filterwarnings("ignore:Unable to decode time axis")
def test_what_attributes_say_of_a_clock_is_dates_or_nothing(
    number: str, unit: str, factor: Any, moment: str, since: str
) -> None:
    units = f"{number}{unit}"
    told = {"units": f"{units} since {moment}"} if since == "units" else {"units": units, since: moment}
    times = xr.Variable("time", NUMBERS, {**told, "scaling_factor": factor})
    dates = dates_of(times, True)
    assert dates is None or dates.dtype.kind in "MO"
    assert clock_attributes(times.attrs).keys() <= {since, "scaling_factor"}


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2000-1-1", "2000-01-01T00:00:00"),
        ("2000-1-1 0:0:0", "2000-01-01T00:00:00"),
        ("2000-01-01 6", "2000-01-01T06:00:00"),
        ("2000-01-01 00:00:00.5 UTC", "2000-01-01T00:00:00.5"),
        ("2000-01-01T00:00 gmt", "2000-01-01T00:00:00"),
        ("2000-01-01 00:00:00 Z", "2000-01-01T00:00:00"),
        ("2000-01-01 00:00:00 +05:30", "1999-12-31T18:30:00"),
        ("2000-01-01 00:00:00 +530", "1999-12-31T18:30:00"),
        ("2000-01-01 00:00:00 -6:00", "2000-01-01T06:00:00"),
        ("2000-01-01 12:30 -6", "2000-01-01T18:30:00"),
    ],
)
def test_reference_times_of_cf_are_moments(moment: str, expected: str, write: Write) -> None:
    path = scan(write, NUMBERS, units=f"seconds since {moment}")
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    np.testing.assert_array_equal(opened.time.values, np.datetime64(expected, "ns") + NUMBERS.astype("m8[s]"))


@pytest.mark.filterwarnings("ignore:Unable to decode time axis")
def test_zones_of_dates_before_the_gregorian_calendar_count(write: Write) -> None:
    path = scan(write, NUMBERS, units="hours since 1500-01-01 00:00:00 -6:00")
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert [each.hour for each in opened.time.values] == [6, 7, 8, 10]


@pytest.mark.parametrize(
    "time",
    [
        ["1500-01-01", "2020-01-01T00:00:00.5", "2020-01-02", "9999-12-31T23:59:59"],
        ["1677-09-21T00:12:43.145224", "1677-09-22", "1678-01-01", "1679-01-01"],
        ["2262-04-11", "2262-04-11T23:47:16.854775", "2262-04-11T23:47:16.854776", "2262-04-12"],
    ],
)
def test_text_beyond_the_years_of_nanoseconds_is_dates_of_a_coarser_unit(time: list[str], write: Write) -> None:
    opened = xr.open_dataset(scan(write, time), engine="nexus", decode_times=True)
    np.testing.assert_array_equal(opened.time.values, np.array(time, "M8[us]"))
    assert opened.n.sel(time=np.datetime64(time[1])).item() == 1


def test_text_within_the_years_of_nanoseconds_is_dates_in_these(write: Write) -> None:
    path = scan(write, ["1677-09-22", "2000-01-01", "2020-01-01T00:00:00.5", "2262-04-11T23:47:16.854775"])
    assert xr.open_dataset(path, engine="nexus", decode_times=True).time.dtype == "M8[ns]"


def test_text_that_no_unit_of_dates_holds_stays_text(write: Write) -> None:
    path = scan(write, ["1500-01-01", "2020-01-01T00:00:00.123456789", "2020-01-02", "2020-01-03"])
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


def test_times_of_which_some_are_unknown_stay_as_they_are_in_place(write: Write, tmp_path: Path) -> None:
    path = scan(write, [0, np.nan, 2, 4], units="s", start="2020-01-01T00:00:00")
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert np.isnat(opened.time.values).tolist() == [False, True, False, False]
    opened.assign(n=opened.n * 2).nexus.to_nexus(tmp_path / "inplace.nxs", layout="inplace")
    with h5py.File(tmp_path / "inplace.nxs") as file:
        np.testing.assert_array_equal(file["entry/data/time"][()], [0, np.nan, 2, 4])
        assert file["entry/data/n"][()].tolist() == [0, 2, 4, 6]
    known = opened.assign_coords(time=opened.time.fillna(opened.time[0]))
    with pytest.raises(NexusError, match="decode_times=False to change them"):
        known.nexus.to_nexus(tmp_path / "later.nxs", layout="inplace")


# --- edges -----------------------------------------------------------------------------------------------------

EDGES = np.array([0, 1, 2, 4, 7])
OF_DATES = SECONDS[0] + EDGES * np.timedelta64(1, "s")


@pytest.mark.parametrize(
    ("time", "attributes", "expected"),
    [
        (EDGES, {"units": "seconds since 2020-01-01"}, OF_DATES),
        (EDGES.astype(">f4"), {"units": "s", "start": "2020-01-01T00:00:00"}, OF_DATES),
        (EDGES / 4, {"units": "ms since 2020-01-01"}, SECONDS[0] + EDGES * np.timedelta64(250, "us")),
        (EDGES * 4, {"units": "s", "start": "2020-01-01", "scaling_factor": 0.25}, OF_DATES),
    ],
)
@pytest.mark.parametrize("edges", ["index", "bounds"])
@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_edges_of_times_are_edges_of_dates(
    edges: str, time: Any, attributes: dict[str, Any], expected: Any, write: Write, tmp_path: Path
) -> None:
    path = scan(write, time, **attributes)
    opened = xr.open_dataset(path, engine="nexus", decode_times=True, edges=edges)
    np.testing.assert_array_equal(opened.time_bounds, np.stack([expected[:-1], expected[1:]], axis=-1))
    np.testing.assert_array_equal(opened.time, expected[:-1] + np.diff(expected) / 2)
    assert isinstance(opened.xindexes["time"], nexus_xr.EdgesIndex) == (edges == "index")
    assert opened.time_bounds.attrs == {}
    opened.nexus.to_nexus(tmp_path / "entry.nxs")
    with h5py.File(tmp_path / "entry.nxs") as file:
        np.testing.assert_array_equal(file["entry1/n/time"][()].view("M8[ns]"), expected)
    again = xr.open_dataset(tmp_path / "entry.nxs", engine="nexus")
    np.testing.assert_array_equal(again.nexus.edges("time"), expected)
    np.testing.assert_array_equal(again.time, opened.time)
    opened.nexus.to_nexus(tmp_path / "inplace.nxs", layout="inplace")
    with h5py.File(path) as before, h5py.File(tmp_path / "inplace.nxs") as after:
        np.testing.assert_array_equal(after["entry/data/time"][()], before["entry/data/time"][()])


def test_edges_go_along_with_dates(write: Write) -> None:
    path = scan(write, EDGES, units="seconds since 2020-01-01")
    [counts] = nexus_xr.open_signals(path, nxdata_only=True, decode_times=True)
    np.testing.assert_array_equal((counts[1:] * 2 + counts).nexus.edges("time"), OF_DATES[1:])
    np.testing.assert_array_equal(counts.nexus.rebin(time=2).nexus.edges("time"), OF_DATES[::2])
    assert repr(counts.xindexes["time"]).startswith("EdgesIndex(4 bins of 'time' from 2020-01-01T00:00:00")
    [line] = counts.nexus.plot()
    assert [str(line.get_xdata()[at]) for at in (0, -1)] == ["2020-01-01 00:00:00", "2020-01-01 00:00:07"]


def test_dates_with_other_edges_around_the_same_middles_are_refused(write: Write) -> None:
    days = xr.DataArray([1, 2], dims="day", name="n").nexus.assign_edges(
        day=np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[D]")
    )
    np.testing.assert_array_equal(days.day, dates("2020-01-01T12", "2020-01-02T12"))
    wider = np.array([["2020-01-01", "2020-01-02"], ["2020-01-01", "2020-01-04"]], "M8[s]")
    other = days.drop_indexes("day").set_xindex("day", nexus_xr.EdgesIndex, edges=wider)
    with pytest.raises(NexusError, match="same middles and other edges"):
        days + other[1:]
    assert (days + other[:1]).item() == 2


@pytest.mark.filterwarnings("ignore:Unable to decode time axis")
def test_edges_that_numpy_has_no_dates_for_are_none_of_dates(write: Write) -> None:
    path = scan(write, np.array([0, 1, 2, 3, 1e300]), units="seconds since 2020-01-01")
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert opened.identical(xr.open_dataset(path, engine="nexus"))
    path = scan(write, NUMBERS_OF_EDGES, units="days since 2020-01-01", calendar="noleap")
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    assert opened.time[0].item().year == 2070
    assert not isinstance(opened.xindexes["time"], nexus_xr.EdgesIndex)


@pytest.mark.parametrize("last", [230, 260, 480])
@pytest.mark.filterwarnings("error")
def test_edges_beyond_the_years_of_nanoseconds_are_edges_of_dates(last: int, write: Write, tmp_path: Path) -> None:
    days = np.array([*NUMBERS_OF_EDGES[:4], last * 365])
    path = scan(write, days, units="days since 2020-01-01")
    opened = xr.open_dataset(path, engine="nexus", decode_times=True)
    expected = np.datetime64("2020-01-01", "us") + days * np.timedelta64(1, "D")
    np.testing.assert_array_equal(opened.n.nexus.edges("time"), expected)
    opened.nexus.to_nexus(tmp_path / "g.nxs")
    again = xr.open_dataset(tmp_path / "g.nxs", engine="nexus")
    np.testing.assert_array_equal(again.n.nexus.edges("time"), expected)
    np.testing.assert_array_equal(again.time.values, opened.time.values)


@pytest.mark.parametrize(
    ("start", "unit"), [("1677-09-22", "ns"), ("1677-09-20", "us"), ("2262-04-11", "ns"), ("2262-04-12", "us")]
)
@pytest.mark.filterwarnings("error")
def test_numbers_beyond_the_years_of_nanoseconds_are_dates_of_microseconds(start: str, unit: str, write: Write) -> None:
    path = scan(write, NUMBERS * 0.25, units="s", start=start)
    opened = xr.open_dataset(path, engine="nexus", decode_times=True).load()
    assert opened.time.dtype == f"M8[{unit}]"
    np.testing.assert_array_equal(opened.time.values, np.datetime64(start, "ms") + NUMBERS * np.timedelta64(250, "ms"))


@pytest.mark.parametrize("suffix", ["nc", "zarr", "json", "csv"])
@pytest.mark.filterwarnings("error:.*bounds variable:UserWarning")
def test_edges_of_dates_go_to_other_formats_and_back(suffix: str, write: Write, tmp_path: Path) -> None:
    opened = xr.open_dataset(scan(write, EDGES, units="s", start="2020-01-01"), engine="nexus", decode_times=True)
    for counts in (opened, opened.n):
        path = tmp_path / f"{type(counts).__name__}.{suffix}"
        if suffix in ("nc", "zarr"):
            getattr(counts.nexus, "to_netcdf" if suffix == "nc" else "to_zarr")(path)
            back: Any = nexus_xr.unflat(xr.open_dataset(path, engine="h5netcdf" if suffix == "nc" else "zarr"))
        else:
            getattr(counts.nexus, f"to_{suffix}")(path)
            back = getattr(nexus_xr, f"read_{suffix}")(path)
        assert back.identical(counts)
        np.testing.assert_array_equal(back.nexus.edges("time"), OF_DATES)


LOG = {"units": "s", "start": "2020-01-01T12:00:00"}


def log(attributes: dict[str, Any], count: int = 2) -> xr.DataArray:
    times = {"time": ("time", np.arange(count, dtype=float), attributes)}
    return xr.DataArray(np.ones(count), times, "time", "v")


@pytest.mark.parametrize(
    ("there", "own", "other"),
    [
        (LOG, {"start": "2021-06-01T12:00:00"}, "start"),
        (LOG, {"offset": "2021-06-01T12:00:00"}, "offset"),
        (LOG, {"scaling_factor": 1000.0}, "scaling_factor"),
        (LOG, {"units": None, "start": "2021-06-01T12:00:00"}, "start"),
        (LOG | {"scaling_factor": 0.1}, {"scaling_factor": 1}, "scaling_factor"),
        ({"units": "days since 2020-01-01", "calendar": "noleap"}, {"calendar": "360_day"}, "calendar"),
        (LOG, {"start": "2020-01-01T14:00:00+02:00"}, None),
        (LOG, {"scaling_factor": 1}, None),
        (LOG | {"scaling_factor": 0.1}, {}, None),
        (LOG, {"start": None}, None),
        (LOG, {"units": None, "start": None}, None),
        ({"units": "m", "start": "here"}, {"start": "there"}, None),
    ],
)
@pytest.mark.parametrize("way", ["append_dim", "region", "NexusWriter"])
def test_times_that_count_otherwise_than_those_of_the_file_are_refused(
    there: dict[str, Any], own: dict[str, Any], other: str | None, way: str, tmp_path: Path
) -> None:
    path, whole = tmp_path / "f.nxs", log(there, 4)
    if other == "offset":
        own = {"start": None, **own}
    part = log({name: value for name, value in (there | own).items() if value is not None})
    refused = pytest.raises(NexusError, match=rf"/time: .*{other}.* is '.*'") if other else warnings.catch_warnings()
    if way == "NexusWriter":
        with nexus_xr.NexusWriter(path, whole, "time") as writer, refused:
            writer.append(part)
        return
    whole.nexus.to_nexus(path, unlimited_dims="time")
    before = path.read_bytes()
    with refused:
        part.nexus.to_nexus(path, **{way: {"time": slice(1, 3)} if way == "region" else "time"})
    assert (path.read_bytes() == before) == (other is not None)


@pytest.mark.parametrize("place", [{"append_dim": "time"}, {"region": {"time": slice(0, 2)}}])
def test_dates_are_no_numbers_of_a_file(place: dict[str, Any], tmp_path: Path) -> None:
    log(LOG).nexus.to_nexus(tmp_path / "f.nxs", unlimited_dims="time")
    decoded = xr.open_dataset(tmp_path / "f.nxs", engine="nexus", decode_times=True).load()
    with pytest.raises(NexusError, match=r"/time: .* decode_times=False"):
        decoded.nexus.to_nexus(tmp_path / "f.nxs", **place)
