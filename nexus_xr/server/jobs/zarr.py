"""A file as a Zarr store: its metadata, and its chunks as they are stored wherever that can be."""

from __future__ import annotations

from dataclasses import dataclass

from nexus_xr.hdf5.runtime.memory import results_in
from nexus_xr.server.failures import Failure
from nexus_xr.zarr.view import METADATA, ZarrView

from .answer import JSON, Answer
from .context import Context
from .job import FileJob
from .places import NOT_FOUND, Place
from .ranges import asked_range


@dataclass(frozen=True)
class ReadKey(FileJob):
    """What stands behind a key.

    Parameters
    ----------
    file
        The address of the file, and behind it the key.
    asked
        The header ``Range``; empty for all of it.
    """

    asked: str = ""

    def answer(self, context: Context) -> Answer:
        place, key = self._split(context)
        view = view_of(context, place)
        with results_in(context.room):
            value = view.value(key)
        if value is None:
            raise Failure(404, f"there is no key {key!r} in {place.address}")
        body = memoryview(value)
        media_type = JSON if key.endswith(METADATA) else "application/octet-stream"
        headers = {"Accept-Ranges": "bytes"}
        wanted = asked_range(self.asked, len(body))
        if wanted is None:
            is_lasting = media_type == JSON and place.is_settled and not view.file.leads_elsewhere
            lasts_with = place.address if is_lasting else ""
            return Answer(body, media_type, headers, length=len(body), tag=place.tag, lasts_with=lasts_with)
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{len(body)}"
        return Answer(body[wanted.start : wanted.stop], media_type, headers, 206, length=len(wanted), tag=place.tag)

    def _split(self, context: Context) -> tuple[Place, str]:
        """The file, which is the first on the way that is one, and the key in it."""
        names = self.file.split("/")
        for count in range(1, len(names)):
            try:
                return context.place("/".join(names[:count])), "/".join(names[count:])
            except Failure:
                continue
        raise Failure(404, NOT_FOUND.format(address=self.file))


def view_of(context: Context, place: Place) -> ZarrView:
    """The view of a file in its present state."""
    kept = context.views.get(place)
    if kept is None:
        kept = ZarrView(context.file(place))
        _ = kept.hierarchy
        context.views.put(place, kept, 1)
    return kept
