"""Dtypes and fill values as Zarr has them.

Source: "Data types" and "Fill value" of the Zarr core specification, version 3.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXT = "string"

_SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8), "c": (8, 16)}


def data_type(dtype: np.dtype[Any]) -> str | None:
    """The name that Zarr has for a dtype, None where it has none.

    Examples
    --------
    >>> data_type(np.dtype(">u2")), data_type(np.dtype("U3")), data_type(np.dtype("f16"))
    ('uint16', 'string', None)
    """
    if dtype.kind in "OU":
        return TEXT
    return dtype.name if dtype.itemsize in _SIZES.get(dtype.kind, ()) else None


def fill_document(fill: Any) -> Any:
    """A fill value as it stands in the metadata of an array.

    Examples
    --------
    >>> fill_document(np.uint8(3)), fill_document(np.float32("nan")), fill_document(np.complex64(1 - 2j))
    (3, 'NaN', [1.0, -2.0])
    """
    value = np.asarray(fill)
    if value.dtype.kind == "c":
        return [_number(value.real), _number(value.imag)]
    return _number(value) if value.dtype.kind == "f" else value.item()


def _number(value: NDArray[np.floating[Any]]) -> float | str:
    """A number, or the name of one that JSON has not; of a NaN with bits of its own, these."""
    bits, usual = (int(each.view(f"u{each.itemsize}")) for each in (value[()], value.dtype.type("nan")))
    return f"0x{bits:0{2 * value.itemsize}x}" if np.isnan(value) and bits != usual else named_number(float(value))


def named_number(value: float) -> float | str:
    """A number, or the name of one that JSON has not.

    Examples
    --------
    >>> named_number(-math.inf), named_number(0.5)
    ('-Infinity', 0.5)
    """
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
