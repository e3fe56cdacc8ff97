"""Chunks as they are stored, for those who hand them on without decoding them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusReachError
from nexus_xr.hdf5.filters.codec import DecodeError, address_of
from nexus_xr.hdf5.format.virtual.virtual_mappings import DEEPEST
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import LocalSource, Source
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.memory import Roomy

from .array import LazyArray
from .engine.chunk import BadChunkError, ChunkError, ChunkReader, borrowed, room_found
from .layouts.chunk_index import ChunkIndex, ChunkLocation, ContiguousRun, steps_of
from .layouts.known_layouts import layout_of
from .layouts.layout import ExternalDataset, Layout, StoredLayout
from .selection import Indexer
from .unreadable import MissingDatasetError, values_explained
from .virtual_datasets.element_types import is_alike
from .virtual_datasets.found_sources import FoundSources, is_filled, tell_of_missing
from .virtual_datasets.sources import SourceName
from .virtual_datasets.virtual_layout import Mapping, VirtualLayout, intersect
from .virtual_datasets.virtual_mapping import source_file

Box = tuple[int, ...]
# Before and behind a stored chunk there is as much room as a few bytes for each block of it, or one block more, take.
_BYTES_A_BYTE_OF_ROOM = 1 << 7


@dataclass(frozen=True, eq=False)
class StoredChunk:
    """One chunk as it is stored.

    Parameters
    ----------
    file, path
        The file, and the dataset in it.
    layout
        How that is stored.
    coordinate
        Where the chunk is in the grid of chunks.
    location
        Where it is in the file.
    """

    file: File
    path: str
    layout: StoredLayout
    coordinate: tuple[int, ...]
    location: ChunkLocation

    @cached_property
    def with_room(self) -> Roomy:
        """Its bytes with room around them, read when they are first asked for."""
        with self.file.source() as source:
            return self._read(source, self.location.size, self._room)

    def read(self, source: Source) -> None:
        """Read its bytes from its file, which is open."""
        vars(self)["with_room"] = self._read(source, self.location.size, self._room)

    @property
    def _room(self) -> int:
        return self.chunk_bytes // _BYTES_A_BYTE_OF_ROOM

    @property
    def data(self) -> NDArray[np.uint8]:
        """Its bytes."""
        return self.with_room.data

    def place_of(self, made: NDArray[np.uint8]) -> int | None:
        """Where in the file bytes begin, or would, that were made around its own where these are; None of others."""
        memory, begin, _ = self.with_room
        at = address_of(made) - address_of(memory)
        return self.location.offset + at - begin if 0 <= at <= memory.nbytes - made.nbytes else None

    def part(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Some of its bytes, as many as there are between these places; no others are read."""
        end = min(end, self.location.size)
        with self.file.source() as source:
            return self._read(source, max(0, end - begin), begin=begin).data

    def _read(self, asked: Source, count: int, room: int = 0, begin: int = 0) -> Roomy:
        offset, size, _ = self.location
        with values_explained(self.file.name, self.path), self.layout.source(asked) as source:
            reader = ChunkReader(self.layout, source)
            try:
                reader.check(self.coordinate, offset, size)
                with room_found(self.chunk_bytes):
                    found = Roomy.of(count, room)
                reader.fill(found.data.data, offset + begin)
            except BadChunkError as error:
                raise ChunkError(self.coordinate, offset, str(error)) from None
        return found

    @property
    def filters(self) -> tuple[Filter, ...]:
        """The filters that its bytes went through."""
        mask = self.location.mask
        return tuple(step for position, step in enumerate(self.layout.filters) if not mask >> position & 1)

    @property
    def chunk_bytes(self) -> int:
        """How many bytes a decoded chunk has."""
        return self.layout.pipeline.chunk_bytes

    def is_whole(self) -> bool:
        """Whether it decodes to a whole chunk, and not to less than what lies outside of the dataset.

        Raises
        ------
        NexusFileError
            It can't be decoded, or its checksum is wrong.
        """
        with borrowed() as space, values_explained(self.file.name, self.path):
            source, size, mask = address_of(self.data), self.data.nbytes, self.location.mask
            try:
                with room_found(self.chunk_bytes):
                    target = space.decoded.of(self.chunk_bytes)
                return self.layout.pipeline.decode(space, source, size, mask, target) == self.chunk_bytes
            except DecodeError as error:
                reason = f"{error}; the file is damaged"
                raise ChunkError(self.coordinate, self.location.offset, reason) from None
            except BadChunkError as error:
                raise ChunkError(self.coordinate, self.location.offset, str(error)) from None


class Unwritten(NamedTuple):
    """A block of chunks that aren't stored, or of sources that are all missing, whose elements all have this value."""

    fill: bytes


class StoredRun(NamedTuple):
    """Values that no filter went through, one behind the other in a file: where they are, and how many bytes."""

    file: File
    offset: int
    size: int


# What a block is in a file, or what it reads as where it isn't stored; None where it isn't one thing.
FoundChunk = StoredChunk | StoredRun | Unwritten | None


def stored_chunk(array: LazyArray, origin: Sequence[int], shape: Box, is_read: bool = False) -> FoundChunk:
    """The stored chunk, or run of values, that a block of an array is: of its own dataset, or of a virtual one's.

    Parameters
    ----------
    array
        The array.
    origin
        The first element of the block.
    shape
        Shape of the block, which may reach beyond the array's end.
    is_read
        Whether a chunk of the array's own file is read at once, while that is open.

    Returns
    -------
    StoredChunk or StoredRun or Unwritten or None
        None where the block's values have to be put together, or aren't what is stored.

    Raises
    ------
    NexusFileError
        What tells where the chunk is can't be read.
    """
    block = _Block(array.file, array.path, tuple(origin), shape, is_read, array.found_sources)
    if array.layout is not None:
        return _in_virtual(block, array.layout)
    return _in_file(block, array.address)


def is_unwritten(array: LazyArray, shape: Box, origin: Sequence[int]) -> bool:
    """Whether nobody has written a block of an array: it is in chunks that aren't stored, or of missing sources.

    Parameters
    ----------
    array, shape, origin
        As for `stored_chunk`.
    """
    return isinstance(stored_chunk(array, origin, shape), Unwritten)


@dataclass(frozen=True, eq=False)
class OpenChunks:
    """The chunks of a dataset in a local file that is open.

    Parameters
    ----------
    layout
        How the dataset is stored.
    index
        Where its chunks are.
    source
        The file.
    """

    layout: StoredLayout
    index: ChunkIndex
    source: LocalSource

    @property
    def filters(self) -> tuple[Filter, ...]:
        """The filters of the dataset."""
        return self.layout.filters

    @property
    def chunk_bytes(self) -> int:
        """How many bytes a decoded chunk has."""
        return self.layout.pipeline.chunk_bytes

    def places(self, coordinates: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Offsets and sizes of chunks, and which of them are stored whole, went through all filters, and can be there.

        Parameters
        ----------
        coordinates
            Where they are in the grid.
        """
        numbers = np.asarray(coordinates, np.int64) @ np.array(steps_of(self.index.grid), np.int64)
        offset, size, mask, present = self.index.among(numbers)
        most = self.layout.pipeline.largest_stored
        least = 0 if self.filters else most
        is_there = (offset >= 0) & (size >= least) & (size <= most) & (offset <= self.source.size - size)
        return np.column_stack((offset, size)), present & (mask == 0) & is_there


@contextmanager
def open_chunks(array: LazyArray, shape: Box) -> Iterator[OpenChunks | None]:
    """The chunks of an array, whose file is open for the length of a ``with`` block.

    Parameters
    ----------
    array
        The array.
    shape
        Shape of a chunk.

    Returns
    -------
    context manager
        It gives None where they aren't chunks of a local file that nobody writes to.
    """
    if array.layout is not None or not array.file.is_local or array.file.is_written_here:
        yield None
        return
    with array.file.source() as source:
        layout = layout_of(array.file, array.path, source, array.address)
        if isinstance(layout, StoredLayout) and isinstance(source, LocalSource) and layout.shape == array.shape:
            yield _open_chunks(layout, source, shape)
        else:
            yield None


def _open_chunks(layout: StoredLayout, source: LocalSource, shape: Box) -> OpenChunks | None:
    index = layout.index
    is_as_it_is = layout.conversion is None and layout.padded and layout.chunks == shape
    if not isinstance(index, ChunkIndex) or any(index.partial) or not is_as_it_is:
        return None
    return OpenChunks(layout, index, source)


class _Block(NamedTuple):
    """A block of a dataset."""

    file: File
    path: str
    origin: Box
    shape: Box
    is_read: bool
    found_sources: FoundSources | None
    depth: int = 0


def _in_file(block: _Block, address: Address | None = None) -> FoundChunk:
    if block.file.is_written_here:
        return None
    with block.file.source() as source:
        found = _in_layout(block, layout_of(block.file, block.path, source, address))
        if block.is_read and isinstance(found, StoredChunk) and found.file is block.file:
            found.read(source)
        return found


def _in_layout(block: _Block, layout: Layout | None) -> FoundChunk:
    if isinstance(layout, ExternalDataset):
        return _in_file(block._replace(file=block.file.linked(layout.file), path=layout.path))
    if isinstance(layout, VirtualLayout):
        return _in_virtual(block, layout)
    if not isinstance(layout, StoredLayout) or layout.conversion is not None:
        return None
    if isinstance(layout.index, ChunkIndex):
        return _in_index(block, layout, layout.index)
    is_in_file = layout.inline is None and not layout.raw_extents
    return _in_run(block, layout.shape, layout.index) if is_in_file else None


def _in_run(block: _Block, shape: Box, run: ContiguousRun) -> StoredRun | None:
    """What a block is of contiguous values, None where it has gaps or reaches beyond them."""
    origin, lengths = block.origin or (0,), block.shape or (1,)  # a scalar is laid out as one element
    first = next((at for at, length in enumerate(lengths) if length > 1), len(shape))
    is_within = all(at + length <= size for at, length, size in zip(origin, lengths, shape, strict=True))
    if not is_within or lengths[first + 1 :] != shape[first + 1 :]:
        return None
    offset = sum(at * step for at, step in zip(origin, steps_of(run.shape)[:-1], strict=True))
    return StoredRun(block.file, run.offset + offset, math.prod(lengths) * run.shape[-1])


def _in_index(block: _Block, layout: StoredLayout, index: ChunkIndex) -> FoundChunk:
    if not len(index.offsets):
        return Unwritten(layout.fill.tobytes())
    is_in_grid = layout.padded and block.shape == layout.chunks
    if not is_in_grid or any(first % chunk for first, chunk in zip(block.origin, block.shape, strict=True)):
        return None if _reaches_stored(block, layout, index) else Unwritten(layout.fill.tobytes())
    coordinate = tuple(first // chunk for first, chunk in zip(block.origin, block.shape, strict=True))
    location = index.find(coordinate)
    if location is None:
        return Unwritten(layout.fill.tobytes())
    return StoredChunk(block.file, block.path, layout, coordinate, location)


def _reaches_stored(block: _Block, layout: StoredLayout, index: ChunkIndex) -> bool:
    """Whether some chunk is stored in which a block has a part."""
    if len(block.shape) != len(layout.chunks):  # of which each element is an array
        return True
    within = zip(block.origin, block.shape, layout.shape, layout.chunks, strict=True)
    parts = [np.arange(first // chunk, -(-min(first + length, size) // chunk)) for first, length, size, chunk in within]
    return bool(index.locate(parts).present.any())


def _in_virtual(block: _Block, virtual: VirtualLayout) -> FoundChunk:
    """In the one source that the block is all of; fill values where none of its sources is there."""
    wanted = _within(block, virtual.shape)
    touched = virtual.touched(wanted).tolist()
    if not touched:
        return Unwritten(virtual.fill.tobytes())
    if block.depth > DEEPEST:
        return None
    mappings = (virtual.mappings[number] for number in touched)
    mapping = next(mappings)
    found = _find_source(block, mapping)
    if isinstance(found, SourceName):
        missing = [found]
        for other in map(partial(_find_source, block), mappings):
            if not isinstance(other, SourceName):
                return None
            missing.append(other)
        return _unwritten(block, virtual, missing)
    if found is None or len(touched) > 1 or not block.file.is_local:
        return None
    file, layout = found
    if not is_alike(virtual.dtype, layout.dtype):
        return None
    fitted = mapping.fitted(layout.shape)
    inner = None if fitted is None else _in_source(block, wanted, fitted, layout.shape)
    return None if inner is None else _in_layout(inner._replace(file=file, path=mapping.path), layout)


def _find_source(block: _Block, mapping: Mapping) -> tuple[File, StoredLayout | VirtualLayout] | SourceName | None:
    """The file of a source, and how it is stored there; its name where it is missing, None where reading tells more."""
    with suppress(NexusReachError):
        name = source_file(mapping.file, block.file)
        if name is None:
            return SourceName(mapping.file)
        file = block.file.linked(name)
        if file.is_written_here:
            return None
        try:
            with file.source() as source:
                layout = layout_of(file, mapping.path, source)
        except MissingDatasetError:
            return SourceName(mapping.file, mapping.path)
        return (file, layout) if isinstance(layout, StoredLayout | VirtualLayout) else None
    return None


def _unwritten(block: _Block, virtual: VirtualLayout, missing: Sequence[SourceName]) -> Unwritten | None:
    """What a block is whose sources are missing; None where that is an error, which is told by reading."""
    if not all(is_filled(source, block.file, block.found_sources) for source in missing):
        return None
    tell_of_missing(block.file, block.path, missing)
    return Unwritten(virtual.fill.tobytes())


def _within(block: _Block, shape: Box) -> list[slice]:
    """The part of a block that is in an array of that shape."""
    ends = (first + length for first, length in zip(block.origin, block.shape, strict=True))
    return [slice(first, min(end, size), 1) for first, end, size in zip(block.origin, ends, shape, strict=True)]


def _in_source(block: _Block, wanted: Sequence[slice], mapping: Mapping, shape: Box) -> _Block | None:
    """The block of a source that stands where a block of a virtual dataset is, None where it isn't just one."""
    common = intersect(mapping, shape, wanted)
    if common is None or common.size < math.prod(part.stop - part.start for part in wanted):
        return None
    lengths = {pair: length for pair, length in zip(mapping.pairs, block.shape, strict=True) if pair is not None}
    alone = (length for pair, length in zip(mapping.pairs, block.shape, strict=True) if pair is None)
    origin = list(map(_first, common.indexers))
    if None in origin or any(length > 1 for length in alone):
        return None
    inner = tuple(lengths.get(dimension, 1) for dimension in range(len(origin)))
    first = tuple(at for at in origin if at is not None)
    return block._replace(origin=first, shape=inner, found_sources=None, depth=block.depth + 1)


def _first(indexer: Indexer) -> int | None:
    """The first of positions that are neighbours, None of others."""
    if isinstance(indexer, slice):
        return indexer.start if indexer.step == 1 else None
    return indexer if isinstance(indexer, int) else None
