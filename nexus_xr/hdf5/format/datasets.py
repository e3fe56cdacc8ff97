"""What is said about a dataset, in one go where its header says all in the usual places."""

from __future__ import annotations

from typing import NamedTuple

from . import compiled
from .array_type import ArrayType, known_types
from .attributes import Value, known_heads
from .file_bytes import FileBytes
from .heaps.global_heap import GlobalHeap
from .messages.layout import LayoutMessage, as_contiguous, parse_layout
from .object_header import ObjectHeader


class DatasetDescription(NamedTuple):
    """What is said about a dataset.

    Attributes
    ----------
    type, layout
        What its elements are, and where they are.
    header
        All messages; or the bytes of a header that doesn't continue elsewhere.
    has_raw_files
        Whether its elements are in files of their own.
    attributes
        Its attributes by name; None where they are still to be read.
    data
        The bytes of all elements; None where they are still to be read.
    """

    type: ArrayType
    layout: LayoutMessage
    header: ObjectHeader | bytes
    has_raw_files: bool = False
    attributes: dict[str, Value] | None = None
    data: bytes | None = None


def usual_dataset(file: FileBytes, address: int, heap: GlobalHeap) -> DatasetDescription | None:
    """What is said about the dataset at an address; None where it, or what is there, isn't as it mostly is.

    Parameters
    ----------
    file
        The bytes of the file.
    address
        Where its header is.
    heap
        The file's heap.

    Raises
    ------
    FormatError
        Its layout is damaged.
    """
    lengths = file.length_size
    found = compiled.dataset(file.kept, address, known_types(lengths), known_heads(lengths), heap.collections)
    if found is None:
        return None
    array_type, layout, header, attributes, data = found
    place = as_contiguous(layout) if isinstance(layout, tuple) else parse_layout(layout, file.offset_size, lengths)
    return DatasetDescription(array_type, place, header, False, attributes, data)
