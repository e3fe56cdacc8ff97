"""Layouts of datasets that libhdf5 describes: in files that are being written, and of what isn't known from bytes."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from h5py import h5d, h5f, h5i, h5s, h5t

from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.datatypes.stored_type import plain
from nexus_xr.hdf5.format.external_files import ExternalSlot
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.messages.dataspace import Dataspace
from nexus_xr.hdf5.format.messages.filter_pipeline import unnamed_filters
from nexus_xr.hdf5.format.messages.layout import Chunked, LayoutMessage, parse_layout
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import ObjectHeader, first_of, read_object_header
from nexus_xr.hdf5.format.shared_messages import read_shared_table, resolve
from nexus_xr.hdf5.format.superblock import Superblock, read_superblock
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.library.addresses import address_of
from nexus_xr.hdf5.library.location import located
from nexus_xr.hdf5.library.properties import properties_of
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.library.virtual import virtual_mappings_of
from nexus_xr.hdf5.objects.stored_values import StoredValues
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.reading.dataset_access import open_dataset
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout

from .layout import ExternalDataset, Layout, Libhdf5Layout, StoredLayout
from .layout_reading import layout_from

# How often what another process is writing is read again, until its parts go together.
_MOST_ATTEMPTS = 100


def layout_by_libhdf5(file: File, path: str, source: Source) -> Layout | None:
    """The layout of a dataset that isn't known from bytes, None where only libhdf5 can read it at all.

    Parameters
    ----------
    file, path
        The file that is asked, and the dataset's path in it.
    source
        The bytes of the file.
    """
    with file.opened() as handle, open_dataset(file, handle, path) as dataset:
        if address_of(dataset.id)[0] == address_of(handle.id)[0]:
            return read_layout(dataset.id, source)
        found = located(dataset.id)
        return None if found is None else ExternalDataset(*found)


def read_layout(dataset: h5d.DatasetID, source: Source) -> StoredLayout | Libhdf5Layout | VirtualLayout | None:
    """The layout of an open dataset, None where only libhdf5 can read it at all.

    Parameters
    ----------
    dataset
        The open dataset.
    source
        The bytes of the file that it is in.
    """
    intent = h5i.get_file_id(dataset).get_intent()
    # What this process writes may not be in the file yet; and a fill value of variable length may be damaged.
    if intent & h5f.ACC_RDWR or dataset.dtype.hasobject:
        return None
    for _ in range(_MOST_ATTEMPTS - 1 if intent & h5f.ACC_SWMR_READ else 0):
        with suppress(FormatError):
            return _read_once(dataset, source)
    return _read_once(dataset, source)


def _read_once(dataset: h5d.DatasetID, source: Source) -> StoredLayout | Libhdf5Layout | VirtualLayout | None:
    with suppress(UnsupportedError):
        return layout_from(stored_values(dataset, source))
    return None


def stored_values(dataset: h5d.DatasetID, source: Source) -> StoredValues:
    """What is said of how the values of an open dataset are stored.

    Parameters
    ----------
    dataset
        The open dataset.
    source
        The bytes of the file that it is in.

    Raises
    ------
    FormatError
        What its file says isn't what libhdf5 read.
    UnsupportedError
        It can't be told.
    """
    file = file_bytes(source, read_superblock(source))
    dtype, properties = dataset.dtype, properties_of(dataset)
    count = properties.get_external_count()
    datatype = plain(dtype.itemsize, dtype) if _is_as_stored(dataset.get_type(), dtype) else None
    return StoredValues(
        file,
        decode(h5f.get_name(dataset)),
        _dataspace(dataset),
        dtype,
        datatype,
        _layout(read_object_header(file, address_of(dataset)[1]), file),
        None if datatype is None else _fill(properties, dtype),
        filters_of(properties),
        tuple(ExternalSlot(*properties.get_external(number)) for number in range(count)),
        virtual_mappings_of(dataset),
    )


@dataclass(frozen=True)
class Peculiarities:
    """What an open dataset has that libhdf5 reads well and copies badly, and doesn't tell.

    Parameters
    ----------
    unnamed_filters
        The numbers of its filters that its file gives no name, though it has room for one.
    is_new_layout
        Whether HDF5 before 2.0 doesn't read where its chunks are, though nothing needs it.
    """

    unnamed_filters: tuple[int, ...] = ()
    is_new_layout: bool = False


def peculiarities_of(dataset: h5d.DatasetID, source: Source) -> Peculiarities:
    """What is to be heeded where an open dataset is copied; nothing where its header can't be told.

    Parameters
    ----------
    dataset
        The open dataset.
    source
        The bytes of the file that it is in.
    """
    with suppress(FormatError, UnsupportedError):
        superblock = read_superblock(source)
        file = file_bytes(source, superblock)
        header = read_object_header(file, address_of(dataset)[1])
        return Peculiarities(_unnamed_filters(header, file, superblock), _is_new_layout(header, file))
    return Peculiarities()


def _unnamed_filters(header: ObjectHeader, file: FileBytes, superblock: Superblock) -> tuple[int, ...]:
    kind = MessageType.FILTER_PIPELINE
    with suppress(FormatError, UnsupportedError):
        for flags, content in header.get(kind, ())[:1]:
            return unnamed_filters(resolve(file, kind, flags, content, read_shared_table(file, superblock.extension)))
    return ()


def _is_new_layout(header: ObjectHeader, file: FileBytes) -> bool:
    with suppress(FormatError, UnsupportedError):
        layout = _layout(header, file)
        return isinstance(layout, Chunked) and layout.needs_hdf5_2 and not layout.leaves_partial_unfiltered
    return False


def _dataspace(dataset: h5d.DatasetID) -> Dataspace:
    shape = dataset.shape
    ends = () if shape is None else dataset.get_space().get_simple_extent_dims(True)
    return Dataspace(shape, tuple(None if end == h5s.UNLIMITED else end for end in ends))


def _layout(header: ObjectHeader, file: FileBytes) -> LayoutMessage:
    message = first_of(header, MessageType.LAYOUT)
    if message is None:
        raise FormatError("it isn't said where a dataset's values are")
    return parse_layout(message, file.offset_size, file.length_size)


def _fill(properties: Any, dtype: np.dtype[Any]) -> bytes | None:
    # A virtual dataset stores nothing, so that there is no time to fill it.
    may_fill = properties.get_fill_time() != h5d.FILL_TIME_NEVER or properties.get_layout() == h5d.VIRTUAL
    if not may_fill or properties.fill_value_defined() != h5d.FILL_VALUE_USER_DEFINED:
        return None
    if dtype.subdtype is not None:
        raise UnsupportedError("a fill value of an array, which h5py can't tell")
    fill = np.zeros((), dtype)
    properties.get_fill_value(fill)
    return fill.tobytes()


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
