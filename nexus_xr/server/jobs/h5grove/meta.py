"""What an object is, as h5grove says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Node
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.session import Opening
from nexus_xr.server.jobs.answer import Answer, json_answer
from nexus_xr.server.jobs.context import Context

from .entities import Entity, EntityJob
from .types import type_metadata


@dataclass(frozen=True)
class DescribeEntity(EntityJob):
    """Name, kind and attributes; of a group its members, of a dataset how it is stored."""

    def answer(self, context: Context) -> Answer:
        return self.answered(context, self._described)

    def _described(self, opening: Opening, entity: Entity) -> Answer:
        name = "" if self.path == "/" else self.path.split("/")[-1] or absolute(self.path).rpartition("/")[2]
        described = _described(name, entity)
        if isinstance(entity, Group):
            described["children"] = [_described(child, member) for child, member, _ in entity.members()]
        return json_answer(described)


def _described(name: str, entity: Entity) -> dict[str, Any]:
    if isinstance(entity, Group):
        return {"attributes": _attributes(entity), "kind": "group", "name": name}
    if isinstance(entity, Dataset):
        return {"attributes": _attributes(entity), "kind": "dataset", "name": name, **_dataset(entity)}
    return {"name": name, **_link(entity)}


def _attributes(node: Node) -> list[dict[str, Any]]:
    types = sorted(node.attribute_types().items())
    return [{"name": name, "shape": its.shape, "type": type_metadata(its.encoded)} for name, its in types]


def _dataset(dataset: Dataset) -> dict[str, Any]:
    storage = dataset.storage
    rank = len(dataset.extent)
    return {
        "chunks": None if storage.chunks is None else storage.chunks[:rank],
        "filters": [{"id": step.id, "name": step.name} for step in storage.filters] or None,
        "shape": None if dataset.is_null else dataset.extent,
        "type": type_metadata(dataset.encoded_type),
    }


def _link(link: Link) -> dict[str, Any]:
    if link.file is None:
        return {"kind": "soft_link", "target_path": link.path}
    return {"kind": "external_link", "target_file": link.file, "target_path": link.path}
