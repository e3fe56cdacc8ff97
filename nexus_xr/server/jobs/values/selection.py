"""What of an array is asked for: an index, or a slice with a step, for each dimension.

The text is that of h5grove and H5Web: ``0,:,10:20:2``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nexus_xr.server.failures import Failure

_PART = re.compile(r"\s*(?:(-?\d{1,18})|(-?\d{1,18})?\s*:\s*(-?\d{1,18})?\s*(?::\s*(-?\d{1,18})?)?)\s*", re.ASCII)


@dataclass(frozen=True)
class Selection:
    """What is asked for of each dimension.

    Parameters
    ----------
    parts
        A position, which takes the dimension away, or the positions in rising order.
    """

    parts: tuple[int | range, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is asked for."""
        return tuple(len(part) for part in self.parts if isinstance(part, range))

    @property
    def key(self) -> tuple[int | slice, ...]:
        """The same as NumPy indexes by it."""
        return tuple(part if isinstance(part, int) else slice(part.start, part.stop, part.step) for part in self.parts)

    @property
    def kept(self) -> tuple[int, ...]:
        """The dimensions of the array that are left."""
        return tuple(dim for dim, part in enumerate(self.parts) if isinstance(part, range))

    def restricted(self, within: Sequence[range]) -> Selection:
        """A part of what is asked for: positions in each dimension that is left."""
        chosen = iter(within)
        return Selection(tuple(part if isinstance(part, int) else _of(part, next(chosen)) for part in self.parts))

    def decimated(self, most: int) -> Selection:
        """Every so many-th of each dimension, so that none has more than `most`.

        Examples
        --------
        >>> Selection((3, range(0, 10))).decimated(4).parts
        (3, range(0, 10, 3))
        """
        steps = (part if isinstance(part, int) else part[:: max(1, -(-len(part) // most))] for part in self.parts)
        return Selection(tuple(steps))


def _of(part: range, chosen: range) -> range:
    return part[chosen.start : chosen.stop : chosen.step]


def parse_selection(text: str, shape: tuple[int, ...]) -> Selection:
    """The selection of an array of that shape; dimensions that aren't named are taken whole.

    Raises
    ------
    Failure
        It is none, or leads out of the array.

    Examples
    --------
    >>> parse_selection("-1,2:", (5, 4, 3)).parts
    (4, range(2, 4), range(0, 3))
    """
    named = text.split(",") if text.strip() else []
    if len(named) > len(shape):
        raise Failure(422, f"selection={text!r} has {len(named)} parts; the array has {len(shape)} dimensions, {shape}")
    whole = (":" for _ in range(len(shape) - len(named)))
    return Selection(tuple(_part(part, size, text) for part, size in zip([*named, *whole], shape, strict=True)))


def _part(text: str, size: int, selection: str) -> int | range:
    found = _PART.fullmatch(text)
    if found is None:
        raise Failure(422, f"selection={selection!r}: expected numbers and slices such as 0,:,10:20:2, found {text!r}")
    index, start, stop, step = (None if part is None else int(part) for part in found.groups())
    if index is not None:
        return _position(index, size, selection)
    if step is not None and step < 1:
        raise Failure(422, f"selection={selection!r}: a step has to be 1 or more")
    return range(size)[slice(start, stop, step)]


def _position(index: int, size: int, selection: str) -> int:
    if not -size <= index < size:
        raise Failure(422, f"selection={selection!r}: there is no {index} in a dimension of length {size}")
    return index % size


def chunks_touched(selection: Selection, chunks: Iterable[int]) -> int:
    """How many chunks hold what is asked for.

    Examples
    --------
    >>> chunks_touched(Selection((range(0, 100, 10), 7)), (4, 4))
    10
    """
    return math.prod(_along(part, chunk) for part, chunk in zip(selection.parts, chunks, strict=True))


def _along(part: int | range, chunk: int) -> int:
    if isinstance(part, int):
        return 1
    if not part or part.step >= chunk:
        return len(part)
    return part[-1] // chunk - part[0] // chunk + 1
