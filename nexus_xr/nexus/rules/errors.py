"""Which field of a group holds the uncertainties of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_xr.diagnostics import Code, Diagnostics

from .attributes import names, text
from .content import GroupContent, free_name, why_no_field
from .reserved import ERRORS, SIGNAL_ERRORS, owner_of
from .variables import Role, Variable


def owner_of_errors(name: str, spans: Mapping[str, Any]) -> str | None:
    """The field whose uncertainties another is by its name and by what it spans, None where it is no other's.

    Parameters
    ----------
    name
        Name of a field.
    spans
        For each field what it spans: its shape, or its dimensions.

    Examples
    --------
    >>> spans = {"counts": (3, 4), "counts_errors": (3, 4), "x": (4,), "x_errors": (3,)}
    >>> owner_of_errors("counts_errors", spans), owner_of_errors("x_errors", spans)
    ('counts', None)
    """
    owner = owner_of(name, ERRORS, spans)
    return owner if owner is not None and spans[owner] == spans.get(name) else None


def find_errors(
    content: GroupContent,
    owner: str,
    dims: tuple[str, ...],
    role: Role,
    diagnostics: Diagnostics,
    is_signal: bool = False,
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
    by_name = owner + ERRORS
    fits = owner_of_errors(by_name, content.shapes) == owner
    is_coordinate = by_name in content.recorded_coordinates
    is_other = is_coordinate or (by_name in content.placed and (role is Role.AXIS_ERRORS or not fits))
    has_older_name = is_signal and SIGNAL_ERRORS not in content.placed
    candidates = (None if is_other else by_name, *named, SIGNAL_ERRORS if has_older_name else None)
    found = next((name for name in candidates if name in content.fields and name != owner), None)
    if found is None:
        for name in named:
            message = f"the uncertainties of {owner!r} are said to be {name!r}, which {why_no_field(content, name)}"
            diagnostics.add(Code.ERRORS_MISSING, content.path, message)
        return []
    if content.fields[found].shape != content.fields[owner].shape:
        diagnostics.add(
            Code.ERRORS_WRONG_SHAPE,
            content.path,
            f"uncertainties {found!r} of shape {content.fields[found].shape} don't fit "
            f"{owner!r} of shape {content.fields[owner].shape}; left them out",
        )
        return []
    return [Variable(by_name if found == by_name else free_name(by_name, content), found, dims, role)]


def find_resolutions(content: GroupContent, axis: Variable) -> list[Variable]:
    """The widths of the resolution at each position of an axis, which ``@resolutions`` of NXcanSAS's ``Q`` names."""
    field = content.fields[axis.field]
    named = names(field.attributes.get("resolutions"), content.fields)
    alike = [name for name in named if name in content.fields and content.fields[name].shape == field.shape]
    return [] if axis.bounds else [Variable(name, name, axis.dims, Role.OTHER) for name in alike]
