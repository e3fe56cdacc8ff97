"""What the attribute ``interpretation`` says of data: how many of the last dimensions belong together in a plot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attributes import text

# The values of the manual's chapter "NeXus Attributes", and ``scaler``, as it once spelt the first of them. The colours
# of an image are its last dimension. A vertex has one value: its place is that of the axes.
_SHOWN_DIMS = {
    "scalar": 0,
    "scaler": 0,
    "spectrum": 1,
    "vertex": 1,
    "image": 2,
    "rgb-image": 3,
    "rgba-image": 3,
    "hsl-image": 3,
    "hsla-image": 3,
    "cmyk-image": 3,
}


def shown_dims(*attributes: Mapping[str, Any]) -> int | None:
    """How many of the last dimensions are shown together, by the first of these attributes that have an interpretation.

    None where they have none, or one that the manual doesn't know.

    Examples
    --------
    >>> shown_dims({"units": "counts"}, {"interpretation": "rgb-image"}), shown_dims({"interpretation": "film"})
    (3, None)
    """
    given = (text(each.get("interpretation")) for each in attributes)
    return _SHOWN_DIMS.get(next((interpretation for interpretation in given if interpretation), ""))
