"""Small values from the bytes of their file."""

from __future__ import annotations

from typing import Any

from nexus_xr.hdf5.format.array_type import ArrayType
from nexus_xr.hdf5.format.datatypes.datatype import Conversion, Datatype
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.messages.fill_value import FillValue
from nexus_xr.hdf5.format.messages.layout import Compact, Contiguous, LayoutMessage
from nexus_xr.hdf5.format.values import decode_one, decode_values
from nexus_xr.hdf5.objects.references import name_references
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.objects.values import empty, to_python

from .parsed_file import ParsedFile

# When fill values are written, by its number in their message.
_NEVER = 1


def presented(array_type: ArrayType, raw: bytes, file: ParsedFile) -> Any:
    """The values of stored elements: a Python scalar or `str`, an array, or nothing in a null dataspace.

    Parameters
    ----------
    array_type
        What the elements are, and how many.
    raw
        The bytes of all elements.
    file
        The file, in whose heap elements of varying length are.

    Raises
    ------
    UnsupportedError
        Only libhdf5 can tell what references refer to.
    """
    datatype, dataspace, _, _, is_single, _ = array_type
    if is_single:
        if datatype.conversion is Conversion.VARYING_TEXT and (text := file.heap.text(raw)) is not None:
            return text
        element = decode_one(raw, datatype, file.heap)
        return decode(element) if datatype.is_text else element
    if dataspace.shape is None:
        return empty(datatype.dtype)
    found = decode_values(raw, datatype, dataspace.shape, file.heap)
    if datatype.has_references:
        return to_python(name_references(found, datatype.element, file.paths.of), False)
    return to_python(found, datatype.is_text)


def stored_bytes(layout: LayoutMessage, size: int, file: ParsedFile) -> bytes | None:
    """The bytes of all elements of a dataset, None where nothing is stored yet.

    Raises
    ------
    UnsupportedError
        They aren't all in one place.
    """
    if isinstance(layout, Contiguous):
        if layout.address is None or not size:
            return b"" if not size else None
        layout.check(size)
        return file.bytes.read(layout.address, size)
    if isinstance(layout, Compact):
        return layout.values(size)
    raise UnsupportedError("values in chunks, or in other datasets")


def fill_bytes(fill: FillValue | None, array_type: ArrayType) -> bytes:
    """The bytes of elements that nobody has written.

    Raises
    ------
    UnsupportedError
        They are in the heap, or whatever libhdf5 has in memory.
    """
    if fill is not None and (not fill.is_defined or fill.when_written == _NEVER):
        raise UnsupportedError("values that nobody has written")
    datatype = array_type.datatype
    raw = own_fill(fill, datatype)
    if raw is not None and datatype.has_vlen:
        raise UnsupportedError("a fill value of varying length")
    return bytes(array_type.size) if raw is None else raw * array_type.dataspace.element_count


def own_fill(fill: FillValue | None, datatype: Datatype, *, is_virtual: bool = False) -> bytes | None:
    """The bytes of an element that a dataset has where nobody has written; None for zeros, and for no value at all."""
    # A virtual dataset stores nothing, so that there is no time to fill it.
    is_filled = fill is not None and fill.is_defined and (is_virtual or fill.when_written != _NEVER)
    if fill is None or fill.raw is None or not is_filled:
        return None
    if len(fill.raw) != datatype.size:
        raise FormatError(f"its fill value has {len(fill.raw)} bytes, and an element {datatype.size}")
    return fill.raw
