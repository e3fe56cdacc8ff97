"""Which dimensions of an array are those of its signals, and which lead from one signal to the next."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import xarray as xr

from nexus_xr.errors import NexusError
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.interpretation import INTERPRETATION, interpretation_as, shown_dims

# On an axis, as HyperSpy's documentation has it: whether it leads from one signal to the next.
_NAVIGATE = "navigate"


def signal_dims(array: xr.DataArray) -> tuple[Hashable, ...]:
    """The dimensions that make one signal.

    As many of the last ones as ``interpretation`` says; else those whose coordinate has no ``navigate``, or one that is
    false, where others have it; else all.
    """
    shown = shown_dims(array.attrs)
    if shown is not None and shown <= array.ndim:
        return array.dims[array.ndim - shown :]
    told = {dim: array.coords[dim].attrs.get(_NAVIGATE) for dim in array.dims if dim in array.coords}
    return tuple(dim for dim in array.dims if not _is_true(told.get(dim)))


def assign_signal_dims(array: xr.DataArray, dims: tuple[Hashable, ...]) -> xr.DataArray:
    """The same with these dimensions as those of one signal, which become the last ones.

    Raises
    ------
    NexusError
        The array hasn't such a dimension; or there are more of them than ``interpretation`` has a word for, and a
        dimension besides has no coordinate to say so.
    """
    if len(set(dims)) < len(dims) or not set(dims) <= set(array.dims):
        raise NexusError(f"signal dimensions {dims}: expected some of {array.dims}, each once")
    others = [dim for dim in array.dims if dim not in dims]
    assigned = array.transpose(*others, *dims)
    assigned.attrs = {name: value for name, value in array.attrs.items() if name != INTERPRETATION}
    interpretation = interpretation_as(len(dims))
    if interpretation is not None:
        return assigned.assign_attrs({INTERPRETATION: interpretation})
    if unnamed := [dim for dim in others if dim not in array.coords]:
        raise NexusError(
            f"{len(dims)} signal dimensions: NeXus has no word for so many, so that the coordinates of the others say "
            f"it, and {unnamed} have none; assign coordinates"
        )
    told: dict[Hashable, Any] = {dim: _told(array, dim, dim in others) for dim in array.dims if dim in array.coords}
    return assigned.assign_coords(told)


def set_signal_dims(array: xr.DataArray, dims: str | Iterable[Hashable]) -> None:
    """Make these the dimensions of one signal in the array itself; others that share its values stay as they are.

    Raises
    ------
    NexusError
        As `assign_signal_dims`; the array is then as it was.
    """
    assigned = assign_signal_dims(array, (dims,) if isinstance(dims, str) else tuple(dims))
    # xarray lets nobody reorder dimensions in place, and other arrays may have the variable and its attributes too.
    array._variable, array._coords, array._indexes = assigned._variable, assigned._coords, assigned._indexes


def _told(array: xr.DataArray, dim: Hashable, navigates: bool) -> xr.DataArray:
    told: xr.DataArray = array.coords[dim].assign_attrs({_NAVIGATE: navigates})
    return told


def _is_true(value: Any) -> bool:
    said = text(value)
    return bool(value) if said is None else said.lower() not in ("", "false", "0")
