"""Places that one has at a time, such as workers, which those who wait for them get in turn."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Place = TypeVar("Place")
# Those who wait, the first first: of each client, of each subject of its.
_Waiting = dict[str, dict[Hashable, dict["asyncio.Future[Place]", None]]]


@dataclass(frozen=True)
class Asker:
    """On whose behalf something is asked.

    Parameters
    ----------
    client
        Whose turn it is.
    subject
        Of what it is asked: what one client asks of other things doesn't wait for that, either.
    """

    client: str = ""
    subject: Hashable = None


class Places(Generic[Place]):
    """Places, for which nobody waits as long as some are free.

    Where some wait, a place goes to the client that has the fewest, and among these to the one whose turn was longest
    ago; and of what a client asks, to each subject in turn. So a client that asks for much has all of them as long as
    it is alone, and others wait for one of them at most until it is given back.
    """

    def __init__(self) -> None:
        self._free: list[Place] = []
        self._had: Counter[str] = Counter()
        self._waiting: _Waiting[Place] = {}

    def put(self, place: Place) -> None:
        """Have one more place."""
        self._free.append(place)
        while self._free and self._waiting:
            self._hand_on()

    def take_out(self) -> list[Place]:
        """The places that are free, which are none of these any more."""
        free, self._free = self._free, []
        return free

    async def take(self, asker: Asker) -> Place:
        """A place, the one that was given back last, as soon as it is the asker's turn.

        Raises
        ------
        Exception
            What `refuse_newest` was told.
        """
        if self._free:
            self._had[asker.client] += 1
            return self._free.pop()
        granted: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(asker.client, {}).setdefault(asker.subject, {})[granted] = None
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._forget(asker, granted)
            else:  # it was its turn just now
                self.give_back(asker, granted.result())
            raise

    def give_back(self, asker: Asker, place: Place) -> None:
        """Have a place be free for others, or what has come in its place."""
        self._had[asker.client] -= 1
        if not self._had[asker.client]:  # of those who come no more nothing is kept
            del self._had[asker.client]
        self.put(place)

    def refuse_newest(self, client: str, why: Exception) -> bool:
        """Refuse something of the client that waits for most, if this one waits for less; whether that was done."""
        longest = max(self._waiting, key=self._count, default=client)
        if self._count(longest) <= self._count(client) + 1:
            return False
        subjects = self._waiting[longest]
        subject = max(subjects, key=lambda each: len(subjects[each]))
        newest = next(reversed(subjects[subject]))
        self._forget(Asker(longest, subject), newest)
        if not newest.done():
            newest.set_exception(why)
        return True

    def _count(self, client: str) -> int:
        return sum(map(len, self._waiting.get(client, {}).values()))

    def _hand_on(self) -> None:
        """Give a place to the one whose turn it is."""
        client = min(self._waiting, key=self._had.__getitem__)
        subject, granted = next((subject, next(iter(waiting))) for subject, waiting in self._waiting[client].items())
        self._forget(Asker(client, subject), granted)
        if granted.done():  # it has just been given up
            return
        if client in self._waiting:
            subjects = self._waiting[client] = self._waiting.pop(client)
            if subject in subjects:
                subjects[subject] = subjects.pop(subject)
        self._had[client] += 1
        granted.set_result(self._free.pop())

    def _forget(self, asker: Asker, granted: asyncio.Future[Place]) -> None:
        subjects = self._waiting.get(asker.client, {})
        waiting = subjects.get(asker.subject, {})
        waiting.pop(granted, None)
        if not waiting:
            subjects.pop(asker.subject, None)
        if not subjects:
            self._waiting.pop(asker.client, None)
