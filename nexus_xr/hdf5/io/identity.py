"""What tells that a file is still the one that was described."""

from __future__ import annotations

import os
import uuid
from typing import NamedTuple

from nexus_xr.errors import NexusFileChangedError


class Identity(NamedTuple):
    """What tells one state of a local file from another."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> Identity:
        return cls(stat.st_size, stat.st_mtime_ns)


class Version(NamedTuple):
    """What tells one state of a file in a store from another.

    Parameters
    ----------
    size
        Bytes of the file.
    tag
        What its store tells versions by; empty where it tells nothing.
    """

    size: int
    tag: str

    def differs_from(self, known: Version) -> bool:
        return self.size != known.size or bool(self.tag and self.tag != known.tag)


class Snapshot(NamedTuple):
    """What tells the times apart at which a file was opened while another process was writing to it.

    Parameters
    ----------
    inode
        Where the system has the file.
    size
        Bytes of it then, of which a writer takes none away that others read beside it.
    birth
        When its root was made, by which a file is told from one that is written anew in its place; None where it
        doesn't say that.
    token
        What no other time has.
    """

    inode: int
    size: int
    birth: int | None
    token: str

    @classmethod
    def of(cls, stat: os.stat_result, birth: int | None) -> Snapshot:
        return cls(stat.st_ino, stat.st_size, birth, uuid.uuid4().hex)

    def may_become(self, stat: os.stat_result, birth: int | None, is_growing: bool) -> bool:
        """Whether it may be the same file that is found later, which is still being written or isn't any more."""
        is_cut = is_growing and stat.st_size < self.size
        return stat.st_ino == self.inode and birth == self.birth and not is_cut


def changed(name: str, known: Identity | Version | Snapshot, now: Identity | Version) -> NexusFileChangedError:
    """The error for a file that isn't any more the one that was described.

    Examples
    --------
    >>> changed("a.nxs", Identity(800, 0), Identity(800, 1))
    NexusFileChangedError('a.nxs: the file changed since it was opened (it was written to or replaced); open it again')
    """
    if isinstance(known, Snapshot):
        what = "it was being written, and another was written in its place"
    elif known.size == now.size:
        what = "it was written to or replaced"
    else:
        what = f"it had {known.size} bytes, now {now.size}"
    return NexusFileChangedError(f"{name}: the file changed since it was opened ({what}); open it again")


def unsettled(name: str) -> NexusFileChangedError:
    """The error for a file that is between two states.

    Examples
    --------
    >>> unsettled("a.nxs")
    NexusFileChangedError('a.nxs: another process is changing the file; open it again')
    """
    return NexusFileChangedError(f"{name}: another process is changing the file; open it again")


def expired(name: str) -> NexusFileChangedError:
    """The error for a file that isn't any more the one of which somebody else opened a file object.

    Examples
    --------
    >>> expired("a.nxs")
    NexusFileChangedError('a.nxs: the file changed since its file object was opened; open one again')
    """
    return NexusFileChangedError(f"{name}: the file changed since its file object was opened; open one again")
