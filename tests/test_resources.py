"""Files are closed, arrays travel between processes, and other users of a file are no obstacle and not hindered."""

from __future__ import annotations

import concurrent.futures
import copy
import fcntl
import gc
import io
import multiprocessing
import os
import pickle
import subprocess
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError, NexusFileError
from nexus_xr.errors import let_go
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.h5py_handles import Handles
from nexus_xr.hdf5.io.locks import Lock, alone, is_open_for_writing
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.runtime import fork
from nexus_xr.hdf5.writing.atomic_file import NewFile

from .files import Field, Write, nxdata, nxentry, scan_file
from .opened import open_nexus
from .processes import run
from .test_threads import is_interrupted
from .waiting import PATIENCE_SECONDS

COUNTS = np.arange(12, dtype="u2").reshape(3, 4)


def descriptors(path: Path) -> int:
    """How many descriptors of this process lead to a file."""
    return _links().count(str(path))


def _links() -> list[str]:
    """What the descriptors of this process lead to."""
    return [os.path.realpath(os.path.join("/proc/self/fd", name)) for name in os.listdir("/proc/self/fd")]


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")


@needs_proc
def test_no_descriptor_is_held_between_reads(write: Write) -> None:
    path = write(scan_file())
    dataset = open_nexus(path)
    assert descriptors(path) == 0
    dataset.counts.load()
    assert descriptors(path) == 0


@needs_proc
def test_files_opened_one_after_the_other_leak_nothing(write: Write) -> None:
    path = write({"data": nxdata({"counts": COUNTS}, signal="counts")})
    before = len(os.listdir("/proc/self/fd"))
    kept = [open_nexus(path) for _ in range(2000)]
    kept[-1].counts.load()
    assert len(os.listdir("/proc/self/fd")) <= before


@needs_proc
@pytest.mark.parametrize("way", ["close", "with", "garbage collection"])
def test_a_url_is_open_until_it_is_released(way: str, write: Write) -> None:
    path = write(scan_file())
    dataset = open_nexus(f"file://{path}")
    dataset.counts.load()
    if way == "close":
        dataset.close()
    elif way == "with":
        with dataset:
            pass
    del dataset
    gc.collect()
    assert descriptors(path) == 0


def test_reading_after_close_opens_again(write: Write) -> None:
    dataset = open_nexus(write(scan_file()))
    dataset.close()
    np.testing.assert_array_equal(dataset.counts, COUNTS)


def test_a_file_can_be_rewritten_while_it_is_described(write: Write) -> None:
    path = write(scan_file())
    dataset = open_nexus(path)
    with h5py.File(path, "a") as file:
        file["entry/title2"] = "more"
    with pytest.raises(NexusFileError, match="changed"):
        dataset.counts.load()
    np.testing.assert_array_equal(open_nexus(path).counts, COUNTS)


def test_the_file_may_be_open_in_this_process_already(write: Write) -> None:
    path = write(scan_file())
    with h5py.File(path) as file:
        np.testing.assert_array_equal(open_nexus(path).counts, file["entry/data/counts"])
    dataset = open_nexus(path)
    with h5py.File(path, locking=True):
        np.testing.assert_array_equal(dataset.counts, COUNTS)


def test_lazy_arrays_are_copied_without_being_read(write: Write) -> None:
    path = write({"entry": nxentry({"data": nxdata({"n": COUNTS}, signal="n"), "mask": np.zeros(100_000)})})
    dataset = open_nexus(path)
    for copied in (copy.copy(dataset), copy.deepcopy(dataset), dataset.copy(deep=True)):
        assert isinstance(copied.attrs["mask"]["value"], nexus_xr.LazyArray)
        assert copied.identical(dataset)


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazily indexed", "dask"])
def test_pickled_arrays_are_small_and_load_in_another_process(chunks: Any, write: Write) -> None:
    stored = Field(np.arange(100_000).reshape(100, 1000), chunks=(1, 1000))
    path = write({"entry": nxentry({"data": nxdata({"n": stored}, signal="n"), "mask": np.arange(50_000.0)})})
    dataset = open_nexus(path, chunks=chunks)
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 20_000
    code = "import pickle, sys; d = pickle.load(sys.stdin.buffer); print(int(d.n.sum()), d.attrs['mask']['value'][9])"
    ran = subprocess.run(
        [sys.executable, "-c", code], input=pickled, capture_output=True, check=True, timeout=PATIENCE_SECONDS
    )
    assert ran.stdout.decode().split() == [str(np.arange(100_000).sum()), "9.0"]


def _sum(dataset: xr.Dataset) -> int:
    return int(dataset.counts.sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_either_kind_read(method: str, write: Write) -> None:
    dataset = open_nexus(write(scan_file()))
    dataset.counts[0].load()
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert set(pool.map(_sum, [dataset] * 4)) == {COUNTS.sum()}


def test_what_a_fork_makes_new_is_kept_alive_by_nothing() -> None:
    before = len(fork._renewals)
    handles = Handles()
    assert len(fork._renewals) == before + 1
    gone = weakref.ref(handles)
    del handles
    assert gone() is None
    assert len(fork._renewals) == before


def test_many_threads_read_one_file(write: Write) -> None:
    values = np.arange(64 * 100).reshape(64, 100)
    path = write({"data": nxdata({"n": Field(values, chunks=(1, 100), compression="gzip")}, signal="n")})
    dataset = open_nexus(path)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        rows = list(pool.map(lambda row: dataset.n[row % 64].values, range(512)))
    for row, got in enumerate(rows):
        np.testing.assert_array_equal(got, values[row % 64])


SWMR_WRITER = """
import h5py, sys
file = h5py.File(sys.argv[1], "w", libver="latest")
entry = file.create_group("entry"); entry.attrs["NX_class"] = "NXentry"
data = entry.create_group("data"); data.attrs["NX_class"] = "NXdata"; data.attrs["signal"] = "n"
n = data.create_dataset("n", (2, 4), "i4", maxshape=(None, 4), chunks=(1, 4))
n[...] = 7
file.swmr_mode = True
print("ready", flush=True)
sys.stdin.readline()
n.resize((3, 4)); n[2] = 8; n.flush()
print("grown", flush=True)
sys.stdin.readline()
"""


def test_a_file_that_another_process_is_writing_opens(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    command = [sys.executable, "-c", SWMR_WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        dataset = open_nexus(path)
        assert dataset.n.shape == (2, 4)
        print(file=writer.stdin, flush=True)
        assert writer.stdout.readline() == "grown\n"
        np.testing.assert_array_equal(dataset.n, np.full((2, 4), 7))
        assert open_nexus(path).n.values[2].tolist() == [8] * 4
        writer.communicate("\n")
    assert writer.returncode == 0


LOCKER = """
import fcntl, sys
stream = open(sys.argv[1])
fcntl.flock(stream, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_locked_file_opens(write: Write) -> None:
    path = write(scan_file())
    command = [sys.executable, "-c", LOCKER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with open(path) as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        np.testing.assert_array_equal(open_nexus(path).counts, COUNTS)
        other.communicate("")


def test_a_read_only_directory_is_no_obstacle(write: Write) -> None:
    path = write(scan_file())
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        np.testing.assert_array_equal(open_nexus(path).counts, COUNTS)
    finally:
        path.parent.chmod(0o755)


# --- other sources ---------------------------------------------------------------------------------------------


def test_bytes_and_file_objects_open(write: Write) -> None:
    content = write(scan_file()).read_bytes()
    for source in (content, io.BytesIO(content)):
        np.testing.assert_array_equal(open_nexus(source).counts, COUNTS)
    with open("scan.nxs", "wb") as stream:
        stream.write(content)
    with open("scan.nxs", "rb") as stream:
        np.testing.assert_array_equal(open_nexus(stream).counts, COUNTS)


@pytest.mark.parametrize("url", ["memory://scans/scan.nxs", "simplecache::memory://scans/scan.nxs"])
def test_urls_open_and_travel(url: str, write: Write) -> None:
    fsspec.filesystem("memory").pipe("/scans/scan.nxs", write(scan_file()).read_bytes())
    dataset = open_nexus(url, chunks={})
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts, COUNTS)
    assert dataset.counts.encoding["source"] == url


def test_a_local_file_may_be_called_like_a_url(write: Write) -> None:
    assert open_nexus(write(scan_file(), name="a::b.nxs")).counts.shape == (3, 4)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")  # of fsspec's, which fails to close it
def test_storage_options_reach_the_file_system(write: Write) -> None:
    path = write(scan_file())
    options = {"target_protocol": "file"}
    opened = open_nexus(f"blockcache://{path}", storage_options=options)
    assert opened.counts.shape == (3, 4)
    del opened
    gc.collect()


@pytest.mark.parametrize("url", ["memory://nothing.nxs", "nosuch://bucket/scan.nxs"])
def test_a_url_that_leads_nowhere_says_so(url: str) -> None:
    with pytest.raises(NexusFileError, match=url):
        open_nexus(url)


def test_something_that_is_no_file_is_refused() -> None:
    with pytest.raises(NexusFileError, match="expected a path, a URL or an open binary file"):
        nexus_xr.open_signals(42)


def test_a_new_file_is_completed_once(tmp_path: Path) -> None:
    new = NewFile(tmp_path / "f.nxs")
    new.file["n"] = 1
    new.commit()
    for again in (new.commit, lambda: new.file):
        with pytest.raises(NexusFileError, match=r"f\.nxs: this has been done, or given up"):
            again()
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["n"][()] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["f.nxs"]


def test_files_that_travel_to_be_completed_are_known_only_until_they_are(tmp_path: Path) -> None:
    def complete() -> list[str]:
        return sorted(name for name in os.listdir(tmp_path) if not name.startswith("."))

    given_up = NewFile(tmp_path / "given_up.nxs")
    given_up.close()
    for number in range(5):
        file = NewFile(tmp_path / f"{number}.nxs")
        file.close()
        sent = [pickle.dumps(file) for _ in range(9)]
        known = weakref.ref(file)
        del file
        assert known() is not None
        assert len(complete()) == number
        pickle.loads(sent[0]).commit()
        pickle.dumps(given_up)
        assert known() is None
        assert complete() == [f"{each}.nxs" for each in range(number + 1)]
    pickle.loads(pickle.dumps(given_up)).abort()
    assert sorted(os.listdir(tmp_path)) == complete()


@pytest.mark.parametrize("strategy", ["fsm", "page"])
def test_a_copy_of_a_file_that_remembers_its_free_space_can_be_given_up(strategy: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w", fs_strategy=strategy, fs_persist=True) as file:
        file.update({str(number): np.arange(999) for number in range(99)})
    with h5py.File(tmp_path / "f.nxs", "r+") as file:
        for number in range(0, 99, 3):
            del file[str(number)]
    gc.collect()  # what other tests have left
    before = h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    begun = NewFile(tmp_path / "f.nxs", "a")
    begun.file["new"] = np.arange(99999.0)
    del begun.file["1"]
    begun.abort()
    assert os.listdir(tmp_path) == ["f.nxs"]
    assert h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE) == before


# --- errors hold nothing -----------------------------------------------------------------------------------------


def open_identifiers() -> int:
    """Of files and of what is in them; datatypes in memory belong to none."""
    return int(h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_ALL & ~h5py.h5f.OBJ_DATATYPE))


def linked(folder: Path) -> Path:
    """A master whose detector is in another file, with one chunk that is damaged and one reference."""
    with h5py.File(folder / "other.h5", "w") as file:
        file.create_dataset("counts", data=np.ones((64, 9, 9), "u2"), chunks=(1, 9, 9), compression="gzip")
        place = file["counts"].id.get_chunk_info(40)
        file["detector/counts"] = h5py.SoftLink("/counts")
        file["detector/refers"] = np.array([file["counts"].ref] * 3, dtype=h5py.ref_dtype)
        file["detector"].attrs.update(NX_class="NXdata", signal="counts")
    with open(folder / "other.h5", "r+b") as stream:
        stream.seek(place.byte_offset)
        stream.write(b"\xff" * place.size)
    with h5py.File(folder / "master.nxs", "w") as file:
        file["entry/data"] = h5py.ExternalLink("other.h5", "/detector")
        file["entry/gone"] = h5py.ExternalLink("gone.h5", "/detector")
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/name"] = "name"
    return folder / "master.nxs"


WAYS_TO_FAIL: dict[str, Callable[[Path], Any]] = {
    "no such path": lambda path: open_nexus(path, dataset_path="/entry/data/nothing"),
    "no such group": lambda path: open_nexus(path, group="/entry/nothing"),
    "what is missing": lambda path: open_nexus(path, missing="raise"),
    "a damaged chunk": lambda path: open_nexus(path, num_threads=4).counts.values,
    "a damaged chunk, in dask": lambda path: open_nexus(path, chunks={}).counts.values,
    "a dataset that went": lambda path: LazyArray(File(path), "/entry/data/nothing", (9,), np.dtype("u2"))[...],
    "a truncated file": lambda path: open_nexus(cut_short(path)),
    "a damaged file": lambda path: open_nexus(overwritten(path)),
    "no HDF5 file": lambda path: open_nexus(path.parent / "text.nxs"),
}


def cut_short(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-90])
    return path


def overwritten(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[:96] + b"\xff" * 400 + content[496:])
    return path


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("way", WAYS_TO_FAIL)
def test_an_error_keeps_nothing_open_even_if_it_is_kept_itself(way: str, tmp_path: Path) -> None:
    path = linked(tmp_path)
    (tmp_path / "text.nxs").write_text("no HDF5 file at all")
    before = open_identifiers()
    with pytest.raises(NexusError) as kept:
        WAYS_TO_FAIL[way](path)
    assert open_identifiers() == before
    del kept
    assert not gc.garbage


def test_errors_that_lead_to_one_another_let_go_of_all() -> None:
    class Held:
        pass

    def raised(error: Exception, held: weakref.WeakSet[Held]) -> Exception:
        local = Held()
        held.add(local)
        try:
            raise error
        except Exception as caught:
            return caught

    held: weakref.WeakSet[Held] = weakref.WeakSet()
    first, second, third = (raised(error, held) for error in (ValueError(), OSError(), KeyError()))
    first.__cause__, first.__context__, second.__cause__ = second, third, first
    assert len(held) == 3
    let_go(first)
    assert len(held) == 0


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
@pytest.mark.usefixtures("no_collector")
def test_what_was_opened_keeps_nothing_open(tmp_path: Path) -> None:
    path = linked(tmp_path)
    before = open_identifiers()
    dataset = open_nexus(path)
    assert len(dataset.attrs) == 4
    dataset.counts[3].load()
    assert [link.path for link in open_nexus(path, dataset_path="/entry/data/refers").refers.values] == ["/counts"] * 3
    assert open_identifiers() == before


# --- other systems -----------------------------------------------------------------------------------------------

WITH_LESS = """
import os, sys
for name in ("sched_getaffinity", "fork", "register_at_fork", "preadv", "pread", "memfd_create", "O_CLOEXEC"):
    delattr(os, name)
if hasattr(os, "process_cpu_count"):
    os.process_cpu_count = os.cpu_count  # as it is where there is no affinity

import dask.array as da, numpy as np, xarray as xr
import nexus_xr

def refuse(block):
    raise ZeroDivisionError

counts = np.arange(240_000).reshape(24, 100, 100)
whole = xr.DataArray(counts, dims=("n", "y", "x"), name="counts")
options = {"chunks": {"n": 1}, "compression": "gzip"}
nexus_xr.to_nexus(whole, "f.nxs", **options)
failing = da.from_array(counts, chunks=6).map_blocks(refuse, dtype=counts.dtype)
try:
    nexus_xr.to_nexus(whole.copy(data=failing), "f.nxs")
except ZeroDivisionError:
    print(os.listdir())
read = xr.open_dataset("f.nxs", engine="nexus", num_threads=4)["counts"]
print(np.array_equal(read, counts), nexus_xr.hdf5.runtime.cpus.available_cpus() >= 1)
"""


def test_a_system_that_offers_less_than_linux_will_do() -> None:
    assert run(WITH_LESS) == "['f.nxs']\nTrue True\n"


def test_a_system_without_locks_has_files_written_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    lock = Lock(str(tmp_path / "lock"))
    assert not lock.is_sure
    assert not is_open_for_writing(str(tmp_path / "lock"))
    lock.close()
    assert os.listdir(tmp_path) == []


def _be_alone(path: Path) -> None:
    with alone(str(path)):
        pass


def _begin_a_file(path: Path) -> None:
    NewFile(path).commit()


@needs_proc
@pytest.mark.parametrize("work", [_be_alone, _begin_a_file])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the stream that nobody got
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # where a generator is given up
def test_locks_are_given_back_wherever_an_interrupt_comes(tmp_path: Path, work: Callable[[Path], None]) -> None:
    path = tmp_path / "f.nxs"

    def interrupted_at(event: int) -> bool:
        found = is_interrupted(lambda: work(path), event, ("call", "c_return"))
        assert not [link for link in _links() if link.startswith(str(tmp_path))]
        work(path)
        assert set(os.listdir(tmp_path)) <= {path.name}
        return found

    came = [interrupted_at(event) for event in range(1, 800)]
    assert sum(came) > 20
    assert not came[-1]  # there are no more events
