"""Whatever a file holds, it opens, or a NexusError says why not."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nexus_xr
from nexus_xr import NexusError, NexusFileError, NexusWarning
from nexus_xr.hdf5.io.naming.reach import EVERYWHERE

from .files import Field, fill, scan_file, write_tree

# Few names, so that attributes often name what is there, and now and then what has another type.
NAMES = st.sampled_from(
    [
        "data",
        "x",
        "y",
        "x_errors",
        "errors",
        "dim_0",
        "x_bounds",
        "bnds",
        "attrs",
        "value",
        "keys",
        "entry",
        "c.d",
        "é",
        "x_scaling_factor",
        "data_offset",
        "..",
        "data_errors",
        "x_dim_0",
    ]
)
TEXT = NAMES | st.sampled_from(["NXdata", "NXentry", "SASdata", ".", "", "x:y", "[x,y]", "1", "/entry/data", "\udcb5"])
SHAPES = st.sampled_from([(), (1,), (3,), (4,), (3, 4), (4, 3), (0,), (2, 0), (3, 3)])
DTYPES = st.sampled_from(["i1", "u2", ">f4", "f8", "?", "c16", "S3", "i4,f4", "V3", "f2", object])


def arrays() -> st.SearchStrategy[Any]:
    def array(shape: tuple[int, ...], dtype: Any) -> Any:
        if dtype is object:
            return np.full(shape, "text", dtype=h5py.string_dtype())
        return np.zeros(shape, dtype)

    return st.builds(array, SHAPES, DTYPES)


ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        [
            "NX_class",
            "signal",
            "axes",
            "default",
            "units",
            "axis",
            "primary",
            "target",
            "uncertainties",
            "chunks",
            "x_indices",
            "y_indices",
            "auxiliary_signals",
            "default_slice",
            "interpretation",
            "I_axes",
            "canSAS_class",
            "long_name",
            "bounds",
            "file_writer",
        ]
    ),
    st.one_of(
        TEXT,
        st.lists(TEXT, min_size=1, max_size=3).map(
            lambda texts: np.array([t.encode("utf-8", "surrogateescape") for t in texts])
        ),
        TEXT.map(lambda text: np.bytes_(text.encode("utf-8", "surrogateescape"))),
        st.integers(-3, 5),
        st.floats(),
        hnp.arrays("i4", st.integers(0, 3), elements=st.integers(-1, 4)),
        st.just(h5py.Empty("f4")),
        st.just(np.zeros((2, 2))),
        st.just(True),
    ),
    max_size=5,
)
LINKS = st.one_of(
    TEXT.filter(bool).map(lambda path: h5py.SoftLink(path.encode("utf-8", "surrogateescape"))),
    st.sampled_from([h5py.SoftLink("/"), h5py.SoftLink("/entry"), h5py.SoftLink("."), h5py.ExternalLink("no.h5", "/")]),
    st.just(h5py.ExternalLink("file.nxs", "/entry")),
)


def with_attributes(attributes: dict[str, Any], members: dict[str, Any]) -> dict[str, Any]:
    return {**{f"@{name}": value for name, value in attributes.items()}, **members}


def field(value: Any, attributes: dict[str, Any]) -> Field:
    return Field(value, attributes)


LEAVES = st.one_of(st.builds(field, arrays(), ATTRIBUTES), arrays(), LINKS)
GROUPS = st.recursive(
    st.builds(with_attributes, ATTRIBUTES, st.dictionaries(NAMES, LEAVES, max_size=6)),
    lambda inner: st.builds(with_attributes, ATTRIBUTES, st.dictionaries(NAMES, inner | LEAVES, max_size=5)),
    max_leaves=12,
)


@st.composite
def nexus_like(draw: st.DrawFn) -> dict[str, Any]:
    """A tree that is often an entry with an NXdata, and never quite in order."""
    data = draw(GROUPS)
    if draw(st.booleans()):
        data = {
            "@NX_class": "NXdata",
            "@signal": "data",
            "@axes": draw(st.sampled_from([["x"], ["x", "y"], "x,y"])),
            **data,
        }
    entry = draw(GROUPS)
    return {**draw(GROUPS), "entry": {"@NX_class": "NXentry", **entry, "plot": data}}


def write_what_can_be_written(path: Path, tree: dict[str, Any]) -> None:
    """h5py refuses some of what a strategy makes; the rest is written."""
    with h5py.File(path, "w") as file:
        fill_leniently(file, tree)


def fill_leniently(group: h5py.Group, tree: dict[str, Any]) -> None:
    for name, value in tree.items():
        try:
            if isinstance(value, dict):
                fill_leniently(group.create_group(name), value)
            else:
                fill(group, {name: value})
        except (TypeError, ValueError, OSError, RuntimeError, KeyError):
            continue


def everything(path: Path) -> None:
    """Open a file in every way, show it, and read all its variables."""
    ways_to_open: list[dict[str, int] | None] = [None, {}]
    for chunks in ways_to_open:
        dataset = attempt(xr.open_dataset, path, engine="nexus", chunks=chunks)
        if dataset is not None:
            show(dataset)
    tree = attempt(xr.open_datatree, path, engine="nexus")
    if tree is not None:
        show(tree)
    for signal in attempt(nexus_xr.open_signals, path) or []:
        show(signal)
    for path_in_file in (attempt(nexus_xr.list_datasets, path) or [[], []])[1]:
        attempt(xr.open_dataset, path, engine="nexus", dataset_path=path_in_file)
    repr(attempt(nexus_xr.read_metadata, path))


def attempt(function: Any, *arguments: Any, **options: Any) -> Any:
    """The result, or None where a NexusError says why there is none; at most one warning is given."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            return function(*arguments, **options)
        except NexusError:
            return None
        finally:
            assert [warning.category for warning in caught] in ([], [NexusWarning]), [str(w.message) for w in caught]


def show(opened: xr.Dataset | xr.DataArray | xr.DataTree) -> None:
    repr(opened)
    opened._repr_html_()
    if isinstance(opened, xr.DataTree):
        opened.load()
    else:
        copied: Any = opened.copy(deep=True)
        assert opened.identical(copied)
        opened.load()


@given(nexus_like())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_nothing_but_nexus_errors_ever_comes_out(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("tree") / "file.nxs"
    write_what_can_be_written(path, tree)
    everything(path)


# The same bytes every time: libhdf5 itself crashes on some damaged files, in h5py as here.
@given(data=st.data())
@settings(max_examples=100, derandomize=True)
def test_a_damaged_file_opens_or_is_a_nexus_error(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("damaged") / "file.nxs"
    write_tree(path, scan_file())
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(8, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    attempt(xr.open_dataset, path, engine="nexus")
    attempt(xr.open_datatree, path, engine="nexus")


def test_groups_deeper_than_python_can_recurse(tmp_path: Path) -> None:
    path = tmp_path / "deep.nxs"
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(2000):
            group = group.create_group("g")
        group["n"] = 1.0
    with pytest.warns(NexusWarning, match="lies deeper than"):
        tree = xr.open_datatree(path, engine="nexus")
    assert tree.copy(deep=True).identical(tree)


def test_hard_links_that_make_very_many_paths(tmp_path: Path) -> None:
    path = tmp_path / "many.nxs"
    with h5py.File(path, "w") as file:
        group = file.create_group("entry")
        for _ in range(40):
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
        group["n"] = [1.0, 2.0]
    with pytest.warns(NexusWarning, match="is one of very many names"):
        tree = nexus_xr.read_metadata(path)
    at = tree["entry"]
    while "a" in at:
        at = at["a"]
    assert at["n"]["value"].tolist() == [1.0, 2.0]


def test_a_hard_link_to_a_group_above_ends(tmp_path: Path) -> None:
    path = tmp_path / "cycle.nxs"
    with h5py.File(path, "w") as file:
        inner = file.create_group("entry/inner")
        inner["up"] = file["entry"]
    assert nexus_xr.read_metadata(path)["entry"]["inner"]["up"] == nexus_xr.Link("/entry")


def test_a_group_named_as_the_one_above(tmp_path: Path) -> None:
    path = tmp_path / "dots.nxs"
    write_tree(path, {"..": {"n": 1.0}, "entry": {"..": {"@NX_class": "NXdata", "@signal": "n", "n": [1.0, 2.0]}}})
    with pytest.warns(NexusWarning, match="can't be a node of a tree"):
        tree = xr.open_datatree(path, engine="nexus")
    assert tree.attrs[".."]["n"]["value"] == 1.0
    assert xr.open_dataset(path, engine="nexus").n.values.tolist() == [1.0, 2.0]


def test_elements_of_varying_length_stay_in_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "ragged.nxs"
    write_tree(path, {"entry": {"@NX_class": "NXentry"}})
    with h5py.File(path, "a") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="events")
        data.create_dataset("events", (2,), h5py.vlen_dtype("i4"))[0] = [1, 2, 3]
    with pytest.warns(NexusWarning, match="elements of varying length"):
        dataset = xr.open_dataset(path, engine="nexus", chunks={})
    assert dataset.attrs["data"]["events"]["value"][0].tolist() == [1, 2, 3]
    with pytest.raises(NexusError, match=r"elements of varying length.*; xarray.open_datatree has it among the attrs"):
        xr.open_dataset(path, engine="nexus", dataset_path="/entry/data/events")
    with pytest.warns(NexusWarning, match="elements of varying length"):
        tree = xr.open_datatree(path, engine="nexus")
    assert tree["entry/data"].attrs["events"]["value"][0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["i4", h5py.string_dtype()])
def test_what_is_longer_than_any_array_has_no_values(dtype: Any, tmp_path: Path) -> None:
    path, shape = tmp_path / "scan.nxs", (0, 1 << 60)
    with h5py.File(path, "w") as file:
        file["entry/data/counts"] = [1, 2]
        file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
        file.create_dataset("entry/data/empty", shape, dtype, maxshape=(None, 1 << 60), chunks=(10, 10))
        space, kind = h5py.h5s.create_simple(shape), h5py.h5t.py_create(np.dtype("i4"))
        h5py.h5a.create(file["entry"].id, b"empty", kind, space)
    with pytest.warns(NexusWarning, match=r"no array has the shape \(0, 1152921504606846976\)"):
        dataset = xr.open_dataset(path, engine="nexus")
    assert list(dataset.variables) == ["counts"]
    assert dataset.attrs["data"]["empty"]["value"].shape == shape
    with pytest.raises(NexusError, match="is longer than any array along other dimensions"):
        xr.open_dataset(path, engine="nexus", dataset_path="/entry/data/empty")


@pytest.mark.parametrize("dtype", ["i4", h5py.string_dtype()])
def test_arrays_without_values_are_read_however_long_they_are_along_other_dimensions(
    dtype: Any, tmp_path: Path
) -> None:
    with h5py.File(tmp_path / "scan.nxs", "w") as file:
        for name in ("entry/data/counts", "entry/instrument/names"):
            file.create_dataset(name, (10**12, 0), dtype, maxshape=(None, None), chunks=(10, 10))
        file["entry/data"].attrs.update(NX_class="NXdata", signal="counts")
    assert nexus_xr.read_metadata(tmp_path / "scan.nxs")["entry"]["instrument"]["names"]["value"].shape == (10**12, 0)
    dataset = xr.open_dataset(tmp_path / "scan.nxs", engine="nexus")
    assert dataset.load().counts.shape == (10**12, 0)
    nexus_xr.to_zarr(tmp_path / "scan.nxs", tmp_path / "scan.zarr")
    copied = xr.open_dataset(tmp_path / "scan.zarr", engine="zarr", group="entry/data", consolidated=False)
    assert copied.counts.shape == (10**12, 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize("way", [nexus_xr.describe, nexus_xr.open_signals, nexus_xr.repack, nexus_xr.read_metadata])
def test_a_pipe_is_no_file(tmp_path: Path, way: Callable[[Path], Any]) -> None:
    os.mkfifo(tmp_path / "pipe.nxs")
    with pytest.raises(NexusFileError, match=r"pipe\.nxs: is a pipe or a socket, and no file"):
        way(tmp_path / "pipe.nxs")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize("name", ["virtual", "raw"])
def test_what_values_are_made_of_is_no_pipe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its writer is there, so that to open the pipe wouldn't wait."""
    monkeypatch.chdir(tmp_path)
    layout = h5py.VirtualLayout((4,), "i4")
    layout[:] = h5py.VirtualSource("pipe", "data", (4,))
    with h5py.File("scan.nxs", "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (4,), "i4", external=[("pipe", 0, 16)])
    os.mkfifo("pipe")
    writer = os.open("pipe", os.O_RDWR)
    try:
        dataset = xr.open_dataset("scan.nxs", engine="nexus", dataset_path=name)
        with pytest.raises(NexusFileError, match="pipe: is a pipe or a socket, and no file"):
            dataset.load()
    finally:
        os.close(writer)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_pipe_in_the_place_of_an_open_file_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "scan.nxs"
    with h5py.File(path, "w") as file:
        file["counts"] = np.arange(1000)
    dataset = xr.open_dataset(path, engine="nexus", dataset_path="counts")
    path.unlink()
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(NexusFileError, match="is a pipe or a socket, and no file"):
            dataset.load()
    finally:
        os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="reads from a device")
def test_a_device_is_waited_for() -> None:
    descriptor = EVERYWHERE.open("/dev/zero")
    try:
        assert os.get_blocking(descriptor)
    finally:
        os.close(descriptor)
