"""The files that links and virtual datasets name: where they are, and how this thread opens them.

What an external link leads to is opened through the one handle that its file has in this process, as what is read by
several handles isn't safe from libhdf5.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from nexus_xr.errors import SystemFaultError, is_of_system

from .reach import Reach, out_of_reach

if TYPE_CHECKING:
    import h5py

# Variables of the environment with folders in which libhdf5 looks first.
FOR_LINKS, FOR_SOURCES = "HDF5_EXT_PREFIX", "HDF5_VDS_PREFIX"

# Path of a local file -> its handle.
Follow: TypeAlias = "Callable[[str], h5py.File]"


def find_file(name: str, holder: str, reach: Reach, prefixes: str = FOR_SOURCES) -> str | None:
    """The file that is named, None where there is none: where libhdf5 looks for it, in its order.

    What is out of reach is left alone, so that nobody learns what is there.

    Parameters
    ----------
    name
        The name as it is stored, not that for the file itself.
    holder
        Path of the file that names it.
    reach
        Which files may be read.
    prefixes
        The variable of the environment with folders to look into first.

    Raises
    ------
    NexusReachError
        It is out of reach.
    SystemFaultError
        The system fails to look for it.
    """
    within = filter(reach.holds_file, _candidates(name, holder, prefixes))
    found = next(filter(_is_there, within), None)
    if found is None and not reach.holds_file(where_it_should_be(name, holder)):
        raise out_of_reach(name)
    return found


def numbers_there(name: str, holder: str, reach: Reach, prefixes: str = FOR_SOURCES) -> list[int]:
    """The numbers in the names of files that are there, in rising order, wherever `find_file` looks for these.

    Parameters
    ----------
    name
        The name as it is stored, with a null character where the number is.
    holder, reach, prefixes
        As `find_file` has them.

    Raises
    ------
    SystemFaultError
        The system fails to look for them.
    """
    found: set[int] = set()
    for candidate in dict.fromkeys(_candidates(name, holder, prefixes)):
        above, null, below = candidate.partition("\0")
        if null and reach.holds_file(candidate.replace("\0", "0")):
            # One folder is listed, however often the number is in the name, as it is the same wherever it is.
            folder, begin = os.path.split(above)
            ends = map(re.escape, below.partition(os.sep)[0].split("\0"))
            named = re.compile(f"{re.escape(begin)}(0|[1-9][0-9]*)" + r"\1".join(ends))
            numbers = (match[1] for match in map(named.fullmatch, _listed(folder)) if match is not None)
            paths = {number: candidate.replace("\0", number) for number in numbers}
            found |= {int(each) for each, path in paths.items() if reach.holds_file(path) and _is_there(path)}
    return sorted(found)


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        if is_of_system(error):
            raise _unfound(folder, error) from error
        return []  # it isn't there, or not for everyone


def _is_there(path: str) -> bool:
    """What `os.path.exists` gives, which takes what the system can't look for now for what isn't there."""
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        if is_of_system(error):
            raise _unfound(path, error) from error
        return False
    return True


def _unfound(path: str, error: Exception) -> SystemFaultError:
    return SystemFaultError(f"{path}: can't be looked for ({error}); try again, or look at what it lies on")


def _candidates(name: str, holder: str, prefixes: str) -> Iterator[str]:
    if os.path.isabs(name):
        yield name
        name = os.path.basename(name)
    folder = os.path.dirname(os.path.abspath(holder))
    for prefix in os.environ.get(prefixes, "").split(os.pathsep):
        if prefix:
            yield os.path.join(prefix.replace("${ORIGIN}", folder), name)
    yield os.path.join(folder, name)
    yield os.path.abspath(name)
    yield os.path.join(os.path.dirname(os.path.realpath(holder)), name)


def is_special_file(name: str, holder: str) -> bool:
    """Whether an external link leads to a pipe or device, which could block for ever when it is opened.

    Parameters
    ----------
    name
        The file that the link names.
    holder
        Path of the file that it is in.
    """
    for path in (name, os.path.join(os.path.dirname(holder), name)):
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return True
    return False


def where_it_should_be(name: str, holder: str) -> str:
    """The absolute path at which a file is expected that another names: from the folder of that one."""
    return os.path.join(os.path.dirname(os.path.abspath(holder)), name)


# As many links behind each other libhdf5 follows.
_MOST_LINKS = 16


class _Ways(threading.local):
    """How this thread follows links: those of the files that it has open, the last of them last; and how far it is."""

    def __init__(self) -> None:
        self.open: list[Follow] = []
        self.followed = 0


_ways = _Ways()


@contextmanager
def following(follow: Follow) -> Iterator[None]:
    """Have this thread open linked files so, for the length of a ``with`` block."""
    _ways.open.append(follow)
    try:
        yield
    finally:
        _ways.open.remove(follow)


@contextmanager
def linked_handle(path: str) -> Iterator[h5py.File | None]:
    """The handle of a file that a link leads to, which is open as long as the file that this thread opened last.

    None where there is none, and behind very many links, which may lead round in circles.
    """
    _ways.followed += 1
    try:
        yield _ways.open[-1](path) if _ways.open and _ways.followed <= _MOST_LINKS else None
    finally:
        _ways.followed -= 1
