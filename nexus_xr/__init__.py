"""Lazy, chunk-aware array datasets of NeXus files.

``xarray.open_dataset(path, engine="nexus")`` opens the default plot of any NeXus file; the functions here
open every signal, list what there is to open, and read the metadata alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.opening.files import common_attrs
from nexus_xr.opening.signals import list_datasets, open_signals, read_metadata
from nexus_xr.reductions import reduce

from . import accessor as accessor
from ._version import __version__ as __version__
from .diagnostics import Diagnostic
from .errors import (
    NexusError,
    NexusFileError,
    NexusFileNotFoundError,
    NexusPathError,
    NexusReachError,
    NexusWarning,
)

if TYPE_CHECKING:
    from nexus_xr.writing.consolidate import consolidate
    from nexus_xr.writing.to_nexus import to_nexus
    from nexus_xr.zarr.copying import to_zarr
    from nexus_xr.zarr.store import zarr_store

__all__ = [
    "Diagnostic",
    "LazyArray",
    "Link",
    "NexusError",
    "NexusFileError",
    "NexusFileNotFoundError",
    "NexusPathError",
    "NexusReachError",
    "NexusWarning",
    "common_attrs",
    "consolidate",
    "list_datasets",
    "open_signals",
    "read_metadata",
    "reduce",
    "to_nexus",
    "to_zarr",
    "zarr_store",
]

# What takes h5py or zarr, which take longer to import than a file takes to open.
_LATER = {
    "consolidate": "nexus_xr.writing.consolidate",
    "to_nexus": "nexus_xr.writing.to_nexus",
    "to_zarr": "nexus_xr.zarr.copying",
    "zarr_store": "nexus_xr.zarr.store",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
