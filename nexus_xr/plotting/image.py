"""An image in the letters of a terminal, or in its colours."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from .scale import Numbers, Range

# From few to much, without colours; nothing where there is no number.
SHADES = ".:-=+*#%@"
# Viridis, which also tells who sees few colours, or none, what is more.
_COLOURS = np.array(
    [(68, 1, 84), (72, 40, 120), (62, 74, 137), (49, 104, 142), (38, 130, 142), (31, 158, 137), (53, 183, 121),
     (110, 206, 88), (181, 222, 43), (253, 231, 37)]
)  # fmt: skip
_RESET = "\x1b[0m"
_UPPER, _LOWER = "▀", "▄"
# How many colours a terminal tells apart, whose codes are red, green and blue, and not of a table.
TRUE_COLOURS = 1 << 24


def resampled(values: Numbers, axis: int, borders: Numbers, count: int) -> Numbers:
    """What so many places along an axis have: the mean of the finite values there, or the value that reaches over them.

    Parameters
    ----------
    values
        The values.
    axis
        Which axis of them.
    borders
        Where their cells begin and end, from 0 to 1, rising.
    count
        How many places.

    Examples
    --------
    >>> resampled(np.array([1.0, np.nan, 3.0, 5.0]), 0, np.linspace(0, 1, 5), 2)
    array([1., 4.])
    >>> resampled(np.array([1.0, 2.0]), 0, np.array([0, 0.75, 1]), 5)
    array([1., 1., 1., 1., 2.])
    """
    places = np.linspace(0, 1, 2 * count + 1)  # where they begin, and the middle of each
    begin, end = np.split(np.searchsorted(borders[:-1] / 2 + borders[1:] / 2, [places[:-1:2], places[2::2]]), 2)
    over = np.clip(np.searchsorted(borders, places[1::2], side="right") - 1, 0, len(borders) - 2)
    begin, end = np.where(begin < end, [begin[0], end[0]], [over, over + 1])
    finite = np.isfinite(values)
    sums, numbers = (_sums(each, axis, begin, end) for each in (np.where(finite, values, 0.0), finite.astype(float)))
    with np.errstate(all="ignore"):
        return sums / numbers  # of none NaN


def _sums(values: Numbers, axis: int, begin: NDArray[np.intp], end: NDArray[np.intp]) -> Numbers:
    first = np.zeros_like(values.take([0], axis))
    sums: Numbers = np.concatenate([first, np.cumsum(values, axis)], axis)
    return sums.take(end, axis) - sums.take(begin, axis)


def shaded(values: Numbers, reach: Range) -> list[str]:
    """Lines of text for an image whose lines these are, the uppermost first."""
    levels = np.nan_to_num(reach.places(values, len(SHADES)), nan=-1).astype(int)
    return ["".join(" " if level < 0 else SHADES[level] for level in line) for line in levels]


def coloured(values: Numbers, reach: Range, colours: int) -> list[str]:
    """Lines of half blocks in so many colours, for an image of twice as many lines."""
    return [_line(upper, lower) for upper, lower in zip(*_codes(values, reach, colours), strict=True)]


def _codes(values: Numbers, reach: Range, colours: int) -> tuple[list[list[str]], list[list[str]]]:
    fractions = np.where(np.isfinite(values), reach.fractions(values), np.nan)
    places = np.linspace(0, 1, len(_COLOURS))
    painted = [[None if np.isnan(each) else _colour(each, places, colours) for each in line] for line in fractions]
    return painted[::2], painted[1::2]  # type: ignore[return-value]


def _colour(fraction: float, places: Numbers, colours: int) -> str:
    red, green, blue = (round(float(np.interp(fraction, places, part))) for part in _COLOURS.T)
    if colours >= TRUE_COLOURS:
        return f"2;{red};{green};{blue}"
    steps = [round(part / 255 * 5) for part in (red, green, blue)]
    return f"5;{16 + 36 * steps[0] + 6 * steps[1] + steps[2]}"


def _line(upper: Sequence[str | None], lower: Sequence[str | None]) -> str:
    pairs = groupby(zip(upper, lower, strict=True))
    return "".join(_cells(above, below, len(list(cells))) for (above, below), cells in pairs)


def _cells(above: str | None, below: str | None, count: int) -> str:
    if above is None:
        return " " * count if below is None else f"\x1b[38;{below}m{_LOWER * count}{_RESET}"
    ground = "" if below is None else f";48;{below}"
    return f"\x1b[38;{above}{ground}m{_UPPER * count}{_RESET}"
