"""Where a path leads, and where an open file is."""

from __future__ import annotations

import os
from contextlib import suppress

# A descriptor that only stands for a place: nothing is opened that it could do anything to.
_PLACE = getattr(os, "O_PATH", None)
# What Linux puts behind a name that isn't the file's any more, as where another was put in its place.
# Source: the manual page proc_pid_fd(5).
_GONE = " (deleted)"


def real_path(path: str) -> str:
    """What `os.path.realpath` gives, which looks at each folder on the way: the system is asked once where it can be.

    Examples
    --------
    >>> real_path("/usr/../usr/./lib") == os.path.realpath("/usr/lib")
    True
    """
    if _PLACE is None:
        return os.path.realpath(path)
    try:
        descriptor = os.open(path, _PLACE | os.O_CLOEXEC)
    except OSError:  # not there, or not to be seen
        return os.path.realpath(path)
    try:
        return place_of(descriptor)
    except OSError:  # without that file system
        return os.path.realpath(path)
    finally:
        os.close(descriptor)


def place_of(descriptor: int) -> str:
    """The path of an open file, or the one that it had last.

    Raises
    ------
    OSError
        The system doesn't say that.
    """
    place = _said_of(descriptor)
    if not place.endswith(_GONE) or _is_at(descriptor, place):
        return place
    return _said_of(descriptor).removesuffix(_GONE)  # which is twice there for one that has gone from such a name since


def _said_of(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")


def _is_at(descriptor: int, place: str) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), os.lstat(place))
    return False
