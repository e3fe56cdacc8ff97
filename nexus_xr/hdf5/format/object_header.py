"""What is said about an object, message by message.

Source: the HDF5 file format specification, sections IV.A.1 and IV.A.2.q (continuation).
"""

from __future__ import annotations

import struct

from . import compiled
from .checksum import CHECKSUM_BYTES, checked
from .faults import FormatError
from .fields import Fields, layout
from .file_bytes import FileBytes
from .messages.message_types import FIRST_UNKNOWN, MessageType

_WHAT = "an object header"
# Most headers are within so many bytes, and read at once.
_USUAL_BYTES = 512
_FAIL_IF_UNKNOWN = 0x80
_FLAGS_AT = 5
_ORDER_TRACKED, _PHASES_STORED, _TIMES_STORED, _KNOWN_FLAGS = 0x04, 0x10, 0x20, 0x3F

# Of version 1, only how many bytes the messages in the first block have.
_PREFIX_1 = struct.Struct("<8xI4x")
# MessageType, size and flags of a message; in headers that track in which order attributes were made, that is behind.
_MESSAGE_1, _MESSAGE_2, _ORDERED_MESSAGE_2 = struct.Struct("<HHB3x"), struct.Struct("<BHB"), struct.Struct("<BHB2x")
_CONTINUATION_SIGNATURE = b"OCHK"

# All that is said about an object: flags and content of each message, by their kinds.
ObjectHeader = compiled.Messages


def first_of(header: ObjectHeader, kind: int) -> bytes | None:
    """The content of the first message of a kind as it is stored there, None where there is none."""
    found = header.get(kind)
    return found[0][1] if found else None


def read_object_header(file: FileBytes, address: int) -> ObjectHeader:
    """The object header at an address.

    Raises
    ------
    FormatError
        There is none, it is damaged, or has a message that must be known, and isn't.
    """
    start = file.read_up_to(address, _USUAL_BYTES)
    found = compiled.header(start)
    if found is None:
        found = _split(_first_block(file, address, start), _prefix(start))
    if MessageType.CONTINUATION in found:
        _add_others(file, found, _prefix(start))
    return found


def messages_in(whole: bytes) -> ObjectHeader:
    """The messages of a header that the compiled module found whole, in one block."""
    found = compiled.header(whole)
    assert found is not None
    return found


def _prefix(start: bytes) -> struct.Struct:
    """What is before each message of a header that starts so."""
    if not start.startswith(b"OHDR"):
        return _MESSAGE_1
    return _ORDERED_MESSAGE_2 if start[_FLAGS_AT] & _ORDER_TRACKED else _MESSAGE_2


def _first_block(file: FileBytes, address: int, start: bytes) -> bytes:
    if start.startswith(b"OHDR"):
        return _first_block_2(file, address, start)
    if start.startswith(b"\x01"):
        return _first_block_1(file, address, start)
    raise FormatError(f"there is no object header at address {address}")


def _first_block_1(file: FileBytes, address: int, start: bytes) -> bytes:
    if len(start) < _PREFIX_1.size:
        raise FormatError(f"{_WHAT} ends too early")
    (size,) = _PREFIX_1.unpack_from(start)
    return file.read_behind(start, address, 0, _PREFIX_1.size + size)[_PREFIX_1.size :]


def _first_block_2(file: FileBytes, address: int, start: bytes) -> bytes:
    fields = Fields(start, _WHAT)
    fields.expect(b"OHDR\x02")
    flags = fields.number(1)
    if flags & ~_KNOWN_FLAGS:
        raise FormatError(f"{_WHAT} has flags of which nothing is known")
    fields.take((16 if flags & _TIMES_STORED else 0) + (4 if flags & _PHASES_STORED else 0))
    size = fields.number(1 << (flags & 3))
    whole = file.read_behind(start, address, 0, fields.position + size + CHECKSUM_BYTES)
    return checked(whole, _WHAT)[fields.position :]


def _add_others(file: FileBytes, found: ObjectHeader, prefix: struct.Struct) -> None:
    """Add the messages of all further blocks."""
    seen: set[int] = set()
    read = 0
    # Continuations are found in the blocks that others lead to, too.
    for _, continuation in found[MessageType.CONTINUATION]:
        address, size = _place(file, continuation)
        read += size
        if address in seen or read > file.size:
            raise FormatError(f"{_WHAT} continues within itself")
        seen.add(address)
        block = file.read(address, size)
        for kind, messages in _split(block if prefix is _MESSAGE_1 else _checked_block(block), prefix).items():
            found.setdefault(kind, []).extend(messages)


def _checked_block(block: bytes) -> bytes:
    """The messages of a further block of version 2."""
    if not block.startswith(_CONTINUATION_SIGNATURE):
        raise FormatError(f"{_WHAT} continues where it doesn't")
    return checked(block, _WHAT)[len(_CONTINUATION_SIGNATURE) :]


def _place(file: FileBytes, continuation: bytes) -> tuple[int, int]:
    place = layout("AZ", file.offset_size, file.length_size)
    if len(continuation) < place.size:
        raise FormatError(f"{_WHAT} ends too early")
    address, size = place.unpack_from(continuation)
    return address, size


def _split(block: bytes, prefix: struct.Struct) -> ObjectHeader:
    """The messages of a block by their kinds."""
    found = compiled.messages(block, prefix.size)
    return _split_in_python(block, prefix) if found is None else found


def _split_in_python(block: bytes, prefix: struct.Struct) -> ObjectHeader:
    """The messages of a block, behind which a gap may be that is too small for a message."""
    found: ObjectHeader = {}
    width, end, position = prefix.size, len(block), 0
    while position + width <= end:
        kind, size, flags = prefix.unpack_from(block, position)
        position += width + size
        if position > end:
            raise FormatError(f"a message of {_WHAT} is longer than what it is in")
        if kind >= FIRST_UNKNOWN and flags & _FAIL_IF_UNKNOWN:
            raise FormatError(f"{_WHAT} has a message {kind} that must be known, and isn't")
        if kind:  # else it is room for another
            found.setdefault(kind, []).append((flags, block[position - size : position]))
    return found
