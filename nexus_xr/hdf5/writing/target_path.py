"""Where a file is to be written."""

from __future__ import annotations

import errno
import os

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.locks import first_bytes
from nexus_xr.hdf5.io.remote.urls import local_path


def target_path(path: str | os.PathLike[str]) -> str:
    """The path of a file that is to be written, behind all symbolic links; also of one whose URL is given.

    Raises
    ------
    NexusFileError
        There is something that no file replaces.

    Examples
    --------
    >>> target_path("scans/../scan.nxs") == os.path.realpath("scan.nxs")
    True
    >>> target_path("/")
    Traceback (most recent call last):
    nexus_xr.errors.NexusFileError: /: is a directory; name a file in it
    """
    name = os.fspath(path)
    if "\0" in name:
        raise NexusFileError(f"{name!r}: no file has a name with a zero in it")
    found = os.path.realpath(local_path(name))
    if os.path.isdir(found):
        raise NexusFileError(f"{name}: is a directory; name a file in it")
    if os.path.exists(found) and not os.path.isfile(found):
        raise NexusFileError(f"{name}: is a device, a pipe or a socket, and is not replaced by a file; name a file")
    refuse_impossible(found, name)
    return found


def refuse_impossible(path: str, name: str) -> None:
    """Raise an error where nothing can have a path, as where that is longer than the system lets it be.

    Parameters
    ----------
    path, name
        The path, and what it is called in errors.
    """
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise NexusFileError(f"{name}: can't be written ({error.strerror}); choose a shorter name") from error


def beside(path: str, token: str, kind: str) -> str:
    """The path of what belongs to a file, or a folder, for a while and lies beside it, hidden.

    However long a name is, this one isn't longer than the system lets it be.

    Examples
    --------
    >>> beside("scans/scan.nxs", "4f", "part")
    'scans/.scan.nxs.4f.part'
    """
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{first_bytes(name)}.{token}.{kind}")
