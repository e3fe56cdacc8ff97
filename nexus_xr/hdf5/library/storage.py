"""How a dataset is stored, as its properties tell it."""

from __future__ import annotations

from h5py import h5d, h5p

from nexus_xr.hdf5.objects.storage import UNKNOWN, Filter, Storage
from nexus_xr.hdf5.objects.text import decode

from .properties import properties_of

_LAYOUTS = {
    h5d.COMPACT: "compact",
    h5d.CONTIGUOUS: "contiguous",
    h5d.CHUNKED: "chunked",
    h5d.VIRTUAL: "virtual",
}


def storage_of(dataset: h5d.DatasetID, shape: tuple[int, ...]) -> Storage:
    """Read how a dataset is stored.

    Parameters
    ----------
    dataset
        The open dataset.
    shape
        Its shape with the dimensions of an array datatype, which chunks have as well.
    """
    properties = properties_of(dataset)
    layout = _LAYOUTS.get(properties.get_layout(), UNKNOWN)
    chunks = None
    if layout == "chunked":
        own = tuple(properties.get_chunk())
        chunks = (*own, *shape[len(own) :])
    return Storage(layout, chunks, filters_of(properties))


def filters_of(properties: h5p.PropDCID) -> tuple[Filter, ...]:
    """The filter pipeline that is part of a dataset's properties."""
    filters = []
    for index in range(properties.get_nfilters()):
        number, _, options, name = properties.get_filter(index)
        filters.append(Filter(number, decode(name), tuple(int(option) for option in options)))
    return tuple(filters)
