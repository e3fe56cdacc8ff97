"""What a folder holds: folders and HDF5 files by their names, none of which is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nexus_xr.nexus.rules.reserved import EXTENSIONS
from nexus_xr.opening.files import natural_order
from nexus_xr.server.failures import Failure, denied

from .answer import Answer, json_answer
from .context import Context
from .served_files import NOT_FOUND, is_served, is_shown, resolved

_EXTENSIONS = (*EXTENSIONS, ".h5", ".hdf5", ".hdf", ".he5", ".cxi", ".nxspe", ".nc", ".nc4")


@dataclass(frozen=True)
class ListFolder:
    """Some of what a folder holds.

    Parameters
    ----------
    folder
        Its address; empty for what is served.
    offset, limit
        Which of it: so many are left out before the first, and so many are told of at most.
    """

    folder: str
    offset: int = 0
    limit: int = 1000

    def answer(self, context: Context) -> Answer:
        folders = context.settings.folders
        if len(folders) > 1 and not self.folder.strip("/"):
            items: list[dict[str, Any]] = [{"name": each.name, "kind": "folder"} for each in folders]
            return json_answer(self._page(items, items))
        path = resolved(folders, self.folder)
        roots = [each.path for each in folders if is_served(each.path, path)]
        try:
            with os.scandir(path) as entries:
                shown = sorted(_shown(entries, roots), key=lambda each: natural_order(each[0]))
        except PermissionError:
            raise denied(self.folder.strip("/")) from None
        except OSError:
            raise Failure(404, NOT_FOUND.format(address=self.folder)) from None
        chosen = shown[self.offset : self.offset + self.limit]
        return json_answer(self._page(shown, [_item(path, *each) for each in chosen]))

    def _page(self, all_items: Sequence[Any], chosen: Sequence[Any]) -> dict[str, Any]:
        return {"folder": self.folder.strip("/"), "total": len(all_items), "offset": self.offset, "items": chosen}


def _shown(entries: Iterator[os.DirEntry[str]], roots: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Names of what is shown, and whether each is a folder."""
    for entry in entries:
        if not is_shown(entry.name) or (entry.is_symlink() and not _stays_within(entry.path, roots)):
            continue
        with suppress(OSError):  # such as a link to itself, which is neither
            if entry.is_dir():
                yield entry.name, True
            elif os.path.splitext(entry.name)[1].lower() in _EXTENSIONS and entry.is_file():
                yield entry.name, False


def _stays_within(path: str, roots: Sequence[str]) -> bool:
    real = os.path.realpath(path)
    return any(is_served(root, real) for root in roots)


def _item(path: str, name: str, is_folder: bool) -> dict[str, Any]:
    if is_folder:
        return {"name": name, "kind": "folder"}
    try:
        found = os.stat(os.path.join(path, name))
    except OSError:  # it is gone since
        return {"name": name, "kind": "file", "size": None, "modified": None}
    modified = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
    return {"name": name, "kind": "file", "size": found.st_size, "modified": modified}
