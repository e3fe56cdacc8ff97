"""A dataset of a file that is being written, filled block by block from any thread.

Chunks are encoded here, on all cores and outside libhdf5's lock, and stored as they are; libhdf5 itself writes what
isn't chunked, and what only it encodes.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, NoReturn

import h5py
import numpy as np
from h5py import h5d, h5s, h5t
from numpy.typing import NDArray

from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.filters.codec import Bytes, DecodeError
from nexus_xr.hdf5.filters.encoder import Encoder
from nexus_xr.hdf5.filters.pipeline import Pipeline, Workspace
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.reading.layouts.layout import carrier_of
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.h5py_lock import phil
from nexus_xr.hdf5.runtime.memory import empty

from .creation import put
from .exact_numbers import are_same, times_in
from .writable_file import reserve_room, why_unwritten

Region = tuple[tuple[int, int], ...]
# Whether nobody has written the chunk that begins at an element, where the values come from.
IsUnwritten = Callable[[tuple[int, ...]], bool]


class WrittenDataset:
    """Writes blocks of values into a dataset.

    Blocks may come in any order and from several threads at once, as long as no two of them overlap.

    Parameters
    ----------
    dataset
        The open dataset.
    num_threads
        Most threads that encode one block; None for as many as there are CPUs for this process.
    where
        What the dataset is called in errors, by default its file's name and its own.
    is_new
        Whether nothing is stored in it yet; None to find it out.
    as_stored
        Whether blocks are elements as they are stored, in a dtype as large as one; of a new dataset.
    """

    def __init__(
        self,
        dataset: h5py.Dataset,
        num_threads: int | None = None,
        where: str | None = None,
        is_new: bool | None = None,
        as_stored: bool = False,
    ) -> None:
        self._kind = dataset.id.get_type() if as_stored else None
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype if self._kind is None else _carrier_of(self._kind)
        self.chunks: tuple[int, ...] | None = dataset.chunks
        self._dataset = dataset
        #: What it is called in errors.
        self.where = where or f"{dataset.file.filename}:{dataset.name}"
        self._num_threads = num_threads
        self._coders = _coders_of(dataset, self.dtype)
        self._fill = np.empty(1, self.dtype)
        self._is_new = not dataset.id.get_storage_size() if is_new is None else is_new
        self._leaves_fill = False
        if self._coders is not None:
            self._fill[...] = dataset.fillvalue if self._kind is None else _unwritten_element(dataset, self._kind)
            self._leaves_fill = self._is_new and _has_fill(dataset)

    def resize(self, shape: tuple[int, ...]) -> None:
        """Give the dataset another shape."""
        with self._explained():
            self._dataset.resize(shape)
        self.shape = shape

    def flush(self) -> None:
        """Have all in the file, for those who read it meanwhile."""
        with self._explained():
            self._dataset.flush()

    def write(self, region: Region, values: NDArray[Any], is_unwritten: IsUnwritten | None = None) -> None:
        """Write the values of a region.

        A chunk that is of the fill value alone is stored as any other, as not every reader reads others. It isn't where
        nobody has written it: of an array of one element that is only repeated, as dask's ``zeros`` are, with which a
        file is laid out that is filled later; and where the values come from.

        Parameters
        ----------
        region
            First element and the one behind the last, for each dimension.
        values
            As many values.
        is_unwritten
            Tells of a whole chunk that nobody has written it; None where all were.

        Raises
        ------
        NexusFileError
            It is closed, or can't be written.
        NexusError
            There are more or fewer, or some that the dataset has no place for, as where dask's blocks aren't what it
            says of them.
        """
        if not self._dataset:
            raise NexusFileError(f"{self.where}: is closed, as this has been done, or given up; write it anew")
        self.check(region, values)
        values = np.asarray(values)
        if _is_repeated(values):
            is_unwritten = everywhere
        if self._coders is None or self.chunks is None or not values.size:
            self._write_with_hdf5(region, values)
            return
        tasks = []
        for corner in _corners(region, self.chunks):
            chunk = tuple(
                (at, min(at + length, size)) for at, length, size in zip(corner, self.chunks, self.shape, strict=True)
            )
            part = tuple(
                (max(begin, first), min(end, last)) for (begin, end), (first, last) in zip(chunk, region, strict=True)
            )
            inner = values[_slices(part, [first for first, _ in region])]
            if part == chunk:
                tasks.append(partial(self._write_chunk, corner, inner, is_unwritten))
            else:
                tasks.append(partial(self._change_chunk, corner, _slices(part, corner), inner))
        # Without filters there is nothing to do side by side, and threads would only wait for libhdf5's lock.
        threads.run(tasks, self._num_threads if self._coders.encoder.has_filters else 1)

    def check(self, region: Region, values: NDArray[Any]) -> None:
        """Raise the error of `write` for values that don't fit into a region."""
        if (reason := why_unfit(values, tuple(end - begin for begin, end in region), self.dtype)) is not None:
            raise NexusError(f"{self.where}: what is to be written into {in_words(region)} {reason}")

    def _write_chunk(
        self, corner: tuple[int, ...], values: NDArray[Any], is_unwritten: IsUnwritten | None = None
    ) -> None:
        if values.shape == self.chunks:
            chunk = np.ascontiguousarray(values, self.dtype)
        else:
            chunk = self._unwritten_chunk()
            chunk[tuple(slice(0, length) for length in values.shape)] = values
        if self._leaves_fill and is_unwritten is not None and self._is_fill(chunk) and is_unwritten(corner):
            return  # as it reads where nothing is stored
        self._store(corner, chunk, may_be_there=not self._is_new)

    def _is_fill(self, chunk: NDArray[Any]) -> bool:
        return _consists_of(chunk.reshape(-1).view(np.uint8), self._fill.view(np.uint8))

    def _change_chunk(self, corner: tuple[int, ...], part: tuple[slice, ...], values: NDArray[Any]) -> None:
        """Write a part of a chunk, the rest of which stays as it is."""
        with phil:  # as another thread may be at another part, by a handle of its own
            chunk = self._stored_chunk(corner)
            chunk[part] = values
            self._store(corner, chunk, may_be_there=True)

    def _unwritten_chunk(self) -> NDArray[Any]:
        assert self.chunks is not None
        chunk: NDArray[Any] = empty(self.chunks, self.dtype)
        chunk[...] = self._fill[0]
        return chunk

    def _stored_chunk(self, corner: tuple[int, ...]) -> NDArray[Any]:
        """A chunk as it is in the file by now, which libhdf5 may read wrongly: it forgets masks that it has stored."""
        assert self._coders is not None
        assert self.chunks is not None
        with self._explained(), phil:
            info = self._dataset.id.get_chunk_info_by_coord(corner)
            stored = None if info.byte_offset is None else self._dataset.id.read_direct_chunk(corner)[1]
        if stored is None:
            return self._unwritten_chunk()
        space, pipeline = Workspace(), self._coders.pipeline
        source, target = space.raw.of(len(stored)), space.decoded.of(pipeline.chunk_bytes)
        ctypes.memmove(source, stored, len(stored))
        try:
            size = pipeline.decode(space, source, len(stored), info.filter_mask, target)
            if size != pipeline.chunk_bytes:
                raise DecodeError(f"it has {size} bytes, and a chunk {pipeline.chunk_bytes}")
        except DecodeError as error:
            raise NexusFileError(
                f"{self.where}: the chunk at {corner} can't be read, of which a part is to be written ({error}); "
                "write all of it"
            ) from error
        return space.decoded.array[:size].view(self.dtype).reshape(self.chunks)

    def _store(self, corner: tuple[int, ...], chunk: NDArray[Any], may_be_there: bool) -> None:
        assert self._coders is not None
        stored, mask = self._coders.encoder.encode(chunk.reshape(-1).view(np.uint8))
        # h5py of some versions calls libhdf5 here without the lock that libhdf5 needs.
        with self._explained(), phil:
            if may_be_there:
                self._prepare(corner, stored, mask)
            self._dataset.id.write_direct_chunk(corner, stored, mask)

    def _prepare(self, corner: tuple[int, ...], stored: Bytes, mask: int) -> None:
        """See to it that a chunk which may be there can be stored anew."""
        info = self._dataset.id.get_chunk_info_by_coord(corner)
        if info.byte_offset is None:
            return
        # Of as many bytes as there are libhdf5 doesn't note that they have another mask now.
        keeps_its_mask = info.size == len(stored) and info.filter_mask != mask
        size = len(stored) + keeps_its_mask
        if size > info.size:
            reserve_room(self._dataset.file, size)
        if keeps_its_mask:
            self._dataset.id.write_direct_chunk(corner, bytes(stored) + b"\0", mask)

    def _write_with_hdf5(self, region: Region, values: NDArray[Any]) -> None:
        values = values.astype(object, copy=False) if self.dtype.hasobject else values
        with self._explained():
            if self._kind is not None:
                _put_stored(self._dataset, region, values, self._kind)
                return
            put(self._dataset, [begin for begin, _ in region], values, self.where)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise NexusFileError(f"{self.where}: can't be written ({why_unwritten(error)})") from error

    def __reduce__(self) -> NoReturn:
        raise NexusError(
            f"{self.where}: what writes in this process can't go to another; begin it where a client is there"
        )

    def __dask_tokenize__(self) -> tuple[str, int]:
        return (type(self).__name__, id(self))


class _Coders(NamedTuple):
    """What encodes and decodes the chunks of a dataset."""

    encoder: Encoder
    pipeline: Pipeline


def _coders_of(dataset: h5py.Dataset, dtype: np.dtype[Any]) -> _Coders | None:
    """What encodes and decodes the chunks of a dataset; None where libhdf5 has to write it."""
    if dataset.chunks is None or dtype.hasobject:
        return None
    chunk_bytes = int(np.prod(dataset.chunks)) * dtype.itemsize
    try:
        filters = filters_of(dataset.id.get_create_plist())
        return _Coders(Encoder(filters, chunk_bytes), Pipeline(filters, chunk_bytes))
    except LookupError:
        return None


def _carrier_of(kind: h5t.TypeID) -> np.dtype[Any]:
    return carrier_of(np.dtype((np.void, kind.get_size())))


def _has_fill(dataset: h5py.Dataset) -> bool:
    """Whether it is known what elements read as that nobody has written."""
    return bool(dataset.id.get_create_plist().fill_value_defined() != h5d.FILL_VALUE_UNDEFINED)


def _unwritten_element(dataset: h5py.Dataset, kind: h5t.TypeID) -> NDArray[Any]:
    """What elements of a new dataset have as long as nobody has written them."""
    element, one, space = np.zeros(1, _carrier_of(kind)), (1,) * dataset.ndim, dataset.id.get_space()
    if _has_fill(dataset):
        space.select_hyperslab((0,) * dataset.ndim, one)
        dataset.id.read(h5s.create_simple((1,)), space, element, kind)
    return element


def _put_stored(dataset: h5py.Dataset, region: Region, values: NDArray[Any], kind: h5t.TypeID) -> None:
    """Have libhdf5 write elements that are as they are to be stored."""
    memory, space = h5s.create_simple(values.shape), dataset.id.get_space()
    if values.ndim:
        space.select_hyperslab(tuple(begin for begin, _ in region), values.shape)
    dataset.id.write(memory, space, np.ascontiguousarray(values), kind)


def why_unfit(values: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any]) -> str | None:
    """Why values aren't what is expected, None where they are.

    Examples
    --------
    >>> why_unfit(np.zeros((1, 2)), (2, 2), np.dtype("f8")), why_unfit(np.array([0.5]), (1,), np.dtype("u2"))
    ('has the shape (1, 2), not (2, 2)', 'is of float64, not all of which uint16 holds')
    """
    if values.shape != shape:
        return f"has the shape {values.shape}, not {shape}"
    if np.ma.is_masked(values):
        return "has masked elements, for which HDF5 has no place; fill them"
    if not _holds(dtype, values):
        return f"is of {values.dtype}, not all of which {dtype} holds"
    return None


def _holds(dtype: np.dtype[Any], values: NDArray[Any]) -> bool:
    """Whether values are the same in a type; of text whose length varies it is only seen when that is written."""
    if dtype.hasobject or values.dtype == dtype:
        return True
    if dtype.kind in "biufc":
        # NumPy has it that floats of 64 bits hold all integers of 64 bits.
        may_be_rounded = values.dtype.kind in "iu" and dtype.kind in "fc"
        is_safe = np.can_cast(values.dtype, dtype, "safe")
        return is_safe and (not may_be_rounded or are_same(values, values.astype(dtype)))
    if dtype.kind == "U" and values.dtype.kind in "OTU":
        return np.can_cast(values.dtype, dtype, "safe") or np.array_equal(values.astype(dtype), values)
    if values.dtype.kind != dtype.kind:
        return False
    if dtype.kind in "mM":
        return times_in(values, dtype) is not None
    return values.dtype.names == dtype.names and np.can_cast(values.dtype, dtype, "safe")


def in_words(region: Region) -> str:
    """A region as it is indexed."""
    return f"[{', '.join(f'{begin}:{end}' for begin, end in region)}]"


def _is_repeated(values: NDArray[Any]) -> bool:
    """Whether an array is one element that is repeated, and not several that are alike."""
    return values.size > 1 and not any(values.strides)


def everywhere(_: tuple[int, ...]) -> bool:
    """What tells of each chunk that nobody has written it."""
    return True


_PEEK_BYTES = 4096


def _is_zero(content: NDArray[np.uint8]) -> bool:
    """Whether all bytes are zero, which the first of them mostly deny."""
    return not content[:_PEEK_BYTES].any() and not content.any()


def _consists_of(content: NDArray[np.uint8], element: NDArray[np.uint8]) -> bool:
    """Whether all elements are one, which the first of them mostly denies."""
    if not element.any():
        return _is_zero(content)
    return np.array_equal(content[: element.size], element) and bool(
        (content.reshape(-1, element.size) == element).all()
    )


def _corners(region: Region, chunks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """First elements of the chunks that a region touches."""
    along = [
        range(first // length * length, last, length) for (first, last), length in zip(region, chunks, strict=True)
    ]
    return itertools.product(*along)


def _slices(region: Region, origin: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(first - at, last - at) for (first, last), at in zip(region, origin, strict=True))
