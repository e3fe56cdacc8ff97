"""The command ``nexus-xr``: which commands there are, and what is said where one can't do what it is asked."""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
import warnings
from typing import Any, NoReturn, TextIO

import click

from nexus_xr._version import __version__
from nexus_xr.cli import INTERRUPTED
from nexus_xr.errors import NexusError
from nexus_xr.plotting.letters import printable_lines

# Each command is a module of this folder, imported when it is asked for: `info` is to answer at once.
_COMMANDS = ("info", "tree", "plot", "check", "convert", "repack", "consolidate", "serve")

# How errors of functions name arguments, and what these are called here. A name by itself may be that of a file: it is
# one of an argument before its value at the beginning, or where it is advised.
_IN_OPTIONS = tuple(
    (re.compile(said), option)
    for said, option in (
        (r"^compression=(?='[^']*': |\"[^\"]*\": )", "--compression "),
        (r"^dataset_path=(?='[^']*': |\"[^\"]*\": )", "--path "),
        (r"(?<= with )dataset_path(?=$|, )", "--path"),
        (r"(?<=, or replace it with )overwrite=True$", "--overwrite"),
        (r"(?<=: is a folder; )name a file in it$", "name a file in it, or show all of it with nexus-xr serve"),
        (r"(?<=, )an object of hdf5plugin, or None$", "keep, or none"),
        (
            r"(?<=; )give one, or True for a random one, or False to let everybody in$",
            "give one, or leave --token out for a random one, or give --no-token to let everybody in",
        ),
    )
)


# What the system says where there is no room for what is written, to whatever.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


class _Commands(click.Group):
    """Imports a command when it is used."""

    def main(self, *args: Any, **options: Any) -> Any:
        if sys.stderr is None:  # by whoever wants to hear nothing
            sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # as long as the process lives
        if sys.stdout is None:
            _end_unheard("standard output is closed")
        try:
            return super().main(*args, **options)
        except OSError as error:
            if error.filename is not None or error.errno not in _FULL:
                raise
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the rest goes at the end
            _end_unheard(error.strerror or str(error))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"nexus_xr.cli.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # names in letters that it hasn't
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt:
                ctx.exit(INTERRUPTED)
            except NexusError as error:
                raise click.ClickException(_in_options(printable_lines(str(error)))) from error
            except MemoryError as error:
                raise click.ClickException(f"there isn't enough memory ({error})") from error


def _end_unheard(reason: str) -> NoReturn:
    click.echo(f"Error: the standard output, or a file, can't be written to ({reason})", err=True)
    sys.exit(1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    click.echo(printable_lines(f"Warning: {message}"), file=sys.stderr)


def _in_options(text: str) -> str:
    """What functions say of their arguments, as what commands call them."""
    for said, option in _IN_OPTIONS:
        text = said.sub(option, text)
    return text


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="nexus-xr")
def main() -> None:
    """Look at NeXus files, check, convert and serve them.

    A FILE is a path, or a URL that fsspec knows (s3://, https://).
    """
