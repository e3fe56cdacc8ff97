"""How a dataset is stored, and the blocks in which it is best read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from h5py import h5d, h5p

from .nodes import Dataset, properties_of
from .text import decode

# A block that keeps a core busy for some hundredths of a second, and of which every thread can hold a few.
TARGET_BLOCK_BYTES = 16 * 2**20
# Of a file behind a network each block costs the way there and back, during which its thread waits.
REMOTE_BLOCK_BYTES = 64 * 2**20
# A frame is what people look at and what instruments write at once: it is split only where it is very large.
WHOLE_FRAME_BYTES = 256 * 2**20

_LAYOUTS = {
    h5d.COMPACT: "compact",
    h5d.CONTIGUOUS: "contiguous",
    h5d.CHUNKED: "chunked",
    h5d.VIRTUAL: "virtual",
}
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Filter:
    """One step of the pipeline that chunks go through.

    Parameters
    ----------
    id
        Number of the filter as registered with The HDF Group.
    name
        Name that the file gives it.
    options
        Client data values of the filter.
    """

    id: int
    name: str
    options: tuple[int, ...]


@dataclass(frozen=True)
class Storage:
    """Layout of a dataset in its file.

    Parameters
    ----------
    layout
        ``compact``, ``contiguous``, ``chunked`` or ``virtual``; ``unknown`` for another, or where that can't be told.
    chunks
        Shape of a chunk; None where the dataset isn't chunked.
    filters
        The filter pipeline, in the order of writing.
    """

    layout: str
    chunks: tuple[int, ...] | None
    filters: tuple[Filter, ...]


def storage_of(dataset: Dataset) -> Storage:
    """Read how a dataset is stored."""
    try:
        properties = properties_of(dataset.id)
        layout = _LAYOUTS.get(properties.get_layout(), UNKNOWN)
        chunks = None
        if layout == "chunked":
            own = tuple(properties.get_chunk())
            chunks = (*own, *dataset.shape[len(own) :])
        return Storage(layout, chunks, filters_of(properties))
    except Exception as error:  # h5py raises nearly any type, by what is broken
        dataset.report(f"{dataset.path}: how it is stored can't be told ({error})")
        return Storage(UNKNOWN, None, ())


def filters_of(properties: h5p.PropDCID) -> tuple[Filter, ...]:
    """The filter pipeline that is part of a dataset's properties."""
    filters = []
    for index in range(properties.get_nfilters()):
        number, _, options, name = properties.get_filter(index)
        filters.append(Filter(number, decode(name), tuple(int(option) for option in options)))
    return tuple(filters)


def block_shape(
    shape: tuple[int, ...],
    itemsize: int,
    chunks: tuple[int, ...] | None,
    target: int = TARGET_BLOCK_BYTES,
) -> tuple[int, ...]:
    """Shape of the blocks in which an array is best read: whole chunks, grouped until they are worth a task.

    Blocks grow from the fastest dimension to the slowest, so that a frame is whole before frames are grouped;
    no block splits a chunk, and the blocks of a dimension are about equally long.

    Parameters
    ----------
    shape
        Shape of the array.
    itemsize
        Bytes of an element.
    chunks
        Shape of a chunk, None for an array that isn't chunked.
    target
        Bytes that a block should not exceed, unless a single chunk does.

    Examples
    --------
    >>> block_shape((1000, 1024, 1024), 2, (1, 1024, 1024))
    (8, 1024, 1024)
    >>> block_shape((40, 2000, 2000), 4, None)
    (1, 2000, 2000)
    """
    unit = [min(chunk, size) or 1 for chunk, size in zip(chunks or (1,) * len(shape), shape, strict=True)]
    frames = (*unit[:-2], *(max(1, size) for size in shape[-2:]))
    if len(shape) > 2 and itemsize * math.prod(frames) <= WHOLE_FRAME_BYTES:
        target = max(target, itemsize * math.prod(frames))
    block = list(unit)
    for dimension in reversed(range(len(shape))):
        in_units = -(-shape[dimension] // unit[dimension]) or 1
        fitting = target // max(1, itemsize * math.prod(block))
        if fitting < in_units:
            if fitting > 1:
                pieces = -(-in_units // fitting)
                block[dimension] *= -(-in_units // pieces)
            break
        block[dimension] = max(1, min(in_units * unit[dimension], shape[dimension]))
    return tuple(block)


def split_blocks(size: int, block: int, borders: Sequence[int], unit: int) -> int | tuple[int, ...]:
    """Lengths of blocks along a dimension in which several sources follow each other, so that few share a block.

    Parameters
    ----------
    size
        Length of the dimension.
    block
        Length that a block should not exceed.
    borders
        Where sources begin, rising.
    unit
        Length of a chunk, which no block splits within a source.

    Returns
    -------
    int or tuple of int
        One number where all blocks are equally long, but for a shorter last one.

    Examples
    --------
    >>> split_blocks(30, 8, [3, 6, 9, 12, 15, 18, 21, 24, 27], 1)
    6
    >>> split_blocks(20, 8, [5], 1)
    (5, 8, 7)
    """
    lengths: list[int] = []
    together = 0
    for begin, end in itertools.pairwise([0, *borders, size]):
        length = end - begin
        if together and together + length > block:
            lengths.append(together)
            together = 0
        if length > block:
            pieces = -(-length // block)
            piece = -(-length // (pieces * unit)) * unit
            lengths += [min(piece, length - at) for at in range(0, length, piece)]
        else:
            together += length
    lengths += [together] if together else []
    if not lengths:
        return block
    is_even = len(set(lengths[:-1])) <= 1 and lengths[-1] <= lengths[0]
    return lengths[0] if is_even else tuple(lengths)


def align_blocks(wanted: tuple[int, ...], shape: tuple[int, ...], chunks: tuple[int, ...] | None) -> tuple[int, ...]:
    """The smallest blocks that are at least as large as wanted and split no chunk.

    Examples
    --------
    >>> align_blocks((1, 100, 600), (10, 512, 512), (1, 128, 128))
    (1, 128, 512)
    """
    unit = chunks or (1,) * len(shape)
    return tuple(
        max(1, min(-(-want // each) * each, size)) for want, each, size in zip(wanted, unit, shape, strict=True)
    )
