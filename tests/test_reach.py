"""Where reading ends: whatever names lead out of the folders that may be read, nothing outside is read, nor zeros."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusError, NexusReachError, NexusWarning
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.file_copy import copy_file
from nexus_xr.hdf5.io.naming.reach import EVERYWHERE, Reach
from nexus_xr.hdf5.io.naming.real_path import real_path
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.io.reference import reach_within
from nexus_xr.hdf5.reading.array import LazyArray

from .files import nxdata, nxentry, write_tree

SECRET, SHOWN = np.arange(7000, 7024, dtype="u2").reshape(4, 6), np.arange(24, dtype="u2").reshape(4, 6)
# Puts a dataset of SECRET's shape into a group, under a name, made of a file.
Write = Callable[[h5py.Group, str, str], Any]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the one that may be read, whose name begins with the other's."""
    folder = tmp_path / "shown_not"
    folder.mkdir()
    with h5py.File(folder / "secret.h5", "w") as file:
        file.create_dataset("values", data=SECRET, chunks=(1, 6))
        file["block_0"], file["block_1"] = SECRET[:2], SECRET[2:]
    (folder / "secret.raw").write_bytes(SECRET.tobytes())
    return folder


@pytest.fixture
def inside(tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may be read, in which the process is, as raw data files are named from there."""
    folder = tmp_path / "shown"
    (folder / "below").mkdir(parents=True)
    monkeypatch.chdir(folder)
    with h5py.File("below/shown.h5", "w") as file:
        file.create_dataset("values", data=SHOWN, chunks=(1, 6))
    Path("shown.raw").write_bytes(SHOWN.tobytes())
    for name in ("secret.h5", "secret.raw"):
        os.symlink(outside / name, name)
    os.symlink(outside, "way")
    with h5py.File("middle.h5", "w") as file:
        file["link"] = h5py.ExternalLink("../shown_not/secret.h5", "/values")
        file["soft"] = h5py.SoftLink("/link")
        virtual(file, "virtual", "../shown_not/secret.h5")
    return folder


def link(group: h5py.Group, name: str, file: str, path: str = "values") -> None:
    group[name] = h5py.ExternalLink(file, path)


def virtual(group: h5py.Group, name: str, file: str, path: str = "values") -> None:
    layout = h5py.VirtualLayout(SECRET.shape, "u2")
    layout[:] = h5py.VirtualSource(file, path, SECRET.shape)
    group.create_virtual_dataset(name, layout)


def virtual_in_blocks(group: h5py.Group, name: str, file: str) -> None:
    """One of no end, whose sources are named by the number of their block."""
    space = h5s.create_simple(SECRET.shape, (h5s.UNLIMITED, 6))
    space.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (2, 1), (2, 6))
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_virtual(space, file.encode(), b"block_%b", h5s.create_simple((2, 6)))
    h5d.create(group.id, name.encode(), h5t.STD_U16LE, h5s.create_simple(SECRET.shape, (h5s.UNLIMITED, 6)), properties)


def raw(group: h5py.Group, name: str, file: str) -> None:
    group.create_dataset(name, SECRET.shape, "u2", external=[(file, 0, SECRET.nbytes)])


# What leads out of the folder {inside}, to the folder {outside}.
NAMES = [
    "../shown_not/secret.",
    "{outside}/secret.",
    "secret.",
    "{inside}/secret.",
    "way/secret.",
    "below/../../shown_not/secret.",
]
WAYS: dict[str, tuple[Write, str]] = {
    **{f"link to {name}": (link, f"{name}h5") for name in NAMES},
    **{f"virtual dataset of {name}": (virtual, f"{name}h5") for name in NAMES},
    **{f"raw data in {name}": (raw, f"{name}raw") for name in NAMES},
    "chain of links": (partial(link, path="link"), "middle.h5"),
    "chain of links with a soft one": (partial(link, path="soft"), "middle.h5"),
    "link to a virtual dataset": (partial(link, path="virtual"), "middle.h5"),
    "virtual dataset of a virtual dataset": (partial(virtual, path="virtual"), "middle.h5"),
    "virtual dataset of a linked one": (partial(virtual, path="link"), "middle.h5"),
    "virtual dataset in blocks": (virtual_in_blocks, "../shown_not/secret.h5"),
}


@pytest.fixture(params=WAYS)
def master(request: pytest.FixtureRequest, inside: Path, outside: Path) -> Path:
    """A file of which one field leads out of the folder, in the data and in the tree; others don't."""
    write, name = WAYS[request.param]
    path = inside / "master.nxs"
    fields = {"own": SHOWN, "linked": h5py.ExternalLink("below/shown.h5", "/values")}
    write_tree(path, {"entry": nxentry({"data": nxdata(fields, signal="own")})})
    with h5py.File(path, "r+") as file:
        for group in (file["entry"], file["entry/data"]):
            write(group, "out", name.format(inside=inside, outside=outside))
            virtual(group, "virtual", "below/shown.h5")
            raw(group, "raw", "shown.raw")
    return path


def told(caught: pytest.WarningsRecorder) -> set[str]:
    """Paths of what was said to be out of reach, or not to be had."""
    found = [each.message for each in caught if isinstance(each.message, NexusWarning)]
    codes = ("out-of-reach", "object-unreadable")
    return {each.path for one in found for each in one.diagnostics if each.code in codes}


def values_or_refusal(values: Callable[[], Any]) -> Any:
    try:
        return np.asarray(values())
    except NexusReachError as refusal:
        return refusal


def check_refused(array: xr.DataArray | None) -> None:
    """A variable that leads out isn't there, or to read it is an error that names it."""
    if array is None:
        return
    refusal = values_or_refusal(lambda: array.values)
    assert isinstance(refusal, NexusReachError), f"{refusal} was read"
    assert array.encoding["nexus_path"].rsplit("/", 1)[1] in str(refusal)


def test_whatever_leads_out_is_as_today_where_there_are_no_limits(master: Path) -> None:
    dataset = xr.open_dataset(master, engine="nexus")
    np.testing.assert_array_equal(dataset["out"], SECRET)


def test_a_dataset_has_all_but_what_leads_out(master: Path, recwarn: pytest.WarningsRecorder) -> None:
    chunks: dict[str, int] | None
    for chunks in (None, {}):
        dataset = xr.open_dataset(master, engine="nexus", within=master.parent, chunks=chunks)
        for name in ("own", "linked", "virtual", "raw"):
            np.testing.assert_array_equal(dataset[name], SHOWN)
        check_refused(dataset.get("out"))
    assert "out" in dataset or "/entry/data/out" in told(recwarn)


def test_a_tree_has_all_but_what_leads_out(master: Path, recwarn: pytest.WarningsRecorder) -> None:
    tree = xr.open_datatree(master, engine="nexus", within=[str(master.parent)])
    np.testing.assert_array_equal(tree["entry/data/linked"], SHOWN)
    check_refused(tree["entry/data"].dataset.get("out"))
    value = tree["entry"].attrs.get("out")
    if isinstance(value, dict):
        refusal = values_or_refusal(lambda: value["value"])
        assert isinstance(refusal, NexusReachError)


def test_signals_are_all_but_what_leads_out(master: Path, recwarn: pytest.WarningsRecorder) -> None:
    signals = {each.encoding["nexus_path"]: each for each in nexus_xr.open_signals(master, within=master.parent)}
    np.testing.assert_array_equal(signals["/entry/data/own"], SHOWN)
    check_refused(signals.get("/entry/out"))


def test_metadata_tells_what_leads_out(master: Path, recwarn: pytest.WarningsRecorder) -> None:
    entry = nexus_xr.read_metadata(master, within=master.parent)["entry"]
    np.testing.assert_array_equal(entry["raw"]["value"], SHOWN)
    np.testing.assert_array_equal(entry["virtual"]["value"], SHOWN)
    value = entry.get("out")
    if isinstance(value, dict):
        assert isinstance(values_or_refusal(lambda: value["value"]), NexusReachError)
    text = "".join(str(each.message) for each in recwarn)
    assert "/entry/out" in text


def test_what_is_out_of_reach_is_an_error_where_nothing_may_be_missing(master: Path) -> None:
    with pytest.raises((NexusError, KeyError)):
        np.asarray(xr.open_dataset(master, engine="nexus", within=master.parent, missing="raise")["out"])


def test_the_limits_go_where_arrays_go(master: Path, recwarn: pytest.WarningsRecorder) -> None:
    dataset = xr.open_dataset(master, engine="nexus", within=master.parent, chunks={})
    code = """if True:
        import pickle, sys
        import numpy as np
        from nexus_xr import NexusReachError
        for name, array in pickle.load(sys.stdin.buffer).items():
            try:
                print(name, int(np.asarray(array).sum()))
            except NexusReachError:
                print(name, "refused")
    """
    arrays = pickle.dumps({name: variable.variable for name, variable in dataset.data_vars.items()})
    done = subprocess.run(
        [sys.executable, "-c", code], input=arrays, capture_output=True, check=True, cwd=master.parent
    )
    said = dict(line.split() for line in done.stdout.decode().splitlines())
    assert said["own"] == said["linked"] == said["virtual"] == said["raw"] == str(SHOWN.sum())
    assert said.get("out", "refused") == "refused"


def test_what_was_found_without_limits_is_not_given_to_who_has_some(master: Path) -> None:
    free = xr.open_dataset(master, engine="nexus", chunks={})
    np.testing.assert_array_equal(free["out"], SECRET)
    limited = xr.open_dataset(master, engine="nexus", within=master.parent, chunks={})
    assert "out" not in limited or limited["out"].data.name != free["out"].data.name
    check_refused(limited.get("out"))


@pytest.mark.parametrize("name", ["../shown_not/secret.h5", "secret.h5", "way/secret.h5", "{outside}/secret.h5"])
def test_the_file_itself_has_to_be_within(inside: Path, outside: Path, name: str) -> None:
    path = name.format(outside=outside)
    for opened in (nexus_xr.read_metadata, nexus_xr.list_datasets, nexus_xr.open_signals):
        with pytest.raises(NexusReachError, match="lies outside of the folders"):
            opened(path, within=inside)
    array = LazyArray(
        File(path, policy=ReadingPolicy(reach=reach_within(inside))), "/values", SECRET.shape, SECRET.dtype
    )
    with pytest.raises(NexusReachError):
        array[0]
    with pytest.raises(NexusReachError):
        copy_file(array.file, "copy.h5")
    assert nexus_xr.list_datasets(path, within=[inside, outside]) == nexus_xr.list_datasets(path)


def test_a_file_whose_root_is_damaged_is_named_though_libhdf5_has_a_stream_of_it(inside: Path) -> None:
    content = bytearray(Path("below/shown.h5").read_bytes())
    content[113] ^= 7  # the kind of the message that makes the root a group
    Path("damaged.h5").write_bytes(content)
    with pytest.raises(NexusError, match=r"^damaged\.h5: the root group can't be read .*; the file is damaged"):
        nexus_xr.read_metadata("damaged.h5", within=".")
    array = LazyArray(File("below/shown.h5", policy=ReadingPolicy(reach=reach_within("."))), "/gone", (2,), SHOWN.dtype)
    with pytest.raises(NexusError, match=r"^below/shown\.h5:/gone: there is no such dataset"):
        array[0]


def test_a_link_within_that_is_missing_is_missing_and_not_refused(inside: Path) -> None:
    write_tree(inside / "master.nxs", {"entry": nxentry({"data": nxdata({"own": SHOWN}, signal="own")})})
    with h5py.File("master.nxs", "r+") as file:
        link(file["entry"], "gone", "gone.h5")
        virtual(file["entry/data"], "filled", "gone_too.h5")
    with pytest.warns(NexusWarning) as caught:
        dataset = xr.open_dataset("master.nxs", engine="nexus", within=".")
    assert not told(caught)
    np.testing.assert_array_equal(dataset["filled"], np.zeros_like(SHOWN))


def test_what_takes_the_place_of_a_file_while_it_is_opened_is_not_read(
    inside: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a name and the opening of it, any part of it may become a link that leads out."""

    def then_swapped(path: str) -> str:
        found = real_path(path)
        if os.path.isdir("below") and not os.path.islink("below"):
            os.rename("below", "was_below")
            os.symlink(outside, "below")
        return found

    os.link(outside / "secret.h5", outside / "shown.h5")
    reach = reach_within(inside)
    monkeypatch.setattr("nexus_xr.hdf5.io.naming.reach.real_path", then_swapped)
    with pytest.raises(NexusReachError):
        os.close(reach.open(str(inside / "below/shown.h5")))
    assert os.path.islink("below")


def replace(path: Path, other: str) -> None:
    """Put another file in the place of one, as writers do that let nobody see half of it."""
    Path("new").write_text(other)
    os.replace("new", path)


@pytest.fixture
def replaced_when_opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[Path]]:
    """Files that are replaced as soon as they are opened."""
    paths: set[Path] = set()
    opening = os.open

    def open_and_replace(path: Any, *args: Any, **options: Any) -> int:
        descriptor = opening(path, *args, **options)
        for each in paths & {Path(path)}:
            replace(each, "new")
        return descriptor

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_and_replace)
        yield paths


@pytest.mark.parametrize("name", ["a.h5", "a.h5 (deleted)", "a.h5 (deleted) (deleted)"])
@pytest.mark.parametrize("has_other_name", [False, True])
def test_a_file_that_is_replaced_is_where_it_was(
    inside: Path, replaced_when_opened: set[Path], name: str, has_other_name: bool
) -> None:
    path = inside / name
    path.write_text("old")
    assert real_path(str(path)) == str(path)
    if has_other_name:
        os.link(path, "other")
    replaced_when_opened.add(path)
    assert real_path(str(path)) == str(path)


@pytest.mark.parametrize("name", ["a.h5", "a.h5 (deleted)"])
def test_a_file_within_reach_that_is_replaced_is_read(inside: Path, replaced_when_opened: set[Path], name: str) -> None:
    path = inside / name
    path.write_text("old")
    replaced_when_opened.add(path)
    descriptor = Reach((str(path),)).open_resolved(str(path), str(path))
    assert os.read(descriptor, 9) == b"old"
    os.close(descriptor)


def test_a_name_with_the_mark_of_what_is_gone_is_another_name(inside: Path) -> None:
    path = inside / "a.h5 (deleted)"
    path.write_text("other")
    with pytest.raises(NexusReachError):
        Reach((str(inside / "a.h5"),)).open_resolved(str(path), str(path))


PATHS = (
    *(".", "..", "below/shown.h5", "below/../below/./shown.h5", "gone.h5", "gone/shown.h5", "below/shown.h5/more"),
    *("linked", "linked/shown.h5", "round", "round/shown.h5", "a\0b", "a" * 300, "/", "/proc/self/exe"),
)


@pytest.mark.parametrize("lacking", ["nothing", "descriptors of places", "their paths"])
def test_paths_lead_where_python_says(inside: Path, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    (inside / "below/shown.h5").touch()
    os.symlink("below", "linked")
    os.symlink("round", "round")
    if lacking == "descriptors of places":
        monkeypatch.setattr("nexus_xr.hdf5.io.naming.real_path._PLACE", None)
    elif lacking == "their paths":
        found = {path: os.path.realpath(path) for path in PATHS if "\0" not in path}
        monkeypatch.setattr(os, "readlink", partial(_no_links_of_processes, os.readlink))
        assert {path: real_path(path) for path in found} == found
        return
    for path in PATHS:
        assert values_or_error(real_path, path) == values_or_error(os.path.realpath, path)


def _no_links_of_processes(readlink: Callable[..., str], path: Any, **options: Any) -> str:
    if "/self/fd/" in str(path):
        raise FileNotFoundError(path)
    return readlink(path, **options)


def values_or_error(work: Callable[[str], str], path: str) -> str | type[Exception]:
    try:
        return work(path)
    except (OSError, ValueError) as error:
        return type(error)


def test_a_file_is_opened_once_while_it_is_held(inside: Path, outside: Path) -> None:
    reach, place = reach_within(inside), os.path.realpath(inside / "held.h5")
    (inside / "held.h5").write_bytes(b"first")
    (inside / "other.h5").write_bytes(b"other")

    def content(reach: Reach, path: str) -> bytes:
        with os.fdopen(reach.open(path), "rb") as file:
            return file.read()

    with reach.holding(place):
        (inside / "new.h5").write_bytes(b"second")
        os.replace("new.h5", "held.h5")
        assert content(reach, place) == b"first"
        assert content(reach_within(inside), place) == b"first"
        assert content(reach_within([inside, outside]), place) == b"second"
        with reach.holding(os.path.realpath("other.h5")):
            assert content(reach, place) == b"second"
        assert content(reach, place) == b"first"
        assert content(reach, os.path.realpath("other.h5")) == b"other"
    assert content(reach, place) == b"second"
    with pytest.raises(NexusReachError), reach.holding(os.path.realpath(outside / "secret.h5")):
        pass


def test_pipes_are_not_waited_for(inside: Path) -> None:
    os.mkfifo("pipe.nxs")
    write_tree(inside / "master.nxs", {"entry": nxentry({"data": nxdata({"own": SHOWN}, signal="own")})})
    with h5py.File("master.nxs", "r+") as file:
        link(file["entry/data"], "out", "pipe.nxs")
        raw(file["entry/data"], "raw", "pipe.nxs")
    with pytest.raises(NexusError, match="no regular file"):
        nexus_xr.read_metadata("pipe.nxs", within=".")
    with pytest.warns(NexusWarning, match=r"/entry/data/out: links to pipe.nxs"):
        dataset = xr.open_dataset("master.nxs", engine="nexus", within=".")
    with pytest.raises(NexusReachError, match="no regular file"):
        np.asarray(dataset["raw"])


LEASE = """
import fcntl, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
descriptor = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
except OSError as error:
    sys.exit(print(error, flush=True))
print("held", flush=True)
signal.sigwait({signal.SIGIO})
fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
@pytest.mark.parametrize("way", ["everywhere", "within", "at once"])
def test_who_has_a_lease_of_a_file_is_waited_for(inside: Path, way: str) -> None:
    """As file servers have of files that their clients write; who can't wait has an error."""
    with h5py.File("leased.h5", "w") as file:
        file["data"] = SHOWN
    command = [sys.executable, "-c", LEASE, "leased.h5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        said = holder.stdout.readline().strip()
        if said != "held":
            pytest.skip(f"no leases here: {said}")
        try:
            if way == "at once":
                with pytest.raises(BlockingIOError):
                    reach_within(inside).open_resolved(os.path.realpath("leased.h5"), "leased.h5", waits=False)
                return
            within = "." if way == "within" else None
            dataset = xr.open_dataset("leased.h5", engine="nexus", within=within, dataset_path="data")
            np.testing.assert_array_equal(dataset["data"], SHOWN)
        finally:
            holder.kill()


def test_what_libhdf5_describes_leads_nowhere_else(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It follows names by itself, so that it is given no file that could lead it on."""
    with h5py.File("master.nxs", "w") as file:
        link(file, "out", "secret.h5")
        file["soft"] = h5py.SoftLink("/out")
        file["inner/soft"] = h5py.SoftLink("/out")
        virtual(file, "virtual", "secret.h5")
        raw(file, "raw", "secret.raw")
        file["own"] = SHOWN
        file["values"] = SHOWN  # of the name that the others have in their files
    file_within = File("master.nxs", policy=ReadingPolicy(reach=reach_within(inside)))
    for name in ("out", "soft", "inner/soft", "virtual", "raw"):
        array = LazyArray(file_within, f"/{name}", SHOWN.shape, SHOWN.dtype)
        with pytest.raises(NexusError), array.opened() as dataset:
            dataset[...]
    with LazyArray(file_within, "/own", SHOWN.shape, SHOWN.dtype).opened() as dataset:
        np.testing.assert_array_equal(dataset[...], SHOWN)


NAMES_OF_PARTS = st.sampled_from(["a", "b", "..", ".", "", "a b", "ab"])


@given(st.lists(NAMES_OF_PARTS, max_size=6), st.lists(NAMES_OF_PARTS, max_size=3), st.booleans())
def test_a_path_is_held_if_it_is_below(parts: list[str], root_parts: list[str], is_url: bool) -> None:
    """Compared with what the standard library says of the parts of paths."""
    below = ["/".join(["", "nowhere", *each]) for each in (parts, root_parts)]
    path, root = (f"s3://bucket{each}" if is_url else each for each in below)
    expected = Path(os.path.normpath(below[0])).is_relative_to(os.path.normpath(below[1]))
    reach = Reach((), (root,)) if is_url else reach_within(root)
    assert (reach.holds_url(path) if is_url else reach.holds_file(path)) == expected
    assert EVERYWHERE.holds_url(path)
    assert EVERYWHERE.holds_file(path)


@pytest.mark.parametrize(
    "url",
    [
        "https://host/runs/../secret.nxs",
        "https://host/runs/%2e%2e/secret.nxs",
        "https://host/runs_not/x.nxs",
        "https://host:81/runs/x.nxs",
        "https://other/runs/x.nxs",
        "http://host/runs/x.nxs",
        "simplecache::https://host/runs/x.nxs",
        "https://host/runs/x.nxs::file:///etc/passwd",
    ],
)
def test_urls_are_held_if_they_are_below(url: str) -> None:
    reach = reach_within("https://host/runs/")
    assert not reach.holds_url(url)
    assert reach.holds_url("https://host/runs/2024/x.nxs?signature=ab/../..")
    with pytest.raises(NexusReachError, match="lies outside"):
        nexus_xr.read_metadata(url, within="https://host/runs/")


@pytest.mark.parametrize(
    ("path", "is_hidden"),
    [("a.h5", False), (".a.h5", True), (".b/a.h5", True), ("b/.c/a.h5", True), ("b./a..h5", False)],
)
def test_what_is_hidden_is_held_unless_told_otherwise(tmp_path: Path, path: str, is_hidden: bool) -> None:
    root = tmp_path / ".root"
    assert reach_within(root).holds_file(str(root / path))
    assert reach_within(root, has_hidden=False).holds_file(str(root / path)) == (not is_hidden)
    assert reach_within([root, root / ".b"], has_hidden=False).holds_file(str(root / ".b/a.h5"))


def test_a_path_that_is_none_is_not_held() -> None:
    assert not reach_within("/tmp").holds_file("/tmp/\0")
    assert not reach_within([]).holds_file("/tmp/x")


def test_within_is_of_paths() -> None:
    with pytest.raises(TypeError, match="within=3: expected a path or URL, or several"):
        nexus_xr.read_metadata("x.nxs", within=3)  # type: ignore[arg-type]
