"""How the sources of virtual datasets are stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusFileError, SystemFaultError
from nexus_xr.hdf5.format.virtual.virtual_mappings import DEEPEST
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.storage import UNKNOWN, Filter, Storage

from .virtual_layout import Mapping, VirtualLayout
from .virtual_mapping import read_mappings, source_file


class SourceStorage(NamedTuple):
    """How the sources of a virtual dataset are stored, as far as it tells how that is best read.

    Parameters
    ----------
    chunks
        What a chunk of a source stands for, None where it has none.
    filters
        The filter pipeline of the source.
    borders
        For each dimension, where sources begin.
    """

    chunks: tuple[int, ...] | None
    filters: tuple[Filter, ...]
    borders: tuple[list[int], ...]


def source_storage(virtual: VirtualLayout, holder: File, depth: int = 0) -> SourceStorage:
    """How the sources of a virtual dataset are stored, by the first of them that is there; no other is opened."""
    borders = tuple(map(virtual.borders, range(len(virtual.shape))))
    files = dict.fromkeys(mapping.file for mapping in virtual.mappings)
    if not holder.is_local:
        files = dict.fromkeys(list(files)[:1])  # to look for each takes a request
    found = ((file, _found(file, holder)) for file in files)
    first = next(((file, path) for file, path in found if path is not None), None)
    if first is not None and depth < DEEPEST:
        mapping = next(mapping for mapping in virtual.mappings if mapping.file == first[0])
        try:
            storage, shape = _storage_of_source(holder.linked(first[1]), mapping.path, depth)
        except SystemFaultError:
            raise
        except NexusFileError:  # to read it will say what is wrong with it
            return SourceStorage(None, (), borders)
        fitted = mapping.fitted(shape)  # frames in files of their own have fewer dimensions
        chunks = None if fitted is None else _chunks_in(fitted, storage.chunks, virtual.shape)
        return SourceStorage(chunks, storage.filters if chunks else (), borders)
    return SourceStorage(None, (), borders)


def _found(file: str, holder: File) -> str | None:
    try:
        return source_file(file, holder)
    except SystemFaultError:
        raise
    except NexusFileError:  # out of reach, or behind a server in trouble
        return None


def _storage_of_source(file: File, path: str, depth: int) -> tuple[Storage | SourceStorage, tuple[int, ...]]:
    """How a source is stored, and its shape."""
    with described(file, Diagnostics()) as root:
        dataset = root.find(path)
        if not isinstance(dataset, Dataset):
            return Storage(UNKNOWN, None, ()), ()
        if dataset.is_virtual and (mappings := read_mappings(dataset.virtual_mappings, dataset.extent)) is not None:
            nested = VirtualLayout(dataset.extent, dataset.raw_dtype, np.zeros(()), mappings)
            return source_storage(nested, file, depth + 1), dataset.extent
        return dataset.storage, dataset.extent


def _chunks_in(mapping: Mapping, chunks: tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """What the chunks of a source are in a virtual dataset, None where it has none or lies otherwise."""
    if chunks is None or len(chunks) != len(mapping.origin):
        return None
    own: list[int] = []
    for hyperslab, dimension, size in zip(mapping.target, mapping.pairs, shape, strict=True):
        taken = 1 if dimension is None else -(-chunks[dimension] // mapping.origin[dimension].stride)
        own.append(max(1, min(-(-taken // hyperslab.block) * hyperslab.stride, size)))
    return tuple(own)
