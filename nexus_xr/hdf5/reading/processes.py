"""Chunks that only libhdf5 decodes, read by processes of their own: on all cores, and safe with damaged data.

Some decoders crash on bytes that they didn't write, and libhdf5 runs one at a time. A crash in such a process is an
error here.
"""

from __future__ import annotations

import atexit
import math
import pickle
import signal
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.children import Child, ChildError
from nexus_xr.hdf5.runtime.fork import after_fork
from nexus_xr.hdf5.runtime.memory import empty

from . import _reader_process
from .engine.chunk import ChunkError
from .engine.plan import AxisPlan, plan_selection
from .layouts.layout import Libhdf5Layout
from .selection import Indexer, outer_key

# Of a processor's time and of memory, what a small chunk may take; a large one more, by so much for each of its bytes.
_LEAST_SECONDS, _SECONDS_PER_BYTE = 2, 1e-6
_LEAST_MEMORY, _MEMORY_PER_BYTE = 1 << 30, 16
# To ask a process takes as long as to decode so much: of smaller chunks, several are asked for together.
_TOGETHER_BYTES = 256 << 10


def read_in_processes(
    layout: Libhdf5Layout, file: str | Source, path: str, indexers: Sequence[Indexer], num_threads: int | None
) -> NDArray[Any]:
    """Read the outer product of one indexer a dimension in reader processes.

    Parameters
    ----------
    layout
        How the dataset is stored.
    file
        Path of a local file; the bytes of another.
    path
        Path of the dataset in it.
    indexers
        One a dimension, normalized.
    num_threads
        Most processes to use; None for as many as there are CPUs for this process.
    """
    together = _together(layout)
    if together.chunks != layout.chunks:
        with suppress(ChunkError):  # the one that is damaged is found one by one
            return _read(together, file, path, indexers, num_threads)
    return _read(layout, file, path, indexers, num_threads)


def _together(layout: Libhdf5Layout) -> Libhdf5Layout:
    """The same in chunks that are larger: several along the last dimensions."""
    chunks = list(layout.chunks)
    for dimension in reversed(range(len(chunks))):
        fitting = _TOGETHER_BYTES // (math.prod(chunks) * layout.dtype.itemsize)
        count = -(-layout.shape[dimension] // chunks[dimension])
        chunks[dimension] *= max(1, min(count, fitting))
        if fitting < count:
            break
    return replace(layout, chunks=tuple(chunks))


def _read(
    layout: Libhdf5Layout, file: str | Source, path: str, indexers: Sequence[Indexer], num_threads: int | None
) -> NDArray[Any]:
    plan = plan_selection(indexers, layout.shape, layout.chunks, padded=False)
    values = empty(plan.shape, layout.dtype)
    target = values[tuple(slice(None, None, -1 if d in plan.backwards else 1) for d in range(values.ndim))]
    counts = tuple(len(axis.coordinates) for axis in plan.axes)
    read_chunk = partial(_read_chunk, layout, file, path, target, plan.axes)
    try:
        threads.run([partial(read_chunk, numbers) for numbers in np.ndindex(counts)], num_threads)
    finally:
        _processes.rest()
    return values.reshape([length for d, length in enumerate(plan.shape) if d not in plan.dropped])


def _read_chunk(
    layout: Libhdf5Layout,
    file: str | Source,
    path: str,
    target: NDArray[Any],
    axes: tuple[AxisPlan, ...],
    numbers: tuple[int, ...],
) -> None:
    coordinate = [int(axis.coordinates[number]) for axis, number in zip(axes, numbers, strict=True)]
    along = zip(coordinate, layout.chunks, layout.shape, strict=True)
    region = [(at * chunk, min((at + 1) * chunk, size)) for at, chunk, size in along]
    shape = [stop - start for start, stop in region]
    try:
        content = _read_bytes(file, (path, region), math.prod(layout.chunks) * layout.dtype.itemsize)
        decoded = np.frombuffer(content, layout.dtype).reshape(shape)
    except NexusError:  # the bytes can't be had
        raise
    except ValueError as error:
        raise ChunkError(coordinate, None, layout.missing or str(error)) from None
    parts = [axis.part(number) for axis, number in zip(axes, numbers, strict=True)]
    target[outer_key([part for _, part in parts])] = decoded[outer_key([part for part, _ in parts])]


def _bytes_of(source: Source, offset: int, size: int) -> bytes:
    """What there is of a file from an offset on."""
    view = memoryview(bytearray(max(0, min(size, source.size - offset))))
    return bytes(view[: source.read_into(view, offset)])


def limits_of(chunk_bytes: int) -> tuple[float, int]:
    """Seconds of a processor and bytes of memory that a decoder may take."""
    return _LEAST_SECONDS + _SECONDS_PER_BYTE * chunk_bytes, _LEAST_MEMORY + _MEMORY_PER_BYTE * chunk_bytes


# The path of a dataset, and one (start, stop) a dimension.
_Part = tuple[str, list[tuple[int, int]]]


def _read_bytes(file: str | Source, part: _Part, chunk_bytes: int) -> bytearray:
    """The bytes of a part's values; a process that was lost while nobody used it is no fault of the file."""
    with _processes.one() as process:
        was_used = process.was_used
        try:
            return process.read(file, part, chunk_bytes)
        except _LostError:
            if not was_used:
                raise
    with _processes.one(new=True) as process:
        return process.read(file, part, chunk_bytes)


class _LostError(ChildError):
    """A process came to its end before it answered, and not by a decoder."""


class _Process:
    """One reader process, used by one thread at a time."""

    def __init__(self) -> None:
        self._child = Child(_reader_process.__file__)
        self._is_idle = True
        self.was_used = False
        self._key: Hashable = object()  # which no file has
        self._number = 0

    @property
    def is_alive(self) -> bool:
        return self._child.is_alive

    def read(self, file: str | Source, part: _Part, chunk_bytes: int) -> bytearray:
        """The bytes of a part's values, of chunks that have so many bytes."""
        self._is_idle, self.was_used = False, True
        try:
            self._send(((self._known_as(file), *part), limits_of(chunk_bytes)))
            status, content = self._answer()
            while status == _reader_process.BYTES_WANTED:
                assert not isinstance(file, str)
                self._send_bytes(_bytes_of(file, *_reader_process.EXTENT.unpack(content)))
                status, content = self._answer()
        except BaseException:
            self.end()  # there may be half an answer in the pipe
            raise
        if status == _reader_process.ERROR:
            raise ValueError(content.decode())
        return content

    def _known_as(self, file: str | Source) -> str | tuple[int, int]:
        """What the process tells files by: of those without a path, it has no more than the last."""
        if isinstance(file, str):
            return file
        if self._key != file.key:
            self._key, self._number = file.key, self._number + 1
        return self._number, file.size

    def _answer(self) -> tuple[int, bytearray]:
        status, length = _reader_process.ANSWER.unpack(self._receive(_reader_process.ANSWER.size))
        return status, self._receive(length)

    def rest(self) -> None:
        """Have the file closed."""
        if not self._is_idle and self.is_alive:
            self._is_idle = True
            with suppress(ChildError):
                self._send(None)

    def end(self) -> None:
        """End the process."""
        self._child.end()

    def _send(self, request: Any) -> None:
        self._send_bytes(pickle.dumps(request))

    def _send_bytes(self, content: bytes) -> None:
        with _told_from_lost():
            self._child.send(_reader_process.REQUEST.pack(len(content)) + content)

    def _receive(self, length: int) -> bytearray:
        received = bytearray(length)
        done = 0
        with _told_from_lost():
            while done < length:
                done += self._child.receive_into(memoryview(received)[done:])
        return received


@contextmanager
def _told_from_lost() -> Iterator[None]:
    """Have it be another error where a process was lost, but not by a decoder."""
    try:
        yield
    except ChildError as error:
        # Not tried again where a decoder crashed: it might as well give what happens to be in memory.
        if error.status in (-signal.SIGKILL, _reader_process.IDLE_STATUS):
            raise _LostError(*error.args) from None
        raise


class _Processes:
    """Reader processes that are not in use, started when there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    @contextmanager
    def one(self, new: bool = False) -> Iterator[_Process]:
        """A process for the length of a ``with`` block, a new one where that is wanted."""
        with self._lock:
            process = self._idle.pop() if self._idle and not new else None
        if process is not None and not process.is_alive:
            process.end()
            process = None
        process = process or _Process()
        try:
            yield process
        finally:
            if process.is_alive:
                with self._lock:
                    self._idle.append(process)

    def rest(self) -> None:
        """Have files closed by the processes that nobody uses."""
        with self._lock:
            for process in self._idle:
                process.rest()

    def end(self) -> None:
        """End the processes that nobody uses."""
        with self._lock:
            while self._idle:
                self._idle.pop().end()


_processes = _Processes()


@after_fork
def _start_anew() -> None:
    global _processes
    _processes = _Processes()


atexit.register(lambda: _processes.end())
