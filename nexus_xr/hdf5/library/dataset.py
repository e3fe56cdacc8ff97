"""Datasets as libhdf5 has them open."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5i, h5s

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.node import Address, AttributeType
from nexus_xr.hdf5.objects.storage import Storage

from .addresses import file_numbers
from .attributes import presented, read_attribute_types, read_attributes
from .datatypes import encoded, known_type
from .location import is_in_stream, located
from .properties import properties_of
from .storage import storage_of
from .virtual import check_readable, is_virtual, virtual_mappings_of


class LibraryDataset(Dataset):
    """A dataset as libhdf5 has it open."""

    __slots__ = ("_type", "id")

    def __init__(self, object_id: h5d.DatasetID, path: str, diagnostics: Diagnostics) -> None:
        self.id = object_id
        self._type = known_type(object_id.get_type())
        extent = object_id.get_space().shape
        shape = (*(extent or ()), *self._type.inner_shape)
        super().__init__(path, diagnostics, extent, shape, self._type.element)

    @property
    def address(self) -> Address:
        return file_numbers.address_of(self.id)

    def _read_attributes(self) -> dict[str, Any]:
        return read_attributes(self, self.id)

    def attribute_types(self) -> dict[str, AttributeType]:
        return read_attribute_types(self, self.id)

    @property
    def encoded_type(self) -> bytes:
        return encoded(self.id.get_type())

    @property
    def is_being_written(self) -> bool:
        return bool(h5i.get_file_id(self.id).get_intent() & h5f.ACC_SWMR_READ)

    @property
    def can_grow(self) -> tuple[bool, ...]:
        ends = () if self.is_null else self.id.get_space().get_simple_extent_dims(True)
        return (*(end == h5s.UNLIMITED for end in ends), *(False for _ in self._type.inner_shape))

    @property
    def is_virtual(self) -> bool:
        return is_virtual(self.id)

    @property
    def virtual_mappings(self) -> tuple[VirtualMapping, ...]:
        return virtual_mappings_of(self.id)

    @property
    def has_raw_files(self) -> bool:
        return bool(properties_of(self.id).get_external_count())

    @property
    def origin(self) -> tuple[str, str] | None:
        return None if is_in_stream(self.id) else located(self.id)

    def _read_storage(self) -> Storage:
        return storage_of(self.id, self.shape)

    def opened(self) -> AbstractContextManager[h5d.DatasetID]:
        return nullcontext(self.id)

    def read(self) -> Any:
        if self.is_null:
            return h5py.Empty(self.raw_dtype)
        check_readable(self.id)
        # Of elements that nobody has written, libhdf5 leaves what is there as it is, if it is told not to fill them.
        values = np.zeros(() if self.size == 1 else self.shape, self.raw_dtype)
        if values.size:
            self.id.read(h5s.ALL, h5s.ALL, values, mtype=self._type.memory)
        return presented(values, self._type, self.id)
