"""``nexus-xr info``: what a file is about, on one screen."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import click

from nexus_xr.inspection.description import ArrayDescription, FileDescription, OtherData, describe
from nexus_xr.plotting.letters import number

from .arguments import as_json, file_argument, storage_options
from .screen import Screen, print_json, screen, show_list
from .words import dims_in_words, shape_in_words, size_in_words

# Of what there is beside the default plot, and of what could not be honoured, so much is told on one screen.
_MOST_LINES = 8
_AXIS = "axis"


@click.command()
@file_argument
@storage_options
@as_json
@click.option("--all", "shows_all", is_flag=True, help="Also what would take more than a screen.")
def info(file: str, storage_options: dict[str, Any] | None, as_json: bool, shows_all: bool) -> None:
    """Tell what a file is about: default plot, axes, storage, and what could not be honoured."""
    description = describe(file, storage_options=storage_options)
    if as_json:
        print_json(description)
    else:
        _show(description, screen(), None if shows_all else _MOST_LINES)


def _show(description: FileDescription, on: Screen, most: int | None) -> None:
    on.heading(description.file, "" if description.nbytes is None else size_in_words(description.nbytes))
    if description.facts:
        on.heading(f"\nEntry {description.entry}")
        on.table(description.facts.items())
    if description.default is not None:
        on.heading(f"\nDefault plot {description.default.path}")
        arrays = description.default.arrays
        if arrays:
            on.table(map(_row, arrays), ("", "dimensions", "type", "from … to", "units"))
        stored = [(array.name, _storage(array)) for array in arrays if array.role != _AXIS]
        if stored:
            on.heading("\nStored")
            on.table(stored)
    else:
        on.heading("\nNo default plot")
        on.line(_without_default(description.others), "- ")
    _show_others(description, on, most)
    if description.diagnostics:
        on.heading("\nNot honoured")
        show_list([str(each) for each in description.diagnostics], on, most, "--all")


def _without_default(others: Sequence[OtherData]) -> str:
    if not others:
        return "there are no arrays; `nexus-xr tree` shows what there is"
    named = max(others, key=lambda each: len(each.shape or ()))  # most likely what was measured
    return f"name what to draw or to open: `nexus-xr plot FILE --path {shlex.quote(named.path)}`"


def _row(array: ArrayDescription) -> tuple[str, ...]:
    ends = "" if array.first is None else f"{number(array.first)} … {number(array.last)}"
    name = array.name if array.role == _AXIS else f"{array.name} ({array.role.partition(' of ')[0]})"
    return name, dims_in_words(array.dims, array.shape), array.dtype, ends, array.units or ""


def _storage(array: ArrayDescription) -> str:
    """How an array is stored, and how much smaller than its values."""
    how = f"chunks {shape_in_words(array.chunks)}" if array.chunks and array.layout == "chunked" else array.layout
    parts = [how, *array.filters]
    size, stored = size_in_words(array.nbytes), array.stored_bytes
    if stored is not None and stored != array.nbytes:
        ratio = f" ({array.nbytes / stored:.3g} to 1)" if stored else ""
        size += f" in {size_in_words(stored)}{ratio}"
    return ", ".join([*parts, size])


def _show_others(description: FileDescription, on: Screen, most: int | None) -> None:
    groups = [other for other in description.others if other.is_group]
    datasets = [other for other in description.others if not other.is_group]
    shown = [*groups, *datasets] if most is None or not groups else groups
    if shown:
        on.heading("\nOther data" if description.default else "\nData")
        on.table([(each.path, _in_words(each)) for each in shown[:most]])
    left = len(groups) + len(datasets) - len(shown[:most])
    if left and shown:
        on.line(f"{left} more; --all tells all, `nexus-xr tree` shows the whole file", "… ")


def _in_words(other: OtherData) -> str:
    shape = "" if other.shape is None else shape_in_words(other.shape)
    if not other.is_group:
        return shape
    return f"{other.signal}  {shape}" if other.signal else "no signal"
