"""The blocks in which an array is read and sent: of whole chunks, one behind the other in the order of its values."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .selection import Selection, chunks_touched

# Enough that the way to a worker and back costs little, and few enough that many can be under way.
BLOCK_BYTES = 4 << 20
# Chunks beyond this are cut: kept from one block to the next, or decoded again for each that has a part of them.
MOST_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class SelectedBlock:
    """A part of what is asked for: of one dimension some positions, of those before it one, of those behind it all.

    Parameters
    ----------
    within
        The positions in each dimension of the result.
    axis
        The dimension of which it has some positions.
    """

    within: tuple[range, ...]
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        """How many positions it has in each dimension."""
        return tuple(map(len, self.within))


@dataclass(frozen=True)
class Blocks:
    """How what is asked for is cut.

    Parameters
    ----------
    shape
        The shape of what is asked for.
    axis
        The dimension that is cut; those before it are taken one by one.
    first, rows
        How many positions of it the first block has, and the others.
    """

    shape: tuple[int, ...]
    axis: int
    first: int
    rows: int

    @property
    def count(self) -> int:
        """How many blocks there are; one where there is nothing to send."""
        return max(1, math.prod(self.shape[: self.axis]) * self._along) if self.shape else 1

    @property
    def _along(self) -> int:
        return 1 + max(0, -(-(self.shape[self.axis] - self.first) // self.rows))

    def block(self, number: int) -> SelectedBlock:
        """One of them.

        Raises
        ------
        IndexError
            There are fewer.
        """
        if not 0 <= number < self.count:
            raise IndexError(f"there is no part {number} of {self.count}")
        if not self.shape:
            return SelectedBlock((), 0)
        before, at = divmod(number, self._along)
        lead = []
        for size in reversed(self.shape[: self.axis]):
            before, position = divmod(before, size) if size else (0, 0)
            lead.append(range(position, position + (size > 0)))
        length = self.shape[self.axis]
        begin = 0 if at == 0 else self.first + (at - 1) * self.rows
        cut = range(begin, min(length, self.first if at == 0 else begin + self.rows))
        return SelectedBlock((*reversed(lead), cut, *map(range, self.shape[self.axis + 1 :])), self.axis)


def blocks_of(selection: Selection, chunks: tuple[int, ...], itemsize: int) -> Blocks:
    """Cut what is asked for into blocks of about `BLOCK_BYTES`, between chunks where these aren't very large.

    An element is never cut, however large it is.

    Parameters
    ----------
    selection
        What is asked for.
    chunks
        The shape of a chunk of the array.
    itemsize
        Bytes of an element.

    Examples
    --------
    >>> from .selection import parse_selection
    >>> blocks_of(parse_selection("5:", (100, 1024, 1024)), (10, 1024, 1024), 2)
    Blocks(shape=(95, 1024, 1024), axis=0, first=5, rows=10)
    """
    shape = selection.shape
    if not shape:
        return Blocks((), 0, 1, 1)
    fitting = (axis for axis in range(len(shape)) if _bytes_behind(shape, axis, itemsize) <= MOST_BLOCK_BYTES)
    axis = next(fitting, len(shape) - 1)  # no block is less than an element
    behind = max(1, _bytes_behind(shape, axis, itemsize))
    part, chunk = selection.parts[selection.kept[axis]], chunks[selection.kept[axis]]
    assert isinstance(part, range)
    in_chunk = max(1, chunk // part.step)
    if in_chunk * behind > MOST_BLOCK_BYTES:
        rows = max(1, MOST_BLOCK_BYTES // behind)
        return Blocks(shape, axis, rows, rows)
    rows = max(1, BLOCK_BYTES // behind // in_chunk) * in_chunk
    ahead = part.start % chunk // part.step if part.step < chunk else 0
    return Blocks(shape, axis, rows - ahead, rows)


def _bytes_behind(shape: tuple[int, ...], axis: int, itemsize: int) -> int:
    return itemsize * math.prod(shape[axis + 1 :])


def times_decoded(selection: Selection, chunks: tuple[int, ...], blocks: Blocks) -> int:
    """How often a chunk is decoded at most, as more than one block has a part of it."""
    if not blocks.shape:
        return 1
    cut = min(_shared(selection, chunks)[blocks.axis], blocks.shape[blocks.axis])
    return max(1, _rounds(selection, chunks, blocks) * -(-cut // blocks.rows))


def chunks_shared(selection: Selection, chunks: tuple[int, ...], blocks: Blocks) -> int:
    """How many chunks have to be kept for each to be decoded once: those of a block, or of a round of them.

    Examples
    --------
    >>> from .selection import parse_selection
    >>> selection = parse_selection("", (1000, 4000))
    >>> chunks_shared(selection, (100, 1000), Blocks((1000, 4000), 0, 8, 8))
    4
    """
    if not blocks.shape:
        return 1
    within = list(blocks.block(0).within)
    if _rounds(selection, chunks, blocks) > 1:
        within[blocks.axis] = range(blocks.shape[blocks.axis])
    return chunks_touched(selection.restricted(within), chunks)


def _rounds(selection: Selection, chunks: tuple[int, ...], blocks: Blocks) -> int:
    """In how many rounds blocks come to a chunk again, as each has one position of the dimensions before the cut."""
    shared = _shared(selection, chunks)[: blocks.axis]
    return math.prod(min(each, size) for each, size in zip(shared, blocks.shape, strict=False))


def _shared(selection: Selection, chunks: tuple[int, ...]) -> list[int]:
    """How many of the selected positions a chunk has, along each dimension that is left."""
    lengths = [chunks[dim] for dim in selection.kept]
    steps = [part.step for part in selection.parts if isinstance(part, range)]
    return [max(1, chunk // step) for chunk, step in zip(lengths, steps, strict=True)]
