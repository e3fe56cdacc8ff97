"""Lazy, chunk-aware array datasets of NeXus files.

``xarray.open_dataset(path, engine="nexus")`` opens the default plot of any NeXus file; the functions here
open every signal, list what there is to open, and read the metadata alone.
"""

from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.opening.files import common_attrs
from nexus_xr.opening.signals import list_datasets, open_signals, read_metadata
from nexus_xr.writing.consolidate import consolidate
from nexus_xr.writing.to_nexus import to_nexus

from . import accessor as accessor
from ._version import __version__ as __version__
from .diagnostics import Diagnostic
from .errors import NexusError, NexusFileError, NexusFileNotFoundError, NexusPathError, NexusWarning

__all__ = [
    "Diagnostic",
    "LazyArray",
    "Link",
    "NexusError",
    "NexusFileError",
    "NexusFileNotFoundError",
    "NexusPathError",
    "NexusWarning",
    "common_attrs",
    "consolidate",
    "list_datasets",
    "open_signals",
    "read_metadata",
    "to_nexus",
]
