"""Values stay in the file until they are asked for, and are what NumPy would give."""

from __future__ import annotations

import functools
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import nexus_xr
from nexus_xr import LazyArray, Link
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.text import decode, decode_array
from nexus_xr.hdf5.reading.selection import expand, normalize
from nexus_xr.opening.chunks import TARGET_BLOCK_BYTES, WHOLE_FRAME_BYTES, align_blocks, block_shape

from .arrays import indexers, indexers_within, take
from .files import Field, Write, nxdata, nxentry, write_tree

STACK = np.arange(5 * 6 * 7, dtype="i4").reshape(5, 6, 7)


@pytest.fixture(scope="module")
def stack_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lazy") / "stack.nxs"
    stored = Field(STACK, chunks=(2, 4, 3), compression="gzip")
    data = nxdata({"n": stored, "x": np.arange(7.0)}, signal="n", axes=[".", ".", "x"])
    write_tree(path, {"entry": nxentry({"data": data})})
    return path


def test_opening_reads_no_signal(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"n": [1, 2, 3], "n_errors": [1, 1, 1], "aux": [4, 5, 6]}
    path = write({"entry": nxentry({"data": nxdata(small, signal="n", auxiliary_signals="aux")})})
    read: list[str] = []
    monkeypatch.setattr(LazyArray, "__getitem__", lambda self, key: read.append(self.path))
    monkeypatch.setattr("nexus_xr.hdf5.library.dataset.LibraryDataset.read", lambda self: read.append(self.path))
    xr.open_dataset(path, engine="nexus")
    xr.open_dataset(path, engine="nexus", chunks={})
    repr(xr.open_datatree(path, engine="nexus"))
    nexus_xr.list_datasets(path)
    assert read == []


def test_opening_looks_at_no_chunk_index(write: Write) -> None:
    stored = Field(np.arange(400), chunks=(2,), compression="gzip")
    path = write({"entry": nxentry({"data": nxdata({"n": stored}, signal="n")})})
    content = path.read_bytes()
    of_chunks = b"TREE\x01"  # a node of a B-tree of chunks; 0 in place of 1 is one of a group's members
    assert content.count(of_chunks) > 4
    path.write_bytes(content.replace(of_chunks, b"LOST\x01"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_dataset(path, engine="nexus", chunks={})
        repr(xr.open_datatree(path, engine="nexus"))
        assert [signal.size for signal in nexus_xr.open_signals(path)] == [400]
    with pytest.raises(nexus_xr.NexusError, match=r":/entry/data/n"):
        dataset.n.load()


@given(st.tuples(*map(indexers, STACK.shape)))
def test_outer_indexing_is_what_numpy_gives_one_dimension_at_a_time(stack_file: Path, key: tuple[Any, ...]) -> None:
    array = LazyArray(File(stack_file), "/entry/data/n", STACK.shape, STACK.dtype)
    expected = take(STACK, key)
    got = array[key]
    assert np.shape(got) == expected.shape
    np.testing.assert_array_equal(got, expected)


@given(st.tuples(*map(indexers_within, STACK.shape)))
@settings(max_examples=50)
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy indexing", "dask"])
def test_xarray_indexing_is_what_it_gives_in_memory(stack_file: Path, chunks: Any, key: tuple[Any, ...]) -> None:
    dataset = xr.open_dataset(stack_file, engine="nexus", chunks=chunks)
    in_memory = xr.DataArray(STACK, dims=dataset.n.dims)
    np.testing.assert_array_equal(dataset.n[key], in_memory[key])


def test_vectorised_and_boolean_indexing(stack_file: Path) -> None:
    dataset = xr.open_dataset(stack_file, engine="nexus")
    points = {dim: xr.DataArray([4, 0, 0, -1], dims="point") for dim in dataset.n.dims}
    np.testing.assert_array_equal(dataset.n.isel(points), STACK[[4, 0, 0, -1], [4, 0, 0, -1], [4, 0, 0, -1]])
    np.testing.assert_array_equal(dataset.n.isel(x=dataset.x > 3), STACK[:, :, 4:])
    np.testing.assert_array_equal(dataset.n.sel(x=slice(1.5, 3)), STACK[:, :, 2:4])
    np.testing.assert_array_equal(dataset.n[::-1, 5:1:-2, -1], STACK[::-1, 5:1:-2, -1])


SOME_TEXT = st.sampled_from([b"", b"mm", b"a\0b", "µm".encode(), b"\xb5m", b"12345"])


@given(
    hnp.arrays(np.dtype("S5"), hnp.array_shapes(min_dims=0, min_side=0, max_side=4), elements=SOME_TEXT), st.booleans()
)
def test_an_array_of_text_is_decoded_as_each_of_its_elements_is(raw: NDArray[Any], varies: bool) -> None:
    given_text = raw.astype(object) if varies else raw
    found = decode_array(given_text[::-1] if raw.ndim else given_text)
    expected = np.array(list(map(decode, raw.flat)), object if varies else "U5").reshape(raw.shape)
    np.testing.assert_array_equal(found, expected[::-1] if raw.ndim else expected, strict=True)


def test_a_single_value_decodes_to_a_scalar(stack_file: Path) -> None:
    array = LazyArray(File(stack_file), "/entry/data/n", STACK.shape, STACK.dtype)
    assert array[1, 2, 3] == STACK[1, 2, 3]
    assert array[..., 3].shape == (5, 6)


@pytest.mark.parametrize(
    "key", [(5,), (0, 0, 0, 0), ("a",), (1.5,), (np.zeros(3, bool),), (np.zeros((2, 2), int),), (..., ...)]
)
def test_bad_indices_are_index_errors(stack_file: Path, key: Any) -> None:
    array = LazyArray(File(stack_file), "/entry/data/n", STACK.shape, STACK.dtype)
    with pytest.raises(IndexError):
        array[key]


def is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biufc" and dtype.itemsize <= 16


DTYPES = st.one_of(
    hnp.scalar_dtypes().filter(is_number),
    st.sampled_from([np.dtype("i4,f8"), np.dtype("V5"), np.dtype(("f4", (2,)))]),
)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_values_are_h5pys_whatever_dtype_layout_and_shape(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    dtype = data.draw(DTYPES)
    try:
        h5py.h5t.py_create(dtype)
    except TypeError:
        return  # a dtype that HDF5 has no type for
    full = (*shape, *(dtype.subdtype[1] if dtype.subdtype else ()))
    raw = data.draw(
        st.binary(min_size=math.prod(full) * dtype.base.itemsize, max_size=math.prod(full) * dtype.base.itemsize)
    )
    values = np.frombuffer(raw, dtype.base).reshape(full) if dtype.kind != "b" else np.zeros(full, bool)
    path = tmp_path_factory.mktemp("dtypes") / "file.h5"
    options: dict[str, Any] = {}
    if shape and min(shape) > 0 and data.draw(st.booleans()):
        options = {"chunks": tuple(data.draw(st.integers(1, side)) for side in shape)}
        options |= data.draw(st.sampled_from([{}, {"compression": "gzip"}, {"compression": "lzf", "shuffle": True}]))
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("data", shape=shape, dtype=dtype, **options)
        if math.prod(shape):
            dataset[...] = values
        stored = np.asarray(dataset[()], dtype=dtype.base)  # h5py's scalars are in native byte order
    opened = xr.open_dataset(path, engine="nexus", dataset_path="/data")["data"]
    assert opened.shape == np.shape(stored)
    assert opened.dtype == stored.dtype
    assert opened.values.astype(stored.dtype).tobytes() == stored.tobytes()


# --- elements that are Python objects ---------------------------------------------------------------------------

TEXT, REFERENCE, REGION = h5py.string_dtype(), h5py.ref_dtype, h5py.regionref_dtype
# Each dtype, and what the element of a number is; one of number 0 isn't written.
OBJECTS: dict[str, tuple[np.dtype[Any], Callable[[h5py.Dataset, int], Any]]] = {
    "text": (TEXT, lambda to, number: "µ" * number),
    "text that is no UTF-8": (TEXT, lambda to, number: b"\xb5" * number),
    "references": (REFERENCE, lambda to, number: to.ref),
    "regions": (REGION, lambda to, number: to.regionref[:number]),
    "compounds of references": (np.dtype([("to", REFERENCE), ("n", "i4")]), lambda to, number: (to.ref, number)),
    "compounds of text": (np.dtype([("name", TEXT), ("n", "i4")]), lambda to, number: ("µ" * number, number)),
    "arrays of text": (np.dtype((TEXT, (2,))), lambda to, number: _objects("a", "µ" * number)),
    "arrays of references": (np.dtype((REFERENCE, (2,))), lambda to, number: _objects(to.ref, to.ref)),
    "references of varying number": (h5py.vlen_dtype(REFERENCE), lambda to, number: _objects(*[to.ref] * number)),
}


def _objects(*values: Any) -> Any:
    return np.fromiter(values, dtype=object)


def _plain(value: Any, file: h5py.File) -> Any:
    """An element, h5py's or as this package shows it, to be compared."""
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, h5py.Reference | h5py.RegionReference):
        return Link(h5py.h5r.get_name(value, file.id).decode()) if value else None
    if isinstance(value, np.void):
        return tuple(_plain(part, file) for part in value.item())
    return [_plain(each, file) for each in value] if isinstance(value, np.ndarray) and value.ndim else value


@pytest.fixture(scope="module")
def objects_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("objects") / "objects.h5"
    layouts: dict[tuple[int, ...], Any] = {(): {}, (5,): {}, (3, 5): {"chunks": (2, 2), "compression": "gzip"}}
    with h5py.File(path, "w") as file:
        file["to"] = np.arange(9)
        for name, (dtype, make) in OBJECTS.items():
            for shape, options in layouts.items():
                dataset = file.create_dataset(f"{name}/{len(shape)}", shape, dtype, **options)
                for number, index in enumerate(np.ndindex(shape)):
                    if number % 4:
                        dataset[index] = make(file["to"], number % 4)
            file.create_dataset(f"{name}/empty", (0,), dtype, maxshape=(None,))
    return path


@functools.cache
def _opened(file: Path, path: str, is_lazy: bool) -> xr.DataArray:
    dataset = xr.open_dataset(file, engine="nexus", dataset_path=f"/{path}", chunks=None if is_lazy else {})
    return dataset[path.rpartition("/")[2]]


@settings(max_examples=10)
@given(data=st.data())
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy indexing", "dask"])
@pytest.mark.parametrize("path", [f"{name}/{rank}" for name in OBJECTS for rank in (0, 1, 2)])
def test_objects_are_h5pys_whatever_is_selected(objects_file: Path, path: str, chunks: Any, data: Any) -> None:
    opened = _opened(objects_file, path, chunks is None)
    with h5py.File(objects_file) as file:
        stored = file[path][...]
        key = data.draw(st.tuples(*map(indexers_within, stored.shape)))
        expected = take(stored, key)
        got = opened[key].compute()
        assert got.shape == expected.shape
        assert _plain(got.values[()], file) == _plain(expected[()], file)


@pytest.mark.parametrize("name", OBJECTS)
def test_one_object_is_an_element_and_none_is_an_array(objects_file: Path, name: str) -> None:
    dtype, _ = OBJECTS[name]
    inner = dtype.subdtype[1] if dtype.subdtype else ()
    array = LazyArray(File(objects_file), f"/{name}/2", (3, 5, *inner), dtype.base)
    with h5py.File(objects_file) as file:
        for at in np.ndindex(array.shape):
            assert _plain(array[at], file) == _plain(file[f"{name}/2"][...][at], file)
    assert LazyArray(File(objects_file), f"/{name}/empty", (0, *inner), dtype.base)[...].shape == (0, *inner)


# --- blocks ----------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_blocks_are_whole_chunks_and_not_much_larger_than_wanted(data: Any) -> None:
    shape = data.draw(st.lists(st.integers(1, 3000), min_size=1, max_size=4).map(tuple))
    chunks = data.draw(st.none() | st.tuples(*(st.integers(1, side) for side in shape)))
    itemsize = data.draw(st.sampled_from([1, 2, 4, 8]))
    block = block_shape(shape, itemsize, chunks)
    for length, side, chunk in zip(block, shape, chunks or (1,) * len(shape), strict=True):
        assert 1 <= length <= side
        assert length == side or length % chunk == 0
    frame = itemsize * math.prod((*(chunks or (1,) * len(shape))[:-2], *shape[-2:]))
    one_chunk = itemsize * math.prod(chunks or (1,))
    largest = max(TARGET_BLOCK_BYTES, one_chunk, frame if frame <= WHOLE_FRAME_BYTES and len(shape) > 2 else 0)
    assert itemsize * math.prod(block) <= largest


@given(data=st.data())
def test_wanted_blocks_grow_to_whole_chunks(data: Any) -> None:
    shape = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=3).map(tuple))
    chunks = data.draw(st.none() | st.tuples(*(st.integers(1, side) for side in shape)))
    wanted = tuple(data.draw(st.integers(1, 60)) for _ in shape)
    for length, want, side, chunk in zip(
        align_blocks(wanted, shape, chunks), wanted, shape, chunks or (1,) * len(shape), strict=True
    ):
        assert min(want, side) <= length <= side
        assert length == side or length % chunk == 0


@pytest.mark.filterwarnings("ignore:The specified chunks separate the stored chunks")
def test_small_chunks_are_grouped_and_frames_are_whole(write: Write) -> None:
    stored = Field(np.zeros((100, 64, 64), "u2"), chunks=(1, 64, 64))
    path = write({"entry": nxentry({"data": nxdata({"n": stored, "m": np.zeros((100, 64, 64))}, signal="n")})})
    dataset = xr.open_dataset(path, engine="nexus", chunks={})
    assert dataset.n.chunks == ((100,), (64,), (64,))
    assert isinstance(dataset.n.data, dask.array.Array)
    assert xr.open_dataset(path, engine="nexus", chunks="auto").n.chunks == ((100,), (64,), (64,))
    assert xr.open_dataset(path, engine="nexus", chunks={"dim_0": 10}).n.chunks[0] == (10,) * 10


@pytest.mark.parametrize(
    ("chunks", "expected"), [({}, (5,)), ({"x": 3}, (3, 3, 1)), (4, (4, 3)), ("auto", (7,)), (-1, (7,))]
)
def test_signals_take_chunks_as_open_dataset_does(stack_file: Path, chunks: Any, expected: tuple[int, ...]) -> None:
    [signal] = nexus_xr.open_signals(stack_file, nxdata_only=True, chunks=chunks)
    dimension = 0 if chunks == {} else 2
    assert signal.chunks is not None
    assert signal.chunks[dimension] == expected
    np.testing.assert_array_equal(signal, STACK)


@pytest.mark.parametrize(
    "chunks", [(3, 2), (1, 2, 3), [1, 2, 3], 1.5, 0, -2, "frames", b"auto", {"x": (1, 2)}, {"x": 0}]
)
def test_chunks_that_a_signal_can_not_have_say_what_it_has(stack_file: Path, chunks: Any) -> None:
    with pytest.raises(nexus_xr.NexusError, match=re.escape(f"chunks={chunks!r}")) as caught:
        nexus_xr.open_signals(stack_file, nxdata_only=True, chunks=chunks)
    for word in (str(stack_file), "/entry/data/n", "'x': 7"):
        assert word in str(caught.value)


def test_chunks_are_for_dimensions_that_some_signal_has(write: Write) -> None:
    groups = {"a": nxdata({"n": np.zeros((2, 3))}, signal="n"), "b": nxdata({"m": np.zeros(4)}, signal="m")}
    path = write({"entry": nxentry(groups)})
    matrix, line = nexus_xr.open_signals(path, chunks={"dim_1": 1})
    assert (matrix.chunks, line.chunks) == (((2,), (1, 1, 1)), ((4,),))
    with pytest.raises(nexus_xr.NexusError, match="no signal has a dimension 'frame'") as caught:
        nexus_xr.open_signals(path, chunks={"dim_1": 1, "frame": 1})
    assert f"{path}:/entry/a/n: {{'dim_0': 2, 'dim_1': 3}}" in str(caught.value)
    assert nexus_xr.open_signals(path, dataset_key="/entry/b", chunks={"dim_0": 2})[0].chunks == ((2, 2),)
    assert nexus_xr.open_signals(write({}, name="empty.h5"), chunks={"frame": 1}) == []


def test_signals_without_chunks_are_lazily_indexed(stack_file: Path) -> None:
    [signal] = nexus_xr.open_signals(stack_file, nxdata_only=True)
    assert signal.chunks is None
    assert "..." not in repr(signal[0, 0].load())
    np.testing.assert_array_equal(signal[1:3], STACK[1:3])


@pytest.mark.parametrize(("key", "ndim"), [((0, ...), 3), ((), 2), (..., 1), ((slice(1),), 2)])
def test_expanded_keys_have_one_indexer_a_dimension(key: Any, ndim: int) -> None:
    assert len(expand(key, ndim)) == ndim


def test_normalized_indexers_are_in_range() -> None:
    assert normalize(-1, 5) == 4
    assert normalize(slice(None, None, -2), 5) == slice(4, -1, -2)
    assert normalize(np.array([-1, 0]), 5).tolist() == [4, 0]  # type: ignore[union-attr]


def test_values_that_this_process_writes_are_read_before_it_has_closed_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.arange(100.0)
        file.create_dataset("c", data=np.arange(100.0), chunks=(7,), compression="gzip")
        for _ in range(2):
            opened = xr.open_dataset(tmp_path / "f.h5", engine="nexus", dataset_path="/c")
            np.testing.assert_array_equal(opened.c, np.arange(100.0))
