"""The fields of a structure, one after the other.

Source: the HDF5 file format specification, whose layouts are read like this; numbers are little-endian.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from .faults import FormatError

_NUMBERS = {2: "H", 4: "I", 8: "Q"}


@lru_cache
def layout(fields: str, offset_size: int, length_size: int) -> struct.Struct:
    """The layout of a structure whose fields are always the same, for those that a file has many of.

    Parameters
    ----------
    fields
        As `struct` has them, and an `A` for an address and a `Z` for a length.
    offset_size, length_size
        Bytes of an address, and of a length, in the file.

    Examples
    --------
    >>> layout("4sxAZ", 8, 4).size
    17
    """
    return struct.Struct("<" + fields.replace("A", _NUMBERS[offset_size]).replace("Z", _NUMBERS[length_size]))


class Fields:
    """What is left of a structure, and taken from its front.

    Parameters
    ----------
    content
        The bytes of the structure.
    what
        What it is, for the error.
    position
        Where the first field is.

    Examples
    --------
    >>> fields = Fields(bytes((2, 0, 65, 66)), "an example")
    >>> fields.number(2), fields.take(2)
    (2, b'AB')
    """

    __slots__ = ("content", "position", "what")

    def __init__(self, content: bytes, what: str, position: int = 0) -> None:
        self.content = content
        self.what = what
        self.position = position

    def take(self, size: int) -> bytes:
        """The next bytes.

        Raises
        ------
        FormatError
            The structure ends before.
        """
        begin = self.position
        self.position = begin + size
        if self.position > len(self.content):
            raise FormatError(f"{self.what} ends too early")
        return self.content[begin : self.position]

    def records(self, count: int, size: int) -> list[bytes]:
        """The next bytes, cut into so many pieces."""
        content = self.take(count * size)
        return [content[begin : begin + size] for begin in range(0, len(content), size)]

    def number(self, size: int) -> int:
        """The number in the next bytes."""
        return int.from_bytes(self.take(size), "little")

    def optional(self, size: int) -> int | None:
        """The number in the next bytes, None where all their bits are set: an address that is none, no limit.

        Examples
        --------
        >>> fields = Fields(bytes((2, 0, 255, 255)), "an example")
        >>> fields.optional(2), fields.optional(2)
        (2, None)
        """
        number = self.number(size)
        return None if number == (1 << 8 * size) - 1 else number

    def text(self) -> bytes:
        """The bytes up to a null, which is left out."""
        end = self.content.find(0, self.position)
        if end < 0:
            raise FormatError(f"{self.what} has a text without an end")
        found = self.content[self.position : end]
        self.position = end + 1
        return found

    def expect(self, value: bytes) -> None:
        """Take a signature or a version.

        Raises
        ------
        FormatError
            Other bytes are there.
        """
        if self.take(len(value)) != value:
            raise FormatError(f"{self.what} isn't one")
