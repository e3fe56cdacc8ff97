"""Why a request can't be answered: a status of HTTP and a message that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from nexus_xr.errors import (
    NexusError,
    NexusFileChangedError,
    NexusFileError,
    NexusFileNotFoundError,
    NexusPathError,
    NexusReachError,
)
from nexus_xr.hdf5.io.naming.reach import OUT_OF_REACH
from nexus_xr.hdf5.io.unreadable import BeingWrittenError

from .settings import Folder

# Where a path ends in the words of a message, rather than go on with another name than was looked for.
_END_OF_PATH = r"(?=[\s:;,'\")\]]|$)"

# What clients are told of a file that isn't served, whose name may be a path of this machine.
_NOT_SERVED = (
    "it is in a file outside of the folders that are served, or hidden there; whoever runs the service may serve that "
    "file's folder as well"
)


class Failure(Exception):  # noqa: N818  it is what a client is told, and no error here
    """A request that can't be answered.

    Parameters
    ----------
    status
        Status of HTTP: 4xx where the request has to change, 5xx where the file or the service is at fault.
    message
        What was found, and what to do.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


# The status of what is the file's fault or the service's, as is whatever nobody expected.
UNEXPECTED = 500
# That of what takes more than it may.
TOO_MUCH = 413
# The first that an error is one of, from the particular to the general.
_STATUSES: tuple[tuple[type[BaseException], int], ...] = (
    (NexusFileNotFoundError, 404),
    (NexusReachError, 403),
    (NexusPathError, 404),
    (NexusFileChangedError, 409),
    (BeingWrittenError, 503),
    (NexusFileError, UNEXPECTED),
    (NexusError, 422),
    (IndexError, 422),
)


def failure_of(error: BaseException, folders: Iterable[Folder]) -> Failure:
    """What a client is told of an error, with no word of where the folders are."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, MemoryError):
        found = f" ({error})" if str(error) else ""
        return Failure(
            413, f"to make the answer takes more memory than a worker has{found}; ask for less of it at once"
        )
    for each in (error, error.__cause__):
        if isinstance(each, PermissionError):
            return denied(_address(each.filename, folders))
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), UNEXPECTED)
    if status == UNEXPECTED and any(isinstance(each, MemoryError) for each in _with_reasons(error)):
        status = TOO_MUCH  # as a file that is whole may have chunks that are too large
    words = str(error) if isinstance(error, NexusError | IndexError) else f"{type(error).__name__}: {error}"
    return Failure(status, without_places(_without_unserved(words, error), folders))


def _without_unserved(words: str, error: BaseException) -> str:
    """The words of an error without the names of files that aren't served."""
    for each in _with_reasons(error):
        if str(each).endswith(OUT_OF_REACH):
            words = words.replace(str(each), _NOT_SERVED)
    return words


def _with_reasons(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came of."""
    reason: BaseException | None = error
    while reason is not None:
        yield reason
        reason = reason.__cause__ or reason.__context__


def denied(address: str) -> Failure:
    """What a client is told of what the service may not read; its first words are those that H5Web knows."""
    of = f" of {address!r}" if address else ""
    return Failure(
        403, f"Cannot read file: Permission denied{of}; whoever runs the service may give its user the right"
    )


def _address(path: object, folders: Iterable[Folder]) -> str:
    """What clients call a path; nothing where it isn't below the folders."""
    named = without_places(str(path), folders)
    return "" if named == str(path) else named


def without_places(words: str, folders: Iterable[Folder]) -> str:
    """Words in which files are named as clients name them.

    Examples
    --------
    >>> folders = [Folder("", "/data/scans")]
    >>> without_places("/data/scans/a.nxs: damaged", folders), without_places("/data/scans: is no file", folders)
    ('a.nxs: damaged', '.: is no file')
    """
    for folder in folders:
        words = words.replace(folder.path.rstrip("/") + "/", f"{folder.name}/" if folder.name else "")
        words = (folder.name or ".").join(re.split(re.escape(folder.path) + _END_OF_PATH, words))
    return words
