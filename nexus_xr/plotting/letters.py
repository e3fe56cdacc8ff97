"""What a terminal has to draw with, and what is written beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

# What a date doesn't need where it is of whole seconds, or days.
_NO_TIME = re.compile(r"(T00:00:00)?\.0+$")


def printable(text: str) -> str:
    r"""Text of a file without what would have a terminal do something else than show it.

    Examples
    --------
    >>> printable("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(each if each.isprintable() else "�" for each in text)


def printable_lines(text: str) -> str:
    """Such text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


@dataclass(frozen=True)
class Letters:
    """The characters of a plot.

    Parameters
    ----------
    corner, across, up
        Of the axes.
    dots
        Whether a curve is made of Braille's patterns, each two dots wide and four high; else of stars.
    cut
        What stands where text is cut off.
    """

    corner: str
    across: str
    up: str
    dots: bool
    cut: str


UNICODE = Letters("└", "─", "│", True, "…")
ASCII = Letters("+", "-", "|", False, "~")


def number(value: Any) -> str:
    """A number with six digits, a date, or text.

    Examples
    --------
    >>> number(-7.199999809265137), number(np.int64(1234567)), number(np.datetime64("2024-05-01", "ns"))
    ('-7.2', '1234567', '2024-05-01')
    """
    if isinstance(value, float | np.floating):
        return f"{value:.6g}"
    return printable(_NO_TIME.sub("", str(value)) if isinstance(value, np.datetime64) else str(value))
