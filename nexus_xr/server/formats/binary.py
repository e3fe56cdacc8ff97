"""The values alone, the least significant byte first, in the order of rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .encoding import Buffer, Shown, ValuePart, check_plain, raw


class Binary:
    """The bytes of the values; their shape and dtype are in the headers ``X-Shape`` and ``X-Dtype``."""

    media_type = "application/octet-stream"
    suffix = ""
    is_whole = False

    def check(self, shown: Shown) -> None:
        check_plain(shown)

    def length(self, shown: Shown) -> int:
        return math.prod(shown.shape) * shown.dtype.itemsize

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        return raw(part.values.astype(little_endian(part.values.dtype), copy=False))


def little_endian(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same, the least significant byte first."""
    return dtype.newbyteorder("<")
