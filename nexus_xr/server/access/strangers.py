"""What pages of strangers may begin, and what browsers let them have of it.

A page can have a browser ask any service that this reaches, as by a script or an image that it includes, without it
saying of which page that is in ``Origin``. It says from where, at least to this machine and where connections are
encrypted, in ``Sec-Fetch-Site``; and to what it isn't allowed a page gets nothing of what is answered. So does a page
whose link is followed, as a download or in a page of its own: that is shown to who uses the browser, and nothing that
is sent of files is of a type that has scripts.

Sources: W3C, "Fetch Metadata Request Headers"; the Fetch standard, "`Cross-Origin-Resource-Policy` header" and
"`X-Content-Type-Options` header".
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nexus_xr.server.headers import header
from nexus_xr.server.paths import path_within
from nexus_xr.server.settings import ANY

from .refusals import refuse

# Of what the service's own pages ask for, and who uses the browser.
_NO_STRANGERS = ("same-origin", "none")
# Of what only is read.
_METHODS = ("GET", "HEAD")


class Strangers:
    """Refuses what pages from elsewhere begin without saying who they are, and marks what is sent as not for them.

    Parameters
    ----------
    app
        What answers the others.
    pages
        Paths of pages, which may be shown within others as far as they let themselves be.
    origins
        Origins of pages besides its own, which ask by CORS; with "*" for any nothing is refused.
    """

    def __init__(self, app: ASGIApp, pages: Collection[str], origins: Collection[str]) -> None:
        self._app = app
        self._pages = pages
        self._are_all_known = ANY in origins
        policy = b"cross-origin" if self._are_all_known else b"same-origin"
        self._marks = [(b"x-content-type-options", b"nosniff"), (b"cross-origin-resource-policy", policy)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._marks]}
            await send(message)

        if self._are_all_known or not self._is_of_stranger(scope):
            await self._app(scope, receive, sending)
            return
        pages = " and ".join(self._pages)
        reason = (
            f"a page from elsewhere asks for this, which may link to it, and show {pages} within; to use the rest it "
            "needs to be among the origins that the service is started with, and to ask by CORS"
        )
        await refuse(scope, receive, sending, 403, reason)

    def _is_of_stranger(self, scope: Scope) -> bool:
        """Whether a page from elsewhere begins a request, and neither says its origin nor has something opened."""
        site = header(scope, b"sec-fetch-site")
        if site is None or site in _NO_STRANGERS or header(scope, b"origin") is not None:
            return False
        if header(scope, b"sec-fetch-mode") != "navigate" or scope["method"] not in _METHODS:
            return True
        destination = header(scope, b"sec-fetch-dest")
        return not (destination == "document" or (destination == "iframe" and path_within(scope) in self._pages))
