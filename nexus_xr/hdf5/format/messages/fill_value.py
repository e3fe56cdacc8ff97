"""What elements are that nobody has written.

Source: the HDF5 file format specification, sections IV.A.2.e and IV.A.2.f (fill value messages, old and new).
"""

from __future__ import annotations

from typing import NamedTuple

from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.fields import Fields

from .message_types import MessageType

_WHAT = "a fill value"
_UNDEFINED, _STORED = 0x10, 0x20
# When room is made for elements, and when the value is written into it.
_LATE, _IF_SET = 2, 2


class FillValue(NamedTuple):
    """What elements are that nobody has written.

    Attributes
    ----------
    is_defined
        Whether they are anything at all.
    raw
        The bytes of an element; None for zeros.
    when_allocated, when_written
        The numbers of when room is made, and when the value is written into it.
    """

    is_defined: bool
    raw: bytes | None
    when_allocated: int = _LATE
    when_written: int = _IF_SET


def parse_fill_value(kind: int, content: bytes) -> FillValue:
    r"""The fill value that a message has, be it an old or a new one.

    Raises
    ------
    FormatError
        It is of a version that there isn't, or the message ends before it does.

    Examples
    --------
    >>> parse_fill_value(MessageType.OLD_FILL_VALUE, b"\x02\0\0\0AB").raw
    b'AB'
    """
    fields = Fields(content, _WHAT)
    if kind == MessageType.OLD_FILL_VALUE:
        raw = _raw(fields)
        return FillValue(raw is not None, raw)
    version = fields.number(1)
    if version in (1, 2):
        return _versions_1_and_2(version, fields)
    if version == 3:
        return _version_3(fields)
    raise FormatError(f"{_WHAT} has version {version}")


def _versions_1_and_2(version: int, fields: Fields) -> FillValue:
    allocated, written, is_defined = fields.number(1), fields.number(1), bool(fields.number(1))
    raw = _raw(fields) if version == 1 or is_defined else None
    return FillValue(is_defined, raw if is_defined else None, allocated, written)


def _version_3(fields: Fields) -> FillValue:
    flags = fields.number(1)
    if flags & _UNDEFINED and flags & _STORED:
        raise FormatError(f"{_WHAT} is said to be there, and not to be")
    raw = _raw(fields) if flags & _STORED else None
    return FillValue(not flags & _UNDEFINED, raw, flags & 3, flags >> 2 & 3)


def _raw(fields: Fields) -> bytes | None:
    """The bytes behind their number, which is 0, or as a signed number negative, where there are none."""
    size = int.from_bytes(fields.take(4), "little", signed=True)
    return fields.take(size) if size > 0 else None
