"""Lines of numbers or text, with commas between columns."""

from __future__ import annotations

import csv
import io
from typing import Any

from nexus_xr.hdf5.objects.text import decode
from nexus_xr.server.failures import Failure

from .encoding import Buffer, Shown, ValuePart
from .plain import is_times, told_times


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
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(map(_cells, rows))
        return _joined(text.getvalue(), shown, part).encode()


def _cells(row: Any) -> list[Any]:
    if is_times(row):
        return ["NaT" if time is None else time for time in told_times(row)]
    return list(map(_cell, row.tolist()))


def _cell(value: Any) -> Any:
    """A value as CSV writes it: text of opaque ones, as JSON has them."""
    if isinstance(value, bytes):
        return decode(value)
    return repr(value) if isinstance(value, float) else value


def _joined(text: str, shown: Shown, part: ValuePart) -> str:
    """A part of a row that goes on ends with a comma."""
    goes_on = len(shown.shape) == 2 and part.axis == 1 and part.within[1][-1] != shown.shape[1] - 1
    return text[:-1] + "," if goes_on else text
