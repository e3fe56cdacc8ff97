"""Datatypes, dataspaces, layouts and attributes, parsed from a file's bytes, are what h5py says that they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5a, h5d, h5f, h5o, h5p, h5r, h5s, h5t
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nexus_xr
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.format.attributes import Attribute, BrokenAttribute, read_attributes
from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.datatypes.datatype import parse_datatype
from nexus_xr.hdf5.format.datatypes.stored_type import Datatype
from nexus_xr.hdf5.format.external_files import read_external_files
from nexus_xr.hdf5.format.faults import FormatError, NoDtypeError, UnsupportedError
from nexus_xr.hdf5.format.heaps.global_heap import GlobalHeap
from nexus_xr.hdf5.format.messages.dataspace import Dataspace, parse_dataspace
from nexus_xr.hdf5.format.messages.fill_value import FillValue, parse_fill_value
from nexus_xr.hdf5.format.messages.filter_pipeline import parse_filter_pipeline
from nexus_xr.hdf5.format.messages.layout import Chunked, Compact, Contiguous, Virtual, parse_layout
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import ObjectHeader, read_object_header
from nexus_xr.hdf5.format.shared_messages import read_shared_table, resolve
from nexus_xr.hdf5.format.superblock import read_superblock
from nexus_xr.hdf5.format.values import decode_values
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import LocalSource
from nexus_xr.hdf5.library.datatypes import known_type
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset

TEXT, ASCII = h5py.string_dtype(), h5py.string_dtype("ascii")
NUMBERS = [
    f"{order}{kind}"
    for order in "<>"
    for kind in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
]
SIMPLE: list[np.dtype[Any]] = [
    *map(np.dtype, NUMBERS),
    np.dtype(np.longdouble),
    np.dtype(np.clongdouble),
    np.dtype(bool),
    np.dtype("S1"),
    np.dtype("S7"),
    h5py.string_dtype("utf-8", 5),
    h5py.enum_dtype({"red": 1, "gr\xfcn": 200, "blue": 7}, "u1"),
    h5py.enum_dtype({"low": -(2**40), "high": 2**40}, ">i8"),
    TEXT,
    ASCII,
    h5py.ref_dtype,
]
# Libhdf5 ends the process over them where they are within elements of varying length.
REGION = h5py.regionref_dtype


def _compounds(parts: st.SearchStrategy[np.dtype[Any]]) -> st.SearchStrategy[np.dtype[Any]]:
    names = st.lists(st.text("abr\xe4i", min_size=1, max_size=9), min_size=1, max_size=4, unique=True)
    return names.flatmap(lambda found: st.tuples(*[parts] * len(found)).map(lambda each: _compound(found, each)))


def _compound(names: list[str], parts: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    """Parts one behind the other, but for three with gaps and in another order."""
    if len(names) != 3:
        return np.dtype(list(zip(names, parts, strict=True)))
    # Within libhdf5, a sequence takes more than the pointer that NumPy has for it.
    widths = [2 * part.itemsize + 3 for part in parts]
    offsets = [widths[2] + widths[1], widths[2], 0]
    return np.dtype({"names": names, "formats": parts, "offsets": offsets, "itemsize": sum(widths) + 5})


def _arrays(elements: st.SearchStrategy[np.dtype[Any]]) -> st.SearchStrategy[np.dtype[Any]]:
    shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)
    return st.tuples(elements, shapes).map(np.dtype)


def _larger(dtypes: st.SearchStrategy[np.dtype[Any]]) -> st.SearchStrategy[np.dtype[Any]]:
    return _compounds(dtypes) | _arrays(dtypes) | dtypes.filter(_is_little_endian).map(h5py.vlen_dtype)


def _is_little_endian(dtype: np.dtype[Any]) -> bool:
    """Whether h5py writes and reads varying numbers of such elements as they are, and not turned around."""
    return ">" not in repr(dtype)


DTYPES = st.recursive(st.sampled_from(SIMPLE), _larger, max_leaves=6) | _compounds(st.sampled_from([*SIMPLE, REGION]))


class Written:
    """Values to write, of any dtype, and what references among them lead to."""

    def __init__(self, file: h5py.File, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._targets = [file.create_group("first"), file.create_dataset("second", data=np.arange(9))]

    def values(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """An array of a dtype, whose array elements are behind the shape."""
        if dtype.subdtype is not None:
            return self.values(dtype.base, shape + dtype.shape)
        found = np.zeros(shape, dtype)
        if dtype.names is not None:
            for name in dtype.names:
                found[name] = self.values(dtype[name], shape)
        elif dtype.kind == "O":
            for index in np.ndindex(shape):
                found[index] = self._object(dtype)
        else:
            self._fill(found)
        return found

    def _object(self, dtype: np.dtype[Any]) -> Any:
        inner = h5py.check_vlen_dtype(dtype)
        if isinstance(inner, np.dtype):
            return self.values(inner, (int(self._random.integers(0, 4)),))
        options = self._options(dtype)
        return options[self._random.integers(len(options))]

    def _options(self, dtype: np.dtype[Any]) -> list[Any]:
        if h5py.check_string_dtype(dtype):
            return ["", "a", "a longer text", "x" * 300]
        if h5py.check_ref_dtype(dtype) is h5py.RegionReference:
            return [h5r.RegionReference(), self._targets[1].regionref[2:5]]
        return [h5r.Reference(), self._targets[0].ref, self._targets[1].ref]

    def _fill(self, found: NDArray[Any]) -> None:
        if found.dtype.kind == "S":
            texts = [b"", b"a", b"ab ", b"longer than it"]
            found[...] = self._random.choice(np.array(texts), found.shape)
        elif h5py.check_enum_dtype(found.dtype):
            found[...] = self._random.choice(list(h5py.check_enum_dtype(found.dtype).values()), found.shape)
        elif found.dtype.kind == "V":
            found[...] = np.frombuffer(self._random.bytes(found.nbytes), found.dtype).reshape(found.shape)
        else:
            found[...] = self._random.integers(0, 2 if found.dtype.kind == "b" else 120, found.shape)


class Parsed:
    """A file as its bytes have it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        source = LocalSource(str(path), descriptor, path.stat().st_size)
        self.superblock = read_superblock(source)
        self.bytes = file_bytes(source, self.superblock)
        self.heap = GlobalHeap(self.bytes)
        self.shared = read_shared_table(self.bytes, self.superblock.extension)

    def header(self, object_id: Any) -> ObjectHeader:
        """The header of an object that h5py has open."""
        return read_object_header(self.bytes, h5o.get_info(object_id).addr)

    def message(self, header: ObjectHeader, kind: int) -> bytes | None:
        """What the first message of a kind says, wherever it is."""
        found = header.get(kind)
        return resolve(self.bytes, kind, *found[0], self.shared) if found else None

    def required(self, header: ObjectHeader, kind: int) -> bytes:
        """What the message of a kind says that has to be there."""
        found = self.message(header, kind)
        assert found is not None
        return found

    def attributes(self, object_id: Any) -> list[Attribute | BrokenAttribute]:
        """The attributes of an object."""
        return read_attributes(self.bytes, self.header(object_id), self.shared)

    def values(self, attribute: Attribute) -> NDArray[Any]:
        """The values of an attribute that has some."""
        shape = attribute.type.dataspace.shape
        assert shape is not None
        return decode_values(attribute.data, attribute.type.datatype, shape, self.heap)


@contextmanager
def parsed(path: Path) -> Iterator[Parsed]:
    """A file to be parsed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield Parsed(path, descriptor)
    finally:
        os.close(descriptor)


def same_dtype(ours: Any, theirs: Any) -> bool:
    """Whether dtypes are the same, with what h5py has in their metadata, which NumPy doesn't compare."""
    if not isinstance(theirs, np.dtype):
        return bool(ours == theirs)
    known, own = dict(theirs.metadata or {}), dict(ours.metadata or {})
    return (
        ours == theirs
        and ours.itemsize == theirs.itemsize
        and own.keys() == known.keys()
        and all(same_dtype(own[key], known[key]) for key in known)
        and (theirs.subdtype is None or same_dtype(ours.base, theirs.base))
        and all(same_dtype(ours[name], theirs[name]) for name in theirs.names or ())
    )


def assert_same_type(ours: Datatype, type_id: h5t.TypeID) -> None:
    """A datatype is the one that h5py has."""
    known = known_type(type_id)
    assert same_dtype(ours.dtype, known.dtype), (ours.dtype, known.dtype)
    assert same_dtype(ours.element, known.element)
    found = (ours.inner_shape, ours.is_text, ours.has_references)
    assert found == (known.inner_shape, known.is_text, known.has_references)


def assert_same_space(ours: Dataspace, space: h5s.SpaceID) -> None:
    """A dataspace is the one that h5py has."""
    if space.get_simple_extent_type() == h5s.NULL:
        assert ours == Dataspace(None, ())
        return
    assert ours.shape == space.get_simple_extent_dims()
    limits = space.get_simple_extent_dims(True)
    assert ours.maximum == tuple(None if limit == h5s.UNLIMITED else limit for limit in limits)


def contents(values: NDArray[Any], dtype: np.dtype[Any], location: Any) -> Any:
    """What is in an array, as plain Python bytes and numbers; references as addresses of what they lead to."""
    elements = values.reshape(-1) if dtype.shape == () else values.reshape(-1, *dtype.shape)
    return values.shape, [_plain(element, dtype, location) for element in elements]


def _plain(value: Any, dtype: np.dtype[Any], location: Any) -> Any:
    if dtype.names is not None:
        return [_plain(value[name], dtype[name], location) for name in dtype.names]
    if dtype.subdtype is not None:
        return contents(value, dtype.base, location)
    if h5py.check_ref_dtype(dtype):
        return value if isinstance(value, int) else _address(value, location)
    inner = h5py.check_vlen_dtype(dtype)
    if isinstance(inner, np.dtype):
        return str(value.dtype), contents(value, inner, location)
    if dtype.kind == "O":
        return value
    # The last bytes of a long double mean nothing.
    return str(value) if dtype.itemsize in (16, 32) and dtype.kind in "fc" else np.asarray(value).tobytes()


def _address(reference: Any, location: Any) -> int:
    return int(h5o.get_info(h5r.dereference(reference, location)).addr) if reference else 0


def read_by_h5py(attribute: h5a.AttrID) -> NDArray[Any] | None:
    """An attribute's values before references are named, if h5py can read them."""
    known = known_type(attribute.get_type())
    values = np.empty(attribute.shape, known.dtype)
    try:
        attribute.read(values, mtype=known.memory)
    except TypeError:  # sequences within others, of which it converts only some
        return None
    return values


def assert_same_attribute(file: Parsed, ours: Attribute, theirs: h5a.AttrID) -> None:
    """An attribute is the one that h5py has."""
    assert_same_type(ours.type.datatype, theirs.get_type())
    assert_same_space(ours.type.dataspace, theirs.get_space())
    if ours.type.dataspace.shape is not None:
        element = ours.type.datatype.element
        values, read = file.values(ours), read_by_h5py(theirs)
        if read is not None:
            assert contents(values, element, theirs) == contents(read, element, theirs)
            assert same_dtype(values.dtype, read.dtype)


def assert_same_attributes(file: Parsed, object_id: Any) -> None:
    """All attributes of an object are those that h5py has, in the same order."""
    names: list[bytes] = []
    h5a.iterate(object_id, names.append)
    found = file.attributes(object_id)
    assert [attribute.name for attribute in found] == names
    for attribute in found:
        assert isinstance(attribute, Attribute), attribute
        assert_same_attribute(file, attribute, h5a.open(object_id, attribute.name))


LIBVERS = ["earliest", "v108", "v110", "v112", "latest"]
SHAPES: list[tuple[int, ...] | None] = [(), (1,), (3,), (2, 2), (0,), None]


def write_attribute(owner: Any, name: str, dtype: np.dtype[Any], shape: tuple[int, ...] | None, made: Written) -> bool:
    """Write an attribute of any dtype, if h5py can; tells whether it could."""
    space = h5s.create(h5s.NULL) if shape is None else h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
    attribute = h5a.create(owner.id, name.encode(), h5t.py_create(dtype, logical=True), space)
    if shape is None:
        return True
    try:
        attribute.write(made.values(dtype, shape), mtype=h5t.py_create(dtype))
    except (TypeError, ValueError, OSError):
        h5a.delete(owner.id, name.encode())
        return False
    return True


@given(
    st.lists(st.tuples(DTYPES, st.sampled_from(SHAPES)), min_size=1, max_size=12),
    st.sampled_from(LIBVERS),
    st.integers(0, 99),
    st.sampled_from([0, 512]),
    st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_attributes_of_every_type_are_those_of_h5py(
    described: list[tuple[np.dtype[Any], tuple[int, ...] | None]],
    libver: str,
    seed: int,
    user_block: int,
    track_order: bool,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "types.h5"
        with h5py.File(path, "w", libver=libver, userblock_size=user_block) as file:
            made = Written(file, seed)
            owner = file.create_group("owner", track_order=track_order)
            for number, (dtype, shape) in enumerate(described):
                write_attribute(owner, f"{number * 7 % 5}_{number}", dtype, shape, made)
        with h5py.File(path) as file, parsed(path) as bytes_of_it:
            assert_same_attributes(bytes_of_it, file["owner"].id)


def only_attribute(path: Path, owner: str = "/") -> Any:
    """The values of the only attribute in a file."""
    with h5py.File(path) as file, parsed(path) as bytes_of_it:
        (attribute,) = bytes_of_it.attributes(file[owner].id)
        assert isinstance(attribute, Attribute)
        return bytes_of_it.values(attribute)


def test_sequences_of_big_endian_numbers_are_not_turned_around(tmp_path: Path) -> None:
    path = tmp_path / "sequences.h5"
    with h5py.File(path, "w") as file:
        values = np.array([1, 2, 300], "i4")
        attribute = h5a.create(file.id, b"a", h5t.vlen_create(h5t.STD_I32BE), h5s.create(h5s.SCALAR))
        # As libhdf5 has it in memory, for it to convert: the number, and a pointer.
        attribute.write(np.array([len(values), values.ctypes.data]), mtype=h5t.vlen_create(h5t.NATIVE_INT32))
    found = only_attribute(path)[()]
    assert (found.dtype, found.tolist()) == (np.dtype(">i4"), [1, 2, 300])


@pytest.mark.parametrize("dtype", [np.dtype("V3"), h5py.opaque_dtype(np.dtype("M8[us]"))], ids=str)
def test_opaque_attributes_are_what_was_written(tmp_path: Path, dtype: np.dtype[Any]) -> None:
    path = tmp_path / "opaque.h5"
    written = np.arange(4 * dtype.itemsize, dtype="u1").view(dtype)
    with h5py.File(path, "w") as file:
        attribute = h5a.create(file.id, b"a", h5t.py_create(dtype, logical=True), h5s.create_simple((4,)))
        attribute.write(written, mtype=h5t.py_create(dtype, logical=True))
    found = only_attribute(path)
    assert same_dtype(found.dtype, dtype)
    assert found.tobytes() == written.tobytes()


PADDED = [b"ab", b"ab ", b" a", b"", b"    ", b"abcd", b"a\0b", b"a\0 ", b"a \0"]


@pytest.mark.parametrize("padding", [h5t.STR_NULLTERM, h5t.STR_NULLPAD, h5t.STR_SPACEPAD])
def test_text_ends_where_it_does_for_libhdf5(tmp_path: Path, padding: int) -> None:
    path = tmp_path / "padded.h5"
    with h5py.File(path, "w") as file:
        stored = h5t.C_S1.copy()
        stored.set_size(4)
        stored.set_strpad(padding)
        attribute = h5a.create(file.id, b"a", stored, h5s.create_simple((len(PADDED),)))
        attribute.write(np.array(PADDED, "S4"), mtype=stored)
        read = read_by_h5py(attribute)
    assert read is not None
    assert only_attribute(path).tobytes() == read.tobytes()


def test_bits_and_complex_numbers_and_odd_enumerations(tmp_path: Path) -> None:
    path = tmp_path / "odd.h5"
    switch = h5t.enum_create(h5t.STD_I32BE)
    for value, name in enumerate((b"FALSE", b"TRUE")):
        switch.enum_insert(name, value)
    apart = h5t.create(h5t.COMPOUND, 24)
    apart.insert(b"r", 12, h5t.IEEE_F32BE)
    apart.insert(b"i", 4, h5t.IEEE_F32BE)
    with h5py.File(path, "w", libver="latest") as file:
        for number, stored in enumerate([h5t.STD_B8LE, h5t.STD_B32BE, switch, apart, h5t.COMPLEX_IEEE_F32LE]):
            attribute = h5a.create(file.id, b"%d" % number, stored, h5s.create_simple((2,)))
            attribute.write(
                np.frombuffer(bytes(24) + bytes(range(24)), f"V{stored.get_size()}")[:2].copy(), mtype=stored
            )
    with h5py.File(path) as file, parsed(path) as bytes_of_it:
        assert_same_attributes(bytes_of_it, file.id)


def broken(path: Path) -> list[BrokenAttribute]:
    with h5py.File(path) as file, parsed(path) as bytes_of_it:
        return [each for each in bytes_of_it.attributes(file.id) if isinstance(each, BrokenAttribute)]


def narrow() -> h5t.TypeID:
    stored = h5t.STD_I32LE.copy()
    stored.set_precision(17)
    return stored


def biased() -> h5t.TypeID:
    stored = h5t.IEEE_F32LE.copy()
    stored.set_ebias(100)
    return stored


def wide() -> h5t.TypeID:
    stored = h5t.STD_I32LE.copy()
    stored.set_precision(128)
    return stored


@pytest.mark.parametrize("stored", [h5t.UNIX_D32LE, wide()], ids=["time", "size"])
def test_a_type_that_neither_numpy_nor_h5py_has_is_damaged(tmp_path: Path, stored: h5t.TypeID) -> None:
    path = tmp_path / "unsupported.h5"
    with h5py.File(path, "w") as file:
        h5a.create(file.id, b"a", stored, h5s.create(h5s.SCALAR))
        with pytest.raises(TypeError):
            file.attrs["a"]
        file.attrs["b"] = 1
    (attribute,) = broken(path)
    assert attribute.name == b"a"
    assert isinstance(attribute.error, NoDtypeError)


def test_a_float_without_a_dtype_is_left_to_libhdf5(tmp_path: Path) -> None:
    quadruple = h5t.IEEE_F64LE.copy()
    quadruple.set_size(16)
    quadruple.set_precision(128)
    quadruple.set_fields(127, 112, 15, 0, 112)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        h5a.create(file.id, b"a", quadruple, h5s.create(h5s.SCALAR))
    (attribute,) = broken(tmp_path / "f.h5")
    assert isinstance(attribute.error, UnsupportedError)


def assert_values_are_h5pys(path: Path, stored: h5t.TypeID, raw: bytes) -> None:
    """Of values that are such bytes: bit for bit, and without libhdf5."""
    space = h5s.create_simple((len(raw) // stored.get_size(),))
    with h5py.File(path, "w") as file:
        values = np.frombuffer(raw, f"V{stored.get_size()}").copy()
        h5d.create(file.id, b"data", stored, space).write(h5s.ALL, h5s.ALL, values, mtype=stored)
    opened = File(path)
    with h5py.File(path) as file, described(opened, Diagnostics()) as root:
        dataset, expected = root.find("data"), file["data"][()]
        assert isinstance(dataset, Dataset)
        found = dataset.read()
    assert found.dtype == expected.dtype == dataset.raw_dtype
    bits = f"u{found.dtype.itemsize}"
    np.testing.assert_array_equal(found.view(bits), expected.view(bits))
    assert not opened.left_to_libhdf5


@given(
    st.sampled_from([h5t.STD_I8LE, h5t.STD_U16BE, h5t.STD_I16BE, h5t.STD_I32LE, h5t.STD_I64BE, h5t.STD_U64LE]),
    st.data(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_integers_of_some_bits_are_what_h5py_reads(tmp_path: Path, whole: h5t.TypeID, data: st.DataObject) -> None:
    stored, width = whole.copy(), 8 * whole.get_size()
    precision = data.draw(st.integers(width // 2 + 1, width))  # with fewer, libhdf5 makes no dataset
    stored.set_precision(precision)
    stored.set_offset(data.draw(st.integers(0, width - precision)))
    raw = data.draw(st.binary(min_size=2 * width, max_size=2 * width))
    assert_values_are_h5pys(tmp_path / "f.h5", stored, raw)


FLOATS = {
    "bfloat16": (h5t.IEEE_F16LE, (15, 7, 8, 0, 7), 127),
    "bfloat16, big-endian": (h5t.IEEE_F16BE, (15, 7, 8, 0, 7), 127),
    "biased": (h5t.IEEE_F16LE, (15, 10, 5, 0, 10), 9),
    "other places": (h5t.IEEE_F16BE, (0, 1, 6, 7, 9), 31),
    "of three bits of exponent": (h5t.IEEE_F16LE, (12, 8, 3, 2, 6), 3),
}


@pytest.mark.parametrize("name", FLOATS)
def test_every_float_of_two_bytes_is_what_h5py_reads(tmp_path: Path, name: str) -> None:
    like, fields, bias = FLOATS[name]
    stored = like.copy()
    stored.set_fields(*fields)
    stored.set_ebias(bias)
    assert_values_are_h5pys(tmp_path / "f.h5", stored, np.arange(1 << 16, dtype="u2").tobytes())


SMALL_FLOATS = {
    "E4M3": ((7, 3, 4, 0, 3), 7),
    "E5M2": ((7, 2, 5, 0, 2), 15),
    "E3M2 of six bits": ((5, 2, 3, 0, 2), 3),
    "E2M3 of six bits": ((5, 3, 2, 0, 3), 1),
    "E2M1 of four bits": ((3, 1, 2, 0, 1), 1),
}


@pytest.mark.parametrize("name", SMALL_FLOATS)
def test_every_float_of_one_byte_is_what_h5py_reads(tmp_path: Path, name: str) -> None:
    fields, bias = SMALL_FLOATS[name]
    stored = h5t.IEEE_F16LE.copy()
    stored.set_fields(*fields)
    stored.set_ebias(bias)
    stored.set_precision(fields[0] + 1)
    stored.set_size(1)
    assert_values_are_h5pys(tmp_path / "f.h5", stored, bytes(range(256)))


@given(st.sampled_from([h5t.IEEE_F16LE, h5t.IEEE_F32LE, h5t.IEEE_F32BE, h5t.IEEE_F64LE, h5t.IEEE_F64BE]), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_special_floats_of_any_bits_are_what_h5py_reads(tmp_path: Path, like: h5t.TypeID, data: st.DataObject) -> None:
    width, whole = 8 * like.get_size(), like.get_fields()
    exponent_size = data.draw(st.integers(1, whole[2]))
    mantissa_size = data.draw(st.integers(1, whole[4]))
    most = max(1, (1 << exponent_size - 1) - 1)
    bias = data.draw(st.integers(min(most, max(1, (1 << exponent_size) - 1 - np.finfo("f8").maxexp)), most))
    offset = data.draw(st.integers(0, width - 1 - exponent_size - mantissa_size))
    stored = like.copy()
    stored.set_fields(
        offset + mantissa_size + exponent_size, offset + mantissa_size, exponent_size, offset, mantissa_size
    )
    stored.set_ebias(bias)
    numbers = [0, 1, (1 << mantissa_size) - 1, data.draw(st.integers(0, (1 << mantissa_size) - 1))]
    exponents = [0, 1, (1 << exponent_size) - 2, (1 << exponent_size) - 1]
    raw = b"".join(
        ((sign << exponent_size | exponent) << mantissa_size + offset | mantissa << offset).to_bytes(
            width // 8, "big" if like.get_order() == h5t.ORDER_BE else "little"
        )
        for sign in (0, 1)
        for exponent in exponents
        for mantissa in numbers
    )
    assert_values_are_h5pys(tmp_path / "f.h5", stored, raw)


def assert_same_dataset(file: Parsed, dataset: h5d.DatasetID) -> None:
    """What is said about a dataset is what h5py says about it, and so are values that aren't in chunks."""
    header, plist = file.header(dataset), dataset.get_create_plist()
    datatype = parse_datatype(file.required(header, MessageType.DATATYPE))
    space = parse_dataspace(file.required(header, MessageType.DATASPACE), file.bytes.length_size)
    assert_same_type(datatype, dataset.get_type())
    assert_same_space(space, dataset.get_space())
    assert_same_fill_value(fill_value(file, header), datatype, dataset, file)
    steps = parse_filter_pipeline(file.message(header, MessageType.FILTER_PIPELINE) or EMPTY_PIPELINE)
    filters = [plist.get_filter(number)[:3] for number in range(plist.get_nfilters())]
    assert [(step.id, step.flags, step.options) for step in steps] == filters
    external = file.message(header, MessageType.EXTERNAL_FILES)
    slots = read_external_files(file.bytes, external) if external else ()
    sizes = [h5f.UNLIMITED if slot.size is None else slot.size for slot in slots]
    listed = [plist.get_external(number) for number in range(plist.get_external_count())]
    assert [(slot.name, slot.offset, size) for slot, size in zip(slots, sizes, strict=True)] == listed
    assert_same_layout(file, header, dataset, datatype)


EMPTY_PIPELINE = bytes((2, 0))
LAYOUTS = {Compact: h5d.COMPACT, Contiguous: h5d.CONTIGUOUS, Chunked: h5d.CHUNKED, Virtual: h5d.VIRTUAL}


def assert_same_layout(file: Parsed, header: ObjectHeader, dataset: h5d.DatasetID, datatype: Datatype) -> None:
    """The layout is the one that h5py has, and leads to the values where they are in one piece."""
    plist = dataset.get_create_plist()
    layout = parse_layout(file.required(header, MessageType.LAYOUT), file.bytes.offset_size, file.bytes.length_size)
    assert LAYOUTS[type(layout)] == plist.get_layout()
    if isinstance(layout, Chunked):
        assert (layout.chunk_shape, layout.element_size) == (plist.get_chunk(), datatype.size)
    if isinstance(layout, Compact) and dataset.shape is not None:
        assert_same_raw(layout.data, dataset, datatype, file)
    if isinstance(layout, Contiguous) and layout.address is not None and dataset.shape is not None:
        size = datatype.size * prod(dataset.shape)
        assert layout.size in (size, None)
        assert layout.address + file.bytes.base == dataset.get_offset()
        assert_same_raw(file.bytes.read(layout.address, size), dataset, datatype, file)


def assert_same_raw(raw: bytes, dataset: h5d.DatasetID, datatype: Datatype, file: Parsed) -> None:
    """Stored bytes have the values that h5py reads."""
    known = known_type(dataset.get_type())
    read = np.empty(dataset.shape, known.dtype)
    try:
        dataset.read(h5s.ALL, h5s.ALL, read, known.memory)
    except TypeError:  # sequences within others, of which h5py converts only some
        return
    ours = decode_values(raw, datatype, dataset.shape, file.heap)
    assert contents(ours, datatype.element, dataset) == contents(read, datatype.element, dataset)


def fill_value(file: Parsed, header: ObjectHeader) -> FillValue:
    """The fill value, which old files have in an old message."""
    for kind in (MessageType.FILL_VALUE, MessageType.OLD_FILL_VALUE):
        content = file.message(header, kind)
        if content is not None:
            return parse_fill_value(kind, content)
    return FillValue(False, None)  # as libhdf5 takes it; but room for chunks, it makes chunk by chunk


def assert_same_fill_value(ours: FillValue, datatype: Datatype, dataset: h5d.DatasetID, file: Parsed) -> None:
    """A fill value is the one that h5py has."""
    plist = dataset.get_create_plist()
    kinds = {True: h5d.FILL_VALUE_DEFAULT if ours.raw is None else h5d.FILL_VALUE_USER_DEFINED}
    assert plist.fill_value_defined() == kinds.get(ours.is_defined, h5d.FILL_VALUE_UNDEFINED)
    assert (plist.get_alloc_time(), plist.get_fill_time()) == (ours.when_allocated, ours.when_written)
    if ours.raw is not None and not (datatype.has_vlen or datatype.has_references):
        known = known_type(dataset.get_type())
        read = np.empty((), known.element)
        if not known.inner_shape:
            plist.get_fill_value(read)
            found = decode_values(ours.raw, datatype, (), file.heap)
            assert contents(found, known.element, dataset) == contents(read, known.element, dataset)


LAID_OUT: dict[str, dict[str, Any]] = {
    "nothing said": {},
    "chunks": {"chunks": (2, 3)},
    "one chunk": {"chunks": (4, 6)},
    "one filtered chunk": {"chunks": (4, 6), "compression": "gzip"},
    "growing": {"chunks": (2, 3), "maxshape": (None, 6)},
    "growing twice": {"chunks": (2, 3), "maxshape": (None, None)},
    "limited": {"chunks": (2, 3), "maxshape": (9, 9)},
    "filters": {"chunks": (2, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "scaled": {"chunks": (2, 3), "scaleoffset": 2},
    "plugin": {"chunks": (2, 3), "compression": "lzf"},
    "filled": {"chunks": (2, 3), "fillvalue": 7},
    "filled never": {"fillvalue": 7, "fill_time": "never"},
    "external": {"external": [("first.raw", 4, 40), ("second.raw", 0, h5f.UNLIMITED)]},
}


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("dtype", ["i4", "<f8", ">u2", "S5"])
def test_datasets_are_those_of_h5py(tmp_path: Path, libver: str, dtype: str) -> None:
    path = tmp_path / "datasets.h5"
    with h5py.File(path, "w", libver=libver, userblock_size=512) as file:
        for name, how in LAID_OUT.items():
            if dtype in ("i4", "u2") or "scaleoffset" not in how:
                fill = {"fillvalue": np.array(how["fillvalue"]).astype(dtype)} if "fillvalue" in how else {}
                dataset = file.create_dataset(name, (4, 6), dtype, **{**how, **fill})
                if "external" not in how:
                    dataset[...] = np.arange(24).reshape(4, 6).astype(dtype)
        write_compact(file, "compact", np.arange(6, dtype="i4"))
        file.create_dataset("empty", dtype=dtype, shape=None, data=h5py.Empty(dtype))
        file["committed"] = np.dtype([("a", "i4"), ("b", TEXT)])
        file.create_dataset("of it", (2,), file["committed"])
        layout = h5py.VirtualLayout((4, 6), dtype)
        layout[:] = h5py.VirtualSource(".", "chunks", (4, 6))
        file.create_virtual_dataset("virtual", layout)
    with h5py.File(path) as file, parsed(path) as bytes_of_it:
        for each in file.values():
            if isinstance(each, h5py.Dataset):
                assert_same_dataset(bytes_of_it, each.id)


def write_compact(file: h5py.File, name: str, values: NDArray[Any]) -> None:
    """A dataset within its object header."""
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_layout(h5d.COMPACT)
    space = h5s.create_simple(values.shape)
    h5d.create(file.id, name.encode(), h5t.py_create(values.dtype), space, plist).write(h5s.ALL, h5s.ALL, values)


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("track_order", [False, True])
def test_many_large_and_committed_attributes(tmp_path: Path, libver: str, track_order: bool) -> None:
    path = tmp_path / "many.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["committed"] = np.dtype([("a", "i4"), ("b", TEXT)])
        owner = file.create_group("owner", track_order=track_order)
        for number in range(40):
            owner.attrs[f"{number * 7 % 40}"] = f"value {number}"
        values = Written(file, 1).values(file["committed"].dtype, (2,))
        owner.attrs.create("of it", values, dtype=file["committed"])
        file["committed"].attrs["a"] = 1
        if libver != "earliest":
            owner.attrs["large"] = np.arange(20_000)
    with h5py.File(path) as file, parsed(path) as bytes_of_it:
        for name in ("owner", "committed"):
            assert_same_attributes(bytes_of_it, file[name].id)


def test_a_broken_attribute_leaves_the_others(tmp_path: Path) -> None:
    path = tmp_path / "broken.h5"
    with h5py.File(path, "w") as file:
        for name in ("first", "second", "third"):
            file.attrs[name] = 1
    content = path.read_bytes()
    # Behind its name, padded, the second has its datatype, whose class and version are its first byte.
    at = content.index(b"second\0\0") + 8
    path.write_bytes(content[:at] + b"\x0f" + content[at + 1 :])
    with parsed(path) as bytes_of_it:
        root = read_object_header(bytes_of_it.bytes, bytes_of_it.superblock.root)
        first, second, third = read_attributes(bytes_of_it.bytes, root, bytes_of_it.shared)
    assert (first.name, second.name, third.name) == (b"first", b"second", b"third")
    assert isinstance(second, BrokenAttribute)
    assert isinstance(second.error, FormatError)


def test_the_name_of_an_attribute_is_without_its_last_byte(tmp_path: Path) -> None:
    path = tmp_path / "names.h5"
    with h5py.File(path, "w") as file:
        for name in ("units", "signal"):
            file.attrs[name] = 1
    content = path.read_bytes()
    path.write_bytes(content.replace(b"signal\0", b"signal!"))
    with h5py.File(path) as file, parsed(path) as bytes_of_it:
        assert list(file.attrs) == ["signal", "units"]
        assert_same_attributes(bytes_of_it, file.id)


MESSAGES: dict[str, Callable[[bytes], object]] = {
    "datatype": parse_datatype,
    "dataspace": parse_dataspace,
    "layout": parse_layout,
    "filter pipeline": parse_filter_pipeline,
    "fill value": lambda content: parse_fill_value(MessageType.FILL_VALUE, content),
}


@pytest.mark.parametrize("kind", MESSAGES)
@given(st.binary(max_size=60), st.integers(0, 255))
@settings(deadline=None, max_examples=500)
def test_any_bytes_are_parsed_or_said_to_be_none(kind: str, content: bytes, first: int) -> None:
    with suppress(FormatError, UnsupportedError):
        MESSAGES[kind](bytes((first,)) + content)


@given(DTYPES, st.data())
@settings(deadline=None, max_examples=500)
def test_a_damaged_datatype_is_parsed_or_said_to_be_none(dtype: np.dtype[Any], data: st.DataObject) -> None:
    content = bytearray(h5t.py_create(dtype, logical=True).encode()[2:])
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from([0, 1, 8, 127, 255]))
    with suppress(FormatError, UnsupportedError):
        parse_datatype(bytes(content[: data.draw(st.integers(1, len(content)))]))


def test_a_tag_by_which_numpy_would_end_the_process_is_damage(tmp_path: Path) -> None:
    """It divides by what stands behind the slash."""
    kind = h5t.create(h5t.OPAQUE, 8)
    kind.set_tag(b"NUMPY:M8[ns/0]")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        h5d.create(file.id, b"dates", kind, h5s.create_simple((3,)))
        file["n"] = [1, 2]
        h5a.create(file["n"].id, b"date", kind, h5s.create_simple((1,)))
    before = (tmp_path / "f.h5").read_bytes()
    with pytest.warns(nexus_xr.NexusWarning) as warned:
        opened = xr.open_dataset(tmp_path / "f.h5", engine="nexus")
    assert opened.n.values.tolist() == [1, 2]
    told = "\n".join(str(each.message) for each in warned)
    assert told.count("has the tag b'NUMPY:M8[ns/0]', which is that of no dtype") == 2
    with pytest.raises(nexus_xr.NexusError, match="which is that of no dtype"):
        nexus_xr.repack(tmp_path / "f.h5")
    assert (tmp_path / "f.h5").read_bytes() == before
