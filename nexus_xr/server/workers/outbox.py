"""The rooms of an outbox, each of which is lent to one answer at a time."""

from __future__ import annotations

import mmap
import weakref
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .messages import ROOMS, place_of

# The room in which nothing stays.
PASSING = 0


@dataclass(eq=False)
class Outbox:
    """Memory in which bodies of answers lie while they are sent.

    Parameters
    ----------
    memory
        The memory.
    """

    memory: mmap.mmap
    _free: list[int] = field(default_factory=lambda: list(range(1, ROOMS)))

    def take(self) -> int:
        """A room that nobody has, the one last given back; `PASSING` where there is none."""
        return self._free.pop() if self._free else PASSING

    def give_back(self, room: int) -> None:
        """Have a room be free again."""
        if room != PASSING:
            self._free.append(room)

    def lent(self, room: int, at: int, size: int) -> NDArray[np.uint8]:
        """Bytes of a room that was taken, which is free again once nobody has them any more."""
        lent = np.frombuffer(self.memory, np.uint8, size, place_of(room).start + at)
        weakref.finalize(lent, self._free.append, room).atexit = False
        return lent
