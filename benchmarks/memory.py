"""Memory that reading stacks takes above that of the idle process, each load in a process of its own."""

from __future__ import annotations

import json
import queue
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .cases import Stack, sparse_stack
from .contestants import H5PY_DASK, H5PY_LOOP, NEXUS_XR, ROSETTASCIIO, Opened, Reader
from .harness import Column, Result, UnsupportedError, data_directory, version
from .plotting import Bar, Panel
from .probing import ROOT, START_SECONDS, child_command

READERS = (NEXUS_XR, H5PY_DASK, H5PY_LOOP, ROSETTASCIIO)
FRAMES_PER_GIBIBYTE = 512
SAMPLE_SECONDS = 0.003


def _open(opened: Opened, stack: Stack) -> str | None:
    return None


def _slice(opened: Opened, stack: Stack) -> str | None:
    number = stack.count // 2
    return _right(int(stack.frame(number).sum()), opened.read(np.s_[number, :, :]))


def _sum(opened: Opened, stack: Stack) -> str | None:
    return _right(stack.total(), opened.total())


def _values(opened: Opened, stack: Stack) -> str | None:
    return _right(stack.total(), opened.read(slice(None)))


def _rewrite(opened: Opened, stack: Stack) -> str | None:
    if opened.rewrite is None:
        raise UnsupportedError("doesn't write")
    with tempfile.TemporaryDirectory(dir=data_directory()) as folder:
        opened.rewrite(Path(folder) / "bits.nxs")
    return None


def _right(expected: int, found: Any) -> str | None:
    total = int(np.sum(found, dtype=np.uint64))
    return None if total == expected else f"wrong sum: {total} in place of {expected}"


LOADS: dict[str, Callable[[Opened, Stack], str | None]] = {
    "open": _open,
    "one frame": _slice,
    "sum": _sum,
    "values": _values,
    "rewrite": _rewrite,
}
# Those for which the stack is opened as dask has it.
BLOCKWISE = ("sum", "rewrite")


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    sizes: tuple[int, ...]
    repeat: int
    limit: int | None
    budget: float
    readers: tuple[Reader, ...]


@dataclass
class Usage(Result):
    """Memory of one load, in MiB above the idle process."""

    load: str = ""
    gibibytes: int = 0
    anonymous: list[float] = field(default_factory=list)
    file_backed: list[float] = field(default_factory=list)
    high_water: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)


def status(process: int | str) -> dict[str, int]:
    """Sizes in KiB as the kernel tells them."""
    text = Path(f"/proc/{process}/status").read_text()
    lines = (line.split() for line in text.splitlines() if line.endswith(" kB"))
    return {words[0].rstrip(":"): int(words[1]) for words in lines}


def run(options: Options) -> Iterator[Usage]:
    """Measure each load with each reader, from the smallest stack to the largest."""
    loads = [name for name in LOADS if name != "values" or options.limit is not None]
    for gibibytes in options.sizes:
        stack = sparse_stack(gibibytes * FRAMES_PER_GIBIBYTE)
        for load in loads:
            usages = [
                Usage(reader.name, version(reader.package), load=load, gibibytes=gibibytes)
                for reader in options.readers
            ]
            for _ in range(options.repeat):
                for usage in usages:
                    if usage.failure is None:
                        _measure(usage, stack, options)
            yield from usages


def _measure(usage: Usage, stack: Stack, options: Options) -> None:
    command = child_command("load", usage.name, usage.load, stack.count, options.limit or 0)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        lines = _Lines(child)
        try:
            _watch(usage, child, lines, options.budget)
        finally:
            child.kill()


class _Lines:
    """What a process says, without waiting for it; None once it says no more."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._child = child
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            if line.startswith("{"):
                self._queue.put(line)
        self._queue.put(None)

    def next(self, seconds: float) -> str | None:
        """The next line; raises queue.Empty where there is none within that time."""
        return self._queue.get(timeout=seconds)


def _watch(usage: Usage, child: subprocess.Popen[str], lines: _Lines, budget: float) -> None:
    try:
        ready = lines.next(START_SECONDS)
    except queue.Empty:
        usage.failure = f"failed: not ready within {START_SECONDS:.0f} s"
        return
    if ready is None:
        usage.failure = _last_words(child)
        return
    settled = json.loads(ready)
    if "idle" not in settled:
        usage.failure = settled["failure"]
        return
    idle = settled["idle"]
    peak = dict(idle)
    assert child.stdin is not None
    child.stdin.write("go\n")
    child.stdin.flush()
    start = time.perf_counter()
    while True:
        _sample(child.pid, peak)
        try:
            said = lines.next(SAMPLE_SECONDS)
        except queue.Empty:
            if time.perf_counter() - start < budget:
                continue
            usage.note = f"stopped after {budget:.0f} s, the peak until then"
            _count(usage, idle, peak, time.perf_counter() - start)
        else:
            _conclude(usage, child, idle, peak, said)
        return


def _sample(process: int, peak: dict[str, int]) -> None:
    try:
        for name, size in status(process).items():
            peak[name] = max(peak.get(name, 0), size)
    except OSError:  # it has ended
        return


def _conclude(
    usage: Usage, child: subprocess.Popen[str], idle: dict[str, int], peak: dict[str, int], said: str | None
) -> None:
    if said is None:
        usage.failure = _last_words(child)
        return
    answer = json.loads(said)
    peak["VmHWM"] = max(peak["VmHWM"], answer["end"]["VmHWM"])
    usage.failure = answer["failure"]
    _count(usage, idle, peak, answer["seconds"])


def _last_words(child: subprocess.Popen[str]) -> str:
    assert child.stderr is not None
    words = child.stderr.read().strip().splitlines() or [""]
    code = child.wait()
    return (f"killed by signal {-code}" if code < 0 else f"failed: exit {code}: {words[-1]}")[:140]


def _count(usage: Usage, idle: dict[str, int], peak: dict[str, int], seconds: float) -> None:
    above = {name: (peak[name] - idle[name]) / 1024 for name in ("RssAnon", "RssFile")}
    usage.seconds.append(seconds)
    usage.anonymous.append(above["RssAnon"])
    usage.file_backed.append(above["RssFile"])
    usage.high_water.append((peak["VmHWM"] - idle["VmRSS"]) / 1024)
    usage.idle.append(idle["VmRSS"] / 1024)


def _column(title: str, figures: Callable[[Usage], list[float]], form: str = "{:.0f}") -> Column:
    def cell(result: Result) -> str:
        return form.format(statistics.median(figures(result))) if isinstance(result, Usage) else "-"

    return Column(title, cell)


COLUMNS = (
    _column("anonymous", lambda usage: usage.anonymous),
    _column("largest", lambda usage: [max(usage.anonymous)]),
    _column("of files", lambda usage: usage.file_backed),
    _column("high water", lambda usage: usage.high_water),
    _column("idle", lambda usage: usage.idle),
    _column("seconds", lambda usage: usage.seconds, "{:.2f}"),
)


def title(usage: Usage) -> str:
    """What was measured, in a line."""
    return f"{usage.load}, stack of {usage.gibibytes} GiB"


def panels(loads: Sequence[Sequence[Usage]]) -> list[Panel]:
    """All loads as a picture on one scale: anonymous memory, the shorter the better."""
    bars = [[_bar(usage) for usage in usages] for usages in loads]
    longest = max((bar.length or 0.0 for load in bars for bar in load), default=0.0)
    return [Panel(title(usages[0]), load, full=longest) for usages, load in zip(loads, bars, strict=True)]


def _bar(usage: Usage) -> Bar:
    ours = usage.name == NEXUS_XR.name
    if not usage.anonymous or usage.failure is not None:
        return Bar(usage.name, None, usage.short_failure, ours)
    peak = statistics.median(usage.anonymous)
    mark = "*" if usage.note else ""
    return Bar(usage.name, max(peak, 0.0), f"{peak:.0f}{mark}", ours)


def rows(usages: Sequence[Usage]) -> list[dict[str, Any]]:
    """All figures, for JSON."""
    return [asdict(usage) for usage in usages]
