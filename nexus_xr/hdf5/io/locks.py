"""Locks beside files, for writers in any process: each goes with the process that holds it, however that ends.

What that process forks, which may outlive it, holds nothing.
"""

from __future__ import annotations

import io
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nexus_xr.errors import NexusFileError, NexusWarning, level_of_caller
from nexus_xr.hdf5.runtime.fork import after_fork

# Who holds a lock lives and is at work, copying a file of any size at most.
MOST_SECONDS = 3600.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
# Who waits longer is told for what.
_QUIET_SECONDS = 2.0
# Bytes of a name that another one begins with, of the 255 that most file systems have for one.
_NAME_BYTES = 200


class Lock:
    """A lock that is held: a file of its own, which says by whom, and is removed when the lock is released.

    Parameters
    ----------
    path
        The lock's file. Where it can't be made, as the folder is not to be written to, nothing is locked.

    Raises
    ------
    BlockingIOError
        Another holds it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._stream: io.FileIO | None = None
        #: Whether others are kept out; the system or the file system may have no locks.
        self.is_sure = False
        after_fork(self._leave)
        try:
            with suppress(PermissionError):
                self._stream, self.is_sure = _open_locked(path)
            if self._stream is not None:
                with suppress(OSError):  # a full disk
                    self._stream.truncate(0)
                    self._stream.write(this_process().encode())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release it; once more, nothing happens but what an interrupt kept from happening before."""
        stream = self._stream
        if stream is None:
            return
        failed = None
        if not stream.closed:
            try:  # before it is released, so that nobody's is removed but this one's
                if os.path.samestat(os.fstat(stream.fileno()), os.stat(self._path)):
                    os.unlink(self._path)
            except FileNotFoundError:
                pass
            except OSError as error:
                failed = error
            stream.close()
            if not self.is_sure:  # on Windows, which removes no file that is open
                with suppress(OSError):
                    os.unlink(self._path)
        self._stream = None
        if failed is not None and self.is_sure:  # a system without locks doesn't remove what is open
            message = f"{self._path}: can't be removed ({failed.strerror}), and locks nothing any more; remove it"
            warnings.warn(NexusWarning(message), stacklevel=level_of_caller())

    def _leave(self) -> None:
        """Close what a forked process has of it, which would hold the lock, too, and let the file be."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def _open_locked(path: str) -> tuple[io.FileIO, bool]:
    while True:
        # A stream, not a number: what an interrupt makes nobody's is closed with it.
        stream = io.FileIO(path, "a+")
        try:
            is_locked = _lock(stream.fileno())
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(stream.fileno()), os.stat(path)):
                    return stream, is_locked
        except BaseException:
            stream.close()
            raise
        stream.close()  # the holder before removed it when it was done


def _lock(descriptor: int, with_readers: bool = False) -> bool:
    """Lock an open file, where the operating system and its file system can."""
    try:
        import fcntl

        fcntl.flock(descriptor, (fcntl.LOCK_SH if with_readers else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except (ImportError, OSError):
        return False
    return True


def unlock(descriptor: int) -> None:
    """Unlock an open file, which may not be locked."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)


def this_process() -> str:
    """What this process says of itself in the locks that it holds."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def holder_of(path: str) -> str | None:
    """Who says in a lock's file to hold it, or to have held it; None where there is no such file."""
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read(200)
    return None


def is_of_this_host(holder: str | None) -> bool:
    return holder is not None and holder.endswith(f" on {socket.gethostname()}")


def is_open_for_writing(path: str) -> bool:
    """Whether libhdf5, in whatever process, has a file open for writing, as far as it has locked it."""
    return _is_locked(path, with_readers=True)


def is_open(path: str) -> bool:
    """Whether libhdf5, in whatever process, has a file open for writing or reading, as far as it has locked it."""
    return _is_locked(path, with_readers=False)


def _is_locked(path: str, with_readers: bool) -> bool:
    if not os.path.isfile(path):  # a pipe, which isn't open before somebody writes into it
        return False
    with suppress(OSError), open(path, "rb") as stream:
        try:
            _lock(stream.fileno(), with_readers)
        except BlockingIOError:
            return True
    return False


@contextmanager
def alone(path: str) -> Iterator[None]:
    """Be the only one, of all processes, that begins with or completes a file which takes the place of this one.

    Raises
    ------
    NexusFileError
        Another didn't come to an end within `MOST_SECONDS`.
    """
    lock = _lock_beside(path)
    try:
        yield
    finally:
        try:
            lock.close()
        finally:  # an interrupt may have come before it was done
            lock.close()


def _lock_beside(path: str) -> Lock:
    beside = lock_file(path, "lock")
    for pause in _pauses():
        try:
            return Lock(beside)
        except BlockingIOError:
            time.sleep(pause)
        except OSError as error:
            raise unlocked(path, error) from error
    holder = holder_of(beside) or "another process"
    raise NexusFileError(
        f"{path}: {holder} is still writing it after {MOST_SECONDS:.0f} s; wait for that, or end it, and do it again"
    )


def lock_file(path: str, kind: str) -> str:
    """The file of a lock of some kind beside a file."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{first_bytes(name)}.{kind}")


def first_bytes(name: str) -> str:
    """So much of a file's name that it is in few enough bytes, of which characters may take several, to be added to.

    Examples
    --------
    >>> first_bytes("scan.nxs"), len(first_bytes("ä" * 120))
    ('scan.nxs', 100)
    """
    return os.fsencode(name)[:_NAME_BYTES].decode(errors="ignore")


def unlocked(path: str, error: OSError) -> NexusFileError:
    """The error for a file beside which no lock can be made."""
    if isinstance(error, FileNotFoundError):
        return NexusFileError(f"{path}: can't be written, as there is no folder {os.path.dirname(path)}; make it")
    return NexusFileError(f"{path}: can't be written ({error})")


def wait_until_closed(path: str) -> None:
    """Wait until no process has a file open for writing; a warning says so where that takes a while.

    Raises
    ------
    NexusFileError
        One still has after `MOST_SECONDS`.
    """
    begin, is_told = time.monotonic(), False
    for pause in _pauses():
        if not is_open_for_writing(path):
            return
        if not is_told and time.monotonic() - begin >= _QUIET_SECONDS:
            message = f"{path}: is open for writing elsewhere, perhaps in this process; waiting until it is closed"
            warnings.warn(NexusWarning(message), stacklevel=level_of_caller())
            is_told = True
        time.sleep(pause)
    raise NexusFileError(f"{path}: is open for writing still after {MOST_SECONDS:.0f} s; close it, and do it again")


def _pauses() -> Iterator[float]:
    """How long to wait after each attempt."""
    end, pause = time.monotonic() + MOST_SECONDS, _SHORTEST_PAUSE
    while time.monotonic() < end:
        yield pause
        pause = min(2 * pause, _LONGEST_PAUSE)
