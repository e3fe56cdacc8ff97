"""A dataset of an open file that grows chunk by chunk, and can go back to how far it had come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.nexus.output.storable import storable

from .changes.growth import Target, text_for, without_first_edge


@dataclass(frozen=True)
class Progress:
    """How far a dataset has come.

    Parameters
    ----------
    waiting
        A chunk that isn't full; of what is in it, nothing changes.
    count
        How much is in it.
    begin
        Where it begins.
    is_flushed
        Whether it is written as it is.
    written_to
        How many elements are written.
    last
        The last element; None where there is none.
    """

    waiting: NDArray[Any]
    count: int
    begin: int
    is_flushed: bool
    written_to: int
    last: NDArray[Any] | None


class GrowingField:
    """A dataset that grows chunk by chunk, and what waits until a chunk is full.

    Parameters
    ----------
    dataset
        The open dataset.
    target
        What it was at first.
    where
        What it is called in errors.
    num_threads
        Most threads that encode.
    """

    def __init__(self, dataset: h5py.Dataset, target: Target, where: str, num_threads: int | None) -> None:
        assert target.axis is not None
        self._dataset = dataset
        self._target = target
        self._where = where
        self._written = WrittenDataset(dataset, num_threads, where, is_new=False)
        self._axis = target.axis
        self._chunk: int = dataset.chunks[target.axis]
        shape = tuple(self._chunk if axis == self._axis else size for axis, size in enumerate(target.shape))
        #: What an error goes back to.
        self.progress = Progress(np.zeros(shape, dataset.dtype), 0, 0, True, target.shape[target.axis], None)

    def continue_with(self, recent: NDArray[Any]) -> None:
        """Continue what is there, of which these are the last values: those of its last chunk, and one before."""
        length, found = self._target.shape[self._axis], recent.shape[self._axis]
        if is_text(recent.dtype):
            recent = text_for(self._dataset, storable(recent), self._where)
        count = length % self._chunk
        self.progress.waiting[self._at(0, count)] = recent[self._at(found - count, found)]
        last = recent[self._at(found - 1, found)] if found else None
        self.progress = replace(self.progress, count=count, begin=length - count, last=last)

    def added(self, values: NDArray[Any], count: int) -> NDArray[Any]:
        """What some values add to those that are there."""
        return self._as_text(without_first_edge(values, self._target, count, self.progress.last, self._where))

    def _as_text(self, values: NDArray[Any]) -> NDArray[Any]:
        return text_for(self._dataset, values, self._where) if is_text(self._dataset.dtype) else values

    def add(self, values: NDArray[Any]) -> None:
        """Write full chunks, and keep a copy of what is left."""
        length, count = values.shape[self._axis], self.progress.count
        first = min(self._chunk - count, length) if count else 0
        self._keep(values[self._at(0, first)])
        if self.progress.count == self._chunk:
            self._write(self.progress.waiting)
            self.progress = replace(self.progress, begin=self.progress.written_to, count=0, is_flushed=True)
        whole = (length - first) // self._chunk * self._chunk
        if whole:
            self._write(values[self._at(first, first + whole)])
            self.progress = replace(self.progress, begin=self.progress.written_to)
        self._keep(values[self._at(first + whole, length)])
        if length:
            self.progress = replace(self.progress, last=np.array(values[self._at(length - 1, length)]))

    @property
    def length(self) -> int:
        """How many elements are written."""
        return self.progress.written_to - self._target.has_edges

    def cut(self, file: h5py.File, length: int) -> None:
        """Have it no longer than that in a file that was opened anew."""
        dataset = file[self._target.path]
        if dataset.shape[self._axis] > length + self._target.has_edges:
            dataset.resize(length + self._target.has_edges, axis=self._axis)

    def flush(self) -> None:
        """Write what waits, which may be written again as a part of more."""
        if not self.progress.is_flushed:
            self._write(self.progress.waiting[self._at(0, self.progress.count)])
            self.progress = replace(self.progress, is_flushed=True)
        self._written.flush()

    def _keep(self, values: NDArray[Any]) -> None:
        length, now = values.shape[self._axis], self.progress
        if not length:
            return
        waiting = now.waiting if now.count else np.empty_like(now.waiting)  # the one before may be gone back to
        waiting[self._at(now.count, now.count + length)] = values
        self.progress = replace(now, waiting=waiting, count=now.count + length, is_flushed=False)

    def _write(self, values: NDArray[Any]) -> None:
        """Write values behind all full chunks."""
        begin = self.progress.begin
        end = begin + values.shape[self._axis]
        if end > self._written.shape[self._axis]:
            self._resize(end)
        shape = self._written.shape
        region = tuple((begin, end) if axis == self._axis else (0, size) for axis, size in enumerate(shape))
        self._written.write(region, values)
        self.progress = replace(self.progress, written_to=end)

    def _resize(self, length: int) -> None:
        shape = self._written.shape
        self._written.resize((*shape[: self._axis], length, *shape[self._axis + 1 :]))

    def _at(self, first: int, last: int) -> tuple[slice, ...]:
        return (*(slice(None),) * self._axis, slice(first, last))
