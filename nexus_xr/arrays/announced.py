"""Blocks of dask's arrays, which may turn out to be others than dask says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.writing.chunk_writer import Region, in_words, why_unfit

from .uncertainties import refuse_unknown


def as_announced(data: Any, where: str) -> Any:
    """An array of dask whose blocks are what dask says of them, or an error where they can't be made so.

    To be asked for before blocks are put together, for which dask cuts all to the type of the first.

    Parameters
    ----------
    data
        The array.
    where
        What it is called in errors.
    """
    places = places_of(data)
    return data.map_blocks(_announced_at, places, where=where, dtype=data.dtype, wanted=data.dtype, meta=data._meta)


def places_of(data: Any) -> Any:
    """What gives each block of an array of dask the slices at which it is, as an argument of `map_blocks`."""
    from dask.layers import ArraySliceDep

    return ArraySliceDep(data.chunks)


def region_at(place: Sequence[slice], begin: Sequence[int] | None = None) -> Region:
    """The region of a block in an array that begins with some element of a larger one."""
    first = begin or (0,) * len(place)
    return tuple((at + each.start, at + each.stop) for at, each in zip(first, place, strict=True))


def announced(block: Any, region: Region, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
    """The values of a block in the type that dask says it has.

    Parameters
    ----------
    block
        What dask has computed.
    region
        Where it belongs.
    dtype
        The type.
    where
        What the array is called in errors.

    Raises
    ------
    NexusError
        It is of another shape, has masked elements, uncertainties, or values that the type doesn't hold as they are.

    Examples
    --------
    >>> announced(np.array(["2024-05-01"], "M8[D]"), ((0, 1),), np.dtype("M8[s]"), "when")
    array(['2024-05-01T00:00:00'], dtype='datetime64[s]')
    >>> announced(np.array(["low", "high"]), ((0, 2),), np.dtype("U3"), "level")
    Traceback (most recent call last):
    ...
    nexus_xr.errors.NexusError: level: what dask gives for [0:2] is of <U4, not all of which <U3 holds; tell dask ...
    """
    refuse_unknown(where, block)
    values = np.asanyarray(block)
    if (reason := why_unfit(values, tuple(end - begin for begin, end in region), dtype)) is not None:
        advice = "" if values.dtype == dtype else "; tell dask what it is, by dtype, meta or output_dtypes"
        raise NexusError(f"{where}: what dask gives for {in_words(region)} {reason}{advice}")
    made: NDArray[Any] = values.astype(dtype, copy=False)
    return made


def _announced_at(block: Any, place: Sequence[slice], where: str, wanted: np.dtype[Any]) -> NDArray[Any]:
    return announced(block, region_at(place), wanted, where)
