"""Opening and reading a file behind a web server that takes a fixed time for each request, beside other readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .cases import BY_NAME as CASES
from .cases import DATASET, Case, Stack, frame_stack
from .contestants import BLOCK, GROUP, NAME
from .harness import Column, Contestant, Result, Work, compete, cpu_count, data_directory
from .plotting import Bar, Panel
from .serving import Counts, Serving, serving
from .trees import tree

# 200 frames of 2 MiB.
FULL_MEBIBYTES = 400
LATENCY_MS = 50
STACKS = ("none", "gzip+shuffle", "bitshuffle+LZ4")
# Groups of 10 fields.
GROUPS = 30
REFERENCE = "h5py over fsspec"


@dataclass(frozen=True)
class Way:
    """A way to read a file behind a URL.

    Parameters
    ----------
    name
        How the tables call it.
    run
        Gives the sum of all values of a stack, given its URL; or opens the file with a large tree.
    package
        Distribution whose version is reported.
    """

    name: str
    run: Callable[[str], Any]
    package: str


def _nexus_xr_dask(url: str) -> int:
    import xarray as xr

    with xr.open_dataset(url, engine="nexus", chunks={}) as dataset:
        return int(dataset[NAME].sum().compute(scheduler="threads", num_workers=cpu_count()))


def _nexus_xr_values(url: str) -> int:
    import xarray as xr

    with xr.open_dataset(url, engine="nexus") as dataset:
        return int(dataset[NAME].values.sum(dtype=np.uint64))


def _h5py(cache: str | None, url: str) -> int:
    with _h5py_file(cache, url) as file:
        counts = file[DATASET]
        return sum(int(counts[number].sum(dtype=np.uint64)) for number in range(len(counts)))


@contextmanager
def _h5py_file(cache: str | None, url: str) -> Iterator[h5py.File]:
    import fsspec

    options = {} if cache is None else {"cache_type": cache}
    with fsspec.open(url, **options).open() as stream, h5py.File(stream) as file:
        yield file


def _virtualizarr(url: str) -> int:
    import dask.array as da
    import zarr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import HTTPStore
    from virtualizarr.parsers import HDFParser

    server = url.rpartition("/")[0]
    store = HTTPStore.from_url(server, client_options={"allow_http": True})
    group = zarr.open_group(HDFParser(group=GROUP)(url, ObjectStoreRegistry({server: store})), mode="r")
    counts: Any = group[NAME]
    blocks = da.from_array(counts, chunks=(BLOCK, *counts.shape[1:]))
    return int(blocks.sum().compute(scheduler="threads", num_workers=cpu_count()))


def _open_nexus_xr(url: str) -> Any:
    import xarray as xr

    return xr.open_dataset(url, engine="nexus")


def _walk(cache: str | None, url: str) -> Any:
    def read(group: h5py.Group) -> dict[str, Any]:
        return {
            name: read(member) if isinstance(member, h5py.Group) else (member[()], dict(member.attrs))
            for name, member in group.items()
        }

    with _h5py_file(cache, url) as file:
        return read(file)


READERS = (
    Way("nexus_xr, dask", _nexus_xr_dask, "nexus-xr"),
    Way("nexus_xr, one array", _nexus_xr_values, "nexus-xr"),
    Way(REFERENCE, partial(_h5py, None), "h5py"),
    Way("h5py over fsspec, blockcache", partial(_h5py, "blockcache"), "h5py"),
    Way("VirtualiZarr + Zarr, dask", _virtualizarr, "virtualizarr"),
)
OPENERS = (
    Way("nexus_xr", _open_nexus_xr, "nexus-xr"),
    Way(REFERENCE, partial(_walk, None), "h5py"),
    Way("h5py over fsspec, blockcache", partial(_walk, "blockcache"), "h5py"),
)


@dataclass(frozen=True)
class Table:
    """The results of one file, with what each contestant asked the server for in its last turn."""

    title: str
    short_title: str
    results: list[Result]
    counts: dict[str, Counts]

    def rows(self) -> list[dict[str, Any]]:
        """All figures, for JSON."""
        return [{"what": self.short_title, **vars(result), **self._asked(result)} for result in self.results]

    def _asked(self, result: Result) -> dict[str, int]:
        counts = self.counts.get(result.name)
        return {} if counts is None else vars(counts)

    def columns(self) -> list[Column]:
        """Seconds, how many times as fast as the reference, and what was asked for."""
        return [
            Column("median s", lambda result: f"{result.median:.2f}"),
            Column("min s", lambda result: f"{min(result.seconds):.2f}"),
            Column("max s", lambda result: f"{max(result.seconds):.2f}"),
            Column("times as fast", self._speed),
            Column("requests", lambda result: str(self.counts[result.name].requests)),
            Column("MiB sent", lambda result: f"{self.counts[result.name].bytes / 2**20:.1f}"),
        ]

    def _speed(self, result: Result) -> str:
        base = next((each.median for each in self.results if each.name == REFERENCE), None)
        return f"{base / result.median:.1f}" if base and result.median else "-"

    def panel(self) -> Panel:
        """The table as a picture: the shorter the bar, the faster."""
        return Panel(self.short_title, [self._bar(result) for result in self.results])

    def _bar(self, result: Result) -> Bar:
        ours = result.name.startswith("nexus_xr")
        if result.median is None:
            return Bar(result.name, None, result.short_failure, ours)
        return Bar(result.name, result.median, f"{result.median:.2f} s, {self.counts[result.name].requests} req.", ours)


@dataclass
class _Measuring:
    """A file behind a server, read in all ways."""

    server: Serving
    path: Path
    counts: dict[str, Counts] = field(default_factory=dict)

    def contestant(self, way: Way, check: Callable[[Any], str | None]) -> Contestant:
        return Contestant(way.name, partial(self._ready, way), way.package, check)

    @contextmanager
    def _ready(self, way: Way) -> Iterator[Work]:
        self.server.counts()
        yield partial(way.run, f"{self.server.url}/{self.path.name}")
        self.counts[way.name] = self.server.counts()


def run(size: int, repeat: int, latency_ms: int, cases: Sequence[Case]) -> Iterator[Table]:
    """Measure opening, and then reading case by case."""
    stacks = [frame_stack(case, max(1, size // 2)) for case in cases]
    with serving(data_directory(), latency_ms / 1000) as server:
        opening = _Measuring(server, tree(GROUPS))
        results = compete([opening.contestant(way, lambda answer: None) for way in OPENERS], repeat)
        yield Table(f"open: {GROUPS * 10} fields in {GROUPS} groups", "open", results, opening.counts)
        for stack in stacks:
            reading = _Measuring(server, stack.path)
            results = compete([reading.contestant(way, partial(_wrong, stack)) for way in READERS], repeat)
            stored = stack.path.stat().st_size >> 20
            title = f"{stack.case.name}: sum of {stack.count} frames of 2 MiB, {stored} MiB in the file"
            yield Table(title, stack.case.name, results, reading.counts)


def _wrong(stack: Stack, found: int) -> str | None:
    return None if found == stack.total() else f"wrong sum: {found} in place of {stack.total()}"


def chosen_cases(names: Sequence[str] | None) -> list[Case]:
    """The cases of those names, in order; those that are measured where none is named."""
    return [CASES[name] for name in names or STACKS]
