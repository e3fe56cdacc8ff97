"""Decoding of many small chunks by one call, so that threads don't wait for Python between two chunks.

The extension module is optional: where it could not be built, chunks are decoded one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.runtime.libraries import address_of_function

from .compiled import decode_all
from .registry import CODECS

# Larger chunks keep a core busy for long enough by themselves.
MOST_CHUNK_BYTES = 1 << 18
_MOST_STEPS = 8

_STEP = struct.Struct("6q")

# Rows of source, size and target -> how many of them were decoded before the first that can't be.
DecodeBatch = Callable[[NDArray[np.int64]], int]


def batch_decoder(steps: Sequence[tuple[int, tuple[int, ...], int]], chunk_bytes: int) -> DecodeBatch | None:
    """A decoder of many chunks at once, None where there is none for these filters or for chunks of that size.

    Parameters
    ----------
    steps
        Number and options of each filter, in the order of decoding, and the most bytes that it makes.
    chunk_bytes
        Bytes of a decoded chunk.
    """
    decode = decode_all
    if decode is None or not 0 < len(steps) <= _MOST_STEPS or chunk_bytes > MOST_CHUNK_BYTES:
        return None
    packed = b""
    for number, options, capacity in steps:
        addresses = [address_of_function(*where) for where in CODECS[number].batch(options)]
        if not addresses or None in addresses:
            return None
        width = next(iter(options[CODECS[number].width_at :]), 0)
        packed += _STEP.pack(number, width, capacity, *[*addresses, 0, 0][:3])
    return lambda addresses: decode(packed, addresses.tobytes(), chunk_bytes)
