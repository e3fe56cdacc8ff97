"""What virtual datasets are made of, from bytes: as libhdf5 has it."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import h5py
import pytest
from h5py import h5d, h5f, h5o, h5p, h5s, h5t
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nexus_xr.hdf5.format.checksum import CHECKSUM_BYTES, lookup3
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.heaps.global_heap import GlobalHeap
from nexus_xr.hdf5.format.messages.layout import Virtual, parse_layout
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import first_of, read_object_header
from nexus_xr.hdf5.format.virtual.selections import OTHER, SelectionKind, Slab, read_selection
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping, read_virtual_mappings
from nexus_xr.hdf5.io.source import BytesSource
from nexus_xr.hdf5.library.virtual import virtual_mappings_of
from nexus_xr.hdf5.reading.virtual_datasets.virtual_mapping import read_mappings

BOUNDS = (h5f.LIBVER_EARLIEST, h5f.LIBVER_V18, h5f.LIBVER_V110, h5f.LIBVER_LATEST)
NAMES = st.sampled_from([b".", b"a.h5", b"long" * 20 + b".h5", "µ.h5".encode(), b"%%.h5"])
LARGE = st.sampled_from([0, 1 << 15, 1 << 16, (1 << 16) + 7, (1 << 32) + 3])


def write(path: Path, bound: int, shape: tuple[int, ...], mappings: list[Any], growing: bool = False) -> None:
    access, properties = h5p.create(h5p.FILE_ACCESS), h5p.create(h5p.DATASET_CREATE)
    access.set_libver_bounds(bound, max(bound, h5f.LIBVER_V110))
    for file, name, source, target in mappings:
        properties.set_virtual(target, file, name, source)
    space = h5s.create_simple(shape, (h5s.UNLIMITED,) * len(shape) if growing else shape)
    with h5py.File(h5f.create(os.fsencode(path), h5f.ACC_TRUNC, fapl=access)) as file:
        h5d.create(file.id, b"data", h5t.STD_U16LE, space, properties)


def from_bytes(path: Path) -> tuple[VirtualMapping, ...]:
    with h5py.File(path) as file:
        address, rank = h5o.get_info(file["data"].id).addr, file["data"].ndim
    content = FileBytes(BytesSource(path.read_bytes()))
    message = first_of(read_object_header(content, address), MessageType.LAYOUT)
    assert message is not None
    layout = parse_layout(message)
    assert isinstance(layout, Virtual)
    return read_virtual_mappings(layout, GlobalHeap(content), rank)


def check(path: Path) -> None:
    """Compare with what libhdf5 says, which says of the same positions in more than one way."""
    ours = from_bytes(path)
    with h5py.File(path) as file:
        theirs, shape = virtual_mappings_of(file["data"].id), file["data"].shape
    assert [named[:2] for named in ours] == [named[:2] for named in theirs]
    assert [(each.source.kind, each.target.kind) for each in ours] == [(m.source.kind, m.target.kind) for m in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert read_mappings((our,), shape) == read_mappings((their,), shape)


@st.composite
def selections(draw: st.DrawFn, sizes: tuple[int, ...], count: int) -> h5s.SpaceID:
    """So many blocks along the first dimension, each as large as possible along the others; or another selection."""
    offset = draw(LARGE)
    space = h5s.create_simple((offset + 64, *sizes))
    start, stride = offset + draw(st.integers(0, 3)), draw(st.integers(1, 4))
    block = draw(st.integers(1, stride))
    inner = tuple(1 for _ in sizes)
    space.select_hyperslab((start, *(0 for _ in sizes)), (count, *inner), (stride, *inner), (block, *sizes))
    return space


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_regular_mappings_are_those_of_libhdf5(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("mappings") / "f.h5"
    sizes = tuple(data.draw(st.lists(st.integers(1, 3), max_size=2)))
    mappings = []
    for _ in range(data.draw(st.integers(1, 5))):
        target = data.draw(selections(sizes, data.draw(st.integers(1, 4))))
        number = target.get_select_npoints()
        source = h5s.create_simple((number + 1,))
        source.select_hyperslab((data.draw(st.integers(0, 1)),), (1,), None, (number,))
        if data.draw(st.booleans()):
            source = h5s.create_simple((number,))
        mappings.append((data.draw(NAMES), data.draw(NAMES), source, target))
    bound = data.draw(st.sampled_from(BOUNDS))
    write(path, bound, ((1 << 32) + 128, *sizes), mappings)
    check(path)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("kind", ["union", "even union", "grid", "nothing"])
def test_other_selections_are_told_as_such(tmp_path: Path, bound: int, kind: str) -> None:
    target, source = h5s.create_simple((9, 9)), h5s.create_simple((9, 9))
    if kind == "union":
        target.select_hyperslab((0, 0), (1, 1), None, (1, 2))
        target.select_hyperslab((4, 1), (2, 1), (3, 1), (1, 4), h5s.SELECT_OR)
    elif kind == "even union":
        target.select_hyperslab((1, 2), (1, 1), None, (1, 2))
        target.select_hyperslab((4, 2), (2, 1), (3, 1), (1, 2), h5s.SELECT_OR)
    elif kind == "grid":
        target.select_hyperslab((1, 0), (2, 3), (4, 3), (2, 1))
    else:
        target.select_none()
    source = h5s.create_simple((target.get_select_npoints(),))
    if kind == "nothing":
        source.select_none()
    write(tmp_path / "f.h5", bound, (9, 9), [(b"a.h5", b"data", source, target)])
    check(tmp_path / "f.h5")


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("at", [0, 1 << 17, 1 << 33])
@pytest.mark.parametrize("is_one_block", [True, False])
def test_mappings_without_an_end_are_those_of_libhdf5(tmp_path: Path, bound: int, at: int, is_one_block: bool) -> None:
    number, block = (1, h5s.UNLIMITED) if is_one_block else (h5s.UNLIMITED, 2)
    spaces = [h5s.create_simple((at, 4), (h5s.UNLIMITED, 4)) for _ in range(2)]
    for space in spaces:
        space.select_hyperslab((at, 0), (number, 1), (1 if is_one_block else 3, 1), (block, 4))
    write(tmp_path / "f.h5", bound, (at, 4), [(b"a.h5", b"data", *spaces)], growing=True)
    (ours,) = from_bytes(tmp_path / "f.h5")
    assert ours.target.is_endless
    assert ours.source.is_endless
    check(tmp_path / "f.h5")


def test_names_that_mappings_have_in_common_are_stored_once(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((60, 6), "u2")
    for number in range(60):
        file, path = ("a" * 40 + str(number // 25), "b" * 40 + str(number // 15))
        layout[number] = h5py.VirtualSource("." if number > 40 else file, path, (6,))
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        file.create_virtual_dataset("data", layout)
    check(tmp_path / "f.h5")


# --- damage ----------------------------------------------------------------------------------------------------------


@given(
    st.binary(max_size=80)
    | st.builds(
        lambda *parts: struct.pack("<II", *parts[:2]) + parts[2],
        st.integers(0, 3),
        st.integers(1, 3),
        st.binary(max_size=60),
    )
)
@example(struct.pack("<IIBBIHQ", 2, 3, 0, 8, 1, 0xFFFF, 1 << 60))
def test_selections_are_read_or_are_an_error(content: bytes) -> None:
    fields = Fields(content, "an example")
    try:
        selection = read_selection(fields)
    except FormatError:
        return
    assert fields.position <= len(content)
    assert bool(selection.slabs) == (selection.kind is SelectionKind.REGULAR)


def test_blocks_that_are_no_grid() -> None:
    def blocks(*corners: tuple[int, int]) -> bytes:
        numbers = [number for block in corners for number in block]
        return struct.pack(f"<IIIIII{len(numbers)}I", 2, 1, 0, 0, 1, len(corners), *numbers)

    def read(content: bytes) -> Any:
        return read_selection(Fields(content, "an example"))

    assert read(blocks((2, 3), (6, 7), (10, 11))).slabs == (Slab(2, 4, 3, 2),)
    for others in (((2, 3), (6, 8)), ((2, 3), (6, 7), (11, 12)), ((2, 3), (2, 3)), ((2, 5), (4, 7))):
        assert read(blocks(*others)) == OTHER
    with pytest.raises(FormatError):
        read(blocks((3, 2)))


def list_of(content: bytes) -> tuple[VirtualMapping, ...]:
    """The mappings of a heap in which that is the only object."""
    content += lookup3(content).to_bytes(CHECKSUM_BYTES, "little")
    size = len(content) + -len(content) % 8
    head = b"GCOL\x01\0\0\0" + struct.pack("<QHHIQ", 32 + size, 1, 1, 0, len(content))
    file = FileBytes(BytesSource(bytes(8) + head + content.ljust(size, b"\0")))
    return read_virtual_mappings(Virtual(8, 1), GlobalHeap(file), 1)


NOTHING_TWICE = 2 * struct.pack("<IIQ", 0, 1, 0)


def test_counts_and_numbers_are_not_believed() -> None:
    one = b"a\0b\0" + NOTHING_TWICE
    assert len(list_of(b"\0" + struct.pack("<Q", 2) + 2 * one)) == 2
    assert list_of(b"\1" + struct.pack("<Q", 1) + b"\4b\0" + NOTHING_TWICE)[0][:2] == (b".", b"b")
    points = struct.pack("<IIBIH6H", 1, 2, 2, 2, 3, *range(6))  # which libhdf5 reads, and doesn't write
    assert list_of(b"\0" + struct.pack("<Q", 1) + b"a\0b\0" + 2 * points)[0].target == OTHER
    for content in (
        b"\0" + struct.pack("<Q", 1 << 62) + one,  # which libhdf5 multiplies with the size of a mapping
        b"\0" + struct.pack("<Q", 2) + one,
        b"\2" + struct.pack("<Q", 1) + one,
        b"\1" + struct.pack("<Q", 1) + b"\x08" + one,
        b"\1" + struct.pack("<QBQ", 1, 1, 0) + b"b\0" + NOTHING_TWICE,
        b"\0"
        + struct.pack("<Q", 1)
        + b"a\0b\0"
        + NOTHING_TWICE[:16]
        + struct.pack("<IIBII8Q", 2, 2, 1, 0, 2, *[1] * 8),
    ):
        with pytest.raises(FormatError):
            list_of(content)
