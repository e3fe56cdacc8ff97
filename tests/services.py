"""The service in this process, for tests that ask it as clients do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.testclient import TestClient

from nexus_xr.server import app

from .waiting import wait_until

TOKEN = "the token of tests"
HERE = "http://localhost"


@contextmanager
def client_of(folders: Any, **options: Any) -> Iterator[TestClient]:
    """A client that shows the token of a service of some folders."""
    application = app(folders, **{"token": TOKEN, **options})
    shown = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(application, HERE, raise_server_exceptions=False, headers=shown) as client:
        yield client


@contextmanager
def served(folders: Any, **options: Any) -> Iterator[str]:
    """The address of a service of some folders, for clients in other processes."""
    with listening(app(folders, **{"token": TOKEN, **options})) as address:
        yield address


@contextmanager
def listening(application: Any) -> Iterator[str]:
    """The address at which an application answers."""
    server = uvicorn.Server(uvicorn.Config(application, "127.0.0.1", 0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def data(client: TestClient, path: Path | str, dataset: str, **parameters: Any) -> Any:
    """The answer to a request for values."""
    name = path.name if isinstance(path, Path) else path
    return client.get(f"/api/data/{name}", params={"path": dataset, **parameters})
