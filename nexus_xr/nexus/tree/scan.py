"""One walk through a file: its metadata tree, and the paths of its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nexus_xr.diagnostics import Code
from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.filters.missing_filters import explained
from nexus_xr.hdf5.format.compiled import untracked
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Address, same_object
from nexus_xr.hdf5.objects.values import to_python
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.classes.table import class_of
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.detector_segments import has_segments
from nexus_xr.nexus.rules.reserved import ADDED, COORDINATES, ELEMENTS, PLAIN, elements_in, listed, without_added

from .metadata import MetadataAttributes, MetadataField, MetadataGroup, key_in_tree

# An array of the tree larger than this stays in the file, and so does a single element that is no value but a document.
LAZY_BYTES = 64 * 2**10
_LAZY_ELEMENT_BYTES = 16 * 2**20
# Deeper than any real file, and shallow enough to copy, compare and pickle recursively.
DEEPEST = 64
# Hard links can make a small file a tree of any number of paths.
MOST_PATHS = 2_000


class Found(NamedTuple):
    """Something to open: a group of data, or a dataset of two or more elements.

    Attributes
    ----------
    path
        Path by which it was reached.
    is_group
        Whether it is a group of data and not a dataset.
    """

    path: str
    is_group: bool


class Scan(NamedTuple):
    """What a walk brought back from a group.

    Attributes
    ----------
    path
        Path by which the group was reached first.
    tree
        The group's members and attributes, without its NXdata groups.
    found
        What there is to open, in the order of the file.
    elsewhere
        Paths of groups below it that were not walked through from there, as they had been before or contain it.
    is_apart
        Whether its tree is no part of that of the group above.
    elements
        The elements of the list that the group stands for in the tree of the group above; None where it is a group.
    """

    path: str
    tree: MetadataGroup
    found: tuple[Found, ...]
    elsewhere: tuple[str, ...] = ()
    is_apart: bool = False
    elements: list[Any] | None = None

    @property
    def stands_alone(self) -> bool:
        """Whether a walk that begins at the group brings just this."""
        below = self.path.rstrip("/") + "/"
        return all(path == self.path or path.startswith(below) for path in self.elsewhere)


def is_linked(root: Group, item: Group | Dataset) -> bool:
    """Whether ``@target`` says that an object is a hard link, its own path being another name of it."""
    target = text(item.read_attributes().get("target"))
    if target is None or "/" + target.strip("/") == item.path:
        return False
    original = root.find(target)
    return isinstance(original, Group | Dataset) and same_object(original, item)


def report_missing_target(group: Group, name: str, link: Link) -> None:
    """Say of a member that it is a link that leads nowhere."""
    group.diagnostics.add(link.code, group.member_path(name), f"links to {link}, which {link.trouble}")


def remainder(group: Group, file: File, used: Iterable[str]) -> MetadataGroup:
    """The tree of an NXdata group without some of its fields: what it holds beyond its variables."""
    return Walk(group, file, left_out=frozenset(used), top=group.path, nodes_apart=True).through(group).tree


def holds_data(attributes: Mapping[str, Any]) -> bool:
    """Whether a group is one of data, by its class, or as the node of a tree that it was."""
    return _uses(attributes)[0]


def is_in_tree(attributes: Mapping[str, Any]) -> bool:
    """Whether the fields of a group are metadata."""
    return _uses(attributes)[1]


def _uses(attributes: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether a group is one of data, and whether its fields are metadata."""
    kind = class_of(attributes)
    if ADDED not in attributes:
        return kind.holds_data, kind.is_in_tree
    is_data = kind.holds_data or not {"signal", COORDINATES}.isdisjoint(attributes)
    return is_data, kind.is_in_tree and not is_data


@dataclass
class Walk:
    """A walk through groups and all below them.

    An object that is reached by several names is read once and stands under each of them. A link back to a
    group that contains it, and a link that leads nowhere, stand in the tree as a `Link`. Of the fields of
    NXdata groups, no value is read.

    Parameters
    ----------
    root
        The root group.
    file
        The file, for what of the tree stays in it; None leaves the fields out of the tree.
    hardlinks_only
        Whether to leave what soft and external links, and ``@target``, lead to.
    left_out, top
        Path of a group whose fields are in its tree whatever its class, and the names of those that are not.
    nodes_apart
        Whether groups that were nodes of a tree are left out of the trees of those above.
    nodes
        The trees of such groups that hold no data, by path.
    met
        Is given the groups of data on the way by their paths, which then remember their members; None where nobody
        asks for them again.
    """

    root: Group
    file: File | None
    hardlinks_only: bool = False
    left_out: frozenset[str] = frozenset()
    top: str | None = None
    nodes_apart: bool = False
    nodes: dict[str, MetadataGroup] = field(default_factory=dict)
    met: dict[str, Group] | None = None
    _done: dict[Address, Scan] = field(default_factory=dict)
    _paths: int = 0

    def through(self, group: Group) -> Scan:
        """Walk through a group and all below it."""
        return self._onto(group, {})

    def passed(self, group: Group) -> Scan | None:
        """What came of a group on the way; None where it might bring something else to begin there."""
        done = self._done.get(group.address)
        return done if done is not None and done.path == group.path and done.stands_alone else None

    def _onto(self, group: Group, above: Mapping[Address, str]) -> Scan:
        part = _Part(self, group, above)
        for name, member, is_soft in group.contents() if part.holds_values else group.members():
            if isinstance(member, tuple):
                part.add_value(name, *member)
            else:
                part.add(name, member, is_soft)
        scan = part.scan()
        self._done[group.address] = scan
        return scan

    def below(self, group: Group, above: Mapping[Address, str]) -> Scan | Link:
        """Walk through a group that was met below others; a `Link` where that has no end."""
        if group.address in above:
            return Link(above[group.address])
        if group.address in self._done:
            return self._again(group, self._done[group.address])
        if len(above) >= DEEPEST:
            group.report(Code.TOO_DEEP, f"lies deeper than {DEEPEST} groups; open it with group={group.path!r}")
            return Link(group.path)
        return self._onto(group, above)

    def _again(self, group: Group, first: Scan) -> Scan | Link:
        """A group that was walked through under another name."""
        self._paths += len(first.found)
        if self._paths > MOST_PATHS:
            group.report(Code.GROUP_HAS_MANY_NAMES, f"is one of very many names of {first.path}; left it a link")
            return Link(first.path)
        start = len(first.path.rstrip("/"))
        found = tuple(Found(group.path + each.path[start:], each.is_group) for each in first.found)
        return first._replace(found=found, elsewhere=(*first.elsewhere, first.path))


class _Part:
    """A group that is walked through: its tree, and what there is to open, so far."""

    def __init__(self, walk: Walk, group: Group, above: Mapping[Address, str]) -> None:
        self._walk = walk
        self._group = group
        self._above = {**above, group.address: group.path}
        self._attributes = attributes = group.read_attributes()
        self._holds_data, in_tree = _uses(attributes)
        self._is_node = walk.nodes_apart and ADDED in attributes
        is_top = group.path == walk.top
        self._left_out = walk.left_out if is_top else frozenset()
        self._is_apart = self._is_node or not in_tree
        self._file = walk.file if is_top or in_tree else None
        own = without_added(attributes)
        self._tree = MetadataGroup(attrs=untracked(MetadataAttributes(own))) if own else MetadataGroup()
        self._plain = frozenset(listed(attributes.get(PLAIN)))
        self._found = [Found(group.path, True)] if self._holds_data else []
        if self._holds_data and walk.met is not None:
            group.remember()
            walk.met[group.path] = group
        self._elsewhere: list[str] = []
        self._linked: list[str] = []

    def scan(self) -> Scan:
        """All that came of it."""
        if self._linked and has_segments(self._linked) and not self._holds_data:
            self._found.insert(0, Found(self._group.path, True))  # a detector's master, whatever class it has
        if self._is_node and not self._holds_data:
            self._walk.nodes[self._group.path] = self._tree
        found = untracked(tuple(self._found))
        elements = elements_in(self._attributes, self._tree) if ELEMENTS in self._attributes else None
        return Scan(self._group.path, self._tree, found, tuple(self._elsewhere), self._is_apart, elements)

    @property
    def holds_values(self) -> bool:
        """Whether the values of fields are in its tree, whatever leads to them."""
        return self._file is not None and not self._walk.hardlinks_only

    def add_value(self, name: str, value: Any, attributes: Mapping[str, Any]) -> None:
        """Take in a field of a single value."""
        if name not in self._left_out:
            self._put_field(name, _field(value, attributes), attributes)

    def add(self, name: str, member: Group | Dataset | Link, is_soft: bool) -> None:
        """Take in a member."""
        if isinstance(member, Link):
            self._put(name, member)
            report_missing_target(self._group, name, member)
        elif is_soft and self._walk.hardlinks_only:
            self._put(name, self._group.link_to(name))
        elif isinstance(member, Dataset):
            if is_soft and len(member.shape) > 2:
                self._linked.append(name)
            if name not in self._left_out:
                self._add_dataset(name, member)
        else:
            self._add_group(name, member)

    def _add_group(self, name: str, group: Group) -> None:
        scanned = self._walk.below(group, self._above)
        if isinstance(scanned, Link):
            self._put(name, scanned)
            self._elsewhere.append(scanned.path)
            return
        self._elsewhere += scanned.elsewhere
        if not scanned.is_apart:
            self._put(name, scanned.tree if scanned.elements is None else scanned.elements)
        if not self._is_linked(group):
            self._found += scanned.found

    def _add_dataset(self, name: str, dataset: Dataset) -> None:
        is_asked = self._file is not None or self._walk.hardlinks_only
        attributes = dataset.read_attributes() if is_asked else {}
        if self._file is not None:
            self._put_field(name, field_of(dataset, attributes, self._file), attributes)
        if dataset.size >= 2 and dataset.why_no_array is None and not self._is_linked(dataset):
            self._found.append(untracked(Found(dataset.path, False)))

    def _put_field(self, name: str, field: MetadataField, attributes: Mapping[str, Any]) -> None:
        self._put(name, field["value"] if name in self._plain and not attributes else field)

    def _is_linked(self, item: Group | Dataset) -> bool:
        return self._walk.hardlinks_only and is_linked(self._walk.root, item)

    def _put(self, name: str, member: Any) -> None:
        """Under its name, unless that is taken: by the group's attributes, or by a name that can't be told apart."""
        key = key_in_tree(name, self._tree)
        if key != name:
            self._group.report(Code.MEMBER_RENAMED, f"its member {name!r} stands under {key!r}")
        self._tree[key] = member


def field_of(dataset: Dataset, attributes: dict[str, Any], file: File) -> MetadataField:
    """A field of the tree: its value is read if it is small, and stays in the file if it is large."""
    virtual = LazyArray.of(dataset, file) if dataset.is_virtual else None
    if virtual is not None or dataset.has_raw_files:
        (virtual or LazyArray.of(dataset, file)).report_missing(dataset)
    value: Any = None
    if dataset.nbytes <= (_LAZY_ELEMENT_BYTES if dataset.size == 1 else LAZY_BYTES):
        try:
            value = read_whole(dataset) if virtual is None or dataset.is_null else to_python(virtual[...], False)
        except SystemFaultError as error:
            raise SystemFaultError(f"{file.name}:{dataset.path}: the value can't be read ({error})") from error
        except AnyHdf5Error as error:
            reason = explained(dataset.filters, error)
            message = f"the value can't be read ({reason}); it is tried again when asked for"
            dataset.report(Code.VALUE_UNREADABLE, message)
    if value is None:
        value = LazyArray.of(dataset, file) if virtual is None else virtual
    return _field(value, attributes)


def _field(value: Any, attributes: Mapping[str, Any]) -> MetadataField:
    tree = MetadataField(value=value)
    if attributes:
        tree["attrs"] = untracked(MetadataAttributes(attributes))
        return tree
    return untracked(tree)
