"""Layouts: where and how the values of a dataset are stored, which is all that it takes to read them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.pipeline import Pipeline
from nexus_xr.hdf5.format.datatypes.stored_type import Datatype
from nexus_xr.hdf5.io.naming.reach import EVERYWHERE, Reach
from nexus_xr.hdf5.io.source import BytesSource, RawExtent, RawFilesSource, Source
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout

from .chunk_index import ChunkIndex, ContiguousRun


class RawFilesUse(NamedTuple):
    """What is done about the state of the raw data files of a dataset that is read.

    Attributes
    ----------
    check
        Is given the path and the state of each that is opened, and raises where it is another than it was.
    tell
        Is told at the end of those behind whose ends something was read: how many bytes each has.
    """

    check: Callable[[str, os.stat_result], None]
    tell: Callable[[Mapping[str, int]], None]


@dataclass(frozen=True, eq=False)
class StoredLayout:
    """Of a dataset that is read without libhdf5: contiguous, in chunks, in its header, or in raw files beside its own.

    Parameters
    ----------
    shape
        Shape of the dataset, the dimensions of an array datatype behind its own.
    dtype
        Dtype of an element in the file.
    carrier
        A dtype as large as an element, which carries it whatever it means.
    chunks
        Shape of a chunk, or of the pieces in which contiguous values are read.
    padded
        Whether chunks at the far edges are stored as large as the others.
    filters
        The filter pipeline.
    index
        Where the chunks are.
    fill
        What elements have that are not stored.
    raw_extents
        Extents of raw data files that hold the values; none where the file itself does.
    reach
        Which of these files may be read.
    inline
        The values themselves, where they are in the dataset's header.
    conversion
        What the stored elements are, where values have to be made of them.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    carrier: np.dtype[Any]
    chunks: tuple[int, ...]
    padded: bool
    filters: tuple[Filter, ...]
    index: ChunkIndex | ContiguousRun
    fill: NDArray[Any]
    raw_extents: tuple[RawExtent, ...] = ()
    reach: Reach = EVERYWHERE
    inline: bytes | None = None
    conversion: Datatype | None = None

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.filters, math.prod(self.chunks) * self.carrier.itemsize)

    @contextmanager
    def source(self, asked: Source, raw_files: RawFilesUse | None = None) -> Iterator[Source]:
        """The bytes that the index speaks of, for the length of a ``with`` block.

        Parameters
        ----------
        asked
            Those of the file that was asked.
        raw_files
            What is done about the state of raw data files, where there are any.
        """
        with ExitStack() as stack:
            if self.inline is not None:
                yield BytesSource(self.inline)
            elif self.raw_extents:
                check = None if raw_files is None else raw_files.check
                raw = RawFilesSource(self.raw_extents, self.reach, stack, check)
                yield raw
                if raw_files is not None:
                    raw_files.tell(raw.short)
            else:
                yield asked

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.index.nbytes + len(self.inline or b"")


@dataclass(frozen=True)
class Libhdf5Layout:
    """Of a dataset in chunks that only libhdf5 decodes.

    Parameters
    ----------
    shape
        Shape of the dataset, the dimensions of an array datatype behind its own.
    chunks
        Shape of a chunk.
    dtype
        What h5py reads an element as.
    missing
        Which filters nothing here undoes, in words; None where there are none.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    missing: str | None = None

    nbytes = 0


@dataclass(frozen=True)
class ExternalDataset:
    """Of a dataset in another file than the one that was opened, to which an external link leads.

    Parameters
    ----------
    file
        Path of that file.
    path
        Path of the dataset in it.
    """

    file: str
    path: str

    nbytes = 0


Layout = StoredLayout | Libhdf5Layout | VirtualLayout | ExternalDataset


def carrier_of(element: np.dtype[Any]) -> np.dtype[Any]:
    """What copies an element as it is, bits that mean nothing among them."""
    return np.dtype({1: "u1", 2: "u2", 4: "u4", 8: "u8"}.get(element.itemsize, f"V{element.itemsize}"))
