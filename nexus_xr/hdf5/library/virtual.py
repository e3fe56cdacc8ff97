"""Virtual datasets: which are, what they are made of, and which libhdf5 must not be asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from h5py import h5d, h5f, h5i, h5s

from nexus_xr.errors import NexusReachError
from nexus_xr.hdf5.format.virtual.selections import NOTHING, OTHER, WHOLE, DataspaceSelection, SelectionKind, Slab
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error

from .addresses import address_of
from .location import is_in_stream
from .properties import properties_of

_UNLIMITED = 2**64 - 1


def is_virtual(dataset: h5d.DatasetID) -> bool:
    """Whether a dataset is a virtual one."""
    if dataset.get_offset() is not None:  # contiguous, as most are; and much faster to know than the properties
        return False
    # Not by the size of what it stores, for which libhdf5 looks at every node of a chunk index.
    try:
        return bool(properties_of(dataset).get_layout() == h5d.VIRTUAL)
    except AnyHdf5Error:  # a virtual dataset has nothing that could be broken
        return False


def virtual_mappings_of(dataset: h5d.DatasetID) -> tuple[VirtualMapping, ...]:
    """What a virtual dataset is made of; nothing where it isn't one."""
    if not is_virtual(dataset):
        return ()
    properties = properties_of(dataset)
    return tuple(
        VirtualMapping(
            properties.get_virtual_filename(number).encode(),
            properties.get_virtual_dsetname(number).encode(),
            _selection(properties.get_virtual_srcspace, number),
            _selection(properties.get_virtual_vspace, number),
        )
        for number in range(properties.get_virtual_count())
    )


def _selection(ask: Callable[[int], h5s.SpaceID], number: int) -> DataspaceSelection:
    try:
        space = ask(number)
    except RuntimeError:  # it is of nothing
        return NOTHING
    kind = space.get_select_type()
    if kind != h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return {h5s.SEL_NONE: NOTHING, h5s.SEL_ALL: WHOLE}.get(kind, OTHER)
    slabs = itertools.starmap(_slab, zip(*space.get_regular_hyperslab(), strict=True))
    return DataspaceSelection(SelectionKind.REGULAR, tuple(slabs))


def _slab(start: int, stride: int, count: int, block: int) -> Slab:
    return Slab(start, stride, None if count == _UNLIMITED else count, None if block == _UNLIMITED else block)


def _is_in_other_files(dataset: h5d.DatasetID) -> bool:
    """Whether a dataset of a file that is read through a file object is made of others, or stored in others."""
    if dataset.get_offset() is not None or not is_in_stream(dataset):
        return False
    properties = properties_of(dataset)
    if properties.get_layout() != h5d.VIRTUAL:
        return bool(properties.get_external_count())
    return any(properties.get_virtual_filename(index) != "." for index in range(properties.get_virtual_count()))


def _is_its_own_source(dataset: h5d.DatasetID, above: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Whether a virtual dataset maps, by whatever detour in its file, onto itself; to read it would crash."""
    if not is_virtual(dataset):
        return False
    properties = properties_of(dataset)
    above |= {address_of(dataset)}
    names = {decode(h5f.get_name(dataset)), "."}
    for index in range(properties.get_virtual_count()):
        if properties.get_virtual_filename(index) in names:
            try:
                source = h5d.open(h5i.get_file_id(dataset), properties.get_virtual_dsetname(index).encode())
            except AnyHdf5Error:  # a source that isn't there reads as fill values
                continue
            if address_of(source) in above or _is_its_own_source(source, above):
                return True
    return False


def check_readable(dataset: h5d.DatasetID) -> None:
    """Raise where libhdf5 can't read a dataset, as it knows no other files, or where it would crash.

    Raises
    ------
    NexusReachError
        It is in other files.
    ValueError
        It is made of itself.
    """
    if _is_its_own_source(dataset):
        raise ValueError("it is a virtual dataset that is made of itself")
    if _is_in_other_files(dataset):
        raise NexusReachError(
            "it is a virtual dataset of other files, or stored in others, which libhdf5 looks for beside local files "
            "only; copy all of them, and open the copy of this one"
        )
