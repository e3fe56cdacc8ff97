"""Trees of metadata compare as wholes: with each other, with anything else, and wherever xarray compares them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import nexus_xr
from nexus_xr import common_attrs
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.nexus.tree.metadata import MetadataAttributes, MetadataField, MetadataGroup, same_tree

from .files import Write, nxdata, nxentry, scan_file

OTHERS = [
    "a scan",
    None,
    5,
    1.5,
    [1],
    {},
    h5py.Empty("f4"),
    Link("/entry/nothing"),
    np.float64(1.5),
    np.datetime64("NaT", "ns"),
    np.array(1.5),
    np.array([1, 2]),
    np.array(["a", None], dtype=object),
    np.array([MetadataField(value=1.5)] * 2, dtype=object),
]


@pytest.mark.parametrize("other", OTHERS, ids=repr)
@pytest.mark.parametrize("kind", [MetadataField, MetadataGroup, MetadataAttributes])
def test_metadata_is_unlike_all_that_is_no_mapping(kind: type, other: Any) -> None:
    metadata = kind(value=1.5)
    assert (metadata == other) is False
    assert (other == metadata) is False
    assert (metadata != other) is True
    assert (other != metadata) is True


def test_metadata_is_like_a_dictionary_of_the_same() -> None:
    metadata = MetadataGroup(x=MetadataField(value=np.array([1.0, np.nan])))
    plain = {"x": {"value": np.array([1.0, np.nan])}}
    assert (metadata == plain, plain == metadata) == (True, True)
    assert (metadata != plain, plain != metadata) == (False, False)


TIMES = arrays.from_dtype(np.dtype("M8[s]"), allow_nan=True)
RECORD = np.dtype([("a", "f4"), ("b", "i2", (2,))])
NAMED = np.array([(Link("/a"), 1)], dtype=[("dataset", object), ("dimension", "u4")])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(width=16) | st.text("ab", max_size=2) | TIMES
SCALARS |= st.sampled_from([np.float64("nan"), np.zeros((), RECORD)[()], NAMED[0], Link("/a"), h5py.Empty("f4")])
TYPES = st.sampled_from([np.dtype(name) for name in ("i2", "f4", "c8", "U1", "M8[s]")] + [RECORD])
ARRAYS = arrays.arrays(TYPES, arrays.array_shapes(min_dims=0, max_dims=2, max_side=2))
RAGGED = st.lists(st.text("ab") | arrays.arrays("f4", st.integers(0, 2)), min_size=1, max_size=2)
OBJECTS = RAGGED.map(lambda elements: np.array([*elements, None], dtype=object))


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    members = st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    kinds: list[type[dict[str, Any]]] = [dict, MetadataGroup, MetadataField]
    mappings = st.builds(lambda kind, held: kind(held), st.sampled_from(kinds), members)
    return st.lists(inner, max_size=2) | st.tuples(inner, inner) | mappings


VALUES = st.recursive(SCALARS | ARRAYS | OBJECTS, containers, max_leaves=6)


@given(a=VALUES, b=VALUES)
def test_any_values_can_be_compared(a: Any, b: Any) -> None:
    assert same_tree(a, copy.deepcopy(a)) is True
    assert same_tree(a, b) is same_tree(b, a)
    assert same_tree(MetadataGroup(x=a), MetadataGroup(x=b)) is same_tree(a, b)


def test_values_of_varying_length_are_compared_in_files(write: Write) -> None:
    paths = [write({"entry": nxentry({})}, name=f"{name}.nxs") for name in "abc"]
    for path, last in zip(paths, (3, 3, 4), strict=True):
        with h5py.File(path, "a") as file:
            for name, length in (("small", 2), ("large", 9000)):
                ragged = file.create_dataset(f"entry/{name}", (length,), dtype=h5py.vlen_dtype("i4"))
                ragged[0], ragged[1] = [1, 2], [last]
    one, same, other = (nexus_xr.read_metadata(path)["entry"] for path in paths)
    assert one == same
    for name in ("small", "large"):
        assert one[name] != other[name]


def test_a_title_that_was_replaced_by_text_is_compared_by_xarray(write: Write) -> None:
    dataset = xr.open_dataset(write(scan_file()), engine="nexus")
    dark = dataset.assign_attrs(title="dark run")
    assert not dataset.identical(dark)
    with xr.set_options(keep_attrs=True):
        for difference in (dataset - dark, dark - dataset):
            assert "instrument" in difference.attrs
    assert "title" not in xr.merge([dataset, dark], compat="override", combine_attrs="drop_conflicts").attrs


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
@pytest.mark.parametrize(
    "combine_attrs", ["drop", "identical", "no_conflicts", "drop_conflicts", "override", common_attrs]
)
def test_a_broken_link_and_a_group_of_one_name_are_combined(combine_attrs: Any, write: Write) -> None:
    members = (h5py.ExternalLink("gone.h5", "/"), {"x": 1.0})
    data = nxdata({"n": np.arange(3), "x": np.arange(3.0)}, signal="n", axes="x")
    paths = [
        write({"entry": nxentry({"data": data, "sample": member})}, name=f"{number}.nxs")
        for number, member in enumerate(members)
    ]
    scans = [xr.open_dataset(path, engine="nexus") for path in paths]
    for pair in (scans, scans[::-1]):
        if combine_attrs in ("identical", "no_conflicts"):
            with pytest.raises(xr.MergeError):
                xr.concat(pair, "scan", combine_attrs=combine_attrs)
        else:
            attrs = xr.concat(pair, "scan", combine_attrs=combine_attrs).attrs
            assert ("sample" in attrs) is (combine_attrs == "override")


def test_a_title_is_replaced_in_place(write: Write, tmp_path: Path) -> None:
    dataset = xr.open_dataset(write(scan_file()), engine="nexus")
    dataset.attrs["title"] = "new"
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as file:
        assert file["entry/title"].asstr()[()] == "new"


RECORDS = np.array([(1, 2.0)], "i4,f8")


@pytest.mark.parametrize("other", [np.arange(5), np.zeros((2, 3)), ["a", "b"], RECORDS, 7, "text"])
def test_an_array_that_stays_in_its_file_is_compared_with_anything(tmp_path: Path, other: Any) -> None:
    for name, value in (("large", np.arange(20_000.0)), ("other", other)):
        with h5py.File(tmp_path / f"{name}.nxs", "w") as file:
            file["entry/data/counts"] = np.arange(3.0)
            file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
            file["entry/value"] = value
    large, small = (xr.open_dataset(tmp_path / f"{name}.nxs", engine="nexus") for name in ("large", "other"))
    assert not large.identical(small)
    assert not small.identical(large)
    assert large.identical(large.copy(deep=True))
    for combined in (xr.concat([small, large], "scan", combine_attrs=nexus_xr.common_attrs), large - small):
        assert "value" not in combined.attrs
