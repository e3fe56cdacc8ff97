"""A file that takes its place only when it is complete."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError
from nexus_xr.hdf5.io.naming.url_path import is_url

from .target_path import target_path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name to write under, beside the target, which the file gets at the end of a ``with`` block that succeeds.

    Raises
    ------
    NexusFileError
        It can't be written there, is no file of this machine, or there is something that no file replaces.
    """
    if is_url(os.fspath(path)):
        raise NexusFileError(f"{os.fspath(path)}: is a URL, and this goes into a file of this machine; send that then")
    target = target_path(path)
    folder = f"{target}.{secrets.token_hex(4)}.part"
    if not os.path.isdir(os.path.dirname(target)):
        raise NexusFileNotFoundError(f"{os.fspath(path)}: can't be written, as there is no such folder")
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


def unwritten(path: str | os.PathLike[str], error: OSError) -> NexusFileError:
    """The error of what the system doesn't let be written.

    Examples
    --------
    >>> unwritten("scan.csv", OSError(28, "No space left on device"))
    NexusFileError("scan.csv: can't be written (No space left on device)")
    """
    return NexusFileError(f"{os.fspath(path)}: can't be written ({error.strerror or error})")
