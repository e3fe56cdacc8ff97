"""What opens, as what: the data model, the options, and the errors."""

from __future__ import annotations

import inspect
import io
import json
import os
import pickle
import re
import shutil
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import (
    Link,
    NexusError,
    NexusFileChangedError,
    NexusFileError,
    NexusPathError,
    NexusWarning,
    to_nexus,
)
from nexus_xr.backend import NexusBackendEntrypoint
from nexus_xr.hdf5.io.divided import why_divided
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.opening import dataset as datasets
from nexus_xr.opening.datatree import tree_of
from nexus_xr.opening.fields.group_fields import GroupFields
from nexus_xr.opening.options import Options
from nexus_xr.signatures import documentation

from .files import Field, Write, nxdata, nxentry, paths_in, scan_file, write_tree
from .opened import open_nexus
from .processes import run

# --- the data model --------------------------------------------------------------------------------------------


def test_a_group_becomes_a_dataset(write: Write) -> None:
    dataset = open_nexus(write(scan_file()))
    counts = np.arange(12, dtype="u2").reshape(3, 4)
    assert dataset.sizes == {"y": 3, "x": 4}
    assert list(dataset.data_vars) == ["counts", "i0", "counts_errors"]
    np.testing.assert_array_equal(dataset.counts, counts)
    assert dataset.counts.dtype == np.dtype("u2")
    np.testing.assert_array_equal(dataset.y, [0.0, 0.1, 0.3])
    assert dataset.counts.attrs == {"units": "counts", "long_name": "Counts"}
    assert dataset.x.attrs == {"units": "um"}


def test_the_rest_of_the_entry_is_in_attrs(write: Write) -> None:
    attrs = open_nexus(write(scan_file())).attrs
    assert attrs["attrs"] == {"NX_class": "NXentry", "default": "data"}
    assert attrs["title"] == {"value": "a scan"}
    assert attrs["instrument"]["detector"]["distance"] == {"value": 1.5, "attrs": {"units": "m"}}
    np.testing.assert_array_equal(attrs["instrument"]["detector"]["mask"]["value"], np.zeros((3, 4)))


@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_names_with_a_slash_are_paths_below_the_group(write: Write, tmp_path: Path) -> None:
    fields = {"n": np.ones((4, 3)), "y": np.arange(4), "log_x": np.arange(5)}
    told = {"signal": "n", "axes": ["y", "log/x"], "log/x_indices": 1, "auxiliary_signals": ["aux/n"]}
    path = write({"entry": nxentry({"data": nxdata(fields, **told)})})
    with h5py.File(path, "r+") as file:
        file["entry/data/log/x"], file["entry/data/aux/n"] = np.arange(3.0), np.ones((4, 3))
    dataset = open_nexus(path)
    assert (dataset.n.dims, set(dataset.variables)) == (("y", "log_x_"), {"n", "y", "log_x_", "aux_n"})
    assert dataset.log_x_.encoding["nexus_path"] == "/entry/data/log/x"
    np.testing.assert_array_equal(dataset.log_x_, np.arange(3.0))
    to_nexus(dataset, tmp_path / "copy.nxs")
    assert open_nexus(tmp_path / "copy.nxs").identical(dataset)
    assert xr.open_datatree(path, engine="nexus")["/entry/data"].n.identical(dataset.n)
    changed = dataset.assign_coords(log_x_=[3.0, 4, 5])
    to_nexus(changed, tmp_path / "changed.nxs", layout="inplace")
    assert open_nexus(tmp_path / "changed.nxs").equals(changed)


def test_what_the_group_holds_beyond_its_variables_stays_at_its_own_name(write: Write) -> None:
    data = open_nexus(write(scan_file())).attrs["data"]
    assert data["title"] == {"value": "a map"}
    assert data["attrs"]["signal"] == "counts"
    assert set(data) == {"title", "attrs"}


def test_encoding_says_where_a_variable_comes_from_and_how_it_is_stored(write: Write) -> None:
    stored = Field(np.zeros((4, 6), ">i4"), chunks=(2, 3), compression="gzip", compression_opts=4, shuffle=True)
    path = write({"entry": nxentry({"data": nxdata({"a": stored}, signal="a")})})
    encoding = open_nexus(path).a.encoding
    assert encoding["source"] == str(path)
    assert encoding["nexus_path"] == "/entry/data/a"
    assert encoding["original_shape"] == (4, 6)
    assert encoding["dtype"] == np.dtype(">i4")
    assert encoding["chunksizes"] == (2, 3)
    assert [(step["name"], step["options"]) for step in encoding["hdf5_filters"]] == [
        ("shuffle", (4,)),
        ("deflate", (4,)),
    ]


def test_bin_edges_become_centres_with_bounds(write: Write) -> None:
    edges = np.array([0.0, 1.0, 3.0, 7.0], "f4")
    path = write({"entry": nxentry({"data": nxdata({"n": np.zeros(3), "t": edges}, signal="n", axes="t")})})
    dataset = open_nexus(path)
    np.testing.assert_array_equal(dataset.t, np.array([0.5, 2.0, 5.0], "f4"))
    assert dataset.t.dtype == np.float32
    assert dataset.t.attrs["bounds"] == "t_bounds"
    np.testing.assert_array_equal(dataset.t_bounds, np.stack([edges[:-1], edges[1:]], -1))


def test_integer_bin_edges_have_exact_centres(write: Write) -> None:
    fields = {"n": np.zeros(2), "t": np.array([0, 1, 4], "u1")}
    dataset = open_nexus(write({"data": nxdata(fields, signal="n", axes="t")}))
    np.testing.assert_array_equal(dataset.t, [0.5, 2.5])
    np.testing.assert_array_equal(dataset.t_bounds, [[0, 1], [1, 4]])


def test_edges_of_each_spectrum_become_bounds_of_each(write: Write) -> None:
    edges = np.array([[0.0, 1.0, 3.0], [10.0, 20.0, 40.0]])
    fields = {"n": np.zeros((2, 2)), "t": edges}
    dataset = open_nexus(write({"data": nxdata(fields, signal="n", axes=[".", "."], t_indices=[0, 1])}))
    np.testing.assert_array_equal(dataset.t, [[0.5, 2.0], [15.0, 30.0]])
    np.testing.assert_array_equal(dataset.t_bounds[1], [[10, 20], [20, 40]])


def test_an_axis_called_as_the_dimension_of_bounds(write: Write) -> None:
    fields = {"n": np.zeros((3, 2)), "bnds": np.arange(3.0), "t": np.arange(3.0)}
    dataset = open_nexus(write({"data": nxdata(fields, signal="n", axes=["bnds", "t"])}))
    assert dataset.t_bounds.dims == ("t", "bnds_")


def test_references_become_links(write: Write) -> None:
    path = write({"entry": nxentry({"data": nxdata({"n": np.zeros(3), "x": np.arange(3.0)}, signal="n", axes="x")})})
    with h5py.File(path, "a") as file:
        file["entry/data/x"].make_scale("x")
        file["entry/data/n"].dims[0].attach_scale(file["entry/data/x"])
        file["entry"].attrs["reference"] = file["entry/data"].ref
        file["entry"].attrs["nothing"] = h5py.Reference()
    dataset = open_nexus(path)
    assert dataset.n.attrs["DIMENSION_LIST"][0] == Link("/entry/data/x")
    assert dataset.x.attrs["REFERENCE_LIST"]["dataset"] == Link("/entry/data/n")
    assert dataset.attrs["attrs"]["reference"] == Link("/entry/data")
    assert dataset.attrs["attrs"]["nothing"] is None
    assert dataset.identical(pickle.loads(pickle.dumps(dataset)))


def test_members_are_in_the_order_of_the_file_where_it_keeps_one(write: Write) -> None:
    path = write({"entry": nxentry({"b": one(1), "a": one(2)})}, track_order=True)
    assert open_nexus(path).n.values[0] == 2
    with h5py.File(path, "w", track_order=True) as file:
        for name, value in (("b", 1.0), ("a", 2.0)):
            file.create_group("entry", track_order=True) if "entry" not in file else None
            group = file["entry"].create_group(name)
            group.attrs.update(NX_class="NXdata", signal="n")
            group["n"] = [value, 0.0]
    assert open_nexus(path).n.values[0] == 1


def test_scaling_is_applied_lazily_and_only_when_wanted(write: Write) -> None:
    raw = np.array([1, 2, 3], "i2")
    fields = {"n": raw, "n_scaling_factor": 0.5, "n_offset": 10}
    path = write({"entry": nxentry({"data": nxdata(fields, signal="n")})})
    np.testing.assert_array_equal(open_nexus(path).n, [5.5, 6.0, 6.5])
    assert open_nexus(path).n.dtype == np.float64
    unscaled = open_nexus(path, mask_and_scale=False).n
    assert unscaled.dtype == np.dtype("i2")
    np.testing.assert_array_equal(unscaled, raw)
    assert open_nexus(path).attrs["data"]["n_scaling_factor"]["value"] == 0.5


def test_a_scaling_of_one_changes_nothing(write: Write) -> None:
    path = write({"data": nxdata({"n": np.array([1], "i2"), "n_scaling_factor": 1.0}, signal="n")})
    assert open_nexus(path).n.dtype == np.dtype("i2")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (np.array([b"a", "µm".encode()]), ["a", "µm"]),
        (np.array([b"a", b"\xb5m"]), ["a", "µm"]),
        (np.array(["a", "µm"], dtype=h5py.string_dtype()), ["a", "µm"]),
    ],
    ids=["fixed UTF-8", "fixed Latin-1", "variable"],
)
def test_text_axes_are_str(stored: Any, expected: list[str], write: Write) -> None:
    path = write({"data": nxdata({"n": [1, 2], "label": stored}, signal="n", axes="label")})
    dataset = open_nexus(path)
    assert dataset.label.values.tolist() == expected
    assert dataset.n.sel(label="µm") == 2


def test_fields_of_the_tree_are_python_scalars_text_or_arrays(write: Write) -> None:
    tree = {
        "one": np.array([[3]], "u1"),
        "real": np.float32(0.5),
        "flag": True,
        "complex": 1 + 2j,
        "text": np.bytes_(b"caf\xe9"),
        "several": np.arange(3, dtype="i2"),
        "texts": np.array([b"a", b"bc"]),
        "nothing": h5py.Empty("f8"),
        "none": np.zeros((0, 2)),
    }
    values = {name: field["value"] for name, field in nexus_xr.read_metadata(write({"entry": tree}))["entry"].items()}
    assert (values["one"], values["real"], values["flag"], values["complex"], values["text"]) == (
        3,
        0.5,
        True,
        1 + 2j,
        "café",
    )
    assert [type(values[name]) for name in ("one", "real", "flag", "complex")] == [int, float, bool, complex]
    assert values["several"].dtype == np.dtype("i2")
    assert values["texts"].tolist() == ["a", "bc"]
    assert values["nothing"] == h5py.Empty("f8")
    assert values["none"].shape == (0, 2)


def test_large_fields_of_the_tree_stay_in_the_file(write: Write) -> None:
    large = np.arange(64 * 1024, dtype="u2")
    value = nexus_xr.read_metadata(write({"entry": {"mask": large}}))["entry"]["mask"]["value"]
    assert isinstance(value, nexus_xr.LazyArray)
    assert (value.shape, value.dtype) == (large.shape, large.dtype)
    np.testing.assert_array_equal(value[5:9], large[5:9])
    np.testing.assert_array_equal(value, large)


def test_links_are_followed_and_those_that_lead_nowhere_are_named(write: Write) -> None:
    entry = nxentry(
        {
            "data": nxdata({"n": h5py.SoftLink("/entry/detector/counts")}, signal="n"),
            "detector": {"counts": [1, 2, 3]},
            "gone": h5py.SoftLink("/entry/nowhere"),
            "elsewhere": h5py.ExternalLink("missing.h5", "/x"),
            "loop": h5py.SoftLink("/entry/loop"),
            "up": h5py.SoftLink("/entry"),
        }
    )
    with pytest.warns(NexusWarning) as caught:
        dataset = xr.open_dataset(write({"entry": entry}), engine="nexus")
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert dataset.n.values.tolist() == [1, 2, 3]
    assert dataset.attrs["gone"] == Link("/entry/nowhere")
    assert dataset.attrs["elsewhere"] == Link("/x", "missing.h5")
    assert dataset.attrs["loop"] == Link("/entry/loop")
    assert dataset.attrs["up"] == Link("/entry")
    assert "missing.h5:/x" in str(caught[0].message)


def test_names_that_python_or_the_tree_use_themselves(write: Write) -> None:
    odd = {"value": 1.0, "keys": 2.0, "a b": 3.0, "c.d": 4.0, "e:f": 5.0, "items": {"get": 6.0}}
    tree = nexus_xr.read_metadata(write({"entry": odd}))["entry"]
    assert {name: field.get("value") for name, field in tree.items() if name != "items"} == {
        "value": 1.0,
        "keys": 2.0,
        "a b": 3.0,
        "c.d": 4.0,
        "e:f": 5.0,
    }
    assert tree["items"]["get"]["value"] == 6.0


def test_a_member_called_attrs_gives_way_to_the_attributes(write: Write) -> None:
    with pytest.warns(NexusWarning, match="'attrs' stands under 'attrs_'"):
        tree = nexus_xr.read_metadata(write({"entry": {"@units": "mm", "attrs": 7}}))
    assert tree["entry"] == {"attrs": {"units": "mm"}, "attrs_": {"value": 7}}


@pytest.mark.parametrize("below", ["attrs", "attrs/data", "a/attrs", "attrs/attrs"])
def test_data_called_attrs_leaves_the_attributes_of_the_group_above(below: str, write: Write, tmp_path: Path) -> None:
    tree: dict[str, Any] = nxdata({"n": [1, 2], "title": "of the data"}, signal="n")
    for name in reversed(below.split("/")):
        tree = {"@note": "of the group", name: tree}
    path = write({"entry": {"@NX_class": "NXentry", **tree, "title": "of the entry"}})
    with pytest.warns(NexusWarning, match="'attrs' stands under 'attrs_'"):
        dataset = open_nexus(path)
    assert dataset.attrs["title"]["value"] == "of the entry"
    above: Any = dataset.attrs
    for name in below.split("/"):
        assert above["attrs"]["note"] == "of the group"
        above = above[f"{name}_" if name == "attrs" else name]
    assert above["title"]["value"] == "of the data"
    dataset.nexus.to_nexus(tmp_path / "out.nxs")
    assert open_nexus(tmp_path / "out.nxs").identical(dataset)
    above["title"]["value"] = "another"
    dataset.nexus.to_nexus(tmp_path / "changed.nxs", layout="inplace")
    with h5py.File(tmp_path / "changed.nxs") as file:
        assert file[f"entry/{below}/title"][()] == b"another"
        assert not any("attrs_" in each for each in paths_in(file))


def test_an_axis_that_is_too_long_for_an_index_stays_in_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_xr.opening.dataset.INDEX_BYTES", 16)
    path = write({"data": nxdata({"n": np.zeros(3), "t": np.arange(3.0)}, signal="n", axes="t")})
    with pytest.warns(NexusWarning, match="too long for an index"):
        dataset = open_nexus(path)
    assert dataset.n.dims == ("dim_0",)
    assert dataset.t.dims == ("dim_0",)
    np.testing.assert_array_equal(dataset.t, [0, 1, 2])


def test_data_that_names_its_dimension_is_a_coordinate(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"n": [1, 2], "m": Field([3, 1], {"_ARRAY_DIMENSIONS": np.array(["m"], dtype=object)})}
    path = write({"entry": nxentry({"data": nxdata(fields, signal="n", auxiliary_signals=["m"])})})
    dataset = xr.open_dataset(path, engine="nexus")
    assert set(dataset.data_vars) == {"n"}
    assert dataset.indexes["m"].tolist() == [3, 1]
    monkeypatch.setattr("nexus_xr.opening.dataset.INDEX_BYTES", 15)
    with pytest.warns(NexusWarning, match="'m' gives its dimension no index"):
        dataset = xr.open_dataset(path, engine="nexus")
    assert not dataset.indexes
    assert dataset["m"].values.tolist() == [3, 1]


def test_default_slice_is_in_the_encoding_of_the_signal(write: Write) -> None:
    path = write({"data": nxdata({"n": np.zeros((3, 4))}, signal="n", default_slice=["1", "."])})
    assert open_nexus(path).n.encoding["default_slice"] == {"dim_0": 1}


@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
@pytest.mark.parametrize("nx_class", ["NXdata", ""])
@pytest.mark.parametrize(
    ("shape", "attributes", "dims"),
    [
        ((3, 4), {"I_axes": "Q,Q", "Q_indices": [0, 1]}, ("dim_0", "dim_1")),
        ((3, 4), {"I_axes": "Q,Q"}, ("dim_0", "dim_1")),
        ((2, 3, 4), {"I_axes": ["t", "Q", "Q"], "Q_indices": "1,2"}, ("dim_1", "dim_2")),
        ((4,), {"I_axes": "Q", "Q_indices": 0}, ("dim_0",)),
        ((4,), {"axes": ["Q"], "I_axes": "Q"}, ("dim_0",)),
    ],
)
def test_a_vector_q_is_the_coordinates_that_its_components_are(
    nx_class: str, shape: tuple[int, ...], attributes: dict[str, Any], dims: tuple[str, ...], write: Write
) -> None:
    inner = np.zeros(shape[-len(dims) :])
    fields = {"I": np.zeros(shape), "Qx": inner, "Qy": inner, "t": np.arange(2.0)}
    data = nxdata(fields, signal="I", canSAS_class="SASdata", **attributes) | {"@NX_class": nx_class}
    dataset = open_nexus(write({"entry": nxentry({"data": data})}))
    assert {name: dataset.coords[name].dims for name in ("Qx", "Qy")} == {"Qx": dims, "Qy": dims}
    assert list(dataset.data_vars) == ["I"]


def test_components_beside_a_q_or_of_another_rank_are_what_they_are(write: Write) -> None:
    fields = {"I": np.zeros((3, 4)), "Q": np.zeros((3, 4)), "Qx": np.zeros((3, 4))}
    data = nxdata(fields, signal="I", canSAS_class="SASdata", I_axes="Q,Q", Q_indices=[0, 1])
    assert set(open_nexus(write({"data": data})).coords) == {"Q"}
    data = nxdata({"I": np.zeros((3, 4)), "Qx": np.zeros(7)}, signal="I", canSAS_class="SASdata", I_axes="Q,Q")
    path = write({"data": data}, "b.nxs")
    with pytest.warns(NexusWarning, match="names 'Q', which is not there"):
        assert not open_nexus(path).coords


@pytest.mark.parametrize(
    ("definition", "shape", "is_errors"),
    [
        ("NXspe", (2, 3), True),
        (b"NXspe ", (2, 3), True),
        ("NXSPE", (2, 3), True),
        ("NXdirecttof", (2, 3), False),
        ("NXspe", (2,), False),
    ],
)
def test_error_holds_the_uncertainties_where_the_definition_says_so(
    definition: Any, shape: tuple[int, ...], is_errors: bool, write: Write
) -> None:
    fields = {"data": np.zeros((2, 3)), "error": np.ones(shape), "polar": np.arange(2.0), "energy": np.arange(4.0)}
    data = nxdata(fields, signal="data", axes=["polar", "energy"])
    path = write({"run": nxentry({"definition": definition, "data": data})})
    with nullcontext() if shape == (2, 3) else pytest.warns(NexusWarning, match="uncertainties 'error' of shape"):
        dataset = open_nexus(path)
    assert ("data_errors" in dataset) == is_errors
    if is_errors:
        np.testing.assert_array_equal(dataset["data_errors"], 1)
        assert "error" not in dataset
        assert dataset.data_errors.encoding["nexus_path"] == "/run/data/error"
        dataset.nexus.to_nexus(path.with_name("b.nxs"))
        assert open_nexus(path.with_name("b.nxs")).identical(dataset)


# --- which data ------------------------------------------------------------------------------------------------


def one(value: float) -> dict[str, Any]:
    return nxdata({"n": np.array([value, 0.0])}, signal="n")


def instrument(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "@NX_class": "NXdetector"}


def guessed(value: float) -> dict[str, Any]:
    return nxdata({"n": np.array([value, 0.0])})


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ({"@default": "b", "a": nxentry({"d": one(1)}), "b": nxentry({"d": one(2), "e": one(3)}, default="e")}, 3),
        ({"@default": "b", "a": nxentry({"d": one(1)}), "b": nxentry({"d": one(2)})}, 2),
        ({"@default": "b/d", "a": nxentry({"d": one(1)}), "b": nxentry({"d": one(2)})}, 2),
        ({"a": nxentry({"d": one(1), "e": one(2)}, default="e")}, 2),
        ({"a": nxentry({"d": one(1), "s": {"e": one(2)}}, default="s/e/n")}, 2),
        ({"a": nxentry({"s": {"@NX_class": "NXsubentry", "@default": "e", "e": one(1)}}, default="s")}, 1),
        ({"@default": "gone", "a": nxentry({"d": one(1)})}, 1),
        ({"a": nxentry({"c": guessed(1), "d": one(2)})}, 2),
        ({"a": nxentry({"c": guessed(1)}), "b": nxentry({"d": one(2)})}, 2),
        ({"a": nxentry({"b": nxdata({"x": [0], "y": [0]}), "c": guessed(1), "d": guessed(2)})}, 1),
        ({"a": {"d": one(1)}, "b": nxentry({"d": one(2)})}, 2),
        ({"a": nxentry({"d": nxdata({}), "e": one(2)})}, 2),
        ({"a": nxentry({"d": nxdata({"n": Field([5.0, 0], {"signal": 1})}), "e": nxdata({})})}, 5),
        ({"a": nxentry({"i": {"@NX_class": "NXinstrument", "d": one(1)}, "z": one(2)})}, 2),
        ({"d": one(7)}, 7),
        ({"@default": "a/e", "a": nxentry({"d": one(1), "e": instrument(one(2))})}, 2),
        ({"@default": "a/e", "a": nxentry({"d": one(1), "e": {"n": Field([2.0, 0], {"signal": 1})}})}, 2),
        ({"@default": "a/e", "a": nxentry({"d": instrument(one(1)), "e": instrument(one(2))})}, 2),
        ({"a": nxentry({"d": one(1), "s": {"e": one(2)}}, default="s")}, 2),
        ({"a": nxentry({"s": {"@NX_class": "NXsubentry", "@default": "e", "d": one(1), "e": one(2)}})}, 2),
        ({"p": {"a": nxentry({"d": one(1), "e": one(2)}, default="e")}}, 2),
        ({"a": nxentry({"d": one(1), "s": {"@NX_class": "NXprocess", "@default": "e", "e": one(2)}})}, 1),
        ({"@default": "a/d/n", "a": nxentry({"d": nxdata({"m": [1.0, 0], "n": [2.0, 0]})})}, 2),
        ({"a": nxentry({"d": nxdata({"m": [1.0, 0], "n": [2.0, 0]}, default="n")})}, 2),
        ({"@default": "a/d/n", "a": nxentry({"e": one(1), "d": {"m": [1.0, 0], "n": [2.0, 0]}})}, 2),
        ({"@default": "a/d/m", "a": nxentry({"d": {"m": [1.0, 0], **one(2), "@NX_class": "NXdata"}})}, 2),
    ],
    ids=[
        "default down the tree",
        "default at the root alone",
        "default with a path",
        "default at the entry alone",
        "default that names the signal",
        "default through a subentry",
        "default that leads nowhere",
        "a signal that is declared before one that is guessed",
        "a signal that is declared in a later entry",
        "the first signal that is guessed",
        "first NXentry",
        "first NXdata with a signal",
        "version 2",
        "nearest to the entry",
        "without an entry",
        "default that names a detector",
        "default that names a group without a class",
        "default in a file without NXdata",
        "default at the entry that leads to what data is below",
        "default of a subentry on the way",
        "default of an entry that is no member of the root",
        "data nearer to the entry than that of a default on the way",
        "default that names the field of a group without a signal",
        "default of a group that names its own field",
        "default that names a field that is in no NXdata",
        "default that names another field than the signal",
    ],
)
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_default_plot(tree: dict[str, Any], expected: float, write: Write) -> None:
    assert open_nexus(write(tree)).n.values[0] == expected


def test_a_default_that_leads_to_no_data_is_told_of(write: Write) -> None:
    path = write({"@default": "b", "a": nxentry({"d": one(1)}), "b": nxentry({"title": "nothing"})})
    with pytest.warns(NexusWarning, match="/b: a @default leads here, where there is no data to plot"):
        assert open_nexus(path).n.values[0] == 1
    with pytest.warns(NexusWarning, match="/b: a @default leads here"):
        assert len(nexus_xr.open_signals(path, use_default=True)) == 1


@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_a_default_that_is_no_nxdata_is_the_default_whatever_is_opened(write: Write) -> None:
    path = write({"@default": "a/e", "a": nxentry({"d": one(1), "e": instrument(one(2))})})
    assert open_nexus(path, hardlinks_only=True).n.values[0] == 2
    assert [signal.values[0] for signal in nexus_xr.open_signals(path, use_default=True)] == [2]


@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_the_field_that_a_default_names_is_the_signal_in_a_tree(write: Write) -> None:
    path = write({"@default": "a/d/n", "a": nxentry({"d": nxdata({"m": [1.0, 0], "n": [2.0, 0]})})})
    assert list(xr.open_datatree(path, engine="nexus")["a/d"].data_vars) == ["n", "m"]


def two_groups(write: Write) -> Path:
    return write({"entry": nxentry({"a": one(1), "b": one(2), "plain": np.array([9.0, 9.0])})})


def test_selecting_by_group_path_and_key(write: Write) -> None:
    path = two_groups(write)
    assert open_nexus(path, group="/entry/b").n.values[0] == 2
    assert open_nexus(path, group="entry").n.values[0] == 1
    assert open_nexus(path, dataset_path="/entry/b").n.values[0] == 2
    assert open_nexus(path, dataset_path=["/entry/b"]).n.values[0] == 2
    assert open_nexus(path, dataset_key="y/b").n.values[0] == 2
    assert open_nexus(path, dataset_path="/entry/plain").plain.values[0] == 9
    assert open_nexus(path, dataset_path="/entry/b/n").n.values[0] == 2


def test_a_dataset_has_the_axes_that_its_group_gives_it(write: Write) -> None:
    path = write(scan_file())
    dataset = open_nexus(path, dataset_path="/entry/data/i0")
    assert dataset.i0.dims == ("y", "x")
    assert list(dataset.data_vars) == ["i0"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset_key": "/entry/"}, ["matches 2 NXdata groups", "/entry/a", "/entry/b", "dataset_path"]),
        ({"use_default": False}, ["has 2 NXdata groups", "/entry/a", "/entry/b"]),
        ({"dataset_key": "zzz"}, ["nothing matches dataset_key='zzz'", "/entry/a"]),
        ({"dataset_path": "/entry/zzz"}, ["/entry/zzz is not there", "a, b, plain"]),
        ({"dataset_path": "/entry/plain/deeper"}, ["/entry/plain is a dataset"]),
        ({"group": "/nowhere"}, ["/nowhere is not there", "entry"]),
    ],
)
def test_a_selection_that_is_not_one_says_what_there_is(options: dict[str, Any], said: list[str], write: Write) -> None:
    path = two_groups(write)
    with pytest.raises(NexusPathError) as caught:
        open_nexus(path, **options)
    for words in [str(path), *said]:
        assert words in str(caught.value)


def test_an_entry_without_data_says_so(write: Write) -> None:
    path = write({"entry": nxentry({"title": "nothing here"})})
    with pytest.raises(NexusPathError, match="no NXdata group and no dataset of two or more elements"):
        open_nexus(path)
    assert xr.open_datatree(path, engine="nexus")["entry"].attrs["title"]["value"] == "nothing here"
    assert nexus_xr.open_signals(path) == []


def test_a_plain_hdf5_file_opens(write: Write) -> None:
    path = write({"a": np.arange(3), "g": {"b": np.zeros((3, 3)), "c": np.arange(3), "n": 1}})
    with pytest.raises(NexusPathError, match="3 datasets, in no NXdata group"):
        open_nexus(path)
    tree = xr.open_datatree(path, engine="nexus")
    assert tree["g/b"].dims == ("b_dim_0", "b_dim_1")
    assert tree["g"].attrs["n"]["value"] == 1
    assert [signal.name for signal in nexus_xr.open_signals(path)] == ["a", "b", "c"]
    assert nexus_xr.open_signals(path, nxdata_only=True) == []


def detector(**members: Any) -> dict[str, Any]:
    return {"@NX_class": "NXdetector", **members}


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"data": np.ones((3, 2)), "mask": np.zeros(9)}, "data"),
        ({"counts": Field(np.ones((3, 2)), {"signal": 1, "axes": "x"}), "x": np.arange(3.0)}, "counts"),
        ({"@signal": "counts", "@axes": "x", "counts": np.ones((3, 2)), "x": np.arange(3.0)}, "counts"),
    ],
)
def test_the_only_detector_of_a_file_without_nxdata_opens(members: dict[str, Any], name: str, write: Write) -> None:
    gas = {"@NX_class": "NXdetector", "temperature": np.zeros(5), "data": 1.0}  # no array, and so no signal
    instrument = {"@NX_class": "NXinstrument", "a": detector(**members), "gas": gas}
    path = write({"entry": nxentry({"instrument": instrument, "table": {"p": [1, 2], "q": [3, 4]}})})
    with h5py.File(path, "a") as file:
        file["entry/linked"] = file["entry/instrument/a"]
    with pytest.warns(NexusWarning, match="there is no NXdata; took this, the only detector or monitor with a signal"):
        dataset = open_nexus(path)
    assert list(dataset.data_vars) == [name]
    assert dataset.sizes == ({"x": 3, "dim_1": 2} if name == "counts" else {"dim_0": 3, "dim_1": 2})
    assert dataset.attrs["table"]["p"]["value"].tolist() == [1, 2]
    with pytest.raises(NexusPathError, match="in no NXdata group"):
        open_nexus(path, dataset_key="entry")


def test_candidates_are_detectors_monitors_and_tables_first(write: Write) -> None:
    logs = {"t": {"@NX_class": "NXlog", "time": np.arange(3.0), "value": np.arange(3.0)}}
    entry = nxentry(
        {
            "apart": {"a": np.zeros(3), "b": np.zeros((4, 2))},
            "b_monitor": {"@NX_class": "NXmonitor", "data": np.arange(5)},
            "columns": {"x": np.arange(7), "y": np.arange(7), "image": np.zeros((7, 2, 2)), "n": 1},
            "detector": detector(data=np.arange(5)),
            "events": {"@NX_class": "NXevent_data", "event_id": np.arange(9), "event_index": np.arange(3)},
            "d_logs": logs,
        }
    )
    with pytest.raises(NexusPathError, match="11 datasets, in no NXdata group") as caught:
        open_nexus(write({"entry": entry}))
    assert [line.strip("- ") for line in str(caught.value).splitlines()[1:-1]] == [
        "/entry/detector (NXdetector)",
        "/entry/b_monitor (NXmonitor)",
        "/entry/events (NXevent_data)",
        "/entry/columns (group of 3 columns of 7)",
        "/entry/d_logs/t (NXlog of 2 columns of 3)",
        "/entry/apart/a",
        "/entry/apart/b",
    ]


def test_a_log_whose_times_do_not_fit_is_told_of_as_a_log(write: Write) -> None:
    path = write({"entry": {"log": {"@NX_class": "NXlog", "time": np.arange(4.0), "value": np.zeros(6)}}})
    with pytest.warns(NexusWarning, match=r"'time' of shape \(4,\) doesn't fit where NXlog puts it \(dimension 0\)"):
        assert open_nexus(path, dataset_path="/entry/log").value.sizes == {"dim_0": 6}


GROUPS: dict[str, tuple[dict[str, Any], dict[str, tuple[str, ...]]]] = {
    "log": (
        {"@NX_class": "NXlog", "time": np.arange(3.0), "value": np.zeros((3, 2)), "average_value": 0.0},
        {"time": ("time",), "value": ("time", "dim_1")},
    ),
    "log without a time": ({"@NX_class": "NXlog", "value": np.zeros(3)}, {"value": ("dim_0",)}),
    "events": (
        {
            "@NX_class": "NXevent_data",
            **{name: np.arange(9) for name in ("event_id", "event_time_offset")},
            **{name: np.arange(4) for name in ("event_index", "event_time_zero")},
        },
        {
            "event_id": ("dim_0",),
            "event_time_offset": ("dim_0",),
            "event_index": ("dim_1",),
            "event_time_zero": ("dim_1",),
        },
    ),
    "monitor": (
        {"@NX_class": "NXmonitor", "counts": np.arange(3), "time_of_flight": np.arange(4.0), "distance": 1.0},
        {"counts": ("counts_dim_0",), "time_of_flight": ("time_of_flight_dim_0",)},
    ),
    "detector": (
        {"@NX_class": "NXdetector", "image": np.zeros((3, 4, 5)), "exposure": np.arange(3.0)},
        {"image": ("dim_0", "image_dim_1", "image_dim_2"), "exposure": ("dim_0",)},
    ),
    "measurement": (
        {"@NX_class": "NXcollection", "x": np.arange(5.0), "diode": np.arange(5), "name": "a scan"},
        {"x": ("dim_0",), "diode": ("dim_0",)},
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("group", "expected"), GROUPS.values(), ids=GROUPS)
def test_any_group_with_arrays_opens_by_its_path(
    group: dict[str, Any], expected: dict[str, tuple[str, ...]], write: Write
) -> None:
    path = write({"entry": nxentry({"group": group, "data": nxdata({"n": [1, 2]}, signal="n")})})
    dataset = open_nexus(path, dataset_path="/entry/group")
    assert {name: variable.dims for name, variable in dataset.variables.items()} == expected
    for name in expected:
        np.testing.assert_array_equal(dataset[name], group[name])
    assert dataset.nexus.refresh().identical(dataset)
    assert open_nexus(path, group="/entry/group").identical(dataset)
    tree = xr.open_datatree(path, engine="nexus", dataset_path="/entry/group")
    assert {name: each.dims for name, each in tree["entry/group"].dataset.variables.items()} == expected
    signals = nexus_xr.open_signals(path, dataset_path="/entry/group")
    assert [signal.name for signal in signals] == sorted(map(str, dataset.data_vars))
    for signal in signals:
        np.testing.assert_array_equal(signal, dataset[signal.name])
        assert signal.nexus.refresh().identical(signal)
        assert signal.attrs["group"]["attrs"] == {"NX_class": group["@NX_class"]}


def test_a_group_without_arrays_is_none_to_open(write: Write) -> None:
    path = write({"entry": nxentry({"sample": {"name": "ice", "temperature": 77.0, "mass": [1.0]}})})
    with pytest.raises(NexusPathError, match="/entry/sample holds no data"):
        open_nexus(path, dataset_path="/entry/sample")


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_fields_of_a_scan_share_dimensions_though_its_detector_is_missing(write: Write) -> None:
    fields = {"x": np.arange(3.0), "x_read": np.arange(3.0), "i0": np.arange(3)}
    links = {"frames": h5py.ExternalLink("gone.h5", "/data")}
    axes = {"signal": "frames", "axes": ["x", ".", "."], "x_indices": 0, "x_read_indices": 0}
    path = write({"entry": nxentry({"data": nxdata(fields | links, **axes)})})
    dataset = open_nexus(path)
    assert dataset.sizes == {"x": 3}
    assert (list(dataset.coords), list(dataset.data_vars)) == (["x", "x_read"], ["i0"])
    assert dataset.i0.sel(x=2.0).item() == 2
    assert xr.open_datatree(path, engine="nexus")["entry/data"].sizes == {"x": 3}
    ways_to_open: list[dict[str, Any]] = [{}, {"dataset_path": "/entry/data"}]
    for options in ways_to_open:
        counter = next(signal for signal in nexus_xr.open_signals(path, **options) if signal.name == "i0")
        assert (counter.dims, list(counter.coords)) == (("x",), ["x", "x_read"])
    assert nexus_xr.open_signals(path, nxdata_only=True) == []


@pytest.mark.filterwarnings("error")
def test_columns_of_a_file_without_nxdata_share_a_dimension(write: Write) -> None:
    columns = {"x": np.arange(5.0), "diode": np.arange(5), "name": "a scan"}
    path = write({"entry": nxentry({"measurement": columns, "other": {"a": [1, 2], "b": [1, 2, 3]}})})
    tree = xr.open_datatree(path, engine="nexus")
    assert tree["entry/measurement"].sizes == {"dim_0": 5}
    assert tree["entry/other"].sizes == {"a_dim_0": 2, "b_dim_0": 3}
    signals = {signal.name: signal for signal in nexus_xr.open_signals(path, dataset_key="measurement")}
    assert signals["x"].dims == signals["diode"].dims


def test_datasets_on_either_side_of_a_group_are_one_node(write: Write) -> None:
    tree = xr.open_datatree(write({"g": {"a": [1, 2], "b": {"x": [3, 4]}, "c": [5, 6]}}), engine="nexus")
    assert list(tree["g"].dataset.data_vars) == ["a", "c"]
    assert list(tree["g/b"].dataset.data_vars) == ["x"]


def test_metadata_can_be_chosen_and_arrays_left_out(write: Write) -> None:
    path = write(scan_file())
    assert list(open_nexus(path, metadata_key="detector").attrs) == ["instrument"]
    assert set(open_nexus(path, metadata_key=["title", "nothing"]).attrs) == {"data", "title"}
    detector = open_nexus(path, skip_array_metadata=True).attrs["instrument"]["detector"]
    assert set(detector) == {"attrs", "distance"}


def test_hardlinks_only_leaves_links_alone(write: Write) -> None:
    entry = nxentry({"a": one(1), "b": h5py.SoftLink("/entry/a"), "soft": h5py.SoftLink("/entry/a/n")})
    path = write({"entry": entry})
    assert nexus_xr.list_datasets(path)[0] == ["/entry/a", "/entry/b"]
    assert nexus_xr.list_datasets(path, hardlinks_only=True) == (["/entry/a"], ["/entry/a/n"])
    assert open_nexus(path, hardlinks_only=True).attrs["soft"] == Link("/entry/a/n")


def test_the_default_plot_behind_a_link_gives_way_where_links_are_left_alone(write: Write) -> None:
    entry = nxentry({"a": h5py.SoftLink("/other/n"), "b": one(1)}, default="a")
    path = write({"entry": entry, "other": {"n": one(2)}})
    assert open_nexus(path).n.values[0] == 2
    assert open_nexus(path, hardlinks_only=True).n.values[0] == 1


def test_a_hard_link_with_target_counts_as_a_link(write: Write) -> None:
    path = write({"entry": nxentry({"a": {"n": Field([1, 2], {"target": "/entry/a/n"})}, "b": {}})})
    with h5py.File(path, "a") as file:
        file["entry/b/n"] = file["entry/a/n"]
    assert nexus_xr.list_datasets(path, hardlinks_only=True)[1] == ["/entry/a/n"]


def test_variables_can_be_dropped(write: Write) -> None:
    dataset = open_nexus(write(scan_file()), drop_variables=["i0", "x"])
    assert list(dataset.data_vars) == ["counts", "counts_errors"]
    assert "x" not in dataset.coords


def test_signals_hold_tree_and_attributes_of_the_field(write: Write) -> None:
    [signal] = nexus_xr.open_signals(write(scan_file()), nxdata_only=True)
    assert signal.name == "counts"
    assert sorted(map(str, signal.coords)) == ["counts_errors", "x", "y"]
    assert signal.attrs["units"] == "counts"
    assert signal.attrs["instrument"]["detector"]["distance"]["value"] == 1.5


def test_signals_of_the_default_alone(write: Write) -> None:
    path = write(
        {"@default": "entry", "entry": nxentry({"a": one(1), "b": one(2)}, default="b")},
    )
    assert [signal.values[0] for signal in nexus_xr.open_signals(path, use_default=True)] == [2]
    assert len(nexus_xr.open_signals(path)) == 2


def test_a_chunks_attribute_asks_for_blocks(write: Write) -> None:
    stored = Field(np.zeros((4, 6, 8)), {"chunks": [1, 4, 8]}, chunks=(2, 3, 4))
    path = write({"entry": nxentry({"data": nxdata({"a": stored}, signal="a")})})
    assert open_nexus(path, chunks={}).a.chunks == ((2, 2), (6,), (8,))


def test_hyperspy_metadata_is_restored(write: Write) -> None:
    auxiliary = {
        "@NX_class": "NXentry",
        "original_metadata": {"@NX_class": "NXcollection", "instrument": {"energy": Field(12.0, {"units": "keV"})}},
        "hyperspy_metadata": {"General": {"title": "rocks"}},
        "learning_results": {"factors": np.eye(2)},
    }
    path = write({"@file_writer": "hyperspy_nexus_v3", "entry1": nxentry({"rocks": one(1), "auxiliary": auxiliary})})
    attrs = open_nexus(path).attrs
    assert list(attrs) == ["instrument", "hyperspy_metadata", "learning_results"]
    assert attrs["instrument"]["energy"] == {"value": 12.0, "attrs": {"units": "keV"}}
    assert attrs["hyperspy_metadata"]["General"]["title"]["value"] == "rocks"
    tree = xr.open_datatree(path, engine="nexus")
    assert "auxiliary" in tree["entry1"].attrs
    chosen = open_nexus(path, metadata_key="energy").attrs
    assert list(chosen) == ["instrument", "hyperspy_metadata", "learning_results"]
    assert chosen == attrs
    nothing = open_nexus(path, metadata_key="factors").attrs  # which is none of the original metadata
    assert nothing == {name: attrs[name] for name in ("hyperspy_metadata", "learning_results")}
    without_arrays = open_nexus(path, skip_array_metadata=True).attrs
    assert (list(without_arrays), without_arrays["learning_results"]) == (list(attrs), {})


# --- trees -----------------------------------------------------------------------------------------------------


def test_every_group_of_data_is_a_node_at_its_own_path(write: Write) -> None:
    tree = xr.open_datatree(write(scan_file()), engine="nexus")
    assert set(tree.groups) == {"/", "/entry", "/entry/data"}
    assert tree.attrs == {"attrs": {"default": "entry", "creator": "test"}}
    assert tree["entry"].attrs["title"]["value"] == "a scan"
    assert "data" not in tree["entry"].attrs
    assert tree["entry/data"].attrs["title"]["value"] == "a map"
    assert tree["entry/data"].dataset.counts.dims == ("y", "x")


def test_groups_open_by_path(write: Write) -> None:
    groups = xr.open_groups(write(scan_file()), engine="nexus")
    assert list(groups) == ["/", "/entry", "/entry/data"]


def test_coordinates_are_not_inherited_by_data_below(write: Write) -> None:
    inner = nxdata({"n": np.arange(5), "x": np.arange(5.0)}, signal="n", axes="x")
    outer = nxdata({"n": np.arange(4), "x": np.arange(4.0), "inner": inner}, signal="n", axes="x")
    tree = xr.open_datatree(write({"entry": nxentry({"outer": outer})}), engine="nexus")
    assert tree["entry/outer"].dataset.sizes != tree["entry/outer/inner"].dataset.sizes
    assert list(tree["entry/outer/inner"].dataset.coords) == ["x"]
    np.testing.assert_array_equal(tree["entry/outer/inner/x"], np.arange(5))
    np.testing.assert_array_equal(tree["entry/outer/x"], np.arange(4))


_names = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


@given(st.dictionaries(_names.map(lambda names: "/" + "/".join(names)), st.integers()))
def test_nodes_are_the_tree_that_xarray_makes_of_them(values: dict[str, int]) -> None:
    nodes = {path: xr.Dataset({"v": value}, attrs={"v": value}) for path, value in {"/": 0, **values}.items()}
    tree, expected = tree_of(nodes), xr.DataTree.from_dict(nodes)
    assert tree.identical(expected)
    assert [node.path for node in tree.subtree] == [node.path for node in expected.subtree]


def test_data_nested_in_groups_of_one_name(write: Write) -> None:
    def nested(size: int, members: dict[str, Any]) -> dict[str, Any]:
        return nxdata({"n": np.zeros(size), "x": np.arange(size), **members}, signal="n", axes="x")

    path = write({"g": nested(2, {"g": nested(3, {"g": nested(4, {"g_dim_0": np.zeros(4)})})})})
    tree = xr.open_datatree(path, engine="nexus")
    assert [tree[at].dataset.n.size for at in ("g", "g/g", "g/g/g")] == [2, 3, 4]


def test_a_tree_can_begin_at_a_group_and_be_selected(write: Write) -> None:
    path = two_groups(write)
    assert set(xr.open_datatree(path, engine="nexus", group="/entry").groups) == {"/", "/a", "/b"}
    assert set(xr.open_datatree(path, engine="nexus", dataset_key="/b").groups) == {"/", "/entry", "/entry/b"}
    assert set(xr.open_datatree(path, engine="nexus", dataset_path="/entry/plain").groups) == {"/", "/entry"}


# --- bad input -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"\x0e\x03\x13\x01" + b"\0" * 100, "HDF4 file.*nxconvert"),
        (b'<?xml version="1.0"?>\n<NXroot/>', "XML file.*nxconvert"),
        (b"CDF\x01" + b"\0" * 100, "netCDF-3"),
        (b"PK\x03\x04 something else", "not an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 50, "HDF5"),
    ],
    ids=["empty", "HDF4", "XML", "netCDF-3", "other", "damaged"],
)
def test_a_file_that_is_not_hdf5_is_named_as_what_it_is(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.nxs"
    path.write_bytes(content)
    with pytest.raises(NexusFileError, match=said) as caught:
        open_nexus(path)
    assert str(path) in str(caught.value)


# In a process of its own, as some versions of libhdf5 end that later which has written by such a driver.
WRITE_DIVIDED = """
import json, sys
import h5py, numpy as np
with h5py.File(sys.argv[1], "w", **json.loads(sys.argv[2])) as file:
    file["x"] = np.arange(5000)
"""


# Before version 2, libhdf5 fails to write one with a user block, and ends the process.
@pytest.mark.parametrize("userblock_size", [0, 512] if h5py.version.hdf5_version_tuple >= (2,) else [0])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("member_bytes", [4096, 1 << 20])
def test_a_member_of_a_family_is_named_as_one(
    tmp_path: Path, libver: str, member_bytes: int, userblock_size: int
) -> None:
    options = {"driver": "family", "memb_size": member_bytes, "libver": libver, "userblock_size": userblock_size}
    run(WRITE_DIVIDED, tmp_path / "f%d.h5", json.dumps(options))
    said = rf"f0\.h5: this is the first of the files .*\"family\".*h5repart.*memb_size={member_bytes}\)"
    with pytest.raises(NexusFileError, match=said) as caught:
        open_nexus(tmp_path / "f0.h5")
    assert "h5clear" not in str(caught.value)
    with (tmp_path / "f0.h5").open("rb") as stream, pytest.raises(NexusFileError, match='"family"'):
        open_nexus(stream)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_of_metadata_alone_is_named_as_one(tmp_path: Path, libver: str) -> None:
    run(WRITE_DIVIDED, tmp_path / "f", json.dumps({"driver": "split", "libver": libver}))
    with pytest.raises(NexusFileError, match=r'f-m\.h5: this is one of the files .*"split".*h5repack.*driver="split"'):
        open_nexus(tmp_path / "f-m.h5")


@pytest.mark.parametrize("driver", [b"NCSAfami", b"NCSAmult"])
@pytest.mark.parametrize("version", [0, 2])
def test_a_damaged_file_that_has_the_name_of_a_driver_somewhere_is_no_part_of_one(
    tmp_path: Path, version: int, driver: bytes
) -> None:
    with h5py.File(tmp_path / "f.h5", "w", libver="latest" if version else "earliest") as file:
        file["x"] = np.arange(5000)
    content = bytearray((tmp_path / "f.h5").read_bytes())
    # Where the superblock says that the driver is told of there is something else.
    start = 12 + 8 if version else 24 + 3 * 8
    content[start : start + 8] = len(content).to_bytes(8, "little")
    other = b"OHDR\2\0\x20" + b"\1\x0c\0\0\0" if version else bytes(9)
    (tmp_path / "f.h5").write_bytes(content + other + driver + bytes(200))
    with (tmp_path / "f.h5").open("rb") as stream:
        assert why_divided(stream) is None


def test_a_truncated_file_says_so(write: Write) -> None:
    path = write({"entry": nxentry({"data": nxdata({"n": np.zeros(1000)}, signal="n")})})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(NexusFileError, match="truncated"):
        open_nexus(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.nxs: no such file") as caught:
        open_nexus(tmp_path / "gone.nxs")
    assert isinstance(caught.value, NexusError)


def test_no_name_is_not_taken_for_the_present_folder() -> None:
    with pytest.raises(FileNotFoundError, match="the name of the file is empty; give the path of one"):
        open_nexus("")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NexusFileError, match=str(tmp_path)):
        open_nexus(tmp_path)


def test_a_file_that_changed_is_an_error_and_not_wrong_values(write: Write) -> None:
    path = write(scan_file())
    dataset = open_nexus(path)
    write({"entry": nxentry({"data": one(1)})})
    with pytest.raises(NexusFileError, match="changed since it was opened"):
        dataset.counts.load()


@pytest.mark.parametrize("is_linked", [False, True])
def test_a_file_that_is_replaced_while_it_is_opened_is_opened_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_linked: bool
) -> None:
    """As writers do that let nobody see half of a file; its index is read behind its description."""
    path = tmp_path / "scan.nxs"
    write_tree(path, scan_file())
    size = path.stat().st_size
    expected = open_nexus(path)
    if is_linked:
        with h5py.File(tmp_path / "master.nxs", "w") as file:
            file["entry"] = h5py.ExternalLink("scan.nxs", "/entry")
    described = datasets._read_indexes

    def read_indexes(*args: Any) -> Any:
        shutil.copyfile(path, tmp_path / "new.nxs")
        os.utime(tmp_path / "new.nxs", ns=(0, 0))
        os.replace(tmp_path / "new.nxs", path)
        return described(*args)

    monkeypatch.setattr(datasets, "_read_indexes", read_indexes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened = open_nexus(tmp_path / "master.nxs" if is_linked else path)
    assert path.stat().st_size == size
    assert path.stat().st_mtime_ns == 0
    assert dict(opened.xindexes).keys() == dict(expected.xindexes).keys() != set()
    for name in expected.xindexes:
        assert opened.indexes[name].equals(expected.indexes[name])
    with pytest.raises(NexusFileChangedError, match="it was written to or replaced"):
        opened.load()


def test_a_forked_process_reads_on_in_nothing_that_threads_of_the_other_had_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own may have the numbers that those had."""
    path = tmp_path / "f.h5"
    path.write_bytes(b"before")
    (tmp_path / "new.h5").write_bytes(b"replaced")
    file, content = File(path), bytearray(6)
    with file.source():
        os.replace(tmp_path / "new.h5", path)
        with file.source() as again:
            again.read_into(memoryview(content), 0)
        assert content == b"before"
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            with pytest.raises(NexusFileChangedError, match="it had 6 bytes, now 8"), file.source():
                pass


def test_no_index_is_lost_by_a_change_while_it_is_read(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    error = NexusFileChangedError("scan.nxs: the file changed since it was opened")
    monkeypatch.setattr(datasets, "_index_with_edges", mock.Mock(side_effect=error))
    with pytest.raises(NexusFileChangedError, match=r"scan\.nxs: the file changed"):
        open_nexus(write(scan_file()))


def test_a_field_that_goes_between_its_description_and_its_use_is_an_error(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = GroupFields.field

    def field(self: GroupFields, name: str) -> Dataset:
        monkeypatch.setattr(type(self.group), "get", lambda *_: None)
        return described(self, name)

    monkeypatch.setattr(GroupFields, "field", field)
    path = write(scan_file())
    with pytest.raises(NexusFileChangedError, match=r"scan\.nxs:/entry/.*: is no field any more, as the file changed"):
        open_nexus(path)


def test_a_damaged_chunk_is_an_error_with_file_and_path(write: Write) -> None:
    stored = Field(np.arange(1000), compression="gzip")
    path = write({"entry": nxentry({"data": nxdata({"n": stored}, signal="n")})})
    with h5py.File(path) as file:
        info = file["entry/data/n"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[info.byte_offset : info.byte_offset + info.size] = b"\xff" * info.size
    path.write_bytes(content)
    dataset = open_nexus(path)
    with pytest.raises(NexusFileError, match=r"scan\.nxs:/entry/data/n: the values can't be read"):
        dataset.n.load()


def test_an_axis_that_can_not_be_read_gives_way_to_one_warning(write: Write) -> None:
    stored = Field(np.arange(1000.0), compression="gzip")
    path = write({"data": nxdata({"n": np.zeros(1000), "x": stored}, signal="n", axes="x")})
    with h5py.File(path) as file:
        info = file["data/x"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[info.byte_offset : info.byte_offset + info.size] = b"\xff" * info.size
    path.write_bytes(content)
    with pytest.warns(NexusWarning, match="gives its dimension no index") as caught:
        dataset = open_nexus(path)
    assert len(caught) == 1
    assert dataset.n.dims == ("dim_0",)
    assert dataset.x.dims == ("dim_0",)


def test_nothing_is_said_of_a_file_in_order(write: Write) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = write(scan_file())
        open_nexus(path)
        xr.open_datatree(path, engine="nexus")
        nexus_xr.open_signals(path)
        nexus_xr.read_metadata(path)
        nexus_xr.list_datasets(path)


def test_selectors_that_are_no_text_are_refused(write: Write) -> None:
    with pytest.raises(TypeError, match="expected a string or a list of strings"):
        nexus_xr.list_datasets(write(scan_file()), dataset_key=[1])  # type: ignore[list-item]


WAYS: dict[str, Callable[..., Any]] = {
    "open_dataset": xr.open_dataset,
    "open_datatree": xr.open_datatree,
    "open_groups_as_dict": xr.open_groups,
    "open_signals": nexus_xr.open_signals,
    "list_datasets": nexus_xr.list_datasets,
    "read_metadata": nexus_xr.read_metadata,
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("option", ["decode_coords", "dataset_keys"])
def test_an_option_that_is_none_is_an_error_that_lists_those_there_are(write: Write, name: str, option: str) -> None:
    engine = {"engine": "nexus"} if WAYS[name].__module__.startswith("xarray") else {}
    with pytest.raises(TypeError, match=f"{name} has no option '{option}'; there are: .*storage_options"):
        WAYS[name](write(scan_file()), **engine, **{option: False})


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("group", 5, "a string, found int"),
        ("dataset_path", b"/entry", "a string or a list of strings, found bytes"),
        ("hardlinks_only", "yes", "True or False, found str"),
        ("mask_and_scale", {"counts": False}, "True or False, found dict"),
        ("drop_variables", 3, "a string or a list of strings, found int"),
        ("storage_options", "anon", "a mapping, found str"),
    ],
)
@pytest.mark.parametrize("way", [xr.open_dataset, xr.open_datatree, xr.open_groups])
def test_an_option_of_another_type_is_an_error(
    write: Write, way: Callable[..., Any], option: str, value: Any, expected: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(f"{option}={value!r}: expected {expected}")):
        way(write(scan_file()), engine="nexus", **{option: value})


@pytest.mark.parametrize("names", ["counts", ["counts"], ("counts",), {"counts"}, np.array(["counts"])])
def test_names_of_variables_come_in_any_collection(write: Write, names: Any) -> None:
    assert "counts" not in open_nexus(write(scan_file()), drop_variables=names)


def test_nothing_is_decoded_where_xarray_is_told_so(write: Write) -> None:
    group = {"n": np.array([1, 2]), "n_scaling_factor": 0.5}
    path = write({"entry": nxentry({"data": nxdata(group, signal="n")})})
    assert open_nexus(path).n.values.tolist() == [0.5, 1.0]
    assert open_nexus(path, decode_cf=False).n.values.tolist() == [1, 2]


@pytest.mark.parametrize("name", WAYS)
def test_signatures_and_docstrings_have_the_options_as_they_are_documented(name: str) -> None:
    function = getattr(nexus_xr, name, None) or getattr(NexusBackendEntrypoint, name)
    documented, defaults = documentation(Options), {each.name: each.default for each in fields(Options)}
    defaults["use_default"] = name == "open_dataset"
    parameters = inspect.signature(function).parameters.values()
    options = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    assert {each.name: each.default for each in options} == {each.name: defaults[each.name] for each in options}
    if name not in ("open_datatree", "open_groups_as_dict"):
        assert all(f"{each.name}\n    {documented[each.name]}\n" in function.__doc__ for each in options)


# --- files that broke it once ------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [18, 27, 45])
def test_a_stump_of_the_latest_format_is_an_error_at_once(length: int, write: Write) -> None:
    path = write({"x": 1}, libver="latest")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(NexusFileError):
        open_nexus(path)


def test_an_external_link_to_a_pipe_is_not_followed(write: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    entry = nxentry({"data": one(1), "live": h5py.ExternalLink("pipe", "/x")})
    with pytest.warns(NexusWarning, match="pipe:/x"):
        dataset = open_nexus(write({"entry": entry}))
    assert dataset.attrs["live"] == Link("/x", "pipe")


def test_array_datatypes_within_array_datatypes(tmp_path: Path) -> None:
    path = tmp_path / "nested.h5"
    inner = h5py.h5t.array_create(h5py.h5t.NATIVE_INT32, (2,))
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple((4,))
        outer = h5py.h5t.array_create(inner, (3,))
        dataset = h5py.h5d.create(file.id, b"data", outer, space)
        values = np.arange(24, dtype="i4").reshape(4, 3, 2)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.frombuffer(values.tobytes(), "V24"), mtype=outer)
    data = open_nexus(path, chunks={})["data"]
    np.testing.assert_array_equal(data, np.arange(24).reshape(4, 3, 2))
    np.testing.assert_array_equal(open_nexus(path)["data"][1:3, 2, ::-1], np.arange(24).reshape(4, 3, 2)[1:3, 2, ::-1])


def test_complex_and_very_large_integer_edges_keep_their_values(write: Write) -> None:
    edges = np.array([2**62 + 1, 2**62 + 3])
    dataset = open_nexus(write({"data": nxdata({"n": [1.0], "t": edges}, signal="n", axes="t")}))
    assert dataset.t_bounds.values.tolist() == [[2**62 + 1, 2**62 + 3]]
    with pytest.warns(NexusWarning, match="no index"):
        dataset = open_nexus(write({"data": nxdata({"n": [1.0], "t": [1 + 2j, 3]}, signal="n", axes="t")}))
    assert dataset.t.values.tolist() == [2 + 1j]


def test_the_offset_of_very_large_integers_is_exact(write: Write) -> None:
    path = write({"data": nxdata({"n": np.array([2**53 + 1]), "n_offset": -(2**53)}, signal="n")})
    assert open_nexus(path).n.values.tolist() == [1.0]


def test_an_axis_that_is_listed_twice_fits_where_it_fits_exactly(write: Write) -> None:
    fields = {"n": np.zeros((3, 4)), "x": np.arange(4.0)}
    dataset = open_nexus(write({"data": nxdata(fields, signal="n", axes=["x", "x"])}))
    assert dataset.n.dims == ("dim_0", "x")


def test_names_that_decode_alike_are_told_apart_in_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "alike.h5"
    with h5py.File(path, "w") as file:
        for number, name in enumerate((b"\xb5", b"\xc2\xb5")):
            h5py.h5d.create(file.id, name, h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((2,)))
            h5py.Dataset(h5py.h5d.open(file.id, name))[...] = number
    with pytest.warns(NexusWarning, match="two names read 'µ'"):
        assert nexus_xr.read_metadata(path)["µ"]["value"].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["signal", "axes", "default_slice", "n_indices", "auxiliary_signals"])
def test_numbers_of_thousands_of_digits(name: str, write: Write) -> None:
    attributes = {"signal": "n", name: "9" * 5000}
    with pytest.warns(NexusWarning) if name not in ("default_slice", "n_indices") else nullcontext():
        assert open_nexus(write({"data": nxdata({"n": [1, 2]}, **attributes)})).n.values.tolist() == [1, 2]


@pytest.mark.filterwarnings("error")
def test_half_precision_axes_of_either_byte_order(write: Write) -> None:
    for order in "<>":
        axis = np.array([1, 2], f"{order}f2")
        dataset = open_nexus(write({"data": nxdata({"n": [1, 2], "x": axis}, signal="n", axes="x")}))
        assert dataset.x.dtype == axis.dtype
        assert dataset.n.sel(x=2.0) == 2


@pytest.mark.parametrize("source", ["files/x\0y", io.StringIO("x"), b"", io.BytesIO(b"x"), None])
def test_odd_sources_are_nexus_errors(source: Any) -> None:
    with pytest.raises(NexusError):
        open_nexus(source)


def test_a_virtual_dataset_that_is_made_of_itself_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "circle.nxs"
    layout = h5py.VirtualLayout((4,), "f8")
    layout[...] = h5py.VirtualSource(path, "/data/x", (4,))
    with h5py.File(path, "w") as file:
        group = file.create_group("data")
        group.attrs.update(NX_class="NXdata", signal="n", axes="x")
        group["n"] = np.zeros(4)
        group.create_virtual_dataset("x", layout)
    with pytest.warns(NexusWarning, match=r"made of (itself|virtual datasets which .* without end)"):
        dataset = open_nexus(path)
    with pytest.raises(NexusFileError, match=r"made of (itself|virtual datasets which .* without end)"):
        dataset.x.load()


def test_an_attribute_can_not_ask_for_more_blocks_than_a_graph_holds(write: Write) -> None:
    stored = Field(np.zeros(10**6, "u1"), {"chunks": [1]}, chunks=(4,))
    dataset = open_nexus(write({"data": nxdata({"n": stored}, signal="n")}), chunks={})
    assert dataset.n.chunks == ((10**6,),)


def test_the_only_table_of_a_file_without_data_opens(write: Write) -> None:
    path = write({"scan": {"energy": np.arange(5.0), "i0": np.arange(5), "title": "a scan"}})
    with pytest.warns(NexusWarning, match="/scan: there is no NXdata; took this, the only group with data"):
        dataset = xr.open_dataset(path, engine="nexus")
    assert {name: variable.dims for name, variable in dataset.items()} == {"energy": ("dim_0",), "i0": ("dim_0",)}
    several = write({"a": {"x": np.arange(5), "y": np.arange(5)}, "b": {"x": np.arange(4), "y": np.arange(4)}}, "b.nxs")
    with pytest.raises(NexusPathError, match=r"/a \(group of 2 columns of 5\)\n.*/b \(group of 2 columns of 4\)"):
        xr.open_dataset(several, engine="nexus")
