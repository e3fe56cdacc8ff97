"""Filters that only libhdf5 decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_xr.hdf5.filters.codec import Codec, Options
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.format.messages.filter_pipeline import NAMES

if TYPE_CHECKING:
    from h5py import h5p


def _ask_nbit(properties: h5p.PropDCID, options: Options) -> None:
    from h5py import h5z

    properties.set_filter(5, h5z.FLAG_OPTIONAL)


SZIP = Codec(4, NAMES[4], ask=lambda properties, options: properties.set_szip(*options[:2]))
# It leaves out bits that a type doesn't use.
NBIT = Codec(5, NAMES[5], is_lossless=False, ask=_ask_nbit)
SCALEOFFSET = Codec(
    6, NAMES[6], is_lossless=False, ask=lambda properties, options: properties.set_scaleoffset(*options[:2])
)
ZFP = Codec(32013, "zfp", "Zfp", is_lossless=False, encode=plugin_encoder("zfp"))
# Over more it ends the process, or makes other values.
SZ = Codec(32017, "sz", "SZ", is_lossless=False, most_dimensions=4, least_elements=21)
FCIDECOMP = Codec(32018, "fcidecomp", is_lossless=False)
SZ3 = Codec(32024, "sz3", "SZ3", is_lossless=False)
SPERR = Codec(32028, "sperr", "Sperr", is_lossless=False)
HTJ2K = Codec(32033, "htj2k", is_lossless=False)
