"""A file that takes its place only when it is complete."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from nexus_xr.errors import NexusError, NexusFileError, NexusFileNotFoundError


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[str]:
    """A name to write under, beside the target, which the file gets at the end of a ``with`` block that succeeds.

    Raises
    ------
    NexusFileError
        It can't be written there.
    """
    target = os.path.realpath(os.path.expanduser(os.fspath(path)))
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
        for _ in range(3):  # as such threads may still make a file while the folder is emptied
            shutil.rmtree(folder, ignore_errors=True)


def unwritten(path: str | os.PathLike[str], error: OSError) -> NexusFileError:
    """The error of what the system doesn't let be written.

    Examples
    --------
    >>> unwritten("scan.csv", OSError(28, "No space left on device"))
    NexusFileError("scan.csv: can't be written (No space left on device)")
    """
    return NexusFileError(f"{os.fspath(path)}: can't be written ({error.strerror or error})")
