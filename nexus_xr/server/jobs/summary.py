"""What a file is about: title, start, default plot and its shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.tree.find import default_data, entry_of
from nexus_xr.nexus.tree.scan import Found
from nexus_xr.opening.select import Opening

from .answer import Answer, json_answer
from .context import Context
from .job import FileJob

_MOST_TEXT_BYTES = 4096


@dataclass(frozen=True)
class ReadSummary(FileJob):
    """What a file is about."""

    def answer(self, context: Context) -> Answer:
        place = context.place(self.file)
        return context.answer(place, replace(self, tag="", part=0), partial(_answer, place.tag))


def _answer(tag: str, opening: Opening) -> tuple[Answer, bool]:
    default = default_data(opening.root)
    entry = entry_of(opening.root, default) if default is not None else _first_group(opening.root)
    content: dict[str, Any] = {
        "title": _text(entry, "title"),
        "start": _text(entry, "start_time"),
        "default": None if default is None else default.path,
        "signal": None,
        "shape": None,
    }
    if default is not None:
        content |= _signal(opening, default.path)
    return json_answer(content, tag), not opening.file.leads_elsewhere and not opening.file.left_to_libhdf5


def _first_group(root: Group) -> Group:
    return next((member for _, member, _ in root.members() if isinstance(member, Group)), root)


def _text(group: Group, name: str) -> str | None:
    """The value of a field of text, None where it isn't one or can't be read."""
    member = group.get(name)
    if not isinstance(member, Dataset) or member.size != 1 or member.nbytes > _MOST_TEXT_BYTES:
        return None
    try:
        value = read_whole(member)
    except SystemFaultError:
        raise
    except AnyHdf5Error:
        return None
    return value if isinstance(value, str) else None


def _signal(opening: Opening, path: str) -> dict[str, Any]:
    described = opening.describe(Found(path, True))
    signal = described.data.signal
    shape = None if signal is None else described.content.fields[signal].shape
    return {"signal": signal, "shape": shape}
