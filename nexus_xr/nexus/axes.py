"""Which fields of a group are axes of a signal, and which dimensions each of them spans.

The three ways of associating axes are those of the NeXus manual: by attributes of the NXdata group, by name on the
signal, and by the number of the dimension on each axis; NXcanSAS adds a fourth spelling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from .attributes import integers, names
from .content import Field, GroupContent, why_no_field
from .interpretation import shown_dims

Dims = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """A field that gives the positions along dimensions of the signal.

    Parameters
    ----------
    field
        Its name.
    dims
        Numbers of the dimensions that it spans, in the order of its own.
    is_edges
        Whether it has one value more than its last dimension.
    is_default
        Whether it is the first choice for its dimension.
    """

    field: str
    dims: Dims
    is_edges: bool
    is_default: bool


@dataclass(frozen=True)
class _Candidate:
    """A field that is said to be an axis, and the dimensions that it may span by what is said, the likeliest first."""

    field: str
    places: tuple[Dims, ...]
    is_default: bool
    source: str

    def or_at(self, other: _Candidate) -> _Candidate:
        """The same field, named a second time."""
        return replace(self, places=(*self.places, *other.places), is_default=self.is_default or other.is_default)


def find_axes(content: GroupContent, signal: str, problems: list[str]) -> tuple[Axis, ...]:
    """The axes of a signal, those that are the first choice for their dimension before others.

    Parameters
    ----------
    content
        The group.
    signal
        Name of the signal.
    problems
        Is given what can't be honoured: an axis that isn't there, or of a shape that fits nowhere.
    """
    shape = content.fields[signal].shape
    merged: dict[str, _Candidate] = {}
    for candidate in _candidates(content, signal, problems):
        before = merged.get(candidate.field)
        merged[candidate.field] = candidate if before is None else before.or_at(candidate)
    fits = {name: _fit(candidate, content.fields[name], shape) for name, candidate in merged.items()}
    axes = [axis for axis in fits.values() if axis is not None]
    for name, candidate in merged.items():
        if fits[name] is None:
            axes += _place_misfit(candidate, content, shape, axes, problems)
    return tuple(axes)


def _candidates(content: GroupContent, signal: str, problems: list[str]) -> Iterator[_Candidate]:
    listed, source = _listed_axes(content, signal)
    yield from _axes_by_name(content, signal, listed, source, problems)
    rank = content.fields[signal].ndim
    for name in content.indices:
        declared = _declared(content, name, rank)
        if declared is not None and name not in (*listed, signal):
            yield _Candidate(name, _valid(declared, content.fields[name], None), False, f"@{name}_indices")
    is_unlisted = all(name == "." for name in listed)
    for numbered in _axes_by_number(content, signal, is_unlisted):
        if numbered.field not in listed:
            yield numbered


# --- by name: versions 3 and 2, NXcanSAS --------------------------------------------------------------------------


def _listed_axes(content: GroupContent, signal: str) -> tuple[tuple[str, ...], str]:
    """The list of axes, one for a dimension, and where it stands.

    Version 3: ``@axes`` of the group. Version 2: ``@axes`` of the signal. NXcanSAS: ``@I_axes`` of the group.
    """
    places = (
        (content.attributes, "axes", "@axes"),
        (content.fields[signal].attributes, "axes", f"@axes of {signal!r}"),
        (content.attributes, f"{signal}_axes", f"@{signal}_axes"),
    )
    for attributes, key, source in places:
        listed = names(attributes.get(key), content.fields)
        if listed:
            return listed, source
    return (), "@axes"


def _axes_by_name(
    content: GroupContent, signal: str, listed: Sequence[str], source: str, problems: list[str]
) -> Iterator[_Candidate]:
    """Listed axes span what their ``@AXISNAME_indices`` say, and else dimensions from their place in the list on."""
    shape = content.fields[signal].shape
    rank = len(shape)
    first = _first_dimension(content, signal, listed)
    claims = Counter(_declared(content, name, rank) for name in listed if name in content.fields)
    for place, name in enumerate(listed, first):
        if name == signal:
            problems.append(f"{content.path}: {source} names the signal {name!r} itself")
        elif name in content.fields:
            field = content.fields[name]
            declared = _declared(content, name, rank)
            by_indices = () if declared is None else _valid(declared, field, place)
            if (
                by_indices
                and claims[declared] > 1
                and field.shape == shape[place : place + 1]
                and by_indices != ((place,),)
            ):
                problems.append(
                    f"{content.path}: @{name}_indices claims the dimension of another of {source}; went by that"
                )
                by_indices = ()
            places = by_indices or tuple(_from_place(place, field.ndim, rank))
            yield _Candidate(name, places, place < rank, source)
        elif name != ".":
            problems.append(f"{content.path}: {source} names {name!r}, which {why_no_field(content, name)}")


def _first_dimension(content: GroupContent, signal: str, listed: Sequence[str]) -> int:
    """The dimension of the first listed axis: where axes are fewer than dimensions, they may be the last ones'.

    They are if ``@interpretation`` shows just as many dimensions, or if more of their lengths fit there.
    """
    field = content.fields[signal]
    missing = field.ndim - len(listed)
    if missing <= 0 or not listed:
        return 0
    leading, trailing = (
        sum(
            name in content.fields and content.fields[name].shape == (field.shape[first + place],)
            for place, name in enumerate(listed)
        )
        for first in (0, missing)
    )
    is_shown = shown_dims(field.attributes, content.attributes) == len(listed)
    return missing if trailing > leading or (is_shown and trailing == leading) else 0


def _declared(content: GroupContent, name: str, rank: int) -> Dims | None:
    """The dimensions of ``@AXISNAME_indices``, None where there are none or they are no dimensions of the signal."""
    indices = content.indices.get(name)
    if indices is None or len(set(indices)) < len(indices) or not all(0 <= index < rank for index in indices):
        return None
    return indices


def _valid(declared: Dims, field: Field, place: int | None) -> tuple[Dims, ...]:
    """Indices count where there are as many as the field has dimensions, or where its place is one of them."""
    if len(declared) == field.ndim:
        return (declared,)
    return ((place,),) if field.ndim == 1 and place in declared else ()


def _from_place(place: int, own_rank: int, rank: int) -> Iterator[Dims]:
    """Without indices: as many dimensions as the field has, from its place in the list on, or all of the signal's."""
    if place + own_rank <= rank:
        yield tuple(range(place, place + own_rank))
    if own_rank == rank:
        yield tuple(range(rank))


# --- by number: version 1 -----------------------------------------------------------------------------------------


def _axes_by_number(content: GroupContent, signal: str, may_be_default: bool) -> list[_Candidate]:
    """Fields with ``@axis``, the number of the dimension, and ``@primary=1`` on the first choice.

    The manual counts from one and the fastest dimension; many writers counted from the slowest, some from zero.
    The lengths decide, for all axes of the group together.
    """
    shape = content.fields[signal].shape
    rank = len(shape)
    numbered = {name: numbers for name, numbers in content.axis_numbers.items() if name != signal}
    by_preference = sorted(numbered, key=lambda name: _primary(content.fields[name]))
    from_zero = any(0 in numbers for numbers in numbered.values())

    def counted(from_fastest: bool) -> list[_Candidate]:
        candidates: list[_Candidate] = []
        for name in by_preference:
            start = 0 if from_zero else 1
            dims = tuple(sorted(rank - number if from_fastest else number - start for number in numbered[name]))
            if all(0 <= dim < rank for dim in dims) or not rank:
                places = (dims if rank else (),)
                is_first = all(candidate.places != places for candidate in candidates)
                candidates.append(_Candidate(name, places, is_first and may_be_default, "@axis"))
        return candidates

    def fitting(candidates: list[_Candidate]) -> int:
        return sum(_fit(candidate, content.fields[candidate.field], shape) is not None for candidate in candidates)

    if from_zero:
        return counted(from_fastest=False)
    return max(counted(from_fastest=True), counted(from_fastest=False), key=fitting)


def _primary(field: Field) -> int:
    numbers = integers(field.attributes.get("primary"))
    return numbers[0] if numbers else 10**6


# --- against the shape of the signal ------------------------------------------------------------------------------


def _fit(candidate: _Candidate, field: Field, signal: tuple[int, ...]) -> Axis | None:
    """The candidate as an axis, if its shape is that of dimensions that it may span, or one more in the last."""
    for dims in candidate.places:
        if field.shape == tuple(signal[dim] for dim in dims):
            return Axis(candidate.field, dims, False, candidate.is_default)
    for dims in candidate.places:
        edges = tuple(signal[dim] for dim in dims[:-1]) + tuple(signal[dim] + 1 for dim in dims[-1:])
        if dims and field.shape == edges and edges[-1] > 1 and field.is_numeric:
            return Axis(candidate.field, dims, True, candidate.is_default)
    return None


def _place_misfit(
    candidate: _Candidate, content: GroupContent, signal: tuple[int, ...], axes: Iterable[Axis], problems: list[str]
) -> Iterator[Axis]:
    """A listed axis of the wrong length for its place is the axis of the only dimension of its length without one."""
    shape = content.fields[candidate.field].shape
    described = {axis.dims[0] for axis in axes if len(axis.dims) == 1}
    free = [dim for dim, length in enumerate(signal) if dim not in described and shape == (length,)]
    place = " or ".join(", ".join(map(str, dims)) for dims in candidate.places) or "none that there is"
    where = f"{content.path}: axis {candidate.field!r} of shape {shape} doesn't fit where {candidate.source} puts it"
    where = f"{where} (dimension {place})"
    if len(free) == 1 and candidate.is_default:
        problems.append(f"{where}; took it for dimension {free[0]}, the only one of its length without an axis")
        yield Axis(candidate.field, (free[0],), False, True)
    else:
        problems.append(f"{where} of a signal of shape {signal}; left it out")
