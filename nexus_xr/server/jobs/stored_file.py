"""A file as it is stored: whole, or ranges of its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO

from nexus_xr.hdf5.io.source import LocalSource
from nexus_xr.hdf5.io.superblock import has_hdf5_signature
from nexus_xr.server.failures import Failure

from .answer import Answer
from .context import Context
from .job import FileJob
from .ranges import asked_range, no_such_bytes, part_of, parts_of
from .served_files import ServedFile

MEDIA_TYPE = "application/x-hdf5"


@dataclass(frozen=True)
class ReadFile(FileJob):
    """Bytes of a file.

    Parameters
    ----------
    asked
        The header ``Range``; empty for all of it.
    condition
        The header ``If-Range``: the state for which the range is asked; empty for any.
    """

    asked: str = ""
    condition: str = ""

    def answer(self, context: Context) -> Answer:
        place = context.place(self.file, self.tag)
        with context.opened(place) as stream:
            if not has_hdf5_signature(stream):
                raise Failure(415, f"{place.address} isn't an HDF5 file; others aren't served")
            return self._of(place, stream, context)

    def _of(self, place: ServedFile, stream: BinaryIO, context: Context) -> Answer:
        # A date counts whole seconds: one that another state may have, too, isn't told, for clients to know it by.
        modified = formatdate(place.state[3] // 10**9, usegmt=True) if place.is_settled else ""
        wanted = asked_range(self.asked, place.size, self.condition, place.tag, modified)
        if wanted is not None and not wanted:
            return no_such_bytes(self.asked, place.size, place.tag)
        asked = range(place.size) if wanted is None else wanted
        headers = {"Accept-Ranges": "bytes", **({"Last-Modified": modified} if modified else {})}
        if wanted is not None:
            headers["Content-Range"] = f"bytes {asked.start}-{asked.stop - 1}/{place.size}"
        part = part_of(asked, self.part)
        body = context.room_for(len(part))
        if LocalSource(place.address, stream.fileno(), place.size).read_into(body, part.start) < len(part):
            raise Failure(500, f"{place.address} ended while it was sent; ask for it again")
        status = 200 if wanted is None else 206
        return Answer(body, MEDIA_TYPE, headers, status, parts_of(asked), len(asked), place.tag)
