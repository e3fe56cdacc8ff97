"""NumPy's files: the values as they are stored, behind a head that says what they are."""

from __future__ import annotations

import io
import math
import struct
from contextlib import suppress
from typing import Any

import numpy as np

from .encoding import Buffer, Shown, ValuePart, check_plain, is_first, raw

_LENGTH = struct.Struct("<I")


class Npy:
    """What `numpy.load` reads."""

    media_type = "application/x-npy"
    suffix = ".npy"
    is_whole = False

    def check(self, shown: Shown) -> None:
        check_plain(shown)

    def length(self, shown: Shown) -> int:
        return len(_head(shown)) + math.prod(shown.shape) * _in_order(shown.dtype).itemsize

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        values = raw(part.values.astype(_in_order(shown.dtype), copy=False))
        return _head(shown) + bytes(values) if is_first(part) else values


def _head(shown: Shown) -> bytes:
    """What stands before the values: of version 1, which all read, of 2 where it is long, of 3 where a name needs it.

    NumPy, which does the same, has no public function for version 3. Source: "Format Version 3.0" in the documentation
    of `numpy.lib.format`.
    """
    described = {
        "descr": np.lib.format.dtype_to_descr(_in_order(shown.dtype)),
        "fortran_order": False,
        "shape": shown.shape,
    }
    stream = io.BytesIO()
    for write in (np.lib.format.write_array_header_1_0, np.lib.format.write_array_header_2_0):
        with suppress(ValueError):  # as it is too long, or is no Latin-1
            write(stream, described)
            return stream.getvalue()
    begin, text = np.lib.format.magic(3, 0), repr(described).encode()
    padding = -(len(begin) + _LENGTH.size + len(text) + 1) % np.lib.format.ARRAY_ALIGN
    return begin + _LENGTH.pack(len(text) + padding + 1) + text + b" " * padding + b"\n"


def _in_order(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """A dtype with the same members, one behind the other where they lie otherwise than in their order.

    NumPy's files have no word for where members are.

    Examples
    --------
    >>> _in_order(np.dtype({"names": ["x", "y"], "formats": ["<i2", "<f8"], "offsets": [8, 0]}))
    dtype([('x', '<i2'), ('y', '<f8')])
    """
    if dtype.subdtype is not None:
        return np.dtype((_in_order(dtype.subdtype[0]), dtype.shape))
    if dtype.names is None or dtype.fields is None:
        return dtype
    members = [(name, _in_order(dtype[name])) for name in dtype.names]
    begins = [dtype.fields[name][1] for name in dtype.names]
    ends = [begin + dtype[name].itemsize for name, begin in zip(dtype.names, begins, strict=True)]
    lie_in_order = all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))
    are_as_stored = all(member == dtype[name] for name, member in members)
    return dtype if lie_in_order and are_as_stored else np.dtype(members)
