"""Which files open with the engine "nexus" when no engine is named.

To tell that changes nothing. But it isn't enough: xarray asks its netCDF engines before all others, in an order that
an engine of a package has no part in, and they claim every HDF5 file, so that a NeXus file would open as an empty
Dataset. They are therefore made to decline NeXus files, which changes two classes of xarray, for guesses alone: a named
engine opens what it opened.

An engine is told once of its being there, when it is loaded, and not when a guess begins. xarray loads all engines
together for the first that is asked for, be it by a guess, by name or by ``list_engines()``, so it is then that the
classes change; not when `nexus_xr` is imported, not where netCDF's packages aren't installed, and not where
``NEXUS_XR_GUESS=0``.
"""

from __future__ import annotations

import functools
import os
from importlib.util import find_spec
from typing import Any

from xarray.backends import BackendEntrypoint, H5netcdfBackendEntrypoint, NetCDF4BackendEntrypoint

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.errors import NexusError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.naming.url_path import is_url
from nexus_xr.hdf5.io.reference import as_file_like
from nexus_xr.hdf5.io.superblock import has_hdf5_signature
from nexus_xr.hdf5.library.described import described
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.nexus.rules.attributes import nx_class
from nexus_xr.nexus.rules.reserved import EXTENSIONS

_NETCDF_EXTENSIONS = (".nc", ".nc4", ".cdf")
VARIABLE = "NEXUS_XR_GUESS"
# By the packages without which xarray doesn't ask them.
_CLAIM_ALL_HDF5 = {"netCDF4": NetCDF4BackendEntrypoint, "h5netcdf": H5netcdfBackendEntrypoint}


def is_nexus(source: Any) -> bool:
    """Whether a file is NeXus: by its extension, or as HDF5 whose root or first group has an NX_class.

    A file that netCDF wrote, or with its extension, is netCDF.
    """
    if isinstance(source, str | os.PathLike):
        path = os.fspath(source)
        extension = os.path.splitext(path)[1].lower()
        if extension in EXTENSIONS:
            return True
        if extension in _NETCDF_EXTENSIONS or is_url(path) or not _is_hdf5(path):
            return False
    elif not isinstance(source, bytes | bytearray | memoryview) and not hasattr(source, "seek"):
        return False
    return _holds_nexus(source)


def _is_hdf5(path: str) -> bool:
    try:
        with open(path, "rb") as stream:
            return has_hdf5_signature(stream)
    except (OSError, ValueError):
        return False


def _holds_nexus(source: Any) -> bool:
    position = source.tell() if hasattr(source, "tell") else None
    file = File(as_file_like(source))
    try:
        with described(file, Diagnostics()) as root:
            return "_NCProperties" not in root.read_attributes() and _has_class(root)
    except NexusError:
        return False
    finally:
        file.close()
        if position is not None:
            source.seek(position)


def _has_class(root: Group) -> bool:
    if nx_class(root.read_attributes()) is not None:
        return True
    first = next((member for _, member, _ in root.members() if isinstance(member, Group)), None)
    return first is not None and nx_class(first.read_attributes()) is not None


def let_netcdf_decline_nexus() -> None:
    """Have xarray's netCDF engines not claim NeXus files, unless ``NEXUS_XR_GUESS`` is 0 or they aren't installed."""
    if os.environ.get(VARIABLE, "").strip() == "0":
        return
    for module, engine in _CLAIM_ALL_HDF5.items():
        if find_spec(module) is not None:
            _decline_nexus(engine)


def _decline_nexus(engine: type[BackendEntrypoint]) -> None:
    claims = engine.guess_can_open
    if getattr(claims, "declines_nexus", False):
        return

    @functools.wraps(claims)
    def guess_can_open(self: BackendEntrypoint, filename_or_obj: Any) -> bool:
        return bool(claims(self, filename_or_obj)) and not is_nexus(filename_or_obj)

    guess_can_open.declines_nexus = True  # type: ignore[attr-defined]
    engine.guess_can_open = guess_can_open  # type: ignore[method-assign]
