"""What an object is, as h5grove says it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Node
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.select import Opening
from nexus_xr.server.jobs.answer import Answer, json_answer
from nexus_xr.server.jobs.context import Context

from .entities import Entity, EntityJob
from .plotted import PLOTTED, is_title, joined_at, joined_names, told_attributes


@dataclass(frozen=True)
class DescribeEntity(EntityJob):
    """Name, kind and attributes; of a group its members, of a dataset how it is stored."""

    def answer(self, context: Context) -> Answer:
        return self.answered(context, self._described)

    def _described(self, opening: Opening, entity: Entity) -> Answer:
        name = "" if self.path == "/" else self.path.split("/")[-1] or absolute(self.path).rpartition("/")[2]
        described = self._one(opening, name, entity)
        if isinstance(entity, Group):
            described["children"] = [self._one(opening, child, member) for child, member, _ in entity.members()]
            described["children"] += self._joined(opening, entity)
        return json_answer(described)

    def _one(self, opening: Opening, name: str, entity: Entity) -> dict[str, Any]:
        described = _described(name, entity)
        if self.told == PLOTTED and isinstance(entity, Group):
            stored = {each["name"]: each for each in described["attributes"]}
            described["attributes"] = [
                value if value is stored.get(name) else _told(name, value)
                for name, value in told_attributes(opening, entity, stored).items()
            ]
        elif self.told == PLOTTED and isinstance(entity, Dataset) and is_title(entity):
            described["shape"] = ()
        return described

    def _joined(self, opening: Opening, group: Group) -> Iterator[dict[str, Any]]:
        """The fields that are stored in several datasets."""
        for name in joined_names(opening, group) if self.told == PLOTTED else ():
            joined = joined_at(opening, group.member_path(name))
            if joined is not None:
                values, first = joined
                yield {**_described(name, first), "shape": values.shape}


def _described(name: str, entity: Entity) -> dict[str, Any]:
    if isinstance(entity, Group):
        return {"attributes": _attributes(entity), "kind": "group", "name": name}
    if isinstance(entity, Dataset):
        return {"attributes": _attributes(entity), "kind": "dataset", "name": name, **_dataset(entity)}
    return {"name": name, **_link(entity)}


def _told(name: str, value: str | list[str]) -> dict[str, Any]:
    """An attribute that is told in place of what is stored."""
    return {"name": name, "shape": () if isinstance(value, str) else (len(value),), "type": _type_of()}


def _attributes(node: Node) -> list[dict[str, Any]]:
    types = sorted(node.attribute_types().items())
    return [{"name": name, "shape": its.shape, "type": _type_of(its.encoded)} for name, its in types]


def _dataset(dataset: Dataset) -> dict[str, Any]:
    storage = dataset.storage
    rank = len(dataset.extent)
    return {
        "chunks": None if storage.chunks is None else storage.chunks[:rank],
        "filters": [{"id": step.id, "name": step.name} for step in storage.filters] or None,
        "shape": None if dataset.is_null else dataset.extent,
        "type": _type_of(dataset.encoded_type),
    }


def _type_of(encoded: bytes | None = None) -> dict[str, Any]:
    """What a datatype is, or text of any length; libhdf5 is asked for it, which workers alone have."""
    from .types import text_metadata, type_metadata

    return text_metadata() if encoded is None else type_metadata(encoded)


def _link(link: Link) -> dict[str, Any]:
    if link.file is None:
        return {"kind": "soft_link", "target_path": link.path}
    return {"kind": "external_link", "target_file": link.file, "target_path": link.path}
