"""``nexus-xr tree``: all that a file holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from nexus_xr.inspection.outline import OutlineNode, outline
from nexus_xr.plotting.letters import number, printable

from .arguments import as_json, file_argument, storage_options
from .screen import print_json
from .words import shape_in_words

_MOST_VALUE = 60


@click.command()
@file_argument
@click.argument("group", default="/")
@click.option("-d", "--depth", type=click.IntRange(min=0), help="Tell so many levels below GROUP.")
@storage_options
@as_json
def tree(file: str, group: str, depth: int | None, storage_options: dict[str, Any] | None, as_json: bool) -> None:
    """Show what a file holds, from its root or from GROUP on."""
    root = outline(file, group, depth=depth, storage_options=storage_options)
    if as_json:
        print_json(root)
        return
    click.echo(_line(root, root.path if root.path != "/" else file))
    for line in _lines(root, ""):
        click.echo(line)


def _lines(node: OutlineNode, indent: str) -> Iterator[str]:
    for member in node.members:
        is_last = member is node.members[-1]
        yield f"{indent}{'└── ' if is_last else '├── '}{_line(member, member.name)}"
        yield from _lines(member, f"{indent}{'    ' if is_last else '│   '}")


def _line(node: OutlineNode, name: str) -> str:
    words = [printable(name), *map(printable, _words(node))]
    words[0] = click.style(words[0], bold=node.kind == "group")
    return "  ".join(filter(None, words))


def _words(node: OutlineNode) -> Iterator[str]:
    yield node.nx_class or ""
    if node.value is not None:
        value = number(node.value)
        yield value if len(value) <= _MOST_VALUE else f"{value[:_MOST_VALUE]}…"
        yield node.units or ""
    elif node.shape is not None:
        yield f"{shape_in_words(node.shape)} {node.dtype}"
        yield node.units or ""
    if node.target is not None:
        yield f"→ {node.target}"
