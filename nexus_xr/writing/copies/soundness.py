"""Seeing whether what is to be copied can be read, before libhdf5 copies it.

Over damage libhdf5 may crash, or go on for ever; what is read from the bytes of a file is told of instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nexus_xr.diagnostics import UNREADABLE, Code, Diagnostics
from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.node import Address, Node
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.small_values import read_whole

_DAMAGE = (UNREADABLE | {Code.VALUE_UNREADABLE}) - {Code.DATATYPE_UNREADABLE}  # which is one that NumPy doesn't have
# More texts than these aren't read only to see whether they can be.
_MOST_TEXTS = 1 << 20


def refuse_damaged(file: File, failure: str, paths: Iterable[str] = ("/",), *, follows: bool = False) -> None:
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

    Raises
    ------
    NexusFileError
        The first that can't be read.
    """
    diagnostics = Diagnostics()
    with described(file, diagnostics) as root:
        found = (root.find(path) for path in paths)
        for node in _nodes([each for each in found if isinstance(each, Group | Dataset)], follows):
            node.read_attributes()
            if isinstance(node, Dataset) and is_text(node.raw_dtype) and node.size <= _MOST_TEXTS:
                with node.reporting(Code.VALUE_UNREADABLE, "its values can't be read"):
                    read_whole(node)
    for each in diagnostics.having(_DAMAGE):
        raise NexusFileError(f"{file.name}:{each.path}: {failure} ({each.message})")


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
