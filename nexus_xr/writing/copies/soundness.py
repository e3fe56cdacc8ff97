"""Seeing whether what is to be copied can be read, before libhdf5 copies it, and its copy, before that is used.

Over damage libhdf5 may crash, or go on for ever; what is read from the bytes of a file is told of instead.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from nexus_xr.diagnostics import UNREADABLE, Code, Diagnostics
from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.node import Address, Node
from nexus_xr.hdf5.objects.storage import UNKNOWN
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.small_values import read_whole

_DAMAGE = (UNREADABLE | {Code.VALUE_UNREADABLE}) - {Code.DATATYPE_UNREADABLE}  # which is one that NumPy doesn't have
# More texts than these aren't read only to see whether they can be.
_MOST_TEXTS = 1 << 20


@dataclass(frozen=True)
class Described:
    """What is said of a group or a dataset.

    Parameters
    ----------
    path, address
        Where it is in its file.
    elements
        Shape and type of a dataset; None for a group.
    stored
        Layout, chunks and filters of a dataset; None for a group, and where that can't be told.
    """

    path: str
    address: int
    elements: tuple[object, ...] | None
    stored: tuple[object, ...] | None


def refuse_damaged(
    file: File, failure: str, paths: Iterable[str] = ("/",), *, follows: bool = False
) -> tuple[Described, ...]:
    """Raise an error where what is to be copied can't be described, or where text that it refers to isn't there.

    Parameters
    ----------
    file
        The file.
    failure
        What can't be done then.
    paths
        What is copied, with all that is below.
    follows
        Whether what soft and external links lead to is copied too.

    Returns
    -------
    tuple of Described
        The groups and datasets that there are.

    Raises
    ------
    NexusFileError
        The first that can't be read.
    """
    diagnostics = Diagnostics()
    seen: list[Group | Dataset] = []
    with described(file, diagnostics) as root:
        found = (root.find(path) for path in paths)
        for node in _nodes([each for each in found if isinstance(each, Group | Dataset)], follows):
            node.read_attributes()
            if isinstance(node, Dataset) and is_text(node.raw_dtype) and node.size <= _MOST_TEXTS:
                with node.reporting(Code.VALUE_UNREADABLE, "its values can't be read"):
                    read_whole(node)
            seen += [node] if isinstance(node, Group | Dataset) else []
        for each in diagnostics.having(_DAMAGE):
            raise NexusFileError(f"{file.name}:{each.path}: {failure} ({each.message})")
        return tuple(map(_described, seen))


def refuse_unlike(
    name: str, objects: Iterable[Described], copy: File, failure: str, stored_anew: Container[int]
) -> None:
    """Raise an error where a copy of a file isn't described as that was, so that it doesn't take any place.

    Parameters
    ----------
    name
        What the file is called in the error.
    objects
        What was said of its groups and datasets.
    copy
        Its copy, which is closed.
    failure
        What can't be done then.
    stored_anew
        Addresses in the file of the datasets that have other chunks or filters in the copy.

    Raises
    ------
    NexusFileError
        The first object that has become another one.
    """
    diagnostics = Diagnostics()
    with described(copy, diagnostics) as root:
        for each in objects:
            is_like = _is_like(each, root.find(each.path), each.address in stored_anew)
            damage = next(iter(diagnostics.having(_DAMAGE)), None)
            if damage is not None or not is_like:
                why = "it isn't what is there" if damage is None else damage.message
                raise NexusFileError(
                    f"{name}:{each.path}: {failure}, as libhdf5 makes a copy of it that can't be used ({why}); nothing "
                    "was written; make it anew with h5py"
                )


def _is_like(original: Described, copy: object, is_stored_anew: bool) -> bool:
    """Whether a copy is an object of the same kind, of a dataset with its elements, and stored as they are."""
    if not isinstance(copy, Group | Dataset):
        return False
    copy.read_attributes()
    found = _described(copy)
    is_stored_alike = is_stored_anew or original.stored is None or found.stored == original.stored
    return found.elements == original.elements and is_stored_alike


def _described(node: Group | Dataset) -> Described:
    if isinstance(node, Group):
        return Described(node.path, node.address[1], None, None)
    storage = node.storage
    filters = [(step.id, step.options) for step in storage.filters]
    stored = None if storage.layout == UNKNOWN else (storage.layout, storage.chunks, filters)
    return Described(node.path, node.address[1], (node.shape, node.raw_dtype), stored)


def _nodes(waiting: list[Node], follows: bool) -> Iterator[Node]:
    """Objects and all that is below them, and the named datatypes that they are of."""
    seen: set[Address] = set()
    while waiting:
        node = waiting.pop()
        if node.address not in seen:
            seen.add(node.address)
            yield node
            waiting += node.named_types()
            if isinstance(node, Group):
                members = (member for _, member, _ in node.members(follows=follows))
                waiting += [member for member in members if isinstance(member, Group | Dataset)]
