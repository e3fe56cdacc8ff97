"""Files over HTTP, on this machine: frames, whole stacks, metadata, and a folder's listing, beside other servers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .cases import BY_NAME as CASES
from .cases import DATASET, Stack, frame_stack
from .contestants import GROUP
from .harness import Column, Result, data_directory, version
from .plotting import Bar, Panel

# 64 frames of 2 MiB.
FULL_MEBIBYTES = 128
CONNECTIONS = (1, 8, 64)
_FILES = 1000
_STACKS = 8
_REFERENCE = "h5grove"
_STARTING_SECONDS = 300
_ANSWERS = 200
# Of all clocks of a process that which counts nanoseconds on a CPU, as Linux numbers them.
_CPU_CLOCK = 2


@dataclass(frozen=True)
class Peer:
    """A server that takes part.

    Parameters
    ----------
    name
        How the tables call it.
    version
        Its version, if it has one.
    needs
        Modules and programs without any of which it takes no part.
    command
        What starts it, given the folder and a free port.
    paths
        What is asked of it, by the name of the work; given the stack and a number that counts requests.
    """

    name: str
    version: str | None
    needs: tuple[str, ...]
    command: Callable[[Path, int], list[str]]
    paths: dict[str, Callable[[Stack, int], str]]


_OURS = "import sys, nexus_xr.server as s; s.serve(sys.argv[1], port=int(sys.argv[2]), token=False)"
_H5GROVE = """
import sys, fastapi, uvicorn
from h5grove.fastapi_utils import router, settings
settings.base_dir = sys.argv[1]
app = fastapi.FastAPI()
app.include_router(router)
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
"""
_TILED = """
import sys, hdf5plugin, uvicorn
from pathlib import Path
from tiled.adapters.hdf5 import HDF5Adapter
from tiled.adapters.mapping import MapAdapter
from tiled.config import Authentication
from tiled.server.app import build_app
files = {path.stem: HDF5Adapter.from_uris(path.as_uri()) for path in Path(sys.argv[1]).glob("frames-*.nxs")}
app = build_app(MapAdapter(files), authentication=Authentication(allow_anonymous_access=True))
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
"""
_NGINX = """
user root; worker_processes auto; daemon off; error_log stderr crit; pid {folder}/nginx-{port}.pid;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


def _nginx(folder: Path, port: int) -> list[str]:
    configuration = folder / f"nginx-{port}.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port))
    return ["nginx", "-c", str(configuration)]


def _frame(stack: Stack, number: int) -> str:
    return f"path={DATASET}&selection={number % stack.count},:,:&format=bin"


PEERS = (
    Peer(
        "nexus_xr",
        version("nexus-xr"),
        ("uvicorn",),
        lambda folder, port: [sys.executable, "-c", _OURS, str(folder), str(port)],
        {
            "frame": lambda stack, number: f"/api/data/{stack.path.name}?{_frame(stack, number)}",
            "stack": lambda stack, number: f"/api/data/{stack.path.name}?path={DATASET}",
            "metadata": lambda stack, number: f"/api/meta/{stack.path.name}?path={GROUP}",
            "h5grove's metadata": lambda stack, number: f"/h5grove/meta?file={stack.path.name}&path={GROUP}",
            "stored chunk": lambda stack, number: (
                f"/api/chunk/{stack.path.name}?path={DATASET}&chunk={number % stack.count},0,0"
            ),
            "zarr chunk": lambda stack, number: f"/zarr/{stack.path.name}{_zarr_chunk(stack, number)}",
            "file": lambda stack, number: f"/file/{stack.path.name}",
            "listing": lambda stack, number: f"/api/files/{_many_files().name}",
        },
    ),
    Peer(
        _REFERENCE,
        version("h5grove"),
        ("h5grove", "fastapi"),
        lambda folder, port: [sys.executable, "-c", _H5GROVE, str(folder), str(port)],
        {
            "frame": lambda stack, number: f"/data?file={stack.path.name}&{_frame(stack, number)}",
            "stack": lambda stack, number: f"/data?file={stack.path.name}&path={DATASET}&format=bin",
            "metadata": lambda stack, number: f"/meta?file={stack.path.name}&path={GROUP}",
            "h5grove's metadata": lambda stack, number: f"/meta?file={stack.path.name}&path={GROUP}",
        },
    ),
    Peer(
        "nginx",
        None,
        ("nginx",),
        _nginx,
        {
            "file": lambda stack, number: f"/{stack.path.name}",
            "stored chunk": lambda stack, number: f"/{_stored_chunk(stack, number)}",
            "zarr chunk": lambda stack, number: f"/{_stored_chunk(stack, number)}",
        },
    ),
)
WORKS = tuple(PEERS[0].paths)


def _zarr_chunk(stack: Stack, number: int) -> str:
    return f"{DATASET}/c/{number % stack.count}/0/0"


def tiled(python: str) -> Peer:
    """Tiled, in an environment of its own, as it needs other versions of much.

    Parameters
    ----------
    python
        The interpreter of that environment.
    """
    tell = "from importlib.metadata import version; print(version('tiled'))"
    return Peer(
        "tiled",
        subprocess.check_output([python, "-c", tell], text=True).strip(),
        (python,),
        lambda folder, port: [python, "-c", _TILED, str(folder), str(port)],
        {
            "frame": lambda stack, number: (
                f"/api/v1/array/full/{stack.path.stem}{DATASET}?slice={number % stack.count}"
                "&format=application/octet-stream"
            ),
            "metadata": lambda stack, number: f"/api/v1/metadata/{stack.path.stem}/{GROUP}",
            "zarr chunk": lambda stack, number: f"/zarr/v3/{stack.path.stem}{_zarr_chunk(stack, number)}",
        },
    )


def _many_files() -> Path:
    """A folder of many files, all of which are the same one."""
    stack = frame_stack(CASES["bitshuffle+LZ4"], 2)
    folder = data_directory() / "many-files"
    folder.mkdir(exist_ok=True)
    for number in range(_FILES):
        name = folder / f"scan_{number}.nxs"
        if not name.exists():
            name.hardlink_to(stack.path)
    return folder


def _stored_chunk(stack: Stack, number: int) -> str:
    """A file of the bytes of a chunk, which is all that can be sent without a word about it."""
    import h5py

    number %= stack.count
    name = f"{stack.path.stem}-chunks/{number}"
    target = data_directory() / name
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        with h5py.File(stack.path) as file:
            target.write_bytes(file[DATASET].id.read_direct_chunk((number, 0, 0))[1])
    return name


# --- a server in processes of its own ------------------------------------------------------------------------------


@dataclass
class Server:
    """A server that runs."""

    peer: Peer
    process: subprocess.Popen[bytes]
    port: int

    def cpu_seconds(self) -> float:
        """CPU time of it and its children so far."""
        return sum(_cpu_seconds(pid) for pid in _family(self.process.pid))

    def memory(self) -> float:
        """MiB of memory that it and its children have to themselves, and their share of what they have in common."""
        return sum(_share(pid) for pid in _family(self.process.pid)) / 1024


def _family(pid: int) -> list[int]:
    """A process and all that came of it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ProcessLookupError):
            continue
        parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process by its own clock: that of its ticks is too coarse for a turn of a few milliseconds.

    Source: clock_getcpuclockid(3) of the GNU C library, for Linux.
    """
    try:
        return time.clock_gettime(~pid << 3 | _CPU_CLOCK)
    except OSError:
        return 0.0


def _share(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


@contextmanager
def running(peer: Peer, folder: Path) -> Iterator[Server]:
    """A server for the length of a ``with`` block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = peer.command(folder, port)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(process, port)
        yield Server(peer, process, port)
    finally:
        process.terminate()
        process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + _STARTING_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("the server doesn't start")


# --- a client --------------------------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """A connection that counts the bytes of answers, and keeps none of them."""

    def __init__(self) -> None:
        self._head = b""
        self._left: int | None = None
        self._is_chunked = False
        self._tail = b""
        self._received = 0
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    async def get(self, path: str) -> int:
        """Bytes of the answer's body."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._head, self._left, self._received, self._tail = b"", None, 0, b""
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        return await self._answered

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._begin(head.lower())
        self._count(data)

    def _begin(self, head: bytes) -> None:
        if b" 200 " not in head.partition(b"\r\n")[0]:
            self._fail(head.partition(b"\r\n")[0].decode())
        self._is_chunked = b"transfer-encoding: chunked" in head
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        self._left = 0 if self._is_chunked else int(length)

    def _count(self, data: bytes) -> None:
        self._received += len(data)
        self._tail = (self._tail + data[-5:])[-5:]
        is_done = self._tail == b"0\r\n\r\n" if self._is_chunked else self._received >= (self._left or 0)
        if is_done and self._answered is not None and not self._answered.done():
            self._answered.set_result(self._received)

    def _fail(self, reason: str) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(RuntimeError(reason))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the connection was closed")


async def _ask(port: int, paths: Sequence[str], connections: int) -> tuple[int, float]:
    """Ask for all paths over so many connections; gives the bytes of all answers, and the seconds that these took."""
    waiting = iter(paths)
    loop = asyncio.get_running_loop()

    async def use(connection: _Connection) -> int:
        return sum([await connection.get(path) for path in waiting])

    opened = [(await loop.create_connection(_Connection, "127.0.0.1", port)) for _ in range(connections)]
    begin = time.perf_counter()  # to open connections takes the client as long as many short answers
    try:
        received = sum(await asyncio.gather(*(use(connection) for _, connection in opened)))
        return received, time.perf_counter() - begin
    finally:
        for transport, _ in opened:
            transport.close()


# --- measuring -------------------------------------------------------------------------------------------------------


@dataclass
class Served:
    """What was measured of one server: of each turn the seconds, the CPU seconds of the server, and its memory."""

    name: str
    version: str | None
    requests: int = 0
    received: int = 0
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    memory: float = 0.0
    failure: str | None = None

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / statistics.median(self.seconds)

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of the server's CPU a request."""
        return 1000 * statistics.median(self.cpu_seconds) / self.requests

    @property
    def throughput(self) -> float:
        """MiB a second."""
        return self.received / 2**20 / statistics.median(self.seconds)

    def result(self) -> Result:
        """The same for a table."""
        amount = float(self.requests or 1)
        return Result(self.name, self.version, amount, seconds=self.seconds, failure=self.failure)


@dataclass(frozen=True)
class Table:
    """The servers beside each other at one work."""

    title: str
    short_title: str
    servers: list[Served]

    @property
    def results(self) -> list[Result]:
        """One a server."""
        return [each.result() for each in self.servers]

    def rows(self) -> list[dict[str, Any]]:
        """All figures, for JSON."""
        return [{"what": self.short_title, **vars(each)} for each in self.servers]

    def _of(self, result: Result) -> Served:
        return next(each for each in self.servers if each.name == result.name)

    def columns(self) -> list[Column]:
        """Requests and MiB a second, CPU time, memory, and how many times as many requests as the reference."""
        return [
            Column("requests/s", lambda result: f"{self._of(result).rate:.1f}"),
            Column("MiB/s", lambda result: f"{self._of(result).throughput:.0f}"),
            Column("CPU ms each", lambda result: f"{self._of(result).cpu_ms:.2f}"),
            Column("MiB of memory", lambda result: f"{self._of(result).memory:.0f}"),
            Column("times as many", self._times),
        ]

    def _times(self, result: Result) -> str:
        base = next((each for each in self.servers if each.name == _REFERENCE and each.seconds), None)
        return f"{self._of(result).rate / base.rate:.1f}" if base else "-"

    def panel(self) -> Panel:
        """The table as a picture: the longer the bar, the more requests."""
        return Panel(self.short_title, [_bar(each) for each in self.servers])


def _bar(served: Served) -> Bar:
    is_ours = served.name == PEERS[0].name
    if not served.seconds:
        return Bar(served.name, None, served.failure or "not measured", is_ours)
    return Bar(served.name, served.rate, f"{served.rate:.0f}/s, {served.cpu_ms:.2f} ms CPU", is_ours)


def run(size: int, repeat: int, works: Sequence[str], case: str, others: Sequence[Peer] = ()) -> Iterator[Table]:
    """Measure work by work, all servers in turn."""
    stack = frame_stack(CASES[case], max(1, size // 2))
    folder = data_directory()
    _many_files()
    with ExitStack() as servers:
        there = [servers.enter_context(running(peer, folder)) for peer in (*PEERS, *others) if not _missing(peer)]
        for work in works:
            for connections in (_STACKS,) if work == "stack" else CONNECTIONS:
                taking_part = [server for server in there if work in server.peer.paths]
                yield _measured(work, connections, taking_part, stack, repeat)


def left_out(others: Sequence[Peer] = ()) -> list[str]:
    """Which servers take no part, and what is missing for each."""
    peers = (*PEERS, *others)
    missing = {peer.name: " and no ".join(_missing(peer)) for peer in peers}
    lines = [f"{name} takes no part: there is no {needed}" for name, needed in missing.items() if needed]
    return lines if others else [*lines, "tiled takes no part: --tiled names no Python of an environment that has it"]


def _missing(peer: Peer) -> list[str]:
    return [name for name in peer.needs if shutil.which(name) is None and find_spec(name) is None]


def _measured(work: str, connections: int, servers: Sequence[Server], stack: Stack, repeat: int) -> Table:
    count = {"stack": _STACKS, "file": 2 * _STACKS, "listing": 2 * _STACKS}.get(
        work, _ANSWERS * (1 + (connections > 1))
    )
    found = [Served(server.peer.name, server.peer.version, count) for server in servers]
    for turn in range(repeat + 1):
        for server, served in zip(servers, found, strict=True):
            if served.failure is None:
                _turn(server, served, stack, work, connections, is_counted=turn > 0)
    title = f"{work}, {connections} connections, {stack.case.name}, {count} requests"
    return Table(title, f"{work}, {connections} at once", found)


def _turn(server: Server, served: Served, stack: Stack, work: str, connections: int, is_counted: bool) -> None:
    paths = [server.peer.paths[work](stack, number) for number in range(served.requests)]
    before = server.cpu_seconds()
    try:
        served.received, seconds = asyncio.run(_ask(server.port, paths, connections))
    except (RuntimeError, OSError) as error:
        served.failure = f"failed: {error}"
        return
    if is_counted:
        served.seconds.append(seconds)
        served.cpu_seconds.append(server.cpu_seconds() - before)
        served.memory = max(served.memory, server.memory())
