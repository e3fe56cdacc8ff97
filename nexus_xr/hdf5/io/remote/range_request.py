"""A request for a range of bytes of a remote file, and the threads that wait for it."""

from __future__ import annotations

import _thread
import asyncio

from nexus_xr.errors import anew
from nexus_xr.hdf5.io.identity import Version

from .object_store import StoreFile, VersionedBytes


class RangeRequest:
    """A range that was asked for, and the threads that wait for it.

    Made of parts that no interrupt leaves locked: each thread waits for a lock of its own.
    """

    def __init__(self, file: StoreFile, begin: int, end: int, known: Version | None) -> None:
        self.begin = begin
        self.end = end
        self._answer: VersionedBytes | BaseException | None = None
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

    def answer(self) -> VersionedBytes:
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
