"""The checksum of metadata: lookup3 by Bob Jenkins.

Source: the HDF5 file format specification, wherever a structure ends with a checksum; Bob Jenkins, "lookup3.c, by Bob
Jenkins, May 2006, Public Domain", whose `hashlittle` it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from . import compiled
from .faults import FormatError

CHECKSUM_BYTES = 4
_MASK = 0xFFFFFFFF


def checked(content: bytes, what: str) -> bytes:
    """Bytes without the checksum that they end with.

    Parameters
    ----------
    content
        The bytes and their checksum.
    what
        What they are, for the error.

    Raises
    ------
    FormatError
        The checksum is of other bytes.
    """
    body = content[:-CHECKSUM_BYTES]
    if len(content) < CHECKSUM_BYTES or lookup3(body) != int.from_bytes(content[-CHECKSUM_BYTES:], "little"):
        raise FormatError(f"{what} has a wrong checksum")
    return body


def python_lookup3(content: bytes) -> int:
    """The checksum in plain Python, which takes a good tenth of a millisecond a KiB."""
    a = b = c = 0xDEADBEEF + len(content) & _MASK
    if not content:
        return c
    padded = content + bytes(-len(content) % 12)
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    for at in range(0, len(words) - 3, 3):
        a, b, c = _mixed(a + words[at] & _MASK, b + words[at + 1] & _MASK, c + words[at + 2] & _MASK)
    a, b, c = (value + word & _MASK for value, word in zip((a, b, c), words[-3:], strict=True))
    return _final(a, b, c)


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c & _MASK) ^ _turned(c, bits)
        a, b, c = b, c + b & _MASK, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _turned(b, bits) & _MASK
        a, b, c = b, c, a
    return b


lookup3: Callable[[bytes], int] = compiled.lookup3 or python_lookup3
