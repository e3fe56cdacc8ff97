"""Data to which another process is adding: as long as its signals and their axes and uncertainties are by now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nexus_xr.diagnostics import Code, Diagnostics

from .content import Field, GroupContent
from .nxdata import NXdata, apply_rules
from .variables import Role


def at_common_length(content: GroupContent, signal: str | None, diagnostics: Diagnostics) -> GroupContent:
    """The content of a group in which what grows together has the length that all of it has.

    A writer adds to one field after the other, and a reader that comes in between finds them of different lengths.
    Signals, axes and uncertainties tell the length; what else is like the signal is no longer than that.

    Parameters
    ----------
    content
        The group.
    signal
        Name of the field to take for the signal, as the data rules have it.
    diagnostics
        Is told what is left off of fields that can grow no more.
    """
    if not content.growing or _is_undecided(content):
        return content
    fields = dict(content.fields)
    grown = replace(content, fields={name: _grown(field, _beyond(content)) for name, field in fields.items()})
    data = apply_rules(grown, signal)
    places = list(_growing_places(data, grown))
    lengths: dict[str, int] = {}
    for dim, name, at, decides in places:
        if decides:
            lengths[dim] = min(lengths.get(dim, fields[name].shape[at]), fields[name].shape[at])
    for dim, name, at, _ in places:
        length, shape = lengths.get(dim), fields[name].shape
        if length is not None and length < shape[at]:
            fields[name] = replace(fields[name], shape=(*shape[:at], length, *shape[at + 1 :]))
            if not content.is_being_written:
                message = (
                    f"{name!r} of shape {shape} was cut to {length} along dimension {at}, as many as signal, axes and "
                    "uncertainties all have; open the file again to have it as it is"
                )
                diagnostics.add(Code.LONGER_THAN_COMMON, content.path, message)
    return replace(content, fields=fields)


def _is_undecided(content: GroupContent) -> bool:
    """Whether axes that go by numbers could be those of several dimensions that grow: what grows fits each of them."""
    return bool(content.axis_numbers) and any(sum(field.can_grow) > 1 for field in content.fields.values())


def _beyond(content: GroupContent) -> int:
    """A length that nothing has, and nothing has edges of."""
    return max((length for field in content.fields.values() for length in field.shape), default=0) + 2


def _grown(field: Field, length: int) -> Field:
    """A field as if all that grows were equally long."""
    shape = (length if field.grows_along(dim) else own for dim, own in enumerate(field.shape))
    return replace(field, shape=tuple(shape))


def _growing_places(data: NXdata, grown: GroupContent) -> Iterator[tuple[str, str, int, bool]]:
    """Dimension by dimension: its name, the field, as which of the field's own, and whether it tells the length."""
    for variable in data.variables:
        decides = variable.role is not Role.OTHER
        # Columns of a group without a signal are not of one length by nature.
        if decides or data.signal is not None:
            for at, dim in enumerate(variable.dims):
                if grown.fields[variable.field].grows_along(at):
                    yield dim, variable.field, at, decides
