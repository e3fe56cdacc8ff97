"""Copying a dataset from one file to another without decoding it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5o, h5p

from nexus_xr.hdf5.reading.array import LazyArray

from .new_objects import link_properties


@dataclass(frozen=True, eq=False)
class Copied:
    """All values of a dataset of a file, to be copied as they are stored there.

    Parameters
    ----------
    array
        The dataset.
    """

    array: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype


def copy_dataset(array: LazyArray, group: h5py.Group, name: str) -> bool:
    """Copy a dataset with its chunks and filters as they are, and without its attributes.

    Parameters
    ----------
    array
        All of the dataset.
    group
        Where it is copied to.
    name
        Name of the copy.

    Returns
    -------
    bool
        Whether it was: one whose values are elsewhere (virtual, parts, external raw data), or that has grown, is not.
    """
    if array.layout is not None:
        return False
    if array.dtype.hasobject:
        array[...]  # over damage libhdf5 may go on for ever, which is an error here
    properties = h5p.create(h5p.OBJECT_COPY)
    properties.set_copy_object(h5o.COPY_WITHOUT_ATTR_FLAG)
    with array.opened() as dataset:
        if dataset.is_virtual or dataset.external or dataset.shape != array.shape:
            return False
        h5o.copy(dataset.id, b".", group.id, name.encode(), properties, link_properties())
    return True
