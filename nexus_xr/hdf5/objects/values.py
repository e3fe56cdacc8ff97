"""Values as they are presented: text decoded, one element as itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    element: Any = values.item() if values.dtype.names is None else values.reshape(())[()]
    return decode(element) if is_text else element


def empty(dtype: np.dtype[Any]) -> Any:
    """What there is in a null dataspace."""
    from h5py import Empty

    return Empty(dtype)
