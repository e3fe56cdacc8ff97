"""Interrupts from the keyboard that come at a moment at which nothing may be left in the middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[None]:
    """Have an interrupt that comes in a ``with`` block, which is short, be raised at its end.

    Examples
    --------
    >>> before = signal.signal(signal.SIGINT, signal.default_int_handler)
    >>> try:
    ...     with held_back():
    ...         signal.raise_signal(signal.SIGINT)
    ...         print("is done")
    ... except KeyboardInterrupt:
    ...     print("is interrupted")
    ... finally:
    ...     _ = signal.signal(signal.SIGINT, before)
    is done
    is interrupted
    """
    handler = signal.getsignal(signal.SIGINT)
    # No other thread is interrupted, nor may it ask for that.
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[FrameType | None] = []
    signal.signal(signal.SIGINT, lambda _, frame: came.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(signal.SIGINT, came[0])
