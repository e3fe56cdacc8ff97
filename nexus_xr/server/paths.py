"""Paths of requests, as an ASGI server gives them."""

from __future__ import annotations

from starlette.types import Scope


def path_within(scope: Scope) -> str:
    """The path within this application, which may have a place in another.

    Examples
    --------
    >>> path_within({"path": "/data/view", "root_path": "/data"}), path_within({"path": "/data", "root_path": "/data"})
    ('/view', '/')
    """
    path: str = scope["path"]
    rest = path.removeprefix(scope.get("root_path", "")) or "/"
    return rest if rest.startswith("/") else path
