"""Waiting for what other threads and processes do, and interrupts in the middle of it.

Tests wait for what happens and not for a time to pass; that it never happens is found out after `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

PATIENCE_SECONDS = 600


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody tells of."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def interrupted_after(wait: Callable[[], object], and_then: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Interrupt a ``with`` block, as Ctrl-C does, between two functions, which are called in another thread."""

    def interrupt() -> None:
        wait()
        os.kill(os.getpid(), signal.SIGINT)
        and_then()

    # What starts processes in the background may have it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
