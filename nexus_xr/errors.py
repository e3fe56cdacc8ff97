"""What can go wrong, in words that name the file, the path in it, what was found and what to do."""

from __future__ import annotations

import copy
import errno
import re
import sys
import traceback
import warnings
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any, TypeVar

from .diagnostics import Diagnostic

_LISTED = 10
_BETWEEN = ("nexus_xr", "xarray", "contextlib")
# Where an error that has travelled keeps what the system said.
_TOLD = "_told"
# What the system says where it lies in a name, in what that stands for, in who may read it, or in a position that the
# file itself gave; all else says nothing of a file.
_OF_FILES = frozenset(
    (
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EILSEQ,
        errno.EACCES,
        errno.EPERM,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESPIPE,
        errno.EINVAL,
        errno.EOVERFLOW,
        errno.EFBIG,
    )
)
# What libhdf5 says of an error of the system, among much else.
_IN_TEXT = re.compile(r"\berrno = (\d+), error message")


class NexusError(ValueError):
    """Something that was asked of a NeXus file can't be done."""


class NexusFileError(OSError, NexusError):  # in this order another process can make it anew with its traceback
    """The file isn't HDF5, is damaged, or can't be read for another reason.

    What the system said, where it did, is in ``errno`` and ``filename``, as with errors of its own.
    """

    @property
    def errno(self) -> int | None:  # type: ignore[override]  # nobody sets it
        return self._of_system[0]

    @property
    def filename(self) -> Any:
        return self._of_system[1]

    @property
    def _of_system(self) -> tuple[int | None, Any]:
        """Number and file of the error of the system that this one comes of."""
        told: tuple[int | None, Any] | None = self.__dict__.get(_TOLD)
        if told is None:
            cause = self.__cause__
            if isinstance(cause, OSError) and cause is not self:
                return cause.errno, cause.filename
            found = _IN_TEXT.search(str(cause))
            return int(found[1]) if found else None, None
        return told

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args, {**self.__dict__, _TOLD: self._of_system}  # as a cause doesn't travel


class NexusFileNotFoundError(NexusFileError, FileNotFoundError):
    """There is no such file."""


class NexusFileChangedError(NexusFileError):
    """The file isn't any more the one that was opened: it was replaced, or written to."""


class NexusReachError(NexusFileError):
    """The file, or what it is made of, lies outside of the folders that may be read."""


class SystemFaultError(NexusFileError):
    """The system fails to look for, open or read a local file, for a reason that doesn't lie in the file or its name.

    It is never taken for something that the file says and that can't be honoured, as it may be gone the next time.
    """


class WithinFileError(NexusError):
    """Something can't be stored in an open file, which isn't named: the message begins with the path in it."""


class NexusExtraError(ModuleNotFoundError, NexusError):
    """A package that only some of what is here needs isn't installed; the message says which extra brings it."""


class NexusPathError(NexusError):
    """A path or selector matches nothing in the file, or more than one thing."""


def is_of_system(error: BaseException) -> bool:
    """Whether an error is one of the system that says nothing of the file which it was asked for.

    Examples
    --------
    >>> is_of_system(OSError(errno.EIO, "Input/output error")), is_of_system(OSError(errno.ENOENT, "No such file"))
    (True, False)
    >>> is_of_system(OSError("h5py says something"))
    False
    """
    return isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_FILES


class NexusWarning(UserWarning):
    """A file was opened or written, but something in it could not be honoured; the message says where and why.

    Parameters
    ----------
    message
        All that could not be honoured, in words.
    diagnostics
        The same one by one; it is kept as the attribute ``diagnostics``, a tuple.
    """

    def __init__(self, message: str = "", diagnostics: Iterable[Diagnostic] = ()) -> None:
        super().__init__(message)
        self.diagnostics = tuple(diagnostics)


AnyError = TypeVar("AnyError", bound=BaseException)


def anew(error: AnyError) -> AnyError:
    """An error to be kept, or to be raised in several threads: like this one, but with no frames that it came through.

    An error that is kept where one of its frames can reach it lives, with all that its frames hold, until garbage is
    collected.
    """
    fresh = copy.copy(error)
    fresh.__cause__ = error.__cause__
    return fresh


def let_go(error: BaseException) -> None:
    """Have an error, which its user may keep, hold nothing of what was at work when it was raised."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        chained = waiting.pop()
        if chained is not None and id(chained) not in seen:  # as anyone can make one its own cause
            seen.add(id(chained))
            traceback.clear_frames(chained.__traceback__)
            waiting += [chained.__cause__, chained.__context__]


def listed(items: Iterable[str], most: int = _LISTED) -> str:
    """Bullet list of at most `most` items, for an error's or a warning's message.

    Examples
    --------
    >>> print(listed(["/entry/a", "/entry/b", "/entry/c"], most=2))
      - /entry/a
      - /entry/b
      ... and 1 more
    """
    items = list(items)
    lines = [f"  - {item}" for item in items[:most]]
    if len(items) > most:
        lines.append(f"  ... and {len(items) - most} more")
    return "\n".join(lines)


def some(items: Sequence[str], most: int = 5) -> str:
    """At most `most` items in one line.

    Examples
    --------
    >>> some(["x", "y", "z"], most=2)
    'x, y and 1 more'
    """
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def warn_once(heading: str, diagnostics: Iterable[Diagnostic]) -> None:
    """Issue one `NexusWarning` of all that was met while a file was opened, or written."""
    diagnostics = tuple(diagnostics)
    if diagnostics:
        message = f"{heading}:\n{listed(map(str, diagnostics))}"
        warnings.warn(NexusWarning(message, diagnostics), stacklevel=level_of_caller())


def level_of_caller() -> int:
    """How far up the stack, from who warns, the code is that asked for the file to be opened."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _BETWEEN:
        frame, level = frame.f_back, level + 1
    return level
