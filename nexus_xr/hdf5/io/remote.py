"""Remote files: bytes in few, large requests, many of them at once, ahead of those who want them.

libhdf5 looks at metadata in many small reads: they are served from blocks that are kept. Values are fetched in
requests of their own, which are planned when it is known what a read touches.
"""

from __future__ import annotations

import _thread
import asyncio
import gc
import io
import os
import threading
import uuid
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nexus_xr.errors import anew
from nexus_xr.hdf5.runtime.fork import after_fork

from .identity import Version
from .object_store import Answer, StoreFile
from .source import Extents, Immediate, Source

# What is fetched around a small read. A request of so many bytes takes no longer than its way to the server and back.
BLOCK_BYTES = 1 << 20
# Reads from here on are no look at metadata, and fetch what they need and no more.
_SMALL_BYTES = 256 << 10
# Where one block after the other is wanted, twice as many are fetched each time, up to these.
_MOST_BLOCKS = 4
# Of one who reads one chunk behind the other so much of what comes next is fetched, at most.
_MOST_AHEAD_BYTES = 16 << 20
# Blocks of all files that are kept.
MOST_KEPT_BYTES = 64 << 20
# A request for values asks for no more. Stores send a few of these side by side faster than one that is longer.
REQUEST_BYTES = 4 << 20
# Requests that are on their way, or came and wait to be decoded, in the whole process; with more than eight reads at
# a time, two for each.
MOST_REQUESTS = 16
_LEAST_REQUESTS = 2
# Bytes between two that are wanted which take less time than one more request.
_GAP_BYTES = 256 << 10


class _Request:
    """A range that was asked for, and the threads that wait for it.

    Made of parts that no interrupt leaves locked: each thread waits for a lock of its own.
    """

    def __init__(self, file: StoreFile, begin: int, end: int, known: Version | None) -> None:
        self.begin = begin
        self.end = end
        self._answer: Answer | BaseException | None = None
        self._waiting: list[_thread.LockType] = []
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop = file.fs.loop
        self._loop.call_soon_threadsafe(self._start, file, known)

    def _start(self, file: StoreFile, known: Version | None) -> None:
        self._task = self._loop.create_task(self._run(file, known))

    async def _run(self, file: StoreFile, known: Version | None) -> None:
        try:
            self._answer = await file.read(self.begin, self.end, known)
        except BaseException as error:  # raised again where it is waited for
            self._answer = anew(error)
        for woken in self._waiting:
            woken.release()

    @property
    def has_failed(self) -> bool:
        return isinstance(self._answer, BaseException)

    def answer(self) -> Answer:
        """What came, once it did."""
        if self._answer is None:
            woken = _thread.allocate_lock()
            woken.acquire()
            self._waiting.append(woken)
            if self._answer is None:  # else it may have come before the loop knew who waits
                woken.acquire()
        if isinstance(self._answer, BaseException):
            raise anew(self._answer)
        assert self._answer is not None, "a thread is woken when the answer is there"
        return self._answer

    def copy_to(self, view: memoryview, offset: int) -> int:
        """Copy what there is of a range from an offset on; gives how many bytes that is."""
        part = memoryview(self.answer().data)[offset - self.begin :][: len(view)]
        view[: len(part)] = part
        return len(part)

    def give_up(self) -> None:
        """Have it not go on."""
        if self._answer is None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _KeptBlocks:
    """The requests for blocks that were looked at last, of all files together."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._by_block: dict[tuple[Hashable, int], _Request] = {}
        self._blocks: OrderedDict[_Request, list[tuple[Hashable, int]]] = OrderedDict()
        self._bytes = 0

    def find(self, file: Hashable, number: int) -> _Request | None:
        """The request that has a block, None where none has."""
        request = self._by_block.get((file, number))
        if request is None:
            return None
        if request.has_failed:
            self._drop(request)
            return None
        self._blocks.move_to_end(request)
        return request

    def keep(self, file: Hashable, numbers: range, request: _Request) -> None:
        for number in numbers:  # that another had, who opened the file anew
            if (file, number) in self._by_block:
                self._drop(self._by_block[file, number])
        self._blocks[request] = [(file, number) for number in numbers]
        self._by_block.update(dict.fromkeys(self._blocks[request], request))
        self._bytes += request.end - request.begin
        while self._bytes > MOST_KEPT_BYTES and len(self._blocks) > 1:
            self._drop(next(iter(self._blocks)))

    def _drop(self, request: _Request) -> None:
        self._bytes -= request.end - request.begin
        for block in self._blocks.pop(request):
            del self._by_block[block]


_kept = _KeptBlocks()
# The reads that fetch ahead at this time.
_active: set[int] = set()


@after_fork
def _start_anew() -> None:
    global _kept
    _kept = _KeptBlocks()
    _active.clear()


class RemoteFile:
    """A file whose bytes are fetched when they are wanted; a `Source`.

    Parameters
    ----------
    file
        The file in its store.
    version
        The version that was described; None to take, with one request, the one that there is.
    """

    plans_ahead = True

    def __init__(self, file: StoreFile, version: Version | None) -> None:
        self._file = file.in_this_process()
        first = None
        if version is None:
            first = _Request(self._file, 0, BLOCK_BYTES, None)
            version = first.answer().version
            if not version.tag:  # no other version can be told from this one
                version = Version(version.size, uuid.uuid4().hex)
        self.version = version
        self.key: Hashable = (self._file.key, version)
        self._ahead = 1
        self._end_of_last = -1
        self._bytes_in_order = 0
        if first is not None:
            with _kept.lock:
                _kept.keep(self.key, range(1), first)

    @property
    def size(self) -> int:
        return self.version.size

    def ask(self, begin: int, end: int) -> _Request:
        """Ask for a range of bytes."""
        return _Request(self._file, begin, end, self.version)

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill the view from an offset on; gives how many bytes there were, fewer only at the end."""
        view = view[: max(0, self.size - offset)]
        if len(view) > _SMALL_BYTES:
            if not self._goes_on(offset, len(view)):
                with self.expecting(lambda: ([offset], [len(view)])) as ahead:
                    return ahead.read_into(view, offset)
            self._ask_for_more(offset, len(view))
        done = 0
        while done < len(view):
            request = self._request_for_block((offset + done) // BLOCK_BYTES)
            done += request.copy_to(view[done:], offset + done)
        return done

    def _goes_on(self, offset: int, size: int) -> bool:
        """Whether a read begins where the last one ended."""
        goes_on = 0 <= offset - self._end_of_last <= _GAP_BYTES
        self._bytes_in_order = self._bytes_in_order + size if goes_on else 0
        self._end_of_last = offset + size
        return goes_on

    def _ask_for_more(self, offset: int, size: int) -> None:
        """Ask for what is read now, and for as much behind it as was read in order, in requests side by side."""
        position = offset
        stop = min(offset + size + min(self._bytes_in_order, _MOST_AHEAD_BYTES), self.size)
        while position < stop:
            position = self._request_for_block(position // BLOCK_BYTES).end

    def kept(self, begin: int, end: int) -> _Request | None:
        """A request for blocks that has all of a range, None where none has."""
        with _kept.lock:
            request = _kept.find(self.key, begin // BLOCK_BYTES)
        return request if request is not None and end <= request.end else None

    def _request_for_block(self, number: int) -> _Request:
        with _kept.lock:
            request = _kept.find(self.key, number)
            if request is not None:
                return request
            goes_on = _kept.find(self.key, number - 1) is not None
            self._ahead = min(2 * self._ahead, _MOST_BLOCKS) if goes_on else 1
            stop = number + 1
            while stop < number + self._ahead and _kept.find(self.key, stop) is None:
                stop += 1
            request = self.ask(number * BLOCK_BYTES, min(stop * BLOCK_BYTES, self.size))
            _kept.keep(self.key, range(number, stop), request)
            return request

    @contextmanager
    def expecting(self, extents: Callable[[], Extents]) -> Iterator[Source]:
        """The same bytes, of which those that are going to be read are fetched ahead and side by side."""
        ahead = _Ahead(self, *extents())
        try:
            _active.add(id(ahead))
            yield ahead
        finally:
            _active.discard(id(ahead))
            ahead.end()


class _Piece:
    """A range that one request asks for, and how many of the expected extents have still to be read from it.

    The request may be another read's, for a block that holds the range.
    """

    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end
        self.readers = 0
        self.request: _Request | None = None
        self.is_own = False


class _Ahead(Immediate):
    """What is expected to be read from a remote file, fetched before it is wanted; a `Source`.

    As much is on its way as `MOST_REQUESTS` allows. What was read is forgotten, and makes room for what is next.
    """

    def __init__(self, file: RemoteFile, offsets: Sequence[int], sizes: Sequence[int]) -> None:
        self._file = file
        self.size = file.size
        self.key = file.key
        extents = sorted(
            (offset, min(offset + size, file.size)) for offset, size in zip(offsets, sizes, strict=True) if size > 0
        )
        self._extents = [begin for begin, _ in extents]
        self._ends = [end for _, end in extents]
        self._pieces = _pieces(extents)
        self._begins = [piece.begin for piece in self._pieces]
        for begin, end in extents:
            for piece in self._touched(begin, end):
                piece.readers += 1
        self._lock = _thread.allocate_lock()
        self._next = 0
        self._open = 0

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill the view from an offset on; gives how many bytes there were, fewer only at the end."""
        view = view[: max(0, self.size - offset)]
        done = 0
        for piece in self._touched(offset, offset + len(view)):
            if not piece.begin <= offset + done < piece.end:
                break
            done += self._request_of(piece).copy_to(view[done : piece.end - offset], offset + done)
        self._forget(offset, offset + len(view))
        return done if done == len(view) else self._file.read_into(view, offset)

    def _touched(self, begin: int, end: int) -> list[_Piece]:
        first = max(0, bisect_right(self._begins, begin) - 1)
        return self._pieces[first : bisect_left(self._begins, end)]

    def _request_of(self, piece: _Piece) -> _Request:
        with self._lock:
            request = piece.request or self._ask(piece)
            self._go_on()
            return request

    def _ask(self, piece: _Piece) -> _Request:
        kept = self._file.kept(piece.begin, piece.end)
        piece.is_own = kept is None
        piece.request = kept or self._file.ask(piece.begin, piece.end)
        self._open += 1
        return piece.request

    def _go_on(self) -> None:
        """Ask for what comes next, as far as there is room."""
        share = max(_LEAST_REQUESTS, MOST_REQUESTS // max(1, len(_active)))
        while self._open < share and self._next < len(self._pieces):
            piece = self._pieces[self._next]
            if piece.request is None and piece.readers:
                self._ask(piece)
            self._next += 1

    def _forget(self, begin: int, end: int) -> None:
        """Count what was read, and let go of what nobody is going to read any more."""
        with self._lock:
            for number in range(bisect_left(self._extents, begin), bisect_left(self._extents, end)):
                for piece in self._touched(self._extents[number], self._ends[number]):
                    piece.readers -= 1
                    if piece.readers == 0 and piece.request is not None:
                        piece.request = None
                        self._open -= 1
            self._go_on()

    def end(self) -> None:
        """Give up what is still on its way."""
        for piece in self._pieces:
            if piece.request is not None and piece.is_own:
                piece.request.give_up()


def _pieces(extents: Sequence[tuple[int, int]]) -> list[_Piece]:
    """The ranges to ask for: near extents together, and no more in one than a request is to have."""
    pieces: list[_Piece] = []
    for begin, end in extents:
        last = pieces[-1] if pieces else None
        if last is not None and begin <= last.end + _GAP_BYTES and end - last.begin <= REQUEST_BYTES:
            last.end = max(last.end, end)
            continue
        begin = begin if last is None else max(begin, last.end)
        while begin < end:
            pieces.append(_Piece(begin, min(begin + REQUEST_BYTES, end)))
            begin = pieces[-1].end
    return pieces


class RemoteStream(io.RawIOBase):
    """A remote file as libhdf5 reads it.

    libhdf5 makes of an error what it likes, so the first one is kept.
    """

    def __init__(self, file: RemoteFile) -> None:
        super().__init__()
        self.failure: BaseException | None = None
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._file.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        try:
            with _without_collector():
                count = self._file.read_into(view, self._position)
        except BaseException as error:
            self.failure = self.failure or anew(error)
            raise
        self._position += count
        return count


@contextmanager
def _without_collector() -> Iterator[None]:
    # This thread has h5py's lock and waits for the one that fetches. If garbage were collected there, and objects of
    # h5py among it, that one would wait for the lock.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
