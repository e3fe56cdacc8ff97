"""What was opened is written back where it came from: the same tree, but for what is new or different."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from h5py import h5a, h5d, h5s, h5t
from hypothesis import given, settings
from hypothesis import strategies as st

import nexus_xr
from nexus_xr import NexusError, to_nexus
from nexus_xr.hdf5.writing.exact_numbers import in_type

from .corpus import each_file
from .files import Field, nxdata, nxentry, scan_file, with_references, with_scales, write_tree

# --- what the same tree is ---------------------------------------------------------------------------------------


def links(group: h5py.Group) -> dict[str, Any]:
    found = {}
    for name in group:
        link = group.get(name, getlink=True)
        kind = type(link).__name__
        found[name] = (kind, *(getattr(link, part) for part in ("filename", "path") if hasattr(link, part)))
    return found


def attributes(item: h5py.HLObject) -> dict[str, Any]:
    found = {}
    for name in item.attrs:
        attribute = item.attrs.get_id(name)
        try:
            value = repr(item.attrs[name])
        except (OSError, TypeError):  # h5py itself can't read it
            value = "unreadable"
        found[name] = (attribute.shape, attribute.dtype.str, attribute.dtype.metadata and repr(attribute.dtype), value)
    return found


def layout(dataset: h5py.Dataset) -> tuple[Any, ...]:
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(index)[:3] for index in range(properties.get_nfilters())]
    return properties.get_layout(), dataset.chunks, dataset.maxshape, filters, dataset.external


def values(dataset: h5py.Dataset) -> str | bytes:
    try:
        found = dataset[()]
    except (OSError, TypeError, ValueError):
        return "unreadable"
    is_plain = isinstance(found, np.ndarray | np.generic) and not found.dtype.hasobject
    return np.asarray(found).tobytes() if is_plain else repr(np.asarray(found, object).tolist())


def differences(a: h5py.Group, b: h5py.Group) -> Iterator[str]:
    """Paths at which two files are not the same tree: names, links, types, layouts, values and attributes."""
    done = set()

    def compare(a: h5py.Group, b: h5py.Group) -> Iterator[str]:
        if (address := h5py.h5g.get_objinfo(a.id).objno) in done:
            return
        done.add(address)
        if links(a) != links(b) or list(a) != list(b):
            yield f"{a.name}: members"
        for name in a:
            if not isinstance(a.get(name, getlink=True), h5py.HardLink) or name not in b:
                continue
            one, other = a[name], b[name]
            if type(one) is not type(other) or attributes(one) != attributes(other):
                yield f"{one.name}: attributes"
            elif isinstance(one, h5py.Group):
                yield from compare(one, other)
            elif isinstance(one, h5py.Dataset):
                if (one.shape, one.dtype, layout(one)) != (other.shape, other.dtype, layout(other)):
                    yield f"{one.name}: storage"
                elif one.nbytes < 1 << 26 and values(one) != values(other):
                    yield f"{one.name}: values"

    if attributes(a) != attributes(b):
        yield "/: attributes"
    yield from compare(a, b)


def assert_same_tree(one: Path, other: Path) -> None:
    with h5py.File(one) as a, h5py.File(other) as b:
        assert list(differences(a, b)) == []


# --- files of facilities ---------------------------------------------------------------------------------------


def opened_in_each_way(path: Path) -> Iterator[Any]:
    yield xr.open_datatree(path, engine="nexus")
    tree = xr.open_datatree(path, engine="nexus", chunks={})
    if sum(node.dataset.nbytes for node in tree.subtree) < 1 << 26:
        yield tree.load()
    with contextlib.suppress(nexus_xr.NexusPathError):
        yield xr.open_dataset(path, engine="nexus")
    yield nexus_xr.open_signals(path, nxdata_only=True) or tree


# No difference is accepted: what isn't changed isn't touched.
@each_file
@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_what_was_opened_and_written_back_is_the_same_tree(path: Path, tmp_path: Path) -> None:
    for obj in opened_in_each_way(path):
        to_nexus(obj, tmp_path / "f.nxs", layout="inplace")
        assert_same_tree(path, tmp_path / "f.nxs")


# Accepted: values that lie in other files, behind links or as virtual datasets, come into the file, as no other file
# is changed; a dataset of text of another length than NumPy gives it is made anew.
def is_accepted(difference: str, file: h5py.File) -> bool:
    path, _, what = difference.partition(": ")
    item = file.get(path)
    if isinstance(item, h5py.Group):
        return what == "members" and any(kind == "ExternalLink" for kind, *_ in links(item).values())
    return isinstance(item, h5py.Dataset) and (item.is_virtual or item.external is not None)


def computed(variable: xr.DataArray) -> xr.DataArray:
    """The same values, as a calculation whose result isn't known before."""
    is_plain = variable.dtype.kind in "biufc" and "scale_factor" not in variable.encoding and variable.ndim
    if not is_plain or "bounds" in variable.attrs or variable.nbytes > 1 << 26:
        return variable
    return variable.copy(data=variable.chunk().data.map_blocks(np.copy))


@each_file
@pytest.mark.usefixtures("corpus")
@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_values_that_are_written_anew_make_the_same_tree(path: Path, tmp_path: Path) -> None:
    tree = xr.open_datatree(path, engine="nexus")
    for node in tree.subtree:
        for name in node.dataset.data_vars:
            node[str(name)] = computed(node.dataset[name])
    to_nexus(tree, tmp_path / "f.nxs", layout="inplace")
    with h5py.File(path) as a, h5py.File(tmp_path / "f.nxs") as b:
        assert [each for each in differences(a, b) if not is_accepted(each, a)] == []
        for node in tree.subtree:
            for variable in node.dataset.data_vars.values():
                stored = b.get(variable.encoding["nexus_path"])
                is_small = variable.nbytes < 1 << 26 and stored is not None
                if is_small and "scale_factor" not in variable.encoding and variable.dtype.kind in "biufc":
                    np.testing.assert_array_equal(stored[()], variable.values)


# --- what is changed -------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_tree(tmp_path / "scan.nxs", scan_file())
    return tmp_path / "scan.nxs"


def test_other_values_stand_where_the_old_ones_stood(file: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus")
    dataset["counts"] = dataset.counts.copy(data=dataset.counts.values + 1)
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(file) as old, h5py.File(tmp_path / "new.nxs") as new:
        assert list(differences(old, new)) == ["/entry/data/counts: values"]
        np.testing.assert_array_equal(new["entry/data/counts"], old["entry/data/counts"][()] + 1)


def test_a_file_can_be_written_onto_itself(file: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus", chunks={})
    dataset["counts"] = dataset.counts.copy(data=dataset.counts.data * 2)
    dataset.nexus.to_nexus(file, layout="inplace")
    with h5py.File(file) as new:
        np.testing.assert_array_equal(new["entry/data/counts"], 2 * np.arange(12).reshape(3, 4))
        assert new["entry/instrument/detector/distance"].attrs["units"] == "m"


def test_dimension_scales_stay_what_they_are(tmp_path: Path) -> None:
    with_scales(tmp_path / "old.nxs")
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    dataset["n"] = dataset.n.copy(data=dataset.n.values * 2)
    to_nexus(dataset, tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "old.nxs") as old, h5py.File(tmp_path / "new.nxs") as new:
        assert list(differences(old, new)) == ["/entry/data/n: values"]


def test_references_stay_what_they_are(tmp_path: Path) -> None:
    with_references(tmp_path / "old.nxs")
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    dataset["n"] = dataset.n.copy(data=dataset.n.values * 2)
    to_nexus(dataset, tmp_path / "new.nxs", layout="inplace", compression="gzip")
    with h5py.File(tmp_path / "old.nxs") as old, h5py.File(tmp_path / "new.nxs") as new:
        assert list(differences(old, new)) == ["/entry/data/n: values"]
    dataset.attrs["fields"]["objects"]["value"] = ["a", "b", "c", "d"]
    to_nexus(dataset, tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        assert new["entry/fields/objects"].asstr()[:].tolist() == ["a", "b", "c", "d"]


def attached(path: Path) -> dict[str, list[list[str]]]:
    """The scales of each dataset, dimension by dimension."""
    with h5py.File(path) as file:
        return {name: [[scale.name for scale in dim.values()] for dim in file[name].dims] for name in ATTACHED}


ATTACHED = {
    f"/entry/data/{name}": [[f"/entry/data/{dim}"] for dim in dims] for name, dims in {"n": "yx", "m": "x"}.items()
}


@pytest.mark.parametrize("name", ["n", "x"])
def test_what_takes_the_place_of_a_dataset_takes_part_in_its_scales(tmp_path: Path, name: str) -> None:
    with_scales(tmp_path / "f.nxs")
    dataset = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    assert attached(tmp_path / "f.nxs") == ATTACHED
    changed = dataset.assign({name: dataset[name] + 0.5})
    to_nexus(changed, tmp_path / "f.nxs", layout="inplace")
    assert attached(tmp_path / "f.nxs") == ATTACHED
    with h5py.File(tmp_path / "f.nxs") as file:
        assert file[f"entry/data/{name}"].dtype.kind == "f"
        assert file["entry/data/x"].is_scale
        assert [dim.label for dim in file["entry/data/n"].dims] == ["along y", "along x"]


def test_what_has_other_dimensions_is_attached_to_no_scale_of_these(tmp_path: Path) -> None:
    with_scales(tmp_path / "f.nxs")
    dataset = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    to_nexus(dataset.assign(n=dataset.n.sum("y")), tmp_path / "sum.nxs", layout="inplace")
    assert attached(tmp_path / "sum.nxs") == {**ATTACHED, "/entry/data/n": [[]]}
    to_nexus(dataset.isel(x=slice(2)), tmp_path / "part.nxs", layout="inplace")
    assert attached(tmp_path / "part.nxs") == {"/entry/data/n": ATTACHED["/entry/data/n"], "/entry/data/m": [[]]}


def test_a_value_of_the_tree_keeps_its_type_and_its_attributes(file: Path, tmp_path: Path) -> None:
    with h5py.File(file, "r+") as stored:
        del stored["entry/instrument/detector/distance"]
        stored["entry/instrument/detector/distance"] = np.array([1.5], "f4")
        stored["entry/instrument/detector/distance"].attrs.update(units="m", error=np.float32(0.5))
    dataset = xr.open_dataset(file, engine="nexus")
    detector = dataset.attrs["instrument"]["detector"]
    detector["distance"]["value"] = 2.0
    detector["distance"]["attrs"]["error"] = 0.25
    detector["distance"]["attrs"]["checked"] = "yes"
    dataset.attrs["title"]["value"] = "another"
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        distance = new["entry/instrument/detector/distance"]
        assert (distance.dtype, distance.shape, distance[0]) == (np.dtype("f4"), (1,), 2.0)
        assert dict(distance.attrs) == {"units": "m", "error": 0.25, "checked": "yes"}
        assert distance.attrs["error"].dtype == "f4"
        assert new["entry/title"][()] == b"another"
    assert xr.open_dataset(tmp_path / "new.nxs", engine="nexus").identical(dataset)


def test_a_signal_of_other_dimensions_is_told_of_anew(tmp_path: Path) -> None:
    signal = Field(np.arange(12.0).reshape(3, 4), {"signal": 1, "axes": "y:x", "units": "s", "interpretation": "image"})
    axes = {"y": Field(np.arange(3.0), {"axis": 1}), "x": Field(np.arange(4.0), {"axis": 2}), "title": "a map"}
    data = nxdata({"n": signal, **axes}, signal="n", axes=["y", "x"], y_indices=0, x_indices=1, note="kept")
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": data})})
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    with xr.set_options(keep_attrs=True):
        mean = dataset.mean("y")
    mean.encoding = dataset.encoding
    mean.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        group = new["entry/data"]
        assert (list(group.attrs["axes"]), group.attrs["x_indices"], "y_indices" in group.attrs) == (["x"], 0, False)
        assert group.attrs["note"] == "kept"
        assert dict(group["n"].attrs) == {"signal": 1, "units": "s"}
        np.testing.assert_array_equal(group["n"], np.arange(12.0).reshape(3, 4).mean(0))
    turned = dataset.transpose("x", "y")  # whose order in the file is the file's
    turned.nexus.to_nexus(tmp_path / "same.nxs", layout="inplace")
    assert_same_tree(tmp_path / "old.nxs", tmp_path / "same.nxs")


NUMBERS = [np.dtype(each) for each in ("?", "i1", "u1", "i2", "<u4", ">i4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")]
SOME = [0, 1, -1, 127, 200, 255, -128, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 1.5, 1e300, np.nan, np.inf, 1j]


@settings(max_examples=300)
@given(st.sampled_from(NUMBERS), st.sampled_from(NUMBERS), st.lists(st.sampled_from(SOME), min_size=1, max_size=3))
def test_numbers_go_into_a_type_that_holds_them_and_no_other(old: np.dtype[Any], new: np.dtype[Any], some: Any) -> None:
    with np.errstate(all="ignore"):
        values = np.array(
            [np.array(each).astype(new) for each in some if new.kind == "c" or not isinstance(each, complex)]
        )
    made = in_type(values, old)
    if (old.kind == "c") != (new.kind == "c"):
        assert made is None
        return
    exact = [_exact(each) for each in values.tolist()]
    with np.errstate(all="ignore"):
        assert (made is None) == (exact != [_exact(each) for each in values.astype(old).tolist()])
    assert made is None or (made.dtype == old and [_exact(each) for each in made.tolist()] == exact)


def _exact(number: Any) -> Any:
    """A number as Python compares it without rounding, and NaN like NaN."""
    if isinstance(number, complex):
        return _exact(number.real), _exact(number.imag)
    return str(number) if number != number or abs(number) == math.inf else Fraction(number)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (np.array([1, 2], "u4"), np.array([-1, 2], "i4")),
        (np.array([1, 2], "u1"), np.array([-1, 2], "i1")),
        (np.array([1, 2], "i8"), np.array([2**64 - 1, 2], "u8")),
        (np.array([1, 2], "f8"), np.array([2**53 + 1, 2])),
        (np.array([1, 2], "c16"), np.array([1.5, 2])),
        (np.array([1, 2], "f8"), np.array([1j, 2])),
        (np.array([1, 2], "i4"), np.array([np.nan, 2])),
    ],
)
def test_numbers_of_another_type_are_what_they_are(tmp_path: Path, old: Any, new: Any) -> None:
    write_tree(
        tmp_path / "old.nxs", {"entry": nxentry({"data": nxdata({"n": old}, signal="n"), "p": old[0], "q": old})}
    )
    with h5py.File(tmp_path / "old.nxs", "r+") as file:
        file["entry/p"].attrs["number"], file["entry/data/n"].attrs["number"] = old[0], old
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    dataset["n"] = (dataset.n.dims, new, {"number": new})
    dataset.attrs["p"] = {"value": new[0], "attrs": {"number": new[0]}}
    dataset.attrs["q"]["value"] = new
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as file:
        entry = file["entry"]
        for found in (entry["data/n"], entry["q"], entry["data/n"].attrs["number"]):
            np.testing.assert_array_equal(found, new)
        for found in (entry["p"][()], entry["p"].attrs["number"]):
            np.testing.assert_array_equal(found, new[0])
        assert entry["data/n"].dtype == new.dtype


def test_links_that_lead_nowhere_stay_what_they_are(tmp_path: Path) -> None:
    write_tree(tmp_path / "old.nxs", scan_file())
    with h5py.File(tmp_path / "old.nxs", "r+") as file:
        file["entry/dead"], file["entry/away"] = h5py.SoftLink("/nowhere"), h5py.ExternalLink("gone.h5", "/x")
        file["entry/data/counts"].attrs["origin"] = file["entry"].ref
    with pytest.warns(nexus_xr.NexusWarning):
        signals = nexus_xr.open_signals(tmp_path / "old.nxs")
    to_nexus(signals, tmp_path / "same.nxs", layout="inplace")
    assert_same_tree(tmp_path / "old.nxs", tmp_path / "same.nxs")
    to_nexus(signals[0], tmp_path / "new.nxs")
    links: dict[str, Any] = {}
    with h5py.File(tmp_path / "new.nxs") as file:
        file.visititems_links(lambda name, link: links.update({name.rpartition("/")[2]: link}))
        assert (links["dead"].path, links["away"].path) == ("/nowhere", "/x")
        name = signals[0].name
        assert file[f"entry1/{name}/{name}"].attrs["origin"] == "/entry"  # a reference, which is an attribute
        assert not {"dead", "away"} & file[f"entry1/{name}/{name}"].attrs.keys()


PADDINGS = {"null-terminated": h5t.STR_NULLTERM, "null-padded": h5t.STR_NULLPAD, "space-padded": h5t.STR_SPACEPAD}
CHARACTERS = {"ascii": h5t.CSET_ASCII, "utf-8": h5t.CSET_UTF8}


@pytest.mark.parametrize("characters", CHARACTERS)
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("shape", [(), (1,), (2,)])
def test_text_goes_into_strings_of_fixed_length_that_hold_it(
    tmp_path: Path, characters: str, padding: str, shape: tuple[int, ...]
) -> None:
    kind = h5t.C_S1.copy()
    kind.set_size(6)
    kind.set_strpad(PADDINGS[padding])
    kind.set_cset(CHARACTERS[characters])
    space = h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)
    write_tree(tmp_path / "old.nxs", scan_file())
    with h5py.File(tmp_path / "old.nxs", "r+") as file:
        old = np.full(shape, b"abcd", h5py.string_dtype(characters, 6))
        h5py.Dataset(h5d.create(file["entry"].id, b"text", kind, space))[...] = old
        h5a.create(file["entry/text"].id, b"text", kind, space).write(old)
    fitting = ["abc", "abcd", "abcde", ""]
    fitting += ["abcdef"] * (padding != "null-terminated") + ["a "] * (padding != "space-padded")
    fitting += ["é€"] * (characters == "utf-8")
    for text in [*fitting, "abcdef", "a ", "é€", "abcdefg", "é€é"]:
        dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
        field = dataset.attrs["text"]
        value = text if np.size(field["value"]) == 1 else np.array([text, "x"])
        field["value"] = field["attrs"]["text"] = value
        dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
        with h5py.File(tmp_path / "new.nxs") as new:
            stored = new["entry/text"]
            types = [stored.id.get_type(), stored.attrs.get_id("text").get_type()]
            assert [kind == each for each in types] == [text in fitting] * 2, text
            if text in fitting:
                assert stored.shape == stored.attrs.get_id("text").shape == shape
        again = xr.open_dataset(tmp_path / "new.nxs", engine="nexus").attrs["text"]
        assert np.array_equal(again["value"], value), text
        assert np.array_equal(again["attrs"]["text"], value), text


def test_text_of_any_length_stays_that(file: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus")
    dataset.attrs["title"]["value"] = "ein längerer Titel"
    dataset.attrs["instrument"]["detector"]["distance"]["attrs"]["units"] = "µm"
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(file) as old, h5py.File(tmp_path / "new.nxs") as new:
        for group in (old, new):
            assert h5py.check_string_dtype(group["entry/title"].dtype).length is None
        assert new["entry/title"].asstr()[()] == "ein längerer Titel"
        assert new["entry/instrument/detector/distance"].attrs["units"] == "µm"
        assert links(old["entry"]) == links(new["entry"])


def test_groups_of_a_field_value_change_where_they_are(tmp_path: Path) -> None:
    positioner = {"@NX_class": "NXpositioner", "value": Field(1.5, {"units": "mm"})}
    nested = {"@NX_class": "NXcollection", "value": {"value": {"value": 2}}}
    data = nxdata({"n": [1, 2]}, signal="n")
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": data, "x": positioner, "nested": nested, "y": 1.0})})
    for change in (dict, lambda tree: tree):
        dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
        dataset.attrs["x"] = change(dataset.attrs["x"])
        dataset.nexus.to_nexus(tmp_path / "same.nxs", layout="inplace")
        assert_same_tree(tmp_path / "old.nxs", tmp_path / "same.nxs")
        dataset.attrs["x"]["value"] = {"value": 2.5, "attrs": {"units": "um"}}
        dataset.attrs["nested"]["value"]["value"]["value"]["value"] = 3
        dataset.attrs["y"] = {"value": {"value": 4.0, "attrs": {"units": "mm"}}, "attrs": {"NX_class": "NXpositioner"}}
        dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
        with h5py.File(tmp_path / "new.nxs") as new:
            assert new["entry/x"].attrs["NX_class"] == new["entry/y"].attrs["NX_class"] == "NXpositioner"
            assert (new["entry/x/value"][()], new["entry/x/value"].attrs["units"]) == (2.5, "um")
            assert new["entry/nested/value/value/value"][()] == 3
            assert (new["entry/y/value"][()], new["entry/y/value"].attrs["units"]) == (4.0, "mm")


def test_a_field_takes_the_place_of_a_group_of_a_field_value(tmp_path: Path) -> None:
    positioner = {"@NX_class": "NXpositioner", "value": 1.5}
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": nxdata({"n": [1]}, signal="n"), "x": positioner})})
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    dataset.attrs["x"] = {"value": 1.5}
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        assert new["entry/x"][()] == 1.5


def test_what_is_new_stands_beside_what_there_was(file: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus")
    dataset["normalised"] = dataset.counts / dataset.i0.where(dataset.i0 > 0)
    dataset = dataset.assign_coords(temperature=("y", [290.0, 300.0, 310.0], {"units": "K"}))
    dataset.attrs["process"] = {"program": {"value": "reduce"}, "attrs": {"NX_class": "NXprocess"}}
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(file) as old, h5py.File(tmp_path / "new.nxs") as new:
        assert set(new["entry"]) - set(old["entry"]) == {"process"}
        assert set(new["entry/data"]) - set(old["entry/data"]) == {"normalised", "temperature"}
        assert list(new["entry/data"].attrs["auxiliary_signals"]) == ["i0", "normalised"]
        assert new["entry/data"].attrs["temperature_indices"] == 0
        assert new["entry/process"].attrs["NX_class"] == "NXprocess"
    again = xr.open_dataset(tmp_path / "new.nxs", engine="nexus")
    assert again.attrs["process"] == dataset.attrs["process"]
    assert again.drop_attrs(deep=False).identical(dataset.drop_attrs(deep=False))


@pytest.mark.parametrize("options", [{}, {"drop_variables": "counts"}], ids=["dropped", "left out"])
def test_what_is_new_is_told_by_the_signal_of_the_file(file: Path, tmp_path: Path, options: Any) -> None:
    dataset = xr.open_dataset(file, engine="nexus", **options).drop_vars("counts", errors="ignore")
    dataset = dataset.assign(level=dataset.i0 + 1).assign_coords(row=("y", ["a", "b", "c"]), column=("x", [1, 2, 3, 4]))
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    again = xr.open_dataset(tmp_path / "new.nxs", engine="nexus")
    assert set(again.data_vars) == {"counts", "counts_errors", "i0", "level"}
    for name in ("row", "column", "level"):
        xr.testing.assert_equal(again[name].variable, dataset[name].variable)
    assert {"row", "column"} < set(again.coords)


def with_more(dataset: xr.Dataset) -> xr.Dataset:
    """A Dataset with new variables that have its dimensions, or some of them."""
    scaled = xr.Variable(dataset.counts.dims, dataset.counts.data * 2.5)
    with_data = dataset.assign(scaled=scaled, row=dataset.i0.sum("y"))
    with_data = with_data.assign_coords(column=2 * dataset.x, angle=dataset.i0 + dataset.y, name=("x", list("abcd")))
    with_errors: xr.Dataset = with_data.nexus.assign_errors(scaled=scaled.values / 2)
    return with_errors


def assert_has_more(path: Path, expected: xr.Dataset) -> None:
    found = xr.open_dataset(path, engine="nexus")
    xr.testing.assert_equal(found, expected)
    assert set(found.coords) == set(expected.coords)
    assert found.scaled.dims == found.scaled_errors.dims == found.angle.dims == ("y", "x")


@pytest.mark.parametrize("chunks", [None, {}], ids=["arrays", "dask"])
def test_what_is_new_in_what_was_transposed_is_in_the_order_of_the_file(
    file: Path, tmp_path: Path, chunks: dict[str, int] | None
) -> None:
    expected = with_more(xr.open_dataset(file, engine="nexus"))
    turned = with_more(xr.open_dataset(file, engine="nexus", chunks=chunks).transpose("x", "y"))
    to_nexus(turned, tmp_path / "new.nxs", layout="inplace")
    assert_has_more(tmp_path / "new.nxs", expected)
    alone = turned.drop_vars("counts")
    to_nexus(alone, tmp_path / "alone.nxs", layout="inplace")
    assert_has_more(tmp_path / "alone.nxs", expected)
    tree = xr.open_datatree(file, engine="nexus", chunks=chunks)
    tree["entry/data"].dataset = with_more(tree["entry/data"].to_dataset().transpose("x", "y"))
    to_nexus(tree, tmp_path / "tree.nxs", layout="inplace")
    assert_has_more(tmp_path / "tree.nxs", expected)


def test_a_sum_of_what_was_transposed_is_in_the_order_of_the_file(tmp_path: Path) -> None:
    counts, height = np.arange(24.0).reshape(2, 3, 4), np.arange(6.0).reshape(2, 3)
    axes = {"z": [1, 2], "y": [1, 2, 3], "x": [1, 2, 3, 4]}
    indices = {"height_indices": [0, 1]}
    data = nxdata({"n": counts, "height": height, **axes}, signal="n", axes=["z", "y", "x"], **indices)
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": data})})
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    turned = dataset.transpose("x", "y", "z").assign(n=dataset.n.sum("x").transpose("y", "z"))
    to_nexus(turned.assign(m=turned.n + 1), tmp_path / "new.nxs", layout="inplace")
    found = xr.open_dataset(tmp_path / "new.nxs", engine="nexus")
    assert found.n.dims == found.m.dims == found.height.dims == ("z", "y")
    for name in ("n", "m", "height"):
        np.testing.assert_array_equal(found[name], turned.assign(m=turned.n + 1)[name].transpose("z", "y"))


def test_new_uncertainties_are_in_the_order_of_what_they_are_of(tmp_path: Path) -> None:
    turned = Field(np.arange(6.0).reshape(3, 2), {"_ARRAY_DIMENSIONS": ["x", "y"]})
    fields = {"n": np.ones((2, 3)), "turned": turned, "y": [1, 2], "x": [1, 2, 3]}
    data = nxdata(fields, signal="n", axes=["y", "x"], auxiliary_signals=["turned"])
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": data})})
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus").nexus.assign_errors(turned=np.ones((3, 2)))
    to_nexus(dataset, tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        assert list(new["entry/data"].attrs["auxiliary_signals"]) == ["turned"]
        assert new["entry/data/turned_errors"].shape == (3, 2)


def test_a_new_variable_with_a_dimension_twice_is_stored_as_it_is(file: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus")
    with pytest.warns(UserWarning, match="Duplicate dimension names"):
        to_nexus(dataset.assign(twice=(("x", "y", "x"), np.ones((4, 3, 4)))), tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        assert new["entry/data/twice"].shape == (4, 3, 4)


def test_what_is_left_out_stays(file: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus", metadata_key="distance", drop_variables="i0")
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    assert_same_tree(file, tmp_path / "new.nxs")


def test_what_was_left_out_at_opening_is_replaced(file: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus", drop_variables="i0")
    dataset.assign(i0=dataset.counts * 2).nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(file) as old, h5py.File(tmp_path / "new.nxs") as new:
        assert set(new["entry/data"]) == set(old["entry/data"])
        np.testing.assert_array_equal(new["entry/data/i0"], 2 * dataset.counts)


@pytest.mark.parametrize("opening", [xr.open_dataset, xr.open_datatree])
def test_records_with_lists_of_several_lengths_are_compared_one_by_one(tmp_path: Path, opening: Any) -> None:
    kind = np.dtype([("number", "f8"), ("list", h5py.vlen_dtype("i4")), ("text", h5py.string_dtype())])
    records = np.zeros(3, kind)
    for at in range(3):
        records[at] = (np.nan, np.arange(at + 1, dtype="i4"), f"{at}")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("v", data=records)
        file["x"] = np.arange(4)
    options = {"dataset_path": "/v"} if opening is xr.open_dataset else {}
    opened = opening(tmp_path / "f.h5", engine="nexus", **options).load()
    to_nexus(opened, tmp_path / "same.h5", layout="inplace")
    with h5py.File(tmp_path / "same.h5") as file:
        assert [each.tolist() for each in file["v"]["list"]] == [[0], [0, 1], [0, 1, 2]]
    opened["v"].values[1]["list"][1] = 7
    to_nexus(opened, tmp_path / "other.h5", layout="inplace")
    with h5py.File(tmp_path / "other.h5") as file:
        assert [each.tolist() for each in file["v"]["list"]] == [[0], [0, 7], [0, 1, 2]]


def test_a_part_takes_the_place_of_the_whole_under_each_of_its_names(tmp_path: Path) -> None:
    frames = np.arange(40, dtype="u2").reshape(10, 4)
    with h5py.File(tmp_path / "old.nxs", "w") as file:
        file.create_dataset("entry/detector/counts", data=frames, chunks=(1, 4), compression="gzip")
        file["entry/detector/counts"].attrs["units"] = "counts"
        file["entry/data/counts"] = file["entry/detector/counts"]
        file["entry/data/also"] = h5py.SoftLink("/entry/detector/counts")
        file["entry/data/t"] = np.arange(10.0)
        file["entry/data"].attrs.update(NX_class="NXdata", signal="counts", axes=["t", "."])
        file["entry"].attrs["NX_class"] = "NXentry"
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus").isel(t=slice(2, 5))
    dataset.drop_vars("also", errors="ignore").nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        for name in ("detector/counts", "data/counts", "data/also"):
            np.testing.assert_array_equal(new["entry"][name], frames[2:5])
            assert dict(new["entry"][name].attrs) == {"units": "counts"}
        assert new["entry/data/counts"] == new["entry/detector/counts"]
        assert new["entry/data"].get("also", getlink=True).path == "/entry/detector/counts"
        assert new["entry/data/counts"].compression == "gzip"


def test_edges_of_bins_change_with_their_bounds(tmp_path: Path) -> None:
    data = nxdata({"n": [1, 2, 3], "t": np.array([0.0, 1.0, 3.0, 3.5])}, signal="n", axes=["t"])
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": data})})
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus").load()
    moved = dataset.assign_coords(t=dataset.t + 1, t_bounds=dataset.t_bounds + 1)
    moved.t.attrs["bounds"] = "t_bounds"
    moved.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        np.testing.assert_array_equal(new["entry/data/t"], [1.0, 2.0, 4.0, 4.5])


def test_other_filters_are_for_the_arrays_at_their_places(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).poisson(3, (8, 200, 200)).astype("u2")
    data = nxdata({"counts": Field(frames, {"units": "counts"}, chunks=(1, 200, 200))}, signal="counts")
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": data, "title": "a scan"})})
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    dataset.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace", compression="gzip")
    with h5py.File(tmp_path / "new.nxs") as new:
        counts = new["entry/data/counts"]
        assert (counts.compression, counts.shuffle, counts.chunks) == ("gzip", True, (1, 200, 200))
        np.testing.assert_array_equal(counts, frames)
        assert counts.attrs["units"] == "counts"
        assert new["entry/title"][()] == b"a scan"


def test_the_metadata_of_hyperspys_layout_changes_where_it_is_stored(tmp_path: Path) -> None:
    array = xr.DataArray(np.arange(3), dims="x", name="counts", attrs={"sample": {"name": {"value": "Ni"}}})
    to_nexus(array, tmp_path / "old.nxs")
    [signal] = nexus_xr.open_signals(tmp_path / "old.nxs", nxdata_only=True)
    signal.attrs["sample"]["name"]["value"] = "Fe"
    to_nexus(signal, tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        assert new["entry1/auxiliary/original_metadata/sample/name"][()] == b"Fe"
    [again] = nexus_xr.open_signals(tmp_path / "new.nxs", nxdata_only=True)
    assert again.identical(signal)


def test_a_new_node_of_a_tree_is_a_new_group(file: Path, tmp_path: Path) -> None:
    tree = xr.open_datatree(file, engine="nexus")
    result = xr.Dataset({"profile": ("q", [1.0, 2.0])}, {"q": [0.1, 0.2]})
    tree["entry/result"] = xr.DataTree(result)
    to_nexus(tree, tmp_path / "new.nxs", layout="inplace")
    again = xr.open_datatree(tmp_path / "new.nxs", engine="nexus")
    node = again["entry/result"]
    assert isinstance(node, xr.DataTree)
    assert node.to_dataset(inherit=False).identical(result)
    with h5py.File(file) as old, h5py.File(tmp_path / "new.nxs") as new:
        assert list(differences(old, new)) == ["/entry: members"]


def test_new_nodes_of_a_tree_come_back_as_they_were(tmp_path: Path) -> None:
    plain = xr.Dataset({"n": ("x", np.arange(3.0))}, attrs={"flat": "plain", "title": {"value": "t"}, "signal": "m"})
    xr.DataTree.from_dict({"/": xr.Dataset(attrs={"title": "whole"}), "/a": plain}).nexus.to_nexus(tmp_path / "0.nxs")
    tree = xr.open_datatree(tmp_path / "0.nxs", engine="nexus")
    for path in ("/new", "/new/deep", "/a/below"):
        tree[path] = xr.DataTree(plain)
    tree["/bare"] = xr.DataTree(xr.Dataset(attrs={"flat": 1}))
    for number in (1, 2):  # what is new, and what was
        tree.nexus.to_nexus(tmp_path / f"{number}.nxs", layout="inplace")
        again = xr.open_datatree(tmp_path / f"{number}.nxs", engine="nexus")
        assert again.identical(tree)
        tree = again
    with h5py.File(tmp_path / "2.nxs") as file:
        assert [file[name].attrs["NX_class"] for name in ("new", "bare")] == ["NXdata", "NXentry"]


@pytest.mark.parametrize(
    "dataset",
    [
        xr.Dataset(coords={"y": [1.0, 2.0], "at": 3.0}),
        xr.Dataset({"m_errors": ("y", [1.0, 2.0]), "m": ("y", [3.0, 4.0])}),  # of which the second is plotted
    ],
    ids=["coordinates", "errors"],
)
def test_a_new_node_is_as_to_nexus_has_it_in_a_new_file(file: Path, tmp_path: Path, dataset: xr.Dataset) -> None:
    tree = xr.open_datatree(file, engine="nexus")
    tree["entry/result"] = xr.DataTree(dataset)
    to_nexus(tree, tmp_path / "new.nxs", layout="inplace")
    xr.DataTree.from_dict({"/entry/result": dataset}).nexus.to_nexus(tmp_path / "whole.nxs")
    with h5py.File(tmp_path / "whole.nxs") as whole, h5py.File(tmp_path / "new.nxs") as new:
        assert not list(differences(whole["entry/result"], new["entry/result"]))
    again = xr.open_datatree(tmp_path / "new.nxs", engine="nexus")["entry/result"]
    assert isinstance(again, xr.DataTree)
    assert again.to_dataset(inherit=False).equals(dataset)


def test_a_new_node_has_its_tree_only_where_that_is_wanted(file: Path, tmp_path: Path) -> None:
    tree = xr.open_datatree(file, engine="nexus")
    tree["entry/result"] = xr.DataTree(xr.Dataset({"m": ("y", [1.0, 2.0])}, attrs={"note": {"value": "a"}}))
    to_nexus(tree, tmp_path / "new.nxs", layout="inplace", save_original_metadata=False)
    with h5py.File(tmp_path / "new.nxs") as new:
        assert [*new["entry/result"]] == ["m"]


def test_variables_of_a_node_that_had_none_are_put_into_its_group(file: Path, tmp_path: Path) -> None:
    tree = xr.open_datatree(file, engine="nexus")
    assert not tree["entry"].variables
    tree["entry"]["m"] = xr.DataArray([1.0, 2.0], dims="q")
    to_nexus(tree, tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new:
        assert new["entry/m"][:].tolist() == [1.0, 2.0]
        assert (new["entry"].attrs["NX_class"], new["entry"].attrs["signal"]) == ("NXentry", "m")


# --- what can't be written back --------------------------------------------------------------------------------


def refused(obj: Any, target: Path, **options: Any) -> str:
    with pytest.raises(NexusError) as caught:
        to_nexus(obj, target, layout="inplace", **options)
    assert not list(target.parent.glob(f"*{target.name}*"))
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "a"}, 'mode="a"'),
        ({"entry": "mine", "use_default": True}, "use_default, entry"),
    ],
)
def test_what_does_not_go_with_the_tree_of_a_file_is_refused(
    file: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    problem = refused(xr.open_dataset(file, engine="nexus"), tmp_path / "new.nxs", **options)
    assert f'nothing was written: layout="inplace" writes the tree of the file and takes no {said}; leave' in problem


def test_bins_of_a_new_node_without_data_are_refused(file: Path, tmp_path: Path) -> None:
    edges = ("y", [1.0, 2.0], {"bounds": "y_bounds"}), (("y", "side"), [[0.5, 1.5], [1.5, 2.5]])
    tree = xr.open_datatree(file, engine="nexus")
    tree["entry/result"] = xr.DataTree(xr.Dataset(coords={"y": edges[0], "y_bounds": edges[1]}))
    assert "/entry/result/y: bins without data that they are those of" in refused(tree, tmp_path / "new.nxs")


def test_values_behind_a_link_to_another_file_are_not_changed(tmp_path: Path) -> None:
    write_tree(tmp_path / "other.h5", {"detector": {"distance": 1.5}})
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": nxdata({"n": [1, 2]}, signal="n")})})
    with h5py.File(tmp_path / "old.nxs", "r+") as file:
        file["entry/detector"] = h5py.ExternalLink("other.h5", "/detector")
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    dataset.attrs["detector"]["distance"]["value"] = 2.0
    assert "other.h5:/detector; change it in that file" in refused(dataset, tmp_path / "new.nxs")
    with h5py.File(tmp_path / "other.h5") as other:
        assert other["detector/distance"][()] == 1.5


@pytest.mark.parametrize(
    "values",
    [
        np.array(["1500-01-01", "2020-01-01", "NaT"], "M8[s]"),
        np.array(["2020-01-01T00:00:00.123456789"] * 3, "M8[ns]"),
        np.array([1, 2, 3], "m8[s]"),
        np.array(["a", "bb", "ccc"]),
        np.array([1, 2, 3]),
        np.array([0.5, 1.5, np.nan]),
    ],
    ids=lambda values: str(values.dtype),
)
@pytest.mark.parametrize("name", ["moment", "position", "label"])
def test_values_of_another_kind_come_back_as_they_are(tmp_path: Path, name: str, values: Any) -> None:
    moments = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]")
    dataset = xr.Dataset({"counts": ("x", [1, 2, 3])}).assign_coords(
        moment=("x", moments), position=("x", [0.0, 1.0, 2.0], {"units": "s"}), label=("x", ["c", "d", "e"])
    )
    to_nexus(dataset, tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus").load()
    to_nexus(changed := opened.assign_coords({name: ("x", values)}), tmp_path / "f.nxs", layout="inplace")
    found = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    np.testing.assert_array_equal(found[name], changed[name])
    assert found[name].dtype == (float if name == "position" and values.dtype.kind == "i" else values.dtype)
    assert "numpy_dtype" not in found[name].attrs
    for other in {"moment", "position", "label"} - {name}:
        xr.testing.assert_identical(found[other].variable, opened[other].variable)


def test_bounds_that_were_transposed_are_the_same_edges(tmp_path: Path) -> None:
    write_tree(
        tmp_path / "f.nxs", {"entry/data/counts": np.arange(6).reshape(2, 3), "entry/data/x": [0.0, 1.0, 2.0, 3.0]}
    )
    with h5py.File(tmp_path / "f.nxs", "a") as file:
        file["entry/data"].attrs.update(NX_class="NXdata", signal="counts", axes=[".", "x"])
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    to_nexus(opened.transpose(), tmp_path / "made.nxs", layout="inplace")
    with h5py.File(tmp_path / "made.nxs") as file:
        assert set(file["entry/data"]) == {"counts", "x"}
    to_nexus(opened.transpose(), tmp_path / "new.nxs")
    found = xr.open_dataset(tmp_path / "new.nxs", engine="nexus")
    np.testing.assert_array_equal(found.x_bounds, opened.x_bounds)


def test_scaled_values_are_not_changed(tmp_path: Path) -> None:
    data = nxdata({"n": [1, 2], "n_scaling_factor": 2.0}, signal="n")
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": data})})
    dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    to_nexus(dataset.load(), tmp_path / "same.nxs", layout="inplace")
    assert_same_tree(tmp_path / "old.nxs", tmp_path / "same.nxs")
    dataset["n"].values[:] = 7
    assert "mask_and_scale=False" in refused(dataset, tmp_path / "new.nxs")


def test_what_comes_from_no_file_or_from_several_is_refused(file: Path, tmp_path: Path) -> None:
    assert "which file it was opened from" in refused(xr.Dataset({"a": 1}), tmp_path / "new.nxs")
    write_tree(tmp_path / "second.nxs", scan_file())
    both = [xr.open_dataset(path, engine="nexus") for path in (file, tmp_path / "second.nxs")]
    assert "second.nxs" in refused(both, tmp_path / "new.nxs")


@pytest.mark.parametrize("options", [{"mode": "a"}, {"entry": "e"}, {"use_default": True}])
def test_options_of_entries_are_refused(file: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    assert "inplace" in refused(xr.open_dataset(file, engine="nexus"), tmp_path / "new.nxs", **options)


def test_what_cant_be_stored_is_named(file: Path, tmp_path: Path) -> None:
    dataset = xr.open_dataset(file, engine="nexus")
    dataset.attrs["title"]["value"] = {1, 2}
    assert "/entry/title" in refused(dataset, tmp_path / "new.nxs")


def test_nothing_is_said_again(tmp_path: Path) -> None:
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": nxdata({"n": [1, 2]}, signal="n", axes=["absent"])})})
    with pytest.warns(nexus_xr.NexusWarning):
        dataset = xr.open_dataset(tmp_path / "old.nxs", engine="nexus")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_nexus(dataset, tmp_path / "new.nxs", layout="inplace")


def test_changed_values_take_the_place_of_a_link_into_another_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as other:
        other["data"] = np.arange(6)
        other["data"].attrs["units"] = "counts"
    write_tree(tmp_path / "old.nxs", {"entry": nxentry({"data": nxdata({}, signal="counts")})})
    with h5py.File(tmp_path / "old.nxs", "r+") as file:
        file["entry/data/counts"] = h5py.ExternalLink("frames.h5", "/data")
    [signal] = nexus_xr.open_signals(tmp_path / "old.nxs")
    to_nexus(signal, tmp_path / "same.nxs", layout="inplace")
    assert_same_tree(tmp_path / "old.nxs", tmp_path / "same.nxs")
    to_nexus(signal.copy(data=signal.values * 2), tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as new, h5py.File(tmp_path / "frames.h5") as other:
        assert isinstance(new["entry/data"].get("counts", getlink=True), h5py.HardLink)
        np.testing.assert_array_equal(new["entry/data/counts"], 2 * np.arange(6))
        assert new["entry/data/counts"].attrs["units"] == "counts"
        np.testing.assert_array_equal(other["data"], np.arange(6))


def test_what_comes_from_another_file_is_put_into_the_one_that_was_opened(file: Path, tmp_path: Path) -> None:
    write_tree(tmp_path / "other.nxs", {"entry": nxentry({"data": nxdata({"dark": np.ones((3, 4))}, signal="dark")})})
    other = xr.open_dataset(tmp_path / "other.nxs", engine="nexus")
    opened = xr.open_dataset(file, engine="nexus")
    dark = other.dark.rename(dim_0="y", dim_1="x").drop_vars(["y", "x"], errors="ignore")
    both = xr.Dataset({"dark": dark, **opened.data_vars}, opened.coords, opened.attrs)
    both.encoding = opened.encoding
    both.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(file) as old, h5py.File(tmp_path / "new.nxs") as new:
        assert set(new["entry/data"]) - set(old["entry/data"]) == {"dark"}
        np.testing.assert_array_equal(new["entry/data/dark"], np.ones((3, 4)))


@pytest.mark.filterwarnings("ignore::nexus_xr.NexusWarning")
def test_members_called_attrs_are_changed_under_the_names_that_they_have_here(tmp_path: Path) -> None:
    path = tmp_path / "f.nxs"
    data = nxdata({"attrs": np.array([1.0, 2.0])}, signal="attrs")
    write_tree(path, {"entry": nxentry({"data": data, "sample": {"attrs": 5.0, "attrs_": 6.0}})})
    with h5py.File(path, "r+") as file:
        file["entry/instrument/attrs/q"] = 3
    opened = xr.open_dataset(path, engine="nexus")
    opened["attrs_errors"], opened["attrs_"] = ("dim_0", [7.0, 8.0]), ("dim_0", [9.0, 9.0])
    sample, instrument = opened.attrs["sample"], opened.attrs["instrument"]
    assert [sample[name]["value"] for name in ("attrs_", "attrs__")] == [5.0, 6.0]
    sample["attrs_"], sample["attrs_new"] = {"value": 5.5}, {"value": 7.0}
    instrument["attrs_bar"], instrument["attrs_"]["q"] = {"value": 8.0}, {"value": 4}
    to_nexus(opened, path, layout="inplace")
    expected = {"sample/attrs": 5.5, "sample/attrs_": 6.0, "sample/attrs_new": 7.0}
    expected |= {"instrument/attrs/q": 4, "instrument/attrs_bar": 8.0}
    with h5py.File(path) as file:
        assert {name: file["entry"][name][()] for name in expected} == expected
        found = {name: file[f"entry/data/{name}"][:].tolist() for name in file["entry/data"]}
    assert found == {"attrs": [1.0, 2.0], "attrs_errors": [7.0, 8.0], "attrs_": [9.0, 9.0]}


@pytest.mark.parametrize("dims", [("f",), ("f", "y")])
def test_new_variables_along_a_dimension_without_end_have_none_either(tmp_path: Path, dims: tuple[str, ...]) -> None:
    path = tmp_path / "f.nxs"
    frames = xr.DataArray(np.zeros((2, 3)), dims=("f", "y"), name="v")
    to_nexus(frames, path, unlimited_dims="f")
    opened = xr.open_dataset(path, engine="nexus")
    opened["monitor"] = (dims, np.ones((2, 3)[: len(dims)]))
    to_nexus(opened, path, layout="inplace")
    more = xr.Dataset({"v": frames[:1], "monitor": (dims, np.full((1, 3)[: len(dims)], 2.0))})
    to_nexus(more, path, append_dim="f")
    found = xr.open_dataset(path, engine="nexus")
    assert found.monitor.values.reshape(3, -1)[:, 0].tolist() == [1, 1, 2]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_attributes_too_large_for_what_is_there_are_named(tmp_path: Path, libver: Any) -> None:
    write_tree(tmp_path / "f.nxs", scan_file(), libver=libver)
    before = (tmp_path / "f.nxs").read_bytes()
    for count, fits in ((65_472, True), (65_473, libver == "latest")):
        ds = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
        ds["counts"].attrs["x"] = np.zeros(count, "u1")
        if fits:
            to_nexus(ds, tmp_path / "g.nxs", layout="inplace")
            assert xr.open_dataset(tmp_path / "g.nxs", engine="nexus").counts.identical(ds.counts)
        else:
            with pytest.raises(NexusError, match=r"counts: attribute 'x': it has 65473 bytes; .* less than 64 KiB"):
                to_nexus(ds, tmp_path / "f.nxs", layout="inplace")
    assert (tmp_path / "f.nxs").read_bytes() == before


@pytest.mark.parametrize("title", [{"a": 1}, 5, ["a", "b"]])
def test_what_is_no_text_is_not_the_title_of_the_entry(tmp_path: Path, title: Any) -> None:
    """Which stands there beside the metadata, for other readers."""
    xr.Dataset({"n": ("x", [1.0, 2.0])}, attrs={"title": "a scan"}).nexus.to_nexus(tmp_path / "f.nxs")
    opened = xr.open_dataset(tmp_path / "f.nxs", engine="nexus")
    opened.attrs["title"] = title
    opened.nexus.to_nexus(tmp_path / "new.nxs", layout="inplace")
    with h5py.File(tmp_path / "new.nxs") as file:
        assert file["entry1/title"].asstr()[()] == "a scan"
    opened.attrs["title"] = "another"
    opened.nexus.to_nexus(tmp_path / "again.nxs", layout="inplace")
    with h5py.File(tmp_path / "again.nxs") as file:
        assert file["entry1/title"].asstr()[()] == "another"


@pytest.mark.parametrize(
    ("change", "is_refused"),
    [
        (lambda ds: ds.n.idxmax("x"), True),
        (lambda ds: ds.n.idxmax("y"), True),
        (lambda ds: ds.n[0].rename("first"), True),
        (lambda ds: ds.n[:2].rename("some"), True),
        (lambda ds: ds.n[:2], False),
        (lambda ds: ds.n.T.rename("turned"), False),
        (lambda ds: ds.t.rename("axis"), False),
        (lambda ds: ds.n[0].idxmax("x"), True),
        (lambda ds: ds.y.rename(y="row"), False),
        (lambda ds: ds.t[:2], False),
    ],
)
def test_what_an_array_comes_from_is_only_replaced_by_what_it_still_is(
    write: Any, change: Any, is_refused: bool
) -> None:
    fields = {"n": np.arange(9).reshape(3, 3), "y": [1.0, 2.0, 3.0], "x": [0.0, 1.0, 3.0, 6.0], "t": [4.0, 5.0, 6.0]}
    data = nxdata(fields, signal="n", axes=["y", "x"], t_indices=0)
    path = write({"entry": nxentry({"data": data})})
    array = change(xr.open_dataset(path, engine="nexus").load())
    before = path.read_bytes()
    if not is_refused:
        array.nexus.to_nexus(path, layout="inplace")
        return
    with pytest.raises(
        NexusError, match=rf"'{array.name}' of .* comes from /entry/data/\w, which is '\w' of .*replace"
    ):
        array.nexus.to_nexus(path, layout="inplace")
    assert path.read_bytes() == before
