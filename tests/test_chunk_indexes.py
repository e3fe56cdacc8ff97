"""Chunk indexes of every kind are read from the bytes of the file, and say what libhdf5 says."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5f, h5p, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_xr.hdf5.format import btree2
from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.chunk_indexes import array_parts
from nexus_xr.hdf5.format.chunk_indexes.chunk_records import ChunkRecords
from nexus_xr.hdf5.format.chunk_indexes.chunked_dataset import ChunkedDataset, read_chunks
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.messages.layout import IndexKind
from nexus_xr.hdf5.format.superblock import read_superblock
from nexus_xr.hdf5.io.source import BytesSource, Immediate, Source
from nexus_xr.hdf5.reading.layouts.chunk_index import ChunkIndex, ChunkLocation
from nexus_xr.hdf5.reading.layouts.layout import StoredLayout
from nexus_xr.hdf5.reading.layouts.library_layouts import read_layout

from .stacks import INDEXES, chunked, counts, write_indexed
from .thresholds import moved, thresholds

VERSIONS = [(h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST), *((v, v) for v in (h5f.LIBVER_V18, h5f.LIBVER_V110))]
VERSIONS.append((h5f.LIBVER_LATEST, h5f.LIBVER_LATEST))
KINDS = {
    "B-tree 1": IndexKind.BTREE_1,
    "fixed array": IndexKind.FIXED_ARRAY,
    "extensible array": IndexKind.EXTENSIBLE_ARRAY,
    "B-tree 2": IndexKind.BTREE_2,
    "implicit": IndexKind.IMPLICIT,
}


@contextmanager
def created(path: Path, version: tuple[int, int], user_block: int, sizes: tuple[int, int]) -> Iterator[h5py.File]:
    """A new file with addresses and lengths of so many bytes."""
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_userblock(user_block)
    creation.set_sizes(*sizes)
    access.set_libver_bounds(*version)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation, access)) as file:
        yield file


def create_chunked(
    file: h5py.File, shape: Any, ends: Any, chunks: Any, early: bool, is_filtered: bool
) -> h5d.DatasetID:
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_chunk(chunks)
    properties.set_alloc_time(h5d.ALLOC_TIME_EARLY if early else h5d.ALLOC_TIME_INCR)
    if is_filtered:
        properties.set_deflate(1)
        properties.set_shuffle()
    space = h5s.create_simple(shape, tuple(h5s.UNLIMITED if end is None else end for end in ends))
    return h5d.create(file.id, b"data", h5t.STD_U8LE, space, properties)


def built(path: Path) -> ChunkIndex:
    """The index of /data, from the bytes of the file."""
    with h5py.File(path) as file:
        return index_of(file["data"].id, BytesSource(path.read_bytes()))


def index_of(dataset: h5d.DatasetID, source: Source) -> ChunkIndex:
    layout = read_layout(dataset, source)
    assert isinstance(layout, StoredLayout)
    assert isinstance(layout.index, ChunkIndex)
    return layout.index


def content_of(path: Path, location: ChunkLocation | None) -> tuple[int, bytes] | None:
    if location is None:
        return None
    return location.mask, path.read_bytes()[location.offset : location.offset + location.size]


def stored_by_libhdf5(dataset: h5d.DatasetID, origin: tuple[int, ...]) -> tuple[int, bytes] | None:
    if dataset.get_storage_size():  # without any chunk, h5py asks for memory of any size
        with suppress(RuntimeError):  # which is how it says that a chunk isn't stored
            mask, content = dataset.read_direct_chunk(origin)
            return mask, bytes(content)
    return None


@given(data=st.data())
@settings(max_examples=150)
def test_every_chunk_is_where_libhdf5_finds_it(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("index") / "f.h5"
    rank = data.draw(st.integers(1, 4))
    shape = tuple(data.draw(st.integers(0 if rank == 1 else 1, 60 if rank == 1 else 8)) for _ in range(rank))
    ends = tuple(data.draw(st.sampled_from([size or 1, size + 5, None])) for size in shape)
    chunks = tuple(data.draw(st.integers(1, min(3, size) or 1)) for size in shape)
    early, is_filtered = data.draw(st.booleans()), data.draw(st.booleans())
    # What has no end is said to be as long as a length can say, where libhdf5 doesn't find it unless that is 8 bytes.
    sizes = data.draw(st.sampled_from([(8, 8), (4, 8), *([] if None in ends else [(4, 4), (8, 4)])]))
    grid = [range(0, size, chunk) for size, chunk in zip(shape, chunks, strict=True)]
    origins = list(itertools.product(*grid))
    written = data.draw(st.lists(st.sampled_from(origins), max_size=40)) if origins else []
    with created(path, data.draw(st.sampled_from(VERSIONS)), data.draw(st.sampled_from([0, 512, 2048])), sizes) as file:
        dataset = create_chunked(file, shape, ends, chunks, early, is_filtered)
        for number, origin in enumerate(written):
            size = 1 + number * 7 if is_filtered else int(np.prod(chunks))
            content = np.random.default_rng(number).integers(0, 256, size, np.uint8).tobytes()
            dataset.write_direct_chunk(origin, content, data.draw(st.integers(0, 3)) if is_filtered else 0)
    with moved(data.draw(thresholds())):
        got = built(path)
    with h5py.File(path) as file:
        for origin in origins:
            coordinate = [at // chunk for at, chunk in zip(origin, chunks, strict=True)]
            assert content_of(path, got.find(coordinate)) == stored_by_libhdf5(file["data"].id, origin)


# Numbers of chunks that take an index to its further levels: pages, super blocks with few and many of these, ...
FAR = [*range(7), 99, 1023, 1024, 1025, 5000, 140_000, 140_001, 262_143, 300_000, 530_000, 2_100_000, 2_105_000]


@pytest.mark.parametrize("is_filtered", [False, True])
@pytest.mark.parametrize("end", [2_200_000, None], ids=["fixed array", "extensible array"])
def test_far_elements_of_arrays_are_found(tmp_path: Path, end: int | None, is_filtered: bool) -> None:
    path = tmp_path / "f.h5"
    with created(path, VERSIONS[-1], 0, (8, 8)) as file:
        dataset = create_chunked(file, (2_200_000,), (end,), (1,), False, is_filtered)
        for number in FAR:
            dataset.write_direct_chunk((number,), bytes([number % 251]))
    got = built(path)
    assert got.numbers is not None
    assert got.numbers.tolist() == FAR
    for number in FAR:
        assert content_of(path, got.find([number])) == (0, bytes([number % 251]))


@pytest.mark.parametrize("room", [0, 10**12])
@pytest.mark.parametrize("growing", range(3))
def test_room_for_more_than_memory_is_no_hindrance(tmp_path: Path, growing: int, room: int) -> None:
    path = tmp_path / "f.h5"
    ends = tuple(None if dimension == growing else 3 + room // 10**9 for dimension in range(3))
    with created(path, VERSIONS[-1], 0, (8, 8)) as file:
        dataset = create_chunked(file, (3, 3, 3), ends, (1, 1, 1), False, False)
        for number, origin in enumerate(np.ndindex(3, 3, 3)):
            dataset.write_direct_chunk(origin, bytes([number]))
    got = built(path)
    for number, origin in enumerate(np.ndindex(3, 3, 3)):
        assert content_of(path, got.find(origin)) == (0, bytes([number]))


@pytest.mark.parametrize("is_filtered", [False, True])
@pytest.mark.parametrize("kind", ["B-tree 1", "fixed array", "B-tree 2"])
def test_thousands_of_chunks_are_those_of_libhdf5(tmp_path: Path, kind: str, is_filtered: bool) -> None:
    path = tmp_path / "f.h5"
    end = None if kind == "B-tree 2" else 200
    with created(path, VERSIONS[0 if kind == "B-tree 1" else -1], 512, (8, 8)) as file:
        dataset = create_chunked(file, (200, 90), (end, 90 if end else None), (1, 2), False, is_filtered)
        for number in np.random.default_rng(0).permutation(9000)[:7000].tolist():
            dataset.write_direct_chunk((number // 45, 2 * (number % 45)), bytes(1 + number % 9 if is_filtered else 2))
    expected: dict[tuple[int, ...], tuple[int, ...]] = {}
    with h5py.File(path) as file:
        assert described(path)[1].layout.index_kind == KINDS[kind]
        file["data"].id.chunk_iter(lambda info: expected.update({info.chunk_offset: info[1:]}))
    got = built(path)
    assert len(got.offsets) == len(expected) == 7000
    for (row, column), (mask, offset, size) in expected.items():
        assert got.find((row, column // 2)) == ChunkLocation(offset, size, mask)


def test_the_only_chunk_is_found_whatever_filters_it_left_out(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with created(path, VERSIONS[-1], 0, (8, 8)) as file:
        dataset = create_chunked(file, (4, 5), (4, 5), (4, 5), False, True)
        dataset.write_direct_chunk((0, 0), b"content", 2)
    assert described(path)[1].layout.index_kind == IndexKind.SINGLE
    assert content_of(path, built(path).find((0, 0))) == (2, b"content")


def test_a_chunk_is_no_larger_than_any_file(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_indexed(path, counts((4, 5)), (4, 5), libver="latest", compression="gzip")
    file, dataset = described(path)
    layout = dataset.layout._replace(parameters=(1 << 63, 0))
    with pytest.raises(FormatError, match="larger than any file"):
        read_chunks(file, dataset._replace(layout=layout))


# --- damage ----------------------------------------------------------------------------------------------------


def described(path: Path, content: bytes | None = None) -> tuple[FileBytes, ChunkedDataset]:
    """The bytes of a file, or others in their place, and the dataset as the file has it."""
    source = BytesSource(path.read_bytes())
    file = file_bytes(source, read_superblock(source))
    with h5py.File(path) as handle:
        dataset = chunked(handle["data"].id, source)
    return (file if content is None else FileBytes(BytesSource(content), file.base)), dataset


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file with each kind of index, filtered where it can be."""
    folder = tmp_path_factory.mktemp("indexed")
    for name, options in INDEXES.items():
        filters: dict[str, Any] = {} if "early" in options else {"compression": "gzip"}
        write_indexed(folder / name, counts((40, 64)), (1, 2), written=slice(0, 30), **filters, **options)
    return {name: folder / name for name in INDEXES}


def read_or_refuse(file: FileBytes, dataset: ChunkedDataset) -> ChunkRecords | None:
    with suppress(FormatError, UnsupportedError):
        return read_chunks(file, dataset)
    return None


@pytest.mark.parametrize("kind", INDEXES)
@given(data=st.data())
@settings(max_examples=150)
def test_whatever_the_bytes_only_their_format_is_to_blame(indexed: dict[str, Path], kind: str, data: Any) -> None:
    content = bytearray(indexed[kind].read_bytes())
    _, dataset = described(indexed[kind])
    root = dataset.layout.index_address
    assert root is not None
    marks = [at for mark in (b"TREE", b"BT", b"FA", b"EA") for at in _all(content, mark)] or [root]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.sampled_from(marks)) + data.draw(st.integers(4, 60) | st.integers(0, 700))
        new = data.draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\xff"]))
        content[at : at + len(new)] = new
    damaged = bytes(content[: data.draw(st.just(len(content)) | st.integers(root, len(content)))])
    with pytest.MonkeyPatch.context() as patch:  # so that damage isn't found by the checksums alone
        if data.draw(st.booleans()):
            for module in (array_parts, btree2):
                patch.setattr(module, "checked", lambda part, _: part[:-4])
        file, _ = described(indexed[kind], damaged)
        found = read_or_refuse(file, dataset)
    if found is not None:
        assert found.coordinates.shape == (len(found.addresses), 2)
        assert len(found.addresses) == len(found.sizes) == len(found.masks) <= len(content)


def _all(content: bytearray, mark: bytes) -> Iterator[int]:
    at = content.find(mark)
    while at >= 0:
        yield at
        at = content.find(mark, at + 1)


@pytest.mark.parametrize("kind", [kind for kind in INDEXES if kind not in ("B-tree 1", "implicit")])
def test_a_byte_that_the_checksum_is_not_of_is_told_of(indexed: dict[str, Path], kind: str) -> None:
    content = indexed[kind].read_bytes()
    _, dataset = described(indexed[kind])
    root = dataset.layout.index_address
    assert root is not None
    damaged = content[: root + 8] + bytes([content[root + 8] ^ 1]) + content[root + 9 :]
    file, _ = described(indexed[kind], damaged)
    with pytest.raises(FormatError, match="checksum"):
        read_chunks(file, dataset)


@pytest.mark.parametrize(
    ("at", "number"),
    [(6, 0), (7, 65), (9, 0), (9, 3), (10, 0), (10, 6), (10, 128), (11, 0)],
    ids=lambda each: str(each),
)
def test_an_array_that_none_can_be_is_told_of(
    indexed: dict[str, Path], at: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(indexed["extensible array"].read_bytes())
    _, dataset = described(indexed["extensible array"])
    assert dataset.layout.index_address is not None
    content[dataset.layout.index_address + at] = number
    monkeypatch.setattr(array_parts, "checked", lambda part, _: part[:-4])
    file, _ = described(indexed["extensible array"], bytes(content))
    with pytest.raises(FormatError, match="divided as none can be"):
        read_chunks(file, dataset)


def test_a_dataset_is_no_larger_than_the_room_for_its_chunks(indexed: dict[str, Path]) -> None:
    file, dataset = described(indexed["implicit"])
    with pytest.raises(FormatError, match="larger than it may become"):
        read_chunks(file, dataset._replace(maximum=tuple(1 for _ in dataset.maximum)))


@pytest.mark.parametrize("kind", INDEXES)
def test_a_layout_of_other_dimensions_is_refused(indexed: dict[str, Path], kind: str) -> None:
    file, dataset = described(indexed[kind])
    layout = dataset.layout._replace(chunk_shape=(1, 2, 1))
    with pytest.raises(FormatError, match="dimensions"):
        read_chunks(file, dataset._replace(layout=layout))


class Torn(Immediate):
    """Bytes that somebody is writing: the first parts of an array that are read have a wrong byte."""

    key = None

    def __init__(self, data: bytes) -> None:
        self._bytes = BytesSource(data)
        self.size = len(data)
        self.wrong = 3

    def read_into(self, view: memoryview, offset: int) -> int:
        found = self._bytes.read_into(view, offset)
        if bytes(view[:2]) == b"EA" and self.wrong:
            self.wrong -= 1
            view[20] ^= 1
        return found


def test_what_is_being_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_indexed(path, counts((300, 4)), (1, 4), libver="latest", unlimited=1)
    source = Torn(path.read_bytes())
    with h5py.File(path, "r", swmr=True) as file:
        got = index_of(file["data"].id, source)
    assert not source.wrong
    np.testing.assert_array_equal(got.offsets, built(path).offsets)
    with h5py.File(path) as file, pytest.raises(FormatError, match=r"the chunk index is damaged: .* wrong checksum"):
        index_of(file["data"].id, Torn(path.read_bytes()))
