"""A file that takes its place only when it is complete."""

from __future__ import annotations

import os
import secrets
import shutil
import weakref
from contextlib import suppress

import h5py

from ..errors import NexusFileError
from .file import File


class NewFile:
    """An HDF5 file under a temporary name beside the target, renamed to it by `commit`.

    Until then, and whatever happens, what stood under the target's name stays as it was; `abort` leaves nothing behind.

    Parameters
    ----------
    path
        The target.
    mode
        ``w``, replace what is there; ``x``, there must be nothing; ``a``, begin with a copy of what is there.
    origin
        A file to begin with a copy of.

    Raises
    ------
    NexusFileError
        The target can't be written, or with ``x`` is there already.
    """

    def __init__(self, path: str | os.PathLike[str], mode: str = "w", origin: File | None = None) -> None:
        self.path = os.path.realpath(os.path.expanduser(os.fspath(path)))
        self.mode = mode
        folder, name = os.path.split(self.path)
        if mode == "x" and os.path.lexists(self.path):
            raise NexusFileError(f'{path}: is there already; choose another name, or mode="w" to replace it')
        if os.path.isdir(self.path):
            raise NexusFileError(f"{path}: is a directory; name a file in it")
        self._temporary = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(4)}.part")
        if mode == "a" and os.path.exists(self.path):
            origin = File(self.path)
        self._handles: list[h5py.File] = []
        # Also where nobody commits: the object is given up, or the interpreter ends.
        self.abort = weakref.finalize(self, _discard, self._handles, self._temporary)
        try:
            if origin is None:
                self._handles.append(h5py.File(self._temporary, "w-", track_order=True))
            else:
                origin.copy_to(self._temporary)
        except Exception as error:  # h5py raises nearly any type, by what is broken
            self.abort()
            raise self._error(error) from error

    @property
    def file(self) -> h5py.File:
        """The open file; one that is a copy is opened when it is to be changed."""
        if not self._handles:
            try:
                self._handles.append(h5py.File(self._temporary, "r+"))
            except Exception as error:  # h5py raises nearly any type, by what is broken
                raise self._error(error) from error
        return self._handles[0]

    def _error(self, error: Exception) -> NexusFileError:
        return NexusFileError(f"{self.path}: can't be written ({error})")

    def commit(self) -> None:
        """Have all of it on the disk, and only then under the target's name."""
        try:
            for handle in self._handles:
                handle.close()
            with open(self._temporary, "rb+") as stream:
                os.fsync(stream.fileno())
            if self.mode == "x":
                os.link(self._temporary, self.path)  # fails where there is something by now
                os.unlink(self._temporary)
            else:
                with suppress(OSError):
                    shutil.copymode(self.path, self._temporary)
                os.replace(self._temporary, self.path)
        except BaseException as error:
            self.abort()
            if isinstance(error, FileExistsError):
                raise NexusFileError(f"{self.path}: is there by now; nothing was written") from None
            if isinstance(error, OSError | RuntimeError):
                raise self._error(error) from error
            raise
        self.abort.detach()
        _sync_folder(os.path.dirname(self.path))


def _discard(handles: list[h5py.File], temporary: str) -> None:
    for handle in handles:
        with suppress(Exception):
            handle.close()
    with suppress(OSError):
        os.unlink(temporary)


def _sync_folder(folder: str) -> None:
    with suppress(OSError):  # not on every system
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
