"""Answers that stay as they are while their file does, sent again without a worker being asked.

A file's state is looked at for each request, in the process that speaks HTTP. That is done for files of this machine
alone: the state of one that lies elsewhere can take as long as the network pleases, and all clients would wait for it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from starlette.responses import Response

from nexus_xr.server.jobs.kept import Kept
from nexus_xr.server.jobs.served_files import State, split, state_named, state_of
from nexus_xr.server.settings import Folder
from nexus_xr.server.workers.exchange import Reply

from .replies import SameHead, whole_response
from .stored_replies import StoredBodies, StoredReply

_MOST_BYTES = 8 << 20
_MOST_BODY_BYTES = 1 << 20
# What an answer takes besides its body.
_OVERHEAD_BYTES = 2048
# Before devices are listed anew.
_LISTED_SECONDS = 10.0
# File systems on devices of this machine, or in its memory.
_OF_THIS_MACHINE = frozenset(("btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"))


class Said(NamedTuple):
    """What a request says that its answer depends on, as it says it: by that, none is read anew that was asked before.

    Attributes
    ----------
    path, query
        Of the address.
    headers
        Those that are parameters, by their names in small letters.
    """

    path: str
    query: bytes
    headers: tuple[tuple[bytes, str], ...] = ()

    @property
    def size(self) -> int:
        """How long it is."""
        return len(self.path) + len(self.query) + sum(len(text) for _, text in self.headers)


class Known(NamedTuple):
    """An answer that need not be asked for, and the response to whoever asks."""

    reply: Reply
    response: Response


@dataclass(frozen=True)
class Lasting:
    """An answer, and the file that it lasts with.

    Parameters
    ----------
    reply
        The answer, of one part.
    path
        The file.
    state
        The state in which it was.
    """

    reply: Reply
    path: str
    state: State

    @cached_property
    def response(self) -> Response:
        """The response to whoever asks for it."""
        return whole_response(self.reply)

    def is_current(self) -> bool:
        """Whether the file still is in that state."""
        try:
            return state_of(os.stat(self.path)) == self.state
        except (OSError, ValueError):
            return False


class Remembered:
    """Answers that last.

    Parameters
    ----------
    folders
        What is served.
    """

    def __init__(self, folders: Sequence[Folder]) -> None:
        self._folders = folders
        self._kept: Kept[Lasting | StoredReply] = Kept(_MOST_BYTES)
        self._bodies = StoredBodies(folders)
        self._devices: tuple[float, frozenset[str]] = (-math.inf, frozenset())

    def find(self, said: Said) -> Known | None:
        """The answer to a request, None where a worker has to be asked."""
        found = self._kept.get(said)
        if isinstance(found, StoredReply):
            body = self._bodies.read(found)
            return None if body is None else Known(found.reply, SameHead(found.response, body))
        return Known(found.reply, found.response) if found is not None and found.is_current() else None

    def keep(self, said: Said, reply: Reply) -> None:
        """Remember an answer, if it lasts and its file is on this machine."""
        if not reply.lasts_with or reply.parts > 1 or not self._is_local(reply.tag.partition("-")[0]):
            return
        folder, names = split(self._folders, reply.lasts_with)
        path = os.path.join(folder.path, *names) if folder is not None else ""
        state = state_named(reply.tag)
        if reply.stored is not None and len(reply.pieces) == 1:
            stored = StoredReply.of(reply, reply.stored, path, state)
            if stored is not None:
                self._kept.put(said, stored, said.size + stored.nbytes + _OVERHEAD_BYTES)
        elif reply.size <= _MOST_BODY_BYTES:
            lasting = Lasting(replace(reply, pieces=(bytes(reply.body),)), path, state)
            if lasting.is_current():
                self._kept.put(said, lasting, said.size + reply.size + _OVERHEAD_BYTES)

    def _is_local(self, device: str) -> bool:
        """Whether a device is of this machine, by a list that is not old."""
        now = time.monotonic()
        if now - self._devices[0] > _LISTED_SECONDS:
            self._devices = now, frozenset(local_devices())
        return device in self._devices[1]


def local_devices() -> Iterator[str]:
    """The numbers of the devices of this machine, as tags begin with them; none where the system doesn't list them.

    Source: the Linux kernel's documentation, "The /proc Filesystem", section 3.5.
    """
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:
        return
    for mount in mounts:
        place, _, kind = mount.partition(" - ")
        if kind.partition(" ")[0] in _OF_THIS_MACHINE:
            major, _, minor = place.split(" ")[2].partition(":")
            yield f"{os.makedev(int(major), int(minor)):x}"
