"""A first try of each reader in a process of its own, so that one that crashes or hangs takes no others with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .cases import Case
from .contestants import Reader

ROOT = Path(__file__).parents[1]
# Importing everything takes this long on a slow disk.
START_SECONDS = 60.0


@dataclass(frozen=True)
class Probe:
    """How a reader did on a small file: how long it took, or why it failed."""

    seconds: float
    failure: str | None = None


def child_command(*arguments: object) -> list[str]:
    """Command line of a process that measures."""
    return [sys.executable, "-W", "ignore", "-m", "benchmarks._child", *map(str, arguments)]


def probe(
    readers: Sequence[Reader], kind: str, cases: Sequence[Case], size: int, budget: float
) -> dict[tuple[str, str], Probe]:
    """Try each reader with the small files of the cases."""
    found: dict[tuple[str, str], Probe] = {}
    for reader in readers:
        left = [case.name for case in cases]
        while left:
            answers, ending = _ask(child_command("probe", reader.name, kind, size, *left), budget * len(left))
            for case, answer in answers.items():
                found[reader.name, case] = answer
            left = [name for name in left if name not in answers]
            if left:
                found[reader.name, left.pop(0)] = Probe(0.0, ending)
    return found


def _ask(command: list[str], seconds: float) -> tuple[dict[str, Probe], str]:
    """The answers that a process gives, one a line, and how it ended."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=START_SECONDS + seconds)
        output, ending = done.stdout, _ending(done.returncode, done.stderr)
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else error.stdout or ""
        ending = f"failed: no answer within {START_SECONDS + seconds:.0f} s"
    answers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return {answer["case"]: Probe(answer["seconds"], answer["failure"]) for answer in answers}, ending


def _ending(code: int, errors: str) -> str:
    if code > 0:  # what readers raise is caught there, so this is no reader's failure
        raise RuntimeError(f"a process of the benchmark ended with exit code {code}:\n{errors}")
    return f"failed: crashed by signal {-code}" if code else "failed: ended without an answer"
