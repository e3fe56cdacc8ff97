"""How far reading may go: which files may be opened besides, or at all.

Names of files stand in files: an external link, a virtual dataset or a list of raw data files can name any file of this
machine, and any file of a folder can be a symbolic link. Who opens files of others for others limits what they lead to.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from nexus_xr.errors import NexusFileError, NexusReachError

from .real_path import place_of, real_path
from .url_path import UrlPath, shown


def _flags(*names: str) -> int:
    """Those of these flags that this system has."""
    return sum(getattr(os, name, 0) for name in names)


# Not to wait for who writes into a pipe, which may be for ever.
_WITHOUT_WAITING = _flags("O_RDONLY", "O_BINARY", "O_NONBLOCK", "O_NOCTTY")
# Nor to be led on by what took the place of a file that was looked at.
_WITH_CARE = _WITHOUT_WAITING | _flags("O_NOFOLLOW")

# What is said of a file that may not be read, behind its name.
OUT_OF_REACH = (
    "lies outside of the folders that may be read; open the file with `within` naming its folder as well, if that is "
    "to be trusted"
)


@dataclass(frozen=True)
class Reach:
    """Which files may be read.

    Parameters
    ----------
    folders
        Absolute paths without symbolic links, of files that may be read, or of folders below which all may; None where
        any file may.
    urls
        URLs below which files may be read, where `folders` isn't None.
    has_hidden
        Whether files may be read that are hidden below the folders: by names that begin with a dot, of their own or of
        folders on the way.

    Examples
    --------
    >>> reach = Reach(("/data/2024",), ("s3://runs/2024",))
    >>> reach.holds_file("/data/2024/../2023/scan.nxs"), reach.holds_url("s3://runs/2024/scan.nxs")
    (False, True)
    """

    folders: tuple[str, ...] | None = None
    urls: tuple[str, ...] = ()
    has_hidden: bool = True

    @property
    def is_everywhere(self) -> bool:
        """Whether any file may be read."""
        return self.folders is None

    def holds_file(self, path: str) -> bool:
        """Whether a local file may be read, by where it is once symbolic links are followed."""
        return self.folders is None or self._resolved(path) is not None

    def _resolved(self, path: str) -> str | None:
        """Where a path leads, None where that isn't within reach."""
        with suppress(OSError, ValueError):  # no path of this system
            place = real_path(path)
            return place if self._holds_resolved(place) else None
        return None

    def _holds_resolved(self, path: str) -> bool:
        return any(
            _is_below(path, folder, os.sep) and (self.has_hidden or not is_hidden(path, folder))
            for folder in self.folders or ()
        )

    def holds_url(self, url: str) -> bool:
        """Whether what is behind a URL may be read."""
        return self.folders is None or any(UrlPath.of(root).holds(UrlPath.of(url)) for root in self.urls)

    def open(self, path: str) -> int:
        """A descriptor of a local file.

        Parameters
        ----------
        path
            Its path.

        Raises
        ------
        NexusReachError
            It isn't within reach, wherever it went meanwhile.
        NexusFileError
            It is a pipe or a socket.
        OSError
            The system doesn't open it.
        """
        if self.folders is None:
            return _opened_anywhere(path)
        if _held.path == path and _held.reach == self:
            os.lseek(_held.descriptor, 0, os.SEEK_SET)  # which both have in common
            return os.dup(_held.descriptor)
        place = self._resolved(path)
        if place is None:
            raise out_of_reach(path)
        return self.open_resolved(place, path)

    def open_resolved(self, place: str, path: str, *, waits: bool = True) -> int:
        """A descriptor of a local file whose path has no symbolic links; raises as `open` does.

        Parameters
        ----------
        place
            Its path without them.
        path
            What messages call it.
        waits
            Whether to wait for who has a lease of it; an error of the system else.
        """
        descriptor = _open_promptly(place, _WITH_CARE) if waits else os.open(place, _WITH_CARE)
        try:
            self._check_open(descriptor, path)
        except BaseException:
            close(descriptor)
            raise
        return descriptor

    @contextmanager
    def holding(self, place: str) -> Iterator[None]:
        """Have this thread open a file once for the length of a ``with`` block, however often it is asked for.

        Parameters
        ----------
        place
            Its path, without symbolic links.

        Raises
        ------
        NexusReachError
            It isn't within reach.
        OSError
            The system doesn't open it.
        """
        descriptor = self.open_resolved(place, place)
        before = _held.reach, _held.path, _held.descriptor
        try:
            _held.reach, _held.path, _held.descriptor = self, place, descriptor
            yield
        finally:
            _held.reach, _held.path, _held.descriptor = before
            close(descriptor)

    def _check_open(self, descriptor: int, path: str) -> None:
        """Raise unless an open file is a regular one within reach, as its name may lead elsewhere by now."""
        place = _found_place(descriptor, path)
        if place is None or not self._holds_resolved(place):
            raise out_of_reach(path)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NexusReachError(f"{path}: is no regular file, and those alone are read where reach is limited")

    def stat(self, path: str) -> os.stat_result:
        """What the system says of a local file; raises as `open` does."""
        if self.folders is None:
            return os.stat(path)
        descriptor = self.open(path)
        try:
            return os.fstat(descriptor)
        finally:
            close(descriptor)


EVERYWHERE = Reach()


def check_no_pipe(mode: int, name: str) -> None:
    """Raise where there is a pipe or a socket, which to read may take for ever.

    Parameters
    ----------
    mode
        What the system says that there is.
    name
        What messages call it.

    Raises
    ------
    NexusFileError
        There is one.
    """
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        raise NexusFileError(f"{shown(name)}: is a pipe or a socket, and no file; copy what comes into one")


def close(descriptor: int) -> None:
    """Close what was only read from: what the system says of that can't take anything from what was read."""
    with suppress(OSError):
        os.close(descriptor)


def _opened_anywhere(path: str) -> int:
    descriptor = _open_promptly(path, _WITHOUT_WAITING)
    try:
        mode = os.fstat(descriptor).st_mode
        check_no_pipe(mode, path)
        if not stat.S_ISREG(mode):
            os.set_blocking(descriptor, True)  # to read from a device is to wait for it
    except BaseException:
        close(descriptor)
        raise
    return descriptor


def _open_promptly(path: str, flags: int) -> int:
    """A descriptor of what is opened without waiting, but for who has a lease of a file and is to give it back.

    Source: open(2) of Linux, EWOULDBLOCK.
    """
    try:
        return os.open(path, flags)
    except BlockingIOError:
        place = os.open(path, _flags("O_PATH") | flags)  # which is no other file by the time that it is opened
        try:
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise
            return os.open(f"/proc/self/fd/{place}", flags & ~_flags("O_NONBLOCK", "O_NOFOLLOW"))
        finally:
            close(place)


class _Held(threading.local):
    """The file that this thread has open, and within which reach it is."""

    reach: Reach = EVERYWHERE
    path = ""
    descriptor = -1


_held = _Held()


def out_of_reach(name: str) -> NexusReachError:
    """The error for a file that may not be read.

    Parameters
    ----------
    name
        The file.
    """
    return NexusReachError(f"{shown(name)}: {OUT_OF_REACH}")


def is_hidden(place: str, root: str) -> bool:
    """Whether a file or folder below another has a name, or is in one of a name, that begins with a dot.

    Examples
    --------
    >>> is_hidden("/home/me/.data/a.h5", "/home/me"), is_hidden("/home/me/.data/a.h5", "/home/me/.data")
    (True, False)
    """
    return f"{os.sep}." in place[len(root.rstrip(os.sep)) :]


def _is_below(place: str, root: str, separator: str) -> bool:
    return place == root or place.startswith(root.rstrip(separator) + separator)


def _found_place(descriptor: int, path: str) -> str | None:
    """Where an open file is, None where that isn't known and it isn't the one of its path any more."""
    with suppress(OSError):
        return place_of(descriptor)
    place = os.path.realpath(path)
    return place if os.path.samestat(os.fstat(descriptor), os.lstat(place)) else None
