"""Fetching what is going to be read of a remote file, before it is wanted and side by side."""

from __future__ import annotations

import _thread
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from nexus_xr.hdf5.io.source import Extents, Immediate, Source
from nexus_xr.hdf5.runtime.fork import after_fork

from .range_request import RangeRequest

# A request for values asks for no more. Stores send a few of these side by side faster than one that is longer.
REQUEST_BYTES = 4 << 20
# Requests that are on their way, or came and wait to be decoded, in the whole process; with more than eight reads at
# a time, two for each.
MOST_REQUESTS = 16
_LEAST_REQUESTS = 2
# Bytes between two that are wanted which take less time than one more request.
GAP_BYTES = 256 << 10
# The reads that fetch ahead at this time.
_active: set[int] = set()
after_fork(_active.clear)


class _Piece:
    """A range that one request asks for, and how many of the expected extents have still to be read from it.

    The request may be another read's, for a block that holds the range.
    """

    def __init__(self, begin: int, end: int) -> None:
        self.begin = begin
        self.end = end
        self.readers = 0
        self.request: RangeRequest | None = None
        self.is_own = False


class Asked(Protocol):
    """A remote file, whose bytes can be asked for."""

    key: Hashable

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def ask(self, begin: int, end: int) -> RangeRequest:
        """Ask for a range of bytes."""

    def kept(self, begin: int, end: int) -> RangeRequest | None:
        """A request for blocks that has all of a range, None where none has."""

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill the view from an offset on; gives how many bytes there were, fewer only at the end."""


@contextmanager
def fetched_ahead(file: Asked, extents: Extents) -> Iterator[Source]:
    """The bytes of a file, of which those at some offsets and of some sizes are fetched ahead and side by side."""
    ahead = _Ahead(file, *extents)
    try:
        _active.add(id(ahead))
        yield ahead
    finally:
        _active.discard(id(ahead))
        ahead.end()


class _Ahead(Immediate):
    """What is expected to be read from a remote file, fetched before it is wanted; a `Source`.

    As much is on its way as `MOST_REQUESTS` allows. What was read is forgotten, and makes room for what is next.
    """

    def __init__(self, file: Asked, offsets: Sequence[int], sizes: Sequence[int]) -> None:
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

    def _request_of(self, piece: _Piece) -> RangeRequest:
        with self._lock:
            request = piece.request or self._ask(piece)
            self._go_on()
            return request

    def _ask(self, piece: _Piece) -> RangeRequest:
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
        if last is not None and begin <= last.end + GAP_BYTES and end - last.begin <= REQUEST_BYTES:
            last.end = max(last.end, end)
            continue
        begin = begin if last is None else max(begin, last.end)
        while begin < end:
            pieces.append(_Piece(begin, min(begin + REQUEST_BYTES, end)))
            begin = pieces[-1].end
    return pieces
