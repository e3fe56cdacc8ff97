"""The blocks in which an array is best read: whole chunks of HDF5, for dask's chunks and for what is written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nexus_xr.hdf5.objects.storage import Storage
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.block_shapes import grouped
from nexus_xr.hdf5.reading.virtual_datasets.source_storage import SourceStorage
from nexus_xr.nexus.rules.attributes import integers

# A block that keeps a core busy for some hundredths of a second, and of which every thread can hold a few.
TARGET_BLOCK_BYTES = 16 * 2**20
# Of a file behind a network each block costs the way there and back, during which its thread waits.
REMOTE_BLOCK_BYTES = 64 * 2**20
# A frame is what people look at and what instruments write at once: it is split only where it is very large.
WHOLE_FRAME_BYTES = 256 * 2**20
# An attribute of the file may ask for dask chunks, but not for more of them than a graph can hold.
_MOST_BLOCKS = 100_000


def chunking(
    array: LazyArray, attributes: Mapping[str, Any], storage: Storage | SourceStorage, dims: tuple[str, ...]
) -> dict[str, Any]:
    """The chunks of HDF5, and the blocks of whole chunks in which dask best reads them.

    An attribute ``chunks`` of the field asks for blocks of that shape.
    """
    chunks, shape = storage.chunks, array.shape
    target = TARGET_BLOCK_BYTES if array.file.is_local else REMOTE_BLOCK_BYTES
    blocks = block_shape(shape, max(array.raw_dtype.itemsize, 1), chunks, target)
    preferred: list[int | tuple[int, ...]] = list(blocks)
    asked = integers(attributes.get("chunks"))
    if asked is not None and len(asked) == len(blocks) and min(asked) > 0:
        aligned = align_blocks(asked, shape, chunks)
        count = math.prod(-(-size // length) for size, length in zip(shape, aligned, strict=True))
        preferred = list(aligned if count <= _MOST_BLOCKS else blocks)
    elif isinstance(storage, SourceStorage):
        units = chunks or (1,) * len(shape)
        preferred = list(map(split_blocks, shape, blocks, storage.borders, units))
    return {"chunksizes": chunks, "preferred_chunks": dict(zip(dims, preferred, strict=True))}


def block_shape(
    shape: tuple[int, ...],
    itemsize: int,
    chunks: tuple[int, ...] | None,
    target: int = TARGET_BLOCK_BYTES,
) -> tuple[int, ...]:
    """Shape of the blocks in which an array is best read: whole chunks, grouped until they are worth a task.

    Blocks grow from the fastest dimension to the slowest, so that a frame is whole before frames are grouped.

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
    return grouped(unit, shape, itemsize, target)


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
