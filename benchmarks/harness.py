"""Contestants side by side in one run: interleaved, several times, medians and ratios."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Work = Callable[[], Any]

# A turn isn't disturbed in which the host of a virtual machine took no larger share of the CPUs than this.
_UNDISTURBED = 0.05
_LOOK_SECONDS, _PAUSE_SECONDS = 0.2, 1.0
# Where Linux says what became of its CPUs' time, in ticks of all CPUs.
_CPU_COUNTS = Path("/proc/stat")


class UnsupportedError(Exception):
    """A contestant can't do this at all; the message says why."""


@dataclass(frozen=True)
class Contestant:
    """One way of doing the work.

    Parameters
    ----------
    name
        How the table calls it.
    prepare
        Opens what is needed, gives the work, and closes again; imports what it needs when it is first called.
    package
        Distribution whose version is reported; None for what is always there.
    check
        Tells what is wrong with the answer of the work, None if nothing is.
    amount
        How much is done, in the unit of the table.
    note
        What the table should say about it.
    substitute
        Takes the place of one whose turn takes longer than the budget.
    failure
        Why it takes no part, where that is known beforehand.
    """

    name: str
    prepare: Callable[[], AbstractContextManager[Work]]
    package: str | None = None
    check: Callable[[Any], str | None] = lambda answer: None
    amount: float = 1.0
    note: str = ""
    substitute: Contestant | None = None
    failure: str | None = None


@dataclass
class Result:
    """What was measured of one contestant.

    Of each turn the seconds, by the clock and of this process's CPU time, and the share of the CPUs that the host took.
    """

    name: str
    version: str | None
    amount: float = 1.0
    note: str = ""
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    opening_seconds: list[float] = field(default_factory=list)
    stolen: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def unit_median(self) -> float | None:
        """Median seconds of a unit of work."""
        return None if self.median is None else self.median / self.amount

    @property
    def short_failure(self) -> str:
        """Why there are no figures, in as few words as a picture has room for."""
        failure = self.failure or "not measured"
        if failure.startswith("failed: crashed"):
            return "crashes"
        return "can't read it" if failure.startswith("failed:") else failure.partition(" (")[0].partition(":")[0]

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}" if self.version else self.name


def compete(
    contestants: Sequence[Contestant], repeat: int, budget: float = float("inf"), patience: float = 0.0
) -> list[Result]:
    """Run each contestant once to warm up, and then all in turn, `repeat` times.

    One that isn't installed, fails or answers wrongly is reported as such and takes no further part. One that takes
    longer than the budget to warm up gives way to its substitute. A turn waits as long as the host of a virtual machine
    takes its CPUs away, and is taken again if that happened meanwhile, until so many seconds of patience are spent.
    """
    waiting = _Patience(patience)
    taking_part = [_warmed_up(contestant, budget, waiting) for contestant in contestants]
    results = [_empty_result(contestant) for contestant in taking_part]
    for _ in range(repeat):
        for contestant, result in zip(taking_part, results, strict=True):
            if result.failure is None:
                _count_turn(contestant, result, waiting)
    return results


def _warmed_up(contestant: Contestant, budget: float, patience: _Patience) -> Contestant:
    """The contestant that takes part in its place: itself, its substitute, or itself with the reason why not."""
    if contestant.failure is not None:
        return contestant
    result = _empty_result(contestant)
    _count_turn(contestant, result, patience)
    if result.failure is not None:
        return Contestant(
            contestant.name, contestant.prepare, contestant.package, note=contestant.note, failure=result.failure
        )
    if contestant.substitute is not None and sum(result.seconds) > budget:
        return _warmed_up(contestant.substitute, budget, patience)
    return contestant


def _empty_result(contestant: Contestant) -> Result:
    return Result(
        contestant.name,
        version(contestant.package),
        contestant.amount,
        contestant.note,
        failure=contestant.failure,
    )


def _count_turn(contestant: Contestant, result: Result, patience: _Patience) -> None:
    try:
        turn = _take_turn(contestant, patience)
        while turn.stolen > _UNDISTURBED and patience.bears(turn.opening_seconds + turn.seconds):
            turn = _take_turn(contestant, patience)
    except _WrongAnswerError as wrong:
        result.failure = str(wrong)
        result.seconds.clear()
        result.cpu_seconds.clear()
    except Exception as error:  # a peer may fail in any way; that is a result
        result.failure = reason(error)
    else:
        result.opening_seconds.append(turn.opening_seconds)
        result.seconds.append(turn.seconds)
        result.cpu_seconds.append(turn.cpu_seconds)
        result.stolen.append(turn.stolen)


class _Patience:
    """Seconds that may go by in waiting for the host of a virtual machine to leave it its CPUs."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    def bears(self, seconds: float) -> bool:
        """Spend so many seconds, and tell whether any are left."""
        self._left -= seconds
        return self._left > 0

    def wait(self) -> None:
        """Wait until the CPUs are there, or no seconds are left."""
        while self._left > 0 and _stolen_now() > _UNDISTURBED:
            time.sleep(_PAUSE_SECONDS)
            self._left -= _PAUSE_SECONDS + _LOOK_SECONDS


def _stolen_now() -> float:
    """The share that the host takes of the time of a thread at work."""
    clock, end = _CPUClock.now(), time.perf_counter() + _LOOK_SECONDS
    while time.perf_counter() < end:
        pass
    return _CPUClock.now().stolen_since(clock)


class _WrongAnswerError(Exception):
    """What the check of a contestant says."""


@dataclass(frozen=True)
class _Turn:
    opening_seconds: float
    seconds: float
    cpu_seconds: float
    stolen: float


def _take_turn(contestant: Contestant, patience: _Patience) -> _Turn:
    patience.wait()
    clock, start = _CPUClock.now(), time.perf_counter()
    with contestant.prepare() as work:
        opened, cpu_start = time.perf_counter(), time.process_time()
        answer = work()
        done, cpu_done = time.perf_counter(), time.process_time()
        stolen = _CPUClock.now().stolen_since(clock)
        wrong = contestant.check(answer)
    if wrong is not None:
        raise _WrongAnswerError(wrong)
    return _Turn(opened - start, done - opened, cpu_done - cpu_start, stolen)


@dataclass(frozen=True)
class _CPUClock:
    """What the system has counted of its CPUs' time: all of it, and what the host of a virtual machine took away."""

    total: int
    stolen: int

    @classmethod
    def now(cls) -> _CPUClock:
        try:
            first_line = _CPU_COUNTS.read_text().partition("\n")[0]
        except OSError:
            return cls(0, 0)
        counts = list(map(int, first_line.split()[1:9]))  # "guest" times behind them are part of "user"
        return cls(sum(counts), counts[7])

    def stolen_since(self, earlier: _CPUClock) -> float:
        """The share of all time that was taken away since then."""
        return (self.stolen - earlier.stolen) / max(1, self.total - earlier.total)


def reason(error: BaseException) -> str:
    """Why something failed, in one short line."""
    first_line = str(error).strip().partition("\n")[0]
    if isinstance(error, UnsupportedError):
        return first_line[:140]
    if isinstance(error, ModuleNotFoundError):
        return f"not installed ({error.name or first_line})"
    return f"failed: {type(error).__name__}: {first_line}"[:140]


def version(package: str | None) -> str | None:
    """The installed version of a distribution."""
    try:
        return importlib.metadata.version(package) if package else None
    except importlib.metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    title
        Its heading.
    cell
        What it says about a result that has been measured.
    """

    title: str
    cell: Callable[[Result], str]


def milliseconds_columns(results: Sequence[Result], *references: str) -> list[Column]:
    """Milliseconds of a unit of work, and the ratio of each median to those of the references that take part."""
    found = unit_medians(results)
    return [
        _milliseconds_column("median ms", statistics.median),
        _milliseconds_column("min ms", min),
        _milliseconds_column("max ms", max),
        *(ratio_column(f"of {name}", dict.fromkeys(found, found[name])) for name in references if name in found),
    ]


def _milliseconds_column(title: str, choose: Callable[[list[float]], float]) -> Column:
    return Column(title, lambda result: f"{1e3 * choose(result.seconds) / result.amount:.2f}")


def ratio_column(title: str, bases: Mapping[str, float | None]) -> Column:
    """The ratio of each median of a unit of work to the seconds that there are for its name."""

    def ratio(result: Result) -> str:
        base = bases.get(result.name)
        return f"{result.unit_median / base:.3f}" if base and result.unit_median else "-"

    return Column(title, ratio)


def unit_medians(results: Sequence[Result]) -> dict[str, float | None]:
    """The median seconds of a unit of work of each, by name."""
    return {result.name: result.unit_median for result in results}


def table(results: Sequence[Result], columns: Sequence[Column]) -> str:
    """The results as text, one a line; those without figures with their reason."""
    labels = max((len(result.label) for result in results), default=0)
    widths = [max(len(column.title), 8) for column in columns]
    headings = (f"{column.title:>{width}}" for column, width in zip(columns, widths, strict=True))
    lines = ["  ".join([" " * labels, *headings])]
    lines += ["  ".join([f"{result.label:{labels}}", *_cells(result, columns, widths)]).rstrip() for result in results]
    return "\n".join(lines)


def _cells(result: Result, columns: Sequence[Column], widths: Sequence[int]) -> Iterable[str]:
    if not result.seconds:
        return [result.failure or "not measured"]
    cells = (f"{column.cell(result):>{width}}" for column, width in zip(columns, widths, strict=True))
    return [*cells, "; ".join(text for text in (result.note, result.failure) if text)]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": cpu_count(),
        "processor": _processor(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: version(package) for package in ("h5py", "numpy", "xarray", "dask")},
    }


def cpu_count() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def machine_line() -> str:
    """The same in one line, for a footer."""
    found = machine()
    parts = [f"{found['cores']} cores", found["processor"], found["system"], f"Python {found['python']}"]
    parts += [f"{package} {found[package]}" for package in ("h5py", "numpy", "xarray", "dask") if found[package]]
    return ", ".join(str(part) for part in parts if part)


def command_line() -> str:
    """What was typed, without the directories of files that it names."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", "benchmarks", *words])


def write_json(path: Path, case: str, results: Sequence[Any]) -> None:
    """Save all that was measured: dataclasses, or dictionaries."""
    rows = [result if isinstance(result, dict) else asdict(result) for result in results]
    content = {"case": case, "command": command_line(), "machine": machine(), "results": rows}
    path.write_text(json.dumps(content, indent=2))


def data_directory() -> Path:
    """Where generated files are kept between runs, outside the source tree."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    directory = Path(os.environ.get("NEXUS_XR_BENCHMARK_DATA", cache / "nexus_xr-benchmarks"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory
