"""What is written comes back as the identical object, and what doesn't is known."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import Link, NexusError, to_nexus
from nexus_xr.nexus.tree.metadata import same_tree

from .corpus import CORPUS, corpus_files
from .files import with_references
from .opened import only_signal
from .test_writing import VALUES, datasets

# Of which each takes little time.
SMALL = [path for path in corpus_files() if path.stat().st_size < 150_000]


def tree_back(tree: xr.DataTree, path: Path, **options: Any) -> xr.DataTree:
    to_nexus(tree, path / "out.nxs", **options)
    return xr.open_datatree(path / "out.nxs", engine="nexus")


def tree_of(**nodes: Any) -> xr.DataTree:
    return xr.DataTree.from_dict({name.replace("__", "/"): dataset for name, dataset in nodes.items()})


def data(**attributes: Any) -> xr.Dataset:
    return xr.Dataset({"n": ("x", [1, 2, 3])}, {"x": ("x", [0.5, 1.0, 2.0], {"units": "mm"})}, attributes)


# --- trees --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", SMALL or [CORPUS / "absent"], ids=lambda path: path.name)
def test_the_tree_of_a_real_file_comes_back(path: Path, tmp_path: Path) -> None:
    opened = xr.open_datatree(path, engine="nexus")
    if not opened.nbytes > 1 << 28:
        assert tree_back(opened, tmp_path).identical(opened)
        (tmp_path / "loaded").mkdir()
        assert tree_back(opened.load(), tmp_path / "loaded").identical(opened)


KEYS = st.sampled_from(["title", "value", "m", "k:l", "original_k"])
TREES = st.recursive(
    st.one_of(VALUES, st.lists(st.integers(-5, 5), min_size=2, max_size=3), VALUES.map(lambda each: {"value": each})),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3).filter(lambda tree: tree.keys() != {"value"}),
    max_leaves=5,
)


@st.composite
def nodes(draw: st.DrawFn) -> xr.Dataset:
    dataset = draw(st.one_of(st.just(xr.Dataset()), datasets()))
    if draw(st.booleans()):
        dataset = dataset.drop_vars(dataset.data_vars)
    return dataset.assign_attrs({f"its_{key}": draw(TREES) for key in draw(st.sets(KEYS, max_size=2))})


def without_index_of_above(node: xr.DataTree) -> set[Hashable]:
    """Coordinates that are an index of the node above alone, which `map_over_datasets` of xarray drops."""
    return set() if node.parent is None else {*node.parent.xindexes} & {*node.to_dataset(inherit=False).coords}


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(by_path=st.dictionaries(st.sampled_from(["/", "/a", "/a/b", "/a/b/auxiliary", "/c d", "/e/f/g"]), nodes()))
def test_any_tree_comes_back(tmp_path_factory: pytest.TempPathFactory, by_path: dict[str, xr.Dataset]) -> None:
    try:
        tree = xr.DataTree.from_dict(by_path)
    except (ValueError, KeyError):  # nodes that xarray has not one below the other
        assume(False)
    assume(tree.children or tree.to_dataset().variables or tree.attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("error", nexus_xr.NexusWarning)
        to_nexus(tree, path := tmp_path_factory.mktemp("any") / "out.nxs")
        keeps_all = not any(without_index_of_above(node) for node in tree.subtree)
        back = xr.open_datatree(path, engine="nexus", create_default_indexes=keeps_all)
    assert back.identical(tree)


def test_nodes_keep_their_names_and_their_places(tmp_path: Path) -> None:
    tree = tree_of(**{"/": xr.Dataset(attrs={"title": "all"}), "a": data(), "b__c": data(note="of c"), "b__d": data()})
    assert tree_back(tree, tmp_path).identical(tree)
    assert nexus_xr.list_datasets(tmp_path / "out.nxs")[0] == ["/a", "/b/c", "/b/d"]
    with h5py.File(tmp_path / "out.nxs") as file:
        assert file.attrs["NX_class"] == "NXroot"
        assert file["b"].attrs["NX_class"] == "NXentry"
        assert (file["b/c"].attrs["NX_class"], file["b/c"].attrs["signal"]) == ("NXdata", "n")
        assert file["b/c/auxiliary"].attrs["NX_class"] == "NXcollection"
        assert "default" not in file.attrs
    tree_back(tree, tmp_path, use_default=True)
    assert xr.open_dataset(tmp_path / "out.nxs", engine="nexus").encoding["nexus_path"] == "/a"


def test_nodes_inherit_coordinates_as_before(tmp_path: Path) -> None:
    above = xr.Dataset({"m": ("x", [1.0, 2.0, 3.0])}, {"x": [1, 2, 3], "label": ("x", list("abc"))})
    tree = xr.DataTree.from_dict({"/": above, "/below": xr.Dataset({"n": ("x", [4, 5, 6])})})
    back = tree_back(tree, tmp_path)
    assert back.identical(tree)
    assert back["below"].x.values.tolist() == [1, 2, 3]


def test_a_coordinate_called_like_an_index_of_the_node_above_is_stored(tmp_path: Path) -> None:
    below = xr.Dataset({"n": ("y", [4, 5])}, {"x": 7.0})
    tree = xr.DataTree.from_dict({"/": xr.Dataset(coords={"x": [1, 2, 3]}), "/below": below})
    to_nexus(tree, tmp_path / "out.nxs")
    opened = xr.open_datatree(tmp_path / "out.nxs", engine="nexus", create_default_indexes=False)
    assert opened.identical(tree)


def test_an_opened_tree_is_written_where_it_stood(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "in.nxs", "w") as file:
        file["entry/instrument/detector/n"], file["entry/instrument/detector/title"] = [1.0, 2.0], "a title"
        file["entry/instrument/name"], file["entry/instrument/gone"] = "i05", h5py.SoftLink("/nowhere")
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/instrument/detector"].attrs.update(NX_class="NXdata", signal="n", old="kept")
    with pytest.warns(nexus_xr.NexusWarning, match="nowhere"):
        opened = xr.open_datatree(tmp_path / "in.nxs", engine="nexus")
    with pytest.warns(nexus_xr.NexusWarning, match="nowhere"):
        assert tree_back(opened, tmp_path).identical(opened)
    assert opened["entry"].attrs["instrument"]["gone"] == Link("/nowhere")
    with h5py.File(tmp_path / "out.nxs") as file:
        assert file["entry/instrument/name"][()] == b"i05"
        assert file["entry/instrument/detector"].attrs["old"] == "kept"


def test_what_is_in_two_places_of_a_tree_is_refused(tmp_path: Path) -> None:
    tree = tree_of(a=xr.Dataset(attrs={"b": 5}), a__b=data())
    with pytest.raises(NexusError, match="/a/b: is a node, and an item of the attributes of the node above"):
        to_nexus(tree, tmp_path / "out.nxs")
    with pytest.raises(NexusError, match="entry='x': the groups of a DataTree"):
        to_nexus(tree_of(a=data()), tmp_path / "out.nxs", entry="x")
    with pytest.raises(NexusError, match="the tree holds nothing to write"):
        to_nexus(xr.DataTree(), tmp_path / "out.nxs")
    edges = data().drop_vars("x").nexus.assign_edges(x=[0, 1, 2, 4]).drop_vars("n")
    with pytest.raises(NexusError, match="/a/x: bins without data"):
        to_nexus(tree_of(a=edges), tmp_path / "out.nxs")
    assert list(tmp_path.iterdir()) == []


def test_a_tree_is_added_to_a_file(tmp_path: Path) -> None:
    to_nexus(data(), tmp_path / "out.nxs")
    to_nexus(tree_of(a=data()), tmp_path / "out.nxs", mode="a")
    assert nexus_xr.list_datasets(tmp_path / "out.nxs")[0] == ["/entry1/n", "/a"]
    with pytest.raises(NexusError, match="has 'a' already"):
        to_nexus(tree_of(a=data()), tmp_path / "out.nxs", mode="a")


def test_metadata_of_nodes_changes_where_it_is_stored(tmp_path: Path) -> None:
    tree = tree_back(tree_of(a=data(note="old", deep={"x": 1}), b=xr.Dataset(attrs={"c": 1})), tmp_path)
    tree["a"].attrs |= {"note": "new", "deep": {"x": 2}}
    tree["b"].attrs["c"] = 2
    to_nexus(tree, tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as file:
        assert (file["a/auxiliary/note"][()], file["a/auxiliary/deep/x"][()], file["b/c"][()]) == (b"new", 2, 2)
    assert xr.open_datatree(tmp_path / "new.nxs", engine="nexus").identical(tree)
    one = xr.open_dataset(tmp_path / "out.nxs", engine="nexus", group="/a")
    assert one.drop_attrs().identical(data().drop_attrs())


# --- metadata ------------------------------------------------------------------------------------------------------


def test_values_stay_values_and_fields_fields(tmp_path: Path) -> None:
    told = {"plain": 1.5, "list": [1, 2], "field": {"value": 1.5}, "with": {"value": 2, "attrs": {"units": "m"}}}
    dataset = data(title="all of it", sample=told, many=np.arange(20_000))
    to_nexus(dataset, tmp_path / "out.nxs")
    back = xr.open_dataset(tmp_path / "out.nxs", engine="nexus")
    assert back.identical(dataset)
    assert (back.attrs["title"], back.attrs["sample"]["field"]) == ("all of it", {"value": 1.5})
    assert nexus_xr.read_metadata(tmp_path / "out.nxs", skip_array_metadata=True).keys() == {"attrs", "entry1"}
    short = xr.open_dataset(tmp_path / "out.nxs", engine="nexus", skip_array_metadata=True)
    assert short.attrs.keys() == {"title", "sample"}


# --- encodings -------------------------------------------------------------------------------------------------------


def encoded(values: Any, **encoding: Any) -> xr.Dataset:
    dataset = xr.Dataset({"n": ("x", values)})
    dataset.n.encoding = encoding
    return dataset


@pytest.mark.parametrize(("values", "dtype"), [([1.0, 2.5], "f4"), ([1, 2], "int16"), ([1, 2], np.dtype(">u8"))])
@pytest.mark.parametrize("chunks", [None, 1])
def test_the_type_of_an_encoding_is_that_of_what_is_written(
    values: Any, dtype: Any, chunks: int | None, tmp_path: Path
) -> None:
    dataset = encoded(np.array(values, "f8" if dtype == "f4" else "u2"), dtype=dtype)
    to_nexus(dataset if chunks is None else dataset.chunk(chunks), tmp_path / "out.nxs")
    with h5py.File(tmp_path / "out.nxs") as file:
        assert file["entry1/n/n"].dtype == np.dtype(dtype)
        assert file["entry1/n/n"][()].tolist() == values


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ({"dtype": "int16", "scale_factor": 0.1, "add_offset": 2, "_FillValue": -1}, "packed values"),
        ({"scale_factor": 0.1}, r"packed values.*drop_encoding\(\)"),
        ({"dtype": "int16"}, "float64 is not to be stored as int16"),
    ],
)
def test_an_encoding_that_changes_values_is_refused(encoding: dict[str, Any], said: str, tmp_path: Path) -> None:
    dataset = encoded([0.5, 1.0], **encoding)
    with pytest.raises(NexusError, match=said):
        to_nexus(dataset, tmp_path / "out.nxs")
    assert list(tmp_path.iterdir()) == []
    to_nexus(dataset.drop_encoding(), tmp_path / "out.nxs")
    opened = xr.open_dataset(tmp_path / "out.nxs", engine="nexus")
    opened.n.encoding |= {"scale_factor": 0.1}
    with pytest.raises(NexusError, match="packed values"):
        to_nexus(opened, tmp_path / "more.nxs")
    assert opened.n.values.tolist() == [0.5, 1.0]


def test_values_that_are_scaled_in_a_file_are_written_as_they_are(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "in.nxs", "w") as file:
        file["entry/data/n"], file["entry/data/n_scaling_factor"] = np.array([1, 2], "i2"), 0.5
        file["entry/data"].attrs.update(NX_class="NXdata", signal="n")
    opened = xr.open_dataset(tmp_path / "in.nxs", engine="nexus")
    to_nexus(opened, tmp_path / "out.nxs")
    assert xr.open_dataset(tmp_path / "out.nxs", engine="nexus").identical(opened)
    tree = xr.open_datatree(tmp_path / "in.nxs", engine="nexus")
    assert tree_back(tree, tmp_path).identical(tree)
    assert opened.n.values.tolist() == [0.5, 1.0]


def test_a_value_that_gets_attributes_is_a_field(tmp_path: Path) -> None:
    to_nexus(data(sample={"x": 5}), tmp_path / "out.nxs")
    with h5py.File(tmp_path / "out.nxs", "r+") as file:
        file["entry1/auxiliary/original_metadata/sample/x"].attrs["units"] = "mm"
    back = xr.open_dataset(tmp_path / "out.nxs", engine="nexus")
    assert back.attrs["sample"]["x"] == {"value": 5, "attrs": {"units": "mm"}}


def test_opaque_values_come_back(tmp_path: Path) -> None:
    opaque = {"field": np.void(b"\x80\x04 pickle\0\0"), "zeros": np.void(b"\0\0")}
    with h5py.File(tmp_path / "in.nxs", "w") as file:
        file["entry/note/field"] = opaque["field"]
        file["entry/note"].attrs["zeros"] = opaque["zeros"]
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/data/n"] = [1.0, 2.0]
        file["entry/data"].attrs.update(NX_class="NXdata", signal="n")
    tree = xr.open_datatree(tmp_path / "in.nxs", engine="nexus")
    assert tree["entry"].attrs["note"]["field"]["value"] == opaque["field"].tobytes()
    assert tree_back(tree, tmp_path).identical(tree)
    with h5py.File(tmp_path / "out.nxs") as file:
        assert file["entry/note/field"][()] == opaque["field"]
        assert file["entry/note"].attrs["zeros"] == opaque["zeros"]


def test_data_with_the_number_of_an_axis_elsewhere_stays_data(tmp_path: Path) -> None:
    tree = tree_of(a=data().assign(m=("y", [1.0, 2.0], {"axis": 1, "primary": 1})))
    assert tree_back(tree, tmp_path).identical(tree)
    with h5py.File(tmp_path / "out.nxs") as file:
        assert "axis" not in file["a/m"].attrs


def test_text_of_any_width_is_the_same(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict({"/a": data(sample={"labels": np.array(["\u03b8" * 3, "b"])})})
    back = tree_back(tree, tmp_path)
    assert back["a"].attrs["sample"]["labels"].dtype != tree["a"].attrs["sample"]["labels"].dtype
    assert back.identical(tree)


def test_text_of_fixed_length_is_the_same_when_it_was_loaded(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "table.nxs", "w") as file:
        file["entry/table/id"] = np.array([b"HELX_P1", b"HELX_P2", b"H3"])
        file["entry/table/length"] = np.array([12, 5, 14])
        file["entry/other/id"] = np.array([b"a", b"b"])
    tree = xr.open_datatree(tmp_path / "table.nxs", engine="nexus")
    assert tree_back(tree.load(), tmp_path).identical(tree)


TEXTS_OF_REFERENCES: dict[str, Any] = {
    "objects": ["/entry/data", "", "", "/entry/data/n"],
    "regions": ["/entry/data/n", "", ""],
    "nulls": ["", ""],
    "record": (b"/entry/data", "µm".encode(), (b"",)),
    "records": [(b"/entry/data", b"a", (b"/entry/data",)), (b"", b"b", (b"/entry/data",))],
    "lists": ["/entry/data, ", ""],
    "many": ["/entry/data", ""] * 10_000,
}


def test_references_come_back_as_text(tmp_path: Path) -> None:
    with_references(tmp_path / "in.nxs")
    to_nexus(xr.open_dataset(tmp_path / "in.nxs", engine="nexus"), tmp_path / "out.nxs")
    back = xr.open_dataset(tmp_path / "out.nxs", engine="nexus")
    fields = {name: field["value"] for name, field in back.attrs["fields"].items()}
    found = {**fields, **back.n.attrs}
    assert {name: np.asarray(each[...]).tolist() for name, each in found.items()} == TEXTS_OF_REFERENCES
    assert fields.keys() | back.n.attrs.keys() == TEXTS_OF_REFERENCES.keys()
    tree = xr.open_datatree(tmp_path / "in.nxs", engine="nexus")
    assert tree_back(tree, tmp_path)["entry/data"].n.attrs.keys() == back.n.attrs.keys()


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.parametrize("name", ["objects", "records", "many"])
def test_references_that_are_data_come_back_as_text(tmp_path: Path, name: str, chunks: Any) -> None:
    with_references(tmp_path / "in.nxs")
    opened = xr.open_dataset(tmp_path / "in.nxs", engine="nexus", dataset_path=f"/entry/fields/{name}", chunks=chunks)
    to_nexus(opened[name], tmp_path / "out.nxs")
    [back] = nexus_xr.open_signals(tmp_path / "out.nxs", nxdata_only=True)
    assert back.values.tolist() == TEXTS_OF_REFERENCES[name]


# What comes back as something else, as HDF5 or NeXus has no place for the difference.
OTHERWISE: list[tuple[Any, Any]] = [
    ([5], 5),
    (np.float32(1.5), 1.5),
    (None, h5py.Empty("f4")),
    (np.datetime64("2020-01-01"), "2020-01-01"),
    (b"text", "text"),
]


@pytest.mark.parametrize(("value", "expected"), OTHERWISE, ids=str)
def test_what_hdf5_has_no_place_for_comes_back_as_something_near(value: Any, expected: Any, tmp_path: Path) -> None:
    to_nexus(data(sample={"x": value}), tmp_path / "out.nxs")
    found = xr.open_dataset(tmp_path / "out.nxs", engine="nexus").attrs["sample"]["x"]
    assert type(found) is type(expected)
    assert found == expected


def test_a_coordinate_without_an_index_comes_back_with_one(tmp_path: Path) -> None:
    array = xr.DataArray([1.0, 2.0, 3.0], {"x": [4, 5, 6]}, "x", "n")
    to_nexus(array.drop_indexes("x"), tmp_path / "f.nxs")
    [found] = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    assert found.identical(array)
    assert "x" in found.xindexes


# --- lists of dictionaries -------------------------------------------------------------------------------------------

OPERATIONS: list[Any] = [
    {"name": "crop", "box": [1, 2], "by": {"value": 5, "attrs": {"units": "mm"}}, "large": np.arange(20_000)},
    3,
    {"steps": [{"n": 1}, [1, 2], {}], "value": [{"n": 2}]},
    *({"number": number} for number in range(10)),
]


@pytest.mark.parametrize("how", ["array", "dataset", "tree"])
def test_lists_of_dictionaries_come_back(how: str, tmp_path: Path) -> None:
    sample = {"more": tuple(OPERATIONS), "field": {"value": OPERATIONS, "attrs": {"a": 1}}}
    told = {"operations": OPERATIONS, "sample": sample}
    obj: Any = data(**told)
    if how == "array":
        obj = obj.n.assign_attrs(told)
    elif how == "tree":
        obj = xr.DataTree.from_dict({"/": xr.Dataset(attrs=told), "/a": obj, "/b/c": xr.Dataset(attrs=told)})
    for name in ("one.nxs", "two.nxs"):
        to_nexus(obj, tmp_path / name)
        if how == "array":
            back: Any = only_signal(tmp_path / name)
        else:
            back = (xr.open_datatree if how == "tree" else xr.open_dataset)(tmp_path / name, engine="nexus")
        attrs = back.attrs
        assert same_tree(attrs["operations"], OPERATIONS)
        assert same_tree(attrs["sample"], {**sample, "more": OPERATIONS})
        obj = back
    with h5py.File(tmp_path / "one.nxs") as file:
        stored = file["operations" if how == "tree" else "entry1/auxiliary/original_metadata/operations"]
        assert set(stored) == {str(number) for number in range(13)}
        assert stored["0/name"].asstr()[()] == "crop"


@pytest.mark.parametrize("values", [["a", 2, True], [2**64 - 1, -1], [b"\xff", "a"], [[1, "a"], [2.5, 3]]])
def test_lists_that_no_array_holds_come_back(values: list[Any], tmp_path: Path) -> None:
    array = xr.DataArray(np.arange(3.0), dims="x", name="a", attrs={"process": {"steps": values, "title": "t"}})
    array.nexus.to_nexus(tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert opened.attrs["process"] == {"steps": values, "title": "t"}
    pairs = zip(opened.attrs["process"]["steps"], values, strict=True)
    assert all(isinstance(value, list) or type(found) is type(value) for found, value in pairs)


@pytest.mark.parametrize("count", [2000, 2001])
def test_of_lists_that_no_array_holds_those_with_few_elements_are_written(count: int, tmp_path: Path) -> None:
    values = [*[["a", 1]] * 500, *range(count - 1000)]
    array = xr.DataArray(np.arange(3.0), dims="x", name="a", attrs={"process": {"steps": values}})
    if count > 2000:
        with pytest.raises(NexusError, match="steps: its parts are of several lengths"):
            array.nexus.to_nexus(tmp_path / "f.nxs")
        return
    array.nexus.to_nexus(tmp_path / "f.nxs")
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").attrs["process"]["steps"]
    assert found == values


def test_a_list_that_contains_itself_is_refused(tmp_path: Path) -> None:
    values: list[Any] = [1, "a"]
    values += [values, values]
    array = xr.DataArray(np.arange(3.0), dims="x", name="a", attrs={"process": {"steps": values}})
    with pytest.raises(NexusError, match="original_metadata/process/steps: a list contains itself"):
        array.nexus.to_nexus(tmp_path / "f.nxs")


def test_lists_of_dictionaries_change_in_place(tmp_path: Path) -> None:
    to_nexus(data(operations=OPERATIONS, steps=[{"n": 1}], same=[{"n": 1}]), tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    first = {**opened.attrs["operations"][0], "name": "cut"}
    changed = {"operations": [first, *OPERATIONS[1:3]], "steps": {"n": 2}, "new": [{"n": 3}], "same": [{"n": 1}]}
    to_nexus(opened.assign_attrs(changed), tmp_path / "f.nxs", layout="inplace")
    back = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").attrs
    expected = {**changed, "operations": [{**OPERATIONS[0], "name": "cut"}, *OPERATIONS[1:3]]}
    large = back["operations"][0]
    large["large"] = large["large"][...]
    assert {name: back[name] for name in expected} == expected


def test_a_list_of_dictionaries_that_others_changed_is_a_group(tmp_path: Path) -> None:
    for change in ("0/n", "2", "attribute"):
        to_nexus(data(steps=[{"n": 1}, {"n": 2}]), tmp_path / "f.nxs")
        with h5py.File(tmp_path / "f.nxs", "r+") as file:
            steps = file["entry1/auxiliary/original_metadata/steps"]
            if change == "attribute":
                steps.attrs["by"] = "me"
            elif change in steps:
                steps[change][...] = 5
            else:
                steps.create_group(change)
        found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").attrs["steps"]
        assert found == ([{"n": 5}, {"n": 2}] if change == "0/n" else found)
        assert isinstance(found, list) == (change == "0/n")


def test_what_is_left_out_of_a_list_of_dictionaries_is_no_element(tmp_path: Path) -> None:
    dataset = data(steps=[{"n": np.arange(3)}, {"n": 2}])
    to_nexus(dataset, tmp_path / "f.nxs", skip_metadata_key=["steps/0"])
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").attrs["steps"] == {"1": {"n": 2}}
    to_nexus(dataset, tmp_path / "f.nxs")
    short = xr.open_dataset(tmp_path / "f.nxs", engine="nexus", skip_array_metadata=True)
    assert short.attrs["steps"] == [{}, {"n": 2}]


def test_classes_in_lists_of_dictionaries_are_none_of_what_is_written(tmp_path: Path) -> None:
    steps = [{"data": {"attrs": {"NX_class": "NXdata", "signal": "n"}, "n": np.arange(3)}}]
    to_nexus(data(steps=steps), tmp_path / "f.nxs")
    assert nexus_xr.list_datasets(tmp_path / "f.nxs")[0] == ["/entry1/n"]
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").attrs["steps"] == steps


def test_lists_of_dictionaries_that_have_no_place_are_refused(tmp_path: Path) -> None:
    inner: list[Any] = [{}]
    inner += [inner, inner]
    with pytest.raises(NexusError, match="inner/1: contains itself"):
        to_nexus(data(inner=inner), tmp_path / "f.nxs")
    array = xr.DataArray([1.0], {"x": ("x", [1], {"steps": [{"n": 1}]})}, "x", "n")
    with pytest.raises(NexusError, match=r"n/x: attribute 'steps': .*\[0\], .* lists of them are groups"):
        to_nexus(array, tmp_path / "f.nxs")
