"""Filters as people call them."""

from __future__ import annotations

from nexus_xr.hdf5.objects.storage import Filter

from .codecs.bitshuffle import BITSHUFFLE
from .codecs.blosc import BLOSC
from .codecs.deflate import DEFLATE
from .missing_filters import FILTERS
from .registry import CODECS

# By the number of the filter, which of its options says what it compresses with, and what its values mean.
_INNER = {
    BITSHUFFLE.number: (4, {2: "LZ4", 3: "Zstandard"}),
    BLOSC.number: (6, {0: "BloscLZ", 1: "LZ4", 2: "LZ4HC", 3: "Snappy", 4: "zlib", 5: "Zstandard"}),
}


def in_words(step: Filter) -> str:
    """A filter as people call it, with what it compresses with.

    Examples
    --------
    >>> in_words(Filter(1, "deflate", (4,))), in_words(Filter(32008, "", (0, 2, 2, 0, 2)))
    ('gzip 4', 'bitshuffle+LZ4')
    """
    if step.id == DEFLATE.number:
        return " ".join(["gzip", *map(str, step.options[:1])])
    codec, registered = CODECS.get(step.id), FILTERS.get(step.id)
    name = codec.name if codec else registered.name if registered else step.name or f"filter {step.id}"
    position, meanings = _INNER.get(step.id, (0, {}))
    inner = meanings.get(step.options[position]) if len(step.options) > position else None
    return f"{name}+{inner}" if inner else name
