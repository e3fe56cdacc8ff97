"""The values of small datasets, read as a whole while their file is described."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nexus_xr.hdf5.format.consistency import MOST_SECONDS, consistent
from nexus_xr.hdf5.format.faults import UnsupportedError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.stored_values import StoredValues
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.objects.values import to_python

from .conversion import values_of
from .engine.engine import read
from .engine.few_chunks import FEW_CHUNKS
from .layouts.layout import Layout, Libhdf5Layout, StoredLayout
from .layouts.layout_reading import layout_from
from .processes import read_in_processes


def read_whole(dataset: Dataset) -> Any:
    """All values: a Python scalar or `str`, an array, or an `h5py.Empty` for a null dataspace.

    Parameters
    ----------
    dataset
        The dataset of an open file. What is in chunks or in other files is read as any other array is; the rest, by
        itself.
    """
    if dataset.reads_itself:
        return dataset.read()
    try:
        stored, layout = consistent(lambda: _stored(dataset), MOST_SECONDS if dataset.is_being_written else 0.0)
    except UnsupportedError:
        return dataset.read()
    if stored is not None and isinstance(layout, StoredLayout):
        return _read(dataset, stored, layout)
    if stored is not None and isinstance(layout, Libhdf5Layout):
        return _read_elsewhere(dataset, stored, layout)
    return dataset.read()


def _stored(dataset: Dataset) -> tuple[StoredValues | None, Layout | None]:
    stored = dataset.stored
    return stored, None if stored is None else layout_from(stored)


def _read(dataset: Dataset, stored: StoredValues, layout: StoredLayout) -> Any:
    values = np.empty(layout.shape, layout.carrier)
    with layout.source(stored.file.source) as source:
        for part in _parts(layout):
            values[part] = read(layout, source, part, num_threads=1)
    return to_python(values_of(values, dataset.raw_dtype, layout, stored.file), is_text=False)  # which is decoded


def _read_elsewhere(dataset: Dataset, stored: StoredValues, layout: Libhdf5Layout) -> Any:
    """In a process of its own, as libhdf5's decoders hang or crash on bytes that are damaged."""
    path = dataset.path if dataset.origin is None else dataset.origin[1]
    whole = [slice(0, size, 1) for size in layout.shape]
    where = stored.path if stored.reach.is_everywhere else None
    values = read_in_processes(layout, where or stored.file.source, path, whole, num_threads=1)
    return to_python(values, is_text(layout.dtype))


def _parts(layout: StoredLayout) -> Iterator[tuple[slice, ...]]:
    """What is read at once: each chunk by itself where a plan for so few takes more time than it saves, or all."""
    count = math.prod(-(-size // chunk) for size, chunk in zip(layout.shape, layout.chunks, strict=True))
    if not count:  # of the other dimensions, one may have any number of chunks without a value
        return iter(())
    lengths = layout.chunks if count <= FEW_CHUNKS else layout.shape
    along = (
        [slice(begin, min(begin + length, size), 1) for begin in range(0, size, length)]
        for size, length in zip(layout.shape, lengths, strict=True)
    )
    return itertools.product(*along)
