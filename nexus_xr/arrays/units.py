"""Units of variables, which are an attribute or, of quantities, as those of pint, with the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from nexus_xr.errors import NexusError
from nexus_xr.nexus.output.quantities import is_quantity, units_of, why_other_units


def as_numbers(variable: xr.Variable) -> xr.Variable:
    """The numbers of a quantity, whose units become the attribute ``units``; others as they are.

    Raises
    ------
    ValueError
        An attribute says other units.
    """
    data: Any = variable._data
    if not is_quantity(data):
        return variable
    if (reason := why_other_units(data, variable.attrs)) is not None:
        raise ValueError(reason)
    units = {**variable.attrs, "units": units_of(data)}
    return xr.Variable(variable.dims, data.magnitude, units, variable.encoding)


def units_apart(given: Mapping[Any, Any], own: Mapping[Any, Any]) -> tuple[str, str] | None:
    """The units that two variables' attributes say, where both say some and they aren't the same; else None.

    Examples
    --------
    >>> units_apart({"units": "mm"}, {"units": "m"}), units_apart({}, {"units": "m"})
    (('mm', 'm'), None)
    """
    one, other = (str(each["units"]) if each.get("units") is not None else "" for each in (given, own))
    return (one, other) if one and other and one != other else None


def in_units_of(own: Mapping[Any, Any], given: xr.Variable, what: str, are_widths: bool = False) -> xr.Variable:
    """What is given as numbers in the units that attributes say; converted where it is a quantity.

    Parameters
    ----------
    own
        The attributes of the variable that it is for.
    given
        A variable.
    what
        What it is called in errors.
    are_widths
        Whether it is of lengths without a place, for which units that begin elsewhere, as those of temperatures, can't
        be converted.

    Raises
    ------
    NexusError
        It is in other units.
    """
    data: Any = given._data
    try:
        numbers = as_numbers(given)
    except ValueError as error:
        raise NexusError(f"{what}: {error}") from None
    if (apart := units_apart(numbers.attrs, own)) is None:
        return numbers
    converted = _converted(data, apart[1], are_widths) if is_quantity(data) else None
    if converted is None:
        raise NexusError(
            f"{what} are in {apart[0]!r}, not in {apart[1]!r}; convert them, and give them that as attribute 'units', "
            "or none"
        )
    return xr.Variable(given.dims, converted.magnitude, {**given.attrs, "units": own["units"]}, given.encoding)


def _converted(quantity: Any, units: str, are_widths: bool) -> Any:
    """A quantity in other units, None where it can't be that."""
    try:
        nothing = type(quantity)(0, quantity.units).to(units).magnitude
        return None if are_widths and nothing != 0 else quantity.to(units)
    except Exception:  # units in words may be anything, and which errors that gives is the library's
        return None


def is_in(quantity: Any, units: str) -> bool:
    """Whether units in words are those of a quantity."""
    try:
        return bool(type(quantity)(1, units).units == quantity.units)
    except Exception:  # as above
        return False
