"""From values to places on a screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .letters import number

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Range:
    """Finite values from the least to the greatest; of no such, both are NaN."""

    least: float
    greatest: float

    @classmethod
    def of(cls, values: Numbers) -> Range:
        """That of some values.

        Examples
        --------
        >>> Range.of(np.array([3.0, np.nan, -1.0, np.inf]))
        Range(least=-1.0, greatest=3.0)
        """
        finite = values[np.isfinite(values)]
        return cls(float(finite.min()), float(finite.max())) if finite.size else cls(np.nan, np.nan)

    @property
    def is_there(self) -> bool:
        """Whether there is any such value."""
        return bool(np.isfinite(self.least))

    @property
    def ends(self) -> tuple[str, str]:
        """The least and the greatest in a few characters."""
        return (number(self.least), number(self.greatest)) if self.is_there else ("", "")

    def fractions(self, values: Numbers) -> Numbers:
        """How far values are from the least to the greatest, 0 to 1; the middle where these are one.

        Examples
        --------
        >>> Range(-1.7e308, 1.7e308).fractions(np.array([-1.7e308, 0.0, np.nan]))
        array([0. , 0.5, nan])
        """
        # Of halves, as the whole difference may be beyond what there is.
        width = self.greatest / 2 - self.least / 2
        if not width > 0:
            return np.full_like(values, 0.5)
        with np.errstate(all="ignore"):
            return (values / 2 - self.least / 2) / width

    def places(self, values: Numbers, count: int) -> Numbers:
        """On which of so many places values are; NaN of what isn't finite."""
        fractions = np.where(np.isfinite(values), self.fractions(values), np.nan)
        places: Numbers = np.minimum(np.floor(fractions * count), count - 1)
        return places
