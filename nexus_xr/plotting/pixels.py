"""What of an image is drawn in colours: pixels that are flagged, and few that are far brighter than all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from .scale import Range

# Detectors flag pixels by few negative numbers; more of these, or those of this part of an image and more, are values.
_MOST_FLAGS, _FLAGGED = 4, 0.25
# Colours are for so many percent of the pixels where the brightest are so many times as far from the least.
_WITHIN, _BEYOND = 99.9, 10
# Of this part of negative values and more, zero is in the middle of the colours.
_SIGNED = 0.25


@dataclass(frozen=True)
class DrawnPixels:
    """An image with what its colours are of.

    Parameters
    ----------
    array
        The image, flagged pixels NaN.
    reach
        The values that the colours are of.
    is_signed
        Whether so many values are below zero that they mean as much as those above.
    exceeds
        Whether there are pixels beyond the colours.
    """

    array: xr.DataArray
    reach: Range
    is_signed: bool
    exceeds: bool


def pixels_of(array: xr.DataArray) -> DrawnPixels | None:
    """Those of an image of integers; None of anything else, as only counts have negative values that are none.

    Examples
    --------
    >>> counts = xr.DataArray(np.array([[3, 5, 4], [7, -1, 2]]))
    >>> pixels_of(counts).reach
    Range(least=2.0, greatest=7.0)
    """
    values = np.asarray(array.values)
    if array.ndim != 2 or values.dtype.kind not in "iu":
        return None
    negative = values < 0
    part = float(negative.mean())
    is_flagged = 0 < part < _FLAGGED and len(np.unique(values[negative])) <= _MOST_FLAGS
    counted = values[~negative] if is_flagged else values
    all_of_them = Range(float(counted.min()), float(counted.max()))
    most = float(np.percentile(counted, _WITHIN))
    low = all_of_them.least
    exceeds = low < most and all_of_them.greatest - low > _BEYOND * (most - low)
    reach = Range(low, most) if exceeds else all_of_them
    return DrawnPixels(array.where(~negative) if is_flagged else array, reach, part >= _SIGNED, exceeds)
