"""How a dataset is stored."""

from __future__ import annotations

from dataclasses import dataclass

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
