"""Many stored chunks copied to files by one call, so that threads don't wait for Python between two chunks.

The extension module is optional, and knows only chunks that are passed on; others are copied one by one.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from nexus_xr.hdf5.filters.codec import address_of
from nexus_xr.hdf5.filters.compiled import copy_all
from nexus_xr.hdf5.reading.stored_chunks import OpenChunks, open_chunks
from nexus_xr.hdf5.runtime.memory import Roomy

from .arrays import ZarrArray
from .codecs.chain import recipe_of

Coordinates = Sequence[tuple[int, ...]]
# So many bytes of decoded values are in a batch at most, so that interrupts come through; and so many batches make up
# an array at least, so that all threads are done at about the same time.
_BATCH_BYTES, _LEAST_BATCHES = 16 << 20, 16
# Room before a chunk for the head of a frame, and for the table of its blocks unless they are very short.
_LEAST_ROOM, _BYTES_A_BYTE_OF_ROOM = 64, 1 << 7


@contextmanager
def opened(folder: Path) -> Iterator[int | None]:
    """A folder to copy to, open for the length of a ``with`` block; None where the extension module isn't."""
    if copy_all is None:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def batches_of(array: ZarrArray) -> Iterator[Coordinates]:
    """The coordinates of all chunks, as many together as are copied by one call."""
    chunk_bytes = max(math.prod(array.chunks) * array.element.itemsize, 1)
    length = min(_BATCH_BYTES // chunk_bytes, -(-math.prod(array.grid) // _LEAST_BATCHES))
    coordinates = array.coordinates()
    while some := list(itertools.islice(coordinates, max(length, 1))):
        yield some


def copy_together(array: ZarrArray, coordinates: Coordinates, names: Sequence[str], folder: int) -> list[int]:
    """Copy chunks to files; gives which of them can't be copied so, as positions among them.

    Parameters
    ----------
    array
        The array.
    coordinates
        Where its chunks are in their grid.
    names
        The path of each in the folder.
    folder
        The open folder.

    Raises
    ------
    NexusFileError
        The file isn't the one any more that was opened.
    """
    if array.stored is not None:
        with open_chunks(array.stored, array.chunks) as chunks:
            if chunks is not None:
                return _copy(array, chunks, coordinates, names, folder)
    return list(range(len(coordinates)))


def _copy(
    array: ZarrArray, chunks: OpenChunks, coordinates: Coordinates, names: Sequence[str], folder: int
) -> list[int]:
    found = recipe_of(chunks.filters, array.chain, chunks.chunk_bytes)
    if found is None or copy_all is None:
        return list(range(len(coordinates)))
    recipe, left_off = found
    places, is_usable = chunks.places(coordinates)
    places[:, 1] -= left_off
    is_usable &= places[:, 1] > 0
    left, waiting = np.flatnonzero(~is_usable).tolist(), np.flatnonzero(is_usable)
    room = _LEAST_ROOM + chunks.chunk_bytes // _BYTES_A_BYTE_OF_ROOM
    memory = Roomy.of(int(places[waiting, 1].max(initial=0)), room)
    where = address_of(memory.memory), room, folder
    how = recipe.kind, recipe.head, chunks.chunk_bytes, recipe.unit, chunks.source.descriptor
    while len(waiting):
        paths = b"".join(os.fsencode(names[position]) + b"\0" for position in waiting.tolist())
        done = copy_all(*how, places[waiting].tobytes(), *where, paths)
        left += waiting[done : done + 1].tolist()
        waiting = waiting[done + 1 :]
    return left
