"""What browsers are told for pages of origins that are known (CORS)."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from nexus_xr.server.endpoints.responses import json_response

_METHODS = ("GET", "HEAD")
_HEADERS = ("Authorization", "Range", "If-Range", "If-Match", "If-None-Match")
_EXPOSED = ("Content-Range", "Content-Length", "Accept-Ranges", "ETag", "X-Shape", "X-Dtype", "X-Filters")
_ALLOWED = 200


class Preflights(CORSMiddleware):
    """Has browsers let pages of some origins read what is answered.

    Parameters
    ----------
    app
        What answers.
    origins
        The origins; "*" for any.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_HEADERS,
            allow_private_network=True,
            expose_headers=_EXPOSED,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks whether a page may ask so."""
        response = super().preflight_response(request_headers)
        if response.status_code == _ALLOWED:
            return response
        asked = [request_headers["access-control-request-method"]]
        asked += [value for name, value in request_headers.items() if name == "access-control-request-headers"]
        may = f"pages of other origins may ask by {' and '.join(_METHODS)}, with the headers {', '.join(_HEADERS)}"
        refusal = json_response({"message": f"{may}; found {' with '.join(asked)}"}, response.status_code)
        refusal.headers.update({name: value for name, value in response.headers.items() if name not in refusal.headers})
        return refusal
