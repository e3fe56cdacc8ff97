"""The compiled module takes structures apart as plain Python does, and leaves to it what is damaged or unusual."""

from __future__ import annotations

import gc
import io
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusWarning
from nexus_xr.hdf5.format import compiled
from nexus_xr.hdf5.format.array_type import parse_array_type
from nexus_xr.hdf5.format.attributes import AnyAttribute, BrokenAttribute, Value, read_attributes, usual_attributes
from nexus_xr.hdf5.format.checksum import python_lookup3
from nexus_xr.hdf5.format.datatypes.stored_type import varying_text
from nexus_xr.hdf5.format.descriptions import DatasetDescription, single_values, usual_dataset, usual_group
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.groups import links
from nexus_xr.hdf5.format.groups.links import Links, parse_link, read_links
from nexus_xr.hdf5.format.groups.symbol_table import group_links
from nexus_xr.hdf5.format.heaps.global_heap import GlobalHeap
from nexus_xr.hdf5.format.messages.layout import Contiguous, parse_layout
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import messages_in, read_object_header
from nexus_xr.hdf5.format.shared_messages import SHARED, SharedTable
from nexus_xr.hdf5.format.values import decode_one
from nexus_xr.hdf5.io.source import BytesSource
from nexus_xr.hdf5.objects.parsed import parsed_group
from nexus_xr.hdf5.objects.text import decode

pytest.importorskip("nexus_xr.hdf5.format._parse", reason="there was no compiler")

OFFSET_SIZES = st.sampled_from([2, 4, 8])
# Kinds of messages; that of a continuation leads elsewhere, and has a test of its own.
KINDS = st.integers(0, 30).filter(lambda kind: kind != MessageType.CONTINUATION)
FLAGS = st.sampled_from([0, 0, 0, 1, 2, 0x80])
CONTENTS = st.binary(max_size=40)


# What plain Python does as well; each gives None where it is left to that.
COMPILED = (
    *("header", "messages", "attributes", "dataset", "single", "group", "links", "links_in_heap"),
    *("entries", "link", "heap_objects", "text"),
)


@contextmanager
def in_plain_python() -> Iterator[None]:
    """Without the compiled module."""
    with pytest.MonkeyPatch.context() as patch:
        for name in COMPILED:
            patch.setattr(compiled, name, lambda *_: None)
        yield


def outcome(work: Callable[[], Any]) -> Any:
    """What comes of it: a value, or an error."""
    try:
        return work()
    except (FormatError, UnsupportedError) as error:
        return type(error), str(error)


def assert_same_both_ways(work: Callable[[], Any]) -> Any:
    """Do it with and without the compiled module; gives what comes of it."""
    with in_plain_python():
        expected = outcome(work)
    assert outcome(work) == expected
    return expected


@st.composite
def damaged(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> bytes:
    """Bytes of which some are others, or fewer."""
    content = bytearray(draw(contents))
    for _ in range(draw(st.integers(0, 3))):
        if content:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.sampled_from([0, 1, 2, 3, 0x7F, 0x80, 0xFF]))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 9)) == 0 else content)


def number(value: int, size: int) -> bytes:
    """A number as files have it."""
    return value.to_bytes(size, "little")


def file_of(content: bytes, offset_size: int = 8, length_size: int = 8) -> FileBytes:
    return FileBytes(BytesSource(content), 0, offset_size, length_size)


# --- object headers --------------------------------------------------------------------------------------------

MESSAGES = st.lists(st.tuples(KINDS, FLAGS, CONTENTS), max_size=6)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """Object headers of both versions, with a gap at the end now and then."""
    messages = draw(MESSAGES)
    gap = bytes(draw(st.integers(0, 3)))
    if draw(st.booleans()):
        block = b"".join(
            number(kind, 2) + number(len(c), 2) + bytes([flags, 0, 0, 0]) + c for kind, flags, c in messages
        )
        return b"\x01\0\0\0\1\0\0\0" + number(len(block + gap), 4) + bytes(4) + block + gap
    flags = draw(st.integers(0, 0x3F))
    order = bytes(2) if flags & 0x04 else b""
    block = b"".join(bytes([kind]) + number(len(c), 2) + bytes([f]) + order + c for kind, f, c in messages) + gap
    before = bytes((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
    width = 1 << (flags & 3)
    content = b"OHDR\2" + bytes([flags]) + before + number(len(block) % 256**width, width) + block
    return content + number(python_lookup3(content), 4)


@settings(max_examples=500, deadline=None)
@given(st.one_of(headers(), damaged(headers()), st.binary(max_size=60)), st.binary(max_size=20))
def test_object_headers(content: bytes, behind: bytes) -> None:
    assert_same_both_ways(lambda: read_object_header(file_of(content + behind), 0))


@settings(max_examples=200, deadline=None)
@given(MESSAGES.filter(lambda messages: not any(flags & 0x80 for _, flags, _ in messages)))
def test_usual_headers_are_not_left_to_python(messages: list[tuple[int, int, bytes]]) -> None:
    block = b"".join(bytes([kind]) + number(len(c), 2) + bytes([flags]) + c for kind, flags, c in messages)
    content = b"OHDR\2\1" + number(len(block), 2) + block
    found = compiled.header(content + number(python_lookup3(content), 4))
    assert found is not None
    assert found == compiled.messages(block, 4)
    assert {kind: [(f, c) for k, f, c in messages if k == kind] for kind, _, _ in messages if kind} == found


@settings(max_examples=200, deadline=None)
@given(MESSAGES, damaged(st.just(number(MessageType.ATTRIBUTE, 2) + number(8, 2) + bytes(12))), st.integers(0, 80))
def test_headers_that_continue(messages: list[tuple[int, int, bytes]], block: bytes, address: int) -> None:
    leads_to = (
        number(MessageType.CONTINUATION, 2) + number(16, 2) + bytes(4) + number(address, 8) + number(len(block), 8)
    )
    content = b"\x01\0\1\0\1\0\0\0" + number(len(leads_to), 4) + bytes(4) + leads_to
    assert_same_both_ways(lambda: read_object_header(file_of(content + bytes(40) + block), 0))


# --- attributes ------------------------------------------------------------------------------------------------

INTEGER, TEXT, SHORT = "100800000400000000002000", "19010100100000001300000001000000", "1100000008000000"
SCALAR, PAIR, NULL = "02000000", "020100010200000000000000", "02000002"
# Text of four bytes that ends with a null, with no more than nulls, and with spaces.
FIXED = ["1300000004000000", "1301000004000000", "1302000004000000"]
FIXED_TEXTS = [b"a\0b\0", b"abcd", b"ab  ", b"\0\0\0\0", b"\xff\xfeab", "ä".encode() + b"\0\0"]
TEXTS = [b"", b"text", b"one\0more", "grüße".encode(), b"\xff"]


def collection(objects: list[bytes]) -> bytes:
    """A collection of the global heap, whose objects are numbered from 1."""
    stored = b"".join(
        number(index, 2) + bytes(6) + number(len(each), 8) + each + bytes(-len(each) % 8)
        for index, each in enumerate(objects, 1)
    )
    return b"GCOL\1\0\0\0" + number(16 + len(stored), 8) + stored


FILE = bytes(16) + collection(TEXTS)


@st.composite
def attribute_messages(draw: st.DrawFn) -> bytes:
    """Attributes of all versions."""
    version = draw(st.integers(1, 3))
    flags = draw(st.sampled_from([0, 0, 0, 0, 1, 2]))
    name = draw(st.sampled_from([b"units", b"a", b"b", "ä".encode(), b"\xff"])) + b"\0"
    datatype = draw(st.sampled_from([INTEGER, TEXT, TEXT, SHORT, *FIXED]))
    parts = [name, bytes.fromhex(datatype), bytes.fromhex(draw(st.sampled_from([SCALAR, SCALAR, PAIR, NULL])))]
    head = bytes([version, flags]) + b"".join(number(len(part), 2) for part in parts)
    padding = 8 if version == 1 else 1
    padded = b"".join(part + bytes(-len(part) % padding) for part in parts)
    index = draw(st.integers(1, len(TEXTS) + 1))
    length = draw(st.sampled_from([len((*TEXTS, b"")[index - 1]), 0, 9]))
    element = number(length, 4) + number(draw(st.sampled_from([0, 16, 16, 16])), 8) + number(index, 4)
    return (
        head
        + (b"\0" if version == 3 else b"")
        + padded
        + draw(st.sampled_from([element, 2 * element, b"123", *FIXED_TEXTS]))
    )


def shown_value(value: Value, heap: GlobalHeap) -> Any:
    """The value of a single element; of others what they are, and their bytes."""
    if not isinstance(value, tuple) or not value[0].is_single:
        return value
    one = decode_one(value[1], value[0].datatype, heap)
    return decode(one) if value[0].datatype.is_text else one


def shown(found: list[AnyAttribute], heap: GlobalHeap) -> dict[str, Any] | None:
    """Attributes by their names, None where one of them is broken, or two have one name."""
    values = {}
    for each in found:
        if isinstance(each, BrokenAttribute):
            return None
        values[decode(each.name)] = shown_value((each.type, each.data), heap)
    return values if len(values) == len(found) else None


def assert_same_attributes(found: dict[str, Value], expected: Any, heap: GlobalHeap) -> None:
    """Check that attributes have the same names, order and values; or the same is wrong with them."""
    given_values = outcome(lambda: {name: shown_value(value, heap) for name, value in found.items()})
    assert given_values == expected
    assert not isinstance(expected, dict) or list(given_values) == list(expected)


@settings(max_examples=1000, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 0, 0, 1, SHARED]), st.one_of(attribute_messages(), damaged(attribute_messages()))
        ),
        max_size=4,
    )
)
def test_attributes(messages: list[tuple[int, bytes]]) -> None:
    file, header = file_of(FILE), {MessageType.ATTRIBUTE: messages}
    found = read_attributes(file, header, SharedTable(file, {}))  # which makes heads known
    heap = GlobalHeap(file)
    expected = outcome(lambda: shown(found, heap))  # which makes objects known
    usual = usual_attributes(file, header, heap)
    if usual is not None:
        assert_same_attributes(usual, expected, heap)
    elif isinstance(expected, dict) and all(flags == 0 and _says_all(content) for flags, content in messages):
        assert not all(name.isascii() for name in expected)


def test_an_attribute_of_more_bytes_than_there_can_be_is_broken_each_time() -> None:
    parts = [b"a\0", bytes.fromhex(TEXT), bytes.fromhex("02010001") + number(1 << 62, 8)]
    head = bytes([2, 0]) + b"".join(number(len(part), 2) for part in parts)
    file, header = file_of(FILE), {MessageType.ATTRIBUTE: [(0, head + b"".join(parts) + bytes(16))]}
    for _ in range(2):
        assert usual_attributes(file, header, GlobalHeap(file)) is None
        [found] = read_attributes(file, header, SharedTable(file, {}))
        assert isinstance(found, BrokenAttribute)


def _says_all(content: bytes) -> bool:
    return content[0] == 1 or not content[1] & 3


# --- links -----------------------------------------------------------------------------------------------------


@st.composite
def link_messages(draw: st.DrawFn, offset_size: int = 8) -> bytes:
    """Links of all kinds."""
    flags = draw(st.integers(0, 0x1F))
    kind = draw(st.sampled_from([0, 1, 64, 65, 2])) if flags & 0x08 else 0
    name = draw(st.binary(min_size=1, max_size=9))
    content = bytes([1, flags]) + (bytes([kind]) if flags & 0x08 else b"")
    content += draw(st.binary(min_size=8, max_size=8)) if flags & 0x04 else b""
    content += bytes([draw(st.integers(0, 1))]) if flags & 0x10 else b""
    content += number(len(name), 1 << (flags & 3)) + name
    if not kind:
        return content + draw(st.binary(min_size=offset_size, max_size=offset_size))
    target = draw(st.binary(max_size=9))
    return content + number(len(target), 2) + target


@settings(max_examples=500, deadline=None)
@given(st.one_of(link_messages(), damaged(link_messages()), st.binary(max_size=30)), OFFSET_SIZES)
def test_links(content: bytes, offset_size: int) -> None:
    assert_same_both_ways(lambda: parse_link(content, offset_size))


@settings(max_examples=100, deadline=None)
@given(link_messages())
def test_usual_links_are_not_left_to_python(content: bytes) -> None:
    found = outcome(lambda: parse_link(content, 8))
    assert compiled.link(content, 8) == (found if isinstance(found[0], bytes) else None)


@st.composite
def symbol_tables(draw: st.DrawFn, offset_size: int, length_size: int) -> bytes:
    """A tree of one node, its symbol node, and the heap with the names, at 0, 100 and 400."""
    names = draw(st.lists(st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name), max_size=4))
    segment = bytes(8) + b"".join(name + b"\0" for name in names)
    begins = [segment.index(name + b"\0") for name in names]
    width = 1 << 8 * min(offset_size, 4)
    nodes = b"SNOD\1\0" + number(len(names), 2)
    for begin in begins:
        nodes += number(begin, length_size) + number(draw(st.integers(0, width - 1)), offset_size)
        nodes += number(draw(st.integers(0, 3)), 4) + bytes(4) + number(draw(st.sampled_from(begins)), 4) + bytes(12)
    tree = b"TREE\0\0" + number(1, 2) + bytes(2 * offset_size) + bytes(length_size) + number(100, offset_size)
    heap = b"HEAP\0\0\0\0" + number(len(segment), length_size) + bytes(length_size) + number(440, offset_size)
    return tree.ljust(100, b"\0") + nodes.ljust(300, b"\0") + heap.ljust(40, b"\0") + segment


@settings(max_examples=500, deadline=None)
@given(st.data(), OFFSET_SIZES, OFFSET_SIZES)
def test_symbol_tables(data: st.DataObject, offset_size: int, length_size: int) -> None:
    tables = symbol_tables(offset_size, length_size)
    file = file_of(data.draw(st.one_of(tables, damaged(tables))), offset_size, length_size)
    each = assert_same_both_ways(lambda: [_shown(link) for link in group_links(file, 0, 400)])
    assert each is not None


def _shown(link: Any) -> Any:
    return str(link) if isinstance(link, FormatError) else link


def test_a_usual_symbol_table_is_not_left_to_python() -> None:
    segment = b"\0entry\0path\0"
    hard = number(1, 8) + number(500, 8) + bytes(24)
    soft = number(1, 8) + number(0, 8) + number(2, 4) + bytes(4) + number(7, 4) + bytes(12)
    expected = [(b"entry", 0, 500, b"", 0), (b"entry", 1, None, b"path", 0)]
    assert compiled.entries(hard + soft, segment, 20, 8, 8) == (expected, 4)
    assert compiled.entries(hard + soft, segment, 15, 8, 8) is None


def test_a_usual_group_is_not_left_to_python() -> None:
    names = [b"a", b"b", b"c"]
    segment = b"\0a\0b\0c\0"
    entries = [number(2 * i + 1, 8) + number(500 + i, 8) + bytes(24) for i in range(3)]
    nodes = [b"SNOD\1\0" + number(2, 2) + entries[0] + entries[1], b"SNOD\1\0" + number(1, 2) + entries[2]]
    children = [(200, b""), (300, b"")]
    tree = b"TREE\0\0" + number(2, 2) + bytes(16) + b"".join(bytes(8) + number(at, 8) for at, _ in children)
    heap = b"HEAP\0\0\0\0" + number(len(segment), 8) + bytes(8) + number(440, 8)
    content = tree.ljust(200, b"\0") + nodes[0].ljust(100, b"\0") + nodes[1].ljust(100, b"\0")
    content += heap.ljust(40, b"\0") + segment
    file = file_of(content)
    assert compiled.links(file.kept, 0, 400) is None  # nothing is kept yet
    file.read(0, 1)
    expected = [(name, 0, 500 + i, b"", 0) for i, name in enumerate(names)]
    assert compiled.links(file.kept, 0, 400) == expected
    assert compiled.links(file.kept, 0, (1 << 64) - 1) is None
    twice = file_of(content.replace(number(300, 8), number(200, 8)))
    twice.read(0, 1)
    assert compiled.links(twice.kept, 0, 400) is None


@pytest.mark.parametrize(("nodes", "is_usual"), [(0, True), (1, True), (64, True), (65, False)])
def test_groups_of_many_nodes_are_left_to_python(nodes: int, is_usual: bool) -> None:
    begin = 24 + 16 * 65
    tree = b"TREE\0\0" + number(nodes, 2) + bytes(16)
    tree += b"".join(bytes(8) + number(begin + 48 + 48 * i, 8) for i in range(nodes))
    content = tree.ljust(begin, b"\0") + (b"HEAP\0\0\0\0" + number(500, 8) + bytes(8) + number(begin + 4000, 8)).ljust(
        48, b"\0"
    )
    for i in range(nodes):
        content += b"SNOD\1\0" + number(1, 2) + number(4 * i + 1, 8) + number(i, 8) + bytes(24)
    content = content.ljust(begin + 4000, b"\0") + b"".join(b"\0%03d" % i for i in range(nodes)).ljust(500, b"\0")
    file = file_of(content)
    links = assert_same_both_ways(lambda: list(group_links(file, 0, begin)))
    assert [link.address for link in links] == list(range(nodes))
    assert (compiled.links(file.kept, 0, begin) is not None) == is_usual


@cache
def stored_group(libver: str, members: int) -> tuple[bytes, int]:
    """A file with a group that has attributes and so many members, and where its header is."""
    stored = io.BytesIO()
    with h5py.File(stored, "w", libver=libver) as file:
        group = file.create_group("entry")
        group.attrs["NX_class"] = "NXentry"
        group.attrs["count"] = np.int32(3)
        group.attrs["text"] = np.bytes_(b"fixed")
        for number_of in range(members):
            group[f"field_{number_of:02}"] = h5py.SoftLink(f"/{number_of}") if number_of % 3 else file
        address = h5py.h5o.get_info(group.id).addr
    return stored.getvalue(), address


@st.composite
def damaged_group(draw: st.DrawFn, libver: str, members: int) -> tuple[bytes, int]:
    """The same with a few other bytes, of those that say what is in the group."""
    stored, address = stored_group(libver, members)
    content = bytearray(stored)
    places = st.integers(0, len(content) - 1) | st.integers(address, min(address + 300, len(content) - 1))
    for place in draw(st.lists(places, max_size=3)):
        content[place] = draw(st.sampled_from([0, 1, 2, 3, 5, 8, 16, 0x7F, 0x80, 0xFF]))
    if libver == "latest" and draw(st.booleans()):
        content = bytearray(sealed(bytes(content)))
    return bytes(content), address


def sealed(content: bytes) -> bytes:
    """A file whose heaps, their blocks and trees have right checksums again, whatever else is in them."""
    made = bytearray(content)
    for signature, size in ((b"FRHP", 142), (b"BTHD", 34)):
        for match in re.finditer(signature, content):
            begin, end = match.start(), match.start() + size
            made[end : end + 4] = number(python_lookup3(bytes(made[begin:end])), 4)
    return bytes(made)


def as_told(found: Any) -> Any:
    """Links in their order, and what is wrong with them as it is said; or what was raised."""
    return (list(found.by_name.items()), str(found.damage)) if isinstance(found, Links) else found


@pytest.mark.parametrize(("libver", "members"), [("earliest", 0), ("earliest", 5), ("latest", 5), ("latest", 20)])
def test_links_and_attributes_of_groups(libver: str, members: int) -> None:
    @settings(max_examples=80, deadline=None)
    @given(damaged_group(libver, members))
    def same(stored: tuple[bytes, int]) -> None:
        content, address = stored
        file = file_of(content)
        file.read_up_to(0, 1)
        heap = GlobalHeap(file)
        with in_plain_python():
            header = outcome(lambda: read_object_header(file, address))
            links = header if isinstance(header, tuple) else outcome(lambda: read_links(file, header))
            attributes = [] if isinstance(header, tuple) else read_attributes(file, header, SharedTable(file, {}))
            values = outcome(lambda: shown(attributes, heap))
        if not isinstance(header, tuple):
            assert as_told(outcome(lambda: read_links(file, header))) == as_told(links)
        found = usual_group(file, address, heap)
        if found is not None:
            assert as_told(found.links) == as_told(links)
            assert_same_attributes(found.attributes, values, heap)

    same()


def test_usual_groups_are_not_left_to_python() -> None:
    content, address = stored_group("earliest", 5)
    file = file_of(content)
    heap = GlobalHeap(file)
    assert usual_group(file, address, heap) is None  # nothing is kept yet
    file.read(0, 1)
    attributes = read_attributes(file, read_object_header(file, address), SharedTable(file, {}))  # makes heads known
    assert shown(attributes, heap) is not None  # makes objects known
    found = usual_group(file, address, heap)
    assert found is not None
    assert list(found.attributes) == ["NX_class", "count", "text"]
    assert list(found.attributes.values()) == ["NXentry", 3, "fixed"]
    assert list(found.links.by_name) == [b"field_%02d" % i for i in range(5)]


def test_groups_without_members_are_not_left_to_python() -> None:
    content, address = stored_group("earliest", 0)
    file = file_of(content)
    read_attributes(file, read_object_header(file, address), SharedTable(file, {}))  # which makes heads known
    found = usual_group(file, address, GlobalHeap(file))
    assert found is not None
    assert found.links == Links({}, None)


@pytest.mark.parametrize(
    ("sizes", "gap", "is_usual"),
    [((64, 64), 64, True), ((72, 64), 64, False), ((64, 72), -64, False), ((64, 64), 0, False), ((0, 64), 64, False)],
)
def test_headers_of_groups_that_continue_within_themselves_are_left_to_python(
    sizes: tuple[int, int], gap: int, is_usual: bool
) -> None:
    content, address = stored_group("earliest", 5)
    [(_, table)] = read_object_header(file_of(content), address)[MessageType.SYMBOL_TABLE]
    content = content.ljust(-(-len(content) // 8) * 8, b"\0")
    further = len(content) + 16 + 24 + 2 * 24 + 64
    said = [(MessageType.SYMBOL_TABLE, table)]
    said += [(MessageType.CONTINUATION, number(further + i * gap, 8) + number(sizes[i], 8)) for i in range(2)]
    block = b"".join(number(kind, 2) + number(len(c), 2) + bytes(4) + c for kind, c in said)
    header = b"\x01\0\3\0\1\0\0\0" + number(len(block), 4) + bytes(4) + block
    file = file_of(content + header + bytes(300))
    file.read_up_to(0, 1)
    found = usual_group(file, len(content), GlobalHeap(file))
    assert (found is not None) == is_usual


def test_a_group_whose_attributes_cannot_be_told_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "damaged.nxs"
    with h5py.File(path, "w") as file:
        file.create_group("beside")
        file.create_group("group").attrs["größe"] = 1
        root = h5py.h5o.get_info(file.id).addr

    def only_the_root(file: FileBytes, address: int) -> Any:
        if address != root:
            raise FormatError("an object header ends too early")
        return read_object_header(file, address)

    monkeypatch.setattr(parsed_group, "read_object_header", only_the_root)
    with pytest.warns(NexusWarning, match="/group: can't be opened"):
        assert list(nexus_xr.read_metadata(path)) == ["beside"]


def test_links_in_a_heap_of_one_block_are_not_left_to_python(monkeypatch: pytest.MonkeyPatch) -> None:
    content, address = stored_group("latest", 20)
    file = file_of(content)
    header = read_object_header(file, address)
    monkeypatch.setattr(links, "_from_heap", None)
    found = read_links(file, header)
    assert list(found.by_name) == [b"field_%02d" % i for i in range(20)]


@pytest.mark.parametrize("members", [20, 400])
def test_links_in_a_heap_of_many_blocks_are_the_same(members: int) -> None:
    content, address = stored_group("latest", members)
    file = file_of(content)
    header = read_object_header(file, address)
    assert len(assert_same_both_ways(lambda: read_links(file, header)).by_name) == members


# --- trees -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hardlinks_only", [False, True])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_trees(tmp_path: Path, libver: str, hardlinks_only: bool) -> None:
    path = tmp_path / "tree.nxs"
    values = {
        "integer": np.int16(-3),
        "big_endian": np.array(2**40, ">u8"),
        "float": np.float32(1.5),
        "half": np.float16(0.5),
        "flag": np.True_,
        "complex": np.complex64(1 + 2j),
        "text": "grüße",
        "empty": "",
        "terminated": np.bytes_(b"ab"),
        "not_utf8": np.bytes_(b"\xb5m"),
        "one": np.array([7]),
        "several": np.arange(3.0),
        "words": np.array(["a", "bc"], object),
        "nothing": h5py.Empty("f8"),
    }
    with h5py.File(path, "w", libver=libver) as file:
        for name, length in (("many", 12), ("few", 2)):
            group = file.create_group(f"entry/{name}")
            for key, value in values.items():
                group[key] = value
                group[key].attrs["units"] = "mm"
                group[key].attrs["value"] = value
            for number_of in range(length):
                group[f"soft_{number_of}"] = h5py.SoftLink(f"/entry/few/{[*values, 'none'][number_of]}")
            for padding in (h5py.h5t.STR_NULLTERM, h5py.h5t.STR_NULLPAD, h5py.h5t.STR_SPACEPAD):
                kind = h5py.h5t.TypeID.copy(h5py.h5t.C_S1)
                kind.set_size(5)
                kind.set_strpad(padding)
                space = h5py.h5s.create(h5py.h5s.SCALAR)
                h5py.h5d.create(group.id, b"padded_%d" % padding, kind, space).write(
                    space, space, np.array(b"a\0b ", "S5"), kind
                )
            group.create_dataset("unwritten", (), "i4", fillvalue=5)
    with in_plain_python():
        expected = attrs_of(path, hardlinks_only)
    for _ in range(2):  # what is met is known the second time
        found = attrs_of(path, hardlinks_only)
        assert found == expected
        assert repr_of_tree(found) == repr_of_tree(expected)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_segments_of_a_single_element_are_segments(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "master.h5"
    with h5py.File(path, "w", libver=libver) as file:
        for number_of in (1, 2):
            file[f"raw/{number_of}"] = np.full((1, 1, 1), number_of)
            file[f"entry/data_00000{number_of}"] = h5py.SoftLink(f"/raw/{number_of}")
    for _ in range(2):  # what is met is known the second time
        entry = xr.open_datatree(path, engine="nexus")["entry"].to_dataset()
        assert entry["data"].values.tolist() == [[[1]], [[2]]]


def attrs_of(path: Path, hardlinks_only: bool) -> dict[str, Any]:
    tree = xr.open_datatree(path, engine="nexus", hardlinks_only=hardlinks_only)
    return {name: node.attrs for name, node in tree.subtree_with_keys}


def repr_of_tree(tree: Any) -> Any:
    """A tree as nested pairs in order, with the types of what is in it."""
    if isinstance(tree, dict):
        return [(name, repr_of_tree(member)) for name, member in tree.items()]
    return type(tree), repr(tree)


# --- datasets --------------------------------------------------------------------------------------------------

BLOCK = 32 << 10
DATA = bytes(range(256)) * 2
# Behind these is an element of varying length, whose text is in the collection that the file begins with.
ELEMENT_AT = 600 + len(DATA)
ELEMENT = number(4, 4) + number(16, 8) + number(2, 4)
KINDS_BESIDE = st.sampled_from([0, 2, 4, 5, 7, 11, 13, 17, 18, 21, 22, 24, 30])


@st.composite
def layouts(draw: st.DrawFn) -> bytes:
    """Data in the message itself, in one piece, and in chunks."""
    version = draw(st.sampled_from([3, 3, 3, 4, 5, 1]))
    address = draw(st.sampled_from([600, 600, 0, BLOCK - 4, (1 << 64) - 1, 1 << 40, ELEMENT_AT]))
    contiguous = bytes([version, 1]) + number(address, 8) + number(draw(st.sampled_from([8, 512, 4, 0])), 8)
    compact = bytes([version, 0]) + number(8, 2) + DATA[:8]
    chunked = bytes([3, 2, 2]) + number(600, 8) + number(4, 4) + number(8, 4)
    return draw(st.sampled_from([contiguous, contiguous, contiguous, compact, chunked]))


@st.composite
def dataset_messages(draw: st.DrawFn) -> list[tuple[int, int, bytes]]:
    """What datasets say of themselves, now and then something less, or something beside."""
    said = [
        (MessageType.DATATYPE, 0, bytes.fromhex(draw(st.sampled_from([INTEGER, SHORT, TEXT, *FIXED])))),
        (MessageType.DATASPACE, 0, bytes.fromhex(draw(st.sampled_from([SCALAR, SCALAR, PAIR, NULL])))),
        (MessageType.LAYOUT, 0, draw(layouts())),
    ]
    attributes = draw(st.lists(attribute_messages(), max_size=2))
    beside = draw(st.lists(st.tuples(KINDS_BESIDE, st.sampled_from([0, 0, 1]), CONTENTS), max_size=2))
    if draw(st.integers(0, 9)) == 0:
        said[draw(st.integers(0, 2))] = (draw(st.sampled_from([0, 1, 3, 8])), draw(st.sampled_from([0, SHARED])), b"")
    messages = [*said, *((MessageType.ATTRIBUTE, 0, each) for each in attributes), *beside]
    return draw(st.permutations(messages))


@st.composite
def dataset_headers(draw: st.DrawFn) -> bytes:
    """Their headers, in both versions."""
    messages = draw(dataset_messages())
    if draw(st.booleans()):
        block = b"".join(number(k, 2) + number(len(c), 2) + bytes([f, 0, 0, 0]) + c for k, f, c in messages)
        return b"\x01\0\0\0\1\0\0\0" + number(len(block), 4) + bytes(4) + block
    block = b"".join(bytes([kind]) + number(len(c), 2) + bytes([flags]) + c for kind, flags, c in messages)
    content = b"OHDR\2\1" + number(len(block), 2) + block
    return content + number(python_lookup3(content), 4)


@settings(max_examples=1000, deadline=None)
@given(st.one_of(dataset_headers(), dataset_headers(), damaged(dataset_headers())), st.sampled_from([0, BLOCK - 40]))
def test_datasets(header: bytes, address: int) -> None:
    content = (FILE.ljust(600, b"\0") + DATA + ELEMENT).ljust(max(address, 2000), b"\0")
    at = address or 2000
    file = file_of(content + header.ljust(1200, b"\0"))
    heap = GlobalHeap(file)
    expected = outcome(lambda: described_in_python(file, at, heap))
    found = outcome(lambda: usual_dataset(file, at, heap))
    if isinstance(found, DatasetDescription):
        array_type, layout, messages, attributes, data = expected
        assert (found.type, found.layout, found.has_raw_files) == (array_type, layout, False)
        assert isinstance(found.header, bytes)
        assert messages_in(found.header) == messages
        if found.attributes is not None:
            assert_same_attributes(found.attributes, attributes, heap)
        assert found.data is None or found.data == data
    elif found is not None:  # what is wrong with it
        assert found == expected
    single = single_values(file, heap)(at)
    if single is not None:
        array_type, layout, _, attributes, data = expected
        assert array_type.is_single
        assert (single[0], list(single[1].items())) == (shown_value((array_type, data), heap), list(attributes.items()))
        assert type(single[0]) in (int, str)
    elif isinstance(found, DatasetDescription) and found.data is not None and found.attributes is not None:
        assert not found.type.is_single or found.type.way is None or is_hard(found, found.attributes, found.data, heap)


def is_hard(found: DatasetDescription, attributes: dict[str, Value], data: bytes, heap: GlobalHeap) -> bool:
    """Whether something of it is text that isn't UTF-8 or isn't known, or no single text or number."""
    values = [*attributes.values(), (found.type, data)]
    shown_values = [outcome(partial(shown_value, value, heap)) for value in values]
    return any(isinstance(value, tuple) or "ÿ" in str(value) for value in [*attributes.values(), *shown_values])


def described_in_python(file: FileBytes, address: int, heap: GlobalHeap) -> Any:
    """What is said about a dataset, message by message; what it takes becomes known."""
    with in_plain_python():
        header = read_object_header(file, address)
    if (
        {2, 7, 17} & set(header)
        or not {1, 3, 8} <= set(header)
        or any(header[kind][0][0] & SHARED for kind in (1, 3, 8))
    ):
        return None
    array_type = parse_array_type(header[3][0][1], header[1][0][1], 8)
    layout = parse_layout(header[8][0][1])
    attributes = read_attributes(file, header, SharedTable(file, {}))
    values = outcome(lambda: shown(attributes, heap))
    place = layout.address if isinstance(layout, Contiguous) else None
    return array_type, layout, header, values, None if place is None else file.read_up_to(place, array_type.size)


@pytest.mark.parametrize(("count", "is_given"), [(0, False), (1, True), (64, True), (65, False)])
def test_few_bytes_are_given_with_what_is_said(count: int, is_given: bool) -> None:
    space = bytes.fromhex("02010001") + number(count, 8)
    layout = bytes([3, 1]) + number(0, 8) + number(4 * count, 8)
    said = [
        (MessageType.DATATYPE, bytes.fromhex(INTEGER)),
        (MessageType.DATASPACE, space),
        (MessageType.LAYOUT, layout),
    ]
    block = b"".join(number(kind, 2) + number(len(c), 2) + bytes(4) + c for kind, c in said)
    header = b"\x01\0\0\0\1\0\0\0" + number(len(block), 4) + bytes(4) + block
    file = file_of(DATA + header)
    heap = GlobalHeap(file)
    assert usual_dataset(file, len(DATA), heap) is None  # nothing is kept yet
    file.read(0, 1)
    parse_array_type(said[0][1], said[1][1], 8)
    found = usual_dataset(file, len(DATA), heap)
    assert found is not None
    assert found.data == (DATA[: 4 * count] if is_given else None)
    assert found.attributes == {}
    beyond = file_of((DATA + header)[: len(DATA) + 40])
    beyond.read(0, 1)
    assert usual_dataset(beyond, len(DATA), heap) is None


@pytest.mark.parametrize(("count", "is_usual"), [((1 << 60) - 1, True), (1 << 60, False)])
def test_datasets_of_more_bytes_than_there_can_be_are_not_usual(count: int, is_usual: bool) -> None:
    space = bytes.fromhex("02010001") + number(count, 8)
    layout = bytes([3, 1]) + number(0, 8) + number(4 * count % (1 << 64), 8)
    said = [
        (MessageType.DATATYPE, bytes.fromhex(INTEGER)),
        (MessageType.DATASPACE, space),
        (MessageType.LAYOUT, layout),
    ]
    block = b"".join(number(kind, 2) + number(len(c), 2) + bytes(4) + c for kind, c in said)
    file = file_of(b"\x01\0\0\0\1\0\0\0" + number(len(block), 4) + bytes(4) + block)
    file.read(0, 1)
    assert parse_array_type(said[0][1], said[1][1], 8).size == 4 * count
    found = usual_dataset(file, 0, GlobalHeap(file))
    assert (found is not None) == is_usual
    assert found is None or (found.data is None and found.type.size == 4 * count)


# --- what is made of them --------------------------------------------------------------------------------------


class Mine(dict[str, Any]):
    """A dictionary of one's own, which Python always tracks."""


class Told:
    """What may be part of a cycle."""

    tree: Any = None


@pytest.mark.parametrize(
    ("values", "is_left_out"),
    [
        ({"a": 1, "b": "text"}, True),
        ({}, True),
        ({"a": np.zeros(3)}, True),
        ({"a": [1]}, False),
        ({"a": {1: 1}}, False),
    ],
)
def test_what_holds_nothing_tracked_is_left_out_of_the_collectors_walks(
    values: dict[str, Any], is_left_out: bool
) -> None:
    held = Mine(values)
    assert gc.is_tracked(held)
    assert compiled.untracked(held) is held
    assert gc.is_tracked(held) != is_left_out
    assert gc.is_tracked(compiled.untracked((1, held)))  # into which something may be put
    assert not gc.is_tracked(compiled.untracked((1, "text")))


@pytest.mark.parametrize("is_nested", [False, True])
def test_what_is_made_a_cycle_afterwards_is_collected(is_nested: bool) -> None:
    held = compiled.untracked(Mine(a=1))
    above = compiled.untracked(Mine(below=held)) if is_nested else held
    told = Told()
    told.tree = above
    held["told"] = told
    gone = weakref.ref(told)
    del held, above, told
    gc.collect()
    assert gone() is None


# --- the global heap -------------------------------------------------------------------------------------------


@st.composite
def collections(draw: st.DrawFn, length_size: int) -> bytes:
    """Collections with some objects, of which several may have one index, and room behind them."""
    objects = b""
    for content in draw(st.lists(CONTENTS, max_size=5)):
        size = number(len(content), length_size).ljust(8, b"\0")
        objects += number(draw(st.integers(0, 4)), 2) + bytes(6) + size + content + bytes(-len(content) % 8)
    room = draw(st.sampled_from([0, 8, 16, 40]))
    objects += (bytes(8) + number(room, length_size)).ljust(room, b"\0")[:room]
    head_bytes = 8 + length_size + -(8 + length_size) % 8
    return (b"GCOL\1\0\0\0" + number(head_bytes + len(objects), length_size)).ljust(head_bytes, b"\0") + objects


@settings(max_examples=500, deadline=None)
@given(st.data(), OFFSET_SIZES)
def test_collections_of_the_global_heap(data: st.DataObject, length_size: int) -> None:
    whole = collections(length_size)
    content = data.draw(st.one_of(whole, damaged(whole)))
    for index in range(5):
        assert_same_both_ways(partial(_object, file_of(content, 8, length_size), index))


def _object(file: FileBytes, index: int) -> bytes:
    return GlobalHeap(file).get(0, index)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.integers(1, 60_000), CONTENTS, max_size=5))
def test_usual_collections_are_not_left_to_python(objects: dict[int, bytes]) -> None:
    content = b"".join(
        number(index, 2) + bytes(6) + number(len(each), 8) + each + bytes(-len(each) % 8)
        for index, each in objects.items()
    )
    assert compiled.heap_objects(content + bytes(8) + number(16, 8), 8) == objects


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 9), st.sampled_from([0, 16, 16, 16]), st.integers(1, len(TEXTS) + 1), OFFSET_SIZES)
def test_text_of_varying_length(length: int, address: int, index: int, offset_size: int) -> None:
    element = number(length, 4) + number(address, offset_size) + number(index, 4)
    heap = GlobalHeap(file_of(FILE))
    expected = outcome(
        lambda: decode(decode_one(element, varying_text(len(element), str), heap))
    )  # which it then knows
    found = heap.text(element)
    assert found is None or found == expected
    if isinstance(expected, str) and expected.isascii():
        assert found is not None


def test_no_compiled_module_takes_arguments_that_a_newer_python_builds_otherwise() -> None:
    """Built by Python 3.13, a format with a length is no more the one that Python before it takes."""
    sources = sorted(Path(nexus_xr.__file__).parent.rglob("*.c"))
    format_of = re.compile(r'(?:ParseTuple|BuildValue)\([^"]*"([^"]*)"')
    formats = [each for path in sources for each in format_of.findall(path.read_text())]
    assert formats
    assert not [each for each in formats if "#" in each]
