"""What all objects have in common that are described from the bytes of their file, and those that are types alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from nexus_xr.diagnostics import Code, Diagnostics
from nexus_xr.hdf5.format.attributes import Value, usual_attributes
from nexus_xr.hdf5.format.faults import UnsupportedError
from nexus_xr.hdf5.format.object_header import ObjectHeader, read_object_header
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Budget, Group
from nexus_xr.hdf5.objects.node import Address, AttributeType, Node

from .parsed_attributes import attributes_named_types, parsed_attribute_types, parsed_attributes, presented_attributes
from .parsed_file import Place


class ParsedObject(Node):
    """An object, with where it is and what is said about it there."""

    __slots__ = ()

    _place: Place

    @property
    @abstractmethod
    def _header(self) -> ObjectHeader:
        """What is said about it."""

    def _usual_attributes(self) -> dict[str, Value] | None:
        """Its attributes by name; None where they aren't as they mostly are, or weren't seen before."""
        file = self._place.file
        return usual_attributes(file.bytes, self._header, file.heap)

    def _read_attributes(self) -> dict[str, Any]:
        try:
            return self._parsed_attributes()
        except UnsupportedError as reason:
            left = leave(self._place, self, str(reason))
            return {} if left is None else left.read_attributes()

    def _parsed_attributes(self) -> dict[str, Any]:
        file, usual = self._place.file, self._usual_attributes()
        values = None if usual is None else presented_attributes(usual, file)
        return parsed_attributes(self, file, self._header) if values is None else values

    def attribute_types(self) -> dict[str, AttributeType]:
        """What the attributes are, which libhdf5 says where they aren't known here."""
        try:
            return parsed_attribute_types(self, self._place.file, self._header)
        except UnsupportedError as reason:
            left = leave(self._place, self, str(reason))
            return {} if left is None else left.attribute_types()

    def named_types(self) -> Iterable[Node]:
        file = self._place.file
        own, places = file.named_type(self._header), set[int]()
        with suppress(UnsupportedError):
            places = attributes_named_types(self, file, self._header)
        for place in sorted(places if own is None else places | {own}):
            header = read_object_header(file.bytes, place)
            yield ParsedDatatype(self._place._replace(address=place), header, self.path, self.diagnostics)


class ParsedDatatype(ParsedObject):
    """A named datatype, which has attributes as groups and datasets have."""

    __slots__ = ("_header", "_place")

    _header: ObjectHeader

    def __init__(self, place: Place, header: ObjectHeader, path: str, diagnostics: Diagnostics) -> None:
        super().__init__(path, diagnostics)
        self._place = place
        self._header = header

    @property
    def address(self) -> Address:
        return self._place.file.number, self._place.address

    def _read_attributes(self) -> dict[str, Any]:
        try:
            return self._parsed_attributes()
        except UnsupportedError:
            return {}

    def report_left_out(self) -> None:
        """Say that it is no data, and what of its attributes can't be read."""
        self.report(Code.NAMED_DATATYPE, "is a named datatype, and is left out")
        self.read_attributes()


def leave(place: Place, node: Node, reason: str, budget: Budget | None = None) -> Group | Dataset | None:
    """An object as libhdf5 has it, to which it is left for a reason; None, with a report, where that can't open it."""
    place.file.file.leave_to_libhdf5(node.path, reason)
    return place.file.way_out(place.path, node.path, node.diagnostics, budget or Budget(0))
