"""Copies of files in Zarr stores: the same values to every reader, all of them or none."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import zlib
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError, NexusFileError
from nexus_xr.hdf5.filters import compiled
from nexus_xr.hdf5.io.source import LocalSource
from nexus_xr.zarr import batches

from .arrays import h5py_values
from .files import Write, scan_file
from .stacks import LOSSLESS, counts
from .waiting import interrupted_after, wait_until
from .zarr_clients import CLIENTS, Client, digest

zarr = pytest.importorskip("zarr")

from zarr.storage import MemoryStore  # noqa: E402

DTYPES = ("<u2", ">i4", "<f8", "u1", ">f4")
# Chunks that are cut at every edge, and frames whose elements are no multiple of 8.
SHAPES = {"edges": ((7, 20, 33), (2, 8, 33)), "frames": ((2, 65, 103), (1, 65, 103))}


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every pipeline, of several types, counts and noise."""
    path = tmp_path_factory.mktemp("pipelines") / "f.h5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for (name, options), dtype, kind in itertools.product(LOSSLESS.items(), DTYPES, SHAPES):
            shape, chunks = SHAPES[kind]
            noise = random.integers(0, 256, (*shape, np.dtype(dtype).itemsize), "u1").view(dtype)[..., 0]
            values = noise if dtype in ("u1", ">i4") else counts(shape).astype(dtype)
            dataset = file.create_dataset(f"{name}/{dtype} {kind}", shape, dtype, chunks=chunks, **options)
            dataset[:6] = values[:6]
    return path


@pytest.fixture(scope="module", params=[None, 1 << 14], ids=["chunks", "shards"])
def copied(pipelines: Path, request: pytest.FixtureRequest) -> Path:
    """The copy of it."""
    target = pipelines.with_name(f"{request.param}.zarr")
    nexus_xr.to_zarr(pipelines, target, shards=request.param)
    return target


@pytest.mark.parametrize("bytes_a_byte", [1, 1 << 10, 1 << 40], ids=["much room", "usual room", "no room"])
@pytest.mark.parametrize("elements", [0, 8, 64])
@pytest.mark.parametrize("is_checked", [False, True])
def test_a_frame_takes_the_place_of_its_chunk_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bytes_a_byte: int, elements: int, is_checked: bool
) -> None:
    """Blocks of the usual length, and so short ones that their sizes need more room than there is."""
    monkeypatch.setattr("nexus_xr.hdf5.reading.stored_chunks._BYTES_A_BYTE_OF_ROOM", bytes_a_byte)
    shape, chunks = SHAPES["frames"]
    values = {dtype: counts(shape).astype(dtype) for dtype in DTYPES}
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for dtype, each in values.items():
            options = {**hdf5plugin.Bitshuffle(nelems=elements), "fletcher32": is_checked}
            stored = file.create_dataset(dtype, data=each, chunks=chunks, **options)
            stored.id.write_direct_chunk((1, 0, 0), each[1].tobytes(), 0b11)  # which no filter went through
    ways: list[dict[str, Any]] = [{}, {"verify": True}, {"shards": 1 << 16}]
    for number, way in enumerate(ways):
        nexus_xr.to_zarr(tmp_path / "f.h5", tmp_path / f"{number}.zarr", **way)
        for dtype, each in values.items():
            found = zarr.open_array(tmp_path / f"{number}.zarr", path=dtype, mode="r")[:]
            np.testing.assert_array_equal(found, each)


def test_chunks_that_are_copied_together_are_what_each_by_itself_is(
    pipelines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_all, counted = compiled.copy_all, Counter[bool]()
    assert copy_all is not None

    def counting(*args: Any) -> int:
        done = copy_all(*args)
        counted.update([True] * done)
        return done

    monkeypatch.setattr(batches, "_LEAST_BATCHES", 1)
    monkeypatch.setattr(batches, "copy_all", counting)
    nexus_xr.to_zarr(pipelines, tmp_path / "together.zarr")
    monkeypatch.setattr(batches, "copy_all", None)
    nexus_xr.to_zarr(pipelines, tmp_path / "one by one.zarr")
    assert _files(tmp_path / "together.zarr") == _files(tmp_path / "one by one.zarr")
    assert counted.total() > 100


def _files(folder: Path) -> dict[str, bytes]:
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_a_chunk_that_can_not_be_copied_with_others_is_copied_by_itself(tmp_path: Path) -> None:
    """Chunks that some filter was left out of, that aren't stored, or that are as long as their values."""
    values = np.arange(12 * 64, dtype="u1").reshape(12, 64)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        stored = file.create_dataset("data", (12, 64), "u1", chunks=(1, 64), fletcher32=True, compression="gzip")
        stored[:10] = values[:10]
        stored.id.write_direct_chunk((3, 0), values[3].tobytes(), 0b11)
        data = zlib.compress(values[5].tobytes(), 0)
        stored.id.write_direct_chunk((5, 0), data, 0b10)
    nexus_xr.to_zarr(tmp_path / "f.h5", tmp_path / "f.zarr")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "f.zarr", path="data", mode="r")[:10], values[:10])
    assert len(list((tmp_path / "f.zarr/data/c").iterdir())) == 10


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_every_reader_reads_the_values_of_every_pipeline(pipelines: Path, copied: Path, client: Client) -> None:
    with h5py.File(pipelines) as file:
        expected = {f"{name}/{inner}": digest(file[name][inner][()]) for name in file for inner in file[name]}
    assert client(copied, list(expected)) == expected


def test_a_copy_opens_as_the_file_does(write: Write, tmp_path: Path) -> None:
    nexus_xr.to_zarr(write(scan_file()), tmp_path / "scan.zarr")
    there = xr.open_dataset(write(scan_file()), engine="nexus")
    xr.testing.assert_equal(xr.open_zarr(tmp_path / "scan.zarr", group="entry/data"), there)


def test_a_copy_is_what_the_store_shows(write: Write) -> None:
    path, target = write(scan_file()), MemoryStore()
    nexus_xr.to_zarr(path, target)
    view = nexus_xr.zarr_store(path).view
    assert {key: bytes(found.to_bytes()) for key, found in target._store_dict.items()} == {
        key: bytes(view.value(key) or b"") for key in view.keys_with("")
    }


def test_shards_hold_several_chunks_and_leave_out_what_is_not_stored(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", (20, 30), "f4", chunks=(2, 30), fillvalue=np.nan, compression="gzip")
        dataset[3:5] = 1.5
    nexus_xr.to_zarr(tmp_path / "f.h5", tmp_path / "f.zarr", shards=4 * 240)
    array = zarr.open_array(tmp_path / "f.zarr", path="data", mode="r")
    assert (array.shards, array.chunks) == ((8, 30), (2, 30))
    np.testing.assert_array_equal(array[...], h5py_values(tmp_path / "f.h5"))
    assert [each.name for each in (tmp_path / "f.zarr/data/c").iterdir()] == ["0"]


@pytest.mark.parametrize("mode", ["w-", "w"])
@pytest.mark.parametrize("kind", ["folder", "store"])
def test_what_is_there_is_refused_or_replaced(write: Write, tmp_path: Path, mode: str, kind: str) -> None:
    path = write(scan_file())
    target: Any = tmp_path / "scan.zarr" if kind == "folder" else MemoryStore()
    zarr.create_array(target, name="old", shape=(3,), dtype="u1")
    if mode == "w-":
        with pytest.raises(NexusError, match='is there already; choose another place, or replace it with mode="w"'):
            nexus_xr.to_zarr(path, target)
        assert set(zarr.open_group(target, mode="r").keys()) == {"old"}
        return
    nexus_xr.to_zarr(path, target, mode=mode)
    assert set(zarr.open_group(target, mode="r").keys()) == {"entry"}


@pytest.mark.parametrize("kind", ["folder", "store"])
def test_nothing_is_left_of_a_copy_that_fails(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=counts((40, 50)), chunks=(1, 50), compression="gzip")
        last = file["data"].id.get_chunk_info(39).byte_offset
    read_into = LocalSource.read_into

    def fail_at_last(self: LocalSource, view: memoryview, offset: int) -> int:
        return 0 if offset == last else read_into(self, view, offset)

    monkeypatch.setattr(LocalSource, "read_into", fail_at_last)
    monkeypatch.setattr(batches, "copy_all", None)
    target: Any = tmp_path / "f.zarr" if kind == "folder" else MemoryStore()
    with pytest.raises(NexusFileError, match=r"f\.h5:/data.*chunk \(39, 0\)"):
        nexus_xr.to_zarr(tmp_path / "f.h5", target)
    assert [each.name for each in tmp_path.iterdir()] == ["f.h5"]
    assert kind == "folder" or asyncio.run(target.is_empty(""))


def _damaged(path: Path) -> Path:
    """A file in which the last chunk of a dataset can't be decoded, beside others of two groups."""
    with h5py.File(path, "w") as file:
        file["after/more/n"] = file["before/n"] = np.arange(6)
        file.create_dataset("data", data=counts((40, 50)), chunks=(1, 50), compression="gzip")
        file["data"].id.write_direct_chunk((39, 0), b"no zlib stream")
    return path


def test_nothing_is_left_of_a_copy_behind_a_url_that_another_one_should_replace(write: Write, tmp_path: Path) -> None:
    path, memory = write(scan_file()), fsspec.filesystem("memory")
    nexus_xr.to_zarr(path, "memory://replaced.zarr")
    try:
        with pytest.raises(NexusFileError, match=r"chunk \(39, 0\)"):
            nexus_xr.to_zarr(_damaged(tmp_path / "f.h5"), "memory://replaced.zarr", mode="w", verify=True)
        assert not memory.find("/replaced.zarr")
        nexus_xr.to_zarr(path, "memory://replaced.zarr")  # with nothing in its way
        nexus_xr.to_zarr(path, "memory://new.zarr")
        assert len(memory.find("/replaced.zarr")) == len(memory.find("/new.zarr"))
    finally:
        memory.rm("/replaced.zarr", recursive=True)
        memory.rm("/new.zarr", recursive=True)


class StrictStore(MemoryStore):
    """A store that takes no chunk of an array that it knows nothing of, and is in no hurry to know it."""

    async def set(self, key: str, value: Any, *arguments: Any) -> None:
        array, is_chunk, _ = key.partition("/c/")
        assert not is_chunk or f"{array}/zarr.json" in self._store_dict
        assert "zarr.json" not in self._store_dict, "the root is the last"
        await asyncio.sleep(0 if is_chunk else 0.01)
        await super().set(key, value, *arguments)


@pytest.mark.parametrize("shards", [None, 1 << 14])
def test_documents_are_written_before_their_chunks_and_that_of_the_root_last(write: Write, shards: int | None) -> None:
    path, store = write(scan_file()), StrictStore()
    nexus_xr.to_zarr(path, store, shards=shards)
    assert xr.open_zarr(store, group="entry/data").equals(xr.open_dataset(path, engine="nexus"))


def test_icechunk_takes_copies_and_keeps_nothing_of_those_that_fail(write: Write, tmp_path: Path) -> None:
    icechunk = pytest.importorskip("icechunk")
    path = write(scan_file())
    session = icechunk.Repository.create(icechunk.in_memory_storage()).writable_session("main")
    with pytest.raises(NexusFileError, match=r"chunk \(39, 0\)"):
        nexus_xr.to_zarr(_damaged(tmp_path / "f.h5"), session.store, verify=True)
    nexus_xr.to_zarr(path, session.store)
    nexus_xr.to_zarr(path, session.store, mode="w")
    assert xr.open_zarr(session.store, group="entry/data", consolidated=False)["counts"].equals(
        xr.open_dataset(path, engine="nexus")["counts"]
    )


class FailingStore(MemoryStore):
    """A store that fails in a way of its own when there is something in it."""

    async def set(self, key: str, value: Any, *arguments: Any) -> None:
        if len(self._store_dict) > 3:
            raise RuntimeError("its own kind")
        await super().set(key, value, *arguments)


def test_what_a_store_raises_of_its_own_is_an_error_that_names_it(write: Write) -> None:
    path, store = write(scan_file()), FailingStore()
    with pytest.raises(NexusFileError, match=r"^memory://\d+: can't be written \(RuntimeError: its own kind\)"):
        nexus_xr.to_zarr(path, store)
    assert not store._store_dict
    with pytest.raises(NexusFileError, match=r"can't be written \(ValueError: .*read-only"):
        nexus_xr.to_zarr(path, MemoryStore(read_only=True))
    with pytest.raises(NexusFileError, match=r"^nowhere://out.zarr: can't be written \(ValueError: Protocol not known"):
        nexus_xr.to_zarr(path, "nowhere://out.zarr")


class SynchronousFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A file system that has no options, as that of sftp:// has none that it doesn't know."""

    protocol = "synchronous"

    def __init__(self) -> None:
        super().__init__()


def test_a_file_system_that_zarr_can_not_write_by_says_so(write: Write) -> None:
    fsspec.register_implementation("synchronous", SynchronousFileSystem, clobber=True)
    with pytest.raises(NexusFileError, match=r"^synchronous://out.zarr: Zarr can't write .*; copy into a folder"):
        nexus_xr.to_zarr(write(scan_file()), "synchronous://out.zarr")


def test_targets_of_other_types_are_taken_or_say_what_to_do(write: Write, tmp_path: Path) -> None:
    upath = pytest.importorskip("upath")
    path = write(scan_file())
    expected = xr.open_dataset(path, engine="nexus")
    store, memory = MemoryStore(), upath.UPath("memory://typed.zarr")
    nexus_xr.to_zarr(path, zarr.storage.StorePath(store))
    nexus_xr.to_zarr(path, upath.UPath(f"file://{tmp_path}/typed.zarr"))
    try:
        nexus_xr.to_zarr(path, memory)
        for written in (store, tmp_path / "typed.zarr", str(memory)):
            assert xr.open_zarr(written, group="entry/data").equals(expected)
    finally:
        memory.fs.rm("/typed.zarr", recursive=True)
    others: list[Any] = [{}, zarr.storage.StorePath(store, "a"), 5]
    for target in others:
        with pytest.raises(TypeError, match=rf"can't be of type {type(target).__name__}; wrap a dict in"):
            nexus_xr.to_zarr(path, target)


class SlowStore(MemoryStore):
    """A store for which each key takes a while."""

    async def set(self, key: str, value: Any, *arguments: Any) -> None:
        await asyncio.sleep(0.01)
        await super().set(key, value, *arguments)


def test_nothing_is_left_in_a_store_of_a_copy_that_is_interrupted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=np.arange(6000), chunks=(2,))
    store = SlowStore()
    is_under_way = partial(wait_until, lambda: len(store._store_dict) > 40)
    with interrupted_after(is_under_way):
        nexus_xr.to_zarr(tmp_path / "f.h5", store)
    assert not store._store_dict


class HeldStore(MemoryStore):
    """A store that notes what is deleted, and can't be cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: list[str] = []

    async def delete(self, key: str) -> None:
        self.deleted.append(key)
        await super().delete(key)

    async def clear(self) -> None:
        raise OSError(5, "Input/output error")


def test_what_is_to_be_replaced_in_a_store_cant_be_opened_while_it_goes(write: Write) -> None:
    path, store = write(scan_file()), HeldStore()
    nexus_xr.to_zarr(path, store)
    with pytest.raises(NexusFileError, match=r"can't be written \(Input/output error\)"):
        nexus_xr.to_zarr(path, store, mode="w")
    assert store.deleted[0] == "zarr.json"
    assert not any(key.endswith("zarr.json") for key in store._store_dict)
    assert len(store._store_dict) > 0


def test_what_was_to_be_replaced_stays_when_that_is_interrupted(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(scan_file())
    zarr.create_array(tmp_path / "scan.zarr", name="old", shape=(3,), dtype="u1")
    there, rename = {each.name for each in tmp_path.iterdir()}, Path.rename

    def interrupted(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nexus_xr.to_zarr(path, tmp_path / "scan.zarr", mode="w")
    assert set(zarr.open_group(tmp_path / "scan.zarr", mode="r").keys()) == {"old"}
    assert {each.name for each in tmp_path.iterdir()} == there


def test_what_was_replaced_goes_when_that_is_interrupted(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(scan_file())
    zarr.create_array(tmp_path / "scan.zarr", name="old", shape=(3,), dtype="u1")
    there, rmtree, removed = {each.name for each in tmp_path.iterdir()}, shutil.rmtree, list[Any]()

    def interrupted(folder: Any, **options: Any) -> None:
        removed.append(folder)
        if len(removed) < 3:
            raise KeyboardInterrupt
        rmtree(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        nexus_xr.to_zarr(path, tmp_path / "scan.zarr", mode="w")
    assert set(zarr.open_group(tmp_path / "scan.zarr", mode="r").keys()) == {"entry"}
    assert {each.name for each in tmp_path.iterdir()} == there


def test_a_file_in_the_place_of_the_folder_is_never_replaced(write: Write, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    for mode in ("w-", "w"):
        with pytest.raises(NexusError, match=r"notes: is a file, which no folder replaces; choose another place$"):
            nexus_xr.to_zarr(write(scan_file()), tmp_path / "notes", mode=mode)
    assert (tmp_path / "notes").read_text() == "mine"


def test_shards_that_are_no_bytes_are_an_error_that_names_them(write: Write, tmp_path: Path) -> None:
    path = write(scan_file())
    for shards in ("a", 6.4e7, (1, 6, 8)):
        with pytest.raises(
            TypeError, match=r"shards=.*: expected the most bytes of a shard, .*found (str|float|tuple)"
        ):
            nexus_xr.to_zarr(path, tmp_path / "scan.zarr", shards=shards)  # type: ignore[arg-type]
    for none in (0, -1):
        with pytest.raises(NexusError, match=f"shards={none}: expected the most bytes of a shard"):
            nexus_xr.to_zarr(path, tmp_path / "scan.zarr", shards=none)
    assert not (tmp_path / "scan.zarr").exists()


def test_a_mode_that_there_is_not_is_an_error(write: Write, tmp_path: Path) -> None:
    with pytest.raises(NexusError, match=r"mode='a': expected"):
        nexus_xr.to_zarr(write(scan_file()), tmp_path / "scan.zarr", mode="a")


@pytest.mark.parametrize("shards", [None, 1 << 14])
def test_a_store_that_nobody_has_opened_yet_is_written_to(tmp_path: Path, shards: int | None) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("n", data=np.arange(4000).reshape(40, 100), chunks=(1, 100), compression="gzip")
    with zarr.storage.ZipStore(tmp_path / "f.zip", mode="w") as store:
        nexus_xr.to_zarr(tmp_path / "f.h5", store, shards=shards)
    unopened = zarr.storage.ZipStore(tmp_path / "h.zip", mode="w")
    nexus_xr.to_zarr(tmp_path / "f.h5", unopened, shards=shards)
    unopened.close()
    for name in ("f.zip", "h.zip"):
        with zarr.storage.ZipStore(tmp_path / name, mode="r") as store:
            np.testing.assert_array_equal(zarr.open_array(store, path="n")[:], np.arange(4000).reshape(40, 100))


class FullStore(MemoryStore):
    """A store on a disk that is full after some keys."""

    async def set(self, key: str, value: Any, *arguments: Any) -> None:
        if len(self._store_dict) > 2:
            raise OSError(28, "No space left on device")
        await super().set(key, value, *arguments)


def test_a_store_that_cant_be_written_to_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("n", data=np.arange(400).reshape(4, 100), chunks=(1, 100))
    store = FullStore()
    with pytest.raises(NexusFileError, match=r"can't be written \(No space left on device\)"):
        nexus_xr.to_zarr(tmp_path / "f.h5", store)
    assert not store._store_dict
    with pytest.raises(NexusFileError, match=r"gone/f\.zarr: can't be written, as there is no such folder"):
        nexus_xr.to_zarr(tmp_path / "f.h5", tmp_path / "gone/f.zarr")
    nexus_xr.to_zarr(tmp_path / "f.h5", f"file://{tmp_path}/f.zarr")
    assert zarr.open_array(tmp_path / "f.zarr", path="n").shape == (4, 100)
