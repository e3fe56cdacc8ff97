"""The fields of a group without a signal: beside the axes that it names, or as the columns of tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count as count_from
from itertools import takewhile

import numpy as np

from nexus_xr.diagnostics import Diagnostics

from .attributes import names
from .axes import find_axes
from .content import Field, GroupContent, free_name
from .coordinates import coordinates_of, name_dimensions, own_dimensions
from .variables import Role, Variable

_HIGHEST_RANK = 32  # of an HDF5 dataset


def without_signal(content: GroupContent, diagnostics: Diagnostics) -> list[Variable]:
    """The fields of a group whose signal isn't there, or which has none.

    What the group says of axes holds as if the signal were there. Fields whose first lengths are those of all the
    axes, such as counters beside a detector whose file is missing, share their dimensions.

    Parameters
    ----------
    content
        The group.
    diagnostics
        Is given what can't be honoured.
    """
    shape = _shape_told_by_axes(content)
    signal = free_name("signal", content)
    as_if = replace(content, fields={**content.fields, signal: Field(shape, np.dtype(np.float64))})
    axes = find_axes(as_if, signal, diagnostics) if shape else ()
    dims = name_dimensions(as_if, signal, axes)
    found = list(coordinates_of(content, axes, dims, diagnostics))
    several = [name for name, field in content.fields.items() if math.prod(field.shape) >= 2 or any(field.can_grow)]
    placed = {variable.field for variable in found}
    others = [name for name in several or content.fields if name not in placed]
    known = tuple(takewhile(lambda length: length >= 0, shape))
    along = dict.fromkeys(name for name in others if known and content.fields[name].shape[: len(known)] == known)
    found += [Variable(name, name, _dims_after(content, name, dims[: len(known)]), Role.OTHER) for name in along]
    lengths = dict(zip(dims, shape, strict=True))
    return [*found, *as_columns(content, [name for name in others if name not in along], lengths)]


def _shape_told_by_axes(content: GroupContent) -> tuple[int, ...]:
    """The shape of a missing signal as far as its axes tell it; -1 for a length that none tells.

    Where several tell the length of a dimension, it is that of most of them, and among as many the shorter one, as
    the longer may be edges of bins.
    """
    listed = names(content.attributes.get("axes"), content.fields)[:_HIGHEST_RANK]
    numbered = content.axis_numbers
    places: dict[str, tuple[int, ...]] = {name: (place,) for place, name in enumerate(listed)}
    if not any(name in content.fields for name in listed) and set(numbered.values()) == {(1,)}:
        places |= dict.fromkeys(numbered, (0,))
    places |= content.indices
    told: dict[int, list[int]] = {}
    for name, dims in places.items():
        lengths = content.fields[name].shape if name in content.fields else ()
        if len(lengths) == len(dims) and all(0 <= dim < _HIGHEST_RANK for dim in dims):
            for dim, length in zip(dims, lengths, strict=True):
                told.setdefault(dim, []).append(length)
    every = (told.get(dim, []) for dim in range(max(told, default=-1) + 1))
    return tuple(min(lengths, key=lambda one: (-lengths.count(one), one), default=-1) for lengths in every)


def as_columns(
    content: GroupContent, fields: Iterable[str], lengths: Mapping[str, int] | None = None
) -> Iterator[Variable]:
    """Fields as the columns of tables: those of one length share its dimension, all other dimensions are their own.

    A stack of images, or of spectra, is a column as well. Where a length is also that of another dimension than the
    first, as of a square image and the positions of its rows and columns, it tells nothing, and neither does one of 1.

    Parameters
    ----------
    content
        The group.
    fields
        Names of the fields.
    lengths
        Lengths of dimensions that others have, whose names no dimension of another length gets; -1 for one that isn't
        known.
    """
    known = dict(lengths or {})
    shapes = {name: content.fields[name].shape for name in fields}
    free = {name: shape for name, shape in shapes.items() if content.fields[name].recorded_dims is None}
    inner = {length for shape in free.values() for length in shape[1:]}
    rows = Counter(shape[0] for shape in free.values() if shape and shape[0] not in inner)
    lists = {shape[0] for shape in free.values() if len(shape) == 1}
    of_tables = [length for length, count in rows.items() if count > 1 and length > 1 and length in lists]
    unused = (name for number in count_from(0) if (name := free_name(f"dim_{number}", content)) not in known)
    shared = dict(zip(of_tables, unused, strict=False))
    for name, shape in shapes.items():
        first = [shared[length] for length in shape[:1] if length in shared]
        dims = _dims_after(content, name, first)
        if any(0 <= known.get(dim, length) != length for dim, length in zip(dims, shape, strict=True)):
            taken = (*content.fields, *content.others, *known)
            dims = tuple(free_name(f"{name}_dim_{dim}", taken) for dim in range(len(shape)))
        known.update(zip(dims, shape, strict=True))
        yield Variable(name, name, dims, Role.OTHER)


def _dims_after(content: GroupContent, name: str, leading: Sequence[str]) -> tuple[str, ...]:
    """The dimensions of a field whose first ones it has in common with others, unless it records its own."""
    field = content.fields[name]
    own = own_dimensions(content, name, field.ndim)
    return own if field.recorded_dims is not None else (*leading, *own[len(leading) :])
