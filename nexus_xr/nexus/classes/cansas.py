"""NXcanSAS: data of small-angle scattering, also of writers that left the NX_class out."""

from __future__ import annotations

from .group_class import GroupClass

SAS_DATA = GroupClass("SASdata", holds_data=True)
SAS_TRANSMISSION = GroupClass("SAStransmission_spectrum", holds_data=True)
