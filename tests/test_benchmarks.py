"""The benchmarks run, and check what they measure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import harness, memory, opening, service, travel, trees
from benchmarks.__main__ import _HEADLINES, main
from benchmarks.cases import BY_NAME, CASES, Case, Stack, frame_stack, zarr_copy
from benchmarks.contestants import H5PY_DASK, NEXUS_XR, READERS, Opened, Reader
from benchmarks.harness import Contestant, Result, Work, compete, milliseconds_columns, ratio_column, table
from benchmarks.limit import open_limit
from benchmarks.probing import Probe, probe
from benchmarks.reading import KINDS, WHATS, Options, contestant

from .waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[1]
PNG = b"\x89PNG"


@pytest.fixture(autouse=True)
def data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests share the files that they make."""
    monkeypatch.setenv("NEXUS_XR_BENCHMARK_DATA", str(tmp_path_factory.getbasetemp() / "benchmark-data"))


def _options(*readers: Reader, cases: tuple[Case, ...] = CASES) -> Options:
    return Options(size=4, repeat=1, budget=60, patience=0, readers=readers, cases=cases)


def _by_name(figures: Path) -> dict[str, Any]:
    return {result["name"]: result for result in json.loads(figures.read_text())["results"]}


def test_open_measures_every_contestant(tmp_path: Path) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "open.png"
    command = [sys.executable, "-m", "benchmarks", "open", "--size", "3", "--repeat", "2"]
    sizes = ["--entries", "2", "--files", "3"]
    saved = ["--json", str(figures), "--plot", str(picture)]
    ran = subprocess.run(
        [*command, *sizes, *saved], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
    )
    content = json.loads(figures.read_text())
    *timed, memory_row = content["results"]
    for subject in opening.SUBJECTS:
        assert subject.title.format(groups=3, entries=2, files=3) in ran.stdout
        measured = {row["name"]: row for row in timed if row["what"] == subject.name}
        assert list(measured) == [way.name for way in subject.ways]
        assert all(_has_figures_or_is_a_missing_peer(row) for row in measured.values())
    assert ran.stdout.count(" of earliest format\n") == 1
    assert memory_row["peak"] > memory_row["stored"] / 10
    assert "times the file" in ran.stdout
    assert content["machine"]["cores"] >= 1
    assert content["command"].startswith("python -m benchmarks open --size 3")
    assert str(tmp_path) not in content["command"]
    assert picture.read_bytes().startswith(PNG)


def _has_figures_or_is_a_missing_peer(row: dict[str, Any]) -> bool:
    if (row["failure"] or "").startswith("not installed"):
        return not row["name"].startswith(("nexus_xr", "h5py", "limit"))
    return row["failure"] is None and len(row["seconds"]) == 2


def test_travel_measures_each_operation_with_every_kind_of_arrays(tmp_path: Path) -> None:
    main(["travel", "--size", "1", "--repeat", "1", "--json", str(tmp_path / "figures.json")])
    results = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert {(each["what"], each["name"]) for each in results} == {
        (operation, kind) for operation in travel.OPERATIONS for kind in travel.KINDS
    }
    assert all(each["failure"] is None for each in results)


def test_all_walks_find_the_same() -> None:
    pytest.importorskip("pyfive")
    walked, expected = (
        walk(trees.tree(2))["entry"]["instrument"]["positioner_0001"]
        for walk in (opening._pyfive_walk, opening._h5py_walk)
    )
    assert list(walked) == list(expected)
    assert walked.pop("attrs").keys() == expected.pop("attrs").keys()
    for name, (value, attributes) in expected.items():
        assert np.array_equal(walked[name][0], value)
        assert walked[name][1].keys() == attributes.keys()


@pytest.mark.parametrize("version", ["earliest", "latest"])
def test_trees_are_of_their_format(version: trees.Version) -> None:
    superblock_version = trees.tree(2, version).read_bytes()[8]
    assert superblock_version == (0 if version == "earliest" else 3)


def test_entries_have_100_objects_each() -> None:
    names: list[str] = []
    with h5py.File(trees.entries(2)) as file:
        file["entry_0001"].visit_links(names.append)
        assert file["entry_0001/data/x"].shape == file["entry_0001/data/counts"].shape
    assert len(names) == 100


def test_times_are_of_one_of_several_openings_and_ratios_of_those_that_there_are() -> None:
    once = Result("once", None, seconds=[0.5])
    often = Result("often", None, amount=20, seconds=[1.0, 2.0, 3.0])
    titles = [column.title for column in milliseconds_columns([once, often], "often", "absent")]
    assert titles == ["median ms", "min ms", "max ms", "of often"]
    assert [column.cell(often) for column in milliseconds_columns([often])] == ["100.00", "50.00", "150.00"]
    elsewhere = ratio_column("elsewhere", {"often": 0.2})
    assert (elsewhere.cell(often), elsewhere.cell(once)) == ("0.500", "-")
    assert milliseconds_columns([once, often], "often")[-1].cell(once) == "5.000"


def test_each_way_of_reading_has_a_headline(capsys: pytest.CaptureFixture[str]) -> None:
    main(
        ["read", "--size", "4", "--repeat", "1", "--what", "parts", "--case", "gzip", "--contestant", "nexus_xr.reduce"]
    )
    printed = capsys.readouterr().out
    assert "window sum, gzip" in printed
    assert "masked sum, gzip" in printed
    assert _HEADLINES.keys() == WHATS.keys()


@pytest.mark.parametrize(("what", "case"), [("sum", "bitshuffle+LZ4"), ("slab", "gzip"), ("small", "gzip")])
def test_read_measures_and_saves(what: str, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "read.png"
    names = ["nexus_xr", "h5py"] if what == "small" else ["nexus_xr", "h5py", "limit"]
    chosen = [word for name in names for word in ("--contestant", name)]
    saved = ["--json", str(figures), "--plot", str(picture)]
    main(["read", "--size", "4", "--repeat", "2", "--what", what, "--case", case, *chosen, *saved])
    printed = capsys.readouterr().out
    assert f"{what}, {case}" in printed
    assert "MiB/s" in printed
    by_name = _by_name(figures)
    assert set(by_name) == set(names)
    for result in by_name.values():
        assert result["failure"] is None
        assert len(result["seconds"]) == len(result["opening_seconds"]) == 2
        assert (result["what"], result["case"]) == (what, case)
    assert picture.read_bytes().startswith(PNG)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
@pytest.mark.parametrize("what", ["sum", "window sum", "masked sum", "frame", "window", "element"])
def test_readers_give_the_values(reader: Reader, what: str) -> None:
    if what != "sum" and not KINDS[what].has(reader):
        pytest.skip("takes no part")
    result = _result(reader, what, BY_NAME["none"])
    if result.failure is not None and result.failure.startswith("not installed"):
        pytest.skip(result.failure)
    assert result.failure is None
    assert result.seconds


def _result(reader: Reader, what: str, case: Case, probed: Probe | None = None) -> Any:
    probed = probed or Probe(0.0)
    (result,) = compete([contestant(KINDS[what], case, reader, _options(reader), probed)], repeat=1, budget=60)
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_limit_decodes_every_case(case: Case) -> None:
    stack = frame_stack(case, 3)
    try:
        with open_limit(stack, stack.count) as decoding:
            assert decoding.total() == stack.total()
            assert (decoding.read(slice(1, 3)) == stack.distinct[1:3]).all()
    except ModuleNotFoundError as error:
        pytest.skip(str(error))


def test_stacks_repeat_distinct_frames() -> None:
    stack = frame_stack(BY_NAME["LZF+shuffle"], 18)
    with h5py.File(stack.path) as file:
        counts = file["entry/data/counts"]
        assert (counts[17] == counts[1]).all()
        assert not (counts[1] == counts[2]).all()
        assert int(counts[()].sum(dtype="u8")) == stack.total()


def test_zarr_copy_has_the_values() -> None:
    zarr = pytest.importorskip("zarr")
    stack = frame_stack(BY_NAME["Zstandard"], 18)
    assert int(zarr.open_array(zarr_copy(stack), mode="r")[:].sum(dtype="u8")) == stack.total()


def test_a_wrong_sum_is_shown_and_not_timed() -> None:
    @contextmanager
    def open_wrongly(stack: Stack, reduces: bool) -> Iterator[Opened]:
        yield Opened(lambda: stack.total() + 1, lambda selection: None)

    result = _result(Reader("wrong", open_wrongly), "sum", BY_NAME["none"])
    assert result.failure.startswith("wrong sum: ")
    assert not result.seconds
    assert "wrong sum" in table([result], milliseconds_columns([result], "h5py"))


def test_a_missing_peer_is_shown() -> None:
    @contextmanager
    def open_missing(stack: Stack, reduces: bool) -> Iterator[Opened]:
        import no_such_reader  # type: ignore[import-not-found]

        yield no_such_reader

    result = _result(Reader("missing", open_missing, "no-such-reader"), "sum", BY_NAME["none"])
    assert (result.failure, result.version) == ("not installed (no_such_reader)", None)


def test_a_failed_probe_takes_no_part() -> None:
    result = _result(NEXUS_XR, "sum", BY_NAME["none"], Probe(0.0, "failed: crashed by signal 11"))
    assert result.failure == "failed: crashed by signal 11"
    assert result.short_failure == "crashes"
    assert not result.seconds


def test_a_slow_one_is_measured_on_fewer_chunks() -> None:
    options = Options(size=36, repeat=1, budget=1, patience=0, readers=(H5PY_DASK,), cases=CASES)
    slow = contestant(KINDS["sum"], BY_NAME["none"], H5PY_DASK, options, Probe(50.0))
    assert slow.note == "measured on 16 chunks"
    assert slow.amount == 32


def test_a_probe_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    dies = [
        sys.executable,
        "-c",
        'import os; print(\'{"case": "none", "seconds": 1, "failure": null}\', flush=True); os.abort()',
    ]
    monkeypatch.setattr("benchmarks.probing.child_command", lambda *arguments: dies)
    found = probe([NEXUS_XR], "sum", [BY_NAME["none"], BY_NAME["gzip"]], size=2, budget=60)
    assert found["nexus_xr", "none"] == Probe(1)
    assert found["nexus_xr", "gzip"].failure == "failed: crashed by signal 6"


def test_memory_is_measured_and_a_load_beyond_the_limit_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "FRAMES_PER_GIBIBYTE", 128)
    figures, picture = tmp_path / "figures.json", tmp_path / "memory.png"
    chosen = ["--size", "1", "--contestant", "nexus_xr", "--limit", "160"]
    main(["memory", *chosen, "--json", str(figures), "--plot", str(picture)])
    assert "MemoryError" in capsys.readouterr().out
    by_load = {result["load"]: result for result in json.loads(figures.read_text())["results"]}
    assert set(by_load) == set(memory.LOADS)
    assert "MemoryError" in by_load["values"]["failure"]
    assert by_load["sum"]["failure"] is None
    assert by_load["sum"]["anonymous"][0] > 0
    assert by_load["sum"]["high_water"][0] > 0
    assert picture.read_bytes().startswith(PNG)


def test_remote_counts_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "remote.png"
    chosen = ["--size", "8", "--repeat", "1", "--latency", "5", "--case", "gzip+shuffle"]
    main(["remote", *chosen, "--json", str(figures), "--plot", str(picture)])
    assert "MiB sent" in capsys.readouterr().out
    rows = json.loads(figures.read_text())["results"]
    by_name = {row["name"]: row for row in rows if row["what"] == "gzip+shuffle"}
    assert by_name["nexus_xr, dask"]["failure"] is None
    assert by_name["h5py over fsspec"]["failure"] is None
    assert 2 << 20 < by_name["nexus_xr, one array"]["bytes"] < 4 << 20
    assert all(row["requests"] >= 1 for row in rows if row["failure"] is None)
    assert picture.read_bytes().startswith(PNG)


def test_serve_measures_requests_and_what_they_cost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, picture = tmp_path / "figures.json", tmp_path / "serve.png"
    chosen = ["--size", "4", "--repeat", "1", "--what", "frame", "--what", "metadata"]
    main(["serve", *chosen, "--json", str(figures), "--plot", str(picture)])
    assert "CPU ms each" in capsys.readouterr().out
    rows = [row for row in json.loads(figures.read_text())["results"] if row["name"] == "nexus_xr"]
    works = [f"{what}, {connections} at once" for what in ("frame", "metadata") for connections in (1, 8, 64)]
    assert [row["what"] for row in rows] == works
    assert all(row["failure"] is None for row in rows)
    frames = next(row for row in rows if row["what"] == "frame, 1 at once")
    assert frames["received"] == frames["requests"] << 21
    assert picture.read_bytes().startswith(PNG)


def test_serve_says_which_servers_take_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"uvicorn", "h5grove"}
    monkeypatch.setattr(service, "find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert service.left_out() == [
        "h5grove takes no part: there is no fastapi",
        "nginx takes no part: there is no nginx",
        "tiled takes no part: --tiled names no Python of an environment that has it",
    ]
    there |= {"fastapi", "nginx", "python"}
    assert service.left_out([replace(service.PEERS[0], name="tiled", needs=("python",))]) == []


def test_memory_stops_a_load_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "FRAMES_PER_GIBIBYTE", 128)
    monkeypatch.setattr(memory, "LOADS", {"sum": memory.LOADS["sum"]})
    (usage,) = memory.run(memory.Options((1,), repeat=1, limit=None, budget=0, readers=(NEXUS_XR,)))
    assert usage.note.startswith("stopped after 0 s")


def test_contestants_take_turns_and_failures_are_shown() -> None:
    turns: list[str] = []

    def fail() -> None:
        turns.append("broken")
        raise RuntimeError("can't")

    def ready(work: Work) -> AbstractContextManager[Work]:
        return nullcontext(work)

    contestants = [
        Contestant("a", lambda: ready(lambda: turns.append("a"))),
        Contestant("broken", lambda: ready(fail)),
        Contestant("b", lambda: ready(lambda: turns.append("b"))),
    ]
    results = compete(contestants, repeat=2)
    assert turns == ["a", "broken", "b", "a", "b", "a", "b"]
    assert results[1].failure == "failed: RuntimeError: can't"
    assert "RuntimeError" in table(results, milliseconds_columns(results, "a"))


def test_a_turn_that_the_host_disturbed_is_taken_again_while_patience_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    stolen: list[float] = []
    monkeypatch.setattr(harness, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(harness._CPUClock, "stolen_since", lambda self, earlier: stolen.pop(0))
    contestant = Contestant("a", lambda: nullcontext(lambda: None))
    warming_up = [0.0, 0.0]
    waiting, disturbed, calm = [0.4, 0.3, 0.0], [0.0, 0.06], [0.0, 0.01]  # looks before a turn, and the turn
    stolen[:] = [*warming_up, *waiting, 0.5, *disturbed, *calm]
    (patient,) = compete([contestant], repeat=1, patience=60)
    assert (patient.stolen, len(patient.seconds), stolen) == ([0.01], 1, [])
    stolen[:] = [0.4, 0.5, 0.06]
    (hasty,) = compete([contestant], repeat=1)
    assert (hasty.stolen, len(hasty.seconds), stolen) == ([0.5], 1, [0.06])


def test_the_system_tells_what_its_host_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = tmp_path / "stat"
    monkeypatch.setattr(harness, "_CPU_COUNTS", counts)
    nothing = harness._CPUClock.now()
    counts.write_text("cpu  10 0 5 80 1 1 1 2 0 0\ncpu0 10 0 5 80 1 1 1 2 0 0\n")
    then = harness._CPUClock.now()
    counts.write_text("cpu  40 0 5 90 1 1 1 62 0 0\ncpu0 40 0 5 90 1 1 1 62 0 0\n")
    assert harness._CPUClock.now().stolen_since(then) == 0.6
    assert nothing.stolen_since(nothing) == 0


def test_a_substitute_takes_the_place_of_a_slow_one() -> None:
    quick = Contestant("quick", lambda: nullcontext(lambda: None), note="on less")
    slow = Contestant("slow", lambda: nullcontext(lambda: None), substitute=quick)
    assert [result.name for result in compete([slow], repeat=1, budget=-1)] == ["quick"]
    assert [result.name for result in compete([slow], repeat=1, budget=60)] == ["slow"]


def test_cluster_measures_speed_and_memory_of_workers(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    figures, picture = tmp_path / "figures.json", tmp_path / "cluster.png"
    command = [sys.executable, "-m", "benchmarks", "cluster", "--size", "8", "--repeat", "1"]
    saved = ["--json", str(figures), "--plot", str(picture)]
    ran = subprocess.run(
        [*command, *saved], cwd=ROOT, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS
    )
    assert "MiB a worker" in ran.stdout
    for kind in ("read", "write"):
        for workers in ("1 worker", "2 workers"):
            measured = _by_name(figures)[f"{kind}: nexus_xr, {workers}"]
            assert measured["failure"] is None
            assert len(measured["seconds"]) == len(measured["worker_mebibytes"]) - 1 == 1
            assert max(measured["worker_mebibytes"]) > 0
    assert picture.read_bytes().startswith(PNG)


def test_zarr_measures_copies_and_checks_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("zarr")
    figures = tmp_path / "figures.json"
    main(["zarr", "--size", "16", "--repeat", "1", "--case", "bitshuffle+LZ4", "--json", str(figures)])
    assert "x dask, create_array" in capsys.readouterr().out
    rows = json.loads(figures.read_text())["results"]
    assert [row["failure"] for row in rows] == [None] * len(rows)
    assert {"bitshuffle+LZ4: nexus_xr", "bitshuffle+LZ4: nexus_xr, shards"} <= {row["name"] for row in rows}
