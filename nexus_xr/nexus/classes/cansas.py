"""NXcanSAS: data of small-angle scattering, also of writers that left the NX_class out."""

from __future__ import annotations

from dataclasses import replace

from nexus_xr.nexus.rules.attributes import integers, names
from nexus_xr.nexus.rules.content import GroupContent
from nexus_xr.nexus.rules.reserved import INDICES

from .group_class import GroupClass

_VECTOR = "Q"
_COMPONENTS = ("Qx", "Qy", "Qz")
_AXES = ("axes", "I_axes")


def _with_components(content: GroupContent) -> GroupContent:
    """What is said of the vector Q where that isn't there, said of its components, which NXcanSAS has no words for.

    They are fields of their own, and each spans the dimensions that ``@Q_indices`` gives, or the list of axes.
    """
    listed = {key: names(content.attributes.get(key), content.fields) for key in _AXES}
    meant = {key: axes for key, axes in listed.items() if _VECTOR in axes}
    if _VECTOR in content.fields or not meant:
        return content
    places = next(tuple(at for at, name in enumerate(axes) if name == _VECTOR) for axes in meant.values())
    dims = integers(content.attributes.get(_VECTOR + INDICES)) or places
    components = [name for name in _COMPONENTS if name in content.fields and content.fields[name].ndim == len(dims)]
    if not components:
        return content
    indices = {name + INDICES: list(dims) for name in components}
    without = {key: ["." if name == _VECTOR else name for name in axes] for key, axes in meant.items()}
    return replace(content, attributes={**indices, **content.attributes, **without})


SAS_DATA = GroupClass("SASdata", holds_data=True, as_data=_with_components)
SAS_TRANSMISSION = GroupClass("SAStransmission_spectrum", holds_data=True)
