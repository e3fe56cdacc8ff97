"""Which field of a group holds the uncertainties of another."""

from __future__ import annotations

from .attributes import names, text
from .content import GroupContent, why_no_field
from .reserved import ERRORS
from .variables import Role, Variable


def find_errors(
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
    by_name = owner + ERRORS
    fits = by_name in content.fields and content.fields[by_name].shape == content.fields[owner].shape
    if has_own_role(content, by_name) and (role is Role.AXIS_ERRORS or not fits):
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
    name = owner + ERRORS
    return [Variable(name if found == name else content.free_name(name), found, dims, role)]


def has_own_role(content: GroupContent, name: str) -> bool:
    """Whether the group says what a field is, whatever its name suggests."""
    return (
        name == text(content.attributes.get("signal"))
        or name in names(content.attributes.get("auxiliary_signals"), content.fields)
        or name in content.indices
        or name in content.recorded_coordinates
    )
