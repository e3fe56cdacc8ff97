"""Filters that only a plugin for libhdf5 undoes: how they are called, and who has the plugin.

Source: the list of filters registered with The HDF Group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.libraries import has_library

from .registry import CODECS


class Registered(NamedTuple):
    """A registered filter.

    Parameters
    ----------
    name
        Its name.
    package
        What has a plugin for it; None where no package is known.
    """

    name: str
    package: str | None = None


# Filters up to that number come with HDF5.
_MOST_OF_HDF5 = 255
_HDF5PLUGIN = "the Python package hdf5plugin"
_CCR = "the Community Codec Repository (conda-forge's package ccr)"
_HDF_GROUP = "the HDF5 filter plugins of The HDF Group"

FILTERS: dict[int, Registered] = {
    **{number: Registered(codec.name, _HDF5PLUGIN) for number, codec in CODECS.items() if number > _MOST_OF_HDF5},
    257: Registered("hzip", "the library Silo"),
    258: Registered("fpzip", "the library Silo"),
    305: Registered("LZO", "PyTables (the Python package tables, with an HDF5 of its own)"),
    32002: Registered("MAFISC"),
    32003: Registered("Snappy"),
    32005: Registered("APAX"),
    32006: Registered("CBF"),
    32007: Registered("JPEG-XR"),
    32009: Registered("SPDP"),
    32010: Registered("LPC-Rice"),
    32011: Registered("CCSDS-123"),
    32012: Registered("JPEG-LS"),
    32014: Registered("fpzip"),
    32016: Registered("B³D"),
    32019: Registered("JPEG", _HDF_GROUP),
    32020: Registered("VBZ", "the Python package vbz-h5py-plugin"),
    32021: Registered("FAPEC", "DAPCOM, on request"),
    32022: Registered("BitGroom", _CCR),
    32023: Registered("Granular BitRound", _CCR),
    32025: Registered("Delta-Rice"),
    32027: Registered("FLAC"),
    32029: Registered("TERSE/PROLIX"),
    32030: Registered("FFMPEG"),
}


def missing_filters(filters: Iterable[Filter]) -> str | None:
    """Which filters of a pipeline nothing here undoes, in words; None where there are none."""
    missing = [(step.id, step.name) for step in filters if not _is_there(step.id)]
    return described(missing) if missing else None


def explained(filters: Iterable[Filter], error: Exception) -> str:
    """Why libhdf5 can't read a dataset: a filter of its that is missing, or what it says itself."""
    missing = missing_filters(filters) if isinstance(error, OSError) else None
    return missing or str(error)


def _is_there(number: int) -> bool:
    codec = CODECS.get(number)
    if codec is not None and (codec.decode is not None or has_library(codec.name)):
        return True
    from h5py import h5z

    return bool(h5z.filter_avail(number))


def described(filters: Sequence[tuple[int, str]]) -> str:
    """Filters that are missing, each by its number and the name that the file gives it.

    Examples
    --------
    >>> described([(32020, "vbz")])
    'filter 32020 (VBZ) is needed, which no plugin here has; the Python package vbz-h5py-plugin has it'
    >>> described([(40000, "own")])
    "filter 40000 ('own' in the file) is needed, which no plugin here has; ask who wrote the file where to find it"
    """
    return "; ".join(_described(number, name) for number, name in filters)


def _described(number: int, name: str) -> str:
    known = FILTERS.get(number)
    called = f" ({known.name})" if known else f" ({name!r} in the file)" if name else ""
    where = f"{known.package} has it" if known and known.package else "ask who wrote the file where to find it"
    return f"filter {number}{called} is needed, which no plugin here has; {where}"
