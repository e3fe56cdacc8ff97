"""A group as the data rules see it: names, shapes and attributes, and no values."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link

from .attributes import integers, names, text
from .reserved import (
    ANCILLARY,
    COORDINATES,
    DIMENSIONS,
    ERRORS,
    INDICES,
    OFFSET,
    SCALING_FACTOR,
    SIGNAL_ERRORS,
    listed,
    owner_of,
)

_IS_GROUP = "is a group"


@dataclass(frozen=True)
class Field:
    """What the rules need to know of a field.

    Parameters
    ----------
    shape, dtype, attributes
        Those of the dataset.
    segments
        Names of the datasets that it is made of, one behind the other, where it isn't one of its own.
    can_grow
        Of a dataset that is being written, or was when it was opened first, which of its dimensions have no end; none
        of another.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    can_grow: tuple[bool, ...] = ()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def is_numeric(self) -> bool:
        return self.dtype.kind in "biufc"

    def grows_along(self, dim: int) -> bool:
        """Whether one of its dimensions grows."""
        return any(self.can_grow[dim : dim + 1])

    def will_be_like(self, other: Field) -> bool:
        """Whether it is of the shape of another, or is as soon as both have grown as long."""
        lengths = zip(self.shape, other.shape, strict=False)
        return self.ndim == other.ndim and all(
            a == b or (self.grows_along(dim) and other.grows_along(dim)) for dim, (a, b) in enumerate(lengths)
        )

    @property
    def recorded_dims(self) -> tuple[str, ...] | None:
        """The names that it gives its dimensions, None where it gives none."""
        dims = listed(self.attributes.get(DIMENSIONS))
        return dims if len(dims) == self.ndim > 0 and len(set(dims)) == len(dims) else None


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
        Its datasets, and by their paths those below it that it names so.
    others
        Why each other member is no field, by name: it is a group, or a link that leads nowhere.
    is_being_written
        Whether any of its fields is in a file that is being written.
    axes_told_by
        What lists its axes, for messages: its attribute, or its class.
    """

    path: str
    attributes: Mapping[str, Any]
    fields: Mapping[str, Field]
    others: Mapping[str, str] = field(default_factory=dict)
    is_being_written: bool = False
    axes_told_by: str = "@axes"

    @cached_property
    def growing(self) -> tuple[str, ...]:
        """The fields that can grow, or could."""
        return tuple(name for name, field in self.fields.items() if any(field.can_grow))

    @cached_property
    def unreadable(self) -> tuple[str, ...]:
        """The members that are neither fields nor groups: links that lead nowhere, and what is no array."""
        return tuple(name for name, reason in self.others.items() if reason != _IS_GROUP)

    @cached_property
    def signal_numbers(self) -> Mapping[str, int]:
        """``@signal`` of the fields that have one."""
        found = ((name, integers(field.attributes.get("signal"))) for name, field in self.fields.items())
        return {name: numbers[0] for name, numbers in found if numbers}

    @cached_property
    def signal_candidates(self) -> tuple[str, ...]:
        """The fields that aren't said or named to belong to another one."""
        belonging = {*names(self.attributes.get("axes"), self.fields), SIGNAL_ERRORS, "title"}
        belonging |= {name for name, field in self.fields.items() if "axis" in field.attributes}
        belonging |= {name for name in self.fields if name + INDICES in self.attributes}
        belonging |= {name + suffix for name in self.fields for suffix in (ERRORS, SCALING_FACTOR, OFFSET)}
        return tuple(name for name in self.fields if name not in belonging)

    @cached_property
    def auxiliary_signals(self) -> tuple[str, ...]:
        """The names in ``@auxiliary_signals``."""
        return names(self.attributes.get("auxiliary_signals"), self.fields)

    @cached_property
    def placed(self) -> Container[str | None]:
        """The names of which the group says what they are, whatever they suggest."""
        told = (self.auxiliary_signals, self.indices, self.recorded_coordinates, self.recorded_data)
        return {text(self.attributes.get("signal")), *(name for each in told for name in each)}

    @cached_property
    def axis_numbers(self) -> Mapping[str, tuple[int, ...]]:
        """``@axis`` of the fields that have one."""
        found = ((name, integers(field.attributes.get("axis"))) for name, field in self.fields.items())
        return {name: numbers for name, numbers in found if numbers}

    @cached_property
    def indices(self) -> Mapping[str, tuple[int, ...]]:
        """``@AXISNAME_indices`` of the group, by the name of the field."""
        named = (owner_of(name, INDICES, self.fields) for name in self.attributes)
        found = ((name, integers(self.attributes[name + INDICES])) for name in named if name is not None)
        return {name: numbers for name, numbers in found if numbers is not None}

    @cached_property
    def recorded_coordinates(self) -> tuple[str, ...]:
        """The fields that the group names as coordinates."""
        return self._recorded(COORDINATES)

    @cached_property
    def recorded_data(self) -> tuple[str, ...]:
        """The fields that the group names as data beside its signals."""
        return self._recorded(ANCILLARY)

    def _recorded(self, attribute: str) -> tuple[str, ...]:
        """The fields that an attribute lists, by their names as they are or in any way in which NeXus lists names."""
        value = self.attributes.get(attribute)
        told = listed(value) if self.fields.keys() >= set(listed(value)) else names(value)
        return tuple(name for name in told if name in self.fields)

    @cached_property
    def recorded_lengths(self) -> Mapping[str, int]:
        """Lengths of the dimensions that data records by name, as their coordinates may have edges."""
        coordinates = set(self.recorded_coordinates)
        data = (field for name, field in self.fields.items() if name not in coordinates)
        each = (zip(field.recorded_dims or (), field.shape, strict=False) for field in data)
        return {dim: length for pairs in each for dim, length in pairs}

    @cached_property
    def holds_coordinates_alone(self) -> bool:
        """Whether the group says that all its fields are coordinates."""
        return bool(self.recorded_coordinates) and set(self.recorded_coordinates) == self.fields.keys()

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each field."""
        return {name: field.shape for name, field in self.fields.items()}

    @cached_property
    def without_slashes(self) -> Mapping[str, str]:
        """What fields that are named by their paths are called instead, as no tree of xarray's takes a slash."""
        taken = {*self.fields, *self.others}
        own: dict[str, str] = {}
        for path in (name for name in self.fields if "/" in name):
            own[path] = free_name(path.replace("/", "_"), taken)
            taken.add(own[path])
        return own

    def has_group(self, name: str) -> bool:
        """Whether a member is a group."""
        return self.others.get(name) == _IS_GROUP

    def __contains__(self, name: object) -> bool:
        """Whether a member has a name."""
        return name in self.fields or name in self.others


def free_name(name: str, taken: Container[Any]) -> str:
    """The name, with underscores behind it while it is taken.

    Examples
    --------
    >>> free_name("dim_0", {"dim_0"})
    'dim_0_'
    """
    while name in taken:
        name += "_"
    return name


def read_content(group: Group, did_grow: Container[str] = ()) -> GroupContent:
    """Read what the rules need of a group: its attributes, and the shapes, types and attributes of its fields.

    Parameters
    ----------
    group
        The group.
    did_grow
        Paths of fields that were being written, and could grow, when they were opened first.
    """
    fields: dict[str, Field] = {}
    others: dict[str, str] = {}
    is_being_written = False
    attributes = group.read_attributes()
    members = [(name, member) for name, member, _ in group.members()]
    for name, member in (*members, *_named_by_paths(group, attributes, dict(members))):
        if isinstance(member, Dataset):
            if member.why_no_array is None:
                is_being_written = is_being_written or member.is_being_written
                grows = member.is_being_written or group.member_path(name) in did_grow
                can_grow = member.can_grow if grows else ()
                fields[name] = Field(member.shape, member.raw_dtype, member.read_attributes(), can_grow=can_grow)
            else:
                others[name] = member.why_no_array
        elif isinstance(member, Link):
            others[name] = f"is a link to {member}, which {member.trouble}"
        else:
            others[name] = _IS_GROUP
    return GroupContent(group.path, attributes, fields, others, is_being_written)


def _named_by_paths(
    group: Group, attributes: Mapping[str, Any], members: Container[str]
) -> Iterator[tuple[str, Dataset]]:
    """The datasets below a group that it names by their paths.

    HDF5 makes such paths of names with a slash, as those of HyperSpy's axes may be.
    """
    told = (name for key in ("axes", "auxiliary_signals") for name in names(attributes.get(key), members))
    for name in dict.fromkeys(told):
        found = group.find(name) if "/" in name and name not in members else None
        if isinstance(found, Dataset) and found.why_no_array is None:
            yield name, found


def why_no_field(content: GroupContent, name: str) -> str:
    """Why a name that an attribute gives is no field of the group."""
    return content.others.get(name, "is not there")
