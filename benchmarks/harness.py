"""Contestants side by side in one run: interleaved, several times, medians and ratios."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Contestant:
    """One way of doing the work.

    Parameters
    ----------
    name
        How the table calls it.
    run
        Does the work on a file; imports what it needs when it is first called.
    package
        Distribution whose version is reported; None for what is always there.
    """

    name: str
    run: Callable[[Path], Any]
    package: str | None = None


@dataclass
class Result:
    """What was measured of one contestant."""

    name: str
    version: str | None
    seconds: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None


def compete(contestants: Sequence[Contestant], path: Path, repeat: int) -> list[Result]:
    """Run each contestant once to warm up, and then all in turn, `repeat` times.

    One that isn't installed, or fails, is reported as such and takes no further part.
    """
    results = [Result(contestant.name, _version(contestant.package)) for contestant in contestants]
    for turn in range(repeat + 1):
        for contestant, result in zip(contestants, results, strict=True):
            if result.failure is None:
                _run(contestant, result, path, counts=turn > 0)
    return results


def _run(contestant: Contestant, result: Result, path: Path, counts: bool) -> None:
    start = time.perf_counter()
    try:
        contestant.run(path)
    except ModuleNotFoundError as error:
        result.failure = f"not installed ({error.name})"
    except Exception as error:  # a peer may fail in any way; that is a result
        result.failure = f"failed: {type(error).__name__}: {error}"[:100]
    else:
        if counts:
            result.seconds.append(time.perf_counter() - start)


def _version(package: str | None) -> str | None:
    try:
        return importlib.metadata.version(package) if package else None
    except importlib.metadata.PackageNotFoundError:
        return None


def table(results: Sequence[Result], reference: str) -> str:
    """The results as text, each with its ratio to the reference's median."""
    base = next((result.median for result in results if result.name == reference), None)
    width = max(len(_label(result)) for result in results)
    lines = [f"{'':{width}}  median s     min s     max s  of {reference}"]
    for result in results:
        median = result.median
        if median is None:
            lines.append(f"{_label(result):{width}}  {result.failure}")
            continue
        ratio = f"{median / base:.3f}" if base else "-"
        lines.append(
            f"{_label(result):{width}}  {median:8.3f}  {min(result.seconds):8.3f}  {max(result.seconds):8.3f}  {ratio}"
        )
    return "\n".join(lines)


def _label(result: Result) -> str:
    return f"{result.name} {result.version}" if result.version else result.name


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "h5py": _version("h5py"),
        "xarray": _version("xarray"),
    }


def write_json(path: Path, case: str, results: Sequence[Result]) -> None:
    """Save all that was measured."""
    content = {"case": case, "machine": machine(), "results": [asdict(result) for result in results]}
    path.write_text(json.dumps(content, indent=2))


def data_directory() -> Path:
    """Where generated files are kept between runs, outside the source tree."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    directory = Path(os.environ.get("NEXUS_XR_BENCHMARK_DATA", cache / "nexus_xr-benchmarks"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory
