"""NXevent_data: neutrons one by one."""

from __future__ import annotations

from .group_class import GroupClass

NXEVENT_DATA = GroupClass("NXevent_data")
