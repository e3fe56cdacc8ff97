"""Nested lists of JSON; what is no number is null."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from .encoding import Buffer, Piece, Shown
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

    def encode(self, shown: Shown, piece: Piece) -> Buffer:
        if not shown.shape:
            return to_json(piece.values[()])
        inner = to_json(piece.values.reshape(piece.values.shape[piece.axis :]))[1:-1]
        opened, closed = _begun(piece), _ended(piece, shown)
        return b"".join([b"," if opened <= piece.axis else b"", b"[" * opened, inner, b"]" * closed])


def _begun(piece: Piece) -> int:
    """How many lists begin with a piece: that of the dimension that is cut, and those around it."""
    return _count(not at or at[0] == 0 for at in reversed(piece.within[: piece.axis + 1]))


def _ended(piece: Piece, shown: Shown) -> int:
    """How many lists end with it."""
    within = zip(reversed(piece.within[: piece.axis + 1]), reversed(shown.shape[: piece.axis + 1]), strict=True)
    return _count(not at or at[-1] == size - 1 for at, size in within)


def _count(flags: Iterable[bool]) -> int:
    return sum(1 for _ in itertools.takewhile(bool, flags))
