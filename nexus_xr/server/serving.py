"""The service in a process of its own, by uvicorn."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .application import application_of
from .observed import log
from .settings import Limits, Settings, folders_of, token_of

HOST, PORT = "127.0.0.1", 8745
_ANYWHERE = ("0.0.0.0", "::", "")


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
        Processes that read and decode; 0 for as many as there are CPUs for this process.
    token
        What clients have to show; True for a random one, with which the address is printed; False for none.
    hosts
        Names under which it is reached, besides those of this machine and `host`; "*" for any.
    origins
        Origins of pages that may use it, besides its own.
    root_path
        The path under which a proxy has it.
    limits
        How much it does for one request and at a time.

    Raises
    ------
    NexusError
        There is no such folder.
    """
    limits = limits or Limits()
    names = (*hosts, *([] if host in _ANYWHERE else [host]))
    settings = Settings(
        folders_of(folders), token_of(token), names, tuple(origins), replace(limits, workers=workers or limits.workers)
    )
    _log_requests()
    config = uvicorn.Config(
        application_of(settings),
        host,
        port,
        root_path=root_path,
        http=_patient(settings.limits.patience),
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=5,
    )
    _Announcing(config, settings).run()


def _log_requests() -> None:
    log.addHandler(logging.StreamHandler(sys.stderr))
    log.setLevel(logging.INFO)


class _Announcing(uvicorn.Server):
    """A server that says where it is."""

    def __init__(self, config: uvicorn.Config, settings: Settings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                host, port = listening.getsockname()[:2]
                print(_address(host, port, self._settings.token), flush=True)


def _address(host: str, port: int, token: str | None) -> str:
    name = f"[{host}]" if ":" in host else host
    query = "" if token is None else f"?token={token}"
    return f"http://{name}:{port}/api/files{query}"


def _patient(seconds: float) -> type[HttpToolsProtocol]:
    """The protocol of connections on which a client that is too slow is left alone."""

    class Patient(HttpToolsProtocol):
        """Closes a connection whose client takes too long for a request, or to take what is sent."""

        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._start_clock()

        def on_message_begin(self) -> None:
            self._start_clock()
            super().on_message_begin()

        def on_message_complete(self) -> None:
            self._stop_clock()
            super().on_message_complete()

        def pause_writing(self) -> None:
            self._start_clock()
            super().pause_writing()

        def resume_writing(self) -> None:
            self._stop_clock()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_clock()
            super().connection_lost(exc)

        def _start_clock(self) -> None:
            self._stop_clock()
            self._deadline = self.loop.call_later(seconds, self.transport.abort)

        def _stop_clock(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()

    return Patient
