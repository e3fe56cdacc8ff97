"""The table from the class of a group, by its ``NX_class`` or ``canSAS_class``, to what that means.

Beside it are the definitions of entries in which groups mean more than their class says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nexus_xr.nexus.rules.attributes import nx_class, text

from .cansas import SAS_DATA, SAS_TRANSMISSION
from .group_class import GroupClass
from .nxdata import NXDATA
from .nxdetector import NXDETECTOR, NXMONITOR
from .nxevent_data import NXEVENT_DATA
from .nxlog import NXLOG
from .nxspe import NXSPE

CLASSES = (NXDATA, NXDETECTOR, NXMONITOR, NXEVENT_DATA, NXLOG, SAS_DATA, SAS_TRANSMISSION)
DEFINITIONS = (NXSPE,)
OTHER = GroupClass("group")
# What there is to choose from in a file without data to plot is offered in this order; others if they are tables.
OFFERED = (NXDETECTOR, NXMONITOR, NXEVENT_DATA, OTHER, NXLOG)

_CANSAS = {each.name: each for each in (SAS_DATA, SAS_TRANSMISSION)}
_NEXUS = {each.name: each for each in CLASSES}


def class_of(attributes: Mapping[str, Any]) -> GroupClass:
    """The class of a group by its attributes, `OTHER` where it is none of the table.

    Examples
    --------
    >>> class_of({"NX_class": "NXdata"}).name, class_of({"canSAS_class": "SASdata"}).name, class_of({}).name
    ('NXdata', 'SASdata', 'group')
    """
    by_nexus = _NEXUS.get(nx_class(attributes) or "", OTHER)
    by_cansas = _CANSAS.get(text(attributes.get("canSAS_class")) or "")
    if by_cansas is None:
        return by_nexus
    return replace(by_nexus, as_data=by_cansas.as_data) if by_nexus.holds_data else by_cansas
