"""The attributes of an object that is described from the bytes of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.format.attributes import AnyAttribute, Attribute, BrokenAttribute, Value, read_attributes
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.object_header import ObjectHeader
from nexus_xr.hdf5.objects.node import AttributeType, Node
from nexus_xr.hdf5.objects.text import decode, decode_name

from .parsed_file import ParsedFile
from .parsed_values import presented


def presented_attributes(found: Mapping[str, Value], file: ParsedFile) -> dict[str, Any] | None:
    """The values of attributes, by their names; None where one can't be read, and it is to be told which.

    Raises
    ------
    UnsupportedError
        Only libhdf5 reads one of them.
    """
    try:
        return {name: presented(*value, file) if isinstance(value, tuple) else value for name, value in found.items()}
    except FormatError:
        return None


def parsed_attributes(node: Node, file: ParsedFile, header: ObjectHeader) -> dict[str, Any]:
    """All attributes that can be read, one by one; of the others it is reported why not.

    Parameters
    ----------
    node
        Whose attributes they are.
    file, header
        The file that it is in, and what is said about it there.

    Raises
    ------
    UnsupportedError
        Only libhdf5 reads one of them.
    """
    found = _found(node, file, header)
    values = {}
    for raw_name in node.distinct(found):
        try:
            values[decode_name(raw_name)] = _value(found[raw_name], file)
        except FormatError as error:
            node.report(Code.ATTRIBUTE_UNREADABLE, f"attribute {decode(raw_name)!r} can't be read ({error})")
    return values


def parsed_attribute_types(node: Node, file: ParsedFile, header: ObjectHeader) -> dict[str, AttributeType]:
    """What the attributes that can be read are; raises as `parsed_attributes` does."""
    found = _found(node, file, header)
    named = ((decode_name(raw_name), found[raw_name]) for raw_name in node.distinct(found))
    return {
        name: AttributeType(attribute.type.dataspace.shape, attribute.type.datatype.dtype, attribute.encoded_type)
        for name, attribute in named
        if isinstance(attribute, Attribute)
    }


def attributes_named_types(node: Node, file: ParsedFile, header: ObjectHeader) -> set[int]:
    """Where the named datatypes are that attributes are of; raises as `parsed_attributes` does."""
    found = _found(node, file, header).values()
    places = (attribute.named_type for attribute in found if isinstance(attribute, Attribute))
    return {place for place in places if place is not None}


def _found(node: Node, file: ParsedFile, header: ObjectHeader) -> dict[bytes, AnyAttribute]:
    """The attributes of an object, each name once."""
    found: dict[bytes, AnyAttribute] = {}
    try:
        for attribute in read_attributes(file.bytes, header, file.shared):
            found.setdefault(_known_name(attribute), attribute)
    except FormatError as error:
        node.report(Code.ATTRIBUTES_UNLISTED, f"not all of its attributes can be listed ({error})")
    return found


def _known_name(attribute: AnyAttribute) -> bytes:
    """The name of an attribute that isn't left to libhdf5."""
    if isinstance(attribute, Attribute):
        return attribute.name
    if attribute.name is None or isinstance(attribute.error, UnsupportedError):
        raise attribute.error
    return attribute.name


def _value(attribute: AnyAttribute, file: ParsedFile) -> Any:
    if isinstance(attribute, BrokenAttribute):
        raise attribute.error
    return presented(attribute.type, attribute.data, file)
