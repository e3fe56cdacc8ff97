"""The layouts of the datasets that were read last, each found out once in a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.library.addresses import address_of
from nexus_xr.hdf5.library.location import located
from nexus_xr.hdf5.runtime.fork import after_fork

from .dataset_access import open_dataset
from .layout_reading import read_layout
from .layouts import ExternalDataset, Layout
from .virtual_layout import VirtualLayout

# What the indexes of all datasets that were read last may take together, unless one alone takes more.
MOST_INDEX_BYTES = 256 << 20
_MOST_LAYOUTS = 4096
# Older states of a growing file than this are found out anew.
_MOST_STATES = 64


def layout_of(file: File, path: str, source: Source) -> Layout | None:
    """The layout of a dataset, which is looked up once in a process; None where only libhdf5 can read it at all.

    Parameters
    ----------
    file, path
        The file that is asked, and the dataset's path in it.
    source
        The bytes of the file.
    """

    def find(known: Layout | None) -> Layout | None:
        with file.opened() as handle, open_dataset(file, handle, path) as dataset:
            if address_of(dataset.id)[0] == address_of(handle.id)[0]:
                return read_layout(dataset.id, source, known)
            found = located(dataset.id)
            return None if found is None else ExternalDataset(*found)

    return known_layouts.get((source.key, path), find, file.snapshot)


Find = Callable[[Layout | None], Layout | None]


class _Known(NamedTuple):
    """A layout, and of which states of a growing file it is known to be right."""

    layout: Layout | None
    states: tuple[Hashable, ...]

    @property
    def nbytes(self) -> int:
        return 0 if self.layout is None else self.layout.nbytes


class KnownLayouts:
    """The layouts that were used last, so that each is found out once in a process."""

    def __init__(self) -> None:
        self._start_anew()
        after_fork(self._start_anew)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._used = 0
        self._in_work: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, find: Find, state: Hashable = None) -> Layout | None:
        """The layout of that key; of several threads that want it, one finds it out.

        Parameters
        ----------
        key
            What tells the dataset from others.
        find
            Finds it out, or what is new in it since it was known for another state.
        state
            The state of a file that grows, in which the layout has to be right.
        """
        with self._lock:
            known = self._right(key, state)
            if known is not None:
                return known.layout
            in_work = self._in_work.setdefault(key, threading.Lock())
        with in_work:
            with self._lock:
                known = self._right(key, state)
                if known is not None:
                    return known.layout
                before = self._known.get(key, _Known(None, ()))
            try:
                found = _Known(find(before.layout), (*before.states[1 - _MOST_STATES :], state))
                if not (isinstance(found.layout, VirtualLayout) and found.layout.grows):
                    with self._lock:
                        self._keep(key, found)
            finally:
                with self._lock:
                    self._in_work.pop(key, None)
        return found.layout

    def _right(self, key: Hashable, state: Hashable) -> _Known | None:
        known = self._known.get(key)
        if known is None or state not in known.states:
            return None
        self._known.move_to_end(key)
        return known

    def _keep(self, key: Hashable, found: _Known) -> None:
        self._used += found.nbytes - (self._known.pop(key).nbytes if key in self._known else 0)
        self._known[key] = found
        while len(self._known) > 1 and (self._used > MOST_INDEX_BYTES or len(self._known) > _MOST_LAYOUTS):
            _, oldest = self._known.popitem(last=False)
            self._used -= oldest.nbytes


known_layouts = KnownLayouts()
