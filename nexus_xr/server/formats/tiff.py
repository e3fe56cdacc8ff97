"""TIFF files of one image, whose pixels are the values themselves.

Source: TIFF, revision 6.0: a header, the pixels in one strip, and a directory of what they are.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from .encoding import Buffer, Shown, ValuePart, check_image, raw

_HEADER = struct.Struct("<2sHI")
_ENTRY = struct.Struct("<HHII")
_SHORT, _LONG = 3, 4
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_NO_COMPRESSION, _BLACK_IS_ZERO = 1, 1


class Tiff:
    """What image programs read."""

    media_type = "image/tiff"
    suffix = ".tiff"
    is_whole = True

    def check(self, shown: Shown) -> None:
        check_image(shown, "TIFF")

    def length(self, shown: Shown) -> None:
        return None

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        values = part.values.astype(_pixel(part.values.dtype), copy=False)
        pixels = bytes(raw(values))
        directory_at = _HEADER.size + len(pixels) + len(pixels) % 2
        return b"".join(
            [_HEADER.pack(b"II", 42, directory_at), pixels, b"\0" * (len(pixels) % 2), _directory(values, len(pixels))]
        )


def _pixel(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype.kind == "b":
        return np.dtype("u1")
    return np.dtype("<f8") if dtype.kind == "f" and dtype.itemsize > 8 else dtype.newbyteorder("<")


def _directory(values: np.ndarray[Any, Any], size: int) -> bytes:
    height, width = values.shape
    kind = {"u": _UNSIGNED, "i": _SIGNED, "f": _FLOAT}[values.dtype.kind]
    entries = [
        (256, _LONG, width),
        (257, _LONG, height),
        (258, _SHORT, 8 * values.dtype.itemsize),
        (259, _SHORT, _NO_COMPRESSION),
        (262, _SHORT, _BLACK_IS_ZERO),
        (273, _LONG, _HEADER.size),
        (277, _SHORT, 1),
        (278, _LONG, height),
        (279, _LONG, size),
        (339, _SHORT, kind),
    ]
    packed = b"".join(_ENTRY.pack(tag, form, 1, value) for tag, form, value in entries)
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", 0)
