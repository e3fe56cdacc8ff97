"""References to objects and regions, as links to what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .datatypes import has_references, is_reference, named_dtype, varying_element
from .links import Link
from .text import decode

# A reference -> the path of its target as it is stored, None where that has none.
NameOf = Callable[[Any], bytes | None]


def name_references(values: NDArray[Any], dtype: np.dtype[Any], name_of: NameOf) -> NDArray[Any]:
    """References as a `Link` to what they refer to; None for null references, and where no path leads to it.

    Parameters
    ----------
    values, dtype
        Values with references, and the dtype that tells where.
    name_of
        Names what a reference refers to that isn't null.
    """
    linked = [_named(value, dtype, name_of) for value in values.flat]
    if dtype.names is None:
        return _objects(linked).reshape(values.shape)
    return np.array(linked, dtype=named_dtype(dtype)).reshape(values.shape)


def _named(value: Any, dtype: np.dtype[Any], name_of: NameOf) -> Any:
    if is_reference(dtype):
        name = name_of(value) if value else None
        return Link(decode(name), trouble="") if name else None
    if dtype.names is not None:
        return tuple(_named(value[name], dtype[name], name_of) for name in dtype.names)
    if not has_references(dtype):
        return value
    inner = varying_element(dtype)
    return _objects([_named(each, dtype.base if inner is None else inner, name_of) for each in np.ravel(value)])


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array
