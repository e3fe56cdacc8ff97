"""Answers of workers as responses of HTTP: whole, or part after part, each made while the one before it is sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.answer import json_answer
from nexus_xr.server.jobs.job import FileJob, Job
from nexus_xr.server.workers.exchange import Piece, Reply
from nexus_xr.server.workers.pool import Pool

from .conditions import NOT_MODIFIED, PRECONDITION_FAILED, status_by_conditions
from .presence import Asked, client_of
from .remembered import Remembered, Said
from .replies import InPieces, SameHead, headers_of, whole_response

_ERRORS = 400
# After how many seconds what can't be answered for the moment may be asked again.
_UNAVAILABLE, _SOON = 503, "2"


class BrokenOffError(Exception):
    """An answer of which a part is sent already can't be finished."""


@dataclass
class Responder:
    """Has workers answer, and makes responses of what they say."""

    pool: Pool

    def __post_init__(self) -> None:
        self._remembered = Remembered(self.pool.settings.folders)

    def known(self, request: Request, said: Said) -> Response | None:
        """The response to a request of which nobody need be asked, None where a worker has to be.

        Raises
        ------
        Failure
            A condition isn't met.
        """
        known = self._remembered.find(said)
        if known is None:
            return None
        unchanged = _unchanged(request, known.reply)
        if unchanged is not None:
            return unchanged
        return SameHead(known.response, b"") if request.method == "HEAD" else known.response

    async def respond(self, request: Asked, job: Job, said: Said | None = None) -> Response:
        """The response to a request by a worker.

        Parameters
        ----------
        request, job
            The request, and what of it a worker is asked.
        said
            By what its answer is remembered, if it lasts; None where none does.

        Raises
        ------
        Failure
            There is none.
        """
        reply = await request.presence.found(self.pool.run(job, client_of(request.scope)))
        if said is not None:
            self._remembered.keep(said, reply)
        unchanged = _unchanged(request, reply)
        if unchanged is not None:
            return unchanged
        if request.method == "HEAD":
            return _head(reply)
        if reply.parts == len(reply.pieces) == 1:
            return whole_response(reply)
        parts = self._parts(job, client_of(request.scope), reply)
        return InPieces(parts, reply.status, _headers(reply), reply.media_type, request.presence)

    async def _parts(self, job: Job, client: str, reply: Reply) -> AsyncGenerator[Piece, None]:
        """All parts of an answer, of which nothing is kept that is sent; the next is being made while one is sent."""
        tag, parts, size, pieces = reply.tag, reply.parts, reply.size, deque(reply.pieces)
        del reply
        upcoming: asyncio.Task[Reply] | None = None
        try:
            for number in range(1, parts + 1):
                upcoming = self._asked(job, client, number, tag, size) if number < parts else None
                while pieces:
                    yield pieces.popleft()
                if upcoming is not None:
                    pieces.extend((await _checked(upcoming)).pieces)
        finally:
            if upcoming is not None:
                upcoming.cancel()

    def _asked(self, job: Job, client: str, number: int, tag: str, size: int) -> asyncio.Task[Reply]:
        part = cast(Job, replace(cast(FileJob, job), part=number, tag=tag))
        return asyncio.create_task(self.pool.run(part, client, size))


def _unchanged(request: Request, reply: Reply) -> Response | None:
    """The response to who has the present state already, None to who hasn't; raises where another is asked for."""
    status = status_by_conditions(request.scope, reply.etag, reply.headers.get("Last-Modified", ""))
    if status == PRECONDITION_FAILED:
        raise unmet()
    return Response(status_code=status, headers={"ETag": reply.etag}) if status == NOT_MODIFIED else None


async def _checked(upcoming: asyncio.Task[Reply]) -> Reply:
    try:
        reply = await upcoming
    except Failure as failure:
        raise BrokenOffError(failure.message) from failure
    if reply.status >= _ERRORS:
        raise BrokenOffError(bytes(reply.body).decode(errors="replace"))
    return reply


def _head(reply: Reply) -> Response:
    """The response without its body, which says how long that is where it is known."""
    headers = _headers(reply)
    response = Response(b"", reply.status, headers, reply.media_type)
    if "Content-Length" not in headers:
        del response.headers["Content-Length"]
    return response


def _headers(reply: Reply) -> dict[str, str]:
    length = reply.size if reply.parts == 1 else reply.length
    headers = headers_of(reply)
    return headers if length is None else {**headers, "Content-Length": str(length)}


def unmet() -> Failure:
    """What a client is told whose condition isn't met."""
    return Failure(PRECONDITION_FAILED, "it isn't in the state that is asked for; ask for it anew, without conditions")


def failure_response(failure: Failure) -> Response:
    """A response that says why there is no other."""
    response = json_response({"message": failure.message}, failure.status)
    if failure.status == _UNAVAILABLE:
        response.headers["Retry-After"] = _SOON
    return response


def json_response(content: Any, status: int = 200) -> Response:
    """A response of JSON."""
    answer = json_answer(content)
    return Response(bytes(answer.body), status, media_type=answer.media_type)
