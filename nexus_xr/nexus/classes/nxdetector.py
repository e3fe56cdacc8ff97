"""NXdetector and NXmonitor: instruments, with the counts that they measured."""

from __future__ import annotations

from .group_class import GroupClass

NXDETECTOR = GroupClass("NXdetector", is_instrument=True)
NXMONITOR = GroupClass("NXmonitor", is_instrument=True)
