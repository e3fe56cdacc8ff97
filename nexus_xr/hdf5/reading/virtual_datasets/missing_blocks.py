"""Blocks of virtual datasets that are missing among files that are named by the numbers of their blocks.

As HDF5 has it, such a dataset ends at the first that isn't there, whatever is behind that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nexus_xr.errors import NexusReachError
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.reading.telling import here
from nexus_xr.hdf5.reading.unreadable import MissingDatasetError

from .sources import SourceName, look_into
from .virtual_mapping import blocks_of, names_of, source_file


class Gap(NamedTuple):
    """A block that is missing, at which a dataset ends.

    Attributes
    ----------
    missing
        The source that it would be.
    behind, last
        How many sources there are behind it, and the last of them.
    """

    missing: SourceName
    behind: int
    last: SourceName

    def __str__(self) -> str:
        return f"{self.missing} is missing{self._left_out}"

    @property
    def _left_out(self) -> str:
        return f"; {self.behind} behind it, up to {self.last}, are left out" if self.behind else ""

    def explained(self, holder: File) -> str:
        return f"{self.missing.absolute(holder)} is missing{here()}, at which it ends{self._left_out}"


def find_gaps(mappings: Sequence[VirtualMapping], shape: tuple[int, ...], holder: File) -> tuple[Gap, ...]:
    """The blocks at which a virtual dataset ends, where none is there at all, or others are behind it.

    Behind URLs, where files aren't listed, and within files, no others are looked for.

    Parameters
    ----------
    mappings
        What it is made of.
    shape
        Its shape, without the dimensions of an array datatype.
    holder
        The file that it is in.
    """
    found = (_gap(each, shape, holder) for each in mappings if each.names_blocks and each.target.is_endless)
    return tuple(gap for gap in found if gap is not None)


def _gap(mapping: VirtualMapping, shape: tuple[int, ...], holder: File) -> Gap | None:
    there = [] if mapping.files is None else holder.numbers_there(decode(mapping.files))
    known, used = set(there), len(blocks_of(mapping, shape))
    end = used if mapping.files is None else next((number for number in range(used) if number not in known), used)
    behind = [number for number in there if number > end]
    missing = _missing(*names_of(mapping, end), holder) if behind or not end else None
    if missing is None:  # or it is there by now
        return None
    return Gap(missing, len(behind), SourceName(names_of(mapping, behind[-1] if behind else end)[0]))


def _missing(file: str, path: str, holder: File) -> SourceName | None:
    """A source if it is missing, or its file; what is out of reach isn't known to be so."""
    try:
        found = source_file(file, holder)
        if found is not None:
            look_into(holder.linked(found), path)
    except MissingDatasetError:
        return SourceName(file, path)
    except NexusReachError:
        return None
    return SourceName(file) if found is None else None
