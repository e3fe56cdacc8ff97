"""From the address of a file to the file, which lies below the folders that are served or isn't there."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from nexus_xr.errors import is_of_system
from nexus_xr.hdf5.io.naming.reach import Reach, is_hidden
from nexus_xr.hdf5.io.naming.real_path import real_path
from nexus_xr.hdf5.io.reference import reach_within
from nexus_xr.server.failures import UNEXPECTED, Failure, denied
from nexus_xr.server.settings import Folder

NOT_FOUND = "File not found! There is no {address!r} here; /api/files lists what there is"

# Device, number, bytes, and when content and description changed last, of which programs can set back the first alone.
State = tuple[int, int, int, int, int]
# Of folders, each a device and a number; None where there is none.
Identities = tuple[tuple[int, int] | None, ...]
# More than between two ticks of any clock by which systems say when a file was written.
_SETTLED_NS = 2 * 10**9


@dataclass(frozen=True)
class ServedFile:
    """A file as it is now.

    Parameters
    ----------
    address
        What clients call it.
    path
        Where it is, once all links are followed.
    state
        What tells it from other files, and from itself once it changed.
    """

    address: str
    path: str
    state: State

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.state[2]

    @property
    def key(self) -> Hashable:
        """What a source of its bytes is told from others by."""
        return self.state[:4]

    @property
    def tag(self) -> str:
        """The state in a form for HTTP."""
        return tag_of(self.state)

    @property
    def is_settled(self) -> bool:
        """Whether its next change will show."""
        return is_settled(self.state)


def state_of(found: os.stat_result) -> State:
    """What tells a file from others, and from itself once it changed."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_settled(state: State) -> bool:
    """Whether the next change of what is in this state will show: times are coarse, so that two may have the same."""
    return time.time_ns() - state[3] > _SETTLED_NS


def tag_of(state: State) -> str:
    """A state in a form for HTTP."""
    return "-".join(f"{part:x}" for part in state)


def state_named(tag: str) -> State:
    """The state that a tag stands for.

    Examples
    --------
    >>> state_named(tag_of((1, 20, 300, 4000, 5000)))
    (1, 20, 300, 4000, 5000)
    """
    device, inode, size, changed, described = (int(part, 16) for part in tag.split("-"))
    return device, inode, size, changed, described


def reach_of(folders: Sequence[Folder]) -> Reach:
    """Which files may be read for who asks: those below the folders, but for what is hidden there."""
    return reach_within([folder.path for folder in folders], has_hidden=False)


def identities_of(folders: Sequence[Folder]) -> Identities:
    """What tells the folders that are there from others of their names that come later; None of one that is gone."""
    return tuple(map(_identity, folders))


def _identity(folder: Folder) -> tuple[int, int] | None:
    try:
        found = os.stat(folder.path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def file_at(folders: Sequence[Folder], address: str) -> ServedFile:
    """The regular file of an address.

    Raises
    ------
    Failure
        There is none below the folders, or it lies where the service may not look.
    """
    path = resolved(folders, address)
    try:
        found = os.stat(path)
    except PermissionError:
        raise denied(address) from None
    except OSError as error:
        raise unfound(address, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise Failure(404, f"File not found! {address!r} is no file; /api/files lists what there is")
    return ServedFile(address, path, state_of(found))


def unfound(address: str, error: OSError) -> Failure:
    """What a client is told of what isn't there, or of what the system fails to look for."""
    if is_of_system(error):
        return Failure(UNEXPECTED, f"{address or '.'}: can't be looked for ({error.strerror}); ask for it again")
    return Failure(404, NOT_FOUND.format(address=address))


def resolved(folders: Sequence[Folder], address: str) -> str:
    """The path of an address, which need not be there.

    Raises
    ------
    Failure
        It leads out of the folders or to what is hidden in them, or has names that aren't shown.
    """
    folder, rest = split(folders, address)
    if folder is None or not all(map(is_shown, rest)):
        raise Failure(404, NOT_FOUND.format(address=address))
    path = real_path(os.path.join(folder.path, *rest))
    if not is_served(folder.path, path):
        raise Failure(404, NOT_FOUND.format(address=address))
    return path


def split(folders: Sequence[Folder], address: str) -> tuple[Folder | None, list[str]]:
    """The folder that an address is in, None where there is none, and the names of the way from there."""
    names = [name for name in address.split("/") if name]
    if len(folders) == 1:
        return folders[0], names
    return next((each for each in folders if names and each.name == names[0]), None), names[1:]


def is_shown(name: str) -> bool:
    """Whether a file or folder of that name may be asked for: not up the tree, and not hidden.

    No address has a name that isn't UTF-8, nor one with a sign by which the system cuts paths: addresses were cut by
    slashes before.
    """
    is_utf_8 = name.isascii() or name.encode(errors="replace").decode() == name
    return is_utf_8 and not name.startswith(".") and "\0" not in name and os.sep not in name


def is_served(folder: str, path: str) -> bool:
    """Whether a path is that of a folder that is served, or lies below it and isn't hidden there.

    Examples
    --------
    >>> [is_served("/data", path) for path in ("/data/a.nxs", "/data-2/a.nxs", "/data/.git/a.nxs")]
    [True, False, False]
    """
    is_below = path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
    return is_below and not is_hidden(path, folder)
