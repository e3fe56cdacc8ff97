"""Files as HyperSpy writes them: the metadata that is stored beside a signal, as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_xr.hdf5.objects.values import is_empty
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.reserved import ADDED, ELEMENTS, METADATA_GROUP, ORIGINAL, PLAIN
from nexus_xr.nexus.tree.metadata import MetadataAttributes, MetadataField, MetadataGroup, is_field, is_list_of_groups

if TYPE_CHECKING:
    from .nodes import GroupNode, Node

_WRITER = "hyperspy_nexus_v3"
# By which HyperSpy knows that there is metadata to restore.
ROOT_ATTRIBUTES = {"file_format": "nexus", "file_writer": _WRITER}
# The group of an entry beside its data, and what is stored in it.
COLLECTIONS = "auxiliary"
_ORIGINAL_METADATA = "original_metadata"
_OWN_METADATA = "hyperspy_metadata"
# What nobody but HyperSpy has.
BESIDE_ORIGINAL = (_OWN_METADATA, "learning_results")
METADATA = (_ORIGINAL_METADATA, *BESIDE_ORIGINAL)
# What an entry has of the original metadata beside that.
TITLE = "title"
# Within a collection nothing is to be taken for data, nor for a link: attributes by which it would be are kept under
# other names.
_MISLEADING = {
    "NX_class": ("NXroot", "NXentry", "NXsubentry", "NXdata", "SASdata", "SAStransmission_spectrum"),
    "canSAS_class": ("SASdata", "SAStransmission_spectrum"),
}
# By which a link tells where the original is.
_TARGET = "target"


def title_of(tree: Mapping[Any, Any], path: str = "") -> str | None:
    """The title that HyperSpy knows a signal by, which it reads from the name of the NXdata group alone.

    Parameters
    ----------
    tree
        The metadata of the signal.
    path
        Path of the field that it was opened from, for a signal whose title is empty: its group has a name all the same.

    Returns
    -------
    str or None
        None for a signal that isn't HyperSpy's, or has no title, as one that was combined of several has none.

    Examples
    --------
    >>> title_of({"hyperspy_metadata": {"General": {"title": {"value": "4D"}}}}), title_of({"sample": {}})
    ('4D', None)
    """
    metadata = tree.get(_OWN_METADATA)
    if not isinstance(metadata, Mapping):
        return None
    general = metadata.get("General")
    if not isinstance(general, Mapping) or TITLE not in general:
        return None
    title = general[TITLE]
    said = text(title["value"] if isinstance(title, Mapping) and is_field(title) else title)
    return said or path.rpartition("/")[0].rpartition("/")[2] or None


def has_collections(entry: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """Whether the metadata of an entry are in a group of collections, as HyperSpy's writer has it.

    The root says so of all entries, and one that was written here of itself, wherever it was copied or is linked.

    Parameters
    ----------
    entry, root
        The attributes of the entry, and of the root of the file that it is opened in.

    Examples
    --------
    >>> has_collections({}, {"file_writer": "hyperspy_nexus_v3"}), has_collections({"_METADATA_GROUP": "auxiliary"}, {})
    (True, True)
    >>> has_collections({"_METADATA_GROUP": "auxiliary", "_ADDED_ATTRIBUTES": ["signal"]}, {})
    False
    """
    is_marked = text(entry.get(METADATA_GROUP)) == COLLECTIONS and ADDED not in entry
    return is_marked or text(root.get("file_writer")) == _WRITER


def as_collection(collection: GroupNode) -> GroupNode:
    """A group as it is stored as a collection, where nothing counts as data of the file."""
    inner = _hidden(collection)
    own = {ORIGINAL + name if name == "NX_class" else name: value for name, value in inner.attributes.items()}
    return replace(inner, attributes={**own, "NX_class": "NXcollection"})


def without_nothing(group: GroupNode) -> GroupNode:
    """What is HyperSpy's alone without fields that hold nothing, as its own writer leaves None out.

    HyperSpy takes such a field for no None, and fails over it. Of a list it is noted where None was.
    """
    from .nodes import GroupNode

    members = {
        name: without_nothing(member) if isinstance(member, GroupNode) else member
        for name, member in group.members.items()
        if not is_nothing(member)
    }
    plain = [name for name in group.attributes.get(PLAIN, ()) if name in members]
    attributes = {name: value for name, value in group.attributes.items() if name != PLAIN}
    if ELEMENTS in attributes and len(members) < len(group.members):
        missing = [int(name) for name in group.members if name not in members]
        attributes[ELEMENTS] = np.array([len(group.members), *missing])
    return GroupNode(members, {**attributes, PLAIN: plain} if plain else attributes)


def is_nothing(node: Node | None) -> bool:
    """Whether a field has neither a value nor attributes."""
    from .nodes import FieldNode

    return isinstance(node, FieldNode) and is_empty(node.values) and not node.attributes


def _hidden(group: GroupNode) -> GroupNode:
    from .nodes import FieldNode, GroupNode

    members: dict[str, Node] = {}
    for name, member in group.members.items():
        if isinstance(member, GroupNode):
            members[name] = _hidden(member)
        elif isinstance(member, FieldNode):
            members[name] = replace(member, attributes=_with_other_names(member.attributes))
        else:
            members[name] = member
    return GroupNode(members, _with_other_names(group.attributes))


def _with_other_names(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {ORIGINAL + name if _is_misleading(name, value) else name: value for name, value in attributes.items()}


def _is_misleading(name: str, value: Any) -> bool:
    is_link = name == _TARGET and (text(value) or "").startswith("/")
    return is_link or text(value) in _MISLEADING.get(name, ())


def _shown(tree: MetadataGroup) -> MetadataGroup:
    """A tree with its attributes under their own names."""
    shown = MetadataGroup()
    for name, member in tree.items():
        if name == "attrs" and isinstance(member, MetadataAttributes):
            shown[name] = _with_own_names(member)
        elif isinstance(member, MetadataField) and isinstance(member.get("attrs"), MetadataAttributes):
            shown[name] = MetadataField({**member, "attrs": _with_own_names(member["attrs"])})
        elif is_list_of_groups(member):
            shown[name] = [_shown(each) if isinstance(each, MetadataGroup) else each for each in member]
        else:
            shown[name] = _shown(member) if isinstance(member, MetadataGroup) else member
    return shown


def _with_own_names(attributes: MetadataAttributes) -> MetadataAttributes:
    kept = [key for key in attributes if ORIGINAL + key not in attributes]
    own = {key: key.removeprefix(ORIGINAL) for key in kept}
    return MetadataAttributes(
        (own[key] if own[key] in (*_MISLEADING, _TARGET) else key, attributes[key]) for key in kept
    )


def restored_metadata(entry: MetadataGroup) -> MetadataGroup | None:
    """The original metadata of an entry, with `hyperspy_metadata` and `learning_results` beside it.

    Nothing for an entry that holds data alone; None for one that holds anything else instead, and keeps its tree.
    """
    if not entry.keys() - {"attrs"}:
        return MetadataGroup()
    auxiliary = entry.get(COLLECTIONS)
    if not isinstance(auxiliary, MetadataGroup):
        return None
    original = auxiliary.get(_ORIGINAL_METADATA)
    restored = from_collection(original) if isinstance(original, MetadataGroup) else MetadataGroup()
    for name in BESIDE_ORIGINAL:
        if isinstance(auxiliary.get(name), MetadataGroup):
            restored[name] = from_collection(auxiliary[name])
    return restored


def from_collection(collection: MetadataGroup) -> MetadataGroup:
    """A tree as it was before it was stored in a collection."""
    tree = _shown(collection)
    if text(tree.get("attrs", {}).get("NX_class")) == "NXcollection":
        attributes = MetadataAttributes(item for item in tree.pop("attrs").items() if item[0] != "NX_class")
        if attributes:
            tree["attrs"] = attributes
    return tree
