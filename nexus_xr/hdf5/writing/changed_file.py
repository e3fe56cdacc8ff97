"""A file that is changed where it is, at once at the end: until then it stays as it was, whatever happens.

What is stored anew goes behind the file's end, what libhdf5 knows of the file stays in memory until it is closed, and
what has to be written over before is remembered.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import h5py

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.superblock import superblock_offset

from .writable_file import (
    close_file,
    discard_file,
    keep_in_memory,
    keeps_free_space,
    make_room,
    open_present,
    why_unwritten,
)

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
    length
        How many bytes it had before.
    before
        What stood in it before, by where it stands, where that is written over.
    """

    file: h5py.File
    path: str
    length: int
    before: dict[int, bytes] = field(default_factory=dict)

    def remember_chunk(self, dataset: h5py.Dataset, corner: tuple[int, ...]) -> None:
        """Remember a chunk as it is stored, before it is stored anew."""
        found = dataset.id.get_chunk_info_by_coord(corner)
        if found.byte_offset is None:
            return
        # libhdf5 of some versions counts from the end of the user block.
        content = dataset.id.read_direct_chunk(corner)[1]
        for offset in (found.byte_offset, found.byte_offset + self.file.userblock_size):
            if _bytes_at(self.path, offset, found.size) == content:
                self.before.setdefault(offset, content)
                return

    def restore(self) -> None:
        """Write back what stood there before."""
        with open(self.path, "r+b") as stream:
            for offset, content in self.before.items():
                stream.seek(offset)
                stream.write(content)

    def undo(self) -> None:
        """Close the file, which is as it was then."""
        is_closed = discard_file(self.file)
        self.restore()
        os.truncate(self.path, self.length)
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
    try:
        with open(path, "rb") as stream:
            at = superblock_offset(stream) or 0
        before, length = {at: _bytes_at(path, at, _SUPERBLOCK_BYTES)}, os.path.getsize(path)
    except OSError as error:
        raise NexusFileError(f"{path}: can't be written ({why_unwritten(error)})") from error
    changed = ChangedFile(open_present(path), path, length, before)
    try:
        if keeps_free_space(changed.file):
            raise NexusFileError(
                f"{path}: libhdf5 keeps a list of its free space, and can't change it at once; copy it"
            )
        keep_in_memory(changed.file)
        changed.restore()  # libhdf5 has marked it as being written, which it isn't before the end
        yield changed
        make_room(changed.file, length, path)
    except BaseException:
        changed.undo()
        raise
    try:
        close_file(changed.file)
    except (OSError, RuntimeError) as error:
        raise NexusFileError(f"{path}: can't be written, and may be damaged ({why_unwritten(error)})") from error


def _renew(path: str) -> None:
    """Put a copy of a file in its place, as libhdf5 still locks the one that was there, and would open it as it was."""
    folder, name = os.path.split(path)
    with suppress(OSError), tempfile.TemporaryDirectory(prefix=".", dir=folder) as beside:  # no room for it
        copied = os.path.join(beside, name)
        shutil.copy2(path, copied)
        with open(copied, "rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(copied, path)


def _bytes_at(path: str, offset: int, size: int) -> bytes:
    with open(path, "rb") as stream:
        stream.seek(offset)
        return stream.read(size)
