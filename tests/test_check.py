"""Reading all of a file to see whether it can be: what is found, and what that does to nobody."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import hdf5plugin
import numpy as np
import pytest
from click.testing import CliRunner
from h5py import h5d, h5p, h5s, h5t, h5z

import nexus_xr
import nexus_xr.inspection.check as check_module
from nexus_xr.cli.main import main
from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.reading import telling
from nexus_xr.hdf5.reading.virtual_datasets import found_sources
from nexus_xr.inspection.checking import PieceRange, Where, tell_datasets, verify_runs
from nexus_xr.inspection.pieces import BadPiece
from nexus_xr.opening.options import Options

from .processes import many_descriptors

SHAPE, CHUNKS = (8, 32, 16), (1, 32, 16)
VALUES = np.random.default_rng(1).integers(0, 50, SHAPE, "u2")
PIPELINES: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip", "shuffle": True},
    "bitshuffle": dict(hdf5plugin.Bitshuffle()),
    "zstd": dict(hdf5plugin.Zstd()),
    "fletcher32": {"fletcher32": True},
}


def write(path: Path, name: str) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("entry/data", data=VALUES, chunks=CHUNKS, **PIPELINES[name])
        file["entry/title"] = "a scan"
        file["entry/numbers"] = np.arange(100.0)
        file["entry/same"] = file["entry/data"]


def chunk_at(path: Path, number: int) -> tuple[int, int]:
    """Where a chunk is in the file."""
    with h5py.File(path) as file:
        info = file["entry/data"].id.get_chunk_info(number)
        return info.byte_offset, info.size


def damage(path: Path, offset: int, content: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)


def in_this_process(path: Path) -> tuple[dict[str, int], list[BadPiece], list[str]]:
    """What the processes would find, that is where coverage is measured."""
    where, said = Where(str(path), Options()), list[list[Any]]()
    tell_datasets(where, said.append)
    datasets = {each[1]: each[5] for each in said if each[0] == "dataset"}
    codes = [each[1] for each in said if each[0] == "diagnostic"]
    said.clear()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    verify_runs(where, [PieceRange(name, 0, count) for name, count in datasets.items()], said.append)
    assert resource.getrlimit(resource.RLIMIT_AS) == limits
    return datasets, [BadPiece(*each[2:]) for each in said if each[0] == "bad"], codes


# --- what is found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PIPELINES)
def test_a_sound_file_is_found_to_be_so(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.h5"
    write(path, name)
    seen: list[tuple[int, int]] = []
    report = nexus_xr.check(path, processes=2, progress=lambda done, total: seen.append((done, total)))
    assert report.is_sound
    assert {each.path: each.pieces for each in report.datasets} == in_this_process(path)[0]
    assert {each.path: each.pieces for each in report.datasets}["/entry/data"] == 8
    assert len(report.datasets) == 3  # each once
    assert seen[-1][0] == seen[-1][1] > VALUES.nbytes


@pytest.mark.parametrize("name", PIPELINES)
def test_a_damaged_chunk_is_found_with_its_place(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.h5"
    write(path, name)
    offset, size = chunk_at(path, 5)
    has_checksum = name in ("gzip", "fletcher32")  # of others, what the structure contradicts is found
    damage(path, offset + (size // 2 if has_checksum else 0), b"\xff" * (size // 4))
    report = nexus_xr.check(path, processes=1)
    (damaged,) = report.damaged
    (failure,) = damaged.failures
    assert (damaged.path, failure.chunk, failure.offset) == ("/entry/data", (5, 0, 0), offset)
    assert "damaged" in failure.reason
    assert in_this_process(path)[1] == [failure]


def test_a_truncated_file_is_found_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("entry/data", data=VALUES, chunks=CHUNKS, compression="gzip")
    last = max(range(8), key=lambda number: chunk_at(path, number)[0])
    offset, size = chunk_at(path, last)
    os.truncate(path, offset + size - 1)
    result = CliRunner().invoke(main, ["check", str(path), "--json"])
    assert result.exit_code == 1
    if result.stdout:  # where the end of the file is noted, nothing of it is believed
        assert "truncated" in result.stdout
    else:
        assert "truncated" in result.stderr


def test_what_is_missing_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["gone"] = h5py.ExternalLink("gone.h5", "/data")
        layout = h5py.VirtualLayout((4, 10), "u2")
        layout[0] = h5py.VirtualSource("gone.h5", "/data", (10,))
        file.create_virtual_dataset("virtual", layout)
    report = nexus_xr.check(path)
    assert not report.is_sound
    assert not report.damaged
    assert {each.code for each in report.faults} == {Code.LINK_TARGET_MISSING, Code.SOURCE_MISSING}
    assert in_this_process(path)[0] == {"/virtual": 0}


@pytest.mark.parametrize("short", [0, 1])
@pytest.mark.parametrize("name", ["/virtual", "/linked"])
def test_sources_that_are_short_are_no_success(tmp_path: Path, short: int, name: str) -> None:
    """Those of the first are told of when they are described, and those of others when they are read."""
    layout = h5py.VirtualLayout((12,), "u2")
    for number in range(3):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["data"] = np.arange(3 if number == short else 4)
        if number < 2:
            layout[4 * number : 4 * number + 4] = h5py.VirtualSource(f"{number}.h5", "data", (4,))[:]
    layout[8:] = h5py.VirtualSource("gone.h5", "data", (4,))[:]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
    with h5py.File(tmp_path / "g.h5", "w") as file:
        file["linked"] = h5py.ExternalLink("f.h5", "virtual")
    path = tmp_path / ("f.h5" if name == "/virtual" else "g.h5")
    report = nexus_xr.check(path)
    assert (report.is_sound, report.damaged) == (False, ())
    assert [(each.code, each.path) for each in report.faults] == [(Code.SOURCE_MISSING, name)] * 2
    gone, told = (each.message for each in report.faults)
    assert gone == "reads as fill values where its sources are missing: gone.h5"
    assert told.startswith("reads as fill values behind the end of its sources: ")
    assert told.endswith(f"{short}.h5:data of shape (3,)")


def test_sources_that_are_missing_beyond_those_that_are_looked_for_are_told_of_when_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = h5py.VirtualLayout((3,), "u2")
    for number in range(3):
        layout[number] = h5py.VirtualSource(f"{number}.h5", "data", (1,))[0]
    for number in (0, 2):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file["data"] = [number]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_virtual_dataset("virtual", layout)
    for most, at_once, later in ((1, [], ["source-missing"]), (2, ["source-missing"], [])):
        monkeypatch.setattr(found_sources, "MOST_LOOKED_FOR", most)
        telling._told.clear()
        where, said = Where(str(tmp_path / "f.h5"), Options()), list[list[Any]]()
        tell_datasets(where, said.append)
        assert [each[1] for each in said if each[0] == "diagnostic"] == at_once
        said.clear()
        verify_runs(where, [PieceRange("/virtual", 0, 1)], said.append)
        assert [each[1] for each in said if each[0] == "diagnostic"] == later


def test_what_lies_in_other_files_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "source.h5", "gzip")
    path = tmp_path / "master.h5"
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink("source.h5", "/entry/data")
        layout = h5py.VirtualLayout(SHAPE, "u2")
        layout[...] = h5py.VirtualSource("source.h5", "/entry/data", SHAPE)
        file.create_virtual_dataset("virtual", layout)
    assert nexus_xr.check(path).is_sound
    offset, _ = chunk_at(tmp_path / "source.h5", 2)
    damage(tmp_path / "source.h5", offset, b"damaged")
    report = nexus_xr.check(path)
    assert [(each.path, each.failures[0].offset) for each in report.damaged] == [
        ("/linked", offset),
        ("/virtual", offset),
    ]
    assert len(in_this_process(path)[1]) == 2


def test_all_kinds_of_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["scalar"], file["text"], file["empty"] = 1.5, ["a", "bc"], h5py.Empty("f8")
        file["lists"] = np.array([np.arange(3), np.arange(2)], h5py.vlen_dtype("i4"))
        file["none"] = np.zeros((0, 3))
        file["pair"] = np.zeros(3, [("a", "i4"), ("b", "f8")])
        file.create_dataset("unwritten", (100, 100), "f4", chunks=(10, 10), compression="gzip")
        file.create_dataset("szip", data=VALUES, chunks=CHUNKS, compression="szip")
        file.create_dataset("texts", data=["x"] * 10, chunks=(4,))
    report = nexus_xr.check(path)
    assert report.is_sound
    counts = {each.path[1:]: each.pieces for each in report.datasets}
    assert counts == {
        "scalar": 1,
        "text": 1,
        "lists": 1,
        "none": 0,
        "pair": 1,
        "unwritten": 0,
        "szip": 8,
        "texts": 3,
    }
    assert {name[1:]: count for name, count in in_this_process(path)[0].items()} == counts


def test_a_filter_that_nobody_has_is_told_once(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((2,))
        properties.set_filter(32020, h5z.FLAG_OPTIONAL)
        dataset = h5d.create(file.id, b"data", h5t.STD_I32LE, h5s.create_simple((6,)), properties)
        for number in range(3):
            dataset.write_direct_chunk((2 * number,), b"something", 0)
    report = nexus_xr.check(tmp_path / "f.h5")
    ((failure,),) = (each.failures for each in report.damaged)
    assert "filter 32020 (VBZ) is needed" in failure.reason


def test_a_dataset_of_which_nothing_is_known_is_a_failure(tmp_path: Path, in_processes: Callable[[str], None]) -> None:
    write(tmp_path / "f.h5", "gzip")
    in_processes("checking.pieces_of = lambda *_: 1 / 0")
    report = nexus_xr.check(tmp_path / "f.h5")
    assert {each.failures[0].reason for each in report.datasets} == {"division by zero"}
    assert len(report.damaged) == 3


# --- what it does to nobody ----------------------------------------------------------------------------------------


@pytest.fixture
def in_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Run something first in each process that checks."""

    def change(code: str) -> None:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(
            "import os, signal, sys\n"
            "if 'nexus_xr.inspection._checking_process' in sys.orig_argv:\n"
            "    from nexus_xr.hdf5.reading import processes\n"
            "    from nexus_xr.inspection import checking, pieces\n"
            "    verify = pieces._verify_stored\n"
            f"    {code}\n"
        )
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))

    return change


def at_third(what: str) -> str:
    return f"pieces._verify_stored = lambda reader, at: {what} if at == (3, 0, 0) else verify(reader, at)"


def test_a_decoder_that_crashes_is_a_failure_of_one_chunk(tmp_path: Path, in_processes: Callable[[str], None]) -> None:
    write(tmp_path / "f.h5", "gzip")
    in_processes(at_third("os.kill(os.getpid(), signal.SIGSEGV)"))
    report = nexus_xr.check(tmp_path / "f.h5", processes=1)
    ((failure,),) = (each.failures for each in report.damaged)
    assert failure.reason == "piece 3: its decoder crashed (SIGSEGV); the file is damaged"
    assert sum(each.pieces for each in report.datasets) == 10


def test_a_decoder_that_never_ends_is_ended(tmp_path: Path, in_processes: Callable[[str], None]) -> None:
    write(tmp_path / "f.h5", "gzip")
    in_processes(f"processes._LEAST_SECONDS = 0.2; {at_third('[0 for _ in iter(int, 1)]')}")
    report = nexus_xr.check(tmp_path / "f.h5")
    ((failure,),) = (each.failures for each in report.damaged)
    assert failure.reason == "piece 3: its decoder took all the time that it was given; the file is damaged"


def test_a_process_that_says_nothing_is_ended(
    tmp_path: Path, in_processes: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "f.h5", "gzip")
    in_processes(at_third("signal.pause()"))
    monkeypatch.setattr("nexus_xr.hdf5.runtime.children.PATIENCE_SECONDS", 15)
    report = nexus_xr.check(tmp_path / "f.h5")
    ((failure,),) = (each.failures for each in report.damaged)
    assert "didn't come to an end in 15 s" in failure.reason


def test_a_file_that_crashes_who_describes_it_is_an_error(tmp_path: Path, in_processes: Callable[[str], None]) -> None:
    write(tmp_path / "f.h5", "gzip")
    in_processes("checking.pieces_of = lambda *_: os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(nexus_xr.NexusFileError, match=r"can't be described, at /entry/data: its decoder crashed"):
        nexus_xr.check(tmp_path / "f.h5")


def test_a_file_that_is_gone_or_another_when_it_is_read_is_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.h5"
    verified = check_module._verified

    def without_data() -> None:
        with h5py.File(path, "r+") as file:
            del file["entry/data"]

    for change, kind, message in (
        (without_data, nexus_xr.NexusFileError, "f.h5:/entry/data: isn't there any more; check the file again"),
        (path.unlink, nexus_xr.NexusFileNotFoundError, "f.h5: "),
    ):
        write(path, "gzip")
        monkeypatch.setattr(check_module, "_verified", lambda *given, change=change: change() or verified(*given))
        with pytest.raises(kind, match=message) as caught:
            nexus_xr.check(path)
        assert "damaged" not in str(caught.value)


@pytest.mark.parametrize("function", ["tell_datasets", "verify_runs"])
def test_what_fails_otherwise_is_told_as_it_is(
    function: str, tmp_path: Path, in_processes: Callable[[str], None]
) -> None:
    write(tmp_path / "f.h5", "gzip")
    in_processes(f"checking.{function} = lambda *_: 1 / 0")
    with pytest.raises(nexus_xr.NexusFileError, match=r"f\.h5: can't be checked \(ZeroDivisionError: division by zero"):
        nexus_xr.check(tmp_path / "f.h5")


def test_processes_are_heard_where_descriptors_are_many(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "gzip")
    with many_descriptors():
        assert nexus_xr.check(tmp_path / "f.h5").is_sound


# --- the command ---------------------------------------------------------------------------------------------------


def test_the_command_reports_and_has_a_status(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write(path, "gzip")
    result = CliRunner().invoke(main, ["check", str(path)])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{path}  3 datasets, 10 chunks, 8.79 KiB of values\n")
    assert result.stdout.endswith("All of it can be read.\n")
    offset, _ = chunk_at(path, 1)
    damage(path, offset, b"damaged")
    result = CliRunner().invoke(main, ["check", str(path)])
    assert result.exit_code == 1
    assert "/entry/data  1 of 8 can't be read\n" in result.stdout
    assert f"  - chunk (1, 0, 0) at byte {offset}: " in result.stdout
    assert result.stdout.endswith("Not all of it can be read: 1 failures in 1 datasets.\n")


def test_the_report_is_json_on_demand(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write(path, "gzip")
    offset, _ = chunk_at(path, 1)
    damage(path, offset, b"damaged")
    result = CliRunner().invoke(main, ["check", "-p", "1", str(path), "--json"])
    told = json.loads(result.stdout)
    assert (told["file"], told["faults"]) == (str(path), [])
    (damaged,) = (each for each in told["datasets"] if each["failures"])
    assert damaged["path"] == "/entry/data"
    assert [(each["chunk"], each["offset"]) for each in damaged["failures"]] == [([1, 0, 0], offset)]


def test_many_failures_are_told_as_a_few(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        data = file.create_dataset("data", (30,), "f4", chunks=(1,), compression="gzip")
        for number in range(30):
            data.id.write_direct_chunk((number,), b"damaged")
        for number in range(12):
            file[f"gone{number}"] = h5py.SoftLink(f"/nowhere/{number}")
    result = CliRunner().invoke(main, ["check", str(tmp_path / "f.h5")])
    assert "  … 20 more; --json tells all\n" in result.stdout
    assert "  … 2 more; --json tells all\n" in result.stdout
    assert "30 failures in 1 datasets, 12 objects or links damaged or missing" in result.stdout


def test_what_can_not_be_checked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no HDF5")
    for name in ("gone.h5", "text.h5"):
        result = CliRunner().invoke(main, ["check", str(tmp_path / name)])
        assert (result.exit_code, name in result.stderr) == (1, True)
    with pytest.raises(nexus_xr.NexusFileNotFoundError):
        nexus_xr.check(tmp_path / "gone.h5")
    with pytest.raises(TypeError, match=r"^expected a path or a URL, found bytes; write it into a file$"):
        nexus_xr.check(b"of a large file")  # type: ignore[arg-type]
    with pytest.raises(nexus_xr.NexusError, match="processes=0: expected a whole number, 1 or more, or None"):
        nexus_xr.check(tmp_path / "text.h5", processes=0)


def test_what_numpy_has_no_type_for_is_not_damaged(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        h5d.create(file.id, b"time", h5t.UNIX_D64LE, h5s.create_simple((2,)))
        file["x"] = [1, 2]
    report = nexus_xr.check(tmp_path / "f.h5")
    assert (report.is_sound, report.faults, [each.path for each in report.unread]) == (True, (), ["/time"])
    result = CliRunner().invoke(main, ["check", str(tmp_path / "f.h5")], catch_exceptions=False)
    assert result.exit_code == 0
    assert "/time: its datatype can't be read" in result.stdout
    assert "All else can be read." in result.stdout


def test_a_file_in_the_memory_of_this_process_is_not_said_to_be_gone() -> None:
    fsspec.filesystem("memory").pipe_file("/checked/f.nxs", b"there")
    with pytest.raises(
        nexus_xr.NexusError, match=r"memory://checked/f.nxs: is in this process's memory, which .* can't"
    ):
        nexus_xr.check("memory://checked/f.nxs")
