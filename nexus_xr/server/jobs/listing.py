"""What a folder holds: folders and HDF5 files by their names, none of which is opened."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nexus_xr.nexus.rules.reserved import EXTENSIONS
from nexus_xr.opening.files import natural_order
from nexus_xr.server.failures import Failure, denied

from .answer import Answer, json_answer
from .context import Context, Entry
from .served_files import NOT_FOUND, is_served, is_settled, is_shown, resolved, state_of

_IS_FILE = "File not found! {address!r} is no folder, but a file; /api/meta says what is in it"
_IS_GONE = "File not found! The folder that is served is gone; ask again once it is there"
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
            entries = _entries(path, context)
        except PermissionError:
            raise denied(self.folder.strip("/")) from None
        except NotADirectoryError:
            raise Failure(404, _IS_FILE.format(address=self.folder.strip("/"))) from None
        except OSError:
            raise Failure(404, NOT_FOUND.format(address=self.folder) if path not in roots else _IS_GONE) from None
        shown = [*_followed(path, entries, roots)] if any(each.is_link for each in entries) else entries
        chosen = shown[self.offset : self.offset + self.limit]
        return json_answer(self._page(shown, [_item(path, each) for each in chosen]))

    def _page(self, all_items: Sequence[Any], chosen: Sequence[Any]) -> dict[str, Any]:
        return {"folder": self.folder.strip("/"), "total": len(all_items), "offset": self.offset, "items": chosen}


def _entries(path: str, context: Context) -> Sequence[Entry]:
    """What is in a folder in the order of names, found out once for as long as nothing is put there or taken away."""
    state = state_of(os.stat(path))
    kept = context.listings.get((path, state))
    if kept is not None:
        return kept
    is_to_last = is_settled(state)
    with os.scandir(path) as found:
        entries = sorted(_shown(found), key=lambda each: natural_order(each.name))
    if is_to_last:
        context.listings.put((path, state), entries, len(entries) + 1)
    return entries


def _shown(found: Iterator[os.DirEntry[str]]) -> Iterator[Entry]:
    """Folders, files whose names are those of HDF5 files, and links."""
    for entry in found:
        if not is_shown(entry.name):
            continue
        if entry.is_symlink():
            yield Entry(entry.name, False, True)
            continue
        with suppress(OSError):  # it is gone since
            if entry.is_dir():
                yield Entry(entry.name, True)
            elif _has_extension(entry.name) and entry.is_file():
                yield Entry(entry.name, False)


def _followed(path: str, entries: Iterable[Entry], roots: Sequence[str]) -> Iterator[Entry]:
    """The same with what links lead to at present, where that is served."""
    for entry in entries:
        if not entry.is_link:
            yield entry
            continue
        leads_to = os.path.join(path, entry.name)
        if _stays_within(leads_to, roots):
            is_folder = os.path.isdir(leads_to)
            if is_folder or (_has_extension(entry.name) and os.path.isfile(leads_to)):
                yield Entry(entry.name, is_folder)


def _has_extension(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in _EXTENSIONS


def _stays_within(path: str, roots: Sequence[str]) -> bool:
    real = os.path.realpath(path)
    return any(is_served(root, real) for root in roots)


def _item(path: str, entry: Entry) -> dict[str, Any]:
    name = entry.name
    if entry.is_folder:
        return {"name": name, "kind": "folder"}
    try:
        found = os.stat(os.path.join(path, name))
    except OSError:  # it is gone since
        return {"name": name, "kind": "file", "size": None, "modified": None}
    modified = datetime.fromtimestamp(found.st_mtime, UTC).isoformat(timespec="seconds")
    return {"name": name, "kind": "file", "size": found.st_size, "modified": modified}
