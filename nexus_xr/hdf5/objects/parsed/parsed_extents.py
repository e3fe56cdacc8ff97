"""How long virtual datasets are whose mappings have no end: as what they are made of.

Sources: the HDF5 reference manual on `H5Pset_virtual_view` and `H5Pset_virtual_printf_gap`, by what holds where neither
is set: the largest extent that any source gives, and no block behind the first that is missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeAlias

from nexus_xr.errors import NexusFileError, SystemFaultError
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.virtual.selections import SelectionKind, Slab
from nexus_xr.hdf5.format.virtual.virtual_mappings import OWN_FILE, VirtualMapping
from nexus_xr.hdf5.objects.text import decode

from .parsed_file import Extent, ParsedFile, Place
from .parsed_links import NotFollowedError, place_of

# The place of a dataset -> its extent.
ExtentAt: TypeAlias = Callable[[Place], Extent]


def grown_extent(holder: Place, mappings: Sequence[VirtualMapping], stored: Extent, extent_at: ExtentAt) -> Extent:
    """The extent of a virtual dataset, some of whose mappings have no end.

    Parameters
    ----------
    holder
        Where it is.
    mappings
        What it is made of.
    stored
        The extent that its file says, which stands where no mapping is without end.
    extent_at
        Gives the extents of what it is made of.

    Raises
    ------
    FormatError
        It can't be told, as a source is damaged, out of reach, or not as a mapping says.
    """
    if any(mapping.target.kind is SelectionKind.OTHER for mapping in mappings):
        raise FormatError("its shape is that of others, and parts of it are no regular selections")
    sources = _Sources(holder, extent_at)
    growing: dict[int, list[VirtualMapping]] = {}
    for mapping in mappings:
        if mapping.target.is_endless:
            growing.setdefault(mapping.target.endless[0], []).append(mapping)
    return tuple(
        max(_least(mappings, dimension), *(sources.end_of(mapping) for mapping in growing[dimension]))
        if dimension in growing
        else size
        for dimension, size in enumerate(stored)
    )


def _least(mappings: Sequence[VirtualMapping], dimension: int) -> int:
    """Where the last of the mappings ends that have one."""
    slabs = (mapping.target.slabs[dimension] for mapping in mappings if mapping.target.slabs)
    return max((slab.end_of(slab.number * slab.block) for slab in slabs if slab.number and slab.block), default=0)


def _count(taken: Slab, size: int) -> int:
    """How many positions of a source of this size libhdf5 counts: a first block that ends too early, for whole."""
    count = taken.count_below(size)
    if taken.block is not None and taken.block < taken.stride and 0 < count < taken.block:
        return taken.block
    return count


class ExtentError(FormatError):
    """The extent of a source can't be told, and those who know it have waited for its writers already."""


class _Sources:
    """What a virtual dataset is made of, each file open while it is looked at."""

    def __init__(self, holder: Place, extent_at: ExtentAt) -> None:
        self._file = holder.file
        self._extent_at = extent_at

    def end_of(self, mapping: VirtualMapping) -> int:
        """How long the dimension is along which a mapping has no end, by what there is of its sources."""
        _, slab = mapping.target.endless
        if not mapping.source.is_endless:
            return self._end_of_blocks(mapping, slab)
        extent = self._extent(*mapping.names())
        if extent is None:
            return 0
        if len(extent) != len(mapping.source.slabs):
            words = f"of shape {extent}, where its mapping is of {len(mapping.source.slabs)} dimensions"
            raise FormatError(f"its source {decode(mapping.path)} is {words}")
        dimension, taken = mapping.source.endless
        return slab.end_of(_count(taken, extent[dimension]))

    def _end_of_blocks(self, mapping: VirtualMapping, slab: Slab) -> int:
        if not mapping.names_blocks or slab.block is None:
            raise FormatError("it has no end, and each source of it has one, without a name for each block")
        blocks = (self._extent(*names) for names in self._names_of_blocks(mapping))
        return slab.end_of(slab.block * sum(1 for _ in itertools.takewhile(lambda extent: extent is not None, blocks)))

    def _names_of_blocks(self, mapping: VirtualMapping) -> Iterator[tuple[bytes, bytes]]:
        """The names of one block after the other, of which there would be no end where all lead to the same."""
        before = None
        for number in itertools.count():
            file, path = mapping.names(number)
            place = None
            with suppress(NexusFileError):  # of which is told where its extent is asked for
                place = None if file == OWN_FILE else self._file.file.find_linked(decode(file)), path
            if place is not None and place == before:
                raise FormatError(f"each of its blocks is the same, {decode(file)}:{decode(path)}")
            before = place
            yield file, path

    def _extent(self, name: bytes, path: bytes) -> Extent | None:
        """The extent of a source, None where there is none."""
        try:
            with self._opened(name) as file:
                place = None if file is None else place_of(file, path)
                return None if place is None else self._extent_at(place)
        except SystemFaultError:
            raise
        except (FormatError, UnsupportedError, NotFollowedError, NexusFileError, OSError) as error:
            source = decode(path) if name == OWN_FILE else f"{decode(name)}:{decode(path)}"
            raise ExtentError(f"its shape is that of {source}, which can't be told: {error}") from error

    @contextmanager
    def _opened(self, name: bytes) -> Iterator[ParsedFile | None]:
        holder = self._file.file
        found = None if name == OWN_FILE else holder.find_linked(decode(name))
        if name == OWN_FILE:
            yield self._file
        elif found is None:
            yield None
        else:
            with self._file.linked.for_a_moment(found) as file:
                yield file
