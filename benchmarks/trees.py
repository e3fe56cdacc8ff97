"""Files with much metadata, and many files with a little: written once, and found by later runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from .harness import data_directory

Version = Literal["earliest", "latest"]


def tree(groups: int, version: Version = "earliest") -> Path:
    """A file of so many groups of 10 fields with 2 attributes each, in that version of the format."""
    return _kept(f"open-{groups}-groups-{version}.nxs", partial(_write_tree, groups, version))


def entries(count: int) -> Path:
    """A file of so many entries of 100 objects each, an NXdata of soft links among them."""
    return _kept(f"open-{count}-entries.nxs", partial(_write_entries, count))


def series(count: int) -> Path:
    """A folder of so many files of a signal, its axis and 10 other fields."""
    return _kept(f"open-{count}-files", partial(_write_series, count))


def _kept(name: str, write: Callable[[Path], None]) -> Path:
    path = data_directory() / name
    if not path.exists():
        unfinished = path.with_suffix(".part")
        write(unfinished)
        unfinished.rename(path)
    return path


def _write_tree(groups: int, version: Version, path: Path) -> None:
    with h5py.File(path, "w", libver=version) as file:
        file.attrs["default"] = "entry"
        entry = _add_group(file, "entry", "NXentry", default="data")
        data = _add_group(entry, "data", "NXdata", signal="counts", axes=["x"])
        data["counts"] = np.arange(100)
        data["x"] = np.linspace(0, 1, 100)
        _add_instrument(entry, groups)


def _write_entries(count: int, path: Path) -> None:
    with h5py.File(path, "w") as file:
        for number in range(count):
            _add_scan(_add_group(file, f"entry_{number:04}", "NXentry", default="data"))


def _write_series(count: int, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        _write_tree(1, "earliest", folder / f"scan_{number:04}.nxs")


def _add_scan(entry: h5py.Group) -> None:
    entry["title"] = f"scan {entry.name}"
    instrument = _add_instrument(entry, 8)
    detector = _add_group(instrument, "detector", "NXdetector")
    detector["counts"] = np.arange(8)
    data = _add_group(entry, "data", "NXdata", signal="counts", axes=["x"])
    data["counts"] = h5py.SoftLink(f"{detector.name}/counts")
    data["x"] = h5py.SoftLink(f"{instrument.name}/positioner_0000/field_9")
    measurement = _add_group(entry, "measurement", "NXcollection")
    for number in range(4):
        measurement[f"motor_{number}"] = h5py.SoftLink(f"{instrument.name}/positioner_{number:04}/field_0")


def _add_instrument(entry: h5py.Group, positioners: int) -> h5py.Group:
    instrument = _add_group(entry, "instrument", "NXinstrument")
    for number in range(positioners):
        _add_fields(_add_group(instrument, f"positioner_{number:04}", "NXpositioner"), number)
    return instrument


def _add_fields(group: h5py.Group, number: int) -> None:
    values: list[Any] = [float(number), number, f"motor {number}", *np.linspace(0, 1, 6), np.arange(8.0)]
    for index, value in enumerate(values):
        group[f"field_{index}"] = value
        group[f"field_{index}"].attrs.update(units="mm", local_name=f"motor{number}.field_{index}")


def _add_group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs.update(NX_class=nx_class, **attributes)
    return group
