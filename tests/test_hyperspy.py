"""What HyperSpy saves comes back to it as it was, and what it promises of NeXus files is true here, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import nexus_xr
from nexus_xr import NexusError, NexusPathError, to_nexus

from .opened import only_signal

pytestmark = pytest.mark.filterwarnings("ignore")  # HyperSpy says much of its own future
RANDOM = np.random.default_rng(0)


# --- which dimensions are the signal's --------------------------------------------------------------------------------


def array(**attributes: Any) -> xr.DataArray:
    coordinates = {dim: np.arange(size) * 0.5 for dim, size in (("t", 2), ("y", 3), ("x", 4))}
    return xr.DataArray(np.arange(24.0).reshape(2, 3, 4), coordinates, name="n", attrs=attributes)


@pytest.mark.parametrize(
    ("interpretation", "expected"),
    [
        ("scalar", ()),
        ("spectrum", ("x",)),
        ("image", ("y", "x")),
        ("rgb-image", ("t", "y", "x")),
        ("film", ("t", "y", "x")),
        (None, ("t", "y", "x")),
    ],
)
def test_the_interpretation_tells_the_dimensions_of_the_signal(interpretation: Any, expected: tuple[str, ...]) -> None:
    assert array(**({} if interpretation is None else {"interpretation": interpretation})).nexus.signal_dims == expected
    assert array(interpretation="image")[0, 0].nexus.signal_dims == ("x",)  # which can't be an image


@pytest.mark.parametrize(("dims", "said"), [((), "scalar"), (("t",), "spectrum"), (("x", "t"), "image")])
def test_dimensions_of_the_signal_are_assigned_and_written(dims: tuple[str, ...], said: str, tmp_path: Path) -> None:
    assigned = array(units="s", interpretation="film").nexus.assign_signal_dims(*dims)
    assert (assigned.nexus.signal_dims, assigned.attrs) == (dims, {"units": "s", "interpretation": said})
    assert assigned.transpose("t", "y", "x").equals(array())
    to_nexus(assigned, tmp_path / "f.nxs")
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file["entry1/n"].attrs["interpretation"] == said
    [back] = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    assert back.identical(assigned)


def test_more_dimensions_than_there_are_words_for_are_told_by_the_others_axes(tmp_path: Path) -> None:
    whole = array(interpretation="image").expand_dims(run=[1, 2])
    assigned = whole.nexus.assign_signal_dims("t", "y", "x")
    assert assigned.attrs == {}
    assert assigned.run.attrs == {"navigate": True}
    to_nexus(assigned, tmp_path / "f.nxs")
    [back] = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    assert back.nexus.signal_dims == ("t", "y", "x")
    assert back.identical(assigned)
    with pytest.raises(NexusError, match=r"\['run'\] have none; assign coordinates"):
        whole.drop_vars("run").nexus.assign_signal_dims("t", "y", "x")


@pytest.mark.parametrize("dims", [(), "t", ["x", "t"], ("y", "x"), ("t", "x", "y")])
def test_dimensions_of_the_signal_are_set_in_place(dims: Any, tmp_path: Path) -> None:
    changed = array(units="s").expand_dims(run=[1, 2])
    shared, names = changed.copy(deep=False), (dims,) if isinstance(dims, str) else tuple(dims)
    before, assigned = shared.copy(), changed.nexus.assign_signal_dims(*names)
    accessor = changed.nexus
    changed.nexus.signal_dims = dims
    assert accessor is changed.nexus
    assert changed.nexus.signal_dims == changed.copy().nexus.signal_dims == names
    assert changed.identical(assigned)
    assert shared.identical(before)
    to_nexus(changed, tmp_path / "f.nxs")
    [back] = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    assert (back.nexus.signal_dims, back.identical(assigned)) == (names, True)


def test_setting_leaves_a_dataset_and_other_coordinates_as_they_are() -> None:
    dataset = array().assign_coords(angle=(("y", "x"), np.arange(12.0).reshape(3, 4))).to_dataset()
    before, taken = dataset.copy(deep=True), dataset["n"]
    taken.nexus.signal_dims = ("x", "y")
    assert dataset.identical(before)
    assert taken.angle.dims == ("x", "y")
    assert taken.sel(x=taken.x[0]).dims == ("t", "y")


@pytest.mark.parametrize("dims", ["z", ("z",), ("x", "x")])
def test_an_array_is_as_it_was_where_setting_is_refused(dims: Any) -> None:
    unchanged = array(interpretation="image")
    with pytest.raises(NexusError, match="expected some of"):
        unchanged.nexus.signal_dims = dims
    assert unchanged.identical(array(interpretation="image"))


@pytest.mark.parametrize("value", [True, 1, "True", np.bytes_(b"1")])
def test_axes_tell_which_dimensions_lead_from_one_signal_to_the_next(value: Any) -> None:
    told = array().assign_coords(t=("t", [0, 1], {"navigate": value}), y=("y", [0, 1, 2], {"navigate": "False"}))
    assert told.nexus.signal_dims == ("y", "x")


@pytest.mark.parametrize("dims", [("z",), ("x", "x")])
def test_dimensions_that_are_none_of_the_array_are_refused(dims: tuple[str, ...]) -> None:
    with pytest.raises(NexusError, match="expected some of"):
        array().nexus.assign_signal_dims(*dims)


def test_a_signal_has_the_interpretation_of_its_group(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["entry/data/n"], file["entry/data/m"] = np.zeros((2, 3, 4)), np.zeros((2, 3, 4))
        group = file["entry/data"]
        group.attrs.update(NX_class="NXdata", signal="n", auxiliary_signals=["m"], interpretation="spectrum")
        file["entry/own/n"], file["entry/short/n"] = np.zeros((2, 3)), np.zeros(2)
        file["entry/own/n"].attrs["interpretation"] = "image"
        for name in ("own", "short"):
            file["entry"][name].attrs.update(NX_class="NXdata", signal="n")
        file["entry/own"].attrs["interpretation"] = "spectrum"
        file["entry/short"].attrs["interpretation"] = "image"
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus", dataset_path="/entry/data")
    assert (opened.n.attrs, opened.m.attrs) == ({"interpretation": "spectrum"}, {})
    tree = xr.open_datatree(tmp_path / "f.nxs", engine="nexus")
    assert tree["entry/own/n"].attrs == {"interpretation": "image"}
    assert tree["entry/short/n"].attrs == {}


# --- what HyperSpy saves, opened and written here, and loaded there ---------------------------------------------------


def titled(signal: Any, title: str) -> Any:
    signal.metadata.General.title = title
    return signal


def images(hs: Any) -> Any:
    """A stack of images of two dimensions, with axes and metadata of all kinds."""
    signal = titled(hs.signals.Signal2D(RANDOM.random((2, 3, 4, 5))), "4D")
    scales = (("run", "s", 0.5, 1), ("z", "mm", 0.1, -2), ("y", "um", 0.2, 0), ("x", "um", 0.25, 7))
    for axis, (name, units, scale, offset) in zip(signal.axes_manager._axes, scales, strict=True):
        axis.name, axis.units, axis.scale, axis.offset = name, units, scale, offset
    stage = {"x": 1.5, "names": ["a", "b"], "none": [], "pair": (1, 2), "note": "", "grid": [[1, 2], [3, 4]]}
    told = {"n": {"value": 5, "attrs": {"units": "mm"}}, "is_on": True, "raw": b"bytes"}
    signal.original_metadata.add_dictionary({"stage": stage, **told})
    return signal


def decomposed(hs: Any) -> Any:
    signal = titled(hs.signals.Signal1D(RANDOM.random((5, 6, 30))), "a/b of spectra")
    signal.original_metadata.add_dictionary({"x": 1})
    signal.decomposition(print_info=False)
    signal.metadata.set_item("Acquisition.gains", [])
    return signal


def untitled(hs: Any) -> Any:
    return hs.signals.ComplexSignal1D(RANDOM.random((2, 3, 4)).astype("c8"))


def marked(hs: Any) -> Any:
    signal = titled(hs.signals.Signal2D(RANDOM.random((2, 30, 40))), "marked")
    apart = np.empty(2, object)
    apart[:] = [np.array([[1.0, 2.0]]), np.array([[1.0, 2.0], [3.0, 4.0]])]
    same = np.array([[1, 2], [3, 4]])
    for offsets in (same, apart):
        signal.add_marker(hs.plot.markers.Points(offsets=offsets), permanent=True)
    return signal


def of_three(hs: Any) -> Any:
    return titled(hs.signals.BaseSignal(RANDOM.random((2, 3, 4))), "of three")


def falling(hs: Any) -> Any:
    signal = titled(hs.signals.Signal1D(RANDOM.random((1, 8))), "falling")
    signal.axes_manager[-1].name, signal.axes_manager[-1].scale = "E", -1
    return signal


def state(signal: Any) -> dict[str, Any]:
    """All that HyperSpy knows of a signal, but when and by whom it was loaded."""
    metadata = signal.metadata.as_dictionary()
    metadata["General"].pop("FileIO", None)
    return {
        "class": type(signal).__name__,
        "axes": signal.axes_manager.as_dictionary(),
        "metadata": metadata,
        "learning results": dict(signal.learning_results.__dict__),
        "data": signal.data,
    }


def differences(a: Any, b: Any, path: str = "") -> Iterator[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a.keys() | b.keys():
            yield from differences(a.get(key), b.get(key), f"{path}/{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for number, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differences(one, other, f"{path}/{number}")
    elif isinstance(a, np.ndarray) and a.dtype == object and isinstance(b, np.ndarray) and a.shape == b.shape:
        yield from differences(list(a.flat), list(b.flat), path)
    elif type(a) is not type(b) or getattr(a, "dtype", None) != getattr(b, "dtype", None) or not np.array_equal(a, b):
        yield f"{path}: {a!r} became {b!r}"


@pytest.mark.parametrize("way", ["signals", "dataset"])
@pytest.mark.parametrize("make", [images, decomposed, untitled, marked, of_three, falling])
def test_what_hyperspy_saved_comes_back_to_it(
    hyperspy: Any, make: Callable[[Any], Any], way: str, tmp_path: Path
) -> None:
    from rsciio.nexus import file_writer

    saved = make(hyperspy)._to_dictionary()
    file_writer(str(tmp_path / "theirs.nxs"), saved)
    opened: Any
    if way == "signals":
        opened = nexus_xr.open_signals(tmp_path / "theirs.nxs", nxdata_only=True)
    else:
        opened = xr.open_dataset(tmp_path / "theirs.nxs", engine="nexus")
    to_nexus(opened, tmp_path / "ours.nxs")
    theirs, ours = (hyperspy.load(str(tmp_path / name), nxdata_only=True) for name in ("theirs.nxs", "ours.nxs"))
    assert list(differences(state(theirs), state(ours))) == []
    if saved["original_metadata"]:
        originals = (each.original_metadata.as_dictionary() for each in (theirs, ours))
        assert list(differences(*originals)) == []


@pytest.mark.parametrize("layout", ["entry", "inplace"])
def test_metadata_of_a_signal_that_was_never_saved_is_that_of_one_that_was(
    hyperspy: Any, layout: str, tmp_path: Path
) -> None:
    from rsciio.nexus import file_writer

    signal = titled(hyperspy.signals.Signal1D(RANDOM.random((5, 30))), "new")
    signal.metadata.set_item("Sample.elements", ["Cr", "Fe"])
    signal.metadata.set_item("Sample.description", None)
    told = signal.metadata.as_dictionary()
    assert told["_HyperSpy"]["Folding"]["original_shape"] is None
    file_writer(str(tmp_path / "f.nxs"), signal._to_dictionary())
    theirs = hyperspy.load(str(tmp_path / "f.nxs"), nxdata_only=True)
    if layout == "entry":
        opened = xr.DataArray(signal.data, dims=("y", "E"), name="new", attrs={"gap": {"none": None}})
    else:
        opened = only_signal(tmp_path / "f.nxs")
    to_nexus(opened.assign_attrs(hyperspy_metadata=told), tmp_path / "f.nxs", layout=layout)
    with h5py.File(tmp_path / "f.nxs", "r+") as file:
        [entry] = file.values()
        assert "description" not in entry["auxiliary/hyperspy_metadata/Sample"]
        if layout == "entry":
            assert entry["auxiliary/original_metadata/gap/none"].shape is None
            del entry["auxiliary/original_metadata"]
    ours = hyperspy.load(str(tmp_path / "f.nxs"), nxdata_only=True)
    elements = (each.metadata.Sample.elements for each in (theirs, ours))
    assert list(differences(*elements)) == []
    assert ours.metadata.General.title == "new"
    back = only_signal(tmp_path / "f.nxs").attrs["hyperspy_metadata"]
    assert back["_HyperSpy"]["Folding"].keys() == {"unfolded", "signal_unfolded"}


def test_lists_of_dictionaries_are_groups_to_hyperspy(hyperspy: Any, tmp_path: Path) -> None:
    told = {"Operations": {"steps": [{"name": "crop"}, {"name": "bin", "by": [2, 4]}]}}
    to_nexus(xr.DataArray([1.0, 2.0], dims="x", name="n", attrs=told), tmp_path / "f.nxs")
    steps = hyperspy.load(str(tmp_path / "f.nxs"), nxdata_only=True).original_metadata.Operations.steps.as_dictionary()
    assert (steps["0"]["name"], steps["1"]["by"].tolist()) == ("crop", [2, 4])


def test_what_was_something_may_become_nothing_in_the_metadata_of_hyperspy(tmp_path: Path) -> None:
    for told in ({"a": 1, "b": {"value": None, "attrs": {"units": "m"}}}, {"a": None, "c": None, "d": {"e": None}}):
        opened = only_signal(tmp_path / "f.nxs") if "c" in told else xr.DataArray([1.0], dims="x", name="n")
        layout = "inplace" if "c" in told else "entry"
        to_nexus(opened.assign_attrs(hyperspy_metadata=told), tmp_path / "f.nxs", layout=layout)
    with h5py.File(tmp_path / "f.nxs") as file:
        stored = file["entry1/auxiliary/hyperspy_metadata"]
        assert {name: getattr(each, "shape", "group") for name, each in stored.items()} == {
            "a": None,
            "b": None,
            "d": "group",
        }
        assert len(stored["d"]) == 0


def test_lists_with_none_stay_lists_in_the_metadata_of_hyperspy(hyperspy: Any, tmp_path: Path) -> None:
    told = {"a": ["x", None, 2], "b": [{"c": 1, "d": [None, None]}, None], "General": {"title": "t"}}
    signal = xr.DataArray([1.0, 2.0], dims="x", name="n", attrs={"hyperspy_metadata": told})
    to_nexus(signal, tmp_path / "f.nxs")
    back = only_signal(tmp_path / "f.nxs")
    assert back.attrs["hyperspy_metadata"] == told
    assert hyperspy.load(str(tmp_path / "f.nxs"), nxdata_only=True).metadata.b.as_dictionary()["0"]["c"] == 1
    changed = {**told, "a": [None, "y"], "e": [3, None]}
    to_nexus(back.assign_attrs(hyperspy_metadata=changed), tmp_path / "f.nxs", layout="inplace")
    assert only_signal(tmp_path / "f.nxs").attrs["hyperspy_metadata"] == changed


def test_a_new_title_is_the_one_that_hyperspy_loads(hyperspy: Any, tmp_path: Path) -> None:
    from rsciio.nexus import file_writer

    file_writer(str(tmp_path / "theirs.nxs"), images(hyperspy)._to_dictionary())
    opened = xr.open_dataset(tmp_path / "theirs.nxs", engine="nexus")
    opened.attrs["hyperspy_metadata"]["General"]["title"] = "as it is called now"
    with xr.set_options(keep_attrs=True):
        to_nexus(opened * 2, tmp_path / "ours.nxs")
    assert hyperspy.load(str(tmp_path / "ours.nxs"), nxdata_only=True).metadata.General.title == "as it is called now"


def test_keys_choose_of_the_original_metadata_alone(hyperspy: Any, tmp_path: Path) -> None:
    from rsciio.nexus import file_writer

    signal = decomposed(hyperspy)
    signal.original_metadata.add_dictionary({"instrument": {"gain": 2}})
    file_writer(str(tmp_path / "theirs.nxs"), signal._to_dictionary())
    [opened] = nexus_xr.open_signals(tmp_path / "theirs.nxs", nxdata_only=True, metadata_key="instrument")
    to_nexus(opened, tmp_path / "ours.nxs")
    theirs = hyperspy.load(str(tmp_path / "theirs.nxs"), nxdata_only=True, metadata_key="instrument")
    ours = hyperspy.load(str(tmp_path / "ours.nxs"), nxdata_only=True)
    assert list(differences(state(theirs), state(ours))) == []
    assert theirs.original_metadata.as_dictionary() == {"instrument": {"gain": 2}}
    assert ours.original_metadata.as_dictionary() == {"attrs": {"NX_class": "NXcollection"}, "instrument": {"gain": 2}}


@pytest.mark.parametrize(("titles", "expected"), [(["a", "b"], "n"), (["a", "a"], "a")])
def test_a_stack_is_called_by_the_title_that_all_have(titles: list[str], expected: str, tmp_path: Path) -> None:
    for number, title in enumerate(titles):
        metadata = {"General": {"title": title, "authors": "us"}, "Signal": {"signal_type": ""}}
        to_nexus(array(hyperspy_metadata=metadata), tmp_path / f"{number}.nxs")
    stack = nexus_xr.open_mfdataset(f"{tmp_path}/*.nxs", concat_dim="run")
    to_nexus(stack, tmp_path / "stack.nxs")
    assert nexus_xr.list_datasets(tmp_path / "stack.nxs")[0] == [f"/entry1/{expected}"]
    assert nexus_xr.open_signals(tmp_path / "stack.nxs", nxdata_only=True)[0].shape == (2, 2, 3, 4)


@pytest.mark.parametrize(("dims", "expected"), [(("x",), "Signal1D"), (("y", "x"), "Signal2D")])
def test_assigned_dimensions_make_the_class_of_the_signal(
    hyperspy: Any, dims: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    to_nexus(array().nexus.assign_signal_dims(*dims), tmp_path / "f.nxs")
    signal = hyperspy.load(str(tmp_path / "f.nxs"), nxdata_only=True)
    assert type(signal).__name__ == expected
    assert [axis.name for axis in signal.axes_manager.signal_axes] == list(dims[::-1])


@pytest.mark.parametrize("labels", [["a", "bé", "c"], ["1", "2", "3"]])
def test_axes_of_text_are_no_hindrance_to_hyperspy(hyperspy: Any, labels: list[str], tmp_path: Path) -> None:
    spectra = array(interpretation="spectrum").assign_coords(y=labels)
    to_nexus(spectra, tmp_path / "f.nxs")
    signal = hyperspy.load(str(tmp_path / "f.nxs"), nxdata_only=True)
    np.testing.assert_array_equal(signal.data, spectra)
    assert signal.axes_manager.signal_dimension == 1
    [back] = nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True)
    assert back.identical(spectra)


# --- what HyperSpy's users know of the files of its tests -------------------------------------------------------------


@pytest.fixture
def files(corpus: Path) -> Path:
    return corpus / "rosettasciio/rsciio/tests/data/nexus"


DLS = "nexus_dls_example.nxs"


def test_one_that_is_no_link_has_its_axes_and_metadata(files: Path) -> None:
    signal = only_signal(files / DLS, hardlinks_only=True)
    assert (signal.dims[:2], signal.nexus.signal_dims) == (("y", "x"), (signal.dims[2],))
    mirror = signal.attrs["instrument"]["beamline"]["M1"]
    assert mirror["attrs"]["NX_class"] == "NXmirror"
    assert mirror["m1_y"] == {"value": -4.0, "attrs": {**mirror["m1_y"]["attrs"], "units": "mm"}}
    without = only_signal(files / "nexus_dls_example_no_axes.nxs", hardlinks_only=True)
    assert without.dims == ("dim_0", "dim_1", "dim_2")
    assert without.attrs["instrument"]["beamline"]["M1"]["m1_y"]["value"] == -4.0


def test_metadata_of_other_groups_is_at_its_place_in_the_whole_tree(files: Path) -> None:
    tree = nexus_xr.read_metadata(files / DLS, metadata_key="m1_y")
    assert tree["alias_metadata"]["m1_y"]["attrs"]["units"] == "mm"
    assert nexus_xr.read_metadata(files / DLS, metadata_key="xxxx") == {}


def test_paths_and_keys_choose_what_is_opened(files: Path) -> None:
    path = "/entry1/testdata/nexustest"
    assert only_signal(files / DLS, dataset_path=path).encoding["nexus_path"] == f"{path}/data"
    with pytest.raises(NexusPathError, match="/wrong is not there"):
        nexus_xr.open_signals(files / DLS, dataset_path=[path, "wrong"])
    [rocks] = nexus_xr.open_signals(files / "saved_multi_signal.nxs", nxdata_only=True, dataset_key=["rocks"])
    assert rocks.encoding["nexus_path"] == "/entry1/rocks/data"
    default = only_signal(files / "saved_multi_signal.nxs", use_default=True, dataset_key="unnamed__1")
    assert default.encoding["nexus_path"] == "/entry1/rocks/data"
    assert nexus_xr.list_datasets(files / DLS, dataset_key="xyz") == ([], [])


@pytest.mark.parametrize("key", [[123, 456], ["[1234]", 56], 5])
def test_keys_that_are_no_text_are_refused(files: Path, key: Any) -> None:
    with pytest.raises(TypeError, match="expected a string or a list of strings"):
        nexus_xr.open_signals(files / DLS, dataset_key=key)


def test_metadata_that_hyperspy_saved_is_restored(files: Path) -> None:
    for name in ("simple_signal.nxs", "saved_multi_signal.nxs"):
        rocks = nexus_xr.open_signals(files / name, nxdata_only=True)[0]
        energy = rocks.attrs["instrument"]["energy"]
        assert (energy["value"], energy["attrs"]["units"]) == (12.0, "keV")
        assert energy["attrs"]["NX_class"] == "NXmonochromater"
        assert energy["attrs"]["test"].tolist() == ["a", "1.0", "c"]
        assert (rocks.dims[:2], rocks.nexus.signal_dims) == (("yaxis", "xaxis"), rocks.dims[2:])
    processed = nexus_xr.open_signals(files / "saved_multi_signal.nxs", nxdata_only=True)[1]
    assert processed.attrs["instrument"]["processing"]["window_size"]["value"] == 20.0
    assert processed.attrs["instrument"]["processing"]["lines"]["value"].tolist() == ["Fe_Ka", "Cu_Ka", "Compton"]
    assert processed.attrs["instrument"]["scantype"]["value"] == "XRF"
    assert processed.nexus.signal_dims == ("energy",)
    assert "energy" not in processed.attrs["instrument"]  # which is the other's


def test_files_of_older_rules_open(files: Path) -> None:
    arrays = nexus_xr.open_signals(files / "nexus_test_datakey.nxs", chunks={})
    by_path = {each.encoding["nexus_path"].removeprefix("/entry1/testdata/"): each for each in arrays}
    assert len(by_path) == 6
    assert by_path["nexustest1/data"].chunks == ((1, 1), (1, 1, 1), (2, 2))  # as its attribute asks for
    uneven = by_path["nexustest_axistest1/data"]
    assert (uneven.y.values.tolist(), uneven.x.values.tolist()) == ([6, 7], [3.0, 2.5, 1.0])
    groups, datasets = nexus_xr.list_datasets(files / "nxdata_tagged_as_string.nxs", dataset_key="dummy")
    assert (len(groups), len(datasets)) == (2, 2)


def test_metadata_is_written_and_read_as_what_it_is(tmp_path: Path) -> None:
    told = {"number": 44.0, "pair": (1, 2), "many": np.arange(5), "keys": 2.0, "odd": "ÿþW["}
    plain = xr.DataArray([0.1, 0.2], dims="x", name="n", attrs={"told": told})
    to_nexus(plain, tmp_path / "f.nxs")
    back = only_signal(tmp_path / "f.nxs", use_default=True).attrs["told"]
    assert isinstance(back["number"], float)
    assert (back["pair"].tolist(), back["many"].tolist()) == ([1, 2], [0, 1, 2, 3, 4])
    assert (back["keys"], back["odd"]) == (2.0, "ÿþW[")
    to_nexus(plain, tmp_path / "f.nxs", skip_metadata_key="pair")
    assert "pair" not in only_signal(tmp_path / "f.nxs").attrs["told"]


def test_a_group_without_a_signal_is_told_of(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.nxs", "w") as file:
        file["entry/data/a"], file["entry/data/b"] = [1, 2], [3, 4]
        file["entry/data"].attrs["NX_class"] = "NXdata"
    with pytest.warns(nexus_xr.NexusWarning, match="could be any of a, b"):
        assert nexus_xr.open_signals(tmp_path / "f.nxs", nxdata_only=True) == []
