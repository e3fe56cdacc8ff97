"""Structures of files, damaged where no checksum protects them: whatever they say, there is an error that says so.

Run as ``python -m tests.fuzz_structures FOLDER FIRST LAST`` it tries the damages of these numbers, always the same, on
the HDF5 files below a folder. Unlike `tests.fuzz_files` it looks at no checksum, asks libhdf5 nothing, and stays in one
process, so that it tries some hundreds in a second.
"""

from __future__ import annotations

import collections
import importlib
import itertools
import pkgutil
import random
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import nexus_xr
import nexus_xr.hdf5.format
import nexus_xr.hdf5.reading
from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusError
from nexus_xr.hdf5.format import checksum
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.described import parsed_file
from nexus_xr.hdf5.library.way_out import LibraryWayOut
from nexus_xr.hdf5.objects.parsed.parsed_group import parsed_root

from .fuzz_files import damage_structure, small_files

_PATIENCE_SECONDS = 20
_MOST_DAMAGES = 3
_MOST_BYTES = 1 << 20


class HangError(BaseException):
    """It took too long."""


def write_damaged(folder: str, number: int, target: Path) -> Path:
    """Write the damaged file of a number, and give the file that it was."""
    random_ = random.Random(f"structures {number}")
    original = random_.choice(small_files(folder))
    content = bytearray(original.read_bytes())
    for _ in range(random_.randint(1, _MOST_DAMAGES)):
        damage_structure(content, random_)
    target.write_bytes(content)
    return original


@contextmanager
def bytes_alone() -> Iterator[None]:
    """Have checksums be right, libhdf5 know nothing, and no file take for ever, for the length of a ``with`` block."""
    replaced = {"checked": _unchecked, "read_in_processes": _refuse}
    modules = [
        importlib.import_module(each.name)
        for floor in (nexus_xr.hdf5.format, nexus_xr.hdf5.reading)
        for each in pkgutil.walk_packages(floor.__path__, f"{floor.__name__}.")
        if not each.name.rpartition(".")[2].startswith("_")
    ]
    with ExitStack() as patches:
        patches.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, _hang))
        patches.enter_context(mock.patch.object(LibraryWayOut, "__call__", return_value=None))
        for module, name in itertools.product(modules, replaced):
            if hasattr(module, name):
                patches.enter_context(mock.patch.object(module, name, replaced[name]))
        yield


def _unchecked(content: bytes, what: str) -> bytes:
    if len(content) < checksum.CHECKSUM_BYTES:
        raise FormatError(f"{what} ends too early")
    return content[: -checksum.CHECKSUM_BYTES]


def _refuse(*_: Any) -> Any:
    raise NexusError("only libhdf5 reads this")


def outcome(path: Path) -> str:
    """What became of a file: ``read``, ``refused``, or what must not be."""
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_SECONDS)
    try:
        _read(path)
        return "read"
    except (NexusError, FormatError, UnsupportedError):
        return "refused"
    except (Exception, HangError):
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _read(path: Path) -> None:
    with parsed_file(File(str(path))) as parsed:
        parsed_root(parsed, Diagnostics())
    nexus_xr.read_metadata(path)
    for array in nexus_xr.open_signals(path):
        if array.nbytes <= _MOST_BYTES:
            with suppress(NexusError):
                array.load()


def _hang(*_: Any) -> None:
    raise HangError


def main(folder: str, first: str, last: str) -> int:
    """Try the damages of these numbers, print what must not be, and count all else."""
    warnings.simplefilter("ignore")
    counts: collections.Counter[str] = collections.Counter()
    kept = Path(tempfile.mkdtemp(prefix="nexus_xr-fuzz-"))
    with bytes_alone():
        for number in range(int(first), int(last)):
            path = kept / f"{number}.h5"
            original = write_damaged(folder, number, path)
            found = outcome(path)
            counts[found if found in ("read", "refused") else "another error"] += 1
            if found in ("read", "refused"):
                path.unlink()
            else:
                print(f"{path} (of {original}): {found}", flush=True)
    print(*(f"{count:7} {what}" for what, count in sorted(counts.items())), sep="\n")
    return min(counts["another error"], 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
