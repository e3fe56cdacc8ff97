"""A file that takes its place only when it is complete, and the folder of the parts that belong to it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import weakref
from contextlib import suppress
from typing import Any

import h5py

from ..errors import NexusFileError
from .file import File
from .writable import close_file, discard_file, open_file, why_unwritten

# An attribute of the root: the folders in `<name>_parts` that are this file's own.
PARTS = "nexus_xr_parts"

# Those that another process has to complete, by their temporary names. Until that is done they live, and are given up,
# with this process.
_sent: dict[str, NewFile] = {}


class NewFile:
    """An HDF5 file under a temporary name beside the target, renamed to it by `commit`.

    Until then, and whatever happens, what stood under the target's name stays as it was; `abort` leaves nothing behind.
    Once it is closed it can be pickled, and be completed by another process that has the same folder.

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
        token = secrets.token_hex(4)
        self._temporary = os.path.join(folder, f".{name[:200]}.{token}.part")
        self.parts = os.path.join(_parts_of(self.path), token)
        if mode == "a" and os.path.exists(self.path):
            origin = File(self.path)
        self._handles: list[h5py.File] = []
        # Also where nobody commits: the object is given up, or the interpreter ends.
        weakref.finalize(self, _discard, self._handles, self._temporary, self.path, self.parts)
        try:
            if origin is None:
                self._handles.append(open_file(self._temporary, "w-", track_order=True))
            else:
                origin.copy_to(self._temporary)
        except Exception as error:  # h5py raises nearly any type, by what is broken
            self.abort()
            raise self._error(error) from error

    def __getstate__(self) -> dict[str, Any]:
        for temporary in list(_sent):
            if not os.path.exists(temporary):
                _sent.pop(temporary, None)
        _sent[self._temporary] = self
        return {**self.__dict__, "_handles": []}

    @property
    def file(self) -> h5py.File:
        """The open file; opened again where it was closed, perhaps by another process, or begun as a copy."""
        if not self._handles:
            try:
                self._handles.append(open_file(self._temporary, "r+"))
            except Exception as error:  # h5py raises nearly any type, by what is broken
                raise self._error(error) from error
        return self._handles[0]

    def _error(self, error: Exception) -> NexusFileError:
        return NexusFileError(f"{self.path}: can't be written ({why_unwritten(error)})")

    def make_parts(self) -> None:
        """Make the folder for parts, which from then on comes and goes with this file."""
        try:
            os.makedirs(self.parts)
        except OSError as error:
            raise NexusFileError(f"{self.parts}: can't be made ({error})") from error
        self.file.attrs[PARTS] = [*sorted(_own_parts(self.file)), os.path.basename(self.parts)]

    def close(self) -> None:
        """Close it, incomplete; asking for `file` opens it again."""
        while self._handles:
            close_file(self._handles.pop())

    def commit(self) -> None:
        """Have all of it on the disk, and only then under the target's name."""
        try:
            replaced = _own_parts_at(self.path)
            self.close()
            kept = _own_parts_at(self._temporary, self.path)
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
        sync_folder(os.path.dirname(self.path))
        for name in replaced - kept:
            _remove_parts(os.path.join(_parts_of(self.path), name))

    def abort(self) -> None:
        """Leave nothing behind, unless it is complete."""
        _discard(self._handles, self._temporary, self.path, self.parts)


def _discard(handles: list[h5py.File], temporary: str, target: str, parts: str) -> None:
    while handles:
        discard_file(handles.pop())
    with suppress(OSError):  # it isn't there: the file was completed, and its parts are in use
        is_complete = os.path.exists(target) and os.path.samefile(temporary, target)
        os.unlink(temporary)
        if not is_complete:
            _remove_parts(parts)


def _parts_of(path: str) -> str:
    """The folder in which a file's parts have theirs."""
    return os.path.splitext(path)[0] + "_parts"


def _own_parts_at(path: str, target: str | None = None) -> set[str]:
    """Names of the folders of parts that a file has as its own; none where it isn't one of ours."""
    if os.path.isdir(_parts_of(target or path)):
        with suppress(Exception), h5py.File(path, "r", locking=False) as file:
            return _own_parts(file)
    return set()


def _own_parts(file: h5py.File) -> set[str]:
    names = (str(name) for name in file.attrs.get(PARTS, ()))
    return {name for name in names if re.fullmatch("[0-9a-f]{8}", name)}


def _remove_parts(folder: str) -> None:
    with suppress(OSError):
        # Under another name at first, so that no worker that is still at work puts a file into it meanwhile.
        os.rename(folder, f"{folder}.removed")
        shutil.rmtree(f"{folder}.removed", ignore_errors=True)
        os.rmdir(os.path.dirname(folder))  # unless there are others


def sync_folder(folder: str) -> None:
    """Have the names of a folder's files on the disk, where the system knows how."""
    with suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
