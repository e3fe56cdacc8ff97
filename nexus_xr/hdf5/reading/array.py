"""Arrays that stay in their file until they are indexed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nexus_xr.errors import NexusFileError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.io.unreadable import unopened
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.datatypes import has_references, presented_dtype
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.objects.text import decode_array, is_text

from .conversion import values_of
from .engine.engine import read
from .hyperslab import Hyperslab
from .layouts.known_layouts import layout_of
from .layouts.layout import ExternalDataset, Libhdf5Layout, StoredLayout, carrier_of
from .layouts.raw_files import raw_files_of, report_short_files
from .processes import read_in_processes
from .selection import Indexer, expand, normalize, read_selection
from .unreadable import values_explained
from .virtual_datasets.found_sources import FoundSources, check_sources, find_sources, report_missing
from .virtual_datasets.virtual_layout import OWN_FILE, Mapping, VirtualLayout
from .virtual_reading import OnlyLibhdf5Error, read_virtual

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True, eq=False)
class LazyArray:
    """The values of one dataset, read when they are indexed.

    It is small, can be pickled and copied, and holds no open file. Text is decoded to `str`.

    Parameters
    ----------
    file
        The file that holds the dataset.
    path
        The dataset's path in the file.
    shape
        Its shape.
    raw_dtype
        Its dtype in the file.
    layout
        How several datasets are joined, for an array that no dataset of the file is.
    found_sources
        Which sources of a virtual dataset there were when it was opened; None where that isn't known.
    address
        Where it was when it was opened, which is found sooner than a path; None where that isn't known.

    Examples
    --------
    >>> LazyArray(File("scan.nxs"), "/entry/data/counts", (100, 512, 512), np.dtype("u2"))
    <LazyArray (100, 512, 512) uint16 of scan.nxs:/entry/data/counts>
    """

    file: File
    path: str
    shape: tuple[int, ...]
    raw_dtype: np.dtype[Any]
    layout: VirtualLayout | None = None
    found_sources: FoundSources | None = None
    address: Address | None = None

    @classmethod
    def of(cls, dataset: Dataset, file: File) -> LazyArray:
        """The values of an open dataset, of the file in which it is.

        Parameters
        ----------
        dataset
            The dataset, from whose own file it is read from then on.
        file
            The file that was opened, from which links may have led on.
        """
        origin = dataset.origin
        path = dataset.path
        if origin is not None and not _is_same_file(origin[0], file):
            file, path = file.linked(origin[0]), origin[1]
            file.check()  # from now on, it is that file and no other
        shape = dataset.shape[: len(dataset.extent)]
        found_sources = find_sources(dataset.virtual_mappings, shape, file, thoroughly=not file.policy.fills_missing)
        return cls(file, path, dataset.shape, dataset.raw_dtype, None, found_sources, dataset.address)

    @classmethod
    def joined(cls, segments: Sequence[Dataset], dtype: np.dtype[Any], file: File, path: str) -> LazyArray:
        """The values of open datasets, one behind the other.

        Parameters
        ----------
        segments
            The datasets, which are alike but for their first dimension.
        dtype
            The type of the values, which is that of the datasets, or which theirs may become.
        file, path
            The file that was opened, and a path that stands for them all.
        """
        arrays = [cls.of(segment, file) for segment in segments]
        rest = arrays[0].shape[1:]
        frame = tuple(Hyperslab(0, length=size) for size in rest)
        pairs = tuple(None if hyperslab.length == 1 else dim for dim, hyperslab in enumerate(frame, 1))
        mappings: list[Mapping] = []
        begin = 0
        for array in arrays:
            count = array.shape[0]
            name = OWN_FILE if array.file is file else array.file.given_name
            target, origin = (Hyperslab(begin, length=count), *frame), (Hyperslab(0, length=count), *frame)
            mappings.append(Mapping(name, array.path, target, origin, (None if count == 1 else 0, *pairs)))
            begin += count
        layout = VirtualLayout((begin, *rest), dtype, np.zeros((), carrier_of(dtype)), tuple(mappings))
        return cls(file, path, layout.shape, dtype, layout, FoundSources())

    def report_missing(self, dataset: Dataset) -> None:
        """Report of the dataset that it is what its values are made of and isn't there, or not all of it."""
        report_missing(dataset, self.found_sources, self.file, self.path)
        report_short_files(dataset, self.file, self.path, self.address)

    def __getstate__(self) -> dict[str, Any]:
        is_small = self.found_sources is None or self.found_sources.is_small
        return {**self.__dict__, "found_sources": self.found_sources if is_small else None}

    @property
    def dtype(self) -> np.dtype[Any]:
        return presented_dtype(self.raw_dtype)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without dimensions")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"<LazyArray {self.shape} {self.dtype} of {self.file.name}:{self.path}>"

    def __getitem__(self, key: Any) -> Any:
        """Values of a selection: integers, slices, index arrays and masks, each for its own dimension."""
        given = expand(key, self.ndim)
        indexers = [normalize(indexer, size) for indexer, size in zip(given, self.shape, strict=True)]
        if self.layout is not None:
            values = self._read_virtual(self.layout, indexers)
        elif self.file.is_written_here:
            values = self._read_with_hdf5(indexers)
        else:
            values = self._read_stored(indexers)
        return values if values.ndim else values[()]

    @contextmanager
    def reading(self) -> Iterator[Callable[[Sequence[Indexer]], NDArray[Any]]]:
        """What gives the values of normalized indexers, by one thread, for the length of a ``with`` block.

        None are expected to be asked for twice, nor others of the same chunks.

        What is stored as it is read is found out once, and the file is open for as long.
        """
        if self.layout is not None or self.file.is_written_here:
            yield self._at
            return
        with self.file.source() as source:
            layout = layout_of(self.file, self.path, source, self.address)
            if not isinstance(layout, StoredLayout):
                yield self._at
                return
            self._check_shape(layout.shape)
            with layout.source(source, raw_files_of(self.file, self.path)) as stored:
                yield partial(self._read_by_one, layout, stored, source)

    def _at(self, indexers: Sequence[Indexer]) -> NDArray[Any]:
        return np.asarray(self[tuple(map(_as_key, indexers))])

    def _read_by_one(
        self, layout: StoredLayout, stored: Source, asked: Source, indexers: Sequence[Indexer]
    ) -> NDArray[Any]:
        with values_explained(self.file.name, self.path):
            raw = read(layout, stored, indexers or [0], 1, comes_back=False)
            return values_of(raw, self.raw_dtype, layout, asked)

    def _read_stored(self, indexers: list[Indexer]) -> NDArray[Any]:
        """Values that are all in the file: in the way that is best for how they are stored."""
        with self.file.source() as source:
            layout = layout_of(self.file, self.path, source, self.address)
            if isinstance(layout, StoredLayout):
                return self._read(layout, source, indexers)
            if isinstance(layout, ExternalDataset):
                there = replace(self, file=self.file.linked(layout.file), path=layout.path, address=None)
                return np.asarray(there[tuple(indexers)])
            if isinstance(layout, VirtualLayout):
                return self._read_virtual(layout, indexers)
            if layout is not None:
                return self._read_in_processes(layout, source, indexers)
            return self._read_with_hdf5(indexers)

    def _read(self, layout: StoredLayout, asked: Source, indexers: list[Indexer]) -> NDArray[Any]:
        self._check_shape(layout.shape)
        with (
            layout.source(asked, raw_files_of(self.file, self.path)) as source,
            values_explained(self.file.name, self.path),
        ):
            raw = read(layout, source, indexers or [0], self.file.policy.num_threads)
            return values_of(raw, self.raw_dtype, layout, asked)

    def _presented(self, raw: NDArray[Any]) -> NDArray[Any]:
        values = raw.view(self.raw_dtype)
        return decode_array(values) if is_text(self.raw_dtype) else values

    def _read_virtual(self, virtual: VirtualLayout, indexers: list[Indexer]) -> NDArray[Any]:
        self._check_shape(virtual.shape)
        try:
            return self._presented(read_virtual(virtual, self.file, self.path, indexers, self.found_sources))
        except OnlyLibhdf5Error:
            if self.layout is not None:
                raise NexusFileError(
                    f"{self.file.name}:{self.path}: a part of it is being written by this process, or stored as only "
                    "libhdf5 reads it; open the parts one by one with dataset_path"
                ) from None
        from nexus_xr.hdf5.library.virtual import virtual_mappings_of

        with self.opened() as dataset:
            check_sources(virtual_mappings_of(dataset.id), dataset.shape, self.file, self.path, self.found_sources)
        return self._read_with_hdf5(indexers)

    def _read_in_processes(self, layout: Libhdf5Layout, source: Source, indexers: list[Indexer]) -> NDArray[Any]:
        self._check_shape(layout.shape)
        where = self.file.path_for_others or source
        with values_explained(self.file.name, self.path):
            values = read_in_processes(layout, where, self.path, indexers, self.file.policy.num_threads)
        self.file.check()  # the processes opened it by its name
        return decode_array(values) if is_text(self.raw_dtype) else values

    def _read_with_hdf5(self, indexers: list[Indexer]) -> NDArray[Any]:
        from nexus_xr.hdf5.library.references import name_references

        with self.opened() as dataset:
            self._check_shape(dataset.shape)
            values = read_selection(dataset, indexers)
            if is_text(self.raw_dtype):
                return decode_array(values)
            return name_references(values, self.raw_dtype, dataset.id) if has_references(self.raw_dtype) else values

    @contextmanager
    def opened(self) -> Iterator[h5py.Dataset]:
        """The open dataset, for the length of a ``with`` block."""
        from .dataset_access import open_dataset

        with self.file.opened() as handle, open_dataset(self.file, handle, self.path) as dataset:
            yield dataset

    def _check_shape(self, now: tuple[int, ...]) -> None:
        # A dataset that has grown since is read as if it had not.
        if any(length < then for length, then in zip(now, self.shape, strict=False)):
            raise NexusFileError(
                f"{self.file.name}:{self.path}: its shape was {self.shape} and now is {now}; open the file again"
            )

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError(f"{self!r} has to be read, which is a copy")
        return np.asarray(self[...], dtype=dtype)

    def __eq__(self, other: object) -> bool:
        """Whether all values are the same, as for the dictionaries that it stands in, and not element by element."""
        if isinstance(other, LazyArray) and self._token == other._token:
            return True
        if not isinstance(other, LazyArray | np.ndarray):
            return NotImplemented
        if self.shape != other.shape or not are_alike(self.dtype, other.dtype):
            return False
        if not self.ndim or not self.size:
            return same_values(np.asarray(self), np.asarray(other))
        # Some rows at a time, so that comparing takes no more memory than these.
        rows = max(1, self.shape[0] * (1 << 24) // max(self.nbytes, 1))
        some = (slice(start, start + rows) for start in range(0, self.shape[0], rows))
        return all(same_values(self[each], np.asarray(other[each])) for each in some)

    __hash__ = None  # type: ignore[assignment]

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyArray:
        return self

    @property
    def _token(self) -> tuple[Any, ...]:
        return (*self.file.token, self.path, self.shape)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        return (type(self).__name__, self.file.__dask_tokenize__(), self.path, self.shape)


def _as_key(indexer: Indexer) -> Any:
    """As it is written between square brackets, where a negative stop is counted from the end."""
    if isinstance(indexer, slice) and indexer.stop < 0:
        return slice(indexer.start, None, indexer.step)
    return indexer


def _is_same_file(a: str, file: File) -> bool:
    try:
        return a == file.path or (file.is_local and os.path.samefile(a, file.path))
    except OSError as error:
        raise unopened(a, os.path.abspath(a), error) from error


def are_alike(a: np.dtype[Any], b: np.dtype[Any]) -> bool:
    """Whether two types hold the same values, in whatever order of bytes: pickled by NumPy, arrays get the native one.

    Examples
    --------
    >>> are_alike(np.dtype(">f8"), np.dtype("<f8")), are_alike(np.dtype("f8"), np.dtype("f4"))
    (True, False)
    """
    return a.newbyteorder("=") == b.newbyteorder("=")


def same_values(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays hold the same values in the same shape, NaN being like NaN.

    Examples
    --------
    >>> same_values(np.array([1.0, np.nan]), np.array([1.0, np.nan]))
    True
    """
    if a.shape != b.shape:
        return False
    if a.dtype.names is not None:
        return a.dtype.names == b.dtype.names and all(
            same_values(np.asarray(a[name]), np.asarray(b[name])) for name in a.dtype.names
        )
    if a.dtype.hasobject:
        return all(map(same_element, a.flat, b.flat))
    same = a == b
    if a.dtype.kind in "fcmM" and b.dtype.kind in "fcmM":
        same = same | (np.isnan(a) & np.isnan(b))
    return bool(np.all(same))


def same_element(a: Any, b: Any) -> bool:
    """Whether two elements of object arrays are the same: text, or what HDF5 has of varying length."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return are_alike(a.dtype, b.dtype) and same_values(a, b)
    try:
        return a is b or bool(a == b) or bool(a != a and b != b)
    except (TypeError, ValueError):
        return False
