"""What fixed and extensible arrays of chunks have in common: parts with a checksum, most of which hold elements.

Source: the HDF5 file format specification, sections VII.C (fixed array index) and VII.D (extensible array index).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nexus_xr.hdf5.format.checksum import CHECKSUM_BYTES, checked
from nexus_xr.hdf5.format.faults import FormatError
from nexus_xr.hdf5.format.file_bytes import FileBytes

from .chunk_records import ChunkAddresses, parse_locations

# More elements than any file has room for, and no more than NumPy counts.
MOST_ELEMENTS = 1 << 62


class Elements(NamedTuple):
    """Some elements of an array that are of stored chunks: their numbers, and where the chunks are."""

    numbers: NDArray[np.int64]
    locations: ChunkAddresses


class Array(NamedTuple):
    """An array, of which all parts tell whose they are.

    Parameters
    ----------
    file
        The bytes of the file.
    header
        Address of the array's header.
    is_filtered
        Whether the chunks went through filters, so that elements tell their sizes.
    stop
        Which of its elements are wanted: those before.
    """

    file: FileBytes
    header: int
    is_filtered: bool
    stop: int

    def prefix(self, signature: bytes) -> bytes:
        """What the header begins with."""
        return signature + bytes((0, self.is_filtered))

    def block_prefix(self, signature: bytes) -> bytes:
        """What any other part with a signature begins with."""
        return self.prefix(signature) + self.header.to_bytes(self.file.offset_size, "little")

    def wants(self, number: int) -> bool:
        """Whether some of the elements from a number on are wanted."""
        return number < self.stop

    def is_address(self, address: int) -> bool:
        """Whether there is anything: what was never needed has no address."""
        return address != self.file.undefined


class ElementRun(NamedTuple):
    """Elements that follow each other, from a number on."""

    number: int
    content: bytes


class ArrayPart(NamedTuple):
    """A part that ends with a checksum.

    Parameters
    ----------
    address
        Where it is.
    prefix
        What it begins with.
    size
        Bytes between this and the checksum.
    number, length
        The first of the elements at its end, and how many there are.
    """

    address: int
    prefix: bytes
    size: int
    number: int = 0
    length: int = 0

    @property
    def nbytes(self) -> int:
        return len(self.prefix) + self.size + CHECKSUM_BYTES


def read_parts(file: FileBytes, parts: Sequence[ArrayPart]) -> Iterator[bytes]:
    """What is in each part between its prefix and its checksum."""
    sizes = [part.nbytes for part in parts]
    if sum(sizes) > file.size:
        raise FormatError("the array has more parts than the file has room for")
    contents = file.read_each([part.address for part in parts], sizes)
    for part, size, content in zip(parts, sizes, contents, strict=True):
        body = checked(content, f"the part of the array at address {part.address}")
        if len(content) != size or not body.startswith(part.prefix):
            raise FormatError(f"what is at address {part.address} is another part of the array, or of another one")
        yield body[len(part.prefix) :]


def read_part(file: FileBytes, part: ArrayPart) -> bytes:
    """What is in a part between its prefix and its checksum."""
    (content,) = read_parts(file, [part])
    return content


class Pages(NamedTuple):
    """Elements in pages that each have a checksum.

    Parameters
    ----------
    address
        Where the first page is.
    number, length
        The first of the elements in them, and how many there are.
    page
        Elements of a page, the last of which may have fewer.
    """

    address: int
    number: int
    length: int
    page: int

    def parts(self, array: Array, width: int, written: NDArray[np.bool_]) -> Iterator[ArrayPart]:
        """The pages that were written and are wanted, with elements of so many bytes."""
        for at in np.flatnonzero(written).tolist():
            number, length = self.number + at * self.page, min(self.page, self.length - at * self.page)
            if array.wants(number):
                address = self.address + at * (self.page * width + CHECKSUM_BYTES)
                yield ArrayPart(address, b"", length * width, number, length)


def flags(content: bytes) -> NDArray[np.bool_]:
    """The bits of some bytes, the highest of each first."""
    return np.unpackbits(np.frombuffer(content, np.uint8)).astype(bool)


def read_runs(array: Array, width: int, parts: Sequence[ArrayPart]) -> Iterator[ElementRun]:
    """The elements at the ends of parts, of so many bytes each."""
    for part, content in zip(parts, read_parts(array.file, parts), strict=True):
        yield ElementRun(part.number, content[len(content) - part.length * width :])


def elements(array: Array, width: int, runs: Iterable[ElementRun]) -> Elements:
    """Those that are of stored chunks, and are wanted.

    Parameters
    ----------
    array
        The array.
    width
        Bytes of an element.
    runs
        Elements that are wanted, and others.
    """
    read = list(runs)
    rows = np.frombuffer(b"".join(run.content for run in read), np.uint8).reshape(-1, width)
    counted = (np.arange(run.number, run.number + len(run.content) // width) for run in read)
    numbers = np.concatenate([np.zeros(0, np.int64), *counted])
    locations = parse_locations(rows, array.file.offset_size, array.is_filtered)
    is_stored = locations.addresses.view(np.uint64) != array.file.undefined
    kept = is_stored & (numbers < array.stop)
    return Elements(numbers[kept], locations.of(kept))
