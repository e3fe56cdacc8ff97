"""What is written along an axis, and where values are on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .letters import number, printable
from .scale import Numbers
from .view import DrawnView


@dataclass(frozen=True)
class DrawnAxis:
    """An axis of what is drawn.

    Parameters
    ----------
    name
        What it is called, with its units.
    ends
        What is written at its begin and its end.
    places
        Where each position is.
    """

    name: str
    ends: tuple[str, str]
    places: Numbers

    @property
    def falls(self) -> bool:
        """Whether its positions go from the greatest to the least."""
        return bool(self.places[0] > self.places[-1])

    @property
    def borders(self) -> Numbers:
        """Where the cells around its rising positions begin and end, from 0 to 1."""
        places = self.places[::-1] if self.falls else self.places
        middles = places[:-1] / 2 + places[1:] / 2
        borders = np.concatenate([[2 * places[0] - middles[0]], middles, [2 * places[-1] - middles[-1]]])
        fractions: Numbers = (borders - borders[0]) / (borders[-1] - borders[0])
        return fractions


def axis_of(view: DrawnView, dim: Any) -> DrawnAxis:
    """That of a dimension."""
    if dim in view.array.coords and dim not in view.texts:
        values = view.array[dim].values
        ends = values[values.argmin()], values[values.argmax()]
        return DrawnAxis(name_of(view.array[dim]), (number(ends[0]), number(ends[1])), as_numbers(values))
    places = np.arange(view.array.sizes[dim], dtype=float)
    texts = view.texts.get(dim, places)
    return DrawnAxis(printable(str(dim)), (number(texts[0]), number(texts[-1])), places)


def name_of(array: xr.DataArray) -> str:
    """What an array is called, with its units; of complex values, of their magnitudes."""
    name = printable(str(array.attrs.get("long_name") or array.name))
    units = printable(str(array.attrs.get("units") or ""))
    return f"{f'|{name}|' if array.dtype.kind == 'c' else name}{f' ({units})' if units else ''}"


def as_numbers(values: NDArray[Any]) -> Numbers:
    """Numbers of any type as floats, dates as so many steps of their unit."""
    return np.asarray(values.view(np.int64) if values.dtype.kind in "mM" else values, np.float64)
