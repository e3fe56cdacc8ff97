"""Starting workers: the process that they come from, as the service sees it."""

from __future__ import annotations

import asyncio
import pickle
import socket
import subprocess
import sys
from functools import partial

from nexus_xr.hdf5.runtime.children import environment
from nexus_xr.server.failures import Failure
from nexus_xr.server.settings import Settings

from .exchange import Worker
from .frames import NEW_WORKER, framed, mapped, new_outbox
from .held import Held
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
        popen = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            env=_modest_environment(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
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

    async def worker(self, held: Held) -> Worker:
        """A new worker, whose answers are held in that memory."""
        ours, theirs = socket.socketpair()
        outbox = new_outbox()
        with theirs:
            socket.send_fds(self._requests, [NEW_WORKER], [theirs.fileno(), outbox])
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        _, worker = await loop.create_connection(partial(Worker, Outbox(mapped(outbox)), held), sock=ours)
        return worker

    def end(self) -> None:
        """End it; workers end when their channels are closed."""
        self._requests.close()
        self._popen.kill()
        self._popen.wait()


def _modest_environment() -> dict[str, str]:
    """That of this process, with where this package is, and what keeps other libraries within a worker's memory.

    Nobody needs linear algebra. Arrow's own allocator takes 1 GiB of addresses at once, which are limited in a worker.
    """
    modest = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    return {**environment(), **modest}
