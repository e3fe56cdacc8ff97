"""NXlog: a value that was recorded over time."""

from __future__ import annotations

from dataclasses import replace

from nexus_xr.nexus.rules.content import GroupContent

from .group_class import GroupClass


def _value_on_time(content: GroupContent) -> GroupContent:
    """Its ``value`` is the signal, on its ``time``, as the manual has it, unless it says otherwise."""
    if "value" not in content.fields or "signal" in content.attributes:
        return content
    attributes = {**content.attributes, "signal": "value"}
    if "time" not in content.fields:
        return replace(content, attributes=attributes)
    return replace(content, attributes={**attributes, "axes": "time"}, axes_told_by="NXlog")


NXLOG = GroupClass("NXlog", as_data=_value_on_time)
