"""Remote files: bytes in few, large requests, many of them at once, ahead of those who want them.

libhdf5 looks at metadata in many small reads: they are served from blocks that are kept. Values are fetched in
requests of their own, which are planned when it is known what a read touches.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager

from nexus_xr.hdf5.io.identity import Version
from nexus_xr.hdf5.io.source import Extents, Source

from .ahead import GAP_BYTES, fetched_ahead
from .kept_blocks import kept_blocks
from .object_store import StoreFile
from .range_request import RangeRequest

# What is fetched around a small read. A request of so many bytes takes no longer than its way to the server and back.
BLOCK_BYTES = 1 << 20
# Reads from here on are no look at metadata, and fetch what they need and no more.
_SMALL_BYTES = 256 << 10
# Where one block after the other is wanted, twice as many are fetched each time, up to these.
_MOST_BLOCKS = 4
# Of one who reads one chunk behind the other so much of what comes next is fetched, at most.
_MOST_AHEAD_BYTES = 16 << 20


def first_bytes(file: StoreFile) -> RangeRequest:
    """Ask for the first bytes of a file, of whatever version it is."""
    return RangeRequest(file.in_this_process(), 0, BLOCK_BYTES, None)


class RemoteFile:
    """A file whose bytes are fetched when they are wanted; a `Source`.

    Parameters
    ----------
    file
        The file in its store.
    version
        The version that was described; None to take the one that there is.
    first
        The request for the first bytes that tells the version, where it isn't known.
    """

    plans_ahead = True

    def __init__(self, file: StoreFile, version: Version | None, first: RangeRequest | None = None) -> None:
        self._file = file.in_this_process()
        if version is None:
            first = first or first_bytes(file)
            version = first.answer().version
            if not version.tag:  # no other version can be told from this one
                version = Version(version.size, uuid.uuid4().hex)
        self.version = version
        self.key: Hashable = (self._file.key, version)
        self._ahead = 1
        self._end_of_last = -1
        self._bytes_in_order = 0
        if first is not None:
            with kept_blocks.lock:
                kept_blocks.keep(self.key, range(1), first)

    @property
    def size(self) -> int:
        return self.version.size

    def ask(self, begin: int, end: int) -> RangeRequest:
        """Ask for a range of bytes."""
        return RangeRequest(self._file, begin, end, self.version)

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
        goes_on = 0 <= offset - self._end_of_last <= GAP_BYTES
        self._bytes_in_order = self._bytes_in_order + size if goes_on else 0
        self._end_of_last = offset + size
        return goes_on

    def _ask_for_more(self, offset: int, size: int) -> None:
        """Ask for what is read now, and for as much behind it as was read in order, in requests side by side."""
        position = offset
        stop = min(offset + size + min(self._bytes_in_order, _MOST_AHEAD_BYTES), self.size)
        while position < stop:
            position = self._request_for_block(position // BLOCK_BYTES).end

    def kept(self, begin: int, end: int) -> RangeRequest | None:
        """A request for blocks that has all of a range, None where none has."""
        with kept_blocks.lock:
            request = kept_blocks.find(self.key, begin // BLOCK_BYTES)
        return request if request is not None and end <= request.end else None

    def _request_for_block(self, number: int) -> RangeRequest:
        with kept_blocks.lock:
            request = kept_blocks.find(self.key, number)
            if request is not None:
                return request
            goes_on = kept_blocks.find(self.key, number - 1) is not None
            self._ahead = min(2 * self._ahead, _MOST_BLOCKS) if goes_on else 1
            stop = number + 1
            while stop < number + self._ahead and kept_blocks.find(self.key, stop) is None:
                stop += 1
            request = self.ask(number * BLOCK_BYTES, min(stop * BLOCK_BYTES, self.size))
            kept_blocks.keep(self.key, range(number, stop), request)
            return request

    def expecting(self, extents: Callable[[], Extents]) -> AbstractContextManager[Source]:
        """The same bytes, of which those that are going to be read are fetched ahead and side by side."""
        return fetched_ahead(self, extents())
