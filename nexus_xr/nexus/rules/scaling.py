"""How fields are scaled: by the fields that NeXus names after them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from nexus_xr.diagnostics import Code, Diagnostics

from .content import GroupContent
from .reserved import OFFSET, SCALING_FACTOR


@dataclass(frozen=True)
class Scaling:
    """Names of the fields by which a field is scaled: (FIELD + FIELD_offset) * FIELD_scaling_factor."""

    factor: str | None
    offset: str | None


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
