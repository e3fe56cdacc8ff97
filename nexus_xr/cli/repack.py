"""``nexus-xr repack``: a file written anew."""

from __future__ import annotations

import os

import click

from .arguments import PATH, compression, file_argument, overwrite
from .progress import progress_bar
from .words import size_in_words


@click.command()
@file_argument
@click.argument("target", type=PATH, required=False)
@compression
@click.option("--rechunk", is_flag=True, help="Choose chunks anew: whole frames, or parts or groups of them.")
@overwrite
@click.option("-t", "--threads", type=click.IntRange(min=1), help="Most threads; by default, one a CPU.")
def repack(
    file: str, target: str | None, compression: str | None, rechunk: bool, overwrite: bool, threads: int | None
) -> None:
    """Write FILE anew, to TARGET or in its own place, compressed otherwise and without unused room."""
    from nexus_xr.writing.copies.repack import AUTO, repack
    from nexus_xr.writing.defaults import KEEP

    was = f", was {size_in_words(os.path.getsize(file))}" if os.path.exists(file) else ""  # of a URL it isn't known
    with progress_bar(f"Repacking {file}") as progress:
        repack(
            file,
            target,
            compression=compression,
            chunks=AUTO if rechunk else KEEP,
            overwrite=overwrite,
            num_threads=threads,
            progress=progress,
        )
    click.echo(f"{target or file}: {size_in_words(os.path.getsize(target or file))}{was}")
