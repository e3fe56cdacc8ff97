"""Command line of the benchmarks: ``python -m benchmarks open [--size N] [--repeat N] [--json FILE]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import opening
from .harness import compete, machine, table, write_json


def main() -> None:
    """Run the benchmark that is named, print its table, and save it where asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure nexus_xr beside its peers.")
    commands = parser.add_subparsers(dest="benchmark", required=True)
    command = commands.add_parser("open", help=opening.__doc__)
    command.add_argument("--size", type=int, default=500, help="number of groups (default: %(default)s)")
    command.add_argument(
        "--repeat", type=int, default=5, help="counted turns of each contestant (default: %(default)s)"
    )
    command.add_argument("--json", type=Path, help="file to save all figures in")
    arguments = parser.parse_args()

    path = opening.make_file(arguments.size)
    results = compete(opening.CONTESTANTS, path, arguments.repeat)
    print(f"open: {opening.__doc__}\n{machine()}\n")
    print(table(results, opening.REFERENCE))
    if arguments.json is not None:
        write_json(arguments.json, f"open, {arguments.size} groups", results)


if __name__ == "__main__":
    main()
