"""Which datasets of other files a virtual dataset is made of, and whether their chunks are also its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from h5py import h5t

from nexus_xr.hdf5.io.naming.linked_files import find_file
from nexus_xr.hdf5.io.naming.reach import EVERYWHERE
from nexus_xr.hdf5.library.properties import properties_of
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.library.virtual import virtual_mappings_of
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.reading.hyperslab import Hyperslab
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import is_own_file
from nexus_xr.hdf5.reading.virtual_datasets.virtual_mapping import read_mappings

from .chunk_writer import Region


@dataclass(frozen=True)
class MappedRegion:
    """A region of a virtual dataset that is a region of one other dataset.

    Parameters
    ----------
    region
        What it is in the virtual dataset.
    file, path
        The file and the dataset in it.
    origin
        Where the region begins there.
    """

    region: Region
    file: str
    path: str
    origin: tuple[int, ...]

    @property
    def box(self) -> Region:
        """The region there."""
        return tuple((at, at + end - begin) for at, (begin, end) in zip(self.origin, self.region, strict=True))


@dataclass(frozen=True)
class ChunkForm:
    """What chunks must have in common to be moved from one dataset to another as they are stored."""

    kind: h5t.TypeID
    chunks: tuple[int, ...]
    filters: tuple[Filter, ...]
    fill: bytes


def mapped_regions_of(dataset: h5py.Dataset) -> list[MappedRegion] | None:
    """The regions of a virtual dataset, None where one of its mappings is no block that is mapped to another."""
    mappings = read_mappings(virtual_mappings_of(dataset.id), dataset.shape)
    if mappings is None:
        return None
    holder = str(dataset.file.filename)
    regions = []
    for mapping in mappings:
        region, box = _box(mapping.target, dataset.shape), _box(mapping.origin)
        file = holder if is_own_file(mapping.file) else find_file(mapping.file, holder, EVERYWHERE)
        if region is None or box is None or file is None or _lengths(region) != _lengths(box):
            return None
        regions.append(MappedRegion(region, file, mapping.path, tuple(first for first, _ in box)))
    return regions


def _box(hyperslabs: Sequence[Hyperslab], shape: Sequence[int] | None = None) -> Region | None:
    """The one block that a selection is, None where it is anything else or goes beyond a shape."""
    if any(hyperslab.length is None or (hyperslab.stride != 1 and hyperslab.length > 1) for hyperslab in hyperslabs):
        return None
    box = tuple((hyperslab.start, hyperslab.start + (hyperslab.length or 0)) for hyperslab in hyperslabs)
    is_within = shape is None or all(end <= size for (_, end), size in zip(box, shape, strict=True))
    return box if is_within else None


def _lengths(box: Region) -> tuple[int, ...]:
    return tuple(end - begin for begin, end in box)


def chunk_form(dataset: h5py.Dataset) -> ChunkForm | None:
    """What the chunks of a dataset are like; None where it isn't chunked."""
    if dataset.chunks is None or dataset.dtype.hasobject:
        return None
    return ChunkForm(_kind(dataset), dataset.chunks, filters_of(properties_of(dataset.id)), _fill(dataset))


def _kind(dataset: h5py.Dataset) -> h5t.TypeID:
    """The datatype, which is no object of the file, and stays when that is closed."""
    return dataset.id.get_type().copy()


def _fill(dataset: h5py.Dataset) -> bytes:
    element = np.zeros(1, dataset.dtype)  # with zeros where records have nothing, too
    element[...] = dataset.fillvalue
    return element.tobytes()


def are_chunks_of(dataset: h5py.Dataset, regions: list[MappedRegion], form: ChunkForm) -> bool:
    """Whether the chunks of all regions are chunks of the whole as well, each of one region."""
    if (_kind(dataset), _fill(dataset)) != (form.kind, form.fill) or len(form.chunks) != dataset.ndim:
        return False
    taken = np.zeros([-(-size // chunk) for size, chunk in zip(dataset.shape, form.chunks, strict=True)], bool)
    for mapped in regions:
        if not _is_of_whole_chunks(mapped, dataset.shape, form):
            return False
        cells = tuple(
            slice(begin // chunk, -(-end // chunk))
            for (begin, end), chunk in zip(mapped.region, form.chunks, strict=True)
        )
        if taken[cells].any():
            return False
        taken[cells] = True
    return True


def _is_of_whole_chunks(mapped: MappedRegion, shape: tuple[int, ...], form: ChunkForm) -> bool:
    """Whether a region begins with a chunk both there and here, and ends so or where both datasets end."""
    with h5py.File(mapped.file, "r", locking=False) as file:
        source = file.get(mapped.path)
        if not isinstance(source, h5py.Dataset) or chunk_form(source) != form:
            return False
        along = zip(mapped.region, mapped.box, shape, source.shape, form.chunks, strict=True)
    return all(
        here[0] % chunk == there[0] % chunk == 0
        and (here[1] % chunk == 0 or (here[1], there[1]) == (size, source_size))
        and there[1] <= source_size
        for here, there, size, source_size, chunk in along
    )
