"""``nexus-xr check``: whether all of a file can be read."""

from __future__ import annotations

from typing import Any

import click

from nexus_xr.inspection import check as checking
from nexus_xr.inspection.check import CheckedDataset, CheckReport
from nexus_xr.inspection.pieces import BadPiece

from .arguments import as_json, file_argument, storage_options
from .progress import progress_bar
from .screen import Screen, print_json, screen, show_list
from .words import size_in_words

# Of each dataset, so many chunks are told.
_MOST_LINES = 10


@click.command()
@file_argument
@click.option("-p", "--processes", type=click.IntRange(min=1), help="How many read at once; by default, one a CPU.")
@storage_options
@as_json
@click.pass_context
def check(
    context: click.Context, file: str, processes: int | None, storage_options: dict[str, Any] | None, as_json: bool
) -> None:
    """Read and verify every chunk of every dataset. The exit status is 0 where all can be read, and else 1."""
    with progress_bar(f"Checking {file}") as progress:
        report = checking.check(file, processes=processes, progress=progress, storage_options=storage_options)
    if as_json:
        print_json(report)
    else:
        _show(report, screen())
    context.exit(0 if report.is_sound else 1)


def _show(report: CheckReport, on: Screen) -> None:
    pieces = sum(dataset.pieces for dataset in report.datasets)
    size = size_in_words(sum(dataset.nbytes for dataset in report.datasets))
    on.heading(report.file, f"{len(report.datasets)} datasets, {pieces} chunks, {size} of values")
    for dataset in report.damaged:
        on.heading(f"\n{dataset.path}", f"{len(dataset.failures)} of {max(dataset.pieces, 1)} can't be read")
        show_list([_in_words(each) for each in dataset.failures], on, _MOST_LINES, "--json")
    if report.faults:
        on.heading("\nDamaged or missing")
        show_list([str(each) for each in report.faults], on, _MOST_LINES, "--json")
    if report.unread:
        on.heading("\nNot read, as NumPy has no such type")
        show_list([str(each) for each in report.unread], on, _MOST_LINES, "--json")
    whole = "All else" if report.unread else "All of it"
    on.heading(f"\n{whole} can be read." if report.is_sound else f"\n{_verdict(report.damaged, report)}")


def _verdict(damaged: tuple[CheckedDataset, ...], report: CheckReport) -> str:
    count = sum(len(dataset.failures) for dataset in damaged)
    parts = [f"{count} failures in {len(damaged)} datasets"] if damaged else []
    parts += [f"{len(report.faults)} objects or links damaged or missing"] if report.faults else []
    return f"Not all of it can be read: {', '.join(parts)}."


def _in_words(failure: BadPiece) -> str:
    chunk = "" if failure.chunk is None else f"chunk {failure.chunk}"
    where = "" if failure.offset is None else f" at byte {failure.offset}"
    return ": ".join(filter(None, [f"{chunk}{where}", failure.reason]))
