"""``nexus-xr plot``: the default plot as a picture, or in the terminal."""

from __future__ import annotations

import shutil
import sys
from pathlib import PurePath
from typing import Any

import click

from nexus_xr.extras import require

from .arguments import PATH, file_argument, overwrite, storage_options
from .screen import colours, is_ascii


@click.command()
@file_argument
@click.argument("picture", type=PATH, required=False)
@click.option("--path", "dataset_path", help="The group, or dataset, to draw; by default, the default plot.")
@click.option("--text", "as_text", is_flag=True, help="Draw in letters, as a terminal is given without PICTURE.")
@overwrite
@storage_options
def plot(
    file: str,
    picture: str | None,
    dataset_path: str | None,
    as_text: bool,
    overwrite: bool,
    storage_options: dict[str, Any] | None,
) -> None:
    """Draw the default plot into PICTURE, or in the terminal.

    Where there is neither, it becomes a PNG of FILE's name in this folder.
    """
    if as_text and picture is not None:
        raise click.UsageError("--text and PICTURE exclude each other")
    if as_text or (picture is None and sys.stdout.isatty()):
        _show(file, dataset_path, storage_options)
        return
    require("plot")
    from nexus_xr.plotting.picture import plot

    picture = picture or f"{PurePath(file).stem}.png"
    plot(file, picture, dataset_path=dataset_path, overwrite=overwrite, storage_options=storage_options)
    click.echo(f"{picture} is there")


def _show(file: str, dataset_path: str | None, storage_options: dict[str, Any] | None) -> None:
    from nexus_xr.plotting.text_plot import text_plot

    width, height = shutil.get_terminal_size()
    drawn = text_plot(
        file,
        width=width,
        height=height - 1,  # what follows has a line, too
        colours=colours(),
        is_ascii=is_ascii(),
        dataset_path=dataset_path,
        storage_options=storage_options,
    )
    click.echo(drawn, color=True)
