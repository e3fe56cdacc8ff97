"""What is said about a dataset or a group, in one go where its header says all in the usual places."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from . import compiled
from .array_type import ArrayType, known_types
from .attributes import Value, known_heads
from .file_bytes import FileBytes
from .groups.links import Links
from .groups.stored_link import as_link
from .heaps.global_heap import GlobalHeap
from .messages.layout import LayoutMessage, as_contiguous, parse_layout
from .object_header import ObjectHeader

# Value and attributes of a dataset of a single element, all of them texts or numbers.
SingleValue: TypeAlias = tuple[compiled.Single, dict[str, compiled.Single]]


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


class GroupDescription(NamedTuple):
    """What is said about a group: its links, and its attributes by name."""

    links: Links
    attributes: dict[str, Value]


def single_values(file: FileBytes, heap: GlobalHeap) -> Callable[[int], SingleValue | None]:
    """What gives the dataset at an address, if it is of a single element and all is known without reading; else None.

    Parameters
    ----------
    file
        The bytes of the file.
    heap
        The file's heap.
    """
    lengths = file.length_size
    return partial(compiled.single, file.kept, known_types(lengths), known_heads(lengths), heap.collections)


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
    found = compiled.dataset(file.kept, known_types(lengths), known_heads(lengths), heap.collections, address)
    if found is None:
        return None
    array_type, layout, header, attributes, data = found
    place = as_contiguous(layout) if isinstance(layout, tuple) else parse_layout(layout, file.offset_size, lengths)
    return DatasetDescription(array_type, place, header, False, attributes, data)


def usual_group(file: FileBytes, address: int, heap: GlobalHeap) -> GroupDescription | None:
    """What is said about the group at an address; None where it, or what is there, isn't as it mostly is.

    Parameters
    ----------
    file
        The bytes of the file.
    address
        Where its header is.
    heap
        The file's heap.
    """
    found = compiled.group(file.kept, known_heads(file.length_size), heap.collections, address)
    if found is None:
        return None
    links, attributes = found
    by_name = {link[0]: compiled.untracked(as_link(link)) for link in links}
    return GroupDescription(Links(by_name, None), attributes) if len(by_name) == len(links) else None
