"""Attributes, links and references as a file has them, of every type that HDF5 knows."""

from __future__ import annotations

import collections
import gc
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5, h5a, h5f, h5o, h5p, h5s, h5t

import nexus_xr
from nexus_xr import NexusError, NexusFileError, NexusWarning
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.groups.links import Links, read_links
from nexus_xr.hdf5.format.object_header import ObjectHeader
from nexus_xr.hdf5.library import addresses, described, references
from nexus_xr.hdf5.library.group import LibraryGroup, root_of
from nexus_xr.hdf5.objects import group, object_paths
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Node
from nexus_xr.hdf5.objects.parsed import parsed_file
from nexus_xr.hdf5.objects.parsed.parsed_dataset import ParsedDataset
from nexus_xr.hdf5.objects.parsed.parsed_group import ParsedGroup
from nexus_xr.hdf5.writing.link_targets import link_target, other_names

from .calls import recorded
from .files import Field, nxdata, nxentry, paths_in, write_tree
from .processes import run

TEXT, OBJECT, REGION = h5py.string_dtype(), h5py.ref_dtype, h5py.regionref_dtype


def group_in(above: Group, path: str) -> Group:
    found = above.find(path)
    assert isinstance(found, Group)
    return found


def targets(file: h5py.File) -> list[h5py.Dataset]:
    return [file.create_dataset(name, data=np.arange(4)) for name in ("a", "b", "c")]


def in_turn(values: list[Any], shape: tuple[int, ...], dtype: Any) -> Any:
    array = np.empty(shape, dtype)
    for number, index in enumerate(np.ndindex(shape)):
        array[index] = values[number % len(values)]
    return array


# What is written of a few datasets as elements of a type, and what is read.
Elements = tuple[Any, Callable[[list[h5py.Dataset]], list[Any]], list[Any]]
LINKS = [Link("/a"), Link("/b"), Link("/c")]
ROW = np.dtype([("name", TEXT), ("where", OBJECT), ("part", REGION), ("count", "i4")])
ELEMENTS: dict[str, Elements] = {
    "objects": (OBJECT, lambda found: [each.ref for each in found], LINKS),
    "regions": (REGION, lambda found: [each.regionref[1:3] for each in found], LINKS),
    "text": (TEXT, lambda found: ["x", "yz", ""], ["x", "yz", ""]),
    "rows": (
        ROW,
        lambda found: [(each.name, each.ref, each.regionref[:2], 7) for each in found],
        [(f"/{name}".encode(), Link(f"/{name}"), Link(f"/{name}"), 7) for name in "abc"],
    ),
    "rows of objects": (
        np.dtype([("where", OBJECT), ("count", "i4")]),
        lambda found: [(each.ref, 7) for each in found],
        [(link, 7) for link in LINKS],
    ),
    "rows of texts": (np.dtype([("a", TEXT), ("b", TEXT)]), lambda found: [("x", "yz")], [(b"x", b"yz")]),
    "numbers": (np.dtype("f8"), lambda found: [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]),
}


@pytest.mark.parametrize("shape", [(), (1,), (2,), (1, 1), (2, 1), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("size_of_addresses", [4, 8])
def test_an_attribute_has_all_its_elements(
    tmp_path: Path, name: str, shape: tuple[int, ...], size_of_addresses: int
) -> None:
    dtype, written, read = ELEMENTS[name]
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_sizes(size_of_addresses, size_of_addresses)
    with h5py.File(h5f.create(bytes(tmp_path / "f.h5"), h5f.ACC_TRUNC, creation)) as file:
        values = in_turn(written(targets(file)), shape, dtype)
        file.attrs.create("values", values if shape else values[()], shape, dtype)
    found = nexus_xr.read_metadata(tmp_path / "f.h5")["attrs"]["values"]
    expected = in_turn(read, shape, object)
    if expected.size == 1:
        assert not isinstance(found, np.ndarray)
        assert (found.item() if isinstance(found, np.void) else found) == expected.item()
    else:
        assert found.shape == shape
        assert found.tolist() == expected.tolist()


def test_attributes_of_references_of_varying_number(tmp_path: Path) -> None:
    dtype = h5py.vlen_dtype(OBJECT)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        one, two, three = (each.ref for each in targets(file))
        values = in_turn([np.array([one, two], OBJECT), np.array([three], OBJECT)], (2,), dtype)
        file.attrs.create("lists", values, (2,), dtype)
    found = nexus_xr.read_metadata(tmp_path / "f.h5")["attrs"]["lists"]
    assert [each.tolist() for each in found] == [[Link("/a"), Link("/b")], [Link("/c")]]


# --- links ----------------------------------------------------------------------------------------------------------


def define_link(path: Path) -> None:
    """Make the external link called "custom" one of a kind that the writing program defines."""
    content = path.read_bytes()
    changed = re.sub(rb"(\x01[\x08\x18])\x40(\x01?\x06custom)", lambda found: found[1] + b"\xc3" + found[2], content)
    assert changed != content
    path.write_bytes(changed)


@pytest.fixture
def with_own_link(tmp_path: Path) -> Path:
    """A file with a link that HDF5 doesn't know, beside all that it does."""
    path = tmp_path / "f.nxs"
    write_tree(path, {"entry": nxentry({"data": nxdata({"n": np.arange(3.0)}, signal="n")})})
    with h5py.File(path, "a") as file:
        file["entry/data/custom"] = h5py.ExternalLink("leaves_by.h5", "/x")
        file["entry/soft"] = h5py.SoftLink("/entry/data")
    define_link(path)
    return path


def test_a_link_of_a_kind_of_its_own_is_left_out(with_own_link: Path) -> None:
    with pytest.warns(NexusWarning, match=r"/entry/data/custom: is a link .* only its writer follows \(195\)"):
        tree = xr.open_datatree(with_own_link, engine="nexus")
    assert tree["entry/data"].n.values.tolist() == [0, 1, 2]
    with pytest.warns(NexusWarning, match="custom"):
        assert xr.open_dataset(with_own_link, engine="nexus").n.size == 3
    with pytest.warns(NexusWarning, match="custom"):
        assert nexus_xr.open_signals(with_own_link)[0].size == 3
    with pytest.warns(NexusWarning, match="custom"):
        assert nexus_xr.list_datasets(with_own_link, hardlinks_only=True)[0] == ["/entry/data"]
    with pytest.warns(NexusWarning, match="custom"):
        assert "entry" in nexus_xr.read_metadata(with_own_link)


def test_nothing_is_found_behind_a_link_of_a_kind_of_its_own(with_own_link: Path) -> None:
    with h5py.File(with_own_link) as file:
        diagnostics = Diagnostics()
        root = root_of(file, diagnostics)
        assert root.find("/entry/data/custom") is None
        assert root.find("/entry/data/custom/x") is None
        with pytest.raises(KeyError):
            group_in(root, "/entry/data").link_to("custom")
    assert [each.code for each in diagnostics] == ["link-kind-unknown"]
    with pytest.raises(NexusError, match="custom"):
        xr.open_dataset(with_own_link, engine="nexus", dataset_path="/entry/data/custom")


def test_a_file_with_a_link_of_a_kind_of_its_own_is_changed_in_place(with_own_link: Path) -> None:
    with h5py.File(with_own_link) as file:
        assert other_names(file, file["entry/data/n"]) == [("/entry/data", "n")]
        assert "only its writer follows" in str(link_target(file, "/entry/data/custom/x").leaves_by)
    with pytest.warns(NexusWarning, match="custom"):
        dataset = xr.open_dataset(with_own_link, engine="nexus").load()
    dataset.n[0] = 9
    nexus_xr.to_nexus(dataset, with_own_link, layout="inplace")
    with h5py.File(with_own_link) as file:
        assert file["entry/data/n"][:].tolist() == [9, 1, 2]


def test_a_link_of_a_kind_of_its_own_is_not_taken_in(with_own_link: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file["entry"] = h5py.ExternalLink("f.nxs", "/entry")
    with pytest.raises(NexusFileError, match="/entry/data/custom: nothing was done"):
        nexus_xr.consolidate(tmp_path / "master.nxs")
    nexus_xr.consolidate(with_own_link)


# --- references -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["earliest", "latest"])
def intertwined(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file with a reference to each of its objects, some of which have several names or none."""
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver=request.param) as file:
        for number in range(12):
            group = file.create_group(f"group {number % 3}/inner {number}", track_order=number % 2 == 0)
            group["zeta"], group["alpha"] = np.arange(3), np.arange(4)
            group["above"] = file["group 0"]
            file[f"also {number}"] = group["zeta"]
            file[f"an early name {number}"] = group
        file["group 1/soft"] = h5py.SoftLink("/group 0")
        file.create_dataset("é", data=np.arange(2))
        found = [file["/"], *map(file.get, paths_in(file))]
        nameless = file.create_dataset(None, data=np.arange(3))
        objects = [each.ref for each in [*found, nameless]]
        parts = [each.regionref[:1] for each in [*found, nameless] if isinstance(each, h5py.Dataset)]
        file.create_dataset("objects", data=np.array(objects, OBJECT), dtype=OBJECT)
        file.create_dataset("parts", data=np.array(parts, REGION), dtype=REGION)
    return path


@pytest.fixture(params=["bytes", "libhdf5"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What files are described by: their bytes or libhdf5."""
    if request.param == "libhdf5":
        monkeypatch.setattr(described, "_root_from_bytes", lambda *_: None)
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_references_are_named_as_h5py_names_them(intertwined: Path) -> None:
    with h5py.File(intertwined) as file:
        expected = {name: [h5py.h5r.get_name(each, file.id) for each in file[name][:]] for name in ("objects", "parts")}
    metadata = nexus_xr.read_metadata(intertwined)
    for name, paths in expected.items():
        assert paths[-1] is None
        assert len(paths) > 20
        links = [None if path is None else Link(path.decode()) for path in paths]
        assert metadata[name]["value"].tolist() == links


def test_references_are_named_beside_a_writer_in_this_process(intertwined: Path) -> None:
    with h5py.File(intertwined, "r+") as file:
        nexus_xr.read_metadata(intertwined)
        file.move("é", "moved")
        named = nexus_xr.read_metadata(intertwined)["objects"]["value"].tolist()
    assert Link("/moved") in named
    assert Link("/é") not in named


def test_references_of_a_linked_file_are_named_in_that_file(intertwined: Path, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "master.h5", "w") as file:
        file["group 0/alpha"] = np.arange(3)
        file["there"] = h5py.ExternalLink("f.h5", "/")
    linked = nexus_xr.read_metadata(tmp_path / "master.h5")["there"]
    assert linked["objects"]["value"].tolist() == nexus_xr.read_metadata(intertwined)["objects"]["value"].tolist()


def test_a_file_is_gone_through_once_for_all_its_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.arange(4)
        file["x"].make_scale("x")
        for number in range(50):
            file[f"v{number}"] = np.arange(4)
            file[f"v{number}"].dims[0].attach_scale(file["x"])
    where = (object_paths, "stored_links") if way == "bytes" else (addresses, "_steps_of")
    walks = recorded(monkeypatch, *where)
    metadata = nexus_xr.read_metadata(tmp_path / "f.h5")
    assert len(walks) == 1
    assert [metadata[f"v{number}"]["attrs"]["DIMENSION_LIST"].tolist() for number in range(50)] == [[Link("/x")]] * 50
    linked = metadata["x"]["attrs"]["REFERENCE_LIST"]["dataset"].tolist()
    assert linked == [Link(f"/v{number}") for number in range(50)]


def test_the_names_of_few_files_are_kept(intertwined: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(described, "_root_from_bytes", lambda *_: None)
    expected = nexus_xr.read_metadata(intertwined)["objects"]["value"].tolist()
    names = addresses.Names()
    monkeypatch.setattr(references, "object_names", names)
    monkeypatch.setattr(addresses, "_MOST_FILES", 2)
    for _ in range(4):
        assert nexus_xr.read_metadata(intertwined)["objects"]["value"].tolist() == expected
    assert len(names._files) == 2


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("most", [1, 10])
def test_where_there_are_too_many_names_libhdf5_is_asked(
    intertwined: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    expected = nexus_xr.read_metadata(intertwined)["objects"]["value"].tolist()
    for module in (addresses, object_paths):
        monkeypatch.setattr(module, "_MOST_STEPS", most)
    assert nexus_xr.read_metadata(intertwined)["objects"]["value"].tolist() == expected


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("dtype", [OBJECT, REGION], ids=["objects", "regions"])
def test_a_reference_that_can_not_be_named_is_none_alone(tmp_path: Path, dtype: np.dtype[Any]) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        kind = h5py.check_ref_dtype(dtype)
        references = [each.ref if kind is h5py.Reference else each.regionref[1:] for each in targets(file)] * 5
        file.create_dataset("many", data=np.array(references, dtype), dtype=dtype)
        file.create_dataset("few", data=np.array(references[:3], dtype), dtype=dtype)
        size = file["few"].id.get_type().get_size()
        at = [file[name].id.get_offset() for name in ("many", "few")]
    content = bytearray((tmp_path / "f.h5").read_bytes())
    for offset in at:
        content[offset + size : offset + size + 8] = b"\x03\xff\xee\0\0\0\0\0"
    (tmp_path / "f.h5").write_bytes(content)
    metadata = nexus_xr.read_metadata(tmp_path / "f.h5")
    assert metadata["many"]["value"].tolist() == [Link("/a"), None, Link("/c"), *LINKS * 4]
    assert metadata["few"]["value"].tolist() == [Link("/a"), None, Link("/c")]


REGIONS = h5py.vlen_dtype(REGION)
WITH_REGIONS = {
    "regions": REGIONS,
    "rows": np.dtype([("count", "i4"), ("regions", REGIONS)]),
    "varying rows": h5py.vlen_dtype(np.dtype([("region", REGION), ("count", "i4")])),
    "pairs": np.dtype((REGIONS, (2,))),
    "pairs that vary": h5py.vlen_dtype(np.dtype((REGION, (2,)))),
}

READ_REGIONS = """
import sys, warnings
import xarray as xr
import nexus_xr
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    metadata = nexus_xr.read_metadata(sys.argv[1])
    [signal] = nexus_xr.open_signals(sys.argv[1])
    assert signal.name == "a"
    try:
        xr.open_dataset(sys.argv[1], engine="nexus", dataset_path="/stored")
    except nexus_xr.NexusError:
        pass
[said] = {str(each.message) for each in caught if "region references" in str(each.message)}
assert metadata["attrs"] == {"other": "is there"}
assert set(metadata) == {"a", "attrs"}
assert "'regions' can't be read (region references of varying number" in said, said
assert "/stored: its datatype can't be read" in said, said
"""


@pytest.mark.parametrize("name", WITH_REGIONS)
def test_region_references_of_varying_number_are_left_out(tmp_path: Path, name: str) -> None:
    dtype = WITH_REGIONS[name]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        target = file.create_dataset("a", data=np.arange(4))
        stored = file.create_dataset("stored", (3,), dtype)
        h5a.create(file.id, b"regions", h5t.py_create(dtype, logical=True), h5s.create_simple((3,)))
        file.attrs["other"] = "is there"
        if name == "regions":
            regions = np.array([target.regionref[1:3], target.regionref[:1]], REGION)
            for number in range(3):
                stored[number] = regions
            file.attrs.create("regions", in_turn([regions], (3,), dtype), (3,), dtype)
    run(READ_REGIONS, tmp_path / "f.h5")


# --- properties -----------------------------------------------------------------------------------------------------


def test_a_dataset_whose_properties_are_damaged_leaves_the_others_alone(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="n")
        data["n"] = np.arange(3)
        data.create_dataset("names", (3,), TEXT, chunks=(2,), fillvalue="a fill value")
        data.create_dataset("told", (3,), TEXT, chunks=(3,), fillvalue="a fill value")[...] = ["a", "b", "c"]
    content = path.read_bytes()
    reference = struct.pack("<IQ", len("a fill value"), content.index(b"GCOL"))
    assert reference in content
    path.write_bytes(content.replace(reference, struct.pack("<IQ", len("a fill value"), 64)))
    with h5py.File(path) as file, pytest.raises(Exception, match=r"heap|fill"):
        file["data/names"].id.get_create_plist()
    dataset = xr.open_dataset(path, engine="nexus")
    assert dataset.n.values.tolist() == [0, 1, 2]
    assert dataset.told.values.tolist() == ["a", "b", "c"]
    with pytest.raises(NexusFileError, match="/data/names"):
        dataset.names.load()
    assert xr.open_datatree(path, engine="nexus")["data"].n.size == 3
    assert nexus_xr.open_signals(path)[0].name == "n"
    assert nexus_xr.list_datasets(path)[0] == ["/data"]
    assert "data" not in nexus_xr.read_metadata(path)
    diagnostics = Diagnostics()
    with h5py.File(path) as file:
        names = root_of(file, diagnostics).find("data/names")
        assert isinstance(names, Dataset)
        assert names.storage.layout == "unknown"
    assert [each.code for each in diagnostics] == ["storage-unknown"]


def test_members_are_listed_by_name_where_their_order_can_not_be_told(tmp_path: Path) -> None:
    class Damaged:
        def get_create_plist(self) -> None:
            raise RuntimeError("damaged")

    diagnostics = Diagnostics()
    with h5py.File(tmp_path / "f.h5", "w") as file:
        group = root_of(file, diagnostics)
        group.id = Damaged()
        assert group._index == h5.INDEX_NAME
    assert list(map(str, diagnostics)) == ["/: the order of its members can't be told (damaged)"]


# --- what an opening remembers --------------------------------------------------------------------------------------


@pytest.fixture
def with_fields(tmp_path: Path) -> Path:
    path = tmp_path / "f.nxs"
    fields = {name: Field(np.arange(3.0), {"units": "mm", "offset": np.zeros(3)}) for name in ("n", "x", "a", "b")}
    data = nxdata({**fields, "linked": h5py.SoftLink("/entry/other/m")}, signal="n", axes="x", a_indices=0)
    write_tree(path, {"@default": "entry", "entry": nxentry({"data": data, "other": {"m": [1, 2, 3]}}, default="data")})
    return path


def opened_as_a_dataset(path: Path) -> xr.Dataset:
    return xr.open_dataset(path, engine="nexus")


def opened_as_a_tree(path: Path) -> xr.DataTree:
    return xr.open_datatree(path, engine="nexus")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is opened and read of objects."""
    calls: list[str] = []
    methods: list[tuple[type[Node], str]] = [(ParsedDataset, "_read_attributes")]
    methods += [(ParsedGroup, name) for name in ("_read_attributes", "_list", "open_link")]
    for kind, name in methods:
        whole = getattr(kind, name)

        def counted(node: Any, *args: Any, name: str = name, whole: Any = whole) -> Any:
            calls.append(f"{name} {node.path} {args}")
            return whole(node, *args)

        monkeypatch.setattr(kind, name, counted)
    return calls


@pytest.mark.parametrize(
    "opened", [opened_as_a_dataset, opened_as_a_tree, nexus_xr.open_signals, nexus_xr.list_datasets]
)
def test_each_object_is_opened_and_read_once_in_an_opening(
    with_fields: Path, calls: list[str], opened: Callable[[Path], Any]
) -> None:
    opened(with_fields)
    assert len(calls) == len(set(calls)) > 10


@pytest.mark.parametrize("opened", [opened_as_a_tree, nexus_xr.open_signals])
def test_data_is_opened_and_read_once_however_much_else_there_is(
    with_fields: Path, calls: list[str], opened: Callable[[Path], Any]
) -> None:
    with h5py.File(with_fields, "r+") as file:
        others = file.create_group("entry/crowd")
        for number in range(group._MOST_REMEMBERED):
            others[f"m{number}"] = file["entry/other/m"]
    opened(with_fields)
    of_data = [call for call in calls if " /entry/data" in call]
    assert len(of_data) == len(set(of_data)) > 10


@pytest.mark.parametrize(("least", "by_path"), [(0, False), (16, True)])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_links_of_a_group_are_read_once_however_many_groups_are_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, libver: str, least: int, by_path: bool
) -> None:
    count = 40
    with h5py.File(tmp_path / "f.nxs", "w", libver=libver) as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="n")
        data["n"] = [1, 2]
        for number in range(count):
            file[f"entry/logs/{number}/inner/value"] = number
            if by_path:
                file[f"entry/links/{number}"] = h5py.SoftLink(f"/entry/logs/{number}/inner/value")
    read: collections.Counter[int] = collections.Counter()

    def counting(file: FileBytes, header: ObjectHeader) -> Links:
        found = read_links(file, header)
        read[len(found.by_name)] += 1
        return found

    monkeypatch.setattr(parsed_file, "read_links", counting)
    monkeypatch.setattr(parsed_file, "_MOST_LINKS_KEPT", 3)
    monkeypatch.setattr(parsed_file, "_LEAST_GROUPS_KEPT", least)
    monkeypatch.setattr(group, "_MOST_REMEMBERED", 0)
    assert len(opened_as_a_dataset(tmp_path / "f.nxs").attrs["logs"]) == count
    assert 0 < read[count] < 5


@pytest.mark.parametrize("most", [0, 1, 5])
def test_what_is_remembered_has_a_bound(with_fields: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    with opened_as_a_dataset(with_fields) as expected:
        monkeypatch.setattr(group, "_MOST_REMEMBERED", most)
        with h5py.File(with_fields) as file:
            root = root_of(file, Diagnostics())
            for _ in range(2):
                members = {name: member for name, member, _ in group_in(root, "entry/data").members()}
            assert sorted(members) == ["a", "b", "linked", "n", "x"]
            assert root._budget.left == 0
        xr.testing.assert_identical(opened_as_a_dataset(with_fields), expected)


def test_an_object_is_one_and_the_same_while_it_is_remembered(with_fields: Path) -> None:
    with h5py.File(with_fields) as file:
        root = root_of(file, Diagnostics())
        field = root.find("/entry/data/n")
        assert isinstance(field, Dataset)
        assert field is group_in(group_in(root, "entry"), "data").get("n")
        assert field in [member for _, member, _ in group_in(root, "entry/data").members()]
        field.read_attributes()["offset"][:] = 1
        field.read_attributes().clear()
        assert field.read_attributes()["offset"].tolist() == [0, 0, 0]


def test_nothing_is_remembered_beyond_an_opening(with_fields: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        opened_as_a_dataset(with_fields).close()
        assert [each for each in gc.get_objects() if issubclass(type(each), Group)] == []
    finally:
        gc.enable()


# --- damage ---------------------------------------------------------------------------------------------------------


def open_in_all_ways(path: Path) -> None:
    """Open a file that has one group of data, which is in order."""
    for opened in (
        xr.open_dataset(path, engine="nexus"),
        xr.open_datatree(path, engine="nexus")["entry/data"],
        xr.open_groups(path, engine="nexus")["/entry/data"],
    ):
        assert opened.n.values.tolist() == [0, 1, 2]
    assert [signal.name for signal in nexus_xr.open_signals(path, nxdata_only=True)] == ["n"]
    for hardlinks_only in (False, True):
        assert nexus_xr.list_datasets(path, hardlinks_only=hardlinks_only)[0] == ["/entry/data"]
    assert "entry" in nexus_xr.read_metadata(path)


@pytest.fixture
def with_soft_link(tmp_path: Path) -> Path:
    path = tmp_path / "f.nxs"
    data = nxdata({"n": np.arange(3.0)}, signal="n")
    write_tree(path, {"entry": nxentry({"data": data, "other": {"title": "a title"}})})
    with h5py.File(path, "a") as file:
        file["entry/other/soft"] = h5py.SoftLink("/entry/data/n")
    return path


def test_a_link_whose_target_is_damaged_is_left_out(with_soft_link: Path) -> None:
    content = with_soft_link.read_bytes()
    # An entry of a symbol table: no address, a soft link, and where its target stands in the local heap.
    at = content.index(b"\xff" * 8 + struct.pack("<II", 2, 0)) + 16
    with_soft_link.write_bytes(content[:at] + struct.pack("<I", 0x7FFFFF00) + content[at + 4 :])
    with h5py.File(with_soft_link) as file, pytest.raises(RuntimeError):
        file.get("entry/other/soft", getlink=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_in_all_ways(with_soft_link)
    assert any("/entry/other: not all of its members can be listed" in str(each.message) for each in caught)
    diagnostics = Diagnostics()
    with h5py.File(with_soft_link) as file:
        root = root_of(file, diagnostics)
        assert root.find("entry/other/soft") is None
        other = root.find("entry/other")
        assert isinstance(other, Group)
        with pytest.raises(KeyError):
            other.link_to("soft")
    assert [(each.code, each.path) for each in diagnostics] == [("member-unreadable", "/entry/other")]


def test_a_group_whose_local_heap_is_damaged_leaves_the_others_alone(with_soft_link: Path) -> None:
    content = with_soft_link.read_bytes()
    heap = content.rindex(b"HEAP", 0, content.index(b"soft\0"))
    with_soft_link.write_bytes(content[:heap] + b"PEAH" + content[heap + 4 :])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_in_all_ways(with_soft_link)
    assert any("/entry/other: not all of its members can be listed" in str(each.message) for each in caught)


def test_what_h5py_raises_while_a_file_is_described_names_the_file(
    with_soft_link: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(described, "_root_from_bytes", lambda *_: None)
    monkeypatch.setattr(LibraryGroup, "read_attributes", lambda group: h5o.open(group.id, b"nothing"))
    with pytest.raises(NexusFileError, match=r"f\.nxs: can't be read .*the file is damaged"):
        nexus_xr.read_metadata(with_soft_link)


def test_an_error_of_the_caller_stays_what_it_is(with_soft_link: Path) -> None:
    with pytest.raises(TypeError, match="expected a string or a list of strings"):
        xr.open_dataset(with_soft_link, engine="nexus", dataset_key=[1])


@pytest.mark.parametrize("dtype", ["i8", "S5"])
@pytest.mark.parametrize("count", [1, 200])
def test_values_that_nobody_has_written_are_zeros(dtype: str, count: int, tmp_path: Path) -> None:
    """Also where libhdf5 is told not to fill them, and leaves what was in memory before."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        space = h5py.h5s.create_simple((count,))
        h5py.h5d.create(file.id, b"x", h5py.h5t.py_create(np.dtype(dtype)), space, dcpl=properties)
    for _ in range(3):
        left = [np.full((count,), 0x77, "u8") for _ in range(50)]
        del left  # whose memory is the next that is asked for
        value = np.asarray(nexus_xr.read_metadata(tmp_path / "f.h5")["x"]["value"])
        assert all(each in (0, b"", "") for each in value.ravel().tolist())
