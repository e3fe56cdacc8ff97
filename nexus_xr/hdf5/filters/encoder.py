"""The filters of a dataset as one encoder of its chunks."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_xr.hdf5.objects.storage import Filter

from .codec import Bytes, Encode
from .codecs.shuffle import SHUFFLE
from .registry import CODECS


class Encoder:
    """Encodes chunks by the filters of a dataset, in their order.

    Parameters
    ----------
    filters
        The filters in the order of writing.
    chunk_bytes
        Bytes of a chunk.

    Raises
    ------
    LookupError
        There is a filter that only libhdf5 encodes.
    """

    def __init__(self, filters: Sequence[Filter], chunk_bytes: int) -> None:
        self._steps: list[Encode] = []
        for before, step in zip([None, *filters], filters, strict=False):
            codec = CODECS.get(step.id)
            is_shuffled = before is not None and before.id == SHUFFLE.number
            make = codec and ((is_shuffled and codec.encode_shuffled) or codec.encode)
            encode = make(step.options, chunk_bytes) if make else None
            if encode is None:
                raise LookupError(step.name or str(step.id))
            self._steps.append(encode)

    @property
    def has_filters(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._steps)

    def encode(self, chunk: Bytes) -> tuple[Bytes, int]:
        """The stored bytes of a chunk, and its filter mask: a bit for each filter that was left out."""
        mask = 0
        for position, step in enumerate(self._steps):
            made = step(chunk)
            if made is None:
                mask |= 1 << position
            else:
                chunk = made
        return chunk, mask
