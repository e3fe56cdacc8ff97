"""The arrays of a file by their paths."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.links import Link
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.nexus.tree.find import absolute, explain_path
from nexus_xr.opening.fields.stored import ScaledArray
from nexus_xr.opening.select import Opening
from nexus_xr.server.failures import Failure

from .context import Context
from .served_files import ServedFile
from .unreadable import check_readable, unresolved
from .values.served_array import ServedArray

Find = Callable[[str, Opening], ServedArray]


class NoArrayError(Failure):
    """There is a dataset, and no array could hold its values."""


def stored_array(path: str, opening: Opening) -> ServedArray:
    """The array at a path of an open file, as it is stored.

    Raises
    ------
    Failure
        There is none.
    """
    dataset = dataset_at(opening, path)
    if dataset.why_no_array is not None:
        raise NoArrayError(422, f"{dataset.path} {dataset.why_no_array}; /api/meta says what there is")
    return array_of(dataset, opening)


def array_at(context: Context, place: ServedFile, path: str, find: Find = stored_array) -> ServedArray:
    """The array at a path of a file.

    Parameters
    ----------
    context, place, path
        Where it is.
    find
        Finds it in the open file.

    Raises
    ------
    Failure
        There is none.
    """
    key = (place, path, find)
    kept = context.arrays.get(key)
    if kept is not None:
        return kept
    array = context.described(place, partial(find, path))
    if not array.has_others:
        context.arrays.put(key, array, 1)
    return array


def array_of(dataset: Dataset, opening: Opening) -> ServedArray:
    """The values of a dataset, of which those of varying length are an array of arrays."""
    return array_like(dataset, LazyArray.of(dataset, opening.file), opening)


def array_like(dataset: Dataset, values: LazyArray | ScaledArray, opening: Opening) -> ServedArray:
    """Values that are stored as those of a dataset are."""
    chunks = tuple(max(1, length) for length in dataset.storage.chunks or (1,) * len(values.shape))
    is_of_others = dataset.is_virtual or opening.file.leads_elsewhere
    return ServedArray(values, chunks, is_of_others)


def dataset_at(opening: Opening, path: str) -> Dataset:
    """The dataset at a path.

    Raises
    ------
    Failure
        There is none.
    NexusError
        There is something that can't be read.
    """
    found = opening.root.find(absolute(path))
    if isinstance(found, Dataset):
        return found
    if isinstance(found, Link):
        raise unresolved(path, found)
    check_readable(opening, absolute(path))
    why = explain_path(opening.root, absolute(path))
    raise Failure(404, f"{path} is not a valid path of a dataset: {why}; /api/meta lists what there is")
