"""The service in processes of its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

import uvicorn

from nexus_xr.errors import NexusError
from nexus_xr.signatures import checks

from .application import application_of
from .listening import listening_at
from .settings import Limits, Settings, root_path_of, settings_of
from .several import ending_signals, processes_for, run_several
from .speaking import configured, log_requests

HOST, PORT = "127.0.0.1", 8745
_ANYWHERE = ("0.0.0.0", "::", "")
# By which this machine reaches what listens at all of its addresses.
_FROM_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_ELSEWHERE = (
    "From elsewhere it is reached by the numbers of this machine's addresses, and by names that it was told: --name, "
    "or hosts of nexus_xr.server.serve."
)
_BEHIND = "{address} behind a proxy, which has it at {path}"
_MOST_PORT = 65535


@checks(workers=0)
def serve(
    folders: Iterable[str | os.PathLike[str]] | str | os.PathLike[str],
    host: str = HOST,
    port: int = PORT,
    *,
    workers: int = 0,
    token: str | bool = True,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    root_path: str = "",
    limits: Limits | None = None,
) -> None:
    """Serve the HDF5 files below some folders until this process is told to end.

    Parameters
    ----------
    folders
        A folder, or several, which are then told apart by their names.
    host, port
        Where it listens; by default only this machine reaches it. A port of 0 is a free one.
    workers
        Processes that read and decode; 0 for as many as there are CPUs for this process. For each four of them one
        process speaks HTTP, where the system shares a port among several.
    token
        What clients have to show; True for a random one, with which the address is printed; False for none.
    hosts
        Names under which it is reached, one or several, besides those of this machine and `host`; "*" for any.
    origins
        Origins of pages that may use it, one or several, besides its own; "*" for any.
    root_path
        The path under which a proxy has it, such as ``/data``.
    limits
        How much it does for one request and at a time.

    Raises
    ------
    TypeError
        The token is neither text nor True or False, as where a variable of the environment isn't set; or another
        argument is of another type.
    NexusError
        There is no such folder or port, the address isn't to be had, the token is empty, a host or an origin is none,
        the root path can't stand in an address, or fewer than no processes are asked for.
    """
    if not 0 <= port <= _MOST_PORT:
        raise NexusError(f"port={port}: expected 0 for a free one, or at most {_MOST_PORT}")
    settings = settings_of(folders, token, hosts, origins, limits)
    settings = replace(
        settings,
        hosts=(*settings.hosts, *([] if host in _ANYWHERE else [host.lower().strip("[]")])),
        limits=replace(settings.limits, workers=workers or settings.limits.workers),
    )
    root_path = root_path_of(root_path)
    count = processes_for(settings.limits.worker_count)
    if count > 1:
        run_several(settings, root_path, (host, port), count, partial(_announce, settings.token, root_path))
        return
    log_requests()
    [listening] = listening_at(host, port, 1)
    _Announcing(configured(application_of(settings), settings, root_path), settings).run(listening)


class _Announcing(uvicorn.Server):
    """A server that says where it is."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Have signals end it as they end several processes: uvicorn raises them again then, as if nobody had."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in ending_signals()}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                _announce(self._settings.token, self.config.root_path, listening)


def _announce(token: str | None, root_path: str, listening: Any) -> None:
    host, port = listening.getsockname()[:2]
    address = _address(_FROM_HERE.get(host, host), port)
    query = "" if token is None else f"?token={quote(token, safe='')}"
    print(_BEHIND.format(path=f"{root_path}/{query}", address=address) if root_path else address + query, flush=True)
    if host in _ANYWHERE:
        print(_ELSEWHERE, flush=True)


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
