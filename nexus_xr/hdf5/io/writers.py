"""Files that somebody is writing, whose place nothing can take without losing what is added."""

from __future__ import annotations

import os

from nexus_xr.errors import NexusFileError

from .file import File
from .h5py_handles import is_written_here
from .locks import is_open_for_writing


def refuse_written(file: File) -> None:
    """Raise an error where a file that another is to take the place of is open for writing, or says so.

    Parameters
    ----------
    file
        The file, which is open.

    Raises
    ------
    NexusFileError
        It is being written.
    """
    refuse_written_here(file)
    if file.snapshot is not None or is_open_for_writing(file.path):
        raise written_elsewhere(file.name)


def refuse_written_here(file: File) -> None:
    """Raise an error where this process has a file open for writing."""
    if file.is_written_here:
        raise _written_here(file.name)


def refuse_writers(path: str) -> None:
    """Raise an error where somebody has what stands at a path open for writing; not where it only says so.

    Who was killed has left such a file, which may be replaced.

    Parameters
    ----------
    path
        A local path, at which there may be nothing.
    """
    if os.path.isfile(path):
        if is_written_here(path):
            raise _written_here(path)
        if is_open_for_writing(path):
            raise written_elsewhere(path)


def written_elsewhere(name: str) -> NexusFileError:
    """The error for a file that another process is writing."""
    return NexusFileError(
        f"{name}: nothing was written, as another process is writing it, or was when that was killed; "
        "wait until it is closed, or run `h5clear --status` if there is no such process"
    )


def _written_here(name: str) -> NexusFileError:
    return NexusFileError(f"{name}: is open for writing in this process; close it first")
