"""Files behind URLs: few requests, many at once, the values of the file or a clear error."""

from __future__ import annotations

import concurrent.futures
import gc
import io
import itertools
import multiprocessing
import pickle
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from fsspec.asyn import AsyncFileSystem
from fsspec.registry import known_implementations
from fsspec.spec import AbstractBufferedFile
from h5py import h5d, h5p, h5s, h5t
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusFileChangedError, NexusFileError, NexusFileNotFoundError, NexusWarning
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.reach import Reach
from nexus_xr.hdf5.io.naming.url_path import linked_url
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.io.remote import ahead as ahead_module
from nexus_xr.hdf5.io.remote import kept_blocks, object_store
from nexus_xr.hdf5.io.remote import remote_file as remote
from nexus_xr.hdf5.io.remote.ahead import MOST_REQUESTS, REQUEST_BYTES
from nexus_xr.hdf5.library import described
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.reading.array import LazyArray

from .arrays import indexers_within, take
from .files import Field, nxdata, nxentry, scan_file, write_tree
from .opened import open_nexus
from .processes import run
from .servers import FaultyServer
from .stacks import INDEXES, write_indexed
from .waiting import interrupted_after

pytest.importorskip("aiohttp", reason="what fsspec asks web servers with")

FRAMES = np.random.default_rng(1).integers(0, 1 << 16, (200, 128, 128), dtype="u2")
BIG = np.random.default_rng(2).integers(0, 1 << 16, (60, 512, 1024), dtype="u2")  # a MiB a frame
COUNTS = np.arange(12, dtype="u2").reshape(3, 4)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    """A server of the files in the test's folder."""
    with FaultyServer(tmp_path).running() as running:
        assert isinstance(running, FaultyServer)
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow one another faster than for a server in trouble."""
    monkeypatch.setattr(object_store, "PAUSE_SECONDS", 0.01)


def write_stack(path: Path, frames: Any = FRAMES, **options: Any) -> None:
    stored = Field(frames, **{"chunks": (1, *frames.shape[1:]), **options})
    write_tree(path, {"entry": nxentry({"data": nxdata({"counts": stored}, signal="counts")})})


# --- requests ----------------------------------------------------------------------------------------------------


def _add_fields(entry: h5py.Group) -> None:
    """300 fields in 30 groups."""
    for number in range(30):
        group = entry.create_group(f"instrument/motor_{number:02}")
        group.attrs["NX_class"] = "NXpositioner"
        for index, value in enumerate([float(number), f"motor {number}", number, np.arange(8.0), *range(6)]):
            group[f"field_{index}"] = value
            group[f"field_{index}"].attrs.update(units="mm", local_name=f"motor{number}.field{index}")


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("fields_at", [0, 100, 200], ids=["before", "in the middle of", "behind"])
def test_300_fields_beside_a_stack_open_in_few_requests(
    fields_at: int, libver: str, server: FaultyServer, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "scan.nxs", "w", libver=libver) as file:
        file.attrs["default"] = "entry"
        entry = file.create_group("entry")
        entry.attrs.update(NX_class="NXentry", default="data")
        entry.create_group("data").attrs.update(NX_class="NXdata", signal="counts")
        counts = entry["data"].create_dataset("counts", FRAMES.shape, "u2", chunks=(1, 128, 128))
        counts[:fields_at] = FRAMES[:fields_at]
        _add_fields(entry)
        counts[fields_at:] = FRAMES[fields_at:]
    dataset = open_nexus(f"{server.url}/scan.nxs")
    assert len(server.requests) <= 8
    motors = dataset.attrs["instrument"]
    assert (
        sum(isinstance(field, dict) and "value" in field for motor in motors.values() for field in motor.values())
        == 300
    )
    assert motors["motor_07"]["field_1"] == {
        "value": "motor 7",
        "attrs": {"units": "mm", "local_name": "motor7.field1"},
    }
    server.requests.clear()
    np.testing.assert_array_equal(dataset.counts, FRAMES)
    assert len(server.requests) < 20


def test_a_description_from_bytes_takes_no_more_requests_than_one_by_libhdf5(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "scan.nxs", scan_file())
    with h5py.File(tmp_path / "scan.nxs", "a", libver="latest") as file:
        for number in range(300):
            file[f"entry/many/{number}"] = "text" * number
            file[f"entry/far/{number}"] = np.zeros(2000)

    def requests_of_an_opening() -> int:
        kept_blocks.kept_blocks._start_anew()
        server.requests.clear()
        assert len(nexus_xr.read_metadata(f"{server.url}/scan.nxs")["entry"]["many"]) == 300
        return len(server.requests)

    with monkeypatch.context() as patch:
        patch.setattr(File, "_open_handle", lambda file: pytest.fail("libhdf5 was asked"))
        from_bytes = requests_of_an_opening()
    monkeypatch.setattr(described, "_root_from_bytes", lambda *_: None)
    assert from_bytes <= requests_of_an_opening()


def test_a_frame_is_one_request_once_the_index_is_known(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG, compression="lzf")
    dataset = open_nexus(f"{server.url}/scan.nxs")
    dataset.counts[0].load()
    server.requests.clear()
    np.testing.assert_array_equal(dataset.counts[50], BIG[50])
    ((begin, end),) = server.ranges
    with h5py.File(tmp_path / "scan.nxs") as file:
        chunk = file["entry/data/counts"].id.get_chunk_info_by_coord((50, 0, 0))
    assert (begin, end) == (chunk.byte_offset, chunk.byte_offset + chunk.size)


def test_frames_in_order_are_fetched_ahead(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    dataset = open_nexus(f"{server.url}/scan.nxs")
    dataset.counts[0].load()
    server.requests.clear()
    for number in range(60):
        if number == 10:
            server.await_at_once(2)
        np.testing.assert_array_equal(dataset.counts[number], BIG[number])
    assert len(server.requests) < 30
    assert server.most_at_once >= 2


def test_of_values_without_filters_only_what_is_wanted_is_fetched(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    dataset = open_nexus(f"{server.url}/scan.nxs")
    dataset.counts[0, 0].load()
    server.requests.clear()
    np.testing.assert_array_equal(dataset.counts[20:40, 500:510, 7:9], BIG[20:40, 500:510, 7:9])
    assert [end - begin for begin, end in sorted(server.ranges)] == [2 * (9 * 1024 + 2)] * 20


@pytest.mark.parametrize("index", INDEXES)
def test_no_byte_is_fetched_twice_in_a_read(index: str, server: FaultyServer, tmp_path: Path) -> None:
    write_indexed(tmp_path / "data.h5", FRAMES, (1, 100, 100), **INDEXES[index])
    array = LazyArray(File(f"{server.url}/data.h5"), "/data", FRAMES.shape, FRAMES.dtype)
    array[0, 0, 0]
    server.requests.clear()
    np.testing.assert_array_equal(array[:, 10:], FRAMES[:, 10:])
    ranges = sorted(server.ranges)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ranges))


def test_nodes_of_an_index_are_fetched_side_by_side(server: FaultyServer, tmp_path: Path) -> None:
    rows = BIG.reshape(-1, 1 << 17)  # chunks of 256 KiB, of which the index has up to 64 in a node
    write_indexed(tmp_path / "data.h5", rows, (1, 1 << 17), **INDEXES["B-tree 1"])
    array = LazyArray(File(f"{server.url}/data.h5"), "/data", rows.shape, rows.dtype)
    with array.file.opened():
        server.await_at_once(4)
        np.testing.assert_array_equal(array[200], rows[200])
    assert server.most_at_once >= 4


@pytest.mark.parametrize("readers", [1, 6])
def test_requests_are_many_at_once_and_bounded(readers: int, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    dataset = open_nexus(f"{server.url}/scan.nxs", chunks={"dim_0": 60 // readers})
    dataset.counts[0].load()
    server.await_at_once(8)
    assert int(dataset.counts.sum().compute(scheduler="threads", num_workers=readers)) == int(BIG.sum(dtype="u8"))
    assert 8 <= server.most_at_once <= MOST_REQUESTS + readers


def test_memory_is_bounded(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    dataset = open_nexus(f"{server.url}/scan.nxs")
    dataset.counts[0].load()
    tracemalloc.start()
    try:
        total = sum(int(dataset.counts[at : at + 5].sum()) for at in range(0, 60, 5))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == int(BIG.sum(dtype="u8"))
    assert peak < 16 << 20  # a result of 5 MiB, what comes in for it, and each once more while it is replaced


def test_what_is_ahead_is_bounded(server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bytes").write_bytes(bytes(200 << 20))
    monkeypatch.setattr(ahead_module, "MOST_REQUESTS", 4)
    file = _remote_file(f"{server.url}/bytes")
    offsets = range(0, file.size, 1 << 20)
    with file.expecting(lambda: (offsets, [1 << 20] * len(offsets))) as ahead:
        view = memoryview(bytearray(1 << 20))
        for count, offset in enumerate(offsets, 1):
            assert ahead.read_into(view, offset) == len(view)
            asked = sum(end - begin for begin, end in server.ranges[1:])
            assert asked <= (count << 20) + 4 * REQUEST_BYTES


def _remote_file(url: str) -> remote.RemoteFile:
    fs, path = fsspec.core.url_to_fs(url)
    return remote.RemoteFile(object_store.StoreFile(url, fs, path), None)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_are_those_of_the_file(data: st.DataObject, server: FaultyServer, tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(5 << 20)
    (tmp_path / "bytes").write_bytes(content)
    file = _remote_file(f"{server.url}/bytes")
    places = st.tuples(st.integers(0, 6 << 20), st.integers(0, 2 << 20))
    expected = data.draw(st.lists(places, max_size=6))
    read = data.draw(st.lists(st.sampled_from(expected) | places if expected else places, max_size=6))
    with file.expecting(lambda: ([at for at, _ in expected], [size for _, size in expected])) as ahead:
        for source, (at, size) in itertools.product((ahead, file), read):
            view = memoryview(bytearray(size))
            count = source.read_into(view, at)
            assert view[:count] == content[at : at + size]


# --- values ------------------------------------------------------------------------------------------------------

FILTERS: dict[str, Mapping[str, Any]] = {
    "contiguous": {"chunks": None},
    "none": {"chunks": (3, 20, 33)},
    "gzip": {"chunks": (3, 20, 33), "compression": "gzip", "shuffle": True},
    "small chunks": {"chunks": (1, 5, 8), "compression": "lzf"},
    "bitshuffle": {"chunks": (2, 64, 64), **hdf5plugin.Bitshuffle()},
    "only libhdf5": {"chunks": (3, 20, 33), "scaleoffset": 0},
}


@pytest.mark.parametrize("how", FILTERS)
def test_values_are_those_of_h5py(how: str, server: FaultyServer, tmp_path: Path) -> None:
    values = FRAMES[:20, :64, :64]
    write_stack(tmp_path / "scan.nxs", values, **FILTERS[how])
    counts = open_nexus(f"{server.url}/scan.nxs").counts.variable

    @settings(max_examples=40)
    @given(st.tuples(*map(indexers_within, values.shape)))
    def check(key: Any) -> None:
        np.testing.assert_array_equal(counts[key].values, take(values, key))

    check()


def test_many_threads_read_one_file(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    dataset = open_nexus(f"{server.url}/scan.nxs")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        server.hold()
        frames = pool.map(lambda number: dataset.counts[number].values, range(200))
        server.await_held(1)
        server.let_go()
        np.testing.assert_array_equal(list(frames), FRAMES)


def _sum(dataset: xr.Dataset) -> int:
    return int(dataset.counts.sum())


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_either_kind_read(method: str, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    dataset = open_nexus(f"{server.url}/scan.nxs")
    dataset.counts[0].load()
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert set(pool.map(_sum, [dataset] * 2)) == {FRAMES.sum()}


def test_only_the_name_travels(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    dataset = open_nexus(f"{server.url}/scan.nxs", chunks={}, storage_options={"block_size": 1 << 16})
    pickled = pickle.dumps(dataset)
    assert len(pickled) < 10_000
    server.requests.clear()
    again = pickle.loads(pickled)
    assert not server.requests
    np.testing.assert_array_equal(again.counts, FRAMES)


def test_of_a_file_that_was_opened_twice_what_was_kept_is_forgotten_once(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "scan.nxs")
    opened = [open_nexus(f"{server.url}/scan.nxs") for _ in range(3)]
    monkeypatch.setattr(kept_blocks, "MOST_KEPT_BYTES", 1)
    write_stack(tmp_path / "other.nxs")
    for dataset in (*opened, open_nexus(f"{server.url}/other.nxs")):
        np.testing.assert_array_equal(dataset.counts, FRAMES)


def test_closed_files_open_again(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    with open_nexus(f"{server.url}/scan.nxs") as dataset:
        dataset.counts[0].load()
    np.testing.assert_array_equal(dataset.counts, FRAMES)


# --- faults ------------------------------------------------------------------------------------------------------

PASSING = {
    "503": "status 503",
    "429": "status 429",
    "dropped": "ServerDisconnectedError",
    "short body": "ClientPayloadError",
    "fewer bytes": "bytes came in place of",
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_goes_wrong_once_is_tried_again(fault: str, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    server.faults = [fault] * 2
    dataset = open_nexus(f"{server.url}/scan.nxs")
    server.faults = [fault] * 3
    np.testing.assert_array_equal(dataset.counts, FRAMES)


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("meanwhile", ["opening", "reading"])
def test_what_stays_wrong_is_an_error(meanwhile: str, fault: str, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    url = f"{server.url}/scan.nxs"
    if meanwhile == "reading":
        counts = open_nexus(url).counts
        counts[0].load()
    server.requests.clear()
    server.always = fault
    with pytest.raises(NexusFileError, match=rf"{url}: bytes \d+ to \d+ can't be read: .*{PASSING[fault]}") as caught:
        open_nexus(url) if meanwhile == "opening" else counts[40].load()
    assert f"at the last of {object_store.ATTEMPTS} attempts" in str(caught.value)
    # aiohttp itself asks once more where a connection that it kept turns out to be closed.
    assert object_store.ATTEMPTS <= len(server.requests) <= 2 * object_store.ATTEMPTS
    server.always = None
    np.testing.assert_array_equal(open_nexus(url).counts[40], BIG[40])
    if meanwhile == "reading":
        assert "/entry/data/counts" in str(caught.value)
        np.testing.assert_array_equal(counts[40], BIG[40])


def _scattered() -> dict[str, Any]:
    """A tree whose groups have megabytes of values between them."""
    big = {f"group{number}": {"@NX_class": "NXcollection", "big": np.zeros(1 << 18), "n": 1} for number in range(4)}
    return {"entry": nxentry({"data": nxdata({"n": COUNTS}, signal="n"), **big})}


@pytest.mark.parametrize("good", range(1, 4))
def test_a_tree_is_read_as_a_whole_or_not_at_all(good: int, server: FaultyServer, tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.nxs", _scattered())
    server.faults = ["none"] * good
    server.always = "503"
    with pytest.raises(NexusFileError, match="status 503"):
        open_nexus(f"{server.url}/scan.nxs")


def test_a_server_without_ranges_is_an_error(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    server.always = "no ranges"
    with pytest.raises(NexusFileError, match=r"scan.nxs: the server doesn't support range requests .*simplecache::"):
        open_nexus(f"{server.url}/scan.nxs")
    assert len(server.requests) == 1
    np.testing.assert_array_equal(open_nexus(f"simplecache::{server.url}/scan.nxs").counts[3], BIG[3])


def test_a_server_that_does_not_tell_the_size_says_so(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    server.always = "no size"
    with pytest.raises(NexusFileError, match=r"doesn't tell how large the file is .*'bytes 0-\d+/\*'.*simplecache::"):
        open_nexus(f"{server.url}/scan.nxs")


def test_a_web_page_in_place_of_the_file_is_none(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    server.always = "web page"
    with pytest.raises(NexusFileError, match=r"scan.nxs: the server answers status 200 OK with a web page") as caught:
        open_nexus(f"{server.url}/scan.nxs")
    assert "simplecache" not in str(caught.value)


def test_a_file_system_that_is_awaited_is_none_to_read_with(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    with pytest.raises(NexusFileError, match=r"scan.nxs: can't be opened \(asynchronous=True .* leave it out\)"):
        open_nexus(f"{server.url}/scan.nxs", storage_options={"asynchronous": True})


@pytest.mark.parametrize("protocol", ["simplecache", "filecache"])
def test_what_was_opened_for_a_url_is_closed(protocol: str, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    cache = {protocol: {"cache_storage": str(tmp_path / "cache")}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(2):
            dataset = open_nexus(f"{protocol}::{server.url}/scan.nxs", storage_options=cache)
            np.testing.assert_array_equal(dataset.counts[3], FRAMES[3])
            dataset.close()
            del dataset
            gc.collect()
    assert [each for each in caught if issubclass(each.category, ResourceWarning) and "cache" in str(each)] == []


def test_other_bytes_than_those_asked_for_are_an_error(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    dataset = open_nexus(f"{server.url}/scan.nxs")
    server.always = "elsewhere"
    with pytest.raises(NexusFileError, match="it answers with the range 'bytes "):
        dataset.counts.load()


def test_a_file_that_is_refused_or_missing_says_so(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    with pytest.raises(nexus_xr.NexusFileError, match=r"no.nxs: no such file; check the URL") as caught:
        open_nexus(f"{server.url}/no.nxs")
    assert isinstance(caught.value, FileNotFoundError)
    server.always = "403"
    with pytest.raises(NexusFileError, match=r"scan.nxs: bytes 0 to .* refused \(status 403 .*storage_options"):
        open_nexus(f"{server.url}/scan.nxs")
    assert len(server.requests) == 2


@pytest.mark.parametrize("content", [b"", b"<html></html>"])
def test_what_is_no_hdf5_says_what_it_is(content: bytes, server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "scan.nxs").write_bytes(content)
    with pytest.raises(NexusFileError, match=r"the file is empty|not an HDF5 file"):
        open_nexus(f"{server.url}/scan.nxs")


def test_a_file_that_changed_is_an_error(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    dataset = open_nexus(f"{server.url}/scan.nxs")
    dataset.counts[0].load()
    write_stack(tmp_path / "scan.nxs", FRAMES + 1)
    with pytest.raises(NexusFileError, match="the file changed since it was opened"):
        dataset.counts.load()
    np.testing.assert_array_equal(open_nexus(f"{server.url}/scan.nxs").counts, FRAMES + 1)


@pytest.mark.parametrize("kind", [NexusFileChangedError, NexusFileNotFoundError])
@pytest.mark.parametrize("where", ["here", "web"])
def test_a_file_that_is_another_or_gone_when_values_are_read_has_the_error_of_that(
    kind: type[NexusFileError], where: str, server: FaultyServer, tmp_path: Path
) -> None:
    path = tmp_path / "scan.nxs"
    write_stack(path)
    dataset = open_nexus(path if where == "here" else f"{server.url}/scan.nxs")
    dataset.counts[0].load()
    if kind is NexusFileChangedError:
        write_stack(path, FRAMES[:-1])
    else:
        path.unlink()
    with pytest.raises(NexusFileError) as caught:
        dataset.counts[100].load()
    assert type(caught.value) is kind
    assert "scan.nxs" in str(caught.value)


def test_a_zarr_view_has_no_fill_values_of_a_file_that_is_gone(server: FaultyServer, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    counts = zarr.open_array(nexus_xr.zarr_store(f"{server.url}/scan.nxs"), path="entry/data/counts", mode="r")
    np.testing.assert_array_equal(counts[0], FRAMES[0])
    (tmp_path / "scan.nxs").unlink()
    with pytest.raises(NexusFileNotFoundError, match=r"scan.nxs: no such file"):
        counts[100]


def test_nothing_is_kept_of_files_without_a_version(server: FaultyServer, tmp_path: Path) -> None:
    server.always = "no tag"
    for values in (COUNTS, COUNTS + 1):
        write_stack(tmp_path / "scan.nxs", values, chunks=None)
        np.testing.assert_array_equal(open_nexus(f"{server.url}/scan.nxs").counts, values)


SECRETS = ("PASSWORD", "SIGNATURE")


def _with_secrets(url: str) -> str:
    return f"{url.replace('://', '://me:PASSWORD@')}?X-Amz-Signature=SIGNATURE"


def test_no_error_and_no_name_has_the_secrets_of_a_url(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    shown = server.url.replace("://", "://me:***@")
    url = _with_secrets(f"{server.url}/scan.nxs")
    dataset = open_nexus(url)
    said = [repr(dataset.counts.encoding["opened"]), repr(dataset.counts.variable._data)]
    write_stack(tmp_path / "scan.nxs", FRAMES[:-1])
    wrong: list[tuple[Any, dict[str, Any]]] = [
        (_with_secrets(f"{server.url}/none.nxs"), {}),
        (f"simplecache::{_with_secrets(f'{server.url}/none.nxs')}", {}),
        ("unknown://me:PASSWORD@facility/scan.nxs", {}),
        (_with_secrets("http://127.0.0.1:9/scan.nxs"), {}),
        (url, {"group": "absent"}),
        (url, {"within": "http://elsewhere.org"}),
        (url, {"storage_options": {"wrong": 1}}),
    ]
    for where, options in wrong:
        with pytest.raises(nexus_xr.NexusError) as caught:
            open_nexus(where, **options)
        said.append(str(caught.value))
    with pytest.raises(nexus_xr.NexusError) as caught:
        nexus_xr.open_signals(url, chunks={"absent": 1})
    said.append(str(caught.value))
    with pytest.raises(NexusFileChangedError) as changed:
        dataset.counts[5].load()
    said.append(str(changed.value))
    assert [words for words in said if any(secret in words for secret in SECRETS)] == []
    assert f"{shown}/scan.nxs?***: the file changed" in said[-1]


def test_what_opens_a_file_again_has_its_url_as_it_was_given(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    url = _with_secrets(f"{server.url}/scan.nxs")
    dataset = open_nexus(url)
    assert (dataset.encoding["source"], dataset.counts.encoding["source"]) == (url, url)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).nexus.refresh().counts, FRAMES)
    pytest.importorskip("zarr")
    assert nexus_xr.zarr_store(url).references()["refs"]["entry/data/counts/c/0/0/0"][0] == url


def test_nobody_to_ask_is_an_error() -> None:
    with pytest.raises(NexusFileError, match=r"127.0.0.1:9/scan.nxs: bytes 0 to .*ClientConnectorError"):
        open_nexus("http://127.0.0.1:9/scan.nxs")


def test_wrong_storage_options_are_an_error(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    with pytest.raises(NexusFileError, match=r"scan.nxs: .*nonsense.*check .*storage_options"):
        open_nexus(f"{server.url}/scan.nxs", storage_options={"nonsense": 1})


def test_a_file_system_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = {"class": "no_such_package.FileSystem", "err": "Install elsewherefs"}
    monkeypatch.setitem(known_implementations, "elsewhere", missing)
    with pytest.raises(NexusFileError, match=r"elsewhere://a/scan.nxs: .*Install elsewherefs.*pip install"):
        open_nexus("elsewhere://a/scan.nxs")


@pytest.mark.parametrize(("answered", "held"), [(0, 1), (0, 8), (6, 4)])
def test_an_interrupt_ends_a_read_and_harms_no_other(
    answered: int, held: int, server: FaultyServer, tmp_path: Path
) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    dataset = open_nexus(f"{server.url}/scan.nxs")
    dataset.counts[0].load()
    server.hold(answered)
    with interrupted_after(lambda: server.await_held(held), server.let_go):
        dataset.counts.load()
    np.testing.assert_array_equal(dataset.counts[40], BIG[40])


GARBAGE = """
import gc, sys, h5py, xarray as xr
from nexus_xr.hdf5.io.remote.object_store import StoreFile

class Cycle:
    def __init__(self):
        self.file, self.itself = h5py.File(sys.argv[2]), self

async def read_with_garbage(self, *arguments, read=StoreFile.read):
    del cycles[-1]
    if gc.isenabled():  # as happens by itself, now and then
        gc.collect()
    requests.append(arguments)
    return await read(self, *arguments)

gc.set_threshold(0)
cycles, requests = [Cycle() for _ in range(10)], []
StoreFile.read = read_with_garbage
xr.open_dataset(sys.argv[1], engine="nexus")
print(len(requests))
"""


def test_garbage_that_holds_files_is_no_deadlock(server: FaultyServer, tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.nxs", _scattered())
    requests = run(GARBAGE, f"{server.url}/scan.nxs", tmp_path / "scan.nxs")
    assert int(requests) > 2  # the first is before libhdf5 reads


# --- links -------------------------------------------------------------------------------------------------------


def write_linked(folder: Path) -> None:
    """A scan whose values and fields are in files below and beside its folder, by links and virtual datasets."""
    (folder / "scans/raw").mkdir(parents=True)
    write_stack(folder / "scans/raw/a b#1.nxs", FRAMES[:10], compression="lzf")
    write_stack(folder / "scans/raw/b.nxs", FRAMES[10:20], compression="gzip", shuffle=True)
    write_stack(folder / "calibration.nxs", FRAMES[20:24])
    with h5py.File(folder / "scans/raw/b.nxs", "a") as file:
        file["further"] = h5py.ExternalLink("../../calibration.nxs", "/entry/data/counts")
        file["own"] = h5py.SoftLink("/entry/data/counts")
        file["text"] = ["of", "another", "file"]
    with h5py.File(folder / "scans/scan.nxs", "w") as file:
        entry = file.create_group("entry")
        entry.attrs.update(NX_class="NXentry", default="data")
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="counts")
        layout = h5py.VirtualLayout((20, 128, 128), "u2")
        layout[:10] = h5py.VirtualSource("raw/a b#1.nxs", "/entry/data/counts", (10, 128, 128))
        layout[10:] = h5py.VirtualSource("/somewhere/raw/../raw/b.nxs", "/entry/data/counts", (10, 128, 128))
        data.create_virtual_dataset("counts", layout)
        for name, target in {
            "linked": ("raw/b.nxs", "/own"),
            "text": ("./raw//b.nxs", "text"),
            "group": ("raw/b.nxs", "/entry/data"),
            "absent": ("raw/c.nxs", "/own"),
            "nothing": ("raw/b.nxs", "/nothing"),
            "outside": ("../calibration.nxs", "/entry/data/counts"),
            "further": ("raw/b.nxs", "/further"),
        }.items():
            entry[name] = h5py.ExternalLink(*target)
        entry["soft"] = h5py.SoftLink("/entry/linked")


def links_of(path: Any, **options: Any) -> tuple[dict[str, Any], str]:
    with pytest.warns(NexusWarning) as said:
        tree = nexus_xr.read_metadata(path, **options)["entry"]
    return tree, str(said[0].message)


def test_links_of_a_file_behind_a_url_lead_to_others_there(server: FaultyServer, tmp_path: Path) -> None:
    write_linked(tmp_path)
    here, _ = links_of(tmp_path / "scans/scan.nxs")
    for within, asked in ((f"{server.url}/", 4), ([server.url], 4), (None, 3)):
        kept_blocks.kept_blocks._start_anew()
        server.requests.clear()
        there, said = links_of(f"{server.url}/scans/scan.nxs", within=within)
        assert len(server.requests) <= asked + 1  # that for the file which isn't there
        for name in ("linked", "soft", "further", "outside", "text", "absent", "nothing"):
            if within is None and name in ("further", "outside"):
                assert isinstance(there[name], Link)
            else:
                np.testing.assert_array_equal(getattr(there[name], "value", 0), getattr(here[name], "value", 0))
                assert isinstance(there[name], Link) == isinstance(here[name], Link)
        assert ("calibration.nxs:/entry/data/counts, which lies outside of" in said) == (within is None)
        assert "links to raw/b.nxs:/nothing, which is not there" in said


def test_virtual_datasets_behind_a_url_are_made_of_others_there(server: FaultyServer, tmp_path: Path) -> None:
    write_linked(tmp_path)
    (tmp_path / "scans/b.nxs").hardlink_to(tmp_path / "scans/raw/b.nxs")  # where an absolute name leads from here on
    with h5py.File(tmp_path / "scans/scan.nxs") as file:
        expected = file["entry/data/counts"][()]
    np.testing.assert_array_equal(expected, FRAMES[:20])
    dataset = open_nexus(f"{server.url}/scans/scan.nxs", chunks={})
    assert dataset.counts.encoding["chunksizes"] == (1, 128, 128)
    server.requests.clear()
    np.testing.assert_array_equal(dataset.counts, expected)
    assert len(server.requests) <= 4
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts[8:13, ::-7, 3], expected[8:13, ::-7, 3])


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_virtual_dataset_behind_a_url_reads_as_it_does_here(
    data: st.DataObject, server: FaultyServer, tmp_path: Path
) -> None:
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for number in range(3):
        with h5py.File(folder / f"{number}.h5", "w") as file:
            file["data"] = FRAMES[number, :4, :5]
    layout = h5py.VirtualLayout((12, 5), "u2")
    for begin in (0, 4, 8):
        length = data.draw(st.integers(1, 4))
        name = data.draw(st.sampled_from(["0.h5", "1.h5", "2.h5", "./2.h5", "../any/1.h5", "absent.h5"]))
        layout[begin : begin + length] = h5py.VirtualSource(name, "data", (4, 5))[:length]
    with h5py.File(folder / "all.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=7)
    with h5py.File(folder / "all.h5") as file:
        expected = file["data"][()]
    kept_blocks.kept_blocks._start_anew()
    array = LazyArray(File(f"{server.url}/any/all.h5"), "/data", (12, 5), np.dtype("u2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NexusWarning)
        np.testing.assert_array_equal(array[...], expected)


def test_sources_behind_urls_are_opened_side_by_side(server: FaultyServer, tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((8, 128, 128), "u2")
    for number in range(8):
        write_stack(tmp_path / f"{number}.nxs", FRAMES[number : number + 1])
        layout[number] = h5py.VirtualSource(f"{number}.nxs", "/entry/data/counts", (1, 128, 128))[0]
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        file.create_virtual_dataset("data", layout)
    array = LazyArray(File(f"{server.url}/scan.nxs"), "/data", (8, 128, 128), np.dtype("u2"))
    with array.file.source():
        server.await_at_once(8)
    np.testing.assert_array_equal(array[...], FRAMES[:8])
    assert server.most_at_once == 8
    assert len(server.requests) == 9


def test_a_source_that_is_missing_behind_a_url_is_told_of(server: FaultyServer, tmp_path: Path) -> None:
    write_linked(tmp_path)
    dataset = open_nexus(f"{server.url}/scans/scan.nxs")
    with pytest.warns(NexusWarning, match=f"its sources are missing: {server.url}/scans/b.nxs"):
        np.testing.assert_array_equal(dataset.counts[5:15], [*FRAMES[5:10], *np.zeros_like(FRAMES[:5])])
    server.files.clear()
    dataset.counts[5:15].load()
    assert server.files == []
    file = File(f"{server.url}/scans/scan.nxs", policy=ReadingPolicy(fills_missing=False))
    with pytest.raises(NexusFileError, match=r"/scans/b\.nxs: there is no such file"):
        LazyArray(file, "/entry/data/counts", dataset.counts.shape, dataset.counts.dtype)[...]


def test_a_source_out_of_reach_is_an_error_and_no_fill_value(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    write_stack(tmp_path / "secret.nxs", FRAMES[:3])
    layout = h5py.VirtualLayout((3, 128, 128), "u2")
    layout[...] = h5py.VirtualSource("../secret.nxs", "/entry/data/counts", (3, 128, 128))
    with h5py.File(tmp_path / "scans/scan.nxs", "w") as file:
        file.create_virtual_dataset("counts", layout)
    url = f"{server.url}/scans/scan.nxs"
    with pytest.warns(NexusWarning, match="lie outside of what may be read: ../secret.nxs") as said:
        (signal,) = nexus_xr.open_signals(url)
    (diagnostic,) = said[0].message.diagnostics  # type: ignore[union-attr]
    assert (diagnostic.code, diagnostic.path) == ("out-of-reach", "/counts")
    with pytest.raises(NexusFileError, match=r"scan\.nxs:/counts: .*secret\.nxs: lies outside of .* `within`"):
        signal.load()
    assert "/secret.nxs" not in server.files
    (signal,) = nexus_xr.open_signals(url, within=server.url)
    np.testing.assert_array_equal(signal, FRAMES[:3])


@pytest.mark.parametrize("fault", ["403", "damaged"])
def test_a_linked_file_in_trouble_is_a_link_that_says_so(fault: str, server: FaultyServer, tmp_path: Path) -> None:
    write_linked(tmp_path)
    if fault == "damaged":
        (tmp_path / "scans/raw/b.nxs").write_bytes(b"\x89HDF\r\n\x1a\n damaged")
    else:
        server.refused.add("/scans/raw/b.nxs")
    tree, said = links_of(f"{server.url}/scans/scan.nxs")
    assert isinstance(tree["linked"], Link)
    assert "links to raw/b.nxs:/own, which can't be opened (" in said


def test_a_file_object_leads_to_no_other_file(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((3, 4), "u2")
    layout[...] = h5py.VirtualSource("other.nxs", "/entry/own", (3, 4))
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        data = file.create_group("entry/data")
        file["entry"].attrs["NX_class"] = "NXentry"
        data.attrs.update(NX_class="NXdata", signal="counts")
        file["entry/own"] = COUNTS
        data["linked"] = h5py.ExternalLink("other.nxs", "/entry/own")
        data.create_virtual_dataset("counts", layout)
    with pytest.warns(NexusWarning, match="linked"):
        dataset = open_nexus(io.BytesIO((tmp_path / "scan.nxs").read_bytes()))
    with pytest.raises(NexusFileError, match="can't be looked for beside a file object"):
        dataset.counts.load()


@pytest.mark.parametrize("store", ["s3", "memory", "zip", "dir", "simplecache"])
def test_links_and_sources_are_found_in_any_store(
    store: str, server: FaultyServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_linked(tmp_path)
    (tmp_path / "scans/b.nxs").hardlink_to(tmp_path / "scans/raw/b.nxs")
    names = ("scan.nxs", "b.nxs", "raw/b.nxs", "raw/a b#1.nxs")
    options: dict[str, Any] = {}
    if store == "s3":
        options = request.getfixturevalue("s3")
        for name in names:
            url = _put(options, tmp_path / "scans" / name, f"scans/{name}").removesuffix(name) + "scan.nxs"
    elif store == "memory":
        for name in names:
            fsspec.filesystem("memory").pipe(f"/top/{name}", (tmp_path / "scans" / name).read_bytes())
        url = "memory://top/scan.nxs"
    elif store == "zip":
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for name in names:
                archive.write(tmp_path / "scans" / name, name)
        url = f"zip://scan.nxs::{server.url}/all.zip"
    elif store == "dir":
        url, options = "dir://scan.nxs", {"path": str(tmp_path / "scans"), "target_protocol": "file"}
    else:
        url = f"simplecache::{server.url}/scans/scan.nxs"
    dataset = open_nexus(url, storage_options=options)
    np.testing.assert_array_equal(dataset.counts, FRAMES[:20])
    np.testing.assert_array_equal(dataset.attrs["linked"]["value"], FRAMES[10:20])
    assert isinstance(dataset.attrs["outside"], Link)


def write_as_long_as_others(folder: Path, *names: bytes) -> None:
    """A virtual dataset of which each other frame is of another file."""
    space = h5s.create_simple((0, 128, 128), (h5s.UNLIMITED, 128, 128))
    target, properties = space.copy(), h5p.create(h5p.DATASET_CREATE)
    space.select_hyperslab((0, 0, 0), (h5s.UNLIMITED, 1, 1), None, (1, 128, 128))
    for number, name in enumerate(names):
        target.select_hyperslab((number, 0, 0), (h5s.UNLIMITED, 1, 1), (len(names), 1, 1), (1, 128, 128))
        properties.set_virtual(target, name, b"entry/data/counts", space)
    write_tree(folder / "scan.nxs", {"entry": nxentry({"data": nxdata({}, signal="counts")})})
    with h5py.File(folder / "scan.nxs", "a") as file:
        h5d.create(file["entry/data"].id, b"counts", h5t.STD_U16LE, target, properties)


def test_a_virtual_dataset_behind_a_url_is_as_long_as_its_sources(server: FaultyServer, tmp_path: Path) -> None:
    for number in range(2):
        write_stack(tmp_path / f"{number}.nxs", FRAMES[number:20:2], maxshape=(None, 128, 128))
    write_as_long_as_others(tmp_path, b"0.nxs", b"1.nxs")
    dataset = open_nexus(f"{server.url}/scan.nxs", chunks={})
    server.requests.clear()
    np.testing.assert_array_equal(dataset.counts, FRAMES[:20])
    assert len(server.requests) <= 4
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts[8:13, ::-7, 3], FRAMES[8:13, ::-7, 3])
    (tmp_path / "1.nxs").unlink()
    with pytest.warns(NexusWarning, match=r"sources are missing: 1.nxs"):
        dataset = open_nexus(f"{server.url}/scan.nxs")
    np.testing.assert_array_equal(dataset.counts[::2], FRAMES[:20:2])
    with pytest.raises(NexusFileError, match=r"/1.nxs is missing"):
        open_nexus(f"{server.url}/scan.nxs", missing="raise")


def test_names_lead_to_urls_as_relative_references_do() -> None:
    holder, reach = "https://host/a/b/scan.nxs?key=1#part", Reach((), ("https://host/a/",))
    for name, path in {
        "c.nxs": "b/c.nxs",
        "./d/../c.nxs": "b/c.nxs",
        "../c.nxs": "c.nxs",
        "100%/a b?#.nxs": "b/100%25/a%20b%3F%23.nxs",
        "/any/c.nxs": "b/c.nxs",
        "https://host/a/x.nxs": "x.nxs",
    }.items():
        assert linked_url(name, holder) == f"https://host/a/{path}"
        assert reach.holds_url(linked_url(name, holder))
    for name in (
        "../../c.nxs",
        "../../../other/a/c.nxs",
        "https://host/a/%2e%2E/c.nxs",
        "https://other/a/c.nxs",
        "http://host/a/c.nxs",
        "https://host/ab/c.nxs",
        "https://host/a/../c.nxs",
        "file:///etc/passwd",
        "simplecache::https://host/a/c.nxs",
        "https://host/a/c.nxs::https://other/c.zip",
    ):
        assert not reach.holds_url(linked_url(name, holder))


def test_the_beginning_of_a_url_stays_as_it_is() -> None:
    for holder, name, url in (
        ("http://me:secret@host:8080/a.nxs", "b c.nxs", "http://me:secret@host:8080/b%20c.nxs"),
        ("http://host:8080/a.nxs", "../../b.nxs", "http://host:8080/b.nxs"),
        ("https://host/a.nxs", "http://me@host:8080/x/../b%20c.nxs", "http://me@host:8080/b%20c.nxs"),
        ("https://host/a.nxs", "http://host:8080/../../b.nxs", "http://host:8080/b.nxs"),
        ("file:///data/a.nxs", "../../b.nxs", "file:///b.nxs"),
        ("file:///data/a.nxs", "simplecache::file:///data/./b c.nxs", "simplecache::file:///data/b c.nxs"),
        ("s3://bucket/a.nxs", "s3://bucket/x/../b.nxs", "s3://bucket/b.nxs"),
        ("memory://a.nxs", "b.nxs", "memory://b.nxs"),
    ):
        assert linked_url(name, holder) == url


# --- other stores ------------------------------------------------------------------------------------------------


def test_urls_of_files_are_paths(tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.nxs", scan_file())
    for url in (f"file://{tmp_path}/scan.nxs", f"local://{tmp_path}/scan.nxs"):
        assert File(url).is_local
        np.testing.assert_array_equal(open_nexus(url).counts, COUNTS)


@pytest.mark.parametrize("protocol", ["simplecache", "filecache", "blockcache"])
def test_caches_of_fsspec_work(protocol: str, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    cache = {protocol: {"cache_storage": str(tmp_path / "cache")}}
    dataset = open_nexus(f"{protocol}::{server.url}/scan.nxs", chunks={}, storage_options=cache)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts, FRAMES)


@pytest.mark.parametrize("protocol", ["http", "file"])
def test_folders_of_other_file_systems_work(protocol: str, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    folder = server.url if protocol == "http" else str(tmp_path)
    options = {"path": folder, "target_protocol": protocol}
    np.testing.assert_array_equal(open_nexus("dir://scan.nxs", storage_options=options).counts, FRAMES)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_archives_open(compression: int, server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    with zipfile.ZipFile(tmp_path / "all.zip", "w", compression) as archive:
        archive.write(tmp_path / "scan.nxs", "scan.nxs")
    for url in (f"zip://scan.nxs::{tmp_path}/all.zip", f"zip://scan.nxs::{server.url}/all.zip"):
        np.testing.assert_array_equal(open_nexus(url, chunks={"dim_0": 50}).counts, FRAMES)


def test_open_file_objects_of_fsspec_are_read_by_ranges(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", BIG)
    with fsspec.open(f"{server.url}/scan.nxs").open() as stream:
        dataset = open_nexus(stream, chunks={})
        server.await_at_once(5)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts, BIG)
        assert server.most_at_once >= 5
    assert dataset.encoding["source"] == f"{server.url}/scan.nxs"


def test_file_objects_of_other_file_systems_for_the_same_protocols_are_read(
    server: FaultyServer, tmp_path: Path
) -> None:
    obstore = pytest.importorskip("obstore.fsspec")
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    with obstore.FsspecStore("http", client_options={"allow_http": True}).open(f"{server.url}/scan.nxs") as stream:
        np.testing.assert_array_equal(open_nexus(stream).counts, FRAMES)


def test_open_file_objects_are_asked_for_with_what_they_were_opened_with(server: FaultyServer, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    server.token = "secret"
    system = fsspec.filesystem("http")
    with system.open(f"{server.url}/scan.nxs", headers={"X-Token": "secret"}) as stream:
        np.testing.assert_array_equal(open_nexus(stream).counts, FRAMES)
    with pytest.raises(NexusFileError, match="are refused"):
        open_nexus(system.open(f"{server.url}/scan.nxs", size=(tmp_path / "scan.nxs").stat().st_size))


class SlowFileSystem(AsyncFileSystem):  # type: ignore[misc]
    """A store that fsspec knows nothing more of than that it is asynchronous."""

    protocol = "slow"
    cachable = False
    content = b""
    faults: list[Exception] = []  # noqa: RUF012

    async def _info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {"name": path, "size": len(self.content), "type": "file"}

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        if self.faults:
            raise self.faults.pop()
        return self.content[start:end]


def test_any_asynchronous_file_system_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("slow", SlowFileSystem, clobber=True)
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    monkeypatch.setattr(SlowFileSystem, "content", (tmp_path / "scan.nxs").read_bytes())
    monkeypatch.setattr(SlowFileSystem, "faults", [OSError("busy"), OSError("busy")])
    dataset = open_nexus("slow://scan.nxs", chunks={})
    np.testing.assert_array_equal(dataset.counts, FRAMES)
    monkeypatch.setattr(SlowFileSystem, "faults", [OSError("busy")] * 20)
    with pytest.raises(NexusFileError, match=r"slow://scan.nxs: bytes \d+ to \d+ can't be read: OSError: busy"):
        open_nexus("slow://scan.nxs")
    monkeypatch.setattr(SlowFileSystem, "faults", [RuntimeError("its own kind")])
    with pytest.raises(NexusFileError, match=r"can't be read \(RuntimeError: its own kind\)"):
        open_nexus("slow://scan.nxs")


class WholeFileSystem(SlowFileSystem):
    """A store that is asynchronous, and can't be asked for a part of a file."""

    async def _cat_file(self, path: str, **kwargs: Any) -> bytes:  # type: ignore[override]
        pytest.fail("the whole file was asked for")

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        return io.BytesIO(self.content)


class CarelessFileSystem(SlowFileSystem):
    """A store that sends all of a file whatever it is asked for."""

    asked = 0

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        type(self).asked += 1
        return self.content


@pytest.mark.parametrize("url", ["slow://scan.nxs", "dir://scan.nxs"])
def test_a_store_that_knows_no_parts_of_files_is_read_as_a_stream(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("slow", WholeFileSystem, clobber=True)
    write_stack(tmp_path / "scan.nxs")
    monkeypatch.setattr(SlowFileSystem, "content", (tmp_path / "scan.nxs").read_bytes())
    options = {"path": "/folder", "target_protocol": "slow"} if url.startswith("dir") else None
    np.testing.assert_array_equal(open_nexus(url, chunks={}, storage_options=options).counts, FRAMES)


def test_a_store_that_sends_whole_files_is_told_of_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("slow", CarelessFileSystem, clobber=True)
    write_stack(tmp_path / "scan.nxs")
    monkeypatch.setattr(SlowFileSystem, "content", (tmp_path / "scan.nxs").read_bytes())
    monkeypatch.setattr(CarelessFileSystem, "asked", 0)
    with pytest.raises(NexusFileError, match=r"slow://scan.nxs: .*it answers with all of the file.*simplecache::"):
        open_nexus("slow://scan.nxs")
    assert CarelessFileSystem.asked == 1


@pytest.mark.parametrize("protocol", ["zip", "tar", "blockcache"])
def test_what_a_file_system_raises_of_its_own_is_an_error_that_names_the_url(protocol: str, tmp_path: Path) -> None:
    write_tree(tmp_path / "scan.nxs", scan_file())
    fsspec.filesystem("memory").pipe("/scan.nxs", (tmp_path / "scan.nxs").read_bytes())
    url = "blockcache::memory://scan.nxs" if protocol == "blockcache" else f"{protocol}://a.nxs::memory://scan.nxs"
    with pytest.raises(NexusFileError, match=rf"{url}: can't be opened \(\w+Error|{url}: can't be opened \(BadZip"):
        open_nexus(url)


# --- file objects and paths ----------------------------------------------------------------------------------------


class SilentStream:
    """A file object that seeks and doesn't say where to, as that of paramiko."""

    def __init__(self, content: bytes) -> None:
        self._stream = io.BytesIO(content)

    def seek(self, offset: int, whence: int = 0) -> None:
        self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)


def test_a_file_object_that_does_not_say_where_it_seeks_to_is_read(tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    stream = SilentStream((tmp_path / "scan.nxs").read_bytes())
    np.testing.assert_array_equal(open_nexus(stream).counts, FRAMES)
    with pytest.raises(NexusFileError, match="this is a netCDF-3 file"):
        open_nexus(SilentStream(b"CDF\x01" * 300))


@pytest.mark.parametrize("kind", ["file", "bytes"])
def test_a_file_object_that_was_closed_is_an_error_that_says_so(kind: str, tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    content = (tmp_path / "scan.nxs").read_bytes()
    with (tmp_path / "scan.nxs").open("rb") if kind == "file" else io.BytesIO(content) as stream:
        dataset = open_nexus(stream)
    with pytest.raises(NexusFileError, match=r"the file object can't be read .*closed.*; it has to stay open"):
        dataset.counts.load()


PATHS = {
    "memory": "memory://m/scan.nxs",
    "archive": "zip://scan.nxs::memory://m/all.zip",
    "web": "{server}/scan.nxs",
    "cache": "simplecache::{server}/scan.nxs",
    "local": "{folder}/scan.nxs",
    "local URL": "file://{folder}/scan.nxs",
}


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("of", ["fsspec", "universal_pathlib"])
def test_paths_in_file_systems_open_as_urls_do(of: str, kind: str, server: FaultyServer, tmp_path: Path) -> None:
    make = fsspec.open if of == "fsspec" else pytest.importorskip("upath").UPath
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(tmp_path / "scan.nxs", "scan.nxs")
    memory = fsspec.filesystem("memory")
    for name in ("scan.nxs", "all.zip"):
        memory.pipe(f"/m/{name}", (tmp_path / name).read_bytes())
    server.token = "secret"
    options = {"headers": {"X-Token": "secret"}} if kind == "web" else {}
    if kind == "cache":
        server.token, options = None, {"simplecache": {"cache_storage": str(tmp_path / "cache")}}
    path = make(PATHS[kind].format(server=server.url, folder=tmp_path), **options)
    dataset = open_nexus(path, chunks={})
    np.testing.assert_array_equal(dataset.counts, FRAMES)
    if kind != "cache":  # of which no URL by itself leads to the same file system
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts, FRAMES)
    assert [array.name for array in nexus_xr.open_signals([path])] == ["counts"]


def test_paths_in_file_systems_have_what_else_they_are_opened_with(tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    with fsspec.open(f"{tmp_path}/scan.nxs.gz", "wb", compression="gzip") as stream:
        stream.write((tmp_path / "scan.nxs").read_bytes())
    packed = fsspec.open(f"file://{tmp_path}/scan.nxs.gz", compression="gzip")
    np.testing.assert_array_equal(open_nexus(packed).counts, FRAMES)
    with pytest.raises(NexusFileError, match="expected a path, a URL or an open binary file, found OpenFile"):
        open_nexus(fsspec.open(f"{tmp_path}/scan.nxs", "r"))


class PinnedFile(AbstractBufferedFile):  # type: ignore[misc]
    """An open file of a version that its file system by itself doesn't give."""

    content = b""

    def __init__(self, fs: Any, path: str, **options: Any) -> None:
        super().__init__(fs, path, size=len(self.content), **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.content[start:end]


def test_a_file_object_that_asks_in_a_way_of_its_own_gives_its_own_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_stack(tmp_path / "old.nxs", FRAMES)
    write_stack(tmp_path / "new.nxs", FRAMES + 1)
    monkeypatch.setattr(SlowFileSystem, "content", (tmp_path / "new.nxs").read_bytes())
    monkeypatch.setattr(PinnedFile, "content", (tmp_path / "old.nxs").read_bytes())
    system = SlowFileSystem()
    np.testing.assert_array_equal(open_nexus(PinnedFile(system, "scan.nxs"), chunks={}).counts, FRAMES)
    np.testing.assert_array_equal(open_nexus(AbstractBufferedFile(system, "scan.nxs")).counts, FRAMES + 1)


# --- S3 ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, Any]]:
    """Options for an S3 server on this machine, which has a bucket."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    options = {
        "key": "key",
        "secret": "secret",
        "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}"},
        "config_kwargs": {"retries": {"max_attempts": 1}},
    }
    with suppress(FileExistsError):  # the buckets of a process are those of all servers in it
        fsspec.filesystem("s3", **options).mkdir("scans")
    yield options
    server.stop()


def test_another_file_system_for_s3_is_read(s3: dict[str, Any], tmp_path: Path) -> None:
    obstore = pytest.importorskip("obstore.fsspec")
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    url = _put(s3, tmp_path / "scan.nxs")
    config = {
        "endpoint": s3["client_kwargs"]["endpoint_url"],
        "region": "us-east-1",
        "access_key_id": s3["key"],
        "secret_access_key": s3["secret"],
    }
    other = obstore.FsspecStore("s3", config=config, client_options={"allow_http": True})
    with other.open(url.removeprefix("s3://")) as stream:
        np.testing.assert_array_equal(open_nexus(stream).counts, FRAMES)


def _put(s3: dict[str, Any], path: Path, key: str = "scans/scan.nxs") -> str:
    fsspec.filesystem("s3", **s3).pipe(key, path.read_bytes())
    return f"s3://{key}"


def test_s3_opens_and_reads(s3: dict[str, Any], tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs", compression="gzip")
    dataset = open_nexus(_put(s3, tmp_path / "scan.nxs"), storage_options=s3)
    np.testing.assert_array_equal(dataset.chunk(dim_0=50).counts, FRAMES)
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        assert pool.submit(_sum, dataset).result(60) == FRAMES.sum()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(dataset)).counts, FRAMES)


def test_an_object_that_changed_is_an_error(s3: dict[str, Any], tmp_path: Path) -> None:
    write_stack(tmp_path / "scan.nxs")
    dataset = open_nexus(_put(s3, tmp_path / "scan.nxs"), storage_options=s3)
    write_stack(tmp_path / "scan.nxs", FRAMES + 1)
    _put(s3, tmp_path / "scan.nxs")
    with pytest.raises(NexusFileChangedError, match="the file changed since it was opened"):
        dataset.counts.load()
    fsspec.filesystem("s3", **s3).rm("scans/scan.nxs")
    with pytest.raises(NexusFileNotFoundError, match=r"scans/scan.nxs: no such file"):
        dataset.counts.load()


def test_an_open_file_object_of_s3_gives_the_version_that_it_is_of(s3: dict[str, Any], tmp_path: Path) -> None:
    system = fsspec.filesystem("s3", version_aware=True, **s3)
    with suppress(FileExistsError):
        system.mkdir("versions")
    system.call_s3("put_bucket_versioning", Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    for number in range(2):
        write_stack(tmp_path / "scan.nxs", FRAMES + number)
        _put(s3, tmp_path / "scan.nxs", "versions/scan.nxs")
    newest, oldest = system.object_version_info("versions/scan.nxs")
    chosen = system.open("versions/scan.nxs", version_id=oldest["VersionId"])
    np.testing.assert_array_equal(open_nexus(chosen, chunks={}).counts, FRAMES)
    pinned = system.open("versions/scan.nxs")
    write_stack(tmp_path / "scan.nxs", FRAMES + 2)
    _put(s3, tmp_path / "scan.nxs", "versions/scan.nxs")
    assert pinned.version_id == newest["VersionId"]
    np.testing.assert_array_equal(open_nexus(pinned).counts, FRAMES + 1)


def test_a_file_object_of_s3_that_was_opened_before_its_file_changed_is_an_error(
    s3: dict[str, Any], tmp_path: Path
) -> None:
    write_stack(tmp_path / "scan.nxs")
    stream = fsspec.open(_put(s3, tmp_path / "scan.nxs"), **s3).open()
    write_stack(tmp_path / "scan.nxs", FRAMES + 1)
    _put(s3, tmp_path / "scan.nxs")
    with pytest.raises(NexusFileChangedError, match=r"scan.nxs: the file changed since its file object was opened"):
        open_nexus(stream)


@pytest.mark.parametrize("url", ["s3://scans/no.nxs", "s3://no-bucket/scan.nxs"])
def test_an_object_that_is_missing_says_so(url: str, s3: dict[str, Any]) -> None:
    with pytest.raises(NexusFileError, match=f"{url}: no such file; check the URL"):
        open_nexus(url, storage_options=s3)


def test_an_s3_server_in_trouble_is_an_error(s3: dict[str, Any], server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    write_stack(tmp_path / "scans" / "scan.nxs", BIG)
    options = {**s3, "client_kwargs": {"endpoint_url": server.url}}
    dataset = open_nexus("s3://scans/scan.nxs", storage_options=options)
    server.faults = ["short body", "503", "dropped"]
    np.testing.assert_array_equal(dataset.counts[40], BIG[40])
    told = {
        "short body": f"at the last of {object_store.ATTEMPTS} attempts",
        "403": "credentials",
        "503": "try again when the server is well",
    }
    for fault, what in told.items():
        server.always = fault
        with pytest.raises(NexusFileError, match=rf"s3://scans/scan.nxs: bytes \d+ to \d+ .*{what}"):
            dataset.counts[41].load()
