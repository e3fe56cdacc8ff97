"""The command ``nexus-xr``, as its script and ``python -m nexus_xr`` begin it."""

from __future__ import annotations

import sys

from nexus_xr.cli import INTERRUPTED


def main() -> None:
    """Do what the command line says; Ctrl-C ends it without a word, also while modules are still imported."""
    try:
        from nexus_xr.cli.main import main as command

        command(prog_name="nexus-xr")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
