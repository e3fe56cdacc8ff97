"""What every form has to say about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nexus_xr.server.failures import Failure

Buffer = bytes | memoryview


@dataclass(frozen=True)
class Shown:
    """What is sent.

    Parameters
    ----------
    name
        What it is called.
    shape, dtype
        Of all values together.
    low, high
        Values that are black and white in a picture; None for the least and the largest.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    low: float | None = None
    high: float | None = None

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers, or true and false."""
        return self.dtype.kind in "biufc"


@dataclass(frozen=True)
class ValuePart:
    """A part of the values.

    Parameters
    ----------
    values
        The values.
    within
        Where they are in the whole: positions in each dimension.
    axis
        The dimension that is cut; of those before it there is one position.
    """

    values: NDArray[Any]
    within: tuple[range, ...]
    axis: int


class Encoding(Protocol):
    """A form in which values are sent."""

    @property
    def media_type(self) -> str:
        """What the bytes are, for HTTP."""

    @property
    def suffix(self) -> str:
        """How names of files end in which they are saved; empty where they are shown at once."""

    @property
    def is_whole(self) -> bool:
        """Whether all values are needed before the first byte."""

    def check(self, shown: Shown) -> None:
        """Raise a `Failure` where it can't hold them."""

    def length(self, shown: Shown) -> int | None:
        """Bytes of the whole; None where that isn't known beforehand."""

    def encode(self, shown: Shown, part: ValuePart) -> Buffer:
        """The bytes of a part, with what stands before the first one and behind the last one."""


def is_first(part: ValuePart) -> bool:
    """Whether nothing stands before a part."""
    return all(not positions or positions[0] == 0 for positions in part.within)


def is_last(part: ValuePart, shown: Shown) -> bool:
    """Whether nothing stands behind a part."""
    return all(not at or at[-1] == size - 1 for at, size in zip(part.within, shown.shape, strict=True))


def raw(values: NDArray[Any]) -> memoryview:
    """The bytes of values, in the order of rows."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def check_plain(shown: Shown) -> None:
    """Refuse what has no bytes of its own: text of any length, references."""
    if shown.dtype.hasobject or shown.dtype.kind == "U":
        raise Failure(422, f"{shown.name} holds text or references, which have no such bytes; ask for format=json")


def check_numeric(shown: Shown, what: str) -> None:
    """Refuse what isn't numbers."""
    if not shown.is_numeric:
        raise Failure(422, f"{shown.name} holds {shown.dtype}, and {what} holds numbers; ask for format=json")


def check_image(shown: Shown, what: str) -> None:
    """Refuse what isn't an image of real numbers."""
    check_numeric(shown, what)
    if len(shown.shape) != 2 or shown.dtype.kind == "c" or 0 in shown.shape:
        raise Failure(
            422, f"{what} shows two dimensions of real numbers, found {shown.dtype} {shown.shape}; select two of them"
        )
