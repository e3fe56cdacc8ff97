"""The elements of a dataset as the bytes that they have in the file, whatever these mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import h5py
import numpy as np
from h5py import h5s
from numpy.typing import NDArray

from nexus_xr.hdf5.io.source import Source

from .array import LazyArray
from .engine.engine import read
from .layouts.known_layouts import layout_of
from .layouts.layout import StoredLayout, carrier_of
from .layouts.raw_files import raw_files_of
from .unreadable import values_explained

# First element and the one behind the last, for each dimension.
Region = tuple[tuple[int, int], ...]
Elements = NDArray[np.generic]


@contextmanager
def stored_elements(array: LazyArray, num_threads: int | None = None) -> Iterator[Callable[[Region], Elements]]:
    """What gives the elements of a region as they are stored, in a dtype as large as one, within a ``with`` block.

    Parameters
    ----------
    array
        All of a dataset none of whose elements, or parts of them, are elsewhere in the file.
    num_threads
        Most threads that decode.

    Raises
    ------
    NexusFileError
        It can't be read.
    """
    explained = partial(values_explained, array.file.name, array.path)
    with array.opened() as dataset, array.file.source() as asked, ExitStack() as stack:
        with explained():
            read_region = stack.enter_context(_reading(array, dataset, asked, num_threads))

        def elements(region: Region) -> Elements:
            with explained():  # and not what goes wrong in the block, as where they are written
                return read_region(region)

        yield elements


@contextmanager
def _reading(
    array: LazyArray, dataset: h5py.Dataset, asked: Source, num_threads: int | None
) -> Iterator[Callable[[Region], Elements]]:
    carrier = carrier_of(np.dtype((np.void, dataset.id.get_type().get_size())))
    layout = None if array.file.is_written_here else layout_of(array.file, array.path, asked, array.address)
    if not isinstance(layout, StoredLayout):
        yield lambda region: _read_by_libhdf5(dataset, region, carrier)
        return
    inner = [slice(0, length, 1) for length in layout.shape[dataset.ndim :]]  # of an array datatype
    with layout.source(asked, raw_files_of(array.file, array.path)) as source:

        def decoded(region: Region) -> Elements:
            indexers = [*(slice(begin, end, 1) for begin, end in region), *inner]
            return _whole(read(layout, source, indexers, num_threads, comes_back=False), _lengths(region), carrier)

        yield decoded


def _read_by_libhdf5(dataset: h5py.Dataset, region: Region, carrier: np.dtype[np.generic]) -> Elements:
    lengths, space = _lengths(region), dataset.id.get_space()
    if lengths:
        space.select_hyperslab(tuple(begin for begin, _ in region), lengths)
    elements = np.zeros(lengths, carrier)  # of which libhdf5 leaves what nobody has written, where it fills nothing in
    dataset.id.read(h5s.create_simple(lengths), space, elements, dataset.id.get_type())
    return elements


def _whole(parts: Elements, lengths: Sequence[int], carrier: np.dtype[np.generic]) -> Elements:
    """Elements as one value each, which those of an array datatype are not when they are read."""
    if parts.dtype == carrier and parts.shape == tuple(lengths):
        return parts
    return np.frombuffer(parts.tobytes(), carrier, math.prod(lengths)).reshape(lengths)


def _lengths(region: Region) -> tuple[int, ...]:
    return tuple(end - begin for begin, end in region)
