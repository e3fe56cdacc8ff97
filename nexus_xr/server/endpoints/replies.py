"""What a worker says as a response of HTTP."""

from __future__ import annotations

from starlette.responses import Response

from nexus_xr.server.workers.exchange import Piece, Reply


def whole_response(reply: Reply) -> Response:
    """The response of an answer that has one part."""
    return response_with(reply, reply.body, len(reply.body))


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


def headers_of(reply: Reply) -> dict[str, str]:
    """Headers of an answer, besides how long it is."""
    headers = {"Cache-Control": "private, no-cache", **reply.headers}
    return headers | {"ETag": reply.etag} if reply.etag else headers
