"""The service in this process, for tests that ask it as clients do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from nexus_xr.server import app

TOKEN = "the token of tests"
HERE = "http://localhost"


@contextmanager
def client_of(folders: Any, **options: Any) -> Iterator[TestClient]:
    """A client that shows the token of a service of some folders."""
    application = app(folders, **{"token": TOKEN, **options})
    shown = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(application, HERE, raise_server_exceptions=False, headers=shown) as client:
        yield client


def data(client: TestClient, path: Path | str, dataset: str, **parameters: Any) -> Any:
    """The answer to a request for values."""
    name = path.name if isinstance(path, Path) else path
    return client.get(f"/api/data/{name}", params={"path": dataset, **parameters})
