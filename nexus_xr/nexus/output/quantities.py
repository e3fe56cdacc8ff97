"""Quantities, as those of pint: values with units of their own, which files have as an attribute."""

from __future__ import annotations

from typing import Any


def is_quantity(value: Any) -> bool:
    """Whether a value has units of its own."""
    return hasattr(value, "magnitude") and hasattr(value, "units")


def units_of(quantity: Any) -> str:
    """The units of a quantity, as ``m/s``."""
    return f"{quantity.units:~C}"
