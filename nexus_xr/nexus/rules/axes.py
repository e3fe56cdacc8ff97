"""Which fields of a group are axes of a signal, and which dimensions each of them spans.

The three ways of associating axes are those of the NeXus manual: by attributes of the NXdata group, by name on the
signal, and by the number of the dimension on each axis; NXcanSAS adds a fourth spelling.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from nexus_xr.diagnostics import Code, Diagnostics

from .attributes import integers, names
from .content import Field, GroupContent, why_no_field
from .interpretation import shown_dims
from .reserved import INDICES

Dims = tuple[int, ...]


@dataclass(frozen=True)
class Axis:
    """A field that gives the positions along dimensions of the signal.

    Parameters
    ----------
    field
        Its name.
    dims
        Numbers of the dimensions that it spans, in the order of its own; none of a single value.
    edges
        Along which of its own dimensions it has one value more than the signal, as the edges of bins have.
    is_default
        Whether it is the first choice for its dimension.
    """

    field: str
    dims: Dims
    edges: Dims
    is_default: bool

    @property
    def has_bounds(self) -> bool:
        """Whether each bin has two bounds: edges along the last dimension alone."""
        return self.edges == (len(self.dims) - 1,)


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


def find_axes(content: GroupContent, signal: str, diagnostics: Diagnostics) -> tuple[Axis, ...]:
    """The axes of a signal, those that are the first choice for their dimension before others.

    Parameters
    ----------
    content
        The group.
    signal
        Name of the signal.
    diagnostics
        Is given what can't be honoured: an axis that isn't there, or of a shape that fits nowhere.
    """
    listed, source = listed_axes(content, signal)
    kept = _without_spare(content, signal, listed)
    spare = [name for name in dict.fromkeys(listed) if name not in kept]
    if spare:
        message = (
            f"{source} lists more axes of {signal!r} than its shape {content.fields[signal].shape} has dimensions; "
            f"{', '.join(map(repr, spare))} of one element has none of these"
        )
        diagnostics.add(Code.AXIS_WRONG_LENGTH, content.path, message)
        untrue = {name + INDICES for name in listed}  # they count dimensions that aren't there
        told = {name: value for name, value in content.attributes.items() if name not in untrue}
        content = replace(content, attributes=told)
    axes = _settled(content, signal, _candidates(content, signal, kept, source, diagnostics), diagnostics)
    return (*axes, *(Axis(name, (), (), False) for name in spare))


def find_own_axes(content: GroupContent, name: str, diagnostics: Diagnostics) -> tuple[Axis, ...]:
    """The axes that a field names in an ``@axes`` of its own, whatever its group says of the signal."""
    alone = replace(content, attributes={})
    listed, source = listed_axes(alone, name)
    return _settled(alone, name, _axes_by_name(alone, name, listed, source, diagnostics), diagnostics)


def _settled(
    content: GroupContent, signal: str, candidates: Iterable[_Candidate], diagnostics: Diagnostics
) -> tuple[Axis, ...]:
    """The candidates at the dimensions that they have by their shapes."""
    field = content.fields[signal]
    merged: dict[str, _Candidate] = {}
    for candidate in candidates:
        before = merged.get(candidate.field)
        merged[candidate.field] = candidate if before is None else before.or_at(candidate)
    spans = {name: _span(content.fields[name], candidate.places, field) for name, candidate in merged.items()}
    axes = [Axis(name, *span, merged[name].is_default) for name, span in spans.items() if span is not None]
    for name, candidate in merged.items():
        if spans[name] is None:
            axes += _place_misfit(candidate, content, field.shape, axes, diagnostics)
    return tuple(axes)


def _candidates(
    content: GroupContent, signal: str, listed: Sequence[str], source: str, diagnostics: Diagnostics
) -> Iterator[_Candidate]:
    yield from _axes_by_name(content, signal, listed, source, diagnostics)
    rank = content.fields[signal].ndim
    for name, indices in content.indices.items():
        if name in (*listed, signal):
            continue
        if (declared := _declared(content, name, rank)) is not None:
            places = _by_indices(declared, content.fields[name], rank) or (declared,)
            yield _Candidate(name, places, False, f"@{name}{INDICES}")
        elif indices:
            said = f"@{name}{INDICES}={_in_words(indices)}, which is no dimension of a signal of shape "
            code, shape = Code.AXIS_INDICES_DIFFER, content.fields[signal].shape
            found = _by_length(content, name, content.fields[signal], (), code, f"{said}{shape}", diagnostics)
            if found is not None:
                yield _Candidate(name, (found,), False, f"@{name}{INDICES}")
    if content.axis_numbers:
        yield from _axes_by_number(content, signal, listed, diagnostics)


# --- by name: versions 3 and 2, NXcanSAS --------------------------------------------------------------------------


def listed_axes(content: GroupContent, signal: str) -> tuple[tuple[str, ...], str]:
    """The list of axes, one for a dimension, and where it stands.

    Version 3: ``@axes`` of the group. Version 2: ``@axes`` of the signal. NXcanSAS: ``@I_axes`` of the group.
    """
    places = (
        (content.attributes, "axes", content.axes_told_by),
        (content.fields[signal].attributes, "axes", f"@axes of {signal!r}"),
        (content.attributes, f"{signal}_axes", f"@{signal}_axes"),
    )
    for attributes, key, source in places:
        listed = names(attributes.get(key), content.fields)
        if listed:
            return listed, source
    return (), content.axes_told_by


def _without_spare(content: GroupContent, signal: str, listed: tuple[str, ...]) -> tuple[str, ...]:
    """The listed axes without those of one element, if they are too many with, and just those of the signal without.

    So they are where a signal was stored without its dimensions of length one.
    """
    field = content.fields[signal]
    if not 0 < field.ndim < len(listed):
        return listed
    kept: list[str] = []
    for name in listed:
        axis, dim = content.fields.get(name), len(kept)
        if axis is None or (dim < field.ndim and _span(axis, ((dim,),), field) is not None):
            kept.append(name)
        elif math.prod(axis.shape) != 1 or axis.shape == field.shape:  # a point of several that are scattered
            return listed
    return tuple(kept) if len(kept) == field.ndim else listed


def _axes_by_name(
    content: GroupContent, signal: str, listed: Sequence[str], source: str, diagnostics: Diagnostics
) -> Iterator[_Candidate]:
    """Listed axes span what their ``@AXISNAME_indices`` say, and else dimensions from their place in the list on."""
    spanned = content.fields[signal]
    rank = spanned.ndim
    places: dict[str, Dims] = {}
    for dim, name in zip(_order(content, signal, listed, source, diagnostics), listed, strict=True):
        places[name] = (*places.get(name, ()), dim)
    claims = Counter(_declared(content, name, rank) for name in places if name in content.fields)
    for name, at in places.items():
        if name == signal:
            diagnostics.add(Code.AXIS_IS_SIGNAL, content.path, f"{source} names the signal {name!r} itself")
        elif name in content.fields:
            field = content.fields[name]
            declared = _declared(content, name, rank)
            by_place = _by_places(at, field, rank)
            by_indices = () if declared is None else _by_indices(declared, field, rank)
            chosen = by_indices or by_place
            if (
                by_indices
                and len(listed) >= rank
                and _is_likelier(by_place, by_indices, claims[declared], field, spanned)
            ):
                chosen = by_place
            is_denied = declared is not None and len(listed) == rank and not set(at) <= set(declared)
            if declared is not None and (is_denied or (by_indices and chosen is by_place)):
                diagnostics.add(
                    Code.AXIS_INDICES_DIFFER,
                    content.path,
                    f"@{name}{INDICES} says dimension {_in_words(declared)}, {source} dimension "
                    f"{_in_words(at)}; went by {source if chosen is by_place else f'@{name}{INDICES}'}",
                )
            said = max(tuple(dim for dim in at if dim < rank), declared or (), key=len)
            _tell_of_others(content, name, said, _span(field, chosen, spanned), diagnostics)
            yield _Candidate(name, chosen, at[0] < rank, source)
        elif name != ".":
            message = f"{source} names {name!r}, which {why_no_field(content, name)}"
            diagnostics.add(Code.AXIS_MISSING, content.path, message)


def _tell_of_others(
    content: GroupContent, name: str, said: Dims, span: tuple[Dims, Dims] | None, diagnostics: Diagnostics
) -> None:
    """Say of an axis of fewer dimensions than it is said to be one of which ones have none of it."""
    dims = () if span is None else span[0]
    if 0 < len(dims) < len(said) and (others := [dim for dim in said if dim not in dims]):
        message = (
            f"axis {name!r} of shape {content.fields[name].shape} is said to be one of dimensions {_in_words(said)}; "
            f"it is one of {_in_words(dims)} alone, and not of {_in_words(others)}"
        )
        diagnostics.add(Code.AXIS_LISTED_AGAIN, content.path, message)


def _order(content: GroupContent, signal: str, listed: Sequence[str], source: str, diagnostics: Diagnostics) -> range:
    """The dimensions that the listed axes are those of, in the order of the list.

    Where axes are fewer than dimensions, they may be the last ones'. They are if more of them fit there, or as many,
    and ``@interpretation`` shows just that many dimensions. Some writers list the fastest dimension first: if that,
    and only that, fits all axes, it is meant.
    """
    field = content.fields[signal]
    missing = max(field.ndim - len(listed), 0)
    leading, trailing = (range(first, first + len(listed)) for first in (0, missing))
    is_shown = shown_dims(field.attributes, content.attributes) == len(listed)
    orders = (trailing, leading) if is_shown else (leading, trailing)

    def fitting(order: range) -> tuple[int, int]:
        """How many axes fit, and how many of them without being edges."""
        at = ((content.fields[name], dim) for dim, name in zip(order, listed, strict=True) if name in content.fields)
        spans = [_span(each, ((dim,),), field) for each, dim in at if dim < field.ndim]
        return sum(span is not None for span in spans), sum(span is not None and not span[1] for span in spans)

    order = max(orders, key=fitting)
    if fitting(order)[0] < len(listed):
        backwards = [reverse for each in orders if fitting(reverse := each[::-1])[0] == len(listed)]
        if backwards and source == content.axes_told_by:
            message = f"by their lengths, {source} lists the axes of {signal!r} last dimension first"
            diagnostics.add(Code.AXES_REVERSED, content.path, message)
        order = (*backwards, order)[0]
    return order


def _is_likelier(
    by_place: Sequence[Dims], by_indices: Sequence[Dims], claims: int, field: Field, signal: Field
) -> bool:
    """Whether an axis is where the list has it: only that fits, or its indices are those of another listed axis."""
    at_place, at_indices = _span(field, by_place, signal), _span(field, by_indices, signal)
    return at_place not in (None, at_indices) and (at_indices is None or claims > 1)


def _declared(content: GroupContent, name: str, rank: int) -> Dims | None:
    """The dimensions of ``@AXISNAME_indices``, None where there are none or they are no dimensions of the signal."""
    indices = content.indices.get(name)
    if indices is None or len(set(indices)) < len(indices) or not all(0 <= index < rank for index in indices):
        return None
    return indices


def _by_indices(declared: Dims, field: Field, rank: int) -> tuple[Dims, ...]:
    """Indices count where there are as many as the field has dimensions, or where they give one of its dimensions."""
    if len(declared) == field.ndim:
        return (declared,)
    return tuple(_runs(declared[0], field, rank)) if len(declared) == 1 < field.ndim else ()


def _by_places(at: Dims, field: Field, rank: int) -> tuple[Dims, ...]:
    """A field that is listed once for each of its dimensions spans those; else the place is that of one of them."""
    if 1 < field.ndim == len(at) and max(at) < rank:
        return (at,)
    return tuple(run for dim in at for run in _runs(dim, field, rank))


def _runs(dim: int, field: Field, rank: int) -> Iterator[Dims]:
    """As many dimensions as a field has, where one is given: from that one on, or else others around it."""
    if not field.ndim:
        yield ()
    elif dim < rank:
        for first in range(min(dim, rank - field.ndim), max(dim - field.ndim, -1), -1):
            yield tuple(range(first, first + field.ndim))
    elif field.ndim == rank:
        yield tuple(range(rank))


# --- by number: version 1 -----------------------------------------------------------------------------------------


def _axes_by_number(
    content: GroupContent, signal: str, listed: Sequence[str], diagnostics: Diagnostics
) -> Iterator[_Candidate]:
    """Fields with ``@axis``, the number of a dimension, and ``@primary=1`` on the first choice.

    The manual counts from one and the fastest dimension; many writers counted from the slowest, some from zero.
    The lengths decide, for all axes of the group together, and where they don't, those of the first choices.
    """
    field = content.fields[signal]
    shape = field.shape
    numbered = {name: numbers for name, numbers in content.axis_numbers.items() if name != signal}
    by_preference = sorted(numbered, key=lambda name: _primary(content.fields[name]))

    def counted(start: int, from_fastest: bool) -> dict[str, tuple[Dims, ...]]:
        places = {name: _counted(numbered[name], start, from_fastest, content.fields[name], shape) for name in numbered}
        return {name: found for name, found in places.items() if found}

    def fitting(places: Mapping[str, tuple[Dims, ...]]) -> tuple[int, int]:
        """How many axes fit, and how many of them are first choices."""
        fits = [name for name in places if _span(content.fields[name], places[name], field) is not None]
        return len(fits), sum(_primary(content.fields[name]) == 1 for name in fits)

    countings = [counted(1, from_fastest=True), counted(1, from_fastest=False)]
    if any(0 in numbers for numbers in numbered.values()):
        countings = [counted(0, from_fastest=False), *countings, counted(0, from_fastest=True)]
    best = max(countings, key=fitting)
    spans = [_span(content.fields[name], places, field) for name, places in best.items()]
    described = {span[0] for span in spans if span is not None}
    first_of = {(numbered[name], content.fields[name].ndim): name for name in reversed(by_preference)}
    is_unlisted = all(name == "." for name in listed)
    for name in by_preference:
        is_default = is_unlisted and name in first_of.values()
        if name in listed:
            continue
        if name in best:
            yield _Candidate(name, best[name], is_default, "@axis")
        else:
            numbers, counting = _in_words(numbered[name]), "as the axes are counted"
            said = f"@axis={numbers}, which is no dimension of a signal of shape {shape} {counting}"
            dims = _by_length(content, name, field, described, Code.AXIS_NUMBER_WRONG, said, diagnostics)
            if dims is not None:
                yield _Candidate(name, (dims,), is_default and dims not in described, "@axis")


def _counted(numbers: Dims, start: int, from_fastest: bool, field: Field, signal: tuple[int, ...]) -> tuple[Dims, ...]:
    """What an axis with these numbers may span, as they are counted; nothing where there is no such dimension."""
    rank = len(signal)
    dims = tuple(sorted(rank - 1 - (number - start) if from_fastest else number - start for number in numbers))
    if not rank:
        return ((),)
    if not all(0 <= dim < rank for dim in dims):
        return ()
    return tuple(_runs(dims[0], field, rank)) if len(dims) == 1 < field.ndim else (dims,)


def _by_length(
    content: GroupContent,
    name: str,
    signal: Field,
    described: Container[Dims],
    code: Code,
    said: str,
    diagnostics: Diagnostics,
) -> Dims | None:
    """The only dimensions of the lengths of an axis that is said to be no dimension's: those without one first."""
    field = content.fields[name]
    runs = dict.fromkeys(tuple(range(dim, dim + field.ndim)) for dim in range(signal.ndim - field.ndim + 1))
    spans = [span for run in runs if (span := _span(field, (run,), signal)) is not None]
    fitting = [dims for dims, edges in spans if not edges] or [dims for dims, _ in spans]
    fitting = [dims for dims in fitting if dims not in described] or fitting
    where = f"axis {name!r} of shape {field.shape} has {said}"
    if len(fitting) == 1:
        place = f"dimension {_in_words(fitting[0])}" if fitting[0] else "a value of the whole signal"
        message = f"{where}; took it for {place} by its length"
        diagnostics.add(code, content.path, message)
        return fitting[0]
    diagnostics.add(code, content.path, f"{where}; left it out")
    return None


def _primary(field: Field) -> int:
    numbers = integers(field.attributes.get("primary"))
    return numbers[0] if numbers else 10**6


# --- against the shape of the signal ------------------------------------------------------------------------------


def _span(field: Field, places: Iterable[Dims], signal: Field) -> tuple[Dims, Dims] | None:
    """The dimensions whose lengths are those of a field, and along which of its own it has one value more.

    What grows is the axis of what grows with it, whatever else is as long for the moment.
    """
    places = [dims for dims in places if not any(signal.can_grow) or _grows_with(field, dims, signal)]
    told = ((dims, _edges(field, tuple(signal.shape[dim] for dim in dims))) for dims in places)
    spans = [(dims, edges) for dims, edges in told if edges is not None]
    # Points are likelier than edges, and these likelier along the last dimension alone.
    return min(spans, key=lambda span: (bool(span[1]), span[1] != (field.ndim - 1,)), default=None)


def _edges(field: Field, lengths: tuple[int, ...]) -> Dims | None:
    """Along which of its dimensions a field has one value more than these lengths; None where it has others."""
    if field.ndim != len(lengths) or any(
        own - length not in (0, 1) for own, length in zip(field.shape, lengths, strict=True)
    ):
        return None
    edges = tuple(at for at, length in enumerate(lengths) if field.shape[at] > length)
    are_bins = field.is_numeric and all(lengths[at] > 0 for at in edges)
    return edges if are_bins or not edges else None


def _grows_with(field: Field, dims: Dims, signal: Field) -> bool:
    return all(signal.grows_along(dim) for at, dim in enumerate(dims) if field.grows_along(at))


def _place_misfit(
    candidate: _Candidate,
    content: GroupContent,
    signal: tuple[int, ...],
    axes: Iterable[Axis],
    diagnostics: Diagnostics,
) -> Iterator[Axis]:
    """A listed axis of the wrong length for its place is the axis of the only dimension of its length without one."""
    shape = content.fields[candidate.field].shape
    described = {axis.dims[0] for axis in axes if len(axis.dims) == 1}
    free = [dim for dim, length in enumerate(signal) if dim not in described and shape == (length,)]
    where = f"axis {candidate.field!r} of shape {shape}"
    dimensions = " or ".join(map(_in_words, dict.fromkeys(candidate.places)))
    place = f"dimension {dimensions}" if candidate.places else "beyond the last dimension"
    where = f"{where} doesn't fit where {candidate.source} puts it ({place})"
    if len(free) == 1 and candidate.is_default:
        message = f"{where}; took it for dimension {free[0]}, the only one of its length without an axis"
        diagnostics.add(Code.AXIS_WRONG_LENGTH, content.path, message)
        yield Axis(candidate.field, (free[0],), (), True)
    else:
        message = f"{where} of a signal of shape {signal}; left it out"
        diagnostics.add(Code.AXIS_WRONG_LENGTH, content.path, message)


def _in_words(dims: Iterable[int]) -> str:
    return ", ".join(map(str, dims))
