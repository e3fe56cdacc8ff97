"""Values as they are presented: text decoded, one element as itself."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.values import only_element

from .text import decode, decode_array


def to_python(values: NDArray[Any], is_text: bool) -> Any:
    """A Python scalar or `str` where there is one element, and else an array, with text decoded.

    Examples
    --------
    >>> import numpy as np
    >>> to_python(np.array([b"mm"]), True), to_python(np.array(4), False)
    ('mm', 4)
    """
    if values.size != 1:
        return decode_array(values) if is_text else values
    element: Any = only_element(values)
    return decode(element) if is_text else element


def is_empty(value: Any) -> bool:
    """Whether a value is what there is in a null dataspace."""
    h5py = sys.modules.get("h5py")  # who hasn't it has made none
    return h5py is not None and isinstance(value, h5py.Empty)


def empty(dtype: np.dtype[Any]) -> Any:
    """What there is in a null dataspace."""
    from h5py import Empty

    return Empty(dtype)
