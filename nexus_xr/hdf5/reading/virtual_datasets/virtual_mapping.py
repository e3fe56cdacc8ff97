"""What a file says of its virtual datasets: their mappings, and their sources.

Sources: the chapter "Virtual Datasets" of the HDF5 user guide, and its functions `H5Pset_virtual` and
`H5Pset_virtual_prefix`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from nexus_xr.hdf5.format.virtual.selections import DataspaceSelection, SelectionKind, Slab
from nexus_xr.hdf5.format.virtual.virtual_mappings import VirtualMapping
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.text import decode
from nexus_xr.hdf5.reading.hyperslab import Hyperslab

from .virtual_layout import Mapping, is_own_file, pair_dimensions


def read_mappings(stored: Sequence[VirtualMapping], shape: tuple[int, ...]) -> tuple[Mapping, ...] | None:
    """The mappings of a virtual dataset; None where one can't be told dimension by dimension.

    That is so of nothing, of points, of unions of hyperslabs, and where the elements are laid out in another shape.
    Beside other mappings it is so of one with a name for each block, as the first file that is missing ends these.

    Parameters
    ----------
    stored
        What the file says that it is made of.
    shape
        Its shape, without the dimensions of an array datatype.
    """
    mappings: list[Mapping] = []
    known: dict[Any, Any] = {}  # most mappings have most of their parts in common
    for each in stored:
        target, origin = _hyperslabs(each.target, shape), _hyperslabs(each.source)
        is_whole = each.source.kind is SelectionKind.WHOLE  # the file then doesn't say what shape that is
        if target is None or (origin is None and not is_whole) or (len(stored) > 1 and each.names_blocks):
            return None
        for parts in _each_block(each, target, origin, shape):
            pairs = pair_dimensions(parts[2], parts[3])
            if pairs is None:
                return None
            mappings.append(Mapping(*(known.setdefault(part, part) for part in (*parts, pairs, is_whole))))
    return tuple(mappings)


def _hyperslabs(selection: DataspaceSelection, shape: tuple[int, ...] | None = None) -> tuple[Hyperslab, ...] | None:
    """What is selected along each dimension, None where that can't be told."""
    if selection.kind is SelectionKind.WHOLE and shape is not None:
        return tuple(Hyperslab(0, length=size) for size in shape)
    return tuple(map(_hyperslab, selection.slabs)) if selection.kind is SelectionKind.REGULAR else None


def _hyperslab(slab: Slab) -> Hyperslab:
    start, stride, count, block = slab
    if block is None:
        return Hyperslab(start)
    if count is None:
        return Hyperslab(start, stride, block)
    return (
        Hyperslab(start, length=count * block)
        if count == 1 or stride == block
        else Hyperslab(start, stride, block, count * block)
    )


def _each_block(
    stored: VirtualMapping, target: tuple[Hyperslab, ...], origin: tuple[Hyperslab, ...] | None, shape: tuple[int, ...]
) -> Iterator[tuple[str, str, tuple[Hyperslab, ...], tuple[Hyperslab, ...]]]:
    """The mapping itself, or one a block where the names have the number of a block in them."""
    unlimited = [dimension for dimension, hyperslab in enumerate(target) if hyperslab.length is None]
    if not unlimited or (origin is not None and any(hyperslab.length is None for hyperslab in origin)):
        target = tuple(map(_joined, target))
        yield *names_of(stored), target, _beginning(target) if origin is None else tuple(map(_joined, origin))
        return
    (dimension,) = unlimited
    for number, at in enumerate(blocks_of(stored, shape)):
        part = (*target[:dimension], Hyperslab(at, length=target[dimension].block), *target[dimension + 1 :])
        yield *names_of(stored, number), part, _beginning(part) if origin is None else origin


def _joined(hyperslab: Hyperslab) -> Hyperslab:
    """Blocks without gaps as the neighbours that they are."""
    return Hyperslab(hyperslab.start, length=hyperslab.length) if hyperslab.stride == hyperslab.block else hyperslab


def _beginning(target: Sequence[Hyperslab]) -> tuple[Hyperslab, ...]:
    """A source that is as large as what it stands for."""
    return tuple(Hyperslab(0, length=hyperslab.length) for hyperslab in target)


def blocks_of(stored: VirtualMapping, shape: tuple[int, ...]) -> range:
    """Where the blocks of a mapping that has no end begin in a dataset of this shape."""
    dimension, slab = stored.target.endless
    return range(slab.start, shape[dimension], slab.stride)


def names_of(stored: VirtualMapping, block: int | None = None) -> tuple[str, str]:
    """File and path of a source, or of that which a block of this number is."""
    file, path = stored.names(block)
    return decode(file), decode(path)


def source_file(name: str, holder: File) -> str | None:
    """Path or URL of the file of a source, None where there is none.

    Parameters
    ----------
    name
        The file's name as it is stored.
    holder
        The file that the virtual dataset is in.

    Raises
    ------
    NexusReachError
        It is out of reach.
    """
    return holder.path if is_own_file(name) else holder.find_linked(name)


def grows(stored: Sequence[VirtualMapping]) -> bool:
    """Whether the shape of a virtual dataset is that of its sources."""
    return any(each.target.is_endless for each in stored)


def by_source(stored: Sequence[VirtualMapping]) -> dict[tuple[str, str], list[VirtualMapping]]:
    """What is made of each source, by its file and path, but not where there is a name for each block."""
    found: dict[tuple[str, str], list[VirtualMapping]] = {}
    for each in stored:
        if not each.names_blocks:
            found.setdefault(names_of(each), []).append(each)
    return found
