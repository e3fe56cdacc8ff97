"""Whatever is wrong with a file or happens to it, an error names the place; no value is wrong and nothing crashes."""

from __future__ import annotations

import errno
import itertools
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import nexus_xr
from nexus_xr import NexusFileChangedError, NexusFileError, NexusWarning, open_signals, read_metadata, reduce, to_zarr
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import anew
from nexus_xr.hdf5.filters import missing_filters
from nexus_xr.hdf5.format.checksum import lookup3
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.reading import _reader_process, processes
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts.known_layouts import known_layouts
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.runtime import children
from nexus_xr.nexus.tree.scan import field_of

from .arrays import assert_same_bits, h5py_values, lazy
from .processes import FD_SETSIZE, many_descriptors, readers, run
from .stacks import INDEXES, LOSSLESS, LOSSY, ONLY_LIBHDF5, counts, smooth, write_indexed
from .waiting import PATIENCE_SECONDS

FILTERS: dict[str, Mapping[str, Any]] = {**LOSSLESS, **ONLY_LIBHDF5, **LOSSY}
IN_PROCESSES = ("sz", "sz3", "sperr")
SHAPE, CHUNKS = (3, 32, 32), (1, 32, 32)


def values_for(name: str) -> NDArray[Any]:
    return smooth(SHAPE) if name in LOSSY else counts(SHAPE)


def write(path: Path, name: str = "gzip") -> NDArray[Any]:
    values = values_for(name)
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, chunks=CHUNKS, **FILTERS[name])
    return values


def stored(path: Path, row: int) -> bytes:
    with h5py.File(path) as file:
        content: bytes = file["data"].id.read_direct_chunk((row, 0, 0))[1]
        return content


def store(path: Path, row: int, content: bytes) -> None:
    with h5py.File(path, "a") as file:
        file["data"].id.write_direct_chunk((row, 0, 0), content)


@contextmanager
def refused(path: Path, *reasons: str) -> Iterator[None]:
    """Expect an error that names the file, the dataset, and what else is given."""
    with pytest.raises(NexusFileError) as caught:
        yield
    assert re.match(rf"{re.escape(str(path))}:/data: ", str(caught.value)), caught.value
    for reason in reasons:
        assert reason in str(caught.value)


def assert_only_the_second_chunk_is_bad(path: Path, *reasons: str) -> None:
    array = lazy(path)
    with h5py.File(path) as file:
        good = file["data"][0], file["data"][2]
    for key in ((slice(None),), (1,), (slice(0, 3, 2),), (slice(None), 5, slice(3, 9)), (1, 5, 7), ([2, 1],)):
        if key == (slice(0, 3, 2),):
            assert_same_bits(array[key], np.stack(good))
        else:
            with refused(path, "chunk (1, 0, 0)", *reasons):
                array[key]
    assert_same_bits(array[0], good[0])
    assert_same_bits(array[2], good[1])


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_a_chunk_for_which_there_is_no_memory_is_an_error(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        options: dict[str, Any] = {"chunks": (1, 1 << 44), "maxshape": (None, None), "compression": compression}
        file.create_dataset("data", (8, 8), "i8", **options).id.write_direct_chunk((0, 0), b"damaged")
    array = lazy(path)
    for key in ((slice(None),), (0,), (0, 5), (0, 5), (0, [2, 1])):
        with refused(path, "chunk (0, 0)", "140737488355328 bytes", "no memory"):
            array[key]
    with refused(path, "no memory"):
        reduce(open_signals(path)[0], "sum")
    for verify in (False, True):
        with refused(path, "no memory"):
            to_zarr(path, tmp_path / f"{verify}.zarr", verify=verify)


@pytest.mark.parametrize(("longest", "is_known"), [((1 << 29) - 1, True), (1 << 29, False)])
def test_chunks_are_as_long_as_their_layout_can_say(tmp_path: Path, longest: int, is_known: bool) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_dataset("data", (8,), "i8", chunks=(37,), maxshape=(None,))
    content, said = path.read_bytes(), struct.pack("<II", 37, 8)
    assert content.count(said) == 1
    path.write_bytes(content.replace(said, struct.pack("<II", longest, 8)))
    if is_known:
        assert not lazy(path)[:].any()
    else:
        with pytest.warns(NexusWarning, match="chunks of 4 GiB or more"):
            assert "data" not in read_metadata(path)


# --- damaged chunks --------------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "the header is overwritten": lambda content: b"\xff" * 16 + content[16:],
    "it is cut short": lambda content: content[: len(content) // 2],
    "it is something else": lambda content: np.random.default_rng(1).bytes(len(content)),
}
# What is any bytes to the filter, or to its decoder. Chunks without filters have no size of their own in a file.
UNNOTICED = {
    *((name, damage) for name in ("none", "szip", "zfp", "zfp reversible", "blosc2 truncated") for damage in DAMAGES),
    *((name, damage) for name in ("shuffle", "bitshuffle") for damage in DAMAGES if damage != "it is cut short"),
    *((name, "it is cut short") for name in ("scale-offset", "htj2k", "sz", "sperr")),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILTERS)
def test_a_damaged_chunk_is_named_and_the_others_are_read(tmp_path: Path, name: str, damage: str) -> None:
    if (name, damage) in UNNOTICED:
        pytest.skip("nothing could notice it")
    path = tmp_path / "f.h5"
    write(path, name)
    store(path, 1, DAMAGES[damage](stored(path, 1)))
    if name not in IN_PROCESSES:
        assert_only_the_second_chunk_is_bad(path)
        return
    array, expected = lazy(path), h5py.File(path)
    with refused(path, "chunk (1, 0, 0)"):
        array[...]
    assert_same_bits(array[::2], expected["data"][::2])


@pytest.mark.parametrize("rows", [16, 64], ids=["too little", "too much"])
@pytest.mark.parametrize("name", [name for name in LOSSLESS if name not in ("none", "fletcher32")])
def test_a_valid_stream_of_another_size_is_no_chunk(tmp_path: Path, name: str, rows: int) -> None:
    write(tmp_path / "f.h5", name)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("data", data=counts((2, rows, 32)), chunks=(1, rows, 32), **FILTERS[name])
    store(tmp_path / "f.h5", 1, stored(tmp_path / "other.h5", 1))
    assert_only_the_second_chunk_is_bad(tmp_path / "f.h5")


@pytest.mark.parametrize("name", ["gzip+shuffle+fletcher32", "fletcher32"])
@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_wrong_checksum_is_noticed(tmp_path: Path, name: str, at: int) -> None:
    write(tmp_path / "f.h5", name)
    content = bytearray(stored(tmp_path / "f.h5", 1))
    content[at] ^= 1
    store(tmp_path / "f.h5", 1, bytes(content))
    assert_only_the_second_chunk_is_bad(tmp_path / "f.h5", "its checksum (Fletcher32) is", "the file is damaged")


def test_of_several_bad_chunks_one_is_named(tmp_path: Path) -> None:
    write(tmp_path / "f.h5")
    for row in range(3):
        store(tmp_path / "f.h5", row, b"nothing")
    with pytest.raises(NexusFileError, match=r"chunk \([012], 0, 0\)"):
        lazy(tmp_path / "f.h5")[...]


def test_bad_chunks_in_the_middle_of_many_are_named(tmp_path: Path) -> None:
    path, values = tmp_path / "f.h5", counts((2000, 64))
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", data=values, chunks=(1, 64), compression="gzip", shuffle=True)
        dataset.id.write_direct_chunk((1234, 0), b"nothing")
    with refused(path, "chunk (1234, 0)"):
        lazy(path)[...]
    with refused(path, "chunk (1234, 0)"):
        lazy(path)[:, 5:7]
    rows = [row for row in range(2000) if row != 1234]
    assert_same_bits(lazy(path)[rows], values[rows])


# --- damaged indexes -------------------------------------------------------------------------------------------


def patch(path: Path, old: bytes, new: bytes, before: int = 0) -> None:
    """Overwrite bytes so many before the only place where others are found."""
    content = path.read_bytes()
    assert content.count(old) == 1
    at = content.index(old) - before
    path.write_bytes(content[:at] + new + content[at + len(new) :])


def offset_of(path: Path, row: int) -> int:
    with h5py.File(path) as file:
        offset: int = file["data"].id.get_chunk_info_by_coord((row, 0, 0)).byte_offset
        return offset


@pytest.mark.parametrize("name", ["none", "gzip", "blosc2 zstd 0"])
@pytest.mark.parametrize("offset", [1 << 30, (1 << 62) + 5, (1 << 64) - 2, "the last byte"], ids=str)
def test_a_chunk_beyond_the_end_of_the_file_is_named(tmp_path: Path, name: str, offset: Any) -> None:
    path = tmp_path / "f.h5"
    values = write(path, name)
    at = struct.pack("<Q", offset_of(path, 1))
    patch(path, at, struct.pack("<Q", path.stat().st_size - 1 if offset == "the last byte" else offset))
    array = LazyArray(File(path), "/data", values.shape, values.dtype)
    for key in (..., 1, (slice(None), 3, 4), (1, 3, 4)):
        with refused(path, "chunk (1, 0, 0)"):
            array[key]
    assert_same_bits(array[::2], values[::2])


@pytest.mark.parametrize("size", [0, 5, 1 << 20, (1 << 32) - 1])
def test_a_chunk_with_a_wrong_size_is_named(tmp_path: Path, size: int) -> None:
    path = tmp_path / "f.h5"
    values = write(path)
    # The size is the first of the key, in front of the filter mask and one offset a dimension and one more.
    patch(path, struct.pack("<Q", offset_of(path, 1)), struct.pack("<I", size), before=8 + 8 * 4)
    array = LazyArray(File(path), "/data", values.shape, values.dtype)
    for key in (..., 1, (1, 3, 4)):
        with refused(path, "chunk (1, 0, 0)"):
            array[key]
    assert_same_bits(array[::2], values[::2])


@pytest.mark.parametrize("origin", [(0, 0, 0), (2, 0, 0), (1, 5, 0), (1, 0, 31), (-1, 0, 0)], ids=str)
def test_a_chunk_in_an_impossible_place_is_no_value(tmp_path: Path, origin: tuple[int, ...]) -> None:
    path = tmp_path / "f.h5"
    values = write(path)
    patch(path, struct.pack("<Q", offset_of(path, 1)), struct.pack("<3q", *origin), before=8 * 4)
    with refused(path, "index"):
        LazyArray(File(path), "/data", values.shape, values.dtype)[...]


@pytest.mark.parametrize(
    ("index", "block"),
    [
        ("B-tree 1", b"TREE\x01"),
        ("fixed array", b"FAHD"),
        ("fixed array", b"FADB"),
        ("extensible array", b"EAHD"),
        ("extensible array", b"EAIB"),
        ("B-tree 2", b"BTHD"),
        ("B-tree 2", b"BTLF"),
    ],
)
def test_an_index_that_is_overwritten_is_an_error(tmp_path: Path, index: str, block: bytes) -> None:
    path, values = tmp_path / "f.h5", counts((7, 20, 33))
    write_indexed(path, values, (2, 8, 33), compression="gzip", **INDEXES[index])
    content = path.read_bytes()
    at = content.index(block) + 4
    path.write_bytes(content[:at] + b"\x55" * 24 + content[at + 24 :])
    for key in (..., (1, 2, 3)):
        with refused(path, "index"):
            LazyArray(File(path), "/data", values.shape, values.dtype)[key]


@pytest.mark.parametrize("name", ["gzip", "szip"])
def test_chunks_of_another_rank_than_their_dataset_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.h5"
    write(path, name)
    lengths = struct.pack("<4I", *CHUNKS, values_for(name).itemsize)
    patch(path, lengths, b"\3", before=9)  # behind the rank is where the index is
    with described(File(path), diagnostics := Diagnostics()) as root:
        dataset = root.find("data")
        assert isinstance(dataset, Dataset)
        assert dataset.storage.chunks is None
        with pytest.raises(FormatError, match=r"3 dimensions can't have chunks of shape|elements of 32 bytes"):
            read_whole(dataset)
    assert [report.code for report in diagnostics] == [Code.STORAGE_UNKNOWN]
    with pytest.warns(NexusWarning, match="how it is stored can't be told"):
        opened = xr.open_datatree(path, engine="nexus")["data"]
    assert opened.shape == SHAPE
    with pytest.raises(NexusFileError, match=r"f\.h5:/data"):
        opened.load()


def test_a_damaged_file_whose_writer_crashed_is_refused(tmp_path: Path) -> None:
    """Libhdf5 would wait for the writer to mend it."""
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        file["x"] = 1
    content = bytearray((tmp_path / "f.h5").read_bytes())
    content[11] = 5  # open for writing, and for readers beside that
    content[44:48] = lookup3(bytes(content[:44])).to_bytes(4, "little")
    (tmp_path / "f.h5").write_bytes(content)
    assert read_metadata(tmp_path / "f.h5")["x"]["value"] == 1
    content[content.index(b"OHDR") + 16] ^= 1
    (tmp_path / "f.h5").write_bytes(content)
    with pytest.raises(NexusFileError, match=r"f.h5: the root group can't be read .*checksum.*; .* copy it again"):
        read_metadata(tmp_path / "f.h5")


@pytest.mark.parametrize("level", ["root", "leaf"])
@pytest.mark.parametrize("address", [1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 2], ids=hex)
def test_an_index_in_an_impossible_place_is_said_to_be_there(tmp_path: Path, level: str, address: int) -> None:
    path, values = tmp_path / "f.h5", counts((400, 2))
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, chunks=(1, 2), compression="gzip")
    nodes = [at.start() for at in re.finditer(b"TREE\x01", path.read_bytes())]
    (root,) = [at for at in nodes if path.read_bytes()[at + 5] == max(path.read_bytes()[each + 5] for each in nodes)]
    patch(path, struct.pack("<Q", root if level == "root" else nodes[0]), struct.pack("<Q", address))
    with refused(path, "the chunk index", "beyond the end of the file"):
        LazyArray(File(path), "/data", values.shape, values.dtype)[...]


# --- filters that are missing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "name", "told"),
    [
        (32020, b"vbz", "filter 32020 (VBZ) is needed, which no plugin here has; the Python package vbz-h5py-plugin"),
        (32022, b"", "filter 32022 (BitGroom) is needed, which no plugin here has; the Community Codec Repository"),
        (40000, b"own", "filter 40000 ('own' in the file) is needed, which no plugin here has; ask who wrote the file"),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.dtype("u2"), np.dtype(("u2", (3,))), h5py.string_dtype()], ids=str)
def test_a_filter_that_is_missing_is_named_with_who_has_it(
    tmp_path: Path, dtype: np.dtype[Any], number: int, name: bytes, told: str
) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        data = file.create_dataset("data", (4, 9), dtype, chunks=(2, 9), compression="gzip")
        data.id.write_direct_chunk((2, 0), b"stored")
    message = struct.pack("<4H", 1, 8, 1, 1) + b"deflate\0"  # number, length of the name, flags, how many options
    patch(path, message, struct.pack("<4H", number, 8, 0, 1) + name.ljust(8, b"\0"))
    inner = dtype.subdtype[1] if dtype.subdtype else ()
    array = LazyArray(File(path), "/data", (4, 9, *inner), dtype.base)
    for key in (..., 3, (2, 1)):
        with refused(path, told):
            array[key]
    assert not np.any(array[:2])  # where nothing is stored, no filter is needed
    with pytest.warns(NexusWarning, match=re.escape(told)):
        read_metadata(path)


def test_every_filter_of_hdf5plugin_is_among_the_registered_ones() -> None:
    assert set(hdf5plugin.FILTERS.values()) <= set(missing_filters.FILTERS)


# --- files that change -----------------------------------------------------------------------------------------

WAYS = ("truncated", "truncated in secret", "grown", "replaced", "written to", "gone")


def change(path: Path, way: str) -> None:
    before = path.stat()
    if way.startswith("truncated"):
        os.truncate(path, before.st_size - 100)
    elif way == "grown":
        with h5py.File(path, "a") as file:
            file["more"] = np.zeros(1000)
    elif way == "replaced":
        write(path.parent / "new.h5", "lzf")
        os.replace(path.parent / "new.h5", path)
    elif way == "written to":
        with h5py.File(path, "a") as file:
            file["data"][0, 0, 0] = 9
    else:
        path.unlink()
        return
    # Clocks of file systems are coarse; and who copies a file may restore its time.
    later = 0 if way.endswith("in secret") else 1_000_000_000
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["none", "gzip", "scale-offset", "sz"])
def test_a_file_that_changed_between_two_reads_is_refused(tmp_path: Path, name: str, way: str) -> None:
    path = tmp_path / "f.h5"
    write(path, name)
    array, expected = lazy(path), h5py_values(path)
    assert_same_bits(array[1], expected[1])
    change(path, way)
    for key in (1, ..., (1, 2, 3)):
        with pytest.raises(NexusFileError, match="no such file" if way == "gone" else "changed since it was opened"):
            array[key]


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_changed_after_it_was_opened_is_refused(tmp_path: Path, way: str) -> None:
    path = tmp_path / "f.h5"
    write(path)
    dataset = xr.open_dataset(path, engine="nexus", dataset_path="/data")
    change(path, way)
    with pytest.raises(NexusFileError, match="no such file" if way == "gone" else "changed since it was opened"):
        dataset.load()


def during_a_read(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]) -> None:
    """Have something happen once, before the first bytes are read."""
    pending = [happens]
    read = os.preadv

    def preadv(descriptor: int, *arguments: Any) -> int:
        if pending:
            pending.pop()()
        return read(descriptor, *arguments)

    monkeypatch.setattr(os, "preadv", preadv)


@pytest.mark.parametrize("way", ["truncated", "truncated in secret", "written to"])
@pytest.mark.parametrize("key", [..., 1, (1, 2, 3)], ids=str)
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, key: Any
) -> None:
    path = tmp_path / "f.h5"
    write(path, "none")
    array = lazy(path)
    array[0]
    during_a_read(monkeypatch, lambda: change(path, way))
    with pytest.raises(NexusFileError, match="changed since it was opened"):
        array[key]


@pytest.mark.parametrize("way", ["replaced", "gone"])
def test_a_file_that_is_replaced_while_it_is_read_is_still_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path = tmp_path / "f.h5"
    values = write(path)
    array = lazy(path)
    assert_same_bits(array[0], values[0])
    during_a_read(monkeypatch, lambda: change(path, way))
    assert_same_bits(array[...], values)


def test_a_file_that_was_truncated_before_it_was_opened_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    values = write(path)
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(NexusFileError, match=re.escape(str(path)) + ".*truncated"):
        LazyArray(File(path), "/data", values.shape, values.dtype)[...]


@pytest.mark.parametrize("name", ["none", "gzip"])
def test_a_file_may_come_in_small_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    values = write(tmp_path / "f.h5", name)
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda where, views, at: read(where, [views[0][: len(views[0]) // 2 + 1]], at))
    array = lazy(tmp_path / "f.h5")
    for key in (..., 1, (slice(None), 3, slice(4, 9))):
        assert_same_bits(array[key], values[key])


@pytest.mark.parametrize("name", ["none", "gzip"])
def test_a_file_that_ends_early_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = tmp_path / "f.h5"
    write(path, name)
    array = lazy(path)
    array[0]
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    for key in (..., 1, (1, 2, 3)):
        with refused(path, "chunk (", "only 0 of"):
            array[key]


def test_an_error_of_the_system_names_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.h5"
    write(path)
    array = lazy(path)
    array[0]

    def fail(*_: Any) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    with refused(path, "Input/output error"):
        array[...]


# Which calls of the system fail, and how.
SYSTEM_FAULTS = [
    ("preadv", errno.EIO),
    ("open", errno.EMFILE),
    ("fstat", errno.EIO),
    ("stat", errno.ESTALE),
    ("listdir", errno.EIO),
]


@pytest.fixture
def spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a file with axes and metadata, and values in others."""
    monkeypatch.chdir(tmp_path)
    with h5py.File("other.h5", "w") as file:
        file["x"] = np.arange(6.0)
    for number in range(2):
        with h5py.File(f"part_{number}.h5", "w") as file:
            file["data"] = np.arange(6) + 6 * number
    np.arange(6.0).tofile("raw.bin")
    layout = h5py.VirtualLayout((2, 6), "i8", maxshape=(None, 6))
    layout[0 : h5py.h5s.UNLIMITED : 1] = h5py.VirtualSource("part_%b.h5", "data", (6,))
    with h5py.File("scan.nxs", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="counts", axes=["y", "x"])
        data.create_virtual_dataset("counts", layout)
        data["y"] = np.arange(2)
        data["x"] = h5py.ExternalLink("other.h5", "x")
        file["entry"].attrs["NX_class"] = "NXentry"
        file.create_dataset("entry/flat", data=np.arange(40).reshape(4, 10), chunks=(2, 10), compression="gzip")
        file.create_dataset("entry/raw", (6,), "f8", external=[("raw.bin", 0, 48)])
    return "scan.nxs"


def in_words(dataset: xr.Dataset) -> str:
    return repr((dict(dataset.sizes), list(dataset.indexes), dataset.load().to_dict()))


@contextmanager
def failing_once(call: str, number: int, fails_at: int) -> Iterator[list[Any]]:
    """Have one of the calls of the system fail; gives what each of them was about."""
    work, made = getattr(os, call), list[Any]()

    def failing(*arguments: Any, **options: Any) -> Any:
        made.append(arguments)
        if len(made) == fails_at:
            raise OSError(number, os.strerror(number))
        return work(*arguments, **options)

    with mock.patch.object(os, call, failing):
        yield made


@pytest.mark.parametrize(("call", "number"), SYSTEM_FAULTS)
def test_a_fault_of_the_system_is_an_error_and_never_another_dataset(
    spread: str, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Whichever call of that kind fails, once, while the file is opened and read."""
    expected = in_words(xr.open_dataset(spread, engine="nexus"))
    refusals: list[NexusFileError] = []
    for fails_at in itertools.count(1):
        monkeypatch.setattr(known_layouts, "_known", OrderedDict())  # which has them from the time before
        with failing_once(call, number, fails_at) as made:
            try:
                assert in_words(xr.open_dataset(spread, engine="nexus")) == expected
            except NexusFileError as error:
                refusals.append(error)
        if len(made) < fails_at:
            break
    assert refusals
    assert {error.errno for error in refusals} == {number}
    assert all(os.strerror(number) in str(error) for error in refusals)


@pytest.mark.parametrize(("call", "number"), SYSTEM_FAULTS)
def test_a_fault_of_the_system_is_an_error_of_the_file_that_is_to_be_told_of(
    spread: str, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    expected, numbers = repr(nexus_xr.describe(spread)), set[int | None]()
    for fails_at in itertools.count(1):
        monkeypatch.setattr(known_layouts, "_known", OrderedDict())
        with failing_once(call, number, fails_at) as made:
            try:
                assert repr(nexus_xr.describe(spread)) == expected
            except NexusFileError as error:
                numbers.add(error.errno)
        if len(made) < fails_at:
            break
    assert numbers == {number}


def test_to_close_what_was_read_is_no_fault(spread: str, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close

    def failing(descriptor: int) -> None:
        close(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    expected = in_words(xr.open_dataset(spread, engine="nexus"))
    monkeypatch.setattr(os, "close", failing)
    assert in_words(xr.open_dataset(spread, engine="nexus")) == expected


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG])
def test_what_lies_in_the_name_of_a_source_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.chdir(tmp_path)
    layout = h5py.VirtualLayout((6,), "i8")
    layout[:] = h5py.VirtualSource("part.h5", "data", (6,))
    with h5py.File("scan.nxs", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=-1)
    stat = os.stat

    def failing(path: Any, **options: Any) -> os.stat_result:
        if str(path).endswith("part.h5"):
            raise OSError(number, os.strerror(number))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", failing)
    with pytest.warns(NexusWarning, match="its sources are missing"):
        dataset = xr.open_dataset("scan.nxs", engine="nexus", dataset_path="data")
    assert (dataset.data == -1).all()


def test_what_libhdf5_needs_and_cant_be_loaded_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "f.h5")

    class Full:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "hdf5plugin":
                raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.delitem(sys.modules, "hdf5plugin")
    monkeypatch.setattr(sys, "meta_path", [Full(), *sys.meta_path])
    file = File(tmp_path / "f.h5")
    with pytest.raises(NexusFileError, match=r"f\.h5'?: can't be opened .*Too many open files"), file.opened():
        pass


def test_raw_data_files_that_are_gone_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (5, 8), "u2", external=[(str(tmp_path / "a.raw"), 0, 80)])
    (tmp_path / "a.raw").unlink(missing_ok=True)
    with refused(tmp_path / "f.h5", "a.raw"):
        lazy(tmp_path / "f.h5")[...]


@pytest.mark.parametrize("selection", [np.s_[:2], np.s_[1, 3], np.s_[:2, ::3], np.s_[[0, 1]], np.s_[1::-1]], ids=str)
def test_values_in_raw_data_files_that_are_there_are_read(tmp_path: Path, selection: Any) -> None:
    values = np.arange(32, dtype="u2").reshape(4, 8)
    (tmp_path / "a.raw").write_bytes(values[:2].tobytes())
    with h5py.File(tmp_path / "f.h5", "w") as file:
        pieces = [(str(tmp_path / name), 0, 32) for name in ("a.raw", "gone.raw")]
        file.create_dataset("data", (4, 8), "u2", external=pieces)
    np.testing.assert_array_equal(lazy(tmp_path / "f.h5")[selection], values[selection])
    for beyond in (np.s_[1:3], np.s_[3], np.s_[[0, 2]], np.s_[...]):
        with refused(tmp_path / "f.h5", "gone.raw"):
            lazy(tmp_path / "f.h5")[beyond]


@pytest.mark.parametrize("kept", [63, 64])
def test_raw_data_files_that_are_short_are_told_of(tmp_path: Path, kept: int) -> None:
    """Zeros are what HDF5 has behind the end; the second file is said to be any number of bytes long."""
    values = np.arange(1, 41, dtype="u2").reshape(5, 8)
    (tmp_path / "a.raw").write_bytes(b"head" + values[:1].tobytes() + b"tail")
    (tmp_path / "b.raw").write_bytes(values[1:].tobytes()[:kept])
    with h5py.File(tmp_path / "f.h5", "w") as file:
        pieces = [(str(tmp_path / "a.raw"), 4, 16), (str(tmp_path / "b.raw"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("entry/data", (5, 8), "u2", external=pieces)
        file["entry"].attrs.update(NX_class="NXdata", signal="data")
    with h5py.File(tmp_path / "f.h5") as file:
        expected = file["entry/data"][()]
    is_short = kept < 64
    told = f"reads as zeros behind the end of its files of raw data: {tmp_path}/b.raw of 63 bytes"
    with warnings.catch_warnings(action="always", record=True) as caught:
        opened = xr.open_dataset(tmp_path / "f.h5", engine="nexus").data
        np.testing.assert_array_equal(opened, expected)
        nexus_xr.open_signals(tmp_path / "f.h5", dataset_path="/entry/data")
        tree = xr.open_datatree(tmp_path / "f.h5", engine="nexus")
    assert _told(caught) == [(Code.RAW_FILE_SHORT, told)] * 3 * is_short
    np.testing.assert_array_equal(tree["entry/data"], expected)
    report = nexus_xr.check(tmp_path / "f.h5")
    assert [(each.code, each.path, each.message) for each in report.faults] == (
        [(Code.RAW_FILE_SHORT, "/entry/data", told)] if is_short else []
    )
    if not is_short:
        xr.open_dataset(tmp_path / "f.h5", engine="nexus", missing="raise").load()
        return
    with pytest.raises(
        NexusFileError, match=r"/entry/data: \S*/b\.raw ends after 63 bytes, before what is said to be in"
    ):
        xr.open_dataset(tmp_path / "f.h5", engine="nexus", missing="raise")


@pytest.mark.parametrize("way", ["truncated", "written to", "replaced"])
@pytest.mark.parametrize("travels", [False, True])
def test_raw_data_files_that_changed_are_refused(tmp_path: Path, way: str, travels: bool) -> None:
    """Each time, and however often a process was told of them before."""
    values = np.arange(1, 41, dtype="u2").reshape(5, 8)
    raw = tmp_path / "a.raw"
    raw.write_bytes(values.tobytes())
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (5, 8), "u2", external=[(str(raw), 0, 80)])
    for _ in range(2):
        raw.write_bytes(values.tobytes())
        opened = xr.open_dataset(tmp_path / "f.h5", engine="nexus", dataset_path="/data").data
        opened = pickle.loads(pickle.dumps(opened)) if travels else opened
        np.testing.assert_array_equal(opened[:2], values[:2])
        if way == "replaced":
            (tmp_path / "b.raw").write_bytes(values[:, :7].tobytes())
            os.replace(tmp_path / "b.raw", raw)
        elif way == "truncated":
            os.truncate(raw, 70)
        else:
            raw.write_bytes(values[::-1].tobytes())
            os.utime(raw, ns=(0, 0))
        with pytest.raises(NexusFileChangedError, match=r"f\.h5:/data: .*a\.raw: the file changed since it was opened"):
            opened.load()
    with warnings.catch_warnings(action="ignore"):
        anew = xr.open_dataset(tmp_path / "f.h5", engine="nexus", dataset_path="/data").data
        assert anew.values.tobytes() == raw.read_bytes().ljust(80, b"\0")


def test_raw_data_files_that_end_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(80))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (5, 8), "u2", external=[(str(tmp_path / "a.raw"), 0, 80)])
    array = lazy(tmp_path / "f.h5")
    array[0]
    during_a_read(monkeypatch, lambda: os.truncate(tmp_path / "a.raw", 70))
    with pytest.raises(NexusFileChangedError, match="it had 80 bytes, now 70"):
        array[...]


def test_raw_data_files_of_a_file_that_is_being_written_may_grow(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(70))
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        file.create_dataset("data", (5, 8), "u2", external=[(str(tmp_path / "a.raw"), 0, 80)])
        file.swmr_mode = True
        opened = File(tmp_path / "f.h5")
        with opened.source():
            assert opened.snapshot is not None
        opened.check_raw_file("a.raw", os.stat(tmp_path / "a.raw"))
        (tmp_path / "a.raw").write_bytes(bytes(80))
        opened.check_raw_file("a.raw", os.stat(tmp_path / "a.raw"))


def test_raw_data_files_to_which_more_is_written_are_read_on(tmp_path: Path) -> None:
    values = np.arange(1, 41, dtype="u2").reshape(5, 8)
    raw = tmp_path / "a.raw"
    raw.write_bytes(values[:3].tobytes())
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (5, 8), "u2", external=[(str(raw), 0, 80)])
    array = lazy(tmp_path / "f.h5")
    for rows in (3, 4, 5):
        raw.write_bytes(values[:rows].tobytes())
        assert_same_bits(array[:rows], values[:rows])
    os.truncate(raw, 64)
    with pytest.raises(NexusFileChangedError, match="it had 80 bytes, now 64"):
        array[:]


def test_raw_data_files_that_this_process_writes_may_change(tmp_path: Path) -> None:
    """Of which it is asked only where one changed: that takes a time for each file that is open here."""
    (tmp_path / "a.raw").write_bytes(bytes(80))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (5, 8), "u2", external=[(str(tmp_path / "a.raw"), 0, 80)])
    (tmp_path / "b.raw").write_bytes(bytes(70))
    opened, other = File(tmp_path / "f.h5"), os.stat(tmp_path / "b.raw")
    with mock.patch.object(File, "is_written_here", property(lambda _: pytest.fail("it is asked"))):
        for _ in range(2):
            opened.check_raw_file("a.raw", os.stat(tmp_path / "a.raw"))
    with h5py.File(tmp_path / "f.h5", "r+"):
        opened.check_raw_file("a.raw", other)
    opened.check_raw_file("a.raw", other)
    (tmp_path / "b.raw").write_bytes(bytes(60))
    with pytest.raises(NexusFileChangedError):
        opened.check_raw_file("a.raw", os.stat(tmp_path / "b.raw"))


def test_a_file_is_pickled_while_its_raw_data_files_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(80))
    found = os.stat(tmp_path / "a.raw")
    opened = File(tmp_path / "f.h5")

    class Noting(str):
        """A path in the middle of whose pickling another thread has its turn."""

        def __reduce__(self) -> tuple[Any, ...]:
            opened.check_raw_file("b.raw", found)
            return (str, (str(self),))

    for name in (Noting("a.raw"), "c.raw"):
        opened.check_raw_file(name, found)
    pickled = pickle.loads(pickle.dumps(opened))
    (tmp_path / "a.raw").write_bytes(bytes(70))
    with pytest.raises(NexusFileChangedError):
        pickled.check_raw_file("c.raw", os.stat(tmp_path / "a.raw"))


@pytest.mark.parametrize("way", ["source", "source and numbers"])
def test_raw_data_files_that_became_short_are_told_of_when_that_is_read(tmp_path: Path, way: str) -> None:
    """Those of what a virtual dataset is made of, by another process, which didn't look at them before."""
    values = np.arange(1, 41, dtype="u2").reshape(5, 8)
    (tmp_path / "a.raw").write_bytes(values.tobytes())
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("data", (5, 8), "u2", external=[(str(tmp_path / "a.raw"), 0, 80)])
    layout = h5py.VirtualLayout((5, 8), "u2" if way == "source" else "f8")
    layout[...] = h5py.VirtualSource("raw.h5", "data", (5, 8))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    path = tmp_path / "f.h5"
    opened, strict = (
        pickle.loads(pickle.dumps(xr.open_dataset(path, engine="nexus", dataset_path="/data", missing=missing).data))
        for missing in ("fill", "raise")
    )
    os.truncate(tmp_path / "a.raw", 70)
    expected = values.copy()
    expected.flat[35:] = 0
    with warnings.catch_warnings(action="always", record=True) as caught:
        np.testing.assert_array_equal(opened[:4].values, expected[:4])
        np.testing.assert_array_equal(strict[:4].values, expected[:4])
    assert _told(caught) == []
    with warnings.catch_warnings(action="always", record=True) as caught:
        np.testing.assert_array_equal(opened[3:].values, expected[3:])
        np.testing.assert_array_equal(opened.values, expected)
    told = f"reads as zeros behind the end of its files of raw data: {tmp_path}/a.raw of 70 bytes"
    assert _told(caught) == [(Code.RAW_FILE_SHORT, told)]
    with pytest.raises(
        NexusFileError, match=r"raw\.h5:/?data: \S*/a\.raw ends after 70 bytes, before .*, which reads as"
    ):
        strict.load()
    with pytest.raises(NexusFileError, match="ends after 70 bytes"):
        reduce(strict, "sum")


def _told(caught: list[warnings.WarningMessage]) -> list[tuple[Code, str]]:
    messages = (warning.message for warning in caught if isinstance(warning.message, NexusWarning))
    return [(each.code, each.message) for message in messages for each in message.diagnostics]


# --- reader processes ------------------------------------------------------------------------------------------


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[int], None]]:
    """Functions to call, one each time that a reader process was asked for a chunk, with the process's number."""
    monkeypatch.setattr(processes, "_TOGETHER_BYTES", 0)
    functions: list[Callable[[int], None]] = []
    send = processes._Process._send

    def send_and_call(self: Any, request: Any) -> None:
        if request is not None and functions:
            functions.pop()(self._child.pid)
        send(self, request)

    monkeypatch.setattr(processes._Process, "_send", send_and_call)
    return functions


def kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)


def stop(process: int) -> None:
    os.kill(process, signal.SIGSTOP)


def test_a_reader_process_that_is_killed_is_replaced_once(tmp_path: Path, sent: list[Callable[[int], None]]) -> None:
    path = tmp_path / "f.h5"
    write(path, "sz")
    array, expected = lazy(path, num_threads=1), h5py_values(path)
    assert_same_bits(array[...], expected)
    sent += [kill]
    assert_same_bits(array[...], expected)
    sent += [kill, kill]
    with refused(path, "chunk (0, 0, 0)", "its decoder crashed (SIGKILL)"):
        array[...]
    assert_same_bits(array[...], expected)


def test_a_reader_process_that_nobody_asked_for_long_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "f.h5", "sz")
    array, expected = lazy(tmp_path / "f.h5", num_threads=1), h5py_values(tmp_path / "f.h5")
    # It waits for the first request, and for no other.
    script = Path(_reader_process.__file__).read_text()
    script = script.replace("_answer(answers, reader, *asked)", "_answer(answers, reader, *asked)\n            break")
    (tmp_path / "_reader_process.py").write_text(script)
    processes._processes.end()
    monkeypatch.setattr(_reader_process, "__file__", str(tmp_path / "_reader_process.py"))
    assert_same_bits(array[...], expected)
    monkeypatch.undo()
    (process,) = processes._processes._idle
    assert process._child._popen.wait(30) == _reader_process.IDLE_STATUS
    # As if it had come to its end only after it was looked at.
    said = [True]
    monkeypatch.setattr(processes._Process, "is_alive", property(lambda self: bool(said and said.pop())))
    assert_same_bits(array[...], expected)


def test_a_decoder_that_never_ends_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: list[Callable[[int], None]]
) -> None:
    path = tmp_path / "f.h5"
    write(path, "sz")
    array, expected = lazy(path), h5py_values(path)
    assert_same_bits(array[1], expected[1])
    with monkeypatch.context() as context:
        context.setattr(children, "PATIENCE_SECONDS", 1)
        sent += [stop]
        with refused(path, "chunk (1, 0, 0)", "its decoder didn't come to an end in 1 s"):
            array[1]
    assert_same_bits(array[...], expected)


def test_processes_are_heard_where_descriptors_are_many(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "sz")
    processes._processes.end()
    expected = h5py_values(tmp_path / "f.h5")
    with many_descriptors():
        assert_same_bits(lazy(tmp_path / "f.h5")[...], expected)
        (process, *_) = processes._processes._idle
        assert process._child._from.fileno() >= FD_SETSIZE
        processes._processes.end()


def test_a_process_that_can_not_run_is_not_taken_for_damage_alone(
    tmp_path: Path, changed_reader: Callable[[str], None]
) -> None:
    write(tmp_path / "f.h5", "sz")
    changed_reader("os._exit(3)")
    with refused(tmp_path / "f.h5", "the process that was to read it ended with status 3; the file may be damaged"):
        lazy(tmp_path / "f.h5")[0]


def test_a_process_that_ended_meanwhile_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "sperr")
    array, expected = lazy(tmp_path / "f.h5"), h5py_values(tmp_path / "f.h5")
    assert_same_bits(array[...], expected)
    for process in readers():
        kill(process)
    assert_same_bits(array[...], expected)


def test_no_process_is_left_behind_by_crashes(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write(path, "sz3")
    lazy(path)[...]
    before = len(readers())
    store(path, 1, b"\xff" * 200)
    for _ in range(3):
        with refused(path, "chunk (1, 0, 0)"):
            lazy(path)[1]
    assert len(readers()) <= before


@pytest.fixture
def changed_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Has reader processes do something else in place of reading."""
    processes._processes.end()

    def change(instead: str) -> None:
        script = Path(_reader_process.__file__).read_text().replace("content = reader.read(*what)", instead)
        assert instead in script
        (tmp_path / "_reader_process.py").write_text(script)
        monkeypatch.setattr(_reader_process, "__file__", str(tmp_path / "_reader_process.py"))

    yield change
    processes._processes.end()


def opened_small(path: Path) -> tuple[Any, str]:
    """The value that the tree has of /data, and what is said of it."""
    diagnostics = Diagnostics()
    with described(File(path), diagnostics) as root:
        dataset = root.find("data")
        assert isinstance(dataset, Dataset)
        value = field_of(dataset, {}, File(path))["value"]
    (diagnostic,) = diagnostics
    return value, str(diagnostic)


def test_a_small_value_whose_decoder_never_ends_stays_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed_reader: Callable[[str], None]
) -> None:
    expected = write(tmp_path / "f.h5", "szip")
    monkeypatch.setattr(processes, "_LEAST_SECONDS", 0.2)
    with monkeypatch.context() as context:
        context.setattr(processes, "_TOGETHER_BYTES", 0)
        changed_reader("while True: pass")
        value, said = opened_small(tmp_path / "f.h5")
    assert "the value can't be read" in said
    assert "its decoder took all the time that it was given" in said
    monkeypatch.undo()
    processes._processes.end()
    assert_same_bits(value[...], expected)


def test_a_small_value_whose_decoder_wants_too_much_stays_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed_reader: Callable[[str], None]
) -> None:
    write(tmp_path / "f.h5", "szip")
    changed_reader("content = memoryview(bytes(3 << 30))")
    value, said = opened_small(tmp_path / "f.h5")
    assert isinstance(value, LazyArray)
    assert "the value can't be read" in said


@pytest.mark.parametrize("name", [*ONLY_LIBHDF5, *IN_PROCESSES])  # zfp makes values of any bytes
def test_a_small_value_with_a_damaged_chunk_stays_in_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f.h5"
    write(path, name)
    store(path, 1, b"\xff" * 3)
    value, said = opened_small(path)
    assert isinstance(value, LazyArray)
    assert "chunk (1, 0, 0)" in said


def test_a_pipeline_with_damaged_options_ends_no_process_but_the_readers(tmp_path: Path) -> None:
    write(tmp_path / "f.h5", "szip")
    with h5py.File(tmp_path / "f.h5") as file:
        options = struct.pack("<4I", *file["data"].id.get_create_plist().get_filter(0)[2])
    content = (tmp_path / "f.h5").read_bytes()
    ends = set()
    for at in range(len(options)):
        for damage in (0, 255):
            damaged = options[:at] + bytes([damage]) + options[at + 1 :]
            (tmp_path / "damaged.h5").write_bytes(content.replace(options, damaged))
            with described(File(tmp_path / "damaged.h5"), Diagnostics()) as root:
                dataset = root.find("data")
                assert isinstance(dataset, Dataset)
                try:
                    ends.add(np.shape(read_whole(dataset)))
                except OSError as error:
                    ends.add("crashed" if "its decoder crashed" in str(error) else "refused")
    assert ends == {SHAPE, "crashed", "refused"}


# --- too much, and interrupted ---------------------------------------------------------------------------------

TOO_LARGE = """
import resource, sys
import numpy as np
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts.known_layouts import known_layouts
from nexus_xr.hdf5.io.file import File

resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
array = LazyArray(File(sys.argv[1]), "/data", (1 << 50,), np.dtype("u1"))
assert array[(1 << 50) - 3 :].tolist() == [7, 7, 7]
for selection in (slice(None), slice(1, -1, 3)):
    try:
        array[selection]
    except MemoryError:
        print("too large")
assert array[5] == 7
"""


@pytest.mark.parametrize("options", [{"chunks": (1 << 20,)}, {"chunks": (1 << 30,), "compression": "gzip"}, {}])
def test_a_selection_larger_than_memory_is_a_memory_error(tmp_path: Path, options: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (1 << 50,), "u1", fillvalue=7, **options)
    assert run(TOO_LARGE, tmp_path / "f.h5") == "too large\n" * 2


INTERRUPTED = """
import signal, sys, threading
import numpy as np
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts.known_layouts import known_layouts
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.policy import ReadingPolicy

path, shape, dtype, times = sys.argv[1], eval(sys.argv[2]), sys.argv[3], int(sys.argv[4])
array = LazyArray(File(path, policy=ReadingPolicy(num_threads=4)), "/data", shape, np.dtype(dtype))
expected = array[...]
signal.signal(signal.SIGINT, signal.default_int_handler)  # what starts processes in the background may have it ignored


def working(frame):
    while frame is not None:
        if frame.f_code.co_filename.endswith(("engine.py", "chunks.py", "chunk.py", "processes.py")):
            return True
        frame = frame.f_back
    return False


def read_until(last):  # call of a function, where signals are looked for; gives how many there were
    count = 0

    def watch(frame, event, _):
        nonlocal count
        count += event == "call"
        if event == "call" and count == last:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    sys.setprofile(watch)
    try:
        got = array[...]
    finally:
        sys.setprofile(None)
    assert np.array_equal(got, expected), "wrong"
    return count


sys.unraisablehook = lambda *_: None  # of interrupts in finalizers
interrupts = 0
calls = read_until(None)
for number in range(times):
    try:
        read_until(1 + number * calls // times)
    except KeyboardInterrupt:
        interrupts += 1
    assert not any(map(working, sys._current_frames().values())), "a helper is at work"
    assert np.array_equal(array[...], expected), "wrong after an interrupt"
    assert threads._crew.busy == 0, "a reader is counted that is none"
print("interrupted" if interrupts else "never interrupted")
"""


@pytest.mark.parametrize("name", ["gzip", "blosc zstd 1", "none"])
def test_an_interrupted_read_leaves_everything_in_order(tmp_path: Path, name: str) -> None:
    values = counts((16, 256, 256))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(1, 256, 256), **FILTERS[name])
    assert run(INTERRUPTED, tmp_path / "f.h5", values.shape, values.dtype, 50) == "interrupted\n"


def test_an_interrupted_read_of_processes_leaves_everything_in_order(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=smooth((8, 64, 64)), chunks=(1, 64, 64), **FILTERS["sz"])
    assert run(INTERRUPTED, tmp_path / "f.h5", (8, 64, 64), "f4", 20) == "interrupted\n"


# --- what the system says ------------------------------------------------------------------------------------------


def as_it_is(error: NexusFileError) -> NexusFileError:
    return error


def sent_to_another_process(error: NexusFileError) -> NexusFileError:
    sent = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(error))))
    assert isinstance(sent, NexusFileError)
    return sent


@pytest.mark.parametrize("way", [as_it_is, sent_to_another_process, anew])
def test_errors_tell_what_the_system_said(way: Callable[[NexusFileError], NexusFileError], tmp_path: Path) -> None:
    path = tmp_path / "gone.nxs"
    with pytest.raises(FileNotFoundError) as caught:
        xr.open_dataset(path, engine="nexus")
    error = way(caught.value)  # type: ignore[arg-type]
    assert (type(error), error.errno, error.filename) == (nexus_xr.NexusFileNotFoundError, errno.ENOENT, str(path))
    assert str(error) == f"{path}: no such file; check the path"


@pytest.mark.parametrize(
    ("cause", "number"),
    [
        (RuntimeError("Can't write (errno = 28, error message = 'No space left on device')"), errno.ENOSPC),
        (RuntimeError("errno"), None),
        (None, None),
    ],
)
def test_errors_tell_what_the_system_said_to_libhdf5(cause: Exception | None, number: int | None) -> None:
    error = NexusFileError("f.nxs: can't be written")
    error.__cause__ = cause
    assert (error.errno, error.filename) == (number, None)


# --- a disk that is full ---------------------------------------------------------------------------------------

WRITING_ON_A_FULL_DISK = """
import errno, os, resource, sys
import dask, h5py, numpy as np, xarray as xr
import nexus_xr
from nexus_xr.writing import distributed as parts
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset

variant = sys.argv[1]
values = np.random.default_rng(0).integers(0, 60000, (32, 64, 64)).astype("u2")
whole = xr.DataArray(values, dims=("n", "y", "x"), name="counts")
small = xr.DataArray(np.arange(9.0), dims="x", name="small")
genuine = WrittenDataset._write_chunk
written = []

def write_chunk(target, *what):
    written.append(what)
    if len(written) == 9:
        os.dup2(os.open("/dev/full", os.O_RDWR), target._dataset.file.id.get_vfd_handle())
    genuine(target, *what)

def refused(disk, path, **options):
    if disk == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    else:
        WrittenDataset._write_chunk = write_chunk
        written.clear()
    try:
        array = whole.chunk(n=16) if variant in ("dask", "divided") else whole
        stored = {} if "region" in options else {"compression": None, "chunks": {"n": 1}}
        nexus_xr.to_nexus(array, path, **stored, **options)
    except nexus_xr.NexusFileError as error:
        print(error)
        assert error.errno == (errno.EFBIG if disk == "limited" else errno.ENOSPC)
    else:
        raise AssertionError("there was room")
    finally:
        WrittenDataset._write_chunk = genuine
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

def try_on(disk):
    if variant == "region":
        nexus_xr.to_nexus(whole, "full.nxs", chunks={"n": 1}, compression="gzip")
        refused(disk, "full.nxs", region={"n": slice(0, 32)})
        os.unlink("full.nxs")
    else:
        with dask.config.set(scheduler="processes" if variant == "divided" else "threads", num_workers=1):
            refused(disk, "full.nxs")
    for _ in range(2):
        nexus_xr.to_nexus(small, "before.nxs", mode="a")
    nexus_xr.to_nexus(whole.chunk(n=4), "after.nxs")
    assert (xr.open_dataset("after.nxs", engine="nexus").counts == whole).all()

def main():
    parts.MOST_GATHERED_BYTES = 0
    nexus_xr.to_nexus(small, "before.nxs")
    disks = ["limited"] if variant == "divided" else ["full", "limited"]
    for disk in disks:
        try_on(disk)
        assert not h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, h5py.h5f.OBJ_FILE)
    with h5py.File("before.nxs") as file:
        assert len(file) == 1 + 2 * len(disks)
    assert sorted(os.listdir()) == ["after.nxs", "before.nxs"]

if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("variant", ["numpy", "dask", "divided", "region"])
def test_after_a_disk_was_full_the_process_goes_on(variant: str, tmp_path: Path) -> None:
    script = tmp_path / "writing.py"
    script.write_text(WRITING_ON_A_FULL_DISK)
    (tmp_path / "data").mkdir()
    command = [sys.executable, "-X", "faulthandler", str(script), variant]
    done = subprocess.run(command, cwd=tmp_path / "data", capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")
    where = r"full_parts/\w+/part_00001.h5\S*" if variant == "divided" else r"full.nxs:/entry1/counts/counts"
    rest = "; what of the region was written before has its new values, .*" if variant == "region" else ""
    limited = rf"\S*{where}: can't be written \(File too large\){rest}\n"
    full = rf"\S*{where}: can't be written \(No space left on device\){rest}\n"
    assert re.fullmatch(limited if variant == "divided" else full + limited, done.stdout), done.stdout
