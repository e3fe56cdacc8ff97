"""Reading virtual datasets: the chunks of all their sources, decoded by all cores into one result."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.errors import NexusFileError, NexusReachError
from nexus_xr.hdf5.format.virtual.virtual_mappings import DEEPEST
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.cpus import thread_count
from nexus_xr.hdf5.runtime.memory import result

from .engine.engine import read, tasks_into
from .hyperslab import Positions
from .layouts.known_layouts import layout_of
from .layouts.layout import ExternalDataset, Layout, Libhdf5Layout, StoredLayout, carrier_of
from .layouts.raw_files import raw_files_of
from .processes import read_in_processes
from .selection import Indexer, length, outer_key
from .telling import is_told
from .unreadable import MissingDatasetError, values_explained
from .virtual_datasets.element_types import converted, is_alike, may_become
from .virtual_datasets.found_sources import (
    MOST_LOOKED_FOR,
    FoundSources,
    ShortSource,
    check_missing,
    check_short,
    tell_of_missing,
    tell_of_short,
)
from .virtual_datasets.sources import SourceName
from .virtual_datasets.virtual_layout import Intersection, Mapping, VirtualLayout, intersect, is_own_file
from .virtual_datasets.virtual_mapping import source_file

# With so many files for each thread, each file is read by one thread. Most files that are open at once.
_MANY = 8
_MOST_OPEN = 64
# What is taken of one file.
_OfFile = Sequence[tuple[Mapping, Intersection]]


class OnlyLibhdf5Error(Exception):
    """Sources that only libhdf5 reads, or whose values it converts."""


def read_virtual(
    virtual: VirtualLayout,
    holder: File,
    path: str,
    indexers: Sequence[Indexer],
    found_sources: FoundSources | None = None,
    depth: int = 0,
) -> NDArray[Any]:
    """Read the outer product of one indexer a dimension, without the dimensions that an integer selected.

    Parameters
    ----------
    virtual
        What the dataset is made of.
    holder, path
        The file that holds it, and its path there.
    indexers
        One a dimension, normalized.
    found_sources
        Which sources were there when the file was opened; None where that isn't known.
    depth
        How many virtual datasets this one is a source of.

    Raises
    ------
    OnlyLibhdf5Error
        A source has no layout, or another type, or this process is writing it.
    MissingSourceError
        A source isn't there any more, or is missing where that is to be an error.
    NexusFileError
        A source can't be read.
    """
    if depth > DEEPEST:
        raise NexusFileError(
            f"{holder.name}:{path}: it is made of virtual datasets which are made of others, more than {DEEPEST} times "
            "or without end; have its mappings name the datasets that hold the values"
        )
    rising = [_rising(indexer) for indexer in indexers]
    values = _Reading(virtual, holder, path, rising, found_sources, depth).values()
    turned = (isinstance(indexer, slice) and indexer.step < 0 for indexer in indexers)
    values = values[tuple(slice(None, None, -1 if backwards else 1) for backwards in turned)]
    return values.reshape([length(indexer) for indexer in indexers if not isinstance(indexer, int)])


def _rising(indexer: Indexer) -> Positions:
    if isinstance(indexer, int):
        return slice(indexer, indexer + 1, 1)
    if isinstance(indexer, slice) and indexer.step < 0:
        positions = range(indexer.start, indexer.stop, indexer.step)[::-1]
        return slice(positions.start, positions.stop, positions.step)
    return indexer


class _OpenSource(NamedTuple):
    """A source while it is read, and how its shape is mapped."""

    mapping: Mapping
    file: File
    path: str
    layout: StoredLayout | Libhdf5Layout | VirtualLayout
    source: Source

    def stored(self, layout: StoredLayout) -> AbstractContextManager[Source]:
        """Its bytes, where it is so stored."""
        return layout.source(self.source, raw_files_of(self.file, self.path))


class _Reading:
    """One read of a virtual dataset."""

    def __init__(
        self,
        virtual: VirtualLayout,
        holder: File,
        path: str,
        indexers: Sequence[Positions],
        found_sources: FoundSources | None,
        depth: int,
    ) -> None:
        self._virtual = virtual
        self._holder = holder
        self._path = path
        self._indexers = indexers
        self._found_sources = found_sources
        self._depth = depth
        self._missing: dict[SourceName, None] = {}
        self._short: dict[ShortSource, None] = {}
        self._shape = tuple(map(length, indexers))

    def values(self) -> NDArray[Any]:
        """The values of the selection, with all dimensions."""
        values = self._values()
        if any(not is_told(self._holder, self._path, source) for source in self._missing):
            tell_of_missing(self._holder, self._path, [*self._missing_files(), *self._missing])
        tell_of_short(self._holder, self._path, self._short)
        return values

    def _missing_files(self) -> Iterator[SourceName]:
        """All files that are missing where one of them is, so that they are told of together; if that is free."""
        files = dict.fromkeys(mapping.file for mapping in self._virtual.mappings)
        for file in itertools.islice(files, MOST_LOOKED_FOR if self._holder.is_local else 0):
            with suppress(NexusReachError):  # which is said where it is read
                if source_file(file, self._holder) is None:
                    yield SourceName(file)

    def _values(self) -> NDArray[Any]:
        touched = self._virtual.touched(self._indexers).tolist() if 0 not in self._shape else []
        found = ((number, intersect(self._virtual.mappings[number], None, self._indexers)) for number in touched)
        taken = {number: common for number, common in found if common is not None}
        rounds = self._virtual.rounds[list(taken)]
        # Otherwise what is missing is filled when that is known, as to fill everything takes its time.
        fills_first = bool(rounds.any()) or sum(common.size for common in taken.values()) < math.prod(self._shape)
        if len(taken) == 1 and not fills_first:
            (number,) = taken
            values = self._from_one_source(self._virtual.mappings[number])
            if values is not None:
                return values
        values = result(self._shape, carrier_of(self._virtual.dtype))
        if fills_first:
            values[...] = self._virtual.fill
        for now in np.unique(rounds).tolist():
            by_file: dict[str, list[tuple[Mapping, Intersection]]] = {}
            for number, its_round in zip(taken, rounds.tolist(), strict=True):
                if its_round == now:
                    mapping = self._virtual.mappings[number]
                    by_file.setdefault(mapping.file, []).append((mapping, taken[number]))
            self._run(list(by_file.values()), values, fills_first)
        return values

    def _run(self, by_file: Sequence[_OfFile], values: NDArray[Any], is_filled: bool) -> None:
        """Read parts that have nothing in common, file by file, or where there are few files, chunk by chunk."""
        num_threads = self._holder.policy.num_threads
        most = num_threads or thread_count()
        if len(by_file) >= _MANY * most:
            batches = _batches(by_file, most)
            threads.run([partial(self._read_files, batch, values, is_filled) for batch in batches], num_threads)
            return
        for begin in range(0, len(by_file), _MOST_OPEN):
            with ExitStack() as stack:
                files = by_file[begin : begin + _MOST_OPEN]
                self._expect(files)
                tasks = [task for of_file in files for task in self._tasks(of_file, values, is_filled, stack)]
                threads.run(tasks, num_threads)

    def _read_files(self, files: Sequence[_OfFile], values: NDArray[Any], is_filled: bool) -> None:
        """Prepare some files and then read them: between two chunks, which take all of a core's cache, it is slow."""
        with ExitStack() as stack:
            self._expect(files)
            for task in [task for of_file in files for task in self._tasks(of_file, values, is_filled, stack)]:
                task()

    def _expect(self, files: Sequence[_OfFile]) -> None:
        """Have files that are behind URLs be on their way at the same time."""
        for (mapping, _), *_ in files:
            if not is_own_file(mapping.file):
                self._holder.expect_linked(mapping.file)

    def _from_one_source(self, mapping: Mapping) -> NDArray[Any] | None:
        """All that is asked for where it is in one source."""
        with ExitStack() as stack:
            opened = self._open(mapping, stack)
            common = None if opened is None else intersect(opened.mapping, opened.layout.shape, self._indexers)
            if opened is None or common is None or common.size < math.prod(self._shape):
                return None
            values = self._read(opened, common)
            whole = values if values.shape == self._shape else np.broadcast_to(values, self._shape).copy()
            return np.ascontiguousarray(whole)

    def _tasks(
        self, of_file: _OfFile, values: NDArray[Any], is_filled: bool, stack: ExitStack
    ) -> Iterator[threads.Task]:
        """What there is to do to read from one file, which is open until the stack is closed."""
        for mapping, nominal in of_file:
            yield from self._tasks_of(mapping, nominal, values, is_filled, stack)

    def _tasks_of(
        self, mapping: Mapping, nominal: Intersection, values: NDArray[Any], is_filled: bool, stack: ExitStack
    ) -> Iterator[threads.Task]:
        opened = self._open(mapping, stack)
        common: Intersection | None = nominal
        if opened is None:
            common = None
        elif opened.mapping is not mapping or not mapping.is_held_by(opened.layout.shape):
            common = intersect(opened.mapping, opened.layout.shape, self._indexers)
        is_short = common is None or common.size < nominal.size
        if opened is not None and is_short:
            self._fall_short(mapping, opened)
        if not is_filled and is_short:
            values[outer_key(list(nominal.goal))] = self._virtual.fill
        if opened is None or common is None:
            return
        target = _view(values, opened.mapping, common)
        is_as_stored = is_alike(self._virtual.dtype, opened.layout.dtype)
        if target is None or not is_as_stored or not isinstance(opened.layout, StoredLayout):
            yield partial(self._read_to, opened, common, values)
            return
        source = stack.enter_context(opened.stored(opened.layout))
        with self._explained(opened):
            tasks = tasks_into(opened.layout, source, common.indexers, values, target)
        yield from (partial(self._do, opened, task) for task in tasks)

    def _do(self, opened: _OpenSource, task: threads.Task) -> None:
        with self._explained(opened):
            task()

    def _read_to(self, opened: _OpenSource, common: Intersection, values: NDArray[Any]) -> None:
        values[outer_key(list(common.goal))] = self._read(opened, common)

    def _read(self, opened: _OpenSource, common: Intersection) -> NDArray[Any]:
        """What is taken of a source, with the dimensions of the virtual dataset."""
        pairs = zip(common.goal, opened.mapping.pairs, strict=True)
        lengths = [1 if dimension is None else length(goal) for goal, dimension in pairs]
        values, own, other = self._read_source(opened, common.indexers), self._virtual.dtype, opened.layout.dtype
        if not is_alike(own, other):
            values = converted(values.view(other), own, other).view(carrier_of(own))
        return values.reshape(lengths)

    def _read_source(self, opened: _OpenSource, indexers: tuple[Indexer, ...]) -> NDArray[Any]:
        layout = opened.layout
        if isinstance(layout, VirtualLayout):
            return read_virtual(layout, opened.file, opened.path, indexers, depth=self._depth + 1)
        if isinstance(layout, StoredLayout):
            with opened.stored(layout) as source, self._explained(opened):
                return read(layout, source, indexers, self._holder.policy.num_threads)
        with self._explained(opened):
            where = opened.file.path_for_others or opened.source
            values = read_in_processes(layout, where, opened.path, indexers, self._holder.policy.num_threads)
            return values.view(carrier_of(layout.dtype))

    def _explained(self, opened: _OpenSource) -> AbstractContextManager[None]:
        made_of_it = f"; {self._holder.name}:{self._path} is made of them"
        return values_explained(opened.file.name, opened.path, made_of_it)

    def _open(self, mapping: Mapping, stack: ExitStack) -> _OpenSource | None:
        """The source of a mapping, None where it is missing."""
        with values_explained(self._holder.name, self._path):
            name = source_file(mapping.file, self._holder)
        if name is None:
            self._miss(SourceName(mapping.file))
            return None
        file, path = self._holder.linked(name), mapping.path
        source = stack.enter_context(file.source())
        try:
            layout = _layout_of(file, path, source)
            if isinstance(layout, ExternalDataset):
                file, path = file.linked(layout.file), layout.path
                source = stack.enter_context(file.source())
                layout = _layout_of(file, path, source)
        except MissingDatasetError:
            self._miss(SourceName(mapping.file, mapping.path))
            return None
        if layout is None or isinstance(layout, ExternalDataset):
            raise OnlyLibhdf5Error
        if isinstance(layout, StoredLayout) and layout.conversion is not None:
            raise OnlyLibhdf5Error
        fitted = mapping.fitted(layout.shape)
        if fitted is None or not may_become(self._virtual.dtype, layout.dtype):
            raise OnlyLibhdf5Error
        return _OpenSource(fitted, file, path, layout, source)

    def _miss(self, source: SourceName) -> None:
        check_missing(source, self._holder, self._path, self._found_sources)
        self._missing[source] = None

    def _fall_short(self, mapping: Mapping, opened: _OpenSource) -> None:
        name, is_being_written = SourceName(mapping.file, mapping.path), opened.file.snapshot is not None
        source = ShortSource(name, opened.layout.shape, is_being_written)
        check_short(source, self._holder, self._path)
        self._short[source] = None


def _layout_of(file: File, path: str, source: Source) -> Layout | None:
    if file.is_written_here:
        raise OnlyLibhdf5Error
    return layout_of(file, path, source)


def _batches(by_file: Sequence[_OfFile], num_threads: int) -> Iterator[Sequence[_OfFile]]:
    """Files that one thread reads, fewer and fewer of them, so that all threads are done at the same time."""
    done = 0
    while done < len(by_file):
        count = max(1, min(_MOST_OPEN // num_threads, (len(by_file) - done) // (4 * num_threads)))
        yield by_file[done : done + count]
        done += count


def _view(values: NDArray[Any], mapping: Mapping, common: Intersection) -> NDArray[Any] | None:
    """The part of the result that a source fills, with the source's dimensions; None where it is no such view."""
    if not all(isinstance(goal, slice) for goal in common.goal):
        return None
    view = values[common.goal]
    dropped = [dimension for dimension, pair in enumerate(mapping.pairs) if pair is None]
    if any(view.shape[dimension] != 1 for dimension in dropped):
        return None
    kept = tuple(0 if dimension in dropped else slice(None) for dimension in range(view.ndim))
    view = view[(*kept, ...)]  # which is a view even where no dimension is left
    added = set(range(len(mapping.origin))) - set(mapping.pairs)
    return view[tuple(None if dimension in added else slice(None) for dimension in range(len(mapping.origin)))]
