"""Other processes: scripts that tests run, and those that read for this one."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .waiting import PATIENCE_SECONDS

# `select` takes no descriptor that is larger.
FD_SETSIZE = 1024


@contextmanager
def many_descriptors() -> Iterator[None]:
    """Have whatever this process opens in a ``with`` block get descriptors that are large."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 2 * FD_SETSIZE), limits[1]))
    held = [os.open(os.devnull, os.O_RDONLY)]
    try:
        while held[-1] < FD_SETSIZE:
            held.append(os.dup(held[0]))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def run(code: str, *arguments: Any, environment: dict[str, str] | None = None) -> str:
    """What a script prints that ends without an error and complains of nothing."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=PATIENCE_SECONDS)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


def readers() -> set[int]:
    """Reader processes of this process that haven't ended, and those that have and were not waited for."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and (folder / "cmdline").read_bytes().count(b"_reader_process"):
                found.add(int(folder.name))
        except (OSError, ProcessLookupError):
            continue
    return found


class Talker:
    """A script in another process that says something, a line at a time, and goes on when it is told to."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def tell(self, line: str = "") -> str:
        """Say what to do, and wait for what it has to say."""
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)
        return self.said()

    def said(self) -> str:
        """The next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()
