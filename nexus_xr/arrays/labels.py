"""What is given with labels, for an array that has labels, too."""

from __future__ import annotations

from typing import Any

import xarray as xr
from xarray.indexes import PandasIndex

from nexus_xr.errors import NexusError


def in_order_of(given: xr.DataArray, own: xr.DataArray, what: str) -> xr.DataArray:
    """What is given, in the order of the labels of an array; along dimensions that lack labels, as it is.

    Parameters
    ----------
    given
        An array with some of the other one's dimensions.
    own
        The array.
    what
        What the given is called in errors.

    Raises
    ------
    NexusError
        They haven't the same labels.

    Examples
    --------
    >>> counts = xr.DataArray([4, 9], {"x": [1, 2]})
    >>> in_order_of(xr.DataArray([3, 2], {"x": [2, 1]}), counts, "uncertainties").values
    array([2, 3])
    >>> in_order_of(xr.DataArray([3, 2], {"x": [2, 5]}), counts, "uncertainties")
    Traceback (most recent call last):
    ...
    nexus_xr.errors.NexusError: uncertainties: labels along 'x' that aren't those of the values: 1 isn't among...
    """
    for dim in given.dims:
        mine, others = own.xindexes.get(dim), given.xindexes.get(dim)
        if isinstance(mine, PandasIndex) and isinstance(others, PandasIndex) and not mine.index.equals(others.index):
            given = given.isel({dim: _places(others.index, mine.index, f"{what}: labels along {dim!r}")})
    try:
        xr.align(own, given, join="exact", copy=False)
    except ValueError as error:  # of bins with other edges, or indexes of other kinds than pandas'
        raise NexusError(f"{what}: {error}") from None
    return given


def _places(given: Any, own: Any, what: str) -> Any:
    """Where in an index each label of another one is."""
    if not (given.is_unique and own.is_unique):
        raise NexusError(f"{what} occur several times, in another order than those of the values; put them in theirs")
    places = given.get_indexer(own)
    if (places < 0).any():
        raise NexusError(
            f"{what} that aren't those of the values: {own[places < 0][0]} isn't among them; give those of the same "
            "labels, or leave labels out, by .values, where they belong together by position"
        )
    return places
