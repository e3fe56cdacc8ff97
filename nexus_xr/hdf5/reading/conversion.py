"""Values of stored elements: of what isn't stored as it is, and of text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.heaps.global_heap import GlobalHeap
from nexus_xr.hdf5.format.superblock import read_superblock
from nexus_xr.hdf5.format.values import decode_values
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.objects.text import decode_array, is_text

from .layouts.layout import StoredLayout


def values_of(raw: NDArray[Any], dtype: np.dtype[Any], layout: StoredLayout, file: Source | FileBytes) -> NDArray[Any]:
    """The values of elements that were read.

    Parameters
    ----------
    raw
        The elements as they are stored.
    dtype
        The dtype of the values, in which text is still to be decoded.
    layout
        Says what they are.
    file
        The bytes of the file, in whose heap text of variable length is.

    Raises
    ------
    FormatError
        The file, or what is in its heap, is damaged.
    """
    if layout.conversion is None:
        values = raw.view(dtype)
    else:
        found = file if isinstance(file, FileBytes) else file_bytes(file, read_superblock(file))
        values = decode_values(raw.tobytes(), layout.conversion, raw.shape, GlobalHeap(found))
    return decode_array(values) if is_text(dtype) else values
