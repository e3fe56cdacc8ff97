"""Lazy, chunk-aware array datasets of NeXus files.

``xarray.open_dataset(path, engine="nexus")`` opens the default plot of any NeXus file; the functions here
open every signal, list what there is to open, and read the metadata alone.
"""

from . import accessor as accessor
from .consolidation import consolidate
from .errors import NexusError, NexusFileError, NexusFileNotFoundError, NexusPathError, NexusWarning
from .hdf5.array import LazyArray
from .hdf5.objects import Link
from .several import common_attrs
from .signals import list_datasets, open_signals, read_metadata
from .writing import to_nexus

__all__ = [
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
__version__ = "0.1.0"
