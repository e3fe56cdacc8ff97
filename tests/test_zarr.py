"""Any file as a Zarr store: what zarr and xarray read of it is what h5py and this package's engine read."""

from __future__ import annotations

import asyncio
import json
import pickle
import warnings
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5d, h5p, h5s, h5t, h5z
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import nexus_xr
from benchmarks.serving import RangeServer
from nexus_xr import NexusError, NexusFileError, NexusWarning
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.reading.engine.chunk import ChunkReader
from nexus_xr.zarr import chunks as zarr_chunks
from nexus_xr.zarr import view
from nexus_xr.zarr.codecs.chain import documents, native_chain

from .arrays import assert_same_bits, h5py_values, lazy, native
from .calls import recorded
from .corpus import corpus_files
from .files import Field, Write, nxdata, nxentry, scan_file, write_tree
from .processes import run
from .stacks import LOSSLESS, ONLY_LIBHDF5, counts, write_raw

zarr = pytest.importorskip("zarr")
numcodecs = pytest.importorskip("numcodecs")

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest  # noqa: E402
from zarr.core.buffer import default_buffer_prototype  # noqa: E402

SHAPE, CHUNKS = (7, 20, 33), (2, 8, 33)
# Of the table of filters, those whose chunks have to be decoded and encoded anew.
ENCODED_ANEW = ["lzf", "lzf+shuffle", "bzip2", "bitshuffle", *(name for name in LOSSLESS if name.startswith("blosc2"))]
NATIVE = ["gzip", "gzip+shuffle", "gzip+shuffle+fletcher32", "shuffle", "fletcher32"]


def read(path: Path | str, name: str = "data", **options: Any) -> Any:
    """All values of an array as zarr reads them."""
    return zarr.open_array(nexus_xr.zarr_store(path, **options), path=name, mode="r")[...]


def value(store: Any, key: str, byte_range: Any = None) -> bytes | None:
    """The value of a key of a store."""
    found = asyncio.run(store.get(key, default_buffer_prototype(), byte_range))
    return None if found is None else bytes(found.to_bytes())


async def _collected(found: Any) -> list[str]:
    return [each async for each in found]


def document(path: Path, name: str) -> dict[str, Any]:
    """The metadata of a group or array."""
    found = value(nexus_xr.zarr_store(path), f"{name}/zarr.json")
    assert found is not None
    decoded: dict[str, Any] = json.loads(found)
    return decoded


@pytest.fixture
def only_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a chunk is encoded anew."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("a chunk was encoded anew")

    monkeypatch.setattr(zarr_chunks, "encoded", refuse)


# --- chunks as they are stored ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("only_passed_on")
@pytest.mark.parametrize("dtype", ["<u2", ">f8", "i1"])
@pytest.mark.parametrize("name", [name for name in LOSSLESS if name not in ENCODED_ANEW])
def test_chunks_are_passed_on_without_being_decoded(tmp_path: Path, name: str, dtype: str) -> None:
    values = counts(SHAPE).astype(dtype)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=CHUNKS, **LOSSLESS[name])
    assert_same_bits(read(tmp_path / "f.h5"), native(values))
    assert_same_bits(read(tmp_path / "f.h5", verify=True), native(values))


@pytest.mark.parametrize("name", [*ENCODED_ANEW, "szip", "scale-offset"])
def test_chunks_of_other_filters_are_encoded_anew(tmp_path: Path, name: str) -> None:
    options = (LOSSLESS | ONLY_LIBHDF5)[name]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=counts(SHAPE), chunks=CHUNKS, **options)
    assert_same_bits(read(tmp_path / "f.h5"), h5py_values(tmp_path / "f.h5"))
    assert [codec["name"] for codec in document(tmp_path / "f.h5", "data")["codecs"]] == ["bytes", "blosc"]


@pytest.mark.usefixtures("only_passed_on")
@pytest.mark.parametrize("name", NATIVE)
def test_native_codecs_give_the_bytes_as_they_are_stored(tmp_path: Path, name: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", data=counts(SHAPE), chunks=CHUNKS, **LOSSLESS[name])
        _, stored = dataset.id.read_direct_chunk((2, 8, 0))
    store = nexus_xr.zarr_store(tmp_path / "f.h5", codecs="native")
    assert value(store, "data/c/1/1/0") == stored
    assert_same_bits(read(tmp_path / "f.h5", codecs="native"), counts(SHAPE))


WIDE = (1, 1065, 1030)  # whose elements are no multiple of 8, of a detector that there is


@pytest.mark.usefixtures("only_passed_on")
@pytest.mark.parametrize("name", ["bitshuffle+lz4", "bitshuffle+zstd"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", "<u4"])
def test_frames_whose_elements_are_no_multiple_of_8_are_passed_on(tmp_path: Path, name: str, dtype: str) -> None:
    values = counts((2, *WIDE[1:])).astype(dtype)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=WIDE, **LOSSLESS[name])
    assert_same_bits(read(tmp_path / "f.h5"), values)


_PIPELINES = [*(LOSSLESS[name] for name in LOSSLESS if not name.startswith("blosc2")), LOSSLESS["blosc2 lz4 1"]]
_NUMBERS = st.sampled_from(["<u2", ">u2", "i1", "<u4", ">i8", "<f2", "<f4", ">f8", "<c8"]).map(np.dtype)


@st.composite
def _arrays(draw: st.DrawFn) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Values with runs or noise, and the shape of their chunks."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=40))
    chunks = tuple(draw(st.integers(1, size + 3)) for size in shape)
    dtype = draw(_NUMBERS)
    random = np.random.default_rng(draw(st.integers(0, 99)))
    if draw(st.booleans()):
        return random.integers(0, 256, (*shape, dtype.itemsize), "u1").view(dtype)[..., 0], chunks
    return random.poisson(3, shape).astype(dtype), chunks


@given(_arrays(), st.sampled_from(_PIPELINES), st.sampled_from(["core", "native"]), st.booleans(), st.data())
def test_any_pipeline_reads_as_h5py_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[NDArray[Any], tuple[int, ...]],
    options: Mapping[str, Any],
    codecs: str,
    verify: bool,
    data: st.DataObject,
) -> None:
    values, chunks = drawn
    path = tmp_path_factory.mktemp("any") / "f.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset(
            "data", values.shape, values.dtype, chunks=chunks, maxshape=(None,) * values.ndim, **options
        )
        written = data.draw(st.sampled_from([values.shape[0], values.shape[0] // 2]))
        dataset[:written] = values[:written]
        _leave_filters_out(dataset, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of zarr, about numcodecs in its version 3
        assert_same_bits(read(path, codecs=codecs, verify=verify), native(h5py_values(path)))


# Filters that need no more than what stands in the file to be applied again.
_PLAIN = {1, 2, 3}


def _leave_filters_out(dataset: h5py.Dataset, data: st.DataObject) -> None:
    """Store the first chunk without some of its filters, or without all of them."""
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(number) for number in range(properties.get_nfilters())]
    masks = range(1, 1 << len(filters)) if {code for code, *_ in filters} <= _PLAIN else [(1 << len(filters)) - 1]
    mask = data.draw(st.sampled_from([0, *masks]))
    if not filters or not mask:
        return
    kept = [(code, options) for number, (code, _, options, _) in enumerate(filters) if not mask >> number & 1]
    values = np.resize(dataset[tuple(map(slice, dataset.chunks))], dataset.chunks)
    path = Path(dataset.file.filename).with_name("kept.h5")
    write_raw(path, values, dataset.chunks, kept)
    with h5py.File(path) as file:
        _, stored = file["data"].id.read_direct_chunk((0,) * dataset.ndim)
    dataset.id.write_direct_chunk((0,) * dataset.ndim, stored, mask)


def test_a_chunk_that_only_skipped_its_compressor_is_passed_on(tmp_path: Path, only_passed_on: None) -> None:
    values = counts((64,))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", (64,), "u2", chunks=(64,), compression="gzip", shuffle=True)
        dataset.id.write_direct_chunk((0,), values.view("u1").reshape(-1, 2).T.tobytes(), 0b10)
    assert_same_bits(read(tmp_path / "f.h5"), values)


def test_filters_in_an_order_that_zarr_has_not_are_undone(tmp_path: Path) -> None:
    values = counts((6, 40))
    write_raw(tmp_path / "f.h5", values, (3, 40), [(3, ()), (1, (4,)), (2, (2,))])
    assert_same_bits(read(tmp_path / "f.h5"), values)
    assert_same_bits(read(tmp_path / "f.h5", codecs="native"), values)


ZSTD, DEFLATE = 32015, 1


@pytest.mark.parametrize("codecs", ["core", "native"])
@pytest.mark.parametrize(
    ("number", "level", "told"),
    [
        (ZSTD, 2**32 - 5, -5),
        (ZSTD, 2**31, -(2**17)),
        (ZSTD, 22, 22),
        (ZSTD, 23, 22),
        (DEFLATE, 9, 9),
        (DEFLATE, 10, 9),
        (DEFLATE, 2**32 - 1, 0),
    ],
)
def test_levels_that_readers_of_zarr_refuse_keep_nothing_from_being_read(
    tmp_path: Path, codecs: str, number: int, level: int, told: int
) -> None:
    values = counts((6, 40))
    encode = zlib.compress if number == DEFLATE else numcodecs.Zstd().encode
    with h5py.File(tmp_path / "f.h5", "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((3, 40))
        properties.set_filter(number, h5z.FLAG_OPTIONAL, (level,))
        made = h5d.create(file.id, b"data", h5t.NATIVE_UINT16, h5s.create_simple(values.shape), properties)
        for row in (0, 3):
            made.write_direct_chunk((row, 0), encode(values[row : row + 3].tobytes()))
        file["beside"] = np.arange(5)
    store = nexus_xr.zarr_store(tmp_path / "f.h5", codecs=codecs)
    group = zarr.open_group(store, mode="r")
    assert_same_bits(group["beside"][...], np.arange(5))
    assert_same_bits(group["data"][...], values)
    [codec] = json.loads(value(store, "data/zarr.json") or b"")["codecs"][1:]
    assert codec["name"] == "blosc" or codec["configuration"]["level"] == told


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Filter(2, "shuffle", (0,)), {"elementsize": 1}),
        (Filter(32001, "blosc", (2, 2, 0, 240, 5, 1, 1)), {"typesize": 1}),
        (Filter(32001, "blosc", (2, 2, 255, 240, 5, 1, 1)), {"typesize": 255}),
        (Filter(32001, "blosc", (2, 2, 256, 240, 5, 1, 1)), {"typesize": 1}),
    ],
)
def test_widths_that_readers_of_zarr_refuse_are_those_of_bytes(step: Filter, told: dict[str, int]) -> None:
    chain = native_chain((step,), 240)
    assert chain is not None
    [codec] = documents(chain)
    assert codec["configuration"].items() >= told.items()


# --- what isn't stored, and what is damaged -----------------------------------------------------------------------


@pytest.mark.parametrize("fill", [7, np.nan, np.inf, -0.0, np.array(0x7FC00123, "u4").view("f4")[()]])
def test_chunks_that_are_not_stored_are_missing_keys_and_read_as_the_fill_value(tmp_path: Path, fill: Any) -> None:
    dtype = np.dtype("f4") if isinstance(fill, float | np.floating) else np.dtype("u2")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        dataset = file.create_dataset("data", (4, 6), dtype, chunks=(2, 6), fillvalue=fill)
        dataset[2:] = 1
        file.create_dataset("nowhere", (3,), dtype, fillvalue=fill)
    store = nexus_xr.zarr_store(tmp_path / "f.h5")
    assert value(store, "data/c/0/0") is None
    assert not asyncio.run(store.exists("data/c/0/0"))
    assert asyncio.run(_collected(store.list_prefix("data/c"))) == ["data/c/1/0"]
    for name in ("data", "nowhere"):
        assert_same_bits(read(tmp_path / "f.h5", name), h5py_values(tmp_path / "f.h5", name))


def _damaged(path: Path, **options: Any) -> None:
    """Write a dataset and spoil the middle of its second chunk."""
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", data=counts((4, 50)), chunks=(2, 50), **options)
        where = dataset.id.get_chunk_info(1)
    with path.open("r+b") as raw:
        raw.seek(where.byte_offset + where.size // 2)
        spoilt = bytes(each ^ 0x5A for each in raw.read(4))
        raw.seek(where.byte_offset + where.size // 2)
        raw.write(spoilt)


@pytest.mark.parametrize("options", [{"fletcher32": True}, {"compression": "gzip"}], ids=str)
def test_a_damaged_chunk_is_an_error_that_names_it_where_it_is_verified(
    tmp_path: Path, options: Mapping[str, Any]
) -> None:
    _damaged(tmp_path / "f.h5", **options)
    store = nexus_xr.zarr_store(tmp_path / "f.h5", verify=True)
    assert value(store, "data/c/0/0") is not None
    with pytest.raises(NexusFileError, match=r"f\.h5:/data.*chunk \(1, 0\).*damaged"):
        value(store, "data/c/1/0")


@given(st.sampled_from(_PIPELINES), st.integers(0, 99), st.lists(st.integers(0, 2**16), min_size=1, max_size=3))
def test_a_damaged_chunk_is_an_error_or_what_the_engine_makes_of_it(
    tmp_path_factory: pytest.TempPathFactory, options: Mapping[str, Any], seed: int, places: list[int]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "f.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", data=counts((1, 40, 50), seed), chunks=(1, 40, 50), **options)
        where = dataset.id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    for place in places:
        content[where.byte_offset + place % where.size] ^= 1 << place % 8
    path.write_bytes(content)
    with suppress(NexusFileError):  # of what has to be decoded anyway
        assert value(nexus_xr.zarr_store(path), "data/c/0/0/0") is not None
    try:
        expected = lazy(path)[...]
    except NexusFileError:
        with pytest.raises(NexusFileError, match=r"chunk \(0, 0, 0\)"):
            value(nexus_xr.zarr_store(path, verify=True), "data/c/0/0/0")
        return
    assert_same_bits(read(path, verify=True), expected)


def test_a_damaged_chunk_is_never_a_missing_one(tmp_path: Path) -> None:
    _damaged(tmp_path / "f.h5", compression="gzip")
    assert value(nexus_xr.zarr_store(tmp_path / "f.h5"), "data/c/1/0") is not None
    with pytest.raises(RuntimeError, match="decompression"):
        read(tmp_path / "f.h5")


def test_a_file_that_changed_since_is_an_error_and_no_missing_chunk(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=counts((4, 50)), chunks=(2, 50), compression="gzip")
    store = nexus_xr.zarr_store(path)
    assert value(store, "data/c/1/0") is not None
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(NexusFileError, match="changed"):
        value(store, "data/c/1/0")


# --- what is an array ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.float16(1.5),
        np.array([True, False]),
        np.zeros((0, 4), "f8"),
        np.array([1 + 2j, 3 - 4j], ">c16"),
        np.arange(24, dtype="u1").reshape(2, 3, 4),
    ],
    ids=lambda values: f"{values.dtype}{values.shape}",
)
def test_contiguous_values_and_single_ones_are_arrays(write: Write, values: NDArray[Any]) -> None:
    path = write({"data": values})
    assert_same_bits(read(path), native(values))


def test_contiguous_values_are_cut_into_frames(write: Write) -> None:
    path = write({"data": np.arange(40 * 700 * 600, dtype="u2").reshape(40, 700, 600)})
    assert document(path, "data")["chunk_grid"]["configuration"]["chunk_shape"] == [14, 700, 600]
    array = zarr.open_array(nexus_xr.zarr_store(path), path="data", mode="r")
    np.testing.assert_array_equal(array[13:29, 5], h5py_values(path)[13:29, 5])


def test_enumerations_and_arrays_of_arrays_are_numbers(tmp_path: Path) -> None:
    state = h5py.enum_dtype({"off": 0, "on": 1}, "i2")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("state", data=np.array([1, 0, 1], "i2"), dtype=state)
        file.create_dataset("array", (5,), np.dtype(("<f4", (2, 3))), chunks=(2,), compression="gzip")
        file["array"][...] = np.arange(30, dtype="f4").reshape(5, 2, 3)
    assert_same_bits(read(tmp_path / "f.h5", "state"), np.array([1, 0, 1], "i2"))
    assert_same_bits(read(tmp_path / "f.h5", "array"), np.arange(30, dtype="f4").reshape(5, 2, 3))


@pytest.mark.parametrize("dtype", ["S5", h5py.string_dtype(), h5py.string_dtype("ascii", 9)], ids=str)
@pytest.mark.filterwarnings("ignore:The data type")
def test_text_is_text(tmp_path: Path, dtype: Any) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("words", data=np.array([b"a", "µm".encode(), b""]), dtype=dtype, chunks=(2,))
        file["title"] = "a scan"
    assert read(tmp_path / "f.h5", "words").tolist() == ["a", "µm", ""]
    assert read(tmp_path / "f.h5", "title") == "a scan"
    assert document(tmp_path / "f.h5", "words")["data_type"] == "string"


def test_compounds_are_groups_of_their_members(tmp_path: Path) -> None:
    dtype = np.dtype([("x", "<i4"), ("in", [("z", ">f8", (3,)), ("name", "S4")])])
    table = np.zeros(5, dtype)
    table["x"], table["in"]["z"], table["in"]["name"] = range(5), np.arange(15).reshape(5, 3), b"ab"
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("table", data=table, chunks=(2,), compression="gzip").attrs["note"] = "of five"
    store = nexus_xr.zarr_store(tmp_path / "f.h5")
    group = zarr.open_group(store, path="table", mode="r")
    assert dict(group.attrs) == {"note": "of five"}
    np.testing.assert_array_equal(group["x"][:], table["x"])
    np.testing.assert_array_equal(group["in/z"][:], table["in"]["z"])
    assert group["in/name"][:].tolist() == ["ab"] * 5
    assert group["in/z"].metadata.dimension_names == ("dim_0", "z_dim_0")


@pytest.mark.parametrize(("rest", "rows", "chunk"), [("u1", 600, 600), ("(4194300,)u1", 6, 3)])
def test_members_are_in_chunks_of_as_many_rows_as_are_read_at_once(
    tmp_path: Path, rest: str, rows: int, chunk: int
) -> None:
    """Up to 16 MiB with all that is in a row, as that is read for every member."""
    table = np.zeros(rows, [("n", "i4"), ("rest", rest)])
    table["n"] = np.arange(rows)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("table", data=table, chunks=(1,))
    member = zarr.open_array(nexus_xr.zarr_store(tmp_path / "f.h5"), path="table/n", mode="r")
    assert member.chunks == (chunk,)
    np.testing.assert_array_equal(member[:], np.arange(rows))


def test_what_zarr_has_no_type_for_is_left_out_with_a_warning(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["wide"] = np.zeros(3, "g")
        file["opaque"] = np.zeros(3, "V5")
        file.create_dataset("lists", (3,), h5py.vlen_dtype("f4"))
        file["nothing"] = h5py.Empty("f4")
        file["counts"] = np.arange(3)
    with pytest.warns(NexusWarning, match=r"/wide: has elements of type float128; it is left out") as caught:
        store = nexus_xr.zarr_store(tmp_path / "f.h5")
    diagnostics = caught[0].message.diagnostics  # type: ignore[union-attr]
    assert {each.path: each.code for each in diagnostics} == dict.fromkeys(
        ["/wide", "/opaque", "/lists", "/nothing"], "no-zarr-type"
    )
    assert set(zarr.open_group(store, mode="r").keys()) == {"counts"}


def test_what_has_a_name_that_keys_have_another_meaning_for_is_left_out_with_a_warning(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["zarr.json/x"] = np.arange(3)
        file["group/.."] = np.arange(3)
        file["group/a\\b"] = np.arange(3)
        file["table"] = np.zeros(3, [("a/b", "i4"), ("c", "i4")])
    with pytest.warns(NexusWarning, match=r"Zarr has no place for the name 'a/b'; it is left out") as caught:
        store = nexus_xr.zarr_store(tmp_path / "f.h5")
    paths = {each.path for each in caught[0].message.diagnostics}  # type: ignore[union-attr]
    assert paths == {"/zarr.json", "/group/..", "/group/a\\b", "/table"}
    assert list(store.view.hierarchy.arrays) == ["table/c"]
    assert list(zarr.open_group(store, mode="r")["group"].keys()) == []


def test_dimensions_are_left_out_where_there_are_none(write: Write) -> None:
    path = write({"counts": np.arange(3), "distance": 1.5})
    assert "dimension_names" not in document(path, "distance")
    assert document(path, "counts")["dimension_names"] == ["counts_dim_0"]


def test_links_lead_to_copies_and_circles_end(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_dataset("frames", data=counts((4, 6)), chunks=(1, 6), compression="gzip")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["entry/frames"] = h5py.ExternalLink("other.h5", "/frames")
        file["entry/again"] = h5py.SoftLink("/entry")
        file["same"] = file["entry"]
    store = nexus_xr.zarr_store(tmp_path / "f.h5")
    assert set(store.view.hierarchy.arrays) == {"entry/frames", "same/frames"}
    assert_same_bits(read(tmp_path / "f.h5", "same/frames"), counts((4, 6)))


def test_attributes_are_json_that_every_reader_knows(write: Write) -> None:
    attributes = {
        "units": "mm",
        "limits": [0.0, np.nan, -np.inf],
        "many": np.linspace(0, 1, 5, dtype=">f4"),
        "long": np.longdouble(1.5),
        "longs": np.array([1.5, np.nan], "longdouble"),
        "long complex": np.clongdouble(1 + 2j),
        "count": np.uint64(2**63),
        "words": ["a", "b"],
        "nothing": h5py.Empty("f4"),
        "complex": 1 + 2j,
        "flag": True,
    }
    path = write({"data": Field(np.arange(3), attributes)})
    assert document(path, "data")["attributes"] == {
        "units": "mm",
        "limits": [0.0, "NaN", "-Infinity"],
        "many": [0.0, 0.25, 0.5, 0.75, 1.0],
        "long": 1.5,
        "longs": [1.5, "NaN"],
        "long complex": [1.0, 2.0],
        "count": 2**63,
        "words": ["a", "b"],
        "nothing": None,
        "complex": [1.0, 2.0],
        "flag": True,
    }


def test_opaque_attributes_are_left_out_with_a_warning(tmp_path: Path) -> None:
    opaque = {
        "one": np.void(b"\0\xff"),
        "several": np.zeros(2, "V3"),
        "within": np.zeros(1, [("n", "i4"), ("v", [("raw", "V2", (2,))])])[0],
    }
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["entry/counts"] = np.arange(3)
        for item in (file["entry"], file["entry/counts"]):
            item.attrs.update(opaque, kept=np.array((4, b"ab"), "i4,S3")[()])
    with pytest.warns(NexusWarning, match=r"/entry: attribute 'one' is opaque, .*; it is left out") as caught:
        store = nexus_xr.zarr_store(tmp_path / "f.h5")
    diagnostics = caught[0].message.diagnostics  # type: ignore[union-attr]
    assert sorted(each.path for each in diagnostics) == ["/entry"] * 3 + ["/entry/counts"] * 3
    entry = zarr.open_group(store, path="entry", mode="r")
    assert dict(entry.attrs) == dict(entry["counts"].attrs) == {"kept": {"f0": 4, "f1": "ab"}}


# --- virtual datasets and segments --------------------------------------------------------------------------------


def write_sources(folder: Path, chunks: tuple[int, ...], lengths: tuple[int, ...] = (3, 2)) -> NDArray[Any]:
    """A virtual dataset of stacks one behind the other; gives its values."""
    layout = h5py.VirtualLayout((sum(lengths), 6, 8), "u2", None)
    begin, values = 0, []
    for number, length in enumerate(lengths):
        values.append(counts((length, 6, 8), number))
        with h5py.File(folder / f"source_{number}.h5", "w") as file:
            file.create_dataset("data", data=values[-1], chunks=chunks, compression="gzip", shuffle=True)
        layout[begin : begin + length] = h5py.VirtualSource(f"source_{number}.h5", "data", (length, 6, 8))
        begin += length
    with h5py.File(folder / "f.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=9)
    return np.concatenate(values)


@pytest.mark.usefixtures("only_passed_on")
def test_chunks_of_sources_are_those_of_a_virtual_dataset(tmp_path: Path) -> None:
    values = write_sources(tmp_path, (1, 6, 8))
    assert_same_bits(read(tmp_path / "f.h5"), values)


@pytest.mark.parametrize("chunks", [(2, 6, 8), (1, 4, 8)])
def test_a_virtual_dataset_off_the_grid_of_its_sources_is_put_together(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    values = write_sources(tmp_path, chunks)
    assert_same_bits(read(tmp_path / "f.h5"), values)


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_sources_that_are_missing_read_as_fill_values(tmp_path: Path) -> None:
    values = write_sources(tmp_path, (1, 6, 8))
    (tmp_path / "source_1.h5").unlink()
    values[3:] = 9
    assert_same_bits(read(tmp_path / "f.h5"), values)


@pytest.mark.parametrize("missing", ["file", "dataset", "linked file"])
@pytest.mark.parametrize("frames", [1, 2])
def test_chunks_whose_sources_are_all_missing_are_missing_keys(tmp_path: Path, missing: str, frames: int) -> None:
    """Blocks of one frame lie in one of the two sources, those of two frames also in both."""
    values = write_sources(tmp_path, (frames, 6, 8), (3, 5))
    if missing == "file":
        (tmp_path / "source_1.h5").unlink()
    else:
        with h5py.File(tmp_path / "source_1.h5", "a") as file:
            del file["data"]
            if missing == "linked file":
                file["data"] = h5py.ExternalLink("gone.h5", "data")
    values[3:] = 9
    with pytest.warns(NexusWarning, match=r"reads as fill values where its sources are missing.*source_1\.h5"):
        nexus_xr.to_zarr(tmp_path / "f.h5", tmp_path / "f.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NexusWarning)
        store = nexus_xr.zarr_store(tmp_path / "f.h5")
    array = zarr.open_array(store, path="data", mode="r")
    assert array.chunks == (frames, 6, 8)
    stored = [f"data/c/{number}/0/0" for number in range(3 if frames == 1 else 2)]
    assert sorted(key for key in store.view.keys_with("data/c") if store.view.has(key)) == stored
    assert sorted(key for key in store.view.keys_with("data/c") if store.view.value(key) is not None) == stored
    assert sorted(str(each.relative_to(tmp_path / "f.zarr")) for each in tmp_path.glob("f.zarr/data/c/*/*/*")) == stored
    assert_same_bits(array[:], values)
    assert_same_bits(zarr.open_array(tmp_path / "f.zarr", path="data", mode="r")[:], values)


@pytest.mark.parametrize("short", [0, 1])
def test_sources_that_are_short_are_told_of(tmp_path: Path, short: int) -> None:
    """That is as the first source is described, or as another is read."""
    values = write_sources(tmp_path, (1, 6, 8), (3, 5))
    with h5py.File(tmp_path / f"source_{short}.h5", "w") as file:
        kept = values[3 * short : 3 * short + 2]
        file.create_dataset("data", data=kept, chunks=(1, 6, 8), compression="gzip", shuffle=True)
    expected = values.copy()
    expected[2:3] = expected[2:3] if short else 9
    expected[5:] = 9 if short else expected[5:]
    with pytest.warns(
        NexusWarning, match=rf"behind the end of its sources.*source_{short}\.h5:data of shape \(2, 6, 8\)"
    ):
        nexus_xr.to_zarr(tmp_path / "f.h5", tmp_path / "f.zarr")
    assert_same_bits(zarr.open_array(tmp_path / "f.zarr", path="data", mode="r")[:], expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NexusWarning)
        store = nexus_xr.zarr_store(tmp_path / "f.h5")
    assert_same_bits(zarr.open_array(store, path="data", mode="r")[:], expected)


def test_a_source_that_is_gone_since_is_an_error_and_no_missing_key(tmp_path: Path) -> None:
    write_sources(tmp_path, (1, 6, 8))
    store = nexus_xr.zarr_store(tmp_path / "f.h5")
    (tmp_path / "source_1.h5").unlink()
    assert store.view.has("data/c/4/0/0")
    with pytest.raises(NexusFileError, match=r"source_1\.h5: there is no such file; .*put it where it was"):
        store.view.value("data/c/4/0/0")


@pytest.mark.usefixtures("only_passed_on")
def test_frames_in_files_of_their_own_are_passed_on(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((3, 6, 8), "u2")
    for number in range(3):
        with h5py.File(tmp_path / f"frame_{number}.h5", "w") as file:
            file.create_dataset("data", data=counts((6, 8), number), chunks=(6, 8), compression="gzip")
        layout[number] = h5py.VirtualSource(f"frame_{number}.h5", "data", (6, 8))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    assert_same_bits(read(tmp_path / "f.h5"), np.stack([counts((6, 8), number) for number in range(3)]))


@st.composite
def _mapped(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Length, chunk, stride and two starts of what is mapped along a dimension."""
    length, stride = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    return length, draw(st.integers(1, 6)), stride, draw(st.integers(0, 5)), draw(st.integers(0, 5))


@given(_mapped(), st.sampled_from(["core", "native"]))
@pytest.mark.filterwarnings("ignore")
def test_any_mapping_reads_as_h5py_reads_it(
    tmp_path_factory: pytest.TempPathFactory, drawn: tuple[int, int, int, int, int], codecs: str
) -> None:
    length, chunk, stride, source_start, start = drawn
    folder = tmp_path_factory.mktemp("mapping")
    size = source_start + length * stride
    with h5py.File(folder / "source.h5", "w") as file:
        file.create_dataset("data", data=counts((size, 4)), chunks=(min(chunk, size), 4), compression="gzip")
    layout = h5py.VirtualLayout((start + length + 2, 4), "u2")
    source = h5py.VirtualSource(folder / "source.h5", "data", (size, 4))
    layout[start : start + length] = source[source_start : source_start + length * stride : stride]
    with h5py.File(folder / "f.h5", "w") as file:
        file.create_virtual_dataset("data", layout, fillvalue=5)
    assert_same_bits(read(folder / "f.h5", codecs=codecs), h5py_values(folder / "f.h5"))


@pytest.mark.usefixtures("only_passed_on")
def test_segments_are_one_array_whose_chunks_are_passed_on(tmp_path: Path) -> None:
    for number in (1, 2):
        with h5py.File(tmp_path / f"part_{number}.h5", "w") as file:
            file.create_dataset("data", data=counts((3, 6, 8), number), chunks=(1, 6, 8), compression="gzip")
    links = {f"data_{number:06}": h5py.ExternalLink(f"part_{number}.h5", "/data") for number in (1, 2)}
    write_tree(tmp_path / "f.h5", {"entry": nxentry({"data": nxdata(links)})})
    values = np.concatenate([counts((3, 6, 8), number) for number in (1, 2)])
    assert_same_bits(read(tmp_path / "f.h5", "entry/data/data"), values)
    store = nexus_xr.zarr_store(tmp_path / "f.h5")
    assert list(store.view.hierarchy.arrays) == ["entry/data/data"]
    assert list(xr.open_zarr(store, group="entry/data").variables) == ["data"]


# --- as xarray opens it -------------------------------------------------------------------------------------------


def assert_opens_alike(path: Path, group: str = "entry/data") -> xr.Dataset:
    """Compare what xarray opens through Zarr and through this package; gives the former."""
    there = xr.open_dataset(path, engine="nexus", group=group)
    compounds = [name for name, variable in there.variables.items() if variable.dtype.names]
    through_zarr: xr.Dataset = xr.open_zarr(nexus_xr.zarr_store(path), group=group)
    xr.testing.assert_equal(through_zarr, there.drop_vars(compounds))
    return through_zarr


def test_a_group_of_data_opens_as_with_the_engine(write: Write) -> None:
    opened = assert_opens_alike(write(scan_file()))
    assert opened["x"].attrs["units"] == "um"
    assert "title" not in opened  # which takes no part in the data


def test_what_takes_no_part_in_the_data_is_there_beside_it(write: Write) -> None:
    store = nexus_xr.zarr_store(write(scan_file()))
    assert zarr.open_array(store, path="entry/data/title", mode="r")[()] == "a map"
    everything = zarr.open_group(store, path="entry/data", mode="r", use_consolidated=False)
    assert "title" in set(everything.keys())
    assert "title" not in set(zarr.open_group(store, path="entry/data", mode="r").keys())


def test_what_takes_no_part_in_a_plain_group_has_dimensions_beside_those_of_its_data(write: Write) -> None:
    path = write({"g": {"data": np.zeros((3, 4)), "dim0": [0, 2], "dim1": [1, 1.5]}})
    opened = xr.open_zarr(nexus_xr.zarr_store(path), group="g")
    xr.testing.assert_equal(opened[["data"]], xr.open_dataset(path, engine="nexus", group="g"))
    assert opened["dim0"].dims == opened["dim1"].dims == ("dim_2",)


def test_what_takes_no_part_shares_dimensions_that_it_records(write: Write) -> None:
    recorded = {"_ARRAY_DIMENSIONS": ["x"]}
    fields = {"n": np.zeros((2, 3)), "x": np.arange(4.0), "fits": Field([1, 2, 3], recorded), "y": [1, 2]}
    path = write({"entry": nxdata({**fields, "edges": Field([1, 2, 3, 4], recorded)}, signal="n", axes=["y", "x"])})
    everything = zarr.open_group(nexus_xr.zarr_store(path), path="entry", mode="r", use_consolidated=False)
    assert everything["fits"].metadata.dimension_names == ("x",)
    assert everything["edges"].metadata.dimension_names == ("edges_dim_0",)


def assert_opens_as_tree(path: Path) -> xr.DataTree:
    """Open all groups of a file at once and each by itself, and compare; gives the tree."""
    store: Any = nexus_xr.zarr_store(path)
    tree = xr.open_datatree(store, engine="zarr")
    for node in tree.subtree:
        alone = xr.open_zarr(store, group=node.path.strip("/") or None, chunks=None)
        xr.testing.assert_identical(node.to_dataset(inherit=False), alone)
        for name in alone.variables:
            assert_same_bits(node.to_dataset()[name].values, alone[name].values)
    return tree


def dims_of(tree: xr.DataTree, path: str) -> dict[Any, tuple[Any, ...]]:
    node = tree[path]
    assert isinstance(node, xr.DataTree)
    return {name: each.dims for name, each in node.to_dataset(inherit=False).variables.items()}


def test_plain_groups_open_as_a_tree_whatever_lengths_they_have(write: Write) -> None:
    deeper = {"dim0": [0, 2, 5], "same": [1.0, 2.0, 3.0], "distance": [1.0, 2.0]}
    path = write({"g": {"data": np.zeros((3, 4)), "distance": [1.0], "meta": {"dim0": [0, 2], "deeper": deeper}}})
    tree = assert_opens_as_tree(path)
    assert dims_of(tree, "/g") == {"data": ("dim_0", "dim_1"), "distance": ("distance_dim_0",)}
    assert dims_of(tree, "/g/meta") == {"dim0": ("meta_dim_0",)}
    assert dims_of(tree, "/g/meta/deeper") == {  # the three rows of which are as many as those of the stack
        "dim0": ("dim_0",),
        "same": ("dim_0",),
        "distance": ("deeper_distance_dim_0",),
    }


def test_groups_around_data_yield_to_its_dimensions(write: Write) -> None:
    recorded = {"_ARRAY_DIMENSIONS": ["x"]}
    inner = {"y": Field(np.arange(3), recorded), "z": Field([7, 8], recorded)}
    stack = nxdata({"n": np.zeros(3), "x": np.arange(3.0), "below": inner}, signal="n", axes="x")
    scale = Field([7, 8], recorded)
    path = write({"entry": nxentry({"data": stack, "scale": scale, "entry_x": [1]}), "scale": scale})
    tree = assert_opens_as_tree(path)
    assert_opens_alike(path)
    assert dims_of(tree, "/") == {"scale": ("root_x",)}
    assert dims_of(tree, "/entry") == {"scale": ("entry_x_",), "entry_x": ("entry_x_dim_0",)}
    assert dims_of(tree, "/entry/data") == {"n": ("x",), "x": ("x",)}
    assert dims_of(tree, "/entry/data/below") == {"y": ("x",), "z": ("z_dim_0",)}


def test_no_index_takes_the_place_of_values_below(write: Write) -> None:
    recorded = {"_ARRAY_DIMENSIONS": ["x"]}
    upper = {"x": Field([1, 2, 3], recorded), "y": [1.0, 2.0], "z": [1, 2]}
    tree = assert_opens_as_tree(write({"g": {**upper, "h": {"x": 5.0}}, "i": {**upper, "j": {"y": [7.0]}}}))
    assert dims_of(tree, "/g")["x"] == ("g_x",)
    assert dims_of(tree, "/i")["x"] == ("x",)
    assert tree["/g/h"].to_dataset()["x"] == 5


def test_members_of_compounds_fit_what_is_above_them(write: Write) -> None:
    table = np.zeros(5, [("a", "i4"), ("in", [("z", "f4", (3,))])])
    path = write({"table_dim_0": np.zeros(4), "g": {"table": table, "z": np.zeros(2)}})
    tree = assert_opens_as_tree(path)
    assert tree["/g/table/in/z"].shape == (5, 3)


def test_data_in_data_keeps_its_dimensions(write: Write) -> None:
    inner = nxdata({"n": np.zeros(4), "x": np.arange(4.0)}, signal="n", axes="x")
    path = write({"entry": nxdata({"n": np.zeros(3), "x": np.arange(3.0), "in": inner}, signal="n", axes="x")})
    assert_opens_alike(path, "entry")
    assert_opens_alike(path, "entry/in")
    store: Any = nexus_xr.zarr_store(path)
    with pytest.raises(ValueError, match="not aligned with its parents"):
        xr.open_datatree(store, engine="zarr")


@pytest.mark.parametrize("dtype", ["i2", "u4", "i8", "f4", "f8"])
@pytest.mark.parametrize(("factor", "offset"), [(0.1, None), (None, 3.7), (0.1, 3.7), (-2.0, -5.0)])
def test_scaled_values_are_the_same_numbers(
    write: Write, dtype: str, factor: float | None, offset: float | None
) -> None:
    raw = np.array([0, 1, 7, 30_000, 12_345], dtype) * (2**40 + 1 if dtype == "i8" else 1)
    scaling = {"x_scaling_factor": factor, "x_offset": offset}
    fields = {"x": raw, "y": np.arange(5), **{name: each for name, each in scaling.items() if each is not None}}
    path = write({"entry": nxentry({"data": nxdata(fields, signal="x", axes="y")})})
    assert_same_bits(assert_opens_alike(path)["x"].values, xr.open_dataset(path, engine="nexus")["x"].values)


def test_edges_of_bins_are_centres_with_bounds(write: Write) -> None:
    fields = {"counts": np.arange(12).reshape(3, 4), "x": np.array([0, 1, 4, 9, 16]), "y": np.arange(3.0)}
    path = write({"entry": nxentry({"data": nxdata(fields, signal="counts", axes=["y", "x"])})})
    opened = assert_opens_alike(path)
    assert opened["x"].attrs["bounds"] == "x_bounds"
    np.testing.assert_array_equal(opened["x_bounds"], [[0, 1], [1, 4], [4, 9], [9, 16]])


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns"])
@pytest.mark.parametrize("kind", ["M8", "m8"])
def test_dates_and_lengths_of_time_are_decoded(tmp_path: Path, kind: str, unit: str) -> None:
    times = np.array([0, 1, 40_000, "NaT"], f"{kind}[{unit}]")
    dataset = xr.Dataset({"when": ("x", times)}, {"x": [1, 2, 3, 4]})
    nexus_xr.to_nexus(dataset, tmp_path / "f.nxs")
    [group] = nexus_xr.list_datasets(tmp_path / "f.nxs")[0]
    opened = assert_opens_alike(tmp_path / "f.nxs", group.strip("/"))
    assert opened["when"].dtype.kind == kind[0]


FILES = corpus_files()


@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", FILES or [None], ids=lambda path: getattr(path, "name", "absent"))
def test_real_files_open_alike(path: Path) -> None:
    for group in nexus_xr.list_datasets(path)[0]:
        if xr.open_dataset(path, engine="nexus", group=group).nbytes < 2**30:
            assert_opens_alike(path, group)


@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", FILES or [None], ids=lambda path: getattr(path, "name", "absent"))
def test_all_arrays_of_real_files_are_as_h5py_reads_them(path: Path) -> None:
    store = nexus_xr.zarr_store(path)
    with h5py.File(path) as file:
        for name, array in store.view.hierarchy.arrays.items():
            stored = None if array.stored is None or array.stored.layout is not None else file.get(array.stored.path)
            if isinstance(stored, h5py.Dataset) and stored.shape == array.shape and stored.nbytes < 2**28:
                assert_same_bits(zarr.open_array(store, path=name, mode="r")[...], native(stored[()]))


# --- the store ----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(write: Write) -> Any:
    return nexus_xr.zarr_store(write(scan_file()))


def test_the_store_is_only_read(store: Any) -> None:
    assert store.read_only
    for attempt in (store.set("a", default_buffer_prototype().buffer.from_bytes(b"")), store.delete("zarr.json")):
        with pytest.raises(NexusError, match="only read"):
            asyncio.run(attempt)
    with pytest.raises(NexusError, match="only read"):
        store.with_read_only(False)


def test_the_store_can_be_pickled_and_compared(store: Any, write: Write) -> None:
    again = pickle.loads(pickle.dumps(store))
    assert again == store
    assert hash(again) == hash(store)
    assert value(again, "entry/data/counts/c/0/0") == value(store, "entry/data/counts/c/0/0")
    assert store != nexus_xr.zarr_store(write(scan_file()), codecs="native")


def test_a_file_is_described_as_it_is_when_a_store_is_made(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["frames"] = h5py.ExternalLink("other.h5", "/frames")
    with pytest.warns(NexusWarning, match="other.h5"):
        before = nexus_xr.zarr_store(tmp_path / "f.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = np.arange(3)
    assert value(before, "frames/zarr.json") is None
    assert value(nexus_xr.zarr_store(tmp_path / "f.h5"), "frames/zarr.json") is not None


def test_a_copy_of_a_store_describes_the_file_once(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = recorded(monkeypatch, view, "read_hierarchy")
    copies = [pickle.loads(pickle.dumps(store)) for _ in range(3)]
    assert all(value(copy, "zarr.json") == value(store, "zarr.json") for copy in copies)
    assert not calls


def test_no_file_is_left_open(write: Write) -> None:
    path = write(scan_file())
    store = nexus_xr.zarr_store(path)
    for key in asyncio.run(_collected(store.list())):
        value(store, key)
    assert not [link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.samefile(path)]


def test_parts_of_a_value_are_given(store: Any) -> None:
    key = "entry/data/counts/c/0/0"
    whole = value(store, key)
    assert whole == np.arange(12, dtype="<u2").tobytes()
    assert value(store, key, RangeByteRequest(2, 9)) == whole[2:9]
    assert value(store, key, OffsetByteRequest(5)) == whole[5:]
    assert value(store, key, SuffixByteRequest(5)) == whole[-5:]
    assert value(store, key, SuffixByteRequest(500)) == whole
    parts = asyncio.run(store.get_partial_values(default_buffer_prototype(), [(key, None), ("nothing", None)]))
    assert [part and part.to_bytes() for part in parts] == [whole, None]


@pytest.mark.parametrize(
    "key", ["nothing", "entry/data/counts/c/0", "entry/data/counts/c/0/1", "entry/data/counts/c/00/0", "c/0", "entry"]
)
def test_other_keys_are_missing(store: Any, key: str) -> None:
    assert value(store, key) is None
    with pytest.raises(FileNotFoundError):
        asyncio.run(store.getsize(key))


def test_keys_are_listed(store: Any) -> None:
    assert asyncio.run(_collected(store.list_dir(""))) == ["zarr.json", "entry"]
    assert asyncio.run(_collected(store.list_dir("entry/"))) == ["zarr.json", "data", "instrument", "title"]
    assert asyncio.run(_collected(store.list_dir("entry/data/x"))) == ["zarr.json", "c"]
    assert asyncio.run(_collected(store.list_prefix("entry/title"))) == ["entry/title/zarr.json", "entry/title/c"]
    keys = asyncio.run(_collected(store.list()))
    assert all(asyncio.run(store.getsize(key)) > 0 for key in keys)
    assert len(set(keys)) == len(keys) == 23


def test_codecs_that_there_are_not_are_an_error(write: Write) -> None:
    with pytest.raises(NexusError, match="codecs='lossy': expected one of 'core', 'native'"):
        nexus_xr.zarr_store(write(scan_file()), codecs="lossy")


def test_a_file_behind_a_url_is_read_by_ranges(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=counts(SHAPE), chunks=CHUNKS, compression="gzip")
    with RangeServer(tmp_path).running() as server:
        assert_same_bits(read(f"{server.url}/f.h5"), counts(SHAPE))


def test_whether_chunks_are_there_is_told_without_reading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", (6, 4), "u2", chunks=(2, 4), compression="gzip")[2:4] = 1
    store = nexus_xr.zarr_store(tmp_path / "f.h5")
    reads = recorded(monkeypatch, ChunkReader, "fill")
    assert [asyncio.run(store.exists(f"data/c/{number}/0")) for number in range(4)] == [False, True, False, False]
    assert zarr.open_array(store, path="data", mode="r").nchunks_initialized == 1
    assert not reads


def test_keys_and_values_need_no_zarr(tmp_path: Path) -> None:
    write_tree(tmp_path / "f.h5", scan_file())
    said = run(
        "import sys\n"
        "sys.modules['zarr'] = None\n"
        "from nexus_xr.zarr.view import view_of\n"
        "view = view_of(sys.argv[1])\n"
        "print(len([view.value(key) for key in view.keys_with('')]))",
        tmp_path / "f.h5",
    )
    assert said.strip() == "23"


def test_several_threads_read_at_once(tmp_path: Path) -> None:
    values = counts((40, 30, 20))
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=values, chunks=(1, 30, 20), compression="lzf")
    store = nexus_xr.zarr_store(tmp_path / "f.h5")
    array = zarr.open_array(store, path="data", mode="r")
    with ThreadPoolExecutor(8) as pool:
        for number, frame in enumerate(pool.map(array.__getitem__, range(40))):
            np.testing.assert_array_equal(frame, values[number])


DECODED: dict[str, tuple[Any, dict[str, Any], list[Any]]] = {
    "a float": (np.array([1, -1], "f4"), {"_FillValue": np.float32(-1)}, [1, np.nan]),
    "NaN": (np.array([1, np.nan]), {"_FillValue": np.nan}, [1, np.nan]),
    "an array of one": (np.array([1, -1], "i2"), {"_FillValue": np.array([-1], "i2")}, [1, np.nan]),
    "an integer of floats": (np.array([1.0, -1]), {"_FillValue": -1}, [1, np.nan]),
    "a fraction of integers": (np.array([1, 2]), {"_FillValue": 0.5}, [1, 2]),
    "infinity of integers": (np.array([1, 2]), {"_FillValue": np.inf}, [1, 2]),
    "a complex number": (np.array([1j, 2j]), {"_FillValue": 2j}, [1j, complex(np.nan, np.nan)]),
    "a complex number of floats": (np.array([1.0, 2]), {"_FillValue": 2j}, [1, 2]),
    "text of numbers": (np.array([1, 2]), {"_FillValue": "", "scale_factor": "0.1", "add_offset": "x"}, [1, 2]),
    "text of text": (np.array([b"a", b""]), {"_FillValue": "", "scale_factor": 2}, ["a", ""]),
    "many": (np.array([1, 2]), {"_FillValue": [1, 2], "scale_factor": [1, 2]}, [1, 2]),
    "no finite factor": (np.array([1, 2]), {"scale_factor": np.nan, "add_offset": np.inf}, [1, 2]),
    "a factor": (np.array([1, 2]), {"scale_factor": 0.5, "add_offset": np.array([1.0])}, [1.5, 2]),
    "numbers for names": (np.array([1, 2]), {"coordinates": 1}, [1, 2]),
}


@pytest.mark.parametrize("kind", DECODED)
def test_attributes_that_xarray_decodes_by_stop_it_from_nothing(tmp_path: Path, kind: str) -> None:
    values, attributes, expected = DECODED[kind]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["n"] = values
        file["n"].attrs.update(attributes)
    found = xr.open_zarr(nexus_xr.zarr_store(tmp_path / "f.h5")).n
    np.testing.assert_array_equal(found.values, expected)


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_what_xarray_wrote_to_netcdf_opens_as_zarr(tmp_path: Path, engine: Any) -> None:
    written = xr.Dataset({"n": ("x", [1.0, np.nan]), "i": ("x", [1, 2])}, {"x": [0.5, 1.5]})
    written.to_netcdf(tmp_path / "f.nc", engine=engine, encoding={"i": {"_FillValue": -1}})
    found = xr.open_zarr(nexus_xr.zarr_store(tmp_path / "f.nc"))
    for name in ("n", "i", "x"):
        np.testing.assert_array_equal(found[name].values, written[name].values)
