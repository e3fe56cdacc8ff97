"""Reducing arrays of files in each core's cache: `nexus_xr.reduce`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .arrays.quantified import without_quantities
from .errors import NexusError
from .hdf5.io.file import File
from .hdf5.reading.array import LazyArray
from .hdf5.reading.reductions.absence import ConstantOf, constant_of
from .hdf5.reading.reductions.frames import FrameFunction
from .hdf5.reading.reductions.operations import OPERATIONS, CountAbove
from .hdf5.reading.reductions.reduction import Reduction
from .hdf5.reading.reductions.views import ArrayView, Read, shape_of, view_of, without
from .hdf5.reading.selection import normalize
from .opening.arrays import selection_of
from .opening.fields.stored import ScaledArray, stored_array

Dims: TypeAlias = Hashable | Iterable[Hashable] | None
# Of numbers, those that operations are of.
_KINDS = "biufc"
# What one task of dask's reads.
_PIECE_BYTES = 64 << 20
_MERGED_AT_ONCE = 8


def reduce(
    array: xr.DataArray,
    op: str | Callable[[NDArray[Any]], Any],
    dims: Dims = None,
    where: xr.DataArray | NDArray[np.bool_] | None = None,
    above: Any = None,
) -> xr.DataArray:
    """Reduce an array of a file along dimensions, chunk by chunk in each core's cache.

    Decoded values never go through memory, so that it takes little more time than to decode them, and no more memory
    than a few chunks and the result. Chunks that aren't stored are counted without being made.

    Parameters
    ----------
    array
        As it was opened, or a selection of it that is lazily indexed, or what is in memory. With dask chunks, as it was
        opened.
    op
        "sum", "mean", "min", "max", "std" (of a whole population), "count" (of values above a threshold), or a function
        of one's own: it is given each frame as a NumPy array, which is in memory for as long as that takes, and gives a
        number; it runs in several threads, once for each element of the result.
    dims
        The dimensions to reduce, by default all; for a function, those of a frame, in the order in which it is given
        them.
    where
        Which values count: booleans by dimension, those that are left out being all alike, or an array that NumPy
        broadcasts. Where it is a DataArray that has labels along a dimension, as the array has, these say which values
        it is of, in whatever order; it may have more of them. Not for a function.
    above
        The threshold of "count".

    Returns
    -------
    xarray.DataArray
        With the coordinates that have none of these dimensions, and their edges of bins, and with ``attrs``; without
        units where numbers of other things come of it. In memory, or with dask chunks where the array has some. Dtypes
        are NumPy's. Results of integers are NumPy's bit for bit, means being those of the exact sum; of floats, sums
        are kept in double precision and rounded at the end, and what NaN is part of is NaN as in NumPy, unless `where`
        leaves it out. A function's results are float64.

    Raises
    ------
    NexusError
        The array is neither of a file any more nor in memory, or not of numbers; there is no such operation or
        dimension; the mask isn't one of booleans that go with the array, or lacks some of its labels; nothing counts
        where the least or the greatest value is asked for.

    Examples
    --------
    >>> import h5py
    >>> import nexus_xr
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     file["entry/data/counts"] = np.arange(24, dtype="u2").reshape(2, 3, 4)
    ...     file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
    >>> [counts] = nexus_xr.open_signals("scan.nxs", nxdata_only=True)
    >>> nexus_xr.reduce(counts, "sum", ["dim_1", "dim_2"]).values
    array([ 66, 210], dtype=uint64)
    >>> nexus_xr.reduce(counts[:, 1:], "count", above=8).item()
    11
    >>> nexus_xr.reduce(counts, np.median, ["dim_1", "dim_2"]).values
    array([ 5.5, 17.5])
    """
    array = without_quantities(array)
    source = _source(array)
    axes = _axes(array, dims)
    work: Reduction | FrameFunction
    if callable(op):
        work = _function(array, source, op, axes, where, dims)
    else:
        work = _operation(array, source, op, axes, where, above)
    values = work.result(work.view.whole) if array.chunks is None else _lazily(work)
    return _result(array, axes, values, keeps_units=isinstance(op, str) and op != "count")


@dataclass(frozen=True, eq=False)
class _InMemory:
    """An array that is in memory, as xarray keeps what was looked at."""

    values: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @contextmanager
    def reading(self) -> Iterator[Read]:
        yield lambda indexers: np.array(self.values[tuple(indexers)])


@dataclass(frozen=True, eq=False)
class _Source:
    """What an array is a selection of."""

    opened: LazyArray | ScaledArray | _InMemory
    key: tuple[Any, ...]
    chunks: tuple[int, ...] | None

    @property
    def file(self) -> File | None:
        return None if isinstance(self.opened, _InMemory) else stored_array(self.opened).file

    @property
    def num_threads(self) -> int | None:
        return None if self.file is None else self.file.policy.num_threads

    def view(self, frame: tuple[int, ...] = (), reduced: tuple[int, ...] = (), together: int = 1) -> ArrayView:
        """The selection, in blocks that hold all of some of its dimensions; or to be reduced along some."""
        indexers = tuple(map(normalize, self.key, self.opened.shape))
        kept = [dimension for dimension, indexer in enumerate(indexers) if not isinstance(indexer, int)]
        is_local = self.file is None or self.file.is_local
        whole, along = ({kept[axis] for axis in axes} for axes in (frame, reduced))
        return view_of(self.opened, indexers, self.chunks, whole, is_local, along, together)


def _source(array: xr.DataArray) -> _Source:
    if not isinstance(array, xr.DataArray):
        raise TypeError(f"array={array!r}: expected an xarray.DataArray, found {type(array).__name__}")
    opened: Any
    opened, key = selection_of(array.variable) or (None, ())
    if array.variable._in_memory:
        opened, key = _InMemory(array.values), (slice(None),) * array.ndim
    if not isinstance(opened, LazyArray | ScaledArray | _InMemory):
        raise NexusError(
            f"{array.name!r} isn't what it was opened as, nor a lazily indexed selection of it, but was computed, "
            "transposed, or selected from dask chunks, or point by point; open it without chunks, select from that and "
            "transpose the result, or use xarray's own reductions"
        )
    if opened.dtype.kind not in _KINDS:
        raise NexusError(f"{array.name!r} is of type {opened.dtype}, and numbers alone can be reduced")
    chunks = array.encoding.get("chunksizes")
    return _Source(opened, key, chunks if chunks and len(chunks) == len(opened.shape) and min(chunks) > 0 else None)


def _axes(array: xr.DataArray, dims: Dims) -> tuple[int, ...]:
    if dims is None or dims is ...:
        return tuple(range(array.ndim))
    named = [dims] if isinstance(dims, str) or not isinstance(dims, Iterable) else list(dims)
    unknown = [dim for dim in named if dim not in array.dims]
    if unknown or len(set(named)) < len(named):
        raise NexusError(f"dims={dims!r}: expected dimensions of {array.name!r}, each once; there are {array.dims}")
    return tuple(map(array.dims.index, named))


def _operation(
    array: xr.DataArray, source: _Source, op: str, axes: tuple[int, ...], where: Any, above: Any
) -> Reduction:
    count = math.prod(array.shape[axis] for axis in axes)
    if (op == "count") != (above is not None):
        raise NexusError(f"op={op!r}, above={above!r}: a threshold is needed for 'count', and for nothing else")
    if op != "count" and op not in OPERATIONS:
        raise NexusError(f"op={op!r}: expected {', '.join(map(repr, OPERATIONS))}, 'count' or a function")
    operation = CountAbove(above) if op == "count" else OPERATIONS[op](source.opened.dtype, count)
    mask = None if where is None else _mask(array, where)
    view = source.view(reduced=axes, together=operation.blocks_together)
    return Reduction(view, operation, axes, mask, partial(_absence, source.opened), source.num_threads)


def _absence(opened: LazyArray | ScaledArray | _InMemory) -> ConstantOf | None:
    """What tells of values that aren't stored; None where nothing does."""
    if isinstance(opened, _InMemory):
        return None
    if isinstance(opened, LazyArray):
        return constant_of(opened)
    found = constant_of(opened.raw)
    return None if found is None else partial(_scaled_constant, opened, found)


def _scaled_constant(opened: ScaledArray, found: ConstantOf, indexers: Any) -> Any:
    value = found(indexers)
    return None if value is None else opened.scaled(np.asarray(value))[()]


def _mask(array: xr.DataArray, where: Any) -> NDArray[np.bool_]:
    """Booleans with all dimensions of an array, of length 1 where they are all alike."""
    given = np.shape(where)
    if isinstance(where, xr.DataArray):
        if not set(where.dims) <= set(array.dims):
            raise NexusError(f"where: its dimensions are {where.dims}, and those of {array.name!r} {array.dims}")
        ordered = _by_labels(array, where).transpose(*(dim for dim in array.dims if dim in where.dims))
        others = [dim for dim in ordered.dims if ordered.sizes[dim] != array.sizes[dim]]
        fits = not others
        mask = np.asarray(ordered).reshape([ordered.sizes.get(dim, 1) for dim in array.dims])
        alike = [dim for dim in others if ordered.sizes[dim] == 1]
        hint = f"; leave out {alike} by mask.squeeze({alike}) where one stands for all" if alike else ""
    else:
        mask = np.asarray(where)
        mask = mask.reshape((1,) * (array.ndim - mask.ndim) + mask.shape)
        fits = mask.ndim == array.ndim and all(a in (1, b) for a, b in zip(mask.shape, array.shape, strict=True))
        hint = "; NumPy's go with the last dimensions: name those that are meant, by xarray.DataArray(mask, dims=...)"
    if mask.dtype != bool or not fits:
        expected = f"booleans that go with {array.name!r} of {dict(array.sizes)}"
        raise NexusError(f"where: expected {expected}, found {mask.dtype} of shape {given}{hint}")
    return mask


def _by_labels(array: xr.DataArray, where: xr.DataArray) -> xr.DataArray:
    """A mask with the labels of an array, in their order, along the dimensions where both have some."""
    labels = xr.Dataset(coords=array.coords)
    labelled = {dim for name in where.xindexes for dim in where.coords[name].dims}
    labels = labels.drop_vars(set(labels.coords) - set(labels.xindexes)).drop_dims(set(labels.dims) - labelled)
    try:
        _, common = xr.align(labels, where, join="inner", copy=False)
        absent = {dim: size - common.sizes[dim] for dim, size in labels.sizes.items() if size > common.sizes[dim]}
        if not absent:
            return common.reindex_like(labels, copy=False)
    except ValueError as error:
        raise NexusError(f"where: its labels don't go with those of {array.name!r}: {error}") from error
    dim, count = next(iter(absent.items()))
    raise NexusError(
        f"where: it lacks {count} of the {labels.sizes[dim]} labels that {array.name!r} has along {dim!r}; leave these "
        f"out by mask.reindex_like(array, fill_value=False), or go by positions: mask.drop_vars({dim!r})"
    )


def _function(
    array: xr.DataArray,
    source: _Source,
    op: Callable[[NDArray[Any]], Any],
    axes: tuple[int, ...],
    where: Any,
    dims: Dims,
) -> FrameFunction:
    if where is not None or dims is None:
        raise NexusError(
            f"{op!r} of {array.name!r}: a function is given whole frames: name their dimensions in dims, and leave out "
            "within the function what doesn't count"
        )
    return FrameFunction(source.view(axes), op, axes, source.num_threads)


def _lazily(work: Reduction | FrameFunction) -> Any:
    """The result as a dask array, of which each task reads a slab of its own."""
    import dask.array as da
    from dask.delayed import delayed

    shared = delayed(work)
    axis, whole = _axis_of_slabs(work), work.view.whole
    if axis is None:
        return da.from_delayed(shared.result(whole), shape_of(without(work.axes, whole)), work.dtype)
    slabs = [(*whole[:axis], part, *whole[axis + 1 :]) for part in _slabs(work.view, axis)]
    if axis in work.axes:
        parts = [shared.state(slab) for slab in slabs]
        while len(parts) > 1:
            parts = [shared.merged(parts[at : at + _MERGED_AT_ONCE]) for at in range(0, len(parts), _MERGED_AT_ONCE)]
        return da.from_delayed(shared.finish(parts[0], whole), shape_of(without(work.axes, whole)), work.dtype)
    blocks = [da.from_delayed(shared.result(slab), shape_of(without(work.axes, slab)), work.dtype) for slab in slabs]
    return da.concatenate(blocks, axis=sum(other not in work.axes for other in range(axis)))


def _axis_of_slabs(work: Reduction | FrameFunction) -> int | None:
    """The slowest dimension with several blocks, for a function, one that isn't a frame's; None where there is none."""
    axes = [axis for axis in range(len(work.view.whole)) if isinstance(work, Reduction) or axis not in work.axes]
    return next((axis for axis in axes if len(work.view.borders[axis]) > 2), None)


def _slabs(view: ArrayView, axis: int) -> list[slice]:
    """Parts along a dimension that are worth a task."""
    borders = view.borders[axis]
    size = math.prod(view.shape) * view.array.dtype.itemsize
    count = max(1, min(len(borders) - 1, -(-size // _PIECE_BYTES)))
    step = -(-(len(borders) - 1) // count) or 1
    chosen = [*borders[:-1:step], borders[-1]]
    return [slice(begin, end) for begin, end in itertools.pairwise(chosen)]


def _result(array: xr.DataArray, axes: Sequence[int], values: Any, keeps_units: bool) -> xr.DataArray:
    dims = [dim for axis, dim in enumerate(array.dims) if axis not in axes]
    # With their indexes, which may have more than the coordinates do: edges of bins.
    left = array.coords.to_dataset().drop_dims([array.dims[axis] for axis in axes], errors="ignore")
    attrs = {name: value for name, value in array.attrs.items() if keeps_units or name != "units"}
    return xr.DataArray(values, left.coords, dims, array.name, attrs)
