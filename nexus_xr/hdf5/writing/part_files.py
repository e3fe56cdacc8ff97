"""An array in several files: parts that are written one by one, and the virtual dataset that joins them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t
from numpy.typing import NDArray

from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.runtime.compat import this_worker
from nexus_xr.hdf5.runtime.h5py_lock import phil

from .chunk_writer import Region, WrittenDataset, everywhere
from .creation import create_dataset
from .new_objects import link_properties, new_properties
from .writable_file import close_file, discard_file, open_file, why_unwritten

# The one dataset of a part file.
DATASET = "data"


@dataclass(frozen=True)
class Form:
    """How parts are stored.

    Parameters
    ----------
    dtype
        Type of an element.
    chunks
        Shape of a chunk; None for none.
    filters
        The filter pipeline.
    is_laid_out
        Whether the values are none that somebody has written, of which chunks of the fill value aren't stored.
    """

    dtype: np.dtype[Any]
    chunks: tuple[int, ...] | None
    filters: tuple[Filter, ...]
    is_laid_out: bool = False


@dataclass(frozen=True, eq=False)
class Joined:
    """The values of part files, or of other files with one dataset each.

    Parameters
    ----------
    shape
        Shape of all of them together.
    dtype
        Type of an element.
    parts
        Which region is in which file, by its path from the folder of the file that joins them.
    growing
        Which of its dimensions have no end, once it is one dataset.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Sequence[tuple[Region, str]]
    growing: tuple[bool, ...] = ()


def create_joined(group: h5py.Group, name: str, joined: Joined) -> h5py.Dataset:
    """Make the virtual dataset of part files, which need not be there yet."""
    properties = new_properties(h5p.DATASET_CREATE)
    growing = joined.growing or (False,) * len(joined.shape)
    largest = tuple(h5s.UNLIMITED if grows else size for size, grows in zip(joined.shape, growing, strict=True))
    for region, path in joined.parts:
        first, lengths = [begin for begin, _ in region], tuple(end - begin for begin, end in region)
        space = h5s.create_simple(joined.shape, largest)
        space.select_hyperslab(tuple(first), (1,) * len(first), block=lengths)
        literal = path.replace("%", "%%")  # which would begin a pattern
        properties.set_virtual(space, literal.encode(), DATASET.encode(), h5s.create_simple(lengths))
    kind = h5t.py_create(joined.dtype, logical=True)
    space = h5s.create_simple(joined.shape, largest)
    return h5py.Dataset(h5d.create(group.id, name.encode(), kind, space, properties, link_properties()))


def write_part(path: str, values: NDArray[Any], form: Form) -> None:
    """Write a part file, which is there under its name only when it is complete."""
    with _new_part(path) as file:
        dataset = create_dataset(file, DATASET, values.shape, form.dtype, form.chunks, form.filters)
        region = tuple((0, size) for size in values.shape)
        WrittenDataset(dataset, where=path).write(region, values, everywhere if form.is_laid_out else None)


def join_parts(path: str, pieces: NDArray[Any], form: Form) -> None:
    """Make one part file of several, whose paths are given in the order in which they lie, and remove those.

    Chunks are copied as they are stored. Done once more, it does nothing.
    """
    try:
        with _new_part(path) as file:
            shapes = {index: _shape_of(str(pieces[index])) for index in np.ndindex(pieces.shape)}
            starts = [
                np.cumsum([0, *(shapes[_on_axis(pieces.ndim, axis, number)][axis] for number in range(count))])
                for axis, count in enumerate(pieces.shape)
            ]
            shape = tuple(int(each[-1]) for each in starts)
            dataset = create_dataset(file, DATASET, shape, form.dtype, form.chunks, form.filters)
            for index in np.ndindex(pieces.shape):
                origin = tuple(int(each[number]) for each, number in zip(starts, index, strict=True))
                with h5py.File(pieces[index], "r") as source:
                    copy_values(source[DATASET], dataset, tuple((0, size) for size in shapes[index]), origin)
    except NexusFileError:
        if not os.path.exists(path):  # by the same task, on a worker that was given up and lives
            raise
    for piece in pieces.flat:
        with suppress(FileNotFoundError):
            os.unlink(piece)


def copy_values(source: h5py.Dataset, target: h5py.Dataset, box: Region, origin: Sequence[int]) -> None:
    """Copy a region of a dataset into one that is stored in the same way, chunk by chunk and without decoding.

    Parameters
    ----------
    source, target
        The open datasets.
    box
        The region of the source, of whole chunks.
    origin
        Where its first element goes to, the beginning of a chunk.
    """
    if source.chunks is None:
        goal = tuple(slice(at, at + end - begin) for at, (begin, end) in zip(origin, box, strict=True))
        target[goal] = source[tuple(slice(*each) for each in box)]
        return
    stored: list[tuple[int, ...]] = []
    source.id.chunk_iter(lambda info: stored.append(info.chunk_offset))
    for corner in stored:
        if all(begin <= at < end for at, (begin, end) in zip(corner, box, strict=True)):
            there = tuple(at - begin + to for at, (begin, _), to in zip(corner, box, origin, strict=True))
            with phil:  # which h5py of some versions doesn't take here
                mask, content = source.id.read_direct_chunk(corner)
                target.id.write_direct_chunk(there, content, mask)


def _shape_of(path: str) -> tuple[int, ...]:
    with h5py.File(path, "r") as file:
        shape: tuple[int, ...] = file[DATASET].shape
        return shape


def _on_axis(ndim: int, axis: int, number: int) -> tuple[int, ...]:
    return tuple(number if each == axis else 0 for each in range(ndim))


@contextmanager
def _new_part(path: str) -> Iterator[h5py.File]:
    """A file under a name that nobody else has, renamed in the end; a task that is done again replaces it."""
    temporary = f"{path}.{secrets.token_hex(4)}"
    file = None
    try:
        file = open_file(temporary, "w-")
        yield file
        close_file(file)
        os.replace(temporary, path)
    except NexusError:
        raise
    except (OSError, RuntimeError) as error:
        worker = this_worker()
        where = "" if worker is None else f" on {worker}; all workers need the folder under this path, to write there"
        raise NexusFileError(f"{path}: can't be written{where} ({why_unwritten(error)})") from error
    finally:
        if file is not None:
            discard_file(file)
        with suppress(OSError):
            os.unlink(temporary)
