"""Answers whose bodies lie in files, read from there again without a worker being asked.

Nothing of them is looked into, and they are read only where the system has them in memory, so that no client waits
for the disk of another.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from nexus_xr.errors import NexusReachError
from nexus_xr.server.jobs.served_files import State, reach_of, state_of
from nexus_xr.server.settings import Folder
from nexus_xr.server.workers.exchange import Reply
from nexus_xr.server.workers.messages import OUTBOX_BYTES, ROOM_BYTES
from nexus_xr.server.workers.outbox import PASSING, Outbox

from .replies import response_with

# Has the system refuse to read what it would have to wait for; 0 where it can't.
_AT_ONCE = getattr(os, "RWF_NOWAIT", 0)
_WORD = np.arange(4)
# What of a body may be its own.
_MOST_OWN_BYTES = 64 << 10


@dataclass(frozen=True, eq=False)
class StoredReply:
    """An answer without its body, and where that lies in a file.

    Parameters
    ----------
    reply
        The answer.
    path, state
        The file, and the state in which it was.
    offset
        Where in it that begins which stands behind the head.
    size
        Bytes of the body.
    head, tail
        What it begins and ends with, which isn't there.
    words
        Where four bytes each aren't there.
    values
        What these are.
    """

    reply: Reply
    path: str
    state: State
    offset: int
    size: int
    head: bytes
    tail: bytes
    words: NDArray[np.int64]
    values: NDArray[np.uint8]

    @classmethod
    def of(cls, reply: Reply, stored: Mapping[str, Any], path: str, state: State) -> StoredReply | None:
        """How an answer can be had again, None where it can't; what a worker says of that is checked.

        Parameters
        ----------
        reply
            The answer, with its body.
        stored
            What `StoredBody` says.
        path, state
            The file.
        """
        offset, head, tail = (int(stored[name]) for name in ("offset", "head", "tail"))
        words, body = np.array(stored["words"], np.int64), np.frombuffer(reply.body, np.uint8)
        end = body.nbytes - tail
        are_within = 0 <= head < end <= body.nbytes and ((words >= head) & (words <= end - _WORD.size)).all()
        is_in_file = offset + head >= 0 and offset + end <= state[2]
        is_short = head + tail <= _MOST_OWN_BYTES and body.nbytes <= ROOM_BYTES
        if not (_AT_ONCE and are_within and is_in_file and is_short):
            return None
        alone, own = replace(reply, pieces=()), (body[:head].tobytes(), body[end:].tobytes())
        return cls(alone, path, state, offset + head, body.nbytes, *own, words, body[words[:, None] + _WORD])

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return len(self.head) + len(self.tail) + self.words.nbytes + self.values.nbytes

    @cached_property
    def response(self) -> Response:
        """The response without the body."""
        return response_with(self.reply, b"", self.size)


class StoredBodies:
    """Reads bodies.

    Parameters
    ----------
    folders
        What is served.
    """

    def __init__(self, folders: Sequence[Folder]) -> None:
        self._reach = reach_of(folders)
        self._outbox = Outbox(mmap.mmap(-1, OUTBOX_BYTES))

    def read(self, stored: StoredReply) -> memoryview | None:
        """The body of an answer, None where it isn't to be had at once, or the file isn't in that state any more."""
        room = self._outbox.take()
        if room == PASSING:
            return None
        body = self._outbox.lent(room, 0, stored.size)
        begin, end = len(stored.head), stored.size - len(stored.tail)
        if not self._fill(body[begin:end], stored):
            return None
        body.data[:begin], body.data[end:] = stored.head, stored.tail
        body[stored.words[:, None] + _WORD] = stored.values
        return body.data

    def _fill(self, room: NDArray[np.uint8], stored: StoredReply) -> bool:
        with suppress(OSError, NexusReachError):
            descriptor = self._reach.open_resolved(stored.path, stored.path, waits=False)
            try:
                found = os.preadv(descriptor, [room.data], stored.offset, _AT_ONCE)
                return found == room.nbytes and state_of(os.fstat(descriptor)) == stored.state
            finally:
                os.close(descriptor)
        return False
