"""Where objects are in their file, and the paths that lead there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from h5py import h5, h5f, h5g, h5i, h5l, h5r

from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.objects.object_paths import Step, path_of_steps
from nexus_xr.hdf5.runtime.h5py_lock import phil
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

# Libhdf5 goes through the file for each reference that it names, until it has found it: less work for a few.
_FEW_REFERENCES = 8
# What the paths of all files may be made of, about 150 MiB.
_MOST_STEPS = 1 << 20
_MOST_FILES = 64
_MAY_CHANGE = h5f.ACC_RDWR | h5f.ACC_SWMR_READ


def address_of(object_id: h5i.ObjectID) -> tuple[int, int]:
    """Number of the file and address in it: what tells one object from another under whatever names it is reached."""
    return _address(h5g.get_objinfo(object_id))  # h5o.get_info walks through the whole chunk index


def _address(info: h5g.GroupStat) -> tuple[int, int]:
    return info.fileno[0], info.objno[0] | info.objno[1] << 32


class FileNumbers:
    """What tells files from others that are described from their bytes as well, by their numbers in libhdf5."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, Hashable] = OrderedDict()

    def remember(self, file: h5f.FileID, number: Hashable) -> None:
        """Take a number for that of a file."""
        self._known[address_of(file)[0]] = number
        while len(self._known) > _MOST_FILES:
            self._known.popitem(last=False)

    def address_of(self, object_id: h5i.ObjectID) -> Address:
        """What tells an object from others, however these are described."""
        number, address = address_of(object_id)
        return self._known.get(number, number), address


file_numbers = FileNumbers()


_Steps = Mapping[int, Step]


@dataclass
class _File:
    """How often the names of a file were asked for, and from a number on, what they all are."""

    asked: int = 0
    steps: _Steps | None = None


class Names:
    """Names of objects by their addresses, for the files that were asked last.

    A name is the one that libhdf5 gives: the first by which an object is reached through hard links.
    """

    def __init__(self) -> None:
        self._files: OrderedDict[int, _File] = OrderedDict()

    def of_target(self, reference: h5r.Reference, location: h5i.ObjectID) -> bytes | None:
        """Path of what an object or region reference refers to, None where it has none.

        Parameters
        ----------
        reference
            The reference.
        location
            An open object of its file.
        """
        file = h5i.get_file_id(location)
        with phil:
            known = self._known(address_of(file)[0])
            known.asked += 1
            if known.asked <= _FEW_REFERENCES or file.get_intent() & _MAY_CHANGE:
                with suppress(AnyHdf5Error):  # a damaged group is in the way, or the reference itself is damaged
                    return _name(reference, location)
            if known.steps is None:
                known.steps = _steps_of(file)
                self._shrink()
            with suppress(AnyHdf5Error):
                address = address_of(h5r.dereference(reference, location))[1]
                if address in known.steps or len(known.steps) < _MOST_STEPS:
                    return path_of_steps(known.steps, address)
                return _name(reference, location)
        return None

    def _known(self, number: int) -> _File:
        # Libhdf5 never gives the number of a file to another one, nor to the same file opened anew.
        known = self._files.setdefault(number, _File())
        self._files.move_to_end(number)
        return known

    def _shrink(self) -> None:
        while len(self._files) > 1 and (
            len(self._files) > _MOST_FILES or sum(len(file.steps or ()) for file in self._files.values()) > _MOST_STEPS
        ):
            self._files.popitem(last=False)


def _name(reference: h5r.Reference, location: h5i.ObjectID) -> bytes | None:
    name: bytes | None = h5r.get_name(reference, location)
    return name


def _steps_of(file: h5f.FileID) -> _Steps:
    """The first step to each object of a file, in the order in which libhdf5 comes to them."""
    root = h5g.open(file, b"/")
    top = address_of(root)[1]
    steps = {top: Step(top, b"")}
    waiting: list[tuple[int, h5g.GroupID, Iterator[bytes]]] = [(top, root, _hard_links(root))]
    while waiting and len(steps) < _MOST_STEPS:
        above, group, names = waiting[-1]
        name = next(names, None)
        if name is None:
            waiting.pop()
            continue
        with suppress(AnyHdf5Error):  # what can't be opened is nowhere
            info = h5g.get_objinfo(group, name)
            address = _address(info)[1]
            if address not in steps:
                steps[address] = Step(above, name)
                if info.type == h5g.GROUP:
                    inner = h5g.open(group, name)
                    waiting.append((address, inner, _hard_links(inner)))
    return steps


def _hard_links(group: h5g.GroupID) -> Iterator[bytes]:
    links: list[tuple[bytes, int]] = []
    with suppress(AnyHdf5Error):  # what could be listed counts
        group.links.iterate(lambda name, info: links.append((name, info.type)), info=True, order=h5.ITER_NATIVE)
    return (name for name, kind in links if kind == h5l.TYPE_HARD)


object_names = Names()
