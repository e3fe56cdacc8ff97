"""What a file says of its virtual datasets: their mappings, and their sources.

Sources: the chapter "Virtual Datasets" of the HDF5 user guide, and its functions `H5Pset_virtual` and
`H5Pset_virtual_prefix`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from h5py import h5d, h5s

from nexus_xr.hdf5.library.properties import properties_of

from .hyperslab import Hyperslab
from .virtual_layout import Mapping, pair_dimensions

_UNLIMITED = 2**64 - 1


def read_mappings(dataset: h5d.DatasetID) -> tuple[Mapping, ...] | None:
    """The mappings of an open virtual dataset; None where one can't be told dimension by dimension.

    That is so of nothing, of points, of unions of hyperslabs, and where the elements are laid out in another shape.
    Beside other mappings it is so of one with a name for each block, as the first file that is missing ends these.
    """
    properties = properties_of(dataset)
    is_alone = properties.get_virtual_count() == 1
    mappings: list[Mapping] = []
    known: dict[Any, Any] = {}  # most mappings have most of their parts in common
    for number in range(properties.get_virtual_count()):
        try:
            target = _hyperslabs(properties.get_virtual_vspace(number))
            source = properties.get_virtual_srcspace(number)
        except RuntimeError:  # it is of nothing
            return None
        is_whole = source.get_select_type() == h5s.SEL_ALL  # the file then doesn't say what shape that is
        origin = None if is_whole else _hyperslabs(source)
        if target is None or (origin is None and not is_whole):
            return None
        file, path = properties.get_virtual_filename(number), properties.get_virtual_dsetname(number)
        if not is_alone and "%b" in (file + path).replace("%%", ""):
            return None
        for each in _each_block(file, path, target, origin, dataset.shape):
            pairs = pair_dimensions(each[2], each[3])
            if pairs is None:
                return None
            mappings.append(Mapping(*(known.setdefault(part, part) for part in (*each, pairs, is_whole))))
    return tuple(mappings)


def _hyperslabs(space: h5s.SpaceID) -> tuple[Hyperslab, ...] | None:
    if space.get_select_type() == h5s.SEL_ALL:
        return tuple(Hyperslab(0, length=size) for size in space.shape)
    if space.get_select_type() != h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    return tuple(itertools.starmap(_hyperslab, zip(*space.get_regular_hyperslab(), strict=True)))


def _hyperslab(start: int, stride: int, count: int, block: int) -> Hyperslab:
    if block == _UNLIMITED:
        return Hyperslab(start)
    if count == _UNLIMITED:
        return Hyperslab(start, stride, block)
    return (
        Hyperslab(start, length=count * block)
        if count == 1 or stride == block
        else Hyperslab(start, stride, block, count * block)
    )


def _each_block(
    file: str, path: str, target: tuple[Hyperslab, ...], origin: tuple[Hyperslab, ...] | None, shape: tuple[int, ...]
) -> Iterator[tuple[str, str, tuple[Hyperslab, ...], tuple[Hyperslab, ...]]]:
    """The mapping itself, or one a block where the names have the number of a block in them."""
    unlimited = [dimension for dimension, hyperslab in enumerate(target) if hyperslab.length is None]
    if not unlimited or (origin is not None and any(hyperslab.length is None for hyperslab in origin)):
        target = tuple(map(_joined, target))
        yield _named(file), _named(path), target, _beginning(target) if origin is None else tuple(map(_joined, origin))
        return
    (dimension,) = unlimited
    start, stride, block, _ = target[dimension]
    for number, at in enumerate(range(start, shape[dimension], stride)):
        part = (*target[:dimension], Hyperslab(at, length=block), *target[dimension + 1 :])
        yield _named(file, number), _named(path, number), part, _beginning(part) if origin is None else origin


def _joined(hyperslab: Hyperslab) -> Hyperslab:
    """Blocks without gaps as the neighbours that they are."""
    return Hyperslab(hyperslab.start, length=hyperslab.length) if hyperslab.stride == hyperslab.block else hyperslab


def _beginning(target: Sequence[Hyperslab]) -> tuple[Hyperslab, ...]:
    """A source that is as large as what it stands for."""
    return tuple(Hyperslab(0, length=hyperslab.length) for hyperslab in target)


def _named(name: str, number: int | None = None) -> str:
    """A name with its ``%b`` and ``%%`` replaced."""
    return re.sub("%(.)", lambda found: "%" if found[1] == "%" else str(number), name) if "%" in name else name


def grows(dataset: h5d.DatasetID) -> bool:
    """Whether the shape of an open virtual dataset is that of its sources."""
    properties = properties_of(dataset)
    for number in range(properties.get_virtual_count()):
        with suppress(RuntimeError):  # it is of nothing
            if any(hyperslab.length is None for hyperslab in _hyperslabs(properties.get_virtual_vspace(number)) or ()):
                return True
    return False


def source_names(dataset: h5d.DatasetID) -> list[tuple[str, str]]:
    """File and path of each source of an open virtual dataset, but not where there is a name for each block."""
    properties = properties_of(dataset)
    found: dict[tuple[str, str], None] = {}
    for number in range(properties.get_virtual_count()):
        file, path = properties.get_virtual_filename(number), properties.get_virtual_dsetname(number)
        if "%b" not in (file + path).replace("%%", ""):
            found[_named(file), _named(path)] = None
    return list(found)
