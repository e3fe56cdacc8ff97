"""Several processes that speak HTTP on one port, each with workers of its own; one that ends is replaced."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import sys
import threading
from asyncio.subprocess import Process
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.runtime.children import environment

from .application import COUNTED
from .listening import listening_at
from .metrics import bytes_of_figures
from .settings import Settings
from .speaking import READY, ProcessSettings
from .workers.messages import behind_its_length, new_memory

# Of so many that read, one speaks HTTP: that is less work, and requests wait for workers of their own process only.
_WORKERS_EACH = 4
# Before one is started again that ended.
_PAUSE_SECONDS = 1.0
# Longer than one takes to send what it has begun to.
_PATIENCE_SECONDS = 10.0
_COMMAND = "import sys; from nexus_xr.server.speaking import main; main(sys.argv[1])"
Announce = Callable[[socket.socket], None]


def processes_for(workers: int) -> int:
    """How many processes speak HTTP where so many read: one where the system doesn't share a port among several.

    Examples
    --------
    >>> processes_for(4)
    1
    """
    return max(1, workers // _WORKERS_EACH) if sys.platform == "linux" else 1


def ending_signals() -> list[signal.Signals]:
    """At which signals a service ends: where its terminal is closed, too, unless it was started to stay (nohup)."""
    hangup = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []
    return [signal.SIGINT, signal.SIGTERM, *(each for each in hangup if signal.getsignal(each) != signal.SIG_IGN)]


def run_several(settings: Settings, root_path: str, place: tuple[str, int], count: int, announce: Announce) -> None:
    """Serve by several processes until this one is told to end.

    Parameters
    ----------
    settings
        What the service was told.
    root_path
        The path under which a proxy has it.
    place
        Host and port.
    count
        How many processes.
    announce
        Told of a socket for each address once all listen.

    Raises
    ------
    NexusError
        They don't start, or the address isn't to be had.
    """
    listening = listening_at(*place, count)
    figures = new_memory(bytes_of_figures(COUNTED, count))
    try:
        several = [
            _OneOf(ProcessSettings(_share(settings, number, count), root_path, _descriptors(sockets), figures, number))
            for number, sockets in enumerate(listening)
        ]
        asyncio.run(_run(several, partial(_announce, announce, listening[0])))
    finally:
        os.close(figures)
        for sockets in listening:
            for each in sockets:
                each.close()


def _announce(announce: Announce, listening: Iterable[socket.socket]) -> None:
    for each in listening:
        announce(each)


def _descriptors(sockets: Sequence[socket.socket]) -> tuple[int, ...]:
    return tuple(each.fileno() for each in sockets)


def _share(settings: Settings, number: int, count: int) -> Settings:
    """What one of several processes is told: its part of the workers, of those who wait for them, and of memory."""
    limits = settings.limits
    workers = len(range(number, limits.worker_count, count))
    share = replace(limits, workers=workers, waiting=max(1, limits.waiting // count), held=limits.held // count)
    return replace(settings, limits=share)


async def _run(several: Sequence[_OneOf], announce: Callable[[], object]) -> None:
    stopping = asyncio.Event()
    if threading.current_thread() is threading.main_thread():
        for each in ending_signals():
            asyncio.get_running_loop().add_signal_handler(each, stopping.set)
    try:
        await asyncio.gather(*(each.start() for each in several))
        announce()
        keepers = [asyncio.create_task(each.keep()) for each in several]
        await stopping.wait()
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
    finally:
        await asyncio.gather(*(each.end() for each in several))


@dataclass
class _OneOf:
    """One of the processes, as seen from here."""

    part: ProcessSettings
    _process: Process | None = None
    _channel: socket.socket | None = None

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", _COMMAND, str(theirs.fileno())),
                pass_fds=[theirs.fileno(), *self.part.listening, self.part.figures],
                env=environment(),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        self._channel.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._channel, behind_its_length(pickle.dumps(self.part)))
        if await loop.sock_recv(self._channel, len(READY)) != READY:
            raise NexusError("a process that speaks HTTP doesn't start; what it wrote says why")

    async def keep(self) -> None:
        """Start another in its place whenever it has ended; who connects meanwhile waits for that."""
        while True:
            if self._process is not None:
                await self._process.wait()
            await self.end()
            await asyncio.sleep(_PAUSE_SECONDS)
            with suppress(NexusError, OSError):
                await self.start()

    async def end(self) -> None:
        """Have it end."""
        if self._channel is not None:
            self._channel.close()
        if self._process is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):  # it has ended just now
                self._process.kill()
            await self._process.wait()
