"""A file that is changed where it is, at once at the end: until then it stays as it was, whatever happens.

What is stored anew goes behind the file's end, what libhdf5 knows of the file stays in memory until it is closed, and
what has to be written over before is remembered.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import h5py

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.superblock import superblock_offset
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors
from nexus_xr.hdf5.runtime.interrupts import held_back

from .writable_file import (
    close_file,
    discard_file,
    keep_in_memory,
    keeps_free_space,
    make_room,
    open_present,
    sync_file,
    why_unwritten,
)

_LOOK = "look at how long it is, and run `nexus-xr check`, before more is added"
# Longer than any superblock.
_SUPERBLOCK_BYTES = 128


@dataclass(frozen=True)
class ChangedFile:
    """A file that is being changed.

    Parameters
    ----------
    file
        The open file.
    path
        Its path.
    raw
        The same file without libhdf5.
    length
        How many bytes it had before.
    before
        What stood in it before, by where it stands, where that is written over.
    """

    file: h5py.File
    path: str
    raw: io.FileIO
    length: int
    before: dict[int, bytes] = field(default_factory=dict)

    def remember_chunk(self, dataset: h5py.Dataset, corner: tuple[int, ...]) -> None:
        """Remember a chunk as it is stored, before it is stored anew.

        Raises
        ------
        NexusFileError
            It can't be read.
        """
        with Hdf5Errors(
            lambda error: NexusFileError(
                f"{self.path}:{dataset.name}: nothing was written, as the chunk at {corner}, in which there would be "
                f"more, can't be read ({why_unwritten(error)})"
            )
        ):
            found = dataset.id.get_chunk_info_by_coord(corner)
            if found.byte_offset is None:
                return
            # libhdf5 of some versions counts from the end of the user block.
            content = dataset.id.read_direct_chunk(corner)[1]
            for offset in (found.byte_offset, found.byte_offset + self.file.userblock_size):
                if _bytes_at(self.raw, offset, found.size) == content:
                    self.before.setdefault(offset, content)
                    return

    def restore(self) -> None:
        """Write back what stood there before."""
        with open(self.raw.fileno(), "r+b", closefd=False) as stream:
            for offset, content in self.before.items():
                stream.seek(offset)
                stream.write(content)

    def undo(self) -> None:
        """Close the file, which is as it was then.

        Raises
        ------
        NexusFileError
            What stood there can't be written back.
        """
        with held_back():
            is_closed = discard_file(self.file)
            try:
                self.restore()
                self.raw.truncate(self.length)
            except OSError as error:
                raise NexusFileError(
                    f"{self.path}: can't be written, and may be damaged, as what stood there before can't be written "
                    f"back ({why_unwritten(error)}); run `nexus-xr check`"
                ) from error
            if not is_closed:
                _renew(self.path)


@contextmanager
def changing(path: str) -> Iterator[ChangedFile]:
    """Open a file to be changed, for a ``with`` block at whose end all changes are made; where it fails, none is.

    Parameters
    ----------
    path
        A local file, which no other writer has open.

    Raises
    ------
    NexusFileError
        It can't be opened for writing, or there is no room for what was changed.
    """
    unwritten = Hdf5Errors(lambda error: NexusFileError(f"{path}: can't be written ({why_unwritten(error)})"))
    with unwritten:
        raw = io.FileIO(path, "r+")
    with raw:
        with unwritten:
            at = superblock_offset(raw) or 0
            before, length = {at: _bytes_at(raw, at, _SUPERBLOCK_BYTES)}, os.fstat(raw.fileno()).st_size
        with _changing(ChangedFile(open_present(path), path, raw, length, before)) as changed:
            yield changed


@contextmanager
def _changing(changed: ChangedFile) -> Iterator[ChangedFile]:
    path, is_to_be_undone, is_complete = changed.path, True, False
    try:
        if keeps_free_space(changed.file):
            raise NexusFileError(
                f"{path}: libhdf5 keeps a list of its free space, and can't change it at once; copy it"
            )
        keep_in_memory(changed.file)
        with Hdf5Errors(lambda error: NexusFileError(f"{path}: can't be written ({why_unwritten(error)})")):
            changed.restore()  # libhdf5 has marked it as being written, which it isn't before the end
        yield changed
        make_room(changed.file, changed.length, path)
        sync_file(changed.file, path)  # some file systems tell only here what they couldn't write
        with held_back():
            is_to_be_undone = False
            _complete(changed)
            is_complete = True
    except BaseException as error:
        if is_to_be_undone:
            changed.undo()
        elif is_complete:
            error.add_note(f"{path}: all was added before the interrupt")
        raise


def _complete(changed: ChangedFile) -> None:
    """Have all changes in the file, and close it."""
    try:
        _flush(changed.file)
    except (OSError, RuntimeError) as error:
        if not discard_file(changed.file):
            _renew(changed.path)
        raise NexusFileError(
            f"{changed.path}: can't be written, and may be damaged ({why_unwritten(error)}): it may have all that was "
            f"added, a part of it, or nothing; {_LOOK}"
        ) from error
    try:
        close_file(changed.file)
    except (OSError, RuntimeError) as error:
        raise NexusFileError(
            f"{changed.path}: all was added, but may not be on the disk ({why_unwritten(error)}); {_LOOK}"
        ) from error


def _flush(file: h5py.File) -> None:
    """Have all that libhdf5 knows of a file in it; once more, as what wasn't written at first may be then."""
    try:
        file.flush()
    except (OSError, RuntimeError) as error:
        try:
            file.flush()
        except (OSError, RuntimeError):  # which says nothing of the cause
            raise error from None


def _renew(path: str) -> None:
    """Put a copy of a file in its place, as libhdf5 still locks the one that was there, and would open it as it was."""
    folder, name = os.path.split(path)
    with suppress(OSError), tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:  # no room for it
        copied = os.path.join(beside, name)
        shutil.copy2(path, copied)
        with open(copied, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(copied, path)


def _bytes_at(raw: io.FileIO, offset: int, size: int) -> bytes:
    with open(raw.fileno(), "rb", closefd=False) as stream:
        stream.seek(offset)
        return stream.read(size)
