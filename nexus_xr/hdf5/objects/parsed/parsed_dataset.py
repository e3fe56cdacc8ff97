"""Datasets that are described from the bytes of their file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.format.attributes import Value
from nexus_xr.hdf5.format.descriptions import DatasetDescription
from nexus_xr.hdf5.format.external_files import ExternalSlot, read_external_files
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.messages.fill_value import FillValue, parse_fill_value
from nexus_xr.hdf5.format.messages.filter_pipeline import NAMES, FilterStep, parse_filter_pipeline
from nexus_xr.hdf5.format.messages.layout import Chunked, Compact, Contiguous, Virtual
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import ObjectHeader, messages_in, read_object_header
from nexus_xr.hdf5.format.virtual.virtual_mappings import DEEPEST, VirtualMapping, read_virtual_mappings
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.objects.storage import Filter, Storage
from nexus_xr.hdf5.objects.stored_values import StoredValues
from nexus_xr.hdf5.objects.text import decode

from .parsed_extents import ExtentError, grown_extent
from .parsed_file import Extent, Place
from .parsed_object import ParsedObject, leave
from .parsed_values import fill_bytes, own_fill, presented, stored_bytes

if TYPE_CHECKING:
    from h5py import h5d

_LAYOUTS = {Compact: "compact", Contiguous: "contiguous", Chunked: "chunked", Virtual: "virtual"}


class ParsedDataset(ParsedObject, Dataset):
    """A dataset that is described from the bytes of its file.

    Raises
    ------
    FormatError
        What is said about it is damaged.
    UnsupportedError
        Only libhdf5 knows what it is.
    """

    __slots__ = ("_description", "_layout", "_mappings", "_place", "_type")

    def __init__(self, place: Place, description: DatasetDescription, path: str, diagnostics: Diagnostics) -> None:
        self._place = place
        self._description = description
        self._type, self._layout = description.type, description.layout
        if description.has_raw_files:
            place.file.file.note_raw_files()
        self._mappings = self._read_mappings(self._layout) if isinstance(self._layout, Virtual) else ()
        elements, space, shape, _, _, _ = self._type
        super().__init__(path, diagnostics, space.shape, shape, elements.element)

    @property
    def _header(self) -> ObjectHeader:
        header = self._description.header
        return messages_in(header) if isinstance(header, bytes) else header

    def _usual_attributes(self) -> dict[str, Value] | None:
        known = self._description.attributes
        return super()._usual_attributes() if known is None else known

    def _said(self, kind: int) -> bytes | None:
        return self._place.file.said(self._header, kind)

    def _read_mappings(self, layout: Virtual) -> tuple[VirtualMapping, ...]:
        found = read_virtual_mappings(layout, self._place.file.heap, len(self._type.dataspace.shape or ()))
        if any(mapping.target.is_endless for mapping in found):
            file = self._place.file.file
            if file.is_local and file.policy.reach.is_everywhere:
                raise UnsupportedError("a virtual dataset whose shape is that of others")
            # Of which libhdf5 would look at any, wherever they are, or take each for the file at hand.
            self._type = self._type.of_extent(self._grown(found, self._type.dataspace.shape or ()))
        return found

    def _grown(self, mappings: Sequence[VirtualMapping], stored: Extent) -> Extent:
        linked = self._place.file.linked
        if self.address in linked.asked:
            raise FormatError("it is a virtual dataset that is made of itself")
        if len(linked.asked) == DEEPEST:
            raise FormatError(f"it is made of virtual datasets which are made of others, more than {DEEPEST} times")
        if self.address not in linked.extents:
            linked.asked.append(self.address)
            try:
                linked.extents[self.address] = grown_extent(self._place, mappings, stored, _extent_at)
            finally:
                linked.asked.pop()
        return linked.extents[self.address]

    @property
    def address(self) -> Address:
        return self._place.file.number, self._place.address

    @property
    def encoded_type(self) -> bytes:
        return self._place.file.required(self._header, MessageType.DATATYPE)

    @property
    def is_being_written(self) -> bool:
        return self._place.file.is_growing

    @property
    def can_grow(self) -> tuple[bool, ...]:
        return (
            *(end is None for end in self._type.dataspace.maximum),
            *(False for _ in self._type.datatype.inner_shape),
        )

    @property
    def is_virtual(self) -> bool:
        return isinstance(self._layout, Virtual)

    @property
    def virtual_mappings(self) -> tuple[VirtualMapping, ...]:
        return self._mappings

    @property
    def has_raw_files(self) -> bool:
        return self._description.has_raw_files

    @property
    def origin(self) -> tuple[str, str]:
        return self._place.file.file.path, decode(self._place.path)

    def _read_storage(self) -> Storage:
        chunks = None
        if isinstance(self._layout, Chunked):
            own = self._layout.shape_for(len(self.extent))
            chunks = (*own, *self.shape[len(own) :])
        return Storage(_LAYOUTS[type(self._layout)], chunks, self._filters())

    def _filters(self) -> tuple[Filter, ...]:
        pipeline = self._said(MessageType.FILTER_PIPELINE)
        steps = () if pipeline is None else parse_filter_pipeline(pipeline)
        return tuple(map(_filter, steps))

    @property
    def reads_itself(self) -> bool:
        return not (self.has_raw_files or isinstance(self._layout, Chunked))

    @property
    def stored(self) -> StoredValues:
        file = self._place.file
        return StoredValues(
            file.bytes_now,
            file.file.path if file.file.is_local else None,
            self._type.dataspace,
            self._type.datatype.dtype,
            self._type.datatype,
            self._layout,
            own_fill(self._fill(), self._type.datatype, is_virtual=self.is_virtual),
            self._filters(),
            self._external(),
            self._mappings,
            file.file.policy.reach,
        )

    def _external(self) -> tuple[ExternalSlot, ...]:
        slots = self._said(MessageType.EXTERNAL_FILES)
        if slots is None:
            return ()
        if not self._place.file.file.is_local:
            raise UnsupportedError("values in files beside one that isn't local")
        return read_external_files(self._place.file.bytes, slots)

    @contextmanager
    def opened(self) -> Iterator[h5d.DatasetID]:
        with self._as_libhdf5_has_it("what only libhdf5 knows").opened() as opened:
            yield opened

    def _as_libhdf5_has_it(self, reason: str) -> Dataset:
        left = leave(self._place, self, reason)
        if not isinstance(left, Dataset):
            raise FormatError("libhdf5 can't open it")
        return left

    def read(self) -> Any:
        try:
            return presented(self._type, b"" if self.is_null else self._stored(), self._place.file)
        except UnsupportedError as reason:
            return self._as_libhdf5_has_it(str(reason)).read()

    def _stored(self) -> bytes:
        """The bytes of all elements."""
        known = self._description.data
        if known is not None:
            return known
        if self.has_raw_files:
            raise UnsupportedError("values in files of their own")
        stored = stored_bytes(self._layout, self._type.size, self._place.file)
        return fill_bytes(self._fill(), self._type) if stored is None else stored

    def _fill(self) -> FillValue | None:
        for kind in (MessageType.FILL_VALUE, MessageType.OLD_FILL_VALUE):
            message = self._said(kind)
            if message is not None:
                return parse_fill_value(kind, message)
        return None


def _extent_at(place: Place) -> Extent:
    """The extent of the dataset at a place; raises where that isn't known, or there is none."""
    file = place.file

    def read() -> Extent:
        usual = file.usual_dataset(place.address)
        found = file.dataset(read_object_header(file.bytes, place.address)) if usual is None else usual
        return ParsedDataset(place, found, decode(place.path), Diagnostics()).extent

    try:
        return read()
    except ExtentError:  # for which its own sources were waited for; each level doing so would take twice as long
        raise
    except FormatError as error:
        return file.again(read, error)


def _filter(step: FilterStep) -> Filter:
    return Filter(step.id, decode(step.name) or NAMES.get(step.id, ""), step.options)
