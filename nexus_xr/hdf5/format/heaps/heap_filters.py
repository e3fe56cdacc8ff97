"""Blocks and objects of fractal heaps as they were before they went through filters.

Only deflate and the checksum are known; of the others, libhdf5 lets few be used for what isn't a dataset.
Source: the HDF5 file format specification, section IV.A.2.l (filter pipeline).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.messages.filter_pipeline import FilterStep

_CHECKSUM_BYTES = 4
_MODULUS = 0xFFFF

Options = tuple[int, ...]


def unfiltered(content: bytes, steps: tuple[FilterStep, ...], mask: int, size: int) -> bytes:
    """The bytes before they went through filters.

    Parameters
    ----------
    content
        The bytes as they are stored.
    steps
        The filters, in the order in which they were gone through.
    mask
        The bits of those that were left out.
    size
        How many bytes there were.

    Raises
    ------
    FormatError
        They are damaged, or were more or fewer.
    UnsupportedError
        They went through a filter that isn't known here.
    """
    # One filter may add to the bytes what the next takes away.
    most = size + _CHECKSUM_BYTES * len(steps)
    for number, step in reversed(list(enumerate(steps))):
        if not mask >> number & 1:
            if step.id not in _DECODERS:
                raise UnsupportedError(f"filter {step.id} in a fractal heap")
            content = _DECODERS[step.id](content, step.options, most)
    if len(content) != size:
        raise FormatError(f"{len(content)} bytes of a fractal heap should be {size}")
    return content


def _inflated(content: bytes, options: Options, most: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, most)
    except zlib.error as error:
        raise FormatError(f"bytes of a fractal heap can't be inflated: {error}") from error


def _verified(content: bytes, options: Options, most: int) -> bytes:
    body = content[:-_CHECKSUM_BYTES]
    if len(content) <= _CHECKSUM_BYTES or fletcher32(body) != int.from_bytes(content[-_CHECKSUM_BYTES:], "little"):
        raise FormatError("bytes of a fractal heap have a wrong checksum (Fletcher32)")
    return body


def fletcher32(content: bytes) -> int:
    """The checksum by Fletcher of words of two bytes, as HDF5 has it: sums of nothing but zeros alone are zero."""
    words = np.frombuffer(content + bytes(len(content) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % _MODULUS
    first, second = (int((words * weight % _MODULUS).sum()) for weight in (np.uint64(1), weights))
    if not words.any():
        return 0
    return ((second - 1) % _MODULUS + 1) << 16 | ((first - 1) % _MODULUS + 1)


_DECODERS: dict[int, Callable[[bytes, Options, int], bytes]] = {1: _inflated, 3: _verified}
