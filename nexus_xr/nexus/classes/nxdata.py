"""NXdata: plottable data, which the data rules are about."""

from __future__ import annotations

from .group_class import GroupClass

NXDATA = GroupClass("NXdata", holds_data=True, is_in_tree=False)
