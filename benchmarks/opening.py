"""Opening files with much metadata, a small file and many files, beside other readers and the bytes alone (limit)."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from . import trees
from .harness import Column, Contestant, Result, Work, compete, milliseconds_columns, ratio_column, unit_medians
from .plotting import Bar, Panel


@dataclass(frozen=True)
class Sizes:
    """How much there is to open.

    Parameters
    ----------
    groups
        Of 10 fields each, in the file with one large tree.
    entries
        Of 100 objects each, in the file with many NXdata groups.
    files
        In the series of small files.
    """

    groups: int = 500
    entries: int = 300
    files: int = 1000


def _open_dataset(path: Path) -> Any:
    import xarray as xr

    return xr.open_dataset(path, engine="nexus")


def _open_datatree(path: Path) -> Any:
    import xarray as xr

    return xr.open_datatree(path, engine="nexus")


def _read_metadata(path: Path) -> Any:
    import nexus_xr

    return nexus_xr.read_metadata(path)


def _rosettasciio(path: Path) -> Any:
    from rsciio.nexus import file_reader

    return file_reader(str(path), lazy=True)


def _scippnexus(path: Path) -> Any:
    import scippnexus

    with scippnexus.File(path, "r") as file:
        return file["entry"][()]


def _h5py_walk(path: Path) -> Any:
    with h5py.File(path) as file:
        return _walk(file, h5py.Group)


def _pyfive_walk(path: Path) -> Any:
    import pyfive

    with pyfive.File(str(path)) as file:
        return _walk(file, pyfive.Group)


def _walk(group: Any, group_type: type) -> dict[str, Any]:
    walked: dict[str, Any] = {"attrs": dict(group.attrs)}
    for name in group:
        member = group[name]
        is_group = isinstance(member, group_type)
        walked[name] = _walk(member, group_type) if is_group else (member[()], dict(member.attrs))
    return walked


def _visit_links(path: Path) -> Any:
    names: list[bytes] = []
    with h5py.File(path) as file:
        file.id.links.visit(names.append)
    return names


def _open_signals(folder: Path) -> Any:
    import nexus_xr

    return nexus_xr.open_signals(f"{folder}/*.nxs", nxdata_only=True)


def _open_mfdataset(folder: Path) -> Any:
    import xarray as xr

    return xr.open_mfdataset(
        f"{folder}/*.nxs", engine="nexus", combine="nested", concat_dim="scan", combine_attrs="override"
    )


def _h5py_loop(folder: Path) -> Any:
    return [_h5py_signal(path) for path in sorted(folder.glob("*.nxs"))]


def _h5py_signal(path: Path) -> Any:
    with h5py.File(path) as file:
        return file["entry/data/counts"][()]


class _Way(NamedTuple):
    """A way to open a file, or a folder of files; and how often a turn does it, so that it lasts long enough."""

    name: str
    run: Callable[[Path], Any]
    package: str | None
    openings: int = 1

    def work(self, path: Path, times: int) -> Any:
        """Open it so many times."""
        for _ in range(times - 1):
            self.run(path)
        return self.run(path)


_OPEN_DATASET = _Way("nexus_xr open_dataset", _open_dataset, "nexus-xr")
_OPEN_DATATREE = _Way("nexus_xr open_datatree", _open_datatree, "nexus-xr")
_READ_METADATA = _Way("nexus_xr read_metadata", _read_metadata, "nexus-xr")
_ROSETTASCIIO = _Way("RosettaSciIO lazy", _rosettasciio, "rosettasciio")
_H5PY_WALK = _Way("h5py walk", _h5py_walk, "h5py")
_H5PY_LOOP = _Way("h5py loop", _h5py_loop, "h5py")
_LIMIT = _Way("limit", Path.read_bytes, None, openings=100)

# Whose medians the others' are divided by, in the tables in which they take part.
_REFERENCES = (_H5PY_WALK, _H5PY_LOOP, _ROSETTASCIIO, _LIMIT)


@dataclass(frozen=True)
class Subject:
    """What is opened.

    Parameters
    ----------
    name, title
        How it is called in short, and in the heading of its table, which may speak of the sizes.
    make
        Writes the file or the folder, or finds it.
    ways
        Who opens it, and how.
    openings
        How many times as often a turn opens it, as it is small.
    compared_with
        Name of another subject, by whose medians those of the same ways are divided too; empty for none.
    """

    name: str
    title: str
    make: Callable[[Sizes], Path]
    ways: tuple[_Way, ...]
    openings: int = 1
    compared_with: str = ""


SUBJECTS = (
    Subject(
        "earliest format",
        "{groups} groups of 10 fields with 2 attributes each, earliest format",
        lambda sizes: trees.tree(sizes.groups),
        (
            _OPEN_DATASET,
            _OPEN_DATATREE,
            _READ_METADATA,
            _ROSETTASCIIO,
            _Way("scippnexus load", _scippnexus, "scippnexus"),
            _H5PY_WALK,
            _Way("links.visit (names alone)", _visit_links, "h5py"),
            _Way("pyfive walk", _pyfive_walk, "pyfive"),
            _LIMIT,
        ),
    ),
    Subject(
        "latest format",
        "{groups} groups of 10 fields with 2 attributes each, latest format",
        lambda sizes: trees.tree(sizes.groups, "latest"),
        (_OPEN_DATASET, _H5PY_WALK, _LIMIT),
        compared_with="earliest format",
    ),
    Subject(
        "many entries",
        "{entries} entries of 100 objects, each with an NXdata of soft links",
        lambda sizes: trees.entries(sizes.entries),
        (_OPEN_DATATREE, _ROSETTASCIIO, _H5PY_WALK),
    ),
    Subject(
        "small file",
        "4 groups of 10 fields with 2 attributes each",
        lambda sizes: trees.tree(4),
        (_OPEN_DATASET, _READ_METADATA, _ROSETTASCIIO, _H5PY_WALK),
        openings=20,
    ),
    Subject(
        "many files",
        "{files} files of a signal, its axis and 10 other fields; h5py reads the signals alone",
        lambda sizes: trees.series(sizes.files),
        (
            _Way("nexus_xr open_signals", _open_signals, "nexus-xr"),
            _Way("nexus_xr open_mfdataset", _open_mfdataset, "nexus-xr"),
            _H5PY_LOOP,
        ),
    ),
)


@dataclass(frozen=True)
class Table:
    """The results of a subject, and those of the one that it is compared with."""

    subject: Subject
    title: str
    results: Sequence[Result]
    compared: Sequence[Result]

    def rows(self) -> list[dict[str, Any]]:
        """All figures, for JSON."""
        return [{"what": self.subject.name, **asdict(result)} for result in self.results]

    def columns(self) -> list[Column]:
        """Milliseconds of an opening, and the ratios."""
        columns = milliseconds_columns(self.results, *(way.name for way in _REFERENCES))
        if self.subject.compared_with:
            columns.append(ratio_column(f"of {self.subject.compared_with}", unit_medians(self.compared)))
        return columns

    def panel(self) -> Panel:
        """The table as a picture: the shorter the bar, the faster."""
        return Panel(f"{self.subject.name}, ms", [_bar(result) for result in self.results])


def _bar(result: Result) -> Bar:
    ours = result.name.startswith("nexus_xr")
    if result.unit_median is None:
        return Bar(result.name, None, result.short_failure, ours)
    milliseconds = 1e3 * result.unit_median
    return Bar(result.name, milliseconds, f"{milliseconds:.3g}", ours)


def run(sizes: Sizes, repeat: int) -> list[Table]:
    """Measure everything in turn: each way on all files one after another, so that these can be compared."""
    turns = sorted(((subject, way) for subject in SUBJECTS for way in subject.ways), key=lambda turn: turn[1].name)
    results = compete([_contestant(subject, way, sizes) for subject, way in turns], repeat)
    measured = {(subject.name, way.name): result for (subject, way), result in zip(turns, results, strict=True)}
    return [_table(subject, sizes, measured) for subject in SUBJECTS]


def _contestant(subject: Subject, way: _Way, sizes: Sizes) -> Contestant:
    openings = way.openings * subject.openings
    return Contestant(way.name, partial(_ready, way, subject.make(sizes), openings), way.package, amount=openings)


@contextmanager
def _ready(way: _Way, path: Path, openings: int) -> Iterator[Work]:
    gc.collect()  # nobody's turn pays for what another left
    yield partial(way.work, path, openings)


def _table(subject: Subject, sizes: Sizes, measured: Mapping[tuple[str, str], Result]) -> Table:
    title = subject.title.format_map(vars(sizes))
    compared = [result for (name, _), result in measured.items() if name == subject.compared_with]
    return Table(subject, title, [measured[subject.name, way.name] for way in subject.ways], compared)


class Footprint(NamedTuple):
    """Bytes that Python has at most while it describes a file, and bytes of the file."""

    peak: int
    stored: int

    @property
    def line(self) -> str:
        """Both in a line."""
        return (
            f"memory: read_metadata of {self.stored / 2**20:.2f} MiB in the earliest format has "
            f"{self.peak / 2**20:.2f} MiB at its peak, {self.peak / self.stored:.2f} times the file"
        )

    def row(self) -> dict[str, Any]:
        """The same, for JSON."""
        return {"what": "memory", "name": _READ_METADATA.name, **self._asdict()}


def footprint(sizes: Sizes) -> Footprint:
    """Trace describing the file of the earliest format."""
    path = trees.tree(sizes.groups)
    _read_metadata(path)  # what is imported and cached isn't counted
    tracemalloc.start()
    try:
        _read_metadata(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Footprint(peak, path.stat().st_size)
