"""Another process that answers questions, which may crash or never come back, and is then started again."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

# Longer than it takes to import all that the first answer needs, however busy the machine is.
_STARTING_SECONDS = 120


class EndedError(Exception):
    """There is no answer: the process has ended, or doesn't come back."""


class Child:
    """A process that answers each question, a line of JSON, by another.

    Parameters
    ----------
    module, options
        What it runs.
    patience
        Seconds after which an answer isn't waited for any more, but for the first one of a process.
    """

    def __init__(self, module: str, *options: str, patience: float) -> None:
        self._command = [sys.executable, "-m", module, *options]
        self._patience = patience
        self._popen: subprocess.Popen[bytes] | None = None
        self._has_answered = False

    def ask(self, question: Any) -> Any:
        """The answer to a question."""
        if self._popen is None:
            self._has_answered = False
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=Path(__file__).parents[1],
                bufsize=0,
            )
        assert self._popen.stdin is not None
        with suppress(BrokenPipeError):
            self._popen.stdin.write(json.dumps(question).encode() + b"\n")
        answer = json.loads(self._line(self._popen, self._patience if self._has_answered else _STARTING_SECONDS))
        self._has_answered = True
        return answer

    def _line(self, popen: subprocess.Popen[bytes], patience: float) -> bytes:
        assert popen.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([popen.stdout], [], [], patience)[0]:
                self.end()
                raise EndedError("it doesn't come back")
            part = os.read(popen.stdout.fileno(), 1 << 16)
            if not part:
                status = popen.wait()
                self.end()
                raise EndedError(f"the process ended with status {status}")
            line += part
        return line

    def end(self) -> None:
        """End the process."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.communicate()
            self._popen = None


def answer_all(answer: Callable[[Any], Any], most_memory: int) -> None:
    """Be such a process: answer questions until there are no more.

    Parameters
    ----------
    answer
        Gives the answer to a question.
    most_memory
        Bytes of memory that this process may have.
    """
    import resource

    if "ASAN_OPTIONS" not in os.environ:  # an address sanitizer takes much of the address space, and limits itself
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most_memory, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some compression libraries print
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)
