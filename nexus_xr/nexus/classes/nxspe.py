"""NXspe: inelastic scattering, whose definition has a name of its own for the uncertainties."""

from __future__ import annotations

from dataclasses import replace

from nexus_xr.nexus.rules.content import GroupContent

DEFINITION = "NXspe"


def is_like_nxspe(content: GroupContent) -> bool:
    """Whether a group has the fields for which the definition of its entry matters."""
    return {"data", "error"} <= content.fields.keys()


def with_errors(content: GroupContent) -> GroupContent:
    """Its ``error`` holds the uncertainties of its ``data``, unless it says otherwise."""
    return replace(content, attributes={"data_uncertainties": "error", **content.attributes})
