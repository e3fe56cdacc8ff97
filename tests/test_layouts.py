"""Layouts from the bytes of a file: as libhdf5 describes the same datasets, whatever the file holds."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.format.faults import UnsupportedError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.parsed.parsed_dataset import ParsedDataset
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts import known_layouts
from nexus_xr.hdf5.reading.layouts.chunk_index import ChunkIndex
from nexus_xr.hdf5.reading.layouts.layout import Layout, StoredLayout
from nexus_xr.hdf5.reading.layouts.library_layouts import layout_by_libhdf5
from nexus_xr.hdf5.reading.selection import expand, normalize
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout

from .arrays import assert_same_bits
from .corpus import CORPUS, corpus_files
from .stacks import LOSSLESS, LOSSY, ONLY_LIBHDF5, counts
from .thresholds import moved, thresholds

FILES = corpus_files()
FILTERS = {**LOSSLESS, **LOSSY}


def plain(layout: Layout | None) -> Any:
    """A layout as what is equal to itself."""
    if not isinstance(layout, StoredLayout | VirtualLayout):
        return layout
    enumerated = h5py.check_enum_dtype(layout.dtype)
    known = {**vars(layout), "fill": layout.fill.tobytes(), "enumerated": enumerated}
    if isinstance(layout, StoredLayout) and isinstance(layout.index, ChunkIndex):
        known["index"] = _plain_index(layout.index)
    return known


def _plain_index(index: ChunkIndex) -> Any:
    parts = (index.numbers, index.offsets, index.sizes, index.masks)
    return index.grid, index.partial, [None if part is None else (part.dtype, part.tolist()) for part in parts]


def in_both_ways(path: Path, name: str) -> tuple[Any, Any]:
    """The layout of a dataset from the bytes of the file, and as libhdf5 has it."""
    file = File(path)
    with file.source() as source:
        theirs = layout_by_libhdf5(file, name, source)
    try:
        ours: Any = known_layouts._from_bytes(file, name, None)
    except UnsupportedError:
        ours = theirs
    if isinstance(ours, StoredLayout) and ours.conversion is not None:
        assert theirs is None
        ours = None
    return plain(ours), plain(theirs)


def datasets_of(path: Path) -> list[str]:
    found: list[str] = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(f"/{name}") if isinstance(item, h5py.Dataset) else None)
    return found


@pytest.mark.parametrize("path", FILES or [CORPUS / "absent"], ids=lambda path: str(path.relative_to(CORPUS)))
@pytest.mark.usefixtures("corpus")
def test_datasets_of_real_files_are_where_libhdf5_finds_them(path: Path) -> None:
    for name in datasets_of(path):
        ours, theirs = in_both_ways(path, name)
        assert ours == theirs, name


# --- datasets of every kind ------------------------------------------------------------------------------------------

DTYPES = [
    "u1",
    ">i2",
    "<f4",
    "c8",
    "?",
    "S3",
    "f2",
    ("<i4", (2,)),
    [("a", "<u2"), ("b", ">f8")],
    [("a", "<u2"), ("b", "S2", (2,))],
    h5py.enum_dtype({"OFF": 0, "ON": 1}, "i2"),
    h5py.opaque_dtype("M8[s]"),
]
LAYOUTS = st.sampled_from(["compact", "contiguous", "chunked", "raw"])


def make(file: h5py.File, draw: Any) -> None:
    rank = draw(st.integers(0, 3))
    shape = tuple(draw(st.integers(0, 9)) for _ in range(rank))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    kind = draw(LAYOUTS)
    properties = h5p.create(h5p.DATASET_CREATE)
    properties.set_fill_time(draw(st.sampled_from([h5d.FILL_TIME_ALLOC, h5d.FILL_TIME_NEVER, h5d.FILL_TIME_IFSET])))
    if dtype.kind in "iuf" and draw(st.booleans()):
        properties.set_fill_value(np.array(7, dtype))
    ends = shape
    if kind == "compact":
        properties.set_layout(h5d.COMPACT)
    elif kind == "raw" and 0 not in shape:
        properties.set_external(b"raw.bin", 3, 1 << 20)
    elif kind == "chunked" and rank:
        properties.set_chunk(tuple(draw(st.integers(1, max(size, 1))) for size in shape))
        ends = tuple(draw(st.sampled_from([size, size + 3, h5s.UNLIMITED])) for size in shape)
        if draw(st.booleans()):
            properties.set_deflate(1)
            properties.set_shuffle()
    space = h5s.create_simple(shape, ends) if rank else h5s.create(h5s.SCALAR)
    dataset = h5d.create(file.id, b"data", h5t.py_create(dtype, logical=True), space, properties)
    if draw(st.booleans()) and kind != "raw" and 0 not in shape:
        dataset.write(h5s.ALL, h5s.ALL, np.zeros(shape, dtype), h5t.py_create(dtype))


@given(data=st.data())
@settings(max_examples=200)
def test_a_dataset_of_any_kind_is_where_libhdf5_finds_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("layouts") / "f.h5"
    libver = data.draw(st.sampled_from(["earliest", "v108", "v110", "latest"]))
    with h5py.File(path, "w", libver=libver, userblock_size=data.draw(st.sampled_from([0, 512]))) as file:
        make(file, data.draw)
    ours, theirs = in_both_ways(path, "/data")
    assert ours == theirs


@pytest.mark.parametrize("filters", FILTERS)
def test_every_filter_is_known_from_bytes(tmp_path: Path, filters: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("data", data=np.arange(64, dtype="f4").reshape(8, 8), chunks=(4, 4), **FILTERS[filters])
    ours, theirs = in_both_ways(tmp_path / "f.h5", "/data")
    assert ours == theirs


# --- elements of which values have to be made ------------------------------------------------------------------------

TEXTS = st.text(max_size=6).map(lambda text: text.replace("\0", "")) | st.sampled_from(["", "µm", "a" * 300])
UTF8, ASCII = h5py.string_dtype(), h5py.string_dtype("ascii")
BOOLEAN = h5t.enum_create(h5t.STD_I16LE)
BOOLEAN.enum_insert(b"FALSE", 0)
BOOLEAN.enum_insert(b"TRUE", 1)
SPACED, TERMINATED = h5t.C_S1.copy(), h5t.C_S1.copy()
for made, padding in ((SPACED, h5t.STR_SPACEPAD), (TERMINATED, h5t.STR_NULLTERM)):
    made.set_size(5)
    made.set_strpad(padding)
TABLE = np.dtype([("name", UTF8), ("number", "<i4"), ("unit", ASCII)])
STORED = {
    "table": h5t.py_create(TABLE, logical=True),
    "text": h5t.py_create(UTF8, logical=True),
    "ascii": h5t.py_create(ASCII, logical=True),
    "arrays of text": h5t.array_create(h5t.py_create(UTF8, logical=True), (2,)),
    "boolean": BOOLEAN,
    "spaced": SPACED,
    "terminated": TERMINATED,
}


def values_for(draw: Any, kind: str, shape: tuple[int, ...]) -> Any:
    if kind == "boolean":
        return np.arange(np.prod(shape, dtype=int)).reshape(shape) % draw(st.integers(1, 3)) == 0
    inner = (2,) if kind == "arrays of text" else ()
    texts = draw(st.lists(TEXTS, min_size=1, max_size=9))
    encoded = [
        text.encode("latin-1" if kind == "ascii" and draw(st.booleans()) else "utf-8", "replace") for text in texts
    ]
    if kind == "table":
        table = np.zeros(shape, TABLE)
        for number in range(table.size):
            table.reshape(-1)[number] = (encoded[number % len(encoded)], number, b"mm")
        return table
    values = np.empty((*shape, *inner), object)
    for number in range(values.size):
        values.reshape(-1)[number] = encoded[number % len(encoded)]
    return values if kind in ("text", "ascii", "arrays of text") else values.astype("S5")


@given(data=st.data())
@settings(max_examples=200)
def test_values_that_are_made_of_what_is_stored_are_those_of_libhdf5(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("made") / "f.h5"
    draw: Any = data.draw
    kind = draw(st.sampled_from(list(STORED)))
    shape = tuple(draw(st.lists(st.integers(1, 9), max_size=2)))
    properties = h5p.create(h5p.DATASET_CREATE)
    if shape and draw(st.booleans()):
        properties.set_chunk(tuple(draw(st.integers(1, size)) for size in shape))
        if draw(st.booleans()):
            properties.set_deflate(1)
            properties.set_shuffle()
    elif draw(st.booleans()):
        properties.set_layout(h5d.COMPACT)
    if kind in ("text", "ascii") and draw(st.booleans()):
        properties.set_fill_value(np.array(b"fill", UTF8 if kind == "text" else ASCII))
    with h5py.File(path, "w", libver=draw(st.sampled_from(["earliest", "latest"]))) as file:
        made = h5d.create(file.id, b"data", STORED[kind], h5s.create_simple(shape), properties)
        dataset = h5py.Dataset(made)
        if draw(st.booleans()):
            dataset[...] = values_for(draw, kind, shape)
    with h5py.File(path) as file:
        dtype = file["data"].dtype
    array = LazyArray(File(path), "/data", (*shape, *dtype.shape), dtype.base)
    key = tuple(draw(st.sampled_from([slice(None), slice(0, 3), 0, [0, 0]])) for _ in shape)
    with moved(draw(thresholds())):
        ours = np.asarray(array[key])
    indexers = [normalize(one, size) for one, size in zip(expand(key, array.ndim), array.shape, strict=True)]
    theirs = np.asarray(array._read_with_hdf5(indexers)[()])
    assert (ours.dtype, ours.shape, ours.tolist()) == (theirs.dtype, theirs.shape, theirs.tolist())
    assert "/data" not in array.file.left_to_libhdf5


# --- small values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("filters", LOSSLESS)
def test_small_values_in_chunks_are_read_without_libhdf5(tmp_path: Path, filters: str) -> None:
    written = {
        "rows": np.arange(12, dtype=">i2").reshape(3, 4),
        "one": np.array([1.5]),
        "text": np.array([b"a", b"\xb5"]),
    }
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for name, values in written.items():
            file.create_dataset(name, data=values, chunks=True, **LOSSLESS[filters])
        file.create_dataset("unwritten", (3,), "u1", chunks=(2,), fillvalue=7)
    file = File(tmp_path / "f.h5")
    with described(file, Diagnostics()) as root:
        found = {name: read_whole(dataset) for name, dataset, _ in root.members() if isinstance(dataset, Dataset)}
    np.testing.assert_array_equal(found["rows"], written["rows"])
    assert found["rows"].dtype == ">i2"
    assert (type(found["one"]), found["one"]) == (float, 1.5)
    assert found["text"].tolist() == ["a", "µ"]
    assert found["unwritten"].tolist() == [7, 7, 7]
    assert not file.left_to_libhdf5


@pytest.mark.parametrize("options", ONLY_LIBHDF5.values(), ids=ONLY_LIBHDF5)
@pytest.mark.parametrize("is_local", [True, False])
def test_small_values_that_only_libhdf5_decodes_are_decoded_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Mapping[str, Any], is_local: bool
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("µ".encode("latin-1"), data=counts((40, 40)), chunks=(20, 20), **options)
    file = File(tmp_path / "f.h5" if is_local else io.BytesIO((tmp_path / "f.h5").read_bytes()))
    monkeypatch.setattr(ParsedDataset, "read", None)
    with described(file, Diagnostics()) as root:
        dataset = root.find("µ")
        assert isinstance(dataset, Dataset)
        assert_same_bits(read_whole(dataset), counts((40, 40)))
    assert not file.left_to_libhdf5
