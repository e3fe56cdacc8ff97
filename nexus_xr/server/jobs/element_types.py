"""What elements are, in words of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nexus_xr.hdf5.objects.datatypes import is_reference, split_array_type, varying_element
from nexus_xr.hdf5.objects.text import marks


def told_type(dtype: np.dtype[Any]) -> Any:
    """A stored dtype as NumPy writes it, and in words where it has no bytes of its own.

    Compounds are lists of a name, a type and perhaps a shape for each part, as values in JSON have them. Bytes that
    belong to none are parts without a name; where parts lie in another order, it is told where each begins.

    Examples
    --------
    >>> told_type(np.dtype(">u2")), told_type(np.dtype("O", metadata={"vlen": str}))
    ('>u2', 'text')
    >>> told_type(np.dtype("O", metadata={"vlen": np.dtype("<i4")}))
    {'list': '<i4'}
    >>> told_type(np.dtype({"names": ["a", "b"], "formats": [("u1", (3,)), "<f8"], "offsets": [0, 4]}))
    [['a', '|u1', [3]], ['', '|V1'], ['b', '<f8']]
    >>> told_type(np.dtype({"names": ["a", "b"], "formats": ["<f8", "<i4"], "offsets": [4, 0]}))
    {'parts': [['a', '<f8'], ['b', '<i4']], 'offsets': [4, 0], 'size': 12}
    """
    element, shape = split_array_type(dtype)
    if shape:
        return {"array": told_type(element), "shape": list(shape)}
    inner = varying_element(dtype)
    if inner is not None:
        return {"list": told_type(inner)}
    if "vlen" in marks(dtype):
        return "text"
    if is_reference(dtype):
        return "reference"
    return dtype.str if dtype.names is None else _compound(dtype)


def _compound(dtype: np.dtype[Any]) -> Any:
    names = dtype.names or ()
    fields: Mapping[str, Any] = dtype.fields or {}
    told = [_part(name, dtype[name]) for name in names]
    if dtype.hasobject:  # of which nobody gets the bytes
        return told
    begins = [fields[name][1] for name in names]
    if begins != sorted(begins):
        return {"parts": told, "offsets": begins, "size": dtype.itemsize}
    told_with_gaps: list[Any] = []
    end = 0
    for name, part, begin in zip(names, told, begins, strict=True):
        told_with_gaps += [*_unnamed(begin - end), part]
        end = begin + dtype[name].itemsize
    return [*told_with_gaps, *_unnamed(dtype.itemsize - end)]


def _unnamed(size: int) -> list[list[str]]:
    return [["", f"|V{size}"]] if size else []


def _part(name: str, dtype: np.dtype[Any]) -> list[Any]:
    element, shape = split_array_type(dtype)
    return [name, told_type(element), list(shape)] if shape else [name, told_type(element)]
