"""How a request is refused before anything is done for it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from nexus_xr.server.endpoints.responses import json_response


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, message: str, headers: Mapping[str, str] | None = None
) -> None:
    """Answer with a status and what to do."""
    response = json_response({"message": message}, status)
    response.headers.update(headers or {})
    await response(scope, receive, send)
