"""Files as HyperSpy writes them: the metadata that is stored beside a signal, as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .attributes import text
from .storing import GroupNode
from .tree import MetadataAttributes, MetadataGroup

_WRITER = "hyperspy_nexus_v3"
# By which HyperSpy knows that there is metadata to restore.
ROOT_ATTRIBUTES = {"file_format": "nexus", "file_writer": _WRITER}
# What is stored in the group `auxiliary` of an entry.
METADATA = ("original_metadata", "hyperspy_metadata", "learning_results")
# Within a collection nothing is to be taken for data: attributes by which a group would be are kept under other names.
_MISLEADING = {
    "NX_class": ("NXroot", "NXentry", "NXsubentry", "NXdata", "SASdata", "SAStransmission_spectrum"),
    "canSAS_class": ("SASdata", "SAStransmission_spectrum"),
}
_PREFIX = "original_"


def is_written_by_hyperspy(root_attributes: Mapping[str, Any]) -> bool:
    """Whether the root says that the file is laid out as HyperSpy's NeXus writer does."""
    return text(root_attributes.get("file_writer")) == _WRITER


def as_collection(collection: GroupNode) -> GroupNode:
    """A group as it is stored as a collection, where nothing counts as data of the file."""
    inner = _hidden(collection)
    own = {_PREFIX + name if name == "NX_class" else name: value for name, value in inner.attributes.items()}
    return replace(inner, attributes={**own, "NX_class": "NXcollection"})


def _hidden(group: GroupNode) -> GroupNode:
    members = {
        name: _hidden(member) if isinstance(member, GroupNode) else member for name, member in group.members.items()
    }
    attributes = {
        _PREFIX + name if text(value) in _MISLEADING.get(name, ()) else name: value
        for name, value in group.attributes.items()
    }
    return GroupNode(members, attributes)


def _shown(tree: MetadataGroup) -> MetadataGroup:
    """A tree as it was before it was stored in a collection."""
    shown = MetadataGroup()
    for name, member in tree.items():
        if name == "attrs" and isinstance(member, MetadataAttributes):
            kept = [key for key in member if _PREFIX + key not in member]
            names = {
                key: key.removeprefix(_PREFIX) if key.removeprefix(_PREFIX) in _MISLEADING else key for key in kept
            }
            shown[name] = MetadataAttributes((names[key], member[key]) for key in kept)
        else:
            shown[name] = _shown(member) if isinstance(member, MetadataGroup) else member
    return shown


def restored_metadata(entry: MetadataGroup) -> MetadataGroup | None:
    """The original metadata of an entry, with `hyperspy_metadata` and `learning_results` beside it.

    Nothing for an entry that holds data alone; None for one that holds anything else instead, and keeps its tree.
    """
    if not entry.keys() - {"attrs"}:
        return MetadataGroup()
    auxiliary = entry.get("auxiliary")
    if not isinstance(auxiliary, MetadataGroup):
        return None
    original = auxiliary.get("original_metadata")
    restored = _without_own_class(_shown(original)) if isinstance(original, MetadataGroup) else MetadataGroup()
    for name in METADATA[1:]:
        if isinstance(auxiliary.get(name), MetadataGroup):
            restored[name] = _without_own_class(_shown(auxiliary[name]))
    return restored


def _without_own_class(tree: MetadataGroup) -> MetadataGroup:
    """A tree without the class of the collection that it was stored in."""
    if text(tree.get("attrs", {}).get("NX_class")) == "NXcollection":
        attributes = MetadataAttributes(item for item in tree.pop("attrs").items() if item[0] != "NX_class")
        if attributes:
            tree["attrs"] = attributes
    return tree
