"""NumPy's files: the values as they are stored, behind a head that says what they are."""

from __future__ import annotations

import io
import math

import numpy as np

from .encoding import Buffer, Shown, ValuePart, check_plain, is_first, raw


class Npy:
    """What `numpy.load` reads."""

    media_type = "application/x-npy"
    suffix = ".npy"
    is_whole = False

    def check(self, shown: Shown) -> None:
        check_plain(shown)

    def length(self, shown: Shown) -> int:
        return len(_head(shown)) + math.prod(shown.shape) * shown.dtype.itemsize

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        values = raw(part.values.astype(shown.dtype, copy=False))
        return _head(shown) + bytes(values) if is_first(part) else values


def _head(shown: Shown) -> bytes:
    stream = io.BytesIO()
    described = np.lib.format.dtype_to_descr(shown.dtype)
    np.lib.format.write_array_header_2_0(stream, {"descr": described, "fortran_order": False, "shape": shown.shape})
    return stream.getvalue()
