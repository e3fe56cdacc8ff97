"""A wall that Linux builds around a process for good: which folders it may read, and that it may write nowhere.

It stands beneath what the service decides itself, for what libraries open that nobody expected.

Source: the Linux kernel's documentation, "Landlock: unprivileged access control", and its header ``landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable

# Numbers of the system calls, which are the same on all architectures.
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_ASK_VERSION, _BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1, 2, 4, 8
_READ = _EXECUTE | _READ_FILE | _READ_FOLDER
# By the version of the interface: all that is forbidden unless a rule allows it.
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}
_RULE = struct.Struct("=Qi")


def version() -> int:
    """The version of the interface that the kernel has; 0 where it has none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)))


def restrict(readable: Iterable[str], writable: Iterable[str] = ()) -> bool:
    """Let this process, and those that it starts, read below these places only, and write to these; for good.

    Returns
    -------
    bool
        Whether the kernel does so; False where it can't.
    """
    known = version()
    try:
        return known > 0 and _restricted(_HANDLED[min(known, max(_HANDLED))], readable, writable)
    except OSError:  # there is Landlock, but not for these places, or not here
        return False


def _restricted(handled: int, readable: Iterable[str], writable: Iterable[str]) -> bool:
    ruleset = _called(_CREATE, struct.pack("=Q", handled), ctypes.c_size_t(8), 0)
    try:
        for path in readable:
            _allow(ruleset, path, _READ)
        for path in writable:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        if _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        _called(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what isn't there needs no rule
        return
    try:
        of_files = _EXECUTE | _READ_FILE | _WRITE_FILE
        allowed = access if os.path.isdir(path) else access & of_files
        _called(_ADD_RULE, ruleset, _BENEATH, _RULE.pack(allowed, place), 0)
    finally:
        os.close(place)


def _called(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock refuses a rule")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
