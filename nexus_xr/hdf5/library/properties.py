"""How datasets were created, asked for as it is safe from libhdf5."""

from __future__ import annotations

from contextlib import suppress

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from nexus_xr.hdf5.runtime.h5py_lock import phil
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error


def properties_of(dataset: h5d.DatasetID) -> h5p.PropDCID:
    """How a dataset was created."""
    with phil:
        _read_through_own_handle(dataset)
        return dataset.get_create_plist()


def in_high_level(dataset: h5d.DatasetID) -> h5py.Dataset:
    """The dataset in h5py's high-level interface, which asks no more how it was created where that isn't safe."""
    with phil:
        varies = _read_through_own_handle(dataset)
        made = h5py.Dataset(dataset)
        if varies:
            _ = made.is_virtual  # for which newer versions of h5py ask, and keep what they are told
        return made


def _read_through_own_handle(dataset: h5d.DatasetID) -> bool:
    """Let libhdf5 read a fill value of variable length through the handle that the dataset was opened with.

    It does so through the one that read the dataset last, and crashes where that is closed meanwhile. Each reading
    changes that, also one that is refused because as many elements are asked for as there are not.

    Returns
    -------
    bool
        Whether a fill value would be of variable length.
    """
    type_id = dataset.get_type()
    varies = isinstance(type_id, h5t.TypeVlenID) or (
        isinstance(type_id, h5t.TypeStringID) and type_id.is_variable_str()
    )
    if varies:
        elements = dataset.get_space()
        count = 2 if elements.get_select_npoints() == 1 else 1
        with suppress(AnyHdf5Error):
            nowhere = np.empty(count, f"V{type_id.get_size()}")
            dataset.read(h5s.create_simple((count,)), elements, nowhere, mtype=type_id)
    return bool(varies)
