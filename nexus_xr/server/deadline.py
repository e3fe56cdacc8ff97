"""A time by which something has to be done, which is set and cleared with every request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """A time after which something is called unless it is cleared before.

    The alarm stays as it is when the time is moved, and is put off when it rings too early: it costs more to move.

    Parameters
    ----------
    loop
        The event loop.
    late
        What is called.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[], object]) -> None:
        self._loop = loop
        self._late = late
        self._due: float | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._rings = 0.0

    def set(self, seconds: float) -> None:
        """Set it, from now on."""
        self._due = self._loop.time() + seconds
        if self._alarm is None or self._due < self._rings:
            self._set_alarm(self._due)

    def clear(self) -> None:
        """It was done."""
        self._due = None

    def end(self) -> None:
        """It will never be set again."""
        self.clear()
        if self._alarm is not None:
            self._alarm.cancel()

    def _set_alarm(self, time: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm, self._rings = self._loop.call_at(time, self._ring), time

    def _ring(self) -> None:
        due, self._alarm = self._due, None
        if due is None:
            return
        if due > self._loop.time():
            self._set_alarm(due)
        else:
            self._due = None
            self._late()
