"""What there is at a path of a file: members, attributes, small values, and what the data rules make of a group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from nexus_xr.diagnostics import Diagnostic
from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.classes.table import class_of
from nexus_xr.nexus.rules.attributes import nx_class
from nexus_xr.nexus.rules.content import GroupContent
from nexus_xr.nexus.rules.variables import Variable
from nexus_xr.nexus.tree.find import absolute, default_data, explain_path
from nexus_xr.nexus.tree.scan import Found
from nexus_xr.opening.select import Opening
from nexus_xr.server.failures import Failure, without_places
from nexus_xr.server.settings import Folder

from .answer import Answer, json_answer
from .context import Context
from .element_types import told_type
from .job import FileJob
from .unreadable import check_readable

# Values of at most so many bytes are shown with the field that has them.
_SHOWN_BYTES = 1024
# What one answer may describe.
_MOST_OBJECTS = 20_000


@dataclass(frozen=True)
class ReadMeta(FileJob):
    """What there is at a path.

    Parameters
    ----------
    path
        The path in the file.
    depth
        How many levels of members are described below it.
    """

    path: str = "/"
    depth: int = 1

    def answer(self, context: Context) -> Answer:
        place = context.place(self.file)
        work = partial(self._answer, place.tag, context.settings.folders)
        return context.answer(place, replace(self, tag="", part=0), work)

    def _answer(self, tag: str, folders: tuple[Folder, ...], opening: Opening) -> tuple[Answer, bool]:
        description = _Description(opening)
        path = absolute(self.path)
        found = opening.root.find(path)
        content = {"file": self.file, **description.of(path, found, self.depth)}
        if isinstance(found, Group):
            content |= description.data_of(found)
        if path == "/":
            default = default_data(opening.root)
            content["default"] = None if default is None else default.path
        content["diagnostics"] = [_told(each, folders) for each in opening.diagnostics]
        alone = not description.leads_elsewhere and not opening.file.leads_elsewhere
        return json_answer(content, tag), alone


@dataclass
class _Description:
    """Describes the objects of an open file, as many as an answer may have."""

    opening: Opening
    count: int = 0
    leads_elsewhere: bool = False
    _open: set[Any] = field(default_factory=set)

    def of(self, path: str, found: Group | Dataset | Link | None, depth: int) -> dict[str, Any]:
        self.count += 1
        if self.count > _MOST_OBJECTS:
            raise Failure(413, f"more than {_MOST_OBJECTS} objects; ask for less depth, or for a path further down")
        name = path.rpartition("/")[2]
        if isinstance(found, Group):
            return {"name": name, "path": path, "kind": "group", **self._group(found, depth)}
        if isinstance(found, Dataset):
            return {"name": name, "path": path, "kind": "dataset", **self._dataset(found)}
        if isinstance(found, Link):
            self.leads_elsewhere |= found.file is not None
            return {"name": name, "path": path, "kind": "link", "target": str(found), "trouble": found.trouble}
        check_readable(self.opening, path)
        why = explain_path(self.opening.root, path)
        raise Failure(404, f"{path} is not a valid path: {why}; name one that is there")

    def _group(self, group: Group, depth: int) -> dict[str, Any]:
        attributes = group.read_attributes()
        described: dict[str, Any] = {"nx_class": nx_class(attributes), "attributes": attributes}
        if depth > 0 and group.address not in self._open:
            self._open.add(group.address)
            members = [(name, member) for name, member, _ in group.members()]
            described["members"] = [self.of(group.member_path(name), member, depth - 1) for name, member in members]
            self._open.discard(group.address)
        return described

    def _dataset(self, dataset: Dataset) -> dict[str, Any]:
        storage = dataset.storage
        self.leads_elsewhere |= dataset.is_virtual
        described: dict[str, Any] = {
            "shape": None if dataset.is_null else dataset.shape,
            "dtype": told_type(dataset.raw_dtype),
            "attributes": dataset.read_attributes(),
            "layout": storage.layout,
            "chunks": storage.chunks,
            "filters": [{"id": step.id, "name": step.name, "options": step.options} for step in storage.filters],
        }
        if dataset.nbytes <= _SHOWN_BYTES and dataset.why_no_array is None and not dataset.is_virtual:
            described["value"] = self._value(dataset)
        return described

    def _value(self, dataset: Dataset) -> Any:
        try:
            return read_whole(dataset)
        except SystemFaultError:
            raise
        except AnyHdf5Error as error:
            return {"trouble": f"the value can't be read ({error})"}

    def data_of(self, group: Group) -> dict[str, Any]:
        """What the data rules make of a group, where it holds data."""
        if not class_of(group.read_attributes()).holds_data and "signal" not in group.read_attributes():
            return {}
        described = self.opening.describe(Found(group.path, True))
        self.opening.diagnostics.extend(described.data.diagnostics)
        variables = [_variable(each, described.content) for each in described.data.variables]
        shown = described.data.default_slice
        return {"data": {"signal": described.data.signal, "variables": variables, "default_slice": shown}}


def _variable(variable: Variable, content: GroupContent) -> Mapping[str, Any]:
    its = content.fields[variable.field]
    scaling = variable.scaling
    return {
        "name": variable.name,
        "field": variable.field,
        "segments": its.segments,
        "role": variable.role.value,
        "dims": variable.dims,
        "shape": its.shape,
        "bounds": variable.bounds,
        "scaling": None if scaling is None else {"factor": scaling.factor, "offset": scaling.offset},
    }


def _told(diagnostic: Diagnostic, folders: tuple[Folder, ...]) -> dict[str, str]:
    message = without_places(diagnostic.message, folders)
    return {"code": str(diagnostic.code), "path": diagnostic.path, "rule": diagnostic.rule, "message": message}
