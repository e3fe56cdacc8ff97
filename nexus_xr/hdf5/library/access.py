"""Opening what a name in a group leads to, also into other files and beside their writers."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress

from h5py import h5f, h5fd, h5i, h5o, h5p

from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

from .location import is_in_stream

# Whether files are locked, and whether it is ignored where that can't be done.
_WAYS_TO_LOCK = ((True, False), (True, True), (False, False), (False, True))
# What libhdf5 says of a file that has to be opened as a reader beside its writer.
NEEDS_READER = "open for write"
# What it says where a link leads to a file that it can't open.
FILE_IS_THERE = ("open for", "unable to lock", "signature", "truncated")


def open_object(location: h5i.ObjectID, raw_name: bytes) -> h5i.ObjectID:
    """The object of a name.

    A file that a link leads to is opened as this process has it open, if it has; as a reader beside its writer where
    another process is adding to it. What is read through a file object leads to no other file.
    """
    if is_in_stream(location):
        return h5o.open(location, raw_name, _into_no_file())
    try:
        return h5o.open(location, raw_name)
    except AnyHdf5Error as error:
        for access in _other_accesses(str(error)):
            with suppress(AnyHdf5Error):
                return h5o.open(location, raw_name, access)
        raise


def _other_accesses(reason: str) -> Iterator[h5p.PropLAID]:
    if "lock" in reason:
        yield from map(_link_access, _WAYS_TO_LOCK)
    if NEEDS_READER in reason:
        access = _link_access((False, True))
        access.set_elink_acc_flags(h5f.ACC_RDONLY | h5f.ACC_SWMR_READ)
        yield access


def _into_no_file() -> h5p.PropLAID:
    """Opens external links as a file of no bytes, which is none; otherwise they would lead to the stream itself."""
    access, file_access = h5p.create(h5p.LINK_ACCESS), h5p.create(h5p.FILE_ACCESS)
    file_access.set_fileobj_driver(h5fd.fileobj_driver, io.BytesIO())
    access.set_elink_fapl(file_access)
    return access


def _link_access(locking: tuple[bool, bool]) -> h5p.PropLAID:
    access, file_access = h5p.create(h5p.LINK_ACCESS), h5p.create(h5p.FILE_ACCESS)
    file_access.set_fclose_degree(h5f.CLOSE_STRONG)  # as h5py opens every file
    file_access.set_file_locking(*locking)
    access.set_elink_fapl(file_access)
    return access
