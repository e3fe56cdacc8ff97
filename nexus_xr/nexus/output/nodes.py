"""What is to be written: a plain tree of groups, fields and links, made and checked before the first byte is.

`node_of` makes it from nested dictionaries, as the metadata of a file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from nexus_xr.diagnostics import Code, Diagnostic, Diagnostics
from nexus_xr.errors import NexusError
from nexus_xr.hdf5.objects.dimension_scales import without_scales
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.objects.text import is_unicode
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.copying import Copied
from nexus_xr.hdf5.writing.creation import default_chunks
from nexus_xr.nexus.rules.reserved import ELEMENTS, PLAIN
from nexus_xr.nexus.tree.metadata import is_field, is_list_of_groups

from .exact_lists import has_at_most
from .quantities import is_quantity, units_of, why_other_units
from .storable import storable
from .ways_out import UnstorableError, has_labels, why_unstorable

# As many names as surely fit into one.
_MOST_NAMES = 2_000
# Deeper than any real file, and shallow enough to be walked through.
_DEEPEST = 200


@dataclass(frozen=True)
class FieldNode:
    """A field that is to be written.

    Parameters
    ----------
    values
        A NumPy array, `h5py.Empty`, or anything with ``shape`` and ``dtype`` that gives its values later.
    attributes
        Its attributes.
    chunks, filters
        How it is stored.
    growing
        Which of its dimensions have no end; of one with chunks.
    """

    values: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)
    chunks: tuple[int, ...] | None = None
    filters: tuple[Filter, ...] = ()
    growing: tuple[bool, ...] = ()


@dataclass(frozen=True)
class GroupNode:
    """A group that is to be written: members by name, and attributes."""

    members: Mapping[str, Node] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


Node = FieldNode | GroupNode | Link
Skip = Callable[[str], bool]


def node_of(tree: Mapping[str, Any], path: str, diagnostics: Diagnostics, skip: Skip = lambda _: False) -> GroupNode:
    """The group that a nested dictionary stands for.

    Parameters
    ----------
    tree
        Members by name; attributes are under ``"attrs"``. A member with a ``"value"`` that is no dictionary is a field,
        any other dictionary a group, a list with dictionaries, or with what no array holds as it is, a group of its
        elements by their numbers, and a bare value a field without attributes.
    path
        Where it stands, for what is said of it.
    diagnostics
        Is given what can't be stored, and why.
    skip
        Tells of a path whether it is left out.
    """
    return _group(tree, path, diagnostics, skip, ())


def _group(
    tree: Mapping[str, Any], path: str, diagnostics: Diagnostics, skip: Skip, above: tuple[int, ...]
) -> GroupNode:
    if id(tree) in above:
        diagnostics.add(Code.TREE_IN_ITSELF, path, "contains itself")
        return GroupNode()
    if len(above) >= _DEEPEST:
        diagnostics.add(Code.TOO_DEEP, f"{path[:80]}...", f"lies deeper than {_DEEPEST} groups")
        return GroupNode()
    members: dict[str, Node] = {}
    for name, value in tree.items():
        here = f"{path}/{name}"
        if name == "attrs" and isinstance(value, Mapping):
            continue
        if (reason := why_no_name(name)) is not None:
            diagnostics.add(Code.NAME_INVALID, here, reason)
        elif not skip(here):
            member = _member(value, here, diagnostics, skip, (*above, id(tree)))
            if member is not None:
                members[name] = member
    attributes = tree.get("attrs")
    own = attributes_of(attributes, path, diagnostics) if isinstance(attributes, Mapping) else {}
    plain = [name for name in members if _is_plain(tree[name])]
    return GroupNode(members, {**own, PLAIN: plain} if 0 < len(plain) <= _MOST_NAMES else own)


def _is_plain(value: Any) -> bool:
    """Whether a member of a dictionary is a value, which no other way of being one can hold as well."""
    return not isinstance(value, Mapping | Link) and not is_list_of_groups(value) and not is_quantity(value)


def _member(value: Any, path: str, diagnostics: Diagnostics, skip: Skip, above: tuple[int, ...]) -> Node | None:
    if isinstance(value, Link):
        if not is_unicode(str(value)):
            diagnostics.add(Code.VALUE_UNSTORABLE, path, f"it is a link to {str(value)!r}, which is no text in Unicode")
            return None
        return value
    if has_labels(value):  # some of which are dictionaries of arrays
        diagnostics.add(Code.VALUE_UNSTORABLE, path, why_unstorable(value))
        return None
    if is_list_of_groups(value):
        return _list(value, path, diagnostics, skip, above)
    attributes: Any = {}
    if isinstance(value, Mapping):
        if not is_field(value):
            return _group(value, path, diagnostics, skip, above)
        value, attributes = value["value"], value.get("attrs", {})
        if not isinstance(attributes, Mapping):
            message = f"its attrs are of type {type(attributes).__name__}, and no dictionary"
            diagnostics.add(Code.ATTRIBUTE_UNSTORABLE, path, message)
            return None
    if is_quantity(value):
        if (reason := why_other_units(value, attributes)) is not None:
            diagnostics.add(Code.VALUE_UNSTORABLE, path, reason)
            return None
        value, attributes = value.magnitude, {**attributes, "units": units_of(value)}
    try:
        values = storable(value)
    except UnstorableError as error:
        elements = None if attributes else _list_of_values(value, path, skip, above)
        if elements is None:
            diagnostics.add(Code.VALUE_UNSTORABLE, path, str(error))
        return elements
    own = attributes_of(attributes, path, diagnostics)
    if isinstance(values, LazyArray):
        return FieldNode(Copied(values), own, default_chunks(values.shape, values.dtype.itemsize))
    return FieldNode(values, own)


def _list(
    elements: Sequence[Any], path: str, diagnostics: Diagnostics, skip: Skip, above: tuple[int, ...]
) -> GroupNode | None:
    """The group of the elements of a list, with a mark by which it is one again."""
    if id(elements) in above:
        diagnostics.add(Code.TREE_IN_ITSELF, path, "contains itself")
        return None
    members = {str(number): each for number, each in enumerate(elements)}
    group = _group(members, path, diagnostics, skip, (*above, id(elements)))
    return GroupNode(group.members, {**group.attributes, ELEMENTS: np.asarray(len(elements))})


def _list_of_values(value: Any, path: str, skip: Skip, above: tuple[int, ...]) -> GroupNode | None:
    """The group of the elements of a list that no array holds; None for what is no such list, or has others."""
    if not isinstance(value, list | tuple) or not has_at_most(value, _MOST_NAMES):
        return None
    of_elements = Diagnostics()
    group = _list(value, path, of_elements, skip, above)
    return None if any(of_elements) else group


def attributes_of(attributes: Mapping[str, Any], path: str, diagnostics: Diagnostics) -> dict[str, Any]:
    """Attributes as they are stored, but those that are true only where they stood."""
    made = {}
    for name, value in without_scales(attributes).items():
        try:
            if not isinstance(name, str) or not name:
                raise UnstorableError("its name is no text")
            if "\0" in name:
                raise UnstorableError("its name has a zero in it, at which it would end")
            if not is_unicode(name):
                raise UnstorableError("its name is no text in Unicode")
            stored = storable(value)
            if not isinstance(stored, np.ndarray | h5py.Empty):
                stored = np.asarray(stored)
            made[name] = stored
        except UnstorableError as error:
            diagnostics.add(Code.ATTRIBUTE_UNSTORABLE, path, f"attribute {name!r}: {error}")
    return made


def why_no_name(name: Any) -> str | None:
    """Why something can't be the name of a member, None where it can."""
    if not isinstance(name, str):
        return f"{name!r} is no text"
    if not name or name == "." or "/" in name or "\0" in name:
        return f"{name!r} is no name in HDF5; rename it"
    return None if is_unicode(name) else f"{name!r} is no text in Unicode; rename it"


def raise_unstorable(path: str, diagnostics: Iterable[Diagnostic]) -> None:
    """One error for all that can't be stored."""
    reasons = list(map(str, diagnostics))
    if reasons:
        shown = "\n".join(f"  {reason}" for reason in reasons[:20])
        more = f"\n  ... {len(reasons) - 20} more" if len(reasons) > 20 else ""
        raise NexusError(f"{path}: nothing was written, as this can't be stored:\n{shown}{more}")
