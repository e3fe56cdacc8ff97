"""What is written piece by piece is read meanwhile, in other processes and elsewhere, and is complete at the end."""

from __future__ import annotations

import concurrent.futures
import fcntl
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import dask
import dask.array as da
import h5py
import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_xr import NexusError, NexusFileError, NexusWriter, to_nexus
from nexus_xr.arrays.uncertain import UncertainArray
from nexus_xr.cli.main import main
from nexus_xr.hdf5.io import locks
from nexus_xr.hdf5.io.superblock import CLEARS_FLAGS
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset

from .appended import FRAMES, assert_same, bins, named
from .appended import stack as stack_with_text
from .older_libraries import assert_older_libraries_read
from .opened import open_nexus
from .processes import Talker, run
from .waiting import PATIENCE_SECONDS


def stack(count: int = 12, start: int = 0) -> xr.Dataset:
    return stack_with_text(count, start).drop_vars("label")


# --- other processes -----------------------------------------------------------------------------------------------

READER = """
import sys
import h5py, hdf5plugin
import numpy as np
import xarray as xr

live = xr.open_dataset(sys.argv[1], engine="nexus")
file = h5py.File(sys.argv[1], "r", swmr=True)
print("ready", flush=True)
for line in sys.stdin:
    live = live.nexus.refresh()
    counts, monitor = file["entry1/counts/counts"], file["entry1/counts/monitor"]
    counts.refresh()
    monitor.refresh()
    assert counts.shape[0] == monitor.shape[0]
    assert np.array_equal(counts, live.counts)
    assert np.array_equal(monitor, live.monitor)
    print(live.sizes["frame"], int(live.counts.sum()), float(live.frame.sum()), float(live.monitor.sum()), flush=True)
"""


class Reader(Talker):
    """A process that tells what it sees of a file when it is asked."""

    def sees(self) -> tuple[int, int, float, float]:
        length, *sums = self.tell().split()
        return int(length), int(sums[0]), float(sums[1]), float(sums[2])


_Talker = TypeVar("_Talker", bound=Talker)


@contextmanager
def talking(kind: type[_Talker], code: str, path: Path) -> Iterator[_Talker]:
    """A process that has a file open, which is killed at the end."""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            talker = kind(process)
            assert talker.said() == "ready"
            yield talker
        finally:
            process.kill()


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("chunk", [1, 3])
def test_a_reader_sees_what_was_flushed(tmp_path: Path, compression: Any, chunk: int) -> None:
    path = tmp_path / "live.nxs"
    with (
        NexusWriter(path, stack(1), compression=compression, chunks={"frame": chunk}) as writer,
        talking(Reader, READER, path) as reader,
    ):
        for first, last in ((1, 2), (2, 3), (3, 8), (8, 8), (8, 12)):
            writer.append(stack(last - first, first))
            writer.flush()
            seen = stack(last)
            assert reader.sees() == (last, seen.counts.sum(), seen.frame.sum(), seen.monitor.sum())
        writer.close()
        assert reader.sees()[0] == 12
    assert_same(open_nexus(path), stack())


@pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")
@pytest.mark.parametrize("chunks", [None, {}, "auto", -1, 4, {"frame": 4}], ids=str)
def test_what_was_opened_empty_is_refreshed(tmp_path: Path, chunks: Any) -> None:
    with NexusWriter(tmp_path / "live.nxs", stack(0), chunks={"frame": 2}) as writer:
        live = xr.open_dataset(tmp_path / "live.nxs", engine="nexus", chunks=chunks)
        for obj in (live, live.counts, xr.open_datatree(tmp_path / "live.nxs", engine="nexus", chunks=chunks)):
            assert obj.nexus.refresh().identical(obj)
        writer.append(stack(3))
        writer.flush()
        live = live.nexus.refresh()
        assert_same(live, stack(3))
        assert (live.counts.chunks is None) == (chunks is None)
        writer.append(stack(9, 3))
        writer.flush()
        assert_same(live.nexus.refresh(), stack())


KILLED = """
import sys
import xarray as xr
from nexus_xr import NexusWriter

stack = xr.open_dataset(sys.argv[1], engine="nexus").load()
writer = NexusWriter(sys.argv[2], stack[{"frame": slice(0, 2)}], chunks={"frame": 4})
writer.append(stack[{"frame": slice(2, 7)}])
writer.flush()
writer.append(stack[{"frame": slice(7, 9)}])
print("written", flush=True)
sys.stdin.read()
"""


def test_a_file_is_not_replaced_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    with NexusWriter(path, stack(3)) as writer:
        for replace in (lambda: to_nexus(stack(2), path), lambda: NexusWriter(path, stack(2))):
            with pytest.raises(NexusFileError, match="is open for writing in this process; close it first"):
                replace()
        writer.append(stack(1, 3))
    assert_same(open_nexus(path), stack(4))
    to_nexus(stack(2), path)
    assert_same(open_nexus(path), stack(2))


WRITER = """
import sys
import xarray as xr
from nexus_xr import NexusWriter

stack = xr.open_dataset(sys.argv[1], engine="nexus").load()
writer = NexusWriter(sys.argv[1], stack[{"frame": slice(0, 2)}])
print("ready", flush=True)
for _ in sys.stdin:
    writer.append(stack[{"frame": slice(2, 4)}])
    writer.flush()
    print("written", flush=True)
"""


def test_what_another_process_still_writes_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    to_nexus(stack(4), path)
    with talking(Talker, WRITER, path) as writer:
        name = f"process {writer.process.pid} on "
        said = rf"f\.nxs: nothing was written, as {name}.* is writing it; wait until it is closed"
        for write in (
            lambda: NexusWriter(path, stack(1), mode="w"),
            lambda: to_nexus(stack(1), path),
            lambda: to_nexus(stack(1), path, mode="a"),
            lambda: to_nexus(stack(2, 4), path, append_dim="frame"),
            lambda: to_nexus(stack(1), path, region={"frame": slice(0, 1)}),
        ):
            with pytest.raises(NexusFileError, match=said):
                write()
        with pytest.raises(NexusFileError, match=rf"as {name}.* is writing it, or was when"):
            NexusWriter(path, stack(1))
        assert writer.tell() == "written"
    assert_same(open_nexus(path), stack(4))
    with pytest.raises(
        NexusFileError, match=r'as another process is writing it, or was when .* give mode="w" to replace'
    ):
        NexusWriter(path, stack(1))
    assert_same(open_nexus(path), stack(4))
    NexusWriter(path, stack(1), mode="w").close()
    assert_same(open_nexus(path), stack(1))
    NexusWriter(path, stack(2)).close()  # what is closed is replaced, as ever
    assert [each.name for each in tmp_path.iterdir()] == ["f.nxs"]


FORKING = """
import os, sys
import numpy as np
import xarray as xr
from nexus_xr import NexusWriter, to_nexus

os.chdir(sys.argv[1])
data = xr.DataArray(np.zeros((1, 2)), dims=("frame", "x"), name="counts")
job = to_nexus(data.chunk(), "later.nxs", compute=False)
writer = NexusWriter("f.nxs", data)
begun = sorted(os.listdir())
child = os.fork()
if not child:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(sorted(os.listdir()) == begun, ".f.nxs.writer" in begun)
writer.append(data)
writer.close()
job.compute()
print(sorted(os.listdir()), *(xr.load_dataset(name, engine="nexus").counts.shape for name in ("f.nxs", "later.nxs")))
"""


def test_a_forked_process_leaves_what_is_written_as_it_is_when_it_ends(tmp_path: Path) -> None:
    assert run(FORKING, str(tmp_path)) == "True True\n['f.nxs', 'later.nxs'] (2, 2) (1, 2)\n"


OUTLIVED = """
import os, sys
import xarray as xr
from nexus_xr import NexusWriter

writer = NexusWriter(sys.argv[1], xr.load_dataset(sys.argv[1], engine="nexus"))
if os.fork():
    print("ready", flush=True)
sys.stdin.read()
os._exit(0)
"""


def test_a_forked_process_holds_no_claim_of_who_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    to_nexus(stack(1), path)
    with talking(Talker, OUTLIVED, path) as writer:
        with pytest.raises(NexusFileError, match=f"as process {writer.process.pid} on .* is writing it"):
            NexusWriter(path, stack(2), mode="w")
        writer.process.kill()
        writer.process.wait()
        NexusWriter(path, stack(2), mode="w").close()
    assert_same(open_nexus(path), stack(2))


def test_a_writer_that_fails_to_begin_claims_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    to_nexus(stack(1), path)
    with pytest.raises(NexusFileError, match="is there already"):
        NexusWriter(path, stack(1), mode="x")
    assert [each.name for each in tmp_path.iterdir()] == ["f.nxs"]
    with pytest.raises(NexusFileError, match=r"as there is no folder .*none; make it"):
        NexusWriter(tmp_path / "none" / "f.nxs", stack(1))
    NexusWriter(path, stack(2)).close()
    assert_same(open_nexus(path), stack(2))


OPENED = """
import sys, h5py
file = h5py.File(sys.argv[1], {mode!r}, libver={libver!r})
if {swmr}:
    file.swmr_mode = True
print("ready", flush=True)
sys.stdin.read()
"""


WAYS: dict[str, dict[str, Any]] = {
    "append_dim": {"append_dim": "frame"},
    "region": {"region": {"frame": slice(0, 4)}},
    "a": {"mode": "a"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("mode", "swmr", "said"),
    [
        ("r+", False, r"f\.nxs: is open for writing still after 0 s; close it, and do it again"),
        ("r", False, r"f\.nxs: can't be written, as another process has it open for reading, .* locking=False"),
        ("r+", True, r"f\.nxs: nothing was written, as another process is writing it, or was .*nexus-xr repack"),
    ],
)
def test_who_has_a_file_open_is_told_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, mode: str, swmr: bool, said: str
) -> None:
    path = tmp_path / "f.nxs"
    if swmr:
        NexusWriter(path, stack(4)).close()
    else:
        to_nexus(stack(4), path, unlimited_dims="frame")
    monkeypatch.setattr(locks, "MOST_SECONDS", 0.05)
    with talking(Talker, OPENED.format(mode=mode, libver="latest" if swmr else "earliest", swmr=swmr), path):
        if (way, mode) == ("a", "r"):  # a copy takes its place
            to_nexus(stack(4), path, **WAYS[way])
            return
        with pytest.raises(NexusFileError, match=said):
            to_nexus(stack(4), path, **WAYS[way])
    assert_same(open_nexus(path), stack(4))


@pytest.mark.parametrize("way", WAYS)
def test_who_has_a_file_open_in_this_process_is_told(tmp_path: Path, way: str) -> None:
    path = tmp_path / "f.nxs"
    with NexusWriter(path, stack(4)), pytest.raises(NexusFileError, match="is open for writing in this process"):
        to_nexus(stack(4), path, **WAYS[way])
    if way != "a":
        with h5py.File(path), pytest.raises(NexusFileError, match="as this process has it open for reading; close it"):
            to_nexus(stack(4), path, **WAYS[way])
    assert_same(open_nexus(path), stack(4))


@pytest.mark.parametrize("way", WAYS)
def test_who_has_a_file_open_for_writing_is_waited_for(tmp_path: Path, way: str) -> None:
    path, is_told = tmp_path / "f.nxs", threading.Event()
    to_nexus(stack(4), path, unlimited_dims="frame")
    with (
        talking(Talker, OPENED.format(mode="r+", libver="earliest", swmr=False), path) as holder,
        pytest.MonkeyPatch.context() as patch,
        concurrent.futures.ThreadPoolExecutor(1) as pool,
    ):
        patch.setattr(locks, "_QUIET_SECONDS", 0.0)
        patch.setattr("nexus_xr.hdf5.io.locks.warnings.warn", lambda *_, **__: is_told.set())
        written = pool.submit(to_nexus, stack(4), path, **WAYS[way])
        assert is_told.wait(PATIENCE_SECONDS)
        assert not written.done()
        holder.process.kill()
        written.result(PATIENCE_SECONDS)


def test_a_file_is_not_replaced_while_another_process_has_locked_it(tmp_path: Path) -> None:
    path = tmp_path / "locked.nxs"
    to_nexus(stack(3), path)
    with open(path, "rb+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(NexusFileError, match="nothing was written, as another process is writing it"):
            to_nexus(stack(2), path)
        fcntl.flock(stream, fcntl.LOCK_SH)  # as readers do
        to_nexus(stack(2), path)
    assert_same(open_nexus(path), stack(2))


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_older_libraries_read_what_is_written_and_copies_of_it(tmp_path: Path, compression: Any) -> None:
    path, copy = tmp_path / "live.nxs", tmp_path / "copy.nxs"
    with NexusWriter(path, stack(2), compression=compression, chunks={"frame": 4}) as writer:
        writer.append(stack(7, 2))
    to_nexus(open_nexus(path), copy)
    to_nexus(open_nexus(path), tmp_path / "inplace.nxs", layout="inplace")
    for each in (path, copy, tmp_path / "inplace.nxs"):
        assert_older_libraries_read(each)
        assert_same(open_nexus(each), stack(9))


def test_small_axes_are_written_in_the_place_that_they_have(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    with NexusWriter(path, stack(0), compression="szip", chunks={"frame": 1}) as writer:
        for number in range(12):
            writer.append(stack(1, number))
            writer.flush()
    with h5py.File(path) as file:
        group = file["entry1/counts"]
        assert group["counts"].chunks[0] == 1
        assert (group["frame"].chunks, group["frame"]._filters) == ((1024,), {})
    assert_same(open_nexus(path), stack(12))


def kill_a_writer(path: Path) -> None:
    """Have a process flush seven frames into a file, and append two more, before it is killed."""
    source = path.with_name("source.nxs")
    to_nexus(stack(), source)
    command = [sys.executable, "-c", KILLED, str(source), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        process.kill()


def test_what_a_killed_writer_leaves_opens(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    kill_a_writer(path)
    found = open_nexus(path)
    np.testing.assert_array_equal(found.counts, FRAMES[:7])
    np.testing.assert_array_equal(found.monitor, stack(7).monitor)
    with pytest.raises(NexusFileError, match="another process is writing it, or was when that was killed"):
        to_nexus(stack(2, 7), path, append_dim="frame")
    to_nexus(found, tmp_path / "whole.nxs", unlimited_dims="frame")  # which is no longer marked
    to_nexus(stack(5, 7), tmp_path / "whole.nxs", append_dim="frame")
    np.testing.assert_array_equal(open_nexus(tmp_path / "whole.nxs").counts, FRAMES)
    to_nexus(stack(2), path)
    assert_same(open_nexus(path), stack(2))


@pytest.mark.parametrize("way", ["repack", "h5clear"])
def test_what_a_killed_writer_leaves_is_continued_as_the_error_says(tmp_path: Path, way: str) -> None:
    path, copy = tmp_path / "live.nxs", tmp_path / "whole.nxs"
    kill_a_writer(path)
    with pytest.raises(NexusFileError) as caught:
        to_nexus(stack(2, 7), path, append_dim="frame")
    first, second = re.findall("`(.*?)`", str(caught.value))
    assert first == "nexus-xr repack"
    assert second == CLEARS_FLAGS == "h5clear --status --increment=0"
    if way == "repack":
        assert CliRunner().invoke(main, [*first.split()[1:], str(path), str(copy)]).exit_code == 0
    elif shutil.which("h5clear") is None:
        pytest.skip("h5clear isn't installed")
    else:
        subprocess.run([*second.split(), path.rename(copy)], check=True)
    with h5py.File(copy) as file:
        np.testing.assert_array_equal(file["entry1/counts/counts"], FRAMES[:7])
    to_nexus(stack(5, 7), copy, append_dim="frame")
    np.testing.assert_array_equal(open_nexus(copy).counts, FRAMES)


# --- blocks --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.integers(0, 5),
    sizes=st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=6),
    chunk=st.integers(1, 5),
    compression=st.sampled_from([None, "lzf", "gzip"]),
    axis=st.integers(0, 2),
)
def test_any_blocks_make_the_stack_that_they_are_of(
    tmp_path: Path, first: int, sizes: list[tuple[int, bool]], chunk: int, compression: Any, axis: int
) -> None:
    count = first + sum(size for size, _ in sizes)
    values = np.random.default_rng(count).integers(0, 4, (count, 3, 4), "i4")
    dims = ["y", "x"]
    dims.insert(axis, "frame")
    whole = xr.Dataset(
        {"n": (dims, np.moveaxis(values, 0, axis))},
        coords={"frame": ("frame", np.arange(count) / 3), "when": ("frame", np.arange(count).view("m8[s]"))},
    )
    path = tmp_path / "f.nxs"
    options: Any = {"chunks": {"frame": chunk, "y": 2}, "compression": compression, "append_dim": "frame"}
    at = first
    with NexusWriter(path, whole.isel(frame=slice(0, first)), **options) as writer:
        for size, flushes in sizes:
            block = whole.isel(frame=slice(at, at + size)).copy(deep=True)
            writer.append(block.isel(frame=0) if size == 1 else block)
            block.n[...] = -1  # it is the writer's no more
            at += size
            if flushes:
                writer.flush()
                with h5py.File(path, "r", swmr=True) as file:
                    assert file["entry1/n/n"].shape[axis] == len(file["entry1/n/frame"]) == at
        assert len(writer) == count
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["entry1/n/n"], whole.n)
        np.testing.assert_array_equal(file["entry1/n/frame"], whole.frame)
    if count:
        assert_same(open_nexus(path), whole)


@pytest.mark.parametrize("form", ["numpy", "dask", "list", "array", "nameless"])
def test_values_of_the_signal_are_enough_where_nothing_else_grows(tmp_path: Path, form: str) -> None:
    template = xr.DataArray(FRAMES[:0], dims=("frame", "y", "x"), coords={"x": np.arange(8)}, name="counts")
    made = {
        "numpy": lambda values: values,
        "dask": lambda values: da.from_array(values, chunks=2),
        "list": lambda values: values.astype("u1").tolist() if values.ndim == 4 else values,
        "array": lambda values: xr.DataArray(values, dims=("frame", "y", "x")[-values.ndim :], name="counts"),
        "nameless": lambda values: xr.DataArray(values, dims=("frame", "y", "x")[-values.ndim :]),
    }[form]
    with NexusWriter(tmp_path / "f.nxs", template, mode="x", chunks={"frame": 5}) as writer:
        for part in (FRAMES[0], FRAMES[1:9], FRAMES[9:]):
            writer.append(made(part))
    np.testing.assert_array_equal(open_nexus(tmp_path / "f.nxs").counts, FRAMES)
    with pytest.raises(NexusFileError, match="is there already"):
        NexusWriter(tmp_path / "f.nxs", template, mode="x")


@pytest.mark.parametrize("as_dataset", [False, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_uncertainties_that_are_joined_grow_with_their_values(as_dataset: bool, lazy: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.nxs"
    plain = xr.DataArray(np.arange(1, 13.0).reshape(4, 3), dims=("t", "x"), name="n")
    joined = plain.nexus.with_uncertainties(np.sqrt(plain))
    given = joined.chunk(t=1) if lazy else joined
    blocks = given.to_dataset() if as_dataset else given
    with NexusWriter(path, blocks.isel(t=slice(1)), "t") as writer:
        writer.append(blocks.isel(t=1))
        writer.append(blocks.isel(t=slice(2, None)))
    opened = xr.open_dataset(path, engine="nexus")
    np.testing.assert_array_equal(opened.n, plain)
    np.testing.assert_allclose(opened.n_errors, np.sqrt(plain))


def test_edges_of_bins_grow(tmp_path: Path) -> None:
    with NexusWriter(tmp_path / "f.nxs", bins(0, 1, 2)) as writer:
        writer.append(bins(2, 4, 8))
        with pytest.raises(NexusError, match=r"the bins begin at .*those of the file end at"):
            writer.append(bins(9, 10))
        writer.append(bins(8, 10))
    assert open_nexus(tmp_path / "f.nxs").counts.nexus.edges("tof").tolist() == [0, 1, 2, 4, 8, 10]


def test_text_of_a_length_grows_as_far_as_it_fits(tmp_path: Path) -> None:
    with NexusWriter(tmp_path / "f.nxs", named(b"iron", b"lead")) as writer:
        writer.append(named(b"tin"))
        with pytest.raises(NexusError, match=r"name: nothing was written, as there is text that .* doesn't hold"):
            writer.append(named(b"copper"))
        writer.append(named(b"gold"))
    assert open_nexus(tmp_path / "f.nxs").name.values.tolist() == ["iron", "lead", "tin", "gold"]


# --- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (FRAMES, "'counts_errors', 'monitor', 'frame', 'when' of the file would stay shorter|would stay shorter"),
        (FRAMES[0, 0], r"a block of shape \(8,\) isn't of \('frame', 'y', 'x'\)"),
        (stack(2).drop_vars("monitor"), "'monitor' of the file would stay shorter along 'frame'"),
        (stack(2).assign(other=stack(2).counts), "there is no 'other' in the file, only "),
        (stack(2).isel(x=slice(3)), "/counts: .* its shape is"),
        (stack(2).assign_coords(x=stack(2).x + 1), "/x: .* it hasn't the values of 'x', which spans no 'frame'"),
        (stack(2).assign(counts=stack(2).counts.astype(float)), "/counts: .* doesn't hold all of float64; use astype"),
        (stack(2).rename(frame="scan"), "there is no 'scan' in the file|has dimensions"),
        (stack(2)[["mask"]], "there is nothing in it that spans 'frame'"),
        (stack(2)[[]], "expected a DataArray, or a Dataset with a variable"),
        (xr.DataTree(stack(2)), "nothing was written, as a block is no array"),
    ],
)
def test_a_block_that_does_not_fit_is_refused(tmp_path: Path, block: Any, said: str) -> None:
    with NexusWriter(tmp_path / "f.nxs", stack(2)) as writer:
        with pytest.raises(NexusError, match=said):
            writer.append(block)
        assert len(writer) == 2
        writer.append(stack(10, 2))
    assert_same(open_nexus(tmp_path / "f.nxs"), stack())


@pytest.mark.parametrize(
    ("template", "options", "said"),
    [
        (stack_with_text(2), {}, "'label': text of any length can't be added .* astype"),
        (stack(2), {"append_dim": "scan"}, "append_dim='scan': the template has no such dimension; there are 'frame'"),
        (xr.DataArray(1.0), {}, "append_dim='': the template has no such dimension; there are none"),
        ([stack(2)], {}, "expected a DataArray, or a Dataset with a variable, found list"),
        (stack(2), {"mode": "a"}, 'expected mode="w" or "x"'),
        (stack(2), {"compression": "zip"}, "compression='zip'"),
        (stack(2), {"encoding": {"n": {}}}, "there is no variable 'n'"),
        (stack(2).assign(bad=("frame", [1j, object()])), {}, "text of any length|can't be stored"),
        (stack(2).assign_coords(bad=("frame", UncertainArray(np.ones(2), np.ones(2)))), {}, "/bad: .* can't be stored"),
    ],
)
def test_a_template_that_can_not_grow_is_refused(tmp_path: Path, template: Any, options: Any, said: str) -> None:
    with pytest.raises(NexusError, match=said):
        NexusWriter(tmp_path / "f.nxs", template, **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_option_or_no_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="NexusWriter has no option 'layout'; there are: mode, "):
        NexusWriter(tmp_path / "f.nxs", stack(2), layout="entry")
    with pytest.raises(NexusError, match="only a file of this machine is written piece by piece"):
        NexusWriter("memory://f.nxs", stack(2))
    with (
        dask.config.set(scheduler="processes"),
        pytest.raises(NexusError, match="only dask's own threads in this process"),
    ):
        NexusWriter(tmp_path / "f.nxs", stack(2).chunk())


def test_a_closed_writer_says_so(tmp_path: Path) -> None:
    writer = NexusWriter(tmp_path / "f.nxs", stack(2))
    assert repr(writer) == f"<NexusWriter of {tmp_path / 'f.nxs'}, 2 along 'frame', open>"
    writer.append(stack(10, 2))
    writer.close()
    writer.close()
    assert repr(writer).endswith("12 along 'frame', closed>")
    for use in (writer.flush, lambda: writer.append(stack(1))):
        with pytest.raises(
            NexusError, match=r"the writer is closed; append to the file with to_nexus.* has 12 along 'frame'"
        ):
            use()
    assert_same(open_nexus(tmp_path / "f.nxs"), stack())
    to_nexus(stack(3), tmp_path / "f.nxs", append_dim="frame")
    assert open_nexus(tmp_path / "f.nxs").sizes["frame"] == 15


def test_what_was_appended_is_there_when_the_block_ends_by_an_error(tmp_path: Path) -> None:
    def write() -> None:
        with NexusWriter(tmp_path / "f.nxs", stack(2)) as writer:
            writer.append(stack(5, 2))
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write()
    assert_same(open_nexus(tmp_path / "f.nxs"), stack(7))


def test_what_was_written_before_a_disk_was_full_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise NexusFileError("No space left on device")

    def write() -> None:
        with NexusWriter(tmp_path / "f.nxs", stack(2)) as writer:
            writer.append(stack(5, 2))
            writer.flush()
            monkeypatch.setattr(WrittenDataset, "write", full)
            writer.append(stack(5, 7))
            writer.flush()

    with pytest.raises(NexusFileError, match="No space"):
        write()
    monkeypatch.undo()
    assert_same(open_nexus(tmp_path / "f.nxs"), stack(7))


VALUES = np.random.default_rng(0).integers(0, 2**16, (200, 64), "u2")


def part(first: int, last: int) -> xr.Dataset:
    frames = np.arange(first, last)
    return xr.Dataset({"n": (("t", "x"), VALUES[first:last]), "m": ("t", 2 * frames)}, {"t": frames / 2})


@pytest.mark.parametrize("flushes", [True, False])
@pytest.mark.parametrize("stored", [1, 8, 17])
@pytest.mark.parametrize(
    ("size", "chunk", "compression"),
    [(4, 1, None), (2, 3, None), (1, 5, "gzip"), (3, 7, "lzf"), (30, 1, None), (13, 4, "gzip"), (1, 1, "gzip")],
)
def test_a_disk_that_gets_full_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, chunk: int, compression: Any, stored: int, flushes: bool
) -> None:
    room, store, path = iter(range(stored)), WrittenDataset._store, tmp_path / "f.nxs"

    def full(target: WrittenDataset, *arguments: Any, **options: Any) -> None:
        if target.shape[1:] and next(room, None) is None:
            raise NexusFileError(f"{target.where}: can't be written (No space left on device)")
        store(target, *arguments, **options)

    monkeypatch.setattr(WrittenDataset, "_store", full)
    writer = NexusWriter(path, part(0, 0), chunks={"t": chunk}, compression=compression)
    appended = flushed = 0

    def write() -> None:
        nonlocal appended, flushed
        while True:
            writer.append(part(appended, appended + size))
            appended += size
            if flushes:
                writer.flush()
                flushed = appended

    with pytest.raises(NexusFileError, match=r"/entry1/n/n: can't be written \(No space"):
        write()
    assert flushed <= len(writer) <= appended
    with pytest.raises(NexusError, match=f"the writer is closed; .* which has {len(writer)} along 't'"):
        writer.append(part(0, size))
    writer.close()
    monkeypatch.undo()
    with h5py.File(path) as file:
        assert {len(file["entry1/n"][name]) for name in "nmt"} == {len(writer)}
    to_nexus(part(len(writer), len(writer) + 3), path, append_dim="t")
    np.testing.assert_array_equal(open_nexus(path).n, VALUES[: len(writer) + 3])
    np.testing.assert_array_equal(open_nexus(path).m, 2 * np.arange(len(writer) + 3))


LIMITED = """
import resource, sys
import numpy as np, xarray as xr, nexus_xr

ones = xr.DataArray(np.ones((4, 4096)), dims=("t", "x"), name="n", coords={"t": np.arange(4)})
writer = nexus_xr.NexusWriter(sys.argv[1], ones, chunks={"t": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    while True:
        writer.append(ones)
        writer.flush()
except nexus_xr.NexusFileError as error:
    print(len(writer), error)
"""


def test_a_file_that_can_not_be_closed_opens_with_what_was_flushed(tmp_path: Path) -> None:
    length, said = run(LIMITED, tmp_path / "f.nxs").split(" ", 1)
    assert "can't be written (File too large)" in said
    found = open_nexus(tmp_path / "f.nxs")
    assert found.sizes["t"] == int(length) > 4
    assert (found.n == 1).all()
    np.testing.assert_array_equal(found.t, np.arange(int(length)) % 4)


@pytest.mark.parametrize("at", ["flush", "close"])
@pytest.mark.parametrize("is_kept", [True, False])
def test_who_writes_is_told_that_the_file_is_elsewhere(tmp_path: Path, at: str, is_kept: bool) -> None:
    path, moved = tmp_path / "f.nxs", tmp_path / "moved.nxs"
    to_nexus(stack(1), tmp_path / "other.nxs")
    writer = NexusWriter(path, stack(2))
    writer.append(stack(3, 2))
    writer.flush()
    if is_kept:
        path.rename(moved)
        said = "f.nxs: was moved while it was written; all that was appended is in it"
    else:
        (tmp_path / "other.nxs").rename(path)
        said = "f.nxs: was replaced or removed while it was written, and all that was appended is lost"
    writer.append(stack(7, 5))
    with pytest.raises(NexusFileError, match=said):
        getattr(writer, at)()
    assert repr(writer).endswith("open>" if at == "flush" else "closed>")
    if at == "flush":
        with pytest.raises(NexusFileError, match=said):
            writer.close()
    writer.close()
    if is_kept:
        assert_same(open_nexus(moved), stack())
    else:
        assert_same(open_nexus(path), stack(1))


def test_who_writes_reads_as_well(tmp_path: Path) -> None:
    with NexusWriter(tmp_path / "f.nxs", stack(2)) as writer:
        writer.append(stack(3, 2))
        writer.flush()
        np.testing.assert_array_equal(open_nexus(tmp_path / "f.nxs").counts, FRAMES[:5])
        writer.append(stack(7, 5))
    assert_same(open_nexus(tmp_path / "f.nxs"), stack())


def test_a_file_that_can_not_be_written_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **_: Any) -> None:
        if isinstance(arguments[0], h5py.File):
            arguments[0].close()
        raise OSError("error message = 'Input/output error'")

    writer = NexusWriter(tmp_path / "f.nxs", stack(2))
    monkeypatch.setattr("nexus_xr.writing.writer.close_file", broken)
    with pytest.raises(NexusFileError, match=r"f\.nxs: can't be written \(Input/output error\)"):
        writer.close()
    monkeypatch.setattr("nexus_xr.hdf5.writing.writable_file.open_file", broken)
    with pytest.raises(NexusFileError, match=r"g\.nxs: can't be written \(Input/output error\)"):
        NexusWriter(tmp_path / "g.nxs", stack(2))


@pytest.mark.parametrize("change", [lambda block: block + 0.5, lambda block: np.ma.masked_equal(block, 1)])
def test_blocks_that_are_not_what_dask_says_are_not_written(change: Any, tmp_path: Path) -> None:
    values = da.arange(4, chunks=2).map_blocks(change, dtype="i8", meta=np.empty(0, "i8"))
    template = xr.DataArray(np.empty(0, "i8"), dims="x", name="n")
    with NexusWriter(tmp_path / "f.nxs", template) as writer:
        with pytest.raises(
            NexusError, match=r"n: what dask gives for \[(0:2|2:4)\] (is of float64|has masked elements)"
        ):
            writer.append(values)
        writer.append([1])
        assert len(writer) == 1
