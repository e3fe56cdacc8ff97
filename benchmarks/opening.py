"""Opening a file with a large metadata tree: 500 groups of 10 fields with 2 attributes each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .harness import Contestant, Result, Work, data_directory
from .plotting import Bar, Panel

REFERENCE = "RosettaSciIO lazy"


def make_file(groups: int) -> Path:
    """Write the file, or find it from an earlier run."""
    path = data_directory() / f"open-{groups}-groups.nxs"
    if not path.exists():
        unfinished = path.with_suffix(".part")
        with h5py.File(unfinished, "w") as file:
            file.attrs["default"] = "entry"
            entry = file.create_group("entry")
            entry.attrs.update(NX_class="NXentry", default="data")
            _add_data(entry.create_group("data"))
            instrument = entry.create_group("instrument")
            instrument.attrs["NX_class"] = "NXinstrument"
            for number in range(groups):
                _add_positioner(instrument.create_group(f"positioner_{number:04}"), number)
        unfinished.rename(path)
    return path


def _add_data(data: h5py.Group) -> None:
    data.attrs.update(NX_class="NXdata", signal="counts", axes=["x"])
    data["counts"] = np.arange(100)
    data["x"] = np.linspace(0, 1, 100)


def _add_positioner(group: h5py.Group, number: int) -> None:
    group.attrs["NX_class"] = "NXpositioner"
    values: list[Any] = [float(number), number, f"motor {number}", *np.linspace(0, 1, 6), np.arange(8.0)]
    for index, value in enumerate(values):
        group[f"field_{index}"] = value
        group[f"field_{index}"].attrs.update(units="mm", local_name=f"motor{number}.field_{index}")


def _open_dataset(path: Path) -> Any:
    import xarray as xr

    return xr.open_dataset(path, engine="nexus")


def _open_datatree(path: Path) -> Any:
    import xarray as xr

    return xr.open_datatree(path, engine="nexus")


def _rosettasciio(path: Path) -> Any:
    from rsciio.nexus import file_reader

    return file_reader(str(path), lazy=True)


def _scippnexus(path: Path) -> Any:
    import scippnexus

    with scippnexus.File(path, "r") as file:
        return file["entry"][()]


def _h5py_walk(path: Path) -> Any:
    def read(group: h5py.Group) -> dict[str, Any]:
        tree: dict[str, Any] = {"attrs": dict(group.attrs)}
        for name, member in group.items():
            is_group = isinstance(member, h5py.Group)
            tree[name] = read(member) if is_group else (member[()], dict(member.attrs))
        return tree

    with h5py.File(path) as file:
        return read(file)


def _link_visit(path: Path) -> Any:
    names: list[bytes] = []
    with h5py.File(path) as file:
        file.id.links.visit(names.append)
    return names


@dataclass(frozen=True)
class _Way:
    """A way to open the file."""

    name: str
    run: Callable[[Path], Any]
    package: str


WAYS = (
    _Way("nexus_xr open_dataset", _open_dataset, "nexus-xr"),
    _Way("nexus_xr open_datatree", _open_datatree, "nexus-xr"),
    _Way(REFERENCE, _rosettasciio, "rosettasciio"),
    _Way("scippnexus load", _scippnexus, "scippnexus"),
    _Way("h5py walk", _h5py_walk, "h5py"),
    _Way("links.visit (names alone)", _link_visit, "h5py"),
)


def contestants(path: Path) -> list[Contestant]:
    """Everyone who opens the file."""
    return [Contestant(way.name, partial(_ready, way, path), way.package) for way in WAYS]


def _ready(way: _Way, path: Path) -> AbstractContextManager[Work]:
    return nullcontext(partial(way.run, path))


def panel(results: Sequence[Result]) -> Panel:
    """The results as a picture: the shorter the bar, the faster."""
    return Panel("seconds", [_bar(result) for result in results])


def _bar(result: Result) -> Bar:
    ours = result.name.startswith("nexus_xr")
    if result.median is None:
        return Bar(result.name, None, result.short_failure, ours)
    return Bar(result.name, result.median, f"{result.median:.3g}", ours)
