"""Files described from their bytes: as libhdf5 describes them, whatever they hold."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from h5py import h5d, h5s, h5t
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nexus_xr import NexusFileError
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.library.group import root_of
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link

from .conftest import CORPUS, corpus_files

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
        file["plain"].attrs["reference"] = file["numbers"].ref
    left = check(tmp_path / "f.h5").left_to_libhdf5
    assert left == {
        "/plain": "an attribute of references",
        "/numbers": "values in chunks",
        "/chunked": "values in chunks",
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


@pytest.mark.usefixtures("corpus")
@pytest.mark.parametrize("path", corpus_files() or [CORPUS / "absent"], ids=lambda path: str(path.relative_to(CORPUS)))
def test_a_real_file_is_described_as_libhdf5_describes_it(path: Path) -> None:
    left = check(path).left_to_libhdf5
    assert "/" not in left
