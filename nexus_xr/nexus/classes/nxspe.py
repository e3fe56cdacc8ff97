"""NXspe: inelastic scattering, whose definition has a name of its own for the uncertainties."""

from __future__ import annotations

from dataclasses import replace

from nexus_xr.nexus.rules.content import GroupContent

from .group_class import Definition


def _has_data_and_error(content: GroupContent) -> bool:
    return {"data", "error"} <= content.fields.keys()


def _with_errors(content: GroupContent) -> GroupContent:
    """Its ``error`` holds the uncertainties of its ``data``, unless it says otherwise."""
    return replace(content, attributes={"data_uncertainties": "error", **content.attributes})


NXSPE = Definition("NXspe", _has_data_and_error, _with_errors)
