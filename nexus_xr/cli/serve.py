"""``nexus-xr serve``: folders over HTTP."""

from __future__ import annotations

import click

from nexus_xr.extras import require

# Said here once more, as it is not to be imported for the help; a test compares them.
HOST, PORT = "127.0.0.1", 8745


@click.command()
@click.argument("folders", type=click.Path(exists=True, file_okay=False), nargs=-1, required=True)
@click.option("--host", default=HOST, show_default=True, help="Where it listens; 0.0.0.0 for all the world.")
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 for one that is free.")
@click.option("--workers", type=click.IntRange(0), default=0, help="Processes that read; by default, one a CPU.")
@click.option("--token", help="What clients have to show; by default, a random one.")
@click.option("--no-token", is_flag=True, help="Have clients show none.")
@click.option("--name", "hosts", multiple=True, help="A name under which it is reached, beside HOST; can be repeated.")
@click.option("--origin", "origins", multiple=True, help="An origin of pages that may use it; can be repeated.")
@click.option("--root-path", default="", help="The path under which a proxy has it.")
def serve(
    folders: tuple[str, ...],
    host: str,
    port: int,
    workers: int,
    token: str | None,
    no_token: bool,
    hosts: tuple[str, ...],
    origins: tuple[str, ...],
    root_path: str,
) -> None:
    """Serve the files below FOLDERS over HTTP, with a viewer for browsers."""
    require("server")
    if token is not None and no_token:
        raise click.UsageError("--token and --no-token exclude each other")
    from nexus_xr.server.serving import serve

    serve(
        folders,
        host,
        port,
        workers=workers,
        token=False if no_token else True if token is None else token,
        hosts=hosts,
        origins=origins,
        root_path=root_path,
    )
