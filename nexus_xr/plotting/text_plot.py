"""Plots in the letters of a terminal: `nexus_xr.text_plot`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from nexus_xr.signatures import checks

from .axis import DrawnAxis, as_numbers, axis_of, name_of
from .curve import drawn_curve
from .image import SHADES, coloured, resampled, shaded
from .letters import ASCII, UNICODE, Letters, number, printable
from .pixels import pixels_of
from .scale import Numbers, Range
from .view import DrawnView, opened_array, view_of

# Lines around what is drawn, beside the heading: the name of what goes up, the axis below, and what that is of.
_AROUND = 3
_LEAST_LINES, _LEAST_COLUMNS = 3, 10
# What stands beside the axis that goes up takes no more of the width than this.
_MOST_BESIDE = 1 / 4
_NOTHING = "no finite values"


@checks()
def text_plot(
    what: Any,
    *,
    width: int = 80,
    height: int = 24,
    colours: int = 0,
    is_ascii: bool = False,
    dataset_path: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> str:
    """Plot the default view of a file's default plot, or of an array, as text: a curve, or an image.

    What is drawn is what `plot` draws. An image without colours has shades of nine letters, a place the mean of its
    finite values; nothing is where none is finite.

    Parameters
    ----------
    what
        Path, URL or open binary file; or a DataArray, or a Dataset, of which the first variable is drawn.
    width, height
        How many columns and lines it takes at most, if these are enough for a plot.
    colours
        How many colours there are, by the codes of terminals: 256, or ``1 << 24``; 0 for text alone.
    is_ascii
        Whether only ASCII's letters are to be used.
    dataset_path
        Path of the group, or dataset, of a file; None for the default plot.
    storage_options
        Options for the fsspec file system of a URL.

    Raises
    ------
    NexusError
        There is nothing that can be drawn.

    Examples
    --------
    >>> speed = xr.DataArray([0.0, 1, 4, 9, 16], {"t": ("t", range(5), {"units": "s"})}, "t", "x", {"units": "m"})
    >>> print(text_plot(speed, width=30, height=10, is_ascii=True))
    x (m)
    16 |                         *
       |                       **
       |                     **
       |                   **
       |                ***
       |             ***
     0 |*************
       +--------------------------
        0         t (s)          4
    """
    with opened_array(what, dataset_path, storage_options) as array:
        view = view_of(array)
        view = replace(view, array=view.array.compute())
    values = _numbers(view.array)
    screen = _Screen(width, height, 0 if is_ascii else colours, ASCII if is_ascii else UNICODE)
    lines = [line.rstrip() for line in _DRAWN[values.ndim](view, values, screen)]
    return "\n".join(line.encode("ascii", "replace").decode() if is_ascii else line for line in lines)


@dataclass(frozen=True)
class _Screen:
    """Where it is drawn."""

    width: int
    height: int
    colours: int
    letters: Letters


def _numbers(array: xr.DataArray) -> Numbers:
    """The values, of complex ones their magnitudes, of colours their mean."""
    values = np.asarray(array.values)
    numbers = as_numbers(np.abs(values) if values.dtype.kind == "c" else values)
    return numbers.mean(axis=-1) if numbers.ndim == 3 else numbers


# --- what is drawn -----------------------------------------------------------------------------------------------


def _value(view: DrawnView, values: Numbers, screen: _Screen) -> list[str]:
    units = printable(str(view.array.attrs.get("units", "")))
    return [*_heading(view), f"{printable(str(view.array.name))} = {number(values[()])} {units}"]


def _curve(view: DrawnView, values: Numbers, screen: _Screen) -> list[str]:
    axis, reach = axis_of(view, view.array.dims[0]), Range.of(values)
    across = Range.of(axis.places)
    return _framed(
        lambda size: drawn_curve(axis.places, values, across, reach, size, screen.letters),
        DrawnAxis(name_of(view.array), reach.ends, values),
        axis,
        [*_heading(view), *([] if reach.is_there else [_NOTHING])],
        screen,
    )


def _image(view: DrawnView, values: Numbers, screen: _Screen) -> list[str]:
    up, across = (axis_of(view, dim) for dim in view.array.dims[:2])
    pixels = pixels_of(view.array)
    values = values if pixels is None else _numbers(pixels.array)
    reach = Range.of(values) if pixels is None else pixels.reach
    beyond = " and more" if pixels is not None and pixels.exceeds else ""
    [scale] = _as_lines(np.linspace(0, 1, len(SHADES))[None].repeat(2 if screen.colours else 1, 0), Range(0, 1), screen)
    ends = f"{reach.ends[0]} {scale} {reach.ends[1]}{beyond}" if reach.is_there else _NOTHING
    return _framed(
        lambda size: _as_lines(_placed(values, up, across, size, screen), reach, screen),
        up,
        across,
        [*_heading(view), f"{name_of(view.array)}  {ends}"],
        screen,
    )


_DRAWN = (_value, _curve, _image)


def _placed(values: Numbers, up: DrawnAxis, across: DrawnAxis, size: tuple[int, int], screen: _Screen) -> Numbers:
    """The values of an image at the places of a screen, the uppermost line first."""
    rows, columns = size
    for position, (axis, count) in enumerate(((up, rows * (2 if screen.colours else 1)), (across, columns))):
        values = np.flip(values, position) if axis.falls else values
        values = resampled(values, position, axis.borders, count)
    return values[::-1]


def _as_lines(values: Numbers, reach: Range, screen: _Screen) -> list[str]:
    return coloured(values, reach, screen.colours) if screen.colours else shaded(values, reach)


# --- around it ---------------------------------------------------------------------------------------------------


def _heading(view: DrawnView) -> list[str]:
    """A line that says where in the other dimensions it is, and what was left out of these."""
    where = [f"{printable(str(dim))}[{at}]{_value_at(view.array, dim)}" for dim, at in view.positions.items()]
    left_out = [f"1 of {step} along {printable(str(dim))}" for dim, step in view.steps.items()]
    return [", ".join([*where, *left_out])] if where or left_out else []


def _value_at(array: xr.DataArray, dim: Any) -> str:
    if dim not in array.coords:
        return ""
    coordinate = array[dim]
    return f" = {number(coordinate.values[()])} {printable(str(coordinate.attrs.get('units', '')))}".rstrip()


def _framed(
    draw: Callable[[tuple[int, int]], list[str]],
    up: DrawnAxis,
    across: DrawnAxis,
    heading: Sequence[str],
    screen: _Screen,
) -> list[str]:
    """What is drawn with axes at its left and below it, within the size of the screen."""
    letters = screen.letters
    cut = [_cut(end, int(screen.width * _MOST_BESIDE), letters) for end in up.ends]
    beside = max(map(len, cut))
    rows = max(_LEAST_LINES, screen.height - _AROUND - len(heading))
    columns = max(_LEAST_COLUMNS, screen.width - beside - 2)
    ends = [cut[1], *[""] * (rows - 2), cut[0]]
    body = [f"{end:>{beside}} {letters.up}{line}" for end, line in zip(ends, draw((rows, columns)), strict=True)]
    below = f"{' ' * beside} {letters.corner}{letters.across * columns}"
    wide = [_cut(line, screen.width, letters) if "\x1b" not in line else line for line in (*heading, up.name)]
    return [*wide, *body, below, f"{' ' * (beside + 2)}{_along(across, columns, letters)}"]


def _along(axis: DrawnAxis, columns: int, letters: Letters) -> str:
    """The name of an axis between its ends."""
    left, right = (_cut(end, columns // 2 - 1, letters) for end in axis.ends)
    name = _cut(axis.name, max(0, columns - 2 * max(len(left), len(right)) - 2), letters)
    middle = name.center(columns)
    return left + middle[len(left) : columns - len(right)] + right


def _cut(text: str, most: int, letters: Letters) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)] + letters.cut
