"""What a folder holds: folders and HDF5 files by their names, none of which is opened."""

from __future__ import annotations

import os
from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nexus_xr.nexus.rules.reserved import EXTENSIONS
from nexus_xr.opening.files import natural_order
from nexus_xr.server.failures import Failure, denied

from .answer import Answer, json_answer
from .context import Context, Entry, Listing
from .served_files import is_served, is_settled, is_shown, resolved, state_of, unfound

_IS_FILE = "File not found! {address!r} is no folder, but a file; /api/meta says what is in it"
_IS_GONE = "File not found! The folder that is served is gone; ask again once it is there"
# Of an entry that is placed among others in order, which it is compared with, in those of one that is sorted with all.
_COST_OF_PLACING = 16
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
        except FileNotFoundError as error:
            raise (Failure(404, _IS_GONE) if path in roots else unfound(self.folder, error)) from None
        except OSError as error:
            raise unfound(self.folder, error) from None
        shown = [*_followed(path, entries, roots)] if any(each.is_link for each in entries) else entries
        chosen = shown[self.offset : self.offset + self.limit]
        return json_answer(self._page(shown, [_item(path, each) for each in chosen]))

    def _page(self, all_items: Sequence[Any], chosen: Sequence[Any]) -> dict[str, Any]:
        return {"folder": self.folder.strip("/"), "total": len(all_items), "offset": self.offset, "items": chosen}


def _entries(path: str, context: Context) -> Sequence[Entry]:
    """What is in a folder in the order of names, found out once for as long as nothing is put there or taken away."""
    state = state_of(os.stat(path))
    kept = context.listings.get(path)
    if kept is not None and kept.state == state:
        return kept.entries
    lasting = state if is_settled(state) else None
    with os.scandir(path) as found:
        entries = _in_order(set(_shown(found)), () if kept is None else kept.entries)
    context.listings.put(path, Listing(lasting, entries), len(entries) + 1)
    return entries


def _in_order(entries: set[Entry], before: Sequence[Entry]) -> Sequence[Entry]:
    """The entries of a folder in the order of names, many of which may have been there before, in that order."""
    ordered = [each for each in before if each in entries]
    new = entries.difference(ordered)
    if len(new) * _COST_OF_PLACING > len(ordered):
        return sorted(entries, key=_place)
    for each in new:
        insort(ordered, each, key=_place)
    return ordered


def _place(entry: Entry) -> tuple[list[Any], str]:
    """What entries are put in order by: names that differ in padding alone have one place in the natural order."""
    return natural_order(entry.name), entry.name


def _shown(found: Iterator[os.DirEntry[str]]) -> Iterator[Entry]:
    """Folders, files whose names are those of HDF5 files, and links."""
    for entry in found:
        name = entry.name
        if not is_shown(name):
            continue
        try:
            if entry.is_symlink():
                yield Entry(name, False, True)
            elif _has_extension(name) and entry.is_file():
                yield Entry(name, False)
            elif entry.is_dir():
                yield Entry(name, True)
        except OSError:  # it is gone since
            continue


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
    return name.lower().endswith(_EXTENSIONS)


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
