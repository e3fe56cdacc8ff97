"""Files that another process is writing open at their present length, and are refreshed while they grow."""

from __future__ import annotations

import io
import json
import pickle
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5s
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusError, NexusFileError, NexusPathError, NexusWarning
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusFileChangedError
from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.chunk_indexes.chunk_records import ChunkRecords
from nexus_xr.hdf5.format.chunk_indexes.chunked_dataset import ChunkedDataset, read_chunks
from nexus_xr.hdf5.format.consistency import MOST_SECONDS
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.superblock import read_superblock
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import BytesSource, GrowingSource
from nexus_xr.hdf5.io.superblock import birth_of
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.parsed import parsed_file
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts import index_building as index

from .files import Write, nxdata, nxentry, scan_file, write_tree
from .opened import open_nexus
from .processes import Talker
from .stacks import chunked
from .waiting import PATIENCE_SECONDS

FRAME = (6, 8)


def frame(number: int) -> Any:
    """What the writer stores as a frame."""
    return np.random.default_rng(number).integers(0, 1000, FRAME).astype("u2")


def time_of(number: int) -> float:
    return 0.5 * number


WRITER = """
import sys
import h5py, hdf5plugin, numpy as np

FILTERS = {"none": {}, "gzip": {"compression": "gzip"}, "bitshuffle": hdf5plugin.Bitshuffle()}
path, filters, length, start = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
file = h5py.File(path, "w", libver="latest")
file.attrs["default"] = "entry"
entry = file.create_group("entry")
entry.attrs.update(NX_class="NXentry", default="data")
entry["title"] = "live"
data = entry.create_group("data")
data.attrs.update(NX_class="NXdata", signal="counts", axes=["time", ".", "."])
stored = {"maxshape": (None, 6, 8), "chunks": (length, 6, 8)} | dict(FILTERS[filters])
counts = data.create_dataset("counts", (0, 6, 8), "u2", **stored)
counts.attrs["units"] = "counts"
time = data.create_dataset("time", (0,), "f8", maxshape=(None,), chunks=(64,))
time.attrs["units"] = "s"

def add(first, stop):
    frames = [np.random.default_rng(n).integers(0, 1000, (6, 8)).astype("u2") for n in range(first, stop)]
    counts.resize(stop, axis=0)
    counts[first:stop] = frames
    counts.flush()
    if "counts first" in sys.argv:
        print("counts", flush=True)
        sys.stdin.readline()
    time.resize(stop, axis=0)
    time[first:stop] = 0.5 * np.arange(first, stop)
    time.flush()

file.swmr_mode = True
at = start
add(0, at)
print(at, flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    add(at, at + int(line))
    at += int(line)
    print(at, flush=True)
file.close()
print("closed", flush=True)
"""


class Writer(Talker):
    """A process that adds frames to a file as it is told."""

    def add(self, count: int) -> int:
        """Have frames added; gives how many there are."""
        return int(self.tell(str(count)))


@contextmanager
def writing(path: Path, filters: str = "none", length: int = 1, start: int = 3, *options: str) -> Iterator[Writer]:
    """A file that is being written while the block runs."""
    command = [sys.executable, "-c", WRITER, str(path), filters, str(length), str(start), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        writer = Writer(process)
        try:
            if not options:
                assert writer.said() == str(start)
            yield writer
        finally:
            process.kill()


def assert_frames(dataset: xr.Dataset, count: int) -> None:
    assert dataset.counts.shape == (count, *FRAME)
    np.testing.assert_array_equal(dataset.counts, np.array([frame(n) for n in range(count)]).reshape(-1, *FRAME))
    np.testing.assert_array_equal(dataset.time, 0.5 * np.arange(count))
    assert dataset.time.attrs == {"units": "s"}


@pytest.fixture
def without_libhdf5(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where libhdf5 opens a file."""
    monkeypatch.setattr(File, "_open_handle", lambda file: pytest.fail(f"libhdf5 was asked about {file.name}"))


# --- a stack that is being written -----------------------------------------------------------------------------


@pytest.mark.usefixtures("without_libhdf5")
@pytest.mark.parametrize("filters", ["none", "gzip", "bitshuffle"])
@pytest.mark.parametrize("length", [1, 4])
def test_every_frame_is_right_while_hundreds_are_written(filters: str, length: int, tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs", filters, length) as writer:
        live = open_nexus(tmp_path / "live.nxs")
        first = live
        assert_frames(live, count := 3)
        for step in range(60):
            count = writer.add(1 + step * 7 % 11)
            live = live.nexus.refresh()
            if step % 6 == 0:
                assert_frames(live, count)
            else:
                np.testing.assert_array_equal(live.counts[-3:], [frame(n) for n in range(count - 3, count)])
        assert count > 300
        assert_frames(live, count)
        assert_frames(first, 3)
        assert writer.tell("end") == "closed"
        assert_frames(live, count)
        assert_frames(live.nexus.refresh(), count)
    assert_frames(open_nexus(tmp_path / "live.nxs"), count)


@pytest.mark.usefixtures("without_libhdf5")
def test_a_reader_that_never_waits_sees_whole_frames(tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs", "gzip", 4, 1) as writer:
        live = open_nexus(tmp_path / "live.nxs")
        seen = set()
        for step in range(40):
            if step % 4 == 0:
                assert writer.process.stdin is not None
                print(9, file=writer.process.stdin, flush=True)
            live = live.nexus.refresh()
            seen.add(len(live.time))
            assert_frames(live, len(live.time))
        assert len(seen) > 2


@pytest.mark.usefixtures("without_libhdf5")
def test_a_length_is_what_signal_and_axes_have_in_common(tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs", "none", 1, 3, "counts first") as writer:
        assert writer.said() == "counts"
        assert_frames(live := open_nexus(tmp_path / "live.nxs"), 0)
        assert writer.tell() == "3"
        assert_frames(live := live.nexus.refresh(), 3)
        assert writer.tell("2") == "counts"
        assert_frames(live := live.nexus.refresh(), 3)
        assert live.counts.dims == ("time", "dim_1", "dim_2")
        assert writer.tell() == "5"
        assert_frames(live.nexus.refresh(), 5)


@pytest.mark.usefixtures("without_libhdf5")
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("linked", ["fields", "group"])
def test_what_grows_behind_links_is_refreshed(linked: str, tmp_path: Path) -> None:
    there = {name: h5py.ExternalLink("live.nxs", f"/entry/data/{name}") for name in ("counts", "time")}
    data = nxdata(there, signal="counts", axes=["time", ".", "."])
    members = {"data": data if linked == "fields" else h5py.ExternalLink("live.nxs", "/entry/data")}
    write_tree(tmp_path / "master.nxs", {"entry": nxentry(members)})
    with writing(tmp_path / "live.nxs", "gzip", 1, 3, "counts first") as writer:
        assert writer.said() == "counts"
        assert writer.tell() == "3"
        assert_frames(live := open_nexus(tmp_path / "master.nxs", chunks={}), 3)
        assert live.counts.encoding["source"] == str(tmp_path / "live.nxs")
        assert writer.tell("40") == "counts"
        assert_frames(live.nexus.refresh(), 3)
        assert writer.tell() == "43"
        assert_frames(live, 3)
        assert_frames(live := live.nexus.refresh(), 43)
    assert_frames(live, 43)


def write_virtual(path: Path, **maxshapes: tuple[int | None, ...]) -> None:
    """A file whose fields are as long as those of a file that is being written."""
    with h5py.File(path, "w") as file:
        for name, maxshape in maxshapes.items():
            shape = (1, *maxshape[1:])
            layout = h5py.VirtualLayout(shape, "u2" if len(shape) > 1 else "f8", maxshape)
            source = h5py.VirtualSource("live.nxs", f"entry/data/{name}", shape, layout.dtype, maxshape)
            layout[: h5s.UNLIMITED] = source[: h5s.UNLIMITED]
            field = file.create_virtual_dataset(f"entry/data/{name}", layout)
            field.attrs["units"] = "counts" if name == "counts" else "s"
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/data"].attrs.update(NX_class="NXdata", signal="counts", axes=["time", ".", "."])


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("linked", [False, True])
def test_what_virtual_datasets_show_of_a_growing_file_is_refreshed(linked: bool, limited: bool, tmp_path: Path) -> None:
    path = tmp_path / "master.nxs"
    options: dict[str, Any] = {"within": tmp_path} if limited else {}
    with writing(tmp_path / "live.nxs", "gzip") as writer:
        write_virtual(path, counts=(None, *FRAME), time=(None,))
        if linked:
            path = tmp_path / "above.nxs"
            write_tree(path, {"entry": h5py.ExternalLink("master.nxs", "/entry")})
        assert_frames(live := open_nexus(path, chunks={}, **options), 3)
        assert nexus_xr.list_datasets(path, **options)[0] == ["/entry/data"]
        writer.add(40)
        assert_frames(pickle.loads(pickle.dumps(live)), 3)
        assert_frames(live := live.nexus.refresh(), 43)
        assert_frames(nexus_xr.open_signals(path, **options)[0].to_dataset(name="counts"), 43)
        assert_frames(xr.open_datatree(path, engine="nexus", **options)["entry/data"].to_dataset(), 43)
        assert writer.tell("end") == "closed"
    assert_frames(live, 43)
    assert_frames(open_nexus(path, **options), 43)


@pytest.mark.usefixtures("without_libhdf5")
def test_frames_to_come_of_a_virtual_dataset_are_fill_values(tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs") as writer:
        with h5py.File(tmp_path / "master.nxs", "w") as file:
            layout = h5py.VirtualLayout((9, *FRAME), "u2")
            layout[:] = h5py.VirtualSource("live.nxs", "entry/data/counts", (9, *FRAME), "u2")[:]
            file.create_virtual_dataset("entry/data/counts", layout, fillvalue=7)
            file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
        live = open_nexus(tmp_path / "master.nxs")
        for count in (3, 5):
            expected = [frame(n) if n < count else np.full(FRAME, 7) for n in range(9)]
            np.testing.assert_array_equal(live.counts, expected)
            with pytest.raises(NexusFileError, match=r"is of shape .*, less than what is made of it"):
                open_nexus(tmp_path / "master.nxs", missing="raise").counts.load()
            writer.add(2)
            live = live.nexus.refresh()


@pytest.mark.usefixtures("without_libhdf5")
def test_arrays_of_before_are_read_as_if_nothing_had_been_added(tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs", "gzip", 4) as writer:
        before = open_nexus(tmp_path / "live.nxs", chunks={})
        travelled = pickle.loads(pickle.dumps(before))
        count = writer.add(30)
        assert_frames(before, 3)
        assert_frames(before.nexus.refresh(), count)
        assert_frames(before, 3)
        assert_frames(travelled, 3)
        writer.tell("end")
        assert_frames(travelled, 3)
        assert_frames(travelled.nexus.refresh(), count)


def torn(path: Path, before: int, after: int) -> tuple[bytes, bytes]:
    """A file while it is written, with so many frames and later with more, whose chunks were written first."""
    with h5py.File(path, "w", libver="latest") as file:
        data = file.create_dataset("counts", (0, *FRAME), "u2", maxshape=(None, *FRAME), chunks=(1, *FRAME))
        file["title"] = "live"
        file.swmr_mode = True
        states = []
        for stop in (before, after):
            begin = data.shape[0]
            data.resize(stop, axis=0)
            data[begin:stop] = [frame(number) for number in range(begin, stop)]
            file.flush()
            states.append(bytearray(path.read_bytes()))
        earlier, later = states
        earlier += bytes(len(later) - len(earlier))
        for number in range(after):
            chunk = data.id.get_chunk_info(number)
            extent = slice(chunk.byte_offset, chunk.byte_offset + chunk.size)
            earlier[extent] = later[extent]
    path.write_bytes(later)
    return bytes(earlier), bytes(later)


def _places(content: bytes, signature: bytes) -> list[int]:
    return [found.start() for found in re.finditer(signature, content)]


class TornSource:
    """Reads of a file that is written meanwhile, piece by piece; after so many, it is.

    As libhdf5 has it of such files, headers are written when what they lead to is, and say how much there is.
    """

    def __init__(self, states: tuple[bytes, bytes], seed: int, reads: int) -> None:
        self._states = states
        self._random = random.Random(seed)
        self._torn = reads
        self._written: set[int] = set()
        headers = [range(at // 64, (at + 512) // 64) for at in _places(states[1], b"OHDR")]
        self._of_headers = {piece for pieces in headers for piece in pieces}
        self._others = {piece for piece in range(-(-len(states[1]) // 64)) if piece not in self._of_headers}

    def read_into(self, view: memoryview, offset: int) -> int:
        self._torn -= 1
        size = max(0, min(len(view), len(self._states[1]) - offset))
        for piece in range(offset // 64, -(-(offset + size) // 64)):
            if self._torn < 0 or self._random.random() < 0.5:
                self._written |= {piece} | (self._others if piece in self._of_headers else set())
            begin, end = max(offset, 64 * piece), min(offset + size, 64 * piece + 64)
            view[begin - offset : end - offset] = self._states[piece in self._written][begin:end]
        return size


@given(before=st.integers(1, 20), more=st.integers(1, 40), seed=st.integers(0), reads=st.integers(1, 8))
@example(before=4, more=22, seed=1, reads=6)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@pytest.mark.usefixtures("without_libhdf5")
def test_what_is_written_meanwhile_is_read_until_it_agrees(
    before: int, more: int, seed: int, reads: int, tmp_path: Path
) -> None:
    source = TornSource(torn(tmp_path / "live.h5", before, before + more), seed, reads)
    diagnostics = Diagnostics()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GrowingSource, "read_into", lambda _, view, offset: source.read_into(view, offset))
        patch.setattr(parsed_file, "MOST_SECONDS", PATIENCE_SECONDS)  # as the machine may have other work
        file = File(tmp_path / "live.h5")
        with described(file, diagnostics) as root:
            counts = root.find("counts")
            assert isinstance(counts, Dataset)
            assert counts.is_being_written
            array = LazyArray.of(counts, file)
        values = array[...]
    assert len(values) in (before, before + more)
    np.testing.assert_array_equal(values, [frame(number) for number in range(len(values))])
    assert not list(diagnostics)


@pytest.mark.usefixtures("without_libhdf5")
def test_what_never_agrees_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, content = torn(tmp_path / "live.h5", 2, 3)
    at = content.index(b"OHDR", content.index(b"OHDR") + 4)
    (tmp_path / "live.h5").write_bytes(content[: at + 8] + b"\xff" + content[at + 9 :])
    monkeypatch.setattr(parsed_file, "MOST_SECONDS", 0.05)
    with pytest.warns(NexusWarning, match="can't be opened \\(an object header"):
        nexus_xr.read_metadata(tmp_path / "live.h5")


@pytest.mark.usefixtures("without_libhdf5")
def test_what_is_damaged_is_waited_for_once_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def wait(read: Callable[[], Any], seconds: float) -> Any:
        waited.append(seconds)
        return read()

    monkeypatch.setattr(parsed_file, "consistent", wait)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0 * len(waited))
    with h5py.File(tmp_path / "live.h5", "w", libver="latest") as file:
        for number in range(5):
            file[f"field_{number}"] = number
        file.swmr_mode = True
        content = (tmp_path / "live.h5").read_bytes()
    _, *fields = _places(content, b"OHDR")
    for at in fields:
        content = content[: at + 8] + b"\xff" + content[at + 9 :]
    (tmp_path / "live.h5").write_bytes(content)
    with pytest.warns(NexusWarning):
        assert nexus_xr.read_metadata(tmp_path / "live.h5") == {}
    assert waited == [MOST_SECONDS]


SCALED_WRITER = """
import sys, h5py
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    counts = file.create_dataset("counts", (50,), "i4", maxshape=(None,), chunks=(10,), scaleoffset=0)
    counts[:] = range(50)
    file.swmr_mode = True
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.mark.usefixtures("without_libhdf5")
def test_what_only_libhdf5_decodes_is_read_beside_its_writer(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCALED_WRITER, str(tmp_path / "live.h5")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        (signal,) = nexus_xr.open_signals(tmp_path / "live.h5")
        np.testing.assert_array_equal(signal, range(50))


@pytest.mark.usefixtures("without_libhdf5")
def test_who_lets_nobody_read_is_told_of_without_libhdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "live.h5", "w", libver="latest") as file:
        file["title"] = "busy"
        file.flush()
        content = (tmp_path / "live.h5").read_bytes()
    (tmp_path / "copy.h5").write_bytes(content)
    said = r"copy.h5: the HDF5 file is marked as being written .*`h5clear --status --increment=0`"
    with pytest.raises(NexusFileError, match=said):
        nexus_xr.read_metadata(tmp_path / "copy.h5")
    with pytest.raises(OSError, match="already open for write"):
        h5py.File(tmp_path / "copy.h5")


@pytest.mark.usefixtures("without_libhdf5")
def test_a_copy_of_a_file_that_was_being_written_opens(tmp_path: Path) -> None:
    _, content = torn(tmp_path / "live.h5", 2, 3)
    (signal,) = nexus_xr.open_signals(io.BytesIO(content))
    np.testing.assert_array_equal(signal, [frame(number) for number in range(3)])


@pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")
def test_objects_of_every_kind_stay_of_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    with writing(path) as writer:
        dataset = open_nexus(path)
        in_chunks = open_nexus(path, chunks={})
        in_own_chunks = open_nexus(path, chunks={"time": 2})
        [signal] = nexus_xr.open_signals(path, chunks={}, nxdata_only=True)
        groups = xr.open_datatree(path, engine="nexus", chunks={"time": 1})
        count = writer.add(7)
        assert dataset.nexus.refresh().counts.chunks is None
        assert not dataset.nexus.refresh().counts.variable._in_memory
        assert in_chunks.nexus.refresh().counts.chunks == ((10,), (6,), (8,))
        assert in_own_chunks.nexus.refresh().counts.chunks == ((2,) * 5, (6,), (8,))
        array = in_own_chunks.counts.nexus.refresh()
        assert isinstance(array, xr.DataArray)
        assert array.attrs == {"units": "counts"}
        fresh = signal.nexus.refresh()
        assert (fresh.name, fresh.shape, fresh.chunks) == ("counts", (10, *FRAME), ((10,), (6,), (8,)))
        assert fresh.attrs["title"]["value"] == "live"
        tree = groups.nexus.refresh()
        assert tree["entry/data/counts"].chunks == ((1,) * 10, (6,), (8,))
        assert tree["entry"].attrs["title"]["value"] == "live"
        assert groups["entry"].nexus.refresh().path == "/entry"
        for found in (array, fresh, tree["entry/data/counts"], groups["entry/data/counts"].nexus.refresh()):
            np.testing.assert_array_equal(found[-1], frame(count - 1))
            assert found.time[-1] == time_of(count - 1)
        only_counts = dataset[["counts"]].drop_vars("time").nexus.refresh()
        assert set(only_counts.variables) == {"counts"}


@pytest.mark.usefixtures("without_libhdf5")
def test_values_that_were_looked_at_are_no_obstacle(tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs") as writer:
        live = open_nexus(tmp_path / "live.nxs").load()
        count = writer.add(2)
        assert_frames(live.nexus.refresh(), count)


# --- chunks that are new, and that are stored anew -------------------------------------------------------------


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows of chunks there were each time that they were looked up."""
    counts: list[int] = []

    def counting(file: FileBytes, dataset: ChunkedDataset) -> ChunkRecords:
        counts.append(dataset.grid[0])
        return read_chunks(file, dataset)

    monkeypatch.setattr(index, "read_chunks", counting)
    return counts


@pytest.mark.parametrize("filters", ["none", "gzip"])
def test_chunks_are_looked_up_once_for_each_refresh(filters: str, tmp_path: Path, looked_up: list[int]) -> None:
    with writing(tmp_path / "live.nxs", filters, 1, 2000) as writer:
        live = open_nexus(tmp_path / "live.nxs", drop_variables="time")
        live.counts[1990].load()
        assert looked_up == [2000]
        for _ in range(2):
            count = writer.add(3)
            live = live.nexus.refresh()
            np.testing.assert_array_equal(live.counts[-1], frame(count - 1))
        assert looked_up[1:] == [2003, 2006]
        live.counts[5].load()
        assert len(looked_up) == 3


def test_a_chunk_that_is_filled_up_is_looked_up_anew(tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs", "gzip", 4, 90) as writer:
        live = open_nexus(tmp_path / "live.nxs", drop_variables="time")
        np.testing.assert_array_equal(live.counts[-1], frame(89))
        writer.add(7)
        live = live.nexus.refresh()
        np.testing.assert_array_equal(live.counts[88:], [frame(n) for n in range(88, 97)])


STEPS = """
import h5py, json, sys
shape, ends, chunks = json.loads(sys.argv[2])
file = h5py.File(sys.argv[1], "w", libver="latest")
data = file.create_group("entry/data")
data.attrs.update(NX_class="NXdata", signal="n")
n = data.create_dataset("n", shape, "i4", chunks=tuple(chunks), maxshape=ends, fillvalue=-1, compression="gzip")
file.swmr_mode = True
print(flush=True)
for line in sys.stdin:
    at = json.loads(line)
    n[tuple(at)] = sum(at) + 1
    n.flush()
    print(flush=True)
"""


@pytest.mark.parametrize(
    ("shape", "ends", "chunks"),
    [
        ([12], [12], [4]),
        ([12], [12], [12]),
        ([12], [None], [4]),
        ([3, 4], [3, 4], [3, 2]),
        ([3, 4], [None, None], [3, 2]),
    ],
)
def test_a_point_in_a_chunk_that_has_others_is_seen(shape: Any, ends: Any, chunks: Any, tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    command = [sys.executable, "-c", STEPS, str(path), json.dumps([shape, ends, chunks])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        writer = Writer(process)
        writer.said()
        live = open_nexus(path)
        expected = np.full(shape, -1)
        for at in np.ndindex(*shape):
            writer.tell(json.dumps(at))
            expected[at] = sum(at) + 1
            live = live.nexus.refresh()
            np.testing.assert_array_equal(live.n, expected)
        np.testing.assert_array_equal(open_nexus(path).n, expected)
        process.kill()


PREALLOCATED = """
import h5py, sys
file = h5py.File(sys.argv[1], "w", libver="latest")
data = file.create_group("entry/data")
data.attrs.update(NX_class="NXdata", signal="n")
n = data.create_dataset("n", (3000, 4), "i4", chunks=(1, 4), fillvalue=-1)
n[:2000] = 7
file.swmr_mode = True
print(flush=True)
sys.stdin.readline()
n[2000:2002] = 8
n.flush()
print(flush=True)
sys.stdin.readline()
"""


def test_chunks_that_were_missing_are_looked_up_anew(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    command = [sys.executable, "-c", PREALLOCATED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        writer = Writer(process)
        writer.said()
        live = open_nexus(path)
        assert live.n[2000:2002].values.tolist() == [[-1] * 4] * 2
        writer.tell()
        live = live.nexus.refresh()
        assert live.n[1999:2003, 0].values.tolist() == [7, 8, 8, -1]
        process.kill()


# --- the array of chunks ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    rows=st.integers(1, 5000),
    columns=st.integers(1, 3),
    stored=st.sampled_from([1.0, 0.5, 0.02]),
    grows=st.booleans(),
    is_filtered=st.booleans(),
    user_block=st.sampled_from([0, 512]),
)
def test_elements_are_what_libhdf5_says(
    rows: int, columns: int, stored: float, grows: bool, is_filtered: bool, user_block: int
) -> None:
    shape = (rows, columns)
    options: dict[str, Any] = {"compression": "gzip"} if is_filtered else {}
    with h5py.File("f.h5", "w", libver="latest", userblock_size=user_block) as file:
        dataset = file.create_dataset(
            "d", shape, "u1", chunks=(1, 1), maxshape=(None if grows else rows, columns), **options
        )
        rng = np.random.default_rng(rows)
        for at in np.argwhere(rng.random(shape) < stored):
            dataset.id.write_direct_chunk(tuple(map(int, at)), bytes(1 + int(at[0]) % 5 if is_filtered else 1))
    expected: dict[tuple[int, ...], tuple[int, int, int]] = {}
    source = BytesSource(Path("f.h5").read_bytes())
    file_of_bytes = file_bytes(source, read_superblock(source))
    with h5py.File("f.h5") as file:
        described = chunked(file["d"].id, source)
        file["d"].id.chunk_iter(lambda info: expected.update({info.chunk_offset: info[1:]}))
    found = read_chunks(file_of_bytes, described)
    assert list(map(tuple, found.coordinates.tolist())) == sorted(expected)
    for at, address, size, mask in zip(*(part.tolist() for part in found), strict=True):
        assert (mask, address + user_block, size) == expected[tuple(at)]


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 60), st.integers(1, 7)),
    room=st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
    chunks=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    growing=st.sampled_from([(), (0,), (1,), (2,), (0, 1), (1, 2)]),
    filters=st.sampled_from([None, "gzip"]),
)
def test_values_are_right_whichever_dimensions_grow(
    shape: Any, room: Any, chunks: Any, growing: Any, filters: str | None
) -> None:
    chunks = tuple(map(min, chunks, shape))
    ends = tuple(None if dim in growing else size + room[dim] for dim, size in enumerate(shape))
    values = np.arange(np.prod(shape), dtype="u4").reshape(shape) + 1
    values[::2, 1::3] = 0
    with h5py.File("f.h5", "w", libver="latest") as file:
        dataset = file.create_dataset("d", shape, "u4", chunks=chunks, maxshape=ends, compression=filters)
        dataset[1:, 1:] = values[1:, 1:]
        expected = dataset[...]
    np.testing.assert_array_equal(LazyArray(File("f.h5"), "/d", shape, np.dtype("u4"))[...], expected)


def test_damage_to_the_array_is_an_error() -> None:
    values = np.arange(4000, dtype="u2").reshape(500, 8)
    with h5py.File("f.h5", "w", libver="latest") as file:
        file.create_dataset("d", data=values, chunks=(1, 8), maxshape=(None, 8))
    whole = Path("f.h5").read_bytes()
    at = whole.index(b"EADB") + 30
    Path("f.h5").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(NexusFileError, match=r"f\.h5:/d"):
        LazyArray(File("f.h5"), "/d", (500, 8), np.dtype("u2"))[...]


# --- fields that grow at different paces -----------------------------------------------------------------------

PACES = """
import json, sys
import h5py, numpy as np

file = h5py.File(sys.argv[1], "w", libver="latest")
for group, (attributes, fields) in json.loads(sys.argv[2]).items():
    file.create_group(group).attrs.update(attributes)
    for name, (shape, told) in fields.items():
        ends = [None if length == 0 else length for length in shape]
        chunks = [length or 4 for length in shape]
        file[group].create_dataset(name, shape, "f8", maxshape=ends, chunks=tuple(chunks)).attrs.update(told)
        if 0 not in shape:
            file[group][name][...] = np.arange(np.prod(shape)).reshape(shape)
file.swmr_mode = True
print(flush=True)
for line in sys.stdin:
    if line == "end\\n":
        break
    for name, shape in json.loads(line).items():
        file[name].resize(shape)
        file[name][...] = np.arange(shape[0], dtype="f8").reshape(-1, *(1 for _ in shape[1:]))
        file[name].flush()
    print(flush=True)
file.close()
print(flush=True)
"""
# Attributes of a group, and the shapes and attributes of its fields.
OneGroup = tuple[dict[str, Any], dict[str, tuple[list[int], dict[str, Any]]]]
Groups = dict[str, OneGroup]


class PacedWriter(Writer):
    """A process that sets the lengths of fields as it is told."""

    def set(self, **shapes: list[int]) -> None:
        self.tell(json.dumps({f"/e/{name}": shape for name, shape in shapes.items()}))


@contextmanager
def at_paces(path: Path, groups: Groups) -> Iterator[PacedWriter]:
    """A file with these groups that is being written while the block runs; lengths of 0 are those that grow."""
    command = [sys.executable, "-c", PACES, str(path), json.dumps(groups)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            writer = PacedWriter(process)
            writer.said()
            yield writer
        finally:
            process.kill()


ENTRY: Groups = {"/e": ({"NX_class": "NXentry"}, {})}
LIST, STACK = [0], [0, 3]
LAYOUTS: Groups = {
    "version 3": ({"NX_class": "NXdata", "signal": "s", "axes": ["t"]}, {"s": (LIST, {}), "t": (LIST, {})}),
    "indices": (
        {"NX_class": "NXdata", "signal": "s", "axes": ["t", "."], "t_indices": 0, "k_indices": [0, 1]},
        {"s": (STACK, {}), "t": (LIST, {}), "k": (STACK, {})},
    ),
    "version 2": ({"NX_class": "NXdata"}, {"s": (LIST, {"signal": 1, "axes": "t"}), "t": (LIST, {})}),
    "version 2 of a stack": (
        {"NX_class": "NXdata"},
        {"s": (STACK, {"signal": 1, "axes": "t:x"}), "t": (LIST, {}), "x": ([3], {})},
    ),
    "version 1": ({"NX_class": "NXdata"}, {"s": (LIST, {"signal": 1}), "t": (LIST, {"axis": 1})}),
    "version 1 of a stack": ({"NX_class": "NXdata"}, {"s": (STACK, {"signal": 1}), "t": (LIST, {"axis": 1})}),
    "NXlog": ({"NX_class": "NXlog"}, {"value": (LIST, {}), "time": (LIST, {"units": "s"})}),
    "uncertainties": (
        {"NX_class": "NXdata", "signal": "s"},
        {"s": (LIST, {}), "s_errors": (LIST, {})},
    ),
    "auxiliary signals": (
        {"NX_class": "NXdata", "signal": "s", "auxiliary_signals": ["u"]},
        {"s": (STACK, {}), "u": (STACK, {})},
    ),
}


def told_lengths(dataset: xr.Dataset) -> set[int]:
    """The first lengths of variables that grow, each of which has the numbers of its rows."""
    growing = [each for name, each in dataset.variables.items() if name != "x"]
    for variable in growing:
        rows = np.arange(len(variable), dtype="f8").reshape(-1, *(1 for _ in variable.shape[1:]))
        np.testing.assert_array_equal(variable, np.broadcast_to(rows, variable.shape))
    return {len(variable) for variable in growing}


@pytest.mark.usefixtures("without_libhdf5")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("at_the_end", [(8, 9), (10, 8)])
def test_what_the_data_rules_bring_together_is_equally_long(layout: str, at_the_end: Any, tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    attributes, fields = LAYOUTS[layout]
    other: OneGroup = {"NX_class": "NXdata", "signal": "y"}, {"y": ([2], {})}  # so that a log isn't the only one
    with at_paces(path, {**ENTRY, "/e/d": LAYOUTS[layout], "/e/other": other}) as writer:
        first, *rest = (name for name, (shape, _) in fields.items() if 0 in shape)
        stacks = {name: shape[1:] for name, (shape, _) in fields.items()}

        def grow(length: int, others: int) -> None:
            lengths = {first: length} | dict.fromkeys(rest, others)
            writer.set(**{f"d/{name}": [own, *stacks[name]] for name, own in lengths.items()})

        dataset = open_nexus(path, dataset_path="/e/d", chunks={})
        names, dims = dataset.variables.keys(), dataset[first].dims
        tree = xr.open_datatree(path, engine="nexus")
        for length, others in [(3, 3), (6, 4), (4, 6), (3, 4), (7, 7), at_the_end]:
            grow(length, others)
            dataset = dataset.nexus.refresh()
            assert (dataset.variables.keys(), dataset[first].dims) == (names, dims)
            assert told_lengths(dataset) == {min(length, others)}
            assert told_lengths(open_nexus(path, dataset_path="/e/d")) == {min(length, others)}
            tree = tree.nexus.refresh()
            assert attributes["NX_class"] == "NXlog" or tree["e/d"][first].sizes == dataset[first].sizes
        writer.tell("end")
    for _ in range(2):
        with pytest.warns(NexusWarning, match=r"was cut to 8 along dimension 0.*open the file again") as told:
            dataset = dataset.nexus.refresh()
        assert {each.code for each in told[0].message.diagnostics} == {"longer-than-common"}  # type: ignore[union-attr]
        assert (dataset.variables.keys(), dataset[first].dims) == (names, dims)
        assert told_lengths(dataset) == {8}
        assert not any("bounds" in each.attrs for each in dataset.variables.values())


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_a_file_that_was_closed_between_two_fields_opens_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    with at_paces(path, {**ENTRY, "/e/d": LAYOUTS["version 3"]}) as writer:
        writer.set(**{"d/s": [8], "d/t": [9]})
        live = open_nexus(path)
        writer.tell("end")
    refreshed = live.nexus.refresh()
    assert refreshed.t.values.tolist() == list(range(8))
    assert open_nexus(path).t.values.tolist() == [0.5 + middle for middle in range(8)]
    refreshed.assign(s=refreshed.s + 1).nexus.to_nexus(path, layout="inplace")
    with h5py.File(path) as file:
        assert file["e/d/t"][:].tolist() == list(range(9))
        assert file["e/d/s"][:].tolist() == list(range(1, 9))


def test_fields_of_files_that_were_closed_before_stay_as_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=[1.0, 2.0, 3.0], maxshape=(None,))
    there = {name: h5py.ExternalLink("live.nxs", f"/e/d/{name}") for name in ("s", "t")}
    there["x"] = h5py.ExternalLink("x.h5", "/x")
    write_tree(tmp_path / "master.nxs", {"e": nxentry({"d": nxdata(there, signal="s", axes=["t", "x"])})})
    group: OneGroup = {"NX_class": "NXdata"}, {"s": (STACK, {}), "t": (LIST, {})}
    with at_paces(tmp_path / "live.nxs", {**ENTRY, "/e/d": group}) as writer:
        writer.set(**{"d/s": [3, 3], "d/t": [2]})
        live = open_nexus(tmp_path / "master.nxs")
        writer.set(**{"d/t": [3]})
        for _ in range(2):
            assert live.x.values.tolist() == [1.0, 2.0, 3.0]
            live = live.nexus.refresh()
            assert dict(live.s.sizes) == {"t": 3, "x": 3}
            writer.tell("end")


def test_numbered_axes_of_several_dimensions_that_grow_go_by_their_lengths(tmp_path: Path) -> None:
    group: OneGroup = (
        {"NX_class": "NXdata"},
        {"s": ([0, 0], {"signal": 1}), "t": (LIST, {"axis": 1}), "x": (LIST, {"axis": 2})},
    )
    with at_paces(tmp_path / "live.nxs", {**ENTRY, "/e/d": group}) as writer:
        writer.set(**{"d/s": [6, 4], "d/t": [6], "d/x": [4]})
        assert dict(open_nexus(tmp_path / "live.nxs").s.sizes) == {"t": 6, "x": 4}


@pytest.mark.filterwarnings("error")
def test_a_group_opens_before_anything_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    group: OneGroup = {"NX_class": "NXevent_data"}, {"event_id": (LIST, {}), "event_index": (LIST, {})}
    with at_paces(path, {**ENTRY, "/e/events": group, "/e/later": group}) as writer:
        live, later = (open_nexus(path, dataset_path=f"/e/{name}") for name in ("events", "later"))
        assert (live.event_id.size, live.event_index.size) == (0, 0)
        writer.set(**{"events/event_id": [50], "events/event_index": [2]})
        live = live.nexus.refresh()
        assert (live.event_id.values.tolist(), live.event_index.values.tolist()) == (list(range(50)), [0, 1])
        writer.tell("end")
    assert later.nexus.refresh().event_id.size == 0
    with pytest.raises(NexusPathError, match="/e/later holds no data"):
        open_nexus(path, dataset_path="/e/later")


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_columns_of_a_group_without_a_signal_grow_each_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    group: OneGroup = {"NX_class": "NXdata"}, {"p": (LIST, {}), "q": (LIST, {})}
    with at_paces(path, {**ENTRY, "/e/d": group}) as writer:
        live = open_nexus(path, dataset_path="/e/d")
        for p, q in ((2, 0), (5, 3), (5, 5), (9, 6)):
            writer.set(**{"d/p": [p], "d/q": [q]})
            live = live.nexus.refresh()
            assert (live.p.size, live.q.size) == (p, q)
        writer.tell("end")
        live = live.nexus.refresh()
        assert (live.p.values.tolist(), live.q.values.tolist()) == (list(range(9)), list(range(6)))


def test_what_is_neither_axis_nor_uncertainties_hides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    group: OneGroup = (
        {"NX_class": "NXdata", "signal": "s", "axes": ["t", "."]},
        {"s": (STACK, {}), "t": (LIST, {}), "w": (STACK, {})},
    )
    with at_paces(path, {**ENTRY, "/e/d": group}) as writer:
        writer.set(**{"d/s": [6, 3], "d/t": [6]})
        live = open_nexus(path)
        assert (dict(live.s.sizes), dict(live.w.sizes)) == ({"t": 6, "dim_1": 3}, {"w_dim_0": 0, "dim_1": 3})
        for length in (6, 9):  # what is longer ends with the signal
            writer.set(**{"d/w": [length, 3]})
            live = live.nexus.refresh()
            assert dict(live.w.sizes) == {"t": 6, "dim_1": 3}
        array = open_nexus(path, dataset_path="/e/d/w")
        assert array.w.sizes["t"] == 6
        writer.tell("end")
        with pytest.warns(NexusWarning, match=r"'w' of shape \(9, 3\) was cut to 6"):
            assert live.nexus.refresh().w.sizes["t"] == 6
        assert "w" not in open_nexus(path)


# --- what can't be refreshed -----------------------------------------------------------------------------------


def test_a_file_that_was_written_anew_is_opened_anew(write: Write) -> None:
    dataset = open_nexus(write(scan_file()), chunks={})
    tree = scan_file()
    tree["entry"]["data"]["counts"].value = np.arange(12, 24, dtype="u2").reshape(3, 4)
    tree["entry"]["title"] = "again"
    write(tree)
    fresh = dataset.nexus.refresh()
    np.testing.assert_array_equal(fresh.counts, np.arange(12, 24).reshape(3, 4))
    assert fresh.attrs["title"]["value"] == "again"
    assert fresh.identical(open_nexus(Path("scan.nxs")))


def test_options_are_those_of_before(write: Write) -> None:
    path = write(scan_file())
    for options in ({"drop_variables": "i0"}, {"metadata_key": "title"}, {"dataset_path": "/entry/data"}):
        dataset = open_nexus(path, **options)
        assert dataset.nexus.refresh().identical(dataset)


def test_bins_and_urls_are_refreshed_too(write: Write) -> None:
    path = write({"entry": nxentry({"data": nxdata({"n": [1, 2], "t": [0.0, 1.0, 3.0]}, signal="n", axes="t")})})
    for where in (str(path), f"file://{path}"):
        dataset = xr.open_dataset(where, engine="nexus")
        assert dataset.nexus.refresh().identical(dataset)
        assert dataset.n.nexus.refresh().identical(dataset.n)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda dataset: dataset.isel(x=slice(2)), "it is of shape .*, a part of what was opened"),
        (lambda dataset: dataset.counts[0], "it is of shape .*, a part of what was opened"),
        (lambda dataset: dataset.transpose(), "it is of shape .*, a part of what was opened or made of it"),
        (lambda dataset: dataset.counts + 1, "counts: can't be refreshed, as it was computed"),
        (lambda dataset: dataset.assign(new=1.0), "new: can't be refreshed, as it was computed or made in memory"),
        (lambda dataset: dataset.rename(counts="c"), "can't be found any more"),
        (lambda _: xr.Dataset(), "there is no variable to refresh"),
        (lambda _: xr.DataTree(), "there is no variable to refresh"),
        (lambda dataset: xr.DataTree(dataset), "was made of what was opened as <dataset of"),
    ],
)
def test_what_was_not_opened_so_is_an_error(change: Any, reason: str, write: Write) -> None:
    dataset = open_nexus(write(scan_file()))
    with pytest.raises(NexusError, match=reason):
        change(dataset).nexus.refresh()


def as_dataset(opened: xr.Dataset | xr.DataTree) -> xr.Dataset:
    return opened["entry/data"].to_dataset() if isinstance(opened, xr.DataTree) else opened


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
@pytest.mark.parametrize("open_it", [xr.open_dataset, xr.open_datatree])
def test_what_had_no_variables_when_it_was_opened_gets_those_that_there_are_by_now(open_it: Any, write: Write) -> None:
    """As of a detector's master, which is there before the files that it links to."""
    links = {f"data_{number:06}": h5py.ExternalLink(f"{number}.h5", "values") for number in (1, 2)}
    path = write({"entry": nxentry({"data": nxdata(links)})})
    opened = open_it(path, engine="nexus").nexus.refresh()
    assert not as_dataset(opened).variables
    for number in (1, 2):
        write_tree(path.with_name(f"{number}.h5"), {"values": np.full((3, *FRAME), number, "u2")})
    refreshed = opened.nexus.refresh()
    assert refreshed.identical(open_it(path, engine="nexus"))
    assert as_dataset(refreshed).data[:, 0, 0].values.tolist() == [1, 1, 1, 2, 2, 2]
    assert as_dataset(as_dataset(opened).nexus.refresh()).sizes == as_dataset(refreshed).sizes
    with pytest.raises(NexusError, match="there is no variable to refresh"):
        as_dataset(refreshed).drop_vars("data").nexus.refresh()


def test_a_node_without_variables_beside_one_with_some_is_refreshed_too(write: Write) -> None:
    other = nxdata({"counts": h5py.ExternalLink("late.h5", "values")}, signal="counts")
    tree = scan_file()
    tree["entry"]["late"] = other
    path = write(tree)
    with pytest.warns(NexusWarning, match=r"late\.h5"):
        opened = xr.open_datatree(path, engine="nexus")
    write_tree(path.with_name("late.h5"), {"values": np.arange(4)})
    refreshed = opened.nexus.refresh()
    assert refreshed["entry/late"].counts.values.tolist() == [0, 1, 2, 3]
    assert refreshed["entry/data"].identical(opened["entry/data"])


def test_a_file_that_was_replaced_while_it_grew_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    with writing(path):
        live = open_nexus(path)
    (tmp_path / "other.nxs").write_bytes(path.read_bytes())
    (tmp_path / "other.nxs").replace(path)
    with pytest.raises(NexusFileError, match="changed since it was opened"):
        live.counts.load()


def being_written(path: Path, count: int) -> bytes:
    """A file of so many values that is being written, and says when its root was made, at byte 66."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_LATEST, h5py.h5f.LIBVER_LATEST)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, creation, access)) as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="n")
        data.create_dataset("n", data=range(count), chunks=(1,), maxshape=(None,))
        file.swmr_mode = True
        return path.read_bytes()


def test_a_file_that_was_written_anew_in_the_place_of_one_that_grew_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "live.nxs"
    content, larger = being_written(path, 3), being_written(path, 4)
    later = (int.from_bytes(content[66:70], "little") + 1).to_bytes(4, "little")
    path.write_bytes(content)
    live = open_nexus(path, chunks={})
    assert live.n.values.tolist() == [0, 1, 2]
    path.write_bytes(larger[:66] + content[66:70] + larger[70:])
    assert live.n.values.tolist() == [0, 1, 2]
    for other in (content[:66] + later + content[70:], larger[:66] + later + larger[70:], content[:-1], content[:40]):
        path.write_bytes(other)
        with pytest.raises(NexusFileChangedError, match="another was written in its place"):
            live.n.values  # noqa: B018


def test_what_is_refreshed_is_written_as_ever(tmp_path: Path) -> None:
    with writing(tmp_path / "live.nxs", "gzip", 4) as writer:
        live = open_nexus(tmp_path / "live.nxs")
        count = writer.add(9)
        live.nexus.refresh().nexus.to_nexus(tmp_path / "copy.nxs")
    assert_frames(open_nexus(tmp_path / "copy.nxs"), count)


@pytest.mark.parametrize(
    ("version", "width", "base", "root", "flags", "born"),
    [
        (3, 8, 0, 48, 0x20, 1234),
        (2, 8, 8, 40, 0x27, 1234),
        (3, 8, 0, 48, 0x07, None),
        (1, 8, 0, 48, 0x20, None),
        (3, 0, 0, 48, 0x20, None),
        (3, 4, 0, 48, 0x20, None),
        (3, 8, 0, 60, 0x20, None),
        (3, 8, (1 << 64) - 1, (1 << 64) - 1, 0x20, None),
        (3, 8, 0, (1 << 63) - 1, 0x20, None),
        (3, 8, 0, 1 << 50, 0x20, None),
    ],
)
def test_when_the_root_of_a_file_was_made(
    version: int, width: int, base: int, root: int, flags: int, born: int | None, tmp_path: Path
) -> None:
    superblock = b"\x89HDF\r\n\x1a\n" + bytes([version, width, 8, 0])
    superblock += b"".join(part.to_bytes(8, "little") for part in (base, 0, 0, root)) + bytes(4)
    header = b"OHDR\2" + bytes([flags]) + bytes(12) + (1234).to_bytes(4, "little")
    (tmp_path / "f.h5").write_bytes(superblock + header)
    with open(tmp_path / "f.h5", "rb", buffering=0) as stream:
        assert birth_of(stream) == born
    assert birth_of(io.BytesIO(superblock[:40])) is None
