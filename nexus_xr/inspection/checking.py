"""What a process does that checks a file for another: lists its datasets, and reads pieces of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass, replace
from typing import Any

from nexus_xr.diagnostics import Diagnostic
from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError, NexusWarning
from nexus_xr.hdf5.filters.words import in_words
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.reading._reader_process import limited
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.processes import limits_of
from nexus_xr.nexus.tree.scan import report_missing_target
from nexus_xr.opening.fields.group_fields import storage_of
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Opening, examine_with

from .pieces import failure_of, pieces_of

# Says something to who asked.
Say = Callable[[list[Any]], None]


@dataclass(frozen=True)
class Where:
    """A file, as another process may open it.

    Parameters
    ----------
    path
        Its path or URL.
    options
        How it is opened.
    """

    path: str
    options: Options


@dataclass(frozen=True)
class PieceRange:
    """Pieces of a dataset that follow each other."""

    path: str
    begin: int
    end: int


def answer(where: Where, runs: list[PieceRange] | None, say: Say) -> None:
    """Say what there is to read of a file, or read pieces of it; ``["error", is missing, text]`` if that can't be."""
    try:
        if runs is None:
            tell_datasets(where, say)
        else:
            verify_runs(where, runs, say)
    except NexusError as error:
        say(["error", isinstance(error, NexusFileNotFoundError), str(error)])
    except Exception as error:  # whatever it is, it's no crash
        say(["error", False, f"{where.path}: can't be checked ({type(error).__name__}: {error})"])


def tell_datasets(where: Where, say: Say) -> None:
    """Say of each dataset what there is to read of it, and then what could not be honoured of the file.

    ``["dataset", path, layout, filters, nbytes, pieces, bytes of a piece]`` of each, ``["failed", path, reason]`` of
    one of which that can't be told, ``["diagnostic", code, path, rule, message]``.
    """
    _, diagnostics = examine_with(lambda opening: _tell(opening, say), where.options.file(where.path), where.options)
    for each in diagnostics:
        say(["diagnostic", *astuple(each)])


def _tell(opening: Opening, say: Say) -> None:
    say(["again"])  # the file may be opened once more, as a reader's beside its writer
    for path, dataset in _datasets(opening.root):
        say(["at", path])
        dataset.read_attributes()
        try:
            array = LazyArray.of(dataset, opening.file)
            storage = storage_of(dataset, array)
            with ExitStack() as stack:
                pieces = pieces_of(array, stack)
        except Exception as error:  # whatever is damaged
            say(["failed", path, str(error)])
            continue
        words = [in_words(step) for step in storage.filters]
        say(["dataset", path, dataset.storage.layout, words, array.nbytes, pieces.count, pieces.nbytes])


def _datasets(root: Group) -> Iterator[tuple[str, Dataset]]:
    """All datasets, each once, by whatever names they are reached; attributes of groups are read on the way."""
    seen: set[Address] = {root.address}
    waiting = [root]
    while waiting:
        group = waiting.pop()
        group.read_attributes()
        for name, member, _ in group.members():
            if isinstance(member, Link):
                report_missing_target(group, name, member)
            elif member.address not in seen:
                seen.add(member.address)
                if isinstance(member, Group):
                    waiting.append(member)
                elif not member.is_null:
                    yield group.member_path(name), member


def verify_runs(where: Where, runs: list[PieceRange], say: Say) -> None:
    """Read pieces, each within limits; say ``["at", path, piece]`` before, and ``["bad", path, *failure]`` of some.

    What reading warns of, as telling the datasets didn't say it, is ``["diagnostic", ...]`` as there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", NexusWarning)
        examine_with(lambda opening: _verify(opening, runs, say), where.options.file(where.path), where.options)


def _verify(opening: Opening, runs: list[PieceRange], say: Say) -> None:
    for run in runs:
        say(["at", run.path, run.begin])
        with ExitStack() as stack:
            dataset = opening.root.find(run.path)
            if not isinstance(dataset, Dataset):
                raise NexusFileError(f"{opening.file.name}:{run.path}: isn't there any more; check the file again")
            array = LazyArray.of(dataset, opening.file)
            # It is said already, and reading won't say it again.
            array.report_missing(dataset)
            pieces = pieces_of(array, stack)
            for number in range(run.begin, min(run.end, pieces.count)):
                say(["at", run.path, number])
                try:
                    with limited(*limits_of(pieces.nbytes)), warnings.catch_warnings(record=True) as caught:
                        pieces.verify(number)
                    for each in _diagnostics_of(caught):  # whose path may be that of a source that is virtual too
                        say(["diagnostic", *astuple(replace(each, path=run.path))])
                except Exception as error:  # whatever is damaged
                    say(["bad", run.path, *astuple(failure_of(error))])


def _diagnostics_of(caught: Iterable[warnings.WarningMessage]) -> Iterator[Diagnostic]:
    for each in caught:
        if isinstance(each.message, NexusWarning):
            yield from each.message.diagnostics
