"""Nested lists of JSON; what is no number is null."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from .encoding import Buffer, Shown, ValuePart
from .plain import to_json


class Json:
    """Values of any kind."""

    media_type = "application/json"
    suffix = ""
    is_whole = False

    def check(self, shown: Shown) -> None:
        """Takes everything."""

    def length(self, shown: Shown) -> None:
        return None

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        if not shown.shape:
            return to_json(part.values[()])
        inner = to_json(part.values.reshape(part.values.shape[part.axis :]))[1:-1]
        opened, closed = _begun(part), _ended(part, shown)
        return b"".join([b"," if opened <= part.axis else b"", b"[" * opened, inner, b"]" * closed])


def _begun(part: ValuePart) -> int:
    """How many lists begin with a part: that of the dimension that is cut, and those around it."""
    return _count(not at or at[0] == 0 for at in reversed(part.within[: part.axis + 1]))


def _ended(part: ValuePart, shown: Shown) -> int:
    """How many lists end with it."""
    within = zip(reversed(part.within[: part.axis + 1]), reversed(shown.shape[: part.axis + 1]), strict=True)
    return _count(not at or at[-1] == size - 1 for at, size in within)


def _count(flags: Iterable[bool]) -> int:
    return sum(1 for _ in itertools.takewhile(bool, flags))
