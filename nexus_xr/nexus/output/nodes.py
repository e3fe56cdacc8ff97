"""What is to be written: a plain tree of groups, fields and links, made and checked before the first byte is.

`node_of` makes it from nested dictionaries, as the metadata of a file is read; `write_members` writes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostic, Diagnostics
from nexus_xr.errors import NexusError
from nexus_xr.hdf5.objects.datatypes import has_references, varying_element
from nexus_xr.hdf5.objects.dimension_scales import without_scales
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.objects.text import as_h5py_takes_it, encode, is_text, is_unicode
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.copying import Copied, copy_dataset
from nexus_xr.hdf5.writing.creation import create_dataset, default_chunks, put
from nexus_xr.hdf5.writing.new_objects import create_group, fits_old_header
from nexus_xr.hdf5.writing.part_files import Joined, create_joined
from nexus_xr.nexus.rules.reserved import PLAIN
from nexus_xr.nexus.tree.metadata import StoredArray, is_field

_MOST_DIMENSIONS = 32
# As many names as surely fit into one.
_MOST_NAMES = 2_000
_TEXT = h5py.string_dtype()
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


class _UnstorableError(ValueError):
    """A value that HDF5 has no way to hold."""


def node_of(tree: Mapping[str, Any], path: str, diagnostics: Diagnostics, skip: Skip = lambda _: False) -> GroupNode:
    """The group that a nested dictionary stands for.

    Parameters
    ----------
    tree
        Members by name; attributes are under ``"attrs"``. A member with a ``"value"`` that is no dictionary is a field,
        any other dictionary a group, and a bare value a field without attributes.
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
    return not isinstance(value, Mapping | Link) and not _has_units(value)


def _member(value: Any, path: str, diagnostics: Diagnostics, skip: Skip, above: tuple[int, ...]) -> Node | None:
    if isinstance(value, Link):
        if not is_unicode(str(value)):
            diagnostics.add(Code.VALUE_UNSTORABLE, path, f"it is a link to {str(value)!r}, which is no text in Unicode")
            return None
        return value
    attributes: Any = {}
    if isinstance(value, Mapping):
        if not is_field(value):
            return _group(value, path, diagnostics, skip, above)
        value, attributes = value["value"], value.get("attrs", {})
        if not isinstance(attributes, Mapping):
            message = f"its attrs are of type {type(attributes).__name__}, and no dictionary"
            diagnostics.add(Code.ATTRIBUTE_UNSTORABLE, path, message)
            return None
    if _has_units(value) and isinstance(attributes, Mapping):
        value, attributes = value.magnitude, {**attributes, "units": f"{value.units:~C}"}
    try:
        values = storable(value)
    except _UnstorableError as error:
        diagnostics.add(Code.VALUE_UNSTORABLE, path, str(error))
        return None
    own = attributes_of(attributes, path, diagnostics) if isinstance(attributes, Mapping) else {}
    if isinstance(values, LazyArray):
        return FieldNode(Copied(values), own, default_chunks(values.shape, values.dtype.itemsize))
    return FieldNode(values, own)


def attributes_of(attributes: Mapping[str, Any], path: str, diagnostics: Diagnostics) -> dict[str, Any]:
    """Attributes as they are stored, but those that are true only where they stood."""
    made = {}
    for name, value in without_scales(attributes).items():
        try:
            if not isinstance(name, str) or not name:
                raise _UnstorableError("its name is no text")
            if "\0" in name:
                raise _UnstorableError("its name has a zero in it, at which it would end")
            if not is_unicode(name):
                raise _UnstorableError("its name is no text in Unicode")
            stored = storable(value)
            if not isinstance(stored, np.ndarray | h5py.Empty):
                stored = np.asarray(stored)
            made[name] = stored
        except _UnstorableError as error:
            diagnostics.add(Code.ATTRIBUTE_UNSTORABLE, path, f"attribute {name!r}: {error}")
    return made


def too_large_for_old(attributes: Mapping[str, Any]) -> list[str]:
    """Names of attributes that have no place in a header of HDF5's first version, as others' objects may have.

    Examples
    --------
    >>> too_large_for_old({"small": np.zeros(8000), "large": np.zeros(9000), "text": "a" * 70_000})
    ['large']
    """
    arrays = {name: value for name, value in attributes.items() if isinstance(value, np.ndarray)}
    return [name for name, value in arrays.items() if not fits_old_header(name, raw_dtype(value), value.shape)]


def why_no_name(name: Any) -> str | None:
    """Why something can't be the name of a member, None where it can."""
    if not isinstance(name, str):
        return f"{name!r} is no text"
    if not name or name == "." or "/" in name or "\0" in name:
        return f"{name!r} is no name in HDF5; rename it"
    return None if is_unicode(name) else f"{name!r} is no text in Unicode; rename it"


def why_too_many(dimensions: int) -> str | None:
    """Why an array of so many dimensions can't be stored, None where it can.

    Source: the HDF5 library's H5S_MAX_RANK.
    """
    too_many = dimensions > _MOST_DIMENSIONS
    return f"it has {dimensions} dimensions, and arrays in HDF5 at most {_MOST_DIMENSIONS}" if too_many else None


def storable(value: Any) -> Any:
    """A value as HDF5 holds it: an array, `h5py.Empty`, or what gives an array later.

    Raises
    ------
    ValueError
        HDF5 has no way to hold it.

    Examples
    --------
    >>> storable([1, 2]), storable(1.5)
    (array([1, 2]), array(1.5))
    """
    if isinstance(value, LazyArray) and has_references(value.raw_dtype):
        value = value[...]  # as copies of them would lead nowhere
    if isinstance(value, h5py.Empty):
        return h5py.Empty(_without_objects(value.dtype))
    if _comes_later(value):
        if not isinstance(value, StoredArray) and value.dtype.kind == "V" and _has_text_or_dates(value.dtype):
            raise _UnstorableError("it has records with text or dates, which dask has yet to compute; compute it")
        return value
    if value is None:
        return h5py.Empty("f4")
    if isinstance(value, str) and "\0" in value:  # of which NumPy's text cuts those at the end
        raise _UnstorableError("it is text with a zero in it, which would end there")
    if isinstance(value, bytes) and not _is_text(value):
        return np.asarray(np.void(value))
    if isinstance(value, date):
        return np.asarray(value.isoformat(), dtype=_TEXT)
    if _has_units(value):
        raise _UnstorableError("it is a quantity, of whose units there is no attribute here; make it a number")
    if isinstance(value, list | tuple) and any(isinstance(each, Link) for each in value):
        value = [str(each) for each in value]
    if np.ma.is_masked(value):
        raise _UnstorableError("it has masked elements, for which HDF5 has no place; fill them")
    try:
        array = np.asarray(value)
    except TypeError as error:  # which xarray's Datasets raise
        raise _UnstorableError(f"a value of type {type(value).__name__} can't be stored in HDF5 ({error})") from None
    except (ValueError, OverflowError) as error:
        if (ragged := _ragged(value)) is not None:
            return ragged
        raise _UnstorableError(f"its parts are of several lengths ({error})") from None
    if (reason := why_too_many(array.ndim)) is not None:
        raise _UnstorableError(reason)
    try:
        return _storable_array(array)
    except UnicodeEncodeError as error:
        raise _UnstorableError(f"it is text that is no Unicode ({error.reason})") from None


def _is_text(value: bytes) -> bool:
    """Whether text is what bytes are stored as, from which just they come back."""
    try:
        return "\0" not in value.decode()
    except UnicodeDecodeError:
        return False


def _comes_later(value: Any) -> bool:
    return isinstance(value, StoredArray) or (hasattr(value, "dask") and hasattr(value, "dtype"))


def _has_units(value: Any) -> bool:
    """Whether a value is a quantity, as those of pint are."""
    return hasattr(value, "magnitude") and hasattr(value, "units")


def _ragged(value: Any) -> NDArray[Any] | None:
    """Lists of numbers, or of bytes, of several lengths as elements of varying length; None where they are others."""
    elements = list(value.flat if isinstance(value, np.ndarray) else value) if _is_list(value) else []
    if not elements or not all(map(_is_list, elements)):
        return None
    try:
        parts = [np.asarray(each) for each in elements]
    except ValueError:
        return None
    kinds = {part.dtype.kind for part in parts if part.size}
    if any(part.ndim != 1 for part in parts) or not (kinds <= set("biuf") or kinds == {"S"}):
        return None
    element = np.result_type(*(part for part in parts if part.size)) if kinds else parts[0].dtype
    ragged = np.fromiter((part.astype(element) for part in parts), dtype=h5py.vlen_dtype(element))
    return ragged.reshape(np.shape(value)) if isinstance(value, np.ndarray) else ragged


def _holds(array: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether elements are still of the type that was noted of them when they were read."""
    inner = varying_element(dtype)
    if inner is None:
        return not dtype.hasobject or (is_text(dtype) and all(isinstance(each, str | bytes) for each in array.flat))
    return all(
        isinstance(each, np.ndarray) and each.ndim == 1 and each.dtype == inner and _holds(each, inner)
        for each in array.flat
    )


def is_ragged(values: Any) -> bool:
    """Whether the elements of an array are arrays of numbers."""
    return isinstance(h5py.check_vlen_dtype(values.dtype), np.dtype)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray)


def _storable_array(array: NDArray[Any]) -> NDArray[Any]:
    kind = array.dtype.kind
    if kind == "O" and varying_element(array.dtype) is not None and _holds(array, array.dtype):
        return array
    if kind == "O" and all(map(_is_reference, array.flat)):
        return _as_text_array(map(_path_of, array.flat)).reshape(array.shape)
    if kind == "O" and (ragged := _ragged(array)) is not None:
        return ragged
    if kind == "M":
        array = array.astype(str)
        kind = "U"
    if kind in "biufcS":
        return array if array.dtype.itemsize else array.astype("S1")
    if kind == "U" and array.ndim:
        encoded = np.strings.encode(array, "utf-8", "surrogateescape") if array.size else np.empty(array.shape, "S1")
        length = max(1, array.dtype.itemsize // 4, encoded.dtype.itemsize)
        return encoded.astype(h5py.string_dtype("utf-8", length))
    if kind == "U" or (array.size and all(isinstance(each, str | bytes) for each in array.flat)):
        if any(b"\0" in (each if isinstance(each, bytes) else encode(each)) for each in array.flat):
            raise _UnstorableError("it is text with a zero in it, which would end there")
        return _as_text_array(array.astype(object).flat).reshape(array.shape)
    if kind == "T":
        return array.astype(object).astype(_TEXT)
    if kind == "V":
        return _storable_records(array) if _has_text_or_dates(array.dtype) else array
    if array.shape == ():
        raise _UnstorableError(f"a value of type {type(array.item()).__name__} can't be stored in HDF5")
    raise _UnstorableError(f"an array of {array.dtype} can't be stored in HDF5")


def _has_text_or_dates(dtype: np.dtype[Any]) -> bool:
    """Whether records have elements that HDF5 stores otherwise than NumPy does."""
    if dtype.names is None:
        return dtype.base.kind in "OUM"
    return any(_has_text_or_dates(dtype[name]) for name in dtype.names)


def _storable_records(array: NDArray[Any]) -> NDArray[Any]:
    parts = {name: _storable_array(array[name]) for name in array.dtype.names or ()}
    dtype = np.dtype([(name, part.dtype, part.shape[array.ndim :]) for name, part in parts.items()])
    stored = np.empty(array.shape, dtype)
    for name, part in parts.items():
        stored[name] = part
    return stored


def _is_reference(value: Any) -> bool:
    """Whether a value is a reference, which may be a null one, or a list of them."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and all(map(_is_reference, value.flat))
    return value is None or isinstance(value, Link)


def _path_of(reference: Any) -> str:
    """Where a reference leads; of a list of them, all paths."""
    if isinstance(reference, np.ndarray):
        return ", ".join(map(_path_of, reference.flat))
    return "" if reference is None else str(reference)


def _as_text_array(texts: Iterable[str | bytes]) -> NDArray[Any]:
    return np.fromiter((each if isinstance(each, bytes) else as_h5py_takes_it(each) for each in texts), _TEXT)


class PendingWrite(NamedTuple):
    """A dataset that was made, and its values, which are still to be computed and written."""

    dataset: h5py.Dataset
    values: Any


def write_members(group: h5py.Group, node: GroupNode) -> list[PendingWrite]:
    """Write a tree into an open group.

    Returns
    -------
    list of PendingWrite
        What is left to write, of datasets whose values come later.
    """
    pending: list[PendingWrite] = []
    write_attributes(group, node.attributes)
    for name, member in node.members.items():
        if isinstance(member, Link):
            group[name] = h5py.ExternalLink(member.file, member.path) if member.file else h5py.SoftLink(member.path)
        elif isinstance(member, GroupNode):
            pending += write_members(create_group(group, name), member)
        else:
            pending += _write_field(group, name, member)
    return pending


def _write_field(group: h5py.Group, name: str, node: FieldNode) -> list[PendingWrite]:
    values = node.values
    if isinstance(values, h5py.Empty):
        dataset = group.create_dataset(name, data=values, track_order=True)
    elif isinstance(values, Joined):
        write_attributes(create_joined(group, name, values), node.attributes)
        return []
    elif isinstance(values, Copied) and copy_dataset(
        values.array, group, name, in_new_header=bool(too_large_for_old(node.attributes))
    ):
        write_attributes(group[name], node.attributes)
        return []
    else:
        values = values.array if isinstance(values, Copied) else values
        dataset = create_dataset(group, name, values.shape, raw_dtype(values), node.chunks, node.filters, node.growing)
    write_attributes(dataset, node.attributes)
    if isinstance(values, np.ndarray) and not node.chunks:
        if values.size:
            put(dataset, [0] * values.ndim, values)
        return []
    is_done = isinstance(values, h5py.Empty) or not math.prod(values.shape)
    return [] if is_done else [PendingWrite(dataset, values)]


def raw_dtype(values: Any) -> np.dtype[Any]:
    """The dtype in the file of values that HDF5 can hold."""
    dtype: np.dtype[Any] = values.dtype
    return _TEXT if dtype.kind in "UT" else _without_objects(dtype)


def _without_objects(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The same with text of varying length in place of objects of which h5py knows nothing, also in records."""
    if dtype.subdtype is not None:
        element, shape = dtype.subdtype
        return np.dtype((_without_objects(element), shape))
    if dtype.names is not None and dtype.hasobject:
        return np.dtype([(name, _without_objects(dtype[name])) for name in dtype.names])
    is_known = h5py.check_vlen_dtype(dtype) is not None or h5py.check_ref_dtype(dtype) is not None
    return _TEXT if dtype.kind == "O" and not is_known else dtype


def write_attributes(item: h5py.Group | h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    """Give an open object attributes, in place of those of the same names."""
    for name, value in attributes.items():
        try:
            item.attrs[name] = _as_written(value)
        except _UnstorableError as error:
            raise NexusError(f"{item.name}: attribute {name!r}: {error}") from None


def _as_written(value: Any) -> Any:
    if isinstance(value, str | list) and not _are_unicode(value):
        value = storable(value)
    is_one_text = isinstance(value, np.ndarray) and value.dtype == _TEXT and value.ndim == 0
    return value.item() if is_one_text else value


def _are_unicode(value: Any) -> bool:
    return all(is_unicode(each) for each in np.ravel(value) if isinstance(each, str))


def raise_unstorable(path: str, diagnostics: Iterable[Diagnostic]) -> None:
    """One error for all that can't be stored."""
    reasons = list(map(str, diagnostics))
    if reasons:
        shown = "\n".join(f"  {reason}" for reason in reasons[:20])
        more = f"\n  ... {len(reasons) - 20} more" if len(reasons) > 20 else ""
        raise NexusError(f"{path}: nothing was written, as this can't be stored:\n{shown}{more}")
