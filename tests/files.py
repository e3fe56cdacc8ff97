"""HDF5 files from nested dictionaries: groups are dictionaries, attributes have an "@" before their name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# What the fixture of that name is: it writes a tree as a file, and gives its path.
Write = Callable[..., Path]


class Field:
    """A dataset with attributes and storage options."""

    def __init__(self, value: Any, attributes: Mapping[str, Any] | None = None, **options: Any) -> None:
        self.value = value
        self.attributes = dict(attributes or {})
        self.options = options


def write_tree(path: Path, tree: Mapping[str, Any], **options: Any) -> None:
    """Write a whole file."""
    with h5py.File(path, "w", **options) as file:
        fill(file, tree)


def fill(group: h5py.Group, tree: Mapping[str, Any]) -> None:
    """Write the members and attributes of a group."""
    for name, value in tree.items():
        if name.startswith("@"):
            group.attrs[name[1:]] = value
        elif isinstance(value, Mapping):
            fill(group.create_group(name), value)
        elif isinstance(value, Field):
            dataset = group.create_dataset(name, data=value.value, **value.options)
            dataset.attrs.update(value.attributes)
        else:
            group[name] = value


def paths_in(group: h5py.Group) -> list[str]:
    """The paths of all that is in a group, each once."""
    paths: list[str] = []
    group.visit(paths.append)
    return paths


def nxdata(fields: Mapping[str, Any], **attributes: Any) -> dict[str, Any]:
    """An NXdata group."""
    return {"@NX_class": "NXdata", **{f"@{name}": value for name, value in attributes.items()}, **fields}


def nxentry(members: Mapping[str, Any], **attributes: Any) -> dict[str, Any]:
    """An NXentry group."""
    return {"@NX_class": "NXentry", **{f"@{name}": value for name, value in attributes.items()}, **members}


def scan_file() -> dict[str, Any]:
    """A small file with a bit of everything: a map with axes, uncertainties and an auxiliary signal, and a tree."""
    counts = np.arange(12, dtype="u2").reshape(3, 4)
    data = nxdata(
        {
            "counts": Field(counts, {"units": "counts", "long_name": "Counts"}),
            "counts_errors": np.sqrt(counts),
            "i0": counts * 2.0,
            "y": Field(np.array([0.0, 0.1, 0.3]), {"units": "mm"}),
            "x": Field(np.array([1, 2, 3, 4]), {"units": "um"}),
            "title": "a map",
        },
        signal="counts",
        axes=["y", "x"],
        auxiliary_signals=["i0"],
        y_indices=0,
        x_indices=1,
    )
    detector = {"@NX_class": "NXdetector", "distance": Field(1.5, {"units": "m"}), "mask": np.zeros((3, 4), "u1")}
    entry = nxentry(
        {"data": data, "instrument": {"@NX_class": "NXinstrument", "detector": detector}, "title": "a scan"},
        default="data",
    )
    return {"@default": "entry", "@creator": "test", "entry": entry}


def with_scales(path: Path) -> Path:
    """A file with an NXdata group whose axes are dimension scales, as those of netCDF-4 are."""
    data = nxdata({"n": np.arange(6).reshape(2, 3), "y": [1, 2], "x": [1, 2, 3]}, signal="n", axes=["y", "x"])
    write_tree(path, {"entry": nxentry({"data": data})})
    with h5py.File(path, "r+") as file:
        group = file["entry/data"]
        for dim, name in enumerate("yx"):
            group[name].make_scale(name)
            group["n"].dims[dim].attach_scale(group[name])
            group["n"].dims[dim].label = f"along {name}"
        group["m"] = np.arange(3)
        group["m"].dims[0].attach_scale(group["x"])
    return path


def with_references(path: Path) -> None:
    """A file with references of all kinds, that lead to objects and nowhere."""
    with h5py.File(path, "w") as file:
        group, gone = file.create_group("entry/data"), file.create_dataset("gone", data=[1, 2])
        group.attrs.update(NX_class="NXdata", signal="n")
        group["n"] = np.arange(4.0)
        objects = [group.ref, h5py.Reference(), gone.ref, group["n"].ref]
        regions = [group["n"].regionref[1:2], h5py.RegionReference(), gone.regionref[:1]]
        record = np.dtype([("r", h5py.ref_dtype), ("text", h5py.string_dtype()), ("inner", [("r", h5py.ref_dtype)])])
        values = {
            "objects": np.array(objects, h5py.ref_dtype),
            "regions": np.array(regions, h5py.regionref_dtype),
            "nulls": np.array([h5py.Reference()] * 2, h5py.ref_dtype),
            "record": np.array((group.ref, "µm", (h5py.Reference(),)), record),
            "records": np.array([(group.ref, "a", (group.ref,)), (h5py.Reference(), "b", (group.ref,))], record),
            "many": np.array([objects[0], objects[1]] * 10_000, h5py.ref_dtype),
        }
        lists = np.empty(2, object)
        lists[:] = [np.array(objects[:2], h5py.ref_dtype), np.array([], h5py.ref_dtype)]
        for name, each in values.items():
            file[f"entry/fields/{name}"] = each
            if name != "many":
                group["n"].attrs.create(name, each, dtype=each.dtype)
        group["n"].attrs.create("lists", lists, dtype=h5py.vlen_dtype(h5py.ref_dtype))
        del file["gone"]
