"""Ranges of bytes that a request asks for.

Source: RFC 9110, sections 13.1.5 and 14.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .answer import Answer, json_answer

# Of a body that lies in a file, which is read part by part as a client takes it.
PART_BYTES = 4 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def asked_range(asked: str, size: int, condition: str = "", tag: str = "", modified: str = "") -> range | None:
    """The range that a header ``Range`` names, empty where there are no such bytes; None for all that there are.

    Parameters
    ----------
    asked
        The header; empty where there is none. One that isn't known or isn't valid, or names several, counts for none.
    size
        How many bytes there are.
    condition
        The header ``If-Range``: the state of which the range is asked, by its tag in quotes or its date; empty for any.
    tag
        The present state; empty where nothing tells it from others.
    modified
        The date of the state, as ``Last-Modified`` has it; empty where that doesn't tell it from others.

    Examples
    --------
    >>> asked_range("bytes=2-", 10), asked_range("bytes=-3", 10), asked_range("bytes=5-99", 10)
    (range(2, 10), range(7, 10), range(5, 10))
    >>> asked_range("bytes=5-3", 10) is None, asked_range("bytes=5-", 10, '"old"', "new") is None
    (True, True)
    """
    present = (f'"{tag}"' if tag else "", modified)
    is_outdated = condition and condition.strip() not in filter(None, present)
    found = None if is_outdated else _RANGE.fullmatch(asked.strip())
    if found is None or not _is_valid(found[1], found[2]):
        return None
    return _range_of(found[1], found[2], size)


def part_of(asked: range, number: int) -> range:
    """One of the parts in which bytes are sent.

    Examples
    --------
    >>> part_of(range(10, PART_BYTES + 11), 1) == range(PART_BYTES + 10, PART_BYTES + 11)
    True
    """
    return asked[number * PART_BYTES :][:PART_BYTES]


def parts_of(asked: range) -> int:
    """How many parts there are; one where there is nothing to send.

    Examples
    --------
    >>> parts_of(range(0)), parts_of(range(PART_BYTES)), parts_of(range(PART_BYTES + 1))
    (1, 1, 2)
    """
    return max(1, -(-len(asked) // PART_BYTES))


def no_such_bytes(asked: str, size: int, tag: str) -> Answer:
    """The answer where a header ``Range`` names no bytes that there are.

    Parameters
    ----------
    asked
        The header.
    size
        How many bytes there are.
    tag
        Their state.
    """
    message = {"message": f"Range {asked}: there are {size} bytes; ask for some of these"}
    return replace(json_answer(message, tag), status=416, headers={"Content-Range": f"bytes */{size}"})


def _is_valid(first: str, last: str) -> bool:
    if not first or not last:
        return first != last
    return int(first) <= int(last)


def _range_of(first: str, last: str, size: int) -> range:
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)
