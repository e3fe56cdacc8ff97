"""What an object is, as h5grove says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Node
from nexus_xr.nexus.tree.find import absolute
from nexus_xr.opening.fields.stored import ScaledArray
from nexus_xr.opening.select import Opening
from nexus_xr.server.jobs.answer import Answer, json_answer
from nexus_xr.server.jobs.context import Context

from .entities import Entity, EntityJob
from .plotted import PLOTTED, PlottedField, is_title, plotted_at, plotted_fields, told_attributes


@dataclass(frozen=True)
class DescribeEntity(EntityJob):
    """Name, kind and attributes; of a group its members, of a dataset how it is stored."""

    def answer(self, context: Context) -> Answer:
        return self.answered(context, self._described)

    def _described(self, opening: Opening, entity: Entity) -> Answer:
        name = "" if self.path == "/" else self.path.split("/")[-1] or absolute(self.path).rpartition("/")[2]
        described = self._one(opening, name, entity)
        if self.told == PLOTTED and isinstance(entity, Dataset):
            field = plotted_at(opening, self.path)
            described = described if field is None else _plotted(name, field)
        if isinstance(entity, Group):
            plotted = plotted_fields(opening, entity) if self.told == PLOTTED else {}
            children = {child: self._one(opening, child, member) for child, member, _ in entity.members()}
            children |= {child: _plotted(child, field) for child, field in plotted.items()}
            described["children"] = list(children.values())
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


def _plotted(name: str, field: PlottedField) -> dict[str, Any]:
    """A field that isn't plotted as it is stored."""
    described = {**_described(name, field.dataset), "shape": field.values.shape}
    return {**described, "type": _type_of(field.values.dtype)} if isinstance(field.values, ScaledArray) else described


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


def _type_of(told: bytes | np.dtype[Any] | None = None) -> dict[str, Any]:
    """What a datatype of a file is, or of a dtype, or text of any length; libhdf5 knows, which workers alone have."""
    from .types import dtype_metadata, text_metadata, type_metadata

    if told is None:
        return text_metadata()
    return type_metadata(told) if isinstance(told, bytes) else dtype_metadata(told)


def _link(link: Link) -> dict[str, Any]:
    if link.file is None:
        return {"kind": "soft_link", "target_path": link.path}
    return {"kind": "external_link", "target_file": link.file, "target_path": link.path}
