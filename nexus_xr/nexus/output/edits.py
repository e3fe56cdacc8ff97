"""Changes to a file that is there already: what of its tree is new or different, and putting that where it belongs."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
from h5py import h5o, h5t
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.datatypes import has_references
from nexus_xr.hdf5.objects.dimension_scales import DIMENSION_LABELS, DIMENSION_LIST
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.text import encode
from nexus_xr.hdf5.writing.atomic_file import failing
from nexus_xr.hdf5.writing.copying import Copied
from nexus_xr.hdf5.writing.creation import create_alike
from nexus_xr.hdf5.writing.exact_numbers import in_type
from nexus_xr.hdf5.writing.link_targets import LinkTarget, copy_attributes, link_target, other_names
from nexus_xr.hdf5.writing.new_objects import stored_bytes
from nexus_xr.hdf5.writing.part_files import Joined
from nexus_xr.hdf5.writing.scales import DetachedScales
from nexus_xr.hdf5.writing.stored_anew import StoredAnew
from nexus_xr.nexus.tree.metadata import is_field, same_tree

from .node_writing import PendingWrite, too_large_for_old, write_attributes, write_members
from .nodes import FieldNode, GroupNode, Node, Skip, attributes_of, node_of
from .quantities import is_quantity, units_of, why_other_units
from .storable import raw_dtype

# The version of object headers that hold no attribute of 64 KiB.
_OLD_HEADER = 1


@dataclass(frozen=True)
class Edit:
    """Something of a file that is to be different.

    Parameters
    ----------
    path
        Where it stands.
    node
        What is to stand there; None where only attributes change.
    attributes
        Attributes that are new or have other values.
    untrue
        Names of attributes that are true no longer, and go.
    keeps_storage
        Whether a dataset that can hold the values stays, with its chunks and filters.
    """

    path: str
    node: Node | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    untrue: Collection[str] = ()
    keeps_storage: bool = True


def tree_edits(
    before: Mapping[str, Any], now: Mapping[str, Any], path: str, diagnostics: Diagnostics, skip: Skip = lambda _: False
) -> Iterator[Edit]:
    """What a tree has that it had not, or had with another value. Nothing is taken for removed.

    Parameters
    ----------
    before, now
        The tree of a group as it is in the file, and as it is to be.
    path
        Path of the group.
    diagnostics
        Is given what can't be stored, and why.
    skip
        Tells of a path whether it is left as it is.
    """
    for name, member in now.items():
        here = path_of_member(path, name)
        if skip(here) or (name in before and same_tree(before[name], member)):
            continue
        if name == "attrs" and isinstance(member, Mapping):
            yield from attribute_edits(before.get("attrs", {}), member, path, diagnostics)
        elif name not in before:
            yield Edit(here, node_of({name: member}, path.rstrip("/"), diagnostics, skip).members.get(name))
        elif _is_group(before[name]) and _is_group(member):
            yield from tree_edits(before[name], member, here, diagnostics, skip)
        else:
            yield from _field_edits(before[name], member, here, diagnostics)


def _is_group(member: Any) -> bool:
    return isinstance(member, Mapping) and not is_field(member)


def _field_edits(before: Any, now: Any, path: str, diagnostics: Diagnostics) -> Iterator[Edit]:
    old, new = (_in_numbers(each if is_field(each) else {"value": each}) for each in (before, now))
    if not same_tree(old["value"], new["value"]):
        parent, _, name = path.rpartition("/")
        yield Edit(path, node_of({name: now}, parent, diagnostics).members.get(name))
    yield from attribute_edits(old.get("attrs", {}), new.get("attrs", {}), path, diagnostics)


def _in_numbers(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field with the units of a quantity among its attributes; as it is where these say others, which is no value."""
    value, attributes = field["value"], field.get("attrs", {})
    if not is_quantity(value) or why_other_units(value, attributes) is not None:
        return field
    return {"value": value.magnitude, "attrs": {**attributes, "units": units_of(value)}}


def attribute_edits(
    before: Mapping[str, Any], now: Mapping[str, Any], path: str, diagnostics: Diagnostics
) -> Iterator[Edit]:
    """The attributes that are new or have other values."""
    changed = {name: value for name, value in now.items() if name not in before or not same_tree(before[name], value)}
    if changed:
        yield Edit(path, None, attributes_of(changed, path, diagnostics))


def report_conflicts(file: h5py.File, edits: Sequence[Edit], diagnostics: Diagnostics) -> None:
    """Say which edits can't be made: what they change lies in another file; an error where libhdf5 doesn't find it."""
    replaced = {edit.path for edit in edits if edit.node is not None}
    for edit in edits:
        if edit.node is None and not edit.attributes and not edit.untrue:
            continue  # it can't be stored, which is said already
        with failing(file.filename, edit.path, "can't be changed"):
            target = link_target(file, edit.path)
        if target.leaves_by is not None:
            message = f"lies behind the link {target.leaves_by}; change it in that file"
            diagnostics.add(Code.BEHIND_LINK, edit.path, message)
        elif edit.path not in replaced and target.is_external:
            diagnostics.add(Code.BEHIND_LINK, edit.path, "is a link into another file; change its attributes there")
        elif edit.path not in replaced:
            _report_large(target, edit, diagnostics)


def _report_large(target: LinkTarget, edit: Edit, diagnostics: Diagnostics) -> None:
    """Say which attributes have no place in the header of what stands there."""
    large = too_large_for_old(edit.attributes)
    present = target.present() if large else None
    if present is not None and h5o.get_info(present.id).hdr.version == _OLD_HEADER:
        for name in large:
            stored = edit.attributes[name]
            size = stored_bytes(raw_dtype(stored), stored.shape)
            message = (
                f"attribute {name!r}: it has {size} bytes; what is there holds attributes of less than 64 KiB, with "
                "their names and types, as its header is of HDF5's first version; make it a field, or write a new file"
            )
            diagnostics.add(Code.ATTRIBUTE_UNSTORABLE, edit.path, message)


def apply(file: h5py.File, edits: Sequence[Edit]) -> list[PendingWrite]:
    """Make changes in a file that is open for writing.

    Returns
    -------
    list of PendingWrite
        What is left to write, of datasets whose values come later.
    """
    pending: list[PendingWrite] = []
    scales = DetachedScales(file)
    for edit in edits:
        target = link_target(file, edit.path)
        if edit.node is not None:
            pending += _put(target, edit.node, edit.keeps_storage, scales)
        if edit.attributes:
            _set_attributes(file[edit.path], edit.attributes)
        for name in edit.untrue:
            file[edit.path].attrs.pop(name, None)
    scales.attach_again()
    return pending


def _put(target: LinkTarget, node: Node, keeps_storage: bool, scales: DetachedScales) -> list[PendingWrite]:
    group = target.group()
    present = target.present()
    if isinstance(node, FieldNode) and isinstance(present, h5py.Dataset):
        return _put_values(group, target.name, present, node, keeps_storage, scales)
    if present is not None or target.is_link:
        del group[target.name]
    return write_members(group, GroupNode({target.name: node}))


def _put_values(
    group: h5py.Group,
    name: str,
    present: h5py.Dataset,
    node: FieldNode,
    keeps_storage: bool,
    scales: DetachedScales,
) -> list[PendingWrite]:
    """Write into the dataset that is there, or where it can't hold the values, into one that replaces it."""
    values = node.values
    is_own = not present.is_virtual and not present.external
    if is_own and keeps_storage and _can_hold(present, values):
        if isinstance(values, np.ndarray):
            if values.size:
                text = as_text_of(present.id.get_type(), values)
                present[...] = (values.astype(present.dtype, copy=False) if text is None else text).reshape(
                    present.shape
                )
            return []
        return [PendingWrite(present, values)] if math.prod(values.shape) else []
    names = other_names(group.file, present)
    scales.detach(present)
    del group[name]
    if isinstance(values, StoredAnew):
        pending = [PendingWrite(create_alike(present, group, name, node.chunks, node.filters), values)]
    else:
        pending = write_members(group, GroupNode({name: replace(node, attributes={})}))
    made = group[name]
    copy_attributes(present, made)
    if made.ndim != present.ndim:
        for of_dimensions in (DIMENSION_LIST, DIMENSION_LABELS):
            made.attrs.pop(of_dimensions, None)
    for parent, other in names:
        if (parent, other) != (group.name, name):
            del group.file[parent][other]
            group.file[parent][other] = made
    return pending


def _can_hold(dataset: h5py.Dataset, values: Any) -> bool:
    """Whether a dataset is of the shape of values, and of a type that holds each of them as it is."""
    if isinstance(values, h5py.Empty | Copied | Joined) or dataset.shape is None or has_references(dataset.dtype):
        return False
    if dataset.shape != values.shape and not (dataset.size == 1 == math.prod(values.shape)):
        return False
    wanted = raw_dtype(values)
    if isinstance(values, np.ndarray) and h5py.check_string_dtype(dataset.dtype):
        return as_text_of(dataset.id.get_type(), values) is not None
    if dataset.dtype == wanted:
        return True
    if not isinstance(values, np.ndarray) or dataset.dtype.kind not in "biufc" or wanted.kind not in "biufc":
        return False
    return in_type(values, dataset.dtype) is not None


def as_text_of(stored: h5t.TypeID, values: Any) -> NDArray[Any] | None:
    """Text in the type that a file has for it; None where it isn't text, or wouldn't come back as it is."""
    if not isinstance(values, np.ndarray) or not h5py.check_string_dtype(values.dtype):
        return None
    info = h5py.check_string_dtype(stored.dtype)
    if info is None:
        return None
    encoded = [each if isinstance(each, bytes) else encode(str(each)) for each in values.flat]
    if info.length is not None:
        has_end, is_padded = (stored.get_strpad() == kind for kind in (h5t.STR_NULLTERM, h5t.STR_SPACEPAD))
        room = info.length - has_end
        is_cut = any(len(each) > room or (is_padded and each.endswith(b" ")) for each in encoded)
        if is_cut or (info.encoding == "ascii" and not all(each.isascii() for each in encoded)):
            return None
    text = np.empty(len(encoded), stored.dtype)
    text[:] = encoded
    return text.reshape(values.shape)


def _set_attributes(item: h5py.Group | h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    """Set attributes in the types that they have, where these hold the values."""
    kept = {}
    for name, value in attributes.items():
        present = item.attrs.get_id(name) if name in item.attrs else None
        is_number = isinstance(value, np.ndarray) and value.dtype.kind in "biufc"
        if present is not None and is_number and present.dtype.kind in "biufc":
            held = in_type(value, present.dtype)
            value = value if held is None else held
        elif present is not None and (text := as_text_of(present.get_type(), value)) is not None:
            if present.shape is not None and text.size == math.prod(present.shape):
                present.write(text.reshape(present.shape))
                continue
            value = text
        kept[name] = value
    write_attributes(item, kept)


def is_stored_as(dataset: Dataset, node: FieldNode) -> bool:
    """Whether a dataset has the chunks and filters that a field is to have."""
    storage = dataset.storage
    return storage.chunks == node.chunks and [(step.id, step.options) for step in storage.filters] == [
        (step.id, step.options) for step in node.filters
    ]
