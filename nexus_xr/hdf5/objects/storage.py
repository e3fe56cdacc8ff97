"""How a dataset is stored."""

from __future__ import annotations

from dataclasses import dataclass

from h5py import h5d, h5p

from nexus_xr.diagnostics import Code
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

from .dataset import Dataset
from .properties import properties_of
from .text import decode

_LAYOUTS = {
    h5d.COMPACT: "compact",
    h5d.CONTIGUOUS: "contiguous",
    h5d.CHUNKED: "chunked",
    h5d.VIRTUAL: "virtual",
}
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Filter:
    """One step of the pipeline that chunks go through.

    Parameters
    ----------
    id
        Number of the filter as registered with The HDF Group.
    name
        Name that the file gives it.
    options
        Client data values of the filter.
    """

    id: int
    name: str
    options: tuple[int, ...]


@dataclass(frozen=True)
class Storage:
    """Layout of a dataset in its file.

    Parameters
    ----------
    layout
        ``compact``, ``contiguous``, ``chunked`` or ``virtual``; ``unknown`` for another, or where that can't be told.
    chunks
        Shape of a chunk; None where the dataset isn't chunked.
    filters
        The filter pipeline, in the order of writing.
    """

    layout: str
    chunks: tuple[int, ...] | None
    filters: tuple[Filter, ...]


def storage_of(dataset: Dataset) -> Storage:
    """Read how a dataset is stored."""
    try:
        properties = properties_of(dataset.id)
        layout = _LAYOUTS.get(properties.get_layout(), UNKNOWN)
        chunks = None
        if layout == "chunked":
            own = tuple(properties.get_chunk())
            chunks = (*own, *dataset.shape[len(own) :])
        return Storage(layout, chunks, filters_of(properties))
    except AnyHdf5Error as error:
        dataset.report(Code.STORAGE_UNKNOWN, f"how it is stored can't be told ({error})")
        return Storage(UNKNOWN, None, ())


def filters_of(properties: h5p.PropDCID) -> tuple[Filter, ...]:
    """The filter pipeline that is part of a dataset's properties."""
    filters = []
    for index in range(properties.get_nfilters()):
        number, _, options, name = properties.get_filter(index)
        filters.append(Filter(number, decode(name), tuple(int(option) for option in options)))
    return tuple(filters)
