"""Opening the dataset of a path, so that errors name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import h5py
from h5py import h5d

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusError, NexusFileError, NexusReachError
from nexus_xr.hdf5.filters.missing_filters import explained
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.library.access import open_object
from nexus_xr.hdf5.library.dataset import LibraryDataset
from nexus_xr.hdf5.library.group import root_of
from nexus_xr.hdf5.library.location import is_in_stream
from nexus_xr.hdf5.library.properties import in_high_level, properties_of
from nexus_xr.hdf5.library.storage import filters_of
from nexus_xr.hdf5.library.virtual import check_readable
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error, Hdf5Errors

from .unreadable import MissingDatasetError, unreadable_values, values_explained


@contextmanager
def open_dataset(file: File, handle: h5py.File, path: str) -> Iterator[h5py.Dataset]:
    """The open dataset; whatever h5py raises meanwhile becomes an error that names it."""
    dataset: h5py.Dataset | None = None

    def named(error: Exception) -> NexusFileError:
        return unreadable_values(file.name, path, error if dataset is None else explained(_filters(dataset), error))

    with Hdf5Errors(named, passing=(IndexError, MemoryError, NexusError)):
        dataset = _find_dataset(file, handle, path)
        with values_explained(file.name, path):
            check_readable(dataset.id)
        yield dataset


def _filters(dataset: h5py.Dataset) -> tuple[Filter, ...]:
    with suppress(AnyHdf5Error):
        return filters_of(properties_of(dataset.id))
    return ()


def _find_dataset(file: File, handle: h5py.File, path: str) -> h5py.Dataset:
    try:
        found = open_object(handle.id, path.encode())
    except KeyError:
        # A name that isn't UTF-8 in the file, or another file that this process has open in another way.
        member = root_of(handle, Diagnostics(), file.name).find(path)
        if isinstance(member, Link) and is_in_stream(handle.id):
            raise NexusReachError(f"{path} is a link to {member}, and libhdf5 follows none from here") from None
        found = member.id if isinstance(member, LibraryDataset) else None
    if found is None:
        raise MissingDatasetError(f"{file.name}:{path}: there is no such dataset; open the file again")
    if not isinstance(found, h5d.DatasetID):
        raise TypeError("it is no dataset")
    return in_high_level(found)
