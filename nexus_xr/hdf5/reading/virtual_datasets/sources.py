"""The sources of virtual datasets: their names, and whether there is anything under these."""

from __future__ import annotations

from typing import NamedTuple

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusFileError, NexusReachError, SystemFaultError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.reach import out_of_reach
from nexus_xr.hdf5.io.naming.url_path import shown
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.reading.unreadable import MissingDatasetError

from .virtual_layout import is_own_file


class SourceName(NamedTuple):
    """A source of a virtual dataset, or with no path its file, by the names that are stored."""

    file: str
    path: str | None = None

    def __str__(self) -> str:
        if self.path is None:
            return self.file
        return self.path if is_own_file(self.file) else f"{self.file}:{self.path}"

    def absolute(self, holder: File) -> str:
        """Where it should be."""
        file = holder.name if is_own_file(self.file) else shown(holder.where_should_be(self.file))
        return file if self.path is None else f"{file}:{self.path}"


def look_into(file: File, path: str) -> tuple[tuple[int, ...], bool] | None:
    """Shape of a source, and whether it is being written; None where that can't be told.

    Raises
    ------
    MissingDatasetError
        It isn't in its file.
    NexusReachError
        It is a link to what is out of reach.
    """
    try:
        with described(file, Diagnostics()) as root:
            found = root.find(path)
            if isinstance(found, Link) and found.is_refused:
                raise out_of_reach(str(found))
            if not isinstance(found, Group | Dataset):
                raise MissingDatasetError(f"{file.name}:{path}: there is no such dataset")
            if isinstance(found, Group) or found.is_null:
                return None
            return found.shape, found.is_being_written
    except (MissingDatasetError, NexusReachError, SystemFaultError):
        raise
    except NexusFileError:  # there is something, and to read it will say what is wrong with it
        return None
