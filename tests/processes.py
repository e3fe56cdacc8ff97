"""Other processes: scripts that tests run, and those that read for this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .waiting import PATIENCE_SECONDS


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
