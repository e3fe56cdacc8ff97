"""What is written chunk by chunk, h5py and the filters of libhdf5 read back, bit for bit."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_xr import NexusError, NexusFileError
from nexus_xr.hdf5.filters.codec import Bytes, Encode, EncodeError
from nexus_xr.hdf5.filters.codecs import deflate, shuffle
from nexus_xr.hdf5.filters.registry import CODECS
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.runtime.h5py_lock import phil
from nexus_xr.hdf5.runtime.libraries import function
from nexus_xr.hdf5.writing import creation, writable_file
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.creation import create_dataset, default_chunks, filters_named, filters_of_source

from .processes import run
from .stacks import DTYPES, LOSSLESS, LOSSY, ONLY_LIBHDF5, counts, smooth

SHAPE, CHUNKS = (7, 20, 33), (2, 8, 33)
# HTJ2K wants frames.
ENCODED_BY_LIBHDF5 = [name for name in ONLY_LIBHDF5 if name != "htj2k"]


def whole(shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    return tuple((0, size) for size in shape)


@pytest.mark.parametrize("name", [*LOSSLESS, *ENCODED_BY_LIBHDF5, "zfp", "zfp reversible"])
def test_every_filter_stores_what_libhdf5_stores(tmp_path: Path, name: str) -> None:
    options: Mapping[str, Any] = {**LOSSLESS, **ONLY_LIBHDF5, **LOSSY}[name]
    values = smooth(SHAPE) if name.startswith("zfp") else counts(SHAPE)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        ours, theirs = (file.create_dataset(who, SHAPE, values.dtype, chunks=CHUNKS, **options) for who in "ab")
        WrittenDataset(ours).write(whole(SHAPE), values)
        theirs[...] = values
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["a"][...].tobytes() == file["b"][...].tobytes()


@pytest.mark.parametrize("name", [name for name in DTYPES if name != "array"])
def test_every_dtype(tmp_path: Path, name: str) -> None:
    dtype = DTYPES[name]
    shape = (5, 9)
    random = np.random.default_rng(3)
    element = np.zeros((), dtype).dtype
    values = np.frombuffer(random.integers(0, 2, 45 * element.itemsize, np.uint8).tobytes(), element).reshape(shape)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = create_dataset(file, "data", shape, dtype, (2, 4), filters_named("gzip"))
        WrittenDataset(dataset).write(whole(shape), values)
        np.testing.assert_array_equal(dataset[...], values)
        assert dataset.dtype == dtype


def test_what_does_not_compress_is_stored_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (4, 1000), np.uint8)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", values.shape, "u1", chunks=(1, 1000), compression="lzf")
        WrittenDataset(dataset).write(whole(values.shape), values)
        assert dataset.id.get_chunk_info(0).filter_mask == 1
    # Opened anew: where libhdf5 has not forgotten the last chunk, it takes the mask of that for 0.
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["data"][...], values)


def test_parts_of_chunks_that_do_not_compress_can_be_changed(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (4, 1000), np.uint8)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", values.shape, "u1", chunks=(1, 1000), compression="lzf")
        target = WrittenDataset(dataset, is_new=False)
        for row in range(4):
            target.write(((row, row + 1), (0, 1000)), values[row : row + 1])
            target.write(((row, row + 1), (5, 10)), np.zeros((1, 5), np.uint8))
        values[:, 5:10] = 0
        np.testing.assert_array_equal(dataset[...], values)


@st.composite
def regions(draw: st.DrawFn) -> list[tuple[tuple[int, int], ...]]:
    """Regions that cover an array, cut anywhere."""
    cuts = [sorted({0, size, *draw(st.lists(st.integers(1, size - 1), max_size=3))}) for size in SHAPE]
    pairs = [list(itertools.pairwise(at)) for at in cuts]
    return draw(st.permutations([(a, b, c) for a in pairs[0] for b in pairs[1] for c in pairs[2]]))


@settings(max_examples=40)
@given(cut=regions(), threads=st.integers(1, 4), zeros=st.booleans())
def test_regions_cut_anywhere_may_come_in_any_order_and_from_any_thread(
    tmp_path_factory: pytest.TempPathFactory, cut: list[tuple[tuple[int, int], ...]], threads: int, zeros: bool
) -> None:
    values = counts(SHAPE) * (not zeros)
    with h5py.File(tmp_path_factory.mktemp("cut") / "f.h5", "w") as file:
        dataset = file.create_dataset("data", SHAPE, values.dtype, chunks=CHUNKS, compression="gzip", fillvalue=7)
        target = WrittenDataset(dataset)
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda one: target.write(one, values[tuple(slice(*each) for each in one)]), cut))
        np.testing.assert_array_equal(dataset[...], values)


def repeated(shape: tuple[int, ...], value: int) -> np.ndarray[Any, Any]:
    return np.broadcast_to(np.uint16(value), shape)


@pytest.mark.parametrize(
    ("values", "stored"),
    [
        (np.zeros((4, 100), "u2"), 4),  # as somebody has written
        (np.zeros((4, 1), "u2"), 4),
        (repeated((4, 100), 0), 0),
        (repeated((4, 100), 1), 4),
        (np.broadcast_to(np.zeros(100, "u2"), (4, 100)), 4),
        (repeated((1, 1), 0), 1),
        (repeated((1, 2), 0), 0),
    ],
)
def test_chunks_of_zeros_are_stored_where_they_are_written(tmp_path: Path, values: Any, stored: int) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", values.shape, "u2", chunks=(1, values.shape[1]))
        WrittenDataset(dataset).write(whole(values.shape), values)
        assert dataset.id.get_num_chunks() == stored
        np.testing.assert_array_equal(dataset[...], values)


def test_chunks_that_nobody_has_written_take_no_room_unless_something_else_is_there(tmp_path: Path) -> None:
    zeros = repeated((4, 100), 0)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", zeros.shape, "u2", chunks=(1, 100))
        WrittenDataset(dataset).write(whole(zeros.shape), np.zeros(zeros.shape, "u2"), lambda corner: corner[0] != 2)
        assert dataset.id.get_num_chunks() == 1
        WrittenDataset(dataset).write(((1, 2), (0, 100)), zeros[:1] + np.uint16(5))
        WrittenDataset(dataset, is_new=False).write(whole(zeros.shape), zeros)
        np.testing.assert_array_equal(dataset[...], zeros)


def test_negative_zero_is_no_zero(tmp_path: Path) -> None:
    values = np.full((2, 10), -0.0)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", values.shape, "f8", chunks=(1, 10))
        WrittenDataset(dataset).write(whole(values.shape), values)
        assert np.signbit(dataset[...]).all()


def test_a_filter_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(options: tuple[int, ...], chunk_bytes: int) -> Encode:
        def encode(source: Bytes) -> Bytes:
            raise EncodeError("no")

        return encode

    monkeypatch.setitem(CODECS, 1, replace(CODECS[1], encode=failing))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", (4, 4), "u2", chunks=(1, 4), compression="gzip")
        with pytest.raises(EncodeError):
            WrittenDataset(dataset).write(whole((4, 4)), np.ones((4, 4), "u2"))


@pytest.mark.parametrize("missing", ["deflate", "blosc2"])
def test_without_a_library_the_same_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for module in (deflate, shuffle):
        monkeypatch.setattr(
            module, "function", lambda library, *rest: None if library == missing else function(library, *rest)
        )
    values = counts(SHAPE)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = create_dataset(file, "data", SHAPE, values.dtype, CHUNKS, filters_named("gzip"))
        WrittenDataset(dataset).write(whole(SHAPE), values)
        np.testing.assert_array_equal(dataset[...], values)


FILTERS_OF_NETCDF = """
import netCDF4, h5py, numpy as np, sys
from nexus_xr.hdf5.writing.creation import create_dataset, filters_named
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset

values = np.arange(10000).reshape(10, 1000)
with h5py.File(sys.argv[1], "w") as file:
    for name in ("blosc", "zstd", "bzip2", "bitshuffle"):
        dataset = create_dataset(file, name, values.shape, values.dtype, (1, 1000), filters_named(name))
        WrittenDataset(dataset).write(((0, 10), (0, 1000)), values)
        assert dataset.id.get_num_chunks() == 10
        assert np.array_equal(dataset[...], values)
"""


def test_filters_that_netcdf4_brings_do_no_harm(tmp_path: Path) -> None:
    pytest.importorskip("netCDF4")
    run(FILTERS_OF_NETCDF, tmp_path / "f.h5")


# --- how a new dataset is stored -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSLESS)
def test_filters_of_a_file_make_the_same_filters_again(tmp_path: Path, name: str) -> None:
    values = counts(SHAPE)
    options: Mapping[str, Any] = LOSSLESS[name]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        source = file.create_dataset("a", data=values, chunks=CHUNKS, **options)
        steps = filters_of(source.id.get_create_plist())
        again = filters_of_source(steps)
        assert again is not None
        made = create_dataset(file, "b", SHAPE, values.dtype, CHUNKS, again)
        assert filters_of(made.id.get_create_plist()) == steps


@pytest.mark.parametrize("name", LOSSY)
def test_filters_that_lose_something_are_not_applied_again(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        source = file.create_dataset("a", data=smooth((4, 16, 16)), chunks=(1, 16, 16), **LOSSY[name])
        assert filters_of_source(filters_of(source.id.get_create_plist())) is None


@pytest.mark.parametrize(
    ("compression", "numbers"),
    [
        (None, []),
        ("gzip", [2, 1]),
        (7, [2, 1]),
        ("lzf", [2, 32000]),
        ("szip", [4]),
        ("blosc", [32001]),
        ("Bitshuffle", [32008]),
        ("zstd", [2, 32015]),
        (hdf5plugin.LZ4(), [32004]),
        (hdf5plugin.Blosc2(cname="zstd"), [32026]),
    ],
)
def test_filters_are_named_as_h5py_and_hdf5plugin_name_them(compression: Any, numbers: list[int]) -> None:
    assert [step.id for step in filters_named(compression)] == numbers


@pytest.mark.parametrize(
    ("compression", "options", "plain"),
    [
        ("gzip", np.int64(3), ("gzip", 3)),
        (np.uint8(3), None, (3, None)),
        ("szip", ("nn", np.int64(8)), ("szip", ("nn", 8))),
        (np.int64(32015), (np.int32(5),), (32015, (5,))),
    ],
)
def test_numbers_of_numpy_are_numbers(compression: Any, options: Any, plain: tuple[Any, Any]) -> None:
    assert filters_named(compression, options) == filters_named(*plain)


@pytest.mark.parametrize(("compression", "options"), [("gzap", None), ("gzip", 17), (object(), None), ({}, None)])
def test_filters_that_are_none_are_refused(compression: Any, options: Any) -> None:
    with pytest.raises(NexusError, match="compression"):
        filters_named(compression, options)


@pytest.mark.parametrize(
    ("compression", "options", "said"),
    [
        ("zstd", 5, "5: expected a dictionary of options of hdf5plugin.Zstd"),
        ("zstd", {"level": 5}, "{'level': 5}: hdf5plugin.Zstd takes no such options"),
        ("zstd", {"clevel": 500}, "{'clevel': 500}: hdf5plugin.Zstd takes no such options .*range"),
        ("blosc", {"cname": "none"}, "{'cname': 'none'}: hdf5plugin.Blosc takes no such options"),
        (32015, 5, "5: expected the numbers that the filter takes"),
        (32015, ("a",), r"\('a',\): expected the numbers that the filter takes"),
    ],
)
def test_options_that_a_filter_does_not_take_are_refused(compression: Any, options: Any, said: str) -> None:
    with pytest.raises(NexusError, match=f"^compression_opts={said}"):
        filters_named(compression, options)


@given(
    shape=st.lists(st.integers(1, 5000), min_size=1, max_size=4).map(tuple),
    itemsize=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_default_chunks_are_neither_large_nor_many(shape: tuple[int, ...], itemsize: int) -> None:
    chunks = default_chunks(shape, itemsize)
    if chunks is None:
        assert np.prod(shape, dtype=object) * itemsize <= 64 * 1024
    else:
        assert all(0 < length <= size for length, size in zip(chunks, shape, strict=True))
        assert np.prod(chunks, dtype=object) * itemsize <= 4 << 20


@pytest.fixture
def filters_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters that others brought, all of them, as far as hdf5plugin tells."""
    config = SimpleNamespace(registered_filters=dict.fromkeys(hdf5plugin.FILTERS, "unknown"))
    monkeypatch.setattr(hdf5plugin, "get_config", lambda: config)
    creation._register_plugins.cache_clear()


@pytest.mark.usefixtures("filters_of_others")
def test_a_dataset_that_is_open_meanwhile_keeps_its_filter(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        held = file.create_dataset("data", data=np.arange(100), chunks=(10,), **hdf5plugin.Blosc())
        made = create_dataset(file, "other", (100,), held.dtype, (10,), filters_named("blosc"))
        made[...] = held[...]
        np.testing.assert_array_equal(made, np.arange(100))


def is_free_for_others(lock: Any) -> bool:
    def is_free() -> bool:
        taken: bool = lock.acquire(False)
        if taken:
            lock.release()
        return taken

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(is_free).result()


@pytest.mark.usefixtures("filters_of_others")
def test_no_thread_meets_libhdf5_while_a_filter_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[bool] = []
    monkeypatch.setattr(hdf5plugin, "register", lambda *_, **__: free.append(is_free_for_others(phil)))
    creation._register_plugins()
    assert free == [False] * len(hdf5plugin.FILTERS)


FIRST_WRITE = """
import h5py, hdf5plugin, numpy as np, sys
from nexus_xr.hdf5.writing.creation import create_dataset, filters_named

def refuse(number):
    raise AssertionError(f"filter {number} is taken from those who use it")

h5py.h5z.unregister_filter = refuse
with h5py.File(sys.argv[1], "w") as file:
    create_dataset(file, "data", (8, 8), np.dtype("u2"), (1, 8), filters_named("bitshuffle"))
"""


def test_filters_that_hdf5plugin_brought_are_not_replaced(tmp_path: Path) -> None:
    run(FIRST_WRITE, tmp_path / "f.h5")


@pytest.mark.parametrize("compression", ["blosc", "lzf", "gzip", "zstd", "lz4"])
def test_a_chunk_whose_mask_alone_changes_is_noted_with_it(tmp_path: Path, compression: str) -> None:
    """What barely compresses has now as many bytes as it had, and now went through the filter, and now not."""
    random = np.random.default_rng(5)
    for number in range(60):
        values = random.normal(size=(12, 4)).astype("f4")
        path = tmp_path / f"{number}.h5"
        with h5py.File(path, "w") as file:
            filters = filters_named(compression)
            dataset = create_dataset(file, "data", values.shape, values.dtype, (11, 8), filters, (False, True))
            WrittenDataset(dataset).write(whole(values.shape), values)
        with h5py.File(path, "r+", rdcc_nbytes=0) as file:
            target = WrittenDataset(file["data"], is_new=False)
            for row, column in np.ndindex(6, 4):
                part = random.normal(size=(1, 1)).astype("f4")
                values[row + 5, column] = part[0, 0]
                target.write(((row + 5, row + 6), (column, column + 1)), part)
        with h5py.File(path) as file:
            np.testing.assert_array_equal(file["data"][...], values)


def test_a_damaged_chunk_of_which_a_part_is_written_is_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", data=np.zeros((4, 100), "u2"), chunks=(2, 100), compression="gzip")
        dataset.id.write_direct_chunk((2, 0), b"damaged")
        target = WrittenDataset(dataset, is_new=False)
        target.write(((0, 1), (0, 100)), np.ones((1, 100), "u2"))
        with pytest.raises(NexusFileError, match=r"f\.h5:/data: the chunk at \(2, 0\) can't be read"):
            target.write(((2, 3), (0, 100)), np.ones((1, 100), "u2"))
        target.write(((2, 4), (0, 100)), np.full((2, 100), 2, "u2"))
        assert dataset[:, 0].tolist() == [1, 0, 2, 2]


@pytest.mark.parametrize("number", [-1, 10, 99, 255, 65536])
def test_a_number_that_is_neither_a_level_nor_a_filter_is_refused(number: int) -> None:
    with pytest.raises(NexusError, match=f"compression={number}: expected a level of gzip, 0 to 9, or the number"):
        filters_named(number)
    assert [step.id for step in filters_named(32001)] == [32001]
    assert [step.id for step in filters_named(256)] == [256]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((1, 4), "u2"), r"\[0:2, 0:4\] has the shape \(1, 4\), not \(2, 4\)"),
        (np.zeros((4, 2), "u2"), r"has the shape \(4, 2\)"),
        (np.zeros((2, 4)), "is of float64, not all of which uint16 holds"),
        (np.zeros((2, 4), "i8"), "is of int64"),
        (np.ma.masked_equal(np.zeros((2, 4), "u2"), 0), "has masked elements"),
    ],
)
@pytest.mark.parametrize("chunks", [None, (1, 4)])
def test_what_is_not_what_was_to_come_is_refused(tmp_path: Path, values: Any, reason: str, chunks: Any) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        target = WrittenDataset(file.create_dataset("data", (4, 4), "u2", chunks=chunks))
        with pytest.raises(NexusError, match=reason):
            target.write(((0, 2), (0, 4)), values)
        target.write(((0, 2), (0, 4)), np.ones((2, 4), "u1"))
        assert file["data"][:, 0].tolist() == [1, 1, 0, 0]


def test_zeros_over_a_part_of_what_is_there_are_stored(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", (4, 4), "u2", chunks=(2, 4), compression="gzip")
        target = WrittenDataset(dataset)
        for value in (5, 0):
            target.write(((0, 1), (0, 4)), np.full((1, 4), value, "u2"))
        assert not dataset[...].any()


def test_parts_of_one_chunk_are_changed_from_several_threads_and_handles(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (64, 500), "u2", chunks=(64, 500), compression="gzip", shuffle=True)

    def change(row: int) -> None:
        with h5py.File(tmp_path / "f.h5", "r+", rdcc_nbytes=0) as file:
            WrittenDataset(file["data"], is_new=False).write(((row, row + 1), (0, 500)), np.full((1, 500), row, "u2"))

    with h5py.File(tmp_path / "f.h5", "r+", rdcc_nbytes=0), concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(64)))
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["data"][:, 7], np.arange(64))


WITHOUT_ROOM = """
import os, resource, sys
import h5py, numpy as np
from nexus_xr import NexusFileError
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.writable_file import close_file, open_file

path, size = sys.argv[1], 4000
noise = np.random.default_rng(0).integers(0, 2**31, 2 * size)
half = np.where(np.arange(2 * size) % 2, noise, 0)
file = open_file(path, "w-")
file.create_dataset("d", data=half, chunks=(size,), compression="gzip")
close_file(file)
file = open_file(path, "r+")
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path), limits[1]))
target = WrittenDataset(file["d"], 1, is_new=False)
try:
    target.write(((0, size),), noise[:size])  # larger than what is there
except NexusFileError as error:
    print(error)
target.write(((size, 2 * size),), np.zeros(size, noise.dtype))  # which would fit where the other was
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
close_file(file)
with h5py.File(path) as file:
    np.testing.assert_array_equal(file["d"][:size], half[:size])
    assert not file["d"][size:].any()
"""


def test_a_chunk_for_which_there_is_no_room_stays_as_it_is(tmp_path: Path) -> None:
    assert run(WITHOUT_ROOM, tmp_path / "f.h5") == f"{tmp_path / 'f.h5'}:/d: can't be written (File too large)\n"


@pytest.mark.parametrize(("reserved", "several"), [(0, True), (1 << 20, False)])
def test_room_for_chunks_that_grow_is_asked_for_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserved: int, several: bool
) -> None:
    noise, asked = np.random.default_rng(0).integers(0, 256, (100, 1000)).astype("u1"), itertools.count()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("d", data=np.zeros_like(noise), chunks=(1, 1000), compression="gzip")
    allocate = os.posix_fallocate
    monkeypatch.setattr(os, "posix_fallocate", lambda *args: (next(asked), allocate(*args)))
    monkeypatch.setattr(writable_file, "_RESERVED_AT_ONCE", reserved)
    file = writable_file.open_file(tmp_path / "f.h5", "r+")
    WrittenDataset(file["d"], 1, is_new=False).write(((0, 100), (0, 1000)), noise)
    writable_file.close_file(file)
    assert (next(asked) > 1) == several
    assert (tmp_path / "f.h5").stat().st_size < 300_000  # and what was not needed is given back
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(file["d"], noise)
