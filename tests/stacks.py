"""Datasets stored in every way that HDF5 knows, for the tests of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from numpy.typing import NDArray

from nexus_xr.hdf5.format.chunk_indexes.chunked_dataset import ChunkedDataset
from nexus_xr.hdf5.format.messages.layout import Chunked
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.reading.layouts.library_layouts import stored_values

# Each filter of HDF5, of h5py and of hdf5plugin, with each of its codecs; lossy ones too, whose values are h5py's.
LOSSLESS: dict[str, Mapping[str, Any]] = {
    "none": {},
    "gzip": {"compression": "gzip"},
    "gzip+shuffle": {"compression": "gzip", "shuffle": True},
    "gzip+shuffle+fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "shuffle": {"shuffle": True},
    "fletcher32": {"fletcher32": True},
    "lzf": {"compression": "lzf"},
    "lzf+shuffle": {"compression": "lzf", "shuffle": True},
    "lz4": hdf5plugin.LZ4(),
    "lz4, small blocks": hdf5plugin.LZ4(nbytes=64),
    "zstd": hdf5plugin.Zstd(),
    "bzip2": hdf5plugin.BZip2(),
    "bitshuffle": hdf5plugin.Bitshuffle(cname="none"),
    "bitshuffle+lz4": hdf5plugin.Bitshuffle(),
    "bitshuffle+lz4, small blocks": hdf5plugin.Bitshuffle(nelems=16),
    "bitshuffle+zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    **{
        f"blosc {codec} {shuffle}": hdf5plugin.Blosc(cname=codec, shuffle=shuffle)
        for codec in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for shuffle in (0, 1, 2)
    },
    **{
        f"blosc2 {codec} {filters}": hdf5plugin.Blosc2(cname=codec, filters=filters)
        for codec in ("blosclz", "lz4", "lz4hc", "zlib", "zstd")
        for filters in (0, 1, 2)
    },
}
ONLY_LIBHDF5: dict[str, Mapping[str, Any]] = {
    "szip": {"compression": "szip"},
    "scale-offset": {"scaleoffset": 0},
    "fcidecomp": hdf5plugin.FciDecomp(),
    **({"htj2k": hdf5plugin.Htj2k()} if hasattr(hdf5plugin, "Htj2k") else {}),  # not in the lowest version allowed
}
LOSSY: dict[str, Mapping[str, Any]] = {
    "zfp": hdf5plugin.Zfp(accuracy=0.01),
    "zfp reversible": hdf5plugin.Zfp(reversible=True),
    "sz": hdf5plugin.SZ(absolute=0.01),
    "sz3": hdf5plugin.SZ3(absolute=0.01),
    "sperr": hdf5plugin.Sperr(rate=8),
}

# Those for which neither h5py nor hdf5plugin has options, and where their tests are.
ELSEWHERE: dict[int, str] = {5: "test_engine.py: nbit and other precisions are converted"}


def filters_of_table() -> set[int]:
    """The numbers of all filters that the tables write with."""
    found: set[int] = set()
    with h5py.File("any.h5", "w", driver="core", backing_store=False) as file:
        for name, options in {**LOSSLESS, **ONLY_LIBHDF5, **LOSSY}.items():
            dtype = "f4" if name in LOSSY else "u2"
            properties = file.create_dataset(name, (1, 16, 16), dtype, chunks=True, **options).id.get_create_plist()
            found |= {properties.get_filter(at)[0] for at in range(properties.get_nfilters())}
    return found


# Each type of chunk index: by version of the file format, by whether it can grow and when space is allocated.
INDEXES: dict[str, dict[str, Any]] = {
    "B-tree 1": {"libver": "earliest"},
    "fixed array": {"libver": "latest"},
    "extensible array": {"libver": "latest", "unlimited": 1},
    "B-tree 2": {"libver": "latest", "unlimited": 2},
    "implicit": {"libver": "latest", "early": True},
}

DTYPES: dict[str, np.dtype[Any]] = {
    text: np.dtype(text)
    for text in ("<u2", ">u2", "i1", "<u4", ">i8", "<f2", "<f4", ">f8", "?", "<c8", ">c16", "V5", "S7", "g")
} | {
    "enum": h5py.enum_dtype({"off": 0, "on": 1, "unknown": 7}, basetype="i2"),
    "compound": np.dtype([("x", "<i4"), ("y", ">f8"), ("in", [("z", "u1", (3,))])]),
    "aligned compound": np.dtype([("a", "u1"), ("b", "f8")], align=True),
    "compound with enum": np.dtype([("state", h5py.enum_dtype({"a": 0, "b": 1}, "u1")), ("v", "f4")]),
    "array": np.dtype(("<f4", (2, 3))),
}


def counts(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint16]:
    """Poisson counts, as detectors give them."""
    return np.random.default_rng(seed).poisson(5, shape).astype(np.uint16)


def smooth(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """A smooth field, as lossy codecs want it."""
    steps = np.random.default_rng(seed).normal(size=shape)
    return np.cumsum(steps, axis=-1, dtype=np.float32)


def write_indexed(
    path: Path,
    values: NDArray[Any],
    chunks: tuple[int, ...],
    libver: str = "earliest",
    unlimited: int = 0,
    early: bool = False,
    written: slice = slice(None),
    **options: Any,
) -> None:
    """Write /data with an index of a given kind; only a part of the rows where `written` says so."""
    maxshape = tuple(None if dimension < unlimited else size for dimension, size in enumerate(values.shape))
    with h5py.File(path, "w", libver=libver) as file:
        template = file.create_dataset(
            "template", (1,) * values.ndim, values.dtype, chunks=(1,) * values.ndim, **options
        )
        properties = template.id.get_create_plist()
        properties.set_chunk(chunks)
        if early:
            properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)
        space = h5s.create_simple(values.shape, tuple(h5s.UNLIMITED if size is None else size for size in maxshape))
        h5d.create(file.id, b"data", h5t.py_create(values.dtype, logical=True), space, properties)
        file["data"][written] = values[written]


def write_raw(
    path: Path, values: NDArray[Any], chunks: tuple[int, ...], codes: list[tuple[int, tuple[int, ...]]]
) -> None:
    """Write /data through a pipeline of filters given by number and options."""
    with h5py.File(path, "w") as file:
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk(chunks)
        for number, options in codes:
            properties.set_filter(number, 0, options)
        kind, space = h5t.py_create(values.dtype), h5s.create_simple(values.shape)
        h5py.Dataset(h5d.create(file.id, b"data", kind, space, properties))[...] = values


def chunked(dataset: h5d.DatasetID, source: Source) -> ChunkedDataset:
    """What it takes to read the chunk index of an open dataset."""
    stored = stored_values(dataset, source)
    assert isinstance(stored.layout, Chunked)
    return ChunkedDataset(dataset.shape, stored.dataspace.maximum, stored.layout, bool(stored.filters))
