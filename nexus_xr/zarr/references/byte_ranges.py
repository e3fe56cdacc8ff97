"""Where each chunk of an array is, for chunks that are what the file holds, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.reading.stored_chunks import FoundChunk, StoredChunk, StoredRun
from nexus_xr.zarr.arrays import ZarrArray
from nexus_xr.zarr.chunks import chunk_of, is_only_fill, stored_at
from nexus_xr.zarr.codecs.chain import Chain, size_as_stored
from nexus_xr.zarr.codecs.frames import Encoded

Coordinate = tuple[int, ...]


class ByteRange(NamedTuple):
    """Bytes of a file: its absolute path or URL, the first of them, and how many there are."""

    url: str
    offset: int
    size: int


class NoReferencesError(Exception):
    """The chunks of an array can't be referred to; the message says why."""


# For each chunk that is stored, where it is; or the chunk itself, where it isn't to be had from a file as it is.
ByteRanges = Mapping[Coordinate, ByteRange | Encoded]


def byte_ranges_of(array: ZarrArray, most_inline: int) -> ByteRanges:
    """Where the chunks of an array are, and those themselves that aren't anywhere as they are.

    Parameters
    ----------
    array
        The array.
    most_inline
        Bytes of decoded values of which chunks may be given themselves.

    Raises
    ------
    NoReferencesError
        More values than that aren't in a file as a chunk has them.
    NexusError
        A file that holds chunks has neither path nor URL.
    NexusFileError
        A chunk can't be read.
    """
    found: dict[Coordinate, ByteRange | Encoded] = {}
    num_inline = 0
    for coordinate in array.coordinates():
        stored = stored_at(array, coordinate)
        if is_only_fill(array, stored):
            continue
        where = _byte_range_of(stored, array.chain)
        if where is None:
            num_inline += math.prod(array.chunks) * array.element.itemsize
            if num_inline > most_inline:
                raise NoReferencesError(_reason(array, stored, coordinate))
        value = where or chunk_of(array, coordinate)
        if value is not None:
            found[coordinate] = value
    return found


def _byte_range_of(stored: FoundChunk, chain: Chain) -> ByteRange | None:
    if isinstance(stored, StoredRun) and not chain:
        return ByteRange(_url_of(stored.file), stored.offset, stored.size)
    size = size_as_stored(stored, chain) if isinstance(stored, StoredChunk) else None
    if size is None or not isinstance(stored, StoredChunk):
        return None
    return ByteRange(_url_of(stored.file), stored.location.offset, size)


def _url_of(file: File) -> str:
    if not file.is_named or "::" in file.given_name:
        raise NexusError(f"{file.name}: references need the path or the URL of a file; it has none of its own")
    return file.path if file.is_local else file.given_name


def _reason(array: ZarrArray, stored: FoundChunk, coordinate: Coordinate) -> str:
    """Why a chunk can't be referred to."""
    if array.stored is None:
        return "its values aren't those that are stored, but made of them"
    at = f"({', '.join(map(str, coordinate))})"
    if not isinstance(stored, StoredChunk):
        return f"chunk {at} isn't one piece of an HDF5 file"
    # What a filter was left out for is one chunk of its own; others went through what all do.
    chunk = f"chunk {at}" if stored.location.mask else f"chunks such as {at}"
    filters = " + ".join(map(_name, stored.filters)) or "no filter"
    return f"{chunk} went through {filters}, which isn't what the array's codecs in Zarr undo"


def _name(step: Filter) -> str:
    """The name of a filter, behind which some have more to say."""
    return step.name.partition(";")[0] or f"filter {step.id}"
