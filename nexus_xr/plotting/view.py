"""The part of an array that a plot shows first, as numbers over numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.nexus.rules.interpretation import shown_dims

from .letters import number

# What a plot shows together where nothing is said of it: an image.
_USUALLY_SHOWN = 2
# What xarray writes behind a name.
_UNITS = {"units", "unit"}
# So many values along a curve, or an image's side, are read at most; every so manieth of more.
_MOST_OF_CURVE, _MOST_OF_SIDE = 1 << 20, 1 << 11


def default_view(array: xr.DataArray, shown: int | None = None) -> xr.DataArray:
    """The part that a plot shows first: at ``@default_slice``, else at the first position of what isn't shown.

    Source: the attributes ``interpretation`` of a field and ``default_slice`` of NXdata.

    Parameters
    ----------
    array
        The array.
    shown
        How many of the last dimensions are shown; None for what ``interpretation`` says.
    """
    if shown is None:
        said = shown_dims(array.attrs)
        shown = _USUALLY_SHOWN if said is None else said
    chosen = {dim: at for dim, at in array.encoding.get("default_slice", {}).items() if dim in array.dims}
    left = [dim for dim in array.dims if dim not in chosen]
    return array.isel(chosen | dict.fromkeys(left[: max(0, len(left) - shown)], 0))


@dataclass(frozen=True)
class DrawnView:
    """What is drawn: a value, a curve or an image.

    Parameters
    ----------
    array
        Of no dimension, one, two, or three with the colours last; its coordinates are numbers or dates that can be
        drawn against, which rise or fall in an image. Other dimensions have none, and are drawn by position.
    texts
        Along dimensions that are drawn by position, though there is a coordinate, what that has at each.
    steps
        By dimension, every how manieth of its positions there is.
    positions
        By dimension that isn't drawn, the position that is shown.
    """

    array: xr.DataArray
    texts: Mapping[Any, Sequence[str]]
    steps: Mapping[Any, int]
    positions: Mapping[Any, int]


def view_of(array: xr.DataArray, is_thinned: bool = True) -> DrawnView:
    """What is drawn of an array; it isn't read yet.

    Parameters
    ----------
    array
        The array.
    is_thinned
        Whether only so much of it is to be read as can be seen.

    Raises
    ------
    NexusError
        Its values are no numbers, or there are none.
    """
    if array.dtype.kind not in "biufcmM":
        raise NexusError(f"{called(array)}: is {_in_words(array)}, which can't be drawn; choose numbers")
    if not array.size:
        raise NexusError(f"{called(array)}: has no values to draw; its shape is {array.shape}")
    scalars = shown_dims(array.attrs) == 0  # one of them is no plot; they are drawn over what they were measured at
    shown = default_view(array, _USUALLY_SHOWN if scalars else None).squeeze()
    steps = _steps(shown) if is_thinned else {}
    if steps:
        shown = shown.isel({dim: slice(None, None, step) for dim, step in steps.items()})
    unusable = [dim for dim in shown.dims if dim in shown.coords and not _can_be_axis(shown, dim)]
    texts = {dim: [number(each) for each in shown[dim].values] for dim in unusable}
    chosen = array.encoding.get("default_slice", {})
    positions = {dim: chosen.get(dim, 0) for dim in array.dims if dim not in shown.dims}
    shown = shown.drop_vars(unusable)
    thinned = {dim: step for dim, step in steps.items() if dim not in shown.coords}
    places = {dim: np.arange(shown.sizes[dim]) * step for dim, step in thinned.items()}
    return DrawnView(_labelled(shown.assign_coords(places)), texts, steps, positions)


def _labelled(array: xr.DataArray) -> xr.DataArray:
    """The same without units that say nothing, or that stand at the end of the long name already."""
    made = array.copy(deep=False)
    for each in (made, *made.coords.variables.values()):
        name = str(each.attrs.get("long_name", ""))
        for key in _UNITS & each.attrs.keys():
            units = str(each.attrs[key]).strip()
            if not units or re.search(rf"[\s(\[/,]{re.escape(units)}\s*[)\]]?\s*$", name):
                del each.attrs[key]
    return made


def called(array: xr.DataArray) -> str:
    """What messages call an array: of one that was opened, where it lies."""
    source, path = (array.encoding.get(name) for name in ("source", "nexus_path"))
    return f"{array.name}" if source is None or path is None else f"{shown(str(source))}:{path}"


def _in_words(array: xr.DataArray) -> str:
    if array.dtype.names is not None:
        return f"a compound of {len(array.dtype.names)} members"
    return f"of type {'text or other objects' if array.dtype.kind in 'OSU' else array.dtype}"


def _steps(shown: xr.DataArray) -> dict[Any, int]:
    most = _MOST_OF_CURVE if shown.ndim == 1 else _MOST_OF_SIDE
    steps = {dim: math.ceil(size / most) for dim, size in shown.sizes.items()}
    return {dim: step for dim, step in steps.items() if step > 1}


def _can_be_axis(shown: xr.DataArray, dim: Any) -> bool:
    """Whether a coordinate tells where values are drawn: a curve may go back and forth, an image may not."""
    values = shown[dim].values
    if values.dtype.kind not in "iufmM" or not np.isfinite(values).all():
        return False
    if shown.ndim == 1:
        return True
    rises = values[1:] >= values[:-1]
    return bool(rises.all() or (values[1:] <= values[:-1]).all()) and values[0] != values[-1]


@contextmanager
def opened_array(
    what: Any, dataset_path: str | None, storage_options: Mapping[str, Any] | None
) -> Iterator[xr.DataArray]:
    """The array to draw: of a Dataset, or of a file's default plot, the first variable.

    Raises
    ------
    NexusError
        There is none.
    """
    if isinstance(what, xr.DataArray | xr.Dataset):
        if dataset_path is not None or storage_options is not None:
            raise NexusError("dataset_path and storage_options are for files; of xarray's objects, give what to draw")
        yield signal_of(what, type(what).__name__)
        return
    if isinstance(what, xr.DataTree):
        raise NexusError("a DataTree has many plots; give one of its nodes, as tree['entry/data'].to_dataset()")
    with xr.open_dataset(what, engine="nexus", dataset_path=dataset_path, storage_options=storage_options) as dataset:
        yield signal_of(dataset, str(dataset.encoding["source"]))


def signal_of(obj: xr.DataArray | xr.Dataset, name: str) -> xr.DataArray:
    """The array, or the first variable of a Dataset, which is its signal."""
    if isinstance(obj, xr.DataArray):
        return obj
    if not obj.data_vars:
        raise NexusError(f"{name}: there is no signal to draw; name a dataset, or another group")
    return next(iter(obj.data_vars.values()))
