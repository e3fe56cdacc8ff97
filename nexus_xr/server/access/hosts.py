"""The names under which the service may be reached, and the pages that may use it.

A page of a stranger's can have its own name lead to this machine and then read what is served as its own (DNS
rebinding); it can't choose what the browser says in ``Host`` and ``Origin``. Numbers lead nowhere else: the one at
which a request has come is a name of the service.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from nexus_xr.server.headers import header
from nexus_xr.server.settings import ANY

from .refusals import refuse

# Nearly all requests have one of few.
_MOST_KNOWN = 256
# Without what would end the host, or stand before it, in an address.
_HOST = re.compile(r"[^\s@/?#\\]+")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


class KnownHosts:
    """Refuses requests for other names, and from pages of other origins.

    Parameters
    ----------
    app
        What answers the others.
    hosts
        Names besides those of this machine; "*" for any.
    origins
        Origins of pages besides its own.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app = app
        self._hosts = {*_THIS_MACHINE, *hosts}
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if sum(name == b"host" for name, _ in scope["headers"]) != 1:
                await refuse(scope, receive, send, 400, "a request says in one header Host under which name it asks")
                return
            reason = self._why_not(scope)
            if reason:
                await refuse(scope, receive, send, 403, reason)
                return
        await self._app(scope, receive, send)

    def _why_not(self, scope: Scope) -> str:
        host = header(scope, b"host") or ""
        name = name_of(host)
        if ANY not in self._hosts and name not in self._hosts and not _is_number_of(name, scope.get("server")):
            return f"the service doesn't know itself as {host!r}; start it with that name among its hosts"
        origin = header(scope, b"origin")
        if origin is None or ANY in self._origins or origin.lower() in self._origins:
            return ""
        if origin.lower().partition("://")[2] == host.lower():
            return ""
        return f"pages of {origin!r} may not use the service; start it with that among its origins"


@lru_cache(_MOST_KNOWN)
def name_of(host: str) -> str:
    """The name in a header ``Host``, without the port; empty where it isn't one.

    Examples
    --------
    >>> name_of("localhost:8000"), name_of("[::1]:8000"), name_of("Beamline.example."), name_of("localhost:evil")
    ('localhost', '::1', 'beamline.example', '')
    """
    if not _HOST.fullmatch(host):
        return ""
    try:
        said = urlsplit(f"//{host}")
        _ = said.port  # which is an error where it is none
        return (said.hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_number_of(name: str, server: Sequence[Any] | None) -> bool:
    """Whether a name is the number of the address at which a request has come."""
    try:
        return server is not None and ip_address(name) == ip_address(server[0])
    except ValueError:
        return False
