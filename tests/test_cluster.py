"""Reading and writing with the processes of a cluster of dask.distributed."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import fsspec
import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError, NexusFileError, NexusFileNotFoundError, NexusWarning, reductions, to_nexus
from nexus_xr.hdf5.reading.reductions import views
from nexus_xr.hdf5.writing import creation
from nexus_xr.hdf5.writing.atomic_file import PARTS
from nexus_xr.writing import distributed as parts

from .calls import recorded
from .files import Field, nxdata, nxentry, paths_in, write_tree
from .processes import run
from .waiting import PATIENCE_SECONDS, interrupted_after, wait_until

distributed = pytest.importorskip("distributed")
# A frame a block makes more tasks than the groups of frames that xarray takes for the stored chunks.
pytestmark = pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")

FRAMES = np.random.default_rng(1).poisson(30, (24, 40, 50)).astype("u2")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes of two threads each."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Any) -> Iterator[Any]:
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=PATIENCE_SECONDS)
        yield client


def write_stack(path: Path | str = "scan.nxs", frames: Any = FRAMES, **options: Any) -> None:
    options = {"chunks": (1, *frames.shape[1:]), "compression": "gzip", "shuffle": True, **options}
    data = nxdata({"counts": Field(frames, **options)}, signal="counts")
    write_tree(Path(path), {"entry": nxentry({"data": data})})


def opened(path: Path | str = "scan.nxs", **chunks: int) -> xr.Dataset:
    return xr.open_dataset(path, engine="nexus", chunks=chunks)


# --- reading ---------------------------------------------------------------------------------------------------


def test_workers_find_a_file_that_was_opened_by_a_relative_path(client: Any) -> None:
    write_stack()
    assert os.getcwd() not in client.run(os.getcwd).values()
    dataset = opened("scan.nxs", dim_0=2)
    np.testing.assert_array_equal(dataset.counts, FRAMES)
    assert dataset.counts.encoding["source"] == "scan.nxs"


def test_a_graph_carries_names_however_many_chunks_there_are() -> None:
    write_stack(frames=np.zeros((100_000, 2, 2), "u2"), compression=None, shuffle=False)
    dataset = opened()
    assert dataset.counts[0].sum() == 0  # the index is built, and stays here
    pickled = distributed.protocol.pickle.dumps
    assert len(pickled(dataset.counts.sum().__dask_graph__())) < 10_000
    with pytest.warns(UserWarning, match="separate the stored chunks"):
        blocks = opened(dim_0=1).counts
    assert blocks.data.npartitions == 100_000
    assert len(pickled(blocks.__dask_graph__())) < 10_000_000


# Of a worker, which has this module too.
in_worker = pytest.MonkeyPatch()
layouts_read: list[tuple[Any, ...]] = []


def count_reading_layouts() -> None:
    """Count in a worker how often it finds out where values are, which takes until another thread asks for them too."""
    from nexus_xr.hdf5.reading import array
    from nexus_xr.hdf5.reading.layouts import known_layouts, layout_reading

    asked = recorded(in_worker, array, "layout_of")
    find = layout_reading.layout_from

    def layout_from(*arguments: Any) -> Any:
        layouts_read.append(arguments)
        wait_until(lambda: len(asked) > 1)
        return find(*arguments)

    in_worker.setattr(known_layouts, "layout_from", layout_from)


def counted_reading_layouts() -> int:
    in_worker.undo()
    return len(layouts_read)


def test_a_worker_finds_out_once_where_the_chunks_are(client: Any) -> None:
    write_stack()
    client.run(count_reading_layouts)
    first, second = opened(dim_0=1).counts, opened(dim_0=2).counts
    assert int((first + second).sum()) == 2 * int(FRAMES.sum())
    assert int(first.max()) == FRAMES.max()
    assert list(client.run(counted_reading_layouts).values()) == [1, 1]


@dataclass(frozen=True)
class Hold:
    """Blocks that are held by the tasks that make them, in whatever process, until they are let go."""

    name: str

    def blocks(self, array: da.Array) -> da.Array:
        held: da.Array = da.map_blocks(self._held, array, dtype=array.dtype, meta=array._meta)
        return held

    def _held(self, values: Any) -> Any:
        self._event("begun").set()
        assert self._event("let go").wait(PATIENCE_SECONDS)
        return values

    def wait(self) -> None:
        """Wait until a task has begun."""
        assert self._event("begun").wait(PATIENCE_SECONDS)

    def let_go(self) -> None:
        self._event("let go").set()

    def _event(self, what: str) -> Any:
        return distributed.Event(f"{what}: {self.name}")


def test_stacks_are_reduced_by_the_workers(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reductions, "_PIECE_BYTES", FRAMES[:3].nbytes)
    monkeypatch.setattr(reductions, "_MERGED_AT_ONCE", 2)
    monkeypatch.setattr(views, "LOCAL_BLOCK_BYTES", FRAMES[0].nbytes)
    write_stack(tmp_path / "scan.nxs")
    counts = xr.open_dataset(tmp_path / "scan.nxs", engine="nexus", chunks={}).counts
    kept = np.arange(FRAMES[0].size).reshape(FRAMES.shape[1:]) % 7 > 0
    for dims, axes in (([counts.dims[0]], 0), (list(counts.dims[1:]), (1, 2)), (None, None)):
        found = nexus_xr.reduce(counts, "sum", dims, where=kept)
        np.testing.assert_array_equal(found.compute(), FRAMES.sum(axis=axes, where=kept))
    medians = nexus_xr.reduce(counts, np.median, counts.dims[1:])
    np.testing.assert_array_equal(medians.compute(), np.median(FRAMES, axis=(1, 2)))


@pytest.fixture
def hold(cluster: Any, request: pytest.FixtureRequest) -> Iterator[Hold]:
    hold = Hold(request.node.name)
    yield hold
    with distributed.Client(cluster):
        hold.let_go()


def kill_a_worker(client: Any) -> None:
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


def test_a_worker_that_is_killed_loses_nothing(client: Any, hold: Hold) -> None:
    write_stack()
    future = client.compute(hold.blocks(opened(dim_0=1).counts.data))
    hold.wait()
    kill_a_worker(client)
    hold.let_go()
    np.testing.assert_array_equal(future.result(timeout=PATIENCE_SECONDS), FRAMES)


def test_a_file_that_a_worker_has_not_is_an_error_that_names_both(client: Any) -> None:
    write_stack()
    lazy = opened(dim_0=1).counts
    os.unlink("scan.nxs")
    with pytest.raises(NexusFileNotFoundError, match="no such file on the worker tcp:") as caught:
        lazy.compute()
    assert str(caught.value).startswith(os.path.abspath("scan.nxs"))
    assert "host" in str(caught.value)


def test_a_file_in_the_memory_of_this_process_is_an_error_that_names_the_worker(client: Any) -> None:
    write_stack()
    memory = fsspec.filesystem("memory")
    memory.pipe("/of this process.nxs", Path("scan.nxs").read_bytes())
    lazy = xr.open_dataset("memory://of this process.nxs", engine="nexus", chunks={"dim_0": 1}).counts
    with pytest.raises(NexusFileNotFoundError, match=r"of this process\.nxs: no such file on the worker tcp:"):
        lazy.compute()
    memory.rm("/of this process.nxs")


def test_a_file_that_a_worker_may_not_open_is_such_an_error_too(client: Any) -> None:
    write_stack()
    lazy = opened(dim_0=1).counts
    os.unlink("scan.nxs")
    os.symlink("scan.nxs", "scan.nxs")
    with pytest.raises(NexusFileError, match=r"scan.nxs: can't be opened .* on the worker tcp://127.0.0.1:"):
        lazy.compute()


def write_virtual(count: int = 3) -> None:
    layout = h5py.VirtualLayout((count, 40, 50), "u2")
    for number in range(count):
        with h5py.File(f"part_{number}.h5", "w") as file:
            file["data"] = FRAMES[number]
        layout[number] = h5py.VirtualSource(f"part_{number}.h5", "data", (40, 50))
    with h5py.File("master.nxs", "w") as file:
        file.create_virtual_dataset("entry/data/counts", layout)
        file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
        file["entry"].attrs["NX_class"] = "NXentry"


@pytest.mark.parametrize("missing", ["fill", "raise"])
def test_a_source_that_a_worker_has_not_is_an_error_that_names_both(client: Any, missing: str) -> None:
    write_virtual()
    dataset = xr.open_dataset("master.nxs", engine="nexus", chunks={"dim_0": 1}, missing=missing)
    source = Path("part_1.h5").absolute()
    source.rename("away.h5")
    with pytest.raises(
        NexusFileError, match=rf"{source}: there is no such file on the worker tcp://\S+ \(host .*master"
    ):
        dataset.counts.sum().compute()
    assert int(dataset.counts[::2].sum()) == int(FRAMES[:3:2].sum())
    Path("away.h5").rename(source)
    assert int(dataset.counts.sum()) == int(FRAMES[:3].sum())


def test_a_worker_tells_of_the_sources_that_were_missing_when_the_file_was_opened(client: Any) -> None:
    write_virtual()
    source = Path("part_1.h5").absolute()
    source.unlink()
    with pytest.warns(NexusWarning, match=r"part_1.h5"):
        array = xr.open_dataset("master.nxs", engine="nexus").counts.variable

    def told(array: xr.Variable) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for number in (0, 1, 1, 2):
                array[number].values  # noqa: B018
        return [str(each.message) for each in caught if "fill values" in str(each.message)]

    (message,) = client.submit(told, array, pure=False).result()
    assert message.endswith(f": {source}")
    assert " on the worker tcp://" in message


def test_a_path_stays_that_of_the_folder_it_was_opened_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_stack()
    lazy = opened().counts
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with h5py.File("scan.nxs", "w"):
        np.testing.assert_array_equal(lazy, FRAMES)


# --- writing ---------------------------------------------------------------------------------------------------


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk for each frame and a part file for each block, however small."""
    monkeypatch.setattr(creation, "_SMALLEST_CHUNK", 1)
    monkeypatch.setattr(creation, "SMALL_BYTES", 1)
    monkeypatch.setattr(parts, "MOST_GATHERED_BYTES", 0)
    monkeypatch.setattr(parts, "LEAST_PART_BYTES", 1)


def scan(frames: Any = FRAMES, block: tuple[int, ...] = (4, 40, 50), **coords: Any) -> xr.DataArray:
    return xr.DataArray(
        da.from_array(frames, chunks=block),
        dims=("frame", "y", "x"),
        name="counts",
        coords={"frame": ("frame", np.arange(len(frames)) * 0.5, {"units": "s"}), **coords},
        attrs={"units": "counts", "sample": {"name": {"value": "Ni"}}},
    )


def written(path: Path | str = "new.nxs", **options: Any) -> xr.DataArray:
    [array] = nexus_xr.open_signals(path, nxdata_only=True, **options)
    return array.load()


def files(folder: Path | str = ".") -> list[str]:
    """All files below a folder, and the folders that are empty."""
    # By `glob`, as a worker may rename or remove what was listed a moment ago.
    found = [each for each in Path(folder).rglob("*") if not each.is_dir() or not any(each.glob("*"))]
    return sorted(str(each.relative_to(folder)) for each in found)


def part_names() -> list[str]:
    return [Path(name).name for name in files() if name.startswith("new_parts")]


def layout(path: Path | str) -> dict[str, Any]:
    """What a file is made of, values and the ways in which they are stored aside."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        for name in ("/", *paths_in(file)):
            item = file[name]
            members = list(item) if isinstance(item, h5py.Group) else (item.shape, item.dtype)
            attributes = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
            found[name] = (members, {key: each for key, each in attributes.items() if key not in ("file_time", PARTS)})
    return found


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("block", [(4, 40, 50), (5, 40, 50), (7, 33, 17), (24, 40, 50), (1, 40, 50)])
def test_workers_write_parts_that_a_master_joins(client: Any, block: tuple[int, ...]) -> None:
    array = scan(block=block, label=("frame", list("abcdefghijklmnopqrstuvwx")))
    to_nexus(array, "new.nxs", chunks=(2, 20, 50))
    assert written().identical(array.compute())
    with h5py.File("new.nxs") as file:
        counts = file["entry1/counts/counts"]
        assert counts.is_virtual
        np.testing.assert_array_equal(counts, FRAMES)
        sources = {source.file_name for source in counts.virtual_sources()}
    assert {Path(name).name for name in sources} == set(part_names())
    assert {name.split("/")[0] for name in sources} == {"new_parts"}
    with h5py.File(sources.pop()) as part:
        assert (part["data"].chunks, part["data"].compression, part["data"].shuffle) == ((2, 20, 50), "gzip", True)


@pytest.mark.usefixtures("small_parts", "only_copies")
def test_a_file_of_parts_that_is_consolidated_is_as_if_written_in_one(client: Any) -> None:
    array = scan(block=(5, 40, 50))
    options: Any = {"chunks": (2, 20, 50), "compression": "bitshuffle"}
    to_nexus(array, "new.nxs", **options)
    with dask.config.set(scheduler="threads"):
        to_nexus(array, "local.nxs", **options)
    nexus_xr.consolidate("new.nxs")
    assert files() == ["local.nxs", "new.nxs"]
    new, local = layout("new.nxs"), layout("local.nxs")
    new["/"][1].pop("file_name"), local["/"][1].pop("file_name")
    assert new == local
    with h5py.File("new.nxs") as ours, h5py.File("local.nxs") as theirs:
        mine, other = ours["entry1/counts/counts"], theirs["entry1/counts/counts"]
        assert (mine.chunks, mine._filters) == (other.chunks, other._filters)
        assert mine.id.read_direct_chunk((0, 0, 0)) == other.id.read_direct_chunk((0, 0, 0))
    assert written().identical(array.compute())


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("blocks", [(2, 5, 6), (3, 4, 4)], ids=["of chunks", "across chunks"])
def test_parts_that_are_to_be_filled_later_take_no_room(client: Any, blocks: tuple[int, ...]) -> None:
    zeros = da.zeros((10, 5, 6), chunks=blocks, dtype="u2")
    to_nexus(xr.DataArray(zeros, dims=("frame", "y", "x"), name="counts"), "new.nxs", chunks=(2, 5, 6))
    parts_written = sorted(Path().glob("new_parts/*/*.h5"))
    assert parts_written
    for path in parts_written:
        with h5py.File(path) as file:
            assert file["data"].id.get_num_chunks() == 0


@pytest.mark.usefixtures("small_parts")
def test_blocks_may_be_empty_and_chunks_none(client: Any) -> None:
    uneven = scan(block=((4, 0, 13, 7), (40,), (50, 0)))  # type: ignore[arg-type]
    to_nexus([uneven, scan()], "new.nxs", chunks=(1, 40, 50))
    for each in nexus_xr.open_signals("new.nxs", nxdata_only=True):
        np.testing.assert_array_equal(each, FRAMES)
    write_stack("contiguous.nxs", chunks=None, compression=None, shuffle=False)
    with xr.set_options(keep_attrs=True):
        source = opened("contiguous.nxs", dim_0=6).counts
    changed = source.copy(data=source.data + 1)
    to_nexus(changed, "new.nxs")
    with h5py.File("new.nxs") as file:
        [first, *_] = file["entry1/counts/counts"].virtual_sources()
    with h5py.File(first.file_name) as part:
        assert part["data"].chunks is None
    nexus_xr.consolidate("new.nxs")
    np.testing.assert_array_equal(written(), FRAMES + 1)


def test_many_blocks_make_few_parts(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MOST_GATHERED_BYTES", 0)
    monkeypatch.setattr(parts, "LEAST_PART_BYTES", 5 * FRAMES[0].nbytes)
    array = scan(block=(1, 20, 50))
    to_nexus(array, "new.nxs", chunks=(1, 20, 50))
    assert part_names() == [f"part_{number:05}.h5" for number in range(1, 6)]
    assert written().identical(array.compute())
    nexus_xr.consolidate("new.nxs")
    assert written().identical(array.compute())


@pytest.mark.parametrize(
    ("chunks", "target", "pieces"),
    [
        ((2, 20, 50), 1, (4, 40, 50)),  # which the blocks are made of
        ((8, 40, 50), 1, (8, 40, 50)),  # no more than two blocks
        ((9, 40, 50), 1, (9, 40, 50)),  # a chunk
        ((24, 1, 50), 1, (24, 6, 50)),
        ((24, 4, 5), 1, (24, 4, 50)),
        ((24, 1, 50), FRAMES.nbytes // 3, (24, 10, 50)),
        ((24, 1, 50), FRAMES.nbytes // 2, (24, 40, 50)),
    ],
)
def test_chunks_across_blocks_are_put_together_in_small_pieces(
    chunks: tuple[int, ...], target: int, pieces: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "TARGET_BLOCK_BYTES", target)
    assert parts.in_pieces(scan().data, chunks, "counts").chunksize == pieces


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("is_later", [False, True])
def test_workers_write_chunks_across_blocks(client: Any, is_later: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "TARGET_BLOCK_BYTES", 1)
    array = scan(block=(1, 40, 50)) + 1
    job = to_nexus(array, "new.nxs", chunks=(24, 1, 50), compute=not is_later)
    if is_later:
        client.compute(job).result(timeout=PATIENCE_SECONDS)
    assert len(part_names()) == 40
    np.testing.assert_array_equal(written(), FRAMES + 1)


def test_small_arrays_and_text_are_in_the_master(client: Any) -> None:
    array = scan(label=("frame", da.from_array(np.array(list("abcdefghijklmnopqrstuvwx")), chunks=5)))
    to_nexus(array, "new.nxs")
    assert files() == ["new.nxs"]
    assert written().identical(array.compute())


@pytest.mark.usefixtures("small_parts")
def test_a_delayed_writes_and_completes_when_it_is_computed(client: Any) -> None:
    array = scan(extra=("frame", da.arange(24, chunks=6).map_blocks(lambda each: each.astype("U3"), dtype="U3")))
    job = to_nexus(array, "new.nxs", compute=False)
    assert not os.path.exists("new.nxs")
    future = client.compute(job)
    del job
    gc.collect()
    distributed.progress(future, notebook=False)
    future.result(timeout=PATIENCE_SECONDS)
    assert written().identical(array.compute())
    assert len(part_names()) == 6


UNTRUE = {
    "too short": (lambda block: block[:1], "has the shape|have the lengths"),
    "empty": (lambda block: block[:0], "has the shape"),
    "of another type": (lambda block: block + 0.5, "is of float64"),
    "of fewer dimensions": (lambda block: block[0], "has 2 dimensions, not 3"),
}


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("kind", UNTRUE)
@pytest.mark.parametrize("group", [1, 10_000], ids=["alone", "joined"])
def test_blocks_that_are_not_what_dask_says_are_refused(
    client: Any, kind: str, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LEAST_PART_BYTES", group)
    change, reason = UNTRUE[kind]
    values = da.from_array(FRAMES, chunks=(2, 40, 50)).map_blocks(change, dtype="u2", meta=FRAMES[:0])
    with pytest.raises(NexusError, match=reason):
        to_nexus(xr.DataArray(values, dims=("frame", "y", "x"), name="counts"), "new.nxs", chunks=(2, 40, 50))
    assert files() == []


@pytest.mark.usefixtures("small_parts")
def test_a_delayed_that_is_given_up_leaves_nothing(client: Any) -> None:
    job = to_nexus(scan(), "new.nxs", compute=False)
    assert files() != []
    del job
    gc.collect()
    assert files() == []


@pytest.mark.usefixtures("small_parts")
def test_what_workers_hold_already_is_written(client: Any) -> None:
    array = (scan() + 1).persist()
    to_nexus(array, "new.nxs")
    np.testing.assert_array_equal(written(), FRAMES + 1)


def failing_late() -> xr.DataArray:
    """A scan of which a block fails once others are in part files."""
    folder, before = Path("new_parts").absolute(), set(files("new_parts"))

    def fail(values: Any, block_id: tuple[int, ...] = ()) -> Any:
        if block_id[0] == 4:
            wait_until(lambda: bool(set(files(folder)) - before))
            raise ZeroDivisionError("in a task")
        return values

    array = scan()
    return array.copy(data=array.data.map_blocks(fail, dtype="u2", meta=array.data._meta))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("mode", ["w", "x", "a"])
def test_an_error_in_a_task_leaves_everything_as_it_was(client: Any, mode: str) -> None:
    if mode != "x":
        to_nexus(scan(), "new.nxs")
    before = {name: Path(name).read_bytes() for name in files()}
    with pytest.raises(ZeroDivisionError, match="in a task"):
        to_nexus(failing_late(), "new.nxs", mode=mode)
    assert {name: Path(name).read_bytes() for name in files()} == before


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("is_grouped", [False, True])
def test_an_error_in_a_task_says_where_it_was(client: Any, is_grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_grouped:
        monkeypatch.setattr(parts, "LEAST_PART_BYTES", 8 * FRAMES[0].nbytes)
    with pytest.raises(ZeroDivisionError) as caught:
        to_nexus([scan(), failing_late()], "new.nxs")
    region = "[16:24, 0:40, 0:50]" if is_grouped else "[16:20, 0:40, 0:50]"
    assert caught.value.__notes__ == [f"while writing {os.path.abspath('new.nxs')}:/entry2/counts/counts{region}"]


def tasks_in_work(dask_worker: Any) -> int:
    return len(dask_worker.state.executing)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("is_grouped", [False, True])
def test_what_is_still_written_after_an_error_is_none(
    client: Any, hold: Hold, is_grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_grouped:
        monkeypatch.setattr(parts, "LEAST_PART_BYTES", 8 * FRAMES[0].nbytes)

    def fail_or_be_late(values: Any, block_id: tuple[int, ...] = ()) -> Any:
        if block_id[0] == 1:
            hold.wait()
            raise ZeroDivisionError("in a task")
        return hold._held(values) if block_id[0] == 0 else values

    array = scan()
    broken = array.copy(data=array.data.map_blocks(fail_or_be_late, dtype="u2", meta=array.data._meta))
    with pytest.raises(ZeroDivisionError):
        to_nexus(broken, "quiet.nxs")
    assert any(client.run(tasks_in_work).values())
    hold.let_go()
    wait_until(lambda: not any(client.run(tasks_in_work).values()))
    said = [message for log in client.get_worker_logs().values() for _, message in log]
    assert [
        message for message in said if os.path.abspath("quiet_parts") in message and "NexusFileError" in message
    ] == []
    assert files() == []


@pytest.mark.usefixtures("small_parts")
def test_tasks_are_called_like_the_array_that_they_write(client: Any) -> None:
    job = to_nexus(scan(), "new.nxs", compute=False)
    names = {distributed.utils.key_split(key) for key in dict(job.__dask_graph__())}
    assert "write-counts" in names


@pytest.mark.usefixtures("small_parts")
def test_a_worker_that_is_killed_while_it_writes_loses_nothing(client: Any, hold: Hold) -> None:
    held = scan().copy(data=hold.blocks(scan(block=(1, 40, 50)).data))
    future = client.compute(to_nexus(held, "new.nxs", compute=False))
    hold.wait()
    kill_a_worker(client)
    hold.let_go()
    future.result(timeout=PATIENCE_SECONDS)
    np.testing.assert_array_equal(written(), FRAMES)
    assert part_names() == [f"part_{number:05}.h5" for number in range(1, 25)]


@pytest.mark.usefixtures("small_parts")
def test_an_interrupt_leaves_nothing(client: Any, hold: Hold) -> None:
    with interrupted_after(hold.wait):
        to_nexus(scan().copy(data=hold.blocks(scan(block=(1, 40, 50)).data)), "new.nxs")
    assert files() == []


@pytest.mark.usefixtures("small_parts")
def test_a_client_that_is_closed_meanwhile_leaves_nothing(cluster: Any, hold: Hold) -> None:
    def close(client: Any) -> None:
        hold.wait()
        client.close()

    with distributed.Client(cluster) as client, ThreadPoolExecutor(1) as pool:
        closing = pool.submit(close, client)
        with pytest.raises(CancelledError):
            to_nexus(scan().copy(data=hold.blocks(scan(block=(1, 40, 50)).data)), "new.nxs")
        closing.result()
    assert files() == []


@pytest.mark.usefixtures("small_parts")
def test_the_parts_of_the_file_that_is_replaced_go_when_it_goes(client: Any) -> None:
    to_nexus(scan(), "new.nxs")
    old = set(files())
    Path("new_parts/mine.txt").write_text("not a part")
    to_nexus(xr.open_dataset("new.nxs", engine="nexus", chunks={}) + 1, "new.nxs")  # which reads the old ones
    np.testing.assert_array_equal(written(), FRAMES + 1)
    assert set(files()) & old == {"new.nxs"}
    with dask.config.set(scheduler="threads"):
        to_nexus(scan(), "new.nxs")
    assert files() == ["new.nxs", "new_parts/mine.txt"]


@pytest.mark.usefixtures("small_parts")
def test_an_entry_more_keeps_the_parts_of_those_before(client: Any) -> None:
    to_nexus(scan(), "new.nxs")
    to_nexus(scan() + 1, "new.nxs", mode="a")
    first, second = (each.load() for each in nexus_xr.open_signals("new.nxs", nxdata_only=True))
    np.testing.assert_array_equal(first, FRAMES)
    np.testing.assert_array_equal(second, FRAMES + 1)
    with pytest.raises(NexusFileError, match="is there already"):
        to_nexus(scan(), "new.nxs", mode="x")
    nexus_xr.consolidate("new.nxs")
    assert files() == ["new.nxs"]
    np.testing.assert_array_equal(nexus_xr.open_signals("new.nxs", nxdata_only=True)[1], FRAMES + 1)


@pytest.mark.usefixtures("small_parts")
def test_an_entry_of_parts_joins_what_came_while_it_was_written(client: Any) -> None:
    to_nexus(scan(), "new.nxs")
    job = to_nexus(scan() + 1, "new.nxs", mode="a", compute=False)
    to_nexus(scan() + 2, "new.nxs", mode="a")
    job.compute()
    found = [each.load() for each in nexus_xr.open_signals("new.nxs", nxdata_only=True)]
    assert [int((each - FRAMES).mean()) for each in found] == [0, 2, 1]
    assert len(part_names()) == 18
    assert [name for name in files() if not name.startswith("new_parts")] == ["new.nxs"]
    with h5py.File("new.nxs", "r+") as file:  # which nobody holds
        assert file["entry3/counts/counts"].is_virtual
        assert len(file.attrs[PARTS]) == 3


@pytest.mark.usefixtures("small_parts")
def test_a_worker_that_has_not_the_folder_is_an_error_that_names_both(client: Any) -> None:
    job = to_nexus(scan(), "new.nxs", compute=False)
    os.rename("new_parts", "elsewhere")
    with pytest.raises(NexusFileError, match=r"new_parts/.*\.h5: can't be written on the worker tcp://127"):
        job.compute()
    assert not os.path.exists("new.nxs")


def test_a_region_is_written_by_this_process_alone(client: Any) -> None:
    to_nexus(scan().compute(), "new.nxs")
    before = Path("new.nxs").read_bytes()
    part = scan()[4:8].drop_vars("frame") + 1
    with pytest.raises(NexusError, match='scheduler="threads"'):
        to_nexus(part, "new.nxs", region={"frame": slice(4, 8)})
    assert Path("new.nxs").read_bytes() == before
    with dask.config.set(scheduler="threads"):
        to_nexus(part, "new.nxs", region={"frame": slice(4, 8)})
    np.testing.assert_array_equal(written()[4:8], FRAMES[4:8] + 1)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("grows", [True, False])
def test_what_workers_wrote_grows_once_it_is_one_file(client: Any, grows: bool) -> None:
    to_nexus(scan(), "new.nxs", unlimited_dims="frame" if grows else None)
    with h5py.File("new.nxs") as file:
        assert file["entry1/counts/counts"].maxshape == (None if grows else 24, 40, 50)
        np.testing.assert_array_equal(file["entry1/counts/counts"], FRAMES)
    assert written().identical(scan().compute())
    help_for = (
        r"one file first: nexus_xr\.consolidate\('new.nxs'\)" if grows else 'with unlimited_dims="frame" at first'
    )
    with pytest.raises(NexusError, match=help_for):
        to_nexus(scan().compute(), "new.nxs", append_dim="frame")
    nexus_xr.consolidate("new.nxs")
    if grows:
        to_nexus(scan().compute(), "new.nxs", append_dim="frame")
        np.testing.assert_array_equal(written(), np.concatenate([FRAMES, FRAMES]))


@pytest.mark.usefixtures("small_parts")
def test_threads_write_one_file_beside_a_cluster_too(client: Any) -> None:
    with dask.config.set(scheduler="threads"):
        to_nexus(scan(), "new.nxs")
    assert files() == ["new.nxs"]


@pytest.mark.usefixtures("small_parts")
def test_a_pool_of_processes_writes_parts_too() -> None:
    with dask.config.set(scheduler="processes", num_workers=2):
        to_nexus(scan(), "new.nxs")
    assert written().identical(scan().compute())
    assert len(part_names()) == 6


@pytest.mark.usefixtures("small_parts")
def test_a_name_that_looks_like_a_pattern_is_taken_as_it_is(client: Any) -> None:
    to_nexus(scan(), "100%b.nxs")
    np.testing.assert_array_equal(written("100%b.nxs"), FRAMES)
    nexus_xr.consolidate("100%b.nxs")
    assert files() == ["100%b.nxs"]
    np.testing.assert_array_equal(written("100%b.nxs"), FRAMES)


@pytest.mark.usefixtures("small_parts")
def test_workers_write_what_goes_back_into_the_tree_that_it_came_from(client: Any) -> None:
    scan().nexus.to_nexus("old.nxs")
    dataset = xr.open_dataset("old.nxs", engine="nexus", chunks={"frame": 4})
    dataset["counts"] = dataset.counts.copy(data=dataset.counts.data + 1)
    dataset.nexus.to_nexus("new.nxs", layout="inplace")
    np.testing.assert_array_equal(written(), FRAMES + 1)
    with h5py.File("old.nxs") as old, h5py.File("new.nxs") as new:
        assert new["entry1/counts/counts"].is_virtual
        assert new["entry1/counts/counts"].attrs["units"] == old["entry1/counts/counts"].attrs["units"] == "counts"
        assert list(new["entry1"]) == list(old["entry1"])


def test_a_cluster_is_not_thought_of_before_there_is_one() -> None:
    code = """
import sys
import numpy as np, xarray as xr, nexus_xr
nexus_xr.to_nexus(xr.DataArray(np.zeros((4, 4)), name="z"), "new.nxs")
xr.open_dataset("new.nxs", engine="nexus").z.load()
sys.exit("distributed" in sys.modules)
"""
    run(code)
