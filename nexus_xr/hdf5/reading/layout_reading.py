"""Finding out the layout of an open dataset."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5t
from numpy.typing import NDArray

from nexus_xr.hdf5.filters.registered import missing_filters
from nexus_xr.hdf5.filters.registry import CODECS, decoder
from nexus_xr.hdf5.format.faults import UnsupportedError
from nexus_xr.hdf5.io.source import RawExtent, Source
from nexus_xr.hdf5.library.properties import properties_of
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.objects.datatypes import split_array_type
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.runtime.compat import leaves_partial_chunks_alone

from .chunk_index import ChunkIndex, ContiguousRun
from .index_building import EarlierIndex, build_index
from .layouts import Layout, Libhdf5Layout, StoredLayout, carrier_of
from .virtual_layout import VirtualLayout
from .virtual_mapping import grows, read_mappings

# As HDF5's own buffer for contiguous data: what is read around a few elements.
PIECE_BYTES = 64 * 1024


def read_layout(
    dataset: h5d.DatasetID, source: Source, known: Layout | None = None
) -> StoredLayout | Libhdf5Layout | VirtualLayout | None:
    """The layout of an open dataset, None where only libhdf5 can read it at all.

    Parameters
    ----------
    dataset
        The open dataset.
    source
        The bytes of the file that it is in.
    known
        Its layout when it was smaller.
    """
    # Libhdf5's to read are elements of variable length, references, and what it converts to something that NumPy
    # knows.
    own_shape = dataset.shape
    element, inner = split_array_type(dataset.dtype)
    if own_shape is None or dataset.dtype.hasobject:
        return None
    properties = properties_of(dataset)
    kind = properties.get_layout()
    if kind == h5d.CHUNKED and _needs_libhdf5(dataset, properties):
        if inner:
            return None
        filters = filters_of(properties)
        is_safe = all(step.id in CODECS and CODECS[step.id].is_safe for step in filters)
        return Libhdf5Layout(own_shape, tuple(properties.get_chunk()), element, is_safe, missing_filters(filters))
    if not _is_as_stored(dataset.get_type(), dataset.dtype):
        return None
    fill = _fill_value(properties, dataset.dtype, element)
    if fill is None:
        return None
    shape, carrier = (*own_shape, *inner), carrier_of(element)
    if kind == h5d.VIRTUAL:
        mappings = None if inner else read_mappings(dataset)
        return None if mappings is None else VirtualLayout(shape, element, fill, mappings, grows(dataset))
    if kind == h5d.CHUNKED:
        chunks = tuple(properties.get_chunk())
        return _chunked_layout(dataset, source, shape, (*chunks, *inner), element, fill, known)
    pieces = _pieces(shape or (1,), carrier.itemsize)
    run = ContiguousRun(0, (*(shape or (1,)), carrier.itemsize), pieces)
    layout = StoredLayout(shape or (1,), element, carrier, pieces, False, (), run, fill)
    if kind == h5d.COMPACT:
        values = np.empty(own_shape, dataset.dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, values, mtype=h5t.py_create(dataset.dtype))
        return replace(layout, inline=values.tobytes())
    if kind != h5d.CONTIGUOUS:
        return None
    if properties.get_external_count():
        folder = os.path.dirname(decode(h5f.get_name(dataset)))
        count = properties.get_external_count()
        return replace(layout, raw_extents=tuple(_raw_extent(properties.get_external(i), folder) for i in range(count)))
    offset = dataset.get_offset()
    if offset is None:
        nothing = np.zeros(0, np.int64)
        grid = tuple(-(-size // piece) for size, piece in zip(layout.shape, pieces, strict=True))
        return replace(layout, index=ChunkIndex(grid, nothing, nothing, nothing, None))
    return replace(layout, index=replace(run, offset=offset))


def _chunked_layout(
    dataset: h5d.DatasetID,
    source: Source,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    element: np.dtype[Any],
    fill: NDArray[Any],
    known: Layout | None,
) -> StoredLayout | None:
    properties = properties_of(dataset)
    filters = filters_of(properties)
    grid = tuple(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    before = None
    if isinstance(known, StoredLayout) and isinstance(known.index, ChunkIndex) and known.chunks == chunks:
        before = EarlierIndex(known.index, known.shape)
    try:
        index = build_index(dataset, source, grid, chunks, before)
    except UnsupportedError:
        return None
    if filters and leaves_partial_chunks_alone(properties):
        partial = tuple(bool(size % chunk) for size, chunk in zip(shape, chunks, strict=True))
        index = replace(index, partial=partial)
    return StoredLayout(shape, element, carrier_of(element), chunks, True, filters, index, fill)


def _needs_libhdf5(dataset: h5d.DatasetID, properties: Any) -> bool:
    """Whether there is a filter without a decoder here."""
    size = math.prod(properties.get_chunk()) * dataset.dtype.itemsize
    return any(decoder(step.id, step.options, size) is None for step in filters_of(properties))


def _pieces(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Shape of the pieces in which contiguous values are read: the last dimensions as far as they go together."""
    piece = [1] * len(shape)
    for dimension in reversed(range(len(shape))):
        fitting = PIECE_BYTES // (itemsize * math.prod(piece))
        piece[dimension] = max(1, min(shape[dimension], fitting))
        if piece[dimension] < shape[dimension]:
            break
    return tuple(piece)


def _raw_extent(external: tuple[bytes, int, int], folder: str) -> RawExtent:
    name, offset, size = external
    prefix = os.environ.get("HDF5_EXTFILE_PREFIX", "").replace("${ORIGIN}", folder)
    return RawExtent(os.path.join(prefix, decode(name)), offset, size)


def _fill_value(properties: Any, dtype: np.dtype[Any], element: np.dtype[Any]) -> NDArray[Any] | None:
    """One element as the carrier has it; None for that of an array datatype, which h5py can't tell."""
    fill = np.zeros((), element)
    # A virtual dataset stores nothing, so that there is no time to fill it.
    may_fill = properties.get_fill_time() != h5d.FILL_TIME_NEVER or properties.get_layout() == h5d.VIRTUAL
    if may_fill and properties.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
        if dtype != element:
            return None
        properties.get_fill_value(fill)
    return fill.view(carrier_of(element))


def _is_as_stored(type_id: h5t.TypeID, dtype: np.dtype[Any]) -> bool:
    """Whether elements of a dtype are, byte for byte, what the file holds."""
    if dtype.subdtype is not None:
        return isinstance(type_id, h5t.TypeArrayID) and _is_as_stored(type_id.get_super(), dtype.subdtype[0])
    if dtype.hasobject or type_id.get_size() != dtype.itemsize:
        return False
    if isinstance(type_id, h5t.TypeEnumID):
        return dtype.kind == "b" or _is_as_stored(type_id.get_super(), np.dtype(dtype.str))
    if isinstance(type_id, h5t.TypeOpaqueID):
        return True
    if isinstance(type_id, h5t.TypeCompoundID) and dtype.names is not None:
        return type_id.get_nmembers() == len(dtype.names) and all(
            type_id.get_member_offset(number) == dtype.fields[name][1]  # type: ignore[index]
            and _is_as_stored(type_id.get_member_type(number), dtype[name])
            for number, name in enumerate(dtype.names)
        )
    return bool(type_id.equal(h5t.py_create(dtype)))
