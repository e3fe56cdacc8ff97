"""A worker as the service's event loop has it: requests go out, and answers come in, one at a time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import orjson

from nexus_xr.server.deadline import Deadline

from .held import Held, Memory, shortened
from .messages import GO_ON, MOST_HEAD_BYTES, ROOM_BYTES, behind_its_length, place_of, taken
from .outbox import PASSING, Outbox

# What is copied sooner than lent.
_SMALL_BYTES = 64 << 10
_MOST_BODY_BYTES = 1 << 30


Piece = bytes | memoryview


@dataclass(frozen=True)
class Reply:
    """An answer as it came from a worker: what `Answer` says, and the body in pieces.

    Where there was no memory for the body, there are no pieces, and ``missing`` says how many bytes it has.
    """

    status: int
    media_type: str
    headers: Mapping[str, str]
    parts: int
    length: int | None
    tag: str
    has_others: bool
    lasts_with: str
    stored: Mapping[str, Any] | None
    pieces: tuple[Piece, ...]
    missing: int = 0

    @property
    def etag(self) -> str:
        """What tells this state of the answer from another, as HTTP has it; empty where nothing does."""
        return f'"{self.tag}"' if self.tag and not self.has_others else ""

    @property
    def body(self) -> Piece:
        """The whole body."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.pieces))


Ended = Callable[["Worker", Reply | None], None]


@dataclass
class _Exchange:
    """A request that is answered: whose it is, what came so far of the answer, and the memory for its body."""

    client: str
    room: int
    ended: Ended
    memory: Memory | None
    head: dict[str, Any] | None = None
    at: int = 0
    size: int = 0
    parts: int = 0


@dataclass(eq=False)
class Worker(asyncio.Protocol):
    """A worker.

    Parameters
    ----------
    outbox
        Where it lays bodies of answers.
    held
        Memory for those that can't stay there.
    process
        Number of its process.
    """

    outbox: Outbox
    held: Held
    process: int
    is_lost: bool = False
    is_outdated: bool = False
    _heard: bytearray = field(default_factory=bytearray)
    _exchange: _Exchange | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._channel = cast(asyncio.Transport, transport)
        self._deadline = Deadline(asyncio.get_running_loop(), self._kill)

    def ask(self, request: bytes, client: str, seconds: float, ended: Ended, memory: Memory | None = None) -> None:
        """Have it answer a request, when it has answered the one before.

        Parameters
        ----------
        request
            The request.
        client
            On whose behalf.
        seconds
            How long it may take.
        ended
            Called once, with this worker and its answer, or None if there is none and the worker is lost.
        memory
            Memory that was claimed for the answer's body.
        """
        room = self.outbox.take()
        self._deadline.set(seconds)
        self._exchange = _Exchange(client, room, ended, memory)
        self._channel.write(behind_its_length(bytes((room,)) + request))

    def data_received(self, data: bytes) -> None:
        self._heard += data
        try:
            while (message := taken(self._heard, MOST_HEAD_BYTES)) is not None:
                self._hear(message)
        except (ValueError, TypeError, KeyError):  # it isn't itself any more
            self.let_go()

    def _hear(self, message: bytes) -> None:
        """The head of an answer, or word that the next part of its body lies there."""
        exchange = self._exchange
        if exchange is None:
            raise ValueError("nothing was asked")
        if exchange.head is None:
            exchange.head = orjson.loads(message)
            exchange.at, exchange.size = _checked(exchange.head.pop("at"), exchange.head.pop("size"))
            if not _is_to_be_held(exchange):
                self._end(_reply(exchange, self._body(exchange)))
                return
            exchange.memory = self._memory(exchange)
        self._take_part(exchange)

    def _body(self, exchange: _Exchange) -> Piece:
        """The body, as it lies in its room where it is worth it; the room is free once nobody has it any more."""
        room, size = exchange.room, exchange.size
        if size >= _SMALL_BYTES:
            return self.outbox.lent(room, exchange.at, size).data
        start = place_of(room).start + exchange.at
        body = self.outbox.memory[start : start + size]
        self.outbox.give_back(room)
        return body

    def _memory(self, exchange: _Exchange) -> Memory | None:
        """Memory for the body, which may be longer than what was claimed for it."""
        claimed = None if exchange.memory is None else shortened(exchange.memory, exchange.size)
        return self.held.take(exchange.size, exchange.client) if claimed is None else claimed

    def _take_part(self, exchange: _Exchange) -> None:
        """Copy what lies in the room, if there is memory for it."""
        size = min(ROOM_BYTES, exchange.size - ROOM_BYTES * exchange.parts)
        start = place_of(exchange.room).start + exchange.at
        if exchange.memory is not None:
            exchange.memory[exchange.parts][:] = np.frombuffer(self.outbox.memory, np.uint8, size, start)
        exchange.parts += 1
        if ROOM_BYTES * exchange.parts < exchange.size:
            self._channel.write(GO_ON)
            return
        self.outbox.give_back(exchange.room)
        if exchange.memory is None:
            self._end(_reply(exchange, missing=exchange.size))
        else:
            self._end(_reply(exchange, *(each.data for each in exchange.memory)))

    def _end(self, reply: Reply | None) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._deadline.clear()
            exchange.ended(self, reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._end(None)
        self._deadline.end()

    def _kill(self) -> None:
        """End it at once, as it hasn't ended itself in time: its clock stands still where it was stopped."""
        if not self.is_lost:
            with suppress(ProcessLookupError):  # it has ended just now
                os.kill(self.process, signal.SIGKILL)
        self.let_go()

    def let_go(self) -> None:
        """Have it end, at the latest when it has done what it does; what lies in its outbox stays while it is sent."""
        self._channel.abort()


def _is_to_be_held(exchange: _Exchange) -> bool:
    """Whether a body has to be copied so that its room is free for others, and is so large that this counts."""
    return exchange.size > ROOM_BYTES or (exchange.room == PASSING and exchange.size >= _SMALL_BYTES)


def _reply(exchange: _Exchange, *pieces: Piece, missing: int = 0) -> Reply:
    assert exchange.head is not None
    return Reply(**exchange.head, pieces=pieces, missing=missing)


def _checked(at: int, size: int) -> tuple[int, int]:
    """Where a body lies in its room and its size, which is no more than any answer has."""
    if not 0 <= size <= _MOST_BODY_BYTES or not 0 <= at <= max(0, ROOM_BYTES - size):
        raise ValueError(at, size)
    return at, size
