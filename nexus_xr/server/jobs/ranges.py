"""Ranges of bytes that a request asks for.

Source: RFC 9110, section 14.
"""

from __future__ import annotations

import re

from nexus_xr.server.failures import Failure

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def asked_range(asked: str, size: int) -> range | None:
    """The range that a header ``Range`` names; None where it names none that is known, or several.

    Parameters
    ----------
    asked
        The header; empty where there is none.
    size
        How many bytes there are.

    Raises
    ------
    Failure
        There are no such bytes.

    Examples
    --------
    >>> asked_range("bytes=2-", 10), asked_range("bytes=-3", 10), asked_range("bytes=5-99", 10)
    (range(2, 10), range(7, 10), range(5, 10))
    """
    found = _RANGE.fullmatch(asked.strip())
    if found is None or found[1] == found[2] == "":
        return None
    wanted = _range_of(found[1], found[2], size)
    if not wanted:
        raise Failure(416, f"Range {asked}: there are {size} bytes; ask for some of these")
    return wanted


def _range_of(first: str, last: str, size: int) -> range:
    if not first:
        return range(max(0, size - int(last)), size)
    return range(int(first), min(size, int(last) + 1) if last else size)
