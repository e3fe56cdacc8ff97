"""The workers of a service, as its event loop sees them."""

from __future__ import annotations

import asyncio
import mmap
import os
import pickle
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.job import Job
from nexus_xr.server.settings import Settings

from .frames import (
    GO_ON,
    LENGTH,
    MOST_HEAD_BYTES,
    NEW_WORKER,
    ROOM_BYTES,
    ROOMS,
    framed,
    mapped,
    new_outbox,
    place_of,
)

# The room in which nothing stays.
_PASSING = 0
# What is copied sooner than lent.
_SMALL_BYTES = 64 << 10
_MOST_BODY_BYTES = 1 << 30
# Beyond the time after which a worker ends itself.
_GRACE_SECONDS = 5.0


Piece = bytes | memoryview


@dataclass(frozen=True)
class Reply:
    """An answer as it came from a worker: what `Answer` says, and the body in pieces."""

    status: int
    media_type: str
    headers: Mapping[str, str]
    parts: int
    length: int | None
    tag: str
    pieces: tuple[Piece, ...]

    @property
    def body(self) -> Piece:
        """The whole body."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)


@dataclass
class Counts:
    """What became of the workers, for whoever watches the service."""

    started: int = 0
    crashed: int = 0
    too_slow: int = 0
    waiting: int = 0
    busy: int = 0


class _LostError(Exception):
    """A worker has ended."""


@dataclass
class _Worker:
    """A worker, as seen from here."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    outbox: mmap.mmap
    free: list[int] = field(default_factory=lambda: list(range(1, ROOMS)))

    async def ask(self, request: bytes) -> Reply:
        room = self.free.pop() if self.free else _PASSING
        try:
            self.writer.write(framed(bytes((room,)) + request))
            (size,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
            if size > MOST_HEAD_BYTES:
                raise _LostError
            head: dict[str, Any] = orjson.loads(await self.reader.readexactly(size))
            pieces = await self._pieces(room, _checked(head.pop("size")))
            return Reply(**head, pieces=pieces)
        except (asyncio.IncompleteReadError, OSError, ValueError, TypeError, KeyError) as error:
            raise _LostError from error

    async def _pieces(self, room: int, size: int) -> tuple[Piece, ...]:
        """The body, as it lies in its room where it is worth it; the room is free once nobody has it any more."""
        start = place_of(room).start
        if room != _PASSING and _SMALL_BYTES <= size <= ROOM_BYTES:
            lent = np.frombuffer(self.outbox, np.uint8, size, start)
            weakref.finalize(lent, self.free.append, room).atexit = False
            return (lent.data,)
        pieces = [self.outbox[start : start + min(size, ROOM_BYTES)]]
        for begin in range(ROOM_BYTES, size, ROOM_BYTES):
            self.writer.write(GO_ON)
            await self.reader.readexactly(len(GO_ON))
            pieces.append(self.outbox[start : start + min(size - begin, ROOM_BYTES)])
        if room != _PASSING:
            self.free.append(room)
        return tuple(pieces)

    def let_go(self) -> None:
        """Have it end, at the latest when it has done what it does; what lies in its outbox stays while it is sent."""
        self.writer.close()


def _checked(size: int) -> int:
    """The size of a body, which is no more than any answer has."""
    if not 0 <= size <= _MOST_BODY_BYTES:
        raise _LostError
    return size


@dataclass
class Pool:
    """Workers that are started when they are needed first, and replaced when they end.

    Parameters
    ----------
    settings
        What the service was told.
    """

    settings: Settings
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._idle: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(self.settings.limits.worker_count):
            self._idle.put_nowait(None)  # a place for one
        self._nursery: _Nursery | None = None
        self._lock = asyncio.Lock()
        self._exchanges: set[asyncio.Task[Reply]] = set()

    async def start(self) -> None:
        """Start what takes long to start, so that the first request doesn't wait for it."""
        async with self._lock:
            if self._nursery is None:
                self._nursery = await _Nursery.started(self.settings)

    async def run(self, job: Job) -> Reply:
        """The answer to a request.

        Raises
        ------
        Failure
            There are too many requests, or the worker has ended over this one.
        """
        if self.counts.waiting >= self.settings.limits.waiting:
            raise Failure(503, "too many requests are waiting; ask again in a few seconds")
        self.counts.waiting += 1
        try:
            place = await self._idle.get()
        finally:
            self.counts.waiting -= 1
        exchange = asyncio.create_task(self._exchange(place, job))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._done)
        return await asyncio.shield(exchange)  # the worker answers, whether or not somebody still listens

    def _done(self, exchange: asyncio.Task[Reply]) -> None:
        self._exchanges.discard(exchange)
        if not exchange.cancelled():
            exchange.exception()  # which who asked was told, if they still listened

    async def _exchange(self, worker: _Worker | None, job: Job) -> Reply:
        """Ask a worker, and give its place back with it, or without it if it has ended."""
        self.counts.busy += 1
        kept: _Worker | None = None
        begin = time.monotonic()
        try:
            worker = worker or await self._hire()
            async with asyncio.timeout(self.settings.limits.seconds + _GRACE_SECONDS):
                reply = await worker.ask(pickle.dumps(job))
            kept = worker
            return reply
        except (_LostError, TimeoutError):
            raise self._told(job, time.monotonic() - begin) from None
        finally:
            self.counts.busy -= 1
            if kept is None and worker is not None:
                worker.let_go()
            self._idle.put_nowait(kept)

    def _told(self, job: Job, seconds: float) -> Failure:
        name = getattr(job, "file", "it")
        if seconds >= self.settings.limits.seconds:
            self.counts.too_slow += 1
            return Failure(503, f"{name}: this took longer than {self.settings.limits.seconds} s; ask for less at once")
        self.counts.crashed += 1
        return Failure(500, f"{name}: the process that read it came to its end; the file may be damaged, copy it again")

    async def _hire(self) -> _Worker:
        async with self._lock:
            for _ in range(2):
                if self._nursery is None:
                    self._nursery = await _Nursery.started(self.settings)
                try:
                    worker = await self._nursery.worker()
                except OSError:  # the system has ended it
                    self._nursery.end()
                    self._nursery = None
                else:
                    self.counts.started += 1
                    return worker
        raise Failure(503, "no process could be started that reads files; ask again in a few seconds")

    async def stop(self) -> None:
        """End all workers."""
        for exchange in [*self._exchanges]:
            exchange.cancel()
        await asyncio.gather(*self._exchanges, return_exceptions=True)
        while not self._idle.empty():
            worker = self._idle.get_nowait()
            if worker is not None:
                worker.let_go()
        if self._nursery is not None:
            self._nursery.end()
            self._nursery = None


class _Nursery:
    """The process that workers come from, as seen from here."""

    def __init__(self, popen: subprocess.Popen[bytes], requests: socket.socket) -> None:
        self._popen = popen
        self._requests = requests

    @classmethod
    async def started(cls, settings: Settings) -> _Nursery:
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "nexus_xr.server.workers.nursery", str(theirs.fileno())]
        popen = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], env=_environment(), stdin=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        nursery = cls(popen, ours)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, framed(pickle.dumps(settings)))
        if await loop.sock_recv(ours, len(NEW_WORKER)) != NEW_WORKER:
            nursery.end()
            raise Failure(503, "the processes that read files don't start; its log says why")
        return nursery

    async def worker(self) -> _Worker:
        """A new worker."""
        ours, theirs = socket.socketpair()
        outbox = new_outbox()
        with theirs:
            socket.send_fds(self._requests, [NEW_WORKER], [theirs.fileno(), outbox])
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours)
        return _Worker(reader, writer, mapped(outbox))

    def end(self) -> None:
        """End it; workers end when their channels are closed."""
        self._requests.close()
        self._popen.kill()
        self._popen.wait()


def _environment() -> dict[str, str]:
    """That of this process, with one thread for linear algebra, which nobody needs, and with where this package is."""
    here = str(Path(__file__).parents[3])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
