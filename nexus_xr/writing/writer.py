"""Writing a file piece by piece that others read meanwhile."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from nexus_xr.arrays.accepted import accepted
from nexus_xr.arrays.quantified import without_quantities
from nexus_xr.arrays.schedule import refuse_elsewhere
from nexus_xr.arrays.uncertainties import without_uncertainties
from nexus_xr.errors import NexusError, NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.remote.urls import local_path
from nexus_xr.hdf5.io.writers import claim, refuse_unfinished
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.writing.delivery import is_elsewhere
from nexus_xr.hdf5.writing.writable_file import close_file, closing_file, open_present, why_elsewhere, why_unwritten
from nexus_xr.opening.fields.group_fields import GroupFields
from nexus_xr.opening.options import Options
from nexus_xr.opening.select import Opening, describe_with
from nexus_xr.signatures import takes

from .changes.growth import Targets, check_same, names_in, targets_of, values_for
from .changes.targets import group_with, known
from .growing_field import GrowingField
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
        The file. What stands there is replaced when the template is written, unless `mode` is ``x``, or says that it is
        being written: what a killed writer left is replaced with `mode` ``w`` alone, what another still writes never.
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
        The file can't be written, or another process is writing it, or was when that was killed.

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
        if settings.mode is None:
            refuse_unfinished(self.path)
        self._claim = claim(self.path)
        try:
            weakref.finalize(self, self._claim.close)
            self._begin(template, signal, settings)
        except BaseException:
            self._claim.close()
            raise

    def _begin(self, template: xr.DataArray | xr.Dataset, signal: Signal, settings: WritingOptions) -> None:
        write_file(template, self.path, settings, for_swmr=True)
        self._targets, self._others, recent = _layout(signal, self._dim, File(self.path))
        self._length = self._flushed = self._targets.length
        self._file = open_present(self.path, for_swmr=True)
        self._fields = {
            name: GrowingField(self._file[target.path], target, f"{self.path}:{target.path}", settings.num_threads)
            for name, target in self._targets.growing.items()
        }
        for name, values in recent.items():
            self._fields[name].continue_with(values)
        self._file.swmr_mode = True

    def __len__(self) -> int:
        """How many frames there are with the template's, flushed or not; once it is closed, those in the file."""
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
            It can't be written, as on a full disk: nothing of the block is in the file then, which is closed.
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
            with self._whole_or_not():
                for field, array in zip(fields.values(), more, strict=True):
                    field.add(array)
            self._length += count

    def flush(self) -> None:
        """Have all that was appended in the file, where others see it.

        Raises
        ------
        NexusFileError
            It can't be written, or the file isn't at its path any more.
        """
        with self._lock:
            self._check_open()
            self._flush()
            self._check_place()

    def close(self) -> None:
        """Flush and close it; once more, nothing happens.

        Raises
        ------
        NexusFileError
            It can't be written, or the file isn't at its path any more.
        """
        with self._lock:
            if not self._file:
                return
            self._flush()
            file, self._file = self._file, None
            missing = why_elsewhere(file, self.path)
            try:
                close_file(file)
            except (OSError, RuntimeError) as error:
                raise NexusFileError(f"{self.path}: can't be written ({why_unwritten(error)})") from error
            finally:
                self._claim.close()
            if missing is not None:
                raise NexusFileError(f"{self.path}: {missing}")

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

    def _flush(self) -> None:
        try:
            for field in reversed(self._fields.values()):  # the signal last, by whose length readers go
                field.flush()
        except BaseException:
            self._end()
            raise
        self._flushed = self._length

    @contextmanager
    def _whole_or_not(self) -> Iterator[None]:
        """Where a ``with`` block that writes fails, leave nothing of what it wrote in the file, which is closed."""
        before = [(field, field.progress) for field in self._fields.values()]
        try:
            yield
        except BaseException:
            for field, progress in before:
                field.progress = progress
            with suppress(OSError, RuntimeError):
                self._flush()  # what was appended before
            self._end()
            raise

    def _end(self) -> None:
        """Close a file into which something can't be written, with no field longer than the others."""
        file, self._file = self._file, None
        if not file:
            return
        self._length = self._flushed  # of what isn't closed
        with suppress(OSError, RuntimeError):
            is_there = why_elsewhere(file, self.path) is None
            close_file(file)
            self._length = min(field.length for field in self._fields.values())
            # Opened anew, as a dataset ends within a chunk only once that is stored anew: while others read the file,
            # libhdf5 needs more of the disk for it, and takes what was just written for what was there before.
            if is_there:
                with closing_file(open_present(self.path, for_swmr=True), self.path) as again:
                    for field in self._fields.values():
                        field.cut(again, self._length)
        self._claim.close()

    def _check_place(self) -> None:
        if self._file and (missing := why_elsewhere(self._file, self.path)) is not None:
            raise NexusFileError(f"{self.path}: {missing}")

    def _check_open(self) -> None:
        if not self._file:
            raise NexusError(
                f"{self.path}: the writer is closed; append to the file with to_nexus(..., append_dim=...), "
                f"which has {self._length} along {self._dim!r}"
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


def _path(path: Any) -> str:
    if is_elsewhere(path):
        raise NexusError(f"{path}: only a file of this machine is written piece by piece; name a path")
    return os.path.realpath(os.path.expanduser(local_path(os.fspath(path))))


def _signal(obj: Any) -> Signal:
    signals = list(signals_in(without_quantities(obj))) if isinstance(obj, xr.DataArray | xr.Dataset) else []
    if len(signals) != 1:
        raise NexusError(f"expected a DataArray, or a Dataset with a variable, found {type(obj).__name__}")
    return replace(signals[0], dataset=without_uncertainties(signals[0].dataset))


def _settings(signal: Signal, dim: str, path: str, options: Mapping[str, Any]) -> WritingOptions:
    """The options with which the template is written."""
    settings = WritingOptions(unlimited_dims=dim, **options)
    if settings.mode == "a":
        raise NexusError(f'{path}: a file is written piece by piece from its beginning; expected mode="w" or "x"')
    variables = signal.dataset.variables
    if dim not in signal.dataset.dims:
        there_are = ", ".join(map(repr, signal.dataset.dims)) or "none"
        raise NexusError(f"{path}: append_dim={dim!r}: the template has no such dimension; there are {there_are}")
    varying = [name for name, each in variables.items() if dim in each.dims and _is_varying(each)]
    if varying:
        raise NexusError(
            f"{path}: {varying[0]!r}: text of any length can't be added to a file that others read meanwhile; "
            'give it a length in bytes, as astype("S20") does'
        )
    refuse_elsewhere(path, (each._data for each in variables.values()))
    return settings


def _is_varying(variable: xr.Variable) -> bool:
    """Whether it may be text of any length; not of what can't be stored, which is told when the template is written."""
    try:
        return accepted(variable).dtype.kind in _VARYING
    except ValueError:
        return False


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


def _computed(values: list[Any]) -> list[NDArray[Any]]:
    if any(hasattr(each, "dask") for each in values):
        import dask

        values = list(dask.compute(*values))
    return [np.asarray(each[...]) for each in values]
