"""A file as a Zarr store: its metadata, and its chunks as they are stored wherever that can be."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nexus_xr.errors import NexusError
from nexus_xr.hdf5.runtime.memory import results_in
from nexus_xr.server.failures import UNEXPECTED, Failure, failure_of
from nexus_xr.server.formats.encoding import Buffer
from nexus_xr.zarr.chunks import Chunk, LyingChunk, lying_chunk
from nexus_xr.zarr.codecs.frames import own_parts
from nexus_xr.zarr.view import METADATA, ZarrView, is_chunk_key

from .answer import JSON, Answer, StoredBody
from .context import Context
from .job import FileJob
from .ranges import PART_BYTES, asked_range, no_such_bytes, part_of, parts_of
from .served_files import NOT_FOUND, ServedFile

_REFUSED, _NOT_THERE = 403, 404
# Of chunks, what readers of Zarr take for fill values; some a refusal, too, as there are stores that refuse what isn't
# there.
_TAKEN_FOR_FILL = (_REFUSED, _NOT_THERE)
_NO_KEY = "File not found! {address!r} is a file, and no key of it is asked for; ask for zarr.json in it"


@dataclass(frozen=True)
class ReadKey(FileJob):
    """What stands behind a key.

    Parameters
    ----------
    file
        The address of the file, and behind it the key.
    asked
        The header ``Range``; empty for all of it.
    condition
        The header ``If-Range``: the state of which the range is asked; empty for any.
    """

    asked: str = ""
    condition: str = ""

    def answer(self, context: Context) -> Answer:
        try:
            place, key = self._split(context)
            if self.tag and self.tag != place.tag:
                place = context.place(place.address, self.tag)
            place, view, found = _read(context, place, key)
        except (Failure, NexusError, PermissionError) as error:
            raise self._unread(failure_of(error, context.settings.folders)) from error
        if found is None:
            raise Failure(404, f"there is no key {key!r} in {place.address}")
        size = found.size if isinstance(found, LyingChunk) else len(found.data)
        media_type = JSON if key.endswith(METADATA) else "application/octet-stream"
        headers = {"Accept-Ranges": "bytes"}
        has_others = view.file.leads_elsewhere
        wanted = asked_range(self.asked, size, self.condition, "" if has_others else place.tag)
        if wanted is not None and not wanted:
            return replace(no_such_bytes(self.asked, size, place.tag), has_others=has_others)
        if wanted is not None:
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{size}"
        asked = range(size) if wanted is None else wanted
        parts = parts_of(asked) if isinstance(found, LyingChunk) else 1
        body, status = self._body(found, asked, context), 200 if wanted is None else 206
        answer = Answer(body, media_type, headers, status, parts, len(asked), place.tag, has_others)
        if wanted is not None or isinstance(found, LyingChunk):
            return answer
        stored = _stored_body(found, view)
        is_lasting = (media_type == JSON or stored is not None) and place.is_settled and not has_others
        return replace(answer, lasts_with=place.address, stored=stored) if is_lasting else answer

    def _body(self, found: Chunk | LyingChunk, asked: range, context: Context) -> Buffer:
        """The part of a body that is asked for."""
        if isinstance(found, Chunk):
            return memoryview(found.data)[asked.start : asked.stop]
        part = part_of(asked, self.part)
        with results_in(context.room):
            return found.stored.part(part.start, part.stop).data

    def _unread(self, failure: Failure) -> Failure:
        """Why a key isn't read, with another status where readers would take fill values for that."""
        is_taken_for_fill = failure.status in _TAKEN_FOR_FILL and is_chunk_key(self.file)
        return Failure(422, failure.message) if is_taken_for_fill else failure

    def _split(self, context: Context) -> tuple[ServedFile, str]:
        """The file, which is the first on the way that is one, and the key in it."""
        names = [name for name in self.file.split("/") if name]  # as clients double the slash of a URL that ends in one
        for count in range(1, len(names)):
            try:
                return context.place("/".join(names[:count])), "/".join(names[count:])
            except Failure as failure:
                if failure.status != _NOT_THERE:
                    raise
        try:
            place = context.place("/".join(names))
        except Failure as failure:
            if failure.status == UNEXPECTED:
                raise
            raise Failure(404, NOT_FOUND.format(address=self.file)) from None
        raise Failure(404, _NO_KEY.format(address=place.address))


def _read(context: Context, place: ServedFile, key: str) -> tuple[ServedFile, ZarrView, Chunk | LyingChunk | None]:
    """What stands behind a key, with the file and the view of it in which that is so.

    Whether other files changed, to which a file leads, shows where a chunk is read; for all else it is looked at.
    """
    view = view_of(context, place)
    try:
        found = _found(context, view, key)
        if (found is not None and not key.endswith(METADATA)) or view.file.is_as_found:
            return place, view, found
    except (Failure, NexusError):
        if view.file.is_as_found:
            raise
    place = context.place(place.address)
    view = _new_view(context, place)
    return place, view, _found(context, view, key)


def _found(context: Context, view: ZarrView, key: str) -> Chunk | LyingChunk | None:
    if key.endswith(METADATA):
        document = view.value(key)
        return None if document is None else Chunk(document, None)
    lying = _large_chunk(view, key)
    if lying is not None:
        return lying
    with results_in(context.room):
        chunk = view.chunk(key)
    if chunk is None and view.is_misspelled(key):
        raise Failure(422, f"{key!r} is no key of an array that is there; in addresses, # is %23 and % is %25 of names")
    return chunk


def _large_chunk(view: ZarrView, key: str) -> LyingChunk | None:
    """A chunk of the file itself that is too large to be sent at once, and can be read part by part; None of others."""
    found = view.find_chunk(key)
    if found is None or math.prod(found[0].chunks) * found[0].element.itemsize <= PART_BYTES:
        return None
    lying = lying_chunk(*found)
    is_large = lying is not None and lying.stored.file is view.file and lying.size > PART_BYTES
    return lying if is_large else None


def _stored_body(chunk: Chunk, view: ZarrView) -> StoredBody | None:
    """Where a chunk lies in its file, None where that is another one or the chunk isn't there as it is sent."""
    if chunk.stored is None or chunk.stored.file is not view.file:
        return None
    made = np.frombuffer(chunk.data, np.uint8)
    place = chunk.stored.place_of(made)
    if place is None:
        return None
    is_framed = place != chunk.stored.location.offset
    return StoredBody(place, *own_parts(made)) if is_framed else StoredBody(place)


def view_of(context: Context, place: ServedFile) -> ZarrView:
    """The view of a file in its present state, but not of those to which it leads."""
    return context.views.get(place) or _new_view(context, place)


def _new_view(context: Context, place: ServedFile) -> ZarrView:
    view = ZarrView(context.file(place))
    _ = view.hierarchy
    context.views.put(place, view, 1)
    return view
