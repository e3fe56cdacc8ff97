"""A web server on this machine that gives ranges of files, and does so badly when it is told to."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.serving import RangeHandler, RangeServer

from .waiting import PATIENCE_SECONDS


class FaultyServer(RangeServer):
    """A server of ranges with faults to come.

    ``faults`` are the ways in which the next requests go wrong, one each; ``always`` is how all of them do. Requests
    for files in ``refused`` are refused, and so are those without the ``token`` in their header X-Token. What was
    asked for is in ``requests``, its files are in ``files``, and in ``most_at_once`` is how many requests there were
    at the same time.
    """

    def __init__(self, folder: Path, latency: float = 0.0) -> None:
        super().__init__(folder, latency, FaultyHandler)
        self.faults: list[str] = []
        self.always: str | None = None
        self.refused: set[str] = set()
        self.token: str | None = None
        self.files: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._awaited = 0
        self._to_answer = math.inf
        self._held = 0
        self._changed = threading.Condition()

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The ranges that were asked for: first byte, and the one behind the last."""
        parts = [asked.split("-") for _, asked, _ in self.requests if asked]
        return [(int(begin), int(end)) for begin, end in parts]

    def next_fault(self) -> str | None:
        """How the next request goes wrong."""
        with self._changed:
            return self.faults.pop(0) if self.faults else self.always

    def await_at_once(self, count: int) -> None:
        """Count anew, and hold requests until so many are there at the same time."""
        self.most_at_once, self._awaited = 0, count

    def hold(self, answered: int = 0) -> None:
        """Answer so many requests more, and hold those behind them until all may go on."""
        self._to_answer, self._held = answered, 0

    def let_go(self) -> None:
        """Answer all requests."""
        with self._changed:
            self._to_answer = math.inf
            self._changed.notify_all()

    def await_held(self, count: int) -> None:
        """Wait until so many requests are held."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._held >= count, PATIENCE_SECONDS)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request while it is answered."""
        with self._changed:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most_at_once >= self._awaited, PATIENCE_SECONDS)
            self._held += not self._to_answer
            assert self._changed.wait_for(lambda: self._to_answer > 0, PATIENCE_SECONDS)
            self._to_answer -= 1
        try:
            yield
        finally:
            with self._changed:
                self._at_once -= 1


class FaultyHandler(RangeHandler):
    """Answers one client, as well as the server is to."""

    server: FaultyServer
    _fault: str | None = None

    def answer(self, with_body: bool) -> None:
        """Answer a request, or do what else is to happen."""
        with self.server.counted():
            self.server.files.append(self.path)
            is_refused = self.path in self.server.refused or self.headers.get("X-Token") != self.server.token
            self._fault = "403" if is_refused else self.server.next_fault()
            refusals: dict[str | None, Callable[[], None]] = {
                "dropped": self._drop,
                **{code: partial(self._refuse, int(code)) for code in ("403", "429", "500", "503")},
            }
            refusals.get(self._fault, lambda: super(FaultyHandler, self).answer(with_body))()

    def _drop(self) -> None:
        self.server.requests.append((self.command, "", 0))
        self.close_connection = True

    def _refuse(self, status: int) -> None:
        self.server.requests.append((self.command, "", 0))
        self.begin(status, 0, {})

    def asked(self, size: int) -> tuple[int, int]:
        """The range to send, be it the one that was asked for or not."""
        begin, end = super().asked(size)
        if self._fault in ("no ranges", "web page"):
            del self.headers["Range"]
            return 0, size
        if self._fault == "fewer bytes":
            return begin, begin + (end - begin) // 2
        if self._fault == "elsewhere":
            return begin + 1, end
        return begin, end

    def begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        """Send the status and the headers, or others."""
        if self._fault == "no size" and "Content-Range" in headers:
            headers = {**headers, "Content-Range": f"{headers['Content-Range'].partition('/')[0]}/*"}
        if self._fault == "web page":
            headers = {**headers, "Content-Type": "text/html; charset=utf-8"}
        super().begin(status, length, headers)

    def tag(self, path: Path) -> str:
        """What tells one version of a file from another."""
        return "" if self._fault == "no tag" else super().tag(path)

    def send(self, path: Path, begin: int, end: int) -> None:
        """Send bytes of a file, or half of them."""
        if self._fault == "short body":
            end -= (end - begin) // 2
            self.close_connection = True
        super().send(path, begin, end)
