"""Arguments and options that several commands have."""

from __future__ import annotations

import json
from typing import Any

import click

# Completed as a path is; a URL is taken as it is, and what isn't to be read is told of by what opens it.
PATH = click.Path(readable=False, path_type=str)
file_argument = click.argument("file", type=PATH)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead.")


def _mapping(_: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, Any] | None:
    """Options of the form NAME=VALUE, a value being JSON where it can be."""
    options: dict[str, Any] = {}
    for each in given:
        name, is_one, value = each.partition("=")
        if not is_one:
            raise click.BadParameter(f"{each!r}: expected NAME=VALUE", param=parameter)
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options or None


storage_options = click.option(
    "-o",
    "--storage-option",
    "storage_options",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_mapping,
    help="An option for the file system of a URL, such as anon=true; can be repeated.",
)
overwrite = click.option("--overwrite", is_flag=True, help="Replace a target that is there.")
compression = click.option(
    "-c",
    "--compression",
    default="keep",
    show_default=True,
    metavar="FILTER",
    help="gzip, lzf, zstd, bitshuffle, blosc, ...; none for none; keep for what the source has.",
    callback=lambda _context, _parameter, given: None if given == "none" else given,
)
