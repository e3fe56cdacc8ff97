"""The workers of a service, as its event loop sees them."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.job import Job
from nexus_xr.server.settings import Settings

from .exchange import Reply, Worker
from .held import Held, Memory
from .messages import OUTDATED, ROOM_BYTES
from .places import Asker, Places
from .starting import Nursery

# Of a request: another worker may have been started just while folders were replaced.
_TRIES = 3
# Beyond the time after which a worker ends itself.
_GRACE_SECONDS = 5.0


@dataclass
class Counts:
    """What became of the workers, for whoever watches the service."""

    started: int = 0
    crashed: int = 0
    too_slow: int = 0
    waiting: int = 0
    busy: int = 0


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
        self._places: Places[Worker | None] = Places()
        for _ in range(self.settings.limits.worker_count):
            self._places.put(None)  # for a worker
        self._held = Held(self.settings.limits.held)
        self._nursery: Nursery | None = None
        self._lock = asyncio.Lock()
        self._busy: set[Worker] = set()
        self._hiring: set[asyncio.Task[Worker]] = set()

    async def start(self) -> None:
        """Start what takes long to start, so that the first request doesn't wait for it."""
        async with self._lock:
            if self._nursery is None:
                self._nursery = await Nursery.started(self.settings)

    async def run(self, job: Job, client: str = "", size: int = 0) -> Reply:
        """The answer to a request; who doesn't wait for it any more has no worker made ready for it.

        Parameters
        ----------
        job
            The request.
        client
            Who asks, as those who wait are taken in turn by that.
        size
            How many bytes the body will probably have, so that it isn't made before there is memory for it.

        Raises
        ------
        Failure
            There are too many requests, no memory for the answer, or the worker has ended over this one.
        """
        asker = Asker(client, (type(job), getattr(job, "file", "")))
        memory = await self._claimed(size, asker) if size > ROOM_BYTES else None
        while (reply := await self._of_present_folders(job, memory, asker)).missing:
            memory = await self._claimed(reply.missing, asker)
        return reply

    async def _of_present_folders(self, job: Job, memory: Memory | None, asker: Asker) -> Reply:
        for _ in range(_TRIES):
            reply = await self._answered(job, memory, asker)
            if reply.status != OUTDATED:
                return reply
        raise Failure(503, "folders that are served are being replaced; ask again in a few seconds")

    async def _claimed(self, size: int, asker: Asker) -> Memory:
        with self._waiting(asker):
            return await self._held.claim(size, asker.client, self.settings.limits.patience)

    async def _answered(self, job: Job, memory: Memory | None, asker: Asker) -> Reply:
        with self._waiting(asker):
            worker = await self._places.take(asker)
        if worker is None or worker.is_lost:
            worker = await self._hired(asker)
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._busy.add(worker)
        self.counts.busy = len(self._busy)
        ended = partial(self._ended, job, asker, answered, time.monotonic())
        seconds = self.settings.limits.seconds + _GRACE_SECONDS
        worker.ask(pickle.dumps(job), asker.client, seconds, ended, memory)
        return await answered

    @contextmanager
    def _waiting(self, asker: Asker) -> Iterator[None]:
        if self.counts.waiting >= self.settings.limits.waiting:
            refused = Failure(503, "too many requests are waiting; ask again in a few seconds")
            if not self._places.refuse_newest(asker.client, refused):
                raise refused
        self.counts.waiting += 1
        try:
            yield
        finally:
            self.counts.waiting -= 1

    def _ended(
        self,
        job: Job,
        asker: Asker,
        answered: asyncio.Future[Reply],
        begin: float,
        worker: Worker,
        reply: Reply | None,
    ) -> None:
        """Give a worker's place back, with it unless it is lost, whether or not somebody still listens."""
        if reply is not None and reply.status == OUTDATED and not worker.is_outdated:
            self._replace_all()
        self._busy.discard(worker)
        self.counts.busy = len(self._busy)
        if worker.is_outdated:
            worker.let_go()
        self._places.give_back(asker, None if reply is None or worker.is_outdated else worker)
        failure = self._told(job, time.monotonic() - begin) if reply is None else None
        if answered.done():
            return
        if failure is not None:
            answered.set_exception(failure)
        elif reply is not None:
            answered.set_result(reply)

    def _replace_all(self) -> None:
        """Have all workers be replaced, as others have to be allowed to read the folders that are there by now."""
        self._let_go_free()
        for worker in self._busy:
            worker.is_outdated = True
        if self._nursery is not None:
            self._nursery.end()
            self._nursery = None

    def _let_go_free(self) -> None:
        for worker in self._places.take_out():
            if worker is not None:
                worker.let_go()
            self._places.put(None)

    def _told(self, job: Job, seconds: float) -> Failure:
        name = getattr(job, "file", "it")
        if seconds >= self.settings.limits.seconds:
            self.counts.too_slow += 1
            return Failure(503, f"{name}: this took longer than {self.settings.limits.seconds} s; ask for less at once")
        self.counts.crashed += 1
        reason = "the file may be damaged, or memory have run out (see Limits.worker_memory)"
        return Failure(500, f"{name}: the process that read it came to its end; {reason}")

    async def _hired(self, asker: Asker) -> Worker:
        """A new worker; if nobody waits for it any more, it takes its place without having been asked."""
        hiring = asyncio.create_task(self._hire())
        self._hiring.add(hiring)
        hiring.add_done_callback(self._hiring.discard)
        try:
            return await asyncio.shield(hiring)
        except asyncio.CancelledError:
            hiring.add_done_callback(partial(self._take_place, asker))
            raise
        except BaseException:
            self._places.give_back(asker, None)
            raise

    def _take_place(self, asker: Asker, hiring: asyncio.Task[Worker]) -> None:
        is_there = not hiring.cancelled() and hiring.exception() is None
        self._places.give_back(asker, hiring.result() if is_there else None)

    async def _hire(self) -> Worker:
        async with self._lock:
            for _ in range(2):
                nursery = self._nursery = self._nursery or await Nursery.started(self.settings)
                try:
                    worker = await nursery.worker(self._held)
                except OSError:  # it has ended
                    nursery.end()
                    self._nursery = None
                else:
                    self.counts.started += 1
                    return worker
        raise Failure(503, "no process could be started that reads files; ask again in a few seconds")

    async def stop(self) -> None:
        """End all workers, in whose places there may be others."""
        for hiring in [*self._hiring]:
            hiring.cancel()
        await asyncio.gather(*self._hiring, return_exceptions=True)
        for worker in [*self._busy]:
            worker.let_go()
        self._let_go_free()
        if self._nursery is not None:
            self._nursery.end_all()
            self._nursery = None
