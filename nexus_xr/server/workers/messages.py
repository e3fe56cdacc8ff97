"""What goes between the service and a worker: requests one way, answers the other.

A request is a pickle behind its length and the number of the room for the answer. An answer is a head of JSON behind
its length, as nothing that a worker says is trusted; its body lies in memory that both have, an outbox of several
rooms, from where it is sent without being copied. What is too large for a room comes part after part, each when the
service says so; an empty message says that it is there.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import sys
import tempfile

LENGTH = struct.Struct("<I")
# As much as most answers have, so that they take one turn.
ROOM_BYTES = 4 << 20
# In the first nothing stays, so that there is always one.
ROOMS = 8
OUTBOX_BYTES = ROOMS * ROOM_BYTES
MOST_HEAD_BYTES = 1 << 20
MOST_REQUEST_BYTES = 1 << 30
_MOST_RECEIVED = 64 << 10
GO_ON = b"+"
# The status that a worker answers with which may not read the folders that are served by now.
OUTDATED = 0
# One byte goes with the descriptors of a new worker, and the number of its process comes back.
NEW_WORKER = b"w"
PROCESS = struct.Struct("<q")


def new_outbox() -> int:
    """The descriptor of memory for an outbox."""
    return new_memory(OUTBOX_BYTES)


def new_memory(size: int) -> int:
    """The descriptor of memory that several processes can have, zeros at first."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("nexus_xr")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def mapped(descriptor: int) -> mmap.mmap:
    """The memory of an outbox; the descriptor isn't needed any more."""
    try:
        return mmap.mmap(descriptor, OUTBOX_BYTES)
    finally:
        os.close(descriptor)


def behind_its_length(content: bytes) -> bytes:
    """A message as it is sent."""
    return LENGTH.pack(len(content)) + content


def place_of(room: int) -> slice:
    """Where a room is in an outbox."""
    return slice(room * ROOM_BYTES, (room + 1) * ROOM_BYTES)


def taken(heard: bytearray, most: int) -> bytes | None:
    """The first message of what was heard, which is taken from there; None where it isn't all there yet.

    Raises
    ------
    ValueError
        It is longer than `most`.

    Examples
    --------
    >>> heard = bytearray(behind_its_length(b"one") + behind_its_length(b"two")[:-1])
    >>> taken(heard, 10), taken(heard, 10)
    (b'one', None)
    """
    if len(heard) < LENGTH.size:
        return None
    end = LENGTH.size + LENGTH.unpack_from(heard)[0]
    if end > LENGTH.size + most:
        raise ValueError(f"a message of {end} bytes")
    if len(heard) < end:
        return None
    message = bytes(heard[LENGTH.size : end])
    del heard[:end]
    return message


def receive(channel: socket.socket) -> bytes | None:
    """The next message of one who waits for an answer before the next; None where there are no more."""
    heard = bytearray()
    while (message := taken(heard, MOST_REQUEST_BYTES)) is None:
        part = channel.recv(_MOST_RECEIVED)
        if not part:
            return None
        heard += part
    return message
