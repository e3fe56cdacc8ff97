"""What is written comes back as it was, and nothing that fails leaves a trace."""

from __future__ import annotations

import concurrent.futures
import errno
import fcntl
import inspect
import io
import os
import pickle
import socket
import stat
import subprocess
import sys
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import fields
from itertools import repeat
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import h5py
import hdf5plugin
import numpy as np
import pytest
import xarray as xr
from dask.diagnostics import ProgressBar
from h5py import h5d, h5f, h5o, h5p, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

import nexus_xr
import nexus_xr.server
from nexus_xr import Link, NexusError, NexusFileError, NexusWarning, to_nexus
from nexus_xr.accessor import DataArrayAccessor
from nexus_xr.hdf5.io import file_copy, writers
from nexus_xr.hdf5.io import locks as locking
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing import claims, copying, creation, new_objects
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.nexus.tree.metadata import same_tree
from nexus_xr.nexus.tree.scan import Found
from nexus_xr.opening.guess import is_nexus
from nexus_xr.opening.select import Described, Opening
from nexus_xr.writing.changes import region as changed_region
from nexus_xr.writing.fields.blockwise import fill as fill_from
from nexus_xr.writing.options import WAYS, WritingOptions

from .corpus import corpus_files
from .files import Field, fill, nxdata, nxentry, with_scales, write_tree
from .opened import only_signal
from .processes import run
from .waiting import PATIENCE_SECONDS

FRAMES = np.random.default_rng(1).poisson(30, (6, 40, 50)).astype("u2")


def scan(values: Any = FRAMES) -> xr.DataArray:
    return xr.DataArray(
        values,
        dims=("scan", "y", "x"),
        name="counts",
        coords={
            "scan": ("scan", np.arange(6) * 0.5 + 1, {"units": "s"}),
            "y": ("y", np.arange(40) * 0.1 - 2, {"units": "um"}),
            "x": ("x", np.arange(50) ** 1.5, {"units": "um"}),
            "temperature": ("scan", np.arange(6.0), {"units": "K"}),
            "height": (("y", "x"), np.arange(2000.0).reshape(40, 50)),
            "label": ("scan", list("abcdef")),
            "when": ("scan", np.array("2024-01-01", "M8[ns]") + np.arange(6).astype("m8[h]")),
            "wavelength": 1.54,
        },
        attrs={
            "units": "counts",
            "interpretation": "image",
            "sample": {"name": {"value": "Ni"}, "thickness": {"value": 1.5, "attrs": {"units": "mm"}}},
        },
    )


def folder(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


# --- layout ----------------------------------------------------------------------------------------------------


def test_the_layout_is_that_of_hyperspy(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file.attrs["NX_class"] == "NXroot"
        assert file.attrs["default"] == "entry1"
        assert file.attrs["file_writer"] == "hyperspy_nexus_v3"
        entry = file["entry1"]
        assert dict(entry.attrs) == {"NX_class": "NXentry", "default": "counts", "_METADATA_GROUP": "auxiliary"}
        data = entry["counts"]
        assert data.attrs["NX_class"] == "NXdata"
        assert data.attrs["signal"] == "counts"
        assert list(data.attrs["axes"]) == ["scan", "y", "x"]
        assert {
            name: data.attrs[f"{name}_indices"].tolist() for name in ("scan", "y", "x", "temperature", "height")
        } == {
            "scan": 0,
            "y": 1,
            "x": 2,
            "temperature": 0,
            "height": [1, 2],
        }
        assert data.attrs["interpretation"] == "image"
        assert data["y"].attrs["units"] == "um"
        assert data["counts"].attrs["units"] == "counts"
        original = entry["auxiliary/original_metadata"]
        assert original.attrs["NX_class"] == "NXcollection"
        assert original["sample/name"][()] == b"Ni"
        assert original["sample/thickness"].attrs["units"] == "mm"


def test_each_of_several_has_an_entry_and_the_first_may_be_the_default(tmp_path: Path) -> None:
    both = [scan(), scan()[0].rename("first")]
    to_nexus(both, tmp_path / "f.nxs", use_default=True)
    assert nexus_xr.list_datasets(tmp_path / "f.nxs")[0] == ["/entry1/counts", "/entry2/first"]
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file.attrs["default"] == "entry1"
    for got, expected in zip(nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True), both, strict=True):
        assert got.identical(expected)


def test_hyperspy_metadata_stands_beside_the_original(tmp_path: Path) -> None:
    array = scan().assign_attrs(
        hyperspy_metadata={"General": {"title": {"value": "a title"}}},
        learning_results={"loadings": {"value": np.eye(3)}},
    )
    to_nexus(array, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert set(file["entry1/auxiliary"]) == {"original_metadata", "hyperspy_metadata", "learning_results"}
    assert only_signal(tmp_path / "f.nxs").identical(array)


def test_metadata_can_be_left_out(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "none.nxs", save_original_metadata=False)
    assert "sample" not in only_signal(tmp_path / "none.nxs").attrs
    to_nexus(scan(), tmp_path / "some.nxs", skip_metadata_key="thickness")
    assert only_signal(tmp_path / "some.nxs").attrs["sample"] == {"name": {"value": "Ni"}}


def test_a_slash_in_a_title_becomes_an_underscore(tmp_path: Path) -> None:
    to_nexus(scan().rename("counts/s"), tmp_path / "f.nxs")
    assert nexus_xr.list_datasets(tmp_path / "f.nxs")[0] == ["/entry1/counts_s"]


def test_what_index_arrays_select_of_a_file_is_written(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "a.nxs")
    chosen = xr.open_dataset(tmp_path / "a.nxs", engine="nexus").counts.isel(x=[0, 2])
    chosen.nexus.to_nexus(tmp_path / "b.nxs")
    np.testing.assert_array_equal(xr.open_dataset(tmp_path / "b.nxs", engine="nexus").counts, chosen)


def test_edges_of_bins_come_back_from_their_bounds(tmp_path: Path) -> None:
    edges = np.array([0.0, 1.0, 3.0, 3.5])
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/data/n"], file["entry/data/t"] = [1, 2, 3], edges
        file["entry/data"].attrs.update(NX_class="NXdata", signal="n", axes=["t"])
    opened = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    opened.nexus.to_nexus(tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        np.testing.assert_array_equal(file["entry1/n/t"], edges)
        assert set(file["entry1/n"]) == {"n", "t"}
    assert xr.open_dataset(tmp_path / "b.nxs", engine="nexus").identical(opened)


def test_bounds_that_follow_from_no_edges_stay_what_they_are(tmp_path: Path) -> None:
    apart = np.array([[0.0, 1.0], [2.0, 3.0]])
    dataset = xr.Dataset(
        {"n": ("t", [1, 2])},
        coords={"t": ("t", [0.5, 2.5], {"bounds": "t_bounds"}), "t_bounds": (("t", "bnds"), apart)},
    )
    to_nexus(dataset, tmp_path / "f.nxs")
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").identical(dataset)


LAT = np.arange(5.0) * 10
LAT_BOUNDS = np.stack([LAT - 5, LAT + 5], 1)
OF_LAT: dict[str, Any] = {"lat": ("x", LAT, {"bounds": "lat_bnds"}), "lat_bnds": (("x", "n"), LAT_BOUNDS)}


@pytest.mark.parametrize("order", [("lat", "lat_bnds", "q"), ("q", "lat", "lat_bnds"), ("lat", "lat_bnds")])
@pytest.mark.parametrize("wrap", [xr.Dataset, lambda data: xr.DataTree(xr.Dataset(data))])
def test_data_that_have_bounds_are_no_edges(tmp_path: Path, order: tuple[str, ...], wrap: Any) -> None:
    every = {**OF_LAT, "q": (("x", "y"), np.arange(40.0).reshape(5, 8))}
    written = wrap({name: every[name] for name in order})
    written.nexus.to_nexus(tmp_path / "f.nxs")
    open_it = xr.open_dataset if isinstance(written, xr.Dataset) else xr.open_datatree
    assert open_it(tmp_path / "f.nxs", engine="nexus").identical(written)


def test_coordinates_that_have_bounds_are_edges(tmp_path: Path) -> None:
    dataset = xr.Dataset({**OF_LAT, "q": ("x", np.arange(5.0))}).set_coords(["lat", "lat_bnds"])
    to_nexus(dataset, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/q/lat"].shape == (6,)
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    np.testing.assert_array_equal(found.lat, LAT)
    np.testing.assert_array_equal(found.lat_bounds, LAT_BOUNDS)


def test_uncertainties_and_auxiliary_signals(tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {"i": ("q", [1.0, 2.0]), "i_errors": ("q", [0.1, 0.2]), "background": ("q", [0.0, 1.0])},
        coords={"q": [0.1, 0.2], "q_errors": ("q", [0.01, 0.02])},
    )
    to_nexus(dataset, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert list(file["entry1/i"].attrs["auxiliary_signals"]) == ["background"]
        assert "q_errors_indices" not in file["entry1/i"].attrs
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").identical(dataset)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda n: n, [".", "-1"]),
        (lambda n: n.T, ["-1", "."]),
        (lambda n: n.isel(frame=slice(1, None)), None),
        (lambda n: n.isel(frame=0), None),
        (lambda n: n.rename(frame="image"), None),
        (lambda n: n.astype("f4", keep_attrs=True), None),
    ],
)
def test_the_default_slice_is_written_where_it_is_still_so(
    tmp_path: Path, change: Callable[[xr.DataArray], xr.DataArray], told: list[str] | None
) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="n", axes=[".", "frame"], default_slice=[".", "-1"])
        data["n"], data["frame"] = np.zeros((4, 3)), np.arange(3)
    dataset = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    to_nexus(change(dataset.n), tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        found = file["entry1/n"].attrs.get("default_slice")
    assert (None if found is None else list(found)) == told
    if told == [".", "-1"]:
        to_nexus(dataset, tmp_path / "c.nxs")
        back = xr.open_dataset(tmp_path / "c.nxs", engine="nexus")
        assert back.identical(dataset)
        assert back.n.encoding["default_slice"] == dataset.n.encoding["default_slice"] == {"frame": -1}


def with_named_uncertainties(path: Path) -> xr.Dataset:
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="I", axes=["Q", "."])
        for name, shape in {"I": (4, 5), "Idev": (4, 5), "K": (4, 5), "Q": (4,), "Qdev": (4,)}.items():
            data[name] = np.ones(shape)
        data["I"].attrs.update(uncertainties="Idev", uncertainty=0.5, resolutions=["K"])
        data["Q"].attrs.update(uncertainties="Qdev", resolutions="K,gone")
    return xr.open_dataset(path, engine="nexus")


@pytest.mark.filterwarnings("error::nexus_xr.NexusWarning")
def test_uncertainties_are_named_only_where_they_are_called_so(tmp_path: Path) -> None:
    dataset = with_named_uncertainties(tmp_path / "a.nxs")
    assert {"I_errors", "Q_errors"} <= dataset.variables.keys()
    dataset.nexus.to_nexus(tmp_path / "b.nxs")
    fields = fields_of(tmp_path / "b.nxs")
    assert fields["I"].keys() == {"uncertainty", "resolutions"}
    assert fields["Q"] == {}
    back = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    assert back.drop_attrs(deep=False).identical(dataset.drop_attrs(deep=False))
    dataset.drop_vars(["I_errors", "K"]).nexus.to_nexus(tmp_path / "c.nxs")
    assert fields_of(tmp_path / "c.nxs")["I"].keys() == {"uncertainty"}
    assert xr.open_dataset(tmp_path / "c.nxs", engine="nexus").I.attrs.keys() == dataset.I.attrs.keys()


def test_what_is_called_errors_and_spans_something_else_is_data_like_any_other(tmp_path: Path) -> None:
    dataset = xr.Dataset({"i_errors": ("t", [0.1, 0.2, 0.3]), "i": ("q", [1.0, 2.0])})
    to_nexus(dataset, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/i_errors"].attrs["signal"] == "i_errors"
        assert list(file["entry1/i_errors"].attrs["ancillary_variables"]) == ["i"]
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").identical(dataset)


def test_only_numbers_of_the_shape_of_the_signal_are_auxiliary_signals(tmp_path: Path) -> None:
    numbers, along_y = np.ones((3, 3)), np.arange(3.0)
    dataset = xr.Dataset(
        {
            "counts": (("y", "x"), numbers),
            "background": (("y", "x"), numbers),
            "turned": (("x", "y"), numbers),
            "label": (("y", "x"), np.full((3, 3), "a")),
            "monitor": ("y", along_y),
            "monitor_errors": ("y", along_y),
            "time": ((), 1.5),
        },
        {"y": along_y},
    )
    to_nexus(dataset, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        attributes = dict(file["entry1/counts"].attrs)
    assert list(attributes["auxiliary_signals"]) == ["background"]
    assert list(attributes["ancillary_variables"]) == ["turned", "label", "monitor", "time"]
    back = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert back.identical(dataset)
    tree = xr.DataTree.from_dict({"/a": dataset})
    to_nexus(tree, tmp_path / "tree.nxs")
    assert xr.open_datatree(tmp_path / "tree.nxs", engine="nexus").identical(tree)
    back["current"] = ("x", along_y)
    to_nexus(back, tmp_path / "g.nxs", layout="inplace")
    assert xr.open_dataset(tmp_path / "g.nxs", engine="nexus").identical(back)


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_what_was_no_auxiliary_signal_becomes_none(tmp_path: Path) -> None:
    fields = {name: np.arange(3.0) for name in ("I", "dQl", "background", "Q")}
    group = nxdata(fields, signal="I", axes=["Q"], auxiliary_signals=["background"], Q_indices=0)
    write_tree(tmp_path / "a.nxs", {"entry": nxentry({"data": group})})
    dataset = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    for source, target in (("a", "b"), ("b", "c")):
        opened = xr.open_dataset(tmp_path / f"{source}.nxs", engine="nexus")
        assert opened.identical(dataset)
        to_nexus(opened, tmp_path / f"{target}.nxs")
        with h5py.File(tmp_path / f"{target}.nxs") as file:
            assert list(file["entry1/I"].attrs["auxiliary_signals"]) == ["background"]


@pytest.mark.parametrize("way", ["copied", "linked", "consolidated"])
@pytest.mark.parametrize("tree", [{}, {"title": {"value": "t"}, "sample": {"name": {"value": "iron"}}}])
def test_an_entry_in_another_file_keeps_its_metadata(tmp_path: Path, way: str, tree: dict[str, Any]) -> None:
    whole = xr.Dataset({"n": ("x", np.arange(3.0))}, attrs=tree)
    to_nexus(whole, tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as a, h5py.File(tmp_path / "b.nxs", "w") as b:
        if way == "copied":
            a.copy("entry1", b, "mine")
        else:
            b["mine"] = h5py.ExternalLink("a.nxs", "/entry1")
        b["other"] = h5py.SoftLink("/mine")
    if way == "consolidated":
        nexus_xr.consolidate(tmp_path / "b.nxs")
    for name in ("mine", "other"):
        xr.testing.assert_identical(
            xr.open_dataset(tmp_path / "b.nxs", engine="nexus", dataset_path=f"/{name}/n"), whole
        )
    if way == "linked":
        return
    opened = xr.open_dataset(tmp_path / "b.nxs", engine="nexus").load()
    opened.attrs["operator"] = {"value": "me"}
    opened.nexus.to_nexus(tmp_path / "c.nxs", layout="inplace")
    xr.testing.assert_identical(xr.open_dataset(tmp_path / "c.nxs", engine="nexus"), opened)


@pytest.mark.parametrize("is_ours", [True, False])
def test_metadata_of_an_entry_without_a_mark_are_told_by_the_root(tmp_path: Path, is_ours: bool) -> None:
    whole = xr.Dataset({"n": ("x", np.arange(3.0))}, attrs={"sample": {"name": {"value": "iron"}}})
    to_nexus(whole, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs", "r+") as file:
        del file["entry1"].attrs["_METADATA_GROUP"]
        if not is_ours:
            del file.attrs["file_writer"]
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert found.identical(whole) == is_ours
    assert set(found.attrs) == ({"sample"} if is_ours else {"attrs", "auxiliary", "n"})


def test_each_entry_of_a_list_is_looked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_nexus([scan()] * 3, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs", "r+") as file:
        del file["entry2"]
    asked: list[str] = []
    own = h5py.Group.__contains__

    def contains(group: h5py.Group, name: str) -> bool:
        asked.append(name)
        return bool(own(group, name))

    monkeypatch.setattr(h5py.Group, "__contains__", contains)
    nexus_xr.to_nexus([scan()] * 5, tmp_path / "f.nxs", mode="a")
    assert [name for name in asked if name.startswith("entry")] == [f"entry{number}" for number in range(1, 8)]
    with h5py.File(tmp_path / "f.nxs") as file:
        assert set(file) == {f"entry{number}" for number in range(1, 8)}


def test_trees_among_the_attributes_of_variables_are_the_entrys(tmp_path: Path) -> None:
    dataset = xr.Dataset({"a": scan().rename("a"), "b": scan().rename("b")})
    to_nexus(dataset, tmp_path / "f.nxs")
    back = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert back.attrs == {"sample": scan().attrs["sample"]}
    assert dataset.b.attrs["sample"] == scan().attrs["sample"]
    dataset.b.attrs["sample"] = {"name": {"value": "Fe"}}
    with pytest.raises(NexusError, match="a/b: attribute 'sample'"):
        to_nexus(dataset, tmp_path / "f.nxs")


def test_a_tree_is_written_node_by_node(tmp_path: Path) -> None:
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(), "/a": xr.Dataset({"x": ("t", [1, 2])}), "/b/c": scan().to_dataset()}
    )
    tree.nexus.to_nexus(tmp_path / "f.nxs")
    assert nexus_xr.list_datasets(tmp_path / "f.nxs")[0] == ["/a", "/b/c"]


VALUES = st.one_of(st.integers(-5, 5), st.floats(-1, 1), st.text("abé", max_size=3))
FIELDS = st.builds(
    lambda value, attrs: {"value": value, **({"attrs": attrs} if attrs else {})},
    VALUES,
    st.dictionaries(st.sampled_from(["units", "value"]), VALUES, max_size=2),
)
# What h5py makes of bytes that aren't UTF-8, and a surrogate that stands for nothing.
ESCAPED, RAW, LONE = "\udcb5m", b"\xb5m", "\ud800m"


def _of_text(text: str, lazy: bool = False) -> xr.Dataset:
    units = {"units": text, "names": [text, "b"]}
    dataset = xr.Dataset({"n": ("x", np.arange(2.0), units), "t": ("x", np.array([text, "b"]))}, {"x": [0, 1]})
    dataset.attrs = {"sample": {"value": text, "attrs": {"units": text}}, "attrs": {"note": text}}
    return dataset.chunk(x=1) if lazy else dataset


def _written_new(dataset: xr.Dataset, path: Path) -> None:
    nexus_xr.to_nexus(dataset, path)


def _written_as_tree(dataset: xr.Dataset, path: Path) -> None:
    nexus_xr.to_nexus(xr.DataTree.from_dict({"/entry1/n": dataset}), path)


def _written_in_place(dataset: xr.Dataset, path: Path) -> None:
    nexus_xr.to_nexus(_of_text("a"), path)
    with xr.open_dataset(path, engine="nexus") as opened:
        changed = opened.assign(n=opened.n.assign_attrs(dataset.n.attrs), t=dataset.t)
        nexus_xr.to_nexus(changed.assign_attrs(dataset.attrs), path, layout="inplace")


def _appended(dataset: xr.Dataset, path: Path) -> None:
    nexus_xr.to_nexus(_of_text("a").isel(x=slice(0, 0)), path, unlimited_dims="x")
    nexus_xr.to_nexus(dataset[["n", "t"]].drop_attrs(), path, append_dim="x")


def _written_into_region(dataset: xr.Dataset, path: Path) -> None:
    text = xr.Variable("x", np.array(["a", "a"], object))
    nexus_xr.to_nexus(_of_text("a").assign(t=text), path)
    nexus_xr.to_nexus(dataset[["t"]].drop_attrs(), path, region={"x": slice(0, 2)})


each_way_of_text = pytest.mark.parametrize(
    "way", [_written_new, _written_as_tree, _written_in_place, _appended, _written_into_region]
)


@each_way_of_text
@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
def test_bytes_that_are_no_text_are_written_as_they_were(
    way: Callable[[xr.Dataset, Path], None], lazy: bool, tmp_path: Path
) -> None:
    way(_of_text(ESCAPED, lazy), tmp_path / "out.nxs")
    with h5py.File(tmp_path / "out.nxs") as file:
        assert file["entry1/n/t"][0] == RAW
        if way in (_written_new, _written_in_place):
            sample = file["entry1/auxiliary/original_metadata/sample"]
            assert (sample[()], sample.attrs["units"]) == (RAW, ESCAPED)
            assert file["entry1/n/n"].attrs["units"] == ESCAPED
            assert list(file["entry1/n/n"].attrs["names"]) in ([ESCAPED, "b"], [RAW, b"b"])


@each_way_of_text
@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "dask"])
def test_text_that_is_no_unicode_is_refused_by_its_name(
    way: Callable[[xr.Dataset, Path], None], lazy: bool, tmp_path: Path
) -> None:
    with pytest.raises(NexusError, match=r"\bt\b.*text that is no Unicode"):
        way(_of_text(LONE, lazy).drop_attrs(), tmp_path / "out.nxs")
    with pytest.raises(NexusError, match=r"units.*text that is no Unicode"):
        _written_new(_of_text(LONE, lazy), tmp_path / "out.nxs")


@pytest.mark.parametrize("name", [ESCAPED, LONE])
@pytest.mark.parametrize(
    "named",
    [
        lambda name: _of_text("a").rename(n=name),
        lambda name: _of_text("a").assign_attrs({name: 1}),
        lambda name: _of_text("a").assign_attrs(sample={name: {"value": 1}}),
        lambda name: _of_text("a").assign_attrs(link=nexus_xr.Link(f"/{name}")),
        lambda name: _of_text("a").assign(n=_of_text("a").n.assign_attrs({name: 1})),
        lambda name: xr.DataTree.from_dict({f"/{name}": _of_text("a")}),
    ],
    ids=["variable", "member", "member of a group", "link", "attribute", "node"],
)
def test_names_that_are_no_unicode_are_refused(named: Callable[[str], Any], name: str, tmp_path: Path) -> None:
    with pytest.raises(NexusError, match="is no text in Unicode"):
        nexus_xr.to_nexus(named(name), tmp_path / "out.nxs")
    if not isinstance(named(name), xr.DataTree):
        nexus_xr.to_nexus(_of_text("a"), tmp_path / "in.nxs")
        opened = xr.open_dataset(tmp_path / "in.nxs", engine="nexus").load()
        changed = opened.assign(named(name).data_vars).assign_attrs(named(name).attrs)
        with pytest.raises(NexusError, match="is no text in Unicode"):
            nexus_xr.to_nexus(changed, tmp_path / "in.nxs", layout="inplace")


MEMBERS = st.sampled_from(["value", "x", "attrs_", "values", "attributes"])
TREES = st.recursive(
    FIELDS,
    lambda inner: st.builds(
        lambda members, attrs: {**members, **({"attrs": attrs} if attrs else {})},
        st.dictionaries(MEMBERS, inner, min_size=1, max_size=3),
        st.dictionaries(st.sampled_from(["NX_class", "value"]), st.just("NXpositioner"), max_size=2),
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(tree=TREES)
def test_any_tree_of_groups_and_fields_comes_back(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.mktemp("any")
    to_nexus(xr.DataArray([1, 2], name="n", attrs={"tree": tree}), path / "a.nxs", compression=None)
    back = only_signal(path / "a.nxs")
    assert back.attrs["tree"] == tree
    to_nexus(back, path / "b.nxs", compression=None)  # as it is read, which says of each what it is
    assert only_signal(path / "b.nxs").attrs["tree"] == tree


def test_groups_of_a_field_value_are_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/data/n"], file["entry/x/value"], file["entry/deep/value/value/value"] = [1, 2], 1.5, "text"
        file["entry/data"].attrs.update(NX_class="NXdata", signal="n")
        file["entry"].attrs["NX_class"] = "NXentry"
        file["entry/x"].attrs["NX_class"] = "NXpositioner"
        file["entry/x/value"].attrs["units"] = "mm"
    opened = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    opened.nexus.to_nexus(tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        original = file["entry1/auxiliary/original_metadata"]
        assert original["x"].attrs["NX_class"] == "NXpositioner"
        assert (original["x/value"][()], original["x/value"].attrs["units"]) == (1.5, "mm")
        assert original["deep/value/value/value"][()] == b"text"
    assert xr.open_dataset(tmp_path / "b.nxs", engine="nexus").attrs == opened.attrs


def test_links_of_the_tree_stay_links(tmp_path: Path) -> None:
    array = scan().assign_attrs(links={"soft": Link("/nowhere"), "external": Link("/x", "missing.h5")})
    to_nexus(array, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        links = file["entry1/auxiliary/original_metadata/links"]
        assert isinstance(links.get("soft", getlink=True), h5py.SoftLink)
        assert isinstance(links.get("external", getlink=True), h5py.ExternalLink)
    with pytest.warns(nexus_xr.NexusWarning, match="nowhere"):
        assert only_signal(tmp_path / "f.nxs").attrs["links"] == array.attrs["links"]


def older_file(path: Path) -> xr.Dataset:
    """A file whose attributes tell by versions 1 and 2 what its fields are, with links to where they came from."""
    with h5py.File(path, "w") as file:
        file["entry/data/n"], file["entry/data/angle"] = np.arange(12.0).reshape(3, 4), np.arange(3.0)
        file["entry/data/time"] = np.arange(4.0)
        group = file["entry/data"]
        group.attrs["NX_class"] = "NXdata"
        group["n"].attrs.update(signal=1, axes="angle:time", units="counts", interpretation="image", source="x")
        group["angle"].attrs.update(axis=1, primary=1, units="deg")
        group["time"].attrs.update(axis=2, primary=1, target="Cu")
        for name in ("n", "angle"):
            group[name].attrs["target"] = f"/entry/detector/{name}"
    return xr.open_dataset(path, engine="nexus")


def fields_of(path: Path) -> dict[str, dict[str, Any]]:
    with h5py.File(path) as file:
        [group] = (item for name, item in file["entry1"].items() if name != "auxiliary")
        found = {name: dict(field.attrs) for name, field in group.items()}
        return {"": dict(group.attrs), **{name: that_are_believed(each) for name, each in found.items()}}


def that_are_believed(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes without those that are kept under another name, and the names of dimensions."""
    kept = ("_ARRAY_DIMENSIONS", "original_")
    return {name: value for name, value in attributes.items() if not name.startswith(kept)}


def test_what_is_as_it_was_keeps_what_is_true_of_it(tmp_path: Path) -> None:
    older_file(tmp_path / "a.nxs").nexus.to_nexus(tmp_path / "b.nxs")
    fields = fields_of(tmp_path / "b.nxs")
    source = {"signal": 1, "axes": "angle:time", "units": "counts", "interpretation": "image", "source": "x"}
    assert fields["n"] == source
    assert fields["angle"] == {"axis": 1, "primary": 1, "units": "deg"}
    assert fields["time"] == {"axis": 2, "primary": 1, "target": "Cu"}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda n: n.mean("angle"), {"signal": 1}),
        (lambda n: n.isel(time=0), {"signal": 1}),
        (lambda n: n.T, {"signal": 1, "interpretation": "image"}),
        (lambda n: n.rename(time="t"), {"signal": 1, "interpretation": "image"}),
        (lambda n: n.drop_vars("angle"), {"signal": 1, "interpretation": "image"}),
        (lambda n: n.isel(time=slice(2)), {"signal": 1, "interpretation": "image", "axes": "angle:time"}),
        (lambda n: n.expand_dims("run"), {"signal": 1, "interpretation": "image", "axes": "angle:time"}),
        (lambda n: n.to_dataset(name="n").assign(m=n).set_coords("n"), {"interpretation": "image"}),
        (lambda n: xr.Dataset({"m": n, "n": n}), {"interpretation": "image", "axes": "angle:time"}),
    ],
)
def test_what_is_written_is_true_of_what_is_written(tmp_path: Path, change: Any, kept: dict[str, Any]) -> None:
    with xr.set_options(keep_attrs=True):
        changed = change(older_file(tmp_path / "a.nxs").n)
    to_nexus(changed, tmp_path / "b.nxs")
    fields = fields_of(tmp_path / "b.nxs")
    assert fields["n"] == {"units": "counts", "source": "x", **kept}
    assert fields[""].get("interpretation") == fields[fields[""]["signal"]].get("interpretation")
    with warnings.catch_warnings():
        warnings.simplefilter("error", nexus_xr.NexusWarning)
        back = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    dataset = changed if isinstance(changed, xr.Dataset) else changed.to_dataset()
    assert set(back.variables) == set(dataset.variables)
    assert {name: each.dims for name, each in back.variables.items()} == {
        name: each.dims for name, each in dataset.variables.items()
    }
    assert {name: each.attrs for name, each in back.variables.items()} == {
        name: each.attrs for name, each in dataset.variables.items()
    }


def test_links_of_the_original_metadata_are_none_of_the_file_that_is_written(tmp_path: Path) -> None:
    tree = {"x": {"value": 1.5, "attrs": {"target": "/entry/x"}}, "tube": {"attrs": {"target": "Cu"}}}
    to_nexus(scan().assign_attrs(tree=tree), tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        group = file["entry1/auxiliary/original_metadata/tree"]
        assert dict(group["x"].attrs) == {"original_target": "/entry/x"}
        assert dict(group["tube"].attrs) == {"target": "Cu"}
    assert only_signal(tmp_path / "f.nxs").attrs["tree"] == tree


# --- dimension scales ------------------------------------------------------------------------------------------


def by_netcdf(engine: Any) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        dataset = xr.Dataset({"n": (("y", "x"), np.arange(6.0).reshape(2, 3))}, {"y": [1, 2], "x": [1.0, 2.0, 3.0]})
        dataset.to_netcdf(path, engine=engine)
        return path

    return make


def assert_read_by_all(path: Path) -> None:
    """Libraries for dimension scales open all that is in a file."""
    netcdf4, h5netcdf = map(pytest.importorskip, ("netCDF4", "h5netcdf"))

    def names(group: Any) -> Iterator[str]:
        for variable in group.variables.values():
            assert len(variable.dimensions) == variable[...].ndim
            yield variable.name.rpartition("/")[2]
        for below in group.groups.values():
            yield from names(below)

    with h5py.File(path) as file, netcdf4.Dataset(path) as one, h5netcdf.File(path, phony_dims="access") as other:
        assert sorted(names(one)) == sorted(names(other))
        file.visititems(lambda _, item: [list(dim.values()) for dim in getattr(item, "dims", ())])


@pytest.mark.parametrize(
    ("make", "signal"),
    [(with_scales, "/entry/data/n"), (by_netcdf("netcdf4"), "/n"), (by_netcdf("h5netcdf"), "/n")],
    ids=["h5py", "netCDF4", "h5netcdf"],
)
def test_dimension_scales_are_none_of_what_is_written(
    tmp_path: Path, make: Callable[[Path], Path], signal: str
) -> None:
    path, written = make(tmp_path / "in.nxs"), tmp_path / "out.nxs"
    opened = xr.open_dataset(path, engine="nexus", dataset_path=signal)
    with xr.set_options(keep_attrs=True):
        doubled, tree = opened.n * 2, xr.open_datatree(path, engine="nexus")
        for obj in (opened, doubled, doubled.sum(doubled.dims[0]), doubled.T, tree):
            obj.nexus.to_nexus(written)
            assert_read_by_all(written)
            assert is_nexus(written)


def test_the_labels_of_dimensions_come_back(tmp_path: Path) -> None:
    opened = xr.open_dataset(with_scales(tmp_path / "in.nxs"), engine="nexus")
    with xr.set_options(keep_attrs=True):
        to_nexus(opened.n.sum("x"), tmp_path / "out.nxs")
    with h5py.File(tmp_path / "out.nxs") as file:
        assert [dim.label for dim in file["entry1/n/n"].dims] == [""]
    assert list(only_signal(tmp_path / "out.nxs").attrs["DIMENSION_LABELS"]) == ["along y", "along x"]


def test_classes_of_other_conventions_stay(tmp_path: Path) -> None:
    own = {"CLASS": "IMAGE", "NAME": "picture"}
    to_nexus(xr.DataArray([1, 2], name="n", attrs=own), tmp_path / "out.nxs")
    assert only_signal(tmp_path / "out.nxs").attrs == own


# --- round trips -----------------------------------------------------------------------------------------------


def storage(variable: Any) -> tuple[Any, ...]:
    return tuple(variable.encoding.get(key) for key in ("chunksizes", "hdf5_filters", "dtype"))


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.parametrize("path", corpus_files(), ids=lambda path: path.name)
def test_every_signal_of_a_real_file_comes_back(corpus: Path, tmp_path: Path, path: Path, chunks: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for array in nexus_xr.open_signals(path, chunks=chunks)[:6]:
            if not storage(array)[0] and array.nbytes > 1 << 30:
                continue  # a virtual dataset of files that are missing, which would be compared in memory
            to_nexus(array, tmp_path / "f.nxs", mode="w")
            back = only_signal(tmp_path / "f.nxs")
            assert back.dtype == array.dtype
            assert back.identical(array)
            assert storage(back) == storage(array)
            assert same_tree(dict(back.attrs), dict(array.attrs))


@pytest.mark.parametrize("path", corpus_files(), ids=lambda path: path.name)
def test_the_default_plot_of_a_real_file_comes_back(corpus: Path, tmp_path: Path, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = xr.open_dataset(path, engine="nexus")
        except NexusError:
            return  # holds none, or several
        if not dataset.data_vars or dataset.nbytes > 1 << 30:
            return
        to_nexus(dataset, tmp_path / "f.nxs")
        back = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
        assert back.identical(dataset)
        for name, variable in dataset.variables.items():
            assert back[name].dtype == variable.dtype


NAMES = st.one_of(
    st.text("abcxyz_é ", min_size=1, max_size=4).map(str.strip).filter(bool),
    st.sampled_from(["x", "y", "x_errors", "errors", "data", "title", "dim_0", "y_dim_0"]),
)
DTYPES = ("u1", ">i4", "i8", "f4", ">f8", "?", "c16", "U3", "M8[ns]", "m8[s]")


@st.composite
def datasets(draw: st.DrawFn) -> xr.Dataset:
    """Datasets of all kinds that xarray allows, short of what HDF5 has no way to hold."""
    names = draw(st.lists(NAMES, min_size=2, max_size=8, unique=True))
    count = draw(st.integers(1, min(3, len(names) - 1)))
    dims = dict(zip(names[:count], draw(st.lists(st.integers(1, 4), min_size=3, max_size=3)), strict=False))
    random = np.random.default_rng(draw(st.integers(0, 1000)))

    def variable(spanned: list[str]) -> xr.Variable:
        dtype = np.dtype(draw(st.sampled_from(DTYPES)))
        shape = tuple(dims[dim] for dim in spanned)
        raw = random.integers(0, 100, shape)
        values = raw.astype(str).astype(dtype) if dtype.kind == "U" else raw.astype(dtype)
        return xr.Variable(spanned, values, {"note": "é"} if draw(st.booleans()) else {})

    own = draw(st.sets(st.sampled_from(names[:count])))
    coords = {dim: each for dim in own if (each := variable([dim])).dtype.kind != "c"}  # which no index looks up
    variables: dict[str, xr.Variable] = {}
    for name in names[count:]:
        spanned = draw(st.lists(st.sampled_from(names[:count]), max_size=count, unique=True))
        (coords if draw(st.booleans()) else variables)[name] = variable(spanned)
    if not variables:
        variables["signal"] = variable(list(dims))
    return xr.Dataset(variables, coords=coords)


@settings(max_examples=150)
@given(dataset=datasets())
def test_any_dataset_comes_back(tmp_path_factory: pytest.TempPathFactory, dataset: xr.Dataset) -> None:
    path = tmp_path_factory.mktemp("any") / "f.nxs"
    to_nexus(dataset, path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", nexus_xr.NexusWarning)
        back = xr.open_dataset(path, engine="nexus")
    for name, variable in dataset.variables.items():
        assert back[name].dtype == variable.dtype
    assert back.identical(dataset)


@pytest.mark.parametrize("dim", ["dim_0", "dim_0_", "site"])
def test_dimensions_of_text_have_their_names(tmp_path: Path, dim: str) -> None:
    dataset = xr.Dataset({"counts": (dim, [1, 2])}, coords={dim: ["a", "b"]})
    to_nexus(dataset, tmp_path / "f.nxs")
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").identical(dataset)


# --- storing ---------------------------------------------------------------------------------------------------


def test_a_new_array_is_compressed_in_whole_frames(tmp_path: Path) -> None:
    to_nexus(xr.DataArray(np.zeros((3, 1000, 1000), "u2"), name="n"), tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/n/n"].chunks == (1, 1000, 1000)
        assert (file["entry1/n/n"].compression, file["entry1/n/n"].shuffle) == ("gzip", True)


@pytest.mark.parametrize(
    ("options", "filters"),
    [
        ({"compression": None}, []),
        ({"compression": "gzip", "compression_opts": 9, "shuffle": False}, [1]),
        ({"compression": hdf5plugin.Bitshuffle()}, [32008]),
        ({"compression": "zstd"}, [2, 32015]),
    ],
)
@pytest.mark.parametrize("values", [FRAMES, da.from_array(FRAMES, chunks=(4, 30, 50))], ids=["numpy", "dask"])
def test_filters_and_chunks_are_as_asked_for(
    tmp_path: Path, options: dict[str, Any], filters: list[int], values: Any
) -> None:
    to_nexus(scan(values), tmp_path / "f.nxs", chunks={"scan": 1}, **options)
    back = only_signal(tmp_path / "f.nxs")
    assert back.encoding["chunksizes"] == (1, 40, 50)
    assert [step["id"] for step in back.encoding.get("hdf5_filters", ())] == filters
    assert back.identical(scan())


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ((1, 100), r"chunks=\(1, 100\): .*other dimensions:\n  - counts: \('scan', 'y', 'x'\)"),
        ((1, 1, 40, 50), "other dimensions"),
        ({"frame": 1}, r"chunks={'frame': 1}: .*other dimensions:\n  - counts"),
        ({"scan": 1, "frame": 1}, "other dimensions"),
        ((1, 0, 50), "a length of 1 or more"),
        ({"scan": -1}, "a length of 1 or more"),
        ((1, 1.5, 50), "a length of 1 or more"),
        ("auto", "chunks='auto': expected a length"),
        (5, "chunks=5: expected a length"),
    ],
)
def test_chunks_that_are_meant_for_other_arrays_are_refused(tmp_path: Path, chunks: Any, said: str) -> None:
    to_nexus(scan(), tmp_path / "a.nxs")
    opened = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    objects: list[tuple[Any, dict[str, Any]]] = [(scan(), {}), (opened, {"layout": "inplace"}), ([scan()], {})]
    for obj, options in objects:
        with pytest.raises(NexusError, match=said):
            to_nexus(obj, tmp_path / "f.nxs", chunks=chunks, **options)
    assert folder(tmp_path) == ["a.nxs"]


def test_chunks_may_be_those_of_one_array_of_several(tmp_path: Path) -> None:
    both = [scan(), scan()[0].rename("first")]
    allowed: list[Any] = [(1, 40, 50), (20, 50), {"scan": 1, "x": 25}, {np.str_("y"): np.int64(7)}]
    for chunks in allowed:
        to_nexus(both, tmp_path / "f.nxs", chunks=chunks)


def test_an_opened_array_is_copied_as_it_is_stored(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "a.nxs", compression="gzip", compression_opts=1, chunks=(2, 13, 50))
    with h5py.File(tmp_path / "a.nxs", "r+") as file:
        file["entry1/counts/counts"].id.write_direct_chunk((0, 0, 0), FRAMES[:2, :13].tobytes(), 3)
    ways_to_open: list[dict[str, int] | None] = [None, {}]
    for chunks in ways_to_open:
        only_signal(tmp_path / "a.nxs", chunks=chunks).nexus.to_nexus(tmp_path / "b.nxs")
        with h5py.File(tmp_path / "a.nxs") as a, h5py.File(tmp_path / "b.nxs") as b:
            first, second = (file["entry1/counts/counts"].id for file in (a, b))
            for number in range(first.get_num_chunks()):
                at = first.get_chunk_info(number).chunk_offset
                assert first.read_direct_chunk(at) == second.read_direct_chunk(at)


def test_a_changed_array_is_not_copied(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "a.nxs")
    opened = only_signal(tmp_path / "a.nxs", chunks={})
    for changed in (opened + 1, opened[::-1], opened.load() * 2):
        changed.nexus.to_nexus(tmp_path / "b.nxs")
        np.testing.assert_array_equal(only_signal(tmp_path / "b.nxs"), changed)


@pytest.mark.parametrize(("compression", "dtype"), [("zfp", "u2"), ("szip", "c8")])
def test_a_filter_that_is_not_for_such_values_is_named_with_them(tmp_path: Path, compression: str, dtype: str) -> None:
    array = xr.DataArray(np.ones((50, 60), dtype), dims=("y", "x"), name="n")
    said = rf"f\.nxs:/entry1/n/n: {array.dtype} in chunks of .*; choose another compression"
    with pytest.raises(NexusError, match=said):
        to_nexus(array, tmp_path / "f.nxs", compression=compression, chunks=(25, 60))
    assert not list(tmp_path.iterdir())


LOSING = ["sz", "sz3", "zfp", "sperr"]


@pytest.mark.parametrize("compression", LOSING)
@pytest.mark.parametrize("chunks", [None, {"t": 50}])
@pytest.mark.parametrize("layout", ["entry", "inplace"])
def test_what_belongs_to_data_stays_exact(tmp_path: Path, compression: str, chunks: Any, layout: Any) -> None:
    axis, long, errors = np.linspace(0, 1e-3, 100), np.linspace(0, 1e-5, 9000), np.full((100, 9000), 1e-5)
    stack = xr.DataArray(
        np.random.default_rng(0).normal(size=(100, 9000)), dims=("t", "x"), coords={"t": axis, "x": long}, name="counts"
    ).nexus.assign_errors(errors)
    if layout == "inplace":
        to_nexus(stack, tmp_path / "a.nxs")
        stack = only_signal(tmp_path / "a.nxs")
    to_nexus(stack, tmp_path / "f.nxs", compression=compression, chunks=chunks, layout=layout)
    with h5py.File(tmp_path / "f.nxs") as file:
        group = file["entry1/counts"]
        for name, exact in (("t", axis), ("x", long), ("counts_errors", errors)):
            np.testing.assert_array_equal(group[name][...], exact)
        assert group["counts"].id.get_create_plist().get_filter(0)[0] > 32_000
        assert group["t"].chunks is None


def test_what_is_named_by_encoding_may_lose_something(tmp_path: Path) -> None:
    stack = xr.DataArray(np.ones((100, 30)), dims=("t", "x"), coords={"t": np.linspace(0, 1e-6, 100)}, name="counts")
    to_nexus(stack, tmp_path / "f.nxs", encoding={"t": {"compression": "sz3", "chunks": (50,)}})
    with h5py.File(tmp_path / "f.nxs") as file:
        assert not np.array_equal(file["entry1/counts/t"][...], stack.t)


@pytest.mark.parametrize("compression", ["szip", "gzip", *LOSING])
def test_chunks_of_data_are_not_those_of_small_axes(tmp_path: Path, compression: str) -> None:
    for count, is_small in ((8192, True), (8193, False)):
        stack = xr.Dataset(
            {"counts": (("frame", "y", "x"), np.ones((count, 5, 5), "f4")), "monitor": ("frame", np.ones(count))},
            coords={"frame": np.linspace(0, 1, count), "label": ("frame", np.zeros(count, "S8"))},
        )
        chunks = {"frame": 1} if is_small and compression != "sz" else {"frame": 4096}
        if not is_small:
            stack = stack.drop_vars("label") if compression == "szip" else stack
        to_nexus(stack, tmp_path / "f.nxs", compression=compression, chunks=chunks)
        with h5py.File(tmp_path / "f.nxs") as file:
            assert file["entry1/counts/counts"].chunks[0] == chunks["frame"]
            for name in {"monitor", *stack.coords}:
                assert file["entry1/counts"][name].chunks == (None if is_small else (4096,))


@pytest.mark.parametrize(
    ("chunks", "dtype", "fits"),
    [((1, 8, 8), "f4", True), ((4, 8, 8), "f8", True), ((4, 1, 1), "f4", False), ((1, 8, 8), "f2", False)],
)
def test_chunks_that_sperr_doesnt_encode_are_refused(
    tmp_path: Path, chunks: tuple[int, ...], dtype: str, fits: bool
) -> None:
    stack = xr.DataArray(np.ones((4, 8, 8), dtype), dims=("frame", "y", "x"), name="n")
    refused = pytest.raises(NexusError, match=r"n/n: float.* in chunks of .*sperr encodes .*; choose another")
    with nullcontext() if fits else refused:
        to_nexus(stack, tmp_path / "f.nxs", compression="sperr", chunks=chunks)
    assert bool(list(tmp_path.iterdir())) == fits


@pytest.mark.parametrize("chunks", [(2, 2, 3, 4, 5), (1, 1, 4, 5)])
def test_chunks_that_a_filter_doesnt_encode_are_refused(tmp_path: Path, chunks: tuple[int, ...]) -> None:
    array = xr.DataArray(np.ones(chunks, "f4"), name="n")
    with pytest.raises(NexusError, match=r"/entry1/n/n: float32 in chunks of .*sz encodes at most 4 dimensions"):
        to_nexus(array, tmp_path / "f.nxs", compression="sz", chunks=chunks)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fits", [True, False])
@pytest.mark.parametrize(
    ("dtype", "encoding", "nbytes"),
    [("f8", {}, 8000), ("f8", {"dtype": "f4"}, 4000), ("f4", {"dtype": "f8"}, 8000), ("<U10", {}, 8000)],
)
def test_chunks_that_only_the_newest_libhdf5_opens_are_refused(
    tmp_path: Path, dtype: str, encoding: dict[str, str], nbytes: int, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "_MOST_CHUNK_BYTES", nbytes if fits else nbytes - 1)
    array = xr.DataArray(np.ones((1, 20, 50), dtype), name="n")
    refused = pytest.raises(NexusError, match=rf"f\.nxs:/entry1/n/n: .* has {nbytes} bytes, and .* less than 4 GiB")
    with nullcontext() if fits else refused:
        to_nexus(array, tmp_path / "f.nxs", chunks=array.shape, compression="gzip", encoding={"n": encoding})
    assert fits == bool(list(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (xr.DataArray([1.0], dims="a\0b", name="n"), r"n/n: its dimension 'a\\x00b' has a name"),
        (xr.DataArray(np.zeros((1,) * 33), name="n"), "n/n: it has 33 dimensions, and arrays in HDF5 at most 32"),
        (
            xr.DataArray([1.0], dims="x", name="n", attrs={"m": {"value": np.zeros((1,) * 33)}}),
            "m: it has 33 dimensions, and arrays in HDF5 at most 32",
        ),
        (
            xr.DataArray([1.0], dims="x", name="n", coords={"x": ("x", [1], {"k": xr.Dataset()})}),
            "n/x: attribute 'k': a value of type Dataset can't be stored",
        ),
    ],
)
def test_what_hdf5_has_no_place_for_is_told_with_all_else(array: xr.DataArray, told: str, tmp_path: Path) -> None:
    with pytest.raises(NexusError, match=f"nothing was written(.|\n)*{told}"):
        to_nexus(array, tmp_path / "f.nxs")
    assert not list(tmp_path.iterdir())


def test_arrays_of_32_dimensions_are_written(tmp_path: Path) -> None:
    array = xr.DataArray(np.ones((1,) * 32), name="n")
    to_nexus(array, tmp_path / "f.nxs")
    assert only_signal(tmp_path / "f.nxs").shape == array.shape


def test_a_coordinate_that_is_called_like_uncertainties_may_have_an_index(tmp_path: Path) -> None:
    array = xr.DataArray([1.0, 2.0], dims="n_errors", coords={"n_errors": [3, 4]}, name="n")
    to_nexus(array, tmp_path / "f.nxs")
    assert only_signal(tmp_path / "f.nxs").values.tolist() == [1.0, 2.0]


def test_filters_of_the_source_are_kept_for_new_values(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "a.nxs", compression=hdf5plugin.Bitshuffle(), chunks=(2, 40, 50))
    opened = only_signal(tmp_path / "a.nxs").load()
    opened.values[...] += 1
    opened.nexus.to_nexus(tmp_path / "b.nxs")
    back = only_signal(tmp_path / "b.nxs")
    assert storage(back) == storage(opened)
    np.testing.assert_array_equal(back, FRAMES + 1)


@pytest.mark.parametrize("values", [np.arange(10)[:, None, None] * np.ones((100, 20), "u2"), np.zeros((10, 100, 20))])
@pytest.mark.parametrize("chunked", [None, {"frame": 1}, {"frame": 3}])
@pytest.mark.parametrize("options", [{}, {"compression": None}])
def test_frames_of_zeros_are_stored(tmp_path: Path, values: Any, chunked: Any, options: Any) -> None:
    stack = xr.DataArray(values, dims=("frame", "y", "x"), name="counts")
    stack = stack if chunked is None else stack.chunk(chunked)
    to_nexus(stack, tmp_path / "f.nxs", chunks={"frame": 1}, **options)
    with h5py.File(tmp_path / "f.nxs") as file:
        dataset = file["entry1/counts/counts"]
        assert dataset.id.get_num_chunks() == 10
        np.testing.assert_array_equal(dataset[...], values)


TEMPLATES: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda zeros: zeros,
    "of another type": lambda zeros: zeros.astype("f4"),
    "of dates": lambda zeros: zeros.astype("M8[s]"),
    "of blocks across chunks": lambda zeros: zeros.rechunk((3, 40, 7)),
    "in another order": lambda zeros: zeros.rechunk((3, 40, 7)).transpose(2, 0, 1),
}


@pytest.mark.parametrize("kind", TEMPLATES)
@pytest.mark.parametrize("most", [2**20, 1], ids=["at once", "in passes"])
def test_what_is_to_be_filled_later_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, most: int
) -> None:
    monkeypatch.setattr("nexus_xr.writing.storing.MOST_TOGETHER_BYTES", most)
    zeros = TEMPLATES[kind](da.zeros((10, 100, 20), chunks=(4, 100, 20), dtype="i8"))
    template = xr.DataArray(zeros, dims=("frame", "y", "x"), name="counts")
    to_nexus(template, tmp_path / "f.nxs", chunks={"frame": 1})
    to_nexus(template[2:4].compute(), tmp_path / "f.nxs", region={"frame": slice(2, 4)})
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/counts/counts"].id.get_num_chunks() == 2


def test_what_is_computed_where_zeros_were_is_stored(tmp_path: Path) -> None:
    zeros = da.zeros((10, 100, 20), chunks=(4, 100, 20))
    read = zeros.map_blocks(lambda block, block_id: block + 0, dtype=zeros.dtype)
    to_nexus(xr.DataArray(read, dims=("frame", "y", "x"), name="counts"), tmp_path / "f.nxs", chunks={"frame": 1})
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/counts/counts"].id.get_num_chunks() == 10


def test_chunks_of_copies_are_stored_where_those_of_the_sources_are(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((6, 10, 10), np.dtype("u2"))
    for number in range(3):
        layout[2 * number : 2 * number + 2] = h5py.VirtualSource(f"{number}.h5", "data", (2, 10, 10))
    for number, count in enumerate((2, 1)):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            file.create_dataset("data", (2, 10, 10), "u2", chunks=(1, 10, 10))[:count] = 0
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        dataset = file.create_dataset("data", layout.shape, "u2", chunks=(1, 10, 10), compression="gzip")
        fill_from(WrittenDataset(dataset), LazyArray(File(str(tmp_path / "a.h5")), "/data", layout.shape, layout.dtype))
        assert sorted(dataset.id.get_chunk_info(number).chunk_offset[0] for number in range(3)) == [0, 1, 2]
        assert dataset.id.get_num_chunks() == 3


SPARSE: dict[str, tuple[Callable[[Any], Any], dict[str, Any], list[int]]] = {
    "compressed": (lambda stack: stack, {"compression": "zstd"}, [3, 4]),
    "in other chunks": (lambda stack: stack, {"chunks": {"frame": 4}}, [0, 4]),
    "of less": (lambda stack: stack[2:9, :15], {"chunks": {"frame": 1}}, [1, 2]),
    "of less, in other chunks": (lambda stack: stack[1:9, 3:], {"chunks": {"frame": 2}}, [2]),
    "computed": (lambda stack: stack + 0, {"chunks": {"frame": 1}}, [*range(10)]),
}


@pytest.mark.parametrize("kind", SPARSE)
def test_what_nobody_has_written_takes_no_room_elsewhere(tmp_path: Path, kind: str) -> None:
    change, options, stored = SPARSE[kind]
    stack = xr.DataArray(da.zeros((10, 200, 200), chunks=(1, 200, 200)), dims=("frame", "y", "x"), name="counts")
    to_nexus(stack, tmp_path / "a.nxs", chunks={"frame": 1})
    frames = stack[3:5].compute() + np.arange(2)[:, None, None]  # of which the first is zeros
    to_nexus(frames, tmp_path / "a.nxs", region={"frame": slice(3, 5)})
    sparse = change(only_signal(tmp_path / "a.nxs"))
    to_nexus(sparse, tmp_path / "b.nxs", **options)
    with h5py.File(tmp_path / "b.nxs") as file:
        dataset = file["entry1/counts/counts"]
        chunks = [dataset.id.get_chunk_info(number).chunk_offset[0] for number in range(dataset.id.get_num_chunks())]
        assert chunks == stored
        np.testing.assert_array_equal(dataset, sparse)


def test_a_missing_virtual_stack_takes_no_room(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((200, 100, 100), "u2")
    layout[:100] = h5py.VirtualSource("missing.h5", "data", (100, 100, 100))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("data", layout)
    [array] = nexus_xr.open_signals(tmp_path / "a.h5")
    array.nexus.to_nexus(tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        assert file["entry1/data/data"].shape == (200, 100, 100)
        assert file["entry1/data/data"].id.get_storage_size() == 0
    assert (tmp_path / "b.nxs").stat().st_size < 20_000  # whatever stands in for it elsewhere in the file
    np.testing.assert_array_equal(only_signal(tmp_path / "b.nxs"), np.zeros((200, 100, 100)))


# --- dask ------------------------------------------------------------------------------------------------------


def test_text_in_dask_arrays(tmp_path: Path) -> None:
    array = xr.DataArray(np.array(["a", "bé", "ccc"]), dims="n", name="labels").chunk(n=2)
    to_nexus(array, tmp_path / "f.nxs")
    back = only_signal(tmp_path / "f.nxs")
    assert back.dtype == "U3"
    assert back.identical(array)


def test_an_array_may_be_called_like_its_coordinate(tmp_path: Path) -> None:
    to_nexus(scan().x, tmp_path / "f.nxs")
    back = only_signal(tmp_path / "f.nxs")
    np.testing.assert_array_equal(back, scan().x)
    np.testing.assert_array_equal(back.x, scan().x)


def test_blocks_that_split_chunks_are_put_together(tmp_path: Path) -> None:
    values = da.from_array(FRAMES, chunks=((1, 2, 3), (7, 33), (49, 1)))
    to_nexus(scan(values), tmp_path / "f.nxs", chunks=(2, 13, 50))
    assert only_signal(tmp_path / "f.nxs").identical(scan())


def test_a_delayed_completes_the_file(tmp_path: Path) -> None:
    delayed = to_nexus(scan(da.from_array(FRAMES, chunks=(1, 40, 50))), tmp_path / "f.nxs", compute=False)
    assert not (tmp_path / "f.nxs").exists()
    with ProgressBar(minimum=0, dt=0.01) as bar:
        delayed.compute()
    assert bar.last_duration > 0  # as it isn't before it is told of a computation
    assert folder(tmp_path) == ["f.nxs"]
    assert only_signal(tmp_path / "f.nxs").identical(scan())


def test_a_delayed_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    delayed = to_nexus(scan(da.from_array(FRAMES, chunks=(1, 40, 50))), tmp_path / "f.nxs", compute=False)
    del delayed
    assert folder(tmp_path) == []


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_the_scheduler_of_dask_is_the_users(tmp_path: Path, scheduler: str) -> None:
    with dask.config.set(scheduler=scheduler):
        to_nexus(scan(da.from_array(FRAMES, chunks=(1, 40, 50))), tmp_path / "f.nxs")
    assert only_signal(tmp_path / "f.nxs").identical(scan())


ACROSS: Any = {"chunks": {"scan": 6, "y": 4, "x": 50}, "compression": "lzf"}


@pytest.mark.parametrize(
    ("most", "passes"), [(FRAMES.nbytes, 1), (FRAMES.nbytes - 1, 2), (FRAMES.nbytes // 10, 10), (1, 10)]
)
@pytest.mark.parametrize("way", ["w", "later", "append_dim"])
def test_chunks_across_the_blocks_of_dask_are_put_together_in_bounded_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, most: int, passes: int
) -> None:
    computed: list[int] = []
    written: list[int] = []

    def count(block: Any) -> Any:
        computed.append(block.shape[0])
        return block

    write = WrittenDataset.write

    def note(target: WrittenDataset, region: Any, values: Any, is_unwritten: Any) -> None:
        written.append(values.nbytes)
        write(target, region, values, is_unwritten)

    monkeypatch.setattr("nexus_xr.writing.storing.MOST_TOGETHER_BYTES", most)
    frames = da.from_array(FRAMES, chunks=(1, 40, 50)).map_blocks(count, meta=FRAMES[:0])
    array = xr.DataArray(frames, dims=("scan", "y", "x"), name="counts")
    if way == "append_dim":
        to_nexus(array.copy(data=FRAMES), tmp_path / "f.nxs", unlimited_dims="scan", **ACROSS)
    monkeypatch.setattr(WrittenDataset, "write", note)
    if way == "append_dim":
        to_nexus(array, tmp_path / "f.nxs", append_dim="scan")
    elif way == "later":
        to_nexus(array, tmp_path / "f.nxs", compute=False, **ACROSS).compute()
    else:
        to_nexus(array, tmp_path / "f.nxs", **ACROSS)
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs")[-6:], FRAMES)
    assert len(computed) - passes * 6 in (0, 1)  # what a chunk that is there lacks, if that is nothing, is of a block
    assert len(written) == passes
    assert max(written) <= max(most, 6 * 4 * 50 * 2)  # a chunk at least
    assert folder(tmp_path) == ["f.nxs"]


@pytest.mark.parametrize(("most", "copies"), [(2.0, 2), (1.99, 1)])
def test_what_is_put_together_is_in_memory_once_where_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: float, copies: int
) -> None:
    values = np.zeros((64, 128, 256), "f4")
    monkeypatch.setattr("nexus_xr.writing.storing.MOST_TOGETHER_BYTES", int(most * values.nbytes))
    blocks = da.ones(values.shape, chunks=(1, 128, 256), dtype="f4") + 1
    array = xr.DataArray(blocks, dims=("scan", "y", "x"), name="counts")
    tracemalloc.start()
    try:
        with dask.config.set(scheduler="synchronous"):
            to_nexus(array, tmp_path / "f.nxs", chunks=(64, 8, 8), compression=None)
        assert tracemalloc.get_traced_memory()[1] // values.nbytes == copies
    finally:
        tracemalloc.stop()
    assert only_signal(tmp_path / "f.nxs").equals(array)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda block: block[:, :1],
            r"f\.nxs:/entry1/counts/counts: what dask gives for \[2:3, 0:40, 0:50\] has the shape \(1, 1, 50\)",
        ),
        (lambda block: block + 0.5, "is of float64"),
        (np.ma.masked_less, "has masked elements"),
    ],
    ids=["shape", "type", "mask"],
)
def test_blocks_that_are_put_together_in_passes_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Any, reason: str
) -> None:
    monkeypatch.setattr("nexus_xr.writing.storing.MOST_TOGETHER_BYTES", 1)

    def untrue(block: Any, block_id: tuple[int, ...] = ()) -> Any:
        return change(block, *[1000] * (change is np.ma.masked_less)) if block_id[0] == 2 else block

    frames = da.from_array(FRAMES, chunks=(1, 40, 50)).map_blocks(untrue, dtype="u2", meta=FRAMES[:0])
    with pytest.raises(NexusError, match=reason):
        to_nexus(xr.DataArray(frames, dims=("scan", "y", "x"), name="counts"), tmp_path / "f.nxs", **ACROSS)
    assert folder(tmp_path) == []


def test_of_arrays_in_several_passes_others_are_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexus_xr.writing.storing.MOST_TOGETHER_BYTES", 1)
    frames = da.from_array(FRAMES, chunks=(1, 40, 50))
    dataset = xr.Dataset({"counts": (("scan", "y", "x"), frames), "flat": (("scan", "y", "x"), frames + 1)})
    encoding = {"flat": {"chunks": (1, 20, 50)}}
    to_nexus(dataset, tmp_path / "f.nxs", encoding=encoding, **ACROSS)
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").equals(dataset)


# --- regions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 5])
@pytest.mark.parametrize("is_dask", [False, True], ids=["numpy", "dask"])
def test_a_stack_is_filled_part_by_part_from_several_threads(tmp_path: Path, step: int, is_dask: bool) -> None:
    to_nexus(scan(da.zeros((6, 40, 50), chunks=(2, 40, 50), dtype="u2")), tmp_path / "f.nxs", chunks=(2, 20, 50))
    values = scan(da.from_array(FRAMES, chunks=(1, 30, 50)) if is_dask else FRAMES).drop_vars("scan")

    def fill(first: int) -> None:
        part = slice(first, min(first + step, 6))
        to_nexus(values[part], tmp_path / "f.nxs", region={"scan": part})

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        list(pool.map(fill, range(0, 6, step)))
    assert only_signal(tmp_path / "f.nxs").identical(scan())


def test_a_region_is_planned_anew_where_another_is_closed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    plan, planned = changed_region._plan, []

    def plan_with_another(*args: Any) -> Any:
        planned.append(args)
        if len(planned) == 1:
            os.utime(tmp_path / "f.nxs", (0, 0))
        return plan(*args)

    monkeypatch.setattr(changed_region, "_plan", plan_with_another)
    to_nexus(scan(FRAMES)[1:3].drop_vars("scan") * 2, tmp_path / "f.nxs", region={"scan": slice(1, 3)})
    assert len(planned) == 2
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs")[1:3], 2 * FRAMES[1:3])
    with pytest.raises(NexusError, match="has the shape"):
        to_nexus(scan(FRAMES)[1:3, :4].drop_vars("scan"), tmp_path / "f.nxs", region={"scan": slice(1, 3)})
    assert len(planned) == 3


def test_a_region_may_be_one_of_several_dimensions(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    region = {"scan": slice(1, 3), "x": slice(-10, None)}
    new = xr.DataArray(np.full((40, 2, 10), 9, "u2"), dims=("y", "scan", "x"), name="counts")
    to_nexus(new, tmp_path / "f.nxs", region=region)
    expected = FRAMES.copy()
    expected[1:3, :, -10:] = 9
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs"), expected)


REGION_WITHOUT_ROOM = """
import os, resource, sys
import h5py, numpy as np, xarray as xr, nexus_xr

path, more = sys.argv[1], int(sys.argv[2])
zeros, noise = np.zeros((10, 1000)), np.random.default_rng(0).random((7, 1000))
nexus_xr.to_nexus(xr.DataArray(zeros, name="a"), path, compression="gzip", chunks={"dim_0": 2})
limits, size = resource.getrlimit(resource.RLIMIT_FSIZE), os.path.getsize(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + more, limits[1]))
part = xr.DataArray(noise, name="a"), path
try:
    nexus_xr.to_nexus(*part, region={"dim_0": slice(1, 8)})
except nexus_xr.NexusFileError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
with h5py.File(path) as file:
    found = file["entry1/a/a"][...]
both = np.concatenate([zeros[:1], noise, zeros[8:]])
is_new, is_old = ((found == each).all(1) for each in (both, zeros))
assert (is_new | is_old).all() and (~is_new).any() and not os.path.getsize(path) > size + more
nexus_xr.to_nexus(*part, region={"dim_0": slice(1, 8)})
with h5py.File(path) as file:
    np.testing.assert_array_equal(file["entry1/a/a"], both)
"""


@pytest.mark.parametrize("more", [0, 20_000, 40_000])
def test_each_chunk_of_a_region_without_room_is_new_or_old(tmp_path: Path, more: int) -> None:
    said = run(REGION_WITHOUT_ROOM, tmp_path / "f.nxs", more)
    assert "f.nxs:/entry1/a/a: can't be written (File too large); what of the region was written before has" in said


@pytest.mark.parametrize("is_dask", [False, True], ids=["numpy", "dask"])
def test_bytes_that_are_too_long_for_a_region_are_refused(tmp_path: Path, is_dask: bool) -> None:
    to_nexus(xr.DataArray(np.array([b"ab", b"c"]), dims="x", name="n"), tmp_path / "f.nxs")
    for texts, fits in (([b"abc"], False), ([b"d"], True)):
        part = xr.DataArray(np.array(texts, "S6"), dims="x", name="n")
        with nullcontext() if fits else pytest.raises(NexusError, match=r"f\.nxs:/entry1/n/n: there are values that"):
            to_nexus(part.chunk() if is_dask else part, tmp_path / "f.nxs", region={"x": slice(1)})
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/n/n"][:].tolist() == [b"d", b"c"]


NO_TEXTS: dict[str, Any] = {
    "none": np.array(["a", None], object),
    "a zero": np.array(["a", "b\0c"], object),
    "numbers": np.array([7.0, 8.0]),
    "integers": np.array([7, 8]),
}


@pytest.mark.parametrize("kind", NO_TEXTS)
@pytest.mark.parametrize("texts", [np.array(["x", "y", "z"], object), np.array(["x", "y", "z"])], ids=["object", "U"])
def test_a_region_of_what_is_no_text_is_refused_before_anything_is_written(
    tmp_path: Path, texts: Any, kind: str
) -> None:
    to_nexus(xr.Dataset({"n": ("x", np.zeros(3)), "v": ("x", texts)}), tmp_path / "f.nxs")
    before = (tmp_path / "f.nxs").read_bytes()
    part = xr.Dataset({"n": ("x", np.ones(2)), "v": ("x", NO_TEXTS[kind])})
    with pytest.raises(NexusError, match=r"f\.nxs:/entry1/n/v: "):
        to_nexus(part, tmp_path / "f.nxs", region={"x": slice(2)})
    assert (tmp_path / "f.nxs").read_bytes() == before
    to_nexus(part.assign(v=("x", ["ä", "b"])), tmp_path / "f.nxs", region={"x": slice(2)})
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert (found.v.values.tolist(), found.n.values.tolist()) == (["ä", "b", "z"], [1, 1, 0])


@pytest.mark.parametrize("kind", ["none", "a zero"])
def test_what_dask_computes_and_is_no_text_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(
        NexusError, match=r"/f\.nxs:/entry1/v/v: there is (no text but a value of type float|text with a zero)"
    ):
        to_nexus(xr.DataArray(NO_TEXTS[kind], dims="x", name="v").chunk(1), tmp_path / "f.nxs")
    assert not folder(tmp_path)


@pytest.mark.parametrize("part", [slice(0, 2.0), slice(0, 2, 2), 1, "a", slice(0, 9)])
def test_what_is_no_region_names_the_file_and_the_variable(tmp_path: Path, part: Any) -> None:
    to_nexus(xr.DataArray(np.zeros(4), dims="x", name="n"), tmp_path / "f.nxs")
    with pytest.raises(NexusError, match=r"f\.nxs:/entry1/n/n: 'x' of 'n'"):
        to_nexus(xr.DataArray(np.ones(2), dims="x", name="n"), tmp_path / "f.nxs", region={"x": part})


UNTRUE: dict[str, Any] = {
    "too short": lambda block: block[:1],
    "of another type": lambda block: block + 0.5,
    "of longer numbers": lambda block: block.astype("i8") - 70_000,
    "masked": lambda block: np.ma.masked_less(block, 2000),
}


@pytest.mark.parametrize("kind", UNTRUE)
@pytest.mark.parametrize("way", ["w", "append_dim", "region"])
def test_blocks_that_are_not_what_dask_says_are_refused(tmp_path: Path, way: str, kind: str) -> None:
    untrue = da.from_array(FRAMES, chunks=(2, 40, 50)).map_blocks(UNTRUE[kind], dtype="u2", meta=FRAMES[:0])
    frames = xr.DataArray(FRAMES, dims=("scan", "y", "x"), name="counts")
    to_nexus(frames, tmp_path / "f.nxs", unlimited_dims="scan")
    options: dict[str, Any] = {"w": {}, "append_dim": {"append_dim": "scan"}, "region": {"region": {"scan": slice(6)}}}
    with pytest.raises(NexusError, match=r"f\.nxs:/entry1/counts/counts: "):
        to_nexus(frames.copy(data=untrue), tmp_path / "f.nxs", **options[way])
    assert folder(tmp_path) == ["f.nxs"]
    if way != "region":  # which is written in place
        np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs"), FRAMES)


def of_blocks(make: Callable[[int], Any], dtype: Any) -> xr.DataArray:
    """What dask takes for two blocks of two elements of a type, which are what a function makes of their number."""

    def block(_: Any, block_id: tuple[int, ...]) -> Any:
        return make(block_id[0])

    values = da.zeros(4, chunks=2).map_blocks(block, dtype=dtype, meta=np.empty(0, dtype))
    return xr.DataArray(values, dims="x", name="v")


DATES = np.array(["2024-05-01T12:00:00", "NaT"], "M8[s]")
EXACT: dict[str, tuple[Callable[[int], Any], Any, Any]] = {
    "dates of another unit": (lambda at: DATES + at, "M8[ns]", [*DATES, *(DATES + 1)]),
    "lengths of time of another unit": (lambda at: np.array([at, 9], "m8[s]"), "m8[ms]", [0, 9000, 1000, 9000]),
    "the second of another unit": (lambda at: DATES.astype(("M8[s]", "M8[ms]")[at]), "M8[s]", [*DATES, *DATES]),
    "whole months": (lambda at: np.array(["2024-01", "2024-02"], "M8[D]"), "M8[M]", ["2024-01", "2024-02"] * 2),
    "text that is wider and fits": (lambda at: np.array(["a", "bé"], "U21"), "U2", ["a", "bé"] * 2),
    "text as objects": (lambda at: np.array(["a", "bé"], object), "U2", ["a", "bé"] * 2),
    "text of NumPy": (lambda at: np.array(["a", "bé"], "T"), "U2", ["a", "bé"] * 2),
    "numbers of a smaller type": (lambda at: np.array([at, 5], ("i2", "?")[at]), "i4", [0, 5, 1, 1]),
}  # fmt: skip


@pytest.mark.parametrize("chunks", [None, (3,)], ids=["in blocks", "across blocks"])
@pytest.mark.parametrize("kind", EXACT)
def test_blocks_of_another_type_than_dask_says_are_written_where_it_holds_them(
    tmp_path: Path, kind: str, chunks: Any
) -> None:
    make, dtype, expected = EXACT[kind]
    to_nexus(of_blocks(make, dtype), tmp_path / "f.nxs", chunks=chunks)
    values = only_signal(tmp_path / "f.nxs").values
    np.testing.assert_array_equal(values, np.array(expected, values.dtype))


UNHELD: dict[str, tuple[Callable[[int], Any], Any]] = {
    "dates that overflow": (lambda at: np.array(["9999", "2024"], "M8[s]"), "M8[ns]"),
    "dates that are finer": (lambda at: DATES + np.timedelta64(1, "ns"), "M8[s]"),
    "dates within a month": (lambda at: np.array(["2024-01-01", "2024-02-02"], "M8[D]"), "M8[M]"),
    "numbers for dates": (lambda at: np.array([1, 2]), "M8[ns]"),
    "numbers for lengths of time": (lambda at: np.array([1, 2]), "m8[ns]"),
    "dates for numbers": (lambda at: DATES, "i8"),
    "longer text": (lambda at: np.array(["low", "high"]), "U3"),
    "longer text as objects": (lambda at: np.array(["low", "high"], object), "U3"),
    "no text among objects": (lambda at: np.array(["low", None], object), "U9"),
    "text for bytes": (lambda at: np.array(["a", "b"]), "S2"),
    "numbers for bytes": (lambda at: np.array([1, 2]), "S21"),
    "the second of longer text": (lambda at: np.array(["low", "high"][at : at + 1] * 2), "U3"),
    "the second of other numbers": (lambda at: np.array([at, at]) + (0, 0.5)[at], "i8"),
    "integers beyond floats": (lambda at: np.array([1, 2**53 + 1]), "f8"),
    "integers beyond complex numbers": (lambda at: np.array([1, 2**53 + 1]), "c16"),
    "numbers for opaque values": (lambda at: np.array([1, 2]), "V2"),
    "records of other names": (lambda at: np.zeros(2, "i4,f4"), [("a", "i4"), ("b", "f4")]),
    "a number": (lambda at: 5, "i8"),
    "nothing": (lambda at: None, "i8"),
    "no elements": (lambda at: np.zeros(0, "i8"), "i8"),
    "masked dates": (lambda at: np.ma.array(DATES, mask=[True, False]), "M8[s]"),
}


@pytest.mark.parametrize("chunks", [None, (3,)], ids=["in blocks", "across blocks"])
@pytest.mark.parametrize("kind", UNHELD)
def test_blocks_that_the_type_that_dask_says_does_not_hold_are_refused(tmp_path: Path, kind: str, chunks: Any) -> None:
    make, dtype = UNHELD[kind]
    wrong = of_blocks(make, dtype)
    with pytest.raises(NexusError, match=r"v/v: what dask gives for \[(0:2|2:4)\] (is of|has)"):
        to_nexus(wrong, tmp_path / "f.nxs", chunks=chunks)
    counts = xr.DataArray(np.zeros(4), {"v": ("x", wrong.data)}, ["x"], name="v_of")
    with pytest.raises(NexusError, match=r"/v: what dask gives for"):
        to_nexus(counts, tmp_path / "f.nxs", chunks=chunks)
    assert not folder(tmp_path)


@pytest.mark.parametrize("kind", ["the second of longer text", "the second of other numbers", "numbers for dates"])
def test_blocks_that_are_not_what_dask_says_are_not_appended(tmp_path: Path, kind: str) -> None:
    make, dtype = UNHELD[kind]
    to_nexus(xr.DataArray(np.zeros(1, dtype), dims="x", name="v"), tmp_path / "f.nxs", unlimited_dims="x")
    before = (tmp_path / "f.nxs").read_bytes()
    with pytest.raises(NexusError, match=r"v: what dask gives for \[(0:2|2:4)\] is of"):
        to_nexus(of_blocks(make, dtype), tmp_path / "f.nxs", append_dim="x")
    assert (tmp_path / "f.nxs").read_bytes() == before


def test_dates_of_another_unit_than_dask_says_are_appended_as_what_they_are(tmp_path: Path) -> None:
    make, dtype, expected = EXACT["dates of another unit"]
    to_nexus(xr.DataArray(np.zeros(0, dtype), dims="x", name="v"), tmp_path / "f.nxs", unlimited_dims="x")
    to_nexus(of_blocks(make, dtype), tmp_path / "f.nxs", append_dim="x")
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs"), np.array(expected, dtype))


def test_a_date_without_dimensions_that_dask_computes_is_written(tmp_path: Path) -> None:
    to_nexus(xr.DataArray(da.from_array(np.array("2024", "M8[s]")), name="v"), tmp_path / "f.nxs")
    assert only_signal(tmp_path / "f.nxs").values == np.datetime64("2024")


def test_frames_without_elements_are_added(tmp_path: Path) -> None:
    empty = xr.DataArray(np.zeros((2, 0), "u2"), dims=("frame", "event"), name="n")
    to_nexus(empty, tmp_path / "f.nxs", unlimited_dims=["frame", "event"])
    to_nexus(empty, tmp_path / "f.nxs", append_dim="frame")
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").n.shape == (4, 0)


def test_a_job_that_is_done_says_so_when_it_is_done_again(tmp_path: Path) -> None:
    job = to_nexus(scan(da.from_array(FRAMES, chunks=(1, 40, 50))), tmp_path / "f.nxs", compute=False)
    with pytest.raises(NexusError, match=r"f\.nxs.*what writes in this process can't go to another"):
        pickle.dumps(job.dask)
    job.compute()
    with pytest.raises(NexusFileError, match=r"f\.nxs.*has been done, or given up"):
        job.compute()
    assert only_signal(tmp_path / "f.nxs").identical(scan())


@pytest.mark.parametrize("compression", ["gzip", "blosc", "lzf"])
def test_text_of_varying_length_that_comes_later_has_no_filters(tmp_path: Path, compression: str) -> None:
    texts = xr.DataArray(da.from_array(np.array(["aé", "b"] * 4), chunks=2), dims="x", name="n")
    to_nexus(texts, tmp_path / "f.nxs", compression=compression, unlimited_dims="x")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/n/n"].id.get_create_plist().get_nfilters() == 0
    assert only_signal(tmp_path / "f.nxs").values.tolist() == ["aé", "b"] * 4


@pytest.mark.parametrize("is_dask", [False, True], ids=["numpy", "dask"])
def test_a_region_has_its_values_or_is_refused(tmp_path: Path, is_dask: bool) -> None:
    to_nexus(xr.DataArray(np.zeros(4, "f4"), dims="x", name="n"), tmp_path / "f.nxs")
    for values in (np.array([1.5, np.inf, np.nan]), np.array([2**24, -1, 0])):
        part = xr.DataArray(values, dims="x", name="n")
        to_nexus(part.chunk() if is_dask else part, tmp_path / "f.nxs", region={"x": slice(3)})
        np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs"), [*values, 0])
    large = xr.DataArray([1e300], dims="x", name="n")
    with pytest.raises(NexusError, match="there are values that float32 doesn't hold"):
        to_nexus(large.chunk() if is_dask else large, tmp_path / "f.nxs", region={"x": slice(1)})
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs"), [*values, 0])


def test_text_of_a_region_is_whole_or_refused(tmp_path: Path) -> None:
    to_nexus(xr.DataArray(["a", "bcd"], dims="x", name="n"), tmp_path / "f.nxs")
    to_nexus(xr.DataArray(["abc"], dims="x", name="n"), tmp_path / "f.nxs", region={"x": slice(1)})
    assert only_signal(tmp_path / "f.nxs").values.tolist() == ["abc", "bcd"]
    with pytest.raises(NexusError, match="<U3 doesn't hold; store them anew in a longer one"):
        to_nexus(xr.DataArray(["abcd"], dims="x", name="n"), tmp_path / "f.nxs", region={"x": slice(1)})
    assert only_signal(tmp_path / "f.nxs").values.tolist() == ["abc", "bcd"]


def test_a_region_leaves_edges_of_bins_as_they_are(tmp_path: Path) -> None:
    fields = {"n": np.arange(4.0), "f": np.array([0.0, 1, 2, 4, 8])}
    write_tree(tmp_path / "f.nxs", {"entry": nxentry({"data": nxdata(fields, signal="n", axes=["f"])})})
    [array] = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    whole = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").load()
    region = {"f": slice(1, 3)}
    parts: list[Any] = [array.load()[1:3], whole.isel(f=region["f"]), whole[["n"]].isel(f=region["f"])]
    for number, part in enumerate(parts, 1):
        to_nexus(xr.zeros_like(part) + number, tmp_path / "f.nxs", region=region)
        with h5py.File(tmp_path / "f.nxs") as file:
            assert file["entry/data/f"][...].tolist() == fields["f"].tolist()
            assert file["entry/data/n"][...].tolist() == [0, number, number, 3]
    others = {
        "none here": array[1:3].assign_coords(f=[1.5, 3.0]),
        "others than in the file": array[:2],
        "of 'f' are others": array[1:3].nexus.assign_edges(f=[1, 2, 5]),
    }
    before = (tmp_path / "f.nxs").read_bytes()
    for said, part in others.items():
        with pytest.raises(NexusError, match=said):
            to_nexus(part, tmp_path / "f.nxs", region=region)
    assert (tmp_path / "f.nxs").read_bytes() == before
    to_nexus(array[:2].drop_vars("f"), tmp_path / "f.nxs", region=region)
    assert only_signal(tmp_path / "f.nxs").values.tolist() == [0, 0, 1, 3]


@pytest.mark.parametrize("dtype", ["f4", ">f8", "u1", "M8[ns]"])
def test_a_region_has_the_edges_of_the_file_whatever_their_type(tmp_path: Path, dtype: str) -> None:
    edges = np.array([0, 1, 2, 4, 8]).astype(dtype)
    array = xr.DataArray(np.zeros((3, 4)), dims=("y", "x"), name="n").nexus.assign_edges(x=edges)
    to_nexus(array, tmp_path / "f.nxs")
    part = only_signal(tmp_path / "f.nxs").load()[1:2, 1:3] + 5
    to_nexus(part.transpose("x", "y"), tmp_path / "f.nxs", region={"x": slice(1, 3), "y": slice(1, 2)})
    assert only_signal(tmp_path / "f.nxs").sum().item() == 10
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs").nexus.edges("x"), edges)


def test_edges_are_not_written_into_a_region_of_values(tmp_path: Path) -> None:
    to_nexus(xr.DataArray(np.zeros(3), dims="x", name="n", coords={"x": [1.0, 2, 3]}), tmp_path / "f.nxs")
    part = xr.DataArray(np.ones(2), dims="x", name="n", coords={"x": [1.0, 2]}).nexus.assign_edges(x=[0.5, 1.5, 2.5])
    with pytest.raises(NexusError, match="'x' has edges of bins, and in the file values"):
        to_nexus(part, tmp_path / "f.nxs", region={"x": slice(2)})


def test_a_region_of_what_is_scaled_is_refused(tmp_path: Path) -> None:
    fields = {"n": np.zeros(4), "n_scaling_factor": 0.5}
    write_tree(tmp_path / "f.nxs", {"entry": nxentry({"data": nxdata(fields, signal="n", axes=["x"])})})
    with pytest.raises(NexusError, match="'n' is scaled in the file"):
        to_nexus(xr.DataArray([1.0], dims="x", name="n"), tmp_path / "f.nxs", region={"x": slice(1)})


NOT_HELD = [
    (np.array([2**24 + 1]), "f4"),
    (np.array([2049]), "f2"),
    (np.array([70000]), "f2"),
    (np.array([2**53 + 1]), "f8"),
    (np.array([2**63 - 1]), "f8"),
    (np.array([2**64 - 1], "u8"), "f8"),
    (np.array([2**53 + 1]), "c16"),
]


@pytest.mark.parametrize(("values", "dtype"), NOT_HELD, ids=lambda each: str(each))
def test_integers_that_a_float_does_not_hold_are_refused(tmp_path: Path, values: Any, dtype: str) -> None:
    array = xr.DataArray(values, dims="x", name="n")
    with pytest.raises(NexusError, match=r"there are values that (float|complex)\d+ doesn't hold"):
        to_nexus(array, tmp_path / "f.nxs", encoding={"n": {"dtype": dtype}})
    to_nexus(xr.zeros_like(array).astype(dtype), tmp_path / "f.nxs", unlimited_dims="x")
    for options in ({"region": {"x": slice(1)}}, {"append_dim": "x"}):
        with pytest.raises(NexusError, match="doesn't hold"):
            to_nexus(array, tmp_path / "f.nxs", **options)
    assert only_signal(tmp_path / "f.nxs").values.tolist() == [0]


@pytest.mark.parametrize("values", [[-(2**53), 2**53], np.array([2**63], "u8"), [-(2**63)], [True, False]])
def test_integers_that_a_float_holds_are_written_as_one(tmp_path: Path, values: Any) -> None:
    array = xr.DataArray(values, dims="x", name="n")
    to_nexus(array, tmp_path / "f.nxs", encoding={"n": {"dtype": "f8"}}, unlimited_dims="x")
    to_nexus(array, tmp_path / "f.nxs", append_dim="x")
    assert [int(each) for each in only_signal(tmp_path / "f.nxs").values] == [int(each) for each in [*values, *values]]


@pytest.mark.parametrize("is_dask", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (np.array(["1500-01-01", "9999-12-31"], "M8[s]"), "M8[ns]"),
        (np.array(["1500-01-01", "NaT"], "M8[D]"), "M8[ns]"),
        (np.array([1, 2**40], "m8[s]"), "m8[ns]"),
        (np.array(["2020-01-01T00:00:00.750"], "M8[ms]"), "M8[s]"),
    ],
)
def test_times_that_a_unit_does_not_hold_are_refused(tmp_path: Path, values: Any, unit: str, is_dask: bool) -> None:
    whole = xr.DataArray(np.zeros(len(values), unit), dims="x", name="n")
    part = xr.DataArray(values, dims="x", name="n")
    to_nexus(whole, tmp_path / "f.nxs", unlimited_dims="x")
    for options in ({"region": {"x": slice(None)}}, {"append_dim": "x"}):
        with pytest.raises(NexusError, match="doesn't hold"):
            to_nexus(part.chunk() if is_dask else part, tmp_path / "f.nxs", **options)
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs"), whole)


@pytest.mark.parametrize("options", [{"region": {"x": slice(None)}}, {"append_dim": "x"}])
def test_times_of_another_unit_are_written_where_it_holds_them(tmp_path: Path, options: dict[str, Any]) -> None:
    to_nexus(xr.DataArray(np.zeros(3, "M8[ns]"), dims="x", name="n"), tmp_path / "f.nxs", unlimited_dims="x")
    part = xr.DataArray(np.array(["2020-01-01", "NaT", "1677-12-31"], "M8[s]"), dims="x", name="n")
    to_nexus(part, tmp_path / "f.nxs", **options)
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs")[-3:], part.astype("M8[ns]"))


@pytest.mark.parametrize("dims", [("data", "x"), ("x", "data"), ("x", "data", "y")])
def test_a_dimension_may_be_called_like_its_array(tmp_path: Path, dims: tuple[str, ...]) -> None:
    array = xr.DataArray(np.arange(8.0).reshape(2, 4, 1)[..., : len(dims)].reshape((2, 4, 1)[: len(dims)]), dims=dims)
    to_nexus(array.rename("data"), tmp_path / "f.nxs")
    assert only_signal(tmp_path / "f.nxs").dims == dims


def test_an_array_that_is_called_like_its_only_dimension_keeps_that(tmp_path: Path) -> None:
    array = xr.DataArray([1.0, 2.0], dims="n", name="n")
    to_nexus(array, tmp_path / "f.nxs")
    assert only_signal(tmp_path / "f.nxs").identical(array.rename("n_"))


@pytest.mark.parametrize(
    ("change", "region", "said"),
    [
        (lambda a: a, {"scan": slice(0, 3)}, "shape"),
        (lambda a: a[:3], {"scan": slice(4, 7)}, "goes beyond"),
        (lambda a: a[:3], {"scan": slice(0, 6, 2)}, "without a step"),
        (lambda a: a[:3], {"frame": slice(0, 3)}, "no variable to write .*'frame'; there are 'scan', 'y', 'x'"),
        (lambda a: a[:3], {"scan": slice(0, 3), "z": slice(0, 1)}, "no variable to write .*'z'; there are 'scan'"),
        (lambda a: a[:3], {}, "no variable to write"),
        (lambda a: a[:3], "auto", "region='auto': expected a slice for each dimension .*'scan', 'y', 'x'"),
        (lambda a: a[:3].rename("other"), {"scan": slice(0, 3)}, "no NXdata group has"),
        (lambda a: a[:3].astype(float), {"scan": slice(0, 3)}, "astype"),
        (lambda a: a[:3].astype("i8") + 70000, {"scan": slice(0, 3)}, "/counts: .* values that uint16 doesn't hold"),
        (lambda a: -a[:3].astype("i8") - 1, {"scan": slice(0, 3)}, "values that uint16 doesn't hold"),
        (lambda a: a[:3, 0], {"scan": slice(0, 3)}, "dimensions"),
        (lambda a: a[:3].assign_attrs(units="V"), {"scan": slice(0, 3)}, "units of 'counts' are 'V'"),
    ],
)
def test_a_region_that_does_not_fit_is_refused(tmp_path: Path, change: Any, region: Any, said: str) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    before = (tmp_path / "f.nxs").read_bytes()
    for compute in (True, False):
        with pytest.raises(NexusError, match=said):
            to_nexus(change(scan()), tmp_path / "f.nxs", region=region, compute=compute)
    assert (tmp_path / "f.nxs").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "a"}, "mode"),
        ({"mode": "w", "layout": "entry"}, "mode, layout"),
        ({"layout": "inplace"}, "layout"),
        ({"use_default": True}, "use_default"),
        ({"save_original_metadata": False}, "save_original_metadata"),
        ({"skip_metadata_key": "a"}, "skip_metadata_key"),
        ({"compression": None}, "compression"),
        ({"compression": hdf5plugin.Bitshuffle(), "shuffle": False}, "compression, shuffle"),
        ({"compression_opts": 3, "chunks": (1, 40, 50)}, "compression_opts, chunks"),
    ],
)
def test_what_does_not_go_with_a_region_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    before = (tmp_path / "f.nxs").read_bytes()
    with pytest.raises(NexusError, match=f"nothing was written: region .* takes no {said}; leave that out"):
        to_nexus(scan()[:3], tmp_path / "f.nxs", region={"scan": slice(0, 3)}, **options)
    assert (tmp_path / "f.nxs").read_bytes() == before


@pytest.mark.parametrize("write", [to_nexus, lambda array, path, **options: array.nexus.to_nexus(path, **options)])
def test_an_option_that_is_none_is_an_error_that_lists_those_there_are(tmp_path: Path, write: Any) -> None:
    with pytest.raises(TypeError, match=r"to_nexus has no option 'engine'; there are: mode, .*num_threads"):
        write(scan(), tmp_path / "f.nxs", engine="nexus")
    with pytest.raises(TypeError, match="use_default='yes': expected True or False, found str"):
        write(scan(), tmp_path / "f.nxs", use_default="yes")
    assert folder(tmp_path) == []


# Calls with the file "scan.nxs", and how what they say begins.
MISTAKEN: dict[str, tuple[type[Exception], Callable[[], object]]] = {
    "expected a path or a URL, found bytes; write it into a file": (
        TypeError,
        lambda: nexus_xr.repack(b"f.nxs"),  # type: ignore[arg-type]
    ),
    "expected a path or a URL, found int; write it into a file": (
        TypeError,
        lambda: nexus_xr.consolidate(1),  # type: ignore[arg-type]
    ),
    "num_threads='x': expected a whole number, found str": (
        TypeError,
        lambda: to_nexus(scan(), "f.nxs", num_threads="x"),  # type: ignore[arg-type]
    ),
    "num_threads=0: expected a whole number, 1 or more, or None": (
        NexusError,
        lambda: to_nexus(scan(), "f.nxs", num_threads=0),
    ),
    "num_threads=-1: expected": (NexusError, lambda: nexus_xr.repack("scan.nxs", "f.nxs", num_threads=-1)),
    "num_threads=True: expected": (TypeError, lambda: nexus_xr.consolidate("scan.nxs", num_threads=True)),
    "num_threads=2.5: expected": (
        TypeError,
        lambda: xr.open_dataset("scan.nxs", engine="nexus", num_threads=2.5),
    ),
    "num_threads='2': expected": (
        TypeError,
        lambda: nexus_xr.NexusWriter("f.nxs", scan(), num_threads="2"),
    ),
    r"compression_opts=3: szip takes \"ec\" or \"nn\"": (
        NexusError,
        lambda: to_nexus(scan(), "f.nxs", compression="szip", compression_opts=3),
    ),
    r"compression_opts=\('nn', 34\): szip takes .* 2 to 32": (
        NexusError,
        lambda: to_nexus(scan(), "f.nxs", compression="szip", compression_opts=("nn", 34)),
    ),
    "compression_opts=2: lzf takes no options": (
        NexusError,
        lambda: to_nexus(scan(), "f.nxs", compression="lzf", compression_opts=2),
    ),
    "shuffle='no': expected True or False": (
        TypeError,
        lambda: to_nexus(scan(), "f.nxs", compression="gzip", shuffle="no"),  # type: ignore[arg-type]
    ),
    "shuffle='yes': expected True or False": (
        TypeError,
        lambda: to_nexus(scan(), "f.nxs", encoding={"counts": {"compression": "gzip", "shuffle": "yes"}}),
    ),
    r"f\.nxs:/entry1/counts/counts: uint16 in chunks of .*less than 4 GiB": (
        NexusError,
        lambda: to_nexus(scan(), "f.nxs", chunks={"scan": 1 << 40}, unlimited_dims="scan"),
    ),
    "processes='x': expected": (
        TypeError,
        lambda: nexus_xr.check("scan.nxs", processes="x"),  # type: ignore[arg-type]
    ),
    "workers=-1: expected a whole number, 0 or more": (NexusError, lambda: nexus_xr.server.Limits(workers=-1)),
    "seconds='x': expected a number": (
        TypeError,
        lambda: nexus_xr.server.Limits(seconds="x"),  # type: ignore[arg-type]
    ),
    "port='x': expected": (TypeError, lambda: nexus_xr.server.serve(".", port="x")),  # type: ignore[arg-type]
    "workers='x': expected": (TypeError, lambda: nexus_xr.server.serve(".", workers="x")),  # type: ignore[arg-type]
    "scan='x': expected a whole number": (TypeError, lambda: scan().nexus.rebin(scan="x")),
    "numbers=.*: expected a mapping to whole numbers": (TypeError, lambda: scan().nexus.rebin({"scan": 2.0})),
    "inline='x': expected": (
        TypeError,
        lambda: nexus_xr.zarr_store("scan.nxs").references(inline="x"),  # type: ignore[arg-type]
    ),
    "width='x': expected": (
        TypeError,
        lambda: nexus_xr.text_plot("scan.nxs", width="x"),  # type: ignore[arg-type]
    ),
    "path=3: expected a string": (TypeError, lambda: scan().nexus.metadata[3]),
    "text=3: expected a string": (TypeError, lambda: scan().nexus.metadata.find(3)),
    "paths=3: expected a string": (TypeError, lambda: nexus_xr.promoting(3)),  # type: ignore[arg-type]
    "uncertainties for 'nope': there is no such variable; there are": (
        NexusError,
        lambda: scan().to_dataset(name="counts").nexus.assign_errors(nope=[1]),
    ),
    "edges of 'scan' of type <U1: expected numbers": (
        NexusError,
        lambda: scan().nexus.assign_edges(scan=list("abcdefg")),
    ),
}


@pytest.mark.parametrize(("words", "error", "call"), [(words, *mistaken) for words, mistaken in MISTAKEN.items()])
def test_an_argument_that_can_not_be_meant_is_told_by_its_name(
    words: str, error: type[Exception], call: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    to_nexus(scan(), "scan.nxs")
    with pytest.raises(error, match=f"^{words}"):
        call()
    assert folder(tmp_path) == ["scan.nxs"]


def test_chunks_are_no_longer_than_the_array_but_along_dimensions_that_grow(tmp_path: Path) -> None:
    chunks = (100, 1 << 40, 20)
    to_nexus(scan(), tmp_path / "f.nxs", chunks=chunks)
    to_nexus(scan(), tmp_path / "g.nxs", chunks=(100, 40, 50), unlimited_dims="scan")
    with h5py.File(tmp_path / "f.nxs") as fixed, h5py.File(tmp_path / "g.nxs") as growing:
        found = fixed["entry1/counts/counts"], growing["entry1/counts/counts"]
        assert [(each.chunks, each.maxshape) for each in found] == [
            ((6, 40, 20), (6, 40, 50)),
            ((100, 40, 50), (None, 40, 50)),
        ]
        np.testing.assert_array_equal(found[0], FRAMES)


@pytest.mark.parametrize(("count", "chunks", "compression"), [(8192, None, None), (8193, (8193,), "gzip")])
def test_arrays_of_up_to_64_kib_are_stored_as_they_are(
    count: int, chunks: tuple[int, ...] | None, compression: str | None, tmp_path: Path
) -> None:
    values = xr.DataArray(np.zeros(count), dims="x", name="v")
    to_nexus(values, tmp_path / "f.nxs", compression="gzip", compression_opts=9)
    to_nexus(values, tmp_path / "asked.nxs", compression="gzip", chunks=(count,))
    with h5py.File(tmp_path / "f.nxs") as file, h5py.File(tmp_path / "asked.nxs") as asked:
        assert (file["entry1/v/v"].chunks, file["entry1/v/v"].compression) == (chunks, compression)
        assert (asked["entry1/v/v"].chunks, asked["entry1/v/v"].compression) == ((count,), "gzip")


@pytest.mark.parametrize("function", [to_nexus, DataArrayAccessor.to_nexus])
def test_the_signature_has_the_options_with_their_defaults(function: Any) -> None:
    options = [each for each in inspect.signature(function).parameters.values() if each.kind is each.KEYWORD_ONLY]
    assert [(each.name, each.default) for each in options] == [
        (each.name, each.default) for each in fields(WritingOptions)
    ]


def test_the_documentation_says_which_way_of_writing_has_use_for_an_option() -> None:
    table = [line.split() for line in (to_nexus.__doc__ or "").splitlines()]
    for option in ("use_default", "chunks", "region", "compute"):
        assert [option, *("yes" if option in way.uses else "no" for way in WAYS.values())] in table
    assert ["mode", "w,", "x,", "a,", "r+", "w,", "x", "no", "a"] in table


@pytest.mark.parametrize("is_dask", [False, True], ids=["numpy", "dask"])
def test_regions_may_be_written_later(tmp_path: Path, is_dask: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    to_nexus(scan(np.zeros_like(FRAMES)), "f.nxs", chunks=(2, 40, 50))
    before = Path("f.nxs").read_bytes()
    values = scan(da.from_array(FRAMES, chunks=(1, 40, 50)) if is_dask else FRAMES).drop_vars("scan")
    parts = [slice(0, 3), slice(3, 6)]
    jobs = [to_nexus(values[part], "f.nxs", region={"scan": part}, compute=False) for part in parts]
    assert Path("f.nxs").read_bytes() == before
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    dask.compute(*jobs)
    assert only_signal(tmp_path / "f.nxs").identical(scan())


AS_IN_THE_FILE: list[tuple[Callable[[xr.Dataset], xr.Dataset | xr.DataArray], str]] = [
    (
        lambda ds: ds.isel(x=slice(None, None, -1)),
        r"/x: .* 'x', which spans no 'scan': it is 343\.0 at \[0\], and in .* 0",
    ),
    (lambda ds: ds.counts.assign_coords(y=ds.y + 1), "/y: .* it hasn't the values of 'y', which spans no 'scan'"),
    (lambda ds: ds.assign_coords(height=ds.height.T + 1), "/height: .* 'height', which spans no 'scan'"),
    (
        lambda ds: ds.assign_coords(height=ds.height[0].drop_vars("y")),
        r"/height: 'height' has dimensions \('x',\), and in the file",
    ),
    (lambda ds: ds.assign_coords(wavelength=1.55), "/wavelength: .* it is 1.55, and in the file 1.54; .* drop_vars"),
    (lambda ds: ds.assign_coords(wavelength="Cu"), "/wavelength: 'wavelength' is of <U2, and in the file of float64"),
    (lambda ds: ds.assign_coords(wavelength=np.datetime64(0, "s")), "/wavelength: 'wavelength' is of datetime64"),
    (
        lambda ds: ds.assign_coords(x=ds.x.assign_attrs(units="mm")),
        "/x: the units of 'x' are 'mm', and in the file 'um'",
    ),
    (lambda ds: ds.assign(mask=~ds["mask"]), "/mask: .* it hasn't the values of 'mask'"),
    (lambda ds: ds.isel(y=slice(5)), r"/(y|mask|height): '\w+' has the shape \(5,( 50)?\), and in the file \(40,"),
    (
        lambda ds: ds.assign_coords(angle=("x", np.zeros(50))).assign(n=3),
        r"f\.nxs: no NXdata group has 'angle', 'n' beside what /entry1/counts has; .* leave out what it hasn't",
    ),
]


@pytest.mark.parametrize(("change", "said"), AS_IN_THE_FILE)
def test_what_spans_no_dimension_of_a_region_is_as_in_the_file(tmp_path: Path, change: Any, said: str) -> None:
    whole = scan().to_dataset().assign(mask=("x", np.arange(50) % 2 == 0), edge=((), np.nan), name=((), "ä"))
    to_nexus(whole, tmp_path / "f.nxs")
    before = (tmp_path / "f.nxs").read_bytes()
    part, region = whole.isel(scan=slice(1, 3)), {"scan": slice(1, 3)}
    for compute in (True, False):
        with pytest.raises(NexusError, match=said):
            to_nexus(change(part), tmp_path / "f.nxs", region=region, compute=compute)
    assert (tmp_path / "f.nxs").read_bytes() == before
    to_nexus(part.transpose("x", ...).assign(counts=part.counts * 0).chunk(), tmp_path / "f.nxs", region=region)
    assert only_signal(tmp_path / "f.nxs").sum(("y", "x")).values.astype(bool).tolist() == [
        True,
        False,
        False,
        *[True] * 3,
    ]


def test_scalar_coordinates_that_the_file_lacks_are_not_looked_for(tmp_path: Path) -> None:
    to_nexus([scan().assign_coords(run=1), scan()], tmp_path / "f.nxs")
    region = {"scan": slice(2)}
    part = scan()[:2].drop_vars("scan") * 0
    to_nexus(part.assign_coords(angle=3.0, run=1), tmp_path / "f.nxs", region=region)
    with pytest.raises(NexusError, match="several NXdata groups have"):
        to_nexus(part.assign_coords(angle=3.0), tmp_path / "f.nxs", region=region)
    to_nexus(part.assign_coords(angle=3.0) + 7, tmp_path / "f.nxs", region=region, entry="entry2")
    with pytest.raises(NexusError, match=r"/entry1/counts/run: .* it is 2, and in the file 1"):
        to_nexus(part.assign_coords(run=2), tmp_path / "f.nxs", region=region, entry="entry1")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert [file[f"{entry}/counts/counts"][1, 0, 0] for entry in ("entry1", "entry2")] == [0, 7]
        assert "angle" not in file["entry2/counts"]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_floats_beside_a_region_are_rounded_as_those_in_it(tmp_path: Path, dtype: str) -> None:
    labels = np.array([0.1, np.nan, 0.3])
    coords = {"x": labels.astype(dtype), "f": ("x", np.array([1, 2, 3], "i4")), "c": ("x", (labels * 1j).astype("c8"))}
    array = xr.DataArray(np.zeros((2, 3)), dims=("y", "x"), name="n", coords=coords)
    to_nexus(array, tmp_path / "f.nxs")
    part = array[1:].assign_coords(x=labels, c=("x", labels * 1j), f=("x", [1.0, 2.0, 3.0])) + 1
    to_nexus(part, tmp_path / "f.nxs", region={"y": slice(1, 2)})
    assert only_signal(tmp_path / "f.nxs").values.tolist() == [[0, 0, 0], [1, 1, 1]]
    for others, said in (
        ({"x": np.nextafter(labels.astype(dtype), np.inf, dtype=dtype)}, r"/x: .* hasn't the values of 'x'"),
        ({"f": ("x", [1.0, 2.0, 3.5])}, r"/f: .* it is 3\.5 at \[2\], and in the file 3"),
        ({"x": [1e300, np.nan, 0.3]}, r"/x: .* it is 1e\+300|/x: there are values that float32 doesn't hold"),
    ):
        with pytest.raises(NexusError, match=said):
            to_nexus(part.assign_coords(others), tmp_path / "f.nxs", region={"y": slice(1, 2)})


def test_edges_beside_a_region_are_rounded_to_those_of_the_file(tmp_path: Path) -> None:
    edges = np.array([0, 0.1, 0.2, 0.4, 0.7])
    plain = xr.DataArray(np.zeros((2, 4)), dims=("y", "x"), name="n")
    to_nexus(plain.nexus.assign_edges(x=edges.astype("f4")), tmp_path / "f.nxs")
    to_nexus(plain[1:].nexus.assign_edges(x=edges) + 1, tmp_path / "f.nxs", region={"y": slice(1, 2)})
    assert only_signal(tmp_path / "f.nxs").sum().item() == 4
    for last in (np.nextafter(np.float32(0.7), np.float32(1)), 1e300):
        others = plain[1:].nexus.assign_edges(x=[*edges[:-1], last])
        with pytest.raises(NexusError, match="/x: the edges of 'x' are others than in the file"):
            to_nexus(others, tmp_path / "f.nxs", region={"y": slice(1, 2)})


@pytest.mark.parametrize("region", [{"y": slice(1, 2)}, {"x": slice(1, 3)}], ids=str)
@pytest.mark.parametrize("name", ["attribute", "encoding", "opened", "index"])
def test_bounds_that_are_fields_of_their_own_are_as_others_are(
    tmp_path: Path, region: dict[str, slice], name: str
) -> None:
    bounds = xr.Variable(("x", "nv"), [[-1.0, 1], [2, 3], [4, 6]])
    coords = {"x": ("x", [0, 2.5, 5], {"bounds": "x_bnds"}), "x_bnds": bounds, "y": [1, 2]}
    whole = xr.Dataset({"n": (("y", "x"), np.zeros((2, 3)))}, coords)
    to_nexus(whole, tmp_path / "f.nxs")
    part = {
        "attribute": whole,
        "encoding": whole.drop_attrs(),
        "opened": xr.open_dataset(tmp_path / "f.nxs", engine="nexus").load(),
        "index": whole.nexus.bounds_to_edges(),
    }[name].isel(region)
    if name == "encoding":
        part.x.encoding["bounds"] = "x_bnds"
    for changed in (part + 1, part.n + 2):
        to_nexus(changed, tmp_path / "f.nxs", region=region)
        found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus", edges="bounds").load()
        np.testing.assert_array_equal(found.n.isel(region), changed.n if isinstance(changed, xr.Dataset) else changed)
        np.testing.assert_array_equal(found.x_bnds, bounds)
    if "y" in region:
        with pytest.raises(NexusError, match=r"/x_bnds: .* hasn't the values of 'x_bnds'"):
            to_nexus(part.assign_coords(x_bnds=part.x_bnds + 0.5), tmp_path / "f.nxs", region=region)
    if name == "index":
        with pytest.raises(NexusError, match="leave the edges out"):
            to_nexus(part.n.assign_coords(nv=1), tmp_path / "f.nxs", region=region)  # as the file calls a dimension


def test_what_is_scaled_in_the_file_may_be_beside_a_region(tmp_path: Path) -> None:
    fields = {"n": np.zeros((2, 3)), "x": np.arange(3), "x_scaling_factor": 0.5}
    write_tree(tmp_path / "f.nxs", {"entry": nxentry({"data": nxdata(fields, signal="n", axes=["y", "x"])})})
    whole = only_signal(tmp_path / "f.nxs").load()
    to_nexus(whole[1:] + 2, tmp_path / "f.nxs", region={"dim_0": slice(1, 2)})
    assert only_signal(tmp_path / "f.nxs").values.tolist() == [[0, 0, 0], [2, 2, 2]]
    with pytest.raises(NexusError, match=r"/x: .* it is 0 at \[1\], and in the file 0.5"):
        to_nexus(whole[1:].assign_coords(x=[0, 0, 1]), tmp_path / "f.nxs", region={"dim_0": slice(1, 2)})


@pytest.mark.parametrize("edges", ["index", "bounds"])
def test_edges_beside_a_region_are_those_of_the_file(tmp_path: Path, edges: str) -> None:
    array = xr.DataArray(np.zeros((3, 4)), dims=("y", "x"), name="n").nexus.assign_edges(x=[0.0, 1, 2, 4, 8])
    to_nexus(array, tmp_path / "f.nxs")
    whole = xr.open_dataset(tmp_path / "f.nxs", engine="nexus", edges=edges).load()
    region = {"y": slice(1, 2)}
    to_nexus(whole.isel(y=[1]) + 1, tmp_path / "f.nxs", region=region)
    to_nexus(whole.n[1:2] + 1, tmp_path / "f.nxs", region=region)
    assert only_signal(tmp_path / "f.nxs").sum().item() == 4
    others = array[1:2].drop_vars("x").nexus.assign_edges(x=[0.0, 1, 2, 4, 9])
    with pytest.raises(NexusError, match="/x: the edges of 'x' are others than in the file"):
        to_nexus(others, tmp_path / "f.nxs", region=region)


def test_only_the_entry_that_is_named_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, part = tmp_path / "f.nxs", scan()[:2].drop_vars("scan") + 1
    to_nexus([scan()] * 4, path, unlimited_dims="scan")
    looked_at: list[str] = []
    own = Opening.describe

    def describe(opening: Opening, found: Found) -> Described:
        looked_at.append(found.path)
        return own(opening, found)

    monkeypatch.setattr(Opening, "describe", describe)
    to_nexus(part, path, region={"scan": slice(0, 2)}, entry="entry3")
    to_nexus(scan(), path, append_dim="scan", entry="entry2/counts")
    assert looked_at == ["/entry3/counts", "/entry2/counts"]
    with h5py.File(path) as file:
        changed = [bool((file[f"entry{number}/counts/counts"][:2] != FRAMES[:2]).any()) for number in range(1, 5)]
        assert changed == [False, False, True, False]
        assert len(file["entry2/counts/counts"]) == 2 * len(FRAMES)


def test_of_several_equal_names_the_one_for_a_region_is_named(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    to_nexus([scan(), scan()], path)
    with h5py.File(path, "r+") as file:
        file.copy("entry2/counts", file["entry2"], "again")
        file["entry2/link"] = file["entry2/again"]
    before = path.read_bytes()
    part, region = scan()[:2].drop_vars("scan") + 1, {"scan": slice(0, 2)}
    for entry, said in (
        (None, r"(?s)several NXdata groups have .*'counts'.*/entry1/counts\n.*/entry2/counts"),
        ("entry2", "several NXdata groups"),
        ("entry", "entry='entry' has no .*"),
        ("nowhere", "entry='nowhere' has no .*"),
    ):
        with pytest.raises(NexusError, match=said):
            to_nexus(part, path, region=region, entry=entry)
    assert path.read_bytes() == before
    to_nexus(part, path, region=region, entry="entry2/again")
    to_nexus(part, path, region=region, entry="entry1")
    with h5py.File(path) as file:
        groups = ("entry1/counts", "entry2/counts", "entry2/again")
        changed = [bool((file[group]["counts"][:2] != FRAMES[:2]).any()) for group in groups]
    assert changed == [True, False, True]


def test_a_group_of_several_names_is_one_for_a_region(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs", "r+") as file:
        file["entry1/again"] = file["entry1/counts"]
        file["entry1/too"] = h5py.SoftLink("/entry1/counts")
    to_nexus(scan()[:2].drop_vars("scan") + 1, tmp_path / "f.nxs", region={"scan": slice(0, 2)})
    with h5py.File(tmp_path / "f.nxs") as file:
        np.testing.assert_array_equal(file["entry1/counts/counts"][:2], FRAMES[:2] + 1)


# --- modes -----------------------------------------------------------------------------------------------------


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    to_nexus(scan(), path, mode="x")
    with pytest.raises(NexusFileError, match="is there already"):
        to_nexus(scan(), path, mode="x")
    to_nexus(scan()[0].rename("first"), path, mode="a")
    to_nexus(scan()[1].rename("second"), path, mode="a", entry="mine")
    assert nexus_xr.list_datasets(path)[0] == ["/entry1/counts", "/entry2/first", "/mine/second"]
    with pytest.raises(NexusError, match="has an entry 'mine' already"):
        to_nexus(scan(), path, mode="a", entry="mine")
    to_nexus(scan(), path)
    assert nexus_xr.list_datasets(path)[0] == ["/entry1/counts"]
    with pytest.raises(NexusError, match="mode='r'"):
        to_nexus(scan(), path, mode="r")
    assert folder(tmp_path) == ["f.nxs"]


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}], ids=["copied", "encoded"])
def test_a_file_can_be_written_onto_itself(tmp_path: Path, chunks: Any, options: dict[str, Any]) -> None:
    array = xr.DataArray(np.arange(100_000).reshape(10, 100, 100), name="counts")
    to_nexus(array, tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus", chunks=chunks)
    opened.nexus.to_nexus(tmp_path / "f.nxs", **options)
    assert only_signal(tmp_path / "f.nxs").identical(array)
    with pytest.raises(NexusFileError, match="changed"):
        opened.counts[5].load()


def test_permissions_and_links_of_the_old_file_are_kept(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    (tmp_path / "f.nxs").chmod(0o640)
    (tmp_path / "link.nxs").symlink_to("f.nxs")
    to_nexus(scan(), tmp_path / "link.nxs")
    assert (tmp_path / "link.nxs").is_symlink()
    assert (tmp_path / "f.nxs").stat().st_mode & 0o777 == 0o640


# --- several writers -------------------------------------------------------------------------------------------

APPENDING = """
import sys
import xarray as xr, nexus_xr

for name in sys.argv[2:]:
    nexus_xr.to_nexus(xr.DataArray([1, 2], name=name), sys.argv[1], mode="a")
"""


def signals_of(path: Path) -> list[str]:
    groups, _ = nexus_xr.list_datasets(path)
    assert [group.split("/")[1] for group in groups] == [f"entry{number + 1}" for number in range(len(groups))]
    return sorted(group.split("/")[2] for group in groups)


def test_what_several_processes_add_at_once_is_all_there(tmp_path: Path) -> None:
    names = [[f"of_{process}_{number}" for number in range(3)] for process in range(4)]
    commands = [[sys.executable, "-c", APPENDING, str(tmp_path / "f.nxs"), *each] for each in names]
    writers = [subprocess.Popen(command) for command in commands]
    assert [writer.wait(timeout=PATIENCE_SECONDS) for writer in writers] == [0] * 4
    assert signals_of(tmp_path / "f.nxs") == sorted(name for each in names for name in each)
    assert folder(tmp_path) == ["f.nxs"]


def test_what_several_threads_add_at_once_is_all_there(tmp_path: Path) -> None:
    names = [f"of_{number:02}" for number in range(12)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: to_nexus(scan()[0].rename(name), tmp_path / "f.nxs", mode="a"), names))
    assert signals_of(tmp_path / "f.nxs") == names
    assert folder(tmp_path) == ["f.nxs"]


def test_what_a_living_writer_is_about_to_open_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    job, asked = begun(tmp_path / "f.nxs"), []

    def is_open(path: str) -> bool:
        asked.append(Path(path).suffix)
        return locking.is_open_for_writing(path)

    monkeypatch.setattr(claims, "is_open_for_writing", is_open)
    to_nexus(scan().rename("meanwhile"), tmp_path / "f.nxs", mode="a")
    assert asked == [".lock"]
    job.compute()
    assert signals_of(tmp_path / "f.nxs") == ["counts", "late", "meanwhile"]


def begun(path: Path, name: str = "late", **options: Any) -> Any:
    """An entry that is still to be written, into a file that has begun as a copy of the one that is there."""
    late = scan(da.from_array(FRAMES, chunks=(1, 40, 50))).rename(name)
    return to_nexus(late, path, mode="a", compute=False, **options)


def test_a_damaged_file_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["entry"] = 1
    path.write_bytes(path.read_bytes().replace(b"SNOD", b"SNOX"))  # what lists the members of the root
    before = path.read_bytes()
    with pytest.raises(NexusFileError, match=r"scan\.nxs: can't be written"):
        to_nexus(xr.DataArray([1, 2]), path, mode="a")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (before, ["scan.nxs"])


def test_a_file_that_libhdf5_does_not_open_is_not_changed(write: Callable[..., Path]) -> None:
    data = nxdata({"n": [1, 2, 3], "x": [1.0, 2.0, 4.0]}, signal="n", axes=["x"])
    path = write({"entry": nxentry({"data": data})}, libver="earliest")
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"HEAP\0") + 16  # where the list of free space begins in the heap of the data's names
    raw[at : at + 4] = b"\xff" * 4
    path.write_bytes(raw)
    before = path.read_bytes()
    ways: list[dict[str, Any]] = [{"region": {"x": slice(0, 3)}}, {"layout": "inplace"}]
    for options in ways:
        with xr.open_dataset(path, engine="nexus") as dataset:
            changed = dataset.assign(n=dataset.n.copy(data=[4, 5, 6]))
            with pytest.raises(NexusFileError, match=r"scan\.nxs:/entry/data/n: can't be (written|changed)"):
                to_nexus(changed, path, **options)
    assert path.read_bytes() == before


@pytest.mark.parametrize("is_there", [True, False])
@pytest.mark.parametrize("use_default", [True, False])
def test_an_entry_joins_what_came_while_it_was_written(tmp_path: Path, is_there: bool, use_default: bool) -> None:
    path = tmp_path / "f.nxs"
    if is_there:
        to_nexus(scan(), path)
    job = begun(path, use_default=use_default)
    to_nexus(scan().rename("meanwhile"), path, mode="a")
    job.compute()
    assert signals_of(path) == sorted([*["counts"] * is_there, "late", "meanwhile"])
    with h5py.File(path) as file:
        assert file.attrs["default"] == (list(file)[-1] if use_default else "entry1")
    found = {array.name: array for array in nexus_xr.open_signals(path, nxdata_only=True)}
    assert found["late"].identical(scan().rename("late"))
    assert found["meanwhile"].identical(scan().rename("meanwhile"))
    assert folder(tmp_path) == ["f.nxs"]


def test_an_entry_of_a_name_that_another_took_meanwhile_is_refused(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    job = begun(tmp_path / "f.nxs", entry="mine")
    to_nexus(scan().rename("meanwhile"), tmp_path / "f.nxs", mode="a", entry="mine")
    with pytest.raises(NexusError, match="has an entry 'mine' by now"):
        job.compute()
    assert nexus_xr.list_datasets(tmp_path / "f.nxs")[0] == ["/entry1/counts", "/mine/meanwhile"]
    assert folder(tmp_path) == ["f.nxs"]


def test_an_entry_joins_a_region_that_was_written_meanwhile(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    job = begun(tmp_path / "f.nxs")
    to_nexus(scan()[2:4].drop_vars("scan") + 1, tmp_path / "f.nxs", region={"scan": slice(2, 4)})
    job.compute()
    counts, late = (array.values for array in nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True))
    np.testing.assert_array_equal(counts[2:4], FRAMES[2:4] + 1)
    np.testing.assert_array_equal(late, FRAMES)


def test_a_file_that_is_open_for_writing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    job = begun(tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs", "r+") as file, concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(job.compute)
        file["entry1/counts/counts"][0] = 7
        file.close()
        future.result(timeout=PATIENCE_SECONDS)
    counts, _ = (array.values for array in nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True))
    assert (counts[0] == 7).all()
    monkeypatch.setattr(locking, "MOST_SECONDS", 0.02)
    job = begun(tmp_path / "f.nxs", "more")
    with h5py.File(tmp_path / "f.nxs", "r+"), pytest.raises(NexusFileError, match="open for writing still"):
        job.compute()
    assert folder(tmp_path) == ["f.nxs"]


def test_who_waits_for_a_writer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    monkeypatch.setattr(locking, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(locking, "MOST_SECONDS", 0.1)
    holder = "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holder, str(tmp_path / "f.nxs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        still = pytest.raises(NexusFileError, match="open for writing still")
        with warnings.catch_warnings(record=True, action="always") as told, still:
            to_nexus(scan(), tmp_path / "f.nxs", mode="a")
        process.communicate(b"")
    assert len(told) == 1
    assert issubclass(told[0].category, NexusWarning)
    assert "f.nxs: is open for writing elsewhere" in str(told[0].message)
    assert told[0].filename == __file__


@pytest.mark.parametrize("way", ["repack", "consolidate"])
@pytest.mark.parametrize("version", ["earliest", "latest", "swmr"])
def test_a_file_that_is_being_written_is_not_replaced(tmp_path: Path, version: str, way: str) -> None:
    path = tmp_path / "f.nxs"
    with h5py.File(tmp_path / "other.nxs", "w") as file:
        file["x"] = [1, 2]
    libver: Any = "earliest" if version == "earliest" else "latest"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("n", shape=(1, 8), maxshape=(None, 8), chunks=(1, 8), dtype="u2")
        file["link"] = h5py.ExternalLink("other.nxs", "/x")
    change = nexus_xr.repack if way == "repack" else nexus_xr.consolidate
    code = f"""
import h5py, sys
with h5py.File(sys.argv[1], "r+", libver={libver!r}) as file:
    if {version == "swmr"}:
        file.swmr_mode = True
    print("open", flush=True)
    sys.stdin.readline()
    file["n"].resize(5, axis=0)
"""
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        with pytest.raises(NexusFileError, match=r"f\.nxs"):
            change(path)
        process.stdin.write("\n")
    with h5py.File(path) as file:
        assert file["n"].shape == (5, 8)
    change(path)
    with h5py.File(path, "r+") as file:
        assert file["n"].shape == (5, 8)
        if way == "repack":
            with pytest.raises(NexusFileError, match="open for writing in this process"):
                change(path)


def test_a_file_that_changes_while_it_is_repacked_stays_as_that_left_it(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    to_nexus(scan(), path)

    def add(done: int, total: int) -> None:
        with open(path, "ab") as file:
            file.write(b"more")

    with pytest.raises(NexusFileError, match="another writer has changed it meanwhile"):
        nexus_xr.repack(path, compression="lzf", progress=add)
    assert path.read_bytes().endswith(b"more")


def test_a_file_that_another_changed_is_not_written_back_onto(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    opened["counts"] = opened.counts.copy(data=da.from_array(FRAMES + 1, chunks=(1, 40, 50)))
    job = opened.nexus.to_nexus(tmp_path / "f.nxs", layout="inplace", compute=False)
    to_nexus(scan().rename("meanwhile"), tmp_path / "f.nxs", mode="a")
    after = (tmp_path / "f.nxs").read_bytes()
    with pytest.raises(NexusFileError, match="another writer has changed it"):
        job.compute()
    assert (tmp_path / "f.nxs").read_bytes() == after
    assert folder(tmp_path) == ["f.nxs"]


def test_a_system_that_removes_no_open_file_keeps_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlink, refusals = os.unlink, iter([PermissionError("is open")])

    def unlink_closed(path: str) -> None:
        for refusal in refusals:
            raise refusal
        unlink(path)

    monkeypatch.setattr(locking, "_lock", lambda descriptor, with_readers=False: False)
    monkeypatch.setattr(os, "unlink", unlink_closed)
    locking.Lock(str(tmp_path / "lock")).close()
    assert not list(tmp_path.iterdir())


def test_who_writes_a_file_is_waited_for_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "MOST_SECONDS", 0.02)
    lock = locking.Lock(str(tmp_path / ".f.nxs.lock"))
    ways_to_write: list[dict[str, Any]] = [{}, {"mode": "a"}]
    for options in ways_to_write:
        with pytest.raises(NexusFileError, match=f"f.nxs: process {os.getpid()} on .* is still writing"):
            to_nexus(scan(), tmp_path / "f.nxs", **options)
    lock.close()
    (tmp_path / ".f.nxs.lock").write_text("process 1 on a host that died")
    to_nexus(scan(), tmp_path / "f.nxs", mode="a")
    assert folder(tmp_path) == ["f.nxs"]


def test_where_the_file_system_has_no_locks_files_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for name in (".f.nxs.0123abcd.part", ".f.nxs.0123abcd.lock"):
        (tmp_path / name).touch()
    job = begun(tmp_path / "f.nxs")
    to_nexus(scan(), tmp_path / "f.nxs", mode="a")
    job.compute()
    assert signals_of(tmp_path / "f.nxs") == ["counts", "late"]
    assert ".f.nxs.0123abcd.part" in folder(tmp_path)  # whose writer may be alive


def test_what_a_writer_left_is_removed_once_it_is_surely_gone(tmp_path: Path) -> None:
    names = {part: tmp_path / f".f.nxs.0123abcd.{part}" for part in ("part", "newer", "lock")}
    parts = tmp_path / "f_parts" / "0123abcd"
    here, elsewhere = f"process 1 on {socket.gethostname()}", "process 1 on another host"
    for said, hours, stays in ((here, 0, False), (elsewhere, 23, True), (elsewhere, 25, False)):
        parts.mkdir(parents=True, exist_ok=True)
        then = time.time() - hours * 3600
        for path in (*names.values(), parts):
            if path is not parts:
                path.write_text(said)
            os.utime(path, (then, then))
        to_nexus(scan(), tmp_path / "f.nxs")
        assert [path.exists() for path in (*names.values(), parts)] == [stays] * 4
    assert folder(tmp_path) == ["f.nxs"]


def test_a_file_that_the_system_does_not_open_is_named_where_a_region_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")

    def unopened(*_: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(writers, "open", unopened, raising=False)
    with pytest.raises(NexusFileError, match=r"f\.nxs: can't be read .Too many open files"):
        to_nexus(scan()[:3], tmp_path / "f.nxs", region={"scan": slice(0, 3)})


@pytest.mark.parametrize("has_begun", [True, False])
def test_the_lock_of_who_was_killed_before_it_said_so_is_removed(tmp_path: Path, has_begun: bool) -> None:
    lock, part = (tmp_path / f".f.nxs.0123abcd.{kind}" for kind in ("lock", "part"))
    lock.touch()
    if has_begun:  # by another host's writer, perhaps, whose disk was full
        part.touch()
    to_nexus(scan(), tmp_path / "f.nxs")
    assert (lock.exists(), part.exists()) == (has_begun, has_begun)


@pytest.mark.parametrize("error", [OSError(errno.EROFS, "read-only"), FileNotFoundError()])
def test_a_lock_that_can_not_be_removed_is_told_of(tmp_path: Path, monkeypatch: Any, error: OSError) -> None:
    unlink = os.unlink

    def unlinked(path: str) -> None:
        if Path(path).name == ".f.nxs.lock":
            raise error
        unlink(path)

    monkeypatch.setattr(os, "unlink", unlinked)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", NexusWarning)
        to_nexus(scan(), tmp_path / "f.nxs")
    said = {str(warning.message) for warning in found}
    if isinstance(error, FileNotFoundError):
        assert not said
    else:
        assert said == {
            f"{tmp_path / '.f.nxs.lock'}: can't be removed (read-only), and locks nothing any more; remove it"
        }
    assert signals_of(tmp_path / "f.nxs") == ["counts"]


# --- what can't be written -------------------------------------------------------------------------------------


class Odd:
    """Something that HDF5 has no way to hold."""


def cyclic() -> dict[str, Any]:
    tree: dict[str, Any] = {"a": {}}
    tree["a"]["b"] = tree
    return tree


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (scan().assign_coords(odd=("scan", np.array([Odd()] * 6))), "counts/odd"),
        (scan().assign_coords(ragged=("scan", np.array([[1], [1, 2], [], [], [], []], dtype=object))), "counts/ragged"),
        (scan().assign_coords({"a/b": ("scan", np.arange(6))}), "rename"),
        (scan().assign_attrs(tree=cyclic()), "contains itself"),
        (scan().assign_attrs(tree={"a": Odd()}), "original_metadata/tree/a: a value of type Odd"),
        (scan().assign_attrs(odd=Odd()), "attribute 'odd'"),
        (scan().assign_attrs(tree={1: 2}), "is no text"),
        (scan().assign_coords(counts_offset=1.0), "scales 'counts'"),
        (scan().stack(pixel=("y", "x")), "reset_index"),
    ],
)
def test_what_can_not_be_stored_is_named_before_the_first_byte(tmp_path: Path, array: Any, said: str) -> None:
    with pytest.raises(NexusError, match=said):
        to_nexus(array, tmp_path / "f.nxs")
    assert folder(tmp_path) == []


@pytest.mark.parametrize("count", [60_000, 65_000, 65_472, 65_473, 800_000])
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_attributes_of_any_size_are_written(tmp_path: Path, count: int, libver: Any) -> None:
    large = np.arange(count, dtype="u1")
    with h5py.File(tmp_path / "f.h5", "w", libver=libver) as file:
        file.create_dataset("chunked", data=FRAMES, chunks=(1, 40, 50), compression="gzip")
        file["plain"], file["none"] = [1, 2], h5py.Empty("f4")
        if libver == "latest" or count <= 65_472:
            for item in file.values():
                item.attrs["x"] = large
    tree = xr.open_datatree(tmp_path / "f.h5", engine="nexus")
    for variable in tree.variables.values():
        variable.attrs.update(x=large, texts=["µ"] * 10_000)
    tree.attrs.update(x=large, none={"value": h5py.Empty("f4"), "attrs": {"x": large}})
    to_nexus(tree, tmp_path / "g.nxs")
    assert xr.open_datatree(tmp_path / "g.nxs", engine="nexus").identical(tree)
    nexus_xr.repack(tmp_path / "g.nxs", tmp_path / "h.nxs", compression="lzf")
    assert xr.open_datatree(tmp_path / "h.nxs", engine="nexus").identical(tree)


@pytest.mark.parametrize("name", ["x", "xxxxxxx", "größe" * 20])
@pytest.mark.parametrize(
    "dtype",
    [
        "u1",
        "f8",
        "S7",
        [("some name", "f4"), ("b", "i4", (2,))],
        h5py.string_dtype(),
        "?",
        "c16",
        [("text", h5py.string_dtype()), ("b", "i2")],
        [("texts", h5py.string_dtype(), (2,)), ("b", "i2")],
        [("list", h5py.vlen_dtype("i4")), ("f", "f8")],
    ],
)
@pytest.mark.parametrize("rest", [(), (1,), (1, 1)])
def test_it_is_known_which_attributes_fit_into_an_old_header(
    tmp_path: Path, name: str, dtype: Any, rest: tuple[int, ...]
) -> None:
    dtype = np.dtype(dtype)
    size = new_objects.stored_bytes(dtype, ())
    counts = range(64_000 // size, 65_536 // size + 1)
    most = max(count for count in counts if new_objects.fits_old_header(name, dtype, (count, *rest)))
    assert most < counts[-1]
    for count in (most, most + 1):
        values = np.zeros((count, *rest), dtype)
        for part in [values[each] for each in dtype.names] if dtype.names else [values]:
            if part.dtype.hasobject:
                empty = np.empty(0, "i4") if h5py.check_vlen_dtype(part.dtype) == np.dtype("i4") else b""
                part[...] = np.fromiter(repeat(empty, part.size), object).reshape(part.shape)
        with h5py.File(tmp_path / "f.h5", "w") as file, suppress(OSError):
            file.attrs.create(name, values, dtype=dtype)
        try:
            with h5py.File(tmp_path / "f.h5") as file:
                is_there = file.attrs[name].shape == values.shape
        except (OSError, KeyError, RuntimeError):
            is_there = False
        assert is_there == (count == most)


def test_sparse_arrays_are_refused(tmp_path: Path) -> None:
    sparse = pytest.importorskip("sparse")
    for values in (sparse.COO.from_numpy(FRAMES), da.from_array(FRAMES).map_blocks(sparse.COO.from_numpy)):
        with pytest.raises(NexusError, match=r"dense|NumPy array"):
            to_nexus(scan(values), tmp_path / "f.nxs")


def test_blocks_of_unknown_lengths_are_refused(tmp_path: Path) -> None:
    numbers = da.arange(10, chunks=3)
    chosen = xr.DataArray(numbers[numbers > 4], dims="n", name="chosen")
    with pytest.raises(NexusError, match=r"chosen/chosen: has blocks of unknown lengths.*compute_chunk_sizes\(\)"):
        to_nexus(chosen, tmp_path / "f.nxs")
    chosen.data.compute_chunk_sizes()
    to_nexus(xr.DataArray(chosen.data, dims="n", name="chosen"), tmp_path / "f.nxs")
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs"), np.arange(5, 10))


@pytest.mark.parametrize("obj", [None, 5, "text", [3], {}, xr.Dataset(), []])
def test_what_is_nothing_to_write_is_refused(tmp_path: Path, obj: Any) -> None:
    with pytest.raises(NexusError):
        to_nexus(obj, tmp_path / "f.nxs")
    assert folder(tmp_path) == []


@pytest.mark.parametrize("where", ["nowhere/f.nxs", ".", "f.nxs/g.nxs"])
def test_where_nothing_can_be_written_an_error_says_so(tmp_path: Path, where: str) -> None:
    (tmp_path / "f.nxs").write_bytes(b"")
    with pytest.raises(NexusFileError, match=r"can't be written|is a directory"):
        to_nexus(scan(), tmp_path / where)


# --- failures --------------------------------------------------------------------------------------------------


def failing(block: Any, block_info: Any = None) -> Any:
    if block_info and block_info[0]["chunk-location"][0] == 4:
        raise ZeroDivisionError("in a task")
    return block


def test_an_error_in_a_task_leaves_the_old_file(tmp_path: Path) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    values = da.from_array(FRAMES, chunks=(1, 40, 50)).map_blocks(failing, dtype="u2")
    with pytest.raises(ZeroDivisionError) as caught:
        to_nexus(scan(values), tmp_path / "f.nxs")
    assert caught.value.__notes__ == [f"while writing {tmp_path / 'f.nxs'}:/entry1/counts/counts"]
    assert folder(tmp_path) == ["f.nxs"]
    assert only_signal(tmp_path / "f.nxs").identical(scan())


KILLED = r"""
import sys
import dask.array as da, numpy as np, xarray as xr, nexus_xr

def ask(block, block_info=None):
    sys.stdout.write("writing\n")
    sys.stdout.flush()
    sys.stdin.readline()
    return block

values = da.random.random((100, 100, 100), chunks=(1, 100, 100)).map_blocks(ask)
nexus_xr.to_nexus(xr.DataArray(values, name="new"), sys.argv[1])
"""


@pytest.mark.parametrize("blocks", [1, 10, 60])
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path, blocks: int) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "f.nxs")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        for number in range(blocks):
            if number:
                print("go on", file=writer.stdin, flush=True)
            assert writer.stdout.readline() == "writing\n"
        writer.kill()
    assert only_signal(tmp_path / "f.nxs").identical(scan())
    left = folder(tmp_path)
    assert len(left) > 1 or blocks == 1  # dask tries a block before there is a file
    to_nexus(scan()[0], tmp_path / "g.nxs")
    assert folder(tmp_path) == [*left, "g.nxs"]
    to_nexus(scan()[0], tmp_path / "f.nxs")
    assert folder(tmp_path) == ["f.nxs", "g.nxs"]


TOO_LARGE = """
import resource, signal, sys
import dask.array as da, numpy as np, xarray as xr, nexus_xr

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
values = np.random.default_rng(0).random((8, 400, 400))
values = values if sys.argv[2] == "numpy" else da.from_array(values, chunks=(1, 400, 400))
try:
    nexus_xr.to_nexus(xr.DataArray(values, name="new"), sys.argv[1], compression=None)
except nexus_xr.NexusFileError as error:
    print(error)
"""


@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_a_full_disk_is_an_error_and_leaves_the_old_file(tmp_path: Path, kind: str) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    assert "f.nxs:/entry1/new/new: can't be written" in run(TOO_LARGE, tmp_path / "f.nxs", kind)
    assert folder(tmp_path) == ["f.nxs"]
    assert only_signal(tmp_path / "f.nxs").identical(scan())


def sparse(path: Path, size: int) -> Path:
    """A file most of which nobody has written, where the file system leaves that out."""
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group.parent.attrs["NX_class"], group.attrs["NX_class"], group.attrs["signal"] = "NXentry", "NXdata", "d"
        values = group.create_dataset("d", (size,), "u1")
        values[:3], values[size // 2 : size // 2 + 5000], values[-3:] = 1, 2, 3
    if path.stat().st_blocks * 512 > 1 << 20:
        pytest.skip("the file system leaves nothing out")
    return path


def test_a_copy_has_no_blocks_where_the_file_has_none(tmp_path: Path) -> None:
    path, size = sparse(tmp_path / "f.nxs", 3 << 30), 3 << 30
    to_nexus(scan(), path, mode="a")
    assert path.stat().st_size > size
    assert path.stat().st_blocks * 512 < 4 << 20
    with h5py.File(path) as file:
        values = file["entry/data/d"]
        assert [int(values[at]) for at in (0, 2, 3, size // 2, size // 2 + 4999, size - 3)] == [1, 1, 0, 2, 2, 3]
        assert not values[size // 2 + 5000 :: 4096][:-1].any()
        np.testing.assert_array_equal(file["entry1/counts/counts"], FRAMES)


@pytest.mark.parametrize("at_once", [1000, 1 << 20])
@pytest.mark.parametrize("end", [0, 100_000, 3])
def test_a_copy_of_what_has_holes_has_the_same_bytes(
    tmp_path: Path, end: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_copy, "_COPIED_AT_ONCE", at_once)
    path = sparse(tmp_path / "f.nxs", 200_000)
    with open(path, "r+b") as stream:
        stream.truncate(path.stat().st_size + end)  # a hole at the end, or none
    file_copy.copy_file(File(path), str(tmp_path / "g.nxs"))
    assert (tmp_path / "g.nxs").read_bytes() == path.read_bytes()


LONG_AXIS = """
import resource, sys
import numpy as np, xarray as xr, nexus_xr

limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), limits[1]))
x = np.arange(4000.0)
try:
    nexus_xr.to_nexus(xr.DataArray(x, {"x": x}, name="new"), sys.argv[1])
except nexus_xr.NexusFileError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 10_000, 50_000])
def test_what_libhdf5_can_not_write_is_said_in_a_line_of_the_target(tmp_path: Path, limit: int) -> None:
    assert run(LONG_AXIS, tmp_path / "f.nxs", limit) == f"{tmp_path / 'f.nxs'}: can't be written (File too large)\n"
    assert folder(tmp_path) == []


# --- the accessor ----------------------------------------------------------------------------------------------


def test_the_example_stores_a_file_anew(tmp_path: Path) -> None:
    dark = xr.DataArray(np.full((2, 40, 50), 1, "u2"), dims=("n", "y", "x"), name="dark")
    to_nexus(scan(), tmp_path / "a.nxs")
    to_nexus(dark, tmp_path / "dark.nxs")
    example = Path(__file__).parents[1] / "examples" / "repack.py"
    command = [sys.executable, str(example), "a.nxs", "b.nxs", "--dark", "dark.nxs", "--compression", "blosc"]
    ran = subprocess.run(command, cwd=tmp_path, check=False, timeout=PATIENCE_SECONDS, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    back = only_signal(tmp_path / "b.nxs")
    np.testing.assert_array_equal(back, FRAMES - 1.0)
    assert back.attrs["sample"] == scan().attrs["sample"]


def test_the_default_view_is_what_nexus_says(tmp_path: Path) -> None:
    array = scan()
    assert array.nexus.default_view().dims == ("y", "x")
    array.encoding["default_slice"] = {"scan": 3}
    np.testing.assert_array_equal(array.nexus.default_view(), FRAMES[3])
    array.attrs["interpretation"] = "spectrum"
    assert array.nexus.default_view().dims == ("x",)
    pytest.importorskip("matplotlib").use("Agg")
    array.nexus.plot()
    array.to_dataset().nexus.plot()


# --- what strangers write -------------------------------------------------------------------------------------------


def test_a_variable_of_the_name_of_what_is_beside_it_is_written(tmp_path: Path) -> None:
    dataset = xr.Dataset({"auxiliary": ("x", np.ones(3))}, attrs={"sample": {"name": {"value": "Fe"}}})
    to_nexus(dataset, tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    np.testing.assert_array_equal(opened["auxiliary"], dataset["auxiliary"])
    assert opened.attrs["sample"]["name"]["value"] == "Fe"


DEEP: dict[str, Any] = {}
for _ in range(3000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"a\0b": 1}, "has a zero in it"),
        ({"flags": np.ma.array([1, 2], mask=[False, True])}, "masked elements"),
        ({"title": "\ud8e4"}, "no Unicode"),
        ({"title": "t\0"}, "with a zero in it"),
        ({"tree": {"title": {"value": "t\0"}}}, "with a zero in it"),
        ({"tree": {"n": {"value": 1, "attrs": 3}}}, "tree/n: its attrs are of type int, and no dictionary"),
        ({"titles": ["\ud8e4", "b"]}, "no Unicode"),
        ({"tree": {"flags": {"value": np.ma.array([1, 2], mask=[False, True])}}}, "masked elements"),
        ({"tree": DEEP}, "lies deeper than"),
    ],
)
def test_what_hdf5_has_no_place_for_is_named(tmp_path: Path, attributes: dict[str, Any], reason: str) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    before = (tmp_path / "f.nxs").read_bytes()
    with pytest.raises(NexusError, match=reason):
        to_nexus(xr.DataArray([1, 2], dims="x", name="counts", attrs=attributes), tmp_path / "f.nxs")
    assert (tmp_path / "f.nxs").read_bytes() == before


def test_a_list_of_bounds_is_an_attribute_as_any_other(tmp_path: Path) -> None:
    to_nexus(xr.DataArray([1, 2], dims="x", name="counts", attrs={"bounds": ["a", "b"]}), tmp_path / "f.nxs")
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").counts.attrs["bounds"].tolist() == ["a", "b"]


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NexusFileError, match="pipe: is a device, a pipe or a socket"):
        to_nexus(scan(), tmp_path / "pipe")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert folder(tmp_path) == ["pipe"]


def test_names_are_unicode_and_objects_in_order_without_times(tmp_path: Path) -> None:
    counts = xr.DataArray(np.ones((2, 2)), dims=("b", "a"), name="größe", attrs={"z": 1, "y": {"ü": {"value": 2}}})
    paths = [tmp_path / name for name in ("made.nxs", "copied.nxs", "repacked.nxs")]
    to_nexus(counts, paths[0])
    to_nexus(xr.open_dataset(paths[0], engine="nexus"), paths[1])
    nexus_xr.repack(paths[1], paths[2])
    in_order = h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED
    for path in paths:
        with h5py.File(path) as file:
            names: list[str] = []
            file.visit(names.append)
            assert {"größe", "ü"} <= {name.rpartition("/")[2] for name in names}
            for each in names:
                parent, _, name = f"/{each}".rpartition("/")
                group, item = file[parent or "/"], file[each]
                assert group.id.links.get_info(name.encode()).cset == h5t.CSET_UTF8
                assert h5o.get_info(item.id).mtime == 0
                assert item.id.get_create_plist().get_attr_creation_order() == in_order
                assert group.id.get_create_plist().get_link_creation_order() == in_order


@pytest.mark.parametrize("bounds", [[[0.0, 1], [1, 2]], [[0.0, 0.5], [1, 2]]])
@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: xr.DataTree(data)])
def test_bounds_before_the_data_are_no_signal(tmp_path: Path, bounds: list[list[float]], wrap: Any) -> None:
    time = xr.DataArray([0.5, 1.5], dims="time", attrs={"bounds": "time_bnds"})
    data = {"time_bnds": (("time", "nv"), bounds), "time_errors": ("time", [1.0, 1.0]), "rain": ("time", [1.0, 2.0])}
    to_nexus(wrap(xr.Dataset(data, {"time": time})), tmp_path / "f.nxs")
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert found.rain.values.tolist() == [1.0, 2.0]
    with h5py.File(tmp_path / "f.nxs") as file:
        signals = [file.attrs.get("signal")]
        file.visititems(lambda _, item: signals.append(item.attrs.get("signal")))
    assert set(signals) == {None, "rain"}


def test_bounds_alone_are_the_signal_only_where_they_are_no_edges(tmp_path: Path) -> None:
    time = xr.DataArray([0.5, 1.5], dims="time", attrs={"bounds": "time_bnds"})
    bounds = xr.Dataset({"time_bnds": (("time", "nv"), [[0.0, 1], [1, 2]])}, {"time": time})
    with pytest.raises(NexusError, match="there is no variable to write"):
        to_nexus(bounds, tmp_path / "f.nxs")
    bounds["time_bnds"][0, 1] = 0.5
    to_nexus(bounds, tmp_path / "f.nxs")
    assert xr.open_dataset(tmp_path / "f.nxs", engine="nexus").time_bnds.values.tolist() == [[0, 0.5], [1, 2]]


def test_odd_targets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd: list[Any] = [b"bytes.nxs", io.StringIO()]
    to_nexus(scan(), odd[0])
    assert only_signal(tmp_path / "bytes.nxs").identical(scan())
    with pytest.raises(NexusFileError, match="no file has a name with a zero in it"):
        to_nexus(scan(), "a\0b.nxs")
    with pytest.raises(NexusFileError, match=r"f\.nxs: can't be written, as there is no folder .*/gone; make it"):
        to_nexus(scan(), "gone/f.nxs")
    closed = io.BytesIO()
    closed.close()
    with open("bytes.nxs", "rb") as reading:
        for stream, what in ((closed, "closed"), (odd[1], "for text"), (reading, "for reading")):
            with pytest.raises(NexusError, match=f"is {what}; give a stream that bytes"):
                to_nexus(scan(), stream)
    assert folder(tmp_path) == ["bytes.nxs"]


@pytest.mark.parametrize("unit", ["Y", "M", "W", "D", "h"])
def test_dates_of_any_unit_that_come_later_are_written(tmp_path: Path, unit: str) -> None:
    dates = np.array(["1999", "2024", "NaT"], f"M8[{unit}]")
    array = xr.DataArray(da.from_array(dates, chunks=2), dims="x", name="n")
    to_nexus(array, tmp_path / "f.nxs")
    np.testing.assert_array_equal(only_signal(tmp_path / "f.nxs").values, dates.astype("M8[s]"))


@pytest.mark.parametrize("name", [1, 1.5, ("a", 1), None])
@pytest.mark.parametrize("options", [{}, {"mode": "a"}, {"append_dim": "x"}])
def test_names_of_variables_that_are_no_text_are_named(tmp_path: Path, name: Any, options: dict[str, Any]) -> None:
    to_nexus(xr.DataArray([1, 2], dims="x", name="n"), tmp_path / "f.nxs", unlimited_dims="x")
    before = (tmp_path / "f.nxs").read_bytes()
    data = xr.Dataset({name: ("x", [1, 2])})
    for each in (data, xr.DataTree(data)) if not options else (data,):
        with pytest.raises(NexusError, match=r"the name of a variable is no text; rename it"):
            to_nexus(each, tmp_path / "f.nxs", **options)
    assert (tmp_path / "f.nxs").read_bytes() == before


@pytest.mark.parametrize(
    ("element", "first"),
    [
        (h5py.string_dtype(), np.array(["a", "µ"], object)),
        (np.dtype([("x", "f4"), ("n", "i2")]), np.array([(1.5, 2), (2.5, 3)], [("x", "f4"), ("n", "i2")])),
        (np.dtype("i2"), np.array([1, 2], "i2")),
        (np.dtype("S3"), np.array([b"a", b"abc"], "S3")),
        (h5py.vlen_dtype("i4"), np.empty(0, object)),
    ],
)
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
@pytest.mark.parametrize("layout", ["entry", "inplace"])
def test_elements_of_varying_length_keep_their_type(
    tmp_path: Path, element: Any, first: Any, shape: tuple[int, ...], layout: str
) -> None:
    kind = h5py.vlen_dtype(element)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        fill(file, {"entry": nxentry({"data": nxdata({"s": np.arange(4.0)}, signal="s")})})
        points = file["entry"].create_dataset("points", shape, kind)
        points[(0,) * len(shape)] = first
        stored = points.id.get_type()
        before = points[()]
    ds = xr.open_dataset(tmp_path / "f.h5", engine="nexus")
    to_nexus(ds, tmp_path / "g.nxs", layout=layout)
    with h5py.File(tmp_path / "g.nxs") as file:
        path = "entry/points" if layout == "inplace" else "entry1/auxiliary/original_metadata/points"
        assert file[path].id.get_type() == stored
        assert same_tree({"value": file[path][()]}, {"value": before})
    assert xr.open_dataset(tmp_path / "g.nxs", engine="nexus").identical(ds)


def test_lengths_of_time_in_metadata_come_back(tmp_path: Path) -> None:
    records = np.array([(1, np.timedelta64(3, "s"))], [("a", "i4"), ("t", "m8[s]")])
    with h5py.File(tmp_path / "old.nxs", "w") as file:
        entry = file.create_group("entry/data").parent
        entry.attrs["NX_class"] = "NXentry"
        entry["data"].attrs.update(NX_class="NXdata", signal="y")
        entry["data/y"] = np.arange(3.0)
        for name, kind in {"seconds": "m8[s]", "others": ">m8[25us]"}.items():
            entry[name] = np.array([1, 2], kind).astype(h5py.opaque_dtype(np.dtype(kind)))
        entry["data"].attrs["waited"] = np.array([1, 2], "m8[ms]").astype(h5py.opaque_dtype(np.dtype("m8[ms]")))
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    dataset.attrs["records"] = {"value": records}
    to_nexus(dataset, tmp_path / "new.nxs")
    again = xr.open_dataset(tmp_path / "new.nxs", engine="nexus")
    assert again.attrs["seconds"]["value"].dtype == np.dtype("m8[s]")
    assert again.attrs["others"]["value"].dtype == np.dtype(">m8[25us]")
    assert again.attrs["others"]["value"].astype("i8").tolist() == [1, 2]
    assert again.attrs["records"]["value"] == records[0]
    np.testing.assert_array_equal(again.attrs["data"]["attrs"]["waited"], np.array([1, 2], "m8[ms]"))


def test_lengths_of_time_without_a_unit_are_named(tmp_path: Path) -> None:
    with pytest.raises(NexusError, match="'waited': an array of timedelta64 can't be stored"):
        to_nexus(scan().assign_attrs(waited=np.array([1, 2], "m8")), tmp_path / "g.nxs")
    assert not list(tmp_path.iterdir())


def test_lists_of_arrays_say_how_the_rest_is_written(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "old.nxs", "w") as file:
        file["x"] = np.arange(5)
        inner = h5t.array_create(h5t.IEEE_F32LE, (2,))
        h5d.create(file.id, b"lists", h5t.vlen_create(inner), h5s.create_simple((2,)))
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus", dataset_path="/x")
    with pytest.raises(NexusError, match=r"lists: its elements are lists of arrays.*skip_metadata_key.*inplace"):
        to_nexus(dataset, tmp_path / "new.nxs")
    to_nexus(dataset, tmp_path / "new.nxs", skip_metadata_key=["lists"])
    to_nexus(dataset, tmp_path / "same.nxs", layout="inplace")
    with h5py.File(tmp_path / "same.nxs") as file:
        assert file["lists"].id.get_type() == h5t.vlen_create(inner)


def test_elements_that_are_of_another_type_now_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("points", (2,), h5py.vlen_dtype(h5py.string_dtype()))
    points = nexus_xr.read_metadata(tmp_path / "f.h5")["points"]
    points = points["value"] if isinstance(points, dict) else points
    points[0] = np.array([Odd()], object)
    with pytest.raises(NexusError, match="an array of object can't be stored"):
        to_nexus(scan().assign_attrs(points=points), tmp_path / "g.nxs")


# --- what libhdf5 copies wrongly -------------------------------------------------------------------------------------


@contextmanager
def sized(path: Path, sizes: tuple[int, int] = (8, 8)) -> Iterator[h5py.File]:
    """A new file whose addresses and lengths have so many bytes."""
    creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
    creation.set_sizes(*sizes)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    with h5py.File(h5f.create(bytes(path), h5f.ACC_TRUNC, creation, access)) as file:
        yield file


def write_all_kinds(group: h5py.Group) -> None:
    """Datasets of every type and storage, each with an attribute."""
    numbers = np.arange(20.0).reshape(10, 2)
    group["contiguous"] = numbers
    group["scalar"], group["none"], group["empty"] = 1.5, h5py.Empty("f4"), np.empty((0, 3))
    group.create_dataset("unwritten", (3,), "i4", fillvalue=7)
    partly = group.create_dataset("partly", (10, 2), "i2", chunks=(3, 2), maxshape=(None, 2), fillvalue=7)
    partly[4] = 1
    filtered: dict[str, dict[str, Any]] = {
        "gzip": {"compression": "gzip", "shuffle": True, "fletcher32": True},
        "lzf": {"compression": "lzf"},
        "bitshuffle": dict(hdf5plugin.Bitshuffle(nelems=16)),
        "blosc": dict(hdf5plugin.Blosc()),
        "scaled": {"scaleoffset": 2},
    }
    for name, options in filtered.items():
        group.create_dataset(name, data=numbers, chunks=(4, 2), **options)
    compact = h5p.create(h5p.DATASET_CREATE)
    compact.set_layout(h5d.COMPACT)
    h5d.create(group.id, b"compact", h5t.STD_I16BE, h5s.create_simple((3,)), compact).write(
        h5s.ALL, h5s.ALL, np.arange(3, dtype=">i2")
    )
    padded = h5t.C_S1.copy()
    padded.set_size(4)
    padded.set_strpad(h5t.STR_SPACEPAD)
    h5d.create(group.id, b"padded", padded, h5s.create_simple((2,))).write(
        h5s.ALL, h5s.ALL, np.array([b"ab  ", b"\xb5m c"], "S4"), padded
    )
    text = h5py.string_dtype()
    group.create_dataset("text", data=np.array(["a", "µm", b"\xb5m", ""], object), dtype=text)
    group.create_dataset("chunks of text", data=np.array(["a", "b", "c"], object), dtype=text, chunks=(2,))
    group.create_dataset("title", data="µ", dtype=text)
    ragged = group.create_dataset("ragged", (2,), h5py.vlen_dtype("i2"))
    ragged[0], ragged[1] = [1, 2], [3]
    group["records"] = np.array([(1, "a"), (2, "bc")], [("n", "i4"), ("t", text)])
    group.create_dataset("enum", data=[1, 0], dtype=h5py.enum_dtype({"off": 0, "on": 1}))
    group.create_dataset("array", (2,), np.dtype(("f4", (3,))))[...] = np.ones((2, 3), "f4")
    group.create_dataset("array of text", (2,), np.dtype((text, (2,))))[...] = np.array(
        [["a", "b"], ["c", "d"]], object
    )
    group["bytes"] = np.array([b"ab", b"cd"], "V2")
    group["type"] = np.dtype([("x", "f4")])
    group.create_dataset("of named type", data=np.ones(2, [("x", "f4")]), dtype=group["type"])
    for name, item in group.items():
        item.attrs["note"] = name


def same_storage(a: h5py.HLObject, b: h5py.HLObject) -> bool:
    """Whether two datasets, or named datatypes, are of the same type, and stored in the same way."""
    if dict(a.attrs) != dict(b.attrs) or isinstance(a, h5py.Datatype):
        return dict(a.attrs) == dict(b.attrs) and bool(a.id == b.id or a.dtype == b.dtype)
    # In a file with lengths of four bytes, libhdf5 takes no end for the longest of them.
    ends = [[None if end == (1 << 32) - 1 else end for end in each.maxshape or ()] for each in (a, b)]
    ways = [(each.chunks, each.id.get_create_plist().get_layout(), each._filters) for each in (a, b)]
    filled = [np.asarray(each.fillvalue).tolist() for each in (a, b)]
    return (ends[0], ways[0], filled[0]) == (ends[1], ways[1], filled[1]) and bool(a.id.get_type() == b.id.get_type())


def same_content(a: h5py.Group, b: h5py.Group) -> list[str]:
    """Names of what two groups have alike, in type, storage, values and attributes."""
    return [
        name
        for name in a
        if name in b
        and same_storage(a[name], b[name])
        and (isinstance(a[name], h5py.Datatype) or same_tree({"value": a[name][()]}, {"value": b[name][()]}))
    ]


SIZES = [(4, 4), (4, 8), (8, 4), (2, 4), (8, 8)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("way", ["repack", "consolidate", "into such a file"])
@pytest.mark.parametrize("at_once", [1, 100, 16 << 20])
def test_what_is_of_a_file_with_other_addresses_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, int], way: str, at_once: int
) -> None:
    monkeypatch.setattr(copying, "_COPIED_AT_ONCE", at_once)
    source, target = tmp_path / "source.h5", tmp_path / "target.h5"
    is_into = way == "into such a file"
    with sized(source, (8, 8) if is_into else sizes) as file:
        write_all_kinds(file.create_group("all"))
    if way == "repack":
        nexus_xr.repack(source, target)
    else:
        with sized(target, sizes if is_into else (8, 8)) as file:
            file["all"] = h5py.ExternalLink("source.h5", "/all")
        nexus_xr.consolidate(target)
    with h5py.File(source) as old, h5py.File(target) as new:
        assert same_content(old["all"], new["all"]) == list(old["all"])
        assert new.id.get_create_plist().get_sizes() == (sizes if is_into else (8, 8))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("open_it", [xr.open_dataset, xr.open_datatree])
def test_data_of_a_file_with_other_addresses_are_written(tmp_path: Path, sizes: tuple[int, int], open_it: Any) -> None:
    with sized(tmp_path / "f.nxs", sizes) as file:
        more = Field(np.arange(10), chunks=(4,), compression="gzip")
        data = nxdata({"counts": np.arange(10.0), "x": np.arange(10), "more": more}, signal="counts", axes=["x"])
        fill(file, {"entry": nxentry({"data": data})})
        write_all_kinds(file["entry"].create_group("all"))
    asked = open_it(tmp_path / "f.nxs", engine="nexus")
    to_nexus(asked, tmp_path / "g.nxs")
    assert open_it(tmp_path / "g.nxs", engine="nexus").identical(asked)


@pytest.mark.parametrize("sizes", SIZES)
def test_data_are_added_to_a_file_with_other_addresses(tmp_path: Path, sizes: tuple[int, int]) -> None:
    to_nexus(scan(), tmp_path / "f.nxs")
    with sized(tmp_path / "g.nxs", sizes):
        pass
    to_nexus(only_signal(tmp_path / "f.nxs"), tmp_path / "g.nxs", mode="a")
    assert only_signal(tmp_path / "g.nxs").identical(scan())


@pytest.mark.parametrize("chunks", [None, (1,), (2,)])
@pytest.mark.parametrize("written", [[], [1], [0, 1, 2]])
@pytest.mark.parametrize("fill", ["none", ""])
def test_text_with_a_value_where_nobody_has_written_is_written(
    tmp_path: Path, chunks: tuple[int, ...] | None, written: list[int], fill: str
) -> None:
    source, text = tmp_path / "f.nxs", h5py.string_dtype()
    with h5py.File(source, "w") as file:
        file.create_group("entry").attrs["NX_class"] = "NXentry"
        end = None if chunks is None else (None,)
        made = file.create_dataset("entry/t", (3,), text, fillvalue=fill, chunks=chunks, maxshape=end)
        for index in written:
            made[index] = b"\xb5m"
    values = [b"\xb5m" if index in written else fill.encode() for index in range(3)]
    with h5py.File(tmp_path / "master.nxs", "w") as file:
        file["entry/t"] = h5py.ExternalLink("f.nxs", "/entry/t")
    nexus_xr.consolidate(tmp_path / "master.nxs")
    nexus_xr.repack(source, tmp_path / "repacked.nxs")
    to_nexus(xr.open_datatree(source, engine="nexus"), tmp_path / "tree.nxs")
    for name in ("master.nxs", "repacked.nxs", "tree.nxs"):
        with h5py.File(tmp_path / name, "r+") as file:
            copy = file["entry/t"]
            assert copy[()].tolist() == values, name
            assert (copy.fillvalue, copy.chunks, copy.maxshape) == (fill.encode(), chunks, end or (3,))
            if chunks:
                copy.resize((4,))
                assert copy[3] == fill.encode()


@pytest.mark.parametrize("name", ["_ADDED_ATTRIBUTES", "_ARRAY_DIMENSIONS", "numpy_dtype"])
def test_attributes_with_a_meaning_of_their_own_are_refused(tmp_path: Path, name: str) -> None:
    array = xr.DataArray([1.0, 2.0], dims="x", name="n", attrs={"units": "m", name: ["units"]})
    with pytest.raises(NexusError, match=f"attribute '{name}' has a meaning of its own here; rename it"):
        to_nexus(array, tmp_path / "f.nxs")


def test_no_attributes_but_labels_are_hidden_as_added(tmp_path: Path) -> None:
    to_nexus(xr.DataArray([1.0, 2.0], dims="x", name="n", attrs={"units": "m"}), tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs", "a") as file:
        file["entry1/n/n"].attrs["_ADDED_ATTRIBUTES"] = ["units", "DIMENSION_LABELS"]
        file["entry1/n/n"].attrs["DIMENSION_LABELS"] = ["dim_0"]
    assert only_signal(tmp_path / "f.nxs").attrs["units"] == "m"
    assert "DIMENSION_LABELS" not in only_signal(tmp_path / "f.nxs").attrs


@pytest.mark.parametrize("way", ["to_nexus", "to_json", "to_csv", "in place", "append", "region"])
def test_variables_are_looked_up_no_oftener_where_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """To make an array of one, xarray looks at all of them."""
    look_up = xr.Dataset.__getitem__
    asked: list[Any] = []

    def noted(dataset: xr.Dataset, key: Any) -> Any:
        asked.append(key)
        return look_up(dataset, key)

    def times_of(count: int) -> int:
        dataset = xr.Dataset({f"v{number}": ("x", np.arange(4.0)) for number in range(count)})
        path = tmp_path / f"{way}_{count}.nxs"
        dataset.nexus.to_nexus(path, unlimited_dims="x")
        opened = xr.open_dataset(path, engine="nexus")
        writing: dict[str, Callable[[], Any]] = {
            "in place": lambda: (2 * opened.load()).nexus.to_nexus(tmp_path / "new.nxs", layout="inplace"),
            "append": lambda: dataset.nexus.to_nexus(path, append_dim="x"),
            "region": lambda: dataset.nexus.to_nexus(path, region={"x": slice(0, 4)}),
        }
        asked.clear()
        with monkeypatch.context() as patched:
            patched.setattr(xr.Dataset, "__getitem__", noted)
            writing.get(way, lambda: getattr(dataset.nexus, way)(tmp_path / "new"))()
        return len(asked)

    assert times_of(9) == times_of(3)
