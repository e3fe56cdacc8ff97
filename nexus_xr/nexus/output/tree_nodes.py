"""The groups of a tree's nodes: what is added to them for others to understand, and marked so as to be told apart."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_xr.nexus.rules.content import free_name
from nexus_xr.nexus.rules.reserved import ADDED, ANCILLARY, COORDINATES, INDICES, METADATA_GROUP, ORIGINAL, PLAIN
from nexus_xr.nexus.tree.metadata import MetadataGroup

from .hyperspy_metadata import COLLECTIONS, as_collection, from_collection

if TYPE_CHECKING:
    from .nodes import GroupNode

# Of a group: which of its members are what.
_CLAIMS = ("signal", "axes", "auxiliary_signals", "interpretation", COORDINATES, ANCILLARY)


def with_tree(data: GroupNode, tree: GroupNode, nodes: Collection[str]) -> GroupNode:
    """The members of a node with data, with its tree in a member of its own, where no rule takes it for data.

    Parameters
    ----------
    data
        The group of its data.
    tree
        What else is known of it.
    nodes
        Names of the nodes below it.
    """
    attributes = {name: value for name, value in tree.attributes.items() if name != PLAIN}
    if not tree.members:
        return replace(data, attributes=attributes)
    name = free_name(COLLECTIONS, {*data.members, *nodes})
    plain = {PLAIN: tree.attributes[PLAIN]} if PLAIN in tree.attributes else {}
    collection = as_collection(replace(tree, attributes=plain))
    return replace(data, members={**data.members, name: collection}, attributes={**attributes, METADATA_GROUP: name})


def marked(own: Mapping[str, Any], added: Mapping[str, Any], has_data: bool) -> dict[str, Any]:
    """The attributes of a node's group, with a mark that tells which of them are its own.

    Examples
    --------
    >>> marked({"signal": "m", "x": 1}, {"signal": "n"}, True)
    {'x': 1, 'original_signal': 'm', 'signal': 'n', '_ADDED_ATTRIBUTES': ['signal']}
    """
    untrue = {name for name in own if has_data and _is_claim(name) and name not in added}
    added = {name: value for name, value in added.items() if name not in own or _is_untrue(name, own[name], value)}
    apart = [*added, *sorted(untrue)]
    before = {ORIGINAL + name: own[name] for name in apart if name in own}
    return {**{name: own[name] for name in own if name not in apart}, **before, **added, ADDED: apart}


def _is_claim(name: str) -> bool:
    return name in _CLAIMS or name.endswith(INDICES)


def _is_untrue(name: str, own: Any, value: Any) -> bool:
    """Whether an attribute can't stay as it was; a class can."""
    return name != "NX_class" and _as_text(own) != _as_text(value)


def _as_text(value: Any) -> list[str]:
    array = np.ravel(np.asarray(value))
    return list(map(str, np.strings.decode(array, "utf-8") if array.dtype.kind == "S" else array))


def tree_of_data(tree: MetadataGroup, name: str) -> MetadataGroup:
    """The tree of a node with data, as it was before it was stored in a member of that name."""
    collection = tree.get(name)
    attributes = MetadataGroup((key, value) for key, value in tree.items() if key == "attrs")
    if not isinstance(collection, MetadataGroup):
        return attributes
    return MetadataGroup({**from_collection(collection), **attributes})
