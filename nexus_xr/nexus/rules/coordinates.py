"""The axes of a group as variables, and the names that they give to its dimensions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nexus_xr.diagnostics import Code, Diagnostics

from .axes import Axis
from .content import GroupContent, free_name
from .errors import find_errors
from .reserved import BOUNDS, EDGES
from .variables import Role, Variable


def coordinates_of(
    content: GroupContent, axes: Iterable[Axis], dims: tuple[str, ...], diagnostics: Diagnostics
) -> Iterator[Variable]:
    """The axes, and what else the group records as coordinates, each with its uncertainties."""
    yield from axis_variables(content, axes, dims, diagnostics)
    lengths = dict(content.recorded_lengths)
    for name in content.recorded_coordinates:
        field = content.fields[name]
        spanned = own_dimensions(content, name, field.ndim)
        is_edges = field.is_numeric and field.shape[-1:] > (1,) and lengths.get(spanned[-1]) == field.shape[-1] - 1
        bounds = free_name(name + BOUNDS, content) if is_edges else None
        own = zip(spanned, field.shape, strict=True)
        if not is_edges and any(lengths.setdefault(dim, length) != length for dim, length in own):
            message = f"{name!r} has other lengths along {spanned} than others have; it has dimensions of its own"
            diagnostics.add(Code.AXIS_WRONG_LENGTH, content.path, message)
            spanned = tuple(free_name(f"{name}_dim_{dim}", content) for dim in range(field.ndim))
        yield Variable(name, name, spanned, Role.AXIS, bounds)
        if not is_edges:
            yield from find_errors(content, name, spanned, Role.AXIS_ERRORS, diagnostics)


def axis_variables(
    content: GroupContent, axes: Iterable[Axis], dims: tuple[str, ...], diagnostics: Diagnostics
) -> Iterator[Variable]:
    """Axes with their uncertainties, and those of bin edges with a name for their bounds."""
    for axis in axes:
        spanned = _spanned(content, axis, dims)
        bounds = free_name(axis.field + BOUNDS, content) if axis.has_bounds else None
        yield Variable(axis.field, axis.field, spanned, Role.AXIS, bounds)
        if not axis.has_bounds:
            yield from find_errors(content, axis.field, spanned, Role.AXIS_ERRORS, diagnostics)


def _spanned(content: GroupContent, axis: Axis, dims: tuple[str, ...]) -> tuple[str, ...]:
    """The dimensions of an axis; edges that make no two bounds of each bin have some of their own for these.

    A single value that is stored as a list has own dimensions, too.
    """
    if not axis.dims:
        return own_dimensions(content, axis.field, content.fields[axis.field].ndim)
    spanned = tuple(dims[dim] for dim in axis.dims)
    if axis.has_bounds:
        return spanned
    own = enumerate(zip(spanned, content.fields[axis.field].shape, strict=True))
    return tuple(_dim_of_edges(content, dim, dims, size) if at in axis.edges else dim for at, (dim, size) in own)


def _dim_of_edges(content: GroupContent, dim: str, dims: tuple[str, ...], size: int) -> str:
    """The name of the dimension of edges between the bins of one, which no other length is recorded under."""
    each = (zip(field.recorded_dims or (), field.shape, strict=False) for field in content.fields.values())
    others = {name for recorded in each for name, length in recorded if length != size}
    return free_name(dim + EDGES, (*content.fields, *content.others, *dims, *others))


def name_dimensions(content: GroupContent, signal: str, axes: Iterable[Axis]) -> tuple[str, ...]:
    """A dimension has the name of its default axis, if that spans it alone, else a recorded one, or ``dim_<i>``."""
    rank = content.fields[signal].ndim
    dims: list[str] = [""] * rank
    for axis in axes:
        if axis.is_default and len(axis.dims) == 1 and not dims[axis.dims[0]]:
            dims[axis.dims[0]] = axis.field
    recorded = content.fields[signal].recorded_dims or ("",) * rank
    along = {(axis.field, axis.dims) for axis in axes}
    # A dimension of several may be called like the signal.
    others = {name for name in recorded if name in content.fields and (rank == 1 or name != signal)}
    if any(
        recorded[dim] in dims or (recorded[dim] in others and (recorded[dim], (dim,)) not in along)
        for dim, name in enumerate(dims)
        if not name
    ):
        recorded = ("",) * rank
    unnamed = (free or free_name(f"dim_{dim}", content) for dim, free in enumerate(recorded))
    return tuple(name or other for name, other in zip(dims, unnamed, strict=True))


def own_dimensions(content: GroupContent, name: str, rank: int) -> tuple[str, ...]:
    return content.fields[name].recorded_dims or tuple(free_name(f"{name}_dim_{dim}", content) for dim in range(rank))
