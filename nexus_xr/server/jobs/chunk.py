"""A chunk as it is stored, with what its bytes went through."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.layouts.chunk_index import ChunkLocation
from nexus_xr.hdf5.reading.layouts.known_layouts import layout_of
from nexus_xr.hdf5.reading.layouts.layout import ExternalDataset, StoredLayout
from nexus_xr.server.failures import Failure
from nexus_xr.server.settings import Limits

from .answer import Answer, StoredBody
from .arrays import array_at
from .context import Context
from .job import FileJob
from .ranges import part_of, parts_of

MEDIA_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class ReadChunk(FileJob):
    """One chunk of an array.

    Parameters
    ----------
    path
        The path of the array in its file.
    chunk
        The position of the chunk, counted in chunks along each dimension.
    """

    path: str = "/"
    chunk: tuple[int, ...] = ()

    def answer(self, context: Context) -> Answer:
        place = context.place(self.file, self.tag)
        served = array_at(context, place, self.path)
        array = served.stored
        with array.file.source() as source:
            layout = layout_of(array.file, array.path, source, array.address)
            if not isinstance(layout, StoredLayout):
                raise Failure(422, f"{self.path} {_why_none(layout)}; get its values from /api/data")
            location = self._location(layout)
            with layout.source(source) as raw:
                is_there = raw is source and source.key == place.key
                asked = range(location.offset, location.offset + location.size)
                if is_there and asked.stop > place.size:
                    raise Failure(500, self._cut_off())
                parts = self._parts(asked, context.settings.limits, is_there)
                part = part_of(asked, self.part) if parts > 1 else asked
                body = context.room_for(len(part))
                found = raw.read_into(body, part.start)
        if found < len(body):
            raise Failure(500, self._cut_off())
        headers = _headers(array, layout, location)
        answer = Answer(body, MEDIA_TYPE, headers, 200, parts, len(asked), place.tag, served.has_others)
        if not is_there or not place.is_settled:
            return answer
        return replace(answer, lasts_with=place.address, stored=StoredBody(location.offset))

    def _cut_off(self) -> str:
        return f"chunk {self.chunk} of {self.path} ends behind the end of the file; copy it again"

    def _parts(self, asked: range, limits: Limits, is_there: bool) -> int:
        """In how many parts it is sent: one, unless each part is sure to be of the same state of a file."""
        most = limits.sent if is_there else limits.whole
        if len(asked) > most:
            raise Failure(413, f"the chunk has {len(asked)} bytes; get parts of its values from /api/data")
        return parts_of(asked) if is_there else 1

    def _location(self, layout: StoredLayout) -> ChunkLocation:
        grid = tuple(-(-size // length) for size, length in zip(layout.shape, layout.chunks, strict=True))
        is_there = len(self.chunk) == len(grid) and all(
            0 <= part < count for part, count in zip(self.chunk, grid, strict=True)
        )
        if not is_there:
            raise Failure(422, f"chunk={self.chunk}: {self.path} has a grid of {grid} chunks")
        location = layout.index.find(self.chunk)
        if location is None:
            raise Failure(404, f"chunk {self.chunk} of {self.path} was never written; its values are {layout.fill}")
        return location


def _why_none(layout: Any) -> str:
    if isinstance(layout, ExternalDataset):
        return "is in another file"
    return "is made of other datasets, or stored as only libhdf5 reads it"


def _headers(array: LazyArray, layout: StoredLayout, location: ChunkLocation) -> dict[str, str]:
    filters = [
        {"id": step.id, "name": step.name, "options": step.options, "applied": not location.mask >> number & 1}
        for number, step in enumerate(layout.filters)
    ]
    return {
        "X-Shape": ",".join(map(str, layout.chunks)),
        "X-Dtype": array.raw_dtype.str,
        "X-Filters": json.dumps(filters),
    }
