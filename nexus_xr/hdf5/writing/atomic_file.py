"""A file that takes its place only when it is complete, and the folder of the parts that belong to it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import h5py

from nexus_xr.errors import NexusError, NexusFileError, WithinFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.file_copy import copy_file
from nexus_xr.hdf5.io.locks import Lock, alone, wait_until_closed
from nexus_xr.hdf5.io.writers import refuse_growing, refuse_writers
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, Hdf5Errors
from nexus_xr.hdf5.runtime.interrupts import held_back

from .claims import claim_of, remove_abandoned
from .target_path import beside, target_path
from .writable_file import close_file, closing_file, discard_file, is_without_room, open_file, why_unwritten

# An attribute of the root: the folders in `<name>_parts` that are this file's own.
PARTS = "nexus_xr_parts"

# Those that another process has to complete, by their temporary names. Until that is done they live, and are given up,
# with this process.
_sent: dict[str, NewFile] = {}


class NewFile:
    """An HDF5 file under a temporary name beside the target, renamed to it by `commit`.

    Until then, and whatever happens, what stood under the target's name stays as it was; `abort` leaves nothing behind.
    Once it is closed it can be pickled, and be completed by another process that has the same folder. What writers that
    were killed have left beside the same target is removed at the beginning.

    One that begins with what the target holds doesn't undo what others write there meanwhile: `carry` brings what was
    added into what stands there in the end, and where nothing is to be carried, the target stays as they left it.

    Parameters
    ----------
    path
        The target.
    mode
        ``w``, replace what is there; ``x``, there must be nothing; ``a``, begin with a copy of what is there.
    origin
        A file to begin with a copy of.
    for_swmr
        Whether an empty one is in the latest version of the format.
    user_block
        What an empty one has before all that is HDF5's.
    takes_over
        Whether an empty one takes the place of what is there, which must not change meanwhile.

    Raises
    ------
    NexusFileError
        The target can't be written, is being written by another, or with ``x`` is there already.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: str = "w",
        origin: File | None = None,
        for_swmr: bool = False,
        user_block: bytes = b"",
        takes_over: bool = False,
    ) -> None:
        self.path = target_path(path)
        self.mode = mode
        if mode == "x" and os.path.lexists(self.path):
            raise NexusFileError(f'{path}: is there already; choose another name, or mode="w" to replace it')
        token = secrets.token_hex(4)
        self._temporary = beside(self.path, token, "part")
        self.parts = _parts(self.path, token)
        #: Given the file as it was written and a copy of the target as it is, brings into that what was added.
        self.carry: Callable[[h5py.File, h5py.File], None] | None = None
        self._handles: list[h5py.File] = []
        self._claim: list[Lock] = []
        # Also where nobody commits: the object is given up, or the interpreter ends.
        remains = (self._handles, self._claim, self._temporary, self.path, self.parts)
        weakref.finalize(self, _give_up, os.getpid(), *remains)
        try:
            with self._explained(), alone(self.path):
                remove_abandoned(self.path, partial(_remove_left, self.path), lambda token: [_parts(self.path, token)])
                self._claim.append(Lock(claim_of(self.path, token)))
                if mode == "a" and os.path.exists(self.path):
                    origin = File(self.path)
                self._is_successor = takes_over or mode == "a" or (origin is not None and _is_at(origin, self.path))
                if mode == "w" and not self._is_successor:
                    refuse_writers(self.path)
                self._began_with = _version(self.path)
                if origin is None:
                    self._handles.append(open_file(self._temporary, "w-", for_swmr=for_swmr, user_block=user_block))
                else:
                    if self._is_successor and not origin.is_written_here:
                        wait_until_closed(self.path)
                        refuse_growing(self.path)
                        self._began_with = _version(self.path)
                    copy_file(origin, self._temporary)
        except BaseException:
            self.abort()
            raise

    def __getstate__(self) -> dict[str, Any]:
        for temporary in list(_sent):
            if not os.path.exists(temporary):
                _sent.pop(temporary, None)
        _sent.setdefault(self._temporary, self)  # not a copy of it that came back, with which nothing is given up
        return {**self.__dict__, "_handles": [], "_claim": []}

    @property
    def file(self) -> h5py.File:
        """The open file; opened again where it was closed, perhaps by another process, or begun as a copy."""
        if not self._handles:
            self._check_begun()
            with self._explained():
                self._handles.append(open_file(self._temporary, "r+"))
        return self._handles[0]

    def _check_begun(self) -> None:
        if not os.path.exists(self._temporary):
            raise NexusFileError(f"{self.path}: this has been done, or given up; write it anew")

    def _explained(self) -> Hdf5Errors:
        """Have what goes wrong in a ``with`` block be said of the target."""
        return Hdf5Errors(
            lambda error: NexusFileError(f"{self.path}: can't be written ({why_unwritten(error)})"),
            passing=(NexusError, MemoryError),
        )

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
            with self._explained():
                self.close()
                self._check_begun()
                _sync_file(self._temporary)
                with alone(self.path):
                    if self._is_successor:
                        self._keep_up()
                    replaced = _own_parts_at(self.path)
                    kept = _own_parts_at(self._temporary, self.path)
                    self._take_place()
        except BaseException:
            self.abort()
            raise
        self.abort()  # what there is beside it
        sync_folder(os.path.dirname(self.path))
        for name in replaced - kept:
            _remove_parts(os.path.join(_parts_of(self.path), name))

    def _take_place(self) -> None:
        if self.mode == "x":
            try:
                os.link(self._temporary, self.path)
            except FileExistsError:
                raise NexusFileError(f"{self.path}: is there by now; nothing was written") from None
            os.unlink(self._temporary)
        else:
            with suppress(OSError):
                shutil.copymode(self.path, self._temporary)
            os.replace(self._temporary, self.path)

    def _keep_up(self) -> None:
        """Where others have changed the target since this began with what it holds, have what they wrote too."""
        wait_until_closed(self.path)
        refuse_growing(self.path)
        found = _version(self.path)
        if found is None or found == self._began_with:
            return
        if self.carry is None:
            raise NexusFileError(
                f"{self.path}: another writer has changed it meanwhile, and it stays as that left it; "
                "open it again, and do it once more"
            )
        newer = _newer_of(self._temporary)
        copy_file(File(self.path), newer)
        with (
            h5py.File(self._temporary, "r", locking=False) as written,
            closing_file(open_file(newer, "r+"), self.path) as current,
        ):
            self.carry(written, current)
            if parts := _own_parts(written) & {os.path.basename(self.parts)}:
                current.attrs[PARTS] = sorted(_own_parts(current) | parts)
        os.replace(newer, self._temporary)
        _sync_file(self._temporary)

    def abort(self) -> None:
        """Leave nothing behind, unless it is complete."""
        _discard(self._handles, self._claim, self._temporary, self.path, self.parts)


@contextmanager
def completed(new: NewFile, failure: str) -> Iterator[NewFile]:
    """A new file that is complete, though not in its place, at the end of a ``with`` block, or else discarded.

    Parameters
    ----------
    new
        The file.
    failure
        What is said where libhdf5 or the system can't read or write what is put into it.
    """
    try:
        yield new
        new.close()
    except BaseException as error:
        new.abort()
        if isinstance(error, OSError | RuntimeError) and not isinstance(error, NexusError):
            said = f"{new.path}: can't be written" if is_without_room(error) else failure
            raise NexusFileError(f"{said} ({why_unwritten(error)})") from error
        raise


def _give_up(
    process: int, handles: list[h5py.File], claim: list[Lock], temporary: str, target: str, parts: str
) -> None:
    if process == os.getpid():  # not one that it forked, which ends while it goes on
        _discard(handles, claim, temporary, target, parts)


def _discard(handles: list[h5py.File], claim: list[Lock], temporary: str, target: str, parts: str) -> None:
    while handles:
        discard_file(handles.pop())
    with suppress(OSError):
        os.unlink(_newer_of(temporary))
    with suppress(OSError):  # it isn't there: the file was completed, and its parts are in use
        is_complete = os.path.exists(target) and os.path.samefile(temporary, target)
        os.unlink(temporary)
        if not is_complete:
            _remove_parts(parts)
    while claim:
        claim[-1].close()  # and is gone only then, so that what an interrupt keeps it from is done at the next time
        claim.pop()
    with suppress(OSError):  # by another process than the one that claims it
        os.unlink(temporary.removesuffix("part") + "lock")


def failing(name: str, path: str, failure: str, target: str | None = None) -> Hdf5Errors:
    """Have what goes wrong in a ``with`` block be said of the object that is copied there.

    Parameters
    ----------
    name, path
        The file, and the path of the object in it.
    failure
        What is said where libhdf5 can't read or write the object.
    target
        Where it is copied to if that is another file, which is named where there is no room for the copy.
    """

    def explained(error: Exception) -> Exception:
        if isinstance(error, WithinFileError):
            return NexusError(f"{target or name}:{error}")
        if isinstance(error, NexusError):
            return error
        said = f"{target or name}:{path}: can't be written" if is_without_room(error) else f"{name}:{path}: {failure}"
        return NexusFileError(f"{said} ({why_unwritten(error)})")

    return Hdf5Errors(explained)


# --- what lies beside the target ---------------------------------------------------------------------------------


def _newer_of(temporary: str) -> str:
    return temporary.removesuffix("part") + "newer"


def _remove_left(path: str, token: str) -> None:
    """Remove what has a token, which nobody will complete."""
    temporary = beside(path, token, "part")
    if os.path.isdir(temporary):  # of what isn't HDF5
        shutil.rmtree(temporary, ignore_errors=True)
    _discard([], [], temporary, path, _parts(path, token))


def _is_at(file: File, path: str) -> bool:
    return file.is_local and os.path.realpath(file.path) == path


def _version(path: str) -> tuple[int, ...] | None:
    """What tells a file from what stands under its name later, None where there is none."""
    try:
        # Opened, as names in network file systems are looked up anew only then.
        with open(path, "rb") as stream:
            found = os.fstat(stream.fileno())
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _sync_file(path: str) -> None:
    with open(path, "rb+") as stream:
        os.fsync(stream.fileno())


def _parts_of(path: str) -> str:
    """The folder in which a file's parts have theirs."""
    return os.path.splitext(path)[0] + "_parts"


def _parts(path: str, token: str) -> str:
    return os.path.join(_parts_of(path), token)


def _own_parts_at(path: str, target: str | None = None) -> set[str]:
    """Names of the folders of parts that a file has as its own; none where it isn't one of ours."""
    if os.path.isdir(_parts_of(target or path)):
        with suppress(AnyHdf5Error), h5py.File(path, "r", locking=False) as file:
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
    with suppress(OSError), held_back():
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
