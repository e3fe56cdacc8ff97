"""The token that clients have to show: as a bearer's, or by a cookie that a first visit with ``?token=`` sets.

Browsers send the cookies of a host to all of its ports, where services of others may listen. What is in the cookie is
derived from the token, which nobody learns by it; processes that are told one token know each other's cookies.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from nexus_xr.server.headers import header
from nexus_xr.server.paths import path_within

from .refusals import refuse

QUERY = "token"
_PURPOSE = b"cookie of nexus_xr.server"
_NAME_DIGITS = 12
_MESSAGE = (
    "a token is needed: send it as 'Authorization: Bearer TOKEN', or open the address with ?token=TOKEN once; "
    "the service showed it when it started"
)
_FRAMED = (
    "a token is needed, and browsers keep no cookie that stands for it for a frame in a page of another site: open the "
    "page that has the frame under the same name as this one, such as http://localhost:PORT in place of "
    "http://127.0.0.1:PORT, or open the address of the frame, with its ?token=, in a tab of its own"
)


class Tokens:
    """Refuses requests that don't show the token.

    Parameters
    ----------
    app
        What answers the others.
    token
        The token.
    open_paths
        For which none is needed, as they show nothing.
    """

    def __init__(self, app: ASGIApp, token: str, open_paths: Collection[str] = ()) -> None:
        self._app = app
        self._token = token
        self._open_paths = open_paths
        derived = hmac.digest(token.encode(), _PURPOSE, "sha256").hex()
        self._cookie, self._derived = f"nexus-xr-{derived[:_NAME_DIGITS]}", derived[_NAME_DIGITS:]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or path_within(scope) in self._open_paths:
            await self._app(scope, receive, send)
            return
        said: bytes = scope["query_string"]
        query = parse_qsl(said.decode("latin-1"), keep_blank_values=True) if QUERY.encode() in said else []
        if any(name == QUERY and self._is_token(value) for name, value in query):
            await self._welcome(scope, [pair for pair in query if pair[0] != QUERY])(scope, receive, send)
        elif self._is_shown(scope):
            await self._app(scope, receive, send)
        else:
            message = _FRAMED if _is_framed_elsewhere(scope) else _MESSAGE
            await refuse(scope, receive, send, 401, message, {"WWW-Authenticate": "Bearer"})

    def _is_shown(self, scope: Scope) -> bool:
        kind, _, shown = (header(scope, b"authorization") or "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(shown.strip()):
            return True
        cookies = "; ".join(str(value, "latin-1") for name, value in scope["headers"] if name == b"cookie")
        return _are_same(cookie_parser(cookies).get(self._cookie, ""), self._derived)

    def _is_token(self, shown: str) -> bool:
        return _are_same(shown, self._token)

    def _welcome(self, scope: Scope, query: list[tuple[str, str]]) -> RedirectResponse:
        """Back to the same address without the token, which a cookie shows from now on."""
        # Behind two slashes at the beginning of an address stands the name of a host.
        address = quote(f"{scope.get('root_path', '')}/{path_within(scope).lstrip('/')}")
        response = RedirectResponse(f"{address}?{urlencode(query)}" if query else address, 303)
        response.set_cookie(
            self._cookie,
            self._derived,
            path=scope.get("root_path", "") or "/",
            secure=scope["scheme"] == "https",
            httponly=True,
            samesite="strict",
        )
        return response


def _is_framed_elsewhere(scope: Scope) -> bool:
    """Whether the answer is for a frame in a page of another site, to which a browser sends no cookie."""
    return header(scope, b"sec-fetch-site") == "cross-site" and header(scope, b"sec-fetch-dest") == "iframe"


def _are_same(shown: str, expected: str) -> bool:
    """Whether two texts are the same, which takes as long where they are as where they aren't."""
    return hmac.compare_digest(shown.encode(), expected.encode())
