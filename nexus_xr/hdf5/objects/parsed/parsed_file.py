"""What all objects of a file have in common that are described from its bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from nexus_xr.diagnostics import Diagnostics
from nexus_xr.hdf5.format.array_type import parse_array_type
from nexus_xr.hdf5.format.cache_image import file_bytes
from nexus_xr.hdf5.format.consistency import MOST_SECONDS, consistent
from nexus_xr.hdf5.format.descriptions import (
    DatasetDescription,
    GroupDescription,
    SingleValue,
    single_values,
    usual_dataset,
    usual_group,
)
from nexus_xr.hdf5.format.faults import FormatError, UnsupportedError
from nexus_xr.hdf5.format.file_bytes import FileBytes
from nexus_xr.hdf5.format.groups.links import Links, read_links
from nexus_xr.hdf5.format.heaps.global_heap import GlobalHeap
from nexus_xr.hdf5.format.messages.layout import parse_layout
from nexus_xr.hdf5.format.messages.message_types import MessageType
from nexus_xr.hdf5.format.object_header import ObjectHeader, read_object_header
from nexus_xr.hdf5.format.shared_messages import SHARED, committed_at, read_shared_table, resolve
from nexus_xr.hdf5.format.superblock import Superblock, read_superblock
from nexus_xr.hdf5.io.file import File
from nexus_xr.hdf5.io.source import Source
from nexus_xr.hdf5.io.unreadable import being_written
from nexus_xr.hdf5.objects.dataset import Dataset
from nexus_xr.hdf5.objects.group import Budget, Group
from nexus_xr.hdf5.objects.node import Address
from nexus_xr.hdf5.objects.object_paths import ObjectPaths

_T = TypeVar("_T")
# What each dataset says.
_OF_DATASETS = (MessageType.DATATYPE, MessageType.DATASPACE, MessageType.LAYOUT)
# Links of the groups that were asked for last; of some of them however many they are, as paths go through few groups
# again and again.
_MOST_LINKS_KEPT, _LEAST_GROUPS_KEPT = 1 << 11, 16


class WayOut(Protocol):
    """Who describes what isn't known here."""

    def __call__(self, place: bytes, path: str, diagnostics: Diagnostics, budget: Budget) -> Group | Dataset | None:
        """The object of a path in the file; where it can't be opened, that is reported.

        Parameters
        ----------
        place
            The path as it is stored.
        path
            The path by which it was reached.
        diagnostics
            Is given what can't be read.
        budget
            How many members groups remember.
        """


Extent: TypeAlias = tuple[int, ...]


class Linked(Protocol):
    """The files to which others lead, as long as the first of them is open.

    Attributes
    ----------
    extents
        Of datasets that are as long as others, so that each is found out once.
    asked
        The datasets whose extent is being found out, each of them for that before it.
    """

    extents: dict[Address, Extent]
    asked: list[Address]

    def __call__(self, path: str) -> ParsedFile | None:
        """The file of a path or URL, which stays open; None where only libhdf5 describes it."""

    def for_a_moment(self, path: str) -> AbstractContextManager[ParsedFile]:
        """The file of a path or URL, for the length of a ``with`` block.

        Raises
        ------
        FormatError
            It has no superblock, or a damaged one.
        UnsupportedError
            Only libhdf5 describes a file like this.
        NexusFileError
            It can't be read.
        """


class ParsedFile:
    """A file that is described from its bytes.

    Parameters
    ----------
    file, source
        The file, and its bytes.
    linked
        Gives the files that links lead to.
    way_out
        Describes what isn't known here.

    Attributes
    ----------
    number
        What tells it from other files.
    root
        Where its root group is.
    paths
        Names what references refer to.

    Raises
    ------
    FormatError
        It has no superblock, or a damaged one.
    UnsupportedError
        Only libhdf5 describes a file like this.
    BeingWrittenError
        Nobody may read it meanwhile.
    """

    def __init__(self, file: File, source: Source, linked: Linked, way_out: WayOut) -> None:
        superblock = read_superblock(source)
        if superblock.is_open_for_writing and not superblock.is_swmr:
            raise being_written(file.name)
        self.file = file
        self.number: Hashable = source.key
        self.linked = linked
        self.way_out = way_out
        self.root = superblock.root
        self._source = source
        self._superblock = superblock
        self._read_anew()
        _check_described(self.bytes, superblock)
        self._patience = MOST_SECONDS if self.is_growing else 0.0
        self._links: OrderedDict[int, Links] = OrderedDict()
        self._links_kept = 0

    def _read_anew(self) -> None:
        self.bytes = file_bytes(self._source, self._superblock)
        self.heap = GlobalHeap(self.bytes)
        self.paths = ObjectPaths(self.bytes, self.root)
        self._single_value = single_values(self.bytes, self.heap)
        self.shared = read_shared_table(self.bytes, self._superblock.extension)

    @property
    def bytes_now(self) -> FileBytes:
        """The bytes of the file as they are by now, of which nothing is kept that may change."""
        return file_bytes(self._source, self._superblock) if self.is_growing else self.bytes

    @property
    def is_growing(self) -> bool:
        """Whether another process may add to it meanwhile."""
        return self.file.snapshot is not None

    def again(self, read: Callable[[], _T], error: FormatError) -> _T:
        """What could not be read of it: where another process is writing, in a while, when its parts agree.

        Raises
        ------
        FormatError
            They don't.
        """
        if not self._patience:
            raise error
        begin = time.monotonic()
        try:
            return consistent(lambda: self._read_again(read), self._patience)
        finally:
            self._patience = max(0.0, self._patience - (time.monotonic() - begin))

    def _read_again(self, read: Callable[[], _T]) -> _T:
        self._read_anew()
        return read()

    def said(self, header: ObjectHeader, kind: int) -> bytes | None:
        """What the first message of a kind says, None where there is none."""
        return self.required(header, kind) if kind in header else None

    def required(self, header: ObjectHeader, kind: int) -> bytes:
        """What the first message of a kind says, be it where many say the same.

        Raises
        ------
        FormatError
            There is none.
        """
        [content] = self.each_required(header, (kind,))
        return content

    def each_required(self, header: ObjectHeader, kinds: Iterable[int]) -> list[bytes]:
        """What the first message of each of these kinds says; raises as `required` does."""
        contents = []
        for kind in kinds:
            found = header.get(kind)
            if not found:
                raise FormatError(f"a dataset has no message {kind}")
            flags, content = found[0]
            contents.append(resolve(self.bytes, kind, flags, content, self.shared) if flags & SHARED else content)
        return contents

    def usual_dataset(self, address: int) -> DatasetDescription | None:
        """What is said about the dataset at an address, in one go; None where it, or what is there, isn't as usual."""
        return None if self.is_growing else usual_dataset(self.bytes, address, self.heap)

    def single_value(self, address: int) -> SingleValue | None:
        """The dataset of a single element at an address; None where it, or what is there, isn't known in one go."""
        return None if self.is_growing else self._single_value(address)

    def usual_group(self, address: int) -> GroupDescription | None:
        """What is said about the group at an address, in one go; None where it, or what is there, isn't as usual."""
        found = None if self.is_growing else usual_group(self.bytes, address, self.heap)
        if found is not None:
            self._keep(address, found.links)
        return found

    def dataset(self, header: ObjectHeader) -> DatasetDescription:
        """What a header says about a dataset; raises as `required` does, and where that is damaged."""
        content = self.bytes
        datatype, dataspace, layout = self.each_required(header, _OF_DATASETS)
        array_type = parse_array_type(datatype, dataspace, content.length_size)
        place = parse_layout(layout, content.offset_size, content.length_size)
        return DatasetDescription(array_type, place, header, MessageType.EXTERNAL_FILES in header)

    def named_type(self, header: ObjectHeader) -> int | None:
        """Where the named datatype is that an object is of; None where it is of none."""
        flags, content = header.get(MessageType.DATATYPE, [(0, b"")])[0]
        return committed_at(self.bytes, content) if flags & SHARED else None

    def links(self, address: int, header: ObjectHeader | None = None) -> Links:
        """The links of the group at an address, in h5py's order.

        Parameters
        ----------
        address
            Where the group is.
        header
            What is said about it there, if that is known.
        """
        links = self._links.get(address)
        if links is None:
            links = read_links(self.bytes, read_object_header(self.bytes, address) if header is None else header)
            self._keep(address, links)
        else:
            self._links.move_to_end(address)
        return links

    def _keep(self, address: int, links: Links) -> None:
        if address in self._links:
            return
        self._links[address] = links
        self._links_kept += len(links.by_name)
        while self._links_kept > _MOST_LINKS_KEPT and len(self._links) > _LEAST_GROUPS_KEPT:
            _, oldest = self._links.popitem(last=False)
            self._links_kept -= len(oldest.by_name)


class Place(NamedTuple):
    """Where an object is: in which file, at which address, and a path that leads there."""

    file: ParsedFile
    address: int
    path: bytes

    def child(self, name: bytes, address: int) -> Place:
        """The place of a member."""
        return _as_place((self.file, address, self.path.rstrip(b"/") + b"/" + name))


# A named tuple's own way takes three times as long.
_as_place: Callable[[tuple[ParsedFile, int, bytes]], Place] = partial(tuple.__new__, Place)


def root_place(file: ParsedFile) -> Place:
    """The place of a root group."""
    return Place(file, file.root, b"/")


def _check_described(content: FileBytes, superblock: Superblock) -> None:
    """Leave it to libhdf5 where more is said about the whole file than which messages its objects share."""
    if superblock.driver_info is not None:
        raise UnsupportedError("it is divided by a driver")
    if superblock.extension is not None:
        extension = read_object_header(content, superblock.extension)
        if MessageType.DRIVER_INFO in extension:
            raise UnsupportedError("it is divided by a driver")
