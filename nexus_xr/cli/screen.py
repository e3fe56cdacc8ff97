"""What commands print: headings and tables, by rich in a terminal, plain text elsewhere and where there is no rich."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any, Protocol

import click

from nexus_xr.plotting.letters import printable, printable_lines

_INDENT = "  "
_GAP = "  "
# How many colours a terminal has, by rich's word for it; of fewer no image is made.
_COLOURS = {"256": 256, "truecolor": 1 << 24}
# Of which nobody knows that they have more letters than ASCII's; the console of Linux has few.
_SIMPLE_TERMINALS = ("dumb", "linux")


class Screen(Protocol):
    """Where commands print."""

    def heading(self, name: str, rest: str = "") -> None:
        """A line above what belongs to it."""

    def table(self, rows: Iterable[Sequence[str]], names: Sequence[str] = ()) -> None:
        """Rows below a heading, in columns."""

    def line(self, text: str, mark: str) -> None:
        """A line below a heading, behind a mark."""


def show_list(lines: Sequence[str], on: Screen, most: int | None, option: str) -> None:
    """A line for each; of more than are told at most, the first ones, and by which option all are."""
    for line in lines[:most]:
        on.line(line, "- ")
    if most is not None and len(lines) > most:
        on.line(f"{len(lines) - most} more; {option} tells all", "… ")


def screen() -> Screen:
    """That of this process."""
    return _Terminal() if _in_terminal() and has_rich() else _Text()


def _in_terminal() -> bool:
    return sys.stdout.isatty()


def has_rich() -> bool:
    """Whether rich is installed."""
    return find_spec("rich") is not None


def colours() -> int:
    """How many colours the terminal has for images: 256 or more, or none."""
    if not _in_terminal() or not has_rich():
        return 0
    from rich.console import Console

    console = Console()
    return 0 if console.no_color else _COLOURS.get(console.color_system or "", 0)


def is_ascii() -> bool:
    """Whether the terminal, or who reads this process's output, may know no other letters."""
    return os.environ.get("TERM") in _SIMPLE_TERMINALS or not _has_letters(sys.stdout.encoding)


def _has_letters(encoding: str | None) -> bool:
    try:
        "│⣿▀".encode(encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def print_json(content: Any) -> None:
    """Print a dataclass, or a list of them, as JSON."""
    plain = [asdict(each) for each in content] if isinstance(content, list) else asdict(content)
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeError:  # a name in no encoding, or one in letters that the reader hasn't
        text = json.dumps(plain, indent=1, allow_nan=False)
    click.echo(text)


class _Text:
    """Plain text, in which nothing is cut off."""

    def heading(self, name: str, rest: str = "") -> None:
        click.echo(printable_lines(f"{name}{_GAP}{rest}" if rest else name))

    def table(self, rows: Iterable[Sequence[str]], names: Sequence[str] = ()) -> None:
        rows = [*([names] if names else []), *rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo(_INDENT + _GAP.join(cells).rstrip())

    def line(self, text: str, mark: str) -> None:
        click.echo(f"{_INDENT}{mark}{printable(text)}")


class _Terminal:
    """A terminal, in whose width everything is wrapped."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(highlight=False)

    def heading(self, name: str, rest: str = "") -> None:
        from rich.text import Text

        texts = printable_lines(name), printable_lines(f"{_GAP}{rest}" if rest else "")
        self._console.print(Text.assemble((texts[0], "bold"), texts[1]))

    def table(self, rows: Iterable[Sequence[str]], names: Sequence[str] = ()) -> None:
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=bool(names), padding=(0, len(_GAP), 0, 0), header_style="dim")
        for row in rows:
            while len(table.columns) < len(row):
                at = len(table.columns)
                table.add_column(names[at] if names else "", style="" if names or at else "dim", overflow="fold")
            table.add_row(*(Text(printable(cell)) for cell in row))
        self._console.print(Padding(table, (0, 0, 0, len(_INDENT))))

    def line(self, text: str, mark: str) -> None:
        self.table([(mark.strip(), text)])
