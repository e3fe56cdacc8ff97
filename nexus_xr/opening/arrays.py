"""Arrays of a file as xarray takes them: lazily indexed, or as dask chunks that follow HDF5's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.hdf5.reading.array import LazyArray

from .fields.stored import Stored

# Of a dask array that reads from a file: what is read from, and the blocks. Others follow when it gets other blocks.
_LAYERS_OF_A_FILE = 2
_OTHER_BLOCKS = "rechunk-"

Chunks = int | str | Mapping[Any, Any] | None


class FileArray(BackendArray):
    """A `LazyArray`, or one computed from it, behind xarray's lazy indexing."""

    def __init__(self, array: Stored) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        if not isinstance(key, indexing.VectorizedIndexer):
            values = self.array[key.tuple]
            is_element = not any(isinstance(part, slice | np.ndarray) for part in key.tuple)
            # Of an element that is an array itself, xarray would take the elements.
            return _wrapped(values) if is_element and self.dtype.kind == "O" and np.ndim(values) else values
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self.array.__getitem__
        )

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.array)


def _wrapped(value: Any) -> NDArray[Any]:
    """A Python object as an array of it, also where it is an array itself."""
    return np.fromiter([value], dtype=object).reshape(())


def file_array(variable: xr.Variable) -> LazyArray | None:
    """The array of a file that a variable is as a whole and unchanged, None where it is anything else."""
    array = origin_of(variable)
    return array if isinstance(array, LazyArray) else None


def origin_of(variable: xr.Variable) -> Stored | None:
    """What a variable was opened as, where it still is that as a whole; None where it is anything else."""
    selected = selection_of(variable)
    if selected is None or not all(isinstance(part, slice) and part == slice(None) for part in selected[1]):
        return None
    return selected[0] if selected[0].shape == variable.shape else None


def is_whole(variable: xr.Variable) -> bool:
    """Whether a variable has each value that it was opened with at its place, in dask chunks of any lengths.

    False where that can't be told without reading, as of what is in memory.
    """
    data = variable._data
    if not hasattr(data, "dask"):
        return origin_of(variable) is not None
    layers = getattr(data.dask, "layers", {})
    before = [name for name in layers if not name.startswith(_OTHER_BLOCKS)]
    source = _source_among([layers[name] for name in before if len(before) == _LAYERS_OF_A_FILE], data.shape)
    return source is not None and origin_of(xr.Variable(variable.dims, source, fastpath=True)) is not None


def selection_of(variable: xr.Variable) -> tuple[Stored, tuple[Any, ...]] | None:
    """What a variable was opened as, and what is selected of it, one indexer a dimension.

    None where it was computed, is in memory, or was selected from dask chunks or point by point.
    """
    data: Any = variable._data
    if hasattr(data, "dask"):
        data = _only_source(data)
    while isinstance(
        data, indexing.MemoryCachedArray | indexing.CopyOnWriteArray | indexing.ImplicitToExplicitIndexingAdapter
    ):
        data = data.array
    if not isinstance(data, indexing.LazilyIndexedArray) or not isinstance(data.array, FileArray):
        return (data.array, (slice(None),) * len(data.shape)) if isinstance(data, FileArray) else None
    return data.array.array, data.key.tuple


def same_origin(a: xr.Variable, b: xr.Variable) -> bool:
    """Whether two variables are as they were opened, as the same thing."""
    from dask.base import tokenize

    origins = [origin_of(each) for each in (a, b)]
    return None not in origins and tokenize(origins[0]) == tokenize(origins[1])


def _only_source(array: Any) -> Any:
    """What a dask array reads its blocks from, if that is all that it does."""
    graph = array.dask
    if len(getattr(graph, "layers", ())) != _LAYERS_OF_A_FILE or array.name not in graph.layers:
        return None
    return _source_among([layer for name, layer in graph.layers.items() if name != array.name], array.shape)


def _source_among(layers: Sequence[Mapping[Any, Any]], shape: tuple[int, ...]) -> Any:
    """The one thing of that shape that is a layer by itself."""
    entries = [next(iter(layer.values())) for layer in layers if len(layer) == 1]
    sources = [getattr(entry, "value", entry) for entry in entries]
    fitting = [source for source in sources if getattr(source, "shape", None) == shape]
    return fitting[0] if len(fitting) == 1 else None


def chunked(variable: xr.Variable, chunks: Chunks) -> xr.Variable:
    """A variable with dask chunks, as `xarray.open_dataset` makes them of its argument `chunks`.

    None leaves the variable lazily indexed; ``{}`` takes the preferred chunks; a mapping is by dimension.

    Raises
    ------
    NexusError
        The chunks are of no kind that is known, or can't be those of the variable.
    """
    if chunks is None:
        cached = indexing.MemoryCachedArray(indexing.CopyOnWriteArray(variable._data))
        return xr.Variable(variable.dims, cached, variable.attrs, variable.encoding)
    try:
        return variable.chunk(_blocks(variable, chunks))
    except (ValueError, TypeError, ArithmeticError) as error:  # dask raises any of them
        where = f"{shown(variable.encoding['source'])}:{variable.encoding['nexus_path']}"
        raise NexusError(
            f"{where}: chunks={chunks!r} can't be those of "
            f'dimensions {dict(variable.sizes)} ({error}); give "auto", a length, or lengths by dimension'
        ) from error


def _blocks(variable: xr.Variable, chunks: Chunks) -> Any:
    """The blocks as `xarray.Variable.chunk` takes them."""
    if not isinstance(chunks, int | np.integer | str | Mapping):
        raise TypeError(f"a {type(chunks).__name__} doesn't say which dimensions it is for")
    preferred = variable.encoding.get("preferred_chunks", {})
    if chunks == "auto":
        from dask.array.core import normalize_chunks

        blocks = tuple(preferred.get(dim, size) for dim, size in variable.sizes.items())
        previous = normalize_chunks(blocks, variable.shape)
        if variable.dtype.hasobject:
            return previous
        return normalize_chunks("auto", variable.shape, dtype=variable.dtype, previous_chunks=previous)
    wanted = dict.fromkeys(variable.dims, chunks) if not isinstance(chunks, Mapping) else chunks
    return {dim: wanted.get(dim, preferred.get(dim, size)) for dim, size in variable.sizes.items()}
