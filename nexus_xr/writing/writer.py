"""Writing a file piece by piece that others read meanwhile."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from nexus_xr.arrays.accepted import accepted
from nexus_xr.arrays.schedule import refuse_elsewhere
from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.remote.urls import local_path
from nexus_xr.hdf5.objects.text import is_text
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.chunk_writer import WrittenDataset
from nexus_xr.hdf5.writing.delivery import is_elsewhere
from nexus_xr.hdf5.writing.writable_file import close_file, open_file, why_unwritten
from nexus_xr.nexus.output.storable import storable
from nexus_xr.opening.fields.group_fields import GroupFields
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Opening, describe_with
from nexus_xr.signatures import takes

from .changes.growth import Target, Targets, check_same, names_in, targets_of, text_for, values_for, without_first_edge
from .changes.targets import group_with, known
from .options import WritingOptions
from .signals import Signal, signals_in
from .to_nexus import write_file

# Of text of any length libhdf5 writes nothing that others could read meanwhile.
_VARYING = "OUT"


class NexusWriter:
    """A file that grows along a dimension, and that others may read while it does (HDF5's SWMR mode).

    It is laid out as `to_nexus` does it, and opens here, in h5py and elsewhere at the length that it has by then; see
    `nexus.refresh` of the accessor. As a context manager it is closed at the end, with all that was appended, whatever
    happened in the block.

    Parameters
    ----------
    path
        The file. What stands there is replaced when the template is written, unless `mode` is ``x``.
    template
        A DataArray, or a Dataset whose first variable is the signal, of none or of the first frames: the names, types,
        coordinates and metadata of what is to be written.
    append_dim
        The dimension that grows; None for the first one of the signal.
    **options
        Those of `to_nexus` for how arrays are stored, and `mode`, ``w`` or ``x``.

    Raises
    ------
    NexusError
        The template can't be stored, or has text of any length along the dimension.
    NexusFileError
        The file can't be written.

    Examples
    --------
    >>> template = xr.DataArray(np.empty((0, 2, 3), "u2"), dims=("frame", "y", "x"), name="counts")
    >>> with NexusWriter("live.nxs", template) as writer:
    ...     writer.append(np.ones((2, 3), "u2"))
    ...     writer.append(np.ones((4, 2, 3), "u2"))
    ...     writer.flush()
    ...     len(writer)
    5
    >>> xr.open_dataset("live.nxs", engine="nexus").counts.sizes["frame"]
    5
    """

    @takes(
        WritingOptions,
        *("append_dim", "unlimited_dims", "region", "layout", "compute", "storage_options", "use_default"),
    )
    def __init__(
        self,
        path: str | os.PathLike[str],
        template: xr.DataArray | xr.Dataset,
        append_dim: str | None = None,
        **options: Any,
    ) -> None:
        self._lock = threading.RLock()
        self._file: h5py.File | None = None
        self.path = _path(path)
        signal = _signal(template)
        dims = signal.dataset[signal.field].dims
        self._dim = append_dim if append_dim is not None else str(next(iter(dims), ""))
        self._name = signal.field
        settings = _settings(signal, self._dim, self.path, options)
        write_file(template, self.path, settings, is_latest=True)
        self._targets, self._others, recent = _layout(signal, self._dim, File(self.path))
        self._length = self._targets.length
        self._file = _opened(self.path)
        self._fields = {
            name: _Field(self._file[target.path], target, f"{self.path}:{target.path}", settings.num_threads)
            for name, target in self._targets.growing.items()
        }
        for name, values in recent.items():
            self._fields[name].continue_with(values)
        self._file.swmr_mode = True

    def __len__(self) -> int:
        """How many frames were appended, with those of the template, flushed or not."""
        return self._length

    def __repr__(self) -> str:
        state = "open" if self._file else "closed"
        return f"<NexusWriter of {self.path}, {self._length} along {self._dim!r}, {state}>"

    def append(self, block: xr.DataArray | xr.Dataset | ArrayLike) -> None:
        """Write more, of one frame or of several.

        Chunks that are full are encoded on all cores and written at once; what fills a chunk in part only waits for
        more, or to be flushed.

        Parameters
        ----------
        block
            A Dataset, or a DataArray, with all that spans the dimension; the values of the signal alone, as an array
            of NumPy or dask, where nothing else does. Without the dimension it is one frame.

        Raises
        ------
        NexusError
            It doesn't fit to the template, which is found before anything is written, or the writer is closed.
        NexusFileError
            It can't be written.
        """
        with self._lock:
            self._check_open()
            dataset = self._dataset(block)
            values = values_for(self._targets, dataset)
            refuse_elsewhere(self.path, values.values())
            for name, stored in self._others.items():
                if name in values:
                    check_same(name, values[name], stored, self._targets)
            count, fields = dataset.sizes[self._dim], self._fields
            arrays = _computed([values[name] for name in fields])
            more = [field.added(array, count) for field, array in zip(fields.values(), arrays, strict=True)]
            for field, array in zip(fields.values(), more, strict=True):
                field.add(array)
            self._length += count

    def flush(self) -> None:
        """Have all that was appended in the file, where others see it."""
        with self._lock:
            self._check_open()
            for field in reversed(self._fields.values()):  # the signal last, by whose length readers go
                field.flush()

    def close(self) -> None:
        """Flush and close it; once more, nothing happens."""
        with self._lock:
            file = self._file
            if not file:
                return
            try:
                self.flush()
            except BaseException:
                self._file = None
                with suppress(OSError, RuntimeError):
                    self._cut()
                    close_file(file)
                raise
            self._file = None
            try:
                close_file(file)
            except (OSError, RuntimeError) as error:
                raise NexusFileError(f"{self.path}: can't be written ({why_unwritten(error)})") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(NexusError):  # which would hide why
            self.close()

    def _cut(self) -> None:
        """Leave no field longer than the others, where one couldn't be written."""
        length = min(field.length for field in self._fields.values())
        for field in self._fields.values():
            field.cut(length)

    def _check_open(self) -> None:
        if not self._file:
            raise NexusError(
                f"{self.path}: the writer is closed; append to the file with to_nexus(..., append_dim=...)"
            )

    def _dataset(self, block: Any) -> xr.Dataset:
        """A block as a Dataset that has the dimension."""
        if isinstance(block, xr.DataArray) and block.name is None:
            block = block.rename(self._name)
        if isinstance(block, xr.DataArray | xr.Dataset):
            dataset = _signal(block).dataset
        else:
            dataset = xr.Dataset({self._name: self._variable(block)})
        if self._dim in dataset.dims:
            return dataset
        frame = {
            name: dataset.variables[name].expand_dims(self._dim) for name in self._fields if name in dataset.variables
        }
        if not frame:
            raise NexusError(f"{self.path}: nothing was written, as there is nothing in it that spans {self._dim!r}")
        return dataset.drop_vars(list(frame)).assign(frame)

    def _variable(self, values: Any) -> xr.Variable:
        """Values of the signal alone, with the names of their dimensions."""
        try:
            array = values if hasattr(values, "dask") else np.asarray(values)
        except (TypeError, ValueError) as error:
            raise NexusError(f"{self.path}: nothing was written, as a block is no array ({error})") from None
        dims = self._targets.by_name[self._name].dims
        if array.ndim == len(dims) - 1:
            dims = tuple(dim for dim in dims if dim != self._dim)
        if array.ndim != len(dims):
            raise NexusError(f"{self.path}: nothing was written, as a block of shape {array.shape} isn't of {dims}")
        return xr.Variable(dims, array)


class _Field:
    """A dataset that grows chunk by chunk, and what waits until a chunk is full.

    Parameters
    ----------
    dataset
        The open dataset.
    target
        What it was at first.
    where
        What it is called in errors.
    num_threads
        Most threads that encode.
    """

    def __init__(self, dataset: h5py.Dataset, target: Target, where: str, num_threads: int | None) -> None:
        assert target.axis is not None
        self._dataset = dataset
        self._target = target
        self._where = where
        self._written = WrittenDataset(dataset, num_threads, where, is_new=False)
        self._axis = target.axis
        self._chunk: int = dataset.chunks[target.axis]
        shape = tuple(self._chunk if axis == self._axis else size for axis, size in enumerate(target.shape))
        self._waiting = np.zeros(shape, dataset.dtype)
        self._count = 0
        self._begin = 0
        self._is_flushed = True
        self._written_to = target.shape[target.axis]
        self._last: NDArray[Any] | None = None

    def continue_with(self, recent: NDArray[Any]) -> None:
        """Continue what is there, of which these are the last values: those of its last chunk, and one before."""
        length, found = self._target.shape[self._axis], recent.shape[self._axis]
        if is_text(recent.dtype):
            recent = text_for(self._dataset, storable(recent), self._where)
        self._count = length % self._chunk
        self._begin = length - self._count
        self._waiting[self._at(0, self._count)] = recent[self._at(found - self._count, found)]
        self._last = recent[self._at(found - 1, found)] if found else None

    def added(self, values: NDArray[Any], count: int) -> NDArray[Any]:
        """What some values add to those that are there."""
        return self._as_text(without_first_edge(values, self._target, count, self._last, self._where))

    def _as_text(self, values: NDArray[Any]) -> NDArray[Any]:
        return text_for(self._dataset, values, self._where) if is_text(self._dataset.dtype) else values

    def add(self, values: NDArray[Any]) -> None:
        """Write full chunks, and keep a copy of what is left."""
        length = values.shape[self._axis]
        first = min(self._chunk - self._count, length) if self._count else 0
        self._keep(values[self._at(0, first)])
        if self._count == self._chunk:
            self._write(self._waiting)
            self._begin, self._count = self._begin + self._chunk, 0
        whole = (length - first) // self._chunk * self._chunk
        if whole:
            self._write(values[self._at(first, first + whole)])
            self._begin += whole
        self._keep(values[self._at(first + whole, length)])
        if length:
            self._last = np.array(values[self._at(length - 1, length)])

    @property
    def length(self) -> int:
        """How many elements are written."""
        return self._written_to - self._target.has_edges

    def cut(self, length: int) -> None:
        """Have it no longer than that."""
        if self._written.shape[self._axis] > length + self._target.has_edges:
            self._resize(length + self._target.has_edges)

    def flush(self) -> None:
        """Write what waits, which may be written again as a part of more."""
        if not self._is_flushed:
            self._write(self._waiting[self._at(0, self._count)])
            self._is_flushed = True
        self._written.flush()

    def _keep(self, values: NDArray[Any]) -> None:
        length = values.shape[self._axis]
        self._waiting[self._at(self._count, self._count + length)] = values
        self._count += length
        self._is_flushed = self._is_flushed and not length

    def _write(self, values: NDArray[Any]) -> None:
        """Write values behind all full chunks."""
        end = self._begin + values.shape[self._axis]
        if end > self._written.shape[self._axis]:
            self._resize(end)
        shape = self._written.shape
        region = tuple((self._begin, end) if axis == self._axis else (0, size) for axis, size in enumerate(shape))
        self._written.write(region, values)
        self._written_to = end

    def _resize(self, length: int) -> None:
        shape = self._written.shape
        self._written.resize((*shape[: self._axis], length, *shape[self._axis + 1 :]))

    def _at(self, first: int, last: int) -> tuple[slice, ...]:
        return (*(slice(None),) * self._axis, slice(first, last))


def _path(path: Any) -> str:
    if is_elsewhere(path):
        raise NexusError(f"{path}: only a file of this machine is written piece by piece; name a path")
    return os.path.realpath(os.path.expanduser(local_path(os.fspath(path))))


def _signal(obj: Any) -> Signal:
    signals = list(signals_in(obj)) if isinstance(obj, xr.DataArray | xr.Dataset) else []
    if len(signals) != 1:
        raise NexusError(f"expected a DataArray, or a Dataset with a variable, found {type(obj).__name__}")
    return signals[0]


def _settings(signal: Signal, dim: str, path: str, options: Mapping[str, Any]) -> WritingOptions:
    """The options with which the template is written."""
    settings = WritingOptions(unlimited_dims=dim, **options)
    if settings.mode == "a":
        raise NexusError(f'{path}: a file is written piece by piece from its beginning; expected mode="w" or "x"')
    variables = signal.dataset.variables
    if dim not in signal.dataset.dims:
        there_are = ", ".join(map(repr, signal.dataset.dims)) or "none"
        raise NexusError(f"{path}: append_dim={dim!r}: the template has no such dimension; there are {there_are}")
    varying = [name for name, each in variables.items() if dim in each.dims and accepted(each).dtype.kind in _VARYING]
    if varying:
        raise NexusError(
            f"{path}: {varying[0]!r}: text of any length can't be added to a file that others read meanwhile; "
            'give it a length in bytes, as astype("S20") does'
        )
    refuse_elsewhere(path, (each._data for each in variables.values()))
    return settings


_Values = dict[str, NDArray[Any]]


def _layout(signal: Signal, dim: str, file: File) -> tuple[Targets, _Values, _Values]:
    """The fields of the file of a template, the values of those that don't grow, and the last ones of those that do."""
    return describe_with(partial(_find_layout, list(names_in(signal.dataset)), dim), file, Options())


def _find_layout(names: list[str], dim: str, opening: Opening) -> tuple[Targets, _Values, _Values]:
    described = group_with(names, None, opening)
    targets = targets_of(described, dim, opening.file.name)
    others, recent = {}, {}
    fields = GroupFields(described.content, described.group, opening.file, mask_and_scale=False)
    for name, target in targets.by_name.items():
        member = fields.field(known(described)[name].field)
        values, axis = LazyArray.of(member, opening.file), target.axis
        if axis is None:
            others[name] = np.asarray(values[...])
        else:
            first = max(0, target.shape[axis] - (member.storage.chunks or target.shape)[axis])
            recent[name] = np.asarray(values[(*(slice(None),) * axis, slice(first, None))])
    return targets, others, recent


def _opened(path: str) -> h5py.File:
    try:
        return open_file(path, "r+", is_latest=True)
    except OSError as error:
        raise NexusFileError(f"{path}: can't be written ({why_unwritten(error)})") from error


def _computed(values: list[Any]) -> list[NDArray[Any]]:
    if any(hasattr(each, "dask") for each in values):
        import dask

        values = list(dask.compute(*values))
    return [np.asarray(each[...]) for each in values]
