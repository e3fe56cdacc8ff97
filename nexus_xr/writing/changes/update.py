"""Writing back what was opened: the file that it came from, with what is new or different put at its place."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import xarray as xr

from nexus_xr.arrays.uncertainties import errors_as_data
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.nexus.output.edits import Edit, report_conflicts, tree_edits
from nexus_xr.nexus.output.hyperspy_metadata import (
    BESIDE_ORIGINAL,
    COLLECTIONS,
    METADATA,
    TITLE,
    is_nothing,
    without_nothing,
)
from nexus_xr.nexus.output.nodes import GroupNode, node_of
from nexus_xr.nexus.output.tree_nodes import marked, with_tree
from nexus_xr.nexus.rules.attributes import text
from nexus_xr.nexus.rules.reserved import METADATA_GROUP
from nexus_xr.nexus.tree.find import entry_of
from nexus_xr.nexus.tree.metadata import is_field, is_of_tree, key_in_tree
from nexus_xr.opening.datatree import describe_nodes
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Described, Opening
from nexus_xr.opening.session import Opened, did_grow_of
from nexus_xr.writing.fields.variables import fields_of, group_of, with_true_errors
from nexus_xr.writing.signals import data_and_tree

from .data_update import DataUpdate, Rules

Writable = xr.DataArray | xr.Dataset | xr.DataTree


@dataclass(frozen=True)
class Changes:
    """A file, and what is to be different in a copy of it."""

    origin: File
    edits: tuple[Edit, ...]


def changes(obj: Writable | Sequence[Writable], rules: Rules) -> Changes:
    """What objects that were opened from one file have that it has not. What they no longer have stays in the file.

    Raises
    ------
    NexusError
        An object doesn't come from a file, or they come from several.
    """
    objects = [obj] if isinstance(obj, Writable) else list(obj)
    origins = [_origin(each) for each in objects]
    found = {origin.file.given_name: origin.file.name for origin in origins}
    if len(found) != 1:
        raise NexusError(f'layout="inplace": expected what was opened from one file, found {sorted(found.values())}')
    file = origins[0].file
    edits: list[Edit] = []
    did_grow = did_grow_of(variable for each in objects for _, variable in _variables(each))
    openings: dict[str, Opening] = {}  # one for all that were opened in the same way
    with ExitStack() as stack, file.opened() as handle:
        for each, origin in zip(objects, origins, strict=True):
            how = repr(origin.options)
            if how not in openings:
                # What can't be honoured was said when it was opened.
                root = stack.enter_context(described(file, Diagnostics()))
                openings[how] = Opening(file, root, origin.options, origin.way, did_grow)
            opening = openings[how]
            if isinstance(each, xr.DataTree):
                edits += _edits_of_tree(each, origin.path, opening, rules)
            else:
                edits += _edits_of_data(each, origin, opening, rules)
        report_conflicts(handle, edits, rules.diagnostics)
    return Changes(file, tuple(edits))


# --- where it comes from ---------------------------------------------------------------------------------------


def _origin(obj: Writable) -> Opened:
    """How an object was opened; of a tree, with the path of its root."""
    encoding = obj.encoding
    # Variables may have been put into a Dataset from other files.
    whole = None if isinstance(obj, xr.DataArray) else encoding.get("source")
    for path, variable in _variables(obj):
        found = variable.encoding.get("opened")
        if isinstance(found, Opened) and found.path.endswith(path) and whole in (None, found.file.given_name):
            return replace(found, path=found.path.removesuffix(path) or "/") if path else found
    if "source" in encoding and "nexus_path" in encoding:
        way = "tree" if isinstance(obj, xr.DataTree) else "dataset"
        return Opened(way, File(encoding["source"]), Options(), str(encoding["nexus_path"]), ())
    raise NexusError(
        f'layout="inplace": the {type(obj).__name__} doesn\'t say which file it was opened from; '
        "write what was opened, with what is new put into it, or leave layout out"
    )


def _below(node: xr.DataTree, above: xr.DataTree) -> str:
    return "" if node is above else f"/{node.relative_to(above)}"


def _variables(obj: Writable) -> Iterator[tuple[str, xr.Variable]]:
    """Each variable, and the path of its group below the object's own."""
    if isinstance(obj, xr.DataTree):
        for node in obj.subtree:
            yield from ((_below(node, obj), variable) for variable in node.dataset.variables.values())
    else:
        variables = obj.variables.values() if isinstance(obj, xr.Dataset) else [obj.variable]
        yield from (("", variable) for variable in variables)


def _at_their_places(opening: Opening, above: str, edits: Iterable[Edit]) -> Iterator[Edit]:
    """Edits of a tree at a path, where what they change stands in the file."""
    for edit in edits:
        yield replace(edit, path=_stored_path(opening.root, above, edit.path.removeprefix(above)))


def _stored_path(root: Group, above: str, path: str) -> str:
    """Where something stands in the file that a tree has under another name, beside the attributes of its group."""
    stored = above.rstrip("/")
    for name in path.strip("/").split("/") if path.strip("/") else ():
        group = root.find(stored) if name.startswith("attrs_") else None
        stored += f"/{_names_in_tree(group).get(name, name) if isinstance(group, Group) else name}"
    return stored or "/"


def _names_in_tree(group: Group) -> dict[str, str]:
    """The names of members as they are in the file by those that a tree gives them, in their order."""
    names: dict[str, str] = {}
    for name, _, _ in group.members():
        names[key_in_tree(name, names)] = name
    return names


# --- what is different -----------------------------------------------------------------------------------------


def _edits_of_tree(tree: xr.DataTree, start: str, opening: Opening, rules: Rules) -> Iterator[Edit]:
    opening = replace(opening, options=replace(opening.options, group=start))
    described, trees = describe_nodes(opening)
    for node in tree.subtree:
        relative = _below(node, tree) or "/"
        path = f"{start.rstrip('/')}{relative}" if relative != "/" else start
        now = node.to_dataset(inherit=False)
        if relative not in described and relative not in trees:
            yield from _edits_of_new(now, path, opening.root.find(path) is None, node.children, rules)
            continue
        if relative in described:
            yield from DataUpdate(opening, described[relative], now, rules).edits()
        elif now.variables:
            yield from _edits_of_first_data(now, path, opening, rules)
        if rules.with_metadata:
            yield from _edits_of_metadata(
                opening, trees.get(relative, {}), now.attrs, path, described.get(relative), rules
            )


def _edits_of_metadata(
    opening: Opening,
    before: Mapping[str, Any],
    now: Mapping[Any, Any],
    path: str,
    described: Described | None,
    rules: Rules,
) -> Iterator[Edit]:
    """What of the tree of a node is different, which one with data may have in a group of its own."""
    stored_in = None if described is None else text(described.content.attributes.get(METADATA_GROUP))
    places = {path: list(now)}
    if stored_in is not None:
        places = {path: ["attrs"], path_of_member(path, stored_in): [name for name in now if name != "attrs"]}
    for place, names_there in places.items():
        old, new = ({name: tree[name] for name in names_there if name in tree} for tree in (before, now))
        yield from _at_their_places(opening, place, tree_edits(old, new, place, rules.diagnostics, rules.skip))


def _edits_of_new(
    dataset: xr.Dataset, path: str, is_absent: bool, below: Collection[str], rules: Rules
) -> Iterator[Edit]:
    """A node that wasn't opened: of a new group, or of one that only held others."""
    own, data = _tree_and_data(dataset, path, rules)
    if is_absent:
        group = with_tree(data, own, below) if data.members else own
        added = data.attributes or ({"NX_class": "NXentry"} if path.count("/") == 1 else {})
        yield Edit(path, replace(group, attributes=marked(group.attributes, added, bool(data.members))))
        return
    yield from _edits_within(path, GroupNode({**own.members, **data.members}, {**own.attributes, **data.attributes}))


def _edits_of_first_data(dataset: xr.Dataset, path: str, opening: Opening, rules: Rules) -> Iterator[Edit]:
    """The variables of a node that had none, whose group stays of the class that it has."""
    data, group = _tree_and_data(dataset, path, rules)[1], opening.root.find(path)
    has_class = isinstance(group, Group) and "NX_class" in group.read_attributes()
    attributes = {name: value for name, value in data.attributes.items() if name != "NX_class" or not has_class}
    yield from _edits_within(path, replace(data, attributes=attributes))


def _edits_within(path: str, added: GroupNode) -> Iterator[Edit]:
    """What is put into a group that is there."""
    for name, member in added.members.items():
        yield Edit(path_of_member(path, name), member)
    if added.attributes:
        yield Edit(path, None, added.attributes)


def _tree_and_data(dataset: xr.Dataset, path: str, rules: Rules) -> tuple[GroupNode, GroupNode]:
    dataset, tree = data_and_tree(dataset)
    own = node_of(tree if rules.with_metadata else {}, path, rules.diagnostics, rules.skip)
    fields = fields_of(with_true_errors(dataset, tree, path), path, rules.storing, rules.diagnostics)
    return own, group_of(dataset, fields, path, rules.diagnostics)


def _edits_of_data(obj: xr.DataArray | xr.Dataset, origin: Opened, opening: Opening, rules: Rules) -> Iterator[Edit]:
    described = opening.describe(opening.at(origin.path))
    if isinstance(obj, xr.Dataset):
        now = obj
    else:
        path = str(obj.encoding["nexus_path"])
        if _variable_of(path, described) is None:
            described = opening.describe(opening.at(path))
        _refuse_other_array(obj, path, described)
        now = _dataset_of_array(obj, path, described)
    yield from DataUpdate(opening, described, now, rules).edits()
    if rules.with_metadata and origin.way == "tree":
        left, path = opening.left_over(described), described.group.path
        yield from _edits_of_metadata(opening, left, now.attrs, path, described, rules)
    elif rules.with_metadata:
        before = opening.attrs(described)
        for place, keys in _places(described, opening, now.attrs).items():
            old, new = ({key: tree[key] for key in keys if key in tree} for tree in (before, now.attrs))
            edits = _at_their_places(opening, place, tree_edits(old, new, place, rules.diagnostics, rules.skip))
            yield from _without_new_nothing(edits, opening.root) if set(keys) <= {*BESIDE_ORIGINAL} else edits


def _without_new_nothing(edits: Iterable[Edit], root: Group) -> Iterator[Edit]:
    """Edits of what is HyperSpy's alone, in which nothing is new that holds nothing."""
    for edit in edits:
        if isinstance(edit.node, GroupNode):
            yield replace(edit, node=without_nothing(edit.node))
        elif not is_nothing(edit.node) or root.find(edit.path) is not None:
            yield edit


def _variable_of(path: str, described: Described) -> str | None:
    """Name of the variable that a field is in a group."""
    field = path.rpartition("/")[2]
    return next((each.name for each in described.data.variables if each.field == field), None)


def _refuse_other_array(array: xr.DataArray, path: str, described: Described) -> None:
    """Raise an error where an array that says where it comes from isn't what is there any more.

    That is a part under another name, and what was an axis and is one no more, as positions are that `idxmax` finds, to
    which xarray gives the name and the encoding of the axis.
    """
    variables = described.data.variables
    there = next((each for each in variables if each.field == path.rpartition("/")[2]), None)
    if there is None:
        return
    *outer, last = described.content.fields[there.field].shape or (1,)
    shape = (*outer, last - (there.bounds is not None)) if there.dims else ()
    others = {dim for each in variables for dim in each.dims} - set(there.dims)
    is_elsewhere = len(array.dims) != len(there.dims) or not others.isdisjoint(array.dims)
    is_another = array.name != there.name and sorted(array.shape) != sorted(shape)
    if is_another or (there.role.is_coordinate and is_elsewhere):
        raise NexusError(
            f'{shown(str(array.encoding.get("source")))}: layout="inplace": {array.name!r} of {dict(array.sizes)} says '
            f"that it comes from {path}, which is {there.name!r} of {dict(zip(there.dims, shape, strict=True))}, and "
            "would replace it; put it into the Dataset that was opened, under a name of its own"
        )


def _dataset_of_array(array: xr.DataArray, path: str, described: Described) -> xr.Dataset:
    """A signal as a variable of its group, with its tree in ``attrs``."""
    name = _variable_of(path, described) or path.rpartition("/")[2]
    tree = {key: value for key, value in array.attrs.items() if is_of_tree(value)}
    variable = array.variable.copy(deep=False)
    variable.attrs = {key: value for key, value in array.attrs.items() if key not in tree}
    coordinates = array.coords.to_dataset().drop_vars(name, errors="ignore")
    return errors_as_data(coordinates.assign({name: variable})).assign_attrs(tree)


def _places(described: Described, opening: Opening, tree: Mapping[Any, Any]) -> dict[str, list[Any]]:
    """Where in the file the members of a tree stand."""
    entry = entry_of(opening.root, described.group)
    if opening.restored(entry) is None:
        return {entry.path: list(tree)}
    auxiliary = path_of_member(entry.path, COLLECTIONS)
    aside = [key for key in tree if key in BESIDE_ORIGINAL]
    places = {auxiliary: aside, f"{auxiliary}/{METADATA[0]}": [key for key in tree if key not in aside]}
    return {**places, entry.path: [TITLE]} if isinstance(entry.get(TITLE), Dataset) and _has_title(tree) else places


def _has_title(tree: Mapping[Any, Any]) -> bool:
    """Whether a tree has a title that can be that of its entry, too."""
    title: Any = tree.get(TITLE)
    return isinstance(title["value"] if is_field(title) else title, str)
