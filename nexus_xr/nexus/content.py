"""A group as the data rules see it: names, shapes and attributes, and no values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..hdf5.objects import Dataset, Group, Link


@dataclass(frozen=True)
class Field:
    """What the rules need to know of a field."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def is_numeric(self) -> bool:
        return self.dtype.kind in "biufc"


@dataclass(frozen=True)
class GroupContent:
    """A group as the rules see it.

    Parameters
    ----------
    path
        Path of the group, for messages.
    attributes
        Its attributes.
    fields
        Its datasets.
    others
        Why each other member is no field, by name: it is a group, or a link that leads nowhere.
    """

    path: str
    attributes: Mapping[str, Any]
    fields: Mapping[str, Field]
    others: Mapping[str, str] = field(default_factory=dict)


def read_content(group: Group) -> GroupContent:
    """Read what the rules need of a group: its attributes, and the shapes, types and attributes of its fields."""
    fields: dict[str, Field] = {}
    others: dict[str, str] = {}
    for name, member, _ in group.members():
        if isinstance(member, Dataset) and not member.is_null:
            fields[name] = Field(member.shape, member.stored_dtype, member.read_attributes())
        elif isinstance(member, Dataset):
            others[name] = "has no data (a null dataspace)"
        elif isinstance(member, Link):
            others[name] = f"is a link to {member}, which is not there"
        else:
            others[name] = "is a group"
    return GroupContent(group.path, group.read_attributes(), fields, others)


def why_no_field(content: GroupContent, name: str) -> str:
    """Why a name that an attribute gives is no field of the group."""
    return content.others.get(name, "is not there")
