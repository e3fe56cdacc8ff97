"""The layouts of the datasets that were read last, each found out once in a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.format.consistency import MOST_SECONDS, consistent
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.reach import out_of_reach
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.library.described import parsed_file
from nexus_xr.hdf5.objects.group import Budget
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Address, Node
from nexus_xr.hdf5.objects.parsed.parsed_dataset import ParsedDataset
from nexus_xr.hdf5.objects.parsed.parsed_file import ParsedFile, Place
from nexus_xr.hdf5.objects.parsed.parsed_group import object_at, parsed_root
from nexus_xr.hdf5.reading.unreadable import unreadable_values
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout
from nexus_xr.hdf5.runtime.fork import after_fork

from .layout import ExternalDataset, Layout
from .layout_reading import layout_from

# What the indexes of all datasets that were read last may take together, unless one alone takes more.
MOST_INDEX_BYTES = 256 << 20
_MOST_LAYOUTS = 4096
# Older states of a growing file than this are found out anew.
_MOST_STATES = 64


def layout_of(file: File, path: str, source: Source, address: Address | None = None) -> Layout | None:
    """The layout of a dataset, which is looked up once in a process; None where only libhdf5 can read it at all.

    Parameters
    ----------
    file, path
        The file that is asked, and the dataset's path in it.
    source
        The bytes of the file.
    address
        Where in it the dataset was when it was opened, if that is known.

    Raises
    ------
    NexusFileError
        There is no such dataset, or what the file says of it is damaged or can't be read.
    """

    def find() -> Layout | None:
        try:
            seconds = 0.0 if file.snapshot is None else MOST_SECONDS
            return consistent(lambda: _from_bytes(file, path, address), seconds)
        except FormatError as error:
            raise unreadable_values(file.name, path, error) from error
        except SystemFaultError as error:
            raise SystemFaultError(str(unreadable_values(file.name, path, error))) from error
        except UnsupportedError as reason:
            file.leave_to_libhdf5(path, str(reason))
        from .library_layouts import layout_by_libhdf5

        return layout_by_libhdf5(file, path, source)

    return known_layouts.get((source.key, path, file.policy.reach), find, file.snapshot)


def _from_bytes(file: File, path: str, address: Address | None) -> Layout:
    with parsed_file(file) as parsed:
        dataset = _dataset_of(parsed, path, address)
        if isinstance(dataset, Link) and dataset.is_refused:
            raise out_of_reach(str(dataset))
        if not isinstance(dataset, ParsedDataset):
            raise UnsupportedError("what libhdf5 finds, or says why it doesn't")
        if dataset.address[0] != parsed.number:
            return ExternalDataset(*dataset.origin)
        return layout_from(dataset.stored)


def _dataset_of(parsed: ParsedFile, path: str, address: Address | None) -> Node | Link | None:
    if address is not None and address[0] == parsed.number:
        return object_at(Place(parsed, address[1], path.encode()), path, Diagnostics(), Budget(0))
    return parsed_root(parsed, Diagnostics()).find(path)


Find = Callable[[], Layout | None]


class _Known(NamedTuple):
    """A layout, and for which states of a growing file it stands: that in which it was found, and earlier ones."""

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
            Finds it out.
        state
            The state of a file that grows. The layout is of that, or of a later one.
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
                found = _Known(find(), (*before.states[1 - _MOST_STATES :], state))
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
