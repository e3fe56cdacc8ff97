"""The readers that are compared: each opens a stack, sums it as its users would, and reads parts of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .cases import DATASET, SLAB, Part, Stack, zarr_copy
from .harness import UnsupportedError, cpu_count
from .limit import open_limit

GROUP = DATASET.rpartition("/")[0].lstrip("/")
NAME = DATASET.rpartition("/")[2]
# Chunks in a block or slab, for those that are faster with more than one.
BLOCK = 8


@dataclass(frozen=True)
class Opened:
    """An open stack.

    Parameters
    ----------
    total
        Sums all values.
    read
        Gives the values of a selection as a NumPy array.
    rewrite
        Writes the lowest bit of all values, compressed, into a new file, block by block; None for what only reads.
    total_of
        Sums a part of each frame; None for what isn't compared at that.
    """

    total: Callable[[], int]
    read: Callable[[Any], Any]
    rewrite: Callable[[Path], None] | None = None
    total_of: Callable[[Part], int] | None = None


@dataclass(frozen=True)
class Reader:
    """A contestant of the benchmarks of reading.

    Parameters
    ----------
    name
        How the tables call it.
    open
        Opens a stack, either for dask to reduce it (True) or for direct reads (False).
    package
        Distribution whose version is reported.
    """

    name: str
    open: Callable[[Stack, bool], AbstractContextManager[Opened]]
    package: str | None = None


def _dask_total(array: Any, chunks: Any, reduces: bool) -> Callable[[], int]:
    if not reduces:
        return _opened_for_reading
    import dask.array as da

    blocks = da.from_array(array, chunks=chunks)
    return lambda: _computed(blocks.sum())


def _opened_for_reading() -> int:
    raise RuntimeError("opened for direct reads, not to be reduced")


def _computed(lazy: Any) -> int:
    return int(lazy.compute(scheduler="threads", num_workers=cpu_count()))


def _on_all_cores() -> Any:
    import dask

    return dask.config.set(scheduler="threads", num_workers=cpu_count())


def _slab_total(read: Callable[[Any], Any], stack: Stack, step: int) -> Callable[[], int]:
    slabs = [slice(start, min(start + step, stack.count)) for start in range(0, stack.count, step)]
    return lambda: sum(int(read(slab).sum(dtype=np.uint64)) for slab in slabs)


def _blocks(stack: Stack) -> tuple[int, ...]:
    return (BLOCK, *stack.chunks[1:])


@contextmanager
def _nexus_xr(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import xarray as xr

    with xr.open_dataset(stack.path, engine="nexus", chunks={} if reduces else None) as dataset:
        counts = dataset[NAME]

        def rewrite(path: Path) -> None:
            with _on_all_cores():
                (counts & 1).nexus.to_nexus(path, chunks=stack.chunks, compression="bitshuffle")

        def total_of(part: Part) -> int:
            window = counts[:, part.rows, part.columns]
            kept = window if part.mask is None else window.where(xr.DataArray(part.mask, dims=window.dims[1:]), 0)
            return _computed(kept.sum())

        yield Opened(
            lambda: _computed(counts.sum()),
            lambda selection: counts[selection].values,
            rewrite if reduces else None,
            total_of,
        )


@contextmanager
def _reduced(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import xarray as xr

    import nexus_xr

    with xr.open_dataset(stack.path, engine="nexus") as dataset:
        counts = dataset[NAME]
        yield Opened(
            lambda: int(nexus_xr.reduce(counts, "sum")),
            lambda selection: _opened_for_reading(),
            total_of=lambda part: int(nexus_xr.reduce(counts[:, part.rows, part.columns], "sum", where=part.mask)),
        )


@contextmanager
def _h5py_dask(stack: Stack, reduces: bool) -> Iterator[Opened]:
    with h5py.File(stack.path) as file:
        counts = file[DATASET]
        chunks = counts.chunks or stack.chunks

        def rewrite(path: Path) -> None:
            import dask.array as da
            import hdf5plugin

            with _on_all_cores():
                bits = da.from_array(counts, chunks=chunks) & 1
                bits.to_hdf5(str(path), DATASET, chunks=chunks, **hdf5plugin.Bitshuffle())

        def total_of(part: Part) -> int:
            import dask.array as da

            window = da.from_array(counts, chunks=chunks)[:, part.rows, part.columns]
            return _computed((window if part.mask is None else da.where(part.mask, window, 0)).sum())

        yield Opened(
            _dask_total(counts, chunks, reduces),
            lambda selection: counts[selection],
            rewrite if reduces else None,
            total_of,
        )


@contextmanager
def _h5py_loop(stack: Stack, reduces: bool) -> Iterator[Opened]:
    with h5py.File(stack.path) as file:
        counts = file[DATASET]
        yield Opened(_slab_total(lambda slab: counts[slab], stack, 1), lambda selection: counts[selection])


@contextmanager
def _rosettasciio(stack: Stack, reduces: bool) -> Iterator[Opened]:
    from rsciio.nexus import file_reader

    (signal,) = file_reader(str(stack.path), lazy=True)
    counts = signal["data"]
    yield Opened(
        lambda: _computed(counts.sum()),
        lambda selection: np.asarray(counts[selection].compute(scheduler="threads", num_workers=cpu_count())),
    )


@contextmanager
def _scippnexus(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import scippnexus

    with scippnexus.File(stack.path, "r") as file:
        counts = file[DATASET]
        dimensions = counts.dims

        def read(selection: Any) -> Any:
            parts = selection if isinstance(selection, tuple) else (selection,)
            found = counts[dict(zip(dimensions, parts, strict=False))]
            return getattr(found, "values", found)  # one element is a number

        yield Opened(_slab_total(read, stack, BLOCK), read)


@contextmanager
def _hidefix(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import hidefix

    counts = hidefix.Index(str(stack.path)).dataset(NAME, GROUP)

    def read(selection: Any) -> Any:
        # It wants a part for each dimension, and leaves out those of length 1.
        parts = selection if isinstance(selection, tuple) else (selection,)
        whole = (*parts, *[slice(None)] * (len(stack.shape) - len(parts)))
        ranges = [part if isinstance(part, slice) else slice(part, part + 1) for part in whole]
        kept = [
            len(range(*part.indices(length)))
            for part, length in zip(whole, stack.shape, strict=True)
            if isinstance(part, slice)
        ]
        return counts[tuple(ranges)].reshape(kept)

    yield Opened(_slab_total(read, stack, BLOCK), read)


@contextmanager
def _pyfive(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import pyfive

    with pyfive.File(str(stack.path)) as file:
        counts = file[DATASET]
        yield Opened(_dask_total(counts, _blocks(stack), reduces), lambda selection: counts[selection])


@contextmanager
def _virtualizarr(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import zarr
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr.parsers import HDFParser

    registry = ObjectStoreRegistry({"file://": LocalStore()})
    store = HDFParser(group=GROUP)(f"file://{stack.path}", registry)
    yield _zarr_opened(zarr.open_group(store, mode="r")[NAME], stack, reduces)


@contextmanager
def _async_hdf5(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import asyncio

    import zarr
    from async_hdf5.store import LocalStore
    from async_hdf5.zarr import open_hdf5

    folder = LocalStore(str(stack.path.parent))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store = asyncio.run(open_hdf5(path=stack.path.name, store=folder, group=GROUP))
    group = zarr.open_group(store, mode="r")
    if NAME not in group:
        why = " ".join(str(warning.message) for warning in caught).partition(f"{NAME}: ")[2]
        raise UnsupportedError(re.split(r"; |\. | \(", why)[0] or f"finds no {NAME}")
    yield _zarr_opened(group[NAME], stack, reduces)


@contextmanager
def _zarr(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import zarr

    yield _zarr_opened(zarr.open_array(_copied(stack), mode="r"), stack, reduces)


@contextmanager
def _zarrs(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import zarr
    import zarrs

    # Strictly, or zarr-python decodes in its place what it doesn't know.
    pipeline = {"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}
    copy = _copied(stack)
    try:
        with zarr.config.set(pipeline):
            yield _zarr_opened(zarr.open_array(copy, mode="r"), stack, reduces)
    except zarrs.pipeline.UnsupportedMetadataError:
        raise UnsupportedError(f"zarrs has no codec for {stack.case.name}") from None


def _copied(stack: Stack) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of codecs that other implementations may not have
        return zarr_copy(stack)


def _zarr_opened(array: Any, stack: Stack, reduces: bool) -> Opened:
    blocks = array.chunks if array.chunks == array.shape else _blocks(stack)
    return Opened(_dask_total(array, blocks, reduces), lambda selection: np.asarray(array[selection]))


@contextmanager
def _dask_alone(stack: Stack, reduces: bool) -> Iterator[Opened]:
    import dask.array as da

    frames = tuple(min(BLOCK, stack.count - first) for first in range(0, stack.count, BLOCK))
    distinct = stack.distinct

    def block(block_id: tuple[int, ...]) -> Any:
        number = block_id[0]
        first = number * BLOCK % len(distinct)
        return distinct[first : first + frames[number]]

    chunks = (frames, *((size,) for size in stack.shape[1:]))
    blocks = da.map_blocks(block, chunks=chunks, dtype=distinct.dtype, meta=distinct[:0])
    yield Opened(lambda: _computed(blocks.sum()), lambda selection: _opened_for_reading())


@contextmanager
def _limit(stack: Stack, reduces: bool) -> Iterator[Opened]:
    with open_limit(stack, cpu_count() if reduces else min(stack.count, SLAB)) as decoding:
        yield Opened(decoding.total, decoding.read, total_of=decoding.total)


@contextmanager
def _limit_of_blocks(stack: Stack, reduces: bool) -> Iterator[Opened]:
    with open_limit(stack, cpu_count() * BLOCK) as decoding:
        yield Opened(decoding.total, lambda selection: _opened_for_reading())


NEXUS_XR = Reader("nexus_xr", _nexus_xr, "nexus-xr")
# Without dask, block by block in each core's cache.
REDUCED = Reader("nexus_xr.reduce", _reduced, "nexus-xr")
H5PY_DASK = Reader("h5py + dask", _h5py_dask, "h5py")
H5PY_LOOP = Reader("h5py", _h5py_loop, "h5py")
ROSETTASCIIO = Reader("RosettaSciIO lazy", _rosettasciio, "rosettasciio")
# What dask and summing cost when all values lie in memory.
DASK_ALONE = Reader("dask, nothing to read", _dask_alone, "dask")
# The limit for blocks as large as dask's, which a core's cache doesn't hold, and which are summed when they are whole.
BLOCK_LIMIT = Reader("limit, in blocks", _limit_of_blocks)
LIMIT = Reader("limit", _limit)

READERS = (
    NEXUS_XR,
    REDUCED,
    H5PY_LOOP,
    H5PY_DASK,
    ROSETTASCIIO,
    Reader("scippnexus", _scippnexus, "scippnexus"),
    Reader("hidefix", _hidefix, "hidefix"),
    Reader("pyfive + dask", _pyfive, "pyfive"),
    Reader("VirtualiZarr + Zarr", _virtualizarr, "virtualizarr"),
    Reader("async-hdf5 + Zarr", _async_hdf5, "async-hdf5"),
    Reader("Zarr copy, zarr-python", _zarr, "zarr"),
    Reader("Zarr copy, zarrs", _zarrs, "zarrs"),
    DASK_ALONE,
    BLOCK_LIMIT,
    LIMIT,
)

BY_NAME = {reader.name: reader for reader in READERS}
