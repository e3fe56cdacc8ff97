"""How variables are to be stored: as the user asks for it, or as they are in the file that they come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from nexus_xr.errors import NexusError, listed
from nexus_xr.hdf5.objects.storage import Filter
from nexus_xr.hdf5.writing.creation import (
    SMALL_BYTES,
    Compression,
    default_chunks,
    filters_named,
    filters_of_source,
    fitting_chunks,
    growing_chunks,
)
from nexus_xr.signatures import check_types
from nexus_xr.writing.defaults import KEEP


@dataclass(frozen=True)
class Storing:
    """How arrays are to be stored: what the user asks for."""

    compression: Compression
    compression_opts: Any = None
    shuffle: bool | None = None
    chunks: Sequence[int] | Mapping[Any, int] | None = None
    #: Of one variable: the type of what is stored, where it is another than that of the values.
    dtype: Any = None
    #: Of one variable: which of its dimensions have no end.
    growing: tuple[bool, ...] = ()
    unlimited_dims: Collection[str] = ()
    encoding: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_types(self)
        for name in self.encoding:
            self.of(name, ())
        try:
            np.dtype(self.dtype)
        except TypeError as error:
            raise NexusError(f"dtype={self.dtype!r}: {error}") from None
        if self.compression == KEEP:
            if self.compression_opts is not None or self.shuffle is not None:
                raise NexusError("compression_opts and shuffle need compression to be named")
        else:
            filters_named(self.compression, self.compression_opts, self.shuffle)
        lengths = self.chunks.values() if isinstance(self.chunks, Mapping) else self.chunks
        if lengths is not None and (
            isinstance(lengths, str)
            or not isinstance(lengths, Iterable)
            or not all(isinstance(each, int | np.integer) and each > 0 for each in lengths)
        ):
            raise NexusError(
                f"chunks={self.chunks!r}: expected a length of 1 or more for each dimension, or by dimension"
            )

    def of(self, name: Any, dims: Sequence[Any]) -> Storing:
        """How one variable is to be stored: as its own encoding says, and else as all are."""
        given = self.encoding.get(name, {})
        if not isinstance(given, Mapping) or not given.keys() <= _ENCODING.keys():
            raise NexusError(
                f"encoding of {name!r}: {given!r}: expected a dictionary with any of {', '.join(_ENCODING)}"
            )
        own = {_ENCODING[key]: value for key, value in given.items()}
        if "compression" in own:  # whose options are its own
            own = {"compression_opts": None, "shuffle": None, **own}
        growing = tuple(dim in self.unlimited_dims for dim in dims)
        try:
            return replace(self, **own, growing=growing if any(growing) else (), encoding={})
        except NexusError as error:
            raise NexusError(f"encoding of {name!r}: {error}") from None

    def own_of(self, name: Any) -> set[str]:
        """What is said of a variable alone."""
        return {_ENCODING[key] for key in self.encoding.get(name, {})}

    def aside(self, variable: xr.Variable, own: Collection[str] = ()) -> Storing:
        """The same for what lies aside of data, as an axis does: with the chunks of small arrays where it is one.

        Those of the data would be a chunk for each of its elements, which some filters don't encode.

        Parameters
        ----------
        variable
            Its values.
        own
            What was said of it alone, which stays.
        """
        if variable.nbytes > SMALL_BYTES or {"chunks", "compression", "shuffle"} & {*own}:
            return self
        if not self.growing or (self.compression == KEEP and comes_from_file(variable)):
            return replace(self, chunks=None)
        chunks = growing_chunks(variable.shape, variable.dtype.itemsize, self.growing, _GROWING_BYTES)
        return replace(self, **_UNFILTERED, chunks=chunks)

    def exact(self, own: Collection[str] = ()) -> Storing:
        """The same for what belongs to data: with no filter that may change values unless it was said of it alone."""
        if self.compression == KEEP or "compression" in own:
            return self
        filters = filters_named(self.compression, self.compression_opts, self.shuffle)
        return replace(self, **_EXACT) if filters_of_source(filters) is None else self

    def as_encoded(self, variable: xr.Variable) -> Storing:
        """How a variable is to be stored in the type that its encoding asks for, where nothing else is asked for.

        The encoding of what was opened from a NeXus file tells of that file, and asks for nothing.
        """
        asked = None if comes_from_file(variable) else variable.encoding.get("dtype")
        if asked is None or self.dtype is not None or not {np.dtype(asked).kind, variable.dtype.kind} <= set("iuf"):
            return self
        return replace(self, dtype=asked)

    def check(self, datasets: Sequence[xr.Dataset]) -> None:
        """Find chunks, dimensions and encodings that are meant for other arrays than these.

        Raises
        ------
        NexusError
            Chunks name a dimension that there isn't, or are for another number of them than any array has; a variable
            or a dimension isn't there.
        """
        arrays = {str(name): array.dims for dataset in datasets for name, array in dataset.data_vars.variables.items()}
        if not arrays:
            return
        _check_chunks(self.chunks, arrays)
        variables = {str(name): array.dims for dataset in datasets for name, array in dataset.variables.items()}
        dims = {dim for dims in variables.values() for dim in dims}
        for name in self.encoding:
            if name not in variables:
                raise NexusError(f"encoding: there is no variable {name!r}; there are {', '.join(variables)}")
            _check_chunks(self.of(name, ()).chunks if self.encoding[name] else None, {name: variables[name]})
        if unknown := [dim for dim in self.unlimited_dims if dim not in dims]:
            there_are = ", ".join(map(repr, sorted(map(str, dims))))
            raise NexusError(f"unlimited_dims: no variable has a dimension {unknown[0]!r}; there are {there_are}")

    @property
    def keeps_source(self) -> bool:
        return self.compression == KEEP and self.chunks is None and self.dtype is None and not self.growing

    def filters(self, variable: xr.Variable) -> tuple[Filter, ...]:
        """The filters of a variable: those asked for, else those of its source, else gzip."""
        if self.compression != KEEP:
            return filters_named(self.compression, self.compression_opts, self.shuffle)
        encoding = variable.encoding
        if "hdf5_filters" in encoding:
            own = filters_of_source([Filter(**step) for step in encoding["hdf5_filters"]])
            return filters_named("gzip") if own is None else own
        return () if comes_from_file(variable) else filters_named("gzip")

    def chunk_shape(self, variable: xr.Variable) -> tuple[int, ...] | None:
        """The chunks of a variable: those asked for, else those of its source, else whole frames."""
        if isinstance(self.chunks, Mapping):
            if any(dim in self.chunks for dim in variable.dims):
                asked = [int(self.chunks.get(dim, size)) for dim, size in self._sizes(variable)]
                return self._within(asked, variable)
        elif self.chunks is not None and len(self.chunks) == variable.ndim:
            return self._within(list(map(int, self.chunks)), variable)
        own = variable.encoding.get("chunksizes")
        if own and (fitting := fitting_chunks(own, variable.shape)):
            return fitting
        if self.growing:
            return growing_chunks(variable.shape, variable.dtype.itemsize, self.growing)
        is_contiguous = comes_from_file(variable) and self.compression == KEEP
        return None if is_contiguous else default_chunks(variable.shape, variable.dtype.itemsize)

    def _within(self, asked: Sequence[int], variable: xr.Variable) -> tuple[int, ...] | None:
        """Chunks that are no longer than the array, but along dimensions that grow."""
        growing = self.growing or (False,) * variable.ndim
        lengths = zip(asked, variable.shape, growing, strict=True)
        chunks = [chunk if grows or not size else min(chunk, size) for chunk, size, grows in lengths]
        return fitting_chunks(chunks, variable.shape)

    def _sizes(self, variable: xr.Variable) -> Iterator[tuple[Any, int]]:
        """Lengths of dimensions; of an array that grows, which has to be of chunks, an empty one has an element."""
        for dim, size in variable.sizes.items():
            yield dim, max(size, int(any(self.growing)))


# Stored anew with each value, a chunk that is compressed would leave the room behind that it had, and one that is large
# would take long. Many axes that grow by little, as those of motors in a scan, have a chunk each.
_GROWING_BYTES = 8 * 1024
_UNFILTERED: Mapping[str, Any] = {"compression": None, "compression_opts": None, "shuffle": None}
_EXACT: Mapping[str, Any] = {"compression": "gzip", "compression_opts": None, "shuffle": None}
# What the encoding of a variable may say, also by the names that xarray has for it.
_ENCODING = {
    "chunks": "chunks",
    "chunksizes": "chunks",
    "compression": "compression",
    "compression_opts": "compression_opts",
    "shuffle": "shuffle",
    "dtype": "dtype",
}


def _check_chunks(chunks: Sequence[int] | Mapping[Any, int] | None, arrays: Mapping[str, tuple[Any, ...]]) -> None:
    if chunks is None:
        return
    if isinstance(chunks, Mapping):
        fits = chunks.keys() <= {dim for dims in arrays.values() for dim in dims}
    else:
        fits = any(len(dims) == len(chunks) for dims in arrays.values())
    if not fits:
        raise NexusError(
            f"chunks={chunks!r}: the arrays to write have other dimensions:\n"
            + listed(f"{name}: {dims}" for name, dims in arrays.items())
        )


def comes_from_file(variable: xr.Variable) -> bool:
    """Whether a variable was opened from a NeXus file, of which its encoding tells then."""
    return "nexus_path" in variable.encoding
