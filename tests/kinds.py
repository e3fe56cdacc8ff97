"""Datatypes of HDF5 that are others than what NumPy makes of them, and elements of whatever type."""

from __future__ import annotations

from typing import Any

import numpy as np
from h5py import h5d, h5s, h5t


def kinds_that_numpy_has_no_word_for() -> dict[str, Any]:
    """Datatypes of which another one has the same dtype."""
    precise, odd = h5t.STD_I32LE.copy(), h5t.STD_U32BE.copy()
    precise.set_precision(12)
    precise.set_offset(4)
    odd.set_precision(24)
    tagged = h5t.create(h5t.OPAQUE, 5)
    tagged.set_tag(b"a tag")
    texts = {}
    for name, pad in {"padded": h5t.STR_SPACEPAD, "ended": h5t.STR_NULLTERM}.items():
        texts[name] = h5t.C_S1.copy()
        texts[name].set_size(6)
        texts[name].set_strpad(pad)
    records = h5t.create(h5t.COMPOUND, 13)
    records.insert(b"bits", 0, h5t.STD_B16LE)
    records.insert(b"number", 3, precise)
    records.insert(b"text", 7, texts["padded"])
    array = h5t.array_create(h5t.STD_I16BE, (2, 3))
    return {
        "bits": h5t.STD_B8LE,
        "bits, others first": h5t.STD_B32BE,
        "precise": precise,
        "odd": odd,
        "tagged": tagged,
        **texts,
        "records": records,
        "array": array,
        "number": h5t.STD_U16LE,
    }


def stored_bytes(dataset: h5d.DatasetID) -> bytes:
    """All elements as they are stored."""
    elements = np.empty(dataset.shape, f"V{dataset.get_type().get_size()}")
    dataset.read(h5s.ALL, h5s.ALL, elements, dataset.get_type())
    return elements.tobytes()
