"""Reading and writing a stack of detector frames with worker processes of dask.distributed: speed and memory."""

from __future__ import annotations

import functools
import shutil
import statistics
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .cases import BY_NAME, DATASET, DISTINCT_FRAMES, Stack, frame_stack
from .harness import Column, Contestant, Result, UnsupportedError, Work, compete, data_directory
from .memory import status
from .plotting import Bar, Panel
from .writing import BLOCK

WORKERS = (1, 2)
CASE = BY_NAME["gzip+shuffle"]
KINDS = {"read": "summing a stack", "write": "writing a stack with one added to it"}
_NAME = DATASET.rpartition("/")[2]

# What a kind of work is given: the stack, and a folder to write into.
Job = Callable[[Stack, Path], Any]


@dataclass
class Table:
    """The results of a kind of work, with the memory of the workers."""

    kind: str
    stack: Stack
    results: list[Result]
    peaks: dict[str, list[float]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"{self.kind}, {CASE.name}: {KINDS[self.kind]} ({self.stack.mebibytes:.0f} MiB)"

    def rows(self) -> list[dict[str, Any]]:
        """All figures, for JSON."""
        return [
            {**vars(replace(result, name=f"{self.kind}: {result.name}")), "worker_mebibytes": self.peaks[result.name]}
            for result in self.results
        ]


def _nexus_xr_sum(stack: Stack, _: Path) -> int:
    import xarray as xr

    with xr.open_dataset(stack.path, engine="nexus", chunks={}) as dataset:
        return int(dataset[_NAME].sum())


def _read_block(path: str, block_info: Any = None) -> Any:
    place = block_info[None]["array-location"]
    with h5py.File(path) as file:
        return file[DATASET][tuple(slice(*each) for each in place)]


def _h5py_stack(stack: Stack) -> Any:
    import dask.array as da

    frames = tuple(min(BLOCK, stack.count - first) for first in range(0, stack.count, BLOCK))
    chunks = (frames, *((size,) for size in stack.shape[1:]))
    meta = np.empty((0, 0, 0), np.uint16)
    return da.map_blocks(_read_block, str(stack.path), chunks=chunks, dtype=np.uint16, meta=meta)


def _h5py_sum(stack: Stack, _: Path) -> int:
    return int(_h5py_stack(stack).sum().compute())


@functools.cache
def _compressed_frames(path: str) -> list[bytes]:
    with h5py.File(path) as file:
        return [zlib.compress(frame.tobytes(), 1) for frame in file[DATASET][:DISTINCT_FRAMES]]


def _total_of_block(path: str, block_id: Any = None, count: int = 0) -> Any:
    numbers = range(block_id[0] * BLOCK, min((block_id[0] + 1) * BLOCK, count))
    frames = _compressed_frames(path)
    totals = (np.frombuffer(zlib.decompress(frames[each % len(frames)]), np.uint16).sum() for each in numbers)
    return np.array([sum(totals)], np.uint64)


def _computed_sum(stack: Stack, _: Path) -> int:
    import dask.array as da

    chunks = ((1,) * -(-stack.count // BLOCK),)
    return int(da.map_blocks(_total_of_block, str(stack.path), count=stack.count, chunks=chunks, dtype="u8").sum())


def _nexus_xr_write(stack: Stack, folder: Path) -> Path:
    import xarray as xr

    import nexus_xr

    with xr.open_dataset(stack.path, engine="nexus", chunks={}) as dataset:
        nexus_xr.to_nexus(dataset[_NAME] + 1, folder / "new.nxs", chunks=stack.chunks, **CASE.layout)
    return folder / "new.nxs"


def _zarr_write(stack: Stack, folder: Path) -> Path:
    import dask.array as da
    import xarray as xr
    import zarr

    if CASE.zarr is None:
        raise UnsupportedError(CASE.zarr_note)
    target: Any = zarr.create_array(
        folder / "new.zarr", shape=stack.shape, chunks=stack.chunks, dtype=np.uint16, fill_value=0, **CASE.zarr()
    )
    with xr.open_dataset(stack.path, engine="nexus", chunks={}) as dataset:
        da.store((dataset[_NAME] + 1).data, target, lock=False)
    return folder / "new.zarr"


JOBS: dict[str, dict[str, tuple[Job, str]]] = {
    "read": {
        "nexus_xr": (_nexus_xr_sum, "nexus-xr"),
        "h5py + dask": (_h5py_sum, "h5py"),
        # What more workers gain at all on a machine that has the scheduler and its client as well.
        "dask, nothing to read": (_computed_sum, "dask"),
    },
    "write": {"nexus_xr": (_nexus_xr_write, "nexus-xr"), "Zarr, read by nexus_xr": (_zarr_write, "zarr")},
}


@dataclass(frozen=True)
class _Workers:
    """Worker processes of one contestant, and the KiB that each takes before it has done anything."""

    client: Any
    idle: Mapping[str, int]


def run(size: int, repeat: int) -> Iterator[Table]:
    """Measure reading and writing, by one worker of one thread and by two, in turn."""
    stack = frame_stack(CASE, max(2, size // 2))
    for kind, jobs in JOBS.items():
        table = Table(kind, stack, [])
        with ExitStack() as clusters:
            contestants = [
                _contestant(f"{name}, {count} worker{'s' * (count > 1)}", job, package, count, table, clusters)
                for name, (job, package) in jobs.items()
                for count in WORKERS
            ]
            table.results += compete(contestants, repeat)
        yield table


def _contestant(name: str, job: Job, package: str, count: int, table: Table, clusters: ExitStack) -> Contestant:
    table.peaks[name] = []
    workers = clusters.enter_context(_started(count))
    prepare = partial(_prepared, partial(job, table.stack), workers, table.peaks[name])
    return Contestant(name, prepare, package, partial(_wrong, table.stack), table.stack.mebibytes)


@contextmanager
def _started(count: int) -> Iterator[_Workers]:
    import distributed

    with (
        distributed.LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield _Workers(client, client.run(_memory_with_all_imported))


def _memory_with_all_imported() -> int:
    import dask.array
    import xarray

    import nexus_xr

    assert all((dask.array, xarray, nexus_xr))
    return status("self")["VmRSS"]


@contextmanager
def _prepared(job: Callable[[Path], Any], workers: _Workers, peaks: list[float]) -> Iterator[Work]:
    folder = Path(tempfile.mkdtemp(dir=data_directory()))
    try:
        workers.client.run(_start_anew)
        with workers.client.as_current():
            yield partial(job, folder)
        found = workers.client.run(partial(status, "self"))
        peaks.append(max(each["VmHWM"] - workers.idle[worker] for worker, each in found.items()) / 1024)
    finally:
        shutil.rmtree(folder)


def _start_anew() -> None:
    """Have the peak of a worker's memory start from what it has now."""
    Path("/proc/self/clear_refs").write_text("5")


def _wrong(stack: Stack, answer: int | Path) -> str | None:
    if isinstance(answer, int):
        return None if answer == stack.total() else f"wrong sum: {answer} in place of {stack.total()}"
    last = stack.frame(stack.count - 1) + 1
    if answer.is_dir():
        import zarr

        found: Any = zarr.open_array(answer)
    else:
        import nexus_xr

        [found] = nexus_xr.open_signals(answer, nxdata_only=True)
    return None if np.array_equal(np.asarray(found[-1]), last) else "wrong: the last frame isn't what it was"


def columns(table: Table) -> list[Column]:
    """What the table of a kind of work shows."""
    return [
        Column("MiB/s", lambda result: f"{_speed(result):.0f}"),
        Column("x 1 worker", lambda result: _scaling(table.results, result)),
        Column("MiB a worker", lambda result: f"{statistics.median(table.peaks[result.name]):.0f}"),
    ]


def _speed(result: Result) -> float:
    return result.amount / result.median if result.median else 0.0


def _scaling(results: Sequence[Result], result: Result) -> str:
    """How much faster than by one worker, by the median of the ratios of turns that came one after the other."""
    name = result.name.rpartition(",")[0]
    alone = next(each for each in results if each.name == f"{name}, 1 worker")
    ratios = [one / own for one, own in zip(alone.seconds, result.seconds, strict=False)]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def panel(table: Table) -> Panel:
    """A kind of work as a picture: the longer the bar, the faster."""
    return Panel(table.kind, [_bar(result) for result in table.results])


def _bar(result: Result) -> Bar:
    ours = result.name.startswith("nexus_xr")
    if result.median is None:
        return Bar(result.name, None, result.short_failure, ours)
    return Bar(result.name, _speed(result), f"{_speed(result):.0f}", ours)
