"""Finding out the layout of a dataset from what its file says of how its values are stored."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.missing_filters import missing_filters
from nexus_xr.hdf5.filters.registry import decoder
from nexus_xr.hdf5.format.chunk_indexes.chunked_dataset import ChunkedDataset
from nexus_xr.hdf5.format.datatypes.stored_type import Conversion, Datatype
from nexus_xr.hdf5.format.external_files import ExternalSlot
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.messages.layout import Chunked, Compact, Contiguous, Virtual
from nexus_xr.hdf5.io.source import RawExtent
from nexus_xr.hdf5.objects.datatypes import split_array_type
from nexus_xr.hdf5.objects.stored_values import StoredValues
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout
from nexus_xr.hdf5.reading.virtual_datasets.virtual_mapping import grows, read_mappings

from .chunk_index import ChunkIndex, ContiguousRun
from .index_building import build_index
from .layout import Libhdf5Layout, StoredLayout, carrier_of

# As HDF5's own buffer for contiguous data: what is read around a few elements.
PIECE_BYTES = 64 * 1024
# Of what is as large as it comes to be.
_UNLIMITED_BYTES = (1 << 64) - 1


def layout_from(stored: StoredValues) -> StoredLayout | Libhdf5Layout | VirtualLayout:
    """The layout of a dataset.

    Parameters
    ----------
    stored
        What its file says of it.

    Raises
    ------
    FormatError
        What its file says is damaged.
    UnsupportedError
        Only libhdf5 can read it at all.
    """
    if stored.dataspace.shape is None:
        raise UnsupportedError("no elements at all")
    if isinstance(stored.layout, Chunked):
        if _needs_libhdf5(stored, stored.layout):
            return _left_to_libhdf5(stored, stored.layout)
        return _in_chunks(stored, stored.layout)
    if isinstance(stored.layout, Virtual):
        return _made_of_others(stored, stored.dataspace.shape)
    return _in_pieces(stored, stored.dataspace.shape)


class _Elements(NamedTuple):
    """What is stored: the dtype of an element and the dimensions of an array datatype, what one is that nobody has
    written, and what has to be made of each where it isn't a value as it is.
    """

    dtype: np.dtype[Any]
    inner: tuple[int, ...]
    fill: NDArray[Any]
    conversion: Datatype | None


def _elements_of(stored: StoredValues) -> _Elements:
    """What the elements are as they are stored; raises where that isn't known, or only libhdf5 makes values of them."""
    datatype = stored.datatype
    if datatype is None or datatype.has_references:
        raise UnsupportedError("elements of a type that only libhdf5 knows")
    one = datatype.innermost
    if one.conversion is Conversion.SEQUENCE:
        raise UnsupportedError("elements of variable length that aren't text")
    dtype, inner = split_array_type(datatype.stored)
    return _Elements(dtype, inner, _fill(stored.fill, dtype), None if one.conversion is Conversion.NONE else one)


def _fill(raw: bytes | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """One element that nobody has written, as the carrier has it."""
    carrier = carrier_of(dtype)
    fills = np.zeros(1, carrier) if raw is None else np.frombuffer(raw, carrier)
    if fills.tobytes() != fills[:1].tobytes() * len(fills):
        raise UnsupportedError("a fill value of an array whose parts differ")
    return fills[:1].reshape(())


def _needs_libhdf5(stored: StoredValues, layout: Chunked) -> bool:
    """Whether there is a filter without a decoder here."""
    size = math.prod(layout.chunk_shape) * layout.element_size
    return any(decoder(step.id, step.options, size) is None for step in stored.filters)


def _left_to_libhdf5(stored: StoredValues, layout: Chunked) -> Libhdf5Layout:
    element, inner = split_array_type(stored.dtype)
    if element.hasobject or stored.dataspace.shape is None:
        raise UnsupportedError("elements of variable length in chunks that only libhdf5 decodes")
    own_shape = stored.dataspace.shape
    shape, chunks = (*own_shape, *inner), (*layout.shape_for(len(own_shape)), *inner)
    return Libhdf5Layout(shape, chunks, element, missing_filters(stored.filters))


def _in_chunks(stored: StoredValues, layout: Chunked) -> StoredLayout:
    own_shape, maximum = stored.dataspace
    element, inner, fill, conversion = _elements_of(stored)
    assert own_shape is not None
    size = element.itemsize * math.prod(inner)
    if layout.element_size != size:
        raise FormatError(f"its chunks have elements of {layout.element_size} bytes, not {size}")
    dataset = ChunkedDataset(own_shape, maximum, layout, bool(stored.filters))
    shape, chunks = (*own_shape, *inner), (*layout.shape_for(len(own_shape)), *inner)
    grid = tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    index = build_index(stored.file, dataset, grid)
    if stored.filters and layout.leaves_partial_unfiltered:
        partial = tuple(bool(size % chunk) for size, chunk in zip(shape, chunks, strict=True))
        index = replace(index, partial=partial)
    made = StoredLayout(shape, element, carrier_of(element), chunks, True, stored.filters, index, fill)
    return replace(made, conversion=conversion)


def _in_pieces(stored: StoredValues, own_shape: tuple[int, ...]) -> StoredLayout:
    """Of values that are together: in the file, in the header of the dataset, or in files of raw data."""
    element, inner, fill, conversion = _elements_of(stored)
    shape, carrier = (*own_shape, *inner) or (1,), carrier_of(element)
    pieces = _pieces(shape, carrier.itemsize)
    run = ContiguousRun(0, (*shape, carrier.itemsize), pieces)
    layout = StoredLayout(shape, element, carrier, pieces, False, (), run, fill, conversion=conversion)
    size = math.prod(shape) * carrier.itemsize
    if isinstance(stored.layout, Compact):
        return replace(layout, inline=stored.layout.values(size))
    assert isinstance(stored.layout, Contiguous)
    if stored.external:
        extents = tuple(_raw_extent(slot, stored.path or "") for slot in stored.external)
        return replace(layout, raw_extents=extents, reach=stored.reach)
    address = stored.layout.address
    if address is None or not size:
        nothing = np.zeros(0, np.int64)
        grid = tuple(-(-size // piece) for size, piece in zip(shape, pieces, strict=True))
        return replace(layout, index=ChunkIndex(grid, nothing, nothing, nothing, None))
    stored.layout.check(size)
    return replace(layout, index=replace(run, offset=stored.file.base + address))


def _made_of_others(stored: StoredValues, own_shape: tuple[int, ...]) -> VirtualLayout:
    element, inner, fill, conversion = _elements_of(stored)
    mappings = None if inner or conversion else read_mappings(stored.mappings, own_shape)
    if mappings is None:
        raise UnsupportedError("parts of other datasets that don't go together dimension by dimension")
    return VirtualLayout(own_shape, element, fill, mappings, grows(stored.mappings))


def _pieces(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Shape of the pieces in which contiguous values are read: the last dimensions as far as they go together."""
    piece = [1] * len(shape)
    for dimension in reversed(range(len(shape))):
        fitting = PIECE_BYTES // (itemsize * math.prod(piece))
        piece[dimension] = max(1, min(shape[dimension], fitting))
        if piece[dimension] < shape[dimension]:
            break
    return tuple(piece)


def _raw_extent(slot: ExternalSlot, holder: str) -> RawExtent:
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace("${ORIGIN}", os.path.dirname(holder))
    size = _UNLIMITED_BYTES if slot.size is None else slot.size
    return RawExtent(os.path.join(prefix, decode(slot.name)), slot.offset, size)
