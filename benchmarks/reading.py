"""Reading stacks of detector frames, 1024 x 1024 counts of 2 bytes and one frame a chunk, beside other readers."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .cases import SLAB, Case, Part, Stack, frame_stack, masked, row_stack, window_of
from .contestants import BLOCK_LIMIT, DASK_ALONE, H5PY_DASK, H5PY_LOOP, LIMIT, NEXUS_XR, REDUCED, Opened, Reader
from .harness import Column, Contestant, Result, Work, compete
from .plotting import Bar, Panel
from .probing import Probe, probe

# A full run has 256 frames, or 200,000 rows of 1 KiB.
FULL_MEBIBYTES = 512
FULL_ROWS = 200_000
FEW_FRAMES = 16
FEW_ROWS = 2_000
SINGLE_READS = 20
FEW_SINGLE_READS = 2
WINDOW = 10


@dataclass(frozen=True)
class Task:
    """What is done with one stack.

    Parameters
    ----------
    stack
        What is read.
    work
        Does it with an open stack.
    check
        Tells what is wrong with the answer.
    amount
        How much it is: MiB of decoded values, or single reads.
    reduces
        Whether the stack is opened to be reduced by dask.
    looks_new
        Whether the file looks as if it was never read before, so that nothing kept of an earlier turn is used.
    """

    stack: Stack
    work: Callable[[Opened], Any]
    check: Callable[[Any], str | None]
    amount: float
    reduces: bool = False
    looks_new: bool = False


@dataclass(frozen=True)
class ReadingKind:
    """A way to read.

    Parameters
    ----------
    title
        What is done, in a line.
    task
        Makes the task of a case for a size in MiB; few instead of all where that is asked for.
    reference
        The reader whose speed the others' are given in.
    single
        Whether the figure is milliseconds a read, and not MiB/s.
    limited
        Whether the limit takes part.
    cases
        The cases that make sense, all if empty.
    readers
        Who takes part; all for whom it makes sense if empty.
    """

    title: str
    task: Callable[[Case, int, bool], Task]
    reference: Reader
    single: bool = False
    limited: bool = False
    cases: tuple[str, ...] = ()
    readers: tuple[Reader, ...] = ()

    def has(self, reader: Reader) -> bool:
        """Whether a reader takes part: those that are about sums, or dask, don't where there are none."""
        if self.readers:
            return reader in self.readers
        if reader in (H5PY_DASK, DASK_ALONE, BLOCK_LIMIT, REDUCED):
            return self.reference is H5PY_DASK
        return reader is not LIMIT or self.limited


def _frames(size: int) -> int:
    return max(1, size // 2)


def _stack(case: Case, size: int, few: bool) -> Stack:
    return frame_stack(case, min(FEW_FRAMES, _frames(size)) if few else _frames(size))


def _sum_task(case: Case, size: int, few: bool) -> Task:
    stack = _stack(case, size, few)
    return Task(
        stack,
        lambda opened: opened.total(),
        partial(_right, stack.total()),
        stack.mebibytes,
        reduces=True,
        looks_new=True,
    )


def _part_task(part_of: Callable[[tuple[int, ...]], Part], case: Case, size: int, few: bool) -> Task:
    stack = _stack(case, size, few)
    part = part_of(stack.shape[1:])

    def work(opened: Opened) -> int:
        assert opened.total_of is not None
        return opened.total_of(part)

    return Task(stack, work, partial(_right, stack.total_of(part)), stack.mebibytes, reduces=True, looks_new=True)


def _slab_task(case: Case, size: int, few: bool) -> Task:
    stack = _stack(case, size, few)
    count = min(SLAB, stack.count)
    return Task(
        stack,
        lambda opened: opened.read(slice(0, count)),
        lambda values: _right(stack.total(count), int(values.sum(dtype=np.uint64))),
        stack.mebibytes_of(count),
    )


def _small_task(case: Case, size: int, few: bool) -> Task:
    count = max(1, FULL_ROWS * size // FULL_MEBIBYTES)
    stack = row_stack(case, min(count, FEW_ROWS) if few else count)
    return Task(
        stack,
        lambda opened: opened.read(slice(None)),
        lambda values: _right(stack.total(), int(values.sum(dtype=np.uint64))),
        stack.mebibytes,
        looks_new=True,
    )


def _single_task(part: Callable[[int, int, int], Any], case: Case, size: int, few: bool) -> Task:
    stack = _stack(case, size, few)
    count = FEW_SINGLE_READS if few else SINGLE_READS
    highest = (stack.count, stack.shape[1] - WINDOW, stack.shape[2] - WINDOW)
    places = np.random.default_rng(4).integers(0, highest, (count, 3)).tolist()
    selections = [part(*place) for place in places]

    def check(answers: list[Any]) -> str | None:
        expected = sum(
            int(stack.frame(number)[selection[1:]].sum())
            for (number, *_), selection in zip(places, selections, strict=True)
        )
        return _right(expected, sum(int(np.sum(answer, dtype=np.uint64)) for answer in answers))

    return Task(stack, lambda opened: [opened.read(selection) for selection in selections], check, count)


def _right(expected: int, found: int) -> str | None:
    return None if found == expected else f"wrong sum: {found} in place of {expected}"


def _one_frame(frame: int, row: int, column: int) -> Any:
    return np.s_[frame, :, :]


def _one_window(frame: int, row: int, column: int) -> Any:
    return np.s_[frame, row : row + WINDOW, column : column + WINDOW]


def _one_element(frame: int, row: int, column: int) -> Any:
    return np.s_[frame, row, column]


_SUM_PARTS = (NEXUS_XR, REDUCED, H5PY_DASK, LIMIT)
KINDS = {
    "sum": ReadingKind(
        "sum of the whole stack, in dask's threads where there are some", _sum_task, H5PY_DASK, limited=True
    ),
    "window sum": ReadingKind(
        "sum of the middle of each frame", partial(_part_task, window_of), H5PY_DASK, limited=True, readers=_SUM_PARTS
    ),
    "masked sum": ReadingKind(
        "sum of all but a tenth of the pixels", partial(_part_task, masked), H5PY_DASK, limited=True, readers=_SUM_PARTS
    ),
    "slab": ReadingKind(
        f"values of the first {SLAB} frames as one NumPy array, no dask", _slab_task, H5PY_LOOP, limited=True
    ),
    "frame": ReadingKind("one frame at a random place", partial(_single_task, _one_frame), H5PY_LOOP, single=True),
    "window": ReadingKind(
        f"{WINDOW} x {WINDOW} elements of one frame at a random place",
        partial(_single_task, _one_window),
        H5PY_LOOP,
        single=True,
    ),
    "element": ReadingKind(
        "one element at a random place", partial(_single_task, _one_element), H5PY_LOOP, single=True
    ),
    "small": ReadingKind("all values of a stack of chunks of 1 KiB", _small_task, H5PY_LOOP, cases=("none", "gzip")),
}
WHATS = {
    "sum": ("sum",),
    "parts": ("window sum", "masked sum"),
    "slab": ("slab",),
    "single": ("frame", "window", "element"),
    "small": ("small",),
    "all": tuple(KINDS),
}


@dataclass(frozen=True)
class Table:
    """The results of one kind of reading and one case."""

    kind: str
    case: Case
    stack: Stack
    results: list[Result]

    @property
    def title(self) -> str:
        shape = " x ".join(map(str, self.stack.shape))
        stored = self.stack.path.stat().st_size >> 20
        size = f"{self.stack.mebibytes:.0f} MiB, {stored} MiB in the file"
        return f"{self.kind}, {self.case.name}: {KINDS[self.kind].title} ({shape}; {size})"

    def rows(self) -> list[dict[str, Any]]:
        """All figures, for JSON."""
        return [{"what": self.kind, "case": self.case.name, **vars(result)} for result in self.results]


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    size: int
    repeat: int
    budget: float
    patience: float
    readers: tuple[Reader, ...]
    cases: tuple[Case, ...]


def run(kind_name: str, options: Options) -> Iterator[Table]:
    """Measure one kind of reading, case by case."""
    kind = KINDS[kind_name]
    cases = [case for case in options.cases if not kind.cases or case.name in kind.cases]
    readers = [reader for reader in options.readers if kind.has(reader)]
    for case in cases:
        kind.task(case, options.size, True)  # written here, and not by several
    probes = probe(readers, kind_name, cases, options.size, options.budget)
    for case in cases:
        contestants = [contestant(kind, case, reader, options, probes[reader.name, case.name]) for reader in readers]
        task = kind.task(case, options.size, False)
        results = compete(contestants, options.repeat, options.budget, options.patience)
        yield Table(kind_name, case, task.stack, results)


def contestant(kind: ReadingKind, case: Case, reader: Reader, options: Options, probed: Probe) -> Contestant:
    """A reader as it takes part in one case, given how it did on the small file."""
    full, few = (kind.task(case, options.size, is_few) for is_few in (False, True))
    note = case.zarr_note if reader.name.startswith("Zarr") else ""
    small = _of_task(reader, few, "; ".join(text for text in (note, _how_few(kind, few)) if text))
    if probed.failure is not None:
        return replace(small, note=note, failure=probed.failure)
    if probed.seconds * full.amount / few.amount > options.budget:
        return small
    return replace(_of_task(reader, full, note), substitute=small)


def _how_few(kind: ReadingKind, task: Task) -> str:
    frames = f"measured on {task.stack.count} chunks"
    return f"{frames}, {task.amount:.0f} reads" if kind.single else frames


def _of_task(reader: Reader, task: Task, note: str) -> Contestant:
    return Contestant(reader.name, partial(prepared, reader, task), reader.package, task.check, task.amount, note)


@contextmanager
def prepared(reader: Reader, task: Task) -> Iterator[Work]:
    """Open the stack of a task with a reader, and give the task's work."""
    if task.looks_new:
        os.utime(task.stack.path)
    with reader.open(task.stack, task.reduces) as opened:
        if not task.looks_new:
            opened.read(slice(0, 1))
        yield partial(task.work, opened)


def columns(table: Table) -> Sequence[Column]:
    """The figures of a table: a rate or a time, and the ratios."""
    kind = KINDS[table.kind]
    base = _median_rate(table.results, kind.reference)
    shown = [_time_column(*each) for each in _TIMES] if kind.single else [_rate_column(*each) for each in _RATES]
    shown.append(Column(f"x {kind.reference.name}", lambda result: _share(result, base, "{:.2f}")))
    if kind.limited:
        limit = _median_rate(table.results, LIMIT)
        shown.append(Column("of limit", lambda result: _share(result, limit, "{:.0%}")))
    shown.append(Column("opened ms", lambda result: f"{statistics.median(result.opening_seconds) * 1e3:.1f}"))
    shown.append(Column("stolen", lambda result: f"{statistics.median(result.stolen):.0%}"))
    return shown


_Choose = Callable[[list[float]], float]
# Headings, and which of the turns' seconds give the figure.
_RATES: tuple[tuple[str, _Choose], ...] = (("MiB/s", statistics.median), ("min", max), ("max", min))
_TIMES: tuple[tuple[str, _Choose], ...] = (("ms a read", statistics.median), ("min", min), ("max", max))


def _rate_column(title: str, choose: _Choose) -> Column:
    return Column(title, lambda result: f"{result.amount / choose(result.seconds):.0f}")


def _time_column(title: str, choose: _Choose) -> Column:
    return Column(title, lambda result: f"{choose(result.seconds) / result.amount * 1e3:.3f}")


def _rate(result: Result) -> float | None:
    return result.amount / result.median if result.median else None


def _median_rate(results: Sequence[Result], reader: Reader) -> float | None:
    return next((_rate(result) for result in results if result.name == reader.name), None)


def _share(result: Result, base: float | None, form: str) -> str:
    rate = _rate(result)
    return form.format(rate / base) if rate and base else "-"


def panel(table: Table) -> Panel:
    """The table as a picture: the faster, the longer the bar."""
    kind = KINDS[table.kind]
    limit = _median_rate(table.results, LIMIT) if kind.limited else None
    bars = [_bar(result, kind.single) for result in table.results if result.name != LIMIT.name]
    reference = (limit, f"limit {limit:.0f}") if limit else None
    title = f"{table.kind}, {table.case.name}" if table.kind != "sum" else table.case.name
    return Panel(title, bars, reference)


def _bar(result: Result, single: bool) -> Bar:
    rate = _rate(result)
    if rate is None:
        return Bar(result.name, None, result.short_failure, result.name == NEXUS_XR.name)
    mark = "*" if "measured on" in result.note else ""
    text = f"{1e3 / rate:.3g} ms{mark}" if single else f"{rate:.0f}{mark}"
    return Bar(result.name, rate, text, result.name == NEXUS_XR.name)
