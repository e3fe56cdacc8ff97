"""Arrow's stream of record batches: a column in which each row is what is at one position of the first dimension.

Source: the specification of Arrow's columnar format, "IPC streaming format".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nexus_xr.server.failures import Failure

from .encoding import Buffer, Shown, ValuePart, is_first, is_last

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
# A message of no bytes ends a stream.
_END = b"\xff\xff\xff\xff\0\0\0\0"


class Arrow:
    """A table of one column, whose cells are numbers, text, or tensors of one shape."""

    media_type = MEDIA_TYPE
    suffix = ".arrows"
    is_whole = False

    def check(self, shown: Shown) -> None:
        is_text = shown.dtype.kind in "UO" and len(shown.shape) == 1
        is_number = shown.dtype.kind in "biuf" and shown.dtype.itemsize <= 8
        if not shown.shape or 0 in shown.shape[1:] or not (is_number or is_text):
            raise Failure(422, f"no Arrow column holds {shown.dtype} {shown.shape}; ask for format=json, npy or bin")
        _pyarrow()

    def length(self, shown: Shown) -> None:
        return None

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        if part.axis:
            raise Failure(422, f"rows of {shown.shape[1:]} are too long for Arrow; select a part of them")
        pa = _pyarrow()
        batch = pa.record_batch([_column(pa, shown, part.values)], names=[shown.name])
        begin = bytes(batch.schema.serialize()) if is_first(part) else b""
        return begin + bytes(batch.serialize()) + (_END if is_last(part, shown) else b"")


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise Failure(422, "the service has no pyarrow; ask for another format, or install it there") from error
    return pa


def _column(pa: Any, shown: Shown, values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind in "UO":
        # A null reference is None.
        return pa.array([None if each is None else str(each) for each in values.tolist()], pa.string())
    flat = pa.array(np.ascontiguousarray(values, values.dtype.newbyteorder("=")).reshape(-1))
    if len(shown.shape) == 1:
        return flat
    tensor = pa.fixed_shape_tensor(flat.type, shown.shape[1:])
    cells = pa.FixedSizeListArray.from_arrays(flat, math.prod(shown.shape[1:]))
    return pa.ExtensionArray.from_storage(tensor, cells)
