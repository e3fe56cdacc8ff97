"""Where a path leads."""

from __future__ import annotations

import os

# A descriptor that only stands for a place: nothing is opened that it could do anything to.
_PLACE = getattr(os, "O_PATH", None)


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
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # without that file system
        return os.path.realpath(path)
    finally:
        os.close(descriptor)
