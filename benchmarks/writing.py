"""Writing stacks of detector frames, 1024 x 1024 counts of 2 bytes and one frame a chunk, beside other writers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from .cases import BY_NAME, DATASET, MEBIBYTE, Case, Stack, frame_stack
from .harness import Column, Contestant, Result, UnsupportedError, Work, compete, cpu_count, data_directory
from .plotting import Bar, Panel

FULL_MEBIBYTES = 512
FEW_FRAMES = 16
# Frames in a block of dask.
BLOCK = 8
CASES = tuple(BY_NAME[name] for name in ("none", "gzip", "gzip+shuffle", "bitshuffle+LZ4", "Blosc", "Zstandard"))
_NAME = DATASET.rpartition("/")[2]


@dataclass(frozen=True)
class Job:
    """What is to be written.

    Parameters
    ----------
    values
        All values, in memory.
    source
        A file that has the same values.
    case
        How they are to be stored.
    folder
        Where files go.
    """

    values: NDArray[np.uint16]
    source: Stack
    case: Case
    folder: Path

    @property
    def chunks(self) -> tuple[int, ...]:
        return (1, *self.values.shape[1:])


@dataclass(frozen=True)
class Writer:
    """A contestant: writes a job's values and gives the file or folder that has them then."""

    name: str
    write: Callable[[Job], Path]
    package: str | None = None


# --- from memory -----------------------------------------------------------------------------------------------


def _options(case: Case) -> dict[str, Any]:
    """A case as `nexus_xr.to_nexus` is asked for it."""
    return {"compression": None, "shuffle": False, **case.layout}


def _nexus_xr(job: Job, values: Any) -> Path:
    import xarray as xr

    import nexus_xr

    array = xr.DataArray(values, name=_NAME)
    with scheduler():
        nexus_xr.to_nexus(array, job.folder / "ours.nxs", chunks=job.chunks, **_options(job.case))
    return job.folder / "ours.nxs"


def scheduler() -> Any:
    """Have dask use all CPUs, for the length of a ``with`` block."""
    import dask

    return dask.config.set(scheduler="threads", num_workers=cpu_count())


def _dask_array(values: NDArray[np.uint16]) -> Any:
    import dask.array as da

    return da.from_array(values, chunks=(BLOCK, *values.shape[1:]), name=False)


def _h5py(job: Job) -> Path:
    with h5py.File(job.folder / "h5py.h5", "w") as file:
        layout = {"chunks": job.chunks, **job.case.layout}
        file.create_dataset(DATASET, job.values.shape, job.values.dtype, **layout)[...] = job.values
    return job.folder / "h5py.h5"


def _dask_to_hdf5(job: Job) -> Path:
    with scheduler():
        layout = {"chunks": job.chunks, **job.case.layout}
        _dask_array(job.values).to_hdf5(str(job.folder / "dask.h5"), DATASET, **layout)
    return job.folder / "dask.h5"


def _h5netcdf(job: Job) -> Path:
    import xarray as xr

    layout: Mapping[Any, Any] = {"chunksizes": job.chunks, **job.case.layout}
    layout = {**layout, **_unpacked(layout.get("compression"))}
    dataset = xr.Dataset({_NAME: (("frame", "y", "x"), job.values)})
    dataset.to_netcdf(job.folder / "netcdf.h5", engine="h5netcdf", encoding={_NAME: layout}, invalid_netcdf=True)
    return job.folder / "netcdf.h5"


def _unpacked(compression: Any) -> dict[str, Any]:
    return dict(compression) if isinstance(compression, Mapping) else {}


def _zarr(job: Job) -> Path:
    import zarr

    if job.case.zarr is None:
        raise UnsupportedError(job.case.zarr_note)
    path = job.folder / "stack.zarr"
    shape = job.values.shape
    array = zarr.create_array(path, shape=shape, chunks=job.chunks, dtype=np.uint16, fill_value=0, **job.case.zarr())
    array[...] = job.values
    return path


ARRAY_WRITERS = (
    Writer("nexus_xr", lambda job: _nexus_xr(job, job.values), "nexus-xr"),
    Writer("nexus_xr, dask", lambda job: _nexus_xr(job, _dask_array(job.values)), "nexus-xr"),
    Writer("h5py", _h5py, "h5py"),
    Writer("dask to_hdf5", _dask_to_hdf5, "dask"),
    Writer("xarray + h5netcdf", _h5netcdf, "h5netcdf"),
    Writer("Zarr (zarr-python)", _zarr, "zarr"),
)


# --- block by block ----------------------------------------------------------------------------------------------


def _blocks(job: Job) -> Iterator[NDArray[np.uint16]]:
    return (job.values[start : start + BLOCK] for start in range(0, len(job.values), BLOCK))


def _nexus_xr_append(job: Job) -> Path:
    import xarray as xr

    import nexus_xr

    path = job.folder / "ours.nxs"
    first, *others = (xr.DataArray(block, dims=("frame", "y", "x"), name=_NAME) for block in _blocks(job))
    nexus_xr.to_nexus(first, path, unlimited_dims="frame", chunks=job.chunks, **_options(job.case))
    for block in others:
        nexus_xr.to_nexus(block, path, append_dim="frame")
    return path


def _nexus_xr_writer(job: Job) -> Path:
    import xarray as xr

    import nexus_xr

    path = job.folder / "ours.nxs"
    template = xr.DataArray(job.values[:0], dims=("frame", "y", "x"), name=_NAME)
    with nexus_xr.NexusWriter(path, template, chunks=job.chunks, **_options(job.case)) as writer:
        for block in _blocks(job):
            writer.append(block)
            writer.flush()
    return path


def _h5py_append(job: Job, is_closed: bool) -> Path:
    """Resize and assign, in a file that is opened for each block or is read meanwhile."""
    path, frame = job.folder / "h5py.h5", job.values.shape[1:]
    layout = {"chunks": job.chunks, "maxshape": (None, *frame), **job.case.layout}
    file = h5py.File(path, "w", libver="earliest" if is_closed else "latest")
    file.create_dataset(DATASET, (0, *frame), job.values.dtype, **layout)
    if not is_closed:
        file.swmr_mode = True
    for block in _blocks(job):
        if is_closed:
            file.close()
            file = h5py.File(path, "r+")
        values = file[DATASET]
        values.resize(len(values) + len(block), axis=0)
        values[-len(block) :] = block
        values.flush()
    file.close()
    return path


APPEND_WRITERS = (
    Writer("nexus_xr append_dim", _nexus_xr_append, "nexus-xr"),
    Writer("nexus_xr NexusWriter", _nexus_xr_writer, "nexus-xr"),
    Writer("h5py", partial(_h5py_append, is_closed=True), "h5py"),
    Writer("h5py, SWMR", partial(_h5py_append, is_closed=False), "h5py"),
    Writer("nexus_xr, the whole at once", lambda job: _nexus_xr(job, job.values), "nexus-xr"),
)


# --- from another file -----------------------------------------------------------------------------------------


def _nexus_xr_repack(job: Job) -> Path:
    import xarray as xr

    import nexus_xr

    with xr.open_dataset(job.source.path, engine="nexus") as dataset:
        nexus_xr.to_nexus(dataset, job.folder / "ours.nxs", **_options(job.case))
    return job.folder / "ours.nxs"


def _nexus_xr_copy(job: Job) -> Path:
    import xarray as xr

    import nexus_xr

    with xr.open_dataset(job.source.path, engine="nexus") as dataset:
        nexus_xr.to_nexus(dataset, job.folder / "ours.nxs")
    return job.folder / "ours.nxs"


def _h5repack(job: Job, *options: str) -> Path:
    tool = shutil.which("h5repack")
    if tool is None:
        raise UnsupportedError("not installed (h5repack, of Debian's hdf5-tools)")
    target = job.folder / "repacked.h5"
    environment = {**os.environ, "HDF5_PLUGIN_PATH": hdf5plugin.PLUGIN_PATH}
    command = [tool, *options, str(job.source.path), str(target)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(ran.stderr or ran.stdout)
    return target


_H5REPACK_FILTERS = {
    "none": ["-f", "NONE"],
    "gzip": ["-f", "GZIP=4"],
    "gzip+shuffle": ["-f", "SHUF", "-f", "GZIP=4"],
    "bitshuffle+LZ4": ["-f", "UD=32008,0,2,0,2"],
    "Blosc": ["-f", "UD=32001,0,7,0,0,0,0,5,1,1"],
    "Zstandard": ["-f", "UD=32015,0,1,3"],
}


def _h5py_repack(job: Job) -> Path:
    with h5py.File(job.source.path) as source, h5py.File(job.folder / "h5py.h5", "w") as file:
        values = source[DATASET]
        target = file.create_dataset(DATASET, values.shape, values.dtype, **{"chunks": job.chunks, **job.case.layout})
        for start in range(0, len(values), BLOCK):
            target[start : start + BLOCK] = values[start : start + BLOCK]
    return job.folder / "h5py.h5"


def copy_of_the_file(job: Job) -> Path:
    """What the system takes to copy the bytes."""
    return Path(shutil.copyfile(job.source.path, job.folder / "copy.nxs"))


REPACK_WRITERS = (
    Writer("nexus_xr", _nexus_xr_repack, "nexus-xr"),
    Writer("h5py", _h5py_repack, "h5py"),
    Writer("h5repack", lambda job: _h5repack(job, *_H5REPACK_FILTERS[job.case.name])),
)
COPY_WRITERS = (
    Writer("nexus_xr", _nexus_xr_copy, "nexus-xr"),
    Writer("h5py", _h5py_repack, "h5py"),
    Writer("h5repack", _h5repack),
    Writer("copy of the file", copy_of_the_file),
)


@dataclass(frozen=True)
class WritingKind:
    """A way to write.

    Parameters
    ----------
    title
        What is done, in a line.
    writers
        Who does it.
    source
        Name of the case that the values come from; None for the case itself.
    reference
        Who the others are compared with.
    """

    title: str
    writers: tuple[Writer, ...]
    source: str | None
    reference: str = "h5py"


KINDS = {
    "array": WritingKind("a stack", ARRAY_WRITERS, "none"),
    "append": WritingKind(f"a stack in blocks of {BLOCK} frames", APPEND_WRITERS, "none"),
    "repack": WritingKind("a file of gzip stored anew", REPACK_WRITERS, "gzip"),
    "copy": WritingKind("a file copied with its chunks and filters", COPY_WRITERS, None),
}


@dataclass(frozen=True)
class Table:
    """The results of one case."""

    case: Case
    kind: WritingKind
    mebibytes: float
    results: list[Result]
    sizes: Mapping[str, float]

    @property
    def title(self) -> str:
        return f"write, {self.case.name}: {self.kind.title} ({self.mebibytes:.0f} MiB), into {scratch()}"

    def rows(self) -> list[Result]:
        return [replace(result, name=f"{self.case.name}: {result.name}") for result in self.results]


def run(kind: WritingKind, size: int, repeat: int, cases: Sequence[Case], budget: float) -> Iterator[Table]:
    """Measure each case."""
    for case in cases:
        count = max(1, size // 2)
        sizes: dict[str, float] = {}
        contestants = [
            _contestant(kind, writer, case, count, sizes, _contestant(kind, writer, case, FEW_FRAMES, sizes, None))
            for writer in kind.writers
        ]
        yield Table(case, kind, count * 2.0, compete(contestants, repeat, budget), sizes)


def _contestant(
    kind: WritingKind, writer: Writer, case: Case, count: int, sizes: dict[str, float], substitute: Contestant | None
) -> Contestant:
    source = frame_stack(BY_NAME[kind.source] if kind.source else case, count)
    return Contestant(
        writer.name,
        partial(_ready, writer, case, source),
        writer.package,
        partial(_check, source, writer.name, sizes),
        source.mebibytes,
        "" if substitute is not None else "*",
        substitute,
    )


@contextmanager
def _ready(writer: Writer, case: Case, source: Stack) -> Iterator[Work]:
    values = np.concatenate([source.distinct] * -(-source.count // len(source.distinct)))[: source.count]
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        job = Job(values, source, case, Path(folder))
        yield partial(writer.write, job)


def scratch() -> Path:
    """Where files are written: in memory where the system has room for files there, as disks differ more than writers.

    Some contestants wait until all is on the disk, others don't.
    """
    in_memory = Path("/dev/shm")
    has_room = in_memory.is_dir() and shutil.disk_usage(in_memory).free > 4 * FULL_MEBIBYTES * MEBIBYTE
    return in_memory if has_room else data_directory()


def _check(source: Stack, name: str, sizes: dict[str, float], path: Path) -> str | None:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    sizes[name] = sum(each.stat().st_size for each in files) / MEBIBYTE
    if path.is_dir():
        import zarr

        found: Any = zarr.open_array(path)
        last = np.asarray(found[-1])
    else:
        with h5py.File(path) as file:
            last = _stack_in(file)[-1]
    return None if np.array_equal(last, source.frame(source.count - 1)) else "wrong: the last frame isn't what it was"


def _stack_in(file: h5py.File) -> h5py.Dataset:
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) and item.ndim == 3 else None)
    return found[0]


def columns(measured: Table) -> list[Column]:
    """What the table of a case shows."""
    reference = measured.kind.reference
    base = next((speed(each) for each in measured.results if each.name == reference and each.seconds), None)
    return [
        Column("MiB/s", lambda result: f"{speed(result):.0f}{result.note}"),
        Column("min", lambda result: f"{result.amount / max(result.seconds):.0f}"),
        Column("max", lambda result: f"{result.amount / min(result.seconds):.0f}"),
        Column(f"x {reference}", lambda result: f"{speed(result) / base:.2f}" if base else "-"),
        Column("MiB on disk", lambda result: f"{measured.sizes[result.name]:.0f}"),
    ]


def speed(result: Result) -> float:
    """MiB of values a second."""
    return result.amount / result.median if result.median else 0.0


def panel(measured: Table) -> Panel:
    """A case as a picture: the longer the bar, the faster."""
    return Panel(measured.case.name, [_bar(result) for result in measured.results])


def _bar(result: Result) -> Bar:
    ours = result.name.startswith("nexus_xr")
    if result.median is None:
        return Bar(result.name, None, result.short_failure, ours)
    return Bar(result.name, speed(result), f"{speed(result):.0f}{result.note}", ours)
