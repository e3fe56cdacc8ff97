"""``nexus-xr plot``: a picture of the default plot."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import Any

import click

from .arguments import PATH, file_argument, overwrite, storage_options
from .extras import require


@click.command()
@file_argument
@click.argument("picture", type=PATH, required=False)
@click.option("--path", "dataset_path", help="The group, or dataset, to draw; by default, the default plot.")
@overwrite
@storage_options
def plot(
    file: str,
    picture: str | None,
    dataset_path: str | None,
    overwrite: bool,
    storage_options: dict[str, Any] | None,
) -> None:
    """Draw the default plot into PICTURE, by default a PNG of FILE's name in this folder."""
    require("plot")
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import xarray as xr

    picture = picture or f"{PurePath(file).stem}.png"
    if os.path.lexists(picture) and not overwrite:
        raise click.ClickException(f"{picture}: is there already; choose another name, or replace it with --overwrite")
    with xr.open_dataset(
        file, engine="nexus", dataset_path=dataset_path, storage_options=storage_options, chunks={}
    ) as dataset:
        if not dataset.data_vars:
            raise click.ClickException(f"{file}: there is no signal to draw; name a dataset with --path")
        figure = plt.figure(layout="constrained")
        try:
            dataset.nexus.plot()
            figure.savefig(picture, dpi=150)
        except (OSError, ValueError) as error:
            raise click.ClickException(f"{picture}: can't be drawn ({error})") from error
        finally:
            plt.close(figure)
    click.echo(f"{picture} is there")
