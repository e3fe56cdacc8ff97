"""The pages of the viewer: a list of files, and H5Web for each of them.

They are built from ``viewer/`` and come with the package; nothing of them is fetched from elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .endpoints.conditions import status_by_conditions

_FOLDER = files("nexus_xr.server") / "viewer"
_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".txt": "text/plain"}
# What is opened by its address: the list and the viewer.
PAGES = ("/", "/view")
_FILES = {
    **dict.fromkeys(PAGES, "index.html"),
    "/viewer.js": "viewer.js",
    "/viewer.css": "viewer.css",
    "/viewer-licenses.txt": "LICENSES.txt",
}
# H5Web draws with styles of its own, and what it computes with compiles loops.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors {ancestors}"
)


def page_routes(origins: Iterable[str]) -> list[Route]:
    """The routes of the pages.

    Parameters
    ----------
    origins
        Origins of pages that may show them within.
    """
    policy = _POLICY.format(ancestors=" ".join(["'self'", "http://localhost:*", "http://127.0.0.1:*", *origins]))
    return [_route(path, name, policy) for path, name in _FILES.items()]


def _route(path: str, name: str, policy: str) -> Route:
    kind = _KINDS[name[name.rindex(".") :]]

    async def send(request: Request) -> Response:
        content = (_FOLDER / name).read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Security-Policy": policy}
        status = status_by_conditions(request.scope, tag)
        if status is not None:
            return Response(status_code=status, headers=headers)
        return Response(content, headers=headers, media_type=kind)

    return Route(path, send, methods=["GET", "HEAD"])
