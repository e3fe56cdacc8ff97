"""Where chunks are, as every kind of index tells it: one array for each of what is told.

Source: the HDF5 file format specification, sections III.A.2 (records of types 10 and 11) and VII.C (elements).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.faults import FormatError

_MASK_BYTES = 4


class ChunkAddresses(NamedTuple):
    """Where some chunks are; `sizes` and `masks` are None where there are no filters, as all chunks are alike."""

    addresses: NDArray[np.int64]
    sizes: NDArray[np.int64] | None
    masks: NDArray[np.uint32] | None

    def of(self, kept: NDArray[np.bool_]) -> ChunkAddresses:
        """Those of them that are kept."""
        return ChunkAddresses(*(None if part is None else part[kept] for part in self))  # type: ignore[arg-type]


class ChunkRecords(NamedTuple):
    """The stored chunks of a dataset, in the order of its index.

    Parameters
    ----------
    coordinates
        One row a chunk: how many chunks are in front of it along each dimension.
    addresses, sizes, masks
        Where it is, how many bytes it takes there, and which filters were left out.
    """

    coordinates: NDArray[np.int64]
    addresses: NDArray[np.int64]
    sizes: NDArray[np.int64]
    masks: NDArray[np.uint32]

    @classmethod
    def of(cls, coordinates: NDArray[np.int64], locations: ChunkAddresses, chunk_bytes: int) -> ChunkRecords:
        """The records of chunks which take so many bytes where there are no filters."""
        addresses, sizes, masks = locations
        if sizes is not None and np.any(sizes < 0):
            raise FormatError("a chunk is larger than any file")
        return cls(
            coordinates,
            addresses,
            np.full(len(addresses), chunk_bytes) if sizes is None else sizes,
            np.zeros(len(addresses), np.uint32) if masks is None else masks,
        )


def no_chunks(rank: int) -> ChunkRecords:
    """The records of a dataset of which nothing is stored."""
    none = np.zeros(0, np.int64)
    return ChunkRecords(np.zeros((0, rank), np.int64), none, none, none.astype(np.uint32))


def parse_locations(rows: NDArray[np.uint8], offset_size: int, is_filtered: bool) -> ChunkAddresses:
    """Where chunks are: an address, and with filters a size and a mask.

    Parameters
    ----------
    rows
        The bytes, one row a chunk.
    offset_size
        Bytes of an address.
    is_filtered
        Whether the chunks went through filters.

    Raises
    ------
    FormatError
        So many bytes can't say it.
    """
    size_bytes = rows.shape[1] - offset_size - _MASK_BYTES
    if not (1 <= size_bytes <= 8 if is_filtered else rows.shape[1] == offset_size):
        raise FormatError(f"{rows.shape[1]} bytes can't say where a chunk is")
    addresses = _integers(rows[:, :offset_size])
    if not is_filtered:
        return ChunkAddresses(addresses, None, None)
    sizes, masks = rows[:, offset_size:-_MASK_BYTES], rows[:, -_MASK_BYTES:]
    return ChunkAddresses(addresses, _integers(sizes), _integers(masks).astype(np.uint32))


def _integers(rows: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Each row as a number; those that no file is as large as are negative."""
    padded = np.zeros((len(rows), 8), np.uint8)
    padded[:, : rows.shape[1]] = rows
    return padded.view("<i8")[:, 0]
