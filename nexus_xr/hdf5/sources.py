"""Which datasets of other files a virtual dataset is made of, and whether their chunks are also its own."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5s

from .storage import Filter, filters_of
from .target import Region


@dataclass(frozen=True)
class Piece:
    """A region of a virtual dataset that is a region of one other dataset.

    Parameters
    ----------
    region
        What it is in the virtual dataset.
    file, path
        The file and the dataset in it.
    origin
        Where the region begins there.
    """

    region: Region
    file: str
    path: str
    origin: tuple[int, ...]

    @property
    def box(self) -> Region:
        """The region there."""
        return tuple((at, at + end - begin) for at, (begin, end) in zip(self.origin, self.region, strict=True))


@dataclass(frozen=True)
class ChunkForm:
    """What chunks must have in common to be moved from one dataset to another as they are stored."""

    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    filters: tuple[Filter, ...]
    fill: bytes


def missing_sources(dataset: h5py.Dataset) -> list[str]:
    """Files that a virtual dataset names and that aren't there, those of patterns aside."""
    names = dict.fromkeys(source.file_name for source in dataset.virtual_sources())
    return [name for name in names if "%b" not in name and _found(name, dataset) is None]


def _found(name: str, dataset: h5py.Dataset) -> str | None:
    """Where libhdf5 finds the file of a source."""
    if name == ".":
        return str(dataset.file.filename)
    name = name.replace("%%", "%")
    here = os.path.dirname(dataset.file.filename)
    prefix = os.environ.get("HDF5_VDS_PREFIX", "").replace("${ORIGIN}", here)
    paths = (os.path.join(folder, name) for folder in (prefix, here, "") if folder or not os.path.isabs(name))
    return next((path for path in (*paths, name) if os.path.isfile(path)), None)


def pieces_of(dataset: h5py.Dataset) -> list[Piece] | None:
    """The pieces of a virtual dataset, None where one of its mappings is no block that is mapped to another."""
    pieces = []
    for source in dataset.virtual_sources():
        there = _box(source.vspace)
        # Of a selection of all, the file keeps no shape.
        is_all = there is not None and source.src_space.get_select_type() == h5s.SEL_ALL
        origin = _at_zero(there) if is_all else _box(source.src_space)
        file = None if "%b" in source.file_name + source.dset_name else _found(source.file_name, dataset)
        if there is None or origin is None or file is None or _lengths(there) != _lengths(origin):
            return None
        pieces.append(Piece(there, file, source.dset_name.replace("%%", "%"), tuple(first for first, _ in origin)))
    return pieces


def _box(space: h5s.SpaceID) -> Region | None:
    """The one block that a selection is, None where it is anything else."""
    try:
        first, last = space.get_select_bounds()
    except (ValueError, RuntimeError):  # empty, or without an end
        return None
    box = tuple((int(begin), int(end) + 1) for begin, end in zip(first, last, strict=True))
    is_limited = all(end <= size for (_, end), size in zip(box, space.shape, strict=True))
    return box if is_limited and math.prod(_lengths(box)) == space.get_select_npoints() else None


def _at_zero(box: Region | None) -> Region | None:
    return None if box is None else tuple((0, end - begin) for begin, end in box)


def _lengths(box: Region) -> tuple[int, ...]:
    return tuple(end - begin for begin, end in box)


def chunk_form(dataset: h5py.Dataset) -> ChunkForm | None:
    """What the chunks of a dataset are like; None where it isn't chunked."""
    if dataset.chunks is None or dataset.dtype.hasobject:
        return None
    fill = np.full(1, dataset.fillvalue, dataset.dtype).tobytes()
    return ChunkForm(dataset.dtype, dataset.chunks, filters_of(dataset.id.get_create_plist()), fill)


def are_chunks_of(dataset: h5py.Dataset, pieces: list[Piece], form: ChunkForm) -> bool:
    """Whether the chunks of all pieces are chunks of the whole as well, each of one piece."""
    fill = np.full(1, dataset.fillvalue, dataset.dtype).tobytes()
    if (dataset.dtype, fill) != (form.dtype, form.fill) or len(form.chunks) != dataset.ndim:
        return False
    taken = np.zeros([-(-size // chunk) for size, chunk in zip(dataset.shape, form.chunks, strict=True)], bool)
    for piece in pieces:
        if not _is_of_whole_chunks(piece, dataset.shape, form):
            return False
        cells = tuple(
            slice(begin // chunk, -(-end // chunk))
            for (begin, end), chunk in zip(piece.region, form.chunks, strict=True)
        )
        if taken[cells].any():
            return False
        taken[cells] = True
    return True


def _is_of_whole_chunks(piece: Piece, shape: tuple[int, ...], form: ChunkForm) -> bool:
    """Whether a piece begins with a chunk both there and here, and ends so or where both datasets end."""
    with h5py.File(piece.file, "r", locking=False) as file:
        source = file.get(piece.path)
        if not isinstance(source, h5py.Dataset) or chunk_form(source) != form:
            return False
        along = zip(piece.region, piece.box, shape, source.shape, form.chunks, strict=True)
    return all(
        here[0] % chunk == there[0] % chunk == 0
        and (here[1] % chunk == 0 or (here[1], there[1]) == (size, source_size))
        and there[1] <= source_size
        for here, there, size, source_size, chunk in along
    )
