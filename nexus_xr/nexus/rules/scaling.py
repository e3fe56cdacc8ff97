"""How fields are scaled: by the fields that NeXus names after them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nexus_xr.diagnostics import Code, Diagnostics

from .attributes import text
from .content import GroupContent
from .reserved import OFFSET, SCALING_FACTOR


@dataclass(frozen=True)
class Scaling:
    """Names of the fields by which a field is scaled: (FIELD + FIELD_offset) * FIELD_scaling_factor."""

    factor: str | None
    offset: str | None


def tell_of_scaling_of_group(content: GroupContent, signal: str, diagnostics: Diagnostics) -> None:
    """Tell of the field ``scaling_factor`` of old files, of which no rule says how it makes values of which field."""
    name = SCALING_FACTOR[1:]
    part = content.fields.get(name)
    if part is not None and part.is_numeric and math.prod(part.shape) == 1 and name != signal:
        message = f"{name!r} isn't applied to {signal!r}, as it isn't told how; the values are as they are stored"
        diagnostics.add(Code.SCALING_OF_GROUP, content.path, message)


def named_factor(content: GroupContent, signal: str, diagnostics: Diagnostics) -> str | None:
    """The field of a single number that ``@scaling_factor`` of NXcanSAS's ``I`` names, which is told of.

    It isn't applied, as nothing says whether the uncertainties are those of the values before or after.
    """
    name = text(content.fields[signal].attributes.get(SCALING_FACTOR[1:]))
    part = content.fields.get(name or "")
    if name in (None, signal) or part is None or not part.is_numeric or math.prod(part.shape) != 1:
        return None
    message = (
        f"{signal!r} is as it is stored, and isn't multiplied by {name!r}, which its @scaling_factor names; multiply "
        "it, and its uncertainties where these are of the stored values"
    )
    diagnostics.add(Code.SCALING_NAMED, content.path, message)
    return name


def find_scaling(content: GroupContent, name: str, diagnostics: Diagnostics) -> Scaling | None:
    """``FIELD_scaling_factor`` and ``FIELD_offset``, where they are single numbers and the field is one of numbers."""
    if not content.fields[name].is_numeric:
        return None
    parts: list[str | None] = []
    for suffix in (SCALING_FACTOR, OFFSET):
        part = content.fields.get(name + suffix)
        is_number = part is not None and part.is_numeric and math.prod(part.shape) == 1
        if part is not None and not is_number:
            message = f"{name + suffix!r} is not a single number; {name!r} is not scaled by it"
            diagnostics.add(Code.SCALING_NO_NUMBER, content.path, message)
        parts.append(name + suffix if is_number else None)
    return Scaling(*parts) if any(parts) else None
