"""Dtypes of what is stored, as h5py has them: arrays, references and text among them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .text import is_text, marks, text_dtype


def split_array_type(dtype: np.dtype[Any]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The element of an array datatype and the dimensions that it adds behind a dataset's own, as NumPy has them.

    Examples
    --------
    >>> split_array_type(np.dtype(("i4", (3,))))
    (dtype('int32'), (3,))
    """
    shape: tuple[int, ...] = ()
    while dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    return dtype, shape


def varying_element(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype of what elements of varying length are made of, None for other elements and for text."""
    inner = marks(dtype).get("vlen")
    return inner if isinstance(inner, np.dtype) else None


def is_reference(dtype: np.dtype[Any]) -> bool:
    """Whether elements are object or region references."""
    return "ref" in marks(dtype)


def has_references(dtype: np.dtype[Any]) -> bool:
    """Whether there are object or region references among the elements of a dtype, or among their parts."""
    if is_reference(dtype):
        return True
    inner = varying_element(dtype)
    if inner is not None:
        return has_references(inner)
    if dtype.names is not None:
        return any(has_references(dtype[name]) for name in dtype.names)
    return dtype.subdtype is not None and has_references(dtype.base)


def presented_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that values of a stored dtype have once they are read: text decoded, references named."""
    return text_dtype(dtype) if is_text(dtype) else named_dtype(dtype)


def named_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype that values of a stored dtype have once references among them are named."""
    if not has_references(dtype):
        return dtype
    if dtype.names is None:
        return np.dtype(object)
    return np.dtype([(name, named_dtype(dtype[name])) for name in dtype.names])
