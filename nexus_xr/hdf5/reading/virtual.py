"""Reading virtual datasets: the chunks of all their sources, decoded by all cores into one result."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code, Diagnostic, Diagnostics
from nexus_xr.errors import NexusFileError, NexusWarning
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.linked_files import find_file, where_it_should_be
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.storage import Filter, Storage, storage_of
from nexus_xr.hdf5.objects.virtual import is_virtual
from nexus_xr.hdf5.runtime import threads
from nexus_xr.hdf5.runtime.compat import this_worker
from nexus_xr.hdf5.runtime.cpus import thread_count
from nexus_xr.hdf5.runtime.fork import after_fork
from nexus_xr.hdf5.runtime.memory import empty

from .engine import outer_key, read, tasks_into
from .layouts import (
    ExternalDataset,
    Libhdf5Layout,
    MissingDatasetError,
    StoredLayout,
    carrier_of,
    layout_of,
    open_dataset,
)
from .processes import read_in_processes
from .selection import Indexer, length
from .unreadable import values_explained
from .virtual_mapping import (
    Intersection,
    Mapping,
    Positions,
    VirtualLayout,
    intersect,
    is_own_file,
    read_mappings,
    source_names,
)

# Virtual datasets of virtual datasets; deeper than any real ones, and far from the end of Python's stack.
_DEEPEST = 16
# Files that are looked for when a virtual dataset is opened.
_MOST_LOOKED_FOR = 4096
_LISTED = 5
# Names of missing sources that travel with an array, so that it stays small.
_MOST_CARRIED = 100
# The missing sources that this process has told of, with the file and the dataset that are made of them.
_MOST_TOLD = 1 << 16
_told: set[tuple[str, str, SourceName]] = set()
after_fork(_told.clear)
# With so many files for each thread, each file is read by one thread. Most files that are open at once.
_MANY = 8
_MOST_OPEN = 64

# What is taken of one file.
_OfFile = Sequence[tuple[Mapping, Intersection]]


class OnlyLibhdf5Error(Exception):
    """Sources that only libhdf5 reads, or whose values it converts."""


class MissingSourceError(NexusFileError):
    """A source of a virtual dataset isn't there."""


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
    if depth > _DEEPEST:
        raise NexusFileError(f"{holder.name}:{path}: it is made of virtual datasets without end")
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


# --- what is known without reading --------------------------------------------------------------------------------


class SourceName(NamedTuple):
    """A source of a virtual dataset, or with no path its file, by the names that are stored."""

    file: str
    path: str | None = None

    def __str__(self) -> str:
        if self.path is None:
            return self.file
        return self.path if is_own_file(self.file) else f"{self.file}:{self.path}"

    def absolute(self, holder: File) -> str:
        """Where it should be."""
        file = holder.path if is_own_file(self.file) else where_it_should_be(self.file, holder.path)
        return file if self.path is None else f"{file}:{self.path}"


@dataclass(frozen=True)
class FoundSources:
    """What there was when the sources of a virtual dataset were looked for.

    Parameters
    ----------
    missing
        Files, and sources in files that are there, that were missing.
    inside
        Which sources were looked for in their files, besides those of the own file; None for all of them.
    is_complete
        Whether it was looked for all files.
    """

    missing: tuple[SourceName, ...] = ()
    inside: SourceName | None = None
    is_complete: bool = True

    @property
    def is_small(self) -> bool:
        """Whether it may be carried to other processes."""
        return len(self.missing) <= _MOST_CARRIED

    def saw(self, source: SourceName) -> bool:
        """Whether a file was there, or in it a source."""
        was_looked_for = source.path is None or is_own_file(source.file) or self.inside in (None, source)
        is_missing = source in self.missing or SourceName(source.file) in self.missing
        return self.is_complete and was_looked_for and not is_missing


def find_sources(dataset: h5d.DatasetID, holder: File, thoroughly: bool = False) -> FoundSources | None:
    """Which sources of an open dataset of a local file there are; None where it isn't virtual.

    Parameters
    ----------
    dataset
        The virtual dataset.
    holder
        The file that it is in.
    thoroughly
        Whether to open each file and to look for all; else it is looked whether the first thousands are there, and
        for the first source in one that is.
    """
    if not is_virtual(dataset) or not holder.is_local:
        return None
    there: dict[str, str | None] = {}
    missing: dict[SourceName, None] = {}
    is_complete = True
    inside: SourceName | None = None
    for source in itertools.starmap(SourceName, source_names(dataset)):
        file = source.file
        if file not in there and (thoroughly or len(there) < _MOST_LOOKED_FOR):
            there[file] = holder.path if is_own_file(file) else find_file(file, holder.path)
        is_complete = is_complete and file in there
        found = there.get(file, "")
        if found is None:
            missing[SourceName(file)] = None
        elif found and (thoroughly or is_own_file(file) or inside is None):
            inside = inside or source
            if not _has_dataset(holder.linked(found), str(source.path)):
                missing[source] = None
    return FoundSources(tuple(missing), None if thoroughly else inside, is_complete)


def report_missing(dataset: Dataset, found_sources: FoundSources | None, holder: File) -> None:
    """Report the sources of a dataset that are not there: in one line, or each by itself where that is an error."""
    missing = () if found_sources is None else found_sources.missing
    if missing and holder.policy.fills_missing:
        _not_told(holder, dataset.path, missing)
        names = _few(list(map(str, missing)))
        dataset.report(Code.SOURCE_MISSING, f"reads as fill values where its sources are missing: {names}")
    elif missing:
        for each in missing:
            dataset.report(Code.SOURCE_MISSING, f"its source {each.absolute(holder)} is missing{_here()}")


def check_sources(dataset: h5d.DatasetID, holder: File, path: str, found_sources: FoundSources | None) -> None:
    """Tell of the sources of an open dataset that are missing, before libhdf5 reads fill values for them."""
    now = find_sources(dataset, holder, thoroughly=not holder.policy.fills_missing)
    for each in () if now is None else now.missing:
        _check_missing(each, holder, path, found_sources)
    tell_of_missing(holder, path, () if now is None else now.missing)


def _check_missing(source: SourceName, holder: File, path: str, found_sources: FoundSources | None) -> None:
    """Raise where a source is missing that was there, or that has to be there."""
    was_there = found_sources is not None and found_sources.saw(source)
    if holder.policy.fills_missing and not was_there:
        return
    kind = "file" if source.path is None else "dataset"
    message = f"{source.absolute(holder)}: there is no such {kind}{_here()}; {holder.name}:{path} is made of it"
    if holder.policy.fills_missing:
        advice = "it was there when that was opened; put it where it was, for all workers of a cluster, or open anew"
        raise MissingSourceError(f"{message}, and {advice}")
    raise MissingSourceError(f'{message}, and reads as fill values with missing="fill"')


def tell_of_missing(holder: File, path: str, missing: Iterable[SourceName]) -> None:
    """Warn, once in a process, of sources of a dataset that are missing and read as fill values."""
    names = [each.absolute(holder) for each in _not_told(holder, path, missing)]
    if names:
        message = f"reads as fill values where its sources are missing{_here()}: {_few(names)}"
        diagnostic = Diagnostic.of(Code.SOURCE_MISSING, path, message)
        warnings.warn(NexusWarning(f"{holder.name}:{diagnostic}", [diagnostic]), stacklevel=2)


def _not_told(holder: File, path: str, missing: Iterable[SourceName]) -> list[SourceName]:
    """Those that this process didn't tell of before; from now on it did."""
    found = [each for each in dict.fromkeys(missing) if not _is_told(holder, path, each)]
    if len(_told) + len(found) > _MOST_TOLD:
        _told.clear()
    _told.update((holder.path, path, each) for each in found)
    return found


def _is_told(holder: File, path: str, source: SourceName) -> bool:
    return (holder.path, path, source) in _told


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _here() -> str:
    worker = this_worker()
    return "" if worker is None else f" on {worker}"


def _has_dataset(file: File, path: str) -> bool:
    try:
        with file.opened() as handle, open_dataset(file, handle, path):
            return True
    except MissingDatasetError:
        return False
    except NexusFileError:  # there is something, and to read it will say what is wrong with it
        return True


class SourceStorage(NamedTuple):
    """How the sources of a virtual dataset are stored, as far as it tells how that is best read.

    Parameters
    ----------
    chunks
        What a chunk of a source stands for, None where it has none.
    filters
        The filter pipeline of the source.
    borders
        For each dimension, where sources begin.
    """

    chunks: tuple[int, ...] | None
    filters: tuple[Filter, ...]
    borders: tuple[list[int], ...]


def source_storage(virtual: VirtualLayout, holder: File, depth: int = 0) -> SourceStorage:
    """How the sources of a virtual dataset are stored, by the first of them that is there; no other is opened."""
    borders = tuple(map(virtual.borders, range(len(virtual.shape))))
    files = dict.fromkeys(mapping.file for mapping in virtual.mappings)
    found = ((file, holder.path if is_own_file(file) else find_file(file, holder.path)) for file in files)
    first = next(((file, path) for file, path in found if path is not None), None)
    if first is not None and depth < _DEEPEST:
        mapping = next(mapping for mapping in virtual.mappings if mapping.file == first[0])
        with suppress(NexusFileError):
            storage = _storage_of_source(holder.linked(first[1]), mapping.path, depth)
            chunks = _chunks_in(mapping, storage.chunks, virtual.shape)
            return SourceStorage(chunks, storage.filters if chunks else (), borders)
    return SourceStorage(None, (), borders)


def _storage_of_source(file: File, path: str, depth: int) -> Storage | SourceStorage:
    with file.opened() as handle, open_dataset(file, handle, path) as dataset:
        if is_virtual(dataset.id) and (mappings := read_mappings(dataset.id)) is not None:
            nested = VirtualLayout(dataset.shape, dataset.dtype, np.zeros(()), mappings)
            return source_storage(nested, file, depth + 1)
        return storage_of(Dataset(dataset.id, path, Diagnostics()))


def _chunks_in(mapping: Mapping, chunks: tuple[int, ...] | None, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """What the chunks of a source are in a virtual dataset, None where it has none or lies otherwise."""
    if chunks is None or len(chunks) != len(mapping.origin):
        return None
    own: list[int] = []
    for hyperslab, dimension, size in zip(mapping.target, mapping.pairs, shape, strict=True):
        taken = 1 if dimension is None else -(-chunks[dimension] // mapping.origin[dimension].stride)
        own.append(max(1, min(-(-taken // hyperslab.block) * hyperslab.stride, size)))
    return tuple(own)


# --- reading ------------------------------------------------------------------------------------------------------


class _OpenSource(NamedTuple):
    """A source while it is read, and how its shape is mapped."""

    mapping: Mapping
    file: File
    path: str
    layout: StoredLayout | Libhdf5Layout | VirtualLayout
    source: Source


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
        self._shape = tuple(map(length, indexers))

    def values(self) -> NDArray[Any]:
        """The values of the selection, with all dimensions."""
        values = self._values()
        if any(not _is_told(self._holder, self._path, source) for source in self._missing):
            tell_of_missing(self._holder, self._path, [*self._missing_files(), *self._missing])
        return values

    def _missing_files(self) -> Iterator[SourceName]:
        """All files that are missing where one of them is, so that they are told of together."""
        files = dict.fromkeys(mapping.file for mapping in self._virtual.mappings)
        for file in itertools.islice(files, _MOST_LOOKED_FOR):
            if not is_own_file(file) and find_file(file, self._holder.path) is None:
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
        values = empty(self._shape, carrier_of(self._virtual.dtype))
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
                tasks = [task for of_file in files for task in self._tasks(of_file, values, is_filled, stack)]
                threads.run(tasks, num_threads)

    def _read_files(self, files: Sequence[_OfFile], values: NDArray[Any], is_filled: bool) -> None:
        """Prepare some files and then read them: between two chunks, which take all of a core's cache, it is slow."""
        with ExitStack() as stack:
            for task in [task for of_file in files for task in self._tasks(of_file, values, is_filled, stack)]:
                task()

    def _from_one_source(self, mapping: Mapping) -> NDArray[Any] | None:
        """All that is asked for where it is in one source."""
        with ExitStack() as stack:
            opened = self._open(mapping, stack)
            common = None if opened is None else intersect(opened.mapping, opened.layout.shape, self._indexers)
            if opened is None or common is None or common.size < math.prod(self._shape):
                return None
            values = self._read(opened, common)
            return np.ascontiguousarray(np.broadcast_to(values, self._shape))

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
        if not is_filled and (common is None or common.size < nominal.size):
            values[outer_key(list(nominal.goal))] = self._virtual.fill
        if opened is None or common is None:
            return
        target = _view(values, opened.mapping, common)
        if target is None or not isinstance(opened.layout, StoredLayout):
            yield partial(self._read_to, opened, common, values)
            return
        with self._explained(opened):
            source = stack.enter_context(opened.layout.source(opened.source))
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
        return self._read_source(opened, common.indexers).reshape(lengths)

    def _read_source(self, opened: _OpenSource, indexers: tuple[Indexer, ...]) -> NDArray[Any]:
        layout = opened.layout
        if isinstance(layout, VirtualLayout):
            return read_virtual(layout, opened.file, opened.path, indexers, depth=self._depth + 1)
        with self._explained(opened):
            if isinstance(layout, StoredLayout):
                with layout.source(opened.source) as source:
                    return read(layout, source, indexers, self._holder.policy.num_threads)
            name = opened.file.path
            values = read_in_processes(layout, name, opened.path, indexers, self._holder.policy.num_threads)
            return values.view(carrier_of(layout.dtype))

    def _explained(self, opened: _OpenSource) -> AbstractContextManager[None]:
        made_of_it = f"; {self._holder.name}:{self._path} is made of them"
        return values_explained(opened.file.name, opened.path, made_of_it)

    def _open(self, mapping: Mapping, stack: ExitStack) -> _OpenSource | None:
        """The source of a mapping, None where it is missing."""
        name = None if is_own_file(mapping.file) else find_file(mapping.file, self._holder.path)
        if name is None and not is_own_file(mapping.file):
            self._miss(SourceName(mapping.file))
            return None
        file, path = self._holder if name is None else self._holder.linked(name), mapping.path
        source = stack.enter_context(file.source())
        try:
            layout = layout_of(file, path, source)
            if isinstance(layout, ExternalDataset):
                file, path = file.linked(layout.file), layout.path
                source = stack.enter_context(file.source())
                layout = layout_of(file, path, source)
        except MissingDatasetError:
            self._miss(SourceName(mapping.file, mapping.path))
            return None
        if layout is None or isinstance(layout, ExternalDataset) or file.is_written_here:
            raise OnlyLibhdf5Error
        fitted = mapping.fitted(layout.shape)
        if fitted is None or not self._is_alike(layout.dtype):
            raise OnlyLibhdf5Error
        return _OpenSource(fitted, file, path, layout, source)

    def _is_alike(self, other: np.dtype[Any]) -> bool:
        own = self._virtual.dtype
        return own == other and h5py.check_enum_dtype(own) == h5py.check_enum_dtype(other)

    def _miss(self, source: SourceName) -> None:
        _check_missing(source, self._holder, self._path, self._found_sources)
        self._missing[source] = None


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
