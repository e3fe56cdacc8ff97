"""How a request is refused before anything is done for it."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from nexus_xr.server.endpoints.responses import json_response


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
    """Answer with a status and what to do."""
    await json_response({"message": message}, status)(scope, receive, send)
