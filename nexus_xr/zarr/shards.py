"""Shards: many chunks in one value, with an index of where each of them is.

Source: the codec ``sharding_indexed`` of the Zarr specifications.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nexus_xr.opening.chunks import block_shape

from .arrays import ZarrArray
from .chunks import chunk_of
from .codecs.frames import Encoded

_NOT_THERE = 2**64 - 1


def shard_shape(array: ZarrArray, most_bytes: int) -> tuple[int, ...] | None:
    """Shape of the shards of an array: whole chunks, whole images first; None where no shard would hold two of them.

    Parameters
    ----------
    array
        The array.
    most_bytes
        Bytes of decoded values that a shard should not exceed.
    """
    if array.is_text or not math.prod(array.shape):
        return None
    block = block_shape(array.shape, array.element.itemsize, array.chunks, most_bytes)
    shape = tuple(-(-length // chunk) * chunk for length, chunk in zip(block, array.chunks, strict=True))
    return None if shape == array.chunks else shape


def shard_coordinates(array: ZarrArray, shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Where shards are in their grid, all of them."""
    return itertools.product(*(range(-(-size // length)) for size, length in zip(array.shape, shape, strict=True)))


def sharded(document: Mapping[str, Any], shape: Sequence[int]) -> dict[str, Any]:
    """The document of an array whose chunks are put into shards."""
    inner = document["chunk_grid"]["configuration"]["chunk_shape"]
    configuration = {
        "chunk_shape": inner,
        "codecs": document["codecs"],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "index_location": "end",
    }
    return {
        **document,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}},
        "codecs": [{"name": "sharding_indexed", "configuration": configuration}],
    }


def shard_of(array: ZarrArray, coordinate: Sequence[int], shape: Sequence[int], verify: bool = False) -> bytes | None:
    """The bytes of a shard, None where no chunk of it is stored.

    Parameters
    ----------
    array, verify
        As for a chunk.
    coordinate
        Where the shard is in the grid of shards.
    shape
        Shape of a shard.
    """
    counts = [length // chunk for length, chunk in zip(shape, array.chunks, strict=True)]
    index = np.full((math.prod(counts), 2), _NOT_THERE, "<u8")
    parts: list[Encoded] = []
    end = 0
    for number, within in enumerate(itertools.product(*map(range, counts))):
        at = [first * count + step for first, count, step in zip(coordinate, counts, within, strict=True)]
        is_there = all(one < size for one, size in zip(at, array.grid, strict=True))
        chunk = chunk_of(array, at, verify) if is_there else None
        if chunk is not None:
            parts.append(chunk)
            index[number] = end, len(chunk)
            end += len(chunk)
    return b"".join([*parts, index.tobytes()]) if parts else None
