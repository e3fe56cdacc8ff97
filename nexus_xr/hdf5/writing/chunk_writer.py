"""A dataset of a file that is being written, filled block by block from any thread.

Whole chunks are encoded here, on all cores and outside libhdf5's lock, and stored as they are; libhdf5 itself writes
what isn't chunked, parts of chunks, and what only it encodes.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.filters.encoder import Encoder
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.h5py_lock import phil
from nexus_xr.hdf5.runtime.memory import empty

from .creation import put
from .writable_file import why_unwritten

Region = tuple[tuple[int, int], ...]


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
        Whether nothing is stored in it yet, so that chunks of zeros need not be; None to find it out.
    """

    def __init__(
        self,
        dataset: h5py.Dataset,
        num_threads: int | None = None,
        where: str | None = None,
        is_new: bool | None = None,
    ) -> None:
        self.shape: tuple[int, ...] = dataset.shape
        self.dtype: np.dtype[Any] = dataset.dtype
        self.chunks: tuple[int, ...] | None = dataset.chunks
        self._dataset = dataset
        self._where = where or f"{dataset.file.filename}:{dataset.name}"
        self._num_threads = num_threads
        self._encoder = _encoder_of(dataset)
        self._fill = np.empty(1, self.dtype)
        self._is_new = not dataset.id.get_storage_size() if is_new is None else is_new
        self._leaves_zeros = False
        if self._encoder is not None:
            self._fill[...] = dataset.fillvalue
            self._leaves_zeros = self._is_new and _is_zero(self._fill.view(np.uint8))
        # Two blocks may share a chunk of which neither has all; each is read, changed and written again as a whole.
        self._shared = threading.Lock()

    def resize(self, shape: tuple[int, ...]) -> None:
        """Give the dataset another shape."""
        self._dataset.resize(shape)
        self.shape = shape

    def flush(self) -> None:
        """Have all in the file, for those who read it meanwhile."""
        with self._explained():
            self._dataset.flush()

    def __setitem__(self, key: tuple[slice, ...], values: Any) -> None:
        """Write a block, as dask stores it."""
        region = tuple(each.indices(size)[:2] for each, size in zip(key, self.shape, strict=True))
        self.write(region, np.asarray(values))

    def write(self, region: Region, values: NDArray[Any]) -> None:
        """Write the values of a region.

        Parameters
        ----------
        region
            First element and the one behind the last, for each dimension.
        values
            As many values.
        """
        if self._encoder is None or self.chunks is None or not values.size:
            self._write_with_hdf5(region, values)
            return
        tasks, parts = [], []
        for corner in _corners(region, self.chunks):
            chunk = tuple(
                (at, min(at + length, size)) for at, length, size in zip(corner, self.chunks, self.shape, strict=True)
            )
            part = tuple(
                (max(begin, first), min(end, last)) for (begin, end), (first, last) in zip(chunk, region, strict=True)
            )
            inner = values[_slices(part, [first for first, _ in region])]
            if part == chunk:
                tasks.append(partial(self._write_chunk, corner, inner))
            else:
                parts.append((part, inner))
        # Without filters there is nothing to do side by side, and threads would only wait for libhdf5's lock.
        threads.run(tasks, self._num_threads if self._encoder.has_filters else 1)
        for part, inner in parts:
            self._write_with_hdf5(part, inner)

    def _write_chunk(self, corner: tuple[int, ...], values: NDArray[Any]) -> None:
        assert self._encoder is not None
        assert self.chunks is not None
        if values.shape == self.chunks:
            chunk = np.ascontiguousarray(values, self.dtype)
        else:
            chunk = empty(self.chunks, self.dtype)
            chunk[...] = self._fill[0]
            chunk[tuple(slice(0, length) for length in values.shape)] = values
        content = chunk.reshape(-1).view(np.uint8)
        if self._leaves_zeros and _is_zero(content):
            return  # as it reads where nothing is stored
        stored, mask = self._encoder.encode(content)
        if mask and not self._is_new:
            # libhdf5 forgets the mask of the chunk that was stored last, and would read it wrongly to change a part.
            region = tuple((at, at + length) for at, length in zip(corner, values.shape, strict=True))
            self._write_with_hdf5(region, values)
            return
        # h5py of some versions calls libhdf5 here without the lock that libhdf5 needs.
        with self._explained(), phil:
            self._dataset.id.write_direct_chunk(corner, stored, mask)

    def _write_with_hdf5(self, region: Region, values: NDArray[Any]) -> None:
        values = values.astype(object, copy=False) if self.dtype.hasobject else values
        with self._shared, self._explained():
            put(self._dataset, [begin for begin, _ in region], values)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise NexusFileError(f"{self._where}: can't be written ({why_unwritten(error)})") from error

    def __dask_tokenize__(self) -> tuple[str, int]:
        return (type(self).__name__, id(self))


def _encoder_of(dataset: h5py.Dataset) -> Encoder | None:
    """The encoder of a chunked dataset; None where libhdf5 has to write it."""
    if dataset.chunks is None or dataset.dtype.hasobject:
        return None
    try:
        filters = filters_of(dataset.id.get_create_plist())
        return Encoder(filters, int(np.prod(dataset.chunks)) * dataset.dtype.itemsize)
    except LookupError:
        return None


_PEEK_BYTES = 4096


def _is_zero(content: NDArray[np.uint8]) -> bool:
    """Whether all bytes are zero, which the first of them mostly deny."""
    return not content[:_PEEK_BYTES].any() and not content.any()


def _corners(region: Region, chunks: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """First elements of the chunks that a region touches."""
    along = [
        range(first // length * length, last, length) for (first, last), length in zip(region, chunks, strict=True)
    ]
    return itertools.product(*along)


def _slices(region: Region, origin: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(first - at, last - at) for (first, last), at in zip(region, origin, strict=True))
