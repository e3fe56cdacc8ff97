"""How far something is, shown in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from .screen import has_rich


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """What is called with how much is done, and of how much; it shows on the standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
    elif has_rich():
        with _by_rich(title) as advance:
            yield advance
    else:
        with _by_click(title) as advance:
            yield advance


@contextmanager
def _by_rich(title: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _by_click(title: str) -> Iterator[Callable[[int, int], None]]:
    with click.progressbar(length=1000, label=title, file=sys.stderr) as bar:
        yield lambda done, total: bar.update(1000 * done // max(total, 1) - bar.pos)
