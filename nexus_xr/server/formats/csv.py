"""Lines of numbers or text, with commas between columns."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from nexus_xr.hdf5.objects.text import decode
from nexus_xr.server.failures import Failure

from .encoding import Buffer, Shown, ValuePart
from .plain import is_times, told_times

# Bytes of the numbers that JSON has, too; and the floating-point ones that Python writes without an exponent.
_WIDEST, _LEAST_PLAIN, _BEYOND_PLAIN = 8, 1e-4, 1e16
# So many are written as JSON has them if that is as Python has all of them.
_AT_ONCE = 1024


class Csv:
    """One value a line, or one row; numbers as Python writes them, which give the same numbers when they are read."""

    media_type = "text/csv; charset=utf-8"
    suffix = ".csv"
    is_whole = False

    def check(self, shown: Shown) -> None:
        if len(shown.shape) > 2:
            raise Failure(422, f"CSV has lines and columns, found {len(shown.shape)} dimensions; select two of them")
        if shown.dtype.names is not None:
            raise Failure(422, f"{shown.name} holds compounds, which make no columns; ask for format=json")

    def length(self, shown: Shown) -> None:
        return None

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        rows = part.values.reshape(-1, 1) if len(shown.shape) < 2 else part.values
        are_usual = rows.dtype.kind in "biuf" and rows.dtype.itemsize <= _WIDEST and rows.size
        return _joined(_lines_of_numbers(rows) if are_usual else _lines(rows), shown, part)


def _lines(rows: NDArray[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_cells, rows))
    return text.getvalue().encode()


def _lines_of_numbers(rows: NDArray[Any]) -> bytes:
    """The same of numbers, many at once."""
    values = np.ascontiguousarray(rows, np.float64 if rows.dtype.kind == "f" else rows.dtype.newbyteorder("="))
    at_once = max(1, _AT_ONCE // values.shape[1])
    return b"".join(_some_lines(values[begin : begin + at_once]) for begin in range(0, len(values), at_once))


def _some_lines(values: NDArray[Any]) -> bytes:
    if values.dtype.kind == "f" and not _json_has_same_digits(values):
        return "".join(f"{','.join(map(repr, row))}\n" for row in values.tolist()).encode()
    if values.shape[1] == 1:
        lines = orjson.dumps(values.reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].replace(b",", b"\n")
    else:
        lines = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].replace(b"],[", b"\n")
    return (lines.replace(b"t", b"T").replace(b"f", b"F") if values.dtype.kind == "b" else lines) + b"\n"


def _json_has_same_digits(values: NDArray[np.float64]) -> bool:
    """Whether JSON writes all of these as Python does, which writes others with an exponent, or not as numbers."""
    sizes = np.abs(values)
    return bool((((sizes >= _LEAST_PLAIN) & (sizes < _BEYOND_PLAIN)) | (values == 0)).all())


def _cells(row: Any) -> list[Any]:
    if is_times(row):
        return ["NaT" if time is None else time for time in told_times(row)]
    return list(map(_cell, row.tolist()))


def _cell(value: Any) -> Any:
    """A value as CSV writes it: text of opaque ones, as JSON has them."""
    if isinstance(value, bytes):
        return decode(value)
    return repr(value) if isinstance(value, float) else value


def _joined(text: bytes, shown: Shown, part: ValuePart) -> bytes:
    """A part of a row that goes on ends with a comma."""
    goes_on = len(shown.shape) == 2 and part.axis == 1 and part.within[1][-1] != shown.shape[1] - 1
    return text[:-1] + b"," if goes_on else text
