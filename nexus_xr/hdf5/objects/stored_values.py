"""Where and how the values of a dataset are stored, as its file says it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nexus_xr.hdf5.format.datatypes.stored_type import Datatype
from nexus_xr.hdf5.format.external_files import ExternalSlot
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.messages.dataspace import Dataspace
from nexus_xr.hdf5.format.messages.layout import LayoutMessage
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping
from nexus_xr.hdf5.io.naming.reach import EVERYWHERE, Reach

from .storage import Filter


class StoredValues(NamedTuple):
    """Where and how the values of a dataset are stored, which is all that it takes to read them.

    Attributes
    ----------
    file
        The bytes of the file.
    path
        Path of a local file, from whose folder files of raw data are named; None of others.
    dataspace
        How many elements there are.
    dtype
        The dtype of an element, as h5py has it.
    datatype
        What the stored bytes of an element are; None where only libhdf5 knows.
    layout
        Where the elements are.
    fill
        The bytes of an element that nobody has written; None for zeros.
    filters
        The filters that chunks went through.
    external
        Pieces of files of raw data that hold the elements.
    mappings
        Parts of other datasets that hold the elements.
    reach
        Which other files may be read.
    """

    file: FileBytes
    path: str | None
    dataspace: Dataspace
    dtype: np.dtype[Any]
    datatype: Datatype | None
    layout: LayoutMessage
    fill: bytes | None = None
    filters: tuple[Filter, ...] = ()
    external: tuple[ExternalSlot, ...] = ()
    mappings: tuple[VirtualMapping, ...] = ()
    reach: Reach = EVERYWHERE
