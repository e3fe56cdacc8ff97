"""A web server that gives ranges of files, each after a fixed time, and counts what it was asked for.

``python -m benchmarks.serving FOLDER SECONDS`` runs one until its standard input is closed, and writes its URL.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_COUNTS_PATH = "/-/counts"


class RangeServer(ThreadingHTTPServer):
    """Serves the files of a folder on a free port of this machine.

    Parameters
    ----------
    folder
        Where the files are.
    latency
        Seconds that each request takes before its answer begins.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, folder: Path, latency: float = 0.0, handler: type[RangeHandler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or RangeHandler)
        self.folder = folder
        self.latency = latency
        # What was asked for: method, range and bytes that were sent.
        self.requests: list[tuple[str, str, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def running(self) -> Iterator[RangeServer]:
        """Serve in a thread for the length of a ``with`` block."""
        thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()
            thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away."""


class RangeHandler(BaseHTTPRequestHandler):
    """Answers one client."""

    protocol_version = "HTTP/1.1"
    server: RangeServer

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        if self.path == _COUNTS_PATH:
            self._tell_counts()
        else:
            self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        """Answer a request, with the range of the file that it is for or with its headers alone."""
        time.sleep(self.server.latency)
        path = self.server.folder / unquote(self.path.partition("?")[0]).lstrip("/")
        if not path.is_file():
            self.server.requests.append((self.command, "", 0))
            self.send_error(404)
            return
        size = path.stat().st_size
        begin, end = self.asked(size)
        if begin >= size:
            self.begin(416, 0, {"Content-Range": f"bytes */{size}"})
            self.server.requests.append((self.command, f"{begin}-{end}", 0))
            return
        headers = {"ETag": self.tag(path), "Accept-Ranges": "bytes"}
        whole = "Range" not in self.headers
        if not whole:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
        self.server.requests.append((self.command, "" if whole else f"{begin}-{end}", with_body * (end - begin)))
        self.begin(200 if whole else 206, end - begin, headers)
        if with_body:
            self.send(path, begin, end)

    def asked(self, size: int) -> tuple[int, int]:
        """The range that the request is for: all of the file where it doesn't say."""
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        if found is None:
            return 0, size
        return int(found[1]), min(size, int(found[2]) + 1) if found[2] else size

    def tag(self, path: Path) -> str:
        """What tells one version of a file from another."""
        return f'"{path.stat().st_mtime_ns:x}"'

    def send(self, path: Path, begin: int, end: int) -> None:
        """Send bytes of a file."""
        with path.open("rb") as file:
            self.connection.sendfile(file, begin, end - begin)

    def begin(self, status: int, length: int, headers: dict[str, str]) -> None:
        """Send the status and the headers."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()

    def _tell_counts(self) -> None:
        """Tell how many requests there were and what they sent, since this was asked last."""
        requests, self.server.requests = self.server.requests, []
        body = json.dumps({"requests": len(requests), "bytes": sum(sent for *_, sent in requests)}).encode()
        self.begin(200, len(body), {})
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing of each request."""


@dataclass(frozen=True)
class Counts:
    """What a server was asked for."""

    requests: int
    bytes: int


@dataclass(frozen=True)
class Serving:
    """A server in a process of its own."""

    url: str

    def counts(self) -> Counts:
        """What was asked for since this was called last."""
        with urllib.request.urlopen(self.url + _COUNTS_PATH, timeout=30) as answer:
            return Counts(**json.load(answer))


@contextmanager
def serving(folder: Path, latency: float) -> Iterator[Serving]:
    """A server in a process of its own for the length of a ``with`` block."""
    command = [sys.executable, "-m", "benchmarks.serving", str(folder), str(latency)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Serving(process.stdout.readline().strip())
        process.stdin.close()


def main(folder: str, latency: str) -> None:
    """Serve until standard input is closed."""
    with RangeServer(Path(folder), float(latency)).running() as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
