"""Chains of Zarr's codecs, as the pipelines of HDF5's filters that they undo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nexus_xr.hdf5.filters.codec import Bytes, Codec
from nexus_xr.hdf5.filters.codecs.blosc import BLOSC
from nexus_xr.hdf5.filters.codecs.deflate import DEFLATE
from nexus_xr.hdf5.filters.codecs.fletcher32 import FLETCHER32
from nexus_xr.hdf5.filters.codecs.shuffle import SHUFFLE
from nexus_xr.hdf5.filters.codecs.zstd import ZSTD
from nexus_xr.hdf5.filters.encoder import Encoder
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.reading.stored_chunks import StoredChunk
from nexus_xr.hdf5.runtime.memory import Roomy

from .frames import HEADER_BYTES, MOST_FRAME_BYTES, MOST_WIDTH, Encoded, is_frame, stored_frame
from .reframing import Framing, Recipe, recipe, reframed

# What Zarr has a codec for that decodes what the filters of HDF5 made, in the order of encoding.
Chain = tuple[Filter, ...]

_CHECKSUM_BYTES = 4
# Of Blosc's options: two versions, width, bytes of a chunk, level, whether to shuffle bytes, number of LZ4.
_LEVEL, _SHUFFLES, _LZ4 = 5, 1, 1
# The levels that readers of Zarr take, who refuse a whole hierarchy over any other.
_ZLIB_LEVELS, _ZSTD_LEVELS = (0, 9), (-(2**17), 22)


def core_chain(filters: Chain, width: int, chunk_bytes: int, *, is_joined: bool = False) -> Chain:
    """The chain in core codecs to which most chunks of a pipeline go without being decoded.

    Parameters
    ----------
    filters
        The pipeline.
    width, chunk_bytes
        Bytes of an element, and of a decoded chunk.
    is_joined
        Whether chunks come from several datasets, the pipelines of which may differ.
    """
    kept = without_checksum(filters)
    is_as_it_is = [step.id for step in kept] in ([], [ZSTD.number])
    if is_as_it_is and not is_joined:
        return kept
    if chunk_bytes + HEADER_BYTES > MOST_FRAME_BYTES:
        return ()
    width = width if width <= MOST_WIDTH else 1
    return (_filter(BLOSC, (2, 2, width, chunk_bytes, _LEVEL, _SHUFFLES, _LZ4)),)


def native_chain(filters: Chain, chunk_bytes: int) -> Chain | None:
    """The pipeline itself, None where Zarr knows no codecs that undo it."""
    is_known = all(step.id in _DOCUMENTS for step in filters)
    # Zarr's shuffle takes whole elements alone, which only a decoded chunk is sure to consist of.
    widths = [_width(step.options) for step in filters if step.id == SHUFFLE.number]
    is_shuffled_first = not widths or (filters[0].id == SHUFFLE.number and len(widths) == 1)
    return filters if is_known and is_shuffled_first and not chunk_bytes % max(widths, default=1) else None


def _filter(codec: Codec, options: tuple[int, ...]) -> Filter:
    return Filter(codec.number, codec.name, options)


def without_checksum(filters: Chain) -> Chain:
    """The filters without a checksum of what they made."""
    return filters[:-1] if filters and filters[-1].id == FLETCHER32.number else filters


def documents(chain: Chain) -> list[dict[str, Any]]:
    """The codecs of a chain as they stand in the metadata of an array.

    Examples
    --------
    >>> documents((Filter(2, "shuffle", (4,)), Filter(1, "deflate", (6,))))  # doctest: +NORMALIZE_WHITESPACE
    [{'name': 'numcodecs.shuffle', 'configuration': {'elementsize': 4}},
     {'name': 'numcodecs.zlib', 'configuration': {'level': 6}}]
    """
    return [_DOCUMENTS[step.id](step.options) for step in chain]


def _codec(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


def _level(options: Sequence[int], default: int, bounds: tuple[int, int]) -> int:
    """The level among a filter's options, the nearest to it that there is: it says nothing about how to decode."""
    level = options[0] if options else default
    least, most = bounds
    return min(max(level - 2**32 if level >= 2**31 else level, least), most)  # as options are stored without a sign


def _width(options: Sequence[int]) -> int:
    """The bytes of an element that are shuffled; none are where an element has none."""
    return max(options[0], 1) if options else 1


def _blosc(options: Sequence[int]) -> dict[str, Any]:
    width = options[2] if len(options) > 2 and 1 <= options[2] <= MOST_WIDTH else 1
    shuffle = "shuffle" if width > 1 else "noshuffle"
    return _codec("blosc", typesize=width, cname="lz4", clevel=_LEVEL, shuffle=shuffle, blocksize=0)


_DOCUMENTS: Mapping[int, Callable[[Sequence[int]], dict[str, Any]]] = {
    BLOSC.number: _blosc,
    ZSTD.number: lambda options: _codec("zstd", level=_level(options, 0, _ZSTD_LEVELS), checksum=False),
    DEFLATE.number: lambda options: _codec("numcodecs.zlib", level=_level(options, 6, _ZLIB_LEVELS)),
    SHUFFLE.number: lambda options: _codec("numcodecs.shuffle", elementsize=_width(options)),
    FLETCHER32.number: lambda options: _codec("numcodecs.fletcher32"),
}


def encoded(decoded: Bytes, chain: Chain) -> Encoded:
    """A chunk that was decoded, encoded by a chain."""
    made: Encoded = decoded.data
    for step in chain:
        made = _encoded(np.frombuffer(made, np.uint8), step)
    return made


def _encoded(source: Bytes, step: Filter) -> Encoded:
    made, is_left_out = Encoder((step,), source.nbytes).encode(source)
    return stored_frame(Roomy(source, 0, source.nbytes)) if is_left_out else made.data  # which Blosc alone does


def passed_on(chunk: StoredChunk, chain: Chain) -> Encoded | None:
    """A stored chunk as a chain decodes it, None where it has to be encoded anew; its bytes may be overwritten.

    Parameters
    ----------
    chunk
        The chunk.
    chain
        The codecs of the array.
    """
    if not _is_blosc(chain):
        size = size_as_stored(chunk, chain)
        return None if size is None else chunk.data[:size].data
    kept = without_checksum(chunk.filters)
    size = _size_of(kept, chunk)
    return reframed(chunk.with_room.part(0, size), kept, chunk.chunk_bytes)


def recipe_of(filters: Chain, chain: Chain, chunk_bytes: int) -> tuple[Recipe, int] | None:
    """How the compiled module makes of stored chunks what a chain decodes, and how many bytes it leaves off at the end.

    Parameters
    ----------
    filters
        What the chunks went through.
    chain
        The codecs of the array.
    chunk_bytes
        Bytes of a decoded chunk.

    Returns
    -------
    tuple or None
        None where there is no such way.
    """
    kept = filters if not _is_blosc(chain) and _is_alike(filters, chain) else without_checksum(filters)
    left_off = _CHECKSUM_BYTES * (len(filters) - len(kept))
    as_it_is = Recipe(Framing.AS_IT_IS) if _is_alike(kept, chain) else None
    found = recipe(kept, chunk_bytes) if _is_blosc(chain) else as_it_is
    return None if found is None else (found, left_off)


def size_as_stored(chunk: StoredChunk, chain: Chain) -> int | None:
    """How many of a stored chunk's bytes, from the first one on, a chain decodes as they are; None where none.

    Parameters
    ----------
    chunk
        The chunk, of which no more is read than its first bytes.
    chain
        The codecs of the array.
    """
    filters = chunk.filters
    kept = filters if _is_alike(filters, chain) else without_checksum(filters)
    if not _is_alike(kept, chain):
        return None
    size = _size_of(kept, chunk)
    if _is_blosc(chain):
        is_valid = is_frame(chunk.part(0, HEADER_BYTES), size, chunk.chunk_bytes)
    else:
        is_valid = bool(kept) or size == chunk.chunk_bytes
    return size if is_valid else None


def _size_of(kept: Sequence[Filter], chunk: StoredChunk) -> int:
    """Bytes of a chunk without those of a checksum that isn't kept."""
    size = chunk.location.size
    return max(size - _CHECKSUM_BYTES, 0) if len(kept) < len(chunk.filters) else size


def _is_alike(filters: Sequence[Filter], chain: Chain) -> bool:
    return list(map(_step, filters)) == list(map(_step, chain))


def _is_blosc(chain: Chain) -> bool:
    return [step.id for step in chain] == [BLOSC.number]


def _step(step: Filter) -> tuple[int, ...]:
    """What two filters share that undo the same: what else there is of options is how to encode."""
    return (step.id, *step.options) if step.id == SHUFFLE.number else (step.id,)
