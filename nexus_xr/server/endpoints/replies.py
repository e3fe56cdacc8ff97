"""What a worker says as a response of HTTP."""

from __future__ import annotations

from starlette.responses import Response

from nexus_xr.server.workers.exchange import Reply


def whole_response(reply: Reply) -> Response:
    """The response of an answer that has one part."""
    headers = {**headers_of(reply), "Content-Length": str(len(reply.body))}
    return Response(reply.body, reply.status, headers, reply.media_type)


def headers_of(reply: Reply) -> dict[str, str]:
    """Headers of an answer, besides how long it is."""
    headers = {"Cache-Control": "private, no-cache", **reply.headers}
    return headers | {"ETag": reply.etag} if reply.etag else headers
