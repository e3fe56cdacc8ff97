"""Values are h5py's, bit for bit, however they are stored and whatever part of them is asked for."""

from __future__ import annotations

import bz2
import ctypes
import io
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import h5py
import hdf5plugin
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.filters import compiled, pipeline, plugin
from nexus_xr.hdf5.filters.codec import DecodeError, address_of
from nexus_xr.hdf5.filters.codecs import bitshuffle, lzf, shuffle
from nexus_xr.hdf5.filters.codecs.bitshuffle import BITSHUFFLE
from nexus_xr.hdf5.filters.codecs.only_libhdf5 import HTJ2K
from nexus_xr.hdf5.filters.codecs.shuffle import SHUFFLE
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.filters.registry import CODECS, decoder
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.policy import ReadingPolicy
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.objects.datatypes import split_array_type
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.reading import processes
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.engine import chunk
from nexus_xr.hdf5.reading.layouts import known_layouts, layout_reading
from nexus_xr.hdf5.reading.layouts import layout as layouts
from nexus_xr.hdf5.reading.selection import expand
from nexus_xr.hdf5.runtime.memory import results_in

from .arrays import assert_same_bits, h5py_values, indexers, lazy, take
from .calls import recorded
from .processes import run
from .stacks import (
    DTYPES,
    ELSEWHERE,
    INDEXES,
    LOSSLESS,
    LOSSY,
    ONLY_LIBHDF5,
    counts,
    filters_of_table,
    smooth,
    write_indexed,
    write_raw,
)
from .thresholds import listed, moved, numbers, thresholds

SHAPE, CHUNKS = (7, 20, 33), (2, 8, 33)


# --- filters ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize("options", LOSSLESS.values(), ids=LOSSLESS)
def test_filters_are_undone(tmp_path: Path, options: Mapping[str, Any]) -> None:
    values = counts(SHAPE)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=CHUNKS, **options)
    array = lazy(tmp_path / "f.h5")
    assert_same_bits(array[...], values)
    assert_same_bits(array[3, 5], values[3, 5])
    assert_same_bits(array[::-2, 3:19:5, [32, 0, 0]], values[::-2, 3:19:5][..., [32, 0, 0]])


# Filters whose chunks are made of blocks, of which a part of a chunk needs only some.
IN_BLOCKS: dict[str, Mapping[str, Any]] = {
    "bitshuffle+lz4": hdf5plugin.Bitshuffle(),
    "bitshuffle+lz4, small blocks": hdf5plugin.Bitshuffle(nelems=16),
    "bitshuffle+zstd+fletcher32": {**hdf5plugin.Bitshuffle(cname="zstd"), "fletcher32": True},
    **{f"blosc lz4 {shuffle}": hdf5plugin.Blosc(cname="lz4", shuffle=shuffle) for shuffle in (0, 1, 2)},
    "blosc zstd": hdf5plugin.Blosc(cname="zstd", clevel=1),
    "blosc2 lz4": hdf5plugin.Blosc2(cname="lz4"),
    "blosc2 zstd": hdf5plugin.Blosc2(cname="zstd", filters=hdf5plugin.Blosc2.BITSHUFFLE),
}
LARGE = (3, 1, 149_991)
BITSHUFFLED = dict(hdf5plugin.Bitshuffle())


@pytest.fixture(scope="module")
def in_blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blocks") / "f.h5"
    with h5py.File(path, "w") as file:
        for name, options in IN_BLOCKS.items():
            for dtype in ("<u2", ">f8", "V3"):
                values = counts(LARGE).astype("u4").view("V4").astype("V3") if dtype == "V3" else counts(LARGE)
                chunks = (1, 1, 100_000)
                file.create_dataset(f"{name}/{dtype}", data=values.astype(dtype), chunks=chunks, **options)
    return path


@pytest.mark.parametrize("name", IN_BLOCKS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_parts_of_chunks_made_of_blocks(in_blocks: Path, name: str, data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from(("<u2", ">f8", "V3")))
    array, row = lazy(in_blocks, f"{name}/{dtype}"), data.draw(st.integers(0, LARGE[0] - 1))
    with h5py.File(in_blocks) as file:
        expected = file[f"{name}/{dtype}"][row, 0]
    for _ in range(3):
        begin = data.draw(st.sampled_from([0, 4096, 65_536, 99_990, 149_980]) | st.integers(0, LARGE[2] - 1))
        part = slice(begin, begin + data.draw(st.integers(1, 10) | st.integers(1, LARGE[2])))
        assert_same_bits(array[row, 0, part], expected[part])
        assert_same_bits(array[row, 0, begin], expected[begin])
        assert_same_bits(array[row : row + 1, 0, part.start : part.stop : 7], expected[part][None, ::7])


@pytest.mark.parametrize("name", ["blosc2 lz4", "blosc2 zstd"])
def test_parts_of_chunks_whose_blocks_have_several_dimensions(tmp_path: Path, name: str) -> None:
    values = counts((4, 3, 500, 123))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(2, 3, 300, 123), **IN_BLOCKS[name])
    array = lazy(tmp_path / "f.h5")
    rng = np.random.default_rng(0)
    for _ in range(200):
        at = tuple(rng.integers(0, (4, 3, 480, 100)).tolist())
        assert_same_bits(array[at], values[at])
        window = (*at[:2], *(slice(begin, begin + 20) for begin in at[2:]))
        assert_same_bits(array[window], values[window])
        rows = (*at[:2], slice(at[2], None), slice(None, None, 7))
        assert_same_bits(array[rows], values[rows])


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(0, 30), st.integers(0, 40), st.binary(max_size=9))
def test_blocks_are_followed_alike_with_and_without_the_extension(
    sizes: list[int], count: int, position: int, rest: bytes
) -> None:
    chunk = b"".join(size.to_bytes(4, "big") + b"." * size for size in sizes) + rest
    raw = ctypes.create_string_buffer(chunk, len(chunk))
    places = (ctypes.addressof(raw), len(chunk), position, count)
    assert compiled.behind_blocks(*places) == compiled.python_behind_blocks(*places)


@given(
    st.lists(st.integers(0, 9), max_size=20),
    st.integers(0, 20),
    st.integers(4, 9),
    st.booleans(),
    st.binary(max_size=9),
)
def test_blocks_become_those_of_a_frame_alike_with_and_without_the_extension(
    sizes: list[int], count: int, block: int, may_be_plain: bool, rest: bytes
) -> None:
    chunk = b"".join(size.to_bytes(4, "big") + b"." * size for size in sizes) + rest

    def framed(frame_blocks: Callable[..., int]) -> tuple[int, bytes, bytes]:
        raw, starts = bytearray(chunk), bytearray(4 * count)
        places = [ctypes.addressof((ctypes.c_char * len(each)).from_buffer(each)) for each in (raw, starts)]
        end = frame_blocks(places[0], len(raw), places[1], count, 100, block, block - 3, may_be_plain)
        return end, bytes(raw), bytes(starts)

    end, raw, starts = framed(compiled.frame_blocks)
    assert (end, raw, starts) == framed(compiled.python_frame_blocks)
    lengths = [*[block] * (count - 1), block - 3]
    if not rest and count == len(sizes):
        assert (end < 0) == (not may_be_plain and any(map(int.__eq__, sizes, lengths)))
    if end >= 0:
        assert raw[:end] == b"".join(size.to_bytes(4, "little") + b"." * size for size in sizes[:count]) or rest
        assert np.frombuffer(starts, "<u4").tolist() == [100 + sum(sizes[:at]) + 4 * at for at in range(count)] or rest


@given(st.data())
def test_bitshuffle_is_undone_alike_with_and_without_the_extension(data: st.DataObject) -> None:
    """Of all that the extension does many at a time, and of what is left over, whole, in parts, and damaged."""
    width = data.draw(st.sampled_from([1, 2, 3, 4, 8, 16]))
    count, block = data.draw(st.sampled_from([1, 8, 127, 128, 136, 4104, 8192]) | st.integers(1, 9000)), 8 * width
    options = (0, 0, width, data.draw(st.sampled_from([0, 8, 128, 136, 4096])), 2)
    values = np.random.default_rng(count).integers(0, 4, count * width, np.uint8)
    encode = BITSHUFFLE.encode and BITSHUFFLE.encode(options, values.nbytes)
    stored = encode(values) if encode else None
    if stored is None:  # it would be longer
        return
    stored = np.array(stored)
    for _ in range(data.draw(st.integers(0, 2))):
        stored[data.draw(st.integers(0, stored.nbytes - 1))] = data.draw(st.sampled_from([0, 1, 0x80, 0xFF]))
    stored = stored[: data.draw(st.sampled_from([stored.nbytes, stored.nbytes - 1]))]
    begin = data.draw(st.integers(0, values.nbytes - 1))
    part = begin, data.draw(st.integers(begin + 1, values.nbytes))

    def outcome() -> Any:
        found = np.zeros(values.nbytes + block, np.uint8)
        whole, in_part = BITSHUFFLE.decode, BITSHUFFLE.decode_part
        assert whole
        assert in_part
        places = address_of(stored), stored.nbytes, address_of(found), values.nbytes
        decode, decode_part = whole(options, values.nbytes), in_part(options, values.nbytes)
        assert decode
        assert decode_part
        try:
            decode_part(*places, *part)
            of_part = found[slice(*part)].tobytes()
            return of_part, decode(*places)[1], found.tobytes()
        except DecodeError:
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bitshuffle, "unshuffle_blocks", None)
        expected = outcome()
    assert outcome() == expected


@pytest.mark.parametrize(
    ("refusing", "most"), [(False, 1 << 31), (False, 0), (False, 239), (False, 240), (True, 1 << 31)]
)
@pytest.mark.parametrize("size", [0, 1, 240, 1003])
@pytest.mark.parametrize("width", [2, 3, 8, 255, 256, 700])
def test_what_the_library_does_not_shuffle_numpy_does(
    monkeypatch: pytest.MonkeyPatch, width: int, size: int, refusing: bool, most: int
) -> None:
    """As that of 2 GiB and more, which the library leaves as it was and tells of by a negative status."""
    if refusing:
        monkeypatch.setattr(shuffle, "function", lambda *_: lambda *_: -12)
    monkeypatch.setattr(shuffle, "_MOST_BYTES", most)
    values = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    whole = size - size % width
    expected = np.concatenate([values[:whole].reshape(-1, width).T.reshape(-1), values[whole:]])
    encode, decode = SHUFFLE.encode, SHUFFLE.decode
    assert encode
    assert decode
    encoder, decoder = encode((width,), size), decode((width,), size)
    assert encoder
    assert decoder
    np.testing.assert_array_equal(encoder(values), expected)
    found = np.zeros(size, np.uint8)
    assert decoder(address_of(expected), size, address_of(found), size) == (address_of(found), size)
    np.testing.assert_array_equal(found, values)


# Each begins as a chunk whose filter's library would be told of a few bytes, were the highest bits left off.
TOO_LARGE = {
    "lzf": (32000, bytes(12), (1 << 32) + 12),
    "lz4": (32004, struct.pack(">QII", 100, 100, 1 << 31), 1 << 32),
    "bzip2": (307, bz2.compress(bytes(100)), (1 << 32) + len(bz2.compress(bytes(100)))),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_sizes_that_a_library_has_no_number_for_are_not_cut_off(name: str) -> None:
    number, begin, size = TOO_LARGE[name]
    stored, target = np.frombuffer(begin, np.uint8), np.zeros(100, np.uint8)
    decoder = pipeline.Pipeline([Filter(number, name, ())], 100)
    with pytest.raises(DecodeError, match="larger than its filter's library takes"):
        decoder.decode(pipeline.Workspace(), address_of(stored), size, 0, address_of(target))
    if decoder.decode_batch is not None:
        assert decoder.decode_batch(np.array([[address_of(stored), size, address_of(target)]])) == 0


@pytest.mark.parametrize("name", ["lzf", "bzip2"])
@pytest.mark.parametrize("fits", [True, False])
def test_longer_chunks_than_a_library_counts_are_stored_as_they_are(
    monkeypatch: pytest.MonkeyPatch, name: str, fits: bool
) -> None:
    values, most = np.zeros(1000, np.uint8), 1000 if fits else 999
    monkeypatch.setattr(lzf, "_MOST_BYTES", most)
    make = {"lzf": lzf.LZF.encode, "bzip2": plugin_encoder("bzip2", most)}[name]
    encode = make and make((9,), values.nbytes)
    assert encode
    assert (encode(values) is not None) == fits


def test_an_encoder_without_memory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_allocator", lambda: (lambda size: None, lambda address: None))
    encode = plugin_encoder("zstd")((3,), 1000)
    assert encode
    with pytest.raises(MemoryError, match="1000 bytes of a chunk"):
        encode(np.zeros(1000, np.uint8))


@pytest.mark.parametrize("name", ["bitshuffle+lz4", "blosc lz4 1", "blosc2 lz4"])
def test_parts_of_a_chunk_need_no_other_blocks(tmp_path: Path, name: str) -> None:
    values = counts((1024, 1024))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", data=values, chunks=values.shape, **IN_BLOCKS[name])
        file.flush()
        mask, chunk = dataset.id.read_direct_chunk((0, 0))
        # The end of a frame of Blosc2 describes it.
        end = len(chunk) - (2000 if name.startswith("blosc2") else 0)
        dataset.id.write_direct_chunk((0, 0), chunk[: end - 200] + b"\xff" * 200 + chunk[end:], mask)
    array = lazy(tmp_path / "f.h5")
    assert_same_bits(array[1, 100:110], values[1, 100:110])
    for key in ((-1, slice(-10, None)), slice(None)):
        with pytest.raises(NexusFileError, match=r"chunk \(0, 0\)"):
            array[key]


@pytest.mark.parametrize("damage", [128, 255])
def test_a_damaged_description_of_blosc2_gives_no_part_that_differs_from_the_whole(tmp_path: Path, damage: int) -> None:
    values = counts((512, 256))
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=values.shape, **IN_BLOCKS["blosc2 lz4"])
        address, chunk = file["data"].id.get_chunk_info(0).byte_offset, file["data"].id.read_direct_chunk((0, 0))[1]
    begin = chunk.index(b"b2nd")
    undamaged = (tmp_path / "whole.h5").read_bytes()
    for at in range(begin, begin + 70):
        path = tmp_path / f"{at}.h5"
        path.write_bytes(undamaged[: address + at] + bytes([damage]) + undamaged[address + at + 1 :])
        try:
            whole, part = h5py_values(path), lazy(path)[300, 20:200]
        except (NexusFileError, OSError):
            continue
        if np.array_equal(whole, values):
            assert_same_bits(part, values[300, 20:200])


@pytest.mark.parametrize("together", [0, 3000, 1 << 20])
@pytest.mark.parametrize("options", ONLY_LIBHDF5.values(), ids=ONLY_LIBHDF5)
def test_filters_of_libhdf5_are_undone_in_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Mapping[str, Any], together: int
) -> None:
    monkeypatch.setattr(processes, "_TOGETHER_BYTES", together)
    monkeypatch.setattr(LazyArray, "_read_with_hdf5", None)
    values = counts((5, 32, 50))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(1, 32, 20), **options)
    in_memory = File(io.BytesIO((tmp_path / "f.h5").read_bytes()))
    for array in (lazy(tmp_path / "f.h5"), LazyArray(in_memory, "/data", values.shape, values.dtype)):
        assert_same_bits(array[...], values)
        assert_same_bits(array[::-1, 3, [45, 1]], values[::-1, 3, [45, 1]])


def test_arrays_in_chunks_that_only_libhdf5_decodes_are_read(tmp_path: Path) -> None:
    values = counts((6, 4, 3))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((2, 3))
        properties.set_filter(5, 0, ())
        kind = h5t.array_create(h5t.STD_U16LE, (3,))
        dataset = h5d.create(file.id, b"data", kind, h5s.create_simple((6, 4)), properties)
        h5py.Dataset(dataset)[...] = values
    opened = File(tmp_path / "f.h5")
    array = LazyArray(opened, "/data", values.shape, np.dtype("<u2"))
    assert_same_bits(array[...], values)
    assert_same_bits(array[3:, ::-2, 1], values[3:, ::-2, 1])
    assert not opened.left_to_libhdf5


@pytest.mark.parametrize("options", LOSSY.values(), ids=LOSSY)
def test_lossy_filters_give_what_h5py_gives(tmp_path: Path, options: Mapping[str, Any]) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=smooth((3, 48, 50)), chunks=(1, 48, 50), **options)
    expected = h5py_values(tmp_path / "f.h5")
    assert_same_bits(lazy(tmp_path / "f.h5")[...], expected)
    assert_same_bits(lazy(tmp_path / "f.h5")[1, 7, 3], expected[1, 7, 3])


def test_nbit_and_other_precisions_are_converted(tmp_path: Path) -> None:
    kind = h5t.STD_U16LE.copy()
    kind.set_precision(12)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((2, 5))
        properties.set_filter(5, 0, ())
        dataset = h5d.create(file.id, b"data", kind, h5s.create_simple((4, 9)), properties)
        h5py.Dataset(dataset)[...] = counts((4, 9))
    assert_same_bits(lazy(tmp_path / "f.h5")[...], counts((4, 9)))


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize(
    "pipeline",
    [
        [(2, ()), (1, (4,)), (3, ())],
        [(3, ()), (2, ()), (1, (1,))],
        [(1, (1,)), (32015, (3,))],
        [(2, ()), (32000, ()), (307, (9,)), (3, ())],
        [(32008, (0, 0)), (32004, (0,))],
        [(1, (9,)), (1, (9,))],
    ],
    ids=str,
)
def test_pipelines_of_several_filters_are_undone(tmp_path: Path, pipeline: Any) -> None:
    write_raw(tmp_path / "f.h5", counts(SHAPE), CHUNKS, pipeline)
    assert_same_bits(lazy(tmp_path / "f.h5")[...], counts(SHAPE))


@pytest.mark.usefixtures("only_engine")
def test_chunks_may_leave_filters_out(tmp_path: Path) -> None:
    values = counts((4, 16))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
        dataset = file.create_dataset("data", data=values, chunks=(1, 16), **options)
        _, stored = dataset.id.read_direct_chunk((3, 0))
        dataset.id.write_direct_chunk((0, 0), values[0].tobytes(), 0b111)
        dataset.id.write_direct_chunk((1, 0), values[1].view("u1").reshape(16, 2).T.tobytes(), 0b110)
        dataset.id.write_direct_chunk((2, 0), stored[:-4], 0b100)
    assert_same_bits(lazy(tmp_path / "f.h5")[...], h5py_values(tmp_path / "f.h5"))
    assert_same_bits(lazy(tmp_path / "f.h5")[0, 3:5], values[0, 3:5])


@pytest.mark.usefixtures("only_engine")
def test_partial_chunks_may_be_stored_without_filters(tmp_path: Path) -> None:
    from h5py._objects import phil

    from nexus_xr.hdf5.runtime.libraries import Signature, function

    signature = Signature(ctypes.c_int, (ctypes.c_int64, ctypes.c_uint))
    set_options = function("h5py", "H5Pset_chunk_opts", signature, 0)
    assert set_options is not None
    values = counts((5, 7))
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((2, 3))
        properties.set_deflate(4)
        with phil:
            assert set_options(properties.id, 2) >= 0
        dataset = h5d.create(file.id, b"data", h5t.NATIVE_UINT16, h5s.create_simple((5, 7)), properties)
        h5py.Dataset(dataset)[...] = values
    assert_same_bits(lazy(tmp_path / "f.h5")[...], values)
    assert values[4, 6] == lazy(tmp_path / "f.h5")[4, 6]


# --- layouts ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize("options", INDEXES.values(), ids=INDEXES)
@pytest.mark.parametrize("written", [slice(None), slice(2, 4), slice(0)], ids=["all", "a part", "nothing"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_every_kind_of_chunk_index_is_understood(
    tmp_path: Path, options: Any, written: slice, compression: str | None
) -> None:
    write_indexed(
        tmp_path / "f.h5", counts(SHAPE), CHUNKS, written=written, fillvalue=9, compression=compression, **options
    )
    expected = h5py_values(tmp_path / "f.h5")
    assert_same_bits(lazy(tmp_path / "f.h5")[...], expected)
    assert_same_bits(lazy(tmp_path / "f.h5")[6, 19, 2:9], expected[6, 19, 2:9])


@pytest.mark.usefixtures("only_engine")
def test_a_single_chunk_has_an_index_of_its_own(tmp_path: Path) -> None:
    for compression in (None, "gzip"):
        write_indexed(tmp_path / "f.h5", counts((4, 5)), (4, 5), "latest", compression=compression)
        assert_same_bits(lazy(tmp_path / "f.h5")[1:, ::2], counts((4, 5))[1:, ::2])


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize("user_block", [0, 512, 4096])
@pytest.mark.parametrize("options", [{}, {"chunks": (2, 3)}, {"chunks": (2, 3), "compression": "gzip"}], ids=str)
def test_user_blocks_are_in_front_of_everything(tmp_path: Path, user_block: int, options: Any) -> None:
    with h5py.File(tmp_path / "f.h5", "w", userblock_size=user_block) as file:
        file.create_dataset("data", data=counts((5, 7)), **options)
    assert_same_bits(lazy(tmp_path / "f.h5")[...], counts((5, 7)))


@pytest.mark.usefixtures("only_engine")
def test_compact_values_are_in_the_header(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_layout(h5d.COMPACT)
        dataset = h5d.create(file.id, b"data", h5t.NATIVE_UINT16, h5s.create_simple((5, 7)), properties)
        h5py.Dataset(dataset)[...] = counts((5, 7))
    assert_same_bits(lazy(tmp_path / "f.h5")[::2, [6, 1]], counts((5, 7))[::2, [6, 1]])


@pytest.mark.usefixtures("only_engine")
def test_raw_data_files_beside_the_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = counts((5, 8))
    raw = values.tobytes()
    Path("a.raw").write_bytes(b"head" + raw[:40])
    Path("b.raw").write_bytes(raw[40:70])  # ends early: the rest is zeros
    with h5py.File("f.h5", "w") as file:
        file.create_dataset("data", (5, 8), "u2", external=[("a.raw", 4, 36), ("b.raw", 0, 44)])
    expected = h5py_values(Path("f.h5"))
    assert_same_bits(lazy(tmp_path / "f.h5")[...], expected)
    assert_same_bits(lazy(tmp_path / "f.h5")[1:4, 2], expected[1:4, 2])


@pytest.mark.parametrize("fill_time", [h5d.FILL_TIME_ALLOC, h5d.FILL_TIME_NEVER, h5d.FILL_TIME_IFSET])
@pytest.mark.parametrize("fill", [None, 7])
@pytest.mark.parametrize("chunks", [None, (2, 3)])
def test_what_is_not_stored_has_the_fill_value(
    tmp_path: Path, fill_time: int, fill: int | None, chunks: tuple[int, ...] | None
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        if chunks is not None:
            properties.set_chunk(chunks)
        if fill is not None:
            properties.set_fill_value(np.array(fill, "i4"))
        properties.set_fill_time(fill_time)
        h5d.create(file.id, b"data", h5t.NATIVE_INT32, h5s.create_simple((5, 7)), properties)
    assert_same_bits(lazy(tmp_path / "f.h5")[...], h5py_values(tmp_path / "f.h5"))


@pytest.mark.usefixtures("only_engine")
def test_external_links_lead_to_the_file_that_has_the_chunks(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with h5py.File(tmp_path / "below" / "data.h5", "w") as file:
        file.create_dataset("n", data=counts(SHAPE), chunks=CHUNKS, compression="gzip")
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["data"] = h5py.ExternalLink("below/data.h5", "/n")
    array = lazy(tmp_path / "master.h5")
    assert_same_bits(array[...], counts(SHAPE))
    with h5py.File(tmp_path / "below" / "data.h5", "a") as file:
        file["n"][0] = 0
        file["more"] = np.zeros(1000)
    with pytest.raises(OSError, match=r"below/data.h5: the file changed"):
        array[...]


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (1, 20, 33)}, {"chunks": (1, 20, 33), "compression": "gzip"}], ids=str
)
@pytest.mark.parametrize("linked", [False, True])
def test_values_that_this_process_has_not_yet_written_out_are_seen(
    tmp_path: Path, options: dict[str, Any], linked: bool
) -> None:
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["data"] = h5py.ExternalLink("f.h5", "/data")
    # libhdf5 follows a link into an open file only where both are opened with locking, or both without.
    with h5py.File(tmp_path / "f.h5", "w", locking=False if linked else None) as file:
        dataset = file.create_dataset("data", data=counts(SHAPE), **options)
        file.flush()
        path = tmp_path / ("master.h5" if linked else "f.h5")
        array = LazyArray(File(str(path)), "/data", SHAPE, dataset.dtype)
        assert_same_bits(array[...], counts(SHAPE))
        dataset[3, 5] = 99
        assert_same_bits(array[...], dataset[...])
        assert (array[3, 5] == 99).all()


# --- chunks that are stored short ------------------------------------------------------------------------------

# 80 numbers of 2 bytes, all of them 5, in a frame of Blosc2 without a shape.
_PLAIN_FRAME = (
    "9ea862326672616d6500d200000061cf00000000000000d9a412005502d300000000000000a0d3000000000000002dd20000"
    "0002d200000000d2000000a0d10002d10002c2d8060000000000010500000000000000000093cd0007de0000dc0000050185"
    "02a0000000a00000002d0000000000000000010500000000000000000024000000fbffffff01000000000501070808000000"
    "0800000028000000000000000001000000000000000000000000000000000000940193cd0006de0000dc0000ce00000023d8"
    "0000000000000000000000000000000000"
)
# Frames of Blosc2 tell the shape of what is in them, which has to be that of a chunk.
SHORT: dict[str, Mapping[str, Any]] = {
    name: options for name, options in LOSSLESS.items() if not name.startswith("blosc2")
} | {"szip": ONLY_LIBHDF5["szip"]}


def write_short(path: Path, options: Mapping[str, Any], at: int, rows: int, libver: str = "earliest") -> None:
    """Write /data of 13 rows in chunks of 8; the one that begins at a row is stored with so many."""
    values, other = counts((16, 64)), 8 - at
    with h5py.File(path, "w", libver=libver) as file:
        short = file.create_dataset("short", data=values[at : at + rows], chunks=(rows, 64), **options)
        data = file.create_dataset("data", (13, 64), "u2", chunks=(8, 64), maxshape=(None, 64), **options)
        data[other : other + 8] = values[:13][other : other + 8]
        file.flush()
        mask, stored = short.id.read_direct_chunk((0, 0))
        data.id.write_direct_chunk((at, 0), stored, mask)
        file["behind"] = np.zeros(999)


@pytest.mark.parametrize("rows", [5, 6])
@pytest.mark.parametrize("options", SHORT.values(), ids=SHORT)
def test_a_last_chunk_needs_no_more_than_what_is_in_the_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Mapping[str, Any], rows: int
) -> None:
    for libver, in_parts in (("earliest", False), ("latest", True)):
        if in_parts:
            monkeypatch.setattr(pipeline, "_LEAST_IN_PARTS", 1)
        write_short(tmp_path / f"{libver}.h5", options, 8, rows, libver)
        expected = h5py_values(tmp_path / f"{libver}.h5")
        assert_same_bits(expected, counts((16, 64))[:13])
        array = lazy(tmp_path / f"{libver}.h5")
        for key in (12, (12, 63), ..., slice(7, 10), (slice(None), 3), (slice(None, None, -3), [5, 2])):
            assert_same_bits(array[key], take(expected, expand(key, 2)))


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize(("at", "rows"), [(0, 5), (0, 7), (8, 4)])
@pytest.mark.parametrize("options", [options for name, options in SHORT.items() if name != "szip"], ids=str)
def test_a_chunk_without_all_that_is_in_the_dataset_is_named(
    tmp_path: Path, options: Mapping[str, Any], at: int, rows: int
) -> None:
    write_short(tmp_path / "f.h5", options, at, rows)
    with h5py.File(tmp_path / "f.h5") as file:
        if file["data"].id.get_chunk_info_by_coord((at, 0)).size == 8 * 64 * 2 and not options:
            pytest.skip("the index doesn't tell")
    array = lazy(tmp_path / "f.h5")
    for key in (..., at, (at, 3), (slice(None), 3)):
        with pytest.raises(NexusFileError, match=rf"chunk \({at // 8}, 0\).*the file is damaged"):
            array[key]
    other = slice(8 - at, 16 - at)
    assert_same_bits(array[other], counts((16, 64))[:13][other])


@pytest.mark.usefixtures("only_engine")
def test_a_short_chunk_hides_no_shorter_one(tmp_path: Path) -> None:
    """Without filters the smallest chunk may be all that there has to be, and a larger one lack something."""
    with h5py.File(tmp_path / "f.h5", "w") as file:
        data = file.create_dataset("data", (25, 4), "u2", chunks=(8, 4))
        for at, rows in ((0, 8), (8, 5), (16, 8), (24, 1)):
            data.id.write_direct_chunk((at, 0), counts((rows, 4)).tobytes())
    array = lazy(tmp_path / "f.h5")
    with pytest.raises(NexusFileError, match=r"chunk \(1, 0\).*40 bytes are stored"):
        array[...]
    assert_same_bits(array[16:], h5py_values(tmp_path / "f.h5")[16:])


def test_a_plain_frame_of_blosc2_may_be_short(tmp_path: Path) -> None:
    """One that tells the shape of its content, as libhdf5 writes it, has that of a chunk."""
    stored = bytes.fromhex(_PLAIN_FRAME)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        data = file.create_dataset("data", (13, 16), "u2", chunks=(8, 16), **hdf5plugin.Blosc2())
        data[:8] = 7
        data.id.write_direct_chunk((8, 0), stored)
    expected = h5py_values(tmp_path / "f.h5")
    assert (expected[8:] == 5).all()
    assert_same_bits(lazy(tmp_path / "f.h5")[...], expected)


# --- dtypes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True}], ids=["contiguous", "chunked"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_elements_of_any_dtype_keep_their_bytes(tmp_path: Path, dtype: np.dtype[Any], options: Any) -> None:
    element, inner = split_array_type(dtype)
    size = 12 * int(np.prod(inner)) * element.itemsize
    raw = np.random.default_rng(0).integers(0, 2 if element.kind == "b" else 100, size, np.uint8).tobytes()
    values = np.frombuffer(raw, element).reshape(3, 4, *inner)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (3, 4), dtype, **options)[...] = values
    got, expected = lazy(tmp_path / "f.h5")[...], h5py_values(tmp_path / "f.h5")
    if element.kind == "S":
        assert got.tolist() == np.char.decode(expected, "latin-1").tolist()
    elif element.names is not None:
        np.testing.assert_array_equal(got, expected)
    else:
        assert_same_bits(got, expected)


# --- everything at once ----------------------------------------------------------------------------------------


FEW_FILTERS = [
    *(options for name, options in LOSSLESS.items() if "blosc" not in name),
    *(LOSSLESS[name] for name in ("blosc lz4 1", "blosc2 zstd 1")),
]


def any_stored(path: Path, data: Any) -> tuple[int, ...]:
    """Write /data with any shape, dtype, chunks, filters and index, only in part; gives its shape."""
    rank = data.draw(st.integers(1, 4))
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(rank))
    chunks = tuple(data.draw(st.integers(1, size)) for size in shape)
    dtype = data.draw(st.sampled_from(["<u2", ">u4", "<f8", "i1", "V3", ">c16"]).map(np.dtype))
    options = dict(data.draw(st.sampled_from(FEW_FILTERS)))
    indexed = data.draw(st.sampled_from([None, *INDEXES.values()]))
    raw = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 50, (*shape, dtype.itemsize), np.uint8)
    values = np.frombuffer(raw.tobytes(), dtype).reshape(shape)
    if indexed is None:
        with h5py.File(path, "w") as file:
            file["data"] = values
    else:
        written = data.draw(st.slices(shape[0]).filter(lambda part: part.step in (None, 1)))
        fill = values.flat[0]
        write_indexed(path, values, chunks, written=written, fillvalue=fill, **{**options, **indexed})
    return shape


@given(data=st.data())
@settings(max_examples=300)
def test_any_selection_of_anything_is_what_h5py_gives(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "f.h5"
    shape = any_stored(path, data)
    expected = h5py_values(path)
    room = memoryview(bytearray(data.draw(st.sampled_from([0, 300, 1 << 16]))))
    keys = data.draw(st.lists(st.tuples(*map(indexers, shape)), min_size=1, max_size=3))
    with moved(data.draw(thresholds())), results_in(room):
        array = lazy(path, num_threads=data.draw(st.integers(1, 3)))
        found = [array[key] for key in keys]
    for key, values in zip(keys, found, strict=True):
        assert_same_bits(values, take(expected, key))


@given(data=st.data())
@settings(max_examples=40)
def test_any_selections_at_once_are_what_h5py_gives(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Several threads read through several handles, while h5py has the file open too."""
    path = tmp_path_factory.mktemp("at_once") / "f.h5"
    shape = any_stored(path, data)
    with h5py.File(path, "r+") as file:
        file["text"] = np.array([f"µ{number}" for number in range(shape[0])], object)
        file.create_dataset("to", (shape[0],), h5py.ref_dtype)[:] = [file["data"].ref] * shape[0]
    expected = {"data": h5py_values(path), "text": h5py_values(path, "text"), "to": None}
    arrays = [lazy(path, name) for name in (*expected, *expected)]
    keys = [data.draw(st.tuples(*map(indexers, array.shape))) for array in arrays]

    def read(number: int) -> None:
        array, key = arrays[number], keys[number]
        got, stored = array[key], expected[array.path[1:]]
        if stored is None:
            assert all(link == Link("/data") for link in np.ravel(got))
        elif array.path == "/text":
            assert np.ravel(got).tolist() == [raw.decode() for raw in np.ravel(take(stored, key))]
        else:
            assert_same_bits(got, take(stored, key))

    with moved(data.draw(thresholds())), h5py.File(path), ThreadPoolExecutor(4) as pool:
        list(pool.map(read, [*range(len(arrays))] * 3))


@given(data=st.data())
@settings(max_examples=100)
def test_many_small_chunks_are_as_good_as_large_ones(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Enough chunks for several batches, in an order of their own, some of them missing."""
    shape, chunks = (64, 96), data.draw(st.sampled_from([(1, 96), (3, 5), (16, 1), (1, 1), (64, 7)]))
    options = data.draw(
        st.sampled_from([{}, {"compression": "gzip"}, {"compression": "lzf", "shuffle": True}, BITSHUFFLED])
    )
    values = counts(shape)
    path = tmp_path_factory.mktemp("small") / "f.h5"
    rows = data.draw(st.permutations(range(0, 64, chunks[0])))
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", shape, "u2", chunks=chunks, fillvalue=3, **options)
        for row in rows[: data.draw(st.integers(1, len(rows)))]:
            dataset[row : row + chunks[0]] = values[row : row + chunks[0]]
    key = data.draw(st.tuples(*map(indexers, shape)))
    with moved(data.draw(thresholds())):
        got = lazy(path)[key]
    assert_same_bits(got, take(h5py_values(path), key))


def test_every_threshold_has_a_test_on_either_side() -> None:
    """One that is new is to be listed with values that small arrays lie on either side of, or with the test of it."""
    new, gone = numbers() - listed(), listed() - numbers()
    assert not new, (
        f"list {sorted(new)} in tests/thresholds.py: in DRAWN with values on whose two sides small arrays lie, in "
        "ELSEWHERE with the test of it, or in NO_THRESHOLDS where it is a number of a format"
    )
    assert not gone, f"take {sorted(gone)} out of tests/thresholds.py: nexus_xr/hdf5 has no such number that may be one"


def test_every_filter_is_tested() -> None:
    tested = filters_of_table() | ELSEWHERE.keys()
    # Filters that the lowest versions allowed don't write.
    missing = CODECS.keys() - tested - ({HTJ2K.number} if "htj2k" not in ONLY_LIBHDF5 else set())
    assert not missing, (
        f"the filters {sorted(missing)} of hdf5/filters/registry.py have no row in the tables of tests/stacks.py; "
        "where nothing writes them by options, ELSEWHERE there names their test"
    )


# --- memory ----------------------------------------------------------------------------------------------------

ACROSS = (..., slice(1, None), (slice(None), slice(40, None)), (slice(None, None, -1), [95, 40, 40, 0]), (5, 70))


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"compression": "lzf", "shuffle": True}], ids=str)
@pytest.mark.parametrize("most", [1, chunk.BUFFER_BYTES], ids=["all is given back", "all is kept"])
def test_values_do_not_depend_on_what_memory_a_thread_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(chunk, "BUFFER_BYTES", most)
    values = counts((64, 96))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(16, 32), **options)
    array = lazy(tmp_path / "f.h5")
    for key in ACROSS:
        assert_same_bits(array[key], take(values, expand(key, 2)))


@pytest.mark.usefixtures("only_engine")
@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "compression_opts": 1}], ids=str)
def test_chunks_larger_than_what_a_thread_keeps_lie_beside_each_other(tmp_path: Path, options: dict[str, Any]) -> None:
    side = 2048
    assert side * side * 2 >= chunk.BUFFER_BYTES
    values = np.zeros((side, 2 * side), "u2")
    values[::100, ::100] = np.arange(21 * 41).reshape(21, 41)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(side, side), **options)
    assert np.array_equal(lazy(tmp_path / "f.h5")[...], values)


class _ReadsItself(io.FileIO):
    """A file object that gives half of what is wanted at a time, and reads something else by itself behind that."""

    other: LazyArray | None = None

    def readinto(self, buffer: Any, /) -> int | None:
        if self.other is None:
            return super().readinto(buffer)
        found = super().readinto(memoryview(buffer)[: -(-len(buffer) // 2)])
        self.other[...], self.other[0, 0]
        return found


@pytest.mark.parametrize("sizes", [((64, 96), (64, 96)), ((64, 96), (640, 96)), ((640, 96), (64, 96))], ids=str)
def test_a_read_within_a_read_has_memory_of_its_own(tmp_path: Path, sizes: Any) -> None:
    for name, shape in zip(("outer.h5", "inner.h5"), sizes, strict=True):
        with h5py.File(tmp_path / name, "w") as file:
            file.create_dataset("data", data=counts(shape), chunks=(shape[0], 32), compression="gzip")
    with _ReadsItself(tmp_path / "outer.h5") as stream:
        alone = File(cast(Any, stream), policy=ReadingPolicy(num_threads=1))
        array = LazyArray(alone, "/data", sizes[0], np.dtype("u2"))
        array[0, 0]  # from now on only values are read
        stream.other = lazy(tmp_path / "inner.h5", num_threads=1)
        for key in ACROSS:
            assert_same_bits(array[key], take(counts(sizes[0]), expand(key, 2)))


# --- what is touched -------------------------------------------------------------------------------------------


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The chunks that are decoded meanwhile."""
    return recorded(monkeypatch, chunk.ChunkReader, "decode")


@pytest.mark.parametrize(
    ("key", "chunks"),
    [
        ((0, 0, 0), 1),
        ((slice(0, 2), slice(0, 8)), 1),
        ((slice(1, 3), slice(None)), 2 * 3),
        ((slice(None), 0, slice(None, None, -1)), 4),
        (([0, 6, 0, 1], [7, 0], slice(3, 4)), 2),
        ((slice(None, None, 4), slice(None, None, 9)), 2 * 3),
        ((slice(3, 3),), 0),
    ],
    ids=str,
)
def test_only_touched_chunks_are_decoded_each_once(
    tmp_path: Path, decoded: list[tuple[Any, ...]], key: Any, chunks: int
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=counts(SHAPE), chunks=CHUNKS, compression="gzip")
    lazy(tmp_path / "f.h5")[key]
    assert len(decoded) == chunks


def test_little_pieces_of_a_chunk_decode_it_once(tmp_path: Path, decoded: list[tuple[Any, ...]]) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=counts(SHAPE), chunks=CHUNKS, compression="gzip")
    array = lazy(tmp_path / "f.h5")
    assert [array[0, 0, column] for column in range(33)] == counts(SHAPE)[0, 0].tolist()
    assert len(decoded) == 1


def test_of_chunks_without_filters_only_what_is_asked_for_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=np.zeros((8, 100, 100)), chunks=(1, 100, 100))
    filled = recorded(monkeypatch, chunk.ChunkReader, "fill")
    lazy(tmp_path / "f.h5")[3, 50, 20:30]
    lazy(tmp_path / "f.h5")[:, 50, 20:30]
    assert [len(view) for _, view, _ in filled] == [80] * 9


# --- the index -------------------------------------------------------------------------------------------------


def test_an_index_takes_at_most_24_bytes_a_chunk(tmp_path: Path) -> None:
    for rows in (slice(None), slice(0, 3000)):
        write_indexed(tmp_path / "f.h5", counts((4000, 4)), (1, 4), written=rows, compression="gzip")
        array = lazy(tmp_path / "f.h5")
        with array.file.source() as source:
            found = known_layouts.layout_of(array.file, array.path, source)
        assert isinstance(found, layouts.StoredLayout)
        assert found.nbytes <= 24 * len(range(4000)[rows])


def test_an_index_is_built_on_the_first_read_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=counts(SHAPE), chunks=CHUNKS, compression="gzip")
    built = recorded(monkeypatch, layout_reading, "build_index")
    array = lazy(tmp_path / "f.h5")
    assert not built
    for _ in range(3):
        array[2]
    lazy(tmp_path / "f.h5")[...]
    assert len(built) == 1


def test_decoders_are_found_whoever_registered_the_filters() -> None:
    """NetCDF4 brings filters for libhdf5 too, and hdf5plugin leaves these as they are."""
    code = """
import netCDF4
from nexus_xr.hdf5.filters.registry import CODECS, decoder
assert all(decoder(number, (0, 0, 2, 0, 2), 1 << 20) for number, codec in CODECS.items() if codec.decode)
"""
    run(code)


def test_every_filter_of_hdf5plugin_is_known() -> None:
    """A filter that a new version brings is to be looked at: is it safe with damaged data?"""
    outside = {number for name, number in hdf5plugin.FILTERS.items() if CODECS[number].decode is None}
    assert outside == {hdf5plugin.FILTERS[name] for name in ("zfp", "sz", "sz3", "sperr", "fcidecomp", "htj2k")}
    for name, options in LOSSLESS.items():
        with h5py.File(f"{name}.h5", "w", driver="core", backing_store=False) as file:
            stored = file.create_dataset("x", (8, 8), "u2", chunks=(8, 8), **options)
            for step in filters_of(stored.id.get_create_plist()):
                assert decoder(step.id, step.options, 128) is not None, name
