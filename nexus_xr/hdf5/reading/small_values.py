"""The values of small datasets, read as a whole while their file is described."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nexus_xr.hdf5.format.faults import UnsupportedError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.stored_values import StoredValues
from nexus_xr.hdf5.objects.values import to_python

from .conversion import values_of
from .engine.engine import read
from .engine.few_chunks import FEW_CHUNKS
from .layouts.layout import StoredLayout
from .layouts.layout_reading import layout_from


def read_whole(dataset: Dataset) -> Any:
    """All values: a Python scalar or `str`, an array, or an `h5py.Empty` for a null dataspace.

    Parameters
    ----------
    dataset
        The dataset of an open file. What is in chunks is read as any other array is; the rest, by itself.
    """
    if dataset.reads_itself:
        return dataset.read()
    try:
        stored = dataset.stored
        layout = None if stored is None else layout_from(stored)
    except UnsupportedError:
        return dataset.read()
    if stored is None or not isinstance(layout, StoredLayout):
        return dataset.read()
    return _read(dataset, stored, layout)


def _read(dataset: Dataset, stored: StoredValues, layout: StoredLayout) -> Any:
    values = np.empty(layout.shape, layout.carrier)
    for part in _parts(layout):
        values[part] = read(layout, stored.file.source, part, num_threads=1)
    return to_python(values_of(values, dataset.raw_dtype, layout, stored.file), is_text=False)  # which is decoded


def _parts(layout: StoredLayout) -> Iterator[tuple[slice, ...]]:
    """What is read at once: each chunk by itself where a plan for so few takes more time than it saves, or all."""
    count = math.prod(-(-size // chunk) for size, chunk in zip(layout.shape, layout.chunks, strict=True))
    lengths = layout.chunks if count <= FEW_CHUNKS else layout.shape
    along = (
        [slice(begin, min(begin + length, size), 1) for begin in range(0, size, length)]
        for size, length in zip(layout.shape, lengths, strict=True)
    )
    return itertools.product(*along)
