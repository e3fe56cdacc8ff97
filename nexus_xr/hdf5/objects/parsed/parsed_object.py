"""What groups and datasets have in common that are described from the bytes of their file."""

from __future__ import annotations

from typing import Any

from nexus_xr.hdf5.format.faults import UnsupportedError
from nexus_xr.hdf5.format.object_header import ObjectHeader
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Budget, Group
from nexus_xr.hdf5.objects.node import AttributeType, Node

from .parsed_attributes import parsed_attribute_types, parsed_attributes
from .parsed_file import Place


class ParsedObject(Node):
    """A group or a dataset, with where it is and what is said about it there."""

    __slots__ = ()

    _place: Place
    _header: ObjectHeader

    def _read_attributes(self) -> dict[str, Any]:
        try:
            return parsed_attributes(self, self._place.file, self._header)
        except UnsupportedError as reason:
            left = leave(self._place, self, str(reason))
            return {} if left is None else left.read_attributes()

    def attribute_types(self) -> dict[str, AttributeType]:
        """What the attributes are, which libhdf5 says where they aren't known here."""
        try:
            return parsed_attribute_types(self, self._place.file, self._header)
        except UnsupportedError as reason:
            left = leave(self._place, self, str(reason))
            return {} if left is None else left.attribute_types()


def leave(place: Place, node: Node, reason: str, budget: Budget | None = None) -> Group | Dataset | None:
    """An object as libhdf5 has it, to which it is left for a reason; None, with a report, where that can't open it."""
    place.file.file.leave_to_libhdf5(node.path, reason)
    return place.file.way_out(place.path, node.path, node.diagnostics, budget or Budget(0))
