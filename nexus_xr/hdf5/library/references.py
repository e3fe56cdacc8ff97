"""What references refer to, as libhdf5 names it."""

from __future__ import annotations

from typing import Any

import numpy as np
from h5py import h5i
from numpy.typing import NDArray

from nexus_xr.hdf5.objects import references

from .addresses import object_names


def name_references(values: NDArray[Any], dtype: np.dtype[Any], location: h5i.ObjectID) -> NDArray[Any]:
    """References as a `Link` to what they refer to, for which the open file is needed; None for null references."""
    return references.name_references(values, dtype, lambda each: object_names.of_target(each, location))
