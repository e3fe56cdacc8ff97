"""``nexus-xr convert``: to other formats and back."""

from __future__ import annotations

from typing import Any

import click

from .arguments import PATH, compression, overwrite, storage_options


@click.command()
@click.argument("source", type=PATH)
@click.argument("target", type=PATH)
@click.option("--path", "dataset_path", help="The one group of a NeXus file to convert, by its path.")
@overwrite
@compression
@storage_options
def convert(
    source: str,
    target: str,
    dataset_path: str | None,
    overwrite: bool,
    compression: str,
    storage_options: dict[str, Any] | None,
) -> None:
    """Convert NeXus to Zarr, netCDF, CSV or JSON, or one of these to NeXus; the names tell the formats.

    A source whose name tells none is read as NeXus where it is HDF5. Of a Zarr copy that comes back, each group of data
    is in an entry of its own, at /entry1/<signal>, /entry2/<signal> and so on, and the rest in auxiliary there.
    """
    from nexus_xr.conversion import convert

    convert(
        source,
        target,
        dataset_path=dataset_path,
        overwrite=overwrite,
        compression=compression,
        storage_options=storage_options,
    )
    click.echo(f"{target} is there")
