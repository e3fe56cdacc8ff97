"""Layouts: where and how the values of a dataset are stored, which is all that it takes to read them."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5f, h5o, h5t
from numpy.typing import NDArray

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.filters.pipeline import Pipeline
from nexus_xr.hdf5.filters.registered import explained, missing_filters
from nexus_xr.hdf5.filters.registry import CODECS, decoder
from nexus_xr.hdf5.format.chunk_array import NoArrayError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import BytesSource, RawExtent, RawFilesSource, Source
from nexus_xr.hdf5.objects.addresses import address_of
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.datatypes import split_array_type
from nexus_xr.hdf5.objects.group import root_of
from nexus_xr.hdf5.objects.location import located
from nexus_xr.hdf5.objects.properties import in_high_level, properties_of
from nexus_xr.hdf5.objects.storage import Filter, filters_of
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.objects.virtual import check_readable
from nexus_xr.hdf5.runtime.compat import leaves_partial_chunks_alone
from nexus_xr.hdf5.runtime.fork import after_fork
from nexus_xr.hdf5.runtime.hdf5_errors import Hdf5Errors

from .chunk_index import ChunkIndex, ContiguousRun, EarlierIndex, build_index
from .unreadable import unreadable_values
from .virtual_mapping import VirtualLayout, grows, read_mappings

# As HDF5's own buffer for contiguous data: what is read around a few elements.
PIECE_BYTES = 64 * 1024
# What the indexes of all datasets that were read last may take together, unless one alone takes more.
MOST_INDEX_BYTES = 256 << 20
_MOST_LAYOUTS = 4096
# Older states of a growing file than this are found out anew.
_MOST_STATES = 64


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
    inline
        The values themselves, where they are in the dataset's header.
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
    inline: bytes | None = None

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.filters, math.prod(self.chunks) * self.carrier.itemsize)

    @contextmanager
    def source(self, asked: Source) -> Iterator[Source]:
        """The bytes that the index speaks of, for the length of a ``with`` block.

        Parameters
        ----------
        asked
            Those of the file that was asked.
        """
        with ExitStack() as stack:
            if self.inline is not None:
                yield BytesSource(self.inline)
            elif self.raw_extents:
                yield RawFilesSource(self.raw_extents, stack)
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
        Shape of the dataset, without the dimensions of an array datatype.
    chunks
        Shape of a chunk.
    dtype
        What h5py reads an element as.
    is_safe
        Whether the decoders are known to stand damaged data.
    missing
        Which filters nothing here undoes, in words; None where there are none.
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    is_safe: bool
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


def layout_of(file: File, path: str, source: Source) -> Layout | None:
    """The layout of a dataset, which is looked up once in a process; None where only libhdf5 can read it at all.

    Parameters
    ----------
    file, path
        The file that is asked, and the dataset's path in it.
    source
        The bytes of the file.
    """

    def find(known: Layout | None) -> Layout | None:
        with file.opened() as handle, open_dataset(file, handle, path) as dataset:
            if address_of(dataset.id)[0] == address_of(handle.id)[0]:
                return read_layout(dataset.id, source, known)
            found = located(dataset.id)
            return None if found is None else ExternalDataset(*found)

    return known_layouts.get((source.key, path), find, file.snapshot)


@contextmanager
def open_dataset(file: File, handle: h5py.File, path: str) -> Iterator[h5py.Dataset]:
    """The open dataset; whatever h5py raises meanwhile becomes an error that names it."""
    dataset: h5py.Dataset | None = None

    def named(error: Exception) -> NexusFileError:
        return unreadable_values(file.name, path, error if dataset is None else explained(dataset.id, error))

    with Hdf5Errors(named, passing=(IndexError, MemoryError, NexusError)):
        dataset = _find_dataset(handle, path)
        check_readable(dataset.id)
        yield dataset


def _find_dataset(handle: h5py.File, path: str) -> h5py.Dataset:
    try:
        found = h5o.open(handle.id, path.encode())
    except KeyError:
        # A name that isn't UTF-8 in the file, or another file that this process has open in another way.
        member = root_of(handle, Diagnostics()).find(path)
        found = member.id if isinstance(member, Dataset) else None
    if found is None:
        raise MissingDatasetError(f"{handle.filename}:{path}: there is no such dataset; open the file again")
    if not isinstance(found, h5d.DatasetID):
        raise TypeError("it is no dataset")
    return in_high_level(found)


class MissingDatasetError(NexusFileError):
    """There is no dataset of that path."""


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
        is_safe = all(step.id in CODECS and CODECS[step.id].is_safe for step in filters_of(properties))
        return Libhdf5Layout(own_shape, tuple(properties.get_chunk()), element, is_safe, missing_filters(dataset))
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
    except NoArrayError:
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


def carrier_of(element: np.dtype[Any]) -> np.dtype[Any]:
    """What copies an element as it is, bits that mean nothing among them."""
    return np.dtype({1: "u1", 2: "u2", 4: "u4", 8: "u8"}.get(element.itemsize, f"V{element.itemsize}"))


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


Find = Callable[[Layout | None], Layout | None]


class _Known(NamedTuple):
    """A layout, and of which states of a growing file it is known to be right."""

    layout: Layout | None
    states: tuple[Hashable, ...]

    @property
    def nbytes(self) -> int:
        return 0 if self.layout is None else self.layout.nbytes


class KnownLayouts:
    """The layouts that were used last, so that each is found out once in a process."""

    def __init__(self) -> None:
        self._start_anew()
        after_fork(self._start_anew)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._used = 0
        self._in_work: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, find: Find, state: Hashable = None) -> Layout | None:
        """The layout of that key; of several threads that want it, one finds it out.

        Parameters
        ----------
        key
            What tells the dataset from others.
        find
            Finds it out, or what is new in it since it was known for another state.
        state
            The state of a file that grows, in which the layout has to be right.
        """
        with self._lock:
            known = self._right(key, state)
            if known is not None:
                return known.layout
            in_work = self._in_work.setdefault(key, threading.Lock())
        with in_work:
            with self._lock:
                known = self._right(key, state)
                if known is not None:
                    return known.layout
                before = self._known.get(key, _Known(None, ()))
            try:
                found = _Known(find(before.layout), (*before.states[1 - _MOST_STATES :], state))
                if not (isinstance(found.layout, VirtualLayout) and found.layout.grows):
                    with self._lock:
                        self._keep(key, found)
            finally:
                with self._lock:
                    self._in_work.pop(key, None)
        return found.layout

    def _right(self, key: Hashable, state: Hashable) -> _Known | None:
        known = self._known.get(key)
        if known is None or state not in known.states:
            return None
        self._known.move_to_end(key)
        return known

    def _keep(self, key: Hashable, found: _Known) -> None:
        self._used += found.nbytes - (self._known.pop(key).nbytes if key in self._known else 0)
        self._known[key] = found
        while len(self._known) > 1 and (self._used > MOST_INDEX_BYTES or len(self._known) > _MOST_LAYOUTS):
            _, oldest = self._known.popitem(last=False)
            self._used -= oldest.nbytes


known_layouts = KnownLayouts()
