"""Processes that do for this one what may crash, or never end: decoders, with bytes that they didn't write."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from .fork import after_fork

# One chunk takes much less; a decoder that was led astray by damaged data may never come back.
PATIENCE_SECONDS = 120
_PACKAGE_FOLDER = Path(__file__).parents[__name__.count(".")]


def environment() -> dict[str, str]:
    """That of this process, with where this package is."""
    folders = os.pathsep.join(filter(None, [str(_PACKAGE_FOLDER), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": folders}


class ChildError(ValueError):
    """A process ended before it answered, or gave no answer for too long; the message says how.

    Parameters
    ----------
    message
        That, in words.
    status
        With which it ended, a signal below zero; None if it didn't.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Child:
    """A process that is sent bytes and answers with some, used by one thread at a time; it ends with a ``with`` block.

    Parameters
    ----------
    arguments
        What Python is to run.
    variables
        Its environment; None for that of this process.
    """

    def __init__(self, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        self._popen = subprocess.Popen(
            # -P: modules of the folder that it runs in are not to stand for those of the standard library.
            [sys.executable, "-P", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=variables,
            start_new_session=True,  # an interrupt from the keyboard is this process's to handle
        )
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._to, self._from = self._popen.stdin, self._popen.stdout
        after_fork(self._leave)

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def send(self, content: bytes) -> None:
        """Send bytes.

        Raises
        ------
        ChildError
            It has ended.
        """
        left = memoryview(content)
        try:
            while left:
                left = left[self._to.write(left) :]
        except BrokenPipeError:
            raise self._ended() from None

    def receive_into(self, buffer: memoryview) -> int:
        """Put what comes next into memory, no more than there is room for; how many bytes that are.

        Raises
        ------
        ChildError
            It has ended, or nothing comes for too long.
        """
        if not self._says_something():
            raise self._never_ended()
        count = cast(int, self._from.readinto(buffer))  # type: ignore[attr-defined]  # which it has unbuffered
        if not count:
            raise self._ended()
        return count

    def end(self) -> None:
        """End it, whatever it does."""
        self._popen.kill()
        self._popen.wait()
        self._to.close()
        self._from.close()

    def _leave(self) -> None:
        """Close what a forked process has of it, to which it is no child: it goes on for the one that started it."""
        self._popen.poll()  # which finds none to wait for
        self._to.close()
        self._from.close()

    def _says_something(self) -> bool:
        waiting = select.poll()  # not `select`, which takes no descriptor above 1023
        waiting.register(self._from, select.POLLIN)
        return bool(waiting.poll(PATIENCE_SECONDS * 1000))

    def _ended(self) -> ChildError:
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(PATIENCE_SECONDS)
        status = self._popen.poll()
        if status is None:
            return self._never_ended()
        if status == -getattr(signal, "SIGPROF", 0):
            return ChildError("its decoder took all the time that it was given; the file is damaged", status)
        if status < 0:
            return ChildError(f"its decoder crashed ({signal.Signals(-status).name}); the file is damaged", status)
        return ChildError(
            f"the process that was to read it ended with status {status}; the file may be damaged, or such processes "
            "can't run here",
            status,
        )

    def _never_ended(self) -> ChildError:
        return ChildError(f"its decoder didn't come to an end in {PATIENCE_SECONDS} s; the file is damaged")
