"""Files and folders that take their place only when they are complete."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.io.naming.url_path import is_url, said_of, shown, words_of
from nexus_xr.hdf5.io.remote.urls import local_path

from .target_path import target_path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name to write under, beside the target, which the file gets at the end of a ``with`` block that succeeds.

    Raises
    ------
    NexusFileError
        It can't be written there, is no file of this machine, or there is something that no file replaces.
    """
    if is_url(local_path(os.fspath(path))):
        raise NexusFileError(
            f"{shown(os.fspath(path))}: is a URL, and this goes into a file of this machine; send that then"
        )
    target = target_path(path)
    folder = f"{target}.{secrets.token_hex(4)}.part"
    if not os.path.isdir(os.path.dirname(target)):
        raise _no_folder(path)
    try:
        os.mkdir(folder)  # without which threads that an interrupt has left behind open no file anew
        temporary = os.path.join(folder, os.path.basename(target))
        yield temporary
        os.replace(temporary, target)
    except NexusError:
        raise
    except OSError as error:
        raise unwritten(path, error) from error
    finally:
        remove_folders(folder)


@contextmanager
def replacing_folder(target: Path, is_new: bool) -> Iterator[Path]:
    """A folder beside the target that takes its place at the end of a ``with`` block, unless that raises.

    Parameters
    ----------
    target
        The target.
    is_new
        Whether there must be nothing.

    Raises
    ------
    NexusError
        There is something already that isn't to be replaced.
    NexusFileError
        It can't be written there.
    """
    if target.exists() and not target.is_dir():
        raise NexusError(f"{target}: is a file, which no folder replaces; choose another place")
    if target.exists() and is_new:
        raise stands_there(target)
    if not target.absolute().parent.is_dir():
        raise _no_folder(target)
    mark = f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}"
    made, replaced = target.with_name(f"{mark}.part"), target.with_name(f"{mark}.old")
    try:
        made.mkdir()
        yield made
        if target.exists():
            if is_new:
                raise stands_there(target)
            target.rename(replaced)
        made.rename(target)
    except NexusError:
        raise
    except OSError as error:
        raise unwritten(target, error) from error
    finally:
        if replaced.exists() and not target.exists():  # an interrupt came in between
            replaced.rename(target)
        remove_folders(made, replaced)


def stands_there(target: object) -> NexusError:
    """The error where a folder, or a store, isn't to be replaced."""
    return NexusError(f'{target}: is there already; choose another place, or replace it with mode="w"')


def _no_folder(path: str | os.PathLike[str]) -> NexusFileNotFoundError:
    return NexusFileNotFoundError(f"{os.fspath(path)}: can't be written, as there is no such folder")


def remove_folders(*folders: str | os.PathLike[str]) -> None:
    """Remove folders with all that is in them; an interrupt that comes meanwhile is raised when they are gone."""
    interrupt: KeyboardInterrupt | None = None
    for folder in folders * 3:  # as threads that another one has left behind may still make a file in them
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def unwritten(path: str | os.PathLike[str], error: Exception) -> NexusFileError:
    """The error of what the system, or what is written to, doesn't let be written.

    Examples
    --------
    >>> unwritten("scan.csv", OSError(28, "No space left on device"))
    NexusFileError("scan.csv: can't be written (No space left on device)")
    """
    name = os.fspath(path)
    said = (error.strerror or error) if isinstance(error, OSError) else words_of(error)
    return NexusFileError(f"{shown(name)}: can't be written ({said_of(name, said)})")
