"""The client of a request: who it is, and whether it still is there, as nothing is done for one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.types import Receive, Scope

_Found = TypeVar("_Found")


class ClientGoneError(Exception):
    """There is nobody any more to whom an answer could be sent."""


def client_of(scope: Scope) -> str:
    """What tells a client from others: the address from which it asks; empty where that isn't known."""
    client = scope.get("client")
    return client[0] if client else ""


class Presence:
    """Whether the client of a request still is there, which is asked once: no server has to bear that it is given up.

    Parameters
    ----------
    receive
        By which a server tells what comes of the client.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone: asyncio.Task[None] | None = None

    async def found(self, work: Coroutine[Any, Any, _Found]) -> _Found:
        """What comes of some work, which is given up when the client goes.

        Raises
        ------
        ClientGoneError
            The client has gone.
        """
        own = asyncio.current_task()
        assert own is not None
        before, has_left, is_over = own.cancelling(), False, False

        def leave(gone: asyncio.Task[None]) -> None:
            nonlocal has_left
            if not is_over and not gone.cancelled() and gone.exception() is None:
                has_left = True
                own.cancel()

        if self._gone is None:
            self._gone = asyncio.create_task(_gone(self._receive))
        self._gone.add_done_callback(leave)
        try:
            return await work
        finally:
            is_over = True
            self._gone.remove_done_callback(leave)
            if has_left and own.uncancel() <= before:  # by nobody else
                raise ClientGoneError from None

    def end(self) -> None:
        """Wait no longer, once the request is answered."""
        if self._gone is not None:
            self._gone.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Asked(Request):
    """A request, and whether its client still is there."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.presence = Presence(receive)
