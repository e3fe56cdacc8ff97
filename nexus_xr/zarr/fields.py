"""The arrays that the fields of a group become."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nexus_xr.diagnostics import Code
from nexus_xr.errors import SystemFaultError
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.storage import Storage
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.block_shapes import nearest_part
from nexus_xr.hdf5.reading.virtual_datasets.source_storage import SourceStorage
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.rules.variables import Variable
from nexus_xr.opening.chunks import block_shape
from nexus_xr.opening.fields.group_fields import GroupFields, storage_of
from nexus_xr.opening.fields.stored import DerivedArray, ScaledArray, Stored, TypedArray

from .arrays import MemberArray, Values, ZarrArray
from .attributes import array_documents, documents, scaling, time_units, without_opaque
from .codecs.chain import Chain, core_chain, native_chain
from .data_types import TEXT, data_type

_OBJECT = np.dtype(object)
# What a piece of text may take, by which as many are put into a chunk as are read at once.
_TEXT_BYTES = 256


class Codecs(StrEnum):
    """In which codecs chunks are handed on."""

    CORE = "core"
    NATIVE = "native"


@dataclass(frozen=True, eq=False)
class Compound:
    """A dataset of compounds: a group in which each member is an array.

    Parameters
    ----------
    attributes
        Those of the dataset, as JSON has them.
    members
        The members by name; one that is a compound itself is another group.
    """

    attributes: Mapping[str, Any]
    members: Mapping[str, Compound | ZarrArray]


Node = Compound | ZarrArray


@dataclass(frozen=True, eq=False)
class FieldArrays:
    """Makes arrays of fields of one group.

    Parameters
    ----------
    arrays
        The fields.
    codecs
        How chunks are to be encoded.
    bounds_dim
        Name of the dimension that the lower and upper bounds of bins make, where there are any.
    """

    arrays: GroupFields
    codecs: Codecs
    bounds_dim: str = ""

    def nodes_of(self, variable: Variable) -> Iterator[tuple[str, Node]]:
        """What a variable becomes, by name; nothing where that can't be told, or Zarr has no type for it."""
        dataset = self.arrays.field(variable.field)
        try:
            made = dict(self._made_of(variable, dataset))
        except SystemFaultError:
            raise
        except AnyHdf5Error as error:
            dataset.report(Code.STORAGE_UNKNOWN, f"how it is stored can't be told ({error}); it is left out")
            return
        for name, node in made.items():
            if node is None:
                dataset.report(Code.NO_ZARR_TYPE, f"has elements of type {dataset.raw_dtype}; it is left out")
            else:
                yield name, node

    def _made_of(self, variable: Variable, dataset: Dataset) -> Iterator[tuple[str, Node | None]]:
        field = _Field(dataset, self.arrays.array(variable.field), self.codecs)
        attributes = without_opaque(self.arrays.attributes(variable), dataset)
        source = self.arrays.source(variable)
        if variable.bounds is not None and isinstance(source, DerivedArray):
            both = self.arrays.bounds_of(source)
            dims = (*variable.dims, self.bounds_dim)
            yield variable.name, field.derived(source, variable.dims, {**attributes, "bounds": variable.bounds})
            yield variable.bounds, field.derived(both, dims, {})
        elif dataset.raw_dtype.names is not None:
            yield variable.name, field.compound((), variable.dims, attributes)
        else:
            yield variable.name, field.array(source, variable.dims, attributes)


@dataclass(frozen=True, eq=False)
class _Field:
    """A field of the file: its dataset, or the first of its segments, and all its values as they are stored."""

    dataset: Dataset
    raw: LazyArray
    codecs: Codecs

    @cached_property
    def _storage(self) -> Storage | SourceStorage:
        return storage_of(self.dataset, self.raw)

    def array(self, source: Stored, dims: tuple[str, ...], attributes: dict[str, Any]) -> ZarrArray | None:
        """An array of values that are stored, or stand for what is."""
        told = _told_by_attributes(source, attributes)
        if data_type(source.dtype) == TEXT:
            return self._text(source, self._chunks(source), dims, attributes)
        if isinstance(source, LazyArray) or told is not None:
            return self._passed_on(dims, {**attributes, **(told or {})})
        values = self.raw if isinstance(source, TypedArray) else source
        return self._encoded(values, self._chunks(values), dims, attributes)

    def derived(self, source: DerivedArray, dims: tuple[str, ...], attributes: dict[str, Any]) -> ZarrArray | None:
        """An array of what is computed of all values, in one chunk."""
        return self._encoded(source, tuple(max(size, 1) for size in source.shape), dims, attributes)

    def compound(self, names: tuple[str, ...], dims: tuple[str, ...], attributes: dict[str, Any]) -> Compound:
        """The members of compounds, or of those that are themselves a member of that name."""
        members = {name: self._member((*names, name), dims) for name in MemberArray(self.raw, names).dtype.names or ()}
        for name in (name for name, node in members.items() if node is None):
            self.dataset.report(Code.NO_ZARR_TYPE, f"has a member {name!r} of such a type; it is left out")
        return Compound(documents(attributes), {name: node for name, node in members.items() if node is not None})

    def _member(self, names: tuple[str, ...], dims: tuple[str, ...]) -> Node | None:
        values = MemberArray(self.raw, names)
        added = values.ndim - len(dims)
        dims = (*dims, *(f"{names[-1]}_dim_{number}" for number in range(added)))
        if values.dtype.names is not None:
            return self.compound(names, dims, {})
        if data_type(values.dtype) == TEXT:
            return self._text(values, self._blocks(values), dims, {}) if values.is_text else None
        return self._encoded(values, self._blocks(values), dims, {})

    def _text(
        self, values: Values, chunks: tuple[int, ...], dims: tuple[str, ...], attributes: dict[str, Any]
    ) -> ZarrArray:
        nothing = np.array("", _OBJECT)
        return ZarrArray(values, None, chunks, _OBJECT, nothing, (), dims, self._documents(attributes, _OBJECT))

    def _passed_on(self, dims: tuple[str, ...], attributes: dict[str, Any]) -> ZarrArray | None:
        """An array whose chunks are those of the file."""
        raw = self.raw
        if data_type(raw.raw_dtype) is None:
            return None
        element, chunks = np.dtype(raw.raw_dtype.str), self._chunks(raw)
        if self._storage.chunks is None and self.codecs is Codecs.NATIVE:  # a chunk at an end has no padding there
            chunks = tuple(map(nearest_part, chunks, self._regular))
        chain = self._chain(element, chunks)
        return ZarrArray(
            raw, raw, chunks, element, self._fill(element), chain, dims, self._documents(attributes, element)
        )

    def _encoded(
        self, values: Values, chunks: tuple[int, ...], dims: tuple[str, ...], attributes: dict[str, Any]
    ) -> ZarrArray | None:
        """An array whose chunks are all made of values."""
        if data_type(values.dtype) is None:
            return None
        element = np.dtype(values.dtype.str)
        chain = core_chain((), element.itemsize, math.prod(chunks) * element.itemsize, is_joined=True)
        told = self._documents(attributes, element)
        return ZarrArray(values, None, chunks, element, np.zeros((), element), chain, dims, told)

    def _documents(self, attributes: Mapping[str, Any], element: np.dtype[Any]) -> dict[str, Any]:
        """The attributes of an array of such elements."""
        told, failing = array_documents(attributes, element)
        for name in failing:
            message = f"attribute {name!r} is of a type over which xarray fails; it is left out"
            self.dataset.report(Code.NO_ZARR_TYPE, message)
        return told

    def _chunks(self, values: Values) -> tuple[int, ...]:
        """The chunks of HDF5, or blocks that are read at once; a type that is an array is never cut."""
        shape, own = values.shape, self._storage.chunks
        if own is not None and len(own) <= len(shape):
            return (*own, *shape[len(own) :])
        return block_shape(shape, values.dtype.itemsize if values.dtype != _OBJECT else _TEXT_BYTES, None)

    def _blocks(self, member: MemberArray) -> tuple[int, ...]:
        """As many chunks of HDF5 as are read at once: for a member, compounds are read that are longer than itself."""
        shape, own = self.raw.shape, self._storage.chunks
        if own is None:
            return self._chunks(member)
        return (*block_shape(shape, self.raw.raw_dtype.itemsize, own), *member.shape[len(shape) :])

    @property
    def _regular(self) -> list[int]:
        """For each dimension, the length after which its end and the begin of each source come."""
        storage, shape = self._storage, self.raw.shape
        borders = storage.borders if isinstance(storage, SourceStorage) else [()] * len(shape)
        return [math.gcd(size, *starts) for size, starts in zip(shape, borders, strict=True)]

    def _chain(self, element: np.dtype[Any], chunks: tuple[int, ...]) -> Chain:
        filters, size = self._storage.filters, math.prod(chunks) * element.itemsize
        native = native_chain(filters, size) if self.codecs is Codecs.NATIVE else None
        is_joined = self.raw.layout is not None or self.dataset.is_virtual
        return core_chain(filters, element.itemsize, size, is_joined=is_joined) if native is None else native

    def _fill(self, element: np.dtype[Any]) -> NDArray[Any]:
        stored = self.dataset.stored
        raw = b"" if stored is None else stored.fill or b""
        return np.frombuffer(raw.ljust(element.itemsize, b"\0"), element, 1).reshape(())


def _told_by_attributes(source: Stored, attributes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The attributes by which xarray makes the values of what is stored, None where there are none."""
    if isinstance(source, ScaledArray):
        return scaling(source, attributes)
    return time_units(source.dtype) if isinstance(source, TypedArray) and source.dtype.kind in "mM" else None
