"""In which file an open object is, and how that file is read."""

from __future__ import annotations

import os

from h5py import h5d, h5f, h5fd, h5i, h5o, h5r

from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

from .addresses import address_of


def is_in_stream(location: h5i.ObjectID) -> bool:
    """Whether the file is read through a file object; libhdf5 then takes every other file for this one as well."""
    return bool(h5i.get_file_id(location).get_access_plist().get_driver() == h5fd.fileobj_driver)


def located(dataset: h5d.DatasetID) -> tuple[str, str] | None:
    """The file that an open dataset is in, and a path of it there; None where it has none, or the file no name."""
    if is_in_stream(dataset):
        return None
    file = h5i.get_file_id(dataset)
    name = h5i.get_name(dataset)
    # Where a soft link led on to another file, it is the name of that link.
    if name is None or not _leads_to(file, name, dataset):
        name = h5r.get_name(h5r.create(dataset, b".", h5r.OBJECT), file)
    return None if name is None else (os.path.abspath(decode(h5f.get_name(file))), decode(name))


def _leads_to(file: h5f.FileID, name: bytes, dataset: h5d.DatasetID) -> bool:
    try:
        return address_of(h5o.open(file, name)) == address_of(dataset)
    except AnyHdf5Error:
        return False
