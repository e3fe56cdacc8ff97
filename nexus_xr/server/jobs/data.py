"""The values of an array: a selection of them, as they are or reduced, in one of the forms."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.server.failures import Failure
from nexus_xr.server.formats.encoding import Encoding, Shown, ValuePart
from nexus_xr.server.formats.table import FORMATS

from .answer import Answer
from .arrays import array_at
from .context import Context
from .job import FileJob
from .values.blocks import Blocks
from .values.reduced import reduced
from .values.selection import Selection, parse_selection
from .values.served_array import ServedArray


@dataclass(frozen=True)
class ReadData(FileJob):
    """Values of an array.

    Parameters
    ----------
    path
        The path of the array in its file.
    selection
        What of it is asked for.
    form
        One of the forms.
    reduce
        Sum, mean, least or largest along some dimensions; empty for the values themselves.
    axes
        Which dimensions of what is selected; none for all.
    decimate
        How many positions each dimension may have at most, others are left out; 0 for all.
    low, high
        Values that are black and white in a picture.
    """

    path: str = "/"
    selection: str = ""
    form: str = "bin"
    reduce: str = ""
    axes: tuple[int, ...] = ()
    decimate: int = 0
    low: float | None = None
    high: float | None = None

    def answer(self, context: Context) -> Answer:
        if self.axes and not self.reduce:
            raise Failure(422, "axes are reduced, and nothing says how; name that with reduce, or leave axes out")
        place = context.place(self.file, self.tag)
        array = array_at(context, place, self.path)
        answer = self._answer(context, array, place.tag)
        return replace(answer, has_others=array.has_others)

    def _answer(self, context: Context, array: ServedArray, tag: str) -> Answer:
        selection = parse_selection(self.selection, array.values.shape)
        selection = selection.decimated(self.decimate) if self.decimate else selection
        limits = context.settings.limits
        # What is reduced is decoded, and not sent.
        encoding = FORMATS[self.form]
        is_cut = not (self.reduce or encoding.is_whole)
        blocks = array.blocks(selection, replace(limits, sent=limits.decoded) if self.reduce else limits, is_cut)
        if self.reduce:
            return self._of_one(encoding, reduced(array, selection, self.reduce, self.axes), tag)
        shown = self._shown(selection.shape, array.values.dtype)
        encoding.check(shown)
        if not encoding.is_whole:
            return self._part(context, array, selection, blocks, encoding, shown, tag)
        size = math.prod(selection.shape) * array.itemsize
        if size > limits.whole:
            raise Failure(413, f"an image of {size} bytes; {limits.whole} are the most, take steps or decimate")
        return self._of_one(encoding, context.values(array, selection), tag)

    def _of_one(self, encoding: Encoding, values: NDArray[Any], tag: str) -> Answer:
        shown = self._shown(values.shape, values.dtype)
        encoding.check(shown)
        body = encoding.encode(shown, ValuePart(values, tuple(map(range, values.shape)), 0))
        return Answer(body, encoding.media_type, self._headers(encoding, shown), length=len(body), tag=tag)

    def _part(
        self,
        context: Context,
        array: ServedArray,
        selection: Selection,
        blocks: Blocks,
        encoding: Encoding,
        shown: Shown,
        tag: str,
    ) -> Answer:
        block = blocks.block(self.part)
        values = context.part(array, selection, blocks, self.part).reshape(block.shape)
        body = encoding.encode(shown, ValuePart(values, block.within, block.axis))
        headers = self._headers(encoding, shown)
        return Answer(body, encoding.media_type, headers, 200, blocks.count, encoding.length(shown), tag)

    def _shown(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Shown:
        name = self.path.rstrip("/").rpartition("/")[2] or "values"
        return Shown(name, shape, dtype, self.low, self.high)

    def _headers(self, encoding: Encoding, shown: Shown) -> dict[str, str]:
        dtype = shown.dtype.newbyteorder("<") if encoding is FORMATS["bin"] else shown.dtype
        headers = {"X-Shape": ",".join(map(str, shown.shape)), "X-Dtype": dtype.str}
        if encoding.suffix:
            headers["Content-Disposition"] = f'attachment; filename="{_safe(shown.name)}{encoding.suffix}"'
        return headers


def _safe(name: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_.") else "_" for letter in name)
