"""Writing more of arrays that a file has already, behind what is there."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from nexus_xr.arrays.schedule import refuse_elsewhere
from nexus_xr.errors import NexusError, listed
from nexus_xr.hdf5.io.changes import changes
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.locks import alone, wait_until_closed
from nexus_xr.hdf5.io.writers import refuse_written_here, written_elsewhere
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.text import decode_array, is_text
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.changed_file import ChangedFile, changing
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset, why_unfit
from nexus_xr.nexus.rules.reserved import DTYPE, recorded_dtype
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Described, Opening, describe_with
from nexus_xr.writing.fields.blockwise import LazyVariable, fill
from nexus_xr.writing.signals import signals_in
from nexus_xr.writing.storing import stores

from .growth import Target, Targets, check_same, names_in, targets_of, text_for, values_for, without_first_edge
from .targets import group_with, known

_PARTS_THAT_GROW = "is made of other datasets, and can grow when it is one"


@dataclass(frozen=True)
class _More:
    """What is added to a dataset.

    Parameters
    ----------
    target
        The dataset.
    axis
        The dimension along which it is added.
    values
        The values.
    tail
        What is there already of the chunks that these begin in; none of text.
    """

    target: Target
    axis: int
    values: Any
    tail: NDArray[Any] | None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of both together."""
        shape = list(self.target.shape)
        shape[self.axis] += self.values.shape[self.axis]
        return tuple(shape)

    def split(self, chunk: int) -> tuple[Any, Any]:
        """The values of chunks that others are in already, and all behind those."""
        missing = -self.target.shape[self.axis] % chunk
        return tuple(_part(self.values, self.axis, part) for part in (slice(0, missing), slice(missing, None)))

    def begin(self, at: int) -> tuple[int, ...]:
        """Where something begins that does so at some element along the dimension."""
        return tuple(at if axis == self.axis else 0 for axis in range(len(self.target.shape)))


def append(
    obj: xr.DataArray | xr.Dataset,
    path: str | os.PathLike[str],
    dim: str,
    entry: str | None = None,
    num_threads: int | None = None,
) -> None:
    """Write each variable that has a dimension behind what the file has of it.

    The file is changed where it is, at once at the end: whatever fails before leaves it as it was. Several threads and
    processes may append to it, one after the other.

    Parameters
    ----------
    obj
        The values: of all variables that have the dimension in the file. Others have to be the same as there.
    path
        A file that has variables of these names, which may grow.
    dim
        The dimension.
    entry
        Name of the entry, or path of the group, that has the variables; None where only one has them.
    num_threads
        Most threads that encode.

    Raises
    ------
    NexusError
        The file has no such variables, or these can't grow, or what is to be written doesn't fit; it is as it was then.
    """
    dataset, asked = _dataset(obj, dim, os.fspath(path)), File(os.fspath(path))
    asked.check()
    where = os.path.realpath(asked.path)
    with alone(where):
        file = asked.anew()
        refuse_written_here(file)
        wait_until_closed(where)
        more = _found(dataset, dim, entry, file)
        if any(each.values.shape[each.axis] for each in more):
            with changes.at_once(where) as letting_read, changing(where) as changed:
                with letting_read():
                    heads = _write_behind(changed, more, num_threads)
                _write_heads(changed, heads)


def check_append(
    obj: xr.DataArray | xr.Dataset, path: str | os.PathLike[str], dim: str, entry: str | None = None
) -> None:
    """Raise the error that `append` would raise before it writes."""
    _found(_dataset(obj, dim, os.fspath(path)), dim, entry, File(os.fspath(path)))


def _dataset(obj: Any, dim: str, path: str) -> xr.Dataset:
    """All variables of what is to be written."""
    if not isinstance(obj, xr.DataArray | xr.Dataset):
        raise NexusError(f"append_dim: expected a DataArray or a Dataset, found {type(obj).__name__}")
    signals = list(signals_in(obj))
    if not signals or dim not in signals[0].dataset.dims:
        there_are = ", ".join(map(repr, obj.dims)) or "none"
        raise NexusError(f"{path}: append_dim={dim!r}: no variable to write has this dimension; there are {there_are}")
    refuse_elsewhere(path, (variable._data for variable in signals[0].dataset.variables.values()))
    return signals[0].dataset


# --- what is added, and to what ----------------------------------------------------------------------------------


def _found(dataset: xr.Dataset, dim: str, entry: str | None, file: File) -> list[_More]:
    return describe_with(partial(_find, dataset, dim, entry), file, Options())


def _find(dataset: xr.Dataset, dim: str, entry: str | None, opening: Opening) -> list[_More]:
    described = group_with(list(names_in(dataset)), entry, opening)
    targets = targets_of(described, dim, opening.file.name)
    datasets = {name: _member(described, name) for name in targets.by_name}
    _check_growing(targets, datasets, opening.file)
    values = values_for(targets, dataset)
    more = []
    for name, target in targets.by_name.items():
        if name not in values:
            continue
        stored = LazyArray.of(datasets[name], opening.file)
        if target.axis is not None:
            more.append(_more(target, target.axis, values[name], dataset.sizes[dim], stored, datasets[name]))
        else:
            check_same(name, values[name], stored, targets)
    return more


def _member(described: Described, name: str) -> Dataset:
    member = described.group.find(known(described)[name].field)
    if not isinstance(member, Dataset):
        raise NexusError(f"{described.group.path}/{name}: several datasets are one variable, to which nothing is added")
    return member


def _check_growing(targets: Targets, datasets: dict[str, Dataset], file: File) -> None:
    reasons = {target.path: _why_fixed(datasets[name], target, file) for name, target in targets.growing.items()}
    if fixed := {path: reason for path, reason in reasons.items() if reason is not None}:
        raise NexusError(
            f"{file.name}: nothing was written, as this can't grow along {targets.dim!r}:\n"
            f"{listed(f'{path} {reason}' for path, reason in fixed.items())}\n"
            + (
                f"make it one file first: nexus_xr.consolidate({file.name!r})"
                if set(fixed.values()) == {_PARTS_THAT_GROW}
                else f'write the whole with unlimited_dims="{targets.dim}" at first'
            )
        )
    if any(dataset.is_being_written for dataset in datasets.values()):
        raise written_elsewhere(file.name, file.path)


def _why_fixed(dataset: Dataset, target: Target, file: File) -> str | None:
    if dataset.is_virtual:
        return _PARTS_THAT_GROW if dataset.can_grow[target.axis or 0] else "is made of other datasets"
    if dataset.origin is not None and os.path.realpath(dataset.origin[0]) != os.path.realpath(file.path):
        return f"lies in another file, {dataset.origin[0]}"
    if dataset.storage.chunks is None or not dataset.can_grow[target.axis or 0]:
        return f"has the shape {target.shape} for good"
    return None


def _more(target: Target, axis: int, values: Any, count: int, stored: LazyArray, dataset: Dataset) -> _More:
    along, length = (slice(None),) * axis, target.shape[axis]
    last = stored[(*along, slice(length - 1, length))] if target.has_edges and length else None
    added = without_first_edge(values, target, count, last, f"{stored.file.name}:{target.path}")
    if is_text(target.dtype):
        return _More(target, axis, np.asarray(added), None)
    chunk = (dataset.storage.chunks or target.shape)[axis]
    return _More(target, axis, added, np.asarray(stored[(*along, slice(length // chunk * chunk, length))]))


# --- writing it ----------------------------------------------------------------------------------------------------


class _Head(NamedTuple):
    """What is added to chunks in which others are: as it was declared, and its values."""

    target: WrittenDataset
    more: _More
    declared: Any
    values: NDArray[Any]


def _write_behind(changed: ChangedFile, more: Sequence[_More], num_threads: int | None) -> list[_Head]:
    """Write all behind the last chunk, which is new, and compute what goes into the chunks in which others are."""
    text = {each.target.path: _text(changed, each) for each in more if each.tail is None}
    heads, rests = [], []
    for each in more:
        dataset = changed.file[each.target.path]
        chunk = dataset.chunks[each.axis]
        _remember(changed, dataset, each, chunk)
        dataset.resize(each.shape)
        target = WrittenDataset(dataset, num_threads, f"{changed.path}:{each.target.path}", is_new=False)
        if each.tail is None:
            heads.append((target, each, text[each.target.path]))
            continue
        head, rest = each.split(chunk)
        begin = each.begin(each.target.shape[each.axis] + head.shape[each.axis])
        heads.append((target, each, head))
        if hasattr(rest, "dask"):
            rests.append((rest, target, begin))
        elif rest.shape[each.axis]:
            fill(target, rest, begin)
    with _noted(changed.path):
        values = _computed(stores(*zip(*rests, strict=True)) if rests else [], [head for _, _, head in heads])
    return [_Head(*head, found) for head, found in zip(heads, values, strict=True)]


def _write_heads(changed: ChangedFile, heads: Sequence[_Head]) -> None:
    """Write the chunks in which others are."""
    for target, more, declared, values in heads:
        if (reason := why_unfit(values, declared.shape, more.target.dtype)) is not None:
            raise NexusError(f"{changed.path}:{more.target.path}: what is to be added {reason}")
        _write_head(target, more, values)


def _text(changed: ChangedFile, more: _More) -> NDArray[Any]:
    """Text as the dataset has it, with its recorded length where it is longer than that."""
    dataset = changed.file[more.target.path]
    text = text_for(dataset, more.values, f"{changed.path}:{more.target.path}")
    longest = f"<U{max((len(str(each)) for each in decode_array(more.values).flat), default=0)}"
    recorded = recorded_dtype(more.target.attributes, more.target.dtype)
    if recorded is not None and np.dtype(longest).itemsize > recorded.itemsize:
        dataset.attrs[DTYPE] = longest
    return text


def _remember(changed: ChangedFile, dataset: h5py.Dataset, more: _More, chunk: int) -> None:
    """Have the chunks remembered that have something already, and get more."""
    length = more.target.shape[more.axis]
    if length % chunk:
        steps = [
            (length // chunk * chunk,) if axis == more.axis else range(0, size, step)
            for axis, (size, step) in enumerate(zip(dataset.shape, dataset.chunks, strict=True))
        ]
        for corner in itertools.product(*steps):
            changed.remember_chunk(dataset, corner)


def _computed(stores: Sequence[Any], heads: Sequence[Any]) -> list[NDArray[Any]]:
    """Have everything computed together, so that nothing is so twice."""
    of_dask = [head for head in heads if hasattr(head, "dask")]
    if stores or of_dask:
        import dask

        computed = iter(dask.compute(*of_dask, *stores))
        heads = [next(computed) if hasattr(head, "dask") else head for head in heads]
    return [np.asanyarray(head if isinstance(head, np.ndarray | None) else head[...]) for head in heads]


@contextmanager
def _noted(path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"while appending to {path}")
        raise


def _write_head(target: WrittenDataset, more: _More, head: NDArray[Any]) -> None:
    if not head.size:
        return
    begin, tail = more.target.shape[more.axis], more.tail
    if tail is not None and tail.size:
        begin -= tail.shape[more.axis]
        head = np.concatenate([tail, head.astype(tail.dtype, copy=False)], more.axis)
    fill(target, head, more.begin(begin))


def _part(values: Any, axis: int, part: slice) -> Any:
    """A part of values along a dimension, which stay where they are if they aren't in memory."""
    key = (*(slice(None),) * axis, part)
    return LazyVariable(values.variable[key]) if isinstance(values, LazyVariable) else values[key]
