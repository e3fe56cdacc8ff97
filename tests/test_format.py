"""Superblocks, object headers, heaps, B-trees and links from bytes: what libhdf5 says of the same file."""

from __future__ import annotations

import ctypes
import os
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import hdf5plugin  # noqa: F401
import numpy as np
import pytest
from h5py import h5f, h5g, h5o, h5p
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nexus_xr
from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.format import cache_image, checksum
from nexus_xr.hdf5.format import values as format_values
from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.datatypes.stored_type import varying_text
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.groups.links import external_target, is_group, read_links
from nexus_xr.hdf5.format.groups.stored_link import EXTERNAL, HARD, StoredLink
from nexus_xr.hdf5.format.heaps import fractal_heap, global_heap, heap_filters
from nexus_xr.hdf5.format.heaps.global_heap import GlobalHeap
from nexus_xr.hdf5.format.messages.filter_pipeline import FilterStep
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import ObjectHeader, first_of, read_object_header
from nexus_xr.hdf5.format.shared_messages import SHARED, SharedTable, read_shared_table, resolve
from nexus_xr.hdf5.format.superblock import Superblock, read_superblock
from nexus_xr.hdf5.io.source import BytesSource, Source
from nexus_xr.hdf5.runtime.libraries import Signature, function

from .fuzz_files import described_by

LIBVERS: tuple[Any, ...] = ("earliest", "v108", "v110", "latest")
# Groups and files can be made in more ways than h5py has names for.
_IDENTIFIER, _NUMBER = ctypes.c_int64, ctypes.c_uint
DEFLATE, FLETCHER32, BZIP2 = 1, 3, 307
ALL_SHAREABLE = 1 << 1 | 1 << 3 | 1 << 5 | 1 << 11 | 1 << 12


def configure(name: str, properties: Any, *arguments: int) -> None:
    """Call a function of libhdf5 that sets properties."""
    call = function("h5py", name, Signature(ctypes.c_int, (_IDENTIFIER, *[_NUMBER] * len(arguments))), 0)
    if call is None or call(properties.id, *arguments) < 0:
        pytest.skip(f"there is no {name}")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100))
def test_a_checksum_is_libhdf5s(content: bytes) -> None:
    arguments = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint32)
    theirs = function("h5py", "H5_checksum_metadata", Signature(ctypes.c_uint32, arguments), 0)
    ways = [
        checksum.lookup3,
        checksum.python_lookup3,
        *([] if theirs is None else [lambda raw: theirs(raw, len(raw), 0)]),
    ]
    assert len({way(content) for way in ways}) == 1
    ended = content + checksum.lookup3(content).to_bytes(4, "little")
    assert checksum.checked(ended, "it") == content
    with pytest.raises(FormatError, match="it has a wrong checksum"):
        checksum.checked(bytes([ended[0] ^ 1]) + ended[1:], "it")


def add_filter(properties: Any, number: int, *options: int) -> None:
    arguments = (_IDENTIFIER, ctypes.c_int, _NUMBER, ctypes.c_size_t, ctypes.c_void_p)
    call = function("h5py", "H5Pset_filter", Signature(ctypes.c_int, arguments), 0)
    values = (_NUMBER * len(options))(*options)
    if call is None or call(properties.id, number, 0, len(options), ctypes.addressof(values)) < 0:
        pytest.skip("there is no H5Pset_filter")


def create(
    path: Path,
    libver: str,
    file_options: Callable[[h5p.PropFCID], None] = lambda properties: None,
) -> h5py.File:
    access, creation = h5p.create(h5p.FILE_ACCESS), h5p.create(h5p.FILE_CREATE)
    bounds = {"earliest": h5f.LIBVER_EARLIEST, "v108": h5f.LIBVER_V18, "v110": h5f.LIBVER_V110}
    access.set_libver_bounds(bounds.get(libver, h5f.LIBVER_LATEST), bounds.get(libver) or h5f.LIBVER_LATEST)
    file_options(creation)
    return h5py.File(h5f.create(os.fsencode(path), h5f.ACC_TRUNC, creation, access))


def opened(content: bytes) -> tuple[Superblock, FileBytes]:
    superblock = read_superblock(BytesSource(content))
    return superblock, file_bytes(BytesSource(content), superblock)


def read_tree(content: bytes) -> dict[int, list[StoredLink]]:
    """The links of all groups that hard links lead to, by the addresses of the groups."""
    superblock, file = opened(content)
    return walk(file, superblock.root)


def links_of(file: FileBytes, header: ObjectHeader) -> list[StoredLink]:
    found = read_links(file, header)
    if found.damage is not None:
        raise found.damage
    return list(found.by_name.values())


def walk(file: FileBytes, root: int) -> dict[int, list[StoredLink]]:
    found: dict[int, list[StoredLink]] = {}
    ahead = [root]
    while ahead:
        address = ahead.pop()
        header = read_object_header(file, address)
        if address not in found and is_group(header):
            found[address] = links_of(file, header)
            ahead += [link.address for link in found[address] if link.address is not None]
    return found


def tree_of_libhdf5(file: h5py.File) -> dict[int, list[StoredLink]]:
    found: dict[int, list[StoredLink]] = {}
    ahead = [file["/"].id]
    while ahead:
        group = ahead.pop()
        address = h5o.get_info(group).addr
        if address not in found and isinstance(group, h5g.GroupID):
            names = list(file[h5py.Group(group).name or "/"])
            found[address] = [link_of_libhdf5(group, name.encode("utf-8", "surrogateescape")) for name in names]
            ahead += [h5o.open(group, link.name) for link in found[address] if link.kind == HARD]
    return found


def link_of_libhdf5(group: h5g.GroupID, name: bytes) -> StoredLink:
    info = group.links.get_info(name)
    order = info.corder if info.corder_valid else 0
    if info.type == HARD:
        return StoredLink(name, info.type, info.u, b"", order)
    target = group.links.get_val(name)
    if info.type == EXTERNAL:
        target = b"\0" + b"\0".join(target) + b"\0"
    return StoredLink(name, info.type, None, target, order)


def assert_is_as_libhdf5_reads_it(path: Path) -> dict[int, list[StoredLink]]:
    found = read_tree(path.read_bytes())
    with h5py.File(path) as file:
        assert found == tree_of_libhdf5(file)
    return found


# --- links -----------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12)
TARGETS = st.sampled_from(
    [h5py.SoftLink("/"), h5py.SoftLink("/not/there"), h5py.ExternalLink("other.h5", "/entry"), "dataset", "group"]
)
TREES = st.recursive(
    st.dictionaries(NAMES.filter(lambda name: name != "."), TARGETS, max_size=14),
    lambda below: st.dictionaries(NAMES.filter(lambda name: name != "."), TARGETS | below, max_size=14),
    max_leaves=4,
)


def write_links(group: h5py.Group, tree: Mapping[str, Any], track_order: bool) -> None:
    for name, target in tree.items():
        if isinstance(target, dict):
            write_links(group.create_group(name, track_order=track_order), target, not track_order)
        elif target == "dataset":
            group[name] = 1
        elif target == "group":
            group.create_group(name, track_order=track_order)
        else:
            group[name] = target


@given(
    tree=TREES,
    libver=st.sampled_from(LIBVERS),
    user_block=st.sampled_from([0, 512, 1024]),
    offset_size=st.sampled_from([4, 8]),
    length_size=st.sampled_from([4, 8]),
    track_order=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_links_are_those_of_libhdf5(
    tmp_path_factory: pytest.TempPathFactory,
    tree: Mapping[str, Any],
    libver: str,
    user_block: int,
    offset_size: int,
    length_size: int,
    track_order: bool,
) -> None:
    path = tmp_path_factory.mktemp("links") / "f.h5"

    def options(properties: h5p.PropFCID) -> None:
        properties.set_userblock(user_block)
        properties.set_sizes(offset_size, length_size)
        if track_order:
            properties.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)

    with create(path, libver, options) as file:
        write_links(file, tree, track_order)
    assert_is_as_libhdf5_reads_it(path)
    superblock, _ = opened(path.read_bytes())
    assert (superblock.base, superblock.offset_size, superblock.length_size) == (user_block, offset_size, length_size)


@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("libver", LIBVERS)
def test_groups_may_have_thousands_of_links_and_lose_most_of_them(
    tmp_path: Path, libver: str, track_order: bool
) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver=libver, track_order=track_order) as file:
        file["data"] = 1
        for number in range(2000):
            file[f"{number * 7919 % 2003}{'x' * (number % 300)}"] = (
                h5py.SoftLink(f"/{number}") if number % 3 else file["data"]
            )
    (found,) = assert_is_as_libhdf5_reads_it(path).values()
    assert len(found) == 2001
    with h5py.File(path, "r+", libver=libver) as file:
        for link in found[1:-3]:
            del file[link.name]
    assert_is_as_libhdf5_reads_it(path)


@pytest.mark.parametrize("libver", LIBVERS)
def test_names_may_be_longer_than_what_a_heap_manages(tmp_path: Path, libver: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver=libver) as file:
        for number in range(20):
            file[f"{number}" + "x" * 4000 * number] = h5py.SoftLink(f"/{number}")
    (found,) = assert_is_as_libhdf5_reads_it(tmp_path / "f.h5").values()
    assert max(len(link.name) for link in found) == 76_002


@pytest.mark.parametrize("filters", [(DEFLATE,), (FLETCHER32,), (FLETCHER32, DEFLATE, FLETCHER32)])
def test_links_may_have_gone_through_filters(tmp_path: Path, filters: tuple[int, ...]) -> None:
    path = tmp_path / "f.h5"
    write_filtered(path, filters)
    found = assert_is_as_libhdf5_reads_it(path)
    assert sorted(map(len, found.values())) == [2, 9, 500]


def write_filtered(path: Path, filters: tuple[int, ...]) -> None:
    """A group of many links, and one whose links are longer than what a heap manages."""
    options = {DEFLATE: (9,), BZIP2: (9,)}
    with h5py.File(path, "w", libver="latest") as file:
        properties = h5p.create(h5p.GROUP_CREATE)
        for number in filters:
            add_filter(properties, number, *options.get(number, ()))
        for name in (b"many", b"long"):
            h5g.create(file.id, name, gcpl=properties)
        for number in range(500):
            file[f"many/{number:04}"] = h5py.SoftLink("/nowhere" * (1 + number % 9))
        for number in range(9):
            file[f"long/{number}{random.Random(number).randbytes(4000 * number).hex()}"] = h5py.SoftLink("/nowhere")


def test_other_filters_of_links_are_left_to_libhdf5(tmp_path: Path) -> None:
    write_filtered(tmp_path / "f.h5", (BZIP2,))
    with pytest.raises(UnsupportedError, match="filter 307"):
        read_tree((tmp_path / "f.h5").read_bytes())


@pytest.mark.parametrize("track_order", [False, True])
def test_the_name_of_a_link_may_be_counted_with_its_end(tmp_path: Path, track_order: bool) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest", track_order=track_order) as file:
        file["counts!"] = h5py.SoftLink("/else!")
        file["where"] = h5py.SoftLink("/counts")
    path.write_bytes(_header_mended(path.read_bytes().replace(b"counts!", b"counts\0")))
    assert {link.name for link in assert_is_as_libhdf5_reads_it(path).popitem()[1]} == {b"counts", b"where"}


def _header_mended(content: bytes) -> bytes:
    """The same with the checksum of its only object header made right."""
    begin = content.index(b"OHDR")
    size_at = begin + (22 if content[begin + 5] & 0x20 else 6)
    size_width = 1 << (content[begin + 5] & 3)
    end = size_at + size_width + int.from_bytes(content[size_at : size_at + size_width], "little")
    return content[:end] + checksum.lookup3(content[begin:end]).to_bytes(4, "little") + content[end + 4 :]


def test_what_an_external_link_leads_to() -> None:
    assert external_target(b"\0a.h5\0/b\0") == (b"a.h5", b"/b")
    for damaged in (b"", b"\x01a.h5\0/b\0", b"\0a.h5\0/b"):
        with pytest.raises(FormatError):
            external_target(damaged)


# --- superblocks and object headers ----------------------------------------------------------------------------


def test_a_superblock_that_was_moved_is_where_it_is(tmp_path: Path) -> None:
    for libver in LIBVERS:
        with h5py.File(tmp_path / "f.h5", "w", libver=libver) as file:
            file["data"] = 1
        (tmp_path / "moved.h5").write_bytes(bytes(2048) + (tmp_path / "f.h5").read_bytes())
        assert_is_as_libhdf5_reads_it(tmp_path / "moved.h5")


@pytest.mark.parametrize("name", ["H5Pset_sym_k", "H5Pset_istore_k"])
def test_nodes_may_be_of_another_size(tmp_path: Path, name: str) -> None:
    arguments = (2, 1) if name == "H5Pset_sym_k" else (3,)
    with create(tmp_path / "f.h5", "earliest", lambda properties: configure(name, properties, *arguments)) as file:
        for number in range(400):
            file[f"{number}"] = h5py.SoftLink("/")
    assert_is_as_libhdf5_reads_it(tmp_path / "f.h5")
    superblock, _ = opened((tmp_path / "f.h5").read_bytes())
    assert superblock.version == (name == "H5Pset_istore_k")


def test_what_is_being_written_may_have_grown(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        file.create_dataset("data", (0,), "f4", maxshape=(None,), chunks=(1 << 20,))
        file.swmr_mode = True
        superblock, bytes_ = opened((tmp_path / "f.h5").read_bytes())
        assert superblock.is_swmr
        assert superblock.is_open_for_writing
        assert [link.name for link in links_of(bytes_, read_object_header(bytes_, superblock.root))] == [b"data"]
    superblock, _ = opened((tmp_path / "f.h5").read_bytes())
    assert not superblock.is_swmr
    assert not superblock.is_open_for_writing


class CacheImage(ctypes.Structure):
    """Whether libhdf5 leaves what is in its cache in the file, instead of where it belongs."""

    _fields_ = (
        ("version", ctypes.c_int),
        ("is_wanted", ctypes.c_bool),
        ("has_sizes", ctypes.c_bool),
        ("age", ctypes.c_int),
    )


def imaged(path: Path, user_block: int = 0) -> Path:
    """A file with an image of the cache, and one of the same without beside it."""
    access, creation = h5p.create(h5p.FILE_ACCESS), h5p.create(h5p.FILE_CREATE)
    access.set_libver_bounds(h5f.LIBVER_LATEST, h5f.LIBVER_LATEST)
    creation.set_userblock(user_block)
    for target, is_wanted in ((path.with_suffix(".plain.h5"), False), (path, True)):
        image = CacheImage(1, is_wanted, False, -1)
        signature = Signature(ctypes.c_int, (_IDENTIFIER, ctypes.c_void_p))
        call = function("h5py", "H5Pset_mdc_image_config", signature, 0)
        if call is None or call(access.id, ctypes.addressof(image)) < 0:
            pytest.skip("there are no images of the cache")
        with h5py.File(h5f.create(os.fsencode(target), h5f.ACC_TRUNC, creation, access)) as file:
            write_variety(file)
    return path


def write_variety(file: h5py.File) -> None:
    """Many small structures: attributes, a dense group, a chunked dataset that may grow, texts in the heap."""
    group = file.create_group("group", track_order=True)
    for number in range(20):
        group.create_dataset(f"field{number}", data=number).attrs["unit"] = f"text {number}"
    file.create_dataset(
        "stack", data=np.arange(400.0).reshape(20, 20), chunks=(3, 7), maxshape=(None, 20), shuffle=True
    )
    file["texts"] = ["one", "two"]


@pytest.mark.parametrize("user_block", [0, 512])
def test_an_image_of_the_cache_counts_in_place_of_what_is_there(tmp_path: Path, user_block: int) -> None:
    path = imaged(tmp_path / "f.h5", user_block)
    found = described_by("bytes", str(path))
    assert found == described_by("libhdf5", str(path.with_suffix(".plain.h5")))
    assert len(found) > 80
    content = path.read_bytes()
    superblock = read_superblock(BytesSource(content))
    with pytest.raises(FormatError):  # its objects are nowhere else
        read_object_header(FileBytes(BytesSource(content), superblock.base), superblock.root)


def test_values_beside_an_image_of_the_cache_are_those_of_the_file(tmp_path: Path) -> None:
    arrays = {each.name: each for each in nexus_xr.open_signals(imaged(tmp_path / "f.h5"))}
    np.testing.assert_array_equal(arrays["stack"], np.arange(400.0).reshape(20, 20))
    assert list(arrays["texts"].values) == ["one", "two"]


@given(
    gaps=st.lists(st.tuples(st.integers(0, 9), st.binary(min_size=1, max_size=9)), max_size=9),
    reads=st.lists(st.tuples(st.integers(0, 110), st.integers(0, 110)), min_size=1, max_size=9),
    is_ahead=st.booleans(),
)
def test_entries_of_an_image_lie_over_the_bytes_of_the_file(
    gaps: list[tuple[int, bytes]], reads: list[tuple[int, int]], is_ahead: bool
) -> None:
    content, entries, end = bytearray(b"." * 100), {}, 0
    for gap, entry in gaps:
        entries[end + gap] = entry
        content[end + gap : end + gap + len(entry)] = entry
        end += gap + len(entry)
    del content[100:]  # what is said to be behind the end isn't there
    source: Source = cache_image._ImagedSource(BytesSource(b"." * 100, "key"), entries)
    assert (source.size, source.key, source.plans_ahead) == (100, "key", False)
    with source.expecting(lambda: ([], [])) as expecting:
        for offset, size in reads:
            view = memoryview(bytearray(size))
            count = (expecting if is_ahead else source).read_into(view, offset)
            assert view[:count] == content[offset : offset + size]


IMAGE_HEAD = 4 + 1 + 1 + 8 + 4  # signature, version, flags, size, and how many entries
ENTRY_ADDRESS, ENTRY_SIZE = 14, 22  # of an entry, where its address and its size are


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (0, b"MDCX", "isn't one"),
        (4, b"\1", "isn't one"),
        (IMAGE_HEAD - 4, b"\xff\xff\xff\x7f", "ends too early"),
        (IMAGE_HEAD + ENTRY_SIZE, b"\xff" * 8, "ends too early"),
        (IMAGE_HEAD + ENTRY_ADDRESS, None, "lie over one another"),
        (IMAGE_HEAD, None, "wrong checksum"),
    ],
)
def test_a_damaged_image_of_the_cache_is_told_of_without_libhdf5(
    tmp_path: Path, at: int, value: bytes | None, reason: str
) -> None:
    path = imaged(tmp_path / "f.h5")
    content = bytearray(path.read_bytes())
    start = content.rindex(b"MDCI\0")
    size = int.from_bytes(content[start + 6 : start + 14], "little")
    second = (
        start + IMAGE_HEAD + ENTRY_SIZE + 8 + int.from_bytes(content[start + IMAGE_HEAD + ENTRY_SIZE :][:8], "little")
    )
    if reason == "lie over one another":  # the first is where the second is
        value = bytes(content[second + ENTRY_ADDRESS : second + ENTRY_ADDRESS + 8])
    content[start + at : start + at + len(value or b"?")] = value or b"?"
    if reason != "wrong checksum":
        end = start + size - checksum.CHECKSUM_BYTES
        content[end : start + size] = checksum.lookup3(bytes(content[start:end])).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(NexusFileError, match=f"the image of libhdf5's cache.*{reason}"):
        nexus_xr.read_metadata(path)


@pytest.mark.parametrize("libver", LIBVERS)
def test_what_is_no_whole_file_is_none(tmp_path: Path, libver: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver=libver) as file:
        file["data"] = np.zeros(1000)
    content = (tmp_path / "f.h5").read_bytes()
    for damaged in (b"", b"no file", content[:8], content[:40], content[:-1], content[8:]):
        with pytest.raises(FormatError):
            opened(damaged)


def header_of(content: bytes, path: str) -> tuple[FileBytes, ObjectHeader, SharedTable]:
    superblock, file = opened(content)
    header = read_object_header(file, superblock.root)
    for name in filter(None, path.split("/")):
        (address,) = (link.address for link in links_of(file, header) if link.name == name.encode())
        assert address is not None
        header = read_object_header(file, address)
    return file, header, read_shared_table(file, superblock.extension)


# --- shared messages -------------------------------------------------------------------------------------------


def write_datasets(file: h5py.File) -> None:
    for number in range(30):
        dataset = file.create_dataset(
            f"{number}", (number % 3 + 1,), ["i2", "S300", [("x", "f8"), ("y", "S7", (2,))]][number % 3],
            chunks=True, compression="gzip", fillvalue=None if number % 3 else number,
        )  # fmt: skip
        dataset.attrs["units"] = "metre" * (1 + number % 4)
        dataset.attrs["number"] = number % 2
        file[f"scalar{number}"] = number


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("indexes", [1, 2])
def test_shared_messages_say_what_others_do(tmp_path: Path, libver: str, indexes: int) -> None:
    def share(properties: h5p.PropFCID) -> None:
        configure("H5Pset_shared_mesg_nindexes", properties, indexes)
        kinds = (
            (ALL_SHAREABLE,)
            if indexes == 1
            else (1 << MessageType.DATATYPE, ALL_SHAREABLE - (1 << MessageType.DATATYPE))
        )
        for number, flags in enumerate(kinds):
            configure("H5Pset_shared_mesg_index", properties, number, flags, 1)
        configure("H5Pset_shared_mesg_phase_change", properties, 3, 2)

    for name, options in (("plain", lambda properties: None), ("shared", share)):
        with create(tmp_path / name, libver, options) as file:
            write_datasets(file)
    count = 0
    for name in [f"{prefix}{number}" for prefix in ("", "scalar") for number in range(30)]:
        plain, shared = (header_of((tmp_path / which).read_bytes(), name) for which in ("plain", "shared"))
        for kind in (MessageType.DATASPACE, MessageType.DATATYPE, MessageType.FILL_VALUE, MessageType.FILTER_PIPELINE):
            expected, found = (said(*one, kind) for one in (plain, shared))
            assert [content.rstrip(b"\0") for content in found] == [content.rstrip(b"\0") for content in expected]
        count += sum(bool(flags & SHARED) for messages in shared[1].values() for flags, _ in messages)
    assert count > 100


def said(file: FileBytes, header: ObjectHeader, table: SharedTable, kind: int) -> list[bytes]:
    return [resolve(file, kind, flags, content, table) for flags, content in header.get(kind, [])]


@pytest.mark.parametrize("libver", LIBVERS)
def test_committed_datatypes_are_found(tmp_path: Path, libver: str) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver=libver) as file:
        file["type"] = np.dtype("i4,f8")
        file.create_dataset("named", (), file["type"])
        file.create_dataset("plain", (), "i4,f8")
    content = (tmp_path / "f.h5").read_bytes()
    named, plain, committed = (
        said(*header_of(content, name), MessageType.DATATYPE) for name in ("named", "plain", "type")
    )
    assert named == committed
    assert named[0].rstrip(b"\0") == plain[0].rstrip(b"\0")


def test_what_is_shared_is_somewhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        file["group/type"] = np.dtype("i4")
        where = h5o.get_info(file["group"].id).addr.to_bytes(8, "little")
    file, _, table = header_of((tmp_path / "f.h5").read_bytes(), "group")
    for content in (b"", b"\x00\x02" + where, b"\x04\x02" + where, b"\x03\x02" + where, b"\x03\x01" + where):
        with pytest.raises(FormatError):
            resolve(file, MessageType.DATATYPE, SHARED, content, table)


# --- heaps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("kept", [0, 10_000, 1 << 24])
def test_the_global_heap_has_values_of_variable_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libver: str, kept: int
) -> None:
    monkeypatch.setattr(global_heap, "_MOST_KEPT_BYTES", kept)
    expected = [b"x" * (number * 7919 % 997) + b"y" for number in range(400)]
    with h5py.File(tmp_path / "f.h5", "w", libver=libver) as file:
        dataset = file.create_dataset("data", data=expected, dtype=h5py.string_dtype())
        offset = dataset.id.get_offset()
    content = (tmp_path / "f.h5").read_bytes()
    rows = np.frombuffer(content, [("size", "<u4"), ("address", "<u8"), ("index", "<u4")], 400, offset)
    _, bytes_ = opened(content)
    heap = GlobalHeap(bytes_)
    found = [heap.get(address, index)[:size] for size, address, index in rows.tolist()]
    assert found == expected
    with pytest.raises(FormatError):
        heap.get(rows["address"][0].item(), 60_000)
    with pytest.raises(FormatError):
        heap.get(0, 1)


@pytest.fixture(scope="module")
def texts_in_heaps(tmp_path_factory: pytest.TempPathFactory) -> tuple[GlobalHeap, NDArray[Any]]:
    """A file with texts in several collections, one of which has a null within, and the elements that lead there."""
    path = tmp_path_factory.mktemp("heaps") / "f.h5"
    with h5py.File(path, "w") as file:
        texts = [b"<%d>" % number + b"x" * (number * 97 % 6000) for number in range(80)]
        offset = file.create_dataset("data", data=texts, dtype=h5py.string_dtype()).id.get_offset()
    content = path.read_bytes().replace(b"<7>", b"<\0>")
    rows = np.frombuffer(content, [("length", "<u4"), ("address", "<u8"), ("index", "<u4")], 80, offset)
    assert len(np.unique(rows["address"])) > 2
    return GlobalHeap(opened(content)[1]), rows


@given(data=st.data(), together=st.sampled_from((0, 3, 10_000)))
@settings(max_examples=150, deadline=None)
def test_texts_are_those_of_their_elements_in_any_order(
    texts_in_heaps: tuple[GlobalHeap, NDArray[Any]], data: st.DataObject, together: int
) -> None:
    heap, rows = texts_in_heaps
    numbers = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=120).map(sorted) | st.permutations(range(80)))
    elements = rows[numbers]
    for at in data.draw(
        st.lists(st.integers(0, max(0, len(elements) - 1)), max_size=3 if len(elements) else 0, unique=True)
    ):
        field, value = data.draw(st.sampled_from((("length", 0), ("length", 2), ("address", 0))))
        elements[field][at] = value
        if value == 0:
            elements["index"][at] = 60_000  # where there is none, nor is one needed
    expected = [
        heap.get(address, index)[:length].partition(b"\0")[0] if length and address else b""
        for length, address, index in elements.tolist()
    ]
    with patch.object(format_values, "_LEAST_OF_COLLECTION", together):
        found = format_values.decode_values(elements.tobytes(), varying_text(16, bytes), (len(elements),), heap)
    assert found.tolist() == expected


@pytest.mark.parametrize("together", [0, 10_000])
@pytest.mark.parametrize("field", ["length", "address", "index"])
def test_texts_that_no_heap_has(
    texts_in_heaps: tuple[GlobalHeap, NDArray[Any]], monkeypatch: pytest.MonkeyPatch, field: str, together: int
) -> None:
    monkeypatch.setattr(format_values, "_LEAST_OF_COLLECTION", together)
    heap, rows = texts_in_heaps
    elements = rows.copy()
    elements[field][40] = 50_000
    with pytest.raises(FormatError):
        format_values.decode_values(elements.tobytes(), varying_text(16, bytes), (80,), heap)
    elements["length"] = 0  # what has no length is looked for nowhere
    none = format_values.decode_values(elements.tobytes(), varying_text(16, bytes), (80,), heap)
    assert none.tolist() == [b""] * 80


def test_an_object_that_no_heap_has(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        for number in range(20):
            file[f"{number}"] = h5py.SoftLink("/")
    bytes_, root, _ = header_of((tmp_path / "f.h5").read_bytes(), "")
    info = first_of(root, MessageType.LINK_INFO)
    assert info is not None
    heap = fractal_heap.open_heap(bytes_, int.from_bytes(info[2:10], "little"))
    for heap_id in (
        bytes(7),
        bytes(8),
        b"\x40" + bytes(6),
        b"\x30" + bytes(6),
        b"\x10" + bytes(6),
        b"\x00" + b"\xff" * 6,
    ):
        with pytest.raises(FormatError):
            heap.get(heap_id)
    assert heap.get(b"\x22abcdef") == b"abc"


@given(st.binary(min_size=1, max_size=70))
def test_filters_of_heaps_are_those_of_chunks(content: bytes) -> None:
    with h5py.File.in_memory() as file:
        dataset = file.create_dataset("data", (len(content),), "u1", chunks=(len(content),), fletcher32=True)
        dataset[:] = np.frombuffer(content, np.uint8)
        _, stored = dataset.id.read_direct_chunk((0,))
    steps = (FilterStep(DEFLATE, b"", 0, (9,)), FilterStep(FLETCHER32, b"", 0, ()))
    without_deflate = 1
    assert heap_filters.unfiltered(stored, steps, without_deflate, len(content)) == content
    for damaged, size in ((stored, len(content) + 1), (bytes((stored[0] ^ 1,)) + stored[1:], len(content))):
        with pytest.raises(FormatError):
            heap_filters.unfiltered(damaged, steps, without_deflate, size)


# --- damage ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=LIBVERS)
def small_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("damage") / "f.h5"
    with h5py.File(path, "w", libver=request.param, track_order=True) as file:
        file["data"] = 1
        for number in range(12):
            file[f"group/{number}"] = h5py.SoftLink("/" * (number + 1))
            file[f"group/{number}x"] = file["data"]
        file["text"] = ["a", "bc"]
    return path.read_bytes()


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_damage_is_told_of(small_file: bytes, data: st.DataObject) -> None:
    content = bytearray(small_file)
    places = st.integers(0, len(content) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        content[place] = data.draw(st.sampled_from((0, 1, 127, 128, 255)) | st.integers(0, 255))
    with suppress(FormatError, UnsupportedError):
        read_tree(bytes(content[: data.draw(st.just(len(content)) | places)]))
