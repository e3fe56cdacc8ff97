"""The paths of a file's objects by their addresses, by which references are named.

Source: `H5Rget_name` in the HDF5 reference manual, and what it gives for objects of several names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import NamedTuple

from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.groups.links import is_group, stored_links
from nexus_xr.hdf5.format.groups.stored_link import StoredLink
from nexus_xr.hdf5.format.object_header import read_object_header

# About 150 MiB.
_MOST_STEPS = 1 << 20


class Step(NamedTuple):
    """How an object is reached: the address of a group, and the object's name there; none for the root."""

    group: int
    name: bytes


def path_of_steps(steps: Mapping[int, Step], address: int) -> bytes | None:
    """The path of the object at an address, by the last step to each; None where one of these is missing.

    Examples
    --------
    >>> steps = {96: Step(96, b""), 800: Step(96, b"entry"), 900: Step(800, b"data")}
    >>> path_of_steps(steps, 900), path_of_steps(steps, 96), path_of_steps(steps, 1000)
    (b'/entry/data', b'/', None)
    """
    names: list[bytes] = []
    step = steps.get(address)
    while step is not None and step.name:
        names.append(step.name)
        step = steps.get(step.group)
    return None if step is None else b"/" + b"/".join(reversed(names))


class _HardLink(NamedTuple):
    name: bytes
    address: int


class ObjectPaths:
    """The first path by which each object is reached through hard links, in the order in which they are stored.

    The file is gone through once, and only as far as is needed for what was asked.

    Parameters
    ----------
    file
        The bytes of the file.
    root
        Address of its root group.
    """

    def __init__(self, file: FileBytes, root: int) -> None:
        self._file = file
        self._steps = {root: Step(root, b"")}
        self._unknown: UnsupportedError | None = None
        self._root = root

    def of(self, address: int) -> bytes | None:
        """The path of the object at an address, None where there is none to which a path leads.

        Raises
        ------
        UnsupportedError
            Only libhdf5 can tell.
        """
        if address in self._steps or address in self._walk:
            return path_of_steps(self._steps, address)
        if self._unknown is not None:
            raise self._unknown
        return None

    @cached_property
    def _walk(self) -> Iterator[int]:
        """The addresses of all objects, each when it is found; it goes on where it was left."""
        # Not made before it is asked for, as it refers to itself, and keeps what was read until that is collected.
        return self._found(self._root)

    def _found(self, root: int) -> Iterator[int]:
        try:
            yield from self._found_below(root)
        except UnsupportedError as reason:
            self._unknown = reason

    def _found_below(self, root: int) -> Iterator[int]:
        """The addresses of all objects below a group, each when it is found."""
        waiting = [(root, self._hard_links(root))]
        while waiting:
            group, links = waiting[-1]
            link = next(links, None)
            if link is None:
                waiting.pop()
            elif link.address not in self._steps:
                if len(self._steps) >= _MOST_STEPS:
                    raise UnsupportedError("names of very many objects")
                self._steps[link.address] = Step(group, link.name)
                waiting.append((link.address, self._hard_links(link.address)))
                yield link.address

    def _hard_links(self, address: int) -> Iterator[_HardLink]:
        """Those of a group that can be read; none of another object, or of what can't be opened."""
        links: Iterable[StoredLink | FormatError] = ()
        with suppress(FormatError):
            header = read_object_header(self._file, address)
            links = stored_links(self._file, header) if is_group(header) else ()
        for link in links:
            if isinstance(link, StoredLink) and link.address is not None:
                yield _HardLink(link.name, link.address)
