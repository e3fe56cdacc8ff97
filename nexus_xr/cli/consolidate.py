"""``nexus-xr consolidate``: one file of one that has its values in others."""

from __future__ import annotations

import click

from .arguments import file_argument

_INCOMPLETE = 1


@click.command()
@file_argument
@click.option("-t", "--threads", type=click.IntRange(min=1), help="Most threads; by default, one a CPU.")
@click.pass_context
def consolidate(ctx: click.Context, file: str, threads: int | None) -> None:
    """Bring what virtual datasets and external links lead to into the file itself."""
    from nexus_xr.writing.copies.consolidate import bring_in

    if not bring_in(file, threads):
        ctx.exit(_INCOMPLETE)
    click.echo(f"{file} is one file")
