"""What a worker says as a response of HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from nexus_xr.server.workers.exchange import Piece, Reply

from .presence import ClientGoneError, Presence


def whole_response(reply: Reply) -> Response:
    """The response of an answer that has one part."""
    return response_with(reply, reply.body, reply.size)


def response_with(reply: Reply, body: Piece, size: int) -> Response:
    """The response of an answer with a body, and the head of one that is so long."""
    return Response(body, reply.status, {**headers_of(reply), "Content-Length": str(size)}, reply.media_type)


class SameHead(Response):
    """A response with the head of another, of which nothing is made anew.

    Parameters
    ----------
    other
        The other.
    body
        Its own body.
    """

    def __init__(self, other: Response, body: Piece) -> None:
        self.status_code, self.raw_headers, self.background = other.status_code, other.raw_headers, None
        self.body = body


class InPieces(StreamingResponse):
    """A response that is sent piece by piece as long as the client is there; nothing is kept of what is sent.

    Parameters
    ----------
    pieces
        The body.
    status, headers, media_type
        The head.
    presence
        Whether the client is there.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[Piece, None],
        status: int,
        headers: Mapping[str, str],
        media_type: str,
        presence: Presence,
    ) -> None:
        super().__init__(pieces, status, headers, media_type)
        self._pieces = pieces
        self._presence = presence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientGoneError):
            await self._presence.found(self._sent(send))

    async def _sent(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                del piece
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def headers_of(reply: Reply) -> dict[str, str]:
    """Headers of an answer, besides how long it is."""
    headers = {"Cache-Control": "private, no-cache", **reply.headers}
    return headers | {"ETag": reply.etag} if reply.etag else headers
