"""The threads that decode, and what each has of its own."""

from __future__ import annotations

import _thread
import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Generic, TypeVar

from .compat import is_in_pool
from .cpus import thread_count
from .fork import after_fork

Task = Callable[[], None]
Thing = TypeVar("Thing")


class OfThread(threading.local, Generic[Thing]):
    """A thing of each thread's own, made when the thread first asks for it.

    Who gives a library an address in it holds the thing itself for as long: when the interpreter ends, what is the
    threads' own is taken away from those too that are in the middle of a call.

    Parameters
    ----------
    make
        Makes one.
    """

    def __init__(self, make: Callable[[], Thing]) -> None:
        self.own = make()


# Threads and what they wait for are made of parts that no interrupt can come into the middle of. Those written in
# Python, conditions and pools among them, may stay locked for ever when one does.


class _Crew:
    """The helpers of this process, and which threads are at work with them among these."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._busy: set[int] = set()  # not a number, which an interrupt between two steps would leave wrong for ever
        self._calls: SimpleQueue[Task] = SimpleQueue()
        self._size = 0

    @property
    def busy(self) -> int:
        return len(self._busy)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Count this thread for the length of a ``with`` block, the outermost where it reads within a task."""
        own = _thread.get_ident()
        if own in self._busy:
            yield
            return
        try:
            with self._lock:
                self._busy.add(own)
            yield
        finally:
            with self._lock:
                self._busy.discard(own)

    def start(self, work: Task, helpers: int) -> None:
        """Start work in as many helpers; in fewer where the interpreter is about to end."""
        with self._lock, contextlib.suppress(RuntimeError):
            while self._size < helpers:
                _thread.start_new_thread(_help, (self._calls,))
                self._size += 1
            for _ in range(helpers):
                self._calls.put(work)


def _help(calls: SimpleQueue[Task]) -> None:
    while True:
        work = calls.get()
        work()
        del work  # what it holds is not to live on while the thread waits


_crew = _Crew()


@after_fork
def _start_anew() -> None:
    global _crew
    _crew = _Crew()


def run(tasks: Sequence[Task], threads: int | None = None) -> None:
    """Do all tasks, in this thread and in helpers while there are CPUs that no other read uses.

    The first error ends it; no thread is at work any more once this returns or raises.

    Parameters
    ----------
    tasks
        What there is to do, in the order in which it should begin.
    threads
        Most threads to use, this one among them; None for `thread_count`.
    """
    crew = _crew
    with crew.at_work():
        most = 1 if is_in_pool() else (threads or thread_count())
        helpers = min(most - crew.busy, len(tasks) - 1)
        if helpers < 1:
            for task in tasks:
                task()
            return
        shared = _Shared(tasks, crew, most)
        try:
            crew.start(shared.help, helpers)
            shared.go_on()
        finally:
            try:
                shared.end()
            finally:
                shared.end()  # which an interrupt may have kept from beginning
            failure = shared.take_failure()
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # whose traceback has this frame


class _Shared:
    """Tasks that several threads take from."""

    def __init__(self, tasks: Iterable[Task], crew: _Crew, most: int) -> None:
        self._tasks = iter(tasks)
        self._lock = _thread.allocate_lock()
        self._crew = crew
        self._most = most
        self._stopped = False
        self._helpers = 0
        self._all_left = _thread.allocate_lock()  # locked until the last helper leaves
        self._all_left.acquire()
        self._failure: BaseException | None = None

    def _next(self) -> Task | None:
        with self._lock:
            return None if self._stopped else next(self._tasks, None)

    def go_on(self) -> None:
        """Work until nothing is left, in the thread that wants the result."""
        while (task := self._next()) is not None:
            task()

    def help(self) -> None:
        """Work until nothing is left, or until other reads need this thread's CPU."""
        with self._lock:
            if self._stopped:
                return
            self._helpers += 1
        try:
            with self._crew.at_work():
                while self._crew.busy <= self._most and (task := self._next()) is not None:
                    task()
        except BaseException as error:  # raised again where the result is waited for
            self._failure = self._failure or error
            self.stop()
        finally:
            with self._lock:
                self._helpers -= 1
                if not self._helpers and self._all_left.locked():
                    self._all_left.release()

    def stop(self) -> None:
        """Have no task begin any more, and no helper."""
        self._stopped = True

    def end(self) -> None:
        """Stop, and wait for the helpers; an interrupt meanwhile is raised after that, as they write to the result."""
        interrupted: BaseException | None = None
        while True:
            try:
                self.stop()
                if not self._are_helpers_at_work():
                    break
                self._all_left.acquire()
            except BaseException as error:
                interrupted = error
        try:
            if interrupted is not None:
                raise interrupted
        finally:
            del interrupted  # whose traceback has this frame

    def _are_helpers_at_work(self) -> bool:
        with self._lock:
            return self._helpers > 0

    def take_failure(self) -> BaseException | None:
        """The first error of a helper, in whose traceback this is."""
        failure, self._failure = self._failure, None
        return failure
