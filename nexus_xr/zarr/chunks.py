"""The bytes of a chunk: passed on as they are stored, or decoded and encoded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.stored_chunks import FoundChunk, StoredChunk, Unwritten, stored_chunk

from .arrays import ZarrArray
from .codecs.chain import encoded, passed_on, size_as_stored
from .codecs.frames import Encoded

_length = struct.Struct("<I").pack


class Chunk(NamedTuple):
    """The bytes of a chunk, and the stored chunk that was passed on, None where it was decoded."""

    data: Encoded
    stored: StoredChunk | None


def chunk_of(array: ZarrArray, coordinate: Sequence[int], verify: bool = False) -> Encoded | None:
    """The bytes of a chunk, as `found_chunk` finds it."""
    found = found_chunk(array, coordinate, verify)
    return None if found is None else found.data


def found_chunk(array: ZarrArray, coordinate: Sequence[int], verify: bool = False) -> Chunk | None:
    """A chunk, None where nothing but the fill value is in it and it isn't stored.

    Parameters
    ----------
    array
        The array.
    coordinate
        Where the chunk is in the grid of chunks.
    verify
        Whether a chunk that is passed on is decoded before, and its checksum compared.

    Raises
    ------
    NexusFileError
        The chunk can't be read.
    """
    stored = stored_at(array, coordinate, is_read=True)
    if is_only_fill(array, stored):
        return None
    if isinstance(stored, StoredChunk) and (not verify or stored.is_whole()):
        made = passed_on(stored, array.chain)
        if made is not None:
            return Chunk(made, stored)
    values = _values_of(array, array.origin(coordinate))
    return Chunk(_encoded_text(values) if array.is_text else encoded(_bytes_of(values), array.chain), None)


class LyingChunk(NamedTuple):
    """A stored chunk of which the first bytes are those of a key, as they are, and how many of them."""

    stored: StoredChunk
    size: int


def lying_chunk(array: ZarrArray, coordinate: Sequence[int]) -> LyingChunk | None:
    """A chunk that can be passed on as it is stored, which isn't read; None of any other."""
    stored = stored_at(array, coordinate)
    size = size_as_stored(stored, array.chain) if isinstance(stored, StoredChunk) else None
    return LyingChunk(stored, size) if isinstance(stored, StoredChunk) and size is not None else None


def is_there(array: ZarrArray, coordinate: Sequence[int]) -> bool:
    """Whether `chunk_of` would give anything; the chunk isn't read."""
    return not is_only_fill(array, stored_at(array, coordinate))


def stored_at(array: ZarrArray, coordinate: Sequence[int], is_read: bool = False) -> FoundChunk:
    """What a chunk is in a file, and whether it is read at once."""
    return None if array.stored is None else stored_chunk(array.stored, array.origin(coordinate), array.chunks, is_read)


def is_only_fill(array: ZarrArray, stored: FoundChunk) -> bool:
    """Whether a chunk needs no key, as nobody has written it."""
    return isinstance(stored, Unwritten) and stored.fill == array.fill.tobytes()


def _values_of(array: ZarrArray, origin: Sequence[int]) -> NDArray[Any]:
    """The values of a whole chunk, beyond the array's end the fill value."""
    edges = zip(origin, array.chunks, array.shape, strict=True)
    values = np.asarray(array.values[tuple(slice(first, min(first + length, size)) for first, length, size in edges)])
    if values.shape == array.chunks:
        return np.ascontiguousarray(values, array.element).reshape(array.chunks)
    whole = np.empty(array.chunks, array.element)
    whole[...] = array.fill
    whole[tuple(map(slice, values.shape))] = values
    return whole


def _bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    return values.reshape(-1).view(np.uint8)


def _encoded_text(values: NDArray[Any]) -> bytes:
    """Text as the codec ``vlen-utf8`` has it: how many there are, and each behind its length."""
    raw = ["" if text is None else str(text) for text in values.flat]
    encoded = [text.encode() for text in raw]
    return b"".join([_length(len(encoded)), *(part for text in encoded for part in (_length(len(text)), text))])
