"""Decoders of HDF5's filters, each a small function in one registry.

A decoder takes one chunk's bytes at an address and puts the decoded bytes at another. What is registered here is safe:
whatever the bytes, it reads and writes nothing beyond what it was given. Filters that aren't here are libhdf5's to
decode.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from nexus_xr.hdf5.runtime.libraries import Address, Allocated, Signature, Size, function
from nexus_xr.hdf5.runtime.threads import OfThread


def python_behind_blocks(source: int, size: int, position: int, count: int, /) -> int:
    """Follow so many blocks with their sizes before them; gives where they end, `size` + 1 if that is beyond it."""
    stored_at, raw = struct.Struct(">I").unpack_from, (ctypes.c_char * size).from_address(source)
    try:
        for _ in range(count):
            position += 4 + stored_at(raw, position)[0]
    except struct.error:
        return size + 1
    return min(position, size + 1)


try:
    from ._batch import behind_blocks
except ImportError:  # the extension module is optional
    behind_blocks = python_behind_blocks

# Source, its size, target, its capacity -> where the result is, its size.
Decode = Callable[[int, int, int, int], tuple[int, int]]
# Options of the filter in the file, bytes of a decoded chunk -> its decoder; None where a library is missing.
Make = Callable[[tuple[int, ...], int], Decode | None]
# Source, its size, target, its capacity, first byte that is wanted, the one behind the last -> size of the whole.
# At least these bytes are decoded, each to its place behind the target, as if the whole had been.
DecodePart = Callable[[int, int, int, int, int, int], int]

DEFLATE = 1
SHUFFLE = 2
FLETCHER32 = 3
BZIP2 = 307
LZF = 32000
BLOSC = 32001
LZ4 = 32004
BITSHUFFLE = 32008
ZSTD = 32015
BLOSC2 = 32026

_int = ctypes.c_int
_uint64_be = struct.Struct(">Q").unpack
_uint32_be = struct.Struct(">I").unpack


class DecodeError(ValueError):
    """The bytes of a chunk are not what its filter makes."""


class _Contexts:
    """State of the libraries that no two threads may share, and room for a size that a function gives back."""

    def __init__(self) -> None:
        self.size = Size()
        self.size_at = ctypes.addressof(self.size)
        self.deflate: Allocated | None = None
        self.zstd: Allocated | None = None


_contexts = OfThread(_Contexts)


def _at(address: int, size: int) -> bytes:
    return ctypes.string_at(address, size)


def _deflate(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    call = function(
        "deflate",
        "libdeflate_zlib_decompress",
        Signature(_int, (Address, Address, Size, Address, Size, Address)),
        chunk_bytes,
    )
    allocate = function("deflate", "libdeflate_alloc_decompressor", Signature(Address, ()), 0)
    free = function("deflate", "libdeflate_free_decompressor", Signature(None, (Address,)), 0)
    if call is None or allocate is None or free is None:
        return _zlib
    reasons = {1: "it is no valid zlib stream, or its checksum is wrong", 2: "it ends early", 3: "it is too long"}

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        contexts = _contexts.own
        if contexts.deflate is None:
            contexts.deflate = Allocated(allocate(), free)
        status = call(contexts.deflate.address, source, size, target, capacity, contexts.size_at)
        if status:
            raise DecodeError(reasons.get(status, f"libdeflate gives status {status}"))
        return target, contexts.size.value

    return decode


def _zlib(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
    import zlib

    stream = zlib.decompressobj()
    try:
        decoded = stream.decompress(_at(source, size), capacity + 1)
    except zlib.error as error:
        raise DecodeError(str(error)) from None
    if not stream.eof:
        raise DecodeError("it ends early" if len(decoded) <= capacity else "it is too long")
    ctypes.memmove(target, decoded, len(decoded))
    return target, len(decoded)


def _shuffle(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    width = options[0] if options else 1
    if width <= 1:
        return lambda source, size, target, capacity: (source, size)
    call = function("blosc2", "blosc2_unshuffle", Signature(_int, (_int, _int, Address, Address)), chunk_bytes)
    if call is None or width > 255:
        return _numpy_unshuffle(width)

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        _check_room(size, capacity)
        whole = size - size % width
        call(width, whole, source, target)
        if whole != size:
            ctypes.memmove(target + whole, source + whole, size - whole)
        return target, size

    return decode


def _numpy_unshuffle(width: int) -> Decode:
    import numpy as np

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        _check_room(size, capacity)
        count = size // width
        planes = np.frombuffer(_at(source, size), np.uint8)
        result = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(target))
        result[: count * width].reshape(count, width)[...] = planes[: count * width].reshape(width, count).T
        result[count * width :] = planes[count * width :]
        return target, size

    return decode


def _check_room(size: int, capacity: int) -> None:
    if size > capacity:
        raise DecodeError(f"it has {size} bytes where {capacity} are expected")


def _fletcher32(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    checksum = function("h5py", "H5_checksum_fletcher32", Signature(ctypes.c_uint32, (Address, Size)), chunk_bytes)
    if checksum is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        if size < 5:
            raise DecodeError("it is too short to have a checksum")
        stored = int.from_bytes(_at(source + size - 4, 4), "little")
        found = checksum(source, size - 4)
        # As old versions of HDF5 stored it: with the bytes of each half swapped.
        swapped = (found & 0x00FF00FF) << 8 | (found & 0xFF00FF00) >> 8
        if stored not in (found, swapped):
            raise DecodeError(f"its checksum (Fletcher32) is {found:#010x}, and {stored:#010x} is stored")
        return source, size - 4

    return decode


def _bzip2(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    call = function(
        "bzip2",
        "BZ2_bzBuffToBuffDecompress",
        Signature(_int, (Address, Address, Address, ctypes.c_uint, _int, _int)),
        chunk_bytes,
    )
    if call is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        produced = ctypes.c_uint(min(capacity, 0xFFFFFFFF))
        status = call(target, ctypes.addressof(produced), source, size, 0, 0)
        if status:
            raise DecodeError(f"bzip2 gives status {status}")
        return target, produced.value

    return decode


def _lzf(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    call = function(
        "h5py",
        "lzf_decompress",
        Signature(ctypes.c_uint, (Address, ctypes.c_uint, Address, ctypes.c_uint)),
        chunk_bytes,
    )
    if call is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        produced = call(source, size, target, capacity)
        if not produced:
            raise DecodeError("it is no valid LZF data, or too long")
        return target, produced

    return decode


def _lz4(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    # Layout: the filter's own, a header of 12 bytes and then blocks with their size before each.
    call = function("lz4", "LZ4_decompress_safe", Signature(_int, (Address, Address, _int, _int)), chunk_bytes)
    if call is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        total, block = _header(source, size)
        _check_room(total, capacity)
        position, made = 12, 0
        while made < total:
            length = min(block, total - made)
            stored = _block_size(source, size, position)
            position += 4
            if stored == length:
                ctypes.memmove(target + made, source + position, length)
            elif call(source + position, target + made, stored, length) != length:
                raise DecodeError("it is no valid LZ4 data")
            position += stored
            made += length
        return target, total

    return decode


def _header(source: int, size: int) -> tuple[int, int]:
    """Bytes of the whole and of a block, with which LZ4's and bitshuffle's chunks begin."""
    if size < 12:
        raise DecodeError("it is too short to have a header")
    (total,) = _uint64_be(_at(source, 8))
    (block,) = _uint32_be(_at(source + 8, 4))
    if not block:
        raise DecodeError("its header says that blocks are empty")
    return total, block


def _block_size(source: int, size: int, position: int) -> int:
    """Stored bytes of the block that begins at a position, all of them within the chunk."""
    stored = _uint32_be(_at(source + position, 4))[0] if position + 4 <= size else size
    if position + 4 + stored > size:
        raise DecodeError(f"a block at byte {position} goes beyond its end")
    return stored


def _zstd(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    call = function(
        "zstd", "ZSTD_decompressDCtx", Signature(Size, (Address, Address, Size, Address, Size)), chunk_bytes
    )
    allocate = function("zstd", "ZSTD_createDCtx", Signature(Address, ()), 0)
    free = function("zstd", "ZSTD_freeDCtx", Signature(Size, (Address,)), 0)
    failed = function("zstd", "ZSTD_isError", Signature(ctypes.c_uint, (Size,)), 0)
    reason = function("zstd", "ZSTD_getErrorName", Signature(ctypes.c_char_p, (Size,)), 0)
    if call is None or allocate is None or free is None or failed is None or reason is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        contexts = _contexts.own
        if contexts.zstd is None:
            contexts.zstd = Allocated(allocate(), free)
        produced = call(contexts.zstd.address, target, capacity, source, size)
        if failed(produced):
            raise DecodeError(f"Zstandard: {reason(produced).decode()}")
        return target, produced

    return decode


# Bitshuffle's own numbers for what it compresses with, and the functions that take it apart.
_BITSHUFFLE_FUNCTIONS = {2: "bshuf_decompress_lz4", 3: "bshuf_decompress_zstd"}
_BITSHUFFLE_SIGNATURE = Signature(ctypes.c_int64, (Address, Address, Size, Size, Size))


def _of_all(decode_part: DecodePart | None) -> Decode | None:
    """A decoder of whole chunks, of one of parts."""
    if decode_part is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        return target, decode_part(source, size, target, capacity, 0, capacity)

    return decode


def _bitshuffle(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    width = options[2] if len(options) > 2 else 0
    own_block = options[3] if len(options) > 3 else 0
    if len(options) > 4 and options[4]:
        return _of_all(_bitshuffle_part(options, chunk_bytes))
    call = function("bshuf", "bshuf_bitunshuffle", _BITSHUFFLE_SIGNATURE, chunk_bytes)
    if call is None or not width:
        return None

    def decode(source: int, size: int, target: int, capacity: int) -> tuple[int, int]:
        _check_room(size, capacity)
        if size % width:
            raise DecodeError(f"it has {size} bytes, which are no whole elements of {width}")
        _check(call(source, target, size // width, width, own_block))
        return target, size

    return decode


def _bitshuffle_part(options: tuple[int, ...], chunk_bytes: int) -> DecodePart | None:
    width = options[2] if len(options) > 2 else 0
    name = _BITSHUFFLE_FUNCTIONS.get(options[4] if len(options) > 4 else 0)
    call = name and function("bshuf", name, _BITSHUFFLE_SIGNATURE, chunk_bytes)
    if not call or not width:
        return None

    def decode(source: int, size: int, target: int, capacity: int, begin: int, end: int) -> int:
        total, block_bytes = _header(source, size)
        _check_room(total, capacity)
        block = block_bytes // width
        if total % width or not block or block % 8:
            raise DecodeError(f"its header says {total} bytes in blocks of {block_bytes} for elements of {width}")
        step = block * width
        first = min(begin, total) // step
        begin, end = first * step, min(-(-end // step) * step, total)
        start = behind_blocks(source, size, 12, first)
        # To the last block, also where less is wanted: the library trusts their sizes, and so does who reads a part.
        whole, rest = divmod(total, step)
        in_eights = rest // (8 * width)
        behind = behind_blocks(source, size, start, whole - first + (in_eights > 0))
        if behind + rest - in_eights * 8 * width > size:
            raise DecodeError("one of its blocks goes beyond its end")
        _check(call(source + start, target + begin, (end - begin) // width, width, block))
        return total

    return decode


def _check(status: int) -> None:
    if status < 0:
        raise DecodeError(f"bitshuffle gives status {status}")


def _blosc(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    return _of_all(_blosc_part(options, chunk_bytes))


def _blosc_part(options: tuple[int, ...], chunk_bytes: int) -> DecodePart | None:
    validate = function("blosc", "blosc_cbuffer_validate", Signature(_int, (Address, Size, Address)), 0)
    call = function("blosc", "blosc_decompress_ctx", Signature(_int, (Address, Address, Size, _int)), chunk_bytes)
    call_part = function("blosc", "blosc_getitem", Signature(_int, (Address, _int, _int, Address)), chunk_bytes)
    if validate is None or call is None or call_part is None:
        return None

    def decode(source: int, size: int, target: int, capacity: int, begin: int, end: int) -> int:
        contexts = _contexts.own
        if size < 16 or validate(source, size, contexts.size_at) < 0:
            raise DecodeError("it has no valid Blosc header")
        total = contexts.size.value
        _check_room(total, capacity)
        width = _at(source + 3, 1)[0]  # of an element, by the header
        first, count = (begin // width, -(-end // width) - begin // width) if width else (0, 0)
        is_part = 0 < count * width < total and (first + count) * width <= total
        if is_part:
            produced = call_part(source, first, count, target + first * width)
        else:
            produced = call(source, target, capacity, 1)
        if produced != (count * width if is_part else total):
            raise DecodeError(f"Blosc gives status {produced}")
        return int(total)

    return decode


def _blosc2(options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    return _of_all(_blosc2_part(options, chunk_bytes))


def _blosc2_part(options: tuple[int, ...], chunk_bytes: int) -> DecodePart | None:
    # A chunk is a frame of its own, whose values are an array of several dimensions in blocks, or plain.
    def of(name: str, result: Any, *arguments: Any) -> Any:
        return function("blosc2", name, Signature(result, arguments), chunk_bytes)

    open_frame = of("blosc2_schunk_from_buffer", Address, Address, ctypes.c_int64, ctypes.c_bool)
    free_frame = of("blosc2_schunk_free", _int, Address)
    copy_plain = of("blosc2_schunk_decompress_chunk", _int, Address, ctypes.c_int64, Address, ctypes.c_int32)
    as_array = of("b2nd_from_schunk", _int, Address, Address)
    free_array = of("b2nd_free", _int, Address)
    copy_array = of("b2nd_to_cbuffer", _int, Address, Address, ctypes.c_int64)
    copy_box = of("b2nd_get_slice_cbuffer", _int, *(Address,) * 5, ctypes.c_int64)
    begin_use = function("blosc2", "blosc2_init", Signature(None, ()), 0)
    is_wide = len(options) > 2 and options[2] > 255  # of such elements frames know no size
    of_arrays = (as_array, free_array, copy_array, copy_box)
    if is_wide or None in (open_frame, free_frame, copy_plain, begin_use, *of_arrays):
        return None
    begin_use()  # type: ignore[misc]

    def decode(source: int, size: int, target: int, capacity: int, begin: int, end: int) -> int:
        content = _blosc2_array(_at(source, min(size, _MOST_BLOSC2_HEADER)), capacity)
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


class _Blosc2Array(NamedTuple):
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
        first, last = (_place(byte // self.width, self.shape) for byte in (begin, end - 1))
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


def _place(number: int, shape: list[int]) -> list[int]:
    """The position of an element, one a dimension."""
    place: list[int] = []
    for length in reversed(shape):
        number, at = divmod(number, length)
        place.insert(0, at)
    return place


_MOST_BLOSC2_HEADER = 1024


def _blosc2_array(header: bytes, chunk_bytes: int) -> _Blosc2Array | int:
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
    for place, width in enumerate(widths):
        position += place % rank == 0  # each of the three shapes has its length in front
        numbers.append(int.from_bytes(header[position + 1 : position + 1 + width], "big"))
        position += 1 + width
    itemsize, block_bytes = (int.from_bytes(header[at : at + 4], "big") for at in (48, 53))
    shape, chunk, block = numbers[:rank], numbers[rank : 2 * rank], numbers[2 * rank :]
    fits = all(0 < part <= whole for part, whole in zip(block, shape, strict=True))
    if not rank or position > len(header) or shape != chunk or not fits or math.prod(shape) * itemsize != chunk_bytes:
        raise DecodeError("the array in its Blosc2 frame isn't a chunk")
    return _Blosc2Array(shape, itemsize, math.prod(block) * itemsize == block_bytes)


REGISTRY: dict[int, Make] = {
    DEFLATE: _deflate,
    SHUFFLE: _shuffle,
    FLETCHER32: _fletcher32,
    BZIP2: _bzip2,
    LZF: _lzf,
    BLOSC: _blosc,
    LZ4: _lz4,
    BITSHUFFLE: _bitshuffle,
    ZSTD: _zstd,
    BLOSC2: _blosc2,
}


# Filters whose chunks needn't be decoded to their ends for a part of them.
_PARTS: dict[int, Callable[[tuple[int, ...], int], DecodePart | None]] = {
    BLOSC: _blosc_part,
    BLOSC2: _blosc2_part,
    BITSHUFFLE: _bitshuffle_part,
}


def decoder(filter_id: int, options: tuple[int, ...], chunk_bytes: int) -> Decode | None:
    """The decoder of a filter, None where it is libhdf5's to decode.

    Parameters
    ----------
    filter_id
        Number of the filter as registered with The HDF Group.
    options
        Client data values of the filter.
    chunk_bytes
        Bytes of a decoded chunk.

    Examples
    --------
    >>> decoder(32013, (), 1 << 20) is None  # zfp
    True
    """
    make: Any = REGISTRY.get(filter_id)
    return make(options, chunk_bytes) if make is not None else None


def part_decoder(filter_id: int, options: tuple[int, ...], chunk_bytes: int) -> DecodePart | None:
    """The decoder of parts of a filter's chunks, None where only whole chunks can be decoded.

    Parameters
    ----------
    filter_id, options, chunk_bytes
        As for `decoder`.

    Examples
    --------
    >>> part_decoder(DEFLATE, (1,), 1 << 20) is None
    True
    """
    make = _PARTS.get(filter_id)
    return make(options, chunk_bytes) if make is not None else None
