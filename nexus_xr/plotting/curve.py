"""A curve in the letters of a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .letters import Letters
from .scale import Numbers, Range

# Bits of Braille's patterns, from U+2800 on, by row and column of the dot.
_BRAILLE = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
_BLANK = 0x2800
# From so many points a column of dots on, the least and the greatest of a column stand for all of them.
_DENSE = 4


def drawn_curve(x: Numbers, y: Numbers, across: Range, up: Range, size: tuple[int, int], letters: Letters) -> list[str]:
    """Lines of text, the uppermost first, in which a curve is drawn; it has gaps where it isn't finite.

    Parameters
    ----------
    x, y
        Its points, joined in their order.
    across, up
        What the lines reach over.
    size
        How many lines, and how long they are.
    letters
        What there is to draw with.
    """
    rows, columns = size
    dots = (4 * rows, 2 * columns) if letters.dots else size
    right, height = across.places(x, dots[1]), up.places(y, dots[0])
    if len(x) > _DENSE * dots[1]:
        right, height = _outline(right, height, dots[1])
    is_on = np.zeros(dots, bool)
    for part in _parts(right, height):
        is_on[dots[0] - 1 - part[1], part[0]] = True
    return _as_braille(is_on, size) if letters.dots else ["".join(np.where(line, "*", " ")) for line in is_on]


def _outline(right: Numbers, height: Numbers, count: int) -> tuple[Numbers, Numbers]:
    """In each column the least and the greatest point, in turn; a gap where there is none."""
    there = np.isfinite(right) & np.isfinite(height)
    columns = right[there].astype(int)
    least, greatest = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(least, columns, height[there])
    np.maximum.at(greatest, columns, height[there])
    pairs = np.stack([least, greatest], axis=1)
    return np.repeat(np.arange(count, dtype=float), 2), np.where(np.isfinite(pairs), pairs, np.nan).reshape(-1)


def _parts(right: Numbers, height: Numbers) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Dots of each point, and of the way from it to the next one."""
    there = np.isfinite(right) & np.isfinite(height)
    yield right[there].astype(int), height[there].astype(int)
    for at in np.flatnonzero(there[:-1] & there[1:]):
        begin, end = (right[at], height[at]), (right[at + 1], height[at + 1])
        count = int(max(abs(end[0] - begin[0]), abs(end[1] - begin[1]))) + 1
        yield np.linspace(begin[0], end[0], count).astype(int), np.linspace(begin[1], end[1], count).astype(int)


def _as_braille(is_on: NDArray[np.bool_], size: tuple[int, int]) -> list[str]:
    cells = is_on.reshape(size[0], 4, size[1], 2)
    codes = (cells * _BRAILLE[None, :, None, :]).sum(axis=(1, 3))
    return ["".join(chr(_BLANK + code) if code else " " for code in line) for line in codes]
