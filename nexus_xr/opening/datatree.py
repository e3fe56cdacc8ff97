"""Every NXdata group of a file at its own path, as the nodes of a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import xarray as xr

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.paths import parents_of
from nexus_xr.hdf5.runtime.compat import give_attrs
from nexus_xr.nexus.rules.content import free_name, read_content
from nexus_xr.nexus.rules.nxdata import NXdata, describe_apart
from nexus_xr.nexus.rules.reserved import ADDED, DATASETS
from nexus_xr.nexus.tree.metadata import MetadataGroup
from nexus_xr.nexus.tree.scan import Found, is_in_tree

from .options import Options
from .select import Described, Opening, describe_with
from .session import assemble, empty


def tree_of(nodes: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """The nodes as a tree, as `xarray.DataTree.from_dict` makes it, which copies each node once more."""
    paths = _with_parents(nodes)
    trees = {path: xr.DataTree(nodes.get(path)) for path in paths}
    children: dict[str, dict[str, xr.DataTree]] = {}
    for path in paths[1:]:
        parent, _, name = path.rpartition("/")
        children.setdefault(parent or "/", {})[name] = trees[path]
    for parent in sorted(children, key=len):  # downward, so that each node is aligned with those above it just once
        trees[parent].children = children[parent]
    trees["/"].set_close(nodes["/"]._close)
    return trees["/"]


def _with_parents(paths: Iterable[str]) -> list[str]:
    """The root, and the paths with those above them, from the shallowest to the deepest."""
    by_depth = sorted(paths, key=lambda path: path.count("/"))
    return list(dict.fromkeys(each for path in ("/", *by_depth) for each in (*parents_of(path), path)))


def open_groups(file: File, options: Options, did_grow: frozenset[str] = frozenset()) -> dict[str, xr.Dataset]:
    """A Dataset for each node of the tree of a file, by path, where these fields are such as can grow, or could."""
    return describe_with(open_nodes, file, options, "tree", did_grow)


def open_nodes(opening: Opening) -> dict[str, xr.Dataset]:
    """A Dataset for the start, for each group directly below it, and for each group of data.

    The tree of a file lies in the attrs of the start and of the groups directly below it; a node of class NXdata
    has what is left of its own group. In a file without NXdata, each group with datasets is a node of data.
    """
    described, trees = describe_nodes(opening)
    datasets = {}
    for relative, node in described.items():
        opening.diagnostics.extend(node.data.diagnostics)
        datasets[relative] = assemble(opening, node)
    above = opening.start.path.rstrip("/")
    for relative, tree in trees.items():
        path = f"{above}{relative}" if relative != "/" else above or "/"
        if relative not in datasets:
            datasets[relative] = empty(opening, path)
        give_attrs(datasets[relative], opening.narrowed(tree, path))
    return dict(sorted(datasets.items(), key=lambda item: item[0].split("/") if item[0] != "/" else []))


def describe_nodes(opening: Opening) -> tuple[dict[str, Described], dict[str, MetadataGroup]]:
    """The data, and the trees, of the nodes of an open file, by their paths below the start."""
    start = opening.start
    if ADDED in start.read_attributes():  # what was a node is marked
        whole = opening.whole.tree
        trees = {_relative(path, start.path): tree for path, tree in opening.nodes.items()} | {"/": whole}
    else:
        trees = _trees(opening.whole.tree)
    nodes = {}
    for path, node in _apart(_described(opening, opening.whole.found)).items():
        relative = _relative(path, start.path)
        if ".." in relative.split("/"):
            opening.diagnostics.add(Code.NO_NODE, path, "can't be a node of a tree; open it with dataset_path")
            continue
        nodes[relative] = node
        if not is_in_tree(node.content.attributes):
            trees[relative] = opening.left_over(node)
    return nodes, trees


def _trees(tree: MetadataGroup) -> dict[str, MetadataGroup]:
    """The tree by node: each group of the first level is a node, the rest stays with the start.

    A group called ".." can't be a node: xarray takes that for the node above.
    """
    members = ((name, member) for name, member in tree.items() if isinstance(member, MetadataGroup))
    groups = {f"/{name}": member for name, member in members if name != ".."}
    rest = MetadataGroup((name, member) for name, member in tree.items() if f"/{name}" not in groups)
    return {"/": rest, **groups}


def _are_nodes(attributes: Mapping[str, Any]) -> bool:
    """Whether datasets in a file without data are nodes; of one that was a tree, its start says so."""
    return ADDED not in attributes or DATASETS in attributes


def _described(opening: Opening, found: Iterable[Found]) -> dict[str, Described]:
    """The data of each node: of groups of data, or where there are none or others are asked for, of datasets."""
    found = list(found)
    options = opening.options
    if options.selects or options.use_default:
        found = opening.several()
    elif any(item.is_group for item in found) or not _are_nodes(opening.start.read_attributes()):
        found = [item for item in found if item.is_group]
    described = {item.path: opening.describe(item) for item in found if item.is_group}
    names: dict[str, list[str]] = {}
    for item in found:
        if not item.is_group:
            parent, _, name = item.path.rpartition("/")
            names.setdefault(parent or "/", []).append(name)
    for parent in (parent for parent in names if parent not in described):
        group = opening.group_at(parent)
        content = read_content(group)
        data = describe_apart(content, names[parent])
        described[parent] = Described(Found(parent, True), data, content, group)
    return described


def _apart(described: Mapping[str, Described]) -> dict[str, Described]:
    """Data above other data gets dimensions of its own, so that nothing below inherits its coordinates."""
    above = {parent for path in described for parent in parents_of(path)}
    apart = dict(described)
    meant = {path for path, node in described.items() if ADDED in node.content.attributes}  # as a tree had them
    for path in sorted(described.keys() & above - meant, key=len, reverse=True):
        prefix = path.rstrip("/") + "/"
        below = [other.data for at, other in apart.items() if at != path and at.startswith(prefix)]
        apart[path] = replace(described[path], data=_renamed(described[path].data, path, below))
    return apart


def _renamed(data: NXdata, path: str, below: Iterable[NXdata]) -> NXdata:
    taken = {dim for other in below for variable in other.variables for dim in (*variable.dims, other.bounds_dim)}
    taken |= {variable.name for variable in data.variables}
    own = dict.fromkeys(dim for variable in data.variables for dim in variable.dims)
    group = path.rsplit("/", 1)[1] or "root"
    names = {dim: free_name(f"{group}_dim_{index}", taken) for index, dim in enumerate(own)}
    variables = (replace(variable, dims=tuple(names[dim] for dim in variable.dims)) for variable in data.variables)
    return replace(data, variables=tuple(variables), bounds_dim=free_name(f"{group}_bnds", taken))


def _relative(path: str, start: str) -> str:
    return "/" + path.removeprefix(start.rstrip("/")).strip("/")
