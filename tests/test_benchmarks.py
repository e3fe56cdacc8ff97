"""The benchmarks run, and check what they measure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.harness import Contestant, compete, table

ROOT = Path(__file__).parents[1]


def test_open_measures_every_contestant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUS_XR_BENCHMARK_DATA", str(tmp_path))
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "open", "--size", "3", "--repeat", "2", "--json", str(figures)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "nexus_xr open_dataset" in ran.stdout
    content = json.loads(figures.read_text())
    by_name = {result["name"]: result for result in content["results"]}
    assert len(by_name["nexus_xr open_dataset"]["seconds"]) == 2
    assert by_name["h5py walk"]["failure"] is None
    assert content["machine"]["cores"] >= 1


def test_contestants_take_turns_and_failures_are_shown(tmp_path: Path) -> None:
    turns: list[str] = []

    def fail(path: Path) -> None:
        turns.append("broken")
        raise RuntimeError("can't")

    contestants = [
        Contestant("a", lambda path: turns.append("a")),
        Contestant("broken", fail),
        Contestant("b", lambda path: turns.append("b")),
    ]
    results = compete(contestants, tmp_path, repeat=2)
    assert turns == ["a", "broken", "b", "a", "b", "a", "b"]
    assert results[1].failure == "failed: RuntimeError: can't"
    assert "RuntimeError" in table(results, "a")
