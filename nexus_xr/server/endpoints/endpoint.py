"""An endpoint: a path, its parameters, and the request to a worker that they make."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nexus_xr.server.failures import Failure
from nexus_xr.server.jobs.answer import JSON
from nexus_xr.server.jobs.job import Job

from .parameters import Parameter, read_parameters
from .responses import Responder

# Where a request notes which endpoint it is for.
PATH_OF_ENDPOINT = "nexus_xr.endpoint"
Respond = Callable[[Responder, Request, Mapping[str, Any]], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint.

    Parameters
    ----------
    path
        Its path, as Starlette has it.
    summary
        What it gives, in words.
    parameters
        What requests may say.
    job
        Makes the request to a worker of the parameters.
    media_types
        What is sent.
    respond
        Answers where more than one request to a worker is needed.
    ignores_others
        Whether parameters that it doesn't know are no mistake.
    """

    path: str
    summary: str
    parameters: tuple[Parameter, ...]
    job: Callable[..., Job]
    media_types: tuple[str, ...] = (JSON,)
    respond: Respond | None = field(default=None, kw_only=True)
    ignores_others: bool = field(default=False, kw_only=True)

    def route(self, responder: Responder) -> Route:
        """The route of it in an application."""

        async def handle(request: Request) -> Response:
            request.scope[PATH_OF_ENDPOINT] = self.path
            values = self.values(request)
            if self.respond is not None:
                return await self.respond(responder, request, values)
            return await responder.respond(request, self.job(**values))

        return Route(self.path, handle, methods=["GET", "HEAD"], name=self.path)

    def values(self, request: Request) -> dict[str, Any]:
        """What a request says.

        Raises
        ------
        Failure
            It says what can't be.
        """
        known = {each.name for each in self.parameters if each.place == "query"}
        others = [name for name in request.query_params if name not in known]
        if others and not self.ignores_others:
            listed = ", ".join(sorted(known)) or "none"
            raise Failure(422, f"{others[0]!r} is no parameter of this; there are: {listed}")
        given = {"query": request.query_params, "path": request.path_params, "header": request.headers}
        return read_parameters(self.parameters, given)
