"""One walk through a file: its metadata tree, and the paths of its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.filters.missing_filters import explained
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Address, same_object
from nexus_xr.hdf5.objects.values import to_python
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.reading.virtual_datasets.found_sources import report_missing
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.classes.table import class_of
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.detector_segments import has_segments

from .metadata import MetadataAttributes, MetadataField, MetadataGroup

# An array of the tree larger than this stays in the file, and so does a single element that is no value but a document.
LAZY_BYTES = 64 * 2**10
_LAZY_ELEMENT_BYTES = 16 * 2**20
# Deeper than any real file, and shallow enough to copy, compare and pickle recursively.
_DEEPEST = 64
# Hard links can make a small file a tree of any number of paths.
_MOST_PATHS = 2_000


@dataclass(frozen=True)
class Found:
    """Something to open: a group of data, or a dataset of two or more elements.

    Parameters
    ----------
    path
        Path by which it was reached.
    is_group
        Whether it is a group of data and not a dataset.
    """

    path: str
    is_group: bool


@dataclass(frozen=True)
class Scan:
    """What a walk brought back.

    Parameters
    ----------
    tree
        The group's members and attributes, without its NXdata groups.
    found
        What there is to open, in the order of the file.
    """

    tree: MetadataGroup
    found: tuple[Found, ...]


def is_linked(root: Group, item: Group | Dataset, attributes: Mapping[str, Any]) -> bool:
    """Whether ``@target`` says that an object is a hard link, its own path being another name of it."""
    target = text(attributes.get("target"))
    if target is None or "/" + target.strip("/") == item.path:
        return False
    original = root.find(target)
    return isinstance(original, Group | Dataset) and same_object(original, item)


def scan(root: Group, group: Group, file: File | None, hardlinks_only: bool = False) -> Scan:
    """Walk through a group and all below it, once.

    Parameters
    ----------
    root
        The root group.
    group
        Where to begin.
    file
        The file, for what of the tree stays in it; None leaves the fields out of the tree.
    hardlinks_only
        Whether to leave what soft and external links, and ``@target``, lead to.

    Notes
    -----
    An object that is reached by several names is read once and stands under each of them. A link back to a
    group that contains it, and a link that leads nowhere, stand in the tree as a `Link`. Of the fields of
    NXdata groups, no value is read.
    """
    return _Walk(root, file, hardlinks_only).group(group, {})


def remainder(group: Group, file: File, used: Iterable[str]) -> MetadataGroup:
    """The tree of an NXdata group without some of its fields: what it holds beyond its variables."""
    return _Walk(group, file, hardlinks_only=False, left_out=frozenset(used), top=group.path).group(group, {}).tree


@dataclass
class _Walk:
    root: Group
    file: File | None
    hardlinks_only: bool
    left_out: frozenset[str] = frozenset()
    top: str | None = None
    done: dict[Address, tuple[str, Scan]] = field(default_factory=dict)
    paths: int = 0

    def group(self, group: Group, above: Mapping[Address, str]) -> Scan:
        address = group.address
        above = {**above, address: group.path}
        attributes = group.read_attributes()
        tree = MetadataGroup()
        if attributes:
            tree["attrs"] = MetadataAttributes(attributes)
        found: list[Found] = []
        kind = class_of(attributes)
        if kind.holds_data:
            found.append(Found(group.path, True))
        left_out = self.left_out if group.path == self.top else ()
        linked: list[str] = []
        with_fields = self.file is not None and (group.path == self.top or kind.is_in_tree)
        for name, member, is_soft in group.members():
            if isinstance(member, Link):
                self._put(tree, group, name, member)
                message = f"links to {member}, which {member.trouble}"
                group.diagnostics.add(Code.LINK_TARGET_MISSING, group.member_path(name), message)
            elif is_soft and self.hardlinks_only:
                self._put(tree, group, name, group.link_to(name))
            elif isinstance(member, Group):
                found += self._subgroup(tree, group, name, member, above)
            else:
                if is_soft and len(member.shape) > 2:
                    linked.append(name)
                if name in left_out:
                    continue
                found += self._field(tree if with_fields else None, group, name, member)
        if has_segments(linked) and not kind.holds_data:
            found.insert(0, Found(group.path, True))  # a detector's master, whatever class it has
        result = Scan(tree, tuple(found))
        self.done[address] = (group.path, result)
        return result

    def _field(self, tree: MetadataGroup | None, group: Group, name: str, dataset: Dataset) -> Iterator[Found]:
        attributes = dataset.read_attributes() if tree is not None or self.hardlinks_only else {}
        if tree is not None and self.file is not None:
            self._put(tree, group, name, field_of(dataset, attributes, self.file))
        if (
            dataset.size >= 2
            and dataset.why_no_array is None
            and not (self.hardlinks_only and is_linked(self.root, dataset, attributes))
        ):
            yield Found(dataset.path, False)

    def _subgroup(
        self, tree: MetadataGroup, group: Group, name: str, inner: Group, above: Mapping[Address, str]
    ) -> Iterator[Found]:
        scanned = self._scan_inner(inner, above)
        if isinstance(scanned, Link):
            self._put(tree, group, name, scanned)
            return
        attributes = scanned.tree.get("attrs", {})
        if class_of(attributes).is_in_tree:
            self._put(tree, group, name, scanned.tree)
        if not (self.hardlinks_only and is_linked(self.root, inner, attributes)):
            yield from scanned.found

    def _scan_inner(self, group: Group, above: Mapping[Address, str]) -> Scan | Link:
        address = group.address
        if address in above:
            return Link(above[address])
        if address in self.done:
            return self._again(group, *self.done[address])
        if len(above) >= _DEEPEST:
            group.report(Code.TOO_DEEP, f"lies deeper than {_DEEPEST} groups; open it with group={group.path!r}")
            return Link(group.path)
        return self.group(group, above)

    def _again(self, group: Group, first_path: str, first: Scan) -> Scan | Link:
        """A group that was walked through under another name."""
        self.paths += len(first.found)
        if self.paths > _MOST_PATHS:
            group.report(Code.GROUP_HAS_MANY_NAMES, f"is one of very many names of {first_path}; left it a link")
            return Link(first_path)
        start = len(first_path.rstrip("/"))
        return replace(
            first, found=tuple(replace(found, path=group.path + found.path[start:]) for found in first.found)
        )

    def _put(self, tree: MetadataGroup, group: Group, name: str, member: Any) -> None:
        """Under its name, unless that is taken: by the group's attributes, or by a name that can't be told apart."""
        key = name
        while key in tree or key == "attrs":
            key += "_"
        if key != name:
            group.report(Code.MEMBER_RENAMED, f"its member {name!r} stands under {key!r}")
        tree[key] = member


def field_of(dataset: Dataset, attributes: dict[str, Any], file: File) -> MetadataField:
    """A field of the tree: its value is read if it is small, and stays in the file if it is large."""
    virtual = LazyArray.of(dataset, file) if dataset.is_virtual else None
    if virtual is not None:
        report_missing(dataset, virtual.found_sources, virtual.file)
    value: Any = None
    if dataset.nbytes <= (_LAZY_ELEMENT_BYTES if dataset.size == 1 else LAZY_BYTES):
        try:
            value = read_whole(dataset) if virtual is None or dataset.is_null else to_python(virtual[...], False)
        except AnyHdf5Error as error:
            reason = explained(dataset.filters, error)
            message = f"the value can't be read ({reason}); it is tried again when asked for"
            dataset.report(Code.VALUE_UNREADABLE, message)
    if value is None:
        value = LazyArray.of(dataset, file) if virtual is None else virtual
    tree = MetadataField(value=value)
    if attributes:
        tree["attrs"] = MetadataAttributes(attributes)
    return tree
