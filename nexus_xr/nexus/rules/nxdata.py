"""The data rules of NeXus: which field of a group is the signal, and which fields are its axes and uncertainties.

Sources are the NeXus manual's chapters "Rules for Storing Data Items" (versions 3, 2 and 1 of finding the plottable
data, and the three ways of associating axes), the base class NXdata, and the application definition NXcanSAS.
All is decided from names, shapes and attributes; no value is read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count as count_from
from itertools import pairwise, takewhile
from typing import Any

import h5py
import numpy as np

from nexus_xr.hdf5.objects.nodes import Group

from .attributes import integers, names, nx_class, text
from .axes import Axis, find_axes, find_own_axes
from .content import Field, GroupContent, read_content, why_no_field
from .reserved import recorded_coordinates, recorded_dims


class Role(Enum):
    """What a field is to the signal."""

    SIGNAL = "signal"
    AUXILIARY = "auxiliary signal"
    ERRORS = "errors"
    OTHER = "other field of the signal's shape"
    AXIS = "axis"
    AXIS_ERRORS = "errors of an axis"


@dataclass(frozen=True)
class Scaling:
    """Names of the fields by which a field is scaled: (FIELD + FIELD_offset) * FIELD_scaling_factor."""

    factor: str | None
    offset: str | None


@dataclass(frozen=True)
class Variable:
    """One field of a group and its part in the data.

    Parameters
    ----------
    name
        Name of the variable.
    field
        Name of the field in the group.
    dims
        Names of the dimensions that it spans.
    role
        What it is to the signal.
    bounds
        For an axis of bin edges, with one value more than its dimension: the name of its bounds; else None.
    scaling
        How its values are scaled, None where they are not.
    """

    name: str
    field: str
    dims: tuple[str, ...]
    role: Role
    bounds: str | None = None
    scaling: Scaling | None = None


@dataclass(frozen=True)
class NXdata:
    """The plottable data of a group.

    Parameters
    ----------
    path
        Path of the group.
    signal
        Name of the signal, None where none could be determined.
    variables
        The fields that take part, the signal first.
    default_slice
        For each dimension of the signal, the position that ``@default_slice`` shows, None for all of it.
    problems
        What of the group could not be honoured, and why.
    bounds_dim
        Name of the dimension that the lower and upper bounds of bins make.
    """

    path: str
    signal: str | None
    variables: tuple[Variable, ...]
    default_slice: tuple[int | None, ...] | None = None
    problems: tuple[str, ...] = ()
    bounds_dim: str = "bnds"


def describe_nxdata(group: h5py.Group, signal: str | None = None) -> NXdata:
    """Apply the data rules to a group of an open file.

    Parameters
    ----------
    group
        An NXdata group, or any other group with a field to show.
    signal
        Name of the field to take for the signal, whatever the group's attributes say.

    Returns
    -------
    NXdata
        The description; it holds no reference to the file. Nothing raises: what could not be honoured is
        listed in ``problems``.
    """
    unreadable: list[str] = []
    content = read_content(Group(group.id, group.name or "/", unreadable.append))
    content = join_parts(content, unreadable) if signal is None else content
    described = apply_rules(content, signal)
    return replace(described, problems=(*unreadable, *described.problems))


def apply_rules(content: GroupContent, signal: str | None = None) -> NXdata:
    """Describe the plottable data of a group.

    Parameters
    ----------
    content
        The group.
    signal
        Name of the field to take for the signal, whatever the group's attributes say. Other fields of its
        shape then take no part, and axes only where it names them itself or has the shape that they are meant for.
    """
    problems: list[str] = []
    declared = find_signal(content, problems)
    chosen = declared if signal is None else signal
    if chosen is None:
        return describe_without_signal(content, problems if _ought_to_have_signal(content) else [])
    has_axes = declared is None or content.fields[declared].shape == content.fields[chosen].shape
    axes = find_axes(content, chosen, problems) if has_axes else find_own_axes(content, chosen, problems)
    dims = _name_dimensions(content, chosen, axes)
    found = [Variable(chosen, chosen, dims, Role.SIGNAL)]
    found += _coordinates(content, axes, dims, problems)
    older_name = "errors" if chosen == declared and not _has_own_part(content, "errors") else None
    found += _find_errors(content, chosen, dims, Role.ERRORS, problems, older_name)
    if signal is None:
        found += _companions(content, found, problems)
        _name_possible_axes(content, chosen, axes, found, problems)
    described = _described(content, chosen, found, problems)
    return replace(described, default_slice=_default_slice(content, chosen))


def _described(content: GroupContent, signal: str | None, found: Iterable[Variable], problems: list[str]) -> NXdata:
    """What was found, in order and with its scaling."""
    variables = sorted(_each_field_once(found), key=lambda variable: _ORDER.index(variable.role))
    scaled = [replace(variable, scaling=_find_scaling(content, variable.field, problems)) for variable in variables]
    bounds_dim = free_name("bnds", {name for variable in scaled for name in (variable.name, *variable.dims)})
    return NXdata(content.path, signal, tuple(scaled), None, tuple(problems), bounds_dim)


_ORDER = (Role.SIGNAL, Role.AUXILIARY, Role.ERRORS, Role.OTHER, Role.AXIS, Role.AXIS_ERRORS)


def _coordinates(
    content: GroupContent, axes: Iterable[Axis], dims: tuple[str, ...], problems: list[str]
) -> Iterator[Variable]:
    yield from _axis_variables(content, axes, dims, problems)
    for name in recorded_coordinates(content):
        spanned = _own_dimensions(content, name, content.fields[name].ndim)
        yield Variable(name, name, spanned, Role.AXIS)
        yield from _find_errors(content, name, spanned, Role.AXIS_ERRORS, problems)


def _axis_variables(
    content: GroupContent, axes: Iterable[Axis], dims: tuple[str, ...], problems: list[str]
) -> Iterator[Variable]:
    for axis in axes:
        spanned = tuple(dims[dim] for dim in axis.dims)
        bounds = _free_name(content, f"{axis.field}_bounds") if axis.is_edges else None
        yield Variable(axis.field, axis.field, spanned, Role.AXIS, bounds)
        if not axis.is_edges:
            yield from _find_errors(content, axis.field, spanned, Role.AXIS_ERRORS, problems)


def _companions(content: GroupContent, found: Sequence[Variable], problems: list[str]) -> Iterator[Variable]:
    """Auxiliary signals with their axes and uncertainties, then all else that has the signal's shape."""
    signal = found[0]
    shape = content.fields[signal.field].shape
    auxiliary = find_auxiliary_signals(content, signal.field, problems)
    coordinates = {variable.field: variable.dims for variable in found if variable.role is Role.AXIS}
    taken = {variable.field for variable in found} - coordinates.keys() | set(auxiliary)
    lengths = dict(zip(signal.dims, shape, strict=True))
    for name in auxiliary:
        axes = [axis for axis in _axes_of_auxiliary(content, name, shape, problems) if axis.field not in taken]
        dims = _dimensions_of_auxiliary(content, name, signal, axes, coordinates, lengths)
        new = [axis for axis in axes if axis.field not in coordinates]
        coordinates |= {axis.field: tuple(dims[dim] for dim in axis.dims) for axis in new}
        lengths |= dict(zip(dims, content.fields[name].shape, strict=True))
        errors = _find_errors(content, name, dims, Role.ERRORS, problems)
        taken |= {variable.field for variable in errors}
        yield from (Variable(name, name, dims, Role.AUXILIARY), *errors)
        yield from _axis_variables(content, new, dims, problems)
    if shape:
        for name, other in content.fields.items():
            if other.shape == shape:
                yield Variable(name, name, signal.dims, Role.OTHER)


def _axes_of_auxiliary(
    content: GroupContent, name: str, signal: tuple[int, ...], problems: list[str]
) -> tuple[Axis, ...]:
    """Axes that an auxiliary signal names itself; ``@axes`` of the group are those of all signals of one shape."""
    field = content.fields[name]
    is_told = "axes" in content.attributes and field.shape == signal
    return () if is_told or recorded_dims(field) else find_own_axes(content, name, problems)


def _dimensions_of_auxiliary(
    content: GroupContent,
    name: str,
    signal: Variable,
    axes: Iterable[Axis],
    coordinates: Mapping[str, tuple[str, ...]],
    lengths: Mapping[str, int],
) -> tuple[str, ...]:
    """A dimension is that of its axis, else the signal's where the shapes are alike, and else one of its own."""
    field = content.fields[name]
    own = _own_dimensions(content, name, field.ndim)
    is_alike = recorded_dims(field) is None and field.shape == content.fields[signal.field].shape
    otherwise = signal.dims if is_alike else own
    named: dict[int, str] = {}
    for axis in axes:
        if axis.is_default and len(axis.dims) == 1:
            dim, length = coordinates.get(axis.field, (axis.field,))[0], field.shape[axis.dims[0]]
            if dim not in named.values() and lengths.get(dim, length) == length:
                named.setdefault(axis.dims[0], dim)
    rest = (other if other not in named.values() else own[dim] for dim, other in enumerate(otherwise))
    return tuple(named.get(dim, other) for dim, other in enumerate(rest))


def _name_possible_axes(
    content: GroupContent, signal: str, axes: Iterable[Axis], found: Iterable[Variable], problems: list[str]
) -> None:
    """Say of a dimension without an axis which fields take no part and have its length."""
    used = {variable.field for variable in found}
    spanned = {dim for axis in axes for dim in axis.dims}
    listed = names(content.attributes.get("axes"), content.fields)
    for dim, length in enumerate(content.fields[signal].shape):
        alike = [name for name, field in content.fields.items() if field.shape == (length,) and name not in used]
        if dim not in spanned and listed[dim : dim + 1] != (".",) and length > 1 and alike:
            problems.append(
                f"{content.path}: dimension {dim} of {signal!r}, of length {length}, has no axis; nothing declares "
                f"what has that length to be one: {', '.join(alike[:10])}"
            )


# --- without a signal -------------------------------------------------------------------------------------------


_HIGHEST_RANK = 32  # of an HDF5 dataset


def _ought_to_have_signal(content: GroupContent) -> bool:
    """Whether a group is one of data, or says that it has a signal; of other groups nothing is amiss without one."""
    attributes = content.attributes
    return nx_class(attributes) == "NXdata" or "canSAS_class" in attributes or "signal" in attributes


def describe_without_signal(content: GroupContent, problems: list[str]) -> NXdata:
    """Describe the fields of a group whose signal isn't there, or which has none.

    What the group says of axes holds as if the signal were there. Fields whose first lengths are those of all the
    axes, such as counters beside a detector whose file is missing, share their dimensions.

    Parameters
    ----------
    content
        The group.
    problems
        What could not be honoured so far.
    """
    shape = _shape_told_by_axes(content)
    signal = _free_name(content, "signal")
    as_if = replace(content, fields={**content.fields, signal: Field(shape, np.dtype(np.float64))})
    axes = find_axes(as_if, signal, problems) if shape else ()
    dims = _name_dimensions(as_if, signal, axes)
    found = list(_coordinates(content, axes, dims, problems))
    several = [name for name, field in content.fields.items() if math.prod(field.shape) >= 2]
    placed = {variable.field for variable in found}
    others = [name for name in several or content.fields if name not in placed]
    known = tuple(takewhile(lambda length: length >= 0, shape))
    along = [name for name in others if known and content.fields[name].shape[: len(known)] == known]
    found += [Variable(name, name, _dims_after(content, name, dims[: len(known)]), Role.OTHER) for name in along]
    found += _columns(content, [name for name in others if name not in along], dims)
    return _described(content, None, found, problems)


def _shape_told_by_axes(content: GroupContent) -> tuple[int, ...]:
    """The shape of a missing signal as far as its axes tell it; -1 for a length that none tells.

    Where several tell the length of a dimension, it is that of most of them, and among as many the shorter one, as
    the longer may be edges of bins.
    """
    listed = names(content.attributes.get("axes"), content.fields)[:_HIGHEST_RANK]
    numbered = content.axis_numbers
    places: dict[str, tuple[int, ...]] = {name: (place,) for place, name in enumerate(listed)}
    if not any(name in content.fields for name in listed) and set(numbered.values()) == {(1,)}:
        places |= dict.fromkeys(numbered, (0,))
    places |= content.indices
    told: dict[int, list[int]] = {}
    for name, dims in places.items():
        lengths = content.fields[name].shape if name in content.fields else ()
        if len(lengths) == len(dims) and all(0 <= dim < _HIGHEST_RANK for dim in dims):
            for dim, length in zip(dims, lengths, strict=True):
                told.setdefault(dim, []).append(length)
    every = (told.get(dim, []) for dim in range(max(told, default=-1) + 1))
    return tuple(min(lengths, key=lambda one: (-lengths.count(one), one), default=-1) for lengths in every)


def describe_apart(content: GroupContent, fields: Iterable[str]) -> NXdata:
    """Describe fields that no rule relates to a signal."""
    return NXdata(content.path, None, tuple(_columns(content, fields)))


def _columns(content: GroupContent, fields: Iterable[str], taken: Container[str] = ()) -> Iterator[Variable]:
    """Fields as the columns of tables: those of one length share its dimension, all other dimensions are their own.

    A stack of images, or of spectra, is a column as well. Where a length is also that of another dimension than the
    first, as of a square image and the positions of its rows and columns, it tells nothing, and neither does one of 1.
    """
    shapes = {name: content.fields[name].shape for name in fields}
    free = {name: shape for name, shape in shapes.items() if recorded_dims(content.fields[name]) is None}
    inner = {length for shape in free.values() for length in shape[1:]}
    rows = Counter(shape[0] for shape in free.values() if shape and shape[0] not in inner)
    lists = {shape[0] for shape in free.values() if len(shape) == 1}
    lengths = [length for length, count in rows.items() if count > 1 and length > 1 and length in lists]
    unused = (name for number in count_from(0) if (name := _free_name(content, f"dim_{number}")) not in taken)
    shared = dict(zip(lengths, unused, strict=False))
    for name, shape in shapes.items():
        first = [shared[length] for length in shape[:1] if length in shared]
        yield Variable(name, name, _dims_after(content, name, first), Role.OTHER)


def _dims_after(content: GroupContent, name: str, leading: Sequence[str]) -> tuple[str, ...]:
    """The dimensions of a field whose first ones it has in common with others, unless it records its own."""
    field = content.fields[name]
    own = _own_dimensions(content, name, field.ndim)
    return own if recorded_dims(field) is not None else (*leading, *own[len(leading) :])


def log_as_data(content: GroupContent) -> GroupContent:
    """An NXlog as data: its ``value`` on its ``time``, as the manual has it."""
    if nx_class(content.attributes) != "NXlog" or "value" not in content.fields or "signal" in content.attributes:
        return content
    on_time = {"axes": "time"} if "time" in content.fields else {}
    return replace(content, attributes={**content.attributes, "signal": "value", **on_time})


# --- the signal -------------------------------------------------------------------------------------------------


def find_signal(content: GroupContent, problems: list[str]) -> str | None:
    """Name of the signal.

    Version 3: the field that the group's ``@signal`` names. Versions 2 and 1: the field with ``@signal=1``, or with
    the lowest number where none has that one. Where a group declares none: its field ``data``, or the only field that
    is no axis.
    """
    if declares_signal(content):
        return _declared_signal(content, problems)
    return _undeclared_signal(content, problems)


def declares_signal(content: GroupContent) -> bool:
    """Whether a group says what its signal is, be it there or not."""
    return bool(content.signal_numbers or _signal_names(content))


def _signal_names(content: GroupContent) -> tuple[str, ...]:
    """The names in ``@signal`` of the group; a number there is meant for a field, and is not the name of one."""
    value = content.attributes.get("signal")
    listed = names(value, content.fields)
    is_number = integers(value) is not None and not any(name in content.fields for name in listed)
    return () if is_number else listed


def _declared_signal(content: GroupContent, problems: list[str]) -> str | None:
    declared = _signal_names(content)
    for name in declared:
        if name in content.fields:
            return name
    if declared:
        problems.append(f"{content.path}: @signal names {declared[0]!r}, which {why_no_field(content, declared[0])}")
    numbers = content.signal_numbers
    first = min(numbers.values(), key=lambda number: (number < 1, number), default=1)
    marked = [name for name, number in numbers.items() if number == first]
    if len(marked) > 1:
        problems.append(f"{content.path}: several fields have @signal={first} ({_some(marked)}); took the first")
    elif first != 1 and len(numbers) > 1:
        problems.append(f"{content.path}: no field has @signal=1; took {marked[0]!r} with @signal={first}")
    return marked[0] if marked else None


def _undeclared_signal(content: GroupContent, problems: list[str]) -> str | None:
    where = f"{content.path}: no signal is declared"
    if "data" in content.fields:
        problems.append(f"{where}; took the field 'data'")
        return "data"
    unreadable = [f"{name!r}, which {content.others[name]}" for name in content.unreadable]
    supporting = set(_supporting_fields(content))
    candidates = [name for name in content.fields if name not in supporting]
    if "data" in content.unreadable or (unreadable and not candidates):
        problems.append(f"{where}, and it may be {_some(unreadable)}")
        return None
    candidates = candidates or list(content.fields)
    if len(candidates) == 1:
        besides = f", beside {_some(unreadable)}" if unreadable else ""
        problems.append(f"{where}; took the only candidate {candidates[0]!r}{besides}")
        return candidates[0]
    if candidates:
        problems.append(f"{where}, and it could be any of {', '.join(candidates[:10])}; choose one with dataset_path")
    else:
        problems.append(f"{where}, and there is no field that could be it")
    return None


def _supporting_fields(content: GroupContent) -> Iterator[str]:
    """Fields that are said or named to belong to another field."""
    yield from names(content.attributes.get("axes"), content.fields)
    for name, member in content.fields.items():
        if f"{name}_indices" in content.attributes or "axis" in member.attributes or name in ("errors", "title"):
            yield name
        yield from (name + suffix for suffix in ("_errors", "_scaling_factor", "_offset"))


def find_auxiliary_signals(content: GroupContent, signal: str, problems: list[str]) -> list[str]:
    """Version 3: the fields that ``@auxiliary_signals`` names. Before: other fields with a number in ``@signal``."""
    listed = names(content.attributes.get("auxiliary_signals"), content.fields)
    problems += [
        f"{content.path}: @auxiliary_signals names {name!r}, which {why_no_field(content, name)}"
        for name in listed
        if name not in content.fields and name != "."
    ]
    behind_signal = names(content.attributes.get("signal"), content.fields)
    numbered = sorted((number, name) for name, number in content.signal_numbers.items())
    named = (*listed, *behind_signal, *(name for number, name in numbered if number > 0))
    return [name for name in dict.fromkeys(named) if name in content.fields and name != signal]


# --- a signal in parts ------------------------------------------------------------------------------------------


_PART = re.compile(r"(?P<stem>.+)_(?P<number>\d{3,})")


def join_parts(content: GroupContent, problems: list[str]) -> GroupContent:
    """The group with a signal that is stored in parts as one field, which is then the signal.

    Source: the master files of DECTRIS detectors, whose /entry/data has links data_000001, data_000002, ... to stacks
    of images that follow each other.

    Parts are fields ``<stem>_<digits>``, of three digits or more, three dimensions or more, and alike but for the
    first one. They are joined in the order of their numbers, under their stem, unless another field is the signal or
    some are signals of their own. Those that are missing are left out, as nothing tells how long they are.
    """
    signal = find_signal(content, [])
    if find_auxiliary_signals(content, signal or "", []) or (signal is not None and not _PART.fullmatch(signal)):
        return content
    stems: dict[str, dict[int, str]] = {}
    for name in (*content.fields, *content.others):
        if found := _PART.fullmatch(name):
            stems.setdefault(found["stem"], {})[int(found["number"])] = name
    for stem, by_number in stems.items():
        numbered = {number: by_number[number] for number in sorted(by_number)}
        parts = [name for name in numbered.values() if name in content.fields]
        if len(numbered) > 1 and parts and signal in (None, *parts) and _is_stack(content.fields[parts[0]]):
            return _joined(content, stem, numbered, parts, problems)
    return content


def has_parts(names: Iterable[str]) -> bool:
    """Whether several of these names are those of parts of one stack.

    Examples
    --------
    >>> has_parts(["data_000001", "data_000002"]), has_parts(["data_000001", "flat_000001"])
    (True, False)
    """
    stems = [found["stem"] for name in names if (found := _PART.fullmatch(name))]
    return len(stems) > len(set(stems))


def _is_stack(field: Field) -> bool:
    return field.is_numeric and field.ndim >= 3


def _joined(
    content: GroupContent, stem: str, numbered: Mapping[int, str], parts: Sequence[str], problems: list[str]
) -> GroupContent:
    first = content.fields[parts[0]]
    fields = {name: content.fields[name] for name in parts}
    alike = {name: f for name, f in fields.items() if (f.shape[1:], f.dtype) == (first.shape[1:], first.dtype)}
    name = _free_name(content, stem)
    gone = [f"{part} ({why_no_field(content, part)})" for part in numbered.values() if part not in fields]
    gone += [f"{part} (has shape {fields[part].shape} of {fields[part].dtype})" for part in parts if part not in alike]
    numbers = list(numbered)
    gone += [f"{stem}_{a + 1}" + f" to {b - 1}" * (b > a + 2) for a, b in pairwise(numbers) if b > a + 1]
    if gone:
        problems.append(f"{content.path}: of the parts of {name!r} these are left out: {_some(gone)}")
    shape = (sum(field.shape[0] for field in alike.values()), *first.shape[1:])
    common = dict(first.attributes)
    for field in alike.values():
        common = {key: value for key, value in common.items() if _is_same(field.attributes.get(key), value)}
    common.pop("signal", None)
    kept = {other: field for other, field in content.fields.items() if other not in alike}
    joined = {name: Field(shape, first.dtype, common, tuple(alike)), **kept}
    return replace(content, fields=joined, attributes={**content.attributes, "signal": name})


def _is_same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(np.array_equal(a, b))


# --- uncertainties, scaling, default slice ------------------------------------------------------------------------


def _find_errors(
    content: GroupContent,
    owner: str,
    dims: tuple[str, ...],
    role: Role,
    problems: list[str],
    older_name: str | None = None,
) -> list[Variable]:
    """The uncertainties of a field.

    The field ``FIELD_errors``; the one that ``@uncertainties`` of the field names; NXcanSAS's
    ``@FIELD_uncertainties`` of the group; for the signal, the field ``errors`` of the older NXdata.
    """
    attributes = content.fields[owner].attributes
    values = (
        attributes.get("uncertainties"),
        content.attributes.get(f"{owner}_uncertainties"),
        content.attributes.get(f"{owner}_uncertainty"),
        attributes.get("uncertainty"),
    )
    named = [name for value in values if (name := text(value))]
    by_name = f"{owner}_errors"
    fits = by_name in content.fields and content.fields[by_name].shape == content.fields[owner].shape
    if _has_own_part(content, by_name) and (role is Role.AXIS_ERRORS or not fits):
        by_name = owner
    candidates = (by_name, *named, older_name)
    found = next((name for name in candidates if name in content.fields and name != owner), None)
    if found is None:
        problems += [
            f"{content.path}: the uncertainties of {owner!r} are said to be {name!r}, which "
            f"{why_no_field(content, name)}"
            for name in dict.fromkeys(named)
        ]
        return []
    if content.fields[found].shape != content.fields[owner].shape:
        problems.append(
            f"{content.path}: uncertainties {found!r} of shape {content.fields[found].shape} don't fit "
            f"{owner!r} of shape {content.fields[owner].shape}; left them out"
        )
        return []
    name = f"{owner}_errors"
    return [Variable(name if found == name else _free_name(content, name), found, dims, role)]


def _has_own_part(content: GroupContent, name: str) -> bool:
    """Whether the group says what a field is, whatever its name suggests."""
    return (
        name == text(content.attributes.get("signal"))
        or name in names(content.attributes.get("auxiliary_signals"), content.fields)
        or name in content.indices
        or name in recorded_coordinates(content)
    )


def _find_scaling(content: GroupContent, name: str, problems: list[str]) -> Scaling | None:
    """``FIELD_scaling_factor`` and ``FIELD_offset``, where they are single numbers and the field is one of numbers."""
    if not content.fields[name].is_numeric:
        return None
    parts: list[str | None] = []
    for suffix in ("_scaling_factor", "_offset"):
        part = content.fields.get(name + suffix)
        is_number = part is not None and part.is_numeric and math.prod(part.shape) == 1
        if part is not None and not is_number:
            problems.append(f"{content.path}: {name + suffix!r} is not a single number; {name!r} is not scaled by it")
        parts.append(name + suffix if is_number else None)
    return Scaling(*parts) if any(parts) else None


def _default_slice(content: GroupContent, signal: str) -> tuple[int | None, ...] | None:
    """``@default_slice``: a position for each dimension, or "." for all of it; None where it doesn't fit the signal."""
    shape = content.fields[signal].shape
    value = content.attributes.get("default_slice")
    parts = names(value) or tuple(map(str, integers(value) or ()))
    if not parts or len(parts) != len(shape):
        return None
    positions = [None if part == "." else integers(part) for part in parts]
    chosen = [position[0] if position else None for position in positions]
    in_range = all(at is None or -size <= at < size for at, size in zip(chosen, shape, strict=True))
    is_understood = all(part == "." or at is not None for part, at in zip(parts, chosen, strict=True))
    return tuple(chosen) if in_range and is_understood else None


# --- words and names --------------------------------------------------------------------------------------------


_LISTED = 5


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return ", ".join(items[:_LISTED]) + more


def _name_dimensions(content: GroupContent, signal: str, axes: Iterable[Axis]) -> tuple[str, ...]:
    """A dimension has the name of its default axis, if that spans it alone, else a recorded one, or ``dim_<i>``."""
    rank = content.fields[signal].ndim
    dims: list[str] = [""] * rank
    for axis in axes:
        if axis.is_default and len(axis.dims) == 1 and not dims[axis.dims[0]]:
            dims[axis.dims[0]] = axis.field
    recorded = recorded_dims(content.fields[signal]) or ("",) * rank
    if any(recorded[dim] in (*dims, *content.fields) for dim, name in enumerate(dims) if not name):
        recorded = ("",) * rank
    unnamed = (free or _free_name(content, f"dim_{dim}") for dim, free in enumerate(recorded))
    return tuple(name or other for name, other in zip(dims, unnamed, strict=True))


def _own_dimensions(content: GroupContent, name: str, rank: int) -> tuple[str, ...]:
    return recorded_dims(content.fields[name]) or tuple(_free_name(content, f"{name}_dim_{dim}") for dim in range(rank))


def _free_name(content: GroupContent, name: str) -> str:
    return free_name(name, (*content.fields, *content.others))


def free_name(name: str, taken: Container[str]) -> str:
    """The name, with underscores behind it while it is taken.

    Examples
    --------
    >>> free_name("dim_0", {"dim_0"})
    'dim_0_'
    """
    while name in taken:
        name += "_"
    return name


def _each_field_once(variables: Iterable[Variable]) -> list[Variable]:
    """Each field in the first part that it was given; an auxiliary signal may be uncertainties as well."""
    first: dict[tuple[str, bool], Variable] = {}
    taken: set[str] = set()
    for variable in variables:
        part = (variable.field, variable.role is Role.AUXILIARY)
        if part not in first and variable.name not in taken:
            first[part] = variable
            taken.add(variable.name)
    return list(first.values())
