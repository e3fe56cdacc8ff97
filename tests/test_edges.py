"""Edges of bins go where the values go: through xarray's operations, into files and pictures."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from xarray.indexes import PandasIndex

import nexus_xr
from nexus_xr.arrays.bins import are_middles, centres_of
from nexus_xr.diagnostics import Code

from .arrays import indexers_within
from .files import Field, nxdata, nxentry, write_tree

EDGES = np.array([0.0, 10.0, 20.0, 40.0, 50.0])


def histogram(edges: Any = EDGES) -> xr.DataArray:
    """Counts in bins, whose bounds are coordinates of their own as well, which xarray carries as any others."""
    edges = np.asarray(edges)
    sizes = (3, len(edges) - 1)
    counts = xr.DataArray(np.arange(np.prod(sizes)).reshape(sizes), dims=("y", "t"), name="counts")
    counts = counts.nexus.assign_edges(t=edges)
    assert isinstance(counts, xr.DataArray)
    return counts.assign_coords(lower=("t", edges[:-1]), upper=("t", edges[1:]))


def centres_alone(array: xr.DataArray) -> xr.DataArray:
    return array.drop_indexes("t").set_xindex("t").drop_vars(["lower", "upper"], errors="ignore")


def bounds_of(array: Any) -> NDArray[Any]:
    index = array.xindexes["t"]
    assert isinstance(index, nexus_xr.EdgesIndex)
    return index.bounds


def assert_kept(array: Any, name: str = "t") -> None:
    """The index has the bounds that xarray carried as coordinates."""
    index = array.xindexes[name]
    assert isinstance(index, nexus_xr.EdgesIndex)
    np.testing.assert_array_equal(index.bounds, np.stack([array.lower, array.upper], axis=-1))
    np.testing.assert_array_equal(index.bounds.mean(axis=-1), array[name])
    np.testing.assert_array_equal(index.index, array[name])


def _edges() -> st.SearchStrategy[NDArray[Any]]:
    widths = st.lists(st.integers(1, 9), min_size=1, max_size=8)
    return widths.map(lambda each: np.concatenate([[0.0], np.cumsum(each)]))


@given(st.data())
def test_whatever_selects_keeps_the_edges_of_what_is_left(data: st.DataObject) -> None:
    array = histogram(data.draw(_edges()))
    for _ in range(data.draw(st.integers(1, 3))):
        chosen = data.draw(
            indexers_within(array.sizes["t"]).filter(lambda each: np.ndim(each) or isinstance(each, slice))
        )
        array = array.isel(t=chosen)
        assert_kept(array)
        if not array.sizes["t"]:
            return


@given(_edges(), st.data())
def test_alignment_keeps_the_edges_of_the_bins_that_stay(edges: NDArray[Any], data: st.DataObject) -> None:
    whole = histogram(edges)
    parts = st.slices(whole.sizes["t"]).map(lambda each: whole.isel(t=each))
    first, second = data.draw(parts), data.draw(parts)
    for join in ("inner", "outer", "left", "right"):
        aligned, _ = xr.align(first, second, join=join)
        bins = {tuple(each) for each in bounds_of(aligned)}
        mine, others = (
            {(low, high) for low, high in zip(part.lower.values, part.upper.values, strict=True)}
            for part in (first, second)
        )
        assert bins == {"inner": mine & others, "outer": mine | others, "left": mine, "right": others}[join]
    summed = first + second
    np.testing.assert_array_equal(summed.values, 2 * whole.sel(t=summed.t).values)


@given(_edges(), st.data())
def test_parts_behind_each_other_are_the_whole(edges: NDArray[Any], data: st.DataObject) -> None:
    whole = histogram(edges)
    at = data.draw(st.integers(0, whole.sizes["t"]))
    assert_kept(joined := xr.concat([whole.isel(t=slice(at)), whole.isel(t=slice(at, None))], "t"))
    assert joined.identical(whole)


OPERATIONS: dict[str, Callable[[xr.DataArray], Any]] = {
    "sel": lambda array: array.sel(t=slice(10, 40)),
    "sel nearest": lambda array: array.sel(t=[4, 31], method="nearest"),
    "where": lambda array: array.where(array.t > 10, drop=True),
    "arithmetic": lambda array: array * 2 - array,
    "with centres alone": lambda array: array - centres_alone(array),
    "with some centres alone": lambda array: array - centres_alone(array)[:, 1:3],
    "with values alone": lambda array: array - xr.DataArray(np.ones(4), dims="t"),
    "sortby": lambda array: array.sortby("t", ascending=False),
    "roll": lambda array: array.roll(t=3, roll_coords=True),
    "shift": lambda array: array.shift(t=1),
    "rolling": lambda array: array.rolling(t=2).mean(),
    "diff": lambda array: array.diff("t"),
    "cumsum": lambda array: array.cumsum("t"),
    "transpose": lambda array: array.T,
    "reduce": lambda array: array.mean("y"),
    "groupby": lambda array: array.assign_coords(y=[0, 0, 1]).groupby("y").mean(),
    "groupby map": lambda array: array.assign_coords(of=("t", [0, 1, 0, 1])).groupby("of").map(lambda each: each + 1),
    "concat": lambda array: xr.concat([array, array], "scan"),
    "expand_dims": lambda array: array.expand_dims("scan"),
    "apply_ufunc": lambda array: xr.apply_ufunc(np.sqrt, array),
    "map_blocks": lambda array: array.chunk(t=2).map_blocks(lambda each: each + 1).compute(),
    "chunk": lambda array: array.chunk(t=2),
    "compute": lambda array: array.chunk(t=2).compute(),
    "copy": lambda array: array.copy(deep=False),
    "deepcopy": copy.deepcopy,
    "pickle": lambda array: pickle.loads(pickle.dumps(array)),
    "as a Dataset": lambda array: array.to_dataset(),
    "Datasets": lambda array: array.to_dataset() + array.to_dataset(),
    "merge": lambda array: xr.merge([array.to_dataset(), array.rename("other").to_dataset()]),
    "in a tree": lambda array: xr.DataTree.from_dict({"/a": array.to_dataset()}).isel(t=slice(2))["a"].to_dataset(),
    "with its coordinates": lambda array: xr.DataArray(array.values, array.coords, array.dims),
    "reindex_like": lambda array: array.reindex_like(array[:, :2]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_keeps_edges(operation: str) -> None:
    assert_kept(OPERATIONS[operation](histogram()))


def test_a_new_name_keeps_edges() -> None:
    assert_kept(histogram().rename(t="tof"), "tof")


LOSING: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "coarsen": lambda array: array.coarsen(t=2).sum(),
    "coarsen another": lambda array: array.coarsen(y=3).sum(),
    "pad": lambda array: array.pad(t=1),
    "reindex": lambda array: array.reindex(t=[5.0, 15.0, 99.0]),
    "centres alone first": lambda array: centres_alone(array) - array,
    "other values": lambda array: array.assign_coords(t=array.t * 2),
    "coordinates anew": lambda array: xr.DataArray(array.values, dict(array.coords), array.dims),
    "unstack": lambda array: array.stack(z=("y", "t")).unstack(),
    "broadcast": lambda array: xr.broadcast(array, xr.DataArray([1, 2], dims="k"))[0],
}


@pytest.mark.parametrize("operation", LOSING)
def test_where_xarray_asks_no_index_values_stay_alone(operation: str) -> None:
    """If this fails, xarray has learnt something: say so in the guide's table."""
    array = LOSING[operation](histogram().drop_vars(["lower", "upper"]))
    assert type(array.xindexes["t"]) is PandasIndex


def test_bins_with_the_same_middles_and_other_edges_are_never_taken_for_each_other() -> None:
    one, other = histogram([0, 10, 20]), histogram([4, 6, 24])
    assert one.t.variable.equals(other.t.variable)
    with pytest.raises(nexus_xr.NexusError, match="same middles and other edges"):
        one + other


def test_edges_of_another_number_are_refused() -> None:
    with pytest.raises(nexus_xr.NexusError, match="one more than"):
        xr.DataArray([1, 2], dims="t").nexus.assign_edges(t=[0, 1])
    with pytest.raises(nexus_xr.NexusError, match="one more than"):
        xr.DataArray([1, 2], {"t": [0, 1]}, "t").drop_indexes("t").set_xindex("t", nexus_xr.EdgesIndex, edges=[0, 1])


def test_bins_in_reverse_order_have_their_edges_so() -> None:
    assert histogram().sortby("t", ascending=False).nexus.edges("t").tolist() == EDGES[::-1].tolist()
    assert histogram(EDGES[::-1])[:, ::-1].nexus.edges("t").tolist() == EDGES.tolist()


def test_edges_that_are_none_are_refused() -> None:
    with pytest.raises(nexus_xr.NexusError, match="gaps"):
        histogram()[:, [0, 2]].nexus.edges("t")
    with pytest.raises(nexus_xr.NexusError, match="no edges of bins"):
        centres_alone(histogram()).nexus.edges("t")


def times_in_seconds() -> xr.DataArray:
    return xr.DataArray([1, 2], {"t": ("t", [0.5, 1.5], {"units": "s"})}, name="n")


def test_edges_in_other_units_than_their_coordinate_are_refused() -> None:
    edges = xr.DataArray([0.0, 1000, 2000], dims="edge", attrs={"units": "ms"})
    with pytest.raises(nexus_xr.NexusError, match="edges of 't' are in 'ms', not in 's'; convert them"):
        times_in_seconds().nexus.assign_edges(t=edges)
    in_seconds = (edges / 1000).assign_attrs(units="s")
    for fitting in (in_seconds, in_seconds.variable, in_seconds.drop_attrs(), in_seconds.values):
        assigned = times_in_seconds().nexus.assign_edges(t=fitting)
        assert assigned.nexus.edges("t").tolist() == [0, 1, 2]
        assert assigned.t.attrs == {"units": "s"}


@pytest.mark.parametrize("as_array", [False, True])
def test_edges_whose_coordinate_says_no_units_give_it_theirs(as_array: bool) -> None:
    edges = xr.DataArray([0.0, 1, 2], dims="edge", attrs={"units": "ms", "long_name": "edges"})
    for counts in (times_in_seconds().drop_attrs(deep=True), times_in_seconds().drop_vars("t")):
        given = counts if as_array else counts.to_dataset()
        assert given.nexus.assign_edges(t=edges).t.attrs == {"units": "ms"}
        assert "t" not in given.coords or given.t.attrs == {}


def test_bounds_in_other_units_than_their_coordinate_make_no_edges() -> None:
    counts = times_in_seconds().to_dataset()
    counts.t.attrs["bounds"] = "t_bounds"
    bounds = ("t", "bnds"), [[0.0, 1], [1, 2]]
    with pytest.raises(nexus_xr.NexusError, match="bounds 't_bounds' of 't' are in 'ms', not in 's'"):
        counts.assign_coords(t_bounds=(*bounds, {"units": "ms"})).nexus.bounds_to_edges()
    for attributes in ({"units": "s"}, {}):
        edges = counts.assign_coords(t_bounds=(*bounds, attributes)).nexus.bounds_to_edges().nexus.edges("t")
        assert edges.tolist() == [0, 1, 2]


@pytest.mark.filterwarnings("error")
def test_bins_without_an_end_have_no_middle_of_which_nothing_is_told(tmp_path: Path) -> None:
    counts = xr.DataArray([1, 2, 3], dims="t", name="n").nexus.assign_edges(t=[-np.inf, 0, 1, np.inf])
    counts.nexus.to_nexus(tmp_path / "a.nxs")
    for each in (counts, xr.open_dataset(tmp_path / "a.nxs", engine="nexus")):
        np.testing.assert_array_equal(each.t, [np.nan, 0.5, np.inf])
        assert each.nexus.edges("t").tolist() == [-np.inf, 0, 1, np.inf]


def test_bounds_and_edges_become_each_other() -> None:
    dataset = histogram().to_dataset()
    bounds = dataset.nexus.edges_to_bounds()
    assert type(bounds.xindexes["t"]) is PandasIndex
    assert bounds[bounds.t.attrs["bounds"]].values.tolist() == [[0, 10], [10, 20], [20, 40], [40, 50]]
    again = bounds.nexus.bounds_to_edges()
    assert_kept(again)
    assert again.nexus.edges_to_bounds().identical(bounds)


# --- files -----------------------------------------------------------------------------------------------------


def histogram_file(path: Path, edges: Any = EDGES) -> Path:
    counts = np.arange(3 * (len(edges) - 1)).reshape(3, -1)
    write_tree(path, {"entry": nxentry({"data": nxdata({"n": counts, "t": edges}, signal="n", axes=[".", "t"])})})
    return path


@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8", "f2", "i4", "u1"])
def test_signals_have_the_edges_of_their_file(dtype: str, tmp_path: Path) -> None:
    edges = EDGES.astype(dtype)
    path = histogram_file(tmp_path / "a.nxs", edges)
    [signal] = nexus_xr.open_signals(path, nxdata_only=True)
    for array in (signal, xr.open_dataset(path, engine="nexus", chunks={}).n):
        assert_same_numbers(array.nexus.edges("t"), edges)
        array.nexus.to_nexus(tmp_path / "b.nxs")
        with h5py.File(tmp_path / "b.nxs") as file:
            assert_same_numbers(file["entry1/n/t"][()], edges)
            assert set(file["entry1/n"]) == {"n", "t"}


def assert_same_numbers(got: Any, expected: NDArray[Any]) -> None:
    assert got.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("part", [slice(1, 3), slice(3, None), slice(None, None, -1), [0, 2], [3, 1]])
@pytest.mark.filterwarnings("ignore:.*not all bins as edges")
def test_a_part_is_written_and_opened_with_its_edges(part: Any, tmp_path: Path) -> None:
    whole = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus")
    array = whole.n.isel(t=part)
    array.nexus.to_nexus(tmp_path / "b.nxs")
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus").nexus.bounds_to_edges()
    is_reversed = part == slice(None, None, -1)  # of which the edges are in reverse order, too
    np.testing.assert_array_equal(bounds_of(again)[:, :: -1 if is_reversed else 1], bounds_of(array))
    np.testing.assert_array_equal(again.t, array.t)


def test_nothing_selected_has_no_edges() -> None:
    array = xr.DataArray([3, 5], dims="t").nexus.assign_edges(t=[0, 1, 2])
    assert array[:1].nexus.edges("t").tolist() == [0, 1]
    with pytest.raises(nexus_xr.NexusError, match="'t' has no bins here, as nothing is selected"):
        array[:0].nexus.edges("t")


def test_bins_with_gaps_are_written_as_pairs_which_is_said(tmp_path: Path) -> None:
    with pytest.warns(nexus_xr.NexusWarning, match="gaps") as told:
        histogram()[:, [0, 2]].nexus.to_nexus(tmp_path / "a.nxs")
    assert [each.code for each in told[0].message.diagnostics] == [Code.BINS_APART]  # type: ignore[union-attr]
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["entry1/counts/t_bounds"][()].tolist() == [[0, 10], [20, 40]]
        assert file["entry1/counts/t"].attrs["bounds"] == "t_bounds"


def test_edges_that_an_operation_left_behind_are_missed_when_written(tmp_path: Path) -> None:
    opened = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus")
    with pytest.warns(nexus_xr.NexusWarning, match="no edges of its bins any more") as told:
        opened.n.coarsen(t=2).sum().nexus.to_nexus(tmp_path / "b.nxs")
    assert [each.code for each in told[0].message.diagnostics] == [Code.BOUNDS_MISSING]  # type: ignore[union-attr]
    with h5py.File(tmp_path / "b.nxs") as file:
        assert dict(file["entry1/n/t"].attrs) == {}


@pytest.mark.parametrize("kind", ["groupby_bins", "IntervalIndex", "categories", "objects"])
def test_intervals_of_pandas_are_written_as_edges(kind: str, tmp_path: Path) -> None:
    breaks = [0.0, 20.0, 50.0]
    intervals = pd.IntervalIndex.from_breaks(breaks)
    labels = {
        "IntervalIndex": intervals,
        "categories": pd.CategoricalIndex(pd.cut([5.0, 30.0], breaks)),
        "objects": np.array(list(intervals), object),
    }
    if kind == "groupby_bins":
        array = histogram().groupby_bins("t", breaks).sum()
    else:
        array = xr.DataArray([[1, 2]], {"t_bins": labels[kind]}, ("y", "t_bins"), name="counts")
    array.nexus.to_nexus(tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file["entry1/counts/t_bins"][()].tolist() == breaks
    assert xr.open_dataset(tmp_path / "a.nxs", engine="nexus").counts.nexus.edges("t_bins").tolist() == breaks


def test_a_part_is_written_in_place_with_its_edges(tmp_path: Path) -> None:
    whole = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus")
    whole.n[:, 1:3].nexus.to_nexus(tmp_path / "b.nxs", layout="inplace")
    with h5py.File(tmp_path / "b.nxs") as file:
        assert file["entry/data/t"][()].tolist() == [10, 20, 40]


def test_bounds_alone_where_they_are_asked_for(tmp_path: Path) -> None:
    dataset = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus", edges="bounds")
    assert type(dataset.xindexes["t"]) is PandasIndex
    assert dataset.t_bounds.values.tolist() == [[0, 10], [10, 20], [20, 40], [40, 50]]
    assert dataset.equals(xr.open_dataset(tmp_path / "a.nxs", engine="nexus"))
    with pytest.raises(nexus_xr.NexusError, match='expected "index" or "bounds"'):
        xr.open_dataset(tmp_path / "a.nxs", engine="nexus", edges="middles")


def test_edges_assigned_anew_are_those_that_are_written(tmp_path: Path) -> None:
    dataset = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus").nexus.assign_edges(t=EDGES / 2)
    dataset.nexus.to_nexus(tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        np.testing.assert_array_equal(file["entry1/n/t"], EDGES / 2)
        assert set(file["entry1/n"]) == {"n", "t"}


# --- pictures --------------------------------------------------------------------------------------------------


def test_a_histogram_is_drawn_in_steps_from_edge_to_edge() -> None:
    [line] = histogram()[0].nexus.plot()
    assert line.get_xdata().tolist() == np.repeat(EDGES, 2)[1:-1].tolist()
    assert line.get_ydata().tolist() == np.repeat([0, 1, 2, 3], 2).tolist()


def test_an_image_is_drawn_by_its_edges() -> None:
    mesh = histogram().nexus.plot()
    np.testing.assert_array_equal(mesh.get_coordinates()[0, :, 0], EDGES)


@pytest.mark.parametrize("first", ["total", "counts"])
def test_edges_that_the_signal_does_not_span_are_written_and_opened(first: str, tmp_path: Path) -> None:
    counts = histogram().drop_vars(["lower", "upper"])
    arrays = {"total": counts.sum("t"), "counts": counts}
    dataset = xr.Dataset({name: arrays[name] for name in (first, *arrays)})
    dataset.nexus.to_nexus(tmp_path / "a.nxs")
    with h5py.File(tmp_path / "a.nxs") as file:
        assert file[f"entry1/{first}/t"][()].tolist() == EDGES.tolist()
    again = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    assert again.nexus.edges("t").tolist() == EDGES.tolist()
    assert again.drop_vars("t_bounds").equals(dataset)


@pytest.mark.parametrize("coordinates", [{"c": ("x", [7.0, 8.0, 9.0])}, {}])
def test_bins_that_no_data_spans_are_written_by_their_bounds(coordinates: dict[str, Any], tmp_path: Path) -> None:
    binned = xr.Dataset({"a": ("y", [1.0, 2.0])}, {"x": [0.5, 1.5, 2.5], **coordinates})
    binned = binned.nexus.assign_edges(x=[0.0, 1, 2, 3])
    with pytest.warns(nexus_xr.NexusWarning, match="a/x: no data spans its bins; wrote the two bounds"):
        binned.nexus.to_nexus(tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").nexus.bounds_to_edges()
    assert opened.nexus.edges("x").tolist() == [0, 1, 2, 3]


def test_coordinates_whose_lengths_contradict_each_other_have_dimensions_of_their_own(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="a", coordinates=["c", "x"])
        for name, dim, size in (("a", "y", 2), ("c", "x", 3), ("x", "x", 5)):
            data[name] = np.arange(float(size))
            data[name].attrs["_ARRAY_DIMENSIONS"] = [dim]
    with pytest.warns(nexus_xr.NexusWarning, match=r"'x' has other lengths along \('x',\)"):
        opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert {name: each.dims for name, each in opened.variables.items()} == {
        "a": ("y",),
        "c": ("x",),
        "x": ("x_dim_0",),
    }


def corners_file(path: Path) -> Path:
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update(NX_class="NXdata", signal="t", axes=["y", "x"], y_indices=[0, 1], x_indices=[0, 1])
        data["t"] = rng.random((3, 5))
        data["y"], data["x"] = rng.random((4, 5)), rng.random((4, 6))
    return path


def test_corners_of_bins_are_coordinates_and_written_as_they_were(tmp_path: Path) -> None:
    path, written = corners_file(tmp_path / "in.nxs"), tmp_path / "out.nxs"
    with xr.open_dataset(path, engine="nexus") as opened:
        assert opened.x.dims == ("dim_0_edges", "dim_1_edges")
        opened.nexus.to_nexus(written)
        with h5py.File(path) as before, h5py.File(written) as file:
            group = file["entry1/t"]
            assert group.attrs["x_indices"].tolist() == group.attrs["y_indices"].tolist() == [0, 1]
            assert "coordinates" not in group.attrs
            assert set(group["x"].attrs) == {"DIMENSION_LABELS", "_ADDED_ATTRIBUTES"}  # which tell others alone
            assert all(np.array_equal(group[name], before[f"entry/data/{name}"]) for name in ("t", "x", "y"))
        with xr.open_dataset(written, engine="nexus") as again:
            assert opened.identical(again.assign_attrs(opened.attrs))


def test_corners_that_data_no_longer_has_are_written_by_their_own_dimensions(tmp_path: Path) -> None:
    written = tmp_path / "out.nxs"
    with xr.open_dataset(corners_file(tmp_path / "in.nxs"), engine="nexus") as opened:
        part = opened.isel(dim_1=slice(3)).drop_vars("y")
        part.nexus.to_nexus(written)
        with xr.open_dataset(written, engine="nexus") as again:
            assert part.identical(again.assign_attrs(opened.attrs))


def test_edges_of_the_users_own_along_one_dimension_are_no_bounds(tmp_path: Path) -> None:
    own = xr.Dataset({"t": ("x", np.zeros(3))}, {"e": ("x_edges", np.arange(4.0))})
    own.nexus.to_nexus(tmp_path / "out.nxs")
    with xr.open_dataset(tmp_path / "out.nxs", engine="nexus") as again:
        assert again.e.dims == ("x_edges",)
        assert again.e.identical(own.e)


def test_corners_in_place_and_in_zarr(tmp_path: Path) -> None:
    path = corners_file(tmp_path / "in.nxs")
    with xr.open_dataset(path, engine="nexus") as opened:
        changed = opened.assign_coords(x=opened.x + 1)
        expected = changed.x.values
        changed.nexus.to_nexus(path, layout="inplace")
    with xr.open_dataset(path, engine="nexus") as again:
        assert np.array_equal(again.x.values, expected)
        assert again.x.dims == ("dim_0_edges", "dim_1_edges")
        nexus_xr.to_zarr(path, tmp_path / "out.zarr")
        with xr.open_zarr(tmp_path / "out.zarr", group="entry/data", consolidated=False) as zarr:
            assert np.array_equal(zarr.x.values, expected)
            assert zarr.x.dims == again.x.dims


def test_nothing_is_appended_to_corners_which_data_would_outgrow(tmp_path: Path) -> None:
    path = tmp_path / "out.nxs"
    with xr.open_dataset(corners_file(tmp_path / "in.nxs"), engine="nexus") as opened:
        opened.nexus.to_nexus(path, unlimited_dims=["dim_0", "dim_1"])
        before = path.read_bytes()
        with pytest.raises(nexus_xr.NexusError, match=r"nothing was written, as /entry1/t/x, /entry1/t/y has edges"):
            opened.nexus.to_nexus(path, append_dim="dim_0")
        with pytest.raises(nexus_xr.NexusError, match="as /entry1/t/x has edges along 'dim_1' and other"):
            opened.nexus.to_nexus(path, append_dim="dim_1")
        assert path.read_bytes() == before


def test_data_grows_beside_edges_of_their_own_dimension(tmp_path: Path) -> None:
    path = tmp_path / "out.nxs"
    own = xr.Dataset({"t": ("x", np.zeros(3))}, {"e": ("x_edges", np.arange(4.0))})
    own.nexus.to_nexus(path, unlimited_dims="x")
    own.drop_vars("e").nexus.to_nexus(path, append_dim="x")
    with xr.open_dataset(path, engine="nexus") as again:
        assert again.sizes == {"x": 6, "x_edges": 4}


def test_a_recorded_dimension_of_another_length_is_not_that_of_corners(tmp_path: Path) -> None:
    with h5py.File(corners_file(tmp_path / "in.nxs"), "r+") as file:
        data = file["entry/data"]
        data.attrs.update(auxiliary_signals=["other"], coordinates=["k"])
        data["other"], data["k"] = np.zeros(9), np.zeros(4)
        data["other"].attrs["_ARRAY_DIMENSIONS"], data["k"].attrs["_ARRAY_DIMENSIONS"] = (
            ["dim_1_edges"],
            ["dim_0_edges"],
        )
    with xr.open_dataset(tmp_path / "in.nxs", engine="nexus") as opened:
        assert opened.x.dims == ("dim_0_edges", "dim_1_edges_")
        assert opened.other.dims == ("dim_1_edges",)
        assert opened.k.dims == ("dim_0_edges",)


@pytest.mark.parametrize("unit", ["ns", "s"])
def test_middles_of_dates_lie_between_them_however_far_they_are_apart(unit: str) -> None:
    """Further than nanoseconds count, of which NumPy 2.5 raises an error, and those before give wrong values."""
    edges = np.array(["1700-01-01", "2200-01-01", "2250-01-01", "NaT"], f"M8[{unit}]")
    expected = np.array(["1950-01-01T12:00", "2225-01-01", "NaT"], f"M8[{unit}]")
    np.testing.assert_array_equal(centres_of(edges), expected)
    odd = np.array([[-3, 2], [3, 4], [-3, -2], [7, 7]], f"m8[{unit}]")
    between = centres_of(odd)[..., 0]
    assert ((odd[:, 0] <= between) & (between <= odd[:, 1])).all()


# --- bins put together -----------------------------------------------------------------------------------------


def masked_file(path: Path) -> Path:
    fields = {"n": [4, 9, 1, 16], "n_errors": [2.0, 3.0, 1.0, 4.0], "t": EDGES, "mask": np.array([1, 0, 0, 0], bool)}
    write_tree(path, {"entry": nxentry({"data": nxdata(fields, signal="n", axes=["t"])})})
    return path


@pytest.mark.parametrize("chunks", [None, {}])
def test_rebinned_uncertainties_are_added_in_quadrature(tmp_path: Path, chunks: Any) -> None:
    opened = xr.open_dataset(masked_file(tmp_path / "a.nxs"), engine="nexus", chunks=chunks)
    rebinned = opened.nexus.rebin(t=2)
    assert next(iter(rebinned.data_vars)) == "n"
    assert rebinned.n.values.tolist() == [13, 17]
    np.testing.assert_allclose(rebinned.n_errors, np.sqrt([13, 17]), rtol=1e-15)
    np.testing.assert_array_equal(
        rebinned.n_errors, opened.nexus.with_uncertainties().nexus.rebin(t=2).nexus.errors.n.values
    )
    rebinned.nexus.to_nexus(tmp_path / "b.nxs")
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    np.testing.assert_array_equal(again.n_errors, rebinned.n_errors)
    assert again.nexus.edges("t").tolist() == [0, 20, 50]


def test_rebinned_uncertainties_of_a_signal_are_its_own(tmp_path: Path) -> None:
    [signal] = nexus_xr.open_signals(masked_file(tmp_path / "a.nxs"), nxdata_only=True)
    rebinned = signal.nexus.rebin(t=2)
    assert set(rebinned.coords) == set(signal.coords)
    np.testing.assert_allclose(rebinned.nexus.errors, np.sqrt([13, 17]), rtol=1e-15)


@pytest.mark.filterwarnings("ignore:.*not all its uncertainties")
def test_rebinned_uncertainties_that_were_in_doubt_stay_so(tmp_path: Path) -> None:
    doubtful = (xr.open_dataset(masked_file(tmp_path / "a.nxs"), engine="nexus") * 2).nexus.rebin(t=2)
    with pytest.raises(nexus_xr.NexusError, match="computed without propagation"):
        doubtful.nexus.with_uncertainties()


@pytest.mark.parametrize("lazy", [False, True])
def test_bins_without_a_value_stay_so(lazy: bool) -> None:
    values = xr.DataArray([[np.nan, np.nan, 1, np.nan], [2, 3, 4, 5]], dims=("y", "x"), name="n")
    joined = values.nexus.with_uncertainties(np.ones((2, 4)))
    both = values.nexus.assign_errors(np.ones((2, 4)))
    for each in (values, joined, both, both.reset_coords().nexus.with_uncertainties()["n"]):
        rebinned = (each.chunk(y=1) if lazy else each).nexus.rebin(x=2)
        np.testing.assert_array_equal(rebinned, [[np.nan, 1], [5, 9]])
        if each is not values:
            np.testing.assert_allclose(rebinned.nexus.errors, [[np.nan, 1], [2**0.5, 2**0.5]])


def resolved_file(path: Path) -> Path:
    """Scattering as NXcanSAS has it, of which Q has uncertainties and a resolution."""
    q = Field([0.1, 0.2, 0.3, 0.4], {"resolutions": "dQw", "uncertainties": "Qdev"})
    fields = {"I": [1.0, 2.0, 3.0, 4.0], "Q": q, "dQw": [0.1] * 4, "Qdev": [0.03, 0.04, 0.06, np.nan]}
    data = nxdata(fields, signal="I", I_axes="Q", Q_indices=[0], canSAS_class="SASdata")
    write_tree(path, {"entry": nxentry({"data": data})})
    return path


def test_what_is_no_signal_is_not_added_up(tmp_path: Path) -> None:
    opened = xr.open_dataset(resolved_file(tmp_path / "a.nxs"), engine="nexus")
    with pytest.warns(nexus_xr.NexusWarning, match="no signal") as told:
        rebinned = opened.nexus.rebin(Q=2)
    [diagnostic] = told[0].message.diagnostics  # type: ignore[union-attr]
    assert (diagnostic.code, diagnostic.path) == (Code.NOT_ADDED, "dQw")
    assert list(rebinned.data_vars) == ["I"]
    with warnings.catch_warnings(action="error"):
        assert opened.dQw.nexus.rebin(Q=2).values.tolist() == [0.2, 0.2]
        assert opened[["dQw"]].nexus.rebin(Q=2).dQw.values.tolist() == [0.2, 0.2]
        assert list(opened.assign(dQw=opened.dQw * 1).nexus.rebin(Q=2).data_vars) == ["I", "dQw"]


@pytest.mark.parametrize("lazy", [False, True])
def test_uncertainties_of_coordinates_are_those_of_their_means(lazy: bool, tmp_path: Path) -> None:
    opened = xr.open_dataset(resolved_file(tmp_path / "a.nxs"), engine="nexus", chunks={} if lazy else None)
    rebinned = opened.I.nexus.rebin(Q=2)
    np.testing.assert_allclose(rebinned.Q_errors, [0.025, 0.06])


@pytest.mark.parametrize("of_signal", [True, False])
def test_rebinned_masks_stay_masks(tmp_path: Path, of_signal: bool) -> None:
    opened = xr.open_dataset(masked_file(tmp_path / "a.nxs"), engine="nexus")
    obj: Any = opened.n.assign_coords(mask=opened["mask"]) if of_signal else opened
    mask = obj.nexus.rebin(t=2)["mask"]
    assert mask.dtype == bool
    assert mask.values.tolist() == [True, False]
    assert opened["mask"].nexus.rebin(t=2).values.tolist() == [True, False]


@pytest.mark.parametrize("what", ["as opened", "transposed", "in memory", "calibrated", "in reverse"])
def test_rebinned_bounds_reach_from_end_to_end(tmp_path: Path, what: str) -> None:
    opened = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus", edges="bounds")
    ends, factor = [[0, 20], [20, 50]], 1.0
    if what == "transposed":
        opened = opened.transpose("bnds", ...)
    if what == "in memory":
        opened = opened.drop_encoding().load()
    if what == "calibrated":
        factor = 2.0
        opened = opened.assign_coords(t=opened.t * 2, t_bounds=opened.t_bounds * 2)
    if what == "in reverse":
        opened = opened.assign_coords(t_bounds=opened.t_bounds[:, ::-1])[{"t": slice(None, None, -1)}]
        ends = [[50, 20], [20, 0]]
    rebinned = opened.nexus.rebin(t=2)
    np.testing.assert_array_equal(rebinned.t_bounds.transpose("t", ...), np.multiply(ends, factor))
    np.testing.assert_array_equal(rebinned.t, np.mean(ends, axis=1) * factor)
    assert "t_bounds" in rebinned.coords
    assert rebinned.t.attrs["bounds"] == "t_bounds"


def test_rebinned_bounds_with_gaps_are_an_error(tmp_path: Path) -> None:
    opened = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus", edges="bounds")
    with pytest.raises(nexus_xr.NexusError, match="'t' leave gaps or overlap; 't_bounds' has each one's two"):
        opened.isel(t=[0, 2]).nexus.rebin(t=2)


def test_rebinned_bounds_of_several_dimensions() -> None:
    edges = np.array([[0.0, 1, 2, 4, 8], [10, 11, 12, 14, 18]])
    bounds = np.stack([edges[:, :-1], edges[:, 1:]], axis=-1)
    dataset = xr.Dataset(
        {"n": (("y", "t"), np.ones((2, 4)))},
        {"x": (("y", "t"), bounds.mean(axis=-1), {"bounds": "b"}), "b": (("y", "t", "bnds"), bounds)},
    )
    for chunks in ({}, {"t": 2}):
        rebinned = dataset.chunk(chunks).nexus.rebin(t=2, y=2)
        assert rebinned.b.values.tolist() == [[[0, 12], [2, 18]]]
        assert rebinned.x.values.tolist() == [[6, 10]]
        assert rebinned.n.values.tolist() == [[4, 4]]


@pytest.mark.parametrize("of_array", [True, False])
def test_text_along_rebinned_bins_is_an_error_that_names_it(of_array: bool) -> None:
    array = histogram().assign_coords(word=("t", list("abcd")), label=("y", list("abc")))
    obj: Any = array if of_array else array.to_dataset().reset_coords("word")
    with pytest.raises(nexus_xr.NexusError, match=r"drop_vars\(\['word'\]\)"):
        obj.nexus.rebin(t=2)
    assert obj.drop_vars("word").nexus.rebin(t=2).label.values.tolist() == list("abc")


def test_arrays_of_any_name_are_rebinned() -> None:
    for name in (None, "t", "lower", 3):
        rebinned = histogram().rename(name).nexus.rebin(t=2)
        assert rebinned.name == name
        assert rebinned.values.tolist() == [[1, 5], [9, 13], [17, 21]]
        assert rebinned.nexus.edges("t").tolist() == [0, 20, 50]


def test_dates_of_other_calendars_along_rebinned_bins_have_means() -> None:
    days = xr.date_range("2000-01-01", periods=4, calendar="noleap", use_cftime=True)
    rebinned = histogram().assign_coords(day=("t", days)).nexus.rebin(t=2)
    assert [str(day) for day in rebinned.day.values] == ["2000-01-01 12:00:00", "2000-01-03 12:00:00"]


# --- bounds that were left behind ------------------------------------------------------------------------------


LEAVE_BEHIND: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "shifted": lambda dataset: dataset.assign_coords(t=dataset.t - 0.5),
    "scaled": lambda dataset: dataset.assign_coords(t=dataset.t * 2),
    "rounded": lambda dataset: dataset.assign_coords(t=dataset.t + np.float32(1e-5)),
    "named": lambda dataset: dataset.assign_coords(t=("t", list("abcd"), dataset.t.attrs)),
    "not a coordinate": lambda dataset: dataset.assign_coords(t=dataset.t * 2).drop_indexes("t").reset_coords("t"),
    "reindexed": lambda dataset: dataset.reindex(t=[1.0, 16.0, 31.0, 44.0], method="nearest"),
}
AVERAGE: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "coarse": lambda dataset: dataset.coarsen(t=2).mean(),
    "coarse to one": lambda dataset: dataset.isel(t=slice(0, 2)).coarsen(t=2).mean(),
}


@pytest.mark.parametrize(
    ("edges", "operation"),
    [(edges, each) for edges in ("index", "bounds") for each in (*LEAVE_BEHIND, *AVERAGE)],
)
@pytest.mark.parametrize("chunks", [None, {}])
def test_bounds_that_were_left_behind_are_not_written(edges: str, operation: str, chunks: Any, tmp_path: Path) -> None:
    whole = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus", edges=edges, chunks=chunks)
    changed = (LEAVE_BEHIND | AVERAGE)[operation](whole)
    with pytest.warns(nexus_xr.NexusWarning, match="no edges of its bins any more") as told:
        changed.nexus.to_nexus(tmp_path / "b.nxs")
    assert [each.code for each in told[0].message.diagnostics] == [Code.BOUNDS_MISSING]  # type: ignore[union-attr]
    with h5py.File(tmp_path / "b.nxs") as file:
        assert set(file["entry1/n"]) == {"n", "t"}
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    np.testing.assert_array_equal(again.t, changed.t)


KEEP: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "as opened": lambda dataset: dataset,
    "without index": lambda dataset: dataset.load().drop_indexes("t"),
    "one without index": lambda dataset: dataset.load().isel(t=1).expand_dims("t", axis=1),
    "calibrated": lambda dataset: dataset.assign_coords(t=dataset.t * 2, t_bounds=dataset.t_bounds * 2),
    "bounds alone": lambda dataset: dataset.nexus.edges_to_bounds(),
    "in single precision": lambda dataset: dataset.assign_coords(t=dataset.t.astype("f4")),
    "taken for right": lambda dataset: dataset.assign_coords(t=dataset.t + 1).nexus.bounds_to_edges(),
    "rebinned": lambda dataset: dataset.nexus.rebin(t=2),
    "beside others that name them": lambda dataset: dataset.assign_coords(t2=dataset.t * 2),
    "padded": lambda dataset: dataset.pad(t=1),
    "from a dictionary": lambda dataset: xr.Dataset.from_dict(dataset.to_dict()).assign_attrs(dataset.attrs),
    "rounded": lambda dataset: dataset.assign_coords(t_bounds=dataset.t_bounds.round(1)),
}


@pytest.mark.filterwarnings("error", "ignore:.*not all bins as edges")
@pytest.mark.parametrize("edges", ["index", "bounds"])
@pytest.mark.parametrize("operation", KEEP)
def test_bounds_that_are_right_are_written(edges: str, operation: str, tmp_path: Path) -> None:
    changed = KEEP[operation](xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus", edges=edges))
    changed.nexus.to_nexus(tmp_path / "b.nxs")
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    expected = changed.nexus.edges_to_bounds().t_bounds
    np.testing.assert_array_equal(again.t_bounds, expected.values)


OTHERS: dict[str, tuple[list[float], list[list[float]]]] = {
    "circular": ([0.0, 2.5], [[358.75, 1.25], [1.25, 3.75]]),
    "with gaps": ([0.0, 2.5], [[-1.0, 1.0], [2.0, 3.0]]),
    "outside": ([0.0, 10.0], [[1.0, 5.0], [11.0, 15.0]]),
    "in reverse": ([2.0, 1.0], [[1.5, 2.5], [0.5, 1.5]]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("source", ["own", "opened", "assigned", "without encoding"])
@pytest.mark.parametrize("kind", OTHERS)
def test_bounds_that_were_not_made_of_edges_are_written_as_they_are(kind: str, source: str, tmp_path: Path) -> None:
    values, bounds = OTHERS[kind]
    coords: dict[str, Any] = {"t": ("t", values, {"bounds": "b"}), "b": (("t", "bnds"), bounds)}
    dataset = xr.Dataset({"n": ("t", [1, 2])}, coords, {"title": "told"})
    if source != "own":
        (dataset if source == "opened" else dataset.drop_vars(["t", "b"])).nexus.to_nexus(tmp_path / "a.nxs")
        dataset = xr.open_dataset(tmp_path / "a.nxs", engine="nexus")
    if source == "assigned":
        dataset = dataset.assign_coords(coords)
    if source == "without encoding":
        dataset = dataset.drop_encoding().assign_coords(coords)
    dataset.nexus.to_nexus(tmp_path / "b.nxs")
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    assert again.t.values.tolist() == values
    assert again.b.values.tolist() == bounds


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("lazily", [True, False])
def test_bounds_of_a_file_are_changed_in_place(kind: str, lazily: bool, tmp_path: Path) -> None:
    values, bounds = OTHERS[kind]
    coords: dict[str, Any] = {"t": ("t", values, {"bounds": "b"}), "b": (("t", "bnds"), bounds)}
    xr.Dataset({"n": ("t", [1, 2])}, coords).nexus.to_nexus(tmp_path / "a.nxs")
    with xr.open_dataset(tmp_path / "a.nxs", engine="nexus", chunks={} if lazily else None) as opened:
        opened.assign_coords(b=opened.b + 0.5).nexus.to_nexus(tmp_path / "b.nxs", layout="inplace")
        both = opened.assign_coords(t=(opened.t * 2).assign_attrs(opened.t.attrs), b=opened.b * 2)
        both.nexus.to_nexus(tmp_path / "c.nxs", layout="inplace")
    with h5py.File(tmp_path / "b.nxs") as file:
        np.testing.assert_array_equal(file["entry1/n/b"], np.add(bounds, 0.5))
    with h5py.File(tmp_path / "c.nxs") as file:
        np.testing.assert_array_equal(file["entry1/n/b"], np.multiply(bounds, 2))
        np.testing.assert_array_equal(file["entry1/n/t"], np.multiply(values, 2))


def test_bounds_that_dask_computes_are_not_computed_to_be_judged(tmp_path: Path) -> None:
    computed = []

    def counted(block: NDArray[Any]) -> NDArray[Any]:
        computed.append(block.shape)
        return block

    latitude = xr.DataArray(np.arange(6.0).reshape(2, 3), dims=("y", "x")).chunk()
    bounds = xr.concat([latitude - 1, latitude + 2], "bnds").transpose("y", "x", "bnds").chunk({"bnds": -1})
    counting = bounds.copy(data=bounds.data.map_blocks(counted, meta=np.empty(0)))
    dataset = xr.Dataset({"n": latitude}, {"lat": latitude.assign_attrs(bounds="b"), "b": counting})
    dataset.nexus.to_nexus(tmp_path / "a.nxs")
    assert len(computed) == 2  # to see whether edges would tell them, and to write them


DAYS = np.array(["2020-01-01", "2020-01-03", "2020-01-09", "2020-01-20", "2020-02-20"], "M8[ns]")


@pytest.mark.parametrize("edges", ["index", "bounds"])
@pytest.mark.parametrize("operation", ["as opened", "selected", "averaged", "shifted"])
def test_bounds_of_dates_that_were_left_behind_are_not_written(edges: str, operation: str, tmp_path: Path) -> None:
    xr.DataArray(np.arange(4.0), dims="t", name="n").nexus.assign_edges(t=DAYS).nexus.to_nexus(tmp_path / "a.nxs")
    opened = xr.open_dataset(tmp_path / "a.nxs", engine="nexus", edges=edges)
    kept = {"as opened": opened, "selected": opened.drop_indexes("t").isel(t=[0, 2])}
    if operation in kept:
        kept[operation].nexus.to_nexus(tmp_path / "b.nxs")
        again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
        np.testing.assert_array_equal(again.t_bounds, kept[operation].t_bounds)
        return
    shifted = opened.assign_coords(t=(opened.t + np.timedelta64(2, "ns")).assign_attrs(opened.t.attrs))
    changed = opened.coarsen(t=2).mean() if operation == "averaged" else shifted
    with pytest.warns(nexus_xr.NexusWarning, match="no edges of its bins any more"):
        changed.nexus.to_nexus(tmp_path / "b.nxs")
    assert "t_bounds" not in xr.open_dataset(tmp_path / "b.nxs", engine="nexus").variables


@pytest.mark.parametrize(("ticks", "are_right"), [(0, True), (1, True), (-1, True), (2, False), (-2, False)])
def test_dates_are_middles_within_a_tick(ticks: int, are_right: bool) -> None:
    bounds = np.stack([DAYS[:-1], DAYS[1:]], axis=-1)
    middles = np.append(centres_of(DAYS) + np.timedelta64(ticks, "ns"), np.datetime64("NaT", "ns"))
    bounds = np.concatenate([bounds, np.full((1, 2), "NaT", "M8[ns]")])
    assert are_middles(middles, bounds) is are_right
    assert not are_middles(middles.astype("i8"), bounds)
    assert not are_middles(np.append(middles[:-1], DAYS[:1]), bounds)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("layout", ["new", "inplace"])
def test_edges_in_reverse_or_beside_rounded_values_stay_edges(layout: str, tmp_path: Path) -> None:
    with xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus") as opened:
        calibrated = opened.nexus.assign_edges(t=EDGES / 7)
        calibrated.nexus.to_nexus(tmp_path / "b.nxs", layout="inplace")
    with xr.open_dataset(tmp_path / "b.nxs", engine="nexus") as opened:
        rounded = opened.assign_coords(t=opened.t.astype("f4").assign_attrs(opened.t.attrs))
        for changed, edges in ((opened.isel(t=slice(None, None, -1)), EDGES[::-1] / 7), (rounded, EDGES / 7)):
            path = tmp_path / "c.nxs"
            path.unlink(missing_ok=True)
            changed.nexus.to_nexus(path, **({} if layout == "new" else {"layout": layout}))
            with h5py.File(path) as file:
                np.testing.assert_array_equal(file["entry1/n/t" if layout == "new" else "entry/data/t"], edges)


@pytest.mark.filterwarnings("error", "ignore:.*not all bins as edges")
@pytest.mark.parametrize("edges", ["index", "bounds"])
@pytest.mark.parametrize("part", [slice(None), slice(4, None), slice(1, None, 4)])
def test_bounds_of_joined_files_are_written_without_their_index(edges: str, part: slice, tmp_path: Path) -> None:
    first = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus", edges=edges).load()
    first.nexus.assign_edges(t=EDGES + 50).nexus.to_nexus(tmp_path / "b.nxs")
    second = xr.open_dataset(tmp_path / "b.nxs", engine="nexus", edges=edges).load()
    joined = xr.concat([first, second], "t")
    changed = joined.drop_indexes("t").isel(t=part)
    changed.nexus.to_nexus(tmp_path / "c.nxs")
    again = xr.open_dataset(tmp_path / "c.nxs", engine="nexus")
    np.testing.assert_array_equal(again.t_bounds, changed.t_bounds)


def test_edges_that_are_no_numbers_are_known_again(tmp_path: Path) -> None:
    edges = [0.0, 1.0, np.nan, 3.0, 4.0]
    xr.DataArray(np.arange(4.0), dims="t", name="n").nexus.assign_edges(t=edges).nexus.to_nexus(tmp_path / "a.nxs")
    opened = xr.open_dataset(tmp_path / "a.nxs", engine="nexus").load().drop_indexes("t").isel(t=[0, 1, 3])
    opened.nexus.to_nexus(tmp_path / "b.nxs")
    again = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    np.testing.assert_array_equal(again.t_bounds, [[0, 1], [1, np.nan], [3, 4]])


def test_rebinning_leaves_out_bounds_that_were_left_behind(tmp_path: Path) -> None:
    opened = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus")
    with pytest.warns(nexus_xr.NexusWarning, match="t: an operation has left 't_bounds' beside other values"):
        rebinned = opened.assign_coords(t=opened.t * 2).nexus.rebin(t=2)
    assert "t_bounds" not in rebinned.variables


def test_what_is_added_up_does_not_ask_for_the_type_of_its_parts() -> None:
    counts = xr.Dataset({"n": ("t", np.array([200, 200], "u1")), "n_errors": ("t", [3.0, 4.0]), "other": ("y", [1])})
    encoding = {"dtype": "u1", "_FillValue": 255, "scale_factor": 2, "add_offset": 1, "chunksizes": (2,)}
    for name in counts.variables:
        counts[name].encoding = {**encoding, "original_shape": (2,), "zlib": True}
    for dataset in (counts, counts.drop_vars("n_errors")):
        rebinned = dataset.nexus.rebin(t=2)
        assert rebinned.n.values.tolist() == [400]
        assert all(rebinned[name].encoding == {"zlib": True} for name in rebinned.variables if name != "other")
        assert rebinned.other.encoding == counts.other.encoding
    assert counts.n.encoding["dtype"] == "u1"


REASONS: dict[str, tuple[Callable[[xr.Dataset], xr.Dataset], str]] = {
    "gaps": (lambda dataset: dataset.isel(t=[0, 2]), "its bins leave gaps or overlap"),
    "scaled": (lambda dataset: dataset.assign_coords(t=dataset.t * 2), "an operation has left 't_bounds' beside"),
    "moved": (
        lambda dataset: dataset.drop_vars("t_bounds").assign_coords(t_bounds=(("t", "b"), bounds_in_file() + 1)),
        "its values aren't the middles",
    ),
    "turned": (
        lambda dataset: dataset.assign_coords(t=dataset.t[::-1].values, t_bounds=(("t", "b"), bounds_in_file()[::-1])),
        "what was computed has none",
    ),
    "none": (
        lambda dataset: dataset.assign_coords(t=dataset.t * 2).drop_vars("t_bounds"),
        "what was computed has none",
    ),
}


def bounds_in_file() -> NDArray[Any]:
    return np.stack([EDGES[:-1], EDGES[1:]], axis=-1)


@pytest.mark.parametrize("kind", REASONS)
def test_it_is_said_why_a_coordinate_has_no_bins_any_more(kind: str, tmp_path: Path) -> None:
    change, reason = REASONS[kind]
    changed = change(xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus", edges="bounds"))
    with pytest.raises(nexus_xr.NexusError, match=f"has edges or bounds of bins in the file, and {reason}"):
        changed.nexus.to_nexus(tmp_path / "b.nxs", layout="inplace")


IN_PLACE = LEAVE_BEHIND | {
    "interpolated": lambda dataset: dataset.interp(t=[7.0, 18.0, 25.0]),
    "padded": lambda dataset: dataset.pad(t=1),
}
IN_PLACE.pop("not a coordinate")


@pytest.mark.parametrize("of_array", [True, False])
@pytest.mark.parametrize("operation", [*IN_PLACE, *AVERAGE, "gaps"])
def test_centres_do_not_take_the_place_of_edges_in_a_file(operation: str, of_array: bool, tmp_path: Path) -> None:
    whole = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus")
    changed = (IN_PLACE | AVERAGE | {"gaps": lambda dataset: dataset.isel(t=[0, 2])})[operation](whole)
    obj: Any = changed.n.assign_coords(t=changed.t) if of_array else changed
    has_origin = "opened" in obj.encoding or not of_array
    reason = "/entry/data/t: has edges or bounds.*assign_edges" if has_origin else "doesn't say which file"
    with pytest.raises(nexus_xr.NexusError, match=reason):
        obj.nexus.to_nexus(tmp_path / "b.nxs", layout="inplace")
    assert not (tmp_path / "b.nxs").exists()


def test_edges_given_again_are_written_in_place(tmp_path: Path) -> None:
    whole = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus")
    shifted = whole.assign_coords(t=whole.t - 0.5).nexus.assign_edges(t=EDGES - 0.5)
    shifted.nexus.to_nexus(tmp_path / "b.nxs", layout="inplace")
    with h5py.File(tmp_path / "b.nxs") as file:
        np.testing.assert_array_equal(file["entry/data/t"], EDGES - 0.5)


def test_other_values_do_not_stand_beside_the_bounds_in_a_file(tmp_path: Path) -> None:
    whole = xr.open_dataset(histogram_file(tmp_path / "a.nxs"), engine="nexus")
    with pytest.warns(nexus_xr.NexusWarning, match="gaps"):
        whole.isel(t=[0, 2]).nexus.to_nexus(tmp_path / "b.nxs")  # with bounds as a field
    parts = xr.open_dataset(tmp_path / "b.nxs", engine="nexus")
    for changed in (parts.assign_coords(t=parts.t + 20), parts.n.assign_coords(t=parts.t + 20)):
        with pytest.raises(nexus_xr.NexusError, match=r"/t: has edges or bounds"):
            changed.nexus.to_nexus(tmp_path / "c.nxs", layout="inplace")
    moved = parts.assign_coords(t=parts.t + 20, t_bounds=parts.t_bounds + 20)
    moved.nexus.bounds_to_edges().nexus.to_nexus(tmp_path / "c.nxs", layout="inplace")
    with h5py.File(tmp_path / "c.nxs") as file:
        assert file["entry1/n/t_bounds"][()].tolist() == [[20, 30], [40, 60]]
        assert file["entry1/n/t"][()].tolist() == [25, 50]
