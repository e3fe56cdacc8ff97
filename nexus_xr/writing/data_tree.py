"""A DataTree as it is written: each node a group at its own path, with its data, its tree and the nodes below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import xarray as xr

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.nexus.classes.table import class_of
from nexus_xr.nexus.output.entry import DataField
from nexus_xr.nexus.output.nodes import FieldNode, GroupNode, Node, node_of, why_no_name
from nexus_xr.nexus.output.tree_nodes import marked, with_tree
from nexus_xr.nexus.rules.content import Field, GroupContent
from nexus_xr.nexus.rules.nxdata import apply_rules
from nexus_xr.nexus.rules.reserved import DATASETS
from nexus_xr.nexus.tree.metadata import is_field

from .fields.variables import fields_of, group_of, with_true_errors
from .options import WritingOptions
from .signals import data_and_tree


@dataclass(frozen=True)
class TreeWriting:
    """How the nodes of a tree are made groups.

    Parameters
    ----------
    options
        What the user asks for.
    diagnostics
        Is given what can't be stored, and why.
    default
        Path of the node that is plotted first; None for none.
    in_trees
        Names of data that the trees of nodes above have as well, so far.
    """

    options: WritingOptions
    diagnostics: Diagnostics
    default: str | None = None
    in_trees: set[str] = field(default_factory=set)

    def group(self, node: xr.DataTree, attributes: Mapping[str, Any]) -> GroupNode:
        """The group of a node and of all below it.

        Parameters
        ----------
        node
            The node.
        attributes
            What others need to understand the group of a node without data.
        """
        path = node.path.rstrip("/")
        dataset, tree = data_and_tree(node.to_dataset(inherit=False))
        own = node_of(tree if self.options.save_original_metadata else {}, path, self.diagnostics, self.options.skips)
        data = group_of(dataset, self._fields(dataset, tree, path), path, self.diagnostics)
        group = with_tree(data, own, node.children) if data.members else own
        members = dict(group.members)
        for name, child in node.children.items():
            if (reason := why_no_name(name)) is not None:
                self.diagnostics.add(Code.NAME_INVALID, child.path, reason)
            members[name] = self._child(child, members.get(name), tree.get(name), is_entry=not path)
        added = {**attributes, **data.attributes, **self._default_below(path)}
        told = marked(group.attributes, added, bool(data.members))
        return GroupNode(members, {**told, DATASETS: True} if self.in_trees and not path else told)

    def _child(self, child: xr.DataTree, present: Node | None, in_tree: Any, is_entry: bool) -> GroupNode:
        if present is None:
            return self.group(child, {"NX_class": "NXentry"} if is_entry else {})
        dataset, tree = data_and_tree(child.to_dataset(inherit=False))
        named = _fields_by_variable(present, in_tree, child.path) if isinstance(present, GroupNode) else {}
        fields = {named.get(name, name): each for name, each in self._fields(dataset, tree, child.path).items()}
        if isinstance(present, GroupNode) and not tree and fields.keys() <= present.members.keys():
            self.in_trees.update(fields)
            own = {name: _with_values(present.members[name], each.node) for name, each in fields.items()}
            return GroupNode({**present.members, **own, **self._below(child, present, in_tree)}, present.attributes)
        message = "is a node, and an item of the attributes of the node above; rename one"
        self.diagnostics.add(Code.MEMBER_RENAMED, child.path, message)
        return GroupNode()

    def _below(self, node: xr.DataTree, present: GroupNode, in_tree: Mapping[str, Any]) -> dict[str, Node]:
        """The nodes below one that is in the attributes of the node above."""
        return {
            name: self._child(child, present.members.get(name), in_tree.get(name), is_entry=False)
            for name, child in node.children.items()
        }

    def _fields(self, dataset: xr.Dataset, tree: Mapping[Any, Any], path: str) -> dict[str, DataField]:
        true = with_true_errors(dataset, tree, path)
        return fields_of(true, path, self.options.storing, self.diagnostics)

    def _default_below(self, path: str) -> dict[str, str]:
        above = f"{path}/"
        if self.default is None or not self.default.startswith(above):
            return {}
        return {"default": self.default.removeprefix(above).partition("/")[0]}


def _fields_by_variable(group: GroupNode, in_tree: Mapping[str, Any], path: str) -> dict[str, str]:
    """The field of a group that each variable is opened from by the data rules, which give some another name."""
    nodes = {name: each for name, each in group.members.items() if _is_of_values(each)}
    fields = {
        name: Field(each.values.shape, each.values.dtype, _attributes(in_tree[name])) for name, each in nodes.items()
    }
    others = {name: "is no field" for name in group.members if name not in fields}
    attributes = in_tree.get("attrs", {})
    content = class_of(attributes).as_data(GroupContent(path, attributes, fields, others))
    return {variable.name: variable.field for variable in apply_rules(content).variables}


def _is_of_values(node: Node) -> TypeGuard[FieldNode]:
    return isinstance(node, FieldNode) and node.values.shape is not None


def _attributes(member: Any) -> Mapping[str, Any]:
    return member.get("attrs", {}) if is_field(member) else {}


def _with_values(present: Node, field: FieldNode) -> Node:
    """A field of the tree with the values that a variable has."""
    return replace(field, attributes=present.attributes) if isinstance(present, FieldNode) else field


def first_data(tree: xr.DataTree, use_default: bool) -> str | None:
    """Path of the node that is plotted first: the only one with data, or where it is asked for, the first."""
    paths = [node.path for node in tree.subtree if node.data_vars]
    return paths[0] if len(paths) == 1 or (paths and use_default) else None
