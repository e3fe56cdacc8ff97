"""Lazy, chunk-aware array datasets of NeXus files.

``xarray.open_dataset(path, engine="nexus")`` opens the default plot of any NeXus file; the functions here
open every signal, list what there is to open, and read the metadata alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__
from .diagnostics import Diagnostic
from .errors import (
    NexusError,
    NexusExtraError,
    NexusFileChangedError,
    NexusFileError,
    NexusFileNotFoundError,
    NexusPathError,
    NexusReachError,
    NexusWarning,
)
from .extras import advising
from .registration import register_accessors

if TYPE_CHECKING:
    from nexus_xr.arrays.edges_index import EdgesIndex
    from nexus_xr.conversion import convert
    from nexus_xr.exchange.csv_file import read_csv
    from nexus_xr.exchange.flat import unflat
    from nexus_xr.exchange.json_file import read_json
    from nexus_xr.hdf5.objects.links import Link
    from nexus_xr.hdf5.reading.array import LazyArray
    from nexus_xr.inspection.check import check
    from nexus_xr.inspection.description import describe
    from nexus_xr.inspection.outline import outline
    from nexus_xr.metadata.many_files import open_mfdataset
    from nexus_xr.metadata.promotion import promoting
    from nexus_xr.opening.files import common_attrs
    from nexus_xr.opening.listing import list_datasets, read_metadata
    from nexus_xr.opening.signals import open_signals
    from nexus_xr.plotting.picture import plot
    from nexus_xr.plotting.text_plot import text_plot
    from nexus_xr.reductions import reduce
    from nexus_xr.server.viewing import view
    from nexus_xr.writing.copies.consolidate import consolidate
    from nexus_xr.writing.copies.repack import repack
    from nexus_xr.writing.to_nexus import to_nexus
    from nexus_xr.writing.writer import NexusWriter
    from nexus_xr.zarr.copying import to_zarr
    from nexus_xr.zarr.store import zarr_store

    from . import accessor as accessor

__all__ = [
    "Diagnostic",
    "EdgesIndex",
    "LazyArray",
    "Link",
    "NexusError",
    "NexusExtraError",
    "NexusFileChangedError",
    "NexusFileError",
    "NexusFileNotFoundError",
    "NexusPathError",
    "NexusReachError",
    "NexusWarning",
    "NexusWriter",
    "check",
    "common_attrs",
    "consolidate",
    "convert",
    "describe",
    "list_datasets",
    "open_mfdataset",
    "open_signals",
    "outline",
    "plot",
    "promoting",
    "read_csv",
    "read_json",
    "read_metadata",
    "reduce",
    "repack",
    "text_plot",
    "to_nexus",
    "to_zarr",
    "unflat",
    "view",
    "zarr_store",
]

# Where names are that are imported when they are used: xarray, h5py and zarr each take longer to import than a file
# takes to describe, and few need all of them.
_LATER = {
    "EdgesIndex": "nexus_xr.arrays.edges_index",
    "LazyArray": "nexus_xr.hdf5.reading.array",
    "Link": "nexus_xr.hdf5.objects.links",
    "NexusWriter": "nexus_xr.writing.writer",
    "check": "nexus_xr.inspection.check",
    "common_attrs": "nexus_xr.opening.files",
    "convert": "nexus_xr.conversion",
    "consolidate": "nexus_xr.writing.copies.consolidate",
    "describe": "nexus_xr.inspection.description",
    "list_datasets": "nexus_xr.opening.listing",
    "open_mfdataset": "nexus_xr.metadata.many_files",
    "open_signals": "nexus_xr.opening.signals",
    "outline": "nexus_xr.inspection.outline",
    "plot": "nexus_xr.plotting.picture",
    "promoting": "nexus_xr.metadata.promotion",
    "read_csv": "nexus_xr.exchange.csv_file",
    "read_json": "nexus_xr.exchange.json_file",
    "read_metadata": "nexus_xr.opening.listing",
    "reduce": "nexus_xr.reductions",
    "repack": "nexus_xr.writing.copies.repack",
    "text_plot": "nexus_xr.plotting.text_plot",
    "to_nexus": "nexus_xr.writing.to_nexus",
    "to_zarr": "nexus_xr.zarr.copying",
    "unflat": "nexus_xr.exchange.flat",
    "view": "nexus_xr.server.viewing",
    "zarr_store": "nexus_xr.zarr.store",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with advising():
        found = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


register_accessors()
