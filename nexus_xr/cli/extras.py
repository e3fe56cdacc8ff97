"""Packages that only some commands need: which extra brings them."""

from __future__ import annotations

from importlib.util import find_spec

import click

# By the name of the extra, what it is known to be there by.
_EXTRAS = {
    "plot": ("matplotlib",),
    "server": ("starlette", "uvicorn", "orjson", "httptools"),
    "zarr": ("zarr",),
    "netcdf": ("h5netcdf",),
}


def require(extra: str) -> None:
    """Raise an error that says what to install, unless what an extra brings is there."""
    missing = [name for name in _EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise click.ClickException(f"this takes {', '.join(missing)}: pip install 'nexus-xr[{extra}]'")
