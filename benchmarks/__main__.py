"""Command line of the benchmarks: ``python -m benchmarks SUBJECT``, for subjects see its ``--help``."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from . import cluster, contestants, memory, opening, reading, remote, service, travel, writing, zarr
from .cases import BY_NAME as CASES
from .cases import SLAB, Case
from .harness import cpu_count, machine_line, table, write_json
from .plotting import Panel, draw


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark that is named, print its tables, and save them where asked for."""
    warnings.simplefilter("ignore")  # of peers, about their own futures
    options = _parser().parse_args(arguments)
    print(f"{options.benchmark}: {options.about}\n{machine_line()}")
    options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure nexus_xr beside its peers.")
    commands = parser.add_subparsers(dest="benchmark", required=True)
    _add_read(_command(commands, "read", reading.__doc__, _read, repeat=5))
    _add_write(_command(commands, "write", writing.__doc__, _write, repeat=3))
    _add_stacks(_command(commands, "zarr", zarr.__doc__, _zarr, repeat=3), zarr.CASES)
    _add_open(_command(commands, "open", opening.__doc__, _open, repeat=5))
    _add_memory(_command(commands, "memory", memory.__doc__, _memory, repeat=1))
    command = _command(commands, "cluster", cluster.__doc__, _cluster, repeat=5)
    command.add_argument("--size", type=_positive, default=512, help="MiB of the stack (default: %(default)s)")
    _add_remote(_command(commands, "remote", remote.__doc__, _remote, repeat=3))
    _add_serve(_command(commands, "serve", service.__doc__, _serve, repeat=5))
    command = _command(commands, "travel", travel.__doc__, _travel, repeat=7)
    command.add_argument(
        "--size", type=_positive, default=travel.FULL_MEBIBYTES, help="MiB of a stack (default: %(default)s)"
    )
    return parser


def _command(
    commands: Any, name: str, about: str | None, run: Callable[[argparse.Namespace], None], repeat: int
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=about, description=about)
    command.set_defaults(run=run, about=about)
    command.add_argument(
        "--repeat", type=_positive, default=repeat, help="counted turns of each contestant (default: %(default)s)"
    )
    command.add_argument("--json", type=Path, help="file to save all figures in")
    command.add_argument("--plot", type=Path, help="file to save a picture in")
    return command


def _add_read(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--size", type=_positive, default=reading.FULL_MEBIBYTES, help="MiB of a stack (default: %(default)s)"
    )
    command.add_argument(
        "--what", choices=list(reading.WHATS), default="sum", help="how to read (default: %(default)s)"
    )
    command.add_argument(
        "--case", action="append", choices=list(CASES), help="a filter; may be repeated (default: all)"
    )
    command.add_argument(
        "--contestant",
        action="append",
        choices=list(contestants.BY_NAME),
        help="a reader; may be repeated (default: all)",
    )
    command.add_argument(
        "--budget",
        type=float,
        default=20,
        metavar="SECONDS",
        help="a turn that takes longer is measured on a smaller file (default: %(default)s)",
    )
    command.add_argument(
        "--patience",
        type=float,
        default=0,
        metavar="SECONDS",
        help="how long each table may wait for turns in which a virtual machine's host leaves it its CPUs "
        "(default: %(default)s)",
    )


def _add_write(command: argparse.ArgumentParser) -> None:
    _add_stacks(command, writing.CASES)
    command.add_argument(
        "--what", choices=list(writing.KINDS), default="array", help="what is written (default: %(default)s)"
    )


def _add_stacks(command: argparse.ArgumentParser, cases: Sequence[Case]) -> None:
    command.add_argument(
        "--size", type=_positive, default=writing.FULL_MEBIBYTES, help="MiB of a stack (default: %(default)s)"
    )
    names = [case.name for case in cases]
    command.add_argument("--case", action="append", choices=names, help="a filter; may be repeated (default: all)")
    command.add_argument(
        "--budget",
        type=float,
        default=20,
        metavar="SECONDS",
        help="a turn that takes longer is measured on a smaller stack (default: %(default)s)",
    )


def _add_open(command: argparse.ArgumentParser) -> None:
    whole = opening.Sizes()
    command.add_argument("--size", type=_positive, default=whole.groups, help="number of groups (default: %(default)s)")
    command.add_argument(
        "--entries", type=_positive, default=whole.entries, help="number of entries (default: %(default)s)"
    )
    command.add_argument("--files", type=_positive, default=whole.files, help="number of files (default: %(default)s)")


_MEMORY_READERS = [reader.name for reader in memory.READERS]


def _add_memory(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--size", type=_positive, nargs="+", default=[1, 8, 64], help="GiB of the stacks (default: 1 8 64)"
    )
    command.add_argument(
        "--contestant", action="append", choices=_MEMORY_READERS, help="a reader; may be repeated (default: all)"
    )
    command.add_argument(
        "--limit",
        type=_positive,
        metavar="MIB",
        help="memory that the system grants a load above the idle process; adds a load that reads everything at once",
    )
    command.add_argument(
        "--budget",
        type=float,
        default=120,
        metavar="SECONDS",
        help="a load that takes longer is stopped (default: %(default)s)",
    )


def _add_remote(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--size", type=_positive, default=remote.FULL_MEBIBYTES, help="MiB of a stack (default: %(default)s)"
    )
    command.add_argument(
        "--latency",
        type=_positive,
        default=remote.LATENCY_MS,
        metavar="MS",
        help="milliseconds that the server takes for each request (default: %(default)s)",
    )
    command.add_argument(
        "--case",
        action="append",
        choices=list(CASES),
        help=f"a filter; may be repeated (default: {', '.join(remote.STACKS)})",
    )


def _add_serve(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--size", type=_positive, default=service.FULL_MEBIBYTES, help="MiB of a stack (default: %(default)s)"
    )
    command.add_argument(
        "--case", choices=list(CASES), default="bitshuffle+LZ4", help="a filter (default: %(default)s)"
    )
    command.add_argument(
        "--what", action="append", choices=service.WORKS, help="what is asked; may be repeated (default: all)"
    )
    command.add_argument("--tiled", metavar="PYTHON", help="the Python of an environment with tiled, to take part")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, 1 or more")
    return number


def _read(options: argparse.Namespace) -> None:
    chosen = reading.Options(
        options.size,
        options.repeat,
        options.budget,
        options.patience,
        tuple(contestants.BY_NAME[name] for name in options.contestant or contestants.BY_NAME),
        tuple(CASES[name] for name in options.case or CASES),
    )
    tables: list[reading.Table] = []
    for kind in reading.WHATS[options.what]:
        for measured in reading.run(kind, chosen):
            print(f"\n{measured.title}\n{table(measured.results, reading.columns(measured))}", flush=True)
            tables.append(measured)
    rows = [row for measured in tables for row in measured.rows()]
    explanation = f"{_UNITS.get(options.what, 'MiB/s of decoded values')}; * measured on fewer chunks"
    _save(
        options,
        f"read {options.what}, {options.size} MiB",
        rows,
        _HEADLINES[options.what],
        explanation,
        [reading.panel(measured) for measured in tables],
    )


_UNITS = {
    "single": "Milliseconds a read; the longer the bar, the faster",
    "all": "MiB/s of decoded values, or milliseconds a read; the longer the bar, the faster",
}
_HEADLINES = {
    "sum": f"Summing a stack of detector frames on {cpu_count()} cores",
    "parts": f"Summing a part of each frame of a stack on {cpu_count()} cores",
    "slab": f"Reading {SLAB} detector frames into one array on {cpu_count()} cores",
    "single": "Reading a frame, a window, an element of an open stack",
    "small": f"Reading chunks of 1 KiB on {cpu_count()} cores",
    "all": f"Reading stacks of detector frames on {cpu_count()} cores",
}


def _write(options: argparse.Namespace) -> None:
    headline = f"Writing a stack of detector frames on {cpu_count()} cores"
    _write_stacks(options, writing.KINDS[options.what], writing.CASES, f"write {options.what}", headline)


def _zarr(options: argparse.Namespace) -> None:
    headline = f"Copying a stack of detector frames into Zarr on {cpu_count()} cores"
    _write_stacks(options, zarr.KIND, zarr.CASES, "zarr", headline)


def _write_stacks(
    options: argparse.Namespace, kind: writing.WritingKind, cases: Sequence[Case], name: str, headline: str
) -> None:
    chosen = [case for case in cases if case.name in (options.case or [case.name])]
    tables: list[writing.Table] = []
    for measured in writing.run(kind, options.size, options.repeat, chosen, options.budget):
        print(f"\n{measured.title}\n{table(measured.results, writing.columns(measured))}", flush=True)
        tables.append(measured)
    _save(
        options,
        f"{name}, {options.size} MiB",
        [row for measured in tables for row in measured.rows()],
        headline,
        f"{kind.title}: MiB/s of values; * measured on fewer frames",
        [writing.panel(measured) for measured in tables],
    )


def _open(options: argparse.Namespace) -> None:
    sizes = opening.Sizes(options.size, options.entries, options.files)
    tables = opening.run(sizes, options.repeat)
    for measured in tables:
        print(f"\n{measured.title}\n{table(measured.results, measured.columns())}")
    footprint = opening.footprint(sizes)
    print(f"\n{footprint.line}")
    _save(
        options,
        f"open, {sizes.groups} groups, {sizes.entries} entries, {sizes.files} files",
        [*(row for measured in tables for row in measured.rows()), footprint.row()],
        "Opening files with much metadata, and many files",
        f"Milliseconds, median of {options.repeat} turns; the shorter the bar, the faster",
        [measured.panel() for measured in tables],
        columns=1,
    )


def _memory(options: argparse.Namespace) -> None:
    readers = tuple(contestants.BY_NAME[name] for name in options.contestant or _MEMORY_READERS)
    chosen = memory.Options(tuple(options.size), options.repeat, options.limit, options.budget, readers)
    limit = f", under a limit of {options.limit} MiB" if options.limit else ""
    print(f"Peaks in MiB above the idle process{limit}")
    loads: list[list[memory.Usage]] = []
    for title, group in groupby(memory.run(chosen), memory.title):
        measured = list(group)
        print(f"\n{title}\n{table(measured, memory.COLUMNS)}", flush=True)
        loads.append(measured)
    usages = [usage for measured in loads for usage in measured]
    explanation = f"Peak of anonymous memory above the idle process, MiB{limit}; * stopped before its end"
    headline = "Memory that reading a detector stack takes"
    columns = len(loads) // len(options.size)
    _save(
        options,
        f"memory, {' '.join(map(str, options.size))} GiB",
        usages,
        headline,
        explanation,
        memory.panels(loads),
        columns,
    )


def _cluster(options: argparse.Namespace) -> None:
    tables: list[cluster.Table] = []
    for measured in cluster.run(options.size, options.repeat):
        print(f"\n{measured.title}\n{table(measured.results, cluster.columns(measured))}", flush=True)
        tables.append(measured)
    _save(
        options,
        f"cluster, {options.size} MiB",
        [row for measured in tables for row in measured.rows()],
        f"A stack of detector frames and worker processes of one thread on {cpu_count()} cores",
        "MiB/s of values, medians",
        [cluster.panel(measured) for measured in tables],
    )


def _remote(options: argparse.Namespace) -> None:
    print(f"A server on this machine, {options.latency} ms a request")
    tables: list[remote.Table] = []
    for measured in remote.run(options.size, options.repeat, options.latency, remote.chosen_cases(options.case)):
        print(f"\n{measured.title}\n{table(measured.results, measured.columns())}", flush=True)
        tables.append(measured)
    _save(
        options,
        f"remote, {options.size} MiB, {options.latency} ms",
        [row for measured in tables for row in measured.rows()],
        f"Files behind a server that takes {options.latency} ms for each request",
        f"Seconds, and requests; stacks of {options.size} MiB, median of {options.repeat} turns",
        [measured.panel() for measured in tables],
    )


def _serve(options: argparse.Namespace) -> None:
    tables: list[service.Table] = []
    others = [service.tiled(options.tiled)] if options.tiled else []
    for line in service.left_out(others):
        print(line)
    for measured in service.run(options.size, options.repeat, options.what or service.WORKS, options.case, others):
        print(f"\n{measured.title}\n{table(measured.results, measured.columns())}", flush=True)
        tables.append(measured)
    _save(
        options,
        f"serve, {options.size} MiB, {options.case}",
        [row for measured in tables for row in measured.rows()],
        f"Servers of files on {cpu_count()} cores, {options.case}",
        f"Requests a second, and CPU time of the server for each; median of {options.repeat} turns",
        [measured.panel() for measured in tables],
    )


def _travel(options: argparse.Namespace) -> None:
    tables: list[travel.Table] = []
    for measured in travel.run(options.size, options.repeat):
        print(f"\n{measured.operation}\n{table(measured.results, measured.columns())}", flush=True)
        tables.append(measured)
    _save(
        options,
        f"travel, {options.size} MiB",
        [row for measured in tables for row in measured.rows()],
        "Arrays with edges, and with uncertainties, in operations of xarray",
        f"Milliseconds, median of {options.repeat} turns; the shorter the bar, the faster",
        [measured.panel() for measured in tables],
    )


def _save(
    options: argparse.Namespace,
    case: str,
    results: Sequence[Any],
    headline: str,
    explanation: str,
    panels: Sequence[Panel],
    columns: int | None = None,
) -> None:
    if options.json is not None:
        write_json(options.json, case, results)
    if options.plot is not None and panels:
        draw(options.plot, headline, explanation, panels, columns)


if __name__ == "__main__":
    main()
