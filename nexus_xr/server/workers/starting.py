"""Starting workers: the process that they come from, as the service sees it."""

from __future__ import annotations

import asyncio
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial

from nexus_xr.hdf5.runtime.children import environment
from nexus_xr.server.failures import Failure
from nexus_xr.server.settings import Settings

from .exchange import Worker
from .held import Held
from .messages import NEW_WORKER, PROCESS, behind_its_length, mapped, new_outbox
from .outbox import Outbox


class Nursery:
    """The process that workers come from."""

    def __init__(self, popen: subprocess.Popen[bytes], requests: socket.socket) -> None:
        self._popen = popen
        self._requests = requests

    @classmethod
    async def started(cls, settings: Settings) -> Nursery:
        """A new one, once it is there."""
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "nexus_xr.server.workers.nursery", str(theirs.fileno())]
        try:
            with theirs:
                popen = subprocess.Popen(
                    command,
                    pass_fds=[theirs.fileno()],
                    env=_modest_environment(),
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        nursery = cls(popen, ours)
        try:
            await nursery._is_there(settings)
        except BaseException:
            nursery.end()
            raise
        return nursery

    async def _is_there(self, settings: Settings) -> None:
        self._requests.setblocking(False)
        loop = asyncio.get_running_loop()
        answer = b""
        with suppress(ConnectionError):  # it has ended
            await loop.sock_sendall(self._requests, behind_its_length(pickle.dumps(settings)))
            answer = await loop.sock_recv(self._requests, len(NEW_WORKER))
        if answer != NEW_WORKER:
            raise Failure(503, "the processes that read files don't start; its log says why")

    async def worker(self, held: Held) -> Worker:
        """A new worker, whose answers are held in that memory."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                outbox = Outbox(self._shared_with(theirs))
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            told = await loop.sock_recv(self._requests, PROCESS.size)
            if len(told) < PROCESS.size:
                raise ConnectionError("the process that workers come from has ended")
            (process,) = PROCESS.unpack(told)
            _, worker = await loop.create_connection(partial(Worker, outbox, held, process), sock=ours)
        except BaseException:
            ours.close()
            raise
        return worker

    def _shared_with(self, channel: socket.socket) -> mmap.mmap:
        """The memory of an outbox that a new worker has as well, which gets this channel."""
        outbox = new_outbox()
        try:
            socket.send_fds(self._requests, [NEW_WORKER], [channel.fileno(), outbox])
        except BaseException:
            os.close(outbox)
            raise
        return mapped(outbox)

    def end(self) -> None:
        """End it; workers end when their channels are closed and they have done what they do."""
        self._requests.close()
        self._popen.kill()
        self._popen.wait()

    def end_all(self) -> None:
        """End it with its workers, whatever they do."""
        with suppress(ProcessLookupError, PermissionError):  # it and they have ended
            os.killpg(self._popen.pid, signal.SIGKILL)
        self.end()


def _modest_environment() -> dict[str, str]:
    """That of this process, with where this package is, and what keeps other libraries within a worker's memory.

    Nobody needs linear algebra. Arrow's own allocator takes 1 GiB of addresses at once, which are limited in a worker.
    """
    modest = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return {**environment(), **modest}
