"""Folders that are Zarr stores, and nothing else: all that is written into a folder, and that replaces one.

Source: the Zarr core specification, version 3 (documents, default chunk keys), and version 2.
"""

from __future__ import annotations

import os
import re

from nexus_xr.errors import NexusError

# What a node of a hierarchy is known by, in versions 3 and 2 of Zarr.
DOCUMENTS = frozenset({"zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata"})
# The last part of a chunk's key: `c/3/0` and `c.3.0`, in version 2 also `3.0`; `c` of a chunk without dimensions. And
# what zarr writes a document or a chunk under before it renames that, which a writer that was killed leaves.
_CHUNK = re.compile(r"(c\.)?\d+(\.\d+)*|c|.+\.[0-9a-f]{32}\.partial")


def refuse_others(folder: str) -> None:
    """Raise an error where a folder holds what isn't of a Zarr store, and would be lost with it.

    Examples
    --------
    >>> os.mkdir("results")
    >>> refuse_others("results")  # an empty one is as good as none
    >>> _ = open("results/notes.txt", "w").write("of last night")
    >>> refuse_others("results")
    Traceback (most recent call last):
    nexus_xr.errors.NexusError: results: isn't replaced, as it holds notes.txt, which is of no Zarr store; choose ...
    """
    is_store = any(os.path.isfile(os.path.join(folder, name)) for name in DOCUMENTS)
    for within, _, files in os.walk(folder):
        for name in files:
            if name not in DOCUMENTS and not (is_store and _CHUNK.fullmatch(name)):
                found = os.path.relpath(os.path.join(within, name), folder)
                raise NexusError(
                    f"{folder}: isn't replaced, as it holds {found}, which is of no Zarr store; choose another place, "
                    "or move that away"
                )
