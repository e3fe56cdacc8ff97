"""Memory for answers that wait to be sent, of which there is no more than a service may take for that."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque

import numpy as np
from numpy.typing import NDArray

from nexus_xr.server.failures import Failure

from .messages import ROOM_BYTES

# A body in pieces, each of which is free again once nobody has it any more.
Memory = tuple[NDArray[np.uint8], ...]
_FULL = "too much waits to be sent to clients that take it slowly; ask again in a few seconds, or for less at once"


class Held:
    """Memory of the process that speaks HTTP.

    Parameters
    ----------
    most
        How many bytes there are; a body that is larger has memory if no other has any.

    Examples
    --------
    >>> held = Held(100)
    >>> first = held.take(70)
    >>> held.take(70) is None
    True
    >>> del first
    >>> [piece.nbytes for piece in held.take(1000)]
    [1000]
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        # What is free again is noted here first, as garbage is collected in any thread.
        self._freed: deque[int] = deque()
        self._claims: deque[tuple[int, asyncio.Future[Memory]]] = deque()

    def take(self, size: int) -> Memory | None:
        """Memory for a body, None where there is too little or others wait for it."""
        self._grant()
        return self._lent(size) if not self._claims and self._has_room(size) else None

    async def claim(self, size: int, seconds: float) -> Memory:
        """Memory for a body, as soon as there is enough.

        Raises
        ------
        Failure
            There isn't in so many seconds.
        """
        memory = self.take(size)
        if memory is not None:
            return memory
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[Memory] = loop.create_future()
        self._claims.append((size, granted))
        alarm = loop.call_later(seconds, _refuse, granted)
        try:
            return await granted
        finally:
            alarm.cancel()
            self._grant()

    def _grant(self) -> None:
        """Give memory to those who claimed it first, and forget who doesn't wait for it any more."""
        while self._claims and (self._claims[0][1].done() or self._has_room(self._claims[0][0])):
            size, claim = self._claims.popleft()
            if not claim.done():
                claim.set_result(self._lent(size))

    def _has_room(self, size: int) -> bool:
        while self._freed:
            self._bytes -= self._freed.popleft()
        return self._bytes + size <= self._most or not self._bytes

    def _lent(self, size: int) -> Memory:
        self._bytes += size
        return tuple(self._piece(min(ROOM_BYTES, size - begin)) for begin in range(0, size, ROOM_BYTES))

    def _piece(self, size: int) -> NDArray[np.uint8]:
        piece = np.empty(size, np.uint8)
        weakref.finalize(piece, self._give_back, size).atexit = False
        return piece

    def _give_back(self, size: int) -> None:
        self._freed.append(size)
        if self._claims:
            self._claims[0][1].get_loop().call_soon_threadsafe(self._grant)


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
