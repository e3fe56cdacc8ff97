"""Copying stacks of detector frames from an HDF5 file into Zarr stores, beside those who decode and encode them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py

from .cases import BY_NAME, DATASET
from .harness import cpu_count
from .writing import BLOCK, Job, Writer, WritingKind, copy_of_the_file, scheduler

CASES = tuple(
    BY_NAME[name]
    for name in ("none", "gzip", "gzip+shuffle", "LZF+shuffle", "bitshuffle+LZ4", "LZ4", "Blosc", "Blosc2", "Zstandard")
)
_REFERENCE = "dask, create_array"
# Of decoded values, in one shard.
_SHARD_BYTES = 64 << 20


def _nexus_xr(job: Job, **options: Any) -> Path:
    import nexus_xr

    target = job.folder / "ours.zarr"
    nexus_xr.to_zarr(job.source.path, target, **options)
    return target / DATASET.strip("/")


def _created(job: Job) -> Any:
    """An empty array as the case has it, or with zarr's own codecs where Zarr has nothing like it."""
    import zarr

    codecs: Mapping[str, Any] = job.case.zarr() if job.case.zarr is not None else {}
    path, values = job.folder / "stack.zarr", job.values
    return zarr.create_array(path, shape=values.shape, chunks=job.chunks, dtype=values.dtype, fill_value=0, **codecs)


def _dask(job: Job) -> Path:
    import dask.array as da

    with h5py.File(job.source.path) as file, scheduler():
        blocks = da.from_array(file[DATASET], chunks=(BLOCK, *job.values.shape[1:]))
        da.store(blocks, _created(job), lock=False)
    return job.folder / "stack.zarr"


def _nexus_xr_dask(job: Job) -> Path:
    import xarray as xr

    with xr.open_dataset(job.source.path, engine="nexus", chunks={}) as dataset, scheduler():
        signal = next(iter(dataset.data_vars.values()))
        signal.data.store(_created(job), lock=False)
    return job.folder / "stack.zarr"


def _threads(job: Job) -> Path:
    """As rechunker does it where no chunk has another shape: each thread reads blocks and writes them."""
    with h5py.File(job.source.path) as file, ThreadPoolExecutor(cpu_count()) as pool:
        source, target = file[DATASET], _created(job)

        def copy(start: int) -> None:
            target[start : start + BLOCK] = source[start : start + BLOCK]

        _exhaust(pool.map(copy, range(0, len(source), BLOCK)))
    return job.folder / "stack.zarr"


def _exhaust(done: Iterable[None]) -> None:
    for _ in done:
        pass


KIND = WritingKind(
    "a file copied into Zarr",
    (
        Writer("nexus_xr", _nexus_xr, "nexus-xr"),
        Writer("nexus_xr, shards", lambda job: _nexus_xr(job, shards=_SHARD_BYTES), "nexus-xr"),
        Writer("nexus_xr, each chunk verified", lambda job: _nexus_xr(job, verify=True), "nexus-xr"),
        Writer(_REFERENCE, _dask, "zarr"),
        Writer("threads, create_array", _threads, "zarr"),
        Writer("nexus_xr through dask, create_array", _nexus_xr_dask, "zarr"),
        Writer("limit: copy of the file", copy_of_the_file),
    ),
    source=None,
    reference=_REFERENCE,
)
