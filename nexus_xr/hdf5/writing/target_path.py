"""Where a file is to be written."""

from __future__ import annotations

import os

from nexus_xr.errors import NexusFileError
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
    return found
