"""The command line: what each command prints, and what it says of input that is none."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

import nexus_xr
from benchmarks.serving import RangeServer
from nexus_xr.cli import progress
from nexus_xr.cli import screen as screens
from nexus_xr.diagnostics import Code

from .corpus import corpus_files
from .pages import DOCS, write_scan
from .processes import run
from .shell import invoke, refused, said


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A scan of ten frames, compressed as detectors do it, with most of what there is to be told."""
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update(NX_class="NXentry", default="data")
        entry["title"] = "a scan \x1b[2J"
        entry["start_time"] = "2024-05-01T12:00:00"
        entry["instrument/name"] = "I22"
        entry["instrument"].attrs["NX_class"] = "NXinstrument"
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="counts", axes=["angle", "tof", "z"])
        values = np.arange(10 * 20 * 30, dtype="u2").reshape(10, 20, 30)
        data.create_dataset("counts", data=values, chunks=(1, 20, 30), **hdf5plugin.Bitshuffle())
        data["counts"].attrs["units"] = "counts"
        data["angle"] = np.linspace(0, 9, 10)
        data["angle"].attrs.update(units="deg", long_name="Angle of the sample")
        data["tof"] = np.arange(21.0)
        other = entry.create_group("sum")
        other.attrs.update(NX_class="NXdata", signal="total")
        other["total"] = np.arange(10.0)
        entry["link"] = h5py.SoftLink("/entry/sum/total")
        entry["missing"] = h5py.ExternalLink("gone.h5", "/data")
        entry["again"] = entry
    return path


INFO = """\
{file}  {size}

Entry /entry
  title       a scan �[2J
  start       2024-05-01T12:00:00
  instrument  I22

Default plot /entry/data
                   dimensions                    type     from … to  units
  counts (signal)  angle 10 × tof 20 × dim_2 30  uint16              counts
  angle            angle 10                      float64  0 … 9      deg
  tof              tof 20                        float64  0 … 20

Stored
  counts  chunks 1 × 20 × 30, bitshuffle+LZ4, 11.7 KiB in {stored}

Other data
  /entry/sum  total  10
  … 1 more; --all tells all, `nexus-xr tree` shows the whole file

Not honoured
  - /entry/data: @axes names 'z', which is not there
  - /entry/missing: links to gone.h5:/data, which is not there
"""


# --- info ----------------------------------------------------------------------------------------------------------


def test_info_tells_what_a_file_is_about(scan: Path) -> None:
    with h5py.File(scan) as file:
        stored = file["entry/data/counts"].id.get_storage_size()
    words = {
        "file": scan,
        "size": f"{scan.stat().st_size / 1024:.3g} KiB",
        "stored": f"{stored / 1024:.3g} KiB ({12_000 / stored:.3g} to 1)",
    }
    assert said("info", scan) == INFO.format(**words)


def test_info_is_json_on_demand(scan: Path) -> None:
    told = json.loads(said("info", scan, "--json"))
    assert told["file"] == str(scan)
    assert told["nbytes"] == scan.stat().st_size
    assert told["entry"] == "/entry"
    assert told["facts"] == {"title": "a scan \x1b[2J", "start": "2024-05-01T12:00:00", "instrument": "I22"}
    counts, angle, tof = told["default"]["arrays"]
    assert (counts["role"], counts["dtype"], counts["filters"]) == ("signal", "uint16", ["bitshuffle+LZ4"])
    assert (counts["layout"], counts["chunks"], counts["nbytes"]) == ("chunked", [1, 20, 30], 12_000)
    assert (angle["first"], angle["last"], angle["units"], angle["long_name"]) == (0, 9, "deg", "Angle of the sample")
    assert (tof["shape"], tof["first"], tof["last"]) == ([20], 0, 20)
    assert [(each["path"], each["signal"], each["shape"]) for each in told["others"]] == [
        ("/entry/link", None, [10]),
        ("/entry/sum", "total", [10]),
    ]
    assert {each["code"] for each in told["diagnostics"]} == {Code.AXIS_MISSING, Code.LINK_TARGET_MISSING}
    assert told.keys() == set(nexus_xr.describe(scan).__dataclass_fields__)


def test_info_tells_nothing_twice(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["a"], file["b"] = np.arange(3), np.arange(3.0)
    told = nexus_xr.describe(tmp_path / "f.nxs")
    assert told.default is not None
    assert [(array.name, told.others) for array in told.default.arrays] == [("a", ()), ("b", ())]


def test_info_tells_of_no_more_than_a_screen(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        for number in range(20):
            group = file.create_group(f"entry/data_{number:02}")
            group.attrs.update(NX_class="NXdata", signal="counts", axes=f"axis_{number}")
            group["counts"] = np.arange(3)
        file["entry/extra/values"] = np.arange(5)
    shown = said("info", tmp_path / "f.nxs")
    assert "/entry/data_08" in shown
    assert "/entry/data_09" not in shown
    assert "12 more; --all tells all" in shown
    everything = said("info", tmp_path / "f.nxs", "--all")
    assert "/entry/data_19" in everything
    assert "/entry/extra/values  5" in everything
    assert "--all" not in everything


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([3.0, 2.0, 1.0], (3, 1)),
        ([1.0, 3.0, 2.0], (1, 3)),
        ([b"a", b"c", b"b"], ("a", "b")),
        ([np.nan, 2.0, 3.0], ("nan", 3)),
        ([1.0, np.nan, 3.0, np.nan, 2.0], (1, 3)),
        ([1.0, 2.0, np.inf], (1, "inf")),
        ([True, False, True], (False, True)),
    ],
)
def test_an_axis_is_told_by_its_ends(tmp_path: Path, values: list[Any], ends: tuple[Any, Any]) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["data/counts"] = np.arange(len(values))
        file["data/x"] = values
        file["data"].attrs.update(NX_class="NXdata", signal="counts", axes="x")
    default = nexus_xr.describe(tmp_path / "f.nxs").default
    assert default is not None
    assert (default.arrays[1].first, default.arrays[1].last) == ends


def test_of_a_long_axis_only_the_ends_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["data/counts"] = np.zeros(200_000, "u1")
        file["data"].create_dataset("x", data=np.arange(200_000.0), chunks=(1000,), compression="gzip")
        file["data/x"].id.write_direct_chunk((1000,), b"damaged")
        file["data"].attrs.update(NX_class="NXdata", signal="counts", axes="x")
    default = nexus_xr.describe(tmp_path / "f.nxs").default
    assert default is not None
    assert (default.arrays[1].first, default.arrays[1].last) == (0, 199_999)


def test_a_file_without_a_default_plot_is_told_too(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a/first"] = np.arange(6).reshape(2, 3)
        file["b/second"] = np.arange(4)
        file["b/third"] = np.arange(3)
    shown = said("info", tmp_path / "f.h5")
    assert "Default plot" not in shown
    assert "/a/first   2 × 3" in shown
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    assert said("info", tmp_path / "empty.h5") == (
        f"{tmp_path}/empty.h5  800 B\n\nNo default plot\n  - there are no arrays; `nexus-xr tree` shows what there is\n"
    )


@pytest.mark.parametrize("path", corpus_files(), ids=lambda path: path.name)
def test_every_file_of_the_corpus_is_told(path: Path) -> None:
    told = json.loads(said("info", path, "--json"))
    assert told["nbytes"] == path.stat().st_size
    assert said("info", path).startswith(str(path))
    assert json.loads(said("tree", path, "--json"))["kind"] == "group"
    assert said("tree", path).startswith(str(path))


def test_a_terminal_gets_the_same_in_its_width(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screens, "_in_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    shown = said("info", scan.name)
    assert max(map(len, shown.splitlines())) == 60
    monkeypatch.setattr(screens, "has_rich", lambda: False)
    assert {*shown.split()} == {*said("info", scan.name).split()}


# --- tree ----------------------------------------------------------------------------------------------------------


def test_tree_shows_all_that_a_file_holds(scan: Path) -> None:
    lines = said("tree", scan).splitlines()
    assert lines[0] == str(scan)
    for line in (
        "└── entry  NXentry",
        "    ├── again  NXentry  → /entry",
        "    ├── data  NXdata",
        "    │   ├── angle  10 float64  deg",
        "    │   ├── counts  10 × 20 × 30 uint16  counts",
        "    ├── link  10 float64  → /entry/sum/total",
        "    ├── missing  → gone.h5:/data",
        "    └── title  a scan �[2J",
    ):
        assert line in lines


def test_tree_shows_a_part_to_some_depth(scan: Path) -> None:
    assert said("tree", scan, "/entry/sum").splitlines() == ["/entry/sum  NXdata", "└── total  10 float64"]
    assert said("tree", scan, "--depth", 1).splitlines() == [str(scan), "└── entry  NXentry"]
    assert said("tree", scan, "--depth", 0).splitlines() == [str(scan)]
    assert said("tree", scan, "entry/data/angle") == "/entry/data/angle  10 float64  deg\n"
    assert "no '/entry/nothing'" in refused("tree", scan, "/entry/nothing")


def test_tree_is_json_on_demand(scan: Path) -> None:
    [entry] = json.loads(said("tree", scan, "--json"))["members"]
    members = {member["name"]: member for member in entry["members"]}
    assert (members["title"]["value"], members["start_time"]["kind"]) == ("a scan \x1b[2J", "dataset")
    assert (members["missing"]["kind"], members["missing"]["target"]) == ("link", "gone.h5:/data")
    assert (members["link"]["target"], members["link"]["shape"]) == ("/entry/sum/total", [10])


def test_short_values_are_shown_as_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["number"], file["nan"], file["yes"], file["text"] = 1 / 3, np.nan, True, "x" * 100
        file["complex"] = 1j
        file["empty"] = h5py.Empty("f8")
        file["one"] = [4]
        file.create_dataset("damaged", data=[1.5], chunks=(1,), compression="gzip")
        file["damaged"].id.write_direct_chunk((0,), b"damaged")
    lines = said("tree", tmp_path / "f.h5").splitlines()
    assert [line[4:] for line in lines[1:]] == [
        "complex  scalar complex128",
        "damaged  1 float64",
        "empty  scalar float64",
        "nan  nan",
        "number  0.333333",
        "one  4",
        f"text  {'x' * 60}…",
        "yes  True",
    ]


# --- all of them ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["info", "tree"])
def test_what_is_no_file_is_refused(tmp_path: Path, command: str) -> None:
    assert "gone.nxs" in refused(command, tmp_path / "gone.nxs")
    (tmp_path / "text.nxs").write_text("no HDF5")
    assert "text.nxs" in refused(command, tmp_path / "text.nxs")


def test_a_command_line_that_is_none_is_told_how_to_be_one() -> None:
    assert invoke("nothing").exit_code == 2
    assert invoke("info").exit_code == 2
    assert "expected NAME=VALUE" in invoke("info", "f.nxs", "-o", "anon").stderr
    assert "Commands:" in said("--help")
    assert said("--version") == f"nexus-xr, version {nexus_xr.__version__}\n"


def test_a_url_is_as_good_as_a_path(scan: Path) -> None:
    assert json.loads(said("info", f"file://{scan}", "--json"))["entry"] == "/entry"
    told = json.loads(said("info", f"simplecache::file://{scan}", "-o", 'simplecache={"check_files": true}', "--json"))
    assert (told["entry"], told["nbytes"]) == ("/entry", scan.stat().st_size)


def test_the_command_takes_no_more_than_it_needs(scan: Path) -> None:
    code = (
        "import sys\n"
        "from nexus_xr.cli.main import main\n"
        "main(['info', sys.argv[1]], standalone_mode=False)\n"
        "names = ('xarray', 'pandas', 'dask', 'h5py', 'rich', 'matplotlib', 'starlette')\n"
        "print([name for name in names if name in sys.modules])"
    )
    assert run(code, scan).endswith("[]\n")


def test_the_package_is_a_command(scan: Path) -> None:
    command = [sys.executable, "-m", "nexus_xr", "tree", str(scan), "-d", "1"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == f"{scan}\n└── entry  NXentry\n"


@pytest.mark.parametrize("is_buffered", [False, True])
@pytest.mark.parametrize("words", [["info"], ["tree", "--json"], ["tree", "--help"]], ids=" ".join)
@pytest.mark.parametrize(
    ("to", "reason"),
    [("> /dev/full", "No space left on device"), (">&-", "standard output is closed")],
    ids=["full", "closed"],
)
def test_an_output_that_takes_nothing_is_an_error_of_one_line(
    scan: Path, words: list[str], to: str, reason: str, is_buffered: bool
) -> None:
    command = shlex.join([sys.executable, "-m", "nexus_xr", *words, str(scan)])
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if is_buffered else "1"}
    ran = subprocess.run(f"{command} {to}", shell=True, stderr=subprocess.PIPE, text=True, env=environment)
    assert (ran.returncode, ran.stderr) == (
        1,
        f"Error: the standard output, or a file, can't be written to ({reason})\n",
    )


def test_who_hears_no_errors_gets_the_output(scan: Path) -> None:
    command = shlex.join([sys.executable, "-m", "nexus_xr", "tree", str(scan), "-d", "1"])
    ran = subprocess.run(f"{command} 2>&-", shell=True, stdout=subprocess.PIPE, text=True)
    assert (ran.returncode, ran.stdout) == (0, f"{scan}\n└── entry  NXentry\n")


@pytest.mark.parametrize("command", ["info", "tree", "check"])
def test_names_of_any_letters_are_printed_to_whoever_reads(tmp_path: Path, command: str) -> None:
    """In an encoding that hasn't the letters, and of a file whose name is in none."""
    path = tmp_path / os.fsdecode(b"sc\xffn\x1b.nxs")
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["\u03b8\x1b/n"] = np.arange(3)
    (tmp_path / "f.nxs").rename(path)
    for encoding in ("ascii", "utf-8"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        words = [sys.executable, "-m", "nexus_xr", command, str(path)]
        ran = subprocess.run(words, capture_output=True, check=True, env=environment)
        assert b"\x1b" not in ran.stdout
        assert b"sc" in ran.stdout
        if command == "tree":
            told = subprocess.run([*words, "--json"], capture_output=True, check=True, env=environment)
            assert json.loads(told.stdout.decode(encoding))["members"][0]["name"] == "\u03b8\x1b"


def test_errors_and_warnings_have_no_control_characters_and_name_options(scan: Path) -> None:
    with h5py.File(scan, "r+") as file:
        file["entry/other\x1b"] = h5py.SoftLink("/gone\x1b")
        file["a/first"], file["b/second\x1b"] = [1, 2], [3, 4]
        del file["entry"]
        del file.attrs["default"]
    told = refused("plot", scan, "it.png")
    assert "choose one with --path" in told
    assert "\x1b" not in told
    assert "second\ufffd" in told


def test_a_file_is_told_of_by_its_name_whatever_that_is(tmp_path: Path) -> None:
    (tmp_path / "dataset_path").mkdir()
    (tmp_path / "dataset_path/dataset_path.h5").write_text("no HDF5")
    told = invoke("info", tmp_path / "dataset_path/dataset_path.h5").stderr
    assert "/dataset_path/dataset_path.h5" in told
    for name in (
        "compression=none.nxs",
        "dataset_path=x.nxs",
        "overwrite=True",
        "with dataset_path.nxs",
    ):
        assert f"Error: {name}: no such file" in refused("info", name)
    (tmp_path / "compression='x'.nxs").write_text("no HDF5")
    assert "compression='x'.nxs" in refused("info", tmp_path / "compression='x'.nxs")


def test_what_commands_are_given_is_told_by_their_options(scan: Path) -> None:
    told = refused("repack", scan, "new.nxs", "-c", "foo")
    assert "--compression 'foo': expected one of gzip, " in told
    assert ", keep, or none" in told
    assert "hdf5plugin" not in told
    assert '--compression "it\'s": expected' in refused("repack", scan, "new.nxs", "-c", "it's")
    assert "--compression 'gzip': is for a NeXus file" in refused("convert", scan, "new.nc", "-c", "gzip")
    (scan.parent / "f.nc").touch()
    assert "--path '/a': " in refused("convert", scan.parent / "f.nc", scan.parent / "g.nxs", "--path", "/a")
    told = refused("serve", scan.parent, "--token", "")
    assert "leave --token out for a random one, or give --no-token to let everybody in" in told


def test_a_lack_of_memory_is_told(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 65.8 GiB")

    monkeypatch.setattr("nexus_xr.cli.info.describe", describe)
    assert "there isn't enough memory (Unable to allocate 65.8 GiB)" in refused("info", scan)


def test_words_are_completed(scan: Path) -> None:
    environment = {"_NEXUS_XR_COMPLETE": "bash_complete", "COMP_WORDS": "nexus-xr tr", "COMP_CWORD": "1"}
    code = "from nexus_xr.cli.main import main\nmain(prog_name='nexus-xr')"
    assert run(code, environment=environment) == "plain,tree\n"


# --- serve, plot, the guide ------------------------------------------------------------------------------------------


def test_serve_is_the_function_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nexus_xr.cli import serve
    from nexus_xr.server import serving

    assert (serve.HOST, serve.PORT) == (serving.HOST, serving.PORT)
    served: list[Any] = []
    monkeypatch.setattr(serving, "serve", lambda *given, **options: served.append((given, options)))
    said("serve", tmp_path)
    said("serve", tmp_path, "--port", 0, "--no-token", "--name", "a.org", "--origin", "https://b.org", "--workers", 2)
    said("serve", tmp_path, "--token", "mine", "--root-path", "/data", "--host", "0.0.0.0")
    [first, second, third] = [each[1] | {"given": each[0]} for each in served]
    assert first["given"] == ((str(tmp_path),), "127.0.0.1", 8745)
    assert (first["token"], first["hosts"], first["workers"]) == (True, (), 0)
    assert (second["token"], second["hosts"], second["origins"]) == (False, ("a.org",), ("https://b.org",))
    assert (third["token"], third["root_path"], third["given"][1]) == ("mine", "/data", "0.0.0.0")
    assert invoke("serve", tmp_path, "--token", "mine", "--no-token").exit_code == 2
    assert invoke("serve", tmp_path / "gone").exit_code == 2
    assert invoke("serve", tmp_path, "--port", 99999).exit_code == 2
    assert invoke("serve", tmp_path, "--workers", -1).exit_code == 2


def test_plot_draws_the_default_plot(scan: Path) -> None:
    assert said("plot", scan) == "scan.png is there\n"
    assert Path("scan.png").read_bytes().startswith(b"\x89PNG")
    assert "is there already" in refused("plot", scan)
    said("plot", scan, "other.svg", "--path", "/entry/sum")
    assert "<svg" in Path("other.svg").read_text()
    assert "other.xyz: there are no pictures of this format" in refused("plot", scan, "other.xyz")
    assert "gone/other.png: can't be written" in refused("plot", scan, "gone/other.png")


def test_what_has_no_signal_is_not_drawn(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["data/x"] = np.arange(3)
        file["data/y"] = np.arange(3)
        file["data"].attrs.update(NX_class="NXdata", signal="gone", axes=["x", "y"])
    assert "no signal to draw" in refused("plot", tmp_path / "f.nxs")


def test_the_guide_shows_what_commands_print(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "80", "LINES": "16", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    write_scan("scan.nxs")
    page = (DOCS / "guide" / "command_line.md").read_text()
    shown = re.findall(r"```console\n\$ nexus-xr (.+)\n((?:.*\n)+?)```", page)
    assert len(shown) == 4
    for words, expected in shown:
        assert without_sizes(said(*shlex.split(words))) == without_sizes(expected)


def without_sizes(text: str) -> str:
    """What is printed without sizes, which differ among versions of libhdf5."""
    return re.sub(r"[\d.]+ [KM]iB|\([\d.]+ to 1\)", "#", text)


@pytest.mark.parametrize("has_rich", [True, False])
def test_a_terminal_is_shown_how_far_it_is(
    has_rich: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "has_rich", lambda: has_rich)
    with progress.progress_bar("Reading") as advance:
        advance(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.progress_bar("Reading") as advance:
        advance(1, 2)
        advance(2, 2)
    assert "Reading" in capsys.readouterr().err


# --- interrupts, and places that can't be written to ---------------------------------------------------------------

_WRITERS = {
    "zarr": ["convert", "scan.nxs", "made/scan.zarr"],
    "netcdf": ["convert", "scan.nxs", "made/scan.nc"],
    "csv": ["convert", "scan.nxs", "made/scan.csv", "--path", "/entry/sum"],
    "json": ["convert", "scan.nxs", "made/scan.json"],
    "plot": ["plot", "scan.nxs", "made/scan.png"],
    "repack": ["repack", "scan.nxs", "made/scan.nxs", "--compression", "zstd"],
    "repack in place": ["repack", "scan.nxs", "--compression", "zstd"],
    "consolidate": ["consolidate", "virtual.nxs"],
}


@pytest.fixture
def folder(scan: Path) -> Path:
    """A folder with the scan, with what leads to values of it, and with a place for what is made of them."""
    with h5py.File(scan) as file, h5py.File(scan.with_name("virtual.nxs"), "w") as other:
        counts = file["entry/data/counts"]
        layout = h5py.VirtualLayout(counts.shape, counts.dtype)
        layout[...] = h5py.VirtualSource(counts)
        other.create_virtual_dataset("counts", layout)
    scan.with_name("made").mkdir()
    return scan.parent


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_interrupted_command_ends_as_shells_have_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    before = _content(folder)
    monkeypatch.setattr(os, "replace", interrupted)
    ended = invoke(*_WRITERS["csv"])
    assert (ended.exit_code, ended.stdout) == (130, "")
    assert "Traceback" not in ended.stderr
    assert _content(folder) == before


def test_a_command_is_interrupted_without_a_word_while_it_is_imported() -> None:
    code = """
import sys

class Interrupting:
    def find_spec(self, name, *_):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
from nexus_xr.__main__ import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", code, "info"], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_file_that_is_not_to_be_read_is_told_in_a_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_readable(path: Any, mode: int) -> bool:  # as for anyone but root
        return mode != os.R_OK

    with monkeypatch.context() as patched:
        patched.setattr(os, "access", is_readable)
        said("info", "scan.nxs")  # who opens it says whether it can be
    os.chmod("scan.nxs", 0)
    if not os.access("scan.nxs", os.R_OK):  # unless root asks
        assert "Permission denied" in refused("info", "scan.nxs")


def test_what_is_behind_a_url_is_not_changed_where_it_is(folder: Path) -> None:
    with h5py.File("linked.nxs", "w") as file:
        file["entry"] = h5py.ExternalLink("scan.nxs", "/entry")
    write_scan("plain.nxs")
    with RangeServer(folder).running() as server:
        for name in ("linked.nxs", "scan.nxs"):
            url = f"{server.url}/{name}"
            assert f"{url}: only a file of this machine is made one file" in refused("consolidate", url)
            assert f"{url}: only a file of this machine is written anew" in refused("repack", url)
        assert re.fullmatch(r"made/f\.nxs: [\d.]+ KiB\n", said("repack", f"{server.url}/plain.nxs", "made/f.nxs"))


def test_what_has_no_default_plot_says_what_to_name(folder: Path) -> None:
    with h5py.File("plain.nxs", "w") as file:
        file["entry/title"] = "a scan"
    assert "No default plot\n  - there are no arrays; `nexus-xr tree` shows what there is" in said("info", "plain.nxs")
    with h5py.File("plain.nxs", "a") as file:
        file["entry/a/x"], file["entry/it's S(Q, E)/x"] = [1, 2], [[3, 4], [5, 6]]
    named = re.search(r"No default plot\n  - name .* `nexus-xr (plot FILE .+)`", said("info", "plain.nxs"))
    assert named is not None
    command, _, *options = shlex.split(named[1])
    assert options == ["--path", "/entry/it's S(Q, E)/x"]
    said(command, "plain.nxs", *options, "--text")
    assert "is a folder; name a file in it, or show all of it with nexus-xr serve" in refused("info", "made")
    assert "made: is a folder; name a file in it" in refused("check", "made")


@pytest.mark.parametrize("words", _WRITERS.values(), ids=_WRITERS)
def test_a_place_without_room_is_named_in_a_line(folder: Path, words: list[str]) -> None:
    before, limits = _content(folder), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        ended = invoke(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert ended.exit_code == 1
    [line] = ended.stderr.partition("Error: ")[2].splitlines()
    assert words[1] in line or words[2] in line
    assert ".part" not in line
    assert _content(folder) == before
    assert list((folder / "made").iterdir()) == []
