"""The token that clients have to show: as a bearer's, or in a cookie that a first visit with ``?token=`` sets."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nexus_xr.server.headers import header

from .refusals import refuse

QUERY = "token"
_MESSAGE = (
    "a token is needed: send it as 'Authorization: Bearer TOKEN', or open the address with ?token=TOKEN once; "
    "the service showed it when it started"
)


class Tokens:
    """Refuses requests that don't show the token.

    Parameters
    ----------
    app
        What answers the others.
    token
        The token.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token
        # Cookies of one machine go to all of its ports.
        self._cookie = f"nexus-xr-{hashlib.sha256(token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said: bytes = scope["query_string"]
        query = parse_qsl(said.decode("latin-1"), keep_blank_values=True) if QUERY.encode() in said else []
        if any(name == QUERY and self._is_token(value) for name, value in query):
            await self._welcome(scope, [pair for pair in query if pair[0] != QUERY])(scope, receive, send)
        elif self._is_shown(scope):
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, 401, _MESSAGE, {"WWW-Authenticate": "Bearer"})

    def _is_shown(self, scope: Scope) -> bool:
        kind, _, shown = (header(scope, b"authorization") or "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(shown.strip()):
            return True
        return self._is_token(cookie_parser(header(scope, b"cookie") or "").get(self._cookie, ""))

    def _is_token(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode(), self._token.encode())

    def _welcome(self, scope: Scope, query: list[tuple[str, str]]) -> RedirectResponse:
        """Back to the same address without the token, which a cookie shows from now on."""
        address = quote(scope.get("root_path", "") + scope["path"].removeprefix(scope.get("root_path", "")))
        response = RedirectResponse(f"{address}?{urlencode(query)}" if query else address, 303)
        response.set_cookie(
            self._cookie,
            self._token,
            path=scope.get("root_path", "") or "/",
            secure=scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )
        return response
