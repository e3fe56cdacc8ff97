"""Arrays with edges of bins, and with uncertainties, beside plain ones of xarray in the same operations.

Results are new arrays, and where the system takes their memory from decides on how long a turn takes: what was free for
seconds in a virtual machine may have gone back to the host, and comes back more slowly by far than arithmetic writes.
So each turn finds as much memory as any asks for that was in use just before. All run in one thread, but for dask's.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import xarray as xr

import nexus_xr  # noqa: F401  which gives arrays their accessor

from .harness import Column, Contestant, Result, Work, compete, milliseconds_columns
from .plotting import Bar, Panel

FULL_MEBIBYTES = 512
_FRAME = (128, 128)
_STACKS_AT_MOST = 4  # that are made in a turn
_PLAIN = "plain xarray"


@dataclass(frozen=True)
class Arrays:
    """Two stacks of one kind, and a frame."""

    stack: xr.DataArray
    other: xr.DataArray
    frame: xr.DataArray


OPERATIONS: dict[str, Callable[[Arrays], xr.DataArray]] = {
    "stack + other": lambda of: of.stack + of.other,
    "stack * other": lambda of: of.stack * of.other,
    "stack / other": lambda of: of.stack / of.other,
    "stack - frame": lambda of: of.stack - of.frame,
    "stack ** 2": lambda of: of.stack**2,
    "stack ** 0.5": lambda of: of.stack**0.5,
    "sum of frames": lambda of: of.stack.sum("frame"),
    "mean": lambda of: of.stack.mean("x"),
    "coarsen": lambda of: of.stack.coarsen(x=4).sum(),
    "half of it": lambda of: of.stack.isel(x=slice(0, None, 2)) * 2,
    "dask: (stack - frame) / other, mean": lambda of: _chunked(of).compute(),
}


def _chunked(of: Arrays) -> xr.DataArray:
    stack, other = (each.chunk(frame=256) for each in (of.stack, of.other))
    return ((stack - of.frame) / other).mean("frame")


def _plain(stack: xr.DataArray) -> xr.DataArray:
    return stack


def _with_edges(stack: xr.DataArray) -> xr.DataArray:
    edges: xr.DataArray = stack.nexus.assign_edges(
        {dim: np.arange(size + 1.0) - 0.5 for dim, size in stack.sizes.items()}
    )
    return edges


def _with_uncertainties(stack: xr.DataArray) -> xr.DataArray:
    joined: xr.DataArray = stack.nexus.with_uncertainties(np.sqrt(stack.values))
    return joined


KINDS: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    _PLAIN: _plain,
    "nexus_xr with edges": _with_edges,
    "nexus_xr with uncertainties": _with_uncertainties,
}


@lru_cache(maxsize=len(KINDS))
def arrays(kind: str, mebibytes: int) -> Arrays:
    """Stacks of so many MiB of float64, of one kind."""
    values = np.random.default_rng(0).random((8 * mebibytes, *_FRAME)) + 1
    dims = ("frame", "y", "x")
    coordinates = {dim: np.arange(float(size)) for dim, size in zip(dims, values.shape, strict=True)}
    stack = xr.DataArray(values, coordinates, dims, "counts")
    made = KINDS[kind](stack)
    return Arrays(made, KINDS[kind](stack[::-1].copy().assign_coords(frame=stack.frame)), made[0].drop_vars("frame"))


_FIGURES: dict[str, Callable[[Result], float]] = {
    "of its min": lambda result: min(result.seconds),
    "of its CPU time": lambda result: statistics.median(result.cpu_seconds),
}


def _ratio(plain: Result, title: str, figure: Callable[[Result], float]) -> Column:
    return Column(title, lambda result: f"{figure(result) / figure(plain):.3f}")


@dataclass(frozen=True)
class Table:
    """The results of one operation."""

    operation: str
    results: Sequence[Result]

    def rows(self) -> list[dict[str, Any]]:
        """All figures, for JSON."""
        return [{"what": self.operation, **asdict(result)} for result in self.results]

    def columns(self) -> list[Column]:
        """Milliseconds, and the ratios to the plain operation: of medians, of the shortest turns, and of CPU time."""
        plain = next(result for result in self.results if result.name == _PLAIN)
        ratios = [_ratio(plain, title, figure) for title, figure in _FIGURES.items()] if plain.seconds else []
        return [*milliseconds_columns(self.results, _PLAIN), *ratios]

    def panel(self) -> Panel:
        """The table as a picture: the shorter the bar, the faster."""
        return Panel(f"{self.operation}, ms", [_bar(result) for result in self.results])


def _bar(result: Result) -> Bar:
    ours = result.name != _PLAIN
    if result.unit_median is None:
        return Bar(result.name, None, result.short_failure, ours)
    return Bar(result.name, 1e3 * result.unit_median, f"{1e3 * result.unit_median:.3g}", ours)


def run(mebibytes: int, repeat: int) -> Iterator[Table]:
    """Measure each operation with every kind of arrays in turn."""
    for operation in OPERATIONS:
        contestants = [Contestant(kind, partial(_ready, operation, kind, mebibytes)) for kind in KINDS]
        yield Table(operation, compete(contestants, repeat))


@contextmanager
def _ready(operation: str, kind: str, mebibytes: int) -> Iterator[Work]:
    made = arrays(kind, mebibytes)
    gc.collect()  # nobody's turn pays for what another left
    np.ones(_STACKS_AT_MOST * mebibytes << 17)  # nor for memory that comes from afar
    yield partial(OPERATIONS[operation], made)
