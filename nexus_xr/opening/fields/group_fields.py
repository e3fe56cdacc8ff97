"""The arrays that the fields of a group are, and how their values are stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nexus_xr.arrays.bins import bounds_of, centres_of
from nexus_xr.diagnostics import Code
from nexus_xr.errors import NexusFileChangedError, SystemFaultError
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Group
from nexus_xr.hdf5.objects.storage import Storage
from nexus_xr.hdf5.reading.array import LazyArray
from nexus_xr.hdf5.reading.small_values import read_whole
from nexus_xr.hdf5.reading.virtual_datasets.source_storage import SourceStorage, source_storage
from nexus_xr.hdf5.reading.virtual_datasets.virtual_layout import VirtualLayout
from nexus_xr.hdf5.reading.virtual_datasets.virtual_mapping import read_mappings
from nexus_xr.hdf5.runtime.hdf5_errors import AnyHdf5Error
from nexus_xr.nexus.rules.attributes import with_units
from nexus_xr.nexus.rules.content import GroupContent
from nexus_xr.nexus.rules.interpretation import fits_dims, interpretation_of
from nexus_xr.nexus.rules.reserved import recorded_dtype, without_marks
from nexus_xr.nexus.rules.scaling import Scaling
from nexus_xr.nexus.rules.variables import Role, Variable

from .stored import DerivedArray, ScaledArray, Stored, TypedArray


class GroupFields:
    """The fields of one group as arrays.

    Parameters
    ----------
    content, group
        The group, as the data rules see it and as it is.
    file
        The file that was opened.
    mask_and_scale
        Whether ``FIELD_scaling_factor`` and ``FIELD_offset`` are applied.
    """

    def __init__(self, content: GroupContent, group: Group, file: File, mask_and_scale: bool) -> None:
        self.content = content
        self.group = group
        self.file = file
        self.mask_and_scale = mask_and_scale
        self._fields: dict[str, Dataset] = {}
        self._arrays: dict[str, LazyArray] = {}

    def field(self, name: str) -> Dataset:
        """A field as it is in the file.

        Raises
        ------
        NexusFileChangedError
            It isn't there any more.
        """
        if name not in self._fields:
            segments = self.content.fields[name].segments  # alike, so that the first speaks for them all
            member = self.group.find(segments[0] if segments else name)
            if not isinstance(member, Dataset):
                where = f"{self.file.name}:{self.group.member_path(name)}"
                raise NexusFileChangedError(f"{where}: is no field any more, as the file changed; open it again")
            self._fields[name] = member
        return self._fields[name]

    def array(self, name: str) -> LazyArray:
        """The values of a field as they are stored, of the file in which they are."""
        if name not in self._arrays:
            field = self.content.fields[name]
            members = map(self.group.get, field.segments)
            segments = [member for member in members if isinstance(member, Dataset)]
            path = self.group.member_path(name)
            self._arrays[name] = (
                LazyArray.joined(segments, field.dtype, self.file, path) if segments else self._single(name)
            )
        return self._arrays[name]

    def _single(self, name: str) -> LazyArray:
        array, shape = LazyArray.of(self.field(name), self.file), self.content.fields[name].shape
        # The rules may have left off what a writer hasn't added to all fields yet.
        return array if array.shape == shape else replace(array, shape=shape)

    def source(self, variable: Variable) -> Stored:
        """The values of a variable's field, scaled where they are to be; of bin edges, the centres."""
        dataset = self.field(variable.field)
        raw = self.array(variable.field)
        array: LazyArray | ScaledArray | TypedArray = raw
        recorded = recorded_dtype(self.content.fields[variable.field].attributes, dataset.raw_dtype)
        if recorded is not None:
            array = TypedArray(raw, recorded)
        elif variable.scaling is not None and self.mask_and_scale:
            factor, offset = self.scaling(variable.scaling)
            if (factor, offset) != (1, 0):
                array = ScaledArray(raw, factor, offset)
        if variable.bounds is None:
            return array
        dtype = array.dtype if array.dtype.kind in "fcmM" else np.dtype(np.float64)
        return DerivedArray(array, centres_of, (*raw.shape[:-1], raw.shape[-1] - 1), dtype)

    def scaling(self, scaling: Scaling) -> tuple[float, float]:
        factor = 1.0 if scaling.factor is None else self._number(scaling.factor, 1.0)
        offset = 0.0 if scaling.offset is None else self._number(scaling.offset, 0.0)
        return factor, offset

    def _number(self, name: str, otherwise: float) -> float:
        try:
            number: int | float = read_whole(self.field(name))
            if not isinstance(number, int | float):
                raise TypeError(f"it is {number!r} and no real number")
            return number
        except SystemFaultError:
            raise
        except AnyHdf5Error as error:
            message = f"can't be read ({error}); nothing is scaled by it"
            self.group.diagnostics.add(Code.SCALING_UNREADABLE, self.group.member_path(name), message)
            return otherwise

    def bounds_of(self, source: DerivedArray) -> DerivedArray:
        """The bounds of the bins whose centres these are."""
        return DerivedArray(source.source, bounds_of, (*source.shape, 2), source.source.dtype)

    def attributes(self, variable: Variable) -> dict[str, Any]:
        """The attributes of a field as its variable has them; a signal has its group's interpretation."""
        field, group = self.content.fields[variable.field].attributes, self.content.attributes
        attributes = without_marks(with_units(field), self.field(variable.field).raw_dtype)
        if variable.role is Role.SIGNAL and fits_dims(group, len(variable.dims)):
            return {**attributes, **interpretation_of(attributes, group)}
        return attributes


def storage_of(dataset: Dataset, raw: LazyArray) -> Storage | SourceStorage:
    """How the values are stored in their file: of a virtual dataset and of segments, how its sources are."""
    file = raw.file
    if raw.layout is not None:
        return source_storage(raw.layout, file)
    raw.report_missing(dataset)
    if not dataset.is_virtual:
        return dataset.storage
    is_known = dataset.shape == dataset.extent
    mappings = read_mappings(dataset.virtual_mappings, dataset.extent) if is_known else None
    if mappings is None:
        return dataset.storage
    return source_storage(VirtualLayout(dataset.shape, dataset.raw_dtype, np.zeros(()), mappings), file)
