"""The data rules of NeXus: which field of a group is the signal, and which fields are its axes and uncertainties.

Sources are the NeXus manual's chapters "Rules for Storing Data Items" (versions 3, 2 and 1 of finding the plottable
data, and the three ways of associating axes), the base class NXdata, and the application definition NXcanSAS.
All is decided from names, shapes and attributes; no value is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nexus_xr.diagnostics import Code, Diagnostic, Diagnostics

from .attributes import integers, names, nx_class
from .axes import Axis, find_axes, find_own_axes, listed_axes
from .columns import as_columns, without_signal
from .content import GroupContent, free_name
from .coordinates import axis_variables, coordinates_of, name_dimensions, own_dimensions
from .errors import find_errors, find_resolutions
from .scaling import Scaling, find_scaling, named_factor, tell_of_scaling_of_group
from .signal import declares_signal, find_ancillary, find_auxiliary_signals, find_signal
from .variables import Role, Variable

_ORDER = {role: place for place, role in enumerate(Role)}


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
    diagnostics
        What of the group could not be honoured, and why.
    bounds_dim
        Name of the dimension that the lower and upper bounds of bins make.
    """

    path: str
    signal: str | None
    variables: tuple[Variable, ...]
    default_slice: tuple[int | None, ...] | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    bounds_dim: str = "bnds"


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
    diagnostics = Diagnostics()
    if signal is None and content.holds_coordinates_alone and not declares_signal(content):
        return _described(content, None, coordinates_of(content, (), (), diagnostics), diagnostics)
    declared = find_signal(content, diagnostics)
    chosen = declared if signal is None else signal
    if chosen is None:
        diagnostics = diagnostics if _ought_to_have_signal(content) else Diagnostics()
        return _described(content, None, without_signal(content, diagnostics), diagnostics)
    has_axes = declared is None or content.fields[declared].will_be_like(content.fields[chosen])
    axes = find_axes(content, chosen, diagnostics) if has_axes else find_own_axes(content, chosen, diagnostics)
    dims = name_dimensions(content, chosen, axes)
    found = [Variable(chosen, chosen, dims, Role.SIGNAL)]
    found += coordinates_of(content, axes, dims, diagnostics)
    found += find_errors(content, chosen, dims, Role.ERRORS, diagnostics, is_signal=chosen == declared)
    if signal is None:
        if nx_class(content.attributes) == "NXdata":
            tell_of_scaling_of_group(content, chosen, diagnostics)
        axes_found = [variable for variable in found if variable.role is Role.AXIS]
        found += _companions(content, found, diagnostics)
        found += (each for axis in axes_found for each in find_resolutions(content, axis))
        factor = named_factor(content, chosen, diagnostics)
        if factor is not None and not content.fields[factor].ndim:  # a number that goes along with the signal
            found.append(Variable(factor, factor, (), Role.AXIS))
        _name_possible_axes(content, chosen, axes, found, diagnostics)
    return _described(content, chosen, found, diagnostics, _default_slice(content, chosen))


def describe_apart(content: GroupContent, fields: Iterable[str], lengths: Mapping[str, int] | None = None) -> NXdata:
    """Describe fields that no rule relates to a signal, beside others whose dimensions have such lengths."""
    return NXdata(content.path, None, tuple(as_columns(content, fields, lengths)))


def _ought_to_have_signal(content: GroupContent) -> bool:
    """Whether a group is one of data, or says that it has a signal; of other groups nothing is amiss without one."""
    attributes = content.attributes
    return nx_class(attributes) == "NXdata" or "canSAS_class" in attributes or "signal" in attributes


def _described(
    content: GroupContent,
    signal: str | None,
    found: Iterable[Variable],
    diagnostics: Diagnostics,
    default_slice: tuple[int | None, ...] | None = None,
) -> NXdata:
    """What was found, in order and with its scaling."""
    once = _without_slashes(content, _each_field_once(found))
    in_order = sorted(once, key=lambda variable: _ORDER[variable.role])
    variables = list(_of_one_length(content, in_order, diagnostics))
    scaled = tuple(_scaled(variable, find_scaling(content, variable.field, diagnostics)) for variable in variables)
    bounds_dim = free_name("bnds", {name for variable in scaled for name in (variable.name, *variable.dims)})
    return NXdata(content.path, signal, scaled, default_slice, tuple(diagnostics), bounds_dim)


def _of_one_length(
    content: GroupContent, variables: Iterable[Variable], diagnostics: Diagnostics
) -> Iterator[Variable]:
    """The same, of which no two have other lengths along a dimension: the later one gets one of its own."""
    lengths: dict[str, int] = {}
    for variable in variables:
        shape = content.fields[variable.field].shape
        of_bins = shape if variable.bounds is None else (*shape[:-1], shape[-1] - 1)
        dims = variable.dims
        if any(lengths.get(dim, length) != length for dim, length in zip(dims, of_bins, strict=True)):
            taken = (*content.fields, *content.others, *lengths)
            dims = tuple(
                dim if lengths.get(dim, length) == length else free_name(f"{variable.name}_dim_{at}", taken)
                for at, (dim, length) in enumerate(zip(dims, of_bins, strict=True))
            )
            message = (
                f"{variable.field!r} of shape {shape} has other lengths along {variable.dims} than others have; "
                "it has dimensions of its own"
            )
            diagnostics.add(Code.DIMENSION_LENGTHS_DIFFER, content.path, message)
        lengths.update(zip(dims, of_bins, strict=True))
        yield replace(variable, dims=dims)


def _scaled(variable: Variable, scaling: Scaling | None) -> Variable:
    return variable if scaling is None else replace(variable, scaling=scaling)


def _each_field_once(variables: Iterable[Variable]) -> list[Variable]:
    """Each field in the first role that it was given; what is data may be uncertainties as well."""
    first: dict[tuple[str, bool], Variable] = {}
    taken: set[str] = set()
    for variable in variables:
        key = (variable.field, variable.role in (Role.AUXILIARY, Role.ANCILLARY))
        if key not in first and variable.name not in taken:
            first[key] = variable
            taken.add(variable.name)
    return list(first.values())


def _without_slashes(content: GroupContent, variables: Sequence[Variable]) -> Sequence[Variable]:
    """The same by names without slashes, where fields are named by their paths."""
    own = content.without_slashes

    def named(name: str) -> str:
        path = next((path for path in own if name == path or name.startswith(f"{path}_")), None)
        return name if path is None else own[path] + name.removeprefix(path)

    def renamed(variable: Variable) -> Variable:
        dims, bounds = tuple(map(named, variable.dims)), variable.bounds and named(variable.bounds)
        return replace(variable, name=named(variable.name), dims=dims, bounds=bounds)

    return list(map(renamed, variables)) if own else variables


def _companions(content: GroupContent, found: Sequence[Variable], diagnostics: Diagnostics) -> Iterator[Variable]:
    """Auxiliary signals and other data, with their axes and uncertainties; then what is, or grows, like the signal."""
    signal = found[0]
    shape = content.fields[signal.field].shape
    auxiliary = find_auxiliary_signals(content, signal.field, diagnostics)
    told = dict.fromkeys(auxiliary, Role.AUXILIARY)
    told |= dict.fromkeys(find_ancillary(content, signal.field, auxiliary), Role.ANCILLARY)
    coordinates = {variable.field: variable.dims for variable in found if variable.role is Role.AXIS}
    taken = {variable.field for variable in found} - coordinates.keys() | told.keys()
    lengths = dict(zip(signal.dims, shape, strict=True))
    for name, role in told.items():
        axes = [axis for axis in _axes_of_auxiliary(content, name, shape, diagnostics) if axis.field not in taken]
        dims = _dimensions_of_auxiliary(content, name, signal, axes, coordinates, lengths)
        new = [axis for axis in axes if axis.field not in coordinates]
        coordinates |= {axis.field: tuple(dims[dim] for dim in axis.dims) for axis in new}
        lengths |= dict(zip(dims, content.fields[name].shape, strict=True))
        errors = find_errors(content, name, dims, Role.ERRORS, diagnostics)
        taken |= {variable.field for variable in errors}
        yield from (Variable(name, name, dims, role), *errors)
        yield from axis_variables(content, new, dims, diagnostics)
    if shape:
        for name, other in content.fields.items():
            if other.will_be_like(content.fields[signal.field]):
                alike = zip(signal.dims, other.shape, shape, strict=True)
                own = (free_name(f"{name}_dim_{dim}", content) for dim in range(other.ndim))
                dims = tuple(dim if a == b else free for (dim, a, b), free in zip(alike, own, strict=True))
                yield Variable(name, name, dims, Role.OTHER)


def _axes_of_auxiliary(
    content: GroupContent, name: str, signal: tuple[int, ...], diagnostics: Diagnostics
) -> tuple[Axis, ...]:
    """Axes that an auxiliary signal names itself; ``@axes`` of the group are those of all signals of one shape."""
    field = content.fields[name]
    is_told = "axes" in content.attributes and field.shape == signal
    return () if is_told or field.recorded_dims else find_own_axes(content, name, diagnostics)


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
    own = own_dimensions(content, name, field.ndim)
    is_alike = field.recorded_dims is None and field.shape == content.fields[signal.field].shape
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
    content: GroupContent, signal: str, axes: Iterable[Axis], found: Iterable[Variable], diagnostics: Diagnostics
) -> None:
    """Say of a dimension without an axis which fields take no part and have its length, or else that of its edges."""
    used = {variable.field for variable in found}
    spanned = {dim for axis in axes for dim in axis.dims}
    listed = names(content.attributes.get("axes"), content.fields)
    said = {*listed_axes(content, signal)[0], *content.indices, *content.axis_numbers}
    unsaid = {name: field for name, field in content.fields.items() if name not in used | said}
    shape = content.fields[signal].shape
    for dim, length in enumerate(shape):
        alike = [name for name, field in unsaid.items() if field.shape == (length,)]
        longer = [name for name, field in unsaid.items() if field.shape == (length + 1,) and field.is_numeric]
        edges = [] if length + 1 in shape else longer
        if dim not in spanned and listed[dim : dim + 1] != (".",) and length > 1 and (alike or edges):
            has = "has that length" if alike else "has one value more"
            message = (
                f"dimension {dim} of {signal!r}, of length {length}, has no axis; no attribute of NeXus declares what "
                f"{has} to be one: {', '.join((alike or edges)[:10])}"
            )
            diagnostics.add(Code.AXIS_UNDECLARED, content.path, message)


def _default_slice(content: GroupContent, signal: str) -> tuple[int | None, ...] | None:
    """``@default_slice``: a position for each dimension, or "." for all of it; None where it doesn't fit the signal."""
    shape = content.fields[signal].shape
    value = content.attributes.get("default_slice")
    listed = names(value) or tuple(map(str, integers(value) or ()))
    if not listed or len(listed) != len(shape):
        return None
    positions = [None if one == "." else integers(one) for one in listed]
    chosen = [position[0] if position else None for position in positions]
    in_range = all(at is None or -size <= at < size for at, size in zip(chosen, shape, strict=True))
    is_understood = all(one == "." or at is not None for one, at in zip(listed, chosen, strict=True))
    return tuple(chosen) if in_range and is_understood else None
