"""Filters that only libhdf5 decodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nexus_xr.hdf5.filters.codec import Codec, Options
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.format.messages.filter_pipeline import NAMES

if TYPE_CHECKING:
    from h5py import h5p


def _ask_nbit(properties: h5p.PropDCID, options: Options) -> None:
    from h5py import h5z

    properties.set_filter(5, h5z.FLAG_OPTIONAL)


# Over more, or less, it ends the process, or makes other values.
_DIMENSIONS_OF_SZ, _ELEMENTS_OF_SZ = 4, 21
_DIMENSIONS_OF_SPERR, _BYTES_OF_SPERR = (2, 3), (4, 8)


def _why_not_sz(chunks: Sequence[int], dtype: np.dtype[Any]) -> str | None:
    if len(chunks) <= _DIMENSIONS_OF_SZ and math.prod(chunks) >= _ELEMENTS_OF_SZ:
        return None
    return f"sz encodes at most {_DIMENSIONS_OF_SZ} dimensions, and at least {_ELEMENTS_OF_SZ} elements"


def _why_not_sperr(chunks: Sequence[int], dtype: np.dtype[Any]) -> str | None:
    if dtype.kind != "f" or dtype.itemsize not in _BYTES_OF_SPERR:
        return "sperr encodes floats of 4 and 8 bytes"
    if sum(length > 1 for length in chunks) not in _DIMENSIONS_OF_SPERR:
        return "sperr encodes chunks of more than one element along two or three dimensions"
    return None


SZIP = Codec(4, NAMES[4], ask=lambda properties, options: properties.set_szip(*options[:2]))
# It leaves out bits that a type doesn't use.
NBIT = Codec(5, NAMES[5], is_lossless=False, ask=_ask_nbit)
SCALEOFFSET = Codec(
    6, NAMES[6], is_lossless=False, ask=lambda properties, options: properties.set_scaleoffset(*options[:2])
)
ZFP = Codec(32013, "zfp", "Zfp", is_lossless=False, encode=plugin_encoder("zfp"))
SZ = Codec(32017, "sz", "SZ", is_lossless=False, why_unfit=_why_not_sz)
FCIDECOMP = Codec(32018, "fcidecomp", is_lossless=False)
SZ3 = Codec(32024, "sz3", "SZ3", is_lossless=False)
SPERR = Codec(32028, "sperr", "Sperr", is_lossless=False, why_unfit=_why_not_sperr)
HTJ2K = Codec(32033, "htj2k", is_lossless=False)
