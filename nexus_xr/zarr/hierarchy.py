"""A file as a hierarchy of groups and arrays: what each group is opened as by itself, and all that it holds beyond."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.nexus.classes.table import class_of
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.content import GroupContent, free_name
from nexus_xr.nexus.rules.nxdata import describe_apart
from nexus_xr.nexus.tree.scan import DEEPEST, MOST_PATHS, Found, report_missing_target
from nexus_xr.opening.fields.group_fields import GroupFields
from nexus_xr.opening.select import Described, Opening

from .arrays import ZarrArray
from .attributes import coordinates, documents, without_opaque
from .dimensions import fitted
from .fields import Codecs, FieldArrays, Node

# Names that no group and no array of Zarr can have: they mean something else in a key.
_RESERVED = ("", ".", "..", "zarr.json")
_SEPARATORS = frozenset("/\\")  # zarr-python takes either for one


@dataclass(frozen=True, eq=False)
class ZarrGroup:
    """A group of a hierarchy.

    Parameters
    ----------
    attributes
        Its attributes, as JSON has them.
    apart
        Names of arrays that it holds and that take no part in what it is opened as.
    """

    attributes: Mapping[str, Any]
    apart: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """All groups and arrays of a file by their paths; that of the root is empty."""

    groups: Mapping[str, ZarrGroup]
    arrays: Mapping[str, ZarrArray]

    def is_apart(self, path: str) -> bool:
        """Whether a node takes no part in the data of its group, or is in one that doesn't."""
        above, _, name = path.rpartition("/")
        return name in self.groups[above].apart or (bool(above) and self.is_apart(above))


def read_hierarchy(opening: Opening, codecs: Codecs) -> Hierarchy:
    """Describe all of an open file.

    Parameters
    ----------
    opening
        The file.
    codecs
        How chunks are to be encoded.
    """
    walk = _Walk(opening, codecs)
    walk.group(opening.root, "", {})
    found = Hierarchy(walk.groups, walk.arrays)
    groups = [path for path in walk.groups if not found.is_apart(path)]
    shown = {path: array for path, array in walk.arrays.items() if not found.is_apart(path)}
    return Hierarchy(walk.groups, walk.arrays | fitted(shown, groups, walk.of_data))


# Name, node, whether it is a coordinate.
_Named = tuple[str, Node, bool]


@dataclass
class _Walk:
    opening: Opening
    codecs: Codecs
    groups: dict[str, ZarrGroup] = field(default_factory=dict)
    arrays: dict[str, ZarrArray] = field(default_factory=dict)
    of_data: set[str] = field(default_factory=set)
    done: set[Address] = field(default_factory=set)
    again: int = 0

    def group(self, group: Group, path: str, above: Mapping[Address, str]) -> None:
        """A group and all below it."""
        self.done.add(group.address)
        above = {**above, group.address: group.path}
        described = self.opening.describe(Found(group.path, True))
        attributes = group.read_attributes()
        is_data = class_of(attributes).holds_data or _declares_data(described.content)
        if is_data:
            self.of_data.add(path)
            self.opening.diagnostics.extend(described.data.diagnostics)
        told = self._put(self._variables(described), path, {})
        apart = self._put(self._others(described), path, told)
        named = coordinates(name for name, is_one in told.items() if is_one)
        own = documents(without_opaque(attributes, group)) | named
        self.groups[path] = ZarrGroup(own, frozenset(apart.keys() - told.keys() if is_data else ()))
        for name, member, _ in group.members():
            if isinstance(member, Link):
                report_missing_target(group, name, member)
            elif isinstance(member, Dataset):
                _report_no_array(member)
            elif self._can_have(member.path, name) and self._is_entered(member, above):
                self.group(member, _join(path, free_name(name, apart)), above)

    def _is_entered(self, group: Group, above: Mapping[Address, str]) -> bool:
        """Whether a group has a place of its own: not one that contains itself, nor one of very many names."""
        if group.address in above:
            return False
        self.again += group.address in self.done
        if len(above) >= DEEPEST:
            group.report(Code.TOO_DEEP, f"lies deeper than {DEEPEST} groups; it is left out")
        elif self.again > MOST_PATHS:
            group.report(Code.GROUP_HAS_MANY_NAMES, "is one of very many names of a group; it is left out")
        else:
            return True
        return False

    def _variables(self, described: Described) -> Iterator[_Named]:
        """The arrays that the group is opened as."""
        data, opening = described.data, self.opening
        arrays = GroupFields(described.content, described.group, opening.file, mask_and_scale=True)
        fields = FieldArrays(arrays, self.codecs, data.bounds_dim)
        for variable in data.variables:
            for name, node in fields.nodes_of(variable):
                yield name, node, variable.role.is_coordinate

    def _others(self, described: Described) -> Iterator[_Named]:
        """The arrays of all other fields, with dimensions of their own."""
        fields = described.content.fields
        taken = {name for each in described.data.variables for name in fields[each.field].segments or (each.field,)}
        group, content = self.opening.content_of(described.found)
        others = FieldArrays(GroupFields(content, group, self.opening.file, mask_and_scale=False), self.codecs)
        apart = [name for name in content.fields if name not in taken]
        for variable in describe_apart(content, apart, _lengths(described)).variables:
            for name, node in others.nodes_of(variable):
                yield name, node, False

    def _put(self, found: Iterable[_Named], path: str, before: Mapping[str, bool]) -> dict[str, bool]:
        """Give nodes their paths; gives their names behind those before, and whether each is a coordinate."""
        named = dict(before)
        for name, node, is_coordinate in found:
            if self._can_have(f"/{_join(path, name)}", name):
                free = free_name(name, named)
                named[free] = is_coordinate
                self._place(_join(path, free), node)
        return named

    def _place(self, path: str, node: Node) -> None:
        if isinstance(node, ZarrArray):
            self.arrays[path] = node
            return
        self.groups[path] = ZarrGroup(node.attributes)
        for name, member in node.members.items():
            if self._can_have(f"/{path}", name):
                self._place(_join(path, name), member)

    def _can_have(self, path: str, name: str) -> bool:
        """Whether a node can have a name; it is reported if not."""
        if name not in _RESERVED and _SEPARATORS.isdisjoint(name):
            return True
        self.opening.diagnostics.add(Code.NO_NODE, path, f"Zarr has no place for the name {name!r}; it is left out")
        return False


def _lengths(described: Described) -> dict[str, int]:
    """The lengths of the dimensions that a group is opened with."""
    data, fields = described.data, described.content.fields
    lengths = {data.bounds_dim: 2}
    for variable in sorted(data.variables, key=lambda each: each.bounds is None):  # of bins, there is one edge more
        shape = fields[variable.field].shape
        lengths |= {dim: size - (variable.bounds is not None) for dim, size in zip(variable.dims, shape, strict=True)}
    return lengths


def _report_no_array(dataset: Dataset) -> None:
    if dataset.why_no_array is not None:
        dataset.report(Code.NO_ZARR_TYPE, f"{dataset.why_no_array}; it is left out")


def _declares_data(content: GroupContent) -> bool:
    """Whether a group of whatever class says that it has a signal, or is made of segments of one."""
    is_named = text(content.attributes.get("signal")) in content.fields
    return is_named or any(each.segments for each in content.fields.values())


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name
