"""Files described from their bytes: as libhdf5 describes them, whatever they hold."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import h5py
import numpy as np
import pytest
from h5py import h5d, h5o, h5s, h5t
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_xr import NexusFileError
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.format import file_bytes
from nexus_xr.hdf5.format.checksum import CHECKSUM_BYTES, lookup3
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.library.group import root_of
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link

from .corpus import CORPUS, corpus_files

SMALL_BYTES = 1 << 16

# --- a whole tree, to be compared ------------------------------------------------------------------------------------


def tree_of(root: Group) -> dict[str, Any]:
    """Everything below a group by its path; what was found before, by the path where it was found."""
    found: dict[str, Any] = {}
    known: dict[Any, str] = {}
    waiting: list[Group | Dataset | Link] = [root]
    for member in waiting:
        if isinstance(member, Group) and member.address not in known:
            known[member.address] = member.path
            inside = list(member.members())
            waiting += [each for _, each, _ in inside if not isinstance(each, Link)]
            links = {name: _link(member, name, each, is_soft) for name, each, is_soft in inside}
            found[member.path] = ("group", _attributes(member), links)
        elif isinstance(member, Group):
            found[member.path] = ("again", known[member.address])
        elif isinstance(member, Dataset):
            found[member.path] = ("dataset", _dataset(member), _attributes(member))
    return found


def _link(group: Group, name: str, member: Group | Dataset | Link, is_soft: bool) -> Any:
    what = member.trouble if isinstance(member, Link) else isinstance(member, Group)
    return (group.link_to(name), what) if is_soft else what


def _attributes(item: Group | Dataset) -> list[Any]:
    return [(name, _plain(value)) for name, value in item.read_attributes().items()]


def _dataset(dataset: Dataset) -> Any:
    value: Any = "large"
    if dataset.nbytes <= SMALL_BYTES:
        try:
            value = _plain(dataset.read())
        except Exception as error:
            value = type(error).__name__
    dtype, storage = dataset.raw_dtype, dataset.storage
    kinds = (dtype, dict(dtype.metadata or {}), dataset.is_null, dataset.why_no_array, dataset.is_virtual)
    return dataset.shape, dataset.size, dataset.can_grow, kinds, storage, dataset.filters, value


def _plain(value: Any) -> Any:
    """A value that is equal to itself."""
    if isinstance(value, h5py.Empty):
        return "empty", value.dtype
    if not isinstance(value, np.ndarray | np.generic):
        return type(value), repr(value)
    if value.dtype.names is not None:  # what is between the parts is nobody's
        return value.shape, [_plain(np.asarray(value)[name]) for name in value.dtype.names]
    if value.dtype.hasobject:
        return value.shape, [_plain(each) for each in np.ravel(value)]
    return value.dtype, value.shape, value.tobytes()


def described_in_both_ways(path: Path) -> tuple[File, Any, Any]:
    """The file, and what its bytes and what libhdf5 say of it."""
    file = File(path)
    from_bytes, from_library = Diagnostics(), Diagnostics()
    with described(file, from_bytes) as root:
        ours = tree_of(root)
    with file.opened() as handle:
        theirs = tree_of(root_of(handle, from_library))
    return file, (ours, sorted(map(str, from_bytes))), (theirs, sorted(map(str, from_library)))


def check(path: Path) -> File:
    file, (ours, said), (theirs, they_said) = described_in_both_ways(path)
    for name in {**ours, **theirs}:
        assert ours.get(name) == theirs.get(name), name
    assert said == they_said
    return file


# --- files of every kind ---------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "µ", "n" * 70, "..", " "]).map(str.encode) | st.sampled_from(
    [b"\xb5", b"\xe9a"]
)
PATHS = st.lists(st.sampled_from(["a", "b", "c", "µ", ".", "", "a/b", "missing"]), min_size=1, max_size=3)
TARGETS = st.builds(lambda start, names: start + "/".join(names), st.sampled_from(["", "/"]), PATHS)
VALUES: dict[str, Callable[[], Any]] = {
    "number": lambda: 1.5,
    "numbers": lambda: np.arange(12, dtype=">i2").reshape(3, 4),
    "none": lambda: np.zeros((0, 3), "u1"),
    "null": lambda: h5py.Empty("f4"),
    "bool": lambda: np.array([True, False]),
    "complex": lambda: np.complex64(1 + 2j),
    "half": lambda: np.float16(0.5),
    "long": lambda: np.longdouble(0.1),
    "text": lambda: "text µ",
    "texts": lambda: np.array(["a", "", "µm"], h5py.string_dtype()),
    "bytes": lambda: np.bytes_(b"abc \0"),
    "padded": lambda: np.array([b"ab", b""], "S5"),
    "latin": lambda: np.array([b"\xb5m", b"mm"], h5py.string_dtype("ascii")),
    "varying": lambda: _varying([np.arange(3), np.arange(0)], "i4"),
    "enumerated": lambda: np.array([0, 1], h5py.enum_dtype({"OFF": 0, "ON": 1}, "i2")),
    "rows": lambda: np.array([(1, b"a", [1, 2])], [("n", "<i4"), ("s", "S3"), ("v", "f4", (2,))]),
    "rows of text": lambda: np.array([("a", 1)], [("t", h5py.string_dtype()), ("n", "u1")]),
    "arrays": lambda: np.zeros(2, np.dtype(("<i4", (3,)))),
    "large": lambda: np.zeros(40_000, "u2"),
    "opaque": lambda: np.array(["2020-01-01"], "M8[D]").astype(h5py.opaque_dtype("M8[D]")),
}
STORAGE: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "chunked": {"chunks": True},
    "compressed": {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True},
    "growing": {"chunks": True, "maxshape": True},
    "unwritten": {"data": None},
    "filled": {"data": None, "fillvalue": True},
}
LIBVERS = st.sampled_from(["earliest", "v108", "v110", "latest"])


def _varying(parts: list[Any], dtype: Any) -> Any:
    array = np.empty(len(parts), h5py.vlen_dtype(np.dtype(dtype)))
    array[:] = parts
    return array


class Writer:
    """Puts things into a file, one after the other, whatever is there already."""

    def __init__(self, file: h5py.File, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.groups = [file["/"]]
        self.items: list[Any] = [file["/"]]

    def place(self) -> tuple[h5py.Group, bytes]:
        return self.draw(st.sampled_from(self.groups)), self.draw(NAMES)

    def group(self) -> None:
        above, name = self.place()
        made = above.create_group(name, track_order=self.draw(st.booleans()))
        self.groups.append(made)
        self.items.append(made)

    def dataset(self) -> None:
        above, name = self.place()
        value = VALUES[self.draw(st.sampled_from(list(VALUES)))]()
        options = dict(STORAGE[self.draw(st.sampled_from(list(STORAGE)))])
        array = np.asarray(value) if not isinstance(value, h5py.Empty) else None
        if array is None or (not array.ndim and options.get("chunks")):
            options = {}
        if "data" in options and array is not None:
            options |= {"shape": array.shape, "dtype": h5py.string_dtype() if array.dtype.kind == "U" else array.dtype}
            if options.pop("fillvalue", False) and array.dtype.kind in "iuf":
                options["fillvalue"] = 7
        if options.get("maxshape"):
            options["maxshape"] = (None,) * np.ndim(value)
        self.items.append(above.create_dataset(name, **{"data": value, **options}))

    def attribute(self) -> None:
        item = self.draw(st.sampled_from(self.items))
        for number in range(self.draw(st.sampled_from([1, 1, 1, 12]))):
            value = VALUES[self.draw(st.sampled_from(list(VALUES)))]()
            item.attrs[self.draw(NAMES).decode("latin-1") + str(number)] = value

    def reference(self) -> None:
        self.draw(st.sampled_from(self.items)).attrs["reference"] = self.draw(st.sampled_from(self.items)).ref

    def references(self) -> None:
        above, name = self.place()
        found = [item.ref for item in self.draw(st.lists(st.sampled_from(self.items), min_size=1, max_size=9))]
        objects = np.array([*found, h5py.Reference()], h5py.ref_dtype)
        datasets = [item for item in self.items if isinstance(item, h5py.Dataset) and item.ndim]
        regions = [item.regionref[:1] for item in datasets] + [h5py.RegionReference()]
        above.create_dataset(name, data=objects)
        self.items[-1].attrs["objects"] = _varying([objects[1:], objects[:0]], h5py.ref_dtype)
        self.items[-1].attrs["regions"] = np.array(regions, h5py.regionref_dtype)
        rows = np.dtype([("object", h5py.ref_dtype), ("text", h5py.string_dtype()), ("number", "i4")])
        self.items[-1].attrs["rows"] = np.array([(each, "a", 1) for each in objects[:2]], rows)

    def soft_link(self) -> None:
        above, name = self.place()
        above[name] = h5py.SoftLink(self.draw(TARGETS))

    def external_link(self) -> None:
        above, name = self.place()
        file = self.draw(st.sampled_from(["other.h5", "first.h5", "missing.h5", "."]))
        above[name] = h5py.ExternalLink(file, self.draw(TARGETS))

    def hard_link(self) -> None:
        above, name = self.place()
        above[name] = self.draw(st.sampled_from(self.items))

    def named_type(self) -> None:
        above, name = self.place()
        above[name] = np.dtype("f8")

    def of_named_type(self) -> None:
        above, name = self.place()
        above[b"type of " + name] = h5py.string_dtype()
        self.items.append(above.create_dataset(name, (2,), above[b"type of " + name]))

    def many(self) -> None:
        above, name = self.place()
        made = above.create_group(name, track_order=self.draw(st.booleans()))
        for number in range(self.draw(st.integers(7, 60))):
            made[f"{number * 37 % 61}"] = h5py.SoftLink("/a")

    def compact(self) -> None:
        above, name = self.place()
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_layout(h5d.COMPACT)
        made = h5d.create(above.id, name, h5t.STD_I32BE, h5s.create_simple((3,)), properties)
        made.write(h5s.ALL, h5s.ALL, np.arange(3, dtype=">i4"))

    def virtual(self) -> None:
        above, name = self.place()
        layout = h5py.VirtualLayout((4,), "u2")
        layout[:2] = h5py.VirtualSource(".", "source", (2,))  # by a name that no link has: some crash libhdf5
        above.create_virtual_dataset(name, layout)
        self.groups[0]["source"] = np.arange(2, dtype="u2")


STEPS = [name for name in vars(Writer) if not name.startswith("_") and name != "place"]


def write_any(path: Path, draw: Callable[[Any], Any]) -> None:
    options = {"libver": draw(LIBVERS), "userblock_size": draw(st.sampled_from([0, 0, 512, 1024]))}
    with h5py.File(path, "w", track_order=draw(st.booleans()), **options) as file:
        writer = Writer(file, draw)
        for step in draw(st.lists(st.sampled_from(STEPS), min_size=5, max_size=30)):
            with suppress(ValueError, OSError, RuntimeError, TypeError, KeyError):  # the name is taken
                getattr(writer, step)()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_file_is_described_as_libhdf5_describes_it(tmp_path: Path, data: st.DataObject) -> None:
    for name in ("other.h5", "first.h5"):
        write_any(tmp_path / name, data.draw)
    check(tmp_path / "first.h5")


def test_what_is_named_in_latin_1_is_found_by_links_that_name_it_so(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = file["/"]
        file.create_group(b"\xb5")
        file[b"\xb5/c"] = 1
    with h5py.File(tmp_path / "first.h5", "w") as file:
        for name, target in (("a", "a"), ("b", "µ"), ("c", "/µ/c"), ("d", "µµ"), ("e", "\u0394")):
            file[name] = h5py.ExternalLink("other.h5", target)
            file.id.links.create_external(f"raw {name}".encode(), b"other.h5", target.encode("latin-1", "replace"))
    check(tmp_path / "first.h5")


def test_links_that_lead_round_in_circles_lead_nowhere(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a"], file["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
        file["c"] = h5py.ExternalLink("f.h5", "/c")
        file["group/up"] = h5py.SoftLink("/group")
        for number in range(20):
            file[f"{number}"] = h5py.SoftLink(f"/{number + 1}")
        file["20"] = 1
    check(tmp_path / "f.h5")


def test_what_is_left_to_libhdf5_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["plain"] = 1.5
        file["chunked"] = file.create_dataset("numbers", data=[1, 2], chunks=(2,))
    left = check(tmp_path / "f.h5").left_to_libhdf5
    assert left == {
        "/numbers": "values in chunks, or in other datasets",
        "/chunked": "values in chunks, or in other datasets",
    }


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: b"\0" * 8 + content[8:]])
def test_a_file_that_is_none_is_left_to_libhdf5(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["a"] = 1
    path.write_bytes(change(path.read_bytes()))
    file = File(path)
    with pytest.raises(NexusFileError, match=r"truncated|not an HDF5 file"), described(file, Diagnostics()):
        pass
    assert "/" in file.left_to_libhdf5


@pytest.mark.parametrize("name", [b"na/e", b"\0ame"])
def test_a_name_that_none_can_have_is_told(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["group/name"] = h5py.SoftLink("/")
    path.write_bytes(path.read_bytes().replace(b"name\0", name + b"\0"))
    diagnostics = Diagnostics()
    with described(File(path), diagnostics) as root:
        tree = tree_of(root)
    assert tree["/group"] == ("group", [], {})
    assert [each.code for each in diagnostics] == ["member-unreadable"]


def test_of_two_links_of_one_name_none_is_there(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        file["group/first"], file["group/other"], file["group/third"] = 1, 2, 3
    path.write_bytes(path.read_bytes().replace(b"third\0", b"first\0"))
    diagnostics = Diagnostics()
    with described(File(path), diagnostics) as root:
        group = cast(Group, root.find("group"))
        assert [name for name, *_ in group.members()] == ["other"]
        assert group.get("first") is None
    assert {each.code for each in diagnostics} == {"members-unlisted", "member-unreadable"}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_many_files_described_by_threads_are_as_one_by_one(tmp_path: Path, libver: Any) -> None:
    paths = [tmp_path / f"{number}.h5" for number in range(200)]
    for number, path in enumerate(paths):
        with h5py.File(path, "w", libver=libver) as file:
            group = file.create_group(f"entry/group_{number % 7}")
            group.attrs.update(title=f"number {number}", number=number)
            group["text"] = [f"{number}", "µm"] if number % 3 else f"text {number}"
            group.create_dataset("chunks", data=np.arange(number % 50 + 7), chunks=(7,), compression="gzip")

    def trees(path: Path) -> dict[str, Any]:
        with described(File(path), Diagnostics()) as root:
            return tree_of(root)

    alone = list(map(trees, paths))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(trees, paths)) == alone


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("path", corpus_files() or [CORPUS / "absent"], ids=lambda path: str(path.relative_to(CORPUS)))
def test_a_real_file_is_described_as_libhdf5_describes_it(path: Path) -> None:
    left = check(path).left_to_libhdf5
    assert "/" not in left


# --- file objects ----------------------------------------------------------------------------------------------------


class Failing(io.BytesIO):
    """A file object that raises an error of its own where some bytes are to be read."""

    def __init__(self, content: bytes, at: int) -> None:
        super().__init__(content)
        self.at = at

    def readinto(self, buffer: Any, /) -> int:
        begin = self.tell()
        if begin <= self.at < begin + len(buffer):
            raise EOFError("no more")
        return super().readinto(buffer)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["group/text"] = "a"
        file["group"].attrs["reference"] = file["group/text"].ref
    return tmp_path / "f.h5"


def zipped(path: Path) -> BinaryIO:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.write(path, "f.h5")
    return cast(BinaryIO, zipfile.ZipFile(path.with_suffix(".zip")).open("f.h5"))


OPENERS: dict[str, Callable[[Path], BinaryIO]] = {
    "bytes": lambda path: io.BytesIO(path.read_bytes()),
    "buffered": lambda path: path.open("rb"),
    "unbuffered": lambda path: cast(BinaryIO, path.open("rb", buffering=0)),
    "member of an archive": zipped,
}


@pytest.mark.parametrize("name", OPENERS)
def test_file_objects_are_described_from_their_bytes(small: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with File(small).opened() as handle:
        expected = tree_of(root_of(handle, Diagnostics()))
    monkeypatch.setattr(File, "_open_handle", lambda file: pytest.fail("libhdf5 was asked"))
    with OPENERS[name](small) as stream, described(File(stream), Diagnostics()) as root:
        assert tree_of(root) == expected


def test_a_file_object_that_fails_is_told_of(small: Path) -> None:
    content = small.read_bytes()
    diagnostics = Diagnostics()
    with pytest.raises(NexusFileError), described(File(Failing(content, 0)), diagnostics):
        pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_bytes, "_BLOCK_BYTES", 64)
        with described(File(Failing(content, content.index(b"SNOD") + 1)), diagnostics) as root:
            assert not list(root.members())
    assert [each.code for each in diagnostics] == ["members-unlisted"]
    assert "no more" in str(*diagnostics)


# --- damage ----------------------------------------------------------------------------------------------------------

MANY = 300


def described_names(path: Path, where: str) -> tuple[list[str], list[str]]:
    """The names of a group's members, and what is reported."""
    diagnostics = Diagnostics()
    with described(File(path), diagnostics) as root:
        group = root.find(where)
        assert isinstance(group, Group)
        return [name for name, _, _ in group.members()], [each.code for each in diagnostics]


def names_of_libhdf5(path: Path, where: str) -> list[str]:
    """The names up to the damage."""
    names: list[bytes] = []
    with h5py.File(path) as file, suppress(RuntimeError):
        group = file[where]
        group.id.links.iterate(names.append)
    return [name.decode() for name in names]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("count", [6, MANY])
def test_what_is_beside_a_damaged_link_is_found(tmp_path: Path, libver: str, count: int) -> None:
    path = tmp_path / "f.h5"
    names = [f"name {number:03}" for number in range(count)]
    with h5py.File(path, "w", libver=libver) as file:
        for name in names:
            file[f"group/{name}"] = h5py.SoftLink(f"/to {name}")
    content = path.read_bytes()
    damaged = _without_end(content, names[3]) if libver == "earliest" else _of_another_version(content, names[3])
    path.write_bytes(damaged)
    found, codes = described_names(path, "group")
    lost = set(names) - set(found)
    assert found == [name for name in names if name not in lost]
    # In a heap, all of its block is lost.
    assert lost == {names[3]} or (libver == "latest" and count == MANY and len(lost) < MANY / 10)
    assert codes == ["members-unlisted"]
    assert set(found) >= set(names_of_libhdf5(path, "group"))


def _without_end(content: bytes, name: str) -> bytes:
    """A name in a symbol table that begins beyond its heap."""
    segment = content.index(b"HEAP") if content.count(b"HEAP") == 1 else content.rindex(b"HEAP")
    begin = int.from_bytes(content[segment + 24 : segment + 32], "little")
    offset = content.index(name.encode() + b"\0", begin) - begin
    entry = content.index(offset.to_bytes(8, "little") + b"\xff" * 8 + b"\2\0\0\0")
    return content[:entry] + (1 << 40).to_bytes(8, "little") + content[entry + 8 :]


def _of_another_version(content: bytes, name: str) -> bytes:
    """A link message with a version of which nothing is known, and where it is checked, a checksum that is right."""
    at = content.index(b"\x01\x08\x01" + bytes((len(name),)) + name.encode())
    changed = content[:at] + b"\x09" + content[at + 1 :]
    header = changed.rfind(b"OHDR", 0, at)
    if b"FRHP" in content:
        return changed
    size = changed[header + 6 + 4 * 4]
    return _checked(changed, header, header + 6 + 4 * 4 + 1 + size)


def _checked(content: bytes, begin: int, end: int) -> bytes:
    checksum = lookup3(content[begin:end]).to_bytes(CHECKSUM_BYTES, "little")
    return content[:end] + checksum + content[end + CHECKSUM_BYTES :]


@pytest.mark.parametrize("number", [0, 1, 5, -1])
@pytest.mark.parametrize("signature", [b"TREE", b"SNOD"])
def test_what_is_beside_a_damaged_node_is_found(tmp_path: Path, signature: bytes, number: int) -> None:
    path = tmp_path / "f.h5"
    names = [f"{number:04}" for number in range(1000)]
    with h5py.File(path, "w") as file:
        for name in names:
            file[f"group/{name}"] = h5py.SoftLink("/")
    content = path.read_bytes()
    starts = [at for at in range(0, len(content), 8) if content.startswith(signature, at)][1:]  # not of the root
    path.write_bytes(content[: starts[number]] + b"NONE" + content[starts[number] + 4 :])
    found, codes = described_names(path, "group")
    assert codes == ["members-unlisted"]
    assert found == sorted(found)
    assert set(found) >= set(names_of_libhdf5(path, "group"))
    assert len(found) > 900 or (signature == b"TREE" and len(found) < 1000)


@pytest.mark.parametrize("number", [0, 2, -1])
@pytest.mark.parametrize("what", ["links", "attributes"])
def test_what_is_before_a_damaged_leaf_is_found(tmp_path: Path, what: str, number: int) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        group = file.create_group("group")
        for name in range(MANY):
            if what == "links":
                group[f"{name}"] = h5py.SoftLink("/")
            else:
                group.attrs[f"{name}"] = name
    content = path.read_bytes()
    starts = [at for at in range(len(content)) if content.startswith(b"BTLF", at)]
    path.write_bytes(content[: starts[number]] + b"NONE" + content[starts[number] + 4 :])
    diagnostics = Diagnostics()
    with described(File(path), diagnostics) as root:
        found = root.find("group")
        assert isinstance(found, Group)
        count = len(list(found.members())) + len(found.read_attributes())
    assert count < MANY
    assert count or number != -1
    assert [each.code for each in diagnostics] == [f"{'members' if what == 'links' else 'attributes'}-unlisted"]


def test_references_to_what_can_not_be_opened_are_named(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        made = [file.create_dataset(f"group/{number}", data=number) for number in range(3)]
        file.attrs["references"] = np.array([each.ref for each in made], h5py.ref_dtype)
        address = h5o.get_info(made[1].id).addr
    content = path.read_bytes()
    path.write_bytes(content[:address] + b"NONE" + content[address + 4 :])
    diagnostics = Diagnostics()
    with described(File(path), diagnostics) as root:
        assert root.read_attributes()["references"].tolist() == [Link(f"/group/{number}") for number in range(3)]
    assert not list(diagnostics)


def test_a_soft_link_into_what_is_damaged_is_no_matter_for_libhdf5(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(MANY):
            file[f"group/{number}"] = number
        file["link"] = h5py.SoftLink("/group/0")
    content = path.read_bytes()
    at = content.rindex(b"BTHD")
    path.write_bytes(_checked(content[: at + 5] + b"\0" + content[at + 6 :], at, at + 34))  # over which it crashes
    file, diagnostics = File(path), Diagnostics()
    with described(file, diagnostics) as root:
        link = root.get("link")
    assert link == Link("/group/0")
    assert isinstance(link, Link)
    assert "B-tree is of type 0" in link.trouble
    assert not file.left_to_libhdf5
