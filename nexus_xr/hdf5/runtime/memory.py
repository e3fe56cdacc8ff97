"""Memory for values, used again once nobody holds it: fresh memory costs a page fault for each of its pages.

A large array lies in a block that goes back to a bounded store when the last view of the array is gone.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .fork import after_fork

# Smaller arrays come from the heap at no such cost.
SMALLEST_BLOCK = 1 << 18
# As much as two threads hold of dask's blocks; what comes back beyond it is given to the system.
MOST_KEPT = 32 << 20
_GRANULE = 1 << 16
# Where arrays begin in memory that is lent.
_ALIGNMENT = 64
# Of so many arrays it is known that they were wanted.
_MOST_WANTED = 16


class _Store:
    """Blocks that nobody uses, the latest last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: list[NDArray[np.uint8]] = []
        self._bytes = 0

    def take(self, size: int) -> NDArray[np.uint8]:
        """A block of at least `size` bytes, and not much more."""
        size = -(-size // _GRANULE) * _GRANULE
        # An interrupt may have kept `give` from unlocking; then there is nothing to be had here, but nothing waits.
        if self._lock.acquire(blocking=False):
            try:
                for position in reversed(range(len(self._blocks))):
                    if size <= self._blocks[position].nbytes <= size + size // 8:
                        block = self._blocks.pop(position)
                        self._bytes -= block.nbytes
                        return block
            finally:
                self._lock.release()
        return np.empty(size, np.uint8)

    def give(self, block: NDArray[np.uint8]) -> None:
        # May run in the garbage collector, in the middle of anything, so it never waits.
        if block.nbytes > MOST_KEPT or not self._lock.acquire(blocking=False):
            return
        try:
            self._blocks.append(block)
            self._bytes += block.nbytes
            while self._bytes > MOST_KEPT:
                self._bytes -= self._blocks.pop(0).nbytes
        finally:
            self._lock.release()


_store = _Store()


@after_fork
def _start_anew() -> None:
    global _store
    _store = _Store()


class Recent:
    """The arrays that were wanted last, up to so many bytes; one that is larger alone, up to `MOST_KEPT`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._start_anew()
        after_fork(self._start_anew)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._wanted: deque[Hashable] = deque(maxlen=_MOST_WANTED)

    def was_wanted(self, key: Hashable) -> bool:
        """Whether an array is here, or was asked for by this function not long ago."""
        with self._lock:
            found = key in self._arrays or key in self._wanted
            if not found:
                self._wanted.append(key)
            return found

    def get(self, key: Hashable, size: int, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The array of that key, made where it isn't among the last, of so many bytes; not to be written to."""
        with self._lock:
            if key in self._arrays:
                self._arrays.move_to_end(key)
                return self._arrays[key]
            # Before the array is made, so that it takes the memory of the last, which a core's cache may still hold.
            self._make_room(size)
        array = make()
        with self._lock:
            self._make_room(size)
            if size <= max(self._most, MOST_KEPT):
                self._bytes += array.nbytes - (self._arrays.pop(key).nbytes if key in self._arrays else 0)
                self._arrays[key] = array
        return array

    @property
    def is_empty(self) -> bool:
        """Whether there are none."""
        return not self._arrays

    def clear(self) -> bool:
        """Give all memory back; whether there was any."""
        with self._lock:
            had_some = bool(self._arrays)
            self._arrays.clear()
            self._bytes = 0
            return had_some

    def _make_room(self, size: int) -> None:
        while self._arrays and self._bytes + size > self._most:
            self._bytes -= self._arrays.popitem(last=False)[1].nbytes


class _Lease:
    """Owner of a block for as long as an array has it as its base."""

    __slots__ = ("__array_interface__", "_block", "_store")

    def __init__(self, size: int) -> None:
        self._store = _store
        self._block = self._store.take(size)
        self.__array_interface__ = self._block.__array_interface__

    def __del__(self) -> None:
        with suppress(AttributeError):  # an interrupt came before there was a block
            self._store.give(self._block)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array with arbitrary content, as `numpy.empty` makes it, for a dtype without objects.

    Examples
    --------
    >>> empty((512, 1024), np.dtype("u2")).shape
    (512, 1024)
    """
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST_BLOCK or size > MOST_KEPT:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(size))[:size].view(dtype).reshape(shape)


class _Lent(threading.local):
    """What who reads in this thread has lent: what is left of memory for results, and where chunks are kept."""

    room: NDArray[np.uint8] | None = None
    chunks: Recent | None = None


_lent = _Lent()


@contextmanager
def results_in(room: memoryview) -> Iterator[None]:
    """Have large results of this thread's reads lie in some memory, one behind the other, for a ``with`` block.

    Parameters
    ----------
    room
        The memory, which has to stay as it is for as long as the results are of use.
    """
    before, _lent.room = _lent.room, np.frombuffer(room, np.uint8) if len(room) else None
    try:
        yield
    finally:
        _lent.room = before


@contextmanager
def chunks_kept_in(chunks: Recent) -> Iterator[None]:
    """Have this thread's reads keep decoded chunks of which they take a part, for a ``with`` block.

    Parameters
    ----------
    chunks
        Where they are kept, by who reads all parts of some chunks one after the other.
    """
    before, _lent.chunks = _lent.chunks, chunks
    try:
        yield
    finally:
        _lent.chunks = before


def kept_chunks() -> Recent | None:
    """Where this thread's reads keep decoded chunks; None where who reads has lent nothing for that."""
    return _lent.chunks


def result(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array as `empty` makes it, for what is given to who reads: in the memory that they lent, if there is enough.

    Examples
    --------
    >>> room = memoryview(bytearray(1 << 20))
    >>> with results_in(room):
    ...     values = result((512, 512), np.dtype("u2"))
    >>> values[...] = 7
    >>> room[0], len(room) - bytes(room).count(7)
    (7, 786432)
    """
    size = math.prod(shape) * dtype.itemsize
    room = _lent.room
    if room is None or not SMALLEST_BLOCK <= size <= room.nbytes:
        return empty(shape, dtype)
    _lent.room = room[-(-size // _ALIGNMENT) * _ALIGNMENT :]
    return room[:size].view(dtype).reshape(shape)


class Roomy(NamedTuple):
    """Bytes in memory with room before and behind them, which others are put into.

    Parameters
    ----------
    memory
        The memory.
    begin, end
        Where the bytes are in it.
    """

    memory: NDArray[np.uint8]
    begin: int
    end: int

    @classmethod
    def of(cls, size: int, room: int) -> Roomy:
        """Arbitrary bytes, with so much room before and behind them."""
        return cls(result((room + size + room,), np.dtype(np.uint8)), room, room + size)

    @property
    def size(self) -> int:
        """How many there are."""
        return self.end - self.begin

    @property
    def data(self) -> NDArray[np.uint8]:
        """The bytes."""
        return self.memory[self.begin : self.end]

    def part(self, begin: int, end: int) -> Roomy:
        """Some of them; the others are room."""
        return self._replace(begin=self.begin + begin, end=self.begin + end)

    def behind(self, head: bytes) -> Roomy:
        """The bytes behind others: where they are, if there is room for those.

        Examples
        --------
        >>> bytes(Roomy(np.arange(65, 70, dtype="u1"), 2, 4).behind(b"x").data)
        b'xCD'
        """
        begin = self.begin - len(head)
        if begin < 0:
            return self._joined(head, b"")
        self.memory.data[begin : self.begin] = head
        return self._replace(begin=begin)

    def before(self, tail: bytes) -> Roomy:
        """The bytes before others, likewise."""
        end = self.end + len(tail)
        if end > self.memory.nbytes:
            return self._joined(b"", tail)
        self.memory.data[self.end : end] = tail
        return self._replace(end=end)

    def _joined(self, head: bytes, tail: bytes) -> Roomy:
        """Others before and behind them, in other memory."""
        joined = Roomy.of(len(head) + self.size + len(tail), 0)
        np.concatenate([np.frombuffer(head, np.uint8), self.data, np.frombuffer(tail, np.uint8)], out=joined.memory)
        return joined
