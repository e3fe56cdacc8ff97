"""What is known of one of HDF5's filters, and what its module is made of.

A decoder takes one chunk's bytes at an address and puts the decoded bytes at another; it is safe: whatever the bytes,
it reads and writes nothing beyond what it was given. An encoder takes the bytes of one chunk and gives what the filter
makes of them, or None where that would be no smaller and the chunk is stored without the filter.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from h5py import h5p

# Client data values of a filter, as they stand in the file.
Options = tuple[int, ...]
Bytes = NDArray[np.uint8]

# Source, its size, target, its capacity -> where the result is, its size.
Decode = Callable[[int, int, int, int], tuple[int, int]]
# Source, its size, target, its capacity, first byte that is wanted, the one behind the last -> size of the whole.
# At least these bytes are decoded, each to its place behind the target, as if the whole had been.
DecodePart = Callable[[int, int, int, int, int, int], int]
Encode = Callable[[Bytes], Bytes | None]
WhyUnfit = Callable[[Sequence[int], np.dtype[Any]], str | None]
# Library and name of a function in it.
LibraryFunction = tuple[str, str]

BYTE = np.dtype(np.uint8)
# What is said of more bytes than an argument of a library's function holds: ctypes leaves its highest bits off.
TOO_LARGE = "it, or a block of it, is larger than its filter's library takes"


class DecodeError(ValueError):
    """The bytes of a chunk are not what its filter makes."""


class EncodeError(ValueError):
    """A filter gave no result for a chunk."""


def largest_encoded(size: int) -> int:
    """Bytes that an encoder may make of that many, at most: what doesn't compress grows a little."""
    return size + size // 2 + (1 << 16)


@dataclass(frozen=True)
class Codec:
    """One of HDF5's filters.

    Where a function is made, it is given the options of the filter in the file and the bytes of a decoded chunk, and
    gives None where a library is missing.

    Parameters
    ----------
    number
        As it is registered with The HDF Group.
    name
        As it is named in a file.
    plugin
        Its class in `hdf5plugin`; None for those that come with HDF5 and h5py.
    is_lossless
        Whether it gives back the values that it was given, whatever they are.
    helped_by_shuffle
        Whether it makes less of bytes that were shuffled before.
    own_options
        How many options it puts before those that it was given.
    decode, decode_part, encode
        Make its decoder, the decoder of a part of a chunk, its encoder.
    encode_shuffled
        Makes its encoder for bytes that were shuffled, where that is another one.
    most_encoded
        How many bytes it makes of so many at most.
    batch
        The functions that the compiled module undoes it with, in the order in which that takes them; none where it
        can't with these options.
    width_at
        Which of its options tells that module how many bytes an element has.
    ask
        Has a new dataset use it; None where it is asked for by its number, as plugins are.
    why_unfit
        Says why it doesn't encode chunks of a shape and a type; gives None where it does.
    """

    number: int
    name: str
    plugin: str | None = None
    is_lossless: bool = True
    helped_by_shuffle: bool = False
    own_options: int = 0
    decode: Callable[[Options, int], Decode | None] | None = None
    decode_part: Callable[[Options, int], DecodePart | None] | None = None
    encode: Callable[[Options, int], Encode | None] | None = None
    encode_shuffled: Callable[[Options, int], Encode | None] | None = None
    most_encoded: Callable[[int], int] = largest_encoded
    batch: Callable[[Options], Sequence[LibraryFunction]] = lambda options: ()
    width_at: int = 0
    ask: Callable[[h5p.PropDCID, Options], Any] | None = None
    why_unfit: WhyUnfit = lambda chunks, dtype: None


def whole(decode_part: DecodePart | None) -> Decode | None:
    """A decoder of whole chunks, of one of parts."""
    if decode_part is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        return target, decode_part(source, size, target, capacity, 0, capacity)

    return decode


def check_room(size: int, capacity: int) -> None:
    """Refuse what is larger than a chunk can be."""
    if size > capacity:
        raise DecodeError(f"it has {size} bytes where {capacity} are expected")


def bytes_at(address: int, size: int) -> bytes:
    """A copy of the bytes at an address."""
    return ctypes.string_at(address, size)


def address_of(array: NDArray[Any]) -> int:
    """Where the values of an array are in memory."""
    return int(array.__array_interface__["data"][0])
