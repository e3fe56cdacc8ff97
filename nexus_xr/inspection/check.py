"""Reading all of a file to see whether it can be: `nexus_xr.check`."""

from __future__ import annotations

import json
import os
import pickle
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from nexus_xr.diagnostics import MISSING, UNREADABLE, Code, Diagnostic
from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.runtime.children import Child, ChildError, environment
from nexus_xr.hdf5.runtime.cpus import thread_count
from nexus_xr.opening.options import Options
from nexus_xr.signatures import as_path, checks

from ._checking_process import LENGTH
from .checking import PieceRange, Where
from .pieces import BadPiece

# What a process is asked for at once: so many bytes of values, or so many datasets.
_RUN_BYTES, _RUN_DATASETS = 64 << 20, 256
# How much is heard at once of what a process says.
_HEARD_BYTES = 64 << 10
# What is a fault of the file, beside what is missing. What could not be honoured otherwise is none.
FAULTS = (MISSING | UNREADABLE) - {Code.DATATYPE_UNREADABLE}
_CODES = {str(code): code for code in Code}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class CheckedDataset:
    """What came of reading all of a dataset.

    Parameters
    ----------
    path
        Its path.
    layout, filters
        How it is stored, and the filters that chunks went through, in words.
    nbytes
        Bytes of its values.
    pieces
        How many chunks were read; of what has none, blocks.
    failures
        Those that can't be read: where each is in the grid of chunks, where in the file, and why.
    """

    path: str
    layout: str
    filters: tuple[str, ...]
    nbytes: int
    pieces: int
    failures: tuple[BadPiece, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """What came of reading all of a file.

    Parameters
    ----------
    file
        Path or URL.
    datasets
        All datasets, each once.
    faults
        What of the file's description can't be read, and what it names that isn't there.
    unread
        Datasets of types that NumPy lacks, of which nothing was read.
    """

    file: str
    datasets: tuple[CheckedDataset, ...]
    faults: tuple[Diagnostic, ...]
    unread: tuple[Diagnostic, ...] = ()

    @property
    def damaged(self) -> tuple[CheckedDataset, ...]:
        """The datasets of which something can't be read."""
        return tuple(dataset for dataset in self.datasets if dataset.failures)

    @property
    def is_sound(self) -> bool:
        """Whether everything that the file has, or names, is there and can be read, but for types that NumPy lacks."""
        return not self.damaged and not self.faults


# Where fsspec keeps what other processes don't have.
_IN_THIS_PROCESS = "memory://"


@checks(processes=1)
def check(
    path: str | os.PathLike[str],
    *,
    processes: int | None = None,
    progress: Progress | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> CheckReport:
    """Read every chunk of every dataset of a file, and every attribute; decode all, and compare all checksums.

    Other processes do it, so that damage that crashes a decoder, or has it run on for ever, is a failure of one chunk.
    What links and virtual datasets lead to in other files is read too.

    Parameters
    ----------
    path
        Path or URL.
    processes
        How many read at once; None for as many as there are CPUs for this process.
    progress
        Called with the bytes of values that were read so far, and those of all.
    storage_options
        Options for the fsspec file system of a URL.

    Returns
    -------
    CheckReport
        Bytes that changed where the format keeps no checksum, and that can be decoded all the same, are no failure.

    Raises
    ------
    NexusError
        The file isn't there, or isn't HDF5, or so damaged that nothing can be listed.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("scan.nxs", "w") as file:
    ...     counts = file.create_dataset("counts", (4, 8), chunks=(1, 8), compression="gzip", data=[[1] * 8] * 4)
    ...     counts.id.write_direct_chunk((2, 0), b"damaged")
    >>> report = check("scan.nxs")
    >>> [(dataset.path, dataset.pieces) for dataset in report.datasets], report.is_sound
    ([('/counts', 4)], False)
    >>> report.datasets[0].failures[0].chunk
    (2, 0)
    """
    name = as_path(path)
    if name.startswith(_IN_THIS_PROCESS):
        raise NexusError(f"{name}: is in this process's memory, which those that check can't see; write a file")
    where = Where(name, Options(storage_options=storage_options))
    listing = _Listing()
    with _checker() as checker:
        crash = _ask(checker, where, None, listing.take)
    if crash is not None:
        raise NexusFileError(f"{where.path}: can't be described, at {listing.at}: {crash}")
    found, met = _verified(where, listing, processes or thread_count(), progress)
    faults = tuple(each for each in dict.fromkeys([*listing.diagnostics, *met]) if each.code in FAULTS)
    unread = tuple(each for each in listing.diagnostics if each.code is Code.DATATYPE_UNREADABLE)
    return CheckReport(where.path, found, faults, unread)


@dataclass
class _Listing:
    """What is heard of a file's datasets."""

    at: str = "/"
    datasets: dict[str, CheckedDataset] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def take(self, said: Sequence[Any]) -> None:
        kind, *rest = said
        if kind == "again":
            self.datasets.clear()
        elif kind == "at":
            self.at = rest[0]
        elif kind == "dataset":
            path, layout, filters, nbytes, pieces, self.sizes[path] = rest
            self.datasets[path] = CheckedDataset(path, layout, tuple(filters), nbytes, pieces)
        elif kind == "failed":
            path, reason = rest
            self.datasets[path] = CheckedDataset(path, "unknown", (), 0, 0, (BadPiece(None, None, reason),))
        elif kind == "diagnostic":
            self.diagnostics.append(_told_diagnostic(*rest))
        else:
            raise _told_error(*rest)


def _told_diagnostic(code: str, *rest: str) -> Diagnostic:
    return Diagnostic(_CODES[code], *rest)


def _told_error(is_missing: bool, words: str) -> NexusFileError:
    return (NexusFileNotFoundError if is_missing else NexusFileError)(words)


def _runs(listing: _Listing) -> Iterator[list[PieceRange]]:
    """All pieces, in portions that take a process neither too long nor too short."""
    portion: list[PieceRange] = []
    nbytes = 0
    for path, dataset in listing.datasets.items():
        size = max(1, listing.sizes.get(path, 1))
        begin = 0
        while begin < dataset.pieces:
            end = min(dataset.pieces, begin + max(1, (_RUN_BYTES - nbytes) // size))
            portion.append(PieceRange(path, begin, end))
            nbytes += (end - begin) * size
            begin = end
            if nbytes >= _RUN_BYTES or len(portion) >= _RUN_DATASETS:
                yield portion
                portion, nbytes = [], 0
    if portion:
        yield portion


def _verified(
    where: Where, listing: _Listing, processes: int, progress: Progress | None
) -> tuple[tuple[CheckedDataset, ...], list[Diagnostic]]:
    """The datasets with what came of reading all of them, and what else was met."""
    work = _Work(where, listing, progress)
    threads = [threading.Thread(target=work.help, daemon=True) for _ in range(min(processes, work.portions.qsize()))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    finally:
        work.stop()
    if work.errors:
        raise work.errors[0]
    failures = work.failures
    checked = tuple(
        replace(each, failures=(*each.failures, *sorted(failures.get(each.path, ()), key=_by_place)))
        for each in listing.datasets.values()
    )
    return checked, sorted(work.diagnostics, key=lambda each: (each.path, each.message))


def _by_place(failure: BadPiece) -> tuple[Any, ...]:
    return failure.chunk or (), failure.reason


class _Work:
    """What is left to do, and what was found, by several threads, each of which has a process at work."""

    def __init__(self, where: Where, listing: _Listing, progress: Progress | None) -> None:
        self._where = where
        self._sizes = listing.sizes
        self._progress = progress
        self._total = sum(listing.sizes[path] * each.pieces for path, each in listing.datasets.items() if each.pieces)
        self._done = 0
        self._lock = threading.Lock()
        self._is_over = False
        self.portions: queue.SimpleQueue[list[PieceRange]] = queue.SimpleQueue()
        self.failures: dict[str, list[BadPiece]] = {}
        self.diagnostics: list[Diagnostic] = []
        self.errors: list[BaseException] = []
        for portion in _runs(listing):
            self.portions.put(portion)

    def stop(self) -> None:
        self._is_over = True

    def help(self) -> None:
        """Have one portion after the other verified."""
        try:
            while not self._is_over:
                with _checker() as checker, suppress(_LostError):
                    while not self._is_over:
                        try:
                            portion = self.portions.get_nowait()
                        except queue.Empty:
                            return
                        self._verify(checker, portion)
        except BaseException as error:  # for who waits
            self.errors.append(error)
            self._is_over = True

    def _verify(self, checker: Child, portion: list[PieceRange]) -> None:
        heard = _Heard()
        crash = _ask(checker, self._where, portion, heard.take)
        self.diagnostics += heard.diagnostics
        for path, failure in heard.failures:
            self._add(path, failure)
        if crash is None:
            self._count(portion, [])
            return
        path, number = heard.at or (portion[0].path, portion[0].begin)
        self._add(path, BadPiece(None, None, f"piece {number}: {crash}"))
        left = _behind(portion, path, number)
        self._count(portion, left)
        if left:
            self.portions.put(left)
        raise _LostError

    def _add(self, path: str, failure: BadPiece) -> None:
        with self._lock:
            self.failures.setdefault(path, []).append(failure)

    def _count(self, portion: Iterable[PieceRange], left: Iterable[PieceRange]) -> None:
        with self._lock:
            self._done += self._bytes(portion) - self._bytes(left)
            if self._progress is not None:
                self._progress(self._done, self._total)

    def _bytes(self, runs: Iterable[PieceRange]) -> int:
        return sum((run.end - run.begin) * self._sizes[run.path] for run in runs)


def _behind(portion: Sequence[PieceRange], path: str, number: int) -> list[PieceRange]:
    """What of a portion comes behind a piece."""
    position = next(at for at, run in enumerate(portion) if run.path == path and run.begin <= number < run.end)
    rest = replace(portion[position], begin=number + 1)
    return [*([rest] if rest.begin < rest.end else []), *portion[position + 1 :]]


class _LostError(Exception):
    """A process has ended in the middle of its work."""


@dataclass
class _Heard:
    """What is heard while pieces are verified."""

    at: tuple[str, int] | None = None
    failures: list[tuple[str, BadPiece]] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def take(self, said: Sequence[Any]) -> None:
        kind, *rest = said
        if kind == "at":
            path, number = rest
            self.at = path, number
        elif kind == "error":
            raise _told_error(*rest)
        elif kind == "diagnostic":
            self.diagnostics.append(_told_diagnostic(*rest))
        else:
            path, chunk, offset, reason = rest
            self.failures.append((path, BadPiece(None if chunk is None else tuple(chunk), offset, reason)))


def _checker() -> Child:
    """A process that checks."""
    return Child("-m", "nexus_xr.inspection._checking_process", variables=environment())


def _ask(
    checker: Child, where: Where, runs: list[PieceRange] | None, take: Callable[[Sequence[Any]], None]
) -> str | None:
    """Have a question answered; gives how the process ended, if it did so in the middle of that."""
    content = pickle.dumps((where, runs))
    try:
        checker.send(LENGTH.pack(len(content)) + content)
        lines = _lines(checker)
        while (said := json.loads(next(lines))) != ["done"]:
            take(said)
    except ChildError as error:
        return str(error)
    return None


def _lines(checker: Child) -> Iterator[bytes]:
    """Lines as they come."""
    buffer, rest = memoryview(bytearray(_HEARD_BYTES)), b""
    while True:
        count = checker.receive_into(buffer)
        *lines, rest = (rest + buffer[:count]).split(b"\n")
        yield from lines
