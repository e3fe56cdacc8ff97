"""Memory for answers that wait to be sent, of which there is no more than a service may take for that."""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter, deque

import numpy as np
from numpy.typing import NDArray

from nexus_xr.server.failures import Failure

from .messages import ROOM_BYTES

# A body in pieces, each of which is free again once nobody has it any more.
Memory = tuple[NDArray[np.uint8], ...]
_FULL = "too much waits to be sent to clients that take it slowly; ask again in a few seconds, or for less at once"


class Held:
    """Memory of the process that speaks HTTP.

    A client that has some already gets more only where as much as it has then is left free for others: alone it has
    half of all at most, and however many have as much as they may, another finds some.

    Parameters
    ----------
    most
        How many bytes there are; a body that is larger has memory if no other has any.

    Examples
    --------
    >>> held = Held(100)
    >>> first = held.take(30, "one")
    >>> held.take(30, "one") is None, held.take(80, "other") is None
    (True, True)
    >>> [piece.nbytes for piece in held.take(60, "other")]
    [60]
    >>> del first
    >>> [piece.nbytes for piece in held.take(1000, "other")]
    [1000]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes: Counter[str] = Counter()
        # What is free again is noted here first, as garbage is collected in any thread.
        self._freed: deque[tuple[str, int]] = deque()
        self._claims: dict[str, deque[tuple[int, asyncio.Future[Memory]]]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def take(self, size: int, client: str) -> Memory | None:
        """Memory for a body, None where there is too little or others wait for it."""
        if not self._grant() or client in self._claims:
            return None
        return None if self._is_too_much(size, client) or not self._has_room(size) else self._lent(size, client)

    async def claim(self, size: int, client: str, seconds: float) -> Memory:
        """Memory for a body, as soon as there is enough.

        Raises
        ------
        Failure
            There isn't in so many seconds.
        """
        memory = self.take(size, client)
        if memory is not None:
            return memory
        loop = self._loop = asyncio.get_running_loop()
        granted: asyncio.Future[Memory] = loop.create_future()
        self._claims.setdefault(client, deque()).append((size, granted))
        alarm = loop.call_later(seconds, _refuse, granted)
        try:
            return await granted
        finally:
            alarm.cancel()
            self._grant()

    def _grant(self) -> bool:
        """Give memory to those who claimed it first, and forget who doesn't wait for it any more.

        Returns
        -------
        bool
            Whether all who wait do so as they have much already, so that others need not wait for them.
        """
        for client, claims in [*self._claims.items()]:
            while claims and (claims[0][1].done() or not self._is_too_much(claims[0][0], client)):
                size, claim = claims[0]
                if not claim.done() and not self._has_room(size):
                    return False
                claims.popleft()
                if not claim.done():
                    claim.set_result(self._lent(size, client))
            if not claims:
                del self._claims[client]
        return True

    def _has_room(self, size: int) -> bool:
        """Whether there is memory for so many bytes."""
        held = self._total()
        return held + size <= self._most or not held

    def _is_too_much(self, size: int, client: str) -> bool:
        """Whether a client that has some would have more than what is left."""
        free = self._most - self._total() - size
        return self._bytes[client] > 0 and self._bytes[client] + size > free

    def _total(self) -> int:
        while self._freed:
            client, size = self._freed.popleft()
            self._bytes[client] -= size
            if not self._bytes[client]:
                del self._bytes[client]
        return self._bytes.total()

    def _lent(self, size: int, client: str) -> Memory:
        self._bytes[client] += size
        return tuple(self._piece(min(ROOM_BYTES, size - begin), client) for begin in range(0, size, ROOM_BYTES))

    def _piece(self, size: int, client: str) -> NDArray[np.uint8]:
        piece = np.empty(size, np.uint8)
        weakref.finalize(piece, self._give_back, client, size).atexit = False
        return piece

    def _give_back(self, client: str, size: int) -> None:
        self._freed.append((client, size))
        if self._loop is not None and self._claims:
            self._loop.call_soon_threadsafe(self._grant)


def shortened(memory: Memory, size: int) -> Memory | None:
    """So many bytes of some memory, None where it has fewer.

    Examples
    --------
    >>> shortened((np.zeros(4, np.uint8),), 3), shortened((np.zeros(4, np.uint8),), 5)
    ((array([0, 0, 0], dtype=uint8),), None)
    """
    if sum(piece.nbytes for piece in memory) < size:
        return None
    begins = range(0, size, ROOM_BYTES)
    return tuple(piece[: size - begin] for piece, begin in zip(memory, begins, strict=False))


def _refuse(claim: asyncio.Future[Memory]) -> None:
    if not claim.done():
        claim.set_exception(Failure(503, _FULL))
