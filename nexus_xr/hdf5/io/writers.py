"""Files that somebody is writing, whose place nothing can take without losing what is added."""

from __future__ import annotations

import os

from nexus_xr.errors import NexusFileError

from .file import File
from .h5py_handles import handles, is_written_here
from .locks import Lock, holder_of, is_open, is_open_for_writing, lock_file, this_process, unlocked
from .superblock import CLEARS_FLAGS, SWMR, WRITING, flags_in

# What to do with a file that says that it is being written.
UNMARKING = (
    "wait until it is closed, or, if there is no such process, write a copy, which isn't marked so "
    f"(`nexus-xr repack`), or run `{CLEARS_FLAGS}` on it"
)


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
        raise written_elsewhere(file.name, file.path)


def refuse_written_here(file: File) -> None:
    """Raise an error where this process has a file open for writing.

    Who read from it while it was written shares what libhdf5 has of it, and is waited for.
    """
    if file.is_local and is_written_here(file.path) and not handles.outlast(file.path):
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
        if is_open_for_writing(path) or _writer_of(path) is not None:
            raise written_elsewhere(path, path)


def refuse_growing(path: str) -> None:
    """Raise an error where the file at a path says that somebody adds to it, and lets others read it (SWMR)."""
    if _flags_at(path) & SWMR:
        raise _written_here(path) if is_written_here(path) else written_elsewhere(path, path)


def refuse_marked(name: str, path: str) -> None:
    """Raise an error where the file at a path says that it is being written, so that libhdf5 opens it for no copy.

    Parameters
    ----------
    name, path
        What it is called in errors, and its path.
    """
    if _flags_at(path) & (SWMR | WRITING):
        raise _written_here(name) if is_written_here(path) else written_elsewhere(name, path)


def refuse_unfinished(path: str) -> None:
    """Raise an error where the file at a path says that it is being written, perhaps by who was killed since."""
    if _flags_at(path) & (SWMR | WRITING):
        if is_written_here(path):
            raise _written_here(path)
        raise NexusFileError(
            f"{path}: nothing was written, as {_writer_of(path) or 'another process'} is writing it, or was when that "
            'was killed; open it and write a copy with to_nexus, or give mode="w" to replace it once nobody writes it'
        )


def _flags_at(path: str) -> int:
    """What a file says of those who have it open; nothing where there is none."""
    if not os.path.isfile(path):
        return 0
    try:
        with open(path, "rb") as stream:
            return flags_in(stream)
    except OSError as error:
        raise NexusFileError(f"{path}: can't be read ({error.strerror or error})") from error


def claim(path: str) -> Lock:
    """Tell other processes that this one writes a file that isn't locked, so that they can read it, until it is closed.

    Parameters
    ----------
    path
        A local path.

    Raises
    ------
    NexusFileError
        Another does so.
    """
    try:
        return Lock(_claim_of(path))
    except BlockingIOError:
        raise _written_here(path) if is_written_here(path) else written_elsewhere(path, path) from None
    except OSError as error:
        raise unlocked(path, error) from error


def _claim_of(path: str) -> str:
    return lock_file(path, "writer")


def _writer_of(path: str) -> str | None:
    """Which other process has claimed to write a file, and lives; None where none has."""
    holder = holder_of(_claim_of(path))
    if holder is None or holder == this_process() or not is_open_for_writing(_claim_of(path)):
        return None
    return holder or "another process"


def is_read_here(error: OSError) -> bool:
    """Whether libhdf5 doesn't open a file for writing as this process has it open for reading."""
    return "already open for read" in str(error)


def unwritable(name: str, path: str, error: OSError, reason: str) -> NexusFileError:
    """The error for a file that libhdf5 doesn't open for writing, which says who seems to have it open.

    Parameters
    ----------
    name, path
        What it is called in errors, and its path.
    error, reason
        What h5py raised, and what it comes down to where nobody has it open.
    """
    said = str(error)
    if is_read_here(error):
        return NexusFileError(f"{name}: can't be written, as this process has it open for reading; close it first")
    is_locked = "unable to lock" in said
    if "already open for" in said or (is_locked and is_open_for_writing(path)):
        return written_elsewhere(name, path)
    if is_locked and is_open(path):
        return NexusFileError(
            f"{name}: can't be written, as another process has it open for reading, and has locked it; close it there, "
            "or open it there without a lock (in h5py locking=False), and do it again"
        )
    return NexusFileError(f"{name}: can't be written ({reason})")


def written_elsewhere(name: str, path: str) -> NexusFileError:
    """The error for a file that another process is writing.

    Parameters
    ----------
    name, path
        What it is called in errors, and its path.
    """
    if (writer := _writer_of(os.path.realpath(path))) is not None:
        return NexusFileError(f"{name}: nothing was written, as {writer} is writing it; wait until it is closed")
    return NexusFileError(
        f"{name}: nothing was written, as another process is writing it, or was when that was killed; {UNMARKING}"
    )


def _written_here(name: str) -> NexusFileError:
    return NexusFileError(f"{name}: is open for writing in this process; close it first")
