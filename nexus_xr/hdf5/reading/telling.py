"""Telling of what reads as something else than values: of each thing once in a process."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from nexus_xr.diagnostics import Code, Diagnostic
from nexus_xr.errors import NexusWarning
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.runtime.compat import this_worker
from nexus_xr.hdf5.runtime.fork import after_fork

_LISTED = 5
# What this process has told of, with the file and the dataset that are made of it.
_MOST_TOLD = 1 << 16
_told: set[tuple[str, str, Hashable]] = set()
after_fork(_told.clear)

_Name = TypeVar("_Name", bound=Hashable)


def not_told(holder: File, path: str, names: Iterable[_Name]) -> list[_Name]:
    """Those that this process didn't tell of before; from now on it did."""
    found = [each for each in dict.fromkeys(names) if not is_told(holder, path, each)]
    if len(_told) + len(found) > _MOST_TOLD:
        _told.clear()
    _told.update((holder.path, path, each) for each in found)
    return found


def is_told(holder: File, path: str, name: Hashable) -> bool:
    return (holder.path, path, name) in _told


def warn(holder: File, path: str, code: Code, message: str) -> None:
    """Warn of a dataset that is read, in the name of who called the caller."""
    diagnostic = Diagnostic.of(code, path, message)
    warnings.warn(NexusWarning(f"{holder.name}:{diagnostic}", [diagnostic]), stacklevel=3)


def few(names: Sequence[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def here() -> str:
    """On which of a cluster's workers this is; nothing elsewhere."""
    worker = this_worker()
    return "" if worker is None else f" on {worker}"
