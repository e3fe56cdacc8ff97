"""Plots by matplotlib: `nexus_xr.plot`."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from nexus_xr.arrays.edges import edges_to_intervals
from nexus_xr.errors import NexusError
from nexus_xr.extras import require
from nexus_xr.hdf5.writing.replacing import refuse_source, replacing

from .pixels import pixels_of
from .view import DrawnView, called, opened_array, view_of

_DPI = 150
_DEFAULT_FORMAT = "png"
# So many texts stand beside each other along an axis.
_MOST_TICKS = 40
# What says which values have which colours.
_OF_COLOURS = {"vmin", "vmax", "center", "robust", "levels", "norm"}
# Texts along an axis that are wider than their places stand at so many degrees.
_SLANTED = 30
# Of so many points of a curve, each is marked.
_FEW_POINTS = 2


def plot(
    what: Any,
    picture: str | os.PathLike[str] | None = None,
    *,
    dataset_path: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Plot the default view of a file's default plot, or of an array, by xarray's `plot`.

    The view is of the dimensions that ``interpretation`` says, at ``default_slice`` or else at the first position of
    the others. Of more than a picture shows, every so manieth value is read. What can't be an axis, as text, or numbers
    that go back and forth beside an image, is drawn by position. In an image of integers, pixels that few negative
    numbers flag are left out, and where few are far brighter than all others, the colours are for 99.9 % of them.

    Parameters
    ----------
    what
        Path, URL or open binary file; or a DataArray, or a Dataset, of which the first variable is drawn.
    picture
        File to draw into, its format by its name; None for the current axes of matplotlib.
    dataset_path
        Path of the group, or dataset, of a file; None for the default plot.
    overwrite
        Whether a picture that is there is replaced.
    storage_options
        Options for the fsspec file system of a URL.
    **options
        Those of xarray's `plot`, as ``cmap`` or ``robust``.

    Returns
    -------
    Any
        What xarray's `plot` gives; None where a picture is written.

    Raises
    ------
    NexusError
        There is nothing that can be drawn, or the picture is there already or can't be written.

    Examples
    --------
    >>> import nexus_xr
    >>> counts = xr.DataArray([3, 5, 2], {"x": [0.0, 0.5, 1.0]}, "x", "counts")
    >>> nexus_xr.to_nexus(counts, "scan.nxs")
    >>> plot("scan.nxs", "scan.png")
    >>> plot(counts, "scan.svg")
    """
    if picture is not None and not overwrite and os.path.lexists(os.path.expanduser(picture)):
        raise NexusError(
            f"{os.fspath(picture)}: is there already; choose another name, or replace it with overwrite=True"
        )
    format_ = None if picture is None else _format_of(os.fspath(picture))
    with opened_array(what, dataset_path, storage_options) as array:
        if picture is not None:
            # What is computed has no source, and its coordinates theirs.
            for each in (array, *array.coords.variables.values()):
                refuse_source(picture, each.encoding.get("source", ""))
        view = view_of(array)
        if picture is None or format_ is None:
            return draw(view, **options)
        content = _picture_of(view, format_, options)
    with replacing(picture) as temporary:
        Path(temporary).write_bytes(content)
    return None


def _format_of(name: str) -> str:
    """The format of a picture, by its name."""
    require("plot")
    from matplotlib.backend_bases import FigureCanvasBase

    format_ = Path(name).suffix[1:].lower() or _DEFAULT_FORMAT
    if format_ not in (known := FigureCanvasBase.get_supported_filetypes()):
        raise NexusError(f"{name}: there are no pictures of this format; there are: {', '.join(sorted(known))}")
    return format_


def _picture_of(view: DrawnView, format_: str, options: Mapping[str, Any]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    stream = io.BytesIO()
    try:
        axes = figure.subplots()
        draw(view, ax=axes, **options)
        figure.draw_without_rendering()
        if _overlap(axes.get_xticklabels()):
            axes.tick_params(axis="x", labelrotation=_SLANTED)
        figure.savefig(stream, format=format_, dpi=_DPI)
    except NexusError:
        raise
    except (ValueError, TypeError) as error:  # either comes of numbers that are too large, too
        raise NexusError(f"{called(view.array)}: can't be drawn ({error})") from error
    return stream.getvalue()


def _overlap(labels: Sequence[Any]) -> bool:
    """Whether texts along an axis reach into each other."""
    boxes = sorted((box.x0, box.x1) for box in (each.get_window_extent() for each in labels if each.get_text()))
    return any(left[1] > right[0] for left, right in pairwise(boxes))


def draw(view: DrawnView, **options: Any) -> Any:
    """Draw a view by xarray's `plot`: a curve, of bins its steps, an image, or one of colours; give what that gives."""
    require("plot")
    array = abs(view.array).rename(f"|{view.array.name}|") if view.array.dtype.kind == "c" else view.array
    if array.ndim == 3:
        artist = _draw_colours(array, options)
    elif array.ndim == 2:
        artist = _draw_image(array, options)
    else:
        artist = _draw_curve(array if array.ndim else array.expand_dims("position"), options)
    _write_texts(artist, array.dims, view.texts)
    return artist


def _draw_image(array: xr.DataArray, options: dict[str, Any]) -> Any:
    pixels = pixels_of(array)
    shown = edges_to_intervals(array if pixels is None else pixels.array)
    if pixels is None or pixels.is_signed or _OF_COLOURS & options.keys():
        return shown.plot(**options)
    limits = {"vmin": pixels.reach.least, "vmax": pixels.reach.greatest} if pixels.exceeds else {}
    return shown.plot(**{"cmap": "viridis", "center": False, **limits, **options})


def _draw_curve(array: xr.DataArray, options: dict[str, Any]) -> Any:
    shown = edges_to_intervals(array)
    if isinstance(shown.indexes.get(shown.dims[0]), pd.IntervalIndex):
        return shown.plot.step(**options)
    marks: dict[str, Any] = {"marker": "o"} if array.size <= _FEW_POINTS else {}
    return shown.plot.line(**marks | options)


def _draw_colours(array: xr.DataArray, options: dict[str, Any]) -> Any:
    """An image whose last dimension is red, green, blue, and maybe opacity; of other colours their mean."""
    colours: Any = array.dims[-1]
    if array.sizes[colours] not in (3, 4):
        return array.mean(colours).plot(**options)
    largest = np.iinfo(array.dtype).max if array.dtype.kind == "u" else float(array.max()) or 1.0
    return (array / largest).clip(0, 1).plot.imshow(rgb=colours, **options)


def _write_texts(artist: Any, dims: Sequence[Any], texts: Mapping[Any, Sequence[str]]) -> None:
    """Texts at the positions along an axis, where there is room for them."""
    axes = (artist[0] if isinstance(artist, list) else artist).axes
    for dim, axis in zip(reversed(dims[:2]), (axes.xaxis, axes.yaxis), strict=False):
        if 0 < len(texts.get(dim, ())) <= _MOST_TICKS:
            axis.set_ticks(range(len(texts[dim])), texts[dim])
            axis.set_tick_params(rotation=90 if axis is axes.xaxis else 0)
