"""Files that are open for writing, whatever becomes of the disk that they are on.

libhdf5 frees a file or a dataset of which it can't write out something when it is closed, and yet keeps its
identifier. Whatever looks at all open identifiers later, as closing any file does, then ends the process. So nothing
is left to be written when something is closed, or else goes nowhere.
"""

from __future__ import annotations

import errno
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Literal

import h5py
from h5py import h5f, h5i, h5p

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.h5py_handles import handles
from nexus_xr.hdf5.io.locks import unlock
from nexus_xr.hdf5.io.writers import is_read_here, unwritable
from nexus_xr.hdf5.runtime.h5py_lock import phil
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, reason_of
from nexus_xr.hdf5.runtime.interrupts import held_back

from .new_objects import properties_of_members

# For one chunk after the other, as to have it and to give it back takes longer than to write a small one.
_RESERVED_AT_ONCE = 1 << 20

_lifting = threading.Lock()
# Descriptors of the files that libhdf5 has open until the process ends.
_never_closed: list[int] = []
# What the system says where a file can't be as long as that.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_file(
    path: str | os.PathLike[str], mode: Literal["r+", "w-"], *, for_swmr: bool = False, user_block: bytes = b""
) -> h5py.File:
    """Open a file for writing, to be closed by `close_file`.

    Parameters
    ----------
    path
        A local path.
    mode
        As h5py has it: a file that is there, or a new one.
    for_swmr
        Whether what is new is in the version of the format that lets a file be read while it is written, which HDF5
        1.10 and later read; by default in the oldest that has what it takes.
    user_block
        What is in a new file before all that is HDF5's: 512 bytes, or a power of two beyond.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110 if for_swmr else h5f.LIBVER_EARLIEST, h5f.LIBVER_LATEST)
    # What is written to a dataset is written at once, so that it fails there, and not when the dataset is closed.
    access.set_sieve_buf_size(0)
    metadata, slots, _, preemption = access.get_cache()
    access.set_cache(metadata, slots, 0, preemption)
    name = os.fsencode(path)
    if mode == "r+":
        return h5py.File(h5f.open(name, h5f.ACC_RDWR, access))
    properties = properties_of_members(h5p.FILE_CREATE)
    properties.set_userblock(len(user_block))
    made = h5py.File(h5f.create(name, h5f.ACC_EXCL, properties, access))
    if user_block:
        with open(path, "r+b") as stream:
            stream.write(user_block)
    return made


def open_present(path: str | os.PathLike[str], *, for_swmr: bool = False) -> h5py.File:
    """Open a file that is there for writing, to be closed by `close_file`.

    Parameters
    ----------
    path
        A local path.
    for_swmr
        Whether what is new is in the version of the format that lets a file be read while it is written.

    Raises
    ------
    NexusFileError
        It can't be opened, as where somebody has it open. Readings of this package by libhdf5 are waited for.
    """
    name = os.fspath(path)
    while True:
        try:
            if any(os.path.samestat(os.fstat(own), os.stat(name)) for own in _never_closed):
                raise NexusFileError(
                    f"{name}: this process can't write it any more, as libhdf5 couldn't close it when that failed "
                    "before; end the process, and do it again in another"
                )
            return open_file(path, "r+", for_swmr=for_swmr)
        except NexusFileError:
            raise
        except OSError as error:
            if not is_read_here(error) or not handles.outlast(name):
                raise unwritable(name, name, error, why_unwritten(error)) from error


def keep_in_memory(file: h5py.File) -> None:
    """Have libhdf5 write nothing of what it knows of a file, before all of it."""
    config = file.id.get_mdc_config()
    config.evictions_enabled = False
    config.incr_mode = config.flash_incr_mode = config.decr_mode = 0
    file.id.set_mdc_config(config)


def make_room(file: h5py.File, begin: int, name: str | os.PathLike[str]) -> None:
    """Have room on the disk for all that is still to be written into a file, where the system can make it.

    Parameters
    ----------
    file
        The file.
    begin
        Where that begins which wasn't there when the file was opened; what has no blocks before that gets none.
    name
        What it is called in errors.
    """
    try:
        if hasattr(os, "posix_fallocate") and (more := file.id.get_filesize() - begin) > 0:
            os.posix_fallocate(file.id.get_vfd_handle(), begin, more)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise NexusFileError(f"{os.fspath(name)}: can't be written ({error.strerror})") from error


def sync_file(file: h5py.File, name: str | os.PathLike[str]) -> None:
    """Have on the disk what was written into a file, not what libhdf5 still has of it in memory.

    Parameters
    ----------
    file
        The file.
    name
        What it is called in errors.
    """
    try:
        os.fsync(file.id.get_vfd_handle())
    except OSError as error:
        raise NexusFileError(f"{os.fspath(name)}: can't be written ({error.strerror})") from error


def reserve_room(file: h5py.File, more: int) -> None:
    """Have room on the disk for so many bytes behind the end of a file, which `close_file` gives back.

    To be asked for before libhdf5 gives a chunk another place: by the time that it can't write there, whatever is
    written next gets the place that the chunk had. Who asks has h5py's lock.

    Parameters
    ----------
    file
        The file.
    more
        How many bytes.

    Raises
    ------
    OSError
        There isn't; the file is as it was.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    descriptor, end = file.id.get_vfd_handle(), file.id.get_filesize()
    size = os.fstat(descriptor).st_size
    if size >= end + more:
        return
    for count in (max(more, _RESERVED_AT_ONCE), more):
        try:
            os.posix_fallocate(descriptor, size, end + count - size)
            return
        except OSError as error:
            os.ftruncate(descriptor, max(end, size))
            if error.errno not in _NO_ROOM:
                return
            without_room = error
    raise without_room


def _give_room_back(file: h5py.File) -> None:
    """Cut off what was reserved and not written to."""
    with phil:  # or what another thread writes meanwhile would be cut off
        descriptor, end = file.id.get_vfd_handle(), file.id.get_filesize()
        if os.fstat(descriptor).st_size > end:
            os.ftruncate(descriptor, end)


def close_file(file: h5py.File) -> None:
    """Have all of a file on the disk, and close it; where that isn't possible it raises, and the file is closed too."""
    try:
        file.flush()
        _give_room_back(file)
        os.fsync(file.id.get_vfd_handle())  # some file systems tell only here what they couldn't write
    except BaseException:
        discard_file(file)
        raise
    file.close()


@contextmanager
def kept_file(file: h5py.File, name: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Close a file at the end of a ``with`` block, for others to write to who know nothing of full disks.

    What libhdf5 knows of it, text of any length among it, stays in memory until there is room for all of that.

    Parameters
    ----------
    file
        The file, which is of no use where this raises.
    name
        What it is called in errors.
    """
    try:
        begin = os.fstat(file.id.get_vfd_handle()).st_size
        keep_in_memory(file)
        yield file
        make_room(file, begin, name)
    except BaseException:
        discard_file(file)
        raise
    close_file(file)


@contextmanager
def closing_file(file: h5py.File, name: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Close a file at the end of a ``with`` block, with all that could be written into it.

    Parameters
    ----------
    file
        The file.
    name
        What it is called in errors.
    """
    try:
        yield file
    except BaseException:
        with suppress(AnyHdf5Error):
            close_file(file)
        raise
    try:
        close_file(file)
    except (OSError, RuntimeError) as error:
        raise NexusFileError(f"{os.fspath(name)}: can't be written ({why_unwritten(error)})") from error


def discard_file(file: h5py.File) -> bool:
    """Close a file, what is left to be written of which goes nowhere; False where libhdf5 can't let go of it."""
    with held_back():
        return not file or _discarded(file)


def _discarded(file: h5py.File) -> bool:
    descriptor = file.id.get_vfd_handle()
    own = os.dup(descriptor)
    try:
        if not keeps_free_space(file):
            _divert(descriptor)
        with _unlimited():
            file.flush()
            file.close()
        os.close(own)
    except AnyHdf5Error:
        # It stays open, as to close it would fail; and so does the file of the operating system, as libhdf5 would
        # take the next one of the same number for this one. Nobody has to wait for it.
        h5i.inc_ref(file.id)
        _never_closed.append(own)
        unlock(own)
        return False
    return True


def keeps_free_space(file: h5py.File) -> bool:
    """Whether a file remembers its free space, which libhdf5 reads from it to close it."""
    _, remembers, _ = file.id.get_create_plist().get_file_space_strategy()
    return bool(remembers)


def _divert(descriptor: int) -> None:
    """Have a descriptor lead nowhere."""
    with _nowhere() as nowhere:
        os.dup2(nowhere.fileno(), descriptor, inheritable=False)


def _nowhere() -> IO[bytes]:
    """A file without a name: in memory, where the system has such."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("nowhere"), "wb")
    return tempfile.TemporaryFile()


@contextmanager
def _unlimited() -> Iterator[None]:
    """Lift the limit of how large a process makes files, as far as it may: it holds for files in memory, too."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    with _lifting:  # or two would put back what the other has lifted
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limits[1], limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def why_unwritten(error: Exception) -> str:
    """What the operating system says, which libhdf5 hides among much else.

    Examples
    --------
    >>> why_unwritten(OSError("Can't write data (errno = 28, error message = 'No space left on device', buf = 0x7f)"))
    'No space left on device'
    """
    found = re.search("error message = '(.*?)'", str(error))
    return found[1] if found else getattr(error, "strerror", None) or reason_of(error)


def is_without_room(error: Exception) -> bool:
    """Whether an error says that there is no room for what is written, which reading has no need of.

    Examples
    --------
    >>> is_without_room(OSError("Can't write data (errno = 28, error message = 'No space left on device', buf = 0x7f)"))
    True
    """
    found = re.search(r"errno = (\d+)", str(error))
    return (int(found[1]) if found else getattr(error, "errno", None)) in _NO_ROOM


def why_elsewhere(file: h5py.File, path: str) -> str | None:
    """What became of an open file that isn't at its path any more, and of what is written into it; None where it is."""
    own = os.fstat(file.id.get_vfd_handle())
    try:
        # Opened, as names in network file systems are looked up anew only then.
        with open(path, "rb") as stream:
            if os.path.samestat(own, os.fstat(stream.fileno())):
                return None
    except FileNotFoundError:
        pass
    except OSError:  # which says nothing of it
        return None
    if own.st_nlink:
        return "was moved while it was written; all that was appended is in it, under the name that it has now"
    return (
        "was replaced or removed while it was written, and all that was appended is lost; write it anew, where no "
        "other program does"
    )
