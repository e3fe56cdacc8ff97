"""Reading one chunk: its bytes from the file, decoded into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.filters.codec import DecodeError, address_of
from nexus_xr.hdf5.filters.pipeline import Workspace
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.reading.layouts.chunk_index import Integers
from nexus_xr.hdf5.reading.layouts.layout import StoredLayout
from nexus_xr.hdf5.reading.selection import Indexer
from nexus_xr.hdf5.runtime.memory import empty, kept_chunks
from nexus_xr.hdf5.runtime.threads import OfThread

# What a thread keeps between reads of each kind of memory.
BUFFER_BYTES = 8 << 20

_spare = OfThread(list[Workspace])


@contextmanager
def borrowed() -> Iterator[Workspace]:
    """Memory to decode in, which nobody else has for the length of a ``with`` block.

    What is in it, views and addresses are of use in the block alone; a read within a read borrows other memory.
    """
    spare = _spare.own
    space = spare.pop() if spare else Workspace()
    try:
        yield space
    finally:
        space.shrink(BUFFER_BYTES)
        spare.append(space)


class ChunkError(NexusFileError):
    """A chunk can't be read: where it is in the grid of chunks and in the file, and why."""

    def __init__(self, coordinate: Sequence[int], offset: int | None, reason: str) -> None:
        where = "" if offset is None else f" at byte {offset}"
        self.coordinate, self.offset, self.reason = tuple(map(int, coordinate)), offset, reason
        super().__init__(f"chunk {self.coordinate}{where}: {reason}")


class BadChunkError(ValueError):
    """Why a chunk can't be read."""


@contextmanager
def room_found(chunk_bytes: int) -> Iterator[None]:
    """Tell that there is no memory for a chunk, which a damaged file may say to be of any size, as that is told."""
    try:
        yield
    except MemoryError:
        reason = f"it has {chunk_bytes} bytes when it is decoded, for which there is no memory, or the file is damaged"
        raise BadChunkError(reason) from None


@dataclass(frozen=True)
class ChunkReader:
    """Reads one chunk at a time into memory; `space` is what it may use meanwhile."""

    layout: StoredLayout
    source: Source

    def check(self, coordinate: Sequence[int], offset: int, size: int) -> None:
        """Whether a chunk can be where it is said to be."""
        self.check_extent(offset, size)
        most = self.layout.pipeline.largest_stored
        is_short = size < most and self.layout.padded and not self.layout.filters
        if size > most or (is_short and size < self._least(coordinate)):
            raise BadChunkError(f"{size} bytes are stored, and at most {most} make a chunk; the file is damaged")

    def check_extent(self, offset: int, size: int) -> None:
        """Whether there are such bytes in the file."""
        if offset < 0 or size < 0 or offset + size > self.source.size:
            raise BadChunkError(
                f"its {size} bytes go beyond the end of the file, which has {self.source.size}; the file is truncated"
            )

    def fill(self, view: memoryview, offset: int) -> None:
        """Fill the view with bytes of the file."""
        found = self.source.read_into(view, offset)
        if found < len(view):
            raise BadChunkError(f"only {found} of {len(view)} bytes could be read; the file is truncated")

    def read_whole(self, space: Workspace, offset: int, size: int, mask: int, goal: NDArray[np.uint8]) -> None:
        """Put the decoded bytes where they go."""
        if self.layout.filters:
            self.read_to(space, offset, size, mask, address_of(goal))
        else:
            self.fill(goal.data, offset)

    def read_to(
        self,
        space: Workspace,
        offset: int,
        size: int,
        mask: int,
        target: int,
        coordinate: Sequence[int] | None = None,
        within: tuple[int, int] | None = None,
    ) -> None:
        """Put the decoded bytes at an address, or at least a part of them where it belongs, as `decode` does."""
        address = space.raw.of(size)
        self.fill(space.raw.array.data[:size], offset)
        self.decode(space, address, size, mask, target, coordinate, within)

    def read_all(self, space: Workspace, coordinate: Sequence[int], offset: int, size: int, mask: int) -> NDArray[Any]:
        """All values of a filtered chunk; those outside of the dataset are arbitrary."""
        with room_found(self.layout.pipeline.chunk_bytes):
            values = empty(self.layout.chunks, self.layout.carrier)
        self.read_to(space, offset, size, mask, address_of(values), coordinate)
        return values

    def read_part(
        self,
        space: Workspace,
        coordinate: Sequence[int],
        offset: int,
        size: int,
        mask: int,
        part: tuple[Any, ...],
        *,
        comes_back: bool = True,
    ) -> NDArray[Any]:
        """A part of a chunk, in `space` or where chunks are kept.

        Little more than that is read or decoded where that is enough.
        """
        layout = self.layout
        length = layout.pipeline.chunk_bytes
        begin, end = self.span(part)
        in_parts = bool(layout.filters) and layout.pipeline.decodes_parts(end - begin, comes_back=comes_back)
        kept = kept_chunks()
        if kept is not None and layout.filters and not in_parts:
            make = partial(self.read_all, space, coordinate, offset, size, mask)
            from_kept: NDArray[Any] = kept.get((layout, *coordinate), length, make)[part]
            return from_kept
        with room_found(length):
            address = space.decoded.of(length)
        buffer = space.decoded.array[:length]
        if not layout.filters:
            self.fill(buffer.data[begin:end], offset + begin)
        else:
            self.read_to(space, offset, size, mask, address, coordinate, (begin, end) if in_parts else None)
        values: NDArray[Any] = buffer.view(layout.carrier).reshape(layout.chunks)[part]
        return values

    def span(self, part: Sequence[Indexer | Integers]) -> tuple[int, int]:
        """The first byte of a part of a chunk and the one behind the last."""
        begin, end = span(part, self.layout.chunks)
        width = self.layout.carrier.itemsize
        return begin * width, end * width

    def decode(
        self,
        space: Workspace,
        source: int,
        size: int,
        mask: int,
        target: int,
        coordinate: Sequence[int] | None = None,
        within: tuple[int, int] | None = None,
    ) -> None:
        """Decode stored bytes from one address to another, or at least a part of them.

        With its coordinate the chunk may have been stored short, without all of what lies outside of the dataset.
        """
        try:
            found = self.layout.pipeline.decode(space, source, size, mask, target, within)
        except DecodeError as error:
            raise BadChunkError(f"{error}; the file is damaged") from None
        most = self.layout.pipeline.chunk_bytes
        if found < most and (coordinate is None or found < self._least(coordinate)):
            raise BadChunkError(f"it decodes to {found} bytes, and a chunk has {most}; the file is damaged")

    def _least(self, coordinate: Sequence[int]) -> int:
        """The bytes of a chunk up to the last of its elements that is in the dataset."""
        layout = self.layout
        along = zip(coordinate, layout.chunks, layout.shape, strict=True)
        return self.span([slice(0, min(chunk, size - int(at) * chunk)) for at, chunk, size in along])[1]


def span(part: Sequence[Indexer | Integers], shape: tuple[int, ...]) -> tuple[int, int]:
    """The first element of a selection and the one behind the last, counted in C order."""
    begin = end = 0
    for indexer, length in zip(part, shape, strict=True):
        if isinstance(indexer, slice):
            low, high = indexer.start, indexer.stop - 1
        elif isinstance(indexer, int):
            low = high = indexer
        else:
            low, high = int(indexer.min()), int(indexer.max())
        begin, end = begin * length + low, end * length + high
    return begin, end + 1


def bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    return values.reshape(-1).view(np.uint8)
