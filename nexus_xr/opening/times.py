"""Times of a file as dates: numbers since a moment, and text."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing
from xarray.indexes import PandasIndex

from nexus_xr.arrays.bins import middles_of, same_bits
from nexus_xr.arrays.edges import bounds_named, forget_made, made_of_edges, mark_as_made
from nexus_xr.arrays.edges_index import EdgesIndex
from nexus_xr.arrays.uncertainties import errors_among
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.nexus.rules.attributes import text

from .arrays import FileArray, origin_of
from .dataset import Variables, index_of
from .fields.stored import MultipliedArray, multiplied

# Units of time as files have them, by the names that CF has for them.
_UNITS: Mapping[str, str] = {
    "nanoseconds": "nanoseconds|nanosecond|ns|nsec",
    "microseconds": "microseconds|microsecond|us|usec|µs|μs",
    "milliseconds": "milliseconds|millisecond|ms|msec",
    "seconds": "seconds|second|s|sec|secs",
    "minutes": "minutes|minute|min|mins",
    "hours": "hours|hour|h|hr|hrs",
    "days": "days|day|d",
}
_NANOSECONDS = {
    "nanoseconds": 1,
    "microseconds": 10**3,
    "milliseconds": 10**6,
    "seconds": 10**9,
    "minutes": 60 * 10**9,
    "hours": 3600 * 10**9,
    "days": 86400 * 10**9,
}
_NAMES = {spelling: name for name, spellings in _UNITS.items() for spelling in spellings.split("|")}
# ISO 8601 in its extended and its basic format; of the latter not the date alone, which may be any number.
_ISO = re.compile(
    r"(?P<moment>\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d([.,]\d+)?)?)?)?|\d{8}T\d\d(\d\d(\d\d([.,]\d+)?)?)?)"
    r"( ?(?P<zone>Z|[+-]\d\d:?\d\d))?",
    re.ASCII,
)
# A unit, and how many of it are counted as one, in no more digits than a fraction of them is soon made of.
_COUNTED = re.compile(r"(?P<number>\d{1,18}(\.\d{1,18})?(e[+-]?\d{1,2})?)? *(?P<unit>.*)", re.ASCII)
# No clock ticks once in as many nanoseconds, thousands of times the age of the universe, nor that often in one.
_MOST_NANOSECONDS = 1e30
# What UDUNITS, and so CF, takes for a moment beyond that: digits left out, a zone behind a space or by its name.
_REFERENCE = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d?)-(?P<day>\d\d?)"
    r"([T ] *(?P<hour>\d\d?)(:(?P<minute>\d\d?)(:(?P<second>\d\d?)([.,](?P<fraction>\d*))?)?)?)?"
    r" *(Z|UTC|GMT|(?P<sign>[+-])(?P<hours>\d\d?)(:?(?P<minutes>\d\d))?)?",
    re.ASCII | re.IGNORECASE,
)


def with_dates(variables: Variables, diagnostics: Diagnostics) -> Variables:
    """The same with dates for times, where they can be that; of numbers that are said to be times it is told if not."""
    data = {name: _as_dates(each, False) for name, each in variables.data.items()}
    coordinates = {name: _as_dates(each, True) for name, each in variables.coordinates.items()}
    for name, variable in {**variables.data, **variables.coordinates}.items():
        if (data | coordinates)[name] is variable and (reason := _why_no_dates(variable)) is not None:
            diagnostics.add(Code.TIMES_NOT_DECODED, str(variable.encoding["nexus_path"]), f"stays numbers: {reason}")
    indexes = dict(variables.indexes)
    for name, times in variables.coordinates.items():
        if coordinates[name] is times:
            continue
        bounds = variables.coordinates.get(named := bounds_named(times) or "")
        if bounds is not None:
            coordinates[named] = _like_those_of(times, bounds)
            forget_made(coordinates[named])  # as rounding to ticks leaves other middles than dates that are read alone
        if name in indexes:
            has_middles = bounds is not None and same_bits(middles_of(bounds.values), times.values)
            dates, edges = coordinates[name], coordinates[named] if has_middles else None
            indexes[name] = _index_of_dates(indexes[name], name, dates, edges)
            coordinates |= indexes[name].create_variables({name: dates})
            if bounds is not None and made_of_edges(bounds) is not None and edges is not None:
                mark_as_made(edges, np.asarray(edges.values))
    for made, before in ((data, variables.data), (coordinates, variables.coordinates)):
        for owner, errors in errors_among(made).items():
            if made[owner].dtype.kind == "M" and made[errors].attrs.get("units") is None:
                made[errors] = _in_unit_of(before[owner], made[errors])
    return Variables(data, coordinates, indexes)


def _in_unit_of(times: xr.Variable, errors: xr.Variable) -> xr.Variable:
    """Uncertainties that say what they count, as the times did that they are of, and dates don't any more."""
    unit, factor = _told_by(times.attrs).unit, times.attrs.get("scaling_factor")
    counting = {"units": unit} if factor is None else {"units": unit, "scaling_factor": factor}
    return errors._replace(attrs={**errors.attrs, **counting}) if unit else errors


def _as_dates(variable: xr.Variable, is_coordinate: bool) -> xr.Variable:
    dates = dates_of(variable, is_coordinate)
    return variable if dates is None else dates


def _like_those_of(times: xr.Variable, bounds: xr.Variable) -> xr.Variable:
    """Bounds as dates, for which the attributes of the times speak."""
    dates = _as_dates(bounds.to_base_variable()._replace(attrs={**times.attrs, **bounds.attrs}), True)
    return dates._replace(attrs={name: value for name, value in dates.attrs.items() if name in bounds.attrs})


def _index_of_dates(index: PandasIndex, name: str, dates: xr.Variable, edges: xr.Variable | None) -> PandasIndex:
    """An index in place of that of times; of the middles between the dates of edges, where it had those of times."""
    if edges is None or edges.dtype.kind != "M":
        return index_of(name, dates.values)
    centres = index_of(name, middles_of(edges.values))
    return EdgesIndex.around(centres, edges.values) if isinstance(index, EdgesIndex) else centres


def dates_of(variable: xr.Variable, is_coordinate: bool) -> xr.Variable | None:
    """A variable of times as dates, those of a time zone in UTC; None for what can't be that.

    Numbers with units like ``seconds since 2020-01-01``, numbers with units of time and an attribute ``start``, or
    ``offset``, and coordinates of text that is ISO 8601 throughout. Where they have a ``scaling_factor``, as the ticks
    of a clock have, they are so many times their unit.

    Source: ``time@start``, ``time@scaling_factor`` of NXlog, ``event_time_zero@offset`` of NXevent_data and
    NX_DATE_TIME of the NeXus manual; the time coordinate of CF.
    """
    dates = _of_text(variable) if is_coordinate else None
    return dates if dates is not None else _of_numbers(variable)


@dataclass(frozen=True)
class _Clock:
    """What numbers count: so many of a unit of CF each, since a moment that some attributes told."""

    unit: str
    ticks: Fraction
    moment: str
    told_by: tuple[str, ...]


def _of_numbers(variable: xr.Variable) -> xr.Variable | None:
    clock = _clock_of(variable.attrs)
    if clock is None or variable.dtype.kind not in "iuf":
        return None
    left = {name: value for name, value in variable.attrs.items() if name not in clock.told_by}
    attributes = left | {"units": f"{clock.unit} since {clock.moment}"}
    counted = _times(variable.to_base_variable(), clock.ticks)._replace(attrs=attributes)
    try:
        return _decoded(counted)
    except (ValueError, OverflowError):  # no such moment, or none that a date can be
        return None


def _decoded(counted: xr.Variable) -> xr.Variable:
    """Numbers since a moment as dates: of nanoseconds, of microseconds where those don't reach, or of cftime.

    The last are of calendars that NumPy hasn't, the mixed one before October 1582 among them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", xr.SerializationWarning)  # which names options that aren't there
        dates = xr.coders.CFDatetimeCoder().decode(counted)
        if dates.dtype.kind == "M":
            return dates
        return xr.coders.CFDatetimeCoder(time_unit="us").decode(counted)


def _times(variable: xr.Variable, ticks: Fraction) -> xr.Variable:
    """A variable multiplied by a number: as it is read, where it is still in the file."""
    if ticks == 1:
        return variable
    source = origin_of(variable)
    if source is None:
        return variable._replace(data=multiplied(variable.values, ticks))
    return variable._replace(data=indexing.LazilyIndexedArray(FileArray(MultipliedArray(source, ticks))))


def _clock_of(attributes: Mapping[Any, Any]) -> _Clock | None:
    """How numbers are times since a moment, None where they are none."""
    told = _told_by(attributes)
    size, iso = _nanoseconds_in(told.unit), _iso_of(told)
    ticks = None if size is None else _ticks(size, attributes.get("scaling_factor", 1))
    used = ("start" if told.name == "units" else told.name, "scaling_factor")
    return None if ticks is None or iso is None else _Clock(*ticks, iso, used)


@dataclass(frozen=True)
class _Told:
    """What attributes say of a clock: its unit, since when it counts, and the attribute that says the latter."""

    unit: str
    moment: str
    name: str


def clock_attributes(attributes: Mapping[Any, Any]) -> dict[str, str]:
    """What attributes of times tell beside their units, and they mean nothing without; nothing of other variables.

    Examples
    --------
    >>> clock_attributes({"units": "s", "start": "2020-01-01"}), clock_attributes({"units": "m", "start": "2020-01-01"})
    ({'start': '2020-01-01', 'scaling_factor': '1.0'}, {})
    """
    told = _told_by(attributes)
    if _nanoseconds_in(told.unit) is None:
        return {}
    factor = np.asarray(attributes.get("scaling_factor", 1))
    is_number = factor.size == 1 and factor.dtype.kind in "iuf"
    since = {told.name: told.moment} if told.moment and told.name != "units" else {}
    return since | {"scaling_factor": str(float(factor.item()) if is_number else factor)}


@dataclass(frozen=True)
class OtherMeaning:
    """An attribute by which numbers mean something else than others do, with what it says of both."""

    attribute: str
    own: str
    there: str

    @property
    def verb(self) -> str:
        """What a sentence about the attribute has after it."""
        return "are" if self.attribute == "units" else "is"


def other_meaning(own: Mapping[Any, Any], there: Mapping[Any, Any]) -> OtherMeaning | None:
    """In what numbers with some attributes mean something else than those with others, where both say it.

    That is their units, and of times since when and by how much they count; without a ``scaling_factor``, other times
    count by one.

    Examples
    --------
    >>> other_meaning({"units": "mm"}, {"units": "m"}), other_meaning({}, {"units": "m"})
    (OtherMeaning(attribute='units', own='mm', there='m'), None)
    >>> since = {"units": "s", "start": "2020-01-01T12:00:00Z"}
    >>> other_meaning({"start": "2020-01-01T14:00:00+02:00"}, since), other_meaning({"start": "2021-01-01"}, since)
    (None, OtherMeaning(attribute='start', own='2021-01-01', there='2020-01-01T12:00:00Z'))
    """
    own = {**own, "units": there.get("units") if own.get("units") is None else own["units"]}
    for name in ("units", "calendar"):
        values = own.get(name), there.get(name)
        if None not in values and str(values[0]) != str(values[1]):
            return OtherMeaning(name, *map(str, values))
    told, told_there = _told_by(own), _told_by(there)
    if _nanoseconds_in(told.unit) is None or _nanoseconds_in(told_there.unit) is None:
        return None
    if told.moment and told_there.moment and _comparable(told) != _comparable(told_there):
        return OtherMeaning(told.name, told.moment, told_there.moment)
    name = "scaling_factor"
    factors = [clock_attributes(each)[name] for each in (own, there)]
    return OtherMeaning(name, *factors) if name in own and factors[0] != factors[1] else None


def _comparable(told: _Told) -> Any:
    """The moment that is told, which may be so in several words; the words themselves where they tell none."""
    import pandas as pd

    iso = _iso_of(told)
    try:
        return told.moment if iso is None else pd.to_datetime(iso.replace(",", "."), format="ISO8601", utc=True)
    except ValueError:
        return told.moment


def _told_by(attributes: Mapping[Any, Any]) -> _Told:
    units = text(attributes.get("units")) or ""
    unit, is_since, since = units.partition(" since ")
    if is_since:
        return _Told(unit.strip(), since.strip(), "units")
    name = next((name for name in ("start", "offset") if text(attributes.get(name))), "start")
    return _Told(unit.strip(), (text(attributes.get(name)) or "").strip(), name)


def _iso_of(told: _Told) -> str | None:
    """The moment in ISO 8601, without a space before its zone; None for other text."""
    found = _ISO.fullmatch(told.moment)
    if found is not None:
        return found["moment"] + (found["zone"] or "")
    return _as_iso(told.moment) if told.name == "units" else None


def _nanoseconds_in(unit: str) -> Fraction | None:
    """How many nanoseconds a unit of time has, or a number of such a unit, None for others.

    Examples
    --------
    >>> _nanoseconds_in("10ns"), _nanoseconds_in("0.5 min"), _nanoseconds_in("m")
    (Fraction(10, 1), Fraction(30000000000, 1), None)
    """
    found = _COUNTED.fullmatch(unit.lower())
    name = None if found is None else _NAMES.get(found["unit"])
    if found is None or name is None:
        return None
    size = Fraction(found["number"] or 1) * _NANOSECONDS[name]
    return size if _are_of_a_clock(float(size)) else None


def _are_of_a_clock(nanoseconds: float) -> bool:
    return 1 / _MOST_NANOSECONDS < nanoseconds < _MOST_NANOSECONDS


def _why_no_dates(variable: xr.Variable) -> str | None:
    """Why numbers that are said to be times since a moment are no dates; None where nothing says that."""
    told = _told_by(variable.attrs)
    size, iso = _nanoseconds_in(told.unit), _iso_of(told)
    has_other_start = "start" in variable.attrs and text(variable.attrs["start"]) is None
    is_said = iso is not None or (size is not None and (told.moment or has_other_start) and told.name != "offset")
    if variable.dtype.kind not in "iuf" or not is_said:
        return None
    if told.name == "start" and not told.moment:
        return f"start {variable.attrs['start']!r} is no text that tells a moment"
    if size is None:
        return f"units {told.unit!r} are none of time"
    if iso is None:
        return f"{told.name} {told.moment!r} tells no moment as ISO 8601 does"
    if _clock_of(variable.attrs) is None:
        factor = variable.attrs["scaling_factor"]
        return f"scaling_factor {factor!r} is no number above zero that a clock of {told.unit!r} could have"
    return f"there is no date for all of them in {told.unit!r} since {told.moment!r}"


def _ticks(size: Fraction, factor: Any) -> tuple[str, Fraction] | None:
    """So many times a number of nanoseconds as whole numbers of the largest unit, None where that is no clock's.

    Examples
    --------
    >>> _ticks(Fraction(10**6), 10.0), _ticks(Fraction(1), 12.5), _ticks(Fraction(10**9), np.float32(0.001))
    (('milliseconds', Fraction(10, 1)), ('nanoseconds', Fraction(25, 2)), ('milliseconds', Fraction(1, 1)))
    """
    value = np.asarray(factor)
    if value.size != 1 or value.dtype.kind not in "iuf":
        return None
    wanted = float(size) * float(value.item())
    if not _are_of_a_clock(wanted):
        return None
    for unit, nanoseconds in _NANOSECONDS.items():
        if math.isclose(nanoseconds, wanted, rel_tol=1e-7):  # also by a float of 32 bits that is stored as one of 64
            return unit, Fraction(1)
    ticks = Fraction(str(value.flat[0])) * size  # by the digits that are meant, 0.1 being no tenth
    whole = (unit for unit, length in reversed(_NANOSECONDS.items()) if (ticks / length).denominator == 1)
    unit = next(whole, "nanoseconds")
    return unit, ticks / _NANOSECONDS[unit]


def _as_iso(moment: str) -> str | None:
    """A reference time of UDUNITS in ISO 8601, None for other text; xarray overlooks zones that are none of ISO's.

    Examples
    --------
    >>> _as_iso("2000-1-1"), _as_iso("2000-01-01 6:30:00 -6")
    ('2000-01-01T00:00:00.0+00:00', '2000-01-01T06:30:00.0-06:00')
    """
    found = _REFERENCE.fullmatch(moment)
    if found is None:
        return None
    part = found.groupdict(default="0")
    date = f"{part['year']}-{part['month']:0>2}-{part['day']:0>2}"
    time = f"{part['hour']:0>2}:{part['minute']:0>2}:{part['second']:0>2}.{part['fraction'] or '0'}"
    return f"{date}T{time}{found['sign'] or '+'}{part['hours']:0>2}:{part['minutes']:0>2}"


def _of_text(variable: xr.Variable) -> xr.Variable | None:
    if variable.dtype.kind not in "OU" or not variable.size:
        return None
    found = [_ISO.fullmatch(each) if isinstance(each, str) else None for each in variable.values.flat]
    zones = [each["zone"] for each in found if each is not None]
    if len(zones) < variable.size or (None in zones and len(set(zones)) > 1):
        return None
    import pandas as pd

    texts = [(each["moment"] + (each["zone"] or "")).replace(",", ".") for each in found if each is not None]
    try:
        moments = pd.to_datetime(texts, format="ISO8601", utc=True)
    except ValueError:  # no such moment, or no unit that holds all of them
        return None
    dates = _in_nanoseconds(np.asarray(moments.tz_localize(None))).reshape(variable.shape)
    return xr.Variable(variable.dims, dates, variable.attrs, variable.encoding)


def _in_nanoseconds(dates: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """The same in nanoseconds, from 1677 to 2262; dates beyond stay in their unit."""
    try:
        fine = dates.astype("M8[ns]")  # which NumPy before 2.5 wraps around where it hasn't such years
    except OverflowError:
        return dates
    return fine if np.array_equal(fine.astype(dates.dtype), dates) else dates
