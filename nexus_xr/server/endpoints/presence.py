"""The client of a request: who it is, and whether it still is there, as nothing is done for one that is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive, Scope

_Found = TypeVar("_Found")


class ClientGoneError(Exception):
    """There is nobody any more to whom an answer could be sent."""


def client_of(scope: Scope) -> str:
    """What tells a client from others: the address from which it asks; empty where that isn't known."""
    client = scope.get("client")
    return client[0] if client else ""


async def gone(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def found_for(receive: Receive, work: Coroutine[Any, Any, _Found]) -> _Found:
    """What comes of some work, which is given up when its client goes.

    Raises
    ------
    ClientGoneError
        The client has gone.
    """
    own = asyncio.current_task()
    assert own is not None
    before, has_left = own.cancelling(), False

    async def leave() -> None:
        nonlocal has_left
        await gone(receive)
        has_left = True
        own.cancel()

    leaving = asyncio.create_task(leave())
    try:
        return await work
    finally:
        leaving.cancel()
        if has_left and own.uncancel() <= before:  # by nobody else
            raise ClientGoneError from None
