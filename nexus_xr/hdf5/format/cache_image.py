"""Metadata in an image of libhdf5's cache, which counts in place of what is at its addresses.

A file has one where its writer asked for it (``H5Pset_mdc_image_config``), so that whoever opens it next needn't look
for its metadata. The specification says no more than that there is a message of this kind: both are read here as
libhdf5 writes them since 1.10.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from itertools import pairwise

from nexus_xr.hdf5.io.source import Extents, Source

from .checksum import checked
from .faults import FormatError
from .fields import Fields
from .file_bytes import FileBytes
from .messages.message_types import MessageType
from .object_header import first_of, read_object_header
from .superblock import Superblock

_WHAT = "the image of libhdf5's cache"


class CacheImageError(FormatError):
    """The image of libhdf5's cache is damaged."""


def file_bytes(source: Source, superblock: Superblock) -> FileBytes:
    """The bytes of a file by the addresses that are in it.

    Parameters
    ----------
    source
        All its bytes.
    superblock
        What is said about the whole file.

    Raises
    ------
    FormatError
        The superblock's extension is damaged.
    CacheImageError
        The image is.
    """
    file = _by_address(source, superblock)
    if superblock.extension is None:
        return file
    message = first_of(read_object_header(file, superblock.extension), MessageType.CACHE_IMAGE)
    if message is None:
        return file
    try:
        return _by_address(_ImagedSource(source, _entries(file, message)), superblock)
    except FormatError as error:
        raise CacheImageError(str(error)) from error


def _by_address(source: Source, superblock: Superblock) -> FileBytes:
    return FileBytes(source, superblock.base, superblock.offset_size, superblock.length_size)


def _entries(file: FileBytes, message: bytes) -> dict[int, bytes]:
    """Offset in the file -> what is there, in their order."""
    fields = Fields(message, _WHAT)
    fields.expect(bytes(1))
    address, size = fields.number(file.offset_size), fields.number(file.length_size)
    if address == file.undefined:
        return {}
    image = Fields(checked(file.read(address, size), _WHAT), _WHAT)
    image.expect(b"MDCI\0")
    image.take(1 + file.length_size)  # flags, and the size once more
    count = image.number(4)
    entries = dict(sorted(_entry(image, file) for _ in range(count)))
    if len(entries) < count or any(begin + len(entries[begin]) > end for begin, end in pairwise(entries)):
        raise FormatError(f"{_WHAT} has entries that lie over one another")
    return entries


def _entry(image: Fields, file: FileBytes) -> tuple[int, bytes]:
    """Where the next entry belongs, and what it is."""
    image.take(1 + 1 + 1 + 1 + 2 + 2)  # its type, flags, ring, age, and how many depend on it
    parents = image.number(2)
    image.take(4)  # its rank among those that were used last
    address, size = image.number(file.offset_size), image.number(file.length_size)
    image.take(parents * file.offset_size)
    return file.base + address, image.take(size)


class _ImagedSource:
    """The bytes of a file, with those of entries in their places."""

    def __init__(self, source: Source, entries: dict[int, bytes]) -> None:
        self._source = source
        self._entries = entries
        self._begins = list(entries)

    @property
    def size(self) -> int:
        return self._source.size

    @property
    def key(self) -> Hashable:
        return self._source.key

    @property
    def plans_ahead(self) -> bool:
        return self._source.plans_ahead

    @contextmanager
    def expecting(self, extents: Callable[[], Extents]) -> Iterator[Source]:
        with self._source.expecting(extents) as source:
            yield _ImagedSource(source, self._entries)

    def read_into(self, view: memoryview, offset: int) -> int:
        count = self._source.read_into(view, offset)
        for number in range(max(0, bisect_right(self._begins, offset) - 1), len(self._begins)):
            begin = self._begins[number]
            if begin >= offset + count:
                break
            entry = self._entries[begin][max(0, offset - begin) : offset + count - begin]
            at = max(0, begin - offset)
            view[at : at + len(entry)] = entry
        return count
