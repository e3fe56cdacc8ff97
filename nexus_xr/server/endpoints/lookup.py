"""Which endpoint a request is for, found by how its path begins."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from nexus_xr.server.failures import Failure
from nexus_xr.server.paths import path_within

from .endpoint import PATH_OF_ENDPOINT, Endpoint
from .presence import Asked
from .responses import Responder, failure_response

_METHODS = ("GET", "HEAD")


class Endpoints:
    """Answers what is asked of endpoints, and leaves the rest to an application, whose routes take longer to find.

    Parameters
    ----------
    app
        What answers the others.
    endpoints
        The endpoints.
    responder
        Has workers answer.
    """

    def __init__(self, app: ASGIApp, endpoints: Sequence[Endpoint], responder: Responder) -> None:
        self._app = app
        self._responder = responder
        self._alone = {each.path: each for each in endpoints if not each.name_of_rest}
        self._with_rest = [each for each in endpoints if each.name_of_rest]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._find(path_within(scope)) if scope["type"] == "http" else None
        if endpoint is None:
            await self._app(scope, receive, send)
            return
        scope[PATH_OF_ENDPOINT] = endpoint.path
        asked = Asked(scope, receive)
        try:
            response = await self._response(endpoint, asked)
            await response(scope, receive, send)
        finally:
            asked.presence.end()

    def _find(self, path: str) -> Endpoint | None:
        found = self._alone.get(path.removesuffix("/"))  # with which clients of older versions of h5grove ask
        if found is not None:
            return found
        whole = f"{path}/"  # as a path that is one slash short of an endpoint's begin is that endpoint's, with no rest
        return next((each for each in self._with_rest if whole.startswith(each.begin)), None)

    async def _response(self, endpoint: Endpoint, request: Asked) -> Response:
        if request.method not in _METHODS:
            return _refused(request.method)
        try:
            return await endpoint.response(self._responder, request, path_within(request.scope))
        except Failure as failure:
            return failure_response(failure)


def _refused(method: str) -> Response:
    response = failure_response(Failure(405, f"{method}: nothing but {' and '.join(_METHODS)} can be done here"))
    response.headers["Allow"] = ", ".join(_METHODS)
    return response
