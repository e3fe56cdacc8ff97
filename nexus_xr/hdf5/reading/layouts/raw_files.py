"""Telling of files of raw data that end before what is said to be in them, which reads as zeros."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from stat import S_ISREG

from nexus_xr.diagnostics import Code
from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.reading.telling import few, here, not_told, warn

from .known_layouts import layout_of
from .layout import RawFilesUse, StoredLayout

_BEHIND_THE_END = "reads as zeros behind the end of its files of raw data"


def report_short_files(dataset: Dataset, holder: File, path: str, address: Address | None) -> None:
    """Report the files of raw data of a dataset that are short: in one line, or each where that is an error.

    Parameters
    ----------
    dataset
        The dataset.
    holder, path
        The file that it is in, and its path there.
    address
        Where it is there, if that is known.
    """
    if not dataset.has_raw_files or _may_grow(holder):
        return
    short: Mapping[str, int] = {}
    with suppress(NexusFileError), holder.source() as source:  # to read it will say what is wrong with it
        layout = layout_of(holder, path, source, address)
        short = _short_files(layout, holder) if isinstance(layout, StoredLayout) else {}
    if not holder.policy.fills_missing:
        for name, size in short.items():
            dataset.report(Code.RAW_FILE_SHORT, _explained(name, size))
    elif short:
        not_told(holder, path, short)
        names = [f"{name} of {size} bytes" for name, size in short.items()]
        dataset.report(Code.RAW_FILE_SHORT, f"{_BEHIND_THE_END}: {few(names)}")


def raw_files_of(holder: File, path: str) -> RawFilesUse:
    """What is done about the state of the raw data files of a dataset.

    Parameters
    ----------
    holder, path
        The dataset's file, and its path there.
    """
    return RawFilesUse(holder.check_raw_file, partial(_tell_of_short_files, holder, path))


def _tell_of_short_files(holder: File, path: str, short: Mapping[str, int]) -> None:
    """Warn once in a process, or raise, of files of raw data behind whose ends something was read.

    Parameters
    ----------
    holder, path
        The dataset's file, and its path there.
    short
        How many bytes each of these files has.

    Raises
    ------
    NexusFileError
        What is missing is to be an error.
    """
    if short and not holder.policy.fills_missing:
        name, size = next(iter(short.items()))
        message = f'{_explained(name, size)}, which reads as zeros with missing="fill"'
        raise NexusFileError(f"{holder.name}:{path}: {message}")
    if short and not _may_grow(holder):
        names = [f"{os.path.abspath(name)} of {short[name]} bytes" for name in not_told(holder, path, short)]
        if names:
            warn(holder, path, Code.RAW_FILE_SHORT, f"{_BEHIND_THE_END}{here()}: {few(names)}")


def _may_grow(holder: File) -> bool:
    """Whether zeros are no error, and a file is being written, and with it what it has in others."""
    return holder.policy.fills_missing and holder.snapshot is not None


def _explained(name: str, size: int) -> str:
    return f"{os.path.abspath(name)} ends{here()} after {size} bytes, before what is said to be in it"


def _short_files(layout: StoredLayout, holder: File) -> dict[str, int]:
    short: dict[str, int] = {}
    left = math.prod(layout.shape) * layout.carrier.itemsize
    for extent in layout.raw_extents:
        taken = min(extent.size, left)
        left -= taken
        with suppress(OSError, NexusFileError):  # to read one that isn't there, or out of reach, will say so
            found = layout.reach.stat(extent.path)
            holder.check_raw_file(extent.path, found)
            if taken and S_ISREG(found.st_mode) and found.st_size < extent.offset + taken:
                short[extent.path] = found.st_size
    return short
