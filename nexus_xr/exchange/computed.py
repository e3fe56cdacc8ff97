"""Variables that a function makes of others, block by block or part by part as these are read."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

Function = Callable[..., NDArray[Any]]


def computed(
    function: Function, sources: Sequence[xr.Variable], sizes: Mapping[Hashable, int], dtype: np.dtype[Any]
) -> xr.Variable:
    """A variable of what a function makes of the values of others; it is as lazy as they are.

    Parameters
    ----------
    function
        Is given an array of each source, and gives one. It goes element by element of the dimensions that all have.
    sources
        The variables. Their first dimensions are those of the result, or the other way round.
    sizes, dtype
        Dimensions and dtype of the result.
    """
    dims = tuple(sizes)
    if any(hasattr(source._data, "dask") for source in sources):
        return xr.Variable(dims, _blockwise(function, sources, sizes, dtype))
    if all(source._in_memory for source in sources):
        return xr.Variable(dims, function(*(np.asarray(source.values) for source in sources)))
    array = ComputedArray(function, sources, tuple(sizes.values()), dtype)
    return xr.Variable(dims, indexing.LazilyIndexedArray(array))


def _blockwise(
    function: Function, sources: Sequence[xr.Variable], sizes: Mapping[Hashable, int], dtype: np.dtype[Any]
) -> Any:
    import dask.array as da

    pairs = [part for source in sources for part in (da.asarray(source.data), source.dims)]
    new = {dim: size for dim, size in sizes.items() if dim not in sources[0].dims}
    meta = np.empty((0,) * len(sizes), dtype)
    return da.blockwise(function, tuple(sizes), *pairs, new_axes=new, concatenate=True, dtype=dtype, meta=meta)


class ComputedArray(BackendArray):
    """What a function makes of the values of variables, behind xarray's lazy indexing."""

    def __init__(
        self, function: Function, sources: Sequence[xr.Variable], shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.function = function
        self.sources = sources
        self.shape = shape
        self.dtype = dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        rank = max(source.ndim for source in self.sources)
        values = self.function(*(np.asarray(source[key[: source.ndim]].values) for source in self.sources))
        new = key[rank:]
        for place in reversed(range(len(new))):  # dimensions that the function adds
            values = values[(*(slice(None),) * (values.ndim - len(new) + place), new[place])]
        return values
