"""The values of a dataset, as h5grove sends them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.opening.select import Opening
from nexus_xr.server.failures import Failure
from nexus_xr.server.formats.encoding import Encoding, Shown, ValuePart, check_plain, raw
from nexus_xr.server.formats.table import FORMATS
from nexus_xr.server.jobs.answer import Answer, json_answer
from nexus_xr.server.jobs.arrays import NoArrayError, array_at, array_like, array_of, dataset_at, stored_array
from nexus_xr.server.jobs.context import Context
from nexus_xr.server.jobs.job import FileJob
from nexus_xr.server.jobs.served_files import ServedFile
from nexus_xr.server.jobs.values.blocks import Blocks
from nexus_xr.server.jobs.values.selection import Selection, parse_selection
from nexus_xr.server.jobs.values.served_array import ServedArray

from .plotted import PLOTTED, STORED, is_title_path, plotted_at
from .references import with_references

FORMATS_OF_H5GROVE = ("json", "bin", "csv", "npy", "tiff")
AS_STORED, SAFE = "origin", "safe"


@dataclass(frozen=True)
class ReadValues(FileJob):
    """Values of a dataset.

    Parameters
    ----------
    path
        Its path.
    selection
        What of it.
    form
        One of `FORMATS_OF_H5GROVE`.
    dtype
        As they are stored, or as browsers have arrays for.
    flatten
        Whether the values are one list, and none of lists.
    told
        Whether data is told as it is plotted or as it is stored, one of `FORMS`.
    """

    path: str = "/"
    selection: str = ""
    form: str = "json"
    dtype: str = AS_STORED
    flatten: bool = False
    told: str = STORED

    def answer(self, context: Context) -> Answer:
        place = context.place(self.file, self.tag)
        try:
            array = array_at(context, place, self.path, _plotted if self.told == PLOTTED else stored_array)
        except NoArrayError:
            return self._without_array(context, place)
        answer = self._answer(context, array, place.tag)
        return replace(answer, has_others=array.has_others)

    def _answer(self, context: Context, array: ServedArray, tag: str) -> Answer:
        selection = parse_selection(self.selection, array.values.shape)
        blocks = array.blocks(selection, context.settings.limits, self.form == "bin")
        if self.form == "bin":
            return self._binary(context, array, selection, blocks, tag)
        size = math.prod(selection.shape) * array.itemsize
        if size > context.settings.limits.whole:
            raise Failure(413, f"{size} bytes of values in this form are too many; select less, or ask for format=bin")
        values = context.values(array, selection)
        values = _safe(values) if self.dtype == SAFE else values
        is_one = self.told == PLOTTED and is_title_path(self.path) and values.shape == (1,)
        flat = values.reshape(()) if is_one else np.ravel(values) if self.flatten and values.ndim else values
        if self.form == "json":
            return json_answer(with_references(flat if flat.ndim else flat[()], array.stored.raw_dtype), tag)
        return self._file(FORMATS[self.form], flat, tag)

    def _without_array(self, context: Context, place: ServedFile) -> Answer:
        """Of what has no values, or elements of varying length."""
        if self.form != "json":
            raise Failure(422, f"{self.path} holds no numbers; ask for format=json")
        return context.described(place, partial(self._elements, context, place.tag))

    def _elements(self, context: Context, tag: str, opening: Opening) -> Answer:
        dataset = dataset_at(opening, self.path)
        array = array_of(dataset, opening)
        answer = json_answer(None, tag) if dataset.is_null else self._answer(context, array, tag)
        return replace(answer, has_others=array.has_others)

    def _binary(self, context: Context, array: ServedArray, selection: Selection, blocks: Blocks, tag: str) -> Answer:
        check_plain(self._shown(selection.shape, array.values.dtype))
        values = context.part(array, selection, blocks, self.part)
        values = _safe(values) if self.dtype == SAFE else values
        length = math.prod(selection.shape) * values.dtype.itemsize
        return Answer(raw(values), "application/octet-stream", {}, 200, blocks.count, length, tag)

    def _file(self, encoding: Encoding, values: NDArray[Any], tag: str) -> Answer:
        shown = self._shown(values.shape, values.dtype)
        encoding.check(shown)
        body = encoding.encode(shown, ValuePart(values, tuple(map(range, values.shape)), 0))
        headers = {"Content-Disposition": f'attachment; filename="data{encoding.suffix}"'}
        return Answer(body, encoding.media_type, headers, tag=tag)

    def _shown(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Shown:
        return Shown(self.path, shape, dtype)


def _plotted(path: str, opening: Opening) -> ServedArray:
    """The array at a path of an open file, as it is plotted."""
    field = plotted_at(opening, path)
    return stored_array(path, opening) if field is None else array_like(field.dataset, field.values, opening)


def _safe(values: NDArray[Any]) -> NDArray[Any]:
    """Values as browsers have arrays for: no floating-point numbers of 2 or 16 bytes, least significant bytes first.

    Raises
    ------
    Failure
        They are no numbers.
    """
    dtype = values.dtype
    if dtype.kind not in "biufc":
        raise Failure(422, f"Unsupported dtype safe for non-numeric data of {dtype}; leave it out")
    if dtype.kind == "f" and dtype.itemsize not in (4, 8):
        return values.astype("<f4" if dtype.itemsize < 4 else "<f8")
    return values.astype(dtype.newbyteorder("<"), copy=False)
