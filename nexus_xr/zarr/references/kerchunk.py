"""References as kerchunk writes them.

Source: the specification of kerchunk's references, version 1.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.errors import warn_once
from nexus_xr.zarr.hierarchy import Hierarchy
from nexus_xr.zarr.metadata import encoded, node_document
from nexus_xr.zarr.view import METADATA, ZarrView, chunk_key, join

from .byte_ranges import ByteRange, ByteRanges, NoReferencesError, byte_ranges_of

_VERSION = 1
HEADING = "some arrays can't be referred to, and are left out"


def found_ranges(
    view: ZarrView, names: Iterable[str], most_inline: int, diagnostics: Diagnostics
) -> dict[str, ByteRanges]:
    """Where the chunks of arrays are, by the arrays' paths, of those that can be referred to."""
    found = {}
    for name in names:
        try:
            found[name] = byte_ranges_of(view.hierarchy.arrays[name], most_inline)
        except NoReferencesError as error:
            diagnostics.add(Code.NO_REFERENCE, f"/{name}", str(error))
    return found


def kerchunk_references(view: ZarrView, most_inline: int) -> dict[str, Any]:
    """The references of a whole file.

    Parameters
    ----------
    view
        The file.
    most_inline
        As for the byte ranges of an array's chunks.
    """
    diagnostics = Diagnostics()
    found = found_ranges(view, view.hierarchy.arrays, most_inline, diagnostics)
    shown = Hierarchy(view.hierarchy.groups, {path: view.hierarchy.arrays[path] for path in found})
    documents = ((path, node_document(shown, path)) for path in (*shown.groups, *shown.arrays))
    references: dict[str, Any] = {
        join(path, METADATA): encoded(document).decode() for path, document in documents if document is not None
    }
    for path, ranges in found.items():
        references |= {chunk_key(path, coordinate): _reference(value) for coordinate, value in ranges.items()}
    warn_once(f"{view.file.name}: {HEADING}", diagnostics)
    return {"version": _VERSION, "refs": references}


def _reference(value: Any) -> list[str | int] | str:
    return list(value) if isinstance(value, ByteRange) else f"base64:{base64.b64encode(value).decode()}"
