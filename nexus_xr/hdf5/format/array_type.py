"""What an attribute or a dataset is: elements of a datatype in a dataspace.

Source: the HDF5 file format specification, sections IV.A.2.b (dataspace) and IV.A.2.d (datatype).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from .datatypes.datatype import parse_datatype
from .datatypes.stored_type import Conversion, Datatype
from .faults import UnsupportedError
from .messages.dataspace import Dataspace, parse_dataspace

_MOST_TYPES = 4096
# More bytes are no number that the compiled module can take.
_LARGEST = 1 << 62
# As the compiled module calls text, and that which ends where no more than nulls follow.
_TEXTS = {Conversion.VARYING_TEXT: 1, Conversion.TERMINATED_TEXT: 2}
_PADDED_TEXT = 3


class ArrayType(NamedTuple):
    """Elements of a datatype in a dataspace.

    Attributes
    ----------
    datatype, dataspace
        What the elements are, and how many.
    shape
        The dimensions of the dataspace, and those that an array adds behind them.
    size
        Bytes of all elements in the file.
    is_single
        Whether there is one element that is no array, nor a reference.
    way
        How the compiled module makes a value of such an element: which text it is, or what unpacks the number; None
        where plain Python does.
    """

    datatype: Datatype
    dataspace: Dataspace
    shape: tuple[int, ...]
    size: int
    is_single: bool
    way: int | Callable[[bytes], tuple[Any, ...]] | None

    def of_extent(self, extent: tuple[int, ...]) -> ArrayType:
        """The same elements in a dataspace that has another extent by now."""
        space = self.dataspace._replace(shape=extent)
        inner = self.shape[len(extent) :]
        size = self.datatype.size * space.element_count
        return ArrayType(self.datatype, space, (*extent, *inner), size, is_single=False, way=None)


def parse_array_type(datatype: bytes, dataspace: bytes, length_size: int) -> ArrayType:
    """What messages describe.

    Parameters
    ----------
    datatype, dataspace
        The bytes of the messages.
    length_size
        Bytes of a length in the file.

    Raises
    ------
    FormatError
        One of them contradicts itself, or ends before it should.
    UnsupportedError
        Only libhdf5 knows such elements.
    """
    known, messages = known_types(length_size), (datatype, dataspace)
    found = known.get(messages)
    if found is None:
        found = _parse(datatype, dataspace, length_size)
        if found.size < _LARGEST:
            if len(known) >= _MOST_TYPES:
                known.clear()
            known[messages] = found
    return found


@lru_cache
def known_types(length_size: int) -> dict[tuple[bytes, bytes], ArrayType]:
    """What datatype and dataspace describe, by the bytes of the two: files have few, for any number of datasets."""
    return {}


def _parse(datatype: bytes, dataspace: bytes, length_size: int) -> ArrayType:
    elements, space = parse_datatype(datatype), parse_dataspace(dataspace, length_size)
    if elements.has_varying_regions:
        raise UnsupportedError("references to regions of varying number")
    count = space.element_count
    is_single = count == 1 and not elements.inner_shape and not elements.has_references
    shape = (*(space.shape or ()), *elements.inner_shape)
    return ArrayType(elements, space, shape, count * elements.size, is_single, _way(elements) if is_single else None)


def _way(elements: Datatype) -> int | Callable[[bytes], tuple[Any, ...]] | None:
    if elements.number is not None:
        return elements.number.unpack
    is_padded = elements.conversion is Conversion.NONE and elements.stored.kind == "S"
    return _PADDED_TEXT if is_padded else _TEXTS.get(elements.conversion)
