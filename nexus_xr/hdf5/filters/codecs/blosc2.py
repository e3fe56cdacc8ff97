"""Blosc2, by the library in hdf5plugin: a frame whose values are an array of several dimensions in blocks, or plain."""

from __future__ import annotations

import ctypes
import math
from ctypes import c_int
from typing import Any, NamedTuple

from nexus_xr.hdf5.filters.codec import Codec, Decode, DecodeError, DecodePart, Options, bytes_at, whole
from nexus_xr.hdf5.filters.plugin import plugin_encoder
from nexus_xr.hdf5.runtime.libraries import Address, Signature, function

_MOST_HEADER_BYTES = 1024


def _decoder(options: Options, chunk_bytes: int) -> Decode | None:
    return whole(_part_decoder(options, chunk_bytes))


def _part_decoder(options: Options, chunk_bytes: int) -> DecodePart | None:
    # A chunk is a frame of its own, whose values are an array of several dimensions in blocks, or plain.
    def of(name: str, result: Any, *arguments: Any) -> Any:
        return function("blosc2", name, Signature(result, arguments), chunk_bytes)

    open_frame = of("blosc2_schunk_from_buffer", Address, Address, ctypes.c_int64, ctypes.c_bool)
    free_frame = of("blosc2_schunk_free", c_int, Address)
    copy_plain = of("blosc2_schunk_decompress_chunk", c_int, Address, ctypes.c_int64, Address, c_int)
    as_array = of("b2nd_from_schunk", c_int, Address, Address)
    free_array = of("b2nd_free", c_int, Address)
    copy_array = of("b2nd_to_cbuffer", c_int, Address, Address, ctypes.c_int64)
    copy_box = of("b2nd_get_slice_cbuffer", c_int, *(Address,) * 5, ctypes.c_int64)
    begin_use = function("blosc2", "blosc2_init", Signature(None, ()), 0)
    is_wide = len(options) > 2 and options[2] > 255  # of such elements frames know no size
    of_arrays = (as_array, free_array, copy_array, copy_box)
    if is_wide or None in (open_frame, free_frame, copy_plain, begin_use, *of_arrays):
        return None
    begin_use()  # type: ignore[misc]

    def decode(source: int, size: int, target: int, capacity: int, begin: int, end: int) -> int:
        content = _array_in(bytes_at(source, min(size, _MOST_HEADER_BYTES)), capacity)
        frame = open_frame(source, size, False)
        if not frame:
            raise DecodeError("it is no valid Blosc2 frame")
        array = ctypes.c_void_p()
        if isinstance(content, int):
            # All of it: the library's function for a part takes damaged ones for whole, or crashes.
            produced = copy_plain(frame, 0, target, min(capacity, 0x7FFFFFFF))
            free_frame(frame)
            if 0 <= produced != content:
                raise DecodeError(f"its Blosc2 frame has {produced} of {content} bytes")
        elif as_array(frame, ctypes.addressof(array)) < 0:
            free_frame(frame)
            raise DecodeError("it is no valid array of Blosc2")
        else:
            if end - begin == capacity or not content.gives_parts:
                produced = copy_array(array, target, capacity) or capacity
            else:
                box = content.box(begin, end)
                address = target + box.begin
                produced = copy_box(array, box.start, box.stop, address, box.shape, box.nbytes) or capacity
            free_array(array)
        if produced < 0:
            raise DecodeError(f"Blosc2 gives status {produced}")
        return int(produced)

    return decode


class _Box(NamedTuple):
    """A part of an array that lies together in memory, as Blosc2 is asked for it.

    Parameters
    ----------
    start, stop, shape
        Its first positions, those behind its last, and its shape.
    begin, nbytes
        Where in the array's bytes it begins, and how many it has.
    """

    start: Any
    stop: Any
    shape: Any
    begin: int
    nbytes: int


class _Array(NamedTuple):
    """The array in a frame of Blosc2.

    Parameters
    ----------
    shape, width
        Its shape, and the bytes of an element.
    gives_parts
        Whether its blocks are as large as those of the frame, so that it is known which values a block has.
    """

    shape: list[int]
    width: int
    gives_parts: bool

    def box(self, begin: int, end: int) -> _Box:
        """The smallest part that lies together and has the bytes from `begin` to `end`."""
        first, last = (_position(byte // self.width, self.shape) for byte in (begin, end - 1))
        split = next((d for d, (low, high) in enumerate(zip(first, last, strict=True)) if low != high), len(first)) + 1
        start = [*first[:split], *(0 for _ in first[split:])]
        stop = [*(at + 1 for at in last[:split]), *self.shape[split:]]
        shape = [high - low for low, high in zip(start, stop, strict=True)]
        number = 0
        for at, length in zip(start, self.shape, strict=True):
            number = number * length + at
        integers = ctypes.c_int64 * len(shape)
        nbytes = math.prod(shape) * self.width
        return _Box(integers(*start), integers(*stop), integers(*shape), number * self.width, nbytes)


def _position(number: int, shape: list[int]) -> list[int]:
    """The position of an element, one a dimension."""
    position: list[int] = []
    for length in reversed(shape):
        number, at = divmod(number, length)
        position.insert(0, at)
    return position


def _array_in(header: bytes, chunk_bytes: int) -> _Array | int:
    """The array in a frame, and only the number of bytes where its values are plain.

    Its description must be that of a chunk: the library may never end with others.

    Source: the description of frames and of the metalayer ``b2nd`` in Blosc2's documentation; numbers are big-endian,
    each behind a byte that tells its type.
    """
    if len(header) < 57 or header[:10] != b"\x9e\xa8b2frame\0":
        raise DecodeError("it is no Blosc2 frame")
    header = header[: int.from_bytes(header[11:15], "big")]
    name = header.find(b"\xa4b2nd\xd2")
    if name < 0:
        size = int.from_bytes(header[30:38], "big")
        if not 0 < size <= chunk_bytes or b"b2nd" in header:
            raise DecodeError("its Blosc2 frame isn't that of a chunk")
        return size
    start = int.from_bytes(header[name + 6 : name + 10], "big") + 5
    rank = header[start + 2] if start + 2 < len(header) else 0
    widths = [8] * rank + [4] * 2 * rank
    numbers, position = [], start + 3
    for count, width in enumerate(widths):
        position += count % rank == 0  # each of the three shapes has its length in front
        numbers.append(int.from_bytes(header[position + 1 : position + 1 + width], "big"))
        position += 1 + width
    itemsize, block_bytes = (int.from_bytes(header[at : at + 4], "big") for at in (48, 53))
    shape, chunk, block = numbers[:rank], numbers[rank : 2 * rank], numbers[2 * rank :]
    fits = all(0 < part <= whole for part, whole in zip(block, shape, strict=True))
    if not rank or position > len(header) or shape != chunk or not fits or math.prod(shape) * itemsize != chunk_bytes:
        raise DecodeError("the array in its Blosc2 frame isn't a chunk")
    return _Array(shape, itemsize, math.prod(block) * itemsize == block_bytes)


BLOSC2 = Codec(
    number=32026,
    name="blosc2",
    plugin="Blosc2",
    decode=_decoder,
    decode_part=_part_decoder,
    encode=plugin_encoder("blosc2"),
)
