"""Pictures of 256 greys.

Source: the specification of PNG, third edition: chunks with a length, a name and a checksum; the lines of an image,
each behind a byte that says how it is filtered, deflated.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.server.failures import Failure

from .encoding import Buffer, Shown, ValuePart, check_image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">IIBBBBB")
_BITS, _GREY = 8, 0
_FAST = 1


class Png:
    """Values between two, as greys between black and white; what is no number is black."""

    media_type = "image/png"
    suffix = ""
    is_whole = True

    def check(self, shown: Shown) -> None:
        check_image(shown, "a picture")
        if shown.low is not None and shown.high is not None and shown.low > shown.high:
            raise Failure(
                422, f"low={shown.low} is black and high={shown.high} white; swap them, low is at most as large as high"
            )

    def length(self, shown: Shown) -> None:
        return None

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        greys = _greys(part.values, shown.low, shown.high)
        lines = np.zeros((greys.shape[0], greys.shape[1] + 1), np.uint8)
        lines[:, 1:] = greys
        head = _HEAD.pack(greys.shape[1], greys.shape[0], _BITS, _GREY, 0, 0, 0)
        content = zlib.compress(lines.data, _FAST)
        return _SIGNATURE + _chunk(b"IHDR", head) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _greys(values: NDArray[Any], low: float | None, high: float | None) -> NDArray[np.uint8]:
    # Of 64 bits, integers have more digits than doubles, and doubles may be further apart than doubles tell.
    wide: NDArray[np.floating[Any]] = values.astype(np.longdouble if values.dtype.itemsize >= 8 else np.float64)
    least, largest = _limits(wide)
    bottom = least if low is None else low
    top = largest if high is None else high
    with np.errstate(all="ignore"):
        shares = ((wide - bottom) / (top - bottom if top > bottom else 1.0)).astype(np.float64)
    return np.asarray(np.clip(np.where(np.isnan(shares), 0.0, shares), 0, 1) * 255).round().astype(np.uint8)


def _limits(values: NDArray[np.floating[Any]]) -> tuple[Any, Any]:
    """The least and the largest number; 0 and 1 where there is none."""
    numbers = values[np.isfinite(values)]
    return (numbers.min(), numbers.max()) if numbers.size else (0.0, 1.0)
