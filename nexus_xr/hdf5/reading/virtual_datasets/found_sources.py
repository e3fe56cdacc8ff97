"""The sources of virtual datasets: which are there, and what is said where they are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from nexus_xr.diagnostics import Code
from nexus_xr.errors import NexusFileError, NexusReachError
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.reading.telling import few, here, not_told, warn
from nexus_xr.hdf5.reading.unreadable import MissingDatasetError

from .missing_blocks import Gap, find_gaps
from .sources import SourceName, look_into
from .virtual_layout import is_own_file, is_short
from .virtual_mapping import by_source, grows, read_mappings, source_file

# Files that are looked for when a virtual dataset is opened.
MOST_LOOKED_FOR = 4096
# Names of missing sources that travel with an array, so that it stays small.
_MOST_CARRIED = 100
_BEHIND_THE_END = "reads as fill values behind the end of its sources"


class MissingSourceError(NexusFileError):
    """A source of a virtual dataset isn't there, or not all of it."""


class ShortSource(NamedTuple):
    """A source that has less than what is made of it.

    Attributes
    ----------
    name
        The source.
    shape
        Its shape.
    is_being_written
        Whether another process may add to it.
    """

    name: SourceName
    shape: tuple[int, ...]
    is_being_written: bool = False

    def __str__(self) -> str:
        return f"{self.name} of shape {self.shape}"

    def is_told_by(self, holder: File) -> bool:
        """Whether it is told of: what is being written gets longer, unless fill values are to be an error."""
        return not (self.is_being_written and holder.policy.fills_missing)

    def explained(self, holder: File) -> str:
        return f"{self.name.absolute(holder)} is of shape {self.shape}{here()}, less than what is made of it"


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
    refused
        Files that are out of reach, and sources that are links to such.
    short
        Sources among those that were looked for in their files which have less than what is made of them.
    gaps
        Blocks at which the dataset ends as they are missing, in files named by their numbers.
    """

    missing: tuple[SourceName, ...] = ()
    inside: SourceName | None = None
    is_complete: bool = True
    refused: tuple[SourceName, ...] = ()
    short: tuple[ShortSource, ...] = ()
    gaps: tuple[Gap, ...] = ()

    @property
    def is_small(self) -> bool:
        """Whether it may be carried to other processes."""
        return len(self.missing) + len(self.refused) + len(self.short) <= _MOST_CARRIED

    def saw(self, source: SourceName) -> bool:
        """Whether a file was there, or in it a source."""
        was_looked_for = source.path is None or is_own_file(source.file) or self.inside in (None, source)
        is_missing = source in self.missing or SourceName(source.file) in self.missing
        return self.is_complete and was_looked_for and not is_missing


def find_sources(
    mappings: Sequence[VirtualMapping], shape: tuple[int, ...], holder: File, thoroughly: bool = False
) -> FoundSources | None:
    """Which sources of a virtual dataset there are; None where it has none, as it isn't virtual.

    Parameters
    ----------
    mappings
        What it is made of.
    shape
        Its shape, without the dimensions of an array datatype.
    holder
        The file that it is in.
    thoroughly
        Whether to open each file and to look for all; else it is looked whether the first thousands are there, and
        for the first source in one that is, and for all that it is as long as. Only of what is looked for in its file
        it is known how long it is.
    """
    if not mappings:
        return None
    if holder.is_local:
        found = _find(mappings, shape, holder, thoroughly)
    else:
        # To look for the others takes a request for each.
        endless = [each for each in mappings if each.target.is_endless]
        found = replace(_find(endless, shape, holder, True), is_complete=False, refused=_refused(mappings, holder))
    return replace(found, gaps=find_gaps(mappings, shape, holder))


def _find(mappings: Sequence[VirtualMapping], shape: tuple[int, ...], holder: File, thoroughly: bool) -> FoundSources:
    there: dict[str, str | None] = {}
    missing: dict[SourceName, None] = {}
    refused: dict[SourceName, None] = {}
    short: list[ShortSource] = []
    is_complete = True
    inside: SourceName | None = None
    for (file, path), parts in by_source(mappings).items():
        source = SourceName(file, path)
        if file not in there and (thoroughly or len(there) < MOST_LOOKED_FOR):
            try:
                there[file] = source_file(file, holder)
            except NexusReachError:
                there[file], refused[SourceName(file)] = "", None
        is_complete = is_complete and file in there
        found = there.get(file, "")
        if found is None:
            missing[SourceName(file)] = None
        elif found and (thoroughly or is_own_file(file) or inside is None or grows(parts)):
            inside = inside or source
            try:
                dataset = look_into(holder.linked(found), path)
            except MissingDatasetError:
                missing[source] = None
            except NexusReachError:
                refused[source] = None
            else:
                short += [ShortSource(source, *dataset)] if dataset and _lack(parts, dataset[0], shape) else []
    return FoundSources(tuple(missing), None if thoroughly else inside, is_complete, tuple(refused), tuple(short))


def _lack(parts: Sequence[VirtualMapping], source_shape: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether a source of this shape has less than these parts of it; no where that isn't told by dimensions."""
    return any(is_short(each, source_shape, shape) for each in read_mappings(parts, shape) or ())


def _refused(mappings: Sequence[VirtualMapping], holder: File) -> tuple[SourceName, ...]:
    """The files behind URLs that are out of reach; which of the others are there takes a request for each."""
    refused = []
    for file in dict.fromkeys(file for file, _ in by_source(mappings) if not is_own_file(file)):
        try:
            holder.where_should_be(file)
        except NexusReachError:
            refused.append(SourceName(file))
    return tuple(refused)


def report_missing(dataset: Dataset, found_sources: FoundSources | None, holder: File, path: str) -> None:
    """Report the sources of a dataset that are missing, and those that are short.

    That is in one line each, or each by itself where that is an error.

    Parameters
    ----------
    dataset
        The dataset.
    found_sources
        Which of its sources were there.
    holder, path
        The file that it is in, and its path there.
    """
    if found_sources is None:
        return
    if found_sources.refused:
        names = few(list(map(str, found_sources.refused)))
        dataset.report(Code.OUT_OF_REACH, f"can't be read where its sources lie outside of what may be read: {names}")
    missing = found_sources.missing
    short = [each for each in found_sources.short if each.is_told_by(holder)]
    if not holder.policy.fills_missing:
        for source in missing:
            dataset.report(Code.SOURCE_MISSING, f"its source {source.absolute(holder)} is missing{here()}")
        for gap in found_sources.gaps:
            dataset.report(Code.SOURCE_MISSING, f"its source {gap.explained(holder)}")
        for each in short:
            dataset.report(Code.SOURCE_MISSING, f"its source {each.explained(holder)}")
        return
    if missing:
        not_told(holder, path, missing)
        names = few(list(map(str, missing)))
        dataset.report(Code.SOURCE_MISSING, f"reads as fill values where its sources are missing: {names}")
    if short:
        not_told(holder, path, (each.name for each in short))
        dataset.report(Code.SOURCE_MISSING, f"{_BEHIND_THE_END}: {few(list(map(str, short)))}")
    for gap in found_sources.gaps:
        dataset.report(Code.SOURCE_MISSING, f"ends where its source {gap}")


def check_sources(
    mappings: Sequence[VirtualMapping],
    shape: tuple[int, ...],
    holder: File,
    path: str,
    found_sources: FoundSources | None,
) -> None:
    """Tell of the sources of a virtual dataset that are missing, before libhdf5 reads fill values for them."""
    now = find_sources(mappings, shape, holder, thoroughly=not holder.policy.fills_missing)
    for each in () if now is None else now.missing:
        check_missing(each, holder, path, found_sources)
    tell_of_missing(holder, path, () if now is None else now.missing)


def check_missing(source: SourceName, holder: File, path: str, found_sources: FoundSources | None) -> None:
    """Raise where a source is missing that was there, or that has to be there."""
    if is_filled(source, holder, found_sources):
        return
    kind = "file" if source.path is None else "dataset"
    message = f"{source.absolute(holder)}: there is no such {kind}{here()}; {holder.name}:{path} is made of it"
    if holder.policy.fills_missing:
        advice = "it was there when that was opened; put it where it was, for all workers of a cluster, or open anew"
        raise MissingSourceError(f"{message}, and {advice}")
    raise MissingSourceError(f'{message}, and reads as fill values with missing="fill"')


def check_short(source: ShortSource, holder: File, path: str) -> None:
    """Raise where a source has less than what is made of it, and all of that has to be there."""
    if not holder.policy.fills_missing:
        name, advice = f"{holder.name}:{path}", 'which reads as fill values with missing="fill"'
        raise MissingSourceError(f"{name}: {source.explained(holder)}, {advice}")


def is_filled(source: SourceName, holder: File, found_sources: FoundSources | None) -> bool:
    """Whether fill values stand for a source that is missing, as it was when its dataset was opened."""
    was_there = found_sources is not None and found_sources.saw(source)
    return holder.policy.fills_missing and not was_there


def tell_of_missing(holder: File, path: str, missing: Iterable[SourceName]) -> None:
    """Warn, once in a process, of sources of a dataset that are missing and read as fill values."""
    names = [each.absolute(holder) for each in not_told(holder, path, missing)]
    if names:
        message = f"reads as fill values where its sources are missing{here()}: {few(names)}"
        warn(holder, path, Code.SOURCE_MISSING, message)


def tell_of_short(holder: File, path: str, short: Iterable[ShortSource]) -> None:
    """Warn, once in a process, of sources of a dataset that have less than what is made of them."""
    shapes = {each.name: each.shape for each in short if each.is_told_by(holder)}
    names = [f"{each.absolute(holder)} of shape {shapes[each]}" for each in not_told(holder, path, shapes)]
    if names:
        warn(holder, path, Code.SOURCE_MISSING, f"{_BEHIND_THE_END}{here()}: {few(names)}")
