"""What the machine can do at most: stored bytes read and decoded by the fastest decoders on all CPUs, nothing else."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.codecs.blosc2 import BLOSC2
from nexus_xr.hdf5.filters.registry import decoder

from .cases import DATASET, Part, Stack
from .harness import UnsupportedError, cpu_count

# Source address, size, target address, its capacity -> where the result is, its size.
Decode = Callable[[int, int, int, int], tuple[int, int]]
# Whatever the filter, stored chunks are hardly larger than decoded ones.
SLACK = 1 << 16


@dataclass(frozen=True)
class _Stored:
    """Where the chunks are in the file, and what was done to them."""

    places: Sequence[tuple[int, int]]
    filters: Sequence[tuple[int, tuple[int, ...]]]


def _stored(stack: Stack) -> _Stored:
    with h5py.File(stack.path) as file:
        counts = file[DATASET]
        if counts.chunks is None:
            first, size = counts.id.get_offset(), stack.distinct[0].nbytes
            return _Stored([(first + number * size, size) for number in range(stack.count)], [])
        properties = counts.id.get_create_plist()
        filters = [properties.get_filter(number) for number in range(properties.get_nfilters())]
        found: dict[int, tuple[int, int]] = {}

        def note(chunk: Any) -> None:
            found[chunk.chunk_offset[0]] = (chunk.byte_offset, chunk.size)

        counts.id.chunk_iter(note)
        places = [found[number] for number in range(stack.count)]
        return _Stored(places, [(identifier, options) for identifier, _, options, _ in filters])


def _decoder(identifier: int, options: tuple[int, ...], chunk_bytes: int) -> Decode:
    known = decoder(identifier, options, chunk_bytes)
    if known is not None:
        return known
    if identifier == BLOSC2.number:
        return _blosc2()
    raise UnsupportedError(f"no decoder of filter {identifier}")


def _blosc2() -> Decode:
    import blosc2

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        stored = (ctypes.c_char * size).from_address(source)
        result = (ctypes.c_char * capacity).from_address(target)
        chunks = blosc2.schunk_from_cframe(bytes(stored))
        chunks.get_slice(out=result)
        return target, int(chunks.nbytes)

    return decode


@dataclass(frozen=True)
class Decoding:
    """The chunks of a stack, about to be decoded by one thread for each CPU."""

    stack: Stack
    descriptor: int
    stored: _Stored
    pool: ThreadPoolExecutor
    result: NDArray[np.uint16]

    def total(self, part: Part | None = None) -> int:
        """Sum of all values, or of a part of each frame; each thread decodes into its share of memory that is there."""
        threads = min(cpu_count(), len(self.result))
        share = len(self.result) // threads
        starts = range(0, self.stack.count, share)

        def work(thread: int) -> int:
            block = self.result[thread * share : (thread + 1) * share]
            worker = _Worker(self, block[0].nbytes)
            total = 0
            for start in starts[thread::threads]:
                frames = block[: self.stack.count - start]
                for number, frame in enumerate(frames, start):
                    worker.decode(number, frame)
                total += int(frames.sum(dtype=np.uint64)) if part is None else part.total(frames)
            return total

        return sum(self.pool.map(work, range(threads)))

    def read(self, selection: slice) -> NDArray[np.uint16]:
        """The values of a range of chunks, in memory that is there already."""
        chosen = range(self.stack.count)[selection]
        result = self.result[: len(chosen)]
        threads = cpu_count()

        def work(thread: int) -> None:
            worker = _Worker(self, result[0].nbytes)
            for place in range(thread, len(chosen), threads):
                worker.decode(chosen[place], result[place])

        list(self.pool.map(work, range(threads)))
        return result


class _Worker:
    """Buffers and decoders of one thread."""

    def __init__(self, decoding: Decoding, chunk_bytes: int) -> None:
        self._descriptor = decoding.descriptor
        self._places = decoding.stored.places
        self._size = chunk_bytes
        self._decoders = [
            _decoder(identifier, options, chunk_bytes) for identifier, options in reversed(decoding.stored.filters)
        ]
        self._buffers = [np.ones(chunk_bytes + SLACK, np.uint8) for _ in range(2)] if self._decoders else []

    def decode(self, number: int, frame: NDArray[np.uint16]) -> None:
        offset, size = self._places[number]
        if not self._decoders:
            os.preadv(self._descriptor, [frame.data], offset)
            return
        read = os.preadv(self._descriptor, [self._buffers[0][:size].data], offset)
        self._run(read, frame)

    def _run(self, size: int, frame: NDArray[np.uint16]) -> None:
        source, spare = (buffer.ctypes.data for buffer in self._buffers)
        target = frame.ctypes.data
        for step in self._decoders[:-1]:
            at, size = step(source, size, spare, self._size + SLACK)
            if at == spare:
                source, spare = spare, source
        at, size = self._decoders[-1](source, size, target, self._size)
        if at != target or size != self._size:
            raise ValueError(f"decoded {size} bytes of {self._size}")


@contextmanager
def open_limit(stack: Stack, most_read: int) -> Iterator[Decoding]:
    """Find the chunks and start the threads, with room for so many chunks to be read at once."""
    stored = _stored(stack)
    result = np.ones((most_read, *stack.shape[1:]), np.uint16)
    descriptor = os.open(stack.path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(cpu_count()) as pool:
            yield Decoding(stack, descriptor, stored, pool, result)
    finally:
        os.close(descriptor)
