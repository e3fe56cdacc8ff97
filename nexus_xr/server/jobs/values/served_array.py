"""An array of a file: where its values are, and what it costs to read some of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.opening.fields.stored import ScaledArray, stored_array
from nexus_xr.server.failures import Failure
from nexus_xr.server.settings import Limits

from .blocks import Blocks, blocks_of, chunks_shared, times_decoded
from .selection import Selection, chunks_touched


@dataclass(frozen=True)
class ServedArray:
    """An array of a file.

    Parameters
    ----------
    values
        Its values, which are read when they are indexed, and scaled then where they are to be.
    chunks
        The shape of what is decoded at once.
    is_of_others
        Whether other files than the one that was asked have a part in it, or may have.
    """

    values: LazyArray | ScaledArray
    chunks: tuple[int, ...]
    is_of_others: bool

    @property
    def stored(self) -> LazyArray:
        """Its values as the file has them."""
        return stored_array(self.values)

    @cached_property
    def itemsize(self) -> int:
        """Bytes of an element in memory."""
        return max(1, self.values.dtype.itemsize)

    @property
    def has_others(self) -> bool:
        """Whether other files have a part in it, as far as that is known; once it is read, it is."""
        return self.is_of_others or self.stored.file.leads_elsewhere

    def read(self, selection: Selection) -> NDArray[Any]:
        """The values that are asked for."""
        return np.asarray(self.values[selection.key])

    def blocks(self, selection: Selection, limits: Limits, is_cut: bool = True) -> Blocks:
        """How what is asked for is cut, where that takes no more than it may; nothing is read for that.

        Parameters
        ----------
        selection
            What is asked for.
        limits
            How much it may take.
        is_cut
            Whether it is read block by block, so that chunks which can't be kept meanwhile are decoded for each.

        Raises
        ------
        Failure
            It takes more.
        """
        sent = math.prod(selection.shape) * self.itemsize
        if sent > limits.sent:
            raise Failure(413, _too_much("are asked for", sent, limits.sent))
        blocks = blocks_of(selection, self.chunks, self.itemsize)
        touched = chunks_touched(selection, self.chunks) * math.prod(self.chunks) * self.itemsize
        is_once = not is_cut or blocks.count == 1 or self.shared_bytes(selection, blocks) <= limits.chunks_kept
        decoded = touched * (1 if is_once else times_decoded(selection, self.chunks, blocks))
        if sent and decoded > limits.decoded:
            raise Failure(413, _too_much("have to be decoded", decoded, limits.decoded))
        return blocks

    def shared_bytes(self, selection: Selection, blocks: Blocks) -> int:
        """Bytes of the decoded chunks that blocks have parts of before others have, which follow them."""
        return chunks_shared(selection, self.chunks, blocks) * math.prod(self.chunks) * self.itemsize


def _too_much(what: str, size: int, most: int) -> str:
    return (
        f"{size} bytes {what}, and {most} are the most for one request; "
        "select less, take steps or decimate, or get the file as it is from /file"
    )
