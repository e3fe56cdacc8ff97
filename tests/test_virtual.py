"""Virtual datasets: as h5py reads them, chunk by chunk of their sources."""

from __future__ import annotations

import os
import pickle
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nexus_xr
from nexus_xr import NexusError, NexusFileError, NexusWarning
from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.linked_files import numbers_there
from nexus_xr.hdf5.io.naming.reach import EVERYWHERE, Reach
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.io.source import LocalSource, Source
from nexus_xr.hdf5.library.group import root_of
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.parsed.parsed_file import ParsedFile
from nexus_xr.hdf5.reading import telling
from nexus_xr.hdf5.reading.array import LazyArray

from .arrays import indexers, lazy, take
from .processes import run
from .stacks import counts
from .thresholds import moved, thresholds


def with_h5py(path: Path, fill: int = 0) -> NDArray[Any]:
    """The values as h5py has them, over fill values: where mappings overlap, libhdf5 fills too little of the rest."""
    with h5py.File(path) as file:
        values = np.full(file["data"].shape, fill, file["data"].dtype)
        if values.size:
            file["data"].read_direct(values)
    return values


def write(path: Path, values: NDArray[Any], **options: Any) -> h5py.VirtualSource:
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=values, **options)
    return h5py.VirtualSource(path.name, "data", values.shape, values.dtype)


def join(path: Path, layout: h5py.VirtualLayout, fillvalue: Any = None) -> LazyArray:
    with h5py.File(path, "w", libver="latest") as file:
        file.create_virtual_dataset("data", layout, fillvalue)
    return lazy(path)


# --- any mapping, any selection, as h5py ----------------------------------------------------------------------------


@st.composite
def slabs(draw: st.DrawFn, sizes: Sequence[int]) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int]] | None:
    """A hyperslab in each of two dimensions of these sizes, with as many positions: start, stride, count, block."""
    length = draw(st.integers(1, min(sizes)))
    found = []
    for size in sizes:
        block = draw(st.sampled_from([each for each in range(1, length + 1) if not length % each]))
        count = length // block
        most = (size - block) // (count - 1) if count > 1 else block
        if most < block:
            block, count, most = length, 1, length
        stride = draw(st.integers(block, most)) if count > 1 else block
        start = draw(st.integers(0, size - ((count - 1) * stride + block)))
        found.append((start, stride, count, block))
    return found[0], found[1]


def select(shape: Sequence[int], parts: Sequence[tuple[int, int, int, int]]) -> h5s.SpaceID:
    space = h5s.create_simple(tuple(shape))
    start, stride, count, block = zip(*parts, strict=True)
    space.select_hyperslab(start, count, stride, block)
    return space


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_mappings_read_as_h5py_reads_them(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    folder = tmp_path_factory.mktemp("virtual")
    rank = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(rank))
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_fill_value(np.array(9999, "u2"))
    for number in range(data.draw(st.integers(0, 4))):
        own = tuple(data.draw(st.integers(1, 9)) for _ in range(rank))
        extra = data.draw(st.booleans())
        parts = [data.draw(slabs(sizes)) for sizes in zip(shape, own, strict=True)]
        target, origin = [part[0] for part in parts], [part[1] for part in parts]
        if extra:
            own, origin = (2, *own), [(1, 1, 1, 1), *origin]
        chunks = data.draw(st.sampled_from([None, (1,) * len(own), tuple(max(1, size // 2) for size in own)]))
        options = {"chunks": chunks, "compression": "gzip"} if chunks else {}
        if data.draw(st.sampled_from([True, True, True, False])):
            write(folder / f"{number}.h5", counts(own, number) + 10 * number, **options)
        source = select(own, origin)
        if source.get_select_npoints() == np.prod(own) and data.draw(st.booleans()):
            source.select_all()
        properties.set_virtual(select(shape, target), f"{number}.h5".encode(), b"data", source)
    with h5py.File(folder / "master.h5", "w", libver="latest") as file:
        h5d.create(file.id, b"data", h5t.STD_U16LE, h5s.create_simple(shape), properties)
    expected, array = with_h5py(folder / "master.h5", 9999), lazy(folder / "master.h5")
    with moved(data.draw(thresholds())):
        np.testing.assert_array_equal(array[...], expected)
        for _ in range(3):
            key = data.draw(st.tuples(*map(indexers, shape)))
            np.testing.assert_array_equal(array[key], take(expected, key))


def stack(folder: Path, lengths: Sequence[int], name: str = "part", frame: int = 6, **options: Any) -> Path:
    """A file for each of some lengths, and a master that has them one behind the other."""
    layout = h5py.VirtualLayout((sum(lengths), frame, frame), "u2")
    begin = 0
    for number, length in enumerate(lengths):
        source = write(folder / f"{name}_{number}.h5", counts((length, frame, frame), number), **options)
        layout[begin : begin + length] = source
        begin += length
    return nexus(folder / "master.nxs", layout)


def nexus(path: Path, layout: h5py.VirtualLayout, fillvalue: Any = None) -> Path:
    with h5py.File(path, "w", libver="latest") as file:
        entry = file.create_group("entry")
        entry.attrs["NX_class"] = "NXentry"
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="counts")
        data.create_virtual_dataset("counts", layout, fillvalue)
        file["data"] = data["counts"]
    return path


def write_low_level(path: Path, target: h5s.SpaceID, file: bytes, source: h5s.SpaceID, name: bytes = b"data") -> None:
    """A virtual dataset of one mapping, as h5py's own interface can't describe it."""
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_fill_value(np.array(7, "u2"))
    properties.set_virtual(target, file, name, source)
    with h5py.File(path, "w", libver="latest") as master:
        h5d.create(master.id, b"data", h5t.STD_U16LE, target, properties)


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize("count", [1, 3, 11])
def test_names_with_the_number_of_a_block(tmp_path: Path, count: int) -> None:
    for number in range(count):
        write(tmp_path / f"part_{number}%.h5", counts((2, 3), number))
    for stride in (2, 3):
        target = h5s.create_simple((0, 3), (h5s.UNLIMITED, 3))
        target.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (stride, 1), (2, 3))
        write_low_level(tmp_path / "master.h5", target, b"part_%b%%.h5", h5s.create_simple((2, 3)))
        array = lazy(tmp_path / "master.h5")
        assert array.shape == (stride * (count - 1) + 2, 3)
        np.testing.assert_array_equal(array[...], with_h5py(tmp_path / "master.h5", 7))


@pytest.mark.usefixtures("only_engine")
def test_unlimited_mappings_follow_the_source(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", counts((5, 4)), maxshape=(None, 4), chunks=(1, 4))
    for start, stride, block in ((0, 1, 1), (1, 3, 2)):
        target = h5s.create_simple((0, 4), (h5s.UNLIMITED, 4))
        target.select_hyperslab((start, 0), (h5s.UNLIMITED, 1), (stride, 1), (block, 4))
        source = h5s.create_simple((0, 4), (h5s.UNLIMITED, 4))
        source.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (1, 1), (1, 4))
        write_low_level(tmp_path / "master.h5", target, b"a.h5", source)
        np.testing.assert_array_equal(lazy(tmp_path / "master.h5")[...], with_h5py(tmp_path / "master.h5", 7))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["data"].resize((9, 4))
        file["data"][5:] = 3
    assert len(lazy(tmp_path / "master.h5")) == 14
    np.testing.assert_array_equal(lazy(tmp_path / "master.h5")[...], with_h5py(tmp_path / "master.h5", 7))


def limited(path: Path, **options: Any) -> xr.DataArray:
    """A dataset that only the bytes of files tell of, as no other than those of its folder may be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NexusWarning)
        return xr.open_dataset(path, engine="nexus", dataset_path="/data", within=path.parent, **options)["data"]


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_mappings_without_end_are_as_h5py_has_them_where_reach_is_limited(
    tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    folder, small = tmp_path_factory.mktemp("virtual"), st.integers(0, 5)
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_fill_value(np.array(9999, "u2"))
    for number in range(data.draw(st.integers(1, 4))):
        source, target = (h5s.create_simple((0, 4), (h5s.UNLIMITED, 4)) for _ in range(2))
        for space in (source, target):
            block = data.draw(st.integers(1, 3))
            stride = data.draw(st.integers(block, block + 4))
            space.select_hyperslab((data.draw(small), 0), (h5s.UNLIMITED, 1), (stride, 1), (block, 4))
        if data.draw(st.sampled_from([True, True, True, False])):
            write(folder / f"{number}.h5", counts((data.draw(st.integers(0, 30)), 4), number), maxshape=(None, 4))
        properties.set_virtual(target, f"{number}.h5".encode(), b"data", source)
    stored = data.draw(small)
    if data.draw(st.booleans()):
        write(folder / "fixed.h5", counts((3, 4), 9))
        begin = data.draw(st.integers(0, 40))
        stored = begin + 3
        target = h5s.create_simple((stored, 4), (h5s.UNLIMITED, 4))
        target.select_hyperslab((begin, 0), (1, 1), None, (3, 4))
        properties.set_virtual(target, b"fixed.h5", b"data", h5s.create_simple((3, 4)))
    with h5py.File(folder / "master.h5", "w", libver="latest") as file:
        space = h5s.create_simple((stored, 4), (h5s.UNLIMITED, 4))
        h5d.create(file.id, b"data", h5t.STD_U16LE, space, properties)
    array = limited(folder / "master.h5")
    with h5py.File(folder / "master.h5") as file:
        assert array.shape == file["data"].shape
    with suppress(OSError):  # libhdf5 itself doesn't read what ends within a block
        np.testing.assert_array_equal(array.values, with_h5py(folder / "master.h5", 9999))


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize("there", [[], [0], [0, 1, 2], [0, 1, 3, 4], [1, 2]])
def test_blocks_are_those_of_h5py_where_reach_is_limited(there: list[int], tmp_path: Path) -> None:
    for number in there:
        write(tmp_path / f"part_{number}.h5", counts((2, 3), number))
    target = h5s.create_simple((0, 3), (h5s.UNLIMITED, 3))
    target.select_hyperslab((1, 0), (h5s.UNLIMITED, 1), (3, 1), (2, 3))
    write_low_level(tmp_path / "master.h5", target, b"part_%b.h5", h5s.create_simple((2, 3)))
    np.testing.assert_array_equal(limited(tmp_path / "master.h5"), with_h5py(tmp_path / "master.h5", 7))


def in_order(path: Path, file: bytes, name: bytes) -> None:
    """A virtual dataset that is as long as one other."""
    space = h5s.create_simple((0, 4), (h5s.UNLIMITED, 4))
    space.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), None, (1, 4))
    write_low_level(path, space, file, space, name)


@pytest.mark.usefixtures("only_engine")
def test_what_is_as_long_as_others_leads_on_to_what_those_are_as_long_as(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    write(tmp_path / "below/a.h5", counts((5, 4)), maxshape=(None, 4), chunks=(1, 4))
    in_order(tmp_path / "below/middle.h5", b"a.h5", b"data")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["through"] = h5py.ExternalLink("below/middle.h5", "/data")
    in_order(tmp_path / "master.h5", b"link.h5", b"through")
    np.testing.assert_array_equal(limited(tmp_path / "master.h5"), counts((5, 4)))
    with h5py.File(tmp_path / "own.h5", "w", libver="latest") as file:
        file.create_dataset("own", data=counts((6, 4)), maxshape=(None, 4))
    in_order(tmp_path / "again.h5", b".", b"own")
    with h5py.File(tmp_path / "own.h5", "a") as file, h5py.File(tmp_path / "again.h5") as other:
        other.copy("data", file)
    np.testing.assert_array_equal(limited(tmp_path / "own.h5"), counts((6, 4)))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("../other/a.h5", "lies outside"),
        ("text.h5", "is no HDF5 file"),
        ("master.h5", "made of itself"),
        (".", "itself"),
    ],
)
def test_what_is_as_long_as_what_can_not_be_read_says_so_where_reach_is_limited(
    file: str, words: str, tmp_path: Path
) -> None:
    for name in ("other", "here"):
        (tmp_path / name).mkdir()
    write(tmp_path / "other/a.h5", counts((5, 4)), maxshape=(None, 4))
    (tmp_path / "here/text.h5").write_text("text")
    in_order(tmp_path / "here/master.h5", file.encode(), b"data")
    with pytest.raises(NexusError) as caught:
        limited(tmp_path / "here/master.h5")
    assert words in str(caught.value)
    assert "its shape is that of" in str(caught.value)


@pytest.mark.parametrize("count", [16, 17, 400])
def test_what_is_as_long_as_others_is_told_of_so_many_behind_each_other(count: int, tmp_path: Path) -> None:
    write(tmp_path / "0.h5", counts((5, 4)), maxshape=(None, 4))
    for number in range(count):
        in_order(tmp_path / f"{number + 1}.h5", f"{number}.h5".encode(), b"data")
    if count == 16:
        assert limited(tmp_path / f"{count}.h5").shape == (5, 4)
    else:
        with pytest.raises(NexusError, match="which are made of others, more than 16 times"):
            limited(tmp_path / f"{count}.h5")


def test_who_is_as_long_as_others_does_not_wait_again_for_writers_of_these(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = []

    def fail_at_once(file: ParsedFile, read: Callable[[], Any], error: FormatError) -> Any:
        waited.append(Path(file.file.name).name)
        raise error

    monkeypatch.setattr(ParsedFile, "again", fail_at_once)
    in_order(tmp_path / "0.h5", b".", b"data")
    for number in range(4):
        in_order(tmp_path / f"{number + 1}.h5", f"{number}.h5".encode(), b"data")
    with pytest.raises(NexusError, match="made of itself"):
        limited(tmp_path / "4.h5")
    assert waited == ["0.h5", "4.h5"]


@pytest.mark.parametrize("name", [b"/nowhere/%b/part.h5", b"0/../part_%b.h5", b"part_%b.h5"])
def test_blocks_that_are_all_in_one_place_have_no_end_and_say_so(name: bytes, tmp_path: Path) -> None:
    for each in ("part.h5", "part_0.h5"):
        write(tmp_path / each, counts((2, 3)))
    (tmp_path / "0").mkdir()
    target = h5s.create_simple((0, 3), (h5s.UNLIMITED, 3))
    target.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (2, 1), (2, 3))
    write_low_level(tmp_path / "master.h5", target, name, h5s.create_simple((2, 3)))
    if name.startswith(b"/nowhere"):
        with pytest.raises(NexusError, match=r"each of its blocks is the same, /nowhere/1/part.h5:data"):
            limited(tmp_path / "master.h5")
    else:
        assert limited(tmp_path / "master.h5").shape == (2, 3)


@pytest.mark.parametrize("within", [True, False])
def test_numbers_of_files_are_those_of_one_folder(
    within: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed: list[str] = []
    list_folder = os.listdir

    def list_and_note(folder: str) -> list[str]:
        listed.append(folder)
        return list_folder(folder)

    for number in (1, 3, 12):
        (tmp_path / f"raw_{number}/{number}").mkdir(parents=True)
        (tmp_path / f"raw_{number}/{number}/a_{number if number != 12 else 1}.h5").touch()
    monkeypatch.setattr(os, "listdir", list_and_note)
    reach = Reach((str(tmp_path.resolve()),)) if within else EVERYWHERE
    holder = str(tmp_path / "master.h5")
    assert numbers_there("raw_\0/\0/a_\0.h5", holder, reach) == [1, 3]
    assert str(tmp_path) in listed
    assert len(listed) <= 2  # and that where this is run
    listed.clear()
    assert numbers_there("/\0/\0/\0", holder, reach) == []
    assert ("/" in listed) is not within
    assert len(listed) <= 3


def test_what_is_as_long_as_others_behind_a_file_object_has_those_of_its_own_file(tmp_path: Path) -> None:
    options: dict[str, Any] = {"engine": "nexus", "dataset_path": "/data"}
    in_order(tmp_path / "other.h5", b"a.h5", b"data")
    in_order(tmp_path / "own.h5", b".", b"own")
    with h5py.File(tmp_path / "own.h5", "a") as file:
        file.create_dataset("own", data=counts((6, 4)), maxshape=(None, 4))
    with open(tmp_path / "own.h5", "rb") as own, open(tmp_path / "other.h5", "rb") as other:
        np.testing.assert_array_equal(xr.open_dataset(own, **options)["data"], counts((6, 4)))
        with pytest.raises(NexusError, match=r"that of a.h5:data, which can't be told: .* open the file by its path"):
            xr.open_dataset(other, **options)


def test_a_source_of_other_dimensions_than_its_mapping_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", counts((5, 2, 2)), maxshape=(None, 2, 2))
    in_order(tmp_path / "master.h5", b"a.h5", b"data")
    with pytest.raises(NexusError, match=r"of shape \(5, 2, 2\), where its mapping is of 2 dimensions"):
        limited(tmp_path / "master.h5")


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("name", [b"gone", b"data"])
def test_what_is_as_long_as_what_is_missing_is_told_of(name: bytes, within: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"within": tmp_path} if within else {}
    if name == b"gone":
        write(tmp_path / "a.h5", counts((5, 4)), maxshape=(None, 4))
    in_order(tmp_path / "master.h5", b"a.h5", name)
    words = "a.h5:gone" if name == b"gone" else "a.h5"
    with pytest.warns(NexusWarning, match=f"sources are missing: {words}"):
        dataset = xr.open_dataset(tmp_path / "master.h5", engine="nexus", dataset_path="/data", **options)
    assert dataset["data"].shape == (0, 4)
    with pytest.raises(NexusFileError, match=f"{words} is missing"):
        xr.open_dataset(tmp_path / "master.h5", engine="nexus", dataset_path="/data", missing="raise", **options)


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([], "ends where its source part_0.h5 is missing$"),
        ([0, 1], None),
        ([0, 2, 3, 10], "part_1.h5 is missing; 3 behind it, up to part_10.h5, are left out"),
        ([1, "02", "x"], "part_0.h5 is missing; 1 behind it, up to part_1.h5, are left out"),
    ],
)
def test_a_block_that_is_missing_where_others_are_behind_it_is_told_of(
    there: list[Any], words: str | None, tmp_path: Path
) -> None:
    for number in there:
        write(tmp_path / f"part_{number}.h5", counts((2, 3)))
    target = h5s.create_simple((0, 3), (h5s.UNLIMITED, 3))
    target.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (2, 1), (2, 3))
    write_low_level(tmp_path / "master.h5", target, b"part_%b.h5", h5s.create_simple((2, 3)))
    options: dict[str, Any] = {"engine": "nexus", "dataset_path": "/data"}
    assert nexus_xr.check(tmp_path / "master.h5").is_sound == (words is None)
    if words is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            xr.open_dataset(tmp_path / "master.h5", **options)
            xr.open_dataset(tmp_path / "master.h5", missing="raise", **options)
        return
    with pytest.warns(NexusWarning, match=words.replace("$", r"(\n|$)")):
        xr.open_dataset(tmp_path / "master.h5", **options)
    with pytest.raises(NexusFileError, match=f"{tmp_path}/part_{0 if 0 not in there else 1}.h5 is missing, at which"):
        xr.open_dataset(tmp_path / "master.h5", missing="raise", **options)


def test_a_block_that_its_file_has_not_got_is_told_of(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"part_{number}.h5", counts((2, 3)))
    with h5py.File(tmp_path / "part_1.h5", "a") as file:
        del file["data"]
    target = h5s.create_simple((0, 3), (h5s.UNLIMITED, 3))
    target.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (2, 1), (2, 3))
    write_low_level(tmp_path / "master.h5", target, b"part_%b.h5", h5s.create_simple((2, 3)))
    with pytest.raises(NexusFileError, match=r"part_1.h5:data is missing, at which it ends; 2 behind it"):
        xr.open_dataset(tmp_path / "master.h5", engine="nexus", dataset_path="/data", missing="raise")


def test_a_mapping_of_nothing(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((5, 4), "u2")
    layout[:3] = write(tmp_path / "a.h5", counts((3, 4)))
    layout[5:] = h5py.VirtualSource("b.h5", "data", (0, 4))[:]
    array = join(tmp_path / "master.h5", layout, 7)
    np.testing.assert_array_equal(array[...], with_h5py(tmp_path / "master.h5", 7))


@pytest.mark.usefixtures("only_engine")
def test_virtual_datasets_of_virtual_datasets_and_of_their_own_file(tmp_path: Path) -> None:
    inner = stack(tmp_path, [3, 4], compression="gzip")
    layout = h5py.VirtualLayout((14, 6, 6), "u2")
    layout[:7] = h5py.VirtualSource(inner.name, "data", (7, 6, 6))
    layout[7:] = h5py.VirtualSource(".", "own", (7, 6, 6))
    with h5py.File(tmp_path / "outer.h5", "w") as file:
        file["own"] = counts((7, 6, 6), 9)
        file.create_virtual_dataset("data", layout)
    array, expected = lazy(tmp_path / "outer.h5"), with_h5py(tmp_path / "outer.h5")
    np.testing.assert_array_equal(array[...], expected)
    np.testing.assert_array_equal(array[12:1:-3, 2, [5, 0]], expected[12:1:-3, 2][:, [5, 0]])


def test_interleaved_sources(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((12, 4), "u2")
    for number in range(3):
        layout[number::3] = write(tmp_path / f"{number}.h5", counts((4, 4), number), chunks=(1, 4), compression="lzf")
    array, expected = join(tmp_path / "master.h5", layout), with_h5py(tmp_path / "master.h5")
    for key in (np.s_[...], np.s_[2:11:2], np.s_[::-5], [7, 7, 1], 5):
        np.testing.assert_array_equal(array[key], expected[key])


# --- what can't be read by the engine goes through libhdf5 -----------------------------------------------------------


def test_other_types_are_converted_as_libhdf5_does_it(tmp_path: Path) -> None:
    source = write(tmp_path / "a.h5", np.array([-5, 300, 70000, 1], "i4"))
    layout = h5py.VirtualLayout((4,), "u1")
    layout[:] = source
    assert join(tmp_path / "master.h5", layout)[...].tolist() == [0, 255, 255, 1]


def test_unions_of_hyperslabs_and_other_shapes(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", counts((4, 6)))
    union = select((4, 6), [(0, 1, 1, 1), (1, 1, 1, 2)])
    union.select_hyperslab((2, 5), (1, 1), op=h5s.SELECT_OR)
    write_low_level(tmp_path / "union.h5", h5s.create_simple((3,)), b"a.h5", union)
    write_low_level(tmp_path / "flat.h5", h5s.create_simple((24,)), b"a.h5", h5s.create_simple((4, 6)))
    for name in ("union.h5", "flat.h5"):
        np.testing.assert_array_equal(lazy(tmp_path / name)[1:], with_h5py(tmp_path / name)[1:])


def test_text(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4,), "S5")
    for number in range(2):
        layout[2 * number : 2 * number + 2] = write(
            tmp_path / f"{number}.h5", np.array([b"a", f"b{number}".encode()], "S5")
        )
    assert join(tmp_path / "master.h5", layout)[...].tolist() == ["a", "b0", "a", "b1"]


def test_a_source_that_this_process_is_writing(tmp_path: Path) -> None:
    master = stack(tmp_path, [2, 2], chunks=(1, 6, 6))
    array = lazy(master)
    with h5py.File(tmp_path / "part_1.h5", "r+", locking=False) as file:
        file["data"][0] = 77
        assert np.all(array[2] == 77)


# --- sources that are missing, short, elsewhere, or changed ----------------------------------------------------------


def test_missing_sources_read_as_fill_values_and_one_warning_lists_them(tmp_path: Path) -> None:
    master = stack(tmp_path, [2] * 9)
    for number in (1, *range(3, 9)):
        (tmp_path / f"part_{number}.h5").unlink()
    with pytest.warns(NexusWarning, match=r"fill values.*part_1.h5, part_3.h5.* and 2 more") as caught:
        dataset = xr.open_dataset(master, engine="nexus", chunks={})
    assert len(caught) == 1
    np.testing.assert_array_equal(dataset.counts.values, with_h5py(master))
    assert not dataset.counts[2:4].values.any()
    assert dataset.counts[4:6].values.any()


def test_sources_that_are_not_in_their_files_read_as_fill_values_with_warnings(tmp_path: Path) -> None:
    master = stack(tmp_path, [2] * 3)
    for number in (0, 2):
        with h5py.File(tmp_path / f"part_{number}.h5", "r+") as file:
            file.move("data", "other")
    with pytest.warns(NexusWarning, match=r"fill values.*: part_0.h5:data$"):
        dataset = xr.open_dataset(master, engine="nexus", chunks={})
    assert dataset.counts[2:4].values.any()
    with pytest.warns(NexusWarning, match=r"master.*counts: reads as fill values .* missing: /.*part_2.h5:/?data$"):
        assert not dataset.counts[4:6].values.any()


def test_missing_sources_can_be_an_error(tmp_path: Path) -> None:
    master = stack(tmp_path, [2] * 4)
    dataset = xr.open_dataset(master, engine="nexus", missing="raise")
    assert dataset.counts.values.any()
    (tmp_path / "part_1.h5").unlink()
    with h5py.File(tmp_path / "part_2.h5", "r+") as file:
        file.move("data", "other")
    ways = (
        lambda: xr.open_dataset(master, engine="nexus", missing="raise"),
        lambda: xr.open_datatree(master, engine="nexus", missing="raise"),
        lambda: nexus_xr.open_signals(master, missing="raise"),
    )
    for way in ways:
        with pytest.raises(NexusError, match=r"(?s)part_1.h5.*part_2.h5:data"):
            way()


def test_a_source_that_goes_missing_later_is_an_error_where_that_is_wanted(tmp_path: Path) -> None:
    master = stack(tmp_path, [2, 2])
    strict = xr.open_dataset(master, engine="nexus", missing="raise")
    lenient = xr.open_dataset(master, engine="nexus")
    (tmp_path / "part_1.h5").unlink()
    with pytest.raises(NexusError, match=r"/.*part_1.h5: there is no such file; .*missing=\"fill\""):
        pickle.loads(pickle.dumps(strict)).counts.load()
    with pytest.raises(NexusError, match=r"/.*part_1.h5: there is no such file; .*counts is made of it, .*was there"):
        lenient.counts.load()


WAYS_TO_READ: dict[str, Callable[[xr.Dataset], Any]] = {
    "all": lambda dataset: dataset.counts.values,
    "a part": lambda dataset: dataset.counts[3, 2].values,
    "one": lambda dataset: dataset.counts[3:4, 2, 1].values,
    "in dask": lambda dataset: dataset.chunk({"dim_0": 1}).counts.values,
    "pickled": lambda dataset: pickle.loads(pickle.dumps(dataset)).counts.values,
}


@pytest.mark.parametrize("way", WAYS_TO_READ)
@pytest.mark.parametrize("kind", ["u2", "S5"])
def test_a_source_that_goes_after_opening_is_an_error_that_names_it(tmp_path: Path, way: str, kind: str) -> None:
    layout = h5py.VirtualLayout((6, 6, 6), kind)  # text is read by libhdf5
    for number in range(3):
        values = np.full((2, 6, 6), number + 1).astype(kind)
        layout[2 * number : 2 * number + 2] = write(tmp_path / f"part_{number}.h5", values)
    master = nexus(tmp_path / "master.nxs", layout)
    (tmp_path / "part_2.h5").rename(tmp_path / "later.h5")
    with pytest.warns(NexusWarning, match=r"missing: part_2.h5$"):
        dataset = xr.open_dataset(master, engine="nexus", cache=False)
    (tmp_path / "part_1.h5").rename(tmp_path / "away.h5")
    with pytest.raises(NexusError, match=rf"^{tmp_path}/part_1.h5: there is no such file; {master}:\S*/counts is made"):
        WAYS_TO_READ[way](dataset)
    (tmp_path / "away.h5").rename(tmp_path / "part_1.h5")
    assert dataset.counts[3:, 2, 1].values.astype(str).tolist()[0] == "2"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was told when it was opened
        assert dataset.counts.values.size
    (tmp_path / "later.h5").rename(tmp_path / "part_2.h5")
    assert dataset.counts[4:, 0, 0].values.astype(str).tolist()[0] == "3"


def test_a_source_in_the_own_file_that_goes_is_an_error_too(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4,), "u2")
    layout[:] = h5py.VirtualSource(".", "own", (4,))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["own"] = np.arange(4, dtype="u2")
        file.create_virtual_dataset("data", layout)
    with h5py.File(tmp_path / "f.h5") as file:
        dataset = root_of(file, Diagnostics()).get("data")
        assert isinstance(dataset, Dataset)
        opened = LazyArray.of(dataset, File(tmp_path / "f.h5"))
    assert opened[...].tolist() == [0, 1, 2, 3]
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        file.move("own", "other")
    gone = replace(opened, file=File(tmp_path / "f.h5"))
    with pytest.raises(NexusError, match=rf"^{tmp_path}/f.h5:/?own: there is no such dataset; .*data is made of it"):
        gone[...]


READING_IN_ANOTHER_PROCESS = """
import pickle, sys, warnings
import nexus_xr
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    dataset = pickle.load(open(sys.argv[1], "rb"))
    total = sum(int(dataset.counts[number].sum()) for number in range(6)) + int(dataset.counts.sum())
for each in told:
    if issubclass(each.category, nexus_xr.NexusWarning):
        print(each.message)
print(total)
"""


def test_each_process_that_reads_tells_once_what_was_missing(tmp_path: Path) -> None:
    master = stack(tmp_path, [1] * 6, frame=2)
    for number in (1, 3):
        (tmp_path / f"part_{number}.h5").unlink()
    with pytest.warns(NexusWarning):
        dataset = xr.open_dataset(master, engine="nexus", chunks={"dim_0": 1})
    (tmp_path / "pickled").write_bytes(pickle.dumps(dataset))
    told, total = run(READING_IN_ANOTHER_PROCESS, tmp_path / "pickled").splitlines()
    missing = ", ".join(str(tmp_path / f"part_{number}.h5") for number in (1, 3))
    assert told.endswith(f"/counts: reads as fill values where its sources are missing: {missing}")
    assert int(total) == 2 * with_h5py(master).sum()


def test_what_is_known_to_be_missing_keeps_pickled_arrays_small(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((3000,), "u2")
    for number in range(3000):
        layout[number] = h5py.VirtualSource(f"a_long_name_of_a_part_{number}.h5", "data", (1,))[0]
    with pytest.warns(NexusWarning):
        dataset = xr.open_dataset(nexus(tmp_path / "master.nxs", layout), engine="nexus")
    pickled = pickle.dumps(dataset.counts.variable._data)
    assert len(pickled) < 10_000
    telling._told.clear()  # as in another process
    with pytest.warns(NexusWarning, match=r"part_0.h5, .* and 2995 more"):
        assert not np.asarray(pickle.loads(pickled)).any()


def test_a_bad_value_of_missing_is_an_error(tmp_path: Path) -> None:
    master = stack(tmp_path, [2])
    with pytest.raises(NexusError, match=r"missing='ignore': expected \"fill\" or \"raise\""):
        xr.open_dataset(master, engine="nexus", missing="ignore")


def test_a_source_that_appears_later_is_read(tmp_path: Path) -> None:
    array = lazy(stack(tmp_path, [2, 2]))
    (tmp_path / "part_1.h5").rename(tmp_path / "away.h5")
    assert not array[2:].any()
    (tmp_path / "away.h5").rename(tmp_path / "part_1.h5")
    assert array[2:].any()


def test_a_source_that_changed_is_an_error_until_the_file_is_opened_again(tmp_path: Path) -> None:
    master = stack(tmp_path, [2, 2])
    array = lazy(master)
    array[...]
    write(tmp_path / "part_1.h5", np.full((2, 6, 6), 5, "u2"), chunks=(1, 2, 2))
    with pytest.raises(NexusError, match=r"part_1.h5: the file changed since it was opened"):
        array[...]
    np.testing.assert_array_equal(lazy(master)[2:], 5)


@pytest.mark.usefixtures("only_engine")
def test_what_a_source_is_short_of_reads_as_fill_values(tmp_path: Path) -> None:
    master = stack(tmp_path, [4, 4])
    full = with_h5py(master)
    write(tmp_path / "part_1.h5", full[4:6])
    np.testing.assert_array_equal(lazy(master)[...], [*full[:6], *np.zeros((2, 6, 6))])


def test_a_source_that_is_no_hdf5_file_or_no_dataset_is_an_error_that_names_it(tmp_path: Path) -> None:
    master = stack(tmp_path, [2, 2])
    (tmp_path / "part_1.h5").write_text("junk")
    with pytest.raises(NexusError, match=r"part_1.h5: this is not an HDF5 file"):
        lazy(master)[...]
    with h5py.File(tmp_path / "part_1.h5", "w") as file:
        file.create_group("data")
    with pytest.raises(NexusError, match=r"part_1.h5:data: .*it is no dataset"):
        lazy(master)[...]


def test_a_damaged_chunk_is_an_error_that_names_source_and_chunk(tmp_path: Path) -> None:
    master = stack(tmp_path, [2, 2], chunks=(1, 6, 6), compression="gzip")
    with h5py.File(tmp_path / "part_1.h5") as file:
        place = file["data"].id.get_chunk_info(1)
    with open(tmp_path / "part_1.h5", "r+b") as stream:
        stream.seek(place.byte_offset)
        stream.write(b"\xff" * place.size)
    with pytest.raises(NexusError, match=r"part_1.h5:data: .*chunk \(1, 0, 0\).*master.nxs:/data is made of them"):
        lazy(master)[...]


def test_virtual_datasets_that_are_made_of_each_other_are_an_error(tmp_path: Path) -> None:
    for name, other in (("a.h5", "b.h5"), ("b.h5", "a.h5")):
        layout = h5py.VirtualLayout((4,), "u2")
        layout[:] = h5py.VirtualSource(other, "data", (4,))
        with h5py.File(tmp_path / name, "w") as file:
            file.create_virtual_dataset("data", layout)
    with pytest.raises(NexusError, match="without end"):
        LazyArray(File(tmp_path / "a.h5"), "/data", (4,), np.dtype("u2"))[...]


def test_sources_are_looked_for_where_libhdf5_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in ("master", "prefix", "here", "real")]
    for number, folder in enumerate(folders):
        folder.mkdir()
        write(folder / "a.h5", np.full(3, number, "u2"))
    layout = h5py.VirtualLayout((3,), "u2")
    layout[:] = h5py.VirtualSource("a.h5", "data", (3,))
    join(folders[3] / "master.h5", layout)
    (folders[0] / "master.h5").symlink_to(folders[3] / "master.h5")
    monkeypatch.chdir(folders[2])
    monkeypatch.setenv("HDF5_VDS_PREFIX", str(folders[1]))
    for expected in (1, 0, 2, 3):
        master = folders[0] / "master.h5"
        assert set(lazy(master)[...].tolist()) == set(with_h5py(master).tolist()) == {expected}
        (folders[expected] / "a.h5").unlink()


# --- chunks, and what it costs ---------------------------------------------------------------------------------------


def test_dask_chunks_follow_the_sources_and_their_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_xr.opening.chunks.TARGET_BLOCK_BYTES", 8 * 72)
    for lengths, frames in (
        ([3] * 4, ((6, 6),)),
        ([20, 20], ((7, 7, 6, 7, 7, 6),)),
        ([5, 12], ((5, 6, 6),)),
    ):
        dataset = xr.open_dataset(
            stack(tmp_path, lengths, chunks=(1, 3, 6), compression="gzip"), engine="nexus", chunks={}
        )
        assert dataset.counts.chunks == (*frames, (6,), (6,))
        assert dataset.counts.encoding["chunksizes"] == (1, 3, 6)
        assert [step["name"] for step in dataset.counts.encoding["hdf5_filters"]] == ["deflate"]


def test_opening_opens_one_source_and_reading_few_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    master = stack(tmp_path, [1] * 150, frame=2, chunks=(1, 2, 2), compression="gzip")
    opened: list[str] = []
    genuine = File.source

    def source(file: File) -> AbstractContextManager[Source]:
        opened.append(Path(file.name).name)
        return genuine(file)

    monkeypatch.setattr(File, "source", source)
    dataset = xr.open_dataset(master, engine="nexus")
    assert set(opened) == {"master.nxs", "part_0.h5"}
    most, counting = 0, threading.Lock()
    genuine_read = LocalSource.read_into

    def read_into(source: LocalSource, view: memoryview, offset: int) -> int:
        nonlocal most
        with counting:  # which takes a descriptor itself
            most = max(most, len(os.listdir("/proc/self/fd")))
        return genuine_read(source, view, offset)

    monkeypatch.setattr(LocalSource, "read_into", read_into)
    before = len(os.listdir("/proc/self/fd"))
    expected = with_h5py(master)
    for num_threads in (1, 2, 64):
        file = File(master, policy=ReadingPolicy(num_threads))
        array = LazyArray(file, "/data", dataset.counts.shape, np.dtype("u2"))
        np.testing.assert_array_equal(array[...], expected)
    assert most - before <= 64 + 8
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_pickled_array_carries_no_mappings(tmp_path: Path) -> None:
    array = lazy(stack(tmp_path, [1] * 50, frame=2))
    array[...]
    assert len(pickle.dumps(array)) < 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array))[...], array[...])


def test_a_copy_keeps_the_chunks_of_the_sources(tmp_path: Path) -> None:
    master = stack(tmp_path, [3, 3], chunks=(1, 6, 6), compression="gzip", shuffle=True)
    xr.open_dataset(master, engine="nexus").nexus.to_nexus(tmp_path / "copy.nxs")
    with h5py.File(tmp_path / "copy.nxs") as file:
        copy = file["entry1/counts/counts"]
        assert (copy.chunks, copy.compression, copy.shuffle, copy.is_virtual) == ((1, 6, 6), "gzip", True, False)
        np.testing.assert_array_equal(copy[()], with_h5py(master))


KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")
NUMBERS = [order + kind for kind in KINDS for order in "<>"]
LIMITS = (0, 1, -1, 127, 128, -129, 255, 256, 2**15, 2**16 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1)


@pytest.mark.parametrize("source", NUMBERS)
def test_sources_of_other_numbers_are_read_as_libhdf5_reads_them(tmp_path: Path, source: str) -> None:
    dtype = np.dtype(source)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            values = np.array([*LIMITS, 0.5, -2.5, 1e30, 1e300, 1e-40, np.nan, np.inf, -np.inf], "f8").astype(dtype)
    else:
        held = [each for each in LIMITS if np.iinfo(dtype).min <= each <= np.iinfo(dtype).max]
        values = np.array(held, dtype)
    part = write(tmp_path / "part.h5", values, chunks=(4,), compression="gzip")
    with h5py.File(tmp_path / "master.h5", "w", libver="latest") as file:
        for own in NUMBERS:
            layout = h5py.VirtualLayout((len(values) + 2,), own)
            layout[: len(values)] = part
            file.create_virtual_dataset(own, layout, fillvalue=3)
    with h5py.File(tmp_path / "master.h5") as file:
        for own in NUMBERS:
            expected = file[own][()]
            found = xr.open_dataset(tmp_path / "master.h5", engine="nexus", dataset_path=own)[own]
            np.testing.assert_array_equal(found.values, expected)
            np.testing.assert_array_equal(found[1::3].values, expected[1::3])


@pytest.mark.parametrize("own", ["u2", ">u2", "u4", "f4", "f8"])
@pytest.mark.parametrize("frames", [0, 1, 3])
def test_sources_of_other_numbers_that_are_short_leave_fill_values(tmp_path: Path, frames: int, own: str) -> None:
    values = np.arange(frames * 2, dtype="<u2").reshape(frames, 2)
    part = write(tmp_path / "part.h5", values, chunks=(1, 2), maxshape=(None, 2))
    layout = h5py.VirtualLayout((6, 2), own)
    layout[::2] = h5py.VirtualSource(part.path, "data", (3, 2))[0:3, 0:2]
    nexus(tmp_path / "master.nxs", layout, fillvalue=9)
    expected = np.full((6, 2), 9, own)
    expected[: 2 * frames : 2] = values
    for within in (None, tmp_path):
        with warnings.catch_warnings(action="always", record=True) as caught:
            found = xr.open_dataset(tmp_path / "master.nxs", engine="nexus", within=within).counts
        assert diagnostics_of(caught) == [
            (
                Code.SOURCE_MISSING,
                f"reads as fill values behind the end of its sources: part.h5:data of shape {part.shape}",
            )
        ] * (frames < 3)
        assert found.dtype == np.dtype(own)
        np.testing.assert_array_equal(found.values, expected)


def diagnostics_of(caught: list[warnings.WarningMessage]) -> list[tuple[Code, str]]:
    messages = (warning.message for warning in caught if isinstance(warning.message, NexusWarning))
    return [(each.code, each.message) for message in messages for each in message.diagnostics]


def write_short(folder: Path) -> NDArray[Any]:
    """Sources of four frames of which two, as not the first, have fewer; gives the values."""
    layout = h5py.VirtualLayout((20,), "i4")
    expected = np.full(20, 9, "i4")
    for number, count in enumerate((4, 3, 4, 4, 0)):
        begin = 4 * number
        write(folder / f"{number}.h5", np.arange(begin, begin + count, dtype="i4"), chunks=(1,), maxshape=(None,))
        layout[begin : begin + 4] = h5py.VirtualSource(f"{number}.h5", "data", (4,))[:]
        expected[begin : begin + count] = np.arange(begin, begin + count)
    nexus(folder / "master.nxs", layout, fillvalue=9)
    return expected


def test_sources_that_are_short_are_told_of_when_they_are_read(tmp_path: Path) -> None:
    expected = write_short(tmp_path)
    found = xr.open_dataset(tmp_path / "master.nxs", engine="nexus").counts
    np.testing.assert_array_equal(found[:7].values, expected[:7])
    with warnings.catch_warnings(action="always", record=True) as caught:
        np.testing.assert_array_equal(found[6:].values, expected[6:])
        np.testing.assert_array_equal(found.values, expected)
    names = f"{tmp_path}/1.h5:data of shape (3,), {tmp_path}/4.h5:data of shape (0,)"
    told = f"reads as fill values behind the end of its sources: {names}"
    assert diagnostics_of(caught) == [(Code.SOURCE_MISSING, told)]


def test_sources_that_are_short_are_an_error_where_those_are_that_are_missing(tmp_path: Path) -> None:
    write_short(tmp_path)
    said = r"1\.h5:data is of shape \(3,\), less than what is made of it\n.*4\.h5:data is of shape \(0,\), less"
    with pytest.raises(NexusFileError, match=said):
        xr.open_dataset(tmp_path / "master.nxs", engine="nexus", missing="raise")


def test_sources_that_became_short_are_an_error_where_those_are_that_are_missing(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((4,), "i4")
    layout[:] = write(tmp_path / "part.h5", np.arange(4, dtype="i4"), chunks=(1,), maxshape=(None,))
    nexus(tmp_path / "master.nxs", layout)
    found = xr.open_dataset(tmp_path / "master.nxs", engine="nexus", missing="raise").counts
    write(tmp_path / "part.h5", np.arange(3, dtype="i4"), chunks=(1,), maxshape=(None,))
    anew = xr.open_dataset(tmp_path / "master.nxs", engine="nexus").counts
    np.testing.assert_array_equal(anew.values, [0, 1, 2, 0])
    with pytest.raises(NexusFileError, match=r"part\.h5:data is of shape \(3,\), less than what is made of it"):
        pickle.loads(pickle.dumps(found)).load()


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (6,)])
def test_all_of_a_source_that_has_as_much_in_another_shape_is_not_short(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write(tmp_path / "part.h5", np.arange(6, dtype="i4").reshape(shape))
    layout = h5py.VirtualLayout((1, 6), "i4")
    layout[...] = h5py.VirtualSource("part.h5", "data", (1, 6))
    nexus(tmp_path / "master.nxs", layout)
    with warnings.catch_warnings(action="always", record=True) as caught:
        xr.open_dataset(tmp_path / "master.nxs", engine="nexus").counts.load()
    assert not diagnostics_of(caught)


def test_sources_of_other_numbers_that_overlap_beside_a_hole_do_so_in_any_selection(tmp_path: Path) -> None:
    part = write(tmp_path / "part.h5", np.arange(10, 13, dtype="u4"))
    layout = h5py.VirtualLayout((3, 3), "f8")
    layout[0] = layout[2] = part
    layout[2, 1:3] = part[0:2]
    nexus(tmp_path / "master.nxs", layout, fillvalue=5)
    found = xr.open_dataset(tmp_path / "master.nxs", engine="nexus").counts
    np.testing.assert_array_equal(found.values, [[10, 11, 12], [5, 5, 5], [10, 10, 11]])
    np.testing.assert_array_equal(found[:, 1].values, [11, 5, 10])
