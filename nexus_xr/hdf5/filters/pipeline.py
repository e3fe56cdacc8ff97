"""The filters of a dataset as one decoder of its chunks."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.memory import empty

from .batch import batch_decoder
from .codec import Decode, DecodeError
from .registry import CODECS, decoder, part_decoder

# Bytes behind a chunk's, for decoders that read or write a few more at once.
_MARGIN = 64
# Smaller chunks are decoded as a whole: it takes no longer, and whatever is damaged in them is noticed.
_LEAST_IN_PARTS = 1 << 17


class Buffer:
    """Memory of one thread that grows to what it needs, and is used again."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Give the memory back."""
        self.array: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.address = 0

    def of(self, size: int) -> int:
        """Address of at least so many bytes."""
        if self.array.nbytes < size + _MARGIN:
            self.array = empty((size + _MARGIN,), self.array.dtype)
            self.address = self.array.__array_interface__["data"][0]
        return self.address


class Workspace:
    """What one thread needs to decode: the raw bytes, what is between two filters, and decoded chunks."""

    def __init__(self) -> None:
        self.raw = Buffer()
        self.between = (Buffer(), Buffer())
        self.decoded = Buffer()

    def shrink(self, most: int) -> None:
        """Give buffers back that are larger than that."""
        for buffer in (self.raw, *self.between, self.decoded):
            if buffer.array.nbytes > most:
                buffer.clear()


class Pipeline:
    """Decodes chunks by undoing a dataset's filters, the last first.

    Parameters
    ----------
    filters
        The filters in the order of writing.
    chunk_bytes
        Bytes of a decoded chunk.

    Raises
    ------
    LookupError
        There is a filter that only libhdf5 decodes.
    """

    def __init__(self, filters: Sequence[Filter], chunk_bytes: int) -> None:
        self.chunk_bytes = chunk_bytes
        self._steps: list[tuple[int, Decode, int]] = []
        capacity = chunk_bytes
        for position, filter_ in enumerate(filters):
            decode = decoder(filter_.id, filter_.options, chunk_bytes)
            if decode is None:
                raise LookupError(filter_.name or str(filter_.id))
            self._steps.insert(0, (1 << position, decode, capacity))
            capacity = CODECS[filter_.id].most_encoded(capacity)
        self.largest_stored = capacity
        self._decode_part = part_decoder(filters[0].id, filters[0].options, chunk_bytes) if filters else None
        in_turn = zip(reversed(filters), self._steps, strict=True)
        steps = [(filter_.id, filter_.options, most) for filter_, (_, _, most) in in_turn]
        self.decode_batch = batch_decoder(steps, chunk_bytes)

    def decodes_parts(self, wanted: int, *, comes_back: bool = True) -> bool:
        """Whether so many bytes one behind the other are decoded without all of their chunk.

        It pays sooner for who doesn't come back for the rest.
        """
        most = self.chunk_bytes // 4 if comes_back else self.chunk_bytes // 4 * 3
        return self._decode_part is not None and self.chunk_bytes >= _LEAST_IN_PARTS and wanted <= most

    def decode(
        self, space: Workspace, source: int, size: int, mask: int, target: int, within: tuple[int, int] | None = None
    ) -> int:
        """Decode one chunk, or at least a part of it; gives how many bytes it has, fewer where it was stored short.

        Parameters
        ----------
        space
            This thread's memory.
        source, size
            Address and number of the stored bytes.
        mask
            The chunk's filter mask.
        target
            Address of the chunk's decoded bytes.
        within
            The first byte that is wanted and the one behind the last, if `decodes_parts` of so many; None for all.

        Raises
        ------
        DecodeError
            The bytes are not what the filters make of a chunk.
        """
        steps = self._steps if not mask else [step for step in self._steps if not mask & step[0]]
        last = len(steps) - 1
        for position, (bit, decode, capacity) in enumerate(steps):
            if position == last:
                goal, capacity = target, self.chunk_bytes
            else:
                other = space.between[0]
                goal = (other if source != other.address else space.between[1]).of(capacity)
            if bit == 1 and within is not None and self._decode_part is not None:
                source, size = target, self._decode_part(source, size, target, capacity, *within)
            else:
                source, size = decode(source, size, goal, capacity)
        if size > self.chunk_bytes:
            raise DecodeError(f"it decodes to {size} bytes, and a chunk has {self.chunk_bytes}")
        if source != target:
            ctypes.memmove(target, source, size)
        return size
