"""The metadata of a file as nested dictionaries that print short, compare, copy and pickle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.paths import path_of_member
from nexus_xr.hdf5.objects.values import is_empty
from nexus_xr.hdf5.reading.array import LazyArray, are_alike, same_values
from nexus_xr.nexus.rules.content import free_name

from .html import html_of

_WIDTH = 72
_SHOWN = 6


class StoredArray(ABC):
    """An array of a tree that is read when it is indexed, and compares as a whole."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Its shape."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its values."""


StoredArray.register(LazyArray)


class Metadata(dict[str, Any]):
    """A dictionary that compares as a whole, arrays within it included; it is never the same as what is no mapping."""

    __slots__ = ()
    __array_ufunc__ = None  # NumPy leaves a comparison with it to it, and doesn't go through the elements of an array

    def __eq__(self, other: object) -> bool:
        return same_tree(self, other) if isinstance(other, Mapping) else NotImplemented

    __ne__ = object.__ne__
    __hash__ = None

    def __copy__(self) -> Self:  # xarray copies attrs with each selection; the usual way takes ten times as long
        return type(self)(self)


class MetadataAttributes(Metadata):
    """The attributes of a group or a field, by name."""

    __slots__ = ()

    def __repr__(self) -> str:
        shown = ", ".join(f"{_short(name)}: {short_value(self[name])}" for name in list(self)[:_SHOWN])
        return f"{{{shown}{_more(len(self))}}}"


class MetadataGroup(Metadata):
    """A group: its members by name, and its attributes under ``"attrs"``.

    Examples
    --------
    >>> MetadataGroup(distance=MetadataField(value=1.5, attrs={"units": "m"}), attrs={"NX_class": "NXdetector"})
    <NXdetector: distance>
    """

    __slots__ = ()

    def __repr__(self) -> str:
        attributes = self.get("attrs")
        kind = attributes.get("NX_class", "group") if isinstance(attributes, Mapping) else "group"
        names = [name for name in self if name != "attrs"]
        if not names:
            return f"<{_short(kind)}>"
        shown = ", ".join(_short(name) for name in names[:_SHOWN])
        return f"<{_short(kind)}: {shown}{_more(len(names))}>"

    def __missing__(self, path: str) -> Any:
        """What is at a path, as ``group["detector/distance"]``."""
        if not isinstance(path, str) or "/" not in path:
            raise KeyError(path)
        return member_at(self, path)

    def _repr_html_(self) -> str:
        return html_of(self, in_words)

    def _ipython_key_completions_(self) -> list[str]:
        return [*self, *(path for path, _ in fields_of(self) if "/" in path)]


class MetadataField(Metadata):
    """A field: its value under ``"value"``, and its attributes under ``"attrs"`` where it has some.

    Examples
    --------
    >>> MetadataField(value=-4.0, attrs={"units": "mm"})
    <-4.0 mm>
    >>> MetadataField(value=np.zeros((29, 15)))
    <float64 (29, 15)>
    """

    __slots__ = ()

    def __repr__(self) -> str:
        attributes = self.get("attrs")
        units = attributes.get("units") if isinstance(attributes, Mapping) else None
        shown = short_value(self.get("value"))
        return f"<{shown} {_short(units)}>" if isinstance(units, str) and units.strip() else f"<{shown}>"


def key_in_tree(name: str, members: Container[str]) -> str:
    """The key of a member of a group beside others, as one that is called as the group's attributes gives way to these.

    Examples
    --------
    >>> key_in_tree("attrs", {}), key_in_tree("title", {"title"})
    ('attrs_', 'title_')
    """
    return free_name("attrs_" if name == "attrs" else name, members)


def member_at(tree: Mapping[str, Any], path: str) -> Any:
    """What is at a path of a tree; a KeyError where nothing is.

    Examples
    --------
    >>> member_at({"detector": {"distance": {"value": 0.2}}}, "detector/distance/value")
    0.2
    """
    member: Any = tree
    for name in path.strip("/").split("/"):
        if not isinstance(member, Mapping) or name not in member:
            raise KeyError(path)
        member = member[name]
    return member


def fields_of(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every member of a tree that is no group, by its path.

    Examples
    --------
    >>> dict(fields_of({"detector": {"distance": {"value": 0.2}, "name": "Eiger"}}))
    {'detector/distance': {'value': 0.2}, 'detector/name': 'Eiger'}
    """
    for name, member in tree.items():
        if name == "attrs":
            continue
        if isinstance(member, Mapping) and not is_field(member):
            yield from fields_of(member, f"{above}{name}/")
        else:
            yield f"{above}{name}", member


def in_words(member: Any) -> str | None:
    """A member of a tree in a few words, None for a group."""
    if isinstance(member, Mapping):
        return repr(MetadataField(member))[1:-1] if is_field(member) else None
    return short_value(member)


def is_of_tree(value: Any) -> bool:
    """Whether what is among the attributes of a signal is a member of the tree there, and no attribute of its field.

    Examples
    --------
    >>> is_of_tree({"value": 1}), is_of_tree([{"value": 1}]), is_of_tree(Link("/gone")), is_of_tree("mm")
    (True, True, True, False)
    """
    if isinstance(value, Link):
        return not value.is_reference
    return isinstance(value, Mapping) or is_list_of_groups(value)


def is_list_of_groups(value: Any) -> bool:
    """Whether a value is a list with dictionaries among its elements, which is a group of these.

    Examples
    --------
    >>> is_list_of_groups([{"name": "crop"}, 1]), is_list_of_groups([1, 2])
    (True, False)
    """
    return isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value)


def same_tree(a: Any, b: Any) -> bool:
    """Whether two trees hold the same, arrays being compared as a whole and NaN being like NaN.

    Examples
    --------
    >>> same_tree({"x": {"value": np.arange(3)}}, {"x": {"value": np.arange(3)}})
    True
    >>> same_tree(np.array(["a", "b"]), np.array(["a", "b"], dtype=object))
    True
    >>> same_tree({"value": 1}, 1)
    False
    """
    if a is b:
        return True
    kind = _kind(a)
    if kind is not _kind(b):
        return _are_list_and_array(a, b) or _are_list_and_array(b, a)
    if kind is Mapping:
        return a.keys() == b.keys() and all(same_tree(a[key], b[key]) for key in a)
    if kind in (list, tuple):
        return len(a) == len(b) and all(map(same_tree, a, b))
    if kind is np.ndarray:
        # NumPy's arrays would compare element by element.
        stored, other = (a, b) if isinstance(a, StoredArray) else (b, a)
        if isinstance(stored, StoredArray):
            return isinstance(other, StoredArray | np.ndarray) and stored == other
        if {a.dtype.kind, b.dtype.kind} == set("UO"):  # text, which has either dtype by where it comes from
            return same_values(a.astype(object), b.astype(object))
        is_text = a.dtype.kind == b.dtype.kind == "U"  # of whatever width
        return (is_text or are_alike(a.dtype, b.dtype)) and same_values(a, b)
    try:
        return bool(a == b) or bool(a != a and b != b)
    except (TypeError, ValueError):
        return False


def _are_list_and_array(a: Any, b: Any) -> bool:
    """Whether one is a list and the other the array of the same, as which a list is stored."""
    if not isinstance(a, list | tuple) or not isinstance(b, np.ndarray) or b.dtype.kind == "V":
        return False
    try:
        return bool(np.array_equal(np.asarray(a), b))
    except ValueError:
        return False


def _kind(value: Any) -> type | None:
    """What a value is a whole of, None where it is one of its own; what is of different kinds isn't the same."""
    if isinstance(value, StoredArray | np.void):
        return np.ndarray
    return next((kind for kind in (Mapping, list, tuple, np.ndarray) if isinstance(value, kind)), None)


def select_metadata(tree: Mapping[str, Any], keys: Sequence[str], path: str = "") -> MetadataGroup:
    """The parts of a tree whose path contains one of the keys, each at its place.

    Parameters
    ----------
    tree
        A group's dictionary.
    keys
        What a path may contain.
    path
        Path of that group in the file.

    Examples
    --------
    >>> tree = MetadataGroup(m1=MetadataGroup(x=MetadataField(value=1)), m2=MetadataField(value=2))
    >>> select_metadata(tree, ["m1/x"], "/entry")
    <group: m1>
    """
    selected = MetadataGroup()
    for name, member in tree.items():
        if name == "attrs":
            continue
        member_path = path_of_member(path, name)
        if any(key in member_path for key in keys):
            selected[name] = member
        elif isinstance(member, MetadataGroup) and (inner := select_metadata(member, keys, member_path)):
            selected[name] = inner
    return selected


def without_arrays(tree: Mapping[str, Any]) -> MetadataGroup:
    """A tree without the fields of two or more elements."""
    kept = MetadataGroup()
    for name, member in tree.items():
        if isinstance(member, MetadataGroup):
            kept[name] = without_arrays(member)
        elif is_list_of_groups(member):
            kept[name] = [without_arrays(each) if isinstance(each, MetadataGroup) else each for each in member]
        else:
            value = member.get("value") if isinstance(member, MetadataField) else member
            if not isinstance(value, np.ndarray | StoredArray):
                kept[name] = member
    return kept


def common_tree(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """What two trees agree on: groups by their members, and fields whose value is the same in both.

    Examples
    --------
    >>> common_tree({"x": {"value": 1}, "y": {"value": 2}}, {"x": {"value": 1}, "y": {"value": 3}})
    {'x': {'value': 1}}
    """
    common = type(a)() if isinstance(a, Metadata) else {}
    for name, member in a.items():
        other = b.get(name)
        if name in b and same_tree(member, other):
            common[name] = member
        elif isinstance(member, Mapping) and isinstance(other, Mapping):
            inner = common_tree(member, other)
            if inner and not (is_field(member) and "value" not in inner):
                common[name] = inner
    return common


def is_field(member: Any) -> bool:
    """Whether a member of a tree is a field with its value and attributes, and no group nor a bare value.

    Of plain dictionaries that have a ``"value"`` and at most ``"attrs"`` beside it, those are groups whose value is a
    dictionary itself, or a list of them: a field or a group that is called so.

    Examples
    --------
    >>> is_field({"value": 1.5, "attrs": {"units": "mm"}}), is_field({"value": {"value": 1.5}})
    (True, False)
    """
    if isinstance(member, MetadataField | MetadataGroup) or not isinstance(member, Mapping):
        return isinstance(member, MetadataField)
    is_like_one = "value" in member and member.keys() <= {"value", "attrs"}
    return is_like_one and not isinstance(member["value"], Mapping) and not is_list_of_groups(member["value"])


def _more(count: int) -> str:
    return f", ... {count - _SHOWN} more" if count > _SHOWN else ""


def short_value(value: Any) -> str:
    """A value in a few words."""
    if isinstance(value, np.ndarray | StoredArray):
        return f"{value.dtype} {value.shape}"
    if is_empty(value):
        return "empty"
    return _short(value, repr)


def _short(value: Any, to_text: Callable[[Any], str] = str) -> str:
    if isinstance(value, str) and len(value) > _WIDTH:
        value = value[:_WIDTH]
        return to_text(value) + "..."
    shown = " ".join(to_text(value).split()) if to_text is str else to_text(value)
    return shown if len(shown) <= _WIDTH else shown[:_WIDTH] + "..."
