"""What the attribute ``interpretation`` says of data: how many of the last dimensions belong together in a plot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .attributes import text

INTERPRETATION = "interpretation"
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
# Those of no colours, by the number of dimensions that they show.
_PLAIN = ("scalar", "spectrum", "image")


def shown_dims(*attributes: Mapping[str, Any]) -> int | None:
    """How many of the last dimensions are shown together, by the first of these attributes that have an interpretation.

    None where they have none, or one that the manual doesn't know.

    Examples
    --------
    >>> shown_dims({"units": "counts"}, {"interpretation": "rgb-image"}), shown_dims({"interpretation": "film"})
    (3, None)
    """
    return _SHOWN_DIMS.get(text(interpretation_of(*attributes).get(INTERPRETATION)) or "")


def interpretation_as(shown: int) -> str | None:
    """The interpretation by which so many dimensions are shown together, None where the manual has no word for it.

    Examples
    --------
    >>> interpretation_as(1), interpretation_as(4)
    ('spectrum', None)
    """
    return _PLAIN[shown] if shown < len(_PLAIN) else None


def fits_dims(attributes: Mapping[str, Any], rank: int) -> bool:
    """Whether data of so many dimensions can be what the interpretation says; so they can if it says nothing."""
    return (shown_dims(attributes) or 0) <= rank


def interpretation_of(*attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The first interpretation that these attributes have, as an attribute; none where they have none.

    Examples
    --------
    >>> interpretation_of({"units": "counts"}, {"interpretation": "image"})
    {'interpretation': 'image'}
    """
    return next(({INTERPRETATION: each[INTERPRETATION]} for each in attributes if text(each.get(INTERPRETATION))), {})
