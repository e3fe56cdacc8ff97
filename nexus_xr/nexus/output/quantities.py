"""Quantities, as those of pint: values with units of their own, which files have as an attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# How units are told in words: long and short, plain, in letters of Unicode, compact.
_FORMS = ("D", "P", "C", "~D", "~P", "~C")


def is_quantity(value: Any) -> bool:
    """Whether a value has units of its own."""
    return hasattr(value, "magnitude") and hasattr(value, "units")


def units_of(quantity: Any) -> str:
    """The units of a quantity, as ``m/s``."""
    return f"{quantity.units:~C}"


def why_other_units(quantity: Any, attributes: Mapping[Any, Any]) -> str | None:
    """Why a quantity doesn't go with attributes beside it, whose units are others; None where it does."""
    said = attributes.get("units")
    alike = {format(quantity.units, form) for form in _FORMS}
    if said is None or str(said) in alike:
        return None
    return f"it is a quantity in {units_of(quantity)}, with {said!r} as its units beside it; leave one of the two out"
